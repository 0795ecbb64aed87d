"""What a push is: as it is ordered, as answers show it, and whether the one came out as the other. No calls.

A push's url token opens it, so it is a `Secret` from the moment in which it is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from connector.core.secret import Secret
from connector.errors import TemporaryError
from connector.http import Answer
from connector.secretlink.telling import EARLIEST, LATEST

DURATIONS: Final = (
    *(timedelta(minutes=minutes) for minutes in (15, 30, 45, 60)),
    *(timedelta(hours=hours) for hours in (6, 12)),
    *(timedelta(days=days) for days in (1, 2, 3, 4, 5, 6, 7)),
)
"""What `expire_after_duration` of the hosted service counts through, from 0; longer ones are of no use here.

Source: `durations.py` of pwpush-mcp 0.5.0 and `pwpush.ts` of a Raycast extension, which agree; read 2026-11-22.
"""

UNNAMED: Final = "unnamed"
"""A row of version 1 that is no successful view: one that was refused, or what somebody did who was signed in."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{6,64}")


class Edition(StrEnum):
    """Which Password Pusher it is, as far as its API goes."""

    V1 = "v1"
    """Before API v2: self-hosted of version 1."""
    OSS = "oss"
    HOSTED = "hosted"
    """pwpush.com, or self-hosted Pro."""


@dataclass(frozen=True)
class Push:
    """A push as lists and creations show it. Without its payload.

    Attributes:
        token: Its url token: whoever has it opens the push.
        views_left: As the service counts them, refused views included; `None` where it does not say.
    """

    token: Secret
    note: str
    created_at: datetime
    views_left: int | None


@dataclass(frozen=True)
class Row:
    """A row of a push's audit.

    Attributes:
        kind: In the words of v2: `creation view failed_view expire failed_passphrase admin_view owner_view edit
            creation_email_send`; of version 1 `view expire` and `UNNAMED`.
    """

    kind: str
    at: datetime
    ip: str
    user_agent: str


@dataclass(frozen=True)
class Order:
    """What a push is to be."""

    payload: Secret
    note: str
    views: int
    lifetime: timedelta

    @property
    def days(self) -> int:
        """The lifetime in whole days, at least one, never less than wanted: the connector ends it in time."""
        return max(1, -(-self.lifetime // timedelta(days=1)))

    @property
    def duration(self) -> int:
        """The longest of `DURATIONS` that is not above the lifetime, or the shortest there is."""
        fitting = [index for index, length in enumerate(DURATIONS) if length <= self.lifetime]
        return fitting[-1] if fitting else 0

    def open_for(self, edition: Edition) -> timedelta:
        """How long it can be opened: for its lifetime, unless the hosted service ends it at a step before that."""
        return min(self.lifetime, DURATIONS[self.duration]) if edition is Edition.HOSTED else self.lifetime


def kept(order: Order, edition: Edition, answer: Mapping[str, Any], *, end: datetime) -> bool:
    """Whether a push came out as it was ordered: its views, its end, its retrieval step and its note.

    A service that clamps a value, or does not know it, answers 201 all the same. What the answer does not say counts as
    not kept. Version 1 has said all of these since 1.0, but for the note; see this package's docstring.

    Args:
        end: When it is to be over, by our clock.
    """
    same = answer.get("expire_after_views") == order.views and answer.get("retrieval_step") is True
    note = answer.get("note")
    if note != order.note and (edition is Edition.OSS or note is not None):
        return False
    shown = answer.get("html_url")
    if isinstance(shown, str) and not urlsplit(shown).path.rstrip("/").endswith("/r"):
        return False
    if edition is not Edition.HOSTED:
        return same and answer.get("expire_after_days") == order.days
    if answer.get("expire_after_duration") == order.duration:
        return same
    try:
        return same and _instant(answer.get("expires_at")) <= end + timedelta(minutes=5)
    except ValueError:
        return False


def push_of(content: Mapping[str, Any], answer: Answer) -> Push:
    """A push as an answer shows it.

    Raises:
        TemporaryError: The shape is not known here.
    """
    token, left = content.get("url_token"), content.get("views_remaining")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        unknown_shape(answer)
    try:
        created_at = _instant(content.get("created_at"))
    except ValueError:
        unknown_shape(answer)
    return Push(
        token=Secret(token),
        note=str(content.get("note") or ""),
        created_at=created_at,
        views_left=left if isinstance(left, int) else None,
    )


def row_of(item: Mapping[str, Any], answer: Answer) -> Row:
    """A row of an audit, of either version. Raises: TemporaryError."""
    kind = item.get("kind")
    if isinstance(kind, int):
        # Version 1: 1 for an end, 0 for a view, which `successful` tells from a refused one and from the owner's own.
        # Source: `audit` of `Api::V1::PushesController` at 1.4x, read 2026-11-22.
        kind = "expire" if kind == 1 else "view" if item.get("successful") else UNNAMED
    try:
        at = _instant(item.get("created_at"))
    except ValueError:
        unknown_shape(answer)
    return Row(
        kind=str(kind),
        at=at,
        ip=str(item.get("ip") or "")[:64],
        user_agent=str(item.get("user_agent") or ""),
    )


def _instant(value: object) -> datetime:
    """Raises: ValueError."""
    moment = datetime.fromisoformat(str(value))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not EARLIEST <= moment < LATEST:
        raise ValueError("no time of an event")
    return moment.astimezone(UTC)


def mapping_of(content: object, answer: Answer) -> Mapping[str, Any]:
    """The content as a JSON object. Raises: TemporaryError."""
    if not isinstance(content, Mapping):
        unknown_shape(answer)
    return content


def unknown_shape(answer: Answer) -> NoReturn:
    """Say that an answer is not what is known here, without what is in it."""
    raise TemporaryError(
        f"Password Pusher answered {answer.where} in a shape that is not known here. Something may be answering in its "
        "place: check links.url, and the version there (connector check)."
    )
