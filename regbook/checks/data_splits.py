"""Checks of chapter 01, train, dev and test sets."""

import functools

import numpy as np

from regbook.arrays import log_softmax
from regbook.exercise import AnswerError, Chapter, Failed, brief, follows_seed, judge, outputs, vary

chapter = Chapter("01_data_splits")

# What goes wrong in any split into parts; see `_hold_each_row_once`.
SPLIT_HINTS = {
    "values": "You returned the values of the rows. Return their row numbers, their places in the array.",
    "outside": "Row numbers run from 0 to the number of rows minus 1: np.flatnonzero gives them.",
    "overlap": "A row is in two parts, or twice in one. Shuffle once, then cut: do not draw each part anew.",
    "lost": "Rows were lost. Cut at len(parts) - 1 places, so that the last part takes what is left.",
    "unseeded": "Two calls with the same seed gave two splits. Make the generator from the seed: np.random.default_rng(seed).",
    "seed-ignored": "Two seeds gave the same split. Make the generator from the argument seed.",
}


def _drawn(rng, counts):
    """Draw an array of classes or groups; their names are neither row numbers nor consecutive."""
    return rng.permutation(np.repeat(100 + 7 * np.arange(len(counts)), counts))


def _parts(received, number):
    """Return an answer as a list of integer arrays, one for each part."""
    if isinstance(received, np.ndarray) and received.ndim == 2:
        received = tuple(received)  # parts of equal size in a list
    if not isinstance(received, tuple) or len(received) != number:
        raise AnswerError(f"Return {number} arrays of row numbers, one for each part.")
    for rows in received:
        if not isinstance(rows, np.ndarray) or rows.ndim != 1 or (rows != np.round(rows)).any():
            raise AnswerError("Each part must be a one-dimensional array of row numbers.")
        if rows.dtype == bool:
            raise AnswerError(
                "Return row numbers and no mask of True and False: np.flatnonzero(mask)."
            )
    return [rows.astype(int) for rows in received]


def _hold_each_row_once(parts, values):
    """End the check if the parts do not hold every row once. values: what stands in the rows."""
    rows, m = np.concatenate(parts), len(values)
    outside = ((rows < 0) | (rows >= m)).any()
    twice = len(rows) - len(np.unique(rows))
    faults = (
        ("values", "values", np.array_equal(np.sort(rows), np.sort(values))),
        ("names", "names", outside and np.isin(rows, values).all()),
        ("outside", f"a row {rows.max(initial=0)}", outside),
        ("overlap", f"{twice} rows twice", twice),
        ("lost", f"{m - len(rows)} rows in no part", len(rows) < m),
    )
    for mistake, received, found in faults:
        if found:
            raise Failed(f"each row from 0 to {m - 1} once", received, mistake)


def _split(ask, values, share, seed, number=2):
    """Ask for a split; return its parts, which hold each row once."""
    parts = _parts(ask(values, share, int(seed)), number)
    _hold_each_row_once(parts, values)
    return parts


def _drawn_by_seed(ask, rng, values, share, number, in_order):
    """Judge that the seed draws the split. in_order: whether parts show a cut without a draw."""

    def draw(seed):
        parts = _split(ask, values, share, seed, number)
        if in_order(parts):
            raise Failed("in random order", "in sorted order", "unshuffled")
        return tuple(map(np.sort, parts))

    return follows_seed(draw, rng, fixed="seed-ignored", unseeded="unseeded", seeds=2)


# --- stratified_split ------------------------------------------------------------------------


def _stratify(y, fractions, seed, *, shuffled=True, rounded=np.round):
    rng, pieces = np.random.default_rng(seed), []
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        rows = rng.permutation(rows) if shuffled else rows
        cuts = rounded(np.cumsum(fractions)[:-1] * len(rows)).astype(int)
        pieces.append(np.split(rows, cuts))
    return tuple(map(np.concatenate, zip(*pieces, strict=True)))


