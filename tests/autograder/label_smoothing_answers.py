"""Right and wrong answers to the exercises of chapter 16, for `test_answers`."""

import numpy as np


def log_softmax(z):
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


# --- smooth_labels ---------------------------------------------------------------------------


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

    return torch.lerp(
        F.one_hot(torch.tensor(y), num_classes).double(),
        torch.full((len(y), num_classes), 1 / num_classes, dtype=torch.float64),
        alpha,
    )


def smooth_keras(y, num_classes, alpha):
    import keras

    return keras.utils.to_categorical(y, num_classes) * (1 - alpha) + alpha / num_classes


def hot(y, k):
    return np.eye(k)[y]


# --- convert_smoothing -----------------------------------------------------------------------


def convert_share(alpha, num_classes):
    return num_classes * (alpha / (num_classes - 1))


def convert_sum(alpha, num_classes):
    return np.float32(alpha) + np.float32(alpha / (num_classes - 1))


def convert_torch(alpha, num_classes):
    import torch

    return torch.as_tensor(alpha) / (1 - 1 / num_classes)


# --- smoothed_cross_entropy ------------------------------------------------------------------


def entropy_loop(logits, y, alpha):
    total = 0.0
    for row, label in zip(logits, y, strict=True):
        shifted = row - max(row)
        log_p = shifted - np.log(np.exp(shifted).sum())
        for k, value in enumerate(log_p):
            total -= ((1 - alpha) * (k == label) + alpha / len(row)) * value
    return total / len(y)


def entropy_scipy(logits, y, alpha):
    from scipy.special import log_softmax as scipy_log_softmax

    target = (1 - alpha) * hot(y, logits.shape[1]) + alpha / logits.shape[1]
    return -np.einsum("ij,ij->", target, scipy_log_softmax(logits, axis=1)) / len(y)


def entropy_torch(logits, y, alpha):
    import torch
    import torch.nn.functional as F

    return F.cross_entropy(torch.tensor(logits), torch.tensor(y), label_smoothing=alpha)


def entropy_keras(logits, y, alpha):
    import keras

    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=alpha)
    return loss(keras.utils.to_categorical(y, logits.shape[1]), logits.astype("float32"))


def soft(y, k, alpha):
    return (1 - alpha) * hot(y, k) + alpha / k


def entropy_of(make_target, reduce=np.mean):
    def function(logits, y, alpha):
        target = make_target(y, logits.shape[1], alpha)
        return reduce(-(target * log_softmax(logits)).sum(axis=1))

    return function


def entropy_smoothed_predictions(logits, y, alpha):
    p = np.exp(log_softmax(logits))
    p = (1 - alpha) * p + alpha / p.shape[1]
    return -np.log(p[np.arange(len(y)), y]).mean()


def entropy_softmax_twice(logits, y, alpha):
    return entropy_of(soft)(np.exp(log_softmax(logits)), y, alpha)


def entropy_of_logits(logits, y, alpha):
    target = soft(y, logits.shape[1], alpha)
    return -(target * np.log(np.clip(logits, 1e-7, None))).sum(axis=1).mean()


def entropy_clipped(logits, y, alpha):
    p = np.clip(np.exp(log_softmax(logits)), 1e-7, 1)
    return -(soft(y, p.shape[1], alpha) * np.log(p)).sum(axis=1).mean()


def entropy_epsilon(logits, y, alpha):
    p = np.exp(log_softmax(logits))
    return -(soft(y, p.shape[1], alpha) * np.log(p + 1e-8)).sum(axis=1).mean()


def entropy_overflow(logits, y, alpha):
    with np.errstate(all="ignore"):
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return -(soft(y, p.shape[1], alpha) * np.log(p)).sum(axis=1).mean()


def entropy_wrong_axis(logits, y, alpha):
    target = soft(y, logits.shape[1], alpha)
    return -(target * log_softmax(logits.T).T).sum(axis=1).mean()


# --- loss_floor ------------------------------------------------------------------------------


def floor_formula(alpha, num_classes):
    if alpha == 0:
        return 0.0
    each = alpha / num_classes
    own = 1 - alpha + each
    return -(own * np.log(own) + (num_classes - 1) * each * np.log(each))


def floor_scipy(alpha, num_classes):
    from scipy.stats import entropy

    target = alpha / num_classes + (1 - alpha) * np.eye(num_classes)[0]
    return entropy(target)


def floor_torch(alpha, num_classes):
    import torch

    target = torch.full((num_classes,), alpha / num_classes)
    target[-1] += 1 - alpha
    return torch.special.entr(target).sum()


def floor_nan(alpha, num_classes):
    target = soft(np.array([0]), num_classes, alpha)[0]
    with np.errstate(all="ignore"):
        return -(target * np.log(target)).sum()


def terms(alpha, k):
    own, each = 1 - alpha + alpha / k, alpha / k
    return -own * np.log(own), -each * np.log(each) if each else 0.0


# --- train_step_with_soft_targets ------------------------------------------------------------


