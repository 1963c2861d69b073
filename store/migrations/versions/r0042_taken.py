"""What dispatchers hold of an issue is found without walking through all of it."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0041."""
    which = sa.text("lease_until IS NOT NULL")
    op.create_index("ix_delivery_taken", "delivery", ["issue"], postgresql_where=which, sqlite_where=which)
