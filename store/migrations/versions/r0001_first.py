"""The first tables."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import BigKey, Json, Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "blob",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("encoding", sa.String(length=8), nullable=False),
        sa.Column("raw_size", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_blob")),
    )
    op.create_table(
        "issue",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cadence", sa.String(length=8), nullable=False),
        sa.Column("period", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("approved_at", Moment(), nullable=True),
        sa.Column("frozen_at", Moment(), nullable=True),
        sa.Column("candidates", sa.Integer(), nullable=True),
        sa.Column("deliveries", sa.Integer(), nullable=True),
        sa.Column("exclusions", sa.Integer(), nullable=True),
        sa.Column("pause_reason", sa.Text(), nullable=True),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.CheckConstraint("cadence IN ('instant', 'daily', 'weekly', 'monthly')", name=op.f("ck_issue_cadence")),
        sa.CheckConstraint(
            "state IN ('draft', 'frozen', 'sending', 'paused', 'complete', 'needs_review', 'cancelled')",
            name=op.f("ck_issue_state"),
        ),
        sa.CheckConstraint("candidates = deliveries + exclusions", name=op.f("ck_issue_equation")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_issue")),
        sa.UniqueConstraint("cadence", "period", name=op.f("uq_issue_cadence_period")),
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )
    op.create_table(
        "source",
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_source")),
    )
    op.create_table(
        "subscriber",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("normalized", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("cadence", sa.String(length=8), nullable=False),
        sa.Column("topics", Json(), server_default="[]", nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("confirmed_at", Moment(), nullable=True),
        sa.Column("unsubscribed_at", Moment(), nullable=True),
        sa.CheckConstraint("cadence IN ('instant', 'daily', 'weekly', 'monthly')", name=op.f("ck_subscriber_cadence")),
        sa.CheckConstraint("state IN ('pending', 'active', 'unsubscribed')", name=op.f("ck_subscriber_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriber")),
        sa.UniqueConstraint("normalized", name=op.f("uq_subscriber_normalized")),
    )
    op.create_table(
        "suppression",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address_hash", sa.String(length=64), nullable=False),
        sa.Column("normalized", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppression")),
        sa.UniqueConstraint("address_hash", name=op.f("uq_suppression_address_hash")),
    )
    op.create_table(
        "exclusion",
        sa.Column("issue", sa.Integer(), nullable=False),
        sa.Column("subscriber", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["issue"], ["issue.number"], name=op.f("fk_exclusion_issue_issue")),
        sa.ForeignKeyConstraint(["subscriber"], ["subscriber.id"], name=op.f("fk_exclusion_subscriber_subscriber")),
        sa.PrimaryKeyConstraint("issue", "subscriber", name=op.f("pk_exclusion")),
    )
    op.create_table(
        "issue_variant",
        sa.Column("issue", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("placeholder", sa.Text(), nullable=False),
        sa.Column("sha", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["issue"], ["issue.number"], name=op.f("fk_issue_variant_issue_issue"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("issue", "name", name=op.f("pk_issue_variant")),
    )
    op.create_table(
        "listing_card",
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("listing_url", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("card", Json(), nullable=False),
        sa.ForeignKeyConstraint(["source"], ["source.key"], name=op.f("fk_listing_card_source_source")),
        sa.PrimaryKeyConstraint("source", "listing_url", "key", name=op.f("pk_listing_card")),
    )
    op.create_index(op.f("ix_listing_card_source_key"), "listing_card", ["source", "key"], unique=False)
    op.create_table(
        "look",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("baseline", sa.Boolean(), nullable=False),
        sa.Column("held", sa.Text(), nullable=True),
        sa.Column("released_at", Moment(), nullable=True),
        sa.Column("released_why", sa.Text(), nullable=True),
        sa.Column("requests", sa.Integer(), server_default="0", nullable=False),
        sa.Column("fetched", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_modified", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("milestones", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", Json(), server_default="[]", nullable=False),
        sa.CheckConstraint("state IN ('running', 'complete', 'incomplete', 'failed')", name=op.f("ck_look_state")),
        sa.ForeignKeyConstraint(["source"], ["source.key"], name=op.f("fk_look_source_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_look")),
    )
    op.create_index(op.f("ix_look_source_id"), "look", ["source", "id"], unique=False)
    op.create_table(
        "reread",
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["source"], ["source.key"], name=op.f("fk_reread_source_source")),
        sa.PrimaryKeyConstraint("source", "key", name=op.f("pk_reread")),
    )
    op.create_table(
        "snapshot",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("final_url", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", Json(), nullable=False),
        sa.Column("body_sha", sa.String(length=64), nullable=False),
        sa.Column("fetched_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["body_sha"], ["blob.sha256"], name=op.f("fk_snapshot_body_sha_blob")),
        sa.ForeignKeyConstraint(["source"], ["source.key"], name=op.f("fk_snapshot_source_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot")),
    )
    op.create_index(op.f("ix_snapshot_body_sha"), "snapshot", ["body_sha"], unique=False)
    op.create_index(op.f("ix_snapshot_source_url_id"), "snapshot", ["source", "url", "id"], unique=False)
    op.create_table(
        "delivery",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("issue", sa.Integer(), nullable=False),
        sa.Column("subscriber", sa.Integer(), nullable=False),
        sa.Column("normalized", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("variant", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("lease", sa.String(length=32), nullable=True),
        sa.Column("lease_seconds", sa.Integer(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("first_attempt_at", Moment(), nullable=True),
        sa.Column("next_attempt_at", Moment(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("queue_id", sa.Text(), nullable=True),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("enhanced", sa.String(length=16), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'claimed', 'sending', 'sent', 'deferred', 'failed', 'unknown', 'suppressed', "
            "'cancelled')",
            name=op.f("ck_delivery_state"),
        ),
        sa.ForeignKeyConstraint(
            ["issue", "variant"],
            ["issue_variant.issue", "issue_variant.name"],
            name=op.f("fk_delivery_issue_variant_issue_variant"),
        ),
        sa.ForeignKeyConstraint(["issue"], ["issue.number"], name=op.f("fk_delivery_issue_issue")),
        sa.ForeignKeyConstraint(["subscriber"], ["subscriber.id"], name=op.f("fk_delivery_subscriber_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("issue", "normalized", name=op.f("uq_delivery_issue_normalized")),
        sa.UniqueConstraint("issue", "subscriber", name=op.f("uq_delivery_issue_subscriber")),
    )
    op.create_index(
        "ix_delivery_due",
        "delivery",
        ["issue", "next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state = 'deferred'"),
        sqlite_where=sa.text("state = 'deferred'"),
    )
    op.create_index(op.f("ix_delivery_issue_state_id"), "delivery", ["issue", "state", "id"], unique=False)
    op.create_table(
        "milestone",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("first_seen_at", Moment(), nullable=False),
        sa.Column("first_look_id", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=9), server_default="present", nullable=False),
        sa.CheckConstraint("state IN ('present', 'withdrawn')", name=op.f("ck_milestone_state")),
        sa.ForeignKeyConstraint(["first_look_id"], ["look.id"], name=op.f("fk_milestone_first_look_id_look")),
        sa.ForeignKeyConstraint(["source"], ["source.key"], name=op.f("fk_milestone_source_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_milestone")),
        sa.UniqueConstraint("source", "key", name=op.f("uq_milestone_source_key")),
    )
    op.create_table(
        "page",
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=9), nullable=False),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("last_modified", sa.Text(), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_snapshot_id", sa.Integer(), nullable=True),
        sa.Column("read_snapshot_id", sa.Integer(), nullable=True),
        sa.Column("first_listed_look", sa.Integer(), nullable=True),
        sa.Column("last_listed_look", sa.Integer(), nullable=True),
        sa.Column("asked_at", Moment(), nullable=True),
        sa.Column("seen_at", Moment(), nullable=True),
        sa.Column("gone_since", Moment(), nullable=True),
        sa.CheckConstraint("kind IN ('milestone', 'listing', 'other')", name=op.f("ck_page_kind")),
        sa.ForeignKeyConstraint(["first_listed_look"], ["look.id"], name=op.f("fk_page_first_listed_look_look")),
        sa.ForeignKeyConstraint(["last_listed_look"], ["look.id"], name=op.f("fk_page_last_listed_look_look")),
        sa.ForeignKeyConstraint(["last_snapshot_id"], ["snapshot.id"], name=op.f("fk_page_last_snapshot_id_snapshot")),
        sa.ForeignKeyConstraint(["read_snapshot_id"], ["snapshot.id"], name=op.f("fk_page_read_snapshot_id_snapshot")),
        sa.ForeignKeyConstraint(["source"], ["source.key"], name=op.f("fk_page_source_source")),
        sa.PrimaryKeyConstraint("source", "url", name=op.f("pk_page")),
    )
    op.create_table(
        "attempt",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("delivery_id", BigKey, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("lease", sa.String(length=32), nullable=True),
        sa.Column("phase", sa.String(length=12), nullable=False),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("enhanced", sa.String(length=16), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_attempt_delivery_id_delivery")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
    )
    op.create_index(op.f("ix_attempt_delivery_id_id"), "attempt", ["delivery_id", "id"], unique=False)
    op.create_table(
        "milestone_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("milestone_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("record", Json(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("snapshot_id", sa.Integer(), nullable=True),
        sa.Column("extractor", sa.Text(), nullable=False),
        sa.Column("look_id", sa.Integer(), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["look_id"], ["look.id"], name=op.f("fk_milestone_version_look_id_look")),
        sa.ForeignKeyConstraint(
            ["milestone_id"], ["milestone.id"], name=op.f("fk_milestone_version_milestone_id_milestone")
        ),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["snapshot.id"], name=op.f("fk_milestone_version_snapshot_id_snapshot")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_milestone_version")),
        sa.UniqueConstraint("milestone_id", "number", name=op.f("uq_milestone_version_milestone_id_number")),
    )
    op.create_index(op.f("ix_milestone_version_snapshot_id"), "milestone_version", ["snapshot_id"], unique=False)
    op.create_table(
        "change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("look_id", sa.Integer(), nullable=True),
        sa.Column("milestone_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("fields", Json(), nullable=False),
        sa.Column("old_version_id", sa.Integer(), nullable=True),
        sa.Column("new_version_id", sa.Integer(), nullable=False),
        sa.Column("detected_at", Moment(), nullable=False),
        sa.Column("announce", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('added', 'corrected', 'enriched', 'cosmetic', 'renamed', 'withdrawn', 'restored')",
            name=op.f("ck_change_kind"),
        ),
        sa.CheckConstraint("look_id IS NOT NULL OR NOT announce", name=op.f("ck_change_backfill_is_silent")),
        sa.ForeignKeyConstraint(["look_id"], ["look.id"], name=op.f("fk_change_look_id_look")),
        sa.ForeignKeyConstraint(["milestone_id"], ["milestone.id"], name=op.f("fk_change_milestone_id_milestone")),
        sa.ForeignKeyConstraint(
            ["new_version_id"], ["milestone_version.id"], name=op.f("fk_change_new_version_id_milestone_version")
        ),
        sa.ForeignKeyConstraint(
            ["old_version_id"], ["milestone_version.id"], name=op.f("fk_change_old_version_id_milestone_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change")),
    )
    op.create_index(op.f("ix_change_look_id"), "change", ["look_id"], unique=False)
    op.create_index(op.f("ix_change_milestone_id"), "change", ["milestone_id"], unique=False)
    op.create_index(
        "ix_change_news",
        "change",
        ["id"],
        unique=False,
        postgresql_where=sa.text("announce"),
        sqlite_where=sa.text("announce"),
    )
    op.create_table(
        "issue_item",
        sa.Column("issue", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("change_id", sa.Integer(), nullable=False),
        sa.Column("milestone_id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("cadence", sa.String(length=8), nullable=False),
        sa.CheckConstraint("role IN ('news', 'correction')", name=op.f("ck_issue_item_role")),
        sa.ForeignKeyConstraint(["change_id"], ["change.id"], name=op.f("fk_issue_item_change_id_change")),
        sa.ForeignKeyConstraint(
            ["issue"], ["issue.number"], name=op.f("fk_issue_item_issue_issue"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["milestone_id"], ["milestone.id"], name=op.f("fk_issue_item_milestone_id_milestone")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["milestone_version.id"], name=op.f("fk_issue_item_version_id_milestone_version")
        ),
        sa.PrimaryKeyConstraint("issue", "position", name=op.f("pk_issue_item")),
        sa.UniqueConstraint("cadence", "change_id", name=op.f("uq_issue_item_cadence_change_id")),
    )
    op.create_index(
        "uq_issue_item_news",
        "issue_item",
        ["cadence", "milestone_id"],
        unique=True,
        postgresql_where=sa.text("role = 'news'"),
        sqlite_where=sa.text("role = 'news'"),
    )
