"""The records that walk through the house, each frozen and named by its role (docs/glossary.md).

    Snapshot → Card, Milestone (with Evidence) → Change → Issue (items, variants) → Delivery
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from milepost.dates import PartialDate
from milepost.pickling import pickled_and_shared, pickled_by_values

ChangeKind = Literal["added", "corrected", "enriched", "cosmetic", "renamed", "withdrawn", "restored"]
Cadence = Literal["instant", "daily", "weekly", "monthly"]
# What a source may say that any difference in a field is; "ignore": none.
FieldClass = Literal["ignore", "cosmetic", "enriched", "corrected"]
# What a look came to, the gravest first: a first look that is no baseline, one that waits for an operator, one that did
# not see all, a source whose witnesses dispute a field, and one that is as it should be.
LookVerdict = Literal["no-baseline", "held", "incomplete", "degraded", "complete"]
PageKind = Literal["milestone", "listing", "other"]
# Who may: a viewer looks, an editor decides about looks, milestones and issues, an admin about operators as well.
Role = Literal["viewer", "writer", "editor", "admin"]
UnreadKind = Literal["heading", "entry", "card", "link"]
SubscriberState = Literal["pending", "active", "unsubscribed"]
IssueState = Literal["draft", "frozen", "sending", "paused", "complete", "needs_review", "cancelled"]
DeliveryState = Literal[
    "pending", "claimed", "sending", "sent", "deferred", "failed", "unknown", "suppressed", "cancelled"
]

SourceConditionKind = Literal["source-down", "source-silent", "source-incomplete", "setting-silent", "no-baseline"]
ConditionKind = Literal[
    "look-held", "rename-question", "waits-for-approval", "issue-paused", "unknown-hand-overs", SourceConditionKind,
    "overdue", "letters-wait", "bounce-rate", "complaint-rate",
    "restored", "migration", "database", "disk-space", "notice-channel", "webhook", "old-secret",
    "leaked-key", "clock-ahead", "runs-wait",
]

CHANGE_KINDS: tuple[ChangeKind, ...] = (
    "added", "corrected", "enriched", "cosmetic", "renamed", "withdrawn", "restored",
)
CONDITION_KINDS: tuple[ConditionKind, ...] = get_args(ConditionKind)
SOURCE_CONDITION_KINDS: tuple[SourceConditionKind, ...] = get_args(SourceConditionKind)
ROLES: tuple[Role, ...] = ("viewer", "writer", "editor", "admin")  # each may what those before it may
CADENCES: tuple[Cadence, ...] = ("instant", "daily", "weekly", "monthly")
SUBSCRIBER_STATES: tuple[SubscriberState, ...] = ("pending", "active", "unsubscribed")
DELIVERY_STATES: tuple[DeliveryState, ...] = (
    "pending", "claimed", "sending", "sent", "deferred", "failed", "unknown", "suppressed", "cancelled",
)

def check_aware(moment: dt.datetime) -> dt.datetime:
    """Return `moment`; raises ValueError when it has no time zone."""
    if moment.utcoffset() is None:
        raise ValueError(f"naive datetime: {moment!r}; give it a time zone")
    return moment


def page_address(url: str) -> str:
    """The page that a milestone's address leads to: a site may keep many on one, each under a fragment of its own."""
    return url.partition("#")[0]


def body_hash(body: bytes) -> str:
    """SHA-256 of a page's decoded body, in hex: the snapshot's address in the archive."""
    return hashlib.sha256(body).hexdigest()


# --- reading the web ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A page as fetched. `url` is its identity on the source's base URL, wherever the bytes came from."""

    source: str  # the source's key
    url: str  # identity: base_url + path
    final_url: str  # where the bytes really came from, after mirrors and redirects
    status: int  # 200, 404, 410 …
    headers: Mapping[str, str]  # lower-case names; only those we keep
    body: bytes  # decoded (gzip undone), not transcoded
    fetched_at: dt.datetime
    rendered_by: str | None = None  # the browser that ran its scripts, and what it asked for; None: the body as it came

    def __post_init__(self) -> None:
        check_aware(self.fetched_at)

    @property
    def body_hash(self) -> str:
        return body_hash(self.body)


