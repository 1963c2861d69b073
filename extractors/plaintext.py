"""The text witness: a milestone's page as plain text, where only headings and blank lines are left of its build.

    picture's description ─ title ─ headed sections ─ Related: [description] / category / title / summary / names
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from extractors import names
from extractors.addresses import Addresses
from extractors.base import slug_of
from extractors.clean import (
    LIST_CAP,
    NAME_CAP,
    TEXT_CAP,
    TITLE_CAP,
    clean,
    is_void,
    slugify,
)
from extractors.dom import check_size
from extractors.headings import LISTS, impact_of
from extractors.names import NOBODY
from extractors.outline import FAQ, label_of
from extractors.reconcile import Claim
from extractors.written_dates import read_date
from milepost.errors import ExtractError
from milepost.fields import of_type
from milepost.records import Card, Image, KnownNames

WITNESS = "text"


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPlan:
    """How a site's headings and categories read as text; labels are casefolded."""

    sections: Mapping[str, str]  # heading line → field
    categories: Mapping[str, str] = field(default_factory=dict)  # label → slug, where it is not the label's own


class _Divided(NamedTuple):
    before: list[list[str]]  # blocks above the first heading
    sections: dict[str, list[list[str]]]  # field → blocks
    headings: dict[str, str]  # field → its heading as written


def address(url: str, milestones: Addresses) -> tuple[str, str]:
    """(key, address) for a URL, or for a bare slug or file name; raises ExtractError when no key is in it."""
    slug = milestones.key(url) if "://" in url else None
    key = slug or slug_of(url)
    return key, url if "://" in url else milestones.address_of(key)


def claims(text: str, plan: TextPlan, *, known: KnownNames = NOBODY) -> list[Claim]:
    """Everything a text tells. A heading with nothing under it tells nothing: its field stays unknown.

    Raises ExtractError when the text has neither a title nor any section of a milestone.
    """
    check_size(text, "the text")
    parts = _divide(_blocks(text), plan)
    if not parts.sections:
        raise ExtractError("no heading of a milestone in this text", hint=f"Wanted: {', '.join(plan.sections)}.")
    told = _preamble_claims(parts.before, plan)
    prose = _prose(parts)
    for name, blocks in parts.sections.items():
        lines = [line for block in blocks for line in block]
        if not lines or not name:
            continue
        where = parts.headings[name]
        if name == "related":
            cards = _cards(blocks, plan, known, prose)
            if cards:
                told.append(Claim(name, cards, WITNESS, where))
        elif name in LISTS:
            if value := _entries(name, lines, known, prose):
                told.append(Claim(name, value, WITNESS, where))
        elif (said := clean(" ".join(lines))) and not is_void(said):
            told.append(Claim(name, said, WITNESS, where))
    return told


def _blocks(text: str) -> list[list[str]]:
    """Lines, cleaned, in the groups that blank lines make of them."""
    blocks: list[list[str]] = [[]]
    for raw in text.split("\n"):
        line = clean(raw, TEXT_CAP)
        if line:
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _divide(blocks: Sequence[list[str]], plan: TextPlan) -> _Divided:
    parts = _Divided([], {}, {})
    here = parts.before
    for block in blocks:
        rest: list[str] = []
        for line in block:
            label = label_of(line)
            if label in plan.sections or label in FAQ:
                if rest:
                    here.append(rest)
                    rest = []
                # Of a heading that comes twice, and of questions and answers, nothing is taken.
                name = plan.sections.get(label)
                if name is None or name in parts.sections:
                    here = []
                else:
                    parts.headings[name] = line
                    here = parts.sections.setdefault(name, [])
            else:
                rest.append(line)
        if rest:
            here.append(rest)
    return parts


def _prose(parts: _Divided) -> str:
    """The page's sentences: names that stand in them by themselves are names; lines of names are not sentences."""
    lines = [line for name in of_type("prose") for block in parts.sections.get(name, ())
             for line in block]
    lines += [line for block in parts.sections.get("related", ()) for line in block if line.endswith((".", "!", "?"))]
    return clean(" ".join(lines), TEXT_CAP)


