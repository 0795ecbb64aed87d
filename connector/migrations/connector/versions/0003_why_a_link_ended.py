"""Link events say why. There is no way back: restore the backup.

Revision 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("case_link_event", sa.Column("reason", sa.Text))
