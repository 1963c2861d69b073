"""What happens to a record when its page is damaged: seeded mutants of saved pages, each judged field by field.

    python -m bench.mutate [--mutants 600] [--seed 1]

Every mutant must give the right value (also because what was known is kept against a witness that turned), an unknown
field, an ExtractError, or a disagreement on record. What is left must be caught by the drift guard once the same
damage is done to all pages of the site. "gone" is an entry that its page no longer shows: withdrawn at the second look
and told to nobody. "alone" is a value that only one witness of the page ever told: there, damage and an editor's hand
look the same. A wrong or an empty value of two witnesses that nobody notices is a failure: the last two columns must
be 0. Then whole sites are rebuilt and broken, and looked at for real (`bench.layouts`): false holds, missed holds,
wrong values and false news must be 0 as well.
"""

import argparse
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lxml.html
from lxml.html import HtmlElement

from bench import layouts
from extractors import drift, registry
from extractors.base import SiteExtractor
from milepost.errors import ExtractError
from milepost.fields import CONTENT_FIELDS
from milepost.records import Milestone, Page
from newsletter.news.contested import contests, fallen_silent, voices
from newsletter.news.rules import judge as judge_field

SAVED = Path(__file__).resolve().parents[1] / "tests/sites"
BASES = {
    "aitimeline": "https://timeline.example", "sample": "https://clockwork.example", "generic": "https://bridges.example",
    "changelog": "https://kiln.example", "keepachangelog": "https://lantern.example", "timelinelist": "https://umbrellas.example",
}
VERDICTS = ("right", "kept", "unknown", "error", "differs", "held", "gone", "alone", "WRONG", "EMPTY")
_TAGS = ("div", "p", "span", "h2", "h3", "h5", "section", "b")
_LABELS = ("Overview", "More", "In short", "Background")
_LD = re.compile(r'(<script type="application/ld\+json">)(.*?)(</script>)', re.DOTALL)

Damage = Callable[[str], str | None]  # a page's text → the damaged text, None when there is nothing to damage there


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutant:
    """One damage, to be done to one page or to all pages of a site."""

    name: str
    damage: Damage


# --- damage to the tree: an element is named by its steps from the root, so that it is found in other pages too


def _steps(element: HtmlElement) -> tuple[tuple[str, int], ...]:
    steps: list[tuple[str, int]] = []
    while (parent := element.getparent()) is not None:
        steps.append((str(element.tag), [one for one in parent if one.tag == element.tag].index(element)))
        element = parent
    return tuple(reversed(steps))


def _walk(root: HtmlElement, steps: Sequence[tuple[str, int]]) -> HtmlElement | None:
    for tag, index in steps:
        same = [child for child in root if child.tag == tag]
        if index >= len(same):
            return None
        root = same[index]
    return root


def _remove(element: HtmlElement) -> None:
    element.drop_tree()


def _empty(element: HtmlElement) -> None:
    for child in list(element):
        element.remove(child)
    element.text = None


def _duplicate(element: HtmlElement) -> None:
    copy = lxml.html.fromstring(lxml.html.tostring(element, with_tail=False))
    element.addnext(copy)


def _swap(element: HtmlElement) -> None:
    following = element.getnext()
    if following is not None:
        tail, element.tail = element.tail, following.tail
        following.tail = tail
        following.addnext(element)


def _to_end(element: HtmlElement) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.append(element)


def _unwrap(element: HtmlElement) -> None:
    element.drop_tag()


def _strip(element: HtmlElement) -> None:
    element.attrib.clear()


TREE_DAMAGES: dict[str, Callable[[HtmlElement], None]] = {
    "remove": _remove, "empty": _empty, "duplicate": _duplicate, "swap": _swap, "to end": _to_end,
    "unwrap": _unwrap, "strip attributes": _strip,
}


def _rename(tag: str) -> Callable[[HtmlElement], None]:
    def rename(element: HtmlElement) -> None:
        element.tag = tag

    return rename


def _retitle(label: str) -> Callable[[HtmlElement], None]:
    def retitle(element: HtmlElement) -> None:
        _empty(element)
        element.text = label

    return retitle


def _in_tree(steps: Sequence[tuple[str, int]], change: Callable[[HtmlElement], None]) -> Damage:
    def damage(text: str) -> str | None:
        root = lxml.html.document_fromstring(text)
        element = _walk(root, steps)
        if element is None or element.getparent() is None:
            return None
        change(element)
        return f"<!DOCTYPE html>{lxml.html.tostring(root, encoding='unicode')}"

    return damage


