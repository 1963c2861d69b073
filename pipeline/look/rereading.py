"""Pages as they were, read once more by today's extractor: what of a difference is the reader's, and not the site's.

    known, read by another extractor then ─▶ what today's makes of that very page: what differs is no news
    new keys ─▶ the page as it was last read ─▶ those that are read there too
                ├▶ like a known one in all that names it: that one, under another key
                ├▶ on the page already at the first look: on record from now on, and no news
                ├▶ named by a feed when that was first read, and by nothing else: the same
                └▶ no news that could be told apart, beside known ones that nobody reads any more: a reason to hold
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from extractors.labels import Labels
from milepost.fingerprint import fingerprint
from milepost.records import LabelPair, Milestone, StoredMilestone, page_address
from milepost.same import fold
from newsletter.news.detect import merge
from pipeline.look.packed_records import Chosen
from pipeline.look.page_archiver import CrawledLook
from pipeline.look.reading import read_stored


def reread_by_another(
    at: CrawledLook, known: Mapping[str, StoredMilestone], read: Mapping[str, Milestone], labels: tuple[LabelPair, ...]
) -> Mapping[str, Milestone]:
    """Key → what today's extractor makes of the snapshot that the known record came from, had another read it.

    `read`: by the known key, what is read now; where that says the same, nothing depends on who says it. Of a page that
    holds several, the snapshot that was read last stands for all of them: what an entry says has not changed since its
    own, or there would be a later one. Left out: what was imported, and what today's extractor can't read there.
    """
    work: dict[str, int] = {}
    shared: set[str] = set()
    meanings = Labels(labels)
    for key, now in read.items():
        stored = known.get(key)
        if stored is None or stored.snapshot_id is None or stored.milestone.extractor == at.site.signature:
            continue
        if fingerprint(merge(stored.milestone, now, (), meanings)) == stored.fingerprint:
            continue
        if stored.milestone.shares_its_page:
            shared.add(stored.milestone.page)
        else:
            work[stored.milestone.page] = stored.snapshot_id
    work |= {url: last.snapshot_id for url, last in at.pages.last_read(at.source, shared).items()}
    if not work:
        return {}
    return read_stored(at.intake.guard, at.snapshots, at.pages, work, labels=labels, dry=True).records


@dataclass(frozen=True, kw_only=True, slots=True)
class StoodBefore:
    """Of what appeared in a look."""

    moved: Mapping[str, str] = field(default_factory=dict)  # known key → its new one
    no_news: frozenset[str] = frozenset()  # keys
    fed: frozenset[str] = frozenset()  # of those what a feed named when it was first read
    unsure: frozenset[str] = frozenset()  # keys of what may be known ones, read otherwise
    left: frozenset[str] = frozenset()  # those known ones: nobody reads them on the page as it was


def stood_before(at: CrawledLook, appeared: Mapping[str, Milestone], read: Mapping[str, Milestone]) -> StoodBefore:
    """Judge what appeared by its pages as they were last read, `read` being all that this look read; by key."""
    if not appeared:
        return StoodBefore()
    fed = at.feeds.stood(appeared, {url for url, found_by in at.crawled.found_by.items() if "sitemap" in found_by})
    found = _stood_on_its_page(at, Chosen(appeared, [key for key in appeared if key not in fed]), read)
    return replace(found, no_news=found.no_news | fed, fed=fed)


def _stood_on_its_page(
    at: CrawledLook, appeared: Mapping[str, Milestone], read: Mapping[str, Milestone]
) -> StoodBefore:
    pages = {record.page for record in appeared.values()}
    last = at.pages.last_read(at.source, pages)
    if not last:
        return StoodBefore()  # the rule: a new page, or a page of several that this is the first time for
    work = {url: one.snapshot_id for url, one in last.items()}
    earlier = read_stored(at.intake.guard, at.snapshots, at.pages, work, dry=True).records
    stood = {key: record for key, record in appeared.items() if key in earlier}
    # what a held look wrote is on record, and waits for its operator
    stood = {key: stood[key] for key in stood.keys() - at.milestones.some(at.source, stood).keys()}
    if not stood:
        return StoodBefore()
    known = at.milestones.known(at.source)
    gone = at.milestones.withdrawn(at.source)
    left = {key: stored for key, stored in known.items()
            if key not in earlier and key not in read and key not in gone
            and stored.milestone.page in {record.page for record in stood.values()}}
    moved = _moved(left, stood)
    first = _at_the_first_look(at, {record.page for key, record in stood.items() if key not in moved.values()})
    no_news = (stood.keys() - moved.values()) & first
    unsure = stood.keys() - moved.values() - no_news
    fallen = {page_address(url) for url in at.pages.fallen(at.source)}
    lost = frozenset(key for key, stored in left.items()
                     if key not in moved and not stored.milestone.found_on and stored.milestone.url not in fallen)
    return StoodBefore(moved=moved, no_news=frozenset(no_news), unsure=frozenset(unsure) if lost else frozenset(),
                       left=lost if unsure else frozenset())


def _moved(left: Mapping[str, StoredMilestone], stood: Mapping[str, Milestone]) -> dict[str, str]:
    """Known key → new key, where both have one page to themselves, or one title and one date, and nobody else has."""
    names: dict[object, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for key, stored in left.items():
        for name in _names(stored.milestone):
            names[name][0].append(key)
    for key, record in stood.items():
        for name in _names(record):
            names[name][1].append(key)
    found: dict[str, str] = {}
    for olds, news in names.values():
        if len(olds) == len(news) == 1 and news[0] not in found.values():
            found.setdefault(olds[0], news[0])
    return found


def _names(record: Milestone) -> Iterable[tuple[str, ...]]:
    if not record.shares_its_page:
        yield "page", record.url
    date = "" if record.date is None else record.date.value
    yield "title", fold(record.title), date


def _at_the_first_look(at: CrawledLook, pages: Iterable[str]) -> set[str]:
    """The keys that today's extractor reads on these pages as they were when the baseline was made."""
    over = at.looks.baseline_over(at.source)
    if over is None:
        return set()
    work = {url: of_then[-1] for url in pages
            if (of_then := [number for number, fetched_at, _ in at.snapshots.history(at.source, url)
                            if fetched_at <= over])}
    return set(read_stored(at.intake.guard, at.snapshots, at.pages, work, dry=True).records) if work else set()
