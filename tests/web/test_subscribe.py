"""The way in: a form, a JSON body, a link in a mail. Whoever asks is answered the same, and only a press counts."""

import datetime as dt
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import httpx
import pytest
from lxml import html

from delivery.checks.mail_domain import MailDomains
from milepost.settings import Settings
from pipeline.own_page import OwnPage
from pipeline.sign_up import SigningUp, network_of
from store.database import Database, connect
from store.ledger.letters import Letters
from store.subscribers.events import By
from store.subscribers.people import Subscribers
from store.subscribers.sign_ups import SignUps
from store.subscribers.suppressions import Suppressions
from tests.new_database import new_database
from tests.web.conftest import KEY, LIST_ID, NOW, MemoryIssues, MemoryTopics, keys
from web.app import create_app
from web.public.subscribe import OLDEST_S, stamp, stamped

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ADA = "ada@readers.example"
SITE = "https://site.example"
US = By(who="an operator", why="they asked")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with connect(new_database(f"sqlite:///{tmp_path}/milepost.db")) as opened:
        yield opened


@pytest.fixture
def web() -> dict[str, Any]:
    """More of the settings of [web]."""
    return {}


@pytest.fixture
def domains() -> MailDomains | None:
    """Who asks the DNS."""
    return None


@pytest.fixture
def app(
    database: Database, settings: Settings, issues: MemoryIssues, topics: MemoryTopics, web: dict[str, Any],
    domains: MailDomains | None,
) -> Any:
    changed = settings.model_copy(update={"web": settings.web.model_copy(update=web)})
    return create_app(
        issues=issues, own_page=OwnPage(changed, database), topics=topics,
        signing_up=SigningUp(changed, database, domains), settings=changed, keys=keys, list_id=LIST_ID,
        now=lambda: NOW,
    )


