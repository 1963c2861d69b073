"""What looked like a milestone on a page and could not be read."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Json

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0010."""
    op.add_column("page", sa.Column("unread", Json()))
