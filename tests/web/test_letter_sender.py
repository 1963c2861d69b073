"""Letters beside the pages: the first goes at once, and what comes in the moment after it goes together."""

import threading

import pytest

from pipeline.letters import LettersDone
from web import letter_sender
from web.letter_sender import LetterSender

PATIENCE_S = 20.0


class Rounds:
    """Counts the rounds, and tells of each."""

    def __init__(self) -> None:
        self.number = 0
        self.came = threading.Semaphore(0)

    def __call__(self) -> LettersDone:
        self.number += 1
        self.came.release()
        return LettersDone()


def test_what_comes_in_the_moment_after_a_round_waits_for_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letter_sender, "TOGETHER_S", 60.0)
    rounds = Rounds()
    with LetterSender(rounds) as sender:
        assert rounds.came.acquire(timeout=PATIENCE_S)  # it looks by itself as it begins
        for _ in range(5):
            sender.wake()
        assert not rounds.came.acquire(timeout=0.3)
    assert not sender._thread.is_alive()  # nor does its end wait for that moment


def test_whoever_wakes_it_then_is_heard_once_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letter_sender, "TOGETHER_S", 0.1)
    rounds = Rounds()
    with LetterSender(rounds) as sender:
        assert rounds.came.acquire(timeout=PATIENCE_S)
        for _ in range(5):
            sender.wake()
        assert rounds.came.acquire(timeout=PATIENCE_S)
        assert not rounds.came.acquire(timeout=0.3)
    assert rounds.number == 2
