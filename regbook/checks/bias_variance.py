"""Checks of chapter 03: Bayes error, the decomposition, diagnosis, learning curves, a budget."""

import itertools

import numpy as np

from regbook.exercise import Chapter, Failed, brief, judge, outputs, training, vary

chapter = Chapter("03_bias_variance")


# --- bayes_error -----------------------------------------------------------------------------


def _entropy(p, p_x):
    return -(p_x @ (p * np.log(np.maximum(p, 1e-300))).sum(axis=1))


bayes_error = chapter.exercise(
    "bayes_error",
    lambda p, p_x: 1 - p_x @ p.max(axis=1),
    mistakes={
        "accuracy": lambda p, p_x: p_x @ p.max(axis=1),
        "unweighted": lambda p, p_x: 1 - p.max(axis=1).mean(),
        "majority": lambda p, p_x: 1 - (p_x @ p).max(),
        "least probable": lambda p, p_x: p_x @ p.min(axis=1),
        "guessing": lambda p, p_x: 1 - p_x @ (p**2).sum(axis=1),
        "entropy": _entropy,
        "worst input": lambda p, p_x: 1 - p.max(axis=1).min(),
        "across inputs": lambda p, p_x: 1 - p.max(axis=0).mean(),
    },
    hints={
        "accuracy": "This is the accuracy of the best classifier. Its error is what is left to 1.",
        "unweighted": "You averaged over the inputs as if all were equally frequent. Weight them by p_x.",
        "majority": "You gave every input the same answer, the most frequent class. The best classifier picks the class anew at each input.",
        "least probable": "You took the smallest probability of each row. With more than two classes the error is everything but the largest.",
        "guessing": "This is the error of drawing the answer from p(k|x). The best classifier always gives the most probable class.",
        "entropy": "You computed the entropy. It is the floor of the cross-entropy, not of the error.",
        "worst input": "You took the worst input alone. Average over the inputs, with the weights p_x.",
        "across inputs": "You took the maximum down each column. It belongs to each row: one input, all classes.",
    },
)


@bayes_error.check(
    points=0.5,
    hint="At each input the best answer is the most probable class; weight its chance of being wrong by the probability of the input.",
    more="At an input with the probabilities 0.2, 0.7, 0.1 the best answer errs with the chance 0.3. An input that comes twice as often counts twice as much.",
)
def is_the_error_of_the_best_answer(ask, rng):
    """is the weighted chance that the most probable class is wrong"""
    points, classes = 5, 4
    return ask(rng.dirichlet(np.full(classes, 0.6), size=points), rng.dirichlet([0.8] * points))


@bayes_error.check(
    points=0.25,
    hint="If each input has one certain class, the best classifier never errs.",
    more="A row such as [0, 1, 0] contributes nothing to the error.",
)
def is_zero_without_overlap(ask, rng):
    """is 0 when every input has one certain class"""
    return ask(np.eye(3)[rng.integers(0, 3, size=6)], rng.dirichlet(np.ones(6)))


@bayes_error.check(
    points=0.25,
    hint="If x says nothing about the class, the best answer is one class out of K: 1 - 1/K.",
    more="For K equally probable classes every row has the maximum 1/K.",
)
def is_chance_when_x_says_nothing(ask, rng):
    """is 1 - 1/K when all K classes are equally probable everywhere"""
    classes = int(rng.choice([3, 6, 7]))  # of these, 1 / K has more than two digits
    return ask(np.full((4, classes), 1 / classes), rng.dirichlet(np.ones(4)))


# --- bias_variance_decomposition -------------------------------------------------------------


def _split(predictions, targets, *, bias=lambda gaps: (gaps**2).mean(), spread=np.var, axis=0):
    return bias(predictions.mean(axis=0) - targets), spread(predictions, axis=axis).mean()


def _centres_in_place(predictions, targets):
    average = predictions.mean(axis=0)
    predictions -= average
    return ((average - targets) ** 2).mean(), (predictions**2).mean()


decomposition = chapter.exercise(
    "bias_variance_decomposition",
    _split,
    mistakes={
        "swapped": lambda p, t: _split(p, t)[::-1],
        "unbiased variance": vary(_split, spread=lambda p, axis: p.var(axis=axis, ddof=1)),
        "bias not squared": vary(_split, bias=np.mean),
        "averaged too early": vary(_split, bias=lambda gaps: gaps.mean() ** 2),
        "absolute bias": vary(_split, bias=lambda gaps: np.abs(gaps).mean()),
        "error as bias": lambda p, t: (((p - t) ** 2).mean(), _split(p, t)[1]),
        "whole variance": vary(_split, axis=None),
        "across points": vary(_split, axis=1),
        "standard deviation": vary(_split, spread=np.std),
        "sums": lambda p, t: tuple(t.size * part for part in _split(p, t)),
        "changes its input": _centres_in_place,
    },
    hints={
        "changes its input": "Your function writes into an array that it was given, so whoever called it has lost those values. Make a new one: predictions - average does, predictions -= average does not.",
        "swapped": "Return (bias2, variance), in this order.",
        "unbiased variance": "You divided by the number of sets minus 1. Divide by the number of sets: then both parts add up to the mean squared distance exactly.",
        "bias not squared": "You returned the bias. Its square belongs in the sum.",
        "averaged too early": "You averaged the bias over the points and then squared. Biases of different sign cancel that way: square at each point first.",
        "absolute bias": "You took absolute values. The decomposition holds for squares.",
        "error as bias": "Your first value is the whole squared error. Average the predictions over the sets first, then compare with the targets.",
        "whole variance": "Your variance mixes sets and points. Take it over the sets, at each point.",
        "across points": "You took the variance over the points. It is over the training sets: axis 0.",
        "standard deviation": "You returned a standard deviation. The variance is its square.",
        "sums": "You added over the points. Take the mean.",
    },
)


