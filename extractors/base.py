"""What every site's extractor is: pure reading of pages into milestones, by layouts that are tried in turn.

    Page ─▶ dom.cut ─▶ layout.claims ─┐
            (dom.whole when the cut    ├─▶ reconcile ─▶ Milestone
             does not show a record)   │
    cards of other pages ─────────────┘
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol, Self
from urllib.parse import urljoin

from lxml.etree import _Element as Element

from extractors import cards as card_witness
from extractors import dom, jsonld
from extractors.clean import KEY_CAP, is_void, slugify, url_path
from extractors.labels import UNLEARNT, Labels, resolve, spelt_as, taught
from extractors.names import NOBODY
from extractors.reconcile import PRECEDENCE, UNREAD, Claim, reconcile, unread_of
from milepost.errors import ExtractError, SettingsError
from milepost.fields import FIELDS, of_type
from milepost.records import Card, KnownNames, LabelPair, Milestone, Page, PageKind, SiteLabel, Unread, Witness

HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_MARKDOWN_TYPES = frozenset({"text/markdown", "text/x-markdown", "text/plain"})
_MARKDOWN_NAMES = (".md", ".markdown", ".mkd", ".mdown")
_TELLING = frozenset(of_type("prose"))
_DATELESS = frozenset(FIELDS) - {"date"}


class Layout(Protocol):
    """One build of a site's milestone page. A redesign is a second layout; the first keeps reading old snapshots."""

    name: str

    def claims(self, parts: dom.Parts, blocks: jsonld.Blocks, *, url: str, known: KnownNames) -> list[Claim]:
        """Everything the page says, read as this layout; [] when it is not of this build. Raises nothing."""
        ...


class _Reading(NamedTuple):
    claims: list[Claim]
    problems: tuple[tuple[str, str], ...]
    score: tuple[int, int]
    labels: tuple[LabelPair, ...]
    spelt: tuple[SiteLabel, ...]


