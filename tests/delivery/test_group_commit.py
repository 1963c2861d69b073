"""Many connections, one commit: who shares it, who writes it, and what is left when it can't be written."""

import asyncio
import select
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import pytest

from delivery.mailing import Limits
from delivery.smtp.group_commit import GroupCommit, _Batch, enough
from milepost.errors import StoreError
from milepost.records import Advanced, Claim, Reply, Settlement
from tests.delivery.scripted_peer import a_letter

pytestmark = pytest.mark.timeout(30)
Commit = tuple[list[int], list[int]]  # whose results, whose beginnings


class Ledger:
    """Notes each commit by who wrote it; it waits, fails or refuses to be quick when a test says so."""

    def __init__(self) -> None:
        self.by_loop: list[Commit] = []
        self.by_thread: list[Commit] = []
        self.near = True  # the loop may write
        self.quick = 0  # commits of the thread that waited for nobody
        self.held: threading.Event | None = None  # what a commit in the thread waits for
        self.reached = threading.Event()  # the thread is in a commit
        self.fails = 0  # how many commits of the thread fail yet
        self.bug: BaseException | None = None
        self.taken_over: set[int] = set()  # whose lease is somebody else's

    def _done(self, settlements: Sequence[Settlement], claims: Sequence[Claim]) -> Advanced:
        return Advanced(
            begun=frozenset(claim.delivery_id for claim in claims if claim.delivery_id not in self.taken_over),
            lost=frozenset(one.claim.delivery_id for one in settlements if one.claim.delivery_id in self.taken_over),
        )

    def _by_thread(self, settlements: Sequence[Settlement], claims: Sequence[Claim]) -> None:
        self.reached.set()
        if self.held is not None:
            assert self.held.wait(20)
        self.by_thread.append(_numbers(settlements, claims))

    def advance(self, settlements: Sequence[Settlement], claims: Sequence[Claim]) -> Advanced:
        self._by_thread(settlements, claims)
        if self.bug is not None:
            raise self.bug
        if self.fails:
            self.fails -= 1
            raise StoreError("the disk is full")
        return self._done(settlements, claims)

    def try_advance(self, settlements: Sequence[Settlement], claims: Sequence[Claim]) -> Advanced | None:
        if not self.near:
            return None
        if threading.current_thread() is threading.main_thread():
            self.by_loop.append(_numbers(settlements, claims))
        else:
            self._by_thread(settlements, claims)
            self.quick += 1
        return self._done(settlements, claims)


def _sent(number: int) -> Settlement:
    return Settlement(claim=a_letter(number).claim, state="sent", reply=Reply(code=250, text="queued", phase="dot"))


def _numbers(settlements: Sequence[Settlement], claims: Sequence[Claim]) -> Commit:
    return [one.claim.delivery_id for one in settlements], [claim.delivery_id for claim in claims]


class Desk:
    """Asks a group commit for steps, and waits for its answers."""

    def __init__(
        self, ledger: Ledger, connections: int, limits: Limits, writers: "Sequence[Writer]" = ()
    ) -> None:
        self.answers: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()
        self.waits: list[float] = []
        self.error: BaseException | None = None
        self.commits = GroupCommit(
            ledger, ledger.try_advance, limits, self.waits.append,  # type: ignore[arg-type]
            connections=lambda: connections, failed=self._failed, writers=writers,
        )

    def _failed(self, error: BaseException) -> None:
        self.error = error
        self.answers.put_nowait(("failed", getattr(error, "what", str(error))))

    def begin(self, *numbers: int) -> None:
        for number in numbers:
            self.commits.begin(
                a_letter(number).claim, lambda claim, begun: self.answers.put_nowait((claim.delivery_id, begun)),
                partial(self.answers.put_nowait, (number, "refused")),
            )

    def settle(self, *numbers: int) -> None:
        for number in numbers:
            self.commits.settle(
                _sent(number),
                lambda one, lost: self.answers.put_nowait((one.claim.delivery_id, "lost" if lost else one.state)),
            )

    def call(self, work: Callable[[], Any]) -> None:
        self.commits.call(work, lambda value, error: self.answers.put_nowait((value, error)))

    async def hears(self, *answers: tuple[object, ...]) -> None:
        for answer in answers:
            assert await self.answers.get() == answer

    @property
    def heard(self) -> list[tuple[object, ...]]:
        """What came besides."""
        return [self.answers.get_nowait() for _ in range(self.answers.qsize())]


