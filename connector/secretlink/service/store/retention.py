"""What time does to links and events: they run out, lose what is personal in them, and are forgotten.

Each call does one slice in one transaction, about as much for the disk as a reveal is, so that nobody waits long for
it, however much there is to do; the caretaker calls until nothing is left. Doing the same twice, in several processes
at once, or being killed at any moment, changes nothing.

**Forgetting** begins with a `purged` event, which says up to where the history is removed: a stretch of up to `STRETCH`
events. From then on they count as removed. Then they go, slice by slice, from the front, so that what is left is always
the end of the history; with the last event of a link goes the link.

What is old is said by numbers of events, from `Retention.old_up_to`. Nothing else here looks at the clock for that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import Connection, bindparam, delete, exists, insert, select

from connector.secretlink.service.store import tables
from connector.secretlink.service.store.chain import EventKind
from connector.secretlink.service.store.database import looking
from connector.secretlink.service.store.links import ACTIVE
from connector.secretlink.service.store.marks import LEAST_APART, newest_old
from connector.secretlink.service.store.records import HAS_ENDED, Records, due_first

LINKS_AT_ONCE: Final = 8
BLANKED_AT_ONCE: Final = 8
FEWEST_EVENTS_AT_ONCE: Final = 16
"""Slices of these sizes take some 2 ms: each link has its rows and index pages apart."""
MOST_EVENTS_AT_ONCE: Final = 64
"""Where the disk takes so long for a commit that more in it hardly matters."""
STRETCH: Final = 200
ROWS_TO_FOLD: Final = 64
_LARGEST_STEP_BACK: Final = timedelta(minutes=5)
"""By more a clock that is right is not set."""

_EVENT: Final = tables.event.c
_LINK: Final = tables.link.c
_ALARM: Final = tables.alarm.c
_MARK: Final = tables.mark.c
# Made once: making a statement costs SQLAlchemy three times what executing it does.
_UP_TO: Final = (
    select(_EVENT.seq, _EVENT.link_id)
    .where(_EVENT.seq <= bindparam("last"))
    .order_by(_EVENT.seq)
    .limit(bindparam("most"))
)
_REMOVE_UP_TO: Final = delete(tables.event).where(_EVENT.seq <= bindparam("last"))
_OLDEST: Final = (
    select(_EVENT.seq, _EVENT.mac, _LINK.id, _LINK.state)
    .join_from(tables.event, tables.link, _EVENT.link_id == _LINK.id, isouter=True)
    .where(_EVENT.seq <= bindparam("up_to"))
    .order_by(_EVENT.seq)
    .limit(STRETCH)
)
_FORGET_LINKS: Final = delete(tables.link).where(
    _LINK.id.in_(bindparam("link_ids", expanding=True)), HAS_ENDED, ~exists().where(_EVENT.link_id == _LINK.id)
)
# Made before that event, not just after the one before it: then there is no knowing how long after.
_FORGET_ALARMS: Final = delete(tables.alarm).where(
    _ALARM.id.in_(select(_ALARM.id).where(_ALARM.made_seq < bindparam("up_to")).limit(LINKS_AT_ONCE).scalar_subquery())
)
_MARKS: Final = select(_MARK.id, _MARK.seq, _MARK.at_ms).order_by(_MARK.id)
_NEWEST_MARK: Final = select(_MARK.id, _MARK.at_ms).order_by(_MARK.id.desc()).limit(1)
_DROP_MARKS: Final = delete(tables.mark).where(_MARK.id < bindparam("first"))

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Slice:
    """What one call did.

    Attributes:
        more: Whether there is more of it to do now.
        wrote_event: Whether there is news for whoever waits for events.
    """

    more: bool
    wrote_event: bool


class Retention:
    """Ends, blanks and forgets."""

    def __init__(self, records: Records, *, timer: Callable[[], float] = time.perf_counter) -> None:
        """Nothing is done yet.

        Args:
            timer: Seconds from some instant on.
        """
        self._records = records
        self._timer = timer
        self._events_at_once = FEWEST_EVENTS_AT_ONCE
        self._not_folded = 0

    def expire(self) -> int:
        """End the links that ran out first. Returns how many."""
        self._fold()
        with self._records.writing() as (connection, now_ms):
            due = due_first(_LINK.id).where(_LINK.expires_at <= now_ms // 1000).limit(LINKS_AT_ONCE)
            expired = self._records.expire(connection, _LINK.id.in_(due.scalar_subquery()), now_ms)
        self._not_folded += expired
        return expired

    def old_up_to(self, ages: Sequence[timedelta]) -> list[int]:
        """See `Vault.old_up_to`. Writes a mark, unless there is one from this hour, and drops those that are of no use.

        Several processes on one database write one mark an hour between them: whoever comes first.
        """
        with self._records.writing() as (connection, now_ms):
            newest = connection.execute(_NEWEST_MARK).one_or_none()
            ahead = timedelta(milliseconds=newest.at_ms - now_ms) if newest else None
            if ahead is None or abs(ahead) >= LEAST_APART:
                number, seq = newest.id + 1 if newest else 1, self._records.chain.head(connection).seq
                connection.execute(insert(tables.mark).values(id=number, seq=seq, at_ms=now_ms))
            marks = connection.execute(_MARKS).all()
            instants = [mark.at_ms for mark in marks]
            places = [newest_old(instants, age) for age in ages]
            if oldest := min(place or 0 for place in places):
                connection.execute(_DROP_MARKS, {"first": marks[oldest].id})
        if ahead is not None and ahead > _LARGEST_STEP_BACK:
            todo = "look whether the clock is right, on every machine: links end by it"
            log.warning("link_clock_went_back", by_seconds=round(ahead.total_seconds()), todo=todo)
        return [0 if place is None else marks[place].seq for place in places]

    def blank(self, up_to: int) -> bool:
        """Blank the oldest events with something personal in them; whether there may be more. See `chain`."""
        if self._fold():
            return True
        with self._records.writing() as (connection, _):
            blanked = self._records.chain.blank(connection, up_to=up_to, most=BLANKED_AT_ONCE)
        self._not_folded += blanked
        return blanked == BLANKED_AT_ONCE

    def purge(self, up_to: int, over_up_to: int) -> Slice:
        """Forget the oldest events, and links that have none left; at the end, alarms. See `Vault.purge`.

        The history loses only whole stretches at its beginning: it stops in front of the first event of a link that
        still lives.
        """
        if self._fold():
            return Slice(more=True, wrote_event=False)
        most = self._events_at_once
        began = self._timer()
        with self._records.writing() as (connection, now_ms):
            removed, named, announced = 0, set[str](), False
            last: int | None = self._records.chain.beginning(connection).seq
            while removed < most and last is not None:
                rows = connection.execute(_UP_TO, {"last": last, "most": most - removed}).all()
                if rows:
                    connection.execute(_REMOVE_UP_TO, {"last": rows[-1].seq})
                    removed += len(rows)
                    named.update(row.link_id for row in rows if row.link_id is not None)
                else:
                    last = self._announce(connection, up_to, over_up_to, now_ms)
                    announced = announced or last is not None
            links = connection.execute(_FORGET_LINKS, {"link_ids": sorted(named)}).rowcount if named else 0
            alarms = 0
            if removed < most:
                alarms = connection.execute(_FORGET_ALARMS, {"up_to": min(up_to, over_up_to)}).rowcount
            done = self._timer()
        more = removed >= most or alarms >= LINKS_AT_ONCE
        if more:
            self._events_at_once = fitting(most, worked=done - began, written=self._timer() - done)
        self._not_folded += removed + links
        return Slice(more, wrote_event=announced)

    def _announce(self, connection: Connection, up_to: int, over_up_to: int, now_ms: int) -> int | None:
        """Write up to where the history is removed now; `None` when there is nothing to remove."""
        last = None
        for row in connection.execute(_OLDEST, {"up_to": up_to}).all():
            if row.state == ACTIVE:
                if row.seq > over_up_to:
                    break
                self._records.end(connection, _LINK.id == row.id, "expired", EventKind.EXPIRED, now_ms)
            last = row
        if last is None:
            return None
        # Before anything is removed: the chain must never be empty, or counting would begin again at 1.
        self._records.chain.append(connection, EventKind.PURGED, at_ms=now_ms, reason=f"{last.seq}:{last.mac.hex()}")
        return int(last.seq)

    def _fold(self) -> bool:
        """Fold SQLite's write-ahead log back, if there is enough in it; whether that was done.

        Left alone, SQLite does so after a thousand pages, and the reveal whose turn it is waits for all of them. Nobody
        is waited for here, and what cannot be folded yet is folded next time.
        Source: https://www.sqlite.org/wal.html, section 2.3, read 2026-11-22.
        """
        if self._not_folded < ROWS_TO_FOLD:
            return False
        self._not_folded = 0
        if self._records.engine.dialect.name != "sqlite":
            return False
        with looking(self._records.engine) as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").close()
        return True


def fitting(events: int, *, worked: float, written: float) -> int:
    """How many events the next slice takes: more of them where most of the time goes into writing to the disk.

    Args:
        events: How many the last one took.
        worked: Seconds until its commit.
        written: Seconds for that.
    """
    if written > 4 * worked:
        return min(2 * events, MOST_EVENTS_AT_ONCE)
    if written < 2 * worked:
        return max(events // 2, FEWEST_EVENTS_AT_ONCE)
    return events
