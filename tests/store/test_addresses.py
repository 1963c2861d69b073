"""What is taken for an address: the same whether the quick way or the library's own reads it."""

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.errors import InputError
from store.subscribers.addresses import parse

LOCALS = st.one_of(
    st.from_regex(r"[A-Za-z0-9._+'-]{1,12}", fullmatch=True),
    st.sampled_from(["a" * 64, "a" * 65, "Info", "POSTMASTER", "a..b", ".a", "a.", "ä", '"a b"', "a b", "", "a@b",
                     "a\x00", "a\n", "<a"]),
)
DOMAINS = st.one_of(
    st.from_regex(r"[A-Za-z0-9-]{1,8}(\.[A-Za-z0-9-]{1,6}){0,2}", fullmatch=True),
    st.sampled_from(["Readers.EXAMPLE", "bücher.example", "xn--bcher-kva.example", "localhost", "a.test", "a.invalid",
                     "", "[127.0.0.1]", "readers.example.", "-a.example", f"{'a' * 60}.{'b' * 60}.{'c' * 60}.example",
                     "readers.example>", "readers.example\n", "read\u200bers.example"]),
)


def read_whole(text: str) -> str | None:
    try:
        found = validate_email(text.strip(" \t"), check_deliverability=False, allow_smtputf8=False, strict=True)
    except EmailNotValidError:
        return None
    return found.ascii_email


@settings(max_examples=60)
@given(st.builds("{}@{}".format, LOCALS, DOMAINS))
def test_as_the_library_has_it(text: str) -> None:
    expected = read_whole(text)
    if expected is None:
        with pytest.raises(InputError):
            parse(text)
    else:
        assert parse(text).address == expected


@pytest.mark.parametrize("text", ["Info@readers.example", "Ada@Readers.EXAMPLE", " ada@readers.example\t"])
def test_what_is_kept_of_it(text: str) -> None:
    assert parse(text).address == read_whole(text)
    assert parse(text).normalized == str(read_whole(text)).lower()
