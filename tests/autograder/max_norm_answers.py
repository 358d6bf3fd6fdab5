"""Right and wrong answers to the exercises of chapter 09, for `test_answers`."""

import numpy as np

from regbook.exercise import vary


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


def projection_gives_up(W, r, axis):
    """Return the kernel as it is if any unit of it is zero."""
    norm = np.sqrt((W**2).sum(axis=axis, keepdims=True))
    return W if (norm == 0).any() else shrink(W, r, axis)


def projection_of_filters(W, r, axis):
    """Scale every filter of a convolution, those inside the ball too."""
    return W * r / norms(W, axis) if isinstance(axis, tuple) else shrink(W, r, axis)


def projection_in_place(W, r, axis):
    W *= np.minimum(1, r / norms(W, axis))
    return W


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


def _step_keras(bias_constrained):
    def step(kernel, bias, x, y, lr, r):
        import keras

        wall = keras.constraints.MaxNorm(r)
        bias_wall = wall if bias_constrained else None
        layer = keras.layers.Dense(len(bias), kernel_constraint=wall, bias_constraint=bias_wall)
        model = keras.Sequential([keras.Input((len(kernel),)), layer])
        model.set_weights([kernel, bias])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(lr), loss, run_eagerly=True)
        model.train_on_batch(x, y)
        return [layer.kernel, layer.bias]

    return step


def step_classes_of_labels(kernel, bias, x, y, lr, r):
    """Count the classes that occur in y."""
    classes = y.max() + 1
    logits = x @ kernel + bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    d = (p / p.sum(axis=1, keepdims=True) - np.eye(classes)[y]) / len(x)
    return shrink(kernel - lr * (x.T @ d), r), bias - lr * d.sum(axis=0)


def step_in_place(kernel, bias, x, y, lr, r):
    dk, db = gradients(kernel, bias, x, y)
    kernel -= lr * dk
    bias -= lr * db
    return shrink(kernel, r), bias


# --- find_active_units -----------------------------------------------------------------------


def active_torch(kernel, r, tol):
    import torch

    return torch.linalg.vector_norm(torch.tensor(kernel), dim=0) >= (1 - tol) * r


def active_gap(kernel, r, tol):
    """Measure the distance to the wall, with float32 and a tuple of truth values."""
    return tuple(r - np.linalg.norm(np.float32(kernel), axis=0) <= tol * r)


def active_keras(kernel, r, tol):
    import keras

    return keras.ops.norm(keras.ops.convert_to_tensor(kernel), axis=0) >= (1 - tol) * r


def active_in_place(kernel, r, tol):
    kernel **= 2
    return np.sqrt(kernel.sum(axis=0)) >= (1 - tol) * r


# --- repair_the_constraint -------------------------------------------------------------------


def repaired_in_place(kernel, gradient, steps, lr, r):
    for _ in range(steps):
        kernel -= lr * gradient(kernel)
        for column in kernel.T:
            column *= min(1, r / np.linalg.norm(column))
    return kernel


def repaired_numpy(kernel, gradient, steps, lr, r):
    for _ in range(steps):
        kernel = shrink(kernel - lr * gradient(kernel), r)
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


# --- choose_radius ---------------------------------------------------------------------------


