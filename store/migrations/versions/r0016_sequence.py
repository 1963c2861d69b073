"""Which issue of its cadence an issue is, as readers are told from now on; those from before keep their numbers."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0015."""
    op.add_column("issue", sa.Column("sequence", sa.Integer()))
    op.create_index("uq_issue_sequence", "issue", ["cadence", "sequence"], unique=True)
