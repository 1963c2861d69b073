"""A text with paragraphs, lists and code, kept as lines that read well wherever they are shown as they are.

    Added:                      a paragraph
    - A lamp for `dusk`         an item, two spaces in for each list around its own; "1." where it is numbered
    ```                         code, up to the next such line
    lamp --dim
    ```

Such a text ends in a line feed, which no text without shape has: those stay what they were, to the byte.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

Kind = Literal["paragraph", "item", "code"]

DEPTH_CAP = 3  # lists inside one another that are told apart
_FENCE = "```"
_ITEM = re.compile(r"( {0,12})(-|\d{1,9}\.) (.*)")
_CODE = re.compile(r"`([^`\n]+)`")
_ENDS = (".", "!", "?", ":", ";", "…", "。", "！", "？", "：")


class Block(NamedTuple):
    """One paragraph, item or piece of code."""

    kind: Kind
    text: str  # in one line, `code` in backticks; of code: its lines
    depth: int = 0  # of an item: lists that it stands inside of, beside its own
    mark: str = "-"  # of an item: "-", or its number: "3."


class Span(NamedTuple):
    """Words of a line, code or not."""

    text: str
    code: bool = False


def is_shaped(text: str) -> bool:
    """Whether a text has a shape to be shown."""
    return text.endswith("\n")


def written(blocks: Iterable[Block], cap: int) -> str:
    """Blocks as a text of at most `cap` characters, cut between blocks where there are more; "" for none.

    One paragraph without code has no shape: it is its own words.
    """
    given = [block for block in blocks if block.text.strip()]
    if len(given) == 1 and given[0].kind == "paragraph" and not _CODE.search(given[0].text):
        return _shortened(given[0].text, cap)
    lines: list[str] = []
    room = cap
    before: Block | None = None
    for block in given:
        line = _line(block)
        if before is not None and (block.kind, before.kind) in (("paragraph", "paragraph"), ("paragraph", "item")):
            line = f"\n{line}"
        if len(line) + 2 > room:
            lines.append(_line(block._replace(text=_shortened(block.text, room))) if not lines else "…")
            break
        lines.append(line)
        room -= len(line) + 1
        before = block
    return "\n".join(lines) + "\n" if lines else ""


def blocks_of(text: str) -> tuple[Block, ...]:
    """The inverse of `written`; a text without shape is one paragraph."""
    if not is_shaped(text):
        return (Block("paragraph", text),) if text else ()
    return tuple(_blocks(text))


def spans_of(line: str) -> tuple[Span, ...]:
    """A line of a shaped text as words and code."""
    found: list[Span] = []
    at = 0
    for match in _CODE.finditer(line):
        if match.start() > at:
            found.append(Span(line[at: match.start()]))
        found.append(Span(match[1], code=True))
        at = match.end()
    if at < len(line):
        found.append(Span(line[at:]))
    return tuple(found)


def plain(line: str) -> str:
    """A line of a shaped text without the marks of code."""
    return _CODE.sub(r"\1", line)


def in_plain(text: str) -> str:
    """A text for what shows plain words: no marks of ours but bullets, code four spaces in, empty lines as paragraphs
    part. What has no shape is returned as it is.
    """
    if not is_shaped(text):
        return text
    lines: list[str] = []
    for block in _blocks(text):
        if block.kind == "code":
            lines += [f"    {line}".rstrip() for line in block.text.split("\n")]
        elif block.kind == "item":
            lines.append(f"{'  ' * block.depth}{'•' if block.mark == '-' else block.mark} {plain(block.text)}")
        else:
            lines += [*([""] if lines else []), plain(block.text)]
    return "\n".join(lines)


def in_one_line(text: str) -> str:
    """A text as running words: "Added: a lamp. A switch." What has no shape is returned as it is."""
    if not is_shaped(text):
        return text
    said: list[str] = []
    for block in _blocks(text):
        words = " ".join(plain(block.text).split())
        said.append(words if not words or words.endswith(_ENDS) or block.kind == "code" else f"{words}.")
    return " ".join(words for words in said if words)


def _blocks(text: str) -> Iterator[Block]:
    code: list[str] | None = None
    for line in text.split("\n"):
        if line == _FENCE:
            if code is not None:
                yield Block("code", "\n".join(code))
            code = [] if code is None else None
        elif code is not None:
            code.append(line)
        elif match := _ITEM.fullmatch(line):
            yield Block("item", match[3], depth=min(len(match[1]) // 2, DEPTH_CAP - 1), mark=match[2])
        elif line.strip():
            yield Block("paragraph", line.strip())
    if code:
        yield Block("code", "\n".join(code))


def _line(block: Block) -> str:
    if block.kind == "code":
        inside = block.text.replace(_FENCE, "'''").strip("\n")
        return f"{_FENCE}\n{inside}\n{_FENCE}"
    line = " ".join(block.text.split())
    return line if block.kind == "paragraph" else f"{'  ' * min(block.depth, DEPTH_CAP - 1)}{block.mark} {line}"


def _shortened(text: str, cap: int) -> str:
    return text if len(text) <= cap else f"{text[: max(cap - 8, 0)].rstrip()}…"
