"""Finds the addresses that a page links to; pure, linear in the page's size whatever it holds."""

import html
import re
from collections.abc import Iterator

from milepost.records import Snapshot

_HREF = re.compile(rb"""\bhref\s{0,4}=\s{0,4}["']([^"'<>\s]{1,2048})["']""", re.IGNORECASE)


def hrefs(snapshot: Snapshot) -> Iterator[str]:
    """Every href of the page as it stands there: made for `CrawlPlan.links`, where `classify` tells what matters."""
    for match in _HREF.finditer(snapshot.body):
        yield html.unescape(match[1].decode("utf-8", "replace"))
