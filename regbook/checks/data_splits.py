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
    "lost": "Some rows are in no part. Fill all parts but one by the rule, and give that one every row that is left.",
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


def _rounded(fractions, m):
    return np.round(np.cumsum(fractions)[:-1] * m).astype(int)


def _stratify(y, fractions, seed, *, shuffled=True, cuts=_rounded):
    rng, pieces = np.random.default_rng(seed), []
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        rows = rng.permutation(rows) if shuffled else rows
        pieces.append(np.split(rows, cuts(fractions, len(rows))))
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
        "cut-off": [
            vary(_stratify, cuts=lambda fs, m: (np.cumsum(fs)[:-1] * m).astype(int)),
            vary(_stratify, cuts=lambda fs, m: np.ceil(np.cumsum(fs)[:-1] * m).astype(int)),
        ],
        "remainder": [
            vary(_stratify, cuts=lambda fs, m: np.cumsum([int(f * m) for f in fs[:-1]])),
            vary(_stratify, cuts=lambda fs, m: np.cumsum([round(f * m) for f in fs[:-1]])),
            vary(
                _stratify, cuts=lambda fs, m: m - np.cumsum([int(f * m) for f in fs[:0:-1]])[::-1]
            ),
        ],
        "unshuffled": vary(_stratify, shuffled=False),
        "unseeded": vary(_stratify, seed=None),
        "seed-ignored": vary(_stratify, seed=0),
    },
    hints=SPLIT_HINTS
    | {
        "cut-off": "One row off, although the shares are whole numbers. Round the cuts to the nearest: in floating point (0.7 + 0.1) * 10 is 7.999..., which astype(int) makes 7, and (0.1 + 0.2) * 10 is a little above 3, which np.ceil makes 4.",
        "remainder": "Where the shares are no whole numbers, a part is more than one row off: it got all that the others left over, or too few were left for it. Cut at the cumulated shares, rounded.",
        "unstratified": "The parts have the right sizes, but not the right classes: a random cut leaves the rare class to chance. Cut each class on its own, and return places in y as it was given, not in a shuffled copy.",
        "reversed": "The parts come in the wrong order: part i belongs to fractions[i].",
        "equal-parts": "The parts are equally large. Cut at the cumulated fractions: np.cumsum(fractions)[:-1].",
        "unshuffled": "A class is cut in the order of its rows: the first rows train, the last are dev. Shuffle the rows of each class before you cut.",
    },
)


@stratified_split.check(
    hint="Together the parts must hold each row number exactly once.",
    more="np.flatnonzero(y == label) gives the rows of a class, and np.split cuts an array at given places: two cuts make three parts.",
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
    # In floating point 0.7 + 0.1 is a little less than 0.8, and 0.1 + 0.2 a little more than 0.3.
    # A quarter of 7 is 1.75: four parts rounded down leave four rows for one of them. A quarter of
    # 6 is 1.5: rounded to 2 each, they leave none. Six such classes tell chance from a rule.
    for counts, fractions, slack in (
        ((40, 20, 10), [0.7, 0.1, 0.2], 0.01),
        ((60, 30, 10), [0.1, 0.2, 0.7], 0.01),
        ((7, 7, 7, 7, 7, 7, 6), [0.25] * 4, 1),
    ):
        y, share = _drawn(rng, counts), np.outer(fractions, counts)
        parts = _split(ask, y, fractions, rng.integers(1000), len(fractions))
        held = np.array([[(y[rows] == name).sum() for name in np.unique(y)] for rows in parts])
        off, sizes, right = np.abs(held - share).max(), held.sum(axis=1), share.sum(axis=1)
        texts = [" / ".join(map(str, table.tolist())) for table in (share.round(1), held)]
        if off > slack:
            mistakes = {
                "remainder": slack == 1,
                "cut-off": off < 1.5 and np.abs(sizes - right).max() > 2,  # in each class alike
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
        return any((np.diff(rows[y[rows] == name]) > 0).all() for name in np.unique(y))

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
        "one-n": [vary(_error, n=np.mean), vary(_error, n=lambda n: np.ravel(n)[0])],
        "half-width": lambda a, n: 1.96 * _error(a, n),
        "n-minus-one": vary(_error, n=lambda n: n - 1),
        "only-right-rows": lambda a, n: np.sqrt(a / n),
        "root-of-n-only": lambda a, n: a * (1 - a) / np.sqrt(n),
        "percent": lambda a, n: 100 * _error(a, n),
    },
    hints={
        "variance": "That is the variance of the score. Take its root: the standard error is in the unit of the accuracy.",
        "one-row": "That is the standard deviation of a single row. The mean over n rows spreads less: divide the variance by n.",
        "one-n": "You use one number of rows for all entries. Each accuracy has an n of its own, in the same place of the other array.",
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
    more="For accuracy 0.9 the variance of one row is 0.9 * 0.1 = 0.09, that of the mean of 100 rows 0.0009, and the root of this is 0.03.",
)
def is_the_root(ask, rng):
    """is the root of A (1 - A) / n"""
    return ask(rng.uniform(0.6, 0.9), int(rng.integers(6, 12)))


@standard_error.check(
    hint="Arrays must be handled entry by entry, each accuracy with its own n, and a score of 0 or 1 has standard error 0.",
    more="NumPy's arithmetic works on arrays as it stands: avoid math.sqrt, if and float(...).",
)
def takes_arrays(ask, rng):
    """works on arrays, entry by entry"""
    accuracy = np.array([[0.0, 0.2, 0.5], [0.8, 1.0, 0.35]])
    return ask(accuracy, rng.choice(np.arange(100, 1000), size=(2, 3), replace=False))


@standard_error.check(
    hint="Four times as many rows must halve the standard error.",
    more="n stands under the root: for accuracy 0.9 the error is 0.03 with 100 rows and 0.015 with 400.",
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
        "drawn-twice": vary(_group, order=lambda rng, names: rng.choice(names, len(names))),
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
        "drawn-twice": "Fewer groups than asked for, as if some were drawn twice: rng.choice does that unless you say replace=False, and so does a draw of rows. Shuffle the different names and take the first.",
        "unshuffled": "The groups are cut in the order of their names. Shuffle them first: the last groups may be the newest, or the sickest.",
    },
)


