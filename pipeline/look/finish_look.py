"""The end of a look: read what is new, judge it, and record what may be recorded.

    pages not read yet ─▶ records ─┐
    what is gone or moved ─────────┴▶ renames, detect ─▶ guards ─▶ versions, changes, questions ─▶ report
         reading, absence                 judging         hold
"""

import logging
from collections import ChainMap, Counter
from collections.abc import Collection, Mapping, MutableMapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from crawler.outcomes import CrawlReport
from extractors.drift import profile_to_json, rates_to_json
from extractors.silent_settings import LOOKS, Counts, counted, counts_from_json, counts_to_json, silent
from milepost.changes import NEWS
from milepost.printable import counted as counted_
from milepost.records import CHANGE_KINDS, LookReport, LookVerdict, Milestone
from newsletter.news.guards import Counted, Hold, hold, incomplete, shrunken, surge
from newsletter.news.refused import without_refused
from newsletter.news.renames import Match
from pipeline.look.absence import Absences, Missed, missed, unseen_from_json, unseen_to_json
from pipeline.look.found_feeds import wanting
from pipeline.look.judging import Drifted, Judge, Judged, ToRecord
from pipeline.look.packed_records import slices
from pipeline.look.page_archiver import CrawledLook
from pipeline.look.reading import Reading, read_stored
from pipeline.look.renaming import Absence, likenesses, open_questions, settle
from pipeline.look.unread_entries import FIRST, UnreadEntries, unread_entries
from store.milestones.looks import Look
from store.milestones.profiles import Profiles
from store.milestones.refusals import Refusals
from store.milestones.source_labels import SourceLabels
from store.operators import clock_ahead

log = logging.getLogger("milepost.scrape")

TOGETHER = 500  # milestones of which nothing is told that are recorded in one transaction
MOST_TOLD = 100  # sentences of a kind that a look keeps
_LASTING = ("drift", "shrunken", "removal", "incomplete", "unread")  # what they see is there at the next look too


def conclude(at: CrawledLook) -> LookReport:
    """Read, judge, record and report; what a crash leaves undone the next look does."""
    report = _unchanged(at) if at.crawled.unchanged else _Conclusion(at).end()
    clock_ahead.note(at.database, at.now(), {f"pages of {at.source}": at.pages.seen_ahead(at.source, at.now())})
    return report


def _unchanged(at: CrawledLook) -> LookReport:
    """The report of a look that ended at the poll page."""
    crawled, unread = at.crawled, at.pages.unread(at.source)
    disputed, still = at.looks.disputed(at.source), (*_silent(at, {}), *wanting(at.feeds.before), *at.lastmods.ended())
    degraded = (*disputed, *still)
    report = LookReport(
        source=at.source, look_id=at.look.id, state="degraded" if degraded else "complete", requests=crawled.requests,
        fetched=crawled.fetched, not_modified=crawled.not_modified, failed=0, milestones=at.known, baseline=False,
        changes=dict.fromkeys(CHANGE_KINDS, 0), degraded=degraded, questions=open_questions(at.database, at.source),
        unread=len(unread), unread_first=tuple(map(str, unread[:FIRST])),
    )
    at.looks.finish(
        at.look.id, state="complete", now=at.now(), requests=report.requests, fetched=report.fetched,
        not_modified=report.not_modified, milestones=report.milestones, degraded=disputed, silent=still,
    )
    return report


def _silent(at: CrawledLook, asked: Counts) -> tuple[str, ...]:
    """A sentence for each of the source's settings that lead to nothing, by what this look asked and those before."""
    if not at.site.settings:
        return ()
    before = [counts_from_json(one) for one in at.looks.settings_asked(at.source, LOOKS)]
    return silent(at.site.settings, [asked, *before])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Question:
    """What an operator accepts who releases a look that one guard held, and when that has done its work."""

    guard: str
    found: dict[str, Any]
    over: bool  # what was accepted is of no use any more …
    once: bool = False  # … but for what was let pass for good


