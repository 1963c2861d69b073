"""The SMTP transport: whom it trusts, what it says in which phase, and what it never sends in the clear."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from delivery.dispatch import Limits, dispatch
from delivery.ports import ConnectError
from delivery.smtp.connect import PipelineTransport
from delivery.smtp.session import SmtpSession, Timeouts, is_loopback
from delivery.transports import from_url
from milepost.errors import SettingsError

SENDER, READER = "b1@bounces.example", "r1@readers.example"
MESSAGE = b"Subject: x\r\n\r\n.hidden\r\n..\r\n.\r\n\r\n.\r\n.\r\nend\r\n"


def plain(relay: Any, **changes: Any) -> PipelineTransport:
    options: dict[str, Any] = {"host": "127.0.0.1", "port": relay.port, "security": "plain"}
    return PipelineTransport(**(options | {"timeouts": Timeouts.within(5)} | changes))


def one_line_server(answer: Callable[[socket.socket], object]) -> tuple[int, threading.Thread]:
    """A server that takes one connection and does `answer` with it."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]

    def serve() -> None:
        with listening, contextlib.suppress(OSError):
            connection, _ = listening.accept()
            with connection:
                answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return port, thread


# --- what is sent ---------------------------------------------------------------------------------------------------


def test_dots_survive(relay: Any) -> None:
    session = plain(relay).open()
    assert session.mail(SENDER).code == 250
    assert session.rcpt(READER).code == 250
    reply = session.data(MESSAGE)
    session.quit()
    assert (reply.code, reply.enhanced, reply.phase) == (250, "2.0.0", "dot")
    assert relay.taken[0].content == MESSAGE
    assert not session.alive


def test_a_message_without_a_last_line_end_gets_one(relay: Any) -> None:
    session = plain(relay).open()
    session.mail(SENDER)
    session.rcpt(READER)
    session.data(b"Subject: x\r\n\r\nend")
    session.quit()
    assert relay.taken[0].content == b"Subject: x\r\n\r\nend\r\n"


def test_after_a_refused_recipient_and_rset_the_session_goes_on(relay: Any) -> None:
    relay.fault("rcpt", 1, "550-5.1.1 no such\r\n550 5.1.1 mailbox")
    session = plain(relay).open()
    session.mail(SENDER)
    refused = session.rcpt(READER)
    assert (refused.code, refused.enhanced, refused.text) == (550, "5.1.1", "5.1.1 no such 5.1.1 mailbox")
    session.reset()
    assert [session.mail(SENDER).code, session.rcpt("r2@readers.example").code, session.data(MESSAGE).code] == [250] * 3
    session.quit()
    assert relay.taken[0].recipients == ["r2@readers.example"]


def test_421_ends_the_session(relay: Any) -> None:
    relay.fault("rcpt", 1, "421 4.3.2 closing")
    session = plain(relay).open()
    session.mail(SENDER)
    assert session.rcpt(READER).code == 421
    assert not session.alive
    later = session.mail(SENDER)
    assert (later.code, later.phase) == (None, "mail")
    session.reset()
    session.quit()


@pytest.mark.parametrize("address", ["a@b.example\r\nRCPT TO:<c@d.example", "ä@b.example", "a@b.example\n"], ids=ascii)
def test_a_line_end_in_an_address_sends_nothing(address: str, relay: Any) -> None:
    session = plain(relay).open()
    session.mail(SENDER)
    assert session.rcpt(address).code is None
    assert not session.alive
    assert "rcpt" not in relay.verbs


@pytest.mark.parametrize(
    ("fault", "phase"), [("mail", "mail"), ("rcpt", "rcpt"), ("data", "data"), ("dot", "dot")], ids=lambda one: one
)
@pytest.mark.parametrize("what", ["drop", "hang"])
def test_silence_is_told_with_its_phase(fault: str, phase: str, what: str, relay: Any) -> None:
    relay.fault(fault, 1, what)
    session = plain(relay).open()
    assert isinstance(session, SmtpSession)
    usual = session._timeouts
    verbs = {
        "mail": lambda: session.mail(SENDER), "rcpt": lambda: session.rcpt(READER),
        "data": lambda: session.data(MESSAGE), "dot": lambda: session.data(MESSAGE),
    }
    if fault == "dot":
        del verbs["data"]
    for verb, say in verbs.items():
        if verb != fault:
            assert say().code == 250
            continue
        if what == "hang":  # impatient with what never comes, and with nothing else
            hasty = {"command" if verb in ("mail", "rcpt") else verb: 0.1}
            session._timeouts = replace(usual, **hasty)
        reply = say()
        break
    assert (reply.code, reply.phase) == (None, phase)
    assert reply.text
    assert not session.alive