@dataclass(frozen=True, kw_only=True, slots=True)
class Validators:
    """What a server gave us to ask "has it changed?" (RFC 9110 §8.8); kept only from a 200."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page's text as an extractor gets it; nothing in it needs the network."""

    url: str
    text: str


# --- milestones -----------------------------------------------------------------------------------------------------


@pickled_and_shared
@dataclass(frozen=True, kw_only=True, slots=True)
class Witness:
    """One independent way a field was read."""

    witness: str  # "json-ld" | "headings" | "card" | "text" | …
    where: str  # the place in the page: "h1", "Article.headline", "h2 What Happened"
    url: str | None = None  # the page, when it is not the milestone's own
    says: str | None = None  # what it said, when that is not the value kept: a recorded disagreement
    vague: bool = field(default=False, compare=False)  # it agrees, as it would with others (a year); not kept on record


class LabelPair(NamedTuple):
    """A label of a source, and the slug that one of its links gives it."""

    field: str  # "category"
    label: str  # as it is looked up: "research-breakthroughs"
    slug: str | None  # "research"; None where the page shows the label and no link says what it stands for


class SiteLabel(NamedTuple):
    """What a site calls something, spelt as it spells it, where that says more than the slug does."""

    slug: str  # "gpt"
    words: str  # "GPT"


@pickled_by_values
@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """A picture that the page shows for a milestone."""

    url: str | None = None  # None when only its description is known (plain text)
    alt: str = ""


class Card(NamedTuple):
    """A short form of a milestone on another page: in a listing, or under Related Milestones.

    Every page holds several: a frozen dataclass of so many fields takes six times as long to make.
    """

    key: str | None  # None in plain text, where cards carry no link
    title: str
    category: str | None = None  # slug
    date: PartialDate | None = None
    summary: str = ""
    people: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    impact: int | None = None
    tags: tuple[str, ...] = ()
    image: Image | None = None
    raw_names: str | None = None  # the names as run together in plain text, before they were split
    confidence: float | None = None  # 0..1, how sure that split is; None where the markup told them apart
    silent: tuple[str, ...] = ()  # settings of the listing's entries that led to nothing in this one


@pickled_by_values
@dataclass(frozen=True, kw_only=True, slots=True)
class Unread:
    """What looks like a milestone on a page, or on a listing, and could not be read."""

    kind: UnreadKind
    says: str  # its words or its address, in one printable line
    why: str  # what is missing, in a few words
    key: str | None = None  # where its address has one: its own page may tell it all the same
    newest: bool = False  # it stands on its page where the newest one does
    beyond: str | None = None  # of those that were read on the page, the newest one's date: "2012-09"

    @property
    def mark(self) -> str:
        """What makes it the same at a later look."""
        return f"{self.kind}:{self.key or self.says}"

    def __str__(self) -> str:
        return f"“{self.says}” ({self.why})"


