"""Tells which of the milestones that appeared are known ones under another address; purely.

    redirects old → new ──────────────────────────────┐
    candidates (gone, doubtful, present) × appeared ──┴▶ matches: sure ones are renames, the others are asked about
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from rapidfuzz import fuzz

from milepost.fields import FIELD, of_type
from milepost.records import Milestone
from milepost.same import fold, pieces

# Measured on a real site: its own edits score 0.765 and more, its different milestones 0.645 and less.
SURE = 0.765
UNLIKE = 0.645

_LISTS = tuple(name for name in of_type("names", "slugs") if FIELD[name].likeness)  # by their Jaccard index
_TEXTS = tuple(name for name in of_type("line", "prose") if FIELD[name].likeness)  # by their words in any order
_YEAR = FIELD["date"].likeness  # the same or not
ENOUGH = 0.5  # the weight of what both records tell: less than this much proves nothing
MAX_PAIRS = 2_000_000  # beyond that a look is held for its size anyway

Standing = Literal["gone", "doubtful", "present"]
_SUREST: tuple[Standing, ...] = get_args(Standing)
Proof = Literal["redirect", "score"]


class Candidate(NamedTuple):
    """A known milestone that may have taken another address, and what its old one says.

    "gone": the page is gone and no listing names it. "doubtful": one of the two, or listings could not all be read.
    "present": it is there and listed, as while a deploy is half done.
    """

    record: Milestone
    standing: Standing


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """Two keys that seem to name one milestone."""

    old: str
    new: str
    proof: Proof
    score: float  # 0..1
    sure: bool  # False: an operator is asked


def score(old: Milestone, new: Milestone) -> float:
    """How alike two records are, 0..1; what is unknown in one, or empty in both, is left out."""
    return _alike(_Traits.of(old), _Traits.of(new))[0]


def match(
    candidates: Mapping[str, Candidate], appeared: Mapping[str, Milestone], *,
    moved: Mapping[str, str] | None = None,
) -> tuple[Match, ...]:
    """Pair what appeared with what is known (both by key), the surest first, each new key at most once.

    `moved`: key → key that its old address redirects to. A redirect is proof when it is the only one to its target;
    a score of SURE is, for a candidate that is gone. Between UNLIKE and SURE (or SURE and more, for one that is not
    gone) the match is not sure. A candidate that is present counts from SURE on.
    """
    redirects = list(_redirects(candidates, appeared, moved or {}))
    left = {key: candidate for key, candidate in candidates.items() if key not in {found.old for found in redirects}}
    fresh = {key: record for key, record in appeared.items() if key not in {found.new for found in redirects}}
    return (*redirects, *_by_score(left, fresh))


def _redirects(
    candidates: Mapping[str, Candidate], appeared: Mapping[str, Milestone], moved: Mapping[str, str]
) -> Iterator[Match]:
    """Redirects to what appeared; of several to one target the most alike is it, the others only went there."""
    towards: dict[str, list[str]] = {}
    for old, new in moved.items():
        if old in candidates and new in appeared:
            towards.setdefault(new, []).append(old)
    for new, olds in towards.items():
        scored = sorted((-score(candidates[old].record, appeared[new]), old) for old in olds)
        likeness, old = -scored[0][0], scored[0][1]
        if len(olds) == 1 or likeness >= SURE:
            yield Match(old=old, new=new, proof="redirect", score=likeness, sure=True)
        elif likeness > UNLIKE:
            yield Match(old=old, new=new, proof="redirect", score=likeness, sure=False)


def _by_score(candidates: Mapping[str, Candidate], appeared: Mapping[str, Milestone]) -> list[Match]:
    found: list[Match] = []
    taken_old: set[str] = set()
    taken_new: set[str] = set()
    for likeness, old, new in sorted(_alike_pairs(candidates, appeared), key=lambda pair: (-pair[0], pair[1], pair[2])):
        standing = candidates[old].standing
        sure = likeness >= SURE and standing == "gone"
        if new in taken_new or old in taken_old or (standing == "present" and likeness < SURE):
            continue
        taken_new.add(new)
        if sure:
            taken_old.add(old)  # one that is only asked about may be asked about again
        found.append(Match(old=old, new=new, proof="score", score=likeness, sure=sure))
    return found


def _alike_pairs(
    candidates: Mapping[str, Candidate], appeared: Mapping[str, Milestone]
) -> Iterator[tuple[float, str, str]]:
    """Every pair above UNLIKE that has enough to go by: the identical ones at once, the rest one by one."""
    olds = {key: _Traits.of(candidate.record) for key, candidate in candidates.items()}
    news = {key: _Traits.of(record) for key, record in appeared.items()}
    by_content: dict[_Traits, str] = {}
    for key in sorted(olds, key=lambda key: _SUREST.index(candidates[key].standing)):
        by_content.setdefault(olds[key], key)
    identical = {key: by_content[traits] for key, traits in news.items() if traits in by_content}
    for new, old in identical.items():
        yield from _pair(old, olds[old], new, news[new])
    settled = {old for old in identical.values() if candidates[old].standing == "gone"}
    budget = MAX_PAIRS
    for new, traits in news.items():
        if new in identical:
            continue
        budget -= len(olds)
        if budget < 0:
            return
        for old, told in olds.items():
            if old not in settled:
                yield from _pair(old, told, new, traits)


def _pair(old: str, told: "_Traits", new: str, traits: "_Traits") -> Iterable[tuple[float, str, str]]:
    likeness, weight = _alike(told, traits, floor=UNLIKE)
    return ((likeness, old, new),) if likeness > UNLIKE and weight >= ENOUGH else ()


class _Traits(NamedTuple):
    """A record as it is compared: words sorted, lists as sets; None for what is unknown."""

    texts: tuple[str | None, ...]  # in the order of _TEXTS
    lists: tuple[frozenset[str] | None, ...]  # in the order of _LISTS
    year: int | None

    @classmethod
    def of(cls, record: Milestone) -> "_Traits":
        def sorted_words(name: str) -> str | None:
            return None if name in record.unknown else " ".join(sorted(fold(getattr(record, name)).split()))

        def members(name: str) -> frozenset[str] | None:
            return None if name in record.unknown else pieces(getattr(record, name))

        year = record.date.year if record.date and "date" not in record.unknown else None
        return cls(tuple(map(sorted_words, _TEXTS)), tuple(map(members, _LISTS)), year)


def _alike(old: _Traits, new: _Traits, *, floor: float = 0.0) -> tuple[float, float]:
    """(likeness 0..1, weight of what both tell); below `floor` the likeness may be anything below it.

    The cheap parts come first and the long texts last, so that most pairs are dismissed before they are compared.
    """
    parts: list[tuple[float, float]] = []
    if old.year is not None and new.year is not None:
        parts.append((_YEAR, float(old.year == new.year)))
    for name, mine, theirs in zip(_LISTS, old.lists, new.lists, strict=True):
        if mine is not None and theirs is not None and (mine or theirs):
            parts.append((FIELD[name].likeness, len(mine & theirs) / len(mine | theirs)))
    texts = [
        (FIELD[name].likeness, mine, theirs) for name, mine, theirs in zip(_TEXTS, old.texts, new.texts, strict=True)
        if mine is not None and theirs is not None and (mine or theirs)
    ]
    whole = sum(weight for weight, _ in parts) + sum(weight for weight, _, _ in texts)
    if not whole:
        return 0.0, 0.0
    reachable = sum(weight * part for weight, part in parts) + sum(weight for weight, _, _ in texts)
    for weight, said, says in texts:
        if reachable / whole < floor:
            return reachable / whole, whole
        reachable -= weight * (1.0 - fuzz.ratio(said, says) / 100.0)
    return reachable / whole, whole
