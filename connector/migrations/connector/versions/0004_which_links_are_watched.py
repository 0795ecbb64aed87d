"""Links that can still be opened are found without looking through every case. No way back: restore the backup.

Revision 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Links of before this version are of our own service, which tells by itself: nobody watches them.
    op.add_column("case_link", sa.Column("handle", sa.Text))
    op.add_column("case_link", sa.Column("expires_at", sa.DateTime(timezone=True)))
    op.add_column("case_link", sa.Column("views", sa.Integer))
    op.create_index("ix_case_link_expires_at", "case_link", ["expires_at"])
