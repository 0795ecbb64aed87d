"""The sealed format: what opens, what must not, and that both sides agree to the byte."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from pathlib import Path

import pytest
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
    decode_token,
    lookup_of,
    new_link_id,
    new_token,
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
