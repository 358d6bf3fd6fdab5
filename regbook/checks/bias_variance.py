"""Checks of chapter 03: Bayes error, the decomposition, the recipe and learning curves."""

import itertools

import numpy as np

from regbook.exercise import Chapter, Failed, brief, judge, outputs, vary

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
    points=2,
    hint="At each input the best answer is the most probable class; weight its chance of being wrong by the probability of the input.",
    more="At an input with the probabilities 0.2, 0.7, 0.1 the best answer errs with the chance 0.3. An input that comes twice as often counts twice as much.",
)
def is_the_error_of_the_best_answer(ask, rng):
    """is the weighted chance that the most probable class is wrong"""
    points, classes = 5, 4
    return ask(rng.dirichlet(np.full(classes, 0.6), size=points), rng.dirichlet([0.8] * points))


@bayes_error.check(
    hint="If each input has one certain class, the best classifier never errs.",
    more="A row such as [0, 1, 0] contributes nothing to the error.",
)
def is_zero_without_overlap(ask, rng):
    """is 0 when every input has one certain class"""
    return ask(np.eye(3)[rng.integers(0, 3, size=6)], rng.dirichlet(np.ones(6)))


@bayes_error.check(
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
    points=3,
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
    keeps_input=True,
    hint="bias2 + variance must be the mean of (predictions - targets)**2, to the last digit.",
    more="The cross term vanishes only for the plain variance, around the average of the same sets.",
)
def adds_up_to_the_error(ask, rng):
    """gives two numbers that add up to the mean squared distance to the truth"""
    parts = outputs(ask(rng.normal(1, 2, size=(4, 6)), rng.normal(size=6)), (), ())
    return {"their sum": sum(parts), "both above 0.01": min(parts) > 0.01}


@decomposition.check(
    hint="If all models predict the same, nothing varies: the whole error is bias.",
    more="With equal rows the average is each row, so the variance is 0.",
)
def finds_no_variance_in_equal_models(ask, rng):
    """finds no variance when all models predict the same"""
    targets, shift = rng.normal(size=3), rng.uniform(0.5, 1)
    return ask(np.tile(targets + shift, (4, 1)), targets)


# --- next_step -------------------------------------------------------------------------------

QUESTION, STOP = "question the Bayes error", "stop"
BIAS, VARIANCE = "reduce bias", "reduce variance"


def _recipe(impossible, bias, variance, *, small=0.02, attack_bias=None):
    """Go through the four rules; attack_bias decides in place of the larger gap."""
    if impossible:
        return QUESTION
    if bias < small and variance < small:
        return STOP
    if attack_bias is None:
        attack_bias = bias > variance
    return BIAS if attack_bias else VARIANCE


next_step = chapter.exercise(
    "next_step",
    lambda t, d, b: _recipe(d < b, t - b, d - t),
    mistakes={
        "floor of zero": lambda t, d, b: _recipe(d < b, t, d - t),
        "variance from Bayes": lambda t, d, b: _recipe(d < b, t - b, d - b),
        "no tolerance": lambda t, d, b: _recipe(d < b, t - b, d - t, small=-1),
        "floor believed": lambda t, d, b: _recipe(False, t - b, d - t),
        "floor itself": lambda t, d, b: _recipe(d <= b, t - b, d - t),
        "border": lambda t, d, b: _recipe(d < b, t - b, d - t, small=np.nextafter(0.02, 1)),
        "tie": lambda t, d, b: _recipe(d < b, t - b, d - t, attack_bias=t - b >= d - t),
        "rounded": lambda t, d, b: _recipe(d < b, np.round(t - b, 2), np.round(d - t, 2)),
        "ratio": lambda t, d, b: _recipe(d < b, t - b, d - t, attack_bias=t / b > d / t),
        "bias first": lambda t, d, b: _recipe(d < b, t - b, d - t, attack_bias=t - b >= 0.02),
        "variance first": lambda t, d, b: _recipe(d < b, t - b, d - t, attack_bias=d - t < 0.02),
        "swapped": lambda t, d, b: _recipe(d < b, t - b, d - t, attack_bias=t - b <= d - t),
        "train beats Bayes": lambda t, d, b: _recipe(min(t, d) < b, t - b, d - t),
    },
    hints={
        "text": "Return one of the four texts of the exercise, letter by letter.",
        "floor of zero": "You took the whole training error for avoidable bias. Subtract the Bayes error: below it nothing can be won.",
        "variance from Bayes": "You measured the variance from the Bayes error. It is the gap between dev and train.",
        "no tolerance": 'Gaps below 0.02 are small: if both are, the answer is "stop".',
        "floor believed": "No model can beat the Bayes error. Where the dev error does, the estimate is wrong: ask that first.",
        "floor itself": "A dev error that equals the Bayes error does not beat it: compare with <, not with <=.",
        "border": "A gap of exactly 0.02 is not smaller than 0.02: compare with <, not with <=.",
        "tie": "Two equal gaps: the avoidable bias is not the larger one, so the last rule applies.",
        "rounded": "You rounded the gaps to whole per cents. Compare them as they are: 0.0195 is below 0.02, and 0.084 is above 0.081.",
        "ratio": "You compare ratios of the errors. A gap is a difference.",
        "bias first": "You treat the bias first whenever it is not small. Here the larger gap comes first.",
        "variance first": "You treat the variance first whenever it is not small. Here the larger gap comes first.",
        "swapped": "You treat the smaller gap, or swap the words. Train minus Bayes is bias, dev minus train is variance; the larger gap comes first.",
        "train beats Bayes": "A training error below the Bayes error is no contradiction: the model knows these rows by heart. Only the dev error must not beat the floor.",
    },
)


