"""One connection's walk from letter to letter, a step at each reply; nothing in it waits.

    MAIL, RCPT ─▶ begin (T3) ─▶ DATA ─▶ 354: body, dot, and behind it MAIL, RCPT of the next letter
        └ refused: settle, RSET             └ the dot's reply: settle, the next letter is in hand

A connection that ends between two letters takes nothing with it: the second one goes over a new connection at once.

Where the server does not offer PIPELINING each command waits for the reply to the one before it (RFC 2920).
"""

from collections import deque
from dataclasses import replace
from typing import Protocol

from delivery.mailing import Letter
from delivery.smtp import replies
from delivery.smtp.connect import Line
from delivery.smtp.wire import Wire
from milepost.records import Reply


class Office(Protocol):
    """Where conversations get letters and bring replies; all of it is called in the event loop and returns at once."""

    def pick(self) -> Letter | None:
        """The next letter that may go now, None for now."""

    def put_back(self, letter: Letter) -> None:
        """It was not begun and nothing was said about it."""

    def begin(self, conversation: "Conversation", letter: Letter) -> None:
        """RCPT was accepted: T3; answered by `conversation.proceed`."""

    def judge(self, letter: Letter, reply: Reply) -> replies.Verdict:
        """The last word on a letter."""

    def idle(self, conversation: "Conversation") -> None:
        """The conversation has nothing in hand: it may get a letter, a new connection, or nothing more."""

    @property
    def share(self) -> int:
        """How many letters one connection carries."""


