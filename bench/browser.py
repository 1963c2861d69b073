"""Headless Chromium for pictures and checks on what is seen: Debian's, driven by Playwright, without a network.

    HTML ─▶ page (width, colours, text size) ─▶ PNG, what axe-core finds, or whatever a check asks of the page
"""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

Scheme = Literal["light", "dark"]
PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
_COLOURS = 96  # of a picture: enough for one accent and the edges of letters
_FLAGS = ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none", "--disable-lcd-text",
          "--force-color-profile=srgb"]
_LARGER = """factor => {
  const all = [...document.body.querySelectorAll("*")];
  const sizes = all.map(one => [getComputedStyle(one).fontSize, getComputedStyle(one).lineHeight]);
  all.forEach((one, place) => {
    const [size, line] = sizes[place].map(parseFloat);
    one.style.setProperty("font-size", size * factor + "px", "important");
    if (line) one.style.setProperty("line-height", line * factor + "px", "important");
  });
}"""


def chromium() -> str | None:
    """The program, None where it is not installed."""
    return shutil.which("chromium")


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser while open; raises RuntimeError where there is none."""
    program = chromium()
    if program is None:
        raise RuntimeError("chromium is not installed; on Debian: apt-get install chromium")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=_FLAGS)
        yield opened
        opened.close()


@contextmanager
def page(
    opened: Browser, html: str, *, width: int = 700, scheme: Scheme = "light", text: float = 1.0
) -> Iterator[Page]:
    """A page of that HTML, so many CSS pixels wide; `text` enlarges the text alone, as mail programs do.

    Whatever it asks of the network is refused: pictures are off. The window is the browser's one, kept from page to
    page: a new one is a process of its own, and half a second of the processor's time.
    """
    shown = opened.contexts[0].pages[0] if opened.contexts else _window(opened)
    shown.set_viewport_size({"width": width, "height": 900})
    shown.emulate_media(color_scheme=scheme)
    shown.set_content(html, wait_until="load")
    if text != 1.0:
        enlarge(shown, text)
    yield shown


def _window(opened: Browser) -> Page:
    context = opened.new_context()
    context.route("**/*", lambda route: route.abort())
    return context.new_page()


def enlarge(shown: Page, factor: float) -> None:
    """Make the text of an open page so many times as large, and nothing else."""
    shown.evaluate(_LARGER, factor)


def violations(shown: Page, *rules: str) -> list[tuple[str, str]]:
    """What axe-core finds of these rules, () of all: (the rule, HTML of the place).

    It is put into the page once, and what it found to be right stays there: both are most of what an examination costs.
    """
    if not shown.evaluate("() => 'axe' in window"):
        shown.evaluate(Axe().axe_script)
    options: dict[str, Any] = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    found = shown.evaluate("async options => (await axe.run(document, options)).violations", options)
    return [(one["id"], node["html"]) for one in found for node in one["nodes"]]


def draw(opened: Browser, html: str, *, width: int = 700, scheme: Scheme = "light", text: float = 1.0) -> Image.Image:
    """The whole page as a picture."""
    with page(opened, html, width=width, scheme=scheme, text=text) as shown:
        if len(shown.frames) > 1:  # a frame is painted by a process of its own, and only while a window shows it
            if width < _NARROW:  # there it stands below all else, and its height is not the window's
                tall = int(shown.evaluate("() => document.documentElement.scrollHeight"))
                shown.set_viewport_size({"width": width, "height": tall})
            for frame in shown.frames:
                frame.wait_for_load_state("load")
            shown.screenshot(full_page=True, animations="disabled")
            shown.evaluate(_PAINTED)
        raw = shown.screenshot(full_page=True, animations="disabled")
    return Image.open(io.BytesIO(raw)).convert("RGB")


_NARROW = 480  # CSS pixels
_PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 250))))"


def save(picture: Image.Image, path: Path) -> None:
    """As a small PNG."""
    few = picture.quantize(colors=_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
