"""Right and wrong answers to the exercises of chapter 17, for `test_answers`."""

import numpy as np

# --- disturb_labels --------------------------------------------------------------------------


def labels_by_loop(y, num_classes, alpha, rng):
    seen = []
    for label in y:
        seen.append(rng.choice(num_classes) if 100 * rng.random() < alpha else label)
    return np.array(seen, np.int16)


def labels_from_the_expectation(y, num_classes, alpha, rng):
    """Draw from the expected distribution of each row, without replacing anything."""
    share = alpha / 100
    below = rng.random(len(y))
    chances = (1 - share) * np.eye(num_classes)[y] + share / num_classes
    return (below[:, None] > np.cumsum(chances, axis=1)).sum(axis=1).clip(max=num_classes - 1)


def labels_torch(y, num_classes, alpha, rng):
    import torch

    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    y = torch.tensor(y)
    replaced = torch.rand(y.shape, generator=generator) < alpha / 100
    return torch.where(replaced, torch.randint(num_classes, y.shape, generator=generator), y)


def labels_keras(y, num_classes, alpha, rng):
    import keras

    seed = keras.random.SeedGenerator(int(rng.integers(2**31)))
    replaced = keras.random.uniform(y.shape, seed=seed) < alpha / 100
    anew = keras.random.randint(y.shape, 0, num_classes, seed=seed)
    return keras.ops.where(replaced, anew, y)


def labels_float(y, num_classes, alpha, rng):
    replaced = rng.uniform(0, 100, size=len(y)) <= alpha - 1e-9
    return np.where(replaced, np.floor(num_classes * rng.random(len(y))), y)


def labels_indexed(y, num_classes, alpha, rng):
    rows = np.flatnonzero(rng.binomial(1, alpha / 100, size=len(y)))
    y[rows] = rng.integers(0, num_classes, len(rows))
    return y


def labels_without_the_true_class(y, num_classes, alpha, rng):
    shift = rng.integers(1, num_classes, size=y.shape)
    return np.where(rng.random(y.shape) < alpha / 100, (y + shift) % num_classes, y)


def labels_percent_as_fraction(y, num_classes, alpha, rng):
    return np.where(rng.random(y.shape) < alpha, rng.integers(num_classes, size=y.shape), y)


def labels_swapped(y, num_classes, alpha, rng):
    return np.where(rng.random(y.shape) > alpha / 100, rng.integers(num_classes, size=y.shape), y)


def labels_divided_twice(y, num_classes, alpha, rng):
    return labels_float(y, num_classes, alpha / 100, rng)


def labels_one_decision(y, num_classes, alpha, rng):
    anew = rng.integers(num_classes, size=y.shape)
    return anew if rng.random() < alpha / 100 else y


def labels_first_rows(y, num_classes, alpha, rng):
    seen = y.copy()
    count = round(len(y) * alpha / 100)
    seen[:count] = rng.integers(num_classes, size=count)
    return seen


def labels_one_new_class(y, num_classes, alpha, rng):
    return np.where(rng.random(y.shape) < alpha / 100, rng.integers(num_classes), y)


def labels_next_class(y, num_classes, alpha, rng):
    return (y + 1) % num_classes


def labels_neighbour(y, num_classes, alpha, rng):
    return np.where(rng.random(y.shape) < alpha / 100, (y + 1) % num_classes, y)


def labels_last_class_missing(y, num_classes, alpha, rng):
    anew = rng.integers(0, num_classes - 1, size=y.shape)
    return np.where(rng.random(y.shape) < alpha / 100, anew, y)


def labels_from_one(y, num_classes, alpha, rng):
    anew = rng.integers(1, num_classes + 1, size=y.shape)
    return np.where(rng.random(y.shape) < alpha / 100, anew, y)


def labels_own_generator(y, num_classes, alpha, rng):
    return labels_indexed(y, num_classes, alpha, np.random.default_rng())


def labels_fixed_seed(y, num_classes, alpha, rng):
    return labels_indexed(y, num_classes, alpha, np.random.default_rng(42))


def labels_unchanged(y, num_classes, alpha, rng):
    return y


# --- expected_label_distribution ---------------------------------------------------------------


def expectation_by_loop(alpha, num_classes):
    lines = []
    for i in range(num_classes):
        line = [alpha / 100 / num_classes] * num_classes
        line[i] += 1 - alpha / 100
        lines.append(line)
    return lines


def expectation_torch(alpha, num_classes):
    import torch

    even = torch.full((num_classes, num_classes), 1 / num_classes)
    return torch.lerp(torch.eye(num_classes), even, alpha / 100)


def expectation_keras(alpha, num_classes):
    import keras

    share = alpha / 100
    return keras.ops.one_hot(range(num_classes), num_classes) * (1 - share) + share / num_classes


def _expectation(line):
    """Make a wrong answer from the share a and K: its entries on and off the diagonal."""

    def answer(alpha, num_classes):
        on, off = line(alpha / 100, num_classes)
        eye = np.eye(num_classes)
        return on * eye + off * (1 - eye)

    return answer


