"""The outbox: messages that wait for their delivery, and the keys of those that waited. Each function works inside a
caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from connector.core.ports import Message, OutboxRow
from connector.store import tables
from connector.store.codec import message_body, message_from


def sort(connection: Connection, case_id: str, messages: Sequence[Message]) -> tuple[list[Message], int | None]:
    """Those messages whose keys are new, in order, and how often the oldest undelivered one was tried.

    The second is `None` when nothing waits. New messages count as waiting.
    """
    o = tables.outbox.c
    rows = connection.execute(select(o.key, o.attempts, o.done_at).where(o.case_id == case_id).order_by(o.id)).all()
    known = {row.key for row in rows}
    fresh: dict[str, Message] = {}
    for message in messages:
        if message.key not in known:
            fresh.setdefault(message.key, message)
    tries = [row.attempts for row in rows if row.done_at is None] + [0] * len(fresh)
    return list(fresh.values()), tries[0] if tries else None


def add(connection: Connection, case_id: str, messages: Sequence[Message], *, now: datetime) -> None:
    """Store new messages. Only whoever holds the case's row may: that is why no key can come up twice."""
    rows = [
        {
            "case_id": case_id,
            "key": message.key,
            "kind": message.kind.value,
            "body": message_body(message),
            "attempts": 0,
            "created_at": now,
            "done_at": None,
            "failed": "",
        }
        for message in messages
    ]
    connection.execute(insert(tables.outbox), rows)


def waiting(connection: Connection, case_id: str) -> list[OutboxRow]:
    """See `CaseStore.outbox`."""
    o = tables.outbox.c
    query = select(tables.outbox).where(o.case_id == case_id, o.done_at.is_(None)).order_by(o.id)
    return [
        OutboxRow(
            id=row.id,
            case_id=row.case_id,
            message=message_from(key=row.key, kind=row.kind, body=row.body),
            attempts=row.attempts,
            created_at=row.created_at,
        )
        for row in connection.execute(query)
    ]


def tried(connection: Connection, row: OutboxRow) -> None:
    """See `CaseStore.message_tried`."""
    o = tables.outbox.c
    this = update(tables.outbox).where(o.id == row.id, o.done_at.is_(None))
    connection.execute(this.values(attempts=o.attempts + 1))


def done(connection: Connection, row: OutboxRow, *, now: datetime, failed: str) -> None:
    """See `CaseStore.message_done`. The row stays, so that its key is never used twice."""
    o = tables.outbox.c
    this = update(tables.outbox).where(o.id == row.id, o.done_at.is_(None))
    connection.execute(this.values(done_at=now, failed=failed))
