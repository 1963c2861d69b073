"""Commands for whoever keeps it running: `status`, and `notify`, which tells operators what waits or is wrong."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from console.context import CliContext
from console.groups import WithDefault
from console.output import JsonFlag, complain, print_json, print_table, print_wrapped
from milepost.dates import utc_now
from milepost.errors import DeliveryError, HeldError, InputError, MilepostError
from milepost.printable import counted, printable
from milepost.records import SOURCE_CONDITION_KINDS

_OF_A_KIND, _SOURCES = 3, 10  # that status shows


def mount(app: typer.Typer) -> None:
    app.command()(status)
    group = typer.Typer(cls=WithDefault, help="Tell operators what waits or is wrong, on the channels of [notify].")
    group.command("list")(notify_list)
    group.command("send")(notify_send)
    group.command("test")(notify_test)
    app.add_typer(group, name="notify")


def status(
    context: typer.Context, as_json: JsonFlag = False,
    everything: Annotated[bool, typer.Option("--all", help="Show every alarm and every source.")] = False,
) -> None:
    """Show how everything stands, in a screen; exit code 3 while something waits for you, 1 while it is wrong."""
    from pipeline.operate.standing import stand, standing_to_json

    cli: CliContext = context.obj
    standing = stand(cli.settings, now=utc_now())
    told = standing_to_json(standing, cli.settings)
    if as_json:
        print_json(told)
    else:
        _print_status(told, everything=everything)
    waiting = [one.says for one in standing.conditions if one.decides]
    wrong = [one.says for one in standing.conditions if not one.decides]
    if waiting:
        raise HeldError(f"{counted(len(waiting), 'thing')} {'waits' if len(waiting) == 1 else 'wait'} for you")
    if wrong:
        raise MilepostError(f"{counted(len(wrong), 'thing')} {'is' if len(wrong) == 1 else 'are'} wrong")


def _print_status(told: dict[str, Any], *, everything: bool = False) -> None:
    for line in _conditions(told["conditions"], most=None if everything else _OF_A_KIND):
        print_wrapped(line)
    if not told["conditions"]:
        typer.echo("Nothing waits for you, and nothing is wrong.")
    figures = told["figures"]
    if figures is None:
        return
    shown, more = _sources(figures["sources"], told["conditions"], most=None if everything else _SOURCES)
    print_table("", ("source", "last look", "ended", "milestones", "baseline"), [
        (one["source"], one["state"] or "never", _moment(one["ended_at"]),
         "" if one["milestones"] is None else one["milestones"], "yes" if one["baseline"] else "no")
        for one in shown
    ], empty="No source is configured.")
    if more:
        print_wrapped(more)
    for one in shown:
        if any((one["feeds"] or {}).values()):
            print_wrapped(f"Feeds of {one['source']}: {_counts(one['feeds'])}.")
        for page, count in one["lost_entries"].items():
            left = counted(count, "entry", "entries")
            print_wrapped(f"List of {one['source']}: {left} left {printable(page)}, and none came since; "
                          "what left stays on record.")
    print_table("", ("issue", "cadence", "state", "deliveries"), [
        (one["issue"], one["cadence"], one["state"], _counts(one["deliveries"])) for one in figures["issues"]
    ], empty="No issue was ever made.")
    for name, key in (("Readers", "subscribers"), ("Letters", "letters"), ("Sign-ups of a day", "sign_ups"),
                      ("What came back", "bounces")):
        print_wrapped(f"{name}: {_counts(figures[key]) or 'none'}.")
    for channel in told["channels"]:
        print_wrapped(f"{channel['channel'].capitalize()}: {_channel(channel)}.")
    for one in told["old_secrets"]:
        until = f"until {one['until'][:10]}" if one["until"] else "for good"
        print_wrapped(f"Old secret: {one['setting']} is accepted since {one['since'][:10]}, {until}.")


def _sources(
    sources: Sequence[dict[str, Any]], conditions: Sequence[dict[str, Any]], *, most: int | None
) -> tuple[list[dict[str, Any]], str]:
    """Those that are shown, of more than `most` the ones with trouble first; and a sentence on the others. Pure."""
    wrong = {one["about"] for one in conditions if one["kind"] in SOURCE_CONDITION_KINDS}
    if most is None or len(sources) <= most:
        return [*sources], ""

    def is_well(one: dict[str, Any]) -> bool:
        return one["state"] == "complete" and not (one["source"] in wrong or one["held"] or one["failed_pages"])

    ordered = sorted(sources, key=is_well)
    left = ordered[most:]
    ill = sum(not is_well(one) for one in left)
    which = f"{ill} of them with trouble" if ill else "all well"
    return ordered[:most], f"… and {len(left)} more, {which}; --all shows them."


def _conditions(conditions: Sequence[dict[str, Any]], *, most: int | None = _OF_A_KIND) -> Iterator[str]:
    """What waits or is wrong, a few of each kind: one screen, however many sources have the same trouble."""
    kinds = Counter(one["kind"] for one in conditions)
    shown: Counter[str] = Counter()
    for one in conditions:
        shown[one["kind"]] += 1
        if most is None or shown[one["kind"]] <= most:
            yield f"{'Waits for you' if one['decide'] else 'Wrong'} ({one['kind']}): {one['says']}.\n    {one['do']}"
        elif shown[one["kind"]] == kinds[one["kind"]]:
            yield f"    … and {kinds[one['kind']] - most} more ({one['kind']}); --all shows them."


def _moment(iso: str | None) -> str:
    """A moment of --json as tables show it, in UTC; "" for None."""
    return f"{dt.datetime.fromisoformat(iso).astimezone(dt.UTC):%Y-%m-%d %H:%M}" if iso else ""


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)


def _channel(channel: dict[str, Any]) -> str:
    if channel["state"] is None:
        return "nothing was to be told yet"
    if channel["state"] == "sent":
        return f"last told {_moment(channel['at'])} UTC"
    again = "tried again" if channel["state"] == "queued" else "given up"
    return f"{again} after {counted(channel['attempts'], 'attempt')}{': ' if channel['why'] else ''}{channel['why']}"


def notify_list(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List what operators were told and is not over, and how each channel does."""
    from pipeline.operate.notices import told_so_far
    from pipeline.operate.standing import channels_to_json

    cli: CliContext = context.obj
    notices, channels = told_so_far(cli.database), channels_to_json(cli.settings, cli.database)
    if as_json:
        print_json({"notices": notices, "channels": channels})
        return
    print_table("", ("since", "what", "says", "told"), [
        (_moment(one["since"]), one["key"], one["says"],
         "over soon" if one["gone_at"] else _moment(one["told_at"]) or "not yet")
        for one in notices
    ], empty="Nothing is told.")
    for channel in channels:
        typer.echo(f"{channel['channel'].capitalize()}: {_channel(channel)}.")
    if not channels:
        typer.echo("Nobody is told anything: [notify] urls names no channel.")


