"""A desk over a prepared database, somebody of each role who is signed in, and a browser without a network."""

import asyncio
import datetime as dt
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from lxml import html
from starlette.responses import PlainTextResponse

from milepost.dates import utc_now
from milepost.records import Change, Milestone, Role, Witness
from milepost.settings import Settings, load
from pipeline.operators.acts import Actor
from pipeline.operators.passwords import Passwords
from pipeline.operators.sign_in import SignIn
from pipeline.publish import draft_due
from pipeline.upkeep import open_database
from store.milestones.looks import Looks
from store.milestones.milestones import Milestones
from tests.pipeline import prepared
from web.desk.app import desk_app
from web.desk.desk import Desk
from web.desk.door import DeskDoor
from web.proxies import Proxies

HOST = "news.clockwork.example"
BASE = f"https://{HOST}"
QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
ROOT = Actor(who="root", role=None, door="console")
PASSWORD = "four invented words here"


class House:
    """A desk; `clock` is what it takes for now."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = open_database(settings, wait_seconds=0.3)
        self.clock = utc_now()
        self.desk = Desk(
            settings, self.database, now=lambda: self.clock,
            sign_in=SignIn(settings, self.database, now=lambda: self.clock, passwords=QUICK),
        )
        door = DeskDoor(PlainTextResponse("the readers' page", 404), desk_app(self.desk),
                        exists=self.desk.accounts.any)
        self.app = Proxies(door, settings.web)
        self.loop = asyncio.new_event_loop()

    def close(self) -> None:
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.database.close()

    def later(self, **how: float) -> None:
        self.clock += dt.timedelta(**how)

    def held_look(self, *titles: str) -> int:
        """A look that found milestones of these titles and is held."""
        looks, url = Looks(self.database), "https://clockwork.example/story/"
        look = looks.start("clockwork", self.clock)
        found = []
        for number, title in enumerate(titles):
            evidence = {"title": (Witness(witness="headings", where="h1"),
                                  Witness(witness="card", where="title", says="another title"))}
            record = Milestone(source="clockwork", key=f"held-{look}-{number}", url=f"{url}{look}-{number}",
                               title=title, evidence=evidence, extractor="sample/1")
            found.append((Change(source="clockwork", key=record.key, kind="added"), record, None))
        Milestones(self.database).apply(look, "clockwork", found, announce=True, held="too many", now=self.clock)
        looks.finish(look, state="complete", now=self.clock, milestones=len(titles))
        return look

    def draft(self) -> int:
        """A draft of what is news."""
        [issue] = draft_due(self.settings, self.database)
        return issue.number

    def operator(self, name: str, role: Role) -> None:
        """Somebody with a password."""
        link = self.desk.accounts.add(name, role, by=ROOT).link
        self.desk.sign_in.by_link(link.rpartition("/")[2], PASSWORD)

    def browser(self, host: str = "203.0.113.7") -> "Browser":
        return Browser(self, host)

    def signed_in(self, role: Role) -> "Browser":
        """Somebody of that role, at the desk."""
        if all(one.name != role for one in self.desk.accounts.list()):
            self.operator(role, role)
        found = self.browser()
        found.cookie = self.desk.sign_in.by_proxy(role).token
        return found


class Browser:
    """What somebody's browser does: opens pages, fills forms in and presses their buttons."""

    def __init__(self, house: House, host: str) -> None:
        self._house = house
        transport = httpx.ASGITransport(house.app, raise_app_exceptions=False, client=(host, 50000))
        self.client = httpx.AsyncClient(transport=transport, base_url=BASE, follow_redirects=True)
        self.page: Any = None
        self.status = 0

    def open(self, path: str, **headers: str) -> str:
        return self._took(self.client.get(path, headers=headers))

    def open_with(self, path: str, *headers: tuple[str, str]) -> str:
        """The same, where a header may come twice."""
        return self._took(self.client.get(path, headers=list(headers)))

    def press(self, button: str, *, at: int = 0, fill: Mapping[str, str] | None = None, **filled: str) -> str:
        """Press the button that says so, `at`: of several, with what was filled in (also by `fill`) and all else as it
        stands."""
        found = [(form, one) for form in self.page.forms for one in form.iter("button")
                 if button in " ".join(one.text_content().split())]
        assert found, f"no button “{button}” on {self.text[:500]}"
        form, pressed = found[at]
        fields = dict(form.form_values()) | dict(fill or {}) | filled
        headers = {"origin": BASE, "sec-fetch-site": "same-origin"}
        return self._took(self.client.post(pressed.get("formaction") or form.action, data=fields, headers=headers))

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> str:
        return self._took(self.client.post(path, data=fields, headers=headers or {}))

    @property
    def cookie(self) -> str:
        """That of the session."""
        return str(self.client.cookies.get(self._house.desk.cookie, domain=HOST))

    @cookie.setter
    def cookie(self, token: str) -> None:
        self.client.cookies.set(self._house.desk.cookie, token, domain=HOST)

    @property
    def text(self) -> str:
        return " ".join(self.page.text_content().split())

    @property
    def csrf(self) -> str:
        return str(self.page.xpath("//input[@name='csrf']/@value")[0])

    def buttons(self) -> list[str]:
        return [" ".join(one.text_content().split()) for one in self.page.iter("button")]

    def _took(self, asked: Coroutine[Any, Any, httpx.Response]) -> str:
        answer = self._house.loop.run_until_complete(asked)
        self.status, self.answer = answer.status_code, answer
        if "text/html" in answer.headers.get("content-type", ""):
            self.page = html.document_fromstring(answer.text)
            return self.text
        return str(answer.text)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Makes a desk over what a database is at a stage, with more settings."""
    opened: list[House] = []

    def made(stage: prepared.Stage = "empty", more: str = "") -> House:
        (tmp_path / "milepost.toml").write_text(
            prepared.SETTINGS.format(site="http://127.0.0.1:9", smtp=9) + more, encoding="utf-8")
        settings = load(tmp_path / "milepost.toml")
        prepared.copy(stage, settings)
        opened.append(House(settings))
        return opened[-1]

    yield made
    for house in opened:
        house.close()


@pytest.fixture
def house(make: Callable[..., House]) -> House:
    return make()
