"""What a run leaves to be read: tables and Markdown of what was found, made, sent or would change. Pure; counts only.

    results in their JSON forms ─▶ rows or Markdown ─▶ flows.artifacts
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from milepost.printable import without_addresses
from milepost.records import Issue
from pipeline.milestones import Found

Data = Mapping[str, Any]
Rows = list[dict[str, Any]]

MOST = 200  # rows: Prefect's pages show no more with comfort
_MARKS = str.maketrans({sign: f"\\{sign}" for sign in r"\`*_[]<>#|!"})


def plain(text: str) -> str:
    """A text from outside as Markdown shows it literally."""
    return text.translate(_MARKS)


def link(text: str, url: str) -> str:
    """A link whose address can't end it."""
    return f"[{plain(text)}](<{url.replace('<', '%3C').replace('>', '%3E')}>)"


def looks_table(looks: Iterable[Data]) -> Rows:
    """One row a source. Prefect's pages break no cell: only short ones, so that no column is cut at 1280 pixels."""
    return [
        {"source": look["source"], "state": look["state"], "pages": _pages(look), "milestones": look["milestones"],
         "changes": _changes(look)}
        for look in looks
    ]


def looks_description(looks: Iterable[Data]) -> str:
    """What stands above that table, as Markdown: what it is, and of each look that was held or failed the reason."""
    whys = [(look["source"], look["held"] or "; ".join(look["failures"][:2])) for look in looks]
    lines = [f"- {plain(source)}: {plain(without_addresses(why))}" for source, why in whys if why]
    more = [f"- … and {len(lines) - MOST} more"] if len(lines) > MOST else []
    return "\n".join(["What each source gave in this run", *([""] if lines else []), *lines[:MOST], *more])


def _pages(look: Data) -> str:
    failed = f", {look['failed']} failed" if look["failed"] else ""
    return f"{look['fetched']} of {look['requests']}{failed}"


def _changes(look: Data) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in look["changes"].items() if count) or "none"
    return "baseline: no news" if look["baseline"] else f"{kinds}, kept back" if look["held"] else kinds


def found_markdown(found: Sequence[Found]) -> str:
    """What looks found, each with its link."""
    lines = [
        f"- {one.kind}: {link(one.title or one.key, one.url)}{f', {one.day}' if one.day else ''} ({plain(one.source)})"
        for one in found[:MOST]
    ]
    more = [f"- … and {len(found) - MOST} more"] if len(found) > MOST else []
    return "\n".join(["## Found", "", *(lines or ["Nothing new."]), *more])


def issue_markdown(issue: Issue, page: str) -> str:
    """An issue as whoever approves it wants to see it: its milestones, its hash, and the commands."""
    lines = [f"- {link(item.milestone.title, item.milestone.url)} ({item.role})" for item in issue.items]
    lines += [f"- {link(item.milestone.title, item.milestone.url)} (owed to some readers)" for item in issue.owed]
    lines += [f"- without the picture of {plain(one.title)}: {plain(one.why)}" for one in issue.unpictured]
    approve = (f"`milepost issue preview {issue.number}` shows it as it will be sent. To approve exactly this, run the"
               " deployment `approve` with this issue and this hash:")
    return "\n".join([
        f"## Issue {issue.number}: {plain(issue.subject)}", "",
        f"Cadence: {issue.cadence}. State: {issue.state}. Its page, once it is sent: <{page}>", "", *lines, "",
        approve, "", f"    {issue.content_hash}",
    ])


def equation_table(ledger: Data) -> Rows:
    """The ledger's equation: candidates = deliveries by state + exclusions by reason."""
    rows: Rows = [{"what": "candidates", "count": ledger["candidates"]}]
    rows += [{"what": f"delivery: {name}", "count": count} for name, count in ledger["states"].items() if count]
    return rows + [{"what": f"exclusion: {name}", "count": count} for name, count in ledger["exclusions"].items()]


def rereads_table(rereads: Iterable[Data]) -> Rows:
    """One row a field that differs, or would."""
    rows = [
        {"source": one["source"], "key": change["key"], "kind": change["kind"], "field": field["field"],
         "was": _short(field["old"]), "would be" if one["dry_run"] else "is": _short(field["new"])}
        for one in rereads for change in one["changes"] for field in change["fields"]
    ]
    return rows[:MOST]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:120]} …"
