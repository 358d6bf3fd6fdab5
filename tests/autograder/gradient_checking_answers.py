"""Right and wrong answers to the exercises of chapter 06, for `test_answers`."""

import numpy as np

# --- numeric_gradient ------------------------------------------------------------------------


def numeric_in_place(f, theta, eps):
    """Move and restore the entries of one float array."""
    theta = np.array(theta, dtype=np.float64)
    gradient = np.empty(theta.shape)
    with np.nditer(theta, flags=["multi_index"], op_flags=["readwrite"]) as entries:
        for entry in entries:
            kept = float(entry)
            entry[...] = kept + eps
            above = f(theta)
            entry[...] = kept - eps
            gradient[entries.multi_index] = (above - f(theta)) / (2.0 * eps)
            entry[...] = kept
    return gradient


def numeric_by_identity(f, theta, eps):
    steps = eps * np.eye(theta.size).reshape(theta.size, *theta.shape)
    slopes = [(f(theta + step) - f(theta - step)) / (2 * eps) for step in steps]
    return np.reshape(slopes, theta.shape)


def numeric_torch(f, theta, eps):
    import torch

    centre = torch.tensor(theta, dtype=torch.float64)
    slopes = []
    for i in range(centre.numel()):
        step = torch.zeros(centre.numel(), dtype=torch.float64)
        step[i] = eps
        step = step.reshape(centre.shape)
        slopes.append((f((centre + step).numpy()) - f((centre - step).numpy())) / (2 * eps))
    return torch.tensor(slopes).reshape(centre.shape)


def numeric_richardson_free(f, theta, eps):
    """Average the two one-sided quotients: the same as the centred one."""
    theta = np.asarray(theta, dtype=float)
    middle, gradient = f(theta), np.zeros(theta.shape)
    for index in np.ndindex(theta.shape):
        there, back = theta.copy(), theta.copy()
        there[index] += eps
        back[index] -= eps
        gradient[index] = ((f(there) - middle) / eps + (middle - f(back)) / eps) / 2
    return gradient


def _numeric(f, theta, eps, quotient):
    """Return quotient(above, middle, below, eps) for each entry."""
    gradient = np.zeros(theta.shape)
    for index in np.ndindex(theta.shape):
        above, below = theta.astype(float), theta.astype(float)
        above[index] += eps
        below[index] -= eps
        gradient[index] = quotient(f(above), f(theta.astype(float)), f(below), eps)
    return gradient


def _with(quotient):
    return lambda f, theta, eps: _numeric(f, theta, eps, quotient)


def numeric_not_restored(f, theta, eps):
    theta, gradient = theta.astype(float), np.zeros(theta.shape)
    for index in np.ndindex(theta.shape):
        theta[index] += eps
        above = f(theta)
        theta[index] -= 2 * eps
        gradient[index] = (above - f(theta)) / (2 * eps)
    return gradient


def numeric_restored_too_far(f, theta, eps):
    theta, gradient = theta.astype(float), np.zeros(theta.shape)
    for index in np.ndindex(theta.shape):
        theta[index] += eps
        above = f(theta)
        theta[index] -= 2 * eps
        gradient[index] = (above - f(theta)) / (2 * eps)
        theta[index] += 2 * eps
    return gradient


def numeric_all_at_once(f, theta, eps):
    return np.full(theta.shape, (f(theta + eps) - f(theta - eps)) / (2 * eps))


def numeric_integers(f, theta, eps):
    gradient = np.zeros(theta.shape)
    for index in np.ndindex(theta.shape):
        above, below = theta.copy(), theta.copy()
        above[index] = theta[index] + eps
        below[index] = theta[index] - eps
        gradient[index] = (f(above) - f(below)) / (2 * eps)
    return gradient


def numeric_zeros_like(f, theta, eps):
    gradient = np.zeros_like(theta)
    for index in np.ndindex(theta.shape):
        above, below = theta.astype(float), theta.astype(float)
        above[index] += eps
        below[index] -= eps
        gradient[index] = (f(above) - f(below)) / (2 * eps)
    return gradient


def numeric_flat(f, theta, eps):
    return numeric_in_place(f, theta, eps).ravel()


def numeric_flat_calls(f, theta, eps):
    flat, slopes = theta.astype(float).ravel(), []
    for i in range(flat.size):
        above, below = flat.copy(), flat.copy()
        above[i] += eps
        below[i] -= eps
        slopes.append((f(above) - f(below)) / (2 * eps))
    return np.reshape(slopes, theta.shape)


def numeric_own_step(f, theta, eps):
    return numeric_in_place(f, theta, 1e-5)


# --- relative_difference ---------------------------------------------------------------------


