"""The desk's pages of what is watched, on record and in hand: what they show, and what they do not let happen."""

import json
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from milepost.errors import NotFoundError
from milepost.records import Role
from pipeline import subscribers
from pipeline.operate.standing import LatelyStanding
from pipeline.operators import acts
from store.milestones.looks import Looks
from store.milestones.milestones import Milestones
from store.schema import tables
from store.subscribers.people import Subscribers
from tests.pipeline.file_server import Answer, serving
from tests.pipeline.stage import READERS
from tests.web.desk.conftest import Browser, House
from web.desk.sparklines import sparkline
from web.desk.system import MASKED, settings_shown

PAGES = {
    "viewer": ("/desk/sources", "/desk/sources/clockwork", "/desk/milestones", "/desk/log", "/desk/health"),
    "admin": ("/desk/readers", "/desk/readers/1", "/desk/readers/import", "/desk/suppressions",
              "/desk/suppressions/import", "/desk/letters",
              "/desk/settings", "/desk/readers/1/erase"),
}
ADMIN = acts.Actor(who="admin", role="admin", door="desk")
CSV = "Email,Status,Plan\nnew@readers.example,subscribed,weekly\nleft@readers.example,unsubscribed,daily\nnobody,x,y\n"


@pytest.fixture
def desk(make: Callable[..., House]) -> House:
    return make("issue")


@pytest.fixture
def admin(desk: House) -> Browser:
    return desk.signed_in("admin")


@pytest.mark.parametrize("role", ["viewer", "editor", "admin"])
def test_who_may_see_what(desk: House, role: Role) -> None:
    browser = desk.signed_in(role)
    for needed, paths in PAGES.items():
        for path in paths:
            browser.open(path)
            assert browser.status == (200 if needed == "viewer" or role == "admin" else 403), path


def test_a_source_with_its_lines(desk: House, admin: Browser) -> None:
    assert "as it should be" in admin.open("/desk/sources")
    assert len(admin.page.xpath("//*[local-name()='svg'][@aria-label]")) == 1
    told = admin.open("/desk/sources/clockwork")
    assert "Witnesses" in told
    label = admin.page.xpath("//tr[th='Title']//*[local-name()='svg']/@aria-label")[0]
    assert label.startswith("Title, filled: from 100% to 100%")
    Looks(desk.database).hold(2, "surge: many new ones")
    assert "surge: many new ones" in admin.open("/desk/sources")
    assert admin.page.xpath("//a[contains(@href, '/desk/holds/2')]")
    admin.open("/desk/sources/nowhere")
    assert admin.status == 404


def test_a_line_has_gaps_and_words() -> None:
    line = str(sparkline([0.5, None, 1.0, 1.0], says='<"all">', most=1))
    assert line.count("<polyline") == 2
    assert "&lt;&#34;all&#34;&gt;: from 50% to 100% in 3 looks" in line
    assert sparkline([None, None], says="nothing") == ""


def test_a_milestone_down_to_the_bytes(admin: Browser) -> None:
    listed = admin.open("/desk/milestones?limit=2")
    assert "Older" in listed
    first = admin.page.xpath("//table//th[@scope='row']/a")[0]
    title = first.text_content()
    assert title in admin.open(f"/desk/milestones?q={title.split()[0]}")
    admin.open(first.get("href"))
    assert "Version 1" in admin.text
    told = admin.open(f"{first.get('href')}/title")
    assert title in told
    assert "SHA-256" in told
    assert "There is no word" in admin.open("/desk/milestones?q=%3F%3F")
    for path in ("/desk/milestones/999", "/desk/milestones/x", "/desk/milestones/1/nothing"):
        admin.open(path)
        assert admin.status in (400, 404), path


def test_markup_in_a_title_is_text(desk: House, admin: Browser) -> None:
    with desk.database.begin() as connection:
        row = connection.execute(sa.select(tables.milestone_version)).first()
        assert row is not None
        connection.execute(
            sa.update(tables.milestone_version).where(tables.milestone_version.c.id == row.id)
            .values(record=row.record | {"title": "<img src=x onerror=alert(1)>"})
        )
    for path in ("/desk/milestones", f"/desk/milestones/{row.milestone_id}"):
        admin.open(path)
        assert not admin.page.xpath("//img[@onerror]")
        assert "<img src=x onerror=alert(1)>" in admin.text


