"""Operators are told: each thing once, again each day while it lasts, when it is over; and nothing on the way hurts."""

import datetime as dt
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from console.commands.operate import _conditions, _sources
from delivery.channels import ChannelAddress
from milepost.records import CONDITION_KINDS
from milepost.settings import Settings, parse
from pipeline.operate.conditions import Condition, muted, plain
from pipeline.operate.notices import FOLDER, GIVE_UP, notify
from pipeline.operate.standing import stand
from pipeline.operate.telling import MOST_LINES, SETTLE, Telling, decide
from store.database import Database, connect
from store.ledger.bounces import Bounces, Notice
from store.milestones.looks import Looks
from store.operators.notices import LONGEST_WAIT, Notices
from store.operators.notices import Notice as Told
from store.schema import tables
from tests.console.terminal import milepost
from tests.pipeline import prepared

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
HOUR, MINUTE = dt.timedelta(hours=1), dt.timedelta(minutes=1)


def held(number: int = 1) -> Condition:
    return Condition(kind="look-held", about=f"look {number}", says=f"site {number} is held: a surge", do="Look at it.")


def told(
    conditions: Sequence[Condition], known: Sequence[Told] = (), *, now: dt.datetime = NOW,
    last: dt.datetime | None = None,
) -> Telling:
    return decide(conditions, known, now=now, name="Clockwork", last_message=last, every=15 * MINUTE, remind=24 * HOUR)


# --- deciding ---------------------------------------------------------------------------------------------------------


def test_a_thing_is_told_once_with_what_to_do() -> None:
    first = told([held()])
    assert first.news is not None
    assert first.news.title == "Clockwork: site 1 is held: a surge"
    assert "- site 1 is held: a surge. Look at it." in first.news.body
    assert told([held()], first.known, now=NOW + HOUR, last=NOW).news is None


def test_what_lasts_is_told_again_each_day_all_of_it_in_one_message() -> None:
    first = told([held(1)])
    second = told([held(1), held(2)], first.known, now=NOW + HOUR, last=NOW)
    assert second.news is not None
    assert "site 1" not in second.news.body
    assert "1 more is still so." in second.news.body
    reminder = told([held(1), held(2)], second.known, now=NOW + 24 * HOUR, last=NOW + HOUR)
    assert reminder.news is not None
    assert reminder.news.body.count("Still so:") == 1
    assert all(f"site {number}" in reminder.news.body for number in (1, 2))
    assert told([held(1), held(2)], reminder.known, now=NOW + 25 * HOUR, last=NOW + 24 * HOUR).news is None


def test_it_is_over_once_it_was_gone_for_an_hour_and_that_is_told_once() -> None:
    known = told([held()]).known
    gone = told([], known, now=NOW + HOUR, last=NOW)
    assert gone.news is None
    over = told([], gone.known, now=NOW + HOUR + SETTLE, last=NOW)
    assert over.news is not None
    assert over.news.title == "Clockwork: over: site 1 is held: a surge"
    assert over.known == ()


def test_what_comes_and_goes_is_the_same_thing_still() -> None:
    known, messages = told([held()]).known, 1
    for step in range(1, 12):  # every other half hour it is gone
        decided = told([held()] if step % 2 else [], known, now=NOW + step * HOUR / 2, last=NOW)
        known, messages = decided.known, messages + (decided.news is not None)
    assert messages == 1


def test_a_storm_is_one_message_of_a_few_lines_and_the_next_waits() -> None:
    storm = told([held(number) for number in range(200)])
    assert storm.news is not None
    assert storm.news.title == "Clockwork: 200 things want you"
    assert storm.news.body.count("\n- site") == MOST_LINES
    assert f"- … and {200 - MOST_LINES} more" in storm.news.body
    more = [held(number) for number in range(201)]
    assert told(more, storm.known, now=NOW + 14 * MINUTE, last=NOW).news is None
    assert told(more, storm.known, now=NOW + 15 * MINUTE, last=NOW).news is not None


def test_what_came_and_went_before_anybody_was_told_is_not_said_to_be_over() -> None:
    first = told([held(1)])
    came = told([held(1), held(2)], first.known, now=NOW + MINUTE, last=NOW)  # too soon after the last message
    assert came.news is None
    gone = told([held(1)], came.known, now=NOW + 2 * MINUTE, last=NOW)
    assert [one.key for one in gone.known] == [held(1).key]
    assert told([held(1)], gone.known, now=NOW + SETTLE + HOUR, last=NOW).news is None