stratified_split = chapter.exercise(
    "stratified_split",
    _stratify,
    mistakes={
        "values": lambda y, *rest: tuple(y[rows] for rows in _stratify(y, *rest)),
        "outside": lambda *case: tuple(rows + 1 for rows in _stratify(*case)),
        "overlap": lambda y, fs, seed: tuple(_stratify(y, [f, 1 - f], seed)[0] for f in fs),
        "lost": lambda *case: tuple(rows[1:] for rows in _stratify(*case)),
        "unstratified": vary(_stratify, y=np.zeros_like),
        "reversed": vary(_stratify, fractions=lambda fractions: fractions[::-1]),
        "equal-parts": vary(_stratify, fractions=lambda f: np.full(len(f), 1 / len(f))),
        "cut-off": vary(_stratify, rounded=np.floor),
        "unshuffled": vary(_stratify, shuffled=False),
        "unseeded": vary(_stratify, seed=None),
        "seed-ignored": vary(_stratify, seed=0),
    },
    hints=SPLIT_HINTS
    | {
        "cut-off": "One row off, although the shares are whole numbers. Round the cuts: np.cumsum([0.7, 0.1]) * 10 is 7.999..., and astype(int) makes it 7.",
        "unstratified": "The parts have the right sizes, but not the right classes: a random cut leaves the rare class to chance. Cut each class on its own.",
        "reversed": "The parts come in the wrong order: part i belongs to fractions[i].",
        "equal-parts": "The parts are equally large. Cut at the cumulated fractions: np.cumsum(fractions)[:-1].",
        "unshuffled": "Each class is cut in the order of the rows: the first rows train, the last are dev. Shuffle the rows of a class before you cut.",
    },
)


@stratified_split.check(
    hint="Together the parts must hold each row number exactly once.",
    more="For each class: rows = rng.permutation(np.flatnonzero(y == label)), then np.split(rows, cuts).",
)
def every_row_once(ask, rng):
    """puts every row into exactly one part"""
    # 7 and 9 rows: the shares are no whole numbers.
    for counts, fractions in (((20, 7, 9), [0.5, 0.25, 0.25]), ((12, 11), [0.7, 0.3])):
        _split(ask, _drawn(rng, counts), fractions, rng.integers(1000), len(fractions))
    return judge(True, "each row once", "each row once")


@stratified_split.check(
    points=2,
    hint="Count each class in each part: it must be its share of that class, give or take one row.",
    more="Shuffle and cut the rows of each class on their own, then join the pieces part by part.",
)
def every_class_in_its_share(ask, rng):
    """gives each part its share of every class"""
    # In floating point 0.7 + 0.1 is a little less than 0.8.
    for counts, fractions, slack in (
        ((60, 30, 10), [0.6, 0.2, 0.2], 0.01),
        ((45, 13), [0.8, 0.2], 1),
        ((40, 20, 10), [0.7, 0.1, 0.2], 0.01),
    ):
        y, share = _drawn(rng, counts), np.outer(fractions, counts)
        parts = _split(ask, y, fractions, rng.integers(1000), len(fractions))
        held = np.array([[(y[rows] == name).sum() for name in np.unique(y)] for rows in parts])
        off, sizes, right = np.abs(held - share).max(), held.sum(axis=1), share.sum(axis=1)
        texts = [" / ".join(map(str, table.tolist())) for table in (share.round(1), held)]
        if off > slack:
            mistakes = {
                "cut-off": off < 1.5,
                "unstratified": np.abs(sizes - right).max() <= len(counts),
                "reversed": np.abs(sizes[::-1] - right).max() <= len(counts),
                "equal-parts": np.ptp(sizes) <= len(counts),
            }
            return judge(False, *texts, mistakes)
    return judge(True, *texts)


@stratified_split.check(
    hint="The rows of each class must be shuffled by a generator made from the seed.",
    more="rng = np.random.default_rng(seed) once, and rng.permutation(...) for each class.",
)
def stratified_at_random(ask, rng):
    """draws the rows at random, and the same rows again for the same seed"""
    y = _drawn(rng, (24, 16))

    def in_order(parts):
        rows = np.concatenate([np.sort(part) for part in parts])
        return all((np.diff(rows[y[rows] == name]) > 0).all() for name in np.unique(y))

    return _drawn_by_seed(ask, rng, y, [0.5, 0.25, 0.25], 3, in_order)


# --- standard_error --------------------------------------------------------------------------


def _error(accuracy, n):
    return np.sqrt(accuracy * (1 - accuracy) / n)


