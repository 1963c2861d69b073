"""The bench's table: how a figure grew for how its size did."""

import pytest

from bench import scale


@pytest.mark.parametrize(("before", "after", "grown"), [
    ((1000, 2.0), (10_000, 20.0), 1.0),  # linear
    ((1000, 2.0), (10_000, 200.0), 10.0),  # with the square of it
    ((10, 5.0), (30, 5.0), 1 / 3),  # it stayed
    ((1, 8.0), (4, 2.0), 1 / 16),  # it fell
    ((8, 0.0), (64, 3.0), None),
])
def test_growth_is_that_of_the_figure_by_that_of_the_size(
    before: tuple[int, float], after: tuple[int, float], grown: float | None
) -> None:
    assert scale.growth(before, after) == (None if grown is None else pytest.approx(grown))


def test_each_size_stands_beside_the_one_before_it() -> None:
    measured = {1000: {"CPU s": 2.0, "MB": 120.0}, 3000: {"CPU s": 9.0, "MB": 120.0}, 30_000: {"CPU s": 90.0}}
    assert list(scale.rows("pages", "sqlite", measured)) == [
        "| pages | sqlite | CPU s | 1,000: 2; 3,000: 9 (1.50); 30,000: 90 (1.00) |",
        "| pages | sqlite | MB | 1,000: 120; 3,000: 120 (0.33) |",
    ]
    assert list(scale.rows("clients", "sqlite", {8: {"later": 0.0}, 64: {"later": 3.25}})) == [
        "| clients | sqlite | later | 8: 0; 64: 3.25 (–) |",
    ]
