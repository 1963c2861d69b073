"""A dispatcher to be killed: python dispatcher.py URL PORT CONNECTIONS LEASE [POINT COUNT]; "go" when it starts.

POINT COUNT: kill itself at the COUNTth time it comes to that point (before-T1, after-T3, before-DATA …).
"""

import datetime as dt
import os
import signal
import sys
from typing import Any

from delivery import tokens
from delivery.dispatch import Limits, Mailing, dispatch
from delivery.message import Letterhead, MessageTemplate
from delivery.pipeline import PipelineTransport
from delivery.wire import Wire
from milepost.errors import ConflictError
from milepost.records import Advanced, Claim
from store.database import connect
from store.ledger import Ledger

KEY = "an-invented-key-of-thirty-two-characters"
FROZEN = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)


class Trap:
    """Kills this process the moment a point has been passed so often."""

    def __init__(self, point: str, count: int) -> None:
        self.point, self.left = point, count

    def __call__(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Watched(Ledger):
    """The ledger, with a trap at each commit; what was deferred is due at once."""

    trap: Trap

    def claim(self, number: int, *, limit: int, lease_seconds: int, now: dt.datetime | None = None) -> list[Claim]:
        self.trap("before-T1")
        soon = now or dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
        claims = super().claim(number, limit=limit, lease_seconds=lease_seconds, now=soon)
        self.trap("after-T1")
        return claims

    def advance(self, settlements: Any, claims: Any) -> Advanced:
        if claims:
            self.trap("before-T3")
        if settlements:
            self.trap("before-T4")
        advanced = super().advance(settlements, claims)
        if claims:
            self.trap("after-T3")
        if settlements:
            self.trap("after-T4")
        return advanced


def watch(trap: Trap) -> None:
    """A trap at each command that goes out."""
    put, put_message = Wire.put, Wire.put_message

    def watched(wire: Wire, data: bytes, *phases: str) -> None:
        for phase in phases:
            trap(f"before-{phase}")
        put(wire, data, *phases)
        for phase in phases:
            trap(f"after-{phase}")

    def message(wire: Wire, body: bytes, rest: bytes, *phases: str) -> bool:
        trap("before-body")
        return put_message(wire, body, rest, *phases)

    Wire.put, Wire.put_message = watched, message  # type: ignore[method-assign]


def main(url: str, port: str, connections: str, lease: str, point: str = "", count: str = "0") -> None:
    trap = Watched.trap = Trap(point, int(count))
    watch(trap)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    with connect(url) as database:
        ledger = Watched(database)
        head = Letterhead(sender="news@timeline.example", list_id="milestones.timeline.example")
        templates = {v.name: MessageTemplate.build(v, letterhead=head, date=FROZEN) for v in ledger.variants(1)}
        mailing = Mailing(
            issue=1, templates=templates, link=lambda who: f"https://timeline.example/u/{who}",
            message_id=lambda who: tokens.message_id(KEY, issue=1, subscriber_id=who, domain="timeline.example"),
            envelope=lambda claim: f"b{claim.subscriber_id}@bounces.example",
        )
        relay = PipelineTransport(host="127.0.0.1", port=int(port), security="plain")
        limits = Limits(
            connections=int(connections), lease_seconds=int(lease), per_connection=50, connect_wait_s=0.05,
            connect_tries=8,
        )
        print("go", flush=True)  # noqa: T201 (to whoever started it, as below)
        try:
            report = dispatch(
                ledger, relay, mailing, now=lambda: dt.datetime.now(dt.UTC), limits=limits, stop=lambda: bool(asked)
            )
        except ConflictError as error:
            print(f"conflict: {error}", flush=True)  # noqa: T201
        else:
            print(f"{report.state} {dict(report.results)}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
