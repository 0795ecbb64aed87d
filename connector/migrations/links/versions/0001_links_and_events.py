"""The first tables of the link service. There is no way back: restore the backup made before the update.

Revision 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "link",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("lookup_mac", sa.LargeBinary(32), nullable=False),
        sa.Column("pepper_id", sa.String(16), nullable=False),
        sa.Column("content_mac", sa.LargeBinary(32), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("blob", sa.LargeBinary, nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("views", sa.Integer, nullable=False),
        sa.Column("max_views", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("first_view_ms", sa.BigInteger, nullable=True),
        sa.Column("last_view_ms", sa.BigInteger, nullable=True),
        sa.Column("ended_ms", sa.BigInteger, nullable=True),
        sa.Column("ref", sa.String(200), nullable=False),
        sa.Column("display_name", sa.String(200), nullable=False),
        sa.Column("ticket", sa.String(64), nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("brand", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_link"),
        sa.UniqueConstraint("lookup_mac", name="uq_link_lookup_mac"),
        sa.CheckConstraint("views >= 0 AND views <= max_views", name="ck_link_views_within_limit"),
        sa.CheckConstraint("max_views BETWEEN 1 AND 20 AND expires_at > 0", name="ck_link_terms_are_possible"),
        sa.CheckConstraint("state IN ('active', 'consumed', 'expired', 'revoked')", name="ck_link_known_state"),
        sa.CheckConstraint("state = 'active' OR blob IS NULL", name="ck_link_ended_links_hold_nothing"),
        sa.CheckConstraint("(state = 'active') = (ended_ms IS NULL)", name="ck_link_ended_links_say_when"),
    )
    op.create_index("ix_link_state_expires_at", "link", ["state", "expires_at"])
    op.create_table(
        "event",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=False, nullable=False),
        sa.Column("link_id", sa.String(64), nullable=True),
        sa.Column("ref", sa.String(200), nullable=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("view", sa.Integer, nullable=True),
        sa.Column("views_left", sa.Integer, nullable=True),
        sa.Column("reason", sa.String(200), nullable=True),
        sa.Column("nonce", sa.String(64), nullable=True),
        sa.Column("ip", sa.String(64), nullable=True),
        sa.Column("country", sa.String(2), nullable=True),
        sa.Column("city", sa.String(120), nullable=True),
        sa.Column("place_source", sa.String(64), nullable=True),
        sa.Column("user_agent", sa.String(300), nullable=True),
        sa.Column("agent", sa.String(80), nullable=True),
        sa.Column("suspect", sa.String(32), nullable=True),
        sa.Column("mac", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_event"),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name="fk_event_link_id"),
        sa.UniqueConstraint("link_id", "nonce", name="uq_event_link_id_nonce"),
    )
