"""Reads pages, and makes renderings, in processes of their own: a page that hangs, or takes all memory, ends one of
those in place of its look.

    Crew.read ─▶ a worker (started when first needed) ─▶ one answer a page, or the worker's death: that page is named
    in_order  ─▶ many pages, a few batches at a time, each waited for by a thread ─▶ what they came to, in their order
    Crew.end  ─▶ whoever waits for an answer waits no more
"""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from milepost.errors import ExtractError, MilepostError

T = TypeVar("T")
B = TypeVar("B")

MANY = 2_000  # pages from which starting other processes pays
SECONDS = 10.0  # of processor time for one page; ten times what the largest that is let through takes
MEMORY = 2 * 1024**3  # bytes of address space
_BUSY = 10  # how much longer by the clock than by the processor, where others want it too …
_MOMENT = 30.0  # … and so many seconds for starting
LOOK_UP_S = 0.5  # while waiting for others
_NOTHING = 0.5  # so few seconds in the queue are no reason to wait on
# They are for who asked, though a terminal or a service manager sends them to all: a worker ends when its pipe does,
# and no page is to blame for them.
_FOR_WHO_ASKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_START = "import sys; sys.path[:] = {path!r}; from pipeline.workers import serve; serve({fd}, {seconds!r})"


@dataclass(frozen=True, slots=True)
class Ended:
    """What came instead of an answer: the worker had to be ended, or died, over this page."""

    why: str


def serve(fd: int, seconds: float) -> None:
    """The worker: for each message (prepare, pages) one answer a page, until the other end closes.

    `prepare` is a top-level function, and makes what is called with one page at a time. ExtractError is an answer as
    well. What it takes to load what reads is no page's fault: the first page's time begins when that is done.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with Connection(fd) as pipe, contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            prepare, pages = pipe.recv()
            resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            function = prepare()  # who asked waits for this by the clock
            for page in pages:
                _allow(seconds)
                pipe.send(_answer(function, page))


def _allow(seconds: float) -> None:
    """The kernel ends this process once it has used that much more processor time (SIGXCPU)."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _answer(function: Callable[[Any], Any], page: Any) -> Any:
    try:
        return function(page)
    except ExtractError as error:
        return error
    except MemoryError:
        return Ended(f"reading it took more than {MEMORY // 1024**3} GiB of memory")


def seconds_queued(pid: int) -> float:
    """How long that process was ready and had to wait for a processor; 0 where the system doesn't tell.

    The second figure of /proc/PID/schedstat, in nanoseconds (Linux, Documentation/scheduler/sched-stats).
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


class _Worker:
    """One process and our end of its pipe."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._patience = seconds, _BUSY * seconds + _MOMENT
        ours, theirs = socket.socketpair()
        with theirs:
            code = _START.format(path=sys.path, fd=theirs.fileno(), seconds=seconds)
            # what this thread lets wait, a process that it starts does from its first moment on (signal(7))
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_WHO_ASKED)
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own code in our own interpreter
                    [sys.executable, "-c", code], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._pipe = Connection(ours.detach())

    def read(self, prepare: Callable[[], Callable[[Any], Any]], pages: Sequence[Any]) -> Iterator[Any]:
        """An answer a page; after an `Ended` there are no more, and this worker is over."""
        try:
            self._pipe.send((prepare, pages))
            for _ in pages:
                if not self._answers():
                    self.close()
                    yield Ended(f"reading it had not ended after {self._patience:g} seconds")
                    return
                yield self._pipe.recv()
        except (EOFError, ConnectionError):
            yield Ended(self._cause())

    def _answers(self) -> bool:
        """Whether it answers within its patience: by the clock, less what it stood in the queue for a processor.

        A page isn't to blame for a machine that has no time for it; its processor time is limited all the same.
        """
        if self._pipe.poll():
            return True
        left, queued = self._patience, seconds_queued(self._process.pid)
        while not self._pipe.poll(left):
            now = seconds_queued(self._process.pid)
            left, queued = now - queued, now
            if left < _NOTHING:
                return False
        return True

    def _cause(self) -> str:
        self._pipe.close()
        code = self._process.wait()
        if code == -signal.SIGXCPU:
            return f"reading it took more than {self._seconds:g} seconds of processor time"
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"the process that read it died ({name})"

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.wait()