def test_a_long_body_that_nobody_reads_to_the_end_is_lost_before_the_dot(relay: Any) -> None:
    relay.fault("body", 1, "drop")
    session = plain(relay).open()
    session.mail(SENDER)
    session.rcpt(READER)
    reply = session.data(b"Subject: x\r\n\r\n" + b"A line of news.\r\n" * 1_000_000)
    assert (reply.code, reply.phase) == (None, "data")
    assert relay.taken == []


def test_a_refusal_in_the_middle_of_the_body_is_heard_and_no_dot_follows(relay: Any) -> None:
    relay.fault("body", 1, "421 4.3.2 shutting down")
    session = plain(relay).open()
    session.mail(SENDER)
    session.rcpt(READER)
    reply = session.data(b"Subject: x\r\n\r\n" + b"A line of news.\r\n" * 1_000_000)
    assert reply.phase == "data"
    assert reply.code in (421, None)  # the words may be lost with the connection
    assert not session.alive
    assert relay.taken == []


# --- servers that are none ------------------------------------------------------------------------------------------

ODD = [b"", b"220", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"999 what\r\n", b"220 " + b"x" * 20_000, b"554 5.7.1 no\r\n"]


@pytest.mark.parametrize("banner", ODD, ids=["nothing", "half", "http", "999", "endless line", "554"])
def test_an_odd_welcome_is_a_clear_error(banner: bytes, opened: Any) -> None:
    port, thread = one_line_server(lambda connection: connection.sendall(banner))
    with pytest.raises(ConnectError, match=rf"the mail server 127\.0\.0\.1:{port} ") as caught:
        opened(PipelineTransport(host="127.0.0.1", port=port, security="plain", timeouts=Timeouts.within(2)))
    assert caught.value.reply.phase in (("connect", "ehlo") if banner == b"220" else ("connect",))
    thread.join(5)


def test_a_silent_server_is_not_waited_for_for_ever(opened: Any) -> None:
    port, thread = one_line_server(lambda connection: connection.recv(1))
    patience = Timeouts(connect=0.2, command=0.2)
    with pytest.raises(ConnectError, match=r"timed out|no answer in time") as caught:
        opened(PipelineTransport(host="127.0.0.1", port=port, security="plain", timeouts=patience))
    assert caught.value.retryable
    thread.join(5)


def test_a_name_that_does_not_exist_is_a_clear_error(opened: Any) -> None:
    with pytest.raises(ConnectError, match=r"the mail server relay\.invalid:25 can't be reached"):
        opened(PipelineTransport(host="relay.invalid", port=25, security="plain", plaintext=True))


# --- TLS and login --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["smtps", "smtp+starttls"])
def secured(request: pytest.FixtureRequest, relays: Any, authority: Any, user: Any) -> Iterator[tuple[str, Any]]:
    """The scheme, and a relay that speaks it and offers a login."""
    _, context = authority
    if request.param == "smtps":
        yield request.param, relays(ssl=context, auth_require_tls=False, authenticator=user)
    else:
        yield request.param, relays(tls_context=context, require_starttls=True, authenticator=user, auth_required=True)


def test_with_the_right_authority_and_password_it_delivers(secured: Any, authority: Any, user: Any) -> None:
    scheme, relay = secured
    password = quote(user.password.decode(), safe="")
    url = f"{scheme}://relay-user:{password}@127.0.0.1:{relay.port}?cafile={authority[0]}"
    session = from_url(url, timeout=5).open()
    assert user.admitted == 1
    assert [session.mail(SENDER).code, session.rcpt(READER).code, session.data(MESSAGE).code] == [250] * 3
    session.quit()
    assert relay.taken[0].content == MESSAGE


def test_a_whole_issue_goes_under_tls(
    secured: Any, authority: Any, user: Any, ledgers: Any, mailing: Any, clock: Any
) -> None:
    scheme, relay = secured
    relay.pipelining = True
    password = quote(user.password.decode(), safe="")
    url = f"{scheme}://relay-user:{password}@127.0.0.1:{relay.port}?cafile={authority[0]}"
    report = dispatch(ledgers(20), from_url(url, timeout=5), mailing, now=clock, limits=Limits(connections=3))
    assert report.results == {"sent": 20}
    assert sorted(relay.readers) == list(range(1, 21))
    assert user.admitted == relay.connections <= 3


