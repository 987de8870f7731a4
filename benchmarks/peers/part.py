"""How much it costs beside the way people do this today."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from benchmarks import clips
from benchmarks.clips import Recipe
from benchmarks.figures import figure, ratios
from benchmarks.part import NotHere, Part
from benchmarks.peers import environment, pipelines, playing, readers, report
from benchmarks.peers.result import KINDS, OURS, Peers, Pipeline, checks, fastest
from benchmarks.rig import cores
from benchmarks.stages import quality
from worker.errors import UsageError
from worker.scoring import session
from worker.scoring.opennsfw import pack_opennsfw

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.clips import Clip
    from benchmarks.figures import Figure
    from benchmarks.part import Run
    from benchmarks.peers.pipelines import Load, Once, Scene, Way
    from benchmarks.peers.result import Hashing, Reading
    from worker.records import View

DEMO = Path(__file__).parents[2] / "models" / "demo"
PLAYED = Recipe(height=720, codec="h264", weight="heavy", containers=("ts",))
"""What the pipelines are given."""


class Scale(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    recipes: tuple[Recipe, ...]
    readers: tuple[str, ...]
    rounds: int
    hash_rounds: int
    pictures: int
    load: pipelines.Load
    pipeline_rounds: int
    real_model: bool


FULL = Scale(
    recipes=(
        Recipe(height=720, codec="h264", weight="heavy", containers=("ts", "cmaf")),
        Recipe(height=720, codec="h264", weight="light", containers=("ts",)),
        Recipe(height=1080, codec="h264", weight="heavy", containers=("ts",)),
    ),
    readers=tuple(KINDS),
    rounds=5,
    hash_rounds=21,
    pictures=48,
    load=pipelines.Load(warm=8, low=16, burst=60),
    pipeline_rounds=3,
    real_model=True,
)
QUICK = Scale(
    recipes=(PLAYED,),
    readers=("pyav", "cv2-1fps"),
    rounds=3,
    hash_rounds=3,
    pictures=6,
    load=pipelines.Load(warm=4, low=6, burst=20),
    pipeline_rounds=1,
    real_model=False,
)


def measure(run: Run) -> Peers:
    """Measure readers, hash and pipelines beside those of the peers. Raises NotHere where there are none."""
    reason = environment.why_not()
    if reason is not None:
        raise NotHere(reason)
    scale, skipped = QUICK if run.quick else FULL, dict[str, str]()
    made = clips.make(scale.recipes, run.seed)
    demo = session.load(DEMO, threads=1)
    run.closing.callback(demo.close)
    packages, readings = _readings(run, made, demo.view, scale)
    hashings, bits = _hashings(run, made, demo.view, scale, skipped)
    return Peers(
        rounds=scale.rounds,
        pipeline_rounds=scale.pipeline_rounds,
        segments=clips.same_as_pinned(made, run.seed),
        burst=scale.load.burst,
        list_size=playing.LIST_SIZE,
        packages=packages,
        readings=readings,
        hashings=hashings,
        bits=bits,
        pipelines=_pipelines(run, fastest(readings, "pyav"), scale, skipped),
        skipped=skipped,
    )


def _readings(run: Run, made: list[Clip], view: View, scale: Scale) -> tuple[dict[str, str], tuple[Reading, ...]]:
    readings = []
    with readers.theirs() as peers:
        for clip in made:
            run.tell(f"readers: {clip.name}")
            readings.append(readers.reading(clip, view, peers, scale.readers, scale.rounds))
        return peers.packages, tuple(readings)


def _hashings(
    run: Run, made: list[Clip], view: View, scale: Scale, skipped: dict[str, str]
) -> tuple[tuple[Hashing, ...], tuple[int, ...]]:
    reason = quality.why_no_oracle()
    if reason is not None:
        skipped["PDQ beside pdqhash"] = reason
        return (), ()
    run.tell("PDQ beside pdqhash")
    with readers.one_core():
        found = tuple(readers.hashing(clip, view, scale.hash_rounds) for clip in made if clip.init is None)
    return found, tuple(quality.pdq_bits(quality.pictures(scale.pictures, run.seed), view))


# --- pipelines --------------------------------------------------------------------------------------------------------


def _pipelines(run: Run, quickest: str, scale: Scale, skipped: dict[str, str]) -> tuple[Pipeline, ...]:
    try:
        cluster = run.broker()
    except NotHere as reason:
        skipped["pipelines"] = str(reason)
        return ()
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(dir=_memory())))
        pid, split = cluster.brokers[0].pid, cores.split()
        closing.enter_context(_apart(pid, split.around))
        made = playing.bodies(PLAYED, run.seed)
        scene = pipelines.Scene(
            servers=cluster.bootstrap_servers,
            broker_pid=pid,
            bodies=made,
            height=PLAYED.height,
            lists=playing.hash_list(folder / "known", made[playing.PICTURES], np.random.default_rng(run.seed)),
            model=DEMO,
            folder=folder,
            measured=split.measured,
        )
        every = pipelines.ways(quickest, quick=run.quick)
        found = _rounds(run, every, scene, skipped, load=scale.load, rounds=scale.pipeline_rounds)
        theirs = [one for one in found if one.name != OURS]
        if not scale.real_model or not theirs:
            return found
        try:
            pack_opennsfw(folder / "opennsfw")
        except UsageError as error:
            skipped["OpenNSFW"] = str(error)
            return found
        real = replace(scene, model=folder / "opennsfw")
        best = min(theirs, key=lambda one: one.ratio.median)
        two = [way for way in every if (way.name, way.recipe) in {(OURS, OURS), (best.name, best.recipe)}]
        return (*found, *_rounds(run, two, real, skipped, load=scale.load, rounds=scale.pipeline_rounds - 1))


def _memory() -> Path | None:
    return readers.MEMORY if readers.MEMORY.is_dir() else None


@contextmanager
def _apart(broker_pid: int, around: cores.Cores) -> Iterator[None]:
    """Keep broker and publisher off the core that is measured."""
    before = frozenset(os.sched_getaffinity(0))
    for pid in (broker_pid, os.getpid()):
        cores.pin(pid, around)
    try:
        yield
    finally:
        for pid in (broker_pid, os.getpid()):
            cores.pin(pid, before)


def _rounds(
    run: Run, every: Sequence[Way], scene: Scene, skipped: dict[str, str], *, load: Load, rounds: int
) -> tuple[Pipeline, ...]:
    """Run all, round by round, every other round backwards. Who can't goes no further, and is told of."""
    model = scene.model.name
    taken: list[list[Once]] = [[] for _ in every]
    for number in range(rounds):
        for place, way in list(enumerate(every))[:: -1 if number % 2 else 1]:
            name = f"{way.name}, {way.recipe}, {model}"
            if name in skipped:
                continue
            run.tell(f"pipeline {name}, round {number + 1} of {rounds}")
            try:
                taken[place].append(pipelines.once(way, scene, load, f"peers-{model}-{number}-{place}"))
            except (RuntimeError, TimeoutError) as error:
                if way.script is None:
                    raise
                skipped[name] = str(error).replace("\n", " ")[:300]
    whole = [(way, ones) for way, ones in zip(every, taken, strict=True) if len(ones) == rounds]
    return tuple(_pipeline(way, model, ones, taken[0]) for way, ones in whole)


def _figure(values: list[float]) -> Figure | None:
    return figure(values) if values else None


def _pipeline(way: Way, model: str, ones: list[Once], ours: list[Once]) -> Pipeline:
    return Pipeline(
        name=way.name,
        recipe=way.recipe,
        model=model,
        cpu_ms=figure([one.cpu_ms for one in ones]),
        broker_ms=figure([one.broker_ms for one in ones]),
        latency_ms=_figure([ms for one in ones for ms in one.latency_ms]),
        ratio=figure(ratios([one.cpu_ms for one in ones], [one.cpu_ms for one in ours])),
        wrong=sum(one.wrong for one in ones),
    )


PART = Part(
    name="peers",
    title="Beside the way people do this today",
    result=Peers,
    measure=measure,
    checks=checks,
    text=report.text,
    plots=report.plots,
)
