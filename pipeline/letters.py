"""Letters on their way: those that are due are decided on, written, signed and handed over; what fails waits.

    queue ─claim─▶ decide (pure) ─▶ dropped, and why
                              └─▶ write ─▶ relay ─▶ sent | queued again | failed ─▶ queue

At least once: a process that dies after the relay's 250 leaves a letter that is sent again, with the same Message-ID.
"""

import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast
from zoneinfo import ZoneInfo

from delivery.checks.mail_domain import MailDomains
from delivery.message import verp
from delivery.message.build import MessageTemplate
from delivery.message.headers import address as plain
from delivery.message.tokens import letter_message_id
from delivery.ports import Session
from delivery.smtp import replies
from milepost.errors import DeliveryError, MilepostError, RenderError
from milepost.records import Cadence, IssueState, Reply
from milepost.settings import Settings
from newsletter.issue.render import Renderer
from newsletter.issue.view import BACK, PREFERENCES, issue_link
from newsletter.letters import letter_view
from newsletter.words.languages import in_language
from pipeline.link_keys import signing_key
from pipeline.mail_identity import (
    bounce_address,
    bounces_at,
    letterhead,
    list_id,
    relay,
    sender_domain,
    signing,
    unsubscribe_url,
)
from pipeline.sign_up import counts, tend
from store.database import Database
from store.issues.issues import Issues
from store.ledger.letters import SITE, Letter, Letters, LetterState, Quota, Taken
from store.operators.clock_ahead import watch
from store.subscribers.address_changes import AddressChanges
from store.subscribers.people import UNDO_FOR
from store.subscribers.suppressions import liftable

__all__ = ["Letter", "LettersDone", "Standing", "decide", "send_letters", "standing", "work_off"]

log = logging.getLogger("milepost.letters")

MONTH, HOUR = dt.timedelta(days=30), dt.timedelta(hours=1)
GOODBYE_WITHIN = dt.timedelta(hours=48)  # that mail may follow a leaving, as Gmail and Yahoo ask of senders
TRIES = 3  # confirmation mails to an address in a month that nobody answers: who wanted it would have
FIRST_RETRY_S = 60.0  # somebody waits for it: sooner than an issue
_TOGETHER = 20  # claimed at once
_WAIT = dt.timedelta(minutes=5)  # before a letter beyond the hour's number is looked at again
_TIMEOUT = 60.0  # seconds for an answer of the relay: the lease is longer
_ON_THE_WEB: tuple[IssueState, ...] = ("sending", "paused", "complete", "needs_review")


