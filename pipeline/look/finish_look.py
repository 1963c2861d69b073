"""The end of a look: read what is new, judge it, and record what may be recorded.

    pages not read yet ─▶ records ─┐
    what is gone or moved ─────────┴▶ renames, detect ─▶ guards ─▶ versions, changes, questions ─▶ report
                 absence                    judging                    recording
"""

from collections import Counter
from dataclasses import dataclass, replace

from milepost.records import CHANGE_KINDS, LookReport, LookVerdict, page_address
from newsletter.news.guards import Hold, hold, incomplete
from pipeline.look.absence import Absences
from pipeline.look.crawled_look import CrawledLook
from pipeline.look.judging import Judge, Judged
from pipeline.look.reading import Reading, read_stored
from pipeline.look.recording import Recorder, while_held
from pipeline.look.renaming import settle
from pipeline.look.unread_entries import FIRST, unread_dates, unread_entries
from pipeline.look.unseen import missed
from store.milestones.milestones import Entry
from store.milestones.source_labels import SourceLabels


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What a look came to."""

    report: LookReport
    whole: bool  # it saw all there is, and nothing speaks against what it saw


class Conclusion:
    """One look at one source, after its crawl."""

    def __init__(self, at: CrawledLook) -> None:
        self._at = at
        self._absences = Absences(at)
        self._judge = Judge(at, self._absences)
        self._recorder = Recorder(at)

    def end(self) -> Ended:
        """Judge, record, and end the look; what a crash leaves undone the next look does."""
        self._at.snapshots.note_listed(self._at.source, self._at.crawled.listed, self._at.look.id)
        labels = SourceLabels(self._at.database)
        reading = read_stored(
            self._at.intake.site, self._at.source, self._at.snapshots, self._at.pages, self._worklist(),
            guard=self._at.intake.guard, stopped=self._at.intake.stopped, labels=labels.known(self._at.source),
        )
        labels.learn(self._at.source, reading.labels, self._at.now())
        left = self._absences.left_pages(reading)
        absence = self._absences.absence(left)
        judged = self._judge.judge(reading, absence)
        firsts = self._absences.missing(absence, judged.matches, left)
        failures, failed = self._failures(reading, judged)
        drifted = self._judge.drifted(reading, judged)
        unseen = missed(self._at, reading, *self._absences.astray())
        unread = unread_entries(self._at, reading)
        counted = self._judge.count(reading, judged, drifted, firsts, failed, unseen, unread)
        stopped = hold(counted)
        lacking = incomplete(replace(counted, let_go=0)) if counted.let_go else None
        # What can't be read withholds no baseline: what was read is one, and the rest waits for an operator.
        held = None if self._at.look.baseline and stopped is not None and stopped.guard != "unread" else stopped
        if self._at.look.baseline and stopped is not None and held is None:
            failures.append(f"{self._at.source}: no baseline yet: {stopped.reason}")
        elif self._at.look.baseline and not judged.entries and not self._at.known:
            failures.append(f"{self._at.source}: no baseline yet: no milestone was found")
        entries = judged.entries if held is None else tuple(while_held(judged.entries, held))
        leaving = [] if stopped is not None else self._absences.leaving(firsts)
        entries += tuple(leaving)
        changed = any(change is not None for change, _, _ in entries)
        row_held = held if held is None or changed or not self._recorder.waits_already(held) else None
        self._recorder.record(entries, judged, held=None if self._at.look.baseline else row_held)
        settled = 0
        if stopped is None and not self._at.look.baseline:
            settled = settle(self._at.database, self._at.source, absence, now=self._at.now())
            self._recorder.confirm(absence, clean=failed == 0 and not judged.contests)
        whole = self._at.crawled.complete and (stopped is None or (held is not None and held.guard != "incomplete"))
        notes = (*map(str, judged.flapping), *(() if stopped is not None else drifted.notes))
        if lacking is not None and stopped is None and (entries or self._at.known):
            notes += (f"the look went on without them: {lacking}",)
        degraded = self._at.looks.degraded(self._at.source) if drifted.degraded is None else drifted.degraded
        self._recorder.remember(drifted, held, row_held)
        self._recorder.remember_missed(unseen, held, row_held)
        self._recorder.remember_unread(unread, held, row_held)
        report = replace(
            self._report(entries, failures, failed, held, settled, whole=whole, notes=notes, degraded=degraded,
                         lacking=lacking is not None),
            unread=len(unread.all), unread_first=tuple(map(str, unread.all[:FIRST])),
            unread_dates=unread_dates(reading.records.values()),
        )
        self._at.looks.finish(
            self._at.look.id, state="complete" if whole else "incomplete", now=self._at.now(), requests=report.requests,
            fetched=report.fetched, not_modified=report.not_modified, failed=report.failed,
            milestones=report.milestones, failures=report.failures, held=row_held.reason if row_held else None,
            listed=self._at.listed, guard=held.guard if held else None, notes=notes,
            degraded=degraded,
        )
        return Ended(report=report, whole=whole)

    def _worklist(self) -> dict[str, int]:
        """Pages to read: those fetched and not read since (also by a look that died), and those whose cards changed."""
        work = dict(self._at.snapshots.unread(self._at.source))
        keys = self._at.snapshots.to_reread(self._at.source)
        known = self._at.milestones.some(self._at.source, keys)
        last = self._at.pages.last_read(self._at.source, [stored.milestone.url for stored in known.values()])
        again = {
            stored.milestone.url: (key, stored.snapshot_id) for key, stored in known.items()
            if stored.snapshot_id is not None and stored.milestone.url in last and not last[stored.milestone.url].gone
        }
        self._at.pages.forget_rereads(self._at.source, keys - {key for key, _ in again.values()})
        return self._alternating() | {url: snapshot_id for url, (_, snapshot_id) in again.items()} | work

    def _alternating(self) -> dict[str, int]:
        """Pages of what alternates, as far as they answered in this look: it is counted what they tell, changed or not.
        """
        known = self._at.milestones.some(self._at.source, self._at.milestones.flaps(self._at.source))
        urls = {page_address(stored.milestone.url) for stored in known.values()}
        return self._at.pages.seen(self._at.source, urls, self._at.look.started_at)

    def _failures(self, reading: Reading, judged: Judged) -> tuple[list[str], int]:
        """A sentence for each thing that went wrong, and the number of pages that did."""
        crawled, intake = self._at.crawled, self._at.intake
        listed = [f"{url}: listed, but it answers {status}" for url, status in intake.gone.items()
                  if url in crawled.listed]
        sentences = [*crawled.reasons, *crawled.unread, *(str(failed.error) for failed in crawled.failures), *listed,
                     *intake.unread_listings, *reading.failures, *map(str, judged.contests)]
        return sentences, crawled.failed + len(listed) + len(intake.unread_listings) + len(reading.failures)

    def _report(
        self, entries: tuple[Entry, ...], failures: list[str], failed: int, held: Hold | None, settled: int, *,
        whole: bool, notes: tuple[str, ...], degraded: tuple[str, ...], lacking: bool,
    ) -> LookReport:
        counted = Counter(change.kind for change, _, _ in entries if change is not None)
        counted["renamed"] += settled
        crawled = self._at.crawled
        count = self._at.milestones.count(self._at.source)
        baseline = self._at.look.baseline and whole and count > 0
        verdicts: tuple[tuple[LookVerdict, object], ...] = (
            ("no-baseline", self._at.look.baseline and not baseline), ("held", held),
            ("incomplete", not whole or lacking), ("degraded", degraded),
        )
        return LookReport(
            source=self._at.source, requests=crawled.requests, fetched=crawled.fetched,
            not_modified=crawled.not_modified, failed=failed, milestones=count, baseline=baseline,
            changes={kind: counted[kind] for kind in CHANGE_KINDS}, held=held.reason if held else None,
            look_id=self._at.look.id, failures=tuple(failures), degraded=degraded, notes=notes,
            disallowed=crawled.disallowed,
            state=next((verdict for verdict, true in verdicts if true), "complete"),
        )
