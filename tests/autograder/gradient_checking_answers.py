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


def numeric_relative_step(f, theta, eps):
    """Make the step of each entry as large as the entry."""
    gradient = np.zeros(theta.shape)
    for index in np.ndindex(theta.shape):
        step = np.zeros(theta.shape)
        step[index] = eps * max(1.0, abs(theta[index]))
        gradient[index] = (f(theta + step) - f(theta - step)) / (2 * step[index])
    return gradient


def numeric_vector(f, theta, eps):
    """Take theta for a vector."""
    return np.array([
        (f(theta + step) - f(theta - step)) / (2 * eps) for step in eps * np.eye(len(theta))
    ])  # fmt: skip


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


def relative_rows(a, b):
    """Average over the rows of a matrix."""
    if a.ndim != 2:
        return relative_equal_first(a, b)
    return np.mean([relative_equal_first(*rows) for rows in zip(a, b, strict=True)])


# --- autograd_gradients ----------------------------------------------------------------------


def autograd_torch(theta, x, y, lam, *, dtype="float64", probabilities=False, of_lam=float):
    import torch

    dtype, lam = getattr(torch, dtype), of_lam(lam)
    theta = [torch.tensor(t, dtype=dtype, requires_grad=True) for t in theta]
    a = torch.tensor(x, dtype=dtype)
    for w, b in zip(theta[::2], theta[1::2], strict=True):
        z = a @ w + b
        a = torch.tanh(z)
    z = torch.softmax(z, dim=1) if probabilities else z
    loss = torch.nn.functional.cross_entropy(z, torch.tensor(y))
    (loss + lam * sum((w**2).sum() for w in theta[::2])).backward()
    return [t.grad for t in theta]


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


# --- find_the_bug ----------------------------------------------------------------------------


def bug_torch(theta, x, y, lam, *, dtype="float64"):
    import torch

    dtype = getattr(torch, dtype)
    theta = [torch.tensor(t, dtype=dtype, requires_grad=True) for t in theta]
    w1, b1, w2, b2, w3, b3 = theta
    hidden = torch.relu(torch.tanh(torch.tensor(x, dtype=dtype) @ w1 + b1) @ w2 + b2)
    loss = torch.nn.functional.cross_entropy(hidden @ w3 + b3, torch.tensor(y))
    (loss + lam * sum((w**2).sum() for w in (w1, w2, w3))).backward()
    return [t.grad for t in theta]


def bug_summed_late(theta, x, y, lam):
    """Divide by the rows in each gradient, by an einsum over them."""
    w1, b1, w2, b2, w3, b3 = theta
    a1 = np.tanh(x @ w1 + b1)
    z2 = a1 @ w2 + b2
    a2 = np.where(z2 > 0, z2, 0)
    z3 = a2 @ w3 + b3
    e = np.exp(z3 - z3.max(axis=1, keepdims=True))
    d3 = e / e.sum(axis=1, keepdims=True) - (np.arange(len(b3)) == y[:, None])
    d2 = d3 @ w3.T * (z2 > 0)
    d1 = d2 @ w2.T / np.cosh(x @ w1 + b1) ** 2
    found = []
    for a, d, w in ((x, d1, w1), (a1, d2, w2), (a2, d3, w3)):
        found += [np.einsum("ri,rj->ij", a, d) / len(y) + 2 * lam * w, d.mean(axis=0)]
    return tuple(found)


def bug_row_by_row(theta, x, y, lam):
    w1, b1, w2, b2, w3, b3 = theta
    total = [2 * lam * w1, 0 * b1, 2 * lam * w2, 0 * b2, 2 * lam * w3, 0 * b3]
    for row, label in zip(x, y, strict=True):
        a1 = np.tanh(row @ w1 + b1)
        a2 = np.maximum(a1 @ w2 + b2, 0)
        z3 = a2 @ w3 + b3
        d3 = np.exp(z3 - z3.max())
        d3 = d3 / d3.sum()
        d3[label] -= 1
        d2 = (w3 @ d3) * (a2 > 0)
        d1 = (w2 @ d2) * (1 + a1) * (1 - a1)
        parts = (np.outer(row, d1), d1, np.outer(a1, d2), d2, np.outer(a2, d3), d3)
        total = [t + part / len(y) for t, part in zip(total, parts, strict=True)]
    return total


# --- audit_gradients -------------------------------------------------------------------------


def audit(
    loss, backward, theta, budget, *, draw=None, times=3, eps=1e-5, limit=1e-4, noise=1e-9,
    relative=True, names=None,
):  # fmt: skip
    """Compare slopes along directions within each array."""
    rng = np.random.default_rng(42)
    draw = draw or (lambda shape: rng.normal(size=shape))
    gradients, here = backward(theta), abs(loss(theta))
    verdict = dict.fromkeys(theta, False)
    for name in names or theta:
        for _ in range(times):
            step = draw(theta[name].shape)
            step = step / np.linalg.norm(step)
            ends = [loss({**theta, name: theta[name] + s * eps * step}) for s in (1, -1)]
            slope, told = (ends[0] - ends[1]) / (2 * eps), (gradients[name] * step).sum()
            size = np.abs(slope) + np.abs(told) if relative else 1.0
            verdict[name] = bool(verdict[name] or abs(slope - told) > limit * size + noise * here)
    return verdict


def audit_signs(*arguments):
    """Take directions of plus and minus one."""
    rng = np.random.default_rng(7)
    return audit(*arguments, draw=lambda shape: rng.choice([-1.0, 1.0], size=shape))


