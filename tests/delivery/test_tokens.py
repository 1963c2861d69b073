"""Unsubscribe tokens can't be forged, guessed or bent; a Message-ID is the same on every attempt and nowhere else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.message import tokens
from milepost.errors import SettingsError
from milepost.records import ReaderLink

KEY = "an-invented-key-of-thirty-two-characters"
LIST = "milestones.timeline.example"
HANDLE = "00112233445566778899"


@given(st.integers(min_value=0, max_value=2**63 - 1), st.from_regex(r"[a-z0-9][a-z0-9.-]{0,60}", fullmatch=True))
def test_a_token_says_who_and_what(subscriber: int, list_id: str) -> None:
    handle = f"{subscriber:020x}"
    token = tokens.make(KEY, handle=handle, list_id=list_id)
    assert tokens.verify(KEY, token) == tokens.Unsubscribe(link=ReaderLink(handle=handle), list_id=list_id)
    assert token == tokens.make(KEY.encode(), handle=handle, list_id=list_id)


def test_a_token_of_an_earlier_release_says_the_id_it_was_made_for() -> None:
    old = "AQEHbWlsZXN0b25lcy50aW1lbGluZS5leGFtcGxlEmbv1t80N_PbmVmPiS5lGw"
    assert tokens.verify(KEY, old) == tokens.Unsubscribe(link=ReaderLink(subscriber_id=7), list_id=LIST)
    assert tokens.verify(KEY[::-1], old) is None
    assert tokens.message_id(KEY, issue=5, reader=7, domain="timeline.example") == (
        "<rzk2lbluy6btb3z2cg3npml7devww3zb@timeline.example>"
    )


@pytest.mark.parametrize("handle", ["", "7", "0" * 19, "0" * 22, "g" * 20])
def test_what_is_no_handle_makes_no_token(handle: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        tokens.make(KEY, handle=handle, list_id=LIST)


def test_a_token_fits_into_a_link() -> None:
    token = tokens.make(KEY, handle=HANDLE, list_id=LIST)
    assert len(token) < 75
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_every_single_changed_character_is_noticed() -> None:
    token = tokens.make(KEY, handle=HANDLE, list_id=LIST)
    for at, sign in enumerate(token):
        for other in "AZaz09-_":
            if other != sign:
                assert tokens.verify(KEY, token[:at] + other + token[at + 1 :]) is None


def test_every_part_and_every_prolongation_is_refused() -> None:
    token = tokens.make(KEY, handle=HANDLE, list_id=LIST)
    forged = [token[:end] for end in range(len(token))]
    forged += [token[1:], f"A{token}", f"{token}A", f"{token}=", f"{token}\n"]
    assert [tokens.verify(KEY, one) for one in forged] == [None] * len(forged)


@pytest.mark.parametrize(
    "token", ["", "=", "A", "AQ", "!!!", "ü" * 20, "A" * 5000, "../../etc/passwd", "%00", "\ud800", "AQEB" * 10],
    ids=ascii,
)
def test_rubbish_is_refused(token: str) -> None:
    assert tokens.verify(KEY, token) is None


@given(st.text(max_size=600))
def test_no_text_makes_it_fail(token: str) -> None:
    assert tokens.verify(KEY, token) is None


def test_another_key_another_subscriber_another_list() -> None:
    made = {
        tokens.make(key, handle=f"{subscriber:020}", list_id=list_id)
        for key in (KEY, KEY[::-1]) for subscriber in (1, 11, 256) for list_id in (LIST, "other.example")
    }
    assert len(made) == 12
    assert tokens.verify(KEY[::-1], tokens.make(KEY, handle=HANDLE, list_id=LIST)) is None


def test_the_other_spellings_of_the_same_bytes_are_refused() -> None:
    made = [tokens.make(KEY, handle=HANDLE, list_id=name) for name in ("l", "li", "lis")]
    token = next(token for token in made if len(token) % 4)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spellings = [token[:-1] + sign for sign in alphabet]
    same = [one for one in spellings if base64.urlsafe_b64decode(one + "=" * (-len(one) % 4)) == raw]
    assert len(same) > 1
    assert [one for one in same if tokens.verify(KEY, one)] == [token]


@pytest.mark.parametrize("key", ["", "short", b"fifteen bytes.."])
def test_a_short_key_is_refused(key: str | bytes) -> None:
    with pytest.raises(SettingsError, match="too short"):
        tokens.make(key, handle=HANDLE, list_id=LIST)


def test_a_message_id_is_stable_and_unlike_any_other() -> None:
    def of(issue: int, subscriber: int, key: str = KEY) -> str:
        return tokens.message_id(key, issue=issue, reader=subscriber, domain="timeline.example")

    assert of(1, 2) == of(1, 2)
    assert of(1, 2).endswith("@timeline.example>")
    everyone = {of(issue, subscriber) for issue in range(30) for subscriber in range(30)}
    assert len(everyone) == 900
    assert of(1, 23) != of(12, 3)
    assert of(1, 2, KEY[::-1]) != of(1, 2)


@given(st.binary(max_size=60).map(lambda raw: raw[: len(raw) - len(raw) % 5]))
def test_base32_is_that_of_the_standard_library_in_lower_case(raw: bytes) -> None:
    assert tokens.base32(raw) == base64.b32encode(raw).decode("ascii").lower()
