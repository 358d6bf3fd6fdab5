"""Checks of chapter 04, scaling the inputs."""

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import AnswerError, Chapter, Failed, brief, compare, judge, outputs, vary

chapter = Chapter("04_input_normalization")


def _table(rng, rows=9, columns=4):
    """Draw a table whose columns differ in mean and spread, by no common factor."""
    spread = 0.2 * 40 ** np.linspace(0, 1, columns) * rng.uniform(0.8, 1.2, size=columns)
    shift = spread * rng.uniform(1, 3, size=columns) * rng.choice([-1, 1], size=columns)
    return shift + spread * rng.normal(size=(rows, columns))


# --- fit_scaler ------------------------------------------------------------------------------


def _fit_scaler(
    X, *, centre=np.mean, spread=np.std, gets_one=lambda X, std: np.ptp(X, axis=0) == 0
):
    std = spread(X, axis=0)
    return centre(X, axis=0), np.where(gets_one(X, std), 1, std)


def _centres_in_place(X):
    mean, constant = X.mean(axis=0), np.ptp(X, axis=0) == 0
    X -= mean
    return mean, np.where(constant, 1, np.sqrt((X**2).mean(axis=0)))


fit_scaler = chapter.exercise(
    "fit_scaler",
    _fit_scaler,
    mistakes={
        "changes its input": _centres_in_place,
        "order": lambda X: _fit_scaler(X)[::-1],
        "per row": lambda X: (X.mean(axis=1), X.std(axis=1)),
        "one for all": [
            lambda X: (X.mean(), X.std()),
            lambda X: (np.full(X.shape[1], X.mean()), np.full(X.shape[1], X.std())),
        ],
        "range": vary(_fit_scaler, centre=np.min, spread=np.ptp),
        "not centred": lambda X: (X.mean(axis=0), np.sqrt((X**2).mean(axis=0))),
        "median": vary(_fit_scaler, centre=np.median),
        "variance": vary(_fit_scaler, spread=np.var),
        "m minus 1": vary(_fit_scaler, spread=lambda X, axis: X.std(axis=axis, ddof=1)),
        "zero": vary(_fit_scaler, gets_one=lambda X, std: False),
        "all ones": vary(_fit_scaler, gets_one=lambda X, std: not std.all()),
        "added to all": lambda X: (X.mean(axis=0), X.std(axis=0) + (np.ptp(X, axis=0) == 0).any()),
        "no small std": vary(_fit_scaler, gets_one=lambda X, std: std < 1),
        "rounding": vary(_fit_scaler, gets_one=lambda X, std: std == 0),
        "tiny spread": [
            vary(_fit_scaler, gets_one=lambda X, std: std < 1e-6),
            vary(_fit_scaler, gets_one=lambda X, std: std < 1e-15),
        ],
        "two rows": [
            vary(_fit_scaler, gets_one=lambda X, std: X[0] == X[1]),
            vary(_fit_scaler, gets_one=lambda X, std: X[0] == X[-1]),
        ],
    },
    hints={
        "changes its input": "Your function writes into X, so whoever called it has lost the raw rows. Make a new array: X - mean does, X -= mean does not.",
        "order": "The order is (mean, std).",
        "per row": "You have one pair per row. A scaler describes columns: sum over the rows, axis 0.",
        "one for all": "You have one mean for the whole table. Columns have different units: each needs its own.",
        "range": "Minimum and range scale to [0, 1]. Standardizing takes the mean and the standard deviation.",
        "not centred": "Your std is the root of the mean square. Subtract the mean before you square.",
        "median": "You return the median. The first number is the mean.",
        "variance": "You return the variance. The scaler divides by its root, the standard deviation.",
        "m minus 1": "You divide by the number of rows minus 1, as torch.std and pandas do by default. Here, as in NumPy and in Keras, the division is by the number of rows.",
        "zero": "The std of the constant column is 0, and the next step divides by it. Return 1 there.",
        "all ones": "One constant column made all std 1. Decide column by column.",
        "added to all": "You added 1 to every std. Replace the one that is 0 and keep the others.",
        "no small std": "You replaced every std below 1. A column may vary by less than 1: only a constant one gets 1.",
        "rounding": "The first column is constant, and rounding gives it a std of about 1e-17, which a test for zero does not catch. Compare the largest with the smallest value.",
        "tiny spread": "The second column varies by about 1e-18. That is little and not nothing: it is not constant, and no bound on the std tells it from rounding.",
        "two rows": "Two equal values do not make a column constant. Compare its largest with its smallest.",
    },
)