def play(
    scene: Callable[[Desk], Awaitable[None]], ledger: Ledger, *, connections: int = 1, limits: Limits | None = None,
    writers: "Sequence[Writer]" = (),
) -> None:
    async def opened() -> None:
        desk = Desk(ledger, connections, limits or Limits(record_tries=3), writers)
        try:
            await scene(desk)
        finally:
            if desk.commits._thread.is_alive():
                desk.commits.close()
            for writer in writers:
                writer.close()

    asyncio.run(opened())


@pytest.mark.parametrize("near", [True, False])
def test_what_is_asked_for_together_is_one_commit_and_each_hears_of_its_own(near: bool) -> None:
    ledger = Ledger()
    ledger.near = near
    ledger.taken_over = {2, 5}

    async def scene(desk: Desk) -> None:
        desk.settle(1, 2)
        desk.begin(4, 5, 6)
        await desk.hears((1, "sent"), (2, "lost"), (4, True), (5, False), (6, True))
        desk.commits.close()
        assert desk.heard == []

    play(scene, ledger, connections=5)
    assert (ledger.by_loop if near else ledger.by_thread) == [([1, 2], [4, 5, 6])]
    assert (ledger.by_thread if near else ledger.by_loop) == []


def test_fewer_than_are_worth_a_commit_go_when_nobody_else_comes() -> None:
    ledger = Ledger()

    async def scene(desk: Desk) -> None:
        desk.begin(1, 2)  # three of five make a commit
        await desk.hears((1, True), (2, True))
        desk.settle(1)
        await desk.hears((1, "sent"))

    play(scene, ledger, connections=5)
    assert ledger.by_loop == [([], [1, 2]), ([1], [])]


def test_as_many_as_are_worth_a_commit_wait_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delivery.smtp.group_commit._LINGER_S", 3600.0)
    ledger = Ledger()

    async def scene(desk: Desk) -> None:
        desk.begin(1, 2, 3)
        await desk.hears((1, True), (2, True), (3, True))
        desk.begin(4)
        desk.settle(1)
        desk.begin(5)
        desk.begin(6)
        await desk.hears((1, "sent"), (4, True), (5, True), (6, True))

    play(scene, ledger, connections=5)
    assert ledger.by_loop == [([], [1, 2, 3]), ([1], [4, 5, 6])]


def test_the_next_batch_fills_while_the_thread_writes_and_goes_after_it() -> None:
    ledger = Ledger()
    ledger.near = False
    ledger.held = threading.Event()

    async def scene(desk: Desk) -> None:
        desk.begin(1)
        await asyncio.to_thread(ledger.reached.wait, 20)
        ledger.near = True  # the loop keeps its hands off all the same: two never write at once
        desk.begin(2)
        desk.settle(3)
        desk.begin(4)
        await asyncio.sleep(0)
        assert ledger.by_loop == []
        assert ledger.held is not None
        ledger.held.set()
        await desk.hears((1, True), (3, "sent"), (2, True), (4, True))

    play(scene, ledger)
    assert ledger.by_thread == [([], [1])]
    assert ledger.by_loop == [([3], [2, 4])]


def test_calls_are_the_threads_and_come_after_the_steps_asked_for_before_them() -> None:
    ledger = Ledger()
    ledger.near = False

    async def scene(desk: Desk) -> None:
        desk.settle(1)
        desk.call(lambda: (list(ledger.by_thread), threading.current_thread().name))
        await desk.hears((1, "sent"), (([([1], [])], "milepost-ledger"), None))
        error = StoreError("no")

        def fail() -> None:
            raise error

        desk.call(fail)
        await desk.hears((None, error))
        assert not desk.commits.broken

    play(scene, ledger)


