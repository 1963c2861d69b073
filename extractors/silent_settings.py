"""Settings that say where something stands on a page, and lead to nothing: counted look by look; purely.

    settings, records of a look ─▶ counted ─▶ Count by setting ─┐
                                  those of the looks before ────┴▶ silent: a sentence for each that finds nothing,
                                                                   or markedly less than before
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import comb
from typing import Any, NamedTuple

from extractors.drift import REQUIRED
from milepost.printable import counted as many
from milepost.printable import printable
from milepost.records import Milestone

LOOKS = 30  # that are remembered of a source
_FEW = 3  # milestones: of what one may lack, fewer that lack it say nothing
_CHANCE = 0.001  # of an accident as unlikely as this nobody is told that it may be one
_SAID_CAP = 80  # characters of a setting in a sentence
_MANY = 500  # milestones that the odds are reckoned with at most

Counts = Mapping[str, "Count"]  # by the name of the setting


class Count(NamedTuple):
    """How often one setting was asked in one look, and found something."""

    written: str  # as the settings have it: another selector is another setting
    asked: int
    found: int


def counted(settings: Mapping[str, str], records: Iterable[Milestone]) -> dict[str, Count]:
    """Of one look, by the records that it read; {} where nothing was asked. `settings`: name → as it is written."""
    asked = 0
    silent: Counter[str] = Counter()
    for record in records:
        asked += 1
        silent.update(record.silent)
    return {name: Count(written, asked, asked - silent[name]) for name, written in settings.items()} if asked else {}


def silent(settings: Mapping[str, str], looks: Sequence[Counts]) -> tuple[str, ...]:
    """A sentence for each setting that finds nothing, or markedly less than before. `looks`: the latest first.

    What is no setting any more, or is written otherwise by now, is over. A milestone may rightly lack much: nothing is
    said of a setting before it was asked for a few in vain, nor of fewer finds that may be an accident.
    """
    told: list[str] = []
    for name, written in settings.items():
        counts = [look[name] for look in looks if name in look and look[name].written == written]
        asked, found = sum(count.asked for count in counts), sum(count.found for count in counts)
        said = f"the setting {name} = “{printable(written)[:_SAID_CAP]}”"
        if not found:
            if asked >= (1 if name in REQUIRED else _FEW):
                told.append(f"{said} finds nothing: asked for {many(asked, 'milestone')}, in vain each time")
        elif (fewer := _fewer(counts)) is not None:
            lately, before = fewer
            told.append(f"{said} finds less than before: something for {lately.found} of the last {lately.asked} "
                        f"milestones, for {before.found} of {before.asked} in the looks before")
    return tuple(told)


def _fewer(counts: Sequence[Count]) -> tuple[Count, Count] | None:
    """(the latest looks, those before them), where the latest find so much less that it is no accident."""
    asked, found = 0, 0
    for at, count in enumerate(counts, start=1):
        earlier = counts[at:]
        before = Count("", sum(one.asked for one in earlier), sum(one.found for one in earlier))
        usual = (before.found + 1) / (before.asked + 2)  # Laplace: what was never missing may be missing once
        if not before.found or count.found > usual * count.asked / 2:
            return None
        asked, found = asked + count.asked, found + count.found
        if _chance(found, asked, usual) < _CHANCE:
            return Count("", asked, found), before
    return None


def _chance(found: int, asked: int, share: float) -> float:
    """The odds of so few finds, or fewer, where each is found by that share: the binomial distribution's lower tail."""
    if asked > _MANY:
        found, asked = found * _MANY // asked, _MANY
    return sum(comb(asked, few) * share**few * (1 - share) ** (asked - few) for few in range(found + 1))


def counts_to_json(counts: Counts) -> dict[str, Any]:
    """The form in which a look keeps them."""
    return {name: count._asdict() for name, count in counts.items()}


def counts_from_json(data: Mapping[str, Any]) -> dict[str, Count]:
    """The inverse of `counts_to_json`. Raises KeyError, TypeError."""
    return {name: Count(**count) for name, count in data.items()}
