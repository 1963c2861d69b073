"""Signatures that another implementation verifies, from the bytes a real server received."""

import base64
import re
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from delivery.dispatch import dispatch
from delivery.message.dkim import Signer, relaxed_body, relaxed_header
from milepost.errors import RenderError, SettingsError

dkim = pytest.importorskip("dkim", reason="dkimpy, the other implementation, is not installed")

COVERED = {
    "from", "to", "subject", "date", "message-id", "mime-version", "content-type", "list-id", "list-unsubscribe",
    "list-unsubscribe-post",
}


def pem(key: Any, form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8) -> bytes:
    return bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(params=["rsa", "ed25519"])
def signer(request: pytest.FixtureRequest, rsa_key: rsa.RSAPrivateKey) -> Signer:
    if request.param == "ed25519":
        pytest.importorskip("nacl", reason="PyNaCl, with which dkimpy verifies Ed25519, is not installed")
    key = rsa_key if request.param == "rsa" else ed25519.Ed25519PrivateKey.generate()
    return Signer.from_pem(pem(key), domain="timeline.example", selector="s1", sender="news@timeline.example")


def verified(raw: bytes, signer: Signer) -> bool:
    """Whether dkimpy, asking a DNS that holds only our record, agrees."""

    def lookup(name: bytes, **_: int) -> bytes | None:
        return signer.record.encode() if name.decode().rstrip(".") == signer.record_name else None

    return bool(dkim.verify(raw, dnsfunc=lookup))


@pytest.fixture
def received(relay: Any, transport: Any, ledgers: Any, clock: Any, mailings: Any, signer: Signer) -> bytes:
    assert dispatch(ledgers(1), transport, mailings(sign=signer.sign), now=clock).results == {"sent": 1}
    content = relay.taken[0].content
    assert isinstance(content, bytes)
    return content


def test_it_verifies_after_the_wire(received: bytes, signer: Signer) -> None:
    assert verified(received, signer)


def test_it_covers_what_providers_ask_for_and_limits_nothing(received: bytes, signer: Signer) -> None:
    head = received.partition(b"\r\n\r\n")[0].decode("ascii")
    signature = head.partition("\r\nFrom:")[0]
    tags = dict(tag.split("=", 1) for tag in re.sub(r"\s|DKIM-Signature:", "", signature).split(";"))
    covered = tags["h"].split(":")
    assert set(covered) >= COVERED
    assert len(covered) == len(set(covered))
    assert set(tags) == {"v", "a", "c", "d", "s", "h", "bh", "b"}
    assert (tags["a"], tags["c"]) == (signer.algorithm, "relaxed/relaxed")
    assert max(map(len, signature.split("\r\n"))) <= 76


def test_a_relay_may_touch_what_relaxed_allows(received: bytes, signer: Signer) -> None:
    head, _, body = received.partition(b"\r\n\r\n")
    touched = b"Received: by relay.example; now\r\n" + head.replace(b"Subject: ", b"subject:\t ") + b"\r\n\r\n" + body
    assert verified(touched + b"\r\n\r\n", signer)


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "body": lambda raw: raw.replace(b"chess", b"chesS"),
    "subject": lambda raw: raw.replace(b"Subject: I", b"Subject: i"),
    "way out": lambda raw: raw.replace(b"List-Unsubscribe: <https://t", b"List-Unsubscribe: <https://x"),
    "one click": lambda raw: raw.replace(b"-Post: List", b"-Post: list"),
    "recipient": lambda raw: raw.replace(b"To: r1@", b"To: r2@"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_any_change_is_noticed(change: Callable[[bytes], bytes], received: bytes, signer: Signer) -> None:
    assert change(received) != received
    assert not verified(change(received), signer)


def test_another_key_does_not_verify(received: bytes, signer: Signer) -> None:
    other: Any = ed25519.Ed25519PrivateKey.generate()
    if signer.algorithm == "rsa-sha256":
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert not verified(received, Signer.from_pem(pem(other), domain=signer.domain, selector="s1"))


def test_the_same_bytes_on_every_attempt(signer: Signer, templates: Any) -> None:
    message = templates().bytes_for(
        address="r@readers.example", unsubscribe_url="https://t.example/u/x", message_id="<m@timeline.example>"
    )
    assert signer.sign(message) == signer.sign(message)
    assert signer.sign(message).endswith(message)


TEXT = st.text(st.sampled_from("ab \t\r\n."), max_size=60)


@given(TEXT)
def test_the_relaxed_forms_are_dkimpys(text: str) -> None:
    from dkim.canonicalization import Relaxed

    body = re.sub(r"\r\n|\r|\n", "\r\n", text).encode()
    ended = body if body.endswith(b"\r\n") or not body else body + b"\r\n"
    assert relaxed_body(body) == Relaxed.canonicalize_body(ended)
    value = re.sub(r"[\r\n]+", "\r\n ", text).encode()
    [(name, expected)] = Relaxed.canonicalize_headers([(b"Subject", value + b"\r\n")])
    assert relaxed_header(b"subject", value) + b"\r\n" == name + b":" + expected


def test_a_message_without_from_is_not_signed(signer: Signer) -> None:
    with pytest.raises(RenderError, match="without From"):
        signer.sign(b"Subject: x\r\n\r\nbody\r\n")


def test_pkcs1_and_text_are_read_too(rsa_key: rsa.RSAPrivateKey) -> None:
    text = pem(rsa_key, serialization.PrivateFormat.TraditionalOpenSSL).decode()
    signer = Signer.from_pem(text, domain="Timeline.Example", selector="S1")
    assert signer.record_name == "s1._domainkey.timeline.example"
    assert signer.record.startswith("v=DKIM1; k=rsa; p=MII")
    assert base64.b64decode(signer.record.partition("p=")[2])


def wrong_keys() -> dict[str, bytes]:
    good = ed25519.Ed25519PrivateKey.generate()
    locked = good.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 (refusing it is the test)
    return {
        "nothing": b"", "no pem": b"hush-hush", "locked": locked, "short": pem(short),
        "another kind": pem(ec.generate_private_key(ec.SECP256R1())),
        "a public one": good.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    }


@pytest.mark.parametrize("key", wrong_keys().values(), ids=wrong_keys().keys())
def test_a_key_that_wont_do_is_one_sentence(key: bytes) -> None:
    with pytest.raises(SettingsError, match=r"^DKIM: ") as caught:
        Signer.from_pem(key, domain="timeline.example", selector="s1")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [{"domain": "localhost"}, {"domain": "a b.example"}, {"domain": "x.example; l=0"}, {"selector": ""},
     {"selector": "a;b"}, {"selector": "a\r\n"},
     {"sender": "n@elsewhere.example"}, {"sender": "n@nottimeline.example"}],
    ids=lambda changes: ascii(next(iter(changes.values()))),
)
def test_a_domain_that_wont_do_is_one_sentence(changes: dict[str, str]) -> None:
    options = {"domain": "timeline.example", "selector": "s1"} | changes
    with pytest.raises(SettingsError, match=r"^DKIM: "):
        Signer.from_pem(pem(ed25519.Ed25519PrivateKey.generate()), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("sender", ["n@timeline.example", "n@mail.timeline.example", "n@example"])
def test_alignment(sender: str) -> None:
    key = pem(ed25519.Ed25519PrivateKey.generate())
    assert Signer.from_pem(key, domain="timeline.example", selector="s1", sender=sender).domain == "timeline.example"


def test_the_key_is_not_shown(signer: Signer) -> None:
    assert "key" not in repr(signer)
