"""Right and wrong answers to the exercises of chapter 02, for `test_answers`."""

import math
import random

import numpy as np


def kfold_split(n, k, seed):
    return np.array_split(np.random.default_rng(seed).permutation(n), k)


def kfold_torch(n, k, seed):
    import torch

    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return list(torch.tensor_split(order, k))


def kfold_python(n, k, seed):
    order = list(range(n))
    random.Random(seed).shuffle(order)
    return tuple(sorted(order[j::k]) for j in range(k))


def kfold_by_draws(n, k, seed):
    rng = np.random.RandomState(seed)
    fold_of = rng.permutation(np.arange(n, dtype=np.int32) % k)
    return [np.flatnonzero(fold_of == j).astype(np.int32) for j in range(k)]


def kfold_independent(n, k, seed):
    fold_of = np.random.default_rng(seed).integers(0, k, n)
    return [np.flatnonzero(fold_of == j) for j in range(k)]


def kfold_pieces(n, k, seed, size):
    """Cut pieces of one size; the last takes what is left."""
    return np.split(np.random.default_rng(seed).permutation(n), [j * size for j in range(1, k)])


def kfold_turned(n, k, seed):
    """Turn the table by the seed, and cut it into blocks."""
    return np.array_split(np.roll(np.arange(n), seed), k)


def kfold_blocks_shuffled(n, k, seed):
    blocks = np.array_split(np.arange(n), k)
    return [blocks[j] for j in np.random.default_rng(seed).permutation(k)]


def oos_split(fit_predict, X, y, k, seed, deal=kfold_split):
    predictions = np.empty(len(y), np.float32)
    for test in deal(len(y), k, seed):
        train = np.setdiff1d(np.arange(len(y)), test)
        predictions[test] = fit_predict(X[train], y[train], X[test])
    return predictions


def oos_pieces(n, k, seed):
    return kfold_pieces(n, k, seed, math.ceil(n / k))


def oos_reordered(fit_predict, X, y, k, seed):
    """Append fold by fold, then undo the shuffle."""
    order = np.random.default_rng(seed).permutation(len(y))
    folds = np.array_split(order, k)
    gathered = []
    for j in range(k):
        train = np.concatenate(folds[:j] + folds[j + 1 :])
        gathered.extend(fit_predict(X[train], y[train], X[folds[j]]))
    return np.array(gathered)[np.argsort(order)]


def oos_torch(fit_predict, X, y, k, seed):
    import torch

    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    X, y = torch.tensor(X), torch.tensor(y)
    predictions = torch.zeros(len(y), dtype=torch.float64)
    for j in range(k):
        mask = torch.zeros(len(y), dtype=torch.bool)
        mask[order[j::k]] = True
        guesses = fit_predict(X[~mask].numpy(), y[~mask].numpy(), X[mask].numpy())
        predictions[mask] = torch.as_tensor(guesses)
    return predictions


def nested_sums(fit_predict, X, y, lams, folds):
    """Add the squared errors up, and return the penalties in a list."""

    def squares(lam, test, *left_out):
        train = np.setdiff1d(range(len(y)), np.concatenate([test, *left_out]))
        return sum((fit_predict(X[train], y[train], X[test], lam) - y[test]) ** 2)

    total, chosen = 0.0, []
    for outer in folds:
        others = [fold for fold in folds if fold is not outer]
        scores = {lam: sum(squares(lam, dev, outer) for dev in others) for lam in lams}
        chosen.append(min(scores, key=scores.get))
        total += squares(chosen[-1], outer)
    return (total / len(y)) ** 0.5, chosen


def nested_torch(*task):
    import torch

    score, chosen = nested_sums(*task)
    return torch.tensor(score), torch.tensor(chosen, dtype=torch.float32)


def nested_by_fold_number(fit_predict, X, y, lams, folds):
    """Another route: one label per row, and masks."""
    fold_of = np.empty(len(y), int)
    for j, fold in enumerate(folds):
        fold_of[fold] = j
    predictions, chosen = np.empty(len(y)), []
    for outer in range(len(folds)):
        inside = np.full((len(lams), len(y)), np.nan)
        for dev in set(range(len(folds))) - {outer}:
            train = (fold_of != outer) & (fold_of != dev)
            for i, lam in enumerate(lams):
                guesses = fit_predict(X[train], y[train], X[fold_of == dev], lam)
                inside[i, fold_of == dev] = guesses
        chosen.append(lams[np.nanmean((inside - y) ** 2, axis=1).argmin()])
        train = fold_of != outer
        predictions[~train] = fit_predict(X[train], y[train], X[~train], chosen[-1])
    return np.sqrt(((predictions - y) ** 2).mean()), chosen


