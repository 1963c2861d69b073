"""Operators, their sessions and ways in, wrong passwords, and what they did."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import BigKey, Json, Moment

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0028."""
    op.create_table(
        "operator",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("password", sa.Text()),
        sa.Column("totp_secret", sa.String(64)),
        sa.Column("totp_last", sa.Integer()),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("password_at", Moment()),
        sa.Column("disabled_at", Moment()),
        sa.CheckConstraint("role IN ('viewer', 'editor', 'admin')", name=op.f("ck_operator_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator")),
        sa.UniqueConstraint("name", name=op.f("uq_operator_name")),
        sqlite_autoincrement=True,
    )
    _of_an_operator("operator_session", sa.Column("seen_at", Moment(), nullable=False))
    _of_an_operator("operator_link", sa.Column("used_at", Moment()))
    op.create_table(
        "guess",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("network", sa.String(64), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_guess")),
    )
    op.create_index(op.f("ix_guess_name_at"), "guess", ["name", "at"])
    op.create_index(op.f("ix_guess_network_at"), "guess", ["network", "at"])
    op.create_index(op.f("ix_guess_at"), "guess", ["at"])
    op.create_table(
        "act",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("who", sa.String(100), nullable=False),
        sa.Column("role", sa.String(8)),
        sa.Column("door", sa.String(8), nullable=False),
        sa.Column("what", sa.String(40), nullable=False),
        sa.Column("about", sa.String(200), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(8), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("before", Json()),
        sa.Column("after", Json()),
        sa.Column("ended_at", Moment()),
        sa.CheckConstraint("outcome IN ('asked', 'done', 'refused')", name=op.f("ck_act_outcome")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_act")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_act_about_id"), "act", ["about", "id"])
    op.create_index(op.f("ix_act_who_id"), "act", ["who", "id"])


def _of_an_operator(name: str, *columns: sa.Column[object]) -> None:
    op.create_table(
        name,
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("operator_id", BigKey, nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(["operator_id"], ["operator.id"], name=op.f(f"fk_{name}_operator_id_operator")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f(f"pk_{name}")),
    )
    op.create_index(op.f(f"ix_{name}_operator_id"), name, ["operator_id"])
