"""The plumbing of a pair: equal weights, equal batches, and the proof that both cells agree."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from regbook.arrays import to_numpy

# How a parameter is laid out in PyTorch, as the axes to transpose to reach the Keras layout.
# (Linear: out x in, Dense: in x out. Conv2d: OIHW, Conv2D: HWIO.)
_TO_KERAS_AXES = {"Linear": (1, 0), "Conv2d": (2, 3, 1, 0)}
_TORCH_NAMES = ("weight", "bias", "running_mean", "running_var")
_KERAS_NAMES = ("kernel", "gamma", "bias", "beta", "moving_mean", "moving_variance")
_KERAS_OF_TORCH = {
    "Linear": "Dense",
    "Conv2d": "Conv2D",
    "BatchNorm1d": "BatchNormalization",
    "BatchNorm2d": "BatchNormalization",
    "LayerNorm": "LayerNormalization",
    "GroupNorm": "GroupNormalization",
}


class AgreementError(AssertionError):
    """The two cells of a pair do not compute the same thing."""


def is_torch(model: Any) -> bool:
    """Tell whether a model is PyTorch's own; a Keras model on the PyTorch backend is not."""
    return hasattr(model, "named_modules") and not _is_keras(model)


def _is_keras(model):
    return hasattr(model, "_flatten_layers")


def _keras_layers(model):
    """List all layers below `model`, parents first, in the order in which they were added."""
    found = []
    for layer in model._layers:
        found += [layer, *_keras_layers(layer)]
    return list({id(layer): layer for layer in found}.values())


def _variables(model):
    """List `(layer label, keras layer kind, axes to the Keras layout, variable)` in layer order."""
    found = []
    if is_torch(model):
        for name, module in model.named_modules():
            kind = type(module).__name__
            own = [getattr(module, n, None) for n in _TORCH_NAMES]
            held = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            if held and kind not in _KERAS_OF_TORCH:
                raise TypeError(f"no Keras twin is known for torch layer {name} ({kind})")
            for variable in own:
                if hasattr(variable, "shape"):
                    axes = _TO_KERAS_AXES.get(kind) if variable is own[0] else None
                    found.append((f"{name} ({kind})", _KERAS_OF_TORCH[kind], axes, variable))
    elif _is_keras(model):
        for layer in _keras_layers(model):
            kind = type(layer).__name__
            base = next(
                (c.__name__ for c in type(layer).__mro__ if c.__name__ in _KERAS_OF_TORCH.values()),
                kind,
            )
            for name in _KERAS_NAMES:
                variable = getattr(layer, name, None)
                if hasattr(variable, "assign"):
                    found.append((f"{layer.name} ({kind})", base, None, variable))
        known = {id(variable) for *_, variable in found}
        for variable in model.weights:
            if id(variable) not in known:
                raise TypeError(f"no PyTorch twin is known for the Keras weight {variable.path}")
    else:
        raise TypeError(f"expected a Keras or a PyTorch model, got {type(model).__name__}")
    return found


def weights(model: Any) -> list[np.ndarray]:
    """Return the weights of a Keras or PyTorch model as NumPy arrays in the layout of Keras.

    The order is layer by layer: kernel (or gamma), bias (or beta), moving mean, moving variance.
    A Dense kernel has shape (in, out), a Conv2D kernel (height, width, in, out).
    Raises TypeError for a layer whose twin is not known.
    """
    return [
        to_numpy(v).transpose(axes) if axes else to_numpy(v) for _, _, axes, v in _variables(model)
    ]


