"""Right and wrong answers to the exercises of chapter 23 that differ in form.

A wrong answer is a pair: the name of its mistake, and the function. Those that the checks know as
mistakes are tested too, and need no entry here.
"""

from itertools import product

import numpy as np

from regbook.exercise import vary

# --- confusion_matrix --------------------------------------------------------------------------


def confusion_loop(y_true, y_pred, num_classes):
    found = [[0] * num_classes for _ in range(num_classes)]
    for i, j in zip(y_true.tolist(), y_pred.tolist(), strict=True):
        found[i][j] += 1
    return found


def confusion_bincount(y_true, y_pred, num_classes):
    place = num_classes * y_true + y_pred
    return np.bincount(place, minlength=num_classes**2).reshape(num_classes, num_classes)


def confusion_hot(y_true, y_pred, num_classes):
    """Multiply one-hot rows."""
    eye = np.eye(num_classes, dtype=np.float32)
    return eye[y_true].T @ eye[y_pred]


def confusion_torch(y_true, y_pred, num_classes):
    import torch

    place = torch.from_numpy(num_classes * y_true + y_pred).long()
    return torch.bincount(place, minlength=num_classes**2).view(num_classes, num_classes)


def confusion_keras(y_true, y_pred, num_classes):
    import keras

    true, predicted = (keras.ops.one_hot(y, num_classes) for y in (y_true, y_pred))
    return keras.ops.matmul(keras.ops.transpose(true), predicted)


def confusion_sklearn(y_true, y_pred, num_classes):
    from sklearn.metrics import confusion_matrix

    if not len(y_true):
        return np.zeros((num_classes, num_classes))
    return confusion_matrix(y_true, y_pred, labels=range(num_classes))


def confusion_of_seen(y_true, y_pred, num_classes):
    """Let scikit-learn find the classes."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(y_true, y_pred) if len(y_true) else np.zeros((0, 0))


def confusion_flat(*given):
    return confusion_bincount(*given).ravel()


def confusion_in_place(y_true, y_pred, num_classes):
    y_true *= num_classes
    y_true += y_pred
    found = np.bincount(y_true, minlength=num_classes**2)
    return found.reshape(num_classes, num_classes)


# --- most_confused -----------------------------------------------------------------------------


def confused_loop(matrix, top):
    pairs = []
    for i, row in enumerate(matrix.tolist()):
        for j, count in enumerate(row):
            if i != j and sum(row) > 0:
                pairs.append((count / sum(row), i, j))
    return [[i, j] for _, i, j in sorted(pairs, reverse=True)[:top]]


def confused_table(matrix, top):
    """Let pandas sort."""
    import pandas as pd

    shares = pd.DataFrame(matrix).div(matrix.sum(axis=1), axis=0).stack()
    shares = shares[shares.index.get_level_values(0) != shares.index.get_level_values(1)]
    return np.array(shares.dropna().sort_values(ascending=False).index[:top].tolist())


def confused_torch(matrix, top):
    import torch

    shares = torch.tensor(matrix, dtype=torch.float32)
    shares = torch.nan_to_num(shares / shares.sum(dim=1, keepdim=True)).fill_diagonal_(0)
    places = shares.flatten().topk(top).indices
    return torch.stack([places // len(shares), places % len(shares)], dim=1)


def confused_tuples(matrix, top):
    return [tuple(pair) for pair in confused_loop(matrix, top)]


def confused_with_shares(matrix, top):
    pairs = np.array(confused_loop(matrix, top))
    return pairs, matrix[pairs[:, 0], pairs[:, 1]] / matrix.sum(axis=1)[pairs[:, 0]]


def confused_in_place(matrix, top):
    """Set the diagonal of the learner's own matrix to 0, once the sums are known."""
    totals = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix / totals, axis=None)[:top]
    return np.stack(np.unravel_index(order, matrix.shape), axis=1)


def confused_without_diagonal(matrix, top):
    """The same, in the wrong order."""
    errors = matrix - np.diag(np.diag(matrix))
    shares = errors / np.maximum(errors.sum(axis=1, keepdims=True), 1)
    order = np.argsort(-shares, axis=None, kind="stable")[:top]
    return np.stack(np.unravel_index(order, matrix.shape), axis=1)


def confused_by_count_loop(matrix, top):
    pairs = [(n, i, j) for i, row in enumerate(matrix.tolist()) for j, n in enumerate(row)]
    pairs = sorted((pair for pair in pairs if pair[1] != pair[2]), key=lambda p: -p[0])
    return [pair[1:] for pair in pairs[:top]]


# --- is_affine ---------------------------------------------------------------------------------


