"""What a quiet segment costs at 70 % of capacity, in slices of time, beside the floors of the same slices."""

from __future__ import annotations

from contextlib import ExitStack
from statistics import mean, median
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import Struct

from benchmarks.figures import Figure, figure
from benchmarks.load.floors import Floors, Turn
from benchmarks.load.level import Came
from benchmarks.load.play import Stretch, evenly, streams_at
from benchmarks.load.result import AROUND, USUAL, WORKER, Capacity, Cost
from benchmarks.rig import meter, processes
from benchmarks.rig.reader import Reading
from benchmarks.rig.topics import PARTITIONS
from worker.examine import examine
from worker.records import Ask
from worker.scoring import folder
from worker.scoring.preparation import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.load.pictures import Bodies
    from benchmarks.load.stand import Played, Stand
    from benchmarks.rig.meter import Look

EVERY_S = 0.25
"""A turn of the floors: some ms of the core, which the worker leaves."""
READER = "bytes in"


class Slice(Struct, frozen=True, kw_only=True):
    """Milliseconds of CPU a segment in some seconds."""

    worker: dict[str, float]
    around: dict[str, float]
    bytes_in: float
    idr: float
    bare: float
    warm: float

    @property
    def total(self) -> float:
        """All of the worker's processes."""
        return sum(self.worker.values())


def measure(
    stand: Stand, bodies: Bodies, model: Path, capacity: Capacity, *, seconds: float, settle_s: float, slice_s: float
) -> Cost:
    """Play quiet live streams at 70 %, the floors and a bare reader on the worker's core beside it."""
    stretch = Stretch(streams=streams_at(capacity.per_s, USUAL), seconds=seconds)
    plan = _floors(stand, bodies, model)
    with ExitStack() as closing:
        core = stand.split.measured
        reading = Reading(kafka=stand.settings.kafka, topic=stand.settings.topics.segments, partitions=PARTITIONS)
        reader = closing.enter_context(processes.helper("benchmarks.rig.reader", reading, stand.folder, cores=core))
        closing.enter_context(stand.counting(READER, reader))
        closing.enter_context(processes.helper("benchmarks.load.floors", plan, stand.folder, cores=core))
        played = stand.play(evenly(stretch, f"cost-{model.name}", PARTITIONS, known=False), seconds)
    turns = msgspec.json.decode((stand.folder / "turns.json").read_bytes(), type=list[Turn])
    slices = sliced(stand.meter.looks, played, turns, begin_s=settle_s, end_s=seconds, slice_s=slice_s)
    return told(slices, model.name, capacity, stretch)


def _floors(stand: Stand, bodies: Bodies, model: Path) -> Floors:
    """An input for the graph, and where the turns are written down."""
    manifest = folder.read(model).manifest
    ask = Ask(
        content_type="video/mp2t",
        interval_s=2,
        max_keyframes=1,
        view=manifest.input.view,
        max_pixels=stand.settings.jail.max_pixels,
        max_streams=stand.settings.jail.max_streams,
    )
    picture = examine(bodies.segments[0], None, ask).frames[0].picture
    if picture is None:
        raise ValueError("no picture was asked for")
    ready = stand.folder / "ready.npy"
    np.save(ready, prepare(picture, manifest.input))
    return Floors(
        segments=bodies.quiet,
        model=str(model / "model.onnx"),
        ready=str(ready),
        every_s=EVERY_S,
        out=str(stand.folder / "turns.json"),
    )


def sliced(
    looks: Sequence[Look], played: Played, turns: Sequence[Turn], *, begin_s: float, end_s: float, slice_s: float
) -> list[Slice]:
    """Return each slice between two moments of a stretch; one in which the floors had no turn is left out."""
    came, found = Came(played, {}, {}), []
    for number in range(int((end_s - begin_s) / slice_s)):
        from_s = begin_s + number * slice_s
        count = len(came.within(from_s, from_s + slice_s))
        at_s = played.start_s + from_s
        inside = [turn for turn in turns if at_s <= turn.at_s < at_s + slice_s]
        if count and inside:
            found.append(_slice(meter.spent(looks, at_s, at_s + slice_s), count, inside))
    return found


def _slice(spent: dict[str, float], count: int, turns: Sequence[Turn]) -> Slice:
    def ms(name: str) -> float:
        return spent.get(name, 0.0) * 1000 / count

    return Slice(
        worker={name: ms(name) for name in WORKER},
        around={name: ms(name) for name in AROUND},
        bytes_in=ms(READER),
        idr=median(turn.idr for turn in turns),
        bare=median(turn.bare for turn in turns),
        warm=median(turn.warm_idr + turn.warm_bare for turn in turns),
    )


def told(slices: Sequence[Slice], model: str, capacity: Capacity, stretch: Stretch) -> Cost:
    """Return the medians of the slices, and the ratios slice by slice."""

    def of(value: Callable[[Slice], float]) -> Figure:
        return figure([value(one) for one in slices])

    return Cost(
        model=model,
        capacity=capacity,
        streams=stretch.streams,
        seconds=stretch.seconds,
        worker_ms=of(lambda one: one.total),
        parts_ms={name: of(lambda one, name=name: one.worker[name]) for name in WORKER},
        idr_ms=of(lambda one: one.idr),
        bare_ms=of(lambda one: one.bare),
        warm_ms=of(lambda one: one.warm),
        bytes_in_ms=of(lambda one: one.bytes_in),
        over_floor=of(lambda one: one.total / (one.idr + one.bare)),
        over_floor_with_bytes_in=of(lambda one: one.total / (one.idr + one.bare + one.bytes_in)),
        over_warm_floor=of(lambda one: one.total / one.warm),
        around_ms={name: mean(one.around[name] for one in slices) for name in AROUND},
    )
