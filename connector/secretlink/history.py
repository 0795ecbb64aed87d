"""How the connector knows that the link service's history goes on where it was left.

Every event of the service carries a mac over itself and the mac before it (see `chain`). The connector cannot compute
one, but it keeps the last one that it read beside its number: its cursor reads `1842:<mac>`. With each page the service
says what mac it has at that number now (`anchor`). Another one means that something before it was changed; none means
that the event is gone. So whoever owns the service's database can change nothing that was read once, and take nothing
away behind the connector's back.

A service that tidies up is no such case: the `purged` event that it writes names the last event that it removed, and
its mac. When that is the very event that was read last, nothing was missed.

Nothing is concluded from a history that does not go on: its events are not even looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

from connector.errors import PermanentError, TemporaryError

WHAT_TO_DO: Final = (
    "What it tells is not believed until a person has looked: see connector links list, and accept its history as it "
    "is now with: connector links accept-history"
)
_CURSOR: Final = re.compile(r"(\d{1,18})(?::([0-9a-f]{64}))?(?:\+(\d{1,19}))?", re.ASCII)
_OF_ANOTHER_KIND: Final = re.compile(r"\d{1,19}(?=\.)", re.ASCII)
_MAC: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
PURGED: Final = "purged"


@dataclass(frozen=True)
class Position:
    """A place in the history.

    Attributes:
        seq: Of the last event that was read; 0 before the first one.
        mac: What the chain says of it, 64 hexadecimal digits; empty where that is not known.
        base: What the connector adds to the numbers of events. A service that was restored counts some of them again,
            and the connector, which takes in each number of a case once, would miss those.
    """

    seq: int
    mac: str = ""
    base: int = 0

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """The place that a cursor means; the cursors of older connectors are digits only.

        One of another kind of service means the beginning. Its numbers, which cases may have taken in, come before
        ours: see `telling`.
        """
        found = _CURSOR.fullmatch(cursor or "0")
        if found is None:
            others = _OF_ANOTHER_KIND.match(cursor)
            return cls(0, "", int(others[0]) if others else 0)
        return cls(int(found[1]), found[2] or "", int(found[3] or 0))

    def __str__(self) -> str:
        place = f"{self.seq}:{self.mac}" if self.seq and self.mac else str(self.seq)
        return f"{place}+{self.base}" if self.base else place if self.seq else ""

    def anew(self) -> Position:
        """The beginning of a history that takes the place of this one; no number of it was there before."""
        return Position(0, "", self.base + self.seq)


@dataclass(frozen=True)
class Page:
    """One answer of the service, as far as its form was checked.

    Attributes:
        after: The place that was asked from.
        events: Those behind it, oldest first, as they came.
        head: The newest event of all.
        anchor: The mac that the service has at `after.seq` now; empty where it has no such event (any more).
        end: Where to ask from next.
        more: Whether there are events beyond these.
    """

    after: Position
    events: Sequence[Mapping[str, object]]
    head: Position
    anchor: str
    end: Position
    more: bool


def read_page(after: Position, content: object) -> Page:
    """The answer of `GET /api/v1/events`.

    Raises:
        TemporaryError: It has another shape.
    """
    try:
        if not isinstance(content, Mapping):
            raise TypeError
        events = [event for event in content["events"] if isinstance(event, Mapping)]
        seqs = [_whole(event["seq"]) for event in events]
        head = Position(_whole(content["head"]["seq"]), _mac(content["head"]["mac"]))
        anchor = _mac(content["anchor"]) if content["anchor"] is not None else ""
        end = replace(after, mac=anchor or after.mac)
        if seqs:
            end = replace(after, seq=seqs[-1], mac=_mac(content["next_mac"]))
        if len(events) != len(content["events"]) or end.seq != _whole(content["next"]):
            raise ValueError
        return Page(after, events, head, anchor, end, content["more"] is True and bool(seqs))
    except (KeyError, TypeError, ValueError):
        raise shape_not_known() from None


def shape_not_known() -> TemporaryError:
    """What is to be said of an answer that cannot be read."""
    return TemporaryError(
        "The link service answered events in a shape that is not known here. "
        "Bring connector and link service to the same version."
    )


def believe(page: Page, ask: Callable[[Position], Page]) -> None:
    """Make sure that a page goes on where the history was left.

    Args:
        ask: Gets the page behind a place; only called when an event that was read is gone.

    Raises:
        PermanentError: It does not; with what was found and what to do.
        TemporaryError, AuthenticationError: Of `ask`.
    """
    after = page.after
    if page.head.seq < after.seq:
        raise PermanentError(
            f"The link service knows {page.head.seq} events, but {after.seq} were read from it before: its database "
            f"was replaced, or restored from a backup. {WHAT_TO_DO}"
        )
    if after.seq and not page.anchor:
        _believe_purge(page, ask)
    elif after.mac and page.anchor != after.mac:
        raise PermanentError(
            f"The link service tells its event {after.seq} otherwise than when it was read: its history was rewritten, "
            f"or its database was restored from a backup and has gone on since. {WHAT_TO_DO}"
        )
    before = after.seq
    for seq in (_whole(event["seq"]) for event in page.events):
        if seq != before + 1 and before:  # before the first reading, the oldest events may have been removed already
            raise PermanentError(
                f"The link service's history jumps from event {before} to event {seq}: events were taken out of it. "
                f"{WHAT_TO_DO}"
            )
        before = seq


def _believe_purge(page: Page, ask: Callable[[Position], Page]) -> None:
    """The event that was read last is gone: whether the service removed it in good order, and nothing else unread."""
    after, removed = page.after, _newest_purge(page, ask)
    if removed is None or removed.seq < after.seq:
        raise PermanentError(
            f"The link service has lost its event {after.seq}, which was read before, and tells of no removal: its "
            f"history was rewritten. {WHAT_TO_DO}"
        )
    if removed.seq > after.seq:
        raise PermanentError(
            f"The link service has removed its events up to {removed.seq} because their time of keeping was over, but "
            f"only those up to {after.seq} had been read here: what happened in between is not known. {WHAT_TO_DO}"
        )
    if after.mac and removed.mac != after.mac:
        raise PermanentError(
            f"The link service has removed another event {after.seq} than the one that was read: its history was "
            f"rewritten. {WHAT_TO_DO}"
        )


def _newest_purge(page: Page, ask: Callable[[Position], Page]) -> Position | None:
    """The last event that the newest purge behind this place removed."""
    found: Position | None = None
    while True:
        for event in page.events:
            if event.get("kind") == PURGED:
                seq, _, mac = str(event.get("reason") or "").partition(":")
                if not (seq.isascii() and seq.isdecimal() and _MAC.fullmatch(mac)):
                    return None
                found = Position(int(seq), mac)
        if not page.more or page.end.seq <= page.after.seq:
            return found
        page = ask(page.end)


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("not a whole number")
    return value


def _mac(value: object) -> str:
    if not isinstance(value, str) or not _MAC.fullmatch(value):
        raise ValueError("not a mac")
    return value