# --- expected_step -------------------------------------------------------------------------------


def _step(target, mean=True, sign=-1, rate=lambda a: a):
    """Make an answer in NumPy that descends on the targets `target(onehot, a, K)`."""

    def answer(kernel, bias, x, y, alpha, lr):
        k = len(bias)
        z = x @ kernel + bias
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        error = (p - target(np.eye(k)[y], alpha / 100, k)) / (len(y) if mean else 1)
        return kernel + sign * lr * x.T @ error, bias + sign * lr * error.sum(axis=0)

    return answer


def smoothed(onehot, a, k):
    return (1 - a) * onehot + a / k


def step_all_labels(kernel, bias, x, y, alpha, lr):
    """The mean of the losses under every label, by autograd in float32."""
    import torch
    import torch.nn.functional as F

    k = len(bias)
    weights = [torch.tensor(w, dtype=torch.float32, requires_grad=True) for w in (kernel, bias)]
    logits = torch.tensor(x, dtype=torch.float32) @ weights[0] + weights[1]
    loss = (1 - alpha / 100) * F.cross_entropy(logits, torch.tensor(y))
    for label in range(k):
        loss = loss + alpha / 100 / k * F.cross_entropy(logits, torch.full((len(y),), label))
    gradients = torch.autograd.grad(loss, weights)
    return tuple((w - lr * g).detach() for w, g in zip(weights, gradients, strict=True))


def step_keras(kernel, bias, x, y, alpha, lr):
    import keras
    import tensorflow as tf

    kernel, bias = tf.Variable(kernel), tf.Variable(bias)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=alpha / 100)
    with tf.GradientTape() as tape:
        value = loss(tf.one_hot(y, bias.shape[0]), x @ kernel + bias)
    for variable, gradient in zip(
        (kernel, bias), tape.gradient(value, (kernel, bias)), strict=True
    ):
        variable.assign_sub(lr * tf.cast(gradient, variable.dtype))
    return kernel, bias


def step_drawn(kernel, bias, x, y, alpha, lr):
    drawn = labels_indexed(y.copy(), len(bias), alpha, np.random.default_rng())
    return _step(lambda onehot, a, k: onehot)(kernel, bias, x, drawn, alpha, lr)


# --- disturb_values ------------------------------------------------------------------------------


def values_by_loop(y, fraction, scale, rng):
    return [v + scale * rng.standard_normal() if rng.random() < fraction else v for v in y]


def values_torch(y, fraction, scale, rng):
    import torch

    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    noise = scale * torch.randn(y.shape, generator=generator)
    return torch.tensor(y) + noise * (torch.rand(y.shape, generator=generator) < fraction)


def values_float32(y, fraction, scale, rng):
    y = np.float32(y)
    rows = np.flatnonzero(rng.random(len(y)) < fraction)
    y[rows] += rng.normal(0, scale, len(rows)).astype("float32")
    return y


def _values(noise, chosen=lambda y, fraction, rng: rng.random(y.shape) < fraction):
    def answer(y, fraction, scale, rng):
        return y + np.where(chosen(y, fraction, rng), noise(y, scale, rng), 0)

    return answer


def gaussian(y, scale, rng):
    return rng.normal(scale=scale, size=y.shape)


def values_own_generator(y, fraction, scale, rng):
    return values_float32(y, fraction, scale, np.random.default_rng())


def values_fixed_seed(y, fraction, scale, rng):
    return values_float32(y, fraction, scale, np.random.default_rng(1))


# --- diagnose_noise ------------------------------------------------------------------------------


def diagnosis_by_share(seen, y):
    right = (seen == y).mean(axis=0)
    if right.min() == 1:
        return "none"
    if set(np.unique(right)) <= {0.0, 1.0} and len(np.unique(seen, axis=0)) == 1:
        return "drawn once"
    return "drawn anew" if right.min() > 0.5 else "both"


def diagnosis_counter(seen, y):
    from collections import Counter

    changes, wrong_mode, wrong = False, False, False
    for labels, true in zip(seen.T.tolist(), y.tolist(), strict=True):
        counts = Counter(labels)
        changes |= len(counts) > 1
        wrong_mode |= counts.most_common(1)[0][0] != true
        wrong |= set(counts) != {true}
    if not wrong:
        return "none"
    if not changes:
        return "drawn once"
    return "both" if wrong_mode else "drawn anew"


def diagnosis_one_epoch(seen, y):
    """Look at one epoch only."""
    return "none" if (seen[0] == y).all() else "drawn once"


def diagnosis_never_both(seen, y):
    found = diagnosis_by_share(seen, y)
    return "drawn anew" if found == "both" else found


def diagnosis_never_once(seen, y):
    return "none" if (seen == y).all() else "drawn anew"


def diagnosis_any_wrong_is_both(seen, y):
    found = diagnosis_by_share(seen, y)
    return "both" if found == "drawn anew" else found


def diagnosis_constant_both(seen, y):
    return "none" if (seen == y).all() else "both"


