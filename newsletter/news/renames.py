"""Tells which of the milestones that appeared are known ones under another address; purely.

    redirects old → new ──────────────────────────────┐
    candidates (gone, doubtful, present) × appeared ──┴▶ matches: sure ones are renames, the others are asked about

Likeness has two halves: how alike the texts are, and whether what they share is rare in this source (`rarity`). The
releases that all read "Bug fixes", and the stations that all open, are alike throughout, and that tells nothing.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal, NamedTuple, get_args

from rapidfuzz import fuzz

from milepost.fields import FIELD, of_type
from milepost.records import Milestone
from milepost.same import fold, pieces
from newsletter.news.rarity import Rarity, Shared

# Measured on a real site: its own edits score 0.765 and more, its different milestones 0.645 and less.
SURE = 0.765
UNLIKE = 0.645
# Of what is rare in the one that says less, the other says so much. Milestones of the same site share 0.29 and less, of
# a made-up one with few words 0.61 and less; a third of a text written anew leaves 0.75.
OWN_SURE = 0.70
OWN_UNLIKE = 0.62
OWN_WEIGHT = 3.0  # words that nobody else has: to share fewer, without a title of their own, proves nothing

_LISTS = tuple(name for name in of_type("names", "slugs") if FIELD[name].likeness)  # by their Jaccard index
_TEXTS = tuple(name for name in of_type("line", "prose") if FIELD[name].likeness)  # by their words in any order
_YEAR = FIELD["date"].likeness  # the same or not
ENOUGH = 0.5  # the weight of what both records tell: less than this much proves nothing
MAX_PAIRS = 2_000_000  # beyond that a look is held for its size anyway

_STAGE = r"(?:alpha|beta|canary|dev|final|milestone|nightly|post|pre|preview|rc|snapshot)"
_VERSION = re.compile(rf"(?:^|[^\w.])v?(\d+(?:\.\d+)+[0-9a-z.+_-]*(?:\s+{_STAGE}(?:[\s.]*\d+)?)?)\s*$")
_PARTS = re.compile(r"\d+|[a-z]+")

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
    moved: Mapping[str, str] | None = None, others: Iterable[Milestone] = (),
) -> tuple[Match, ...]:
    """Pair what appeared with what is known (both by key), the surest first, each new key at most once.

    `moved`: key → key that its old address redirects to. A redirect is proof when it is the only one to its target;
    a score of SURE is, for a candidate that is gone and shares what is rare (see `same`). Between UNLIKE and SURE (or
    SURE and more, for one that is not gone) the match is not sure. One that is present counts only when nothing but its
    standing speaks against it.
    `others`: the records of the source, to tell what is rare among them; they are read when something is alike.
    Where the keys are versions, another version is never the same milestone, whatever else speaks for it.
    """
    redirects = list(_redirects(candidates, appeared, moved or {}))
    left = {key: candidate for key, candidate in candidates.items() if key not in {found.old for found in redirects}}
    fresh = {key: record for key, record in appeared.items() if key not in {found.new for found in redirects}}
    pairs = list(_alike_pairs(left, fresh))
    if not pairs:
        return tuple(redirects)
    known = {key: candidate.record for key, candidate in candidates.items()}
    rarity = rarity_of([*known.values(), *appeared.values()], others)
    return (*redirects, *_by_score(left, fresh, pairs, rarity))


def rarity_of(records: Iterable[Milestone], others: Iterable[Milestone]) -> Rarity:
    """What is rare among these records and the others of their source, each key counted once."""
    counted = {record.key: record for record in records}
    return Rarity([*counted.values(), *(record for record in others if record.key not in counted)])


def same(old: Milestone, new: Milestone, likeness: float, shared: Shared) -> bool | None:
    """Whether two records under different keys are one milestone: True, False, or None: only an operator can tell.

    They are when they are alike, what they share is their own, and no two days are told: a milestone that has another
    key *and* another day is never more than a question.
    """
    if likeness <= UNLIKE or shared.share <= OWN_UNLIKE or _versions_differ(old, new):
        return False
    if likeness < SURE or shared.share < OWN_SURE or _days_differ(old, new):
        return None
    return True if shared.weight >= OWN_WEIGHT or shared.titled else None


def _days_differ(old: Milestone, new: Milestone) -> bool:
    """Whether both tell a date, and not both can be true."""
    if old.date is None or new.date is None or "date" in old.unknown | new.unknown:
        return False
    return not old.date.contains(new.date) and not new.date.contains(old.date)


def _versions_differ(old: Milestone, new: Milestone) -> bool:
    before, after = _version(old), _version(new)
    return before is not None and after is not None and before != after


def _version(record: Milestone) -> tuple[str, ...] | None:
    """The version that both title and key end with, (2, rc, 1) of "Lantern 2.0.0-rc.1"; None: they name none.

    2.0 and 2.0.0 are one version, and so are 2.0rc1 and 2.0.0-rc.1.
    """
    found = _VERSION.search(record.title.casefold())
    if found is None:
        return None
    told = _PARTS.findall(found[1])
    if _PARTS.findall(record.key.casefold())[-len(told):] != told:
        return None
    release = list(takewhile(str.isdecimal, told))
    stage = told[len(release):]
    while release[-1:] == ["0"]:
        release.pop()
    return (*release, *stage)


def _redirects(
    candidates: Mapping[str, Candidate], appeared: Mapping[str, Milestone], moved: Mapping[str, str]
) -> Iterator[Match]:
    """Redirects to what appeared; of several to one target the most alike is it, the others only went there."""
    towards: dict[str, list[str]] = {}
    for old, new in moved.items():
        if old in candidates and new in appeared and not _versions_differ(candidates[old].record, appeared[new]):
            towards.setdefault(new, []).append(old)
    for new, olds in towards.items():
        scored = sorted((-score(candidates[old].record, appeared[new]), old) for old in olds)
        likeness, old = -scored[0][0], scored[0][1]
        if len(olds) == 1 or likeness >= SURE:
            yield Match(old=old, new=new, proof="redirect", score=likeness, sure=True)
        elif likeness > UNLIKE:
            yield Match(old=old, new=new, proof="redirect", score=likeness, sure=False)


def _by_score(
    candidates: Mapping[str, Candidate], appeared: Mapping[str, Milestone], pairs: Iterable[tuple[float, str, str]],
    rarity: Rarity,
) -> list[Match]:
    found: list[Match] = []
    taken_old: set[str] = set()
    taken_new: set[str] = set()
    for likeness, old, new in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if new in taken_new or old in taken_old:
            continue
        candidate, record = candidates[old], appeared[new]
        verdict = same(candidate.record, record, likeness, rarity.shared(candidate.record, record))
        if verdict is False or (verdict is None and candidate.standing == "present"):
            continue
        sure = verdict is True and candidate.standing == "gone"
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
