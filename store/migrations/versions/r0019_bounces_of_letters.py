"""Which letter a report was about: confirmations and welcomes come back too."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import BigKey

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0018."""
    op.add_column("bounce", sa.Column("letter", BigKey))
    op.create_index(op.f("ix_bounce_letter"), "bounce", ["letter"], unique=False)
