"""A changelog as people write them, as Markdown or as HTML: each release is a milestone.

    ## [1.2.0] - 2026-03-04        → key "1-2-0", title "1.2.0", date 2026-03-04, linked by the heading's own id
    ### Added                      → tag "added"; a paragraph "Added:" before its list in what happened
    Widget 1.3 (6th May, 2026)     → key "widget-1-3", title "Widget 1.3", date 2026-05-06 (underlined: a heading too)

What a heading can say: extractors.release_headings. `keepachangelog` reads the form of keepachangelog.com alone.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from extractors import dom
from extractors.clean import LIST_CAP, TEXT_CAP, TITLE_CAP, clean, slugify
from extractors.document_blocks import Block, document_blocks, is_html, shaped
from extractors.headings import WITNESS
from extractors.listpage import Entry
from extractors.reconcile import Claim, date_claim
from extractors.release_headings import Release, Said, Unclear, date_under, read_heading
from extractors.release_page import ReleasePage
from extractors.unread import unread
from extractors.written_dates import NOTHING
from milepost import text_shape
from milepost.errors import ExtractError
from milepost.records import Page, Unread

_KIND = (  # of change: what stands over a part of a release, and is a topic
    r"added|additions?|chang(?:ed|es)|deprecat(?:ed|ions?)|remov(?:ed|als?)|fix(?:ed|es)|bug\s?fix(?:es)?|security(?:\sfixes)?"
    r"|(?:new\s|minor\s|major\s)?features?|enhancements?|improve(?:d|ments?)|breaking(?:\schanges?)?"
    r"|performance(?:\simprovements?)?|documentation|docs|misc\w*|chores?|internal(?:\schanges)?|dependenc\w*|reverts?"
    r"|maintenance|updates?|refactor\w*|(?:code\s)?refactoring|tests?|build(?:\ssystem)?"
    r"|neu|hinzugefügt|geändert|veraltet|entfernt|behoben|sicherheit|ajout[ée]s?|modifi[ée]s?|obsolètes?|supprim[ée]s?"
    r"|corrig[ée]s?|sécurité|añadido|agregado|cambiado|cambios|obsoleto|eliminado|corregido|arreglado|seguridad"
    r"|adicionado|modificado|removido|corrigido|segurança|aggiunt[oi]|modificat[oi]|rimoss[oi]|corrett[oi]|sicurezza"
)
_TOPIC = re.compile(rf"\W*(?:{_KIND})\W*", re.IGNORECASE)
_SECTION = re.compile(  # … and what does, and is none
    rf"\W*(?:{_KIND}|what['’]?s\s(?:changed|new)|new\scontributors|full\schange\s?log|contributors|highlights?|other"
    r"(?:\schanges?)?|notes?|known\sissues|continuous\sintegration|styles?|thanks(?:\sto)?.{0,40})\W*", re.IGNORECASE,
)
_ALONE = re.compile(r"(?P<head>.{3,90}?)(?:\s*[:;]\s|\s[–—-]\s(?!\d)|$)(?P<rest>.*)", re.DOTALL)
_BEGINS = re.compile(r"[\W_]*(?:version\s|release\s)?v?\d", re.IGNORECASE)  # what may be a version
_SAME_VERSION = re.compile(r"[\W_]+")
_NAME_IN_TITLE = 80
_RELEASES_CAP = 10_000  # of one page


class _Part(NamedTuple):
    """A heading of the document, or what stands in for one, and what it says."""

    at: int
    level: int
    text: str
    said: Said
    anchor: str = ""
    body: tuple[Block, ...] = ()  # of a line that is a release's heading and its text


class _Found(NamedTuple):
    """A release of the document with what stands under it."""

    part: _Part
    release: Release
    body: list[Block]


class Changelog(ReleasePage):
    """A page of releases."""

    name = "changelog"
    version = 1

    def key(self, url: str) -> str:
        key = unquote(urlsplit(url).fragment)
        if not key:
            raise ExtractError("the address names no entry of the page (…#entry)", where=url)
        return key

    def entries(self, page: Page) -> Sequence[Entry | Unread]:
        if is_html(page.text) and not dom.is_complete(page.text.rstrip()):
            raise ExtractError("the page ends early: no </html>", where=page.url)
        blocks, language = document_blocks(page.text)
        found = list(_releases(blocks, language))
        if len(found) > _RELEASES_CAP:
            more = f"{len(found) - _RELEASES_CAP} further headings"
            found = [*found[:_RELEASES_CAP], unread("heading", more, f"more than {_RELEASES_CAP} on a page")]
        last = found[-1] if found else None
        if isinstance(last, _Found) and last.part.at == len(blocks) - 1 and not page.text.endswith(("\n", "\r", ">")):
            found[-1] = unread("heading", last.part.text, "the page ends in it: it may be cut off")
        return [one if isinstance(one, Unread) else self._entry(one, language) for one in found]

    def _entry(self, found: _Found, language: str) -> Entry:
        release, body = found.release, found.body
        where = f"heading {found.part.text}"
        told = [Claim("title", clean(self._title(release), TITLE_CAP), WITNESS, where)]
        date, place = release.date, where
        if date is NOTHING and body and body[0].kind in ("paragraph", "item"):
            date, place = date_under(text_shape.plain(body[0].text), language), f"text under {found.part.text}"
            if date is not NOTHING and not re.search(r"[^\W\d_]{3,}.*[^\W\d_]{8,}", body[0].text):
                body = body[1:]  # it said nothing else
        told += date_claim(date, WITNESS, place)
        tags = [tag for tag in _tags(body) if tag]
        if release.yanked:
            tags.append("yanked")
        if tags:
            kinds = tuple(dict.fromkeys(tags))[:LIST_CAP]
            told.append(Claim("tags", kinds, WITNESS, f"headings under {found.part.text}"))
        if text := text_shape.written(shaped(body), TEXT_CAP):
            told.append(Claim("what_happened", text, WITNESS, f"entries under {found.part.text}"))
        return Entry(self._key(release), told, found.part.anchor)

    def _title(self, release: Release) -> str:
        title = f"{self.project or release.product} {release.version}".strip()
        if 0 < len(release.name) <= _NAME_IN_TITLE:
            title = f"{title} – {release.name}"
        return f"{title} [YANKED]" if release.yanked else title

    def _key(self, release: Release) -> str:
        """Of the heading alone, so that no other entry of the page can change it."""
        product = "" if release.product.casefold() == self.project.casefold() else release.product
        words = re.findall(r"\w+", product.casefold().replace("_", "-"))
        return "-".join([*words, _version_key(release.version)])


def _version_key(version: str) -> str:
    """A version in a key, another one for each: "1.1.0-beta" → "1-1-0-beta", "1.1.0+beta" → "1-1-0-plus-beta"."""
    text = re.sub(r"(?:/|, )", "-and-", version.casefold())
    text = text.replace("!", "-epoch-").replace("+", "-plus-")
    text = re.sub(r"(?<=\w)-(?=\d)", "--", text) if "." in text else text
    return text.replace(".", "-")


def _releases(blocks: Sequence[Block], language: str) -> Iterator[_Found | Unread]:
    """The releases of a document in its order, among them what looks like one and isn't understood."""
    parts = _parts(blocks, language)
    levels = Counter(part.level for at, part in enumerate(parts)
                     if isinstance(part.said, Release) and not _is_series(part.said, part, parts[at + 1: at + 2]))
    usual = max(levels, key=lambda level: (levels[level], -level)) if levels else 3
    repeated = {text for text, times in Counter(
        part.text.casefold() for part in parts if part.said is None).items() if times > 1}
    by_place = {part.at: (part, parts[index + 1: index + 2]) for index, part in enumerate(parts)}
    current: _Found | None = None
    for at, block in enumerate(blocks):
        if at not in by_place:
            if current is not None:
                current.body.append(block)
            if why := _hidden(block, language):
                yield unread("heading", text_shape.plain(block.text), why)
            continue
        part, after = by_place[at]
        said = part.said
        begins = isinstance(said, Release) and not (part.level < usual and _is_series(said, part, after))
        if current is not None and _belongs(part, current, repeated):
            current.body.append(block)
            continue
        if current is not None:
            yield current
        current = _Found(part, said, list(part.body)) if begins and isinstance(said, Release) else None
        if isinstance(said, Unclear) and part.level <= usual:
            yield unread("heading", part.text, said.why)
    if current is not None:
        yield current


