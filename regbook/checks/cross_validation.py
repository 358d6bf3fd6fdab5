"""Checks of chapter 02, K-fold and out-of-sample scores."""

import numpy as np

from regbook.arrays import to_numpy
from regbook.check import Chapter, Outcome, Wrong, brief, compare, outputs

chapter = Chapter("02_cross_validation")


def _folds(received, n, k):
    """Return an answer as a list of k integer arrays, or the Outcome that says what it is not."""
    expected = f"{k} arrays of row numbers"
    if isinstance(received, np.ndarray) and received.shape == (n,):
        return None, Outcome(
            False,
            expected,
            brief(received),
            "labels",
            "You return one number per row. Return the rows of each fold: a list of k arrays.",
        )
    if isinstance(received, np.ndarray) and received.ndim == 2:
        received = tuple(received)
    if isinstance(received, tuple) and any(isinstance(item, tuple) for item in received):
        return None, Outcome(
            False,
            expected,
            brief(received),
            "pairs",
            "You return several arrays per fold. Return only its own rows: everybody else trains.",
        )
    if not isinstance(received, tuple) or len(received) != k:
        return None, Outcome(
            False, expected, brief(received), "form", f"Return a list of {k} arrays, one per fold."
        )
    if any(isinstance(f, str | dict) or f.ndim != 1 or f.dtype.kind not in "iu" for f in received):
        return None, Outcome(
            False, expected, brief(received), "form", "Each fold is one array of whole numbers."
        )
    return list(received), None


def _neighbours(folds, n):
    """Count the rows whose next row is in the same fold."""
    fold_of = np.zeros(n, int)
    for j, fold in enumerate(folds):
        fold_of[fold] = j
    return int((fold_of[1:] == fold_of[:-1]).sum())


@chapter.check(
    "kfold_indices",
    points=2,
    hint="Put all folds together: each number from 0 to n - 1 must occur once.",
    more="Shuffle once, then cut: np.array_split(np.random.default_rng(seed).permutation(n), k).",
)
def deals_every_row_once(answer, rng):
    """puts each of the rows 0 to n - 1 into exactly one of k folds"""
    n, k = 23, int(rng.integers(4, 7))
    folds, fault = _folds(answer(n, k, 5), n, k)
    if fault:
        return fault
    dealt = np.concatenate(folds)
    expected, received = f"the rows 0 to {n - 1}, each once", f"{len(dealt)} rows"
    if len(dealt) == n * (k - 1):
        return Outcome(
            False,
            expected,
            received,
            "train-rows",
            "You return the training rows of each turn. Return the rows of the fold itself.",
        )
    if np.array_equal(np.sort(dealt), np.arange(1, n + 1)):
        return Outcome(
            False, expected, f"rows 1 to {n}", "from-one", "Row numbers start at 0: use range(n)."
        )
    if len(set(dealt.tolist())) < len(dealt):
        return Outcome(
            False,
            expected,
            f"{len(dealt) - len(set(dealt.tolist()))} rows twice",
            "overlap",
            "Some rows are in two folds. Shuffle once and cut; do not draw each fold anew.",
        )
    if len(dealt) < n:
        return Outcome(
            False,
            expected,
            received,
            "dropped",
            "n need not be a multiple of k: your folds leave out the remainder.",
        )
    return compare(np.sort(dealt), np.arange(n))


@chapter.check(
    "kfold_indices",
    hint="The sizes may differ by one at most: the remainder of n / k is dealt one row at a time.",
    more="np.array_split does that, and so does order[fold::k].",
)
def makes_equal_folds(answer, rng):
    """makes folds whose sizes differ by one at most"""
    for n, k in ((10, 5), (19, 5), (int(rng.integers(30, 40)), 8)):
        folds, fault = _folds(answer(n, k, 1), n, k)
        if fault:
            return fault
        sizes = sorted(len(fold) for fold in folds)
        expected, received = "sizes that differ by 1 or less", f"sizes {sizes}"
        if sizes[-1] - sizes[0] > 1:
            return Outcome(
                False,
                expected,
                received,
                "uneven",
                (
                    "One fold gets the whole remainder, or each row draws its fold by itself. "
                    "Deal the rows evenly."
                ),
            )
        if sum(sizes) != n:
            return Outcome(False, f"{n} rows in all", received)
    return Outcome(True, expected, received)


