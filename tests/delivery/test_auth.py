"""Logging in: each mechanism by both senders, over TLS alone, and what a relay says when it refuses."""

import base64
import sys
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from delivery.ports import ConnectError
from delivery.smtp import auth
from delivery.smtp.connect import PipelineTransport
from delivery.smtp.session import Timeouts
from delivery.transports import from_url
from milepost.errors import DeliveryError, SettingsError

TOKEN = "ya29.an-invented-token"


class Doorkeeper:
    """An aiosmtpd handler's part that knows XOAUTH2 as the big providers speak it."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.empty_answers = 0

    async def auth_XOAUTH2(self, server: Any, args: list[str]) -> AuthResult:  # noqa: N802
        given = base64.b64decode(args[1])
        self.seen.append(given)
        if given == f"user=relay-user\1auth=Bearer {TOKEN}\1\1".encode():
            return AuthResult(success=True, auth_data=LoginPassword(b"relay-user", b""))
        problem = base64.b64encode(b'{"status":"400","schemes":"Bearer"}').decode()
        answer = await server.challenge_auth(problem, encode_to_b64=False)
        self.empty_answers += answer == b""
        return AuthResult(success=False, handled=False)


@pytest.fixture
def doorkeeper() -> Doorkeeper:
    return Doorkeeper()


@pytest.fixture
def guarded(relays: Any, authority: Any, doorkeeper: Doorkeeper, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A relay under implicit TLS that offers XOAUTH2, PLAIN and LOGIN."""
    from tests.delivery import misbehaving_relay

    monkeypatch.setattr(misbehaving_relay.Handler, "auth_XOAUTH2", doorkeeper.auth_XOAUTH2, raising=False)
    return relays(
        ssl=authority[1], auth_require_tls=False,
        authenticator=lambda _server, _session, _envelope, mechanism, data: AuthResult(
            success=mechanism in ("PLAIN", "LOGIN") and data == LoginPassword(b"relay-user", "geheim ü".encode()),
            handled=False,
        ),
    )


def at(relay: Any, authority: Any, **changes: Any) -> PipelineTransport:
    transport = from_url(f"smtps://relay-user@127.0.0.1:{relay.port}?cafile={authority[0]}", timeout=5)
    assert isinstance(transport, PipelineTransport)
    fields = {name: getattr(transport, name) for name in ("host", "port", "security", "user", "context", "timeouts")}
    return PipelineTransport(**(fields | changes))


def test_a_token_opens_the_door(guarded: Any, authority: Any, doorkeeper: Doorkeeper, opened: Any) -> None:
    opened(at(guarded, authority, token=lambda: TOKEN))
    assert doorkeeper.seen == [f"user=relay-user\1auth=Bearer {TOKEN}\1\1".encode()]


def test_a_token_that_has_expired_is_told_without_showing_it(
    guarded: Any, authority: Any, doorkeeper: Doorkeeper, opened: Any
) -> None:
    with pytest.raises(ConnectError, match=r"refuses the login of relay-user: 535.*has not expired") as caught:
        opened(at(guarded, authority, token=lambda: "ya29.expired"))
    assert doorkeeper.empty_answers == 1  # after which a server may give its 535
    assert "ya29" not in f"{caught.value!s} {caught.value!r}"
    assert not caught.value.retryable


def test_a_token_needs_a_relay_that_takes_it(relays: Any, authority: Any, opened: Any) -> None:
    relay = relays(ssl=authority[1], auth_require_tls=False, authenticator=lambda *_: AuthResult(success=True))
    with pytest.raises(ConnectError, match="we want XOAUTH2, it offers LOGIN, PLAIN"):
        opened(at(relay, authority, token=lambda: TOKEN))


@pytest.mark.parametrize("only", ["PLAIN", "LOGIN"])
def test_a_password_by_plain_or_login(relays: Any, authority: Any, opened: Any, only: str) -> None:
    asked = []

    def admit(_server: Any, _session: Any, _envelope: Any, mechanism: str, data: LoginPassword) -> AuthResult:
        asked.append(mechanism)
        return AuthResult(success=data == LoginPassword(b"relay-user", "geheim ü".encode()), handled=False)

    relay = relays(
        ssl=authority[1], auth_require_tls=False, authenticator=admit,
        auth_exclude_mechanism={"PLAIN", "LOGIN"} - {only},
    )
    opened(at(relay, authority, password="geheim ü"))
    assert asked == [only]
    with pytest.raises(ConnectError, match="refuses the login of relay-user: 535"):
        opened(at(relay, authority, password="x"))


def test_a_token_without_tls_goes_to_no_other_machine() -> None:
    with pytest.raises(SettingsError, match="in plain text to another machine"):
        PipelineTransport(host="relay.example", port=25, security="plain", user="u", token=lambda: TOKEN)
    with pytest.raises(SettingsError, match="the password in plain text"):
        from_url("smtp://u@relay.example?plaintext=1", token=lambda: TOKEN)
    with pytest.raises(SettingsError, match="wants the user it is for"):
        from_url("smtps://relay.example", token=lambda: TOKEN)


def test_a_token_that_can_not_be_had_is_worth_another_try(guarded: Any, authority: Any, opened: Any) -> None:
    command = auth.TokenCommand((sys.executable, "-c", "import sys; sys.exit('the keyring is locked')"))
    with pytest.raises(ConnectError, match=r"gives no access token \(the keyring is locked\)") as caught:
        opened(at(guarded, authority, token=command))
    assert caught.value.retryable
    assert "mail" not in guarded.verbs


# --- the program that prints a token ----------------------------------------------------------------------------------


def test_a_token_is_asked_for_once_in_five_minutes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    program = (
        f"import pathlib as p; p.Path({str(log)!r}).open('a').write('x'); print(p.Path({str(file)!r}).read_text())"
    )
    command = auth.TokenCommand((sys.executable, "-c", program))
    assert [command(), command()] == [TOKEN, TOKEN]
    assert log.read_text() == "x"
    assert TOKEN not in repr(command)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("/nowhere/token",), "No such file"), ((sys.executable, "-c", ""), "no token on standard output"),
        ((sys.executable, "-c", "print('two'); print('lines')"), "no token on standard output"),
        ((sys.executable, "-c", "raise SystemExit(3)"), "exit code 3"),
    ],
)
def test_a_program_without_a_token_is_told(command: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(DeliveryError, match=sentence):
        auth.TokenCommand(command)()


def test_which_mechanism() -> None:
    assert auth.choose(["LOGIN", "PLAIN", "XOAUTH2"], with_token=False) == "PLAIN"
    assert auth.choose(["LOGIN", "PLAIN", "XOAUTH2"], with_token=True) == "XOAUTH2"
    assert auth.choose(["CRAM-MD5"], with_token=False) is None
    assert Timeouts().command == 300
