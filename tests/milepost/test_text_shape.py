"""A text's shape: written and read again, shown as lines and as one line, and no part of a text that has none."""

import pytest

from milepost.records import Milestone
from milepost.text_shape import Block, Span, blocks_of, in_one_line, is_shaped, spans_of, written
from newsletter.issue.safe import prose_line, prose_lines
from newsletter.issue.summary import first_sentence
from newsletter.news.rules import RULES
from pipeline.import_milestones import _cleaned_prose

BLOCKS = (
    Block("paragraph", "Added:"), Block("item", "A lamp for `dusk`"), Block("item", "of brass", depth=1),
    Block("item", "First", mark="1."), Block("code", "lamp --dim\n  # off"), Block("paragraph", "That is all."),
)
TEXT = "Added:\n- A lamp for `dusk`\n  - of brass\n1. First\n```\nlamp --dim\n  # off\n```\nThat is all.\n"


def test_what_is_written_is_read_again() -> None:
    assert written(BLOCKS, 1_000) == TEXT
    assert blocks_of(TEXT) == BLOCKS
    assert spans_of("A `b` c") == (Span("A "), Span("b", code=True), Span(" c"))


@pytest.mark.parametrize("text", ["", "One line.", "- not an item", "`not` code", "one\ntwo"])
def test_a_text_without_shape_stays_what_it_is(text: str) -> None:
    assert not is_shaped(text)
    assert in_one_line(text) == text
    assert blocks_of(text) == ((Block("paragraph", text),) if text else ())
    assert written([Block("paragraph", "One line.")], 100) == "One line."


def test_what_is_too_long_is_cut_between_blocks() -> None:
    assert written(BLOCKS, 60) == "Added:\n- A lamp for `dusk`\n  - of brass\n1. First\n…\n"
    assert len(written([Block("paragraph", "word " * 100), *BLOCKS], 60)) <= 60


def test_code_can_not_end_itself() -> None:
    assert blocks_of(written([Block("code", "a\n```\nb"), Block("paragraph", "c")], 100)) == (
        Block("code", "a\n'''\nb"), Block("paragraph", "c"),
    )


def test_a_reader_sees_its_lines_without_marks_of_ours() -> None:
    assert prose_lines(TEXT) == (
        "Added:", "• A lamp for dusk", "◦ of brass", "1. First", "lamp --dim", "# off", "That is all.",
    )
    assert prose_line(TEXT) == "Added: A lamp for dusk. of brass. First. lamp --dim # off That is all."
    assert first_sentence("- A `lamp`\n- B\n") == "A lamp."
    assert prose_lines("<b>\u202e") == ("<b>",)


def test_another_shape_of_the_same_words_is_cosmetic() -> None:
    def told(text: str) -> Milestone:
        return Milestone(source="s", key="k", url="https://a.example/", title="T", what_happened=text)

    judge = RULES["what_happened"]
    assert judge(told("Added: A lamp. A switch."), told("Added:\n- A lamp\n- A `switch`\n")) == "cosmetic"
    assert judge(told("Added: A lamp."), told("Added:\n- A lantern\n")) == "corrected"
    assert judge(told("- a\n"), told("- a\n")) is None


def test_an_import_keeps_the_shape_and_cleans_the_words() -> None:
    assert _cleaned_prose(TEXT) == TEXT
    assert _cleaned_prose("- a\u202e\n```\nb\x1b[31m\n```\n") == "- a\n```\nb[31m\n```\n"
    assert _cleaned_prose("a\nb") == "a b"
