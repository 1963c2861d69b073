"""What waits: holds with what they keep back, questions, drafts; each is decided once, with a reason that is kept."""

from collections.abc import Callable
from typing import Literal

import pytest
import sqlalchemy as sa

from milepost.records import Role
from pipeline import holds
from pipeline.operators import acts
from store.milestones.looks import Looks
from store.operators.acts import Acts
from store.schema.tables import look, milestone, renaming
from tests.web.desk.conftest import House
from web.desk.visits import csrf_of
from web.writing import Answer, Writers


@pytest.fixture
def house(make: Callable[..., House]) -> House:
    return make("news")


def test_a_hold_shows_what_it_keeps_back_and_where_it_was_read(house: House) -> None:
    number = house.held_look("A clock that keeps time at sea", "<script>alert(1)</script> & more")
    browser = house.signed_in("editor")
    said = browser.open("/desk")
    for words in ("clockwork: too many", "keeps back 2 added", "A clock that keeps time at sea",
                  "<script>alert(1)</script> & more", "read in headings (h1)", "but card (title) says “another title”"):
        assert words in said
    assert not browser.page.xpath("//script[not(@src)]")
    assert "A clock that keeps time at sea" in browser.open(f"/desk/holds/{number}")


def test_it_is_released_once_with_a_reason(house: House) -> None:
    house.held_look("One", "Two")
    browser, other = house.signed_in("editor"), house.signed_in("editor")
    browser.open("/desk")
    other.open("/desk")
    assert "a reason is missing" in browser.press("Release", why="  ")
    assert browser.status == 400
    browser.open("/desk")
    said = browser.press("Release", why="they published a series")
    assert "is released: its changes count as news from now on" in said
    assert holds.held_looks(house.database) == []
    assert "that look is not held" in other.press("Release", why="me too")
    assert other.status == 409
    done = [one for one in acts.latest(house.database) if one.what == "hold.release" and one.outcome == "done"]
    assert [(one.who, one.why, one.before, one.after["held"]) for one in done] == [
        ("editor", "they published a series", {"held": True}, False)]


