"""The registry of fields: what it says of each is whole, and records, hashes and languages go by it."""

import dataclasses
from typing import Any

import pytest

from milepost.codec import milestone_from_json, milestone_to_json
from milepost.dates import PartialDate
from milepost.fields import CONTENT_FIELDS, EMPTY, FIELD, FIELDS
from milepost.fingerprint import fingerprint, hashed_record
from milepost.records import Card, Image, Milestone
from newsletter.news.rules import RULES, judge

BARE = Milestone(source="harbour", key="lamp", url="https://harbour.example/m/lamp", title="The lamp")
VALUES: dict[str, Any] = {
    "line": "A line", "prose": "Some words.", "slug": "slug", "level": 3, "date": PartialDate(value="1911-10"),
    "names": ("Ada Reed",), "slugs": ("oil",), "image": Image(url="https://harbour.example/a.png"),
    "cards": (Card(key="tower", title="The tower"),),
}


def test_every_field_is_an_attribute_of_a_record_that_is_empty_unless_told() -> None:
    identity = {"source", "key", "url", "found_on", "unknown", "evidence", "extractor", "labels", "spelt", "silent"}
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


LATER = [name for name in CONTENT_FIELDS if not FIELD[name].hashes_empty]


def test_only_the_first_fields_are_hashed_when_they_are_empty() -> None:
    """No other may ever be: it would give every stored record another hash."""
    assert [name for name in CONTENT_FIELDS if FIELD[name].hashes_empty] == [
        "title", "date", "category", "era", "impact", "what_happened", "why_it_mattered", "people", "organizations",
        "tags", "image",
    ]
    assert LATER


@pytest.mark.parametrize("name", LATER)
def test_a_later_field_is_in_a_hash_only_where_it_tells_something(name: str) -> None:
    unknown = dataclasses.replace(BARE, unknown=frozenset({name}))
    told = dataclasses.replace(BARE, **{name: VALUES[FIELD[name].type]})
    assert fingerprint(unknown) == fingerprint(BARE) != fingerprint(told)
    assert hashed_record(unknown) == hashed_record(BARE)
    assert name not in hashed_record(BARE)
    assert hashed_record(told)[name]


@pytest.mark.parametrize("name", LATER)
def test_what_was_written_before_a_field_came_does_not_know_it(name: str) -> None:
    written = {key: value for key, value in milestone_to_json(BARE).items() if key != name}
    record = milestone_from_json(written)
    assert record == dataclasses.replace(BARE, unknown=frozenset({name}))
    assert fingerprint(record) == fingerprint(BARE)
    del written["people"]
    with pytest.raises(KeyError, match="people"):
        milestone_from_json(written)


@pytest.mark.parametrize("name", LATER)
def test_learning_that_a_later_field_is_empty_is_no_change(name: str) -> None:
    before = dataclasses.replace(BARE, unknown=frozenset({name, "people"}))
    assert judge(name, before, BARE, {}) is None
    assert judge(name, before, dataclasses.replace(BARE, **{name: VALUES[FIELD[name].type]}), {}) == "enriched"
    assert judge("people", before, BARE, {}) == "enriched"