def affine_midpoint(model, num_features, rng):
    """The middle of two outputs is the output of the middle."""
    for scale in (1, 50, 1000):
        a, b = scale * rng.normal(size=(2, 40, num_features))
        left, right, middle = model(a), model(b), model((a + b) / 2)
        size = np.abs([left, right, middle]).max()
        if not np.allclose((left + right) / 2, middle, rtol=0, atol=1e-4 * size):
            return False
    return True


def affine_least_squares(model, num_features, rng):
    """Fit an affine function, and look at what it leaves."""
    for scale in (1.0, 1000.0):
        x = scale * rng.uniform(-2, 2, size=(200, num_features))
        y = model(x)
        design = np.column_stack([x / scale, np.ones(len(x))])
        left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        if np.abs(left).max() > 1e-4 * np.abs(y).max():
            return 0
    return 1


def affine_jacobian(model, num_features, rng):
    """The differences along each axis are the same everywhere."""
    for size in (1, 1000):
        found, largest = [], 0.0
        for place in np.vstack(
            [np.zeros(num_features), size * rng.normal(size=(25, num_features))]
        ):
            values = model(np.vstack([place, place + size * np.eye(num_features)]))
            found.append(values[1:] - values[:1])
            largest = max(largest, np.abs(values).max())
        if np.ptp(found, axis=0).max() > 1e-4 * largest:
            return np.False_
    return np.True_


def affine_torch(model, num_features, rng):
    import torch

    zero = torch.zeros(1, num_features)
    for size in (1, 1000):
        a, b = size * torch.tensor(rng.normal(size=(2, 30, num_features)))
        f0, fa, fb, fab = (torch.as_tensor(model(x)) for x in (zero, a, b, a + b))
        largest = torch.cat([fa, fb, fab, f0]).abs().max()
        if (fa + fb - f0 - fab).abs().max() > 1e-4 * largest:
            return torch.tensor(False)
    return torch.tensor(True)


def affine_by(
    model, num_features, rng, *, sizes=(1, 1000), rows=30, draw=None, tol=1e-4, bias=True
):
    """Compare sums row by row, with any part replaced."""
    for size in sizes:
        for _ in range(rows):
            a, b = size * (draw or rng.normal)(size=(2, 1, num_features))
            f0, fa, fb, fab = (np.asarray(model(x)) for x in (0 * a, a, b, a + b))
            gap = np.abs(fa + fb - bias * f0 - fab).max()
            if gap > tol * max(np.abs(v).max() for v in (f0, fa, fb, fab)):
                return False
    return True


def affine_scaled(model, num_features, rng):
    """Look at multiples of one input only."""
    x = rng.normal(size=(20, num_features))
    f0, f1, f3 = model(0 * x), model(x), model(3 * x)
    return np.abs(f3 - f0 - 3 * (f1 - f0)).max() <= 1e-4 * np.abs(f3).max()


def affine_by_equal(model, num_features, rng):
    a, b = rng.normal(size=(2, 20, num_features))
    return np.array_equal(model(a) + model(b), model(a + b) + model(0 * a))


def affine_gap(model, num_features, rng):
    a, b = rng.normal(size=(2, 20, num_features))
    return 2 + np.abs(model(a) + model(b) - model(a + b) - model(0 * a)).max()


def affine_by_row(model, num_features, rng):
    return bool(model(rng.normal(size=num_features)).any())


# --- repair_the_pipeline -----------------------------------------------------------------------


def pipeline_loop(parts, start, train_epoch, evaluate, epochs, *, strict=True):
    """Keep a checkpoint, as a callback does."""
    x, _ = parts["train"]
    mean, std = x.mean(), x.std()

    def scaled(name):
        return (parts[name][0] - mean) / std, parts[name][1]

    weights, lowest, checkpoint = start, np.inf, None
    for _ in range(epochs):
        weights = train_epoch(weights, *scaled("train"))
        loss = evaluate(weights, *scaled("dev"))
        if loss < lowest:
            lowest, checkpoint = loss, np.copy(weights)
    return checkpoint, evaluate(checkpoint, *scaled("test"))


def pipeline_of_pairs(parts, start, train_epoch, evaluate, epochs):
    """Store all epochs, and take the smallest pair."""
    mean, std = np.mean(parts["train"][0]), np.std(parts["train"][0])
    rows = {name: ((x - mean) / std, y) for name, (x, y) in parts.items()}
    history = [start]
    while len(history) <= epochs:
        history.append(train_epoch(history[-1], *rows["train"]))
    _, best = min((evaluate(w, *rows["dev"]), i) for i, w in enumerate(history) if i)
    return [history[best], evaluate(history[best], *rows["test"])]


