"""Right and wrong answers to the exercises of chapter 16, for `test_answers`."""

from functools import partial

import numpy as np


def soft(y, k, alpha):
    return (1 - alpha) * np.eye(k)[y] + alpha / k


def smooth_loop(y, num_classes, alpha):
    out = []
    for label in y:
        row = [alpha / num_classes] * num_classes
        row[label] += 1 - alpha
        out.append(row)
    return out


def smooth_float32(y, num_classes, alpha):
    targets = np.full((len(y), num_classes), alpha / num_classes, np.float32)
    targets[np.arange(len(y)), y] += 1 - alpha
    return targets


def smooth_torch(y, num_classes, alpha):
    import torch
    import torch.nn.functional as F

    hot = F.one_hot(torch.tensor(y), num_classes).double()
    return torch.lerp(hot, torch.full_like(hot, 1 / num_classes), alpha)


def smooth_keras(y, num_classes, alpha):
    import keras

    return keras.utils.to_categorical(y, num_classes) * (1 - alpha) + alpha / num_classes


def convert_share(alpha, num_classes):
    return num_classes * (alpha / (num_classes - 1))


def convert_sum(alpha, num_classes):
    return np.float32(alpha) + np.float32(alpha / (num_classes - 1))


def convert_torch(alpha, num_classes):
    import torch

    return torch.as_tensor(alpha) / (1 - 1 / num_classes)


def convert_in_place(alpha, num_classes):
    alpha *= num_classes / (num_classes - 1)
    return alpha


def entropy_loop(logits, y, alpha):
    total = 0.0
    for row, label in zip(logits, y, strict=True):
        shifted = row - max(row)
        log_p = shifted - np.log(np.exp(shifted).sum())
        for k, value in enumerate(log_p):
            total -= ((1 - alpha) * (k == label) + alpha / len(row)) * value
    return total / len(y)


def entropy_scipy(logits, y, alpha):
    from scipy.special import log_softmax

    log_p = log_softmax(logits, axis=1)
    return -np.einsum("ij,ij->", soft(y, logits.shape[1], alpha), log_p) / len(y)


def entropy_torch(logits, y, alpha):
    import torch
    import torch.nn.functional as F

    return F.cross_entropy(torch.tensor(logits), torch.tensor(y), label_smoothing=alpha)


def entropy_keras(logits, y, alpha):
    import keras

    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=alpha)
    return loss(keras.utils.to_categorical(y, logits.shape[1]), logits.astype("float32"))


def entropy_overflow(logits, y, alpha):
    with np.errstate(all="ignore"):
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return -(soft(y, p.shape[1], alpha) * np.log(p)).sum(axis=1).mean()


def entropy_in_place(logits, y, alpha):
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -(soft(y, logits.shape[1], alpha) * logits).sum(axis=1).mean()


def floor_formula(alpha, num_classes):
    if alpha == 0:
        return 0.0
    own, each = 1 - alpha + alpha / num_classes, alpha / num_classes
    return -(own * np.log(own) + (num_classes - 1) * each * np.log(each))


def floor_scipy(alpha, num_classes):
    from scipy.stats import entropy

    return entropy(alpha / num_classes + (1 - alpha) * np.eye(num_classes)[0])


def floor_torch(alpha, num_classes):
    import torch

    target = torch.full((num_classes,), alpha / num_classes)
    target[-1] += 1 - alpha
    return torch.special.entr(target).sum()


def floor_nan(alpha, num_classes):
    target = soft(np.array([0]), num_classes, alpha)[0]
    with np.errstate(all="ignore"):
        return -(target * np.log(target)).sum()


def step_numpy(weights, x, targets, lr):
    w1, b1, w2, b2 = weights
    a = np.tanh(x @ w1 + b1)
    p = np.exp(a @ w2 + b2)
    d = (p / p.sum(axis=1, keepdims=True) - targets) / len(x)
    dz = d @ w2.T * (1 - a**2)
    return w1 - lr * x.T @ dz, b1 - lr * dz.sum(0), w2 - lr * a.T @ d, b2 - lr * d.sum(0)


def step_torch(weights, x, targets, lr, softmax=False):
    import torch
    import torch.nn.functional as F

    w1, b1, w2, b2 = params = [torch.tensor(w, requires_grad=True) for w in weights]
    logits = torch.tanh(torch.tensor(x) @ w1 + b1) @ w2 + b2
    logits = logits.softmax(dim=1) if softmax else logits
    F.cross_entropy(logits, torch.tensor(targets)).backward()
    return [p - lr * p.grad for p in params]


