"""Tells operators on channels of their own (mail, chat, push, a webhook), each by Apprise; no newsletter goes this way.

    address, title, body ─▶ Apprise, in a thread with a deadline ─▶ None, or why not; never an exception, never a secret
"""

import logging
import re
import threading
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

DEADLINE_S = 30.0  # Apprise bounds each read, not a server that drips
_ADDRESS = re.compile(r"\S*://\S*")
_STAMP = re.compile(r"^\S+ \S+ - [A-Z]+ - ")  # how Apprise's captured lines begin


@dataclass(frozen=True, slots=True)
class ChannelAddress:
    """An Apprise address (https://github.com/caronc/apprise/wiki); it may hold a password, so it prints as its name."""

    url: str
    place: int  # in the settings, from 1

    @property
    def id(self) -> str:
        """The same as long as the address is."""
        return sha256(self.url.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """How it is told apart without its secrets: "channel 2 (slack)"."""
        scheme = urlsplit(self.url).scheme
        return f"channel {self.place} ({scheme if scheme.isalnum() else 'unreadable'})"

    def __repr__(self) -> str:
        return self.name


def tell(channel: ChannelAddress, title: str, body: str, *, deadline: float = DEADLINE_S) -> str | None:
    """Send one message; None when it was taken, else why it was not."""
    outcome: list[str | None] = []

    def work() -> None:
        try:
            outcome.append(_tell(channel, title, body))
        except Exception as error:  # noqa: BLE001 (a channel's plugin may raise anything, and stops nobody)
            outcome.append(f"its plugin failed: {type(error).__name__}")

    thread = threading.Thread(target=work, name="notice", daemon=True)
    thread.start()
    thread.join(deadline)
    return outcome[0] if outcome else f"no answer within {deadline:g} s"


def _tell(channel: ChannelAddress, title: str, body: str) -> str | None:
    import apprise  # its plugins take seconds to load, and most runs have nothing to tell

    logging.getLogger("apprise").propagate = False  # what it says may hold the address; we say it in our own words
    sender = apprise.Apprise()
    with apprise.LogCapture(level=logging.WARNING) as captured:  # type: ignore[no-untyped-call]
        if not sender.add(channel.url):
            return "it is no address that Apprise knows"
        taken = sender.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT)
        lines = [_STAMP.sub("", line) for line in captured.getvalue().splitlines()]
    if taken:
        return None
    return _ADDRESS.sub("(its address)", " ".join(lines))[:300] or "it was not taken, and no reason was given"
