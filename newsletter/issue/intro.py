"""An editor's introduction: a little Markdown as plain views, so that templates print words and never HTML.

    Markdown (CommonMark without HTML, images, code) ─▶ Block … of Span …
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

from newsletter.issue.safe import clean_lines, link

_RULES = ["emphasis", "link", "autolink", "list", "newline", "escape", "entity", "backticks", "heading", "blockquote"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Words of one kind."""

    text: str  # "\n" alone is a break that the editor made
    strong: bool = False
    em: bool = False
    href: str = ""  # http(s) alone


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A paragraph, or one point of a list."""

    kind: Literal["paragraph", "point"]
    spans: tuple[Span, ...]
    mark: str = ""  # of a point: "•", "3."

    @property
    def text(self) -> str:
        """Its words on one line, after its mark."""
        words = "".join(span.text for span in self.spans)
        return " ".join(f"{self.mark} {words}".split())

    @property
    def links(self) -> tuple[str, ...]:
        """Where it links to, each once."""
        return tuple(dict.fromkeys(span.href for span in self.spans if span.href))


def blocks(markdown: str) -> tuple[Block, ...]:
    """The blocks of `markdown`; what it has no view for (HTML, images, tables) is shown as it was typed."""
    parser = MarkdownIt("zero", {"html": False}).enable(_RULES)
    found: list[Block] = []
    marks: list[str] = []
    numbers: list[int] = []
    for token in parser.parse(clean_lines(markdown)):
        match token.type:
            case "ordered_list_open":
                numbers.append(int(token.attrs.get("start", 1)) - 1)
            case "bullet_list_open":
                numbers.append(-1)
            case "ordered_list_close" | "bullet_list_close":
                numbers.pop()
            case "list_item_open":
                if numbers[-1] >= 0:
                    numbers[-1] += 1
                marks.append(f"{numbers[-1]}." if numbers[-1] >= 0 else "•")
            case "list_item_close":
                marks.pop()
            case "inline":
                spans = tuple(_merged(_spans(token.children or ())))
                if any(span.text.strip() for span in spans):
                    kind: Literal["paragraph", "point"] = "point" if marks else "paragraph"
                    found.append(Block(kind=kind, spans=spans, mark=marks[-1] if marks else ""))
    return tuple(found)


def _spans(tokens: Sequence[Token]) -> Iterator[Span]:
    strong = em = 0
    href = ""
    for token in tokens:
        match token.type:
            case "strong_open" | "strong_close":
                strong += token.nesting
            case "em_open" | "em_close":
                em += token.nesting
            case "link_open":
                href = link(str(token.attrs.get("href", ""))) or ""
            case "link_close":
                href = ""
            case "softbreak":
                yield Span(text=" ", strong=strong > 0, em=em > 0, href=href)
            case "hardbreak":
                yield Span(text="\n")
            case _:
                yield Span(text=token.content.replace("\n", " "), strong=strong > 0, em=em > 0, href=href)


def _merged(spans: Iterator[Span]) -> Iterator[Span]:
    """Neighbours of one kind as one."""
    last: Span | None = None
    for span in spans:
        if last is not None and span.text != "\n" != last.text and replace(span, text="") == replace(last, text=""):
            last = replace(last, text=last.text + span.text)
            continue
        if last is not None:
            yield last
        last = span
    if last is not None:
        yield last
