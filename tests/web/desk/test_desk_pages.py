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
# Numbers what a keyboard has to reach, in the order of the page; of a group of radios one is reached.
NUMBER = """() => {
  const all = [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, summary, iframe, [tabindex='0']")];
  const radios = new Set();
  return all.filter((one) => one.checkVisibility() && !one.disabled).filter((one) => {
    if (one.type !== "radio") return true;
    const seen = radios.has(one.name);
    radios.add(one.name);
    return !seen;
  }).map((one, at) => { one.dataset.at = at; return one.outerHTML.slice(0, 90); });
}"""
WHERE = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  const ring = one.matches("iframe") || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2);
  return [one === document.body ? -1 : Number(one.dataset.at ?? -2), ring];
}"""
# Every form of the page is sent by the keyboard: from each of its fields, and by each of its buttons.
CATCH = """() => {
  document.body.tabIndex = -1;  // the keyboard begins at the top, not where it was on the page before
  document.body.focus();
  document.body.removeAttribute("tabindex");
  window.sent = [];
  document.addEventListener("submit", (event) => {
    event.preventDefault();
    window.sent.push(event.submitter?.textContent ?? "");
  });
  for (const one of document.forms) one.noValidate = true;
  for (const one of document.querySelectorAll("details")) one.open = true;
}"""


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


def test_every_page_of_the_desk_is_reached_by_the_keyboard_alone(tmp_path: Path) -> None:
    """Each link, field and button in the order of the page, with a ring around it, and out again at the end."""
    scenes = DeskScenes(tmp_path)
    pages = {name: scenes.page(name) for name in PATHS} | {path: scenes.page(path, path=path) for path in MORE}
    wrong: list[tuple[str, object]] = []
    with browser() as opened:
        for name, html in pages.items():
            with page(opened, html, width=1200) as shown:
                shown.evaluate(CATCH)
                reached, all_ = list[int](), shown.evaluate(NUMBER)
                for _ in range(3 * len(all_) + 100):  # links of the mail in a frame are reached as well
                    shown.keyboard.press("Tab")
                    at, ring = shown.evaluate(WHERE)
                    if at == -1 or (at == 0 and reached):
                        break
                    if not ring:
                        wrong.append((name, f"no ring around {all_[at]}"))
                    if not reached or reached[-1] != at:
                        reached.append(at)
                else:
                    wrong.append((name, f"no way out of {all_[reached[-1]]}"))
                if reached != list(range(len(all_))):
                    missed = [all_[at] for at in range(len(all_)) if at not in reached]
                    wrong.append((name, f"reached {reached}, not {missed}"))
                shown.locator(".skip").focus()
                shown.keyboard.press("Enter")
                if shown.evaluate("document.activeElement.id") != "page":
                    wrong.append((name, "the skip link leads nowhere"))
                for form in shown.locator("form[method=post]").all():
                    for button in form.locator("button").all():
                        button.focus()
                        for key in ("Enter", "Space"):
                            shown.keyboard.press(key)
                    sent = shown.evaluate("window.sent.splice(0)")
                    if len(sent) != 2 * form.locator("button").count():
                        wrong.append((name, f"sent only {sent} of {form.inner_text()}"))
                    for field in form.locator("input:not([type=hidden]):not([type=file])").all():
                        field.focus()
                        shown.keyboard.press("Enter")
                        if len(shown.evaluate("window.sent.splice(0)")) != 1:
                            wrong.append((name, f"Enter sends nothing from {field.get_attribute('name')}"))
    assert wrong == []
