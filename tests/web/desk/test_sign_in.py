"""Who comes in, who does not, and for how long; each refusal is a sentence."""

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pyotp
import pytest

from milepost.errors import ConflictError, ForbiddenError, InputError, MilepostError, SettingsError
from milepost.records import Role
from pipeline.operators import acts
from pipeline.operators.passwords import step_of
from tests.web.desk.conftest import BASE, PASSWORD, ROOT, House
from web.serve import serve

WRONG = "The name, the password or the code is wrong"


def sign_in(house: House, name: str = "ada", password: str = PASSWORD, code: str = "", host: str = "") -> str:
    browser = house.browser(host or "203.0.113.7")
    browser.open("/desk/sign-in")
    return browser.press("Sign in", name=name, password=password, code=code)


def test_there_is_no_desk_before_an_operator(house: House) -> None:
    assert house.browser().open("/desk") == "the readers' page"
    house.operator("ada", "admin")
    assert "Sign in" in house.browser().open("/desk")


def test_a_link_sets_a_password_once(house: House) -> None:
    link = house.desk.accounts.add("ada", "editor", by=ROOT).link
    assert link.startswith(f"{BASE}/desk/link/")
    browser = house.browser()
    browser.open(link)
    assert "12 characters" in browser.press("Set it", password="short", again="short")
    assert "differ" in browser.press("Set it", password=PASSWORD, again=PASSWORD + "x")
    assert "What waits for me" in browser.press("Set it", password=PASSWORD, again=PASSWORD)
    assert "leads nowhere" in house.browser().open(link)
    assert "What waits for me" in sign_in(house)


def test_a_link_ends_after_two_days(house: House) -> None:
    link = house.desk.accounts.add("ada", "editor", by=ROOT).link
    house.later(hours=49)
    assert "leads nowhere" in house.browser().open(link)


def test_what_is_kept_lets_nobody_in(house: House) -> None:
    house.operator("ada", "admin")
    browser = house.signed_in("viewer")
    token = browser.cookie
    with closing(sqlite3.connect(house.settings.store.url.removeprefix("sqlite:///"))) as database:
        kept = "\n".join(database.iterdump())
    assert token not in kept
    assert PASSWORD not in kept
    assert "$argon2id$" in kept


