"""The proof of work: one calculation pays for one address, in time, wherever it was asked for and is checked."""

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import httpx
import pytest
from lxml import html

from milepost.errors import SettingsError
from milepost.settings import Settings, parse
from pipeline.own_page import OwnPage
from pipeline.sign_up import Proof, SigningUp
from store.database import Database, connect
from store.ledger.letters import Letters
from store.subscribers.sign_ups import SignUps
from tests.new_database import new_database
from tests.web.conftest import KEY, LIST_ID, NOW, MemoryIssues, MemoryTopics, keys
from web.app import create_app
from web.public.proof_of_work import LASTS, ProofOfWork
from web.public.subscribe import stamp

ADA, EVE = "ada@readers.example", "eve@readers.example"
SITE = "https://site.example"


@pytest.fixture(autouse=True)
def _easy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few hashes: how many there are is nothing that these tests ask about."""
    monkeypatch.setattr("web.public.proof_of_work.HARDEST", 50)


def solved(challenge: dict[str, Any], /, **changes: Any) -> str:
    """The answer to a challenge, calculated as a browser does, its fields changed afterwards."""
    number = next(
        number for number in range(challenge["maxnumber"] + 1)
        if hashlib.sha256(f"{challenge['salt']}{number}".encode()).hexdigest() == challenge["challenge"]
    )
    fields = {name: challenge[name] for name in ("algorithm", "challenge", "salt", "signature")}
    return packed(fields | {"number": number} | changes)


def packed(said: Any) -> str:
    return base64.b64encode(json.dumps(said).encode()).decode()


class TestAnAnswer:
    proofs = ProofOfWork(KEY)

    def test_a_right_one_is_known_by_its_challenge_until_it_expires(self) -> None:
        challenge = self.proofs.challenge(NOW)
        until = (NOW + LASTS).replace(microsecond=0)
        right = Proof(challenge=str(challenge["challenge"]), expires_at=until)
        answer = solved(challenge)
        assert self.proofs.check(answer, NOW) == right
        assert self.proofs.check(answer, until - dt.timedelta(seconds=1)) == right
        assert self.proofs.check(answer, until) == "old_proof"

    def test_another_process_with_the_same_key_takes_it_and_one_with_another_key_does_not(self) -> None:
        answer = solved(self.proofs.challenge(NOW))
        assert isinstance(ProofOfWork(KEY).check(answer, NOW), Proof)
        assert ProofOfWork("another-key-of-thirty-two-characters").check(answer, NOW) == "wrong_proof"

    def test_no_two_challenges_are_alike(self) -> None:
        assert len({self.proofs.challenge(NOW)["challenge"] for _ in range(20)}) == 20

    def test_spelt_otherwise_it_is_the_same_proof(self) -> None:
        """Its check reads a salt with and without its closing sign: the salt can't say what was used."""
        challenge = self.proofs.challenge(NOW)
        salt = str(challenge["salt"])
        assert salt.endswith("&")
        assert self.proofs.check(solved(challenge, salt=salt[:-1]), NOW) == self.proofs.check(solved(challenge), NOW)

    def test_a_later_expiry_can_not_be_spliced_out_of_the_number(self) -> None:
        """As in ALTCHA's advisory of December 2025: digits moved from the number to the end of the salt."""
        for _ in range(20):
            challenge = self.proofs.challenge(NOW)
            said = json.loads(base64.b64decode(solved(challenge)))
            digits = str(said["number"])
            if len(digits) < 2:
                continue
            spliced = said | {"salt": said["salt"][:-1] + digits[0], "number": int(digits[1:])}
            assert self.proofs.check(packed(spliced), NOW) == "wrong_proof"
            later = said["salt"].replace("expires=", "expires=9")
            assert self.proofs.check(packed(said | {"salt": later}), NOW) == "wrong_proof"

    @pytest.mark.parametrize("changes", [
        {"number": -1}, {"number": "1"}, {"number": True}, {"number": None}, {"number": 1.5}, {"number": [1]},
        {"salt": 7}, {"salt": ""}, {"salt": None}, {"signature": ""}, {"signature": None}, {"challenge": ["x"]},
        {"challenge": "\u00e9"}, {"algorithm": "SHA-1"}, {"algorithm": ["SHA-256"]},
    ])
    def test_a_changed_one_is_wrong(self, changes: dict[str, Any]) -> None:
        assert self.proofs.check(solved(self.proofs.challenge(NOW), **changes), NOW) == "wrong_proof"

    @pytest.mark.parametrize("answer", [
        "x", "\u00e9", "=" * 3, packed(None), packed([]), packed(7), packed({}), packed("x"), "A" * 100_000,
        base64.b64encode(b"[" * 1400).decode(), base64.b64encode(b"\xff\xfe").decode(),
        base64.b64encode(b'{"number": ' + b"9" * 1400 + b"}").decode(),
    ])
    def test_what_is_none_is_wrong(self, answer: str) -> None:
        assert self.proofs.check(answer, NOW) == "wrong_proof"


