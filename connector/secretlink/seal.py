"""The sealed format, version `secretlink/1`: what both sides must agree on to the byte.

The connector makes a token `T`, seals the password under it and hands the link service only the sealed bytes and the
lookup; the token travels in the link's address alone. So nothing that the link service receives, logs or keeps when a
link is made can open it::

    key     = HKDF-SHA256(T, salt=none, info="secretlink/1 enc " + id, 32 bytes)
    lookup  = HKDF-SHA256(T, salt=none, info="secretlink/1 lookup",    32 bytes)
    terms   = UTF-8 of the compact JSON list ["secretlink/1", id, max_views, expires_at]
    padded  = length of the password in bytes (2, big-endian) || password (UTF-8) || zeros, up to a multiple of 64
    sealed  = nonce (12) || AES-256-GCM(key, nonce, padded, associated data = terms)
    check   = HMAC-SHA256(HKDF-SHA256(T, salt=none, info="secretlink/1 check", 32 bytes), normalised answer in UTF-8)

`check` stands for what has to be typed before the password is shown (the ticket's number); where nothing has to be
typed there is none. Keyed with the token, it tells the link service nothing about the answer.

The link service wraps once more under its pepper, with the same associated data::

    lookup_mac = HMAC-SHA256(pepper, "lookup" || lookup)       of an alarm's lookup: "alarm" instead of "lookup"
    check_mac  = HMAC-SHA256(pepper, "check" || check)
    blob       = nonce (12) || AES-256-GCM(HKDF-SHA256(pepper, info="secretlink/1 wrap " + id), nonce, sealed, terms)

Reading the database takes token *and* pepper; writing it cannot lengthen a link's life or raise the number of its
views, because the terms are authenticated twice. (The count of views used, and a row put back from a backup, are the
database's word; reveals beyond the number show in the history, which cannot be rewritten unseen.) Padding hides the
password's length. HKDF without a salt is right here: the token is uniformly random already (RFC 5869 section 3.1).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import unicodedata
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from connector.core.secret import Secret
from connector.errors import ConfigError, PermanentError

FORMAT: Final = "secretlink/1"
TOKEN_BYTES: Final = 24
LOOKUP_BYTES: Final = 32
CHECK_BYTES: Final = 32
MOST_VIEWS: Final = 20
LONGEST_PASSWORD_BYTES: Final = 1022
"""One sealed password stays under 1,100 bytes, well inside the 4 KB that the link service reads of a request."""
LEAST_PEPPER_BYTES: Final = 32

_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_PAD_STEP: Final = 64
_LENGTH_BYTES: Final = 2
# 32 letters of the URL-safe alphabet are exactly 24 bytes: every token has one spelling and every spelling is a token.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)
_LINK_ID = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)


class SealBroken(PermanentError):
    """Sealed bytes do not open: another key, other terms, or changed on the way. Nothing is known of the content."""


class MalformedToken(ValueError):
    """Text that cannot be a token. The text is never part of the message."""


def new_token() -> Secret:
    """Make a token from the system's random source, as the 32 letters that go into the link's address."""
    return Secret(base64.urlsafe_b64encode(secrets.token_bytes(TOKEN_BYTES)).decode("ascii"))


def decode_token(text: str) -> bytes:
    """Turn the letters of a link's address back into the token's 24 bytes.

    Raises:
        MalformedToken: The text is not 32 letters of the URL-safe alphabet.
    """
    if not _TOKEN.fullmatch(text):
        raise MalformedToken("this is not a token: it must be 32 letters, digits, '-' or '_'")
    return base64.urlsafe_b64decode(text)


def new_link_id() -> str:
    """Make a link id: public, unguessable, and no help in finding the token."""
    return "lnk_" + base64.urlsafe_b64encode(secrets.token_bytes(12)).decode("ascii")


def is_link_id(text: str) -> bool:
    """Whether the text has the form of a link id: 8 to 64 letters, digits, `-` or `_`."""
    return _LINK_ID.fullmatch(text) is not None


@dataclass(frozen=True)
class Terms:
    """What is bound into the encryption of one link.

    Attributes:
        link_id: Names the link to both sides; see `is_link_id`.
        max_views: How often the password can be shown, 1 to 20.
        expires_at: Seconds since 1970-01-01 UTC; from this second on the link does not open.
    """

    link_id: str
    max_views: int
    expires_at: int

    def __post_init__(self) -> None:
        if not is_link_id(self.link_id):
            raise ValueError("a link id is 8 to 64 letters, digits, '-' or '_'")
        if not 1 <= self.max_views <= MOST_VIEWS:
            raise ValueError(f"a link has 1 to {MOST_VIEWS} views")
        if self.expires_at <= 0:
            raise ValueError("a link's expiry is a count of seconds since 1970 and above zero")

    def associated_data(self) -> bytes:
        """The bytes that both encryptions authenticate. `JSON.stringify` of the same list gives the same bytes."""
        return json.dumps([FORMAT, self.link_id, self.max_views, self.expires_at], separators=(",", ":")).encode()


def lookup_of(token: bytes) -> bytes:
    """The proof by which the link service finds the link, 32 bytes; the token cannot be worked out from it."""
    return _derive(token, f"{FORMAT} lookup")


def normalise_answer(text: str) -> str:
    """What a typed answer comes down to: its letters and digits, in one spelling, without upper and lower case.

    `#4242 ` and `4242` are the same answer, and so are `INC-7` and `inc7`. The steps (so that a browser can do the
    same): Unicode NFKC; full case folding; keep general categories L and N only. An answer without any letter or digit
    comes down to the empty text.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in folded if unicodedata.category(letter)[0] in "LN")