def test_readers_are_found_turned_and_erased(desk: House, admin: Browser) -> None:
    assert all(address in admin.open("/desk/readers") for address in READERS)
    assert "Nobody fits that" in admin.open("/desk/readers?q=%25")
    assert "More" in admin.open("/desk/readers?limit=2")
    number = admin.page.xpath("//table//th[@scope='row']/a/@href")[0].rpartition("/")[2]
    admin.open(f"/desk/readers/{number}")
    assert "Issue 1" in admin.text or "issue 1" in admin.text
    assert "mailed no more" in admin.press("Mail them no more", why="asked by phone")
    assert "is mailed again" in admin.press("Mail them again", why="asked again")
    admin.open(f"/desk/readers/{number}/erase")
    admin.press("Erase for good", address="somebody@else.example", why="asked")
    assert "another one" in admin.text
    admin.open(f"/desk/readers/{number}/erase")
    assert "is forgotten everywhere" in admin.press("Erase for good", address=READERS[0].upper(), why="asked by mail")
    admin.open(f"/desk/readers/{number}")
    assert admin.status == 404
    assert READERS[0] not in repr(acts.latest(desk.database))
    assert "asked by mail" in admin.open("/desk/log")


def test_the_list_and_what_is_kept_of_one_are_saved_as_files(desk: House, admin: Browser) -> None:
    admin.open("/desk/readers")
    assert "a reason is missing" in admin.press("Save it", why=" ")
    admin.open("/desk/readers")
    lines = admin.press("Save it", why="for the books").splitlines()
    assert lines[0] == "address,state,cadence,topics,created_at,suppressed"
    assert [line.partition(",")[0] for line in lines[1:]] == list(READERS)
    assert admin.answer.headers["content-disposition"].startswith('attachment; filename="readers-')
    [kept, *_] = acts.latest(desk.database)
    assert (kept.what, kept.outcome, kept.why, kept.after) == (
        "reader.export", "done", "for the books", {"readers": len(READERS)})
    known = subscribers.show(desk.database, READERS[0]).subscriber
    assert known is not None
    found = json.loads(admin.open(f"/desk/readers/{known.id}/kept.json"))
    assert (found["address"], found["state"], len(found["issues"])) == (READERS[0], "active", 1)
    editor = desk.signed_in("editor")
    editor.open(f"/desk/readers/{known.id}/kept.json")
    assert editor.status == 403
    editor.post("/desk/readers/export", why="for me")
    assert editor.status == 403


def test_no_address_in_a_reason_outlives_an_erase(desk: House, admin: Browser) -> None:
    number = subscribers.show(desk.database, READERS[0]).subscriber
    assert number is not None
    admin.open(f"/desk/readers/{number.id}/erase")
    admin.press("Erase for good", address=READERS[0], why=f"{READERS[0]} wrote to us")
    with pytest.raises(NotFoundError):
        desk.desk.decisions.resolve(1, READERS[0], "sent", by=ADMIN, why=f"the log has {READERS[0]}")
    with desk.database.connect() as connection:
        kept = [repr(connection.execute(sa.select(table)).all()) for table in (tables.act, tables.subscriber_event)]
    assert all("(address)" in rows and READERS[0] not in rows for rows in kept)


def test_a_file_is_looked_at_and_then_taken_in(desk: House, admin: Browser) -> None:
    admin.open("/desk/readers/import")
    assert "that isn't understood" in admin.press("Look at it", text=CSV)
    told = admin.press("Look at it", words="x = pending")
    assert "Nothing is written yet" in told
    assert "Line 4" in told
    assert Subscribers(desk.database).find("new@readers.example") is None
    admin.press("Read it so", fill={"map-cadence": "Plan"})
    assert admin.page.xpath("//tr[th='Plan']/td[contains(., 'cadence')]")
    assert "Taken in" in admin.press("Take them in", why="moved from another program")
    found = Subscribers(desk.database).find("new@readers.example")
    assert found is not None
    assert (found.state, found.cadence) == ("active", "weekly")
    left = Subscribers(desk.database).find("left@readers.example")
    assert left is not None
    assert left.state == "unsubscribed"
    admin.open("/desk/readers/import")
    admin.press("Look at it", text="nothing,here\n1,2\n")
    assert (admin.status, len(admin.page.xpath("//*[@role='alert']"))) == (422, 1)


