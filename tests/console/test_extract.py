"""`extract` of a page that holds several milestones: each entry, and each that could not be read."""

import json
from pathlib import Path

from tests.console.terminal import milepost

PAGE = ("<html lang='en'><body><main><ul><li>1931: The lens is set</li><li>1932: A keeper moves in</li>"
        "<li>1933: Oil</li>{}</ul></main></body></html>")


def test_entries_are_printed_and_bad_ones_listed(tmp_path: Path) -> None:
    (tmp_path / "good.html").write_text(PAGE.format(""), encoding="utf-8")
    (tmp_path / "bad.html").write_text(PAGE.format("<li>Some day a storm came</li>"), encoding="utf-8")
    asked = ("--url", "https://rock.example/", "-e", "list", "--json")
    good = milepost("extract", "good.html", *asked, cwd=tmp_path)
    assert (good.returncode, good.stderr) == (0, "")
    assert [json.loads(line)["title"] for line in good.stdout.splitlines()] == [
        "The lens is set", "A keeper moves in", "Oil"]
    bad = milepost("extract", "bad.html", *asked, cwd=tmp_path)
    assert (bad.returncode, len(bad.stdout.splitlines())) == (1, 3)
    assert "not read: “Some day a storm came” (no date)" in bad.stderr


def test_one_entry_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "good.html").write_text(PAGE.format(""), encoding="utf-8")
    one = milepost("extract", "good.html", "--url", "https://rock.example/#oil", "-e", "list", "--json", cwd=tmp_path)
    assert json.loads(one.stdout)["key"] == "oil"
