"""An editor's hands on an issue: change it, try it on oneself, stop it in time, and prove later what was sent.

    draft ─ edit ─▶ draft, rendered again       draft ─ trial_mail ─▶ one message, in no ledger
    approved ─ stop ─▶ draft again, or paused   sent  ─ replay ─▶ the same bytes, or what differs
"""

import datetime as dt
import logging
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from delivery.message.build import MessageTemplate
from milepost.errors import ConflictError, DeliveryError, HeldError, InputError
from milepost.records import Edit, Issue, IssueItem, IssueState, LedgerCounts, Reply, Variant
from milepost.settings import Settings
from newsletter.issue.compose import settings_from
from newsletter.issue.design import design_of
from newsletter.issue.known import known_from
from newsletter.issue.render import Renderer, has_day_slot, templates_digest, variant_settings
from newsletter.issue.safe import clean_lines, one_line
from newsletter.news.select import EVERYTHING
from newsletter.words.languages import phrases_for
from pipeline.mail_identity import bounce_address, dated_variant, dated_variants, relay, seal, sender_domain, signing
from pipeline.publish import freeze, rendered, undo_window
from store.database import Database
from store.issues.editions import Editions
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.operators.clock_ahead import WINDOWS, note
from store.subscribers import addresses

log = logging.getLogger("milepost.editing")


def issues_by_number(database: Database) -> list[Issue]:
    """Every issue without its items, newest first."""
    return list(Issues(database).list())


def issues_in(database: Database, states: Sequence[IssueState]) -> list[Issue]:
    """Those in these states, without their items, newest first."""
    return list(Issues(database).list(states=states))


def some_issues(database: Database, *, limit: int, before: int | None = None) -> list[Issue]:
    """The latest issues without their items, newest first; `before`: those of a lower number."""
    return list(Issues(database).list(limit=limit, before=before))


def find(database: Database, number: int) -> Issue:
    """The issue as it is now, with its items; raises NotFoundError."""
    return Issues(database).get(number)


def variants(settings: Settings, database: Database, number: int, *, now: dt.datetime) -> Iterator[Variant]:
    """The renderings of an issue as they would be sent `now`, or were sent, a few in memory; raises NotFoundError."""
    return dated_variants(seal(settings, database, number), database, number, now=now)


def variant(settings: Settings, database: Database, number: int, name: str, *, now: dt.datetime) -> Variant | None:
    """One of them, by its name; None where there is none of that name. Raises NotFoundError."""
    return dated_variant(seal(settings, database, number), database, number, name, now=now)


def variant_names(database: Database, number: int) -> Sequence[str]:
    """What the renderings of an issue are called, the one of everything first."""
    return sorted(Issues(database).variant_names(number), key=lambda name: (name != EVERYTHING, name))


def edit(
    settings: Settings, database: Database, number: int, *, subject: str | None = None, intro: str | None = None,
    preheader: str | None = None, order: Sequence[str] = (), leave_out: Collection[str] = (),
    replaces: str | None = None,
) -> Issue:
    """Change a draft and render it again: it has a new hash, and an approval of the old one is void.

    `replaces`: the hash of the content that the caller looked at, where somebody else may have changed it since.

    `subject`, `intro` (Markdown), `preheader` (what inboxes show beside the subject): None leaves what is there, ""
    takes an earlier edit back. `order`: keys of milestones that come first, in this order; the others follow as they
    were. `leave_out`: keys that this issue does without; they are free for the next one of its cadence. Raises
    InputError for a key that is not in the issue, ConflictError when it is no draft or was changed meanwhile, LintError
    when the result is not fit to be sent.
    """
    issue = Issues(database).get(number)
    if issue.state != "draft":
        raise ConflictError(f"it is {issue.state}, no draft any more", where=f"issue {number}",
                            hint=f"Stop it first: `milepost issue stop {number}`.")
    if replaces is not None and replaces != issue.content_hash:
        raise ConflictError(
            f"somebody changed it meanwhile: its content is {issue.content_hash[:12]}, you looked at {replaces[:12]}",
            where=f"issue {number}", hint="Look at it as it is now, then change it again.",
        )
    items = _arranged(issue, order, leave_out)
    written = Edit(
        subject=issue.edit.subject if subject is None else clean_lines(subject),
        intro=issue.edit.intro if intro is None else clean_lines(intro),
        preheader=issue.edit.preheader if preheader is None else one_line(preheader),
    )
    with rendered(settings, database, number, issue.cadence, items, issue.created_at, edit=written, owed=issue.owed,
                  sequence=issue.sequence) as made:
        revised = Editions(database).revise(
            number, replaces=issue.content_hash, items=made.items, variants=made.variants, subject=made.subject,
            edit=written, content_hash=made.content_hash, rendered_with=made.rendered_with, owed=issue.owed,
        )
    log.info("edited issue %d: %s", number, revised.content_hash[:12], extra={"issue": number})
    return revised


