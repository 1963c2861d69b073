"""Which entries only fell off the old end of a page that shows its last few."""

import pytest

from milepost.dates import PartialDate
from milepost.records import Milestone
from newsletter.news.windows import fallen


def entry(date: str | None) -> Milestone:
    return Milestone(source="ferry", key=str(date), url=f"https://ferry.example/#{date}", title="A ferry",
                     date=PartialDate(value=date) if date else None)


@pytest.mark.parametrize(
    ("left", "shown", "entered", "before", "off"),
    [
        pytest.param(["2020"], ["2021", "2022"], 1, [], {"2020"}, id="one came, the oldest went"),
        pytest.param(["2020"], ["2021", "2022"], 0, [], set(), id="none came"),
        pytest.param(["2019", "2020"], ["2021", "2022"], 1, [], set(), id="more went than came"),
        pytest.param(["2019", "2020"], ["2021", "2022"], 1, ["2019"], {"2019", "2020"}, id="one had gone before"),
        pytest.param(["2019"], ["2021", "2022"], 0, ["2019"], {"2019"}, id="it stays where it is"),
        pytest.param(["2021"], ["2020", "2022"], 1, [], set(), id="from the middle"),
        pytest.param(["2021"], ["2021-05", "2022"], 1, [], set(), id="perhaps from the middle"),
        pytest.param(["2021-04"], ["2021-05", "2022"], 1, [], {"2021-04"}, id="a month before"),
        pytest.param([None], ["2021", "2022"], 1, [], set(), id="of no day"),
        pytest.param(["2020"], ["2021", None], 1, [], set(), id="among some of no day"),
    ],
)
def test_what_fell_off(
    left: list[str | None], shown: list[str | None], entered: int, before: list[str], off: set[str]
) -> None:
    gone = {str(date): entry(date) for date in left}
    assert fallen(gone, [entry(date) for date in shown], entered=entered, before=before) == off
