"""The first tables of the connector. There is no way back: restore the backup made before the update.

Revision 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Instant = sa.DateTime(timezone=True)
Counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "cases",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("psa", sa.Text, nullable=False),
        sa.Column("ticket_id", sa.Text, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("due_at", Instant),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("next_at", Instant),
        sa.Column("poked", sa.Boolean, nullable=False),
        sa.Column("lease_until", Instant),
        sa.PrimaryKeyConstraint("id", name="pk_cases"),
        sa.UniqueConstraint("psa", "ticket_id", name="uq_cases_psa_ticket_id"),
    )
    op.create_index("ix_cases_next_at", "cases", ["next_at"])
    op.create_index("ix_cases_number", "cases", ["number"])
    op.create_index("ix_cases_ticket_id", "cases", ["ticket_id"])

    op.create_table(
        "poll",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("cursor", sa.Text, nullable=False),
        sa.Column("next_at", Instant),
        sa.Column("lease_until", Instant),
        sa.PrimaryKeyConstraint("name", name="pk_poll"),
    )

    op.create_table(
        "outbox",
        sa.Column("id", Counter, autoincrement=True, nullable=False),
        sa.Column("case_id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("done_at", Instant),
        sa.Column("failed", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_outbox_case_id"),
        sa.UniqueConstraint("case_id", "key", name="uq_outbox_case_id_key"),
    )

    op.create_table(
        "case_link",
        sa.Column("link_id", sa.Text, nullable=False),
        sa.Column("case_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("link_id", name="pk_case_link"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_case_link_case_id"),
    )
    op.create_index("ix_case_link_case_id", "case_link", ["case_id"])

    op.create_table(
        "case_link_event",
        sa.Column("link_id", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("view", sa.Integer, nullable=False),
        sa.Column("views_left", sa.Integer, nullable=False),
        sa.Column("ip", sa.Text, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("link_id", "seq", name="pk_case_link_event"),
        sa.ForeignKeyConstraint(["link_id"], ["case_link.link_id"], name="fk_case_link_event_link_id"),
    )

    op.create_table(
        "audit",
        sa.Column("seq", Counter, autoincrement=False, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("case_id", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
    )
    op.create_index("ix_audit_case_id", "audit", ["case_id"])

    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
    )
    # The chain starts here; the numbers are those of `connector.store.audit.START`, and never change.
    op.bulk_insert(head, [{"id": 1, "seq": 0, "hash": "0" * 64}])

    op.create_table(
        "reset",
        sa.Column("case_id", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("requester", sa.Text, nullable=False),
        sa.Column("approver", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("case_id", "action", name="pk_reset"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_reset_case_id"),
    )
    op.create_index("ix_reset_at", "reset", ["at"])

    op.create_table(
        "pause",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pause"),
    )
