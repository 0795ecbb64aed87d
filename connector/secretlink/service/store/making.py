"""How a link comes to be: stored once, under the current pepper, however often it is asked for."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

from sqlalchemy import Connection, Row, insert

from connector.secretlink.seal import Pepper, Terms
from connector.secretlink.service.store import tables
from connector.secretlink.service.store.chain import EventKind
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
        peppers = self._records.peppers
        for row in self._records.rows_like(connection, new.terms.link_id, new.lookup):
            if row.id != new.terms.link_id:
                raise Conflict("another link has this token")
            pepper = peppers.find(row.pepper_id) or peppers.current
            if not hmac.compare_digest(row.content_mac, _content_mac(pepper, new)):
                raise Conflict("another link has this id")
            return row
        return None

    def _insert(self, connection: Connection, new: NewLink, now_ms: int) -> LinkRecord:
        pepper = self._records.peppers.current
        values = {
            "id": new.terms.link_id,
            "lookup_mac": pepper.lookup_mac(new.lookup),
            "pepper_id": pepper.key_id,
            "content_mac": _content_mac(pepper, new),
            "mode": new.mode,
            "blob": pepper.wrap(new.sealed, terms=new.terms),
            "state": ACTIVE,
            "views": 0,
            "max_views": new.terms.max_views,
            "expires_at": new.terms.expires_at,
            "created_ms": now_ms,
            "ref": new.ref,
            "display_name": new.display_name,
            "ticket": new.ticket,
            "time_zone": new.time_zone,
            "brand": new.brand,
            "locale": new.locale,
            "check_mac": pepper.check_mac(new.check) if new.check else None,
        }
        return record_from(connection.execute(_INSERT_LINK, values).one())


def is_as_made(row: Row[Any], pepper: Pepper, *, lookup: bytes, sealed: bytes, check: bytes | None) -> bool:
    """Whether a row still says what its link was made with, counts and state left aside.

    Who can write the database but has no pepper could otherwise take the typed check off a link, or put another name on
    its page.

    Args:
        sealed: What its blob holds.
        check: The right one, where the row asks for one.
    """
    made = NewLink(
        terms=Terms(row.id, row.max_views, row.expires_at),
        lookup=lookup,
        sealed=sealed,
        ref=row.ref,
        mode=row.mode,
        display_name=row.display_name,
        ticket=row.ticket,
        time_zone=row.time_zone,
        brand=row.brand,
        locale=row.locale,
        check=None if row.check_mac is None else check,
    )
    forms = (2, 1) if (made.locale, made.check) == ("en", None) else (2,)
    return any(hmac.compare_digest(row.content_mac, _content_mac(pepper, made, form=form)) for form in forms)


def _content_mac(pepper: Pepper, new: NewLink, *, form: int = 2) -> bytes:
    return hmac.new(pepper.content_key, new.canonical(form=form), hashlib.sha256).digest()
