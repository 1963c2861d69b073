"""Whose a lease is: who waits for it is told, and may take over from a process that is dead."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0011."""
    op.add_column("delivery", sa.Column("lease_holder", sa.Text()))
