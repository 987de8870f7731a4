"""Latency and throughput of one worker on one core, from idle to past capacity and back, and what a segment costs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from benchmarks.load import cost, level, pictures, report
from benchmarks.load.level import Came
from benchmarks.load.play import LIFE, Stretch, backlog, evenly, one_after_the_other, poisson, streams_at
from benchmarks.load.result import USUAL, Capacity, Cost, Level, Load, Overload, checks, strangers
from benchmarks.load.stand import standing
from benchmarks.part import Part
from benchmarks.rig.topics import PARTITIONS
from worker.errors import UsageError
from worker.scoring.opennsfw import pack_opennsfw

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.load.pictures import Bodies
    from benchmarks.load.stand import Stand
    from benchmarks.part import Run
    from benchmarks.rig.publishing import Due, Sent

DEMO = Path(__file__).parents[2] / "models" / "demo"
LATENESS_S = 5.0
NORMAL, PAST = 0.5, 1.2
WARM = 20
"""Segments that a worker has worked before it is measured."""
STARTS_WITHIN_S = 60.0
SLOWEST_S = 0.5
"""A segment takes no longer, however busy the machine is."""
MIDDLE = (0.25, 0.95)
"""Of a backlog, in the order of the answers: what comes before is starting, what comes after is the end of it."""


class Wanted(Struct, frozen=True):
    """A level."""

    load: float
    """Share of the capacity."""
    seconds: float
    arrivals: Literal["even", "poisson"] = "even"


class Scale(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    backlog: int
    real_backlog: int
    """With the real model; 0: without it."""
    levels: tuple[Wanted, ...]
    overload: tuple[float, float, float]
    """Seconds before, past capacity, and after."""
    cost_s: float
    slice_s: float
    settle_s: float
    """So much of the beginning of each stretch is left out."""


FULL = Scale(
    backlog=1000,
    real_backlog=500,
    levels=(
        Wanted(0.1, 30),
        Wanted(0.25, 20),
        Wanted(0.5, 20),
        Wanted(USUAL, 40),
        Wanted(USUAL, 40, "poisson"),
        Wanted(0.85, 20),
        Wanted(1.0, 20),
        Wanted(PAST, 20),
    ),
    overload=(12, 20, 15),
    cost_s=32,
    slice_s=3,
    settle_s=2,
)
QUICK = Scale(
    backlog=150,
    real_backlog=0,
    levels=(Wanted(0.1, 3), Wanted(USUAL, 3)),
    overload=(2, 2, 4),
    cost_s=3,
    slice_s=1,
    settle_s=1,
)


def measure(run: Run) -> Load:
    """Find the capacity; then play every level, the overload, and the cost at 70 % with each model."""
    scale, skipped = QUICK if run.quick else FULL, dict[str, str]()
    with tempfile.TemporaryDirectory() as name:
        run.tell("segments")
        bodies = pictures.make(Path(name), run.seed)
        demo = _cost(run, bodies, DEMO, scale, count=scale.backlog, known=True)
        levels, overload, repeated = _levels(run, bodies, demo.capacity.per_s, scale)
        return Load(
            clip=bodies.name,
            segment_bytes=bodies.segment_bytes,
            idr_bytes=bodies.idr_bytes,
            life=LIFE,
            partitions=PARTITIONS,
            lateness_s=LATENESS_S,
            capacity=demo.capacity,
            levels=levels,
            overload=overload,
            costs=(demo, *_real(run, bodies, scale, skipped)),
            repeated=repeated,
            skipped=skipped,
        )


def _real(run: Run, bodies: Bodies, scale: Scale, skipped: dict[str, str]) -> Iterator[Cost]:
    """The cost with OpenNSFW, where it is installed. No known pictures: what a block list knows is not scored."""
    if not scale.real_backlog:
        skipped["the cost with OpenNSFW"] = "a quick run"
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "opennsfw"
        try:
            pack_opennsfw(folder)
        except UsageError as error:
            skipped["the cost with OpenNSFW"] = str(error)
            return
        yield _cost(run, bodies, folder, scale, count=scale.real_backlog, known=False)


def _cost(run: Run, bodies: Bodies, model: Path, scale: Scale, *, count: int, known: bool) -> Cost:
    """One worker with default settings: its capacity from a backlog, then its cost at a share of that."""
    run.tell(f"capacity from a backlog, {model.name}")
    ahead = backlog(count, "backlog", PARTITIONS, known=known)
    with standing(run, bodies, model, f"load-{model.name}", ahead=ahead) as (stand, sent):
        capacity = _capacity(stand, ahead, sent)
        run.tell(f"CPU a segment at {USUAL:.0%} of {capacity.per_s:.1f} segments a second, {model.name}")
        return cost.measure(
            stand, bodies, model, capacity, seconds=scale.cost_s, settle_s=scale.settle_s, slice_s=scale.slice_s
        )


def _capacity(stand: Stand, ahead: Sequence[Due], sent: Sequence[Sent]) -> Capacity:
    stand.until_answered(sent, within_s=STARTS_WITHIN_S + len(ahead) * SLOWEST_S)
    came_ms = sorted(stand.answers.outcomes[one.where].at_ms for one in sent)
    begin_ms, end_ms = (came_ms[round(len(came_ms) * share) - 1] for share in MIDDLE)
    count = sum(begin_ms < at_ms <= end_ms for at_ms in came_ms)
    seconds, spent = (end_ms - begin_ms) / 1000, stand.meter.spent(begin_ms / 1000, end_ms / 1000)
    return Capacity(
        segments=count,
        per_s=count / seconds,
        cpu_ms={name: had_s * 1000 / count for name, had_s in spent.items()},
        strangers=strangers({name: had_s / seconds for name, had_s in spent.items()}),
    )


def _levels(run: Run, bodies: Bodies, per_s: float, scale: Scale) -> tuple[tuple[Level, ...], Overload, int]:
    """One worker that may shed what is too late, at every level in turn, and then past capacity and back.

    Returns:
        Levels, overload, and how many outcomes and incidents came more than once.
    """
    ahead = backlog(WARM, "warm", PARTITIONS)
    with standing(run, bodies, DEMO, "load-levels", lateness_s=LATENESS_S, ahead=ahead) as (stand, sent):
        stand.until_answered(sent, within_s=STARTS_WITHIN_S)
        levels = tuple(_level(run, stand, wanted, per_s, scale.settle_s) for wanted in scale.levels)
        run.tell(f"past capacity and back: {NORMAL:.0%}, {PAST:.0%}, {NORMAL:.0%}")
        return levels, _overload(stand, per_s, scale), stand.answers.repeated


def _level(run: Run, stand: Stand, wanted: Wanted, per_s: float, settle_s: float) -> Level:
    stretch = Stretch(streams=streams_at(per_s, wanted.load), seconds=wanted.seconds)
    run.tell(f"{wanted.load:.0%} of capacity, {stretch.streams} streams, {wanted.arrivals}")
    stem = f"{wanted.arrivals}-{wanted.load:g}"
    if wanted.arrivals == "even":
        due = evenly(stretch, stem, PARTITIONS)
    else:
        due = poisson(stretch, stem, PARTITIONS, run.seed)
    played = stand.play(due, stretch.seconds)
    came = Came(played, stand.answers.outcomes, stand.answers.opened)
    spent = stand.meter.spent(played.start_s + settle_s, played.start_s + stretch.seconds)
    return level.level(
        came, load=wanted.load, arrivals=wanted.arrivals, stretch=stretch, spent=spent, settle_s=settle_s
    )


def _overload(stand: Stand, per_s: float, scale: Scale) -> Overload:
    stretches = [
        Stretch(streams=streams_at(per_s, load), seconds=seconds)
        for load, seconds in zip((NORMAL, PAST, NORMAL), scale.overload, strict=True)
    ]
    played = stand.play(one_after_the_other(stretches, "overload", PARTITIONS), sum(scale.overload))
    came = Came(played, stand.answers.outcomes, stand.answers.opened)
    return level.overload(came, stretches, (NORMAL, PAST), lateness_s=LATENESS_S, settle_s=scale.settle_s)


PART = Part(
    name="load",
    title="Under load: one worker on one core, from idle to past capacity",
    result=Load,
    measure=measure,
    checks=checks,
    text=report.text,
    plots=report.plots,
)