@decomposition.check(
    points=1,
    hint="First average the predictions over the training sets, down each column. Everything else compares with that average.",
    more="The average over the sets has the shape (points,). Its squared distance to the targets gives bias2; that of the predictions to it gives the variance.",
)
def splits_the_error(ask, rng):
    """gives squared bias and variance, averaged over the points"""
    sets, points = 5, 4
    targets = rng.normal(size=points)
    offset = rng.uniform(0.8, 1.6, points) * [1, -1, 1, 1]  # biases of both signs
    spread = rng.uniform(0.5, 1.5) * rng.normal(size=(sets, points))
    return ask(targets + offset + spread, targets)


@decomposition.check(
    points=0.5,
    keeps_input=True,
    hint="bias2 + variance must be the mean of (predictions - targets)**2, to the last digit.",
    more="The cross term vanishes only for the plain variance, around the average of the same sets.",
)
def adds_up_to_the_error(ask, rng):
    """gives two numbers that add up to the mean squared distance to the truth"""
    parts = outputs(ask(rng.normal(1, 2, size=(4, 6)), rng.normal(size=6)), (), ())
    return {"their sum": sum(parts), "both above 0.01": min(parts) > 0.01}


@decomposition.check(
    points=0.5,
    hint="If all models predict the same, nothing varies: the whole error is bias.",
    more="With equal rows the average is each row, so the variance is 0.",
)
def finds_no_variance_in_equal_models(ask, rng):
    """finds no variance when all models predict the same"""
    targets, shift = rng.normal(size=3), rng.uniform(0.5, 1)
    return ask(np.tile(targets + shift, (4, 1)), targets)


# --- next_step -------------------------------------------------------------------------------

QUESTION, STOP, REPEAT = "question the Bayes error", "stop", "repeat more"
BIAS, VARIANCE = "reduce bias", "reduce variance"


def _interval(values, *, errors=2.0, ddof=1, root=np.sqrt):
    """Return the mean plus and minus two standard errors, as (low, high)."""
    half = errors * values.std(ddof=ddof) / root(len(values))
    return values.mean() - half, values.mean() + half


def _apart(bias, variance, interval):
    """Compare two intervals instead of asking for that of the difference."""
    (low, high), (lower, higher) = interval(bias), interval(variance)
    return low - higher, high - lower


def _as_if_independent(bias, variance, interval):
    (low, high), (lower, higher) = interval(bias), interval(variance)
    mean, half = bias.mean() - variance.mean(), np.hypot(high - low, higher - lower) / 2
    return mean - half, mean + half


def _diagnosis(
    train_errs, dev_errs, bayes_err,
    *, interval=_interval, bias=lambda t, d, b: t - b, variance=lambda t, d, b: d - t,
    beaten=lambda t, d: d, small=0.02, both=all, surely=lambda low, high: high,
    between=lambda bias, variance, interval: interval(bias - variance), tie=REPEAT,
):  # fmt: skip
    """Diagnose from repeats; the options are for the mistakes."""
    errors = train_errs, dev_errs, bayes_err
    gaps = bias(*errors), variance(*errors)
    if interval(beaten(train_errs, dev_errs) - bayes_err)[1] < 0:
        return QUESTION
    if both(surely(*interval(gap)) < small for gap in gaps):
        return STOP
    low, high = between(*gaps, interval)
    return BIAS if low > 0 else VARIANCE if high < 0 else tie


def _swapped(train, dev, bayes):
    found = _diagnosis(train, dev, bayes)
    return {BIAS: VARIANCE, VARIANCE: BIAS}.get(found, found)


def _larger_mean(train, dev, bayes):
    found = _diagnosis(train, dev, bayes)
    return _diagnosis(train, dev, bayes, interval=MEANS) if found == REPEAT else found


MEANS = vary(_interval, errors=0.0)