def step_numpy(weights, x, targets, lr):
    w1, b1, w2, b2 = weights
    a = np.tanh(x @ w1 + b1)
    d = (np.exp(log_softmax(a @ w2 + b2)) - targets) / len(x)
    dz = d @ w2.T * (1 - a**2)
    return w1 - lr * x.T @ dz, b1 - lr * dz.sum(0), w2 - lr * a.T @ d, b2 - lr * d.sum(0)


def _torch_step(
    weights, x, targets, lr, reduction="mean", linear=False, softmax=False, only=range(4), scale=1
):
    import torch
    import torch.nn.functional as F

    params = [torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in weights]
    w1, b1, w2, b2 = params
    a = torch.tensor(x) @ w1 + b1
    logits = (a if linear else torch.tanh(a)) @ w2 + b2
    if softmax:
        logits = logits.softmax(dim=1)
    F.cross_entropy(logits, torch.tensor(targets), reduction=reduction).backward()
    with torch.no_grad():
        for i in only:
            params[i] -= lr * scale * params[i].grad
    return params


def step_torch_sgd(weights, x, targets, lr):
    import torch
    from torch import nn

    sizes = weights[0].shape, weights[2].shape
    model = nn.Sequential(nn.Linear(*sizes[0]), nn.Tanh(), nn.Linear(*sizes[1]))
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

    layers = [
        keras.Input((x.shape[1],)),
        keras.layers.Dense(weights[0].shape[1], activation="tanh"),
        keras.layers.Dense(weights[2].shape[1]),
    ]
    model = keras.Sequential(layers)
    model.set_weights(weights)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(lr), loss, run_eagerly=True)
    model.train_on_batch(x, targets)
    return model.get_weights()


def step_hard(weights, x, targets, lr):
    return step_numpy(weights, x, np.eye(targets.shape[1])[targets.argmax(axis=1)], lr)


def step_softened(weights, x, targets, lr):
    return step_numpy(weights, x, np.exp(log_softmax(targets)), lr)


def step_smoothed(weights, x, targets, lr):
    return step_numpy(weights, x, 0.9 * targets + 0.1 / targets.shape[1], lr)


def step_of(**options):
    def function(*arguments):
        return _torch_step(*arguments, **options)

    return function


# --- diagnose_calibration --------------------------------------------------------------------


def diagnose_loop(p, y):
    confidence = right = 0
    for row, label in zip(p, y, strict=True):
        confidence += max(row)
        right += int(max(range(len(row)), key=row.__getitem__) == label)
    difference = (confidence - right) / len(y)
    if difference > 0.05:
        return "over-confident"
    if difference < -0.05:
        return "under-confident"
    return "calibrated"


def diagnose_torch(p, y):
    import torch

    largest, guess = torch.tensor(p).max(dim=1)
    excess = (largest - (guess == torch.tensor(y)).double()).mean()
    words = ["under-confident", "calibrated", "over-confident"]
    return words[int(excess > 0.05) - int(excess < -0.05) + 1]


def diagnose_table(p, y):
    import pandas as pd

    rows = pd.DataFrame({"confidence": p.max(1), "right": np.argmax(p, 1) == y})
    confidence, accuracy = rows.mean()
    return np.select(
        [confidence > accuracy + 0.05, confidence < accuracy - 0.05],
        ["over-confident", "under-confident"],
        "calibrated",
    ).item()


def diagnose_by(excess, tolerance=0.05):
    def function(p, y):
        value = excess(p, y)
        if abs(value) <= tolerance:
            return "calibrated"
        return "over-confident" if value > 0 else "under-confident"

    return function


def excess_of(p, y):
    return p.max(axis=1).mean() - (p.argmax(axis=1) == y).mean()


def of_true(p, y):
    return p[np.arange(len(y)), y]


def mean_absolute(p, y):
    from regbook.calibration import expected_calibration_error

    sign = np.sign(excess_of(p, y))
    return (sign or 1.0) * expected_calibration_error(p, y)


RIGHT = {
    "smooth_labels": [smooth_loop, smooth_float32, smooth_torch, smooth_keras],
    "convert_smoothing": [convert_share, convert_sum, convert_torch],
    "smoothed_cross_entropy": [entropy_loop, entropy_scipy, entropy_torch, entropy_keras],
    "loss_floor": [floor_formula, floor_scipy, floor_torch],
    "train_step_with_soft_targets": [step_numpy, step_torch_sgd, step_keras, step_of()],
    "diagnose_calibration": [diagnose_loop, diagnose_torch, diagnose_table],
}

