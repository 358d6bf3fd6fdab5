"""Right and wrong answers to the exercises of chapter 09, for `test_answers`."""

import numpy as np


def norms(w, axis=0):
    return np.sqrt((w**2).sum(axis=axis, keepdims=True)) + 1e-99  # no 0 / 0


def shrink(w, r, axis=0):
    return w * np.minimum(1, r / norms(w, axis))


# --- max_norm_projection ---------------------------------------------------------------------


def projection_loop(W, r, axis):
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    moved = np.moveaxis(np.array(W, float), axes, range(len(axes)))
    flat = moved.reshape(int(np.prod(moved.shape[: len(axes)])), -1).copy()
    for unit in range(flat.shape[1]):
        length = sum(value**2 for value in flat[:, unit]) ** 0.5
        if length > r:
            flat[:, unit] *= r / length
    return np.moveaxis(flat.reshape(moved.shape), range(len(axes)), axes)


def projection_keras(W, r, axis):
    import keras

    axis = list(axis) if isinstance(axis, tuple) else axis
    return keras.constraints.MaxNorm(r, axis=axis)(W)


def projection_torch(W, r, axis):
    import torch

    w = torch.tensor(W)
    norm = torch.linalg.vector_norm(w, dim=axis, keepdim=True)
    return w * (r / norm).clamp(max=1)


def projection_float32(W, r, axis):
    W = np.float32(W)
    norm = norms(W, axis)
    return np.where(norm > r, W * np.float32(r) / np.maximum(norm, np.float32(1e-9)), W)


def projection_nan(W, r, axis):
    norm = np.sqrt((W**2).sum(axis=axis, keepdims=True))
    with np.errstate(all="ignore"):
        return W / norm * np.minimum(norm, r)


# --- train_step_with_max_norm ----------------------------------------------------------------


def gradients(kernel, bias, x, y):
    logits = x @ kernel + bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return x.T @ p / len(x), p.mean(axis=0)


def step_numpy(kernel, bias, x, y, lr, r):
    dk, db = gradients(kernel, bias, x, y)
    return shrink(kernel - lr * dk, r), bias - lr * db


def step_torch_optimizer(kernel, bias, x, y, lr, r):
    import torch

    layer = torch.nn.Linear(*kernel.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(kernel.T))
        layer.bias.copy_(torch.tensor(bias))
    optimizer = torch.optim.SGD(layer.parameters(), lr)
    logits = layer(torch.tensor(x, dtype=torch.float32))
    torch.nn.functional.cross_entropy(logits, torch.tensor(y)).backward()
    optimizer.step()
    with torch.no_grad():
        layer.weight.copy_(torch.renorm(layer.weight, p=2, dim=0, maxnorm=r))
    return layer.weight.T, layer.bias


def step_keras(kernel, bias, x, y, lr, r):
    import keras

    layer = keras.layers.Dense(len(bias), kernel_constraint=keras.constraints.MaxNorm(r))
    model = keras.Sequential([keras.Input((len(kernel),)), layer])
    model.set_weights([kernel, bias])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(lr), loss, run_eagerly=True)
    model.train_on_batch(x, y)
    return [layer.kernel, layer.bias]


def step_keras_bias(kernel, bias, x, y, lr, r):
    import keras

    wall = keras.constraints.MaxNorm(r)
    layer = keras.layers.Dense(len(bias), kernel_constraint=wall, bias_constraint=wall)
    model = keras.Sequential([keras.Input((len(kernel),)), layer])
    model.set_weights([kernel, bias])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(lr), loss, run_eagerly=True)
    model.train_on_batch(x, y)
    return layer.kernel, layer.bias


def _step(kernel=None, bias=None, gradient=None):
    """Make a variant: what happens to the stepped kernel and bias, and to the gradients."""

    def step(k, b, x, y, lr, r):
        dk, db = gradients(k, b, x, y)
        if gradient:
            dk, db = gradient(dk, db, len(x), r)
        new_k, new_b = k - lr * dk, b - lr * db
        return (
            kernel(new_k, k, r) if kernel else shrink(new_k, r),
            bias(new_b, b, r) if bias else new_b,
        )

    return step