def test_who_missed_a_message_is_told_all_that_stands() -> None:
    decided = told([held(1), held(2)], told([held(1)]).known, now=NOW + HOUR, last=NOW)
    assert decided.whole is not None
    assert all(f"site {number}" in decided.whole.body for number in (1, 2))


@pytest.mark.parametrize(("given", "shown"), [
    ("550 5.1.1 <ada@readers.example>: no such user", "550 5.1.1 ‹(an address)›: no such user"),
    ('"ada l"@readers.example is full', "(an address) is full"),
    ("to=ada%40readers.example", "(an address)"),
    ("news+ada=readers.example@bounces.example bounced", "(an address) bounced"),
    ("<!channel> \x1b[31mwake up @everyone", "‹!channel› \\x1b[31mwake up (at)everyone"),
])
def test_nothing_that_is_told_has_an_address_or_a_command(given: str, shown: str) -> None:
    assert plain(given) == shown


# --- what is so -------------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return _settings(tmp_path)


def _settings(folder: Path, **notify: object) -> Settings:
    return parse({
        "store": {"url": f"sqlite:///{folder}/milepost.db"}, "newsletter": {"name": "Clockwork", "quiet_minutes": 0},
        "sources": [{"key": "clockwork", "extractor": "sample", "base_url": "https://clockwork.example"}],
        "mail": {"from": "Clockwork <news@clockwork.example>"},
        "notify": {"urls": ["json://first.example", "json://second.example"], "disk_free_mb": 0} | notify,
    })


def kinds(settings: Settings, *, now: dt.datetime | None = None) -> set[str]:
    return {one.kind for one in stand(settings, now=now or dt.datetime.now(dt.UTC)).conditions}


@pytest.mark.parametrize(("stage", "expected"), [
    ("readers", {"no-baseline"}), ("baseline", set()), ("news", set()), ("issue", set()),
])
def test_what_is_well_is_no_alarm(stage: prepared.Stage, expected: set[str], settings: Settings) -> None:
    prepared.copy(stage, settings)
    assert kinds(settings) == expected


def test_what_is_due_and_not_done_and_a_site_that_is_silent(settings: Settings) -> None:
    prepared.copy("issue", settings)
    later = dt.datetime.now(dt.UTC) + 4 * HOUR
    assert kinds(settings, now=later) == {"overdue"}
    assert kinds(settings, now=later + 24 * HOUR) == {"overdue", "source-silent"}


def test_news_that_no_issue_tells(settings: Settings) -> None:
    prepared.copy("news", settings)
    found = stand(settings, now=dt.datetime.now(dt.UTC) + 4 * HOUR).conditions
    assert [(one.kind, one.about) for one in found] == [("overdue", "instant")]


def test_what_a_clock_wrote_that_was_ahead_hides_no_silence_and_is_told(settings: Settings) -> None:
    prepared.copy("issue", settings)
    ahead = dt.datetime.now(dt.UTC)
    before = ahead - dt.timedelta(days=365)
    with connect(settings.store.url) as database, database.begin() as connection:
        connection.execute(sa.insert(tables.letter).values(
            kind="confirm", address="a@readers.example", address_hash="h", day="2026-11-23", state="queued",
            queued_at=ahead, next_attempt_at=ahead + HOUR, why="",
        ))
    found = {one.kind: one for one in stand(settings, now=before).conditions}
    assert found.keys() == {"overdue", "source-silent", "letters-wait", "clock-ahead"}
    assert all(found[kind].says.endswith("since nobody knows when") and found[kind].since is None
               for kind in ("overdue", "source-silent", "letters-wait"))
    assert "letters (1), looks (1)" in found["clock-ahead"].says
    assert "clock-ahead" in kinds(settings, now=before + 23 * HOUR)
    assert "clock-ahead" not in kinds(settings, now=before + 25 * HOUR)


def test_each_look_that_fails_and_each_that_is_held(settings: Settings) -> None:
    prepared.copy("baseline", settings)
    with connect(settings.store.url) as database:
        looks = Looks(database)
        for _ in range(2):
            looks.finish(looks.start("clockwork", NOW), state="failed", now=NOW, failures=["no answer"])
        assert "source-down" not in kinds(settings)
        looks.finish(looks.start("clockwork", NOW), state="failed", now=NOW, failures=["no answer of x@site.example"])
        down = next(one for one in stand(settings, now=NOW).conditions if one.kind == "source-down")
        assert down.says.endswith("the last: no answer of (an address)")
        look = looks.start("clockwork", NOW)
        looks.finish(look, state="complete", now=NOW, held="a surge")
        assert kinds(settings) >= {"look-held"}
        assert "source-down" not in kinds(settings)
        looks.release(look, "looked at", NOW)
        assert "look-held" not in kinds(settings)


