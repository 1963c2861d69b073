"""The tables, drawn in the order the data reaches them; migrations/ holds the road here, a test holds them equal.

    source ─ look ─ page ─ snapshot ─ blob        what was asked, and what came back (blob ─ dictionary)
    source ─ source_label, site_label, source_profile         what was learnt of it
                     └ listing_card, reread       what listings said
    milestone ─ milestone_version ─ change        what was read, and how it changed (and an index: store.search)
    renaming, flapping, backfill ─ …_record       what took another key, what alternates, what was read again
    issue ─ issue_item, issue_variant ─ …_item    what is published, and which variant shows what
    subscriber, suppression                       who hears, who never again
    subscriber_event                              what operators did about an address
    owed, issue_owed_item                         what a former choice owes them, and the issue that carries it
    address_change                                who asked to be written to elsewhere
    sign_up ─ consent, sign_up_count              who asked and has to confirm, what proves it, what was refused
    spent_proof                                   calculations that paid for a sign-up
    letter                                        mails that are no issue, on their way
    exclusion, delivery ─ attempt                 the ledger
    bounce                                        what came back of it
    notice, notice_message                        what operators were told, and the messages on their way
    webhook_message                               what others are told
    operator ─ operator_session, operator_link    who may decide at the desk, and is there now
    guess                                         wrong passwords, for a while
    act                                           what operators did
    api_token                                     which programs may ask and decide
"""

import secrets

import sqlalchemy as sa

from milepost import records
from store.schema.columns import BigKey, Json, Moment

HEAD = 43  # the revision this program was made for

LOOK_STATES = ("running", "complete", "incomplete", "failed")
MILESTONE_STATES = ("present", "withdrawn")
SUBSCRIBER_STATES = ("pending", "active", "unsubscribed")
ISSUE_STATES = ("draft", "frozen", "sending", "paused", "complete", "needs_review", "cancelled")
DELIVERY_STATES = (
    "pending", "claimed", "sending", "sent", "deferred", "failed", "unknown", "suppressed", "cancelled",
)
DECISIONS = ("pending", "rename", "new")
GRADES = ("hard", "soft", "policy", "delayed", "delivered", "complaint", "unclear")
LETTER_KINDS = ("confirm", "remind", "welcome", "move", "moved", "goodbye")
LETTER_STATES = ("queued", "sending", "sent", "failed", "dropped")
NOTICE_STATES = ("queued", "sent", "dropped")
ROLES = ("viewer", "writer", "editor", "admin")
ACT_OUTCOMES = ("asked", "done", "refused")
PAGE_KINDS = ("milestone", "listing", "other")

SEARCH = "milestone_search"  # store.search: made by its migration alone, since each engine has its own kind


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def in_metadata(name: str | None, kind: str, parents: object) -> bool:  # noqa: ARG001 (the form of Alembic's hook)
    """Whether Alembic is to compare a table of the database with the metadata."""
    return kind != "table" or not (name or "").startswith(SEARCH)


def _either(column: str, values: tuple[str, ...]) -> str:
    """The same rule in a form that costs SQLite next to nothing: of an IN it makes an index anew for each row."""
    return " OR ".join(f"{column} = {value!r}" for value in values)


def _one_of(column: str, values: tuple[str, ...]) -> sa.CheckConstraint:
    """The rule that a column holds one of a few words."""
    return sa.CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in values)})", name=column)


