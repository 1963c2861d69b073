"""Several pieces of work side by side: bounded, in order, each its own trouble, and ended together."""

import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import pytest

from milepost.errors import InputError, MilepostError, SourceDownError, StoreError, UnderWayError
from milepost.settings import Settings, load
from pipeline.look.look_at_several import chosen, look_at_several
from pipeline.several import Stop, UnfinishedError, side_by_side
from pipeline.upkeep import open_or_make
from tests.pipeline.prepared import SETTINGS

PATIENCE_S = 30.0  # of an event that comes at once, or never


class Party:
    """Work of which each piece waits until `many` are under way at once; remembers the most that ever were."""

    def __init__(self, many: int) -> None:
        self._barrier, self._lock, self._here, self.most = threading.Barrier(many), threading.Lock(), 0, 0

    def __call__(self, piece: str, _stop: Stop) -> str:
        with self._lock:
            self._here += 1
            self.most = max(self.most, self._here)
        self._barrier.wait(PATIENCE_S)
        with self._lock:
            self._here -= 1
        return piece.upper()


def run(
    pieces: str, work: Callable[[str, Stop], Any], *, at_once: int = 2, apart: Callable[[str], Hashable] = str,
    hopeless: Callable[[BaseException], bool] = lambda _error: False,
) -> list[tuple[str, Any]]:
    return side_by_side(pieces, work, at_once=at_once, apart=apart, hopeless=hopeless)


def test_as_many_as_may_go_side_by_side_and_the_order_stays() -> None:
    party = Party(2)
    assert run("dacbda", party) == [("d", "D"), ("a", "A"), ("c", "C"), ("b", "B")]
    assert party.most == 2


def test_one_that_hangs_keeps_no_other_from_being_done() -> None:
    others_done, left = threading.Event(), set("abcdef")

    def work(piece: str, _stop: Stop) -> str:
        if piece == "a":
            assert others_done.wait(PATIENCE_S)
            return "late"
        left.discard(piece)
        if left == {"a"}:
            others_done.set()
        return "done"

    assert [came_to for _, came_to in run("abcdef", work)] == ["late", *["done"] * 5]


def test_one_that_fails_is_told_in_its_place_and_stops_no_other() -> None:
    def work(piece: str, _stop: Stop) -> str:
        if piece == "b":
            raise SourceDownError("no answer", where=piece)
        return piece

    assert [str(came_to) for _, came_to in run("abc", work)] == ["a", "b: no answer", "c"]


def test_after_a_hopeless_failure_none_is_begun() -> None:
    begun: list[str] = []

    def work(piece: str, _stop: Stop) -> None:
        begun.append(piece)
        raise StoreError("the disk is full")

    came_to = run("abc", work, at_once=1, hopeless=lambda error: isinstance(error, StoreError))
    assert begun == ["a"]
    assert {str(error) for _, error in came_to} == {"the disk is full"}


def test_what_ends_the_wait_wakes_those_under_way_and_begins_no_other() -> None:
    begun: list[str] = []
    ended: list[bool] = []

    def work(piece: str, stop: Stop) -> str:
        begun.append(piece)
        woken = threading.Event()
        with stop.waking(woken.set):
            if len(begun) == 2:
                raise SourceDownError("this one is over")  # its end is judged below, where somebody presses Ctrl-C
            ended.append(woken.wait(PATIENCE_S))
        stop.check()
        return "not reached"

    def interrupted(_error: BaseException) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("abc", work, hopeless=interrupted)
    assert (sorted(begun), ended) == (["a", "b"], [True])


def test_work_that_begins_after_the_stop_is_stopped_at_once() -> None:
    stop = Stop()
    stop.set()
    with pytest.raises(KeyboardInterrupt), stop.waking(lambda: None):
        pytest.fail("it began")


# --- looks ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Three sources, two of them read from one host."""
    text = SETTINGS.format(site="http://127.0.0.1:9", smtp=9)
    for key, port in (("cogs", 9), ("springs", 10)):
        text += (f'\n[[sources]]\nkey = "{key}"\nextractor = "sample"\nbase_url = "https://{key}.example"\n'
                 f'fetch_from = "http://127.0.0.1:{port}"\nallow_hosts = ["127.0.0.1"]\n')
    (tmp_path / "milepost.toml").write_text(text, encoding="utf-8")
    return load(tmp_path / "milepost.toml")


def test_sources_of_one_host_are_looked_at_one_after_the_other(settings: Settings) -> None:
    begun: list[str] = []
    springs_done = threading.Event()

    def look(key: str, _stop: Stop) -> dict[str, Any]:
        begun.append(key)
        if key == "springs":
            springs_done.set()
        if key == "clockwork":
            assert springs_done.wait(PATIENCE_S)  # begun after cogs would have been, which shares clockwork's host
            assert begun == ["clockwork", "springs"]
        return {"source": key}

    looks = look_at_several(settings, chosen(settings, None), look)
    assert [one["source"] for one in looks] == ["clockwork", "cogs", "springs"]


@pytest.mark.parametrize(("error", "asked"), [
    pytest.param(SourceDownError("no answer"), 3, id="a source that is down"),
    pytest.param(UnderWayError("somebody looks at it"), 3, id="a look under way"),
    pytest.param(StoreError("the disk is full"), 1, id="a database that takes nothing"),
])
def test_only_a_database_that_is_out_ends_all_looks(settings: Settings, error: MilepostError, asked: int) -> None:
    seen: list[str] = []

    def look(key: str, _stop: Stop) -> dict[str, Any]:
        seen.append(key)
        raise error

    one_by_one = settings.model_copy(update={"fetch": settings.fetch.model_copy(update={"sources_at_once": 1})})
    with pytest.raises(UnfinishedError) as caught:
        look_at_several(one_by_one, chosen(one_by_one, None), look)
    assert [told["source"] for told in caught.value.result] == ["clockwork", "cogs", "springs"]
    assert len(seen) == asked


def test_a_source_named_twice_is_looked_at_once(settings: Settings) -> None:
    assert chosen(settings, ["cogs", "clockwork", "cogs"]) == ["cogs", "clockwork"]
    with pytest.raises(InputError, match="no source is configured"):
        chosen(settings.model_copy(update={"sources": ()}), None)


def test_of_looks_that_make_the_database_at_once_one_says_so(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.upkeep.has_tables", lambda _url: False)  # as each sees it that comes at that moment
    with caplog.at_level("WARNING", "milepost.upkeep"):
        for _ in range(2):
            open_or_make(settings).close()
    assert [line.getMessage().partition(":")[0] for line in caplog.records] == ["there was no database yet"]
