"""Every alarm, from what makes it to what ends it: told once, again after a day, and when it is over, on real channels.

    a scenario makes it so ─▶ told ─▶ an hour: silence ─▶ a day: told again ─▶ it ends ─▶ an hour: "Over" ─▶ silence

The table is SCENARIOS; a kind that has no row there fails.
"""

import contextlib
import datetime as dt
import email
import functools
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from delivery.message import verp
from milepost.dates import utc_now
from milepost.errors import DeliveryError, SourceDownError
from milepost.records import CONDITION_KINDS, LookReport
from milepost.settings import parse
from pipeline import edit, holds, upkeep
from pipeline.bounces import read_bounces
from pipeline.dispatch import dispatch
from pipeline.holds import Waits
from pipeline.letters import send_letters
from pipeline.link_keys import signing_key
from pipeline.look.scrape import scrape
from pipeline.operate.conditions import CAME_BACK_FOR, Condition, judge
from pipeline.operate.notices import notify
from pipeline.operate.standing import stand, standing_to_json
from pipeline.operate.telling import MOST_LINES
from pipeline.operate.webhooks import post
from pipeline.operators.link_keys import leaked
from pipeline.publish import draft_due, freeze, publish
from pipeline.resolve import resolve_by_word
from pipeline.sign_up import Asked, SigningUp
from store.database import connect
from store.ledger.bounces import Bounces
from store.ledger.ledger import Ledger
from store.operators import figures, waiting_runs
from store.signing_keys import key_name
from store.subscribers.people import Subscribers
from tests.delivery.misbehaving_relay import DROP, Relay
from tests.made_once import made_once
from tests.pipeline import prepared
from tests.pipeline.stage import READERS, BreakableSite
from tests.pipeline.test_bounces import COMPLAINT, REPORT

MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
NOWHERE = "smtp://127.0.0.1:9"
MANY = 25  # readers, of whom a share says something
SECRET = "whsec_" + "QW4gaW52ZW50ZWQgc2VjcmV0IG9mIDMyIGJ5dGVzISE="

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Apprise's plugins

Scenario = Iterator[None]  # what makes it so, a yield, what ends it
SCENARIOS: dict[str, Callable[["Play"], Scenario]] = {}


def plays(name: str) -> Callable[[Callable[["Play"], Scenario]], Callable[["Play"], Scenario]]:
    """A row of the table: a kind, and after a colon which way to it."""
    def put(scenario: Callable[["Play"], Scenario]) -> Callable[["Play"], Scenario]:
        SCENARIOS[name] = scenario
        return scenario
    return put