meta = sa.Table(
    "meta", metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

source = sa.Table(
    "source", metadata,
    sa.Column("key", sa.String(40), primary_key=True),
)

look = sa.Table(
    "look", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.ForeignKey("source.key"), nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("baseline", sa.Boolean, nullable=False),  # what it finds first is announced to nobody
    sa.Column("held", sa.Text),  # the reason its changes wait for an operator
    sa.Column("released_at", Moment),
    sa.Column("released_why", sa.Text),
    sa.Column("requests", sa.Integer, nullable=False, server_default="0"),
    sa.Column("fetched", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_modified", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("milestones", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failures", Json, nullable=False, server_default="[]"),
    sa.Column("listed", sa.Integer),  # milestones that its listings named; NULL where they could not all be read
    sa.Column("guard", sa.String(12)),  # which guard stopped it; without `held`, an earlier look waits for the same
    sa.Column("notes", Json, nullable=False, server_default="[]"),  # sentences on what it saw and nobody has to decide
    sa.Column("degraded", Json, nullable=False, server_default="[]"),  # … on disputes, and silent settings
    sa.Column("lease_holder", sa.Text),  # which process looks, as store.holders names it; NULL of an older release
    sa.Column("lease_until", sa.Double),  # seconds since 1970 by the database's own clock
    sa.Column("refused_at", Moment),  # an operator said that it was wrong; `released_at` after that took it back
    sa.Column("refused_why", sa.Text),
    sa.Column("as_refused", sa.Integer),  # the look that was refused and found the same; nothing new was taken
    sa.Column("reading", Json),  # extractors.drift.Rates; NULL: too little was read to tell, or an older release looked
    sa.Column("settings", Json),  # extractors.silent_settings.Counts; NULL: none was asked, or an older release looked
    sa.Column("silent", Json, nullable=False, server_default="[]"),  # of `degraded` those on settings
    _one_of("state", LOOK_STATES),
    sa.Index(None, "source", "id"),
    *(
        sa.Index("ix_look_waiting", "id", postgresql_where=which, sqlite_where=which)
        for which in (sa.text("held IS NOT NULL AND released_at IS NULL"),)
    ),
)

# What the labels of a source stand for, as its own links taught.
source_label = sa.Table(
    "source_label", metadata,
    sa.Column("source", sa.ForeignKey("source.key"), primary_key=True),
    sa.Column("field", sa.String(20), primary_key=True),
    sa.Column("label", sa.Text, primary_key=True),  # as it is looked up
    sa.Column("slug", sa.Text, primary_key=True),  # one label may have several: then it says nothing
    sa.Column("learnt_at", Moment, nullable=False),
)

# How a source writes what its slugs stand for, where that says more than the slug.
site_label = sa.Table(
    "site_label", metadata,
    sa.Column("source", sa.ForeignKey("source.key"), primary_key=True),
    sa.Column("slug", sa.Text, primary_key=True),
    sa.Column("words", sa.Text, primary_key=True),
    sa.Column("pages", sa.Integer, nullable=False),  # that wrote it so, each time they were read
    sa.Column("met_at", Moment, nullable=False),  # last
)

# What held looks found a source to be like, and what of it an operator accepted.
source_profile = sa.Table(
    "source_profile", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.ForeignKey("source.key"), nullable=False),
    sa.Column("look_id", sa.ForeignKey("look.id"), nullable=False),  # the held look that found it
    sa.Column("data", Json, nullable=False),
    sa.Column("made_at", Moment, nullable=False),
    sa.Column("taken_at", Moment),  # NULL: offered by a held look, and not released
    sa.Column("once", sa.Boolean, nullable=False, server_default=sa.false()),  # taken for one look alone
    sa.Column("used_at", Moment),  # when it was needed no more
    sa.Index(None, "source", "id"),
)

dictionary = sa.Table(
    "dictionary", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("trained_at", Moment, nullable=False),
    sa.Column("samples", sa.Integer, nullable=False),  # bodies it was trained on
    sa.Column("data", sa.LargeBinary, nullable=False),
)

blob = sa.Table(
    "blob", metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),  # of the raw body
    sa.Column("encoding", sa.String(8), nullable=False),  # zstd
    sa.Column("raw_size", sa.Integer, nullable=False),  # bytes
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("dictionary", sa.ForeignKey("dictionary.id")),  # NULL: packed without one
)

