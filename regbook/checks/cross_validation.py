"""Checks of chapter 02, K-fold and out-of-sample scores."""

import functools

import numpy as np

from regbook.arrays import to_numpy
from regbook.exercise import Chapter, Failed, brief, compare, follows_seed, judge, outputs, vary

chapter = Chapter("02_cross_validation")


# --- kfold_indices ---------------------------------------------------------------------------


def _kfold(n, k, seed):
    return np.array_split(np.random.default_rng(seed).permutation(n), k)


def _blocks(n, k, seed):
    return np.array_split(np.arange(n), k)


def _without_remainder(n, k, seed):
    return [fold[: n // k] for fold in _kfold(n, k, seed)]


def _remainder_last(n, k, seed):
    return np.split(np.concatenate(_kfold(n, k, seed)), np.arange(1, k) * (n // k))


def _outside(n, *folds):
    """Return the rows below n that are in none of the folds."""
    outside = np.ones(n, bool)
    for fold in folds:
        outside[fold] = False
    return np.flatnonzero(outside)


def _train_rows(n, k, seed):
    return [_outside(n, fold) for fold in _kfold(n, k, seed)]


kfold_indices = chapter.exercise(
    "kfold_indices",
    _kfold,
    mistakes={
        "labels": lambda n, k, seed: np.random.default_rng(seed).permutation(n) % k,
        "pairs": lambda *case: list(zip(_train_rows(*case), _kfold(*case), strict=True)),
        "train-rows": _train_rows,
        "from-one": lambda *case: [fold + 1 for fold in _kfold(*case)],
        "overlap": lambda n, k, seed: [_kfold(n, k, (seed, fold))[fold] for fold in range(k)],
        "dropped": _without_remainder,
        "uneven": _remainder_last,
        "unshuffled": [_blocks, lambda n, k, seed: [np.arange(n)[fold::k] for fold in range(k)]],
        "unseeded": vary(_kfold, seed=None),
        "fixed": vary(_kfold, seed=0),
    },
    hints={
        "labels": "You return one number per row. Return the rows of each fold: a list of k arrays.",
        "pairs": "You return several arrays per fold. Return only its own rows: everybody else trains.",
        "train-rows": "You return the training rows of each turn. Return the rows of the fold itself.",
        "from-one": "Row numbers start at 0: use range(n).",
        "overlap": "Some rows are in two folds. Shuffle once and cut; do not draw each fold anew.",
        "dropped": "n need not be a multiple of k: your folds leave out the remainder.",
        "uneven": "One fold gets the whole remainder, or each row draws its fold by itself. Deal the rows evenly.",
        "unshuffled": "Your folds follow the order of the table: blocks, or every k-th row. Shuffle first.",
        "unseeded": "The same seed gives other folds at the second call: nobody could repeat your score.",
        "fixed": "Another seed gives the same folds: the argument seed has no effect.",
    },
)


def _folds(ask, n, k, seed):
    """Ask for folds; return k arrays of whole numbers."""
    received, fault = ask(n, k, int(seed)), ()
    if isinstance(received, np.ndarray) and received.ndim == 2:
        received = tuple(received)  # folds of equal size
    if isinstance(received, np.ndarray) and received.shape == (n,):
        fault = ("labels",)
    elif isinstance(received, tuple) and any(isinstance(item, tuple) for item in received):
        fault = ("pairs",)
    elif not isinstance(received, tuple) or len(received) != k:
        fault = "form", f"Return a list of {k} arrays, one per fold."
    elif any(np.ndim(fold) != 1 or fold.dtype.kind not in "iu" for fold in received):
        fault = "form", "Each fold is one array of whole numbers."
    if fault:
        raise Failed(f"{k} arrays of row numbers", brief(received), *fault)
    return received


def _neighbours(folds, n):
    """Count the rows whose next row is in the same fold."""
    fold_of = np.zeros(n, int)
    for j, fold in enumerate(folds):
        fold_of[fold] = j
    return int((fold_of[1:] == fold_of[:-1]).sum())


def _in_one_order(folds):
    """Sort the rows of each fold, and the folds: which one comes first does not matter."""
    return tuple(sorted(map(np.sort, folds), key=np.ndarray.tolist))


@kfold_indices.check(
    points=2,
    hint="Put all folds together: each number from 0 to n - 1 must occur once.",
    more="Shuffle all row numbers once, with a generator made from the seed. Then cut them into k pieces, or deal them like cards.",
)
def deals_every_row_once(ask, rng):
    """puts each of the rows 0 to n - 1 into exactly one of k folds"""
    n, k = 23, int(rng.integers(4, 7))
    dealt = np.sort(np.concatenate(_folds(ask, n, k, 5)))
    twice = len(dealt) - len(np.unique(dealt))
    return judge(
        np.array_equal(dealt, np.arange(n)),
        f"the rows 0 to {n - 1}, each once",
        f"{len(dealt)} rows, {twice} of them twice: {brief(dealt)}",
        {
            "train-rows": len(dealt) == n * (k - 1),
            "from-one": np.array_equal(dealt, np.arange(1, n + 1)),
            "overlap": twice,
            "dropped": len(dealt) < n,
        },
    )


@kfold_indices.check(
    hint="The sizes may differ by one at most: the remainder of n / k is dealt one row at a time.",
    more="np.array_split makes such pieces, 5 + 5 + 4 + 4 of 18 rows; every k-th of the shuffled rows is such a fold too.",
)
def makes_equal_folds(ask, rng):
    """makes folds whose sizes differ by one at most"""
    # Of 35 to 37 rows, 8 pieces of the size n / k, rounded up, down or to the nearest, leave a last
    # one that is too small or too large.
    for n, k in ((7, 7), (19, 5), (int(rng.integers(35, 38)), 8)):
        sizes = sorted(map(len, _folds(ask, n, k, 1)))
        shown = f"{n} rows in sizes that differ by 1 or less", f"sizes {sizes}"
        uneven, total = sizes[-1] - sizes[0] > 1, sum(sizes)
        if uneven or total != n:
            mistakes = {"train-rows": total == n * (k - 1), "dropped": total < n, "uneven": uneven}
            return judge(False, *shown, mistakes)
    return judge(True, *shown)


@kfold_indices.check(
    points=2,
    hint="Shuffle the rows before you cut them into folds.",
    more="A table is often sorted. A generator of NumPy has the method permutation: in each block that you cut from it, rows of the whole table meet.",
)
def shuffles_the_rows(ask, rng):
    """deals at random: neighbours share a fold about as often as any two rows"""
    n, k, counts = 60, 3, []
    for seed in rng.integers(0, 10_000, size=3):
        folds = _folds(ask, n, k, seed)
        rows = np.concatenate(folds)
        if rows.min() < 0 or rows.max() >= n:
            raise Failed(f"rows from 0 to {n - 1}", f"rows up to {rows.max()}", "from-one")
        counts.append(_neighbours(folds, n))
    mean = np.mean(counts)  # 19 expected; one deal has a standard deviation of 3.6
    mistakes = {"train-rows": len(rows) == n * (k - 1), "unshuffled": True}
    return judge(8 < mean < 30, "about 19 of 59 neighbours together", f"{mean:.0f}", mistakes)


@kfold_indices.check(
    hint="Make a generator from the seed inside the function, and take every random number from it.",
    more="np.random.default_rng(seed) is such a generator.",
)
def follows_the_seed(ask, rng):
    """gives the same folds for the same seed and others for another"""

    def draw(seed):
        return _in_one_order(_folds(ask, 40, 4, seed))

    return follows_seed(draw, rng, fixed="fixed", unseeded="unseeded", seeds=2)


# --- out_of_sample_predictions ---------------------------------------------------------------


def _floats(y):
    return np.zeros(len(y))


def _out_of_sample(fit_predict, X, y, k, seed, *, deal=_kfold, train_on=_outside, empty=_floats):
    predictions = empty(y)
    for test in deal(len(y), k, seed):
        train = train_on(len(y), test)
        predictions[test] = fit_predict(X[train], y[train], X[test])
    return predictions


def _in_order_of_folds(fit_predict, X, y, k, seed):
    return _out_of_sample(fit_predict, X, y, k, seed)[np.concatenate(_kfold(len(y), k, seed))]


out_of_sample_predictions = chapter.exercise(
    "out_of_sample_predictions",
    _out_of_sample,
    mistakes={
        "misaligned": vary(_out_of_sample, y=lambda y: y[::-1]),
        "seen": vary(_out_of_sample, train_on=lambda n, test: np.arange(n)),
        "swapped": vary(_out_of_sample, deal=_train_rows),
        "calls": vary(_out_of_sample, deal=lambda *case: _kfold(*case)[:1]),
        "dropped": vary(_out_of_sample, deal=_without_remainder),
        "part": vary(_out_of_sample, train_on=lambda n, test: _outside(n, test)[: len(test)]),
        "uneven": vary(_out_of_sample, deal=_remainder_last),
        "unordered": _in_order_of_folds,
        "averaged": lambda f, X, y, *rest: 0 * y + _out_of_sample(f, X, y, *rest).mean(),
        "errors": lambda f, X, y, *rest: _out_of_sample(f, X, y, *rest) - y,
        "whole numbers": vary(_out_of_sample, empty=np.zeros_like),
        "unshuffled": [
            vary(_out_of_sample, deal=_blocks),
            vary(
                _out_of_sample, deal=lambda n, k, seed: np.array_split(np.roll(range(n), seed), k)
            ),
        ],
        "unseeded": vary(_out_of_sample, seed=None),
        "fixed": vary(_out_of_sample, seed=0),
    },
    hints={
        "misaligned": "The targets do not belong to the rows: index X and y with the same row numbers.",
        "seen": "A model is asked about rows that it was trained on. Take the fold out of the training rows.",
        "swapped": "Train and test are swapped: you train on the fold and predict all other rows. It is the other way round.",
        "calls": "Call fit_predict once per fold: k times.",
        "dropped": "Every row needs exactly one turn as a test row, also when n is not a multiple of k.",
        "part": "All rows outside the fold train the model, not only one other fold.",
        "uneven": "The sizes of the folds may differ by one at most.",
        "unordered": "The predictions stand in the order of the folds. Put them back: predictions[test] = ...",
        "averaged": "You averaged the predictions. Keep one per row.",
        "errors": "You return errors. Return the predictions; the score comes later.",
        "whole numbers": "The decimals of the predictions are cut off: an array made like y holds whole numbers where y does. Make one of decimal numbers.",
        "unshuffled": "Your folds follow the order of the table. Shuffle the rows first.",
        "unseeded": "The same seed gives other folds at the second call. Make the generator from the seed.",
        "fixed": "Another seed gives the same folds: the argument seed has no effect.",
    },
)


def _table(rng, n):
    """Draw X and y; return them with a function that tells the row numbers of a part of X.

    The first column of X holds a number by which a row is known.
    """
    X = rng.normal(size=(n, 3))
    X[:, 0] = rng.permutation(n) + 100
    row = {int(number): i for i, number in enumerate(X[:, 0])}

    def rows(part):
        part = to_numpy(part)
        if part.ndim != 2 or part.shape[1] != X.shape[1]:
            raise ValueError(f"fit_predict got X of shape {part.shape}: pass rows of X")
        return np.array([row[round(number)] for number in part[:, 0].tolist()], int)

    return X, rng.normal(size=n), rows


def _recorded(ask, table, k, seed=3):
    """Ask for predictions; return them, and (train, test, aligned, predictions) of each call."""
    (X, y, rows), calls = table, []

    def fit_predict(X_train, y_train, X_test):
        train, test, y_train = rows(X_train), rows(X_test), to_numpy(y_train)
        aligned = y_train.shape == train.shape and (abs(y_train - y[train]) < 1e-4).all()
        calls.append((train, test, aligned, X[test, 1] + 3 * y[train].mean()))
        return calls[-1][-1]

    return ask(fit_predict, X, y, k, int(seed)), calls


@out_of_sample_predictions.check(
    points=3,
    hint="In each turn: test = the rows of one fold, train = all other rows.",
    more="With a mask that is True for the rows of the fold, X[mask] are the test rows and X[~mask] the training rows.",
)
def predicts_unseen_rows(ask, rng):
    """trains on all rows outside a fold, predicts the rows of the fold, once per fold"""
    # 22 rows in 4 or 5 pieces of equal size, however rounded, leave a last one of another size.
    n, k = 22, int(rng.integers(4, 6))
    _, calls = _recorded(ask, _table(rng, n), k)
    pairs = [(train, test) for train, test, _, _ in calls]
    times = np.bincount([row for _, test in pairs for row in test], minlength=n)
    sizes = sorted(len(test) for _, test in pairs)
    seen = any(np.intersect1d(*pair).size for pair in pairs)
    swapped = pairs and all(len(test) > len(train) for train, test in pairs)
    idle = any(len(train) + len(test) < n for train, test in pairs)
    missed = f"{(times == 0).sum()} rows never predicted, {(times > 1).sum()} more than once"
    faults = (
        ("misaligned", not all(call[2] for call in calls), "X_train and y_train of different rows"),
        ("seen", seen, "test rows among the training rows"),
        ("swapped", swapped, "training on one fold, prediction of the rest"),
        ("calls", len(calls) != k, f"{len(calls)} calls"),
        ("dropped", (times != 1).any(), missed),
        ("part", idle, "rows that take no part"),
        ("uneven", np.ptp(sizes or [0]) > 1, f"fold sizes {sizes}"),
    )
    expected = f"{k} turns, each row predicted once, unseen"
    for mistake, found, received in faults:
        if found:
            raise Failed(expected, received, mistake)
    return judge(True, expected, expected)


@out_of_sample_predictions.check(
    points=2,
    hint="Entry i of the result is the prediction for row i of X.",
    more="Make an array of n decimal numbers before the loop, and write what a fold gets at the places of its rows.",
)
def keeps_the_order(ask, rng):
    """puts each prediction in the place of its row"""
    X, _, rows = _table(rng, 17)
    table = X, rng.integers(-2, 3, size=17), rows  # targets may be whole numbers, predictions not
    received, calls = _recorded(ask, table, 4)
    expected = np.full(17, np.nan)
    for _, test, _, predictions in calls:
        expected[test] = predictions
    if np.isnan(expected).any():
        mistake = "calls" if len(calls) != 4 else "dropped"
        raise Failed("a prediction for each of 17 rows", brief(received), mistake)
    mistakes = {
        "unordered": np.concatenate([predictions for _, _, _, predictions in calls]),
        "averaged": np.full(17, expected.mean()),
        "errors": expected - table[1],
        "whole numbers": np.trunc(expected),
    }
    return compare(received, expected, mistakes)


@out_of_sample_predictions.check(
    hint="The folds come from a shuffle by a generator that is made from the seed.",
    more="The folds of kfold_indices do: its shuffle depends on the seed alone.",
)
def shuffles_by_the_seed(ask, rng):
    """shuffles the rows by the seed: the same seed repeats the folds, another changes them"""
    table, deals = _table(rng, 60), []

    def draw(seed):
        deals.append([test for _, test, _, _ in _recorded(ask, table, 3, seed)[1]])
        return _in_one_order(deals[-1])

    outcome = follows_seed(draw, rng, fixed="fixed", unseeded="unseeded", seeds=2)
    mean = np.mean([_neighbours(folds, 60) for folds in deals])
    if outcome.mistake in ("", "fixed") and not 8 < mean < 30:
        mistakes = {"calls": len(deals[0]) != 3, "unshuffled": True}
        return judge(False, "about 19 of 59 neighbours together", f"{mean:.0f}", mistakes)
    return outcome


# --- nested_cv_score -------------------------------------------------------------------------


def _rms(parts):
    return np.sqrt((np.concatenate(parts) ** 2).mean())


def _mean_rms(parts):
    return np.mean([_rms([part]) for part in parts])


def _mean_absolute(parts):
    return np.abs(np.concatenate(parts)).mean()


def _mean_squares(parts):
    return np.mean([(part**2).mean() for part in parts])


def _inner(n, outer, folds):
    return [(_outside(n, outer, dev), dev) for dev in folds if dev is not outer]


def _leaking(n, outer, folds):
    return [(_outside(n, dev), dev) for dev in folds if dev is not outer]


def _nested(
    fit_predict, X, y, lams, folds, *, turns=_inner, criterion=_rms, refit=True, total=_rms,
    name=lambda lams, best: lams[best],
):  # fmt: skip
    """Return the nested score. turns: the pairs (train, dev) by which an outer fold chooses."""

    def errors(train, test, lam):
        return fit_predict(X[train], y[train], X[test], lam) - y[test]

    parts, chosen = [], []
    for outer in folds:
        pairs = turns(len(y), outer, folds)
        scores = [criterion([errors(*pair, lam) for pair in pairs]) for lam in lams]
        best = int(np.argmin(scores))
        models = [_outside(len(y), outer)] if refit else [train for train, _ in pairs]
        parts.append(np.mean([errors(train, outer, lams[best]) for train in models], axis=0))
        chosen.append(name(lams, best))
    return total(parts), np.array(chosen)


nested_cv_score = chapter.exercise(
    "nested_cv_score",
    _nested,
    mistakes={
        "non-nested": vary(
            _nested, turns=lambda n, outer, folds: [(_outside(n, dev), dev) for dev in folds]
        ),
        "outer-test": vary(_nested, turns=lambda n, outer, folds: [(_outside(n, outer), outer)]),
        "leak": vary(_nested, turns=_leaking),
        "in-sample": vary(_nested, turns=lambda n, outer, folds: [(_outside(n, outer),) * 2]),
        "inner-averaged": [
            vary(_nested, criterion=_mean_rms),
            vary(_nested, criterion=_mean_squares),
            vary(_nested, criterion=_mean_absolute),
        ],
        "averaged": vary(_nested, total=_mean_rms),
        "mse": vary(_nested, total=lambda parts: _rms(parts) ** 2),
        "largest": vary(_nested, criterion=lambda parts: -_rms(parts)),
        "indices": vary(_nested, name=lambda lams, best: best),
        "no-refit": vary(_nested, refit=False),
        "swapped": lambda *case: _nested(*case)[::-1],
    },
    hints={
        "non-nested": "This is the score of the best penalty on the folds that chose it: too good. Choose anew for each outer fold, without that fold.",
        "outer-test": "Each outer fold chose its penalty by its own test rows. Choose on the other folds.",
        "leak": "The inner models were trained on the outer test rows as well. Take both the outer and the inner fold out of their training rows.",
        "in-sample": "A model was scored on rows that it was trained on.",
        "inner-averaged": "You chose by another number than the gathered RMSE, such as the average of the inner per-fold scores. Gather the inner predictions and compute one RMSE: the folds have different sizes.",
        "averaged": "You averaged the RMSE of the outer folds. Compute one RMSE over all rows.",
        "mse": "The root is missing: this is the MSE.",
        "largest": "You chose the penalty with the highest RMSE. Lower is better.",
        "indices": "You return the positions of the penalties. Return their values.",
        "no-refit": "You averaged the inner models. Train once more, on all rows outside the outer fold.",
        "swapped": "Return (score, chosen) in this order.",
    },
)


def _shrunk(X_train, y_train, X_test, lam):
    """Fit a small model with a penalty: one slope per column, each shrunk by lam."""
    X_train, y_train, X_test = to_numpy(X_train), to_numpy(y_train), to_numpy(X_test)
    slopes = X_train.T @ y_train / ((X_train**2).sum(axis=0) + float(lam))
    return X_test @ slopes


def _task(rng):
    """Draw a table and folds of different sizes."""
    order, X = rng.permutation(19), rng.normal(size=(19, 3))
    y = X @ rng.normal(scale=0.6, size=3) + rng.normal(size=19)
    return X, y, np.array([1.0, 3.0, 8.0, 20.0]), np.split(order, [7, 13, 16])


@functools.lru_cache(maxsize=8)  # every mistake meets the same task, and a search is slow
def _telling_task(*seed):
    """Draw a task in which the usual mistakes lead to other choices."""
    rng, mistakes = np.random.default_rng(seed), dict(nested_cv_score.mistakes)
    criteria = (
        _mean_rms, _mean_squares, _mean_absolute, lambda parts: -_rms(parts),
        lambda parts: _rms(parts[:1]), lambda parts: max(_rms([part]) for part in parts),
    )  # fmt: skip
    while True:
        task, inner = (_shrunk, *_task(rng)), []

        def gathered(parts, inner=inner):
            inner.append(parts)
            return _rms(parts)

        score, right = _nested(*task, criterion=gathered)
        # The first two and the last two differ: no fold may stand for another. Two digits of the
        # score are too few.
        if right[0] == right[1] or right[-1] == right[-2]:
            continue
        if abs(score - round(score, 2)) < 0.002 * score:
            continue
        lams, others = task[3], [np.reshape([f(e) for e in inner], (4, -1)) for f in criteria]
        choices = [lams[scores.argmin(axis=1)] for scores in others]
        if any((choice == right).all() for choice in choices):
            continue
        if not any((mistakes[name](*task)[1] == right).all() for name in ("outer-test", "leak")):
            return task


@nested_cv_score.check(
    points=3,
    hint="For each outer fold: choose lam by the gathered RMSE over the other folds, train once on all of them, predict the outer fold. At the end one RMSE over all rows.",
    more="With the folds A, B, C and A outside: for each penalty, predict B from C and C from B, and take one RMSE of both. Then predict A from B and C, with the best penalty.",
)
def scores_the_whole_procedure(ask, rng):
    """gives the nested RMSE and the penalty that each outer fold chose"""
    return ask(*_telling_task(*rng.bit_generator.seed_seq.entropy))


@nested_cv_score.check(
    points=2,
    hint="Only one call per outer fold may predict the outer fold: the one with the chosen penalty.",
    more="The inner calls never see a row of the outer fold, neither to train nor to predict.",
)
def looks_once_at_each_test_fold(ask, rng):
    """predicts each outer fold once, by a model trained on all other rows"""
    X, y, rows = _table(rng, 14)
    folds, calls = np.split(rng.permutation(14), [5, 10]), []

    def fit_predict(X_train, y_train, X_test, lam):
        train, test = rows(X_train), rows(X_test)
        calls.append((frozenset(train.tolist()), frozenset(test.tolist())))
        return _shrunk(X[train, 1:], y[train], X[test, 1:], lam)

    ask(fit_predict, X, y, np.array([0.5, 5.0, 50.0]), folds)
    sets = [frozenset(fold.tolist()) for fold in folds]
    whole = [calls.count((frozenset(range(14)) - fold, fold)) for fold in sets]
    inner = [calls.count((train, dev)) for train in sets for dev in sets if dev != train]
    return {
        "fits on all rows outside a fold, by the fold that they predict": whole,
        "fits on all rows outside two folds, by the pair": inner,
        "other fits": len(calls) - sum(whole) - sum(inner),
    }


@nested_cv_score.check(
    hint="With one penalty there is nothing to choose: the score is that of plain cross-validation.",
    more="chosen then holds that one penalty once per outer fold.",
)
def is_plain_cross_validation_without_a_choice(ask, rng):
    """is the plain out-of-sample RMSE when there is one penalty"""
    X, y, _, folds = _task(rng)
    return ask(_shrunk, X, y, np.array([rng.uniform(1, 3)]), folds)


# --- repair_cross_validation -----------------------------------------------------------------


def _cross_validate(
    X, y, folds, w, lr, steps, *, fresh="wb", scale_by="train", train_on="train", order=True,
    pooled=True, ddof=0, factor=2.0,
):  # fmt: skip
    start, b, everyone, gathered = w, 0.0, np.arange(len(y)), []
    for test in folds:
        rows = {"train": _outside(len(y), test), "all": everyone}
        seen, train = rows.get(scale_by), rows[train_on]
        Z = X if seen is None else (X - X[seen].mean(axis=0)) / X[seen].std(axis=0, ddof=ddof)
        w, b = (start if "w" in fresh else w), (0.0 if "b" in fresh else b)
        for _ in range(steps):
            residual = Z[train] @ w + b - y[train]
            w = w - lr * factor * Z[train].T @ residual / len(train)
            b = b - lr * factor * residual.mean()
        gathered.append(Z[test] @ w + b)
    errors = [predictions - y[test] for predictions, test in zip(gathered, folds, strict=True)]
    appended, in_place = np.concatenate(gathered), np.empty(len(y))
    in_place[np.concatenate(folds)] = appended
    return (in_place if order else appended), (_rms if pooled else _mean_rms)(errors)


def _centres_in_place(X, *rest):
    X -= X.mean(axis=0)  # the scaler of each turn undoes the effect
    return _cross_validate(X, *rest)


repair_cross_validation = chapter.exercise(
    "repair_cross_validation",
    _cross_validate,
    mistakes={
        "changes its input": _centres_in_place,
        "broken": vary(_cross_validate, fresh="", scale_by="all", order=False, pooled=False),
        "keeps-training": [vary(_cross_validate, fresh=reset) for reset in ("", "w", "b")],
        "scaler-all": vary(_cross_validate, scale_by="all"),
        "unordered": vary(_cross_validate, order=False),
        "averaged": vary(_cross_validate, pooled=False),
        "unbiased-sd": vary(_cross_validate, ddof=1),
        "in-sample": vary(_cross_validate, train_on="all"),
        "unscaled": vary(_cross_validate, scale_by=None),
        "half-gradient": vary(_cross_validate, factor=1.0),
        "scaler-and-training": vary(_cross_validate, scale_by="all", fresh=""),
    },
    hints={
        "changes its input": "Your function writes into an array that it was given, so whoever called it has lost those values. Make a new one: X = X - mean does, X -= mean does not.",
        "broken": "All four mistakes are still there: this is the answer of the broken loop.",
        "keeps-training": "Each turn continues with the weights or the bias of the turn before it, which has seen the test rows. Start every turn from w and a bias of 0.",
        "scaler-all": "The scaler is fitted on all rows, the test fold included. Use the training rows of the turn.",
        "unordered": "The predictions stand in the order of the folds. Write predictions[test] = ...",
        "averaged": "You averaged the RMSE of the folds. Compute one RMSE over all predictions.",
        "unbiased-sd": "Your standard deviation divides by the number of rows minus 1, as torch.std does by default. The broken loop divides by the number of rows: keep that.",
        "in-sample": "The model trains on all rows, so it has seen the test fold.",
        "unscaled": "The inputs are not scaled. Keep the scaler.",
        "half-gradient": "Your steps are half as long: the gradient of the mean squared error has a factor 2.",
        "scaler-and-training": "Two of the four are left: the scaler sees all rows, and the weights go on from turn to turn.",
    },
)


def _loop_task(rng):
    """Draw a table with correlated columns of various scales, uneven folds, and a start."""
    X = rng.normal(size=(15, 3)) @ rng.normal(size=(3, 3)) + 2 * rng.normal(size=3)
    y = 2 * X[:, 0] - X[:, 1] + 3 + rng.normal(size=15)
    y[rng.integers(0, 15)] += 12  # an outlier: its fold has a far larger RMSE than the others
    w = rng.normal(size=3)
    return X, y / 20, np.split(rng.permutation(15), [6, 11]), w / 20  # two digits are too few


@repair_cross_validation.check(
    points=3,
    hint="Compare with the broken loop: where are the scaler, w and b made, where do the predictions go, and what is averaged?",
    more="Ask of each line: does it see the test rows, does it remember the turn before? Then follow the prediction of one row to its place in the result.",
)
def repairs_all_four(ask, rng):
    """gives the out-of-sample predictions in order, and their RMSE"""
    return ask(*_loop_task(rng), 0.15, 4)


@repair_cross_validation.check(
    hint="The score must be the RMSE between the returned predictions and y.",
    more="Compute it once, after the loop: the root of the mean square of all n differences.",
    keeps_input=True,
)
def scores_what_it_returns(ask, rng):
    """reports the RMSE of the predictions that it returns"""
    X, y, folds, w = _loop_task(rng)
    predictions, score = outputs(ask(X, y, folds, w, 0.1, 2), (15,), ())
    return {"score / RMSE of the predictions": score / _rms([predictions - y])}


@repair_cross_validation.check(
    points=2,
    hint="Each turn must stand alone: whichever fold comes first, its model sees the same rows and starts from the same weights.",
    more="Set w and b at the top of the loop body, and make the optimizer there too.",
)
def is_the_same_in_any_order_of_turns(ask, rng):
    """gives the same predictions when the folds take turns in another order"""
    X, y, folds, w = _loop_task(rng)
    there, back = (
        outputs(ask(X, y, turns, w, 0.15, 4), (15,), ())[0] for turns in (folds, folds[::-1])
    )
    if np.ptp(there) < 1e-3 * np.ptp(y):
        raise Failed("predictions that differ from row to row", brief(there))
    return {"difference, in shares of the range of y": (back - there) / np.ptp(y)}


# --- repaired_score --------------------------------------------------------------------------

repaired_score = chapter.exercise(
    "repaired_score",
    hints={
        "in per cent": "Return the share of rows that are right, a number from 0 to 1, and not a percentage.",
        "seen rows": "The labels are coin tosses, and nothing leaks but the rows that are scored: your models were trained on them. Train on the other rows alone.",
        "filled by class": "The gaps tell the class: each was filled with a mean of the rows that have the same label, so the label of a test row stands in its inputs. A new row comes without a label: fill by the mean of all training rows of the turn.",
        "columns chosen on all rows": "The columns were chosen with the labels of the test rows. Choose them anew in every turn, by its training rows.",
        "patients in two folds": "Rows of one patient are alike and have one label. As long as some of them train while others are tested, the model recognizes the patient. Keep all rows of a patient in one fold.",
        "best of several reported": "Of several scores of coin tosses the best is above one half. The score that chose the number of columns cannot be reported as well: choose it within the training rows of each turn, or fix it before you look.",
        "nothing is found": "Your score stays near one half where the classes differ. Look for what the repair took away besides the leaks: the scaling, the best columns, the right labels.",
        "another score each time": "The same seed gives another score at the second call. Make a generator from the seed, and take every random number from it.",
    },
)


def _patients(rng, patients, visits, columns, missing=0.0, own=0.0, effect=0.0):
    """Draw X, y and the patient of each row. own: how much a patient's rows are alike.

    effect: the distance of the classes, in three columns.
    """
    patient = np.repeat(np.arange(patients), visits)
    y, telling = rng.permutation(np.arange(patients) % 2)[patient], rng.permutation(columns)[:3]
    X = own * rng.normal(size=(patients, columns))[patient] + rng.normal(size=(len(y), columns))
    X[:, telling] += effect * (y[:, None] - 0.5)
    X = X * np.geomspace(0.1, 10, columns) + rng.permutation(columns)
    X[rng.random(X.shape) < missing] = np.nan
    order = rng.permutation(len(y))
    return X[order], y[order], rng.permutation(900)[patient[order]]


def _mean_score(ask, tables, counts):
    """Ask for the score of each table; return the mean."""
    scores = [outputs(ask(*t, np.array(counts), i), ())[0] for i, t in enumerate(tables)]
    if max(scores) > 1:
        raise Failed("accuracies from 0 to 1", brief(max(scores)), "in per cent")
    return float(np.mean(scores))


def _finds_nothing(ask, rng, counts, mistake, bound, tables=16, **kind):
    """Judge the score of tables without anything to find, in which one thing can leak."""
    # Of the rows that train, the nearer mean tells far more than a half by heart.
    bare = _mean_score(ask, [_patients(rng, 24, 1, 12) for _ in range(10)], [12])
    if bare > 0.65:
        raise Failed("about 0.5 for coin tosses", f"{bare:.2f}", "seen rows")
    found = _mean_score(ask, [_patients(rng, **kind) for _ in range(tables)], counts)
    told = found >= bound
    return judge(0.3 < found < bound, "about 0.5 for coin tosses", f"{found:.2f}", {mistake: told})


@repaired_score.check(
    hint="Labels that are coin tosses can be told by nobody, so an honest score of many such tables is one half on average.",
    more="Take the means of the training rows of a turn, of both classes together, and fill the gaps of its training and test rows with them.",
)
def gaps_tell_nothing(ask, rng):
    """scores about one half when labels are coin tosses and many values are missing"""
    kind = {"patients": 40, "visits": 1, "columns": 6, "missing": 0.5}
    return _finds_nothing(ask, rng, [6], "filled by class", 0.61, **kind)


@repaired_score.check(
    hint="Labels that are coin tosses can be told by nobody, so an honest score of many such tables is one half on average.",
    more="The ranking of the columns belongs inside the loop over the folds, after the training rows of the turn are known.",
)
def noise_columns_tell_nothing(ask, rng):
    """scores about one half when labels are coin tosses and there are many columns"""
    kind = {"patients": 40, "visits": 1, "columns": 300}
    return _finds_nothing(ask, rng, [10], "columns chosen on all rows", 0.68, **kind)


@repaired_score.check(
    hint="Labels that are coin tosses can be told by nobody, so an honest score of many such tables is one half on average.",
    more="Deal the patients into folds, and not the rows: the test rows of a turn are all rows of its patients.",
)
def patients_stay_together(ask, rng):
    """scores about one half when each patient has a label by coin toss and several rows"""
    kind = {"tables": 20, "patients": 16, "visits": 6, "columns": 10, "own": 3.0}
    return _finds_nothing(ask, rng, [10], "patients in two folds", 0.65, **kind)


@repaired_score.check(
    hint="Labels that are coin tosses can be told by nobody, so an honest score of many such tables is one half on average.",
    more="Within each turn, a second loop over the patients who train can choose the number of columns; the patients who are tested take no part. Or take one number for all, without a look at its score.",
)
def trying_many_tells_nothing(ask, rng):
    """scores about one half when labels are coin tosses and many numbers of columns are tried"""
    kind = {"tables": 100, "patients": 16, "visits": 1, "columns": 144}
    counts = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144]
    return _finds_nothing(ask, rng, counts, "best of several reported", 0.565, **kind)


def _right(X, y, X_new, y_new, count):
    """Return the accuracy on new rows of the notebook's classifier, trained once on all rows."""
    means, scale = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
    X, X_new = (np.where(np.isnan(part), means, part) / scale for part in (X, X_new))
    centres = np.stack([X[y == label].mean(axis=0) for label in (0, 1)])
    columns = np.argsort(-np.ptp(centres, axis=0))[:count]
    far = ((X_new[:, None, columns] - centres[:, columns]) ** 2).sum(axis=2)
    return (far.argmin(axis=1) == y_new).mean()


@repaired_score.check(
    points=2,
    hint="The score must be about the accuracy of the same classifier, trained on the whole table, on patients whom the table does not have.",
    more="Scale the columns, and keep those whose class means lie furthest apart, as the notebook does: by the training rows of each turn.",
)
def tells_the_accuracy_on_new_patients(ask, rng):
    """scores about what the classifier reaches on new patients, when there is something to find"""
    tables, truth, counts = [], [], [4, 6, 9]
    for _ in range(12):
        X, y, patient = _patients(rng, 240, 2, 20, missing=0.15, own=0.5, effect=2.2)
        here = np.isin(patient, np.unique(patient)[:40])
        tables.append((X[here], y[here], patient[here]))
        truth += [_right(X[here], y[here], X[~here], y[~here], count) for count in counts]
    found, right = _mean_score(ask, tables, counts), float(np.mean(truth))
    mistakes = {"nothing is found": found < min(0.6, right - 0.08)}
    return judge(abs(found - right) < 0.08, f"{right:.2f} within 0.08", f"{found:.2f}", mistakes)


@repaired_score.check(
    hint="Take every random number from a generator that is made from the seed.",
    more="np.random.default_rng(seed) is such a generator. A repair that needs no random numbers is fine as well.",
)
def repeats_its_score(ask, rng):
    """gives the same score for the same table and seed"""
    table = _patients(rng, 24, 2, 12, missing=0.1)
    scores = {float(outputs(ask(*table, np.array([3, 6]), 5), ())[0]) for _ in range(4)}
    return judge(
        len(scores) == 1, "one score", brief(tuple(scores)), {"another score each time": True}
    )
