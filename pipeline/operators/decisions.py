"""What operators decide, by whichever door: each is a function of the pipeline, done in somebody's name and kept.

    Actor, why ─▶ may they? ─▶ pipeline.holds | edit | throttle | resolve ─▶ kept: before → after
"""

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

from milepost.dates import utc_now
from milepost.errors import ForbiddenError, InputError
from milepost.printable import without_addresses
from milepost.records import Issue, LedgerCounts
from milepost.settings import Settings
from pipeline import edit as editing
from pipeline import holds
from pipeline import resolve as resolving
from pipeline import throttle as throttling
from pipeline.dispatch import make_ready
from pipeline.operators.acts import Actor, kept
from store.database import Database
from store.ledger.ledger import DeliveryRow
from store.milestones.looks import Look
from store.milestones.renamings import Renaming
from store.operators.acts import Acts

Done = TypeVar("Done")


class Decisions:
    """All that operators can do to looks and issues.

    Each raises ForbiddenError where the role of `by` may not, InputError without a reason where one is wanted, and what
    the function of the pipeline that it calls raises.
    """

    def __init__(
        self, settings: Settings, database: Database, *, now: Callable[[], dt.datetime] = utc_now
    ) -> None:
        self._settings, self._database, self._now = settings, database, now

    # --- looks ------------------------------------------------------------------------------------------------------

    def release(self, look: int, *, by: Actor, why: str, once: bool = False, refused: bool = False) -> Look:
        """Let the changes of a held look through, or take a refusal back; see `pipeline.holds.release`."""
        return kept(
            self._database, by, "hold.release", f"look {look}",
            lambda: holds.release(self._database, look, why=_reason(by, why), now=self._now(), once=once,
                                  refused=refused),
            why=why, before={"refused": True} if refused else {"held": True},
            after=lambda found: {"held": False, "once": once, "source": found.source},
            says=released, now=self._now,
        )

    def refuse(self, look: int, *, by: Actor, why: str) -> holds.Undone:
        """Say that what a held look found was a fault; see `pipeline.holds.refuse`."""
        return kept(
            self._database, by, "hold.refuse", f"look {look}",
            lambda: holds.refuse(self._database, look, why=_reason(by, why), now=self._now()), why=why,
            before={"held": True},
            after=lambda done: {"held": False, "refused": True, "source": done.look.source, "restored": done.restored,
                                "dropped": done.dropped},
            says=refused, now=self._now,
        )

    def answer(self, question: int, *, same: bool, by: Actor, why: str) -> Renaming:
        """Say whether a milestone is an old one renamed; see `pipeline.holds.resolve_rename`."""
        return kept(
            self._database, by, "rename.resolve", f"question {question}",
            lambda: holds.resolve_rename(
                self._database, question, as_rename=same, why=_reason(by, why), now=self._now()),
            why=why, after=lambda found: {"old": found.old_key, "new": found.new_key, "same": same},
            says=lambda found: f"{found.new_key} is {found.old_key}, renamed: no news" if same
            else f"{found.new_key} is new, and goes into the next issue", now=self._now,
        )

    # --- issues -----------------------------------------------------------------------------------------------------

    def edit(
        self, number: int, *, by: Actor, replaces: str | None, subject: str | None = None, intro: str | None = None,
        preheader: str | None = None, order: Sequence[str] = (), leave_out: Collection[str] = (),
    ) -> Issue:
        """Change a draft; `replaces`: the hash of the content that was looked at, None: as it is now. See
        `pipeline.edit.edit`."""
        was = editing.find(self._database, number)
        return kept(
            self._database, by, "issue.edit", f"issue {number}",
            lambda: editing.edit(self._settings, self._database, number, subject=subject, intro=intro,
                              preheader=preheader, order=order, leave_out=leave_out, replaces=replaces),
            before=_edited(was), after=_edited,
            says=lambda found: f"issue {number} says “{found.subject}” and has the hash {found.content_hash[:12]}",
            now=self._now,
        )

    def approve(self, number: int, *, content_hash: str, by: Actor, why: str = "") -> LedgerCounts:
        """Approve exactly the content of that hash; see `pipeline.edit.approve`."""
        undo = self._settings.newsletter.undo_minutes
        left = f"in {undo} minutes, and Stop takes it back till then" if undo > 1 else "within a minute"
        return self._issue(
            "issue.approve", number, by,
            lambda: self._by_other_eyes(number, by, lambda: editing.approve(
                self._settings, self._database, number, content_hash=content_hash, now=self._now())),
            why=why, more={"content_hash": content_hash},
            says=lambda counts: f"issue {number} is sealed for {counts.deliveries} readers; "
                                f"the first mail goes out {left}",
        )

    def why_not_alone(self, number: int, by: Actor) -> str | None:
        """Why a draft that they may approve wants somebody else (`desk.four_eyes`), in a sentence; None: it doesn't."""
        if not self._settings.desk.four_eyes or editing.find(self._database, number).state != "draft":
            return None
        edited = Acts(self._database).last_done("issue.edit", f"issue {number}")
        if edited is None:
            return None
        if by.door == "flows":
            return f"{edited.who} edited it last, and nobody knows who fills in this form"
        return f"{edited.who} edited it last, and somebody else has to approve it" if edited.who == by.who else None

    def _by_other_eyes(self, number: int, by: Actor, do: Callable[[], Done]) -> Done:
        """Do it; raises ForbiddenError where `why_not_alone` says why not."""
        if (why := self.why_not_alone(number, by)) is not None:
            raise ForbiddenError(why, where=f"issue {number}", hint="desk.four_eyes wants two people.")
        return do()

    def stop(self, number: int, *, by: Actor, why: str) -> editing.Stopped:
        """Stop an issue at any time; see `pipeline.edit.stop`."""
        return self._issue(
            "issue.stop", number, by, lambda: editing.stop(self._database, number, reason=_reason(by, why)), why=why,
            says=lambda found: f"issue {number} is a draft again: nothing was sent" if found.undone
            else f"issue {number} is paused: {found.counts.states.get('sent', 0)} had it by then",
        )

    def pause(self, number: int, *, by: Actor, why: str) -> None:
        """Stop an issue that is being sent; see `pipeline.edit.pause`."""
        self._issue(
            "issue.pause", number, by, lambda: editing.pause(self._database, number, _reason(by, why)), why=why,
            says=lambda _: f"issue {number} is paused",
        )

    def resume(self, number: int, *, by: Actor, why: str = "") -> None:
        """Let a paused issue be sent again; see `pipeline.edit.resume`."""
        self._issue(
            "issue.resume", number, by, lambda: editing.resume(self._database, number), why=why,
            says=lambda _: f"issue {number} may be sent again; the next dispatch goes on with it",
        )

    def send_now(self, number: int, *, by: Actor, why: str = "") -> None:
        """Give up the rest of the time in which an approval can be undone; see `pipeline.edit.send_at_once`."""
        self._issue(
            "issue.send", number, by, lambda: editing.send_at_once(self._database, number), why=why,
            says=lambda _: f"issue {number} waits no longer: the next dispatch sends it",
        )

    def make_ready(self, number: int, *, by: Actor) -> None:
        """Have an issue sent now, also one that is a draft still; see `pipeline.dispatch.make_ready`."""
        self._issue(
            "issue.send", number, by,
            lambda: self._by_other_eyes(number, by, lambda: make_ready(
                self._settings, self._database, number, now=self._now())),
            why="",
            says=lambda _: f"issue {number} is sent at once",
        )

    def discard(self, number: int, *, by: Actor, why: str = "") -> None:
        """Throw a draft away; see `pipeline.edit.discard`."""
        was = editing.find(self._database, number)
        kept(
            self._database, by, "issue.discard", f"issue {number}",
            lambda: self._discarded(number, _reason(by, why)), why=why, before=_edited(was),
            says=lambda _: f"draft {number} is gone; its milestones are free for the next one", now=self._now,
        )

    def throttle(self, number: int, per_second: float | None, *, by: Actor, why: str = "") -> None:
        """How fast an issue is sent, None: as the settings have it; see `pipeline.throttle.throttle`."""
        was = throttling.throttled(self._database, number)
        kept(
            self._database, by, "issue.throttle", f"issue {number}",
            lambda: throttling.throttle(self._database, number, per_second), why=why, before={"per_second": was},
            after=lambda _: {"per_second": per_second},
            says=lambda _: f"issue {number} is sent "
                           + ("as mail.per_second has it" if per_second is None else f"at {per_second:g} a second"),
            now=self._now,
        )

    def test(self, number: int, address: str, *, by: Actor) -> tuple[str, str]:
        """Hand one test mail to the relay, which is in no ledger; returns whom it went to and the relay's words."""

        def do() -> tuple[str, str]:
            mail = editing.trial_mail(self._settings, self._database, number, address, now=self._now())
            reply = editing.send_trial(self._settings, mail)
            return mail.address, f"{reply.code or ''} {reply.text}".strip()

        about = f"issue {number}"
        return kept(
            self._database, by, "issue.test", about, do, given=address,
            says=lambda sent: f"a test of issue {number} was taken by the relay: "
                              f"{without_addresses(sent[1], address)}", now=self._now,
        )

    def resolve_by_log(
        self, number: int, logs: Sequence[Path], *, by: Actor, complete: bool = False
    ) -> resolving.Resolved:
        """Settle hand-overs of unknown end by what the relay wrote; see `pipeline.resolve.resolve_by_log`."""
        return kept(
            self._database, by, "delivery.resolve", f"issue {number}",
            lambda: resolving.resolve_by_log(
                self._settings, self._database, number, logs, now=self._now(), complete=complete),
            after=lambda found: dict(found.results),
            says=lambda found: f"the relay's log was asked about {found.unknown} hand-overs of issue {number}",
            now=self._now,
        )

    def resolve(
        self, number: int, address: str, outcome: resolving.Outcome, *, by: Actor, why: str
    ) -> DeliveryRow:
        """Settle a hand-over of unknown end on somebody's word; see `pipeline.resolve.resolve_by_word`."""
        about = f"issue {number}"
        return kept(
            self._database, by, "delivery.resolve", about,
            lambda: resolving.resolve_by_word(
                self._database, number, address, outcome, _reason(by, why), now=self._now()),
            given=address, why=why, before={"state": "unknown"},
            after=lambda row: {"delivery": row.id, "state": outcome},
            says=lambda row: f"delivery {row.id} of issue {number} is settled as {outcome}", now=self._now,
        )

    def _discarded(self, number: int, _why: str) -> None:
        editing.discard(self._database, number)

    def _issue(
        self, what: str, number: int, by: Actor, do: Callable[[], Done], *, why: str, says: Callable[[Done], str],
        more: dict[str, Any] | None = None,
    ) -> Done:
        """A step of an issue, kept with its states."""
        was = editing.find(self._database, number)
        return kept(
            self._database, by, what, f"issue {number}", do, why=why, before={"state": was.state} | (more or {}),
            after=lambda _: {"state": editing.find(self._database, number).state} | (more or {}), says=says,
            now=self._now,
        )


def released(found: Look) -> str:
    """What is so once a look was released. Pure."""
    if found.refused_at is not None:
        return f"look {found.id} at {found.source} is refused no more: the next look reads it again"
    return f"look {found.id} at {found.source} is released: its changes count as news from now on"


def refused(done: holds.Undone) -> str:
    """What is so once a look was refused. Pure."""
    said = f"look {done.look.id} at {done.look.source} is refused: the record is as it was before it"
    return f"{said}, and the next look reads its pages again" if done.again else said


def _reason(by: Actor, why: str) -> str:
    """The reason; commands and flows, who have no role, ask for one themselves where they want it."""
    if by.role is not None and not why.strip():
        raise InputError("a reason is missing", hint="Say why; it is kept with what you decided.")
    return why


def _edited(issue: Issue) -> dict[str, Any]:
    """What an editor can change of an issue."""
    return {
        "subject": issue.subject, "preheader": issue.edit.preheader, "intro": issue.edit.intro,
        "content_hash": issue.content_hash, "keys": [item.milestone.key for item in issue.items],
    }