class _Conclusion:
    """Of one look at one source, after its crawl."""

    def __init__(self, at: CrawledLook) -> None:
        self._at = at
        self._absences = Absences(at)
        self._judge = Judge(at, self._absences)

    def end(self) -> LookReport:
        at = self._at
        baseline, crawled, source = at.look.baseline, at.crawled, at.source
        at.snapshots.note_listed(source, crawled.listed, at.look.id)
        reading, refused = self._without_refused(self._read())

        absences, judge = self._absences, self._judge
        left, shrunk = absences.left_pages(reading), absences.shrunk(reading)
        absence = absences.absence(left)
        judged = judge.judge(reading, absence)
        firsts = absences.missing(absence, judged.matches, left)
        failures, failed = self._failures(reading, judged)
        drifted = judge.drifted(reading, judged)
        unseen = missed(at, reading, *absences.astray())
        unread = unread_entries(at, reading)
        tally = judge.count(reading, judged, drifted, firsts, failed, unseen, unread)

        stopped = hold(tally)
        lacking = incomplete(replace(tally, let_go=0)) if tally.let_go else None
        like = None if stopped is None else self._refused_like(stopped, tally, drifted, unseen, unread)
        # What can't be read withholds no baseline: what was read is one, and the rest waits for an operator.
        waits = not baseline or stopped is None or stopped.guard == "unread"
        held = stopped if waits and like is None else None
        if baseline and stopped is not None and held is None:
            failures.append(f"{source}: no baseline yet: {stopped.reason}")
        elif baseline and not judged.entries and not at.known:
            failures.append(f"{source}: no baseline yet: no milestone was found")

        records: MutableMapping[str, Milestone] = judged.records
        entries: Sequence[ToRecord] = judged.entries if held is None else _while_held(judged.entries, held)
        if stopped is not None and like is not None:  # nobody is asked again, and its pages stay to be read
            entries = () if baseline else tuple(one for one in _while_held(entries, stopped) if one.change is None)
            failures.append(f"{source}: nothing new is taken while it is as look {like} found it, which was refused: "
                            f"{stopped.reason}")
        if stopped is None:
            leaving = absences.leaving(firsts)
            records = ChainMap({record.key: record for _, record in leaving}, records)
            if leaving:
                entries = [*entries, *(ToRecord(change, record.key, None) for change, record in leaving)]
        changed = any(one.change is not None for one in entries)
        row_held = held if held is None or changed or not self._waits_already(held) else None
        self._record(entries, records, judged, shared=reading.shared, held=None if baseline else row_held)
        settled = 0
        if stopped is None and not baseline:
            settled = settle(at.database, source, absence, now=at.now())
            self._release_earlier(absence, clean=failed == 0 and not judged.contests)
        for question in _questions(drifted, unseen, unread, held) if like is None else ():
            self._remember(question, held, row_held)

        whole = crawled.complete and (stopped is None or (held is not None and held.guard != "incomplete"))
        notes = (*map(str, judged.flapping), *judged.notes, *(() if stopped is not None else drifted.notes))
        notes += tuple(f"{url} is had from {place} by now: give it that address in the settings"
                       for url, place in at.elsewhere.items())
        if lacking is not None and stopped is None and (entries or at.known):
            notes += (f"the look went on without them: {lacking}",)
        notes += shrunk
        stays = absences.stays(firsts)
        if stays:
            like = like or max(stays.values())
            gone = counted_(len(stays), "milestone")
            notes += (f"look {like} was refused: {gone} that the site shows no more stay on record",)
        notes += refused
        came = {one.key for one in entries if one.change is not None and one.change.kind in NEWS}
        notes += _no_news(came & judged.stood.no_news - judged.stood.fed,
                          "stood there at the first look and could not be read till now")
        notes += _no_news(came & judged.stood.fed, "stood in a feed when that was first read")
        asked = counted(at.site.settings, reading.records.values()) if at.site.settings else {}
        disputed = at.looks.disputed(source) if drifted.degraded is None else drifted.degraded
        notes += at.feeds.settle(complete=crawled.complete)
        untrue = at.lastmods.untrue(judged.entries.changes, lambda key: judged.records[key].page)
        notes += at.lastmods.settle(untrue, crawled.not_asked)
        still = (*_silent(at, asked), *wanting(at.feeds.before), *at.lastmods.ended(),
                 *(at.lastmods.wanting() if crawled.complete else ()))
        degraded = (*disputed, *still)
        milestones = at.milestones.count(source)
        first = baseline and whole and milestones > 0
        kinds = Counter(one.change.kind for one in entries if one.change is not None)
        kinds["renamed"] += settled
        verdicts: tuple[tuple[LookVerdict, object], ...] = (
            ("no-baseline", baseline and not first), ("held", held),
            ("incomplete", not whole or lacking is not None), ("degraded", degraded or like),
        )
        report = LookReport(
            source=source, look_id=at.look.id, state=next((verdict for verdict, true in verdicts if true), "complete"),
            requests=crawled.requests, fetched=crawled.fetched, not_modified=crawled.not_modified, failed=failed,
            disallowed=crawled.disallowed, not_asked=crawled.not_asked, milestones=milestones, baseline=first,
            changes={kind: kinds[kind] for kind in CHANGE_KINDS}, held=held.reason if held else None,
            failures=tuple(failures), degraded=degraded, notes=notes,
            unread=len(unread.all), unread_first=tuple(map(str, unread.all[:FIRST])),
            unread_dates=len(reading.undated & reading.records.keys()), found_by=_found_by(source, crawled),
            questions=open_questions(at.database, source), settings=counts_to_json(asked),
        )
        at.looks.finish(
            at.look.id, state="complete" if whole else "incomplete", now=at.now(), requests=report.requests,
            fetched=report.fetched, not_modified=report.not_modified, failed=report.failed,
            milestones=report.milestones, failures=report.failures, held=row_held.reason if row_held else None,
            listed=at.listed, guard=stopped.guard if stopped and (held or like) else None, notes=notes,
            degraded=disputed, silent=still, settings=report.settings or None, as_refused=like,
            reading=rates_to_json(drifted.now, unread=len(unread.all)) if drifted.now else None,
        )
        at.looks.note_asked_in_full(source, at.look.started_at if whole else None)
        at.looks.note_disallowed(source, crawled.disallowed)
        return report

    def _read(self) -> Reading:
        """What is to be read, read; what it taught of the source's labels is kept."""
        at = self._at
        labels, ahead = SourceLabels(at.database), at.intake.ahead
        ahead.finish()
        reading = read_stored(
            at.intake.guard, at.snapshots, at.pages, self._worklist(), labels=labels.known(at.source), ahead=ahead
        )
        ahead.close()
        labels.learn(at.source, reading.labels, reading.spelt, at.now())
        return reading

    def _without_refused(self, reading: Reading) -> tuple[Reading, tuple[str, ...]]:
        """What was read, without what an operator refused; and a sentence where there is such."""
        at = self._at
        refused = Refusals(at.database).changes(at.source)
        if not refused:
            return reading, ()
        told = {key: reading.records[key] for key in refused if key in reading.records}
        known = at.milestones.some(at.source, told, visible=True)
        found = without_refused(told, {key: stored.milestone for key, stored in known.items()}, refused)
        if not found.count:
            return reading, ()
        at.pages.note_read(at.source, {
            told[key].page: reading.snapshots[key] for key in found.dropped if not told[key].shares_its_page
        })
        for key in found.dropped:
            del reading.records[key]
        reading.records.update(found.records)
        return reading, (
            f"{counted_(found.count, 'milestone')} told as before an operator refused it: what was known stands",)

    def _refused_like(
        self, stopped: Hold, counted: Counted, drifted: Drifted, unseen: Missed, unread: UnreadEntries
    ) -> int | None:
        """The look that found the source just so and that an operator refused: then nobody is asked once more."""
        at = self._at
        if stopped.guard == "drift":
            return drifted.refused
        for look, data in Refusals(at.database).pictures(at.source, stopped.guard):
            match stopped.guard:
                case "incomplete" if data is not None:
                    seen = unseen_from_json(data)
                    known = len((unseen.all & seen).pages)
                    over = unseen.all.reasons <= seen.reasons
                    trial = replace(counted, let_go=max(counted.let_go, known),
                                    broken=None if over else counted.broken)
                    same = incomplete(trial) is None
                case "unread" if data is not None:
                    same = {one.mark for one in unread.waiting} <= set(data["marks"])
                case "shrunken":
                    same = look.listed is not None and shrunken(
                        at.listed, look.listed, minimum=counted.fewest, share=counted.share) is None
                case _:
                    same = False
            if same:
                return look.id
        return None

    def _worklist(self) -> dict[str, int]:
        """Pages to read: those fetched and not read since (also by a look that died), and those whose cards changed."""
        at = self._at
        keys = at.snapshots.to_reread(at.source)
        known = at.milestones.some(at.source, keys)
        last = at.pages.last_read(at.source, [stored.milestone.url for stored in known.values()])
        again = {
            stored.milestone.url: (key, stored.snapshot_id) for key, stored in known.items()
            if stored.snapshot_id is not None and stored.milestone.url in last and not last[stored.milestone.url].gone
        }
        at.pages.forget_rereads(at.source, keys - {key for key, _ in again.values()})
        work = self._alternating() | {url: snapshot_id for url, (_, snapshot_id) in again.items()}
        work.update(at.snapshots.unread(at.source))
        return work

    def _alternating(self) -> dict[str, int]:
        """Pages of what alternates, as far as they answered in this look: it is counted what they tell, changed or not.
        """
        known = self._at.milestones.some(self._at.source, self._at.milestones.flaps(self._at.source))
        urls = {stored.milestone.page for stored in known.values()}
        return self._at.pages.seen(self._at.source, urls, self._at.look.started_at)

    def _failures(self, reading: Reading, judged: Judged) -> tuple[list[str], int]:
        """A sentence for each thing that went wrong, and the number of pages that did."""
        crawled, intake = self._at.crawled, self._at.intake
        listed = [f"{url}: listed, but it answers {status}" for url, status in intake.gone.items()
                  if url in crawled.listed]
        groups = (
            first_of(crawled.reasons), first_of(crawled.unread),
            first_of([str(failed.error) for failed in crawled.failures], crawled.failed),
            first_of(listed), first_of(intake.unread_listings), first_of(reading.failures),
            first_of([str(one) for one in judged.contests]),
        )
        sentences = [sentence for group in groups for sentence in group]
        return sentences, crawled.failed + len(listed) + len(intake.unread_listings) + len(reading.failures)

    def _waits_already(self, stopped: Hold) -> bool:
        """Whether an earlier look waits for the same answer: then one question is enough."""
        return stopped.guard in _LASTING and any(look.guard == stopped.guard for look in self._waiting())

    def _record(
        self, entries: Sequence[ToRecord], records: Mapping[str, Milestone], judged: Judged, *,
        shared: Collection[str], held: Hold | None,
    ) -> None:
        """What happened, in one transaction; what nobody is told of follows in several, so that none takes long.

        Who dies between two of them leaves pages that the next look reads; a page of several is read when all of them
        are recorded.
        """
        at = self._at
        told = not at.look.baseline
        first = [one for one in entries if (told and one.change is not None) or one.key in shared]
        rest = (one for one in entries if not ((told and one.change is not None) or one.key in shared))
        if first or judged.matches:
            self._apply(first, records, judged, held, judged.matches)
        for some in at.database.in_turn(slices(rest, TOGETHER)):
            self._apply(some, records, judged, held, ())

    def _apply(
        self, entries: Sequence[ToRecord], records: Mapping[str, Milestone], judged: Judged, held: Hold | None,
        matches: Sequence[Match],
    ) -> None:
        at = self._at
        at.milestones.apply(
            at.look.id, at.source, ((one.change, records[one.key], one.snapshot_id) for one in entries),
            announce=not at.look.baseline, held=held.reason if held else False,
            guard=held.guard if held else None, now=at.now(),
            silent={found.new for found in judged.matches if not found.sure} | judged.stood.no_news,
            likenesses=likenesses(matches),
            flaps={one.key: judged.flaps[one.key] for one in entries if one.key in judged.flaps},
        )

    def _remember(self, question: _Question, held: Hold | None, row_held: Hold | None) -> None:
        """Offer what a held look found for an operator to accept; put away what was accepted and has done its work."""
        at = self._at
        profiles = Profiles(at.database, question.guard)
        if held is not None and held.guard == question.guard:
            waiting = [look.id for look in self._waiting() if look.guard == held.guard]
            # the look whose release answers for this one
            asking = at.look.id if row_held is not None or not waiting else waiting[0]
            profiles.offer(at.source, question.found, at.now(), look_id=asking)
        elif question.over:
            profiles.retire(at.source, at.now(), once=question.once)

    def _waiting(self) -> Sequence[Look]:
        return self._at.looks.list(self._at.source, waiting=True)

    def _release_earlier(self, absence: Absence, *, clean: bool) -> None:
        """A look that saw all lets earlier ones go on that only waited because they had not.

        `clean`: nothing that it read is in doubt either, so that an earlier doubt which keeps no change back is over.
        """
        at = self._at
        if not at.crawled.complete:
            return
        for look in self._waiting():
            if look.guard not in ("drift", "incomplete", "unread") or look.id == at.look.id:
                continue
            if clean and not at.milestones.changes(look_id=look.id, limit=1):
                why = f"it kept no change back, and look {at.look.id} saw every page and could read it"
                at.looks.release(look.id, why, at.now())
                # nobody accepted what that look found
                if look.guard == "unread":
                    Profiles(at.database, "unread").retire(at.source, at.now(), look_id=look.id)
                else:
                    Profiles(at.database).retire(at.source, at.now())
                continue
            if look.guard != "incomplete":
                continue
            added = [change.change.key for change in at.milestones.changes(look_id=look.id, kinds=NEWS)]
            many = surge(len(added), at.known, minimum=at.guards.surge_min, share=at.guards.surge_share)
            if many is None and not absence.missing & set(added):
                at.looks.release(look.id, f"look {at.look.id} saw all of it again", at.now())


