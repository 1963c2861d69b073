"""When a sitemap says that a page was last changed: what is a W3C date, and the last moment that it may mean."""

import pytest

from crawler.lastmod import latest


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2031-03-04", "2031-03-05T12:00:00"),  # the day's end where days end last
        ("2031-03", "2031-04-01T12:00:00"),
        ("2028-02", "2028-03-01T12:00:00"),
        ("2031", "2032-01-01T12:00:00"),
        ("2031-03-04T05:06Z", "2031-03-04T05:07:00"),
        ("2031-03-04T05:06:07Z", "2031-03-04T05:06:08"),
        ("2031-03-04T05:06:07+00:00", "2031-03-04T05:06:08"),
        ("2031-03-04T05:06:07.752706Z", "2031-03-04T05:06:08"),
        ("2031-03-04T05:06:07.8-09:00", "2031-03-04T14:06:08"),
    ],
)
def test_the_last_moment_that_it_may_mean(written: str, moment: str) -> None:
    found = latest(written)
    assert found is not None
    assert found.isoformat() == f"{moment}+00:00"


@pytest.mark.parametrize("written", [
    "", "yesterday", "2031-3-4", "04.03.2031", "2031-03-04 05:06:07", "2031-03-04T05:06:07", "20310304",
    "0001-01-01T00:00:00Z", "0012-12-12T00:00:00+00:00", "1970-01-01", "1970-01-01T00:00:00Z",
    "1989-12-31", "01.01.2024", "03/04/2031", "07.2031",
    "2031-02-80", "2031-13-01", "0000-00-00", "0000-00-00T00:00:00+00:00", "9999-12-31", "2031-03-04T25:00Z",
    "2031-03-04T05:06:07+99:00", "Tue, 04 Mar 2031 05:06:07 GMT", "1930262400", "２０３１-03-04",
    "2031-03-04T05:06:07.846344Z 2031-03-01T15:33:55.288302Z", "2031-03-04T05:06:07Z\n2031",
])
def test_what_is_none(written: str) -> None:
    assert latest(written) is None
