"""Other programs are told each thing once, signed, late rather than never; a backfill is told to nobody."""

import base64
import datetime as dt
import hmac
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from milepost.errors import FetchError, SettingsError
from milepost.settings import Settings, load, parse
from pipeline.operate.standing import stand
from pipeline.operate.webhooks import RETRIES, Posted, post, sign
from store.database import Database, connect
from store.operators.webhooks import Webhooks
from store.schema import tables
from tests.pipeline import prepared

SECRET = "whsec_" + "QW4gaW52ZW50ZWQgc2VjcmV0IG9mIDMyIGJ5dGVzISE="
ONE = "https://one.example/hook"
EARLIER = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NOW = dt.datetime(2031, 1, 1, tzinfo=dt.UTC)  # after all that the prepared databases hold


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "milepost.toml").write_text(
        prepared.SETTINGS.format(site="http://127.0.0.1:9", smtp=9)
        + f'[webhooks]\nurls = ["{ONE}"]\nsecret = "{SECRET}"\n[notify]\ndisk_free_mb = 0\n', encoding="utf-8",
    )
    return load(tmp_path / "milepost.toml")


class Listener:
    """Another program; answers `status`, or nothing."""

    def __init__(self) -> None:
        self.heard: list[tuple[Mapping[str, str], bytes]] = []
        self.status: int | None = 204

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        if self.status is None:
            raise FetchError("nobody answers", where=url)
        if self.status < 300:
            self.heard.append((headers, body))
        return self.status


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """An address that was named before there was any news."""
    prepared.copy("baseline", settings)
    with connect(settings.store.url) as opened:
        assert post(settings, opened, now=lambda: EARLIER, send=Listener()).queued == 0
        with opened.begin() as connection:
            kept = connection.execute(sa.select(tables.meta).where(tables.meta.c.key.like("webhooks.%"))).one()
    prepared.copy("issue", settings)
    with connect(settings.store.url) as opened:
        with opened.begin() as connection:
            connection.execute(sa.insert(tables.meta).values(key=kept.key, value=kept.value))
        yield opened


