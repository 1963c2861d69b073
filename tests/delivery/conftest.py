"""A ledger that keeps the rules in memory, a real SMTP server that misbehaves on request, and a message to send."""

import asyncio
import copy
import datetime as dt
import ipaddress
import itertools
import re
import secrets
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from delivery import tokens
from delivery.dispatch import Limits, Mailing
from delivery.message import Letterhead, MessageTemplate
from delivery.pipeline import PipelineTransport
from delivery.smtp import SmtpTransport, Timeouts
from milepost.errors import ConflictError, StoreError
from milepost.records import Advanced, Claim, IssueState, Reply, Settlement, Variant

START = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
KEY = "an-invented-key-of-thirty-two-characters"
PLACEHOLDER = "MILEPOST-UNSUBSCRIBE-4f1d"
LIST_ID = "milestones.timeline.example"
QUICK = Timeouts(connect=5, command=5, data=5, block=5, dot=5, quit=5)
IMPATIENT = Limits(connect_wait_s=0.0, record_wait_s=0.0)


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> dt.datetime:
        return self.at

    def advance(self, **amount: float) -> None:
        self.at += dt.timedelta(**amount)


# --- the ledger -----------------------------------------------------------------------------------------------------


@dataclass
class Row:
    delivery_id: int
    subscriber_id: int
    address: str
    variant: str = "all"
    state: str = "pending"
    lease: str | None = None
    lease_until: dt.datetime | None = None
    retry_at: dt.datetime | None = None
    first_attempt_at: dt.datetime | None = None
    attempts: list[Reply] = field(default_factory=list)
    message_id: str | None = None
    queue_id: str | None = None
    history: list[str] = field(default_factory=list)

    def become(self, state: str) -> None:
        self.state = state
        self.history.append(state)


