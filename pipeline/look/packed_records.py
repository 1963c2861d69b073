"""Records of one look by key, of which no more than a few thousand are in memory however many pages it read.

    the first IN_MEMORY ─▶ as they are      the rest ─▶ pickled, compressed ─▶ a file without a name, gone with us

A record that another process read comes packed, and stays so until somebody wants it.
"""

import os
import pickle
import tempfile
import weakref
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import zstandard

from milepost.errors import StoreError
from milepost.records import Milestone

T = TypeVar("T")

IN_MEMORY = 2_000  # records, of about 6 kB each
_LEVEL = 1  # they are read two or three times, and forgotten


class Packer:
    """Values as few bytes, for one thread."""

    def __init__(self) -> None:
        self._pack = zstandard.ZstdCompressor(level=_LEVEL).compress
        self._unpack = zstandard.ZstdDecompressor().decompress

    def pack(self, value: object) -> bytes:
        """What `unpack` reads, in any process of this release."""
        return self._pack(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))

    def unpack(self, packed: bytes) -> Any:
        """Of our own bytes alone."""
        return pickle.loads(self._unpack(packed))  # noqa: S301 - ours


class Aside:
    """Bytes kept aside in a file without a name, which is gone with us; made when there is something for it."""

    def __init__(self) -> None:
        self._file, self._end = -1, 0  # bytes

    def put(self, packed: bytes) -> int:
        """Keep them; returns where they begin. Raises StoreError when there is no room."""
        start = self._end
        try:
            if self._file < 0:
                self._file = _nameless()
                self._closing = weakref.finalize(self, os.close, self._file)
            left, at = memoryview(packed), start
            while left:  # where room ends in the middle only a part of it is taken, and the next try says why
                taken = os.pwrite(self._file, left, at)
                left, at = left[taken:], at + taken
        except OSError as error:
            raise StoreError(
                f"what a look reads can't be kept aside until it is recorded: {error.strerror}",
                where=tempfile.gettempdir(), hint="Make room there, or set TMPDIR to another folder.",
            ) from error
        self._end += len(packed)
        return start

    def get(self, start: int, size: int) -> bytes:
        """`size` bytes from there on."""
        return os.pread(self._file, size, start)

    def close(self) -> None:
        """Give the room back; nothing can be had any more."""
        if self._file >= 0:
            self._closing()
            self._file = -1


class PackedRecords(MutableMapping[str, Milestone]):
    """Key → record, in the order in which the keys came first. To walk through all of it costs a file's reading.

    `numbers` has the number that was given with a key: of a hundred thousand records a number each is kept in columns,
    which take a third of what objects do.
    """

    def __init__(self, *, in_memory: int = IN_MEMORY) -> None:
        self._most = in_memory
        self._rows: dict[str, int] = {}  # key → its row in the columns
        self._starts, self._sizes = array("q"), array("q")  # where the record is in the file; a size of 0: in memory
        self._numbers = array("q")
        self._here: dict[str, Milestone] = {}
        self._aside, self._packer = Aside(), Packer()

    @property
    def numbers(self) -> Mapping[str, int]:
        """Key → the number that `put` was last given; 0 where it was given none. A view."""
        return _Numbers(self._rows, self._numbers)

    def put(self, key: str, record: Milestone | bytes, number: int | None = None) -> None:
        """Keep the record, packed or not, and a number with it. Raises StoreError when there is no room for it."""
        if isinstance(record, bytes):
            self._put_packed(key, record)
        else:
            self[key] = record
        if number is not None:
            self._numbers[self._rows[key]] = number

    def __getitem__(self, key: str) -> Milestone:
        """Raises KeyError."""
        row = self._rows[key]
        size = self._sizes[row]
        if not size:
            return self._here[key]
        record: Milestone = self._packer.unpack(self._aside.get(self._starts[row], size))
        return record

    def __setitem__(self, key: str, record: Milestone) -> None:
        """Raises StoreError when there is no room for it."""
        row = self._rows.get(key)
        if key in self._here or (row is None and len(self._here) < self._most):
            self._here[key] = record
            self._note(key, row, 0, 0)
        else:
            self._put_packed(key, self._packer.pack(record))

    def _put_packed(self, key: str, packed: bytes) -> None:
        self._note(key, self._rows.get(key), self._aside.put(packed), len(packed))
        self._here.pop(key, None)

    def _note(self, key: str, row: int | None, start: int, size: int) -> None:
        if row is None:
            self._rows[key] = len(self._starts)
            self._starts.append(start)
            self._sizes.append(size)
            self._numbers.append(0)
        else:
            self._starts[row], self._sizes[row] = start, size

    def __delitem__(self, key: str) -> None:
        del self._rows[key]  # its place in the columns stays empty: few are ever taken out
        self._here.pop(key, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._rows


class _Numbers(Mapping[str, int]):
    def __init__(self, rows: Mapping[str, int], numbers: Sequence[int]) -> None:
        self._rows, self._numbers = rows, numbers

    def __getitem__(self, key: str) -> int:
        return self._numbers[self._rows[key]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


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
