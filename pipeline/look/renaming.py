"""Which of the milestones that appeared may be known ones: the candidates, the questions left open, and the answers.

    gone, doubtful, present ─▶ newsletter.renames.match ─▶ sure: renamed at once
                                                        └▶ not sure: asked ─ later looks, or an operator ─▶ settled
"""

import datetime as dt
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from milepost.errors import ConflictError
from milepost.records import FieldChange, Milestone, RenameQuestion
from newsletter.news.detect import differences, merge
from newsletter.news.rarity import Rarity
from newsletter.news.renames import Candidate, Match, Standing, match, rarity_of, same, score
from store.engine import Database
from store.milestones.milestones import Likeness, Milestones
from store.milestones.renamings import Renaming, Renamings
from store.milestones.search import Search

log = logging.getLogger("milepost.renames")

TWINS = 200  # with more new milestones than this, present ones are not searched for their like: the look is held anyway


@dataclass(frozen=True, kw_only=True, slots=True)
class Absence:
    """What a look says of known milestones, by key."""

    missing: frozenset[str]  # gone, and named by no listing; none where the listings could not all be read
    unsure: frozenset[str]  # gone, moved or failed, and not missing
    believed: bool  # the listings could all be read, and don't name far fewer than before
    moved: Mapping[str, str]  # key → key that its address leads to


def pair(
    database: Database, source: str, appeared: Mapping[str, Milestone], absence: Absence, *, read: Collection[str],
    unlisted: Collection[str], siblings: Collection[str],
) -> tuple[Match, ...]:
    """Match what appeared with what is known; all by key.

    `read` in this look; known and `unlisted` in it; `siblings` stand on one page with others: what stands beside them
    is somebody else.
    """
    if not appeared:
        return ()
    milestones = Milestones(database)
    standing: dict[str, Standing] = {}
    if len(appeared) <= TWINS:
        standing |= dict.fromkeys(_twins(database, source, appeared), "present")
    standing |= dict.fromkeys(unlisted, "doubtful")
    standing |= dict.fromkeys(absence.unsure | absence.moved.keys(), "doubtful")
    standing |= dict.fromkeys(Renamings(database).former(source, appeared).values(), "doubtful")
    standing = {key: state for key, state in standing.items() if key not in siblings}
    standing |= dict.fromkeys(milestones.withdrawn(source) - set(read), "gone")
    standing |= dict.fromkeys(absence.missing, "gone" if absence.believed else "doubtful")
    known = milestones.some(source, standing.keys())
    candidates = {key: Candidate(stored.milestone, standing[key]) for key, stored in known.items()}
    return match(candidates, appeared, moved=absence.moved, others=_records(milestones, source))


def _records(milestones: Milestones, source: str) -> Iterator[Milestone]:
    """Every record of a source that is present, read when it is asked for."""
    return (stored.milestone for stored in milestones.iterate(source))


def _twins(database: Database, source: str, appeared: Mapping[str, Milestone]) -> set[str]:
    """Keys of present milestones whose words are those of a new one's title."""
    search, found = Search(database), set()
    for record in appeared.values():
        if any(sign.isalnum() for sign in record.title):
            found |= {hit.stored.milestone.key for hit in search.search(record.title, limit=10)
                      if hit.stored.milestone.source == source}
    return found


def likenesses(matches: Collection[Match]) -> tuple[Likeness, ...]:
    """Matches as the store keeps them."""
    return tuple(
        Likeness(old_key=found.old, new_key=found.new, proof=found.proof, score=found.score, sure=found.sure)
        for found in matches
    )


def settle(database: Database, source: str, absence: Absence, *, now: dt.datetime) -> int:
    """Answer the open questions that this look answers by itself; returns how many.

    One is a rename when the old address leads to the new one by now, or when the old one is missing while the new one
    is not, and the two are the same beyond doubt.
    """
    settled = 0
    rarity: Rarity | None = None
    for question in pending_renames(database, source):
        if question.new is None or question.new_key in absence.missing:
            continue
        old, new = question.old.milestone, question.new.milestone
        if absence.moved.get(question.old_key) == question.new_key:
            proof, why = "redirect", "the old address leads to the new one"
        elif question.old_key in absence.missing:
            rarity = rarity or rarity_of([old, new], _records(Milestones(database), source))
            likeness = score(old, new)
            if same(old, new, likeness, rarity.shared(old, new)) is not True:
                continue
            proof, why = "score", f"the old one is gone, and they are alike ({likeness:.2f})"
        else:
            continue
        try:
            _join(database, question, why=why, now=now, proof=proof)
        except ConflictError as error:  # somebody answered meanwhile, or it was announced: then it is settled otherwise
            log.info("%s", error)
            continue
        settled += 1
    return settled


def pending_renames(database: Database, source: str | None = None) -> list[Renaming]:
    """What awaits an operator's "the same" or "new", the oldest first."""
    return Renamings(database).list(source, pending=True)


def open_questions(database: Database, source: str) -> tuple[RenameQuestion, ...]:
    """The same, of one source and as a look reports them."""
    return tuple(
        RenameQuestion(id=one.id, old=one.old_key, new=one.new_key, score=one.score)
        for one in pending_renames(database, source)
    )


def resolve_rename(database: Database, renaming_id: int, *, as_rename: bool, why: str, now: dt.datetime) -> Renaming:
    """An operator's answer: the same milestone under a new key, which is no news, or a new one, which is.

    Raises NotFoundError, or ConflictError when it was answered or settled before, or is told to readers already.
    """
    renamings = Renamings(database)
    question = renamings.get(renaming_id)
    if question.decision == "rename" and question.proof != "operator":
        how = "a redirect" if question.proof == "redirect" else "their likeness"
        how += "" if question.score is None else f" (score {question.score:.2f})"
        raise ConflictError(
            f"it was settled by {how}: {question.new_key} is {question.old_key}, renamed",
            where=f"rename {renaming_id}", hint="Nobody is asked; see `milepost changes renames` for what is.",
        )
    if as_rename:
        _join(database, question, why=why, now=now, proof="operator")
    else:
        renamings.announce(renaming_id, why=why, now=now)
    return renamings.get(renaming_id)


def _join(database: Database, question: Renaming, *, why: str, now: dt.datetime, proof: str) -> None:
    renamings = Renamings(database)
    fields: tuple[FieldChange, ...] = ()
    if question.new is None:
        raise ConflictError(f"{question.new_key} was answered already", where=f"rename {question.id}")
    first = Milestones(database).history(question.new_key, question.source)[0].milestone
    fields = differences(question.old.milestone, merge(question.old.milestone, first))
    kept = merge(question.old.milestone, question.new.milestone)
    renamings.join(question.id, fields=fields, kept=kept, why=why, now=now, proof=proof)
