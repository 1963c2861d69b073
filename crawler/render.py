"""A page as a browser shows it once its scripts have run: one browser a look, a context a page, no way to the network.

    document (had by our fetcher) ─▶ Chromium, by Playwright ─▶ its requests ─ PageRequests ─▶ our fetcher, or refused
                                                             ─▶ at rest, or `render_wait` is there ─▶ its DOM as HTML

The browser is started for the first page and ended with the look, by its process id: on Ctrl-C as well, and when it
hangs over a page. One page is rendered at a time, so that what a page does to its browser befalls that page alone.
"""

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from crawler.browser_process import BrowserProcess, Nowhere, arguments, browser_path, environment
from crawler.client import Answer
from crawler.fetch import Fetcher
from crawler.page_requests import Ask, PageRequests, Scripts
from milepost.errors import FetchError
from milepost.settings import FetchSettings, RenderSettings

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Playwright, Route

_WATCHED_S = 0.2  # between two looks at its memory
_END_S = 5.0  # for the driver to end
_START_S = 60.0  # for the browser to start on a busy machine
_TAKE_S = 5.0  # for the DOM of a page that is at rest
_HINT = "Look at the page in a browser; if its words are there without scripts, take `render` out of the source."
_WITHOUT = """for (const name of ["RTCPeerConnection", "webkitRTCPeerConnection", "WebTransport", "EventSource",
  "SharedWorker"]) { try { delete globalThis[name]; } catch {} }
globalThis.open = () => null;"""
# In a world of its own, which no script of the page has changed. Open shadow roots are written where they are seen.
_DOM = """(most => {
  const root = document.documentElement;
  if (!root) return JSON.stringify({html: ""});
  const empty = document.implementation.createHTMLDocument("");
  const seen = node => node.shadowRoot ? node.shadowRoot.childNodes
    : node.localName === "slot" && node.assignedNodes && node.assignedNodes().length ? node.assignedNodes()
    : node.childNodes;
  const copy = node => {
    const one = empty.importNode(node, node.localName === "template");
    if (node.localName !== "template" && node.nodeType === 1)
      for (const part of seen(node)) if (part.localName !== "style" || !node.shadowRoot) one.append(copy(part));
    return one;
  };
  let html;
  try {
    const shadows = [...document.querySelectorAll("*")].some(one => one.shadowRoot);
    html = (shadows ? copy(root) : root).outerHTML;
  } catch { html = root.outerHTML; }
  return JSON.stringify(html.length > most ? {size: html.length} : {html: "<!doctype html>" + html});
})"""


class UnfitPageError(FetchError):
    """The page can't be read as it was rendered; the browser is well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A page with its scripts run."""

    html: str
    by: str  # "Chromium 156.0.8078.108; 12 requests, 1 refused (for a font)"


class _Running:
    """A browser that runs."""

    def __init__(self, browser: "Browser", process: BrowserProcess) -> None:
        self.browser, self.process = browser, process
        self.over: str | None = None  # why it was ended

    async def watch(self, most: int) -> None:
        """End it when it takes more than so many bytes."""
        while self.over is None:
            if await asyncio.to_thread(self.process.memory) > most:
                self.over = f"it took more than {most // 1024**2} MiB of memory (render.max_memory_mb)"
                self.process.kill()
            else:
                await asyncio.sleep(_WATCHED_S)


