"""Where links live: make, look, claim, expire, revoke, report. Each call is one transaction; see `claims` for reveals.

A link is `active` until it is `consumed` (its last view was used), `expired` or `revoked`; from then on its blob is
gone and only a tombstone stays. An alarm is `armed` until it is `raised` or `expired`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, insert, or_, select
from sqlalchemy.exc import IntegrityError

from connector.secretlink import tables
from connector.secretlink.alarms import Alarms
from connector.secretlink.chain import ChainReport, Event, EventKind, Visitor, event_from
from connector.secretlink.claims import SAME_CLICK, Asked, Claims
from connector.secretlink.database import checkpoint, open_engine, reading, require_tables
from connector.secretlink.links import (
    ACTIVE,
    AlarmRecord,
    Conflict,
    EventPage,
    LinkRecord,
    NewAlarm,
    NewLink,
    Refused,
    Revealed,
)
from connector.secretlink.peppers import Peppers
from connector.secretlink.records import IS_ACTIVE, Records, record_from
from connector.secretlink.seal import Pepper
from connector.secretlink.tables import metadata

__all__ = ["SAME_CLICK", "Conflict", "EventPage", "LinkRecord", "NewLink", "Refused", "Revealed", "Vault", "metadata"]


class Vault:
    """The link service's database. Safe for several threads and, on PostgreSQL, several processes.

    Links and alarms are found by their lookup (`seal.lookup_of` of the token). Every method that writes calls
    `on_event` after its commit, when it wrote an event.
    """

    def __init__(
        self,
        database: str,
        peppers: Peppers | Pepper,
        *,
        clock: Callable[[], datetime],
        on_event: Callable[[], None] = lambda: None,
    ) -> None:
        """Open the database.

        Args:
            database: SQLAlchemy address.
            peppers: One alone is the current one.
            clock: Returns the time now, with a zone.

        Raises:
            ConfigError: The database cannot be opened or has no tables yet.
        """
        self.engine = open_engine(database)
        require_tables(self.engine)
        peppers = peppers if isinstance(peppers, Peppers) else Peppers(peppers)
        self._records = Records(self.engine, peppers, clock=clock)
        self._claims = Claims(self._records)
        self._alarms = Alarms(self._records)
        self._chain = self._records.chain
        self._peppers = peppers
        self._on_event = on_event

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def create(self, new: NewLink) -> tuple[LinkRecord, bool]:
        """Store a link.

        Returns:
            The link, and whether it was made now. Repeating a create with the same content changes nothing and gives
            the link as it is by now, ended or not.

        Raises:
            Conflict: The id or the token belongs to another link.
            ValueError: The link would be born expired.
        """
        try:
            record, created = self._create(new)
        except IntegrityError:
            raise Conflict("another link has this token") from None
        if created:
            self._on_event()
        return record, created

    def find(self, link_id: str) -> LinkRecord | None:
        """A link by its id; `None` for one that never was or has been purged. May lag behind an expiry: see `visit`."""
        with reading(self.engine) as connection:
            row = self._records.row_by_id(connection, link_id)
        return record_from(row) if row else None

    def look(self, lookup: bytes) -> LinkRecord | None:
        """A link by its lookup, without a trace; `None` for an unknown one. May lag behind an expiry: see `visit`."""
        with reading(self.engine) as connection:
            row = self._records.row_by_lookup(connection, lookup)
        return record_from(row) if row else None

    def list_links(self, *, state: str | None, after: str, limit: int) -> Sequence[LinkRecord]:
        """Up to `limit` links with an id above `after`, in the order of their ids.

        Args:
            state: Only links in this state; `None`: all.
            after: The last id of the page before; empty: from the beginning.
        """
        link = tables.link.c
        wanted = select(tables.link).where(link.id > after).order_by(link.id).limit(limit)
        if state is not None:
            wanted = wanted.where(link.state == state)
        with reading(self.engine) as connection:
            return tuple(record_from(row) for row in connection.execute(wanted))

    def visit(
        self, lookup: bytes, kind: EventKind, *, visitor: Visitor, reason: str | None = None
    ) -> LinkRecord | None:
        """Note that somebody was at a link without revealing it; never uses a view.

        A link that has ended in the meantime is noted as `refused`. An unknown lookup leaves no trace.

        Returns:
            The link as it is now; `None` for an unknown lookup.
        """
        return self._visit(self._records.by_lookup(lookup), kind, visitor, reason)

    def visit_by_id(
        self, link_id: str, kind: EventKind, *, visitor: Visitor, reason: str | None = None
    ) -> LinkRecord | None:
        """The same for a visitor who shows no more than the id, as the page of a link in fragment mode is opened."""
        return self._visit(tables.link.c.id == link_id, kind, visitor, reason)

    def claim(
        self,
        lookup: bytes,
        *,
        nonce: str,
        visitor: Visitor,
        token: bytes | None = None,
        check: bytes | None = None,
    ) -> Revealed | Refused:
        """Use one view and get the password.

        The same nonce again within `SAME_CLICK` gives the same password and is not counted, as long as the link lives.

        Args:
            token: Opens the password here; without it, and only in fragment mode, the sealed bytes are given.
            check: What was typed (`seal.check_of`), for a link that asks for it.

        Returns:
            `Revealed` after the view was counted, recorded and committed; `Refused` when nothing was counted.

        Raises:
            ValueError: The token is not that of the lookup.
        """
        answer = self._claims.claim(Asked(lookup, nonce, visitor, token, check))
        self._on_event()
        return answer

    def revoke(self, link_id: str) -> LinkRecord | None:
        """End a link now. One that has ended already stays as it is; `None` for one that never was."""
        with self._records.writing() as (connection, now_ms):
            row = self._records.row_by_id(connection, link_id)
            self._records.settled(connection, row, now_ms)
            revoked = self._records.end(connection, tables.link.c.id == link_id, "revoked", EventKind.REVOKED, now_ms)
        if revoked:
            self._on_event()
        return self.find(link_id)

    def arm(self, new: NewAlarm) -> tuple[AlarmRecord, bool]:
        """Store an alarm; as `create`: repeating it with the same content changes nothing.

        Raises:
            Conflict: The id or the token belongs to another alarm.
            ValueError: It would be born expired.
        """
        try:
            return self._alarms.arm(new)
        except IntegrityError:
            raise Conflict("another alarm has this token") from None

    def look_alarm(self, lookup: bytes) -> AlarmRecord | None:
        """An alarm by its lookup, without a trace; `None` for an unknown one."""
        with reading(self.engine) as connection:
            return self._alarms.look(connection, lookup)

    def raise_alarm(self, lookup: bytes, *, visitor: Visitor) -> AlarmRecord | None:
        """Somebody says "this was not me": end the alarm's link and write `reported`, in one transaction, once.

        Returns:
            The alarm as it is now. One that was raised before, or whose time is over, stays as it is. `None` for an
            unknown lookup.
        """
        record, raised = self._alarms.raise_it(lookup, visitor=visitor)
        if raised:
            self._on_event()
        return record

    def report_link(self, lookup: bytes, *, visitor: Visitor) -> LinkRecord | None:
        """The same from the page of the link itself, by who has its token; once per link. Ends it if it still lives.

        Returns:
            The link as it is now; `None` for an unknown lookup.
        """
        record, reported = self._alarms.report_link(lookup, visitor=visitor)
        if reported:
            self._on_event()
        return record

    def expire_due(self) -> int:
        """End every link whose time is over, one event each. Returns how many."""
        with self._records.writing() as (connection, now_ms):
            expired = self._records.expire(connection, IS_ACTIVE, now_ms)
        if expired:
            self._on_event()
        return expired

    def next_expiry(self) -> datetime | None:
        """When the next link runs out; `None` while there is no active one."""
        with reading(self.engine) as connection:
            seconds = connection.execute(select(func.min(tables.link.c.expires_at)).where(IS_ACTIVE)).scalar_one()
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

    def events(self, *, after: int, limit: int) -> EventPage:
        """Up to `limit` events with a seq above `after`. Reading them changes nothing."""
        with reading(self.engine) as connection:
            rows = (
                connection.execute(
                    select(tables.event).where(tables.event.c.seq > after).order_by(tables.event.c.seq).limit(limit + 1)
                )
                .mappings()
                .all()
            )
            anchor = self._chain.mac_at(connection, after)
            page = rows[:limit]
            return EventPage(
                events=tuple(event_from(row) for row in page),
                head=self._chain.head(connection),
                anchor=anchor,
                more=len(rows) > limit,
                next_mac=page[-1]["mac"] if page else anchor,
            )

    def views_of(self, link_id: str) -> tuple[Event, ...]:
        """The reveals of one link, oldest first: for whoever holds its token."""
        with reading(self.engine) as connection:
            rows = connection.execute(
                select(tables.event)
                .where(tables.event.c.link_id == link_id, tables.event.c.kind == EventKind.REVEALED.value)
                .order_by(tables.event.c.seq)
            )
            return tuple(event_from(row) for row in rows.mappings())

    def record_burst(self, *, visitor: Visitor) -> None:
        """Note that one address asked for many tokens that do not exist."""
        with self._records.writing() as (connection, now_ms):
            self._chain.append(connection, EventKind.UNKNOWN_TOKEN_BURST, at_ms=now_ms, visitor=visitor)
        self._on_event()

    def purge(self, *, older_than: timedelta) -> int:
        """Forget links that ended longer ago, and the events in front of the first one still needed.

        Returns:
            How many links were forgotten. Nothing to forget writes no event.
        """
        with self._records.writing() as (connection, now_ms):
            cutoff_ms = now_ms - int(older_than.total_seconds() * 1000)
            needed = select(tables.link.c.id).where(
                or_(tables.link.c.ended_ms.is_(None), tables.link.c.ended_ms >= cutoff_ms)
            )
            first_kept = connection.execute(
                select(func.min(tables.event.c.seq)).where(
                    or_(tables.event.c.at_ms >= cutoff_ms, tables.event.c.link_id.in_(needed))
                )
            ).scalar_one()
            if first_kept is None:
                first_kept = self._chain.head(connection).seq + 1
            removed = self._chain.remove_before(connection, first_kept, at_ms=now_ms)
            with_events = select(tables.event.c.link_id).where(tables.event.c.link_id.is_not(None))
            purged = connection.execute(
                delete(tables.link).where(tables.link.c.ended_ms < cutoff_ms, tables.link.c.id.not_in(with_events))
            ).rowcount
        if removed:
            self.checkpoint()
            self._on_event()
        return purged

    def checkpoint(self) -> None:
        """Empty SQLite's write-ahead log, so that wiped blobs are gone from there too."""
        checkpoint(self.engine)

    def is_alive(self) -> bool:
        """Whether the database answers. Raises what the database raises when it does not."""
        with reading(self.engine) as connection:
            return bool(connection.execute(select(1)).scalar_one() == 1)

    def verify_chain(self) -> ChainReport:
        """Check every kept event against the chain."""
        with reading(self.engine) as connection:
            return self._chain.verify(connection)

    def _create(self, new: NewLink) -> tuple[LinkRecord, bool]:
        with self._records.writing() as (connection, now_ms):
            existing = self._records.row_by_id(connection, new.terms.link_id)
            if existing:
                pepper = self._peppers.find(existing.pepper_id) or self._peppers.current
                if not hmac.compare_digest(existing.content_mac, _content_mac(pepper, new)):
                    raise Conflict("another link has this id")
                return self._records.settled(connection, existing, now_ms) or record_from(existing), False
            if self._records.row_by_lookup(connection, new.lookup) is not None:
                raise Conflict("another link has this token")
            if new.terms.expires_at * 1000 <= now_ms:
                raise ValueError("expires_at is in the past")
            pepper = self._peppers.current
            row = connection.execute(
                insert(tables.link)
                .values(
                    id=new.terms.link_id,
                    lookup_mac=pepper.lookup_mac(new.lookup),
                    pepper_id=pepper.key_id,
                    content_mac=_content_mac(pepper, new),
                    mode=new.mode,
                    blob=pepper.wrap(new.sealed, terms=new.terms),
                    state=ACTIVE,
                    views=0,
                    max_views=new.terms.max_views,
                    expires_at=new.terms.expires_at,
                    created_ms=now_ms,
                    ref=new.ref,
                    display_name=new.display_name,
                    ticket=new.ticket,
                    time_zone=new.time_zone,
                    brand=new.brand,
                    locale=new.locale,
                    check_mac=pepper.check_mac(new.check) if new.check else None,
                )
                .returning(tables.link)
            ).one()
            record = record_from(row)
            self._chain.append(
                connection, EventKind.CREATED, at_ms=now_ms, link_id=record.terms.link_id, ref=record.ref,
                views_left=record.views_left,
            )  # fmt: skip
            return record, True

    def _visit(
        self, which: ColumnElement[bool], kind: EventKind, visitor: Visitor, reason: str | None
    ) -> LinkRecord | None:
        with self._records.writing() as (connection, now_ms):
            row = connection.execute(select(tables.link).where(which)).one_or_none()
            link = self._records.settled(connection, row, now_ms)
            if link is None:
                return None
            if link.state != ACTIVE:
                kind, reason = EventKind.REFUSED, link.state
            self._records.note(connection, link, kind, now_ms=now_ms, visitor=visitor, reason=reason)
        self._on_event()
        return link


def _content_mac(pepper: Pepper, new: NewLink) -> bytes:
    return hmac.new(pepper.content_key, new.canonical(), hashlib.sha256).digest()
