"""The end of a look: read what is new, judge it, and record what may be recorded.

    pages not read yet ─▶ records ─┐
    what is gone or moved ─────────┴▶ renames, detect ─▶ guards ─▶ versions, changes, questions ─▶ report
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from crawler.outcomes import CrawlReport
from extractors.drift import Kept, Profile, disputes, drift, profile, profile_from_json, profile_to_json, unfit
from extractors.labels import Labels
from milepost.changes import KINDS, NEWS
from milepost.fields import FIELDS
from milepost.fingerprint import fingerprint
from milepost.records import CHANGE_KINDS, Change, Flap, LookReport, LookVerdict, Milestone
from milepost.settings import GuardSettings, SourceSettings
from newsletter.news.contested import Contest
from newsletter.news.detect import detect
from newsletter.news.guards import Counted, Hold, hold, shrunken, surge
from newsletter.news.renames import Match
from newsletter.news.windows import fallen
from pipeline.look.page_archiver import Intake
from pipeline.look.reading import Reading, read_stored
from pipeline.look.renaming import Absence, likenesses, pair, pending_renames, settle
from store.archive.pages import Pages
from store.archive.snapshots import Snapshots
from store.database import Database
from store.milestones.looks import Look, Looks
from store.milestones.milestones import Entry, Milestones
from store.milestones.profiles import Profiles
from store.milestones.source_labels import SourceLabels

Now = Callable[[], dt.datetime]

_LASTING = ("drift", "shrunken", "removal", "incomplete")  # what these guards see is there at the next look too


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What a look came to."""

    report: LookReport
    whole: bool  # it saw all there is, and nothing speaks against what it saw


@dataclass(frozen=True, kw_only=True, slots=True)
class _Drifted:
    """What the drift guard found, and what the source is like by now."""

    reason: str | None = None
    notes: tuple[str, ...] = ()
    now: Profile | None = None  # None: too little was read to tell
    accepted: bool = False  # it would be held, had an operator not released a look that found the same
    once: bool = False  # … for this look alone
    degraded: tuple[str, ...] | None = None  # what witnesses dispute; None: as before


@dataclass(frozen=True, kw_only=True, slots=True)
class _Judged:
    """What is to be recorded."""

    entries: tuple[Entry, ...]
    matches: tuple[Match, ...]
    changes: tuple[Change, ...]
    contests: tuple[Contest, ...]
    flaps: Mapping[str, Sequence[Flap]]  # key → what alternates
    notes: tuple[str, ...]  # what is said of it, once


