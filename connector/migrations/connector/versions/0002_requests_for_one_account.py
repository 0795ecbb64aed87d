"""Cases and resets can be found by the account that they are about. There is no way back: restore the backup.

Revision 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Filled at the next save of each case; what was over before this version is about nobody any more.
    op.add_column("cases", sa.Column("subject_id", sa.Text))
    op.create_index("ix_cases_subject_id", "cases", ["subject_id"])
    # A case may come to write to two accounts, when its ticket is changed in between: both writes count.
    with op.batch_alter_table("reset") as reset:
        reset.drop_constraint("pk_reset", type_="primary")
        reset.create_primary_key("pk_reset", ["case_id", "action", "subject"])
    op.create_index("ix_reset_subject", "reset", ["subject"])
