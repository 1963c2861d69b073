"""A changelog after keepachangelog.com, as HTML or as Markdown: each release is a milestone.

    ## [1.2.0] - 2026-03-04      → key "1-2-0", title "1.2.0", date 2026-03-04
    ### Added                    → tag "added"; "Added: …" in what happened
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, Self

from extractors import dom
from extractors.clean import LIST_CAP, NAME_CAP, TEXT_CAP, TITLE_CAP, clean, slugify
from extractors.dom import text_of
from extractors.headings import WITNESS
from extractors.listpage import Entry, ListOptions, ListPage
from extractors.reconcile import Claim, date_claim
from extractors.written_dates import NOTHING, Reading, read_date
from milepost.errors import ExtractError
from milepost.records import Page

_RELEASE = re.compile(
    r"\[?v?(?P<version>\d+(?:\.\d+){1,4}(?:[a-z]{1,5}\.?\d{0,5})?(?:[-+][0-9A-Za-z.]{1,40}){0,2})\]?"
    r"(?:(?:\s*[-–—:]\s*|\s+|(?=\())\(?(?P<date>[^()\[\]]{4,60}?)\)?)?(?P<yanked>\s*\[?yanked\]?)?",
    re.IGNORECASE,
)
_FIGURES = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}")
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
    language: str = ""


class _Heading(NamedTuple):
    """A heading that names a release."""

    match: re.Match[str]
    date: Reading


def _release_heading(line: _Line) -> _Heading | None:
    """A version, with its date or without one: what else stands behind it makes it another kind of heading."""
    match = _RELEASE.fullmatch(line.text) if line.level else None
    if match is None:
        return None
    date = read_date(match["date"], line.language) if match["date"] else NOTHING
    if date.why and not _FIGURES.fullmatch(match["date"]):
        return None
    return _Heading(match, date)


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
        starts = [(at, found) for at, line in enumerate(lines) if (found := _release_heading(line)) is not None]
        for number, (at, found) in enumerate(starts):
            level = lines[at].level
            end = starts[number + 1][0] if number + 1 < len(starts) else len(lines)
            # A heading as high as the release's own that is no release ends it: links, an older format.
            body = lines[at + 1:end]
            close = next((index for index, line in enumerate(body) if 0 < line.level <= level), len(body))
            yield self._release(lines[at].text, found, body[:close])

    def _release(self, heading: str, found: _Heading, body: Sequence[_Line]) -> Entry:
        match = found.match
        where = f"heading {heading}"
        title = f"{self.project} {match['version']}".strip()
        told = [Claim("title", clean(title, TITLE_CAP), WITNESS, where)]
        told += date_claim(found.date, WITNESS, where)
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
    parts = dom.whole(text)
    root = parts.root
    for element in root.iter(*_HEADS, "li", "p"):
        if element.tag in _HEADS:
            line = clean(text_of(element, TITLE_CAP).rstrip("¶#"), TITLE_CAP)  # the sign of a heading's own link
            yield _Line(int(element.tag[1]), line, parts.language)
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
