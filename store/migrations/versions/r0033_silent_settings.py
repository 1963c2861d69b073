"""How often each look asked the places that a source's settings name, and which of them lead to nothing."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Json

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0032."""
    op.add_column("look", sa.Column("settings", Json(), nullable=True))
    op.add_column("look", sa.Column("silent", Json(), nullable=False, server_default="[]"))
