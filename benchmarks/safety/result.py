"""What was found of the cost of safety, and the bounds that it is held to."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from benchmarks.figures import Figure
from benchmarks.part import Bound, Check

BOTH, JAIL, TRANSACTIONS, SNAPSHOTS = "transactions and snapshots", "jail", "transactions", "snapshots"


class Side(Struct, frozen=True, kw_only=True):
    """One of two workers that took turns."""

    worker_ms: Figure
    """CPU a segment of all of its processes."""
    parts_ms: Mapping[str, float]
    """By who took it, medians; the broker's for this side too."""
    wait_ms: float
    """Median from a segment's append to its assessment's."""


class Duel(Struct, frozen=True, kw_only=True):
    """A worker with everything on, and one with something off or otherwise, in turns."""

    what: str
    usual: Side
    other: Side
    over: Figure
    """Usual over other, pair by pair."""


class Interval(Struct, frozen=True, kw_only=True):
    """Another release interval than the usual one."""

    seconds: float
    side: Side
    over: Figure
    """CPU a segment over that at the usual interval, pair by pair."""


class Releases(Struct, frozen=True, kw_only=True):
    """How long a release takes by the clock, milliseconds."""

    waits_ms: Figure
    """As it is: every record is acknowledged before the offset is sent."""
    hasty_ms: Figure
    """The offset right behind the records."""
    cpu_over: Figure
    """CPU a segment as it is over that of the hasty one."""


class Safety(Struct, frozen=True, kw_only=True):
    """One run."""

    clip: str
    segment_bytes: int
    partitions: int
    share: float
    """Of a core, by what a segment takes from a backlog."""
    per_s: float
    """Segments a second that make this share."""
    release_interval_s: float
    duels: tuple[Duel, ...]
    intervals: tuple[Interval, ...]
    releases: Releases
    wrong: int
    """Segments that were not looked at, and outcomes beyond the first."""


BOUNDS = (
    Bound(
        value="CPU with transactions and snapshots, over without",
        limit=1.05,
        kind="speed",
        unit="x",
        why="8 partitions, the default interval, 70 % of a core: nobody is to turn exactly-once off for what it costs",
    ),
    Bound(
        value="segments not looked at just once",
        limit=0,
        kind="quality",
        unit="",
        why="of all that were published here",
    ),
)


def values(result: Safety) -> dict[str, float | None]:
    """Return what is held to the bounds, by its name there."""
    both = next((duel.over.median for duel in result.duels if duel.what == BOTH), None)
    return {bound.value: value for bound, value in zip(BOUNDS, (both, float(result.wrong)), strict=True)}


def checks(result: Safety) -> tuple[Check, ...]:
    """Return every bound with what was measured."""
    measured = values(result)
    return tuple(Check(bound=bound, measured=measured[bound.value]) for bound in BOUNDS)
