"""A dispatcher to be killed, stopped, or brought into trouble at a named point: the body of a process of its own."""

import datetime as dt
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from delivery.dispatch import Limits, Mailing, dispatch
from delivery.message import tokens, verp
from delivery.message.build import Letterhead, MessageTemplate
from delivery.message.headers import Mailbox
from delivery.ports import TryAdvance
from delivery.smtp.connect import PipelineTransport
from delivery.smtp.session import Timeouts
from delivery.smtp.wire import Wire
from milepost.errors import MilepostError
from milepost.records import Advanced, Claim
from store.database import Database, connect
from store.issues.issues import Issues
from store.ledger import ledger as ledgers
from store.ledger.ledger import Ledger
from store.ledger.writers import Writer
from tests.chaos.backends import FAR
from tests.chaos.clocks import Clock

KEY = "an-invented-key-of-thirty-two-characters"
FROZEN = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
DOMAIN = "timeline.example"
BOUNCES = "bounces@bounces.example"


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What a dispatcher is to do, and where it is to come to grief."""

    url: str
    port: int
    connections: int = 4
    lease: int = 2  # seconds
    point: str = ""  # before-T1, after-T3, before-data, after-dot …
    count: int = 1  # at its so-manieth coming there
    trap: str = "kill"  # kill | "hold FOLDER" (until FOLDER/go is there) | "fill FOLDER" (the disk it is on)
    wait: float = 60.0  # seconds for another writer
    timeouts: Timeouts = field(default_factory=Timeouts)
    record_tries: int = 4
    record_wait: float = 0.2
    clock: Path | None = None  # a file with the seconds by which the clocks are wrong
    dkim: Path | None = None  # sign with this key
    whole: bool = False  # what is deferred waits for its time, as it does in life


class Trap:
    """Does what the order says the moment a point has been passed so often."""

    def __init__(self, order: Order) -> None:
        self._point, self._left, (self._what, _, self._where) = order.point, order.count, order.trap.partition(" ")
        self._database = order.url.removeprefix("sqlite:///")

    def __call__(self, point: str) -> None:
        if point != self._point:
            return
        self._left -= 1
        if self._left:
            return
        match self._what:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hold":
                hold(Path(self._where))
            case "fill":
                self._fill(Path(self._where))

    def _fill(self, folder: Path) -> None:
        with closing(sqlite3.connect(self._database)) as database:  # what comes next wants room of its own
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with (folder / "ballast").open("wb", buffering=0) as ballast:
            for size in (65536, 4096, 1):
                try:
                    while ballast.write(b"\0" * size):
                        pass
                except OSError:
                    continue
        (folder.parent / "reached").touch()


def hold(folder: Path) -> None:
    """Say that we have come there, and wait for leave to go on."""
    (folder / "reached").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)


class Watched(Ledger):
    """The ledger, with a trap at each commit; what was deferred is due at once."""

    trap: Callable[[str], None]
    whole: bool

    def claim(self, number: int, *, limit: int, lease_seconds: int, after: int = 0) -> list[Claim]:
        self.trap("before-T1")
        claims = super().claim(number, limit=limit, lease_seconds=lease_seconds, after=after)
        self.trap("after-T1")
        return claims

    def advance(self, settlements: Any, claims: Any) -> Advanced:
        advanced = self._passing(super().advance, settlements, claims)
        assert advanced is not None
        return advanced

    @contextmanager
    def try_advance(self) -> Iterator[TryAdvance]:
        with super().try_advance() as advance:
            yield lambda settlements, claims: self._passing(advance, settlements, claims)

    @contextmanager
    def writers(self) -> Iterator[list[Any]]:
        with super().writers() as opened:
            yield [WatchedWriter(writer, self) for writer in opened]

    def _passing(self, advance: TryAdvance, settlements: Any, claims: Any) -> Advanced | None:
        settlements = self.before(settlements, claims)
        advanced = advance(settlements, claims)
        if advanced is not None:
            self.after(settlements, claims)
        return advanced

    def before(self, settlements: Any, claims: Any) -> Any:
        """The settlements as they are to be made."""
        if claims:
            self.trap("before-T3")
        if settlements:
            self.trap("before-T4")
        return settlements if self.whole else [replace(one, retry_at=one.retry_at and FROZEN) for one in settlements]

    def after(self, settlements: Any, claims: Any) -> None:
        if claims:
            self.trap("after-T3")
        if settlements:
            self.trap("after-T4")


class WatchedWriter:
    """A writer of the ledger's, with its traps."""

    def __init__(self, writer: Writer, ledger: Watched) -> None:
        self._writer, self._ledger = writer, ledger
        self._batch: tuple[Any, Any] = (), ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def send(self, settlements: Any, claims: Any) -> bool:
        self._batch = self._ledger.before(settlements, claims), claims
        return self._writer.send(*self._batch)

    def answer(self) -> Advanced | None:
        advanced = self._writer.answer()
        if advanced is not None:
            self._ledger.after(*self._batch)
        return advanced


