"""Whose a lease is: a process is dead only where this machine can prove it."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from store import holders
from store.holders import Holder, life

ME = Holder(host="mail", machine="m1", boot="b1", namespace="pid:[7]", pid=10, started="500")
OTHER = replace(ME, pid=20, started="400")


@pytest.mark.parametrize(
    ("holder", "me", "now", "expected"),
    [
        pytest.param(OTHER, ME, "400", "alive", id="it runs"),
        pytest.param(ME, ME, "500", "alive", id="it is we"),
        pytest.param(OTHER, ME, "", "dead", id="no such process"),
        pytest.param(OTHER, ME, "401", "dead", id="its number was given to another since"),
        pytest.param(OTHER, ME, None, "elsewhere", id="nobody can tell"),
        pytest.param(replace(OTHER, host="web"), ME, "", "elsewhere", id="another machine"),
        pytest.param(replace(OTHER, namespace="pid:[8]"), ME, "", "elsewhere", id="another container"),
        pytest.param(replace(OTHER, boot="b0"), ME, "400", "dead", id="the machine was started anew"),
        pytest.param(replace(OTHER, boot="b0", machine="m2"), ME, "", "elsewhere", id="another of the same name"),
        pytest.param(replace(OTHER, boot="b0", machine="-"), replace(ME, machine="-"), "", "elsewhere",
                     id="containers tell no machine"),
        pytest.param(replace(OTHER, boot="-"), replace(ME, boot="-"), "", "elsewhere", id="no /proc, no proof"),
        pytest.param(replace(OTHER, namespace="-"), replace(ME, namespace="-"), "", "elsewhere", id="no namespaces"),
        pytest.param(replace(OTHER, started="-"), ME, "400", "elsewhere", id="it did not know its own start"),
        pytest.param(None, ME, "", "elsewhere", id="an older release"),
    ],
)
def test_only_what_is_proven_is_dead(holder: Holder | None, me: Holder, now: str | None, expected: str) -> None:
    def started(pid: int) -> str | None:
        assert holder is not None
        assert pid == holder.pid
        return now

    assert life(holder, me, started) == expected


def test_it_is_read_as_it_was_written() -> None:
    assert Holder.parse(str(OTHER)) == OTHER
    assert " " not in str(holders.me()).replace(" ", "", 5)
    assert Holder.parse(str(holders.me())) == holders.me()


@pytest.mark.parametrize("text", [None, "", "mail", "a b c d e f", "a b c d -1 f", "a b c d 1 f g"])
def test_what_is_no_holder_is_none(text: str | None) -> None:
    assert Holder.parse(text) is None


def test_this_process_lives() -> None:
    ours = holders.me()
    assert ours.pid == os.getpid()
    assert life(ours, ours, holders.started) == "alive"
    assert holders.started(1)  # of somebody else, maybe


def test_a_process_dies_before_anybody_has_waited_for_it() -> None:
    """A killed dispatcher stays a zombie for as long as its parent doesn't look: it sends nothing any more."""
    child = subprocess.Popen([sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        since = holders.started(child.pid)
        assert since
        assert since.isdecimal()
        theirs = replace(holders.me(), pid=child.pid, started=since)
        assert life(theirs, holders.me(), holders.started) == "alive"
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is still there
        assert life(theirs, holders.me(), holders.started) == "dead"
    assert holders.started(child.pid) == ""
    assert life(theirs, holders.me(), holders.started) == "dead"


def test_what_can_be_no_process_proves_nothing() -> None:
    assert holders.started(2**70) is None