@pytest.fixture
def post(ask: Callable[..., httpx.Response], app: Any) -> Callable[..., httpx.Response]:
    """Posts a JSON body, as the site's own form does."""

    def send(body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return ask("POST", "/api/subscribe", app=app, content=content, headers=headers)

    return send


@pytest.fixture
def fill(ask: Callable[..., httpx.Response], app: Any) -> Callable[..., httpx.Response]:
    """Sends our own form, as somebody does who read it."""

    def send(**fields: Any) -> httpx.Response:
        read = stamp(KEY, NOW - dt.timedelta(seconds=20))
        given = {"email": ADA, "cadence": "weekly", "shown": read, "website": ""} | fields
        return ask("POST", "/subscribe", app=app, content=urlencode(given, doseq=True), headers=FORM)

    return send


def found(page: httpx.Response, query: str) -> list[Any]:
    """What an XPath finds on a page."""
    return cast("list[Any]", html.document_fromstring(page.text).xpath(query))


def taken(database: Database) -> list[str]:
    """The addresses that a letter is on its way to."""
    return [one.address for one in Letters(database).list(limit=100)]


def name_of(database: Database, address: str = ADA) -> str:
    found = SignUps(database).of(address)
    assert found is not None
    return found.name


class TestTheSitesOwnForm:
    @pytest.mark.parametrize(("body", "status", "answer"), [
        (b"", 400, {"error": "A valid JSON body is required"}),
        (b"{", 400, {"error": "A valid JSON body is required"}),
        (b"\xff\xfe{\x00}\x00", 400, {"error": "A valid JSON body is required"}),
        (b"[" * 100_000, 413, {"error": "A valid JSON body is required"}),
        (b"[" * 9_000, 400, {"error": "A valid JSON body is required"}),
        (b"email=ada%40readers.example", 400, {"error": "A valid JSON body is required"}),
        (b"{}", 400, {"error": "Email is required"}),
        (b"[]", 400, {"error": "Email is required"}),
        (b"null", 400, {"error": "Email is required"}),
        ({"email": "  "}, 400, {"error": "Email is required"}),
        ({"email": 7}, 400, {"error": "Email is required"}),
        ({"website": "x"}, 400, {"error": "Email is required"}),
        ({"email": "none", "website": " x "}, 200, {"success": True}),
        ({"email": ADA, "website": "x", "source": "s"}, 200, {"success": True}),
        ({"email": "none"}, 400, {"error": "A valid email is required"}),
        ({"email": "a@b, c@d.example"}, 400, {"error": "A valid email is required"}),
        ({"email": "ada@readers.example\r\nBcc: eve@evil.example"}, 400, {"error": "A valid email is required"}),
        ({"email": "ada\0@readers.example"}, 400, {"error": "A valid email is required"}),
        ({"email": "\ud800@readers.example"}, 400, {"error": "A valid email is required"}),
        ({"email": f"{'a' * 9000}@readers.example"}, 400, {"error": "A valid email is required"}),
        ({"email": ADA}, 200, {"success": True, "source": "site"}),
        ({"email": f" {ADA}\n", "source": " hero ", "variant": "b", "path": " /x ", "website": "  "}, 200,
         {"success": True, "source": "hero", "variant": "b", "path": "/x"}),
        ({"email": ADA, "source": 7, "variant": "", "path": None, "website": False}, 200,
         {"success": True, "source": "site"}),
        ({"email": ADA, "source": "\ud800\0"}, 200, {"success": True, "source": "\ud800\0"}),
    ], ids=lambda value: str(value)[:40])
    def test_is_answered_as_it_expects(
        self, post: Callable[..., httpx.Response], database: Database, body: Any, status: int, answer: dict[str, Any]
    ) -> None:
        found = post(body)
        assert (found.status_code, json.loads(found.content)) == (status, answer)
        assert found.headers["Content-Type"] == "application/json"
        asked = status == 200 and "source" in answer
        assert taken(database) == ([ADA] if asked else [])

    @pytest.mark.parametrize("web", [{"signup": False}])
    def test_while_sign_ups_are_off(self, post: Callable[..., httpx.Response], database: Database) -> None:
        assert post({"email": "none"}).json() == {"error": "A valid email is required"}
        assert post({"email": ADA, "website": "x"}).json() == {"success": True}
        off = post({"email": ADA})
        assert (off.status_code, off.json()) == (503, {"error": "Newsletter is not configured"})
        assert taken(database) == []

    def test_what_nobody_foresaw(self, post: Callable[..., httpx.Response], database: Database) -> None:
        database.close()
        file = database.file
        assert file is not None
        file.write_bytes(b"no database any more" * 100)
        found = post({"email": ADA})
        assert (found.status_code, found.json()) == (500, {"error": "Failed to subscribe"})

    def test_a_locked_database_passes_by_itself(
        self, ask: Callable[..., httpx.Response], settings: Settings, issues: MemoryIssues, topics: MemoryTopics,
        database: Database,
    ) -> None:
        with database.begin(), connect(str(database.url), wait_seconds=0.01) as hurried:
            app = create_app(
                issues=issues, own_page=OwnPage(settings, hurried), topics=topics, settings=settings, keys=keys,
                signing_up=SigningUp(settings, hurried), list_id=LIST_ID, now=lambda: NOW,
            )
            found = ask("POST", "/api/subscribe", app=app, content=json.dumps({"email": ADA}))
            page = ask("POST", "/subscribe", app=app, headers=FORM, content=urlencode(
                {"email": ADA, "shown": stamp(KEY, NOW - dt.timedelta(seconds=20))}))
        assert (found.status_code, found.json()) == (503, {"error": "Failed to subscribe"})
        assert page.status_code == 503
        assert found.headers["retry-after"] == page.headers["retry-after"] == "60"
        assert taken(database) == []

    def test_the_answer_is_the_same_for_whoever_it_is(
        self, post: Callable[..., httpx.Response], database: Database
    ) -> None:
        people, list_ = Subscribers(database), Suppressions(database)
        for state in ("pending", "active", "unsubscribed"):
            people.add(f"{state}@readers.example", state=state, now=NOW)
        list_.add("bounced@readers.example", "550 5.1.1", NOW)
        list_.add("complained@readers.example", "complaint", NOW)
        people.erase("erased@readers.example", US, NOW)
        answers = {
            (found.status_code, found.content, tuple(sorted(found.headers)))
            for name in ("new", "pending", "active", "unsubscribed", "bounced", "complained", "erased")
            for found in (post({"email": f"{name}@readers.example"}),)
        }
        assert len(answers) == 1
        assert len(taken(database)) == 7  # what differs is decided when the letter is due


class TestOrigins:
    @pytest.fixture
    def web(self) -> dict[str, Any]:
        return {"allow_origins": (SITE,)}

    def test_a_site_that_is_named_may_post(self, post: Callable[..., httpx.Response], database: Database) -> None:
        found = post({"email": ADA}, Origin=SITE)
        assert found.headers["Access-Control-Allow-Origin"] == SITE
        assert "Origin" in found.headers["Vary"]
        assert taken(database) == [ADA]

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://site.example.evil.example",
                                        "http://site.example"])
    def test_another_may_not_even_without_asking_first(
        self, post: Callable[..., httpx.Response], database: Database, origin: str
    ) -> None:
        found = post({"email": ADA}, Origin=origin, **{"Content-Type": "text/plain"})
        assert found.status_code == 403
        assert "Access-Control-Allow-Origin" not in found.headers
        assert taken(database) == []

    def test_our_own_pages_may(self, post: Callable[..., httpx.Response]) -> None:
        assert post({"email": ADA}, Origin="https://timeline.example").status_code == 200

    @pytest.mark.parametrize(("origin", "allowed"), [(SITE, True), ("https://evil.example", False)])
    def test_a_browser_asks_first(
        self, ask: Callable[..., httpx.Response], app: Any, origin: str, allowed: bool
    ) -> None:
        found = ask("OPTIONS", "/api/subscribe", app=app, headers={
            "Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type",
        })
        assert (found.headers.get("Access-Control-Allow-Origin") == SITE) == allowed
        assert (found.status_code == 200) == allowed
        if allowed:
            assert "POST" in found.headers["Access-Control-Allow-Methods"]
            assert "content-type" in found.headers["Access-Control-Allow-Headers"].lower()


