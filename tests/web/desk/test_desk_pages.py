"""The desk's pages as they are drawn: nothing sticks out, and everybody can read them; by a real browser."""

from pathlib import Path

import pytest

from bench.browser import browser, chromium, page, violations
from bench.desk_pages import PATHS, DeskScenes

pytestmark = [
    pytest.mark.chaos, pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="chromium is not installed (apt-get install chromium)"),
]
MORE = ("/desk/issues", "/desk/milestones", "/desk/readers", "/desk/readers/import", "/desk/suppressions",
        "/desk/letters", "/desk/health", "/desk/settings", "/desk/operators", "/desk/me", "/desk/issues/2/edit",
        "/desk/issues/1/ledger", "/desk/readers/3/erase", "/desk/issues/2?view=text")


def test_every_page_of_the_desk_can_be_read_by_everybody(tmp_path: Path) -> None:
    scenes = DeskScenes(tmp_path)
    pages = {name: scenes.page(name) for name in PATHS} | {path: scenes.page(path, path=path) for path in MORE}
    wrong = []
    with browser() as opened:
        for name, html in pages.items():
            for width, scheme in ((1200, "light"), (375, "dark")):
                with page(opened, html, width=width, scheme=scheme) as shown:  # type: ignore[arg-type]
                    wrong += [(name, scheme, *one) for one in violations(shown)]
                    if (wide := shown.evaluate("document.documentElement.scrollWidth")) > width:
                        wrong.append((name, scheme, f"{wide} pixels wide", ""))
    assert wrong == []
