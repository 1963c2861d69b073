"""A changelog after keepachangelog.com, as HTML or as Markdown: each release is a milestone.

    ## [1.2.0] - 2026-03-04      → key "1-2-0", title "1.2.0", date 2026-03-04
    ### Added                    → tag "added"; "Added: …" in what happened
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import mode
from typing import NamedTuple

from extractors import dom
from extractors.clean import LIST_CAP, TEXT_CAP, TITLE_CAP, clean, slugify
from extractors.dom import text_of
from extractors.headings import WITNESS
from extractors.listpage import Entry
from extractors.reconcile import Claim, date_claim
from extractors.release_page import ReleasePage
from extractors.unread import unread
from extractors.written_dates import NOTHING, Reading, read_date
from milepost.errors import ExtractError
from milepost.records import Page, Unread

_RELEASE = re.compile(
    r"\[?v?(?P<version>\d+(?:\.\d+){1,4}(?:[a-z]{1,5}\.?\d{0,5})?(?:[-+][0-9A-Za-z.]{1,40}){0,2})\]?"
    r"(?:(?:\s*[-–—:]\s*|\s+|(?=\())\(?(?P<date>[^()\[\]]{4,60}?)\)?)?(?P<yanked>\s*\[?yanked\]?)?",
    re.IGNORECASE,
)
_FIGURES = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}")
_FIRST = re.compile(r"(?:(?:release|version)\s)?\[?v?\d{1,5}\.\d{1,5}(?!%)\b", re.IGNORECASE)
_NEAR = re.compile(  # "Version 1.2.0, the small one", "Changes in Widget 1.2", "[Widget@1.2.0](…)", "v12"
    r"(?:[^\W\d][\w.'’&/+-]{0,40}(?:\s+|:\s*|@)){0,4}[\[(]?(?:@?[\w/-]{1,60}[@-])?v?\.?\d{1,5}\.\d{1,5}(?![\d%])"
    r"|v\d{1,5}\b|\d{1,5}\s?[(/–—-]\s?\d{4}-\d{2}",
    re.IGNORECASE,
)
_GUIDE = re.compile(  # or the heading of a series: "1.2.x"
    r"(?:how|from|to|why)\b|v?\d[\d.]*\.x\b|(?:upgrad|updat|migrat|moving|differen|compat|support)", re.IGNORECASE
)
_NOT_OUT = re.compile(
    r"\b(?:un-?released|not\s(?:yet\s)?(?:been\s)?(?:released|published)|upcoming|tb[ad]|wip"
    r"|in\s(?:development|progress)|[xy]{2,4}-[mx?]{2}-[dx?]{2})\b",
    re.IGNORECASE,
)
_UNDERLINED = re.compile(r"(.{1,200}?)\s(?:={3,}|-{3,})(?:\s.*)?")  # a heading all the same (CommonMark §4.3)
_MARKDOWN_BOLD = re.compile(r"\*\*.{1,300}\*\*|__.{1,300}__")
_MARKDOWN_HEAD = re.compile(r"(#{1,6})\s+(.*?)\s*#*")
_MARKDOWN_ITEM = re.compile(r"\s{0,3}[-*+]\s+(.*)")
_MARKDOWN_LINK = re.compile(r"\[([^\[\]]{1,300})\](?:\([^()\s]{0,500}\)|\[[^\[\]]{0,100}\])?")
_HEADS = ("h1", "h2", "h3", "h4")


class _Line(NamedTuple):
    """A piece of a changelog, whichever form it is written in."""

    level: int  # 1..4 for headings, 0 for an entry or a paragraph
    text: str
    language: str = ""
    bold: bool = False  # all of it


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


def _puzzling(line: _Line, level: int) -> str | None:
    """Why a line that looks like a release's heading can't be read as one; None for one that doesn't look so.

    `level`: of most headings that were read; what stands deeper is a part of a release. What is said to be not out yet
    is none.
    """
    if _NOT_OUT.search(line.text):
        return None
    if not line.level:
        head = _UNDERLINED.fullmatch(line.text)
        alone = _FIRST.match(line.text) if line.bold or head else _dated(line.text)
        return "a version that is no heading in its form" if alone else None
    if line.level > level or _GUIDE.match(line.text):
        return None
    if _NEAR.match(line.text):
        return "not a version and a date alone"
    date = read_date(line.text, line.language).date
    return "a date without a version" if date is not None and date.day else None


def _dated(text: str) -> bool:
    """Whether a line is a version with its date, and nothing else."""
    found = _RELEASE.fullmatch(text)
    return found is not None and bool(found["date"]) and read_date(found["date"]).date is not None


class KeepAChangelog(ReleasePage):
    """A page of releases."""

    name = "keepachangelog"
    version = 1

    def entries(self, page: Page) -> Sequence[Entry | Unread]:
        html = page.text.lstrip()[:1] == "<"
        if html and not dom.is_complete(page.text):
            raise ExtractError("the page ends early: no </html>", where=page.url)
        lines = list(_html_lines(page.text) if html else _markdown_lines(page.text))
        return list(self._releases(lines))

    def _releases(self, lines: Sequence[_Line]) -> Iterator[Entry | Unread]:
        starts = [(at, found) for at, line in enumerate(lines) if (found := _release_heading(line)) is not None]
        level = mode([lines[at].level for at, _ in starts] or [len(_HEADS)])
        read = 0
        for at, line in enumerate(lines):
            if read == len(starts) or at < starts[read][0]:
                if why := _puzzling(line, level):
                    head = _UNDERLINED.fullmatch(line.text)
                    yield unread("heading", head[1] if head else line.text, why)
                continue
            read += 1
            end = starts[read][0] if read < len(starts) else len(lines)
            # A heading as high as the release's own that is no release ends it: links, an older format.
            body = lines[at + 1:end]
            close = next((index for index, below in enumerate(body) if 0 < below.level <= line.level), len(body))
            yield self._release(line.text, starts[read - 1][1], body[:close])

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
            yield _Line(0, line, bold=len(element) == 1 and element[0].tag in ("b", "strong") and not element.text)


def _markdown_lines(text: str) -> Iterator[_Line]:
    """Headings, and entries with the lines that go on from them; link definitions are no text."""
    pending: list[str] = []
    for raw in [*text.replace("\r\n", "\n").split("\n"), "# "]:
        heading = _MARKDOWN_HEAD.fullmatch(raw)
        item = _MARKDOWN_ITEM.fullmatch(raw)
        if (heading or item or not raw.strip()) and pending:
            told = " ".join(pending)
            yield _Line(0, clean(_plain(told)), bold=_MARKDOWN_BOLD.fullmatch(told) is not None)
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
