"""The way out works by itself, for people and for mail programs, and for nobody who forges it."""

from typing import Any

import pytest

NOBODY = "/u/AQEHbWlsZXN0b25lcw"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_changes_nothing(method: str, ask: Any, token: Any, subscribers: Any) -> None:
    answer = ask(method, f"/u/{token()}")
    assert answer.status_code == 200
    assert subscribers.asked == []
    if method == "GET":
        assert answer.text.count("<form") == answer.text.count("<button") == 1
        assert 'method="post"' in answer.text
        assert 'name="List-Unsubscribe" value="One-Click"' in answer.text
        assert "Leave Looms &amp; Engines?" in answer.text


BODIES = {
    "urlencoded": {"data": {"List-Unsubscribe": "One-Click"}},
    "multipart": {"files": {"List-Unsubscribe": (None, "One-Click")}},
    "another case of the type": {
        "content": b"List-Unsubscribe=One-Click", "headers": {"Content-Type": "Application/X-WWW-Form-Urlencoded"}
    },
    "no type": {"content": b"List-Unsubscribe=One-Click"},
    "no body": {},
    "a broken multipart": {"content": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data"}},
    "cookies of others": {"data": {"List-Unsubscribe": "One-Click"}, "headers": {"Cookie": "session=;;=\x01"}},
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_one_click(body: dict[str, Any], ask: Any, token: Any, subscribers: Any) -> None:
    answer = ask("POST", f"/u/{token()}", **body)
    assert answer.status_code == 200
    assert answer.history == []
    assert "set-cookie" not in answer.headers
    assert subscribers.states == {7: "unsubscribed", 8: "active"}


def test_twice_is_as_good_as_once(ask: Any, token: Any, subscribers: Any) -> None:
    first, second = (ask("POST", f"/u/{token()}") for _ in range(2))
    assert (first.status_code, first.text) == (second.status_code, second.text)
    assert subscribers.states[7] == "unsubscribed"


def test_who_is_nobody_here_has_left_too(ask: Any, token: Any) -> None:
    known, nobody = ask("POST", f"/u/{token(7)}"), ask("POST", f"/u/{token(999)}")
    assert (known.status_code, nobody.status_code) == (200, 200)
    assert "You are unsubscribed" in known.text
    assert "You are unsubscribed" in nobody.text
    assert ask("GET", f"/u/{token(999)}").status_code == 410


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_forged_tokens_change_nothing_and_tell_nothing(method: str, ask: Any, token: Any, subscribers: Any) -> None:
    forged = [
        NOBODY, f"/u/{token()[:-1]}", f"/u/{token()}x", f"/u/{token(key='another-key-of-thirty-two-characters')}",
        f"/u/{token(list_id='other.example')}", "/u/%00", "/u/%F0%9F%92%A9", f"/u/{'A' * 3000}",
    ]
    answers = [ask(method, path) for path in forged]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    assert "This link is not complete" in answers[0].text
    assert subscribers.asked == []


JUNK = ["/", ".", ",", ")", ">", "%3E", "%22", "'", "%20", "./", "%C2%A0", "?utm_source=x", "%E2%80%9D.", "*", "%0A"]


@pytest.mark.parametrize("junk", JUNK)
def test_what_programs_put_behind_a_link_harms_nothing(junk: str, ask: Any, token: Any, subscribers: Any) -> None:
    assert "Leave Looms" in ask("GET", f"/u/{token()}{junk}").text
    assert "Looms" in ask("GET", f"/u/{token()}/preferences{junk}").text
    assert ask("POST", f"/u/{token()}{junk}", data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert subscribers.states == {7: "unsubscribed", 8: "active"}


def test_a_link_signed_with_the_key_before_this_one_works(ask: Any, token: Any, subscribers: Any) -> None:
    assert ask("POST", f"/u/{token(key='the-key-before-it-of-thirty-two-characters')}").status_code == 200
    assert subscribers.states[7] == "unsubscribed"


def test_a_link_of_an_earlier_release_works(ask: Any, subscribers: Any) -> None:
    ask("POST", "/u/AQEHbWlsZXN0b25lcy50aW1lbGluZS5leGFtcGxlEmbv1t80N_PbmVmPiS5lGw")
    assert subscribers.states == {7: "unsubscribed", 8: "active"}


def test_a_store_that_is_down_asks_to_come_again(ask: Any, token: Any, subscribers: Any) -> None:
    subscribers.down = True
    answer = ask("POST", f"/u/{token()}")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "60"
    assert "disk" not in answer.text
    subscribers.down = False
    assert ask("POST", f"/u/{token()}").status_code == 200


def test_it_is_kept_by_nobody_and_listed_nowhere(ask: Any, token: Any) -> None:
    for answer in (ask("GET", f"/u/{token()}"), ask("POST", f"/u/{token()}"), ask("GET", NOBODY)):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-robots-tag"] == "noindex, nofollow"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_log_holds_no_token(
    ask: Any, token: Any, subscribers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    subscribers.down = True
    ask("POST", f"/u/{token()}")
    assert "the disk is full" in caplog.text
    assert token() not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("web"))


def test_the_address_without_a_token_explains(ask: Any) -> None:
    answer = ask("GET", "/u")
    assert answer.status_code == 200
    assert "How to unsubscribe" in answer.text
