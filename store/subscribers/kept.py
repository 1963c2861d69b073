"""All that the store holds about one reader, for that reader: what an erase takes away, and nothing of anybody else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from milepost.codec import milestone_from_json
from milepost.errors import NotFoundError
from milepost.records import Subscriber
from store.engine import Database
from store.meta import Meta
from store.schema.tables import (
    address_change,
    attempt,
    bounce,
    change,
    delivery,
    exclusion,
    issue,
    letter,
    milestone,
    milestone_version,
    owed,
    sign_up,
    subscriber,
)
from store.subscribers import events, suppressions
from store.subscribers.addresses import address_hash
from store.subscribers.events import Event
from store.subscribers.people import to_subscriber
from store.subscribers.suppressions import Suppression

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What is kept; each row by its columns, oldest first. No key, no name of a link, no Message-ID is among it."""

    subscriber: Subscriber
    suppression: Suppression | None
    issues: Sequence[Row]  # each that was made for them: its state, the server's words, and what was tried
    left_out: Sequence[Row]  # each issue that went without them, and why
    owed: Sequence[Row]
    bounces: Sequence[Row]
    letters: Sequence[Row]
    address_changes: Sequence[Row]
    sign_up: Row | None
    events: Sequence[Event]


def kept(database: Database, subscriber_id: int) -> Kept:
    """Raises NotFoundError."""
    key = Meta(database).address_key()
    with database.connect() as connection:
        found = connection.execute(sa.select(subscriber).where(subscriber.c.id == subscriber_id)).first()
        if found is None:
            raise NotFoundError("there is no such subscriber", where=f"subscriber {subscriber_id}")
        who = to_subscriber(found)
        hash_ = address_hash(key, who.normalized)
        # The ledger's key begins with the issue: whoever names them all is answered by it.
        mine = sa.and_(delivery.c.issue.in_(sa.select(issue.c.number)), delivery.c.subscriber == subscriber_id)
        deliveries = sa.select(delivery.c.id).where(mine)
        letters = sa.or_(letter.c.address_hash == hash_, letter.c.subscriber == subscriber_id)

        def rows(query: sa.Select[Any]) -> list[Row]:
            return [dict(row) for row in connection.execute(query).mappings()]

        tried: dict[int, list[Row]] = {}
        for row in rows(
            sa.select(attempt.c.delivery_id, attempt.c.at, attempt.c.phase, attempt.c.outcome, attempt.c.code,
                      attempt.c.text)
            .where(attempt.c.delivery_id.in_(deliveries)).order_by(attempt.c.id)
        ):
            tried.setdefault(row["delivery_id"], []).append({name: row[name] for name in row if name != "delivery_id"})
        made = rows(
            sa.select(delivery.c.id, delivery.c.issue, issue.c.subject, issue.c.cadence, delivery.c.address,
                      delivery.c.state, delivery.c.code, delivery.c.text, delivery.c.updated_at)
            .join_from(delivery, issue, delivery.c.issue == issue.c.number).where(mine).order_by(delivery.c.issue)
        )
        left_out = rows(
            sa.select(exclusion.c.issue, issue.c.subject, exclusion.c.reason, issue.c.frozen_at)
            .join_from(exclusion, issue, exclusion.c.issue == issue.c.number)
            .where(exclusion.c.issue.in_(sa.select(issue.c.number)), exclusion.c.subscriber == subscriber_id)
            .order_by(exclusion.c.issue)
        )
        debts = rows(
            sa.select(owed.c.since, owed.c.why, milestone_version.c.record)
            .join_from(owed, change, owed.c.change_id == change.c.id)
            .join(milestone, change.c.milestone_id == milestone.c.id)
            .join(milestone_version, sa.and_(
                milestone_version.c.milestone_id == milestone.c.id, milestone_version.c.number == milestone.c.version,
            ))
            .where(owed.c.told.is_(None), owed.c.subscriber == subscriber_id).order_by(owed.c.id)
        )
        signed_up = rows(
            sa.select(sign_up.c.address, sign_up.c.cadence, sign_up.c.topics, sign_up.c.language, sign_up.c.form,
                      sign_up.c.source, sign_up.c.variant, sign_up.c.path, sign_up.c.network, sign_up.c.asked,
                      sign_up.c.asked_at, sign_up.c.reminded_at, sign_up.c.confirmed_at)
            .where(sign_up.c.address_hash == hash_)
        )
        return Kept(
            subscriber=who, suppression=suppressions.find(connection, hash_),
            issues=[
                {name: row[name] for name in row if name != "id"} | {"attempts": tried.get(row["id"], [])}
                for row in made
            ],
            left_out=left_out,
            owed=[
                {"since": row["since"], "why": row["why"], "title": milestone_from_json(row["record"]).title}
                for row in debts
            ],
            bounces=rows(
                sa.select(delivery.c.issue, letter.c.kind.label("letter"), bounce.c.read_at, bounce.c.grade,
                          bounce.c.code, bounce.c.text)
                .select_from(bounce)
                .outerjoin(delivery, bounce.c.delivery_id == delivery.c.id)
                .outerjoin(letter, bounce.c.letter == letter.c.id)
                .where(sa.or_(bounce.c.delivery_id.in_(deliveries), bounce.c.letter.in_(
                    sa.select(letter.c.id).where(letters)
                )))
                .order_by(bounce.c.id)
            ),
            letters=rows(
                sa.select(letter.c.kind, letter.c.address, letter.c.state, letter.c.queued_at, letter.c.sent_at,
                          letter.c.why)
                .where(letters).order_by(letter.c.id)
            ),
            address_changes=rows(
                sa.select(address_change.c.old_address, address_change.c.new_address, address_change.c.asked_at,
                          address_change.c.confirmed_at, address_change.c.undone_at, address_change.c.network)
                .where(address_change.c.subscriber == subscriber_id).order_by(address_change.c.id)
            ),
            sign_up=signed_up[0] if signed_up else None, events=events.of(connection, hash_),
        )
