"""From bytes to text: every declared, undeclared and wrong charset gives text, never a crash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractors.charset import decode

WORD = "Émile – “déjà vu”"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(WORD.encode(), "text/html; charset=utf-8", id="declared-utf-8"),
        pytest.param(WORD.encode("cp1252"), "text/html; charset=ISO-8859-1", id="latin-1-means-windows-1252"),
        pytest.param(WORD.encode(), "text/html", id="absent"),
        pytest.param(WORD.encode(), "text/html; charset=klingon", id="unknown"),
        pytest.param(WORD.encode("cp1252"), "text/html", id="absent-and-not-utf-8"),
        pytest.param(b"\xef\xbb\xbf" + WORD.encode(), "text/html; charset=iso-8859-1", id="byte-order-mark-wins"),
        pytest.param(b"\xff\xfe" + WORD.encode("utf-16-le"), "text/html", id="utf-16-mark"),
        pytest.param(WORD.encode(), "text/html; charset=rot13", id="not-a-charset-at-all"),
    ],
)
def test_reads_the_same_word(body: bytes, content_type: str) -> None:
    assert decode(body, content_type) == WORD


def test_a_meta_declares_it_too() -> None:
    page = '<html><head><meta charset="windows-1252"></head>' + WORD
    assert decode(page.encode("cp1252")) == page


def test_utf_7_is_never_believed() -> None:
    assert "<script>" not in decode(b"+ADw-script+AD4-", "text/html; charset=utf-7")


def test_one_damaged_spot_does_not_turn_the_rest_into_another_encoding() -> None:
    body = WORD.encode() * 3 + b"\xff"
    assert decode(body) == WORD * 3 + "�"


@given(body=st.binary(max_size=300), content_type=st.text(max_size=60))
def test_any_bytes_give_text(body: bytes, content_type: str) -> None:
    assert isinstance(decode(body, content_type), str)
