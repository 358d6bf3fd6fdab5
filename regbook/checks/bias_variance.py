"""The checks of chapter 03: Bayes error, the decomposition, the recipe and learning curves."""

import itertools

import numpy as np

from regbook.check import AnswerError, Chapter, Outcome, Wrong, brief, compare, outputs

chapter = Chapter("03_bias_variance")

QUESTION, STOP = "question the Bayes error", "stop"
BIAS, VARIANCE = "reduce bias", "reduce variance"


# --- bayes_error -----------------------------------------------------------------------------


def _tables(rng, points=5, classes=4):
    """Draw p(k|x), of shape (points, classes), and p(x), of shape (points,), both uneven."""
    p_y_given_x = rng.dirichlet(np.full(classes, 0.6), size=points)
    p_x = rng.dirichlet(np.full(points, 0.8))
    return p_y_given_x, p_x


@chapter.check(
    "bayes_error",
    points=2,
    hint="At each input the best answer is the most probable class; weight its chance of being "
    "wrong by the probability of the input.",
    more="Write 1 - (p_x * p_y_given_x.max(axis=1)).sum().",
)
def is_the_error_of_the_best_answer(answer, rng):
    """is the weighted chance that the most probable class is wrong"""
    p_y_given_x, p_x = _tables(rng)
    best = p_y_given_x.max(axis=1)
    entropy = -(p_y_given_x * np.log(np.maximum(p_y_given_x, 1e-300))).sum(axis=1)
    return compare(
        answer(p_y_given_x, p_x),
        1 - p_x @ best,
        wrong=[
            Wrong(
                "accuracy",
                p_x @ best,
                "This is the accuracy of the best classifier. Its error is what is left to 1.",
            ),
            Wrong(
                "unweighted",
                1 - best.mean(),
                "You averaged over the inputs as if all were equally frequent. Weight them by p_x.",
            ),
            Wrong(
                "majority",
                1 - (p_x @ p_y_given_x).max(),
                "You gave every input the same answer, the most frequent class. The best "
                "classifier picks the class anew at each input.",
            ),
            Wrong(
                "least probable",
                p_x @ p_y_given_x.min(axis=1),
                "You took the smallest probability of each row. With more than two classes the "
                "error is everything but the largest.",
            ),
            Wrong(
                "guessing",
                1 - p_x @ (p_y_given_x**2).sum(axis=1),
                "This is the error of drawing the answer from p(k|x). The best classifier always "
                "gives the most probable class.",
            ),
            Wrong(
                "entropy",
                p_x @ entropy,
                "You computed the entropy. It is the floor of the cross-entropy, not of the error.",
            ),
            Wrong(
                "worst input",
                1 - best.min(),
                "You took the worst input alone. Average over the inputs, with the weights p_x.",
            ),
            Wrong(
                "across inputs",
                1 - p_y_given_x.max(axis=0).mean(),
                "You took the maximum down each column. It belongs to each row: one input, all "
                "classes.",
            ),
        ],
    )


@chapter.check(
    "bayes_error",
    hint="If each input has one certain class, the best classifier never errs.",
    more="A row such as [0, 1, 0] contributes nothing to the error.",
)
def is_zero_without_overlap(answer, rng):
    """is 0 when every input has one certain class"""
    certain = np.eye(3)[rng.integers(0, 3, size=6)]
    return compare(answer(certain, rng.dirichlet(np.ones(6))), 0.0)


@chapter.check(
    "bayes_error",
    hint="If x says nothing about the class, the best answer is one class out of K: 1 - 1/K.",
    more="For K equally probable classes every row has the maximum 1/K.",
)
def is_chance_when_x_says_nothing(answer, rng):
    """is 1 - 1/K when all K classes are equally probable everywhere"""
    classes = int(rng.integers(3, 8))
    even = np.full((4, classes), 1 / classes)
    return compare(answer(even, rng.dirichlet(np.ones(4))), 1 - 1 / classes)


