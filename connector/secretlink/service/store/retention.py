"""What time does to links and events: they run out, lose what is personal in them, and are forgotten.

Each call does one slice in one transaction, about as much for the disk as a reveal is, so that nobody waits long for
it, however much there is to do; the caretaker calls until nothing is left. Doing the same twice, in several processes
at once, or being killed at any moment, changes nothing.

**Forgetting** begins with a `purged` event, which says up to where the history is removed: a stretch of up to `STRETCH`
events. From then on they count as removed. Then they go, slice by slice, from the front, so that what is left is always
the end of the history; with the last event of a link goes the link.

What is old although a clock was wrong: see `ages`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    or_,
    select,
    text,
    update,
)

from connector.secretlink.service.store import tables
from connector.secretlink.service.store.ages import NOTHING_LIVES_SO_LONG, History, before, milliseconds
from connector.secretlink.service.store.chain import EventKind
from connector.secretlink.service.store.database import looking
from connector.secretlink.service.store.links import ACTIVE
from connector.secretlink.service.store.records import HAS_ENDED, Records, due_first

LINKS_AT_ONCE: Final = 8
BLANKED_AT_ONCE: Final = 8
FEWEST_EVENTS_AT_ONCE: Final = 16
"""Slices of these sizes take some 2 ms: each link has its rows and index pages apart."""
MOST_EVENTS_AT_ONCE: Final = 64
"""Where the disk takes so long for a commit that more in it hardly matters."""
STRETCH: Final = 200
ROWS_TO_FOLD: Final = 64
_ANY_AGE: Final = 1 << 62

_EVENT: Final = tables.event.c
_LINK: Final = tables.link.c
_ALARM: Final = tables.alarm.c
# Made once: making a statement costs SQLAlchemy three times what executing it does.
_UP_TO: Final = (
    select(_EVENT.seq, _EVENT.link_id)
    .where(_EVENT.seq <= bindparam("last"))
    .order_by(_EVENT.seq)
    .limit(bindparam("most"))
)
_REMOVE_UP_TO: Final = delete(tables.event).where(_EVENT.seq <= bindparam("last"))
_OLDEST: Final = (
    select(_EVENT.seq, _EVENT.at_ms, _LINK.id, _LINK.state, _LINK.ended_ms)
    .join_from(tables.event, tables.link, _EVENT.link_id == _LINK.id, isouter=True)
    .order_by(_EVENT.seq)
    .limit(STRETCH)
)
# As in the index, word by word: there only events with something left to blank are found.
_PERSONAL: Final = (
    select(_EVENT.seq, _EVENT.at_ms)
    .where(text("(ip IS NOT NULL OR user_agent IS NOT NULL)"))
    .order_by(_EVENT.seq)
    .limit(BLANKED_AT_ONCE)
)
_FORGET_LINKS: Final = delete(tables.link).where(
    _LINK.id.in_(bindparam("link_ids", expanding=True)), HAS_ENDED, ~exists().where(_EVENT.link_id == _LINK.id)
)
# Of those that ended long ago only some are looked at. To look for all that have no events left would take seconds
# while a million still have some; and a link goes with its last event anyway.
_ENDED_FIRST: Final = (
    select(_LINK.id).where(_LINK.ended_ms < bindparam("cutoff_ms")).order_by(_LINK.ended_ms).limit(LINKS_AT_ONCE)
)
_OF_A_CLOCK_AHEAD: Final = _ALARM.expires_at >= bindparam("far")
_SEE_ALARMS: Final = (
    update(tables.alarm)
    .where(_OF_A_CLOCK_AHEAD, _ALARM.created_ms > bindparam("now_ms"))
    .values(created_ms=bindparam("now_ms"))
)
_FORGET_ALARMS: Final = delete(tables.alarm).where(
    _ALARM.id.in_(
        select(_ALARM.id)
        .where(
            or_(
                _ALARM.expires_at < bindparam("cutoff"),
                and_(_OF_A_CLOCK_AHEAD, _ALARM.created_ms < bindparam("made_before_ms")),
            )
        )
        .limit(LINKS_AT_ONCE)
        .scalar_subquery()
    )
)


@dataclass(frozen=True)
class Slice:
    """What one call did.

    Attributes:
        done: How many links or events it worked on. Of links that are forgotten in several slices it is told with the
            next `purged` event, or at the end: whoever waits for events is not woken for each slice.
        more: Whether there is more of it to do now.
    """

    done: int
    more: bool


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
        self._untold = 0

    def expire(self) -> int:
        """End the links that ran out first. Returns how many."""
        self._fold()
        with self._records.writing() as (connection, now_ms):
            due = due_first(_LINK.id).where(_LINK.expires_at <= now_ms // 1000).limit(LINKS_AT_ONCE)
            expired = self._records.expire(connection, _LINK.id.in_(due.scalar_subquery()), now_ms)
        self._not_folded += expired
        return expired

    def blank(self, older_than: timedelta) -> Slice:
        """Blank the oldest events with something personal in them. See `chain`."""
        if self._fold():
            return Slice(0, more=True)
        with self._records.writing() as (connection, now_ms):
            history = History(connection, before_ms=before(now_ms, older_than))
            old = 0
            for row in connection.execute(_PERSONAL):
                if not history.is_old(row):
                    break
                old += 1
            if old:
                # Which ones are old enough is decided here: they are the first so many, whatever they say.
                self._records.chain.blank(connection, before_ms=_ANY_AGE, most=old)
        self._not_folded += old
        return Slice(old, more=old == BLANKED_AT_ONCE)

    def purge(self, older_than: timedelta) -> Slice:
        """Forget the oldest events, and links that ended long ago and have no events left; at the end, alarms.

        The history loses only whole stretches at its beginning: it stops in front of the first event of a link that
        is still needed.
        """
        if self._fold():
            return Slice(0, more=True)
        most = self._events_at_once
        began = self._timer()
        with self._records.writing() as (connection, now_ms):
            cutoff_ms = before(now_ms, older_than)
            events, named, announced = self._remove_events(connection, cutoff_ms, now_ms, most=most)
            alarms = 0
            if events < most:
                named |= set(connection.execute(_ENDED_FIRST, {"cutoff_ms": cutoff_ms}).scalars())
                alarms = _forget_alarms(connection, cutoff_ms, now_ms)
            links = _forget_links(connection, named)
            done = self._timer()
        more = events >= most or max(links, alarms) >= LINKS_AT_ONCE
        if more:
            self._events_at_once = fitting(most, worked=done - began, written=self._timer() - done)
        self._not_folded += events + links
        self._untold += links
        if more and not announced:
            return Slice(0, more)
        told, self._untold = self._untold, 0
        return Slice(told, more)

    def _remove_events(
        self, connection: Connection, cutoff_ms: int, now_ms: int, *, most: int
    ) -> tuple[int, set[str], bool]:
        """Remove events of the stretch that was announced, and then of the next one.

        Returns:
            How many, their links, and whether another stretch was announced.
        """
        removed, named, announced = 0, set[str](), False
        last: int | None = self._records.chain.beginning(connection).seq
        while removed < most and last is not None:
            rows = connection.execute(_UP_TO, {"last": last, "most": most - removed}).all()
            if rows:
                connection.execute(_REMOVE_UP_TO, {"last": rows[-1].seq})
                removed += len(rows)
                named.update(row.link_id for row in rows if row.link_id is not None)
            else:
                last = self._announce(connection, cutoff_ms, now_ms)
                announced = announced or last is not None
        return removed, named, announced

    def _announce(self, connection: Connection, cutoff_ms: int, now_ms: int) -> int | None:
        """Write up to where the history is removed now; `None` when there is nothing to remove."""
        last = self._last_old(connection, cutoff_ms, now_ms)
        mac = None if last is None else self._records.chain.mac_at(connection, last)
        if last is not None and mac is not None:
            # Before anything is removed: the chain must never be empty, or counting would begin again at 1.
            self._records.chain.append(connection, EventKind.PURGED, at_ms=now_ms, reason=f"{last}:{mac.hex()}")
        return last

    def _last_old(self, connection: Connection, cutoff_ms: int, now_ms: int) -> int | None:
        """The number of the last event, of the first `STRETCH`, up to which all can be removed."""
        history = History(connection, before_ms=cutoff_ms)
        last = None
        for row in connection.execute(_OLDEST).all():
            if not history.is_old(row):
                break
            if row.id is not None and not self._is_over(history, row, now_ms):
                break
            last = row.seq
        return last

    def _is_over(self, history: History, row: Any, now_ms: int) -> bool:
        """Whether the link of an event ended long ago. One that should have ended long ago is ended."""
        if row.state != ACTIVE:
            return bool(row.ended_ms < history.before_ms) or history.is_proven_old(history.last_of(row.id))
        before_ms = before(history.before_ms, NOTHING_LIVES_SO_LONG)
        if History(history.connection, before_ms=before_ms).is_proven_old(row.seq):
            self._records.end(history.connection, _LINK.id == row.id, "expired", EventKind.EXPIRED, now_ms)
        return False

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


def _forget_links(connection: Connection, named: Collection[str]) -> int:
    """Forget those of these links that have ended and have no events left. Returns how many."""
    return connection.execute(_FORGET_LINKS, {"link_ids": sorted(named)}).rowcount if named else 0


def _forget_alarms(connection: Connection, cutoff_ms: int, now_ms: int) -> int:
    """Forget alarms whose time was over long ago. Returns how many."""
    far = (now_ms + milliseconds(NOTHING_LIVES_SO_LONG)) // 1000
    connection.execute(_SEE_ALARMS, {"far": far, "now_ms": now_ms})
    made_before_ms = before(cutoff_ms, NOTHING_LIVES_SO_LONG)
    values = {"cutoff": cutoff_ms // 1000, "far": far, "made_before_ms": made_before_ms}
    return connection.execute(_FORGET_ALARMS, values).rowcount
