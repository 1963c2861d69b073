"""Which entries only fell off the old end of a page that shows its last few."""

import pytest

from milepost.dates import PartialDate
from milepost.records import Milestone
from newsletter.news.windows import fallen


def entry(date: str | None) -> Milestone:
    return Milestone(source="ferry", key=str(date), url=f"https://ferry.example/#{date}", title="A ferry",
                     date=PartialDate(value=date) if date else None)


@pytest.mark.parametrize(
    ("left", "stayed", "came", "before", "off"),
    [
        pytest.param(["2020"], ["2021"], ["2022"], [], {"2020"}, id="one came, the oldest went"),
        pytest.param(["2020"], ["2021", "2022"], [], [], set(), id="none came"),
        pytest.param(["2019", "2020"], ["2021"], ["2022"], [], set(), id="more went than came"),
        pytest.param(["2019", "2020"], ["2021"], ["2022"], ["2019"], {"2019", "2020"}, id="one had gone before"),
        pytest.param(["2019"], ["2021", "2022"], [], ["2019"], {"2019"}, id="it stays where it is"),
        pytest.param(["2021"], ["2020"], ["2022"], [], set(), id="from the middle"),
        pytest.param(["2021"], ["2021-05"], ["2022"], [], set(), id="perhaps from the middle"),
        pytest.param(["2021-04"], ["2021-05"], ["2022"], [], {"2021-04"}, id="a month before"),
        pytest.param(["2021-04-03"], ["2021-04-03"], ["2022"], [], {"2021-04-03"}, id="two of one day"),
        pytest.param(["2021-04-03"], ["2022"], ["2021-04-03"], [], set(), id="what came is of its day"),
        pytest.param([None], ["2021"], ["2022"], [], set(), id="of no day"),
        pytest.param(["2020"], [None], ["2021"], [], set(), id="among some of no day"),
    ],
)
def test_what_fell_off(
    left: list[str | None], stayed: list[str | None], came: list[str | None], before: list[str], off: set[str]
) -> None:
    gone = {str(date): entry(date) for date in left}
    assert fallen(gone, [entry(date) for date in stayed], [entry(date) for date in came], before=before) == off
