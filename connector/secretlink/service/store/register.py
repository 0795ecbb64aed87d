"""Looking at links, and ending them by hand. No view is used here; see `claims` for that.

What writes also says whether it wrote an event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select

from connector.secretlink.service.store import tables
from connector.secretlink.service.store.chain import EventKind, Visitor
from connector.secretlink.service.store.database import looking
from connector.secretlink.service.store.genuine import unproven
from connector.secretlink.service.store.links import ACTIVE, LinkRecord
from connector.secretlink.service.store.records import HAS_ENDED, IS_ACTIVE, Records, due_first, is_due, record_from

_END_OF_TIME: Final = 253_402_300_799
"""The last second of the year 9999, as `datetime` knows it. Only who changes the database writes a later one."""

Find = Callable[[Connection], Row[Any] | None]


class Register:
    """Every link, ended or not, until it is purged."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def by_id(self, link_id: str) -> Find:
        """How to find a link of which only the id is shown."""
        return lambda connection: self._records.row_by_id(connection, link_id)

    def by_lookup(self, lookup: bytes) -> Find:
        """How to find a link of which the lookup is shown."""
        return lambda connection: self._records.row_by_lookup(connection, lookup)

    def look(self, find: Find) -> LinkRecord | None:
        """A link as it is written down, though its time may be over."""
        with looking(self._records.engine) as connection:
            row = find(connection)
        return self._records.known(row)

    def settle(self, find: Find) -> tuple[LinkRecord | None, bool]:
        """A link as it is now; ends it when its time is over."""
        link = self.look(find)
        if link is None or not is_due(link, self._records.now_ms()):
            return link, False
        with self._records.writing() as (connection, now_ms):
            return self._records.settled(connection, find(connection), now_ms), True

    def page(self, *, state: str | None, after: str, limit: int) -> Sequence[LinkRecord]:
        """See `Vault.list_links`."""
        link = tables.link.c
        wanted = select(tables.link).where(link.id > bindparam("after")).order_by(link.id).limit(bindparam("most"))
        if state == ACTIVE:
            wanted = wanted.where(IS_ACTIVE)
        elif state is not None:
            wanted = wanted.where(HAS_ENDED, link.state == state)
        links: list[LinkRecord] = []
        while (most := limit - len(links)) > 0:  # more than once only where rows were changed: those leave no gap
            with looking(self._records.engine) as connection:
                rows = connection.execute(wanted, {"after": after, "most": most}).all()
            links += (known for row in rows if (known := self._records.known(row)) is not None)
            if len(rows) < most:
                break
            after = rows[-1].id
        return tuple(links)

    def visit(self, link: LinkRecord, kind: EventKind, *, visitor: Visitor, reason: str | None) -> LinkRecord:
        """See `Vault.visit`; what happened waits to be written. Of a link that is not proven nobody is told so much."""
        records = self._records
        now_ms = records.now_ms()
        if is_due(link, now_ms):
            with records.writing() as (connection, now_ms):
                row = records.row_by_id(connection, link.terms.link_id)
                link = records.settled(connection, row, now_ms) or replace(link, state="expired", ended_ms=now_ms)
        if link.state != ACTIVE:
            kind, reason = EventKind.REFUSED, link.state
        if not link.proven:
            return link
        if records.openings.is_full:
            self.write_openings()
        records.openings.add(
            records.chain.event(
                kind, at_ms=now_ms, link_id=link.terms.link_id, ref=link.ref, visitor=visitor,
                views_left=link.views_left, reason=reason,
            )
        )  # fmt: skip
        return link

    def write_openings(self) -> None:
        """See `Vault.write_openings`."""
        if self._records.openings:
            self._records.write_openings()

    def revoke(self, link_id: str) -> tuple[LinkRecord | None, bool]:
        """See `Vault.revoke`."""
        which = tables.link.c.id == link_id
        with self._records.writing() as (connection, now_ms):
            before = self._records.row_by_id(connection, link_id)
            self._records.settled(connection, before, now_ms)
            self._records.end(connection, which, "revoked", EventKind.REVOKED, now_ms)
            after = self._records.row_by_id(connection, link_id)
        if before is None or after is None:
            return None, False
        return self._records.known(after) or unproven(record_from(after)), before.state != after.state

    def next_expiry(self) -> datetime | None:
        """See `Vault.next_expiry`."""
        soonest = due_first(tables.link.c.expires_at).limit(1)
        with looking(self._records.engine) as connection:
            seconds = connection.execute(soonest).scalar_one_or_none()
        return None if seconds is None else datetime.fromtimestamp(min(seconds, _END_OF_TIME), UTC)
