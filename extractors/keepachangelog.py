"""A changelog after keepachangelog.com, as HTML or as Markdown: each release is a milestone.

    ## [1.2.0] - 2026-03-04      → key "1-2-0", title "1.2.0", date 2026-03-04
    ### Added                    → tag "added"; "Added: …" in what happened
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, Self

from extractors import dom
from extractors.clean import LIST_CAP, NAME_CAP, TEXT_CAP, TITLE_CAP, clean, partial_date, slugify
from extractors.dom import text_of
from extractors.headings import WITNESS
from extractors.listpage import Entry, ListOptions, ListPage
from extractors.reconcile import Claim
from milepost.errors import ExtractError
from milepost.records import Page

_RELEASE = re.compile(
    r"\[?v?(?P<version>\d+(?:\.\d+){1,4}(?:[a-z]{1,5}\.?\d{0,5})?(?:[-+][0-9A-Za-z.]{1,40}){0,2})\]?"
    r"(?:\s*[-–—:]?\s*\(?(?P<date>\d{4}-\d{2}-\d{2})\)?)?(?P<yanked>\s*\[?yanked\]?)?", re.IGNORECASE,
)
_MARKDOWN_HEAD = re.compile(r"(#{1,6})\s+(.*?)\s*#*")
_MARKDOWN_ITEM = re.compile(r"\s{0,3}[-*+]\s+(.*)")
_MARKDOWN_LINK = re.compile(r"\[([^\[\]]{1,300})\](?:\([^()\s]{0,500}\)|\[[^\[\]]{0,100}\])?")
_HEADS = ("h1", "h2", "h3", "h4")


class ChangelogOptions(ListOptions):
    """[sources.options]; `project` stands before the version in titles: "Widget 1.2.0"."""

    path: str = "/CHANGELOG.md"
    project: str = ""


class _Line(NamedTuple):
    """A piece of a changelog, whichever form it is written in."""

    level: int  # 1..4 for headings, 0 for an entry or a paragraph
    text: str


class KeepAChangelog(ListPage):
    """A page of releases."""

    name = "keepachangelog"
    version = 1

    def __init__(self, options: ChangelogOptions | None = None) -> None:
        options = options or ChangelogOptions()
        super().__init__(options)
        self.project = clean(options.project, NAME_CAP)

    @classmethod
    def configured(cls, options: Mapping[str, object]) -> Self:
        return cls(ChangelogOptions.taken(options, cls.name))

    def entries(self, page: Page) -> Sequence[Entry]:
        html = page.text.lstrip()[:1] == "<"
        if html and not dom.is_complete(page.text):
            raise ExtractError("the page ends early: no </html>", where=page.url)
        lines = list(_html_lines(page.text) if html else _markdown_lines(page.text))
        return list(self._releases(lines))

    def _releases(self, lines: Sequence[_Line]) -> Iterator[Entry]:
        starts = [(at, match) for at, line in enumerate(lines)
                  if line.level and (match := _RELEASE.fullmatch(line.text)) is not None]
        for number, (at, match) in enumerate(starts):
            level = lines[at].level
            end = starts[number + 1][0] if number + 1 < len(starts) else len(lines)
            # A heading as high as the release's own that is no release ends it: links, an older format.
            body = lines[at + 1:end]
            close = next((index for index, line in enumerate(body) if 0 < line.level <= level), len(body))
            yield self._release(lines[at].text, match, body[:close])

    def _release(self, heading: str, match: re.Match[str], body: Sequence[_Line]) -> Entry:
        where = f"heading {heading}"
        title = f"{self.project} {match['version']}".strip()
        told = [Claim("title", clean(title, TITLE_CAP), WITNESS, where)]
        if (date := partial_date(match["date"])) is not None:
            told.append(Claim("date", date, WITNESS, where))
        tags = [slugify(line.text) for line, following in pairwise(body) if line.level and not following.level]
        if match["yanked"]:
            tags.append("yanked")
        if tags := [tag for tag in dict.fromkeys(tags) if tag]:
            told.append(Claim("tags", tuple(tags[:LIST_CAP]), WITNESS, f"headings under {heading}"))
        if text := _told(body):
            told.append(Claim("what_happened", text, WITNESS, f"entries under {heading}"))
        return Entry(slugify(match["version"]), told)


def _told(body: Sequence[_Line]) -> str:
    """ "Added: one. Two. Fixed: three." """
    parts: list[str] = []
    for line in body:
        if line.level:
            parts.append(f"{line.text}:")
        else:
            parts.append(line.text if line.text.endswith((".", "!", "?", ":", ";")) else f"{line.text}.")
    while parts and parts[-1].endswith(":"):
        parts.pop()  # a heading with nothing under it
    return clean(" ".join(parts), TEXT_CAP)


def _html_lines(text: str) -> Iterator[_Line]:
    root = dom.whole(text).root
    for element in root.iter(*_HEADS, "li", "p"):
        if element.tag in _HEADS:
            line = clean(text_of(element, TITLE_CAP).rstrip("¶#"), TITLE_CAP)  # the sign of a heading's own link
            yield _Line(int(element.tag[1]), line)
        elif next(element.iterancestors("li"), None) is None and (line := text_of(element)):
            yield _Line(0, line)


def _markdown_lines(text: str) -> Iterator[_Line]:
    """Headings, and entries with the lines that go on from them; link definitions are no text."""
    pending: list[str] = []
    for raw in [*text.replace("\r\n", "\n").split("\n"), "# "]:
        heading = _MARKDOWN_HEAD.fullmatch(raw)
        item = _MARKDOWN_ITEM.fullmatch(raw)
        if (heading or item or not raw.strip()) and pending:
            yield _Line(0, clean(_plain(" ".join(pending))))
            pending = []
        if heading:
            if line := clean(_plain(heading[2]), TITLE_CAP):
                yield _Line(len(heading[1]), line)
        elif item:
            pending = [item[1]]
        elif raw.strip() and not re.match(r"\[[^\]]+\]:\s", raw):
            pending.append(raw.strip())


def _plain(text: str) -> str:
    """Markdown without its links and emphasis."""
    return _MARKDOWN_LINK.sub(r"\1", text).replace("**", "").replace("`", "")
