"""What a segment costs as cores, workers, streams, sizes and lists grow."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from benchmarks import clips
from benchmarks.load import pictures
from benchmarks.part import NotHere, Part
from benchmarks.scale import backlog, lists, report, sizes
from benchmarks.scale.backlog import DEMO, PARTITIONS, SMALL, SMALL_PARTITIONS, Backlogs
from benchmarks.scale.result import FEW, LONG, MANY, Grown, Scale, Streams, Worked, checks
from benchmarks.scale.sizes import Sizes

if TYPE_CHECKING:
    from benchmarks.load.pictures import Bodies
    from benchmarks.part import Run


class Extent(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    backlog: int
    """Segments a core."""
    grown: tuple[tuple[int, int], ...]
    """Cores and workers of one run after the other."""
    small: int
    """Segments that the streams share."""
    streams: tuple[int, ...]
    """How many in one run after the other."""
    sizes: Sizes
    entries: tuple[int, ...]
    rounds: int


ONE, TWO = (1, 1), (2, 1)
FULL = Extent(
    backlog=600,
    grown=(ONE, TWO, (1, 2), (2, 2), TWO, ONE, (2, 4), (1, 4), ONE, TWO, (2, 3), (1, 3), TWO, ONE),
    small=3000,
    streams=(FEW, MANY, 100, 1000, MANY, FEW, FEW, MANY, 1000, 100, MANY, FEW),
    sizes=Sizes(megabytes=(0.2, 0.6, 2, 4, 8), rounds=4, burst_bytes=150_000_000, least=24, most=60),
    entries=(0, 10_000, 100_000, LONG),
    rounds=41,
)
QUICK = Extent(
    backlog=120,
    grown=(ONE, TWO),
    small=400,
    streams=(FEW, MANY),
    sizes=Sizes(megabytes=(0.2, 1), rounds=1, burst_bytes=4_000_000, least=4, most=8),
    entries=(0, 10_000, 100_000),
    rounds=3,
)


def measure(run: Run) -> Scale:
    """Measure each axis by itself; runs that are held against each other take turns."""
    extent, skipped = QUICK if run.quick else FULL, dict[str, str]()
    backlogs = Backlogs(run)
    with tempfile.TemporaryDirectory() as name:
        run.tell("segments")
        bodies = pictures.make(Path(name), run.seed)
        grown = _grown(run, backlogs, bodies, extent, skipped)
    small = backlog.small(run.seed, -(-extent.small // FEW))
    streams = _streams(run, backlogs, small, extent)
    run.tell("segments of all sizes, inline and by claim check")
    by_size, wrong = sizes.measure(run, extent.sizes)
    run.tell("lists of all lengths")
    return Scale(
        clip=bodies.name,
        segment_bytes=bodies.segment_bytes,
        partitions=PARTITIONS,
        backlog=extent.backlog,
        shared=len(os.sched_getaffinity(0)) <= TWO[0],
        grown=grown,
        small=f"{SMALL.height}p {SMALL.codec} {SMALL.weight}",
        small_bytes=len(small[0]),
        small_segments=extent.small,
        small_partitions=SMALL_PARTITIONS,
        streams=streams,
        sizes=by_size,
        lists=lists.measure(DEMO, run.seed, extent.entries, extent.rounds),
        list_clip=clips.make((lists.RECIPE,), run.seed)[0].name,
        wrong=backlogs.wrong + wrong,
        skipped=skipped,
    )


def _grown(run: Run, backlogs: Backlogs, bodies: Bodies, extent: Extent, skipped: dict[str, str]) -> tuple[Grown, ...]:
    """As many segments a core, whatever has the cores."""
    found: dict[tuple[int, int], list[Worked]] = {}
    for cores, workers in extent.grown:
        run.tell(f"cores: {cores}, workers: {workers}")
        try:
            worked = backlogs.grown(bodies, cores=cores, workers=workers, count=extent.backlog * cores)
        except NotHere as reason:
            skipped[f"{workers} workers on {cores} cores"] = str(reason)
            continue
        found.setdefault((cores, workers), []).append(worked)
    return tuple(
        Grown(cores=cores, workers=workers, runs=tuple(runs)) for (cores, workers), runs in sorted(found.items())
    )


def _streams(run: Run, backlogs: Backlogs, small: list[bytes], extent: Extent) -> tuple[Streams, ...]:
    found: dict[int, list[Worked]] = {}
    for streams in extent.streams:
        run.tell(f"streams: {streams}")
        found.setdefault(streams, []).append(backlogs.streams(small, streams=streams, count=extent.small))
    return tuple(Streams(streams=streams, runs=tuple(runs)) for streams, runs in sorted(found.items()))


PART = Part(
    name="scale",
    title="As it grows: cores, workers, streams, sizes, lists",
    result=Scale,
    measure=measure,
    checks=checks,
    text=report.text,
    plots=report.plots,
)