def notify_send(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Tell what is new, what lasts and what is over; each scheduled run does it at its end, and cron may."""
    from milepost.settings import config_file
    from pipeline.operate.notices import noticed_to_json, notify

    cli: CliContext = context.obj
    if not cli.settings.notify.urls:
        raise InputError("[notify] urls names no channel", hint="Add one; `milepost notify test` tries it.")
    done = notify(cli.settings, folder=config_file(cli.config).resolve().parent)
    if as_json:
        print_json(noticed_to_json(done))
    else:
        typer.echo(f"{counted(len(done.conditions), 'thing')} to tell of; {counted(done.sent, 'message')} sent.")
    if done.failed:
        raise DeliveryError("; ".join(done.failed), hint="It is tried again; `milepost notify` lists it.")


def notify_test(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Send a test message on every channel, and say which did not take it."""
    from pipeline.operate.notices import trial

    cli: CliContext = context.obj
    if not cli.settings.notify.urls:
        raise InputError("[notify] urls names no channel", hint="See docs/operations/alarms.md for examples.")
    tried = trial(cli.settings)
    if as_json:
        print_json([{"channel": name, "ok": why is None, "why": why or ""} for name, why in tried])
    else:
        for name, why in tried:
            typer.echo(f"{name}: {'taken' if why is None else why}")
    refused = [f"{name} did not take it: {why}" for name, why in tried if why is not None]
    for sentence in refused[:-1]:
        complain(sentence)
    if refused:
        raise DeliveryError(refused[-1])
