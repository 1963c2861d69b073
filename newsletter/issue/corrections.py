"""What a correction says: old → new for each field that a reader was told wrongly, long texts cut to what differs.

    items of one milestone ─▶ net (first old, last new) ─▶ CorrectionView
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from milepost.codec import date_from_json
from milepost.fields import CONTENT_FIELDS, FIELD
from milepost.records import Amended, ChangeKind, FieldChange, IssueItem
from newsletter.issue.safe import clip, link, one_line
from newsletter.words.phrases import Phrases

_AROUND = 5  # words of a long text that are shown on either side of what differs
_LONG = 60  # characters from which old and new stand below one another
_WIDTH = 320  # characters of a long text's part
_QUIET: frozenset[ChangeKind] = frozenset({"cosmetic"})


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldView:
    """One field: what was told, and what is right."""

    label: str
    old: str
    new: str
    long: bool  # too long to stand on one line


@dataclass(frozen=True, kw_only=True, slots=True)
class CorrectionView:
    """A milestone that was told wrongly."""

    milestone_id: int
    title: str  # as it is now
    fields: tuple[FieldView, ...]
    line: str  # "First seen 16 November 2026 · corrected 23 November 2026"
    url: str | None
    link_text: str
    link_label: str


def by_milestone(items: Sequence[IssueItem]) -> list[list[IssueItem]]:
    """The corrections among `items`, those of one milestone together, oldest first."""
    found: dict[int, list[IssueItem]] = {}
    for item in items:
        if item.role == "correction":
            found.setdefault(item.milestone_id, []).append(item)
    return [sorted(group, key=lambda item: item.change_id) for group in found.values()]


def net(items: Sequence[IssueItem]) -> tuple[FieldChange, ...]:
    """What one milestone's corrections come to, oldest first: A → B and B → C is A → C; A → B → A is nothing."""
    return net_of(change for item in items for change in item.fields)


def net_of(changes: Iterable[FieldChange]) -> tuple[FieldChange, ...]:
    """The same of the changes themselves."""
    first: dict[str, object] = {}
    last: dict[str, FieldChange] = {}
    for change in (change for change in changes if change.kind not in _QUIET):
        first.setdefault(change.field, change.old)
        last[change.field] = change
    return tuple(
        FieldChange(name, last[name].kind, first[name], last[name].new)
        for name in CONTENT_FIELDS if name in last and first[name] != last[name].new
    )


def worth_telling(items: Sequence[IssueItem]) -> list[IssueItem]:
    """`items` without the corrections that were taken back before anybody heard of them."""
    void = {group[0].milestone_id for group in by_milestone(items) if not net(group)}
    return [item for item in items if item.role == "news" or item.milestone_id not in void]


def correction_view(items: Sequence[IssueItem], *, phrases: Phrases, timezone: str) -> CorrectionView:
    """The view of one milestone's corrections (at least one), oldest first."""
    newest = items[-1]
    title = one_line(newest.milestone.title)
    zone = ZoneInfo(timezone)
    told = phrases.plain_day(newest.first_seen_at.astimezone(zone).date())
    line = phrases.first_seen.format(day=told)
    if newest.corrected_at is not None:
        line = phrases.seen_and_corrected.format(
            day=told, corrected=phrases.plain_day(newest.corrected_at.astimezone(zone).date())
        )
    return CorrectionView(
        milestone_id=newest.milestone_id,
        title=title,
        fields=tuple(_field(change, phrases) for change in net(items)),
        line=line,
        url=link(newest.milestone.url),
        link_text=phrases.read_on,
        link_label=phrases.read_on_about.format(text=phrases.read_on, title=clip(title, 88)),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class AmendmentView:
    """What stands beside a milestone that was corrected or withdrawn after an issue told of it."""

    line: str  # "Corrected on 13 April 2026"; or what says that it was withdrawn
    fields: tuple[FieldView, ...]
    url: str | None  # of the issue that told it
    link_text: str


def amendment_view(
    amended: Amended, *, phrases: Phrases, timezone: str, issue_url: Callable[[int], str]
) -> AmendmentView | None:
    """The view of what became of a milestone; None when it is again what was told."""
    fields = net_of(amended.fields)
    forms = []
    if fields and amended.corrected_at is not None:
        forms.append((phrases.corrected_on, amended.corrected_at))
    if amended.withdrawn_at is not None:
        forms.append((phrases.withdrawn_on, amended.withdrawn_at))
    if not forms:
        return None
    zone = ZoneInfo(timezone)
    return AmendmentView(
        line=" · ".join(form.format(day=phrases.plain_day(at.astimezone(zone).date())) for form, at in forms),
        fields=tuple(_field(change, phrases) for change in fields),
        url=issue_url(amended.issue) if fields and amended.issue is not None else None,
        link_text=phrases.correction_told,
    )


def _field(change: FieldChange, phrases: Phrases) -> FieldView:
    old, new = (in_words(change.field, value, phrases) for value in (change.old, change.new))
    kind = FIELD[change.field].type
    if kind == "image" and old == new:
        new = phrases.another_picture
    if kind == "date" and old == new:
        new = phrases.date_settled.format(date=new)
    if len(old) + len(new) > _LONG and old and new:
        old, new = _differing(old, new)
    old, new = (clip(text, _WIDTH) or phrases.nothing for text in (old, new))
    return FieldView(label=phrases.field(change.field), old=old, new=new, long=len(old) + len(new) > _LONG)


def in_words(name: str, value: Any, phrases: Phrases) -> str:
    """The JSON form of a field (milepost.codec) as a reader sees it, on one line; "" for none."""
    if value is None:
        return ""
    match FIELD[name].type:
        case "date":
            return phrases.date(date_from_json(value))
        case "image":
            return one_line(value["alt"] or value["url"] or "")
        case "level":
            return phrases.impact_value.format(impact=value)
        case "slug":
            return phrases.label(one_line(value))
        case "slugs":
            return ", ".join(phrases.label(one_line(slug)) for slug in value)
        case "names":
            return ", ".join(map(one_line, value))
    return one_line(str(value))


def _differing(old: str, new: str) -> tuple[str, str]:
    """The parts of two texts that differ, with some words around them."""
    before, after = old.split(" "), new.split(" ")
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    start = max(0, head - _AROUND)
    return tuple(_cut(words, start, len(words) - max(0, tail - _AROUND)) for words in (before, after))  # type: ignore[return-value]


def _cut(words: Sequence[str], start: int, end: int) -> str:
    return ("… " if start else "") + " ".join(words[start:end]) + (" …" if end < len(words) else "")


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words both begin with."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def tally(items: Sequence[IssueItem]) -> tuple[int, int]:
    """How many milestones are news, and how many are corrected."""
    return sum(item.role == "news" for item in items), len(by_milestone(items))


def texts(changes: Sequence[FieldChange]) -> Iterator[str]:
    """Every string that these changes hold."""
    for change in changes:
        for value in (change.old, change.new):
            yield from strings(value)


def strings(value: object) -> Iterator[str]:
    """Every string in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from strings(part)