@dataclass(frozen=True, kw_only=True, slots=True)
class LettersDone:
    """What a round through the queue did."""

    sent: int = 0
    dropped: int = 0
    failed: int = 0
    waiting: int = 0  # that were due and could not be sent now
    why: str = ""  # the last reason for which one waits
    next_due: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How the queue and the sign-ups stand."""

    letters: tuple[Letter, ...]  # the latest
    states: Mapping[LetterState, int]
    sign_ups: Mapping[str, int]  # in the last day: taken, and refused by which limit


def decide(
    letter: Taken, now: dt.datetime, takes_mail: Callable[[str], bool | None] = lambda _address: None
) -> str | None:
    """None where the letter is to be sent, else why not. Pure but for `takes_mail`, which is asked last, and only about
    what another site's form sent: our own has asked back. False: the address's domain takes no mail.

    A confirmation goes to whoever may come back by it, readers too: it makes their new choice theirs. A change of
    address is asked for at none that is another reader's, or that is never to be written to. A goodbye goes to nobody
    who came back, and comes within two days or not at all: later it would be mail after leaving.
    """
    if not letter.address:
        return "its address is forgotten"
    if letter.kind == "move" or letter.kind == "moved":
        return _decide_move(letter)
    if letter.suppressed is not None and (letter.kind in ("welcome", "goodbye") or not liftable(letter.suppressed)):
        return f"suppressed: {letter.suppressed}"
    if letter.kind == "goodbye":
        return _decide_goodbye(letter, now)
    if letter.kind == "welcome":
        return None if letter.state == "active" else "is no reader any more"
    if letter.name is None:
        return "its sign-up is forgotten"
    if letter.confirmed:
        return "is confirmed already"
    if letter.sent_before >= TRIES:
        return f"{letter.sent_before} in a month went unanswered"
    if letter.form == SITE and takes_mail(letter.address) is False:
        return "its domain takes no mail: no MX, no address (web.check_domain)"
    return None


def _decide_goodbye(letter: Taken, now: dt.datetime) -> str | None:
    if letter.state != "unsubscribed":
        return "is a reader again"
    if letter.left_at is None:
        return "never was a reader"
    return "too late: they left more than two days ago" if now - letter.left_at > GOODBYE_WITHIN else None


def _decide_move(letter: Taken) -> str | None:
    if letter.suppressed is not None:
        return f"suppressed: {letter.suppressed}"
    if letter.change is None:
        return "its change of address is forgotten"
    if letter.kind == "moved":
        return None
    if letter.state != "active":
        return "is no reader any more"
    if letter.others_address:
        return "another subscriber has that address"
    if not letter.change_open:
        return "is settled already, or given up for another address"
    return f"{letter.sent_before} in a month went unanswered" if letter.sent_before >= TRIES else None


def send_letters(
    settings: Settings, database: Database, *, now: Callable[[], dt.datetime], stop: Callable[[], bool] = lambda: False,
    domains: MailDomains | None = None,
) -> LettersDone:
    """Send what is due; calling it again, and from several processes at once, is always safe.

    One letter that can't be sent never stops the others; a relay that is not there, or refuses us, ends the round and
    leaves the rest queued. Raises StoreError, SettingsError, HeldError in a restored database.
    """
    queue = Letters(database)
    watch(database, now())
    round_ = _Round(settings, database, queue, now, domains=domains or MailDomains())
    try:
        while not stop() and not round_.why:
            claimed = queue.claim(now(), limit=_TOGETHER, memory=MONTH, quota=_quota(settings, now()))
            round_.put_off(claimed.put_off)
            for letter in claimed.taken:
                round_.deal_with(letter)
            if not claimed.taken and not claimed.put_off:
                break
    finally:
        round_.hang_up()
    done = round_.results
    return LettersDone(
        sent=done["sent"], dropped=done["dropped"], failed=done["failed"], waiting=done["waiting"], why=round_.why,
        next_due=queue.next_due(),
    )


def _quota(settings: Settings, now: dt.datetime) -> Quota:
    most = settings.web.signup_per_hour
    return Quota(
        kind="confirm", most=most, since=now - HOUR, again_at=now + _WAIT,
        why=f"more than {most} confirmations an hour (web.signup_per_hour)",
    )


def work_off(settings: Settings, database: Database, *, now: Callable[[], dt.datetime]) -> LettersDone:
    """What the schedule does: reminders, forgetting, and what the web process did not send."""
    tend(database, now())
    AddressChanges(database).forget(now())
    return send_letters(settings, database, now=now)


def standing(database: Database, now: dt.datetime, *, limit: int) -> Standing:
    """How things stand: the latest letters, all of them by state, and a day's sign-ups."""
    queue = Letters(database)
    return Standing(
        letters=tuple(queue.list(limit=limit)), states=queue.counts(),
        sign_ups=counts(database, now - dt.timedelta(days=1)),
    )


def letters_to_json(done: LettersDone) -> dict[str, object]:
    """The form of the letters' part in `run --json`."""
    return {"sent": done.sent, "dropped": done.dropped, "failed": done.failed, "waiting": done.waiting, "why": done.why}


