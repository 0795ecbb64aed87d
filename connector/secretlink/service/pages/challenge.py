"""Proof that a reveal follows a page that was opened a moment ago, by somebody who took their time.

Stateless: a challenge carries its own times, authenticated with a key from the pepper and tied to one link. The page
gets one when it is opened; the proceed step trades it for one that also carries the time of the step. A program that
posts straight away, or with something it made up, is refused without using a view.

This does not tell people from patient machines; it makes the cheap and common accidents harmless.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

LEAST_AGE: Final = timedelta(milliseconds=800)
LEAST_PAUSE: Final = timedelta(milliseconds=400)
GREATEST_AGE: Final = timedelta(minutes=60)
CLOCK_SKEW: Final = timedelta(seconds=10)
"""How far the clocks of several processes on one PostgreSQL may be apart: one makes the page, another answers."""

_TIMES = struct.Struct(">QQ")
_RANDOM_BYTES: Final = 12
_MAC_BYTES: Final = 32
_LENGTH: Final = _TIMES.size + _RANDOM_BYTES + _MAC_BYTES


@dataclass(frozen=True)
class _Stamp:
    page_ms: int
    step_ms: int  # 0 until the proceed step


class Challenges:
    """Makes and checks challenges. Errors are words for an event's reason; `None` means that all is well."""

    def __init__(self, key: bytes, *older: bytes, clock: Callable[[], datetime]) -> None:
        """Take the keys.

        Args:
            older: Keys of before a change of the pepper: what they made is still taken.
        """
        self._key = key
        self._keys = (key, *older)
        self._clock = clock

    def for_page(self, link_id: str) -> str:
        """A challenge for a page that is opened now."""
        return self._make(link_id, _Stamp(page_ms=self._now_ms(), step_ms=0))

    def for_step(self, link_id: str, challenge: str) -> str | None:
        """Trade a page's challenge for a step's; `None` when it is not a fresh one of this link."""
        stamp = self._read(link_id, challenge)
        if stamp is None or self._is_stale(stamp):
            return None
        return self._make(link_id, _Stamp(page_ms=stamp.page_ms, step_ms=self._now_ms()))

    def is_old(self, link_id: str, challenge: str) -> bool:
        """Whether it is one of this link, of a page that was opened too long ago."""
        stamp = self._read(link_id, challenge)
        return stamp is not None and self._is_stale(stamp)

    def problem_with(self, link_id: str, challenge: str, *, needs_step: bool) -> str | None:
        """What speaks against a reveal: `challenge`, `challenge_old`, `too_fast`, `no_step`; `None` for nothing.

        Args:
            needs_step: Whether the proceed step must have come first (it cannot without JavaScript).
        """
        stamp = self._read(link_id, challenge)
        if stamp is None:
            return "challenge"
        if self._is_stale(stamp):
            return "challenge_old"
        if needs_step and not stamp.step_ms:
            return "no_step"
        now_ms = self._now_ms()
        too_young = now_ms - stamp.page_ms < _milliseconds(LEAST_AGE)
        too_soon = needs_step and now_ms - stamp.step_ms < _milliseconds(LEAST_PAUSE)
        return "too_fast" if too_young or too_soon else None

    def _make(self, link_id: str, stamp: _Stamp) -> str:
        content = _TIMES.pack(stamp.page_ms, stamp.step_ms) + secrets.token_bytes(_RANDOM_BYTES)
        return base64.urlsafe_b64encode(content + _mac(self._key, link_id, content)).decode("ascii")

    def _read(self, link_id: str, challenge: str) -> _Stamp | None:
        try:
            decoded = base64.b64decode(challenge.encode("ascii"), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            return None
        if len(decoded) != _LENGTH:
            return None
        content, mac = decoded[:-_MAC_BYTES], decoded[-_MAC_BYTES:]
        if not any(hmac.compare_digest(mac, _mac(key, link_id, content)) for key in self._keys):
            return None
        page_ms, step_ms = _TIMES.unpack_from(content)
        return _Stamp(page_ms=page_ms, step_ms=step_ms)

    def _is_stale(self, stamp: _Stamp) -> bool:
        age_ms = self._now_ms() - stamp.page_ms
        return not -_milliseconds(CLOCK_SKEW) <= age_ms <= _milliseconds(GREATEST_AGE)

    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)


def _mac(key: bytes, link_id: str, content: bytes) -> bytes:
    return hmac.digest(key, link_id.encode("ascii") + b"|" + content, "sha256")


def _milliseconds(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
