"""The drift guard: how a source's records are filled and witnessed now, against its own history; purely.

    records ─▶ profile ─┐
    history ────────────┴▶ drift: a sentence on why the source should be held, or None
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from extractors.clean import is_void
from milepost.fields import FIELD, FIELDS, of_type
from milepost.records import Milestone

REQUIRED = tuple(name for name in FIELDS if FIELD[name].required)
_TEXTS = of_type("prose")


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldProfile:
    """One field over a source's records; all numbers are shares of the records, 0..1."""

    filled: float  # have a value
    unknown: float  # could not be told
    kept_from: Mapping[str, float]  # witness → its value was kept
    told_by: Mapping[str, float]  # witness → it spoke of the field at all
    disputed: float  # witnesses differ


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """All records of a source at one look."""

    pages: int  # read or failed
    failed: float  # share of pages that could not be read
    one_title: float  # share of the most frequent title
    one_date: float  # share of the most frequent date
    void: float  # share of records with a text that says "undefined"
    fields: Mapping[str, FieldProfile]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How far a source may move from its history before an operator has to look; shares of its pages."""

    min_pages: int = 3  # fewer say nothing about a source
    flipped: float = 0.20  # a field's value now comes from another witness
    emptied: float = 0.20  # a field is filled less often
    missing: float = 0.05  # a required field is not there, or pages can't be read
    same: float = 0.50  # pages share one title, or one date
    disputed: float = 0.20  # witnesses differ on a field


def profile(records: Sequence[Milestone], *, failed: int = 0) -> Profile:
    """Measure a source's records; `failed` pages could not be read."""
    count = len(records)
    titles = Counter(record.title for record in records)
    dates = Counter(record.date.value for record in records if record.date)
    void = sum(any(is_void(getattr(record, name)) for name in _TEXTS) for record in records)
    return Profile(
        pages=count + failed,
        failed=failed / max(count + failed, 1),
        one_title=max(titles.values(), default=0) / max(count, 1),
        one_date=max(dates.values(), default=0) / max(count, 1),
        void=void / max(count, 1),
        fields={name: _field(name, records) for name in FIELDS},
    )


def _field(name: str, records: Sequence[Milestone]) -> FieldProfile:
    kept: Counter[str] = Counter()
    told: Counter[str] = Counter()
    filled = unknown = disputed = 0
    for record in records:
        witnesses = record.evidence.get(name, ())
        filled += bool(getattr(record, name))
        unknown += name in record.unknown
        disputed += any(witness.says is not None for witness in witnesses)
        if witnesses:
            kept[witnesses[0].witness] += 1
        told.update({witness.witness for witness in witnesses})
    count = max(len(records), 1)
    return FieldProfile(
        filled=filled / count, unknown=unknown / count, disputed=disputed / count,
        kept_from={witness: number / count for witness, number in sorted(kept.items())},
        told_by={witness: number / count for witness, number in sorted(told.items())},
    )


def drift(history: Profile, now: Profile, limits: Limits = Limits()) -> str | None:
    """Why the source should be held, in one sentence, or None. Too few pages on either side say nothing."""
    if min(history.pages, now.pages) < limits.min_pages:
        return None
    if now.failed - history.failed > limits.missing:
        return f"{now.failed:.0%} of the pages can't be read as milestones, {history.failed:.0%} before"
    for name in REQUIRED:
        missing, before = 1 - now.fields[name].filled, 1 - history.fields[name].filled
        if missing - before > limits.missing:
            return f"{_words(name)} is missing on {missing:.0%} of the pages, {before:.0%} before"
    if now.void > history.void:
        return f"{now.void:.0%} of the records hold a text like “undefined”"
    for share, before, what in ((now.one_title, history.one_title, "title"), (now.one_date, history.one_date, "date")):
        if share > limits.same and share - before > limits.flipped:
            return f"{share:.0%} of the records have one and the same {what}, {before:.0%} before"
    return _moved(history, now, limits) or dispute(now, limits, history)


def unfit(now: Profile, limits: Limits = Limits()) -> str | None:
    """Why a source's first records should not become its baseline, in one sentence, or None."""
    if now.pages < limits.min_pages:
        return None
    if now.one_title > limits.same:
        return f"{now.one_title:.0%} of the records have one and the same title"
    if now.void > limits.missing:
        return f"{now.void:.0%} of the records hold a text like “undefined”"
    return dispute(now, limits)


def dispute(now: Profile, limits: Limits = Limits(), history: Profile | None = None) -> str | None:
    """Why witnesses that differ too often should hold the source, or None."""
    for name, field in now.fields.items():
        before = history.fields[name].disputed if history else 0.0
        if now.pages >= limits.min_pages and field.disputed - before > limits.disputed:
            return f"the witnesses of {_words(name)} differ on {field.disputed:.0%} of the pages"
    return None


def _moved(history: Profile, now: Profile, limits: Limits) -> str | None:
    """A field that comes from elsewhere, lost a witness, or is empty where it was full."""
    for name, field in now.fields.items():
        before = history.fields[name]
        flipped = sum(abs(field.kept_from.get(one, 0.0) - before.kept_from.get(one, 0.0))
                      for one in field.kept_from.keys() | before.kept_from.keys()) / 2
        if flipped > limits.flipped and before.kept_from:  # else nobody told it before: a gain
            return (f"{_words(name)} comes from {_main(field.kept_from)} now, from {_main(before.kept_from)} before, "
                    f"on {flipped:.0%} of the pages")
        for witness, share in before.told_by.items():
            lost = share - field.told_by.get(witness, 0.0)
            if witness != "card" and lost > limits.flipped:  # cards come with listings, not with every look
                return f"{witness} no longer tells {_words(name)} on {lost:.0%} of the pages"
        if before.filled - field.filled > limits.emptied:
            return f"{_words(name)} is filled on {field.filled:.0%} of the pages, on {before.filled:.0%} before"
    return None


def _main(shares: Mapping[str, float]) -> str:
    return max(shares, key=lambda witness: shares[witness], default="nowhere")


def _words(name: str) -> str:
    return name.replace("_", " ")