@dataclass(slots=True)
class _Round:
    """One round: the open session, and what came of the letters so far."""

    settings: Settings
    database: Database
    queue: Letters
    now: Callable[[], dt.datetime]
    why: str = ""  # why it ends early
    results: Counter[str] = field(default_factory=Counter)
    session: Session | None = None
    writer: "_Writer | None" = None
    domains: MailDomains = field(default_factory=MailDomains)

    def takes_mail(self, address: str) -> bool | None:
        return self.domains.takes_mail(address) if self.settings.web.check_domain else None

    def deal_with(self, letter: Taken) -> None:
        """To one of its ends, whatever happens."""
        dropped = decide(letter, self.now(), self.takes_mail)
        if dropped is not None:
            self._settle(letter, "dropped", dropped, tried=False)
        elif self.why:
            self._wait(letter, self.why, self.now() + _WAIT, tried=False)
        else:
            self._send(letter)

    def hang_up(self) -> None:
        if self.session is not None:
            self.session.quit()
            self.session = None

    def put_off(self, number: int) -> None:
        """By the quota, which wrote why."""
        self.results["waiting"] += number
        if number:
            log.warning("letters wait: %s. `milepost letters` lists them.", _quota(self.settings, self.now()).why)

    def _send(self, letter: Taken) -> None:
        try:
            if self.writer is None:
                self.writer = _Writer.of(self.settings, self.database)
            message, sender = self.writer.write(letter)
        except RenderError as error:
            self._settle(letter, "failed", str(error))
            log.error("letter %d can't be written: %s", letter.id, error)  # noqa: TRY400 (our own sentence)
            return
        try:
            if self.session is None or not self.session.alive:
                self.session = relay(self.settings, timeout=_TIMEOUT).open()
        except DeliveryError as error:
            self.why = str(error)
            self._wait(letter, self.why, self._later(letter))
            return
        self._read(letter, _hand_over(self.session, sender, letter.address, message))

    def _read(self, letter: Taken, reply: Reply) -> None:
        verdict = replies.classify(reply)
        said = f"{reply.code or 'no reply'} {reply.text}".strip()
        match verdict.outcome:
            case "sent":
                self._settle(letter, "sent", said)
            case "failed":
                self._settle(letter, "failed", said)
            case _:
                if verdict.outcome == "refused":
                    self.why = f"the mail server refuses us: {said}"
                if self.now() - letter.queued_at >= replies.GIVE_UP:
                    self._settle(letter, "failed", f"given up after 72 h; the last answer: {said}")
                else:
                    self._wait(letter, said, self._later(letter))
        if self.session is not None and not (verdict.outcome == "sent" and self.session.alive):
            if verdict.hang_up or not self.session.alive:
                self.hang_up()
            else:
                self.session.reset()

    def _later(self, letter: Taken) -> dt.datetime:
        factor = FIRST_RETRY_S / replies.FIRST_RETRY_S if letter.attempts < 2 else 1.0
        return self.now() + dt.timedelta(seconds=factor * replies.backoff(letter.attempts, f"letter {letter.id}"))

    def _wait(self, letter: Taken, why: str, again_at: dt.datetime, *, tried: bool = True) -> None:
        self.results["waiting"] += 1
        self.queue.settle(letter, "queued", self.now(), why=why, again_at=again_at, tried=tried)

    def _settle(self, letter: Taken, state: LetterState, why: str, *, tried: bool = True) -> None:
        self.results[state] += 1
        self.queue.settle(letter, state, self.now(), why=why, tried=tried)
        log.info("letter %d (%s): %s%s", letter.id, letter.kind, state, f", {why}" if state != "sent" else "")


def _hand_over(session: Session, sender: str, address: str, message: bytes) -> Reply:
    """One transaction, to its last reply."""
    steps: tuple[Callable[[], Reply], ...] = (
        lambda: session.mail(sender), lambda: session.rcpt(address), lambda: session.data(message),
    )
    reply = steps[0]()
    for step in steps[1:]:
        if reply.code is None or reply.code // 100 != 2:
            break
        reply = step()
    return reply


