"""Exact search for all rows within a radius of a hash: a sweep over all of them, and an index for long lists.

Both give the same rows. The index is multi-index hashing (Norouzi, Punjani, Fleet: Fast Search in Hamming Space with
Multi-Index Hashing, CVPR 2012): a hash is 16 chunks of 16 bits. Where two hashes differ in at most 31 bits, at least
one chunk differs in at most one, since 16 chunks of two make 32. So the rows in question are those that have one of
their chunks in common with the hash, or all but one bit of it: 17 places in each of 16 tables, 0.4 % of a list of
unrelated hashes. They are compared whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]
    """A hash as four words, shape (4,)."""
    Near = tuple[NDArray[np.intp], NDArray[np.uint16]]
    """Rows, ascending and each once, and their distances."""

BLOCK_ROWS = 65536
"""Rows compared at once: small enough that the intermediate arrays stay in the processor's cache."""
CHUNKS = 16
VALUES = 1 << 16
INDEXED_FROM = VALUES
"""Rows from which on a list is indexed. A sweep over fewer takes some 0.1 ms, and the tables' starts are 4 MiB."""
INDEXED_RADIUS = 31
"""The largest radius for which one flipped bit a chunk is enough."""
CROWDED = 16
"""Where more than one in so many rows would be looked at through the index, a sweep is quicker: it reads them in order
(a million rows: a sixteenth of them through the index takes 1.6 ms, all of them in a sweep 1.4)."""
FLIPS = np.array([0, *(1 << bit for bit in range(16))], np.uint16)


class Search(Protocol):
    """Finds rows."""

    def near(self, words: Words) -> Near:
        """Return all rows within the radius of a hash."""


def search(hashes: NDArray[np.uint8], radius: int) -> Search:
    """Return what searches these hashes, shape (rows, 32), for all within so many bits, inclusive."""
    words = np.ascontiguousarray(hashes, dtype=np.uint8).reshape(-1, CHUNKS * 2).view(np.uint64)
    if len(words) >= INDEXED_FROM and radius <= INDEXED_RADIUS:
        return Index(words, radius)
    # A hash's four words in four columns, so that each is read in one sweep.
    return Sweep(np.ascontiguousarray(words.T), radius)


class Sweep:
    """Compares every row."""

    def __init__(self, columns: NDArray[np.uint64], radius: int) -> None:
        """``columns`` has shape (4, rows)."""
        self._columns = columns
        self._radius = radius

    def near(self, words: Words) -> Near:
        """Return all rows within the radius of a hash."""
        blocks = [self._within(words, start) for start in range(0, self._columns.shape[1], BLOCK_ROWS)]
        if not blocks:
            return np.empty(0, np.intp), np.empty(0, np.uint16)
        rows, distances = (np.concatenate(each) for each in zip(*blocks, strict=True))
        return rows, distances

    def _within(self, words: Words, start: int) -> Near:
        """Half of the bits tell almost every stranger; the few rows left are compared whole.

        The halves' sum is at most 128 and fits uint8, where the sum of all 256 bits would wrap round to 0.
        """
        block = self._columns[:, start : start + BLOCK_ROWS]
        half = np.bitwise_count(block[0] ^ words[0])
        half += np.bitwise_count(block[1] ^ words[1])
        rows = np.flatnonzero(half <= self._radius)
        distances = np.bitwise_count(block[:, rows] ^ words[:, None]).sum(axis=0, dtype=np.uint16)
        near = distances <= self._radius
        return rows[near] + start, distances[near]


class Index:
    """Compares the rows that have a chunk in common with the hash, or all but one bit of it."""

    def __init__(self, words: NDArray[np.uint64], radius: int) -> None:
        """Index these hashes, shape (rows, 4), for a radius of at most ``INDEXED_RADIUS``; they are not copied.

        Takes 64 bytes a row and 4 MiB.

        Raises:
            ValueError: The radius is larger.
        """
        if radius > INDEXED_RADIUS:
            raise ValueError(
                f"an index with one flipped bit a chunk is exact up to {INDEXED_RADIUS} bits, not {radius}"
            )
        self._words = words
        self._radius = radius
        self._rows, self._starts = _tables(words)
        self._sweep = Sweep(words.T, radius)

    def near(self, words: Words) -> Near:
        """Return all rows within the radius of a hash."""
        firsts, counts = self._places(words)
        ends = np.cumsum(counts)
        if ends[-1] > len(self._words) // CROWDED:
            return self._sweep.near(words)
        at = np.arange(ends[-1]) + np.repeat(firsts - (ends - counts), counts)
        return self._compared(self._rows.take(at), words)

    def _places(self, words: Words) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Where in the tables the rows in question begin, and how many there are from there on."""
        values = words.view(np.uint16)[:, None] ^ FLIPS
        at = (np.arange(CHUNKS, dtype=np.intp)[:, None] * (VALUES + 1) + values).ravel()
        firsts = self._starts.take(at).astype(np.intp)
        return firsts, self._starts.take(at + 1) - firsts

    def _compared(self, rows: NDArray[np.uint32], words: Words) -> Near:
        """As in a sweep; a row is here once for each chunk that led to it."""
        bits = np.bitwise_count(self._words.take(rows, axis=0) ^ words)
        likely = np.flatnonzero(bits[:, 0] + bits[:, 1] <= self._radius)
        found, first = np.unique(rows[likely], return_index=True)
        distances = bits[likely[first]].sum(axis=1, dtype=np.uint16)
        near = distances <= self._radius
        return found[near].astype(np.intp), distances[near]


def _tables(words: NDArray[np.uint64]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return for each chunk all rows by its value, one table after the other, and where each value begins.

    Returns:
        Shape (chunks * rows,), and (chunks * (values + 1),): a table's last start is its end.
    """
    chunks = words.view(np.uint16)
    rows = np.empty((CHUNKS, len(chunks)), np.uint32)
    starts = np.zeros((CHUNKS, VALUES + 1), np.uint32)
    for number in range(CHUNKS):
        values = np.ascontiguousarray(chunks[:, number])
        rows[number] = np.argsort(values, kind="stable")
        np.cumsum(np.bincount(values, minlength=VALUES), out=starts[number, 1:])
        starts[number] += number * len(chunks)
    return rows.ravel(), starts.ravel()
