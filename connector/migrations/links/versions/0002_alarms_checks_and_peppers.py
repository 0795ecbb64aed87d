"""Alarms, typed checks, languages; events that know their pepper and can lose what is personal in them.

Only adds columns, a table and indexes, so it takes as long as the indexes take. Rows written before stay as they are:
their events keep the first form (see `secretlink.service.store.chain`). There is no way back: restore the backup made
before the update.

Revision 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("link", sa.Column("locale", sa.String(16), nullable=False, server_default="en"))
    op.add_column("link", sa.Column("check_mac", sa.LargeBinary(32), nullable=True))
    op.add_column("link", sa.Column("check_failures", sa.Integer, nullable=False, server_default="0"))
    op.drop_index("ix_link_state_expires_at", table_name="link")
    active = sa.text("state = 'active'")
    op.create_index("ix_link_active_expires_at", "link", ["expires_at"], sqlite_where=active, postgresql_where=active)
    op.create_index("ix_link_active_id", "link", ["id"], sqlite_where=active, postgresql_where=active)
    ended = sa.text("state <> 'active'")
    op.create_index("ix_link_ended_state_id", "link", ["state", "id"], sqlite_where=ended, postgresql_where=ended)
    op.create_index("ix_link_ended_ms", "link", ["ended_ms"])

    op.add_column("event", sa.Column("form", sa.Integer, nullable=False, server_default="1"))
    op.add_column("event", sa.Column("pepper_id", sa.String(16), nullable=True))
    op.add_column("event", sa.Column("salt", sa.LargeBinary(16), nullable=True))
    op.add_column("event", sa.Column("blanked_mac", sa.LargeBinary(32), nullable=True))
    personal = sa.text("ip IS NOT NULL OR user_agent IS NOT NULL")
    op.create_index("ix_event_personal", "event", ["seq"], sqlite_where=personal, postgresql_where=personal)
    purged = sa.text("kind = 'purged'")
    op.create_index("ix_event_purged", "event", ["seq"], sqlite_where=purged, postgresql_where=purged)
    # Until now a service had one pepper for good, so every event was made under that of the links.
    op.execute("UPDATE event SET pepper_id = (SELECT max(pepper_id) FROM link)")

    op.create_table(
        "alarm",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("lookup_mac", sa.LargeBinary(32), nullable=False),
        sa.Column("pepper_id", sa.String(16), nullable=False),
        sa.Column("content_mac", sa.LargeBinary(32), nullable=False),
        sa.Column("about", sa.String(200), nullable=False),
        sa.Column("link_id", sa.String(64), nullable=True),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("raised_ms", sa.BigInteger, nullable=True),
        sa.Column("display_name", sa.String(200), nullable=False),
        sa.Column("ticket", sa.String(64), nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("locale", sa.String(16), nullable=False),
        sa.Column("brand", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_alarm"),
        sa.UniqueConstraint("lookup_mac", name="uq_alarm_lookup_mac"),
        sa.CheckConstraint("source IN ('accessed', 'notice')", name="ck_alarm_known_source"),
    )
    op.create_index("ix_alarm_expires_at", "alarm", ["expires_at"])
