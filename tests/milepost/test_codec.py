"""The JSON forms of records: documented keys, and back again without loss."""

import json
from dataclasses import replace

from milepost.codec import canonical_json, milestone_from_json, milestone_to_json
from milepost.dates import PartialDate
from milepost.fingerprint import fingerprint
from milepost.records import Card, Image, Milestone, Witness

MILESTONE = Milestone(
    source="clockwork", key="pendulum-1656", url="https://clockwork.example/m/pendulum-1656",
    title="The pendulum clock", date=PartialDate(value="1656-12"), category="mechanism", era="pendulums", impact=5,
    what_happened="Huygens hung a weight on a cord.", why_it_mattered="Minutes began to matter.",
    people=("Christiaan Huygens",), organizations=(), tags=("pendulum",), image=Image(url=None, alt="A clock"),
    related=(Card(key="verge-1300", title="The verge", date=PartialDate(value="1300"), people=("N. N.",)),),
    unknown=frozenset({"organizations"}),
    evidence={"title": (Witness(witness="headings", where="h1"), Witness(witness="json-ld", where="Article.headline"))},
    extractor="sample/1",
)


def test_the_documented_keys_are_all_there_in_order() -> None:
    assert list(milestone_to_json(MILESTONE)) == [
        "source", "key", "url", "title", "date", "category", "era", "impact", "what_happened", "why_it_mattered",
        "people", "organizations", "tags", "image", "location", "related", "unknown", "evidence", "extractor",
    ]


def test_values_have_the_documented_forms() -> None:
    data = milestone_to_json(MILESTONE)
    assert data["date"] == {"value": "1656-12", "precision": "month", "confirmed": True}
    assert data["unknown"] == ["organizations"]
    assert data["evidence"] == {
        "title": [{"witness": "headings", "where": "h1"}, {"witness": "json-ld", "where": "Article.headline"}]
    }
    assert data["related"] == [
        {"key": "verge-1300", "title": "The verge", "category": None, "date": "1300", "summary": "",
         "people": ["N. N."], "organizations": []}
    ]


def test_a_record_survives_the_way_there_and_back() -> None:
    assert milestone_from_json(json.loads(json.dumps(milestone_to_json(MILESTONE)))) == MILESTONE


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical_json({"b": 1, "a": "é"}) == canonical_json({"a": "é", "b": 1}) == '{"a":"é","b":1}'.encode()


def test_the_fingerprint_ignores_neighbours_evidence_and_extractor() -> None:
    other = replace(MILESTONE, related=(), evidence={}, extractor="sample/2")
    assert fingerprint(other) == fingerprint(MILESTONE)


def test_the_fingerprint_sees_every_content_field() -> None:
    changed = [
        replace(MILESTONE, title="x"), replace(MILESTONE, date=None), replace(MILESTONE, category="x"),
        replace(MILESTONE, era="x"), replace(MILESTONE, impact=1), replace(MILESTONE, what_happened="x"),
        replace(MILESTONE, why_it_mattered="x"), replace(MILESTONE, people=()), replace(MILESTONE, tags=()),
        replace(MILESTONE, image=None), replace(MILESTONE, unknown=frozenset()),
    ]
    prints = {fingerprint(milestone) for milestone in [MILESTONE, *changed]}
    assert len(prints) == len(changed) + 1