def test_the_cookie_is_for_this_host_and_no_script(house: House) -> None:
    house.operator("ada", "viewer")
    browser = house.browser()
    browser.client.follow_redirects = False
    browser.open("/desk/sign-in")
    browser.press("Sign in", name="ada", password=PASSWORD)
    [cookie] = [one for one in browser.answer.headers.get_list("set-cookie") if "Host-milepost-desk=" in one]
    for part in ("HttpOnly", "SameSite=strict", "Secure", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie


def test_a_session_gets_a_new_cookie_and_the_old_one_ends(house: House) -> None:
    browser = house.signed_in("viewer")
    before = browser.cookie
    browser.open("/desk/sign-in")
    browser.press("Sign in", name="viewer", password=PASSWORD)
    assert browser.cookie != before
    assert house.desk.sign_in.session(before) is None


def test_a_hundred_guesses_are_refused_and_the_real_one_comes_in_from_elsewhere(house: House) -> None:
    house.operator("ada", "admin")
    for number in range(99):
        with pytest.raises(InputError if number < 10 else ForbiddenError):
            house.desk.sign_in.by_password("ada", f"guess number {number}", "", host="198.51.100.9")
    said = sign_in(house, host="198.51.100.77")  # even a right one, from that network
    assert "Too many wrong passwords came from this network. Wait for 15 minutes." in said
    assert "What waits for me" in sign_in(house, host="192.0.2.1")
    house.later(minutes=16)
    assert "What waits for me" in sign_in(house, host="198.51.100.9")


def test_refusing_guesses_has_a_status_of_its_own(house: House) -> None:
    house.operator("ada", "admin")
    for number in range(20):
        with pytest.raises(InputError):
            house.desk.sign_in.by_password(f"name{number}", "whatever it is", "", host="198.51.100.9")
    browser = house.browser("198.51.100.9")
    browser.open("/desk/sign-in")
    assert "Too many" in browser.press("Sign in", name="ada", password=PASSWORD)
    assert browser.status == 429


def test_an_unknown_name_costs_the_same_work(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str | None] = []
    right = house.desk.sign_in._passwords.right

    def look(hashed: str | None, password: str) -> bool:
        looked.append(hashed)
        return right(hashed, password)

    monkeypatch.setattr(house.desk.sign_in._passwords, "right", look)
    house.operator("ada", "viewer")
    for name in ("nobody", "no name at all!", "ada"):
        assert WRONG in sign_in(house, name=name, password="not the password")
    assert [one is None for one in looked] == [True, True, False]


def test_a_code_is_asked_for_and_works_once(house: House) -> None:
    browser = house.signed_in("editor")
    browser.open("/desk/me")
    secret = browser.page.xpath("//input[@name='secret']/@value")[0]
    code = pyotp.TOTP(secret).at(house.clock)
    assert "the code is wrong" in browser.press("Ask for codes", code="000000x", password=PASSWORD)
    browser.open("/desk/me")
    secret = browser.page.xpath("//input[@name='secret']/@value")[0]
    code = pyotp.TOTP(secret).at(house.clock)
    assert "Asked for codes from now on" in browser.press("Ask for codes", code=code, password=PASSWORD)
    assert WRONG in sign_in(house, "editor")
    assert WRONG in sign_in(house, "editor", code=code)  # it was used to switch them on
    house.later(seconds=60)
    code = pyotp.TOTP(secret).at(house.clock)
    assert "What waits for me" in sign_in(house, "editor", code=code)
    assert WRONG in sign_in(house, "editor", code=code)


@pytest.mark.parametrize("secret", ["no base32!", "AA", "1"])
def test_a_secret_that_is_none_of_ours_is_refused(house: House, secret: str) -> None:
    browser = house.signed_in("editor")
    browser.open("/desk/me")
    assert "the code is wrong" in browser.press("Ask for codes", secret=secret, code="123456", password=PASSWORD)
    assert browser.status == 400


def test_no_link_is_made_for_who_is_locked_out(house: House) -> None:
    house.operator("ada", "viewer")
    house.desk.accounts.disable("ada", by=ROOT)
    with pytest.raises(ConflictError, match="is locked out"):
        house.desk.accounts.reset("ada", by=ROOT)
    house.desk.accounts.enable("ada", by=ROOT)
    assert "What waits for me" in sign_in(house)  # the password was not touched


def test_a_form_of_nobody_is_not_read(house: House) -> None:
    viewer = house.signed_in("viewer")
    long = "x" * 70_000
    viewer.post("/desk/me/password", old=long)
    assert viewer.status == 413
    viewer.post("/desk/issues/1/discard", why=long)
    assert viewer.status == 403
    nobody = house.browser()
    nobody.post("/desk/me/password", old=long)
    assert nobody.status == 401


def test_the_desk_has_a_port_of_its_own(make: Callable[..., House]) -> None:
    desk = make("empty", '[desk]\nlisten = "127.0.0.1:8026"\n').settings
    with pytest.raises(MilepostError, match="take port 8026 too"):
        serve(desk, host="127.0.0.2", port=8026)
    for port in (0, 65536):
        with pytest.raises(SettingsError, match="from 1 to 65535"):
            make("empty", f'[desk]\nlisten = "127.0.0.1:{port}"\n')


def test_a_page_that_asks_by_itself_keeps_no_desk_open(house: House) -> None:
    browser = house.signed_in("viewer")
    token = browser.cookie
    for _ in range(5):
        house.later(minutes=60)
        watched = house.desk.sign_in.session(token, clicked=False)
    assert watched is None


def test_a_code_of_a_clock_that_is_half_a_minute_off_is_taken(house: House) -> None:
    secret = pyotp.random_base32()
    totp, step = pyotp.TOTP(secret), int(house.clock.timestamp()) // 30
    assert [step_of(secret, totp.generate_otp(step + off), house.clock) for off in (-2, -1, 0, 1, 2)] == [
        None, step - 1, step, step + 1, None]


@pytest.mark.parametrize("act", ["password", "role", "disable", "reset", "sign out"])
def test_a_cookie_is_old_after(house: House, act: str) -> None:
    browser, admin = house.signed_in("editor"), house.desk.accounts
    house.operator("root", "admin")
    assert "What waits" in browser.open("/desk")
    match act:
        case "password":
            other = house.signed_in("editor")
            other.open("/desk/me")
            said = other.press("Change it", old=PASSWORD, password="another four invented words",
                               again="another four invented words")
            assert "signed out everywhere else" in said  # and it goes on here
            assert "editor" in other.open("/desk/me")
        case "role":
            admin.change_role("editor", "viewer", by=ROOT)
        case "disable":
            admin.disable("editor", by=ROOT)
        case "reset":
            admin.reset("editor", by=ROOT)
        case "sign out":
            token = browser.cookie
            browser.press("Sign out")
            browser.cookie = token  # somebody had stolen it
    assert "Sign in" in browser.open("/desk")


@pytest.mark.parametrize(("minutes", "signed_in"), [(239, True), (241, False)])
def test_a_session_ends_when_it_sleeps(house: House, minutes: int, signed_in: bool) -> None:
    browser = house.signed_in("viewer")
    house.later(minutes=minutes)
    assert ("What waits" in browser.open("/desk")) is signed_in


def test_a_session_that_is_used_ends_after_three_days(house: House) -> None:
    browser = house.signed_in("viewer")
    for _ in range(23):
        house.later(hours=3)
        assert house.desk.sign_in.session(browser.cookie) is not None
    assert "What waits" in browser.open("/desk")
    house.later(hours=3, seconds=1)
    assert "Sign in" in browser.open("/desk")


def test_the_last_admin_stays(house: House) -> None:
    admin = house.signed_in("admin")
    admin.open("/desk/operators")
    assert "nobody would be left to be admin" in admin.press("Lock out")
    assert admin.status == 409
    assert "What waits" in admin.open("/desk")


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("editor", 403), ("admin", 200)])
def test_operators_are_for_admins(house: House, role: Role, status: int) -> None:
    browser = house.signed_in(role)
    browser.open("/desk/me")
    csrf = browser.csrf
    browser.open("/desk/operators")
    assert browser.status == status
    said = browser.post("/desk/operators", csrf=csrf, name="eve", role="admin")
    assert browser.status == status
    assert ("A link for eve" in said) is (role == "admin")
    assert any(one.name == "eve" for one in house.desk.accounts.list()) is (role == "admin")