class Hook:
    """An HTTP server on loopback that takes what is posted, or answers `status`."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if hook.status == 200:
                    hook.heard.append(json.loads(body))
                self.do_GET()

            def do_GET(self) -> None:
                self.send_response(hook.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Play:
    """A site, a relay, two channels of the operators', and a clock."""

    def __init__(self, folder: Path, site: BreakableSite, relay: Relay, hook: Hook, ops: Relay) -> None:
        self.folder, self.site, self.relay, self.hook, self.ops = folder, site, relay, hook, ops
        self.now = utc_now()
        self.each_day: Callable[[], object] = lambda: None  # what somebody else goes on to say
        self.conditions: tuple[Condition, ...] = ()  # of the last round
        self._read = (0, 0)
        self._given: dict[str, Any] = {
            "store": {"url": f"sqlite:///{folder}/milepost.db"},
            "newsletter": {"name": "Clockwork", "quiet_minutes": 0},
            "fetch": {"retries": 0},
            "sources": [{
                "key": "clockwork", "extractor": "sample", "base_url": "https://clockwork.example",
                "fetch_from": site.url, "allow_hosts": ["127.0.0.1"],
            }],
            "mail": {"from": "Clockwork <news@clockwork.example>", "url": f"smtp://127.0.0.1:{relay.port}",
                     "postal_address": "1 Escapement Row, Exampletown"},
            "web": {"base_url": "https://news.clockwork.example"},
            "notify": {
                "urls": [
                    f"json://127.0.0.1:{hook.server.server_port}",
                    f"mailto://127.0.0.1:{ops.port}/?from=milepost@clockwork.example&to=ops@clockwork.example&mode=insecure",
                ],
                "disk_free_mb": 0, "overdue_hours": 744, "silent_hours": 8784,  # each row makes its own kind alone
            },
        }
        self.settings = parse(self._given)

    def change(self, section: str, **values: Any) -> None:
        """Other settings from now on."""
        self._given = self._given | {section: self._given.get(section, {}) | values}
        self.settings = parse(self._given)

    def source(self, **values: Any) -> None:
        self._given = self._given | {"sources": [self._given["sources"][0] | values]}
        self.settings = parse(self._given)

    def clock(self) -> dt.datetime:
        return self.now

    def begin(self, stage: prepared.Stage) -> None:
        prepared.copy(stage, self.settings)
        self.now = utc_now()
        if stage in ("news", "issue", "sent"):
            self.site.publish()

    def look(self) -> LookReport:
        return scrape(self.settings, "clockwork", now=self.clock)

    def open(self) -> Any:
        return connect(self.settings.store.url)

    def sends(self, number: int = 1) -> None:
        with contextlib.suppress(DeliveryError):
            dispatch(self.settings, number, now=self.clock)

    def so(self, kind: str) -> list[Condition]:
        """What was so at the last round."""
        return [one for one in self.conditions if one.kind == kind]

    def now_so(self, kind: str) -> list[Condition]:
        """What is so now, told to nobody."""
        return [one for one in stand(self.settings, now=self.now).conditions if one.kind == kind]

    def told(self) -> tuple[list[str], list[str]]:
        """One round; what each channel was told in it: title and words."""
        self.conditions = notify(self.settings, folder=self.folder, now=self.clock).conditions
        hooks, mails = self.hook.heard[self._read[0]:], self.ops.taken[self._read[1]:]
        self._read = len(self.hook.heard), len(self.ops.taken)
        letters = [email.message_from_bytes(one.content, policy=policy.SMTP) for one in mails]
        for one in letters:
            assert one["To"] == "ops@clockwork.example"
        return (
            [f"{one['title']}\n{one['message']}" for one in hooks],
            [f"{one['Subject']}\n{_words(one)}" for one in letters],
        )


def _words(mail: Any) -> str:
    part = mail.get_body(("plain",))
    return str((part or mail).get_content()).replace("\r\n", "\n")


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    opened = Hook()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def ops() -> Iterator[Relay]:
    """The operators' own mail server."""
    opened = Relay()
    yield opened
    opened.close()


@pytest.fixture
def relay() -> Iterator[Relay]:
    opened = Relay()
    yield opened
    opened.close()


@pytest.fixture
def play(tmp_path: Path, site: BreakableSite, relay: Relay, hook: Hook, ops: Relay) -> Play:
    hook.heard.clear()
    hook.status = 200
    ops.taken.clear()
    return Play(tmp_path, site, relay, hook, ops)


# --- the table --------------------------------------------------------------------------------------------------------


def _everywhere(play: Play, change: Callable[[str], str]) -> None:
    play.site.replaced |= {f"/story/{one.key}": change(play.site.story(one.key)).encode() for one in play.site.stories}


def _no_title(page: str) -> str:
    return re.sub(r'"headline":\s*"[^"]*",?', "", re.sub(r"<h1.*?</h1>", "", page, flags=re.DOTALL))


def _one_title(page: str) -> str:
    page = re.sub(r"<h1.*?</h1>", "<h1>Buy our clocks</h1>", page, flags=re.DOTALL)
    return re.sub(r'"headline": "[^"]*"', '"headline": "Buy our clocks"', page)


def _lamps(play: Play, **select: str) -> None:
    """Another source: one page with a list."""
    items = "".join(f'<li>{one} May 2031: Lamp {one} is lit. <i class="by">Ida Invented</i></li>' for one in "1234")
    page = f"<!doctype html><html><body><main><h1>Lamps</h1><ul>{items}</ul></main></body></html>"
    play.site.replaced["/changelog"] = page.encode()
    play.source(extractor="list", options={"path": "/changelog", "select": select})


@plays("look-held: it passes")
def _(play: Play) -> Scenario:
    play.begin("baseline")
    _everywhere(play, _no_title)
    play.look()
    yield
    play.site.replaced.clear()
    play.look()


