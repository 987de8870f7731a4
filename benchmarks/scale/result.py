"""What was found of scale, and the bounds that it is held to."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from benchmarks.figures import Figure, figure, ratios
from benchmarks.part import Bound, Check

WORKER = ("loop", "threads", "zygote", "decoders")
AROUND = ("broker", "generator", "answers")
FEW, MANY = 10, 10_000
"""Streams whose costs are held against each other."""
LONG = 1_000_000


class Worked(Struct, frozen=True, kw_only=True):
    """The middle of a backlog."""

    segments: int
    seconds: float
    per_s: float
    cpu_ms: Mapping[str, float]
    """By who took them, a segment; the generator's was over before."""

    @property
    def worker_ms(self) -> float:
        """Of all processes of all workers."""
        return sum(self.cpu_ms[name] for name in WORKER)


class Grown(Struct, frozen=True, kw_only=True):
    """Workers on cores."""

    cores: int
    workers: int
    runs: tuple[Worked, ...]

    @property
    def per_s(self) -> Figure:
        """Segments a second."""
        return figure([run.per_s for run in self.runs])

    @property
    def worker_ms(self) -> Figure:
        """CPU a segment of all workers."""
        return figure([run.worker_ms for run in self.runs])


class Streams(Struct, frozen=True, kw_only=True):
    """The same segments shared by so many streams with a past."""

    streams: int
    runs: tuple[Worked, ...]

    @property
    def worker_ms(self) -> Figure:
        """CPU a segment."""
        return figure([run.worker_ms for run in self.runs])


class Size(Struct, frozen=True, kw_only=True):
    """Segments with the same first keyframe and ever more after it."""

    way: str
    """``inline``, or what kind of root its claim check points below."""
    segment_bytes: int
    worker_ms: Figure
    broker_ms: Figure


class Listed(Struct, frozen=True, kw_only=True):
    """A hash list, and a segment's whole way in one thread beside it."""

    entries: int
    read_s: float | None
    """Seconds of CPU to lay it out for search; None where there is no list."""
    match_ms: Figure
    """A keyframe, after a segment has been through the caches."""
    whole_ms: Figure
    over_none: Figure
    """The whole way over that without a list, in the same round."""


class Scale(Struct, frozen=True, kw_only=True):
    """One run."""

    clip: str
    segment_bytes: int
    partitions: int
    backlog: int
    shared: bool
    """Whether broker and readers of the answers had no core of their own beside two measured ones."""
    grown: tuple[Grown, ...]
    small: str
    """What the streams played."""
    small_bytes: int
    small_segments: int
    small_partitions: int
    streams: tuple[Streams, ...]
    sizes: tuple[Size, ...]
    lists: tuple[Listed, ...]
    list_clip: str
    wrong: int
    """Segments that were not looked at, and outcomes beyond the first."""
    skipped: Mapping[str, str]


BOUNDS = (
    Bound(
        value="throughput of one worker, second core over first",
        limit=1.7,
        side="at least",
        kind="speed",
        unit="x",
        why="from a preloaded backlog: a core that is added is a core that watches",
    ),
    Bound(
        value=f"CPU a segment at {MANY:,} streams, over {FEW}",
        limit=1.1,
        kind="speed",
        unit="x",
        why="the same small segments: what is remembered of others costs a stream nothing",
    ),
    Bound(
        value=f"a segment's whole way with a list of {LONG:,}, over none",
        limit=1.05,
        kind="speed",
        unit="x",
        why="nobody is to leave hashes out because of what they cost",
    ),
    Bound(
        value="segments not looked at just once",
        limit=0,
        kind="quality",
        unit="",
        why="of all that were published here",
    ),
)


def second_core(result: Scale) -> Figure | None:
    """Return one worker's throughput on two cores over that on one, run by run; None where there is only one core."""
    found = {(one.cores, one.workers): [run.per_s for run in one.runs] for one in result.grown}
    return _paired(found.get((2, 1)), found.get((1, 1)))


def many_streams(result: Scale) -> Figure | None:
    """Return what a segment costs at many streams over few, run by run."""
    found = {one.streams: [run.worker_ms for run in one.runs] for one in result.streams}
    return _paired(found.get(MANY), found.get(FEW))


def values(result: Scale) -> dict[str, float | None]:
    """Return what is held to the bounds, by its name there."""
    core, streams = second_core(result), many_streams(result)
    measured = (
        None if core is None else core.median,
        None if streams is None else streams.median,
        next((one.over_none.median for one in result.lists if one.entries == LONG), None),
        float(result.wrong),
    )
    return {bound.value: value for bound, value in zip(BOUNDS, measured, strict=True)}


def checks(result: Scale) -> tuple[Check, ...]:
    """Return every bound with what was measured."""
    measured = values(result)
    return tuple(Check(bound=bound, measured=measured[bound.value]) for bound in BOUNDS)


def _paired(above: list[float] | None, below: list[float] | None) -> Figure | None:
    return figure(ratios(above, below)) if above and below else None
