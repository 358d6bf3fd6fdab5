"""Right and wrong answers to the exercises of chapter 02, for `test_answers`."""

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


def kfold_overlap(n, k, seed):
    rng = np.random.default_rng(seed)
    sizes = [len(part) for part in np.array_split(np.arange(n), k)]
    return [rng.choice(n, size, replace=False) for size in sizes]


def kfold_remainder_last(n, k, seed):
    order = np.random.default_rng(seed).permutation(n)
    size = n // k
    return [order[j * size : (j + 1) * size] for j in range(k - 1)] + [order[(k - 1) * size :]]


def kfold_dropped(n, k, seed):
    return list(np.random.default_rng(seed).permutation(n)[: n // k * k].reshape(k, -1))


def kfold_train_rows(n, k, seed):
    return [np.setdiff1d(np.arange(n), fold) for fold in kfold_split(n, k, seed)]


def kfold_independent(n, k, seed):
    fold_of = np.random.default_rng(seed).integers(0, k, n)
    return [np.flatnonzero(fold_of == j) for j in range(k)]


def kfold_labels(n, k, seed):
    return np.random.default_rng(seed).permutation(n) % k


def kfold_blocks_shuffled(n, k, seed):
    blocks = np.array_split(np.arange(n), k)
    return [blocks[j] for j in np.random.default_rng(seed).permutation(k)]


def _oos(fit_predict, X, y, folds, place=True):
    predictions = np.empty(len(y))
    gathered = []
    for test in folds:
        train = np.setdiff1d(np.arange(len(y)), test)
        predictions[test] = fit_predict(X[train], y[train], X[test])
        gathered.append(predictions[test])
    return predictions if place else np.concatenate(gathered)


def oos_split(fit_predict, X, y, k, seed):
    return _oos(fit_predict, X, y, kfold_split(len(y), k, seed))


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


def oos_swapped(fit_predict, X, y, k, seed):
    predictions = np.empty(len(y))
    for train in kfold_split(len(y), k, seed):
        test = np.setdiff1d(np.arange(len(y)), train)
        predictions[test] = fit_predict(X[train], y[train], X[test])
    return predictions


def oos_seen(fit_predict, X, y, k, seed):
    predictions = np.empty(len(y))
    for test in kfold_split(len(y), k, seed):
        predictions[test] = fit_predict(X, y, X[test])
    return predictions


def oos_misaligned(fit_predict, X, y, k, seed):
    """Shuffle X and forget y."""
    order = np.random.default_rng(seed).permutation(len(y))
    shuffled = X[order]
    predictions = np.empty(len(y))
    for part in np.array_split(np.arange(len(y)), k):
        train = np.setdiff1d(np.arange(len(y)), part)
        predictions[order[part]] = fit_predict(shuffled[train], y[train], shuffled[part])
    return predictions


def oos_hold_out(fit_predict, X, y, k, seed):
    predictions = np.zeros(len(y))
    test = kfold_split(len(y), k, seed)[0]
    train = np.setdiff1d(np.arange(len(y)), test)
    predictions[test] = fit_predict(X[train], y[train], X[test])
    return predictions


def oos_part(fit_predict, X, y, k, seed):
    """Train on the next fold alone."""
    folds = kfold_split(len(y), k, seed)
    predictions = np.empty(len(y))
    for j, test in enumerate(folds):
        train = folds[(j + 1) % k][: len(test)]
        train = train if len(train) >= len(test) else np.r_[train, folds[(j + 2) % k][:1]]
        predictions[test] = fit_predict(X[train], y[train], X[test])
    return predictions


def _nested(choose="rmse", report="rmse", chosen_as="values", container=np.array):
    """Make a nested cross-validation with one part replaced."""

    def rms(parts):
        return np.sqrt((np.concatenate(parts) ** 2).mean())

    def mean_rms(parts):
        return np.mean([np.sqrt((part**2).mean()) for part in parts])

    def score(fit_predict, X, y, lams, folds):
        def errors(train, test, lam):
            return np.asarray(fit_predict(X[train], y[train], X[test], lam)) - y[test]

        everyone = np.arange(len(y))
        parts, chosen = [], []
        for outer in folds:
            train = np.setdiff1d(everyone, outer)
            inner = [fold for fold in folds if fold is not outer]
            scores = []
            for lam in lams:
                if choose == "test":
                    scores.append(rms([errors(train, outer, lam)]))
                    continue
                if choose == "train":
                    scores.append(rms([errors(train, train, lam)]))
                    continue
                seen = everyone if choose == "leak" else train
                inner_errors = [errors(np.setdiff1d(seen, dev), dev, lam) for dev in inner]
                measure = mean_rms if choose == "mean" else rms
                scores.append(measure(inner_errors) * (-1 if choose == "worst" else 1))
            best = int(np.argmin(scores))
            chosen.append(best if chosen_as == "indices" else lams[best])
            if report == "no-refit":
                models = [errors(np.setdiff1d(train, dev), outer, lams[best]) for dev in inner]
                parts.append(np.mean(models, axis=0))
            else:
                parts.append(errors(train, outer, lams[best]))
        total = mean_rms(parts) if report == "mean" else rms(parts)
        total = total**2 if report == "mse" else total
        if report == "swapped":
            return container(chosen), total
        return total, container(chosen)

    return score


def nested_torch(fit_predict, X, y, lams, folds):
    import torch

    score, chosen = _nested()(fit_predict, X, y, lams, folds)
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


def non_nested(fit_predict, X, y, lams, folds):
    scores = []
    for lam in lams:
        parts = []
        for test in folds:
            train = np.setdiff1d(np.arange(len(y)), test)
            parts.append(fit_predict(X[train], y[train], X[test], lam) - y[test])
        scores.append(np.sqrt((np.concatenate(parts) ** 2).mean()))
    return min(scores), np.full(len(folds), lams[np.argmin(scores)])


def _loop(
    fresh=True, scaler="train", order=True, pooled=True, ddof=0, everyone=False, factor=2.0,
    bias=True, dtype=np.float64,
):  # fmt: skip
    """Make the loop of the exercise, repaired or with some of its bugs."""

    def run(X, y, folds, w, lr, steps):
        X, y = X.astype(dtype), y.astype(dtype)
        start, b = w.astype(dtype), 0.0
        w, gathered, scores = start, [], []
        for test in folds:
            train = np.setdiff1d(np.arange(len(y)), test)
            rows = train if scaler == "train" else np.arange(len(y))
            scaled = (X - X[rows].mean(axis=0)) / X[rows].std(axis=0, ddof=ddof)
            scaled = X if scaler == "none" else scaled
            train = np.arange(len(y)) if everyone else train
            if fresh:
                w, b = start, 0.0
            for _ in range(steps):
                residual = scaled[train] @ w + b - y[train]
                w = w - lr * factor * scaled[train].T @ residual / len(train)
                b = b - lr * factor * residual.mean() if bias else 0.0
            gathered.append(scaled[test] @ w + b)
            scores.append(np.sqrt(((gathered[-1] - y[test]) ** 2).mean()))
        appended, in_place = np.concatenate(gathered), np.empty(len(y))
        in_place[np.concatenate(folds)] = appended
        score = np.sqrt(((in_place - y) ** 2).mean()) if pooled else np.mean(scores)
        return (in_place if order else appended), score

    return run


def loop_keras(X, y, folds, w, lr, steps):
    import keras

    predictions = np.empty(len(y))
    for test in folds:
        train = np.setdiff1d(np.arange(len(y)), test)
        inputs = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
        kernel = keras.Variable(w[:, None])
        bias = keras.Variable(np.zeros(1))
        model = keras.Sequential([keras.Input((len(w),)), keras.layers.Dense(1)])
        model.set_weights([kernel.numpy(), bias.numpy()])
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
    "nested_cv_score": [_nested(), _nested(container=list), nested_torch, nested_by_fold_number],
    "repair_cross_validation": [_loop(), _loop(dtype=np.float32), loop_keras, loop_autograd],
}

WRONG = {
    "kfold_indices": [
        ("unshuffled", lambda n, k, seed: np.array_split(np.arange(n), k)),
        ("unshuffled", lambda n, k, seed: [np.arange(n)[j::k] for j in range(k)]),
        ("unshuffled", kfold_blocks_shuffled),
        ("fixed", lambda n, k, seed: kfold_split(n, k, 0)),
        ("unseeded", lambda n, k, seed: kfold_split(n, k, None)),
        ("overlap", kfold_overlap),
        ("uneven", kfold_remainder_last),
        ("uneven", kfold_independent),
        ("dropped", kfold_dropped),
        ("train-rows", kfold_train_rows),
        ("from-one", lambda n, k, seed: [fold + 1 for fold in kfold_split(n, k, seed)]),
        ("labels", kfold_labels),
        ("pairs", lambda n, k, seed: list(
            zip(kfold_train_rows(n, k, seed), kfold_split(n, k, seed), strict=True))),
        ("form", lambda n, k, seed: kfold_split(n, k + 1, seed)),
        ("form", lambda n, k, seed: [fold / 1.0 for fold in kfold_split(n, k, seed)]),
        ("error", lambda n, k: kfold_split(n, k, 0)),
    ],
    "out_of_sample_predictions": [
        ("unordered", lambda f, X, y, k, seed: _oos(
            f, X, y, kfold_split(len(y), k, seed), place=False)),
        ("unshuffled", lambda f, X, y, k, seed: _oos(
            f, X, y, np.array_split(np.arange(len(y)), k))),
        ("fixed", lambda f, X, y, k, seed: oos_split(f, X, y, k, 0)),
        ("unseeded", lambda f, X, y, k, seed: oos_split(f, X, y, k, None)),
        ("swapped", oos_swapped),
        ("seen", oos_seen),
        ("seen", lambda f, X, y, k, seed: f(X, y, X)),
        ("misaligned", oos_misaligned),
        ("calls", oos_hold_out),
        ("calls", lambda f, X, y, k, seed: oos_split(f, X, y, len(y), seed)),
        ("dropped", lambda f, X, y, k, seed: _oos(
            f, X, y, kfold_dropped(len(y), k, seed))),
        ("part", oos_part),
        ("uneven", lambda f, X, y, k, seed: _oos(
            f, X, y, kfold_remainder_last(len(y), k, seed))),
        ("errors", lambda f, X, y, k, seed: oos_split(f, X, y, k, seed) - y),
        ("averaged", lambda f, X, y, k, seed: np.full(
            len(y), oos_split(f, X, y, k, seed).mean())),
        ("form", lambda f, X, y, k, seed: np.sqrt(
            ((oos_split(f, X, y, k, seed) - y) ** 2).mean())),
    ],
    "nested_cv_score": [
        ("non-nested", non_nested),
        ("outer-test", _nested(choose="test")),
        ("leak", _nested(choose="leak")),
        ("inner-averaged", _nested(choose="mean")),
        ("in-sample", _nested(choose="train")),
        ("largest", _nested(choose="worst")),
        ("averaged", _nested(report="mean")),
        ("mse", _nested(report="mse")),
        ("no-refit", _nested(report="no-refit")),
        ("swapped", _nested(report="swapped")),
        ("indices", _nested(chosen_as="indices")),
        ("form", lambda f, X, y, lams, folds: _nested()(f, X, y, lams, folds)[0]),
        ("error", lambda f, X, y, lams, folds: f(X, y)),
    ],
    "repair_cross_validation": [
        ("broken", _loop(fresh=False, scaler="all", order=False, pooled=False)),
        ("keeps-training", _loop(fresh=False)),
        ("is_the_same_in_any_order_of_turns", _loop(fresh=False)),
        ("scaler-all", _loop(scaler="all")),
        ("unordered", _loop(order=False)),
        ("averaged", _loop(pooled=False)),
        ("unbiased-sd", _loop(ddof=1)),
        ("in-sample", _loop(everyone=True)),
        ("unscaled", _loop(scaler="none")),
        ("half-gradient", _loop(factor=1.0)),
        ("scaler-and-training", _loop(scaler="all", fresh=False)),
        ("repairs_all_four", _loop(bias=False)),
        ("form", lambda *task: _loop()(*task)[0]),
        ("error", lambda X, y, folds, w: y),
    ],
}  # fmt: skip
