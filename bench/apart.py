"""A piece of a bench in a process of its own: what it took, with memory that is its own."""

import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Took:
    """What a part cost."""

    seconds: float
    cpu: float  # seconds, of it and the processes it started
    before_mb: int  # memory before it began
    peak_mb: int  # of its own process
    result: Any


def measured(part: Callable[..., Any], *arguments: Any) -> Took:
    """Run a part in a process of its own, so that its memory is its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(theirs, part, arguments))
    process.start()
    theirs.close()
    try:
        took: Took = ours.recv()
    except BaseException:  # whoever ends us ends it as well
        process.kill()
        raise
    process.join()
    return took


def _measure(pipe: Any, part: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    before, started, cpu = _peak_mb(), time.monotonic(), cpu_used()
    result = part(*arguments)
    pipe.send(Took(seconds=time.monotonic() - started, cpu=cpu_used() - cpu, before_mb=before, peak_mb=_peak_mb(),
                   result=result))


def cpu_used() -> float:
    """Seconds that this process and those it started and has ended have used of processors."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
