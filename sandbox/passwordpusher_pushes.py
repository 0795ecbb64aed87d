"""What Password Pusher knows: pushes, and what happened to each. In memory; the HTTP side is in `passwordpusher`.

Sources, read 2026-11-22: github.com/pglombardo/PasswordPusher at 2.11 (`app/models/push.rb`, `app/controllers/api`,
`app/views/pushes/*.jbuilder`) and, for version 1, at 1.4x. What the hosted edition does beyond the fields that the
clients pwpush-mcp 0.5.0 and Raycast's extension use is UNVERIFIED.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

EDITIONS = ("oss", "pro", "v1")
DAYS, VIEWS = range(1, 91), range(1, 101)
DEFAULT_DAYS, DEFAULT_VIEWS, DEFAULT_DURATION = 7, 5, 12
LONGEST_PAYLOAD = 1024 * 1024
LOG_CAP = 2000
"""Audit rows of one push; a view that would be one too many ends the push instead."""

# `expire_after_duration` counts through these.
DURATIONS = [
    *(timedelta(minutes=minutes) for minutes in (15, 30, 45, 60)),
    *(timedelta(hours=hours) for hours in (6, 12)),
    *(timedelta(days=days) for days in (1, 2, 3, 4, 5, 6, 7, 14, 21, 30, 60, 90)),
]


class Invalid(Exception):
    """The model's own refusal; `errors` is what a 422 answers."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__(str(errors))
        self.errors = errors


@dataclass
class Log:
    """A row of the audit. There is no id in what the API shows of it."""

    kind: str
    ip: str
    user_agent: str
    referrer: str
    created_at: datetime


@dataclass
class Push:
    url_token: str
    payload: str | None = field(repr=False)
    note: str
    name: str
    owned: bool
    created_at: datetime
    views: int
    days: int
    duration: int | None
    retrieval_step: bool
    deletable_by_viewer: bool
    passphrase: str | None = field(repr=False, default="")
    expired_on: datetime | None = None
    logs: list[Log] = field(default_factory=list)

    @property
    def expired(self) -> bool:
        return self.expired_on is not None

    @property
    def views_remaining(self) -> int:
        """Refused views count, too."""
        used = sum(log.kind in ("view", "failed_view") for log in self.logs)
        return max(0, self.views - used)

    def days_remaining(self, now: datetime) -> int:
        return max(0, self.days - (now - self.created_at).days)

    @property
    def deleted(self) -> bool:
        return any(log.kind == "expire" for log in self.logs)

    def is_over(self, now: datetime) -> bool:
        if self.duration is not None:
            return now >= self.created_at + DURATIONS[self.duration]
        return not self.days_remaining(now)


@dataclass
class Visitor:
    """Who asks. `owner`: with the account's token."""

    ip: str
    user_agent: str
    referrer: str = ""
    owner: bool = False


@dataclass
class Pushes:
    """One Password Pusher.

    Attributes:
        edition: `oss` (2.x, self-hosted), `pro` (hosted) or `v1` (before API v2).
        anonymous: Whether pushes without a token are taken.
        clamp_views: The most views that its settings allow; a push that wants more gets the default, as there.
        keeps_notes: Whether a push comes out with its note.
        page: Rows of a list; audits have 50.
        watched_by_staff: Somebody signed in looks at a push each time when a page of its audit was read.
    """

    now: Callable[[], datetime]
    edition: str = "oss"
    anonymous: bool = True
    clamp_views: int = VIEWS[-1]
    keeps_notes: bool = True
    page: int = 25
    watched_by_staff: bool = False
    kept: dict[str, Push] = field(default_factory=dict)
    _last: datetime | None = None

    def create(self, wish: dict[str, Any], visitor: Visitor) -> Push:
        """Raises: Invalid."""
        payload = wish.get("payload")
        if not isinstance(payload, str) or not payload.strip():
            raise Invalid({"payload": ["Payload is required."]})
        if len(payload) > LONGEST_PAYLOAD:
            raise Invalid({"payload": ["The payload is too large.  You can only push up to 1048576 bytes."]})
        days = _whole(wish.get("expire_after_days"), DEFAULT_DAYS)
        views = _whole(wish.get("expire_after_views"), DEFAULT_VIEWS)
        duration = _whole(wish.get("expire_after_duration"), DEFAULT_DURATION) if self.edition == "pro" else None
        if duration is not None and duration not in range(len(DURATIONS)):
            raise Invalid({"expire_after_duration": ["is not included in the list"]})
        now = self._tick()
        push = Push(
            # Lower-cased, which costs entropy.
            url_token=secrets.token_urlsafe(secrets.choice(range(8, 15))).lower(),
            payload=payload,
            note=str(wish.get("note") or "") if self.keeps_notes else "",
            name=str(wish.get("name") or ""),
            owned=visitor.owner,
            created_at=now,
            views=views if views in VIEWS and views <= self.clamp_views else DEFAULT_VIEWS,
            days=days if days in DAYS else DEFAULT_DAYS,
            duration=duration,
            retrieval_step=_flag(wish.get("retrieval_step")),
            deletable_by_viewer=_flag(wish.get("deletable_by_viewer")),
            passphrase=str(wish.get("passphrase") or ""),
        )
        self.kept[push.url_token] = push
        if visitor.owner:
            self._log(push, "creation", visitor)
        return push

    def claim(self, push: Push, visitor: Visitor) -> str | None:
        """Show the payload and write it down; `None` when there is nothing to show any more."""
        if not push.expired and (push.is_over(self.now()) or not push.views_remaining):
            self.end(push)
        if push.expired or len(push.logs) >= LOG_CAP:
            self._log(push, "failed_view", visitor)
            return None
        payload = push.payload
        self._log(push, "owner_view" if visitor.owner and push.owned else "view", visitor)
        if not push.views_remaining:
            self.end(push)
        return payload

    def end(self, push: Push, by: Visitor | None = None) -> None:
        """Delete the content. Only what somebody asks for leaves a row; time and the last view do not."""
        push.payload, push.passphrase, push.expired_on = None, None, self._tick()
        if by is not None:
            self._log(push, "expire", by)

    def listed(self, *, expired: bool, page: int) -> list[Push]:
        """One page of the account's own, newest first. The hourly job, that ends what time has ended, ran just now."""
        for push in self.kept.values():
            if not push.expired and push.is_over(self.now()):
                self.end(push)
        mine = [push for push in self.kept.values() if push.owned and push.expired is expired]
        mine.sort(key=lambda push: push.created_at, reverse=True)
        return mine[(page - 1) * self.page : page * self.page]

    def fail_passphrase(self, push: Push, visitor: Visitor) -> None:
        self._log(push, "failed_passphrase", visitor)

    def _log(self, push: Push, kind: str, visitor: Visitor) -> None:
        if len(push.logs) < LOG_CAP:
            push.logs.append(Log(kind, visitor.ip, visitor.user_agent, visitor.referrer, self._tick()))

    def _tick(self) -> datetime:
        """The present, in whole milliseconds as the API shows it, and never the same twice."""
        now = self.now()
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        if self._last is not None and now <= self._last < now + timedelta(seconds=1):
            now = self._last + timedelta(milliseconds=1)
        self._last = now
        return now


def _whole(value: object, default: int) -> int:
    try:
        return default if value is None else int(str(value))
    except ValueError:
        return default


def _flag(value: object) -> bool:
    return str(value).lower() in ("true", "1", "on", "yes")
