"""What other programs' exports say about who wants mail: each word of each column, with where it is documented.

    heading, value ─▶ meaning ─▶ active | pending | never_asked | unsubscribed | blocked | bounced | complained

A column that looks like consent and stands in no row here is never passed over: see `looks_like_consent`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from store.subscribers.importing import Standing

Says = Standing | Literal["nothing"]

FILLED, EMPTY, ANY = "\0filled", "\0empty", "\0any"  # instead of a word: whatever stands in the cell

_GHOST = "https://ghost.org/help/import-members/"
_LISTMONK = "https://listmonk.app/docs/concepts/"
_SUBSTACK = "https://github.com/TryGhost/migrate/tree/main/packages/mg-substack-members-csv"
_SUBSTACK_LONG = "https://github.com/buttondown/roadmap/issues/2282"
_MAILCHIMP = "https://mailchimp.com/help/about-your-contacts/"
_BUTTONDOWN = "https://github.com/buttondown/openapi/blob/main/enums.json"
_KEILA = "https://github.com/pentacent/keila/blob/main/lib/keila/contacts/schemas/contact.ex"
_KIT = "https://developers.kit.com/api-reference/subscribers/list-subscribers"
_MAILERLITE = "https://developers.mailerlite.com/docs/subscribers.html"
_MAILTRAIN = "https://github.com/Mailtrain-org/mailtrain/issues/325"
_SALESFORCE = "https://developer.salesforce.com/docs/marketing/marketing-cloud/guide/subscriberstatus_appex"
_OWN = "docs/cli.md"
_WORDS = "the words' own meaning"

_YES = ("true", "yes", "y", "1", "t", "on")
_NO = ("false", "no", "n", "0", "f", "off")
_STATUS = ("status", "state", "subscriber status", "subscription status", "email status")
_TYPE = ("type", "subscriber type")


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """One word of one column."""

    heading: str  # folded
    word: str  # folded, or FILLED, EMPTY, ANY
    says: Says
    program: str
    source: str


def _rows() -> Iterator[Meaning]:
    def each(
        program: str, source: str, headings: tuple[str, ...], words: Mapping[str | tuple[str, ...], Says]
    ) -> Iterator[Meaning]:
        for heading in headings:
            for given, says in words.items():
                for word in (given,) if isinstance(given, str) else given:
                    yield Meaning(heading=heading, word=word, says=says, program=program, source=source)

    yes_or_no: Mapping[str | tuple[str, ...], Says] = {_YES: "active", _NO: "unsubscribed"}
    yield from each("Milepost", _OWN, _STATUS, {
        "active": "active", "pending": "pending", "unsubscribed": "unsubscribed",
    })
    yield from each("Milepost", _OWN, ("state",), {EMPTY: "nothing"})
    yield from each("Ghost", _GHOST, ("subscribed to emails",), yes_or_no)
    yield from each("Ghost", _GHOST, ("deleted at",), {FILLED: "unsubscribed", EMPTY: "nothing"})
    yield from each("listmonk", _LISTMONK, _STATUS, {
        "enabled": "active", "disabled": "unsubscribed", ("blocklisted", "blacklisted"): "blocked",
        "confirmed": "active", "unconfirmed": "pending", "unsubscribed": "unsubscribed",
    })
    yield from each("Substack", _SUBSTACK, ("email disabled",), {_YES: "unsubscribed", _NO: "active"})
    yield from each("Substack", _SUBSTACK_LONG, ("receiving emails for",), {FILLED: "active", EMPTY: "unsubscribed"})
    yield from each("Mailchimp", _MAILCHIMP, ("unsub time",), {FILLED: "unsubscribed", EMPTY: "nothing"})
    yield from each("Mailchimp", _MAILCHIMP, ("clean time",), {FILLED: "bounced", EMPTY: "nothing"})
    yield from each("Mailchimp", _MAILCHIMP, _STATUS, {
        "subscribed": "active", "cleaned": "bounced", "archived": "unsubscribed",
        ("nonsubscribed", "non subscribed", "transactional"): "never_asked",
    })
    yield from each("Buttondown", _BUTTONDOWN, (*_TYPE, *_STATUS), {
        ("regular", "premium", "trialed", "gifted", "churning", "paused", "past due"): "active",
        "unactivated": "pending", "unpaid": "never_asked", ("unsubscribed", "removed"): "unsubscribed",
        ("spammy", "blocked"): "blocked", "undeliverable": "bounced", "complained": "complained",
    })
    yield from each("Keila", _KEILA, _STATUS, {"unreachable": "bounced"})
    yield from each("Kit", _KIT, _STATUS, {"cancelled": "unsubscribed", "bounced": "bounced"})
    yield from each("MailerLite", _MAILERLITE, (*_STATUS, *_TYPE), {
        "junk": "complained", "bounced": "bounced", "unconfirmed": "pending", "active": "active",
    })
    yield from each("Mailtrain", _MAILTRAIN, _STATUS, {
        "1": "active", "2": "unsubscribed", "3": "bounced", "4": "complained",
    })
    yield from each("Salesforce", _SALESFORCE, _STATUS, {"held": "bounced", "deleted": "unsubscribed"})
    for heading, says in (
        ("unsubscribed", "unsubscribed"), ("opted out", "unsubscribed"), ("opt out", "unsubscribed"),
        ("blocked", "blocked"), ("blocklisted", "blocked"), ("blacklisted", "blocked"), ("bounced", "bounced"),
        ("complained", "complained"),
    ):
        words: Mapping[str | tuple[str, ...], Says] = {_YES: says, (*_NO, EMPTY): "nothing"}  # type: ignore[dict-item]
        yield from each("any", _WORDS, (heading,), words)
    yield from each("any", _WORDS, ("subscribed", "is subscribed"), yes_or_no)
    yield from each("any", _WORDS, ("unsubscribed at", "unsubscribe date", "unsubscription date", "bounced at"), {
        FILLED: "unsubscribed", EMPTY: "nothing",
    })
    # They look like consent and are none: who pays, when somebody joined, where a click came from.
    for program, source, headings in (
        ("Mailchimp", _MAILCHIMP, ("optin time", "optin ip", "confirm time", "confirm ip", "unsub campaign title",
                                   "unsub campaign id", "unsub reason", "unsub reason other")),
        ("Substack", _SUBSTACK, ("active subscription", "digest enabled")),
        ("Substack", _SUBSTACK_LONG, ("subscription type", "subscriptions gifted", "subscriber country",
                                      "days active last 30 days")),
        ("Keila", _KEILA, ("double opt in at",)),
    ):
        yield from each(program, source, headings, {ANY: "nothing"})


MEANINGS: tuple[Meaning, ...] = tuple(_rows())
_BY: Mapping[tuple[str, str], Meaning] = {
    (meaning.heading, meaning.word): meaning for meaning in reversed(MEANINGS)  # the first row of two stands
}
_HEADINGS = frozenset(meaning.heading for meaning in MEANINGS)

_CONSENT = re.compile(
    r"subscri|consent|opt ?(?:ed)? ?(?:in|out)\b|optin|optout|gdpr|dsgvo|permission|status|\bstate\b|\bactive\b|"
    r"enabled|disabled|block(?:ed|list)|blacklist|suppress|bounc|complain|\bspam|cleaned|\bconfirm|deleted|newsletter|"
    r"do not|unreach|marketing|einwillig|abgemeldet|abonn|angemeldet|zustimm"
)
_WHEN = re.compile(r"subscri\w+ (?:at|on|date|time|source|ip)\b")  # since when, or where from: nothing of who left


def folded(text: str) -> str:
    """A heading or word as it is looked up: lower case, everything but letters and digits one blank."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def is_known(heading: str) -> bool:
    """Whether the table has rows for that (folded) heading."""
    return heading in _HEADINGS


