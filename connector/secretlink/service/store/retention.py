"""What time does to links and events: they run out, lose what is personal in them, and are forgotten.

Each call does one slice in one short transaction, so that a reveal never waits long, however much there is to do; the
caretaker calls until nothing is left. Doing the same twice, or in several processes at once, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import delete, exists, select

from connector.secretlink.service.store import tables
from connector.secretlink.service.store.records import Records, due_first

LINKS_AT_ONCE: Final = 40
EVENTS_AT_ONCE: Final = 80
"""With a million links, a slice of this size takes some 20 ms: each link has its rows and index pages apart."""


@dataclass(frozen=True)
class Slice:
    """What one call did.

    Attributes:
        done: How many links or events it worked on.
        more: Whether there is more of it to do now.
    """

    done: int
    more: bool


class Retention:
    """Ends, blanks and forgets."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def expire(self) -> int:
        """End the links that ran out first. Returns how many."""
        link = tables.link.c
        with self._records.writing() as (connection, now_ms):
            due = due_first(link.id).where(link.expires_at <= now_ms // 1000).limit(LINKS_AT_ONCE)
            return self._records.expire(connection, link.id.in_(due.scalar_subquery()), now_ms)

    def blank(self, older_than: timedelta) -> Slice:
        """Blank the oldest events with something personal in them. See `chain`."""
        with self._records.writing() as (connection, now_ms):
            blanked = self._records.chain.blank(connection, before_ms=_cutoff(now_ms, older_than), most=EVENTS_AT_ONCE)
        return Slice(blanked, more=blanked == EVENTS_AT_ONCE)

    def purge(self, older_than: timedelta) -> Slice:
        """Forget the oldest events, then links that ended long ago and have no events left, then alarms.

        The history loses only whole stretches at its beginning: it stops in front of the first event of a link that
        is still needed.
        """
        with self._records.writing() as (connection, now_ms):
            cutoff_ms = _cutoff(now_ms, older_than)
            event, link, alarm = tables.event.c, tables.link.c, tables.alarm.c
            oldest = connection.execute(
                select(event.seq, event.at_ms, link.id, link.ended_ms)
                .join_from(tables.event, tables.link, event.link_id == link.id, isouter=True)
                .order_by(event.seq)
                .limit(EVENTS_AT_ONCE)
            ).all()
            last, events, named = None, 0, set[str]()
            for row in oldest:
                is_needed = row.id is not None and (row.ended_ms is None or row.ended_ms >= cutoff_ms)
                if row.at_ms >= cutoff_ms or is_needed:
                    break
                last, events = row.seq, events + 1
                if row.id is not None:
                    named.add(row.id)
            if last is not None:
                self._records.chain.remove_up_to(connection, last, at_ms=now_ms)
            # Of those that ended long ago only some are looked at: mostly the ones whose events have just gone. To look
            # for all that have no events left would take seconds while a million still have some.
            oldest_ended = (
                select(link.id).where(link.ended_ms < cutoff_ms).order_by(link.ended_ms).limit(EVENTS_AT_ONCE)
            )
            named.update(connection.execute(oldest_ended).scalars())
            forgotten = select(link.id).where(
                link.id.in_(named), link.ended_ms < cutoff_ms, ~exists().where(event.link_id == link.id)
            )
            links = connection.execute(delete(tables.link).where(link.id.in_(forgotten.scalar_subquery()))).rowcount
            gone = select(alarm.id).where(alarm.expires_at < cutoff_ms // 1000).limit(EVENTS_AT_ONCE)
            alarms = connection.execute(delete(tables.alarm).where(alarm.id.in_(gone.scalar_subquery()))).rowcount
        return Slice(links, more=max(events, links, alarms) >= EVENTS_AT_ONCE)


def _cutoff(now_ms: int, age: timedelta) -> int:
    return now_ms - int(age.total_seconds() * 1000)
