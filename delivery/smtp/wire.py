"""One SMTP connection as bytes: commands go out, replies come in, each with its own time-out.

    ask (await one reply)      for the greeting, EHLO, STARTTLS and AUTH
    put (expect so many)       for mail: any number of commands in one write, their replies handed to the owner in order
"""

import asyncio
import os
import select
import ssl
from collections import deque
from typing import Protocol

from delivery.smtp.replies import read, words
from delivery.smtp.session import Timeouts
from milepost.records import Reply

_CODES = {b"%d" % code: code for code in range(200, 600)}
_LONGEST = 64 * 1024  # octets of one reply; RFC 5321 §4.5.3.1.5 allows lines of 512


class Owner(Protocol):
    """Who uses a wire for mail; both are called from its event loop."""

    def replied(self, phase: str, code: int, raw: bytes) -> None:
        """The reply to the oldest command that had none."""

    def lost(self, text: str) -> None:
        """The connection is gone, and why; nothing more is called."""


class Wire(asyncio.Protocol):
    """A connection to a mail server. Raises nothing: what goes wrong is told as `lost`, or as a reply without code."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._loop = asyncio.get_running_loop()
        self._waits = {"data": timeouts.data, "dot": timeouts.dot, "quit": timeouts.quit}
        self._command, self._block = timeouts.command, timeouts.block
        self._transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self._plain = False
        self._buffer = b""  # a line that has only begun
        self._lines: list[bytes] = []  # of a reply that has more to come
        self._unread = 0  # lines that came with the one that is being read
        self._expected: deque[str] = deque()
        self._owner: Owner | None = None
        self._asked: asyncio.Future[tuple[int, bytes]] | None = None
        self._why: str | None = None  # once it is gone
        self._full = False  # the kernel takes no more bytes at the moment
        self._rest = b""  # to be written once it does
        self._heard = 0  # replies so far
        self._seen: tuple[int, bool] | None = None  # what it waited for when it was last looked at, and since when
        self._since = 0.0

    # --- for its owner ----------------------------------------------------------------------------------------------

    def own(self, owner: Owner) -> None:
        """From now on replies go to `owner`."""
        self._owner = owner

    def disown(self) -> None:
        """Nobody is interested in this connection any more."""
        self._owner = None

    def put(self, data: bytes, *phases: str) -> None:
        """Write commands; `phases` names the reply that each is to have."""
        if self._transport is None:
            return
        self._transport.write(data)
        self._expected.extend(phases)

    def put_message(self, body: bytes, rest: bytes, *phases: str) -> bool:
        """Write a message, then `rest`: its dot and what follows; False: the server spoke before the dot was out.

        The dot goes only when the server has not answered or hung up, and with or after the last byte before it that
        the kernel takes: until then nobody can have taken the message.
        """
        if self._transport is None:
            return False
        if self._spoke():
            return self._interrupted()
        taken = self._at_once(body, rest) if self._plain else 0
        if taken < len(body):
            self._transport.write(body[taken:])
            if self._full:
                self._rest = rest
                self._expected.extend(phases)
                return True
            if self._spoke():
                return self._interrupted()
        self.put(rest[max(0, taken - len(body)):], *phases)
        return True

    def _at_once(self, body: bytes, rest: bytes) -> int:
        """How many bytes of both the kernel took in one call: a second one would wake the server a second time."""
        if self._transport is None or self._transport.get_write_buffer_size():
            return 0
        try:
            return os.writev(self._transport.get_extra_info("socket").fileno(), (body, rest))
        except OSError:  # it takes none now, or never again: asyncio finds out which
            return 0

    def _spoke(self) -> bool:
        """Whether the server has said more than the reply that is being read: in its packet, or after it."""
        return bool(self._unread or self._lines or self._buffer) or (self._plain and self._more_to_read())

    def _more_to_read(self) -> bool:
        """Whether the kernel holds something of the server's that we have not read, be it the end of its words."""
        return bool(self._poll.poll(0))

    def _interrupted(self) -> bool:
        """The server spoke in the middle of a message: what it said is the reply to the DATA before it."""
        self._expected.append("data")
        return False

    @property
    def dot_is_out(self) -> bool:
        """Whether all that was put has left this program."""
        return not self._rest

    def check(self, now: float) -> None:
        """Give up when the reply is overdue; called every now and then, from which on a wait is counted: looking at a
        clock at each reply costs more.
        """
        waits_for = (self._heard, bool(self._rest)) if self._expected else None
        if waits_for is None or waits_for != self._seen:
            self._seen, self._since = waits_for, now
            return
        patience = self._block if self._rest else self._waits.get(self._expected[0], self._command)
        if now - self._since >= patience and not self._more_to_read():  # it may, when the loop was held up
            self.abort("no answer in time")

    def abort(self, why: str) -> None:
        """Cut the connection; the owner hears of it at once."""
        transport = self._transport
        self._gone(why)
        if transport is not None:
            transport.abort()

    # --- for whoever sets it up -------------------------------------------------------------------------------------

    async def ask(self, line: str | None, phase: str, seconds: float) -> tuple[Reply, list[str]]:
        """Send one command (None: only listen) → its reply, code None when none came, and the reply's lines."""
        if self._transport is None:
            return Reply(code=None, text=self._why or "the connection is gone", phase=phase), []
        self._asked = self._loop.create_future()
        self._expected.append(phase)
        if line is not None:
            self._transport.write(line.encode("ascii") + b"\r\n")
        try:
            code, raw = await asyncio.wait_for(self._asked, seconds)
        except TimeoutError:
            self.abort("no answer in time")
            return Reply(code=None, text="no answer in time", phase=phase), []
        except ConnectionError as error:
            return Reply(code=None, text=str(error), phase=phase), []
        finally:
            self._asked = None
        return read(code, raw, phase), raw.decode("utf-8", "replace").split("\n")

    async def secure(self, context: ssl.SSLContext, host: str, seconds: float) -> None:
        """STARTTLS was granted: go on under TLS; raises OSError. Bytes sent before it are nobody's (CVE-2011-0411)."""
        if self._transport is None:
            raise ConnectionError(self._why or "the connection is gone")
        if self._buffer or self._lines:
            self.abort("it said more than it should before TLS began")
            raise ConnectionError("it said more than it should before TLS began")
        upgraded = await self._loop.start_tls(
            self._transport, self, context, server_hostname=host, ssl_handshake_timeout=seconds
        )
        if upgraded is None:
            raise ConnectionError("it hung up during the TLS handshake")
        self._use(upgraded)

    # --- for asyncio ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (what create_connection promises)
        self._use(transport)

    def _use(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=0)  # be told as soon as a byte has to wait
        self._plain = transport.get_extra_info("ssl_object") is None  # TLS has records of its own to send
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        *lines, rest = (self._buffer + data if self._buffer else data).split(b"\n")
        self._buffer, self._unread = rest, len(lines)
        for line in lines:
            self._unread -= 1
            self._line(line.rstrip(b"\r"))
            if self._transport is None:
                return
        if (rest or self._lines) and len(rest) + sum(map(len, self._lines)) > _LONGEST:
            self.abort("its reply has no end")

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self._rest and self._transport is not None:
            rest, self._rest = self._rest, b""
            self._transport.write(rest)

    def eof_received(self) -> None:
        self._gone(f"the server hung up{self._half_said()}")

    def connection_lost(self, error: Exception | None) -> None:
        self._gone(f"{_words(error)}{self._half_said()}")

    # --- inside -----------------------------------------------------------------------------------------------------

    def _half_said(self) -> str:
        """The words of a reply that never ended, for people; it is no reply (RFC 5321 §2.3.8)."""
        said = words(b" ".join([*self._lines, self._buffer])[:200])
        return f"; it had begun to say: {said}" if said else ""

    def _line(self, line: bytes) -> None:
        code = _CODES.get(line[:3])
        if code is None:
            self.abort(f"not a reply: {words(line[:40])}")
            return
        if line[3:4] == b"-":
            self._lines.append(line[4:])
            return
        text = line[4:]
        if self._lines:
            text = b"\n".join([*self._lines, text])
            self._lines = []
        if self._asked is not None:
            self._expected.clear()
            if not self._asked.done():
                self._asked.set_result((code, text))
            return
        if not self._expected:  # a server that has had enough of waiting says 421 by itself
            self.abort(f"it spoke unasked: {code} {words(text[:80])}")
            return
        self._heard += 1
        phase = self._expected.popleft()
        if self._owner is not None:
            self._owner.replied(phase, code, text)

    def _gone(self, why: str) -> None:
        if self._why is not None:
            return
        self._why = why
        self._transport = None
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(ConnectionError(why))
        elif self._owner is not None:
            self._owner.lost(why)


def _words(error: Exception | None) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return words(str(error)) if error is not None and str(error) else "the server hung up"
