"""What programs ask and decide: who may, what is refused and how, lists that skip nothing, acts that happen once."""

import base64
import contextlib
import datetime as dt
import functools
import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator
from starlette.applications import Starlette
from starlette.routing import Mount

from milepost.dates import utc_now
from milepost.settings import Settings, load
from pipeline import edit
from pipeline.operators import api_tokens
from pipeline.operators.acts import latest
from store.database import Database, connect
from store.milestones.looks import Looks
from store.operators.tokens import Tokens
from store.schema import tables
from store.subscribers.people import Subscribers
from tests.pipeline import prepared
from tests.pipeline.stage import READERS
from tests.web.asgi_client import AsgiClient
from tests.web.loopback import serving
from web.api.app import BASE, GUESSES_PER_MINUTE, LONGEST, operators_api
from web.writing import Writers

ALL = ("read", "decide", "readers", "readers.write")
WHY = {"why": "seen by the night shift"}


@functools.cache
def _schemas(document: str) -> list[tuple[str, re.Pattern[str], Draft202012Validator]]:
    """Verb, address and what it answers, as the document has it."""
    told = json.loads(document)
    return [
        (verb.upper(), re.compile(re.sub(r"{\w+}", "[^/]+", path)), Draft202012Validator(
            operation["responses"]["200"]["content"]["application/json"]["schema"] | {"components": told["components"]}
        ))
        for path, verbs in sorted(told["paths"].items(), key=lambda one: "{" in one[0])
        for verb, operation in verbs.items()
    ]


def _as_documented(client: AsgiClient, method: str, path: str, answer: Any) -> None:
    schemas = _schemas(client.get(f"{BASE}/openapi.json").text)
    asked = path.partition("?")[0]
    next(schema for verb, at, schema in schemas if verb == method and at.fullmatch(asked)).validate(answer)


class Program:
    """A program of an operator's, with a token."""

    def __init__(self, client: AsgiClient, token: str) -> None:
        self._client, self.headers = client, {"Authorization": f"Bearer {token}"}

    def ask(self, path: str, method: str = "GET", status: int = 200, **more: Any) -> Any:
        """The answer's JSON; whatever is no 2xx has to be a problem with a sentence."""
        headers = self.headers | more.pop("headers", {})
        answer = self._client.request(method, BASE + path, headers=headers, **more)
        assert answer.status_code == status, answer.text
        if status == 200:
            _as_documented(self._client, method, path, answer.json())
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            told = answer.json()
            assert told["status"] == status
            assert told["detail"]
            return told
        return answer.json() if answer.content else None

    def act(self, path: str, status: int = 200, method: str = "POST", headers: Any = None, **body: Any) -> Any:
        return self.ask(path, method, status, json=WHY | body, headers=headers or {})

    def whole(self, path: str) -> list[Any]:
        """A list to its end, in parts of two."""
        found, cursor = [], ""
        while True:
            part = self.ask(f"{path}{'&' if '?' in path else '?'}limit=2{cursor}")
            found += part["items"]
            if part["next"] is None:
                return found
            cursor = f"&cursor={part['next']}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "milepost.toml").write_text(
        prepared.SETTINGS.format(site="http://127.0.0.1:9", smtp=9), encoding="utf-8"
    )
    loaded = load(tmp_path / "milepost.toml")
    prepared.copy("issue", loaded)
    return loaded


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    with connect(settings.store.url, wait_seconds=0.2) as opened:
        yield opened


@pytest.fixture
def client(settings: Settings, database: Database) -> Iterator[AsgiClient]:
    api = operators_api(settings, database, writers=Writers(), now=utc_now, clock=lambda: 0.0)
    with AsgiClient(Starlette(routes=[Mount(BASE, app=api)])) as opened:
        yield opened


def token_for(database: Database, *scopes: str, name: str = "night shift", days: int | None = 90) -> str:
    return api_tokens.add(database, name, scopes, days=days, by="ada", now=utc_now())[0]


@pytest.fixture
def program(client: AsgiClient, database: Database) -> Program:
    return Program(client, token_for(database, *ALL))


# --- who may ----------------------------------------------------------------------------------------------------------


