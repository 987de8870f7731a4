"""What was found under load, and the bounds that it is held to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from benchmarks.figures import Figure
from benchmarks.load.tails import Between, Tail, knee
from benchmarks.part import Bound, Check

USUAL = 0.7
"""The load at which a deployment is to be run."""
PAST = 1.0
WORKER = ("loop", "threads", "zygote", "decoders")
AROUND = ("broker", "generator", "answers")


class Capacity(Struct, frozen=True, kw_only=True):
    """From a preloaded backlog: how many segments a worker works off on its core."""

    segments: int
    """Those in the middle of it: neither the start nor the end."""
    per_s: float
    cpu_ms: Mapping[str, float]
    """By who took them, a segment."""
    strangers: float
    """Share of the worker's core that others had meanwhile: the machine's, not the worker's limit."""


class Level(Struct, frozen=True, kw_only=True):
    """Live streams for a while; the first two seconds are left out."""

    load: float
    """Of the capacity that was found."""
    arrivals: str
    """``even`` or ``poisson``."""
    streams: int
    seconds: float
    offered_per_s: float
    """Segments that the broker got."""
    assessed_per_s: float
    """Segments that were looked at and told of."""
    shed: int
    known_shed: int
    """Of these, how many showed the known picture."""
    escalation: Tail | None
    """From the segment's append to the escalation's."""
    escalation_due: Tail | None
    """From when the segment was due, by the schedule, to the escalation's append."""
    assessment: Tail | None
    """From the segment's append to the assessment's: quiet results wait for the next release."""
    append: Tail | None
    """From when the segment was handed over to its append: the broker's and the network's part."""
    late: Tail | None
    """How late the generator itself was."""
    streams_p50: Between | None
    """How the median to the assessment differs between places of live streams."""
    streams_p99: Between | None
    cpu_ms: Mapping[str, float]
    """By who took them, a segment that was looked at."""
    cores: Mapping[str, float]
    """By who took them, CPU seconds a second; ``core`` is all that anybody had of the worker's."""
    lost: int
    """Segments without an outcome, or with one that is neither ``assessed`` nor ``shed``."""
    wrong: int
    """Known pictures that were looked at and opened nothing, and incidents that should not be."""


class Moment(Struct, frozen=True, kw_only=True):
    """One second of the overload and its end, by when its segments were appended."""

    at_s: int
    """Seconds after the start."""
    offered: int
    shed: int
    p50: float | None
    """Milliseconds to the escalation; None where none was opened."""
    p99: float | None


class Overload(Struct, frozen=True, kw_only=True):
    """From half of the capacity to past it and back."""

    normal: float
    """Load before and after."""
    past: float
    """Load in between."""
    from_s: float
    """When it begins, seconds after the start."""
    to_s: float
    lateness_s: float
    """The setting ``overload.lateness_s``."""
    before_p99: float | None
    """Milliseconds to the escalation, before."""
    worst_ms: float | None
    """To an escalation, at any time."""
    recovered_s: float | None
    """After its end; None: not in the time that was looked at."""
    seconds: tuple[Moment, ...]
    lost: int
    wrong: int


class Cost(Struct, frozen=True, kw_only=True):
    """CPU a quiet segment at 70 % of capacity, beside the floors, which were taken on the same core meanwhile."""

    model: str
    capacity: Capacity
    """With this model."""
    streams: int
    seconds: float
    worker_ms: Figure
    """All of its processes."""
    parts_ms: Mapping[str, Figure]
    """By which of them."""
    idr_ms: Figure
    """That IDR alone."""
    bare_ms: Figure
    """Bare onnxruntime."""
    warm_ms: Figure
    """Both, a second time at once: with warm caches."""
    bytes_in_ms: Figure
    """What only reading the segments from the broker takes, with the same client."""
    over_floor: Figure
    """Worker over IDR and bare score, slice by slice."""
    over_floor_with_bytes_in: Figure
    """Worker over IDR, bare score and reading, slice by slice."""
    over_warm_floor: Figure
    around_ms: Mapping[str, float]
    """Broker, generator and what reads the answers, a segment."""


class Load(Struct, frozen=True, kw_only=True):
    """One run."""

    clip: str
    segment_bytes: int
    idr_bytes: int
    life: int
    """A stream's segments; the last one shows the known picture."""
    partitions: int
    lateness_s: float
    """``overload.lateness_s`` at all levels."""
    capacity: Capacity
    levels: tuple[Level, ...]
    overload: Overload
    costs: tuple[Cost, ...]
    repeated: int
    """Outcomes and incidents of a segment beyond its first, at all levels and in the overload."""
    skipped: Mapping[str, str]
    """What was not measured, and why."""


