"""Right and wrong answers to the exercises of chapter 01, for `test_answers`."""

import math

import numpy as np


def stratified_loop(y, fractions, seed):
    """Deal the rows of each class out, with a generator of another kind."""
    import random

    rng = random.Random(seed)
    parts = [[] for _ in fractions]
    for label in set(y.tolist()):
        rows = [i for i, value in enumerate(y) if value == label]
        rng.shuffle(rows)
        start, edge = 0, 0.0
        for part, fraction in zip(parts, fractions, strict=True):
            edge += fraction
            stop = int(edge * len(rows) + 0.5)
            part += rows[start:stop]
            start = stop
    return parts


def stratified_sklearn(y, fractions, seed):
    from sklearn.model_selection import train_test_split

    rest, parts = np.arange(len(y)), []
    for fraction in fractions[:-1]:
        count = round(fraction * len(y))
        part, rest = train_test_split(rest, train_size=count, stratify=y[rest], random_state=seed)
        parts.append(part)
    return (*parts, rest)


def stratified_torch(y, fractions, seed):
    import torch

    generator = torch.Generator().manual_seed(seed)
    pieces = []
    for label in np.unique(y):
        rows = torch.from_numpy(np.flatnonzero(y == label))
        rows = rows[torch.randperm(len(rows), generator=generator)]
        cuts = [math.floor(edge * len(rows) + 1e-6) for edge in np.cumsum(fractions)[:-1]]
        pieces.append(torch.tensor_split(rows, cuts))
    return tuple(torch.cat(part) for part in zip(*pieces, strict=True))


def stratified_sorted(y, fractions, seed):
    """A right variant: the old generator, rows in ascending order, 32-bit numbers."""
    rng = np.random.RandomState(seed)
    parts = [np.zeros(0, np.int32) for _ in fractions]
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        rng.shuffle(rows)
        cuts = np.ceil(np.cumsum(fractions)[:-1] * len(rows) - 1e-6).astype(int)
        for i, piece in enumerate(np.split(rows, cuts)):
            parts[i] = np.sort(np.append(parts[i], piece)).astype(np.int32)
    return tuple(parts)


def _stratified(
    shuffle=lambda rng, rows: rng.permutation(rows),
    generator=lambda seed: np.random.default_rng(seed),
    edges=lambda fractions: np.cumsum(fractions)[:-1],
    rounded=np.round,
    result=lambda parts, y: parts,
):
    """Make a variant with one part replaced."""

    def split(y, fractions, seed):
        rng, pieces = generator(seed), []
        for label in np.unique(y):
            rows = shuffle(rng, np.flatnonzero(y == label))
            cuts = rounded(edges(fractions) * len(rows)).astype(int)
            pieces.append(np.split(rows, cuts))
        parts = tuple(np.concatenate(part) for part in zip(*pieces, strict=True))
        return result(parts, y)

    return split


def random_parts(y, fractions, seed):
    order = np.random.default_rng(seed).permutation(len(y))
    return tuple(np.split(order, np.round(np.cumsum(fractions)[:-1] * len(y)).astype(int)))


def drawn_anew(y, fractions, seed):
    """Draw each part from all rows of the class."""
    rng = np.random.default_rng(seed)
    return tuple(
        np.concatenate(
            [
                rng.permutation(np.flatnonzero(y == label))[: round(f * (y == label).sum())]
                for label in np.unique(y)
            ]
        )
        for f in fractions
    )


def floored(y, fractions, seed):
    """Round every count down and forget the rest."""
    rng = np.random.default_rng(seed)
    parts = [[] for _ in fractions]
    for label in np.unique(y):
        rows, start = rng.permutation(np.flatnonzero(y == label)), 0
        for part, fraction in zip(parts, fractions, strict=True):
            count = int(fraction * len(rows))
            part += rows[start : start + count].tolist()
            start += count
    return tuple(np.array(part, int) for part in parts)


def error_math(accuracy, n):
    """A right variant: entry by entry."""
    flat = [
        math.sqrt(a * (1 - a) / k) for a, k in zip(np.ravel(accuracy), np.ravel(n), strict=True)
    ]
    return np.reshape(flat, np.shape(accuracy))


def error_torch(accuracy, n):
    import torch

    a, n = torch.as_tensor(accuracy, dtype=torch.float32), torch.as_tensor(n)
    return (a * (1 - a)).sqrt() / n.sqrt()


