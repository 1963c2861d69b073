"""One step of one delivery, taken as a dispatch takes it: by `advance`."""

from typing import Any

from delivery.ports import Ledger
from milepost.records import Claim, Reply, Settlement


def begin(ledger: Ledger, claim: Claim) -> bool:
    """T3: whether DATA may begin."""
    return claim.delivery_id in ledger.advance((), [claim]).begun


def settle(ledger: Ledger, claim: Claim, state: Any, reply: Reply, **said: Any) -> None:
    """T4 to T7; `said` as in a `Settlement`."""
    assert not lost(ledger, claim, state, reply, **said)


def lost(ledger: Ledger, claim: Claim, state: Any, reply: Reply, **said: Any) -> bool:
    """The same, and whether nothing of it was written: the lease token no longer held."""
    done = Settlement(claim=claim, state=state, reply=reply, **said)
    return claim.delivery_id in ledger.advance([done], ()).lost
