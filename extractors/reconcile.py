"""From what the witnesses claim to one value per field, by a declared table, with who agreed and who said otherwise.

    claims ─▶ per field: the first witness of its row that has a value is kept
                         those who say the same stand beside it, those who don't are recorded with what they said
                         no value: empty when two witnesses say so, unknown otherwise
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from extractors.written_dates import Reading, read_date
from milepost.dates import PartialDate
from milepost.fields import FIELD, FIELDS, of_type
from milepost.records import Card, Image, Witness
from milepost.same import begins, fold, pieces, same_date, same_picture, same_place, same_text

Value = str | int | PartialDate | Image | tuple[str, ...] | tuple[Card, ...] | None


class Claim(NamedTuple):
    """What one witness says of one field. An empty value ("", (), None) claims that the field is empty."""

    field: str
    value: Value
    witness: str  # "headings" | "json-ld" | "microdata" | "card" | "text"
    where: str
    url: str | None = None  # the page, when it is not the milestone's own
    part: bool = False  # a list that may leave out entries (a card shows two people at most)
    label: str = ""  # the words that a slug was made of, where no link says that they stand for it


UNREAD = "unread"  # the field of a claim that says what stands there and could not be read


def date_claim(told: Reading, witness: str, where: str) -> tuple[Claim, ...]:
    """What a witness says of the date: the date, or, where something stands that is none, why it isn't one."""
    if told.date is not None:
        return (Claim("date", told.date, witness, where),)
    return (Claim(UNREAD, told.why, witness, where),) if told.why else ()


def unread_of(claims: Iterable[Claim]) -> tuple[Witness, ...]:
    """What the witnesses saw and could not read, each once; `claims`: theirs of UNREAD."""
    told = {str(claim.value): claim for claim in claims}
    return tuple(
        Witness(witness=claim.witness, where=claim.where, url=claim.url, says=says)
        for says, claim in list(told.items())[:_UNREAD_CAP]
    )


class Verdict(NamedTuple):
    """A whole record's fields, those that could not be told, and what stands behind each."""

    values: dict[str, Value]
    unknown: frozenset[str]
    evidence: dict[str, tuple[Witness, ...]]
    told: Mapping[str, Sequence[Claim]]  # field → the claims that were judged


PRECEDENCE: Mapping[str, tuple[str, ...]] = {name: field.witnesses for name, field in FIELD.items()}
_TEXTS = frozenset(of_type("prose"))
_UNREAD_CAP = 10
_SAID_CAP = 2_000  # characters of a differing opinion that are kept: it is compared with what is told later


def reconcile(claims: Iterable[Claim], precedence: Mapping[str, tuple[str, ...]] = PRECEDENCE) -> Verdict:
    """Judge every field of FIELDS from the claims; pure."""
    told: dict[str, list[Claim]] = {}
    for claim in claims:
        told.setdefault(claim.field, []).append(claim)
    values: dict[str, Value] = {}
    unknown: list[str] = []
    evidence: dict[str, tuple[Witness, ...]] = {}
    for field in FIELDS:
        mine = told.get(field)
        if mine is None:
            unknown.append(field)
            continue
        row = precedence[field]
        kept = _believed(mine, row)
        if kept is not None:
            if (completed := _COMPLETED.get(field)) is not None:
                kept = completed(kept, mine, row)
            values[field] = kept.value
            evidence[field] = _witnesses(field, kept, mine)
        elif not any(claim.value for claim in mine) and len({claim.witness for claim in mine}) > 1:
            evidence[field] = tuple(_agreeing(claim[2:5], vague=False) for claim in mine)
        else:
            unknown.append(field)
    return Verdict(values, frozenset(unknown), evidence, told)


def _believed(claims: Sequence[Claim], row: tuple[str, ...]) -> Claim | None:
    """The whole value of the witness that stands first in the row; None where none of them tells one."""
    believed: Claim | None = None
    rank = 2 * len(row)
    for claim in claims:  # a plain loop: this runs for every field of every page
        if claim.value and (witness := claim.witness) in row and not claim.part:
            place = row.index(witness)
            if claim.label:
                place += len(row)  # a slug is surer than a label
            if place < rank:
                believed, rank = claim, place
    return believed


