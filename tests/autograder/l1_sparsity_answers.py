"""Right and wrong answers to the exercises of chapter 08, for `test_answers`."""

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


def soft_loop(w, t):
    result = [max(abs(v) - t, 0) * (1 if v > 0 else -1) for v in w.ravel()]
    return np.array(result, np.float32).reshape(w.shape)


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


def net_in_place(weights, l1, l2):
    value, weights[:] = net_numpy(weights, l1, l2)
    return value, weights


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


def sparsity_in_place(weights, tol):
    for w in weights:
        w[np.abs(w) <= tol] = 0
    return sum((w == 0).sum() for w in weights) / sum(w.size for w in weights)


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
        lambda w, t: np.where(w > t, w - t, np.where(w < -t, w + t, 0.0)),
        soft_loop,
        lambda w, t: w - np.clip(w, -t, t),
        lambda w, t: np.maximum(w - t, 0) - np.maximum(-w - t, 0),
        soft_torch,
        soft_keras,
        lambda w, t: soft_in_place(w.copy(), t),
    ],
    "elastic_net_penalty": [
        net_numpy,
        lambda *given: (net_numpy(*given)[0], *net_numpy(*given)[1]),  # gradients not in a list
        net_backward,
        net_keras,
    ],
    "sparsity": [
        sparsity_concatenate,
        sparsity_loop,
        sparsity_torch,
        lambda weights, tol: np.average(
            [(np.abs(w) <= tol).mean() for w in weights], weights=[w.size for w in weights]
        ),
    ],
    "activity_penalty": [
        lambda a, lam: lam * np.abs(a).reshape(len(a), -1).sum(axis=1).mean(),
        lambda a, lam: np.float32(lam * sum(np.abs(row).sum() for row in a) / a.shape[0]),
        activity_torch,
        activity_keras,
    ],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "l1_penalty": [
        ("grows_in_proportion", lambda weights, lam: 0.0),
        ("form", lambda weights, lam: [lam * np.abs(w).sum() for w in weights]),
        ("error", lambda weights, lam: lam * np.abs(weights).sum()),
        ("changes its input", lambda weights, lam: lam * sum(
            np.abs(w, out=w).sum() for w in weights)),
    ],
    "soft_threshold": [
        ("makes_exact_zeros", lambda w, t: w * np.maximum(1 - t / (np.abs(w) + 1e-8), 0)),
        ("makes_exact_zeros", lambda w, t: np.sign(w) * np.maximum(np.abs(w) - t, 1e-7)),
        ("form", lambda w, t: w * np.maximum(1 - t / np.abs(w), 0)),  # 0 / 0 for t = 0
        ("form", lambda w, t: (np.sign(w) * np.maximum(np.abs(w) - t, 0)).ravel()),
        ("error", lambda w, t: w - t if w > t else w + t if w < -t else 0),
        ("changes its input", soft_in_place),
    ],
    "elastic_net_penalty": [
        ("l2-only", net_detached),
        ("form", lambda *given: net_numpy(*given)[0]),
        ("form", lambda *given: (net_numpy(*given)[0], [w.sum() for w in net_numpy(*given)[1]])),
        ("changes its input", net_in_place),
    ],
    "sparsity": [
        ("counts_small_weights", lambda weights, tol: sparsity_concatenate(weights, 0)),
        ("counts_exact_zeros", lambda weights, tol: sparsity_concatenate(weights, tol or 1e-6)),
        ("counts_exact_zeros", lambda weights, tol: sparsity_concatenate(weights, tol + 0.01)),
        ("form", lambda weights, tol: [(np.abs(w) <= tol).mean() for w in weights]),
        ("changes its input", sparsity_in_place),
    ],
    "activity_penalty": [
        ("does_not_depend_on_the_batch_size", lambda outputs, lam: lam * np.abs(outputs).sum() / 6),
        ("error", lambda outputs: 0.0),
        ("changes its input", lambda outputs, lam: (
            lam * np.abs(outputs, out=outputs).sum() / len(outputs))),
    ],
}  # fmt: skip
