"""Connections that end: each has a deadline for whatever its client owes us, and there are only so many of them.

    accept ─▶ head, HEAD_S ─▶ body, BODY_S ─▶ answer ─▶ read by the client, FLUSH_S and more for a long one ─▶ idle
    one too many ─▶ the one whose client has owed us something for longest makes room

uvicorn ends what is idle between two requests. A client that never finishes its head or its body, or never reads its
answer (slowloris, slow POST, slow read), would keep a connection for ever, and what asks for nothing is not counted by
its `limit_concurrency`.
"""

import asyncio
import logging
import resource
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

_log = logging.getLogger(__name__)

HEAD_S = 10.0  # from the connection, or a request's first byte, to the end of its head
BODY_S = 25.0  # for the body: above what an application waits for it (web.public.forms), which has an answer for it
ANSWER_S = 60.0  # for the application, and for a client that asks on without reading
GROWING_S = 3600.0  # for an answer that has begun and is read as it grows: a file of very many people on the desk
FLUSH_S, SLOWEST = 20.0, 2_000.0  # to read an answer: at least so long, and a second more for so many bytes
KEEP_ALIVE_S = 15  # between two requests
LONGEST_HEAD = 16 * 1024  # bytes of a head that is not over yet
_SPILT = 2 * 1024 * 1024  # bytes of a body that nobody wants any more, read so that its sender hears our answer
_WAITING = 32  # requests of one connection that came before the answer to the one in hand
ACCEPTED_AT_ONCE = 256  # connections, also those the system keeps for us
_OWN_FILES = 250  # for the database, the relay and the rest

Phase = Literal["head", "body", "answer", "rest"]
Reading = Literal["nothing", "head", "body"]  # of what the parser has the beginning, and not the end


