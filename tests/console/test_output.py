"""What people see while and after something long runs: few lines, each failure once, the same order every time."""

import pytest

from console.exit_report import MOST, conclude, gathered
from console.output import Lines
from milepost.errors import HeldError, MilepostError

PAGE = "https://clockwork.example/story/{}"


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_progress_elsewhere_than_on_a_terminal_is_a_line_every_few_seconds() -> None:
    said: list[str] = []
    clock = Clock()
    lines = Lines(said.append, clock)
    for phase, count in (("Looking at one", 40), ("Looking at two", 80)):
        with lines.begin(phase) as report:
            for done in range(count):
                clock.now += 0.25
                report(done + 1, count + done)  # the total grows as more is found
    assert len(said) == 120 * 0.25 / Lines.EVERY
    assert said[0] == "Looking at one: 20 of 59"
    assert said[-1].startswith("Looking at two: 80 of ")


def test_what_is_done_at_once_says_nothing() -> None:
    said: list[str] = []
    with Lines(said.append, Clock()).begin("Looking at one") as report:
        for done in range(1000):
            report(done, 1000)
    assert said == []


def test_of_several_at_once_each_is_told_also_one_that_does_not_move() -> None:
    said: list[str] = []
    clock = Clock()
    lines = Lines(said.append, clock)
    with lines.begin("Looking at one") as one, lines.begin("Looking at two") as two, lines.begin("Looking at three"):
        two(1, 9)
        clock.now += Lines.EVERY
        one(7, 40)
    assert said == ["Looking at one: 7 of 40", "Looking at two: 1 of 9", "Looking at three: no page yet"]


def test_a_rate_is_told_where_there_is_a_unit() -> None:
    said: list[str] = []
    clock = Clock()
    with Lines(said.append, clock).begin("Reading", "pages") as report:
        report(0, 1000)
        clock.now += 10
        report(200, 1000)
    assert said == ["Reading: 200 of 1,000 (20 pages/s, 40 s left)"]


def test_pages_that_failed_for_one_reason_are_one_line() -> None:
    sentences = [f"{PAGE.format(name)}: answered 503, 4 times" for name in ("b", "a", "c")]
    assert gathered([*sentences, f"{PAGE.format('d')}: no title", sentences[0]]) == [
        f"3 pages: answered 503, 4 times ({PAGE.format('a')} and 2 more)",
        f"{PAGE.format('d')}: no title",
    ]


def test_failures_are_sorted_and_each_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MilepostError) as caught:
        conclude(["third", "first", "second", "first"])
    assert (caught.value.exit_code, str(caught.value)) == (1, "third")
    assert capsys.readouterr().err.splitlines() == ["milepost: first", "milepost: second"]


def test_a_hold_outranks_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HeldError, match="clockwork is held"):
        conclude(["a page failed"], ["clockwork is held: too much"])
    assert capsys.readouterr().err == "milepost: a page failed\n"


def test_too_many_different_failures_are_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MilepostError):
        conclude(f"{number:03} went wrong in its own way" for number in range(100))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == MOST + 1
    assert said[-1] == f"milepost: {99 - MOST} more of the kind; --json prints all of them"


def test_when_all_went_well_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    conclude([])
    assert capsys.readouterr() == ("", "")
