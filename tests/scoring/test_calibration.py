"""Scores and probabilities: bounded, in order, and as the formula says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from worker.scoring.calibration import EPSILON, activate, calibrate
from worker.scoring.manifest import Activation, Calibration

scores = st.floats(0, 1)
calibrations = st.builds(Calibration, slope=st.floats(1e-3, 1e3), intercept=st.floats(-1e3, 1e3))
numbers = arrays.arrays(
    np.float32, st.integers(1, 8), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
)


@given(low=scores, high=scores, calibration=calibrations | st.none())
def test_a_higher_score_is_never_less_probable(low: float, high: float, calibration: Calibration | None) -> None:
    """Calibration keeps the order."""
    low, high = sorted((low, high))
    assert calibrate(low, calibration) <= calibrate(high, calibration)


@given(score=scores, calibration=calibrations | st.none())
def test_a_probability_stays_between_0_and_1(score: float, calibration: Calibration | None) -> None:
    """Whatever slope and intercept."""
    assert 0 <= calibrate(score, calibration) <= 1


@given(score=scores)
def test_slope_1_and_intercept_0_leave_a_score_as_it_is(score: float) -> None:
    """But for the clipping of the logit."""
    assert calibrate(score, Calibration(slope=1.0, intercept=0.0)) == pytest.approx(score, abs=2 * EPSILON)


@given(score=scores)
def test_without_calibration_the_score_is_the_probability(score: float) -> None:
    """Exactly."""
    assert calibrate(score, None) == score


def test_calibration_is_the_sigmoid_of_the_scaled_logit() -> None:
    """A score of 0.8 has the logit ln 4; twice that less ln 4 is ln 4 again, less 2 ln 4 is -ln 4."""
    ln4 = float(np.log(4))
    assert calibrate(0.8, Calibration(slope=2.0, intercept=-ln4)) == pytest.approx(0.8)
    assert calibrate(0.8, Calibration(slope=1.0, intercept=-2 * ln4)) == pytest.approx(0.2)


@given(values=numbers, activation=st.sampled_from(["softmax", "sigmoid"]))
def test_scores_of_any_finite_numbers_stay_between_0_and_1(values: np.ndarray, activation: Activation) -> None:
    """Without overflow, and in the order of the numbers."""
    result = activate(values, activation)
    assert ((result >= 0) & (result <= 1)).all()
    assert (np.diff(result[np.argsort(values)]) >= 0).all()


@given(values=numbers)
def test_softmax_sums_to_1(values: np.ndarray) -> None:
    """Over all labels."""
    assert activate(values, "softmax").sum() == pytest.approx(1)


def test_activations_are_what_their_names_say() -> None:
    """Against numbers worked out by hand."""
    assert activate(np.array([0, np.log(3)], np.float32), "softmax") == pytest.approx([0.25, 0.75])
    assert activate(np.array([0, np.log(3)], np.float32), "sigmoid") == pytest.approx([0.5, 0.75])
    assert activate(np.array([0.25, 1.0], np.float32), "none") == pytest.approx([0.25, 1.0])


def test_rounding_of_a_graphs_own_softmax_is_let_pass() -> None:
    """A float32 a hair above 1 is 1, and a hair below 0 is 0."""
    assert activate(np.array([1.0000001, -1e-7], np.float32), "none").tolist() == [1.0, 0.0]


@pytest.mark.parametrize("value", [-0.01, 1.01, 1e30])
def test_numbers_outside_0_to_1_are_no_scores(value: float) -> None:
    """With activation "none" they are refused, not clipped."""
    with pytest.raises(ValueError, match="is outside 0 to 1"):
        activate(np.array([0.5, value], np.float32), "none")
