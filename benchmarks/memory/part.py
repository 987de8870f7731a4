"""What a worker keeps in memory, beside the formula of docs/memory.md."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from benchmarks import clips
from benchmarks.memory import report
from benchmarks.memory.footprint import Footprint, footprint
from benchmarks.memory.formula import MIB, Load, expected_bytes, most_bytes
from benchmarks.memory.result import DECODERS, ENTRIES, IN_WORK, STREAMS, Memory, Point, checks
from benchmarks.part import Part
from benchmarks.rig import crew, remembered
from benchmarks.rig.known import HEAD
from benchmarks.rig.publishing import Due
from worker.scoring import folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.part import Run
    from benchmarks.rig.crew import Crew
    from benchmarks.rig.publishing import Sent
    from worker.settings.tree import Settings

DEMO = Path(__file__).parents[2] / "models" / "demo"
HEAVY = clips.Recipe(height=720, codec="h264", weight="heavy", containers=("ts",))
LIGHT = clips.Recipe(height=288, codec="h264", weight="light", containers=("ts",))
PARTITIONS = 8
FIRST = 40
"""Small segments a decoder: a worker has done everything once, and no decoder was retired."""
FULLER = 2.5
"""A backlog is so many times what may be in work."""
LOOK_EVERY_S = 0.1
STARTS_WITHIN_S = 90.0


class Extent(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    decoders: tuple[int, ...]
    streams: tuple[int, ...]
    in_work_mib: tuple[int, ...]
    entries: tuple[int, ...]


FULL = Extent(
    decoders=(1, 2, 4),
    streams=(1000, 10_000, 30_000, 100_000),
    in_work_mib=(16, 64, 128, 256),
    entries=(10_000, 100_000, 1_000_000),
)
QUICK = Extent(decoders=(1,), streams=(10_000,), in_work_mib=(32,), entries=())


def measure(run: Run) -> Memory:
    """Measure a worker at each point, one after the other."""
    measuring, extent = _Measuring(run), QUICK if run.quick else FULL
    points = [
        *(measuring.point(DECODERS, count, Load(decoders=count)) for count in extent.decoders),
        *(measuring.point(STREAMS, count, Load(streams=count)) for count in extent.streams),
        *(measuring.point(IN_WORK, mib, Load(in_work_bytes=mib * MIB)) for mib in extent.in_work_mib),
        *(measuring.point(ENTRIES, count, Load(entries=count)) for count in extent.entries),
    ]
    return Memory(
        clip=measuring.clip.name, segment_bytes=len(measuring.clip.data), points=tuple(points), wrong=measuring.wrong
    )


class _Measuring:
    """One run."""

    def __init__(self, run: Run) -> None:
        self.wrong = 0
        self._run = run
        self.clip = clips.make((HEAVY,), run.seed)[0]
        self._bodies = [clips.make((LIGHT,), run.seed)[0].data, self.clip.data]
        self._view = folder.read(DEMO).manifest.input.view
        self._points = 0

    def point(self, axis: str, at: int, load: Load) -> Point:
        """Start a worker with a load, and look at it until all has its outcome."""
        self._run.tell(f"{axis}: {at}")
        self._points += 1
        with tempfile.TemporaryDirectory() as name:
            settings = self._settings(load, Path(name))
            split = crew.apart(1)
            with crew.prepared(self._run, settings, split, PARTITIONS) as these:
                ids = ((number % PARTITIONS, f"live/channel-{number:07d}") for number in range(load.streams))
                remembered.write(settings.kafka.bootstrap_servers, settings.topics.risk, ids)
                sent = these.publish(list(self._due(load)), self._bodies)
                with crew.working(these, split, PARTITIONS):
                    most = self._watched(these, sent)
                    self.wrong += these.wrong(sent)
        return Point(
            axis=axis,
            at=at,
            load=load,
            worker=most.worker,
            below=most.below,
            expected=expected_bytes(load),
            most=most_bytes(load, pictures_bytes=self._pictures_bytes(settings)),
        )

    def _settings(self, load: Load, folder: Path) -> Settings:
        """One scoring thread, and a limit that a backlog can reach."""
        known = (_listed(folder, load.entries, self._run.seed),) if load.entries else ()
        settings = crew.default_settings(self._run, f"memory-{self._points}", DEMO, *known)
        settings = replace(
            settings,
            jail=replace(settings.jail, processes=load.decoders),
            scoring=replace(settings.scoring, threads=1),
        )
        if not load.in_work_bytes:
            return settings
        intake = replace(settings.intake, max_bytes=load.in_work_bytes, max_segments=100_000, window=100_000)
        return replace(settings, intake=intake)

    def _due(self, load: Load) -> Iterable[Due]:
        """A few small segments; or a backlog of large ones, more than may be in work."""
        large = load.in_work_bytes > 0
        count = round(FULLER * load.in_work_bytes / len(self.clip.data)) if large else FIRST * load.decoders
        for number in range(count):
            yield Due(stream_id=f"new-{number}", sequence=0, partition=number % PARTITIONS, body=int(large))

    def _watched(self, these: Crew, sent: list[Sent]) -> Footprint:
        """The most that is seen from the first outcome to the last; what a start takes counts where it is kept."""
        wanted = {one.where for one in sent}
        these.answers.until(lambda: bool(these.answers.outcomes), STARTS_WITHIN_S)
        pid = these.workers[0].pid
        looks = [footprint(pid)]
        while not wanted <= these.answers.outcomes.keys():
            these.answers.take(LOOK_EVERY_S)
            looks.append(footprint(pid))
        return max(looks, key=lambda look: look.total)

    def _pictures_bytes(self, settings: Settings) -> int:
        at_once = 2 * (settings.jail.processes + settings.scoring.threads)
        return at_once * settings.sampling.max_keyframes * self._view.width * self._view.height * 3


def _listed(folder: Path, entries: int, seed: int) -> str:
    """Write a list of random hashes."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in HEAD.items()]
    (folder / "list.toml").write_text("\n".join(lines) + "\n")
    rows = np.random.default_rng(seed).integers(0, 256, (entries, 32), dtype=np.uint8)
    (folder / "random.txt").write_text("".join(f"{row.tobytes().hex()}\n" for row in rows))
    return str(folder)


PART = Part(
    name="memory",
    title="Memory, beside the formula",
    result=Memory,
    measure=measure,
    checks=checks,
    text=report.text,
    plots=report.plots,
)