# --- bias_variance_decomposition -------------------------------------------------------------


@chapter.check(
    "bias_variance_decomposition",
    points=3,
    hint="First average the predictions over the training sets, down each column. Everything "
    "else compares with that average.",
    more="With average = predictions.mean(axis=0): bias2 is ((average - targets)**2).mean(), "
    "variance is ((predictions - average)**2).mean().",
)
def splits_the_error(answer, rng):
    """gives squared bias and variance, averaged over the points"""
    sets, points = 5, 4
    targets = rng.normal(size=points)
    offset = rng.uniform(0.8, 1.6, points) * [1, -1, 1, 1]  # biases of both signs
    predictions = targets + offset + rng.uniform(0.5, 1.5) * rng.normal(size=(sets, points))
    average = predictions.mean(axis=0)
    bias2, variance = ((average - targets) ** 2).mean(), predictions.var(axis=0).mean()
    error = ((predictions - targets) ** 2).mean()
    return compare(
        answer(predictions, targets),
        (bias2, variance),
        wrong=[
            Wrong("swapped", (variance, bias2), "Return (bias2, variance), in this order."),
            Wrong(
                "unbiased variance",
                (bias2, predictions.var(axis=0, ddof=1).mean()),
                "You divided by the number of sets minus 1. Divide by the number of sets: then "
                "both parts add up to the mean squared distance exactly.",
            ),
            Wrong(
                "bias not squared",
                ((average - targets).mean(), variance),
                "You returned the bias. Its square belongs into the sum.",
            ),
            Wrong(
                "averaged too early",
                ((average - targets).mean() ** 2, variance),
                "You averaged the bias over the points and squared then. Biases of different sign "
                "cancel that way: square at each point first.",
            ),
            Wrong(
                "absolute bias",
                (np.abs(average - targets).mean(), variance),
                "You took absolute values. The decomposition holds for squares.",
            ),
            Wrong(
                "error as bias",
                (error, variance),
                "Your first value is the whole squared error. Average the predictions over the "
                "sets first, then compare with the targets.",
            ),
            Wrong(
                "whole variance",
                (bias2, predictions.var()),
                "Your variance mixes sets and points. Take it over the sets, at each point.",
            ),
            Wrong(
                "across points",
                (bias2, predictions.var(axis=1).mean()),
                "You took the variance over the points. It is over the training sets: axis 0.",
            ),
            Wrong(
                "standard deviation",
                (bias2, predictions.std(axis=0).mean()),
                "You returned a standard deviation. The variance is its square.",
            ),
            Wrong(
                "sums",
                (bias2 * points, variance * points),
                "You added over the points. Take the mean.",
            ),
        ],
    )


@chapter.check(
    "bias_variance_decomposition",
    hint="bias2 + variance must be the mean of (predictions - targets)**2, to the last digit.",
    more="The cross term vanishes only for the plain variance, around the average of the same sets.",
)
def adds_up_to_the_error(answer, rng):
    """gives two numbers that add up to the mean squared distance to the truth"""
    predictions, targets = rng.normal(1, 2, size=(4, 6)), rng.normal(size=6)
    bias2, variance = outputs(answer(predictions, targets), (), ())
    if min(bias2, variance) < 0.01:  # both are far from 0 here
        return Outcome(False, "two positive numbers", f"{brief(bias2)} and {brief(variance)}")
    return compare(bias2 + variance, ((predictions - targets) ** 2).mean())


@chapter.check(
    "bias_variance_decomposition",
    hint="If all models predict the same, nothing varies: the whole error is bias.",
    more="With equal rows the average is each row, so the variance is 0.",
)
def finds_no_variance_in_equal_models(answer, rng):
    """finds no variance when all models predict the same"""
    targets, shift = rng.normal(size=3), rng.uniform(0.5, 1)
    return compare(answer(np.tile(targets + shift, (4, 1)), targets), (shift**2, 0.0))


