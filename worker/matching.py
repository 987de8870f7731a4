"""Exact radius search over hash lists, and alignment of frames with known videos over time."""

from __future__ import annotations

import bisect
import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from msgspec.structs import replace

from worker.records import Look, Match, Sighting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from worker.records import HashList

PDQ_BYTES = 32
BLOCK_ROWS = 65536
"""Rows compared at once: small enough that the intermediate arrays stay in the processor's cache."""
MOST_MATCHES = 16
"""Matches kept of one frame, beside the nearest of each list."""

ALIGN_TOLERANCE_S = 1.0
"""By how much a stream and a known video may drift apart between two sightings: half a second of seeking and a few
per cent of playback speed."""
ALIGN_STEP_S = 1.0
"""How much of the stream must lie between two sightings for them to be more than one picture."""
SIGHTINGS_KEPT = 32
SIGHTING_LASTS_S = 60.0


class _Row(NamedTuple):
    """What a list says of one of its rows."""

    entry: str
    category: str | None
    at_s: float | None


class _Searched:
    """One list, laid out for search."""

    def __init__(self, hashes: HashList) -> None:
        self.list = hashes
        packed = np.ascontiguousarray(hashes.hashes, dtype=np.uint8).reshape(-1, PDQ_BYTES)
        self._columns = np.ascontiguousarray(packed.view(np.uint64).T)
        """Shape (4, rows): a hash's four words in four columns, so that each is read in one sweep."""
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
        blocks = [self._within(words, start) for start in range(0, self._columns.shape[1], BLOCK_ROWS)]
        if not blocks:
            return iter(())
        rows, distances = (np.concatenate(each) for each in zip(*blocks, strict=True))
        order = np.argsort(distances, kind="stable")
        return zip(rows[order].tolist(), distances[order].tolist(), strict=True)

    def _within(self, words: NDArray[np.uint64], start: int) -> tuple[NDArray[np.intp], NDArray[np.uint16]]:
        """Half of the bits tell almost every stranger; the few rows left are compared whole.

        The halves' sum is at most 128 and fits uint8, where the sum of all 256 bits would wrap round to 0.
        """
        block = self._columns[:, start : start + BLOCK_ROWS]
        half = np.bitwise_count(block[0] ^ words[0])
        half += np.bitwise_count(block[1] ^ words[1])
        rows = np.flatnonzero(half <= self.list.radius)
        distances = np.bitwise_count(block[:, rows] ^ words[:, None]).sum(axis=0, dtype=np.uint16)
        near = distances <= self.list.radius
        return rows[near] + start, distances[near]

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


def align(
    sightings: tuple[Sighting, ...], looks: Sequence[Look], media_times_s: Sequence[float]
) -> tuple[tuple[Sighting, ...], tuple[Look, ...]]:
    """Tell frames that run along with a known video from lone ones.

    A match with a frame of a known video counts as ``video`` if an earlier sighting of the same entry lies at least a
    second away in the stream and the same way apart in the video, to within a second. A still picture does not: the
    stream goes on and the video does not. A loop breaks the agreement once and finds it again at its second sighting.

    Args:
        sightings: What is remembered of the stream; empty at its start and after a discontinuity.
        looks: The segment's keyframes in the order of presentation.
        media_times_s: Where each look is on the stream's own clock, seconds.

    Returns:
        What to remember now (the last 32 sightings, none more than a minute behind the newest), and the looks with
        their matches marked.
    """
    remembered = list(sightings)
    marked = []
    for look, media_time_s in zip(looks, media_times_s, strict=True):
        marked.append(_marked(look, media_time_s, remembered))
        remembered += [
            Sighting(list=match.list, entry=match.entry, media_time_s=media_time_s, at_s=match.at_s)
            for match in look.matches
            if match.at_s is not None
        ]
    newest_s = max((each.media_time_s for each in remembered), default=0.0)
    newest_s = max(newest_s, *media_times_s) if media_times_s else newest_s
    lasting = [each for each in remembered if newest_s - each.media_time_s <= SIGHTING_LASTS_S]
    return tuple(lasting[-SIGHTINGS_KEPT:]), tuple(marked)


def _marked(look: Look, media_time_s: float, remembered: Sequence[Sighting]) -> Look:
    if all(match.at_s is None for match in look.matches):
        return look
    matches = tuple(
        replace(match, video=True) if any(_agrees(match, media_time_s, each) for each in remembered) else match
        for match in look.matches
    )
    return replace(look, matches=matches)


def _agrees(match: Match, media_time_s: float, seen: Sighting) -> bool:
    if match.at_s is None or (match.list, match.entry) != (seen.list, seen.entry):
        return False
    streamed_s = media_time_s - seen.media_time_s
    played_s = match.at_s - seen.at_s
    return (
        abs(streamed_s) >= ALIGN_STEP_S
        and played_s * streamed_s > 0
        and abs(streamed_s - played_s) <= ALIGN_TOLERANCE_S
    )
