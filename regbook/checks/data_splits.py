"""Checks of chapter 01, train, dev and test sets."""

import itertools

import numpy as np

from regbook.check import AnswerError, Chapter, Outcome, Wrong, brief, compare, outputs

chapter = Chapter("01_data_splits")


def _parts(received, number):
    """Return an answer as a list of integer arrays, one for each part.

    Raises AnswerError, with a sentence, for another form.
    """
    if isinstance(received, np.ndarray) and received.ndim == 2:
        received = tuple(received)  # parts of equal size in a list
    if not isinstance(received, tuple) or len(received) != number:
        raise AnswerError(f"Return {number} arrays of row numbers, one for each part.")
    parts = []
    for rows in received:
        if isinstance(rows, tuple | dict | str):
            raise AnswerError("Each part must be one array of row numbers.")
        rows = np.asarray(rows)
        if rows.dtype == bool:
            raise AnswerError(
                "Return row numbers and no mask of True and False: np.flatnonzero(mask)."
            )
        if rows.ndim != 1 or not (rows == np.round(rows)).all():
            raise AnswerError("Each part must be a one-dimensional array of row numbers.")
        parts.append(rows.astype(int))
    return parts


def _fault(parts, values):
    """Return the Outcome of parts that do not hold every row once, else None.

    values: what belongs to the rows, to recognise an answer that returns them instead.
    """
    rows, m = np.concatenate(parts), len(values)
    expected = f"each row from 0 to {m - 1} once"

    def failed(received, key, hint):
        return Outcome(False, expected, received, key, hint)

    if len(rows) == m and (np.sort(rows) == np.sort(values)).all():
        hint = "You returned the values of the rows. Return their row numbers, their places in the array."
        return failed("values", "values", hint)
    if len(rows) and (rows.min() < 0 or rows.max() >= m):
        hint = "Row numbers run from 0 to the number of rows minus 1: np.flatnonzero gives them."
        return failed(f"a row {rows.max()}", "outside", hint)
    twice = len(rows) - len(np.unique(rows))
    if twice:
        hint = "A row is in two parts, or twice in one. Shuffle once, then cut: do not draw each part anew."
        return failed(f"{twice} rows twice", "overlap", hint)
    if len(rows) < m:
        hint = "Rows were lost. Cut at len(parts) - 1 places, so that the last part takes what is left."
        return failed(f"{m - len(rows)} rows in no part", "lost", hint)
    return None


def _same(parts, others):
    return all(np.array_equal(np.sort(a), np.sort(b)) for a, b in zip(parts, others, strict=True))


def _follows_the_seed(first, again, other):
    """Check that one seed gives one split, and another seed another."""
    expected = "one split for a seed, another for another"
    if not _same(first, again):
        hint = "Two calls with the same seed gave two splits. Make the generator from the seed: np.random.default_rng(seed)."
        return Outcome(False, expected, "two splits for one seed", "unseeded", hint)
    if _same(first, other):
        hint = "Two seeds gave the same split. Make the generator from the argument seed."
        return Outcome(False, expected, "one split for two seeds", "seed-ignored", hint)
    return Outcome(True, expected, expected)


def _labels(rng, counts):
    """Draw a label array in mixed order; the classes are no consecutive numbers."""
    names = 3 + 4 * np.arange(len(counts))
    return rng.permutation(np.repeat(names, counts))


@chapter.check(
    "stratified_split",
    hint="Together the parts must hold each row number exactly once.",
    more="For each class: rows = rng.permutation(np.flatnonzero(y == label)), then "
    "np.split(rows, cuts).",
)
def every_row_once(answer, rng):
    """puts every row into exactly one part"""
    # 7 and 9 rows: the shares are no whole numbers.
    for counts, fractions in (((20, 7, 9), [0.5, 0.25, 0.25]), ((12, 11), [0.7, 0.3])):
        y = _labels(rng, counts)
        parts = _parts(answer(y, fractions, int(rng.integers(1000))), len(fractions))
        fault = _fault(parts, y)
        if fault:
            return fault
    return Outcome(True, "each row once", "each row once")


