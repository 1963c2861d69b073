"""The registry of fields: what it says of each is whole, and records, hashes and languages go by it."""

import dataclasses
from typing import Any

import pytest

from milepost.codec import milestone_from_json, milestone_to_json
from milepost.dates import PartialDate
from milepost.fields import CONTENT_FIELDS, EMPTY, FIELD, FIELDS
from milepost.fingerprint import fingerprint, hashed_record
from milepost.records import Card, Image, Milestone
from newsletter.news.rules import RULES

BARE = Milestone(source="harbour", key="lamp", url="https://harbour.example/m/lamp", title="The lamp")
VALUES: dict[str, Any] = {
    "line": "A line", "prose": "Some words.", "slug": "slug", "level": 3, "date": PartialDate(value="1911-10"),
    "names": ("Ada Reed",), "slugs": ("oil",), "image": Image(url="https://harbour.example/a.png"),
    "cards": (Card(key="tower", title="The tower"),),
}


def test_every_field_is_an_attribute_of_a_record_that_is_empty_unless_told() -> None:
    identity = {"source", "key", "url", "unknown", "evidence", "extractor"}
    attributes = {one.name: one for one in dataclasses.fields(Milestone) if one.name not in identity}
    assert set(attributes) == set(FIELDS)
    assert {name: one.default for name, one in attributes.items() if name != "title"} == {
        name: FIELD[name].empty for name in FIELDS if name != "title"
    }
    assert set(EMPTY) == set(VALUES)


def test_every_compared_field_has_a_rule() -> None:
    assert tuple(RULES) == CONTENT_FIELDS
    assert set(FIELDS) - set(CONTENT_FIELDS) == {"related"}


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_survives_json_full_and_empty(name: str) -> None:
    full = dataclasses.replace(BARE, **{name: VALUES[FIELD[name].type]})
    assert milestone_from_json(milestone_to_json(full)) == full
    assert milestone_from_json(milestone_to_json(BARE)) == BARE


def test_an_earlier_field_is_in_a_hash_when_it_is_known_to_be_empty() -> None:
    unknown = dataclasses.replace(BARE, unknown=frozenset({"people"}))
    assert fingerprint(unknown) != fingerprint(BARE)
    assert hashed_record(unknown)["unknown"] == ["people"]
