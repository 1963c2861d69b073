"""What a Postfix relay's log proves about a message: that it was taken, what became of it, or that its dot never came.

    smtpd    QID: client=…                            this connection's message is called QID
    cleanup  QID: message-id=<…>                      … and it is the one we look for; proves nothing yet
    qmgr     QID: from=<…>, … (queue active)          it was taken                            ─▶ sent
    smtp     QID: to=<…>, dsn=…, status=…             sent, deferred ─▶ sent                  bounced, expired ─▶ failed
    smtpd    lost connection after DATA (… bytes)     the dot never came on that connection   ─▶ pending

Read from files of syslog lines ("Nov 23 09:28:37 …", in this machine's zone) or with ISO 8601 times, plain or gzip.
Sources: the log lines of Postfix 3.7, and smtpd(8): a message is taken only when its queue file is whole.
"""

import datetime as dt
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from delivery.bounces.reports import of_words
from milepost.errors import InputError

_LINE = 32 * 1024  # octets of a line worth reading
_STAMP = re.compile(r"(?P<iso>\d{4}-\d\d-\d\dT\S+)|(?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>\d{1,2}) (?P<clock>[\d:]{8})")
_FROM_POSTFIX = re.compile(r"(?P<host>\S*) [\w./-]*postfix[\w./-]*/(?P<program>[\w-]+)\[(?P<pid>\d+)\]: (?P<said>.*)")
_QUEUE = re.compile(r"(?P<queue_id>[0-9A-Za-z]{6,20}): (?P<rest>.*)", re.ASCII)
_MESSAGE_ID = re.compile(r"(?:resent-)?message-id=(<[^>]*>)")
_STATUS = re.compile(r"\bstatus=(?P<status>sent|bounced|deferred|expired)\b")
_TO = re.compile(r"\b(?:orig_)?to=<([^>]*)>")
_DSN = re.compile(r"\bdsn=([245]\.\d{1,3}\.\d{1,3})", re.ASCII)
_ABORTED = re.compile(r"(?:lost connection|timeout) after DATA\b")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SKEW = dt.timedelta(minutes=1)  # between the relay's clock and the database's


@dataclass(frozen=True, kw_only=True, slots=True)
class Sought:
    """An uncertain hand-over, looked for by its Message-ID."""

    address: str
    since: dt.datetime  # it began then at the earliest
    attempts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What the log proves of one message, and the line that proves it."""

    outcome: Literal["sent", "failed", "pending"]
    line: str
    suppress: str | None = None  # why the address is never to be mailed again


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What the log says of all that is sought."""

    evidence: Mapping[str, Evidence]  # by Message-ID
    mentioned: frozenset[str]  # Message-IDs that occur in it, proven or not
    first: dt.datetime | None = None  # the times of its first and last line
    last: dt.datetime | None = None


@dataclass(slots=True)
class _Trail:
    """One queue file of one sought message."""

    taken: str | None = None
    fate: str | None = None  # the last line about our reader
    fate_of_another: str | None = None  # about a copy (always_bcc), or after an address was rewritten
    aborted: str | None = None


@dataclass(slots=True)
class _Reading:
    sought: Mapping[str, Sought]
    trails: dict[str, list[_Trail]] = field(default_factory=dict)  # by Message-ID
    open: dict[str, tuple[str, _Trail]] = field(default_factory=dict)  # by queue id, while it is one's name
    holds: dict[tuple[str, str], str] = field(default_factory=dict)  # (host, pid) of an smtpd → its message's queue id

    def line(self, line: str, host: str, program: str, pid: str, said: str) -> None:
        match = _QUEUE.match(said)
        if match is None:
            if program == "smtpd":
                self._smtpd(line, (host, pid), said)
            return
        queue_id, rest = match["queue_id"], match["rest"]
        if program == "smtpd" and rest.startswith("client="):
            self.holds[host, pid] = queue_id
            self.open.pop(queue_id, None)  # the name is used again
        elif program == "cleanup" and (named := _MESSAGE_ID.match(rest)):
            self.open.pop(queue_id, None)
            if named[1] in self.sought:
                trail = _Trail()
                self.trails.setdefault(named[1], []).append(trail)
                self.open[queue_id] = (named[1], trail)
        elif queue_id in self.open:
            self._about(line, program, rest, *self.open[queue_id])
            if program == "qmgr" and rest == "removed":
                del self.open[queue_id]

    def _smtpd(self, line: str, who: tuple[str, str], said: str) -> None:
        """What a receiving process says of its connection as a whole."""
        if said.startswith(("connect from", "disconnect from")):
            self.holds.pop(who, None)
        elif _ABORTED.match(said) and (held := self.open.get(self.holds.get(who, ""))) is not None:
            held[1].aborted = line

    def _about(self, line: str, program: str, rest: str, message_id: str, trail: _Trail) -> None:
        status = _STATUS.search(rest)
        if status is None:
            if program == "qmgr" and rest.startswith("from="):
                trail.taken = trail.taken or line
            return
        reader = self.sought[message_id].address.casefold()
        if status["status"] == "expired" or reader in (to.casefold() for to in _TO.findall(rest)):
            trail.fate = line
        else:
            trail.fate_of_another = line