# --- next_step -------------------------------------------------------------------------------


def _diagnosis(train, dev, bayes):
    if dev < bayes:
        return QUESTION
    if train - bayes < 0.02 and dev - train < 0.02:
        return STOP
    return BIAS if train - bayes > dev - train else VARIANCE


def _diagnosed(answer, cases, rules):
    """Compare the answers to all cases; each rule is (key, function, hint) of a misconception."""
    received = []
    for case in cases:
        text = answer(*case)
        if not isinstance(text, str):
            raise AnswerError("Return one of the four texts, for instance 'stop'.")
        received.append(text)
    expected = [_diagnosis(*case) for case in cases]
    for case, want, got in zip(cases, expected, received, strict=True):
        if got == want:
            continue
        numbers = "train {:.3f}, dev {:.3f}, Bayes {:.3f}".format(*case)
        if got not in (QUESTION, STOP, BIAS, VARIANCE):
            hint = "Return one of the four texts of the exercise, letter by letter."
            return Outcome(False, f"{want!r} for {numbers}", brief(got), "text", hint)
        key = hint = ""
        for name, rule, sentence in rules:
            if received == [rule(*c) for c in cases]:
                key, hint = name, sentence
                break
        return Outcome(False, f"{want!r} for {numbers}", brief(got), key, hint)
    return Outcome(True, f"{len(cases)} diagnoses", f"{len(cases)} diagnoses")


def _recipe(bias, variance, dev, bayes, *, question=True, first=None, stop=True):
    """Diagnose with other gaps, or with one of the rules left out or turned round."""
    if question and dev < bayes:
        return QUESTION
    if stop and bias < 0.02 and variance < 0.02:
        return STOP
    if first == BIAS:
        return BIAS if bias >= 0.02 else VARIANCE
    if first == VARIANCE:
        return VARIANCE if variance >= 0.02 else BIAS
    return BIAS if bias > variance else VARIANCE


RULES = [
    (
        "floor of zero",
        lambda t, d, b: _recipe(t, d - t, d, b),
        "You took the whole training error for avoidable bias. Subtract the Bayes error: below "
        "it nothing can be won.",
    ),
    (
        "variance from Bayes",
        lambda t, d, b: _recipe(t - b, d - b, d, b),
        "You measured the variance from the Bayes error. It is the gap between dev and train.",
    ),
    (
        "no tolerance",
        lambda t, d, b: _recipe(t - b, d - t, d, b, stop=False),
        'Gaps below 0.02 are small: if both are, the answer is "stop".',
    ),
    (
        "floor believed",
        lambda t, d, b: _recipe(t - b, d - t, d, b, question=False),
        "No model can beat the Bayes error. Where the dev error does, the estimate is wrong: ask "
        "that first.",
    ),
    (
        "bias first",
        lambda t, d, b: _recipe(t - b, d - t, d, b, first=BIAS),
        "You treat the bias first whenever it is not small. Here the larger gap comes first.",
    ),
    (
        "variance first",
        lambda t, d, b: _recipe(t - b, d - t, d, b, first=VARIANCE),
        "You treat the variance first whenever it is not small. Here the larger gap comes first.",
    ),
    (
        "swapped",
        lambda t, d, b: {BIAS: VARIANCE, VARIANCE: BIAS}.get(
            _diagnosis(t, d, b), _diagnosis(t, d, b)
        ),
        "You treat the smaller gap, or swap the words. Train minus Bayes is bias, dev minus train is "
        "variance; the larger gap comes first.",
    ),
    (
        "train beats Bayes",
        lambda t, d, b: QUESTION if t < b else _diagnosis(t, d, b),
        "A training error below the Bayes error is no contradiction: the model knows these rows by "
        "heart. Only the dev error must not beat the floor.",
    ),
]


