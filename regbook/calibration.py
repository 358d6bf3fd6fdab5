"""How well predicted probabilities fit the outcomes: log loss, Brier score, calibration error.

Every function takes p, shape (..., n, K): the probability of each of K classes for n rows, and
y, shape (..., n): the true classes. Leading axes, such as one for the seeds of a sweep, are kept.
"""

import numpy as np
from numpy.typing import ArrayLike


def negative_log_likelihood(p: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Return the mean of -log p(true class), in nats. Shape: the leading axes."""
    p, y = _checked(p, y)
    return -np.log(np.take_along_axis(p, y[..., None], -1)[..., 0]).mean(-1)


def brier_score(p: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Return the mean squared distance of p to the one-hot target (0 to 2). Shape: leading axes.

    Source: Brier (1950), Verification of forecasts expressed in terms of probability.
    """
    p, y = _checked(p, y)
    return ((p - np.eye(p.shape[-1])[y]) ** 2).sum(-1).mean(-1)


def reliability(p: ArrayLike, y: ArrayLike, bins: int = 10) -> tuple[np.ndarray, ...]:
    """Return three arrays of shape (..., bins): share of the rows, mean confidence, accuracy.

    The confidence of a row is its largest probability. The bins divide 0 to 1 evenly; a
    confidence on an edge belongs to the bin below it. Empty bins hold 0, nan and nan.
    """
    p, y = _checked(p, y)
    confidence, right = p.max(-1), p.argmax(-1) == y
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    inside = number[..., None] == np.arange(bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 in an empty bin
        rows = inside.sum(-2)
        mean_confidence = (inside * confidence[..., None]).sum(-2) / rows
        accuracy = (inside * right[..., None]).sum(-2) / rows
    return rows / y.shape[-1], mean_confidence, accuracy


def expected_calibration_error(p: ArrayLike, y: ArrayLike, bins: int = 10) -> np.ndarray:
    """Return the mean gap between confidence and accuracy, weighted by the rows of each bin.

    Source: Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks.
    """
    share, confidence, accuracy = reliability(p, y, bins)
    return (share * np.nan_to_num(np.abs(accuracy - confidence))).sum(-1)


def _checked(p, y):
    p, y = np.asarray(p, float), np.asarray(y)
    if p.ndim < 2 or y.shape not in (p.shape[:-1], p.shape[-2:-1]):
        raise ValueError(
            f"expected p of shape (..., n, K) and y of shape (..., n), got {p.shape} and {y.shape}"
        )
    if not np.allclose(p.sum(-1), 1, atol=1e-3) or p.min() < 0:
        raise ValueError("expected probabilities: p must not be negative and must sum to 1 over K")
    return p, np.broadcast_to(y, p.shape[:-1])
