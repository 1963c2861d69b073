"""What the API takes and answers, as pydantic models: the OpenAPI document is made of these, and so is every answer."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from milepost.fields import FIELDS
from milepost.records import Cadence, ChangeKind, DeliveryState, IssueState, SubscriberState

MOST = 200  # rows of a part
LARGEST = 2**31 - 1  # number that a row's key may have
_LINE = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_LINE)]
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$"),
    Field(description="Your reason; it is kept.", examples=["checked the site: it redesigned its pages"]),
]
EmailAddress = Annotated[
    str, StringConstraints(min_length=3, max_length=254, pattern=_LINE),
    Field(examples=["reader@readers.example"], json_schema_extra={"format": "email"}),
]
ContentHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Row = TypeVar("Row", bound=BaseModel)


class Sent(BaseModel):
    """Something that a caller sends: an unknown member is a mistake, and is said."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """Something that we answer."""

    model_config = ConfigDict(extra="forbid")


class Part(Answer, Generic[Row]):
    """A part of a list."""

    items: list[Row]
    next: str | None = Field(description="The cursor of the next part; null: this was the last")


# --- paths and queries ------------------------------------------------------------------------------------------------


class ByNumber(Sent):
    number: int = Field(ge=1, le=LARGEST)


class ByField(ByNumber):
    field: str = Field(pattern=f"^({'|'.join(FIELDS)})$", examples=["title"])


class Paged(Sent):
    cursor: str | None = Field(default=None, min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$",
                               description="`next` of the answer before")
    limit: int = Field(default=50, ge=1, le=MOST)


class MilestonesQuery(Paged):
    source: str | None = Field(default=None, min_length=1, max_length=40, pattern=_LINE)
    key: str | None = Field(default=None, min_length=1, max_length=500, pattern=_LINE)
    state: Literal["present", "withdrawn"] | None = None


class SearchQuery(Sent):
    q: str = Field(min_length=1, max_length=200, pattern=_LINE,
                   description="Words that all have to be there; the last may be the beginning of one")
    limit: int = Field(default=50, ge=1, le=MOST)


class ChangesQuery(Paged):
    source: str | None = Field(default=None, min_length=1, max_length=40, pattern=_LINE)
    kind: ChangeKind | None = None
    announced: Literal["true"] | None = Field(default=None, description="Without what a baseline or a backfill found")


class LooksQuery(Paged):
    source: str | None = Field(default=None, min_length=1, max_length=40, pattern=_LINE)
    waiting: Literal["true"] | None = Field(default=None, description="Only those that are held and not decided")


class IssuesQuery(Paged):
    cadence: Cadence | None = None
    state: IssueState | None = None


class DeliveriesQuery(Paged):
    state: DeliveryState | None = None


class ExclusionsQuery(Paged):
    reason: str | None = Field(default=None, min_length=1, max_length=40, pattern=_LINE)


class ReadersQuery(Paged):
    state: SubscriberState | None = None
    cadence: Cadence | None = None


class LettersQuery(Paged):
    state: Literal["queued", "sending", "sent", "failed", "dropped"] | None = None
    kind: Literal["confirm", "remind", "welcome", "move", "moved", "goodbye"] | None = None


# --- what is on record ------------------------------------------------------------------------------------------------


class WitnessRead(Answer):
    """Who told a field, and where in the page."""

    witness: str
    where: str
    url: str | None = Field(default=None, description="The page, when it is not the milestone's own")
    says: str | None = Field(default=None, description="What it said, when that is not the value kept")


class MilestoneRead(Answer):
    """A milestone as it is known now."""

    id: int
    source: str
    key: str
    title: str
    url: str
    date: str | None = Field(description="As exact as the site has it: 2012, 2012-09, 2012-09-30")
    category: str | None
    state: Literal["present", "withdrawn"]
    version: int
    first_seen_at: AwareDatetime


class MilestoneWhole(MilestoneRead):
    """The same with its whole record."""

    record: dict[str, Any] = Field(description="As `milestone show --json` has it")


class MilestonesFound(Answer):
    """What was found, the best first."""

    items: list[MilestoneRead]


class FieldRead(Answer):
    """One field of a change."""

    field: str
    kind: ChangeKind
    old: Any = None
    new: Any = None
    witnesses: list[WitnessRead] = Field(description="Who told the new value, and who told it otherwise")


class ChangeRead(Answer):
    """What happened to a milestone between two looks."""

    id: int
    milestone: int
    source: str
    key: str
    title: str
    url: str
    kind: ChangeKind
    fields: list[FieldRead]
    look: int | None
    at: AwareDatetime
    announced: bool = Field(description="false: a baseline or a backfill found it, it is in no issue ever")
    held: bool = Field(description="Its look waits for a decision")


class VersionRead(Answer):
    """One version of a milestone."""

    number: int
    at: AwareDatetime
    found_by: str
    extractor: str
    kind: ChangeKind | None = Field(description="null: a reading that changed no content")
    fields: list[str] = Field(description="What that changed")
    record: dict[str, Any]


class Versions(Answer):
    """Every version, oldest first."""

    items: list[VersionRead]


class SnapshotRead(Answer):
    """The bytes of a page."""

    url: str
    fetched_at: AwareDatetime
    sha256: str
    bytes: int


class ExplanationRead(Answer):
    """Where a value comes from, down to the bytes."""

    source: str
    key: str
    field: str
    value: Any = None
    version: int
    at: AwareDatetime
    extractor: str | None
    imported: bool
    news: str
    witnesses: list[WitnessRead]
    snapshot: SnapshotRead | None


class LookRead(Answer):
    """One look at one source."""

    id: int
    source: str
    started_at: AwareDatetime
    finished_at: AwareDatetime | None
    state: Literal["running", "complete", "incomplete", "failed"]
    baseline: bool
    held: str | None = Field(description="Why its changes wait, or waited, for a decision")
    guard: str | None
    waiting: bool
    released_at: AwareDatetime | None
    released_why: str | None
    refused_at: AwareDatetime | None = Field(description="It was a fault: the record is as before; released later: not")
    refused_why: str | None
    as_refused: int | None = Field(description="The look that was refused and found the same: nothing new was taken")
    requests: int
    fetched: int
    not_modified: int
    failed: int
    milestones: int
    failures: list[str]
    notes: list[str]
    degraded: list[str]


class SourceRead(Answer):
    """One source that is watched."""

    key: str
    base_url: str
    last_look: LookRead | None
    running_since: AwareDatetime | None
    baseline: bool = Field(description="Whether there is one")
    degraded: list[str]


class Sources(Answer):
    items: list[SourceRead]


class RenameRead(Answer):
    """A milestone that may be a known one under another key."""

    id: int
    source: str
    old_key: str
    new_key: str
    score: float | None
    look: int | None
    at: AwareDatetime
    decision: Literal["pending", "rename", "new"]
    why: str | None


class Waiting(Answer):
    """One thing that goes on only after a person has decided."""

    kind: str
    about: str
    why: str
    since: AwareDatetime | None
    command: str


class Holds(Answer):
    """All that waits; the looks among them are at /looks?waiting=true."""

    items: list[Waiting] = Field(description="The first 200")
    count: int
    renames: list[RenameRead] = Field(description="The first 200")


# --- issues -----------------------------------------------------------------------------------------------------------


class IssueRead(Answer):
    """One numbered newsletter."""

    number: int
    sequence: int | None
    cadence: Cadence
    period: str
    state: IssueState
    subject: str
    content_hash: str = Field(description="What an approval names")
    created_at: AwareDatetime
    approved_at: AwareDatetime | None
    frozen_at: AwareDatetime | None
    send_after: AwareDatetime | None
    handed_over_at: AwareDatetime | None
    pause_reason: str | None
    deliveries: int | None
    exclusions: int | None


class ItemRead(Answer):
    """One line of an issue."""

    role: Literal["news", "correction"]
    milestone: int
    source: str
    key: str
    title: str
    url: str


class IssueWhole(IssueRead):
    """The same with what it tells."""

    items: list[ItemRead]
    throttle: float | None = Field(description="Mails a second, as an operator set it; null: as mail.per_second has it")


class VariantRead(Answer):
    """One rendering, as it would be sent, or was."""

    name: str
    subject: str
    html: str
    text: str


class Variants(Answer):
    items: list[VariantRead]


class LedgerRead(Answer):
    """The ledger's equation: candidates = the sum of the terms."""

    issue: int
    candidates: int
    deliveries: int
    states: dict[str, int]
    exclusions: dict[str, int]
    terms: dict[str, int]
    balanced: bool