# --- damage to the JSON-LD: a value is named by its keys


def _paths(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    items: Sequence[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, inner in items:
        yield from _paths(inner, (*path, key))


def _in_json(number: int, path: Sequence[str | int], kind: str) -> Damage:
    def damage(text: str) -> str | None:
        blocks = list(_LD.finditer(text))
        if number >= len(blocks):
            return None
        data = json.loads(blocks[number][2])
        holder: Any = data
        try:
            for key in path[:-1]:
                holder = holder[key]
            value = holder[path[-1]]
        except (KeyError, IndexError, TypeError):
            return None
        if kind == "remove":
            del holder[path[-1]]
        elif kind == "rename" and isinstance(holder, dict):
            holder[f"x{path[-1]}"] = holder.pop(path[-1])
        else:
            holder[path[-1]] = {"empty": "", "null": None, "undefined": "undefined", "list": [value], "number": 7}.get(
                kind, value
            )
        start, end = blocks[number].span(2)
        return text[:start] + json.dumps(data, ensure_ascii=False) + text[end:]

    return damage


def _without_json(text: str) -> str:
    return _LD.sub("", text)


def _broken_json(text: str) -> str:
    return _LD.sub(lambda match: match[1] + match[2][: len(match[2]) // 2] + match[3], text, count=1)


def _both(first: Damage, second: Damage) -> Damage:
    def damage(text: str) -> str | None:
        between = first(text)
        return None if between is None else second(between)

    return damage


def mutants(text: str, count: int, rng: random.Random) -> Iterator[Mutant]:
    """`count` mutants of a page, drawn by `rng`: elements of <main>, values of the JSON-LD, and both."""
    root = lxml.html.document_fromstring(text)
    top = root.find(".//main")
    elements = [one for one in (root if top is None else top).iterdescendants() if isinstance(one.tag, str)]
    heads = [one for one in elements if one.tag in ("h1", "h2", "dt", "time", "header", "article", "dl", "ul", "p")]
    values = [
        (number, path) for number, block in enumerate(_LD.finditer(text)) for path in _paths(json.loads(block[2]))
    ]
    for _ in range(count):
        draw = rng.random()
        if draw < 0.25 and values:
            number, path = rng.choice(values)
            kind = rng.choice(("remove", "rename", "empty", "null", "undefined", "list", "number"))
            yield Mutant(name=f"json {kind}", damage=_in_json(number, path, kind))
            continue
        element = rng.choice(heads if rng.random() < 0.6 else elements)
        choices = [*TREE_DAMAGES.items(), ("rename", _rename(rng.choice(_TAGS)))]
        if element.tag in ("h1", "h2", "h3", "dt"):
            choices += [("retitle", _retitle(rng.choice(_LABELS)))] * 3 if element.tag != "h1" else []
        name, change = rng.choice(choices)
        damage = _in_tree(_steps(element), change)
        if draw > 0.75:
            name, damage = f"no json + {name}", _both(damage, _without_json)
        elif draw > 0.7:
            name, damage = f"broken json + {name}", _both(damage, _broken_json)
        yield Mutant(name=name, damage=damage)


# --- judging


def judge(site: SiteExtractor, page: Page, truth: Milestone) -> dict[str, str]:
    """What became of each content field of a milestone on a damaged page: one of VERDICTS but "held"."""
    try:
        read = {one.key: one for one in site.read_many(page, source=truth.source)}
    except ExtractError:
        return dict.fromkeys(CONTENT_FIELDS, "error")
    milestone = read.get(truth.key)
    if milestone is None:
        return dict.fromkeys(CONTENT_FIELDS, "gone")
    if "page" in milestone.evidence:  # damage that was seen: such a record is not stored
        return dict.fromkeys(CONTENT_FIELDS, "error")
    differing = [name for name, told in milestone.evidence.items() if any(one.says is not None for one in told)]
    kept = {one.field for one in contests(truth, milestone)}
    kept |= {name for name in fallen_silent(truth, milestone) if judge_field(name, truth, milestone, {}) == "corrected"}
    verdicts: dict[str, str] = {}
    for name in CONTENT_FIELDS:
        value, right = getattr(milestone, name), getattr(truth, name)
        if name in milestone.unknown:
            verdicts[name] = "right" if name in truth.unknown else "unknown"
        elif value == right or _as_good(name, value, right):
            verdicts[name] = "right"
        elif name in kept:
            verdicts[name] = "kept"
        elif name in differing:
            verdicts[name] = "differs"
        elif len(voices(truth.evidence.get(name, ()))) == 1:
            verdicts[name] = "alone"
        else:
            verdicts[name] = "WRONG" if value else "EMPTY"
    return verdicts


def _as_good(name: str, value: Any, right: Any) -> bool:
    """A coarser date, another thumbnail, a picture without its words, and names in another order are not wrong."""
    if isinstance(value, tuple) and isinstance(right, tuple):
        return sorted(value) == sorted(right)
    if name == "date" and value and right:
        return bool(value.contains(right))
    if name == "image" and value and right:
        file = value.url.rpartition("/")[2].rpartition("px-")[2]
        return file == right.url.rpartition("/")[2].rpartition("px-")[2] and value.alt in ("", right.alt)
    return False


def read_all(site: SiteExtractor, pages: Sequence[Page]) -> tuple[list[Milestone], int]:
    """The records of all pages, and how many could not be read."""
    found: list[Milestone] = []
    for page in pages:
        try:
            found += site.read_many(page, source=site.name)
        except ExtractError:
            continue
    return found, len(pages) - len(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What the mutants of one source came to, with a line for each that slipped through."""

    verdicts: Counter[tuple[str, str]]  # (kind of damage, verdict) → fields
    mutants: int
    silent: tuple[str, ...]


def run(source: str, pages: Sequence[Page], *, count: int, seed: int) -> Outcome:
    """Judge `count` mutants of a source's pages."""
    if not pages:
        raise ValueError(f"no saved pages of {source}")
    site = site_of(source)
    rng = random.Random(seed)  # noqa: S311 - the same mutants every time is what is wanted
    truths = {page.url: site.read_many(page, source=source) for page in pages}
    history = drift.profile([one for records in truths.values() for one in records])
    verdicts: Counter[tuple[str, str]] = Counter()
    silent: list[str] = []
    made = 0
    while made < count:
        for page in pages:
            for mutant in mutants(page.text, 1, rng):
                text = mutant.damage(page.text)
                if text is None or text == page.text:
                    continue
                made += 1
                for truth in truths[page.url]:
                    judged = judge(site, replace(page, text=text), truth)
                    slipped = [name for name, verdict in judged.items() if verdict in ("alone", "WRONG", "EMPTY")]
                    if slipped and _held(site, pages, mutant, history):
                        judged |= dict.fromkeys(slipped, "held")
                    elif lost := [name for name in slipped if judged[name] != "alone"]:
                        silent.append(f"{truth.url} {mutant.name}: {', '.join(lost)}")
                    verdicts.update((mutant.name, verdict) for verdict in judged.values())
    return Outcome(verdicts=verdicts, mutants=made, silent=tuple(silent))


def _held(site: SiteExtractor, pages: Sequence[Page], mutant: Mutant, history: drift.Profile) -> bool:
    """Whether the drift guard holds the source when all of its pages are damaged so."""
    damaged = [replace(page, text=mutant.damage(page.text) or page.text) for page in pages]
    found, failed = read_all(site, damaged)
    return drift.drift(history, drift.profile(found, failed=failed)).reason is not None


def site_of(source: str) -> SiteExtractor:
    """The source's extractor, with the options that its saved pages are read by."""
    options = SAVED / source / "options.json"
    return registry.get(source, json.loads(options.read_text(encoding="utf-8")) if options.is_file() else {})


def saved_pages(source: str) -> list[Page]:
    """The saved milestone pages of a source: "story.first.html" is /story/first, "home.html" is /."""
    site = site_of(source)
    found: list[Page] = []
    for file in sorted((SAVED / source).glob("*.html")):
        path = "/" if file.stem == "home" else f"/{file.stem.replace('.', '/', 1)}"
        if site.classify(path) == "milestone":
            found.append(Page(url=BASES[source] + path, text=file.read_text(encoding="utf-8")))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=600, help="of each source")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    failed = False
    for source in BASES:
        outcome = run(source, saved_pages(source), count=asked.mutants, seed=asked.seed)
        print(f"\n{source}: {outcome.mutants} mutants, fields by what became of them\n")
        print(f"{'damage':<30}" + "".join(f"{verdict:>9}" for verdict in VERDICTS))
        for name in sorted({kind for kind, _ in outcome.verdicts}):
            print(f"{name:<30}" + "".join(f"{outcome.verdicts[name, verdict]:>9}" for verdict in VERDICTS))
        for line in outcome.silent:
            print(f"  silent: {line}")
        failed = failed or bool(outcome.silent)
    failed = layouts.report(list(layouts.run())) or failed
    sys.exit(failed)


if __name__ == "__main__":
    main()
