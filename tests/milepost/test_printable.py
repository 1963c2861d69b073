"""What comes from outside is shown without steering the terminal, turning the text or forging a line."""

import json
import logging
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.exit_report import conclude
from console.output import complain, print_json, print_table
from milepost import errors
from milepost.errors import MilepostError
from milepost.printable import PrintableFilter, printable, printable_json

STEERING = {
    "title-of-the-window": ("text/\x1b]0;X\x07", "text/\\x1b]0;X\\x07"),
    "one-byte-csi": ("a\x9b31mb", "a\\x9b31mb"),
    "right-to-left-override": ("gpj.\u202eexe", "gpj.\\u202eexe"),
    "isolate": ("a\u2066b\u2069", "a\\u2066b\\u2069"),
    "zero-width": ("pay\u200bpal\ufeff", "pay\\u200bpal\\ufeff"),
    "forged-line": ("gone\r\nmilepost: all is well", "gone milepost: all is well"),
    "line-separator": ("a\u2028b\x85c", "a b c"),
    "nul-and-delete": ("a\0b\x7f", "a\\x00b\\x7f"),
    "half-a-pair": ("a\ud83d", "a\\ud83d"),
    "a-tag": ("\U0001f3f4\U000e0067", "\U0001f3f4\\U000e0067"),
}


@pytest.mark.parametrize(("raw", "shown"), STEERING.values(), ids=STEERING)
def test_a_steering_sign_is_spelled_out(raw: str, shown: str) -> None:
    assert printable(raw) == shown


def test_what_people_write_stays_as_it_is() -> None:
    for text in ("כותרת", "می‌خواهم", "👩‍🔬 in München", "a\u00a0b", "Zürich – 東京", "C:\\x"):
        assert printable(text) == text


@given(st.text())
def test_any_text_becomes_harmless_and_stays_so(text: str) -> None:
    shown = printable(text)
    kinds = {unicodedata.category(sign) for sign in shown if sign not in "\u200c\u200d"}
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"}
    assert all(unicodedata.bidirectional(sign) not in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
               for sign in shown)
    assert printable(shown) == shown
    shown.encode()


@given(st.text())
def test_json_says_the_same_and_shows_nothing_odd(text: str) -> None:
    line = printable_json(json.dumps({"text": text}, ensure_ascii=False))
    assert json.loads(line) == {"text": text}
    assert printable(line) == line


@pytest.mark.parametrize("kind", [MilepostError, errors.FetchError, errors.InputError, errors.HeldError])
def test_no_error_carries_a_steering_sign(kind: type[MilepostError]) -> None:
    error = kind("it is text/\x1b]0;X\x07", where="https://a.example/\u202e", hint="Ask\x9b them.")
    told = [str(error), error.what, str(error.where), str(error.hint), *map(str, error.args), repr(error)]
    assert not [text for text in told if not text.isprintable()]
    assert "text/\\x1b]0;X\\x07" in str(error)


def test_every_kind_of_error_is_made_through_the_one_place() -> None:
    def kinds(kind: type[MilepostError]) -> list[type[MilepostError]]:
        return [kind, *(deeper for each in kind.__subclasses__() for deeper in kinds(each))]

    assert [kind for kind in kinds(MilepostError) if "__str__" in vars(kind) and kind is not MilepostError] == []


class TestTheTerminal:
    def test_failures_tables_and_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        complain("a.example: \x1b[2J")
        with pytest.raises(MilepostError):
            conclude(["https://a.example/x: \x1b[2J", "https://b.example/x: \u202e"])
        print_table("", ("said",), [("250 \x1b]0;X\x07",)], empty="")
        print_json({"said": "\x9b31m"})
        shown = capsys.readouterr()
        assert not [line for line in (shown.out + shown.err).splitlines() if not line.isprintable()]
        assert shown.err.startswith("milepost: a.example: \\x1b[2J\n")
        assert json.loads(shown.out.splitlines()[-1]) == {"said": "\x9b31m"}

    def test_the_last_word_of_a_command(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "milepost", "--config", "no\x1b]0;X\x07.toml", "milestones"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )
        assert done.returncode == 1
        assert "no\\x1b]0;X\\x07.toml" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_log_line_is_cleaned_whoever_wrote_it() -> None:
    record = logging.LogRecord("milepost.x", logging.WARNING, __file__, 1, "said %s", ("\x1b[2J\n",), None)
    assert PrintableFilter().filter(record)
    assert record.getMessage() == "said \\x1b[2J "