standard_error = chapter.exercise(
    "standard_error",
    _error,
    mistakes={
        "variance": lambda a, n: a * (1 - a) / n,
        "one-row": vary(_error, n=1),
        "half-width": lambda a, n: 1.96 * _error(a, n),
        "n-minus-one": vary(_error, n=lambda n: n - 1),
        "only-right-rows": lambda a, n: np.sqrt(a / n),
        "root-of-n-only": lambda a, n: a * (1 - a) / np.sqrt(n),
        "percent": lambda a, n: 100 * _error(a, n),
    },
    hints={
        "variance": "That is the variance of the score. Take its root: the standard error is in the unit of the accuracy.",
        "one-row": "That is the standard deviation of a single row. The mean over n rows spreads less: divide the variance by n.",
        "half-width": "That is the half-width of the 95 % interval. The standard error has no factor 1.96.",
        "n-minus-one": "You divided by n - 1. The variance A (1 - A) follows from the accuracy itself: divide by n.",
        "only-right-rows": "The factor 1 - accuracy is missing: without it a perfect score would be the least certain.",
        "root-of-n-only": "The root is over n alone. Take it of the whole fraction.",
        "percent": "The accuracy is a share between 0 and 1, and so is its standard error: no factor 100.",
    },
)


@standard_error.check(
    points=2,
    hint="The variance of one row is accuracy * (1 - accuracy); the mean of n rows has this divided by n; the standard error is its root.",
    more="Write np.sqrt(accuracy * (1 - accuracy) / n).",
)
def is_the_root(ask, rng):
    """is the root of A (1 - A) / n"""
    return ask(rng.uniform(0.6, 0.9), int(rng.integers(6, 12)))


@standard_error.check(
    hint="Arrays must be handled entry by entry, and a score of 0 or 1 has standard error 0.",
    more="NumPy's arithmetic works on arrays as it stands: avoid math.sqrt, if and float(...).",
)
def takes_arrays(ask, rng):
    """works on arrays, and is largest at accuracy 1/2"""
    return ask(np.array([0.0, 0.2, 0.5, 0.8, 1.0]), np.full(5, 4 * int(rng.integers(5, 50)) ** 2))


@standard_error.check(
    hint="Four times as many rows must halve the standard error.",
    more="n stands under the root: np.sqrt(... / n).",
)
def halves_with_four_times_the_rows(ask, rng):
    """halves when the rows become four times as many"""
    a, n = rng.uniform(0.6, 0.9), int(rng.integers(20, 60))
    few, many = (outputs(ask(a, rows), ())[0] for rows in (n, 4 * n))
    if not few > 0:
        raise Failed("an error above 0", brief(few))
    return many / few


# --- group_split -----------------------------------------------------------------------------


def _group(groups, fraction, seed, *, order=lambda rng, names: rng.permutation(names), count=round):
    names = np.unique(groups)
    chosen = order(np.random.default_rng(seed), names)[: count(fraction * len(names))]
    in_dev = np.isin(groups, chosen)
    return np.flatnonzero(~in_dev), np.flatnonzero(in_dev)


group_split = chapter.exercise(
    "group_split",
    _group,
    mistakes={
        "values": lambda groups, *rest: tuple(groups[rows] for rows in _group(groups, *rest)),
        "names": lambda g, *rest: tuple(np.unique(g[rows]) for rows in _group(g, *rest)),
        "overlap": lambda groups, *rest: (np.arange(len(groups)), _group(groups, *rest)[1]),
        "lost": lambda *case: tuple(rows[1:] for rows in _group(*case)),
        "torn": vary(_group, groups=lambda groups: np.arange(len(groups))),
        "swapped": [lambda *case: _group(*case)[::-1], vary(_group, fraction=lambda f: 1 - f)],
        "rounded-down": vary(_group, count=int),
        "unshuffled": [
            vary(_group, order=lambda rng, names: names),
            vary(_group, order=lambda rng, names: names[::-1]),
        ],
        "unseeded": vary(_group, seed=None),
        "seed-ignored": vary(_group, seed=7),
    },
    hints=SPLIT_HINTS
    | {
        "names": "You returned the names of the groups. Return the numbers of their rows.",
        "torn": "You shuffled rows, so a group is torn apart and the model meets it in training. Shuffle the groups.",
        "swapped": "The parts are swapped: fraction is the share of the second part, the dev groups.",
        "rounded-down": "You rounded down. Round to the nearest whole number: round(...).",
        "unshuffled": "The groups are cut in the order of their names. Shuffle them first: the last groups may be the newest, or the sickest.",
    },
)


@group_split.check(
    points=2,
    hint="No group may have rows in both parts. Draw groups, then take all of their rows.",
    more="in_dev = np.isin(groups, chosen) marks the rows of the chosen groups.",
)
def keeps_groups_together(ask, rng):
    """keeps all rows of a group in one part, and every row in one part"""
    groups = _drawn(rng, rng.integers(2, 8, size=10))
    parts = _split(ask, groups, 0.3, rng.integers(1000))
    if not all(map(len, parts)):
        raise Failed("two parts with rows", "an empty part")
    shared = len(np.intersect1d(*(groups[part] for part in parts)))
    return judge(not shared, "no group in both", f"{shared} groups in both", {"torn": shared})


