"""The demo's newcomer, who comes in as any reader does: a form, a mail, its link, a button; nothing goes round the web.

    GET /subscribe ─▶ POST ─▶ a mail in the inbox ─▶ GET /c/… ─▶ POST ─▶ "you are in", and a mail that says so
"""

import email
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin

import httpx
from lxml import html

from milepost.errors import MilepostError

Found = TypeVar("Found")
PATIENCE_S = 60.0  # for the server to start, and for a mail
_LOOK_S = 0.05  # between two looks
_URL = re.compile(r"https?://\S+")


@contextmanager
def web_server(config: Path, address: str, log: Path) -> Iterator[None]:
    """`milepost web` in a process of its own, as an operator starts it; raises MilepostError when it does not serve.

    `address`: "http://127.0.0.1:49152", where it is to listen; `log`: a file for what it says.
    """
    command = [sys.executable, "-m", "milepost", "--config", str(config), "web", "--port", address.rpartition(":")[2]]
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)  # noqa: S603 - our own command
        try:
            def serves() -> bool | None:
                if process.poll() is not None:
                    raise MilepostError("the demo's web server ended by itself", where=str(log), hint="Read that file.")
                try:
                    return httpx.get(f"{address}/subscribe", trust_env=False).is_success or None
                except httpx.TransportError:
                    return None

            wait_for(serves, "the demo's web server to answer", log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def come_in(address: str, *, web: str, inbox: Path, wait: Callable[[float], None] = time.sleep) -> str:
    """Sign `address` up at the pages under `web` and confirm it; returns the heading of the last page.

    Raises MilepostError where a page or a mail is not what it must be.
    """
    from web.public.subscribe import FASTEST_S

    with httpx.Client(base_url=web, trust_env=False) as browser:
        page = browser.get("/subscribe")
        wait(1.1 * FASTEST_S)  # a form that is sent sooner is a program's
        _press(browser, page, email=address)
        asks = wait_for(lambda: next(iter(mails(inbox, address)), None), f"a mail to {address}", inbox)
        link = next((url for url in _URL.findall(_text(asks)) if url.startswith(f"{web}/c/")), None)
        if link is None:
            raise MilepostError("the demo's confirmation has no link", where=str(inbox), hint="Please report this.")
        welcome = _press(browser, browser.get(link))
    wait_for(lambda: len(mails(inbox, address)) > 1 or None, f"a second mail to {address}", inbox)
    return str(html.fromstring(welcome.text).findtext(".//h1"))


def mails(inbox: Path, address: str) -> list[EmailMessage]:
    """What that reader has in the inbox, in the order in which it came."""
    files = sorted(inbox.glob(f"*-{address}.eml"))
    return [email.message_from_bytes(one.read_bytes(), policy=policy.default) for one in files]


def _press(browser: httpx.Client, page: httpx.Response, **filled: str) -> httpx.Response:
    """Fill the page's form in, all else as it stands, and press its button."""
    found = html.fromstring(page.text).iter("form") if page.is_success else ()
    forms = [form for form in found if isinstance(form, html.FormElement)]
    if not forms:
        raise MilepostError(
            f"a page of the demo has no form ({page.status_code})", where=page.url.path, hint="Please report this."
        )
    fields: dict[str, list[str]] = {}
    for name, value in forms[0].form_values():
        fields.setdefault(name, []).append(value)
    fields |= {name: [value] for name, value in filled.items()}
    answer = browser.post(urljoin(str(page.url), forms[0].action or ""), data=fields)
    if not answer.is_success:
        raise MilepostError(
            f"a form of the demo was refused ({answer.status_code})", where=page.url.path, hint="Please report this."
        )
    return answer


def _text(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    return "" if part is None else str(part.get_content())


def wait_for(look: Callable[[], Found | None], what: str, where: Path) -> Found:
    """What `look` finds, as soon as it does; raises MilepostError when PATIENCE_S are over."""
    end = time.monotonic() + PATIENCE_S
    while (found := look()) is None:
        if time.monotonic() > end:
            raise MilepostError(f"the demo waited in vain for {what}", where=str(where), hint="Please report this.")
        time.sleep(_LOOK_S)
    return found