@fit_scaler.check(
    points=2,
    keeps_input=True,
    hint="Return one mean and one standard deviation per column, in this order.",
    more="NumPy has the methods mean and std; their axis is the one that is summed away, 0 for the rows.",
)
def describes_every_column(ask, rng):
    """gives the mean and the standard deviation of every column"""
    return ask(_table(rng))


@fit_scaler.check(
    points=2,
    hint="A constant column has std 1 and every other column keeps its own.",
    more="np.where takes a condition and two values, entry by entry. The condition: does the column vary?",
)
def leaves_constant_columns_a_one(ask, rng):
    """gives a constant column the std 1, and only that"""
    X = _table(rng, rows=7)
    X[:, 1], X[:, 3] = rng.choice([-3, -2, -1, 1, 2, 3]), 0
    X[[1, -1], 2] = X[0, 2]  # equal here and there, and not constant
    received = ask(X)
    if isinstance(received, tuple) and not all(np.isfinite(r).all() for r in received):
        raise Failed("std 1 of the constant column", "NaN or infinity", "zero")
    return received


@fit_scaler.check(
    hint="Rounding leaves the std of some constant columns above 0, and some real spreads are tiny: neither a bound nor a small addition is right for both.",
    more="Decide by the values and not by the std: np.ptp gives the largest minus the smallest.",
)
def sees_through_rounding(ask, rng):
    """finds constant columns in spite of rounding, and keeps tiny spreads"""
    X = rng.normal(size=(300, 3))
    X[:, 0] = 0.1  # its computed deviation is 1e-17 and not 0
    X[:, 1] *= 2.0**-60  # and this one varies by less than that
    mean, std = outputs(ask(X), (3,), (3,))
    return mean, std * [1, 2.0**60, 1]  # the comparison would not see a difference of 1e-18


# --- transform -------------------------------------------------------------------------------


def _transform(X, stats):
    return (X - stats[0]) / stats[1]


transform = chapter.exercise(
    "transform",
    _transform,
    mistakes={
        "refitted": [
            lambda X, stats: _transform(X, _fit_scaler(X)),
            lambda X, stats: _transform(X, _fit_scaler(X)) * np.sqrt(1 - 1 / len(X)),  # m - 1
        ],
        "refitted mean": lambda X, stats: _transform(X, (X.mean(axis=0), stats[1])),
        "variance": lambda X, stats: (X - stats[0]) / stats[1] ** 2,
        "root": lambda X, stats: (X - stats[0]) / np.sqrt(stats[1]),
        "not centred": lambda X, stats: X / stats[1],
        "not scaled": lambda X, stats: X - stats[0],
        "multiplied": lambda X, stats: (X - stats[0]) * stats[1],
        "backwards": lambda X, stats: X * stats[1] + stats[0],
        "order": lambda X, stats: _transform(X, stats[::-1]),
        "parentheses": lambda X, stats: X - stats[0] / stats[1],
        "in place": [
            lambda X, stats: _transform(X, stats).astype(X.dtype),
            lambda X, stats: ((X - stats[0]).astype(X.dtype) / stats[1]).astype(X.dtype),
        ],
    },
    hints={
        "refitted": "You computed the statistics anew from X. Use those in stats: they come from the training rows, and the model was trained with them. A single row, scaled by its own, comes out as zeros or NaN.",
        "refitted mean": "You subtract the mean of X. Subtract the mean in stats.",
        "variance": "You divided by the square of std. std is the standard deviation already.",
        "root": "You took the root of std. It is the standard deviation already, not the variance.",
        "not centred": "The mean is not subtracted.",
        "not scaled": "The division by std is missing.",
        "multiplied": "You multiplied by std. Divide by it.",
        "backwards": "That is the way back, from scaled rows to raw ones.",
        "order": "The order in stats is (mean, std).",
        "parentheses": "The division comes first in your formula. Write (X - mean) / std.",
        "in place": "You write the result into an array of whole numbers, X itself or one made like it: the decimals are cut off or NumPy refuses. Return a new array, as (X - mean) / std makes it; whoever called you still needs X.",
    },
)


@transform.check(
    points=2,
    hint="Subtract the given mean and divide by the given std.",
    more="A row [4, 5] with the mean [2, 5] and the std [1, 2] becomes [2, 0]. NumPy does this for all rows at once.",
)
def uses_the_given_statistics(ask, rng):
    """subtracts the given mean and divides by the given std"""
    return ask(_table(rng, rows=6), _fit_scaler(_table(rng)))


