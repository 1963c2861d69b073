"""Sources that keep all of their milestones on one page: each entry is a record, its key is the page's fragment."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple, Self
from urllib.parse import quote, unquote, urlsplit

from pydantic import field_validator

from extractors import dom
from extractors.base import Layout, SiteExtractor
from extractors.clean import slugify, url_path
from extractors.labels import UNLEARNT, Labels
from extractors.names import NOBODY
from extractors.options import Options
from extractors.reconcile import Claim
from extractors.unread import placed, unread
from milepost.errors import ExtractError
from milepost.records import Card, KnownNames, Milestone, Page, PageKind, Unread

_IN_FRAGMENT = "!$&'()*+,;=:@/?-._~"  # RFC 3986 §3.5


class Entry(NamedTuple):
    """One milestone of a page, before it is judged."""

    key: str
    claims: Sequence[Claim]
    anchor: str = ""  # the id that the page has for it, where that is another than its key
    url: str = ""  # of a page of its own that the page leads to
    links: tuple[str, ...] = ()  # addresses that it links to, as they are written
    silent: tuple[str, ...] = ()  # settings beside those of its fields that led to nothing


class ListOptions(Options):
    """[sources.options] of a source whose milestones are on one page."""

    path: str = "/"

    @field_validator("path")
    @classmethod
    def _rooted(cls, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError('want a path from the root, as in "/changelog"')
        return path if "?" in path else path.rstrip("/") or "/"


class ListPage(SiteExtractor):
    """The parts that all such sources share; a site says how a page falls into entries."""

    nothing: ClassVar[str] = "It may be a new layout."  # what to do where there is none
    a_window: ClassVar[bool] = False  # the page holds its newest entries: one that is not on it any more is not gone

    def __init__(self, options: ListOptions | None = None) -> None:
        # The query is a part of the page's identity, which has none: CrawlPlan.with_queries.
        self.path = (options or ListOptions()).path.replace("?", "%3F", 1)
        self.seeds = (self.path,)
        self._parted: tuple[Page, Sequence[Entry | Unread]] | None = None  # the last page: read, then asked for unread

    @classmethod
    def configured(cls, options: Mapping[str, object]) -> Self:
        return cls(ListOptions.taken(options, cls.name))

    @abstractmethod
    def entries(self, page: Page) -> Sequence[Entry | Unread]:
        """The milestones of a page in its order, among them what looks like one and can't be read as one.

        Raises ExtractError when the page is none of this build.
        """

    def classify(self, path: str) -> PageKind:
        return "milestone" if (url_path(path) or "/") == self.path else "other"

    def key(self, url: str) -> str:
        key = slugify(unquote(urlsplit(url).fragment))
        if not key:
            raise ExtractError("the address names no entry of the page (…#entry)", where=url)
        return key

    def cards(self, page: Page) -> tuple[Card, ...]:
        del page
        return ()

    def layouts(self) -> Sequence[Layout]:
        return ()

    def read_many(
        self, page: Page, *, source: str, cards: Sequence[tuple[str, Card]] = (), known: KnownNames = NOBODY,
        labels: Labels = UNLEARNT,
    ) -> tuple[Milestone, ...]:
        """Every milestone of the page, each under the page's address and its own fragment.

        Of entries that share a key the first is taken; the others are `unread`. Raises ExtractError when there is none.
        """
        del cards, known, labels
        found: dict[str, Milestone] = {}
        puzzling: list[Unread] = []
        for one in self._judged(page, source):
            if isinstance(one, Unread):
                puzzling.append(one)
            else:
                found[one.key] = one
        if not found:
            told = f": {len(puzzling)} look like one and could not be read, as {puzzling[0]}" if puzzling else ""
            raise ExtractError(f"no milestone on this page{told}", where=page.url, hint=self.nothing)
        return tuple(found.values())

    def unread(self, page: Page) -> tuple[Unread, ...]:
        return placed([one if isinstance(one, Unread) else one.date for one in self._judged(page, "")])

    def _judged(self, page: Page, source: str) -> list[Milestone | Unread]:
        """The page's entries in its order; one that is no milestone when it is looked at closely is unread."""
        dom.check_size(page.text, page.url)
        base = page.url.partition("#")[0]
        judged: list[Milestone | Unread] = []
        met: set[str] = set()
        if self._parted is None or self._parted[0] != page:
            self._parted = (page, self.entries(page))
        for entry in self._parted[1]:
            if isinstance(entry, Unread):
                judged.append(entry)
                continue
            if entry.key in met:
                judged.append(unread("entry", entry.key, "an entry before it has the same key"))
                continue
            url = f"{base}#{quote(entry.anchor, safe=_IN_FRAGMENT) if entry.anchor else entry.key}"
            try:
                record = self.milestone(entry.claims, source=source, key=entry.key, url=entry.url or url,
                                        silent=entry.silent)
                apart = self.a_window or entry.url
                judged.append(replace(record, found_on=base) if apart else record)
                met.add(entry.key)
            except ExtractError as error:
                judged.append(unread("entry", entry.key, error.what))
        return judged

    def read(
        self, page: Page, *, source: str, cards: Sequence[tuple[str, Card]] = (), known: KnownNames = NOBODY,
        labels: Labels = UNLEARNT,
    ) -> Milestone:
        """The milestone that the fragment of the page's address names; raises ExtractError when there is none."""
        key = self.key(page.url)
        for milestone in self.read_many(page, source=source, cards=cards, known=known, labels=labels):
            if milestone.key == key or milestone.url == page.url:
                return milestone
        raise ExtractError(f"no entry {key!r} on this page", where=page.url)

    def read_text(self, text: str, *, source: str, url: str, known: KnownNames = NOBODY) -> Milestone:
        return self.read(Page(url=url, text=text), source=source, known=known)