@chapter.check(
    "stratified_split",
    points=2,
    hint="Count each class in each part: it must be its share of that class, give or take one row.",
    more="Shuffle and cut the rows of each class on their own, then join the pieces part by part.",
)
def every_class_in_its_share(answer, rng):
    """gives each part its share of every class"""
    # In floating point 0.7 + 0.1 is a little less than 0.8.
    for counts, fractions, slack in (
        ((60, 30, 10), [0.6, 0.2, 0.2], 0.01),
        ((45, 13), [0.8, 0.2], 1),
        ((40, 20, 10), [0.7, 0.1, 0.2], 0.01),
    ):
        y = _labels(rng, counts)
        parts = _parts(answer(y, fractions, int(rng.integers(1000))), len(fractions))
        fault = _fault(parts, y)
        if fault:
            return fault
        held = np.array([[(y[rows] == name).sum() for name in np.unique(y)] for rows in parts])
        share = np.outer(fractions, counts)
        expected = " / ".join(str(row) for row in share.round(1).tolist())
        received = " / ".join(str(row) for row in held.tolist())
        if np.abs(held - share).max() <= slack:
            continue
        if np.abs(held - share).max() < 1.5:
            hint = "One row off, although the shares are whole numbers. Round the cuts: np.cumsum([0.7, 0.1]) * 10 is 7.999..., and astype(int) makes it 7."
            return Outcome(False, expected, received, "cut-off", hint)
        sizes = held.sum(axis=1)
        if np.abs(sizes - share.sum(axis=1)).max() <= len(counts):
            hint = "The parts have the right sizes, but not the right classes: a random cut leaves the rare class to chance. Cut each class on its own."
            return Outcome(False, expected, received, "unstratified", hint)
        if np.abs(sizes[::-1] - share.sum(axis=1)).max() <= len(counts):
            hint = "The parts come in the wrong order: part i belongs to fractions[i]."
            return Outcome(False, expected, received, "reversed", hint)
        if np.ptp(sizes) <= len(counts):
            hint = "The parts are equally large. Cut at the cumulated fractions: np.cumsum(fractions)[:-1]."
            return Outcome(False, expected, received, "equal-parts", hint)
        return Outcome(False, expected, received)
    return Outcome(True, expected, received)


@chapter.check(
    "stratified_split",
    hint="The rows of each class must be shuffled by a generator made from the seed.",
    more="rng = np.random.default_rng(seed) once, and rng.permutation(...) for each class.",
)
def stratified_at_random(answer, rng):
    """draws the rows at random, and the same rows again for the same seed"""
    y, fractions = _labels(rng, (24, 16)), [0.5, 0.25, 0.25]
    seed = int(rng.integers(1000))
    first, again, other = (_parts(answer(y, fractions, s), 3) for s in (seed, seed, seed + 1))
    fault = _fault(first, y)
    if fault:
        return fault
    in_order = all(
        a[y[a] == name].max(initial=-1) < b[y[b] == name].min(initial=len(y))
        for name in np.unique(y)
        for a, b in itertools.pairwise(first)
    )
    if in_order:
        hint = "Each class is cut in the order of the rows: the first rows train, the last are dev. Shuffle the rows of a class before you cut."
        return Outcome(False, "rows in random order", "rows in file order", "unshuffled", hint)
    return _follows_the_seed(first, again, other)


@chapter.check(
    "standard_error",
    points=2,
    hint="The variance of one row is accuracy * (1 - accuracy); the mean of n rows has this divided by n; the standard error is its root.",
    more="Write np.sqrt(accuracy * (1 - accuracy) / n).",
)
def is_the_root(answer, rng):
    """is the root of A (1 - A) / n"""
    a, n = rng.uniform(0.6, 0.9), int(rng.integers(6, 12))
    variance = a * (1 - a)
    right = np.sqrt(variance / n)
    return compare(
        answer(a, n),
        right,
        wrong=[
            Wrong(
                "variance",
                variance / n,
                "That is the variance of the score. Take its root: the standard error is in the unit of the accuracy.",
            ),
            Wrong(
                "one-row",
                np.sqrt(variance),
                "That is the standard deviation of a single row. The mean over n rows spreads less: divide the variance by n.",
            ),
            Wrong(
                "half-width",
                1.96 * right,
                "That is the half-width of the 95 % interval. The standard error has no factor 1.96.",
            ),
            Wrong(
                "n-minus-one",
                np.sqrt(variance / (n - 1)),
                "You divided by n - 1. The variance A (1 - A) follows from the accuracy itself: divide by n.",
            ),
            Wrong(
                "only-right-rows",
                np.sqrt(a / n),
                "The factor 1 - accuracy is missing: without it a perfect score would be the least certain.",
            ),
            Wrong(
                "root-of-n-only",
                variance / np.sqrt(n),
                "The root is over n alone. Take it of the whole fraction.",
            ),
            Wrong(
                "percent",
                100 * right,
                "The accuracy is a share between 0 and 1, and so is its standard error: no factor 100.",
            ),
        ],
    )