@chapter.check(
    "kfold_indices",
    points=2,
    hint="Shuffle the rows before you cut them into folds.",
    more="A table is often sorted. Use np.random.default_rng(seed).permutation(n).",
)
def shuffles_the_rows(answer, rng):
    """deals at random: neighbours share a fold about as often as any two rows"""
    n, k = 60, 3
    counts = []
    for seed in rng.integers(0, 10_000, size=3):
        folds, fault = _folds(answer(n, k, int(seed)), n, k)
        if fault:
            return fault
        rows = np.concatenate(folds)
        if rows.min() < 0 or rows.max() >= n:
            return Outcome(False, f"rows from 0 to {n - 1}", f"rows up to {rows.max()}")
        counts.append(_neighbours(folds, n))
    mean = np.mean(counts)  # 19 expected; one deal has a standard deviation of 3.6
    expected, received = "about 19 of 59 neighbours together", f"{mean:.0f}"
    if 8 < mean < 30:
        return Outcome(True, expected, received)
    return Outcome(
        False,
        expected,
        received,
        "unshuffled",
        "Your folds follow the order of the table: blocks, or every k-th row. Shuffle first.",
    )


@chapter.check(
    "kfold_indices",
    hint="Make a generator from the seed inside the function, and take every random number from it.",
    more="np.random.default_rng(seed) is such a generator.",
)
def follows_the_seed(answer, rng):
    """gives the same folds for the same seed and others for another"""
    n, k = 40, 4
    seed = int(rng.integers(0, 1000))
    made = []
    for s in (seed, seed, seed + 1):
        folds, fault = _folds(answer(n, k, s), n, k)
        if fault:
            return fault
        made.append([frozenset(fold.tolist()) for fold in folds])
    if made[0] != made[1]:
        return Outcome(
            False,
            "the same folds twice",
            "other folds",
            "unseeded",
            "The same seed gives other folds at the second call: nobody could repeat your score.",
        )
    if set(made[0]) == set(made[2]):
        return Outcome(
            False,
            "other folds for another seed",
            "the same folds",
            "fixed",
            "Another seed gives the same folds: the argument seed has no effect.",
        )
    return Outcome(True, "folds that follow the seed", "folds that follow the seed")


class _Recorder:
    """A table and a `fit_predict` that remembers which rows it was given.

    The first column of X holds a number by which a row is known; its targets are known as well.
    """

    def __init__(self, rng, n, d=3):
        self.X = rng.normal(size=(n, d))
        self.X[:, 0] = rng.permutation(n) + 100
        self.y = rng.normal(size=n)
        self.row = {int(number): i for i, number in enumerate(self.X[:, 0])}
        self.calls = []

    def rows(self, X):
        """Return the row numbers of a part of X."""
        X = to_numpy(X)
        if X.ndim != 2 or X.shape[1] != self.X.shape[1]:
            raise ValueError(f"fit_predict got X of shape {X.shape}: pass rows of X")
        return np.array([self.row[round(number)] for number in X[:, 0].tolist()], int)

    def predict(self, X_train, y_train, X_test):
        """Note the call; return predictions that depend on both parts."""
        train, test = self.rows(X_train), self.rows(X_test)
        y_train = to_numpy(y_train)
        aligned = y_train.shape == train.shape and np.allclose(y_train, self.y[train], atol=1e-5)
        predictions = self.X[test, 1] + 3 * self.y[train].mean()
        self.calls.append((train, test, aligned, predictions))
        return predictions


def _oos(answer, rng, n, k, seed=3):
    """Run the learner's cross-validation; return the recorder and the answer."""
    recorder = _Recorder(rng, n)

    def fit_predict(X_train, y_train, X_test):  # a method would be copied with its recorder
        return recorder.predict(X_train, y_train, X_test)

    return recorder, answer(fit_predict, recorder.X, recorder.y, k, seed)


