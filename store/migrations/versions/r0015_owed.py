"""What a reader's former choice owes them, when the choice changed, and the issue that carries what is owed."""

import hashlib
from itertools import combinations

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Moment

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_MOST = 16  # items of an issue whose choices are tried: 65,536


def upgrade() -> None:
    """From 0014; variants of old issues that were not written down item by item are filled in where that is known."""
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
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    """Variants whose items were not written down: their names are hashes of them, so that few items can be tried."""
    items: dict[int, list[int]] = {}
    for row in connection.execute(sa.text("SELECT issue, change_id FROM issue_item ORDER BY issue, position")):
        items.setdefault(row.issue, []).append(row.change_id)
    unknown = connection.execute(sa.text(
        "SELECT issue, name FROM issue_variant WHERE NOT EXISTS (SELECT 1 FROM issue_variant_item "
        "WHERE issue_variant_item.issue = issue_variant.issue AND issue_variant_item.variant = issue_variant.name)"
    )).all()
    rows = [
        {"issue": row.issue, "variant": row.name, "position": position, "change_id": change_id}
        for row in unknown for position, change_id in enumerate(_items(row.name, items.get(row.issue, [])), 1)
    ]
    if rows:
        connection.execute(sa.text(
            "INSERT INTO issue_variant_item (issue, variant, position, change_id) "
            "VALUES (:issue, :variant, :position, :change_id)"
        ), rows)


def _items(name: str, items: list[int]) -> list[int]:
    """Those of an issue's items, in their order, that a variant's name is the hash of; none where too many are."""
    if len(items) > _MOST:
        return []
    for count in range(1, len(items)):
        for some in combinations(items, count):
            text = ",".join(map(str, sorted(some)))
            if hashlib.sha256(text.encode("ascii")).hexdigest()[:12] == name:
                return list(some)
    return []