class TestOurOwnForm:
    def test_it_needs_no_script_and_says_what_will_be_sent(
        self, ask: Callable[..., httpx.Response], app: Any
    ) -> None:
        page = ask("GET", "/subscribe", app=app)
        assert page.headers["Cache-Control"] == "no-store"
        assert not found(page, "//script")
        assert [one.get("value") for one in found(page, "//input[@name='cadence']")] == ["instant", "weekly"]
        assert len(found(page, "//input[@name='topic']")) == 4
        assert "link to leave" in page.text

    def test_a_choice_is_kept_and_the_answer_names_nobody(
        self, fill: Callable[..., httpx.Response], database: Database
    ) -> None:
        page = fill(topic=["chess", "research"])
        assert page.status_code == 200
        assert "One more press" in page.text
        assert ADA not in page.text
        entry = SignUps(database).of(ADA)
        assert entry is not None
        assert (entry.cadence, entry.topics, entry.language) == ("weekly", ("chess", "research"), "en")
        assert re.fullmatch(r"page-en-[0-9a-f]{8}", entry.form)
        assert "Subscribe" in (SignUps(database).words(entry.form) or "")

    @pytest.mark.parametrize(("fields", "counted"), [
        ({"website": "https://spam.example"}, "trap"),
        ({"shown": stamp(KEY, NOW - dt.timedelta(seconds=0.5))}, "too_fast"),
        ({"shown": stamp(KEY, NOW + dt.timedelta(hours=1))}, "too_fast"),
        ({"shown": stamp(KEY, NOW - dt.timedelta(seconds=OLDEST_S + 1))}, "too_old"),
    ])
    def test_a_program_gets_the_same_page_and_nothing_else(
        self, fill: Callable[..., httpx.Response], database: Database, fields: dict[str, str], counted: str
    ) -> None:
        assert fill(**fields).content == fill().content
        assert SignUps(database).counts(NOW)[counted] == 1
        assert taken(database) == [ADA]  # of the second, honest one

    @pytest.mark.parametrize("shown", ["", "x", "123", "123-aaaa", stamp("another-key-of-more-than-16", NOW), "9" * 40])
    def test_a_form_of_another_site_leads_to_ours_with_the_address_filled_in(
        self, fill: Callable[..., httpx.Response], database: Database, shown: str
    ) -> None:
        page = fill(shown=shown, source="blog")
        assert found(page, "//input[@name='email']/@value") == [ADA]
        assert found(page, "//input[@name='source']/@value") == ["blog"]
        assert taken(database) == []
        [fresh] = found(page, "//input[@name='shown']/@value")
        assert stamped(KEY, fresh, NOW + dt.timedelta(seconds=5)) == "good"

    def test_an_address_that_is_none_can_be_mended(
        self, fill: Callable[..., httpx.Response], database: Database
    ) -> None:
        page = fill(email='ada"><script>@', topic=["chess"])
        assert page.status_code == 400
        assert not found(page, "//script")
        assert found(page, "//input[@name='email']/@aria-invalid") == ["true"]
        assert found(page, "//input[@name='topic'][@checked]/@value") == ["chess"]
        [again] = found(page, "//input[@name='shown']/@value")
        assert fill(shown=again).status_code == 200
        assert taken(database) == [ADA]

    @pytest.mark.parametrize("fields", [{"cadence": "hourly"}, {"topic": "nothing-of-ours"}])
    def test_what_was_not_on_offer_is_refused(self, fill: Callable[..., httpx.Response], fields: Any) -> None:
        assert fill(**fields).status_code == 400

    @pytest.mark.parametrize(("content", "status"), [
        (b"email=" + b"a" * 1_000_000, 413), (b"&".join([b"a=1"] * 10_000), 400), (b"email=\xff\xfe", 400),
        (b"email=%FC@readers.example", 400), (b"email=ada%00@readers.example", 400), (b"path=%00", 400),
    ])
    def test_bodies_that_are_none(
        self, ask: Callable[..., httpx.Response], app: Any, content: bytes, status: int
    ) -> None:
        assert ask("POST", "/subscribe", app=app, content=content, headers=FORM).status_code == status

    @pytest.mark.parametrize("web", [{"signup": False}])
    def test_while_sign_ups_are_off(
        self, ask: Callable[..., httpx.Response], app: Any, fill: Callable[..., httpx.Response]
    ) -> None:
        assert ask("GET", "/subscribe", app=app).status_code == 503
        assert fill().status_code == 503


