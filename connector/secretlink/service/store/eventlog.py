"""Reading what happened: pages of it for the connector, the views of one link, and checks of the chain."""

from __future__ import annotations

from sqlalchemy import select

from connector.secretlink.service.store import tables
from connector.secretlink.service.store.chain import ChainReport, Check, Event, EventKind, Head, event_from
from connector.secretlink.service.store.database import looking, reading
from connector.secretlink.service.store.links import EventPage
from connector.secretlink.service.store.records import Records


class EventLog:
    """Reads events. Changes nothing."""

    def __init__(self, records: Records) -> None:
        self._engine = records.engine
        self._chain = records.chain

    def page(self, *, after: int, limit: int) -> EventPage:
        """Up to `limit` events with a seq above `after`. Reading them changes nothing."""
        with reading(self._engine) as connection:
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

    def of_link(self, link_id: str, kind: EventKind) -> tuple[Event, ...]:
        """What happened to one link of one kind, oldest first."""
        with looking(self._engine) as connection:
            rows = connection.execute(
                select(tables.event)
                .where(tables.event.c.link_id == link_id, tables.event.c.kind == kind.value)
                .order_by(tables.event.c.seq)
            )
            return tuple(event_from(row) for row in rows.mappings())

    def head(self) -> Head:
        """The newest event's place and mac."""
        with looking(self._engine) as connection:
            return self._chain.head(connection)

    def check(self, so_far: Check | None) -> Check:
        """See `Vault.check_chain`."""
        with reading(self._engine) as connection:
            return self._chain.check(connection, so_far)

    def verify(self) -> ChainReport:
        """See `Vault.verify_chain`."""
        with reading(self._engine) as connection:
            return self._chain.verify(connection)
