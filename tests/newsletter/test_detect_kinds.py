"""Kinds of change beyond single fields: renamed, restored, a source's own classes, and taking a change back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.changes import KINDS
from milepost.dates import PartialDate
from milepost.fields import CONTENT_FIELDS
from milepost.fingerprint import fingerprint
from milepost.records import CHANGE_KINDS, FieldClass, Milestone, Witness
from newsletter.news.detect import compare, detect, merge, take_back
from newsletter.news.rules import RULES, strongest

BASE = Milestone(
    source="timekeeping", key="sundial", url="https://time.example/m/sundial", title="The Sundial",
    date=PartialDate(value="1500"), impact=3, what_happened="A stick told the hour.", tags=("shadow",),
    evidence={"tags": (Witness(witness="headings", where="h2 Tags"),)},
)


def test_every_kind_of_change_is_in_the_table() -> None:
    assert set(KINDS) == set(CHANGE_KINDS)
    assert [kind for kind in KINDS if KINDS[kind].told == "news"] == ["added"]
    assert {kind for kind in KINDS if KINDS[kind].strength} == {"corrected", "enriched", "cosmetic"}
    assert len({KINDS[kind].strength for kind in KINDS if KINDS[kind].strength}) == 3


def test_what_was_withdrawn_and_is_read_again_is_restored_with_what_differs() -> None:
    found = detect({"sundial": BASE}, {"sundial": replace(BASE, impact=4)}, withdrawn={"sundial"})
    [change] = found.changes
    assert (change.kind, [field.field for field in change.fields]) == ("restored", ["impact"])
    [same] = detect({"sundial": BASE}, {"sundial": BASE}, withdrawn={"sundial"}).changes
    assert (same.kind, same.fields) == ("restored", ())


def test_a_rename_tells_both_keys_and_what_else_differs() -> None:
    moved = replace(BASE, key="sun-dial", url="https://time.example/m/sun-dial", title="The Sun Dial")
    found = detect({"sundial": BASE}, {"sun-dial": moved}, renamed={"sun-dial": "sundial"})
    [change] = found.changes
    assert (change.kind, change.key) == ("renamed", "sun-dial")
    assert [(field.field, field.kind, field.old, field.new) for field in change.fields] == [
        ("key", "renamed", "sundial", "sun-dial"), ("title", "corrected", "The Sundial", "The Sun Dial"),
    ]
    assert found.merged == {"sun-dial": moved}


def test_a_renamed_record_keeps_what_its_new_page_does_not_tell() -> None:
    moved = replace(BASE, key="sun-dial", impact=None, unknown=frozenset({"impact"}))
    found = detect({"sundial": BASE}, {"sun-dial": moved}, renamed={"sun-dial": "sundial"})
    assert (found.merged["sun-dial"].impact, found.merged["sun-dial"].key) == (3, "sun-dial")


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        pytest.param({}, "corrected", id="by the table"),
        pytest.param({"impact": "cosmetic"}, "cosmetic", id="cosmetic"),
        pytest.param({"impact": "enriched"}, "enriched", id="enriched"),
        pytest.param({"impact": "ignore"}, None, id="ignored"),
        pytest.param({"title": "ignore"}, "corrected", id="another field's class"),
    ],
)
def test_a_source_may_say_what_a_field_is_worth(classes: Mapping[str, FieldClass], kind: str | None) -> None:
    found = detect({"sundial": BASE}, {"sundial": replace(BASE, impact=5)}, classes=classes)
    assert [change.kind for change in found.changes] == ([kind] if kind else [])


def test_an_ignored_field_makes_no_version_of_its_own_and_comes_along_with_one() -> None:
    classes: dict[str, FieldClass] = {"tags": "ignore"}
    alone = detect({"sundial": BASE}, {"sundial": replace(BASE, tags=("seen 7 times",))}, classes=classes)
    assert alone.merged["sundial"].tags == BASE.tags
    assert alone.merged["sundial"].evidence == BASE.evidence
    asked, page = Witness(witness="headings", where="dt Tags"), Witness(witness="json-ld", where="Article.keywords")
    title = Witness(witness="headings", where="h1")
    known = replace(BASE, evidence={"tags": (asked,), "title": (asked,)})
    read = replace(BASE, tags=("seen 7 times",), evidence={"tags": (page,), "title": (title,), "impact": (page,)})
    kept = detect({"sundial": known}, {"sundial": read}, classes=classes).merged["sundial"]
    assert kept.tags == BASE.tags
    assert kept.evidence == {"tags": (asked,), "title": (title,), "impact": (page,)}  # of its value, the rest as read
    both = detect({"sundial": BASE}, {"sundial": replace(BASE, tags=("seen 8 times",), impact=5)}, classes=classes)
    assert [field.field for field in both.changes[0].fields] == ["impact"]
    assert both.merged["sundial"].tags == ("seen 8 times",)


values = st.builds(
    lambda **fields: replace(BASE, **fields),
    title=st.sampled_from(["A", "a", "B"]), impact=st.none() | st.integers(1, 2),
    tags=st.lists(st.sampled_from(["x", "y"]), unique=True).map(tuple),
    unknown=st.frozensets(st.sampled_from(["impact", "tags"])),
)
classes_of = st.dictionaries(st.sampled_from(sorted(RULES)), st.sampled_from(get_args(FieldClass)))


@given(old=values, new=values, classes=classes_of)
def test_without_a_change_the_record_stays_whatever_the_classes(
    old: Milestone, new: Milestone, classes: dict[str, FieldClass]
) -> None:
    found = detect({"sundial": old}, {"sundial": new}, classes=classes)
    if not found.changes:
        assert fingerprint(found.merged["sundial"]) == fingerprint(old)
    again = detect({"sundial": found.merged["sundial"]}, {"sundial": new}, classes=classes)
    assert again.changes == ()


@given(before=values, read=values)
def test_a_change_taken_back_is_as_if_it_had_not_been(before: Milestone, read: Milestone) -> None:
    written = merge(before, read)
    assert compare(take_back(before, written, written), before) is None


def test_a_change_names_its_record_its_fields_and_the_strongest_of_their_kinds() -> None:
    other = replace(BASE, title="The Water Clock", tags=("shadow", "stone"))
    change = compare(BASE, other)
    assert change is not None
    assert (change.source, change.key) == ("timekeeping", "sundial")
    fields = {field.field: field for field in change.fields}
    assert set(fields) == {"title", "tags"}
    assert (fields["title"].old, fields["title"].new) == ("The Sundial", "The Water Clock")
    assert change.kind == strongest(*(field.kind for field in change.fields)) == fields["title"].kind
    assert fields["title"].kind != fields["tags"].kind
    assert compare(BASE, replace(BASE)) is None


def test_what_was_unknown_before_is_unknown_again_and_nothing_else_is() -> None:
    before = replace(BASE, unknown=frozenset({"impact", "what_happened"}))
    written = replace(BASE, impact=1, unknown=frozenset({"what_happened"}))
    taken = take_back(before, written, written)
    assert taken.unknown == frozenset({"impact", "what_happened"})
    assert taken.impact == BASE.impact


def test_what_was_told_anew_since_is_not_taken_back() -> None:
    written = replace(BASE, title="Wrong", impact=1)
    now = replace(written, impact=2)
    assert take_back(BASE, written, now) == replace(BASE, impact=2)
    assert set(CONTENT_FIELDS) >= {"title", "impact"}


@pytest.mark.parametrize(("before", "after", "kind"), [
    (PartialDate(value="1957"), PartialDate(value="1957", until="1960"), "enriched"),
    (PartialDate(value="1957", until=".."), PartialDate(value="1957", until="1960"), "enriched"),
    (PartialDate(value="1957", until="1960"), PartialDate(value="1957", until="1961"), "corrected"),
    (PartialDate(value="1957", until="1960"), PartialDate(value="1957"), None),  # an end that isn't told stands
    (PartialDate(value="1440", circa=True, confirmed=False), PartialDate(value="1440"), "enriched"),
    (PartialDate(value="1440"), PartialDate(value="1440", circa=True, confirmed=False), None),
    (PartialDate(value="1440", circa=True, confirmed=False), PartialDate(value="1439"), "corrected"),
], ids=str)
def test_the_marks_of_a_date(before: PartialDate, after: PartialDate, kind: str | None) -> None:
    old, new = replace(BASE, date=before), replace(BASE, date=after)
    assert RULES["date"](old, new) == kind
    if kind is None:
        assert merge(old, new).date == before


def test_a_date_without_a_mark_keeps_the_hash_that_it_had_before_there_were_marks() -> None:
    assert fingerprint(BASE) == "7a0f07c0b590302e47ee4bce136a4173c6103c1a59a380ac0f7d2913a10937e7"
    assert fingerprint(replace(BASE, date=PartialDate(value="1500", circa=True))) != fingerprint(BASE)
