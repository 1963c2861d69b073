"""Decides which issues are entries of the archive: each piece of news once, whatever number of cadences told it.

    issues, what each tells ─▶ Listing: entries, the latest first; for each issue, the others that tell of the same
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from milepost.records import Issue, Told


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The issues that are shown, as a reader of the archive meets them."""

    entries: tuple[Issue, ...]  # those that told something first, the latest first
    repeats: Mapping[int, tuple[Issue, ...]]  # issue → the others that tell some of the same
    canonical: Mapping[int, int]  # an issue that is no entry → the entry that tells just the same, if one does
    of_cadence: Mapping[int, tuple[int | None, int | None]]  # issue → the one before and after it in its cadence


def listing(issues: Sequence[Issue], told: Mapping[int, Told]) -> Listing:
    """Walk through the issues as they were sealed: one that tells nothing new is no entry of its own.

    What was sealed first stays the entry for good, so a feed never shows the same again under another name. An issue of
    nothing that is known (`told` has none of it) is an entry.
    """
    order = sorted(issues, key=lambda issue: (issue.frozen_at or issue.created_at, issue.number))
    entries: list[Issue] = []
    first: dict[Told, int] = {}
    canonical: dict[int, int] = {}
    holders: dict[tuple[str, int], list[Issue]] = {}
    for issue in order:
        tells = told.get(issue.number, frozenset())
        if not tells or any(part not in holders for part in tells):
            entries.append(issue)
            first.setdefault(tells, issue.number)
        elif tells in first:
            canonical[issue.number] = first[tells]
        for part in tells:
            holders.setdefault(part, []).append(issue)
    return Listing(
        entries=tuple(sorted(entries, key=lambda issue: -issue.number)), canonical=canonical,
        repeats={issue.number: _others(issue, told.get(issue.number, frozenset()), holders) for issue in issues},
        of_cadence=_neighbours(issues),
    )


def _others(issue: Issue, tells: Told, holders: Mapping[tuple[str, int], Sequence[Issue]]) -> tuple[Issue, ...]:
    found = {other.number: other for part in tells for other in holders[part] if other.number != issue.number}
    return tuple(found[number] for number in sorted(found))


def _neighbours(issues: Sequence[Issue]) -> dict[int, tuple[int | None, int | None]]:
    found: dict[int, tuple[int | None, int | None]] = {}
    for cadence in {issue.cadence for issue in issues}:
        numbers = sorted(issue.number for issue in issues if issue.cadence == cadence)
        for before, number, after in zip([None, *numbers], numbers, [*numbers[1:], None], strict=False):
            found[number] = (before, after)
    return found