class Renderer:
    """Renders the pages of one look; an async context manager."""

    def __init__(self, settings: RenderSettings, *, wait: str | None = None, max_html: int) -> None:
        """`wait`: a CSS selector that fits something on a page which is there; `max_html`: characters of one page.

        Raises SettingsError where nothing can be rendered: said before anything is asked for.
        """
        self._path = browser_path(settings)
        self._settings, self._wait, self._max_html = settings, wait, max_html
        self._turn = asyncio.Lock()
        self._around = AsyncExitStack()
        self._driver: Playwright | None = None
        self._running: _Running | None = None
        self._home = ""
        self._nowhere = 0
        self._scripts = Scripts()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_browser()
        await self._around.aclose()

    async def render(self, document: Answer, ask: Ask) -> Rendered:
        """The page whose `document` was had; what else it wants, `ask` gets. Raises FetchError."""
        async with self._turn:
            running = self._running or await self._start()
            requests = PageRequests(document, ask, self._settings, self._scripts)
            well = False
            try:
                async with asyncio.timeout(self._settings.timeout + _TAKE_S):
                    rendered = await self._render(running, document, requests)
                well = True
            except UnfitPageError:
                well = True
                raise
            except TimeoutError:
                raise self._unfit(document, "it hangs") from None
            finally:
                await requests.close()
                if not well or running.over is not None:
                    self._end_browser()
            return rendered

    def _unfit(self, document: Answer, why: str) -> FetchError:
        why = self._running.over if self._running is not None and self._running.over else why
        return FetchError(f"it could not be rendered: {why}", where=document.url, status=200, hint=_HINT)

    async def _start(self) -> _Running:
        """Raises FetchError."""
        from playwright.async_api import Error, async_playwright

        try:
            if self._driver is None:
                self._nowhere = self._around.enter_context(Nowhere()).port
                self._home = self._around.enter_context(
                    tempfile.TemporaryDirectory(prefix="milepost-browser-", ignore_cleanup_errors=True))
                self._driver = await async_playwright().start()
                self._around.push_async_callback(self._end_driver)
            browser = await self._driver.chromium.launch(
                executable_path=self._path, args=arguments(self._nowhere), env=dict(environment(self._home)),
                chromium_sandbox=self._settings.sandbox, timeout=_START_S * 1000,
                handle_sigint=False, handle_sigterm=False, handle_sighup=False,
            )
            session = await browser.new_browser_cdp_session()
            told = (await session.send("SystemInfo.getProcessInfo"))["processInfo"]
        except (Error, OSError) as error:
            raise FetchError(
                f"the browser could not be started: {str(error).splitlines()[0]}", where=str(self._path or "Chromium"),
                hint="Try it by hand; in a container it may need render.sandbox = false.",
            ) from error
        pid = next(one["id"] for one in told if one["type"] == "browser")
        self._running = _Running(browser, BrowserProcess(pid))
        return self._running

    def _end_browser(self) -> None:
        if self._running is not None:
            self._running.over = self._running.over or "it was ended"
            self._running.process.kill()
            self._running = None

    async def _end_driver(self) -> None:
        """It ends by itself once we hang up: Ctrl-C may have ended it before, so it is not waited for too long."""
        if self._driver is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._driver.stop(), _END_S)

    # --- one page

    async def _render(self, running: _Running, document: Answer, requests: PageRequests) -> Rendered:
        from playwright.async_api import Error
        from playwright.async_api import TimeoutError as LateError

        watch = asyncio.create_task(running.watch(self._settings.max_memory_mb * 1024**2))
        try:
            async with self._page(running, requests) as page:
                showing = asyncio.ensure_future(self._shown(page, document, requests))
                either: set[asyncio.Future[Any]] = {showing, requests.unfit}
                try:
                    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                    if not requests.unfit.done():
                        html, rested = showing.result()
                finally:
                    showing.cancel()
                    await asyncio.gather(showing, return_exceptions=True)
            if requests.unfit.done():
                raise UnfitPageError(requests.unfit.result(), where=document.url, status=200)
        except LateError:
            raise self._unfit(document, f"its scripts hang: it was not there within {self._settings.timeout:g} s"
                              ) from None
        except Error as error:
            why = str(error).splitlines()[0]
            crashed = "crash" in why or "closed" in why
            raise self._unfit(document, "it crashed the browser" if crashed else why) from None
        finally:
            watch.cancel()
        return Rendered(html=html, by=_told(running.browser.version, requests, rested=rested))

    @asynccontextmanager
    async def _page(self, running: _Running, requests: PageRequests) -> "AsyncIterator[Page]":
        """A page of a fresh context: no cookies, no cache, no permission, no file, and no window beside it."""
        context: BrowserContext = await running.browser.new_context(
            service_workers="block", accept_downloads=False, locale="en-US", timezone_id="UTC",
            viewport={"width": 1280, "height": 4000},
        )
        page: Page | None = None

        async def answer(route: "Route") -> None:
            asked = route.request
            with contextlib.suppress(Exception):  # the page may be over meanwhile
                try:
                    main = asked.is_navigation_request() and page is not None and asked.frame == page.main_frame
                except Exception:  # noqa: BLE001 - the frame of a window that isn't there yet
                    main = False
                reply = await requests.reply(asked.resource_type, asked.method, asked.url, main=main)
                if reply is None:
                    await route.abort("blockedbyclient")
                else:
                    await route.fulfill(status=reply.status, headers=dict(reply.headers), body=reply.body)

        async def close(other: "Page") -> None:
            if other is not page and page is not None:
                with contextlib.suppress(Exception):
                    await other.close()

        await context.add_init_script(_WITHOUT)
        await context.route("**/*", answer)
        await context.route_web_socket("**/*", lambda socket: socket.close())
        page = await context.new_page()
        context.on("page", close)
        yield page
        async with asyncio.timeout(_END_S):
            await context.close()

    async def _shown(self, page: "Page", document: Answer, requests: PageRequests) -> tuple[str, bool]:
        """(the page as HTML, whether it is at rest). Raises FetchError, TimeoutError and Playwright's errors."""
        rested = await self._rest(page, document, requests)
        place, html = await self._dom(page, document)
        if urlsplit(place)[:2] != urlsplit(document.url)[:2]:  # made by its scripts, without a request
            requests.end(f"its scripts lead to another page: {place[:500]}")
        return html, rested

    async def _rest(self, page: "Page", document: Answer, requests: PageRequests) -> bool:
        """Wait until the page is there; whether it is at rest. Raises FetchError and Playwright's errors."""
        from playwright.async_api import TimeoutError as LateError

        clock = asyncio.get_running_loop()
        deadline = clock.time() + self._settings.timeout
        await page.goto(document.url, wait_until="domcontentloaded", timeout=self._settings.timeout * 1000)
        left = max(deadline - clock.time(), 0.1)
        try:
            if self._wait is not None:
                await page.wait_for_selector(f"css={self._wait}", state="attached", timeout=left * 1000)
                return True
            await page.wait_for_load_state("networkidle", timeout=min(left, self._settings.timeout / 2) * 1000)
        except LateError:
            if self._wait is not None:
                raise UnfitPageError(
                    f"nothing on it fits {self._wait!r} after {self._settings.timeout:g} s", where=document.url,
                    status=200, hint="Mend `render_wait`, or raise render.timeout if the page is just slow.",
                ) from None
            waiting = requests.unanswered
            if waiting is not None:
                requests.end(f"it still waited for {waiting} after {self._settings.timeout / 2:g} s (render.timeout)")
            return False
        return True

    async def _dom(self, page: "Page", document: Answer) -> tuple[str, str]:
        """(the address that the page has by now, the page as HTML).

        Raises UnfitPageError when it is too long, TimeoutError when it hangs.
        """
        async with asyncio.timeout(_TAKE_S):
            session = await page.context.new_cdp_session(page)
            tree: dict[str, Any] = await session.send("Page.getFrameTree")
            world = await session.send(
                "Page.createIsolatedWorld", {"frameId": tree["frameTree"]["frame"]["id"], "worldName": "milepost"})
            told = await session.send("Runtime.evaluate", {
                "expression": f"{_DOM}({self._max_html})", "contextId": world["executionContextId"],
                "returnByValue": True,
            })
        value: Any = told["result"].get("value")
        found = json.loads(value) if isinstance(value, str) else {}
        if "html" not in found:
            raise UnfitPageError(
                f"it was rendered to {found.get('size', 'too many')} characters, the limit is {self._max_html}",
                where=document.url, status=200,
                hint="If the page is right, raise [fetch] max_body_bytes.",
            )
        return str(tree["frameTree"]["frame"]["url"]), str(found["html"])


async def rendered_answer(
    renderer: Renderer, document: Answer, fetcher: Fetcher, permit: Callable[[str], Awaitable[str]],
    limits: FetchSettings,
) -> tuple[Answer, str]:
    """The answer that a page's DOM would be, and by what it was rendered; what its scripts want `fetcher` gets.

    `permit` raises FetchError for an address that may not be asked, as each redirect is. Raises FetchError.
    """

    async def ask(url: str, most: int) -> Answer:
        got = await fetcher.get(await permit(url), follow=permit, max_body=min(most, limits.max_body_bytes))
        return got.answer

    rendered = await renderer.render(document, ask)
    headers = {**document.headers, "content-type": "text/html; charset=utf-8"}
    return replace(document, body=rendered.html.encode("utf-8", "replace"), headers=headers), rendered.by


def _told(version: str, requests: PageRequests, *, rested: bool) -> str:
    refused = ", ".join(f"{count} {what}" for what, count in sorted(requests.refused.items()))
    asked = f"{requests.asked} requests of its scripts{f', refused: {refused}' if refused else ''}"
    parts = [f"Chromium {version}", asked]
    return "; ".join(parts if rested else [*parts, "taken as it stood, as it was never at rest"])
