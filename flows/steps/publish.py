"""From what is new to a frozen issue: select, compose, render, lint, draft; then freeze, unless an operator approves.

    changes ─▶ due? ─▶ items ─▶ variants ─▶ lint ─▶ draft ─▶ (approval) ─▶ freeze: audience and bytes are fixed
"""

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from milepost.dates import utc_now
from milepost.errors import HeldError, LintError
from milepost.records import (
    Cadence,
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
from newsletter.compose import compose, content_hash
from newsletter.lint import lint
from newsletter.render import Renderer, templates_digest
from newsletter.select import due, early_period, place, variants
from store.database import Database, connect
from store.issues import Issues
from store.ledger import Ledger
from store.subscribers import Subscribers

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
            if settings.newsletter.approval and draft.approved_at is None:
                made.append(Made(issue=issues.get(draft.number), waits="waits for approval"))
                continue
            freeze(database, draft.number, content_hash=draft.content_hash, now=now())
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
        pending = issues.unannounced(cadence)
        moment = now()
        letter = settings.newsletter
        period = due(
            cadence, now=moment, last=issues.last_period(cadence),
            pending={change.id: change.detected_at for change, _ in pending},
            timezone=letter.timezone, weekday=letter.weekday, hour=letter.hour,
        )
        if period is None and early and pending:
            ids = [change.id for change, _ in pending]
            period = early_period(
                cadence, now=moment, pending=ids, timezone=letter.timezone, weekday=letter.weekday, hour=letter.hour
            )
        if period is not None:
            drafted.append(_draft(settings, database, cadence, period, pending, moment))
    return drafted


def _draft(
    settings: Settings, database: Database, cadence: Cadence, period: str,
    pending: list[tuple[StoredChange, StoredMilestone]], now: dt.datetime,
) -> Issue:
    issues = Issues(database)
    items = [
        IssueItem(
            change_id=change.id, milestone_id=stored.id, version_id=stored.version_id, role="news",
            milestone=stored.milestone, first_seen_at=stored.first_seen_at,
        )
        for change, stored in pending
    ]
    composed = compose(items)
    number = issues.next_number()
    renderer = Renderer(settings.newsletter, settings.mail, settings.web)
    topics = {subscriber.topics for subscriber in Subscribers(database).list(state="active", cadence=cadence)}
    rendered: list[Variant] = []
    for name, chosen in variants(composed.items, topics).items():
        variant = renderer.render(number, cadence, chosen, now, name=name)
        findings = lint(
            variant, newsletter=settings.newsletter, mail=settings.mail, web=settings.web, items=chosen,
            bases=[source.base_url for source in settings.sources],
        )
        if findings:
            raise LintError(findings, where=f"the {cadence} issue, variant {name}")
        rendered.append(variant)
    hashed = content_hash(
        composed.items, rendered, newsletter=settings.newsletter, mail=settings.mail, web=settings.web,
        templates=templates_digest(),
    )
    issue = issues.draft(
        cadence, period, composed.items, rendered, subject=composed.subject, content_hash=hashed, now=now, number=number
    )
    log.info("drafted issue %d (%s %s) of %d milestones", issue.number, cadence, period, len(items))
    return issue


def freeze(database: Database, number: int, *, content_hash: str, now: dt.datetime) -> LedgerCounts:
    """Approve exactly the content of that hash and fix the audience: every subscriber gets a delivery or a reason.

    Raises ConflictError when the issue's content is another, or when it is no draft.
    """
    issues = Issues(database)
    issue = issues.approve(number, content_hash, now)
    names = frozenset(variant.name for variant in issues.variants(number))

    def put(subscriber: Subscriber, suppressed: bool) -> Placement:
        return place(subscriber, suppressed, cadence=issue.cadence, items=issue.items, rendered=names,
                     drafted_at=issue.created_at)

    counts = Ledger(database).freeze(number, content_hash=content_hash, place=put, now=now)
    log.info("froze issue %d: %d deliveries, %d exclusions", number, counts.deliveries, sum(counts.exclusions.values()))
    return counts


def freeze_unless_held(settings: Settings, database: Database, number: int, *, now: dt.datetime) -> None:
    """Freeze a draft that needs no approval; raises HeldError for one that does. Anything but a draft is left alone."""
    issues = Issues(database)
    issue = issues.get(number)
    if issue.state != "draft":
        return
    if settings.newsletter.approval and issue.approved_at is None:
        hint = f"Look at it, then `milepost issue approve {number}`."
        raise HeldError(f"issue {number} waits for approval", hint=hint)
    freeze(database, number, content_hash=issue.content_hash, now=now)


def made_to_json(made: Made) -> dict[str, Any]:
    """One issue in the result of the `publish` flow."""
    issue = made.issue
    return {
        "issue": issue.number, "cadence": issue.cadence, "period": issue.period, "subject": issue.subject,
        "items": len(issue.items), "state": issue.state, "waits": made.waits, "content_hash": issue.content_hash,
    }