@plays("look-held: somebody decides")
def _(play: Play) -> Scenario:
    play.begin("baseline")
    _everywhere(play, _one_title)
    held = play.look().look_id
    yield
    assert held is not None
    with play.open() as database:
        holds.refuse(database, held, why="a fault of theirs", now=play.now)


@plays("rename-question")
def _(play: Play) -> Scenario:
    play.begin("baseline")
    content = play.site.content
    twin = replace(content.shown[0], key=f"{content.shown[0].key}-moved")
    play.site.deploy(replace(content, stories=(*content.stories, twin)))
    play.look()
    yield
    with play.open() as database:
        [question] = holds.pending_renames(database)
        holds.resolve_rename(database, question.id, as_rename=False, why="they are two", now=play.now)


@plays("waits-for-approval")
def _(play: Play) -> Scenario:
    play.begin("news")
    play.change("newsletter", approval=True)
    [made] = publish(play.settings, now=play.clock)
    yield
    with play.open() as database:
        edit.approve(play.settings, database, 1, content_hash=made.issue.content_hash, now=play.now)


@plays("issue-paused")
def _(play: Play) -> Scenario:
    play.begin("issue")
    play.relay.fault("mail", None, f"550 5.7.1 go away, {READERS[0]}", 10)
    play.sends()
    yield
    play.relay.heal()
    with play.open() as database:
        edit.resume(database, 1)
    play.sends()


@plays("unknown-hand-overs")
def _(play: Play) -> Scenario:
    play.begin("issue")
    play.relay.fault("dot", None, DROP, 3)
    play.sends()
    yield
    with play.open() as database:
        for row in Ledger(database).rows(1):
            resolve_by_word(database, 1, row.address, "sent", "their log has it", now=play.now)


@plays("source-down")
def _(play: Play) -> Scenario:
    play.begin("baseline")
    here = play.site.url
    play.source(fetch_from="http://127.0.0.1:9")
    for _ in range(3):
        with pytest.raises(SourceDownError):
            play.look()
    yield
    play.source(fetch_from=here)
    play.look()


@plays("source-down: it is gone for good")
def _(play: Play) -> Scenario:
    play.begin("readers")
    _lamps(play)
    here = play.site.url
    play.hook.status = 410
    play.source(fetch_from=f"http://127.0.0.1:{play.hook.server.server_port}")
    with pytest.raises(SourceDownError):
        play.look()
    play.hook.status = 200
    yield
    play.source(fetch_from=here)
    scrape(play.settings, "clockwork", full=True, now=play.clock)


@plays("source-silent")
def _(play: Play) -> Scenario:
    play.begin("baseline")
    play.change("notify", silent_hours=26)
    play.now += 27 * HOUR
    yield
    play.look()


@plays("source-incomplete: a page is mended")
def _(play: Play) -> Scenario:
    play.begin("baseline")
    _broken_for(play, 3)
    yield
    play.site.replaced.clear()
    play.look()


@plays("source-incomplete: a page is broken for good, and left out")
def _(play: Play) -> Scenario:
    generic = {"milestones": ["/story/"], "listings": ["/"]}
    play.begin("readers")
    play.source(extractor="generic", options=generic)
    play.look()
    [path] = _broken_for(play, 3)
    yield
    play.source(options=generic | {"exclude": [path]})
    play.look()


@plays("source-incomplete: witnesses differ")
def _(play: Play) -> Scenario:
    play.begin("baseline")
    _everywhere(play, lambda page: re.sub(r'"headline": "', '"headline": "Quite another thing than ', page))
    play.change("notify", incomplete_looks=3)
    for _ in range(3):
        play.look()
    yield
    play.site.replaced.clear()
    play.look()


def _broken_for(play: Play, looks: int) -> list[str]:
    """The path of a page that is listed and answers 404 in so many looks."""
    path = f"/story/{play.site.content.shown[0].key}"
    play.site.replaced[path] = None
    play.change("notify", incomplete_looks=looks)
    for number in range(looks):
        assert not play.now_so("source-incomplete"), number
        play.look()
    return [path]


