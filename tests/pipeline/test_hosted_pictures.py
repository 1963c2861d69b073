"""Pictures that our own pages serve: what is taken, what is refused and why, and when one goes again."""

import asyncio
import io
import logging
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import httpx
import pytest
from lxml import html
from PIL import Image

from crawler.client import Answer
from milepost.dates import utc_now
from milepost.records import Image as Shown
from milepost.records import Milestone
from milepost.settings import Settings
from newsletter.issue.known import known_from
from pipeline.edit import approve
from pipeline.pictures import WIDTH, hosted, make_small, take_down
from pipeline.publish import publish, rendered
from pipeline.readers_pages import behind
from store.database import Database
from store.issues.issues import Issues
from store.issues.pictures import Pictures
from tests.console.terminal import milepost
from tests.html_page import elements
from web.app import create_app

BASE = "https://clockwork.example"


def drawn(form: str, size: tuple[int, int] = (1600, 800), **more: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGBA" if form == "PNG" else "RGB", size, "teal").save(out, form, **more)  # type: ignore[arg-type]
    return out.getvalue()


def animated() -> bytes:
    return drawn("GIF", (64, 64), save_all=True, append_images=[Image.new("RGB", (64, 64), "red")], duration=80)


def bomb() -> bytes:
    """A PNG of a hundred bytes that says it is 50,000 pixels wide and high."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("form", "told", "served"), [
    ("JPEG", "image/jpeg", "image/jpeg"), ("PNG", "image/png; x=y", "image/png"), ("GIF", "image/gif", "image/png"),
    ("WEBP", "image/webp", "image/jpeg"),
])
def test_a_picture_is_made_small_and_of_a_kind_that_mails_show(form: str, told: str, served: str) -> None:
    small = make_small(Answer(url="x", status=200, headers={"content-type": told}, body=drawn(form)))
    assert (small.media_type, small.width, small.height) == (served, WIDTH, WIDTH // 2)
    assert Image.open(io.BytesIO(small.data)).size == (WIDTH, WIDTH // 2)


@pytest.mark.parametrize(("body", "told", "why"), [
    (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml", "no picture that can be read"),
    (drawn("JPEG", (90, 90)), "image/png", "says that it is image/png and is image/jpeg"),
    (drawn("JPEG", (90, 90)), "", "says that it is nothing"),
    (animated(), "image/gif", "animated"),
    (bomb(), "image/png", "no picture that can be read|pixels, more than"),
    (drawn("PNG", (1, 1)), "image/png", "too small to be seen"),
    (drawn("JPEG")[:900], "image/jpeg", "no picture that can be read"),
    (b"", "image/jpeg", "no picture that can be read"),
], ids=["svg", "another type", "no type", "animated", "bomb", "pixel", "cut", "empty"])
def test_what_is_no_picture_for_a_mail_is_none(body: bytes, told: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make_small(Answer(url="x", status=200, headers={"content-type": told}, body=body))


class Gallery:
    """A site's pictures, which a test may change."""

    def __init__(self) -> None:
        self.bodies: dict[str, tuple[int, str, bytes]] = {}
        self.asked: list[str] = []
        gallery = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gallery.asked.append(self.path)
                status, kind, body = gallery.bodies.get(self.path, (404, "text/plain", b""))
                self.send_response(status)
                self.send_header("Location" if status == 302 else "Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def gallery() -> Iterator[Gallery]:
    made = Gallery()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def hosting(settings: Settings, gallery: Gallery, news: None) -> Settings:  # noqa: ARG001 (it comes first)
    """Settings that host pictures; the site is read from the gallery."""
    [source] = settings.sources
    return settings.model_copy(update={
        "newsletter": settings.newsletter.model_copy(update={"images": "hosted"}),
        "sources": (source.model_copy(update={"base_url": BASE, "fetch_from": gallery.url}),),
        "fetch": settings.fetch.model_copy(update={"retries": 0}),
    })


def told(settings: Settings, path: str, key: str = "one") -> Milestone:
    return Milestone(source=settings.sources[0].key, key=key, url=f"{BASE}/{key}", title="One",
                     image=Shown(url=f"{BASE}{path}", alt="A dial"))


def test_what_can_not_be_had_is_a_notice_and_the_others_are_served(
    hosting: Settings, database: Database, gallery: Gallery, caplog: pytest.LogCaptureFixture
) -> None:
    gallery.bodies = {
        "/good.jpg": (200, "image/jpeg", drawn("JPEG")),
        "/huge.jpg": (200, "image/jpeg", b"\xff\xd8" + bytes(40_000_000)),
        "/down.jpg": (503, "image/jpeg", b""),
    }
    outside = Milestone(source=hosting.sources[0].key, key="in", url=BASE, title="x",
                        image=Shown(url="http://169.254.169.254/latest/meta-data", alt=""))
    records = [told(hosting, path, path[1:4]) for path in ("/good.jpg", "/huge.jpg", "/down.jpg", "/none.jpg")]

    with caplog.at_level(logging.WARNING):
        found = hosted(hosting, database, [*records, outside], utc_now())

    assert found.pictures.keys() == {f"{BASE}/good.jpg"}
    assert [word in caplog.text for word in ("no picture for hug", "no picture for dow", "no picture for non",
                                             "no picture for in:")] == [True] * 4
    assert [(one.key, why in one.why) for one, why in zip(
        found.missing, ("more than 8388608 bytes", "answered 503", "answers 404", "169.254.169.254"), strict=True
    )] == [("hug", True), ("dow", True), ("non", True), ("in", True)], found.missing
    assert hosted(hosting, database, records[:1], utc_now()).pictures == found.pictures  # once is enough
    off = hosting.model_copy(update={"newsletter": hosting.newsletter.model_copy(update={"images": True})})
    assert hosted(off, database, records, utc_now()) == ({}, ())


def test_a_picture_that_robots_txt_forbids_is_not_asked_for(
    hosting: Settings, database: Database, gallery: Gallery
) -> None:
    gallery.bodies = {
        "/robots.txt": (200, "text/plain", b"User-agent: milepost\nDisallow: /private/\n"),
        "/private/a.jpg": (200, "image/jpeg", drawn("JPEG")), "/b.jpg": (200, "image/jpeg", drawn("JPEG")),
        "/c.jpg": (302, "/private/a.jpg", b""),  # nor where an open door leads to it
    }
    records = [told(hosting, path, path) for path in ("/private/a.jpg", "/b.jpg", "/c.jpg")]

    found = hosted(hosting, database, records, utc_now())

    assert found.pictures.keys() == {f"{BASE}/b.jpg"}
    assert [(one.key, one.why) for one in found.missing] == [
        (path, "robots.txt forbids us to ask for it") for path in ("/private/a.jpg", "/c.jpg")
    ]
    assert gallery.asked == ["/robots.txt", "/b.jpg", "/c.jpg"]  # robots.txt once for all


def test_what_robots_txt_forbids_by_now_is_served_no_more_and_a_site_in_trouble_forbids_nothing(
    hosting: Settings, database: Database, gallery: Gallery
) -> None:
    gallery.bodies["/a.jpg"] = (200, "image/jpeg", drawn("JPEG"))
    [one] = hosted(hosting, database, [told(hosting, "/a.jpg")], utc_now()).pictures.values()
    [source] = hosting.sources
    gallery.bodies["/robots.txt"] = (503, "text/plain", b"")
    assert take_down(hosting, database, source, utc_now()) == 0
    gallery.bodies["/robots.txt"] = (200, "text/plain", b"User-agent: *\nDisallow: /a.jpg\n")
    assert take_down(hosting, database, source, utc_now()) == 1
    assert Pictures(database).get(one.name.partition(".")[0]) is None


def test_an_issue_says_which_pictures_it_goes_without_and_is_approved_all_the_same(
    hosting: Settings, database: Database, gallery: Gallery, tmp_path: Path
) -> None:
    gallery.bodies["/robots.txt"] = (200, "text/plain", b"User-agent: *\nDisallow: /\n")
    careful = hosting.newsletter.model_copy(update={"approval": True, "quiet_minutes": 0})
    settings = hosting.model_copy(update={"newsletter": careful})
    [made] = publish(settings)
    issue = Issues(database).get(made.issue.number)

    [one] = issue.unpictured

    assert (one.title, one.why) == (issue.items[0].milestone.title, "robots.txt forbids us to ask for it")
    config = tmp_path / "show.toml"
    config.write_text(f'[store]\nurl = "{settings.store.url}"\n', encoding="utf-8")
    said = milepost("--config", str(config), "issue", "show", str(issue.number)).stdout
    assert "1 picture could not be had, and it goes without:" in said
    assert f"{one.title} ({one.key}): robots.txt forbids us to ask for it · {one.url}" in said
    assert approve(settings, database, issue.number, content_hash=issue.content_hash, now=utc_now()).deliveries


def test_a_picture_that_the_site_takes_down_is_served_no_more(
    hosting: Settings, database: Database, gallery: Gallery
) -> None:
    gallery.bodies["/a.jpg"] = (200, "image/jpeg", drawn("JPEG"))
    [one] = hosted(hosting, database, [told(hosting, "/a.jpg")], utc_now()).pictures.values()
    name, [source] = one.name.partition(".")[0], hosting.sources

    assert take_down(hosting, database, source, utc_now()) == 0
    gallery.bodies["/a.jpg"] = (500, "text/plain", b"")
    assert take_down(hosting, database, source, utc_now()) == 0  # perhaps only for now
    assert Pictures(database).get(name) is not None
    gallery.bodies["/a.jpg"] = (410, "text/plain", b"")
    keeping = hosting.model_copy(update={"newsletter": hosting.newsletter.model_copy(update={"images_follow": False})})
    assert take_down(keeping, database, source, utc_now()) == 0
    assert take_down(hosting, database, source, utc_now()) == 1
    assert Pictures(database).get(name) is None
    gallery.bodies["/a.jpg"] = (200, "image/jpeg", drawn("JPEG"))
    assert hosted(hosting, database, [told(hosting, "/a.jpg")], utc_now()).pictures == {f"{BASE}/a.jpg": one}  # back
    assert Pictures(database).get(name) is not None


def test_the_lead_has_its_picture_with_its_words_and_its_source(
    hosting: Settings, database: Database, gallery: Gallery
) -> None:
    gallery.bodies["/a.jpg"] = (200, "image/jpeg", drawn("JPEG"))
    careful = hosting.newsletter.model_copy(update={"approval": True, "quiet_minutes": 0})
    [made] = publish(hosting.model_copy(update={"newsletter": careful}))
    issue = Issues(database).get(made.issue.number)
    shown = Shown(url=f"{BASE}/a.jpg", alt="A dial")
    items = [replace(item, milestone=replace(item.milestone, image=shown)) for item in issue.items]

    with rendered(hosting, database, issue.number, issue.cadence, items, utc_now()) as again:
        [variant] = again.variants
    [picture] = elements(html.fromstring(variant.html), "//img")  # the lead's alone
    assert (picture.get("width"), picture.get("height"), picture.get("alt")) == ("520", "260", "A dial")
    [kept] = known_from(cast("dict[str, object]", again.rendered_with["settings"])["known"]).pictures.values()
    assert picture.get("src") == f"{hosting.web.base_url}/i/{kept.name}"
    assert "Picture: " in variant.text


def test_it_is_served_from_one_address_to_all(hosting: Settings, database: Database, gallery: Gallery) -> None:
    gallery.bodies["/a.jpg"] = (200, "image/jpeg", drawn("JPEG"))
    [one] = hosted(hosting, database, [told(hosting, "/a.jpg")], utc_now()).pictures.values()
    kept = behind(hosting, database)
    app = create_app(
        issues=kept.issues, own_page=kept.own_page, topics=kept.topics, signing_up=kept.signing_up,
        pictures=kept.pictures, settings=hosting, keys=kept.keys, list_id=kept.list_id, now=utc_now,
    )

    def get(path: str) -> httpx.Response:
        async def asked() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://news.example") as client:
                return await client.get(path)

        return asyncio.run(asked())

    answer = get(f"/i/{one.name}")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"  # mail programs load it from elsewhere
    assert Image.open(io.BytesIO(answer.content)).size == (one.width, one.height)
    Pictures(database).remove([f"{BASE}/a.jpg"])
    for path in (f"/i/{one.name}", "/i/" + "0" * 64, "/i/x.jpg", "/i/..%2f"):
        assert get(path).status_code == 404
