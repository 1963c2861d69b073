"""Reads what came back and does what it asks for: suppresses, unsubscribes, counts, and settles what was uncertain.

    inbox ─▶ parse ─▶ whose is it? ─▶ (an unknown hand-over is settled) ─▶ recorded ─▶ put away
          └▶ a mail to a reader's own address ─▶ that reader leaves, and a letter answers it (web.goodbye)

Each report is put away only after its effect is on the disk, and counts once however often it is read.
"""

import datetime as dt
import hashlib
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from delivery.bounces import inboxes, leaving
from delivery.bounces.leaving import LeaveRequest
from delivery.bounces.reports import Bounce, delivery_of, parse
from delivery.bounces.soft_bounce_limit import RULE, Rule, Strike, worn_out
from delivery.message import verp
from delivery.message.tokens import letter_message_id, may_be_ours
from delivery.ports import Arrival, Inbox
from milepost.errors import ConflictError
from milepost.settings import Settings
from pipeline.link_keys import link_keys
from pipeline.mail_identity import sender_domain
from pipeline.resolve import Outcome, message_ids
from store.database import Database
from store.ledger.bounces import Bounces, Notice, Traced, normalized
from store.ledger.ledger import Ledger
from store.ledger.letters import Letters

log = logging.getLogger("milepost.bounces")