next_step = chapter.exercise(
    "next_step",
    _diagnosis,
    mistakes={
        "means only": vary(_diagnosis, interval=MEANS),
        "always decided": [
            _larger_mean,
            vary(_diagnosis, tie=VARIANCE),
            vary(_diagnosis, tie=BIAS),
        ],
        "spread of the repeats": vary(_diagnosis, interval=vary(_interval, root=lambda n: 1)),
        "one standard error": vary(_diagnosis, interval=vary(_interval, errors=1.0)),
        "more than two": vary(_diagnosis, interval=vary(_interval, errors=3.0)),
        "divided by n": vary(_diagnosis, interval=vary(_interval, ddof=0)),
        "root forgotten": vary(_diagnosis, interval=vary(_interval, root=lambda n: n)),
        "not paired": [
            vary(_diagnosis, between=_apart),
            vary(_diagnosis, between=_as_if_independent),
        ],
        "floor of zero": vary(_diagnosis, bias=lambda t, d, b: t),
        "variance from Bayes": vary(_diagnosis, variance=lambda t, d, b: d - b),
        "no tolerance": vary(_diagnosis, small=-1.0),
        "stops by the means": vary(_diagnosis, surely=lambda low, high: (low + high) / 2),
        "stops by one gap": vary(_diagnosis, both=any),
        "floor believed": vary(_diagnosis, beaten=lambda t, d: np.full_like(d, 2.0)),
        "floor beaten by the mean": lambda t, d, b: (
            QUESTION if d.mean() < b else _diagnosis(t, d, b)
        ),
        "train beats Bayes": vary(_diagnosis, beaten=np.minimum),
        "swapped": _swapped,
    },
    hints={
        "text": "Return one of the five texts of the exercise, letter by letter.",
        "floor of zero": "You took the whole training error for avoidable bias. Subtract the Bayes error: below it nothing can be won.",
        "variance from Bayes": "You measured the variance from the Bayes error. It is the gap between dev and train.",
        "floor believed": "No model beats the Bayes error. Where the dev errors surely do, the estimate of the Bayes error is too high: ask that first.",
        "train beats Bayes": "A training error below the Bayes error is no contradiction, because the model knows these rows by heart. Only the dev error must not beat the floor.",
        "floor beaten by the mean": "A mean dev error below the Bayes error may be chance. Question the Bayes error only where the interval of dev minus Bayes lies below 0.",
        "swapped": "You swap the two words. Train minus Bayes is the bias, dev minus train the variance; the larger gap comes first.",
        "means only": "You compare means alone. Another set of repeats could turn them round: take two standard errors on both sides.",
        "always decided": "You name a gap although the interval of their difference includes 0. Then the repeats do not tell which is larger.",
        "spread of the repeats": "You took the standard deviation of the repeats. Their mean varies less: divide by the root of their number.",
        "one standard error": "You took one standard error on each side. Take two.",
        "more than two": "Your interval is wider than two standard errors on each side, so it asks for more repeats than it has to.",
        "divided by n": "Your standard deviation divides by n. With few repeats that is too small: divide by n - 1 (ddof=1).",
        "root forgotten": "You divided the standard deviation by n. The standard error divides it by the root of n.",
        "not paired": "You treat the two gaps as if they were measured apart. Both come from the same repeats and share their luck: take the difference of the gaps in each repeat, and then one interval.",
        "no tolerance": 'If both gaps are surely below 0.02, the answer is "stop".',
        "stops by the means": "You stop because the means of the gaps are below 0.02. Their intervals must be.",
        "stops by one gap": "You stop although only one gap is small. Both must be.",
    },
)


def _repeats(rng, n, bias, variance, floor, spread=(0.01, 0.01), shared=0.0):
    """Return errors of n repeats whose gaps have these means, and these standard errors exactly.

    spread: the standard errors of train and of dev minus train. shared: how much of the luck of a
    repeat its two gaps have in common, -1 to 1.
    """
    drawn = np.linalg.qr(np.column_stack([np.ones(n), rng.normal(size=(n, 2))]))[0][:, 1:]
    one, other = drawn.T * np.sqrt(n * (n - 1))  # mean 0, standard error 1, and no correlation
    train = floor + bias + spread[0] * one
    gap = variance + spread[1] * (shared * one + np.sqrt(1 - shared**2) * other)
    return train, train + gap, floor


def _diagnoses(ask, cases):
    """Return the diagnosis of each case (train, dev, bayes), by the case in words."""
    found = {}
    for train, dev, bayes in cases:
        shown = f"train {train.mean():.3f}, dev {dev.mean():.3f}, Bayes {bayes:.3f} ({len(dev)} repeats)"
        text = found[shown] = ask(train, dev, bayes)
        if isinstance(text, str) and text not in (QUESTION, STOP, REPEAT, BIAS, VARIANCE):
            raise Failed("one of the five texts", brief(text), "text")
    return found


@next_step.check(
    points=2,
    hint="In each repeat compute both gaps, train - bayes and dev - train, and the difference of the two. Its interval decides.",
    more="The interval is the mean of the differences plus and minus two standard errors. If it lies above 0, the bias is surely the larger gap; if below, the variance is.",
)
def attacks_the_gap_that_is_surely_larger(ask, rng):
    """names the larger gap where the repeats tell which one is larger"""
    floor, large, small = rng.uniform(0.1, 0.2), rng.uniform(0.1, 0.12), rng.uniform(0.03, 0.05)
    return _diagnoses(
        ask,
        [
            _repeats(rng, 5, large, small, floor),
            _repeats(rng, 6, small, large, floor + 0.05),
            _repeats(rng, 8, -small, large, 0.2 + floor),
            _repeats(rng, 7, large, -0.03, floor),
            # The gaps vary more than they differ, but they vary together.
            _repeats(rng, 6, large, large - 0.03, floor, (0.03, 0.03), shared=0.95),
            _repeats(rng, 9, small, small + 0.035, floor + 0.01, (0.03, 0.03), shared=0.95),
        ],
    )


