"""Hostile pages in a real Chromium: each harms itself alone, and nothing but our own crawler leaves the machine."""

import asyncio
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from crawler.browser_process import browser_path
from crawler.client import Answer
from crawler.crawl import Fetched
from crawler.render import Rendered, Renderer
from milepost.errors import FetchError, SettingsError
from milepost.settings import RenderSettings
from tests.crawler.conftest import Looking, Web, clock, look, memory, other_web, web
from tests.interruptible import interruptible

__all__ = ["clock", "look", "memory", "other_web", "web"]

SETTINGS = RenderSettings(sandbox=os.geteuid() != 0, timeout=60)


def there() -> bool:
    try:
        browser_path(SETTINGS)
    except SettingsError:
        return False
    return True


pytestmark = [
    pytest.mark.chaos, pytest.mark.browser,
    pytest.mark.skipif(not there(), reason="chromium is not installed (apt-get install chromium)"),
]
# What each way out of the page would reach: a second server, and a socket for datagrams.
WAYS_OUT = """<!doctype html><html><head><title>kites</title>
<link rel="stylesheet" href="/kites.css"><link rel="icon" href="OUT/icon"><link rel="dns-prefetch" href="//OUT.example">
<link rel="preconnect" href="OUT"><link rel="prefetch" href="OUT/prefetch"><link rel="manifest" href="OUT/manifest">
<script src="/kites.js"></script></head><body>
<main id="root"></main><img src="/kite.png" onerror="document.body.className = 'broken'">
<iframe src="OUT/iframe"></iframe><iframe src="file:///etc/passwd"></iframe>
<script>
const out = "OUT", ways = [
  () => fetch(out + "/fetch"), () => fetch("/away"), () => navigator.sendBeacon(out + "/beacon", "x"),
  () => fetch("/api", {method: "POST", body: "x"}), () => fetch("http://169.254.169.254/latest/meta-data/"),
  () => new Worker(URL.createObjectURL(new Blob([`fetch("${out}/worker"); importScripts("${out}/import")`]))),
  () => new SharedWorker(URL.createObjectURL(new Blob([`fetch("${out}/shared")`]))),
  () => navigator.serviceWorker.register("/service.js"), () => new WebSocket(out.replace("http", "ws") + "/ws"),
  () => new EventSource(out + "/events"), () => window.open(out + "/window"), () => alert("seen"),
  () => new RTCPeerConnection({iceServers: [{urls: "stun:STUN"}]}).createDataChannel("x"),
  () => { const f = document.createElement("iframe"); document.body.append(f);
          new f.contentWindow.RTCPeerConnection({iceServers: [{urls: "stun:STUN"}]}).createDataChannel("x"); },
  () => { const s = document.createElement("script"); s.type = "speculationrules";
          s.textContent = JSON.stringify({prefetch: [{urls: [out + "/spec"], source: "list"}]});
          document.head.append(s); },
  () => { const a = document.createElement("a"); a.href = "data:text/html,gone"; a.click(); },
  () => navigator.geolocation.getCurrentPosition(() => document.body.className = "placed"),
];
for (const way of ways) try { Promise.resolve(way()).catch(() => 0); } catch {}
window.onbeforeunload = () => "stay";
</script></body></html>"""
SCRIPT = """document.cookie = "seen=1";
fetch("/kites.json").then(answer => answer.json()).then(kites => {
  document.getElementById("root").innerHTML =
    "<article><h1>Two kites fly</h1>" + kites.map(kite => `<p class=kite>${kite}</p>`).join("") + "</article>";
});"""


@pytest.fixture
def datagrams() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.setblocking(False)
        yield listening


def test_a_page_is_read_as_its_scripts_write_it_and_asks_nobody_but_us(
    web: Web, other_web: Web, look: Looking, datagrams: socket.socket
) -> None:
    host, port = datagrams.getsockname()
    text = WAYS_OUT.replace("OUT", other_web.url).replace("STUN", f"{host}:{port}")
    web.robots("User-agent: *\nDisallow: /away")
    web.pages["/"] = web.reply(200, text, Content_Type="text/html; charset=utf-8", Set_Cookie="in=1")
    web.pages["/kites.js"] = web.reply(200, SCRIPT, Content_Type="text/javascript")
    web.pages["/kites.json"] = web.reply(200, json.dumps(["red", "blue"]), Content_Type="application/json")
    seen = look(render=SETTINGS, classify=lambda path: "milestone" if path == "/" else "other")
    page = seen.outcomes[0]
    assert isinstance(page, Fetched)
    body = page.snapshot.body.decode()
    assert '<p class="kite">red</p><p class="kite">blue</p>' in body
    assert "<body class" not in body  # no picture was broken, nobody was placed
    assert page.document == text.encode()
    assert page.snapshot.headers["content-type"] == "text/html; charset=utf-8"
    assert page.snapshot.rendered_by is not None
    assert page.snapshot.rendered_by.startswith("Chromium ")
    assert "that robots.txt forbids" in page.snapshot.rendered_by
    # style sheets, pictures, frames, workers' files and everything that sends: nobody is asked; data once, no cookie
    assert web.asked == ["/robots.txt", "/", "/kites.js", "/kites.json"]
    assert not any("cookie" in asked.headers for asked in web.log)
    assert set(other_web.asked) <= {"/robots.txt", "/fetch", "/worker", "/import"}  # by us, as robots.txt lets us
    assert all("Milepost" in asked.headers["user-agent"] for asked in other_web.log)
    with pytest.raises(BlockingIOError):
        datagrams.recv(1)