def test_addresses_are_suppressed_and_lifted(desk: House, admin: Browser) -> None:
    admin.open("/desk/suppressions")
    admin.press("Suppress it", address=READERS[1], why="a spam trap")
    assert READERS[1] in admin.open("/desk/suppressions?q=" + READERS[1][:3])
    assert "suppressed no more" in admin.press("Let it be mailed", why="it was not")
    assert not subscribers.suppressed(desk.database)


def test_a_blocklist_is_looked_at_taken_in_and_saved(desk: House, admin: Browser) -> None:
    text = f"address,reason\n{READERS[0]},a spam trap\nnobody@readers.example,\nno address,x\n"
    admin.open("/desk/suppressions")
    assert "It can only add" in admin.text
    admin.open("/desk/suppressions/import")
    told = admin.press("Look at it", text=text)
    assert "Nothing is written yet" in told
    assert admin.page.xpath("//tr[th='" + READERS[0] + "']/td[contains(., 'is mailed today')]")
    assert "Line 4" in told
    assert not subscribers.suppressed(desk.database)
    assert "a reason is missing" in admin.press("Never mail them", why=" ")
    admin.open("/desk/suppressions/import")
    admin.press("Look at it", text=text)
    assert "who were mailed" in admin.press("Never mail them", why="moved from another program")
    assert {one.normalized: one.reason for one in subscribers.suppressed(desk.database)} == {
        READERS[0]: "a spam trap", "nobody@readers.example": "by admin: moved from another program"}
    [kept, *_] = acts.latest(desk.database)
    assert (kept.what, kept.about, kept.after) == (
        "address.import", "file upload.csv", {"addresses": 2, "new": 2, "errors": 1})
    admin.open("/desk/suppressions/import")
    admin.press("Look at it", text=f"email,status\n{READERS[1]},subscribed\n")
    assert (admin.status, len(admin.page.xpath("//*[@role='alert']"))) == (422, 1)
    admin.open("/desk/suppressions")
    lines = admin.press("Save it", why="for the other list").splitlines()
    assert (lines[0], len(lines)) == ("address,reason,since", 3)
    assert admin.answer.headers["content-disposition"].startswith('attachment; filename="suppressions-')
    assert "@" not in repr([(one.about, one.said, one.before, one.after) for one in acts.latest(desk.database)])
    editor = desk.signed_in("editor")
    for path in ("/desk/suppressions/import", "/desk/suppressions/export"):
        editor.post(path, why="for me", text=text)
        assert editor.status == 403


def test_the_log_tells_who_did_what(desk: House, admin: Browser) -> None:
    desk.desk.decisions.throttle(1, 2.0, by=ADMIN)
    told = admin.open("/desk/log")
    assert "issue.throttle" in told
    assert "per second → 2.0" in told
    assert "issue.throttle" in admin.open("/desk/log?about=issue%201")
    assert "Nothing was done yet" in admin.open("/desk/log?who=nobody")


def test_no_secret_stands_on_the_page_of_settings(make: Callable[..., House]) -> None:
    more = '[webhooks]\nsecret = "whsec_' + "QUJD" * 8 + '"\n'
    more += 'urls = ["https://chat.example/hooks/T0/hunter3"]\n[notify]\nurls = ["json://u:pw@hook.example"]\n'
    desk = make("empty", more)
    told = desk.signed_in("admin").open("/desk/settings")
    assert MASKED in told
    assert "QUJD" not in told
    assert "hook.example" not in told
    assert "https://chat.example/••••••" in told
    assert "hunter3" not in told
    url = desk.settings.model_copy(update={"store": desk.settings.store.model_copy(
        update={"url": "postgresql://milepost:hunter2@db.example/m"})})
    assert "hunter2" not in repr(settings_shown(url))