@plays("setting-silent")
def _(play: Play) -> Scenario:
    play.begin("readers")
    _lamps(play, people=".bye")
    play.look()
    yield
    _lamps(play, people=".by")
    play.look()


@plays("no-baseline")
def _(play: Play) -> Scenario:
    play.begin("readers")
    yield
    play.look()


@plays("overdue: news that no issue tells")
def _(play: Play) -> Scenario:
    play.begin("news")
    play.change("notify", overdue_hours=3)
    play.now += 4 * HOUR
    yield
    publish(play.settings, now=play.clock)
    play.sends()


@plays("overdue: an issue of which nothing is handed over")
def _(play: Play) -> Scenario:
    play.begin("issue")
    play.change("notify", overdue_hours=3)
    play.now += 4 * HOUR
    yield
    play.sends()


@plays("overdue: a freeze that was broken off")
def _(play: Play) -> Scenario:
    def die(_: object) -> None:
        raise KeyboardInterrupt

    play.begin("news")
    with play.open() as database:
        [draft] = draft_due(play.settings, database, now=play.clock)
        with pytest.raises(KeyboardInterrupt):
            freeze(play.settings, database, 1, content_hash=draft.content_hash, now=play.now, size=1, progress=die,
                   clock=play.clock)
    play.now += 11 * MINUTE
    yield
    publish(play.settings, now=play.clock)
    play.sends()


@plays("letters-wait")
def _(play: Play) -> Scenario:
    works = str(play.settings.mail.url.get_secret_value()) if play.settings.mail.url else ""
    play.begin("baseline")
    play.change("notify", overdue_hours=3)
    play.change("mail", url=NOWHERE)
    with play.open() as database:
        asked = Asked(address="new@readers.example", cadence="weekly", host="192.0.2.7")
        SigningUp(play.settings, database).ask(asked, play.now)
        send_letters(play.settings, database, now=play.clock)
    play.now += 4 * HOUR
    yield
    play.change("mail", url=works)
    with play.open() as database:
        assert send_letters(play.settings, database, now=play.clock).sent == 1


@plays("bounce-rate")
def _(play: Play) -> Scenario:
    yield from _came_back(play, REPORT, 3, action="failed", status="5.1.1", said="550 gone", message_id="<x@y.example>")


@plays("complaint-rate")
def _(play: Play) -> Scenario:
    yield from _came_back(play, COMPLAINT, 2)


def _came_back(play: Play, report: str, reports: int, **words: str) -> Scenario:
    made = made_once("many-were-sent", functools.partial(_sent_to_many, play))
    prepared.copy_file(made / "milepost.db", play.settings)
    arrivals = play.folder / "in" / "new"
    for part in ("new", "cur", "tmp"):
        (arrivals.parent / part).mkdir(parents=True)
    with play.open() as database:
        rows, key = Ledger(database).rows(1)[:reports], signing_key(play.settings, database)
        names = Bounces(database).names([row.id for row in rows])
        for row in rows:
            to = verp.make(key, base="bounces@clockwork.example", delivery_id=row.id, name=names[row.id])
            (arrivals / f"{row.id}").write_text(report.format(to=to, **words), encoding="utf-8")
        read_bounces(play.settings, database, "maildir:///in", now=play.now, folder=play.folder)
    yield
    play.now += CAME_BACK_FOR


def _sent_to_many(play: Play, folder: Path) -> None:
    play.begin("news")
    with play.open() as database:
        for number in range(MANY - len(READERS)):
            Subscribers(database).add(f"r{number}@readers.example", now=play.now - DAY)
    publish(play.settings, now=play.clock)
    play.sends()
    with play.open() as database:
        upkeep.backup(database, folder / "milepost.db")


@plays("restored")
def _(play: Play) -> Scenario:
    play.begin("sent")
    with play.open() as database:
        upkeep.backup(database, play.folder / "backup.db")
    upkeep.restore(play.settings, play.folder / "backup.db", replace=True)
    yield
    with play.open() as database:
        upkeep.confirm(database, "compared with the log", waiting="unknown", now=play.now)


@plays("migration")
def _(play: Play) -> Scenario:
    yield  # there is none yet
    upkeep.upgrade(play.settings)


