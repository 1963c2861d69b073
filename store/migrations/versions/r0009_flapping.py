"""What a page alternates between, and for how many looks in a row it has told the same."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Json

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0008."""
    op.create_table(
        "flapping",
        sa.Column("milestone_id", sa.Integer(), nullable=False),
        sa.Column("field", sa.String(length=20), nullable=False),
        sa.Column("value", Json(), nullable=True),
        sa.Column("looks", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["milestone_id"], ["milestone.id"], name=op.f("fk_flapping_milestone_id_milestone"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("milestone_id", "field", name=op.f("pk_flapping")),
    )
