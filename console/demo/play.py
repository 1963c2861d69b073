"""The demo: the sample site, a real SMTP inbox, and the main job between them, all in one folder on loopback.

    baseline (nobody is mailed) ─▶ the site publishes two and corrects one ─▶ second look ─▶ issue ─▶ three mails
    a stranger signs up on the web and confirms ─▶ the site goes on ─▶ third look ─▶ issue ─▶ four mails
"""

import os
import shlex
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from console.demo.decisions import OPERATOR, leave, sent_once_approved
from console.demo.inbox import serve_inbox
from console.demo.newcomer import come_in, mails, web_server
from console.demo.site.server import SampleSite
from console.output import print_json, print_table
from milepost.dates import utc_now
from milepost.errors import InputError, MilepostError
from milepost.settings import Settings, load

NEWCOMER = "mary@readers.example"
SUBSCRIBERS = ("ada@readers.example", "grace@readers.example", "zoe@bücher.example")
OURS = ("milepost.toml", "milepost.db", "milepost.db-wal", "milepost.db-shm", "inbox", "issue", "web.log")
SETTINGS = """\
# The demo's settings; `milepost --config {folder}/milepost.toml …` works on what it left behind.
[store]
url = "sqlite:///milepost.db"
[[sources]]
key = "clockwork"
extractor = "sample"
base_url = "https://clockwork.example"
fetch_from = "{site}"
allow_hosts = ["127.0.0.1"]
[mail]
url = "smtp://127.0.0.1:{smtp}"
from = "Clockwork <news@clockwork.example>"
postal_address = "1 Escapement Row, Exampletown"
[newsletter]
name = "Clockwork"
tagline = "The history of keeping time, as it is written."
accent = "#b5451f"
quiet_minutes = 0
[web]
base_url = "{web}"
"""


@dataclass
class Stage:
    """Runs one step after another, through Prefect or directly, and remembers how each went."""

    settings: Settings
    config: Path
    direct: bool
    runs: list[tuple[str, str, str, float]] = field(default_factory=list)  # name, state, engine, seconds

    def play(self, name: str, flow: str, call: Callable[[], Any], **parameters: Any) -> Any:
        """Run the step `name`; `call` is what the flow `flow` calls too."""
        start = time.perf_counter()
        if self.direct:
            result, state, run = call(), "Completed", "direct"
        else:
            from flows.engine import run_named

            result, state, run = run_named(flow, name, config=str(self.config), **parameters)
        self.runs.append((name, state, run, round(time.perf_counter() - start, 1)))
        return result