@transform.check(
    hint="A single row is scaled like any other: by the statistics it is given.",
    more="No mean and no standard deviation of X may appear in your function.",
)
def scales_a_single_row(ask, rng):
    """scales a single row, which has no statistics of its own"""
    received = ask(_table(rng, rows=1), _fit_scaler(_table(rng)))
    if isinstance(received, np.ndarray) and np.isnan(received).any():
        raise Failed("the scaled row", "NaN", "refitted")
    return received


@transform.check(
    keeps_input=True,
    hint="Whole numbers are scaled like decimal ones: subtract the given mean, divide by the given std, nothing else, and put the decimals into a new array.",
    more="(X - mean) / std makes a new array. X -= mean and X[:] = ... write into the one you got.",
)
def leaves_whole_numbers_alone(ask, rng):
    """scales whole numbers without writing into X"""
    X = rng.integers(-9, 10, size=(5, 3))
    stats = rng.normal(size=3), rng.uniform(2, 4, size=3)
    try:
        scaled = ask(X, stats)
    except AnswerError as error:
        if "cast" not in str(error):
            raise
        raise Failed("scaled rows", "none", "in place") from error
    return {"whole numbers": scaled, "the same as decimal numbers": ask(X.astype(float), stats)}


# --- condition_number ------------------------------------------------------------------------


def _condition(
    X, *, ratio=lambda s: s[-1] / s[0], singular=lambda X, s: np.linalg.matrix_rank(X) < X.shape[1]
):
    s = np.linalg.eigvalsh(X.T @ X / len(X))
    return np.inf if singular(X, s) else ratio(s)


condition_number = chapter.exercise(
    "condition_number",
    _condition,
    mistakes={
        "singular values": vary(_condition, ratio=lambda s: np.sqrt(s[-1] / s[0])),
        "squared twice": vary(_condition, ratio=lambda s: (s[-1] / s[0]) ** 2),
        "upside down": lambda X: 1 / _condition(X),
        "variances": [
            lambda X: X.var(axis=0).max() / X.var(axis=0).min(),
            lambda X: (X**2).mean(axis=0).max() / (X**2).mean(axis=0).min(),
        ],
        "centred": lambda X: _condition(X - X.mean(axis=0)),
        "standardized": lambda X: _condition(_transform(X, _fit_scaler(X))),
        "with ones": lambda X: _condition(np.column_stack([X, np.ones(len(X))])),
        "largest": vary(_condition, ratio=lambda s: s[-1]),
        "difference": vary(_condition, ratio=np.ptp),
        "rows": lambda X: _condition(X.T),
        "rounding": [
            vary(_condition, singular=lambda X, s: False),
            vary(_condition, singular=lambda X, s: s[0] <= 0),
        ],
        "bound": vary(_condition, singular=lambda X, s: s[0] < 1e-10),
    },
    hints={
        "singular values": "That is the ratio of the singular values of X. The eigenvalues of X'X are their squares.",
        "squared twice": "You squared once too often: the eigenvalues of X'X are not squared again.",
        "upside down": "You divided the smallest by the largest.",
        "variances": "You compared the variances of the columns, or the diagonal of X'X. They know nothing of correlations; the eigenvalues do.",
        "centred": "You took the covariance matrix, which subtracts the means. Gradient descent meets X'X / m, means included.",
        "standardized": "You standardized first. The question is how bad X is as it stands.",
        "with ones": "You added a column of ones. Take X as it is.",
        "largest": "That is the largest eigenvalue. Divide by the smallest.",
        "difference": "You subtracted. Divide.",
        "rows": "You took X X', a matrix of the rows. With more rows than columns it is singular. Take X'X.",
        "rounding": "Rounding leaves the smallest eigenvalue a little away from 0, on either side, so that the ratio is huge or negative, and no test for 0 sees it. Ask for the rank first.",
        "bound": "You call a small eigenvalue zero. Small compared to what? Multiplying X by a factor must not change the answer: use the rank.",
    },
)


@condition_number.check(
    points=3,
    hint="Divide the largest eigenvalue of X.T @ X / m by the smallest.",
    more="np.linalg.eigvalsh gives the eigenvalues of a symmetric matrix, the smallest first.",
)
def is_the_ratio_of_the_eigenvalues(ask, rng):
    """is the largest eigenvalue of X'X / m divided by the smallest"""
    return ask(rng.normal(size=(9, 3)) * [1, 1.7, 2.5] + rng.uniform(0.5, 1.5, size=3))