def _triples(rng, pairs):
    """Return (train, dev, bayes) for gaps (avoidable bias, variance), at random floors."""
    floors = rng.uniform(0.15, 0.3, len(pairs))
    return [(floor + b, floor + b + v, floor) for floor, (b, v) in zip(floors, pairs, strict=True)]


@chapter.check(
    "next_step",
    points=2,
    hint="Compute both gaps, train - bayes and dev - train, and compare them.",
    more='if train_err - bayes_err > dev_err - train_err: return "reduce bias".',
)
def attacks_the_larger_gap(answer, rng):
    """names the larger gap when a gap is large"""
    small, large = rng.uniform(0.03, 0.05), rng.uniform(0.08, 0.12)
    gaps = [(large, small), (small, large), (large, 0.005), (0.005, large), (-0.1, small)]
    return _diagnosed(answer, _triples(rng, gaps), RULES)


@chapter.check(
    "next_step",
    hint="Both gaps below 0.02 mean that little is left to win.",
    more='if train_err - bayes_err < 0.02 and dev_err - train_err < 0.02: return "stop".',
)
def stops_when_both_gaps_are_small(answer, rng):
    """stops when both gaps are below 0.02, and not before"""
    gaps = [(0.013, 0.016), (0.016, 0.013), (0.03, 0.016), (0.013, 0.03), (-0.005, 0.007)]
    return _diagnosed(answer, _triples(rng, gaps), RULES)


@chapter.check(
    "next_step",
    points=2,
    hint="Before looking at the gaps, ask whether the dev error lies below the Bayes error.",
    more='if dev_err < bayes_err: return "question the Bayes error".',
)
def questions_an_impossible_floor(answer, rng):
    """questions the Bayes error when, and only when, the dev error beats it"""
    far = rng.uniform(0.05, 0.08)
    gaps = [(-far, 0.01), (-far, 0.04), (-0.03, 0.029), (-far, far + 0.001), (0.01, 0.05)]
    return _diagnosed(answer, _triples(rng, gaps), RULES)


@chapter.check(
    "next_step",
    hint="Go through the four rules in their order; the first that applies gives the answer.",
    more="The same errors mean different things under different floors.",
)
def diagnoses_the_same_errors_under_two_floors(answer, rng):
    """changes the diagnosis when only the Bayes error changes"""
    train = rng.uniform(0.2, 0.3)
    cases = [(train, train + 0.03, train - bias) for bias in (0.15, 0.025, 0.001, -0.025, -0.05)]
    return _diagnosed(answer, cases, RULES)


# --- learning_curve --------------------------------------------------------------------------

M = 40


def _score(x, y):
    """Return the score that `fit_score` gives for training rows x, whose column 0 numbers them."""
    return len(x) + x.sum() / 1000 + 0.25


def _curve(answer, sizes, seed):
    """Call the learner's function on M sorted rows; return the curve and the rows of each call."""
    calls = []

    def fit_score(x, y):
        x, y = np.asarray(x), np.asarray(y)
        if x.ndim != 2 or y.ndim != 1:
            raise ValueError(f"fit_score needs X of shape (rows, d), got {x.shape} and {y.shape}")
        calls.append((x[:, 0].round().astype(int), y.round().astype(int)))
        return float(_score(x[:, 0], y))

    rows = np.arange(M)
    x = np.column_stack([rows, rows % 7]).astype(float)
    return answer(fit_score, x, (100 + rows).astype(float), list(sizes), int(seed)), calls


def _seed(rng):
    return rng.integers(1, 10_000)