class TestTheLinkInTheMail:
    def test_reading_it_changes_nothing(
        self, fill: Callable[..., httpx.Response], ask: Callable[..., httpx.Response], app: Any, database: Database
    ) -> None:
        fill()
        path = f"/c/{name_of(database)}"
        for method in ("GET", "HEAD", "GET"):
            assert ask(method, path, app=app).status_code == 200
        assert Subscribers(database).list() == []
        page = ask("GET", path, app=app)
        assert len(found(page, "//form[@method='post']//button")) == 1
        assert ADA not in page.text
        assert page.headers["X-Robots-Tag"] == "noindex, nofollow"

    def test_the_button_makes_a_reader_and_a_second_press_no_other(
        self, fill: Callable[..., httpx.Response], ask: Callable[..., httpx.Response], app: Any, database: Database
    ) -> None:
        fill()
        path = f"/c/{name_of(database)}"
        first, second = ask("POST", path, app=app), ask("POST", path, app=app)
        assert first.status_code == second.status_code == 200
        [reader] = Subscribers(database).list()
        assert (reader.address, reader.state, reader.cadence) == (ADA, "active", "weekly")
        [own] = found(first, "//p[@class='aside']/a/@href")
        assert ask("GET", own, app=app).status_code == 200  # the page of their choice
        assert len(SignUps(database).consents(reader.id)) == 1

    @pytest.mark.parametrize("name", ["", "x", "a" * 24, "a" * 5000, "%00", "../../etc/passwd", "%F0%9F%92%A9"])
    def test_a_link_that_is_none_gets_a_page_with_a_way_on(
        self, ask: Callable[..., httpx.Response], app: Any, database: Database, name: str
    ) -> None:
        for method in ("GET", "POST"):
            page = ask(method, f"/c/{name}", app=app)
            assert page.status_code == 404
            assert found(page, "//a[@href='/subscribe']")

    def test_one_that_was_cut_and_one_that_is_old(
        self, fill: Callable[..., httpx.Response], ask: Callable[..., httpx.Response], app: Any, database: Database
    ) -> None:
        fill()
        name = name_of(database)
        assert ask("GET", f"/c/{name[:-1]}", app=app).status_code == 404
        SignUps(database).tend(NOW + dt.timedelta(days=30))
        assert ask("POST", f"/c/{name}", app=app).status_code == 404


