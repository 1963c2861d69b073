"""What waits for an operator or is wrong, judged from figures; purely, and never with an address of a reader.

    Figures, overdue news, free room, channels ─▶ conditions: a sentence each, what to do, and since when

docs/operations/alarms.md has a heading for each kind.
"""

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import takewhile

from milepost.dates import believed
from milepost.errors import StoreError
from milepost.printable import counted, printable
from milepost.records import Cadence, ConditionKind
from milepost.settings import NotifySettings, Settings
from pipeline.holds import Waits
from pipeline.operate.rotation import OldSecret
from store.issues.issues import freezing_words
from store.ledger.transitions import LONGEST_DEFERRAL
from store.milestones.looks import Look
from store.operators.figures import Figures, IssueFigures, SourceFigures
from store.operators.waiting_runs import WaitingRuns

LEAST_SENT, LEAST_BOUNCED, LEAST_COMPLAINED = 20, 3, 2  # below these a share says nothing
CAME_BACK_FOR = dt.timedelta(days=7)  # after its last mail what came back of an issue is news: a relay tries for five
STANDS_STILL = dt.timedelta(minutes=10)  # without a slice, and a freeze was broken off
FAILING = 3  # attempts on a channel, after which it is said elsewhere
_LACKED = ("drift", "incomplete", "unread")  # guards of looks that are not whole, whose holds end as `_incomplete` does
_LONGEST = 300  # characters of a sentence
_NOBODY_KNOWS = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)  # only a clock that was ahead wrote when
_ADDRESS = re.compile(r"""(?:"[^"]*"|[^\s<>"'(),;:\[\]]+)(?:@|＠|%40)[^\s<>"'(),;\[\]]+""")
_DECIDE: frozenset[ConditionKind] = frozenset({
    "look-held", "rename-question", "waits-for-approval", "issue-paused", "unknown-hand-overs", "restored", "migration",
})


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One thing that is so now."""

    kind: ConditionKind
    about: str  # a source, an issue, a cadence; "" for the whole
    says: str  # a sentence without its full stop
    do: str  # what to do about it
    since: dt.datetime | None = None
    name: str | None = None  # where several are about the same

    @property
    def key(self) -> str:
        """By which it is known again."""
        return f"{self.kind}:{self.name or self.about}"[:200]

    @property
    def decides(self) -> bool:
        """Whether it waits for a person, and doesn't pass by itself."""
        return self.kind in _DECIDE


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """A way to tell operators that has failed for a while."""

    name: str
    attempts: int
    why: str
    since: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenUp:
    """Webhooks that nobody took for days."""

    count: int
    why: str  # of the last one


def plain(text: str) -> str:
    """What came from outside, fit to be told anywhere: one line, no address, nothing that a chat obeys."""
    text = _ADDRESS.sub("(an address)", printable(text))
    text = text.replace("@", "(at)").replace("<", "‹").replace(">", "›")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def muted(condition: Condition, settings: Settings) -> bool:
    """Whether it is told nowhere: by [notify], or by the source that it is about."""
    return condition.kind in settings.notify.mute or any(
        condition.kind in source.mute and condition.about == source.key for source in settings.sources
    )


def judge(
    figures: Figures, rules: NotifySettings, *, now: dt.datetime, waits: Sequence[Waits],
    overdue: Mapping[Cadence, int], free_mb: int | None = None, channels: Sequence[Channel] = (),
    given_up: GivenUp | None = None, old: Sequence[OldSecret] = (), leaked: str | None = None,
    ahead: str = "", runs: WaitingRuns | None = None,
) -> tuple[Condition, ...]:
    """All that is so, what waits for a person first.

    `waits`: what waits for a person, of looks and issues.
    `overdue`: changes that were due in an issue of a cadence. `free_mb`: room where the database lies; None: not known.
    `ahead`: of what moments were found that are yet to come, in words; "" for none.
    `old`: secrets that are still accepted. `leaked`: the name of the key that signs readers' links, if it has leaked.
    `runs`: of the schedules, that wait for a process.
    """
    found = [
        *_restored(figures), *_waits(waits), *_unknown(figures), *_issues(figures, rules, now),
        *(one for source in figures.sources
          for one in _source(source, rules, now, held=f"source {source.key}" in _lacking_and_held(waits, rules))),
        *_overdue(figures, rules, overdue, now), *_came_back(figures, rules, now), *_room(free_mb, rules),
        *_channels(channels), *_webhooks(given_up), *_secrets(old, leaked, now),
        *_clock(ahead), *_runs(runs),
    ]
    return tuple(sorted(found, key=lambda one: not one.decides))


