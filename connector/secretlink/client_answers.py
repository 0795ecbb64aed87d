"""What our own link service tells, in the connector's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, runtime_checkable

from connector.core.ports import ALARM_REFERENCE, AlarmSource, LinkEvent, LinkEventKind

_CASE_ID: Final = re.compile(r"case-[A-Za-z0-9]+", re.ASCII)
"""What alarms were about once; databases of then have events under it."""
_KNOWN_KINDS: Final = frozenset(kind.value for kind in LinkEventKind)
_A_DAY: Final = timedelta(days=1)
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC) + _A_DAY
_LATEST: Final = datetime.max.replace(tzinfo=UTC) - _A_DAY
"""An instant between them can be written in every time zone."""
_MOST: Final = 2**31 - 1
_GREATEST_NUMBER: Final = 2**63 - 1
"""What columns of databases take; PostgreSQL is the one that minds."""
_BY_ALARM: Final = frozenset(source.value for source in AlarmSource)


@dataclass(frozen=True)
class ListedLink:
    """A link as its service has it: what happened to it, and nothing that opens it.

    Attributes:
        state: `active`, `consumed`, `expired` or `revoked`.
        ref: See `LinkWish`; empty where the ticket's number has to be typed.
    """

    id: str
    state: str
    views: int
    max_views: int
    expires_at: datetime
    ref: str


@runtime_checkable
class ListingLinks(Protocol):
    """A link service that can list its links; see `connector links list`."""

    def listed(self, state: str = "") -> Iterator[ListedLink]:
        """Its links, those of one state or all.

        Raises:
            TemporaryError, AuthenticationError (scope `links`).
        """


@runtime_checkable
class KeepsHistory(Protocol):
    """A link service whose history is held to where it was left; see `connector links accept-history`."""

    def begin_anew(self, cursor: str) -> str:
        """The cursor from which its whole history is read again, each event under a number that was never used.

        Args:
            cursor: Where the history that is given up had been read to.
        """


def read_event(item: Mapping[str, object], *, base: int = 0) -> LinkEvent | None:
    """An event in our words; `None` for a kind that we do not know or that belongs to no link.

    What a link is called or refers to, and what an alarm is about or ends, was written by whoever made it, with a key
    that need not be ours, and they can press it too. So an alarm speaks for its `about` alone, which has to be one of
    our references, and nothing else does: an alarm that ends a link of ours is no alarm about that link.

    Args:
        base: What is added to its number; see `history.Position`.

    Raises:
        KeyError, TypeError, ValueError: It has another shape, or a number or an instant that no database takes.
    """
    kind, link_id, about = str(item["kind"]), item["link_id"], str(item.get("ref") or "")
    if kind == LinkEventKind.REPORTED and item.get("reason") in _BY_ALARM:
        if not ALARM_REFERENCE.fullmatch(about):
            return None
        link_id = about
    elif link_id is None or any(form.fullmatch(str(link_id)) for form in (ALARM_REFERENCE, _CASE_ID)):
        return None
    if kind not in _KNOWN_KINDS:
        return None
    location = item.get("location")
    return LinkEvent(
        seq=_whole(_whole(item["seq"]) + base),
        link_id=str(link_id),
        kind=LinkEventKind(kind),
        at=_instant(item["at"]),
        view=_whole(item.get("view"), most=_MOST) if kind == LinkEventKind.REVEALED else 0,
        views_left=_whole(item.get("views_left"), most=_MOST),
        ip=str(item.get("ip") or ""),
        place=str(location.get("words") or "") if isinstance(location, Mapping) else "",
        agent=str(item.get("agent") or ""),
        reason=str(item.get("reason") or ""),
    )


def read_link(item: Mapping[str, object]) -> ListedLink:
    """A link of the list in our words.

    Raises:
        KeyError, TypeError, ValueError: It has another shape.
    """
    return ListedLink(
        id=str(item["id"]),
        state=str(item["state"]),
        views=_whole(item["views"]),
        max_views=_whole(item["max_views"]),
        expires_at=datetime.fromtimestamp(_whole(item["expires_at"]), UTC),
        ref=str(item.get("ref") or ""),
    )


def _instant(value: object) -> datetime:
    moment = datetime.fromisoformat(str(value))
    if moment.tzinfo is None or not _EARLIEST <= moment <= _LATEST:
        raise ValueError("no time zone, or too far away to be written in every one")
    return moment.astimezone(UTC)


def _whole(value: object, *, most: int = _GREATEST_NUMBER) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError("not a whole number from 0 on, or too great a one")
    return value