def test_what_came_before_tls_is_not_believed() -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"220 hi\r\n")
        connection.recv(1000)
        connection.sendall(b"250-hi\r\n250 STARTTLS\r\n")
        connection.recv(1000)
        connection.sendall(b"220 go on\r\n250-slipped in\r\n")
        connection.recv(1000)

    port, thread = one_line_server(answer)
    transport = PipelineTransport(host="127.0.0.1", port=port, security="starttls", timeouts=Timeouts.within(2))
    with pytest.raises(ConnectError, match="said more than it should before TLS"):
        asyncio.run(transport.connect())
    thread.join(5)


def test_a_certificate_of_nobody_we_know_is_refused(secured: Any, opened: Any) -> None:
    scheme, relay = secured
    with pytest.raises(ConnectError, match="shows a certificate that is not trusted") as caught:
        opened(from_url(f"{scheme}://relay-user:x@127.0.0.1:{relay.port}", timeout=5))
    assert not caught.value.retryable
    assert "mail" not in relay.verbs


def test_a_certificate_for_another_name_is_refused(secured: Any, authority: Any, opened: Any) -> None:
    scheme, relay = secured
    with pytest.raises(ConnectError, match="shows a certificate that is not trusted"):
        opened(from_url(f"{scheme}://relay-user:x@localhost:{relay.port}?cafile={authority[0]}", timeout=5))


def test_a_wrong_password_is_told_without_showing_it(secured: Any, authority: Any, opened: Any) -> None:
    scheme, relay = secured
    transport = from_url(f"{scheme}://relay-user:not-it@127.0.0.1:{relay.port}?cafile={authority[0]}", timeout=5)
    with pytest.raises(ConnectError, match="refuses the login of relay-user: 535") as caught:
        opened(transport)
    assert "not-it" not in f"{caught.value!s} {caught.value!r} {transport!r} {transport.where}"
    assert caught.value.reply.code == 535
    assert not caught.value.retryable


def test_without_starttls_nothing_is_sent(relay: Any, opened: Any) -> None:
    with pytest.raises(ConnectError, match="offers no STARTTLS, so nothing was sent"):
        opened(plain(relay, security="starttls"))
    assert "mail" not in relay.verbs


def test_starttls_refused_for_now_is_worth_another_try(opened: Any) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"220 hi\r\n")
        connection.recv(1000)
        connection.sendall(b"250-hi\r\n250 STARTTLS\r\n")
        connection.recv(1000)
        connection.sendall(b"454 4.7.0 not now\r\n")

    port, thread = one_line_server(answer)
    with pytest.raises(ConnectError, match=r"refuses STARTTLS: 454 4\.7\.0 not now") as caught:
        opened(PipelineTransport(host="127.0.0.1", port=port, security="starttls", timeouts=Timeouts.within(2)))
    assert caught.value.retryable
    thread.join(5)


def test_a_relay_without_login_is_told(relay: Any, opened: Any) -> None:
    with pytest.raises(ConnectError, match="offers no login we know"):
        opened(plain(relay, user="somebody", password="x"))


def test_login_without_tls_on_this_machine(relays: Any, user: Any) -> None:
    relay = relays(authenticator=user, auth_require_tls=False)
    session = plain(relay, user="relay-user", password=user.password.decode()).open()
    assert user.admitted == 1
    session.quit()


# --- what the settings may ask for ----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["relay.example", "192.0.2.1", "[2001:db8::1]", "127.0.0.1.example"])
def test_plain_text_to_another_machine_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="in plain text to another machine"):
        from_url(f"smtp://{host}")
    assert from_url(f"smtp://{host}?plaintext=1").where == f"smtp://{host}:25"
    with pytest.raises(SettingsError, match="the password in plain text"):
        from_url(f"smtp://u:p@{host}?plaintext=1")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("LOCALHOST", True), ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True),
     ("0.0.0.0", False), ("localhost.example", False), ("10.0.0.1", False), ("2130706433", False)],  # noqa: S104
)
def test_what_counts_as_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_time_outs_are_the_rfcs_and_never_longer_than_asked() -> None:
    assert Timeouts() == Timeouts.within(600)
    assert Timeouts().dot == 600
    short = Timeouts.within(1)
    assert {short.connect, short.command, short.data, short.block, short.dot, short.quit} == {1}