def is_mere_hint(heading: str) -> bool:
    """Whether a (folded) heading may as well be about something else: then a column without a known word is passed."""
    return heading == "type"


def looks_like_consent(heading: str) -> bool:
    """Whether a (folded) heading may say who wants mail."""
    return _CONSENT.search(heading) is not None and _WHEN.match(heading) is None


def meaning_of(heading: str, value: str) -> Meaning | None:
    """What a value below a (folded) heading says; None: the table doesn't know."""
    word = folded(value)
    found = _BY.get((heading, ANY)) or (_BY.get((heading, word)) if word else None)
    return found or _BY.get((heading, FILLED if value.strip() else EMPTY))


def of_a_word(value: str) -> Standing | None:
    """What a value says in a column that an operator named: any status word, yes or no."""
    word = folded(value)
    for heading in ("status", "type", "subscribed"):
        found = _BY.get((heading, word))
        if found is not None and found.says != "nothing":
            return found.says
    return None


_FILES: tuple[tuple[re.Pattern[str], Standing, str], ...] = (
    (re.compile(r"^nonsubscribed_"), "never_asked", "Mailchimp"),
    (re.compile(r"^unsubscribed_"), "unsubscribed", "Mailchimp"),
    (re.compile(r"^cleaned_"), "bounced", "Mailchimp"),
    (re.compile(r"^subscribed_"), "active", "Mailchimp"),
)
_GONE = re.compile(
    r"unsub|non-?_?subscri|cleaned|bounc|suppress|block-?_?list|blacklist|complain|opt-?_?out|abgemeldet"
)


def of_a_file(name: str, headings: frozenset[str]) -> tuple[Standing, str] | None:
    """What the name of a Mailchimp export says of all its rows, and whose it is; None for every other file."""
    if is_mailchimp(headings):
        for pattern, says, program in _FILES:
            if pattern.search(name.casefold()):
                return says, program
    return None


def is_mailchimp(headings: frozenset[str]) -> bool:
    """Whether these (folded) headings are those of an audience export: which kind, its name alone tells."""
    return {"leid", "euid"} <= headings


def name_speaks_of_leaving(name: str) -> bool:
    """Whether a file's name suggests that those in it have left."""
    return _GONE.search(name.casefold()) is not None