@condition_number.check(
    hint="A common factor multiplies every eigenvalue, so their ratio stays.",
    more="The factor 1 / m does not matter either, as long as you divide two eigenvalues.",
)
def ignores_a_common_factor(ask, rng):
    """stays the same when all inputs are multiplied by 10, and is 1 at best"""
    X = rng.normal(size=(12, 4))
    once, ten = (outputs(ask(factor * X), ())[0] for factor in (1, 10))
    at_best = 5 * np.linalg.qr(rng.normal(size=(7, 3)))[0]
    return {"that of 10 X divided by that of X": ten / once, "at best": ask(at_best)}


@condition_number.check(
    points=2,
    hint="Dependent columns have an eigenvalue of 0, up to rounding: return np.inf.",
    more="np.linalg.matrix_rank counts the independent columns, and knows what rounding does.",
)
def is_infinite_for_dependent_columns(ask, rng):
    """is infinity when the columns are linearly dependent, and only then"""
    while True:
        X = 100 * rng.normal(size=(9, 3))
        X = np.column_stack([X, X @ rng.normal(size=3)])
        # Rounded up from 0, and the determinant off 0 too.
        if np.linalg.eigvalsh(X.T @ X / 9)[0] > 1e-13 and np.linalg.det(X.T @ X):
            break
    received = ask(X)
    if not compare(received, np.inf).passed:
        number = isinstance(received, np.ndarray) and received.ndim == 0
        huge_or_negative = number and not 0 <= received < 1e6
        raise Failed("inf", brief(received), "rounding" if huge_or_negative else "")
    # Independent columns, badly scaled: a bound on the eigenvalue would call them dependent.
    q = np.linalg.qr(rng.normal(size=(9, 2)))[0]
    return ask(q * [1e-4, 1e-7])


# --- build_scaled_model ----------------------------------------------------------------------

build_scaled_model = chapter.exercise(
    "build_scaled_model",
    hints={
        "softmax": "Your model returns probabilities. Return logits: no softmax in the last layer.",
        "unscaled": "The model learns from raw inputs: the scaler is missing in front of the dense layer.",
        "m minus 1": "You divide by the number of rows minus 1, as torch.std does unless it gets correction=0. Here the division is by the number of rows.",
        "variance": "You divide by the variance. Divide by its root, the standard deviation.",
        "std as variance": "You divide by the root of the standard deviation: Keras's Normalization(variance=...) wants the variance and takes the root itself.",
        "not centred": "The mean is not subtracted.",
        "not divided": "The division by the standard deviation is missing.",
        "one for all": "You scale by one mean and one std for the whole table. Each column needs its own: axis=-1 in Keras, dim=0 in PyTorch.",
        "batch-norm epsilon": "Your layer adds an epsilon to the variance, as batch normalization does. Divide by the standard deviation itself.",
        "trained statistics": "Training moves your mean and std. They are statistics, not weights: use register_buffer in place of nn.Parameter, or Normalization in Keras.",
        "no bias": "The dense layer has no bias.",
        "untrained": "One training step did not change the logits: does the optimizer hold the model's parameters, with the learning rate lr?",
        "rate 0.001": "The learning rate is 0.001: pass lr.",
        "rate 0.01": "The learning rate is 0.01: pass lr.",
        "momentum": "The first step is right, and the second carries a part of the first along. Plain SGD has no momentum.",
        "own statistics": "The logits of a row change with the rows beside it: your layer computes the statistics of the batch. Fit them once on X_train and reuse them.",
        "batch statistics in training": "In training mode a row gets other logits: your layer scales by the batch's own statistics, as batch normalization does, or drops inputs. The scaler does the same in both modes.",
    },
)


def _case(rng):
    """Draw training rows, new rows of another mean, labels and a rate."""
    X = _table(rng, rows=10)
    new = _table(rng, rows=8) * 0.3 + X.mean(axis=0) + X.std(axis=0)
    new[-1] = X.mean(axis=0) + 5 * X.std(axis=0)  # as far out as it is, it is not clipped
    return X, new, rng.integers(0, 3, size=10), rng.uniform(0.2, 0.4)


def _logits(handle, x, classes=3, **mode):
    return outputs(handle.predict(x, **mode), (len(x), classes))[0].astype(float)


