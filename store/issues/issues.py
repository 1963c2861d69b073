"""Issues: what is not published yet, drafting it, approving it, throwing a draft away.

    changes ─▶ unannounced, corrections ─▶ draft ─▶ approve ─▶ (Ledger.freeze)
                                             └─▶ discard: its items are free again
"""

import datetime as dt
import hashlib
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import sqlalchemy as sa

from milepost.changes import CORRECTIONS, NEWS
from milepost.codec import milestone_from_json
from milepost.errors import ConflictError, NotFoundError
from milepost.records import (
    Amended,
    Cadence,
    Edit,
    FieldChange,
    Freezing,
    Issue,
    IssueItem,
    IssueState,
    StoredChange,
    StoredMilestone,
    Told,
    Unpictured,
    Variant,
)
from store.dialects import one_of, serialize
from store.engine import Database
from store.issues import published
from store.milestones.milestone_queries import HELD, changes_query, stored_change, visible_by_id
from store.schema.tables import (
    ANNOUNCED,
    change,
    flapping,
    issue,
    issue_item,
    issue_owed_item,
    issue_variant,
    issue_variant_item,
    look,
    milestone,
    milestone_version,
)

# What is known of an issue whose readers are being placed.
FREEZING = ("frozen_through", "freeze_up_to", "freeze_placed", "freeze_candidates", "freeze_began_at",
            "freeze_moved_at")
_OVER: tuple[IssueState, ...] = ("complete", "needs_review", "cancelled")  # nothing of it is on its way any more


