"""Right and wrong answers to the exercises of chapter 02, for `test_answers`."""

import math
import random

import numpy as np

from regbook.exercise import vary


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


# --- repaired_score --------------------------------------------------------------------------


def repaired_by_one_out(X, y, patient, counts, seed):
    """One patient out at a time, and one number of columns for all."""
    from scipy.spatial.distance import cdist

    right = np.empty(len(y), bool)
    for name in {*patient}:
        test = patient == name
        means, scale = np.nanmean(X[~test], axis=0), np.nanstd(X[~test], axis=0)
        filled, labels = np.where(np.isnan(X), means, X) / scale, y[~test]
        centres = np.array([filled[~test][labels == c].mean(axis=0) for c in (0, 1)])
        columns = np.argsort(-np.ptp(centres, axis=0))[: min(counts)]
        found = cdist(filled[test][:, columns], centres[:, columns]).argmin(axis=1)
        right[test] = found == y[test]
    return right.mean()


def repaired(
    X, y, patient, counts, seed, *, k=5, fill="train", columns="train", apart=False,
    choose="within", test_on="test",
):  # fmt: skip
    """Deal patients into folds, and choose the number of columns within each turn.

    The options put the leaks back.
    """
    X, rng, everyone = X.copy(), np.random.default_rng(seed), np.arange(len(y))
    if fill == "class":
        for label in (0, 1):
            rows = X[y == label]
            X[y == label] = np.where(np.isnan(rows), np.nanmean(rows, axis=0), rows)
    if fill == "all":
        X = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    unit = everyone if apart else patient

    def deal(rows, k):
        parts = np.array_split(rng.permutation(np.unique(unit[rows])), k)
        return [rows[np.isin(unit[rows], part)] for part in parts]

    def ranked(x, labels):
        filled = np.where(np.isnan(x), np.nanmean(x, axis=0), x) / np.nanstd(x, axis=0)
        return np.argsort(-abs(filled[labels == 0].mean(axis=0) - filled[labels == 1].mean(axis=0)))

    all_ranked = ranked(X, y)

    def right(train, test, counts):
        means, scale = np.nanmean(X[train], axis=0), np.nanstd(X[train], axis=0)
        inputs, new = (np.where(np.isnan(X[r]), means, X[r]) / scale for r in (train, test))
        order = ranked(X[train], y[train]) if columns == "train" else all_ranked
        far = [
            ((new - inputs[y[train] == label].mean(axis=0))[:, order] ** 2).cumsum(axis=1)
            for label in (0, 1)
        ]
        return ((far[0] > far[1]) == (y[test] == 1)[:, None])[:, np.array(counts) - 1]

    def scores(rows, k):
        parts = [right(np.setdiff1d(rows, test), test, counts) for test in deal(rows, k)]
        return np.concatenate(parts).mean(axis=0)

    if choose == "best":
        return scores(everyone, k).max()
    if choose == "middle":
        return scores(everyone, k)[len(counts) // 2]
    found = []
    for test in deal(everyone, k):
        train = np.setdiff1d(everyone, test)
        best = [counts[scores(train, k - 1).argmax()]]
        found.append(right(train, train if test_on == "train" else test, best))
    return np.concatenate(found).mean()


def repaired_by_pipeline(X, y, patient, counts, seed):
    """scikit-learn: everything that learns is a step of the pipeline."""
    from sklearn.feature_selection import SelectKBest
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.neighbors import NearestCentroid
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    select = SelectKBest(k=int(counts[0]))
    model = make_pipeline(SimpleImputer(), StandardScaler(), select, NearestCentroid())
    sizes = cross_val_score(model, X, y, groups=patient, cv=GroupKFold(3))
    return sizes.mean()


def leaky_score(X, y, patient, counts, seed):
    """The notebook as it is."""
    return repaired(
        X, y, patient, counts, seed, fill="class", columns="all", apart=True, choose="best"
    )


def repaired_by_average(*case):
    """Another choice of folds, and the average of two deals."""
    return (repaired(*case, k=8, choose="middle") + repaired(*case, k=4, fill="all")) / 2


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
    "repaired_score": [
        repaired,
        repaired_by_one_out,
        vary(repaired, choose="middle", k=8),
        repaired_by_pipeline,
        repaired_by_average,
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
    "repaired_score": [
        ("filled by class", leaky_score),
        ("filled by class", vary(repaired, fill="class")),
        ("filled by class", vary(repaired, fill="class", choose="middle")),
        ("columns chosen on all rows", vary(repaired, columns="all")),
        ("columns chosen on all rows", vary(repaired, columns="all", choose="best")),
        ("patients in two folds", vary(repaired, apart=True)),
        ("patients in two folds", vary(repaired, apart=True, choose="middle", k=10)),
        ("best of several reported", vary(repaired, choose="best")),
        ("best of several reported", vary(repaired, choose="best", k=3)),
        ("seen rows", vary(repaired, test_on="train")),
        ("nothing is found", lambda *case: 0.5),
        ("nothing is found", lambda X, *case: repaired(np.sign(X - X), *case)),
        ("nothing is found", lambda X, y, *case: repaired(X, y[::-1], *case)),
        ("in per cent", lambda *case: 100 * repaired(*case)),
        ("another score each time", lambda *case: repaired(*case[:4], None)),
        ("error", lambda *case: [repaired(*case), 0]),
        ("error", lambda X, y, patient: 0.7),
    ],
}
