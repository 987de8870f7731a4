"""What each step of a segment's way costs beside its physical floor."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from benchmarks import clips
from benchmarks.clips import Recipe
from benchmarks.figures import Figure, figure, ratios
from benchmarks.part import Part
from benchmarks.stages import measure as stages
from benchmarks.stages import quality, report
from benchmarks.stages.result import (
    IDR_RATIO,
    JAIL_RATIO,
    SCORE_RATIO,
    WAY_RATIO,
    ClipResult,
    Quality,
    Stages,
    WayResult,
    checks,
)
from worker.errors import UsageError
from worker.scoring import session
from worker.scoring.opennsfw import pack_opennsfw

if TYPE_CHECKING:
    from benchmarks.clips import Clip
    from benchmarks.part import Run
    from benchmarks.stages.measure import Jailed
    from worker.records import HashList
    from worker.scoring.session import Classifier

DEMO = Path(__file__).parents[2] / "models" / "demo"


class Scale(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    recipes: tuple[Recipe, ...]
    rounds: int
    pictures: int
    list_size: int
    real_model: bool


FULL = Scale(recipes=clips.FULL, rounds=41, pictures=48, list_size=100_000, real_model=True)
QUICK = Scale(recipes=clips.QUICK, rounds=5, pictures=6, list_size=20_000, real_model=False)


def measure(run: Run) -> Stages:
    """Measure every step of the pinned segments."""
    scale, skipped = QUICK if run.quick else FULL, dict[str, str]()
    with ExitStack() as closing:
        made = clips.make(scale.recipes, run.seed)
        pictures = _pictures(scale, run.seed, skipped)
        known = stages.hash_list(scale.list_size, run.seed)
        demo = session.load(DEMO, threads=1)
        closing.callback(demo.close)
        jail = closing.enter_context(stages.jailed())
        return Stages(
            rounds=scale.rounds,
            segments=clips.same_as_pinned(made, run.seed),
            list_size=scale.list_size,
            clips=tuple(_clip(run, clip, demo, jail, scale.rounds) for clip in made),
            ways=_ways(run, made, demo, known, scale, skipped),
            quality=_quality(run, made, pictures, demo=demo, jail=jail, known=known),
            skipped=skipped,
        )


def _pictures(scale: Scale, seed: int, skipped: dict[str, str]) -> list[Clip]:
    reason = quality.why_no_oracle()
    if reason is not None:
        skipped["PDQ beside pdqhash"] = reason
    return [] if reason is not None else quality.pictures(scale.pictures, seed)


def _clip(run: Run, clip: Clip, demo: Classifier, jail: Jailed, rounds: int) -> ClipResult:
    run.tell(clip.name)
    taken = stages.decoding(clip, demo.view, jail, rounds)
    return ClipResult(
        name=clip.name,
        sha256=clip.sha256,
        segment_bytes=len(clip.data),
        idr_bytes=clip.idr_bytes,
        ms=_figures(taken),
        ratios=_paired(taken, IDR_RATIO, JAIL_RATIO),
    )


def _ways(
    run: Run, made: list[Clip], demo: Classifier, known: HashList, scale: Scale, skipped: dict[str, str]
) -> tuple[WayResult, ...]:
    """The first heavy segment of each height, with the demo model and with OpenNSFW where it is installed."""
    firsts: dict[str, Clip] = {}
    for clip in made:
        if clip.heavy:
            firsts.setdefault(clip.name.split()[0], clip)
    ways = [_way(run, clip, demo, DEMO, known, scale.rounds) for clip in firsts.values()]
    if not scale.real_model:
        skipped["OpenNSFW"] = "a quick run"
        return tuple(ways)
    with tempfile.TemporaryDirectory() as name, ExitStack() as closing:
        folder = Path(name) / "opennsfw"
        try:
            pack_opennsfw(folder)
        except UsageError as error:
            skipped["OpenNSFW"] = str(error)
            return tuple(ways)
        real = session.load(folder, threads=1)
        closing.callback(real.close)
        return (*ways, *(_way(run, clip, real, folder, known, scale.rounds) for clip in firsts.values()))


def _way(run: Run, clip: Clip, classifier: Classifier, folder: Path, known: HashList, rounds: int) -> WayResult:
    run.tell(f"the whole way: {clip.name}, {classifier.ref.name}")
    taken = stages.way(clip, classifier, folder / "model.onnx", known, rounds)
    return WayResult(
        clip=clip.name, model=classifier.ref.name, ms=_figures(taken), ratios=_paired(taken, WAY_RATIO, SCORE_RATIO)
    )


def _quality(
    run: Run, made: list[Clip], pictures: list[Clip], *, demo: Classifier, jail: Jailed, known: HashList
) -> Quality:
    run.tell("quality")
    bits = quality.pdq_bits(pictures, demo.view) if pictures else []
    return Quality(
        pdq_pictures=len(bits),
        pdq_mean_bits=sum(bits) / len(bits) if bits else None,
        pdq_max_bits=max(bits, default=None),
        keyframes_off=sum(quality.keyframes_off(clip, demo.view) for clip in made),
        jail_differs=sum(quality.jail_differs(clip, demo.view, jail) for clip in made),
        score_off=quality.score_off(made[0], demo, DEMO / "model.onnx"),
        matches_wrong=quality.matches_wrong(known, run.seed),
    )


def _figures(taken: dict[str, list[float]]) -> dict[str, Figure]:
    return {name: figure(of) for name, of in taken.items()}


def _paired(taken: dict[str, list[float]], *names: str) -> dict[str, Figure]:
    pairs = {name: name.split(" / ") for name in names}
    return {name: figure(ratios(taken[above], taken[below])) for name, (above, below) in pairs.items()}


PART = Part(
    name="stages",
    title="A segment's way beside its floor",
    result=Stages,
    measure=measure,
    checks=checks,
    text=report.text,
    plots=report.plots,
)
