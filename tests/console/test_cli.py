"""The door: exit codes, sentences instead of tracebacks, JSON that scripts rely on, and a quick start."""

import json
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.console.terminal import milepost
from tests.interruptible import interruptible

MILEPOST = [sys.executable, "-W", "error", "-m", "milepost"]

SETTINGS = """
[store]
url = "sqlite:///milepost.db"
[[sources]]
key = "clockwork"
extractor = "sample"
base_url = "https://clockwork.example"
fetch_from = "http://127.0.0.1:9"
allow_hosts = ["127.0.0.1"]
[fetch]
retries = 0
[mail]
url = "smtp://127.0.0.1:9"
from = "Clockwork <news@clockwork.example>"
postal_address = "1 Escapement Row, Exampletown"
[web]
base_url = "https://news.clockwork.example"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "milepost.toml").write_text(SETTINGS, encoding="utf-8")
    return tmp_path


def the_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """What was said on standard error, which must be one line and no traceback."""
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("milepost: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "milepost", "--help"], cwd=tmp_path, capture_output=True, text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not imported & {"prefect", "httpx", "sqlalchemy", "pydantic", "lxml", "bs4", "jinja2", "mjml", "aiosmtpd"}
    assert "scrape" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(("nonsense",), 2, id="no-such-command"),
        pytest.param(("show",), 2, id="argument-missing"),
        pytest.param(("issue", "show", "none"), 2, id="not-a-number"),
        pytest.param(("--version",), 0, id="version"),
    ],
)
def test_calling_it_wrongly_is_exit_code_2(folder: Path, arguments: tuple[str, ...], code: int) -> None:
    done = milepost(*arguments, cwd=folder)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("milestones",), "Run `milepost db upgrade`", id="no-database"),
        pytest.param(("scrape", "elsewhere"), "there is no source 'elsewhere'", id="no-such-source"),
        pytest.param(("changes", "--kind", "odd"), "Choose from added, corrected", id="no-such-kind"),
        pytest.param(("extract", "absent.html"), "absent.html: can't be read", id="no-such-file"),
        pytest.param(("extract", "milepost.toml", "-e", "nobody"), "there is no extractor 'nobody'", id="nobody"),
    ],
)
def test_a_failure_is_one_sentence(folder: Path, arguments: tuple[str, ...], sentence: str) -> None:
    done = milepost(*arguments, cwd=folder)
    assert done.returncode == 1
    assert sentence in the_sentence(done)


def test_without_settings_it_says_how_to_get_some(tmp_path: Path) -> None:
    done = milepost("scrape", cwd=tmp_path)
    assert done.returncode == 1
    assert "Run `milepost init` to write one" in the_sentence(done)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("--config", "."), "is a folder. Name the file in it", id="a-folder"),
        pytest.param(("--config", "no.toml"), "no.toml: there is no such file. Run `milepost init", id="absent"),
        pytest.param(("--config", "broken.toml"), "(at line 2, column 7). Mend that line.", id="not-toml"),
    ],
)
def test_settings_that_can_not_be_read_are_one_sentence(
    folder: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    (folder / "broken.toml").write_text("[mail]\nurl = \n", encoding="utf-8")
    done = milepost(*arguments, "milestones", cwd=folder)
    assert done.returncode == 1
    assert sentence in the_sentence(done)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(f"a = {'[' * 5000}{']' * 5000}", "nest too deeply", id="nested lists"),
        pytest.param(f"a = {'{a=' * 5000}1{'}' * 5000}", "nest too deeply", id="nested tables"),
        pytest.param(".".join("a" * 5000) + " = 1", "nest too deeply", id="a long key"),
        pytest.param(f"sources = {'[' * 300}{']' * 300}", "nest too deeply", id="nested a little"),
        pytest.param(f"[newsletter]\nhour = {'9' * 5000}", "a number is too large", id="5,000 digits"),
        pytest.param(f"[newsletter]\nhour = 0x{'f' * 5000}", "a number is too large", id="hexadecimal"),
        pytest.param(f"# {'x' * 1_000_000}", "is too long for settings", id="a megabyte"),
    ],
)
def test_a_bomb_of_a_settings_file_is_one_sentence(folder: Path, text: str, sentence: str) -> None:
    (folder / "bomb.toml").write_text(text, encoding="utf-8")
    done = milepost("--config", "bomb.toml", "milestones", cwd=folder)
    assert done.returncode == 1
    assert sentence in the_sentence(done)


@pytest.mark.parametrize("command", ["scrape", "run"])
def test_without_a_source_there_is_nothing_to_look_at(tmp_path: Path, command: str) -> None:
    (tmp_path / "milepost.toml").touch()
    done = milepost(command, cwd=tmp_path)
    assert done.returncode == 1
    assert "no source is configured" in the_sentence(done)


def test_a_misspelt_variable_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_GAURDS__SURGE_MIN", "1")
    assert "The nearest is MILEPOST_GUARDS__SURGE_MIN" in the_sentence(milepost("milestones", cwd=folder))


def test_a_database_server_that_is_down_is_said_without_the_driver_s_words(folder: Path) -> None:
    pytest.importorskip("psycopg")
    (folder / "milepost.toml").write_text('[store]\nurl = "postgresql://me:hidden@127.0.0.1:9/x"\n', encoding="utf-8")
    done = milepost("milestones", cwd=folder)
    assert done.returncode == 1
    assert the_sentence(done) == (
        "milepost: postgresql://me:***@127.0.0.1:9/x: the database can't be reached (connection refused). "
        "Start it, or mend [store] url."
    )


def test_ctrl_c_ends_in_a_sentence(folder: Path) -> None:
    milepost("db", "upgrade", cwd=folder)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the call and never answers
        text = SETTINGS.replace("127.0.0.1:9\"\nallow", f"127.0.0.1:{silent.getsockname()[1]}\"\nallow")
        text = text.replace("retries = 0", "retries = 0\ntimeout = 600")
        (folder / "milepost.toml").write_text(text, encoding="utf-8")
        with interruptible():
            looking = subprocess.Popen([*MILEPOST, "scrape"], cwd=folder, stderr=subprocess.PIPE, text=True)
        silent.settimeout(300)
        connection, _ = silent.accept()
        assert connection.recv(4)  # asked, and waiting for the answer
        looking.send_signal(signal.SIGINT)
        _, said = looking.communicate(timeout=300)
        connection.close()
    assert looking.returncode == 130
    assert said.startswith("milepost: stopped. Pages that were fetched are archived")
    assert "Traceback" not in said


def test_init_writes_settings_once(tmp_path: Path) -> None:
    assert milepost("init", cwd=tmp_path).returncode == 0
    second = milepost("init", cwd=tmp_path)
    assert second.returncode == 1
    assert "is there already" in the_sentence(second)


def test_init_writes_into_a_folder_that_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "a site").mkdir()
    assert milepost("init", "a site", cwd=tmp_path).returncode == 0
    assert {one.name for one in (tmp_path / "a site").iterdir()} == {"milepost.toml", "prefect.yaml"}
    second = milepost("init", "a site", cwd=tmp_path)
    assert "a site/milepost.toml: is there already" in the_sentence(second)


def test_init_tightens_the_mode_of_a_file_that_was_there(tmp_path: Path) -> None:
    file = tmp_path / "milepost.toml"
    file.touch()
    file.chmod(0o644)
    assert milepost("init", "--force", cwd=tmp_path).returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600  # the signing key is in it


def test_a_source_that_is_down_fails_without_harm(folder: Path) -> None:
    assert milepost("db", "upgrade", cwd=folder).returncode == 0
    done = milepost("scrape", "--json", cwd=folder)
    assert done.returncode == 1
    assert the_sentence(done).count("could not be reached: connection refused") == 1
    assert the_sentence(done).startswith("milepost: clockwork: ")
    told = json.loads(done.stdout)
    assert (told["source"], told["requests"], told["failures"]) == ("clockwork", None, [told["error"]])
    assert "127.0.0.1:9" in told["error"]
    table = milepost("scrape", cwd=folder)
    assert (table.returncode, "no look" in table.stdout) == (1, True)
    assert "127.0.0.1:9" in the_sentence(table)
    assert milepost("db", "check", cwd=folder).returncode == 0


def test_doctor_names_each_thing_that_is_wrong(folder: Path) -> None:
    milepost("db", "upgrade", cwd=folder)
    done = milepost("doctor", "--json", cwd=folder)
    assert done.returncode == 1
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert findings["database"]["ok"]
    assert findings["sender"]["ok"]
    assert not findings["source clockwork"]["ok"]
    assert "127.0.0.1:9" in findings["mail relay"]["says"]


def test_doctor_sees_that_the_example_s_sender_was_left_as_it_is(tmp_path: Path) -> None:
    milepost("init", cwd=tmp_path)
    findings = {finding["check"]: finding for finding in json.loads(milepost("doctor", "--json", cwd=tmp_path).stdout)}
    assert not findings["sender"]["ok"]
    assert "still the example's" in findings["sender"]["says"]


def test_what_an_import_came_to_is_there_for_scripts(folder: Path) -> None:
    milepost("db", "upgrade", cwd=folder)
    (folder / "in.csv").write_text("address\nada@readers.example\nnobody at all\n", encoding="utf-8")
    done = milepost("subscribers", "import", "in.csv", "--json", cwd=folder)
    told = json.loads(done.stdout)
    assert (done.returncode, told["added"], told["known"]) == (1, 1, 0)
    assert [error["line"] for error in told["errors"]] == [3]


def test_an_import_of_nothing_is_told(folder: Path) -> None:
    milepost("db", "upgrade", cwd=folder)
    for text in ("", "address,cadence\n", "\n\n"):
        (folder / "in.csv").write_text(text, encoding="utf-8")
        done = milepost("subscribers", "import", "in.csv", cwd=folder)
        assert done.returncode == 1
        assert "in.csv: holds no address" in the_sentence(done)


def test_subscribers_come_in_and_out_as_a_file(folder: Path) -> None:
    milepost("db", "upgrade", cwd=folder)
    (folder / "in.csv").write_text(
        "address,cadence,topics\nada@readers.example,weekly,theory tools\nnobody at all,,\ngrace@readers.example,,\n",
        encoding="utf-8",
    )
    done = milepost("subscribers", "import", "in.csv", cwd=folder)
    assert done.returncode == 1
    assert "2 added, 0 were there already, 1 could not be used" in done.stdout
    assert "line 3" in done.stderr
    out = milepost("subscribers", "export", cwd=folder).stdout.splitlines()
    assert [line.split(",")[:4] for line in out[1:]] == [
        ["ada@readers.example", "active", "weekly", "theory tools"],
        ["grace@readers.example", "active", "instant", ""],
    ]


def test_unsubscribing_from_the_command_line(folder: Path) -> None:
    milepost("db", "upgrade", cwd=folder)
    milepost("subscribers", "add", "ada@readers.example", cwd=folder)
    assert milepost("subscribers", "unsubscribe", "ADA@readers.example", cwd=folder).returncode == 0
    listed = json.loads(milepost("subscribers", "list", "--json", cwd=folder).stdout)
    assert listed["state"] == "unsubscribed"


def test_no_way_into_the_list_ends_in_the_dark(folder: Path) -> None:
    def told(*args: str) -> Any:
        return json.loads(milepost(*args, "--json", cwd=folder).stdout)

    milepost("db", "upgrade", cwd=folder)
    ada = "ada@readers.example"
    assert told("subscribers", "add", ada, "--by", "grace")["added"]
    assert told("subscribers", "unsubscribe", ada)["state"] == "unsubscribed"
    done = milepost("subscribers", "add", ada, cwd=folder)
    assert (done.returncode, done.stdout) == (3, "")
    assert "milepost subscribers return" in the_sentence(done)
    assert milepost("subscribers", "return", ada, cwd=folder).returncode == 2  # without a reason
    assert told("subscribers", "return", ada, "--why", "she called", "--by", "grace")["state"] == "active"
    assert told("suppressions", "add", ada, "--why", "a court order")["added"]
    done = milepost("subscribers", "add", ada, cwd=folder)
    assert done.returncode == 3
    assert "suppressed since" in the_sentence(done)
    assert told("suppressions")["address"] == ada
    assert told("subscribers", "show", ada)["suppressed"]["reason"].endswith("a court order")
    assert told("suppressions", "lift", ada, "--why", "overturned", "--by", "grace")["subscriber"] == "active"
    history = told("subscribers", "show", ada)["history"]
    assert [one["action"] for one in history] == ["added", "unsubscribed", "returned", "suppressed", "lifted"]
    assert {one["by"] for one in history if one["action"] in ("added", "returned", "lifted")} == {"grace"}
    assert all(one["by"] for one in history)
    assert told("suppressions", "list", "--history")["history"][-1]["action"] == "lifted"
    assert told("subscribers", "erase", ada, "--why", "asked to be forgotten")["was_subscriber"]
    assert milepost("subscribers", "add", ada, cwd=folder).returncode == 3
    assert ada not in milepost("suppressions", "list", "--history", cwd=folder).stdout
    assert ada not in milepost("subscribers", "export", cwd=folder).stdout


def test_a_blocklist_goes_out_and_comes_in(folder: Path) -> None:
    milepost("db", "upgrade", cwd=folder)
    file = folder / "blocklist.csv"
    file.write_text("email,reason\nbo@readers.example,complained\nnobody,x\n", encoding="utf-8")
    done = milepost("suppressions", "import", str(file), "--why", "moved", "--dry-run", cwd=folder)
    assert (done.returncode, "Nothing is written." in done.stdout, "line 3" in done.stderr) == (1, True, True)
    assert milepost("suppressions", "export", cwd=folder).stdout == "address,reason,since\n"
    done = milepost("suppressions", "import", str(file), "--why", "moved", "--json", cwd=folder)
    assert (done.returncode, json.loads(done.stdout)["added"]) == (1, 1)
    assert milepost("suppressions", "import", str(file), cwd=folder).returncode == 2  # without a reason
    assert milepost("suppressions", "import", str(folder / "none.csv"), "--why", "x", cwd=folder).returncode != 0
    assert "bo@readers.example,complained," in milepost("suppressions", "export", cwd=folder).stdout
    assert json.loads(milepost("suppressions", "export", "--json", cwd=folder).stdout)["reason"] == "complained"
    file.write_text("email,status\nbo@readers.example,subscribed\n", encoding="utf-8")
    assert milepost("suppressions", "import", str(file), "--why", "moved", cwd=folder).returncode == 3


def test_a_list_that_holds_who_left_says_so_and_ends_held(folder: Path) -> None:
    milepost("db", "upgrade", cwd=folder)
    (folder / "in.csv").write_text("E-Mail;Plan\nada@readers.example;1\nbo@readers.example;2\n", encoding="utf-16")
    dry = milepost("subscribers", "import", "in.csv", "--dry-run", cwd=folder)
    assert dry.returncode == 0
    assert "UTF-16, separated by “;”" in dry.stdout
    assert "2 would be added" in dry.stdout
    assert milepost("subscribers", "export", cwd=folder).stdout.count("\n") == 1
    milepost("subscribers", "import", "in.csv", cwd=folder)
    milepost("subscribers", "unsubscribe", "ada@readers.example", cwd=folder)
    done = milepost("subscribers", "import", "in.csv", cwd=folder)
    assert done.returncode == 3
    assert "0 added, 1 were there already, 1 held back" in done.stdout
    assert "line 2: ada@readers.example: has left (since" in done.stderr