def step_before(kernel, bias, x, y, lr, r):
    kernel = shrink(kernel, r)
    dk, db = gradients(kernel, bias, x, y)
    return kernel - lr * dk, bias - lr * db


# --- find_active_units -----------------------------------------------------------------------


def active_loop(kernel, r, tol):
    return [sum(w**2 for w in column) ** 0.5 >= (1 - tol) * r for column in kernel.T]


def active_torch(kernel, r, tol):
    import torch

    return torch.linalg.vector_norm(torch.tensor(kernel), dim=0) > (1 - tol) * r


def active_keras(kernel, r, tol):
    import keras

    return keras.ops.norm(keras.ops.convert_to_tensor(kernel), axis=0) >= (1 - tol) * r


def column_norms(kernel):
    return np.linalg.norm(kernel, axis=0)


# --- repair_the_constraint -------------------------------------------------------------------


def repaired_in_place(kernel, gradient, steps, lr, r):
    for _ in range(steps):
        kernel -= lr * gradient(kernel)
        for column in kernel.T:
            column *= min(1, r / np.linalg.norm(column))
    return kernel


def repaired_torch(kernel, gradient, steps, lr, r):
    import torch

    w = torch.tensor(kernel)
    for _ in range(steps):
        w = w - lr * torch.tensor(np.asarray(gradient(w.numpy())))
        w = torch.renorm(w, p=2, dim=1, maxnorm=r)
    return w


def repaired_keras(kernel, gradient, steps, lr, r):
    import keras

    wall = keras.constraints.MaxNorm(r, axis=0)
    for _ in range(steps):
        kernel = np.array(wall(kernel - lr * gradient(kernel)))
    return kernel


def _loop(axis=0, up=False, early=False, last=False, fewer=0, never=False):
    """Make a loop with some of the faults."""

    def constrain(w, r):
        return w * r / norms(w, axis) if up else shrink(w, r, axis)

    def loop(kernel, gradient, steps, lr, r):
        for i in range(steps - fewer):
            if early:
                kernel = constrain(kernel, r)
            kernel = kernel - lr * gradient(kernel)
            if not (early or never) and (not last or i == steps - 1):
                kernel = constrain(kernel, r)
        return kernel

    return loop


RIGHT = {
    "max_norm_projection": [
        projection_loop,
        projection_keras,
        projection_torch,
        projection_float32,
    ],
    "train_step_with_max_norm": [step_numpy, step_torch_optimizer, step_keras],
    "find_active_units": [active_loop, active_torch, active_keras],
    "repair_the_constraint": [repaired_in_place, repaired_torch, repaired_keras, _loop()],
}

