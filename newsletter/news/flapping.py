"""A value that returns is not taken at once, nor one that comes as a witness of the known one falls silent.

    known, read, what the record said before, who fell silent, what is open ─▶ damp ─▶ the record to keep, what is open
                                                                                      now, what is new

A/B tests and two servers of different builds alternate: such a page would be corrected at each look. A broken build
takes a witness and changes what is left of the page. What the page tells is counted from look to look; what it has told
for STAYS looks in a row is true, be it the value on record or the other.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from milepost.codec import field_to_json
from milepost.fields import CONTENT_FIELDS
from milepost.records import FieldClass, Flap, Milestone, Witness
from newsletter.news.contested import places, quoted
from newsletter.news.rules import judge

STAYS = 3  # looks in a row that must tell a value which was given up before, or lost a witness against it
_NONE: Mapping[str, FieldClass] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Flapping:
    """A field that was seen to alternate, or to lose a witness as it changed, told once: when it begins."""

    url: str
    field: str
    kept: Any
    told: Any
    silent: tuple[Witness, ...] = ()  # who told what is kept, and tells nothing now

    def __str__(self) -> str:
        name = self.field.replace("_", " ")
        if self.silent:
            return (
                f"{self.url}: {name} stays {quoted(self.kept)}, as {places(self.silent)} fell silent when the page "
                f"began to say {quoted(self.told)}; that is taken when it has said so for {STAYS} looks in a row"
            )
        return (
            f"{self.url}: {name} alternates between {quoted(self.kept)} and {quoted(self.told)}; the first stays on "
            f"record until the page has told another for {STAYS} looks in a row"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Damped:
    """A record without the values that alternate."""

    record: Milestone
    open: tuple[Flap, ...]  # all of this milestone's that are not settled
    begun: tuple[Flapping, ...]  # those of them that no look knew before


def damp(
    known: Milestone, read: Milestone, *, earlier: Sequence[Milestone], open_: Mapping[str, Flap],
    silent: Collection[str] = (), lost: Mapping[str, tuple[Witness, ...]] = MappingProxyType({}),
    classes: Mapping[str, FieldClass] = _NONE,
) -> Damped:
    """Keep what is known where `read`, already merged, tells again what the record said `earlier` and gave up.

    `open_`: field → what alternates since earlier looks; such a field waits whatever it is told. `silent`: fields of
    which this look says nothing (unknown, contested): they are counted neither way. `lost`: field → who fell silent as
    it changed (`fallen_silent`); what takes nothing back is followed all the same. A typographic difference is followed
    as ever: nobody is mailed about it.
    """
    still: list[Flap] = []
    begun: list[Flapping] = []
    for name in CONTENT_FIELDS:
        flap = open_.get(name)
        if name in silent or name in read.unknown:
            still += [flap] if flap else []
            continue
        if classes.get(name) == "ignore":
            continue
        kind = judge(name, known, read, classes)
        told = field_to_json(read, name)
        if flap is not None:
            flap = Flap(field=name, value=told, looks=flap.looks + 1 if flap.value == told else 1)
            still += [flap] if flap.looks < STAYS else []
        elif kind in (None, "cosmetic") or name in known.unknown:
            continue
        elif (kind == "corrected" and name in lost) or _said_before(name, read, earlier):
            still.append(Flap(field=name, value=told, looks=1))
            begun.append(Flapping(
                url=read.url, field=name, kept=getattr(known, name), told=getattr(read, name),
                silent=lost.get(name, ()) if kind == "corrected" else (),
            ))
    kept = {flap.field for flap in still} - set(silent)
    return Damped(record=kept_back(known, read, kept), open=tuple(still), begun=tuple(begun))


def kept_back(known: Milestone, read: Milestone, fields: Collection[str]) -> Milestone:
    """`read` with these fields, their evidence too, as they are known."""
    back = [name for name in fields if name not in known.unknown]
    if not back:
        return read
    evidence = {name: told for name, told in read.evidence.items() if name not in back}
    evidence |= {name: known.evidence[name] for name in back if name in known.evidence}
    values = {name: getattr(known, name) for name in back}
    return replace(read, **values, evidence=evidence, unknown=read.unknown - set(back))


def _said_before(name: str, read: Milestone, earlier: Sequence[Milestone]) -> bool:
    return any(name not in one.unknown and judge(name, one, read, _NONE) in (None, "cosmetic") for one in earlier)