class Conversation:
    """A place for one connection at a time."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self.wire: Wire | None = None
        self.connecting = False
        self._pipelining = self._dsn = False
        self._via: str | None = None  # the relay, when it is not the first
        self._used = 0  # letters tried on this connection
        self._letter: Letter | None = None  # in hand
        self._ahead: Letter | None = None  # its MAIL and RCPT went behind the dot of the one in hand
        self._phase = ""  # of the letter in hand: mail | rcpt | begin | data | body (no dot will go) | dot
        self._refusal: Reply | None = None  # of MAIL, while the reply to the RCPT behind it is on its way
        self._unclean = False  # a transaction was given up: RSET before the next
        self._script: deque[tuple[bytes, str]] = deque()  # lock-step: what to say after the next reply

    @property
    def busy(self) -> bool:
        """Whether a letter is in hand."""
        return self._letter is not None

    @property
    def spent(self) -> bool:
        """Whether this connection has carried its share."""
        return self._used >= self._office.share

    def take(self, line: Line) -> None:
        """A new connection."""
        self.connecting = False
        self.wire, self._pipelining, self._used, self._unclean = line.wire, line.pipelining, 0, False
        self._dsn, self._via = line.dsn, line.via
        self._script.clear()
        line.wire.own(self)

    def give_up(self) -> Wire | None:
        """Let go of the connection, for somebody to say QUIT on it."""
        wire, self.wire = self.wire, None
        return wire

    def start(self) -> None:
        """Begin with a letter, when one may go now."""
        if self.wire is None or self._letter is not None:
            return
        letter = self._office.pick()
        if letter is None:
            return
        self._letter, self._phase = letter, "mail"
        data, phases = self._envelope(letter)
        self.wire.put(data, *phases)

    def _envelope(self, letter: Letter) -> tuple[bytes, tuple[str, ...]]:
        """The commands that name a letter's envelope, as far as they may go now."""
        self._used += 1
        # RFC 3461 §4.3, §4.4: a report is to name the delivery, and needs no more than the headers of the mail.
        claim = letter.claim
        asked = f" RET=HDRS ENVID={claim.issue}.{claim.delivery_id}" if self._dsn else ""
        mail = f"MAIL FROM:<{letter.sender}>{asked}\r\n".encode("ascii")
        rcpt = f"RCPT TO:<{letter.claim.address}>\r\n".encode("ascii")
        unclean, self._unclean = self._unclean, False
        if self._pipelining:
            return (b"RSET\r\n" + mail + rcpt, ("rset", "mail", "rcpt")) if unclean else (mail + rcpt, ("mail", "rcpt"))
        self._script.append((rcpt, "rcpt"))
        if not unclean:
            return mail, ("mail",)
        self._script.appendleft((mail, "mail"))
        return b"RSET\r\n", ("rset",)

    # --- replies ----------------------------------------------------------------------------------------------------

    def replied(self, phase: str, code: int, raw: bytes) -> None:
        """See `delivery.smtp.wire.Owner`."""
        match phase:
            case "mail" | "rcpt" if code // 100 == 2:
                self._accepted(phase)
            case "mail":
                self._phase = "mail"
                self._refusal = replies.read(code, raw, phase)
                if replies.not_begun(self._refusal, self._used):
                    self._cut(None)
                elif code == 421 or not self._pipelining:
                    self._script.clear()
                    self._close(self._refusal)
            case "rcpt":
                self._close(self._refusal or replies.read(code, raw, phase))
            case "data" if code == 354 and self._phase == "data":
                self._send_message()
            case "data":
                reply = replies.read(code, raw, phase)
                if self._phase == "body":  # it spoke in the middle of the message: an early refusal, or it lost step
                    self._cut(reply if code >= 400 else self._no_reply("data", "the server spoke out of turn"))
                else:
                    self._close(reply)
            case "dot" if self.wire is not None and not self.wire.dot_is_out:
                reply = replies.read(code, raw, "data")
                self._cut(reply if code >= 400 else self._no_reply("data", "the server spoke out of turn"))
            case "dot":
                self._close(replies.read(code, raw, phase))
            case "rset" if code == 250:
                self._say_next()
            case _:
                self._cut(None)

    def _accepted(self, phase: str) -> None:
        if self._letter is None:
            return
        if phase == "mail":
            self._phase = "rcpt"
            self._say_next()
        elif self._refusal is not None:  # a strange server: no sender, but a recipient
            self._close(self._refusal)
        else:
            self._phase = "begin"
            self._office.begin(self, self._letter)

    def _say_next(self) -> None:
        if self._script and self.wire is not None:
            data, phase = self._script.popleft()
            self.wire.put(data, phase)

    def proceed(self, letter: Letter, begun: bool) -> None:
        """T3 is on the disk, or was refused (then the letter is settled already)."""
        if self._letter is not letter:  # the connection went meanwhile
            if begun:
                self._office.judge(letter, self._no_reply("data", letter.lost or "the connection is gone"))
            return
        if begun and self.wire is not None:
            self._phase = "data"
            self.wire.put(b"DATA\r\n", "data")
            return
        self._letter, self._phase, self._unclean = None, "", True
        self._office.idle(self)

    def _send_message(self) -> None:
        assert self._letter is not None  # noqa: S101 (a 354 is the reply to its DATA)
        assert self.wire is not None  # noqa: S101
        body = self._letter.message
        dot = b".\r\n" if body.endswith(b"\r\n") else b"\r\n.\r\n"
        phases: tuple[str, ...] = ("dot",)
        if self._pipelining and self._used < self._office.share:
            self._ahead = self._office.pick()
            if self._ahead is not None:
                envelope, more = self._envelope(self._ahead)
                dot, phases = dot + envelope, phases + more
        self._phase = "dot"
        if not self.wire.put_message(body, dot, *phases):
            self._phase = "body"  # the dot was never sent: nobody has taken the message
            self._unsaid()

    def _unsaid(self) -> None:
        """The letter ahead was not named to the server after all."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            self._used -= 1
            self._office.put_back(ahead)

    # --- the end of a letter, or of the connection ------------------------------------------------------------------

    def _close(self, reply: Reply) -> None:
        """The server's last word on the letter in hand."""
        letter, phase = self._letter, self._phase
        if letter is None:
            return
        self._letter, self._ahead = self._ahead, None
        self._phase = "mail" if self._letter is not None else ""
        self._refusal = None
        self._unclean = phase != "dot"
        verdict = self._office.judge(letter, self._signed(reply))
        if verdict.hang_up:
            self._cut(None)
        elif self._letter is None:
            self._office.idle(self)

    def _cut(self, reply: Reply | None) -> None:
        """End the connection; `reply` is the last word on the letter in hand, None when nothing was said about it."""
        wire, self.wire = self.wire, None
        self._unsaid()
        letter, self._letter, self._phase, self._refusal = self._letter, None, "", None
        self._script.clear()
        if wire is not None:
            wire.disown()
            wire.abort("no more use")
        if letter is not None:
            if reply is None:
                self._office.put_back(letter)
            else:
                self._office.judge(letter, self._signed(reply))
        self._office.idle(self)

    def _signed(self, reply: Reply) -> Reply:
        """With the relay's name, when it is not the first: the ledger tells who took a mail."""
        return reply if self._via is None else replace(reply, text=f"{reply.text} [{self._via}]")

    def lost(self, text: str) -> None:
        """See `delivery.smtp.wire.Owner`."""
        letter, phase = self._letter, self._phase
        if letter is not None and phase == "begin":
            letter.lost = text
            self._letter = None  # `proceed` has the last word
            self._cut(None)
        elif letter is None:
            self._cut(None)
        elif self._refusal is not None:
            self._cut(self._refusal)
        else:
            unsent = phase == "body" or (phase == "dot" and self.wire is not None and not self.wire.dot_is_out)
            reply = self._no_reply("data" if unsent else phase, text)
            self._cut(None if replies.not_begun(reply, self._used) else reply)

    @staticmethod
    def _no_reply(phase: str, text: str) -> Reply:
        return Reply(code=None, text=text, phase=phase)
