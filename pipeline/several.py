"""Several pieces of work, of which one that fails doesn't stop the rest: what was done stands beside what was not."""

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

from milepost.errors import MilepostError, UnderWayError
from milepost.records import CHANGE_KINDS

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int, int], None]  # pieces done, pieces known so far
Made = list[dict[str, Any]]


class Stop:
    """Asks work in other threads to end soon, as Ctrl-C does in the main one."""

    def __init__(self) -> None:
        self._set = False
        self._lock = threading.Lock()
        self._wakes: set[Callable[[], object]] = set()

    def set(self) -> None:
        """Ask; what waits is woken."""
        with self._lock:
            self._set = True
            wakes = list(self._wakes)
        for wake in wakes:
            wake()

    def check(self) -> None:
        """Raises KeyboardInterrupt once it is asked for."""
        if self._set:
            raise KeyboardInterrupt

    @contextmanager
    def waking(self, wake: Callable[[], object]) -> Iterator[None]:
        """While this lasts `wake` is called, in the thread that asks; raises as `check` when it was asked for before.
        """
        with self._lock:
            self.check()
            self._wakes.add(wake)
        try:
            yield
        finally:
            with self._lock:
                self._wakes.discard(wake)


def side_by_side(
    pieces: Iterable[T], work: Callable[[T, Stop], R], *, at_once: int, apart: Callable[[T], Hashable],
    hopeless: Callable[[BaseException], bool],
) -> list[tuple[T, R | BaseException]]:
    """Each piece, once and in the order given, with what `work` made of it or the exception that ended it.

    At most `at_once` are under way, each in a thread, and never two for which `apart` is the same: they go one after
    the other. After an exception that is `hopeless` none is begun; those that were not end with it as well. Ctrl-C, or
    whatever else ends the wait, asks those under way to stop, waits for them and is raised.
    """
    left, came_to = list(dict.fromkeys(pieces)), dict[T, R | BaseException]()
    order, flying, stop = tuple(left), dict[Future[R], T](), Stop()
    with ThreadPoolExecutor(at_once, thread_name_prefix="side by side") as threads:
        try:
            while left or flying:
                for piece in _free(left, {apart(one) for one in flying.values()}, apart, at_once - len(flying)):
                    left.remove(piece)
                    flying[threads.submit(copy_context().run, work, piece, stop)] = piece
                for done in wait(flying, return_when=FIRST_COMPLETED).done:
                    error, piece = done.exception(), flying.pop(done)
                    came_to[piece] = done.result() if error is None else error
                    if error is not None and hopeless(error):
                        came_to |= dict.fromkeys(left, error)
                        left.clear()
        except BaseException:
            stop.set()
            raise
    return [(piece, came_to[piece]) for piece in order]


def _free(left: Sequence[T], taken: set[Hashable], apart: Callable[[T], Hashable], most: int) -> list[T]:
    """The first of `left` that may begin beside those that are under way."""
    free: list[T] = []
    for piece in left:
        if len(free) < most and apart(piece) not in taken:
            taken.add(apart(piece))
            free.append(piece)
    return free


class UnfinishedError(MilepostError):
    """Some of the work failed. `result` is what all of it came to, in the form that success would have had."""

    def __init__(self, errors: Sequence[MilepostError], result: Any) -> None:
        super().__init__("; ".join(dict.fromkeys(map(str, errors))))
        self.errors = tuple(errors)
        self.result = result


def sift(outcomes: Iterable[tuple[Any, object]], failed: Callable[[Any, MilepostError], dict[str, Any]]) -> Made:
    """The results among `outcomes`, (what it was about, its result or exception), in their order.

    `failed` gives the form of one that failed. Raises UnfinishedError when any did, and at once what only a bug raises.
    """
    results: Made = []
    errors: list[MilepostError] = []
    for about, outcome in outcomes:
        if isinstance(outcome, MilepostError):
            errors.append(outcome)
            results.append(failed(about, outcome))
        elif isinstance(outcome, BaseException):
            raise outcome
        elif isinstance(outcome, dict):
            results.append(outcome)
    if errors:
        raise UnfinishedError(errors, results)
    return results


def down_to_json(source: str, error: MilepostError) -> dict[str, Any]:
    """The form of `scrape --json` for a source that gave nothing to go on: what was not counted is null."""
    return {
        "source": source, "requests": None, "fetched": None, "not_modified": None, "failed": None, "milestones": None,
        "not_asked": None,
        "baseline": False, "changes": dict.fromkeys(CHANGE_KINDS, 0), "held": None, "look_id": None,
        "failures": [str(error)], "disallowed": None, "questions": [], "found_by": {},
        "state": "under way" if isinstance(error, UnderWayError) else "failed",
        "degraded": [], "notes": [], "unread": None, "unread_first": [], "unread_dates": None, "settings": {},
        "error": str(error),
    }


def unsent_to_json(issue: int, error: MilepostError) -> dict[str, Any]:
    """The form of an issue's part in `run --json` when it could not be sent now: the ledger has all it needs."""
    return {"issue": issue, "states": {}, "paused": None, "held": [], "error": str(error)}
