"""What a correction says: old → new for each field that a reader was told wrongly, long texts cut to what differs.

    items of one milestone ─▶ net (first old, last new) ─▶ CorrectionView
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from milepost.codec import date_from_json
from milepost.fields import CONTENT_FIELDS, FIELD
from milepost.records import Amended, ChangeKind, FieldChange, IssueItem
from newsletter.issue.bidi import reading_direction
from newsletter.issue.design import FIRST, TODAY
from newsletter.issue.known import NOTHING_KNOWN, Known
from newsletter.issue.safe import clip, link, one_line, prose_line
from newsletter.words.phrases import Phrases

_AROUND = 5  # words of a long text that are shown on either side of what differs
_LONG = 60  # characters from which old and new stand below one another
_WIDTH = 320  # characters of a long text's part
_WORDS = 1_500  # of a text that are compared one by one; what is longer than that was written anew
_REPEATED = 15  # pairs of the same word for each word: what says the same again and again takes minutes to compare
_ALIKE = 0.4  # of the words, below which a text was written anew
_QUIET: frozenset[ChangeKind] = frozenset({"cosmetic"})


_Step = tuple[bool, list[str], list[str]]  # whether both texts say it; the words of either


class Piece(NamedTuple):
    """Words of one side of a correction."""

    text: str  # with the spaces around it
    changed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldView:
    """One field: what was told, and what is right."""

    label: str
    old: str
    new: str
    long: bool  # too long to stand on one line
    was: tuple[Piece, ...]  # `old`, its changed words marked
    now: tuple[Piece, ...]
    language: str  # of the site's words, "" where nobody said


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
    language: str  # of the site's words, "" where nobody said
    direction: str  # "ltr" | "rtl"


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


def correction_view(
    items: Sequence[IssueItem], *, phrases: Phrases, timezone: str, known: Known = NOTHING_KNOWN, design: int = TODAY
) -> CorrectionView:
    """The view of one milestone's corrections (at least one), oldest first."""
    newest = items[-1]
    title = one_line(newest.milestone.title) or (phrases.untitled if design > FIRST else "")
    language = known.languages.get(newest.milestone.source, "")
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
        fields=tuple(_field(change, phrases, known, language, design) for change in net(items)),
        line=line,
        url=link(newest.milestone.url),
        link_text=phrases.read_on,
        link_label=phrases.read_on_about.format(text=phrases.read_on, title=clip(title, 88)),
        language=language,
        direction=reading_direction(title, language),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class AmendmentView:
    """What stands beside a milestone that was corrected or withdrawn after an issue told of it."""

    line: str  # "Corrected on 13 April 2026"; or what says that it was withdrawn
    fields: tuple[FieldView, ...]
    url: str | None  # of the issue that told it
    link_text: str


def amendment_view(
    amended: Amended, *, phrases: Phrases, timezone: str, issue_url: Callable[[int], str],
    known: Known = NOTHING_KNOWN, language: str = "",
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
        fields=tuple(_field(change, phrases, known, language, TODAY) for change in fields),
        url=issue_url(amended.issue) if fields and amended.issue is not None else None,
        link_text=phrases.correction_told,
    )


def _field(change: FieldChange, phrases: Phrases, known: Known, language: str, design: int) -> FieldView:
    old, new = (in_words(change.field, value, phrases, known) for value in (change.old, change.new))
    kind = FIELD[change.field].type
    if kind == "image" and old == new:
        new = phrases.another_picture
    if kind == "date" and old == new:
        new = phrases.date_settled.format(date=new)
    long = len(old) + len(new) > _LONG
    between = ", " if kind in ("names", "slugs") else " "
    was, now = (_whole(old), _whole(new))
    if old and new:
        was, now = _marked(old, new, between, around=_AROUND if long and between == " " else None)
    if design > FIRST:
        was, now = (_clipped(side) or _whole(phrases.nothing) for side in (was, now))
        old, new = ("".join(piece.text for piece in side) for side in (was, now))
    else:
        if long and old and new:
            old, new = _differing(old, new)
        old, new = (clip(text, _WIDTH) or phrases.nothing for text in (old, new))
    return FieldView(label=phrases.field(change.field), old=old, new=new, long=len(old) + len(new) > _LONG, was=was,
                     now=now, language=language)