@chapter.check(
    "out_of_sample_predictions",
    points=3,
    hint="In each turn: test = the rows of one fold, train = all other rows.",
    more="predictions[test] = fit_predict(X[train], y[train], X[test]), once per fold.",
)
def predicts_unseen_rows(answer, rng):
    """trains on all rows outside a fold, predicts the rows of the fold, once per fold"""
    n, k = 23, int(rng.integers(4, 6))
    recorder, _ = _oos(answer, rng, n, k)
    calls, everyone = recorder.calls, np.arange(n)
    expected = f"{k} turns, each row predicted once, unseen"
    if any(not aligned for _, _, aligned, _ in calls):
        return Outcome(
            False,
            expected,
            "X_train and y_train of different rows",
            "misaligned",
            "The targets do not belong to the rows: index X and y with the same row numbers.",
        )
    if any(np.intersect1d(train, test).size for train, test, _, _ in calls):
        return Outcome(
            False,
            expected,
            "test rows among the training rows",
            "seen",
            (
                "A model is asked about rows that it was trained on. Take the fold out of the "
                "training rows."
            ),
        )
    if calls and all(len(test) > len(train) for train, test, _, _ in calls):
        return Outcome(
            False,
            expected,
            "training on one fold, prediction of the rest",
            "swapped",
            "Train and test are swapped: the fold is predicted, all other rows train.",
        )
    if len(calls) != k:
        return Outcome(
            False,
            expected,
            f"{len(calls)} calls",
            "calls",
            f"Call fit_predict once per fold: {k} times.",
        )
    times = np.bincount(np.concatenate([test for _, test, _, _ in calls]), minlength=n)
    if (times != 1).any():
        return Outcome(
            False,
            expected,
            f"{(times == 0).sum()} rows never predicted, {(times > 1).sum()} more than once",
            "dropped",
            "Every row needs its turn, also when n is not a multiple of k.",
        )
    if any(len(train) + len(test) < n for train, test, _, _ in calls):
        return Outcome(
            False,
            expected,
            "rows that take no part",
            "part",
            "All rows outside the fold train the model, not only one other fold.",
        )
    sizes = [len(test) for _, test, _, _ in calls]
    if max(sizes) - min(sizes) > 1:
        return Outcome(
            False,
            expected,
            f"fold sizes {sorted(sizes)}",
            "uneven",
            "The sizes of the folds may differ by one at most.",
        )
    return compare(np.sort(np.concatenate([test for _, test, _, _ in calls])), everyone)


@chapter.check(
    "out_of_sample_predictions",
    points=2,
    hint="Entry i of the result is the prediction for row i of X.",
    more="Start with predictions = np.empty(len(y)) and write predictions[test] = ...",
)
def keeps_the_order(answer, rng):
    """puts each prediction in the place of its row"""
    recorder, received = _oos(answer, rng, 17, 4)
    expected = np.full(17, np.nan)
    for _, test, _, predictions in recorder.calls:
        expected[test] = predictions
    if np.isnan(expected).any():
        return Outcome(False, "a prediction for each of 17 rows", brief(received))
    gathered = np.concatenate([predictions for _, _, _, predictions in recorder.calls])
    return compare(
        received,
        expected,
        wrong=[
            Wrong(
                "unordered",
                gathered,
                "The predictions stand in the order of the folds. Put them back: "
                "predictions[test] = ...",
            ),
            Wrong(
                "averaged",
                np.full(17, expected.mean()),
                "You averaged the predictions. Keep one per row.",
            ),
            Wrong(
                "errors",
                expected - recorder.y,
                "You return errors. Return the predictions; the score comes later.",
            ),
        ],
    )