def loop_numpy(X, y, folds, w, lr, steps, dtype=np.float64, train_bias=True):
    X, y, predictions = X.astype(dtype), y.astype(dtype), np.empty(len(y), dtype)
    for test in folds:
        train = np.setdiff1d(np.arange(len(y)), test)
        inputs = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
        kernel, bias = w.astype(dtype), 0.0
        for _ in range(steps):
            residual = inputs[train] @ kernel + bias - y[train]
            kernel = kernel - lr * 2 * inputs[train].T @ residual / len(train)
            bias = bias - lr * 2 * residual.mean() * train_bias
        predictions[test] = inputs[test] @ kernel + bias
    return predictions, np.sqrt(((predictions - y) ** 2).mean())


def loop_in_place(X, y, folds, w, lr, steps):
    """Keep the first line of the broken loop: the scaler of each turn undoes its effect."""
    X[:] = (X - X.mean(axis=0)) / X.std(axis=0)
    return loop_numpy(X, y, folds, w, lr, steps)


def loop_keras(X, y, folds, w, lr, steps):
    import keras

    predictions = np.empty(len(y))
    for test in folds:
        train = np.setdiff1d(np.arange(len(y)), test)
        inputs = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
        model = keras.Sequential([keras.Input((len(w),)), keras.layers.Dense(1)])
        model.set_weights([w[:, None], np.zeros(1)])
        model.compile(keras.optimizers.SGD(lr), loss="mse", run_eagerly=True)
        for _ in range(steps):
            model.train_on_batch(inputs[train], y[train])
        predictions[test] = model(inputs[test]).numpy()[:, 0]
    return predictions, np.sqrt(((predictions - y) ** 2).mean())


def loop_autograd(X, y, folds, w, lr, steps):
    import torch

    X, y = torch.tensor(X), torch.tensor(y)
    predictions = torch.zeros_like(y)
    for test in map(torch.tensor, folds):
        mask = torch.ones(len(y), dtype=torch.bool)
        mask[test] = False
        sd, mean = torch.std_mean(X[mask], dim=0, correction=0)
        p, b = torch.tensor(w, requires_grad=True), torch.zeros((), requires_grad=True)
        for _ in range(steps):
            loss = (((X[mask] - mean) / sd @ p + b - y[mask]) ** 2).mean()
            grads = torch.autograd.grad(loss, (p, b))
            with torch.no_grad():
                p -= lr * grads[0]
                b -= lr * grads[1]
        predictions[test] = ((X[test] - mean) / sd @ p + b).detach()
    return predictions, ((predictions - y) ** 2).mean().sqrt()


RIGHT = {
    "kfold_indices": [kfold_split, kfold_torch, kfold_python, kfold_by_draws],
    "out_of_sample_predictions": [oos_split, oos_reordered, oos_torch],
    "nested_cv_score": [
        nested_sums,
        nested_torch,
        nested_by_fold_number,
        lambda *task: tuple(map(np.float32, nested_sums(*task))),
    ],
    "repair_cross_validation": [
        loop_numpy,
        lambda *task: loop_numpy(*task, dtype=np.float32),
        loop_keras,
        loop_autograd,
    ],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "kfold_indices": [
        ("unshuffled", kfold_blocks_shuffled),
        ("unshuffled", kfold_turned),
        ("uneven", kfold_independent),
        ("uneven", lambda n, k, seed: kfold_pieces(n, k, seed, math.ceil(n / k))),
        ("uneven", lambda n, k, seed: kfold_pieces(n, k, seed, round(n / k))),
        ("form", lambda n, k, seed: kfold_split(n, k + 1, seed)),
        ("form", lambda n, k, seed: [fold / 1.0 for fold in kfold_split(n, k, seed)]),
        ("error", lambda n, k: kfold_split(n, k, 0)),
    ],
    "out_of_sample_predictions": [
        ("seen", lambda f, X, y, k, seed: f(X, y, X)),
        ("calls", lambda f, X, y, k, seed: oos_split(f, X, y, len(y), seed)),
        ("uneven", lambda *case: oos_split(*case, deal=oos_pieces)),
        ("form", lambda f, X, y, *rest: ((oos_split(f, X, y, *rest) - y) ** 2).mean() ** 0.5),
    ],
    "nested_cv_score": [
        ("form", lambda *task: nested_sums(*task)[0]),
        ("error", lambda f, X, y, lams, folds: f(X, y)),
    ],
    "repair_cross_validation": [
        ("changes its input", loop_in_place),
        ("repairs_all_four", lambda *task: loop_numpy(*task, train_bias=False)),
        ("repairs_all_four", lambda *task: [np.round(v, 2) for v in loop_numpy(*task)]),
        ("form", lambda *task: loop_numpy(*task)[0]),
        ("error", lambda X, y, folds, w: y),
    ],
}