def read(lines: Iterable[str], sought: Mapping[str, Sought], *, now: dt.datetime) -> Found:
    """Look for the Message-IDs in `sought` (with angle brackets) among `lines`, in the order they were written."""
    reading = _Reading(sought)
    first = last = None
    for line in lines:
        stamp = _STAMP.match(line)
        if stamp is None:
            continue
        first, last = first or line, line
        match = _FROM_POSTFIX.match(line, stamp.end() + 1)
        if match:
            reading.line(line, match["host"], match["program"], match["pid"], match["said"])
    evidence = {
        message_id: proof for message_id, trails in reading.trails.items()
        if (proof := _judge(trails, sought[message_id], now)) is not None
    }
    return Found(
        evidence=evidence, mentioned=frozenset(reading.trails),
        first=None if first is None else moment(first, now), last=None if last is None else moment(last, now),
    )


def with_absent(found: Found, sought: Mapping[str, Sought], *, where: str) -> Found:
    """`found`, and that what the log never mentions never arrived: an operator said that it holds everything.

    Raises InputError when the log itself shows that it does not.
    """
    absent = {message_id: one for message_id, one in sought.items() if message_id not in found.mentioned}
    if not absent:
        return found
    earliest, latest = min(one.since for one in absent.values()), max(one.since for one in absent.values())
    if found.first is None or found.last is None:
        raise InputError("holds no line of a log", where=where, hint="Give the relay's mail log.")
    if found.first > earliest:
        raise InputError(
            f"the log begins at {found.first:%Y-%m-%d %H:%M:%S %Z}, after the first uncertain hand-over "
            f"({earliest:%Y-%m-%d %H:%M:%S} UTC), so it can't be complete",
            where=where, hint="Give the older files too; they may be gzipped.",
        )
    if found.last < latest - _SKEW:
        raise InputError(
            f"the log ends at {found.last:%Y-%m-%d %H:%M:%S %Z}, before the last uncertain hand-over "
            f"({latest:%Y-%m-%d %H:%M:%S} UTC), so it can't be complete",
            where=where, hint="Give the newest file too.",
        )
    said = (
        f"not mentioned in the relay's log from {found.first.isoformat()} to {found.last.isoformat()}, "
        "which an operator called complete"
    )
    return Found(
        evidence={**found.evidence, **{name: Evidence(outcome="pending", line=said) for name in absent}},
        mentioned=found.mentioned, first=found.first, last=found.last,
    )


def _judge(trails: Sequence[_Trail], one: Sought, now: dt.datetime) -> Evidence | None:
    """Of several queue files with one Message-ID (a filter's, an earlier attempt's) any that was taken decides."""
    fates = [line for trail in trails if (line := trail.fate or trail.fate_of_another)]
    final = [line for line in fates if "status=deferred" not in line]
    if final:
        line = final[-1]
        if "status=sent" in line:
            return Evidence(outcome="sent", line=line)
        return Evidence(outcome="failed", line=line, suppress=_suppress(line))
    taken = next((line for trail in trails if (line := trail.fate or trail.taken)), None)
    if fates or taken:
        return Evidence(outcome="sent", line=fates[-1] if fates else str(taken))
    aborted = [trail.aborted for trail in trails if trail.aborted]
    if len(aborted) < len(trails):
        return None  # one of them got further, and the log does not say how far
    # An earlier attempt's broken connection says nothing of the last one.
    if one.attempts > 1 and (moment(aborted[-1], now) or one.since) < one.since.replace(microsecond=0):
        return None
    return Evidence(outcome="pending", line=aborted[-1])


def _suppress(line: str) -> str | None:
    """As of a report: Postfix writes the remote host's words after the status, "(host … said: 550 5.1.1 …)"."""
    status = _DSN.search(line)
    if status is None or not status[1].startswith("5."):
        return None
    return of_words(status[1], line.partition("status=")[2]).suppress


def moment(line: str, now: dt.datetime) -> dt.datetime | None:
    """When a line was written, None when it doesn't say; syslog leaves out the year and the zone."""
    stamp = _STAMP.match(line)
    if stamp is None:
        return None
    try:
        if stamp["iso"]:
            return dt.datetime.fromisoformat(stamp["iso"]).astimezone()
        hour, minute, second = map(int, stamp["clock"].split(":"))
        local = dt.datetime(  # in this machine's zone
            now.astimezone().year, _MONTHS.index(stamp["month"]) + 1, int(stamp["day"]), hour, minute, second
        ).astimezone()
    except ValueError:
        return None
    return local if local <= now + dt.timedelta(days=1) else local.replace(year=local.year - 1)


def lines(files: Sequence[Path], *, now: dt.datetime) -> Iterator[str]:
    """The lines of log files, the older file first, whatever order they are given in; raises InputError."""
    started = sorted(
        (next((at for line in _lines(file) if (at := moment(line, now))), now), index)
        for index, file in enumerate(files)
    )
    for _, index in started:
        yield from _lines(files[index])


def _lines(file: Path) -> Iterator[str]:
    try:
        with file.open("rb") as opened:
            zipped = opened.peek(2)[:2] == b"\x1f\x8b"
            source: io.BufferedIOBase = gzip.GzipFile(fileobj=opened) if zipped else opened
            while line := source.readline(_LINE):
                yield line.decode("utf-8", "replace").rstrip("\r\n")
    except (OSError, EOFError, zlib.error) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"can't be read ({said})", where=str(file), hint="Want a mail log, plain or gzip.") from None
