"""A frame's matches with all hash lists."""

from __future__ import annotations

import bisect
import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from worker.matching.search import search
from worker.records import Match

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from worker.records import HashList

PDQ_BYTES = 32
MOST_MATCHES = 16
"""Matches kept of one frame, beside the nearest of each list."""


class _Row(NamedTuple):
    """What a list says of one of its rows."""

    entry: str
    category: str | None
    at_s: float | None


class _Searched:
    """One list, laid out for search."""

    def __init__(self, hashes: HashList) -> None:
        self.list = hashes
        self._search = search(hashes.hashes, hashes.radius)
        self._ends = list(itertools.accumulate(len(file.lines) for file in hashes.files))

    def matches(self, words: NDArray[np.uint64]) -> list[Match]:
        """Return the nearest match of each entry within the radius, nearest first, at most MOST_MATCHES."""
        found: dict[str, Match] = {}
        for row, distance in self._nearest(words):
            about = self._row(row)
            if about.entry not in found:
                found[about.entry] = self._match(about, distance)
                if len(found) == MOST_MATCHES:
                    break
        return list(found.values())

    def _nearest(self, words: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
        """Rows and their distances within the radius, nearest first, rows of one distance in order."""
        rows, distances = self._search.near(words)
        order = np.argsort(distances, kind="stable")
        return zip(rows[order].tolist(), distances[order].tolist(), strict=True)

    def _row(self, row: int) -> _Row:
        number = bisect.bisect_right(self._ends, row)
        file = self.list.files[number]
        at = row - (self._ends[number - 1] if number else 0)
        return _Row(
            entry=file.entries[at] if file.entries is not None else f"{file.stem}:{file.lines[at]}",
            category=file.categories[at] if file.categories is not None else None,
            at_s=float(file.times_s[at]) if file.times_s is not None else None,
        )

    def _match(self, about: _Row, distance: int) -> Match:
        return Match(
            list=self.list.name,
            list_kind=self.list.kind,
            list_version=self.list.version,
            entry=about.entry,
            distance=distance,
            radius=self.list.radius,
            severity=self.list.severity,
            algorithm=self.list.algorithm,
            category=about.category,
            at_s=about.at_s,
        )


class Matcher:
    """Finds every entry of every list that is within that list's radius of a frame.

    The search is exact: Hamming distance over all 256 bits, the radius inclusive. It runs in the caller's thread, which
    releases the GIL for the most of it.
    """

    def __init__(self, lists: Sequence[HashList]) -> None:
        """Lay the lists out for search; their order breaks ties."""
        self._searched = tuple(_Searched(each) for each in lists)

    def match(self, pdq: bytes) -> tuple[Match, ...]:
        """Return a frame's matches, nearest first, one an entry.

        At most 16, chosen nearest first and ``block`` lists before others; beyond them the nearest of each list that
        is not yet among them, so that no list's match goes unsaid.

        Raises:
            ValueError: The hash is not 32 bytes long.
        """
        if len(pdq) != PDQ_BYTES:
            raise ValueError(f"a PDQ hash is {PDQ_BYTES} bytes, not {len(pdq)}")
        return self._match(np.frombuffer(pdq, np.uint64))

    def match_many(self, hashes: NDArray[np.uint8]) -> list[tuple[Match, ...]]:
        """Return the matches of each of some hashes, shape (frames, 32), dtype uint8."""
        words = np.ascontiguousarray(hashes, dtype=np.uint8).reshape(-1, PDQ_BYTES).view(np.uint64)
        return [self._match(each) for each in words]

    def _match(self, words: NDArray[np.uint64]) -> tuple[Match, ...]:
        found = [each.matches(words) for each in self._searched]
        everything = sorted(itertools.chain.from_iterable(found), key=_block_first)
        chosen = everything[:MOST_MATCHES]
        lists = {match.list for match in chosen}
        chosen += [matches[0] for matches in found if matches and matches[0].list not in lists]
        return tuple(sorted(chosen, key=_distance))


def _block_first(match: Match) -> tuple[bool, int]:
    return match.list_kind != "block", match.distance


def _distance(match: Match) -> int:
    return match.distance