# --- pages that hang, take all there is, or go elsewhere

PLAIN = "<!doctype html><html><body><p>a plain page</p><script>document.body.append('written')</script></body></html>"
HOSTILE: dict[str, tuple[str, str | None, str]] = {  # name: page, what is said of it (None: it is read), what is in it
    "a loop": ("<script>for (;;) {}</script>", "its scripts hang", ""),
    "a loop once it is there": ("<p>x</p><script>setTimeout(() => { for (;;) {} }, 50)</script>", "hangs", ""),
    "a fork of frames": ("""<script>window.f = () => { const i = document.createElement("iframe");
        i.srcdoc = "<script>parent.f()<" + "/script>"; document.body.append(i); setTimeout(f, 0); }; f()</script>""",
        "hangs|too many|memory|crashed", ""),
    "a gigabyte of text": ("""<pre id=r></pre><script>const s = "x".repeat(1 << 20);
        for (let i = 0; i < 1024; i++) r.append(s + i)</script>""", "memory|limit is|hang|crashed", ""),
    "a gigabyte of objects": ("<script>const a = []; for (;;) a.push(new Array(1e6).fill({}))</script>",
                              "memory|hang|crashed", ""),
    "more text than a page has": ("<p id=r></p><script>r.textContent = 'x'.repeat(3e6)</script>",
                                  "rendered to 3000... characters, the limit is 2000000", ""),
    "to this machine": ("<script>location = 'http://127.0.0.1:1/'</script>",
                        "lead to another page: http://127.0.0.1:1/", ""),
    "to the cloud's metadata": ('<meta http-equiv="refresh" content="0;url=http://169.254.169.254/latest/">',
                                "lead to another page: http://169.254.169.254/latest/", ""),
    "to a form": ("<form method=post action=/login><input name=a></form><script>document.forms[0].submit()</script>",
                  "lead to another page: https://kites.example/login", ""),
    "again and again": ("<script>location.reload()</script>", "loads itself again and again", ""),
    "to a file": ("<p>kites</p><script>location = 'file:///etc/passwd'</script>", None, "kites"),
    "to data": ("<p>kites</p><script>location = 'data:text/html,elsewhere'</script>", None, "kites"),
    "to a blob": ("<p>kites</p><script>location = URL.createObjectURL(new Blob(['elsewhere']))</script>",
                  "lead to another page: blob:", ""),
    "a crash": ("<p>kites</p><script>location = 'chrome://crash'</script>", None, "kites"),
    "dialogs": ("""<p id=r></p><script>alert(1); r.textContent = "" + confirm(2) + prompt(3);
        onbeforeunload = () => "stay"</script>""", None, "falsenull"),
    "windows": ("""<p id=r></p><script>for (let i = 0; i < 99; i++) open("https://kites.example/" + i);
        r.textContent = "kites"</script>""", None, "kites"),
    "never at rest": ("<p>kites</p><script>setInterval(() => fetch('/again'), 100)</script>", None, "kites"),
    "its own end": ("<p>kites</p><script>window.close()</script>", None, "kites"),
    "other prototypes": ("""<p>kites</p><script>for (const name of ["outerHTML", "innerHTML"])
        Object.defineProperty(Element.prototype, name, {get() { return "forged"; }});
        JSON.stringify = () => "forged"; document.querySelectorAll = () => { throw 1; };</script>""",
                         None, "kites"),
    "shadows": ("""<x-kite><b slot=name>red</b></x-kite><script>
        customElements.define("x-kite", class extends HTMLElement { constructor() { super();
        this.attachShadow({mode: "open"}).innerHTML = "<style>p {}</style><p>a kite: <slot name=name></slot></p>"; } })
        </script>""", None, "<p>a kite: <slot"),
}


async def nothing(url: str, _most: int) -> Answer:
    return Answer(url=url, status=200, headers={"content-type": "text/plain"}, body=b"")