def test_a_slow_disk_is_the_threads() -> None:
    ledger = Ledger()

    async def scene(desk: Desk) -> None:
        desk.commits._cost = 1.0  # seconds of a commit, of late
        desk.begin(1)
        await desk.hears((1, True))

    play(scene, ledger)
    assert (ledger.by_loop, ledger.by_thread, ledger.quick) == ([], [([], [1])], 1)


@pytest.mark.parametrize(
    ("connections", "cost", "expected"),
    [(1, 0.0, 1), (1, 9.9, 1), (2, 0.0, 2), (3, 0.0, 2), (3, 0.002, 3), (10, 0.0003, 6), (10, 0.002, 10), (11, 0.0, 7),
     (40, 0.0003, 24), (40, 0.005, 40),
     (10, 0.00048, 6), (10, 0.00049, 10)],
)
def test_a_slow_disk_is_worth_waiting_for_all(connections: int, cost: float, expected: int) -> None:
    assert enough(connections, cost) == expected


@pytest.mark.parametrize(
    ("connections", "writers", "expected"), [(1, 3, 1), (3, 3, 1), (10, 3, 4), (10, 1, 10), (40, 3, 14)]
)
def test_each_writer_carries_its_part_of_the_connections(connections: int, writers: int, expected: int) -> None:
    assert enough(connections, 9.9, writers) == expected


def test_one_writer_leaves_the_relay_to_the_others_meanwhile() -> None:
    assert enough(10, 0.0, 1) == 6


def test_what_a_commit_costs_beyond_its_rows_follows_what_is_measured_by_an_eighth() -> None:
    async def scene(desk: Desk) -> None:
        row = 0.00004  # seconds
        batch = _Batch()
        batch.begins = [(a_letter(number).claim, lambda *_: None, lambda: None) for number in range(5)]
        batch.settlements = [(_sent(number), lambda *_: None) for number in range(3)]
        desk.commits._took(0.008 + 5 * row, batch)
        assert desk.commits._cost == pytest.approx(0.001)
        desk.commits._took(0.008 + 5 * row, batch)
        assert desk.commits._cost == pytest.approx(0.001 + 0.007 / 8)
        batch.settlements = [(_sent(number), lambda *_: None) for number in range(9)]
        desk.commits._cost = 0.0
        desk.commits._took(0.008 + 9 * row, batch)
        assert desk.commits._cost == pytest.approx(0.001)

    play(scene, Ledger())


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("near", [True, False])
def test_the_end_writes_results_and_refuses_beginnings(near: bool) -> None:
    """No body can leave any more: what would stand as begun would have to be asked about."""
    ledger = Ledger()
    ledger.near = near

    async def scene(desk: Desk) -> None:
        desk.settle(1)
        desk.begin(2, 3)
        desk.commits.close()
        assert (2, "refused") in (heard := desk.heard)
        assert (3, "refused") in heard
        assert not desk.commits._thread.is_alive()

    play(scene, ledger, connections=9)
    assert ledger.by_loop + ledger.by_thread == [([1], [])]


def test_the_end_refuses_what_waits_behind_the_thread() -> None:
    ledger = Ledger()
    ledger.near = False
    ledger.held = held = threading.Event()

    async def scene(desk: Desk) -> None:
        desk.begin(1)
        await asyncio.to_thread(ledger.reached.wait, 20)
        desk.commits.begin(a_letter(2).claim, lambda *_: pytest.fail("it began"), held.set)
        desk.settle(3)
        ledger.near = True  # and yet the loop does not write: the thread may be writing still
        desk.commits.close()  # it returns: the refusal came before it waited for the thread

    play(scene, ledger)
    assert ledger.by_loop == []
    assert ledger.by_thread == [([], [1]), ([3], [])]


# --- a ledger that can't be written -----------------------------------------------------------------------------------


