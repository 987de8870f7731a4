"""Of a backlog that is worked off: the time in which all workers are at work, and what they took. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.rig import meter
from benchmarks.rig.crew import WORKER, decoders_of
from benchmarks.scale.result import Worked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.rig.meter import Look

DECODING_S = 0.3
"""A worker whose decoders have had so much is at work: their own start takes less."""
MIDDLE = (0.2, 0.95)
"""Of the backlog, in the order of the answers: what comes before is starting, what comes after is the end of it."""


class Answer(NamedTuple):
    """A segment's partition, and when the broker had its outcome, seconds since the epoch."""

    partition: int
    at_s: float


def window(answers: Iterable[Answer], looks: Sequence[Look], workers: int) -> tuple[float, float]:
    """Return from when to when all workers are at work, seconds since the epoch.

    One alone is when its answers come. Of several the first has all partitions until the others have joined, and one of
    them may be out of work as soon as a partition is.

    Raises:
        ValueError: There is no such time: the backlog is too short.
    """
    by_partition: dict[int, list[float]] = {}
    for answer in answers:
        by_partition.setdefault(answer.partition, []).append(answer.at_s)
    ordered = sorted(at_s for times in by_partition.values() for at_s in times)
    begin_s, end_s = (ordered[int(len(ordered) * share)] for share in MIDDLE)
    if workers > 1:
        begin_s = max(begin_s, _all_decode_s(looks, workers))
        end_s = min(end_s, *map(max, by_partition.values()))
    if begin_s >= end_s:
        raise ValueError("the backlog is worked off before all workers are at work: take a longer one")
    return begin_s, end_s


def _all_decode_s(looks: Iterable[Look], workers: int) -> float:
    names = [decoders_of(worker) for worker in range(workers)]
    return next((at_s for at_s, had in looks if all(had.get(n, 0.0) >= DECODING_S for n in names)), math.inf)


def worked(answers: Sequence[Answer], looks: Sequence[Look], workers: int, *, generator_ms: float) -> Worked:
    """Return how quickly the middle of a backlog was worked off, and whose CPU that took.

    ``generator_ms`` is what publishing it took a segment; that was over before. Raises ValueError as ``window`` does.
    """
    begin_s, end_s = window(answers, looks, workers)
    count = sum(begin_s < answer.at_s <= end_s for answer in answers)
    spent = meter.spent(looks, begin_s, end_s)
    each_ms = {name: spent.get(name, 0.0) * 1000 / count for name in (*WORKER, "broker", "answers")}
    return Worked(
        segments=count,
        seconds=end_s - begin_s,
        per_s=count / (end_s - begin_s),
        cpu_ms=each_ms | {"generator": generator_ms},
    )