@chapter.check(
    "out_of_sample_predictions",
    hint="The folds come from a shuffle by a generator that is made from the seed.",
    more="Use np.random.default_rng(seed).permutation(len(y)) to assign rows to folds.",
)
def shuffles_by_the_seed(answer, rng):
    """shuffles the rows by the seed: the same seed repeats the folds, another changes them"""
    n, k = 60, 3
    made, counts = [], []
    for seed in (8, 8, 9):
        recorder, _ = _oos(answer, rng, n, k, seed)
        folds = [test for _, test, _, _ in recorder.calls]
        made.append({frozenset(test.tolist()) for test in folds})
        counts.append(_neighbours(folds, n))
    if made[0] == made[2] and not 8 < np.mean(counts) < 30:
        return Outcome(
            False,
            "about 19 of 59 neighbours together",
            f"{np.mean(counts):.0f}",
            "unshuffled",
            "Your folds follow the order of the table. Shuffle the rows first.",
        )
    if made[0] != made[1]:
        return Outcome(
            False,
            "the same folds twice",
            "other folds",
            "unseeded",
            "The same seed gives other folds at the second call. Make the generator from the seed.",
        )
    if made[0] == made[2]:
        return Outcome(
            False,
            "other folds for another seed",
            "the same folds",
            "fixed",
            "Another seed gives the same folds: the argument seed has no effect.",
        )
    return Outcome(True, "folds that follow the seed", "folds that follow the seed")


def _shrunk(X_train, y_train, X_test, lam):
    """A small model with a penalty: one slope per column, each shrunk by lam."""
    X_train, y_train, X_test = to_numpy(X_train), to_numpy(y_train), to_numpy(X_test)
    slopes = X_train.T @ y_train / ((X_train**2).sum(axis=0) + float(lam))
    return X_test @ slopes


class _Nested:
    """The nested score of one small data set, and what the usual mistakes make of it."""

    def __init__(self, rng):
        order = rng.permutation(19)
        self.folds = [order[:7], order[7:13], order[13:16], order[16:]]
        self.X = rng.normal(size=(19, 3))
        self.y = self.X @ rng.normal(scale=0.6, size=3) + rng.normal(size=19)
        self.lams = np.array([1.0, 3.0, 8.0, 20.0])

    def errors(self, test, lam, *left_out):
        """Return the errors on test of a model trained on all folds but those left out."""
        train = np.concatenate([f for f in self.folds if not any(f is o for o in left_out)])
        return _shrunk(self.X[train], self.y[train], self.X[test], lam) - self.y[test]

    def others(self, outer):
        """Return the inner folds of an outer one."""
        return [fold for fold in self.folds if fold is not outer]

    def choose(self, parts, score):
        """Return one penalty per outer fold: the lowest score of parts(outer, lam)."""
        return np.array(
            [
                self.lams[np.argmin([score(parts(outer, lam)) for lam in self.lams])]
                for outer in self.folds
            ]
        )

    def inner(self, outer, lam):
        """Return the errors of each inner fold."""
        return [self.errors(dev, lam, outer, dev) for dev in self.others(outer)]

    def leaking(self, outer, lam):
        """Return the same, with the outer test rows among the training rows."""
        return [self.errors(dev, lam, dev) for dev in self.others(outer)]

    def peeking(self, outer, lam):
        """Return the errors of the outer fold itself."""
        return [self.errors(outer, lam, outer)]

    def outer(self, chosen):
        """Return the errors of each outer fold."""
        pairs = zip(self.folds, chosen, strict=True)
        return [self.errors(fold, lam, fold) for fold, lam in pairs]

    def without_refit(self, chosen):
        """Return the errors of each outer fold when the inner models are averaged."""
        return [
            np.mean([self.errors(outer, lam, outer, dev) for dev in self.others(outer)], axis=0)
            for outer, lam in zip(self.folds, chosen, strict=True)
        ]


def _rms(parts):
    return np.sqrt((np.concatenate(parts) ** 2).mean())


def _mean_rms(parts):
    return np.mean([_rms([part]) for part in parts])