def watch(trap: Callable[[str], None], *, in_two: bool = False) -> None:
    """A trap at each command that goes out; `in_two`: the kernel takes a body, and its dot in a second call."""
    put, put_message = Wire.put, Wire.put_message

    def watched(self: Wire, data: bytes, *phases: str) -> None:
        for phase in phases:
            trap(f"before-{phase}")
        put(self, data, *phases)
        for phase in phases:
            trap(f"after-{phase}")

    def message(self: Wire, body: bytes, rest: bytes, *phases: str) -> bool:
        trap("before-body")
        return put_message(self, body, rest, *phases)

    Wire.put, Wire.put_message = watched, message  # type: ignore[method-assign]
    if in_two:
        both = Wire._at_once
        Wire._at_once = lambda self, body, rest: both(self, body, rest[:0])  # type: ignore[method-assign]


def mailing(database: Database, number: int = 1, sign: Callable[[bytes], bytes] = bytes) -> Mailing:
    """What is the same for all readers of the issue."""
    head = Letterhead(sender=Mailbox("", f"news@{DOMAIN}"), list_id=f"milestones.{DOMAIN}")
    variants = list(Issues(database).variants(number))
    templates = {v.name: MessageTemplate.build(v, letterhead=head, date=FROZEN) for v in variants}
    return Mailing(
        issue=number, templates=templates, link=lambda claim: f"https://{DOMAIN}/u/{claim.subscriber_id}",
        message_id=lambda claim: tokens.message_id(KEY, issue=number, reader=claim.reader, domain=DOMAIN),
        envelope=lambda claim: verp.make(KEY, base=BOUNCES, delivery_id=claim.delivery_id), sign=sign,
    )


def run(order: Order, said: Connection) -> None:
    """Dispatch issue 1; says "go" when it starts, and at the end what came of it, or the error's name and sentence."""
    if FAR in order.url:
        ledgers.NEAR_S = 0.0
    trap = Trap(order)
    watch(trap, in_two=order.point == "before-dot")
    clock = Clock(order.clock)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    limits = Limits(
        connections=order.connections, lease_seconds=order.lease, per_connection=50, connect_wait_s=0.05,
        connect_tries=8, record_tries=order.record_tries, record_wait_s=order.record_wait,
    )
    relay = PipelineTransport(host="127.0.0.1", port=order.port, security="plain", timeouts=order.timeouts)
    said.send("go")
    try:
        with clock.set(), connect(order.url, wait_seconds=order.wait) as database:
            ledger = Watched(database)
            ledger.trap = trap
            ledger.whole = order.whole
            report = dispatch(
                ledger, relay, mailing(database, sign=_signer(order.dkim)), now=clock.now, limits=limits,
                stop=lambda: bool(asked),
            )
    except MilepostError as error:
        said.send(f"{type(error).__name__}: {error}")
    else:
        said.send(f"{report.state} {dict(report.results)}")


def _signer(key: Path | None) -> Callable[[bytes], bytes]:
    if key is None:
        return bytes
    from delivery.message.dkim import Signer

    return Signer.from_pem(key.read_bytes(), domain=DOMAIN, selector="chaos", sender=f"news@{DOMAIN}").sign