@group_split.check(
    points=2,
    hint="No group may have rows in both parts. Draw groups, then take all of their rows.",
    more="np.unique lists the groups; np.isin tells of each row whether its group is among those that you drew.",
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
    hint="The dev part holds fraction times the number of groups, rounded to the nearest whole number: no more and no less. Count groups, not rows, and leave their number to no chance.",
    more="Count the different groups first: of 8 groups and fraction 0.2, round(1.6) = 2 go to dev.",
)
def takes_the_share_of_groups(ask, rng):
    """puts the share of the groups, rounded, into the second part"""
    # Of many groups of one size some are drawn twice, if they can be. Of few, one has most of the
    # rows: counting rows would go wrong.
    for number, fraction, count in ((60, 0.75, 45), (10, 0.2, 2), (8, 0.2, 2), (7, 0.3, 2)):
        sizes = [60, *rng.integers(1, 4, size=number - 1)] if number < 60 else [2] * number
        groups = _drawn(rng, sizes)
        parts = _parts(ask(groups, fraction, int(rng.integers(1000))), 2)
        if any(((rows < 0) | (rows >= len(groups))).any() for rows in parts):
            _hold_each_row_once(parts, groups)
        held = [len(np.unique(groups[part])) for part in parts]
        shown = f"{number - count} and {count} groups", f"{held[0]} and {held[1]} groups"
        if held != [number - count, count]:
            down = int(fraction * number)
            mistakes = {
                "swapped": held == [45, 15],
                "drawn-twice": sum(held) == 60 and held[1] < 40,
                "rounded-down": held == [number - down, down],
            }
            return judge(False, *shown, mistakes)
    return judge(True, *shown)