@plays("database")
def _(play: Play) -> Scenario:
    file = prepared.file_of(play.settings)
    file.write_text("no database at all", encoding="utf-8")
    yield
    file.unlink()
    play.begin("baseline")


@plays("disk-space")
def _(play: Play) -> Scenario:
    play.begin("baseline")
    play.change("notify", disk_free_mb=10**9)
    yield
    play.change("notify", disk_free_mb=0)


@plays("notice-channel")
def _(play: Play) -> Scenario:
    play.begin("readers")
    play.hook.status = 500
    for _ in range(3):
        play.told()
        play.now += HOUR
    yield
    play.hook.status = 200
    play.now += HOUR
    play.told()


@plays("webhook")
def _(play: Play) -> Scenario:
    url = f"http://127.0.0.1:{play.hook.server.server_port}/gone"
    play.change("webhooks", urls=[url], secret=SECRET, allow_hosts=["127.0.0.1"])
    play.begin("baseline")
    with play.open() as database:
        post(play.settings, database, now=play.clock)
        play.site.publish()
        play.now += MINUTE
        play.look()
        play.hook.status = 410
        play.now += MINUTE
        assert post(play.settings, database, now=play.clock).given_up == 2
    play.hook.status = 200
    yield
    play.now += DAY + MINUTE  # two days after it


@plays("old-secret")
def _(play: Play) -> Scenario:
    play.begin("baseline")
    play.change("web", metrics_token="n" * 32, previous_metrics_token="o" * 32)
    play.told()
    play.now += 15 * DAY
    yield
    play.change("web", previous_metrics_token=None)


@plays("leaked-key")
def _(play: Play) -> Scenario:
    old, new = "o" * 32, "n" * 32
    play.begin("baseline")
    play.change("web", signing_key=new, previous_signing_keys=[old])
    with play.open() as database:
        leaked(play.settings, database, key_name(old.encode()), why="in a log", by="ann", now=play.now)
    play.change("web", signing_key=old, previous_signing_keys=[])
    yield
    play.change("web", signing_key=new, previous_signing_keys=[old])


@plays("clock-ahead")
def _(play: Play) -> Scenario:
    play.begin("baseline")
    play.change("notify", remind_hours=12)  # it is told of for a day
    play.now += 365 * DAY
    play.look()
    play.now -= 365 * DAY
    yield
    play.now += 12 * HOUR


@plays("runs-wait")
def _(play: Play) -> Scenario:
    def heard(*runs: tuple[str, dt.timedelta]) -> None:  # of Prefect's server; tests/pipeline/test_prefect.py asks one
        with play.open() as database:
            waiting_runs.note(database, play.now, runs)

    play.begin("baseline")
    play.each_day = lambda: heard(("hourly", 16 * MINUTE), (f"to-{READERS[0]}", 20 * MINUTE))
    play.each_day()
    yield
    heard()


@plays("runs-wait: nobody asks any more")
def _(play: Play) -> Scenario:
    play.begin("baseline")
    play.change("notify", remind_hours=12)
    with play.open() as database:
        waiting_runs.note(database, play.now, [("hourly", 16 * MINUTE)])
    yield
    play.now += 12 * HOUR


def _lasts(text: str) -> str:
    """What goes on to count: others fill the disk meanwhile."""
    return re.sub(r"\d+ (MB are free|attempts)", r"some \1", text)


# --- the tests --------------------------------------------------------------------------------------------------------