def page_of(body: str) -> Answer:
    text = body if body.startswith("<!doctype") else f"<!doctype html><html><body>{body}</body></html>"
    headers = {"content-type": "text/html; charset=utf-8"}
    return Answer(url="https://kites.example/list", status=200, headers=headers, body=text.encode())


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_page_harms_itself_alone(name: str) -> None:
    body, why, holds = HOSTILE[name]
    limits = SETTINGS.model_copy(update={"timeout": 12.0, "max_memory_mb": 1024, "max_requests": 10_000})

    async def both() -> tuple[Rendered | FetchError, Rendered]:
        async with Renderer(limits, max_html=2_000_000) as renderer:
            try:
                first: Rendered | FetchError = await renderer.render(page_of(body), nothing)
            except FetchError as error:
                first = error
            return first, await renderer.render(page_of(PLAIN), nothing)

    hostile, after = asyncio.run(both())
    assert "written</body>" in after.html
    if why is None:
        assert isinstance(hostile, Rendered), hostile
        assert holds in hostile.html
    else:
        assert re.search(why, str(hostile)), hostile


def test_a_name_that_changes_its_address_is_judged_each_time(web: Web, look: Looking) -> None:
    """DNS rebinding: public when the page is asked for, this machine when its scripts are."""
    turns: list[str] = []

    async def rebinding(host: str, _port: int) -> list[str]:
        turns.append(host)
        return ["10.0.0.7"] if host == "rebinding.example" else ["127.0.0.1"]

    page = page_of(f"""<p id=r></p><script>fetch("http://rebinding.example:{web.port}/inside")
        .then(a => a.text()).then(t => r.textContent = t).catch(() => r.textContent = "refused")</script>""")
    web.pages["/"] = web.reply(200, page.body, Content_Type="text/html")
    web.pages["/inside"] = web.reply(200, "secret", Content_Type="text/plain")
    seen = look(render=SETTINGS, resolver=rebinding, classify=lambda path: "milestone" if path == "/" else "other")
    page_had = seen.outcomes[0]
    assert isinstance(page_had, Fetched)
    assert b'<p id="r">refused</p>' in page_had.snapshot.body
    assert "rebinding.example" in turns
    assert "/inside" not in web.asked


def test_a_page_that_crashes_its_browser_is_the_only_one_that_fails(web: Web, look: Looking) -> None:
    """The browser itself is killed over one page; the next has a new one."""
    killed: list[int] = []

    def kill(_asked: Any) -> Any:
        for pid in browsers(os.getpid()):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        return web.reply(200, "", Content_Type="text/javascript")

    web.milestones("bad", "good")
    bad = page_of('<script src="/kill.js"></script>')
    web.pages["/timeline/bad"] = web.reply(200, bad.body, Content_Type="text/html")
    web.pages["/kill.js"] = kill
    seen = look(render=SETTINGS, concurrency=1)
    assert killed
    assert "could not be rendered" in seen.why("/timeline/bad")
    assert b"<h1>good</h1>" in seen.body("/timeline/good")


# --- the end of the browser, whatever ends the look

LOOK = """
import asyncio, sys
from crawler.client import Answer
from crawler.render import Renderer
from milepost.settings import RenderSettings

async def ask(url, most):
    print("asked", flush=True)
    await asyncio.Event().wait()

async def main():
    page = Answer(url="https://kites.example/", status=200, headers={"content-type": "text/html"},
                  body=b'<!doctype html><html><body><script src="/a.js"></script></body></html>')
    async with Renderer(RenderSettings(sandbox=%r, timeout=300), max_html=1000) as renderer:
        await renderer.render(page, ask)

asyncio.run(main())
"""


def browsers(parent: int) -> list[int]:
    """The process ids of the Chromiums below a process."""
    told = subprocess.run(["ps", "-wweo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout  # noqa: S607
    rows = [line.split(None, 2) for line in told.splitlines()]
    below = {parent}
    for _ in range(4):
        below |= {int(row[0]) for row in rows if int(row[1]) in below}
    return [int(row[0]) for row in rows
            if int(row[0]) in below and "--remote-debugging-pipe" in row[2] and "--type=" not in row[2]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_browser_outlives_its_look(number: int) -> None:
    with interruptible():
        look = subprocess.Popen([sys.executable, "-c", LOOK % SETTINGS.sandbox], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, start_new_session=True)
    with look as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"asked\n"
            [pid] = browsers(process.pid)
            over = os.pidfd_open(pid)
            if number == signal.SIGINT:
                os.killpg(process.pid, number)  # as a terminal does: Playwright's own driver hears it too
            else:
                process.send_signal(number)
            assert process.wait(60) != 0
            assert select.select([over], [], [], 60)[0], f"the browser {pid} outlived its look"
            os.close(over)
        finally:
            process.kill()
