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


def _of_norms(a, b):
    return abs(np.linalg.norm(a) - np.linalg.norm(b))


def find_relative(
    loss,
    backward,
    theta,
    *,
    threshold=1e-6,
    eps=1e-5,
    two="dz1",
    four="dz2",
    difference=_difference,
):
    gradients, wrong = backward(theta), []
    for name in NAMES:
        numeric = _numeric_of(loss, theta, name, eps)
        if difference(gradients[name], numeric) > threshold:
            wrong.append(name)
            gradients[name] = numeric
    return {1: "d" + "".join(wrong), 2: two, 4: four}.get(len(wrong), "none"), gradients


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
    "find_the_bug": [find_relative, find_all_numeric, find_downstream_first],
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
        ("dz swapped", lambda *arguments: find_relative(*arguments, two="dz2", four="dz1")),
        ("too strict", lambda *arguments: find_relative(*arguments, threshold=1e-14)),
        ("too strict", lambda *arguments: find_relative(*arguments, eps=1e-13)),
        ("too strict", lambda *arguments: find_relative(*arguments, eps=0.1)),
        ("names_the_wrong_line", lambda *arguments: find_relative(
            *arguments, difference=_of_norms)),
        ("error", lambda *arguments: find_relative(*arguments)[0]),
        ("error", lambda *arguments: (find_relative(*arguments)[0].upper(), {})),
    ],
}  # fmt: skip
