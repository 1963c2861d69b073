"""No damage to a page goes by unnoticed: the small version of `python -m bench.mutate`."""

from collections import Counter

import pytest

from bench import mutate


@pytest.mark.parametrize("source", list(mutate.BASES))
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