def _rows_fault(calls, sizes):
    """Return the Outcome of a fault in the rows that fit_score got, or None."""
    if len(calls) != len(sizes):
        return Outcome(
            False,
            f"{len(sizes)} calls",
            f"{len(calls)} calls",
            "calls",
            "Call fit_score once for each size.",
        )
    found = sorted(len(x) for x, _ in calls)
    if found != sorted(sizes):
        return Outcome(
            False,
            f"{sorted(sizes)} rows",
            f"{found} rows",
            "sizes",
            "fit_score gets other numbers of rows than `sizes` says. A size is a number of rows.",
        )
    for x, y in calls:
        if len(x) != len(y) or (y - 100 != x).any():
            return Outcome(
                False,
                "each row with its own target",
                "rows and targets that do not belong together",
                "torn apart",
                "X and y must be drawn with the same order: index both with one permutation.",
            )
        if len(set(x)) < len(x):
            return Outcome(
                False,
                "rows drawn once",
                "the same row twice in a training set",
                "with replacement",
                "A row occurs twice in one training set. Draw without replacement.",
            )
    return None


@chapter.check(
    "learning_curve",
    points=2,
    hint="For each size pass that many rows of X, and the same rows of y, to fit_score.",
    more="order = np.random.default_rng(seed).permutation(len(X)), then "
    "fit_score(X[order[:size]], y[order[:size]]).",
)
def scores_each_size(answer, rng):
    """returns the score of each size, in the order of `sizes`"""
    sizes = [int(size) for size in rng.permutation([3, 8, 15, 27, M])]
    curve, calls = _curve(answer, sizes, _seed(rng))
    fault = _rows_fault(calls, sizes)
    if fault:
        return fault
    by_size = {len(x): _score(x, y) for x, y in calls}
    expected = np.array([by_size[size] for size in sizes])
    return compare(
        curve,
        expected,
        wrong=[
            Wrong(
                "sorted",
                np.sort(expected),
                "Your scores come in ascending order of the sizes. Keep the order of `sizes`.",
            ),
            Wrong(
                "reversed",
                expected[::-1],
                "Your scores come in the reverse order. Keep the order of `sizes`.",
            ),
            Wrong(
                "with sizes",
                np.column_stack([sizes, expected]),
                "Return the scores alone, without the sizes.",
            ),
            Wrong("mean", expected.mean(), "Return one score per size, not their mean."),
        ],
    )


@chapter.check(
    "learning_curve",
    points=2,
    hint="The rows of X may be sorted. Shuffle before you take the first rows.",
    more="Draw one permutation of the row numbers from the seed and use its first `size` entries.",
)
def draws_the_rows_at_random(answer, rng):
    """draws the rows at random, all rows with the same chance"""
    drawn = []
    for seed in rng.choice(10_000, size=40, replace=False):
        _, calls = _curve(answer, [10], seed)
        fault = _rows_fault(calls, [10])
        if fault:
            return fault
        drawn.append(calls[0][0])
    counts = np.bincount(np.concatenate(drawn), minlength=M)
    first, last = set(range(10)), set(range(M - 10, M))
    if all(set(rows) == first for rows in drawn):
        return Outcome(
            False,
            "rows from all over X",
            "the first rows",
            "first rows",
            "You took the first rows of X. If X is sorted by class, they hold one class only: "
            "shuffle first.",
        )
    if all(set(rows) == last for rows in drawn):
        return Outcome(
            False, "rows from all over X", "the last rows", "last rows", "You took the last rows."
        )
    if all(set(rows) == set(drawn[0]) for rows in drawn):
        return Outcome(
            False,
            "other rows for other seeds",
            "the same rows for 40 seeds",
            "seed ignored",
            "Another seed gives the same rows. Pass `seed` to the generator.",
        )
    # Expected 10 of 40 draws with a standard deviation of 2.7: 0 or more than 30 do not happen.
    passed = counts.min() > 0 and counts.max() <= 30
    return Outcome(
        bool(passed),
        "each row in about 10 of 40 draws",
        f"between {counts.min()} and {counts.max()}",
        "" if passed else "some rows only",
        "" if passed else "Some rows are hardly ever drawn, or nearly always. Draw from all rows.",
    )


