"""Draws what an operator sees in Prefect's own pages: the runs, one that is held, its artifacts, the approval's form.

    python -m bench.prefect_pages [--out docs/pictures]

    sample site ─▶ three runs of `run` on a real server: baseline, held, waits for approval ─▶ Chromium ─▶ prefect-*.png

Wants Debian's `chromium`. The pages are Prefect's and differ from version to version, so no test compares them.
"""

import argparse
import io
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Page

from bench.browser import PICTURES, browser, save
from console.demo.inbox import serve_inbox
from console.demo.play import SETTINGS, SUBSCRIBERS
from console.demo.site.server import SampleSite
from flows.engine import prepare

READY_S = 300.0  # for a server that makes its database first
DRAWN_S = 60.0  # for a page of it
WIDTH, HEIGHT, TALL = 1280, 860, 1500
NAMES = ("runs", "run-held", "looks", "issue", "approve")
STRICT = "[guards]\nsurge_min = 1\nsurge_share = 0.01\n"  # the two that the site publishes wait for a person


def main(arguments: list[str] | None = None) -> None:
    """Draw them; the process ends with 1 where there is no Chromium."""
    parser = argparse.ArgumentParser(prog="python -m bench.prefect_pages", description=__doc__)
    parser.add_argument("--out", type=Path, default=PICTURES, help="the folder for the PNG files")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="milepost-prefect-") as made, _server(Path(made)) as url:
        runs = _play(Path(made))
        with browser() as opened:
            page = opened.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark")
            page.set_default_timeout(DRAWN_S * 1000)
            for name, path, words in _shots(url, runs):
                _draw(page, f"{url}{path}", words, given.out / f"prefect-{name}.png")


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """A Prefect server of its own while open; the environment names it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    prepare(folder / "prefect")
    # its pages ask where they come from
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        command, env={**os.environ, "PREFECT_SERVER_UI_API_URL": "/api"}, stdout=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + READY_S
        while not _answers(f"{url}/api/health"):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit("Prefect's server did not start")
            time.sleep(1)
        os.environ["PREFECT_API_URL"] = f"{url}/api"
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _play(folder: Path) -> dict[str, str]:
    """The main job, until one look is held and one issue waits; name → the id of a run or deployment."""
    from flows.engine import run
    from milepost.dates import utc_now
    from milepost.settings import load
    from pipeline.several import UnfinishedError
    from pipeline.subscribers import By, add
    from pipeline.upkeep import open_or_make

    config = folder / "milepost.toml"
    with SampleSite() as site, serve_inbox(folder / "inbox") as smtp:
        text = SETTINGS.format(folder=folder, site=site.url, smtp=smtp, web="https://news.clockwork.example")
        text = text.replace("[newsletter]", f"{STRICT}[newsletter]\napproval = true")
        config.write_text(text, encoding="utf-8")
        with open_or_make(load(config)) as database:
            for address in SUBSCRIBERS:
                add(database, address, cadence="instant", by=By(who="bench", why="a picture"), now=utc_now())
        for happens in (bool, site.publish, site.go_on):
            happens()
            try:
                run("run", config=str(config))
            except UnfinishedError as error:
                raise SystemExit(f"the play came out otherwise than it must: {error}") from error
    return {"approve": _deployed()}


def _deployed() -> str:
    from flows.decisions import approve

    deployed: Any = approve.to_deployment(
        name="approve", parameters={"config": "/var/lib/milepost/milepost.toml"}, tags=["milepost"],
        description="Freeze a draft: exactly the content of that hash is sent.",
    )
    return str(deployed.apply())


def _shots(url: str, made: dict[str, str]) -> list[tuple[str, str, str]]:
    """(name, path, words that it shows once it is drawn) of each picture."""

    def ask(what: str, body: dict[str, Any]) -> Any:
        return httpx.post(f"{url}/api/{what}/filter", json=body, timeout=30).json()

    runs = ask("flow_runs", {"sort": "START_TIME_DESC"})
    run = next((one for one in runs if one["name"].startswith("run ") and one["state_name"] == "Held"), None)
    if run is None:
        raise SystemExit(f"no run is held: {[(one['name'], one['state_name']) for one in runs]}")
    artifacts = ask("artifacts", {"sort": "ID_DESC"})
    looks = max((one for one in artifacts if one["key"] == "looks" and "kept back" in one["data"]),
                key=lambda one: one["created"], default=None)
    if looks is None:
        raise SystemExit("no table of looks tells of the one that is held")
    issue = next(one for one in artifacts if one["key"].startswith("issue-"))
    return [
        ("runs", "/runs", "run "),
        ("run-held", f"/runs/flow-run/{run['id']}", "Held:"),
        ("looks", f"/artifacts/artifact/{looks['id']}", "clockwork"),
        ("issue", f"/artifacts/artifact/{issue['id']}", "Clockwork"),
        ("approve", f"/deployments/deployment/{made['approve']}/run", "content_hash"),
    ]


def _draw(page: Page, url: str, words: str, target: Path) -> None:
    page.set_viewport_size({"width": WIDTH, "height": TALL if url.endswith("/runs") else HEIGHT})
    page.goto(url, wait_until="networkidle")
    page.get_by_text(words).first.wait_for()
    page.wait_for_timeout(1500)  # graphs draw themselves slowly, and say nothing when they have
    save(Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB"), target)
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