def step_torch_sgd(weights, x, targets, lr):
    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(*weights[0].shape), nn.Tanh(), nn.Linear(*weights[2].shape))
    params = [model[0].weight, model[0].bias, model[2].weight, model[2].bias]
    with torch.no_grad():
        for p, w in zip(params, weights, strict=True):
            p.copy_(torch.tensor(w.T))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    logits = model(torch.tensor(x).float())
    nn.CrossEntropyLoss()(logits, torch.tensor(targets).float()).backward()
    optimizer.step()
    return [p.detach().numpy().T for p in params]


def step_keras(weights, x, targets, lr):
    import keras

    hidden = keras.layers.Dense(weights[0].shape[1], activation="tanh")
    output = keras.layers.Dense(weights[2].shape[1])
    model = keras.Sequential([keras.Input((x.shape[1],)), hidden, output])
    model.set_weights(weights)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(lr), loss, run_eagerly=True)
    model.train_on_batch(x, targets)
    return model.get_weights()


def step_in_place(weights, x, targets, lr):
    for w, after in zip(weights, step_numpy(weights, x, targets, lr), strict=True):
        w[:] = after
    return weights


def diagnose_loop(p, y):
    excess = []
    for network, labels in zip(p, y, strict=True):
        sure = sum(max(row) for row in network)
        right = sum(int(np.argmax(row) == k) for row, k in zip(network, labels, strict=True))
        excess.append((sure - right) / len(labels))
    mean = sum(excess) / len(excess)
    variance = sum((e - mean) ** 2 for e in excess) / (len(excess) - 1)
    half = 2 * (variance / len(excess)) ** 0.5
    if mean - half > 0:
        return "over-confident", (mean - half, mean + half)
    if mean + half < 0:
        return "under-confident", (mean - half, mean + half)
    inside = max(half - mean, half + mean) < 0.02
    return "calibrated" if inside else "cannot tell", (mean - half, mean + half)


def diagnose_torch(p, y):
    import torch

    largest, guess = torch.tensor(p).max(dim=2)
    excess = (largest - (guess == torch.tensor(y)).double()).mean(dim=1)
    half = 2 * excess.std() / len(excess) ** 0.5
    low, high = excess.mean() - half, excess.mean() + half
    known = {(1, 1): "over-confident", (-1, -1): "under-confident"}
    around = "calibrated" if max(-low, high) < 0.02 else "cannot tell"
    return known.get((int(low.sign()), int(high.sign())), around), [low.item(), high.item()]


def diagnose_table(p, y, multiple=2, error="sem"):
    import pandas as pd

    table = pd.DataFrame(p.max(axis=2) - (p.argmax(axis=2) == y))
    excess = table.mean(axis=1)
    half = multiple * getattr(excess, error)()
    low, high = excess.mean() - half, excess.mean() + half
    cases = [low > 0, high < 0, (low > -0.02) & (high < 0.02)]
    texts = ["over-confident", "under-confident", "calibrated"]
    return np.select(cases, texts, "cannot tell").item(), np.array([low, high])


def diagnose_rounded(p, y):
    text, (low, high) = diagnose_loop(p, y)
    return text, (round(low, 2), round(high, 2))


# --- choose_smoothing ------------------------------------------------------------------------


def nll(logits, y, t=1.0):
    z = logits / t - (logits / t).max(axis=1, keepdims=True)
    return np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y])


def fit(logits, y):
    """Return the lowest NLL and its temperature."""
    return min((nll(logits, y, t), t) for t in np.geomspace(0.05, 20, 40))


