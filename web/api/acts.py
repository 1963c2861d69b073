"""What the API decides, by the functions that the console and the flows call; each act is logged before and after.

    If-Match ─▶ begun in the log ─▶ the pipeline's function ─▶ ended in the log: done, or refused and why

What is so already is no error and changes nothing: who lost an answer asks again.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel

from milepost.errors import ConflictError, HeldError, InputError, NotFoundError
from milepost.settings import Settings
from pipeline import edit, holds, ledger, subscribers, throttle
from pipeline.operators.acts import Actor, kept
from pipeline.operators.api_tokens import Scope
from pipeline.resolve import resolve_by_word
from pipeline.subscribers import By
from pipeline.upkeep import Database
from web.api import models
from web.api.endpoints import Call, Endpoint
from web.api.reads import Reads

_OF_PEOPLE = ("reader.", "address.", "delivery.")
_OURS = ("frozen", "sending", "paused", "complete", "needs_review")  # states that follow on an approval


class Acts:
    """Over one database; called from several threads at once."""

    def __init__(self, settings: Settings, database: Database, reads: Reads) -> None:
        self._settings, self._database, self._reads = settings, database, reads

    def _act(
        self, call: Call, what: str, about: str, do: Callable[[], models.Done], *, before: Any,
        after: Callable[[], Any],
    ) -> models.Done:
        """Do it, and keep who did it, when, why, what was so before and what is so since.

        What is kept of it outlives an erase, so that no address may stand in it, not even in an error's sentence.
        """
        def nameless() -> models.Done:
            try:
                return do()
            except (ConflictError, HeldError, InputError, NotFoundError) as error:
                raise type(error)(error.what, where=about) from None

        return kept(
            self._database, Actor(who=call.who, role=None, door="api"), what, about,
            nameless if what.startswith(_OF_PEOPLE) else do,
            why=call.sent(models.Because).why, before=before, after=lambda done: after() if done.changed else before,
            says=lambda done: done.says, now=lambda: call.now,
        )

    # --- looks --------------------------------------------------------------------------------------------------------

    def release(self, call: Call) -> models.Done:
        number, sent = call.at(models.ByNumber).number, call.sent(models.Release)
        found = holds.look(self._database, number)
        if found.held is not None and found.released_at is not None:
            return _so_already(f"look {number} was released {found.released_at:%Y-%m-%d %H:%M} UTC")

        def do() -> models.Done:
            released = holds.release(self._database, number, why=sent.why, now=call.now, once=sent.once)
            return _done(f"look {number} at {released.source} is released: its changes count as news from now on")

        return self._act(call, "hold.release", f"look {number}", do, before={"held": found.held, "released": False},
                         after=lambda: {"held": found.held, "released": True})

    def settle_rename(self, call: Call) -> models.Done:
        number, sent = call.at(models.ByNumber).number, call.sent(models.SettleRename)
        found = holds.question(self._database, number)
        answer = "rename" if sent.same else "new"
        if found.decision == answer and found.proof == "operator":
            return _so_already(f"rename {number} was answered so before")

        def do() -> models.Done:
            holds.resolve_rename(self._database, number, as_rename=sent.same, why=sent.why, now=call.now)
            return _done(f"{found.new_key} is {found.old_key}, renamed: no news" if sent.same else
                         f"{found.new_key} is new, and goes into the next issue")

        return self._act(call, "rename.resolve", f"rename {number}", do, before={"decision": found.decision},
                         after=lambda: {"decision": holds.question(self._database, number).decision})

    # --- issues -------------------------------------------------------------------------------------------------------

    def approve(self, call: Call) -> models.Done:
        number, sent = call.at(models.ByNumber).number, call.sent(models.Approve)
        found = edit.find(self._database, number)
        if found.state in _OURS and found.content_hash == sent.content_hash:
            return _so_already(f"issue {number} was approved with exactly that content, it is {found.state}")

        def do() -> models.Done:
            counts = edit.approve(
                self._settings, self._database, number, content_hash=sent.content_hash, now=call.now
            )
            minutes = self._settings.newsletter.undo_minutes
            return _done(f"issue {number} is frozen for {counts.deliveries} readers; the first mail goes out in"
                         f" {minutes} minutes, and stopping it takes it back till then")

        return self._act(call, "issue.approve", f"issue {number}", do, before=self._state(number),
                         after=partial(self._state, number))

    def resume(self, call: Call) -> models.Done:
        number = call.at(models.ByNumber).number
        if edit.find(self._database, number).state == "sending":
            return _so_already(f"issue {number} is being sent")

        def do() -> models.Done:
            edit.resume(self._database, number)
            return _done(f"issue {number} may be sent again; the next dispatch goes on with it")

        return self._act(call, "issue.resume", f"issue {number}", do, before=self._state(number),
                         after=partial(self._state, number))

    def stop(self, call: Call) -> models.Done:
        number, sent = call.at(models.ByNumber).number, call.sent(models.Because)
        if edit.find(self._database, number).state == "paused":
            return _so_already(f"issue {number} is paused")

        def do() -> models.Done:
            stopped = edit.stop(self._database, number, reason=sent.why)
            return _done(f"issue {number} {'is a draft again: nothing was sent' if stopped.undone else 'is paused'}")

        return self._act(call, "issue.stop", f"issue {number}", do, before=self._state(number),
                         after=partial(self._state, number))

    def throttle(self, call: Call) -> models.Done:
        number, sent = call.at(models.ByNumber).number, call.sent(models.Throttle)
        before = throttle.throttled(self._database, edit.find(self._database, number).number)
        pace = "as mail.per_second has it" if sent.per_second is None else f"{sent.per_second:g} mails a second"
        if before == sent.per_second:
            return _so_already(f"issue {number} is sent {pace}")

        def do() -> models.Done:
            throttle.throttle(self._database, number, sent.per_second)
            return _done(f"issue {number} is sent {pace} from now on")

        return self._act(call, "issue.throttle", f"issue {number}", do, before={"per_second": before},
                         after=lambda: {"per_second": sent.per_second})

    def resolve(self, call: Call) -> models.Done:
        number, sent = call.at(models.ByNumber).number, call.sent(models.Resolve)
        _, rows = ledger.ask(self._database, number, address=sent.address)
        if rows and rows[0].row.state == sent.outcome:
            return _so_already(f"the hand-over is {sent.outcome}")

        def do() -> models.Done:
            resolve_by_word(self._database, number, sent.address, sent.outcome, sent.why, now=call.now)
            return _done(f"the hand-over is {sent.outcome} from now on")

        reader = rows[0].row.subscriber if rows else 0
        return self._act(
            call, "delivery.resolve", f"issue {number}, reader {reader}", do,
            before={"state": rows[0].row.state if rows else None}, after=lambda: {"state": sent.outcome},
        )

    def _state(self, number: int) -> dict[str, object]:
        found = edit.find(self._database, number)
        return {"state": found.state, "content_hash": found.content_hash, "pause_reason": found.pause_reason}

    # --- readers ------------------------------------------------------------------------------------------------------

    def put_reader(self, call: Call) -> models.Done:
        sent = call.sent(models.ReaderWanted)
        found = subscribers.show(self._database, sent.address)
        known = found.subscriber
        if known is not None and known.state == "active" and found.suppression is None:
            return _so_already(f"reader {known.id} is on the list, and their own choice stays as it is")

        def do() -> models.Done:
            who, new = subscribers.add(self._database, sent.address, cadence=sent.cadence, topics=sent.topics,
                                       by=self._by(call), now=call.now)
            return models.Done(changed=new, says=f"reader {who.id} {'is on the list now' if new else 'was known'}")

        return self._act(call, "reader.add", "a reader", do, before={"state": known and known.state},
                         after=lambda: {"state": "active"})

    def return_reader(self, call: Call) -> models.Done:
        return self._to_reader(call, "return", "active", "is mailed again", subscribers.return_)

    def unsubscribe_reader(self, call: Call) -> models.Done:
        return self._to_reader(call, "unsubscribe", "unsubscribed", "is mailed no more", subscribers.unsubscribe)

    def erase_reader(self, call: Call) -> models.Done:
        try:
            return self._to_reader(call, "erase", "erased", "is forgotten", subscribers.erase)
        except NotFoundError as error:
            if error.what != subscribers.ERASED:
                raise
            return _so_already(f"reader {call.at(models.ByNumber).number} was erased")

    def _to_reader(
        self, call: Call, what: str, state: str, says: str, act: Callable[..., object]
    ) -> models.Done:
        number = call.at(models.ByNumber).number
        found = subscribers.show_reader(self._database, number)
        assert found.subscriber is not None  # noqa: S101 (found by its number)
        before = found.subscriber.state
        if before == state:
            return _so_already(f"reader {number} is {state}")

        def do() -> models.Done:
            act(self._database, found.address, by=self._by(call), now=call.now)
            return _done(f"reader {number} {says}")

        return self._act(call, f"reader.{what}", f"reader {number}", do, before={"state": before},
                         after=lambda: {"state": state})

    def suppress(self, call: Call) -> models.Done:
        sent = call.sent(models.AddressBecause)
        if subscribers.show(self._database, sent.address).suppression is not None:
            return _so_already("the address is suppressed")

        def do() -> models.Done:
            new = subscribers.suppress(self._database, sent.address, by=self._by(call), now=call.now)
            return models.Done(changed=new, says="the address is never mailed from now on")

        return self._act(call, "address.suppress", "an address", do, before={"suppressed": False},
                         after=lambda: {"suppressed": True})

    def lift(self, call: Call) -> models.Done:
        sent = call.sent(models.AddressBecause)
        if subscribers.show(self._database, sent.address).suppression is None:
            return _so_already("the address is not suppressed")

        def do() -> models.Done:
            was = subscribers.lift(self._database, sent.address, by=self._by(call), now=call.now)
            return _done(f"the address is suppressed no more (was: {was.reason})")

        return self._act(call, "address.lift", "an address", do, before={"suppressed": True},
                         after=lambda: {"suppressed": False})

    def _by(self, call: Call) -> By:
        return By(who=call.who, why=call.sent(models.Because).why)

    # ------------------------------------------------------------------------------------------------------------------

    def endpoints(self) -> Sequence[Endpoint]:
        """All that is decided."""
        reads, because = self._reads, models.Because
        return (
            _post("/looks/{number}/release", "release", "decide",
                  "Let what a held look keeps back through to the next issue.", self.release, "looks",
                  models.Release, seen=reads.look),
            _post("/renames/{number}/settle", "settle_rename", "decide",
                  "Say whether a milestone is a known one renamed.", self.settle_rename, "looks", models.SettleRename,
                  seen=reads.rename),
            _post("/issues/{number}/approve", "approve", "decide",
                  "Approve a draft: exactly the content of that hash is frozen, and sent once its time for second"
                  " thoughts is over.", self.approve, "issues", models.Approve, seen=reads.issue),
            _post("/issues/{number}/resume", "resume", "decide", "Let a paused issue be sent again.", self.resume,
                  "issues", because, seen=reads.issue),
            _post("/issues/{number}/stop", "stop", "decide",
                  "Stop an issue: before its first mail it is a draft again, later it is paused.", self.stop, "issues",
                  because, seen=reads.issue),
            _post("/issues/{number}/throttle", "throttle", "decide", "Say how fast it is sent.", self.throttle,
                  "issues", models.Throttle, seen=reads.issue, verb="PUT"),
            _post("/issues/{number}/resolve", "resolve", "decide",
                  "Settle a hand-over of which nobody knows the end, on your word.", self.resolve, "issues",
                  models.Resolve, seen=reads.issue),
            Endpoint(verb="PUT", path="/readers", name="put_reader", scope="readers.write", tag="readers", acts=True,
                     about="Put somebody on the list who told you that they want it; who is on it stays as they are.",
                     answer=models.Done, run=self.put_reader, body=models.ReaderWanted),
            _post("/readers/{number}/return", "return_reader", "readers.write",
                  "Make somebody active who left, and asked you again.", self.return_reader, "readers", because,
                  seen=reads.reader),
            _post("/readers/{number}/unsubscribe", "unsubscribe_reader", "readers.write", "Mail somebody no more.",
                  self.unsubscribe_reader, "readers", because, seen=reads.reader),
            _post("/readers/{number}/erase", "erase_reader", "readers.write",
                  "Forget somebody everywhere; nothing brings that back.", self.erase_reader, "readers", because),
            Endpoint(verb="POST", path="/suppressions", name="suppress", scope="readers.write", tag="readers",
                     about="Never mail an address again.", answer=models.Done, run=self.suppress, acts=True,
                     body=models.AddressBecause),
            Endpoint(verb="POST", path="/suppressions/lift", name="lift", scope="readers.write", tag="readers",
                     about="Let a suppressed address be mailed again.", answer=models.Done, run=self.lift, acts=True,
                     body=models.AddressBecause),
        )


def _post(
    path: str, name: str, scope: Scope, about: str, run: Callable[[Call], BaseModel], tag: str,
    body: type[models.Because], *, seen: Callable[[Call], BaseModel] | None = None, verb: Any = "POST",
) -> Endpoint:
    return Endpoint(verb=verb, path=path, name=name, scope=scope, about=about, answer=models.Done, run=run, tag=tag,
                    at=models.ByNumber, body=body, seen=seen, acts=True)


def _done(says: str) -> models.Done:
    return models.Done(changed=True, says=says)


def _so_already(says: str) -> models.Done:
    return models.Done(changed=False, says=says)
