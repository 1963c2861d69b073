"""A real SMTP server on loopback that misbehaves on request."""

import asyncio
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

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
        self.session_ends: tuple[int, str] | None = None  # after so many MAILs on a connection: a reply or DROP
        self.dsn = False  # offered, and its parameters taken (RFC 3461)
        self.senders: list[str] = []  # what came after MAIL, parameters and all
        self.sessions: list[Misbehaving] = []
        self.before_answer: Callable[[Taken], object] = lambda _: None
        self.on_verb: Callable[[Verb], object] = lambda _: None
        self.patience_ends = asyncio.Event()  # of who hangs: then it drops the connection
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

    def heal(self) -> None:
        """No fault is left."""
        self._faults.clear()

    def drop_what_hangs(self) -> None:
        self._loop.call_soon_threadsafe(self.patience_ends.set)

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
                session.hang_up()
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
        assert isinstance(envelope.content, bytes)  # we never ask for decoded data
        taken = Taken(str(envelope.mail_from), recipients, envelope.content)
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
        self.mails = 0
        relay.sessions.append(self)

    def hang_up(self) -> None:
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    async def misbehave(self, fault: str) -> None:
        if fault == HANG:
            await self.relay.patience_ends.wait()
        if fault in (DROP, HANG):
            self.hang_up()
            raise ConnectionResetError
        await self.push(fault)
        if fault.startswith("421") and self.transport is not None:
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
        self.mails += 1
        if self.relay.session_ends is not None and self.mails > self.relay.session_ends[0]:
            await self.misbehave(self.relay.session_ends[1])
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
        reader = _reader(self.envelope.rcpt_tos[0]) if self.envelope and self.envelope.rcpt_tos else None
        if not await self._before("data", reader):
            return
        body = self.relay.pick("body", reader)
        if body is not None:
            await self.push("354 go on")
            await self._reader.read(64)
            await self.misbehave(body)
        await super().smtp_DATA(arg)


class OneUser:
    """An aiosmtpd authenticator with an invented user."""

    def __init__(self) -> None:
        self.user, self.password = b"relay-user", secrets.token_urlsafe(9).encode() + b"@:/%"
        self.admitted = 0

    def __call__(self, server: object, session: object, envelope: object, mechanism: str, data: Any) -> AuthResult:
        right = data.login == self.user and data.password == self.password
        self.admitted += right
        return AuthResult(success=right, handled=False)