class MemoryLedger:
    """The states and rules of the ledger of deliveries, without a database. `break_at` makes a step fail."""

    def __init__(self, clock: Clock, readers: int, *, issue: int = 1, variant: str = "all") -> None:
        self.clock = clock
        self.issue = issue
        self.state: IssueState = "frozen"
        self.pause_reason: str | None = None
        self.rows = [
            Row(delivery_id=n, subscriber_id=n, address=f"r{n}@readers.example", variant=variant)
            for n in range(1, readers + 1)
        ]
        self.gone: set[int] = set()  # unsubscribed
        self.suppressed: dict[str, str] = {}
        self.break_at: dict[str, int] = {}  # step → how many times it fails
        self.before_begin: Callable[[Claim], None] = lambda _: None
        self.commits = 0
        self._tokens = itertools.count(1)

    def row(self, subscriber_id: int) -> Row:
        return self.rows[subscriber_id - 1]

    def states(self) -> dict[str, int]:
        return dict(Counter(row.state for row in self.rows))

    def recover(self, number: int) -> tuple[int, int]:
        self._break("recover")
        freed = orphaned = 0
        for row in self.rows:
            if row.lease_until is None or row.lease_until > self.clock():
                continue
            if row.state == "claimed":
                self._free(row)
                freed += 1
            elif row.state == "sending":
                row.become("unknown")  # its lease token stays: if its holder is alive after all, it brings evidence
                row.lease_until = None
                orphaned += 1
        return freed, orphaned

    def claim(self, number: int, *, limit: int, lease_seconds: int) -> list[Claim]:
        self._break("claim")
        if self.state not in ("frozen", "sending"):
            raise ConflictError(f"issue {number} is {self.state}")
        self.state = "sending"
        due = [
            row for row in self.rows
            if row.state == "pending" or (row.state == "deferred" and (row.retry_at or START) <= self.clock())
        ]
        return [self._lend(row, lease_seconds) for row in due[:limit]]

    def release(self, claims: Sequence[Claim]) -> int:
        self._break("release")
        mine = [row for row in map(self._find, claims) if row is not None and row.state == "claimed"]
        for row in mine:
            self._free(row)
        return len(mine)

    def begin(self, claim: Claim) -> bool:
        self.before_begin(claim)
        self._break("begin")
        row = self._find(claim)
        if row is None or row.state != "claimed":
            return False
        if self.state != "sending":
            self._free(row)
            return False
        if row.subscriber_id in self.gone or row.address in self.suppressed:
            row.become("cancelled" if row.subscriber_id in self.gone else "suppressed")
            row.lease = row.lease_until = None
            return False
        row.become("sending")
        return True

    def sent(self, claim: Claim, reply: Reply, message_id: str, *, queue_id: str | None = None) -> None:
        self._break("sent")
        row = self._settle(claim, reply, "sent", {"sending", "unknown"})
        row.message_id, row.queue_id = message_id, queue_id

    def deferred(self, claim: Claim, reply: Reply, retry_at: dt.datetime) -> None:
        self._break("deferred")
        self._settle(claim, reply, "deferred", {"claimed", "sending", "unknown"}).retry_at = retry_at

    def failed(self, claim: Claim, reply: Reply, suppress: str | None) -> None:
        self._break("failed")
        row = self._settle(claim, reply, "failed", {"claimed", "sending", "unknown"})
        if suppress is not None:
            self.suppressed[row.address] = suppress

    def unknown(self, claim: Claim, reply: Reply) -> None:
        self._break("unknown")
        self._settle(claim, reply, "unknown", {"sending"})

    def advance(self, settlements: Sequence[Settlement], claims: Sequence[Claim]) -> Advanced:
        """One commit: all of it or nothing."""
        before = copy.deepcopy(self.rows)
        suppressed = dict(self.suppressed)
        try:
            lost = frozenset(done.claim.delivery_id for done in settlements if not self._record(done))
            begun = frozenset(claim.delivery_id for claim in claims if self.begin(claim))
        except StoreError:
            self.rows, self.suppressed = before, suppressed
            raise
        self.commits += 1
        return Advanced(begun=begun, lost=lost)

    def _record(self, done: Settlement) -> bool:
        try:
            match done.state:
                case "sent":
                    self.sent(done.claim, done.reply, done.message_id or "", queue_id=done.queue_id)
                case "deferred":
                    self.deferred(done.claim, done.reply, done.retry_at or START)
                case "failed":
                    self.failed(done.claim, done.reply, done.suppress)
                case "unknown":
                    self.unknown(done.claim, done.reply)
        except ConflictError:
            return False
        return True

    def pause(self, number: int, reason: str) -> None:
        self.state, self.pause_reason = "paused", reason

    def resume(self) -> None:
        self.state, self.pause_reason = "sending", None

    def finish(self, number: int) -> IssueState:
        states = self.states()
        if self.state == "sending" and not {"pending", "claimed", "sending", "deferred"} & set(states):
            self.state = "needs_review" if "unknown" in states else "complete"
        return self.state

    def next_due(self, number: int) -> dt.datetime | None:
        return min((row.retry_at for row in self.rows if row.state == "deferred" and row.retry_at), default=None)

    def _break(self, step: str) -> None:
        if self.break_at.get(step, 0):
            self.break_at[step] -= 1
            raise StoreError("the disk is full")

    def _find(self, claim: Claim) -> Row | None:
        row = self.rows[claim.delivery_id - 1]
        return row if row.lease == claim.lease else None

    def _lend(self, row: Row, lease_seconds: int) -> Claim:
        row.lease = f"lease-{next(self._tokens)}"
        row.lease_until = self.clock() + dt.timedelta(seconds=lease_seconds)
        row.become("claimed")
        return Claim(
            delivery_id=row.delivery_id, issue=self.issue, subscriber_id=row.subscriber_id, address=row.address,
            variant=row.variant, lease=row.lease, attempts=len(row.attempts), first_attempt_at=row.first_attempt_at,
        )

    def _free(self, row: Row) -> None:
        row.become("pending")
        row.lease = row.lease_until = None

    def _settle(self, claim: Claim, reply: Reply, state: str, allowed: set[str]) -> Row:
        row = self._find(claim)
        if row is None or row.state not in allowed:
            raise ConflictError("the lease no longer holds")
        row.become(state)
        row.lease = row.lease_until = None
        row.first_attempt_at = row.first_attempt_at or self.clock()
        row.attempts.append(reply)
        return row


# --- the relay ------------------------------------------------------------------------------------------------------

DROP, HANG = "drop", "hang"
Verb = str  # connect | ehlo | mail | rcpt | data | body | dot | rset | quit


@dataclass
class Taken:
    """A message as the relay accepted it, noted before it answers."""

    sender: str
    recipients: list[str]
    content: bytes


