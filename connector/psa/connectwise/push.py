"""ConnectWise's callbacks: registering ours, and what a message that claims to be one is worth.

A callback is a POST to our address; its body names a record and is signed: `x-content-signature` is the Base64 of an
HMAC-SHA256 over the raw body, keyed with SHA-256 of the `signing_key`. The address of that key stands in the body,
which is not proved yet: so it is only used to read an id from, and only when its host is one of the configured site's
and its path the known one; what is called is made of our own configuration. A proved message is still no more than a
hint: the ticket is read again. Lost ones are caught up by the poll (5xx is never sent again). Sources: developer
guide and "PSA Callbacks"; a real message in amp-labs/connectors; covenanttechnologysolutions/connectwise-rest; read
2026-11-22.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn
from urllib.parse import parse_qsl, urlsplit

from connector.core.ports import Clock, Push
from connector.core.secret import Secret
from connector.errors import ConfigError, PermanentError, PushRefused, TemporaryError
from connector.psa.connectwise.answers import Refused
from connector.psa.connectwise.api import ConnectWiseApi
from connector.psa.connectwise.values import Record, as_record, flag, identifier, number, text

SIGNATURE = "x-content-signature"
LARGEST_BODY = 512 * 1024
KEY_REMEMBERED = timedelta(hours=1)
REFUSAL_REMEMBERED = timedelta(minutes=1)
MOST_FETCHES_A_MINUTE = 6
"""Whoever knows our address can name any key id; they must not make us ask ConnectWise all day."""

KEY_PATH = re.compile(r"/[A-Za-z0-9_]{1,40}(\.[A-Za-z0-9_]{1,40})*/{1,2}system/callbackkey/index\.rails", re.ASCII)
KEY_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
DESCRIPTION = "Password and MFA reset connector"


@dataclass(frozen=True)
class _Key:
    until: datetime
    key: Secret | None


class Callbacks:
    """The callbacks of one ConnectWise. Safe to share between threads.

    Args:
        sites: Origins (`https://host`) that a key may come from: those of the configuration.
        key_url: Where keys are, instead of what a message says; or `None`.
        signed: Whether a message has to prove itself.
    """

    def __init__(
        self, api: ConnectWiseApi, *, sites: Sequence[str], key_url: str | None, signed: bool, clock: Clock
    ) -> None:
        self._api = api
        self._sites = tuple(sites)
        self._key_url = key_url
        self._signed = signed
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, str], _Key] = {}
        self._fetches: list[datetime] = []

    # -- a message

    def heard(self, push: Push) -> Sequence[str]:
        """See `Psa.heard`. The id is read from the body, which the signature covers; the query is not looked at.

        Raises:
            PushRefused: No signature or a wrong one, a key that cannot be had, another company.
            TemporaryError, AuthenticationError: The key cannot be fetched now.
        """
        if len(push.body) > LARGEST_BODY:
            _refuse("it is larger than any callback")
        try:
            body = as_record(json.loads(push.body)) or {}
        except (ValueError, RecursionError):
            if self._signed:
                _refuse("its body is not JSON")
            body = {}
        if self._signed:
            self._prove(push, body)
        if text(body, "Type").strip().casefold() not in ("ticket", ""):
            return ()
        found = identifier(body, "ID") or (None if self._signed else number(query_of(push).get("recordid")))
        return (str(found),) if found is not None and found > 0 else ()

    def _prove(self, push: Push, body: Record) -> None:
        signature = push.headers.get(SIGNATURE, "")
        if not signature:
            _refuse("it bears no signature")
        if text(body, "CompanyId").strip().casefold() != self._api.company.casefold():
            _refuse("it is of another company")
        address, key_id = self._key_address(body)
        if not any(_is_signed(push.body, signature, key) for key in self._keys_for(address, key_id)):
            _refuse("its signature does not fit")

    def _key_address(self, body: Record) -> tuple[str, str]:
        """Where the key is and its id; pinned to the configured site, whatever the message says."""
        try:
            said = urlsplit(text(as_record(body.get("Metadata")) or {}, "key_url"))
        except ValueError:  # such as `https://[`
            _refuse("it names no signing key")
        query = dict(parse_qsl(said.query))
        key_id = query.get("id", "")
        if not KEY_ID.fullmatch(key_id):
            _refuse("it names no signing key")
        if self._key_url is not None:
            return self._key_url, key_id
        site = next((site for site in self._sites if _same_origin(site, f"{said.scheme}://{said.netloc}")), None)
        if site is None or not KEY_PATH.fullmatch(said.path):
            _refuse("its signing key lies outside of the configured site")
        if query.get("companyName", "").casefold() != self._api.company.casefold():
            _refuse("its signing key is of another company")
        return f"{site}{said.path}", key_id

    def _keys_for(self, address: str, key_id: str) -> list[Secret]:
        now = self._clock()
        with self._lock:
            known = self._keys.get((address, key_id))
            if known is not None and known.until > now:
                return [known.key] if known.key is not None else []
            self._fetches = [at for at in self._fetches if at > now - timedelta(minutes=1)]
            if len(self._fetches) >= MOST_FETCHES_A_MINUTE:
                # It may be a true one whose key we do not know yet: nothing is known against it.
                raise TemporaryError(
                    "A callback of ConnectWise cannot be proved now: too many signing keys are being asked for. "
                    "Nothing is lost, the next poll catches up; if it lasts, see who calls the connector's address.",
                    retry_after=self._fetches[0] + timedelta(minutes=1) - now,
                )
            self._fetches.append(now)
        signed_in = any(_same_origin(site, address) for site in self._sites)
        wanted = {"companyName": self._api.company, "id": key_id}
        answer = as_record(self._api.fetch_key(address, wanted, signed_in=signed_in)) or {}
        key = text(answer, "signing_key")
        until = now + (KEY_REMEMBERED if key else REFUSAL_REMEMBERED)
        with self._lock:
            self._keys = {one: kept for one, kept in self._keys.items() if kept.until > now}
            self._keys[(address, key_id)] = _Key(until, Secret(key) if key else None)
        return [Secret(key)] if key else []

    # -- the registration

    def register(self, url: str, boards: Sequence[int]) -> str:
        """Have ConnectWise call `url` whenever a ticket changes, and say what was done, in a sentence.

        With one mapped board only its tickets are told, otherwise every ticket's changes come (`owner`) and those of
        others are not looked at. One that is registered already is left as it is. A repeat changes nothing.

        Raises:
            ConfigError: The address cannot be called back.
            PermanentError: ConnectWise does not take it, or one of the same kind leads elsewhere.
            AuthenticationError, TemporaryError.
        """
        wanted = callback_url(url)
        level, object_id = ("board", boards[0]) if len(boards) == 1 else ("owner", 1)
        for entry in self.entries():
            if text(entry, "url") == wanted and text(entry, "type") == "ticket":
                if not flag(entry, "inactiveFlag"):
                    return f"The callback {identifier(entry)} to {_shown(wanted)} is registered already."
                self._api.patch(
                    f"system/callbacks/{identifier(entry)}",
                    [{"op": "replace", "path": "inactiveFlag", "value": False}],
                )
                return f"The callback {identifier(entry)} to {_shown(wanted)} was off and is on again."
        record = {
            "description": DESCRIPTION,
            "url": wanted,
            "objectId": object_id,
            "type": "ticket",
            "level": level,
            "payloadVersion": "3.0.0",
            "inactiveFlag": False,
            # Our own notes and moves need not be told to us. What it suppresses is only known by its name (UNVERIFIED).
            "isSelfSuppressedFlag": True,
        }
        try:
            stored = self._api.post("system/callbacks", record)
        except Refused as failure:
            # "A matching callback entry already exists" does not say which; it may be another one's, or an old address.
            raise PermanentError(
                f"ConnectWise does not take the callback to {_shown(wanted)}: {failure} If one for tickets exists "
                "already, remove it there first."
            ) from None
        return f"The callback {identifier(stored)} to {_shown(wanted)} is registered (level {level})."

    def described(self) -> list[str]:
        """Our own callbacks, one sentence each. Those of others are not told: their addresses may hold secrets."""
        return [
            f"The callback {identifier(entry)} for tickets (level {text(entry, 'level')}) leads to "
            f"{_shown(text(entry, 'url'))}{' and is off' if flag(entry, 'inactiveFlag') else ''}."
            for entry in self.entries()
            if text(entry, "description") == DESCRIPTION
        ]

    def entries(self) -> list[Record]:
        """Every callback for tickets that we may see."""
        return [row for row in self._api.everything("system/callbacks") if text(row, "type") in ("ticket", "Ticket")]


def callback_url(url: str) -> str:
    """The address as ConnectWise wants it: it appends the record's number, so it ends with `recordId=`.

    Raises:
        ConfigError: Not https, or with a query or credentials of its own. (ConnectWise calls from outside.)
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ConfigError(f"{_shown(url)} cannot be a callback's address: ConnectWise calls https only.")
    if not parts.hostname or parts.username or parts.fragment or parts.query not in ("", "recordId="):
        raise ConfigError(
            f"{_shown(url)} cannot be a callback's address: give it without a query, such as "
            "https://connector.msp.example/nudge/cw."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path}?recordId="