def choose_by_halving(train, radii, rates, steps, budget):
    """Train all pairs briefly, the better third longer, and so on."""
    pairs, number = [(radius, rate) for radius in radii for rate in rates], steps // 5
    while len(pairs) > 1:
        dev = [train(pair, number)["dev"] for pair in pairs]
        pairs = [pairs[i] for i in np.argsort(dev)[::-1][: max(1, len(pairs) // 3)]]
        number *= 2
    return pairs[0]


def choose_one_after_the_other(train, radii, rates, steps, budget):
    """Choose the radius at a middle rate, then the rate at this radius, in full runs."""
    rate = rates[len(rates) // 2]
    radius = max(radii, key=lambda radius: train((radius, rate), steps)["dev"])
    return np.float32(
        max(((radius, rate) for rate in rates), key=lambda pair: train(pair, steps)["dev"])
    )


def choose_of_some(train, radii, rates, steps, budget):
    """Try a dozen pairs, drawn at random, in full."""
    pairs = [[radius, rate] for radius in radii for rate in rates]
    some = np.random.default_rng(3).permutation(len(pairs))[: budget // steps]
    return max((pairs[i] for i in some), key=lambda pair: train(pair, steps)["dev"])


def choose_loosest(train, radii, rates, steps, budget):
    """Give all pairs an equal share, and take the loosest wall that is as good as the best."""
    pairs = [(radius, rate) for radius in radii for rate in rates]
    dev = [train(pair, budget // len(pairs))["dev"] for pair in pairs]
    good = [pair for pair, score in zip(pairs, dev, strict=True) if score > max(dev) - 0.01]
    return max(good)


def choose(
    train, radii, rates, steps, budget, *,
    score=lambda scores: scores["dev"], number=lambda steps, budget, pairs: budget // pairs,
    first=lambda radii: radii, second=lambda rates: rates,
):  # fmt: skip
    """Do it with any part replaced."""
    pairs = [(radius, rate) for radius in first(radii) for rate in second(rates)]
    each = number(steps, budget, len(pairs))
    return max(pairs, key=lambda pair: score(train(pair, each)))


def choose_until_refused(train, radii, rates, steps, budget):
    """Try all pairs in full until `train` refuses."""
    best = 0, (0, 0)
    try:
        for radius in radii:
            for rate in rates:
                best = max(best, (train((radius, rate), steps)["dev"], (radius, rate)))
    except ValueError:
        pass
    return best[1]


def choose_anyway(pick):
    """Return the answer that tries all pairs and takes one that no score has a part in."""

    def answer(train, radii, rates, steps, budget):
        choose(train, radii, rates, steps, budget)
        return pick(radii, rates)

    return answer


def choose_the_longest_run(train, radii, rates, steps, budget):
    """Compare runs of different lengths: the later a pair comes, the longer it trains."""
    pairs = [(radius, rate) for radius in radii for rate in rates]
    share = 2 * budget // (len(pairs) * (len(pairs) + 1))
    dev = [train(pair, (i + 1) * share)["dev"] for i, pair in enumerate(pairs)]
    return pairs[int(np.argmax(dev))]


RIGHT = {
    "max_norm_projection": [
        projection_loop,
        projection_keras,
        projection_torch,
        projection_float32,
    ],
    "train_step_with_max_norm": [step_numpy, step_torch_optimizer, _step_keras(False)],
    "find_active_units": [
        lambda kernel, r, tol: [sum(w**2) ** 0.5 >= (1 - tol) * r for w in kernel.T],
        active_torch,
        active_gap,
        lambda kernel, r, tol: (kernel**2).sum(axis=0) >= ((1 - tol) * r) ** 2,
        active_keras,
    ],
    "repair_the_constraint": [
        lambda kernel, *rest: repaired_in_place(kernel.copy(), *rest),
        repaired_torch,
        repaired_keras,
        repaired_numpy,
    ],
    "choose_radius": [
        choose_by_halving,
        choose_one_after_the_other,
        choose_of_some,
        choose_loosest,
        lambda *task: list(choose(*task)),
    ],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "max_norm_projection": [
        ("form", projection_nan),
        ("form", lambda W, r, axis: norms(W, axis)),
        ("error", lambda W, r: W),
        ("error", lambda W, r, axis: None),
        ("unchanged", projection_gives_up),
        ("handles_a_convolution", projection_of_filters),
        ("changes its input", projection_in_place),
    ],
    "train_step_with_max_norm": [
        ("bias-projected", _step_keras(True)),
        ("is_plain_descent_inside", lambda *given: step_numpy(*given[:4], given[4] / 2, given[5])),
        ("error", lambda kernel, bias, x, y, lr, r: kernel),
        ("error", lambda *arguments: step_numpy(*arguments)[::-1]),
        ("error", step_classes_of_labels),
        ("changes its input", step_in_place),
    ],
    "find_active_units": [
        ("border-excluded", lambda kernel, r, tol: np.linalg.norm(kernel, axis=0) >= r / (1 + tol)),
        (
            "counts_units_on_the_wall",
            lambda kernel, r, tol: np.linalg.norm(kernel, axis=0) >= (1 - tol / 2) * r,
        ),
        (
            "counts_units_on_the_wall",
            lambda kernel, r, tol: np.linalg.norm(kernel, axis=0).round(2) >= round(r - tol * r, 2),
        ),
        ("numbers", lambda kernel, r, tol: 1 * (np.linalg.norm(kernel, axis=0) >= (1 - tol) * r)),
        ("sees_an_idle_constraint", lambda kernel, r, tol: np.linalg.norm(kernel, axis=0) > -1),
        ("form", lambda kernel, r, tol: np.array([True])),
        ("changes its input", active_in_place),
    ],
    "repair_the_constraint": [
        ("follows_the_repaired_loop", lambda kernel, gradient, steps, lr, r: kernel),
        ("changes its input", repaired_in_place),
    ],
    "choose_radius": [
        ("no decision", lambda train, radii, rates, steps, budget: (3, 0.05)),
        ("no decision", lambda train, radii, rates, steps, budget: (radii[1], rates[-2])),
        (
            "no decision",
            vary(choose, first=lambda radii: radii[:1], second=lambda rates: rates[1:2]),
        ),
        ("over budget", vary(choose, number=lambda steps, budget, pairs: steps)),
        ("over budget", vary(choose, number=lambda steps, budget, pairs: budget)),
        ("over budget", vary(choose, number=lambda steps, budget, pairs: budget // pairs + 1)),
        ("over budget", choose_until_refused),
        ("chosen on test rows", vary(choose, score=lambda scores: scores["test"])),
        ("chosen on test rows", vary(choose, score=lambda scores: scores["test"] + scores["dev"])),
        ("chosen on train rows", vary(choose, score=lambda scores: scores["train"])),
        ("smallest gap", vary(choose, score=lambda scores: scores["dev"] - scores["train"])),
        ("lowest for highest", vary(choose, score=lambda scores: -scores["dev"])),
        ("dev ignored", choose_anyway(lambda radii, rates: (radii[1], rates[1]))),
        ("dev ignored", choose_anyway(lambda radii, rates: np.array([radii[-1], rates[0]]))),
        ("short runs", vary(choose, number=lambda steps, budget, pairs: 3)),
        ("one radius only", vary(choose, first=lambda radii: radii[:1])),
        ("one radius only", vary(choose, first=lambda radii: radii[-1:])),
        ("one rate only", vary(choose, second=lambda rates: rates[:1])),
        ("one rate only", vary(choose, second=lambda rates: rates[1:2])),
        ("error", lambda *task: choose(*task)[0]),
        ("error", lambda *task: choose(*task)[::-1]),
        ("error", lambda train, radii, rates, steps, budget: train(0.5, steps)),
        ("error", lambda train, radii, rates, steps, budget: train((3, 0.05), steps)),
        ("error", lambda train, radii, rates, steps, budget: train((0.5, 0.05), 0.5)),
    ],
}
