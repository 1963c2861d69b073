"""A log line for programs says what it is about, whatever stands in it."""

import json
import logging

from milepost.log_lines import JsonLines, about


def line(says: str, *arguments: object, **extra: object) -> dict[str, object]:
    record = logging.getLogger("milepost.test").makeRecord(
        "milepost.test", logging.WARNING, __file__, 1, says, arguments, None, extra=extra or None
    )
    text = JsonLines().format(record)
    assert "\n" not in text
    found: dict[str, object] = json.loads(text)
    del found["at"]
    return found


def test_a_line_has_what_is_around_it_and_its_own_word_goes_first() -> None:
    with about(source="site"), about(look=7):
        assert line("%d pages\n\x1b[31m", 3) == {
            "level": "warning", "logger": "milepost.test", "says": "3 pages\n\x1b[31m", "source": "site", "look": 7,
        }
    with about(issue=1, delivery=2):
        assert line("sent", delivery=9)["delivery"] == 9
    assert set(line("alone")) == {"level", "logger", "says"}