def pipeline_torch(parts, start, train_epoch, evaluate, epochs):
    import torch

    data = {name: (torch.from_numpy(x), torch.from_numpy(y)) for name, (x, y) in parts.items()}
    mean, std = data["train"][0].mean(), data["train"][0].std(unbiased=False)
    data = {name: ((x - mean) / std, y) for name, (x, y) in data.items()}
    best, state = (float("inf"), None), torch.from_numpy(start)
    for _ in range(epochs):
        state = torch.as_tensor(train_epoch(state, *data["train"]))
        loss = evaluate(state, *data["dev"])
        best = min(best, (loss, state), key=lambda pair: pair[0])
    return best[1], torch.tensor(evaluate(best[1], *data["test"]))


def pipeline_as_handed_over(parts, start, train_epoch, evaluate, epochs):
    everything = np.concatenate([x for x, _ in parts.values()])
    mean, std = everything.mean(), everything.std()
    scaled = {name: ((x - mean) / std, y) for name, (x, y) in parts.items()}
    weights, best = start, np.inf
    for _ in range(epochs):
        weights = train_epoch(weights, *scaled["train"])
        best = min(best, evaluate(weights, *scaled["test"]))
    return weights, best


def pipeline_watching_test(parts, start, train_epoch, evaluate, epochs):
    """Look at the test rows in every epoch, without a use."""
    x, _ = parts["train"]
    mean, std = x.mean(), x.std()
    test = (parts["test"][0] - mean) / std, parts["test"][1]

    def watched(weights, *rows):
        evaluate(weights, *test)
        return evaluate(weights, *rows)

    return pipeline_loop(parts, start, train_epoch, watched, epochs)


def pipeline_in_place(parts, start, train_epoch, evaluate, epochs):
    mean, std = parts["train"][0].mean(), parts["train"][0].std()
    for x, _ in parts.values():
        x -= mean
        x /= std
    weights, best = start, (np.inf, start)
    for _ in range(epochs):
        weights = train_epoch(weights, *parts["train"])
        best = min(best, (evaluate(weights, *parts["dev"]), weights), key=lambda pair: pair[0])
    return best[1], evaluate(best[1], *parts["test"])


def pipeline_weights_alone(*task):
    return pipeline_loop(*task)[0]


# --- tune --------------------------------------------------------------------------------------

RATES, PENALTIES, DROPOUTS = (0.003, 0.03, 0.2), (0.0, 0.003, 0.03), (0.0, 0.5)


def setting(rate=0.03, l2=0.0, dropout=0.0):
    return {"rate": rate, "l2": l2, "dropout": dropout}


def tune_grid(
    train, budget, *,
    score=lambda scores: scores["dev"], number=lambda budget, settings: budget // settings,
    rates=RATES[1:], penalties=PENALTIES, dropouts=DROPOUTS, choose=max,
):  # fmt: skip
    """Train a grid with equal shares of the budget, with any part replaced."""
    settings = [setting(*given) for given in product(rates, penalties, dropouts)]
    each = number(budget, len(settings))
    return choose(settings, key=lambda one: score(train(one, each)))