def unusable(kind: ConditionKind, error: StoreError) -> Condition:
    """The database can't be used at all."""
    says = error.what if error.where is None else f"{error.where}: {error.what}"
    waits = "Nothing is watched or sent until it can be used again."
    do = waits if error.hint is None else f"{error.hint}{'' if kind == 'migration' else f' {waits}'}"
    return Condition(kind=kind, about="", says=plain(says.rstrip(".")), do=do)


def disk(free_mb: int | None, rules: NotifySettings) -> tuple[Condition, ...]:
    """What the disk alone tells, where the database can't be asked."""
    return tuple(_room(free_mb, rules))


def _restored(figures: Figures) -> Iterator[Condition]:
    if figures.restored_from is not None:
        yield Condition(
            kind="restored", about="", says="the database was restored, and sends nothing until you say so",
            do="Compare with the relay's log, then `milepost db confirm-restore --why …`.",
        )


_WAITS: Mapping[str, tuple[ConditionKind, str]] = {
    "held": ("look-held", "See `milepost changes --all`, then `{command}`."),
    "rename": ("rename-question", "See `milepost changes renames`, then `{command}`, or with --new."),
    "approval": ("waits-for-approval", "Look at it with `milepost issue preview {number}`, then `{command}`."),
    "paused": ("issue-paused", "Mend the cause, then `{command}`; nobody is sent it twice."),
}


def _waits(waits: Sequence[Waits]) -> Iterator[Condition]:
    for one in waits:
        if one.kind in _WAITS:  # hand-overs of unknown end are counted below, also of an issue that is not over
            kind, do = _WAITS[one.kind]
            yield Condition(
                kind=kind, about=one.about, says=plain(f"{one.about}: {one.why}"), since=one.since,
                do=do.format(command=one.command, number=one.about.rpartition(" ")[2]),
                name=one.command.removeprefix("milepost ").partition(" --")[0],
            )


def _issues(figures: Figures, rules: NotifySettings, now: dt.datetime) -> Iterator[Condition]:
    for issue in reversed(figures.issues):
        number, since, freezing = issue.number, _stuck_since(issue, rules, now), issue.freezing
        if freezing is not None and abs(now - freezing.moved_at) > STANDS_STILL:
            yield Condition(
                kind="overdue", about=f"issue {number}", since=freezing.moved_at,
                says=f"issue {number} is being frozen, {freezing_words(freezing)}, and none has been since "
                f"{_at(freezing.moved_at)}",
                do=f"`milepost publish` goes on where it stood, `milepost issue stop {number}` takes it back.",
            )
        if since is not None:
            waiting = sum(issue.states.get(state, 0) for state in ("pending", "claimed", "sending", "deferred"))
            yield Condition(
                kind="overdue", about=f"issue {number}", since=_or_none(since),
                says=f"issue {number}: {waiting} mails are due and none has been handed over {_since(since)}",
                do=f"Does the schedule run? `milepost dispatch {number}` says what keeps them.",
            )


def _stuck_since(issue: IssueFigures, rules: NotifySettings, now: dt.datetime) -> dt.datetime | None:
    """Since when nothing has moved of an issue that has mails due; None where all is well."""
    if issue.state not in ("frozen", "sending"):
        return None
    at_once = any(issue.states.get(state) for state in ("pending", "claimed", "sending"))
    put_off = issue.next_due if issue.states.get("deferred") else None
    if not (at_once or put_off):
        return None
    past = (issue.frozen_at, issue.moved_at)
    window = issue.send_after - issue.frozen_at if issue.send_after and issue.frozen_at else LONGEST_DEFERRAL
    to_come = ((issue.send_after, window), (None if at_once else put_off, LONGEST_DEFERRAL))
    since = max(
        (at for at, longest in (*((at, dt.timedelta(0)) for at in past), *to_come)
         if at is not None and believed(at, now, longest)), default=_NOBODY_KNOWS,
    )
    return since if now - since > dt.timedelta(hours=rules.overdue_hours) else None


def _unknown(figures: Figures) -> Iterator[Condition]:
    for issue, count in figures.unknown.items():
        yield Condition(
            kind="unknown-hand-overs", about=f"issue {issue}",
            says=f"issue {issue}: of {count} hand-overs nobody knows whether the relay took them",
            do=f"`milepost ledger {issue} --state unknown` names them, `milepost ledger resolve {issue}` settles "
            "them by the relay's log.",
        )


def _lacking_and_held(waits: Sequence[Waits], rules: NotifySettings) -> Set[str]:
    """The sources of which a look is held for what it lacked: "source KEY". Nobody is told twice of that; where nobody
    is told of what is held, these are none.
    """
    return set() if "look-held" in rules.mute else {one.about for one in waits if one.guard in _LACKED}