def _diagnoses(ask, cases):
    """Return the diagnosis of each case (train, dev, bayes), by the case in words."""
    found = {"train {:.4f}, dev {:.4f}, Bayes {:.4f}".format(*case): ask(*case) for case in cases}
    for text in found.values():
        if isinstance(text, str) and text not in (QUESTION, STOP, BIAS, VARIANCE):
            raise Failed("one of the four texts", brief(text), "text")
    return found


def _under_floors(rng, gaps):
    """Return (train, dev, bayes) for pairs (avoidable bias, variance), at random floors."""
    floors = rng.uniform(0.15, 0.3, len(gaps))
    return [(floor + b, floor + b + v, floor) for floor, (b, v) in zip(floors, gaps, strict=True)]


@next_step.check(
    points=2,
    hint="Compute both gaps, train - bayes and dev - train, and compare them.",
    more="For road signs the gaps are 0.07 and 0.01, with the bigger network 0.005 and 0.075.",
)
def attacks_the_larger_gap(ask, rng):
    """names the larger gap when a gap is large"""
    small, large = rng.uniform(0.03, 0.05), rng.uniform(0.08, 0.12)
    # Two gaps that differ by 0.003 are equal as whole per cents; the last pair is equal, as the
    # numbers have few binary digits.
    gaps = [
        (large, 0.005), (0.005, large), (-0.1, small), (large, -0.03), (0.084, 0.081), (0.081, 0.084),
    ]  # fmt: skip
    return _diagnoses(ask, [*_under_floors(rng, gaps), (0.25, 0.375, 0.125)])


@next_step.check(
    hint="Stop where both gaps are smaller than 0.02, and only there: 0.0195 is smaller, 0.0205 is not.",
    more="Both must be small: with one gap of 0.01 and one of 0.03 there is work to do.",
)
def stops_when_both_gaps_are_small(ask, rng):
    """stops when both gaps are below 0.02, and not before"""
    gaps = [(0.0195, 0.0195), (0.016, 0.013), (0.0205, 0.016), (0.013, 0.0205), (-0.005, 0.007)]
    borders = [(0.02, 0.02, 0.0), (0.0, 0.02, 0.0)]  # differences from 0 and of equals are exact
    return _diagnoses(ask, [*_under_floors(rng, gaps), *borders])


@next_step.check(
    points=2,
    hint="Before looking at the gaps, ask whether the dev error lies below the Bayes error.",
    more="It is the first rule: nothing can be below the floor. The train error can, by learning its rows by heart.",
)
def questions_an_impossible_floor(ask, rng):
    """questions the Bayes error when, and only when, the dev error beats it"""
    far = rng.uniform(0.05, 0.08)
    gaps = [(-far, 0.01), (-far, 0.04), (-0.03, 0.029), (-far, far + 0.001), (0.01, 0.05)]
    return _diagnoses(ask, [*_under_floors(rng, gaps), (0.125, 0.25, 0.25)])


@next_step.check(
    hint="Go through the four rules in their order; the first that applies gives the answer.",
    more="The same errors mean different things under different floors.",
)
def diagnoses_the_same_errors_under_two_floors(ask, rng):
    """changes the diagnosis when only the Bayes error changes"""
    train = rng.uniform(0.2, 0.3)
    biases = (0.15, 0.025, 0.001, -0.025, -0.05)
    return _diagnoses(ask, [(train, train + 0.03, train - bias) for bias in biases])


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
