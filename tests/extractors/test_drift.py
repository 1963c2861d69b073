"""The drift guard: what a broken layout does to a source is seen, what news does is not."""

from dataclasses import replace

import pytest

from extractors.drift import Limits, dispute, drift, profile
from milepost.dates import PartialDate
from milepost.records import Image, Milestone, Witness

PAGE = Witness(witness="headings", where="h2")
LD = Witness(witness="json-ld", where="Article")
CARD = Witness(witness="card", where="p", url="https://a.example/")


def record(number, **fields):
    return Milestone(**{
        "source": "s", "key": f"m{number}", "url": f"https://a.example/m/{number}", "title": f"Title {number}",
        "date": PartialDate(value=str(1900 + number)), "category": "research", "what_happened": f"What {number}",
        "why_it_mattered": f"Why {number}", "people": ("Ada",), "image": Image(url="https://a.example/i.png"),
        "evidence": dict.fromkeys(("title", "date", "what_happened", "why_it_mattered", "people"), (PAGE, LD)),
        **fields,
    })


RECORDS = [record(number) for number in range(20)]
HISTORY = profile(RECORDS)


def with_evidence(one, name, *witnesses):
    return replace(one, evidence={**one.evidence, name: witnesses})


def now(change, share=1.0, failed=0):
    count = round(len(RECORDS) * share)
    return profile([change(one) for one in RECORDS[:count]] + RECORDS[count:], failed=failed)


def test_the_same_source_has_not_drifted():
    assert drift(HISTORY, HISTORY) is None
    assert drift(HISTORY, profile([*RECORDS, record(20), record(21)])) is None


@pytest.mark.parametrize(("change", "sentence"), [
    (lambda one: replace(one, title="Timeline"), "one and the same title"),
    (lambda one: replace(one, date=PartialDate(value="2026")), "one and the same date"),
    (lambda one: replace(one, what_happened="undefined"), "undefined"),
    (lambda one: replace(one, what_happened=""), "what happened is missing on 100%"),
    (lambda one: with_evidence(one, "title", LD), "title comes from json-ld now, from headings before"),
    (lambda one: with_evidence(one, "people", PAGE), "json-ld no longer tells people on 100%"),
    (lambda one: replace(one, image=None), "image is filled on 0% of the pages, on 100% before"),
    (lambda one: with_evidence(one, "date", PAGE, replace(LD, says="1800")), "witnesses of date differ on 100%"),
], ids=["titles", "dates", "undefined", "required", "flipped", "witness", "emptied", "disputed"])
def test_a_broken_layout_is_seen(change, sentence):
    assert sentence in drift(HISTORY, now(change))


def test_a_field_that_nobody_told_before_is_a_gain():
    """As after an upgrade that brings a field; that its witnesses differ is seen all the same."""
    told = with_evidence(record(0), "tags", LD).evidence
    assert drift(HISTORY, now(lambda one: replace(one, tags=("a",), evidence=told))) is None
    differing = with_evidence(record(0), "tags", PAGE, replace(LD, says="b")).evidence
    assert "witnesses of tags differ" in drift(HISTORY, now(lambda one: replace(one, tags=("a",), evidence=differing)))


@pytest.mark.parametrize("change", [
    lambda one: with_evidence(one, "title", LD),
    lambda one: replace(one, image=None),
    lambda one: with_evidence(one, "date", PAGE, replace(LD, says="1800")),
], ids=["flipped", "emptied", "disputed"])
def test_a_few_odd_pages_are_no_drift(change):
    assert drift(HISTORY, now(change, share=0.2)) is None
    assert drift(HISTORY, now(change, share=0.3)) is not None


def test_pages_that_can_not_be_read():
    assert drift(HISTORY, profile(RECORDS, failed=1)) is None
    assert "can't be read" in drift(HISTORY, profile(RECORDS, failed=2))
    assert "can't be read" in drift(HISTORY, profile([], failed=5))


def test_a_site_that_was_always_so_is_not_held():
    same = [replace(one, date=PartialDate(value="2026"), image=None) for one in RECORDS]
    disputed = [with_evidence(one, "date", PAGE, replace(LD, says="1800")) for one in same]
    assert drift(profile(disputed), profile(disputed)) is None
    assert dispute(profile(disputed)) is not None  # without a history the disagreement itself is the news


def test_cards_that_were_not_fetched_this_time_are_no_drift():
    carded = profile([with_evidence(one, "title", PAGE, LD, CARD) for one in RECORDS])
    assert drift(carded, HISTORY) is None


def test_too_few_pages_say_nothing():
    two = profile([replace(one, title="Same") for one in RECORDS[:2]])
    assert drift(HISTORY, two) is None
    assert drift(HISTORY, two, Limits(min_pages=2)) is not None