@chapter.check(
    "standard_error",
    hint="Arrays must be handled entry by entry, and a score of 0 or 1 has standard error 0.",
    more="NumPy's arithmetic works on arrays as it stands: avoid math.sqrt, if and float(...).",
)
def takes_arrays(answer, rng):
    """works on arrays, and is largest at accuracy 1/2"""
    a = np.array([0.0, 0.2, 0.5, 0.8, 1.0])
    n = np.full(5, 4 * int(rng.integers(5, 50)) ** 2)
    root = np.sqrt(n)
    return compare(answer(a, n), np.array([0, 0.4, 0.5, 0.4, 0]) / root)


@chapter.check(
    "standard_error",
    hint="Four times as many rows must halve the standard error.",
    more="n stands under the root: np.sqrt(... / n).",
)
def halves_with_four_times_the_rows(answer, rng):
    """halves when the rows become four times as many"""
    a, n = rng.uniform(0.6, 0.9), int(rng.integers(20, 60))
    few, many = outputs(answer(a, n), ())[0], outputs(answer(a, 4 * n), ())[0]
    outcome = compare(2 * many, few)
    if outcome.passed and not few > 0:
        return Outcome(False, "an error above 0", brief(few))
    return outcome


def _groups(rng, sizes):
    """Draw group names in mixed order; they are no consecutive numbers."""
    return rng.permutation(np.repeat(100 + 7 * np.arange(len(sizes)), sizes))


@chapter.check(
    "group_split",
    points=2,
    hint="No group may have rows in both parts. Draw groups, then take all of their rows.",
    more="in_dev = np.isin(groups, chosen) marks the rows of the chosen groups.",
)
def keeps_groups_together(answer, rng):
    """keeps all rows of a group in one part, and every row in one part"""
    groups = _groups(rng, rng.integers(2, 8, size=10))
    parts = _parts(answer(groups, 0.3, int(rng.integers(1000))), 2)
    held = [set(np.unique(groups)) & set(part.tolist()) for part in parts]
    if all(held) and all(set(p.tolist()) <= set(groups.tolist()) for p in parts):
        hint = "You returned the names of the groups. Return the numbers of their rows."
        return Outcome(False, "row numbers", "names of groups", "names", hint)
    fault = _fault(parts, groups)
    if fault:
        return fault
    shared = len(set(groups[parts[0]]) & set(groups[parts[1]]))
    expected = "no group in both parts"
    if shared:
        hint = "You shuffled rows, so a group is torn apart and the model meets it in training. Shuffle the groups."
        return Outcome(False, expected, f"{shared} groups in both", "torn", hint)
    if not all(len(part) for part in parts):
        return Outcome(False, "two parts with rows", "an empty part")
    return Outcome(True, expected, expected)


@chapter.check(
    "group_split",
    hint="The dev part holds fraction times the number of groups, rounded to the nearest whole number. Count groups, not rows.",
    more="count = round(fraction * len(np.unique(groups))).",
)
def takes_the_share_of_groups(answer, rng):
    """puts the share of the groups, rounded, into the second part"""
    for number, fraction, count in ((10, 0.2, 2), (8, 0.2, 2), (7, 0.3, 2)):
        # One group has most of the rows: counting rows would go wrong.
        groups = _groups(rng, [60, *rng.integers(1, 4, size=number - 1)])
        parts = _parts(answer(groups, fraction, int(rng.integers(1000))), 2)
        if any(part.size and (part.min() < 0 or part.max() >= len(groups)) for part in parts):
            return _fault(parts, groups)
        held = [len(np.unique(groups[part])) for part in parts]
        expected = f"{number - count} and {count} groups"
        received = f"{held[0]} and {held[1]} groups"
        if held == [number - count, count]:
            continue
        if held == [count, number - count]:
            hint = (
                "The parts are swapped: fraction is the share of the second part, the dev groups."
            )
            return Outcome(False, expected, received, "swapped", hint)
        if held[1] == int(fraction * number) and sum(held) == number:
            hint = "You rounded down. Round to the nearest whole number: round(...)."
            return Outcome(False, expected, received, "rounded-down", hint)
        return Outcome(False, expected, received)
    return Outcome(True, expected, received)