RESULTS = (
    "suppressed", "unsubscribed", "ended", "counted", "noted", "resolved", "unsettled", "seen", "forged", "unproven",
    "unrelated",
)
_MEMORY = dt.timedelta(days=30)  # of letters that a report may name by their Message-ID
_CHUNK = 200  # messages in hand at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """What one inbox held; `results` counts by RESULTS ("resolved", "unsettled" beside the effect of the same report).

    `unproven`: mails that ask to be taken off the list and prove nothing, which are left for a person to read.
    """

    source: str
    read: int
    results: Mapping[str, int]
    unproven: tuple[str, ...] = ()


def read_bounces(
    settings: Settings, database: Database, source: str, *, now: dt.datetime, folder: Path = Path()
) -> Gathered:
    """Read one inbox (see `delivery.bounces.inboxes`) to its end.

    Raises SettingsError, DeliveryError and StoreError; what was recorded by then stays recorded.
    """
    password = settings.bounces.password
    opened = inboxes.from_url(
        source, password=password.get_secret_value() if password else None, folder=folder,
        timeout=settings.bounces.timeout,
    )
    results: Counter[str] = Counter()
    reader = ReportReader(settings, database, now)
    with opened as inbox:
        for chunk in _chunks(inbox):
            done = reader.read(chunk, results)
            inbox.put_away(done)
    return Gathered(
        source=_shown(source), read=results.pop("read", 0), results=dict(results), unproven=tuple(reader.unproven)
    )


def suppress_worn_out(
    database: Database, *, now: dt.datetime, rule: Rule = RULE, among: Collection[int] | None = None
) -> list[str]:
    """Suppress whoever has too many soft bounces (`delivery.bounces.soft_bounce_limit`); returns the new ones.

    `among`: only these subscribers are looked at; None: all.
    """
    bounces, new = Bounces(database), []
    for struck in bounces.struck(issues=rule.issues, since=now - rule.within, among=among):
        strikes = [Strike(issue=issue, at=at) for issue, at in struck.strikes]
        if worn_out(strikes, now, rule) and bounces.wear_out(struck, f"{len(strikes)} soft bounces", now):
            new.append(struck.address)
    return new


def _chunks(inbox: Inbox) -> Iterator[list[Arrival]]:
    arrivals = inbox.arrivals()
    while chunk := list(islice(arrivals, _CHUNK)):
        yield chunk


def _shown(source: str) -> str:
    """The address of an inbox without its password."""
    before, at, after = source.rpartition("@")
    scheme, slashes, user = before.partition("://")
    return f"{scheme}{slashes}{user.partition(':')[0]}{at}{after}" if at else source


class ReportReader:
    """Takes messages in chunks: the ledger is asked once for the Message-IDs of many."""

    def __init__(self, settings: Settings, database: Database, now: dt.datetime) -> None:
        keys = link_keys(settings, database)
        self._keys, self._leaving_keys = keys.believed, keys.every
        self._goodbye = settings.web.goodbye != "off"
        self._bounces, self._ledger, self._now = Bounces(database), Ledger(database), now
        self._unknown = message_ids(settings, database)
        self._letters, self._domain = Letters(database), sender_domain(settings)
        self._letter_ids: Mapping[str, int] | None = None  # of a month, made when they are first asked for
        self.unproven: list[str] = []
        self.soft: set[int] = set()  # the subscribers of whom soft bounces were read, new or not

    def read(self, arrivals: Sequence[Arrival], results: Counter[str]) -> list[Arrival]:
        """Record a chunk and count what came of it; returns what may be put away."""
        found_in: list[tuple[Arrival, Bounce]] = []
        answered: list[Arrival] = []
        for arrival in arrivals:
            results["read"] += 1
            asked = leaving.read(arrival.raw)
            if asked is not None and asked.addresses:
                if self._leave(arrival, asked, results):
                    answered.append(arrival)
                continue
            bounce = parse(arrival.raw)
            if bounce is None and asked is not None:
                self._leave(arrival, asked, results)
                continue
            if bounce is None:
                results["unrelated"] += 1
                continue
            found_in.append((arrival, bounce))
        self.record(found_in, results)
        return [*answered, *(arrival for arrival, _ in found_in)]

    def record(
        self, found_in: Sequence[tuple[Arrival, Bounce]], results: Counter[str], *,
        queue_ids: Mapping[str, str] = MappingProxyType({}), exact: bool = False,
    ) -> None:
        """Record reports and count what came of them.

        `queue_ids`: arrival's name → the relay's own name of the message, of who proved that they are the relay; it
        names a delivery to the report's recipient. `exact`: the relay itself names the recipient, so it is the one
        that the mail was handed over for, and no mail to anybody else is looked for.
        """
        claimed = [verp.claimed(address) for _, bounce in found_in for address in bounce.addresses]
        names = self._bounces.names({number for number in claimed if number is not None})
        letters = [verp.claimed_letter(address) for _, bounce in found_in for address in bounce.addresses]
        queued = self._letters.queued_at({number for number in letters if number is not None})
        reports = [
            (arrival, self._notice(arrival, bounce, names, queue_ids.get(arrival.name), exact=exact), bounce)
            for arrival, bounce in found_in
        ]
        traced = self._bounces.trace([notice for _, notice, _ in reports], self._unknown)
        for arrival, notice, bounce in reports:
            found = traced.get(notice.digest)
            if found is not None and found.state == "unknown":
                if not self._names(found, bounce):
                    results["unsettled"] += 1
                    log.warning("%s: it does not name delivery %d by our own id, which stays unknown", arrival.name,
                                found.id, extra={"issue": found.issue, "delivery": found.id})
                elif self._settle(found, bounce):
                    results["resolved"] += 1
            if found is not None and notice.grade == "soft":
                self.soft.add(found.subscriber)
            letter = None if found is not None else self._letter_of(bounce, queued, exact=exact)
            if letter is not None:
                effect = self._bounces.record_letter(notice, *letter, self._now)
            else:
                effect = self._bounces.record(notice, found, self._now)
            results[effect] += 1
            whose = {} if found is None else {"issue": found.issue, "delivery": found.id}
            log.info("%s: %s (%s %s)", arrival.name, effect, bounce.kind, bounce.status or "", extra=whose)

    def _leave(self, arrival: Arrival, asked: LeaveRequest, results: Counter[str]) -> bool:
        """Take off the list whom the address names; False for a mail that names nobody, or that no person wrote."""
        tried = (leaving.reader_of(key, asked) for key in self._leaving_keys)
        handle = None if asked.automatic else next((found for found in tried if found is not None), None)
        digest = hashlib.sha256(arrival.raw).hexdigest()
        effect = None if handle is None else self._bounces.leave(
            digest, handle, self._now, goodbye=self._goodbye
        )
        if effect is None:
            results["unproven"] += 1
            why = "an automatic answer" if asked.automatic else f"from {asked.author or 'nobody'}: {asked.subject}"
            self.unproven.append(f"{arrival.name} ({why})")
            return False
        results[effect] += 1
        log.info("%s: %s (asks to leave)", arrival.name, effect)
        return True

    def _letter_of(
        self, bounce: Bounce, queued: Mapping[int, str], *, exact: bool
    ) -> tuple[int, Literal["envelope", "message-id"]] | None:
        """The letter that a report is about, and what proves it."""
        for key in self._keys:
            for address in bounce.addresses:
                found = verp.parse_letter(key, address, queued.get)
                if found is not None:
                    return found, "envelope"
        name, since = bounce.message_id, self._now - _MEMORY
        if name is None or not may_be_ours(name) or not name.endswith(f"@{self._domain}>"):
            return None
        to = normalized(bounce.recipient)
        letter = None if to is None else self._message_ids(self._letters.sent(since, to=to)).get(name)
        if letter is None and not exact:  # it was forwarded: one of all
            if self._letter_ids is None:
                self._letter_ids = self._message_ids(self._letters.sent(since))
            letter = self._letter_ids.get(name)
        return None if letter is None else (letter, "message-id")

    def _message_ids(self, letters: Mapping[int, str]) -> dict[str, int]:
        return {
            letter_message_id(key, letter=letter, queued=at, domain=self._domain): letter
            for letter, at in letters.items() for key in self._keys
        }

    def _notice(
        self, arrival: Arrival, bounce: Bounce, names: Mapping[int, str], queue_id: str | None, *, exact: bool
    ) -> Notice:
        tried = (delivery_of(key, bounce, names.get) for key in self._keys)
        proven = next((number for number in tried if number is not None), None)
        queued = None
        if proven is None and queue_id is not None and bounce.recipient is not None:
            queued = self._bounces.queued_as(bounce.recipient, queue_id)
        # An inbox fills with reports about mails that somebody sent in our name: none of those was ever in the ledger.
        ours = bounce.message_id if bounce.message_id is not None and may_be_ours(bounce.message_id) else None
        return Notice(
            digest=hashlib.sha256(arrival.raw).hexdigest(), grade=bounce.grade,
            delivery_id=proven if queued is None else queued, queued=queued is not None, message_id=ours,
            recipient=bounce.recipient, exact=exact, code=bounce.code, enhanced=bounce.status,
            text=bounce.diagnostic or bounce.kind, suppress=bounce.suppress,
        )

    def _names(self, found: Traced, bounce: Bounce) -> bool:
        """Whether a report names a delivery by what only we can make, and names no other by the same: whoever has a
        provider's key, or read a relay's log, knows neither.
        """
        named = self._unknown.get(bounce.message_id or "")
        return found.proof != "queue-id" and named in (None, found.id)

    def _settle(self, found: Traced, bounce: Bounce) -> bool:
        """T8: whatever a report says, it proves that the relay had the message."""
        outcome: Outcome = "failed" if bounce.kind == "failed" else "sent"
        said = f"by a report that came back: {bounce.kind} {bounce.status or ''} {bounce.diagnostic}"
        try:
            self._ledger.resolve(found.id, outcome, " ".join(said.split()))
        except ConflictError:  # settled by somebody else meanwhile, or by a report before this one
            return False
        return True
