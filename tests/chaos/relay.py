"""A Postfix of our own on loopback, and the mail servers of the readers behind it.

    dispatcher ─▶ Postfix (its configuration, queue and log in one folder) ─▶ Sink ─▶ two Maildirs: readers, bounces
"""

import mailbox
import os
import pwd
import re
import shutil
import socket
import stat
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
myhostname = relay.example
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
relayhost = [127.0.0.1]:{sink}
smtpd_recipient_restrictions = check_recipient_access texthash:{folder}/etc/recipients, permit_mynetworks, reject
smtp_tls_security_level = none
smtpd_tls_security_level = none
notify_classes =
"""
_SERVICES = """
{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - 20 smtp
relay unix - - n - 20 smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class NoRelayError(Exception):
    """Postfix can't be run here; says why."""


class Postfix:
    """A running relay."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self.port, self.log = folder, port, folder / "maillog"

    def access(self, answers: Mapping[str, str]) -> None:
        """What it says to RCPT of these addresses: "450 4.2.1 later"."""
        lines = [f"{address} {answer}\n" for address, answer in answers.items()]
        (self._folder / "etc" / "recipients").write_text("".join(lines))
        _run("postfix", "-c", str(self._folder / "etc"), "reload")

    def drain(self, seconds: float = 300) -> None:
        """Wait until its queue is empty."""
        give_up = time.monotonic() + seconds
        queues = [self._folder / "queue" / name for name in ("incoming", "active", "deferred")]
        # a message that is whole is marked as executable; another one's sender never came to its end
        while any(_mode(file) & stat.S_IXUSR for queue in queues for file in queue.rglob("*")):
            assert time.monotonic() < give_up, f"the relay's queue does not empty:\n{self.log.read_text()[-1500:]}"
            time.sleep(0.1)


@contextmanager
def postfix(sink: int) -> Iterator[Postfix]:
    """A Postfix that relays all it gets to the port `sink`; raises NoRelayError."""
    if shutil.which("postfix") is None:
        raise NoRelayError("postfix is not installed: apt-get install --no-install-recommends postfix")
    if os.geteuid() != 0:
        raise NoRelayError("its master wants to be started by root")
    folder = Path("/tmp") / f"milepost-postfix-{os.getpid()}"  # noqa: S108 (a socket's path is short)
    etc = folder / "etc"
    etc.mkdir(parents=True)
    for name in ("queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", pwd.getpwnam("postfix").pw_uid)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (etc / "main.cf").write_text(_MAIN.format(folder=folder, sink=sink))
    (etc / "master.cf").write_text(_SERVICES.format(port=port))
    (etc / "recipients").touch()
    try:
        _run("postfix", "-c", str(etc), "start")
        yield Postfix(folder, port)
    finally:
        subprocess.run([_path("postfix"), "-c", etc, "stop"], capture_output=True, timeout=60, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _mode(file: Path) -> int:
    """0 for a folder, and for what has just gone."""
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        return 0
    return mode if stat.S_ISREG(mode) else 0


def _path(name: str) -> str:
    return shutil.which(name) or f"/usr/sbin/{name}"


def _run(name: str, *arguments: str) -> None:
    done = subprocess.run([_path(name), *arguments], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise NoRelayError(f"{name} {arguments[-1]}: {(done.stderr or done.stdout).strip()[-300:]}")


class Sink:
    """The readers' servers: note what comes, as the oracle does, and keep it; some readers are no more, or full."""

    def __init__(self, log: Path, folder: Path) -> None:
        self._log = log.open("a", buffering=1)
        self.readers = mailbox.Maildir(folder / "readers")
        self.bounces = mailbox.Maildir(folder / "bounces")
        self.refused: Counter[str] = Counter()

    def close(self) -> None:
        self._log.close()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 (its name)
        content = envelope.original_content or b""
        [who] = envelope.rcpt_tos
        if who.endswith("@bounces.example"):
            top = b"Return-Path: <>\nDelivered-To: " + who.encode() + b"\n"
            self.bounces.add(top + content.replace(b"\r\n", b"\n"))
            return "250 2.0.0 Ok"
        found = re.search(rb"^Message-ID: (\S+)", content, re.MULTILINE | re.IGNORECASE)
        self._log.write(f"{time.monotonic():.6f} took {who} {found.group(1).decode() if found else '-'}\n")
        if who.startswith("gone"):
            self.refused[who] += 1
            return "550 5.1.1 there is nobody of that name"
        if who.startswith("full"):
            self.refused[who] += 1
            return "552 5.2.2 no room"
        self.readers.add(content)
        return "250 2.0.0 Ok"


@contextmanager
def sink(log: Path, folder: Path) -> Iterator[tuple[Sink, int]]:
    """The readers' servers at work → them, and their port."""
    handler = Sink(log, folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller: Any = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield handler, port
    finally:
        controller.stop()
        handler.close()
