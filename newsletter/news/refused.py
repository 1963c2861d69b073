"""What an operator refused is not read once more: the values that were known stand, and what was no milestone is none.

    records read, what was refused of each ─▶ as they are to be judged, and how many that changed
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from milepost.codec import field_to_json
from milepost.fields import FIELDS
from milepost.records import Milestone, RefusedChange

_NAMED_BY = ("title", "date")  # what says that it is the same that was refused, whatever else its page tells


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """What was read, without what was refused."""

    records: Mapping[str, Milestone]
    dropped: frozenset[str]  # keys of what is no milestone
    kept: frozenset[str]  # keys of those of which a value stays as it was

    @property
    def count(self) -> int:
        """Records that were refused, all or in part."""
        return len(self.dropped) + len(self.kept)


def without_refused(
    read: Mapping[str, Milestone], known: Mapping[str, Milestone], refused: Mapping[str, Sequence[RefusedChange]]
) -> Refused:
    """The records to judge; all by key. Only the very value that was refused counts as unread: another is judged. Pure.

    `known`: what stands on record, without what only a refused look has seen.
    """
    records: dict[str, Milestone] = {}
    dropped: set[str] = set()
    kept: set[str] = set()
    for key, record in read.items():
        changes, stands = refused.get(key, ()), known.get(key)
        if stands is None:
            if any(_same(record, one.record) for one in changes):
                dropped.add(key)
                continue
            records[key] = record
            continue
        names = {
            part.field for one in changes for part in one.fields
            if part.field in FIELDS and part.field not in record.unknown
            and field_to_json(record, part.field) == part.new != field_to_json(stands, part.field)
        }
        records[key] = _as_known(record, stands, names) if names else record
        if names:
            kept.add(key)
    return Refused(records=records, dropped=frozenset(dropped), kept=frozenset(kept))


def _same(record: Milestone, refused: Milestone) -> bool:
    return all(field_to_json(record, name) == field_to_json(refused, name) for name in _NAMED_BY)


def _as_known(record: Milestone, known: Milestone, names: set[str]) -> Milestone:
    evidence = {name: told for name, told in record.evidence.items() if name not in names}
    evidence |= {name: known.evidence[name] for name in names if name in known.evidence}
    unknown = (record.unknown - names) | (known.unknown & names)
    return replace(record, **{name: getattr(known, name) for name in names}, unknown=unknown, evidence=evidence)
