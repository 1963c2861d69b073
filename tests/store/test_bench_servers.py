"""A bench that is ended takes the server that it started with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.interruptible import interruptible
from tests.store import postgresql

BENCH = """
import sys, time
from bench.servers import server_for
with server_for("own", wanted=True) as url:
    print(url.partition("host=")[2], flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_its_server_ends_with_a_bench(how: signal.Signals, postgresql_server: str) -> None:
    assert postgresql_server
    with interruptible():
        bench = subprocess.Popen(
            [sys.executable, "-c", BENCH], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
    assert bench.stdout is not None
    try:
        place = Path(bench.stdout.readline().strip())
        server = int((place / "data" / "postmaster.pid").read_text(encoding="ascii").split()[0])
        os.kill(bench.pid, how)
        assert bench.wait(timeout=60) != 0
    finally:
        bench.kill()
        bench.wait()
        bench.stdout.close()
    for _ in range(600):
        if not place.exists() and not Path(f"/proc/{server}").exists():
            break
        time.sleep(0.1)
    assert not place.exists()
    assert not Path(f"/proc/{server}").exists()


def test_a_server_that_is_given_is_left_alone(postgresql_server: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", BENCH.replace("time.sleep(600)", "").replace('"own"', repr(postgresql_server))],
        capture_output=True, text=True, check=True,
    )
    assert told.stdout.strip() == postgresql_server.partition("host=")[2].strip()
    assert postgresql.shared() == postgresql_server