class Crew:
    """Workers that are started when there is something for them; may be shared by threads. A context manager."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._free: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._lock = threading.Lock()
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            for worker in self._all:
                worker.close()
            self._all.clear()
            self._free.clear()

    def read(self, prepare: Callable[[], Callable[[Any], T]], pages: Sequence[Any]) -> list[T | ExtractError | Ended]:
        """What `prepare` makes, of each page, in order; a page that its worker did not outlive has `Ended` there.

        Both are top-level functions, or partial ones; `prepare` is called in the worker, and no page pays for its time.

        Raises MilepostError when no worker can be started, and KeyboardInterrupt after `end`.
        """
        answers: list[Any] = []
        while len(answers) < len(pages):
            worker = self._take()
            for answer in worker.read(prepare, pages[len(answers) :]):
                self._check()  # what we ended ourselves is no page's fault
                answers.append(answer)
                if isinstance(answer, Ended):
                    break
            else:
                self._give_back(worker)
                continue
            self._drop(worker)
        return answers

    def end(self) -> None:
        """Read nothing any more: whoever waits for an answer gets KeyboardInterrupt, also for a page that hangs."""
        with self._lock:
            self._over = True
            for worker in self._all:
                worker.kill()

    def _check(self) -> None:
        if self._over:
            raise KeyboardInterrupt

    def _take(self) -> _Worker:
        with self._lock:
            self._check()
            if self._free:
                return self._free.pop()
        try:
            worker = _Worker(self._seconds)
        except OSError as error:
            raise MilepostError(
                f"no process could be started to read pages in: {error.strerror}", hint="See the machine's limits."
            ) from error
        with self._lock:
            self._all.add(worker)  # for `end`, or for our own
            if self._over:
                worker.kill()
        return worker

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            self._free.append(worker)

    def _drop(self, worker: _Worker) -> None:
        worker.close()
        with self._lock:
            self._all.discard(worker)


def processes_for(pages: int, most: int | None = None) -> int:
    """How many processes are worth having for so many pages, `most` or one a core at most: 0 is none but this one."""
    wanted = most or os.cpu_count() or 1
    return wanted if pages >= MANY and wanted > 1 else 0


def result_of(future: Future[T]) -> T:
    """What it came to, or raises what it did; heard of at once, and Ctrl-C within LOOK_UP_S.

    A signal that comes in the moment before a thread begins to wait, or that another thread takes, wakes nobody.
    """
    while not wait([future], timeout=LOOK_UP_S).done:
        pass
    return future.result()


def in_order(
    batches: Iterable[B], read: Callable[[B], T], *, processes: int, give_up: Callable[[], object] = lambda: None
) -> Generator[tuple[B, T], None, None]:
    """Each batch and what `read` made of it, in their order; `processes` of them at a time, below two one by one.

    `read` is called in a thread, to wait there for a worker; `batches` is gone through by who asks, a few ahead and no
    more than that in memory. Raises what `read` does, and then begins no other. `give_up` is called where it comes to
    no end (also by Ctrl-C), so that those under way do: they are waited for.
    """
    if processes < 2:
        for batch in batches:
            yield batch, read(batch)
        return
    flying: deque[tuple[B, Future[T]]] = deque()
    pool = ThreadPoolExecutor(processes, thread_name_prefix="reading")
    try:
        for batch in batches:
            flying.append((batch, pool.submit(read, batch)))
            if len(flying) > 2 * processes:
                first, future = flying.popleft()
                yield first, result_of(future)
        while flying:
            first, future = flying.popleft()
            yield first, result_of(future)
    except BaseException:
        give_up()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
