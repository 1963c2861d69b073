"""From bytes to text: every declared, undeclared and wrong charset gives text, never a crash."""

import pytest
import webencodings.labels
from hypothesis import given
from hypothesis import strategies as st

from extractors.charset import decode
from extractors.encodings import decode_as, encoding_of

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


# A sign that tells the standard's meaning of a label from what its name says, in bytes and as it must be read.
TELLING = [
    ("e946 80", "镕€", "gb2312 GB_2312-80 chinese csgb2312 x-gbk gbk gb18030"),
    ("a6d9 81308130", "︐\x80", "gb18030"),
    ("8740 878a fbfc", "①㈱髙", "shift_jis x-sjis sjis ms_kanji windows-31j csshiftjis"),
    ("ada1 a1c1 8eb1 8fb0a1", "①～ｱ丂", "euc-jp x-euc-jp cseucpkdfmtjapanese"),
    ("1b2442 2d21 2141 1b284a 5c 1b2849 31 1b2842 41", "①～¥ｱA", "iso-2022-jp csiso2022jp"),
    ("8c63 b0a1", "똠가", "euc-kr ks_c_5601-1987 ksc5601 korean windows-949"),
    ("a145 a1e3 a4a4 9def", "‧～中嘅", "big5 cn-big5 x-x-big5 big5-hkscs"),
    ("f9ece5ed", "שלום", "iso-8859-8-i logical csiso88598i iso-8859-8 visual windows-1255"),
    ("93 80 e9", "“€é", "iso-8859-1 latin1 us-ascii ascii iso_8859-1:1987 cp819 windows-1252"),
    ("93 fd fe", "“ış", "iso-8859-9 latin5 windows-1254"),
    ("80 a1", "€ก", "tis-620 iso-8859-11 dos-874 windows-874"),
    ("ae be a4", "ўЎє", "koi8-u koi8-ru"),
    ("a3", "ё", "koi8-r koi koi8"),
    ("b9 a8", "№Ё", "x-cp1251 windows-1251"),
    ("a2 ff", "Ґ€", "x-mac-cyrillic x-mac-ukrainian"),
    ("db", "€", "macintosh x-mac-roman"),
    ("a4", "€", "iso-8859-15 l9"),
    ("f0", "Ё", "cp866 ibm866"),
    ("c7", "ا", "arabic iso-8859-6 asmo-708"),
    ("e1", "α", "greek iso-8859-7 windows-1253"),
    ("81", "پ", "windows-1256"),
    ("c3a9", "é", "utf8 utf-8 unicode-1-1-utf-8 x-unicode20utf8"),
]
LABELS = [(label, bytes.fromhex(raw), reads) for raw, reads, labels in TELLING for label in labels.split()]


@pytest.mark.parametrize(("label", "raw", "reads"), LABELS, ids=[row[0] for row in LABELS])
def test_a_label_means_what_the_web_means_by_it(label: str, raw: bytes, reads: str) -> None:
    body = b"<p>" + raw + b"</p>"
    assert decode(body, f"text/html; charset={label}") == f"<p>{reads}</p>"
    page = f"<meta charset='{label.upper()}'>".encode()
    assert decode(page + body) == f"{page.decode()}<p>{reads}</p>"


def test_a_label_in_markup_can_mean_another_encoding_than_in_the_header() -> None:
    assert decode(b"\x80", "text/html; charset=x-user-defined") == "\uf780"
    assert decode(b"<meta charset=x-user-defined>\x80").endswith("€")


def test_every_label_has_a_decoder_that_reads_plain_text() -> None:
    names = {encoding_of(label) for label in webencodings.labels.LABELS}
    assert len(names) == 40
    for name in names - {"replacement", "utf-16le", "utf-16be"}:
        assert decode_as(str(name), b"<p>plain</p>", strictly=True) == "<p>plain</p>"


