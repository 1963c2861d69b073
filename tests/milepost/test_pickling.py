"""Records between processes: the same, for less."""

import copy
import pickle

from milepost.dates import PartialDate
from milepost.records import Image, Milestone, Witness

RECORD = Milestone(
    source="s", key="k", url="https://s.example/k", title="T", date=PartialDate(value="1386", circa=True),
    image=Image(url=None, alt="A clock"), unknown=frozenset({"era"}),
    evidence={"title": (Witness(witness="headings", where="h1", vague=True), Witness(witness="card", where="h3"))},
    found_on="https://s.example/feed",
)


def test_they_come_back_as_they_were_with_what_no_comparison_sees() -> None:
    again = pickle.loads(pickle.dumps(RECORD))  # noqa: S301 our own
    assert (again, again.found_on, again.evidence["title"][0].vague) == (RECORD, RECORD.found_on, True)
    assert copy.deepcopy(RECORD) == RECORD


def test_what_is_much_the_same_on_every_page_is_one_object_for_all_of_them() -> None:
    packed = [pickle.dumps(RECORD) for _ in range(2)]
    one, other = (pickle.loads(each) for each in packed)  # noqa: S301 our own
    assert one.evidence["title"][1] is other.evidence["title"][1]
    assert one.date is other.date
    assert one is not other


def test_true_is_not_one() -> None:
    """Equal, and not the same: a date's marks are told from a number that somebody gave for them."""
    dates = [PartialDate(value="1999", circa=True), PartialDate(value="1999", circa=1)]  # type: ignore[arg-type]
    kept = [pickle.loads(pickle.dumps(date)).circa for date in dates]  # noqa: S301 our own
    assert [type(circa) for circa in kept] == [bool, int]
