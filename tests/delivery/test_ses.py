"""Amazon SES behind the same verbs: on a faithful fake of its API, and on a server that fails at every point."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from delivery.dispatch import Limits, dispatch
from delivery.ports import ConnectError
from delivery.ses import SesTransport
from delivery.smtp import replies
from delivery.transports import from_url
from milepost.errors import SettingsError
from milepost.records import Reply

boto3 = pytest.importorskip("boto3", reason="the extra `ses` is not installed")
moto = pytest.importorskip("moto", reason="moto is not installed")

MESSAGE = (
    b"From: Timeline <news@timeline.example>\r\nTo: r1@readers.example\r\nMessage-ID: <m@timeline.example>\r\n"
    b"Subject: x\r\n\r\nbody\r\n"
)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "invented")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "invented")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")


@pytest.fixture
def amazon() -> Iterator[Any]:
    """moto's SES, with the sender's domain verified."""
    with moto.mock_aws():
        boto3.client("sesv2", region_name="eu-west-1").create_email_identity(EmailIdentity="timeline.example")
        yield moto.backends.get_backend("ses")["123456789012"]["eu-west-1"]


def send(transport: SesTransport, message: bytes = MESSAGE) -> Reply:
    session = transport.open()
    assert session.mail("bounces+1-abc@timeline.example").code == 250
    assert session.rcpt("r1@readers.example").code == 250
    reply = session.data(message)
    session.quit()
    return reply


def test_a_whole_issue_goes_out_and_its_names_are_kept(amazon: Any, ledgers: Any, mailing: Any, clock: Any) -> None:
    ledger = ledgers(3)
    report = dispatch(ledger, from_url("ses://eu-west-1"), mailing, now=clock, limits=Limits())
    assert report.results == {"sent": 3}
    sent = amazon.sent_messages
    assert [set(message.destinations) for message in sent] == [{f"r{n}@readers.example"} for n in (1, 2, 3)]
    assert [row.queue_id for row in ledger.rows] == [message.id for message in sent]
    assert all("List-Unsubscribe-Post: List-Unsubscribe=One-Click" in message.raw_data for message in sent)


@pytest.mark.usefixtures("amazon")
def test_a_sender_that_is_not_verified_is_our_fault() -> None:
    reply = send(SesTransport(region="eu-west-1"), MESSAGE.replace(b"timeline.example", b"elsewhere.example"))
    verdict = replies.classify(reply)
    assert (verdict.outcome, verdict.pause) == ("refused", True)
    assert "MessageRejected" in reply.text


# --- a server that fails --------------------------------------------------------------------------------------------


@pytest.fixture
def api() -> Iterator[Callable[[Callable[[socket.socket], None]], SesTransport]]:
    """Starts an API that does something odd with each request once it has been read whole."""
    started: list[tuple[socket.socket, threading.Thread]] = []
    asked: list[int] = []

    def start(answer: Callable[[socket.socket], None]) -> SesTransport:
        listening = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    data = b""
                    while b"\r\n\r\n" not in data:
                        data += connection.recv(65536)
                    head, _, body = data.partition(b"\r\n\r\n")
                    size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                                if line.lower().startswith(b"content-length"))
                    while len(body) < size:
                        body += connection.recv(65536)
                    asked.append(1)
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        started.append((listening, thread))
        port = listening.getsockname()[1]
        return SesTransport(region="eu-west-1", endpoint=f"http://127.0.0.1:{port}", timeout=1.0)

    yield start
    for listening, thread in started:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)
    assert len(asked) <= 1, "a request was made twice without the ledger's word"


def says(status: int, name: str, words: str = "said it") -> Callable[[socket.socket], None]:
    body = json.dumps({"message": words}).encode()
    head = (
        f"HTTP/1.1 {status} X\r\nx-amzn-ErrorType: {name}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return lambda connection: connection.sendall(head.encode() + body)


@pytest.mark.parametrize(
    ("status", "name", "outcome", "pause"),
    [
        (429, "TooManyRequestsException", "deferred", False), (400, "LimitExceededException", "deferred", False),
        (400, "ThrottlingException", "deferred", False), (503, "ServiceUnavailable", "deferred", False),
        (429, "SomethingNew", "deferred", False), (400, "MessageRejected", "failed", False),
        (400, "AccountSuspendedException", "refused", True), (400, "SendingPausedException", "refused", True),
        (400, "MailFromDomainNotVerifiedException", "refused", True), (404, "NotFoundException", "refused", True),
        (403, "AccessDeniedException", "refused", True), (403, "SignatureDoesNotMatch", "refused", True),
        (400, "SomethingNew", "refused", True), (500, "InternalFailure", "unknown", False),
    ],
)
def test_each_answer_has_its_outcome(api: Any, status: int, name: str, outcome: str, pause: bool) -> None:
    reply = send(api(says(status, name)))
    verdict = replies.classify(reply)
    assert (verdict.outcome, verdict.pause) == (outcome, pause)
    assert name in reply.text
    assert "said it" in reply.text


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 20"], ids=["none", "half of one"])
def test_an_answer_that_is_lost_is_unknown(api: Any, part: bytes) -> None:
    reply = send(api(lambda connection: connection.sendall(part)))
    assert (reply.code, reply.phase) == (None, "dot")
    assert replies.classify(reply).outcome == "unknown"


def test_an_answer_that_never_comes_is_unknown(api: Any) -> None:
    waiting = threading.Event()
    reply = send(api(lambda _connection: (waiting.wait(5), None)[1]))
    waiting.set()
    assert (reply.code, reply.phase) == (None, "dot")
    assert replies.classify(reply).outcome == "unknown"


def test_a_request_that_never_went_out_is_deferred(closed_port: int) -> None:
    reply = send(SesTransport(region="eu-west-1", endpoint=f"http://127.0.0.1:{closed_port}", timeout=1.0))
    assert (reply.code, reply.phase) == (None, "data")
    assert replies.classify(reply).outcome == "deferred"


# --- what is wrong before that --------------------------------------------------------------------------------------


def test_without_credentials_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConnectError, match="no credentials were found") as caught:
        SesTransport(region="eu-west-1").open()
    assert not caught.value.retryable


def test_the_url() -> None:
    transport = from_url("ses://eu-west-1?configuration_set=news", timeout=900)
    assert transport == SesTransport(region="eu-west-1", configuration_set="news", timeout=600.0)
    assert transport.where == "ses://eu-west-1"


@pytest.mark.parametrize("url", ["ses://", "ses:///x", "ses://eu-west-1/x", "ses://eu-west-1?x=1", "ses://u@eu-west-1"])
def test_anything_else_is_one_sentence(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^mail\.url: this names no region"):
        from_url(url)
