"""A link can be told from a changed row also when what it held is gone.

Adds one column. Links made before have nothing in it and cannot get it, for it is part of what was authenticated when
they were made: see `connector.secretlink.service.store.genuine` for what becomes of them. There is no way back: restore
the backup made before the update.

Revision 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("link", sa.Column("sealed_digest", sa.LargeBinary(32), nullable=True))
