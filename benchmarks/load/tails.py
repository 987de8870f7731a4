"""The arithmetic of latencies: percentiles, how they differ between streams, where they rise, and when they are back.

Pure. Percentiles are HdrHistogram's: three significant digits, whatever the range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdrh.histogram import HdrHistogram
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Came = tuple[float, float | None]
    """When a segment came, and its latency, both ms; None where it was shed or never answered."""

MOST_MS = 3_600_000
DIGITS = 3
PER_MS = 1000
"""Microseconds are what is counted."""
RISE = 3.0
"""The knee is where the 99th percentile has risen above so many times the unloaded median."""
WITHIN = 2.0
"""It is as before when the 99th percentile of a second is within so many times that of before the overload."""
HOLDS_S = 3
"""And stays there for so long."""


class Tail(Struct, frozen=True, kw_only=True):
    """Latencies, milliseconds."""

    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    worst: float
    hdr: str
    """The histogram, of microseconds, as HdrHistogram's tools read it (V2, compressed, base64)."""


class Between(Struct, frozen=True, kw_only=True):
    """How one percentile differs from stream to stream, milliseconds."""

    least: float
    median: float
    most: float


def tail(values_ms: Iterable[float]) -> Tail | None:
    """Return the percentiles of some latencies; None where there are none. One below 0 counts as 0."""
    histogram = HdrHistogram(1, MOST_MS * PER_MS, DIGITS)
    for value in values_ms:
        histogram.record_value(max(0, round(value * PER_MS)))
    count = histogram.get_total_count()
    if not count:
        return None

    def at(share: float) -> float:
        # Nearest rank: this library rounds the rank, and so may take the one below.
        return histogram.get_value_at_percentile(_rank(count, share) * 100 / count) / PER_MS

    worst, hdr = histogram.get_max_value() / PER_MS, histogram.encode().decode()
    return Tail(count=count, p50=at(50), p90=at(90), p99=at(99), p999=at(99.9), worst=worst, hdr=hdr)


def between(by_stream: Mapping[object, Sequence[float]], share: float) -> Between | None:
    """Return how a percentile (``share`` of 100) differs between streams; None where there are none."""
    found = sorted(_percentile(values, share) for values in by_stream.values() if values)
    return Between(least=found[0], median=found[len(found) // 2], most=found[-1]) if found else None


def knee(p99_ms: Mapping[float, float], unloaded_ms: float) -> float | None:
    """Return the highest load up to which every 99th percentile is within ``RISE`` times the unloaded median.

    ``p99_ms`` is by load. None where even the lowest is not.
    """
    found = None
    for load in sorted(p99_ms):
        if p99_ms[load] > RISE * unloaded_ms:
            break
        found = load
    return found


def recovered_s(came: Iterable[Came], end_ms: float, before_p99_ms: float, until_ms: float) -> float | None:
    """Return how many seconds after an overload's end newly arriving segments are served as before.

    A second is as before when none of its segments was shed or left without an answer, and their 99th percentile is
    within ``WITHIN`` times ``before_p99_ms``. It slides by a tenth; ``HOLDS_S`` of them in a row must be. A second in
    which nothing came says nothing. None: not until ``until_ms``.
    """
    after, step = list(came), 0
    while (begin_ms := end_ms + step * 100) + HOLDS_S * 1000 <= until_ms:
        seconds = [
            [latency for at_ms, latency in after if 0 <= at_ms - begin_ms - second * 1000 < 1000]
            for second in range(HOLDS_S)
        ]
        if all(_as_before(second, before_p99_ms) for second in seconds):
            return step / 10
        step += 1
    return None


def _as_before(latencies: Sequence[float | None], before_p99_ms: float) -> bool:
    served = [latency for latency in latencies if latency is not None]
    if not served or len(served) < len(latencies):
        return False
    return _percentile(served, 99) <= WITHIN * before_p99_ms


def _percentile(values: Sequence[float], share: float) -> float:
    """Of values too few for a histogram."""
    return sorted(values)[_rank(len(values), share) - 1]


def _rank(count: int, share: float) -> int:
    """Nearest rank, from 1: so many of the values are at or below the percentile."""
    return max(1, -(-count * round(share * 100) // 10_000))