def _after_moving_the_statistics(X, new, start, error, lr):
    """Return the logits of the new rows after a step that trains mean and std as well."""
    mean, std = X.mean(axis=0), X.std(axis=0)
    z = (X - mean) / std
    # The logits are affine in z: that gives the weights W and b.
    affine = np.linalg.lstsq(np.column_stack([z, np.ones(len(z))]), start, rcond=None)[0]
    W, b = affine[:-1], affine[-1]
    dz = error @ W.T
    mean, std = mean + lr * dz.sum(axis=0) / std, std + lr * (dz * z).sum(axis=0) / std
    return (new - mean) / std @ (W - lr * z.T @ error) + b - lr * error.sum(axis=0)


@build_scaled_model.check(
    points=3,
    hint="One step changes the logits as in a linear model of the scaled inputs, with plain SGD.",
    more="Keras has the layer Normalization, with adapt; in PyTorch write a module that keeps mean and std as buffers. Then one dense layer, and SGD with nothing but the rate.",
)
def learns_from_scaled_inputs(ask, rng):
    """moves the logits of new raw rows, step by step, as a linear model of the scaled inputs does"""
    X, new, y, lr = _case(rng)
    handle = ask.model(X, 3, lr)
    before, start = _logits(handle, new), _logits(handle, X)
    if np.allclose(start.sum(axis=1), 1, atol=1e-4) and (start >= 0).all():
        raise Failed("logits", "rows that sum to 1", "softmax")
    handle.train_step(X, y)
    error = (softmax(start) - np.eye(3)[y]) / len(X)
    mean, std = X.mean(axis=0), X.std(axis=0)

    def change(centre=mean, scale=std, rate=lr, bias=1.0):
        z, z_new = (X - centre) / scale, (new - centre) / scale
        return -rate * (z_new @ z.T + bias) @ error

    wrong = {
        "unscaled": change(0, 1),
        "m minus 1": change(scale=X.std(axis=0, ddof=1)),
        "variance": change(scale=std**2),
        "std as variance": change(scale=np.sqrt(std)),
        "not centred": change(centre=0),
        "not divided": change(scale=1),
        "one for all": change(X.mean(), X.std()),
        "batch-norm epsilon": change(scale=np.sqrt(std**2 + 1e-3)),
        "trained statistics": _after_moving_the_statistics(X, new, start, error, lr) - before,
        "no bias": change(bias=0.0),
        "untrained": change(rate=0.0),
        "rate 0.001": change(rate=0.001),
        "rate 0.01": change(rate=0.01),
    }
    once = _logits(handle, new)
    outcome = compare(once - before, change(), wrong)
    if not outcome.passed:
        return outcome
    # A second step shows what an optimizer remembers of the first.
    error = (softmax(_logits(handle, X)) - np.eye(3)[y]) / len(X)
    handle.train_step(X, y)
    twice = _logits(handle, new) - once
    outcome = compare(twice, change())
    remembered = ((twice - change()) * (once - before)).sum() / ((once - before) ** 2).sum()
    mistakes = {"momentum": remembered > 0.05}
    return judge(outcome.passed, outcome.expected, outcome.received, mistakes)


@build_scaled_model.check(
    points=2,
    hint="The logits of a row depend on that row alone, in training and in evaluation.",
    more="Compute the statistics once, from X_train, before the model is built.",
)
def scales_every_row_alike(ask, rng):
    """gives a row the same logits alone, in a batch, and in training mode"""
    X, new, _, lr = _case(rng)
    handle = ask.model(X, 4, lr)  # any number of classes
    together = _logits(handle, new, 4)
    alone = np.concatenate([handle.predict(new[i : i + 1]) for i in range(len(new))])
    outcome, mistake = compare(alone, together), "own statistics"
    if outcome.passed:
        training = _logits(handle, new, 4, training=True)
        outcome, mistake = compare(training, together), "batch statistics in training"
    return judge(outcome.passed, outcome.expected, outcome.received, {mistake: True})


# --- diagnose_scaling ------------------------------------------------------------------------


def _standardized(X, by, axis=0):
    return (X - by.mean(axis=axis, keepdims=True)) / by.std(axis=axis, keepdims=True)


# What each pipeline makes of the test rows.
SENT = {
    "right": lambda train, test: _standardized(test, train),
    "unscaled": lambda train, test: test,
    "own statistics": lambda train, test: _standardized(test, test),
    "all rows": lambda train, test: _standardized(test, np.concatenate([train, test])),
    "per row": lambda train, test: _standardized(test, test, axis=1),
    "variance": lambda train, test: (test - train.mean(axis=0)) / train.var(axis=0),
}


