"""Opening a pipelining SMTP connection: connect ─▶ EHLO ─▶ STARTTLS? ─▶ AUTH? ─▶ a `Line` that mail can go over.

Sources: RFC 5321, RFC 2920 (PIPELINING), RFC 3207 (STARTTLS), RFC 4954 (AUTH: delivery.auth).
"""

import asyncio
import os
import socket
import ssl
from dataclasses import dataclass, replace

from delivery.ports import ConnectError, Session
from delivery.smtp import auth
from delivery.smtp.session import SmtpTransport
from delivery.smtp.wire import Wire


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A connection ready for MAIL, and what its server can do."""

    wire: Wire
    pipelining: bool  # several commands may go at once; else each waits for its reply
    dsn: bool = False  # it takes ENVID and RET (RFC 3461)
    via: str | None = None  # where it leads, when that is not the first relay


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class PipelineTransport(SmtpTransport):
    """The same relay, over connections of our own that send without waiting where the server allows it."""

    fallback: "PipelineTransport | None" = None  # asked when this one can't be reached or is too busy to talk

    def open(self) -> Session:
        """As `SmtpTransport.open`; with the fallback where that is called for."""
        try:
            return SmtpTransport.open(self)
        except ConnectError as error:
            if self.fallback is None or not _elsewhere(error):
                raise
            return self.fallback.open()

    async def connect(self) -> Line:
        """Connect, greet, secure, log in, here or at the fallback; raises ConnectError.

        Only a relay that is not there or says 4xx before any mail is passed by: what a relay refuses for good, or a
        certificate or login that is wrong, is for an operator to see. No connection changes relays later on.
        """
        try:
            return await self._connect_here()
        except ConnectError as error:
            if self.fallback is None or not _elsewhere(error):
                raise
            line = await self.fallback.connect()
            return replace(line, via=line.via or self.fallback.where)

    async def _connect_here(self) -> Line:
        wire = await self._dial()
        try:
            offers = await self._hello(wire)
            if self.security == "starttls":
                offers = await self._upgrade(wire, offers)
            if self.user is not None:
                await self._authenticate(wire, offers)
        except BaseException:
            wire.abort("not used")
            raise
        return Line(wire=wire, pipelining="PIPELINING" in offers, dsn="DSN" in offers)

    async def _dial(self) -> Wire:
        loop = asyncio.get_running_loop()
        tls = self._context() if self.security == "tls" else None
        try:
            async with asyncio.timeout(self.timeouts.connect):
                transport, wire = await loop.create_connection(
                    lambda: Wire(self.timeouts), self.host, self.port, ssl=tls,
                    server_hostname=self.host if tls else None,
                )
        except ssl.SSLError as error:
            raise self._tls_failed(error) from None
        except OSError as error:  # TimeoutError is one; asyncio has words of its own for what the system said
            number = error.errno or 0
            said = OSError(number, os.strerror(number)) if number > 0 else error
            raise self._lost("can't be reached", said, "connect") from None
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reply, _ = await wire.ask(None, "connect", self.timeouts.command)
        if reply.code is None:
            raise self._refused(f"can't be reached ({reply.text})", reply)
        if reply.code // 100 != 2:
            wire.abort("not welcome")
            raise self._refused(f"does not welcome us: {reply.code} {reply.text}", reply)
        return wire

    async def _hello(self, wire: Wire) -> dict[str, str]:
        """EHLO, or HELO for a server of another age → what the server offers, keywords in upper case."""
        reply, lines = await wire.ask(f"EHLO {self.hello}", "ehlo", self.timeouts.command)
        if reply.code is not None and reply.code // 100 == 5:
            reply, lines = await wire.ask(f"HELO {self.hello}", "ehlo", self.timeouts.command)
        if reply.code is None:
            raise self._refused(f"hung up on EHLO ({reply.text})", reply)
        if reply.code // 100 != 2:
            raise self._refused(f"refuses EHLO {self.hello}: {reply.code} {reply.text}", reply)
        offers: dict[str, str] = {}
        for line in lines[1:]:
            keyword, _, rest = line.strip().replace("=", " ", 1).partition(" ")  # "AUTH=PLAIN": an old form
            offers[keyword.upper()] = f"{offers.get(keyword.upper(), '')} {rest.upper()}".strip()
        return offers

    async def _upgrade(self, wire: Wire, offers: dict[str, str]) -> dict[str, str]:
        if "STARTTLS" not in offers:
            raise self._no_starttls()
        reply, _ = await wire.ask("STARTTLS", "tls", self.timeouts.command)
        if reply.code != 220:
            raise self._refused(f"refuses STARTTLS: {reply.code} {reply.text}", reply)
        try:
            await wire.secure(self._context(), self.host, self.timeouts.connect)
        except ssl.SSLError as error:
            raise self._tls_failed(error) from None
        except OSError as error:
            raise self._lost("hung up on STARTTLS", error, "tls") from None
        return await self._hello(wire)  # RFC 3207 §4.2: what was offered before TLS counts for nothing

    async def _authenticate(self, wire: Wire, offers: dict[str, str]) -> None:
        known = offers.get("AUTH", "").split()
        mechanism = auth.choose(known, with_token=self.token is not None)
        if mechanism is None:
            raise self._no_login(known)
        secret = await asyncio.to_thread(self._secret) if self.token is not None else self._secret()
        command, answers = auth.script(mechanism, user=self.user or "", secret=secret)
        reply, _ = await wire.ask(command, "auth", self.timeouts.command)
        for answer in answers:
            if reply.code == 334:
                reply, _ = await wire.ask(answer, "auth", self.timeouts.command)
        if reply.code is None:
            raise self._refused(f"hung up during the login ({reply.text})", reply)
        if reply.code != 235:
            raise self._login_refused(reply)


def _elsewhere(error: ConnectError) -> bool:
    """Whether another relay may be asked instead."""
    return error.retryable and error.reply.phase in ("connect", "ehlo")
