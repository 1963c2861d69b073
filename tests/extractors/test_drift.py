"""The drift guard: what a broken layout does to a source is seen, what news does is not."""

import json
from dataclasses import replace

import pytest

from extractors.drift import Drift, Kept, Limits, disputes, drift, profile, profile_from_json, profile_to_json, unfit
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
    assert drift(HISTORY, HISTORY) == Drift()
    assert drift(HISTORY, profile([*RECORDS, record(20), record(21)])) == Drift()


@pytest.mark.parametrize(("change", "sentence"), [
    (lambda one: replace(one, title="Timeline"), "one and the same title"),
    (lambda one: replace(one, date=PartialDate(value="2026")), "one and the same date"),
    (lambda one: replace(one, what_happened="undefined"), "undefined"),
    (lambda one: replace(one, what_happened=""), "what happened is missing on 100%"),
    (lambda one: replace(one, why_it_mattered="We use cookies."), "one and the same why it mattered"),
    (lambda one: replace(one, image=None), "image is filled on 0% of the pages, on 100% before"),
], ids=["titles", "dates", "undefined", "required", "cookies", "emptied"])
def test_a_broken_layout_is_seen(change, sentence):
    assert sentence in (drift(HISTORY, now(change)).reason or "")


def test_a_field_that_nobody_told_before_is_a_gain():
    """As after an upgrade that brings a field; that its witnesses differ is noted all the same."""
    told = with_evidence(record(0), "tags", LD).evidence
    assert drift(HISTORY, now(lambda one: replace(one, tags=("a",), evidence=told))) == Drift()
    differing = with_evidence(record(0), "tags", PAGE, replace(LD, says="b")).evidence
    (note,) = drift(HISTORY, now(lambda one: replace(one, tags=("a",), evidence=differing))).notes
    assert "witnesses of tags differ" in note


MOVES = [
    (lambda one: with_evidence(one, "date", LD), "date comes from json-ld now, from headings before, on 100%"),
    (lambda one: with_evidence(one, "date", PAGE), "json-ld no longer tells date on 100%"),
    (lambda one: with_evidence(one, "date", PAGE, replace(LD, says="1800")), "witnesses of date differ on 100%"),
]


@pytest.mark.parametrize(("change", "sentence"), MOVES, ids=["flipped", "witness", "disputed"])
@pytest.mark.parametrize("changed", [0, 4])
def test_witnesses_that_come_and_go_are_a_note_while_the_values_stay(change, sentence, changed):
    found = drift(HISTORY, now(change), kept={"date": Kept(changed, 20)})
    assert found.reason is None
    (note,) = found.notes
    assert sentence in note
    assert note.startswith("the layout changed: ")
    assert note.endswith(f"{20 - changed} of 20 values are the same")


@pytest.mark.parametrize(("change", "sentence"), MOVES, ids=["flipped", "witness", "disputed"])
def test_witnesses_that_come_and_go_with_the_values_hold(change, sentence):
    found = drift(HISTORY, now(change), kept={"date": Kept(5, 20)})
    assert sentence in (found.reason or "")
    assert str(found.reason).endswith("and 5 of 20 values are told otherwise")


def test_who_tells_a_field_without_values_is_no_concern():
    assert drift(HISTORY, now(MOVES[0][0]), kept={"date": Kept(0, 0)}) == Drift()


@pytest.mark.parametrize(("known", "revised", "held"), [(20, 10, False), (20, 11, True), (3, 2, False), (3, 3, True)])
def test_values_that_change_in_the_same_layout_are_corrections_until_most_do_at_once(known, revised, held):
    history = profile(RECORDS[:known])
    found = drift(history, history, kept={"date": Kept(revised, known, revised=revised)})
    assert found.reason == (f"date is told otherwise on {revised} of {known} milestones at once" if held else None)


def test_pages_that_were_read_again_because_they_were_corrected_are_few_of_all():
    assert drift(HISTORY, HISTORY, kept={"title": Kept(4, 4, revised=4)}) == Drift()


def test_what_is_contested_is_not_revised():
    assert drift(HISTORY, HISTORY, kept={"title": Kept(20, 20)}) == Drift()