class Issues:
    """Every issue of every cadence."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- what could be published ------------------------------------------------------------------------------------

    def unannounced(
        self, cadence: Cadence, *, since: dt.datetime | None = None, before: dt.datetime | None = None
    ) -> list[tuple[StoredChange, StoredMilestone]]:
        """Milestones that were added and are in no issue of `cadence`, oldest first, as they are today.

        Not among them: what a baseline or a backfill found, what waits for an operator, what was withdrawn.
        `since` and `before` bound when they were found (`before` doesn't count in).
        """
        published = sa.exists().where(
            issue_item.c.cadence == cadence, issue_item.c.milestone_id == change.c.milestone_id,
            issue_item.c.role == "news",
        )
        return self._publishable(
            sa.and_(change.c.kind.in_(NEWS), ~published, milestone.c.state == "present"), since, before
        )

    def corrections(
        self, cadence: Cadence, *, since: dt.datetime | None = None, before: dt.datetime | None = None
    ) -> list[tuple[StoredChange, StoredMilestone]]:
        """Corrections, in no issue of `cadence` yet, to milestones that were news in an earlier one; oldest first.

        Whatever cadence that one was of: its readers may read this one today. They wait until every issue that told the
        mistake is sent as far as it will be: only then it is settled who was told what (`store.ledger.owed.wrong`). A
        milestone that is by now what was told of it has none, whatever happened to it in between. A field that
        alternates on its page waits until that is over.
        """
        mistaken = (
            issue_item.c.milestone_id == change.c.milestone_id, issue_item.c.role == "news",
            issue_item.c.issue == issue.c.number, issue_item.c.version_id < change.c.new_version_id,
        )
        news = sa.exists().where(*mistaken, issue.c.state.in_(_OVER))
        on_its_way = sa.exists().where(*mistaken, issue.c.state.not_in(_OVER), sa.or_(
            issue.c.state != "draft", issue.c.frozen_through.is_not(None),
        ))
        used = sa.exists().where(issue_item.c.cadence == cadence, issue_item.c.change_id == change.c.id)
        found = self._publishable(
            sa.and_(change.c.kind.in_(CORRECTIONS), news, ~on_its_way, ~used), since, before
        )
        told = self._told({stored.id for _, stored in found})
        alternating = self._alternating()
        return [
            (made, stored) for made, stored in found if told.get(stored.id) != {stored.fingerprint}
            and not any((stored.id, field.field) in alternating for field in made.change.fields)
        ]

    def carried(self, change_ids: Collection[int]) -> list[tuple[StoredChange, StoredMilestone]]:
        """These changes with their milestones as they are today, oldest first, but those that nobody may be shown."""
        if not change_ids:
            return []
        return self._publishable(
            sa.and_(one_of(change.c.id, sorted(change_ids)), milestone.c.state == "present"), None, None
        )

    def _alternating(self) -> set[tuple[int, str]]:
        """(milestone's id, field) of all that alternates."""
        with self._database.connect() as connection:
            rows = connection.execute(sa.select(flapping.c.milestone_id, flapping.c.field))
            return {(row.milestone_id, row.field) for row in rows}

    def _told(self, milestone_ids: Collection[int]) -> dict[int, set[str]]:
        """The fingerprints of all that was ever told of these milestones, by id."""
        query = (
            sa.select(issue_item.c.milestone_id, milestone_version.c.fingerprint)
            .join_from(issue_item, milestone_version, issue_item.c.version_id == milestone_version.c.id)
            .join(issue, issue_item.c.issue == issue.c.number)
            .where(issue.c.state.in_(_OVER))
        )
        ids = sorted(milestone_ids)
        told: dict[int, set[str]] = {}
        with self._database.connect() as connection:
            for start in range(0, len(ids), 500):
                some = query.where(issue_item.c.milestone_id.in_(ids[start : start + 500]))
                for row in connection.execute(some):
                    told.setdefault(row.milestone_id, set()).add(row.fingerprint)
        return told

    def _publishable(
        self, clause: sa.ColumnElement[bool], since: dt.datetime | None, before: dt.datetime | None
    ) -> list[tuple[StoredChange, StoredMilestone]]:
        query = changes_query().where(ANNOUNCED, ~HELD, clause).order_by(change.c.id)
        if since is not None:
            query = query.where(change.c.detected_at >= since)
        if before is not None:
            query = query.where(change.c.detected_at < before)
        with self._database.connect() as connection:
            changes = [stored_change(row) for row in connection.execute(query)]
            # not a version that waits for an operator, though a held look made one since
            shown = visible_by_id(connection, [found.milestone_id for found in changes])
        return [(found, shown[found.milestone_id]) for found in changes]

    def last_period(self, cadence: Cadence, *, by: str | None = None) -> str | None:
        """The period of the latest issue of a cadence, drafts included; None before the first.

        `by`: of those whose period sorts before it.
        """
        query = sa.select(issue.c.period).where(issue.c.cadence == cadence).order_by(issue.c.number.desc())
        with self._database.connect() as connection:
            periods = connection.execute(query if by is not None else query.limit(1)).scalars()
            return next((period for period in periods if by is None or period < by), None)  # as Python sorts

    def next_number(self) -> int:
        """The number that the next draft will get."""
        with self._database.connect() as connection:
            return _next_number(connection)

    def next_sequence(self, cadence: Cadence) -> int:
        """Which of its cadence the next draft will be; issues from before these were counted count too."""
        query = sa.select(sa.func.count(), sa.func.max(issue.c.sequence)).where(issue.c.cadence == cadence)
        with self._database.connect() as connection:
            count, last = connection.execute(query).one()
        return int(max(count, last or 0)) + 1

    # --- drafts -----------------------------------------------------------------------------------------------------

    def draft(
        self,
        cadence: Cadence,
        period: str,
        items: Sequence[IssueItem],
        variants: Iterable[Variant],
        *,
        subject: str,
        content_hash: str,
        now: dt.datetime,
        number: int | None = None,
        sequence: int | None = None,
        rendered_with: Mapping[str, object] | None = None,
        owed: Sequence[IssueItem] = (),
    ) -> Issue:
        """Write an issue with its items and renderings, all or nothing.

        `owed`: what earlier issues of the cadence told, for those whom a former choice owes it. `number` and `sequence`
        are those it was rendered with (see `next_…`), `rendered_with` what else it takes to render it again: the
        settings that show, and the digest of the templates. Raises ConflictError when the period has an issue, when an
        item is in another issue of that cadence, may not be announced, or the number was taken.
        """
        with self._database.begin() as connection:
            serialize(connection, "issues")
            free = _next_number(connection)
            if number is not None and number != free:
                raise ConflictError(
                    f"issue {number} was drafted by somebody else meanwhile", where="issues", hint="Draft it again."
                )
            _refuse_period(connection, cadence, period)
            _refuse_items(connection, cadence, items)
            connection.execute(
                sa.insert(issue).values(
                    number=free, cadence=cadence, period=period, state="draft", subject=subject,
                    content_hash=content_hash, created_at=now, rendered_with=rendered_with,
                    sequence=sequence,
                    handle=secrets.token_hex(10),
                )
            )
            write_content(connection, free, cadence, items, variants, owed)
            return load(connection, free)

    def approve(self, number: int, content_hash: str, now: dt.datetime) -> Issue:
        """An operator says yes to exactly this content; raises ConflictError when it is another, or no draft."""
        with self._database.begin() as connection:
            found = load(connection, number, lock=True)
            require_draft(found)
            require_content(found, content_hash)
            connection.execute(
                sa.update(issue)
                .where(issue.c.number == number, issue.c.approved_at.is_(None))
                .values(approved_at=now)
            )
            return found

    def discard(self, number: int) -> None:
        """Throw a draft away: its period, its number and its milestones are free again.

        Raises ConflictError when it is no draft or is being frozen, NotFoundError when there is none.
        """
        with self._database.begin() as connection:
            found = load(connection, number, lock=True)
            require_draft(found)
            require_unfrozen(found)
            connection.execute(sa.delete(issue).where(issue.c.number == number))

    # --- reading ----------------------------------------------------------------------------------------------------

    def get(self, number: int) -> Issue:
        """The issue with its items, each as it was when the issue was drafted; raises NotFoundError."""
        with self._database.connect() as connection:
            return load(connection, number)

    def handed_over_at(self, number: int) -> dt.datetime | None:
        """When its hand-over began, None before; raises NotFoundError."""
        with self._database.connect() as connection:
            moment: dt.datetime | None = value_of(connection, issue.c.handed_over_at, number)
            return moment

    def find(self, cadence: Cadence, period: str) -> Issue | None:
        """The issue of a period, None when there is none."""
        query = sa.select(issue.c.number).where(issue.c.cadence == cadence, issue.c.period == period)
        with self._database.connect() as connection:
            number = connection.execute(query).scalar()
            return None if number is None else load(connection, number)

    def list(
        self, *, cadence: Cadence | None = None, states: Sequence[IssueState] | None = None, limit: int | None = None,
        public: bool = False, before: int | None = None,
    ) -> list[Issue]:
        """Issues without their items, the latest first; `public`: none that only tells some what they missed; `before`:
        those of a lower number."""
        query = sa.select(issue).order_by(issue.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(issue.c.number < before)
        if public:
            query = query.where(sa.exists().where(issue_item.c.issue == issue.c.number))
        if cadence is not None:
            query = query.where(issue.c.cadence == cadence)
        if states is not None:
            query = query.where(issue.c.state.in_(states))
        with self._database.connect() as connection:
            return [issue_of(row, ()) for row in connection.execute(query)]

    def told(self, states: Sequence[IssueState]) -> Mapping[int, Told]:
        """Issue → what it tells, of those in these states: see store.issues.published."""
        with self._database.connect() as connection:
            return published.told(connection, states)

    def amended(
        self, states: Sequence[IssueState], number: int | None = None
    ) -> Mapping[int, Mapping[int, Amended]]:
        """Issue → milestone's id → what became of it since, of those in these states, or of one."""
        with self._database.connect() as connection:
            return published.amended(connection, states, number)

    def variants(self, number: int) -> Iterator[Variant]:
        """Every rendering of an issue, by name, a few in memory; raises StoreError at one that is not what it was."""
        names = self.variant_names(number)
        for start in range(0, len(names), _AT_ONCE):
            with self._database.connect() as connection:
                some = load_variants(connection, number, names[start : start + _AT_ONCE])
            yield from some

    def variant(self, number: int, name: str) -> Variant | None:
        """One rendering, None where there is none of that name; raises StoreError when it is not what it was."""
        with self._database.connect() as connection:
            return next(iter(load_variants(connection, number, [name])), None)

    def variant_names(self, number: int) -> Sequence[str]:
        """What its renderings are called; none for what is no issue."""
        with self._database.connect() as connection:
            return _variant_names(connection, number)

    def variant_hashes(self, number: int) -> Mapping[str, str]:
        """The hash that each rendering was stored with, by its name (`variant_hash`)."""
        query = sa.select(issue_variant.c.name, issue_variant.c.sha).where(issue_variant.c.issue == number)
        with self._database.connect() as connection:
            return {row.name: row.sha for row in connection.execute(query.order_by(issue_variant.c.name))}

    def add_variants(self, number: int, content_hash: str, variants: Sequence[Variant]) -> None:
        """Write renderings that a draft holds not yet; those that it does are left alone.

        They are made of what `content_hash` binds. Raises ConflictError when the content is another, or it is no draft.
        """
        with self._database.begin() as connection:
            found = load(connection, number, lock=True)
            require_draft(found)
            require_content(found, content_hash)
            there = set(_variant_names(connection, number))
            write_variants(connection, number, [variant for variant in variants if variant.name not in there])


def load(connection: sa.Connection, number: int, *, lock: bool = False) -> Issue:
    """The issue with its items; `lock` keeps it from others until the transaction ends. Raises NotFoundError."""
    query = sa.select(issue).where(issue.c.number == number)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise _no_such(number)
    return issue_of(row, _items(connection, issue_item, number), _items(connection, issue_owed_item, number))


def value_of(connection: sa.Connection, column: sa.Column[Any], number: int) -> Any:
    """What one column says of an issue, for who needs no more of it; raises NotFoundError."""
    row = connection.execute(sa.select(column).where(issue.c.number == number)).first()
    if row is None:
        raise _no_such(number)
    return row[0]


def _items(connection: sa.Connection, table: sa.Table, number: int) -> tuple[IssueItem, ...]:
    """The items of an issue in `table`, each as it was when the issue was drafted."""
    items = (
        sa.select(table, milestone_version.c.record, milestone.c.first_seen_at, change.c.fields, change.c.detected_at)
        .join_from(table, milestone_version, table.c.version_id == milestone_version.c.id)
        .join(milestone, table.c.milestone_id == milestone.c.id)
        .join(change, table.c.change_id == change.c.id)
        .where(table.c.issue == number)
        .order_by(table.c.position)
    )
    return tuple(
        IssueItem(
            change_id=item.change_id, milestone_id=item.milestone_id, version_id=item.version_id, role=item.role,
            milestone=milestone_from_json(item.record), first_seen_at=item.first_seen_at,
            fields=tuple(FieldChange(*field) for field in item.fields) if item.role == "correction" else (),
            corrected_at=item.detected_at if item.role == "correction" else None,
        )
        for item in connection.execute(items)
    )


_AT_ONCE = 50  # renderings in memory, of up to 100 KB each


def verify_variants(connection: sa.Connection, number: int) -> None:
    """Raises StoreError when a rendering of an issue is not what it was when it was made."""
    names = _variant_names(connection, number)
    for start in range(0, len(names), _AT_ONCE):
        load_variants(connection, number, names[start : start + _AT_ONCE])


def _variant_names(connection: sa.Connection, number: int) -> Sequence[str]:
    query = sa.select(issue_variant.c.name).where(issue_variant.c.issue == number).order_by(issue_variant.c.name)
    return connection.execute(query).scalars().all()


def load_variants(connection: sa.Connection, number: int, names: Sequence[str]) -> list[Variant]:
    """Those of an issue's renderings that have these names (few), by name; raises StoreError as `Issues.variants`."""
    query = sa.select(issue_variant).where(
        issue_variant.c.issue == number, issue_variant.c.name.in_(names)
    ).order_by(issue_variant.c.name)
    shown = sa.select(issue_variant_item).where(
        issue_variant_item.c.issue == number, issue_variant_item.c.variant.in_(names)
    )
    change_ids: dict[str, list[int]] = {}
    for row in connection.execute(shown.order_by(issue_variant_item.c.variant, issue_variant_item.c.position)):
        change_ids.setdefault(row.variant, []).append(row.change_id)
    found = []
    for row in connection.execute(query):
        variant = Variant(
            name=row.name, subject=row.subject, html=row.html, text=row.text, placeholder=row.placeholder,
            change_ids=tuple(change_ids.get(row.name, ())),
        )
        if variant_hash(variant) != row.sha:
            raise ConflictError(
                f"variant {row.name} is not what was rendered: its hash differs", where=f"issue {number}",
                hint="Discard the draft and draft it again.",
            )
        found.append(variant)
    return found


def variant_hash(variant: Variant) -> str:
    """SHA-256 of a rendering's parts, in hex."""
    parts = (variant.name, variant.subject, variant.html, variant.text, variant.placeholder)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def require_content(found: Issue, content_hash: str) -> None:
    """Raises ConflictError when the issue's content is not what the caller means."""
    if found.content_hash != content_hash:
        raise ConflictError(
            f"its content is {found.content_hash[:12]}, not {content_hash[:12]}", where=f"issue {found.number}",
            hint="Look at it again before you approve it.",
        )


def write_content(
    connection: sa.Connection, number: int, cadence: Cadence, items: Sequence[IssueItem], variants: Iterable[Variant],
    owed: Sequence[IssueItem] = (),
) -> None:
    """Write what an issue holds and its renderings; it has none yet."""
    for table, those, more in ((issue_item, items, {"cadence": cadence}), (issue_owed_item, owed, {})):
        if those:
            connection.execute(sa.insert(table), [
                {
                    "issue": number, "position": position, "role": item.role, "change_id": item.change_id,
                    "milestone_id": item.milestone_id, "version_id": item.version_id,
                } | more
                for position, item in enumerate(those, 1)
            ])
    write_variants(connection, number, variants)


def write_variants(connection: sa.Connection, number: int, variants: Iterable[Variant]) -> None:
    """Write renderings of an issue that it does not have yet, a few in memory."""
    coming = iter(variants)
    while some := list(islice(coming, _AT_ONCE)):
        connection.execute(sa.insert(issue_variant), [_variant_row(number, variant) for variant in some])
        shown = [
            {"issue": number, "variant": variant.name, "position": position, "change_id": change_id}
            for variant in some for position, change_id in enumerate(variant.change_ids, 1)
        ]
        if shown:
            connection.execute(sa.insert(issue_variant_item), shown)


def require_draft(found: Issue) -> None:
    """Raises ConflictError when the issue is no draft any more."""
    if found.state != "draft":
        raise ConflictError(f"it is {found.state}, no draft any more", where=f"issue {found.number}")


def require_unfrozen(found: Issue) -> None:
    """Raises ConflictError when readers of a draft have been placed: what they get can't change any more."""
    if found.freezing is not None:
        raise ConflictError(
            f"it is being frozen ({freezing_words(found.freezing)})", where=f"issue {found.number}",
            hint=f"`milepost publish` goes on with that, `milepost issue stop {found.number}` takes it back.",
        )


def freezing_words(freezing: Freezing) -> str:
    """How far a freeze has come, in words. Pure."""
    return f"{freezing.placed:,} of {freezing.candidates:,} readers are placed"


def _next_number(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(issue.c.number), 0) + 1)).scalar_one())


