"""Right and wrong answers to the exercises of chapter 08.

A wrong answer is a pair: the key of the check that must name it, and the function.
"""

import numpy as np


def penalty_loop(weights, lam):
    total = 0.0
    for w in weights:
        for value in w.ravel():
            total += abs(value)
    return lam * total


def penalty_torch(weights, lam):
    import torch

    return lam * sum(torch.as_tensor(w).abs().sum() for w in weights)


def penalty_keras(weights, lam):
    import keras

    return sum(keras.regularizers.L1(lam)(w.astype("float32")) for w in weights)


def penalty_norm(weights, lam):
    return np.float32(lam * np.linalg.norm(np.concatenate([w.ravel() for w in weights]), 1))


def soft_where(w, t):
    return np.where(w > t, w - t, np.where(w < -t, w + t, 0.0))


def soft_loop(w, t):
    result = [max(abs(v) - t, 0) * (1 if v > 0 else -1) for v in w.ravel()]
    return np.array(result, np.float32).reshape(w.shape)


def soft_minus_clip(w, t):
    return w - np.clip(w, -t, t)


def soft_torch(w, t):
    import torch

    return torch.nn.functional.softshrink(torch.tensor(w), t)


def soft_keras(w, t):
    import keras

    return keras.ops.soft_shrink(keras.ops.convert_to_tensor(w, "float32"), t)


def soft_in_place(w, t):
    small = np.abs(w) <= t
    w -= t * np.sign(w)
    w[small] = 0
    return w


def net_numpy(weights, l1, l2):
    value = sum(l1 * np.abs(w).sum() + l2 * (w**2).sum() for w in weights)
    return value, [l1 * np.sign(w) + 2 * l2 * w for w in weights]


def net_flat(weights, l1, l2):
    """A right variant that returns the gradients beside the value, not in a list."""
    value, gradients = net_numpy(weights, l1, l2)
    return value, *gradients


def net_backward(weights, l1, l2):
    import torch

    kernels = [torch.nn.Parameter(torch.tensor(w, dtype=torch.float32)) for w in weights]
    penalty = torch.zeros(())
    for w in kernels:
        penalty = penalty + l1 * torch.linalg.vector_norm(w, 1) + l2 * w.square().sum()
    penalty.backward()
    return penalty.item(), [w.grad for w in kernels]


def net_keras(weights, l1, l2):
    import keras
    import tensorflow as tf

    kernels = [tf.Variable(w, dtype=tf.float32) for w in weights]
    with tf.GradientTape() as tape:
        penalty = sum(keras.regularizers.L1L2(l1, l2)(w) for w in kernels)
    return penalty, tape.gradient(penalty, kernels)


def _net(value=None, gradient=None, kernels=lambda weights: weights):
    """Build an answer with one thing wrong."""
    value = value or (lambda a, s, l1, l2: l1 * a + l2 * s)
    gradient = gradient or (lambda w, l1, l2: l1 * np.sign(w) + 2 * l2 * w)

    def answer(weights, l1, l2):
        total = sum(value(np.abs(w).sum(), (w**2).sum(), l1, l2) for w in kernels(weights))
        return total, [gradient(w, l1, l2) for w in weights]

    return answer


def net_detached(weights, l1, l2):
    """The L1 part is computed with NumPy, outside the graph."""
    import torch

    kernels = [torch.tensor(w, requires_grad=True) for w in weights]
    penalty = l1 * sum(np.abs(w).sum() for w in weights) + l2 * sum((w**2).sum() for w in kernels)
    return penalty, torch.autograd.grad(penalty, kernels)


def sparsity_concatenate(weights, tol):
    return (np.abs(np.concatenate([w.ravel() for w in weights])) <= tol).mean()


def sparsity_loop(weights, tol):
    values = [v for w in weights for v in w.ravel()]
    return np.float32(sum(-tol <= v <= tol for v in values) / len(values))