class Shared(Writers):
    """Writers of a desk at which somebody does something else under the same name, at the same moment."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self._house = house

    async def run(self, write: Callable[[], Answer]) -> Answer:
        done = await super().run(write)
        Acts(self._house.database).begin(who="editor", role="editor", door="desk", what="issue.pause", about="issue 1",
                                         why="", before=None, now=self._house.clock)
        return done


def test_what_one_did_is_told_and_not_what_came_after_it(house: House) -> None:
    house.held_look("One")
    browser = house.signed_in("editor")
    browser.open("/desk")
    house.desk.writers = Shared(house)
    assert "is released" in browser.press("Release", why="they published a series")


def test_it_is_refused_with_a_reason_and_that_is_taken_back(house: House) -> None:
    number = house.held_look("One", "Two")
    browser, other = house.signed_in("editor"), house.signed_in("editor")
    browser.open("/desk")
    other.open("/desk")
    assert "a reason is missing" in browser.press("Refuse", why=" ")
    browser.open("/desk")
    said = browser.press("Refuse", why="a test page went out")
    assert f"Look {number} at clockwork is refused: the record is as it was before it." in said
    assert "that look was refused: a test page went out" in other.press("Release", why="I saw nothing wrong")
    assert other.status == 409
    other.open(f"/desk/holds/{number}")
    said = other.press("Take the refusal back", why="it was right")
    assert "is refused no more: the next look reads it again" in said
    assert "taken back" in browser.open(f"/desk/holds/{number}")
    assert [(one.what, one.after["refused"]) for one in acts.latest(house.database)
            if one.what == "hold.refuse" and one.outcome == "done"] == [("hold.refuse", True)]


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_a_viewer_looks_and_decides_nothing(house: House, role: Role) -> None:
    number = house.held_look("One")
    browser = house.signed_in(role)
    browser.open("/desk")
    assert (["Release look " + str(number)] == [one for one in browser.buttons() if "Release" in one]) is (
        role == "editor")
    browser.open("/desk/me")
    said = browser.post(f"/desk/holds/{number}/release", csrf=browser.csrf, why="because")
    assert ("that takes editor" in said) is (role == "viewer")
    assert len(holds.held_looks(house.database)) == (role == "viewer")


def test_ten_thousand_holds_come_a_page_at_a_time(house: House) -> None:
    with house.database.begin() as connection:
        numbers = sa.select(sa.literal(0).label("number")).cte(recursive=True)
        numbers = numbers.union_all(sa.select(numbers.c.number + 1).where(numbers.c.number < 9_999))
        one = {"source": "clockwork", "started_at": house.clock, "state": "complete", "baseline": False,
               "failures": [], "milestones": 1}
        connection.execute(sa.insert(look).from_select([*one, "held"], sa.select(
            *(sa.literal(value, look.c[name].type) for name, value in one.items()),
            sa.literal("reason ") + sa.cast(numbers.c.number, sa.Text),
        )))
    browser = house.signed_in("viewer")
    said = browser.open("/desk")
    assert "10,000 decisions" in said
    assert len(browser.answer.text) < 100_000
    assert "reason 9999" in said
    assert "reason 9989" not in said
    [older] = browser.page.xpath("//a[text()='Older holds']/@href")
    assert "reason 9989" in browser.open(older)


def test_nothing_waits(make: Callable[..., House]) -> None:
    browser = make("baseline").signed_in("viewer")
    assert "Nothing to decide" in browser.open("/desk")


def test_what_is_wrong_is_told_too(make: Callable[..., House]) -> None:
    browser = make("empty").signed_in("viewer")
    assert "Clockwork has no baseline, so nothing of it is news" in browser.open("/desk")


def test_a_source_that_is_degraded_is_told_until_a_look_finds_it_well(house: House) -> None:
    looks, browser = Looks(house.database), house.signed_in("viewer")

    def ended(state: Literal["complete", "failed"], *degraded: str, unread: int = 0) -> str:
        house.later(minutes=5)
        looks.finish(looks.start("clockwork", house.clock), state=state, now=house.clock, milestones=9,
                     degraded=degraded,
                     reading={"filled": {}, "told": {}, "disputed": {}, "unread": unread})
        house.later(minutes=5)
        return browser.open("/desk")

    said = ended("complete", "the witnesses of date differ on 4 of 9 milestones")
    assert "1 thing to look at" in said
    assert "The witnesses of date differ on 4 of 9 milestones." in said
    assert browser.page.xpath("//a[text()='clockwork is degraded']/@href") == ["/desk/sources/clockwork"]
    assert "clockwork is degraded" in ended("failed")
    assert "clockwork is degraded" not in ended("complete")
    assert "2 entries look like milestones and could not be read." in ended("complete", unread=2)


@pytest.mark.parametrize("path", ["/desk/holds/99", "/desk/holds/x", "/desk/issues/99", "/desk/issues/99/ledger",
                                  "/desk/issues/99999999999999999999", "/desk/issues/99/mail.html"])
def test_what_is_not_there_is_said(house: House, path: str) -> None:
    browser = house.signed_in("editor")
    browser.open(path)
    assert browser.status == 404
    assert "There is no such thing here" in browser.text


def test_a_question_is_answered_once_and_with_a_reason(house: House) -> None:
    """Who answers without one, in a second tab or about none that is asked is refused, and that is kept."""
    with house.database.begin() as connection:
        old, new = connection.execute(sa.select(milestone.c.id, milestone.c.key).limit(2)).all()
        connection.execute(sa.insert(renaming).values(
            id=7, source="clockwork", milestone_id=old.id, other_id=new.id, old_key=old.key, new_key=new.key,
            score=0.9, proof="words", detected_at=house.clock, decision="pending",
        ))
    browser, other = house.signed_in("editor"), house.signed_in("editor")
    other.open("/desk")
    assert "90 % alike" in browser.open("/desk")
    assert "a reason is missing" in browser.press("Answer", same="no", why=" ")
    assert browser.status == 400
    browser.open("/desk")
    assert "is new, and goes into the next issue" in browser.press("Answer", same="no", why="another clock")
    other.press("Answer", same="yes", why="the same clock")
    assert other.status == 409
    other.post("/desk/questions/99", csrf=csrf_of(other.cookie), same="yes", why="x")
    assert other.status == 404
    assert [(one.about, one.outcome) for one in acts.latest(house.database) if one.what == "rename.resolve"] == [
        ("question 99", "refused"), ("question 7", "refused"), ("question 7", "done"), ("question 7", "refused"),
    ]
