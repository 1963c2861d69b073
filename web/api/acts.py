"""What the API decides, by the functions that the console and the flows call; each act is logged before and after.

    If-Match ─▶ begun in the log ─▶ the pipeline's function ─▶ ended in the log: done, or refused and why

What is so already is no error and changes nothing: who lost an answer asks again.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel

from milepost.errors import NotFoundError
from pipeline import edit, holds, ledger, subscribers, throttle
from pipeline.operators.api_tokens import Scope
from pipeline.operators.care import Care
from pipeline.operators.decisions import Decisions, refused, released
from pipeline.upkeep import Database
from web.api import models
from web.api.endpoints import Call, Endpoint
from web.api.reads import Reads

_FOLLOW = ("frozen", "sending", "paused", "complete", "needs_review")  # states that follow on an approval


class Acts:
    """Over one database; called from several threads at once."""

    def __init__(self, database: Database, reads: Reads, decisions: Decisions, care: Care) -> None:
        self._database, self._reads, self._decisions, self._care = database, reads, decisions, care

    # --- looks --------------------------------------------------------------------------------------------------------

    def release(self, call: Call) -> models.Done:
        number, sent = call.at(models.ByNumber).number, call.sent(models.Release)
        found = holds.look(self._database, number)
        if found.held is not None and found.released_at is not None:
            return _so_already(f"look {number} was released {found.released_at:%Y-%m-%d %H:%M} UTC")
        return _done(released(self._decisions.release(number, by=call.actor, why=sent.why, once=sent.once,
                                                          refused=sent.refused)))

    def refuse(self, call: Call) -> models.Done:
        number, sent = call.at(models.ByNumber).number, call.sent(models.Because)
        found = holds.look(self._database, number)
        if found.refused_at is not None and found.refused:
            return _so_already(f"look {number} was refused {found.refused_at:%Y-%m-%d %H:%M} UTC")
        return _done(refused(self._decisions.refuse(number, by=call.actor, why=sent.why)))

    def settle_rename(self, call: Call) -> models.Done:
        number, sent = call.at(models.ByNumber).number, call.sent(models.SettleRename)
        found = holds.question(self._database, number)
        if found.decision == ("rename" if sent.same else "new") and found.proof in ("operator", "score"):
            return _so_already(f"rename {number} was answered so before")
        self._decisions.answer(number, same=sent.same, by=call.actor, why=sent.why)
        return _done(f"{found.new_key} is {found.old_key}, renamed: no news" if sent.same else
                     f"{found.new_key} is new, and goes into the next issue")

    # --- issues -------------------------------------------------------------------------------------------------------

    def approve(self, call: Call) -> models.Done:
        number, sent = call.at(models.ByNumber).number, call.sent(models.Approve)
        found = edit.find(self._database, number)
        if found.state in _FOLLOW and found.content_hash == sent.content_hash:
            return _so_already(f"issue {number} was approved with exactly that content, it is {found.state}")
        counts = self._decisions.approve(number, content_hash=sent.content_hash, by=call.actor, why=sent.why)
        return _done(f"issue {number} is sealed for {counts.deliveries} readers; stopping it takes it back till the"
                     " first mail goes out")

    def resume(self, call: Call) -> models.Done:
        number, sent = call.at(models.ByNumber).number, call.sent(models.Because)
        if edit.find(self._database, number).state == "sending":
            return _so_already(f"issue {number} is being sent")
        self._decisions.resume(number, by=call.actor, why=sent.why)
        return _done(f"issue {number} may be sent again; the next dispatch goes on with it")

    def stop(self, call: Call) -> models.Done:
        number, sent = call.at(models.ByNumber).number, call.sent(models.Because)
        if edit.find(self._database, number).state == "paused":
            return _so_already(f"issue {number} is paused")
        stopped = self._decisions.stop(number, by=call.actor, why=sent.why)
        return _done(f"issue {number} {'is a draft again: nothing was sent' if stopped.undone else 'is paused'}")

    def throttle(self, call: Call) -> models.Done:
        number, sent = call.at(models.ByNumber).number, call.sent(models.Throttle)
        pace = "as mail.per_second has it" if sent.per_second is None else f"at {sent.per_second:g} mails a second"
        if throttle.throttled(self._database, edit.find(self._database, number).number) == sent.per_second:
            return _so_already(f"issue {number} is sent {pace}")
        self._decisions.throttle(number, sent.per_second, by=call.actor, why=sent.why)
        return _done(f"issue {number} is sent {pace} from now on")

    def resolve(self, call: Call) -> models.Done:
        number, sent = call.at(models.ByNumber).number, call.sent(models.Resolve)
        _, found = ledger.ask(self._database, number, address=sent.address)
        if any(one.row.state == sent.outcome for one in found):  # one address, one delivery
            return _so_already(f"the hand-over is {sent.outcome}")
        self._decisions.resolve(number, sent.address, sent.outcome, by=call.actor, why=sent.why)
        return _done(f"the hand-over is {sent.outcome} from now on")

    # --- readers ------------------------------------------------------------------------------------------------------

    def put_reader(self, call: Call) -> models.Done:
        sent = call.sent(models.ReaderWanted)
        found = subscribers.show(self._database, sent.address)
        known = found.subscriber
        if known is not None and known.state == "active" and found.suppression is None:
            return _so_already(f"reader {known.id} is on the list, and their own choice stays as it is")
        who, new = self._care.add(sent.address, cadence=sent.cadence, topics=sent.topics, by=call.actor, why=sent.why)
        return models.Done(changed=new, says=f"reader {who.id} {'is on the list now' if new else 'was known'}")

    def return_reader(self, call: Call) -> models.Done:
        return self._to_reader(call, "active", self._care.return_)

    def unsubscribe_reader(self, call: Call) -> models.Done:
        return self._to_reader(call, "unsubscribed", self._care.unsubscribe)

    def erase_reader(self, call: Call) -> models.Done:
        try:
            return self._to_reader(call, "erased", self._care.erase)
        except NotFoundError as error:
            if error.what != subscribers.ERASED:
                raise
            return _so_already(f"reader {call.at(models.ByNumber).number} was erased")

    def _to_reader(self, call: Call, state: str, act: Callable[..., object]) -> models.Done:
        number = call.at(models.ByNumber).number
        found = subscribers.show_reader(self._database, number).subscriber
        if found is not None and found.state == state:
            return _so_already(f"reader {number} is {state}")
        act(number, by=call.actor, why=call.sent(models.Because).why)
        return _done(f"reader {number} is {state} from now on")

    def suppress(self, call: Call) -> models.Done:
        sent = call.sent(models.AddressBecause)
        if subscribers.show(self._database, sent.address).suppression is not None:
            return _so_already("the address is suppressed")
        new = self._care.suppress(sent.address, by=call.actor, why=sent.why)
        return models.Done(changed=new, says="the address is never mailed from now on")

    def lift(self, call: Call) -> models.Done:
        sent = call.sent(models.AddressBecause)
        if subscribers.show(self._database, sent.address).suppression is None:
            return _so_already("the address is not suppressed")
        was = self._care.lift(sent.address, by=call.actor, why=sent.why)
        return _done(f"the address is suppressed no more (was: {was.reason})")

    # ------------------------------------------------------------------------------------------------------------------

    def endpoints(self) -> Sequence[Endpoint]:
        """All that is decided."""
        reads, because = self._reads, models.Because
        return (
            _post("/looks/{number}/release", "release", "decide",
                  "Let what a held look keeps back through to the next issue.", self.release, "looks",
                  models.Release, seen=reads.look),
            _post("/looks/{number}/refuse", "refuse", "decide",
                  "Say that what a held look found was a fault: the record stays as it was.", self.refuse, "looks",
                  because, seen=reads.look),
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
                  "Forget somebody everywhere; nothing brings that back.", self.erase_reader, "readers", because,
                  seen=reads.reader),
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
