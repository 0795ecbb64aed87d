"""Alarms: what stands behind "this was not me". Armed by the connector, raised by a person, once.

An alarm opens nothing. Raising it writes one `reported` event and ends the alarm's link in the same transaction; what
else follows (another password, sessions ended) is the connector's business, which reads the event.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Row, insert, select, update

from connector.secretlink.seal import Pepper
from connector.secretlink.service.store import tables
from connector.secretlink.service.store.chain import EventKind, Visitor
from connector.secretlink.service.store.links import ARMED, RAISED, AlarmRecord, Conflict, LinkRecord, NewAlarm
from connector.secretlink.service.store.records import Records

PAGE = "page"
"""The reason of a report that came from the page of the link itself."""

log = structlog.get_logger(__name__)


class Alarms:
    """Arms and raises alarms."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def arm(self, new: NewAlarm) -> tuple[AlarmRecord, bool]:
        """See `Vault.arm`. Raises what the database raises when somebody else was faster."""
        alarm, peppers = tables.alarm.c, self._records.peppers
        with self._records.writing() as (connection, now_ms):
            existing = connection.execute(select(tables.alarm).where(alarm.id == new.id)).one_or_none()
            if existing:
                pepper = peppers.find(existing.pepper_id) or peppers.current
                if not hmac.compare_digest(existing.content_mac, _content_mac(pepper, new)):
                    raise Conflict("another alarm has this id")
                return _record_from(existing, now_ms), False
            if self._row_by_lookup(connection, new.lookup) is not None:
                raise Conflict("another alarm has this token")
            if new.expires_at * 1000 <= now_ms:
                raise ValueError("expires_at is in the past")
            row = connection.execute(
                insert(tables.alarm)
                .values(
                    id=new.id,
                    lookup_mac=peppers.current.alarm_mac(new.lookup),
                    pepper_id=peppers.current.key_id,
                    content_mac=_content_mac(peppers.current, new),
                    about=new.about,
                    link_id=new.link_id,
                    source=new.source,
                    created_ms=now_ms,
                    made_seq=self._records.chain.head(connection).seq,
                    expires_at=new.expires_at,
                    display_name=new.display_name,
                    ticket=new.ticket,
                    time_zone=new.time_zone,
                    locale=new.locale,
                    brand=new.brand,
                )
                .returning(tables.alarm)
            ).one()
            return _record_from(row, now_ms), True

    def look(self, connection: Connection, lookup: bytes) -> AlarmRecord | None:
        """See `Vault.look_alarm`."""
        row = self._genuine(connection, lookup)
        return _record_from(row, self._records.now_ms()) if row else None

    def raise_it(self, lookup: bytes, *, visitor: Visitor) -> tuple[AlarmRecord | None, bool]:
        """See `Vault.raise_alarm`; also whether anything was written."""
        with self._records.writing() as (connection, now_ms):
            row = self._genuine(connection, lookup)
            if row is None:
                return None, False
            record = _record_from(row, now_ms)
            if record.state != ARMED:
                return record, False
            raised = connection.execute(
                update(tables.alarm)
                .where(tables.alarm.c.id == row.id, tables.alarm.c.raised_ms.is_(None))
                .values(raised_ms=now_ms)
                .returning(tables.alarm)
            ).one()
            link = self._records.row_by_id(connection, row.link_id) if row.link_id else None
            self._report(connection, link, now_ms, ref=row.about, reason=row.source, visitor=visitor)
            return _record_from(raised, now_ms), True

    def report_link(self, lookup: bytes, *, visitor: Visitor) -> tuple[LinkRecord | None, bool]:
        """See `Vault.report_link`; also whether anything was written."""
        records = self._records
        with records.writing() as (connection, now_ms):
            row = records.row_by_lookup(connection, lookup)
            link = records.known(row)
            if row is None or link is None:
                return None, False
            views = records.chain.of_link(connection, row.id, EventKind.REVEALED)
            reports = records.chain.of_link(connection, row.id, EventKind.REPORTED)
            can_be = link.can_be_reported(datetime.fromtimestamp(now_ms / 1000, UTC), views=views)
            if not can_be or any(report.reason == PAGE for report in reports):
                return link, False
            self._report(connection, row, now_ms, ref=link.ref, reason=PAGE, visitor=visitor)
            return records.known(records.row_by_id(connection, row.id)), True

    def _report(
        self, connection: Connection, link: Row[Any] | None, now_ms: int, *, ref: str, reason: str, visitor: Visitor
    ) -> None:
        records = self._records
        records.chain.append(
            connection, EventKind.REPORTED, at_ms=now_ms, link_id=link.id if link else None, ref=ref, visitor=visitor,
            reason=reason,
        )  # fmt: skip
        if link is not None:
            records.settled(connection, link, now_ms)
            records.end(
                connection, tables.link.c.id == link.id, "revoked", EventKind.REVOKED, now_ms,
                reason=EventKind.REPORTED.value,
            )  # fmt: skip

    def _genuine(self, connection: Connection, lookup: bytes) -> Row[Any] | None:
        """The alarm of a lookup, if its row is what was armed.

        Who can write the database but has no pepper could otherwise aim somebody's alarm at another account.
        """
        row = self._row_by_lookup(connection, lookup)
        pepper = self._records.peppers.find(row.pepper_id) if row else None
        if row is None or pepper is None:
            return None
        names = {field.name for field in fields(NewAlarm)} - {"lookup"}
        armed = NewAlarm(lookup=lookup, **{name: getattr(row, name) for name in names})
        if hmac.compare_digest(row.content_mac, _content_mac(pepper, armed)):
            return row
        log.error("alarm_changed_in_database", alarm=row.id)
        return None

    def _row_by_lookup(self, connection: Connection, lookup: bytes) -> Row[Any] | None:
        macs = self._records.peppers.alarm_macs(lookup)
        return connection.execute(select(tables.alarm).where(tables.alarm.c.lookup_mac.in_(macs))).one_or_none()


def _content_mac(pepper: Pepper, new: NewAlarm) -> bytes:
    return hmac.new(pepper.content_key, new.canonical(), hashlib.sha256).digest()


def _record_from(row: Row[Any], now_ms: int) -> AlarmRecord:
    expired = row.expires_at <= now_ms // 1000
    return AlarmRecord(
        id=row.id,
        about=row.about,
        link_id=row.link_id,
        source=row.source,
        state=RAISED if row.raised_ms is not None else "expired" if expired else ARMED,
        created_ms=row.created_ms,
        expires_at=row.expires_at,
        raised_ms=row.raised_ms,
        display_name=row.display_name,
        ticket=row.ticket,
        time_zone=row.time_zone,
        locale=row.locale,
        brand=row.brand,
    )