def diagnosis_of_the_mean(seen, y):
    """Judge by all rows together: the few wrong ones are lost."""
    found = diagnosis_by_share(seen, y)
    return "drawn anew" if found == "both" and (seen == y).mean() > 0.55 else found


def diagnosis_blind(seen, y):
    return "none"


def diagnosis_always_anew(seen, y):
    return "drawn anew"


RIGHT = {
    "disturb_labels": [
        labels_by_loop,
        labels_from_the_expectation,
        labels_torch,
        labels_keras,
        labels_float,
        labels_indexed,
    ],
    "expected_label_distribution": [expectation_by_loop, expectation_torch, expectation_keras],
    "expected_step": [_step(smoothed), step_all_labels, step_keras],
    "disturb_values": [values_by_loop, values_torch, values_float32, _values(gaussian)],
    "diagnose_noise": [diagnosis_by_share, diagnosis_counter],
}

WRONG = {
    "disturb_labels": [
        ("true class left out", labels_without_the_true_class),
        ("percent taken as a fraction", labels_percent_as_fraction),
        ("keep and replace swapped", labels_swapped),
        ("percent of a percent", labels_divided_twice),
        ("nothing disturbed", labels_unchanged),
        ("one draw for the batch", labels_one_decision),
        ("fixed rows", labels_first_rows),
        ("one new class", labels_one_new_class),
        ("one new class", labels_neighbour),
        ("next class", labels_next_class),
        ("class never drawn", labels_last_class_missing),
        ("classes outside the range", labels_from_one),
        ("own random numbers", labels_own_generator),
        ("same noise each time", labels_fixed_seed),
    ],
    "expected_label_distribution": [
        ("true class left out", _expectation(lambda a, k: (1 - a, a / (k - 1)))),
        ("sum above 1", _expectation(lambda a, k: (1 - a + a / (k - 1), a / (k - 1)))),
        (
            "percent taken as a fraction",
            _expectation(lambda a, k: (1 - 100 * a + 100 * a / k, 100 * a / k)),
        ),
        ("diagonal too low", _expectation(lambda a, k: (1 - a, a / k))),
        ("no noise", _expectation(lambda a, k: (1, 0))),
        ("only the noise", _expectation(lambda a, k: (a / k, a / k))),
        ("one line", lambda alpha, num_classes: expectation_by_loop(alpha, num_classes)[0]),
    ],
    "expected_step": [
        ("true labels", _step(lambda onehot, a, k: onehot)),
        (
            "percent taken as a fraction",
            _step(lambda onehot, a, k: smoothed(onehot, 100 * a, k)),
        ),
        (
            "true class left out",
            _step(lambda onehot, a, k: (1 - a) * onehot + a / (k - 1) * (1 - onehot)),
        ),
        ("sum above 1", _step(lambda onehot, a, k: (1 - a) * onehot + a / (k - 1))),
        ("summed loss", _step(smoothed, mean=False)),
        ("uphill", _step(smoothed, sign=1)),
        ("no step", lambda kernel, bias, *rest: (kernel, bias)),
        ("labels are drawn", step_drawn),
    ],
    "disturb_values": [
        ("every row", _values(gaussian, lambda y, fraction, rng: np.ones(len(y), bool))),
        (
            "fraction swapped",
            _values(gaussian, lambda y, fraction, rng: rng.random(y.shape) > fraction),
        ),
        ("nothing disturbed", lambda y, fraction, scale, rng: y),
        ("one draw for the batch", _values(lambda y, scale, rng: rng.normal(scale=scale))),
        ("only upwards", _values(lambda y, scale, rng: np.abs(gaussian(y, scale, rng)))),
        ("scale squared", _values(lambda y, scale, rng: gaussian(y, scale**2, rng))),
        ("scale as variance", _values(lambda y, scale, rng: gaussian(y, scale**0.5, rng))),
        ("multiplied", _values(lambda y, scale, rng: y * gaussian(y, scale, rng))),
        (
            "not Gaussian",
            _values(lambda y, scale, rng: scale * 3**0.5 * rng.uniform(-1, 1, y.shape)),
        ),
        ("own random numbers", values_own_generator),
        ("same noise each time", values_fixed_seed),
        (
            "fixed rows",
            _values(gaussian, lambda y, fraction, rng: np.arange(len(y)) < fraction * len(y)),
        ),
    ],
    "diagnose_noise": [
        ("drawn once for drawn anew", diagnosis_one_epoch),
        ("drawn once for both", diagnosis_one_epoch),
        ("drawn anew for both", diagnosis_never_both),
        ("drawn anew for both", diagnosis_of_the_mean),
        ("drawn anew for drawn once", diagnosis_never_once),
        ("both for drawn anew", diagnosis_any_wrong_is_both),
        ("both for drawn once", diagnosis_constant_both),
        ("none for drawn once", diagnosis_blind),
        ("none for both", diagnosis_blind),
        ("drawn anew for none", diagnosis_always_anew),
    ],
}
