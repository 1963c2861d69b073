"""Commands about addresses that are never mailed: `list`, `add`, `lift`."""

from typing import TYPE_CHECKING, Annotated

import typer

from console.arguments import Who, Why
from console.by_hand import by_hand, care
from console.context import CliContext
from console.groups import WithDefault
from console.output import JsonFlag, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from milepost.records import SubscriberState
    from pipeline.subscribers import Event


def mount(app: typer.Typer) -> None:
    group = typer.Typer(cls=WithDefault, help="Addresses that are never mailed again, and why.")
    group.command("list")(list_)
    group.command("add")(add)
    group.command("lift")(lift)
    app.add_typer(group, name="suppressions")


def list_(
    context: typer.Context,
    history: Annotated[
        bool, typer.Option("--history", help="Also what was lifted, and who did what about each, when and why.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the addresses that are never mailed, with the reason; who was erased is a hash."""
    from pipeline import subscribers

    cli: CliContext = context.obj
    listed = subscribers.suppressed(cli.database)
    events = subscribers.histories(cli.database) if history else {}
    names = {one.address_hash: one.normalized or f"erased:{one.address_hash[:12]}" for one in listed}
    lifted = [hash_ for hash_ in events if hash_ not in names]
    if as_json:
        for one in listed:
            print_json({
                "address": one.normalized, "address_hash": one.address_hash, "reason": one.reason,
                "since": one.created_at.isoformat(), "history": _history(events, one.address_hash),
            })
        for hash_ in lifted:
            print_json({"address": None, "address_hash": hash_, "reason": None, "since": None,
                        "history": _history(events, hash_)})
        return
    print_table("", ("address", "reason", "since"),
                [(names[one.address_hash], one.reason, f"{one.created_at:%Y-%m-%d}") for one in listed],
                empty="No address is suppressed.")
    if history:
        print_table("", ("address", "when", "what", "who", "why"), [
            (names.get(hash_, f"lifted:{hash_[:12]}"), f"{one.at:%Y-%m-%d %H:%M}", one.action, one.by, one.why)
            for hash_, each in events.items() for one in each
        ], empty="No operator suppressed, lifted or erased anything.")


def _history(events: "Mapping[str, Sequence[Event]]", hash_: str) -> list[dict[str, str]]:
    return [{"at": one.at.isoformat(), "action": one.action, "by": one.by, "why": one.why}
            for one in events.get(hash_, ())]


def add(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="Never to be mailed again.")],
    why: Why,
    by: Who = None,
    as_json: JsonFlag = False,
) -> None:
    """Never mail an address again, subscriber or not."""
    cli: CliContext = context.obj
    by_hand(
        care(cli).suppress, address, why=why, by=by, as_json=as_json,
        form=lambda new: {"address": address, "added": new},
        says=lambda new: f"{address} is never mailed from now on." if new else f"{address} was suppressed already.",
    )


def lift(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="What may be mailed again.")],
    why: Why,
    by: Who = None,
    as_json: JsonFlag = False,
) -> None:
    """Let a suppressed address be mailed again; what it was suppressed for stays in its history."""
    from pipeline import subscribers

    cli: CliContext = context.obj

    def state() -> "SubscriberState | None":
        found = subscribers.show(cli.database, address).subscriber
        return found.state if found else None

    after = {
        None: f"It is no subscriber: `milepost subscribers add {address}`.", "active": "It is mailed again.",
        "pending": f"It waits for its confirmation: `milepost subscribers return {address} --why …`.",
        "unsubscribed": f"It has left: `milepost subscribers return {address} --why …`.",
    }
    by_hand(
        care(cli).lift, address, why=why, by=by, as_json=as_json,
        form=lambda was: {"address": address, "was": was.reason, "subscriber": state()},
        says=lambda was: f"{address} is suppressed no more (was: {was.reason}). {after[state()]}",
    )