class Relay:
    """An SMTP server on loopback. `fault(verb, reader, what, times)`: a reply, DROP or HANG; reader None: anyone."""

    def __init__(self, **smtpd: Any) -> None:
        self.taken: list[Taken] = []
        self.verbs: list[str] = []
        self.connections = 0
        self.pipelining = False
        self.dsn = False  # offered, and its parameters taken (RFC 3461)
        self.senders: list[str] = []  # what came after MAIL, parameters and all
        self.sessions: list[Misbehaving] = []
        self.before_answer: Callable[[Taken], object] = lambda _: None
        self.on_verb: Callable[[Verb], object] = lambda _: None
        self._faults: dict[tuple[Verb, int | None], list[str]] = {}
        self._options = smtpd
        self._tls = smtpd.pop("ssl", None)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(
            lambda: Misbehaving(self, loop=self._loop, **self._options), "127.0.0.1", 0, ssl=self._tls
        )

    def fault(self, verb: Verb, reader: int | None, what: str, times: int = 1) -> None:
        self._faults.setdefault((verb, reader), []).extend([what] * times)

    def pick(self, verb: Verb, reader: int | None) -> str | None:
        for key in ((verb, reader), (verb, None)):
            if self._faults.get(key):
                return self._faults[key].pop(0)
        return None

    @property
    def readers(self) -> list[int]:
        """Whose mail was accepted, one entry each time."""
        return [_reader(taken.recipients[0]) or 0 for taken in self.taken]

    def close(self) -> None:
        async def stop() -> None:
            self._server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for session in self.sessions:
                if session.transport is not None:
                    session.transport.abort()
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


def _reader(text: str) -> int | None:
    match = re.search(r"[a-z](\d+)@", text)
    return int(match.group(1)) if match else None


