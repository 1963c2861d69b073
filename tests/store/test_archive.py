"""The archive's care: dictionaries, pruning, and the WARC file that other tools can read."""

import datetime as dt
import gzip
import io
from base64 import b32encode
from dataclasses import replace
from hashlib import sha256

import pytest
import sqlalchemy as sa

from milepost.records import Snapshot
from store.archive import retention
from store.archive.retention import Archive
from store.archive.warc import REVISIT, archive_warc
from store.database import check
from store.schema import tables
from tests.store.conftest import NOW, World, added, make_milestone, make_snapshot

DAY = dt.timedelta(days=1)


def page(number: int) -> Snapshot:
    """A page that has much in common with its neighbours."""
    words = " ".join(f"word{(number * 7919 + index * 31) % 997}" for index in range(150))
    menu = "".join(f'<li><a href="/menu/{index}">Entry {index} of a long menu</a></li>' for index in range(60))
    body = f"<html><nav>{menu}</nav><h1>Page {number}</h1><p>{words}</p></html>".encode()
    return make_snapshot(f"https://site.example/m/{number}", body, fetched_at=NOW + number * DAY)


@pytest.fixture
def pages(world: World, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Thirty pages, which is enough here."""
    monkeypatch.setattr(retention, "ENOUGH", 30)
    return [world.snapshots.add(page(number), "milestone", None) for number in range(30)]


def dictionaries(world: World) -> list[int | None]:
    with world.database.connect() as connection:
        return list(connection.execute(sa.select(tables.blob.c.dictionary).distinct()).scalars())


def test_a_dictionary_is_trained_once_when_it_pays(world: World, pages: list[int]) -> None:
    kept = Archive(world.database)
    number = kept.train_if_due(NOW)
    assert number is not None
    assert kept.train_if_due(NOW) is None
    new = world.snapshots.add(page(1000), "milestone", None)
    assert set(dictionaries(world)) == {None, number}
    for snapshot_id, original in zip([*pages, new], [*map(page, range(30)), page(1000)], strict=True):
        assert world.snapshots.get(snapshot_id) == original
    assert check(world.database) == []


def test_too_few_pages_to_train_on(world: World) -> None:
    world.snapshots.add(page(1), "milestone", None)
    assert Archive(world.database).train_if_due(NOW) is None
    assert Archive(world.database).train(NOW) is None


def test_a_later_dictionary_leaves_older_pages_readable(world: World, pages: list[int]) -> None:
    kept = Archive(world.database)
    first = kept.train(NOW)
    one = world.snapshots.add(page(1000), "milestone", None)
    second = kept.train(NOW)
    two = world.snapshots.add(page(1001), "milestone", None)
    assert set(dictionaries(world)) == {None, first, second}
    assert [world.snapshots.get(found) for found in (pages[0], one, two)] == [page(0), page(1000), page(1001)]


def test_repacking_makes_it_smaller_and_changes_nothing_else(world: World, pages: list[int]) -> None:
    kept = Archive(world.database)
    before = kept.size()
    number = kept.train(NOW)
    assert kept.repack() == 30
    assert kept.repack() == 0
    assert dictionaries(world) == [number]
    after = kept.size()
    assert after.stored_bytes < before.stored_bytes
    assert (after.raw_bytes, after.snapshots, after.dictionaries) == (before.raw_bytes, 30, 1)
    assert [world.snapshots.get(found) for found in pages] == [page(number) for number in range(30)]


def test_pruning_keeps_what_is_evidence(world: World) -> None:
    url = "https://site.example/m/one"
    taken = [make_snapshot(url, f"body {number}".encode(), fetched_at=NOW + number * DAY) for number in range(4)]
    old = [world.snapshots.add(one, "milestone", None) for one in taken]
    record = make_milestone("one", url=url)
    look_id = world.looks.start("site", NOW)
    world.milestones.apply(look_id, "site", [(added(record), record, old[1])], announce=False, now=NOW)
    pruned = Archive(world.database).prune(NOW + 100 * DAY)
    assert (pruned.snapshots, pruned.blobs) == (2, 2)
    assert pruned.bytes > 0
    assert [row[0] for row in world.snapshots.history("site", url)] == [old[1], old[3]]  # read from, and the latest
    assert Archive(world.database).prune(NOW + 100 * DAY).snapshots == 0
    assert check(world.database) == []


def test_pruning_once_a_day_is_enough(world: World) -> None:
    for number in range(3):
        world.snapshots.add(make_snapshot(body=b"%d" % number, fetched_at=NOW + number * DAY), "listing", None)
    archive = Archive(world.database)
    first = archive.prune_if_due(NOW + DAY, NOW + 3 * DAY)
    assert first is not None
    assert (first.snapshots, first.blobs) == (1, 1)
    assert archive.prune_if_due(NOW + 2 * DAY, NOW + 3 * DAY) is None
    second = archive.prune_if_due(NOW + 2 * DAY, NOW + 4 * DAY)
    assert second is not None
    assert second.snapshots == 1


def test_pruning_by_age(world: World) -> None:
    for number in range(3):
        world.snapshots.add(make_snapshot(body=b"same", fetched_at=NOW + number * DAY), "other", None)
    pruned = Archive(world.database).prune(NOW + DAY)
    assert (pruned.snapshots, pruned.blobs) == (1, 0)  # the body is still the later ones'


# --- WARC -----------------------------------------------------------------------------------------------------------


def records(data: bytes) -> list[tuple[dict[str, str], bytes]]:
    """A small WARC reader: gzip members one after the other, each with one record (ISO 28500:2017 §4, annex D)."""
    found = []
    stream = io.BytesIO(gzip.decompress(data))
    while line := stream.readline():
        assert line == b"WARC/1.1\r\n"
        headers = {}
        while (line := stream.readline()) != b"\r\n":
            name, value = line.decode().rstrip("\r\n").split(": ", 1)
            headers[name] = value
        block = stream.read(int(headers["Content-Length"]))
        assert stream.read(4) == b"\r\n\r\n"
        found.append((headers, block))
    return found


def test_a_warc_holds_every_snapshot(world: World) -> None:
    mirrored = make_snapshot(
        body="é".encode(), final_url="http://127.0.0.1:1/m/one",
        headers={"content-type": "text/html", "content-encoding": "gzip", "etag": '"x"\r\nforged: yes'},
    )
    gone = make_snapshot("https://site.example/m/two", b"", status=410)
    for taken in (mirrored, gone, make_snapshot("https://site.example/m/again", "é".encode())):
        world.snapshots.add(taken, "milestone", None)
    out = io.BytesIO()
    assert archive_warc(world.database, out, now=NOW) == 3
    info, first, second, third = records(out.getvalue())
    assert info[0]["WARC-Type"] == "warcinfo"
    assert b"software: Milepost/" in info[1]
    assert (first[0]["WARC-Type"], first[0]["WARC-Target-URI"]) == ("response", mirrored.url)
    assert first[0]["WARC-Date"] == "2026-11-23T09:00:00.000000Z"
    assert first[0]["WARC-Payload-Digest"] == f"sha256:{b32encode(sha256('é'.encode()).digest()).decode().rstrip('=')}"
    assert first[0]["Milepost-Fetched-From"] == "http://127.0.0.1:1/m/one"
    assert first[1] == (
        'HTTP/1.1 200 OK\r\ncontent-type: text/html\r\netag: "x" forged: yes\r\ncontent-length: 2\r\n\r\né'.encode()
    )
    assert second[1].startswith(b"HTTP/1.1 410 Gone\r\n")
    assert (third[0]["WARC-Type"], third[0]["WARC-Profile"]) == ("revisit", REVISIT)
    assert third[0]["WARC-Refers-To"] == first[0]["WARC-Record-ID"]
    assert third[1].endswith(b"\r\n\r\n")
    assert len({headers["WARC-Record-ID"] for headers, _ in records(out.getvalue())}) == 4


def test_a_warc_of_one_source(world: World) -> None:
    world.snapshots.add(make_snapshot(), "milestone", None)
    world.snapshots.add(make_snapshot(source="other"), "milestone", None)
    out = io.BytesIO()
    assert archive_warc(world.database, out, now=NOW, source="other") == 1
    assert archive_warc(world.database, io.BytesIO(), now=NOW, source="none") == 0


def test_each_record_is_a_gzip_member_of_its_own(world: World) -> None:
    world.snapshots.add(make_snapshot(), "milestone", None)
    out = io.BytesIO()
    archive_warc(world.database, out, now=NOW)
    assert out.getvalue().count(b"\x1f\x8b\x08\x00\x00\x00\x00\x00") == 2


def test_a_rendered_page_is_kept_with_what_it_was_rendered_from(world: World) -> None:
    url, by = "https://site.example/m/1", "Chromium 156.0; 2 requests of its scripts"
    rendered = replace(make_snapshot(url, b"<html>red</html>", fetched_at=NOW), rendered_by=by)
    number = world.snapshots.add(rendered, "milestone", None, document=b"<html><script></script></html>")
    assert world.snapshots.get(number) == rendered
    assert world.snapshots.document(number) == b"<html><script></script></html>"
    out = io.BytesIO()
    assert archive_warc(world.database, out, now=NOW) == 1
    _, response, conversion = records(out.getvalue())
    assert response[0]["WARC-Type"] == "response"
    assert response[1].endswith(b"<html><script></script></html>")
    assert conversion[0]["WARC-Type"] == "conversion"
    assert conversion[0]["WARC-Refers-To"] == response[0]["WARC-Record-ID"]
    assert conversion[0]["Milepost-Rendered-By"] == by
    assert conversion[1] == b"<html>red</html>"
    later = world.snapshots.add(make_snapshot(url, b"<html>blue</html>", fetched_at=NOW + DAY), "milestone", None)
    assert world.snapshots.document(later) is None
    assert Archive(world.database).prune(NOW + DAY / 2).blobs == 2  # what was rendered, and from what
