"""Which runs of the schedules are at work."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0033."""
    op.create_table(
        "run_lease",
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("lease_holder", sa.Text, nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("run", name=op.f("pk_run_lease")),
    )
