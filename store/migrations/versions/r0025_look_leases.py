"""Whose a look is: a second one of the same source waits for its lease, and takes over from a process that is dead."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0024."""
    op.add_column("look", sa.Column("lease_holder", sa.Text()))
    op.add_column("look", sa.Column("lease_until", sa.Double()))
