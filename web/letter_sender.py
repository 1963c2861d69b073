"""Sends letters beside the pages: a thread that is woken by each sign-up, and looks by itself now and then.

    ask ─▶ wake ─▶ pipeline.letters ─▶ TOGETHER_S at least ─▶ until the next one is due, or LONGEST_S

Nothing depends on it: what it leaves, because the process ended, the schedule sends.
"""

import logging
import threading
from collections.abc import Callable

from milepost.background import Background
from milepost.dates import utc_now
from pipeline.letters import LettersDone

_log = logging.getLogger(__name__)
LONGEST_S = 20.0  # between two looks: another process left something, as `bounces` does
TOGETHER_S = 0.5  # after a round: what comes meanwhile goes in one, beside which visitors are answered sooner
SHORTEST_S = 1.0  # so that a relay that is down is not asked without a pause
END_S = 10.0  # for the letter in hand, when the process ends


class LetterSender(Background):
    """The thread; use it in `with`."""

    def __init__(self, send: Callable[[], LettersDone]) -> None:
        """`send`: one round, which raises nothing but a bug."""
        super().__init__("letters", end_s=END_S)
        self._send = send
        self._woken = threading.Event()

    def wake(self) -> None:
        """There is a letter; called from any thread, and returns at once."""
        self._woken.set()

    def _end(self) -> None:
        super()._end()
        self._woken.set()

    def run(self) -> None:
        """Round after round."""
        while not self._over.is_set():
            self._woken.clear()
            try:
                done = self._send()
            except Exception:  # noqa: BLE001 (a bug must not end the thread: the next letter may be another's)
                _log.exception("sending letters failed")
                done = LettersDone(why="a bug")
            self._over.wait(TOGETHER_S)
            self._woken.wait(pause(done))
            if done.why:  # the relay is not there: many who sign up now must not make us ask it again at once
                self._over.wait(SHORTEST_S)


def pause(done: LettersDone) -> float:
    """Seconds until the next round, unless somebody wakes us."""
    if done.next_due is None:
        return LONGEST_S
    return min(max((done.next_due - utc_now()).total_seconds(), SHORTEST_S), LONGEST_S)