def audit_once(*arguments):
    """Take one direction for each array, and numbers instead of truth values."""
    return {name: float(wrong) for name, wrong in audit(*arguments, times=1).items()}


def audit_two_steps(loss, backward, theta, budget):
    """Measure with two steps (Richardson), and judge by the norms over two directions."""
    rng = np.random.default_rng(3)
    gradients, here = backward(theta), abs(loss(theta))
    wrong = {}
    for name, array in theta.items():
        measured, told = [], []
        step = rng.normal(size=array.shape)
        step /= np.linalg.norm(step)
        for eps in (1e-5, 2e-5):
            above = loss({**theta, name: array + eps * step})
            measured.append((above - loss({**theta, name: array - eps * step})) / (2 * eps))
        told = (gradients[name] * step).sum()
        slope = (4 * measured[0] - measured[1]) / 3
        wrong[name] = abs(slope - told) > 2e-4 * abs(told) + 1e-9 * here
    return wrong


def audit_in_place(loss, backward, theta, budget):
    """Move the arrays themselves, and put them back."""
    rng = np.random.default_rng(11)
    claimed, here, found = backward(theta), loss(theta), {}
    for name in sorted(theta):
        kept, ratios = theta[name].copy(), []
        for _ in range(2):
            step = rng.uniform(-1, 1, size=kept.shape)
            step *= 2e-5 / np.linalg.norm(step)
            theta[name] += step
            above = loss(theta)
            theta[name] -= 2 * step
            below = loss(theta)
            theta[name][...] = kept
            rise = 2 * np.vdot(claimed[name], step)
            noise = 2e-14 * abs(here)
            ratios.append(abs(above - below - rise) / (abs(above - below) + abs(rise) + noise))
        found[name] = np.bool_(max(ratios) > 2e-4 and abs(above - below - rise) > noise)
    return found


def audit_entries(loss, backward, theta, budget):
    """Look at three entries of each array."""
    rng = np.random.default_rng(5)

    def single(shape):
        step = np.zeros(shape)
        step.flat[rng.integers(step.size)] = 1
        return step

    return audit(loss, backward, theta, budget, draw=single)


def audit_everything(loss, backward, theta, budget):
    """Measure every entry."""
    claimed, here, wrong = backward(theta), loss(theta), {}
    for name, array in theta.items():
        numeric = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            moved = array.copy()
            moved[index] += 1e-5
            above = loss({**theta, name: moved})
            moved[index] -= 2e-5
            numeric[index] = (above - loss({**theta, name: moved})) / 2e-5
        gap = np.linalg.norm(numeric - claimed[name])
        size = np.linalg.norm(numeric) + np.linalg.norm(claimed[name])
        wrong[name] = gap > 1e-5 * size + 1e-8 * abs(here)
    return wrong


RIGHT = {
    "numeric_gradient": [
        numeric_in_place,
        numeric_by_identity,
        numeric_torch,
        numeric_richardson_free,
    ],
    "relative_difference": [
        relative_flat,
        relative_torch,
        relative_equal_first,
        lambda a, b: np.float32(relative_flat(np.float32(a), np.float32(b))),
    ],
    "autograd_gradients": [autograd_torch, autograd_torch_model, autograd_tensorflow],
    "find_the_bug": [bug_torch, bug_summed_late, bug_row_by_row],
    "audit_gradients": [audit, audit_signs, audit_once, audit_two_steps, audit_in_place],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "numeric_gradient": [
        ("divides_by_twice_the_step", numeric_relative_step),
        ("error", numeric_vector),
    ],
    "relative_difference": [("divides_the_norms", relative_rows)],
    "autograd_gradients": [
        ("double softmax", lambda *arguments: autograd_torch(*arguments, probabilities=True)),
        ("float32", lambda *arguments: autograd_torch(*arguments, dtype="float32")),
        ("float32", autograd_keras_default),
        ("float32", lambda *arguments: autograd_torch(*arguments, of_lam=lambda lam: float(
            np.float32(lam)))),
    ],
    "find_the_bug": [
        ("float32", lambda *arguments: bug_torch(*arguments, dtype="float32")),
        ("sign", lambda *arguments: [-g for g in bug_torch(*arguments)]),
        ("order", lambda *arguments: [bug_torch(*arguments)[i] for i in (4, 5, 2, 3, 0, 1)]),
        ("error", lambda *arguments: bug_torch(*arguments)[:4]),
        ("error", lambda *arguments: {"w1": bug_torch(*arguments)[0]}),
        ("error", lambda *arguments: [g[:1] for g in bug_torch(*arguments)]),
    ],
    "audit_gradients": [
        ("few entries", audit_entries),
        ("over budget", audit_everything),
        ("over budget", lambda *arguments: audit(*arguments, times=4)),
        ("too lax", lambda *arguments: audit(*arguments, limit=3e-3)),
        ("absolute", lambda *arguments: audit(*arguments, limit=1e-5, relative=False)),
        ("right ones accused", lambda *arguments: audit(*arguments, eps=1e-12)),
        ("kink", lambda *arguments: audit(*arguments, eps=1e-3)),
        ("kernels only", lambda *arguments: audit(*arguments, names=("w1", "w2", "w3"))),
        ("error", lambda *arguments: [k for k, wrong in audit(*arguments).items() if wrong]),
        ("error", lambda *arguments: {f"d{k}": v for k, v in audit(*arguments).items()}),
        ("error", lambda *arguments: any(audit(*arguments).values())),
    ],
}  # fmt: skip