def test_a_beginning_that_cant_be_written_is_refused_and_told() -> None:
    ledger = Ledger()
    ledger.near, ledger.fails = False, 1

    async def scene(desk: Desk) -> None:
        desk.begin(1, 2)
        await desk.hears((1, "refused"), (2, "refused"), ("failed", "the disk is full"))
        assert not desk.commits.broken
        desk.begin(1)
        await desk.hears((1, True))
        assert desk.waits == []

    play(scene, ledger, connections=2)


def test_results_are_tried_again_and_the_beginnings_beside_them_only_after_they_stand() -> None:
    ledger = Ledger()
    ledger.near, ledger.fails = False, 2

    async def scene(desk: Desk) -> None:
        desk.settle(1)
        desk.begin(2)
        await desk.hears((1, "sent"), (2, True))
        assert desk.waits == [0.5, 1.0]

    play(scene, ledger, limits=Limits(record_tries=3, record_wait_s=0.5))
    assert ledger.by_thread == [([1], [2]), ([1], []), ([1], []), ([], [2])]


def test_results_that_stay_unwritten_break_it_and_nothing_is_written_after_them() -> None:
    ledger = Ledger()
    ledger.near, ledger.fails = False, 3

    async def scene(desk: Desk) -> None:
        desk.settle(1)
        desk.begin(2)
        await desk.hears(("failed", "delivery 1 is sent and that can't be recorded (the disk is full)"))
        assert isinstance(desk.error, StoreError)
        assert desk.error.where == "issue 7"
        assert "listed as unknown, never sent twice" in (desk.error.hint or "")
        assert desk.commits.broken
        ledger.near = True
        desk.settle(3)
        desk.begin(4)
        desk.call(lambda: "called all the same")
        await desk.hears(("called all the same", None))
        desk.commits.close()
        assert desk.heard == []

    play(scene, ledger)
    assert ledger.by_thread == [([1], [2]), ([1], []), ([1], [])]
    assert ledger.by_loop == []


def test_a_bug_in_the_ledger_breaks_it_at_once() -> None:
    ledger = Ledger()
    ledger.near, ledger.bug = False, ZeroDivisionError("a bug")

    async def scene(desk: Desk) -> None:
        desk.begin(1)
        await desk.hears(("failed", "a bug"))
        assert desk.commits.broken

    play(scene, ledger)


def test_where_the_quick_way_fails_in_the_thread_the_patient_one_writes() -> None:
    ledger = Ledger()

    def broken(*_: object) -> Advanced:
        raise ZeroDivisionError("a bug")

    ledger.try_advance = broken  # type: ignore[method-assign, assignment]

    async def scene(desk: Desk) -> None:
        desk.commits._cost = 1.0  # the thread's, without a try of the loop's
        desk.settle(1)
        await desk.hears((1, "sent"))
        assert not desk.commits.broken

    play(scene, ledger)
    assert ledger.by_thread == [([1], [])]


def test_a_bug_in_the_loops_own_commit_is_told_and_the_thread_writes_what_was_asked_for() -> None:
    ledger = Ledger()

    def broken(*_: object) -> Advanced:
        raise ZeroDivisionError("a bug")

    ledger.try_advance = broken  # type: ignore[method-assign, assignment]

    async def scene(desk: Desk) -> None:
        desk.settle(1)
        await desk.hears(("failed", "a bug"), (1, "sent"))
        assert not desk.commits.broken

    play(scene, ledger)
    assert ledger.by_thread == [([1], [])]


# --- commits under way by themselves ----------------------------------------------------------------------------------