def _clear(folder: Path) -> None:
    """Remove what an earlier demo left, and nothing else; Prefect's home stays, it starts faster a second time."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "milepost.toml").exists():
        raise InputError("holds something that is not a demo's", where=str(folder), hint="Choose another --folder.")
    for name in OURS:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)


def play(folder: Path, *, direct: bool, keep: bool, as_json: bool) -> None:
    """Play the demo in `folder`; raises MilepostError when anything comes out otherwise than it must."""
    say: Callable[[str], None] = (lambda _line: None) if as_json else typer.echo
    folder = folder.resolve()
    _clear(folder)
    from web.serve import free_port

    with ExitStack() as stack:
        site = stack.enter_context(SampleSite())
        port = stack.enter_context(serve_inbox(folder / "inbox"))
        web = f"http://127.0.0.1:{free_port()}"
        config = folder / "milepost.toml"
        config.write_text(SETTINGS.format(folder=folder, site=site.url, smtp=port, web=web), encoding="utf-8")
        settings = load(config)
        stage = Stage(settings=settings, config=config, direct=direct)
        if not direct:
            from flows.engine import prepare

            prepare(folder / "prefect")
            say("Starting Prefect (an empty home takes it half a minute; `milepost demo --direct` does without) …")
        summary = _act(stage, site, folder, say)
        _check(summary)
        summary |= _write_issue(settings, folder)
        if as_json:
            print_json(summary)
        else:
            _tell(summary, stage, folder)
        if keep:
            _keep(stage, site, port, say)


def _act(stage: Stage, site: SampleSite, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    from pipeline.upkeep import upgrade

    settings = stage.settings
    upgrade(settings)
    _subscribe(settings)
    first = _look(stage, "baseline")
    say(f"1  baseline      {first['milestones']} milestones on record, nobody mailed")
    site.publish()
    site.edit()
    say("2  the site      publishes two milestones, corrects one, and deploys: every page's bytes differ")
    second = _look(stage, "second look")
    say(f"3  second look   {counts(second['changes'])}")
    issues, ledgers = _mail(stage, "")
    _say_mailed(say, 4, issues, ledgers)
    with web_server(stage.config, settings.web.base_url, folder / "web.log"):
        welcome = come_in(NEWCOMER, web=settings.web.base_url, inbox=folder / "inbox")
    say(f"6  sign-up       {NEWCOMER} fills in the form on the web; a mail comes; its link's button says: {welcome}")
    site.go_on()
    say("7  the site      publishes one more")
    third = _look(stage, "third look")
    say(f"8  third look    {counts(third['changes'])}")
    more_issues, more_ledgers = _mail(stage, ", again")
    _say_mailed(say, 9, more_issues, more_ledgers)
    tried = _scripts(settings, site)
    say(f"11 a page of      its scripts ({site.url}/bench): {tried['says']}")
    received = [str(mail["Subject"]) for mail in mails(folder / "inbox", NEWCOMER)]
    say(f"   {NEWCOMER} has {len(received)} mails: {'; '.join(received)}")
    return {"looks": [first, second, third], "issues": [*issues, *more_issues], "ledgers": [*ledgers, *more_ledgers],
            "requests": sum(look["requests"] for look in (first, second, third)),
            "scripts": tried, "newcomer": {"address": NEWCOMER, "page": welcome, "mails": received},
            "runs": [{"step": name, "state": state, "run": run, "seconds": seconds}
                     for name, state, run, seconds in stage.runs]}


def _scripts(settings: Settings, site: SampleSite) -> dict[str, Any]:
    """What the site's page that its scripts fill reads as, in a browser where there is one; nothing of it is stored."""
    from pipeline.new_source import try_address

    # Chromium has no sandbox for root; the page is our own
    render = settings.render.model_copy(update={"sandbox": settings.render.sandbox and os.geteuid() != 0})
    trial = try_address(f"{site.url}/bench", now=utc_now, fetch=settings.fetch, render=render,
                        allow_hosts=("127.0.0.1",), extractor="list")
    found = trial.best.found if trial.best is not None else 0
    return {"milestones": found, "says": f"{trial.rendering}, {found} milestones" if found else trial.rendering}


def _look(stage: Stage, name: str) -> dict[str, Any]:
    from pipeline.look import scrape

    [report] = stage.play(
        name, "scrape", lambda: [scrape.report_to_json(scrape.scrape(stage.settings, "clockwork"))]
    )
    found: dict[str, Any] = report
    return found


