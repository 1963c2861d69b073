"""Hands a frozen issue to the relay: letterhead, links and ledger into `delivery.dispatch`."""

import datetime as dt
import logging
import pickle
import signal
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import zstandard

from delivery.dispatch import DispatchReport, Limits, Mailing, Result
from delivery.dispatch import dispatch as hand_over
from delivery.message import verp
from delivery.message.build import MessageTemplate
from delivery.message.tokens import message_id
from milepost.dates import utc_now
from milepost.log_lines import about
from milepost.printable import counted
from milepost.records import Claim, DeliveryState, LedgerCounts
from milepost.settings import Settings
from pipeline.bounces import suppress_worn_out
from pipeline.edit import find, mend_windows, require_window_over, send_at_once
from pipeline.ledger import held_by_others, held_to_json
from pipeline.link_keys import signing_key
from pipeline.mail_identity import (
    bounce_address,
    bounces_at,
    dated_variant,
    relay,
    seal,
    sender_domain,
    signing,
    unsubscribe_url,
)
from pipeline.publish import freeze_unless_held
from pipeline.several import Progress
from pipeline.throttle import forget, watched
from store.database import Database, connect
from store.issues.editions import Editions
from store.issues.issues import Issues
from store.ledger.bounces import delivery_name
from store.ledger.ledger import Holding, Ledger
from store.operators import clock_ahead

log = logging.getLogger("milepost.dispatch")

_WAITING: tuple[DeliveryState, ...] = ("pending", "claimed", "sending", "deferred")
LONGEST_S = 60.0  # between two passes: another dispatcher may have died, or an operator decided something
_SLICE_S = 0.5  # how soon a stop is obeyed while it waits
_SETTLED: tuple[Result, ...] = ("sent", "failed", "unknown")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What one dispatch did, and how the issue's ledger stands after it."""

    report: DispatchReport
    counts: LedgerCounts
    worn_out: tuple[str, ...] = ()  # addresses suppressed after it: too many soft bounces
    held: tuple[Holding, ...] = ()  # what other dispatchers had taken when it ended

    def after(self, earlier: "Sent | None") -> "Sent":
        """This one as the last of several: what all of them did, and how the ledger stands now."""
        if earlier is None:
            return self
        results = dict(Counter(earlier.report.results) + Counter(self.report.results))
        report = replace(
            self.report, results=results, freed=earlier.report.freed + self.report.freed,
            orphaned=earlier.report.orphaned + self.report.orphaned,
        )
        return replace(self, report=report, worn_out=(*earlier.worn_out, *self.worn_out))

    def stop(self) -> "Sent":
        """The same, ended by somebody's wish before the rest was sent."""
        return replace(self, report=replace(self.report, stopped=True))


def waiting(settings: Settings, *, now: Callable[[], dt.datetime] = utc_now) -> list[int]:
    """The numbers of the issues that have something left to send and may be sent by now, oldest first."""
    moment = now()
    with connect(settings.store.url) as database:
        mend_windows(settings, database, moment)
        clock_ahead.watch(database, moment)
        return sorted(
            issue.number for issue in Issues(database).list(states=["frozen", "sending"])
            if issue.send_after is None or issue.send_after <= moment
        )


def dispatch(
    settings: Settings, number: int, *, now: Callable[[], dt.datetime] = utc_now, progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False, take_over: bool = False,
) -> Sent:
    """Send what is due of issue `number`; calling it again is always safe, the ledger knows who got it.

    `take_over`: what dispatchers hold that are proven dead is taken from them at once; see `Ledger.take_over`.

    Raises DeliveryError when the relay can't be had, StoreError when the ledger can't be written; what was not handed
    over by then stays pending. HeldError: the approval can still be undone.
    """
    with terminated() as asked, about(issue=number):
        return one_pass(
            settings, number, now=now, progress=progress, stop=lambda: stop() or asked(), take_over=take_over
        )