def test_looks_that_say_nothing_of_the_pages_neither_begin_nor_end_a_row_of_incomplete_ones(settings: Settings) -> None:
    prepared.copy("baseline", settings)
    with connect(settings.store.url) as database:
        looks = Looks(database)

        def look(state: Any = "complete", **found: Any) -> bool:
            looks.finish(looks.start("clockwork", NOW), state=state, now=NOW, **found)
            return "source-incomplete" in kinds(settings)

        broken = {"listed": 10, "failed": 3, "failures": ["/a: 500 of x@site.example.", "/b: 500", "/c: 500"]}
        for _ in range(5):
            assert not look(**broken)
            assert not look(), "it ended at the poll page"
        assert look("incomplete", failures=["/sitemap.xml: 500"])
        assert look("failed", failures=["no answer"])
        assert look()
        assert look(**broken)
        [one] = [one for one in stand(settings, now=NOW).conditions if one.kind == "source-incomplete"]
        assert one.says == (
            "clockwork is incomplete: of its last 6 looks none was whole, the latest: "
            "/a: 500 of (an address) (and 2 more)"
        )
        assert not look(listed=10, silent=["the setting people finds nothing"]), "that has an alarm of its own"
        for _ in range(5):
            assert not look(listed=10, degraded=["the witnesses of title differ"])
        assert look(listed=10, degraded=["the witnesses of title differ"])
        assert not look(listed=10)


def test_a_ledger_in_doubt_a_pause_and_what_came_back(settings: Settings) -> None:
    prepared.copy("issue", settings)
    with connect(settings.store.url) as database:
        _grow(database, 40)
        bounces = Bounces(database)
        for number in range(1, 4):
            notice = Notice(digest=f"{number}", grade="hard", delivery_id=number)
            bounces.record(notice, bounces.trace([notice], {})[notice.digest], NOW)
        with database.begin() as connection:
            connection.execute(sa.update(tables.issue).values(state="paused", pause_reason="550 go away, a@r.example"))
            connection.execute(sa.update(tables.delivery).where(tables.delivery.c.id == 9).values(state="unknown"))
        found = {one.kind: one for one in stand(settings, now=dt.datetime.now(dt.UTC)).conditions}
        assert found.keys() == {"issue-paused", "unknown-hand-overs", "bounce-rate"}
        assert found["issue-paused"].says == "issue 1: it is paused: 550 go away, (an address)"
        for number in range(4, 6):
            notice = Notice(digest=f"{number}", grade="complaint", delivery_id=number)
            bounces.record(notice, bounces.trace([notice], {})[notice.digest], NOW)
        assert "complaint-rate" in kinds(settings)


def _grow(database: Database, deliveries: int) -> None:
    """So many readers were sent issue 1."""
    with database.begin() as connection:
        row = dict(connection.execute(sa.select(tables.delivery)).mappings().first() or {})
        who = dict(connection.execute(sa.select(tables.subscriber)).mappings().first() or {})
        connection.execute(sa.delete(tables.delivery))
        for number in range(1, deliveries + 1):
            address = f"r{number}@readers.example"
            same = {"id": number + 100, "address": address, "normalized": address, "handle": f"{number:020}"}
            connection.execute(sa.insert(tables.subscriber).values(**(who | same)))
            connection.execute(sa.insert(tables.delivery).values(**(row | {
                "id": number, "subscriber": number + 100, "address": address, "normalized": address, "state": "sent",
            })))


def test_a_database_that_is_older_or_out_of_reach_is_a_condition(settings: Settings, tmp_path: Path) -> None:
    assert kinds(settings) == {"migration"}
    (tmp_path / "milepost.db").write_text("no database at all", encoding="utf-8")
    assert kinds(settings) == {"database"}


def test_a_full_disk_is_told_also_where_the_database_is_gone(tmp_path: Path) -> None:
    assert kinds(_settings(tmp_path, disk_free_mb=10**9)) == {"migration", "disk-space"}


# --- telling ----------------------------------------------------------------------------------------------------------