def relative_flat(a, b):
    a, b = np.ravel(a), np.ravel(b)
    total = np.sqrt(a @ a) + np.sqrt(b @ b)
    return 0.0 if total == 0 else np.sqrt((a - b) @ (a - b)) / total


def relative_torch(a, b):
    import torch

    a, b = torch.tensor(a), torch.tensor(b)
    total = torch.linalg.vector_norm(a) + torch.linalg.vector_norm(b)
    return torch.linalg.vector_norm(a - b) / total if total else torch.zeros(())


def relative_equal_first(a, b):
    if np.array_equal(a, b):
        return 0
    return np.linalg.norm(b - a) / (np.linalg.norm(a) + np.linalg.norm(b))


def _norms(a, b):
    return np.linalg.norm(a - b), np.linalg.norm(a), np.linalg.norm(b)


def _guarded(quotient):
    """Return an answer with the special case for two zeros."""

    def answer(a, b):
        return quotient(a, b, *_norms(a, b)) if np.any(a) or np.any(b) else 0.0

    return answer


def relative_unguarded(a, b):
    gap, na, nb = _norms(a, b)
    with np.errstate(invalid="ignore"):
        return gap / (na + nb)


def relative_one_zero_is_enough(a, b):
    gap, na, nb = _norms(a, b)
    return gap / (na + nb) if na * nb > 0 else 0.0


def relative_padded(a, b):
    gap, na, nb = _norms(a, b)
    return gap / (na + nb + 1e-8)


def relative_threshold(a, b):
    gap, na, nb = _norms(a, b)
    return gap / (na + nb) if na + nb > 1e-7 else 0.0


def relative_two_zeros_differ(a, b):
    gap, na, nb = _norms(a, b)
    return gap / (na + nb) if na + nb > 0 else 1.0


# --- autograd_gradients ----------------------------------------------------------------------


def _torch_gradients(
    theta,
    x,
    y,
    lam,
    *,
    dtype="float64",
    penalty="sum",
    reduction="mean",
    hidden=True,
    last=False,
    probabilities=False,
    squared=False,
):
    import torch
    from torch.nn import functional

    dtype = getattr(torch, dtype)
    theta = [torch.tensor(t, dtype=dtype, requires_grad=True) for t in theta]
    a, y = torch.tensor(x, dtype=dtype), torch.tensor(y)
    for _i, (w, b) in enumerate(zip(theta[::2], theta[1::2], strict=True), start=1):
        z = a @ w + b
        a = torch.tanh(z) if hidden else z
    z = a if last else z
    p = functional.softmax(z, dim=1)
    loss = functional.cross_entropy(p if probabilities else z, y, reduction=reduction)
    if squared:
        loss = functional.mse_loss(p, functional.one_hot(y, p.shape[1]).to(dtype))
    kernels = theta[::2]
    loss = (
        loss
        + lam
        * {
            "sum": sum((w**2).sum() for w in kernels),
            "none": 0,
            "half": sum((w**2).sum() for w in kernels) / 2,
            "all": sum((t**2).sum() for t in theta),
            "mean": sum((w**2).mean() for w in kernels),
        }[penalty]
    )
    loss.backward()
    return [t.grad for t in theta]


def _autograd(**changes):
    return lambda theta, x, y, lam: _torch_gradients(theta, x, y, lam, **changes)


def autograd_torch(theta, x, y, lam):
    return _torch_gradients(theta, x, y, lam)


def autograd_torch_model(theta, x, y, lam):
    import torch
    from torch import nn

    layers = []
    for w, b in zip(theta[::2], theta[1::2], strict=True):
        linear = nn.Linear(*w.shape)
        linear.load_state_dict({"weight": torch.tensor(w.T), "bias": torch.tensor(b)})
        layers += [linear, nn.Tanh()]
    model = nn.Sequential(*layers[:-1]).double()
    loss = nn.CrossEntropyLoss()(model(torch.tensor(x).double()), torch.tensor(y))
    kernels = [layer.weight for layer in model if isinstance(layer, nn.Linear)]
    (loss + lam * sum((w**2).sum() for w in kernels)).backward()
    return [p.grad.T if p.ndim == 2 else p.grad for p in model.parameters()]


def autograd_tensorflow(theta, x, y, lam):
    import tensorflow as tf

    theta = [tf.Variable(np.float64(t)) for t in theta]
    with tf.GradientTape() as tape:
        a = tf.constant(np.float64(x))
        for w, b in zip(theta[::2], theta[1::2], strict=True):
            z = a @ w + b
            a = tf.tanh(z)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(y, z)
        penalty = tf.add_n([tf.reduce_sum(w**2) for w in theta[::2]])
        loss = tf.reduce_mean(entropy) + lam * penalty
    return tape.gradient(loss, theta)


