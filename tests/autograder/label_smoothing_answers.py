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


def diagnose_within(p, y, above=0.05, below=0.05, digits=15):
    excess = round(p.max(axis=1).mean() - np.mean(p.argmax(axis=1) == y), digits)
    if -below <= excess <= above:
        return "calibrated"
    return "over-confident" if excess > 0 else "under-confident"


def diagnose_torch(p, y):
    import torch

    largest, guess = torch.tensor(p).max(dim=1)
    excess = (largest - (guess == torch.tensor(y)).double()).mean()
    words = ["under-confident", "calibrated", "over-confident"]
    return words[int(excess > 0.05) - int(excess < -0.05) + 1]


def diagnose_table(p, y):
    import pandas as pd

    confidence, accuracy = pd.DataFrame({"p": p.max(1), "right": np.argmax(p, 1) == y}).mean()
    cases = [confidence > accuracy + 0.05, confidence < accuracy - 0.05]
    return np.select(cases, ["over-confident", "under-confident"], "calibrated").item()


RIGHT = {
    "smooth_labels": [smooth_loop, smooth_float32, smooth_torch, smooth_keras],
    "convert_smoothing": [convert_share, convert_sum, convert_torch],
    "smoothed_cross_entropy": [entropy_loop, entropy_scipy, entropy_torch, entropy_keras],
    "loss_floor": [floor_formula, floor_scipy, floor_torch],
    "train_step_with_soft_targets": [step_numpy, step_torch_sgd, step_keras, step_torch],
    "diagnose_calibration": [diagnose_loop, diagnose_torch, diagnose_table],
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
        *(("tight tolerance", partial(diagnose_within, above=t, below=t)) for t in (0.04, 0.048)),
        *(("wide tolerance", partial(diagnose_within, above=t, below=t)) for t in (0.052, 0.06)),
        ("wide tolerance", partial(diagnose_within, digits=2)),
        ("compares_confidence_with_accuracy", partial(diagnose_within, below=0.04)),
        ("compares_confidence_with_accuracy", partial(diagnose_within, above=0.06)),
    ],
}