def one_pass(
    settings: Settings, number: int, *, now: Callable[[], dt.datetime], progress: Progress | None,
    stop: Callable[[], bool], take_over: bool = False,
) -> Sent:
    """As `dispatch`, which see; listens to no signal."""
    with connect(settings.store.url) as database:
        ledger = Ledger(database)
        mend_windows(settings, database, now())
        issue = Issues(database).get(number)
        require_window_over(issue, now())
        before = ledger.counts(number)
        if issue.state == "complete":
            return Sent(report=_nothing(number), counts=before)
        freed, orphaned = ledger.take_over(number) if take_over else (0, 0)
        done = before.deliveries - waiting_in(before)
        show = progress or (lambda _done, _total: None)
        show(done, before.deliveries)

        def tell(_claim: Claim, result: Result, _reply: object) -> None:
            nonlocal done
            if result in _SETTLED:
                done += 1
                show(done, before.deliveries)

        report = hand_over(
            ledger, relay(settings), _mailing(settings, database, number, now=now()), now=now, limits=_limits(settings),
            progress=tell, stop=stop, throttle=watched(database, number, usual=settings.mail.per_second),
        )
        report = replace(report, freed=report.freed + freed, orphaned=report.orphaned + orphaned)
        counts = ledger.counts(number)
        held = held_by_others(database, counts)
        # A full mailbox is a strike at hand-over too: it counts where no bounces are read.
        worn_out = suppress_worn_out(database, now=now()) if report.count("failed") else ()
        if report.state == "complete":
            forget(database, number)
    log.info("issue %d: %s", number, ", ".join(f"{count} {state}" for state, count in counts.states.items() if count))
    if worn_out:
        log.info("suppressed after too many soft bounces: %s", counted(len(worn_out), "address", "addresses"))
    return Sent(report=report, counts=counts, worn_out=tuple(worn_out), held=held)


def drain(
    settings: Settings, number: int, *, now: Callable[[], dt.datetime] = utc_now, progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False, sleep: Callable[[float], None] = time.sleep, take_over: bool = False,
) -> Sent:
    """Send issue `number` until nothing waits, it is paused, or SIGTERM or `stop` ends it (`report.stopped`).

    Returns what all passes did. Raises what `dispatch` raises; what was done by then is in the ledger.
    """
    total: Sent | None = None
    with terminated() as asked, about(issue=number):

        def over() -> bool:
            return stop() or asked()

        while True:
            one = one_pass(settings, number, now=now, progress=progress, stop=over, take_over=take_over)
            total = one.after(total)
            report = total.report
            if report.stopped or report.paused or report.state != "sending" or not waiting_in(total.counts):
                return total
            if _wait(until_next(report.next_due, now(), ends=[one.until for one in total.held]), over, sleep):
                return total.stop()
            with connect(settings.store.url) as database:
                issue = find(database, number)
            # An operator paused or stopped it meanwhile; one that others have completed is looked at once more.
            if issue.state not in ("frozen", "sending", "complete"):
                return replace(total, report=replace(report, state=issue.state, paused=issue.pause_reason))


def until_next(due: dt.datetime | None, now: dt.datetime, *, ends: Sequence[dt.datetime] = ()) -> float:
    """Seconds to wait before another pass, from a slice to LONGEST_S: until something deferred is due, or a lease of
    those that others hold `ends`. Pure.
    """
    waits = [(moment - now).total_seconds() for moment in (*ends, *([] if due is None else [due]))]
    return min(max(min(waits, default=LONGEST_S), _SLICE_S), LONGEST_S)


def _wait(seconds: float, over: Callable[[], bool], sleep: Callable[[float], None]) -> bool:
    """Sleep in slices; returns whether somebody wants it to end."""
    while seconds > 0 and not over():
        sleep(min(_SLICE_S, seconds))
        seconds -= _SLICE_S
    return over()


def waiting_in(counts: LedgerCounts) -> int:
    """How many may still get it."""
    return sum(counts.states.get(state, 0) for state in _WAITING)


@contextmanager
def terminated() -> Iterator[Callable[[], bool]]:
    """Whether this process was asked to end (SIGTERM) since; inside, that is a wish to finish what is in hand."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread may listen to signals
        yield lambda: False
        return
    before = signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGTERM, before)


def _limits(settings: Settings) -> Limits:
    mail = settings.mail
    return Limits(
        connections=mail.connections, per_connection=mail.messages_per_connection, per_second=mail.per_second,
        per_domain_per_second=mail.per_domain_per_second,
    )


def reach_relay(settings: Settings) -> None:
    """Open a session with the relay and close it again; raises DeliveryError when it can't be had."""
    relay(settings).open().quit()


def make_ready(settings: Settings, database: Database, number: int, *, now: dt.datetime) -> None:
    """Freeze a draft that is to be sent now, and end its undo window: whoever asks for that has decided a second time.

    The relay is asked for first: what can't be sent now can still be edited. Raises DeliveryError, HeldError.
    """
    if find(database, number).state == "draft":
        reach_relay(settings)
    freeze_unless_held(settings, database, number, now=now)
    if find(database, number).send_after is not None:
        send_at_once(database, number)


TEMPLATES = 500  # messages of an issue that are in memory as they are; each is about 30 kB, and at most about 130
PACKED = 64_000_000  # octets of those that are there packed


