"""A reader changes how often they hear, and about what, with nothing but the link in their mail."""

from typing import Any
from urllib.parse import urlencode

import pytest
from lxml import html

HTTP = "application/x-www-form-urlencoded"


def page_of(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return html.fromstring(answer.text)


def chosen(page: Any, name: str) -> list[str]:
    return sorted(page.xpath(f"//input[@name='{name}'][@checked]/@value"))


def offered(page: Any, name: str) -> list[str]:
    return sorted(page.xpath(f"//input[@name='{name}']/@value"))


def body(cadence: str, *topics: str) -> dict[str, Any]:
    return {"content": urlencode([("cadence", cadence), *(("topic", topic) for topic in topics)]),
            "headers": {"Content-Type": HTTP}}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_shows_the_choice_and_changes_nothing(method: str, ask: Any, token: Any, subscribers: Any) -> None:
    before = dict(subscribers.choices)

    answer = ask(method, f"/u/{token()}/preferences")

    assert (answer.status_code, subscribers.choices, subscribers.asked) == (200, before, [])
    if method == "GET":
        page = page_of(answer)
        assert (chosen(page, "cadence"), chosen(page, "topic")) == (["weekly"], ["chess"])
        assert offered(page, "cadence") == ["instant", "weekly"]
        assert offered(page, "topic") == ["chess", "deep-learning", "products", "research"]
        assert page.xpath("//label[input[@value='deep-learning']]")[0].text_content().strip() == "Deep learning"
        assert {*page.xpath("//form[not(contains(@action, '/erase'))]/@method")} == {"post"}
        assert "reader@readers.example" not in answer.text  # whoever is shown the page learns no address
        assert "r…@readers.example" in answer.text
        assert f"/u/{token()}" in page.xpath("//a/@href")
        assert chosen(page, "language") == ["en"]


def test_a_choice_is_kept_and_shown(ask: Any, token: Any, subscribers: Any) -> None:
    answer = ask("POST", f"/u/{token()}/preferences", **body("instant", "research", "deep-learning", "research"))

    assert subscribers.choices == {7: ("instant", ("research", "deep-learning")), 8: ("instant", ())}
    page = page_of(answer)
    assert (chosen(page, "cadence"), chosen(page, "topic")) == (["instant"], ["deep-learning", "research"])
    assert "Saved." in page.xpath("//*[@role='status']")[0].text_content()
    assert (answer.history, "set-cookie" in answer.headers) == ([], False)


def test_nothing_chosen_is_everything(ask: Any, token: Any, subscribers: Any) -> None:
    page_of(ask("POST", f"/u/{token()}/preferences", **body("weekly")))

    assert subscribers.choices[7] == ("weekly", ())


@pytest.mark.parametrize(
    ("form", "status"),
    [
        pytest.param(body("hourly"), 400, id="no such cadence"),
        pytest.param(body("daily"), 400, id="a cadence that is not on offer"),
        pytest.param(body("weekly", "knitting"), 400, id="no such topic"),
        pytest.param({"content": b"topic=chess"}, 400, id="no cadence"),
        pytest.param({"content": b"cadence=weekly&cadence=instant"}, 400, id="two cadences"),
        pytest.param({"content": b"\xff\xfe"}, 400, id="no text"),
        pytest.param({"content": b"topic=chess&" * 1001}, 400, id="too many fields"),
        pytest.param({"content": b"x" * 70_000}, 413, id="too long"),
        pytest.param({"files": {"cadence": (None, "weekly")}}, 400, id="multipart"),
    ],
)
def test_what_was_not_on_offer_changes_nothing(
    form: dict[str, Any], status: int, ask: Any, token: Any, subscribers: Any
) -> None:
    before = dict(subscribers.choices)

    answer = ask("POST", f"/u/{token()}/preferences", **form)

    assert (answer.status_code, subscribers.choices) == (status, before)
    assert "not possible" in answer.text


def test_a_choice_that_is_no_more_on_offer_can_be_kept(ask: Any, token: Any, subscribers: Any) -> None:
    subscribers.choices[7] = ("monthly", ("Chess", "looms"))

    page = page_of(ask("GET", f"/u/{token()}/preferences"))
    assert (chosen(page, "cadence"), chosen(page, "topic")) == (["monthly"], ["chess", "looms"])
    page_of(ask("POST", f"/u/{token()}/preferences", **body("monthly", "chess", "looms")))

    assert subscribers.choices[7] == ("monthly", ("chess", "looms"))


def test_only_the_most_common_topics_are_offered(ask: Any, token: Any, topics: Any, subscribers: Any) -> None:
    from milepost.records import KnownTopics

    subscribers.choices[7] = ("weekly", ("t99",))
    topics.topics = KnownTopics(tags=tuple(f"t{number:02d}" for number in range(100)))

    page = page_of(ask("GET", f"/u/{token()}/preferences"))

    assert offered(page, "topic") == [*(f"t{number:02d}" for number in range(32)), "t99"]


def test_topics_are_looked_up_once_in_a_while(
    ask: Any, make_app: Any, settings: Any, token: Any, topics: Any
) -> None:
    app = make_app(settings)
    for _ in range(3):
        page_of(ask("GET", f"/u/{token()}/preferences", app=app))

    assert topics.asked == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_left_may_come_back_and_who_is_nobody_here_changes_nothing(
    method: str, ask: Any, token: Any, subscribers: Any
) -> None:
    subscribers.states[7] = "unsubscribed"
    before = dict(subscribers.choices)
    form = body("instant") if method == "POST" else {}

    left, erased = (ask(method, f"/u/{token(number)}/preferences", **form) for number in (7, 999))

    assert (left.status_code, erased.status_code, subscribers.choices) == (200, 200, before)
    assert "You are unsubscribed" in left.text
    assert "You are unsubscribed" in erased.text
    assert ("/back" in left.text, "/back" in erased.text) == (True, False)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_forged_tokens_change_nothing_and_tell_nothing(method: str, ask: Any, token: Any, subscribers: Any) -> None:
    before = dict(subscribers.choices)
    form = body("instant") if method == "POST" else {}
    other = token(key="another-key-of-thirty-two-characters")
    forged = [token()[:-1], f"{token()}x", other, token(list_id="x.example")]

    answers = [ask(method, f"/u/{each}/preferences", **form) for each in forged]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    assert subscribers.choices == before


def test_a_store_that_is_down_asks_to_come_again(ask: Any, token: Any, subscribers: Any) -> None:
    subscribers.down = True

    answer = ask("POST", f"/u/{token()}/preferences", **body("instant"))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


def test_the_page_is_kept_by_nobody(ask: Any, token: Any) -> None:
    for answer in (ask("GET", f"/u/{token()}/preferences"),
                   ask("POST", f"/u/{token()}/preferences", **body("instant"))):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-robots-tag"] == "noindex, nofollow"
        assert "form-action 'self'" in answer.headers["content-security-policy"]
        assert "<script" not in answer.text


def test_the_way_out_offers_to_hear_less(ask: Any, token: Any) -> None:
    assert f"/u/{token()}/preferences" in page_of(ask("GET", f"/u/{token()}")).xpath("//a/@href")


def test_the_link_of_a_test_mail_explains(ask: Any) -> None:
    assert "How to unsubscribe" in ask("GET", "/u/preferences").text
