"""What became of what was published: which issues tell the same, which milestones were corrected or withdrawn since.

    issue_item ─▶ told: issue ─▶ what it tells
    issue_item × later changes ─▶ amended: issue ─▶ milestone ─▶ Amended
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from milepost.changes import CORRECTIONS
from milepost.records import Amended, FieldChange, IssueState, Told
from store.milestones.milestone_queries import HELD
from store.schema.tables import change, issue, issue_item, look, milestone


def told(connection: sa.Connection, states: Sequence[IssueState]) -> dict[int, Told]:
    """Issue → what it tells: each milestone as news, each change as a correction; the same in every cadence."""
    query = (
        sa.select(issue_item.c.issue, issue_item.c.role, issue_item.c.milestone_id, issue_item.c.change_id)
        .join_from(issue_item, issue)
        .where(issue.c.state.in_(states))
    )
    found: dict[int, set[tuple[str, int]]] = {}
    for row in connection.execute(query):
        what = row.milestone_id if row.role == "news" else row.change_id
        found.setdefault(row.issue, set()).add((row.role, what))
    return {number: frozenset(parts) for number, parts in found.items()}


def amended(
    connection: sa.Connection, states: Sequence[IssueState], number: int | None = None
) -> dict[int, dict[int, Amended]]:
    """Issue (or only `number`) → milestone's id → what became of it after the version that the issue tells.

    Corrections that an operator still holds are not among them, nor what a backfill found: it is told to nobody.
    """
    item, later = issue_item.alias("item"), change.alias("later")
    query = (
        sa.select(item.c.issue, item.c.cadence, item.c.milestone_id, later.c.id, later.c.kind, later.c.fields,
                  later.c.detected_at, milestone.c.state)
        .join_from(item, issue, item.c.issue == issue.c.number)
        .join(milestone, item.c.milestone_id == milestone.c.id)
        .join(later, later.c.milestone_id == item.c.milestone_id)
        .outerjoin(look, later.c.look_id == look.c.id)
        .where(
            issue.c.state.in_(states), ~HELD, later.c.id > item.c.change_id,
            sa.or_(
                sa.and_(later.c.kind.in_(CORRECTIONS), later.c.announce, later.c.new_version_id > item.c.version_id),
                sa.and_(later.c.kind == "withdrawn", milestone.c.state == "withdrawn"),
            ),
        )
        .order_by(later.c.id)
    )
    if number is not None:
        query = query.where(item.c.issue == number)
    rows = connection.execute(query).all()
    where = _corrected_in(connection, states, sorted({row.id for row in rows}))
    found: dict[int, dict[int, list[Any]]] = {}
    for row in rows:
        found.setdefault(row.issue, {}).setdefault(row.milestone_id, []).append(row)
    return {
        issued: {milestone_id: _amended(issued, changes, where) for milestone_id, changes in by_milestone.items()}
        for issued, by_milestone in found.items()
    }


def _amended(issued: int, changes: Sequence[Any], where: dict[int, list[tuple[str, int]]]) -> Amended:
    """Of the later changes of one milestone in one issue, oldest first."""
    corrections = [row for row in changes if row.kind != "withdrawn"]
    withdrawn: list[dt.datetime] = [row.detected_at for row in changes if row.kind == "withdrawn"]
    told_in = [pair for row in corrections for pair in where.get(row.id, ()) if pair[1] > issued]
    own = [issue_number for cadence, issue_number in told_in if cadence == changes[0].cadence]
    return Amended(
        fields=tuple(FieldChange(*field) for row in corrections for field in row.fields),
        corrected_at=corrections[-1].detected_at if corrections else None,
        withdrawn_at=withdrawn[-1] if withdrawn else None,
        issue=max(own or [issue_number for _, issue_number in told_in], default=None),
    )


def _corrected_in(
    connection: sa.Connection, states: Sequence[IssueState], change_ids: Sequence[int]
) -> dict[int, list[tuple[str, int]]]:
    """Change → (cadence, number) of the issues that tell it as a correction."""
    found: dict[int, list[tuple[str, int]]] = {}
    for start in range(0, len(change_ids), 500):
        query = (
            sa.select(issue_item.c.change_id, issue_item.c.cadence, issue_item.c.issue)
            .join_from(issue_item, issue)
            .where(
                issue_item.c.role == "correction", issue.c.state.in_(states),
                issue_item.c.change_id.in_(change_ids[start : start + 500]),
            )
        )
        for row in connection.execute(query):
            found.setdefault(row.change_id, []).append((row.cadence, row.issue))
    return found
