"""Which mail programs show what a mail uses, by published tests (mail_support.json; its date inside)."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

FLOOR = 0.75  # of the programs that were tested for a feature
_STYLE = re.compile(r"/\*.*?\*/", re.DOTALL)
_DECLARATION = re.compile(r"(?:^|[;{])\s*([a-z-]+)\s*:\s*([^;{}]*)")
_AT_RULE = re.compile(r"@([a-z-]+)\s*([^{;]*)")
_TAGS = MappingProxyType({"s": "strike", "h1": "h1-h6", "h2": "h1-h6", "h3": "h1-h6", "ul": "lists", "ol": "lists"})
# What a reader does not miss: without these a mail is the light one, in one column, and as easy to read.
EXTRAS = frozenset({
    "css-at-media-prefers-color-scheme", "css-color-scheme", "html-meta-color-scheme", "html-target", "css-cursor",
})


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What was tested, and when."""

    date: str  # ISO 8601
    clients: tuple[str, ...]
    features: Mapping[str, str]  # "css-display-flex" → a letter a client: y yes, a partly, n no, u not tested


@cache
def facts() -> Facts:
    """The vendored facts."""
    data: dict[str, Any] = json.loads((files("newsletter.issue") / "mail_support.json").read_text(encoding="utf-8"))
    return Facts(date=data["date"], clients=tuple(data["clients"]), features=data["features"])


def unsupported(document: Any) -> Iterator[str]:
    """A sentence for each feature of an lxml document that too few of the named programs support, even in part."""
    known = facts()
    for feature in sorted(set(_used(document)) & set(known.features) - EXTRAS):
        letters = known.features[feature]
        tested = [name for name, letter in zip(known.clients, letters, strict=True) if letter != "u"]
        without = [name for name, letter in zip(known.clients, letters, strict=True) if letter == "n"]
        if tested and 1 - len(without) / len(tested) < FLOOR:
            yield (f"{feature} is not supported by {', '.join(without)} (tests of {known.date}): "
                   f"less than {FLOOR:.0%} of the mail programs we name")


def _used(document: Any) -> Iterator[str]:
    for element in document.iter():
        if not isinstance(element.tag, str):
            continue
        yield f"html-{_TAGS.get(element.tag, element.tag)}"
        yield from (f"html-{name}" for name in element.attrib)
        yield from _properties(element.get("style") or "")
        if element.tag == "style":
            css = _STYLE.sub("", element.text or "")
            yield from _properties(css)
            for rule, condition in _AT_RULE.findall(css):
                yield f"css-at-{rule}"
                yield from (f"css-at-{rule}-{name}" for name in re.findall(r"\(\s*([a-z-]+)\s*:", condition))


def _properties(css: str) -> Iterator[str]:
    for name, value in _DECLARATION.findall(css):
        yield f"css-{name}"
        if name == "display":
            yield f"css-display-{value.split('!')[0].strip()}"
