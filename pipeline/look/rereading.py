"""Known pages read once more by today's extractor where another had read them: what it makes of them is no news."""

from collections.abc import Mapping

from extractors.labels import Labels
from milepost.fingerprint import fingerprint
from milepost.records import LabelPair, Milestone, StoredMilestone
from newsletter.news.detect import merge
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