def set_weights(model: Any, arrays: Sequence[ArrayLike]) -> None:
    """Replace the weights of a Keras or PyTorch model by `arrays`, as `weights` returns them.

    Raises ValueError, naming the layer, when the number or a shape does not match.
    """
    variables = _variables(model)
    if len(variables) != len(arrays):
        raise ValueError(
            f"{len(arrays)} arrays for a model with {len(variables)} weights: are all layers "
            "there, built, and with the same biases?"
        )
    for array, (label, _, axes, variable) in zip(arrays, variables, strict=True):
        array = to_numpy(array)
        if axes and array.ndim == len(axes):
            array = array.transpose(np.argsort(axes))
        if array.shape != tuple(variable.shape):
            raise ValueError(
                f"{label} holds an array of shape {tuple(variable.shape)}, got {array.shape} "
                "(both in the layout of its own library)"
            )
        if hasattr(variable, "assign"):
            variable.assign(array)
        else:
            variable.data.copy_(variable.data.new_tensor(array))


def copy_weights(source: Any, target: Any) -> None:
    """Give `target` the weights of `source`; one is a Keras model, the other a PyTorch model.

    Layers are matched in order: Dense and Linear, Conv2D and Conv2d, BatchNormalization and
    BatchNorm1d/2d (moving statistics included), LayerNormalization and LayerNorm. Kernels are
    transposed. A Dense layer behind a flattened image also needs its rows reordered, from
    (height, width, channel) to (channel, height, width): that is left to the caller.

    Raises ValueError, naming the layers, when the two models do not match.
    """
    kinds = [[(kind, label) for label, kind, _, _ in _variables(m)] for m in (source, target)]
    for (kind, label), (other_kind, other_label) in zip(*kinds, strict=False):
        if kind != other_kind:
            raise ValueError(f"{label} does not match {other_label}: the layers differ")
    set_weights(target, weights(source))


def batches(n: int, batch_size: int, epochs: int = 1, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield the row indices of each mini-batch, freshly shuffled in every epoch.

    Feed both cells of a pair from it: the frameworks' own shuffles cannot be made equal.
    n: number of rows. The last batch of an epoch may be smaller. Yields integer arrays.
    """
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(n)
        for start in range(0, n, batch_size):
            yield order[start : start + batch_size]


def _arrays(result):
    """List the arrays of a result: a model's weights, the items of a list, or the one array."""
    if is_torch(result) or _is_keras(result):
        return weights(result)
    return [to_numpy(item) for item in (result if isinstance(result, list | tuple) else [result])]


def largest_difference(keras: Any, torch: Any) -> float:
    """Return the largest absolute difference between two results, as a float.

    Each is a model (its weights are compared), an array, or a list of arrays of equal shapes.
    Raises AgreementError when the shapes differ or a value is not finite.
    """
    ours, theirs = _arrays(keras), _arrays(torch)
    shapes, other_shapes = [a.shape for a in ours], [a.shape for a in theirs]
    if shapes != other_shapes:
        raise AgreementError(f"shapes differ: Keras {shapes}, PyTorch {other_shapes}")
    if not all(a.size for a in ours) or not ours:
        raise AgreementError(f"nothing to compare: empty results, of shapes {shapes}")
    gaps = [np.abs(a.astype(np.float64) - b).max() for a, b in zip(ours, theirs, strict=True)]
    if not np.isfinite(gaps).all():
        raise AgreementError(
            "a value is not finite: "
            + ", ".join(
                f"array {i} of shape {s}"
                for i, (g, s) in enumerate(zip(gaps, shapes, strict=True))
                if not np.isfinite(g)
            )
        )
    return float(max(gaps))


def agree(*, keras: Any, torch: Any, tol: float, what: str = "outputs") -> None:
    """Print one line when the two cells of a pair agree; raise AgreementError when they do not.

    keras, torch: what to compare, see `largest_difference`. tol: largest absolute difference
    allowed. what: what was compared, for the printed line, which is the same on every machine.
    """
    gap = largest_difference(keras, torch)
    if gap > tol:
        raise AgreementError(
            f"Keras and PyTorch disagree on {what}: the largest difference is "
            f"{gap:.2g}, allowed is {tol:.2g}"
        )
    print(f"Keras and PyTorch agree within {tol:.2g}: {what}")