def _longer(kept: Claim, claims: Sequence[Claim], row: tuple[str, ...]) -> Claim:
    """A text that is only the beginning of another witness's text was cut off: the longer one is kept."""
    for claim in claims:
        if claim.value != kept.value and claim.witness in row and not claim.part and claim.url is None:
            beginning = fold(str(kept.value)).rstrip(". ")
            longer = fold(str(claim.value))
            if beginning and longer.startswith(beginning) and len(longer) > len(beginning) + 3:
                kept = claim
    return kept


def _fuller(kept: Claim, claims: Sequence[Claim], row: tuple[str, ...]) -> Claim:
    """Of those who name the same place, the one who names it most exactly."""
    for claim in claims:
        told = pieces([claim.value]) if isinstance(claim.value, str) and claim.witness in row else frozenset()
        if pieces([str(kept.value)]) < told and not claim.part:
            kept = claim
    return kept


def _described(kept: Claim, claims: Sequence[Claim], row: tuple[str, ...]) -> Claim:  # noqa: ARG001
    """The image's address from the first witness; its description, where that has none, from the next."""
    image = kept.value
    if isinstance(image, Image) and not image.alt:
        for claim in claims:
            if isinstance(claim.value, Image) and claim.value.alt and _same("image", image, claim.value):
                return kept._replace(value=Image(url=image.url, alt=claim.value.alt))
    return kept


def _merge_dates(kept: Claim, claims: Sequence[Claim], row: tuple[str, ...]) -> Claim:  # noqa: ARG001
    """The finest date inside the first witness's; settled when somebody settled it at that precision."""
    best = kept.value
    if not isinstance(best, PartialDate) or best.circa:  # "about 1440" is no frame that a day could be put into
        return kept
    first = kept
    for claim in claims:
        date = claim.value
        if isinstance(date, PartialDate) and best.value != date.value and best.contains(date) and not date.circa:
            best, first = date if date.until or not best.until else replace(date, until=best.until), claim
    confirmed = any(
        isinstance(claim.value, PartialDate) and claim.value.value == best.value and claim.value.confirmed
        for claim in claims
    )
    if first.value == best and best.confirmed == confirmed:
        return first
    return first._replace(value=replace(best, confirmed=confirmed))


# What else is taken from the others once it is clear who is believed.
_COMPLETED: Mapping[str, Callable[[Claim, Sequence[Claim], tuple[str, ...]], Claim]] = {
    "date": _merge_dates, "image": _described, **dict.fromkeys(_TEXTS, _longer),
    **{name: _fuller for name, field in FIELD.items() if field.by_parts},
}


def _witnesses(field: str, kept: Claim, claims: Sequence[Claim]) -> tuple[Witness, ...]:
    agreeing: list[Witness] = []
    differing: list[Witness] = []
    value, first = kept.value, kept[2:5]
    for claim in claims:
        said = claim.value
        equal = said == value
        if equal or _same(field, value, said, part=claim.part):
            place = claim[2:5]  # witness, where and url, of which each asked by its name takes as long
            witness = _agreeing(place, not equal and _vaguely(claim, value))
            if place == first:
                agreeing.insert(0, witness)
            else:
                agreeing.append(witness)
        elif claim.label and not _other_label(kept, claim):
            continue  # what the label stands for nobody knows: it may well be what is kept
        elif said or claim.witness != "headings":
            # A heading that isn't there is no opinion; a JSON-LD that has nobody where the page names somebody is one.
            says = _said(value, said)
            differing.append(Witness(witness=claim.witness, where=claim.where, url=claim.url, says=says))
    return (*agreeing, *differing)