def _diagnose(X_train, X_test, Z_test):
    tables = ((name, sent(X_train, X_test)) for name, sent in SENT.items())
    return next(name for name, Z in tables if np.abs(Z - Z_test).max() < 1e-6)


def _taking(taken):
    """Return an answer that takes pipelines for others: {truth: other}."""

    def answer(*tables):
        found = _diagnose(*tables)
        return taken.get(found, found)

    return answer


TAKEN = {
    ("unscaled", "right"): "Z_test equals X_test: nothing was scaled.",
    (
        "own statistics",
        "right",
    ): "Mean 0 and standard deviation 1 over the test rows are the mark of their own statistics, not of a working scaler. Training statistics give other numbers.",
    ("right", "unscaled"): "Z_test is not X_test: the rows were scaled.",
    (
        "right",
        "own statistics",
    ): "The moments of Z_test are close to 0 and 1 and not exactly so. Compute what the test rows' own statistics would give, and compare.",
    ("right", "all rows"): "Test rows shift the joint mean. Compare with both and see which fits.",
    ("right", "per row"): "The rows of Z_test do not have mean 0 and standard deviation 1.",
    ("right", "variance"): "The division is by the standard deviation here. Compare the values.",
    ("own statistics", "all rows"): "The training rows play no part in Z_test.",
    ("all rows", "right"): "Close, but not the training statistics: the test rows took part.",
    ("all rows", "own statistics"): "The training rows took part too.",
    (
        "per row",
        "right",
    ): "Every row of Z_test has mean 0 and standard deviation 1 over its own columns. A scaler works column by column.",
    ("per row", "unscaled"): "Z_test is not X_test. Look at the mean of each row.",
    (
        "per row",
        "own statistics",
    ): "Own statistics of the columns would give each column mean 0. Here each row has it.",
    ("variance", "right"): "The mean is right, the division is not: check the standard deviation.",
    ("variance", "own statistics"): "Compare the values: the mean is that of the training rows.",
}

diagnose_scaling = chapter.exercise(
    "diagnose_scaling",
    _diagnose,
    mistakes={f"{truth} taken for {other}": _taking({truth: other}) for truth, other in TAKEN}
    | {
        "own statistics taken for right": [
            _taking({"own statistics": "right"}),
            _taking({"own statistics": "right", "right": "own statistics"}),
        ]
    },
    hints={f"{truth} taken for {other}": hint for (truth, other), hint in TAKEN.items()},
)


def _diagnoses(ask, rng, names):
    """Ask for a diagnosis of each pipeline, in random order."""
    found = []
    for name in rng.permutation(names):
        spread = rng.uniform(2, 6, size=4)
        X_train = rng.uniform(-9, 9, size=4) + spread * rng.normal(size=(rng.integers(20, 40), 4))
        # Scaled right, the test rows have a mean of 0.08 and a deviation of 1.08: moments that are
        # near 0 and 1 prove nothing.
        z = rng.normal(size=(rng.integers(6, 12), 4))
        z = 0.08 + 1.08 * (z - z.mean(axis=0)) / z.std(axis=0)
        X_test = X_train.mean(axis=0) + X_train.std(axis=0) * z
        noise = 1e-9 * rng.normal(size=X_test.shape)
        found.append(ask(X_train, X_test, SENT[name](X_train, X_test) + noise))
    return tuple(found)


@diagnose_scaling.check(
    points=2,
    hint="Compute what the training statistics would give, and what none at all would give.",
    more="Scale X_test by the mean and std of X_train, and compare with Z_test by np.allclose.",
)
def knows_a_working_scaler(ask, rng):
    """tells a working scaler from none"""
    return _diagnoses(ask, rng, ["right", "unscaled"])


@diagnose_scaling.check(
    points=2,
    hint="Own statistics, joint statistics and training statistics give three different tables, and only rounding may differ. All deviations divide by the number of values.",
    more="Compute each of the three candidates and compare it with Z_test.",
)
def knows_whose_statistics(ask, rng):
    """says whose statistics were used: the test rows' own, or those of all rows"""
    return _diagnoses(ask, rng, ["own statistics", "all rows"])


@diagnose_scaling.check(
    points=2,
    hint="Look along the rows, and at what the deviations are divided by: the number of values, in all six texts.",
    more='"per row": mean and std over axis 1, one of each per row. "variance": the square of the training std below the line.',
)
def knows_a_wrong_formula(ask, rng):
    """finds the wrong axis and the missing root"""
    return _diagnoses(ask, rng, ["per row", "variance"])