def test_a_form_of_another_page_does_nothing(house: House) -> None:
    browser = house.signed_in("admin")
    browser.open("/desk/operators")
    csrf = browser.csrf
    for headers, fields in (
        ({}, {}), ({}, {"csrf": "0" * 64}), ({"origin": "https://evil.example"}, {"csrf": csrf}),
        ({"sec-fetch-site": "cross-site"}, {"csrf": csrf}), ({"sec-fetch-site": "same-site"}, {"csrf": csrf}),
        ({"origin": "null"}, {"csrf": csrf}),
    ):
        said = browser.post("/desk/operators", headers=headers, name="eve", role="admin", **fields)
        assert browser.status == 403
        assert "nothing was done" in said
    assert [one.name for one in house.desk.accounts.list()] == ["admin"]


def test_a_form_whose_session_is_over_says_so(house: House) -> None:
    browser = house.signed_in("admin")
    browser.open("/desk/operators")
    house.later(days=4)
    assert "You are signed out" in browser.press("Make a link", name="eve")
    assert browser.status == 401
    assert [one.name for one in house.desk.accounts.list()] == ["admin"]


def test_somebody_elses_form_signs_nobody_in(house: House) -> None:
    house.operator("ada", "viewer")
    browser = house.browser()
    assert "too old" in browser.post("/desk/sign-in", name="ada", password=PASSWORD)
    assert "too old" in browser.post("/desk/sign-in", name="ada", password=PASSWORD, csrf="guessed")


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "/desk/\\evil", "/subscribe"])
def test_signing_in_leads_nowhere_else(house: House, to: str) -> None:
    house.operator("ada", "viewer")
    browser = house.browser()
    browser.open("/desk/sign-in?next=" + to)
    browser.press("Sign in", name="ada", password=PASSWORD)
    assert str(browser.answer.url).removeprefix(BASE) == "/desk"


