"""What was found of memory, and the bounds that it is held to."""

from __future__ import annotations

from msgspec import Struct

from benchmarks.memory.formula import Load
from benchmarks.part import Bound, Check

DECODERS, STREAMS, IN_WORK, ENTRIES = "decoders", "streams", "MiB of bodies in work", "entries of a hash list"
OFF = 0.15
"""By how much the formula may be off."""


class Point(Struct, frozen=True, kw_only=True):
    """A worker with some load. Bytes, at the most that was seen."""

    axis: str
    at: int
    """Where on the axis."""
    load: Load
    worker: int
    """Its own process's resident memory."""
    below: tuple[int, ...]
    """What the processes below it have for themselves."""
    expected: int
    most: int

    @property
    def measured(self) -> int:
        """All of it."""
        return self.worker + sum(self.below)

    @property
    def off(self) -> float:
        """By which share the formula is off."""
        return self.measured / self.expected - 1


class Memory(Struct, frozen=True, kw_only=True):
    """One run."""

    clip: str
    segment_bytes: int
    """Of the bodies in work."""
    points: tuple[Point, ...]
    wrong: int
    """Segments that were not looked at, and outcomes beyond the first."""


BOUNDS = (
    Bound(
        value="what was measured, off the formula at most",
        limit=OFF,
        kind="quality",
        unit="",
        why="docs/memory.md is to be what a container's limit is reckoned from",
    ),
    Bound(
        value="what was measured, over the most that may be",
        limit=1,
        kind="quality",
        unit="x",
        why="memory is bounded, whatever comes",
    ),
    Bound(
        value="segments not looked at just once",
        limit=0,
        kind="quality",
        unit="",
        why="of all that were published here",
    ),
)


def values(result: Memory) -> dict[str, float | None]:
    """Return what is held to the bounds, by its name there."""
    measured = (
        max((abs(point.off) for point in result.points), default=None),
        max((point.measured / point.most for point in result.points), default=None),
        float(result.wrong),
    )
    return {bound.value: value for bound, value in zip(BOUNDS, measured, strict=True)}


def checks(result: Memory) -> tuple[Check, ...]:
    """Return every bound with what was measured."""
    measured = values(result)
    return tuple(Check(bound=bound, measured=measured[bound.value]) for bound in BOUNDS)
