"""Whether there is anything to read again by a selection, told before it is begun."""

from collections.abc import Sequence

from milepost.errors import NotFoundError
from pipeline.backfill import Selection
from store.database import Database
from store.milestones.milestones import Milestones


def require_some(database: Database, sources: Sequence[str], selection: Selection) -> None:
    """Raises NotFoundError when a key is of no milestone of these sources, or when no record fits keys and extractor.

    One source alone may lack them: what is asked for may be another's.
    """
    milestones, wanted = Milestones(database), selection.extractor
    for key in selection.keys:
        if not any(milestones.some(source, [key]) for source in sources):
            raise NotFoundError(f"there is no milestone {key!r}", where=", ".join(sources),
                                hint="See `milepost milestones`.")
    if wanted is not None and not any(_read_by(milestones, source, selection.keys, wanted) for source in sources):
        raise nothing_fits(f"{wanted} read no such record")


def nothing_fits(why: str | None = None) -> NotFoundError:
    """What is said of a selection by which nothing is read."""
    hint = "See `milepost show KEY --history` for what read a record, and when."
    return NotFoundError("no stored page fits the selection" + (f": {why}" if why else ""), hint=hint)


def _read_by(milestones: Milestones, source: str, chosen: Sequence[str], extractor: str) -> bool:
    records = milestones.some(source, chosen).values() if chosen else milestones.iterate(source)
    return any(stored.milestone.extractor == extractor for stored in records)