def _no_news(keys: Set[str], why: str) -> tuple[str, ...]:
    """A sentence on what is on record from now on and told to nobody; () for nothing."""
    if not keys:
        return ()
    few = ", ".join(sorted(keys)[:FIRST])
    more = ", …" if len(keys) > FIRST else ""
    return (f"{counted_(len(keys), 'milestone')} {why}: on record, and no news ({few}{more})",)


def _while_held(entries: Sequence[ToRecord], held: Hold) -> Sequence[ToRecord]:
    """What a held look may record; all other pages stay unread, and each look reads them until one may go on.

    It brings nothing back. One that drifted takes no page for read of which it kept only what was known.
    """
    drifted = held.guard == "drift"
    return tuple(one for one in entries if (not drifted if one.change is None else one.change.kind != "restored"))


def _questions(drifted: Drifted, unseen: Missed, unread: UnreadEntries, held: Hold | None) -> Sequence[_Question]:
    seen = [] if drifted.now is None else [_Question(
        guard="drift", found=profile_to_json(drifted.now), over=held is None and (drifted.once or not drifted.accepted),
    )]
    return (
        *seen, _Question(guard="incomplete", found=unseen_to_json(unseen.all), over=unseen.over),
        _Question(guard="unread", found={"marks": [one.mark for one in unread.lost]}, over=held is None, once=True),
    )


def _found_by(source: str, crawled: CrawlReport) -> dict[str, int]:
    """How many milestones the sitemap, the listings or both named; those that only one of them did are logged."""
    ways: Counter[str] = Counter()
    for url, finders in crawled.found_by.items():
        way = "+".join(sorted(finders & {"listing", "sitemap"}))
        if not way:
            continue
        ways[way] += 1
        if "+" not in way:
            log.info("%s: only the %s names %s", source, way, url)
    return dict(ways)


def first_of(sentences: Sequence[str], whole: int | None = None) -> list[str]:
    """The first MOST_TOLD of a kind, and how many more there are: each look of a site that is down keeps its sentences,
    and ten thousand pages an hour fill a disk. `whole`: how many there are, where not all are at hand. Pure.
    """
    more = max(whole or 0, len(sentences)) - MOST_TOLD
    return [*sentences[:MOST_TOLD], *([f"{more} more failed like those that are told"] if more > 0 else [])]