def _preamble_claims(blocks: Sequence[list[str]], plan: TextPlan) -> list[Claim]:
    """The lines above the first heading: [picture] [date] title [category, era] [impact]."""
    told: list[Claim] = []
    lines: list[str] = []
    title_at: int | None = None
    for line in (line for block in blocks for line in block):
        date = read_date(line).date
        impact = impact_of(line)
        if date is not None:
            told.append(Claim("date", date, WITNESS, "line above the title"))
            title_at = len(lines)
        elif impact is not None:
            told.append(Claim("impact", impact, WITNESS, "line above the sections"))
        elif label_of(line) not in ("impact", "home", "back", "/", "›", ">"):
            lines.append(line)
    if title_at is None or title_at >= len(lines):
        labels = [line for line in lines[1:] if label_of(line) in plan.categories]
        told += [Claim("category", plan.categories[label_of(line)], WITNESS, "label") for line in labels[:1]]
        lines = [line for line in lines if line not in labels]
        title_at = len(lines) - 1
    else:
        labels = lines[title_at + 1:]
        if labels:
            label = label_of(labels[0])
            told.append(Claim("category", plan.categories.get(label, slugify(label)), WITNESS, "label"))
    if not lines:
        raise ExtractError("no title above the first heading of this text")
    told.append(Claim("title", clean(lines[title_at], TITLE_CAP), WITNESS, "line above the sections"))
    if title_at > 0:
        alt = clean(lines[title_at - 1], TITLE_CAP)
        told.append(Claim("image", Image(alt=alt), WITNESS, "first line"))
    return told


def _entries(name: str, lines: Sequence[str], known: KnownNames, prose: str) -> tuple[str, ...]:
    """The entries of a list: a line each, or several run together in one line."""
    if name == "tags":
        words = [word for line in lines for word in line.split(",")]
        return tuple(dict.fromkeys(slug for word in words if (slug := slugify(word.removeprefix("#")))))[:LIST_CAP]
    found: list[str] = []
    for line in lines[:LIST_CAP]:
        split = names.split(line, known, prose)
        found += [*split.people, *split.organizations] if len(lines) == 1 else [clean(line, NAME_CAP)]
    return tuple(dict.fromkeys(found))


def _cards(blocks: Sequence[list[str]], plan: TextPlan, known: KnownNames, prose: str) -> tuple[Card, ...]:
    """Cards stand as [alt /] category, blank, title, blank, summary, blank, names; names and the next alt touch."""
    cards: list[Card] = []
    at = 0
    opening = list(blocks[0]) if blocks else []
    while opening and at + 2 < len(blocks) + 1 and len(cards) < LIST_CAP:
        if at + 2 >= len(blocks):
            break
        title, summary = blocks[at + 1], blocks[at + 2]
        if len(title) != 1:
            break
        closing = list(blocks[at + 3]) if at + 3 < len(blocks) else []
        raw, following = _closing(closing, known)
        label = label_of(opening[-1])
        alt = opening[-2] if len(opening) > 1 else ""
        split = names.split(raw, known, prose) if raw else None
        cards.append(Card(
            key=None,
            title=clean(title[0], TITLE_CAP),
            category=plan.categories.get(label, slugify(label)) or None,
            summary=clean(" ".join(summary)),
            people=split.people if split else (),
            organizations=split.organizations if split else (),
            image=Image(alt=clean(alt, TITLE_CAP)) if alt else None,
            raw_names=raw or None,
            confidence=split.confidence if split else None,
        ))
        opening = following
        at += 3
    return tuple(cards)


def _closing(lines: Sequence[str], known: KnownNames) -> tuple[str, list[str]]:
    """(names of this card, first lines of the next card) of the block that stands after a summary."""
    match len(lines):
        case 0:
            return "", []
        case 1:  # the last card's names, or the category of a card without a picture after a card without names
            return (lines[0], []) if names.looks_like_names(lines[0], known) else ("", [])
        case 2:  # names and category, or description and category
            if names.looks_like_names(lines[0], known):
                return lines[0], [lines[1]]
            return "", list(lines)
        case _:
            return lines[0], list(lines[1:3])
