"""One value per field out of what witnesses say, by the declared table."""

import pytest

from extractors.reconcile import PRECEDENCE, Claim, reconcile
from milepost.dates import PartialDate
from milepost.fields import FIELDS
from milepost.records import Image
from tests.disagreements import disagreements


def judge(*claims):
    return reconcile(Claim(*claim) for claim in claims)


def date(value, confirmed=True):
    return PartialDate(value=value, confirmed=confirmed)


def test_every_field_has_a_row():
    assert set(PRECEDENCE) == set(FIELDS)


def test_the_first_witness_of_the_row_is_kept_whatever_the_order_of_claims():
    verdict = judge(("title", "B", "json-ld", "Article.headline"), ("title", "A", "headings", "h1"))
    assert verdict.values["title"] == "A"
    assert [(witness.witness, witness.says) for witness in verdict.evidence["title"]] == [
        ("headings", None), ("json-ld", "B"),
    ]
    assert disagreements(verdict.evidence) == ("title",)


def test_another_spelling_is_no_disagreement():
    verdict = judge(("title", "“It’s” – all", "headings", "h1"), ("title", "\"it's\" - all", "json-ld", "Article.name"))
    assert disagreements(verdict.evidence) == ()


def test_a_card_is_asked_and_never_followed_for_a_title():
    verdict = judge(("title", "A", "card", "title", "https://a.example/"))
    assert "title" in verdict.unknown


def test_what_nobody_speaks_of_is_unknown():
    assert reconcile([]).unknown == set(FIELDS)


@pytest.mark.parametrize(("claims", "empty"), [
    ([("people", (), "headings", "no h2")], False),
    ([("people", (), "json-ld", "Article.author")], False),
    ([("people", (), "headings", "no h2 A"), ("people", (), "headings", "no dt A")], False),
    ([("people", (), "headings", "no h2"), ("people", (), "json-ld", "Article.author")], True),
    ([("people", (), "headings", "no h2"), ("people", ("A",), "card", "names", "https://a.example/", True)], False),
], ids=["page alone", "json-ld alone", "one witness twice", "two witnesses", "a card knows one"])
def test_empty_needs_two_witnesses(claims, empty):
    verdict = judge(*claims)
    assert ("people" in verdict.unknown) is not empty
    assert bool(verdict.evidence.get("people")) is empty


def test_an_empty_opinion_beside_a_value_is_a_disagreement():
    verdict = judge(("people", ("A",), "headings", "h2"), ("people", (), "json-ld", "Article.author"))
    assert verdict.values["people"] == ("A",)
    assert disagreements(verdict.evidence) == ("people",)


@pytest.mark.parametrize(("other", "differs"), [
    (("royal observatory", "greenwich", "b"), False),
    (("B", "Royal Observatory, Greenwich"), False),
    (("Royal Observatory, Greenwich",), True),
], ids=["commas", "order", "one less"])
def test_lists_are_compared_whatever_their_order_and_commas(other, differs):
    verdict = judge(
        ("organizations", ("Royal Observatory, Greenwich", "B"), "headings", "h2"),
        ("organizations", other, "json-ld", "x"),
    )
    assert bool(disagreements(verdict.evidence)) is differs


@pytest.mark.parametrize(("said", "value", "confirmed", "differs"), [
    ([("headings", date("2012", False)), ("json-ld", date("2012-09"))], "2012-09", True, False),
    ([("headings", date("2012", False)), ("json-ld", date("2012", False))], "2012", False, False),
    ([("headings", date("2012", False)), ("json-ld", date("2012", False)), ("card", date("2012"))],
     "2012", True, False),
    ([("headings", date("2012", False)), ("json-ld", date("2012", False)), ("card", date("2012-01"))],
     "2012-01", True, False),
    ([("headings", date("2012", False)), ("card", date("2012-11")), ("json-ld", date("2012-11-30"))],
     "2012-11-30", True, False),
    ([("headings", date("2012")), ("json-ld", date("2013-05"))], "2012", True, True),
    ([("json-ld", date("2012-09")), ("card", date("2012"))], "2012-09", True, False),
], ids=["finer", "open", "settled as a year", "settled as January", "day", "other year", "coarser card"])
def test_dates_grow_finer_and_settle(said, value, confirmed, differs):
    verdict = judge(*(("date", one, witness, "x") for witness, one in said))
    assert verdict.values["date"] == date(value, confirmed)
    assert (disagreements(verdict.evidence) == ("date",)) is differs


def test_a_text_that_was_cut_off_yields_to_the_longer_one():
    verdict = judge(("what_happened", "It began…", "headings", "h2"),
                    ("what_happened", "It began and went on.", "json-ld", "Article.description"))
    assert verdict.values["what_happened"] == "It began and went on."
    assert disagreements(verdict.evidence) == ()
    assert [(one.witness, one.vague) for one in verdict.evidence["what_happened"]] == [
        ("json-ld", False), ("headings", True),
    ]


def test_a_text_that_goes_on_otherwise_differs():
    verdict = judge(("what_happened", "It began and stopped.", "headings", "h2"),
                    ("what_happened", "It began and went on.", "json-ld", "Article.description"))
    assert disagreements(verdict.evidence) == ("what_happened",)


def test_a_card_never_lengthens_a_text():
    verdict = judge(("what_happened", "It began.", "headings", "h2"),
                    ("what_happened", "It began and went on.", "card", "p", "https://a.example/"))
    assert verdict.values["what_happened"] == "It began."


def test_thumbnails_of_one_file_are_one_image():
    verdict = judge(
        ("image", Image(url="https://a.example/x/250px-b.png"), "json-ld", "Article.image"),
        ("image", Image(url="https://a.example/x/500px-b.png", alt="B"), "headings", "img"),
    )
    assert verdict.values["image"] == Image(url="https://a.example/x/250px-b.png", alt="B")
    assert disagreements(verdict.evidence) == ()
