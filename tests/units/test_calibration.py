"""Calibration measures against scikit-learn and against a loop over the bins."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from regbook.calibration import (
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
)

RNG = np.random.default_rng(0)
P, Y = RNG.dirichlet(np.ones(4), size=(3, 200)), RNG.integers(0, 4, size=(3, 200))


def by_loop(p, y, bins):
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    total = 0
    for low in np.arange(bins) / bins:
        inside = (confidence > low) & (confidence <= low + 1 / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


def test_scores_are_those_of_scikit_learn():
    labels = range(4)
    assert np.allclose(
        negative_log_likelihood(P, Y),
        [log_loss(y, p, labels=labels) for p, y in zip(P, Y, strict=True)],
    )
    assert np.allclose(
        brier_score(P, Y),
        [
            brier_score_loss(y, p, labels=labels, scale_by_half=False)
            for p, y in zip(P, Y, strict=True)
        ],
    )


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_error_is_the_loop_over_bins(bins):
    expected = [by_loop(p, y, bins) for p, y in zip(P, Y, strict=True)]
    assert np.allclose(expected_calibration_error(P, Y, bins), expected)
    assert np.isclose(expected_calibration_error(P[0], Y[0], bins), expected[0])


def test_reliability_of_known_rows():
    p = np.array([[0.95, 0.05], [0.91, 0.09], [0.55, 0.45], [0.4, 0.6]])
    share, confidence, accuracy = reliability(p, [0, 1, 0, 1], bins=10)
    assert np.allclose(share[[5, 9]], [0.5, 0.5])  # a confidence of 0.6 lies below the edge
    assert np.allclose(confidence[[5, 9]], [0.575, 0.93])
    assert np.allclose(accuracy[[5, 9]], [1, 0.5])
    assert np.isnan(accuracy[:5]).all()


def test_classes_may_be_shared_by_the_seeds():
    shared = np.broadcast_to(Y[0], Y.shape)
    assert np.array_equal(brier_score(P, Y[0]), brier_score(P, shared))


@pytest.mark.parametrize(
    ("p", "y", "sentence"),
    [
        (P, Y[:, :5], r"expected p of shape \(\.\.\., n, K\) and y of shape"),
        (P[0, 0], Y[0], "expected p of shape"),
        (3 * P, Y, "expected probabilities"),
        (P - 0.25, Y, "expected probabilities"),
    ],
)
def test_bad_input_is_named(p, y, sentence):
    with pytest.raises(ValueError, match=sentence):
        brier_score(p, y)
