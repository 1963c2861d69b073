"""Handing over by SMTP, verb by verb, so that the ledger's commit fits between RCPT and DATA.

    open: connect ─▶ EHLO ─▶ STARTTLS? ─▶ AUTH?        session: MAIL ─▶ RCPT ─▶ (commit) ─▶ DATA ─▶ body ─▶ dot

Sources: RFC 5321 (§4.5.2 dot-stuffing, §4.5.3.2 time-outs), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 8314 (TLS).
"""

import contextlib
import ipaddress
import select
import smtplib
import socket
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Self

from delivery.ports import ConnectError, Session
from delivery.smtp import auth
from delivery.smtp.auth import Token
from delivery.smtp.replies import read, words
from milepost.errors import DeliveryError, SettingsError
from milepost.records import Reply

Security = Literal["plain", "starttls", "tls"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Seconds to wait for each answer; the defaults are the minima of RFC 5321 §4.5.3.2 (but connect, its own)."""

    connect: float = 60.0
    command: float = 300.0  # greeting, EHLO, MAIL, RCPT, RSET
    data: float = 120.0  # the 354
    block: float = 180.0  # each write of the body
    dot: float = 600.0  # the reply to the dot
    quit: float = 10.0  # the message is long safe

    @classmethod
    def within(cls, longest: float) -> Self:
        """The defaults, none above `longest` seconds; that is what the dot gets."""
        return cls(
            connect=min(60.0, longest), command=min(300.0, longest), data=min(120.0, longest),
            block=min(180.0, longest), dot=longest, quit=min(10.0, longest),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SmtpTransport:
    """An SMTP relay and how to reach it. Raises SettingsError on a way that would show mail or password to others."""

    host: str
    port: int
    security: Security
    user: str | None = None
    password: str | None = None
    token: Token | None = None  # asked for an OAuth 2 access token, instead of a password, at each login
    plaintext: bool = False  # said so in the configuration: no TLS although the host is not this machine
    hello: str = "localhost"  # the name we give in EHLO
    timeouts: Timeouts = Timeouts()
    context: ssl.SSLContext | None = None  # None: the system's authorities, certificate and name checked

    def __post_init__(self) -> None:
        if self.security != "plain" or is_loopback(self.host):
            return
        if not self.plaintext:
            raise SettingsError(
                f"{self.where} would send mail in plain text to another machine", where="mail.url",
                hint="Use smtp+starttls:// or smtps://, or add ?plaintext=1 if that network is yours.",
            )
        if self.user is not None:
            raise SettingsError(
                f"{self.where} would send the password in plain text to another machine", where="mail.url",
                hint="Use smtp+starttls:// or smtps:// when the relay wants a password.",
            )

    @property
    def where(self) -> str:
        scheme = {"plain": "smtp", "starttls": "smtp+starttls", "tls": "smtps"}[self.security]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    def __repr__(self) -> str:
        return f"SmtpTransport({self.where})"  # a password must not reach a log

    def open(self) -> Session:
        """Connect, greet, secure, log in; raises ConnectError."""
        client: smtplib.SMTP | None = None
        try:
            client = self._connect()
            self._secure(client)
            self._log_in(client)
        except ConnectError:
            if client is not None:
                client.close()
            raise
        return SmtpSession(client, self.timeouts)

    def _connect(self) -> smtplib.SMTP:
        wait = self.timeouts.connect
        try:
            if self.security == "tls":
                client: smtplib.SMTP = smtplib.SMTP_SSL(
                    self.host, self.port, local_hostname=self.hello, timeout=wait, context=self._context()
                )
            else:
                client = smtplib.SMTP(self.host, self.port, local_hostname=self.hello, timeout=wait)
        except ssl.SSLError as error:
            raise self._tls_failed(error) from None
        except smtplib.SMTPConnectError as error:
            reply = read(error.smtp_code, error.smtp_error, "connect")
            raise self._refused(f"does not welcome us: {reply.code} {reply.text}", reply) from None
        except OSError as error:  # smtplib's own errors are OSErrors too
            raise self._lost("can't be reached", error, "connect") from None
        self._greet(client)
        return client

    def _greet(self, client: smtplib.SMTP) -> None:
        """EHLO, or HELO for a server of another age."""
        _wait_at_most(client, self.timeouts.command)
        try:
            code, raw = client.ehlo()
            if code // 100 == 5:
                code, raw = client.helo()
        except OSError as error:
            client.close()
            raise self._lost("hung up on EHLO", error, "ehlo") from None
        if code // 100 != 2:
            client.close()
            reply = read(code, raw, "ehlo")
            raise self._refused(f"refuses EHLO {self.hello}: {code} {reply.text}", reply)

    def _secure(self, client: smtplib.SMTP) -> None:
        if self.security != "starttls":
            return
        if not client.has_extn("starttls"):
            raise self._no_starttls()
        try:
            client.starttls(context=self._context())
        except ssl.SSLError as error:
            raise self._tls_failed(error) from None
        except smtplib.SMTPResponseException as error:
            reply = read(error.smtp_code, error.smtp_error, "tls")
            raise self._refused(f"refuses STARTTLS: {reply.code} {reply.text}", reply) from None
        except OSError as error:
            raise self._lost("hung up on STARTTLS", error, "tls") from None
        self._greet(client)

    def _log_in(self, client: smtplib.SMTP) -> None:
        if self.user is None:
            return
        offers = client.esmtp_features.get("auth", "").upper().split()
        mechanism = auth.choose(offers, with_token=self.token is not None)
        if mechanism is None:
            raise self._no_login(offers)
        command, answers = auth.script(mechanism, user=self.user, secret=self._secret())
        try:
            code, raw = client.docmd(command)
            for answer in answers:
                if code == 334:
                    code, raw = client.docmd(answer)
        except OSError as error:
            raise self._lost("hung up during the login", error, "auth") from None
        if code != 235:
            raise self._login_refused(read(code, raw, "auth"))

    def _secret(self) -> str:
        """The password, or a token that is valid now; raises ConnectError. May take as long as the token's program."""
        if self.token is None:
            return self.password or ""
        try:
            return self.token()
        except DeliveryError as error:
            reply = Reply(code=None, text=error.what, phase="auth")
            raise ConnectError(error.what, where=error.where or "mail", reply=reply, retryable=True, hint=error.hint) \
                from None

    def _context(self) -> ssl.SSLContext:
        return self.context or ssl.create_default_context()

    def _tls_failed(self, error: ssl.SSLError) -> ConnectError:
        if isinstance(error, ssl.SSLCertVerificationError):
            what, text = "shows a certificate that is not trusted", error.verify_message
        else:
            what, text = "does not speak TLS as we do", error.reason or str(error)
        return self._refused(
            f"{what} ({text})",
            Reply(code=None, text=text, phase="tls"), retryable=False,
            hint="Name the host as its certificate does, or add ?cafile=FILE for an authority of your own.",
        )

    def _no_starttls(self) -> ConnectError:
        return self._refused(
            "offers no STARTTLS, so nothing was sent", Reply(code=None, text="no STARTTLS", phase="tls"),
            retryable=False, hint="Use smtps:// if the relay speaks TLS from the start.",
        )

    def _no_login(self, offers: Collection[str]) -> ConnectError:
        wanted = "XOAUTH2" if self.token is not None else "PLAIN or LOGIN"
        offered = f"it offers {', '.join(sorted(offers))}" if offers else "it offers no AUTH"
        return self._refused(
            f"offers no login we know: we want {wanted}, {offered}",
            Reply(code=None, text="AUTH is not offered", phase="auth"), retryable=False,
            hint="Leave user and password out of mail.url, or use the relay's submission port.",
        )

    def _login_refused(self, reply: Reply) -> ConnectError:
        return self._refused(
            f"refuses the login of {self.user}: {reply.code} {reply.text}", reply,
            hint="Check user and password in mail.url." if self.token is None
            else "Check the user in mail.url, and that the token is for this relay and has not expired.",
        )

    def _lost(self, what: str, error: OSError, phase: str) -> ConnectError:
        text = _words(error)
        return self._refused(f"{what} ({text})", Reply(code=None, text=text, phase=phase))

    def _refused(
        self, what: str, reply: Reply, *, retryable: bool | None = None, hint: str | None = None
    ) -> ConnectError:
        passing = reply.code is None or reply.code // 100 == 4
        return ConnectError(
            f"the mail server {self.host}:{self.port} {what}", where="mail.url", reply=reply,
            retryable=passing if retryable is None else retryable,
            hint=hint or "Nothing is lost: run the same command again once it answers.",
        )


class SmtpSession:
    """One connection; see `delivery.ports.Session` for what each verb promises."""

    def __init__(self, client: smtplib.SMTP, timeouts: Timeouts) -> None:
        self._client = client
        self._timeouts = timeouts
        self._alive = True

    @property
    def alive(self) -> bool:
        return self._alive

    @property
    def facts(self) -> tuple[str, ...]:
        """What this connection is like, for people: its TLS, and what the server offers."""
        sock, offers = self._client.sock, self._client.esmtp_features
        tls = f"{sock.version()}, its certificate checked" if isinstance(sock, ssl.SSLSocket) else "no TLS"
        size = int(offers.get("size", "0") or 0) if offers.get("size", "0").isdigit() else 0
        limit = (f"messages up to {size / 1e6:.0f} MB",) if size else ()
        known = ("PIPELINING",) if "pipelining" in offers else ("no PIPELINING, which makes it slow",)
        return (tls, *known, *(("DSN",) if "dsn" in offers else ()), *limit)

    def mail(self, sender: str) -> Reply:
        return self._command("mail", f"MAIL FROM:<{sender}>")

    def rcpt(self, address: str) -> Reply:
        return self._command("rcpt", f"RCPT TO:<{address}>")

    def data(self, message: bytes) -> Reply:
        go_on = self._command("data", "DATA", self._timeouts.data)
        if go_on.code != 354:
            return go_on
        lost = self._send_body(stuffed(message))
        return lost if lost is not None else self._read("dot", self._timeouts.dot)

    def reset(self) -> None:
        if self._alive:
            reply = self._command("rset", "RSET")
            if reply.code != 250:
                self._close()

    def quit(self) -> None:
        if self._alive:
            self._command("quit", "QUIT", self._timeouts.quit)
        self._close()

    def _send_body(self, body: bytes) -> Reply | None:
        """Write body and dot; a Reply when one of them certainly did not go out whole."""
        sock = self._client.sock
        if sock is None:
            return self._lost("data", "the connection is gone")
        sock.settimeout(self._timeouts.block)
        dot = b".\r\n" if body.endswith(b"\r\n") else b"\r\n.\r\n"
        try:
            sock.sendall(body)
            if self._has_spoken(sock):  # an early refusal, or it hung up. Without the dot nobody takes the mail
                early = self._read("data", self._timeouts.data)
                self._close()
                return early if (early.code or 599) >= 400 else self._lost("data", "the server spoke out of turn")
        except OSError as error:
            return self._lost("data", _words(error))
        try:
            sock.sendall(dot)
        except OSError as error:
            # A plain socket refuses these few bytes as one; under TLS they may be out already.
            return self._lost("dot" if isinstance(sock, ssl.SSLSocket) else "data", _words(error))
        return None

    def _has_spoken(self, sock: socket.socket) -> bool:
        """Whether the server has said something, or closed, while it is our turn to write."""
        if not isinstance(sock, ssl.SSLSocket):  # TLS has records of its own to send: a readable one proves nothing
            readable = select.poll()
            readable.register(sock, select.POLLIN)
            if readable.poll(0):
                return True
        if self._client.file is None:
            return False
        wait = sock.gettimeout()
        sock.settimeout(0)
        try:
            return bool(self._client.file.peek(1))  # what came in one packet with the reply before it
        except ssl.SSLWantReadError:
            return False
        finally:
            sock.settimeout(wait)

    def _command(self, phase: str, verb: str, timeout: float | None = None) -> Reply:
        if not self._alive:
            return self._lost(phase, "the connection is gone")
        try:
            _wait_at_most(self._client, self._timeouts.command if timeout is None else timeout)
            self._client.putcmd(verb)
        except (OSError, ValueError) as error:  # ValueError: a line end or something beyond ASCII in an address
            return self._lost(phase, _words(error))
        return self._read(phase)

    def _read(self, phase: str, timeout: float | None = None) -> Reply:
        try:
            if timeout is not None:
                _wait_at_most(self._client, timeout)
            code, raw = self._client.getreply()
        except OSError as error:
            return self._lost(phase, _words(error))
        if not 200 <= code <= 599:
            return self._lost(phase, f"not a reply: {code}")
        reply = read(code, raw, phase)
        if code == 421:  # RFC 5321 §3.8: it closes the channel
            self._close()
        return reply

    def _lost(self, phase: str, text: str) -> Reply:
        self._close()
        return Reply(code=None, text=text, phase=phase)

    def _close(self) -> None:
        self._alive = False
        with contextlib.suppress(OSError):
            self._client.close()


def stuffed(message: bytes) -> bytes:
    """`message` (CRLF lines) with the dot at the start of any line doubled (RFC 5321 §4.5.2)."""
    body = message.replace(b"\r\n.", b"\r\n..")
    return b"." + body if body.startswith(b".") else body


def _wait_at_most(client: smtplib.SMTP, seconds: float) -> None:
    if client.sock is not None:
        client.sock.settimeout(seconds)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by its very name: localhost, 127.0.0.0/8 or ::1."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _words(error: Exception) -> str:
    """What went wrong, in the words of the system, without smtplib's wrapping."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return words(str(error)) or type(error).__name__
