"""Right and wrong answers to the exercises of chapter 20 that differ in form.

A wrong answer is a pair: the name of its mistake, and the function. Those that the checks know as
mistakes are tested too, and need no entry here.
"""

import math
from itertools import product

import numpy as np

from regbook.exercise import vary

# --- residual_block_forward ------------------------------------------------------------------


def block_loops(x, W1, bn1, W2, bn2, eps, projection=None):
    def layer(row, kernel, bn):
        found = []
        for unit in range(len(kernel[0])):
            z = sum(row[i] * kernel[i][unit] for i in range(len(row)))
            gamma, beta, mean, var = (bn[k][unit] for k in range(4))
            found.append(gamma * (z - mean) / math.sqrt(var + eps) + beta)
        return found

    rows = []
    for row in x.tolist():
        hidden = [max(v, 0) for v in layer(row, W1, bn1)]
        branch = layer(hidden, W2, bn2)
        shortcut = layer(row, *projection) if projection else row
        rows.append([max(a + b, 0) for a, b in zip(branch, shortcut, strict=True)])
    return rows


def block_folded(x, W1, bn1, W2, bn2, eps, projection=None):
    """Fold each normalization into the product before it."""

    def folded(kernel, bn):
        scale = bn[0] / np.sqrt(bn[3] + eps)
        return kernel * scale, bn[1] - bn[2] * scale

    (W1, b1), (W2, b2) = folded(W1, bn1), folded(W2, bn2)
    P, c = (np.eye(x.shape[1]), 0) if projection is None else folded(*projection)
    return np.clip(np.clip(x @ W1 + b1, 0, None) @ W2 + b2 + x @ P + c, 0, None)


def block_torch(x, W1, bn1, W2, bn2, eps, projection=None):
    import torch
    import torch.nn.functional as F

    def norm(z, bn):
        gamma, beta, mean, var = torch.tensor(bn, dtype=torch.float32)
        return F.batch_norm(z, mean, var, gamma, beta, training=False, eps=eps)

    x, W1, W2 = (torch.tensor(a, dtype=torch.float32) for a in (x, W1, W2))
    h = F.relu(norm(F.linear(x, W1.T), bn1))
    s = x
    if projection is not None:
        s = norm(x @ torch.tensor(projection[0], dtype=torch.float32), projection[1])
    return F.relu(norm(F.linear(h, W2.T), bn2) + s)


def block_keras(x, W1, bn1, W2, bn2, eps, projection=None):
    import keras

    def norm(z, bn):
        layer = keras.layers.BatchNormalization(epsilon=eps)
        layer.build(z.shape)
        layer.set_weights(list(bn))
        return layer(z, training=False)

    x, W1, W2 = (np.float32(a) for a in (x, W1, W2))
    h = keras.ops.relu(norm(x @ W1, bn1))
    f = norm(keras.ops.matmul(h, W2), bn2)
    s = x if projection is None else norm(x @ np.float32(projection[0]), projection[1])
    return keras.layers.ReLU()(keras.layers.Add()([f, s]))


def block_with_hidden(*given):
    return block_folded(*given), given[0]


def block_in_place_sum(x, *rest):
    y = block_folded(x, *rest)
    x += 1
    return y


# --- output_size -----------------------------------------------------------------------------


def size_by_counting(size, kernel, stride, padding):
    """Move the kernel until it does not fit any more."""
    if padding == "same":
        return len(range(0, size, stride))
    place, places = -padding, 0
    while place + kernel <= size + padding:
        place, places = place + stride, places + 1
    return places


def size_by_math(size, kernel, stride, padding):
    if isinstance(padding, str):
        return math.ceil(size / stride)
    return math.floor((size + 2 * padding - kernel) / stride + 1)


def size_in_torch(size, kernel, stride, padding):
    import torch
    import torch.nn.functional as F

    x = torch.zeros(1, 1, size)
    if padding == "same":
        return x[..., ::stride].shape[-1]
    return F.conv1d(x, torch.zeros(1, 1, kernel), stride=stride, padding=padding).shape[-1]


