"""From the graph's numbers to scores, and from scores to probabilities. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from worker.records import FrameScore, Score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from worker.scoring.manifest import Activation, Calibration, Manifest

EPSILON = 1e-6
"""Scores are held this far from 0 and 1 before their logit is taken (so it stays within ±13.8), and a graph's own
softmax may miss 0 and 1 by this much through rounding."""


def activate(numbers: NDArray[np.float32], activation: Activation) -> NDArray[np.float64]:
    """Makes scores of the graph's numbers.

    Args:
        numbers: One picture's, finite, (labels,).
        activation: The manifest's.

    Returns:
        Scores from 0 to 1, (labels,).

    Raises:
        ValueError: With "none", a number is outside 0 to 1.
    """
    values = numbers.astype(np.float64)
    if activation == "softmax":
        powers = np.exp(values - values.max())
        return np.asarray(powers / powers.sum(), np.float64)
    if activation == "sigmoid":
        return np.exp(-np.logaddexp(0.0, -values))
    if values.min() < -EPSILON or values.max() > 1 + EPSILON:
        raise ValueError(f"a score of {values[np.argmax(abs(values - 0.5))]:g} is outside 0 to 1")
    return values.clip(0.0, 1.0)


def calibrate(score: float, calibration: Calibration | None) -> float:
    """Makes a probability of a score: sigmoid(slope * logit(score) + intercept), or the score itself.

    Platt scaling over the logit: J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999.

    Args:
        score: 0 to 1.
        calibration: The label's; None where it has none.

    Returns:
        0 to 1; never less for a higher score.
    """
    if calibration is None:
        return score
    held = min(max(score, EPSILON), 1 - EPSILON)
    return _sigmoid(calibration.slope * math.log(held / (1 - held)) + calibration.intercept)


def interpret(numbers: NDArray[np.float32], manifest: Manifest) -> FrameScore:
    """Makes scores and probabilities of one picture's numbers, a label each.

    Args:
        numbers: One picture's, finite, (labels,).
        manifest: Labels, activation and calibrations.

    Raises:
        ValueError: The numbers are not scores as the manifest says, or not as many as it has labels.
    """
    labels = manifest.output.labels
    if len(numbers) != len(labels):
        raise ValueError(f"{len(numbers)} numbers for {len(labels)} labels")
    scores = activate(numbers, manifest.output.activation).tolist()
    return {
        label: Score(score=score, probability=calibrate(score, manifest.calibration.get(label)))
        for label, score in zip(labels, scores, strict=True)
    }


def _sigmoid(value: float) -> float:
    """Without overflow on either side."""
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    power = math.exp(value)
    return power / (1 + power)