@pytest.fixture
def proof_of_work() -> str:
    """The setting."""
    return "page"


@pytest.fixture
def changed(settings: Settings, proof_of_work: str) -> Settings:
    web = {"proof_of_work": proof_of_work, "check_domain": False, "allow_origins": (SITE,)}
    return settings.model_copy(update={
        "web": settings.web.model_copy(update=web),
        "mail": settings.mail.model_copy(update={"reply_to": "Desk <desk@timeline.example>"}),
    })


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with connect(new_database(f"sqlite:///{tmp_path}/milepost.db")) as opened:
        yield opened


@pytest.fixture
def make(
    changed: Settings, database: Database, issues: MemoryIssues, topics: MemoryTopics
) -> Callable[..., Any]:
    """Makes an application over the database, as each process has one."""
    return lambda now=NOW: create_app(
        issues=issues, own_page=OwnPage(changed, database), topics=topics, signing_up=SigningUp(changed, database),
        settings=changed, keys=keys, list_id=LIST_ID, now=lambda: now,
    )


@pytest.fixture
def fill(ask: Callable[..., httpx.Response], make: Callable[..., Any]) -> Callable[..., httpx.Response]:
    """Sends our own form."""

    def send(answer: str, *, email: str = ADA, now: dt.datetime = NOW, **fields: Any) -> httpx.Response:
        read = stamp(KEY, now - dt.timedelta(seconds=20))
        given = {"email": email, "cadence": "weekly", "shown": read, "altcha": answer} | fields
        return ask("POST", "/subscribe", app=make(now), content=urlencode(given, doseq=True), headers={
            "Content-Type": "application/x-www-form-urlencoded",
        })

    return send


@pytest.fixture
def challenge(ask: Callable[..., httpx.Response], make: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """What the server asks a browser."""
    return lambda **headers: cast(
        "dict[str, Any]", ask("GET", "/subscribe/challenge", app=make(), headers=headers).json()
    )


def found(page: httpx.Response, query: str) -> list[Any]:
    return cast("list[Any]", html.document_fromstring(page.text).xpath(query))


def taken(database: Database) -> list[str]:
    return [one.address for one in Letters(database).list(limit=100)]


class TestOurPage:
    def test_the_script_that_may_run_is_the_one_that_is_there(
        self, ask: Callable[..., httpx.Response], make: Callable[..., Any]
    ) -> None:
        page = ask("GET", "/subscribe", app=make())
        [script] = found(page, "//script/text()")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}'; connect-src 'self'" in page.headers["Content-Security-Policy"]
        assert not found(page, "//script/@src|//link[@rel='preload']")
        [status] = found(page, "//*[@id='proof']")
        assert (status.get("role"), status.get("data-from")) == ("status", "/subscribe/challenge")
        assert "No scripts" not in page.text
        assert "write to desk@timeline.example" in found(page, "string(//noscript)")

    def test_a_right_answer_is_taken(
        self, fill: Callable[..., httpx.Response], challenge: Callable[..., Any], database: Database
    ) -> None:
        assert "One more press" in fill(solved(challenge())).text
        assert taken(database) == [ADA]

    @pytest.mark.parametrize(("answer", "counted"), [
        (lambda _: "", "no_proof"), (lambda made: solved(made, number=-1), "wrong_proof"),
        (lambda _: solved(ProofOfWork(KEY).challenge(NOW - LASTS)), "old_proof"),
    ])
    def test_without_one_the_form_is_shown_again_with_all_that_was_typed(
        self, fill: Callable[..., httpx.Response], challenge: Callable[..., Any], database: Database,
        answer: Callable[[Any], str], counted: str,
    ) -> None:
        page = fill(answer(challenge()), topic=["chess"], source="blog")
        assert page.status_code == 400
        [said] = found(page, "//*[@role='alert']")
        assert "What you typed is still here" in said.text_content()
        assert "desk@timeline.example" in said.text_content()
        assert found(page, "//input[@name='email']/@value") == [ADA]
        assert found(page, "//input[@name='topic'][@checked]/@value") == ["chess"]
        assert found(page, "//input[@name='cadence'][@checked]/@value") == ["weekly"]
        assert found(page, "//input[@name='source']/@value") == ["blog"]
        assert found(page, "//input[@name='altcha']/@value") == [""]
        assert taken(database) == []
        assert SignUps(database).counts(NOW) == {counted: 1}

    def test_it_pays_for_one_address_in_every_process_and_twice_for_the_same(
        self, fill: Callable[..., httpx.Response], challenge: Callable[..., Any], database: Database
    ) -> None:
        made = challenge()
        answer = solved(made)
        fill(answer)
        assert fill(answer, email=EVE).status_code == 400  # another application over the same database
        assert fill(solved(made, salt=made["salt"][:-1]), email=EVE).status_code == 400
        assert taken(database) == [ADA]
        assert SignUps(database).counts(NOW) == {"taken": 1, "used_proof": 2}
        assert "One more press" in fill(answer).text  # a second press of the button
        assert taken(database) == [ADA]

    def test_it_is_forgotten_once_no_process_would_take_it(
        self, fill: Callable[..., httpx.Response], challenge: Callable[..., Any], database: Database
    ) -> None:
        answer = solved(challenge())
        fill(answer)
        over = NOW + LASTS + dt.timedelta(hours=1)
        SignUps(database).tend(over - dt.timedelta(seconds=61))
        assert fill(answer, email=EVE).status_code == 400
        SignUps(database).tend(over)
        with database.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM spent_proof").scalar_one() == 0
        assert fill(answer, email=EVE, now=over).status_code == 400  # and too old

    def test_an_address_that_is_none_costs_no_proof(
        self, fill: Callable[..., httpx.Response], challenge: Callable[..., Any], database: Database
    ) -> None:
        answer = solved(challenge())
        assert fill(answer, email="ada@").status_code == 400
        fill(answer)
        assert taken(database) == [ADA]

    @pytest.mark.parametrize("proof_of_work", ["off"])
    def test_switched_off_there_is_no_script_and_nothing_to_calculate(
        self, ask: Callable[..., httpx.Response], make: Callable[..., Any], fill: Callable[..., httpx.Response],
        database: Database,
    ) -> None:
        page = ask("GET", "/subscribe", app=make())
        assert not found(page, "//script|//noscript|//input[@name='altcha']")
        assert "script-src" not in page.headers["Content-Security-Policy"]
        assert ask("GET", "/subscribe/challenge", app=make()).status_code == 404
        fill("")
        assert taken(database) == [ADA]


