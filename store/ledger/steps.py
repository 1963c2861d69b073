"""The statements of T3 to T7, built once: they run twice for every mail, so they are few and say all at once.

    begin   one conditional UPDATE; no row changed → `why_not` tells the reason
    settle  one conditional UPDATE for each outcome, and `log` for what was tried
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from milepost.records import Claim, DeliveryState, Reply, Settlement
from store.dialects import moment, seconds
from store.schema.tables import attempt, delivery, issue, meta, subscriber, suppression
from store.upkeep.restore import MARK

# From which states each outcome is taken from the holder of the lease token. `unknown` is among them where the holder
# was thought dead and nobody has decided since: the reply it holds is evidence.
FROM: Mapping[DeliveryState, tuple[DeliveryState, ...]] = {
    "sent": ("sending", "unknown"),
    "deferred": ("claimed", "sending", "unknown"),
    "failed": ("claimed", "sending", "unknown"),
    "unknown": ("sending",),
}


class Steps:
    """The statements in one dialect. Parameters: `the_delivery`, `the_lease`, and those named beside each."""

    def __init__(self, dialect: str) -> None:
        clock = moment(dialect)
        ours = sa.and_(
            delivery.c.id == sa.bindparam("the_delivery", type_=sa.BigInteger()),
            delivery.c.lease == sa.bindparam("the_lease"),
        )
        the_issue = sa.bindparam("the_issue", type_=sa.Integer())
        the_subscriber = sa.bindparam("the_subscriber", type_=sa.Integer())
        suppressed = sa.exists().where(suppression.c.address_hash == sa.bindparam("the_hash"))

        # PostgreSQL only, the issue first as everywhere: an unsubscribe, a suppression or a pause commits before these
        # locks and is seen by the UPDATE after them, or it commits after T3. A SQLite writer is alone already.
        self.locks: Sequence[sa.Select[Any]] = () if dialect == "sqlite" else (
            sa.select(issue.c.number).where(issue.c.number == the_issue).with_for_update(read=True),
            sa.select(subscriber.c.id).where(subscriber.c.id == the_subscriber).with_for_update(read=True),
        )
        self.begin = (  # the_issue, the_subscriber, the_hash
            sa.update(delivery)
            .where(
                ours, delivery.c.state == "claimed",
                sa.exists().where(issue.c.number == the_issue, issue.c.state == "sending"),
                sa.exists().where(subscriber.c.id == the_subscriber, subscriber.c.state == "active"),
                ~suppressed,
                ~sa.exists().where(meta.c.key == MARK),
            )
            .values(
                state="sending", updated_at=clock, lease_until=seconds(dialect) + delivery.c.lease_seconds,
                first_attempt_at=sa.func.coalesce(delivery.c.first_attempt_at, clock),
            )
        )
        self.why_not = (  # the_hash
            sa.select(issue.c.state.label("issue_state"), subscriber.c.state, suppressed.label("suppressed"))
            .select_from(delivery)
            .join(issue, delivery.c.issue == issue.c.number)
            .join(subscriber, delivery.c.subscriber == subscriber.c.id)
            .where(ours, delivery.c.state == "claimed")
        )
        # the_code, the_enhanced, the_text, the_message, the_queue, the_retry
        self.settle = {state: _settle(ours, state, clock) for state in FROM}
        self.log = sa.insert(attempt).values(
            delivery_id=sa.bindparam("the_delivery"), number=sa.bindparam("the_number"),
            lease=sa.bindparam("the_lease"), phase=sa.bindparam("the_phase"), outcome=sa.bindparam("the_outcome"),
            code=sa.bindparam("the_code"), enhanced=sa.bindparam("the_enhanced"), text=sa.bindparam("the_text"),
            at=clock,
        )


def _settle(ours: sa.ColumnElement[bool], state: DeliveryState, clock: sa.ColumnElement[Any]) -> sa.Update:
    values: dict[str, Any] = {
        "state": state, "updated_at": clock, "code": sa.bindparam("the_code"), "enhanced": sa.bindparam("the_enhanced"),
        "text": sa.bindparam("the_text"), "next_attempt_at": sa.bindparam("the_retry"),
        "message_id": sa.func.coalesce(sa.bindparam("the_message", type_=sa.Text()), delivery.c.message_id),
        "queue_id": sa.func.coalesce(sa.bindparam("the_queue", type_=sa.Text()), delivery.c.queue_id),
        "attempts": delivery.c.attempts + sa.case((delivery.c.state == "unknown", 0), else_=1),
        "first_attempt_at": sa.func.coalesce(delivery.c.first_attempt_at, clock),
    }
    if state != "unknown":  # there the token stays: its holder may still learn more
        values |= {"lease": None, "lease_until": None}
    return (
        sa.update(delivery)
        .where(ours, delivery.c.state.in_(FROM[state]))
        .values(**values)
        .returning(delivery.c.attempts, delivery.c.normalized)
    )


def of_claim(claim: Claim) -> dict[str, Any]:
    """The parameters that name a claim."""
    return {"the_delivery": claim.delivery_id, "the_lease": claim.lease}


def of_reply(
    reply: Reply, *, message_id: str | None = None, queue_id: str | None = None, retry_at: dt.datetime | None = None
) -> dict[str, Any]:
    """The parameters that say what came of it."""
    return {
        "the_code": reply.code, "the_enhanced": reply.enhanced, "the_text": text(reply), "the_phase": reply.phase,
        "the_message": message_id, "the_queue": queue_id, "the_retry": retry_at,
    }


def of_settlement(done: Settlement) -> dict[str, Any]:
    """The same, as a `Settlement` says it."""
    return of_reply(done.reply, message_id=done.message_id, queue_id=done.queue_id, retry_at=done.retry_at)


def text(reply: Reply) -> str:
    """What the server said, without what a database can't keep (NUL on PostgreSQL, lone surrogates)."""
    said = reply.text
    if said.isascii() and "\0" not in said:
        return said
    return said.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