@chapter.check(
    "group_split",
    hint="Which groups go to the second part must be drawn by a generator made from the seed.",
    more="np.random.default_rng(seed).permutation(np.unique(groups))[:count].",
)
def groups_at_random(answer, rng):
    """draws the groups at random, and the same groups again for the same seed"""
    groups = _groups(rng, np.full(20, 3))
    seed = int(rng.integers(1000))
    first, again, other = (_parts(answer(groups, 0.4, s), 2) for s in (seed, seed, seed + 1))
    fault = _fault(first, groups)
    if fault:
        return fault
    train, dev = (set(groups[part].tolist()) for part in first)
    if train and dev and (max(train) < min(dev) or max(dev) < min(train)):
        hint = "The groups are cut in the order of their names. Shuffle them first: the last groups may be the newest, or the sickest."
        return Outcome(
            False, "groups in random order", "groups in sorted order", "unshuffled", hint
        )
    return _follows_the_seed(first, again, other)


def _diagnosis(train, train_dev, dev, bayes, gaps=None, threshold=0.01, first=False):
    """Return the name of the largest gap, or a misconception of it."""
    gaps = gaps or (train - bayes, train_dev - train, dev - train_dev)
    names = ("bias", "variance", "mismatch")
    if first:
        return next((n for n, gap in zip(names, gaps, strict=True) if gap > threshold), "none")
    return names[int(np.argmax(gaps))] if max(gaps) > threshold else "none"


def _diagnoses(answer, cases, misconceptions):
    """Compare the answers to several cases; misconceptions: (key, function, hint)."""
    received = []
    for case in cases:
        received.append(answer(*case))
        if not isinstance(received[-1], str):
            raise AnswerError('Return one of the texts "bias", "variance", "mismatch", "none".')
    expected = tuple(_diagnosis(*case) for case in cases)
    wrong = [
        Wrong(key, tuple(function(*case) for case in cases), hint)
        for key, function, hint in misconceptions
    ]
    capitals = Wrong(
        "capitals",
        tuple(text.capitalize() for text in expected),
        "Texts are compared exactly: use small letters, as in the exercise.",
    )
    return compare(tuple(received), expected, wrong=[*wrong, capitals])


_WITHOUT_TRAIN_DEV = (
    "without-train-dev",
    lambda t, td, d, b: _diagnosis(t, td, d, b, gaps=(t - b, d - t)),
    "You call everything between train and dev error variance. Rows of train-dev are new but from the same source: the step from train to train-dev is variance, the step from train-dev to dev is mismatch.",
)


@chapter.check(
    "diagnose_mismatch",
    points=2,
    hint="Compute train - bayes, train-dev - train and dev - train-dev, and name the largest.",
    more='gaps = {"bias": ..., "variance": ..., "mismatch": ...}; name = max(gaps, key=gaps.get).',
)
def names_the_largest_gap(answer, rng):
    """names the largest of the three gaps"""
    cases = []
    for largest in (0, 1, 2, 1, 2, 0):
        gaps = rng.uniform(0.02, 0.05, size=3)
        if largest == 2:
            gaps[0] = 0.005  # too small: the first gap that is large enough is variance
        gaps[largest] = rng.uniform(0.07, 0.1)
        bayes = rng.uniform(0.11, 0.15)
        cases.append((*(bayes + np.cumsum(gaps)).tolist(), bayes))
    return _diagnoses(
        answer,
        cases,
        [
            _WITHOUT_TRAIN_DEV,
            (
                "without-bayes",
                lambda t, td, d, b: _diagnosis(t, td, d, b, gaps=(t, td - t, d - td)),
                "Only the part of the train error above the Bayes error can be avoided: bias is train - bayes.",
            ),
            (
                "from-bayes",
                lambda t, td, d, b: _diagnosis(t, td, d, b, gaps=(t - b, td - b, d - b)),
                "You measure every gap from the Bayes error. Each gap is one step: from bayes to train, from train to train-dev, from train-dev to dev.",
            ),
            (
                "first-found",
                lambda *case: _diagnosis(*case, first=True),
                "You return the first gap that is large enough. Compare all three and name the largest.",
            ),
            (
                "smallest",
                lambda t, td, d, b: _diagnosis(
                    t, td, d, b, gaps=(b - t, t - td, td - d), threshold=-1
                ),
                "You named the smallest gap: is a difference the wrong way round?",
            ),
            (
                "percent",
                lambda *case: "none",
                "No gap is large enough for you. The errors are shares: one percentage point is 0.01.",
            ),
        ],
    )