def each_once(unread: Iterable[Unread]) -> tuple[Unread, ...]:
    """In their order; a card that stands on several listings is one."""
    return tuple({one.mark: one for one in unread}.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class StoppedPage:
    """A page whose reading had to be ended, by what it held and by whom it was read."""

    body_hash: str
    by: str  # extractor and release: a newer one may try once
    why: str
    at: str  # ISO 8601, with its zone


@pickled_by_values
@dataclass(frozen=True, kw_only=True, slots=True)
class Milestone:
    """The normalized record read from a snapshot.

    Its fields are those of milepost.fields. One named in `unknown` could not be told from the page and never overwrites
    what is known; one that is empty (None, "", ()) and not in `unknown` is known to be empty.
    """

    source: str
    key: str
    url: str
    title: str
    date: PartialDate | None = None
    category: str | None = None  # slug
    era: str | None = None  # slug
    impact: int | None = None  # 1..5
    what_happened: str = ""
    why_it_mattered: str = ""
    people: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()  # slugs
    image: Image | None = None
    location: str = ""  # where it happened: "Gull Rock, Exampletown"
    related: tuple[Card, ...] = ()
    unknown: frozenset[str] = frozenset()
    evidence: Mapping[str, tuple[Witness, ...]] = field(default_factory=dict)
    extractor: str = ""  # "aitimeline/1": name and version of what read it
    # A page that tells of it and is not its own: it may be told of there no more, and not be gone (a feed).
    found_on: str = field(default="", compare=False)
    labels: tuple[LabelPair, ...] = field(default=(), compare=False, repr=False)  # met on its page; kept by source
    spelt: tuple[SiteLabel, ...] = field(default=(), compare=False, repr=False)  # the same, of how its site writes
    silent: tuple[str, ...] = field(default=(), compare=False, repr=False)  # settings that led to nothing on its page

    @property
    def page(self) -> str:
        """The address of the page that it was read from."""
        return self.found_on or page_address(self.url)

    @property
    def shares_its_page(self) -> bool:
        """Whether others are read from the same page."""
        return bool(self.found_on) or "#" in self.url


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownNames:
    """People and organizations that the store already knows: they settle names run together in plain text."""

    people: frozenset[str] = frozenset()
    organizations: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownTopics:
    """Slugs that a subscriber can ask for, the most common first."""

    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)  # slug → what it is called, where that says more


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredMilestone:
    """A milestone as the store holds it, with its version and history."""

    id: int
    version: int  # 1, 2, 3 …
    version_id: int
    milestone: Milestone
    fingerprint: str
    first_seen_at: dt.datetime
    snapshot_id: int | None


# --- changes --------------------------------------------------------------------------------------------------------


class FieldChange(NamedTuple):
    """One field's part in a change; `old` and `new` are the JSON forms (milepost.codec)."""

    field: str
    kind: ChangeKind
    old: object
    new: object


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What happened to a milestone between two looks."""

    source: str
    key: str
    kind: ChangeKind
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedChange:
    """What an operator said is wrong of what a look read."""

    look: int
    kind: ChangeKind
    fields: tuple[FieldChange, ...]
    record: "Milestone"  # as it was read


@dataclass(frozen=True, kw_only=True, slots=True)
class Flap:
    """A field whose page alternates: what it told last, and for how many looks in a row."""

    field: str
    value: object  # in its JSON form (milepost.codec)
    looks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredChange:
    """A change as the store holds it. `announce` is False for a baseline: it can never reach an issue."""

    id: int
    look_id: int | None
    milestone_id: int
    change: Change
    old_version_id: int | None
    new_version_id: int
    detected_at: dt.datetime
    announce: bool
    held: bool  # its look waits for an operator


# --- the newsletter -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class IssueItem:
    """One line of an issue: a milestone at an exact version."""

    change_id: int
    milestone_id: int
    version_id: int
    role: Literal["news", "correction"]
    milestone: Milestone
    first_seen_at: dt.datetime
    fields: tuple[FieldChange, ...] = ()  # of a correction: what was told, and what is right
    corrected_at: dt.datetime | None = None  # when that was found


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """The rendering of an issue for one set of milestones; holds a placeholder where the recipient's link goes."""

    name: str  # "all", or the hash of the topic choice
    subject: str
    html: str  # ASCII
    text: str
    placeholder: str  # opaque ASCII, stands for the recipient's unsubscribe URL in html and text
    change_ids: tuple[int, ...] = ()  # of the items that it was rendered from, in order


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """What an editor wrote over or above what was composed."""

    subject: str = ""  # "" leaves the composed one
    intro: str = ""  # Markdown, above the first milestone
    preheader: str = ""  # what inboxes show beside the subject; "" leaves the composed one


UNEDITED = Edit()


@dataclass(frozen=True, kw_only=True, slots=True)
class Unpictured:
    """A milestone whose picture an issue does without."""

    key: str
    title: str
    url: str  # where the picture is at the site
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Freezing:
    """How far an issue is frozen whose readers are being placed, a slice after another."""

    began_at: dt.datetime  # with its first slice
    moved_at: dt.datetime  # with its latest
    through: int  # subscribers up to this id are placed, by what they chose at their slice's moment …
    up_to: int  # … and none beyond this one is: they signed up after it began
    placed: int
    candidates: int  # how many there are to place