def _choices(rng):
    """Draw a task in which each mistake leads to other choices; return it and the choices."""
    while True:
        task = _Nested(rng)
        inner = {(f[0], lam): task.inner(f, lam) for f in task.folds for lam in task.lams}

        def gathered(outer, lam, inner=inner):
            return inner[outer[0], lam]

        right = task.choose(gathered, _rms)
        averaged = task.choose(gathered, _mean_rms)
        # The first two and the last two differ: no fold may stand for another.
        if right[0] == right[1] or right[-1] == right[-2] or (averaged == right).all():
            continue
        mistakes = {
            "averaged": averaged,
            "largest": task.choose(gathered, lambda parts: -_rms(parts)),
            "test": task.choose(task.peeking, _rms),
            "leak": task.choose(task.leaking, _rms),
        }
        if not any((chosen == right).all() for chosen in mistakes.values()):
            return task, right, mistakes


@chapter.check(
    "nested_cv_score",
    points=3,
    hint="For each outer fold: choose lam by the gathered RMSE over the other folds, train once on "
    "all of them, predict the outer fold. At the end one RMSE over all rows.",
    more="Inner scores: for dev in inner, train on np.setdiff1d(train, dev), predict dev. "
    "chosen = lams[np.argmin(scores)]. Then fit_predict(X[train], y[train], X[outer], chosen).",
)
def scores_the_whole_procedure(answer, rng):
    """gives the nested RMSE and the penalty that each outer fold chose"""
    task, right, mistakes = _choices(rng)
    parts = task.outer(right)
    plain = [_rms(task.outer([lam] * 4)) for lam in task.lams]
    best = task.lams[np.argmin(plain)]
    indices = np.searchsorted(task.lams, right)
    return compare(
        answer(_shrunk, task.X, task.y, task.lams, task.folds),
        (_rms(parts), right),
        wrong=[
            Wrong(
                "non-nested",
                (min(plain), np.full(4, best)),
                "This is the score of the best penalty on the folds that chose it: too good. "
                "Choose anew for each outer fold, without that fold.",
            ),
            Wrong(
                "outer-test",
                (_rms(task.outer(mistakes["test"])), mistakes["test"]),
                "Each outer fold chose its penalty by its own test rows. Choose on the other folds.",
            ),
            Wrong(
                "leak",
                (_rms(task.outer(mistakes["leak"])), mistakes["leak"]),
                "The inner models were trained on the outer test rows as well. Take both the outer "
                "and the inner fold out of their training rows.",
            ),
            Wrong(
                "inner-averaged",
                (_rms(task.outer(mistakes["averaged"])), mistakes["averaged"]),
                "You chose by the average of the inner per-fold scores. Gather the inner "
                "predictions and compute one RMSE: the folds have different sizes.",
            ),
            Wrong(
                "averaged",
                (_mean_rms(parts), right),
                "You averaged the RMSE of the outer folds. Compute one RMSE over all rows.",
            ),
            Wrong("mse", (_rms(parts) ** 2, right), "The root is missing: this is the MSE."),
            Wrong(
                "largest",
                (_rms(task.outer(mistakes["largest"])), mistakes["largest"]),
                "You chose the penalty with the highest RMSE. Lower is better.",
            ),
            Wrong(
                "indices",
                (_rms(parts), indices),
                "You return the positions of the penalties. Return their values.",
            ),
            Wrong(
                "no-refit",
                (_rms(task.without_refit(right)), right),
                "You averaged the inner models. Train once more, on all rows outside the outer fold.",
            ),
            Wrong(
                "swapped",
                (right, _rms(parts)),
                "Return (score, chosen) in this order.",
            ),
        ],
    )


