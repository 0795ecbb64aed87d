"""Reading what happened: pages of it for the connector, the views of one link, and checks of the chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog
from sqlalchemy import Connection, RowMapping, bindparam, select

from connector.secretlink.service.store import tables
from connector.secretlink.service.store.chain import (
    BEFORE_THE_FIRST,
    ChainReport,
    Check,
    Event,
    EventKind,
    Head,
    HistoryBroken,
    event_from,
)
from connector.secretlink.service.store.database import looking, reading
from connector.secretlink.service.store.links import EventPage
from connector.secretlink.service.store.records import Records

_EVENT: Final = tables.event.c
_AT: Final = select(_EVENT.mac, _EVENT.pepper_id).where(_EVENT.seq == bindparam("at"))
_NOT_THERE: Final = b""
"""In the place of a mac: nothing was ever written that follows it."""

log = structlog.get_logger(__name__)


class EventLog:
    """Reads events. Changes nothing."""

    def __init__(self, records: Records) -> None:
        self._engine = records.engine
        self._chain = records.chain
        self._said: int | None = None

    def page(self, *, after: int, limit: int) -> EventPage:
        """Up to `limit` events with a seq above `after`. Reading them changes nothing.

        Each of them has been checked against the event before it, the first one against that at `after`, or, from 0 on
        and where that was purged, against the end of the newest purge. So who can write the database but has no pepper
        can have nobody told of something that did not happen.

        Of events under a pepper that is not known any more nothing can be proven, and they are told to nobody: at the
        beginning of the history, the only place where there can be some, they are passed over as if they were purged.

        Raises:
            HistoryBroken: One of them does not fit; none is told. Said once in the log.
        """
        with reading(self._engine) as connection:
            try:
                anchor, rows = self._proven(connection, after, limit)
            except HistoryBroken as broken:
                if broken.at_seq != self._said:
                    todo = "look at who can write the database; no event is told until it fits again"
                    log.error("link_history_broken", at_seq=broken.at_seq, todo=todo)
                self._said = broken.at_seq
                raise
            page = rows[:limit]
            return EventPage(
                events=tuple(event_from(row) for row in page),
                head=self._chain.head(connection),
                anchor=anchor,
                more=len(rows) > limit,
                next_mac=page[-1]["mac"] if page else anchor,
            )

    def _proven(self, connection: Connection, after: int, limit: int) -> tuple[bytes | None, Sequence[RowMapping]]:
        """The mac at `after`, and the rows behind it, one more than `limit` if there is one; see `page`."""
        at = connection.execute(_AT, {"at": after}).one_or_none()
        if at is not None:
            before, known = Head(after, at.mac), self._chain.is_of_known_pepper(at.pepper_id)
        else:
            before, known = self._chain.beginning(connection), False
            if before.seq < after:  # gone, and no purge tells of it
                before = Head(after, _NOT_THERE)
        rows = self._rows(connection, before.seq, limit + 1)
        if rows and not known and not self._chain.is_of_known_pepper(rows[0]["pepper_id"]):
            first = self._chain.first_of_known_pepper(connection, after=before.seq)
            rows = [] if first is None else self._rows(connection, first - 1, limit + 1)
            if first is not None:
                before = Head(first - 1, self._chain.mac_at(connection, first - 1) or _NOT_THERE)
        so_far = Check(before, ChainReport(events=0, broken_at=None), known_seen=known)
        broken_at = self._chain.check_rows(so_far, rows[:limit]).report.broken_at
        if broken_at is not None:
            raise HistoryBroken(broken_at)
        return (BEFORE_THE_FIRST if after == 0 else at.mac if at else None), rows

    def _rows(self, connection: Connection, after: int, count: int) -> Sequence[RowMapping]:
        wanted = select(tables.event).where(_EVENT.seq > after).order_by(_EVENT.seq).limit(count)
        return connection.execute(wanted).mappings().all()

    def of_link(self, link_id: str, kind: EventKind) -> tuple[Event, ...]:
        """See `Chain.of_link`."""
        with looking(self._engine) as connection:
            return self._chain.of_link(connection, link_id, kind)

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