class Crowd:
    """All connections of a process, those whose client owes us something in the order in which they began to."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.all: set[Connection] = set()
        self.owing: dict[Connection, None] = {}
        self.turned_away = 0

    def enter(self, connection: "Connection") -> None:
        """One more; the one that has owed us something for longest goes, if there are too many. Logs that."""
        if len(self.all) >= self.most:
            self.turned_away += 1
            gone = next(iter(self.owing), connection)
            _log.warning("more than %d connections at once: the one that kept us waiting longest is closed", self.most)
            gone.abort()
            if gone is connection:
                return
        self.all.add(connection)

    def leave(self, connection: "Connection") -> None:
        self.all.discard(connection)
        self.owing.pop(connection, None)


class Connection(HttpToolsProtocol):
    """One of them; `uvicorn.Config(http=…)` takes what `connections` gives."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None, *, crowd: Crowd, hurry: float = 1.0,
    ) -> None:
        """`hurry`: by what the deadlines are divided."""
        super().__init__(config, server_state, app_state, _loop)
        self._crowd, self._hurry = crowd, hurry
        self._phase: tuple[Phase, object] | None = None
        self._since = 0.0  # when that began
        self._deadline: asyncio.TimerHandle | None = None
        self._reading: Reading = "nothing"
        self._head = 0  # bytes that came while one was not over
        self._spilt = 0

    # --- what the server calls ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._crowd.enter(self)
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._reading == "head":
            self._head += len(data)
            if self._head > LONGEST_HEAD:
                self._refuse("431 Request Header Fields Too Large", "The head of this request is too long.")
        elif self._reading == "body" and self.cycle.response_complete:
            self._spilt += len(data)
            if self._spilt > _SPILT:
                self.transport.close()
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._crowd.leave(self)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close it now, whatever was not sent yet."""
        self._crowd.leave(self)
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        if self._unanswered():
            super().send_400_response(msg)
        else:  # what follows an answer is nonsense: too late to say so
            self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Whoever asks for another protocol is answered in this one (RFC 9110 §7.8): nothing to tell an operator."""

    # --- what the parser calls ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading, self._head = "head", 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reading == "head":  # what follows a body (RFC 9110 §6.5) is nobody's header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= _WAITING:
            raise ValueError("too many requests before the answer to the first")  # the parser's caller refuses it
        super().on_headers_complete()
        self._reading = "body"

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._reading = "nothing"

    # --- deadlines ----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Set the deadline of what is awaited now, unless it runs already."""
        phase, of = self._now()
        if self._phase is not None and self._phase[0] == phase and self._phase[1] is of:
            return
        self._phase, self._since = (phase, of), self.loop.time()
        if self._deadline is not None:
            self._deadline.cancel()
        self._crowd.owing.pop(self, None)
        if self.transport.is_closing() and self not in self._crowd.all:
            return
        if phase != "answer":
            self._crowd.owing[self] = None
        seconds = {
            "head": HEAD_S, "body": BODY_S, "answer": ANSWER_S,
            "rest": FLUSH_S + self.transport.get_write_buffer_size() / SLOWEST,
        }[phase]
        self._deadline = self.loop.call_later(seconds / self._hurry, self._late, phase, seconds)

    def _now(self) -> tuple[Phase, object]:
        """What is awaited, and of which request: the same pair for as long as it is the same wait."""
        if self.transport.is_closing():
            return "rest", None
        if self._reading == "body":
            return "body", self.cycle
        if self.cycle is not None and not self.cycle.response_complete:
            return "answer", self.cycle
        if self.cycle is None or self._reading == "head":
            return "head", self.cycle
        return "rest", self.cycle

    def _late(self, phase: Phase, seconds: float) -> None:
        waited = (self.loop.time() - self._since) * self._hurry
        if phase == "answer" and self._is_read_as_it_grows() and waited < GROWING_S:
            self._deadline = self.loop.call_later(ANSWER_S / self._hurry, self._late, phase, waited + ANSWER_S)
            return
        self._deadline = None
        silent = phase == "head" and self._reading == "nothing"  # a browser that connected to be quick later
        said = {"head": "head of a request", "body": "body of a request", "answer": "answer to a request",
                "rest": "reading of an answer"}[phase]
        _log.log(logging.INFO if silent else logging.WARNING,
                 "a connection was closed: the %s took longer than %d s", said, seconds)
        if phase == "head" and not silent and self._unanswered():
            self._refuse("408 Request Timeout", "The request did not come in time.")  # RFC 9110 §15.5.9
        else:
            self.abort()

    def _is_read_as_it_grows(self) -> bool:
        return self.cycle.response_started and not self.transport.get_write_buffer_size()

    def _unanswered(self) -> bool:
        """Whether what is being read has no answer yet, not even a part of one."""
        return self._reading == "head" or self.cycle is None or not self.cycle.response_started

    def _refuse(self, status: str, why: str) -> None:
        """Say so, and close."""
        self.transport.write(
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(why)}\r\n"
            f"Connection: close\r\n\r\n{why}".encode("ascii")
        )
        self.transport.close()
        self._look()


def connections(most: int, *, hurry: float = 1.0) -> Callable[..., Connection]:
    """Makes the connections of one process, `most` of them at once."""
    return partial(Connection, crowd=Crowd(most), hurry=hurry)


def room_for(wanted: int) -> int:
    """How many connections a process can have of those `wanted`; asks the system for as many open files as it gives.

    A process that has no file left can't accept, and Python says so a thousand times a second.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + 2 * ACCEPTED_AT_ONCE + _OWN_FILES  # what is turned away is closed a moment after it is accepted
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft >= needed:
        return wanted
    room = max(soft - 2 * ACCEPTED_AT_ONCE - _OWN_FILES, soft // 4)
    if room < wanted:
        _log.warning("%d connections at once and not web.connections = %d: this process may open %d files. "
                     "Raise the limit (ulimit -n, LimitNOFILE=).", room, wanted, soft)
    return min(room, wanted)