def _arranged(issue: Issue, order: Sequence[str], leave_out: Collection[str]) -> list[IssueItem]:
    keys = [item.milestone.key for item in issue.items]
    for key in [*order, *leave_out]:
        if key not in keys:
            hint = f"It has: {', '.join(keys)}."
            raise InputError(f"there is no {key} in it", where=f"issue {issue.number}", hint=hint)
    places = {key: place for place, key in enumerate(order)}
    kept = [item for item in issue.items if item.milestone.key not in leave_out]
    if not kept and not issue.owed:
        hint = f"To send none at all: `milepost issue discard {issue.number}`."
        raise InputError("nothing would be left of it", where=f"issue {issue.number}", hint=hint)
    return sorted(kept, key=lambda item: places.get(item.milestone.key, len(places)))


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialMail:
    """A test mail, ready to be handed over."""

    address: str  # the one recipient, in ASCII
    envelope: str  # who hears of a bounce
    message: bytes  # as DATA wants it, not dot-stuffed


def trial_mail(
    settings: Settings, database: Database, number: int, address: str, *, now: dt.datetime, variant: str = EVERYTHING
) -> TrialMail:
    """Issue `number` as a message to any address, its subject marked as a test.

    Its unsubscribe link leads to the page that explains it, since nobody would be unsubscribed; the ledger never hears
    of it. Raises InputError for what is no address, or no variant of the issue.
    """
    to = addresses.parse(address).address
    sealed = seal(settings, database, number)
    found = dated_variant(sealed, database, number, variant, now=now)
    if found is None:
        names = variant_names(database, number)
        known = ", ".join(names[:_NAMED]) or "none"
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        raise InputError(f"it has no variant {variant!r}", where=f"issue {number}", hint=f"It has: {known}{more}.")
    then = sealed.settings
    mark = phrases_for(then.newsletter.language).test
    marked = replace(found, subject=f"{mark} {found.subject}")
    template = MessageTemplate.build(marked, letterhead=replace(sealed.letterhead, leave_by_mail=False), date=now)
    message = template.bytes_for(
        address=to, unsubscribe_url=f"{then.web.base_url}/u",
        message_id=f"<test.{number}.{secrets.token_hex(8)}@{sender_domain(then)}>",
    )
    envelope = bounce_address(then)
    return TrialMail(address=to, envelope=envelope, message=signing(then)(message))


_NAMED = 20  # variants that a sentence names


def send_trial(settings: Settings, mail: TrialMail) -> Reply:
    """Hand a test mail to the relay and return its last words; raises DeliveryError when it is not taken."""
    transport = relay(settings)
    session = transport.open()
    try:
        steps: tuple[Callable[[], Reply], ...] = (
            lambda: session.mail(mail.envelope), lambda: session.rcpt(mail.address),
            lambda: session.data(mail.message),
        )
        for step in steps:
            reply = step()
            if reply.code is None or reply.code >= 400:
                raise DeliveryError(
                    f"the test mail was not taken: {reply.code or 'no reply'} {reply.text}".rstrip(),
                    where=transport.where,
                )
    finally:
        session.quit()
    return reply


def approve(
    settings: Settings, database: Database, number: int, *, content_hash: str, now: dt.datetime
) -> LedgerCounts:
    """A person approves exactly that content; the first mail waits for newsletter.undo_minutes.

    Raises ConflictError when the content is another by now, or the issue is no draft.
    """
    return freeze(settings, database, number, content_hash=content_hash, now=now, undo=undo_window(settings))


def require_window_over(issue: Issue, now: dt.datetime) -> None:
    """Raises HeldError while the approval can still be undone."""
    if issue.state == "frozen" and issue.send_after is not None and now < issue.send_after:
        raise HeldError(
            f"issue {issue.number} is sent from {issue.send_after:%Y-%m-%d %H:%M:%S} UTC on; undo it till then",
            hint=f"`milepost issue stop {issue.number}` undoes, `milepost issue send {issue.number}` sends now.",
        )


