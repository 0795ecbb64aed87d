"""Where links live: make, claim, expire, revoke, report. All of it in single transactions.

A link is `active` until it is `consumed` (its last view was used), `expired` or `revoked`; from then on its blob is
gone and only a tombstone stays. What people rely on:

* Never more views than allowed, whoever asks at the same time: one conditional UPDATE counts, nothing else does.
* No reveal without a record, and no counted view without a reveal: counting, decrypting, wiping and the event commit
  together, and the password is returned only after the commit. A crash in between loses the answer, never the count.
* A link that cannot be decrypted (tampered terms, wrong pepper) costs no view.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from connector.core.secret import Secret
from connector.secretlink import tables
from connector.secretlink.chain import Chain, ChainReport, Event, EventKind, Visitor, count_of, event_from
from connector.secretlink.database import checkpoint, open_engine, reading, require_tables
from connector.secretlink.links import ACTIVE, Conflict, EventPage, LinkRecord, NewLink, Refused, Revealed
from connector.secretlink.seal import Pepper, SealBroken, Terms, lookup_of, open_sealed
from connector.secretlink.tables import metadata

__all__ = ["Conflict", "EventPage", "LinkRecord", "NewLink", "Refused", "Revealed", "Vault", "metadata"]

SAME_CLICK: Final = timedelta(seconds=60)
"""How long the same nonce is taken for the same click, answered again and not counted."""
_MOST_UNCOUNTED_EVENTS: Final = 100
"""Openings and refusals recorded per link; further ones are answered but not written, so that nobody fills the disk."""
_UNCOUNTED: Final = (EventKind.PAGE_OPENED, EventKind.STEP_OPENED, EventKind.REFUSED)


class Vault:
    """The link service's database. Safe for several threads and, on PostgreSQL, several processes.

    Every method that writes calls `on_event` after its commit, when it wrote an event.
    """

    def __init__(
        self,
        database: str,
        pepper: Pepper,
        *,
        clock: Callable[[], datetime],
        on_event: Callable[[], None] = lambda: None,
    ) -> None:
        """Open the database.

        Args:
            database: SQLAlchemy address.
            clock: Returns the time now, with a zone.

        Raises:
            ConfigError: The database cannot be opened or has no tables yet.
        """
        self.engine = open_engine(database)
        require_tables(self.engine)
        self._pepper = pepper
        self._chain = Chain(pepper.chain_key)
        self._clock = clock
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
            # Somebody else made it between our look and our insert, or the token is another link's. Look once more.
            found = self.find(new.terms.link_id)
            if found is None:
                raise Conflict("another link has this token") from None
            record, created = self._create(new)
        if created:
            self._on_event()
        return record, created

    def find(self, link_id: str) -> LinkRecord | None:
        """A link by its id; `None` for one that never was or has been purged."""
        with reading(self.engine) as connection:
            row = connection.execute(select(tables.link).where(tables.link.c.id == link_id)).one_or_none()
        return _record_from(row) if row else None

    def look(self, token: bytes) -> LinkRecord | None:
        """A link by its token, without a trace; `None` for an unknown one. May lag behind an expiry: see `visit`."""
        with reading(self.engine) as connection:
            mac = self._lookup_mac(token)
            row = connection.execute(select(tables.link).where(tables.link.c.lookup_mac == mac)).one_or_none()
        return _record_from(row) if row else None

    def visit(self, token: bytes, kind: EventKind, *, visitor: Visitor, reason: str | None = None) -> LinkRecord | None:
        """Note that somebody was at a link without revealing it; never uses a view.

        A link that has ended in the meantime is noted as `refused`. An unknown token leaves no trace.

        Returns:
            The link as it is now; `None` for an unknown token.
        """
        mac = self._lookup_mac(token)
        with self.engine.begin() as connection:
            now_ms = self._now_ms()
            link = self._settled(connection, mac, now_ms)
            if link is None:
                return None
            if link.state != ACTIVE:
                kind, reason = EventKind.REFUSED, link.state
            self._note(connection, link, kind, now_ms=now_ms, visitor=visitor, reason=reason)
        self._on_event()
        return link

    def claim(self, token: bytes, *, nonce: str, visitor: Visitor) -> Revealed | Refused:
        """Use one view and get the password.

        The same nonce again within `SAME_CLICK` gives the same password and is not counted, as long as the link lives.

        Returns:
            `Revealed` after the view was counted, recorded and committed; `Refused` when nothing was counted.
        """
        try:
            answer = self._claim(token, nonce, visitor)
        except IntegrityError:
            # PostgreSQL only: two requests with one nonce at once. The other one has the view; this one repeats it.
            answer = self._claim(token, nonce, visitor)
        except SealBroken:
            link = self.visit(token, EventKind.REFUSED, visitor=visitor, reason="damaged")
            return Refused("damaged", link)
        self._on_event()
        return answer

    def revoke(self, link_id: str) -> LinkRecord | None:
        """End a link now. One that has ended already stays as it is; `None` for one that never was."""
        with self.engine.begin() as connection:
            now_ms = self._now_ms()
            self._expire(connection, now_ms)
            revoked = self._end(connection, tables.link.c.id == link_id, "revoked", EventKind.REVOKED, now_ms)
        if revoked:
            self._on_event()
        return self.find(link_id)

    def expire_due(self) -> int:
        """End every link whose time is over, one event each. Returns how many."""
        with self.engine.begin() as connection:
            expired = self._expire(connection, self._now_ms())
        if expired:
            self._on_event()
        return expired

    def next_expiry(self) -> datetime | None:
        """When the next link runs out; `None` while there is no active one."""
        with reading(self.engine) as connection:
            seconds = connection.execute(
                select(func.min(tables.link.c.expires_at)).where(tables.link.c.state == ACTIVE)
            ).scalar_one()
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

    def events(self, *, after: int, limit: int) -> EventPage:
        """Up to `limit` events with a seq above `after`. Reading them changes nothing."""
        with reading(self.engine) as connection:
            rows = connection.execute(
                select(tables.event).where(tables.event.c.seq > after).order_by(tables.event.c.seq).limit(limit + 1)
            )
            events = [event_from(row) for row in rows.mappings()]
            return EventPage(
                events=tuple(events[:limit]),
                head=self._chain.head(connection),
                anchor=self._chain.mac_at(connection, after),
                more=len(events) > limit,
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
        with self.engine.begin() as connection:
            self._chain.append(connection, EventKind.UNKNOWN_TOKEN_BURST, at_ms=self._now_ms(), visitor=visitor)
        self._on_event()

    def purge(self, *, older_than: timedelta) -> int:
        """Forget links that ended longer ago, and the events in front of the first one still needed.

        Returns:
            How many links were forgotten. Nothing to forget writes no event.
        """
        with self.engine.begin() as connection:
            now_ms = self._now_ms()
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
        content_mac = hmac.new(self._pepper.content_key, new.canonical(), hashlib.sha256).digest()
        with self.engine.begin() as connection:
            now_ms = self._now_ms()
            self._expire(connection, now_ms)
            existing = connection.execute(
                select(tables.link).where(tables.link.c.id == new.terms.link_id)
            ).one_or_none()
            if existing:
                if not hmac.compare_digest(existing.content_mac, content_mac):
                    raise Conflict("another link has this id")
                return _record_from(existing), False
            if new.terms.expires_at * 1000 <= now_ms:
                raise ValueError("expires_at is in the past")
            row = connection.execute(
                insert(tables.link)
                .values(
                    id=new.terms.link_id,
                    lookup_mac=self._pepper.lookup_mac(new.lookup),
                    pepper_id=self._pepper.key_id,
                    content_mac=content_mac,
                    mode=new.mode,
                    blob=self._pepper.wrap(new.sealed, terms=new.terms),
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
                )
                .returning(tables.link)
            ).one()
            record = _record_from(row)
            self._chain.append(
                connection, EventKind.CREATED, at_ms=now_ms, link_id=record.terms.link_id, ref=record.ref,
                views_left=record.views_left,
            )  # fmt: skip
            return record, True

    def _claim(self, token: bytes, nonce: str, visitor: Visitor) -> Revealed | Refused:
        mac = self._lookup_mac(token)
        link = tables.link.c
        with self.engine.begin() as connection:
            # After BEGIN: on SQLite we may have waited for the lock, and a link may have run out meanwhile.
            now_ms = self._now_ms()
            earlier_ms = self._answered_before(connection, mac, nonce)
            if earlier_ms is not None:
                return self._repeat(connection, mac, token, earlier_ms, now_ms)
            row = connection.execute(
                update(tables.link)
                .where(
                    link.lookup_mac == mac,
                    link.state == ACTIVE,
                    link.views < link.max_views,
                    link.expires_at > now_ms // 1000,
                )
                .values(
                    views=link.views + 1,
                    first_view_ms=func.coalesce(link.first_view_ms, now_ms),
                    last_view_ms=now_ms,
                )
                .returning(tables.link)
            ).one_or_none()
            if row is None:
                return self._refuse(connection, mac, now_ms, visitor)
            record = _record_from(row)
            # Inside the transaction on purpose: when this raises, the count above is rolled back.
            password = self._open(row, token)
            if record.views_left == 0:
                record = replace(record, state="consumed", ended_ms=now_ms)
                connection.execute(
                    update(tables.link)
                    .where(link.id == record.terms.link_id)
                    .values(state=record.state, ended_ms=now_ms, blob=None)
                )
            self._chain.append(
                connection, EventKind.REVEALED, at_ms=now_ms, link_id=record.terms.link_id, ref=record.ref,
                visitor=visitor, view=record.views, views_left=record.views_left, nonce=nonce,
            )  # fmt: skip
        return Revealed(password, record, counted=True)

    def _answered_before(self, connection: Connection, mac: bytes, nonce: str) -> int | None:
        return connection.execute(
            select(tables.event.c.at_ms)
            .join(tables.link, tables.link.c.id == tables.event.c.link_id)
            .where(tables.link.c.lookup_mac == mac, tables.event.c.nonce == nonce)
        ).scalar_one_or_none()

    def _repeat(
        self, connection: Connection, mac: bytes, token: bytes, earlier_ms: int, now_ms: int
    ) -> Revealed | Refused:
        """Answer the same click again, while the link lives and the click is fresh."""
        record = self._settled(connection, mac, now_ms)
        row = connection.execute(select(tables.link).where(tables.link.c.lookup_mac == mac)).one()
        if record is None or record.state != ACTIVE or now_ms - earlier_ms > SAME_CLICK.total_seconds() * 1000:
            return Refused("repeated", record)
        return Revealed(self._open(row, token), record, counted=False)

    def _refuse(self, connection: Connection, mac: bytes, now_ms: int, visitor: Visitor) -> Refused:
        link = self._settled(connection, mac, now_ms)
        if link is None:
            return Refused("unknown", None)
        self._note(connection, link, EventKind.REFUSED, now_ms=now_ms, visitor=visitor, reason=link.state)
        return Refused(link.state, link)

    def _settled(self, connection: Connection, mac: bytes, now_ms: int) -> LinkRecord | None:
        """The link of a token, after ending what has run out."""
        self._expire(connection, now_ms)
        row = connection.execute(select(tables.link).where(tables.link.c.lookup_mac == mac)).one_or_none()
        return _record_from(row) if row else None

    def _note(
        self, connection: Connection, link: LinkRecord, kind: EventKind, *,
        now_ms: int, visitor: Visitor, reason: str | None,
    ) -> None:  # fmt: skip
        if count_of(connection, link.terms.link_id, _UNCOUNTED) < _MOST_UNCOUNTED_EVENTS:
            self._chain.append(
                connection, kind, at_ms=now_ms, link_id=link.terms.link_id, ref=link.ref, visitor=visitor,
                views_left=link.views_left, reason=reason,
            )  # fmt: skip

    def _expire(self, connection: Connection, now_ms: int) -> int:
        due = tables.link.c.expires_at <= now_ms // 1000
        return self._end(connection, due, "expired", EventKind.EXPIRED, now_ms)

    def _end(self, connection: Connection, which: ColumnElement[bool], state: str, kind: EventKind, now_ms: int) -> int:
        """End the active ones among these links, wipe their blobs, write one event each."""
        ended = connection.execute(
            update(tables.link)
            .where(tables.link.c.state == ACTIVE, which)
            .values(state=state, ended_ms=now_ms, blob=None)
            .returning(tables.link.c.id, tables.link.c.ref, tables.link.c.views)
        ).all()
        for row in sorted(ended):
            self._chain.append(
                connection, kind, at_ms=now_ms, link_id=row.id, ref=row.ref, view=row.views, views_left=0
            )
        return len(ended)

    def _open(self, row: Row[tuple[object, ...]], token: bytes) -> Secret:
        terms = _record_from(row).terms
        return open_sealed(self._pepper.unwrap(row.blob, terms=terms), token=token, terms=terms)

    def _lookup_mac(self, token: bytes) -> bytes:
        return self._pepper.lookup_mac(lookup_of(token))

    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)


def _record_from(row: Row[tuple[object, ...]]) -> LinkRecord:
    return LinkRecord(
        terms=Terms(row.id, row.max_views, row.expires_at),
        state=row.state,
        views=row.views,
        created_ms=row.created_ms,
        first_view_ms=row.first_view_ms,
        last_view_ms=row.last_view_ms,
        ended_ms=row.ended_ms,
        ref=row.ref,
        display_name=row.display_name,
        ticket=row.ticket,
        time_zone=row.time_zone,
        brand=row.brand,
    )