@group_split.check(
    hint="Which groups go to the second part must be drawn by a generator made from the seed.",
    more="Make np.random.default_rng(seed), shuffle the names of the groups with it, and take the first of them.",
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
        "ratio": vary(_diagnose, gaps=lambda t, td, d, b: (t / b, td / t, d / td)),
        "first-found": vary(_diagnose, choose=lambda large: large[0]),
        "smallest": vary(_diagnose, gaps=lambda t, td, d, b: (b - t, t - td, td - d), above=-1),
        "percent": vary(_diagnose, above=1),
        "border": vary(_diagnose, above=np.nextafter(0.01, 0)),
        "rounded": vary(
            _diagnose,
            gaps=lambda t, td, d, b: tuple(np.round((t - b, td - t, d - td), 2).tolist()),
        ),
        "whole-way": lambda t, td, d, b: (
            _diagnose(t, td, d, b, above=-1) if d - b > 0.01 else "none"
        ),
        "always-a-name": vary(_diagnose, above=-1),
        "absolute": vary(
            _diagnose, gaps=lambda t, td, d, b: (abs(t - b), abs(td - t), abs(d - td))
        ),
        "capitals": lambda *case: _diagnose(*case).capitalize(),
    },
    hints={
        "ratio": "You compare ratios of the errors. A gap is a difference: train - bayes.",
        "without-train-dev": "You call everything between train and dev error variance. Rows of train-dev are new but from the same source: the step from train to train-dev is variance, the step from train-dev to dev is mismatch.",
        "without-bayes": "Only the part of the train error above the Bayes error can be avoided: bias is train - bayes.",
        "from-bayes": "You measure every gap from the Bayes error. Each gap is one step: from bayes to train, from train to train-dev, from train-dev to dev.",
        "first-found": "You return the first gap that is large enough. Compare all three and name the largest.",
        "smallest": "You named the smallest gap: is a difference the wrong way round?",
        "percent": "Gaps above 0.01 are not large enough for you. The errors are shares: one percentage point is 0.01.",
        "border": "A gap of exactly 0.01 is not above one percentage point: compare with >, not with >=.",
        "rounded": "0.0102 is above 0.01, and a gap of 0.034 is larger than one of 0.032: do not round the gaps, and compare with 0.01 itself.",
        "whole-way": 'You compare the whole way from the Bayes error to the dev error with 0.01. Each gap counts by itself: three gaps of 0.009 are "none".',
        "always-a-name": 'Where all gaps are below 0.01 there is nothing to name: answer "none".',
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
    more="Keep the gaps in a dict by name: max takes a key. Of project A they are 0.08, 0.01 and 0.01.",
)
def names_the_largest_gap(ask, rng):
    """names the largest of the three gaps"""
    cases = []
    # The gaps are near each other: as whole per cents they are equal, but for the first of some.
    # One of 0.005 is too small: there the first gap that is large enough is variance.
    # Over a high Bayes error ratios of the errors would name the largest gap too, over a low one not.
    for largest, first, floor in (
        (0, 0.034, 0.1),
        (1, 0.031, 0.6),
        (2, 0.005, 0.1),
        (1, 0.02, 0.1),
        (2, 0.02, 0.1),
        (0, 0.034, 0.1),
    ):
        gaps = np.array([first, *rng.uniform(0.031, 0.032, size=2)])
        gaps[largest] = 0.034
        bayes = floor + rng.uniform(0.01, 0.05)
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
    more="Find the name first, then compare its gap with 0.01. The gaps of project D are 0.005, 0.005 and 0.003: none is above.",
)
def small_gaps_are_none(ask, rng):
    """answers "none" when no gap is above one percentage point"""
    b, small, more = rng.integers(600, 900) / 1e4, 0.0098, 0.0102
    cases = [
        (b + small, b + 2 * small, b + 3 * small, b),
        (b, b, b + more, b),
        (b, b + more, b, b),
        (b + more, b + more, b - 0.05, b),
        (b + more, b - 0.03, b - 0.03, b),
        (b - 0.04, b - 0.04 + more, b - 0.04 + more, b),
        (b, b + small, b - 0.04, b),
        (0.01, 0.01, 0.01, 0.0),  # a difference from 0 is exact: these gaps are 0.01
        (0.0, 0.01, 0.01, 0.0),
        (0.0, 0.0, 0.01, 0.0),
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
    """Return the losses at the start and after each step, by the name of the part.

    "hits" are the shares of right dev rows.
    """
    x, (w, b), losses = _scaled(x, parts, scaler, ddof), start, []
    fitted = np.concatenate([parts[name] for name in fit_on])
    for _ in range(steps + 1):
        log_p = log_softmax(x @ w + b)
        hits = (log_p.argmax(axis=1) == y)[parts["dev"]].mean()
        losses.append([*(-log_p[rows, y[rows]].mean() for rows in parts.values()), hits])
        d = (np.exp(log_p[fitted]) - np.eye(len(b))[y[fitted]]) / len(fitted)
        w, b = w - lr * x[fitted].T @ d, b - lr * d.sum(axis=0)
    return dict(zip((*parts, "hits"), np.array(losses).T, strict=True))


def _scores(
    x, y, parts, start, lr, steps, *, scaler="train", fit_on=("train",), ddof=0,
    step=lambda losses, name: losses["dev"].argmin(), report=("dev", "test"), counted=slice(1, None),
):  # fmt: skip
    losses = _course(x, y, parts, start, lr, steps, scaler, fit_on, ddof)
    losses = {name: course[counted] for name, course in losses.items()}
    return tuple(losses[name][step(losses, name)] for name in report)


def _before_it_rises(losses, name):
    """Return the step after which the dev loss rises for the first time."""
    rises = np.diff(losses["dev"], append=np.inf) > 0
    return rises.argmax()


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
        "start-counted": [vary(_scores, counted=slice(-1)), vary(_scores, counted=slice(None))],
        "first-rise": vary(_scores, step=_before_it_rises),
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
        "start-counted": "The starting weights compete with the steps: you compute losses before a step. Compute them after each step only.",
        "first-rise": "You stop where the dev loss rises for the first time. It may fall again: look at all steps and take the lowest.",
        "two-picks": "Each loss is the lowest of its own part, so the test rows pick a step too. Report both at the step that dev picks.",
        "swapped": "Return the dev loss first, then the test loss.",
        "sample-sd": "Your standard deviation divides by n - 1, as torch.std does by default. Here it divides by n, as np.std does.",
    },
)


