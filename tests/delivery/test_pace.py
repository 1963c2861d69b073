"""How fast messages may begin, by a clock that is told."""

import pytest

from delivery.pace import Paces
from milepost.records import Claim


def to(address: str) -> Claim:
    return Claim(
        delivery_id=1, issue=1, subscriber_id=1, address=address, variant="all", lease="x", attempts=0,
        first_attempt_at=None, reader="0" * 20,
    )


def begun(paces: Paces, address: str, until: float, step: float = 0.01) -> int:
    """How many messages begin when somebody asks every `step` seconds."""
    count, now = 0, 0.0
    while now <= until:
        if paces.wait(to(address), now) == 0.0:
            paces.take(to(address), now)
            count += 1
        now += step
    return count


def test_without_limits_nobody_waits() -> None:
    paces = Paces(None, None, 0.0)
    assert paces.unlimited
    assert paces.wait(to("a@one.example"), 0.0) == 0.0


@pytest.mark.parametrize("rate", [1.0, 5.0, 20.0])
def test_so_many_a_second(rate: float) -> None:
    assert begun(Paces(rate, None, 0.0), "a@one.example", 10.0) in (int(rate * 10) - 1, int(rate * 10))


def test_the_first_one_waits_its_turn_too() -> None:
    assert Paces(2.0, None, 100.0).wait(to("a@one.example"), 100.0) == pytest.approx(0.5)


def test_what_was_not_used_is_not_saved_up() -> None:
    paces = Paces(10.0, None, 0.0)
    for _ in range(2):
        assert paces.wait(to("a@one.example"), 1000.0) == 0.0
        paces.take(to("a@one.example"), 1000.0)
    assert paces.wait(to("a@one.example"), 1000.0) > 0.0


def test_domains_have_a_pace_of_their_own() -> None:
    paces = Paces(None, 1.0, 0.0)
    paces.take(to("a@one.example"), 1.0)
    assert paces.wait(to("b@ONE.example"), 1.1) == pytest.approx(0.9)
    assert paces.wait(to("c@two.example"), 1.1) == 0.0


@pytest.mark.parametrize("life", [0.4, 1.0, 2.5], ids=["within the second", "each second", "now and then"])
def test_a_program_that_is_started_again_and_again_is_not_faster(life: float) -> None:
    """Each start begins with an empty pace, overall and for a domain: there is nothing that a restart could forget."""
    count, at = 0, 0.0
    while at < 10.0:
        paces, now = Paces(4.0, 2.0, at), at
        while now < min(at + life, 10.0):
            if paces.wait(to("a@one.example"), now) == 0.0:
                paces.take(to("a@one.example"), now)
                count += 1
            now += 0.01
        at += life
    assert count <= 20


def test_a_rate_can_change_while_it_runs() -> None:
    paces = Paces(1.0, None, 0.0)
    paces.take(to("a@one.example"), 1.0)
    paces.change(10.0, 1.0)
    assert paces.wait(to("a@one.example"), 1.0) == pytest.approx(0.1)
    paces.change(None, 1.0)
    assert paces.unlimited
    paces.change(2.0, 5.0)
    assert paces.wait(to("a@one.example"), 5.0) == pytest.approx(0.5)