def test_every_kind_has_its_row_and_no_other_has() -> None:
    assert {name.partition(":")[0] for name in SCENARIOS} == set(CONDITION_KINDS)


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_is_told_once_again_after_a_day_and_when_it_is_over(play: Play, name: str) -> None:
    kind, scenario = name.partition(":")[0], SCENARIOS[name](play)
    channels = (1,) if kind == "notice-channel" else (0, 1)  # the other takes nothing

    def says(part: str, lasting: Sequence[Condition] = ()) -> bool:
        """One round: whether every channel is told what is so, or was, once, under that heading, in one message."""
        rounds = play.told()
        conditions = lasting or play.so(kind)
        found = [
            [section for message in map(_lasts, rounds[channel]) for section in message.split("\n\n")
             if f"{part}:\n" in section and all(section.count(f"- {_lasts(one.says)}") == 1 for one in conditions)]
            for channel in channels
        ]
        return all(len(one) == 1 for one in found)

    next(scenario)
    assert says("New")
    assert play.so(kind), "it is not so"
    assert all(one.do for one in play.so(kind))
    play.now += HOUR
    assert play.told() == ([], [])
    play.now += dt.timedelta(hours=play.settings.notify.remind_hours) - HOUR
    play.each_day()
    assert says("Still so")
    lasting = play.so(kind)
    assert lasting, "it ended by itself"

    next(scenario, None)
    assert not says("Over", lasting)
    assert play.so(kind) == []
    play.now += HOUR + MINUTE
    assert says("Over", lasting)
    assert play.so(kind) == []
    play.now += HOUR
    assert play.told() == ([], [])
    heard = json.dumps(play.hook.heard) + "".join(one.content.decode() for one in play.ops.taken)
    assert heard
    assert "readers.example" not in heard


def test_what_a_source_mutes_is_told_of_it_no_more_and_shown_still(play: Play) -> None:
    play.begin("baseline")
    [path] = _broken_for(play, 3)
    first = play.told()
    for [message] in first:
        assert "clockwork is incomplete: of its last 3 looks none was whole, the latest: " in message
        assert f"https://clockwork.example{path}: listed, but it answers 404" in message
    play.source(mute=["source-incomplete"])
    play.now += HOUR
    assert play.told() == ([], [])
    play.now += HOUR + MINUTE
    for [message] in play.told():
        assert "Over:\n- clockwork is incomplete: of its last 3 looks" in message
    play.now += 2 * DAY
    assert play.told() == ([], [])
    assert play.so("source-incomplete")
    told = standing_to_json(stand(play.settings, now=play.now), play.settings)["conditions"]
    assert [one["muted"] for one in told if one["kind"] == "source-incomplete"] == [True]

    play.change("notify", silent_hours=26)
    for [message] in play.told():
        assert "no look at clockwork has ended" in message, "another alarm of that source is muted too"


def test_what_a_held_look_lacked_is_told_once_and_again_when_the_hold_is_decided(play: Play) -> None:
    play.begin("baseline")
    play.change("notify", incomplete_looks=3)
    _everywhere(play, _no_title)
    held = play.look().look_id
    for _ in range(3):
        play.look()
    assert held is not None
    assert (bool(play.now_so("look-held")), play.now_so("source-incomplete")) == (True, [])
    play.change("notify", mute=["look-held"])
    assert play.now_so("source-incomplete"), "where nobody is told of the hold"
    play.change("notify", mute=[])
    with play.open() as database:
        read = figures.read(database, ["clockwork"], looks=3, asked=3, now=play.now)
        for guard, told in (("surge", True), ("drift", False)):
            waits = [Waits(kind="held", about="source clockwork", why="", since=None, command="", guard=guard)]
            found = judge(read, play.settings.notify, now=play.now, waits=waits, overdue={})
            assert ("source-incomplete" in {one.kind for one in found}) is told, guard
        holds.refuse(database, held, why="a fault of theirs", now=play.now)
    play.look()
    assert play.now_so("look-held") == []
    assert play.now_so("source-incomplete"), "it is decided, and stays so"


def test_a_storm_is_one_message_a_channel_and_its_end_is_one(play: Play) -> None:
    play.begin("readers")
    one = play.settings.sources[0]
    play.settings = play.settings.model_copy(update={
        "sources": [one.model_copy(update={"key": f"site-{number}"}) for number in range(60)]
    })
    for told in play.told():
        [message] = told
        assert message.startswith("Clockwork: 60 things want you\nNew:")
        assert message.count("\n- site-") == MOST_LINES
        assert f"- … and {60 - MOST_LINES} more" in message
    play.now += DAY
    for told in play.told():
        [message] = told
        assert message.count("\n- ") == MOST_LINES + 1
    play.settings = play.settings.model_copy(update={"sources": []})
    assert play.told() == ([], [])
    play.now += HOUR + MINUTE
    for told in play.told():
        [message] = told
        assert message.startswith("Clockwork: 60 things are over\nOver:")
        assert message.count("\n- ") == MOST_LINES + 1
