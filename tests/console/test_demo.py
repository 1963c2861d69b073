"""The demo, played whole without Prefect: what it promises is what it does."""

import email
import json
from email import policy
from pathlib import Path

from tests.console.terminal import milepost


def test_it_ends_with_a_newcomer_who_gets_the_next_issue(tmp_path: Path) -> None:
    done = milepost("demo", "--direct", "--json", "--folder", str(tmp_path / "demo"))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    mails = [
        email.message_from_bytes(Path(one).read_bytes(), policy=policy.default) for one in told["files"]["mails"]
    ]
    theirs = [mail["Subject"] for mail in mails if mail["To"] == told["newcomer"]["address"]]
    assert theirs == ["Please confirm: Clockwork", "Welcome to Clockwork", told["issues"][1]["subject"]]
    assert [ledger["states"]["sent"] for ledger in told["ledgers"]] == [3, 4]
    shown = milepost(
        "--config", told["files"]["settings"], "subscribers", "show", told["newcomer"]["address"], "--json"
    )
    known = json.loads(shown.stdout)
    assert known["consents"][0]["source"] == "page"  # they signed up; nobody added them
    assert [(one["what"], one["state"]) for one in known["story"]] == [
        ("signed up", "confirmed"), ("letter confirm", "sent"), ("confirmed", None), ("letter welcome", "sent"),
        ("issue 2", "sent"),
    ]


def test_a_folder_of_somebody_s_own_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    done = milepost("demo", "--direct", "--folder", str(tmp_path))
    assert done.returncode == 1
    assert "not a demo's" in done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]