@group_split.check(
    hint="The dev part holds fraction times the number of groups, rounded to the nearest whole number. Count groups, not rows.",
    more="count = round(fraction * len(np.unique(groups))).",
)
def takes_the_share_of_groups(ask, rng):
    """puts the share of the groups, rounded, into the second part"""
    for number, fraction, count in ((10, 0.2, 2), (8, 0.2, 2), (7, 0.3, 2)):
        # One group has most of the rows: counting rows would go wrong.
        groups = _drawn(rng, [60, *rng.integers(1, 4, size=number - 1)])
        parts = _parts(ask(groups, fraction, int(rng.integers(1000))), 2)
        if any(((rows < 0) | (rows >= len(groups))).any() for rows in parts):
            _hold_each_row_once(parts, groups)
        held = [len(np.unique(groups[part])) for part in parts]
        shown = f"{number - count} and {count} groups", f"{held[0]} and {held[1]} groups"
        if held != [number - count, count]:
            down, swapped = int(fraction * number), held[::-1] == [number - count, count]
            cut = held == [number - down, down]
            return judge(False, *shown, {"swapped": swapped, "rounded-down": cut})
    return judge(True, *shown)


@group_split.check(
    hint="Which groups go to the second part must be drawn by a generator made from the seed.",
    more="np.random.default_rng(seed).permutation(np.unique(groups))[:count].",
)
def groups_at_random(ask, rng):
    """draws the groups at random, and the same groups again for the same seed"""
    groups = _drawn(rng, np.full(20, 3))

    def in_order(parts):
        train, dev = (groups[part] for part in parts)
        return len(train) and len(dev) and (max(train) < min(dev) or max(dev) < min(train))

    return _drawn_by_seed(ask, rng, groups, 0.4, 2, in_order)


# --- diagnose_mismatch -----------------------------------------------------------------------


def _diagnose(
    train, train_dev, dev, bayes, *, above=0.01, choose=max,
    gaps=lambda t, td, d, b: (t - b, td - t, d - td),
):  # fmt: skip
    found = gaps(train, train_dev, dev, bayes)
    large = [gap for gap in found if gap > above]
    return ("bias", "variance", "mismatch")[found.index(choose(large))] if large else "none"


diagnose_mismatch = chapter.exercise(
    "diagnose_mismatch",
    _diagnose,
    mistakes={
        "without-train-dev": vary(_diagnose, gaps=lambda t, td, d, b: (t - b, d - t)),
        "without-bayes": vary(_diagnose, bayes=0),
        "from-bayes": vary(_diagnose, gaps=lambda t, td, d, b: (t - b, td - b, d - b)),
        "first-found": vary(_diagnose, choose=lambda large: large[0]),
        "smallest": vary(_diagnose, gaps=lambda t, td, d, b: (b - t, t - td, td - d), above=-1),
        "percent": vary(_diagnose, above=1),
        "always-a-name": vary(_diagnose, above=-1),
        "absolute": vary(
            _diagnose, gaps=lambda t, td, d, b: (abs(t - b), abs(td - t), abs(d - td))
        ),
        "capitals": lambda *case: _diagnose(*case).capitalize(),
    },
    hints={
        "without-train-dev": "You call everything between train and dev error variance. Rows of train-dev are new but from the same source: the step from train to train-dev is variance, the step from train-dev to dev is mismatch.",
        "without-bayes": "Only the part of the train error above the Bayes error can be avoided: bias is train - bayes.",
        "from-bayes": "You measure every gap from the Bayes error. Each gap is one step: from bayes to train, from train to train-dev, from train-dev to dev.",
        "first-found": "You return the first gap that is large enough. Compare all three and name the largest.",
        "smallest": "You named the smallest gap: is a difference the wrong way round?",
        "percent": "No gap is large enough for you. The errors are shares: one percentage point is 0.01.",
        "always-a-name": 'Where all gaps are small there is nothing to name: answer "none".',
        "absolute": "A negative gap is no trouble: a dev set may be easier than the training source. Do not take absolute values.",
        "capitals": "Texts are compared exactly: use small letters, as in the exercise.",
    },
)


