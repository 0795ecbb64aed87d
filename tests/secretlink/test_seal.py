"""The sealed format: what opens, what must not, and that both sides agree to the byte."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from connector.core.secret import Secret
from connector.errors import ConfigError
from connector.secretlink.seal import (
    LONGEST_PASSWORD_BYTES,
    MalformedToken,
    Pepper,
    SealBroken,
    Terms,
    check_of,
    decode_token,
    lookup_of,
    new_link_id,
    new_token,
    normalise_answer,
    open_sealed,
    seal,
)

VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))["vectors"]


def new_terms(**changes: object) -> Terms:
    return replace(Terms(new_link_id(), 2, 1_795_312_644), **changes)  # type: ignore[arg-type]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_what_was_sealed_opens_again(password: str) -> None:
    token, terms = secrets.token_bytes(24), new_terms()
    assert open_sealed(seal(Secret(password), token=token, terms=terms), token=token, terms=terms).reveal() == password


@pytest.mark.parametrize("change", [{"max_views": 3}, {"expires_at": 1_795_399_999}, {"link_id": "lnk_another-one"}])
def test_other_terms_do_not_open_the_sealed_bytes_nor_the_blob(change: dict[str, object]) -> None:
    token, terms = secrets.token_bytes(24), new_terms()
    pepper = Pepper(secrets.token_bytes(32))
    sealed = seal(Secret(secrets.token_urlsafe()), token=token, terms=terms)
    blob = pepper.wrap(sealed, terms=terms)
    with pytest.raises(SealBroken):
        open_sealed(sealed, token=token, terms=replace(terms, **change))  # type: ignore[arg-type]
    with pytest.raises(SealBroken):
        pepper.unwrap(blob, terms=replace(terms, **change))  # type: ignore[arg-type]


def test_another_token_or_pepper_opens_nothing() -> None:
    token, terms = secrets.token_bytes(24), new_terms()
    sealed = seal(Secret(secrets.token_urlsafe()), token=token, terms=terms)
    with pytest.raises(SealBroken):
        open_sealed(sealed, token=secrets.token_bytes(24), terms=terms)
    blob = Pepper(secrets.token_bytes(32)).wrap(sealed, terms=terms)
    with pytest.raises(SealBroken):
        Pepper(secrets.token_bytes(32)).unwrap(blob, terms=terms)


def test_every_changed_byte_is_noticed() -> None:
    token, terms = secrets.token_bytes(24), new_terms()
    sealed = seal(Secret(secrets.token_urlsafe()), token=token, terms=terms)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(SealBroken):
            open_sealed(bytes(changed), token=token, terms=terms)
    for length in (0, 1, 27, 28, len(sealed) - 1):
        with pytest.raises(SealBroken):
            open_sealed(sealed[:length], token=token, terms=terms)


def test_the_length_of_the_password_does_not_show() -> None:
    token, terms = secrets.token_bytes(24), new_terms()
    lengths = {len(seal(Secret("x" * count), token=token, terms=terms)) for count in range(1, 63)}
    assert len(lengths) == 1


def test_passwords_that_are_empty_or_too_long_are_not_sealed() -> None:
    token, terms = secrets.token_bytes(24), new_terms()
    for password in ("", "x" * (LONGEST_PASSWORD_BYTES + 1)):
        with pytest.raises(ValueError, match="bytes"):
            seal(Secret(password), token=token, terms=terms)
    longest = Secret("x" * LONGEST_PASSWORD_BYTES)
    assert open_sealed(seal(longest, token=token, terms=terms), token=token, terms=terms) == longest


def test_tokens_have_192_bits_and_one_spelling() -> None:
    tokens = {new_token().reveal() for _ in range(200)}
    assert len(tokens) == 200
    assert all(len(decode_token(token)) == 24 for token in tokens)


@pytest.mark.parametrize(
    "text", ["", "short", "A" * 31, "A" * 33, "A" * 31 + "=", "A" * 31 + "%", "é" * 32, "A" * 32 + "\n"]
)
def test_what_is_no_token_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(MalformedToken) as refusal:
        decode_token(text)
    assert text == "" or text not in str(refusal.value)


@pytest.mark.parametrize(
    ("views", "expires_at", "link_id"), [(0, 1, "lnk_12345"), (21, 1, "lnk_12345"), (1, 0, "lnk_12345"), (1, 1, "x y")]
)
def test_impossible_terms_are_refused(views: int, expires_at: int, link_id: str) -> None:
    with pytest.raises(ValueError):
        Terms(link_id, views, expires_at)


def test_a_short_pepper_is_refused_and_none_is_ever_shown() -> None:
    with pytest.raises(ConfigError, match="at least 32"):
        Pepper(secrets.token_bytes(31))
    secret = secrets.token_bytes(32)
    assert secret.hex() not in repr(Pepper(secret))
    assert repr(secret)[2:-1] not in repr(Pepper(secret))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["about"])
def test_the_format_is_what_the_vectors_say(vector: dict[str, object]) -> None:
    token = decode_token(str(vector["token"]))
    terms = Terms(str(vector["id"]), int(str(vector["max_views"])), int(str(vector["expires_at"])))
    pepper = Pepper(bytes.fromhex(str(vector["pepper_hex"])))
    assert terms.associated_data().decode() == vector["associated_data"]
    assert lookup_of(token).hex() == vector["lookup_hex"]
    assert pepper.lookup_mac(lookup_of(token)).hex() == vector["lookup_mac_hex"]
    sealed = pepper.unwrap(bytes.fromhex(str(vector["blob_hex"])), terms=terms)
    assert sealed.hex() == vector["sealed_hex"]
    assert open_sealed(sealed, token=token, terms=terms).reveal() == vector["password"]
    assert normalise_answer(str(vector["answer"])) == vector["normalised_answer"]
    assert check_of(token, str(vector["answer"])).hex() == vector["check_hex"]
    assert pepper.check_mac(check_of(token, str(vector["answer"]))).hex() == vector["check_mac_hex"]
    assert pepper.alarm_mac(lookup_of(token)).hex() == vector["alarm_mac_hex"]
    assert (pepper.key_id, pepper.chain_key.hex()) == (vector["pepper_id"], vector["chain_key_hex"])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["about"])
def test_the_vectors_follow_from_the_words_alone(vector: dict[str, object]) -> None:
    # The format's description, said once more with nothing of ours: HKDF of RFC 5869 spelt out in HMACs.
    def derive(key: bytes, info: str) -> bytes:
        extracted = hmac.new(bytes(32), key, "sha256").digest()
        return hmac.new(extracted, info.encode() + bytes([1]), "sha256").digest()

    token = base64.urlsafe_b64decode(str(vector["token"]))
    pepper = bytes.fromhex(str(vector["pepper_hex"]))
    lookup = derive(token, "secretlink/1 lookup")
    check = hmac.new(derive(token, "secretlink/1 check"), str(vector["normalised_answer"]).encode(), "sha256").digest()
    assert lookup.hex() == vector["lookup_hex"]
    assert check.hex() == vector["check_hex"]
    for word, content, name in (
        (b"lookup", lookup, "lookup_mac_hex"),
        (b"alarm", lookup, "alarm_mac_hex"),
        (b"check", check, "check_mac_hex"),
    ):
        assert hmac.new(pepper, word + content, "sha256").hexdigest() == vector[name]
    assert derive(pepper, "secretlink/1 event chain").hex() == vector["chain_key_hex"]
    blob, sealed = (bytes.fromhex(str(vector[name])) for name in ("blob_hex", "sealed_hex"))
    terms = str(vector["associated_data"]).encode()
    wrap_key = derive(pepper, f"secretlink/1 wrap {vector['id']}")
    assert AESGCM(wrap_key).decrypt(blob[:12], blob[12:], terms) == sealed
    padded = AESGCM(derive(token, f"secretlink/1 enc {vector['id']}")).decrypt(sealed[:12], sealed[12:], terms)
    password = str(vector["password"]).encode()
    assert padded[:2] == len(password).to_bytes(2, "big")
    assert padded[2:].rstrip(bytes(1)) == password
    assert len(padded) % 64 == 0


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("#4242 ", "4242"), ("42 42", "4242"), ("inc-0007", "INC0007"), ("STRASSE 1", "straße1"), ("４２", "42")],
)
def test_an_answer_counts_by_its_letters_and_digits_alone(typed: str, meant: str) -> None:
    token = secrets.token_bytes(24)
    assert check_of(token, typed) == check_of(token, meant)
    assert check_of(token, typed) != check_of(secrets.token_bytes(24), meant)
    assert check_of(token, typed) != check_of(token, meant + "0")


@pytest.mark.parametrize("nothing", ["", "#", " -. ", "\u200b"])
def test_an_answer_of_nothing_is_right_for_nothing(nothing: str) -> None:
    token = secrets.token_bytes(24)
    assert check_of(token, nothing) != check_of(token, nothing)
    assert len(check_of(token, nothing)) == 32