def error_float32(accuracy, n):
    accuracy = np.asarray(accuracy, np.float32)
    return np.sqrt((accuracy - accuracy**2) / n).astype(np.float32)


def groups_loop(groups, fraction, seed):
    import random

    names = sorted(set(groups.tolist()))
    dev_names = random.Random(seed).sample(names, round(fraction * len(names)))
    train, dev = [], []
    for row, name in enumerate(groups):
        (dev if name in dev_names else train).append(row)
    return train, dev


def groups_sklearn(groups, fraction, seed):
    from sklearn.model_selection import GroupShuffleSplit

    count = round(fraction * len(set(groups.tolist())))
    splitter = GroupShuffleSplit(n_splits=1, test_size=count, random_state=seed)
    return next(splitter.split(groups, groups=groups))


def groups_torch(groups, fraction, seed):
    import torch

    groups = torch.from_numpy(groups)
    names = groups.unique()
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    dev = torch.isin(groups, names[order[: round(fraction * len(names))]])
    return torch.where(~dev)[0], torch.where(dev)[0]


def _grouped(
    shuffle=lambda rng, names: rng.permutation(names),
    generator=lambda seed: np.random.default_rng(seed),
    count=lambda fraction, number: round(fraction * number),
    result=lambda train, dev, groups: (train, dev),
):
    """Make a variant with one part replaced."""

    def split(groups, fraction, seed):
        names = np.unique(groups)
        chosen = shuffle(generator(seed), names)[: count(fraction, len(names))]
        dev = np.isin(groups, chosen)
        return result(np.flatnonzero(~dev), np.flatnonzero(dev), groups)

    return split


def rows_not_groups(groups, fraction, seed):
    order = np.random.default_rng(seed).permutation(len(groups))
    cut = round(fraction * len(groups))
    return order[cut:], order[:cut]


def share_of_rows(groups, fraction, seed):
    """Add groups until the share of the rows is reached."""
    dev = np.zeros(len(groups), bool)
    for name in np.random.default_rng(seed).permutation(np.unique(groups)):
        if dev.sum() >= fraction * len(groups):
            break
        dev |= groups == name
    return np.flatnonzero(~dev), np.flatnonzero(dev)


def diagnose_ladder(train_err, train_dev_err, dev_err, bayes_err):
    """A right variant: a chain of conditions."""
    bias, variance = train_err - bayes_err, train_dev_err - train_err
    mismatch = dev_err - train_dev_err
    if bias <= 0.01 and variance <= 0.01 and mismatch <= 0.01:
        return "none"
    if bias >= variance and bias >= mismatch:
        return "bias"
    return "variance" if variance >= mismatch else "mismatch"


def diagnose_argmax(train_err, train_dev_err, dev_err, bayes_err):
    gaps = np.diff(np.float32([bayes_err, train_err, train_dev_err, dev_err]))
    padded = np.append(gaps, np.float32(0.01))
    return np.array(["bias", "variance", "mismatch", "none"])[padded.argmax()]


def _diagnose(gaps=None, threshold=0.01, first=False, text=str):
    def diagnose(t, td, d, b):
        values = gaps(t, td, d, b) if gaps else (t - b, td - t, d - td)
        names = ("bias", "variance", "mismatch")
        if first:
            large = [n for n, gap in zip(names, values, strict=True) if gap > threshold]
            return large[0] if large else "none"
        return text(names[int(np.argmax(values))] if max(values) > threshold else "none")

    return diagnose


def scores_numpy(x, y, parts, start, lr, steps):
    mean, sd = x[parts["train"]].mean(axis=0), x[parts["train"]].std(axis=0)
    x = (x - mean) / sd
    w, b = start
    one_hot = np.eye(w.shape[1])[y]

    def probabilities(rows):
        e = np.exp(x[rows] @ w + b)
        return e / e.sum(axis=1, keepdims=True)

    def loss(rows):
        return -np.log((probabilities(rows) * one_hot[rows]).sum(axis=1)).mean()

    best = (np.inf, np.inf)
    train = parts["train"]
    for _ in range(steps):
        error = (probabilities(train) - one_hot[train]) / len(train)
        w, b = w - lr * x[train].T @ error, b - lr * error.sum(axis=0)
        if loss(parts["dev"]) < best[0]:
            best = loss(parts["dev"]), loss(parts["test"])
    return best