def _parts(blocks: Sequence[Block], language: str) -> list[_Part]:
    """The document's headings, and in one whose headings name no release the lines that do."""
    parts: list[_Part] = []
    for at, block in enumerate(blocks):
        if block.kind == "heading" and block.text and not block.quoted:
            words = text_shape.plain(block.text)
            said = read_heading(words, language, struck=block.struck, links=block.links)
            parts.append(_Part(at, block.level, words, said, block.anchor))
    if not any(isinstance(part.said, Release) for part in parts):
        parts = sorted([*parts, *_lines_of_releases(blocks, language)], key=lambda part: part.at)
    return parts


def _belongs(part: _Part, current: _Found, repeated: Collection[str]) -> bool:
    """Whether a heading stands within the release above it.

    One that is as high as the release's own does when it says what kind of change follows, when others of the document
    say the same, and when nothing else is told of the release: forges write their notes so.
    """
    deeper = part.level > current.part.level
    if isinstance(part.said, Release):
        return deeper and not _stands_alone(part, part.said, current)
    if deeper:
        return True
    if part.said is not None:
        return False
    first = not current.body and part.level == current.part.level
    return first or _SECTION.fullmatch(part.text) is not None or part.text.casefold() in repeated


def _stands_alone(part: _Part, release: Release, within: _Found) -> bool:
    """Whether a release's heading that is deeper than the one before is another release, and no part of that one."""
    dated = release.date is not NOTHING
    if _SAME_VERSION.sub("", release.version.casefold()) == _SAME_VERSION.sub("", within.release.version.casefold()):
        return False
    if dated:
        return release.bare
    return release.bare and release.product.casefold() == within.release.product.casefold() and part.level <= 4


