"""A keyframe against lists of all lengths, and a segment's whole way with each, in one thread and in turns."""

from __future__ import annotations

from time import thread_time
from typing import TYPE_CHECKING

from benchmarks import clips
from benchmarks.figures import figure, interleaved, ratios
from benchmarks.scale.result import Listed
from benchmarks.stages.decoding import cpu
from benchmarks.stages.way import Way, hash_list
from worker.matching import Matcher
from worker.scoring import session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.figures import Measure
    from worker.records import HashList

RECIPE = clips.Recipe(height=720, codec="h264", weight="heavy", containers=("ts",))


def measure(model: Path, seed: int, entries: Sequence[int], rounds: int) -> tuple[Listed, ...]:
    """Measure each length; the first is 0, which the others are held against."""
    clip = clips.make((RECIPE,), seed)[0]
    classifier = session.load(model, threads=1)
    try:
        lists = [hash_list(length, seed) for length in entries]
        read_s = [_seconds(one) for one in lists]
        ways = [Way(clip, classifier, one) for one in lists]
        measures = [_both(f"{length}", way) for length, way in zip(entries, ways, strict=True)]
        interleaved(measures, 1)
        found = interleaved(measures, rounds)
    finally:
        classifier.close()
    return tuple(
        _told(found, length, seconds if length else None) for length, seconds in zip(entries, read_s, strict=True)
    )


def _both(name: str, way: Way) -> Measure:
    """A segment's way, and then its keyframe once more: with the caches as the segment left them."""
    whole, match = cpu(f"{name} whole", way.whole), cpu(f"{name} match", way.match)
    return lambda: {**whole(), **match()}


def _seconds(one: HashList) -> float:
    started = thread_time()
    Matcher([one])
    return thread_time() - started


def _told(found: Mapping[str, list[float]], length: int, read_s: float | None) -> Listed:
    whole = found[f"{length} whole"]
    return Listed(
        entries=length,
        read_s=read_s,
        match_ms=figure(found[f"{length} match"]),
        whole_ms=figure(whole),
        over_none=figure(ratios(whole, found["0 whole"])),
    )