def in_words(name: str, value: Any, phrases: Phrases, known: Known = NOTHING_KNOWN) -> str:
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
            return slug_in_words(value, phrases, known)
        case "slugs":
            return ", ".join(slug_in_words(slug, phrases, known) for slug in value)
        case "names":
            return ", ".join(map(one_line, value))
    return prose_line(str(value))


def slug_in_words(slug: str, phrases: Phrases, known: Known) -> str:
    """A slug as the operator calls it, else as the site's own links do, else by its own letters."""
    return known.labels.get(slug) or one_line(known.site_labels.get(slug, "")) or phrases.label(one_line(slug))


def _whole(text: str) -> tuple[Piece, ...]:
    return (Piece(text, changed=True),) if text else ()


@functools.lru_cache(maxsize=1024)  # an issue that is too long for a mail is made several times
def _marked(old: str, new: str, between: str, *, around: int | None) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Both texts with their changed words marked; of what is the same only `around` words beside them, None: all."""
    before, after = old.split(between), new.split(between)
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    middles = before[head : len(before) - tail], after[head : len(after) - tail]
    if max(map(len, middles)) > _WORDS or _pairs(*middles) > _REPEATED * sum(map(len, middles)):
        return _whole(old), _whole(new)
    matcher = SequenceMatcher(None, *middles, autojunk=False)
    steps = [
        (what == "equal", middles[0][start:end], middles[1][other_start:other_end])
        for what, start, end, other_start, other_end in matcher.get_opcodes()
    ]
    same = head + tail + sum(len(words) for equal, words, _ in steps if equal)
    if 2 * same < _ALIKE * (len(before) + len(after)):
        return _whole(old), _whole(new)
    if between == " ":
        steps = _run_together(steps)
    shared_ends = before[:head], before[len(before) - tail :]
    steps = [(True, shared_ends[0], shared_ends[0]), *steps, (True, shared_ends[1], shared_ends[1])]
    steps = [step for step in steps if step[1] or step[2]]
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    for place, (equal, words, others) in enumerate(steps):
        if equal:
            shared = _kept(words, between, around, first=place == 0, last=place == len(steps) - 1)
            for side in sides:
                side.append(Piece(shared, changed=False))
        else:
            sides[0].append(Piece(between.join(words), changed=True))
            sides[1].append(Piece(between.join(others), changed=True))
    return _joined(sides[0], between), _joined(sides[1], between)


def _pairs(before: Sequence[str], after: Sequence[str]) -> int:
    """How often a word of one stands against the same word of the other: what a comparison costs."""
    other = Counter(after)
    return sum(times * other[word] for word, times in Counter(before).items())


def _run_together(steps: Sequence[_Step]) -> list[_Step]:
    """One word that happens to be the same between two that are not is no place where a reader could rest."""
    found: list[_Step] = []
    for place, (equal, words, others) in enumerate(steps):
        lone = equal and len(words) == 1 and 0 < place < len(steps) - 1
        if found and not found[-1][0] and (lone or not equal):
            found[-1] = (False, [*found[-1][1], *words], [*found[-1][2], *others])
        else:
            found.append((equal, words, others))
    return found


def _kept(words: Sequence[str], between: str, around: int | None, *, first: bool, last: bool) -> str:
    """Words that both texts share, as far as they stand beside a change."""
    if around is None or len(words) <= around * (1 if first or last else 2):
        return between.join(words)
    start = [] if first else words[:around]
    end = [] if last else words[-around:]
    return between.join([*start, "…", *end])


def _joined(pieces: Sequence[Piece], between: str) -> tuple[Piece, ...]:
    """Without the empty ones and with `between` in those that are the same, so that only changed words are marked."""
    found: list[Piece] = []
    for piece in (piece for piece in pieces if piece.text):
        if found and found[-1].changed == piece.changed:
            found[-1] = found[-1]._replace(text=f"{found[-1].text}{between}{piece.text}")
        elif found and piece.changed:
            found[-1] = found[-1]._replace(text=f"{found[-1].text}{between}")
            found.append(piece)
        else:
            found.append(piece._replace(text=f"{between}{piece.text}") if found else piece)
    return tuple(found)


def _clipped(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """As much of them as a long text is shown of."""
    found: list[Piece] = []
    left = _WIDTH
    for piece in pieces:
        if len(piece.text) > left:
            found.append(piece._replace(text=clip(piece.text, max(left, 1))))
            break
        found.append(piece)
        left -= len(piece.text)
    return tuple(found)


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