class Writer:
    """Carries a batch until it is told what came of it."""

    def __init__(self) -> None:
        self.carried: list[Commit] = []
        self.asked = asyncio.Event()
        self.unsent = False
        self.opened = 0
        self._open()

    def _open(self) -> None:
        self.alive, self.busy = True, False
        self._here, self._there = socket.socketpair()
        self._advanced: Advanced | None = None

    def fileno(self) -> int:
        return self._here.fileno()

    def send(self, settlements: Sequence[Settlement], claims: Sequence[Claim]) -> bool:
        if not self.alive or any(one.suppress for one in settlements):
            return False
        self.carried.append(_numbers(settlements, claims))
        self._advanced = Advanced(begun=frozenset(claim.delivery_id for claim in claims), lost=frozenset())
        self.busy = True
        self.asked.set()
        return True

    def comes(self, *, good: bool = True) -> None:
        """The answer, from whichever thread."""
        self._there.send(b"+" if good else b"-")

    def breaks(self) -> None:
        self._there.close()

    def go_on(self) -> None:
        came = self._here.recv(1)
        self.busy = False
        if came != b"+":
            self._advanced = None
        if not came:
            self.close()

    def answer(self) -> Advanced | None:
        return self._advanced

    def close(self) -> None:
        self.alive = self.busy = False
        self._advanced = None
        self._here.close()
        self._there.close()

    def reopen(self) -> None:
        self.close()
        self._open()
        self.opened += 1


def far() -> Ledger:
    ledger = Ledger()
    ledger.near = False
    return ledger


def test_batches_are_under_way_at_once_and_the_next_one_goes_with_whoever_is_free() -> None:
    first, second = writers = Writer(), Writer()
    ledger = far()

    async def scene(desk: Desk) -> None:
        desk.begin(1, 2)
        desk.settle(3)
        await asyncio.sleep(0)
        desk.begin(4, 5)
        await asyncio.sleep(0)
        desk.begin(6, 7)  # nobody is free
        await asyncio.sleep(0)
        assert (first.carried, second.carried) == ([([3], [1, 2])], [([], [4, 5])])
        second.comes()
        await desk.hears((4, True), (5, True))
        await asyncio.sleep(0)
        assert second.carried[1:] == [([], [6, 7])]
        first.comes()
        await desk.hears((3, "sent"), (1, True), (2, True))
        second.comes()
        await desk.hears((6, True), (7, True))

    play(scene, ledger, connections=4, writers=writers)
    assert ledger.by_thread == []


def test_what_is_too_little_for_a_commit_waits_for_the_one_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is late would else pay a commit for every mail."""
    monkeypatch.setattr("delivery.smtp.group_commit._LINGER_S", 0.0)
    first, second = writers = Writer(), Writer()

    async def scene(desk: Desk) -> None:
        desk.begin(1, 2)
        await first.asked.wait()
        desk.begin(3)
        for _ in range(5):
            await asyncio.sleep(0)
        assert second.carried == []
        first.asked.clear()
        first.comes()
        await desk.hears((1, True), (2, True))
        await first.asked.wait()
        first.comes()
        await desk.hears((3, True))

    play(scene, far(), connections=4, writers=writers)
    assert (first.carried, second.carried) == ([([], [1, 2]), ([], [3])], [])


def test_what_a_writer_could_not_do_is_done_in_the_thread() -> None:
    ledger = far()
    ledger.taken_over = {1}
    writer = Writer()

    async def scene(desk: Desk) -> None:
        desk.begin(1, 2)
        await asyncio.sleep(0)
        writer.comes(good=False)
        await desk.hears((1, False), (2, True))
        assert writer.alive

    play(scene, ledger, connections=2, writers=[writer])
    assert ledger.by_thread == [([], [1, 2])]


def test_a_writer_that_is_cut_off_is_opened_again_by_the_thread_and_carries_on() -> None:
    ledger = far()
    writer = Writer()

    async def scene(desk: Desk) -> None:
        desk.begin(1)
        await asyncio.sleep(0)
        writer.breaks()
        await desk.hears((1, True))
        assert ledger.by_thread == [([], [1])]
        writer.asked.clear()
        desk.settle(1)
        await writer.asked.wait()
        writer.comes()
        await desk.hears((1, "sent"))

    play(scene, ledger, writers=[writer])
    assert (writer.opened, writer.carried, ledger.by_thread) == (1, [([], [1]), ([1], [])], [([], [1])])


@pytest.mark.parametrize(("pause", "tries"), [(3600.0, 1), (0.0, 3)])
def test_a_writer_that_can_not_be_opened_is_tried_again_in_a_while(
    pause: float, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.smtp.group_commit._REOPEN_S", pause)
    ledger, writer = far(), Writer()
    tried: list[int] = []

    def refuse() -> None:
        tried.append(1)
        raise StoreError("no connection is free")

    monkeypatch.setattr(writer, "reopen", refuse)

    async def scene(desk: Desk) -> None:
        desk.begin(1)
        await asyncio.sleep(0)
        writer.breaks()
        await desk.hears((1, True))
        for number in (2, 3):
            desk.begin(number)
            await desk.hears((number, True))

    play(scene, ledger, writers=[writer])
    assert ledger.by_thread == [([], [1]), ([], [2]), ([], [3])]
    assert len(tried) == tries


def test_a_writer_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delivery.smtp.group_commit._SILENT_S", 0.001)
    ledger = far()
    writer = Writer()

    async def scene(desk: Desk) -> None:
        desk.begin(1)
        await desk.hears((1, True))

    play(scene, ledger, writers=[writer])
    assert ledger.by_thread == [([], [1])]


def test_other_calls_go_on_beside_a_writer() -> None:
    ledger = far()
    writer = Writer()

    async def scene(desk: Desk) -> None:
        desk.begin(1)
        await asyncio.sleep(0)
        desk.call(lambda: "claimed")
        await desk.hears(("claimed", None))
        writer.comes()
        await desk.hears((1, True))

    play(scene, ledger, writers=[writer])


class Stuffed(Writer):
    """Its socket took only a part of the batch: the rest goes when it can be written, and only then comes an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = 0  # called though there was nothing to do

    def send(self, settlements: Sequence[Settlement], claims: Sequence[Claim]) -> bool:
        self.unsent = super().send(settlements, claims)
        return self.unsent

    def go_on(self) -> None:
        self._here.setblocking(False)
        if self.unsent:
            self.unsent = False
            return
        try:
            super().go_on()
        except BlockingIOError:
            self.idle += 1