def _refuse_period(connection: sa.Connection, cadence: Cadence, period: str) -> None:
    query = sa.select(issue.c.number).where(issue.c.cadence == cadence, issue.c.period == period)
    number = connection.execute(query).scalar()
    if number is not None:
        raise ConflictError(f"issue {number} is the {cadence} issue of {period} already", where="issues")


def _refuse_items(connection: sa.Connection, cadence: Cadence, items: Sequence[IssueItem]) -> None:
    """What may not be in an issue never gets there, whatever the caller selected."""
    for item in items:
        row = connection.execute(
            sa.select(change.c.announce, change.c.milestone_id, HELD.label("held"), milestone.c.key)
            .join_from(change, milestone)
            .outerjoin(look, change.c.look_id == look.c.id)
            .where(change.c.id == item.change_id)
        ).first()
        if row is None or row.milestone_id != item.milestone_id:
            raise NotFoundError("there is no such change of that milestone", where=f"change {item.change_id}")
        if not row.announce:
            raise ConflictError("it was found by a baseline or a backfill: never announced", where=row.key)
        if row.held:
            raise ConflictError("it waits for an operator", where=row.key, hint="Release its look first.")
        same = issue_item.c.milestone_id == item.milestone_id if item.role == "news" else sa.false()
        taken = connection.execute(
            sa.select(issue_item.c.issue).where(
                issue_item.c.cadence == cadence,
                sa.or_(issue_item.c.change_id == item.change_id, sa.and_(same, issue_item.c.role == "news")),
            )
        ).scalar()
        if taken is not None:
            raise ConflictError(f"it is in the {cadence} issue {taken} already", where=row.key)


