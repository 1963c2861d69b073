"""From what is new to a frozen issue: select, compose, render, lint, draft; then freeze, unless an operator approves.

    changes, debts ─▶ due? ─▶ items ─▶ variants ─▶ lint ─▶ draft ─▶ (approval) ─▶ freeze: audience and bytes are fixed
"""

import datetime as dt
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, Literal
from zoneinfo import ZoneInfo

from delivery.message.build import message_findings
from milepost.changes import NEWS
from milepost.codec import json_hash
from milepost.dates import believed, utc_now
from milepost.errors import HeldError, MilepostError
from milepost.records import (
    NOBODY,
    UNEDITED,
    Cadence,
    Edit,
    Freezing,
    Issue,
    IssueItem,
    LedgerCounts,
    Placement,
    Standing,
    StoredChange,
    StoredMilestone,
    Subscriber,
    Variant,
)
from milepost.settings import NewsletterSettings, Settings
from newsletter.issue.compose import compose, content_hash, shown_settings
from newsletter.issue.corrections import worth_telling
from newsletter.issue.lint import lint
from newsletter.issue.render import templates_digest, variant_settings
from newsletter.issue.view import issue_link
from newsletter.news.select import (
    due,
    early_period,
    in_tongue,
    joined_later,
    latest_period,
    offered,
    place,
    quiet_from,
    variant_name,
    variants,
)
from newsletter.words.languages import phrases_for, tongue
from pipeline.holds import waits_for
from pipeline.known import known_of
from pipeline.mail_identity import Seal, dated_variants, letterhead, list_id, seal
from pipeline.operators import acts
from pipeline.pictures import hosted
from pipeline.renderings import RenderJob, Spool, render_each
from store.database import Database, connect
from store.issues.editions import Editions
from store.issues.issues import Issues, freezing_words
from store.ledger.ledger import Ledger
from store.ledger.owed import Owed
from store.operators.clock_ahead import note
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
    issues, letter = Issues(database), settings.newsletter
    drafted: list[Issue] = []
    for cadence in [only] if only else letter.cadences:
        moment = now()
        found = _pending(database, cadence, moment)
        _note_ahead(database, cadence, letter, found, moment)
        period = due(
            cadence, now=moment, last=_last_period(issues, cadence, letter, moment), pending=found.news,
            owed=found.debts, timezone=letter.timezone, weekday=letter.weekday, hour=letter.hour,
            quiet=dt.timedelta(minutes=letter.quiet_minutes),
        )
        if period is None and early and (found.news or found.debts):
            period = early_period(
                cadence, now=moment, pending=found.news, owed=found.debts, timezone=letter.timezone,
                weekday=letter.weekday, hour=letter.hour,
            )
        if period is not None and (found.news or issues.find(cadence, period) is None):  # one a slot for what is owed
            drafted.append(_draft(settings, database, cadence, period, found, moment))
    return drafted


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """What a cadence could tell, and does not tell yet."""

    cadence: Cadence
    changes: int
    owed: int  # readers who are owed something by an earlier choice
    until: dt.datetime | None  # when a quiet window ends; None where the cadence's own hour is waited for


def waiting_news(
    settings: Settings, database: Database, *, only: Cadence | None = None, now: Callable[[], dt.datetime] = utc_now
) -> list[Waiting]:
    """What waits for its quiet window or its hour, of each cadence (or `only` one) that has any."""
    quiet = dt.timedelta(minutes=settings.newsletter.quiet_minutes)
    found = []
    for cadence in [only] if only else settings.newsletter.cadences:
        pending = _pending(database, cadence, now())
        if pending.news or pending.debts:
            until = quiet_from(pending.news.values(), quiet) if cadence == "instant" and pending.news else None
            found.append(Waiting(
                cadence=cadence, changes=len(pending.news), owed=len(pending.creditors), until=until,
            ))
    return found


