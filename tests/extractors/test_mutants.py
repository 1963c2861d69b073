"""No damage to a page goes by unnoticed: the small version of `python -m bench.mutate`."""

from collections import Counter

import pytest

from bench import layouts, mutate, mutate_text


@pytest.mark.parametrize("source", sorted(mutate.BASES.keys() - {"keepachangelog"}))  # `changelog` reads its page too
def test_no_wrong_and_no_empty_value_slips_through(source):
    outcome = mutate.run(source, mutate.saved_pages(source), count=200, seed=20)
    assert outcome.mutants >= 200
    assert outcome.silent == ()
    verdicts = Counter[str]()
    for (_, verdict), fields in outcome.verdicts.items():
        verdicts[verdict] += fields
    assert verdicts["right"] > 0.7 * sum(verdicts.values())  # a guard that refuses everything proves nothing


def test_a_judge_who_sees_nothing_would_be_seen():
    """The judging itself: a record that differs without a word is called WRONG or EMPTY."""
    page = mutate.saved_pages("sample")[0]
    site = mutate.registry.get("sample")
    truth = site.read(page, source="sample")
    lying = mutate.replace(truth, title="Another", tags=("a",), people=("Somebody",))
    verdicts = mutate.judge(site, page, lying)
    assert (verdicts["title"], verdicts["tags"]) == ("WRONG", "WRONG")
    empty = mutate.replace(page, text=page.text.replace("<dt>People</dt>", "").replace("#atomic", "#Atomic"))
    assert set(mutate.judge(site, empty, truth).values()) <= {"right", "unknown", "differs"}


SHAPES = {shape.extractor: shape for shape in layouts.shapes()}


@pytest.mark.parametrize(("source", "name"), [
    ("aitimeline", "all together"), ("generic", "all together"), ("sample", "all together"),
    ("generic", "JSON-LD gone"), ("aitimeline", "labels for slugs"),
])
def test_a_new_layout_that_tells_the_same_is_not_held(source: str, name: str) -> None:
    outcome = layouts.play(SHAPES[source], name, layouts.LAYOUTS[name], junk=False)
    assert (outcome.held, outcome.wrong, outcome.told, outcome.unread) == (None, (), (), ())


@pytest.mark.parametrize("name", list(layouts.JUNK))
def test_a_site_that_broke_is_held_and_nothing_of_it_told(name: str) -> None:
    outcome = layouts.play(SHAPES["generic"], name, layouts.JUNK[name], junk=True)
    assert outcome.held is not None
    assert outcome.told == ()
    assert not outcome.failed


def test_a_table_with_a_number_that_is_not_0_fails() -> None:
    fine = layouts.Outcome(extractor="generic", change="classes gone", junk=False, held=None)
    assert not layouts.report([fine])
    assert layouts.report([mutate.replace(fine, held="a reason")])
    assert layouts.report([mutate.replace(fine, junk=True)])
    assert layouts.report([mutate.replace(fine, wrong=("lamp: date",))])
    assert layouts.report([mutate.replace(fine, told=("corrected lamp",))])
    assert layouts.report([mutate.replace(fine, unread=("lamp",))])


@pytest.mark.parametrize("name", list(mutate_text.samples()))
def test_nothing_is_invented_of_a_damaged_text(name: str) -> None:
    kept, refused, wrong = mutate_text.run(name, mutate_text.samples()[name], count=80, seed=20)
    assert wrong == []
    assert refused > 0
    assert kept > 100


def test_what_is_invented_would_be_seen() -> None:
    sample = mutate_text.samples()["CSV"]
    truth = mutate_text.read(sample, sample.text)
    lying = mutate.replace(truth["lamp-1"], title="Another lamp", date=truth["lamp-2"].date, people=("Somebody",))
    assert len(list(mutate_text.invented("lose a sign", sample.text, {"lamp-1": lying}, truth))) == 4