def test_a_token_is_kept_as_a_hash_and_known_again(database: Database, program: Program) -> None:
    shown = program.headers["Authorization"].removeprefix("Bearer ")
    with database.connect() as connection:
        rows = list(connection.execute(sa.select(tables.api_token)))
    assert shown not in repr(rows)
    assert program.ask("/me") == {
        "name": "night shift", "scopes": list(ALL), "expires_at": rows[0].expires_at.isoformat().replace("+00:00", "Z")
    }
    assert api_tokens.listed(database)[0].last_used_at is not None


@pytest.mark.parametrize(("header", "says"), [
    ({}, "no Authorization header"), ({"Authorization": "Basic YTpi"}, "no token of ours"),
    ({"Authorization": "Bearer milepost_nobodys"}, "no token of ours"), ({"Authorization": "Bearer "}, "no token"),
    ({"Authorization": "Bearer \u2028"}, "no token"),
])
def test_without_a_token_of_ours(client: AsgiClient, header: dict[str, str], says: str) -> None:
    answer = client.get(f"{BASE}/milestones", headers={name: text.encode() for name, text in header.items()})
    assert (answer.status_code, answer.headers["www-authenticate"][:6]) == (401, "Bearer")
    assert says in answer.json()["detail"]


def test_expired_and_revoked(client: AsgiClient, database: Database) -> None:
    old, _ = api_tokens.add(database, "old", ["read"], days=1, by="ada", now=utc_now() - dt.timedelta(days=2))
    assert "expired" in Program(client, old).ask("/me", status=401)["detail"]
    gone = Program(client, token_for(database, "read", name="gone"))
    gone.ask("/me")
    api_tokens.revoke(database, "gone", why="it was in a mail", by="ada", now=utc_now())
    assert "revoked" in gone.ask("/me", status=401)["detail"]
    assert [act.what for act in latest(database)] == ["token.revoke", "token.add", "token.add"]


def test_a_scope_opens_its_own_doors_alone(client: AsgiClient, database: Database) -> None:
    reader = Program(client, token_for(database, "read"))
    for path in ("/readers", "/readers/1", "/suppressions", "/letters", "/issues/1/deliveries", "/issues/1/exclusions"):
        assert "readers" in reader.ask(path, status=403)["detail"]
    reader.act("/issues/1/stop", 403)
    reader.act("/readers/1/erase", 403)
    decides = Program(client, token_for(database, "decide", name="decides"))
    decides.ask("/milestones", status=403)
    decides.act("/readers/1/erase", 403)
    assert [who.address for who in Subscribers(database).list()] == list(READERS)


def test_a_token_without_a_scope_opens_nothing(client: AsgiClient, database: Database) -> None:
    """None is made without one; a row that has none, whoever wrote it, opens not even what asks for no scope."""
    shown, token = Tokens(database).add("bare", [], by="ada", now=utc_now(), expires_at=None)
    assert token.why_not(utc_now()) == "it has no scope"
    bare = Program(client, shown)
    paths = client.get(f"{BASE}/openapi.json").json()["paths"]
    asked = [(verb.upper(), path.replace("{number}", "1").replace("{field}", "title"))
             for path, verbs in paths.items() for verb in verbs]
    asked.sort(key=lambda one: one != ("GET", "/me"))
    for number, (verb, path) in enumerate(asked):
        said = bare.ask(path, verb, json=WHY, status=401 if number < GUESSES_PER_MINUTE else 429)
        assert "the token opens nothing: it has no scope" in said["detail"] or number >= GUESSES_PER_MINUTE
    assert [who.address for who in Subscribers(database).list()] == list(READERS)


def test_a_token_in_an_address_is_refused_and_not_repeated(client: AsgiClient, program: Program) -> None:
    shown = program.headers["Authorization"].removeprefix("Bearer ")
    answer = client.get(f"{BASE}/me?access_token={shown}")
    assert answer.status_code == 401
    assert "every log" in answer.json()["detail"]
    assert shown not in answer.text


def test_guesses_and_floods_end(settings: Settings, database: Database) -> None:
    clock = [0.0]
    api = operators_api(
        settings, database, writers=Writers(), now=utc_now, clock=lambda: clock[0], per_minute=3
    )
    with AsgiClient(Starlette(routes=[Mount(BASE, app=api)])) as client:
        program = Program(client, token_for(database, "read"))
        for _ in range(3):
            program.ask("/me")
        assert client.get(f"{BASE}/me", headers=program.headers).headers["retry-after"] == "21"
        clock[0] += 21
        program.ask("/me")
        program.ask("/me", status=429)
        nobody = {"Authorization": "Bearer milepost_x"}
        assert [client.get(f"{BASE}/me", headers=nobody).status_code for _ in range(GUESSES_PER_MINUTE + 1)] == [
            *[401] * GUESSES_PER_MINUTE, 429,
        ]
        clock[0] += 0.5
        assert client.get(f"{BASE}/me", headers=nobody).headers["retry-after"] == "3"
        good = Program(client, token_for(database, "readers", name="day shift"))
        good.ask("/me")  # whoever guesses beside it


