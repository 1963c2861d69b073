"""The commands about issues as an editor types them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import html
from typer.testing import CliRunner, Result

from console.app import app
from milepost.dates import utc_now
from milepost.errors import ConflictError, DeliveryError
from milepost.settings import load
from pipeline.edit import variants
from pipeline.look.scrape import scrape
from pipeline.publish import publish
from store.database import Database
from store.issues.issues import Issues
from tests.html_page import text_of
from tests.pipeline.stage import BreakableSite

Type = Callable[..., Result]


@pytest.fixture
def type_(config: Path) -> Type:
    """Runs one command line; raises what it raised."""
    return lambda *arguments: CliRunner().invoke(app, ["--config", str(config), *arguments], catch_exceptions=False)


@pytest.fixture
def draft(config: Path, news: None) -> int:  # noqa: ARG001 (it comes first)
    """A draft of two milestones that waits for an approval; returns its number."""
    words = config.read_text(encoding="utf-8")
    config.write_text(words.replace("quiet_minutes = 0", "quiet_minutes = 0\napproval = true"), encoding="utf-8")
    [made] = publish(load(config))
    return made.issue.number


def test_a_preview_is_both_parts_and_the_web_page(
    type_: Type, draft: int, config: Path, database: Database, tmp_path: Path
) -> None:
    out = tmp_path / "look"

    said = type_("issue", "preview", str(draft), "--out", str(out)).output

    names = ["issue-1-all.html", "issue-1-all.txt", "issue-1-page.html"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert [line for name in names for line in said.splitlines() if line.endswith(name)] == said.splitlines()
    [variant] = variants(load(config), database, draft, now=utc_now())
    assert (out / names[0]).read_bytes() == variant.html.encode()
    assert (out / names[1]).read_bytes() == variant.text.encode()
    page = text_of(html.fromstring((out / names[2]).read_text(encoding="utf-8")))
    for item in Issues(database).get(draft).items:
        assert item.milestone.why_it_mattered in page
    assert type_("issue", "preview", str(draft)).output == f"{variant.text}\n"
    assert type_("issue", "preview", str(draft), "--html").output == f"{variant.html}\n"


def test_a_preview_can_be_opened(type_: Type, draft: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def launch(url: str) -> int:
        opened.append(Path(url).name)
        return 0

    monkeypatch.setattr("typer.launch", launch)

    type_("issue", "preview", str(draft), "--open", "--out", str(tmp_path / "look"))

    assert opened == ["issue-1-all.html", "issue-1-page.html"]


def test_an_approval_names_one_content(type_: Type, draft: int, database: Database) -> None:
    before = Issues(database).get(draft).content_hash
    type_("issue", "edit", str(draft), "--subject", "Two clocks")

    with pytest.raises(ConflictError, match="its content is"):
        type_("issue", "approve", str(draft), "--hash", before)
    told = json.loads(type_("issue", "approve", str(draft), "--json").output)
    assert told["handed_over_at"] is None

    assert (told["issue"], told["state"], told["deliveries"]) == (draft, "frozen", 3)
    assert told["content_hash"] == Issues(database).get(draft).content_hash != before


def test_without_a_relay_a_draft_stays_a_draft(
    type_: Type, config: Path, site: BreakableSite, database: Database
) -> None:
    """It can still be edited: nothing is frozen for a relay that is not there."""
    settings = load(config)
    scrape(settings, "clockwork")
    site.publish()
    scrape(settings, "clockwork")
    type_("issue", "draft")
    lines = config.read_text(encoding="utf-8").splitlines()
    config.write_text(
        "\n".join('url = "smtp://127.0.0.1:9"' if line.startswith('url = "smtp') else line for line in lines),
        encoding="utf-8",
    )

    with pytest.raises(DeliveryError):
        type_("issue", "send", "1")

    assert Issues(database).get(1).state == "draft"


def test_what_is_deferred_says_when_it_is_tried_again(
    type_: Type, draft: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = type_("issue", "approve", str(draft)).output
    assert "All but its day is as approved: the masthead and Date are of the day it is sent." in said
    told: dict[str, Any] = {
        "issue": draft, "candidates": 3, "deliveries": 3, "exclusions": {}, "states": {"sent": 2, "deferred": 1},
        "state": "sending", "paused": None, "held": [], "next_due": "2026-11-23T10:05:00+01:00",
    }
    monkeypatch.setattr("pipeline.dispatch.sent_to_json", lambda _sent: told)

    said = type_("issue", "send", str(draft)).output

    assert "1 deferred: the next is due at 2026-11-23 09:05 UTC" in said


def test_a_quiet_window_is_told(type_: Type, config: Path, site: BreakableSite) -> None:
    config.write_text(
        config.read_text(encoding="utf-8").replace("quiet_minutes = 0", "quiet_minutes = 30"), encoding="utf-8"
    )
    settings = load(config)
    assert "Nothing new to tell" in type_("issue", "draft").output
    scrape(settings, "clockwork")
    site.publish()
    scrape(settings, "clockwork")

    assert publish(settings) == []
    waits = type_("issue", "draft").output
    assert waits.startswith("2 new for the instant issue, which waits for 20")
    assert "`--now` drafts it at once" in waits
    assert type_("issue", "draft", "--now").output.startswith("Drafted issue 1 (instant, 2 milestones)")
