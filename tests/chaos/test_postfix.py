"""A real relay: what it refuses, what it sends back, what it signs for, and what its log knows that we don't."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from milepost.dates import utc_now
from milepost.settings import Settings, parse
from pipeline.bounces import read_bounces
from pipeline.resolve import resolve_by_log
from store.database import Database, connect
from store.ledger.ledger import Ledger
from store.subscribers.suppressions import Suppressions
from tests.chaos import runner
from tests.chaos.backends import Backend
from tests.chaos.conftest import Size, Told
from tests.chaos.dispatcher import DOMAIN, KEY
from tests.chaos.relay import NoRelayError, Postfix, Sink, postfix, sink
from tests.chaos.runner import World

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
KINDS = ("gone", "full", "refused", "busy", *["well"] * 16)  # what becomes of a message to a reader


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[tuple[Sink, int]]:
    (tmp_path / "mail").mkdir()
    with sink(tmp_path / "sink.log", tmp_path / "mail") as found:
        yield found


@pytest.fixture
def relay(behind: tuple[Sink, int]) -> Iterator[Postfix]:
    try:
        with postfix(behind[1]) as running:
            yield running
    except NoRelayError as error:
        pytest.skip(f"no Postfix: {error}")


def settings_for(url: str) -> Settings:
    return parse({
        "store": {"url": url},
        "mail": {
            "from": f"News <news@{DOMAIN}>", "postal_address": "1 Invented Row", "bounce_domain": "bounces.example",
        },
        "web": {"signing_key": KEY},
    })


def dkim_key(file: Path) -> bytes:
    """Write a new key → the DNS record that makes it known."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return b"v=DKIM1; k=rsa; p=" + b"".join(public.splitlines()[1:-1])


def test_a_real_relay(
    tmp_path: Path, backend: Backend, size: Size, told: Told, behind: tuple[Sink, int], relay: Postfix
) -> None:
    """Refusals by an access map, doubts by cuts and kills; its log and its reports settle what we could not know."""
    addresses = [f"{KINDS[n % len(KINDS)]}{n}@readers.example" for n in range(size.few * 4)]
    kinds = {kind: {one for one in addresses if one.startswith(kind)} for kind in KINDS}
    url = backend.fresh(tmp_path)
    runner.fill(url, addresses)
    refused = dict.fromkeys(kinds["refused"], "550 5.1.1 no such reader")
    relay.access(refused | dict.fromkeys(kinds["busy"], "450 4.2.1 come back later"))
    record = dkim_key(tmp_path / "dkim.pem")
    # The connection is cut where the relay has taken a message and is about to say so: a doubt each time.
    plan = {"to": relay.port, "seed": size.seed, "word": "queued as", "from": "server", "when": "before",
            "share": 0.05, "times": len(addresses)}
    (tmp_path / "proxy.json").write_text(json.dumps(plan))
    with runner.program("proxy.py", str(tmp_path / "proxy.json"), str(tmp_path / "cuts")) as port:
        here = World(url, port, tmp_path / "sink.log", len(addresses))
        here.order = replace(here.order, dkim=tmp_path / "dkim.pem")
        killed = runner.kills(here, 4, size.seed)
        time.sleep(runner.LEASE + 0.3)
        here.start().end()
        assert here.states()["deferred"] == len(kinds["busy"])
        relay.access(refused)
        here.finish()
        relay.drain()
        cuts = len((tmp_path / "cuts").read_text().splitlines())
        told(f"Postfix: {killed} kills, {cuts} cuts", backend, here.verdict(), at_most=cuts + killed * size.connections)
        assert here.verdict().unknown >= cuts > 0
        settings = settings_for(url)
        _judged_by_its_log(here, settings, relay)
        here.finish()  # what the log proved not to have arrived is sent
    relay.drain()
    after = here.verdict()
    told("Postfix: after its log was read", backend, replace(after, listed=True), at_most=0)
    with connect(url) as database:
        rows = {row.address: row for row in Ledger(database).rows(1)}
        assert {who for who, row in rows.items() if row.state == "failed"} - kinds["gone"] - kinds["full"] == kinds[
            "refused"
        ]
        assert all(rows[who].state == "sent" for who in kinds["busy"] | kinds["well"])
        _sent_back(settings, database, behind[0], tmp_path, kinds)
    _signed(behind[0], record)


def _judged_by_its_log(here: World, settings: Settings, relay: Postfix) -> None:
    """What we could not know: at least 99 % of it is settled, and settled rightly."""
    taken = {line.who for line in here.lines("took")}
    with connect(here.url) as database:
        found = resolve_by_log(settings, database, 1, [relay.log], now=utc_now(), complete=True)
    left = found.results.get("unknown", 0)
    print(f"\nPostfix's log settles {found.unknown - left} of {found.unknown}: {dict(found.results)}")  # noqa: T201
    assert found.unknown - left >= 0.99 * found.unknown > 0
    for who, outcome, line in found.evidence:
        assert (outcome != "pending") == (who in taken), line


def _sent_back(
    settings: Settings, database: Database, sink: Sink, folder: Path, kinds: dict[str, set[str]]
) -> None:
    """The relay's own reports: who is gone is never mailed again, who was full is counted, once however often read."""
    source = f"maildir:///{folder / 'mail' / 'bounces'}"
    came = len(list(sink.bounces.keys()))
    assert came == sum(sink.refused.values()) == len(kinds["gone"] | kinds["full"])
    first = read_bounces(settings, database, source, now=utc_now())
    assert first.read == came
    assert first.results["suppressed"] == len(kinds["gone"])
    assert first.results["counted"] == len(kinds["full"])
    assert "forged" not in first.results
    listed = {one.normalized for one in Suppressions(database).list()}
    assert listed == kinds["gone"] | kinds["refused"]
    again = read_bounces(settings, database, source, now=utc_now())
    assert set(again.results) <= {"seen"}


def _signed(sink: Sink, record: bytes) -> None:
    """Each message still proves who sent it, after the relay put its own headers on top."""
    messages = [sink.readers.get_bytes(key) for key in sink.readers.keys()]  # noqa: SIM118 (no dict)
    assert messages
    for message in messages:
        assert message.startswith(b"Received:")
        assert dkim.verify(message, dnsfunc=lambda *_, **__: record)