@chapter.check(
    "diagnose_mismatch",
    hint="Two projects with equal train and dev error can have different troubles: look at train-dev.",
    more="variance is train_dev_err - train_err, mismatch is dev_err - train_dev_err.",
)
def train_dev_decides(answer, rng):
    """tells variance from mismatch where train and dev error are the same"""
    bayes, low = 0.0, rng.uniform(0.0, 0.02)
    high = low + rng.uniform(0.2, 0.3)
    near_low, near_high = low + rng.uniform(0.0, 0.03), high - rng.uniform(0.0, 0.03)
    return _diagnoses(
        answer,
        [(low, near_low, high, bayes), (low, near_high, high, bayes)],
        [_WITHOUT_TRAIN_DEV],
    )


@chapter.check(
    "diagnose_mismatch",
    hint='Answer "none" unless the largest gap is above 0.01. A negative gap is no trouble.',
    more='return name if gaps[name] > 0.01 else "none".',
)
def small_gaps_are_none(answer, rng):
    """answers "none" when no gap is above one percentage point"""
    b = rng.uniform(0.02, 0.05)
    small, more = rng.uniform(0.006, 0.009), rng.uniform(0.012, 0.018)
    cases = [
        (b + small, b + small, b + small, b),
        (b, b, b + more, b),
        (b, b + more, b, b),
        (b + more, b + more, b - 0.05, b),
        (b, b + small, b - 0.04, b),
    ]
    return _diagnoses(
        answer,
        cases,
        [
            (
                "always-a-name",
                lambda *case: _diagnosis(*case, threshold=-1),
                'Where all gaps are small there is nothing to name: answer "none".',
            ),
            (
                "absolute",
                lambda t, td, d, b: _diagnosis(
                    t, td, d, b, gaps=(abs(t - b), abs(td - t), abs(d - td))
                ),
                "A negative gap is no trouble: a dev set may be easier than the training source. Do not take absolute values.",
            ),
            (
                "percent",
                lambda *case: "none",
                "No gap is large enough for you. The errors are shares: one percentage point is 0.01.",
            ),
        ],
    )


def _course(x, y, parts, start, lr, steps, scaler="train", fit_on=("train",), ddof=0):
    """Return the losses of train, dev and test after each step: shape (steps, 3).

    scaler: whose statistics scale the rows.
    """
    scaled = np.empty_like(x)
    for rows in parts.values():
        used = {"train": x[parts["train"]], "all": x, "own": x[rows], "none": None}[scaler]
        mean, sd = (0, 1) if used is None else (used.mean(axis=0), used.std(axis=0, ddof=ddof))
        scaled[rows] = (x[rows] - mean) / sd
    weights, bias = (np.array(v) for v in start)
    seen = np.concatenate([parts[name] for name in fit_on])
    every, losses = np.arange(len(y)), []
    for _ in range(steps + 1):
        p = np.exp(scaled @ weights + bias)
        p /= p.sum(axis=1, keepdims=True)
        row_loss = -np.log(p[every, y])
        losses.append([row_loss[rows].mean() for rows in parts.values()])
        p[every, y] -= 1
        weights = weights - lr * scaled[seen].T @ p[seen] / len(seen)
        bias = bias - lr * p[seen].mean(axis=0)
    return np.array(losses[1:])


def _pick(losses, by="dev", report=("dev", "test")):
    names = ["train", "dev", "test"]
    best = losses[:, names.index(by)].argmin() if by else -1
    return tuple(float(losses[best, names.index(name)]) for name in report)


def _project(rng, steps=10):
    """Draw a small project in which dev, test and train would each pick another step."""
    d, classes, sizes = 3, 3, {"train": 14, "dev": 9, "test": 10}
    for _ in range(300):
        m = sum(sizes.values())
        rows = np.split(rng.permutation(m), np.cumsum(list(sizes.values()))[:-1])
        parts = dict(zip(sizes, rows, strict=True))
        y = rng.integers(0, classes, m)
        x = rng.normal(size=(m, d)) + 0.8 * rng.normal(size=(classes, d))[y]
        x[parts["dev"]] = 0.5 + 1.3 * x[parts["dev"]]  # its own statistics differ
        x[parts["test"]] = 0.8 * x[parts["test"]] - 0.4
        x = x * np.array([1.0, 3.0, 0.4]) + np.array([0.5, -2.0, 1.0])
        start = (0.3 * rng.normal(size=(d, classes)), 0.1 * rng.normal(size=classes))
        project = (x, y, parts, start, float(rng.uniform(0.5, 0.8)), steps)
        dev, test = _course(*project)[:, 1:].T
        picks = {int(dev.argmin()), int(test.argmin()), steps - 1}
        close = np.sort(dev)[:2]
        at_test = abs(test[dev.argmin()] - test.min()) > 0.01 * test.min()
        if len(picks) == 3 and 0 not in picks and at_test and close[1] - close[0] > 1e-5:
            break
    return project


