"""How far the webhook has come.

Adds one table of one row. There is no way back: restore the backup made before the update.

Revision 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String(32), nullable=True),
        sa.Column("held_until_ms", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_webhook"),
        sa.CheckConstraint("id = 1", name="ck_webhook_one_row"),
        sa.CheckConstraint("(holder IS NULL) = (held_until_ms IS NULL)", name="ck_webhook_held_until_some_time"),
    )
