"""A key of what the database knows about itself may have the key of any source in it, which has up to forty characters.

PostgreSQL refused the longer ones; SQLite looks at no length.
"""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0042."""
    with op.batch_alter_table("meta") as batch:
        batch.alter_column("key", type_=sa.Text())