def size_by_same_padding(size, kernel, stride, padding):
    """Find out how many pixels "same" adds, and use the formula."""
    total = 2 * padding if padding != "same" else 0
    if padding == "same":
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        if total == 0:
            return np.int64(-(-size // stride))
    return np.int64((size + total - kernel) // stride + 1)


def size_as_text(size, kernel, stride, padding):
    return str(size_by_math(size, kernel, stride, padding))


def size_of_both_sides(size, kernel, stride, padding):
    return [size_by_math(size, kernel, stride, padding)] * 2


def size_half_of_same(size, kernel, stride, padding):
    """Take "same" for half the kernel, rounded down: right for odd kernels only."""
    padding = kernel // 2 if padding == "same" else padding
    return (size + 2 * padding - kernel) // stride + 1


# --- count_parameters ------------------------------------------------------------------------


def count_by_formula(widths, blocks, in_channels, classes):
    """Sum the squares; every convolution and every norm is one term."""
    w, n = np.array(widths), np.array(blocks)
    before = np.concatenate([w[:1], w[:-1]])
    first = 9 * in_channels * w[0] + 2 * w[0]
    within = (9 * before * w + 9 * w * w + 4 * w + (n - 1) * (18 * w * w + 4 * w)).sum()
    projections = (before * w + 2 * w)[1:].sum()
    return first + within + projections + (w[-1] + 1) * classes


def count_by_layers(widths, blocks, in_channels, classes):
    """List the shapes of all layers."""
    shapes, inputs = [(3, in_channels, widths[0])], widths[0]
    for stage in range(len(widths)):
        for block in range(blocks[stage]):
            shapes += [(3, inputs, widths[stage]), (3, widths[stage], widths[stage])]
            if block == 0 < stage:
                shapes.append((1, inputs, widths[stage]))
            inputs = widths[stage]
    found = 0.0
    for kernel, a, b in shapes:
        found += kernel**2 * a * b + b + b
    return found + (inputs + 1) * classes


def count_in_torch(widths, blocks, in_channels, classes):
    import torch

    from regbook.resnet import torch_resnet

    with torch.device("meta"):  # shapes without numbers
        model = torch_resnet(in_channels, widths, blocks, classes)
    return sum(p.numel() for p in model.parameters())


def count_with_buffers(widths, blocks, in_channels, classes):
    """Count what is stored, as `count_params()` of Keras does."""
    found = count_by_formula(widths, blocks, in_channels, classes)
    w, n = np.array(widths), np.array(blocks)
    return found + 2 * (w[0] + (2 * n * w).sum() + w[1:].sum())


def count_rounded(*given):
    return round(count_by_formula(*given), -1)


def count_as_list(*given):
    return [count_by_formula(*given)]


# --- diagnose_depth_by_gradients -------------------------------------------------------------


def diagnose_by_covariance(norms, factor):
    if any(math.isinf(n) or math.isnan(n) for n in norms):
        return "exploding"
    if norms[0] == 0:
        return "cut off"
    if min(norms) == 0:
        return "waiting"
    places, logs = np.arange(len(norms)), np.log(norms)
    slope = np.cov(places, logs)[0, 1] / places.var(ddof=1)
    if -slope > np.log(factor):
        return "exploding"
    return "vanishing" if slope > np.log(factor) else "healthy"


def diagnose_from_the_back(norms, factor):
    """Number the layers as the gradient meets them."""
    back = np.asarray(norms)[::-1]
    if np.isnan(back).any() or np.isinf(back).any():
        return np.str_("exploding")
    if not back.all():
        return "waiting" if back[-1] else "cut off"
    design = np.stack([np.arange(len(back)), np.ones(len(back))], axis=1)
    growth = np.exp(np.linalg.lstsq(design, np.log(back), rcond=None)[0][0])
    names = {growth > factor: "exploding", growth * factor < 1: "vanishing"}
    return names.get(True, "healthy")


def diagnose_in_torch(norms, factor):
    import torch

    norms = torch.tensor(norms, dtype=torch.float64)
    if not torch.isfinite(norms).all():
        return "exploding"
    if norms[0] == 0:
        return "cut off"
    if (norms == 0).any():
        return "waiting"
    place = torch.arange(len(norms), dtype=torch.float64)
    place -= place.mean()
    change = -(place * norms.log2()).sum() / (place**2).sum()
    if change.abs() <= math.log2(factor):
        return "healthy"
    return "exploding" if change > 0 else "vanishing"


def diagnose_in_capitals(norms, factor):
    return diagnose_by_covariance(norms, factor).capitalize()


def diagnose_as_number(norms, factor):
    return 1.0


def diagnose_by_ratios(norms, factor):
    """Take the mean ratio of neighbours."""
    if not np.isfinite(norms).all():
        return "exploding"
    if norms[0] == 0:
        return "cut off"
    if (norms == 0).any():
        return "waiting"
    growth = (norms[:-1] / norms[1:]).mean()
    return "exploding" if growth > factor else "vanishing" if growth < 1 / factor else "healthy"


# --- rescue ----------------------------------------------------------------------------------

SHORTCUTS, NORMS, LASTS = ("none", "identity"), ("none", "batch"), (1.0, 0.0)
RATES = (0.001, 0.003, 0.03)


def setting(shortcut="identity", norm="batch", last=0.0, rate=0.03):
    return {"shortcut": shortcut, "norm": norm, "last": last, "rate": rate}


def rescue_all(
    build, train, budget, *,
    score=lambda scores: scores["dev"], number=lambda budget, settings: budget // settings,
    shortcuts=SHORTCUTS[1:], norms=NORMS, lasts=LASTS, rates=RATES,
):  # fmt: skip
    """Train every setting with shortcuts for an equal share, with any part replaced."""
    settings = [setting(*given) for given in product(shortcuts, norms, lasts, rates)]
    each = number(budget, len(settings))
    return max(settings, key=lambda one: score(train(one, each)))


def rescue_by_halving(build, train, budget):
    """Train all settings for three quarters of the budget, and the best two for the rest."""
    settings = [setting(*given) for given in product(SHORTCUTS[1:], NORMS, LASTS, RATES)]
    scores = [train(one, 3 * budget // 4 // len(settings))["dev"] for one in settings]
    best = [settings[i] for i in np.argsort(scores)[-2:]]
    return max(best, key=lambda one: train(one, budget // 8)["dev"])


def rescue_by_gradients(build, train, budget):
    """Leave out what explodes, or what never arrives, before the first step."""
    kept = []
    for given in product(SHORTCUTS, NORMS, LASTS):
        norms = np.asarray(build(setting(*given)))
        if np.isfinite(norms).all() and 1e-3 < norms[0] / max(norms[-1], 1e-9) < 300:
            kept.append(given)
    settings = [setting(*given, rate) for given in kept for rate in RATES]
    scores = [train(one, budget // len(settings))["dev"] for one in settings]
    return settings[int(np.argmax(scores))]


def rescue_one_after_the_other(build, train, budget):
    """Choose normalization and start at one rate, then the rate."""
    each = budget // 8
    kinds = [setting("identity", norm, last, 0.003) for norm in NORMS for last in LASTS]
    found = {tuple(kind.items()): train(kind, each)["dev"] for kind in kinds}
    best = dict(max(found, key=found.get))
    for rate in (0.001, 0.03):
        one = best | {"rate": rate}
        found[tuple(one.items())] = train(one, each)["dev"]
    return dict(max(found, key=found.get))


def rescue_with_numpy_numbers(build, train, budget):
    """Leave the useless half out, look at the test rows too, and answer with NumPy's kinds."""
    best = -1.0, None
    for norm, rate in product(NORMS, np.float32(RATES)):
        one = setting(np.str_("identity"), norm, np.float64(0), rate)
        found = train(one, np.int64(budget // 8))
        assert found["test"] >= 0  # seen, and not used
        best = max(best, (found["dev"], one), key=lambda pair: pair[0])
    return best[1]


def rescue_until_refused(build, train, budget):
    """Try all settings in full until `train` refuses."""
    best = 0.0, setting()
    try:
        for given in product(SHORTCUTS, NORMS, LASTS, RATES):
            one = setting(*given)
            best = max(best, (train(one, budget // 8)["dev"], one), key=lambda pair: pair[0])
    except ValueError:
        pass
    return best[1]


def rescue_by_norms_alone(build, train, budget):
    """Take the most even gradients and train nothing."""
    settings = [setting(*given) for given in product(SHORTCUTS, NORMS, LASTS)]
    return min(settings, key=lambda one: np.ptp(np.log(np.asarray(build(one)) + 1e-12)))


def rescue_anyway(**chosen):
    """Return the answer that tries the settings and takes one that no score has a part in."""

    def answer(build, train, budget):
        rescue_all(build, train, budget)
        return setting(**chosen)

    return answer


RIGHT = {
    "residual_block_forward": [block_loops, block_folded, block_torch, block_keras],
    "output_size": [size_by_counting, size_by_math, size_in_torch, size_by_same_padding],
    "count_parameters": [count_by_formula, count_by_layers, count_in_torch],
    "diagnose_depth_by_gradients": [
        diagnose_by_covariance,
        diagnose_from_the_back,
        diagnose_in_torch,
    ],
    "rescue": [
        rescue_all,
        rescue_by_halving,
        rescue_by_gradients,
        rescue_one_after_the_other,
        rescue_with_numpy_numbers,
    ],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "residual_block_forward": [
        ("form", block_with_hidden),
        ("changes its input", block_in_place_sum),
    ],
    "output_size": [
        ("form", size_as_text),
        ("form", size_of_both_sides),
        ("knows_same", size_half_of_same),
    ],
    "count_parameters": [
        ("running statistics", count_with_buffers),
        ("error", count_as_list),
        ("knows_resnet_18", count_rounded),
    ],
    "diagnose_depth_by_gradients": [
        ("error", diagnose_in_capitals),
        ("form", diagnose_as_number),
        ("mean of the ratios", diagnose_by_ratios),
    ],
    "rescue": [
        ("no decision", lambda build, train, budget: setting()),
        ("no decision", lambda build, train, budget: setting("none", "none", 1.0, 0.03)),
        ("no decision", rescue_by_norms_alone),
        ("over budget", vary(rescue_all, number=lambda budget, settings: budget // 8)),
        ("over budget", vary(rescue_all, number=lambda budget, settings: budget // settings + 1)),
        ("over budget", rescue_until_refused),
        ("chosen on test rows", vary(rescue_all, score=lambda scores: scores["test"])),
        (
            "chosen on test rows",
            vary(rescue_all, score=lambda scores: 2 * scores["test"] + scores["dev"]),
        ),
        ("chosen on train rows", vary(rescue_all, score=lambda scores: scores["train"])),
        ("smallest gap", vary(rescue_all, score=lambda scores: scores["dev"] - scores["train"])),
        ("lowest for highest", vary(rescue_all, score=lambda scores: -scores["dev"])),
        ("dev ignored", rescue_anyway()),
        ("dev ignored", rescue_anyway(norm="none", rate=0.001)),
        ("short runs", vary(rescue_all, number=lambda budget, settings: 2)),
        ("plain only", vary(rescue_all, shortcuts=["none"])),
        ("one norm only", vary(rescue_all, norms=["batch"])),
        ("one norm only", vary(rescue_all, norms=["none"])),
        ("one start only", vary(rescue_all, lasts=[1.0])),
        ("error", lambda *task: list(rescue_all(*task).values())),
        ("error", lambda *task: {k: v for k, v in rescue_all(*task).items() if k != "rate"}),
        ("error", lambda build, train, budget: train("identity", 10)),
        ("error", lambda build, train, budget: train(setting(rate=0.5), 10)),
        ("error", lambda build, train, budget: train(setting(), 0.5)),
    ],
}
