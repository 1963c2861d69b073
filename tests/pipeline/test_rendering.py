"""A page that its scripts fill, from the first try to the mail's evidence, in a real Chromium."""

import json
import os
from pathlib import Path

import pytest

from console.demo.site.server import SampleSite
from crawler.browser_process import browser_path
from milepost.errors import SettingsError
from milepost.settings import RenderSettings
from tests.console.terminal import milepost

SANDBOX = os.geteuid() != 0


def there() -> bool:
    try:
        browser_path(RenderSettings(sandbox=SANDBOX))
    except SettingsError:
        return False
    return True


@pytest.mark.browser
@pytest.mark.skipif(not there(), reason="chromium is not installed (apt-get install chromium)")
def test_a_page_that_its_scripts_fill_is_tried_followed_and_explained(tmp_path: Path) -> None:
    (tmp_path / "milepost.toml").write_text(
        f'[store]\nurl = "sqlite:///milepost.db"\n[render]\nsandbox = {str(SANDBOX).lower()}\n', encoding="utf-8")
    with SampleSite() as site:
        done = milepost("source", "add", f"{site.url}/bench", "--allow-host", "127.0.0.1", "--extractor", "list",
                        "--key", "bench", "--json",
                        cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["added"]["render"] is True
        assert "a place for its scripts to put the rest; with them it has " in told["rendering"]
        assert [one["title"] for one in told["best"]["entries"]] == [
            "It strikes its first hour", "The great wheel is cut", "The escapement is drawn again"]
        looked = milepost("scrape", "bench", "--json", cwd=tmp_path)
        assert looked.returncode == 0, looked.stderr
        look = json.loads(looked.stdout)
        assert (look["milestones"], look["baseline"], look["failures"]) == (3, True, [])
    told = json.loads(milepost("explain", "wheel-cut", "title", "--json", cwd=tmp_path).stdout)
    [one] = told if isinstance(told, list) else [told]
    assert one["snapshot"]["rendered_by"].startswith("Chromium ")
    assert "Rendered   on 20" in milepost("explain", "wheel-cut", "title", cwd=tmp_path).stdout


def test_without_a_browser_a_look_says_so_before_it_asks_for_anything(tmp_path: Path) -> None:
    with SampleSite() as site:
        (tmp_path / "milepost.toml").write_text(
            f'''[store]
url = "sqlite:///milepost.db"
[render]
browser = "{tmp_path}/none"
[[sources]]
key = "bench"
extractor = "list"
base_url = "{site.url}"
allow_hosts = ["127.0.0.1"]
render = true
options = {{ path = "/bench" }}
''', encoding="utf-8")
        done = milepost("scrape", "bench", cwd=tmp_path)
        assert site.requests == 0
    assert done.returncode == 1
    assert "there is no program at that path" in done.stderr
    doctor = milepost("doctor", cwd=tmp_path)
    assert "there is no program at that path" in doctor.stdout + doctor.stderr
