"""One fuzz target, run as `fuzz_target.py NAME [libFuzzer flags]`: any input gives a result or an error of ours."""

import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["extractors", "crawler"]):
    from crawler import guard, sitemap
    from extractors import registry
    from extractors.charset import decode

from milepost.errors import ExtractError, FetchError
from milepost.records import Page

SITES = {name: registry.get(name) for name in (
    "aitimeline", "sample", "generic", "timelinelist", "keepachangelog", "changelog",
)}
ADDRESSES = {
    "aitimeline": "https://a.example/timeline/x", "sample": "https://a.example/story/x",
    "generic": "https://a.example/timeline/x", "timelinelist": "https://a.example/",
    "keepachangelog": "https://a.example/",
    "changelog": "https://a.example/#1-0-0",
}


def extractor(data: bytes) -> None:
    """Every extractor reads the same bytes as a page, as a listing and as plain text."""
    text = decode(data)
    for name, site in SITES.items():
        page = Page(url=ADDRESSES[name], text=text)
        with suppress(ExtractError):
            site.cards(page)
        with suppress(ExtractError):
            site.read_many(page, source="fuzz")
        with suppress(ExtractError):
            site.read_text(text, source="fuzz", url=page.url)


def sitemaps(data: bytes) -> None:
    """A sitemap is read whole, in part, or refused."""
    try:
        found = sitemap.parse(data, max_body=1_000_000, max_kept=1000, max_seen=10_000, keep=lambda location: location)
    except FetchError:
        return
    assert len(found.locations) <= 1000


def urls(data: bytes) -> None:
    """An address is refused, or leads to http(s) without a user."""
    try:
        target = guard.check_url(data.decode("utf-8", "surrogateescape"))
    except FetchError:
        return
    assert target.url.startswith(("http://", "https://"))


if __name__ == "__main__":
    atheris.Setup(sys.argv[1:], {"extractor": extractor, "sitemaps": sitemaps, "urls": urls}[sys.argv[1]])
    atheris.Fuzz()
