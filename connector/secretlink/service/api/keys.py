"""The keys that open the API: what each one may do, until when, and from where.

A key reads `sl_<name>_<43 letters>`: 32 random bytes behind the name under which logs speak of it. The link service
keeps only its SHA-256. That is enough for 256 random bits, which nobody tries out; a slow hash is for passwords that
people choose. A plain secret of the file's older form is digested at the start and may do everything.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Final

import structlog

from connector.secretlink.place import IpNetwork

LOG_EVERY: Final = timedelta(minutes=1)
ENDS_SOON: Final = timedelta(days=14)
UNKNOWN: Final = "unknown"
"""What logs call every key that is none of ours. Never the name that such a key gives itself: anybody chooses that."""
PLAIN: Final = "plain-"
"""How the names of plain secrets begin; their place in the file follows."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)

log = structlog.get_logger(__name__)


class Scope(StrEnum):
    """What a key may do."""

    LINKS_CREATE = "links:create"
    """Make links and alarms."""
    LINKS_READ = "links:read"
    """Look at links: states and counts, never content."""
    LINKS_REVOKE = "links:revoke"
    EVENTS_READ = "events:read"


ALL_SCOPES: Final = frozenset(Scope)


@dataclass(frozen=True)
class ApiKey:
    """One key, without the key.

    Attributes:
        name: By which people and logs know it.
        digest: SHA-256 of the whole key, 32 bytes.
        expires: The first day, in UTC, on which it opens nothing any more; `None`: never.
        networks: From where it works; empty: from anywhere.
    """

    name: str
    digest: bytes = field(repr=False)
    scopes: frozenset[Scope] = ALL_SCOPES
    expires: date | None = None
    networks: tuple[IpNetwork, ...] = ()

    def is_over(self, now: datetime) -> bool:
        """Whether its last day has passed; `now` is in UTC."""
        return self.expires is not None and now.date() >= self.expires

    def is_from(self, ip: str | None) -> bool:
        """Whether it may be used from an address; an unknown one is no address of a named network."""
        if not self.networks:
            return True
        if ip is None:
            return False
        address = ip_address(ip)
        return any(address.version == network.version and address in network for network in self.networks)


@dataclass(frozen=True)
class Refusal:
    """Why a request is turned away.

    Attributes:
        reason: For the log: `unknown`, `expired`, `network` or `scope`. Only `scope` is told to the asker.
        missing: The scope that the key would need; `None` for every other reason.
    """

    key: str
    reason: str
    missing: Scope | None = None


class ApiKeys:
    """All the keys of a link service. Belongs to one thread."""

    def __init__(self, keys: Sequence[ApiKey], *, clock: Callable[[], datetime]) -> None:
        """Take the keys.

        Args:
            clock: Returns the time now in UTC.
        """
        self._keys = tuple(keys)
        self._clock = clock
        self._told: dict[str, _Told] = {}

    def judge(self, authorization: Sequence[str], *, ip: str | None, scope: Scope) -> ApiKey | Refusal:
        """The key of a request, if it may do what is asked; a refusal is logged, at most once a minute and key.

        Takes the same time for every wrong key: all of ours are compared, whatever the first ones say.

        Args:
            authorization: Every `Authorization` header of the request. More than one is nobody's.
            ip: Where the request comes from.
        """
        answer = self._find(authorization, ip=ip, scope=scope)
        if isinstance(answer, Refusal):
            self._log(answer)
        return answer

    def refuse(self, key: ApiKey, missing: Scope) -> Refusal:
        """The refusal of a key that would need one scope more for what is asked in particular; logged as any other."""
        refusal = Refusal(key.name, "scope", missing)
        self._log(refusal)
        return refusal

    def warn_of_ends(self) -> None:
        """Log the keys that are over or will be within two weeks. For the start."""
        now = self._clock()
        for key in self._keys:
            if key.is_over(now + ENDS_SOON):
                log.warning("api_key_ends", key=key.name, expires=str(key.expires), over=key.is_over(now))

    def _find(self, authorization: Sequence[str], *, ip: str | None, scope: Scope) -> ApiKey | Refusal:
        scheme, _, shown = (authorization[0] if len(authorization) == 1 else "").partition(" ")
        digest = digest_of(shown.strip())
        found: ApiKey | None = None
        for key in self._keys:
            if hmac.compare_digest(digest, key.digest):
                found = key
        if found is None or scheme.lower() != "bearer":
            return Refusal(UNKNOWN, "unknown")
        if found.is_over(self._clock()):
            return Refusal(found.name, "expired")
        if not found.is_from(ip):
            return Refusal(found.name, "network")
        return found if scope in found.scopes else Refusal(found.name, "scope", scope)

    def _log(self, refusal: Refusal) -> None:
        now = self._clock()
        told = self._told.get(refusal.key)
        if told is not None and timedelta(0) <= now - told.at < LOG_EVERY:  # a clock may be set back
            self._told[refusal.key] = _Told(told.at, told.silent + 1)
            return
        self._told[refusal.key] = _Told(now, 0)
        log.warning(
            "api_key_refused",
            key=refusal.key,
            reason=refusal.reason,
            missing=refusal.missing.value if refusal.missing else None,
            silent_before=told.silent if told else 0,
        )


@dataclass(frozen=True)
class _Told:
    at: datetime
    silent: int


def digest_of(key: str) -> bytes:
    """What is kept of a key: its SHA-256, 32 bytes."""
    return hashlib.sha256(key.encode()).digest()


def new_key(name: str) -> str:
    """Make a key.

    Args:
        name: 1 to 32 small letters, digits or `-`.

    Raises:
        ValueError: The name has another form.
    """
    if not is_key_name(name):
        raise ValueError("a key's name is 1 to 32 small letters, digits or '-', and none that the log uses itself")
    return f"sl_{name}_{secrets.token_urlsafe(32)}"


def is_key_name(text: str) -> bool:
    """Whether a text can name a key. `unknown` and `plain-…` are what logs call keys without a name."""
    return _NAME.fullmatch(text) is not None and text != UNKNOWN and not text.startswith(PLAIN)