@chapter.check(
    "nested_cv_score",
    points=2,
    hint="Only one call per outer fold may predict the outer fold: the one with the chosen penalty.",
    more="The inner calls never see a row of the outer fold, neither to train nor to predict.",
)
def looks_once_at_each_test_fold(answer, rng):
    """predicts each outer fold once, by a model trained on all other rows"""
    recorder = _Recorder(rng, 14)
    order = rng.permutation(14)
    folds, lams = [order[:5], order[5:10], order[10:]], np.array([0.5, 5.0, 50.0])
    calls = []

    def fit_predict(X_train, y_train, X_test, lam):
        train, test = recorder.rows(X_train), recorder.rows(X_test)
        calls.append((frozenset(train.tolist()), frozenset(test.tolist())))
        return _shrunk(recorder.X[train, 1:], recorder.y[train], recorder.X[test, 1:], lam)

    answer(fit_predict, recorder.X, recorder.y, lams, folds)
    expected = "3 fits on all rows outside a fold, 18 inner fits"
    received = f"{sum(len(a | b) == 14 for a, b in calls)} and {len(calls)} in all"
    if any(train & test for train, test in calls):
        return Outcome(
            False,
            expected,
            "test rows among the training rows",
            "in-sample",
            "A model was scored on rows that it was trained on.",
        )
    final = sorted(sorted(test) for train, test in calls if len(train | test) == 14)
    if final != sorted(sorted(fold.tolist()) for fold in folds):
        return Outcome(False, expected, received)
    inner = {
        (frozenset(a.tolist()), frozenset(b.tolist())) for a in folds for b in folds if a is not b
    }
    seen = [call for call in calls if len(call[0] | call[1]) < 14]
    if {(train, test) for train, test in seen} != inner or len(seen) != 18:
        return Outcome(False, expected, received)
    return Outcome(True, expected, received)


@chapter.check(
    "nested_cv_score",
    hint="With one penalty there is nothing to choose: the score is that of plain cross-validation.",
    more="chosen then holds that one penalty once per outer fold.",
)
def is_plain_cross_validation_without_a_choice(answer, rng):
    """is the plain out-of-sample RMSE when there is one penalty"""
    task = _Nested(rng)
    lam = rng.uniform(1, 3)
    return compare(
        answer(_shrunk, task.X, task.y, np.array([lam]), task.folds),
        (_rms(task.outer([lam] * 4)), np.full(4, lam)),
    )


def _cross_validate(
    X, y, folds, w, lr, steps, *, fresh=True, scaler="train", order=True, pooled=True,
    ddof=0, train_on="others", factor=2.0,
):  # fmt: skip
    """Return predictions and score of the repaired loop, or of one with some bugs left in it."""
    start, b = w, 0.0
    gathered, scores = [], []
    for test in folds:
        train = np.setdiff1d(np.arange(len(y)), test)
        rows = {"train": train, "all": np.arange(len(y)), "none": train}[scaler]
        mean, sd = X[rows].mean(axis=0), X[rows].std(axis=0, ddof=ddof)
        Z = X if scaler == "none" else (X - mean) / sd
        if train_on == "all":
            train = np.arange(len(y))
        if fresh:
            w, b = start, 0.0
        for _ in range(steps):
            residual = Z[train] @ w + b - y[train]
            w = w - lr * factor * Z[train].T @ residual / len(train)
            b = b - lr * factor * residual.mean()
        gathered.append(Z[test] @ w + b)
        scores.append(np.sqrt(((gathered[-1] - y[test]) ** 2).mean()))
    appended, in_place = np.concatenate(gathered), np.empty(len(y))
    in_place[np.concatenate(folds)] = appended
    score = np.sqrt(((in_place - y) ** 2).mean()) if pooled else np.mean(scores)
    return (in_place if order else appended), score


def _loop_task(rng):
    """Draw a table with correlated columns of various scales, uneven folds, and a start."""
    X = rng.normal(size=(15, 3)) @ rng.normal(size=(3, 3)) + 2 * rng.normal(size=3)
    y = 2 * X[:, 0] - X[:, 1] + 3 + rng.normal(size=15)
    y[rng.integers(0, 15)] += 12  # an outlier: its fold has a far larger RMSE than the others
    order = rng.permutation(15)
    return X, y, [order[:6], order[6:11], order[11:]], rng.normal(size=3)