@chapter.check(
    "learning_curve",
    points=2,
    hint="A larger training set must contain every smaller one.",
    more="Shuffle once, before the loop, and take the first `size` rows of the same order.",
)
def nests_the_training_sets(answer, rng):
    """lets every larger training set contain the smaller ones"""
    sizes = [20, 5, 35, 10]
    _, calls = _curve(answer, sizes, _seed(rng))
    fault = _rows_fault(calls, sizes)
    if fault:
        return fault
    nested = sorted((set(x) for x, _ in calls), key=len)
    passed = all(a < b for a, b in itertools.pairwise(nested))
    return Outcome(
        passed,
        "nested training sets",
        "nested" if passed else "a larger set without some rows of a smaller one",
        "" if passed else "not nested",
        ""
        if passed
        else "Each size draws its rows anew. Shuffle once before the loop, so that only the number "
        "of rows changes along the curve.",
    )


@chapter.check(
    "learning_curve",
    hint="The same seed must give the same curve.",
    more="Make the generator inside the function: np.random.default_rng(seed).",
)
def is_reproducible(answer, rng):
    """gives the same rows for the same seed"""
    seed = _seed(rng)
    first, second = ([set(x) for x, _ in _curve(answer, [7, 20], seed)[1]] for _ in range(2))
    passed = first == second and len(first) > 0
    return Outcome(
        passed,
        "the same rows twice",
        "the same" if passed else "other rows in the second run",
        "" if passed else "not reproducible",
        ""
        if passed
        else "Two calls with one seed draw different rows. Seed a generator inside the function.",
    )


# --- train_and_predict -----------------------------------------------------------------------


def _forward(weights, x):
    kernel, bias, out_kernel, out_bias = weights
    hidden = np.tanh(x[:, None] @ kernel + bias)
    return hidden, (hidden @ out_kernel + out_bias)[:, 0]


def _trained(x, y, x_new, weights, lam, lr, steps, variant=""):
    """Train by the formulas; `variant` is the misconception to follow, or none."""
    weights, velocity = [w.copy() for w in weights], [0.0] * 4
    for _ in range(steps):
        hidden, out = _forward(weights, x)
        error = (out - y)[:, None]
        if variant == "broadcast":  # (m, 1) against (m,) compares every row with every target
            error = (out - y.mean())[:, None]
        scale = {"sum": 2, "half": 1 / len(x)}.get(variant, 2 / len(x))
        d_out = scale * error
        d_hidden = d_out @ weights[2].T * (1 - hidden**2)
        grads = [
            x[:, None].T @ d_hidden,
            d_hidden.sum(axis=0),
            hidden.T @ d_out,
            d_out.sum(axis=0),
        ]
        decay = {"biases": (2, 2, 2, 2), "no penalty": (0, 0, 0, 0), "half penalty": (1, 0, 1, 0)}
        factors = decay.get(variant, (2, 0, 2, 0))
        grads = [g + f * lam * w for g, f, w in zip(grads, factors, weights, strict=True)]
        if variant == "accumulated":
            velocity = [v + g for v, g in zip(velocity, grads, strict=True)]
            grads = velocity
        weights = [w - lr * g for w, g in zip(weights, grads, strict=True)]
    return _forward(weights, x if variant == "training rows" else x_new)[1]


def _network(rng, width):
    shapes = [(1, width), (width,), (width, 1), (1,)]
    weights = [rng.normal(scale=0.7, size=shape) for shape in shapes]
    x = rng.uniform(-1, 1, 6)
    return x, rng.normal(1, 1, 6), rng.uniform(-1, 1, 6), weights