def scores_keras(x, y, parts, start, lr, steps):
    import keras

    train = parts["train"]
    scaler = keras.layers.Normalization()
    scaler.adapt(x[train])
    dense = keras.layers.Dense(start[0].shape[1])
    model = keras.Sequential([keras.Input((x.shape[1],)), dense])
    dense.set_weights(start)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(lr), cross_entropy, run_eagerly=True)
    scaled = np.array(scaler(x))
    dev, test = [], []
    for _ in range(steps):
        model.train_on_batch(scaled[train], y[train])
        for losses, rows in ((dev, parts["dev"]), (test, parts["test"])):
            losses.append(cross_entropy(y[rows], model(scaled[rows])))
    best = int(np.argmin(dev))
    return dev[best], test[best]


def _scores(
    scaler=lambda x, parts, rows: x[parts["train"]],
    fit_on=("train",),
    pick=lambda dev, test: np.argmin(dev),
    result=lambda dev, test, best: (dev[best], test[best]),
    report=("dev", "test"),
    correction=0,
    dtype="float32",
):
    """Make a routine in PyTorch with one part replaced."""

    def scores(x, y, parts, start, lr, steps):
        import torch
        import torch.nn.functional as F

        scaled = np.empty_like(x)
        for rows in parts.values():
            seen = scaler(x, parts, rows)
            mean, sd = 0, 1
            if seen is not None:
                mean, sd = seen.mean(axis=0), seen.std(axis=0, ddof=correction)
            scaled[rows] = (x[rows] - mean) / sd
        kind = getattr(torch, dtype)
        scaled, y = torch.tensor(scaled, dtype=kind), torch.tensor(y)
        w, b = (torch.tensor(v, dtype=kind, requires_grad=True) for v in start)
        optimizer = torch.optim.SGD([w, b], lr=lr)

        def loss(rows):
            return F.cross_entropy(scaled[rows] @ w + b, y[rows])

        losses = ([], [])
        for _ in range(steps):
            optimizer.zero_grad()
            loss(np.concatenate([parts[name] for name in fit_on])).backward()
            optimizer.step()
            for values, name in zip(losses, report, strict=True):
                values.append(loss(parts[name]).item())
        return result(*losses, pick(*losses))

    return scores


def everything(x, parts, rows):
    return x


RIGHT = {
    "stratified_split": [
        stratified_loop,
        stratified_sklearn,
        stratified_torch,
        stratified_sorted,
    ],
    "standard_error": [error_math, error_torch, error_float32],
    "group_split": [groups_loop, groups_sklearn, groups_torch],
    "diagnose_mismatch": [diagnose_ladder, diagnose_argmax],
    "honest_scores": [scores_numpy, scores_keras, _scores(), _scores(dtype="float64")],
}