def overdue_news(
    settings: Settings, database: Database, *, by: dt.timedelta, now: dt.datetime
) -> dict[Cadence, int]:
    """Cadence → how many changes were due in an issue of it `by` so long ago and are in none, where there are any."""
    letter, then, issues = settings.newsletter, now - by, Issues(database)
    found: dict[Cadence, int] = {}
    for cadence in letter.cadences:
        pending = _pending(database, cadence, then)
        news, debts = (
            {key: at for key, at in moments.items() if at <= then or not believed(at, now)}
            for moments in (pending.news, pending.debts)
        )
        period = due(
            cadence, now=then, last=_last_period(issues, cadence, letter, then), pending=news, owed=debts,
            timezone=letter.timezone, weekday=letter.weekday, hour=letter.hour,
            quiet=dt.timedelta(minutes=letter.quiet_minutes),
        )
        if period is not None and (news or issues.find(cadence, period) is None):
            found[cadence] = len(news) + len(debts)
    return found


def _note_ahead(
    database: Database, cadence: Cadence, letter: NewsletterSettings, found: "_Pending", now: dt.datetime
) -> None:
    """Tell of what a clock wrote that was ahead: changes are told as if found long ago, a period keeps none waiting."""
    moments = (*found.news.values(), *found.debts.values())
    last, by = Issues(database).last_period(cadence), latest_period(cadence, now=now, timezone=letter.timezone)
    note(database, now, {
        f"changes for the {cadence} issue": sum(not believed(at, now) for at in moments),
        f"periods of the {cadence} issue": int(last is not None and by is not None and last >= by),
    })


def _last_period(issues: Issues, cadence: Cadence, letter: NewsletterSettings, now: dt.datetime) -> str | None:
    """The newest issue's period, of those that a right clock can have named."""
    return issues.last_period(cadence, by=latest_period(cadence, now=now, timezone=letter.timezone))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pending:
    """What an issue of a cadence could tell."""

    news: Mapping[int, dt.datetime]  # change → when it was found
    items: tuple[IssueItem, ...]
    debts: Mapping[int, dt.datetime]  # debt → since when
    creditors: frozenset[int]  # who is owed
    owed: tuple[IssueItem, ...]  # what is owed, of which earlier issues of the cadence told the others


def _pending(database: Database, cadence: Cadence, now: dt.datetime) -> _Pending:
    """What an issue of `cadence` could tell at `now`.

    Corrections that nobody is owed, or that were taken back again, are not among them.
    """
    issues = Issues(database)
    found = [(change, _item(change, stored, "news")) for change, stored in issues.unannounced(cadence)]
    corrections = [(change, _item(change, stored, "correction")) for change, stored in issues.corrections(cadence)]
    kept = _kept(database, cadence, [item for _, item in corrections])
    found += [(change, item) for change, item in corrections if change.id in kept]
    own = {change.id for change, _ in found}
    debts = [debt for debt in Owed(database).payable(cadence, now) if debt.change_id not in own]
    carried = issues.carried({debt.change_id for debt in debts})
    owed = [_item(change, stored, "news" if change.change.kind in NEWS else "correction") for change, stored in carried]
    owed = worth_telling(owed)
    payable = {item.change_id for item in owed}
    debts = [debt for debt in debts if debt.change_id in payable]
    return _Pending(
        news={change.id: change.detected_at for change, _ in found}, items=tuple(item for _, item in found),
        debts={debt.id: debt.since for debt in debts}, creditors=frozenset(debt.subscriber for debt in debts),
        owed=tuple(owed),
    )


def _kept(database: Database, cadence: Cadence, corrections: Sequence[IssueItem]) -> set[int]:
    """Those of these corrections, by change, that readers of a cadence are owed and that come to anything for them."""
    if not corrections:
        return set()
    wronged = Editions(database).owed([item.change_id for item in corrections])
    readers = Subscribers(database).choices_of(cadence, wronged)
    return {
        item.change_id for theirs in {changes for subscriber, changes in wronged.items() if subscriber in readers}
        for item in worth_telling([item for item in corrections if item.change_id in theirs])
    }


def _item(change: StoredChange, stored: StoredMilestone, role: Literal["news", "correction"]) -> IssueItem:
    wrong = role == "correction"
    return IssueItem(
        change_id=change.id, milestone_id=stored.id, version_id=stored.version_id, role=role,
        milestone=stored.milestone, first_seen_at=stored.first_seen_at,
        fields=change.change.fields if wrong else (), corrected_at=change.detected_at if wrong else None,
    )