WRONG = {
    "smooth_labels": [
        ("wrong classes only", lambda y, k, a: np.where(hot(y, k) == 1, 1 - a, a / (k - 1))),
        ("mixed formulas", lambda y, k, a: (1 - a) * hot(y, k) + a / (k - 1)),
        (
            "share missing at the true class",
            lambda y, k, a: np.where(hot(y, k) == 1, 1 - a, a / k),
        ),
        ("nothing taken away", lambda y, k, a: hot(y, k) + a / k),
        ("undivided", lambda y, k, a: (1 - a) * hot(y, k) + a),
        ("alpha swapped", lambda y, k, a: a * hot(y, k) + (1 - a) / k),
        ("one-hot", lambda y, k, a: hot(y, k)),
        ("transposed", lambda y, k, a: soft(y, k, a).T),
        ("classes counted in y", lambda y, k, a: soft(y, y.max() + 1, a)),
    ],
    "convert_smoothing": [
        ("other direction", lambda a, k: a * (k - 1) / k),
        ("unchanged", lambda a, k: a),
        ("share of a class", lambda a, k: a / (k - 1)),
        ("divided by K", lambda a, k: a / k),
        ("one class too many", lambda a, k: a * (k + 1) / k),
        ("mixed formulas", lambda a, k: a * k / (k - 1 + a)),
        ("times the wrong classes", lambda a, k: a * (k - 1)),
    ],
    "smoothed_cross_entropy": [
        ("sum", entropy_of(soft, np.sum)),
        ("mean over everything", lambda z, y, a: entropy_of(soft)(z, y, a) / z.shape[1]),
        ("per row", entropy_of(soft, lambda losses: losses)),
        ("smoothed predictions", entropy_smoothed_predictions),
        ("no smoothing", entropy_of(lambda y, k, a: hot(y, k))),
        (
            "wrong classes only",
            entropy_of(lambda y, k, a: np.where(hot(y, k) == 1, 1 - a, a / (k - 1))),
        ),
        ("mixed formulas", entropy_of(lambda y, k, a: (1 - a) * hot(y, k) + a / (k - 1))),
        ("softmax twice", entropy_softmax_twice),
        ("logits as probabilities", entropy_of_logits),
        ("sign", entropy_of(soft, lambda losses: -losses.mean())),
        ("wrong axis", entropy_wrong_axis),
        ("bits", entropy_of(soft, lambda losses: losses.mean() / np.log(2))),
        ("alpha swapped", entropy_of(lambda y, k, a: a * hot(y, k) + (1 - a) / k)),
        ("clipped", entropy_clipped),
        ("clipped", entropy_epsilon),
        ("form", entropy_overflow),
    ],
    "loss_floor": [
        ("zero", lambda a, k: 0.0),
        ("true class only", lambda a, k: -np.log(1 - a + a / k)),
        ("true term only", lambda a, k: terms(a, k)[0]),
        ("one other class", lambda a, k: sum(terms(a, k))),
        ("k others", lambda a, k: terms(a, k)[0] + k * terms(a, k)[1]),
        (
            "wrong classes only",
            lambda a, k: (
                -(1 - a) * np.log(max(1 - a, 1e-300)) - a * np.log(max(a / (k - 1), 1e-300))
            ),
        ),
        ("bits", lambda a, k: floor_formula(a, k) / np.log(2)),
        ("uniform", lambda a, k: np.log(k)),
        ("mixture", lambda a, k: a * np.log(k)),
        ("sign", lambda a, k: -floor_formula(a, k)),
        ("form", floor_nan),
    ],
    "train_step_with_soft_targets": [
        ("hard targets", step_hard),
        ("softmax of the targets", step_softened),
        ("softmax twice", step_of(softmax=True)),
        ("sum", step_of(reduction="sum")),
        ("mean over everything", step_of(scale=1 / 4)),
        ("ascent", step_of(scale=-1)),
        ("no tanh", step_of(linear=True)),
        ("output layer only", step_of(only=(2, 3))),
        ("no biases", step_of(only=(0, 2))),
        ("no step", step_of(only=())),
        ("no learning rate", lambda weights, x, targets, lr: step_numpy(weights, x, targets, 1.0)),
        ("smoothed again", step_smoothed),
    ],
    "diagnose_calibration": [
        ("swapped", diagnose_by(lambda p, y: -excess_of(p, y))),
        (
            "true class",
            diagnose_by(lambda p, y: of_true(p, y).mean() - (p.argmax(1) == y).mean()),
        ),
        ("true class", diagnose_by(lambda p, y: p.max(axis=1).mean() - of_true(p, y).mean())),
        ("no tolerance", diagnose_by(excess_of, 0)),
        ("percent", diagnose_by(excess_of, 5)),
        ("tight tolerance", diagnose_by(excess_of, 0.01)),
        ("wide tolerance", diagnose_by(excess_of, 0.1)),
        ("unsigned", diagnose_by(lambda p, y: abs(excess_of(p, y)))),
        ("mean of all", diagnose_by(lambda p, y: p.mean() - (p.argmax(1) == y).mean())),
        (
            "accuracy above one half",
            diagnose_by(lambda p, y: p.max(axis=1).mean() - (of_true(p, y) > 0.5).mean()),
        ),
        ("confidence alone", diagnose_by(lambda p, y: p.max(axis=1).mean() - 0.8)),
        ("absolute differences", diagnose_by(mean_absolute)),
    ],
}