class Heard:
    """Channels in memory; those in `deaf` take nothing."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, str, str]] = []
        self.deaf: set[int] = set()

    def __call__(self, channel: ChannelAddress, title: str, body: str) -> str | None:
        if channel.place in self.deaf:
            return "nobody answers"
        self.messages.append((channel.place, title, body))
        return None


def test_each_channel_is_told_and_one_that_is_down_is_told_later_all_that_stands(
    settings: Settings, tmp_path: Path
) -> None:
    prepared.copy("readers", settings)
    heard = Heard()
    heard.deaf = {2}
    done = notify(settings, folder=tmp_path, now=lambda: NOW, tell=heard)
    assert (done.sent, done.failed) == (1, ("channel 2 (json) did not take a notice: nobody answers",))
    assert notify(settings, folder=tmp_path, now=lambda: NOW + MINUTE, tell=heard).failed == ()  # not asked again yet
    for later in (NOW + HOUR, NOW + 2 * HOUR, NOW + 3 * HOUR):
        assert notify(settings, folder=tmp_path, now=partial(dt.datetime.fromtimestamp, later.timestamp(), dt.UTC),
                      tell=heard).failed
    with connect(settings.store.url) as database:
        assert {message.attempts for message in Notices(database).latest().values()} == {1, 4}
        assert "notice-channel" in kinds(settings)
    heard.deaf = set()
    notify(settings, folder=tmp_path, now=lambda: NOW + 5 * HOUR, tell=heard)
    last = heard.messages[-1]
    assert last[0] == 2
    assert "has no baseline" in last[2]
    assert len([message for message in heard.messages if message[0] == 2]) == 1  # no flood of what it missed


def test_a_message_that_nobody_takes_for_days_is_given_up_and_counted(settings: Settings, tmp_path: Path) -> None:
    """It says that all is over: of what lasts there is another each day, which takes its place."""
    prepared.copy("readers", settings)
    heard = Heard()
    notify(settings, folder=tmp_path, now=lambda: NOW, tell=heard)
    settings, heard.deaf = _settings(tmp_path, mute=list(CONDITION_KINDS)), {1, 2}
    notify(settings, folder=tmp_path, now=lambda: NOW + HOUR, tell=heard)
    over = NOW + HOUR + SETTLE

    def at(moment: dt.datetime) -> set[tuple[str, str]]:
        notify(settings, folder=tmp_path, now=lambda: moment, tell=heard)
        with connect(settings.store.url) as database:
            latest = Notices(database).latest().values()
        assert {one.created_at for one in latest} == {over}
        return {(one.state, one.why) for one in latest}

    assert at(over) == at(over + GIVE_UP - MINUTE) == {("queued", "nobody answers")}
    assert at(over + GIVE_UP - MINUTE + LONGEST_WAIT) == {("dropped", "nobody answers")}
    heard.deaf = set()
    assert at(over + GIVE_UP + 2 * LONGEST_WAIT) == {("dropped", "nobody answers")}


def test_a_message_is_tried_again_ever_more_seldom_and_each_hour_in_the_end(
    settings: Settings, tmp_path: Path
) -> None:
    prepared.copy("readers", settings)
    heard, now, waits = Heard(), NOW, []
    heard.deaf = {1, 2}
    for _ in range(8):
        notify(settings, folder=tmp_path, now=lambda: now, tell=heard)  # noqa: B023 (asked at once)
        with connect(settings.store.url) as database:
            [again_at] = {one.next_attempt_at for one in Notices(database).latest().values()}
        waits.append((again_at - now) // MINUTE)
        now = again_at
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]


def test_without_a_database_it_is_told_once_too_and_over_when_it_is_back(settings: Settings, tmp_path: Path) -> None:
    heard = Heard()
    heard.deaf = {1, 2}
    assert len(notify(settings, folder=tmp_path, now=lambda: NOW - MINUTE, tell=heard).failed) == 2
    heard.deaf = set()  # what nobody took was told to nobody
    assert notify(settings, folder=tmp_path, now=lambda: NOW, tell=heard).sent == 2
    assert notify(settings, folder=tmp_path, now=lambda: NOW + HOUR, tell=heard).sent == 0
    assert (tmp_path / FOLDER / "told.json").exists()
    prepared.copy("baseline", settings)
    notify(settings, folder=tmp_path, now=lambda: NOW + 2 * HOUR, tell=heard)
    notify(settings, folder=tmp_path, now=lambda: NOW + 4 * HOUR, tell=heard)
    assert heard.messages[-1][1].startswith("Clockwork: over: ")
    assert not (tmp_path / FOLDER / "told.json").exists()


def test_a_source_mutes_nothing_of_another(settings: Settings) -> None:
    [one] = settings.sources
    two = (one.model_copy(update={"mute": ("source-incomplete",)}), one.model_copy(update={"key": "other"}))
    settings = settings.model_copy(update={"sources": two})
    assert [muted(Condition(kind="source-incomplete", about=about, says="", do=""), settings)
            for about in (one.key, "other")] == [True, False]


def test_what_is_muted_is_shown_and_not_told(tmp_path: Path) -> None:
    settings = _settings(tmp_path, mute=["no-baseline"])
    prepared.copy("readers", settings)
    heard = Heard()
    assert notify(settings, folder=tmp_path, now=lambda: NOW, tell=heard).sent == 0
    assert kinds(settings) == {"no-baseline"}


# --- on the command line ----------------------------------------------------------------------------------------------


def test_status_says_what_waits_and_ends_with_3(settings: Settings, tmp_path: Path) -> None:
    prepared.copy("baseline", settings)
    (tmp_path / "milepost.toml").write_text(
        prepared.SETTINGS.format(site="http://127.0.0.1:9", smtp=9) + "[notify]\ndisk_free_mb = 0\n", encoding="utf-8"
    )
    calm = milepost("status", cwd=tmp_path)
    assert (calm.returncode, calm.stderr) == (0, "")
    assert "Nothing waits for you, and nothing is wrong." in calm.stdout
    with connect(settings.store.url) as database:
        looks = Looks(database)
        looks.finish(looks.start("clockwork", NOW), state="complete", now=NOW, held="a surge")
    waits = milepost("status", "--json", cwd=tmp_path)
    assert waits.returncode == 3
    told = json.loads(waits.stdout)
    assert "look-held" in {one["kind"] for one in told["conditions"]}
    assert "@" not in waits.stdout


def test_status_is_a_screen_however_many_have_the_same_trouble() -> None:
    one = {"kind": "no-baseline", "decide": False, "says": "site has none", "do": "Look."}
    lines = list(_conditions([{**one, "kind": "look-held", "decide": True}, *[one] * 40]))
    assert [line.partition(":")[0] for line in lines[:4]] == ["Waits for you (look-held)", *["Wrong (no-baseline)"] * 3]
    assert lines[4:] == ["    … and 37 more (no-baseline); --all shows them."]
    assert len(list(_conditions([one] * 3))) == 3
    assert len(list(_conditions([one] * 40, most=None))) == 40


def test_status_names_the_sources_with_trouble_first_and_how_many_others_there_are() -> None:
    def source(number: int, state: str | None = "complete", **more: Any) -> dict[str, Any]:
        return {"source": f"site-{number}", "state": state, "held": False, "failed_pages": 0} | more

    def shown(sources: Sequence[dict[str, Any]], most: int | None) -> tuple[list[int], str]:
        rows, others = _sources(sources, wrong, most=most)
        return [int(one["source"].removeprefix("site-")) for one in rows], others

    wrong = [{"kind": "source-silent", "about": "site-9"}, {"kind": "overdue", "about": "site-1"}]
    several = [*(source(number) for number in range(10)), source(10, None), source(11, held=True),
               source(12, failed_pages=2), source(13, "failed"), source(14)]
    assert shown(several, 6) == ([9, 10, 11, 12, 13, 0], "… and 9 more, all well; --all shows them.")
    assert shown(several, 4) == ([9, 10, 11, 12], "… and 11 more, 1 of them with trouble; --all shows them.")
    assert shown(several, None) == ([*range(15)], "")
    assert shown(several, 15) == ([*range(15)], "")


def test_status_of_forty_sources_is_a_screen_of_80_columns(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared.copy("baseline", settings)
    one = settings.sources[0].model_dump(exclude_defaults=True, mode="json")
    many = ["\n".join(["[[sources]]", *(f"{name} = {json.dumps(value)}" for name, value in
                                       (one | {"key": f"a-site-with-a-long-name-{number}"}).items())])
            for number in range(40)]
    file = prepared.file_of(settings).with_name("milepost.toml")
    file.write_text(f'[store]\nurl = "{settings.store.url}"\n' + "\n".join(many), encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "80")
    lines = milepost("--config", str(file), "status").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "… and 30 more, 30 of them with trouble; --all shows them." in lines
    assert len(lines) <= 40
    everything = milepost("--config", str(file), "status", "--all").stdout.splitlines()
    assert sum("a-site" in line for line in everything) >= 80


ALARMS = Path(__file__).parents[2] / "docs" / "operations" / "alarms.md"


def test_every_alarm_has_its_heading_and_no_other_has() -> None:
    headings = [line[4:-1] for line in ALARMS.read_text(encoding="utf-8").splitlines() if line.startswith("## `")]
    assert sorted(headings) == sorted(CONDITION_KINDS)
