"""Whether a browser may be started, said in one sentence before anything is asked for."""

from pathlib import Path

import pytest

from crawler import browser_process
from crawler.browser_process import BrowserProcess, browser_path, environment
from milepost.errors import SettingsError
from milepost.settings import RenderSettings


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with Playwright, no Chromium and a user that is not root; the folder of its programs."""
    monkeypatch.setattr(browser_process, "find_spec", lambda _name: object())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "playwright"))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    return tmp_path


def program(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_where_the_browser_is(machine: Path) -> None:
    own = program(machine, "own")
    debians = program(machine, "chromium")
    assert browser_path(RenderSettings()) == debians
    assert browser_path(RenderSettings(browser=own)) == own
    debians.unlink()
    (machine / "playwright" / "chromium-1200").mkdir(parents=True)
    assert browser_path(RenderSettings()) is None  # Playwright's own


def test_without_a_browser_one_sentence_says_what_to_install(machine: Path) -> None:
    with pytest.raises(SettingsError, match="there is no Chromium") as error:
        browser_path(RenderSettings())
    assert "pip install 'milepost[js]'" in str(error.value)
    with pytest.raises(SettingsError, match="no program at that path"):
        browser_path(RenderSettings(browser=machine / "nothing"))


def test_without_playwright_too(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(machine, "chromium")
    monkeypatch.setattr(browser_process, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match="Playwright is not installed"):
        browser_path(RenderSettings())


def test_root_has_no_sandbox_and_must_say_so(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(machine, "chromium")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(SettingsError, match="no sandbox for root"):
        browser_path(RenderSettings())
    assert browser_path(RenderSettings(sandbox=False)) is not None


def test_the_browser_is_told_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_MAIL__URL", "smtps://ada:secret@relay.example")
    assert "secret" not in "".join(environment("/tmp/home").values())  # noqa: S108 - a name


def test_a_process_that_is_over_is_not_killed_again() -> None:
    import subprocess

    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:  # noqa: S607
        ours = BrowserProcess(process.pid)
        assert ours.memory() >= 0
        ours.kill()
        assert process.wait() == -9
        ours.kill()