def _is_series(release: Release, part: _Part, after: Sequence[_Part]) -> bool:
    """Whether a heading gathers releases: "Version 19" over "19.1.3" and "19.1.2"."""
    if release.date is not NOTHING or release.version.count(".") > 1 or not after:
        return False
    said = after[0].said
    begins = isinstance(said, Release) and said.version.startswith(f"{release.version}.")
    return after[0].level > part.level and (begins or (said is None and ".x" in after[0].text))


def _lines_of_releases(blocks: Sequence[Block], language: str) -> Iterator[_Part]:
    """Lines that are a version with its date, in a document whose headings name no release."""
    for at, block in enumerate(blocks):
        if block.quoted or block.depth or block.kind not in ("paragraph", "item") or len(block.text) > 2_000:
            continue
        if not _BEGINS.match(block.text):
            continue
        match = _ALONE.fullmatch(block.text)
        whole = read_heading(text_shape.plain(block.text), language, struck=block.struck)
        if _is_dated(whole):
            yield _Part(at, 6, text_shape.plain(block.text), whole)
        elif match and match["rest"] and _is_dated(said := read_heading(text_shape.plain(match["head"]), language)):
            yield _Part(at, 6, match["head"], said, body=(Block("paragraph", match["rest"]),))


def _is_dated(said: Said) -> bool:
    return isinstance(said, Release) and said.bare and said.date.date is not None


def _hidden(block: Block, language: str) -> str:
    """Why a line that is no heading looks like a release's; "" where it doesn't."""
    if block.kind != "paragraph" or len(block.text) > 120 or not _BEGINS.match(block.text):
        return ""
    said = read_heading(text_shape.plain(block.text).lstrip("# "), language)
    if not isinstance(said, Release) or said.version == (said.date.date and said.date.date.value):
        return ""  # a day alone is when the release above it was
    if _is_dated(said) or block.bold or block.text.startswith("#"):
        return "a version that is no heading in its form"
    return ""


def _tags(body: Sequence[Block]) -> Iterator[str]:
    """The kinds of change that a release has something of."""
    for block, after in pairwise(body):
        if block.kind == "heading" and after.kind != "heading" and _TOPIC.fullmatch(text_shape.plain(block.text)):
            yield slugify(block.text)
