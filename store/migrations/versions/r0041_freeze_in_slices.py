"""How far an issue is frozen whose readers are placed a slice after another; before this there is none."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Moment

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0040."""
    for name in ("frozen_through", "freeze_up_to", "freeze_placed", "freeze_candidates"):
        op.add_column("issue", sa.Column(name, sa.Integer()))
    for name in ("freeze_began_at", "freeze_moved_at"):
        op.add_column("issue", sa.Column(name, Moment()))