def _mail(stage: Stage, which: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Publish and dispatch: the issues that were made, and how the ledger stands of each that was sent."""
    from pipeline import dispatch, publish

    settings = stage.settings
    issues = stage.play(
        f"publish{which}", "publish", lambda: [publish.made_to_json(made) for made in publish.publish(settings)]
    )
    ledgers = stage.play(
        f"dispatch{which}", "dispatch",
        lambda: [dispatch.sent_to_json(dispatch.dispatch(settings, number)) for number in dispatch.waiting(settings)],
    )
    return issues, ledgers


def _say_mailed(
    say: Callable[[str], None], step: int, issues: list[dict[str, Any]], ledgers: list[dict[str, Any]]
) -> None:
    for issue in issues:
        say(f"{step}  publish       issue {issue['issue']}: {issue['subject']}")
    for ledger in ledgers:
        say(f"{step + 1:<2} dispatch      {counts(ledger['states'])}")


def counts(of: dict[str, int]) -> str:
    """What there is any of: "2 added, 1 corrected"."""
    return ", ".join(f"{count} {name}" for name, count in of.items() if count)


def _subscribe(settings: Settings) -> None:
    from pipeline.subscribers import By, add
    from pipeline.upkeep import open_database

    with open_database(settings) as database:
        for address in SUBSCRIBERS:
            add(database, address, cadence="instant", by=By(who="the demo", why="it is a demo"), now=utc_now())


def _check(summary: dict[str, Any]) -> None:
    """The demo is a promise: two added, one corrected, an issue to three; a newcomer, one added, an issue to four."""
    looks, received = summary["looks"], summary["newcomer"]["mails"]
    found = [counts(look["changes"]) for look in looks[1:]]
    sent = [ledger["states"].get("sent", 0) for ledger in summary["ledgers"]]
    failures = [sentence for look in looks for sentence in look["failures"]]
    expected = (
        looks[0]["baseline"] and found == ["2 added, 1 corrected", "1 added"]
        and sent == [len(SUBSCRIBERS), len(SUBSCRIBERS) + 1]
        and received[2:] == [summary["issues"][-1]["subject"]]  # after the mail that asked and the one that welcomes
    )
    if failures or not expected:
        raise MilepostError(
            f"the demo came out otherwise than it must: changes {found}, sent {sent}, the newcomer has {received}, "
            f"failures {failures or 'none'}",
            hint="Please report this.",
        )


def _write_issue(settings: Settings, folder: Path) -> dict[str, Any]:
    """Both parts of the issue, as its readers got them, into files that are easy to open."""
    from pipeline.edit import variants
    from pipeline.upkeep import open_database

    (folder / "issue").mkdir(exist_ok=True)
    with open_database(settings) as database:
        [variant] = variants(settings, database, 1, now=utc_now())
    paths = {"html": folder / "issue" / "issue-1.html", "text": folder / "issue" / "issue-1.txt"}
    paths["html"].write_text(variant.html, encoding="utf-8")
    paths["text"].write_text(variant.text, encoding="utf-8")
    return {"files": {name: str(path) for name, path in paths.items()}
            | {"mails": [str(path) for path in sorted((folder / "inbox").glob("*.eml"))],
               "database": str(folder / "milepost.db"), "settings": str(folder / "milepost.toml")}}


def _tell(summary: dict[str, Any], stage: Stage, folder: Path) -> None:
    typer.echo()
    columns = ("step", "state", "flow run" if not stage.direct else "engine", "seconds")
    print_table("", columns, [(run["step"], run["state"], run["run"], str(run["seconds"])) for run in summary["runs"]],
                empty="")
    typer.echo(f"\nRequests    {summary['requests']}"
               f"\nMilestones  {summary['looks'][-1]['milestones']}"
               f"\nChanges     2 added, 1 corrected (it was in no mail yet, so no mail corrects it); 1 added")
    for number, ledger in enumerate(summary["ledgers"], 1):
        typer.echo(f"Issue {number}     {ledger['candidates']} candidates = {ledger['deliveries']} deliveries "
                   f"({counts(ledger['states'])})")
    typer.echo()
    typer.echo("Look at")
    for name in ("html", "text", "database"):
        typer.echo(f"  {name:<9} {summary['files'][name]}")
    for path in summary["files"]["mails"]:
        typer.echo(f"  {'mail':<9} {path}")
    typer.echo(f"  {'or':<9} {who_got_it(folder)}")


def who_got_it(folder: Path) -> str:
    """The command that asks the demo's ledger, as a shell takes it, whatever its folder is called."""
    return shlex.join(["milepost", "--config", str(folder / "milepost.toml"), "ledger", "1", "--state", "sent"])


def _keep(stage: Stage, site: SampleSite, smtp: int, say: Callable[[str], None]) -> None:
    """As `milepost up` runs it, with the demo's runs on Prefect's pages; without Prefect the readers' pages alone."""
    from console.commands.up import LOOPBACK, serve_all
    from web.serve import free_port, serve

    settings, link = leave(site, stage.config)
    web, prefect_port = settings.web.base_url, free_port()
    port = int(web.rsplit(":", 1)[1])
    say("\nServing until Ctrl-C" + (":" if stage.direct else ", as `milepost up` does; wait for its \"Ready\":"))
    say(f"  the site   {site.url}\n  the issue  {web}/issues/1\n"
        f"  the inbox  smtp://127.0.0.1:{smtp}\n"
        f"  the desk   {link}\n"
        f"             a draft and a held look wait there; the link sets {OPERATOR}'s password, once")
    with sent_once_approved(settings):
        if stage.direct:
            serve(settings, host=LOOPBACK, port=port)
        else:
            from flows.engine import end_own_server

            end_own_server()
            serve_all(stage.config, host=LOOPBACK, port=port, prefect_port=prefect_port)