def _variant_row(number: int, variant: Variant) -> dict[str, Any]:
    return {
        "issue": number, "name": variant.name, "subject": variant.subject, "html": variant.html, "text": variant.text,
        "placeholder": variant.placeholder, "sha": variant_hash(variant),
    }


def issue_of(row: sa.Row[Any], items: tuple[IssueItem, ...], owed: tuple[IssueItem, ...] = ()) -> Issue:
    """A row of the table as an issue with these items."""
    return Issue(
        number=row.number, cadence=row.cadence, period=row.period, state=row.state, subject=row.subject,
        content_hash=row.content_hash, created_at=row.created_at, items=items, owed=owed, approved_at=row.approved_at,
        frozen_at=row.frozen_at, handed_over_at=row.handed_over_at, candidates=row.candidates,
        deliveries=row.deliveries, exclusions=row.exclusions, pause_reason=row.pause_reason,
        edit=Edit(**row.edit) if row.edit else Edit(), send_after=row.send_after, sequence=row.sequence,
        known=((row.rendered_with or {}).get("settings") or {}).get("known") or {},
        unpictured=tuple(Unpictured(**one) for one in (row.rendered_with or {}).get("unpictured", ())),
        freezing=freezing_of(row),
    )


def freezing_of(row: sa.Row[Any] | sa.RowMapping) -> Freezing | None:
    """How far an issue is frozen whose readers are being placed; None of any other. `row`: with FREEZING's columns."""
    values = row._mapping if isinstance(row, sa.Row) else row  # noqa: SLF001 (its public form by name)
    if values["frozen_through"] is None:
        return None
    return Freezing(
        began_at=values["freeze_began_at"], moved_at=values["freeze_moved_at"], through=values["frozen_through"],
        up_to=values["freeze_up_to"], placed=values["freeze_placed"], candidates=values["freeze_candidates"],
    )


def _no_such(number: int) -> NotFoundError:
    return NotFoundError("there is no such issue", where=f"issue {number}", hint="See `milepost issue list`.")