def _names_by_case(ask, cases):
    """Ask for the diagnosis of each case; return them by the errors in words."""
    found = {
        f"Bayes {b:.4f}, train {t:.4f}, train-dev {td:.4f}, dev {d:.4f}": ask(t, td, d, b)
        for t, td, d, b in cases
    }
    if not all(isinstance(name, str) for name in found.values()):
        raise AnswerError('Return one of the texts "bias", "variance", "mismatch", "none".')
    return found


@diagnose_mismatch.check(
    points=2,
    hint="Compute train - bayes, train-dev - train and dev - train-dev, and name the largest.",
    more='gaps = {"bias": ..., "variance": ..., "mismatch": ...}; name = max(gaps, key=gaps.get).',
)
def names_the_largest_gap(ask, rng):
    """names the largest of the three gaps"""
    cases = []
    for largest in (0, 1, 2, 1, 2, 0):
        gaps = rng.uniform(0.02, 0.05, size=3)
        if largest == 2:
            gaps[0] = 0.005  # too small: the first gap that is large enough is variance
        gaps[largest] = rng.uniform(0.07, 0.1)
        bayes = rng.uniform(0.11, 0.15)
        cases.append((*(bayes + np.cumsum(gaps)).tolist(), bayes))
    return _names_by_case(ask, cases)


@diagnose_mismatch.check(
    hint="Two projects with equal train and dev error can have different troubles: look at train-dev.",
    more="variance is train_dev_err - train_err, mismatch is dev_err - train_dev_err.",
)
def train_dev_decides(ask, rng):
    """tells variance from mismatch where train and dev error are the same"""
    low, rise, *near = rng.uniform([0.0, 0.2, 0.0, 0.0], [0.02, 0.3, 0.03, 0.03]).tolist()
    high = low + rise
    return _names_by_case(ask, [(low, low + near[0], high, 0.0), (low, high - near[1], high, 0.0)])


@diagnose_mismatch.check(
    hint='Answer "none" unless the largest gap is above 0.01. A negative gap is no trouble.',
    more='return name if gaps[name] > 0.01 else "none".',
)
def small_gaps_are_none(ask, rng):
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
    return _names_by_case(ask, cases)


# --- honest_scores ---------------------------------------------------------------------------


def _scaled(x, parts, scaler, ddof):
    """Return x with the rows of each part scaled by the statistics that `scaler` names."""
    scaled = np.empty_like(x)
    for rows in parts.values():
        seen = {"train": x[parts["train"]], "all": x, "own": x[rows]}.get(scaler)
        mean, sd = (0, 1) if seen is None else (seen.mean(axis=0), seen.std(axis=0, ddof=ddof))
        scaled[rows] = (x[rows] - mean) / sd
    return scaled


def _course(x, y, parts, start, lr, steps, scaler="train", fit_on=("train",), ddof=0):
    """Return the losses after each step, by the name of the part."""
    x, (w, b), losses = _scaled(x, parts, scaler, ddof), start, []
    fitted = np.concatenate([parts[name] for name in fit_on])
    for _ in range(steps + 1):
        log_p = log_softmax(x @ w + b)
        losses.append([-log_p[rows, y[rows]].mean() for rows in parts.values()])
        d = (np.exp(log_p[fitted]) - np.eye(len(b))[y[fitted]]) / len(fitted)
        w, b = w - lr * x[fitted].T @ d, b - lr * d.sum(axis=0)
    return dict(zip(parts, np.array(losses[1:]).T, strict=True))


def _scores(
    x, y, parts, start, lr, steps, *, scaler="train", fit_on=("train",), ddof=0,
    step=lambda losses, name: losses["dev"].argmin(), report=("dev", "test"),
):  # fmt: skip
    losses = _course(x, y, parts, start, lr, steps, scaler, fit_on, ddof)
    return tuple(losses[name][step(losses, name)] for name in report)


SCALER, GRADIENT = {"scaler": "all"}, {"fit_on": ("train", "dev")}
PICK = {"step": lambda losses, name: losses["test"].argmin()}

