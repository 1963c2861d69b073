"""One stored page, and how it is read: pure, in whichever process."""

from collections.abc import Mapping
from dataclasses import dataclass

from extractors import registry
from extractors.charset import decode
from extractors.labels import Labels
from milepost.records import Card, LabelPair, Milestone, Page, Unread


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """Which extractor reads for which source; small enough to be sent to another process with every batch."""

    source: str
    extractor: str
    options: Mapping[str, object]
    labels: tuple[LabelPair, ...] = ()  # what the source's labels stand for


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A stored page as a reader gets it."""

    url: str
    snapshot_id: int
    body: bytes
    content_type: str
    cards: tuple[tuple[str, Card], ...] = ()

    @property
    def page(self) -> Page:
        """Its text, as extractors get it."""
        return Page(url=self.url, text=decode(self.body, self.content_type))


def read_records(reader: Reader, stored: Stored) -> tuple[Milestone, ...]:
    """The milestones of a page; raises ExtractError. Runs in any process."""
    site = registry.get(reader.extractor, reader.options)
    labels = Labels(reader.labels)
    return site.read_many(stored.page, source=reader.source, cards=stored.cards, labels=labels)


def read_unread(reader: Reader, stored: Stored) -> tuple[Unread, ...]:
    """What looks like a milestone on a page and could not be read; raises ExtractError. Runs in any process."""
    return registry.get(reader.extractor, reader.options).unread(stored.page)


def read_cards(reader: Reader, stored: Stored) -> tuple[Card, ...]:
    """The cards of a listing; raises ExtractError for markup that can't be read. Runs in any process."""
    return registry.get(reader.extractor, reader.options).cards(stored.page)
