"""From what is new to a frozen issue: select, compose, render, lint, draft; then freeze, unless an operator approves.

    changes ─▶ due? ─▶ items ─▶ variants ─▶ lint ─▶ draft ─▶ (approval) ─▶ freeze: audience and bytes are fixed
"""

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from delivery.message.build import message_findings
from milepost.dates import utc_now
from milepost.errors import HeldError, LintError
from milepost.records import (
    UNEDITED,
    Cadence,
    Edit,
    Issue,
    IssueItem,
    LedgerCounts,
    Placement,
    StoredChange,
    StoredMilestone,
    Subscriber,
    Variant,
)
from milepost.settings import Settings
from newsletter.issue.compose import compose, content_hash, shown_settings
from newsletter.issue.corrections import worth_telling
from newsletter.issue.lint import lint
from newsletter.issue.render import Renderer, dated, templates_digest
from newsletter.news.select import due, early_period, place, quiet_from, variants
from pipeline.mail_identity import letterhead, list_id
from store.database import Database, connect
from store.issues.editions import Editions
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.subscribers.people import Subscribers

log = logging.getLogger("milepost.publish")


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """An issue that publishing made or found waiting."""

    issue: Issue
    waits: str | None  # why it is not frozen yet


def publish(settings: Settings, *, now: Callable[[], dt.datetime] = utc_now) -> list[Made]:
    """Draft what is due and freeze what needs no approval; a run that is repeated or late makes no second issue.

    Raises LintError when an issue is not fit to be sent: nothing was drafted then, and the next run tries again.
    """
    with connect(settings.store.url) as database:
        draft_due(settings, database, now=now)
        issues = Issues(database)
        made: list[Made] = []
        for draft in reversed(issues.list(states=["draft"])):  # also one that a run before this left unfrozen
            waits = waits_for(settings, draft)
            if waits is not None:
                made.append(Made(issue=issues.get(draft.number), waits=waits))
                continue
            freeze_unless_held(settings, database, draft.number, now=now())
            made.append(Made(issue=issues.get(draft.number), waits=None))
        return made


def draft_due(
    settings: Settings, database: Database, *, only: Cadence | None = None, early: bool = False,
    now: Callable[[], dt.datetime] = utc_now,
) -> list[Issue]:
    """Draft an issue for each cadence (or `only` one) that is due; `early`: don't wait for its weekday and hour."""
    issues = Issues(database)
    drafted: list[Issue] = []
    for cadence in [only] if only else settings.newsletter.cadences:
        moment = now()
        pending, items = _pending(database, cadence)
        letter = settings.newsletter
        period = due(
            cadence, now=moment, last=issues.last_period(cadence), pending=pending,
            timezone=letter.timezone, weekday=letter.weekday, hour=letter.hour,
            quiet=dt.timedelta(minutes=letter.quiet_minutes),
        )
        if period is None and early and pending:
            period = early_period(
                cadence, now=moment, pending=pending, timezone=letter.timezone, weekday=letter.weekday, hour=letter.hour
            )
        if period is not None:
            drafted.append(_draft(settings, database, cadence, period, items, moment))
    return drafted


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """What a cadence could tell, and does not tell yet."""

    cadence: Cadence
    changes: int
    until: dt.datetime | None  # when a quiet window ends; None where the cadence's own hour is waited for


def waiting_news(settings: Settings, database: Database, *, only: Cadence | None = None) -> list[Waiting]:
    """What waits for its quiet window or its hour, of each cadence (or `only` one) that has any."""
    quiet = dt.timedelta(minutes=settings.newsletter.quiet_minutes)
    found = []
    for cadence in [only] if only else settings.newsletter.cadences:
        pending, _ = _pending(database, cadence)
        if pending:
            until = quiet_from(pending.values(), quiet) if cadence == "instant" else None
            found.append(Waiting(cadence=cadence, changes=len(pending), until=until))
    return found


def _pending(database: Database, cadence: Cadence) -> tuple[dict[int, dt.datetime], list[IssueItem]]:
    """What an issue of `cadence` could tell: change id → when it was found, and the items.

    Corrections that nobody is owed, or that were taken back again, are not among them.
    """
    issues = Issues(database)
    found = [(change, _item(change, stored, "news")) for change, stored in issues.unannounced(cadence)]
    corrections = [(change, _item(change, stored, "correction")) for change, stored in issues.corrections(cadence)]
    kept = {item.change_id for item in worth_telling([item for _, item in corrections])}
    owed = Editions(database).owed(kept)
    readers = {subscriber.id for subscriber in Subscribers(database).list(state="active", cadence=cadence)}
    kept &= {change_id for subscriber, changes in owed.items() if subscriber in readers for change_id in changes}
    found += [(change, item) for change, item in corrections if change.id in kept]
    return {change.id: change.detected_at for change, _ in found}, [item for _, item in found]


def _item(change: StoredChange, stored: StoredMilestone, role: Literal["news", "correction"]) -> IssueItem:
    wrong = role == "correction"
    return IssueItem(
        change_id=change.id, milestone_id=stored.id, version_id=stored.version_id, role=role,
        milestone=stored.milestone, first_seen_at=stored.first_seen_at,
        fields=change.change.fields if wrong else (), corrected_at=change.detected_at if wrong else None,
    )