GERMAN_BROWSER = {"Accept-Language": "fr, de-AT;q=0.9, en;q=0.5"}


def spoken(page: httpx.Response) -> str:
    [root] = found(page, "/html")
    return str(root.get("lang"))


class TestItSpeaksTheVisitorsLanguage:
    @pytest.mark.parametrize(("query", "headers", "language"), [
        ("", {}, "en"), ("", GERMAN_BROWSER, "de"), ("?lang=he", GERMAN_BROWSER, "he"),
        ("?lang=en", GERMAN_BROWSER, "en"), ("?lang=tlh", GERMAN_BROWSER, "de"), ("?lang=", {}, "en"),
    ])
    def test_the_browser_s_unless_they_take_another(
        self, ask: Callable[..., httpx.Response], app: Any, query: str, headers: dict[str, str], language: str
    ) -> None:
        page = ask("GET", f"/subscribe{query}", app=app, headers=headers)
        assert spoken(page) == language
        assert found(page, "//form//input[@name='lang']/@value") == [language]
        assert len(found(page, "//form//input[@name='took']")) == (query in ("?lang=he", "?lang=en"))
        others = [tag for tag in ("en", "de", "he") if tag != language]
        assert found(page, "//nav[@class='languages']/a/@href") == [f"/subscribe?lang={tag}" for tag in others]
        assert found(page, "//meta[@property='og:image']/@content") == ["https://timeline.example/cards/site.png"]
        assert [one.text for one in found(page, "//nav/*[@aria-current]")] == [
            {"en": "English", "de": "Deutsch", "he": "עברית"}[language]
        ]

    @pytest.mark.parametrize(("fields", "status"), [
        ({}, 200), ({"email": "ada@"}, 400), ({"website": "x"}, 200), ({"shown": ""}, 200),
        ({"shown": stamp(KEY, NOW - dt.timedelta(days=9))}, 200),
    ])
    def test_whatever_is_answered_is_in_the_form_s(
        self, fill: Callable[..., httpx.Response], fields: dict[str, str], status: int
    ) -> None:
        page = fill(lang="he", **fields)
        assert (page.status_code, spoken(page)) == (status, "he")

    def test_it_is_the_reader_s_once_they_confirm(
        self, fill: Callable[..., httpx.Response], ask: Callable[..., httpx.Response], app: Any, database: Database
    ) -> None:
        fill(lang="he")
        entry = SignUps(database).of(ADA)
        assert entry is not None
        assert (entry.language, entry.form[:8]) == ("he", "page-he-")
        assert "עברית" not in (words := SignUps(database).words(entry.form) or "")
        assert re.search("[א-ת]", words)
        path = f"/c/{entry.name}"
        assert spoken(ask("GET", path, app=app, headers=GERMAN_BROWSER)) == "he"
        assert spoken(ask("POST", path, app=app, headers=GERMAN_BROWSER)) == "he"
        [reader] = Subscribers(database).list()
        assert reader.language == "he"
        assert [one.language for one in SignUps(database).consents(reader.id)] == ["he"]
        assert spoken(ask("GET", "/c/none", app=app, headers=GERMAN_BROWSER)) == "de"

    def test_the_last_choice_counts_and_another_site_s_form_is_none(
        self, fill: Callable[..., httpx.Response], post: Callable[..., httpx.Response],
        ask: Callable[..., httpx.Response], app: Any, database: Database,
    ) -> None:
        def confirmed() -> str | None:
            assert ask("POST", f"/c/{name_of(database)}", app=app).status_code == 200
            return Subscribers(database).list()[0].language

        fill(lang="de")
        assert confirmed() == "de"
        post({"email": ADA})
        assert confirmed() == "de"
        Subscribers(database).set_choice(1, language="he", now=NOW)
        post({"email": ADA})
        assert confirmed() == "he"
        fill(lang="en")  # as their browser prefers
        assert confirmed() == "he"
        fill(lang="en", took="yes")
        assert confirmed() is None  # the newsletter's own

    def test_a_closed_way_in(self, ask: Callable[..., httpx.Response], settings: Settings, database: Database) -> None:
        shut = settings.model_copy(update={"web": settings.web.model_copy(update={"signup": False})})
        app = create_app(
            issues=MemoryIssues(), own_page=OwnPage(shut, database), topics=MemoryTopics(),
            signing_up=SigningUp(shut, database), settings=shut, keys=keys, list_id=LIST_ID, now=lambda: NOW,
        )
        page = ask("GET", "/subscribe", app=app, headers=GERMAN_BROWSER)
        assert (page.status_code, spoken(page)) == (503, "de")


