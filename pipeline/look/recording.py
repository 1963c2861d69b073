"""What a look may record, and what it settles of earlier looks."""

from extractors.drift import profile_to_json
from milepost.changes import NEWS
from newsletter.news.guards import Hold, surge
from pipeline.look.crawled_look import CrawledLook
from pipeline.look.judging import Drifted, Judged
from pipeline.look.renaming import Absence, likenesses
from pipeline.look.unread_entries import UnreadEntries
from pipeline.look.unseen import Missed, unseen_to_json
from store.milestones.milestones import Entry
from store.milestones.profiles import Profiles

_LASTING = ("drift", "shrunken", "removal", "incomplete", "unread")  # what they see is there at the next look too


class Recorder:
    """Of one look."""

    def __init__(self, at: CrawledLook) -> None:
        self._at = at

    def waits_already(self, stopped: Hold) -> bool:
        """Whether an earlier look waits for the same answer: then one question is enough."""
        waiting = self._at.looks.list(self._at.source, waiting=True)
        return stopped.guard in _LASTING and any(look.guard == stopped.guard for look in waiting)

    def remember(self, drifted: Drifted, held: Hold | None, row_held: Hold | None) -> None:
        """Offer what a held look found for an operator to accept; put away what was accepted and has done its work."""
        profiles = Profiles(self._at.database)
        if drifted.now is None:
            return
        if held is not None and held.guard == "drift":
            look_id = self._asking(held, row_held)
            profiles.offer(self._at.source, profile_to_json(drifted.now), self._at.now(), look_id=look_id)
        elif held is None and (drifted.once or not drifted.accepted):
            profiles.retire(self._at.source, self._at.now())

    def remember_missed(self, missed: Missed, held: Hold | None, row_held: Hold | None) -> None:
        """Offer what a held look could not see; put away what was let go once it is there again."""
        profiles = Profiles(self._at.database, "incomplete")
        if held is not None and held.guard == "incomplete":
            look_id = self._asking(held, row_held)
            profiles.offer(self._at.source, unseen_to_json(missed.all), self._at.now(), look_id=look_id)
        elif missed.over:
            profiles.retire(self._at.source, self._at.now())

    def remember_unread(self, unread: UnreadEntries, held: Hold | None, row_held: Hold | None) -> None:
        """Offer what a held look could not read. What was released is let pass for good, or with `--once` this time."""
        profiles = Profiles(self._at.database, "unread")
        if held is not None and held.guard == "unread":
            marks = {"marks": [one.mark for one in unread.lost]}
            profiles.offer(self._at.source, marks, self._at.now(), look_id=self._asking(held, row_held))
        elif held is None:
            profiles.retire(self._at.source, self._at.now(), once=True)

    def _asking(self, held: Hold, row_held: Hold | None) -> int:
        """The look whose release answers for this one."""
        waiting = [look.id for look in self._at.looks.list(self._at.source, waiting=True) if look.guard == held.guard]
        return self._at.look.id if row_held is not None or not waiting else waiting[0]

    def record(self, entries: tuple[Entry, ...], judged: Judged, *, held: Hold | None) -> None:
        matches, keys = judged.matches, {record.key for _, record, _ in entries}
        if not entries and not matches:
            return
        self._at.milestones.apply(
            self._at.look.id, self._at.source, entries, announce=not self._at.look.baseline,
            held=held.reason if held else False, guard=held.guard if held else None, now=self._at.now(),
            silent={found.new for found in matches if not found.sure}, likenesses=likenesses(matches),
            flaps={key: still for key, still in judged.flaps.items() if key in keys},
        )

    def confirm(self, absence: Absence, *, clean: bool) -> None:
        """A look that saw all lets earlier ones go on that only waited because they had not.

        `clean`: nothing that it read is in doubt either, so that an earlier doubt which keeps no change back is over.
        """
        if not self._at.crawled.complete:
            return
        for look in self._at.looks.list(self._at.source, waiting=True):
            if look.guard not in ("drift", "incomplete", "unread") or look.id == self._at.look.id:
                continue
            if clean and not self._at.milestones.changes(look_id=look.id, limit=1):
                why = f"it kept no change back, and look {self._at.look.id} saw every page and could read it"
                self._at.looks.release(look.id, why, self._at.now())
                # nobody accepted what that look found
                if look.guard == "unread":
                    Profiles(self._at.database, "unread").retire(self._at.source, self._at.now(), look_id=look.id)
                else:
                    Profiles(self._at.database).retire(self._at.source, self._at.now())
                continue
            if look.guard != "incomplete":
                continue
            added = [change.change.key for change in self._at.milestones.changes(look_id=look.id, kinds=NEWS)]
            limits = {"minimum": self._at.guards.surge_min, "share": self._at.guards.surge_share}
            if not absence.missing & set(added) and surge(len(added), self._at.known, **limits) is None:  # type: ignore[arg-type]
                self._at.looks.release(look.id, f"look {self._at.look.id} saw all of it again", self._at.now())


def while_held(entries: tuple[Entry, ...], held: Hold) -> list[Entry]:
    """What a held look may record; all other pages stay unread, and each look reads them until one may go on.

    It brings nothing back. One that drifted takes no page for read of which it kept only what was known.
    """
    drifted = held.guard == "drift"
    return [entry for entry in entries if (not drifted if entry[0] is None else entry[0].kind != "restored")]
