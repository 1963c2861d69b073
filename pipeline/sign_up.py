"""Signing up: what somebody typed becomes an entry, and the press on a button in a mail makes a reader of it.

    form, JSON ─▶ ask ─▶ entry + letter (queued) ─▶ pipeline.letters ─▶ a mail ─▶ find, confirm ─▶ a subscriber

Whether an address is new, known, gone or suppressed is looked up only when its letter is due: whoever asks is answered
the same, and as fast.
"""

import datetime as dt
import hashlib
import ipaddress
import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from delivery.checks.mail_domain import MailDomains, nearly
from milepost.errors import InputError
from milepost.printable import printable
from milepost.records import Cadence
from milepost.settings import Settings
from newsletter.words.languages import in_language, phrases_for
from newsletter.words.phrases import Phrases
from store.database import Database
from store.ledger.letters import SITE
from store.subscribers.addresses import Address, parse
from store.subscribers.sign_ups import Confirmed, Consent, Limits, Proof, Refusal, Request, SignUp, SignUps, Tended

__all__ = [
    "Asked", "Confirmed", "Consent", "Doubt", "Proof", "SignUp", "SigningUp", "Tended", "Turned", "consents", "counts",
    "form_version", "network_of", "tend",
]

log = logging.getLogger("milepost.sign_up")

Turned = Literal["trap", "too_fast", "too_old", "no_proof", "wrong_proof", "old_proof"]
BACKLOG_HOURS = 10  # of confirmation mails that may wait to be sent
_LONGEST = 200  # characters of what a form says about itself
_ADDRESS_LONGEST = 320  # characters of an address worth looking at (RFC 5321 §4.5.3.1: 64 + 1 + 255)
_ALARM_S = 600.0  # between two lines of the log about one limit
# What a reader of our own form has read when they press its button, and what asks them again in the mail and its page.
_WORDS = ("subscribe_to", "subscribe_hint", "how_often", "about_what", "about_hint", "subscribe", "letter_asked",
          "confirm", "confirm_hint", "confirm_press")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a form says, before anything is known of it."""

    address: str
    cadence: Cadence | None = None  # None: the newsletter's first
    topics: tuple[str, ...] = ()
    source: str | None = None
    variant: str | None = None
    path: str | None = None
    own_form: bool = False  # our page, whose words we know; else another site's
    language: str | None = None  # in which our page was read; None: the newsletter's
    language_taken: bool = False  # they took it there; else it is what their browser prefers
    host: str | None = None  # the asking machine's address
    proof: Proof | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """An address whose domain takes no mail, as far as the DNS says."""

    domain: str  # as it was typed
    instead: str | None  # the same address at a common domain that this one is nearly


def network_of(host: str | None) -> str:
    """The network of an address, as sign-ups are counted by it: IPv4 /24, IPv6 /48; "unknown" for none. Pure."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


def form_words(phrases: Phrases) -> str:
    """The words of our own form and of what asks again, one a line. Pure."""
    return "\n".join(getattr(phrases, name) for name in _WORDS)


def form_version(phrases: Phrases) -> str:
    """The version of those words, which changes when they do: "page-en-3f9a21c0". Pure."""
    return f"page-{phrases.locale}-{hashlib.sha256(form_words(phrases).encode()).hexdigest()[:8]}"


def address_of(text: str) -> Address:
    """The address somebody typed; raises InputError for none."""
    if len(text) > _ADDRESS_LONGEST:
        raise InputError("not an e-mail address we can send to: it is too long", where="address")
    return parse(text)


def _said(text: str | None) -> str | None:
    """What a form says about itself: one line of printable signs, not too long."""
    return printable(text[: _LONGEST * 2])[:_LONGEST] if text else None


class Repeats:
    """Addresses that this process was asked for in the last minute, so that a flood on one costs no write.

    It counts who asks, never who is known: the first `MOST` are taken in whatever they say, for an address of anybody's
    and of nobody's, and those after them could only repeat what is queued already. So one that came to nothing is taken
    back: whoever was told to come again is heard then. Several threads may use it at once.
    """

    MOST = 5  # of an address in a minute, that write
    MINUTE, COUNTED_EVERY = dt.timedelta(minutes=1), dt.timedelta(seconds=10)
    _ADDRESSES = 10_000  # in memory at once, the latest

    def __init__(self) -> None:
        self._asked: OrderedDict[str, tuple[dt.datetime, int]] = OrderedDict()  # since when, how often
        self._refused, self._counted_at = 0, dt.datetime.min.replace(tzinfo=dt.UTC)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._asked)

    def too_many(self, normalized: str, now: dt.datetime) -> bool:
        """Whether one more is one too many."""
        with self._lock:
            since, number = self._asked.pop(normalized, (now, 0))
            if not dt.timedelta(0) <= now - since < self.MINUTE:
                since, number = now, 0
            self._asked[normalized] = (since, number + 1)
            if len(self._asked) > self._ADDRESSES:
                self._asked.popitem(last=False)
            self._refused += number >= self.MOST
            return number >= self.MOST

    def take_back(self, normalized: str) -> None:
        """One that was not too many, and came to nothing."""
        with self._lock:
            if normalized in self._asked:
                since, number = self._asked[normalized]
                self._asked[normalized] = (since, max(number - 1, 0))

    def uncounted(self, now: dt.datetime) -> int:
        """How many were refused since this was told last; 0 where that was a moment ago: they are told together."""
        with self._lock:
            if not self._refused or now - self._counted_at < self.COUNTED_EVERY:
                return 0
            told, self._refused, self._counted_at = self._refused, 0, now
            return told