def test_each_milestone_is_told_once_and_signed(settings: Settings, database: Database) -> None:
    listener = Listener()
    done = post(settings, database, now=lambda: NOW, send=listener)
    assert (done.queued, done.sent) == (2, 2)
    headers, body = listener.heard[0]
    right = sign([SECRET], headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    assert hmac.compare_digest(headers["webhook-signature"], right)
    told = json.loads(body)
    assert told["type"] == "milestone.added"
    assert told["data"]["source"] == "clockwork"
    assert len({headers["webhook-id"] for headers, _ in listener.heard}) == 2
    assert post(settings, database, now=lambda: NOW, send=listener).queued == 0


def test_the_signature_is_the_specification_s() -> None:
    """Of the public test of the specification's own library."""
    secret, name = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    made = sign([secret], name, 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_a_secret_is_changed_receivers_of_either_believe_it(settings: Settings, database: Database) -> None:
    new = "whsec_" + base64.b64encode(b"n" * 32).decode()
    changing = settings.webhooks.model_copy(update={"secret": SecretStr(new), "previous_secret": SecretStr(SECRET)})
    listener = Listener()
    post(settings.model_copy(update={"webhooks": changing}), database, now=lambda: NOW, send=listener)
    headers, body = listener.heard[0]
    name, at = headers["webhook-id"], int(headers["webhook-timestamp"])
    assert headers["webhook-signature"].split(" ") == [sign([new], name, at, body), sign([SECRET], name, at, body)]


@pytest.mark.parametrize(("section", "words"), [
    ({"webhooks": {"previous_secret": SECRET}}, "nothing without webhooks.secret"),
    ({"bounces": {"previous_mailgun_key": "m" * 16}}, "nothing without bounces.mailgun_key"),
])
def test_an_old_secret_alone_is_a_mistake(section: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        parse(section)
    assert SECRET not in str(caught.value)


def test_a_hold_a_baseline_and_a_backfill_are_told_to_nobody(settings: Settings, database: Database) -> None:
    with database.begin() as connection:
        connection.execute(sa.update(tables.look).values(held="a surge"))
    assert post(settings, database, now=lambda: NOW, send=Listener()).queued == 0
    with database.begin() as connection:
        connection.execute(sa.update(tables.look).values(held="a surge", released_at=NOW))
        news = connection.execute(
            sa.select(sa.func.count()).select_from(tables.change).where(tables.change.c.announce)
        ).scalar_one()
        silent = sa.update(tables.change).where(tables.change.c.announce).values(look_id=None, announce=False)
        connection.execute(silent)
    assert news == 2
    assert post(settings, database, now=lambda: NOW, send=Listener()).queued == 0


def test_who_does_not_answer_is_told_later_and_after_days_given_up(settings: Settings, database: Database) -> None:
    listener = Listener()
    listener.status = None

    def at(moment: dt.datetime) -> Posted:
        return post(settings, database, now=lambda: moment, send=listener)

    moment = NOW
    for wait in RETRIES:
        done = at(moment)
        assert (done.sent, done.waiting, done.why) == (0, 2, "nobody answers")
        moment += wait
        assert at(moment - dt.timedelta(seconds=1)).waiting == 0
    assert at(moment).given_up == 2
    assert Webhooks(database).counts() == {"dropped": 2}
    found = {one.kind: one.says for one in stand(settings, now=moment).conditions}
    assert found["webhook"] == "2 webhooks were given up, the last: nobody answers"


def test_who_does_not_answer_is_asked_once_a_round(settings: Settings, database: Database) -> None:
    asked: list[str] = []

    def silent(url: str, _body: bytes, _headers: Mapping[str, str]) -> int:
        asked.append(url)
        raise FetchError("nobody answers", where=url)

    assert post(settings, database, now=lambda: NOW, send=silent).waiting == 2
    assert len(asked) == 1


def test_who_is_sent_elsewhere_has_not_taken_it(settings: Settings, database: Database) -> None:
    done = post(settings, database, now=lambda: NOW, send=lambda *_: 302)
    assert (done.sent, done.waiting, done.why) == (0, 2, "answered 302")


def test_an_address_that_says_it_is_gone_is_not_asked_again(settings: Settings, database: Database) -> None:
    listener = Listener()
    listener.status = 410
    assert post(settings, database, now=lambda: NOW, send=listener).given_up == 2
    listener.status = 500
    assert post(settings, database, now=lambda: NOW, send=listener).waiting == 0


def test_an_issue_that_was_sent(settings: Settings, database: Database) -> None:
    with database.begin() as connection:
        connection.execute(sa.update(tables.issue).values(state="complete", finished_at=NOW))
    listener = Listener()
    post(settings, database, now=lambda: NOW, send=listener)
    told = [json.loads(body) for _, body in listener.heard]
    sent = next(one for one in told if one["type"] == "issue.sent")
    assert sent["data"]["url"] == "https://news.clockwork.example/issues/1"


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.heard.append(self.rfile.read(int(self.headers["Content-Length"])))  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_over_the_wire_to_this_machine_only_where_it_is_named(settings: Settings, database: Database) -> None:
    with HTTPServer(("127.0.0.1", 0), _Hook) as server:
        server.heard = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/hook"
        for allowed, sent in (((), 0), (("127.0.0.1",), 2)):
            hooks = settings.webhooks.model_copy(update={"urls": (url,), "allow_hosts": allowed})
            told = settings.model_copy(update={"webhooks": hooks})
            post(told, database, now=lambda: EARLIER, send=Listener())
            with database.begin() as connection:
                connection.execute(sa.delete(tables.webhook_message))
            done = post(told, database, now=lambda: NOW)
            assert done.sent == sent, done
        server.shutdown()
        thread.join()
        assert len(server.heard) == 2  # type: ignore[attr-defined]


def test_addresses_want_a_secret_and_a_secret_its_form() -> None:
    for webhooks in ({"urls": [ONE]}, {"urls": [ONE], "secret": "whsec_short"}, {"secret": "MfKQ9r8GKYqrTwjUPD8ILPZI"}):
        with pytest.raises(SettingsError):
            parse({"webhooks": webhooks})