@next_step.check(
    points=2,
    hint="Where the interval of the difference includes 0, the repeats do not tell: the answer is to repeat more.",
    more="The standard error is the standard deviation of the values (with n - 1) divided by the root of their number. More repeats make it smaller.",
    keeps_input=True,
)
def repeats_where_chance_could_decide(ask, rng):
    """asks for more repeats, and decides once there are enough"""
    floor, gap, each = rng.uniform(0.15, 0.2), rng.uniform(0.06, 0.08), 0.01
    apart = np.hypot(each, each)  # the standard error of the difference of the gaps
    cases = [
        _repeats(rng, n, gap + sign * ratio * apart, gap, floor + 0.01 * i, (each, each))
        for i, (n, ratio, sign) in enumerate(
            [
                (4, 1.9, 1),
                (5, 2.1, 1),
                (4, 1.9, -1),
                (5, 2.1, -1),
                (25, 1.6, 1),
                (25, 2.1, -1),
                (16, 0.7, 1),
            ]
        )
    ]
    # Gaps that vary against each other: their difference varies most.
    cases.append(_repeats(rng, 6, gap + 0.035, gap, floor, (0.01, 0.01), shared=-0.95))
    tie = np.full(3, 0.25), np.full(3, 0.375), 0.125  # two equal gaps, without any spread
    return _diagnoses(ask, [*cases, tie])


@next_step.check(
    hint="Stop where the intervals of both gaps lie below 0.02, and only there.",
    more="Both must be surely small: with gaps of 0.01 and 0.03 there is work to do, and with 0.01 and 0.015, each with a standard error of 0.01, nobody knows.",
)
def stops_when_both_gaps_are_surely_small(ask, rng):
    """stops when both gaps are surely below 0.02, and not before"""
    gaps = [(0.01, 0.012, 0.003), (-0.005, 0.007, 0.005), (0.015, 0.014, 0.002)]  # stop
    gaps += [(0.015, 0.014, 0.004), (0.016, 0.005, 0.003), (0.005, 0.035, 0.002)]  # do not
    gaps += [(0.04, 0.006, 0.003)]
    cases = [
        _repeats(rng, 5, bias, variance, rng.uniform(0.1, 0.2), (error, error))
        for bias, variance, error in gaps
    ]
    borders = [(np.zeros(4), np.full(4, gap), 0.0) for gap in (0.02, 0.0199)]  # without any spread
    return _diagnoses(ask, [*cases, *borders])


@next_step.check(
    hint="Before you look at the gaps, ask whether the dev error surely lies below the Bayes error.",
    more="It is the first question: nothing beats the floor, so the estimate of it is wrong. The training error may, by learning its rows by heart, and a mean below it may be chance.",
)
def questions_an_impossible_floor(ask, rng):
    """questions the Bayes error when, and only when, the dev errors surely beat it"""
    far, floor = rng.uniform(0.05, 0.08), rng.uniform(0.2, 0.3)
    spread = 0.01, 0.01
    cases = [
        _repeats(rng, n, bias, variance, floor + 0.01 * i, spread)
        for i, (n, bias, variance) in enumerate(
            [
                (5, -far, 0.01),
                (6, -far, 0.03),
                (7, -far, far - 0.01),
                (8, -far, far + 0.04),
                (9, 0.01, 0.06),
            ]
        )
    ]
    equal = np.full(4, 0.125), np.full(4, 0.25), 0.25
    return _diagnoses(ask, [*cases, equal])


@next_step.check(
    hint="The same errors mean different things under different floors.",
    more="Subtract the Bayes error from the training error of every repeat; the spread stays as it is.",
)
def diagnoses_the_same_errors_under_several_floors(ask, rng):
    """changes the diagnosis when only the Bayes error changes"""
    train, dev, _ = _repeats(rng, 6, 0.0, 0.04, rng.uniform(0.2, 0.3), (0.004, 0.004))
    biases = 0.15, 0.04, 0.001, -0.025, -0.06
    return _diagnoses(ask, [(train, dev, train.mean() - bias) for bias in biases])


# --- learning_curve --------------------------------------------------------------------------


def _shuffled(m, seed):
    return np.random.default_rng(seed).permutation(m)


def _learning_curve(fit_score, X, y, sizes, seed, *, order=_shuffled):
    rows = order(len(X), seed)
    return np.array([fit_score(X[rows[:size]], y[rows[:size]]) for size in sizes])


def _shuffles_in_place(fit_score, X, y, sizes, seed):
    rows = _shuffled(len(X), seed)
    X[:], y[:] = X[rows], y[rows]
    return np.array([fit_score(X[:size], y[:size]) for size in sizes])


def _with_sizes(fit_score, X, y, sizes, seed):
    return np.column_stack([sizes, _learning_curve(fit_score, X, y, sizes, seed)])


