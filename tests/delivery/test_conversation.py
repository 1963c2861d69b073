"""One conversation with a mail server, phase by phase: what each thing it can do there means for the letter in hand.

The server is scripted: it says a line when the test says so, and the test goes on when the conversation has brought
what it made of it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from delivery.mailing import Letter
from delivery.smtp.connect import Line
from delivery.smtp.conversation import Conversation
from tests.delivery.scripted_peer import Office, Peer, a_letter, connected, envelope

LONG = b"Subject: 7\r\n\r\n" + b"A line of news.\r\n" * 100_000  # longer than both kernels hold
END = b"\r\n.\r\n"


@dataclass
class Scene:
    """A conversation, who it works for, and whom it speaks to."""

    conversation: Conversation
    office: Office
    peer: Peer
    letter: Letter  # the first, in hand
    pipelining: bool

    async def to_rcpt(self) -> None:
        """Up to where the server has heard MAIL and may answer it."""
        self.conversation.start()
        mail, rcpt = envelope(self.letter.claim.delivery_id)
        await self.peer.hears(mail, *[rcpt] * self.pipelining)

    async def to_begin(self) -> None:
        """Up to where the ledger is asked whether the message may go."""
        await self.to_rcpt()
        await self.accept(self.letter.claim.delivery_id)

    async def accept(self, number: int) -> None:
        """MAIL was heard: accept it, and the recipient."""
        await self.peer.says("250 2.1.0 Ok")
        if not self.pipelining:
            await self.peer.hears(envelope(number)[1])
        await self.peer.says("250 2.1.5 Ok")
        await self.office.brings(("begin", number))

    async def to_data(self) -> None:
        """Up to where the server has heard DATA."""
        await self.to_begin()
        self.conversation.proceed(self.letter, True)
        await self.peer.hears("DATA")

    async def to_dot(self) -> None:
        """Up to where the server has heard the dot."""
        await self.to_data()
        await self.peer.says("354 go on")
        message = self.letter.message
        assert await self.peer.reads(len(message) + 3) == message + b".\r\n"

    async def to_body(self) -> None:
        """Up to where the kernels take no more of a long message: its dot is not out."""
        await self.to_data()
        await self.peer.says("354 go on")
        await self.peer.reads(10)

    async def over(self) -> bytes:
        """The connection is given up → what the server still heard."""
        assert self.conversation.wire is None
        return await self.peer.hears_the_end()


Play = Callable[[Scene], Awaitable[None]]
pytestmark = pytest.mark.timeout(60)
modes = pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "lock-step"])


def play(
    scene: Play, *, pipelining: bool = True, letters: int = 1, message: bytes = b"Subject: 7\r\n\r\nNews.\r\n",
    share: int = 100,
) -> None:
    async def opened() -> None:
        async with connected(narrow=message is LONG) as (wire, peer):
            waiting = [a_letter(number + 1, message) for number in range(letters)]
            office = Office(waiting, share)
            conversation = Conversation(office)
            conversation.take(Line(wire=wire, pipelining=pipelining))
            await scene(Scene(conversation, office, peer, waiting[0], pipelining))
            assert office.quiet

    asyncio.run(opened())


# --- one reply, or none, in each phase --------------------------------------------------------------------------------

# (reply, what is judged: its phase and code, whether the connection goes on); None: the server hangs up
SAYS: dict[str, list[tuple[str | None, tuple[str, int | None], bool]]] = {
    "mail": [
        ("451 4.3.0 later", ("mail", 451), True), ("550 5.7.1 not you", ("mail", 550), True),
        ("354 what?", ("mail", 354), False), ("421 4.3.2 closing", ("mail", 421), False), (None, ("mail", None), False),
    ],
    "rcpt": [
        ("450 4.2.1 busy", ("rcpt", 450), True), ("550 5.1.1 nobody", ("rcpt", 550), True),
        ("354 what?", ("rcpt", 354), False), ("421 4.3.2 closing", ("rcpt", 421), False), (None, ("rcpt", None), False),
    ],
    "data": [
        ("451 4.3.0 later", ("data", 451), True), ("554 5.6.0 odd", ("data", 554), True),
        ("250 2.0.0 Ok", ("data", 250), False), ("421 4.3.2 closing", ("data", 421), False),
        (None, ("data", None), False),
    ],
    "dot": [
        ("250 2.0.0 queued", ("dot", 250), True), ("451 4.3.0 later", ("dot", 451), True),
        ("554 5.6.0 odd", ("dot", 554), True), ("354 what?", ("dot", 354), False),
        ("421 4.3.2 closing", ("dot", 421), False), (None, ("dot", None), False),
    ],
}
STEPS = [(phase, *row) for phase, rows in SAYS.items() for row in rows]


@modes
@pytest.mark.parametrize(
    ("phase", "reply", "judged", "goes_on"), STEPS, ids=[f"{phase} {reply or 'gone'}"[:9] for phase, reply, *_ in STEPS]
)
def test_what_the_server_does_in_a_phase_is_judged_as_of_that_phase(
    phase: str, reply: str | None, judged: tuple[str, int | None], goes_on: bool, pipelining: bool
) -> None:
    async def scene(scene: Scene) -> None:
        match phase:
            case "mail":
                await scene.to_rcpt()
            case "rcpt":
                await scene.to_rcpt()
                await scene.peer.says("250 2.1.0 Ok")
                if not pipelining:
                    await scene.peer.hears(envelope(1)[1])
            case "data":
                await scene.to_data()
            case "dot":
                await scene.to_dot()
        if reply is None:
            scene.peer.hangs_up()
        else:
            await scene.peer.says(reply)
            if phase == "mail" and pipelining and not reply.startswith("421"):
                await scene.peer.says("503 5.5.1 no sender")  # to the RCPT that was on its way
        await scene.office.brings(("judge", 1, *judged), ("idle",))
        assert scene.office.words == ("the server hung up" if reply is None else reply[4:])
        assert not scene.conversation.busy
        if not goes_on:
            if reply is not None:
                assert await scene.over() == b""
            return
        scene.office.letters.append(a_letter(2))
        scene.conversation.start()
        mail, rcpt = envelope(2)
        if phase == "dot":  # taken or refused, the transaction is over (RFC 5321 §4.1.1.4)
            await scene.peer.hears(mail)
        elif pipelining:
            await scene.peer.hears("RSET", mail, rcpt)
        else:
            await scene.peer.hears("RSET")
            await scene.peer.says("250 2.0.0 Ok")
            await scene.peer.hears(mail)

    play(scene, pipelining=pipelining)


# --- MAIL and RCPT in one packet --------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", ["250 2.1.5 Ok", "550 5.1.1 nobody"])
def test_a_refused_sender_is_the_word_whatever_rcpt_gets(second: str) -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_rcpt()
        await scene.peer.says("451 4.3.0 later")
        await scene.peer.says(second)
        await scene.office.brings(("judge", 1, "mail", 451), ("idle",))

    play(scene)


def test_a_refused_sender_is_the_word_when_the_server_hangs_up_before_rcpt_has_one() -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_rcpt()
        await scene.peer.says("550 5.7.1 not you")
        scene.peer.hangs_up()
        await scene.office.brings(("judge", 1, "mail", 550), ("idle",))

    play(scene)


@modes
def test_a_refusal_is_not_remembered_on_the_next_letter(pipelining: bool) -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_rcpt()
        await scene.peer.says("451 4.3.0 later", *["503 5.5.1 no sender"] * pipelining)
        await scene.office.brings(("judge", 1, "mail", 451), ("idle",))
        scene.conversation.start()
        mail, rcpt = envelope(2)
        if pipelining:
            await scene.peer.hears("RSET", mail, rcpt)
            await scene.peer.says("250 2.0.0 Ok")
        else:
            await scene.peer.hears("RSET")
            await scene.peer.says("250 2.0.0 Ok")
            await scene.peer.hears(mail)
        await scene.accept(2)

    play(scene, pipelining=pipelining, letters=2)


@modes
@pytest.mark.parametrize("reply", ["500 5.5.1 what?", "251 2.0.0 hm", "421 4.3.2 closing"])
def test_a_server_that_will_not_forget_a_transaction_gets_no_other(reply: str, pipelining: bool) -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_rcpt()
        await scene.peer.says("250 2.1.0 Ok")
        if not pipelining:
            await scene.peer.hears(envelope(1)[1])
        await scene.peer.says("550 5.1.1 nobody")
        await scene.office.brings(("judge", 1, "rcpt", 550), ("idle",))
        scene.conversation.start()
        await scene.peer.hears("RSET", *[*envelope(2)] * pipelining)
        await scene.peer.says(reply)
        await scene.office.brings(("put back", 2), ("idle",))
        assert await scene.over() == b""

    play(scene, pipelining=pipelining, letters=2)


@modes
def test_a_server_that_speaks_unasked_is_left(pipelining: bool) -> None:
    async def scene(scene: Scene) -> None:
        await scene.peer.says("421 4.4.2 idle for too long")
        await scene.office.brings(("idle",))
        assert await scene.over() == b""

    play(scene, pipelining=pipelining)


# --- between RCPT and DATA: the ledger's commit -----------------------------------------------------------------------


@modes
def test_what_may_not_begin_is_forgotten_by_the_server_too(pipelining: bool) -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_begin()
        scene.conversation.proceed(scene.letter, False)
        await scene.office.brings(("idle",))
        assert not scene.conversation.busy
        scene.conversation.start()
        await scene.peer.hears("RSET", *[*envelope(2)] * pipelining)

    play(scene, pipelining=pipelining, letters=2)


@modes
def test_a_connection_lost_while_the_commit_is_on_its_way_defers_what_was_begun(pipelining: bool) -> None:
    """It stands as begun in the ledger and no byte of it left: to be tried again, and nobody need ask."""

    async def scene(scene: Scene) -> None:
        await scene.to_begin()
        scene.peer.hangs_up()
        await scene.office.brings(("idle",))
        assert not scene.conversation.busy
        assert scene.office.quiet  # the ledger's answer is to come: until then there is nothing to judge or give back
        scene.conversation.proceed(scene.letter, True)
        await scene.office.brings(("judge", 1, "data", None))
        assert scene.office.words == "the server hung up"

    play(scene, pipelining=pipelining)


@modes
def test_a_connection_lost_while_a_commit_is_refused_is_no_word_on_the_letter(pipelining: bool) -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_begin()
        scene.peer.hangs_up()
        await scene.office.brings(("idle",))
        scene.conversation.proceed(scene.letter, False)  # it was skipped, or given back, by whoever refused it
        assert scene.office.quiet

    play(scene, pipelining=pipelining)


@pytest.mark.parametrize("reply", ["421 4.4.2 too slow", "250 2.1.5 Ok"])
@modes
def test_a_server_that_speaks_while_the_commit_is_on_its_way_is_left_before_data(reply: str, pipelining: bool) -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_begin()
        await scene.peer.says(reply)
        await scene.office.brings(("idle",))
        assert await scene.over() == b""
        scene.conversation.proceed(scene.letter, True)
        await scene.office.brings(("judge", 1, "data", None))

    play(scene, pipelining=pipelining)


def test_an_answer_for_a_connection_that_is_gone_leaves_its_successor_alone() -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_begin()
        scene.peer.hangs_up()
        await scene.office.brings(("idle",))
        async with connected() as (wire, peer):
            scene.conversation.connecting = True
            scene.conversation.take(Line(wire=wire, pipelining=True))
            assert not scene.conversation.connecting
            scene.conversation.start()
            await peer.hears(*envelope(2))
            scene.conversation.proceed(scene.letter, True)
            await scene.office.brings(("judge", 1, "data", None))
            await peer.says("250 2.1.0 Ok", "250 2.1.5 Ok")
            await scene.office.brings(("begin", 2))
            scene.conversation.give_up().disown()  # type: ignore[union-attr]

    play(scene, letters=2)


# --- before the dot is out ------------------------------------------------------------------------------------------

EARLY = [
    ("250 2.0.0 queued as 1", None), ("354 go on", None), ("400 hm", 400), ("452 4.3.1 no room", 452),
    ("552 5.3.4 too big", 552), ("421 4.3.2 closing", 421),
]
OUT_OF_TURN = "the server spoke out of turn"
early = pytest.mark.parametrize(("reply", "code"), EARLY, ids=[reply[:3] for reply, _ in EARLY])


@modes
@early
def test_a_reply_in_the_middle_of_a_body_is_not_one_to_its_dot(reply: str, code: int | None, pipelining: bool) -> None:
    """Whatever it says, it has not got the message: an early 250 is no hand-over, and no dot follows it."""

    async def scene(scene: Scene) -> None:
        await scene.to_body()
        assert scene.conversation.wire is not None
        assert not scene.conversation.wire.dot_is_out
        await scene.peer.says(reply)
        await scene.office.brings(*[("put back", 2)] * pipelining, ("judge", 1, "data", code), ("idle",))
        assert scene.office.words == (OUT_OF_TURN if code is None else reply[4:])
        assert END not in await scene.over()
        assert [letter.claim.delivery_id for letter in scene.office.letters] == [2]

    play(scene, pipelining=pipelining, letters=2, message=LONG)


@modes
@early
@pytest.mark.parametrize("message", [b"Subject: 7\r\n\r\nNews.\r\n", LONG], ids=["short", "long"])
def test_a_reply_in_one_packet_with_the_354_is_not_one_to_the_dot(
    message: bytes, reply: str, code: int | None, pipelining: bool
) -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_data()
        await scene.peer.says("354 go on", reply)
        await scene.office.brings(*[("put back", 2)] * pipelining, ("judge", 1, "data", code), ("idle",))
        assert scene.office.words == (OUT_OF_TURN if code is None else reply[4:])
        assert await scene.over() == b""

    play(scene, pipelining=pipelining, letters=2, message=message)


@pytest.mark.parametrize(
    ("begun", "rest"),
    [("2", "50 2.0.0 queued"), ("250", " 2.0.0 queued"), ("250-2.0.0", "\r\n250 queued"),
     ("250-2.0.0\r\n", "250 queued"), ("250-2.0.0\r\n250 que", "ued")],
    ids=["a digit", "a code", "a line of more", "a whole line of more", "half of the last line"],
)
def test_a_reply_that_has_only_begun_is_early_too(begun: str, rest: str) -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_data()
        await scene.peer.mutters(f"354 go on\r\n{begun}")
        await scene.peer.mutters(f"{rest}\r\n")
        await scene.office.brings(("judge", 1, "data", None), ("idle",))
        assert await scene.over() == b""

    play(scene)


@modes
def test_a_connection_lost_in_the_middle_of_an_early_reply_defers_the_letter(pipelining: bool) -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_data()
        await scene.peer.mutters("354 go on\r\n250 2.0.0 que")
        scene.peer.hangs_up()
        await scene.office.brings(*[("put back", 2)] * pipelining, ("judge", 1, "data", None), ("idle",))

    play(scene, pipelining=pipelining, letters=2)


@modes
def test_a_connection_lost_before_the_dot_is_out_defers_the_letter(pipelining: bool) -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_body()
        scene.peer.hangs_up()
        await scene.office.brings(*[("put back", 2)] * pipelining, ("judge", 1, "data", None), ("idle",))

    play(scene, pipelining=pipelining, letters=2, message=LONG)


@modes
def test_a_connection_lost_after_the_dot_leaves_the_letter_in_doubt(pipelining: bool) -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_dot()
        if pipelining:
            await scene.peer.hears(*envelope(2))
        scene.peer.hangs_up()
        await scene.office.brings(*[("put back", 2)] * pipelining, ("judge", 1, "dot", None), ("idle",))

    play(scene, pipelining=pipelining, letters=2)


@pytest.mark.parametrize("end", ["", "\r\n"], ids=["open", "closed"])
def test_the_dot_stands_on_a_line_of_its_own(end: str) -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_data()
        await scene.peer.says("354 go on")
        await scene.peer.hears("Subject: 7", "", "News.", ".")

    play(scene, message=f"Subject: 7\r\n\r\nNews.{end}".encode())


@modes
def test_a_reply_to_the_dot_that_is_overdue_leaves_the_letter_in_doubt_and_is_no_other_letters(
    pipelining: bool
) -> None:
    """When it comes after all, nobody is there who could take it for the answer to something else."""

    async def scene(scene: Scene) -> None:
        await scene.to_dot()
        wire = scene.conversation.wire
        assert wire is not None
        for now in (0.0, 599.0):
            wire.check(now)
            assert scene.office.quiet
        wire.check(600.0)
        await scene.office.brings(*[("put back", 2)] * pipelining, ("judge", 1, "dot", None), ("idle",))
        assert wire is not scene.conversation.wire

    play(scene, pipelining=pipelining, letters=2)


@modes
def test_a_reply_that_is_there_is_not_overdue(pipelining: bool) -> None:
    """The program was held up, not the server."""

    async def scene(scene: Scene) -> None:
        await scene.to_dot()
        wire = scene.conversation.wire
        assert wire is not None
        wire.check(0.0)
        scene.peer.says_at_once("250 2.0.0 queued")  # the loop has not turned since
        wire.check(3600.0)
        await scene.office.brings(("judge", 1, "dot", 250), *[("idle",)] * (not pipelining))
        assert scene.conversation.wire is wire

    play(scene, pipelining=pipelining, letters=2)


@modes
@pytest.mark.parametrize(
    ("said", "told"), [("454 4.3.0 Try again", "454 4.3.0 Try again"), ("554-5.7.1 no\r\n554 5.7", "5.7.1 no 554 5.7")]
)
def test_what_a_server_had_begun_to_say_is_no_reply_and_is_told(said: str, told: str, pipelining: bool) -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_dot()
        await scene.peer.mutters(said)
        scene.peer.hangs_up()
        await scene.office.brings(("judge", 1, "dot", None), ("idle",))
        assert scene.office.words == f"the server hung up; it had begun to say: {told}"

    play(scene, pipelining=pipelining)


# --- from letter to letter --------------------------------------------------------------------------------------------


def test_the_next_envelope_goes_behind_the_dot_and_its_replies_are_its_own() -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_dot()
        await scene.peer.hears(*envelope(2))
        await scene.peer.says("250 2.0.0 queued", "250 2.1.0 Ok", "550 5.1.1 nobody")
        await scene.office.brings(("judge", 1, "dot", 250), ("judge", 2, "rcpt", 550), ("idle",))
        scene.conversation.start()
        await scene.peer.hears("RSET", *envelope(3))

    play(scene, letters=3)


def test_the_next_letter_is_in_hand_as_soon_as_the_dot_has_its_reply() -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_dot()
        await scene.peer.hears(*envelope(2))
        await scene.peer.says("250 2.0.0 queued")
        await scene.office.brings(("judge", 1, "dot", 250))
        assert scene.conversation.busy
        scene.peer.hangs_up()
        await scene.office.brings(("put back", 2), ("idle",))

    play(scene, letters=2)


def test_421_instead_of_a_second_letter_gives_it_back() -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_dot()
        await scene.peer.hears(*envelope(2))
        await scene.peer.says("250 2.0.0 queued", "421 4.7.0 enough for one session")
        await scene.office.brings(("judge", 1, "dot", 250), ("put back", 2), ("idle",))
        assert await scene.over() == b""

    play(scene, letters=2)


def test_421_to_the_dot_gives_the_next_letter_back() -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_dot()
        await scene.peer.hears(*envelope(2))
        await scene.peer.says("421 4.3.2 closing")
        await scene.office.brings(("judge", 1, "dot", 421), ("put back", 2), ("idle",))
        assert await scene.over() == b""

    play(scene, letters=2)


@modes
def test_a_connection_carries_its_share_and_names_nobody_beyond_it(pipelining: bool) -> None:
    async def scene(scene: Scene) -> None:
        await scene.to_dot()
        if pipelining:
            await scene.peer.hears(*envelope(2))
        await scene.peer.says("250 2.0.0 queued", *["250 2.1.0 Ok", "250 2.1.5 Ok"] * pipelining)
        await scene.office.brings(("judge", 1, "dot", 250))
        if not pipelining:
            await scene.office.brings(("idle",))
            scene.conversation.start()
            await scene.peer.hears(envelope(2)[0])
            await scene.accept(2)
        else:
            await scene.office.brings(("begin", 2))
        assert scene.conversation.spent
        scene.conversation.proceed(a_second := scene.conversation._letter, True)  # type: ignore[arg-type]
        await scene.peer.hears("DATA")
        await scene.peer.says("354 go on")
        await scene.peer.hears("Subject: 7", "", "News.", ".")
        await scene.peer.says("250 2.0.0 queued")
        await scene.office.brings(("judge", 2, "dot", 250), ("idle",))
        assert a_second is not None
        assert [letter.claim.delivery_id for letter in scene.office.letters] == [3]

    play(scene, pipelining=pipelining, letters=3, share=2)