@chapter.check(
    "train_and_predict",
    hint="With 0 steps the answer is tanh(x_new * kernel + bias) @ kernel2 + bias2, of shape (n,).",
    more="Give x_new a second axis, x_new[:, None], and take column 0 of the output.",
)
def predicts_with_the_given_weights(answer, rng):
    """gives the output of the given weights when steps is 0, for any width"""
    for width in (1, 5):
        x, y, x_new, weights = _network(rng, width)
        x_new = x_new[:4]
        arguments = [a.astype(np.float32) for a in (x, y, x_new)]
        given = [w.astype(np.float32) for w in weights]
        kernel, bias, out_kernel, out_bias = weights
        no_tanh = ((x_new[:, None] @ kernel + bias) @ out_kernel + out_bias)[:, 0]
        right = _forward(weights, x_new)[1]
        outcome = compare(
            answer(*arguments, given, 0.1, 0.1, 0),
            right,
            wrong=[
                Wrong(
                    "no tanh",
                    no_tanh,
                    "The hidden layer has no activation: it needs tanh.",
                ),
                Wrong(
                    "tanh at the output",
                    np.tanh(right),
                    "The output layer has an activation. Leave it out: targets may lie beyond 1.",
                ),
                Wrong(
                    "column",
                    right[:, None],
                    "Return an array of shape (n,): take the one column of the output.",
                ),
            ],
        )
        if not outcome.passed:
            return outcome
    return outcome


@chapter.check(
    "train_and_predict",
    points=3,
    hint="Take `steps` steps of plain gradient descent on the mean squared error plus the penalty, "
    "starting from the given weights.",
    more="loss = ((network(x) - y)**2).mean() + lam * (sum of squares of both kernels), with y of "
    "shape (m, 1) like the output.",
)
def takes_the_steps(answer, rng):
    """gives the predictions after four steps of gradient descent"""
    x, y, x_new, weights = _network(rng, 3)
    lam, lr, steps = rng.uniform(0.1, 0.2), 0.08, 4
    settings = x, y, x_new, weights, lam, lr
    right = _trained(*settings, steps)

    def variant(key, hint):
        return Wrong(key, _trained(*settings, steps, key), hint)

    return compare(
        answer(*(a.astype(np.float32) for a in (x, y, x_new)),
               [w.astype(np.float32) for w in weights], lam, lr, steps),
        right,
        wrong=[
            variant(
                "broadcast",
                "Output (m, 1) and targets (m,) are compared all with all, an (m, m) table: give y "
                "the shape (m, 1).",
            ),
            variant("sum", "You summed the squared errors. The loss is their mean."),
            variant("half", "You halved the squared error. The loss is the mean of the squares."),
            variant("biases", "The biases are penalised too. Leave them out."),
            variant("no penalty", "The penalty has no effect: add lam * sum(w**2) to the loss."),
            variant(
                "half penalty",
                "The penalty is half as strong as it should be: PyTorch's weight_decay is 2 * lam.",
            ),
            variant(
                "accumulated",
                "The gradients of earlier steps are still there: call optimizer.zero_grad() in "
                "each step.",
            ),
            variant("training rows", "You predict the training rows. Predict at x_new."),
            Wrong(
                "untrained",
                _trained(*settings, 0),
                "The weights did not change: does the optimizer hold them, and is step() called?",
            ),
            Wrong(
                "one step less",
                _trained(*settings, steps - 1),
                "You take one step too few: `steps` is the number of steps.",
            ),
            Wrong(
                "one step more",
                _trained(*settings, steps + 1),
                "You take one step too many: `steps` is the number of steps.",
            ),
        ],
    )  # fmt: skip


@chapter.check(
    "train_and_predict",
    hint="With lam = 0 only the data pull on the weights.",
    more="The loss is then the plain mean squared error, over all rows at once.",
)
def fits_the_data_without_penalty(answer, rng):
    """follows plain gradient descent when lam is 0"""
    x, y, x_new, weights = _network(rng, 2)
    arguments = [a.astype(np.float32) for a in (x, y, x_new)]
    given = [w.astype(np.float32) for w in weights]
    return compare(
        answer(*arguments, given, 0.0, 0.125, 3), _trained(x, y, x_new, weights, 0, 0.125, 3)
    )
