"""How the records of a source were filled and witnessed at each look, in a few figures."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Json

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0030."""
    op.add_column("look", sa.Column("reading", Json(), nullable=True))