# --- what is read -----------------------------------------------------------------------------------------------------


def test_a_milestone_down_to_the_bytes(program: Program) -> None:
    listed = program.whole("/milestones?source=clockwork")
    assert len({one["id"] for one in listed}) == len(listed) > 3
    one = listed[0]
    whole = program.ask(f"/milestones/{one['id']}")
    assert whole["record"]["title"] == one["title"] == whole["title"]
    told = program.ask(f"/milestones/{one['id']}/fields/title")
    assert told["value"] == one["title"]
    assert told["witnesses"]
    assert len(told["snapshot"]["sha256"]) == 64
    assert [version["number"] for version in program.ask(f"/milestones/{one['id']}/history")["items"]] == [1]
    word = one["title"].split()[0]
    assert one["id"] in [found["id"] for found in program.ask(f"/milestones/search?q={word}")["items"]]
    assert program.whole(f"/milestones?key={one['key']}") == [one]


def test_changes_go_on_where_a_program_left_off(program: Program) -> None:
    found = program.whole("/changes")
    assert [one["id"] for one in found] == sorted(one["id"] for one in found)
    news = program.whole("/changes?announced=true")
    assert news
    assert all(one["announced"] and one["kind"] == "added" for one in news)
    assert len(news) < len(found)


def test_sources_looks_and_issues(program: Program) -> None:
    (source,) = program.ask("/sources")["items"]
    assert (source["key"], source["baseline"], source["last_look"]["state"]) == ("clockwork", True, "complete")
    looks = program.whole("/looks")
    assert [one["id"] for one in looks] == [2, 1]
    assert program.ask("/looks/2") == looks[0]
    issue = program.ask("/issues/1")
    assert [one["role"] for one in issue["items"]] == ["news"] * len(issue["items"])
    ledger = program.ask("/issues/1/ledger")
    assert ledger["balanced"]
    assert ledger["candidates"] == sum(ledger["terms"].values()) == len(READERS)
    assert len(program.whole("/issues/1/deliveries")) == ledger["deliveries"]
    assert len(program.whole("/issues/1/exclusions")) == ledger["candidates"] - ledger["deliveries"]
    assert program.ask("/issues/1/variants")["items"][0]["html"].startswith("<!doctype html>")
    assert program.ask("/status")["figures"]["subscribers"]


def test_a_list_skips_nobody_who_is_there_all_the_time(program: Program, database: Database) -> None:
    """A list by OFFSET would pass over one for each that goes while pages are turned."""
    first = program.ask("/readers?limit=2")
    Subscribers(database).add("late@readers.example", now=utc_now())
    program.act(f"/readers/{first['items'][0]['id']}/erase")
    rest = program.ask(f"/readers?limit=200&cursor={first['next']}")["items"]
    assert [one["address"] for one in first["items"] + rest] == [*READERS, "late@readers.example"]


@pytest.mark.parametrize(("text", "found"), [
    ("%", []), ("_", ["a_b@readers.example"]), ("A_B", ["a_b@readers.example"]), ("/", []), ("*", []),
])
def test_no_sign_of_a_search_stands_for_others(
    program: Program, database: Database, text: str, found: Sequence[str]
) -> None:
    Subscribers(database).add("a_b@readers.example", now=utc_now())
    part = program.ask("/readers/search", "POST", json={"text": text})
    assert [one["address"] for one in part["items"]] == list(found)


def test_markup_and_signs_of_a_title_come_as_they_are(program: Program, database: Database) -> None:
    with database.begin() as connection:
        row = connection.execute(sa.select(tables.milestone_version)).first()
        assert row is not None
        record = row.record | {"title": '<script>alert("\u2028")</script>'}
        connection.execute(
            sa.update(tables.milestone_version).where(tables.milestone_version.c.id == row.id).values(record=record)
        )
    assert program.ask(f"/milestones/{row.milestone_id}")["title"] == record["title"]