def _other_label(kept: Claim, claim: Claim) -> bool:
    """Whether two labels can't be one: neither holds the words of the other ("Research", "Research Breakthroughs")."""
    if not kept.label:
        return False
    one, other = (frozenset(str(said.value).split("-")) for said in (kept, claim))
    return not (one <= other or other <= one)


def _said(kept: Value, other: Value) -> str:
    """A differing claim as it is put on record: of the same picture, the words that differ."""
    if isinstance(kept, Image) and isinstance(other, Image) and kept.url and other.url:
        return shown(other.alt) if same_picture(kept.url, other.url) else shown(other)
    return shown(other)


@lru_cache(maxsize=1024)  # nearly every page has the same witnesses in the same places
def _agreeing(place: tuple[str, str, str | None], vague: bool) -> Witness:
    witness, where, url = place
    return Witness(witness=witness, where=where, url=url, vague=vague)


def _vaguely(claim: Claim, kept: Value) -> bool:
    """Whether a claim that agrees, and isn't equal, would agree with others too: a year, some names, a picture's words.
    """
    if isinstance(kept, PartialDate):
        return isinstance(claim.value, PartialDate) and claim.value.value != kept.value
    if isinstance(kept, Image):
        return isinstance(claim.value, Image) and claim.value.url is None and kept.url is not None
    if isinstance(kept, str) and isinstance(claim.value, str) and FIELD[claim.field].by_parts:
        return pieces([claim.value]) < pieces([kept])
    if isinstance(kept, str) and isinstance(claim.value, str) and not claim.part:
        return not same_text(claim.value, kept)  # it agrees, so it is the beginning of a text
    return claim.part


def _same(field: str, kept: Value, other: Value, *, part: bool = False) -> bool:
    if isinstance(kept, PartialDate):
        return isinstance(other, PartialDate) and same_date(other, kept)
    if isinstance(kept, Image):
        return (
            isinstance(other, Image)
            and (other.url is None or kept.url is None or same_picture(other.url, kept.url))
            and (not other.alt or not kept.alt or same_text(other.alt, kept.alt))
        )
    if isinstance(kept, tuple):
        if field == "related" or not isinstance(other, tuple):
            return kept == other
        mine, theirs = (pieces(map(str, entries)) for entries in (kept, other))
        return theirs <= mine if part else theirs == mine
    if isinstance(kept, str):
        if not isinstance(other, str):
            return False
        if same_text(kept, other) or (FIELD[field].by_parts and same_place(kept, other)):
            return True
        return (part or field in _TEXTS) and begins(other, kept)
    return kept == other


def tells(field: str, says: str, value: Value, *, rather_than: Value) -> bool:
    """Whether a witness that is on record with `says` tells `value`, and not just as well the other one.

    A coarser date, the beginning of a text and some of the names tell a value that holds them.
    """
    if same_text(says, shown(value)):
        return True
    return _holds(field, value, says) and not _holds(field, rather_than, says)


def _holds(field: str, value: Value, says: str) -> bool:
    if not value or not says:
        return not value and not says
    match value:
        case PartialDate():
            date = read_date(says).date
            return date is not None and same_date(date, value)
        case Image():
            if value.url and "://" in says:
                return same_picture(says, value.url)
            return same_text(says, value.alt)
        case tuple():
            return pieces(says.split("; ")) <= pieces(shown(value).split("; "))
    if FIELD[field].by_parts:
        return pieces([says]) <= pieces([shown(value)])
    mine, theirs = fold(shown(value)), fold(says).rstrip(". …") if field in _TEXTS else fold(says)
    return mine.startswith(theirs) if field in _TEXTS else mine == theirs


def shown(value: Value) -> str:
    """A value as one short line, for the record of a disagreement."""
    match value:
        case None:
            text = ""
        case PartialDate():
            text = value.value
        case Image():
            text = value.url or value.alt
        case tuple():
            text = "; ".join(entry.title if isinstance(entry, Card) else entry for entry in value)
        case _:
            text = str(value)
    return text if len(text) <= _SAID_CAP else f"{text[: _SAID_CAP - 1]}…"