class TestAnotherSitesForm:
    @pytest.fixture
    def post(self, ask: Callable[..., httpx.Response], make: Callable[..., Any]) -> Callable[..., httpx.Response]:
        return lambda **said: ask("POST", "/api/subscribe", app=make(), json=said)

    def test_with_our_page_alone_it_goes_on_as_it_was(
        self, post: Callable[..., httpx.Response], database: Database
    ) -> None:
        assert post(email=ADA).json() == {"success": True, "source": "site"}
        assert taken(database) == [ADA]

    @pytest.mark.parametrize("proof_of_work", ["everywhere"])
    def test_everywhere_it_has_to_send_one(
        self, post: Callable[..., httpx.Response], challenge: Callable[..., Any], database: Database
    ) -> None:
        answer = solved(challenge())
        for refused in (post(email=ADA), post(email=ADA, altcha=7), post(email=ADA, altcha="x")):
            assert (refused.status_code, refused.json()) == (400, {"error": "A valid proof of work is required"})
        assert post(email="none").json() == {"error": "A valid email is required"}
        assert post(email=ADA, website="x").json() == {"success": True}
        assert taken(database) == []
        assert post(email=ADA, altcha=answer).json() == {"success": True, "source": "site"}
        assert post(email=EVE, altcha=answer).status_code == 400
        assert taken(database) == [ADA]

    @pytest.mark.parametrize(("origin", "allowed"), [(SITE, True), ("https://evil.example", False)])
    def test_its_page_may_ask_for_a_challenge(
        self, ask: Callable[..., httpx.Response], make: Callable[..., Any], origin: str, allowed: bool
    ) -> None:
        answer = ask("GET", "/subscribe/challenge", app=make(), headers={"Origin": origin})
        assert (answer.headers.get("Access-Control-Allow-Origin") == origin) == allowed
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("base_url", "good"), [
    ("https://timeline.example", True), ("http://127.0.0.1:8025", True), ("http://localhost:8025", True),
    ("http://timeline.example", False), ("http://192.0.2.7", False),
])
def test_it_is_refused_where_browsers_do_not_calculate(base_url: str, good: bool) -> None:
    asked = {"web": {"base_url": base_url, "proof_of_work": "page"}}
    if good:
        assert parse(asked).web.proof_of_work == "page"
    else:
        with pytest.raises(SettingsError, match="https://"):
            parse(asked)
    assert parse({"web": {"base_url": base_url}}).web.proof_of_work == "off"