honest_scores = chapter.exercise(
    "honest_scores",
    _scores,
    mistakes={
        "unrepaired": vary(_scores, **SCALER, **GRADIENT, **PICK),
        "scaler-all": vary(_scores, **SCALER),
        "trained-on-dev": vary(_scores, **GRADIENT),
        "picked-on-test": vary(_scores, **PICK),
        "two-leaks": vary(_scores, **SCALER, **GRADIENT),
        "two-leaks, pick and scaler": vary(_scores, **PICK, **SCALER),
        "two-leaks, pick and gradient": vary(_scores, **PICK, **GRADIENT),
        "own-statistics": vary(_scores, scaler="own"),
        "unscaled": vary(_scores, scaler=None),
        "scored-on-train": vary(_scores, report=("train", "test")),
        "last-step": vary(_scores, step=lambda losses, name: -1),
        "two-picks": vary(_scores, step=lambda losses, name: losses[name].argmin()),
        "swapped": vary(_scores, report=("test", "dev")),
        "sample-sd": vary(_scores, ddof=1),
    },
    hints={
        "changes its input": "Your function writes into an array that it was given, so whoever called it has lost those values. Make a new one: x = x - mean does, x -= mean does not.",
        "unrepaired": "This is the broken routine: all three leaks are still there.",
        "scaler-all": "The mean and standard deviation come from all rows, dev and test included. Take them from the train rows.",
        "trained-on-dev": "The gradient uses the dev rows. They can no longer choose: train on the train rows alone.",
        "picked-on-test": "The test rows pick the step, which makes them a dev set. Let the dev loss pick.",
        "two-leaks": "The step is picked on dev now, but the scaler sees all rows and the gradient the dev rows.",
        "two-leaks, pick and scaler": "Two leaks are left: the scaler sees all rows, and the test rows pick the step.",
        "two-leaks, pick and gradient": "Two leaks are left: the gradient uses the dev rows, and the test rows pick the step.",
        "own-statistics": "Dev and test rows are scaled by their own statistics. Reuse those of the train rows: the model learned in that unit.",
        "unscaled": "The rows are not scaled. Scale them with the statistics of the train rows.",
        "scored-on-train": "The first number is the loss of the train rows. Report the dev rows, which were not trained on.",
        "last-step": "You report the last step. Report the step with the lowest dev loss.",
        "two-picks": "Each loss is the lowest of its own part, so the test rows pick a step too. Report both at the step that dev picks.",
        "swapped": "Return the dev loss first, then the test loss.",
        "sample-sd": "The standard deviation divides by n - 1 (the default of torch.std). Here it divides by n, like np.std.",
    },
)


@functools.lru_cache(maxsize=8)  # every mistake meets the same project, and a search is slow
def _project(*seed, steps=10):
    """Draw a small project in which dev, test and train would each pick another step."""
    rng = np.random.default_rng(seed)
    for _ in range(300):
        train, dev, test = np.split(rng.permutation(33), [14, 23])
        parts, y = {"train": train, "dev": dev, "test": test}, rng.integers(0, 3, 33)
        x = rng.normal(size=(33, 3)) + 0.8 * rng.normal(size=(3, 3))[y]
        x[dev], x[test] = 0.5 + 1.3 * x[dev], 0.8 * x[test] - 0.4  # with statistics of their own
        x = x * np.array([1.0, 3.0, 0.4]) + np.array([0.5, -2.0, 1.0])
        start = (0.3 * rng.normal(size=(3, 3)), 0.1 * rng.normal(size=3))
        project = (x, y, parts, start, float(rng.uniform(0.5, 0.8)), steps)
        _, dev_loss, test_loss = _course(*project).values()
        best = dev_loss.argmin()
        picks = {best, test_loss.argmin(), steps - 1}
        clear = np.diff(np.sort(dev_loss))[0] > 1e-5 and test_loss[best] > 1.01 * test_loss.min()
        if len(picks) == 3 and 0 not in picks and clear:
            break
    return project


@honest_scores.check(
    points=3,
    hint="Go through the routine and ask of each line which rows it uses: scaler and gradient train rows only, the choice of the step dev rows only.",
    more="Scale with x[train].mean(axis=0) and x[train].std(axis=0), take gradients on train, best = argmin of the dev losses, return the dev and the test loss after that step.",
)
def reports_the_step_that_dev_picks(ask, rng):
    """gives the dev and test loss after the step that the dev rows pick"""
    return ask(*_project(*rng.bit_generator.seed_seq.entropy))


@honest_scores.check(
    hint="Other test rows must leave the dev loss as it is. Does the scaler, the gradient or the choice of the step use them?",
    more="Replace every place where x, y or parts['test'] enters before the final report.",
    keeps_input=True,
)
def test_rows_touch_nothing(ask, rng):
    """leaves the dev loss as it is when the test rows change"""
    x, y, parts, *rest = _project(*rng.bit_generator.seed_seq.entropy)
    x, y, test = x.copy(), y.copy(), parts["test"]
    x[test], y[test] = 3 * x[test] + 5, (y[test] + 1) % 3
    return outputs(ask(x, y, parts, *rest), (), ())[0]