def _source(source: SourceFigures, rules: NotifySettings, now: dt.datetime, *, held: bool) -> Iterator[Condition]:
    """`held`: a look of it waits for an operator because of what it lacked."""
    key, ended = source.key, source.ended
    if not source.baseline:
        seen = f"{counted(len(ended), 'look')} ended without one" if ended else "it was never looked at"
        yield Condition(
            kind="no-baseline", about=key, since=ended[-1].finished_at if ended else None,
            says=f"{key} has no baseline, so nothing of it is news: {seen}",
            do=f"`milepost scrape {key}` says what it finds, `milepost source check {key}` how its pages read.",
        )
    if ended and ended[0].state == "failed" and ended[0].guard == "gone":
        yield Condition(
            kind="source-down", about=key, since=ended[0].started_at,
            says=f"{key} is gone for good: it answers 410, and is not asked for any more",
            do=f"Take it out of the settings, or give it a new address; `milepost scrape {key} --full` asks again.",
        )
    elif len(ended) >= rules.down_looks and all(look.state == "failed" for look in ended[: rules.down_looks]):
        why = next((look.failures[0] for look in ended if look.failures), "no reason was kept")
        yield Condition(
            kind="source-down", about=key, since=ended[rules.down_looks - 1].started_at,
            says=plain(f"{key} is down: {rules.down_looks} looks in a row failed, the last: {why}"),
            do=f"Open the site in a browser; `milepost scrape {key} --verbose` asks it again.",
        )
    if source.baseline and not held:
        yield from _incomplete(key, source.asked[: rules.incomplete_looks], rules.incomplete_looks)
    whole = [look for look in ended if look.state != "failed"]
    if whole and whole[0].silent:
        yield Condition(
            kind="setting-silent", about=key, since=_silent_since(whole),
            says=plain(f"{key}: {'; '.join(whole[0].silent)}"),
            do=f"Did the site change, or is it misspelt? `milepost source check {key}` asks today's settings of "
            "the stored pages; a setting that is taken out is asked no more.",
        )
    finished = [look.finished_at for look in ended if look.finished_at]
    last = max((at for at in finished if believed(at, now)), default=_NOBODY_KNOWS)
    if finished and now - last > dt.timedelta(hours=rules.silent_hours):
        yield Condition(
            kind="source-silent", about=key, since=_or_none(last), says=f"no look at {key} has ended {_since(last)}",
            do="Does the schedule run? See Prefect's worker, or the timer.",
        )


def _incomplete(key: str, looks: Sequence[Look], many: int) -> Iterator[Condition]:
    """`looks`: that had its pages, the latest first; one that failed says nothing of them, and ends no row of these."""
    lacking = [_lacking(look) for look in looks]
    if len(lacking) >= many and all(lacking):
        yield Condition(
            kind="source-incomplete", about=key, since=looks[-1].started_at,
            says=plain(
                f"{key} is incomplete: of its last {counted(many, 'look')} none was whole, the latest: {lacking[0]}"
            ),
            do=f"Open the page; `milepost source check {key}` shows who says otherwise. What stays so is left out by "
            "`exclude` of the source, or told no more with its `mute`.",
        )


def _lacking(look: Look) -> str:
    """What of it could not be had or read, or is in dispute; "" for one that is whole. A setting that leads to nothing
    has an alarm of its own."""
    disputed = next((one for one in look.degraded if one not in look.silent), "")
    if not look.failures:
        return disputed or ("" if look.state == "complete" else look.held or "not all could be read")
    more = max(len(look.failures), look.failed) - 1
    return f"{look.failures[0].rstrip('.')}{f' (and {more} more)' if more else ''}"


def _silent_since(looks: Sequence[Look]) -> dt.datetime:
    """When the first of the latest looks in a row began that met settings which lead to nothing."""
    return list(takewhile(lambda look: look.silent, looks))[-1].started_at


def _overdue(
    figures: Figures, rules: NotifySettings, overdue: Mapping[Cadence, int], now: dt.datetime
) -> Iterator[Condition]:
    for cadence, changes in overdue.items():
        yield Condition(
            kind="overdue", about=cadence,
            says=f"{changes} changes were due in the {cadence} issue more than {rules.overdue_hours:g} hours ago, and "
            "are in none",
            do=f"`milepost issue draft --cadence {cadence}` says what keeps them.",
        )
    since = figures.letter_since
    if since is not None and not believed(since, now):
        since = _NOBODY_KNOWS
    if since is not None and now - since > dt.timedelta(hours=rules.overdue_hours):
        yield Condition(
            kind="letters-wait", about="", since=_or_none(since),
            says=f"letters (confirmations and the like) have waited {_since(since)}",
            do="`milepost letters` names the reason, `milepost letters send` tries again.",
        )