def _is_signed(body: bytes, signature: str, key: Secret) -> bool:
    try:
        given = base64.b64decode(signature.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    secret = hashlib.sha256(key.reveal().encode()).digest()
    return hmac.compare_digest(given, hmac.new(secret, body, hashlib.sha256).digest())


def _same_origin(site: str, said: str) -> bool:
    ours, theirs = urlsplit(site), urlsplit(said)
    try:
        return (ours.scheme, ours.hostname, _port(ours)) == (theirs.scheme, theirs.hostname, _port(theirs)) and (
            theirs.username is None and theirs.password is None
        )
    except ValueError:  # a port that is none
        return False


def _port(parts: object) -> int | None:
    port: int | None = getattr(parts, "port", None)
    return port or {"https": 443, "http": 80}.get(getattr(parts, "scheme", ""))


def _shown(url: str) -> str:
    """An address without its path, which may hold a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}/…"


def _refuse(why: str) -> NoReturn:
    raise PushRefused(
        f"A message that claims to be a callback of ConnectWise was not looked at: {why}. If it was a true one, check "
        "psa.<name>.site_url and callback; nothing is lost, the next poll catches up."
    )


def query_of(push: Push) -> Mapping[str, str]:
    """The query by lower-case names: ConnectWise appends `recordId` and `action`."""
    return {name.lower(): value for name, value in push.query.items()}