learning_curve = chapter.exercise(
    "learning_curve",
    _learning_curve,
    mistakes={
        "sizes": vary(_learning_curve, sizes=lambda sizes: [n - 1 for n in sizes]),
        "first rows": vary(_learning_curve, order=lambda m, seed: np.arange(m)),
        "last rows": vary(_learning_curve, order=lambda m, seed: np.arange(m)[::-1]),
        "one block": vary(_learning_curve, order=lambda m, seed: np.roll(np.arange(m), seed)),
        "seed ignored": vary(_learning_curve, seed=0),
        "not reproducible": vary(_learning_curve, seed=None),
        "sorted": vary(_learning_curve, sizes=sorted),
        "reversed": vary(_learning_curve, sizes=lambda sizes: sizes[::-1]),
        "with sizes": _with_sizes,
        "mean": lambda *arguments: _learning_curve(*arguments).mean(),
        "changes its input": _shuffles_in_place,
    },
    hints={
        "changes its input": "Your function changes what it was given. Whoever called it has lost the order of the rows, and the next call with this seed draws others. X[order[:size]] makes a new array and leaves X alone.",
        "calls": "Call fit_score once for each size.",
        "sizes": "fit_score gets other numbers of rows than `sizes` says. A size is a number of rows.",
        "torn apart": "X and y must be drawn with the same order: index both with one permutation.",
        "with replacement": "A row occurs twice in one training set. Draw without replacement.",
        "first rows": "You took the first rows of X. If X is sorted by class, they hold one class only: shuffle first.",
        "last rows": "You took the last rows of X. If X is sorted by class, they hold one class only: shuffle first.",
        "one block": "The rows of a set stand side by side in X, or at a fixed distance: the seed only says where they begin. Shuffle all rows.",
        "seed ignored": "Another seed gives the same rows. Pass `seed` to the generator.",
        "not reproducible": "Two calls with one seed draw different rows. Seed a generator inside the function.",
        "not nested": "Each size draws its rows anew. Shuffle once before the loop, so that only the number of rows changes along the curve.",
        "some rows only": "Some rows are hardly ever drawn, or nearly always. Draw from all rows.",
        "sorted": "Your scores come in ascending order of the sizes. Keep the order of `sizes`.",
        "reversed": "Your scores come in the reverse order. Keep the order of `sizes`.",
        "with sizes": "Return the scores alone, without the sizes.",
        "mean": "Return one score per size, not their mean.",
    },
)

M = 40
NUMBERED = np.column_stack([np.arange(M), np.arange(M) % 7]).astype(float)  # X, sorted


def _watched(ask, sizes, seed):
    """Ask for a curve; return it and the rows of X and of y that each call of fit_score got."""
    calls = []

    def fit_score(x, y):
        x, y = np.asarray(x), np.asarray(y)
        if x.ndim != 2 or y.ndim != 1:
            raise ValueError(f"fit_score needs X of shape (rows, d), got {x.shape} and {y.shape}")
        calls.append((x[:, 0].round().tolist(), (y - 100).round().tolist()))
        return len(x) / (len(x) + 10)

    targets = 100 + NUMBERED[:, 0]
    return ask(fit_score, NUMBERED, targets, [int(size) for size in sizes], int(seed)), calls


def _drawn(ask, sizes, seed):
    """Ask for a curve; return it and the set of rows that each call got, smallest first.

    Raises Failed unless each size had one call, with that many different rows and their targets.
    """
    curve, calls = _watched(ask, sizes, seed)
    if len(calls) != len(sizes):
        raise Failed(f"{len(sizes)} calls", f"{len(calls)} calls", "calls")
    expected, found = sorted(map(int, sizes)), sorted(len(rows) for rows, _ in calls)
    if found != expected:
        raise Failed(f"{expected} rows", f"{found} rows", "sizes")
    for rows, targets in calls:
        if rows != targets:
            mixed = "rows and targets that do not belong together"
            raise Failed("each row with its own target", mixed, "torn apart")
        if len(set(rows)) < len(rows):
            twice = "the same row twice in a training set"
            raise Failed("rows drawn once", twice, "with replacement")
    return curve, sorted((set(rows) for rows, _ in calls), key=len)


@learning_curve.check(
    points=2,
    hint="For each size pass that many rows of X, and the same rows of y, to fit_score, and return what it returns, unchanged.",
    more="Make one order of the row numbers, and index X and y with the same part of it.",
)
def scores_each_size(ask, rng):
    """returns the score of each size, in the order of `sizes`"""
    curve, _ = _drawn(ask, rng.permutation([1, 8, 15, 27, M]), rng.integers(1, 10_000))
    return curve


@learning_curve.check(
    points=2,
    hint="The rows of X may be sorted. Shuffle before you take the first rows.",
    more="A generator of NumPy has the method permutation, PyTorch has torch.randperm.",
)
def draws_the_rows_at_random(ask, rng):
    """draws the rows at random, all rows with the same chance"""
    seeds = rng.choice(10_000, size=40, replace=False)
    drawn = [_drawn(ask, [10], seed)[1][0] for seed in seeds]
    counts = np.bincount([int(row) for rows in drawn for row in rows], minlength=M)
    same = all(rows == drawn[0] for rows in drawn)
    # Expected 10 of 40 draws with a standard deviation of 2.7: 0 or more than 30 do not happen.
    often = counts.min() > 0 and counts.max() <= 30
    # Of the pairs (i, i + 1) a draw holds 2.2 on the average, a block of 10 rows 9 of them.
    pairs = np.mean([len(rows & {row + 1 for row in rows}) for rows in drawn])
    block = often and not 1 < pairs < 4
    return judge(
        often and not block,
        "each row in about 10 of 40 draws" if not block else "about 2 pairs of neighbours in a draw",
        f"the same rows in all: {brief(np.sort([*drawn[0]]))}" if same
        else f"{pairs:.1f}" if block
        else f"between {counts.min()} and {counts.max()}",
        {
            "one block": block,
            "first rows": same and drawn[0] == set(range(10)),
            "last rows": same and drawn[0] == set(range(M - 10, M)),
            "seed ignored": same,
            "some rows only": True,
        },
    )  # fmt: skip


