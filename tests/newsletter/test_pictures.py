"""What is drawn is what the documentation shows, and can be read by everybody; by a real browser, where there is one.

After a change that is meant: `make screenshots`.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat
from playwright.sync_api import Browser

from bench import desk_pages, prefect_pages
from bench.browser import PICTURES, browser, chromium, enlarge, page, violations
from bench.screenshots import SHOTS, Scenes, Shot, shoot

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="chromium is not installed (apt-get install chromium)"),
]
# Machines draw letters a little differently, and a line that breaks elsewhere moves what is below it: pictures are
# compared in tiles of a hundredth of their area, small enough that a letter is a fraction of a pixel.
TILES = (10, 10)
SMALL = 80  # pixels, the width they are compared at
MEAN, WORST, TALLER = 3.0, 8.0, 0.02  # of 255, over all and in a tile; part of the height
COMPARED = [shot for shot in SHOTS if shot.name in {
    "t1-one", "t1-images-off", "t2-eight-light", "t2-eight-dark", "t2-eight-375", "t3-forty-trimmed",
    "t4-corrections-light", "hebrew", "edited-375-dark", "web-choice",
}]
RULES = ("image-alt", "link-name", "color-contrast", "label", "button-name", "html-has-lang")


def font_for(name: str) -> str:
    """The family that stands in for one that a newsletter asks for."""
    found = subprocess.run(["fc-match", "-f", "%{family}", name], capture_output=True, text=True, check=False)  # noqa: S607
    return found.stdout


our_fonts = pytest.mark.skipif(
    chromium() is not None and not font_for("Times New Roman").startswith("Liberation"),
    reason="this machine has other fonts than the pictures were drawn with (apt-get install fonts-liberation)",
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    return Scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def opened(scenes: Scenes) -> Iterator[Browser]:  # noqa: ARG001 - made first: a browser's event loop would be in its way
    with browser() as running:
        yield running


def differences(drawn: Image.Image, golden: Image.Image) -> list[str]:
    """How two pictures differ, [] when they are as good as the same."""
    found = []
    if abs(drawn.height - golden.height) > TALLER * golden.height or drawn.width != golden.width:
        found.append(f"{drawn.size} is not {golden.size}")
    size = (SMALL, max(TILES[1], SMALL * golden.height // golden.width))
    one, other = (picture.convert("RGB").resize(size, Image.Resampling.BOX) for picture in (drawn, golden))
    difference = ImageChops.difference(one, other)
    mean = sum(ImageStat.Stat(difference).mean) / 3
    tiles = difference.resize(TILES, Image.Resampling.BOX).tobytes()  # three bytes a tile
    worst = max(sum(tiles[at : at + 3]) / 3 for at in range(0, len(tiles), 3))
    if mean > MEAN:
        found.append(f"differs by {mean:.1f} of 255")
    if worst > WORST:
        found.append(f"a part differs by {worst:.1f} of 255")
    return found


@our_fonts
@pytest.mark.parametrize("shot", COMPARED, ids=lambda shot: shot.name)
def test_it_looks_as_the_documentation_shows(opened: Browser, scenes: Scenes, shot: Shot) -> None:
    drawn = shoot(opened, shot, scenes.all[shot.shows]())

    assert differences(drawn, Image.open(PICTURES / f"{shot.name}.png")) == [], "meant? then `make screenshots`"


@our_fonts
@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("background-color:#ffffff", "background-color:#f0f0ff", id="another ground"),
        pytest.param("#b5451f", "#0a7d4f", id="another accent"),
        pytest.param("text-align:left", "text-align:right", id="another side"),
        pytest.param("</h2>", "</h2><p>Some more words that nobody meant to say here.</p>" * 3, id="more text"),
        pytest.param("font-size:16px", "font-size:19px", id="larger type"),
        pytest.param("max-width:600px", "max-width:400px", id="narrower"),
    ],
)
def test_a_change_that_was_not_meant_is_seen(opened: Browser, scenes: Scenes, old: str, new: str) -> None:
    shot = next(shot for shot in SHOTS if shot.name == "t2-eight-light")
    html = scenes.all["t2"]()
    assert old in html

    assert differences(shoot(opened, shot, html.replace(old, new)), Image.open(PICTURES / f"{shot.name}.png")) != []


@our_fonts
def test_letters_that_are_drawn_a_little_differently_are_no_difference(opened: Browser, scenes: Scenes) -> None:
    shot = next(shot for shot in SHOTS if shot.name == "t2-eight-light")
    html = scenes.all["t2"]().replace("</head>", "<style>* { letter-spacing: .1px !important }</style></head>")

    assert differences(shoot(opened, shot, html), Image.open(PICTURES / f"{shot.name}.png")) == []


@pytest.mark.parametrize("name", ["t2", "t4", "pictures", "edited", "he", "web", "choice", "archive", "unable"])
def test_everybody_can_read_it(opened: Browser, scenes: Scenes, name: str) -> None:
    with page(opened, scenes.all[name]()) as shown:
        assert violations(shown, *RULES) == []
        shown.emulate_media(color_scheme="dark")
        assert violations(shown, *RULES) == []


def test_what_somebody_could_not_read_is_found(opened: Browser) -> None:
    html = ('<html lang="en"><title>x</title><body><img src="https://p.invalid/x.png"><a href="https://x.invalid/"></a>'
            '<p style="color:#aaa;background:#fff">pale</p><input type="text"></body></html>')

    with page(opened, html) as shown:
        assert {rule for rule, _ in violations(shown, *RULES)} == {
            "image-alt", "link-name", "color-contrast", "label",
        }


def test_what_somebody_could_not_read_at_night_is_found(opened: Browser) -> None:
    html = ('<html lang="en"><title>x</title><style>p { color: #000; background: #fff }'
            '@media (prefers-color-scheme: dark) { p { color: #222; background: #000 } }</style><p>dim</p></html>')

    with page(opened, html) as shown:
        assert violations(shown, *RULES) == []
        shown.emulate_media(color_scheme="dark")
        assert [rule for rule, _ in violations(shown, *RULES)] == ["color-contrast"]


def test_every_picture_of_the_documentation_is_drawn_by_a_command() -> None:
    prefects = {f"prefect-{name}" for name in prefect_pages.NAMES}  # which need a server, and differ with its version
    assert {path.stem for path in Path(PICTURES).glob("*.png")} == {
        shot.name for shot in (*SHOTS, *desk_pages.SHOTS)} | prefects


def test_nothing_sticks_out_on_a_telephone(opened: Browser, scenes: Scenes) -> None:
    for name in ("t1", "pictures", "edited", "t4", "de", "he", "web", "choice", "archive", "unable"):
        with page(opened, scenes.all[name](), width=375) as shown:
            assert shown.evaluate("document.documentElement.scrollWidth") <= 375, name
            enlarge(shown, 2.0)
            assert shown.evaluate("document.documentElement.scrollWidth") <= 375, f"{name}, its text twice as large"