def _draft(
    settings: Settings, database: Database, cadence: Cadence, period: str, found: _Pending, now: dt.datetime
) -> Issue:
    issues = Issues(database)
    number, sequence = issues.next_number(), issues.next_sequence(cadence)
    items, owed = (compose(some).items if some else () for some in (found.items, found.owed))
    with rendered(settings, database, number, cadence, items, now, owed=owed, sequence=sequence) as made:
        issue = issues.draft(
            cadence, period, made.items, made.variants, subject=made.subject, content_hash=made.content_hash, now=now,
            number=number, sequence=sequence, rendered_with=made.rendered_with, owed=owed,
        )
    log.info("drafted issue %d (%s %s) of %d milestones, and %d owed to %d readers", issue.number, cadence, period,
             len(items), len(owed), len(found.creditors), extra={"issue": issue.number})
    return issue


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """All that readers will get of an issue, and the hash that an approval of it names."""

    items: tuple[IssueItem, ...]
    subject: str
    variants: Iterable[Variant]  # not in memory, and there no longer than the context that made them
    content_hash: str
    rendered_with: dict[str, object]  # {"settings", "templates", "list_id"}, and "unpictured" where there are any


@contextmanager
def rendered(
    settings: Settings, database: Database, number: int, cadence: Cadence, items: Sequence[IssueItem],
    now: dt.datetime, *, edit: Edit = UNEDITED, owed: Sequence[IssueItem] = (), sequence: int | None = None,
) -> Iterator[Rendered]:
    """Render `items`, in their order, for every choice among the subscribers; raises LintError when it is unfit.

    The hash is of all but the day of the hand-over, which is filled in then; `now`'s is only looked at.
    `owed`: what it carries of earlier issues; one of `items` and `owed` may be empty.
    """
    letter, mail, web = settings.newsletter, settings.mail, settings.web
    phrases = phrases_for(letter.language)
    composed = compose(items or owed, phrases=phrases, edit=edit, as_ordered=True)
    own = composed.items if items else ()
    choices = {
        language: variants(own, readers, owed=owed)
        for language, readers in _readers(database, letter, cadence, (*own, *owed)).items()
    }
    leads = [
        next((one.milestone for one in chosen if one.role == "news"), None)
        for chosen_by in choices.values() for chosen in chosen_by.values()
    ]
    pictures, missing = hosted(settings, database, [lead for lead in leads if lead], now)
    known = known_of(settings, database, [*items, *owed], pictures)
    named = list_id(settings, database)
    job = RenderJob(
        settings=settings, head=letterhead(settings, named, leave_by_mail=mail.bounce_domain is not None), known=known,
        number=number, cadence=cadence, now=now, edit=edit, sequence=sequence,
        items={item.change_id: item for item in (*own, *owed)},
    )
    wanted = {
        in_tongue(name, language): chosen for language, chosen_by in choices.items()
        for name, chosen in chosen_by.items()
    }
    digest = templates_digest(letter.templates)
    shown = shown_settings(letter, mail, web, known=known)
    with Spool() as spool, closing(render_each(job, wanted)) as coming:

        def kept() -> Iterator[Variant]:
            for _, one in coming:
                if isinstance(one, MilepostError):
                    raise one
                spool.add(one)
                yield one

        hashed = content_hash(own, kept(), shown=shown, templates=digest, list_id=named, edit=edit, owed=owed)
        yield Rendered(
            items=own, subject=composed.subject, variants=spool, content_hash=hashed,
            rendered_with={"settings": shown, "templates": digest, "list_id": named}
            | ({"unpictured": [asdict(one) for one in missing]} if missing else {}),
        )


