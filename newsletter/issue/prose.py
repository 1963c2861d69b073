"""A record's text as what shows it needs it: paragraphs, lists within lists and code, as words alone and never markup.

    "Added:\\n- A lamp for `dusk`\\n  - of brass\\n" ─▶ paragraph, list(item(…, list(item)))     milepost.text_shape
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

from milepost.text_shape import Block, Span, blocks_of, is_shaped, plain, spans_of
from newsletter.issue.safe import BULLETS, clean, one_line, paragraphs

Kind = Literal["paragraph", "list", "code"]


class Prose(NamedTuple):
    """A paragraph, a list or a piece of code."""

    kind: Kind
    text: str = ""  # of a paragraph in one line, of code with its lines
    spans: tuple[Span, ...] = ()  # of a paragraph: its words, code or not
    start: int | None = None  # of a list that is numbered: its first number
    items: tuple["Item", ...] = ()  # of a list


class Item(NamedTuple):
    """An item of a list, with the lists inside it."""

    mark: str  # "•", "◦" or "3."
    text: str  # in one line
    spans: tuple[Span, ...]
    inner: tuple[Prose, ...] = ()


def prose(text: str) -> tuple[Prose, ...]:
    """A record's text; one without shape is paragraphs."""
    if not is_shaped(text):
        return tuple(Prose("paragraph", line, (Span(line),)) for line in paragraphs(text))
    return tuple(_parts([_cleaned(block) for block in blocks_of(text)]))


def _cleaned(block: Block) -> Block:
    """Without signs that could turn or break what is around them."""
    if block.kind == "code":
        return block._replace(text="\n".join(clean(line).replace("\n", " ") for line in block.text.split("\n")))
    return block._replace(text=one_line(block.text))


def as_lines(lines: Sequence[str]) -> tuple[Prose, ...]:
    """Lines as paragraphs: how a text was shown before it had a shape."""
    return tuple(Prose("paragraph", line, (Span(line),)) for line in lines)


def _parts(blocks: Sequence[Block]) -> Iterator[Prose]:
    for kind, group in groupby(blocks, key=lambda block: block.kind):
        if kind == "item":
            yield from _lists(list(group), 0)
            continue
        for block in group:
            if kind == "code":
                yield Prose("code", block.text)
            else:
                yield Prose("paragraph", plain(block.text), spans_of(block.text))


def _lists(blocks: Sequence[Block], depth: int) -> Iterator[Prose]:
    """The lists of items that stand next to one another; a new one where bullets become numbers, or the other way."""
    items: list[Item] = []
    start: int | None = None
    at = 0
    while at < len(blocks):
        block = blocks[at]
        end = next((further for further in range(at + 1, len(blocks)) if blocks[further].depth <= depth), len(blocks))
        number = None if block.mark == "-" else int(block.mark[:-1])
        if items and (number is None) != (start is None):
            yield Prose("list", start=start, items=tuple(items))
            items = []
        if not items:
            start = number
        mark = BULLETS[min(depth, len(BULLETS) - 1)] if number is None else block.mark
        inner = tuple(_lists(blocks[at + 1 : end], depth + 1))
        items.append(Item(mark, plain(block.text), spans_of(block.text), inner))
        at = end
    if items:
        yield Prose("list", start=start, items=tuple(items))
