"""The tables. The schema is made by `connector/migrations/connector`; a test keeps the two equal.

What is asked for has a column; the rest of a case is JSON in `details`, so that a new field needs no migration.
Names start with what they belong to, so that the link service's tables fit into the same PostgreSQL database.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class Instant(TypeDecorator[datetime]):
    """A point in time: UTC in the database, aware in our hands. A datetime without a zone is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant without a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        # SQLite keeps text without a zone, which is UTC by `process_bind_param`.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text of any length. What a database cannot keep (NUL, halves of a character) becomes a question mark.

    Such text comes from outside, and one odd ticket must not stop the poll that brought it.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.replace("\0", "?").encode("utf-8", "replace").decode("utf-8")


_Counter = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER keys count by themselves in SQLite

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

cases: Final = Table(
    "cases",
    metadata,
    Column("id", Words, primary_key=True),
    Column("psa", Words, nullable=False),
    Column("ticket_id", Words, nullable=False),
    Column("number", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant),  # the case's own wish, as saved
    Column("version", Integer, nullable=False),
    Column("details", Words, nullable=False),
    Column("subject_id", Words),  # as in `details`; empty or NULL before the account is known
    # When the next pass is due, everything counted: the wish, pokes, the outbox. Only `save` clears it, so a worker
    # that dies leaves the case due. See `due.next_look`.
    Column("next_at", Instant),
    Column("poked", Boolean, nullable=False),  # since the last claim; tells `save` to leave `next_at` alone
    Column("lease_until", Instant),
    UniqueConstraint("psa", "ticket_id"),
    Index("ix_cases_next_at", "next_at"),
    Index("ix_cases_number", "number"),
    Index("ix_cases_ticket_id", "ticket_id"),
    Index("ix_cases_subject_id", "subject_id"),
)

poll: Final = Table(
    "poll",
    metadata,
    Column("name", Words, primary_key=True),
    Column("cursor", Words, nullable=False),
    Column("next_at", Instant),
    Column("lease_until", Instant),
)

outbox: Final = Table(
    "outbox",
    metadata,
    Column("id", _Counter, primary_key=True, autoincrement=True),
    Column("case_id", Words, ForeignKey("cases.id"), nullable=False),
    Column("key", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("body", Words, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("done_at", Instant),  # delivered or given up; rows stay, so that a key is never used twice
    Column("failed", Words, nullable=False),
    UniqueConstraint("case_id", "key"),
)

case_link: Final = Table(
    "case_link",
    metadata,
    Column("link_id", Words, primary_key=True),
    Column("case_id", Words, ForeignKey("cases.id"), nullable=False, index=True),
    # Once it was mailed, and NULL before: for services that have to be asked about each link.
    Column("handle", Words),
    Column("expires_at", Instant, index=True),
    Column("views", Integer),
)

case_link_event: Final = Table(
    "case_link_event",
    metadata,
    # Both: a link service set up anew counts from 1 again, and its events are news all the same.
    Column("link_id", Words, ForeignKey("case_link.link_id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Words, nullable=False),
    Column("at", Instant, nullable=False),
    Column("view", Integer, nullable=False),
    Column("views_left", Integer, nullable=False),
    Column("ip", Words, nullable=False),
    Column("place", Words, nullable=False),
    Column("agent", Words, nullable=False),
    Column("reason", Words),  # NULL for events of before 0.3
)

audit: Final = Table(
    "audit",
    metadata,
    # Given out by the chain, one by one without gaps; the database must not count by itself.
    Column("seq", _Counter, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("case_id", Words, nullable=False, index=True),  # empty where no case is meant; so no foreign key
    Column("event", Words, nullable=False),
    Column("facts", Words, nullable=False),
    Column("hash", Words, nullable=False),
)

audit_head: Final = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("seq", BigInteger, nullable=False),
    Column("hash", Words, nullable=False),
)

reset: Final = Table(
    "reset",
    metadata,
    Column("case_id", Words, ForeignKey("cases.id"), primary_key=True),
    Column("action", Words, primary_key=True),
    Column("at", Instant, nullable=False, index=True),
    Column("tenant", Words, nullable=False),
    Column("subject", Words, primary_key=True, index=True),
    Column("requester", Words, nullable=False),
    Column("approver", Words, nullable=False),  # one a line
)

pause: Final = Table(
    "pause",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1 while paused, no row otherwise
    Column("reason", Words, nullable=False),
    Column("since", Instant, nullable=False),
)