def autograd_keras_default(theta, x, y, lam):
    """Leave the loss object of Keras in float32."""
    import keras
    import tensorflow as tf

    theta = [tf.Variable(np.float64(t)) for t in theta]
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        a = tf.constant(np.float64(x))
        for w, b in zip(theta[::2], theta[1::2], strict=True):
            z = a @ w + b
            a = tf.tanh(z)
        penalty = tf.add_n([tf.reduce_sum(w**2) for w in theta[::2]])
        loss = tf.cast(cross_entropy(y, z), tf.float64) + lam * penalty
    return tape.gradient(loss, theta)


def autograd_sign(theta, x, y, lam):
    return [-g for g in _torch_gradients(theta, x, y, lam)]


# --- find_the_bug ----------------------------------------------------------------------------

NAMES = ("w1", "b1", "w2", "b2")


def _numeric_of(loss, theta, name, eps=1e-5):
    numeric = np.zeros(theta[name].shape)
    for index in np.ndindex(numeric.shape):
        values = []
        for step in (eps, -eps):
            moved = {key: value.copy() for key, value in theta.items()}
            moved[name][index] += step
            values.append(loss(moved))
        numeric[index] = (values[0] - values[1]) / (2 * eps)
    return numeric


def _difference(a, b):
    return np.linalg.norm(a - b) / (np.linalg.norm(a) + np.linalg.norm(b))


def _line(wrong, two="dz1", four="dz2"):
    return {1: "d" + "".join(wrong), 2: two, 4: four}.get(len(wrong), "none")


def _search(
    loss, backward, theta, *, name=_line, repair=True, threshold=1e-6, upside_down=False, eps=1e-5
):
    """Find the wrong gradients by their relative difference; name the line by a rule."""
    gradients, wrong, repaired = backward(theta), [], {}
    for key in NAMES:
        numeric = _numeric_of(loss, theta, key, eps)
        bad = _difference(gradients[key], numeric) > threshold
        if bad != upside_down:
            wrong.append(key)
        repaired[key] = numeric if bad and repair else gradients[key]
    return name(wrong), repaired


def _find(**changes):
    return lambda loss, backward, theta: _search(loss, backward, theta, **changes)


def find_relative(loss, backward, theta):
    return _search(loss, backward, theta)


def find_all_numeric(loss, backward, theta):
    """Return numeric gradients throughout, and decide by sets."""
    gradients = backward(theta)
    numeric = {name: _numeric_of(loss, theta, name) for name in NAMES}
    wrong = {n for n in NAMES if np.abs(gradients[n] - numeric[n]).max() > 1e-6}
    if wrong == set(NAMES):
        return "dz2", numeric
    if wrong == {"w1", "b1"}:
        return "dz1", numeric
    return f"d{wrong.pop()}", numeric


def find_downstream_first(loss, backward, theta):
    """Ask from the output backwards, and stop at the first line that explains everything."""
    gradients = backward(theta)
    repaired = {name: _numeric_of(loss, theta, name) for name in NAMES}
    wrong = {n: _difference(gradients[n], repaired[n]) > 1e-5 for n in NAMES}
    if wrong["w2"] and wrong["b2"]:
        line = "dz2"
    elif wrong["w2"] or wrong["b2"]:
        line = "dw2" if wrong["w2"] else "db2"
    elif wrong["w1"] and wrong["b1"]:
        line = "dz1"
    else:
        line = "dw1" if wrong["w1"] else "db1"
    return line, repaired


def find_repairs_one(loss, backward, theta):
    line, repaired = _search(loss, backward, theta)
    gradients, done = backward(theta), False
    for name in NAMES:
        if not np.array_equal(repaired[name], gradients[name]):
            if done:
                repaired[name] = gradients[name]
            done = True
    return line, repaired


def find_corrects_twice(loss, backward, theta):
    line, repaired = _search(loss, backward, theta)
    gradients = backward(theta)
    return line, {name: 2 * repaired[name] - gradients[name] for name in NAMES}


def find_by_the_total(loss, backward, theta):
    """Look at all parameters together: something is wrong, but where?"""
    return "dz2", {name: _numeric_of(loss, theta, name) for name in NAMES}


def find_only_a_name(loss, backward, theta):
    return _search(loss, backward, theta)[0]


RIGHT = {
    "numeric_gradient": [
        numeric_in_place,
        numeric_by_identity,
        numeric_torch,
        numeric_richardson_free,
    ],
    "relative_difference": [relative_flat, relative_torch, relative_equal_first],
    "autograd_gradients": [autograd_torch, autograd_torch_model, autograd_tensorflow],
    "find_the_bug": [find_relative, find_all_numeric, find_downstream_first],
}

