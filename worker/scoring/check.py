"""What ``framewatch model check`` does: reads a folder as the worker would, and says what it found."""

from __future__ import annotations

import statistics
import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from worker.records import ModelRef, View
from worker.scoring import folder as model_folder
from worker.scoring.judgement import CARD
from worker.scoring.mistakes import Mistake
from worker.scoring.pack import TO_WRITE
from worker.scoring.providers import USUAL
from worker.scoring.session import Classifier

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from worker.settings.tree import Scoring


@dataclass(frozen=True, slots=True)
class Report:
    """A model folder in which nothing is wrong."""

    ref: ModelRef
    licence: str
    view: View
    labels: tuple[str, ...]
    harmless: frozenset[str]
    calibrated: tuple[str, ...]
    """Labels with a calibration of their own."""
    provider: str
    """onnxruntime's execution provider that ran the examples."""
    examples: int
    largest_difference: float
    tolerance: float
    picture_ms: float
    """Median time of one picture on one thread, preparation and calibration included."""
    notes: tuple[str, ...]
    """What is not wrong but should be looked at, with file and line."""

    @property
    def checks(self) -> tuple[str, ...]:
        """What was checked, a sentence each."""
        return (
            f"model.onnx is the file that model.toml names (sha256 {self.ref.sha256[:12]}…), in one piece",
            f"the graph takes {self.view.height}x{self.view.width} pictures and gives {len(self.labels)} labels",
            f"{self.examples} examples ran on {self.provider} and agree",
            f"their largest difference is {self.largest_difference:.2g}, the tolerance {self.tolerance:.2g}",
            f"one picture takes {self.picture_ms:.1f} ms (median, one thread)",
        )


def check(
    folder: Path, settings: Scoring = USUAL, *, runs: int = 21, clock: Callable[[], float] = time.perf_counter
) -> Report:
    """Checks a model folder as at the worker's start, and measures it.

    Args:
        folder: The model folder.
        settings: Where and how it shall run; its folder and threads don't count.
        runs: How many pictures are timed, after one to warm up.
        clock: Seconds, for the timing.

    Raises:
        UsageError: All mistakes in the folder, a line each, with the file and the line to change.
    """
    model = model_folder.read(folder, replace(settings, threads=1))
    with closing(Classifier(model, threads=1)) as classifier:
        picture_ms = _median_ms(classifier, runs, clock)
    output = model.manifest.output
    return Report(
        ref=model.ref,
        licence=model.manifest.licence,
        view=model.manifest.input.view,
        labels=output.labels,
        harmless=output.harmless,
        calibrated=tuple(model.manifest.calibration),
        provider=model.rehearsal.provider,
        examples=model.rehearsal.examples,
        largest_difference=model.rehearsal.largest_difference,
        tolerance=model.rehearsal.tolerance,
        picture_ms=picture_ms,
        notes=tuple(_notes(folder, model)),
    )


def _median_ms(classifier: Classifier, runs: int, clock: Callable[[], float]) -> float:
    picture = np.zeros((classifier.view.height, classifier.view.width, 3), np.uint8)
    classifier.score_one(picture)
    times_ms = []
    for _ in range(runs):
        begun = clock()
        classifier.score_one(picture)
        times_ms.append((clock() - begun) * 1000)
    return statistics.median(times_ms)


def _notes(folder: Path, model: model_folder.Model) -> list[str]:
    notes = list(model.running.notes)
    notes += [
        Mistake(CARD, number, "is still to be written").told(folder)
        for number, line in enumerate(model.card.splitlines(), start=1)
        if TO_WRITE in line
    ]
    bare = [label for label in model.manifest.output.labels if label not in _calibrated_or_harmless(model)]
    if bare:
        words = f"no calibration for {', '.join(bare[:10])}: the score is taken for the probability"
        notes.append(Mistake("model.toml", None, words).told(folder))
    return notes


def _calibrated_or_harmless(model: model_folder.Model) -> set[str]:
    return {*model.manifest.calibration, *model.manifest.output.harmless}