class DeliveryRead(Answer):
    """What became of one mail."""

    reader: int
    address: str
    state: DeliveryState
    attempts: int
    code: int | None
    enhanced: str | None
    text: str | None
    next_attempt_at: AwareDatetime | None
    updated_at: AwareDatetime


class ExclusionRead(Answer):
    """Who did not get it, and why."""

    reader: int
    address: str
    reason: str


# --- readers ----------------------------------------------------------------------------------------------------------


class ReaderRead(Answer):
    """A subscriber."""

    id: int
    address: str
    state: SubscriberState
    cadence: Cadence
    topics: list[str]
    language: str | None
    created_at: AwareDatetime
    confirmed_at: AwareDatetime | None
    unsubscribed_at: AwareDatetime | None
    paused_until: AwareDatetime | None


class MomentRead(Answer):
    """One thing that happened to a reader."""

    at: AwareDatetime
    what: str
    state: str
    who: str
    said: str


class ReaderWhole(ReaderRead):
    """The same with all that is known."""

    suppressed: str | None
    story: list[MomentRead]


class SuppressionRead(Answer):
    """An address that is never mailed."""

    id: int
    address: str | None = Field(description="null after an erase")
    reason: str
    since: AwareDatetime


class LetterRead(Answer):
    """A mail that is no issue."""

    id: int
    kind: str
    address: str
    state: str
    attempts: int
    queued_at: AwareDatetime
    next_attempt_at: AwareDatetime
    sent_at: AwareDatetime | None
    why: str
    came_back: str


