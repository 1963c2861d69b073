"""Numbers and their nouns."""

import pytest

from milepost.printable import counted


@pytest.mark.parametrize(
    ("said", "expected"),
    [(counted(1, "milestone"), "1 milestone"), (counted(0, "milestone"), "0 milestones"),
     (counted(2, "delivery", "deliveries"), "2 deliveries"), (counted(1, "delivery", "deliveries"), "1 delivery"),
     (counted(1234, "reader"), "1,234 readers")],
)
def test_one_is_one(said: str, expected: str) -> None:
    assert said == expected