def check_of(token: bytes, answer: str) -> bytes:
    """What stands for an answer at the link service, 32 bytes. Without the token no answer can be tried against it.

    Args:
        answer: As typed or as the connector has it; see `normalise_answer`. One that comes down to the empty text is
            right for nothing, itself included: each call gives other bytes.
    """
    normalised = normalise_answer(answer)
    if not normalised:
        return secrets.token_bytes(CHECK_BYTES)
    key = _derive(token, f"{FORMAT} check")
    return hmac.new(key, normalised.encode("utf-8"), hashlib.sha256).digest()


def seal(password: Secret, *, token: bytes, terms: Terms) -> bytes:
    """Encrypt a password under a token. Each call gives other bytes (a new nonce).

    Raises:
        ValueError: The password is empty or longer than `LONGEST_PASSWORD_BYTES`, or the token has the wrong length.
    """
    if len(token) != TOKEN_BYTES:
        raise ValueError(f"a token has {TOKEN_BYTES} bytes")
    encoded = password.reveal().encode("utf-8")
    if not 0 < len(encoded) <= LONGEST_PASSWORD_BYTES:
        raise ValueError(f"a password to be sealed has 1 to {LONGEST_PASSWORD_BYTES} bytes")
    return _encrypt(_derive(token, f"{FORMAT} enc {terms.link_id}"), _pad(encoded), terms)


def open_sealed(sealed: bytes, *, token: bytes, terms: Terms) -> Secret:
    """Decrypt what `seal` made.

    Raises:
        SealBroken: The token or the terms are not the ones it was sealed with, the bytes were changed, or what was
            sealed is no text.
    """
    padded = _decrypt(_derive(token, f"{FORMAT} enc {terms.link_id}"), sealed, terms)
    try:
        return Secret(_unpad(padded, terms).decode("utf-8"))
    except UnicodeDecodeError:
        raise _broken(terms) from None


class Pepper:
    """The link service's own secret, and everything that is made from it.

    Keep it in a file, the environment or a key store: never in the database or its backups. `repr` shows only the
    `key_id`.
    """

    __slots__ = ("_pepper", "chain_key", "challenge_key", "content_key", "key_id")

    def __init__(self, pepper: bytes) -> None:
        """Take the pepper.

        Args:
            pepper: At least 32 bytes from a random source.

        Raises:
            ConfigError: It is shorter.
        """
        if len(pepper) < LEAST_PEPPER_BYTES:
            raise ConfigError(
                f"The pepper of the link service has {len(pepper)} bytes; it needs at least {LEAST_PEPPER_BYTES}. "
                'Make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"'
            )
        self._pepper = pepper
        self.chain_key: Final = _derive(pepper, f"{FORMAT} event chain")
        self.challenge_key: Final = _derive(pepper, f"{FORMAT} page challenge")
        self.content_key: Final = _derive(pepper, f"{FORMAT} content")
        self.key_id: Final = _derive(pepper, f"{FORMAT} pepper id")[:6].hex()

    def __repr__(self) -> str:
        return f"Pepper(key_id={self.key_id!r})"

    def lookup_mac(self, lookup: bytes) -> bytes:
        """What the database holds instead of the lookup, so that a stolen database names no link."""
        return hmac.new(self._pepper, b"lookup" + lookup, hashlib.sha256).digest()

    def alarm_mac(self, lookup: bytes) -> bytes:
        """The same for an alarm's lookup, so that no address of one kind is ever taken for one of the other."""
        return hmac.new(self._pepper, b"alarm" + lookup, hashlib.sha256).digest()

    def check_mac(self, check: bytes) -> bytes:
        """What the database holds instead of a check: with a stolen database and the token no answer can be tried."""
        return hmac.new(self._pepper, b"check" + check, hashlib.sha256).digest()

    def wrap(self, sealed: bytes, *, terms: Terms) -> bytes:
        """Encrypt sealed bytes once more, for the database."""
        return _encrypt(self._wrap_key(terms), sealed, terms)

    def unwrap(self, blob: bytes, *, terms: Terms) -> bytes:
        """Undo `wrap`.

        Raises:
            SealBroken: Another pepper, other terms, or the database row was changed.
        """
        return _decrypt(self._wrap_key(terms), blob, terms)

    def _wrap_key(self, terms: Terms) -> bytes:
        return _derive(self._pepper, f"{FORMAT} wrap {terms.link_id}")


def _derive(key: bytes, info: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info.encode("ascii")).derive(key)


def _encrypt(key: bytes, content: bytes, terms: Terms) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, terms.associated_data())


def _decrypt(key: bytes, encrypted: bytes, terms: Terms) -> bytes:
    if len(encrypted) < _NONCE_BYTES + _TAG_BYTES:
        raise _broken(terms)
    try:
        return AESGCM(key).decrypt(encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], terms.associated_data())
    except InvalidTag:
        raise _broken(terms) from None


def _pad(content: bytes) -> bytes:
    framed = len(content).to_bytes(_LENGTH_BYTES, "big") + content
    return framed + bytes(-len(framed) % _PAD_STEP)


def _unpad(padded: bytes, terms: Terms) -> bytes:
    length = int.from_bytes(padded[:_LENGTH_BYTES], "big")
    content = padded[_LENGTH_BYTES : _LENGTH_BYTES + length]
    if not content or len(content) != length:
        raise _broken(terms)
    return content


def _broken(terms: Terms) -> SealBroken:
    return SealBroken(
        f"Link {terms.link_id} does not open: its key, views or expiry are not those it was sealed with. "
        "Check the pepper; if it is unchanged, the database was tampered with."
    )