class Templates(Mapping[str, MessageTemplate]):
    """The messages of an issue by variant, each made and verified when its first mail is, and from then on in memory:
    the TEMPLATES of late as they are, the others packed, up to PACKED octets. What has no room there is made again.

    Of two messages of an issue nearly all is the same, so the first that makes room is the dictionary of all others
    (RFC 8878 §5).

    `make`: makes one; `again`: it was made, and verified, before. Raises what `make` does.
    """

    def __init__(self, names: Iterable[str], make: Callable[..., MessageTemplate | None]) -> None:
        self._names, self._make = dict.fromkeys(names, False), make  # name → whether it was made before
        self._kept: OrderedDict[str, MessageTemplate] = OrderedDict()
        self._packed: dict[str, bytes] = {}
        self._room = PACKED
        self._packer: zstandard.ZstdCompressor | None = None
        self._unpacker = zstandard.ZstdDecompressor()

    def __getitem__(self, name: str) -> MessageTemplate:
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        found = self._unpacked(name) or self._make(name, again=self._names[name])
        if found is None:
            raise KeyError(name)
        self._kept[name], self._names[name] = found, True
        if len(self._kept) > TEMPLATES:
            self._pack(*self._kept.popitem(last=False))
        return found

    def _pack(self, name: str, template: MessageTemplate) -> None:
        if name in self._packed or not self._room:
            return
        data = pickle.dumps(template)
        if self._packer is None:
            shared = zstandard.ZstdCompressionDict(data, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            self._packer = zstandard.ZstdCompressor(dict_data=shared)
            self._unpacker = zstandard.ZstdDecompressor(dict_data=shared)
        # Copied: what comes is cut to its length within room for all of `data`, and the rest of that stays unused.
        packed = bytes(memoryview(self._packer.compress(data)))
        if len(packed) > self._room:
            self._room = 0  # what is in stays: where all are asked for in turn, making room would cost each of them
            return
        self._packed[name] = packed
        self._room -= len(packed)

    def _unpacked(self, name: str) -> MessageTemplate | None:
        if name not in self._packed:
            return None
        template: MessageTemplate = pickle.loads(self._unpacker.decompress(self._packed[name]))  # noqa: S301 (packed above)
        return template

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _nothing(number: int) -> DispatchReport:
    return DispatchReport(issue=number, results={}, freed=0, orphaned=0, state="complete")


def _mailing(settings: Settings, database: Database, number: int, *, now: dt.datetime) -> Mailing:
    """All that is the same for every recipient, with what the issue was approved with.

    Raises StoreError when a rendering is not what it was.
    """
    key = signing_key(settings, database)
    editions = Editions(database)
    moment, handle = editions.hand_over(number, now), editions.handle(number)
    sealed = seal(settings, database, number)
    settings, named, head = sealed.settings, sealed.list_id, sealed.letterhead
    domain, leave_domain = sender_domain(settings), sealed.leave_domain

    def template(name: str, *, again: bool) -> MessageTemplate | None:
        variant = dated_variant(sealed, database, number, name, now=moment)
        if variant is None:
            return None
        return MessageTemplate.build(variant, letterhead=head, date=moment, verified=again)

    for _ in Issues(database).variants(number):
        pass  # nothing is sent of an issue of which anything is not what was rendered
    usual = bounce_address(settings)
    bounces = bounces_at(settings.mail.bounce_domain) if settings.mail.bounce_domain else None
    leaving = bounces_at(leave_domain) if leave_domain else None

    def envelope(claim: Claim) -> str:
        """One for each delivery where bounces have a domain, so that a bounce names its delivery."""
        return usual if bounces is None else verp.make(
            key, base=bounces, delivery_id=claim.delivery_id, name=delivery_name(handle, claim.reader)
        )

    def name(claim: Claim) -> str:
        """As it was named at an earlier attempt, where the issue was drafted before it had a handle."""
        issue, reader = (number, claim.subscriber_id) if handle is None else (handle, claim.reader)
        return message_id(key, issue=issue, reader=reader, domain=domain)

    return Mailing(
        issue=number, templates=Templates(Issues(database).variant_names(number), template), message_id=name,
        link=lambda claim: unsubscribe_url(settings, key, named, claim.reader),
        envelope=envelope, sign=signing(settings),
        leave=None if leaving is None else lambda claim: verp.make_leave(key, base=leaving, handle=claim.reader),
    )


def counts_to_json(counts: LedgerCounts) -> dict[str, Any]:
    """The form of `ledger --json`."""
    return {
        "issue": counts.issue, "candidates": counts.candidates, "deliveries": counts.deliveries,
        "exclusions": dict(counts.exclusions), "states": dict(counts.states),
    }


def sent_to_json(sent: Sent) -> dict[str, Any]:
    """`ledger --json`, and what this dispatch did."""
    report = sent.report
    return counts_to_json(sent.counts) | {
        "state": report.state, "results": dict(report.results), "orphaned": report.orphaned, "paused": report.paused,
        "stopped": report.stopped, "next_due": report.next_due.isoformat() if report.next_due else None,
        "worn_out": list(sent.worn_out), "held": [held_to_json(one) for one in sent.held],
    }
