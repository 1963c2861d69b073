"""A mail server that says and hears exactly what a test tells it, event by event: nothing is left to time."""

import asyncio
import select
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from delivery.mailing import Letter
from delivery.smtp import replies
from delivery.smtp.conversation import Conversation
from delivery.smtp.session import Timeouts
from delivery.smtp.wire import Wire
from milepost.records import Claim, Reply

NARROW = 4096  # octets that either side's kernel holds, about: a longer message waits for its reader


class Peer:
    """The server's end of one connection."""

    def __init__(self, end: socket.socket, other_end: socket.socket) -> None:
        self._end, self._other_end = end, other_end
        self._loop = asyncio.get_running_loop()

    async def says(self, *lines: str) -> None:
        """All lines in one packet."""
        await self._loop.sock_sendall(self._end, "".join(f"{line}\r\n" for line in lines).encode("ascii"))

    def says_at_once(self, line: str) -> None:
        """Before the event loop turns."""
        sent = f"{line}\r\n".encode("ascii")
        assert self._end.send(sent) == len(sent)
        readable = select.poll()
        readable.register(self._other_end, select.POLLIN)
        assert readable.poll(20_000)  # it is there

    async def mutters(self, text: str) -> None:
        """Part of a line."""
        await self._loop.sock_sendall(self._end, text.encode("ascii"))

    async def hears(self, *lines: str) -> None:
        """Exactly these lines come; what comes next stays where it is."""
        wanted = "".join(f"{line}\r\n" for line in lines).encode("ascii")
        assert await self.reads(len(wanted)) == wanted

    async def reads(self, octets: int) -> bytes:
        data = b""
        while len(data) < octets:
            more = await self._loop.sock_recv(self._end, octets - len(data))
            assert more, f"it hung up after {data!r}"
            data += more
        return data

    async def hears_the_end(self) -> bytes:
        """What still comes until the other side hangs up."""
        data = b""
        try:
            while more := await self._loop.sock_recv(self._end, 65536):
                data += more
        except ConnectionResetError:
            pass
        return data

    def hangs_up(self) -> None:
        self._end.close()


class Office:
    """Hands out letters, notes what a conversation brings, and answers only when a test does."""

    def __init__(self, letters: list[Letter], share: int = 100) -> None:
        self.letters = deque(letters)
        self.share = share
        self.words = ""  # of the last reply that was judged
        self._events: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()

    def pick(self) -> Letter | None:
        return self.letters.popleft() if self.letters else None

    def put_back(self, letter: Letter) -> None:
        self.letters.appendleft(letter)
        self._events.put_nowait(("put back", letter.claim.delivery_id))

    def begin(self, conversation: Conversation, letter: Letter) -> None:
        self._events.put_nowait(("begin", letter.claim.delivery_id))

    def judge(self, letter: Letter, reply: Reply) -> replies.Verdict:
        self.words = reply.text
        self._events.put_nowait(("judge", letter.claim.delivery_id, reply.phase, reply.code))
        return replies.classify(reply)

    def idle(self, conversation: Conversation) -> None:
        assert not conversation.busy
        self._events.put_nowait(("idle",))

    async def brings(self, *events: tuple[object, ...]) -> None:
        """Exactly these come next, in this order."""
        for event in events:
            assert await self._events.get() == event

    @property
    def quiet(self) -> bool:
        """Whether nothing more was brought."""
        return self._events.empty()


def a_letter(number: int, message: bytes = b"Subject: 7\r\n\r\nNews.\r\n") -> Letter:
    claim = Claim(
        delivery_id=number, issue=7, subscriber_id=number, address=f"r{number}@readers.example", variant="all",
        lease=f"lease-{number}", attempts=0, first_attempt_at=None, reader=f"{number:020}",
    )
    return Letter(
        claim=claim, sender=f"b{number}@bounces.example", message_id=f"<{number}@timeline.example>", message=message
    )


def envelope(number: int) -> tuple[str, str]:
    """The commands that name a letter's envelope."""
    return f"MAIL FROM:<b{number}@bounces.example>", f"RCPT TO:<r{number}@readers.example>"


@asynccontextmanager
async def connected(*, narrow: bool = False) -> AsyncIterator[tuple[Wire, Peer]]:
    """A wire that is ready for mail, and the server's end of it."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
        if narrow:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NARROW)
        client.connect(listening.getsockname())
        client.setblocking(False)
        end, _ = listening.accept()
        with end:
            end.setblocking(False)
            transport, wire = await loop.create_connection(lambda: Wire(Timeouts()), sock=client)
            try:
                yield wire, Peer(end, client)
            finally:
                transport.abort()
                await asyncio.sleep(0)  # transports close at the loop's next turn
