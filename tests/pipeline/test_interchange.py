"""Records as others get them and give them: what each form says, and what a line must be to be taken in."""

import csv
import json
from dataclasses import replace
from typing import Any

import pytest

from milepost.codec import milestone_to_json
from milepost.dates import PartialDate
from milepost.errors import InputError
from milepost.records import Card, Image, Milestone, Witness
from pipeline.export import CSV_COLUMNS, lines, to_jsonld
from pipeline.import_milestones import as_imported, parse_line

RECORD = Milestone(
    source="site", key="one", url="https://site.example/m/one", title="=1+1 is told", date=PartialDate(value="1912-04"),
    category="research", era="old", impact=4, what_happened="It happened.", why_it_mattered="</script><b>It mattered.",
    people=("Ada Invented", "-Bert"), organizations=("Made-up Labs",), tags=("clocks",),
    image=Image(url="https://site.example/one.png", alt="A view"), location="=Gull Rock",
    related=(Card(key="two", title="Two"),),
    unknown=frozenset({"related"}), evidence={"title": (Witness(witness="headings", where="h1"),)}, extractor="site/1",
)
BARE = Milestone(source="site", key="bare", url="https://site.example/m/bare", title="Bare", extractor="site/1",
                 date=PartialDate(value="1912-01", confirmed=False), unknown=frozenset({"people"}))


def test_json_lines_hold_the_whole_record() -> None:
    assert [parse_line(line) for line in lines("jsonl", [RECORD, BARE])] == [RECORD, BARE]


def test_a_spreadsheet_calculates_nothing_of_it() -> None:
    header, row, _ = csv.reader(lines("csv", [RECORD, BARE]))
    assert tuple(header) == CSV_COLUMNS
    told = dict(zip(header, row, strict=True))
    assert (told["title"], told["date"], told["image_alt"]) == ("'=1+1 is told", "1912-04", "A view")
    assert (told["location"], header[-2:]) == ("'=Gull Rock", ["location", "unknown"])
    assert (told["people"], told["what_happened"]) == ("Ada Invented; -Bert", "It happened.")


def test_json_ld_is_one_document_of_events() -> None:
    text = "\n".join(lines("jsonld", [RECORD, BARE]))
    assert "</script>" not in text
    document = json.loads(text)
    assert document["@context"] == "https://schema.org"
    one, bare = document["@graph"]
    assert one == to_jsonld(RECORD)
    assert (one["@type"], one["@id"], one["startDate"]) == ("Event", RECORD.url, "1912-04")
    assert one["contributor"][0] == {"@type": "Person", "name": "Ada Invented"}
    assert one["organizer"] == [{"@type": "Organization", "name": "Made-up Labs"}]
    assert one["location"] == {"@type": "Place", "name": "=Gull Rock"}
    assert one["subjectOf"]["abstract"] == RECORD.why_it_mattered
    assert bare == {
        "@type": "Event", "@id": BARE.url, "identifier": "bare", "url": BARE.url, "name": "Bare", "startDate": "1912",
        "subjectOf": {"@type": "Article", "url": BARE.url, "headline": "Bare"},
    }
    assert json.loads("\n".join(lines("jsonld", [])))["@graph"] == []


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        pytest.param({"key": ""}, "has an empty 'key'", id="empty-key"),
        pytest.param({"key": "a\0b"}, "has a 'key' that can't be one", id="nul-in-the-key"),
        pytest.param({"url": "javascript:alert(1)"}, "no http address", id="another-scheme"),
        pytest.param({"title": 7}, "has 7 as 'title', want a text", id="number-as-title"),
        pytest.param({"people": "Ada"}, "has 'Ada' as 'people', want a list", id="text-as-list"),
        pytest.param({"tags": [1]}, "something in 'tags' that is no text", id="numbers-in-a-list"),
        pytest.param({"impact": True}, "has True as 'impact'", id="truth-as-impact"),
        pytest.param({"impact": 9}, "has the impact 9, want 1 to 5", id="impact-9"),
        pytest.param({"date": {"value": "soon", "confirmed": True}}, "a 'date' that can't be: not", id="no-date"),
        pytest.param({"date": {"value": "1912"}}, "has no 'confirmed' in its 'date'", id="half-a-date"),
        pytest.param({"image": {"url": 7, "alt": ""}}, "has 7 as 'url' in its 'image'", id="number-as-picture"),
        pytest.param({"related": ["two"]}, "'related' that is not as `milepost export` writes it", id="no-card"),
        pytest.param({"related": [{"key": "two"}]}, "has no 'title' in its 'related'", id="card-without-title"),
        pytest.param({"evidence": {"title": "h1"}}, "'evidence' that is not as `milepost export`", id="no-witnesses"),
        pytest.param({"evidence": {"title": ["h1"]}}, "'evidence' that is not as `milepost export`", id="no-witness"),
        pytest.param({"evidence": {"title": [{}]}}, "has no 'witness' in its 'evidence'", id="empty-witness"),
        pytest.param({"evidence": {"title": [{"witness": "h", "where": "h1", "when": 1}]}}, "names 'when' in its",
                     id="odd-witness"),
        pytest.param({"unknown": ["colour"]}, "says that 'colour' is unknown", id="no-such-field"),
        pytest.param({"colour": "red"}, "names 'colour', which is no field", id="no-such-name"),
    ],
)
def test_a_line_that_is_no_milestone(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        parse_line(json.dumps(milestone_to_json(RECORD) | changed))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000], ids=["empty", "half", "list", "null", "deep"])
def test_a_line_that_is_no_object(text: str) -> None:
    with pytest.raises(InputError, match="is no JSON"):
        parse_line(text)


def test_what_a_line_leaves_out_is_unknown_and_what_it_says_is_cleaned() -> None:
    told = parse_line(json.dumps({
        "source": "site", "key": "k", "url": "https://site.example/k", "title": "  A\u202e \n title ",
        "what_happened": "x" * 1_000_000, "image": {"url": "javascript:alert(1)", "alt": "A view"},
    }))
    assert told.title == "A title"
    assert len(told.what_happened) < 100_000
    assert told.image == Image(url=None, alt="A view")
    assert {"people", "date", "why_it_mattered", "location"} <= told.unknown
    assert "image" not in told.unknown
    assert "what_happened" not in told.unknown


def test_a_picture_of_which_nothing_can_be_kept_says_nothing() -> None:
    told = parse_line(json.dumps(milestone_to_json(RECORD) | {"image": {"url": "javascript:1", "alt": None}}))
    assert told.image is None
    assert "image" in told.unknown
    kept = as_imported(RECORD, told)
    assert (kept.image, kept.unknown) == (RECORD.image, RECORD.unknown)


def test_what_a_line_tells_otherwise_has_the_import_for_its_witness() -> None:
    told = replace(RECORD, title="Otherwise", evidence={}, extractor="")
    kept = as_imported(replace(RECORD, unknown=frozenset({"related", "era"})), told)
    assert {name: [one.witness for one in witnesses] for name, witnesses in kept.evidence.items()} == {
        "title": ["import"], "era": ["import"],
    }
    assert kept.extractor == RECORD.extractor
    assert as_imported(RECORD, parse_line(json.dumps(milestone_to_json(RECORD)))) == RECORD
