"""What the tests of extractors ask of a record: on which of its fields the witnesses differ."""

from collections.abc import Mapping, Sequence

from milepost.fields import FIELDS
from milepost.records import Witness


def disagreements(evidence: Mapping[str, Sequence[Witness]]) -> tuple[str, ...]:
    """The fields of a record on which its witnesses differ."""
    return tuple(field for field in FIELDS if any(witness.says is not None for witness in evidence.get(field, ())))