def sparsity_torch(weights, tol):
    import torch

    flat = torch.cat([torch.tensor(w).flatten() for w in weights])
    return (flat.abs() <= tol).double().mean()


def colleague(weights, tol):
    shares = []
    for w in weights:
        shares.append((w < tol).mean())
    return np.mean(shares)


def activity_mean_of_sums(outputs, lam):
    return lam * np.abs(outputs).reshape(len(outputs), -1).sum(axis=1).mean()


def activity_loop(outputs, lam):
    return np.float32(lam * sum(np.abs(row).sum() for row in outputs) / outputs.shape[0])


def activity_torch(outputs, lam):
    import torch

    return lam * torch.tensor(outputs).abs().sum() / outputs.shape[0]


def activity_keras(outputs, lam):
    import keras

    layer = keras.layers.Activation("linear", activity_regularizer=keras.regularizers.L1(lam))
    layer(keras.ops.convert_to_tensor(outputs, "float32"))
    return layer.losses[0]


RIGHT = {
    "l1_penalty": [penalty_loop, penalty_torch, penalty_keras, penalty_norm],
    "soft_threshold": [
        soft_where,
        soft_loop,
        soft_minus_clip,
        soft_torch,
        soft_keras,
        soft_in_place,
    ],
    "elastic_net_penalty": [net_numpy, net_flat, net_backward, net_keras],
    "sparsity": [sparsity_concatenate, sparsity_loop, sparsity_torch],
    "activity_penalty": [activity_mean_of_sums, activity_loop, activity_torch, activity_keras],
}

