"""Finds the addresses that a page links to; pure, linear in the page's size whatever it holds."""

import html
import re
from collections.abc import Iterator
from urllib.parse import urljoin

from milepost.records import Snapshot

_HREF = re.compile(
    rb"""\bhref\s{0,4}=\s{0,4}(?:"([^"<>]{1,2048})"|'([^'<>]{1,2048})'|([^"'<>\s]{1,2048}))""", re.IGNORECASE
)
_BASE = re.compile(
    rb"""<base\s[^<>]{0,400}?\bhref\s{0,4}=\s{0,4}(?:"([^"<>]{1,2048})"|'([^'<>]{1,2048})'|([^"'<>\s]{1,2048}))""",
    re.IGNORECASE,
)
_ROOTED = re.compile(r"(?:[a-z][a-z0-9+.-]*:|/)", re.IGNORECASE)


def hrefs(snapshot: Snapshot) -> Iterator[str]:
    """Every address that the page links to: made for `CrawlPlan.links`, where `classify` tells what matters.

    Relative ones start from <base>, else from where the page was had (HTML standard §4.2.3). Of a page whose
    address has no slash at its end both readings are told: our spelling of addresses leaves that slash out.
    """
    base = snapshot.final_url
    if (told := _BASE.search(snapshot.body)) is not None:
        base = _joined(base, _written(told)) or base
        also = None
    else:
        also = None if base.partition("?")[0].endswith("/") else base.partition("?")[0].partition("#")[0] + "/"
    for match in _HREF.finditer(snapshot.body):
        address = _written(match)
        if told is None and _ROOTED.match(address):
            yield address
            continue
        for start in (base, also):
            if start is not None and (whole := _joined(start, address)) is not None:
                yield whole


def _written(match: re.Match[bytes]) -> str:
    """The address that a pattern found, quoted or not."""
    return html.unescape(next(filter(None, match.groups())).decode("utf-8", "replace")).strip()


def _joined(base: str, address: str) -> str | None:
    try:
        return urljoin(base, address)
    except ValueError:
        return None