def test_a_few_odd_pages_are_no_drift():
    assert drift(HISTORY, now(lambda one: replace(one, image=None), share=0.2)) == Drift()
    assert drift(HISTORY, now(lambda one: replace(one, image=None), share=0.3)).reason is not None
    assert drift(HISTORY, now(MOVES[0][0], share=0.2)).notes == ()
    assert drift(HISTORY, now(MOVES[0][0], share=0.3)).notes != ()


@pytest.mark.parametrize(("count", "held"), [(2, False), (3, True)])
def test_a_few_texts_that_are_taken_away_are_an_edit_and_no_drift(count, held):
    emptied = profile([replace(one, what_happened="") for one in RECORDS[:count]] + RECORDS[count:])
    assert (drift(HISTORY, emptied).reason is not None) == held
    assert drift(emptied, emptied) == Drift()  # what was empty before is none


@pytest.mark.parametrize(("name", "count", "held"), [
    ("what_happened", 4, False), ("what_happened", 5, True), ("image", 20, False),
])
def test_what_can_not_be_read_any_more_stays_and_is_said(name, count, held):
    blind = [replace(one, **{name: "" if name == "what_happened" else None}, unknown=frozenset({name}))
             for one in RECORDS[:count]]
    found = drift(HISTORY, profile(blind + RECORDS[count:]), kept={name: Kept(0, 20, count)})
    assert (found.reason is not None) == held
    assert bool(found.lost) == (count > 4)
    assert all(f"can't be read any more on {count} of 20 pages" in sentence for sentence in found.lost)


def test_a_field_that_sorts_and_is_there_at_last_is_no_junk():
    bare = profile([replace(one, category=None) for one in RECORDS])
    assert drift(bare, HISTORY) == Drift()
    sorted_ = [replace(one, category=f"c{number % 4}") for number, one in enumerate(RECORDS)]
    assert "one and the same category" in (drift(profile(sorted_), HISTORY).reason or "")


def test_pages_that_can_not_be_read():
    assert drift(HISTORY, profile(RECORDS, failed=2)).reason is None
    assert "can't be read" in (drift(HISTORY, profile(RECORDS, failed=3)).reason or "")
    assert "can't be read" in (drift(HISTORY, profile([], failed=5)).reason or "")


def test_a_site_that_was_always_so_is_not_held():
    same = [replace(one, date=PartialDate(value="2026"), image=None) for one in RECORDS]
    disputed = [with_evidence(one, "date", PAGE, replace(LD, says="1800")) for one in same]
    assert drift(profile(disputed), profile(disputed)) == Drift()


def test_a_dispute_is_no_reason_against_a_baseline_and_is_told_with_three_examples():
    disputed = [with_evidence(one, "date", PAGE, replace(LD, says="1800")) for one in RECORDS]
    assert unfit(profile(disputed)) is None
    (sentence,) = disputes(disputed)
    assert "the witnesses of date differ on 20 of 20 milestones" in sentence
    assert sentence.count("json-ld (Article) says “1800”") == 3
    assert disputes([*disputed[:4], *RECORDS[4:]]) == ()


@pytest.mark.parametrize(("change", "sentence"), [
    (lambda one: replace(one, title="Timeline"), "one and the same title"),
    (lambda one: replace(one, what_happened="undefined"), "undefined"),
], ids=["titles", "undefined"])
def test_junk_is_no_baseline(change, sentence):
    assert sentence in (unfit(now(change)) or "")
    assert unfit(HISTORY) is None


def test_cards_that_were_not_fetched_this_time_are_no_drift():
    carded = profile([with_evidence(one, "title", PAGE, LD, CARD) for one in RECORDS])
    assert drift(carded, HISTORY) == Drift()


def test_too_few_pages_say_nothing():
    two = profile([replace(one, title="Same") for one in RECORDS[:2]])
    assert drift(HISTORY, two).reason is None
    assert drift(HISTORY, two, Limits(min_pages=2)).reason is not None


def test_a_profile_survives_json():
    assert profile_from_json(json.loads(json.dumps(profile_to_json(HISTORY)))) == HISTORY
