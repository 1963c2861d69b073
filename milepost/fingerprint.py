"""What makes two readings of a milestone the same: a hash of its canonical record, never of the page's bytes."""

from milepost.codec import field_to_json, json_hash
from milepost.records import CONTENT_FIELDS, Milestone


def fingerprint(milestone: Milestone) -> str:
    """SHA-256 over the content fields and which of them are unknown; Related cards and evidence don't count."""
    content = {name: field_to_json(milestone, name) for name in CONTENT_FIELDS if name not in milestone.unknown}
    return json_hash({"key": milestone.key, "content": content})