snapshot = sa.Table(
    "snapshot", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.ForeignKey("source.key"), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("final_url", sa.Text, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("headers", Json, nullable=False),
    sa.Column("body_sha", sa.ForeignKey("blob.sha256"), nullable=False),
    sa.Column("fetched_at", Moment, nullable=False),
    sa.Column("rendered_by", sa.Text),  # null: the body as it came
    sa.Column("document_sha", sa.ForeignKey("blob.sha256")),  # of a rendered page: what it was rendered from
    sa.Index(None, "source", "url", "id"),
    sa.Index(None, "body_sha"),
    sa.Index("ix_snapshot_document", "document_sha", postgresql_where=sa.text("document_sha IS NOT NULL"),
             sqlite_where=sa.text("document_sha IS NOT NULL")),
)

page = sa.Table(
    "page", metadata,
    sa.Column("source", sa.ForeignKey("source.key"), primary_key=True),
    sa.Column("url", sa.Text, primary_key=True),
    sa.Column("kind", sa.String(9), nullable=False),
    sa.Column("etag", sa.Text),  # validators only ever from a stored 200
    sa.Column("last_modified", sa.Text),
    sa.Column("last_status", sa.Integer),
    sa.Column("last_snapshot_id", sa.ForeignKey("snapshot.id")),
    sa.Column("read_snapshot_id", sa.ForeignKey("snapshot.id")),  # the one its record was last read from
    sa.Column("first_listed_look", sa.ForeignKey("look.id")),
    sa.Column("last_listed_look", sa.ForeignKey("look.id")),
    sa.Column("asked_at", Moment),
    sa.Column("seen_at", Moment),  # last 200 or 304
    sa.Column("gone_since", Moment),  # first 404, 410 or redirect elsewhere since it was last seen
    sa.Column("moved_to", sa.Text),  # the page of the site that it redirects to
    sa.Column("missing_look", sa.ForeignKey("look.id")),  # first to find it gone and listed nowhere
    sa.Column("unread", Json),  # what looked like a milestone when it was last read; NULL: nothing did
    _one_of("kind", PAGE_KINDS),
    sa.Index(None, "last_snapshot_id"),  # whoever removes snapshots is asked about both
    sa.Index(None, "read_snapshot_id"),
)

listing_card = sa.Table(
    "listing_card", metadata,
    sa.Column("source", sa.ForeignKey("source.key"), primary_key=True),
    sa.Column("listing_url", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("card", Json, nullable=False),
    sa.Index(None, "source", "key"),
)

# Keys whose cards changed and whose page has not been read again since: survives a crash between the two.
reread = sa.Table(
    "reread", metadata,
    sa.Column("source", sa.ForeignKey("source.key"), primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
)

milestone = sa.Table(
    "milestone", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.ForeignKey("source.key"), nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("first_seen_at", Moment, nullable=False),
    sa.Column("first_look_id", sa.ForeignKey("look.id")),
    sa.Column("version", sa.Integer, nullable=False),  # the number of the current one
    sa.Column("state", sa.String(9), nullable=False, server_default="present"),
    sa.Column("related", Json),  # cards as last read: they make no version; NULL: those of the version
    sa.Column("evidence", Json),  # who told each field, as last read: makes no version; NULL: that of the version
    _one_of("state", MILESTONE_STATES),
    sa.UniqueConstraint("source", "key"),
)

milestone_version = sa.Table(
    "milestone_version", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("milestone_id", sa.ForeignKey("milestone.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("record", Json, nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("snapshot_id", sa.ForeignKey("snapshot.id")),
    sa.Column("extractor", sa.Text, nullable=False),
    sa.Column("look_id", sa.ForeignKey("look.id")),  # NULL: a backfill
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("backfill_id", sa.ForeignKey("backfill.id")),
    sa.UniqueConstraint("milestone_id", "number"),
    sa.Index(None, "snapshot_id"),
    sa.Index(
        "ix_milestone_version_backfill_id", "backfill_id",
        postgresql_where=sa.text("backfill_id IS NOT NULL"), sqlite_where=sa.text("backfill_id IS NOT NULL"),
    ),
)

change = sa.Table(
    "change", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("look_id", sa.ForeignKey("look.id")),
    sa.Column("milestone_id", sa.ForeignKey("milestone.id"), nullable=False),
    sa.Column("kind", sa.String(12), nullable=False),
    sa.Column("fields", Json, nullable=False),  # [[field, kind, old, new], …]
    sa.Column("old_version_id", sa.ForeignKey("milestone_version.id")),
    sa.Column("new_version_id", sa.ForeignKey("milestone_version.id"), nullable=False),
    sa.Column("detected_at", Moment, nullable=False),
    sa.Column("announce", sa.Boolean, nullable=False),
    _one_of("kind", records.CHANGE_KINDS),
    sa.CheckConstraint("look_id IS NOT NULL OR NOT announce", name="backfill_is_silent"),
    sa.Index(None, "milestone_id"),
    sa.Index(None, "look_id", "id"),  # the latest few of a look, however many it found
    sa.Index("ix_change_news", "id", postgresql_where=sa.text("announce"), sqlite_where=sa.text("announce")),
)

# Changes that readers are told of, in the words of `ix_change_news`: of `change.announce` SQLAlchemy makes `= 1` for
# SQLite, which then walks through all that was ever found, baselines and all.
ANNOUNCED: sa.ColumnElement[bool] = sa.literal_column("change.announce")

renaming = sa.Table(
    "renaming", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.ForeignKey("source.key"), nullable=False),
    sa.Column("milestone_id", sa.ForeignKey("milestone.id"), nullable=False),  # the one that was known before
    sa.Column("other_id", sa.ForeignKey("milestone.id"), unique=True),  # the one that may be the same; NULL once it is
    sa.Column("old_key", sa.Text, nullable=False),
    sa.Column("new_key", sa.Text, nullable=False),
    sa.Column("score", sa.Double),  # how alike they are, 0..1
    sa.Column("proof", sa.String(10), nullable=False),
    sa.Column("look_id", sa.ForeignKey("look.id")),
    sa.Column("detected_at", Moment, nullable=False),
    sa.Column("decision", sa.String(7), nullable=False),
    sa.Column("decided_at", Moment),
    sa.Column("why", sa.Text),
    _one_of("decision", DECISIONS),
    sa.Index(None, "source", "old_key"),
)

# What alternates on its page, and what the page told last: it is taken when it has been told for some looks in a row.
flapping = sa.Table(
    "flapping", metadata,
    sa.Column("milestone_id", sa.ForeignKey("milestone.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("field", sa.String(20), primary_key=True),
    sa.Column("value", Json),
    sa.Column("looks", sa.Integer, nullable=False),
)

backfill = sa.Table(
    "backfill", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.ForeignKey("source.key"), nullable=False),
    sa.Column("extractor", sa.Text, nullable=False),  # who read
    sa.Column("parameters", Json, nullable=False),  # what was selected
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Column("undone_at", Moment),
    sa.Column("undone_why", sa.Text),
    sa.Column("read_to", sa.Text),  # the last page's URL: a killed run goes on there
    sa.Column("read", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failures", Json, nullable=False, server_default="[]"),
    sa.Column("versions", sa.Integer, nullable=False, server_default="0"),  # it wrote
    sa.Index(None, "source", "id"),
)

# What a backfill read and has not written yet: all of it becomes versions in one transaction, at its end.
backfill_record = sa.Table(
    "backfill_record", metadata,
    sa.Column("backfill_id", sa.ForeignKey("backfill.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("snapshot_id", sa.ForeignKey("snapshot.id"), nullable=False),
    sa.Column("record", Json, nullable=False),
    sa.Index(None, "snapshot_id"),
)

issue = sa.Table(
    "issue", metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("cadence", sa.String(8), nullable=False),
    sa.Column("period", sa.String(40), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("approved_at", Moment),
    sa.Column("frozen_at", Moment),
    sa.Column("candidates", sa.Integer),
    sa.Column("deliveries", sa.Integer),
    sa.Column("exclusions", sa.Integer),
    sa.Column("pause_reason", sa.Text),
    sa.Column("finished_at", Moment),
    sa.Column("edit", Json),  # {"subject", "intro"}: what an editor wrote
    sa.Column("rendered_with", Json),  # {"settings", "templates", …}: what it takes to render it again
    sa.Column("send_after", Moment),  # until then an approval can be undone
    sa.Column("handle", sa.String(20)),  # at random: in its mails' names; NULL: it was drafted when they had none
    sa.Column("handed_over_at", Moment),  # the day of its mails; null: none went out, or before this was kept
    sa.Column("sequence", sa.Integer),  # counts within its cadence; NULL: from before, when readers saw the number
    # While its readers are placed, a slice after another; NULL before that and after it, but for when that began.
    sa.Column("frozen_through", sa.Integer),  # those up to this id are placed
    sa.Column("freeze_up_to", sa.Integer),  # the last who is to be placed
    sa.Column("freeze_placed", sa.Integer),
    sa.Column("freeze_candidates", sa.Integer),
    sa.Column("freeze_began_at", Moment),  # NULL: it was frozen in one slice, at frozen_at
    sa.Column("freeze_moved_at", Moment),  # the latest slice
    _one_of("cadence", records.CADENCES),
    _one_of("state", ISSUE_STATES),
    sa.CheckConstraint("candidates = deliveries + exclusions", name="equation"),
    sa.UniqueConstraint("cadence", "period"),
    sa.Index("uq_issue_sequence", "cadence", "sequence", unique=True),
)

issue_item = sa.Table(
    "issue_item", metadata,
    sa.Column("issue", sa.ForeignKey("issue.number", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("role", sa.String(10), nullable=False),
    sa.Column("change_id", sa.ForeignKey("change.id"), nullable=False),
    sa.Column("milestone_id", sa.ForeignKey("milestone.id"), nullable=False),
    sa.Column("version_id", sa.ForeignKey("milestone_version.id"), nullable=False),
    sa.Column("cadence", sa.String(8), nullable=False),  # the issue's, for the two rules below
    _one_of("role", ("news", "correction")),
    sa.UniqueConstraint("cadence", "change_id"),
    # A milestone is news once per cadence, whatever becomes of its versions.
    sa.Index(
        "uq_issue_item_news", "cadence", "milestone_id", unique=True,
        postgresql_where=sa.text("role = 'news'"), sqlite_where=sa.text("role = 'news'"),
    ),
)

issue_variant = sa.Table(
    "issue_variant", metadata,
    sa.Column("issue", sa.ForeignKey("issue.number", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("html", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("placeholder", sa.Text, nullable=False),
    sa.Column("sha", sa.String(64), nullable=False),
)

# Which of the issue's items a variant shows: who was sent the variant was told these.
issue_variant_item = sa.Table(
    "issue_variant_item", metadata,
    sa.Column("issue", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("variant", sa.String(64), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("change_id", sa.ForeignKey("change.id"), nullable=False),
    sa.ForeignKeyConstraint(
        ["issue", "variant"], ["issue_variant.issue", "issue_variant.name"], ondelete="CASCADE",
        name="fk_issue_variant_item_issue_variant_issue_variant",
    ),
    sa.Index(None, "change_id"),
)

# What an issue tells again, to those alone whom a former choice owes it: each was in an earlier issue of the cadence.
issue_owed_item = sa.Table(
    "issue_owed_item", metadata,
    sa.Column("issue", sa.ForeignKey("issue.number", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("role", sa.String(10), nullable=False),
    sa.Column("change_id", sa.ForeignKey("change.id"), nullable=False),
    sa.Column("milestone_id", sa.ForeignKey("milestone.id"), nullable=False),
    sa.Column("version_id", sa.ForeignKey("milestone_version.id"), nullable=False),
    _one_of("role", ("news", "correction")),
    sa.UniqueConstraint("issue", "change_id"),
)

# Pictures of sites that our own pages serve; `data` is NULL for what its site took down.
picture = sa.Table(
    "picture", metadata,
    sa.Column("name", sa.String(64), primary_key=True),  # SHA-256 of its bytes
    sa.Column("source", sa.Text, nullable=False),  # its key; no foreign key: what was mailed outlives a source
    sa.Column("url", sa.Text, nullable=False),  # at the site
    sa.Column("media_type", sa.String(20), nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary),
    sa.Column("fetched_at", Moment, nullable=False),
    sa.Index(None, "source"),
)

subscriber = sa.Table(
    "subscriber", metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # never given twice: see store.upkeep.numbering
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("normalized", sa.Text, nullable=False, unique=True),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("cadence", sa.String(8), nullable=False),
    sa.Column("topics", Json, nullable=False, server_default="[]"),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("confirmed_at", Moment),
    sa.Column("unsubscribed_at", Moment),
    sa.Column("chosen_at", Moment),  # when cadence or topics last changed, or they came back; NULL: never
    # At random: in this reader's links.
    sa.Column("handle", sa.String(20), nullable=False, unique=True, default=lambda: secrets.token_hex(10)),
    sa.Column("language", sa.String(35)),  # of their mails and pages; NULL: the newsletter's
    sa.Column("paused_until", Moment),  # nothing is frozen for them before; NULL: they never paused, or resumed
    sa.Column("pause_skips", sa.Boolean, nullable=False, server_default=sa.false()),  # what they miss is not told after
    _one_of("state", SUBSCRIBER_STATES),
    _one_of("cadence", records.CADENCES),
    # Whoever never changed anything was told by their own cadence alone: nobody looks through those.
    sa.Index(
        "ix_subscriber_chosen", "cadence", "chosen_at",
        postgresql_where=sa.text("chosen_at IS NOT NULL"), sqlite_where=sa.text("chosen_at IS NOT NULL"),
    ),
    sa.Index(None, "state", "id"),
    # All that a place in an issue depends on: SQLite counts by it without sorting everybody. PostgreSQL counts by
    # hashing, and takes no text of any length into an index.
    sa.Index(
        "ix_subscriber_kind", "state", "cadence", "topics", "language", "paused_until", "pause_skips", "created_at",
    ).ddl_if(dialect="sqlite"),
    sqlite_autoincrement=True,
)

# What a reader's former choice owes them still; a row is settled by the issue that tells it, or that passes it.
owed = sa.Table(
    "owed", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("subscriber", sa.ForeignKey("subscriber.id"), nullable=False),
    sa.Column("change_id", sa.ForeignKey("change.id"), nullable=False),
    sa.Column("since", Moment, nullable=False),
    sa.Column("why", sa.String(10), nullable=False),
    sa.Column("settled_by", sa.ForeignKey("issue.number")),
    sa.Column("told", sa.Boolean),  # NULL: not settled; false: their choice wanted it no more, or a pause skipped it
    sa.Index(
        "uq_owed_open", "subscriber", "change_id", unique=True,
        postgresql_where=sa.text("told IS NULL"), sqlite_where=sa.text("told IS NULL"),
    ),
    sa.Index(
        "ix_owed_settled", "settled_by",
        postgresql_where=sa.text("settled_by IS NOT NULL"), sqlite_where=sa.text("settled_by IS NOT NULL"),
    ),
    sqlite_autoincrement=True,  # an issue may be named after one: no number comes twice
)

suppression = sa.Table(
    "suppression", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("address_hash", sa.String(64), nullable=False, unique=True),  # keyed: see store.addresses
    sa.Column("normalized", sa.Text),  # NULL after an erase
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)

# By the keyed hash of `suppression`, so that it outlives an erase and tells nobody who it was.
subscriber_event = sa.Table(
    "subscriber_event", metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("address_hash", sa.String(64), nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("action", sa.String(12), nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),  # empty after an erase
    sa.Index(None, "address_hash", "id"),
)

# An address that somebody typed: no subscriber before it is confirmed, and forgotten after a month.
sign_up = sa.Table(
    "sign_up", metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("normalized", sa.Text, nullable=False, unique=True),
    sa.Column("address_hash", sa.String(64), nullable=False),  # as of `suppression`
    sa.Column("name", sa.String(32), nullable=False, unique=True),  # random: in the link of its mails
    sa.Column("cadence", sa.String(8), nullable=False),
    sa.Column("topics", Json, nullable=False, server_default="[]"),
    sa.Column("language", sa.String(35), nullable=False),
    sa.Column("form", sa.String(32), nullable=False),  # the version of the words that were read; see meta "form.…"
    sa.Column("source", sa.Text),
    sa.Column("variant", sa.Text),
    sa.Column("path", sa.Text),
    sa.Column("network", sa.String(64), nullable=False),  # a keyed hash
    sa.Column("asked", sa.Integer, nullable=False, server_default="1"),  # times, the last one at:
    sa.Column("asked_at", Moment, nullable=False),
    sa.Column("reminded_at", Moment),
    sa.Column("confirmed_at", Moment),
    # a choice, and not only what the browser prefers
    sa.Column("language_taken", sa.Boolean, nullable=False, server_default=sa.false()),
    _one_of("cadence", records.CADENCES),
    sa.Index(None, "network", "asked_at"),
    sa.Index(None, "asked_at"),
)

# The proof that a subscriber asked; one for each confirmation.
consent = sa.Table(
    "consent", metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("subscriber", sa.ForeignKey("subscriber.id"), nullable=False),
    sa.Column("asked_at", Moment, nullable=False),
    sa.Column("form", sa.String(32), nullable=False),
    sa.Column("language", sa.String(35), nullable=False),
    sa.Column("source", sa.Text),
    sa.Column("variant", sa.Text),
    sa.Column("path", sa.Text),
    sa.Column("network", sa.String(64), nullable=False),
    sa.Column("cadence", sa.String(8), nullable=False),
    sa.Column("topics", Json, nullable=False, server_default="[]"),
    sa.Column("confirmed_at", Moment, nullable=False),
    sa.Column("confirmed_network", sa.String(64), nullable=False),
    sa.Index(None, "subscriber", "id"),
)

# Another address for a subscriber, once it is confirmed there; forgotten after a month.
address_change = sa.Table(
    "address_change", metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("subscriber", sa.ForeignKey("subscriber.id"), nullable=False),
    sa.Column("name", sa.String(32), nullable=False, unique=True),  # random: in the link to the new address
    sa.Column("undo_name", sa.String(32), nullable=False, unique=True),  # … and in the one to the old
    sa.Column("old_address", sa.Text, nullable=False),
    sa.Column("old_normalized", sa.Text, nullable=False),
    sa.Column("new_address", sa.Text, nullable=False),
    sa.Column("new_normalized", sa.Text, nullable=False),
    sa.Column("language", sa.String(35), nullable=False),
    sa.Column("network", sa.String(64), nullable=False),  # a keyed hash
    sa.Column("asked_at", Moment, nullable=False),
    sa.Column("confirmed_at", Moment),
    sa.Column("undone_at", Moment),
    sa.Index(None, "subscriber"),
    sa.Index(None, "network", "asked_at"),
    sa.Index(None, "asked_at"),
)

# What was asked and refused in an hour, so that a flood is seen and a shut door is no secret.
sign_up_count = sa.Table(
    "sign_up_count", metadata,
    sa.Column("hour", Moment, primary_key=True),
    sa.Column("what", sa.String(12), primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
)

# A proof of work pays for one address; forgotten soon after it would have expired.
spent_proof = sa.Table(
    "spent_proof", metadata,
    sa.Column("challenge", sa.String(64), primary_key=True),  # SHA-256 in hex
    sa.Column("address_hash", sa.String(64), nullable=False),  # as of `suppression`
    sa.Column("expires_at", Moment, nullable=False),
    sa.Index(None, "expires_at"),
)

# Mails that are no issue: at least once each, at most one of a kind for an address and day.
letter = sa.Table(
    "letter", metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("kind", sa.String(12), nullable=False),
    sa.Column("address", sa.Text, nullable=False),  # empty a month later, and after an erase
    sa.Column("address_hash", sa.String(64), nullable=False),
    sa.Column("day", sa.String(10), nullable=False),
    sa.Column("sign_up", sa.ForeignKey("sign_up.id", ondelete="SET NULL")),
    sa.Column("subscriber", sa.ForeignKey("subscriber.id")),
    sa.Column("address_change", sa.ForeignKey("address_change.id", ondelete="SET NULL")),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("lease", sa.String(32)),
    sa.Column("lease_until", sa.Double),  # seconds since 1970 by the database's own clock
    sa.Column("queued_at", Moment, nullable=False),
    sa.Column("next_attempt_at", Moment, nullable=False),
    sa.Column("sent_at", Moment),
    sa.Column("why", sa.Text, nullable=False),  # the relay's last words, or why it was dropped
    _one_of("kind", LETTER_KINDS),
    _one_of("state", LETTER_STATES),
    sa.UniqueConstraint("kind", "address_hash", "day"),
    sa.Index(None, "state", "next_attempt_at"),
    sa.Index(None, "sign_up"),
    sa.Index(None, "address_change"),
    sa.Index(None, "subscriber"),
)

exclusion = sa.Table(
    "exclusion", metadata,
    sa.Column("issue", sa.ForeignKey("issue.number"), primary_key=True),
    sa.Column("subscriber", sa.ForeignKey("subscriber.id"), primary_key=True),
    sa.Column("reason", sa.String(40), nullable=False),
    sa.Index(None, "issue", "reason", "subscriber"),  # counted and listed by reason; written once, by the freeze
)

delivery = sa.Table(
    "delivery", metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("issue", sa.ForeignKey("issue.number"), nullable=False),
    sa.Column("subscriber", sa.ForeignKey("subscriber.id"), nullable=False),
    sa.Column("normalized", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("variant", sa.String(64), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("lease", sa.String(32)),
    sa.Column("lease_seconds", sa.Integer),
    sa.Column("lease_until", sa.Double),  # seconds since 1970 by the database's own clock
    sa.Column("lease_holder", sa.Text),  # which process, as store.holders names it; NULL of an older release
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("first_attempt_at", Moment),
    sa.Column("next_attempt_at", Moment),
    sa.Column("message_id", sa.Text),
    sa.Column("queue_id", sa.Text),
    sa.Column("code", sa.Integer),
    sa.Column("enhanced", sa.String(16)),
    sa.Column("text", sa.Text),
    sa.Column("updated_at", Moment, nullable=False),
    sa.CheckConstraint(_either("state", DELIVERY_STATES), name="state"),
    sa.ForeignKeyConstraint(["issue", "variant"], ["issue_variant.issue", "issue_variant.name"]),
    sa.UniqueConstraint("issue", "subscriber"),
    sa.UniqueConstraint("issue", "normalized"),
    # Claims walk these in order, without sorting. T3 and T4 of a delivery touch none of them: an index of all states
    # would be written to at every step. `store.ledger.transitions.in_state` writes the conditions that they answer.
    *(
        sa.Index(f"ix_delivery_{name}", "issue", order, postgresql_where=which, sqlite_where=which)
        for name, order, which in (
            ("pending", "id", sa.text("state = 'pending'")),
            ("due", "next_attempt_at", sa.text("state = 'deferred'")),
            ("unknown", "id", sa.text("state = 'unknown'")),
        )
    ),
    # What dispatchers hold: whoever looks for leases of the dead walks through nothing else. Not by the state, so that
    # T3 doesn't write to it; not by the token, which batches ask for: PostgreSQL would take it for their way as well.
    sa.Index(
        "ix_delivery_taken", "issue", postgresql_where=sa.text("lease_until IS NOT NULL"),
        sqlite_where=sa.text("lease_until IS NOT NULL"),
    ),
    # What ended otherwise than sent: lists of it, and the sum of an issue that is over, look through nothing else.
    *(
        sa.Index(
            "ix_delivery_ended", "issue", "subscriber", postgresql_where=sa.text(f"state IN {ended}"),
            sqlite_where=sa.text(_either("state", ended)),
        )
        for ended in (("failed", "suppressed", "cancelled"),)
    ),
    sqlite_autoincrement=True,
)

attempt = sa.Table(
    "attempt", metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("delivery_id", sa.ForeignKey("delivery.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("lease", sa.String(32)),
    sa.Column("phase", sa.String(12), nullable=False),
    sa.Column("outcome", sa.String(10), nullable=False),
    sa.Column("code", sa.Integer),
    sa.Column("enhanced", sa.String(16)),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Index(None, "delivery_id", "id"),
)

bounce = sa.Table(
    "bounce", metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),  # SHA-256 of the report: it counts once
    sa.Column("read_at", Moment, nullable=False),
    sa.Column("delivery_id", sa.ForeignKey("delivery.id")),  # NULL: it proved nothing, and nothing was done
    sa.Column("letter", BigKey),  # the id of the one it was about, where it was about one; letters are kept for good
    sa.Column("proof", sa.String(10)),  # how it named its delivery or letter
    sa.Column("grade", sa.String(10), nullable=False),
    sa.Column("code", sa.Integer),
    sa.Column("enhanced", sa.String(16)),
    sa.Column("text", sa.Text, nullable=False),
    _one_of("grade", GRADES),
    sa.Index(None, "letter"),
    sa.Index(None, "delivery_id", "id"),
)

# A condition that operators are told of, from when it was first so until they were told that it is over.
notice = sa.Table(
    "notice", metadata,
    sa.Column("key", sa.String(200), primary_key=True),  # the kind of the condition, and what it is about
    sa.Column("says", sa.Text, nullable=False),
    sa.Column("since", Moment, nullable=False),
    sa.Column("told_at", Moment),  # NULL: not yet
    sa.Column("gone_at", Moment),  # since when it is not so any more; NULL: it is
)

# What is said on one channel: no secret of its address, and no address of a reader.
notice_message = sa.Table(
    "notice_message", metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("channel", sa.String(16), nullable=False),  # the beginning of a hash of its address
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("next_attempt_at", Moment, nullable=False),
    sa.Column("sent_at", Moment),
    sa.Column("why", sa.Text, nullable=False),  # what went wrong at the last attempt, or why it was dropped
    _one_of("state", NOTICE_STATES),
    sa.Index(None, "state", "next_attempt_at"),
    sa.Index(None, "channel", "id"),
)

# What others are told, each event once for each address; a hash stands for the address.
webhook_message = sa.Table(
    "webhook_message", metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("event", sa.String(60), nullable=False),  # "milestone.added:17"
    sa.Column("endpoint", sa.String(16), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("next_attempt_at", Moment, nullable=False),
    sa.Column("settled_at", Moment),
    sa.Column("why", sa.Text, nullable=False),
    _one_of("state", NOTICE_STATES),
    sa.UniqueConstraint("endpoint", "event"),
    sa.Index(None, "state", "next_attempt_at"),
)

# Who has a login to the desk; nobody is ever deleted, what they did names them.
operator = sa.Table(
    "operator", metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("name", sa.String(80), nullable=False, unique=True),
    sa.Column("role", sa.String(8), nullable=False),
    sa.Column("password", sa.Text),  # an argon2id hash; NULL: none was set yet, nobody gets in by one
    sa.Column("totp_secret", sa.String(64)),  # base32; NULL: no second factor
    sa.Column("totp_last", sa.Integer),  # the last time step that was used, so that no code counts twice
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("password_at", Moment),
    sa.Column("disabled_at", Moment),
    _one_of("role", ROLES),
    sqlite_autoincrement=True,
)

# A cookie's token is never kept, only its SHA-256.
operator_session = sa.Table(
    "operator_session", metadata,
    sa.Column("token_hash", sa.String(64), primary_key=True),
    sa.Column("operator_id", sa.ForeignKey("operator.id"), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("seen_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Index(None, "operator_id"),
)

# The way in of who has no password yet: one link, once.
operator_link = sa.Table(
    "operator_link", metadata,
    sa.Column("token_hash", sa.String(64), primary_key=True),
    sa.Column("operator_id", sa.ForeignKey("operator.id"), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("used_at", Moment),
    sa.Index(None, "operator_id"),
)

# A password that is being tried or was wrong; hashes stand for the name and the network.
guess = sa.Table(
    "guess", metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("network", sa.String(64), nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Index(None, "name", "at"),
    sa.Index(None, "network", "at"),
    sa.Index(None, "at"),
)

# What operators did: written before it is done, and once more when it ended; no row is ever changed after that.
act = sa.Table(
    "act", metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("who", sa.String(100), nullable=False),
    sa.Column("role", sa.String(8)),  # theirs at the time; NULL at the console, which asks for none
    sa.Column("door", sa.String(8), nullable=False),
    sa.Column("what", sa.String(40), nullable=False),
    sa.Column("about", sa.String(200), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("outcome", sa.String(8), nullable=False),
    sa.Column("said", sa.Text, nullable=False),  # the sentence it ended in
    sa.Column("before", Json),
    sa.Column("after", Json),
    sa.Column("ended_at", Moment),
    _one_of("outcome", ACT_OUTCOMES),
    sa.Index(None, "about", "id"),
    sa.Index(None, "who", "id"),
    sqlite_autoincrement=True,
)

# What programs show to be let in; the token itself is never kept, only its SHA-256, and no row is ever deleted.
api_token = sa.Table(
    "api_token", metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("name", sa.String(80), nullable=False, unique=True),
    sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("scopes", Json, nullable=False),
    sa.Column("made_by", sa.String(100), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment),  # NULL: never
    sa.Column("last_used_at", Moment),  # to the minute
    sa.Column("revoked_at", Moment),
    sa.Column("revoked_why", sa.Text),
)

# Which runs of the schedules are at work, by Prefect's ids: one that was killed leaves its lease.
run_lease = sa.Table(
    "run_lease", metadata,
    sa.Column("run", sa.String(64), primary_key=True),
    sa.Column("lease_holder", sa.Text, nullable=False),  # which process, as store.holders names it
    sa.Column("lease_until", sa.Double, nullable=False),  # seconds since 1970 by the database's own clock
)