def _draft(
    settings: Settings, database: Database, cadence: Cadence, period: str, items: list[IssueItem], now: dt.datetime
) -> Issue:
    issues = Issues(database)
    number = issues.next_number()
    made = render(settings, database, number, cadence, compose(items).items, now)
    issue = issues.draft(
        cadence, period, made.items, made.variants, subject=made.subject, content_hash=made.content_hash, now=now,
        number=number, rendered_with=made.rendered_with,
    )
    log.info("drafted issue %d (%s %s) of %d milestones", issue.number, cadence, period, len(items))
    return issue


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """All that readers will get of an issue, and the hash that an approval of it names."""

    items: tuple[IssueItem, ...]
    subject: str
    variants: tuple[Variant, ...]
    content_hash: str
    rendered_with: dict[str, object]  # {"settings", "templates", "list_id"}


def render(
    settings: Settings, database: Database, number: int, cadence: Cadence, items: Sequence[IssueItem],
    now: dt.datetime, *, edit: Edit = UNEDITED,
) -> Rendered:
    """Render `items`, in their order, for every choice among the subscribers; raises LintError when it is unfit.

    The hash is of all but the day of the hand-over, which is filled in then; `now`'s is only looked at.
    """
    letter, mail, web = settings.newsletter, settings.mail, settings.web
    renderer = Renderer(letter, mail, web)
    composed = compose(items, phrases=renderer.phrases, edit=edit, as_ordered=True)
    owed = _owed(database, items)
    readers = {
        (frozenset(subscriber.topics), owed.get(subscriber.id, frozenset()))
        for subscriber in Subscribers(database).list(state="active", cadence=cadence)
    }
    named = list_id(settings, database)
    head = letterhead(settings, named)
    rendered: list[Variant] = []
    for name, chosen in variants(composed.items, readers).items():
        variant = renderer.render(number, cadence, chosen, name=name, edit=edit, as_ordered=True)
        sent_today = dated(variant, now, letter)
        findings = lint(
            sent_today, newsletter=letter, mail=mail, web=web, items=chosen,
            bases=[source.base_url for source in settings.sources], intro=edit.intro,
        )
        findings += message_findings(sent_today, letterhead=head, date=now)
        if findings:
            raise LintError(findings, where=f"the {cadence} issue, variant {name}")
        rendered.append(variant)
    digest = templates_digest(letter.templates)
    shown = shown_settings(letter, mail, web)
    hashed = content_hash(composed.items, rendered, shown=shown, templates=digest, list_id=named, edit=edit)
    return Rendered(
        items=composed.items, subject=composed.subject, variants=tuple(rendered), content_hash=hashed,
        rendered_with={"settings": shown, "templates": digest, "list_id": named},
    )


def _owed(database: Database, items: Sequence[IssueItem]) -> dict[int, frozenset[int]]:
    """Subscriber → the corrections among `items` that they are owed, by change id."""
    return Editions(database).owed([item.change_id for item in items if item.role == "correction"])


def freeze(
    database: Database, number: int, *, content_hash: str, now: dt.datetime, undo: dt.timedelta = dt.timedelta(0)
) -> LedgerCounts:
    """Approve exactly the content of that hash and fix the audience: every subscriber gets a delivery or a reason.

    `undo`: how long after the approval the first mail waits. Raises ConflictError when the issue's content is another,
    or when it is no draft.
    """
    issues = Issues(database)
    issue = issues.approve(number, content_hash, now)
    names = frozenset(variant.name for variant in issues.variants(number))
    # Asked before the transaction that freezes: a correction is drafted when the mails it corrects are out.
    owed = _owed(database, issue.items)

    def put(subscriber: Subscriber, suppressed: bool) -> Placement:
        return place(subscriber, suppressed, cadence=issue.cadence, items=issue.items, rendered=names,
                     drafted_at=issue.created_at, owed=owed.get(subscriber.id, frozenset()))

    Editions(database).send_after(number, (issue.approved_at or now) + undo if undo else None)
    counts = Ledger(database).freeze(number, content_hash=content_hash, place=put, now=now)
    log.info("froze issue %d: %d deliveries, %d exclusions", number, counts.deliveries, sum(counts.exclusions.values()))
    return counts


def undo_window(settings: Settings) -> dt.timedelta:
    """How long an approval by a person can be undone before the first mail goes out."""
    return dt.timedelta(minutes=settings.newsletter.undo_minutes)


def waits_for(settings: Settings, issue: Issue) -> str | None:
    """Why a draft is not to be frozen without a person's approval, None when it may be."""
    if issue.approved_at is not None:
        return None
    if issue.pause_reason is not None:
        return issue.pause_reason
    return "waits for approval" if settings.newsletter.approval else None


def freeze_unless_held(settings: Settings, database: Database, number: int, *, now: dt.datetime) -> None:
    """Freeze a draft that needs no approval; raises HeldError for one that does. Anything but a draft is left alone."""
    issues = Issues(database)
    issue = issues.get(number)
    if issue.state != "draft":
        return
    waits = waits_for(settings, issue)
    if waits is not None:
        hint = f"Look at it, then `milepost issue approve {number}`."
        raise HeldError(f"issue {number} waits for approval", where=None if "approval" in waits else waits, hint=hint)
    undo = undo_window(settings) if issue.approved_at is not None else dt.timedelta(0)
    freeze(database, number, content_hash=issue.content_hash, now=now, undo=undo)


def made_to_json(made: Made) -> dict[str, Any]:
    """One issue in the result of the `publish` flow."""
    issue = made.issue
    return {
        "issue": issue.number, "cadence": issue.cadence, "period": issue.period, "subject": issue.subject,
        "items": len(issue.items), "state": issue.state, "waits": made.waits, "content_hash": issue.content_hash,
    }
