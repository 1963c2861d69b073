"""Lists of any length are printed as they are read: JSON of the same bytes, a table in parts."""

import json
import tracemalloc
from collections.abc import Iterator

import pytest

from console import output
from console.output import print_json, print_json_rows, print_json_with, print_long_table


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_is_what_it_would_be_at_once(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    head, rows = {"issue": 7, "said": "Grüße"}, [{"at": at, "text": "a\u202eb"} for at in range(count)]
    print_json(head | {"rows": rows})
    whole = capsys.readouterr().out
    print_json_with(head, "rows", iter(rows))
    assert capsys.readouterr().out == whole
    assert json.loads(whole)["issue"] == 7
    print_json(rows)
    whole = capsys.readouterr().out
    print_json_rows(iter(rows))
    assert capsys.readouterr().out == whole


def test_a_table_has_its_head_again_for_each_part(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "AT_ONCE", 2)
    for count, heads in ((0, 0), (2, 1), (3, 2), (4, 2)):
        print_long_table(("name", "tries"), ((f"r{at}", at) for at in range(count)), empty="Nobody.")
        said = capsys.readouterr().out.split("\n")
        assert sum(line.startswith("name") for line in said) == heads
        assert [line.split()[0] for line in said if line.startswith("r")] == [f"r{at}" for at in range(count)]
        assert ("Nobody." in said) == (count == 0)


def test_nothing_is_kept_of_what_was_printed(capsys: pytest.CaptureFixture[str]) -> None:
    peak = []

    def rows(count: int) -> Iterator[dict[str, str]]:
        for at in range(count):
            yield {"text": f"{at:01000}"}
            if at % 50 == 0:
                capsys.readouterr()

    for count in (200, 2000):
        tracemalloc.start()
        print_json_with({}, "rows", rows(count))
        peak.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        capsys.readouterr()
    assert peak[1] < peak[0] * 3
