"""A server that says more than it was asked, in a whole dispatch: who is called sent is whom the server took."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from delivery.dispatch import Limits, dispatch
from delivery.smtp.connect import PipelineTransport
from delivery.smtp.session import SmtpTransport, Timeouts

pytestmark = pytest.mark.timeout(60)
READERS = 3
USUAL = {"EHLO": "250-hi\r\n250 PIPELINING", "DATA": "354 go on", ".": "250 2.0.0 queued", "QUIT": "221 2.0.0 bye"}
Answers = Callable[[str, int], str | None]  # a command, and which mail of the connection it is about → what is said


class Server:
    """Says what `answers` wants on its first connection, and what is usual where that is None and afterwards."""

    def __init__(self, answers: Answers, context: ssl.SSLContext | None) -> None:
        self.taken: list[str] = []  # whose message came whole, with its dot, before it was answered
        self._answers: Answers | None = answers
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                end, _ = self._listening.accept()
            except OSError:
                return
            answers, self._answers = self._answers, None
            threading.Thread(target=self._talk, args=(end, answers), daemon=True).start()

    def _talk(self, end: socket.socket, answers: Answers | None) -> None:
        try:
            if self._context is not None:
                end = self._context.wrap_socket(end, server_side=True)
            with end, end.makefile("rb") as lines:
                self._converse(end, lines, answers)
        except OSError:
            return  # it hung up on us

    def _converse(self, end: socket.socket, lines: Any, answers: Answers | None) -> None:
        end.sendall(b"220 relay.example ESMTP\r\n")
        mail, reader = 0, ""
        for raw in lines:
            line = raw.decode("ascii").strip()
            verb = line[:4].upper()
            mail += verb == "MAIL"
            if verb == "RCPT":
                reader = line.partition("<")[2].partition("@")[0]
            self._answer(end, verb, mail, answers)
            if verb == "QUIT":
                return
            if verb == "DATA":
                while (content := lines.readline()) != b".\r\n":
                    if not content:
                        return
                self.taken.append(reader)
                self._answer(end, ".", mail, answers)

    @staticmethod
    def _answer(end: socket.socket, verb: str, mail: int, answers: Answers | None) -> None:
        said = answers(verb, mail) if answers is not None else None
        end.sendall(f"{USUAL.get(verb, '250 2.1.0 Ok') if said is None else said}\r\n".encode("ascii"))


@pytest.fixture(params=["plain", "tls"])
def context(request: pytest.FixtureRequest, authority: Any) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """The server's, and ours."""
    if request.param == "plain":
        return None, None
    cafile, theirs = authority
    return theirs, ssl.create_default_context(cafile=str(cafile))


@pytest.fixture(params=[SmtpTransport, PipelineTransport], ids=["reference", "ours"])
def told(
    request: pytest.FixtureRequest, context: Any, ledgers: Any, mailing: Any, clock: Any
) -> Iterator[Callable[[Answers], tuple[dict[int, str], list[str]]]]:
    """Dispatches to a server with these answers → each reader's state, and whose message it took."""
    theirs, ours = context
    servers: list[Server] = []

    def go(answers: Answers) -> tuple[dict[int, str], list[str]]:
        servers.append(server := Server(answers, theirs))
        transport = request.param(
            host="127.0.0.1", port=server.port, security="tls" if theirs else "plain", context=ours,
            timeouts=Timeouts.within(20),
        )
        ledger = ledgers(READERS)
        limits = Limits(connect_wait_s=0.0, record_wait_s=0.0)
        dispatch(ledger, transport, mailing, now=clock, limits=limits, sleep=lambda _: None)
        return {row.subscriber_id: row.state for row in ledger.rows}, server.taken

    yield go
    for server in servers:
        server.close()


def saying(verb: str, mail: int, said: str) -> Answers:
    return lambda asked, number: said if (asked, number) == (verb, mail) else None


@pytest.mark.parametrize("early", ["250 2.0.0 queued", "354 go on"])
def test_a_250_in_one_packet_with_the_354_is_no_hand_over(early: str, told: Any) -> None:
    states, taken = told(saying("DATA", 2, f"354 go on\r\n{early}"))
    assert states == {1: "sent", 2: "deferred", 3: "sent"}
    assert taken == ["r1", "r3"]


@pytest.mark.parametrize(
    ("early", "state"), [("452 4.3.1 no room", "deferred"), ("552 5.2.2 full", "failed"), ("421 4.3.2 x", "deferred")]
)
def test_a_refusal_in_one_packet_with_the_354_is_heard(early: str, state: str, told: Any) -> None:
    states, taken = told(saying("DATA", 2, f"354 go on\r\n{early}"))
    assert states == {1: "sent", 2: state, 3: "sent"}
    assert taken == ["r1", "r3"]


@pytest.mark.parametrize(
    ("verb", "said"), [("MAIL", "250 2.1.0 Ok"), ("RCPT", "250 2.1.5 Ok"), (".", "250 2.0.0 queued")]
)
def test_a_reply_too_many_makes_nobody_sent_who_is_not(verb: str, said: str, told: Any) -> None:
    """One answer too many, and each later one would be taken for the one before it."""
    states, taken = told(saying(verb, 1, f"{said}\r\n250 2.0.0 and one more"))
    sent = [f"r{number}" for number, state in states.items() if state == "sent"]
    assert sorted(taken) == sent
    assert set(states.values()) <= {"sent", "deferred"}
    assert len(sent) >= READERS - 1
