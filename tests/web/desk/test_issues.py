"""A draft beside its rendering, edited, approved by its hash alone, watched, slowed, stopped, and its ledger."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from milepost.errors import ForbiddenError
from milepost.records import Role, Variant
from pipeline import edit, publish
from pipeline.operators import acts
from pipeline.operators.acts import Actor
from pipeline.operators.care import Care
from pipeline.operators.decisions import Decisions
from store.ledger.ledger import Ledger
from store.subscribers.people import Subscribers
from tests.pipeline.stage import READERS
from tests.web.desk.conftest import Browser, House
from web.desk.issues import IssuePages
from web.desk.previews import answered
from web.desk.visits import Visit


@pytest.fixture
def house(make: Callable[..., House]) -> House:
    house = make("news")
    assert house.draft() == 1
    return house


def test_a_draft_stands_beside_its_rendering(house: House) -> None:
    browser = house.signed_in("editor")
    said = browser.open("/desk/issues/1")
    made = edit.find(house.database, 1).content_hash[:12]
    for words in ("3 readers = 3 mails + 0 left out", "lint finds nothing", made):
        assert words in said
    for view, scheme in (("light", "light"), ("dark", "dark"), ("phone", "light")):
        browser.open(f"/desk/issues/1?view={view}")
        [frame] = browser.page.iter("iframe")
        assert frame.get("sandbox") == ""
        assert f"scheme={scheme}" in frame.get("src")
    [variant] = edit.variants(house.settings, house.database, 1, now=house.clock)
    browser.open("/desk/issues/1?view=text")
    assert browser.page.find(".//pre").text == variant.text.lstrip("\n")


def test_who_gets_it_is_counted_after_every_act_and_else_now_and_then(house: House) -> None:
    browser, people = house.signed_in("admin"), Subscribers(house.database)
    told = browser.open("/desk/issues/1/audience")
    assert "3 readers = 3 mails + 0 left out" in told
    people.add("late@readers.example", state="active", now=house.clock)
    again = browser.open("/desk/issues/1/audience")
    assert "3 readers" in again
    counted = browser.page.xpath("//time/text()")
    browser.open("/desk/suppressions")
    browser.press("Suppress it", address=READERS[0], why="asked")
    assert "4 readers = " in browser.open("/desk/issues/1/audience")
    assert "suppressed" in browser.text
    people.add("later@readers.example", state="active", now=house.clock)
    assert "4 readers" in browser.open("/desk/issues/1/audience")
    house.later(seconds=9)
    assert "4 readers" in browser.open("/desk/issues/1/audience")
    house.later(seconds=1)
    assert "5 readers" in browser.open("/desk/issues/1/audience")
    assert browser.page.xpath("//time/text()") != counted


def test_what_an_act_in_another_process_does_is_counted_at_once(house: House) -> None:
    lately = publish.LatelyForeseen(house.settings, house.database)
    issue = edit.find(house.database, 1)
    before, at = lately.of(issue, now=house.clock)
    Care(house.database).suppress(READERS[0], by=Actor(who="ada", role=None, door="console"), why="asked")
    after, again = lately.of(issue, now=house.clock)
    assert (before.deliveries, after.deliveries) == (3, 2)
    assert at == again == house.clock
    assert lately.of(issue, now=house.clock) == (after, house.clock)


def test_lint_reads_the_same_bytes_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = publish.lint

    def lint(variant: Variant, **how: Any) -> list[str]:
        read.append(variant.name)
        return [*real(variant, **how), "too red"]

    monkeypatch.setattr(publish, "lint", lint)
    browser = house.signed_in("editor")
    for _ in range(3):
        assert "too red" in browser.open("/desk/issues/1")
    assert read == ["all"]
    house.later(days=1)  # the day stands in the mail
    browser = house.signed_in("editor")
    browser.open("/desk/issues/1")
    assert read == ["all", "all"]
    monkeypatch.setattr(publish, "lint", real)
    edit.edit(house.settings, house.database, 1, subject="Another")
    assert "too red" not in browser.open("/desk/issues/1")


def test_the_frame_has_the_mail_s_bytes_and_may_do_nothing(house: House) -> None:
    browser = house.signed_in("viewer")
    browser.open("/desk/issues/1/mail.html")
    [variant] = edit.variants(house.settings, house.database, 1, now=house.clock)
    assert browser.answer.text == variant.html
    policy = browser.answer.headers["content-security-policy"].split("; ")
    assert {"sandbox", "default-src 'none'", "form-action 'none'", "frame-ancestors 'self'"} <= set(policy)
    assert browser.answer.headers["x-frame-options"] == "SAMEORIGIN"
    dark = browser.open("/desk/issues/1/mail.html?scheme=dark") and browser.answer.text
    assert "@media all" in dark
    assert "prefers-color-scheme" not in dark
    assert "Sign in" in house.browser().open("/desk/issues/1/mail.html")


def test_a_template_that_is_broken_is_told_in_words(house: House, tmp_path: Path) -> None:
    (tmp_path / "issue.mjml.j2").write_text("<mjml>{{ issue.nothing_of_the_kind }}</mjml>")
    letter = house.settings.newsletter.model_copy(update={"templates": tmp_path})
    broken = house.settings.model_copy(update={"newsletter": letter})
    house.desk.decisions = Decisions(broken, house.database, now=lambda: house.clock)
    browser = house.signed_in("editor")
    browser.open("/desk/issues/1/edit")
    said = browser.press("Save", subject="Another")
    assert browser.status == 422
    assert "Mend the template" in said


def test_a_writer_edits_and_approves_nothing(house: House) -> None:
    writer = house.signed_in("writer")
    writer.open("/desk/issues/1/edit")
    assert "Told by a writer" in writer.press("Save", subject="Told by a writer")
    assert [one for one in writer.buttons() if "Approve" in one or "Throw" in one] == []
    writer.post("/desk/issues/1/approve", csrf=writer.csrf, content_hash=edit.find(house.database, 1).content_hash)
    assert (writer.status, edit.find(house.database, 1).state) == (403, "draft")


def test_four_eyes_see_a_draft_before_it_goes_out(make: Callable[..., House]) -> None:
    house = make("news", "[desk]\nfour_eyes = true\n")
    house.draft()
    editor, admin = house.signed_in("editor"), house.signed_in("admin")
    editor.open("/desk/issues/1/edit")
    said = editor.press("Save", subject="Told by an editor")
    assert "Editor edited it last, and somebody else has to approve it" in said
    sealed = edit.find(house.database, 1).content_hash
    editor.post("/desk/issues/1/approve", csrf=editor.csrf, content_hash=sealed)
    assert (editor.status, "editor edited it last" in editor.text) == (403, True)
    by_form = Actor(who="prefect", role=None, door="flows")
    with pytest.raises(ForbiddenError, match="nobody knows who fills in this form"):
        house.desk.decisions.approve(1, content_hash=sealed, by=by_form)
    admin.open("/desk/issues/1")
    editor.open("/desk/issues/1/edit")
    editor.press("Save", subject="Told otherwise")
    assert "its content is" in admin.press("Approve")  # the hash decides
    admin.open("/desk/issues/1")
    assert "is sealed for 3 readers" in admin.press("Approve")


def test_a_scheme_is_answered_for_it() -> None:
    asked = '<meta name="color-scheme" content="light dark"><style>@media (prefers-color-scheme: dark) { a {} }</style>'
    assert answered(asked, "dark") == '<meta name="color-scheme" content="dark"><style>@media all { a {} }</style>'
    assert "@media not all" in answered(asked, "light")
    assert answered(asked, "") == asked


def test_what_is_edited_is_rendered_again(house: House) -> None:
    browser = house.signed_in("editor")
    before = edit.find(house.database, 1)
    browser.open("/desk/issues/1/edit")
    said = browser.press("Save", fill={
        "subject": "Clocks <b>agree</b>", "intro": "Some *words* of ours.", "place-1": "1",
    })
    after = edit.find(house.database, 1)
    assert "Clocks <b>agree</b>" in said
    assert after.content_hash != before.content_hash
    assert [item.milestone.key for item in after.items] == [item.milestone.key for item in before.items][::-1]
    browser.open("/desk/issues/1/edit")
    browser.press("Save", fill={"out-0": "1"})
    assert len(edit.find(house.database, 1).items) == len(before.items) - 1
    done = acts.latest(house.database, about="issue 1")
    assert [one.what for one in done] == ["issue.edit", "issue.edit"]
    assert done[1].before["subject"] == before.subject
    assert done[1].after["subject"] == "Clocks <b>agree</b>"


def test_a_second_tab_approves_nothing_that_was_changed_meanwhile(house: House) -> None:
    one, two = house.signed_in("editor"), house.signed_in("editor")
    one.open("/desk/issues/1")
    two.open("/desk/issues/1/edit")
    three = house.signed_in("editor")
    three.open("/desk/issues/1/edit")
    two.press("Save", subject="Another subject")
    assert "its content is" in one.press("Approve")
    assert one.status == 409
    assert "Nothing was decided" in one.text
    assert edit.find(house.database, 1).state == "draft"
    assert "somebody changed it meanwhile" in three.press("Save", subject="A third")
    assert edit.find(house.database, 1).subject == "Another subject"


def test_two_approve_at_once_and_it_is_sealed_once(house: House) -> None:
    one, two = house.signed_in("editor"), house.signed_in("editor")
    one.open("/desk/issues/1")
    two.open("/desk/issues/1")
    assert "is sealed for 3 readers" in one.press("Approve", why="read it")
    assert "no draft any more" in two.press("Approve")
    assert edit.find(house.database, 1).deliveries == 3
    done = [act for act in acts.latest(house.database, about="issue 1") if act.what == "issue.approve"]
    assert [act.outcome for act in done] == ["refused", "done"]
    assert (done[1].before["state"], done[1].after["state"], done[1].why) == ("draft", "frozen", "read it")


def sealed(house: House) -> Browser:
    browser = house.signed_in("editor")
    browser.open("/desk/issues/1")
    browser.press("Approve")
    return browser


def test_it_is_taken_back_throttled_stopped_and_goes_on(house: House) -> None:
    browser = sealed(house)
    assert "It can be taken back" in browser.text
    assert "is sent at 0.5 a second" in browser.press("Throttle", per_second="0,5")
    assert "is no rate" in browser.press("Throttle", per_second="0")
    browser.open("/desk/issues/1")
    assert "is no number" in browser.press("Throttle", per_second="fast")
    browser.open("/desk/issues/1")
    assert "is a draft again: nothing was sent" in browser.press("Stop", why="a wrong date")
    browser.open("/desk/issues/1")
    browser.press("Approve")
    assert "waits no longer" in browser.press("Send without waiting")
    ledger = Ledger(house.database)
    ledger.claim(1, limit=1, lease_seconds=60)
    assert "is paused" in (browser.open("/desk/issues/1") and browser.press("Stop", why="too fast"))
    assert "too fast" in browser.open("/desk")
    assert "may be sent again" in browser.press("Let it go on")


def test_a_viewer_sees_no_reader(house: House) -> None:
    sealed(house)
    viewer = house.signed_in("viewer")
    assert "3 readers" in viewer.open("/desk/issues/1")
    assert not viewer.page.xpath("//a[contains(@href, '/ledger')]")
    viewer.open("/desk/issues/1/ledger?state=pending")
    assert (viewer.status, "@readers.example" in viewer.text) == (403, False)


def test_the_ledger_says_who_got_it_and_who_not_and_why(house: House) -> None:
    house.later(hours=1)
    Subscribers(house.database).add("late@readers.example", now=house.clock)
    browser = sealed(house)
    said = browser.open("/desk/issues/1/ledger")
    assert "4 readers = 3 mails + 1 left out" in said
    assert "late@readers.example" in browser.open("/desk/issues/1/ledger?out=1")
    assert "joined_later" in browser.text
    assert "late@readers.example" in browser.open("/desk/issues/1/ledger?reason=joined_later")
    assert "Has no mail of it" in browser.open("/desk/issues/1/ledger?address=late@readers.example")
    assert "Nothing was tried yet" in browser.open("/desk/issues/1/ledger?address=ada@readers.example")
    browser.open("/desk/issues/1/ledger?state=pending&limit=2")
    assert browser.text.count("@readers.example") == 2
    [more] = browser.page.xpath("//a[text()='More of them']/@href")
    assert browser.open(more).count("@readers.example") == 1


def test_progress_is_sent_as_it_stands_on_the_page(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = sealed(house)
    [live] = browser.page.xpath("//@data-live")
    assert live == "/desk/issues/1/progress?state=frozen"
    assert browser.page.xpath("//noscript/meta[@http-equiv='refresh']")
    monkeypatch.setattr("web.desk.issues.EVERY_S", 0.001)
    session = house.desk.sign_in.session(browser.cookie)
    assert session is not None
    request = Request({"type": "http", "query_string": b"state=frozen"})
    visit = Visit(desk=house.desk, request=request, session=session, token=browser.cookie)

    async def parts() -> list[str]:
        stream = IssuePages(house.desk)._parts(visit, 1)
        first = await anext(stream)
        edit.stop(house.database, 1)
        return [first, *[one async for one in stream]]

    first, last = house.loop.run_until_complete(parts())
    assert first.startswith("event: part\ndata: <progress")
    assert "0 <span" in first
    assert last == "event: over\ndata: \n\n"


@pytest.mark.parametrize("content", ["", "0" * 64])
def test_what_is_sealed_is_approved_with_no_other_content(house: House, content: str) -> None:
    """Nor is it a second time with the same: its readers were placed, and its time for second thoughts runs."""
    browser = house.signed_in("editor")
    browser.open("/desk/issues/1")
    browser.press("Approve")
    sealed = edit.find(house.database, 1)
    assert sealed.state == "frozen"
    house.clock += dt.timedelta(minutes=1)
    browser.open("/desk/me")
    browser.post("/desk/issues/1/approve", csrf=browser.csrf, content_hash=content or sealed.content_hash)
    assert (browser.status, "it is frozen, no draft any more" in browser.text) == (409, True)
    assert edit.find(house.database, 1) == sealed


@pytest.mark.parametrize("role", ["viewer", "editor", "admin"])
def test_a_viewer_changes_no_issue(house: House, role: Role) -> None:
    browser = house.signed_in(role)
    assert ("Approve issue 1" in (browser.open("/desk/issues/1") and browser.buttons())) is (role != "viewer")
    browser.open("/desk/me")
    csrf, content = browser.csrf, edit.find(house.database, 1).content_hash
    browser.post("/desk/issues/1/approve", csrf=csrf, content_hash=content)
    assert (edit.find(house.database, 1).state == "draft") is (role == "viewer")
    assert (browser.status == 403) is (role == "viewer")


def test_the_list_is_in_pages(house: House) -> None:
    browser = house.signed_in("viewer")
    assert edit.find(house.database, 1).subject in browser.open("/desk/issues")


def test_a_test_goes_to_no_ledger_and_a_relay_that_is_not_there_is_said(house: House) -> None:
    browser = house.signed_in("editor")
    browser.open("/desk/issues/1")
    browser.press("Send a test", address="me@example.org")
    assert browser.status == 502
    assert "The relay said no" in browser.text
    browser.open("/desk/issues/1")
    browser.press("Send a test", address="nonsense")
    assert browser.status == 400


def test_an_editor_s_words_run_nothing_in_an_admin_s_browser(house: House) -> None:
    browser = house.signed_in("editor")
    browser.open("/desk/issues/1/edit")
    browser.press("Save", subject="<img src=x onerror=alert(1)>", preheader="<svg/onload=alert(2)>",
                  intro="<script>alert(3)</script> [press](javascript:alert(4)) **bold**")
    admin = house.signed_in("admin")
    for path in ("/desk", "/desk/issues", "/desk/issues/1", "/desk/issues/1/edit", "/desk/issues/1/mail.html"):
        admin.open(path)
        assert admin.status == 200
        runs = "//script[not(@src)] | //*[@onerror] | //*[@onload] | //a[contains(@href, 'javascript:')]"
        assert not admin.page.xpath(runs)
        assert "unsafe-inline" not in admin.answer.headers["content-security-policy"].partition("script-src")[2]