BOUNDS = (
    Bound(
        value="append to escalation at 70 % load, p99 over the unloaded median",
        limit=3,
        kind="speed",
        unit="x",
        why="streams evenly phased, as live ones are: at the load that one plans for nobody waits",
    ),
    Bound(
        value="throughput past capacity, of its peak",
        limit=0.95,
        side="at least",
        kind="speed",
        unit="",
        why="too much work must not keep from working",
    ),
    Bound(
        value="append to escalation past capacity, p99 over the lateness limit",
        limit=1,
        kind="speed",
        unit="x",
        why="what is told is still worth being told",
    ),
    Bound(
        value="back to normal after an overload",
        limit=10,
        kind="speed",
        unit="s",
        why="p99 of a second within twice that of before, nothing shed, for three seconds",
    ),
    Bound(
        value="whole worker's CPU a segment, over IDR and bare score (demo model)",
        limit=1.25,
        kind="speed",
        unit="x",
        why="at 70 % of capacity, the floors on the same core meanwhile; reading the bytes is no part of the floor",
    ),
    Bound(
        value="the same with OpenNSFW",
        limit=1.25,
        kind="speed",
        unit="x",
        why="a classifier of the size that people use",
    ),
    Bound(
        value="segments without just one outcome",
        limit=0,
        kind="quality",
        unit="",
        why="each published one is assessed or, past capacity, shed; once",
    ),
    Bound(
        value="incidents missing or too many",
        limit=0,
        kind="quality",
        unit="",
        why="one for each known picture that was looked at",
    ),
)


def strangers(cores: Mapping[str, float]) -> float:
    """Return how much of the worker's core others had, of CPU seconds a second by who took them."""
    return max(0.0, cores.get("core", 0.0) - sum(cores.get(name, 0.0) for name in WORKER))


def unloaded_ms(levels: Sequence[Level]) -> float | None:
    """Return the median to the escalation at the lowest load."""
    lowest = min(levels, key=lambda level: level.load, default=None)
    return lowest.escalation.p50 if lowest is not None and lowest.escalation is not None else None


def peak_per_s(result: Load) -> float:
    """Return the most that was looked at in a second, from the backlog or at any level."""
    return max(result.capacity.per_s, *(level.assessed_per_s for level in result.levels))


def knee_of(result: Load) -> float | None:
    """Return the highest load of evenly phased streams up to which p99 is near the unloaded median."""
    even = [level for level in result.levels if level.arrivals == "even"]
    unloaded = unloaded_ms(even)
    if unloaded is None:
        return None
    return knee({level.load: level.escalation.p99 for level in even if level.escalation}, unloaded)


def values(result: Load) -> dict[str, float | None]:
    """Return what is held to the bounds, by its name there."""
    even = [level for level in result.levels if level.arrivals == "even"]
    past = [level for level in even if level.load > PAST]
    by_model = {cost.model: cost.over_floor.median for cost in result.costs}
    measured = (
        _over(_p99(level for level in even if level.load == USUAL), unloaded_ms(even)),
        min((level.assessed_per_s for level in past), default=None),
        _over(_p99(past), result.lateness_s * 1000),
        _recovered(result.overload),
        by_model.get("demo"),
        by_model.get("opennsfw"),
        result.repeated + result.overload.lost + sum(level.lost for level in result.levels),
        result.overload.wrong + sum(level.wrong for level in result.levels),
    )
    found = {bound.value: value for bound, value in zip(BOUNDS, measured, strict=True)}
    throughput = BOUNDS[1].value
    return found | {throughput: _over(found[throughput], peak_per_s(result))}


def checks(result: Load) -> tuple[Check, ...]:
    """Return every bound with what was measured."""
    measured = values(result)
    return tuple(Check(bound=bound, measured=measured[bound.value]) for bound in BOUNDS)


def _p99(levels: Iterable[Level]) -> float | None:
    return max((level.escalation.p99 for level in levels if level.escalation is not None), default=None)


def _over(value: float | None, under: float | None) -> float | None:
    return None if value is None or not under else value / under


def _recovered(overload: Overload) -> float | None:
    """Not back while it was watched is never; without anything before there is nothing to go back to."""
    if overload.before_p99 is None:
        return None
    return math.inf if overload.recovered_s is None else overload.recovered_s
