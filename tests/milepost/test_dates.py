"""Partial dates: what is accepted, how they order, contain each other and read."""

import pytest

from milepost.dates import PartialDate


@pytest.mark.parametrize(
    ("value", "precision", "human"),
    [
        pytest.param("1957", "year", "1957", id="year"),
        pytest.param("2012-09", "month", "September 2012", id="month"),
        pytest.param("2022-11-30", "day", "30 November 2022", id="day"),
        pytest.param("0794", "year", "794", id="early-year"),
    ],
)
def test_reads_to_the_precision_that_is_known(value: str, precision: str, human: str) -> None:
    date = PartialDate(value=value)
    assert (date.precision, date.human()) == (precision, human)


@pytest.mark.parametrize("value", ["", "12", "2012-13", "2012-00", "2023-02-29", "2012-9", "2012-09-01T00:00", "٢٠١٢"])
def test_refuses_what_is_no_date(value: str) -> None:
    with pytest.raises(ValueError, match="no"):
        PartialDate(value=value)


def test_a_year_contains_its_months_but_not_the_other_way_round() -> None:
    year, month, other = (PartialDate(value=value) for value in ("2012", "2012-09", "2013-09"))
    assert year.contains(month)
    assert year.contains(year)
    assert not month.contains(year)
    assert not year.contains(other)


def test_orders_a_bare_year_before_its_months_and_days() -> None:
    values = ["2012-09-30", "2011", "2012", "2012-09"]
    ordered = sorted((PartialDate(value=value) for value in values), key=lambda date: date.sort_key)
    assert [date.value for date in ordered] == ["2011", "2012", "2012-09", "2012-09-30"]


def test_builds_from_numbers() -> None:
    assert PartialDate.of(2012, 9, confirmed=False) == PartialDate(value="2012-09", confirmed=False)


@pytest.mark.parametrize(("date", "human"), [
    (PartialDate(value="1440", circa=True, confirmed=False), "c. 1440"),
    (PartialDate(value="1957", until="1960"), "1957 – 1960"),
    (PartialDate(value="1932-03-03", until="1932-03-05"), "3 March 1932 – 5 March 1932"),
    (PartialDate(value="1957", until=".."), "since 1957"),
], ids=str)
def test_marks_are_read_out(date: PartialDate, human: str) -> None:
    assert date.human() == human


@pytest.mark.parametrize("until", ["1956", "1957", "1957-01-01x", "soon", ""])
def test_a_stretch_ends_after_it_begins(until: str) -> None:
    with pytest.raises(ValueError, match=r"no|before"):
        PartialDate(value="1957", until=until)