def test_a_batch_that_a_socket_has_no_room_for_goes_in_parts_and_nobody_is_asked_for_nothing() -> None:
    ledger, writer = far(), Stuffed()

    async def scene(desk: Desk) -> None:
        desk.begin(1)
        await writer.asked.wait()
        for _ in range(9):
            await asyncio.sleep(0)
        assert (writer.unsent, writer.busy) == (False, True)
        writer.comes()
        await desk.hears((1, True))

    play(scene, ledger, writers=[writer])
    assert (writer.idle, ledger.by_thread) == (0, [])


def test_who_closes_waits_for_room_as_well_and_no_longer_than_silence_may_last(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, writer = far(), Stuffed()
    room: list[bool] = []
    waits: list[float] = []
    really = select.select

    def selecting(readable: Any, writable: Any, other: Any, timeout: float) -> Any:
        room.append(bool(writable))
        waits.append(timeout)
        if not writer.unsent:
            writer.comes()
        return really(readable, writable, other, 0.0)

    async def scene(desk: Desk) -> None:
        desk.settle(1)
        await writer.asked.wait()
        writer.unsent = True
        monkeypatch.setattr("delivery.smtp.group_commit.select.select", selecting)
        monkeypatch.setattr("delivery.smtp.group_commit._SILENT_S", 60.0)
        desk.commits.close()

    play(scene, ledger, writers=[writer])
    assert (room, ledger.by_thread) == ([True, False], [])
    assert all(0.0 <= wait <= 60.0 for wait in waits)


@pytest.mark.parametrize("good", [True, False])
def test_who_closes_waits_for_what_is_under_way(good: bool) -> None:
    ledger = far()
    writer = Writer()

    async def scene(desk: Desk) -> None:
        desk.settle(1)
        desk.begin(2)
        await asyncio.sleep(0)
        desk.settle(3)
        desk.begin(4)
        writer.comes(good=good)
        desk.commits.close()
        assert writer.carried == [([1], [2])]
        answers = {(4, "refused"), (1, "sent"), (2, True), (3, "sent")}
        await asyncio.sleep(0)
        assert set(desk.heard) <= answers

    play(scene, ledger, writers=[writer])
    assert ledger.by_thread == [([3], [])] if good else [([1], [2]), ([3], [])]