def test_unchanged_is_not_sent_again(client: AsgiClient, program: Program) -> None:
    first = client.get(f"{BASE}/issues/1", headers=program.headers)
    again = client.get(f"{BASE}/issues/1", headers=program.headers | {"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == "private, no-cache"


# --- what is refused --------------------------------------------------------------------------------------------------


def _cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(("path", "status"), [
    ("/milestones?cursor=garbage", 422), (f"/milestones?cursor={_cursor('looks:3')}", 422),
    (f"/milestones?cursor={_cursor('milestones:-1')}", 422),
    (f"/milestones?cursor={_cursor('milestones:' + '9' * 30)}", 422),
    ("/milestones?cursor=%00", 422), ("/milestones?cursor=", 422), ("/milestones?cursor=" + "A" * 99, 422),
    ("/milestones?limit=0", 422), ("/milestones?limit=201", 422), ("/milestones?limit=x", 422),
    ("/milestones?limit=1&limit=2", 422), ("/milestones?offset=3", 422), ("/me?x=1", 422),
    ("/milestones?source=%00", 422), ("/milestones/search?q=%3F%3F", 422), ("/milestones/search", 422),
    ("/milestones/0", 404), ("/milestones/99", 404), ("/milestones/" + "9" * 40, 404), ("/milestones/x", 404),
    ("/milestones/1/fields/nothing", 404), ("/milestones/1/fields/" + "a" * 99, 404), ("/looks/" + "9" * 5000, 404),
    ("/readers/search", 405), ("/looks/99", 404), ("/looks/99/changes", 404), ("/issues/99", 404),
    ("/issues/99/ledger", 404), ("/issues/99/deliveries", 404), ("/issues/99/exclusions", 404),
    ("/issues/99/variants", 404), ("/renames/9", 404), ("/readers/99", 404), ("/nothing", 404), ("/", 404),
])
def test_what_can_not_be_read(program: Program, path: str, status: int) -> None:
    program.ask(path, status=status)


def test_bodies_that_can_not_be_read(client: AsgiClient, program: Program) -> None:
    def post(content: bytes, kind: str = "application/json") -> int:
        headers = program.headers | {"Content-Type": kind}
        answer = client.post(f"{BASE}/issues/1/stop", content=content, headers=headers)
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code

    assert post(b"why=x", "application/x-www-form-urlencoded") == 415
    assert [post(content) for content in (b"", b"{", b"\xff", b"[]", b"null", b'{"why": 3}', b'{"why": "  "}')] == [
        400, 400, 400, 422, 422, 422, 422,
    ]
    assert post(json.dumps(WHY | {"wy": 1}).encode()) == 422
    assert post(b'{"why": "\\u0000"}') == 422
    assert post(b'{"why": "\\ud800"}') in (400, 422)
    assert post(b"[" * 30_000) == 400
    assert post(b" " * (LONGEST + 1)) == 413
    assert program.ask("/issues/1", "DELETE", 405)["hint"]
    assert program.ask("/issues/1")["state"] == "frozen"


def test_a_locked_database(client: AsgiClient, program: Program, settings: Settings) -> None:
    """Who reads is answered; who decides is told to come again, and nothing was begun."""
    program.ask("/me")
    with contextlib.closing(sqlite3.connect(settings.store.url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        program.ask("/issues/1")
        answer = client.post(f"{BASE}/issues/1/stop", json=WHY, headers=program.headers)
        other.rollback()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert program.ask("/issues/1")["state"] == "frozen"


def test_a_bug_tells_nothing_of_itself(
    client: AsgiClient, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(Looks, "get", broken)
    told = program.ask("/looks/1", status=500)
    assert "secret" not in json.dumps(told)
    assert client.get(f"{BASE}/me", headers=program.headers).status_code == 200


# --- what is decided --------------------------------------------------------------------------------------------------


@pytest.fixture
def held(database: Database) -> int:
    look = Looks(database).list()[0].id
    Looks(database).hold(look, "surge: 3 new ones")
    return look


def test_a_hold_with_what_it_keeps_back(program: Program, database: Database, held: int) -> None:
    assert program.ask("/holds")["count"] == 1
    assert [one["id"] for one in program.ask("/looks?waiting=true")["items"]] == [held]
    kept_back = program.whole(f"/looks/{held}/changes")
    assert kept_back
    assert all(one["held"] for one in kept_back)
    assert program.act(f"/looks/{held}/release")["changed"]
    again = program.act(f"/looks/{held}/release", why="a second tab")
    assert not again["changed"]
    assert program.ask(f"/looks/{held}")["released_why"] == WHY["why"]
    acts = [act for act in latest(database) if act.what == "hold.release"]
    assert [(act.who, act.door, act.about, act.why, act.outcome) for act in acts] == [
        ("token night shift", "api", f"look {held}", WHY["why"], "done")
    ]
    assert (acts[0].before, acts[0].after) == ({"held": True}, {"held": False, "once": False, "source": "clockwork"})


def test_a_hold_is_refused_once_and_that_is_taken_back(program: Program, held: int) -> None:
    assert "the record is as it was before" in program.act(f"/looks/{held}/refuse")["says"]
    assert not program.act(f"/looks/{held}/refuse")["changed"]
    told = program.ask(f"/looks/{held}")
    assert (told["waiting"], told["refused_why"]) == (False, WHY["why"])
    assert program.ask("/holds")["count"] == 0
    assert "refused no more" in program.act(f"/looks/{held}/release", refused=True)["says"]


def test_what_is_not_held_can_not_be_released(program: Program, database: Database) -> None:
    assert "not held" in program.act("/looks/1/release", 409)["detail"]
    assert latest(database)[0].outcome == "refused"


def test_ten_thousand_holds(program: Program, database: Database) -> None:
    columns = ", ".join(column.name for column in tables.look.columns if column.name not in ("id", "held"))
    with database.begin() as connection:
        connection.execute(sa.text(
            f"WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 10099) "  # noqa: S608
            f"INSERT INTO look (id, held, {columns}) SELECT i, 'surge', {columns} FROM n, look WHERE look.id = 1"
        ))
    told = program.ask("/holds")
    assert (told["count"], len(told["items"])) == (10_000, 200)
    part = program.ask("/looks?waiting=true&limit=200")
    assert [one["id"] for one in part["items"]] == list(range(10_099, 9_899, -1))


def test_an_approval_names_what_was_looked_at(client: AsgiClient, program: Program, database: Database) -> None:
    stopped = program.act("/issues/1/stop")
    assert "a draft again" in stopped["says"]
    seen = client.get(f"{BASE}/issues/1", headers=program.headers)
    draft = seen.json()
    program.act("/issues/1/approve", 409, content_hash="0" * 64)
    program.act("/issues/1/approve", 422, content_hash="x")
    assert program.ask("/issues/1")["state"] == "draft"
    seen_so = {"If-Match": seen.headers["etag"]}
    done = program.act("/issues/1/approve", content_hash=draft["content_hash"], headers=seen_so)
    assert done["changed"]
    again = program.act("/issues/1/approve", content_hash=draft["content_hash"])
    assert (again["changed"], program.ask("/issues/1")["state"]) == (False, "frozen")
    assert [act.outcome for act in latest(database) if act.what == "issue.approve"] == ["done", "refused"]
    late = program.act("/issues/1/stop", 412, headers=seen_so)
    assert "another by now" in late["detail"]


def test_what_is_sealed_is_approved_with_no_other_content(program: Program, database: Database) -> None:
    """Whoever names another hash looked at something else: they are told no, whatever was approved meanwhile."""
    sealed = program.ask("/issues/1")
    assert sealed["state"] == "frozen"
    said = program.act("/issues/1/approve", 409, content_hash="0" * 64)
    assert "it is frozen" in said["detail"]
    assert program.ask("/issues/1") == sealed
    assert latest(database)[0].outcome == "refused"
    assert not program.act("/issues/1/approve", content_hash=sealed["content_hash"])["changed"]


def test_a_precondition_is_never_passed_over(program: Program) -> None:
    stale = {"If-Match": '"0123"'}
    program.act("/readers/1/erase", 412, headers=stale)
    program.act("/suppressions", 412, headers=stale, address="trap@readers.example")
    assert program.ask("/readers/1")["state"] == "active"
    assert program.ask("/suppressions")["items"] == []


def test_pace_stop_and_resume(program: Program) -> None:
    assert program.act("/issues/1/throttle", method="PUT", per_second=2.5)["changed"]
    assert not program.act("/issues/1/throttle", method="PUT", per_second=2.5)["changed"]
    assert program.ask("/issues/1")["throttle"] == 2.5
    program.act("/issues/1/throttle", 422, method="PUT", per_second=0.0)
    assert program.act("/issues/1/throttle", method="PUT", per_second=None)["changed"]
    program.act("/issues/1/resume", 409)


def test_an_uncertain_hand_over_is_settled_once(program: Program, database: Database) -> None:
    with database.begin() as connection:
        first = sa.select(sa.func.min(tables.delivery.c.id)).scalar_subquery()
        connection.execute(
            sa.update(tables.delivery).where(tables.delivery.c.id == first).values(state="unknown", attempts=1)
        )
    (row,) = program.ask("/issues/1/deliveries?state=unknown")["items"]
    settle = {"address": row["address"], "outcome": "sent"}
    assert program.act("/issues/1/resolve", **settle)["changed"]
    assert not program.act("/issues/1/resolve", **settle)["changed"]
    program.act("/issues/1/resolve", 409, address=row["address"], outcome="failed")
    program.act("/issues/1/resolve", 404, address="nobody@readers.example", outcome="sent")
    kept = [act for act in latest(database) if act.what == "delivery.resolve"]
    assert [act.outcome for act in kept] == ["refused", "refused", "done"]
    assert not [act.said for act in kept if "@" in act.said]  # an erase does not reach what is kept of acts


def test_a_reader_comes_leaves_returns_and_is_forgotten(program: Program, database: Database) -> None:
    wanted: dict[str, Any] = {"address": "New@Readers.Example", "cadence": "weekly", "topics": ["research"]}
    assert program.act("/readers", method="PUT", **wanted)["changed"]
    assert not program.act("/readers", method="PUT", **wanted | {"cadence": "daily"})["changed"]
    (found,) = program.ask("/readers/search", "POST", json={"text": "new@"})["items"]
    assert (found["cadence"], found["topics"]) == ("weekly", ["research"])
    reader = f"/readers/{found['id']}"
    assert program.act(f"{reader}/unsubscribe")["changed"]
    assert not program.act(f"{reader}/unsubscribe")["changed"]
    assert "left" in program.act("/readers", 409, method="PUT", **wanted)["detail"]
    assert program.act(f"{reader}/return")["changed"]
    assert program.act("/suppressions", address=wanted["address"])["changed"]
    assert not program.act("/suppressions", address=wanted["address"])["changed"]
    assert program.ask(reader)["suppressed"]
    assert program.act("/suppressions/lift", address=wanted["address"])["changed"]
    story = program.ask(reader)["story"]
    assert [one["who"] for one in story if one["who"]] == ["token night shift"] * 5
    assert program.act(f"{reader}/erase")["changed"]
    assert not program.act(f"{reader}/erase")["changed"]
    program.ask(reader, status=404)
    assert "readers.example" not in repr(latest(database))


def test_the_program_of_the_documentation(
    settings: Settings, database: Database, held: int, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit.stop(database, 1)
    page = (Path(__file__).parents[2] / "docs" / "howto" / "use-the-api.md").read_text(encoding="utf-8")
    program = page.partition("```python\n")[2].partition("```")[0]
    assert len(program.splitlines()) <= 11
    api = operators_api(settings, database, writers=Writers(), now=utc_now)
    with serving(api, BASE) as url:
        monkeypatch.setenv("MILEPOST_API", f"{url}{BASE}/")
        monkeypatch.setenv("MILEPOST_TOKEN", token_for(database, "read", "decide"))
        names: dict[str, Any] = {}
        exec(compile(program, "use-the-api.md", "exec"), names)  # noqa: S102 (our own page)
        names["api"].close()
    said = capsys.readouterr().out
    assert f"look {held} at clockwork is released" in said
    assert "issue 1 is sealed for" in said


def test_a_rename_is_settled_or_was(program: Program) -> None:
    program.act("/renames/9/settle", 404, same=True)
    program.act("/renames/9/settle", 422)


def test_the_document_says_what_there_is(client: AsgiClient) -> None:
    told = client.get(f"{BASE}/openapi.json").json()
    assert told["openapi"].startswith("3.1")
    for path, verbs in told["paths"].items():
        for verb, operation in verbs.items():
            answer = client.request(verb, BASE + path.replace("{number}", "1").replace("{field}", "title"))
            assert answer.status_code == 401, (verb, path)
            assert {"200", "401", "403", "429", "503"} <= operation["responses"].keys()