def _readers(
    database: Database, letter: NewsletterSettings, cadence: Cadence, items: Sequence[IssueItem]
) -> Mapping[str, set[tuple[frozenset[str], Standing]]]:
    """Language → the topics that readers of a cadence chose, each with how those stand to `items` who chose them.

    "" is the newsletter's own language, and always there: what is approved is read in it.
    """
    subscribers = Subscribers(database)
    found: dict[str, set[tuple[frozenset[str], Standing]]] = {"": set()}
    for topics, language in subscribers.choices(cadence):
        found.setdefault(tongue(letter, language), set()).add((topics, NOBODY))
    for some in Owed(database).standings(cadence, [item.change_id for item in items]):
        for reader, (topics, language) in subscribers.choices_of(cadence, some.readers).items():
            found.setdefault(tongue(letter, language), set()).add((topics, some.readers[reader]))
    return found


class _AtTheSeal:
    """Makes the variants that the draft did not foresee, of the parts that its hash binds; each once."""

    def __init__(self, settings: Settings, database: Database, issue: Issue) -> None:
        self._issue, self._database = issue, database
        self._made: dict[str, Variant | None] = {}  # few: for who chose while others were placed, and the unfit
        self._light: dict[str, Variant | None] = {}
        self._why_not: str | None = None
        kept, own = Editions(database).find_rendered_with(issue.number), settings.newsletter.templates
        sealed = seal(settings, database, issue.number)
        self.newsletter = sealed.settings.newsletter  # as it was when the issue was rendered
        self._job = RenderJob(
            settings=sealed.settings, head=sealed.letterhead, known=sealed.known, design=sealed.design,
            number=issue.number, cadence=issue.cadence, now=issue.created_at, edit=issue.edit, sequence=issue.sequence,
            items={item.change_id: item for item in (*issue.items, *issue.owed)},
        )
        if kept is None:
            self._why_not = "it was not kept what the issue was rendered with"
        elif templates_digest(own, design=sealed.design) != kept.templates:
            self._why_not = "the templates are others since the draft"

    def render(self, name: str, chosen: Sequence[IssueItem]) -> Variant | None:
        """The variant; None where it can't be made of what was approved, or is not fit to be sent."""
        if name not in self._made:
            [self._made[name]] = (one for _, one in self._each({name: chosen}))
        return self._made[name]

    def whether(self, name: str, chosen: Sequence[IssueItem]) -> Variant | None:
        """The same without its parts, for who asks no more than whether there is one."""
        if name not in self._light:
            [one] = (one for _, one in self._each({name: chosen}))
            self._light[name] = None if one is None else replace(one, html="", text="")
        return self._light[name]

    def write(self, wanted: Mapping[str, Sequence[IssueItem]]) -> frozenset[str]:
        """Give the draft these variants, as they come, and return the names of those that could be made."""
        issues, written, coming = Issues(self._database), set[str](), self._each(wanted)
        while some := list(islice(coming, _AT_ONCE)):
            made = [one for _, one in some if one is not None]
            self._made |= {name: None for name, one in some if one is None}
            if made:
                issues.add_variants(self._issue.number, self._issue.content_hash, made)
                written |= {one.name for one in made}
        return frozenset(written)

    def _each(self, wanted: Mapping[str, Sequence[IssueItem]]) -> Iterator[tuple[str, Variant | None]]:
        if self._why_not is not None:
            for name in wanted:
                self._cannot(name, self._why_not)
                yield name, None
            return
        for name, one in render_each(self._job, wanted):
            if isinstance(one, MilepostError):
                self._cannot(name, one)
            yield name, None if isinstance(one, MilepostError) else one

    def _cannot(self, name: str, why: object) -> None:
        number = self._issue.number
        log.warning("issue %d: no variant %s for those who chose anew: %s", number, name, why, extra={"issue": number})


_AT_ONCE = 25  # renderings that are written in one transaction: whoever signs up waits for no more