@learning_curve.check(
    points=2,
    hint="A larger training set must contain every smaller one.",
    more="Shuffle once, before the loop, and take the first `size` rows of the same order.",
)
def nests_the_training_sets(ask, rng):
    """lets every larger training set contain the smaller ones"""
    _, drawn = _drawn(ask, [20, 5, 35, 10], rng.integers(1, 10_000))
    nested = all(small < large for small, large in itertools.pairwise(drawn))
    received = "nested" if nested else "a larger set without some rows of a smaller one"
    return judge(nested, "nested training sets", received, {"not nested": True})


@learning_curve.check(
    keeps_input=True,
    hint="The same seed must give the same curve.",
    more="Make the generator inside the function: np.random.default_rng(seed).",
)
def is_reproducible(ask, rng):
    """gives the same rows for the same seed"""
    seed = rng.integers(1, 10_000)
    first, second = ([set(x) for x, _ in _watched(ask, [7, 20], seed)[1]] for _ in range(2))
    if not first:
        raise Failed("2 calls", "0 calls", "calls")
    received = "the same" if first == second else "other rows in the second run"
    return judge(first == second, "the same rows twice", received, {"not reproducible": True})


# --- train_and_predict -----------------------------------------------------------------------

# An activation and its slope, as a function of its output.
TANH = np.tanh, lambda out: 1 - out**2
NONE = lambda z: z, lambda out: 1.0


def _train(
    x, y, x_new, weights, lam, lr, steps,
    *, hidden=TANH, last=NONE, count=len, biases=0, keep=0, move=np.subtract,
):  # fmt: skip
    """Train by the formulas and predict at x_new; the options are for the mistakes."""

    def forward(x):
        kernel, bias, out_kernel, out_bias = weights
        units = hidden[0](x[:, None] @ kernel + bias)
        return units, last[0](units @ out_kernel + out_bias)

    penalised, before = (1, biases, 1, biases), [0, 0, 0, 0]
    for _ in range(steps):
        units, out = forward(x)
        d_out = 2 / count(x) * (out - y[:, None]) * last[1](out)
        d_hidden = d_out @ weights[2].T * hidden[1](units)
        data = x[None] @ d_hidden, d_hidden.sum(axis=0), units.T @ d_out, d_out.sum(axis=0)
        gradients = [d + 2 * lam * k * w for d, k, w in zip(data, penalised, weights, strict=True)]
        before = [g + keep * b for g, b in zip(gradients, before, strict=True)]
        weights = [move(w, lr * g) for w, g in zip(weights, before, strict=True)]
    return forward(x_new)[1][:, 0]


train_and_predict = chapter.exercise(
    "train_and_predict",
    _train,
    mistakes={
        "broadcast": vary(_train, y=lambda y: np.full_like(y, y.mean())),
        "no tanh": vary(_train, hidden=NONE),
        "tanh at the output": vary(_train, last=TANH),
        "column": lambda *arguments: _train(*arguments)[:, None],
        "sum": vary(_train, count=lambda x: 1),
        "half": vary(_train, count=lambda x: 2 * len(x)),
        "biases": vary(_train, biases=1),
        "no penalty": vary(_train, lam=0.0),
        "half penalty": vary(_train, lam=lambda lam: lam / 2),
        "accumulated": vary(_train, keep=1),
        "training rows": lambda x, y, x_new, *rest: _train(x, y, x, *rest),
        "untrained": vary(_train, steps=0),
        "one step less": vary(_train, steps=lambda steps: steps - 1),
        "one step more": vary(_train, steps=lambda steps: steps + 1),
        "changes its input": vary(_train, move=lambda w, change: np.subtract(w, change, out=w)),
    },
    hints={
        "changes its input": "Your steps write into what they were given, so whoever called you has lost the weights at the start. Copy them first, with w.copy() or torch.tensor(w); torch.from_numpy(w) shares their memory.",
        "broadcast": "Output (m, 1) and targets (m,) are compared all with all, an (m, m) table: give y the shape (m, 1).",
        "no tanh": "The hidden layer has no activation: it needs tanh.",
        "tanh at the output": "The output layer has an activation. Leave it out: targets may lie beyond 1.",
        "column": "Return an array of shape (n,): take the one column of the output.",
        "sum": "You summed the squared errors. The loss is their mean.",
        "half": "You halved the squared error. The loss is the mean of the squares.",
        "biases": "The biases are penalised too. Leave them out.",
        "no penalty": "The penalty has no effect: add lam * sum(w**2) to the loss.",
        "half penalty": "The penalty is half as strong as it should be: PyTorch's weight_decay is 2 * lam.",
        "accumulated": "The gradients of earlier steps are still there: call optimizer.zero_grad() in each step.",
        "training rows": "You predict the training rows. Predict at x_new.",
        "untrained": "The weights did not change: does the optimizer hold them, and is step() called?",
        "one step less": "You take one step too few: `steps` is the number of steps.",
        "one step more": "You take one step too many: `steps` is the number of steps.",
    },
)