def choose_then_fit_again(train, strengths, labels, steps, budget):
    """Give all strengths more than half a run, the best a full one, and fit its temperature."""
    y = labels["dev"]
    dev = [fit(train(alpha, 3 * steps // 5)["dev"], y)[0] for alpha in strengths]
    alpha = strengths[int(np.argmin(dev))]
    return alpha, fit(train(alpha, steps)["dev"], y)[1]


def choose_of_four(train, strengths, labels, steps, budget):
    """Run four strengths in full, and fit by SciPy."""
    from scipy.optimize import minimize_scalar

    found = []
    for alpha in strengths[[0, 2, 4, 5]]:
        logits = train(alpha, steps)["dev"]
        best = minimize_scalar(
            lambda log_t, z=logits: nll(z, labels["dev"], np.exp(log_t)),
            bounds=(-3.2, 3.2),
            method="bounded",
        )
        found.append((best.fun, alpha, np.exp(best.x)))
    return min(found)[1:]


def choose_by_halving(train, strengths, labels, steps, budget):
    """Train all strengths briefly, and the best two in full."""
    left = list(strengths)
    for share, keep in ((0.4, 2), (1.0, 1)):
        scored = []
        for alpha in left:
            scored.append((*fit(train(alpha, int(share * steps))["dev"], labels["dev"]), alpha))
        left = [alpha for _, _, alpha in sorted(scored)[:keep]]
    return np.float32([left[0], min(scored)[1]])


def choose_by_bisection(train, strengths, labels, steps, budget):
    """Fit the temperature where the mean logit of the truth is the expected one."""
    found = []
    for alpha in strengths:
        logits, y = train(float(alpha), budget // len(strengths))["dev"], labels["dev"]
        truth = logits[np.arange(len(y)), y].mean()
        low, high = 1e-3, 1e3
        while high > 1.01 * low:
            t = (low * high) ** 0.5
            p = np.exp((logits - logits.max(axis=1, keepdims=True)) / t)
            p /= p.sum(axis=1, keepdims=True)
            low, high = (t, high) if (p * logits).sum(axis=1).mean() > truth else (low, t)
        found.append((nll(logits, y, t), alpha, t))
    return list(min(found)[1:])


def choose(
    train, strengths, labels, steps, budget, *,
    rows="dev", fitted=None, number=lambda steps, budget, n: budget // n,
    some=lambda strengths: strengths, score=lambda value, logits, y: value,
    last=lambda alpha, t: (alpha, t),
):  # fmt: skip
    """Do it with any part replaced."""
    found = []
    for alpha in some(strengths):
        run = train(alpha, number(steps, budget, len(strengths)))
        value, t = fit(run[rows], labels[rows])
        value = score(value, run[rows], labels[rows])
        found.append((value, alpha, fit(run[fitted], labels[fitted])[1] if fitted else t))
    return last(*min(found)[1:])


def choose_until_refused(train, strengths, labels, steps, budget):
    best = (np.inf,)
    try:
        for alpha in strengths:
            value, t = fit(train(alpha, steps)["dev"], labels["dev"])
            best = min(best, (value, alpha, t))
    except ValueError:
        pass
    return best[1:]


def misses(logits, y):
    return np.mean(logits.argmax(axis=1) != y)


RIGHT = {
    "smooth_labels": [smooth_loop, smooth_float32, smooth_torch, smooth_keras],
    "convert_smoothing": [convert_share, convert_sum, convert_torch],
    "smoothed_cross_entropy": [entropy_loop, entropy_scipy, entropy_torch, entropy_keras],
    "loss_floor": [floor_formula, floor_scipy, floor_torch],
    "train_step_with_soft_targets": [step_numpy, step_torch_sgd, step_keras, step_torch],
    "diagnose_calibration": [diagnose_loop, diagnose_torch, diagnose_table],
    "choose_smoothing": [
        choose,
        choose_then_fit_again,
        choose_of_four,
        choose_by_halving,
        choose_by_bisection,
    ],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "convert_smoothing": [("changes its input", convert_in_place)],
    "smoothed_cross_entropy": [("form", entropy_overflow), ("changes its input", entropy_in_place)],
    "loss_floor": [("form", floor_nan)],
    "train_step_with_soft_targets": [
        ("softmax twice", partial(step_torch, softmax=True)),
        ("changes its input", step_in_place),
    ],
    "diagnose_calibration": [
        ("form", lambda p, y: "calibrated"),
        ("form", lambda p, y: ("sure", diagnose_loop(p, y)[1])),
        ("gives_the_interval_over_the_networks", diagnose_rounded),
        ("another width", partial(diagnose_table, multiple=1.96)),
        ("spread of the networks", partial(diagnose_table, error="std")),
    ],
    "choose_smoothing": [
        ("no decision", lambda *task: (0.1, 1.0)),
        ("no decision", partial(choose, some=lambda strengths: [0.0])),
        ("over budget", partial(choose, number=lambda steps, budget, n: steps)),
        ("over budget", partial(choose, number=lambda steps, budget, n: budget // n + 1)),
        ("over budget", choose_until_refused),
        ("one strength only", partial(choose, some=lambda strengths: strengths[1:])),
        ("no temperature", partial(choose, last=lambda alpha, t: (alpha, 1.0))),
        (
            "no temperature",
            partial(choose, score=lambda value, *dev: nll(*dev), last=lambda alpha, t: (alpha, 1)),
        ),
        ("temperature inverted", partial(choose, last=lambda alpha, t: (alpha, 1 / t))),
        ("short runs", partial(choose, number=lambda steps, budget, n: 10)),
        ("chosen on test rows", partial(choose, rows="test")),
        ("dev ignored", partial(choose, fitted="test")),
        ("chosen on train rows", partial(choose, rows="train")),
        ("chosen on train rows", partial(choose, fitted="train")),
        ("highest for lowest", partial(choose, score=lambda value, *dev: -value)),
        ("chosen by accuracy", partial(choose, score=lambda value, *dev: misses(*dev))),
        ("strength without its temperature", partial(choose, score=lambda value, *dev: nll(*dev))),
        ("dev ignored", partial(choose, last=lambda alpha, t: (0.1, 1.3))),
        ("error", partial(choose, last=lambda alpha, t: alpha)),
        ("error", partial(choose, last=lambda alpha, t: (100 * alpha + 1, t))),
    ],
}
