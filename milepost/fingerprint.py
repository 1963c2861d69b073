"""What makes two readings of a milestone the same: a hash of its canonical record, never of the page's bytes.

A field that a release adds leaves every older hash as it was: it is part of one only where it tells something.
"""

from typing import Any

from milepost.codec import empty_to_json, field_to_json, json_hash, milestone_to_json
from milepost.fields import CONTENT_FIELDS, FIELD, FIELDS
from milepost.records import Milestone


def fingerprint(milestone: Milestone) -> str:
    """SHA-256 over the content fields and which of them are unknown; Related cards and evidence don't count."""
    told = {name: field_to_json(milestone, name) for name in CONTENT_FIELDS if name not in milestone.unknown}
    content = {name: value for name, value in told.items() if _counts(name, value)}
    return json_hash({"key": milestone.key, "content": content})


def hashed_record(milestone: Milestone) -> dict[str, Any]:
    """The record as the hash of an issue takes it: without what readers don't see, its evidence and where it was found.
    """
    data = {name: value for name, value in milestone_to_json(milestone).items() if name not in ("evidence", "found_on")}
    silent = {name for name in FIELDS if not _counts(name, data[name])}
    data["unknown"] = [name for name in data["unknown"] if name not in silent]
    return {name: value for name, value in data.items() if name not in silent}


def _counts(name: str, value: object) -> bool:
    return FIELD[name].hashes_empty or value != empty_to_json(name)
