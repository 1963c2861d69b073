"""What a ledger's page counts and lists exclusions by, and the latest changes of a look."""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0037."""
    op.create_index(op.f("ix_exclusion_issue_reason_subscriber"), "exclusion", ["issue", "reason", "subscriber"])
    op.drop_index(op.f("ix_change_look_id"), "change")
    op.create_index(op.f("ix_change_look_id_id"), "change", ["look_id", "id"])
