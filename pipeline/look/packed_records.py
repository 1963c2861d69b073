"""Records of one look by key, of which no more than a few thousand are in memory however many pages it read.

    the first IN_MEMORY ─▶ as they are      the rest ─▶ pickled, compressed ─▶ a file without a name, gone with us
"""

import os
import pickle
import tempfile
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping
from itertools import islice
from typing import TypeVar

import zstandard

from milepost.errors import StoreError
from milepost.records import Milestone

T = TypeVar("T")

IN_MEMORY = 2_000  # records, of about 6 kB each
_LEVEL = 1  # they are read two or three times, and forgotten


class PackedRecords(MutableMapping[str, Milestone]):
    """Key → record, in the order in which the keys came first. To walk through all of it costs a file's reading."""

    def __init__(self, *, in_memory: int = IN_MEMORY) -> None:
        self._most, self._here = in_memory, 0
        self._found: dict[str, Milestone | tuple[int, int]] = {}  # key → the record, or where it is in the file
        self._end = 0  # bytes
        self._file = -1  # until there is something for it
        self._pack = zstandard.ZstdCompressor(level=_LEVEL).compress
        self._unpack = zstandard.ZstdDecompressor().decompress

    def __getitem__(self, key: str) -> Milestone:
        """Raises KeyError."""
        found = self._found[key]
        if isinstance(found, Milestone):
            return found
        start, size = found
        record: Milestone = pickle.loads(self._unpack(os.pread(self._file, size, start)))  # noqa: S301 - we wrote it
        return record

    def __setitem__(self, key: str, record: Milestone) -> None:
        """Raises StoreError when there is no room for it."""
        before = self._found.get(key)
        if isinstance(before, Milestone) or (before is None and self._here < self._most):
            self._here += before is None
            self._found[key] = record
            return
        packed = self._pack(pickle.dumps(record, pickle.HIGHEST_PROTOCOL))
        try:
            if self._file < 0:
                self._file = _nameless()
                weakref.finalize(self, os.close, self._file)
            os.pwrite(self._file, packed, self._end)
        except OSError as error:
            raise StoreError(
                f"what a look reads can't be kept aside until it is recorded: {error.strerror}",
                where=tempfile.gettempdir(), hint="Make room there, or set TMPDIR to another folder.",
            ) from error
        self._found[key] = self._end, len(packed)
        self._end += len(packed)

    def __delitem__(self, key: str) -> None:
        self._here -= isinstance(self._found.pop(key), Milestone)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, key: object) -> bool:
        return key in self._found


class Chosen(Mapping[str, Milestone]):
    """Some of the records, by their keys; nothing is copied."""

    def __init__(self, records: Mapping[str, Milestone], keys: Collection[str]) -> None:
        self._records, self._keys = records, dict.fromkeys(keys)

    def __getitem__(self, key: str) -> Milestone:
        if key not in self._keys:
            raise KeyError(key)
        return self._records[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys


def slices(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """The values in order, `size` at a time."""
    coming = iter(values)
    while some := list(islice(coming, size)):
        yield some


def _nameless() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
