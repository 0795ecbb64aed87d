"""How a link comes to be: stored once, under the current pepper, however often it is asked for."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Row, insert

from connector.secretlink.service.store import tables
from connector.secretlink.service.store.chain import EventKind
from connector.secretlink.service.store.genuine import columns_of, is_made_with
from connector.secretlink.service.store.links import ACTIVE, Conflict, LinkRecord, NewLink
from connector.secretlink.service.store.records import Records, record_from

_INSERT_LINK: Final = insert(tables.link).returning(tables.link)


class Making:
    """Makes links."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def create(self, new: NewLink) -> tuple[LinkRecord, bool]:
        """See `Vault.create`. Raises what the database raises when somebody else was faster."""
        with self._records.writing() as (connection, now_ms):
            existing = self._existing(connection, new)
            if existing is not None:
                return self._records.settled(connection, existing, now_ms) or record_from(existing), False
            if new.terms.expires_at * 1000 <= now_ms:
                raise ValueError("expires_at is in the past")
            record = self._insert(connection, new, now_ms)
            self._records.chain.append(
                connection, EventKind.CREATED, at_ms=now_ms, link_id=record.terms.link_id, ref=record.ref,
                views_left=record.views_left,
            )  # fmt: skip
            return record, True

    def _existing(self, connection: Connection, new: NewLink) -> Row[Any] | None:
        """The row that was made with the same content; `None` when there is none with this id or token."""
        for row in self._records.rows_like(connection, new.terms.link_id, new.lookup):
            if row.id != new.terms.link_id:
                raise Conflict("another link has this token")
            if not is_made_with(row, new, self._records.peppers):
                raise Conflict("another link has this id")
            return row
        return None

    def _insert(self, connection: Connection, new: NewLink, now_ms: int) -> LinkRecord:
        pepper = self._records.peppers.current
        values = columns_of(new, pepper) | {
            "blob": pepper.wrap(new.sealed, terms=new.terms),
            "state": ACTIVE,
            "views": 0,
            "created_ms": now_ms,
        }
        return record_from(connection.execute(_INSERT_LINK, values).one())