WRONG = {
    "numeric_gradient": [
        ("one-sided", _with(lambda above, middle, below, eps: (above - middle) / eps)),
        ("one-sided", _with(lambda above, middle, below, eps: (middle - below) / eps)),
        ("no two", _with(lambda above, middle, below, eps: (above - below) / eps)),
        ("halved", _with(lambda above, middle, below, eps: (above - below) / (4 * eps))),
        ("multiplied", _with(lambda above, middle, below, eps: (above - below) / 2 * eps)),
        ("multiplied", _with(lambda above, middle, below, eps: (above - below) * 2 * eps)),
        ("not divided", _with(lambda above, middle, below, eps: above - below)),
        ("sign", _with(lambda above, middle, below, eps: (below - above) / (2 * eps))),
        ("all at once", numeric_all_at_once),
        ("not restored", numeric_not_restored),
        ("not restored", numeric_restored_too_far),
        ("integer steps", numeric_integers),
        ("integer gradient", numeric_zeros_like),
        ("flat", numeric_flat),
        ("call shape", numeric_flat_calls),
        ("own step", numeric_own_step),
    ],
    "relative_difference": [
        ("absolute", _guarded(lambda a, b, gap, na, nb: gap)),
        ("one norm", lambda a, b: _norms(a, b)[0] / (_norms(a, b)[1] or 1.0)),
        ("one norm", lambda a, b: _norms(a, b)[0] / (_norms(a, b)[2] or 1.0)),
        ("larger norm", _guarded(lambda a, b, gap, na, nb: gap / max(na, nb))),
        ("norm of the sum", _guarded(lambda a, b, gap, na, nb: gap / (np.linalg.norm(a + b) or 1))),
        ("difference of norms", _guarded(lambda a, b, gap, na, nb: abs(na - nb) / (na + nb))),
        ("squared", _guarded(lambda a, b, gap, na, nb: gap**2 / (na**2 + nb**2))),
        (
            "largest entry",
            _guarded(lambda a, b, *_: abs(a - b).max() / (abs(a).max() + abs(b).max())),
        ),
        ("largest entry", _guarded(lambda a, b, *_: (abs(a - b) / (abs(a) + abs(b))).max())),
        ("mean of entries", _guarded(lambda a, b, *_: (abs(a - b) / (abs(a) + abs(b))).mean())),
        (
            "absolute sums",
            _guarded(lambda a, b, *_: abs(a - b).sum() / (abs(a).sum() + abs(b).sum())),
        ),
        (
            "spectral norm",
            _guarded(
                lambda a, b, *_: (
                    np.linalg.norm(a - b, 2) / (np.linalg.norm(a, 2) + np.linalg.norm(b, 2))
                )
            ),
        ),
        ("doubled", _guarded(lambda a, b, gap, na, nb: 2 * gap / (na + nb))),
        ("halved", _guarded(lambda a, b, gap, na, nb: gap / (na + nb) / 2)),
        ("zero by zero", relative_unguarded),
        ("one zero is enough", relative_one_zero_is_enough),
        ("one at zero", relative_two_zeros_differ),
        ("padded", relative_padded),
        ("padded", relative_threshold),
    ],
    "autograd_gradients": [
        ("no penalty", _autograd(penalty="none")),
        ("half penalty", _autograd(penalty="half")),
        ("bias penalised", _autograd(penalty="all")),
        ("mean penalty", _autograd(penalty="mean")),
        ("summed", _autograd(reduction="sum")),
        ("double softmax", _autograd(probabilities=True)),
        ("squared error", _autograd(squared=True)),
        ("tanh on the logits", _autograd(last=True)),
        ("no activation", _autograd(hidden=False)),
        ("sign", autograd_sign),
        ("float32", _autograd(dtype="float32")),
        ("float32", autograd_keras_default),
    ],
    "find_the_bug": [
        ("first wrong gradient", _find(name=lambda wrong: f"d{wrong[0]}")),
        ("last wrong gradient", _find(name=lambda wrong: f"d{wrong[-1]}")),
        ("kernel accused", _find(name=lambda wrong: _line(wrong, "dw1", "dw2"))),
        ("dz swapped", _find(name=lambda wrong: _line(wrong, "dz2", "dz1"))),
        ("never upstream of both", _find(name=lambda wrong: _line(wrong, "dz1", "dz1"))),
        ("always the output", _find(name=lambda wrong: _line(wrong, "dz2", "dz2"))),
        ("name of the gradient", _find(name=lambda wrong: _line(wrong)[1:])),
        ("too strict", _find(threshold=1e-14)),
        ("too strict", _find(eps=1e-13)),
        ("too strict", find_by_the_total),
        ("too lax", _find(threshold=1e-3)),
        ("threshold upside down", _find(upside_down=True)),
        ("not repaired", _find(repair=False)),
        ("repaired in part", find_repairs_one),
        ("corrected twice", find_corrects_twice),
        ("error", find_only_a_name),
    ],
}