class Handler:
    def __init__(self, relay: Relay) -> None:
        self.relay = relay

    async def handle_EHLO(  # noqa: N802
        self, server: "Misbehaving", session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        offers = [*["250-PIPELINING"] * self.relay.pipelining, *["250-DSN"] * self.relay.dsn]
        return [*responses[:-1], *offers, responses[-1]]

    async def handle_DATA(self, server: "Misbehaving", session: Session, envelope: Envelope) -> str:  # noqa: N802
        reader = _reader(envelope.rcpt_tos[0])
        fault = self.relay.pick("dot", reader)
        if fault is not None and fault not in (DROP, HANG) and not fault.startswith("250"):
            return fault
        recipients = [str(recipient) for recipient in envelope.rcpt_tos]
        taken = Taken(str(envelope.mail_from), recipients, bytes(envelope.content or b""))
        self.relay.taken.append(taken)
        self.relay.before_answer(taken)
        if fault in (DROP, HANG):
            await server.misbehave(fault)
        return fault or f"250 2.0.0 Ok: queued as Q{len(self.relay.taken):06d}"


class Misbehaving(SMTP):
    """aiosmtpd with a fault in front of each verb."""

    def __init__(self, relay: Relay, **options: Any) -> None:
        super().__init__(Handler(relay), hostname="relay.example", **options)
        self.relay = relay
        relay.sessions.append(self)

    async def misbehave(self, fault: str) -> None:
        if fault == HANG:
            await asyncio.sleep(3600)
        elif fault == DROP:
            self.transport.abort()
            raise ConnectionResetError
        await self.push(fault)
        if fault.startswith("421"):
            self.transport.close()
            raise ConnectionResetError

    async def _before(self, verb: Verb, reader: int | None) -> bool:
        self.relay.verbs.append(verb)
        self.relay.on_verb(verb)
        fault = self.relay.pick(verb, reader)
        if fault is None:
            return True
        await self.misbehave(fault)
        return False

    async def _handle_client(self) -> None:
        self.relay.connections += 1
        try:
            if await self._before("connect", None):
                await super()._handle_client()
        except ConnectionResetError:
            return

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        if await self._before("ehlo", None):
            await super().smtp_EHLO(hostname)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        self.relay.senders.append(arg or "")
        if self.relay.dsn and arg is not None:
            arg = re.sub(r" (?:RET|ENVID)=\S+", "", arg)  # which aiosmtpd does not know
        if await self._before("mail", _reader(arg or "")):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        if await self._before("rcpt", _reader(arg or "")):
            await super().smtp_RCPT(arg)

    async def smtp_RSET(self, arg: str | None) -> None:  # noqa: N802
        if await self._before("rset", None):
            await super().smtp_RSET(arg)

    async def smtp_QUIT(self, arg: str | None) -> None:  # noqa: N802
        if await self._before("quit", None):
            await super().smtp_QUIT(arg)

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        reader = _reader(self.envelope.rcpt_tos[0]) if self.envelope.rcpt_tos else None
        if not await self._before("data", reader):
            return
        body = self.relay.pick("body", reader)
        if body is not None:
            await self.push("354 go on")
            await self._reader.read(64)
            await self.misbehave(body)
        await super().smtp_DATA(arg)


# --- what is sent ---------------------------------------------------------------------------------------------------


def a_variant(**changes: str) -> Variant:
    fields = {
        "name": "all", "subject": "Issue 7: a loom that plays chess", "placeholder": PLACEHOLDER,
        "html": f'<!doctype html><html lang="en"><body><h1>Issue 7</h1><a href="{PLACEHOLDER}">Leave</a></body></html>',
        "text": f"Issue 7\n\nA loom that plays chess.\n\nLeave: {PLACEHOLDER}\n",
    }
    return Variant(**(fields | changes))


def a_letterhead(**changes: Any) -> Letterhead:
    fields: dict[str, Any] = {
        "sender": "Timeline <news@timeline.example>", "list_id": LIST_ID, "list_name": "Milestones",
        "archive": "https://timeline.example/issues",
    }
    return Letterhead(**(fields | changes))


def a_mailing(**changes: Any) -> Mailing:
    fields: dict[str, Any] = {
        "issue": 1,
        "templates": {"all": MessageTemplate.build(a_variant(), letterhead=a_letterhead(), date=START)},
        "link": lambda reader: (
            f"https://timeline.example/u/{tokens.make(KEY, subscriber_id=reader, list_id=LIST_ID)}"
        ),
        "message_id": lambda reader: tokens.message_id(KEY, issue=1, subscriber_id=reader, domain="timeline.example"),
        "envelope": lambda claim: f"b{claim.subscriber_id}@bounces.example",
    }
    return Mailing(**(fields | changes))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledgers(clock: Clock) -> Callable[..., MemoryLedger]:
    """Makes ledgers: how many readers, then anything else of MemoryLedger."""
    return lambda readers, **options: MemoryLedger(clock, readers, **options)


@pytest.fixture
def variants() -> Callable[..., Variant]:
    """Makes a variant; keywords change its fields."""
    return a_variant


@pytest.fixture
def letterheads() -> Callable[..., Letterhead]:
    """Makes a letterhead; keywords change its fields."""
    return a_letterhead


@pytest.fixture
def templates() -> Callable[..., MessageTemplate]:
    """Makes a template of a variant with those changes."""
    return lambda **changes: MessageTemplate.build(a_variant(**changes), letterhead=a_letterhead(), date=START)


@pytest.fixture
def mailings() -> Callable[..., Mailing]:
    """Makes a mailing; keywords change its fields."""
    return a_mailing


@pytest.fixture
def mailing() -> Mailing:
    return a_mailing()


@pytest.fixture
def user() -> "OneUser":
    return OneUser()


@pytest.fixture
def relays() -> Iterator[Callable[..., Relay]]:
    """Starts relays with aiosmtpd's options, and stops them afterwards."""
    started: list[Relay] = []

    def start(**options: Any) -> Relay:
        started.append(Relay(**options))
        return started[-1]

    yield start
    for relay in started:
        relay.close()


@pytest.fixture
def relay(relays: Callable[..., Relay]) -> Relay:
    return relays()


@pytest.fixture(params=["reference", "lock-step", "pipelining"])
def transport(request: pytest.FixtureRequest, relay: Relay) -> SmtpTransport:
    """The slow reference, and our own client with a relay that lets it pipeline and one that does not."""
    relay.pipelining = request.param == "pipelining"
    kind = SmtpTransport if request.param == "reference" else PipelineTransport
    return kind(host="127.0.0.1", port=relay.port, security="plain", timeouts=QUICK)


@pytest.fixture
def closed_port() -> int:
    """A port where nobody listens."""
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class OneUser:
    """An aiosmtpd authenticator with an invented user."""

    def __init__(self) -> None:
        self.user, self.password = b"relay-user", secrets.token_urlsafe(9).encode() + b"@:/%"
        self.admitted = 0

    def __call__(self, server: object, session: object, envelope: object, mechanism: str, data: Any) -> AuthResult:
        right = data.login == self.user and data.password == self.password
        self.admitted += right
        return AuthResult(success=right, handled=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for 127.0.0.1 and relay.example, and a server context that shows it."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay.example")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("relay.example")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cafile, keyfile = folder / "ca.pem", folder / "key.pem"
    cafile.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    keyfile.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cafile, keyfile)
    return cafile, context
