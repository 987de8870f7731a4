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
from benchmarks.stages import decoding, quality, report, way
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
    from collections.abc import Iterator

    from benchmarks.clips import Clip
    from benchmarks.part import Run
    from benchmarks.stages.decoding import Jailed
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
    scale = QUICK if run.quick else FULL
    with ExitStack() as closing:
        demo = session.load(DEMO, threads=1)
        closing.callback(demo.close)
        return _Measuring(run, scale, demo, closing.enter_context(decoding.jailed())).stages()


class _Measuring:
    """One run's segments, list and models."""

    def __init__(self, run: Run, scale: Scale, demo: Classifier, jail: Jailed) -> None:
        self._run, self._scale, self._demo, self._jail = run, scale, demo, jail
        self._clips = clips.make(scale.recipes, run.seed)
        self._known = way.hash_list(scale.list_size, run.seed)
        self._skipped: dict[str, str] = {}

    def stages(self) -> Stages:
        """Measure everything."""
        return Stages(
            rounds=self._scale.rounds,
            segments=clips.same_as_pinned(self._clips, self._run.seed),
            list_size=self._scale.list_size,
            clips=tuple(map(self._clip, self._clips)),
            ways=(*self._ways(self._demo, DEMO), *self._real_ways()),
            quality=self._quality(),
            skipped=self._skipped,
        )

    def _clip(self, clip: Clip) -> ClipResult:
        self._run.tell(clip.name)
        taken = decoding.decoding(clip, self._demo.view, self._jail, self._scale.rounds)
        return ClipResult(
            name=clip.name,
            sha256=clip.sha256,
            segment_bytes=len(clip.data),
            idr_bytes=clip.idr_bytes,
            ms=_figures(taken),
            ratios=_paired(taken, IDR_RATIO, JAIL_RATIO),
        )

    def _ways(self, classifier: Classifier, folder: Path) -> Iterator[WayResult]:
        """The first heavy segment of each height."""
        firsts: dict[str, Clip] = {}
        for clip in self._clips:
            if clip.heavy:
                firsts.setdefault(clip.name.split()[0], clip)
        for clip in firsts.values():
            self._run.tell(f"the whole way: {clip.name}, {classifier.ref.name}")
            taken = way.way(clip, classifier, folder / "model.onnx", self._known, self._scale.rounds)
            yield WayResult(
                clip=clip.name,
                model=classifier.ref.name,
                ms=_figures(taken),
                ratios=_paired(taken, WAY_RATIO, SCORE_RATIO),
            )

    def _real_ways(self) -> Iterator[WayResult]:
        """The same with OpenNSFW, where it is installed."""
        if not self._scale.real_model:
            self._skipped["OpenNSFW"] = "a quick run"
            return
        with tempfile.TemporaryDirectory() as name, ExitStack() as closing:
            folder = Path(name) / "opennsfw"
            try:
                pack_opennsfw(folder)
            except UsageError as error:
                self._skipped["OpenNSFW"] = str(error)
                return
            real = session.load(folder, threads=1)
            closing.callback(real.close)
            yield from self._ways(real, folder)

    def _quality(self) -> Quality:
        self._run.tell("quality")
        view, bits = self._demo.view, self._bits()
        return Quality(
            pdq_pictures=len(bits),
            pdq_mean_bits=sum(bits) / len(bits) if bits else None,
            pdq_max_bits=max(bits, default=None),
            keyframes_off=sum(quality.keyframes_off(clip, view) for clip in self._clips),
            jail_differs=sum(quality.jail_differs(clip, view, self._jail) for clip in self._clips),
            score_off=quality.score_off(self._clips[0], self._demo, DEMO / "model.onnx"),
            matches_wrong=quality.matches_wrong(self._known, self._run.seed),
        )

    def _bits(self) -> list[int]:
        reason = quality.why_no_oracle()
        if reason is not None:
            self._skipped["PDQ beside pdqhash"] = reason
            return []
        return quality.pdq_bits(quality.pictures(self._scale.pictures, self._run.seed), self._demo.view)


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
