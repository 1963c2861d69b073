"""Whether a process that a test starts hears Ctrl-C: whoever was put into the background by a shell ignores it, and so
do all that it starts (POSIX.1-2024, XCU 2.11)."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[None]:
    """What is started in here hears SIGINT, whatever we ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