WRONG = {
    "max_norm_projection": [
        ("no-direction", lambda W, r, axis: np.where(norms(W, axis) > r, r / norms(W, axis), W)),
        ("no-direction-at-all", lambda W, r, axis: np.ones_like(W) * r / norms(W, axis)),
        ("scales-up", lambda W, r, axis: W * r / norms(W, axis)),
        ("inverted", lambda W, r, axis: W * np.maximum(1, r / norms(W, axis))),
        ("other-axis", lambda W, r, axis: shrink(W, r, 1)),
        ("first-axis", lambda W, r, axis: shrink(W, r, 0)),
        ("last-axis", lambda W, r, axis: shrink(W, r, -1 if isinstance(axis, tuple) else axis)),
        ("whole-kernel", lambda W, r, axis: W * min(1, r / np.linalg.norm(W))),
        ("clipped", lambda W, r, axis: np.clip(W, -r, r)),
        ("squared", lambda W, r, axis: W * np.minimum(1, r / norms(W, axis) ** 2)),
        ("absolute", lambda W, r, axis: W * np.minimum(
            1, r / (np.abs(W).sum(axis=axis, keepdims=True) + 1e-99))),
        ("unit-sphere", lambda W, r, axis: np.where(
            norms(W, axis) > r, W / norms(W, axis), W)),
        ("unchanged", lambda W, r, axis: W),
        ("form", projection_nan),
        ("form", lambda W, r, axis: norms(W, axis)),
        ("error", lambda W, r: W),
        ("error", lambda W, r, axis: None),
    ],
    "train_step_with_max_norm": [
        ("no-projection", _step(kernel=lambda new, old, r: new)),
        ("projected-before", step_before),
        ("projected-before", _step(kernel=lambda new, old, r: shrink(old, r) + new - old)),
        ("no-step", _step(kernel=lambda new, old, r: shrink(old, r), bias=lambda new, old, r: old)),
        ("bias-projected", step_keras_bias),
        ("bias-projected", _step(bias=lambda new, old, r: shrink(new, r))),
        ("bias-fixed", _step(bias=lambda new, old, r: old)),
        ("wrong-axis", _step(kernel=lambda new, old, r: shrink(new, r, 1))),
        ("scales-up", _step(kernel=lambda new, old, r: new * r / norms(new))),
        ("pushed-to-the-wall", _step(kernel=lambda new, old, r: new * r / norms(new))),
        ("whole-kernel", _step(kernel=lambda new, old, r: new * min(1, r / np.linalg.norm(new)))),
        ("gradient-clipped", _step(
            kernel=lambda new, old, r: new, gradient=lambda dk, db, n, r: (shrink(dk, r), db))),
        ("summed-loss", _step(gradient=lambda dk, db, n, r: (n * dk, n * db))),
        ("ascent", _step(gradient=lambda dk, db, n, r: (-dk, -db))),
        ("is_plain_descent_inside", _step(gradient=lambda dk, db, n, r: (dk / 2, db / 2))),
        ("error", lambda kernel, bias, x, y, lr, r: kernel),
        ("error", lambda *arguments: step_numpy(*arguments)[::-1]),
    ],
    "find_active_units": [
        ("strictly-above", lambda kernel, r, tol: column_norms(kernel) > r),
        ("inverted", lambda kernel, r, tol: column_norms(kernel) < (1 - tol) * r),
        ("absolute-tolerance", lambda kernel, r, tol: column_norms(kernel) >= r - tol),
        ("squared", lambda kernel, r, tol: (kernel**2).sum(axis=0) >= (1 - tol) * r),
        ("rows", lambda kernel, r, tol: np.linalg.norm(kernel, axis=1) >= (1 - tol) * r),
        ("entries", lambda kernel, r, tol: np.abs(kernel).max(axis=0) >= (1 - tol) * r),
        ("indices", lambda kernel, r, tol: np.flatnonzero(column_norms(kernel) >= (1 - tol) * r)),
        ("count", lambda kernel, r, tol: (column_norms(kernel) >= (1 - tol) * r).sum()),
        ("numbers", lambda kernel, r, tol: 1 * (column_norms(kernel) >= (1 - tol) * r)),
        ("sees_an_idle_constraint", lambda kernel, r, tol: column_norms(kernel) > -1),
        ("form", lambda kernel, r, tol: np.array([True])),
    ],
    "repair_the_constraint": [
        ("as-given", _loop(axis=1, up=True, early=True)),
        ("too-early", _loop(early=True)),
        ("wrong-axis", _loop(axis=1)),
        ("scales-up", _loop(up=True)),
        ("order-only", _loop(axis=1, up=True)),
        ("axis-only", _loop(up=True, early=True)),
        ("minimum-only", _loop(axis=1, early=True)),
        ("only-at-the-end", _loop(last=True)),
        ("unconstrained", _loop(never=True)),
        ("one-step-short", _loop(fewer=1)),
        ("follows_the_repaired_loop", lambda kernel, gradient, steps, lr, r: kernel),
    ],
}  # fmt: skip
