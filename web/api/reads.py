"""What the API tells: milestones, sources, looks, issues, readers, and how everything stands."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from milepost.codec import milestone_to_json
from milepost.records import Issue, Subscriber, Witness
from milepost.settings import Settings
from pipeline import edit, holds, ledger, listings, milestones, subscribers, throttle
from pipeline.explain import explain
from pipeline.listings import DeliveryRow, Listings, Slice
from pipeline.operate.standing import LatelyStanding, SourceFigures, source_figures, standing_to_json
from pipeline.upkeep import Database
from web.api import cursors, models
from web.api.endpoints import Call, Endpoint

_SHOWN = 200  # things that wait; who has more decides those first
Kept = TypeVar("Kept")
Row = TypeVar("Row", bound=BaseModel)


class Reads:
    """Over one database; called from several threads at once."""

    def __init__(self, settings: Settings, database: Database, standing: LatelyStanding) -> None:
        self._settings, self._database, self._standing = settings, database, standing
        self._lists = Listings(database)

    # --- how everything stands ----------------------------------------------------------------------------------------

    def me(self, call: Call) -> models.Me:
        token = call.token
        return models.Me(name=token.name, scopes=list(token.scopes), expires_at=token.expires_at)

    def status(self, call: Call) -> models.StatusRead:
        return models.StatusRead.model_validate(standing_to_json(self._standing.at(call.now), self._settings))

    def holds(self, _: Call) -> models.Holds:
        asked = holds.pending_renames(self._database)
        looks = self._lists.looks(waiting=True, limit=_SHOWN).rows
        waits = [*holds.waiting_issues(self._settings, self._database), *map(holds.waiting_look, looks)]
        return models.Holds(
            count=len(waits) - len(looks) + holds.count_held(self._database) + len(asked),
            renames=[rename(one) for one in asked[:_SHOWN]],
            items=[models.Waiting(kind=one.kind, about=one.about, why=one.why, since=one.since, command=one.command)
                   for one in waits[:_SHOWN]],
        )

    # --- what is on record --------------------------------------------------------------------------------------------

    def milestones(self, call: Call) -> models.Part[models.MilestoneRead]:
        query = call.asked(models.MilestonesQuery)
        found = self._lists.milestones(
            source=query.source, key=query.key, state=query.state, after=_after("milestones", query), limit=query.limit
        )
        return _part("milestones", found, _milestone)

    def search(self, call: Call) -> models.MilestonesFound:
        query = call.asked(models.SearchQuery)
        return models.MilestonesFound(items=[
            models.MilestoneRead(**_of_record(one.milestone), id=one.id, state="present", version=one.version,
                                 first_seen_at=one.first_seen_at)
            for one in milestones.search_stored(self._database, query.q, query.limit)
        ])

    def milestone(self, call: Call) -> models.MilestoneWhole:
        found = listings.milestone(self._database, call.at(models.ByNumber).number)
        return models.MilestoneWhole(**_milestone(found).model_dump(), record=milestone_to_json(found.record))

    def history(self, call: Call) -> models.Versions:
        record = listings.milestone(self._database, call.at(models.ByNumber).number).record
        return models.Versions(items=[
            models.VersionRead(
                number=one.number, at=one.created_at, found_by=one.found_by, extractor=one.extractor,
                kind=one.change.change.kind if one.change else None,
                fields=[part.field for part in one.change.change.fields] if one.change else [],
                record=milestone_to_json(one.milestone),
            )
            for one in milestones.history(self._database, record.key, record.source)
        ])

    def explain(self, call: Call) -> models.ExplanationRead:
        asked = call.at(models.ByField)
        record = listings.milestone(self._database, asked.number).record
        told = explain(self._database, record.key, asked.field, source=record.source)
        page = told.snapshot
        return models.ExplanationRead(
            source=told.source, key=told.key, field=told.field, value=told.value, version=told.version, at=told.at,
            extractor=told.extractor, imported=told.imported, news=told.news, witnesses=_witnesses(told.witnesses),
            snapshot=None if page is None else models.SnapshotRead(
                url=page.url, fetched_at=page.fetched_at, sha256=page.body_hash, bytes=len(page.body)
            ),
        )

    def changes(self, call: Call) -> models.Part[models.ChangeRead]:
        query = call.asked(models.ChangesQuery)
        found = self._lists.changes(
            source=query.source, kinds=[query.kind] if query.kind else (), news_only=query.announced is not None,
            after=_after("changes", query), limit=query.limit,
        )
        return _part("changes", found, _change)

    def sources(self, _: Call) -> models.Sources:
        bases = {source.key: str(source.base_url) for source in self._settings.sources}
        found = source_figures(self._database, list(bases), looks=1)
        return models.Sources(items=[_source(one, bases[one.key]) for one in found])

    def looks(self, call: Call) -> models.Part[models.LookRead]:
        query = call.asked(models.LooksQuery)
        found = self._lists.looks(
            source=query.source, waiting=query.waiting is not None, after=_after("looks", query), limit=query.limit
        )
        return _part("looks", found, look)

    def look(self, call: Call) -> models.LookRead:
        return look(holds.look(self._database, call.at(models.ByNumber).number))

    def look_changes(self, call: Call) -> models.Part[models.ChangeRead]:
        number, query = holds.look(self._database, call.at(models.ByNumber).number).id, call.asked(models.Paged)
        found = self._lists.changes(look_id=number, after=_after("lookchanges", query), limit=query.limit)
        return _part("lookchanges", found, _change)

    def rename(self, call: Call) -> models.RenameRead:
        return rename(holds.question(self._database, call.at(models.ByNumber).number))

    # --- issues -------------------------------------------------------------------------------------------------------

    def issues(self, call: Call) -> models.Part[models.IssueRead]:
        query = call.asked(models.IssuesQuery)
        found = self._lists.issues(cadence=query.cadence, states=[query.state] if query.state else (),
                                   after=_after("issues", query), limit=query.limit)
        return _part("issues", found, lambda one: models.IssueRead(**_issue(one)))

    def issue(self, call: Call) -> models.IssueWhole:
        found = edit.find(self._database, call.at(models.ByNumber).number)
        items = [
            models.ItemRead(role=one.role, milestone=one.milestone_id, source=one.milestone.source,
                            key=one.milestone.key, title=one.milestone.title, url=one.milestone.url)
            for one in found.items
        ]
        return models.IssueWhole(**_issue(found), items=items,
                                 throttle=throttle.throttled(self._database, found.number))

    def variants(self, call: Call) -> models.Variants:
        number = call.at(models.ByNumber).number
        found = edit.variants(self._settings, self._database, number, now=call.now)
        return models.Variants(items=[
            models.VariantRead(name=one.name, subject=one.subject, html=one.html, text=one.text) for one in found
        ])

    def ledger(self, call: Call) -> models.LedgerRead:
        counts, _ = ledger.ask(self._database, call.at(models.ByNumber).number)
        return models.LedgerRead(
            issue=counts.issue, candidates=counts.candidates, deliveries=counts.deliveries, states=dict(counts.states),
            exclusions=dict(counts.exclusions), terms=dict(ledger.equation(counts)), balanced=counts.balanced,
        )

    def deliveries(self, call: Call) -> models.Part[models.DeliveryRead]:
        number, query = self._number(call), call.asked(models.DeliveriesQuery)
        found = self._lists.deliveries(number, state=query.state, after=_after("deliveries", query), limit=query.limit)
        return _part("deliveries", found, _delivery)

    def exclusions(self, call: Call) -> models.Part[models.ExclusionRead]:
        number, query = self._number(call), call.asked(models.ExclusionsQuery)
        found = self._lists.excluded(number, reason=query.reason, after=_after("exclusions", query), limit=query.limit)
        return _part("exclusions", found, lambda one: models.ExclusionRead(
            reader=one.who.id, address=one.who.address, reason=one.reason
        ))

    def _number(self, call: Call) -> int:
        return edit.find(self._database, call.at(models.ByNumber).number).number

    # --- readers ------------------------------------------------------------------------------------------------------

    def readers(self, call: Call) -> models.Part[models.ReaderRead]:
        query = call.asked(models.ReadersQuery)
        found = self._lists.readers(state=query.state, cadence=query.cadence, after=_after("readers", query),
                                    limit=query.limit)
        return _part("readers", found, lambda one: models.ReaderRead(**_reader(one)))

    def find_readers(self, call: Call) -> models.Part[models.ReaderRead]:
        query = call.sent(models.FindReaders)
        found = self._lists.readers(text=query.text, state=query.state, cadence=query.cadence,
                                    after=_after("readersfound", query), limit=query.limit)
        return _part("readersfound", found, lambda one: models.ReaderRead(**_reader(one)))

    def reader(self, call: Call) -> models.ReaderWhole:
        shown = subscribers.show_reader(self._database, call.at(models.ByNumber).number)
        assert shown.subscriber is not None  # noqa: S101 (found by its number)
        return models.ReaderWhole(
            **_reader(shown.subscriber), suppressed=shown.suppression.reason if shown.suppression else None,
            story=[models.MomentRead(at=one.at, what=one.what, state=one.state, who=one.who, said=one.said)
                   for one in shown.story],
        )

    def suppressions(self, call: Call) -> models.Part[models.SuppressionRead]:
        query = call.asked(models.Paged)
        found = self._lists.suppressions(after=_after("suppressions", query), limit=query.limit)
        return _part("suppressions", found, lambda one: models.SuppressionRead(
            id=one.id, address=one.normalized, reason=one.reason, since=one.created_at
        ))

    def letters(self, call: Call) -> models.Part[models.LetterRead]:
        query = call.asked(models.LettersQuery)
        found = self._lists.letters(state=query.state, kind=query.kind, after=_after("letters", query),
                                    limit=query.limit)
        return _part("letters", found, lambda one: models.LetterRead(
            id=one.id, kind=one.kind, address=one.address, state=one.state, attempts=one.attempts,
            queued_at=one.queued_at, next_attempt_at=one.next_attempt_at, sent_at=one.sent_at, why=one.why,
            came_back=one.came_back,
        ))

    def endpoints(self) -> Sequence[Endpoint]:
        """All that is read."""
        number, paged = models.ByNumber, models.Paged
        return (
            _get("/me", "me", None, "Which token this is, and what it may.", models.Me, self.me, "status"),
            _get("/status", "status", "read", "How everything stands; what waits for a person first.",
                 models.StatusRead, self.status, "status"),
            _get("/holds", "holds", "read", "All that waits for a person.", models.Holds, self.holds, "looks"),
            _get("/sources", "sources", "read", "The sources that are watched, each with its last look.",
                 models.Sources, self.sources, "looks"),
            _get("/looks", "looks", "read", "Looks, the latest first.", models.Part[models.LookRead], self.looks,
                 "looks", query=models.LooksQuery),
            _get("/looks/{number}", "look", "read", "One look.", models.LookRead, self.look, "looks", at=number),
            _get("/looks/{number}/changes", "look_changes", "read",
                 "What a look found; of a held one, what it keeps back.", models.Part[models.ChangeRead],
                 self.look_changes, "looks", at=number, query=paged),
            _get("/renames/{number}", "rename", "read", "One question about a rename.", models.RenameRead, self.rename,
                 "looks", at=number),
            _get("/milestones", "milestones", "read", "Milestones, the latest first.",
                 models.Part[models.MilestoneRead], self.milestones, "milestones", query=models.MilestonesQuery),
            _get("/milestones/search", "search", "read", "Milestones that have all the words, the best first.",
                 models.MilestonesFound, self.search, "milestones", query=models.SearchQuery),
            _get("/milestones/{number}", "milestone", "read", "One milestone with its whole record.",
                 models.MilestoneWhole, self.milestone, "milestones", at=number),
            _get("/milestones/{number}/history", "history", "read", "Every version of it, oldest first.",
                 models.Versions, self.history, "milestones", at=number),
            _get("/milestones/{number}/fields/{field}", "explain", "read",
                 "Where one of its values comes from, down to the bytes of a page.", models.ExplanationRead,
                 self.explain, "milestones", at=models.ByField),
            _get("/changes", "changes", "read", "What changed, the oldest first: keep the last cursor and ask on.",
                 models.Part[models.ChangeRead], self.changes, "milestones", query=models.ChangesQuery),
            _get("/issues", "issues", "read", "Issues, drafts among them, the latest first.",
                 models.Part[models.IssueRead], self.issues, "issues", query=models.IssuesQuery),
            _get("/issues/{number}", "issue", "read", "One issue with what it tells; its ETag is what If-Match wants.",
                 models.IssueWhole, self.issue, "issues", at=number),
            _get("/issues/{number}/variants", "variants", "read", "Its renderings, as they would be sent.",
                 models.Variants, self.variants, "issues", at=number),
            _get("/issues/{number}/ledger", "ledger", "read", "The ledger's equation.", models.LedgerRead, self.ledger,
                 "issues", at=number),
            _get("/issues/{number}/deliveries", "deliveries", "readers", "What became of each mail.",
                 models.Part[models.DeliveryRead], self.deliveries, "issues", at=number, query=models.DeliveriesQuery),
            _get("/issues/{number}/exclusions", "exclusions", "readers", "Who did not get it, and why.",
                 models.Part[models.ExclusionRead], self.exclusions, "issues", at=number,
                 query=models.ExclusionsQuery),
            _get("/readers", "readers", "readers", "Readers, in the order they came.",
                 models.Part[models.ReaderRead], self.readers, "readers", query=models.ReadersQuery),
            Endpoint(verb="POST", path="/readers/search", name="find_readers", scope="readers", tag="readers",
                     about="Readers whose address contains a text; POST, so that no address stands in one of a page.",
                     answer=models.Part[models.ReaderRead], run=self.find_readers, body=models.FindReaders),
            _get("/readers/{number}", "reader", "readers", "One reader, and all that ever happened.",
                 models.ReaderWhole, self.reader, "readers", at=number),
            _get("/suppressions", "suppressions", "readers", "Addresses that are never mailed, the latest first.",
                 models.Part[models.SuppressionRead], self.suppressions, "readers", query=paged),
            _get("/letters", "letters", "readers", "Mails that are no issue, the latest first.",
                 models.Part[models.LetterRead], self.letters, "readers", query=models.LettersQuery),
        )


def _get(
    path: str, name: str, scope: Any, about: str, answer: type[BaseModel], run: Callable[[Call], BaseModel], tag: str,
    *, at: Any = None, query: Any = None,
) -> Endpoint:
    return Endpoint(verb="GET", path=path, name=name, scope=scope, about=about, answer=answer, run=run, tag=tag, at=at,
                    query=query)


def _after(of: str, query: models.Paged) -> int | None:
    return None if query.cursor is None else cursors.read(of, query.cursor)


def _part(of: str, found: Slice[Kept], form: Callable[[Kept], Row]) -> models.Part[Row]:
    return models.Part(
        items=[form(one) for one in found.rows], next=None if found.after is None else cursors.write(of, found.after)
    )


def _witnesses(told: Sequence[Witness]) -> list[models.WitnessRead]:
    return [models.WitnessRead(witness=one.witness, where=one.where, url=one.url, says=one.says) for one in told]


def _of_record(record: Any) -> dict[str, Any]:
    return {
        "source": record.source, "key": record.key, "title": record.title, "url": record.url,
        "date": record.date.value if record.date else None, "category": record.category,
    }


def _milestone(one: listings.ListedMilestone) -> models.MilestoneRead:
    return models.MilestoneRead(**_of_record(one.record), id=one.id, state=one.state, version=one.version,  # type: ignore[arg-type]
                                first_seen_at=one.first_seen_at)


def _change(one: listings.ListedChange) -> models.ChangeRead:
    stored = one.stored
    return models.ChangeRead(
        id=stored.id, milestone=stored.milestone_id, source=stored.change.source, key=stored.change.key,
        title=one.title, url=one.url, kind=stored.change.kind, look=stored.look_id, at=stored.detected_at,
        announced=stored.announce, held=stored.held,
        fields=[
            models.FieldRead(field=part.field, kind=part.kind, old=part.old, new=part.new,
                             witnesses=_witnesses(one.witnesses.get(part.field, ())))
            for part in stored.change.fields
        ],
    )


def look(one: holds.Look) -> models.LookRead:
    """A look as the API has it."""
    return models.LookRead(
        id=one.id, source=one.source, started_at=one.started_at, finished_at=one.finished_at, state=one.state,
        baseline=one.baseline, held=one.held, guard=one.guard, waiting=one.waiting, released_at=one.released_at,
        released_why=one.released_why, refused_at=one.refused_at, refused_why=one.refused_why,
        as_refused=one.as_refused, requests=one.requests, fetched=one.fetched, not_modified=one.not_modified,
        failed=one.failed, milestones=one.milestones, failures=list(one.failures), notes=list(one.notes),
        degraded=list(one.degraded),
    )


def rename(one: holds.Renaming) -> models.RenameRead:
    """A question as the API has it."""
    return models.RenameRead(
        id=one.id, source=one.source, old_key=one.old_key, new_key=one.new_key, score=one.score, look=one.look_id,
        at=one.detected_at, decision=one.decision, why=one.why,
    )


def _source(one: SourceFigures, base_url: str) -> models.SourceRead:
    last = one.ended[0] if one.ended else None
    return models.SourceRead(
        key=one.key, base_url=base_url, last_look=look(last) if last else None, running_since=one.running_since,
        baseline=one.baseline, degraded=list(last.degraded) if last else [],
    )


def _issue(one: Issue) -> dict[str, Any]:
    names = [name for name in models.IssueRead.model_fields if hasattr(one, name)]
    return {name: getattr(one, name) for name in names}


def _reader(one: Subscriber) -> dict[str, Any]:
    return {name: getattr(one, name) for name in models.ReaderRead.model_fields} | {"topics": list(one.topics)}


def _delivery(one: DeliveryRow) -> models.DeliveryRead:
    return models.DeliveryRead(
        reader=one.subscriber, address=one.address, state=one.state, attempts=one.attempts, code=one.code,
        enhanced=one.enhanced, text=one.text, next_attempt_at=one.next_attempt_at, updated_at=one.updated_at,
    )