class SiteExtractor(ABC):
    """One site: which of its paths are milestones, and how its pages are read. Never fetches."""

    name: ClassVar[str]
    version: ClassVar[int]
    seeds: tuple[str, ...] = ("/",)  # listing paths that are always asked for
    precedence: ClassVar[Mapping[str, tuple[str, ...]]] = PRECEDENCE
    links: Mapping[str, str] = MappingProxyType({})  # field → path prefix of the links that name its slugs
    follows_anywhere: ClassVar[bool] = False  # its pages are asked for wherever they redirect to, as feeds are
    pages: int = 1  # of one list that are asked for, by `following`
    lists_all: bool = False  # its pages hold all entries, those with a page of their own too: one that left is gone
    whole_documents: bool = True  # its pages end in </html>: one that doesn't was cut off on the way
    settings: Mapping[str, str] = MappingProxyType({})  # what settings say where it stands on a page: "date" → "time"
    settings_witness: ClassVar[str] = ""  # whose claims come from there

    @classmethod
    def configured(cls, options: Mapping[str, object]) -> Self:
        """An extractor set up with a source's options; raises SettingsError for options that it doesn't take."""
        if options:
            raise SettingsError(
                f"the extractor {cls.name!r} takes no options", where="sources.options", hint="Take them out.",
            )
        return cls()

    @property
    def signature(self) -> str:
        """What records carry in `extractor`: "aitimeline/1"."""
        return f"{self.name}/{self.version}"

    @abstractmethod
    def classify(self, path: str) -> PageKind:
        """What kind of page a path leads to."""

    def takes(self, content_type: str, path: str) -> bool:
        """Whether a page at `path` that is served as `content_type` may be one to read.

        `content_type`: in small letters, without its parameters; "" where the server gives none.
        """
        del path
        return content_type in HTML_TYPES

    @abstractmethod
    def key(self, url: str) -> str:
        """The milestone's key in its address; raises ExtractError when the address is not a milestone's."""

    @abstractmethod
    def cards(self, page: Page) -> tuple[Card, ...]:
        """The cards of a listing page; () when there are none. Raises ExtractError where no parser may be tried."""

    def following(self, page: Page) -> str | None:
        """The address of the page that goes on where a milestone's page ends (an API's next one); None for none."""
        del page
        return None

    def unread(self, page: Page) -> tuple[Unread, ...]:
        """What looks like a milestone on a page that `read_many` or `cards` was given, and could not be read by it.

        In the page's order; () where nothing does, and from an extractor that can't tell. Raises ExtractError.
        """
        del page
        return ()

    @abstractmethod
    def layouts(self) -> Sequence[Layout]:
        """The site's layouts, newest first."""

    @abstractmethod
    def read_text(self, text: str, *, source: str, url: str, known: KnownNames = NOBODY) -> Milestone:
        """Read a milestone from a page's plain text; raises ExtractError when it holds none."""

    def read(
        self, page: Page, *, source: str, cards: Sequence[tuple[str, Card]] = (), known: KnownNames = NOBODY,
        labels: Labels = UNLEARNT,
    ) -> Milestone:
        """Read a milestone page; `cards` are (listing address, card) of this key from other pages.

        `labels`: what the source's labels stand for, as learnt from other pages; what this page teaches of them is in
        the record's own `labels`.
        Raises ExtractError when the page is no milestone, was cut off, or has no usable title.
        """
        key = self.key(page.url)
        dom.check_size(page.text, page.url)
        if self.whole_documents and not dom.is_complete(page.text):
            raise ExtractError(
                "the page ends early: no </html>", where=page.url, hint="It is asked for again at the next look."
            )
        try:
            reading = self._read_parts(page, known)
        except ExtractError as error:
            raise ExtractError(error.what, where=error.where or page.url, hint=error.hint) from None
        told = [*reading.claims, *card_witness.claims(cards)]
        resolved = resolve(told, Labels(reading.labels), labels)
        return self.milestone(
            resolved.claims, source=source, key=key, url=page.url, problems=reading.problems,
            labels=(*reading.labels, *resolved.unpaired), spelt=reading.spelt,
            silent=tuple(dict.fromkeys(name for _, card in cards for name in card.silent if name in self.settings)),
        )

    def tree(self, page: Page) -> Element:
        """The tree of a listing page, for `cards`; raises ExtractError for a page that no parser is given."""
        dom.check_size(page.text, page.url)
        try:
            root = (dom.cut(page.text) or dom.whole(page.text)).root
        except ExtractError as error:
            raise ExtractError(error.what, where=page.url, hint=error.hint) from None
        self._root_links(root, page.url)
        return root

    def _root_links(self, root: Element, url: str) -> None:
        """Write links to milestones as paths, whatever they are relative to; `url` may have lost its closing slash."""
        base = dom.base_of(root, url)
        for link in root.iter("a"):
            address = link.get("href")
            if not address or address.startswith(("/", "#", "?")) or "://" in address:
                continue
            for start in (base, f"{base.rstrip('/')}/"):
                path = url_path(_joined(start, address))
                if path and self.classify(path) == "milestone":
                    link.set("href", path)
                    break

    def read_many(
        self, page: Page, *, source: str, cards: Sequence[tuple[str, Card]] = (), known: KnownNames = NOBODY,
        labels: Labels = UNLEARNT,
    ) -> tuple[Milestone, ...]:
        """All milestones of a page: one, save where a site keeps several on a page. Raises ExtractError."""
        return (self.read(page, source=source, cards=cards, known=known, labels=labels),)

    def milestone(
        self, claims: Sequence[Claim], *, source: str, key: str, url: str,
        problems: Sequence[tuple[str, str]] = (), labels: tuple[LabelPair, ...] = (),
        spelt: tuple[SiteLabel, ...] = (), silent: Sequence[str] = (),
    ) -> Milestone:
        """Judge claims and close the record; raises ExtractError without a title to stand by.

        `silent`: of `settings` those that name no field and led to nothing.
        """
        verdict = reconcile(claims, self.precedence)
        title = verdict.values.get("title")
        if not isinstance(title, str):
            raise ExtractError("the page has no title", where=url, hint="It may be an error page, or a new layout.")
        for claim in verdict.told["title"]:
            if isinstance(claim.value, str) and is_void(claim.value):
                raise ExtractError(f"the title is {claim.value!r}: the page was made without its data", where=url)
        evidence = verdict.evidence
        if problems:
            evidence["page"] = tuple(
                Witness(witness=jsonld.WITNESS, where=where, says=problem) for where, problem in problems
            )
        if "date" in verdict.unknown and (unread := unread_of(verdict.told.get(UNREAD, ()))):
            evidence[UNREAD] = unread
        values: dict[str, Any] = dict(verdict.values)
        return Milestone(
            source=source, key=key, url=url, unknown=verdict.unknown, evidence=evidence, extractor=self.signature,
            labels=labels, spelt=(*spelt, *spelt_as(values.get("organizations") or ())),
            silent=(*self._silent(claims), *silent) if self.settings else (), **values,
        )

    def _silent(self, claims: Sequence[Claim]) -> Iterator[str]:
        """The fields that settings name a place of, where nothing stood there."""
        told = {"date" if claim.field == UNREAD else claim.field for claim in claims
                if claim.witness == self.settings_witness}
        return (name for name in self.settings if name in FIELDS and name not in told)

    def _read_parts(self, page: Page, known: KnownNames) -> _Reading:
        """The best reading of the cut; of the whole page when the cut shows no record of both witnesses."""
        parts = dom.cut(page.text)
        if parts is not None:
            reading = self._best(page, parts, known)
            if reading.score[0] and any(claim.where == "h1" for claim in reading.claims):
                return reading
        reading = self._best(page, dom.whole(page.text), known)
        if not reading.score[0]:
            raise ExtractError(
                "no milestone on this page: no title with what happened or why it mattered",
                hint="It may be an error page, or a new layout.",
            )
        return reading

    def _best(self, page: Page, parts: dom.Parts, known: KnownNames) -> _Reading:
        blocks = jsonld.read_blocks(parts.ld, parts.language)
        best: list[Claim] = []
        score = (0, 0)
        for layout in self.layouts():
            claims = layout.claims(parts, blocks, url=page.url, known=known)
            if (reached := _score(claims)) > score:
                best, score = claims, reached
        links = taught(parts.root, self.links)
        return _Reading(best, blocks.problems, score, links.pairs, links.spelt)


def takes_markdown(content_type: str, path: str) -> bool:
    """Whether Markdown may be what is served: as such, as text, or at a path of that name as anything or nothing."""
    named = path.casefold().endswith(_MARKDOWN_NAMES)
    return content_type in _MARKDOWN_TYPES or (named and content_type in ("", "application/octet-stream"))


def _score(claims: Sequence[Claim]) -> tuple[int, int]:
    """(fields told, dates told): 0 fields unless there is a title and one of the two texts; dates only break ties."""
    told = {claim.field for claim in claims if claim.value}
    if "title" not in told or not told & _TELLING:
        return 0, 0
    return len(told & _DATELESS), int("date" in told)


def _joined(base: str, address: str) -> str:
    try:
        return urljoin(base, address.strip())
    except ValueError:
        return ""


def slug_of(name: str) -> str:
    """A key from an address, a path or a file's name: "…/timeline/alexnet-2012.html" → "alexnet-2012"."""
    last = url_path(name).rpartition("/")[2] or name
    stem = last.removesuffix(".html").removesuffix(".txt")
    slug = slugify(stem, KEY_CAP)
    if not slug:
        raise ExtractError("no key can be made from this address", where=name, hint="Give the milestone's URL or slug.")
    return slug
