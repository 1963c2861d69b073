"""Gathers what is known of the sites beside an issue's records: their languages, words and the pages of neighbours.

    settings, store ─▶ known_of ─▶ newsletter.issue.known.Known
"""

from collections.abc import Mapping, Sequence

from milepost.records import IssueItem
from milepost.settings import Settings
from newsletter.issue.known import Known, Picture, page_key, slugs_of
from newsletter.issue.view import nearest
from store.database import Database
from store.milestones.milestones import Milestones
from store.milestones.source_labels import SourceLabels


def known_of(
    settings: Settings, database: Database, items: Sequence[IssueItem], pictures: Mapping[str, Picture]
) -> Known:
    """What an issue of these items shows of it, and no more: only that is hashed. `pictures`: those of its leads."""
    milestones = [item.milestone for item in items]
    met = {milestone.source for milestone in milestones}
    shown = slugs_of(items)
    return Known(
        languages={source.key: source.language for source in settings.sources if source.key in met and source.language},
        site_labels={slug: words for slug, words in SourceLabels(database).words().items()
                     if slug in shown and slug not in settings.newsletter.labels},
        labels={slug: words for slug, words in settings.newsletter.labels.items() if slug in shown},
        pages=_pages(database, items),
        pictures=pictures,
    )


def _pages(database: Database, items: Sequence[IssueItem]) -> dict[str, str]:
    """The pages of the neighbours that are on record themselves."""
    wanted: dict[str, set[str]] = {}
    for milestone in (item.milestone for item in items):
        for card in nearest(milestone):
            if card is not None and card.key:
                wanted.setdefault(milestone.source, set()).add(card.key)
    milestones = Milestones(database)
    return {
        page_key(source, key): stored.milestone.url
        for source, keys in sorted(wanted.items())
        for key, stored in sorted(milestones.some(source, keys, visible=True).items())
    }
