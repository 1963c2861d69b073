"""The drift guard: how a source's records are filled and witnessed now, against its own history; purely.

    records ─▶ profile ─┐
    history, its values ┴▶ drift: why the source should be held, or what changed in its pages alone
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from extractors.clean import clean, is_void
from milepost.dates import PartialDate
from milepost.fields import FIELD, FIELDS, of_type
from milepost.records import Milestone, Witness

REQUIRED = tuple(name for name in FIELDS if FIELD[name].required)
SORTING = frozenset(of_type("slug", "slugs", "level"))
_TEXTS = of_type("prose")
_EXAMPLES, _EXAMPLE_CAP = 3, 80  # of a dispute, and characters of each
# Different values of a field that are counted at once. With more, each is counted one less, and those that came once
# are forgotten (Misra and Gries, Finding repeated elements, 1982): the most frequent one is short by a ten-thousandth.
_VALUES = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldProfile:
    """One field over a source's records; all numbers are shares of the records, 0..1."""

    filled: float  # have a value
    unknown: float  # could not be told
    kept_from: Mapping[str, float]  # witness → its value was kept
    told_by: Mapping[str, float]  # witness → it spoke of the field at all
    disputed: float  # witnesses differ
    one: float = 0.0  # have the most frequent value


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """All records of a source at one look."""

    pages: int  # read or failed
    failed: float  # share of pages that could not be read
    void: float  # share of records with a text that says "undefined"
    fields: Mapping[str, FieldProfile]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How far a source may move from its history before an operator has to look; shares of its pages."""

    min_pages: int = 3  # fewer say nothing about a source
    flipped: float = 0.20  # a field's value now comes from another witness
    emptied: float = 0.20  # a field is filled less often, or can't be read
    missing: float = 0.05  # a required field is told to be empty, or pages can't be read …
    fewest: int = 3  # … and so many pages at least
    same: float = 0.50  # records share one value of a field, or have another than they had
    disputed: float = 0.20  # witnesses differ on a field


class Profiler:
    """Measures a source's records as they pass: none is kept, so that there may be any number of them."""

    def __init__(self) -> None:
        self._count = self._void = 0
        self._fields = {name: _Field() for name in FIELDS}

    def add(self, record: Milestone) -> None:
        """One record more."""
        self._count += 1
        self._void += any(is_void(getattr(record, name)) for name in _TEXTS)
        for name, field in self._fields.items():
            field.add(record, name)

    def profile(self, *, failed: int = 0) -> Profile:
        """What they are like; `failed` pages could not be read."""
        return Profile(
            pages=self._count + failed,
            failed=failed / max(self._count + failed, 1),
            void=self._void / max(self._count, 1),
            fields={name: field.profile(max(self._count, 1)) for name, field in self._fields.items()},
        )

    def disputes(self, limits: Limits = Limits()) -> tuple[str, ...]:
        """A sentence for each field that witnesses dispute on too many records to be an accident, with examples."""
        if self._count < limits.min_pages:
            return ()
        return tuple(
            f"the witnesses of {_words(name)} differ on {field.disputed} of {self._count} milestones "
            f"({'; '.join(field.examples)})"
            for name, field in self._fields.items() if field.disputed > limits.disputed * self._count
        )


class _Field:
    """Counts of one field."""

    __slots__ = ("disputed", "examples", "filled", "kept", "told", "unknown", "values")

    def __init__(self) -> None:
        self.filled = self.unknown = self.disputed = 0
        self.examples: list[str] = []
        self.kept: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        self.values: Counter[int] = Counter()  # by hash: a text is not kept

    def add(self, record: Milestone, name: str) -> None:
        witnesses, value = record.evidence.get(name, ()), getattr(record, name)
        self.unknown += name in record.unknown
        if value:
            self.filled += 1
            if name != "related":
                self.values[hash(value.value if isinstance(value, PartialDate) else value)] += 1
                if len(self.values) > _VALUES:
                    self.values = Counter({one: count - 1 for one, count in self.values.items() if count > 1})
        if witnesses:
            self.kept[witnesses[0].witness] += 1
            self.told.update({witness.witness for witness in witnesses})
            if (said := _dispute(record, witnesses)) is not None:
                self.disputed += 1
                if len(self.examples) < _EXAMPLES:
                    self.examples.append(said)

    def profile(self, count: int) -> FieldProfile:
        return FieldProfile(
            filled=self.filled / count, unknown=self.unknown / count, disputed=self.disputed / count,
            one=max(self.values.values(), default=0) / count,
            kept_from={witness: number / count for witness, number in sorted(self.kept.items())},
            told_by={witness: number / count for witness, number in sorted(self.told.items())},
        )