@dataclass(frozen=True, kw_only=True, slots=True)
class Issue:
    """One numbered newsletter."""

    number: int
    cadence: Cadence
    period: str  # unique within its cadence: "2026-W47", "2026-11-23", "c17" (instant: its first change)
    state: IssueState
    subject: str
    content_hash: str  # of items, settings, templates and rendered parts; what an approval names
    created_at: dt.datetime
    items: tuple[IssueItem, ...] = ()
    owed: tuple[IssueItem, ...] = ()  # told by earlier issues of the cadence: for readers whom another choice owes them
    approved_at: dt.datetime | None = None
    frozen_at: dt.datetime | None = None
    handed_over_at: dt.datetime | None = None  # when its first mail went out: the day of its masthead and its Date
    candidates: int | None = None  # known once frozen
    deliveries: int | None = None
    exclusions: int | None = None
    pause_reason: str | None = None  # of a draft: why it waits for an approval, though the settings ask for none
    edit: Edit = UNEDITED
    send_after: dt.datetime | None = None  # until then an approval can be undone; nothing is sent before
    sequence: int | None = None  # its place in its cadence, as readers are told; None: they are told the number
    known: Mapping[str, object] = field(default_factory=dict)  # of the sites, kept with it (newsletter.issue.known)
    unpictured: tuple[Unpictured, ...] = ()  # pictures that could not be had when it was rendered
    freezing: Freezing | None = None  # of a draft: only some of its readers are placed yet