@chapter.check(
    "repair_cross_validation",
    points=3,
    hint="Compare with the broken loop: where are the scaler, w and b made, where do the predictions "
    "go, and what is averaged?",
    more="Inside the loop: mean and sd of X[train]; w and b from the start; predictions[test] = ... "
    "After the loop: one RMSE over all rows.",
)
def repairs_all_four(answer, rng):
    """gives the out-of-sample predictions in order, and their RMSE"""
    X, y, folds, w = _loop_task(rng)
    task = (X, y, folds, w, 0.15, 4)

    def variant(**bugs):
        return _cross_validate(*task, **bugs)

    return compare(
        answer(*task),
        variant(),
        wrong=[
            Wrong(
                "broken",
                variant(fresh=False, scaler="all", order=False, pooled=False),
                "All four mistakes are still there: this is the answer of the broken loop.",
            ),
            Wrong(
                "keeps-training",
                variant(fresh=False),
                "Each turn continues with the weights of the turn before it, which has seen the "
                "test rows. Start every turn from w and a bias of 0.",
            ),
            Wrong(
                "scaler-all",
                variant(scaler="all"),
                "The scaler is fitted on all rows, the test fold included. Use the training rows "
                "of the turn.",
            ),
            Wrong(
                "unordered",
                (variant(order=False)[0], variant()[1]),
                "The predictions stand in the order of the folds. Write predictions[test] = ...",
            ),
            Wrong(
                "averaged",
                variant(pooled=False),
                "You averaged the RMSE of the folds. Compute one RMSE over all predictions.",
            ),
            Wrong(
                "unbiased-sd",
                variant(ddof=1),
                "Your standard deviation divides by the number of rows less one, the default of "
                "torch.std. Use unbiased=False.",
            ),
            Wrong(
                "in-sample",
                variant(train_on="all"),
                "The model trains on all rows, so it has seen the test fold.",
            ),
            Wrong(
                "unscaled", variant(scaler="none"), "The inputs are not scaled. Keep the scaler."
            ),
            Wrong(
                "half-gradient",
                variant(factor=1.0),
                "Your steps are half as long: the gradient of the mean squared error has a factor 2.",
            ),
            Wrong(
                "scaler-and-training",
                variant(scaler="all", fresh=False),
                "Two of the four are left: the scaler sees all rows, and the weights go on from "
                "turn to turn.",
            ),
        ],
    )


@chapter.check(
    "repair_cross_validation",
    hint="The score must be the RMSE between the returned predictions and y.",
    more="np.sqrt(((predictions - y) ** 2).mean()), after the loop.",
)
def scores_what_it_returns(answer, rng):
    """reports the RMSE of the predictions that it returns"""
    X, y, folds, w = _loop_task(rng)
    predictions, score = outputs(answer(X, y, folds, w, 0.1, 2), (15,), ())
    per_fold = [np.sqrt(((predictions[f] - y[f]) ** 2).mean()) for f in folds]
    return compare(
        score,
        np.sqrt(((predictions - y) ** 2).mean()),
        wrong=[
            Wrong(
                "averaged",
                np.mean(per_fold),
                "You averaged the RMSE of the folds. Compute one RMSE over all predictions.",
            )
        ],
    )


@chapter.check(
    "repair_cross_validation",
    points=2,
    hint="Each turn must stand alone: whichever fold comes first, its model sees the same rows and "
    "starts from the same weights.",
    more="Set w and b at the top of the loop body, and make the optimizer there too.",
)
def is_the_same_in_any_order_of_turns(answer, rng):
    """gives the same predictions when the folds take turns in another order"""
    X, y, folds, w = _loop_task(rng)
    received = answer(X, y, folds[::-1], w, 0.15, 4)
    right = _cross_validate(X, y, folds, w, 0.15, 4)[0]
    there = outputs(answer(X, y, folds, w, 0.15, 4), (15,), ())[0]
    back = outputs(received, (15,), ())[0]
    outcome = compare(back, there)
    if outcome.passed and np.ptp(there) < 1e-3 * np.ptp(right):
        return Outcome(False, brief(right), brief(there))
    return outcome