@pytest.mark.parametrize("url", ["postgresql://m:hun@ter2@db.example/m", "postgresql://m:hun/ter2@db.example/m",
                                 "postgresql://db.example/m?sslmode=require&password=hunter2"])
def test_no_part_of_a_password_in_an_address_is_shown(house: House, url: str) -> None:
    store = house.settings.store.model_copy(update={"url": url})
    told = repr(settings_shown(house.settings.model_copy(update={"store": store})))
    assert "ter2" not in told
    assert "db.example/m" in told


def test_all_are_shown_the_same_for_a_moment_and_what_an_act_changed_at_once(desk: House, admin: Browser) -> None:
    assert "As it stood just now" in admin.open("/desk/health")
    number = desk.held_look("One")
    desk.later(seconds=9)
    assert f"look {number} is held" not in admin.open("/desk/health")
    desk.later(seconds=2)
    said = admin.open("/desk/health")
    assert f"look {number} is held" in said
    other = desk.signed_in("editor")
    other.open("/desk")
    other.press("Release", why="seen")
    assert f"look {number} is held" not in admin.open("/desk/health")


def test_what_was_asked_before_an_act_is_kept_for_nobody(desk: House) -> None:
    lately = LatelyStanding(desk.settings, desk.database)
    kept = lately.at(desk.clock)
    assert lately.at(desk.clock) is kept
    desk.later(seconds=11)
    # Somebody decides while it is asked anew.
    once = sa.event.listens_for(desk.database._readers, "before_cursor_execute", once=True)
    once(lambda *_: lately.forget())
    asked = lately.at(desk.clock)
    assert asked is not kept
    assert lately.at(desk.clock) is not asked


def test_health_and_a_locked_database(desk: House, admin: Browser) -> None:
    assert "Room on its disk" in admin.open("/desk/health")
    with desk.database.engine.connect() as other:
        other.exec_driver_sql("SELECT 1")
        admin.open("/desk/suppressions")
        admin.press("Suppress it", address="trap@readers.example", why="a trap")
        assert admin.status == 503
        other.rollback()
    assert not subscribers.suppressed(desk.database)


def test_an_address_is_tried_and_nothing_is_stored(make: Callable[..., House]) -> None:
    with serving() as site:
        entries = "".join(
            f'<li id="u{n}"><time datetime="2031-03-0{n}">then</time><h3>Umbrella {n} &lt;b&gt;</h3>'
            f"<p>It opens {n} ways.</p></li>"
            for n in range(1, 6))
        page = f"<!doctype html><html><body><main><ul>{entries}</ul></main></body></html>"
        site.answers["/list"] = Answer(page.encode(), "text/html")
        followed = f'key = "umbrellas"\nextractor = "sample"\nbase_url = "{site.url}"\nallow_hosts = ["127.0.0.1"]'
        desk = make("empty", f"[[sources]]\n{followed}\n")
        editor = desk.signed_in("editor")
        editor.open("/desk/sources")
        assert "Try an address" in editor.text
        editor.open("/desk/new-source")
        told = editor.press("Try it", url=f"{site.url}/list")
    assert editor.status == 200
    assert [row.text_content() for row in editor.page.xpath("//table//th[@scope='row']")] == [
        f"Umbrella {n} <b>" for n in (5, 4, 3, 2, 1)]
    for words in ("a list", "milepost source add", 'extractor = "list"', "robots.txt"):
        assert words in told.lower()
    assert not Milestones(desk.database).count("umbrellas")
    refused = editor.press("Try it", url="http://127.0.0.1:1/")
    assert (editor.status, "not a public address" in refused) == (422, True)
    assert "is no address" in editor.press("Try it", url="file:///etc/passwd")
    viewer = desk.signed_in("viewer")
    assert "Try an address" not in viewer.open("/desk/sources")
    viewer.open("/desk/new-source")
    assert viewer.status == 403
    assert [(one.about, one.outcome) for one in acts.latest(desk.database) if one.what == "source.try"] == [
        ("site 127.0.0.1", "refused"), ("site 127.0.0.1", "done")]
