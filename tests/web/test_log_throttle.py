"""A flood in the log is one line and a number."""

import logging
from collections.abc import Iterator

import pytest

from web.log_throttle import Throttle


class Kept(logging.Handler):
    """Lines that came through."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def logger(kept: Kept, clock: Clock) -> Iterator[logging.Logger]:
    logger = logging.Logger("flooded")
    throttle = Throttle(kept, period=60, clock=clock)
    logger.addHandler(throttle)
    yield logger
    throttle.close()


def test_a_flood_says_itself_once_with_a_count(logger: logging.Logger, kept: Kept, clock: Clock) -> None:
    for number in range(10_000):
        logger.warning("connection %d was closed", number)
    assert kept.lines == ["connection 0 was closed"]

    clock.now = 61
    logger.warning("connection %d was closed", 10_000)

    assert kept.lines[1:] == [
        "connection 9999 was closed (the last of 9999 more like it in 60 s)", "connection 10000 was closed",
    ]


def test_the_count_is_told_though_nothing_follows(logger: logging.Logger, kept: Kept, clock: Clock) -> None:
    throttle = logger.handlers[0]
    assert isinstance(throttle, Throttle)
    for _ in range(3):
        logger.warning("once more")
    throttle.tell()  # too early
    assert kept.lines == ["once more"]

    clock.now = 61
    throttle.tell()

    assert kept.lines == ["once more", "once more (the last of 2 more like it in 60 s)"]


def test_the_count_is_told_at_the_end(logger: logging.Logger, kept: Kept) -> None:
    logger.warning("once more")
    logger.warning("once more")
    logger.handlers[0].close()
    assert kept.lines == ["once more", "once more (the last of 1 more like it in 60 s)"]


def test_different_lines_and_different_bugs_are_all_told(logger: logging.Logger, kept: Kept) -> None:
    for number in range(3):
        logger.warning("a line")
        logger.error("a line")
        try:
            float("none") if number % 2 else int("none")
        except ValueError:
            logger.exception("a bug")
    assert kept.lines == ["a line", "a line", "a bug"]


def test_bugs_are_the_same_where_they_are_raised_in_the_same_place(logger: logging.Logger, kept: Kept) -> None:
    def here() -> None:
        raise LookupError

    def there() -> None:
        raise LookupError

    for place in (here, there, here, there):
        try:
            place()
        except LookupError:
            logger.exception("a bug")
    assert kept.lines == ["a bug", "a bug"]


def test_many_different_lines_are_not_all_remembered(logger: logging.Logger, kept: Kept) -> None:
    for number in range(3000):
        logger.warning(f"line {number}")
    throttle = logger.handlers[0]
    assert isinstance(throttle, Throttle)
    assert len(throttle._seen) <= 1000
    assert len(kept.lines) == 3000