WRONG = {
    "stratified_split": [
        ("unstratified", random_parts),
        ("overlap", drawn_anew),
        ("lost", floored),
        ("unshuffled", _stratified(shuffle=lambda rng, rows: rows)),
        ("seed-ignored", _stratified(generator=lambda seed: np.random.default_rng(0))),
        ("unseeded", _stratified(generator=lambda seed: np.random.default_rng())),
        ("values", _stratified(result=lambda parts, y: tuple(y[rows] for rows in parts))),
        ("reversed", _stratified(edges=lambda f: np.cumsum(f[::-1])[:-1])),
        ("cut-off", _stratified(rounded=np.floor)),
        ("equal-parts", _stratified(edges=lambda f: np.arange(1, len(f)) / len(f))),
        ("outside", _stratified(result=lambda parts, y: tuple(rows + 1 for rows in parts))),
        ("error", _stratified(result=lambda parts, y: parts[0])),
        ("error", _stratified(
            result=lambda parts, y: tuple(np.isin(np.arange(len(y)), rows) for rows in parts))),
    ],
    "standard_error": [
        ("variance", lambda a, n: a * (1 - a) / n),
        ("one-row", lambda a, n: np.sqrt(a * (1 - a))),
        ("half-width", lambda a, n: 1.96 * np.sqrt(a * (1 - a) / n)),
        ("n-minus-one", lambda a, n: np.sqrt(a * (1 - a) / (n - 1))),
        ("only-right-rows", lambda a, n: np.sqrt(a / n)),
        ("root-of-n-only", lambda a, n: a * (1 - a) / np.sqrt(n)),
        ("percent", lambda a, n: 100 * np.sqrt(a * (1 - a) / n)),
        ("halves_with_four_times_the_rows", lambda a, n: 0 * a),
        ("error", lambda a, n: math.sqrt(a * (1 - a) / n)),
    ],
    "group_split": [
        ("torn", rows_not_groups),
        ("takes_the_share_of_groups", share_of_rows),
        ("swapped", _grouped(result=lambda train, dev, groups: (dev, train))),
        ("swapped", _grouped(count=lambda fraction, number: round((1 - fraction) * number))),
        ("rounded-down", _grouped(count=lambda fraction, number: int(fraction * number))),
        ("unshuffled", _grouped(shuffle=lambda rng, names: names)),
        ("unshuffled", _grouped(shuffle=lambda rng, names: names[::-1])),
        ("seed-ignored", _grouped(generator=lambda seed: np.random.default_rng(7))),
        ("unseeded", _grouped(generator=lambda seed: np.random.default_rng())),
        ("names", _grouped(
            result=lambda train, dev, groups: (np.unique(groups[train]), np.unique(groups[dev])))),
        ("values", _grouped(result=lambda train, dev, groups: (groups[train], groups[dev]))),
        ("lost", _grouped(result=lambda train, dev, groups: (train[1:], dev))),
        ("overlap", _grouped(
            result=lambda train, dev, groups: (np.arange(len(groups)), dev))),
        ("error", _grouped(result=lambda train, dev, groups: dev)),
    ],
    "diagnose_mismatch": [
        ("without-train-dev", _diagnose(gaps=lambda t, td, d, b: (t - b, d - t))),
        ("without-bayes", _diagnose(gaps=lambda t, td, d, b: (t, td - t, d - td))),
        ("from-bayes", _diagnose(gaps=lambda t, td, d, b: (t - b, td - b, d - b))),
        ("first-found", _diagnose(first=True)),
        ("smallest", _diagnose(gaps=lambda t, td, d, b: (b - t, t - td, td - d), threshold=-1)),
        ("always-a-name", _diagnose(threshold=-1)),
        ("percent", _diagnose(threshold=1)),
        ("absolute", _diagnose(
            gaps=lambda t, td, d, b: (abs(t - b), abs(td - t), abs(d - td)))),
        ("capitals", _diagnose(text=str.capitalize)),
        ("error", lambda t, td, d, b: td - t),
    ],
    "honest_scores": [
        ("scaler-all", _scores(scaler=everything)),
        ("trained-on-dev", _scores(fit_on=("train", "dev"))),
        ("picked-on-test", _scores(pick=lambda dev, test: np.argmin(test))),
        ("unrepaired", _scores(scaler=everything, fit_on=("train", "dev"),
                               pick=lambda dev, test: np.argmin(test))),
        ("two-leaks", _scores(scaler=everything, fit_on=("train", "dev"))),
        ("two-leaks", _scores(scaler=everything, pick=lambda dev, test: np.argmin(test))),
        ("two-leaks", _scores(fit_on=("train", "dev"), pick=lambda dev, test: np.argmin(test))),
        ("own-statistics", _scores(scaler=lambda x, parts, rows: x[rows])),
        ("unscaled", _scores(scaler=lambda x, parts, rows: None)),
        ("last-step", _scores(pick=lambda dev, test: -1)),
        ("two-picks", _scores(result=lambda dev, test, best: (min(dev), min(test)))),
        ("swapped", _scores(result=lambda dev, test, best: (test[best], dev[best]))),
        ("sample-sd", _scores(correction=1)),
        ("form", _scores(result=lambda dev, test, best: dev[best])),
    ],
}  # fmt: skip


def scored_on_train(x, y, parts, start, lr, steps):
    """Pick the step on dev, and report the train loss beside the test loss."""
    kept = {}

    def pick(dev, test):
        kept["best"] = int(np.argmin(dev))
        return kept["best"]

    _, test = _scores(pick=pick)(x, y, parts, start, lr, steps)
    train, _ = _scores(report=("train", "test"), pick=lambda *_: kept["best"])(
        x, y, parts, start, lr, steps
    )
    return train, test


WRONG["honest_scores"].append(("scored-on-train", scored_on_train))