def test_a_locked_database_is_said_and_nothing_is_done(house: House) -> None:
    browser = house.signed_in("admin")
    browser.open("/desk/operators")
    with closing(sqlite3.connect(house.settings.store.url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        said = browser.press("Make a link", name="eve")
        assert "the database is locked" in said
        assert browser.status == 503
        assert browser.answer.headers["retry-after"]
    assert [one.name for one in house.desk.accounts.list()] == ["admin"]


def test_every_page_is_kept_by_nobody_and_framed_by_nobody(house: House) -> None:
    browser = house.signed_in("admin")
    for path in ("/desk", "/desk/me", "/desk/operators", "/desk/nothing", "/desk/sign-in"):
        browser.open(path)
        policy = browser.answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert browser.answer.headers["cache-control"] == "no-store"
        assert browser.answer.headers["x-frame-options"] == "DENY"
        assert not browser.page.xpath("//script[not(@src)] | //style | //*[@style] | //*[@onclick]")


def test_a_link_in_a_mail_asks_twice_so_that_the_strict_cookie_comes(house: House) -> None:
    house.operator("ada", "viewer")
    browser = house.browser()
    browser.open("/desk/me?x=1", **{"sec-fetch-site": "cross-site"})
    assert browser.page.xpath("//meta[@http-equiv='refresh']/@content") == ["0; url=/desk/me?x=1"]


def test_a_proxy_signs_in_whom_it_names(make: Callable[..., House]) -> None:
    house = make("empty", '[desk]\ntrusted_header = "Remote-User"\n')
    house.operator("ada", "editor")
    proxy, stranger = house.browser("127.0.0.1"), house.browser("203.0.113.7")
    assert "What waits" in proxy.open("/desk", **{"Remote-User": "Ada"})
    assert "nobody is signed in" in stranger.open("/desk", **{"Remote-User": "ada"})
    assert "nobody is signed in" in proxy.open("/desk")
    assert "is no operator here" in proxy.open("/desk", **{"Remote-User": "eve"})
    assert "nobody is signed in" in proxy.open_with("/desk", ("Remote-User", "ada"), ("Remote-User", "eve"))
    assert "ada" in proxy.open("/desk/me", **{"Remote-User": "ada"})


def test_what_is_done_is_kept_with_who_and_what_it_changed(house: House) -> None:
    admin = house.signed_in("admin")
    admin.open("/desk/operators")
    admin.press("Make a link", name="eve", role="viewer")
    admin.open("/desk/operators")
    assert "Eve is editor" in admin.press("Change role", at=1, role="editor")
    last = acts.latest(house.database, limit=1)[0]
    assert (last.who, last.role, last.door, last.what, last.about) == (
        "admin", "admin", "desk", "operator.role", "operator eve")
    assert (last.before["role"], last.after["role"], last.outcome) == ("viewer", "editor", "done")


def test_what_was_refused_is_kept_too(house: House) -> None:
    house.operator("eve", "viewer")
    with pytest.raises(InputError):
        house.desk.accounts.add("no name!", "viewer", by=ROOT)
    viewer = acts.Actor(who="eve", role="viewer", door="desk")
    with pytest.raises(ForbiddenError):
        house.desk.accounts.disable("eve", by=viewer)
    last = acts.latest(house.database, limit=1)[0]
    assert (last.what, last.outcome) == ("operator.disable", "refused")
    assert "that takes admin" in last.said


def test_a_name_with_markup_is_no_name_and_is_shown_as_it_is(house: House) -> None:
    admin = house.signed_in("admin")
    admin.open("/desk/operators")
    said = admin.press("Make a link", name="<script>alert(1)</script>")
    assert "<script>alert(1)</script>: is no name for an operator" in said
    assert not admin.page.xpath("//script[not(@src)]")


def test_a_slash_more_is_another_address_and_no_way_round_a_role(house: House) -> None:
    browser = house.signed_in("viewer")
    for path in ("/desk/operators/", "/desk//operators", "/desk/./operators", "/desk/operators%2F", "/DESK/operators"):
        browser.open(path)
        assert browser.status in (403, 404), path
        assert "Somebody new" not in str(browser.answer.text)


def test_no_field_of_a_form_skips_the_code(house: House) -> None:
    browser = house.signed_in("editor")
    who = house.desk.accounts.get("editor")
    house.desk.sign_in._operators.set_totp(who.id, pyotp.random_base32())
    stranger = house.browser()
    stranger.open("/desk/sign-in")
    assert WRONG in stranger.press("Sign in", name="editor", password=PASSWORD, skip="true", totp="off", role="admin")
    browser.open("/desk/me")
    assert "the present password is wrong" in browser.press("Ask for no codes", password="a stolen session has none")