# --- acts -------------------------------------------------------------------------------------------------------------


class Because(Sent):
    why: Reason


class Release(Because):
    once: bool = Field(default=False, description="The same holds a look again, after the next one")
    refused: bool = Field(default=False, description="It was refused: take that back")


class SettleRename(Because):
    same: bool = Field(description="true: the same milestone renamed, no news. false: a new one, which is")


class Approve(Because):
    content_hash: ContentHash = Field(description="The content that was looked at; another one is not approved")


class Throttle(Because):
    per_second: float | None = Field(gt=0, le=100_000, description="Mails a second; null: as mail.per_second has it")


class Resolve(Because):
    address: EmailAddress
    outcome: Literal["sent", "failed", "pending"]


class ReaderWanted(Because):
    address: EmailAddress
    cadence: Cadence = "instant"
    topics: list[Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=_LINE)]] = Field(
        default=[], max_length=200, description="Categories and tags; none: everything"
    )


class FindReaders(ReadersQuery):
    text: str = Field(min_length=1, max_length=254, pattern=_LINE,
                      description="A part of the address; in the body, since addresses of pages are kept in logs")


class AddressBecause(Because):
    address: EmailAddress


class Done(Answer):
    """What an act came to. Doing what is done already changes nothing, and is no error."""

    changed: bool
    says: str


class StatusRead(Answer):
    """How everything stands, as `status --json` has it."""

    at: AwareDatetime
    conditions: list[dict[str, Any]]
    figures: dict[str, Any] | None
    channels: list[dict[str, Any]]
    old_secrets: list[dict[str, Any]]


class Me(Answer):
    """The token that was shown."""

    name: str
    scopes: list[str]
    expires_at: AwareDatetime | None