class Conclusion:
    """One look at one source, after its crawl."""

    def __init__(
        self, database: Database, guards: GuardSettings, settings: SourceSettings, look: Look, intake: Intake,
        crawled: CrawlReport, *, now: Now,
    ) -> None:
        self._database, self._guards, self._look, self._now = database, guards, look, now
        self._intake, self._crawled, self._settings = intake, crawled, settings
        self._source = look.source
        self._looks, self._milestones, self._pages = Looks(database), Milestones(database), Pages(database)
        self._snapshots = Snapshots(database)
        self._known = self._milestones.count(look.source)
        self._listed = len(crawled.listed) if crawled.complete else None
        self._listed_before = self._looks.listed_before(look.source)
        self._fallen: frozenset[str] = frozenset()  # keys that only fell off the old end of a page

    def end(self) -> Ended:
        """Judge, record, and end the look; what a crash leaves undone the next look does."""
        self._snapshots.note_listed(self._source, self._crawled.listed, self._look.id)
        labels = SourceLabels(self._database)
        reading = read_stored(
            self._intake.site, self._source, self._snapshots, self._pages, self._worklist(),
            guard=self._intake.guard, stopped=self._intake.stopped, labels=labels.known(self._source),
        )
        labels.learn(self._source, reading.labels, self._now())
        left = self._left_pages(reading)
        absence = self._absence(left)
        judged = self._judge(reading, absence)
        firsts = self._missing(absence, judged, left)
        failures, failed = self._failures(reading, judged)
        drifted = self._drifted(reading, judged)
        stopped = hold(self._count(judged, drifted, firsts, failed))
        held = None if self._look.baseline else stopped
        if self._look.baseline and stopped is not None:
            failures.append(f"{self._source}: no baseline yet: {stopped.reason}")
        elif self._look.baseline and not judged.entries and not self._known:
            failures.append(f"{self._source}: no baseline yet: no milestone was found")
        entries = judged.entries if held is None else tuple(_while_held(judged.entries, held))
        leaving = [] if stopped is not None else self._leaving(firsts)
        entries += tuple(leaving)
        changed = any(change is not None for change, _, _ in entries)
        row_held = held if held is None or changed or not self._waits_already(held) else None
        self._record(entries, judged, held=row_held)
        settled = 0
        if stopped is None and not self._look.baseline:
            settled = settle(self._database, self._source, absence, now=self._now())
            self._confirm(absence, clean=failed == 0 and not judged.contests)
        whole = self._crawled.complete and (stopped is None or (held is not None and held.guard != "incomplete"))
        notes = (*judged.notes, *(() if stopped is not None else drifted.notes))
        degraded = self._looks.degraded(self._source) if drifted.degraded is None else drifted.degraded
        self._remember(drifted, held, row_held)
        report = self._report(entries, failures, failed, held, settled, whole=whole, notes=notes, degraded=degraded)
        self._looks.finish(
            self._look.id, state="complete" if whole else "incomplete", now=self._now(), requests=report.requests,
            fetched=report.fetched, not_modified=report.not_modified, failed=report.failed,
            milestones=report.milestones, failures=report.failures, held=row_held.reason if row_held else None,
            listed=self._listed, guard=held.guard if held else None, notes=notes,
            degraded=degraded,
        )
        return Ended(report=report, whole=whole)

    # --- what there is ----------------------------------------------------------------------------------------------

    def _worklist(self) -> dict[str, int]:
        """Pages to read: those fetched and not read since (also by a look that died), and those whose cards changed."""
        work = dict(self._snapshots.unread(self._source))
        keys = self._snapshots.to_reread(self._source)
        known = self._milestones.some(self._source, keys)
        last = self._pages.last_read(self._source, [stored.milestone.url for stored in known.values()])
        again = {
            stored.milestone.url: (key, stored.snapshot_id) for key, stored in known.items()
            if stored.snapshot_id is not None and stored.milestone.url in last and not last[stored.milestone.url].gone
        }
        self._pages.forget_rereads(self._source, keys - {key for key, _ in again.values()})
        return self._alternating() | {url: snapshot_id for url, (_, snapshot_id) in again.items()} | work

    def _alternating(self) -> dict[str, int]:
        """Pages of what alternates, as far as they answered in this look: it is counted what they tell, changed or not.
        """
        known = self._milestones.some(self._source, self._milestones.flaps(self._source))
        urls = {_page(stored.milestone.url) for stored in known.values()}
        return self._pages.seen(self._source, urls, self._look.started_at)

    def _left_pages(self, reading: Reading) -> dict[str, str]:
        """Milestones that are no more on the page which they shared with others: address → key.

        A page that was not read now is as it was: what was missing from it still is.
        """
        intake = self._intake
        read = {_page(record.url) for record in reading.records.values() if "#" in record.url}
        away = read | intake.gone.keys() | intake.moved.keys() | intake.failed | intake.disallowed
        left = {url: key for url in self._pages.missing(self._source)
                if "#" in url and _page(url) not in away and (key := intake.key(url)) is not None}
        if not read:
            return left
        known = self._milestones.known(self._source)
        off = {stored.milestone.url: key for key, stored in known.items()
               if _page(stored.milestone.url) in read and key not in reading.records}
        self._fallen = self._fallen_off(read, off, reading, {key: stored.milestone for key, stored in known.items()})
        return left | {url: key for url, key in off.items() if key not in self._fallen}

    def _fallen_off(
        self, read: Collection[str], off: Mapping[str, str], reading: Reading, known: Mapping[str, Milestone]
    ) -> frozenset[str]:
        """Keys of entries in `off` (address → key) that the pages read now, windows on their last few, show no more."""
        before, missing = self._pages.fallen(self._source), self._pages.missing(self._source)
        withdrawn = self._milestones.withdrawn(self._source)
        found: set[str] = set()
        for page in read:
            shown = [record for record in reading.records.values() if _page(record.url) == page]
            found |= fallen(
                {key: known[key] for url, key in off.items()
                 if _page(url) == page and url not in missing and key not in withdrawn},
                [record for record in shown if record.key in known],
                [record for record in shown if record.key not in known],
                before={off[url] for url in before if url in off},
            )
        urls = {url for url, key in off.items() if key in found}
        self._pages.note_fallen(self._source, urls | {url for url in before if _page(url) not in read}, self._now())
        return frozenset(found)

    def _absence(self, left: Mapping[str, str]) -> Absence:
        """Who is missing for sure, and of whom that can't be told; addresses are those of this look."""
        intake, listed = self._intake, self._crawled.listed
        minimum, share = self._guards.removal_min, self._guards.surge_share
        believed = self._listed is not None and shrunken(
            self._listed, self._listed_before, minimum=minimum, share=share
        ) is None
        whole = self._crawled.complete
        away = {url for url in (*intake.gone, *intake.moved) if whole and url not in listed}
        unsure = {*intake.gone, *intake.moved, *intake.failed, *intake.disallowed} - away
        return Absence(
            missing=frozenset(key for url in away if (key := intake.key(url)) is not None)
            | frozenset(left.values() if whole else ()),
            unsure=frozenset(key for url in unsure if (key := intake.key(url)) is not None) | self._fallen,
            believed=believed, moved=intake.moved_keys(),
        )

    def _unlisted(self) -> set[str]:
        """Known keys that the listings don't name, nor a listed page that holds several."""
        listed = self._crawled.listed
        keys = {self._intake.key(url) for url in listed}
        left = self._milestones.keys(self._source) - keys
        if None not in keys:
            return left
        return {key for key, stored in self._milestones.some(self._source, left).items()
                if _page(stored.milestone.url) not in listed}

    # --- what it means ----------------------------------------------------------------------------------------------

    def _judge(self, reading: Reading, absence: Absence) -> _Judged:
        """What changed and what to keep."""
        # What a held look wrote was told to nobody: what is read is judged by what was.
        told = self._milestones.some(self._source, reading.records, visible=True)
        known = {key: stored.milestone for key, stored in told.items()}
        appeared = {key: record for key, record in reading.records.items() if key not in known}
        if self._look.baseline:
            matches: tuple[Match, ...] = ()
        else:
            unlisted = self._unlisted() if appeared and absence.believed else set()
            matches = pair(
                self._database, self._source, appeared, absence, read=reading.records, unlisted=unlisted,
                siblings={key for key, record in reading.records.items() if "#" in record.url},
            )
        renamed = {found.new: found.old for found in matches if found.sure}
        olds = self._milestones.some(self._source, renamed.values())
        detection = detect(
            known | {key: stored.milestone for key, stored in olds.items()}, reading.records,
            withdrawn=self._milestones.withdrawn(self._source), renamed=renamed,
            classes=self._settings.classes, believed=self._settings.believe_first,
            earlier=self._milestones.earlier(self._source, {
                key: stored.version for key, stored in told.items()
                if stored.version > 1 and fingerprint(reading.records[key]) != stored.fingerprint
            }),
            flaps=self._milestones.flaps(self._source),
            labels=Labels(SourceLabels(self._database).known(self._source)),
        )
        changes = {change.key: change for change in detection.changes}
        entries = tuple(
            (changes.get(key), record, reading.snapshots[key]) for key, record in detection.merged.items()
        )
        return _Judged(entries=entries, matches=matches, changes=detection.changes, contests=detection.contests,
                       flaps=detection.flaps, notes=tuple(map(str, detection.flapping)))

    def _missing(self, absence: Absence, judged: _Judged, left: Mapping[str, str]) -> dict[str, int]:
        """Key → the first look in a row to find it missing, of known milestones that are not something else.

        Something else: what is renamed, what may be, and what moved to a page that could not be read yet.
        """
        if not self._crawled.complete:
            return {}
        away = dict(left) | {
            url: key for url in (*self._intake.gone, *self._intake.moved)
            if (key := self._intake.key(url)) in absence.missing and key is not None
        }
        asked = {found.old for found in judged.matches}
        asked |= {question.old_key for question in pending_renames(self._database, self._source)}
        present = self._milestones.some(self._source, set(away.values()) | set(absence.moved.values()))
        waiting = {old for old, new in absence.moved.items() if new not in present and new not in self._gone_keys()}
        withdrawn = self._milestones.withdrawn(self._source)
        counted = {url for url, key in away.items()
                   if key in present and key not in asked and key not in waiting and key not in withdrawn}
        firsts = self._pages.note_missing(self._source, counted, self._look.id)
        return {away[url]: first for url, first in firsts.items()}

    def _gone_keys(self) -> set[str | None]:
        return {self._intake.key(url) for url in self._intake.gone}

    def _leaving(self, firsts: Mapping[str, int]) -> list[Entry]:
        """What was missing at an earlier look already, and is so now: withdrawn."""
        leaving = {key for key, first in firsts.items() if first < self._look.id}
        return [
            (Change(source=self._source, key=key, kind="withdrawn"), stored.milestone, None)
            for key, stored in self._milestones.some(self._source, leaving).items()
        ]

    def _count(self, judged: _Judged, drifted: "_Drifted", firsts: Mapping[str, int], failed: int) -> Counted:
        baseline, crawled, guards = self._look.baseline, self._crawled, self._guards
        accepted = self._looks.accepted_removals(self._source)
        kinds = Counter(change.kind for change in judged.changes)
        astray, astray_to = self._astray()
        return Counted(
            known=self._known, added=0 if baseline else sum(kinds[kind] for kind in NEWS),
            telling=0 if baseline else sum(count for kind, count in kinds.items() if KINDS[kind].told),
            missing=0 if baseline else sum(first > accepted for first in firsts.values()),
            listed=self._listed, listed_before=self._listed_before,
            asked=crawled.fetched + crawled.not_modified + crawled.gone + crawled.redirected + crawled.failed,
            failed=failed, astray=astray, astray_to=astray_to,
            broken=None if crawled.complete else next(iter(crawled.reasons), "not every listing could be read"),
            drifted=drifted.reason, minimum=guards.surge_min, fewest=guards.removal_min,
            share=guards.surge_share, max_failed_share=guards.max_failed_share,
        )

    def _astray(self) -> tuple[int, str]:
        """How many pages redirect to what is no milestone's page, or several to one; and where most of them lead.

        A login wall and a careless redirect answer so for pages that are still there.
        """
        ends = {url: self._intake.destination(url) for url in self._intake.moved}
        counted = Counter(ends.values())
        base = self._settings.base_url.rstrip("/")
        away = Counter(
            end or "one another" for end in ends.values()
            if end is None or counted[end] > 1 or self._intake.site.classify(end.removeprefix(base)) != "milestone"
        )
        return away.total(), next(iter(away.most_common(1)), ("", 0))[0]

    def _drifted(self, reading: Reading, judged: _Judged) -> "_Drifted":
        """Whether what was read should be trusted: the pages may not (or no more) be what the extractor was made for.

        A look that read a twentieth of the pages or less can't move any share far enough to matter. New milestones are
        no part of it: what they are like says nothing of a layout that their neighbours share.
        """
        baseline = self._look.baseline
        if not baseline and len(reading.records) + len(reading.failures) <= 0.05 * self._known:
            return _Drifted()
        before: dict[str, Milestone] = {
            key: stored.milestone for key, stored in self._milestones.known(self._source).items()
        }
        failed = {self._intake.key(url) for url in reading.failed}
        after = {key: record for key, record in (before | dict(reading.records)).items()
                 if key not in failed and (baseline or key in before)}
        now = profile(list(after.values()), failed=len(reading.failures))
        degraded = disputes(list(after.values()))
        if baseline:
            return _Drifted(reason=unfit(now), now=now, degraded=degraded)
        kept = _kept(before, reading, judged)
        found = drift(profile(list(before.values())), now, kept=kept)
        accepted = Profiles(self._database).accepted(self._source)
        if found.reason is not None and accepted is not None:
            beside = drift(profile_from_json(accepted.data), now, kept=kept)
            if beside.reason is None:  # an operator released a look that found the source so
                return _Drifted(
                    notes=beside.notes, now=now, degraded=degraded, accepted=True, once=accepted.once
                )
        return _Drifted(reason=found.reason, notes=found.notes, now=now, degraded=degraded)

    # --- what is recorded -------------------------------------------------------------------------------------------

    def _waits_already(self, stopped: Hold) -> bool:
        """Whether an earlier look waits for the same answer: then one question is enough."""
        waiting = self._looks.list(self._source, waiting=True)
        return stopped.guard in _LASTING and any(look.guard == stopped.guard for look in waiting)

    def _remember(self, drifted: "_Drifted", held: Hold | None, row_held: Hold | None) -> None:
        """Offer what a held look found for an operator to accept; put away what was accepted and has done its work."""
        profiles = Profiles(self._database)
        if drifted.now is None:
            return
        if held is not None and held.guard == "drift":
            waiting = [look.id for look in self._looks.list(self._source, waiting=True) if look.guard == "drift"]
            look_id = self._look.id if row_held is not None or not waiting else waiting[0]
            profiles.offer(self._source, profile_to_json(drifted.now), self._now(), look_id=look_id)
        elif held is None and (drifted.once or not drifted.accepted):
            profiles.retire(self._source, self._now())

    def _record(self, entries: tuple[Entry, ...], judged: _Judged, *, held: Hold | None) -> None:
        matches, keys = judged.matches, {record.key for _, record, _ in entries}
        if not entries and not matches:
            return
        self._milestones.apply(
            self._look.id, self._source, entries, announce=not self._look.baseline,
            held=held.reason if held else False, guard=held.guard if held else None, now=self._now(),
            silent={found.new for found in matches if not found.sure}, likenesses=likenesses(matches),
            flaps={key: still for key, still in judged.flaps.items() if key in keys},
        )

    def _confirm(self, absence: Absence, *, clean: bool) -> None:
        """A look that saw all lets earlier ones go on that only waited because they had not.

        `clean`: nothing that it read is in doubt either, so that an earlier doubt which keeps no change back is over.
        """
        if not self._crawled.complete:
            return
        for look in self._looks.list(self._source, waiting=True):
            if look.guard not in ("drift", "incomplete") or look.id == self._look.id:
                continue
            if clean and not self._milestones.changes(look_id=look.id, limit=1):
                why = f"it kept no change back, and look {self._look.id} saw every page and could read it"
                self._looks.release(look.id, why, self._now())
                Profiles(self._database).retire(self._source, self._now())  # nobody accepted what that look found
                continue
            if look.guard != "incomplete":
                continue
            added = [change.change.key for change in self._milestones.changes(look_id=look.id, kinds=NEWS)]
            limits = {"minimum": self._guards.surge_min, "share": self._guards.surge_share}
            if not absence.missing & set(added) and surge(len(added), self._known, **limits) is None:  # type: ignore[arg-type]
                self._looks.release(look.id, f"look {self._look.id} saw all of it again", self._now())

    def _failures(self, reading: Reading, judged: _Judged) -> tuple[list[str], int]:
        """A sentence for each thing that went wrong, and the number of pages that did."""
        crawled, intake = self._crawled, self._intake
        listed = [f"{url}: listed, but it answers {status}" for url, status in intake.gone.items()
                  if url in crawled.listed]
        sentences = [*crawled.reasons, *(str(failed.error) for failed in crawled.failures), *listed,
                     *intake.unread_listings, *reading.failures, *map(str, judged.contests)]
        return sentences, crawled.failed + len(listed) + len(intake.unread_listings) + len(reading.failures)

    def _report(
        self, entries: tuple[Entry, ...], failures: list[str], failed: int, held: Hold | None, settled: int, *,
        whole: bool, notes: tuple[str, ...], degraded: tuple[str, ...],
    ) -> LookReport:
        counted = Counter(change.kind for change, _, _ in entries if change is not None)
        counted["renamed"] += settled
        crawled = self._crawled
        count = self._milestones.count(self._source)
        baseline = self._look.baseline and whole and count > 0
        verdicts: tuple[tuple[LookVerdict, object], ...] = (
            ("no-baseline", self._look.baseline and not baseline), ("held", held), ("incomplete", not whole),
            ("degraded", degraded),
        )
        return LookReport(
            source=self._source, requests=crawled.requests, fetched=crawled.fetched, not_modified=crawled.not_modified,
            failed=failed, milestones=count, baseline=baseline,
            changes={kind: counted[kind] for kind in CHANGE_KINDS}, held=held.reason if held else None,
            look_id=self._look.id, failures=tuple(failures), degraded=degraded, notes=notes,
            disallowed=crawled.disallowed,
            state=next((verdict for verdict, true in verdicts if true), "complete"),
        )


def _kept(before: Mapping[str, Milestone], reading: Reading, judged: _Judged) -> dict[str, Kept]:
    """Field → of its known values that were read again, how many are told otherwise now, be it contested."""
    changed = Counter(
        part.field for change in judged.changes if change.key in before for part in change.fields
        if part.kind == "corrected"
    )
    changed.update(contest.field for contest in judged.contests)
    read = Counter(
        name for key in reading.records.keys() & before.keys() for name in FIELDS
        if name not in before[key].unknown and getattr(before[key], name)
    )
    return {name: Kept(changed[name], read[name]) for name in FIELDS}


def _page(url: str) -> str:
    """The page that a milestone's address leads to."""
    return url.partition("#")[0]


def _while_held(entries: tuple[Entry, ...], held: Hold) -> list[Entry]:
    """What a held look may record; all other pages stay unread, and each look reads them until one may go on.

    It brings nothing back. One that drifted takes no page for read of which it kept only what was known.
    """
    drifted = held.guard == "drift"
    return [entry for entry in entries if (not drifted if entry[0] is None else entry[0].kind != "restored")]