def mend_windows(settings: Settings, database: Database, now: dt.datetime) -> None:
    """Let no approval wait longer than was said when it was given: a clock may have been ahead then."""
    shorter = Editions(database).shorten_windows(undo_window(settings), now)
    for number in shorter:
        log.warning("issue %d was approved by a clock that was ahead: it can be undone from now on, for %d minutes",
                    number, settings.newsletter.undo_minutes, extra={"issue": number})
    note(database, now, {WINDOWS: len(shorter)})


def send_at_once(database: Database, number: int) -> None:
    """Give up the rest of the undo window."""
    Editions(database).send_after(number, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopped:
    """What stopping came to."""

    issue: Issue
    undone: bool  # True: a draft again, nobody got it. False: paused, some may have
    counts: LedgerCounts


def stop(database: Database, number: int, *, reason: str = "stopped by an operator") -> Stopped:
    """Stop an approved issue at any time: before its first mail it becomes a draft again, later it is paused.

    The draft waits for an approval, whatever the settings say. Raises ConflictError when there is nothing to stop.
    """
    ledger = Ledger(database)
    undone = Editions(database).take_back(number, reason)
    if not undone:
        ledger.pause(number, reason)
    log.info("stopped issue %d: %s", number, "a draft again" if undone else "paused", extra={"issue": number})
    return Stopped(issue=Issues(database).get(number), undone=undone, counts=ledger.counts(number))


def discard(database: Database, number: int) -> None:
    """Throw a draft away: its milestones are free for the next one. Raises ConflictError when it is no draft."""
    Issues(database).discard(number)


def pause(database: Database, number: int, why: str) -> None:
    """A dispatcher that runs obeys before its next message; raises ConflictError when it can't be paused."""
    Ledger(database).pause(number, why)


def resume(database: Database, number: int) -> None:
    """Let a paused issue be sent again; raises ConflictError when it is not paused."""
    Ledger(database).resume(number)


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """An issue rendered once more from what was stored."""

    number: int
    variants: int  # how many were rendered again
    differing: tuple[str, ...]  # "all: html": variant and part that came out otherwise
    templates: str  # the digest that the issue was rendered with
    same_templates: bool  # whether today's are those

    @property
    def proven(self) -> bool:
        """Whether every byte is the same."""
        return not self.differing


def replay(settings: Settings, database: Database, number: int) -> Replay:
    """Render an issue from its stored records and the settings of its time, and compare it with what was stored.

    The day of the hand-over is in no rendering that is stored, only the place where it goes. Of today's settings only
    newsletter.templates counts, as the place where templates are looked for. Raises
    ConflictError for an issue from before the settings were kept.
    """
    issue, issues = Issues(database).get(number), Issues(database)
    kept = Editions(database).rendered_with(number)
    own = settings.newsletter.templates
    letter, mail, web = settings_from(kept.settings, templates=own)
    design, known = design_of(kept.settings), known_from(kept.settings.get("known"))
    renderers = {
        spoken.language: Renderer(spoken, mail, web, known=known, design=design)
        for spoken in (variant_settings(letter, name) for name in issues.variant_names(number))
    }
    items = {item.change_id: item for item in (*issue.items, *issue.owed)}
    parts: tuple[tuple[str, Callable[[Variant], str]], ...] = (
        ("subject", lambda variant: variant.subject), ("html", lambda variant: variant.html),
        ("text", lambda variant: variant.text), ("placeholder", lambda variant: variant.placeholder),
    )
    count, differing = 0, list[str]()
    for was in issues.variants(number):
        now = renderers[variant_settings(letter, was.name).language].render(
            number, issue.cadence, [items[change_id] for change_id in was.change_ids],
            None if has_day_slot(was) else issue.created_at, name=was.name, edit=issue.edit, as_ordered=True,
            sequence=issue.sequence,
        )
        count += 1
        differing += [f"{was.name}: {part}" for part, of in parts if of(was) != of(now)]
    return Replay(
        number=number, variants=count, differing=tuple(differing), templates=kept.templates,
        same_templates=templates_digest(own, design=design) == kept.templates,
    )
