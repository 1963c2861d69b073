"""Page bodies, compressed with Zstandard (RFC 8878) and kept once under the hash of what they were."""

import sqlalchemy as sa
import zstandard

from milepost.errors import StoreError
from milepost.records import body_hash
from store.dialects import insert
from store.schema import blob

LEVEL = 9  # pages are written once and kept for years


def put(connection: sa.Connection, body: bytes) -> str:
    """Keep `body` unless it is kept already; returns its SHA-256 in hex."""
    sha = body_hash(body)
    if connection.execute(sa.select(blob.c.sha256).where(blob.c.sha256 == sha)).first() is None:
        data = zstandard.ZstdCompressor(level=LEVEL).compress(body)
        new = insert(connection, blob).values(sha256=sha, encoding="zstd", raw_size=len(body), data=data)
        connection.execute(new.on_conflict_do_nothing())
    return sha


def unpack(sha: str, data: bytes, raw_size: int) -> bytes:
    """The body that was put; raises StoreError when the bytes are not what their hash says."""
    try:
        body = zstandard.ZstdDecompressor().decompress(data, max_output_size=max(raw_size, 1))
    except zstandard.ZstdError as error:
        raise _damaged(sha, str(error)) from error
    if body_hash(body) != sha:
        raise _damaged(sha, "its hash differs")
    return body


def _damaged(sha: str, why: str) -> StoreError:
    return StoreError(
        f"a stored page is damaged: {why}", where=f"blob {sha[:12]}", hint="Run `milepost db check`; restore a backup."
    )
