"""Right and wrong answers to the exercises of chapter 01, for `test_answers`."""

import math
import operator

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


def stratified_leftovers(y, fractions, seed):
    """Round down, and draw the part of each row that is left over."""
    rng, parts = np.random.default_rng(seed), [[] for _ in fractions]
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label)).tolist()
        for part, fraction in zip(parts, fractions, strict=True):
            count = int(fraction * (y == label).sum() + 1e-9)
            part += rows[:count]
            rows = rows[count:]
        for row in rows:
            parts[rng.integers(len(parts))].append(row)
    return parts


def stratified_first_class(y, fractions, seed):
    """Shuffle the rows of one class only."""
    order = np.arange(len(y))
    rows = np.flatnonzero(y == y.min())
    order[rows] = np.random.default_rng(seed).permutation(rows)
    pieces = []
    for label in np.unique(y):
        rows = order[y == label]
        pieces.append(np.split(rows, np.round(np.cumsum(fractions)[:-1] * len(rows)).astype(int)))
    return tuple(map(np.concatenate, zip(*pieces, strict=True)))


def error_math(accuracy, n):
    """A right variant: entry by entry."""
    pairs = zip(np.ravel(accuracy), np.ravel(n), strict=True)
    return np.reshape([math.sqrt(a * (1 - a) / k) for a, k in pairs], np.shape(accuracy))


def error_torch(accuracy, n):
    import torch

    a, n = torch.as_tensor(accuracy, dtype=torch.float32), torch.as_tensor(n)
    return (a * (1 - a)).sqrt() / n.sqrt()


def error_float32(accuracy, n):
    accuracy = np.asarray(accuracy, np.float32)
    return np.sqrt((accuracy - accuracy**2) / n).astype(np.float32)


def groups_loop(groups, fraction, seed, count=round):
    import random

    names = sorted(set(groups.tolist()))
    dev_names = random.Random(seed).sample(names, count(fraction * len(names)))
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


def share_of_rows(groups, fraction, seed):
    """Add groups until the share of the rows is reached."""
    dev = np.zeros(len(groups), bool)
    for name in np.random.default_rng(seed).permutation(np.unique(groups)):
        if dev.sum() >= fraction * len(groups):
            break
        dev |= groups == name
    return np.flatnonzero(~dev), np.flatnonzero(dev)


def diagnose_ladder(
    train_err, train_dev_err, dev_err, bayes_err, border=0.01, above=("gt", "gt", "gt")
):
    """A right variant, as it stands: a chain of conditions."""
    bias, variance = train_err - bayes_err, train_dev_err - train_err
    mismatch = dev_err - train_dev_err
    gaps = zip(above, (bias, variance, mismatch), strict=True)
    if not any(getattr(operator, name)(gap, border) for name, gap in gaps):
        return "none"
    if bias >= variance and bias >= mismatch:
        return "bias"
    return "variance" if variance >= mismatch else "mismatch"


def diagnose_argmax(train_err, train_dev_err, dev_err, bayes_err):
    gaps = np.diff(np.float32([bayes_err, train_err, train_dev_err, dev_err]))
    padded = np.append(np.float32(0.01), gaps)  # in front: it wins a tie
    return np.array(["none", "bias", "variance", "mismatch"])[padded.argmax()]


def scores_numpy(x, y, parts, start, lr, steps, first=1):
    train, (w, b), best = parts["train"], start, (np.inf, np.inf)
    x = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    for step in range(steps + 1):
        p = np.exp(x @ w + b)
        p /= p.sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(y)), y])
        if step >= first:
            best = min(best, (loss[parts["dev"]].mean(), loss[parts["test"]].mean()))
        error = (p - np.eye(len(b))[y])[train] / len(train)
        w, b = w - lr * x[train].T @ error, b - lr * error.sum(axis=0)
    return best


def scores_keras(x, y, parts, start, lr, steps):
    import keras

    train = parts["train"]
    scaler = keras.layers.Normalization()
    scaler.adapt(x[train])
    model = keras.Sequential([keras.Input((x.shape[1],)), keras.layers.Dense(len(start[1]))])
    model.set_weights(start)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(lr), loss, run_eagerly=True)
    scaled, losses = np.array(scaler(x)), []
    for _ in range(steps):
        model.train_on_batch(scaled[train], y[train])
        held_out = parts["dev"], parts["test"]
        losses.append([float(loss(y[rows], model(scaled[rows]))) for rows in held_out])
    return min(losses)


def scores_torch(x, y, parts, start, lr, steps, dtype="float32"):
    import torch

    train, losses = x[parts["train"]], []
    x = torch.tensor((x - train.mean(axis=0)) / train.std(axis=0), dtype=getattr(torch, dtype))
    w, b = (torch.tensor(v, dtype=x.dtype, requires_grad=True) for v in start)
    optimizer = torch.optim.SGD([w, b], lr=lr)
    for _ in range(steps + 1):
        loss = {
            name: torch.nn.functional.cross_entropy(x[rows] @ w + b, torch.tensor(y[rows]))
            for name, rows in parts.items()
        }
        losses.append((loss["dev"].item(), loss["test"].item()))
        optimizer.zero_grad()
        loss["train"].backward()
        optimizer.step()
    return min(losses[1:])


def scores_in_place(x, y, parts, start, lr, steps):
    train = x[parts["train"]]
    x -= train.mean(axis=0)
    x /= train.std(axis=0)
    return scores_numpy(x, y, parts, start, lr, steps)


RIGHT = {
    "stratified_split": [stratified_loop, stratified_sklearn, stratified_torch, stratified_sorted],
    "standard_error": [error_math, error_torch, error_float32],
    "group_split": [groups_loop, groups_sklearn, groups_torch],
    "diagnose_mismatch": [diagnose_ladder, diagnose_argmax],
    "honest_scores": [
        scores_numpy,
        scores_keras,
        scores_torch,
        lambda *project: scores_torch(*project, dtype="float64"),
    ],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "stratified_split": [
        ("error", lambda y, fractions, seed: stratified_loop(y, fractions, seed)[0]),
        ("error", lambda y, *rest: [np.isin(range(len(y)), p) for p in stratified_loop(y, *rest)]),
        ("remainder", stratified_leftovers),
        ("unshuffled", stratified_first_class),
    ],
    "standard_error": [
        ("halves_with_four_times_the_rows", lambda a, n: 0 * a),
        ("error", lambda a, n: math.sqrt(a * (1 - a) / n)),
    ],
    "group_split": [
        ("takes_the_share_of_groups", share_of_rows),
        ("takes_the_share_of_groups", lambda *case: groups_loop(*case, count=math.ceil)),
        ("error", lambda *case: groups_loop(*case)[1]),
    ],
    "diagnose_mismatch": [
        ("error", lambda t, td, d, b: td - t),
        ("small_gaps_are_none", lambda *case: diagnose_ladder(*case, above=("ge", "gt", "gt"))),
        ("small_gaps_are_none", lambda *case: diagnose_ladder(*case, above=("gt", "gt", "ge"))),
        ("rounded", lambda *case: diagnose_ladder(*case, border=0.011)),
        ("always-a-name", lambda *case: diagnose_ladder(*case, border=0.009)),
    ],
    "honest_scores": [
        ("changes its input", scores_in_place),
        ("form", lambda *project: scores_numpy(*project)[0]),
        ("start-counted", lambda *project: scores_numpy(*project, first=0)),
    ],
}