def tune_by_halving(train, budget):
    """Train all settings for half of the budget, and the best four for the rest."""
    settings = [setting(*given) for given in product(RATES, PENALTIES, DROPOUTS)]
    scores = [train(one, budget // 2 // len(settings))["dev"] for one in settings]
    best = [settings[i] for i in np.argsort(scores)[-4:]]
    return max(best, key=lambda one: train(one, budget // 8)["dev"])


def tune_one_after_the_other(train, budget):
    """Choose the penalty, then the rate, then dropout, always in full runs."""
    best, steps, seen = setting(0.03), budget // 9, {}
    for key, values in (("l2", PENALTIES), ("rate", RATES[1:]), ("dropout", DROPOUTS)):
        for value in values:
            one = best | {key: value}
            if tuple(one.values()) not in seen:
                seen[tuple(one.values())] = train(one, steps)["dev"]
        best = setting(*max(seen, key=seen.get))
    return best


def tune_six_in_full(train, budget):
    """Six settings in full runs, with NumPy's kinds of numbers."""
    best = -1.0, None
    for rate, l2 in product(np.float32(RATES[1:]), PENALTIES):
        found = train(setting(rate, np.float64(l2)), np.int64(budget // 9))
        assert found["test"] >= 0  # seen, and not used
        best = max(best, (found["dev"], setting(rate, l2)), key=lambda pair: pair[0])
    return best[1]


def tune_at_random(train, budget):
    """Draw nine settings without the lowest rate, each in full."""
    settings = [setting(*given) for given in product(RATES[1:], PENALTIES, DROPOUTS)]
    rng = np.random.default_rng(1)
    drawn = [settings[i] for i in rng.permutation(len(settings))[:9]]
    return drawn[int(np.argmax([train(one, budget // 9)["dev"] for one in drawn]))]


def tune_until_refused(train, budget):
    """Train in full until `train` refuses."""
    best = 0.0, setting()
    try:
        for given in product(RATES, PENALTIES, DROPOUTS):
            one = setting(*given)
            best = max(best, (train(one, budget // 9)["dev"], one), key=lambda pair: pair[0])
    except ValueError:
        pass
    return best[1]


def tune_anyway(**chosen):
    """Return the answer that tries the settings and takes one that no score has a part in."""

    def answer(train, budget):
        tune_grid(train, budget)
        return setting(**chosen)

    return answer


RIGHT = {
    "confusion_matrix": [
        confusion_loop,
        confusion_bincount,
        confusion_hot,
        confusion_torch,
        confusion_keras,
        confusion_sklearn,
    ],
    "most_confused": [confused_loop, confused_table, confused_torch, confused_tuples],
    "is_affine": [
        affine_midpoint,
        affine_least_squares,
        affine_jacobian,
        affine_torch,
        affine_by,
    ],
    "repair_the_pipeline": [pipeline_loop, pipeline_of_pairs, pipeline_torch],
    "tune": [
        tune_grid,
        tune_by_halving,
        tune_one_after_the_other,
        tune_six_in_full,
        tune_at_random,
    ],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "confusion_matrix": [
        ("classes counted in the labels", confusion_of_seen),
        ("form", confusion_flat),
        ("changes its input", confusion_in_place),
    ],
    "most_confused": [
        ("form", confused_with_shares),
        ("changes its input", confused_in_place),
        ("share of the class's errors", confused_without_diagonal),
        ("counts", confused_by_count_loop),
    ],
    "is_affine": [
        ("near 0 only", vary(affine_by, sizes=(1,))),
        ("far from 0 only", vary(affine_by, sizes=(1000,), tol=0.01)),
        ("bias forgotten", vary(affine_by, bias=False)),
        ("one ray", affine_scaled),
        ("exact equality", affine_by_equal),
        ("form", affine_gap),
        ("error", affine_by_row),
    ],
    "repair_the_pipeline": [
        ("as it was", pipeline_as_handed_over),
        ("test rows seen more than once", pipeline_watching_test),
        ("changes its input", pipeline_in_place),
        ("error", pipeline_weights_alone),
    ],
    "tune": [
        ("no decision", lambda train, budget: setting()),
        ("no decision", lambda train, budget: setting(0.003, 0.03, 0.5)),
        ("no decision", vary(tune_grid, rates=[0.03], penalties=[0.0], dropouts=[0.0])),
        ("over budget", vary(tune_grid, number=lambda budget, settings: budget // 9)),
        ("over budget", vary(tune_grid, number=lambda budget, settings: budget // settings + 1)),
        ("over budget", tune_until_refused),
        ("chosen on test rows", vary(tune_grid, score=lambda scores: scores["test"])),
        (
            "chosen on test rows",
            vary(tune_grid, score=lambda scores: 9 * scores["test"] + scores["dev"]),
        ),
        ("chosen on train rows", vary(tune_grid, score=lambda scores: scores["train"])),
        ("smallest gap", vary(tune_grid, score=lambda scores: scores["dev"] - scores["train"])),
        ("lowest for highest", vary(tune_grid, choose=min)),
        ("dev ignored", tune_anyway()),
        ("dev ignored", tune_anyway(rate=0.2, l2=0.03)),
        ("dev ignored", tune_anyway(dropout=0.5)),
        ("short runs", vary(tune_grid, number=lambda budget, settings: 2)),
        ("low rate only", vary(tune_grid, rates=RATES[:1])),
        ("no regularization tried", vary(tune_grid, penalties=PENALTIES[:2], dropouts=[0.0])),
        ("regularization only", vary(tune_grid, penalties=PENALTIES[2:])),
        ("error", lambda *task: list(tune_grid(*task).values())),
        ("error", lambda *task: {k: v for k, v in tune_grid(*task).items() if k != "rate"}),
        ("error", lambda train, budget: train(0.03, 10)),
        ("error", lambda train, budget: train(setting(rate=0.5), 10)),
        ("error", lambda train, budget: train(setting(), 0.5)),
    ],
}
