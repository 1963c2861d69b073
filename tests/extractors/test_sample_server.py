"""The sample site answers as a real one does, publishes, and corrects itself."""

import gzip
import http.client
from urllib.parse import urlsplit

import pytest

from console.demo.site import SampleSite
from extractors import registry
from milepost.records import Page


@pytest.fixture
def site():
    with SampleSite() as running:
        yield running


def ask(site, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(site.url).port, timeout=10)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def titles(site):
    page = Page(url=site.base_url + "/", text=ask(site, "/")[2].decode())
    return [card.title for card in registry.get("sample").cards(page)]


def test_pages_carry_an_etag_and_answer_304(site):
    status, headers, body = ask(site, "/story/caesium-clock")
    assert status == 200
    assert b"Caesium" in body
    assert ask(site, "/story/caesium-clock", If_None_Match=headers["ETag"])[0] == 304
    assert site.requests == 2


def test_gzip_for_those_who_ask(site):
    plain = ask(site, "/")[2]
    _, headers, body = ask(site, "/", Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == plain


@pytest.mark.parametrize(("path", "status"), [
    ("/nowhere", 404), ("/story/caesium-clock/", 308), ("/robots.txt", 200), ("/sitemap.xml", 200),
    ("/art/caesium-clock.svg", 200), ("/age/shared-time", 200), ("/?utm_source=x", 200),
])
def test_paths(site, path, status):
    assert ask(site, path)[0] == status


def test_robots_and_sitemap_carry_no_validator(site):
    assert ask(site, "/robots.txt")[1]["ETag"] is None
    sitemap = ask(site, "/sitemap.xml")[2].decode()
    assert sitemap.count(f"<loc>{site.base_url}/story/") == len(site.stories)


def test_publishing_adds_two(site):
    before = titles(site)
    site.publish()
    added = [title for title in titles(site) if title not in before]
    assert added == ["Computers begin to set one another's clocks", "The leap second is given notice"]
    assert ask(site, "/story/network-time-protocol")[0] == 200


def test_editing_corrects_one_field_of_one_record(site):
    reader = registry.get("sample")

    def records():
        return {
            story.key: reader.read(
                Page(url=f"{site.base_url}/story/{story.key}", text=ask(site, f"/story/{story.key}")[2].decode()),
                source="clockwork",
            )
            for story in site.stories
        }

    before = records()
    site.edit()
    after = records()
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"huygens-pendulum-clock"}
    assert "fifty seconds" in before["huygens-pendulum-clock"].why_it_mattered
    assert "fifteen seconds" in after["huygens-pendulum-clock"].why_it_mattered


def test_every_deploy_changes_every_page(site):
    etag = ask(site, "/story/caesium-clock")[1]["ETag"]
    site.deploy()
    assert ask(site, "/story/caesium-clock", If_None_Match=etag)[0] == 200