class SigningUp:
    """The way in, over the open `database`; several threads may use it at once."""

    def __init__(self, settings: Settings, database: Database, domains: MailDomains | None = None) -> None:
        """`domains`: who asks the DNS, the usual one unless told otherwise."""
        self._settings, self._sign_ups = settings, SignUps(database)
        self._domains = domains or MailDomains()
        self._kept: set[str] = set()  # versions of forms whose words are kept
        self._limits = Limits(
            per_network=settings.web.signup_per_network, backlog=BACKLOG_HOURS * settings.web.signup_per_hour
        )
        self._repeats = Repeats()
        self._alarms: dict[str, dt.datetime] = {}
        self._lock = threading.Lock()

    def ask(self, asked: Asked, now: dt.datetime) -> bool:
        """Take it in: nobody learns who is known, nor that a limit was reached. False: its proof paid for another.

        Raises InputError when the address is none, StoreError.
        """
        address = address_of(asked.address)
        if asked.proof is None and self._repeats.too_many(address.normalized, now):
            self._alarm("repeated", now)
            self._count_repeated(now)
            return True
        queued = False
        try:
            refused = self._ask(address, asked, now)
            queued = refused is None
        finally:
            if asked.proof is None and not queued:
                self._repeats.take_back(address.normalized)
        if refused == "used_proof":
            return False
        if refused is not None:
            self._alarm(refused, now)
        return True

    def _ask(self, address: Address, asked: Asked, now: dt.datetime) -> Refusal | None:
        self._count_repeated(now)
        letter = in_language(self._settings.newsletter, asked.language if asked.own_form else None)
        form = self._form(phrases_for(letter.language)) if asked.own_form else SITE
        return self._sign_ups.ask(
            Request(
                address=address, cadence=asked.cadence or letter.cadences[0],
                topics=tuple(dict.fromkeys(asked.topics)), language=letter.language,
                language_taken=asked.own_form and asked.language_taken, form=form, source=_said(asked.source),
                variant=_said(asked.variant), path=_said(asked.path), network=self.network(asked.host),
                proof=asked.proof,
            ),
            self._limits, now,
        )

    def _count_repeated(self, now: dt.datetime) -> None:
        """Many at once; the last of a flood with the next sign-up: a process that ends before that forgets them."""
        if uncounted := self._repeats.uncounted(now):
            self._sign_ups.count("repeated", now, uncounted)

    def check(self, address: str) -> None:
        """Raises InputError for what is no address."""
        address_of(address)

    def doubt(self, address: str) -> Doubt | None:
        """Why an address may be misspelt; None where nothing says so, nobody answers in time, or nobody is to ask.

        It tells of the domain alone, never of who is known. Raises InputError for what is no address.
        """
        parsed = address_of(address)
        if not self._settings.web.check_domain or self._domains.takes_mail(parsed.normalized) is not False:
            return None
        local, _, domain = address.strip().rpartition("@")
        near = nearly(parsed.normalized.rpartition("@")[2])
        return Doubt(domain=domain, instead=f"{local}@{near}" if near else None)

    def turn_away(self, why: Turned, now: dt.datetime) -> None:
        """Count what is not taken."""
        self._sign_ups.count(why, now)

    def find(self, name: str, now: dt.datetime) -> SignUp | None:
        """The entry whose link that is."""
        return self._sign_ups.find(name, now)

    def confirm(self, name: str, host: str | None, now: dt.datetime) -> Confirmed:
        """The reader pressed the button."""
        done = self._sign_ups.confirm(
            name, self.network(host), now, newsletter_language=self._settings.newsletter.language,
            welcome=self._settings.web.welcome,
        )
        log.info("a sign-up's link: %s", done.ended)
        return done

    def network(self, host: str | None) -> str:
        """The keyed hash of the network of an address."""
        return self._sign_ups.network_hash(network_of(host))

    def _form(self, phrases: Phrases) -> str:
        """The version of our form in a language; its words are kept, so that a consent of years ago can be read."""
        version = form_version(phrases)
        if version not in self._kept:  # once a process: two threads may both do it, to the same end
            self._sign_ups.keep_words(version, form_words(phrases))
            self._kept.add(version)
        return version

    def _alarm(self, refused: str, now: dt.datetime) -> None:
        with self._lock:
            before = self._alarms.get(refused)
            if before is not None and (now - before).total_seconds() < _ALARM_S:
                return
            self._alarms[refused] = now
        what = {
            "repeated": "one address is asked for again and again",
            "network": "a network signs up more addresses in an hour than web.signup_per_network",
            "backlog": f"more letters wait than {BACKLOG_HOURS} hours of web.signup_per_hour can send",
        }[refused]
        log.warning("sign-ups are refused: %s. `milepost letters` counts them.", what)


def tend(database: Database, now: dt.datetime) -> Tended:
    """Remind who did not confirm in a day, forget what is a month old."""
    return SignUps(database).tend(now)


def counts(database: Database, since: dt.datetime) -> Mapping[str, int]:
    """What was taken and refused since."""
    return SignUps(database).counts(since)


def consents(database: Database, subscriber_id: int) -> Sequence[Consent]:
    """What proves that a subscriber asked."""
    return SignUps(database).consents(subscriber_id)