Told = frozenset[tuple[str, int]]  # what an issue tells: ("news", milestone's id), ("correction", change's id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Amended:
    """What became of a milestone after an issue told of it."""

    fields: tuple[FieldChange, ...] = ()  # of every correction since, oldest first
    corrected_at: dt.datetime | None = None  # when the last of them was found
    withdrawn_at: dt.datetime | None = None  # when it was found gone, and it is gone still
    issue: int | None = None  # the one that told the correction


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscriber:
    """Somebody who asked. `address` is as they wrote it, `normalized` is what makes it one person."""

    id: int
    address: str
    normalized: str
    state: SubscriberState
    cadence: Cadence
    topics: tuple[str, ...] = ()  # category and tag slugs; () = everything
    created_at: dt.datetime
    chosen_at: dt.datetime | None = None  # when cadence or topics last changed, or they came back; None: never
    confirmed_at: dt.datetime | None = None
    unsubscribed_at: dt.datetime | None = None
    language: str | None = None  # of their mails and pages; None: the newsletter's
    paused_until: dt.datetime | None = None  # nothing is frozen for them before; None: they never paused, or resumed
    pause_skips: bool = False  # what they miss meanwhile is not told afterwards

    def paused(self, now: dt.datetime) -> bool:
        """Whether a pause of theirs runs at `now`."""
        return self.paused_until is not None and now < self.paused_until


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What one reader was told already and is owed still, as far as one issue is concerned."""

    told: frozenset[int] = frozenset()  # milestones that a mail told them as news, or is about to
    owed: frozenset[int] = frozenset()  # changes that an earlier choice of theirs still owes them, and that fit today's
    passed: frozenset[int] = frozenset()  # … and that don't: this issue ends them
    wrong: frozenset[int] = frozenset()  # corrections of what they were told


NOBODY = Standing()  # how those stand who never changed anything


@dataclass(frozen=True, kw_only=True, slots=True)
class ReaderLink:
    """Whom a reader's own link names: by the handle, or in those of earlier releases by the id."""

    handle: str | None = None
    subscriber_id: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where freezing puts one candidate: into a variant, or among the exclusions with the reason."""

    variant: str | None = None
    exclusion: str | None = None  # "unsubscribed" | "pending" | "suppressed" | "other_cadence" | "joined_later" |
    #                               "no_match" | "nothing_new" | "owed" | "paused until 2026-12-24"
    rendering: Variant | None = None  # the variant, where the draft held none of that name
    told: frozenset[int] = frozenset()  # changes among those owed that the variant tells them
    passed: frozenset[int] = frozenset()  # … that their choice of today wants no more
    owes: frozenset[int] = frozenset()  # changes that they are owed from now on, since no variant could be made, or
    #                                     since they paused and want to be told afterwards
    waived: frozenset[int] = frozenset()  # changes that a pause of theirs skips: they count as told


@dataclass(frozen=True, kw_only=True, slots=True)
class OwedRow:
    """One change that one reader is owed, and why."""

    id: int
    subscriber: int
    address: str
    cadence: Cadence  # of the reader, today: its next issue pays
    change_id: int
    source: str
    key: str  # of the milestone
    title: str
    since: dt.datetime
    why: str  # "cadence" | "return" | "left" | "unrendered" | "taken_back" | "paused"


# --- the ledger -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A delivery that this dispatcher holds a lease on (T1)."""

    delivery_id: int
    issue: int
    subscriber_id: int
    address: str
    variant: str
    lease: str  # token; every later step re-checks it
    attempts: int  # made before this one
    first_attempt_at: dt.datetime | None
    reader: str  # the subscriber's handle


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What an SMTP server said, or what happened instead of a reply."""

    code: int | None  # None: no reply (connection lost, time-out)
    enhanced: str | None = None  # "5.1.1" (RFC 3463)
    text: str = ""
    phase: str = ""  # connect | ehlo | tls | auth | mail | rcpt | data | dot


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """What became of one hand-over (T4 to T7), on its way into the ledger."""

    claim: Claim
    state: Literal["sent", "deferred", "failed", "refused", "unknown"]
    reply: Reply
    message_id: str | None = None  # of what was sent, with angle brackets
    queue_id: str | None = None  # the relay's own name for it
    retry_at: dt.datetime | None = None  # of a deferral
    suppress: str | None = None  # of a failure: why the address is never to be mailed again


@dataclass(frozen=True, kw_only=True, slots=True)
class Advanced:
    """What one shared commit of the ledger did, by delivery ids."""

    begun: frozenset[int]  # T3 holds: DATA may begin
    lost: frozenset[int]  # settlements whose lease token no longer held: nothing of them was written


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerCounts:
    """The equation of one issue: candidates = Σ states + Σ exclusions."""

    issue: int
    candidates: int
    deliveries: int
    exclusions: Mapping[str, int]
    states: Mapping[str, int]

    @property
    def balanced(self) -> bool:
        return (
            self.candidates == self.deliveries + sum(self.exclusions.values())
            and self.deliveries == sum(self.states.values())
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class RenameQuestion:
    """A new milestone that may be a known one under another key: it is told to nobody until that is settled."""

    id: int  # for `changes resolve`
    old: str
    new: str
    score: float | None  # how alike they are, 0..1


@dataclass(frozen=True, kw_only=True, slots=True)
class LookReport:
    """What one look at one source did; the form of `scrape --json`."""

    source: str
    requests: int
    fetched: int
    not_modified: int
    failed: int
    milestones: int
    baseline: bool
    changes: Mapping[str, int]
    held: str | None = None
    look_id: int | None = None
    failures: Sequence[str] = ()  # one sentence a page
    disallowed: int = 0  # pages that the site's robots.txt forbids: not asked for, and no fault
    not_asked: int = 0  # pages whose sitemap names the lastmod with which they were had, where that is trusted
    questions: tuple[RenameQuestion, ...] = ()  # open ones of the source, also of earlier looks
    notes: Sequence[str] = ()  # sentences on what an operator should know and need not answer
    found_by: Mapping[str, int] = field(default_factory=dict)  # "listing+sitemap" → how many milestones it named
    state: LookVerdict = "complete"
    degraded: Sequence[str] = ()  # a sentence for each field that witnesses dispute, and for each silent setting
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # selectors and the like: asked, found
    unread: int = 0  # what looks like a milestone on the source's pages and could not be read
    unread_first: Sequence[str] = ()  # the first five of those
    unread_dates: int = 0  # milestones that this look read, on whose page a date stands that could not be read
