"""Which proofs of work were used for a sign-up, so that none pays twice."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Moment

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0020."""
    op.create_table(
        "spent_proof",
        sa.Column("challenge", sa.String(length=64), nullable=False),
        sa.Column("address_hash", sa.String(length=64), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("challenge", name=op.f("pk_spent_proof")),
    )
    op.create_index(op.f("ix_spent_proof_expires_at"), "spent_proof", ["expires_at"], unique=False)
