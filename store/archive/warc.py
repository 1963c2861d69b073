"""The archive as a WARC file (ISO 28500:2017, WARC/1.1), which other archives' tools can read.

    warcinfo, then for each snapshot a response record, or a revisit of one with the same body; each gzipped by itself
    a rendered page: the response that it was rendered from, then a conversion record
"""

import datetime as dt
import gzip
import http
import uuid
from base64 import b32encode
from dataclasses import replace
from typing import Any, BinaryIO

import sqlalchemy as sa

from milepost import __version__
from milepost.records import Snapshot
from store.archive.blobs import Codec
from store.archive.snapshots import to_snapshot
from store.engine import Database
from store.schema.tables import blob, snapshot

REVISIT = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"  # ISO 28500:2017 §6.7.2
CHUNK = 100  # snapshots in memory at once

# The body is stored decoded, whatever these said of the bytes on the wire.
_OF_THE_WIRE = frozenset({"content-encoding", "content-length", "transfer-encoding"})


def archive_warc(database: Database, out: BinaryIO, *, now: dt.datetime, source: str | None = None) -> int:
    """Write every snapshot (of one source, or of all) to `out` as gzipped WARC records; returns how many.

    A response holds what was kept of it: its status, the headers we keep and the decoded body.
    """
    bodies = sa.select(snapshot, blob).join_from(snapshot, blob, snapshot.c.body_sha == blob.c.sha256)
    query = bodies.order_by(snapshot.c.id)
    if source is not None:
        query = query.where(snapshot.c.source == source)
    out.write(_record("warcinfo", now, [("Content-Type", "application/warc-fields")], _about()))
    codec, written = Codec(), 0
    first: dict[str, tuple[str, str, str]] = {}  # body hash → record id, URL, date of the record that has it
    last = 0
    with database.connect() as connection:
        while rows := connection.execute(query.where(snapshot.c.id > last).limit(CHUNK)).all():
            for row in rows:
                taken = to_snapshot(row, codec.unpack(connection, row))
                if row.document_sha is None:
                    out.write(_response(taken, row.body_sha, first))
                    continue
                body = codec.unpack(connection, connection.execute(
                    sa.select(blob).where(blob.c.sha256 == row.document_sha)).one())
                document = replace(taken, body=body, rendered_by=None)
                out.write(_response(document, row.document_sha, first))
                out.write(_conversion(taken, first[row.document_sha][0]))
            written += len(rows)
            last = rows[-1].id
    return written


def _about() -> bytes:
    fields = {"software": f"Milepost/{__version__}", "format": "WARC File Format 1.1",
              "conformsTo": "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/"}
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()


def _response(taken: Snapshot, sha: str, first: dict[str, tuple[str, str, str]]) -> bytes:
    name, date = _id(), _date(taken.fetched_at)
    headers: list[tuple[str, str]] = [
        ("WARC-Record-ID", name), ("WARC-Target-URI", taken.url),
        ("WARC-Payload-Digest", f"sha256:{b32encode(bytes.fromhex(sha)).decode().rstrip('=')}"),
        ("Content-Type", "application/http;msgtype=response"),
    ]
    if taken.final_url != taken.url:
        headers.append(("Milepost-Fetched-From", taken.final_url))  # a mirror stood in for the site
    head = _http_head(taken)
    if sha in first:
        earlier = first[sha]
        headers += [("WARC-Profile", REVISIT), ("WARC-Refers-To", earlier[0]),
                    ("WARC-Refers-To-Target-URI", earlier[1]), ("WARC-Refers-To-Date", earlier[2])]
        return _record("revisit", taken.fetched_at, headers, head)
    first[sha] = (name, taken.url, date)
    return _record("response", taken.fetched_at, headers, head + taken.body)


def _conversion(taken: Snapshot, document: str) -> bytes:
    """What a page's scripts made of it (ISO 28500:2017 §6.8), beside the `document` record that they ran in."""
    return _record("conversion", taken.fetched_at, [
        ("WARC-Record-ID", _id()), ("WARC-Target-URI", taken.url), ("WARC-Refers-To", document),
        ("Content-Type", "text/html; charset=utf-8"), ("Milepost-Rendered-By", taken.rendered_by or ""),
    ], taken.body)


def _http_head(taken: Snapshot) -> bytes:
    try:
        phrase = http.HTTPStatus(taken.status).phrase
    except ValueError:
        phrase = ""
    kept = [(name, value) for name, value in taken.headers.items() if name not in _OF_THE_WIRE]
    lines = [f"HTTP/1.1 {taken.status} {phrase}", *(f"{name}: {_one_line(value)}" for name, value in kept),
             f"content-length: {len(taken.body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")


def _record(kind: str, at: dt.datetime, headers: list[tuple[str, str]], block: bytes) -> bytes:
    fields = [("WARC-Type", kind), ("WARC-Date", _date(at)), *headers, ("Content-Length", str(len(block)))]
    if not any(name == "WARC-Record-ID" for name, _ in fields):
        fields.insert(1, ("WARC-Record-ID", _id()))
    head = "WARC/1.1\r\n" + "".join(f"{name}: {_one_line(value)}\r\n" for name, value in fields) + "\r\n"
    return gzip.compress(head.encode("utf-8", "replace") + block + b"\r\n\r\n", mtime=0)


def _one_line(value: Any) -> str:
    return " ".join(str(value).split("\r\n")).replace("\r", " ").replace("\n", " ")


def _id() -> str:
    return f"<urn:uuid:{uuid.uuid4()}>"


def _date(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
