"""What an editor changed, what an issue was rendered with, which items each variant shows, when sending may begin."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Json, Moment

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0003; of older issues it is known which items everybody's variant shows."""
    op.add_column("issue", sa.Column("edit", Json()))
    op.add_column("issue", sa.Column("rendered_with", Json()))
    op.add_column("issue", sa.Column("send_after", Moment()))
    op.create_table(
        "issue_variant_item",
        sa.Column("issue", sa.Integer(), nullable=False),
        sa.Column("variant", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("change_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["issue", "variant"], ["issue_variant.issue", "issue_variant.name"], ondelete="CASCADE",
            name=op.f("fk_issue_variant_item_issue_variant_issue_variant"),
        ),
        sa.ForeignKeyConstraint(["change_id"], ["change.id"], name=op.f("fk_issue_variant_item_change_id_change")),
        sa.PrimaryKeyConstraint("issue", "variant", "position", name=op.f("pk_issue_variant_item")),
    )
    op.execute(
        "INSERT INTO issue_variant_item (issue, variant, position, change_id) "
        "SELECT issue_item.issue, issue_variant.name, issue_item.position, issue_item.change_id FROM issue_item "
        "JOIN issue_variant ON issue_variant.issue = issue_item.issue AND issue_variant.name = 'all'"
    )