@pytest.mark.parametrize("label", ["hz-gb-2312", "iso-2022-kr", "iso-2022-cn", "csiso2022kr"])
def test_an_encoding_that_is_a_danger_to_read_is_not_read(label: str) -> None:
    assert decode(b"<h1>~{<script>~}</h1>", f"text/html; charset={label}") == "\ufffd"


def test_utf_16_is_what_the_header_says_and_never_what_markup_says() -> None:
    wide = "<h1>Größe</h1>"
    assert decode(wide.encode("utf-16-le"), "text/html; charset=utf-16") == wide
    assert decode(wide.encode("utf-16-be"), "text/html; charset=utf-16be") == wide
    page = f"<meta charset=utf-16>{wide}"
    assert decode(page.encode()) == page
    assert decode(wide.encode(), "text/html; charset=utf-16") == wide  # its bytes say that it isn't


def test_the_header_is_believed_before_the_page() -> None:
    body = b"<meta charset=windows-1251>" + "Ärger".encode("cp1252")
    assert decode(body, "text/html; charset=windows-1252").endswith("Ärger")


def test_a_comment_declares_nothing_and_an_xml_declaration_does() -> None:
    assert decode(b"<!-- <meta charset=koi8-r> -->" + "“é”".encode("cp1252")).endswith("“é”")
    page = '<?xml version="1.0" encoding="shift_jis"?><html>①</html>'
    assert decode(page.encode("cp932")) == page


DECLARING = {
    "charset": b"<meta name=a><meta charset='koi8-r'>",
    "no-quotes": b"<META CHARSET=koi8-r />",
    "http-equiv": b"<meta http-equiv=Content-Type content='text/html; charset = koi8-r'>",
    "the-other-way-round": b'<meta content="text/html;charset=koi8-r" http-equiv="content-type">',
    "late": b"<!doctype html><html><head>" + b"<link rel=preload href=/a>" * 200 + b"<meta charset=koi8-r>",
    "after-an-unknown-one": b"<meta charset=klingon><meta charset=koi8-r>",
    "behind-a-sign-in-quotes": b"<link title='a > b'><meta charset=koi8-r>",
}
SILENT = {
    "in-another-attribute": b"<meta name=description content='charset=koi8-r'>",
    "in-a-name": b"<metacharset=koi8-r>",
    "in-quotes": b"<link title='<meta charset=koi8-r>'>",
    "in-a-comment": b"<!-- <meta charset=koi8-r> -->",
    "style": b"<meta http-equiv=Content-Style-Type content='text/css; charset=koi8-r'>",
    "open-tag": b"<meta charset=koi8-r",
    "open-comment": b"<!-- <meta charset=koi8-r>",
}


@pytest.mark.parametrize("head", DECLARING.values(), ids=DECLARING)
def test_markup_that_declares(head: bytes) -> None:
    assert decode(head + b"\xc1").endswith("а")


@pytest.mark.parametrize("head", SILENT.values(), ids=SILENT)
def test_markup_that_only_looks_like_it(head: bytes) -> None:
    assert decode(head + b"\xc1").endswith("Á")


WALKS = [b"<", b"<!--", b"<a ", b"<a='", b"<!", b"</", b'<a b="', b"<meta a= ", b"<a =", b"<a>", b"<meta b=1 c=2 >"]


@pytest.mark.timeout(60)  # one walk takes milliseconds; a walk from each sign takes minutes
@pytest.mark.parametrize("unit", WALKS)
def test_no_markup_takes_more_than_one_walk_through_it(unit: bytes) -> None:
    assert decode(unit * 100_000) == unit.decode() * 100_000


def test_a_damaged_spot_leaves_the_rest_of_the_page_in_its_declared_encoding() -> None:
    text = "里程碑：第一台计算机"
    assert decode(text.encode("gbk") + b"\xff", "text/html; charset=gb2312") == text + "\ufffd"
    assert decode("年表".encode("euc_jp") + b"\xff<p>", "text/html; charset=euc-jp") == "年表\ufffd<p>"
    assert decode(b"\x81 caf\xe9", "text/html; charset=latin1") == "\x81 café"
