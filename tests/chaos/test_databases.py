"""What the database does to a dispatch: it is full, locked, restarted, cut off, or its clock is wrong."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import sqlalchemy as sa

from store.database import connect
from tests.chaos import clocks, runner
from tests.chaos.backends import Backend, Postgresql, Sqlite
from tests.chaos.conftest import Size, Told

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("step", ["T1", "T3", "T4"])
def test_a_full_disk(step: str, tmp_path: Path, small_disk: Path, sqlite: Sqlite, size: Size, told: Told) -> None:
    """No body leaves without its T3; the dispatch ends with a sentence, and goes on when there is room again."""
    with runner.world(small_disk, sqlite, 100, seed=size.seed, gap_ms=5) as here:
        child = here.start(point=f"before-{step}", count=2, trap=f"fill {small_disk}", lease=1)
        said = child.end()
        assert (tmp_path / "reached").exists()
        assert said.startswith("StoreError"), said
        assert "the disk is full" in said
        # each one that was taken had its T3 before the disk was full
        with connect(here.url) as database, database.connect() as connection:
            begun = sa.text("SELECT count(*) FROM delivery WHERE first_attempt_at IS NOT NULL")
            assert len(here.lines("took")) <= connection.execute(begun).scalar_one()
        (small_disk / "ballast").unlink()
        here.finish()
        verdict = here.verdict()
    told(f"F9 disk full at {step}", sqlite, verdict, at_most=size.connections if step != "T1" else 0)


def test_a_full_disk_that_is_freed_in_time(
    tmp_path: Path, small_disk: Path, sqlite: Sqlite, size: Size, told: Told
) -> None:
    """A result that finds no room is tried again: what was sent does not become a doubt."""
    with runner.world(small_disk, sqlite, 100, seed=size.seed, gap_ms=5) as here:
        child = here.start(point="before-T4", count=2, trap=f"fill {small_disk}", record_tries=8)
        while not (tmp_path / "reached").exists():
            time.sleep(0.02)
        time.sleep(0.5)
        (small_disk / "ballast").unlink()
        child.end()
        here.finish()
        verdict = here.verdict()
    told("F9 disk full, freed in time", sqlite, verdict)
    assert verdict.states == {"sent": 100}


@contextmanager
def held(url: str) -> Iterator[None]:
    """Somebody else writes, and takes their time."""
    with connect(url) as database, database.begin() as connection:
        if database.dialect == "postgresql":
            connection.execute(sa.text("LOCK TABLE delivery IN EXCLUSIVE MODE"))
        yield


@contextmanager
def second(here: runner.World, folder: Path) -> Iterator[None]:
    """The database is held from where a dispatcher with a trap of `hold` has come: its next step meets it."""
    while not (folder / "reached").exists():
        assert here.children[-1].process.exitcode is None, here.children[-1].end()
        time.sleep(0.02)
    with held(here.url):
        (folder / "go").touch()
        yield


@pytest.mark.parametrize(
    ("point", "count", "tries"), [("before-T3", 1, 8), ("before-T4", 20, 2)], ids=["a-beginning", "a-result"]
)
def test_a_second_writer_who_never_ends(
    point: str, count: int, tries: int, tmp_path: Path, backend: Backend, size: Size, told: Told
) -> None:
    """The dispatcher gives up: at a beginning, which is given back, after one try; at a result, which is in doubt."""
    with runner.world(tmp_path, backend, size.few * 2, seed=size.seed, gap_ms=20) as here:
        child = here.start(wait=1.0, record_tries=tries, point=point, count=count, trap=f"hold {tmp_path}")
        with second(here, tmp_path):
            said = child.end(60)
        here.finish()
        verdict = here.verdict()
    told(f"F10 a second writer, for good, {point}", backend, verdict, at_most=size.connections)
    assert said.startswith(("StoreError", "BusyError"))
    assert "locked by another program" in said
    assert bool(verdict.unknown) == (point == "before-T4")


@pytest.mark.parametrize(("patience", "tries"), [(1.0, 8), (20.0, 1)], ids=["tries-again", "waits"])
def test_a_second_writer(
    patience: float, tries: int, tmp_path: Path, backend: Backend, size: Size, told: Told
) -> None:
    """It holds the database for 5 s: a result waits for it, or is tried again, since its mail is out.

    Nothing is sent meanwhile that has no T3; what begins has one try only, and is sent by the next dispatcher.
    """
    with runner.world(tmp_path, backend, size.few * 2, seed=size.seed, gap_ms=20) as here:
        child = here.start(wait=patience, record_tries=tries, point="before-T4", count=20, trap=f"hold {tmp_path}")
        with second(here, tmp_path):
            begin = time.monotonic()
            time.sleep(5.0)
            end = time.monotonic()
        said = child.end()
        here.finish()
        verdict = here.verdict()
        meanwhile = [line for line in here.lines("took") if begin < line.at < end]
    told(f"F10 a second writer, for 5 s, patience {patience:g} s", backend, verdict)
    assert len(meanwhile) <= size.connections
    assert verdict.states == {"sent": size.few * 2}
    assert said.startswith("complete") or (patience < 5 and "locked by another program" in said)


@pytest.mark.parametrize("seconds", [3600, -3600, 86400, -86400], ids=["+1h", "-1h", "+1d", "-1d"])
def test_the_clock_jumps(seconds: int, tmp_path: Path, backend: Backend, size: Size, told: Told) -> None:
    """During the leases of two dispatchers, one of which dies of it and one of which goes on; a third comes."""
    with runner.world(tmp_path, backend, size.few * 4, seed=size.seed, gap_ms=50) as here:
        file = tmp_path / "clock"
        clock = clocks.prepare(here.url, file)
        here.order = replace(here.order, clock=file)
        with clock.set():
            first, second = here.start(), here.start()
            here.until(30)
            clocks.jump(here.url, file, seconds)
            first.kill()
            third = here.start()
            for child in (second, third):
                child.end()
            begin = time.monotonic()
            here.finish()
            took = time.monotonic() - begin
            verdict = here.verdict()
    told(f"F11 the clock jumps by {seconds:+} s", backend, verdict, at_most=3 * size.connections)
    assert took < 30, "a lease had no end"


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_the_server_restarts(
    how: Literal["fast", "immediate"], tmp_path: Path, own_postgresql: Postgresql, size: Size, told: Told
) -> None:
    with runner.world(tmp_path, own_postgresql, size.few * 4, seed=size.seed, gap_ms=20) as here:
        for goal in (30, 120):
            child = here.start()
            here.until(goal)
            own_postgresql.restart(how)
            child.end()
        here.finish()
        verdict = here.verdict()
    told(f"F13 server restarted, {how}", own_postgresql, verdict, at_most=2 * size.connections)


@pytest.mark.parametrize("word", ["COMMIT", "begin"], ids=["a-claim", "a-batch"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_cut_in_commit(
    when: str, word: str, tmp_path: Path, own_postgresql: Postgresql, size: Size, told: Told
) -> None:
    """Before: the transaction never was. After: it was, and whoever made it doesn't know. `begin` is T3's statement in
    a batch that is its own commit (`store.ledger.writers`).
    """
    with runner.world(tmp_path, own_postgresql, size.few * 4, seed=size.seed) as here:
        plan = {
            "to": str(own_postgresql.socket), "seed": size.seed, "word": word, "from": "client", "when": when,
            "share": 0.2 if word == "begin" else 0.5, "times": 20,
        }
        (tmp_path / "proxy.json").write_text(json.dumps(plan))
        log = tmp_path / "proxy.log"
        with runner.program("proxy.py", str(tmp_path / "proxy.json"), str(log)) as port:
            direct = sa.make_url(here.url)
            cut = direct.difference_update_query(["host"]).set(host="127.0.0.1", port=port)
            here.order = replace(here.order, url=cut.render_as_string(hide_password=False))
            here.finish()
        verdict = here.verdict()
        cuts = len(log.read_text().splitlines())
    told(f"F13 cut {when} {word} ({cuts} times)", own_postgresql, verdict, at_most=cuts * size.connections)
    assert cuts >= (5 if word == "begin" else 1)


def test_two_at_once_while_the_server_restarts(
    tmp_path: Path, own_postgresql: Postgresql, size: Size, told: Told
) -> None:
    with runner.world(tmp_path, own_postgresql, size.few * 4, seed=size.seed, gap_ms=20) as here:
        children = [here.start(), here.start()]
        here.until(30)
        restart = threading.Thread(target=own_postgresql.restart, args=("immediate",))
        restart.start()
        late = here.start()
        restart.join()
        for child in [*children, late]:
            child.end()
        here.finish()
        verdict = here.verdict()
    told("F13 restarted under three", own_postgresql, verdict, at_most=3 * size.connections)