def freeze(
    settings: Settings, database: Database, number: int, *, content_hash: str, now: dt.datetime,
    undo: dt.timedelta = dt.timedelta(0), size: int | None = None, progress: Callable[[Freezing], object] | None = None,
    clock: Callable[[], dt.datetime] | None = None,
) -> LedgerCounts:
    """Approve exactly the content of that hash and fix the audience: every subscriber gets a delivery or a reason.

    `undo`: how long after the approval the first mail waits. Who chose anew since the draft gets a variant made now,
    of what was drafted and approved. What was broken off goes on where it stood; `size`, `progress`, `clock`: see
    `Ledger.freeze`. Raises ConflictError when the issue's content is another, when it is no draft, or when it is taken
    back meanwhile.
    """
    issue = Issues(database).approve(number, content_hash, now)
    seal = _AtTheSeal(settings, database, issue)
    names = frozenset(Issues(database).variant_names(number))
    held = (*issue.items, *issue.owed)
    wanted: dict[str, Sequence[IssueItem]] = {}
    for language, readers in _readers(database, seal.newsletter, issue.cadence, held).items():
        for topics, standing in readers:
            chosen = offered(issue.items, topics, standing, owed=issue.owed)
            name = in_tongue(variant_name(issue.items or issue.owed, chosen), language)
            if chosen and name not in names:
                wanted[name] = chosen
    names |= seal.write(wanted)  # before the transactions that keep everybody from signing up
    put = _placing(settings, issue, seal, names, now, seal.render)
    if issue.freezing is None:
        Editions(database).send_after(number, (issue.approved_at or now) + undo if undo else None)
    counts = Ledger(database).freeze(
        number, content_hash=content_hash, place=put, now=now, size=size, clock=clock,
        progress=_told_now_and_then(number) if progress is None else progress,
    )
    log.info("froze issue %d: %d deliveries, %d exclusions", number, counts.deliveries, sum(counts.exclusions.values()),
             extra={"issue": number})
    return counts


def _told_now_and_then(number: int) -> Callable[[Freezing], object]:
    """Says how far a freeze is, at each tenth of the way."""
    said = 0

    def tell(freezing: Freezing) -> None:
        nonlocal said
        tenths = 10 * freezing.placed // max(freezing.candidates, 1)
        if tenths > said:
            said = tenths
            log.info("issue %d: freezing, %s", number, freezing_words(freezing), extra={"issue": number})

    return tell


def foreseen(settings: Settings, database: Database, issue: Issue, *, now: dt.datetime) -> LedgerCounts:
    """What sealing a draft at this moment would come to, reader by reader; nothing is written."""
    names = frozenset(Issues(database).variant_names(issue.number))
    seal = _AtTheSeal(settings, database, issue)
    put = _placing(settings, issue, seal, names, now, seal.whether)
    return Ledger(database).foresee(issue, place=put, now=now)


