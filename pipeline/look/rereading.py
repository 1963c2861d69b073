"""Known pages read once more by today's extractor where another had read them: what it makes of them is no news."""

from collections.abc import Collection, Mapping

from milepost.records import Milestone, StoredMilestone
from pipeline.look.page_archiver import CrawledLook
from pipeline.look.reading import read_stored
from store.milestones.source_labels import SourceLabels


def reread_by_another(
    at: CrawledLook, known: Mapping[str, StoredMilestone], keys: Collection[str]
) -> dict[str, Milestone]:
    """Key → what today's extractor makes of the snapshot that the known record came from, had another read it.

    Left out: what was imported, what shares its page with others (as many snapshots as entries), and what today's
    extractor can't read there.
    """
    work = {
        stored.milestone.page: stored.snapshot_id for key in keys
        if (stored := known.get(key)) is not None and stored.snapshot_id is not None
        and stored.milestone.extractor != at.site.signature and not stored.milestone.shares_its_page
    }
    if not work:
        return {}
    labels = SourceLabels(at.database).known(at.source)
    read = read_stored(at.intake.guard, at.snapshots, at.pages, work, labels=labels, dry=True)
    return dict(read.records)
