"""What a reader's former choice owes them, when the choice changed, and the issue that carries what is owed."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Moment

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0011; variants of old issues that were not written down item by item are filled in where that is known."""
    op.add_column("subscriber", sa.Column("chosen_at", Moment()))
    op.create_index(
        "ix_subscriber_chosen", "subscriber", ["cadence", "chosen_at"], unique=False,
        postgresql_where=sa.text("chosen_at IS NOT NULL"), sqlite_where=sa.text("chosen_at IS NOT NULL"),
    )
    op.create_table(
        "owed",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscriber", sa.Integer(), nullable=False),
        sa.Column("change_id", sa.Integer(), nullable=False),
        sa.Column("since", Moment(), nullable=False),
        sa.Column("why", sa.String(10), nullable=False),
        sa.Column("settled_by", sa.Integer()),
        sa.Column("told", sa.Boolean()),
        sa.ForeignKeyConstraint(["subscriber"], ["subscriber.id"], name=op.f("fk_owed_subscriber_subscriber")),
        sa.ForeignKeyConstraint(["change_id"], ["change.id"], name=op.f("fk_owed_change_id_change")),
        sa.ForeignKeyConstraint(["settled_by"], ["issue.number"], name=op.f("fk_owed_settled_by_issue")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_owed")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_owed_open", "owed", ["subscriber", "change_id"], unique=True,
        postgresql_where=sa.text("told IS NULL"), sqlite_where=sa.text("told IS NULL"),
    )
    op.create_index(
        "ix_owed_settled", "owed", ["settled_by"], unique=False,
        postgresql_where=sa.text("settled_by IS NOT NULL"), sqlite_where=sa.text("settled_by IS NOT NULL"),
    )
    op.create_table(
        "issue_owed_item",
        sa.Column("issue", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("change_id", sa.Integer(), nullable=False),
        sa.Column("milestone_id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("role IN ('news', 'correction')", name=op.f("ck_issue_owed_item_role")),
        sa.ForeignKeyConstraint(
            ["issue"], ["issue.number"], ondelete="CASCADE", name=op.f("fk_issue_owed_item_issue_issue")
        ),
        sa.ForeignKeyConstraint(["change_id"], ["change.id"], name=op.f("fk_issue_owed_item_change_id_change")),
        sa.ForeignKeyConstraint(
            ["milestone_id"], ["milestone.id"], name=op.f("fk_issue_owed_item_milestone_id_milestone")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["milestone_version.id"], name=op.f("fk_issue_owed_item_version_id_milestone_version")
        ),
        sa.PrimaryKeyConstraint("issue", "position", name=op.f("pk_issue_owed_item")),
        sa.UniqueConstraint("issue", "change_id", name=op.f("uq_issue_owed_item_issue_change_id")),
    )
    op.create_index(op.f("ix_issue_variant_item_change_id"), "issue_variant_item", ["change_id"], unique=False)