_SCALER_ALL = (
    "The mean and standard deviation come from all rows, dev and test included. Take them from the train rows.",
    "scaler-all",
)


@chapter.check(
    "honest_scores",
    points=3,
    hint="Go through the routine and ask of each line which rows it uses: scaler and gradient train rows only, the choice of the step dev rows only.",
    more="Scale with x[train].mean(axis=0) and x[train].std(axis=0), take gradients on train, "
    "best = argmin of the dev losses, return the dev and the test loss after that step.",
)
def reports_the_step_that_dev_picks(answer, rng):
    """gives the dev and test loss after the step that the dev rows pick"""
    project = _project(rng)
    right = _course(*project)
    expected = _pick(right)
    leaky = {
        "all": _course(*project, scaler="all"),
        "dev": _course(*project, fit_on=("train", "dev")),
        "both": _course(*project, scaler="all", fit_on=("train", "dev")),
    }
    return compare(
        answer(*project),
        expected,
        wrong=[
            Wrong(
                "unrepaired",
                _pick(leaky["both"], by="test"),
                "This is the broken routine: all three leaks are still there.",
            ),
            Wrong(_SCALER_ALL[1], _pick(leaky["all"]), _SCALER_ALL[0]),
            Wrong(
                "trained-on-dev",
                _pick(leaky["dev"]),
                "The gradient uses the dev rows. They can no longer choose: train on the train rows alone.",
            ),
            Wrong(
                "picked-on-test",
                _pick(right, by="test"),
                "The test rows pick the step, which makes them a dev set. Let the dev loss pick.",
            ),
            Wrong(
                "two-leaks",
                _pick(leaky["both"]),
                "The step is picked on dev now, but the scaler sees all rows and the gradient the dev rows.",
            ),
            Wrong(
                "two-leaks",
                _pick(leaky["all"], by="test"),
                "Two leaks are left: the scaler sees all rows, and the test rows pick the step.",
            ),
            Wrong(
                "two-leaks",
                _pick(leaky["dev"], by="test"),
                "Two leaks are left: the gradient uses the dev rows, and the test rows pick the step.",
            ),
            Wrong(
                "own-statistics",
                _pick(_course(*project, scaler="own")),
                "Dev and test rows are scaled by their own statistics. Reuse those of the train rows: the model learned in that unit.",
            ),
            Wrong(
                "unscaled",
                _pick(_course(*project, scaler="none")),
                "The rows are not scaled. Scale them with the statistics of the train rows.",
            ),
            Wrong(
                "scored-on-train",
                _pick(right, report=("train", "test")),
                "The first number is the loss of the train rows. Report the dev rows, which were not trained on.",
            ),
            Wrong(
                "last-step",
                _pick(right, by=""),
                "You report the last step. Report the step with the lowest dev loss.",
            ),
            Wrong(
                "two-picks",
                (expected[0], float(right[:, 2].min())),
                "Each loss is the lowest of its own part, so the test rows pick a step too. Report both at the step that dev picks.",
            ),
            Wrong("swapped", expected[::-1], "Return the dev loss first, then the test loss."),
            Wrong(
                "sample-sd",
                _pick(_course(*project, ddof=1)),
                "The standard deviation divides by n - 1 (the default of torch.std). Here it divides by n, like np.std.",
            ),
        ],
    )


@chapter.check(
    "honest_scores",
    hint="Other test rows must leave the dev loss as it is. Does the scaler, the gradient or the choice of the step use them?",
    more="Replace every place where x, y or parts['test'] enters before the final report.",
)
def test_rows_touch_nothing(answer, rng):
    """leaves the dev loss as it is when the test rows change"""
    x, y, parts, *rest = _project(rng)
    expected = _pick(_course(x, y, parts, *rest))[0]
    test = parts["test"]
    x[test] = 3 * x[test] + 5
    y[test] = (y[test] + 1) % 3
    received = outputs(answer(x, y, parts, *rest), (), ())[0]
    return compare(
        received,
        expected,
        wrong=[
            Wrong(
                _SCALER_ALL[1], _pick(_course(x, y, parts, *rest, scaler="all"))[0], _SCALER_ALL[0]
            ),
        ],
    )