def _drawn_project(rng, low, high, steps):
    """Draw a small project with a learning rate from low to high."""
    train, dev, test = np.split(rng.permutation(33), [14, 23])
    parts, y = {"train": train, "dev": dev, "test": test}, rng.integers(0, 3, 33)
    x = rng.normal(size=(33, 3)) + 0.8 * rng.normal(size=(3, 3))[y]
    x[dev], x[test] = 0.5 + 1.3 * x[dev], 0.8 * x[test] - 0.4  # with statistics of their own
    x = x * np.array([1.0, 3.0, 0.4]) + np.array([0.5, -2.0, 1.0])
    start = (0.3 * rng.normal(size=(3, 3)), 0.1 * rng.normal(size=3))
    return x, y, parts, start, float(rng.uniform(low, high)), steps


@functools.lru_cache(maxsize=8)  # every mistake meets the same project, and a search is slow
def _project(seed, steps=10):
    """Draw a project in which dev, test and train would each pick another step.

    The share of right dev rows would too. Also return the place of the step that dev picks.
    """
    rng = np.random.default_rng(seed)
    for _ in range(300):
        project = _drawn_project(rng, 0.5, 0.8, steps)
        losses = _course(*project)
        dev_loss, test_loss, hits = (losses[name][1:] for name in ("dev", "test", "hits"))
        best = dev_loss.argmin()
        picks = {best, test_loss.argmin(), steps - 1}
        clear = np.diff(np.sort(dev_loss))[0] > 1e-5 and test_loss[best] > 1.01 * test_loss.min()
        if len(picks) == 3 and 0 not in picks and clear and hits[best] < hits.max():
            break
    return project, best


@functools.lru_cache(maxsize=8)
def _rough_project(seed, steps=5):
    """Draw a project whose steps are too long: the dev loss rises at once, and falls again later.

    Then its lowest value is not where it first rises, and the start does not count.
    """
    rng = np.random.default_rng(seed)
    for _ in range(300):
        project = _drawn_project(rng, 6, 12, steps)
        start, *dev_loss = _course(*project)["dev"]
        lowest, second = np.sort(dev_loss)[:2]
        late = _before_it_rises({"dev": dev_loss}, "dev") != np.argmin(dev_loss) < steps - 1
        if start < 0.95 * lowest < 0.9 * second and late:
            break
    return project


@honest_scores.check(
    points=3,
    hint="Go through the routine and ask of each line which rows it uses: scaler and gradient train rows only, the choice of the step dev rows only.",
    more="Three lines of the broken routine see rows that they must not see: the scaling, the loss of the backward pass, and the choice of the best step. All else may stay.",
)
def reports_the_step_that_dev_picks(ask, rng):
    """gives the dev and test loss after the step that the dev rows pick"""
    seed = rng.bit_generator.seed_seq.entropy[0]
    *rough, steps = _rough_project(seed % 8)
    return {
        "10 short steps": ask(*_project(seed)[0]),
        f"{steps} long steps": ask(*rough, steps),
        "one long step": ask(*rough, 1),
    }


@honest_scores.check(
    hint="This is not the dev loss of the lowest step, now that the test rows lie far off. Does the scaler, the gradient or the choice of the step use them? If none does, mend the first check before this one.",
    more="Look for every place where all of x or y, or parts['test'], enters before the final report.",
    keeps_input=True,
)
def test_rows_touch_nothing(ask, rng):
    """leaves the dev loss as it is when the test rows change"""
    (x, y, parts, start, lr, _), best = _project(rng.bit_generator.seed_seq.entropy[0])
    x, y, test = x.copy(), y.copy(), parts["test"]
    x[test], y[test] = 3 * x[test] + 5, (y[test] + 1) % 3
    # The last step is the lowest: it must not be left out.
    return outputs(ask(x, y, parts, start, lr, best + 1), (), ())[0]