@pytest.mark.parametrize(("host", "network"), [
    ("192.0.2.77", "192.0.2.0/24"), ("::ffff:192.0.2.77", "192.0.2.0/24"), ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
    ("fe80::1%eth0", "fe80::/48"), (None, "unknown"), ("testclient", "unknown"), ("", "unknown"),
])
def test_a_network_is_what_one_customer_has(host: str | None, network: str) -> None:
    assert network_of(host) == network


class Dns:
    """Knows gmail.com alone; `held` keeps it from answering."""

    held: threading.Event | None = None

    def lookup(self, name: str, kind: str) -> list[str]:
        if self.held is not None:
            self.held.wait(30)
        return ["10 mx.mail.tld"] if (name, kind) == ("gmail.com", "MX") else []


class TestADomainThatTakesNoMail:
    @pytest.fixture
    def dns(self) -> Dns:
        return Dns()

    @pytest.fixture
    def domains(self, dns: Dns) -> MailDomains:
        return MailDomains(lambda: dns)

    def test_the_page_asks_back_and_keeps_what_was_typed(
        self, fill: Callable[..., httpx.Response], database: Database
    ) -> None:
        page = fill(email="ada@gmial.com", topic=["chess"])
        assert page.status_code == 200
        assert "It seems that gmial.com takes no mail. Is that spelt right?" in page.text
        assert found(page, "//input[@name='email']/@value") == ["ada@gmial.com"]
        assert found(page, "//input[@name='topic'][@checked]/@value") == ["chess"]
        assert found(page, "//input[@name='instead']/@value") == ["ada@gmail.com"]
        assert len(found(page, "//form//button")) == 1  # Enter sends what was typed, not what we guess
        assert taken(database) == []
        [shown] = found(page, "//input[@name='shown']/@value")
        fill(email="ada@gmial.com", instead="ada@gmail.com", shown=shown)
        assert taken(database) == ["ada@gmail.com"]

    def test_yes_sends_it_anyway(self, fill: Callable[..., httpx.Response], database: Database) -> None:
        assert not found(fill(email="ada@looms.tld"), "//input[@name='instead']")
        assert "One more press" in fill(email="ada@looms.tld", sure="yes").text
        assert taken(database) == ["ada@looms.tld"]

    def test_json_gets_the_usual_answer(self, post: Callable[..., httpx.Response], database: Database) -> None:
        assert post({"email": "ada@looms.tld"}).json() == {"success": True, "source": "site"}
        assert taken(database) == ["ada@looms.tld"]

    def test_a_name_server_that_is_silent_keeps_nobody_out(
        self, fill: Callable[..., httpx.Response], database: Database, dns: Dns, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("web.public.subscribe.DNS_SECONDS", 0.01)
        dns.held = threading.Event()
        # A loop that ends waits for its threads: the answer comes once the page is out.
        threading.Timer(0.3, dns.held.set).start()
        fill(email="ada@looms.tld")
        assert taken(database) == ["ada@looms.tld"]

    @pytest.mark.parametrize("web", [{"check_domain": False}])
    def test_it_can_be_switched_off(self, fill: Callable[..., httpx.Response], database: Database) -> None:
        fill(email="ada@gmial.com")
        assert taken(database) == ["ada@gmial.com"]
