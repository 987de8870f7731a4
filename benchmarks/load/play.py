"""Which segment of which stream is due when: a schedule fixed ahead, so that a stall counts. Pure.

A live stream sends a segment every two seconds; *evenly phased* streams share these two seconds out. A slot is the
place of a live stream: there one stream after the other lives for ``LIFE`` segments, the last of which may show a
picture that is on the block list; that opens an incident, once a stream, so that there are incidents at every load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from benchmarks.rig.publishing import Due

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PERIOD_S = 2.0
"""A segment's length, and so how often a live stream sends one."""
LIFE = 5
"""Segments of a stream. Not a multiple of a divisor of the partitions: each has known pictures at all times."""
PICTURES = 3
"""Different quiet pictures: two segments in a row of a stream never show the same."""
KNOWN = PICTURES * LIFE
"""Where among the bodies the known picture is; a quiet one's place is picture * LIFE + sequence."""


class Stretch(Struct, frozen=True, kw_only=True):
    """So many live streams for so long."""

    streams: int
    seconds: float


def streams_at(per_s: float, load: float) -> int:
    """How many live streams make a share of so many segments a second; at least one."""
    return max(1, round(per_s * load * PERIOD_S))


def evenly(stretch: Stretch, stem: str, partitions: int, *, start_s: float = 0.0, known: bool = True) -> list[Due]:
    """Streams as live ones are: each every two seconds, their phases shared out."""
    count = round(stretch.seconds / PERIOD_S * stretch.streams)
    times = (start_s + number * PERIOD_S / stretch.streams for number in range(count))
    return list(_played(times, stretch.streams, stem, partitions, known=known))


def poisson(stretch: Stretch, stem: str, partitions: int, seed: int) -> list[Due]:
    """The same streams in the same order and at the same mean rate, but at random times: exponential gaps."""
    rng = np.random.default_rng(seed)
    mean_s = PERIOD_S / stretch.streams
    gaps = rng.exponential(mean_s, size=round(2 * stretch.seconds / mean_s) + 20)
    times = np.cumsum(gaps)
    return list(_played(times[times < stretch.seconds].tolist(), stretch.streams, stem, partitions, known=True))


def one_after_the_other(stretches: Iterable[Stretch], stem: str, partitions: int) -> list[Due]:
    """Stretches of evenly phased streams in a row; with each, other streams begin."""
    due: list[Due] = []
    start_s = 0.0
    for number, stretch in enumerate(stretches):
        due += evenly(stretch, f"{stem}-{number}", partitions, start_s=start_s)
        start_s += stretch.seconds
    return due


def backlog(count: int, stem: str, partitions: int, *, known: bool = True) -> list[Due]:
    """So many segments of many streams, all due at once."""
    return list(_played([0.0] * count, max(1, count // LIFE), stem, partitions, known=known))


def _played(times: Iterable[float], streams: int, stem: str, partitions: int, *, known: bool) -> Iterator[Due]:
    """Slots take turns; each is at another point of its stream's life, so that known pictures come evenly too."""
    for number, at_s in enumerate(times):
        turn, slot = divmod(number, streams)
        life, sequence = divmod(turn + slot, LIFE)
        shows_known = known and sequence == LIFE - 1
        yield Due(
            at_s=at_s,
            stream_id=f"{stem}-{slot}-{life}",
            sequence=sequence,
            partition=slot % partitions,
            body=KNOWN if shows_known else (slot + turn) % PICTURES * LIFE + sequence,
        )
