"""What is old is decided by marks, not by what events say.

Adds a table, and to alarms the number of the newest event when they were made. No mark is made up: what is there
already counts as written now, so it is kept for once more the time of keeping. There is no way back: restore the backup
made before the update.

Revision 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mark",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mark"),
    )
    op.add_column("alarm", sa.Column("made_seq", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE alarm SET made_seq = (SELECT coalesce(max(seq), 0) FROM event)")
    op.create_index("ix_alarm_made_seq", "alarm", ["made_seq"])
    op.drop_index("ix_link_ended_ms", table_name="link")
