"""Sources that keep all of their milestones on one page: each entry is a record, its key is the page's fragment."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit

from pydantic import field_validator

from extractors import dom
from extractors.base import Layout, SiteExtractor
from extractors.clean import slugify, url_path
from extractors.labels import UNLEARNT, Labels
from extractors.names import NOBODY
from extractors.options import Options
from extractors.reconcile import Claim
from milepost.errors import ExtractError
from milepost.records import Card, KnownNames, Milestone, Page, PageKind


class Entry(NamedTuple):
    """One milestone of a page, before it is judged."""

    key: str
    claims: Sequence[Claim]


class ListOptions(Options):
    """[sources.options] of a source whose milestones are on one page."""

    path: str = "/"

    @field_validator("path")
    @classmethod
    def _rooted(cls, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError('want a path from the root, as in "/changelog"')
        return path.rstrip("/") or "/"


class ListPage(SiteExtractor):
    """The parts that all such sources share; a site says how a page falls into entries."""

    def __init__(self, options: ListOptions | None = None) -> None:
        self.path = (options or ListOptions()).path
        self.seeds = (self.path,)

    @classmethod
    def configured(cls, options: Mapping[str, object]) -> Self:
        return cls(ListOptions.taken(options, cls.name))

    @abstractmethod
    def entries(self, page: Page) -> Sequence[Entry]:
        """The milestones of a page in its order; raises ExtractError when it is none of this build."""

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

        Raises ExtractError when there is none, or when two have one key: then nothing says which is which.
        """
        del cards, known, labels
        dom.check_size(page.text, page.url)
        base = page.url.partition("#")[0]
        found: dict[str, Milestone] = {}
        for key, claims in self.entries(page):
            if key in found:
                raise ExtractError(f"two entries of the page share the key {key!r}", where=page.url)
            found[key] = self.milestone(claims, source=source, key=key, url=f"{base}#{key}")
        if not found:
            raise ExtractError("no milestone on this page", where=page.url, hint="It may be a new layout.")
        return tuple(found.values())

    def read(
        self, page: Page, *, source: str, cards: Sequence[tuple[str, Card]] = (), known: KnownNames = NOBODY,
        labels: Labels = UNLEARNT,
    ) -> Milestone:
        """The milestone that the fragment of the page's address names; raises ExtractError when there is none."""
        key = self.key(page.url)
        for milestone in self.read_many(page, source=source, cards=cards, known=known, labels=labels):
            if milestone.key == key:
                return milestone
        raise ExtractError(f"no entry {key!r} on this page", where=page.url)

    def read_text(self, text: str, *, source: str, url: str, known: KnownNames = NOBODY) -> Milestone:
        return self.read(Page(url=url, text=text), source=source, known=known)