def _came_back(figures: Figures, rules: NotifySettings, now: dt.datetime) -> Iterator[Condition]:
    for issue in figures.issues:
        moved = issue.moved_at
        if moved is not None and believed(moved, now) and now - moved >= CAME_BACK_FOR:
            continue  # nothing that can still be done would end it
        sent, failed = issue.states.get("sent", 0), issue.states.get("failed", 0)
        tried, bounced = sent + failed, issue.bounced + failed
        if tried >= LEAST_SENT and bounced >= LEAST_BOUNCED and bounced > rules.bounce_share * tried:
            yield Condition(
                kind="bounce-rate", about=f"issue {issue.number}",
                says=f"issue {issue.number}: {bounced} of {tried} came back or were refused ({bounced / tried:.1%})",
                do=f"`milepost ledger {issue.number} --state failed` has the servers' words; an old list is to be "
                "asked again before it is mailed again.",
            )
        complained = issue.complained
        if sent >= LEAST_SENT and complained >= LEAST_COMPLAINED and complained > rules.complaint_share * sent:
            yield Condition(
                kind="complaint-rate", about=f"issue {issue.number}",
                says=f"issue {issue.number}: {complained} of {sent} called it spam ({complained / sent:.2%})",
                do="Those are unsubscribed. Did all of them ask for it? Send less until you know.",
            )


def _room(free_mb: int | None, rules: NotifySettings) -> Iterator[Condition]:
    if free_mb is not None and free_mb < rules.disk_free_mb:
        yield Condition(
            kind="disk-space", about="", says=f"{free_mb} MB are free where the database lies",
            do="Make room: `milepost archive size`, `milepost archive prune`, old backups. A full disk ends all work.",
        )


def _channels(channels: Sequence[Channel]) -> Iterator[Condition]:
    for channel in channels:
        yield Condition(
            kind="notice-channel", about=channel.name, since=channel.since,
            says=plain(f"{channel.name} has taken no notice in {channel.attempts} attempts: {channel.why}"),
            do="`milepost notify test` tries every channel.",
        )


def _webhooks(given_up: GivenUp | None) -> Iterator[Condition]:
    if given_up is not None and given_up.count:
        yield Condition(
            kind="webhook", about="", says=plain(f"{given_up.count} webhooks were given up, the last: {given_up.why}"),
            do="Is [webhooks] urls right, and is somebody there? What was given up is not told again.",
        )


def _secrets(old: Sequence[OldSecret], leaked: str | None, now: dt.datetime) -> Iterator[Condition]:
    if leaked is not None:
        yield Condition(
            kind="leaked-key", about="", name=leaked,
            says=f"key {leaked} has leaked and signs the links of today's mails, which do nothing but unsubscribe",
            do="Set another web.signing_key: docs/operations/keys.md has the steps.",
        )
    for one in old:
        if one.overdue(now):
            yield Condition(
                kind="old-secret", about=one.setting, since=one.since,
                says=f"{one.setting} is still accepted; it should have gone {one.until:%Y-%m-%d}",
                do=f"Does everybody use the new one? Then take {one.setting} out of the settings, and start anew.",
            )


def _clock(ahead: str) -> Iterator[Condition]:
    if ahead:
        yield Condition(
            kind="clock-ahead", about="",
            says=f"moments were found that are yet to come, and nothing waits for them: {ahead}",
            do="Was the clock ahead for a while, or is it behind now? `timedatectl` says whether it is kept right.",
        )


def _runs(runs: WaitingRuns | None) -> Iterator[Condition]:
    if runs is not None:
        names = ", ".join(runs.names) + (" …" if runs.count > len(runs.names) else "")
        some = "a run of the schedules waits" if runs.count == 1 else f"{runs.count} runs of the schedules wait"
        yield Condition(
            kind="runs-wait", about="", since=runs.since,
            says=plain(f"{some} for a process, the longest {_since(runs.since)}: {names}"),
            do="Is the machine late, or does nobody take them? See `milepost up`, or Prefect's worker.",
        )


def _since(moment: dt.datetime) -> str:
    return "since nobody knows when" if moment == _NOBODY_KNOWS else f"since {_at(moment)}"


def _or_none(moment: dt.datetime) -> dt.datetime | None:
    return None if moment == _NOBODY_KNOWS else moment


def _at(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