def _network(rng, width, new=6):
    """Draw training rows, new inputs and weights."""
    shapes = [(1, width), (width,), (width, 1), (1,)]
    weights = [rng.normal(scale=0.7, size=shape).astype(np.float32) for shape in shapes]
    x, y, x_new = rng.uniform(-1, 1, 6), rng.normal(1, 1, 6), rng.uniform(-1, 1, new)
    return *(values.astype(np.float32) for values in (x, y, x_new)), weights


@train_and_predict.check(
    hint="With 0 steps the answer is tanh(x_new * kernel + bias) @ kernel2 + bias2, of shape (n,).",
    more="Give x_new a second axis, x_new[:, None], and take column 0 of the output: squeeze() would make one prediction a number.",
)
def predicts_with_the_given_weights(ask, rng):
    """gives the output of the given weights when steps is 0, for any width"""
    return {
        f"width {width}, {new} new": ask(*_network(rng, width, new=new), 0.1, 0.1, 0)
        for width, new in ((1, 4), (5, 1))
    }


@train_and_predict.check(
    points=3,
    hint="Take `steps` steps of plain gradient descent on the mean squared error plus the penalty, starting from the given weights.",
    more="The output has the shape (m, 1), so give y the same. The penalty is a sum over the entries of both kernels, not a mean. Let a framework take the gradient.",
)
def takes_the_steps(ask, rng):
    """gives the predictions after four steps of gradient descent"""
    return ask(*_network(rng, 3), rng.uniform(0.3, 0.5), 0.08, 4)


@train_and_predict.check(
    keeps_input=True,
    hint="With lam = 0 each step is plain gradient descent on the mean squared error of all rows: the same rate in each, no momentum.",
    more="The loss is then the plain mean squared error, over all rows at once.",
)
def fits_the_data_without_penalty(ask, rng):
    """follows plain gradient descent when lam is 0"""
    return ask(*_network(rng, 2), 0.0, 0.125, 3)


# --- spend_budget ----------------------------------------------------------------------------

spend = chapter.exercise(
    "spend_budget",
    hints={
        **training.HINTS,
        "too dear": "You ask for a plan that the compute does not pay: rows * units must be at most `compute`.",
        "rows alone": "You compare numbers of rows for one number of units. Where the network is too rigid for its task, no number of rows helps.",
        "units alone": "You compare numbers of units for one number of rows. Where the labels are noisy, more units only learn the noise.",
    },
)

STEPS = 300  # of the final run
CLEAR = 0.08  # of accuracy by which the right side of a project must be ahead of the wrong one
_ROWS, _UNITS, _COMPUTE = np.array([32, 64, 128, 256, 512]), np.array([3, 6, 12, 24, 48]), 1536


def _plan_of(rows, units, compute):
    """Return what reads a plan (rows, units) that is on offer, as `Trials` needs it."""

    def read(value):
        (plan,) = outputs(value, 2)
        for number, offered, name in zip(plan, (rows, units), ("rows", "units"), strict=True):
            if not (abs(offered - number) < 1e-6).any():
                raise ValueError(f"{name} are one of {offered.tolist()}, not {number:g}")
        if plan.prod() > compute:
            raise ValueError(f"{plan[0]:g} rows times {plan[1]:g} units are more than {compute}")
        return tuple(int(number) for number in plan.round())

    return read


def _affordable(rows, units, compute):
    return [(int(m), int(n)) for m in rows for n in units if m * n <= compute]


def _draws_flips(rng):
    """Return what draws rows of 2 classes in 5 dimensions: a plane parts them, a quarter is flipped."""
    centre = rng.normal(size=5)
    centre *= 2.0 / np.linalg.norm(centre)

    def rows(number):
        y = rng.permutation(np.arange(number) % 2)
        x = rng.normal(size=(number, 5)) + centre * (2 * y - 1)[:, None]
        return x, np.where(rng.random(number) < 0.25, 1 - y, y)

    return rows


def _draws_signs(rng):
    """Return what draws rows of 4 classes, which no plane parts: are the signs of two pairs equal?"""
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]

    def rows(number):
        signs = rng.choice([-1.0, 1.0], size=(number, 4))
        y = (signs[:, 0] == signs[:, 1]) + 2 * (signs[:, 2] == signs[:, 3])
        return (signs + 0.35 * rng.normal(size=(number, 4))) @ turn, y

    return rows


