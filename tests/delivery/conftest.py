"""A message to send, and the ledger and the relay it goes through."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from delivery.dispatch import DispatchReport, Limits, Mailing, dispatch
from delivery.message import tokens
from delivery.message.build import Letterhead, MessageTemplate
from delivery.message.headers import Mailbox
from delivery.smtp.connect import PipelineTransport
from delivery.smtp.session import SmtpTransport, Timeouts
from milepost.records import Variant
from tests.certificate import self_signed
from tests.delivery.memory_ledger import START, Clock, MemoryLedger
from tests.delivery.misbehaving_relay import OneUser, Relay

KEY = "an-invented-key-of-thirty-two-characters"
PLACEHOLDER = "MILEPOST-UNSUBSCRIBE-4f1d"
LIST_ID = "milestones.timeline.example"
QUICK = Timeouts(connect=5, command=5, data=5, block=5, dot=5, quit=5)
IMPATIENT = Limits(connect_wait_s=0.0, record_wait_s=0.0)
READERS = 6
Run = Callable[..., DispatchReport]


def others(reader: int) -> list[int]:
    return [number for number in range(1, READERS + 1) if number != reader]


def a_variant(**changes: Any) -> Variant:
    fields: dict[str, Any] = {
        "name": "all", "subject": "Issue 7: a loom that plays chess", "placeholder": PLACEHOLDER,
        "html": f'<!doctype html><html lang="en"><body><h1>Issue 7</h1><a href="{PLACEHOLDER}">Leave</a></body></html>',
        "text": f"Issue 7\n\nA loom that plays chess.\n\nLeave: {PLACEHOLDER}\n",
    }
    return Variant(**(fields | changes))


def a_letterhead(**changes: Any) -> Letterhead:
    fields: dict[str, Any] = {
        "sender": Mailbox("Timeline", "news@timeline.example"), "list_id": LIST_ID, "list_name": "Milestones",
        "archive": "https://timeline.example/issues",
    }
    return Letterhead(**(fields | changes))


def a_mailing(**changes: Any) -> Mailing:
    fields: dict[str, Any] = {
        "issue": 1,
        "templates": {"all": MessageTemplate.build(a_variant(), letterhead=a_letterhead(), date=START)},
        "link": lambda claim: f"https://timeline.example/u/{tokens.make(KEY, handle=claim.reader, list_id=LIST_ID)}",
        "message_id": lambda claim: tokens.message_id(
            KEY, issue=1, reader=claim.reader, domain="timeline.example"
        ),
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
def user() -> OneUser:
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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for 127.0.0.1 and relay.example, and a server context that shows it."""
    cafile, keyfile = self_signed(tmp_path_factory.mktemp("tls"), address="127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cafile, keyfile)
    return cafile, context


@pytest.fixture
def ledger(ledgers: Any) -> Any:
    return ledgers(READERS)


@pytest.fixture
def run(transport: SmtpTransport, mailing: Any, clock: Any) -> Run:
    """Dispatch with a few settings changed."""

    def go(ledger: Any, **changes: Any) -> DispatchReport:
        options: dict[str, Any] = {"now": clock, "limits": IMPATIENT, "sleep": lambda _: None} | changes
        return dispatch(ledger, options.pop("transport", transport), options.pop("mailing", mailing), **options)

    return go


@pytest.fixture(params=["reference", "ours"])
def opened(request: pytest.FixtureRequest) -> Callable[[PipelineTransport], None]:
    """Opens a transport and closes it again, by smtplib and by our own client."""

    async def connect(transport: PipelineTransport) -> None:
        line = await transport.connect()
        line.wire.abort("seen enough")
        await asyncio.sleep(0)

    if request.param == "reference":
        return lambda transport: transport.open().quit()
    return lambda transport: asyncio.run(connect(transport))
