"""Page bodies, compressed with Zstandard (RFC 8878) and kept once under the hash of what they were.

Pages of one site are much alike: with a dictionary trained on some of them, each takes a third of the room. A blob
names the dictionary it was packed with, so that a later one leaves it readable.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
import zstandard

from milepost.errors import StoreError
from milepost.records import body_hash
from store.dialects import insert
from store.schema.tables import blob, dictionary

LEVEL = 9  # pages are written once and kept for years; beyond it, minutes buy percents
DICTIONARY_BYTES = 112_640  # what zstd itself takes for granted


class Codec:
    """Packs and unpacks, keeping the dictionaries it has met; one per thread."""

    def __init__(self) -> None:
        self._packers: dict[int | None, zstandard.ZstdCompressor] = {None: zstandard.ZstdCompressor(level=LEVEL)}
        self._unpackers: dict[int | None, zstandard.ZstdDecompressor] = {None: zstandard.ZstdDecompressor()}

    def put(self, connection: sa.Connection, bodies: Sequence[bytes]) -> list[str]:
        """Keep these bodies, as far as they are not kept already; returns the SHA-256 of each in hex."""
        shas = [body_hash(body) for body in bodies]
        new = dict(zip(shas, bodies, strict=True))
        kept = set(connection.execute(sa.select(blob.c.sha256).where(blob.c.sha256.in_(new))).scalars())
        new = {sha: body for sha, body in new.items() if sha not in kept}
        if new:
            packed = self.pack(connection, list(new.values()))
            connection.execute(insert(connection, blob).on_conflict_do_nothing(), [
                {"sha256": sha, "raw_size": len(body), **columns}
                for (sha, body), columns in zip(new.items(), packed, strict=True)
            ])
        return shas

    def pack(self, connection: sa.Connection, bodies: Iterable[bytes]) -> list[dict[str, Any]]:
        """The columns `encoding`, `dictionary` and `data` for each body, with the newest dictionary there is."""
        newest: int | None = connection.execute(sa.select(sa.func.max(dictionary.c.id))).scalar()
        if newest not in self._packers:
            trained = self._dictionary(connection, newest)
            trained.precompute_compress(level=LEVEL)
            self._packers[newest] = zstandard.ZstdCompressor(level=LEVEL, dict_data=trained)
        compress = self._packers[newest].compress
        return [{"encoding": "zstd", "dictionary": newest, "data": compress(body)} for body in bodies]

    def unpack(self, connection: sa.Connection, row: sa.Row[Any]) -> bytes:
        """The body that was put, of a row with `sha256`, `dictionary`, `data` and `raw_size`.

        Raises StoreError when the bytes are not what their hash says.
        """
        sha = row.sha256
        try:
            if row.dictionary not in self._unpackers:
                trained = self._dictionary(connection, row.dictionary)
                self._unpackers[row.dictionary] = zstandard.ZstdDecompressor(dict_data=trained)
            body = self._unpackers[row.dictionary].decompress(row.data, max_output_size=max(row.raw_size, 1))
        except zstandard.ZstdError as error:
            raise _damaged(sha, str(error)) from error
        if body_hash(body) != sha:
            raise _damaged(sha, "its hash differs")
        return body

    def _dictionary(self, connection: sa.Connection, number: int | None) -> zstandard.ZstdCompressionDict:
        query = sa.select(dictionary.c.data).where(dictionary.c.id == number)
        return zstandard.ZstdCompressionDict(connection.execute(query).scalar_one())


def train(samples: Sequence[bytes]) -> bytes | None:
    """A dictionary of what the samples have in common; None when they are too few or too unlike to make one."""
    try:
        return zstandard.train_dictionary(DICTIONARY_BYTES, list(samples)).as_bytes()
    except zstandard.ZstdError:
        return None


def _damaged(sha: str, why: str) -> StoreError:
    return StoreError(
        f"a stored page is damaged: {why}", where=f"blob {sha[:12]}", hint="Run `milepost db check`; restore a backup."
    )
