"""One plain NumPy array out of whatever a framework returns."""

from decimal import Decimal
from numbers import Rational
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def to_numpy(value: Any) -> np.ndarray:
    """Return `value` as a plain `numpy.ndarray`, copied off any device and out of any graph.

    Accepts NumPy arrays, Python numbers and (nested) lists of them, torch tensors (also those
    that require a gradient), Keras tensors and variables. The shape and dtype are kept, but for
    what NumPy or a comparison lacks: torch's bfloat16 becomes float32, fractions and decimals
    float64, complex numbers without imaginary part real.

    Raises TypeError, in one sentence, for anything that is not numeric.
    """
    if hasattr(value, "detach"):  # torch: NumPy refuses tensors that require a gradient
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    if isinstance(value, (list, tuple)):
        value = [to_numpy(item) for item in value]
    if hasattr(value, "numpy") and callable(value.numpy):
        value = value.numpy()
    try:
        array = np.array(value)
    except (ValueError, TypeError) as error:
        raise TypeError(f"expected numbers of one rectangular shape, got {value!r}") from error
    if array.dtype.kind == "c" and (array.imag == 0).all():
        array = array.real.copy()
    elif array.dtype.kind == "O" and all(isinstance(x, Rational | Decimal) for x in array.flat):
        array = array.astype(np.float64)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"expected numbers, got {type(value).__name__} {value!r}"[:200])
    return array


def log_softmax(logits: ArrayLike) -> np.ndarray:
    """Return the logarithm of the softmax over the last axis, stable for large logits."""
    logits = np.asarray(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax(logits: ArrayLike) -> np.ndarray:
    """Return the softmax over the last axis: positive numbers that sum to 1."""
    return np.exp(log_softmax(logits))