class _Project:
    """A task on which networks of several sizes are trained on several numbers of rows."""

    def __init__(self, rng, draws):
        draw = draws(rng)
        self.seed = int(rng.integers(2**32))
        sizes = {"train": _ROWS.max(), "dev": 3000, "test": 300, "hidden": 3000}
        self.rows = {name: draw(number) for name, number in sizes.items()}

    def scores(self, plan, steps, names=("train", "dev", "test"), start=0):
        """Train by a plan from a start; return the accuracy on the rows of each name."""
        rng = np.random.default_rng([self.seed, start])
        number, units = plan
        x, y = (part[:number] for part in self.rows["train"])
        weights = training.train_network(x, y, steps, rng, hidden=units, decay=True)
        given = {**self.rows, "train": (x, y)}
        return {name: training.accuracy(weights, *given[name]) for name in names}

    def hidden(self, plan):
        return training.on_hidden(self.scores, plan, STEPS)


# Of each project: what draws it, plans that spend on the right side, and on the wrong one.
_PROJECTS = {
    "noisy labels": (_draws_flips, [(512, 3), (256, 6)], [(128, 12), (64, 24), (32, 48)]),
    "a task that no plane parts": (_draws_signs, [(64, 24), (128, 12)], [(256, 6), (512, 3)]),
}


def _clear_project(rng, draws, good, poor):
    """Draw projects until one has a clearly right side; return it, and the accuracy of both sides."""
    while True:
        project = _Project(rng, draws)
        high, low = (np.mean([project.hidden(plan) for plan in plans]) for plans in (good, poor))
        if high > low + CLEAR:
            return project, high, low


@spend.check(
    points=3,
    hint="Where labels are noisy, or where a small network is too rigid, your plan does little better on hidden rows than one that spends on the wrong side. Try plans of many rows with few units, and of few rows with many units, and choose by dev.",
    more="List the plans that the compute pays and give all of them an equal share of the budget, or train all of them briefly and the best ones longer. A plan that leaves compute unspent is rarely the best one.",
)
def does_well_on_hidden_rows(ask, rng):
    """spends where it helps on hidden rows, whether the labels are noisy or small networks too rigid"""
    shown = []
    for name, (draws, good, poor) in _PROJECTS.items():
        project, high, low = _clear_project(rng, draws, good, poor)
        trials = training.Trials(project.scores, _plan_of(_ROWS, _UNITS, _COMPUTE), 15 * STEPS)
        chosen = trials.decide(ask, _ROWS, _UNITS, _COMPUTE, STEPS)
        needed = low + 0.4 * (high - low)
        found = project.scores(chosen, STEPS, ["hidden"])["hidden"]
        shown.append((f"{name}: at least {needed:.3f}", f"{found:.3f} by {chosen}"))
        rows, units = (len({plan[i] for plan in trials.runs}) for i in (0, 1))
        if found < needed or min(rows, units) == 1:
            mistakes = {
                "rows alone": units == 1,
                "units alone": rows == 1,
                "short runs": trials.longest < training.SHORT * STEPS,
            }
            return judge(False, *shown[-1], mistakes)
    return judge(True, *map("; ".join, zip(*shown, strict=True)))


def _made_up_plans(rng, plans):
    """Make up scores of all plans: dev is best at one of them, test at another one far away.

    Train is best where there are most units, and the gap smallest where there are few. Compute
    that a plan leaves unspent costs dev and test accuracy.
    """
    at = np.log2(np.array(plans))
    dearest = np.flatnonzero(np.isclose(at.sum(axis=1), at.sum(axis=1).max()))
    here, there = at[rng.permutation(dearest[[1, -2]])]
    return {
        plan: {
            "train": 0.6 + 0.095 * (place[1] - 1),
            "dev": 0.7 - 0.04 * abs(place - here).sum() - 0.03 * (here - place).sum(),
            "test": 0.7 - 0.04 * abs(place - there).sum() - 0.03 * (there - place).sum(),
        }
        for plan, place in zip(plans, at, strict=True)
    }


def _decide_made_up(ask, rng, rows, units, compute, steps, budget):
    plans = _affordable(rows, units, compute)
    table, read = _made_up_plans(rng, plans), _plan_of(rows, units, compute)
    trials = training.Trials(training.made_up(table, steps, rng), read, budget)
    return table, trials, trials.decide(ask, rows, units, compute, steps)


@spend.check(
    points=3,
    hint="Of the plans that you try, choose the one with the highest dev accuracy.",
    more='`train` returns a dict: keep train(plan, steps)["dev"] of every plan, and return the plan of the largest. Compare runs of equal length.',
)
def chooses_by_the_dev_rows(ask, rng):
    """chooses by dev accuracy, when train, dev and test rows disagree"""
    decisions = [
        _decide_made_up(ask, rng, _ROWS, _UNITS, _COMPUTE, STEPS, 20 * STEPS) for _ in range(3)
    ]
    return training.follows_dev(decisions, STEPS)


@spend.check(
    hint="The steps of all your calls of `train` together must be at most `budget`.",
    more="budget // len(plans) steps for each plan are never too many.",
)
def keeps_to_the_budget(ask, rng):
    """compares plans within the budget, with other rows, units and numbers of steps"""
    for rows, units in ((_ROWS, _UNITS), (np.array([40, 80, 160]), np.array([3, 6, 12]))):
        steps = int(rng.integers(41, 80))
        compute = int(rows[-1] * units[0])
        _, trials, _ = _decide_made_up(ask, rng, rows, units, compute, steps, 10 * steps)
    return judge(True, f"at most {trials.budget} steps", f"{trials.spent} steps")