def _measured(records: Iterable[Milestone]) -> Profiler:
    profiler = Profiler()
    for record in records:
        profiler.add(record)
    return profiler


def profile(records: Iterable[Milestone], *, failed: int = 0) -> Profile:
    """Measure a source's records; `failed` pages could not be read."""
    return _measured(records).profile(failed=failed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """How a source moved from its history."""

    reason: str | None = None  # why it should be held, in one sentence
    notes: tuple[str, ...] = ()  # what changed in its pages and not in its values
    lost: tuple[str, ...] = ()  # fields that can't be read any more; their values stay as they were known


class Kept(NamedTuple):
    """Of the known values of a field whose pages were read again, how many are told otherwise, or not at all, now."""

    changed: int
    read: int
    untold: int = 0  # could not be read: they stay
    revised: int = 0  # of those that changed: taken, and not contested


def drift(
    history: Profile, now: Profile, limits: Limits = Limits(), *, kept: Mapping[str, Kept] = MappingProxyType({})
) -> Drift:
    """Whether the source should be held, and what an operator may want to know. Too few pages say nothing.

    `kept`: field → what became of its values; a field that is not in it lost none. Witnesses may come and go: as long
    as the values are what they were, the layout changed and nothing else.
    """
    if min(history.pages, now.pages) < limits.min_pages:
        return Drift()
    lost = tuple(
        f"{_words(name)} can't be read any more on {field.untold} of {field.read} pages; what was known of it stays"
        for name, field in kept.items() if field.read >= limits.min_pages and field.untold > limits.emptied * field.read
    )
    reason = _junk(history, now, limits) or _emptied(history, now, limits) or _revised(history, limits, kept)
    if reason is not None:
        return Drift(reason=reason, lost=lost)
    notes: list[str] = []
    for name, sentence in _moved(history, now, limits):
        field = kept.get(name, Kept(0, 0))
        changed, read = field.changed, field.read
        if name in kept and not read:
            continue  # who tells that there is nothing is no concern
        if changed > limits.flipped * read:
            return Drift(reason=f"{sentence}, and {changed} of {read} values are told otherwise", lost=lost)
        same = f"; {read - changed} of {read} values are the same" if read else ""
        notes.append(f"the layout changed: {sentence}{same}")
    return Drift(notes=tuple(notes), lost=lost)


def _junk(history: Profile, now: Profile, limits: Limits) -> str | None:
    """Pages that can't be read, or that no milestone stands on any more."""
    if _many(now.failed - history.failed, now, limits):
        return f"{now.failed:.0%} of the pages can't be read as milestones, {history.failed:.0%} before"
    for name in REQUIRED:
        missing, before = 1 - now.fields[name].filled, 1 - history.fields[name].filled
        # What is told to be empty is lost; what can't be read stays, and is too much when it is a layout's doing.
        if missing - before > limits.emptied or _many(missing - before - _untold(name, history, now), now, limits):
            return f"{_words(name)} is missing on {missing:.0%} of the pages, {before:.0%} before"
    if now.void > history.void:
        return f"{now.void:.0%} of the records hold a text like “undefined”"
    for name, field in now.fields.items():
        old = history.fields[name]
        # What sorts milestones is shared by many of them; that it is there at last is no junk.
        counts = name not in SORTING or old.filled > limits.same
        if counts and field.one > limits.same and field.one - old.one > limits.flipped:
            return f"{field.one:.0%} of the records have one and the same {_words(name)}, {old.one:.0%} before"
    return None


def _many(share: float, now: Profile, limits: Limits) -> bool:
    return share > limits.missing and round(share * now.pages) >= limits.fewest


def _untold(name: str, history: Profile, now: Profile) -> float:
    """The share of the records whose value was known and can't be read any more."""
    return max(now.fields[name].unknown - history.fields[name].unknown, 0.0)


def _emptied(history: Profile, now: Profile, limits: Limits) -> str | None:
    for name, field in now.fields.items():
        before = history.fields[name].filled
        if before - field.filled - _untold(name, history, now) > limits.emptied:
            return f"{_words(name)} is filled on {field.filled:.0%} of the pages, on {before:.0%} before"
    return None


def _revised(history: Profile, limits: Limits, kept: Mapping[str, Kept]) -> str | None:
    """Most of what is known of a field is told otherwise at once: an editor corrects some, a broken build all."""
    for name, field in kept.items():
        known = round(history.fields[name].filled * history.pages)
        if field.revised >= limits.fewest and field.revised > limits.same * known:
            return f"{_words(name)} is told otherwise on {field.revised} of {known} milestones at once"
    return None


def _moved(history: Profile, now: Profile, limits: Limits) -> Iterator[tuple[str, str]]:
    """(field, sentence) of each field that comes from elsewhere, lost a witness, or is disputed as it was not."""
    for name, field in now.fields.items():
        before = history.fields[name]
        flipped = sum(abs(field.kept_from.get(one, 0.0) - before.kept_from.get(one, 0.0))
                      for one in field.kept_from.keys() | before.kept_from.keys()) / 2
        lost = {witness: share - field.told_by.get(witness, 0.0) for witness, share in before.told_by.items()
                if witness != "card"}  # cards come with listings, not with every look
        gone = max(lost, key=lambda witness: lost[witness], default="")
        if flipped > limits.flipped and before.kept_from:  # else nobody told it before: a gain
            yield name, (f"{_words(name)} comes from {_main(field.kept_from)} now, from {_main(before.kept_from)} "
                         f"before, on {flipped:.0%} of the pages")
        elif gone and lost[gone] > limits.flipped:
            yield name, f"{gone} no longer tells {_words(name)} on {lost[gone]:.0%} of the pages"
        elif field.disputed - before.disputed > limits.disputed:
            yield name, f"the witnesses of {_words(name)} differ on {field.disputed:.0%} of the pages"


def unfit(now: Profile, limits: Limits = Limits()) -> str | None:
    """Why a source's first records are junk and no baseline, in one sentence, or None."""
    if now.pages < limits.min_pages:
        return None
    if now.fields["title"].one > limits.same:
        return f"{now.fields['title'].one:.0%} of the records have one and the same title"
    if now.void > limits.missing:
        return f"{now.void:.0%} of the records hold a text like “undefined”"
    return None


def disputes(records: Iterable[Milestone], limits: Limits = Limits()) -> tuple[str, ...]:
    """See `Profiler.disputes`."""
    return _measured(records).disputes(limits)


def dispute(name: str, records: Iterable[Milestone]) -> tuple[int, tuple[str, ...]]:
    """(on how many records witnesses dispute a field, the first three: who says what)."""
    disputed = [said for record in records if (said := _dispute(record, record.evidence.get(name, ()))) is not None]
    return len(disputed), tuple(disputed[:_EXAMPLES])


def _dispute(record: Milestone, witnesses: Iterable[Witness]) -> str | None:
    witness = next((one for one in witnesses if one.says is not None), None)
    if witness is None:
        return None
    return f"{record.key}: {witness.witness} ({witness.where}) says “{clean(witness.says, _EXAMPLE_CAP)}”"


def _main(shares: Mapping[str, float]) -> str:
    return max(shares, key=lambda witness: shares[witness], default="nowhere")


def _words(name: str) -> str:
    return name.replace("_", " ")


def profile_to_json(value: Profile) -> dict[str, Any]:
    """The form in which a held look keeps its profile."""
    return asdict(value)


def profile_from_json(data: Mapping[str, Any]) -> Profile:
    """The inverse of `profile_to_json`; a field of a later release has an empty one. Raises KeyError, TypeError."""
    nothing = FieldProfile(filled=0.0, unknown=0.0, kept_from={}, told_by={}, disputed=0.0)
    fields = dict.fromkeys(FIELDS, nothing) | {name: FieldProfile(**field) for name, field in data["fields"].items()}
    return Profile(**{**data, "fields": fields})


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """What of a profile is kept of each look, for whoever watches a source: shares of its records, 0..1."""

    filled: Mapping[str, float]  # field → have a value
    told: Mapping[str, float]  # witness → spoke of a field at all, of the fields it ever speaks of
    disputed: Mapping[str, float]  # field → witnesses differ; without those where none do
    unread: int  # what looked like a milestone and could not be read


def rates_to_json(value: Profile, *, unread: int) -> dict[str, Any]:
    """The form in which a look keeps its rates. Pure."""
    told: dict[str, list[float]] = {}
    for field in value.fields.values():
        for witness, share in field.told_by.items():
            told.setdefault(witness, []).append(share)
    return asdict(Rates(
        filled={name: round(field.filled, 3) for name, field in value.fields.items()},
        told={witness: round(sum(shares) / len(shares), 3) for witness, shares in sorted(told.items())},
        disputed={name: round(field.disputed, 3) for name, field in value.fields.items() if field.disputed},
        unread=unread,
    ))


def rates_from_json(data: Mapping[str, Any]) -> Rates:
    """The inverse of `rates_to_json`; raises KeyError."""
    return Rates(filled=data["filled"], told=data["told"], disputed=data["disputed"], unread=data["unread"])