class LatelyForeseen:
    """What sealing a draft would come to, as it was counted a moment ago; several threads may ask.

    Counted anew when it is COUNTED_FOR old, when the draft is another, and after any act of an operator, by whichever
    door: whoever did something sees what came of it. What readers did since shows with the next count.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._counting, self._keeping = threading.Lock(), threading.Lock()
        self._kept: dict[int, tuple[object, dt.datetime, LedgerCounts]] = {}

    def of(self, issue: Issue, *, now: dt.datetime) -> tuple[LedgerCounts, dt.datetime]:
        """The counts, and when they were counted."""
        if (known := self._known(issue, now)) is not None:
            return known
        with self._counting:  # of those who come meanwhile none counts again
            if (known := self._known(issue, now)) is not None:
                return known
            basis = self._basis(issue)  # before the count: what is done during it makes the next one count anew
            counts = foreseen(self._settings, self._database, issue, now=now)
            with self._keeping:
                self._kept = {issue.number: (basis, now, counts)}
            return counts, now

    def _known(self, issue: Issue, now: dt.datetime) -> tuple[LedgerCounts, dt.datetime] | None:
        with self._keeping:
            kept = self._kept.get(issue.number)
        if kept is None:
            return None
        basis, at, counts = kept
        return (counts, at) if at <= now < at + COUNTED_FOR and basis == self._basis(issue) else None

    def _basis(self, issue: Issue) -> object:
        lately = acts.latest(self._database, limit=_ACTS_AT_WORK)
        return issue.state, issue.content_hash, [(one.id, one.ended_at) for one in lately]


COUNTED_FOR = dt.timedelta(seconds=10)
_ACTS_AT_WORK = 20  # more are not begun and unfinished at once


class Findings:
    """What lint finds in drafts by the rules of today; remembered, for the same bytes are asked about again and again.

    Several threads may ask.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._keeping = threading.Lock()
        self._kept: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def of(self, issue: Issue, *, now: dt.datetime) -> Sequence[str]:
        """In the renderings of a draft, dated as they would be sent `now`; raises NotFoundError."""
        # All that lint looks at: what is bound by the content's hash, the bytes, the day that is filled in, and the
        # settings of this program
        sealed, hashes = seal(self._settings, self._database, issue.number), Issues(self._database).variant_hashes
        day = now.astimezone(ZoneInfo(sealed.settings.newsletter.timezone)).date()
        name = json_hash([issue.number, issue.content_hash, day.isoformat(), hashes(issue.number)])
        with self._keeping:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        found = tuple(self._find(issue, sealed, now))
        with self._keeping:
            self._kept[name] = found
            if len(self._kept) > _DRAFTS_KEPT:
                self._kept.popitem(last=False)
        return found

    def _find(self, issue: Issue, sealed: Seal, now: dt.datetime) -> Iterator[str]:
        items = {item.change_id: item for item in (*issue.items, *issue.owed)}
        for variant in dated_variants(sealed, self._database, issue.number, now=now):
            said = lint(
                variant, newsletter=variant_settings(sealed.settings.newsletter, variant.name),
                mail=sealed.settings.mail, web=sealed.settings.web,
                items=[items[change] for change in variant.change_ids if change in items],
                bases=[source.base_url for source in self._settings.sources], intro=issue.edit.intro,
            )
            said += message_findings(variant, letterhead=sealed.letterhead, date=now)
            yield from (f"variant {variant.name}: {one}" for one in said)


_DRAFTS_KEPT = 32  # drafts whose findings are remembered: more than wait for anybody at once


_REMEMBERED = 20_000  # placements: pauses end at as many moments as there are readers


def _placing(
    settings: Settings, issue: Issue, seal: _AtTheSeal, names: frozenset[str], now: dt.datetime,
    render: Callable[[str, Sequence[IssueItem]], Variant | None],
) -> Callable[[Subscriber, bool, Standing], Placement]:
    """Where each candidate of an issue goes; those who are alike in all that counts are decided once."""
    memory: dict[tuple[object, ...], Placement] = {}
    zone = ZoneInfo(settings.newsletter.timezone)

    def put(subscriber: Subscriber, suppressed: bool, standing: Standing) -> Placement:
        language = tongue(seal.newsletter, subscriber.language)
        alike = (suppressed, language, subscriber.state, subscriber.cadence, subscriber.topics, standing,
                 joined_later(subscriber, issue.created_at, now), subscriber.paused_until, subscriber.pause_skips,
                 )  # all that a placement depends on
        if alike not in memory:
            if len(memory) >= _REMEMBERED:
                memory.clear()
            memory[alike] = place(
                subscriber, suppressed, cadence=issue.cadence, items=issue.items, owed=issue.owed, rendered=names,
                drafted_at=issue.created_at, standing=standing, render=render, now=now, zone=zone,
                language=language,
            )
        return memory[alike]

    return put


def undo_window(settings: Settings) -> dt.timedelta:
    """How long an approval by a person can be undone before the first mail goes out."""
    return dt.timedelta(minutes=settings.newsletter.undo_minutes)


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
    freeze(settings, database, number, content_hash=issue.content_hash, now=now, undo=undo)


def page_of(settings: Settings, number: int) -> str:
    """The address of an issue's page, which is there once it is sent."""
    return issue_link(settings.web, number)


def made_to_json(made: Made) -> dict[str, Any]:
    """One issue in the result of the `publish` flow."""
    issue = made.issue
    return {
        "issue": issue.number, "cadence": issue.cadence, "period": issue.period, "subject": issue.subject,
        "items": len(issue.items), "owed": len(issue.owed),
        "state": issue.state, "waits": made.waits, "content_hash": issue.content_hash,
    }