WRONG = {
    "l1_penalty": [
        ("squares", lambda weights, lam: lam * sum((w**2).sum() for w in weights)),
        ("euclidean", lambda weights, lam: lam * sum(np.linalg.norm(w) for w in weights)),
        ("operator", lambda weights, lam: lam * sum(
            np.abs(w).sum(axis=0).max() if w.ndim == 2 else np.abs(w).sum() for w in weights)),
        ("signed", lambda weights, lam: lam * sum(w.sum() for w in weights)),
        ("outside", lambda weights, lam: lam * sum(abs(w.sum()) for w in weights)),
        ("mean", lambda weights, lam: lam * sum(np.abs(w).mean() for w in weights)),
        ("first-only", lambda weights, lam: lam * np.abs(weights[0]).sum()),
        ("last-only", lambda weights, lam: lam * np.abs(weights[-1]).sum()),
        ("no-strength", lambda weights, lam: sum(np.abs(w).sum() for w in weights)),
        ("grows_in_proportion", lambda weights, lam: 0.0),
        ("form", lambda weights, lam: [lam * np.abs(w).sum() for w in weights]),
        ("error", lambda weights, lam: lam * np.abs(weights).sum()),
    ],
    "soft_threshold": [
        ("hard", lambda w, t: np.where(np.abs(w) > t, w, 0)),
        ("sign-lost", lambda w, t: np.maximum(np.abs(w) - t, 0)),
        ("overshoots", lambda w, t: w - t * np.sign(w)),
        ("subtracts", lambda w, t: w - t),
        ("positive-only", lambda w, t: np.maximum(w - t, 0)),
        ("clips", lambda w, t: np.clip(w, -t, t)),
        ("reversed", lambda w, t: np.where(np.abs(w) > t, 0, w)),
        ("grows", lambda w, t: np.where(np.abs(w) > t, w + t * np.sign(w), 0)),
        ("shrinks", lambda w, t: w / (1 + t)),
        ("shrinks", lambda w, t: (1 - t) * w),
        ("makes_exact_zeros", lambda w, t: np.sign(w) * np.maximum(np.abs(w) - t, 1e-7)),
        ("form", lambda w, t: (np.sign(w) * np.maximum(np.abs(w) - t, 0)).ravel()),
        ("error", lambda w, t: w - t if w > t else w + t if w < -t else 0),
    ],
    "elastic_net_penalty": [
        ("swapped", _net(value=lambda a, s, l1, l2: l2 * a + l1 * s)),
        ("halved", _net(value=lambda a, s, l1, l2: l1 * a + l2 / 2 * s)),
        ("root", _net(value=lambda a, s, l1, l2: l1 * a + l2 * np.sqrt(s))),
        ("mixed", _net(value=lambda a, s, l1, l2: l1 * a + l2 * a)),
        ("only-l1", _net(value=lambda a, s, l1, l2: l1 * a)),
        ("only-l2", _net(value=lambda a, s, l1, l2: l2 * s)),
        ("first-only", _net(kernels=lambda weights: weights[:1])),
        ("last-only", _net(kernels=lambda weights: weights[-1:])),
        ("factor-two", _net(gradient=lambda w, l1, l2: l1 * np.sign(w) + l2 * w)),
        ("unsigned", _net(gradient=lambda w, l1, l2: l1 + 2 * l2 * w)),
        ("l2-only", net_detached),
        ("l1-only", _net(gradient=lambda w, l1, l2: l1 * np.sign(w))),
        ("fading", _net(gradient=lambda w, l1, l2: l1 * w + 2 * l2 * w)),
        ("ascent", _net(gradient=lambda w, l1, l2: -(l1 * np.sign(w) + 2 * l2 * w))),
        ("zero", _net(gradient=lambda w, l1, l2: 0 * w)),
        ("form", lambda weights, l1, l2: net_numpy(weights, l1, l2)[0]),
        ("form", _net(gradient=lambda w, l1, l2: w.sum())),
    ],
    "sparsity": [
        ("unrepaired", colleague),
        ("signed", lambda weights, tol: np.mean(
            np.concatenate([w.ravel() for w in weights]) < tol)),
        ("mean-of-means", lambda weights, tol: np.mean(
            [(np.abs(w) <= tol).mean() for w in weights])),
        ("percent", lambda weights, tol: 100 * sparsity_concatenate(weights, tol)),
        ("count", lambda weights, tol: sum((np.abs(w) <= tol).sum() for w in weights)),
        ("density", lambda weights, tol: 1 - sparsity_concatenate(weights, tol)),
        ("first-only", lambda weights, tol: (np.abs(weights[0]) <= tol).mean()),
        ("last-only", lambda weights, tol: (np.abs(weights[-1]) <= tol).mean()),
        ("strict", lambda weights, tol: np.mean(
            np.abs(np.concatenate([w.ravel() for w in weights])) < tol)),
        ("counts_small_weights", lambda weights, tol: sparsity_concatenate(weights, 0)),
        ("form", lambda weights, tol: [(np.abs(w) <= tol).mean() for w in weights]),
    ],
    "activity_penalty": [
        ("summed", lambda outputs, lam: lam * np.abs(outputs).sum()),
        ("mean", lambda outputs, lam: lam * np.abs(outputs).mean()),
        ("per-unit", lambda outputs, lam: lam * np.abs(outputs).sum() / outputs.shape[1]),
        ("squares", lambda outputs, lam: lam * (outputs**2).sum() / len(outputs)),
        ("signed", lambda outputs, lam: lam * outputs.sum() / len(outputs)),
        ("no-strength", lambda outputs, lam: np.abs(outputs).sum() / len(outputs)),
        ("per-row", lambda outputs, lam: lam * np.abs(outputs).sum(axis=1)),
        ("positions", lambda outputs, lam: lam * np.abs(outputs).sum(axis=-1).mean()),
        ("last-axis", lambda outputs, lam: lam * np.abs(outputs).sum() / outputs.shape[-1]),
        ("does_not_depend_on_the_batch_size", lambda outputs, lam: lam * np.abs(outputs).sum() / 6),
        ("error", lambda outputs: 0.0),
    ],
}  # fmt: skip