@dataclass(frozen=True, kw_only=True, slots=True)
class _Writer:
    """All that is the same for the letters of a round."""

    settings: Settings
    key: bytes
    list_name: str
    latest: str | None
    sign: Callable[[bytes], bytes]
    renderers: dict[str, Renderer] = field(default_factory=dict)  # by language, each made at its first letter

    @classmethod
    def of(cls, settings: Settings, database: Database) -> "_Writer":
        issues = Issues(database).list(states=list(_ON_THE_WEB), limit=1)
        return cls(
            settings=settings, key=signing_key(settings, database), list_name=list_id(settings, database),
            latest=issue_link(settings.web, issues[0].number) if issues else None, sign=signing(settings),
        )

    def _renderer(self, language: str | None) -> Renderer:
        """The one that writes in a reader's language, the newsletter's where they chose none."""
        spoken = in_language(self.settings.newsletter, language)
        if spoken.language not in self.renderers:
            self.renderers[spoken.language] = Renderer(spoken, self.settings.mail, self.settings.web)
        return self.renderers[spoken.language]

    def write(self, letter: Taken) -> tuple[bytes, str]:
        """The message and its envelope's sender; raises RenderError."""
        settings, welcome = self.settings, letter.kind == "welcome"
        renderer = self._renderer(letter.language)
        view = letter_view(
            letter.kind, cadence=cast("Cadence", letter.cadence or settings.newsletter.cadences[0]),
            topics=letter.topics, newsletter=renderer.newsletter, mail=settings.mail, phrases=renderer.phrases,
            latest=self.latest, preferences=PREFERENCES,
            undo_until=None if letter.left_at is None else self._day_of(letter.left_at + UNDO_FOR),
        )
        way_out = welcome and letter.reader is not None and settings.mail.bounce_domain is not None
        head = replace(
            letterhead(settings, self.list_name, leave_by_mail=way_out), one_click=welcome, auto_submitted=not welcome
        )
        template = MessageTemplate.build(renderer.letter(view), letterhead=head, date=letter.queued_at)
        if welcome and letter.reader is not None:
            link = unsubscribe_url(settings, self.key, self.list_name, letter.reader)
        elif letter.kind == "goodbye":
            link = f"{unsubscribe_url(settings, self.key, self.list_name, letter.reader or '')}{BACK}"
        elif letter.kind == "move":
            link = f"{settings.web.base_url}/a/{letter.change}"
        elif letter.kind == "moved":
            link = f"{settings.web.base_url}/a/{letter.undo}/undo"
        else:
            link = confirm_url(settings, letter.name or "")
        message = template.bytes_for(
            address=letter.address, unsubscribe_url=link,
            leave_address=verp.make_leave(
                self.key, base=bounces_at(settings.mail.bounce_domain or ""), handle=letter.reader or ""
            ) if way_out else None,
            message_id=letter_message_id(
                self.key, letter=letter.id, queued=letter.queued_at.isoformat(), domain=sender_domain(settings)
            ),
        )
        return self.sign(message), self._envelope(letter)

    def _day_of(self, moment: dt.datetime) -> dt.date:
        return moment.astimezone(ZoneInfo(self.settings.newsletter.timezone)).date()

    def _envelope(self, letter: Taken) -> str:
        """One for each letter where bounces have a domain, so that a bounce names it."""
        domain = self.settings.mail.bounce_domain
        if domain is None:
            return plain(bounce_address(self.settings))
        return verp.make_letter(
            self.key, base=bounces_at(domain), letter=letter.id, queued=letter.queued_at.isoformat()
        )


def confirm_url(settings: Settings, name: str) -> str:
    """The link of a sign-up's mails."""
    return f"{settings.web.base_url}/c/{name}"


def quietly(settings: Settings, database: Database, *, now: Callable[[], dt.datetime]) -> LettersDone:
    """`work_off` for a process that goes on whatever happens: what went wrong is in the log and in `why`."""
    try:
        return work_off(settings, database, now=now)
    except MilepostError as error:
        log.error("letters can't be sent now: %s", error)  # noqa: TRY400 (our own sentence)
        return LettersDone(why=str(error))
