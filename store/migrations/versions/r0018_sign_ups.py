"""Sign-ups that wait for their confirmation, the proof of it, and the queue of letters."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import BigKey, Json, Moment

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0017."""
    op.create_table(
        "sign_up",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("normalized", sa.Text(), nullable=False),
        sa.Column("address_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("cadence", sa.String(length=8), nullable=False),
        sa.Column("topics", Json(), server_default="[]", nullable=False),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("form", sa.String(length=32), nullable=False),
        sa.Column("source", sa.Text()),
        sa.Column("variant", sa.Text()),
        sa.Column("path", sa.Text()),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("asked", sa.Integer(), server_default="1", nullable=False),
        sa.Column("asked_at", Moment(), nullable=False),
        sa.Column("reminded_at", Moment()),
        sa.Column("confirmed_at", Moment()),
        sa.CheckConstraint("cadence IN ('instant', 'daily', 'weekly', 'monthly')", name=op.f("ck_sign_up_cadence")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_up")),
        sa.UniqueConstraint("normalized", name=op.f("uq_sign_up_normalized")),
        sa.UniqueConstraint("name", name=op.f("uq_sign_up_name")),
    )
    op.create_index(op.f("ix_sign_up_network_asked_at"), "sign_up", ["network", "asked_at"], unique=False)
    op.create_index(op.f("ix_sign_up_asked_at"), "sign_up", ["asked_at"], unique=False)
    op.create_table(
        "consent",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("subscriber", sa.Integer(), nullable=False),
        sa.Column("asked_at", Moment(), nullable=False),
        sa.Column("form", sa.String(length=32), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("source", sa.Text()),
        sa.Column("variant", sa.Text()),
        sa.Column("path", sa.Text()),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("cadence", sa.String(length=8), nullable=False),
        sa.Column("topics", Json(), server_default="[]", nullable=False),
        sa.Column("confirmed_at", Moment(), nullable=False),
        sa.Column("confirmed_network", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscriber.id"], name=op.f("fk_consent_subscriber_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    op.create_index(op.f("ix_consent_subscriber_id"), "consent", ["subscriber", "id"], unique=False)
    op.create_table(
        "sign_up_count",
        sa.Column("hour", Moment(), nullable=False),
        sa.Column("what", sa.String(length=12), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "what", name=op.f("pk_sign_up_count")),
    )
    op.create_table(
        "letter",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("address_hash", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("sign_up", BigKey),
        sa.Column("subscriber", sa.Integer()),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease", sa.String(length=32)),
        sa.Column("lease_until", sa.Double()),
        sa.Column("queued_at", Moment(), nullable=False),
        sa.Column("next_attempt_at", Moment(), nullable=False),
        sa.Column("sent_at", Moment()),
        sa.Column("why", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('confirm', 'remind', 'welcome')", name=op.f("ck_letter_kind")),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'sent', 'failed', 'dropped')", name=op.f("ck_letter_state")
        ),
        sa.ForeignKeyConstraint(
            ["sign_up"], ["sign_up.id"], name=op.f("fk_letter_sign_up_sign_up"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["subscriber"], ["subscriber.id"], name=op.f("fk_letter_subscriber_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_letter")),
        sa.UniqueConstraint("kind", "address_hash", "day", name=op.f("uq_letter_kind_address_hash_day")),
    )
    op.create_index(op.f("ix_letter_state_next_attempt_at"), "letter", ["state", "next_attempt_at"], unique=False)
    op.create_index(op.f("ix_letter_sign_up"), "letter", ["sign_up"], unique=False)
