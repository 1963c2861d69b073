"""Finds text that can't be told from what is behind it, by the colours that an HTML mail sets on its elements.

    element ─▶ its text colour, its ground (inherited) ─▶ contrast ─▶ a sentence where it is too small
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from newsletter.issue.theme import MIN_CONTRAST, contrast

_LARGE = 24.0  # CSS pixels from which 3:1 is enough (WCAG 2.2, success criterion 1.4.3)
_MIN_LARGE = 3.0
_COLOUR = re.compile(r"#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b")
_UNSEEN = frozenset({"head", "style", "title", "script"})


def unreadable(document: Any) -> Iterator[str]:
    """A sentence for each pair of colours of an lxml document that can't be read; only #rgb and #rrggbb are known."""
    told: set[tuple[str, str]] = set()
    for text, ink, ground, size in _texts(document, "#000000", "#ffffff", 16.0):
        ratio = contrast(ink, ground)
        if ratio < (_MIN_LARGE if size >= _LARGE else MIN_CONTRAST) and (ink, ground) not in told:
            told.add((ink, ground))
            yield f"“{text[:40]}” ({ink} on {ground}) has a contrast of {ratio:.1f}: too little to be read"


def _texts(element: Any, ink: str, ground: str, size: float) -> Iterator[tuple[str, str, str, float]]:
    """Every text with its colour, its ground and its size in CSS pixels."""
    if not isinstance(element.tag, str) or element.tag in _UNSEEN:
        return
    style = _style(element)
    if style.get("display") == "none":
        return
    size = _pixels(style.get("font-size", ""), size)
    ground = _colour(style.get("background-color") or style.get("background") or element.get("bgcolor") or "", ground)
    ink = _colour(style.get("color", ""), ink)
    if size > 0 and (element.text or "").strip("\xa0 \n\t\u200c\ufeff\u034f\xad"):
        yield element.text.strip(), ink, ground, size
    for child in element:
        yield from _texts(child, ink, ground, size)
        if size > 0 and (child.tail or "").strip("\xa0 \n\t"):
            yield child.tail.strip(), ink, ground, size


def _style(element: Any) -> Mapping[str, str]:
    pairs = (part.partition(":") for part in (element.get("style") or "").split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _colour(value: str, inherited: str) -> str:
    found = _COLOUR.search(value)
    if found is None:
        return inherited
    digits = found.group()[1:]
    return "#" + ("".join(digit * 2 for digit in digits) if len(digits) == 3 else digits).lower()


def _pixels(value: str, inherited: float) -> float:
    return float(value[:-2]) if re.fullmatch(r"[0-9.]+px", value) else inherited
