"""Checks of chapter 04, scaling the inputs."""

import numpy as np

from regbook.check import AnswerError, Chapter, Outcome, Wrong, brief, compare, outputs

chapter = Chapter("04_input_normalization")


def _table(rng, rows=9, columns=4):
    """Draw a table whose columns differ in mean and spread, by no common factor."""
    spread = np.geomspace(0.2, 8, columns) * rng.uniform(0.8, 1.2, size=columns)
    shift = spread * rng.uniform(1, 3, size=columns) * rng.choice([-1, 1], size=columns)
    return shift + spread * rng.normal(size=(rows, columns))


# --- fit_scaler ------------------------------------------------------------------------------


@chapter.check(
    "fit_scaler",
    points=2,
    hint="Return one mean and one standard deviation per column, in this order.",
    more="X.mean(axis=0) and X.std(axis=0): axis 0 is the one that is summed away.",
)
def describes_every_column(answer, rng):
    """gives the mean and the standard deviation of every column"""
    X = _table(rng)
    mean, std = X.mean(axis=0), X.std(axis=0)
    wrong = [
        Wrong(
            "variance",
            (mean, std**2),
            "You return the variance. The scaler divides by its root, the standard deviation.",
        ),
        Wrong(
            "m minus 1",
            (mean, X.std(axis=0, ddof=1)),
            "You divide by the number of rows minus 1, as torch.std and pandas do by default. "
            "Here, as in NumPy and in Keras, the division is by the number of rows.",
        ),
        Wrong("order", (std, mean), "The order is (mean, std)."),
        Wrong(
            "per row",
            (X.mean(axis=1), X.std(axis=1)),
            "You have one pair per row. A scaler describes columns: sum over the rows, axis 0.",
        ),
        Wrong(
            "one for all",
            (X.mean(), X.std()),
            "You have one mean for the whole table. Columns have different units: each needs its own.",
        ),
        Wrong(
            "one for all",
            (np.full(4, X.mean()), np.full(4, X.std())),
            "You have one mean for the whole table. Columns have different units: each needs its own.",
        ),
        Wrong(
            "range",
            (X.min(axis=0), np.ptp(X, axis=0)),
            "Minimum and range scale to [0, 1]. Standardizing takes the mean and the standard deviation.",
        ),
        Wrong(
            "not centred",
            (mean, np.sqrt((X**2).mean(axis=0))),
            "Your std is the root of the mean square. Subtract the mean before you square.",
        ),
        Wrong(
            "median",
            (np.median(X, axis=0), std),
            "You return the median. The first number is the mean.",
        ),
    ]
    return compare(answer(X), (mean, std), wrong)


@chapter.check(
    "fit_scaler",
    points=2,
    hint="A constant column has std 1 and every other column keeps its own.",
    more="np.where(np.ptp(X, axis=0) > 0, X.std(axis=0), 1)",
)
def leaves_constant_columns_a_one(answer, rng):
    """gives a constant column the std 1, and only that"""
    X = _table(rng, rows=7)
    X[:, 1] = rng.integers(-3, 4)
    right = np.where(np.ptp(X, axis=0) > 0, X.std(axis=0), 1)
    mean = X.mean(axis=0)
    received = answer(X)
    if isinstance(received, tuple) and not all(np.isfinite(r).all() for r in received):
        return Outcome(
            False,
            f"std {brief(right)}",
            "NaN or infinity",
            "zero",
            "A constant column must not lead to NaN or infinity: its std is 1.",
        )
    wrong = [
        Wrong(
            "zero",
            (mean, X.std(axis=0)),
            "The std of the constant column is 0, and the next step divides by it. Return 1 there.",
        ),
        Wrong(
            "all ones",
            (mean, np.ones(4)),
            "One constant column made all std 1. Decide column by column.",
        ),
        Wrong(
            "added to all",
            (mean, X.std(axis=0) + (np.ptp(X, axis=0) == 0).any()),
            "You added 1 to every std. Replace the one that is 0 and keep the others.",
        ),
        Wrong(
            "no small std",
            (mean, np.maximum(X.std(axis=0), 1)),
            "You replaced every std below 1. A column may vary by less than 1: only a constant one gets 1.",
        ),
    ]
    return compare(received, (mean, right), wrong)


@chapter.check(
    "fit_scaler",
    hint="Rounding leaves the std of some constant columns above 0, and some real spreads are tiny.",
    more="Decide by np.ptp(X, axis=0) > 0: the largest minus the smallest value of the column.",
)
def sees_through_rounding(answer, rng):
    """finds constant columns in spite of rounding, and keeps tiny spreads"""
    X = rng.normal(size=(300, 3))
    X[:, 0] = 0.1  # its computed deviation is 1e-17 and not 0
    X[:, 1] *= 2.0**-30
    scale = 2.0**30  # compare has an absolute tolerance
    mean, std = outputs(answer(X), (3,), (3,))
    received = np.where([False, True, False], std * scale, std)
    right = np.where([False, True, False], X.std(axis=0) * scale, X.std(axis=0))
    right[0] = 1
    computed = right.copy()
    computed[0] = X[:, 0].std()
    wrong = [
        Wrong(
            "rounding",
            computed,
            "The first column is constant, and rounding gives it a std of about 1e-17 that passes "
            "a test for zero. Compare the largest with the smallest value.",
        ),
        Wrong(
            "tiny spread",
            np.array([1, scale, right[2]]),
            "The second column varies by about 1e-9. That is little and not nothing: it is not constant.",
        ),
        Wrong(
            "tiny spread",
            np.array([computed[0], scale, right[2]]),
            "The second column varies by about 1e-9. That is little and not nothing: it is not constant.",
        ),
    ]
    outcome = compare(received, right, wrong)
    return outcome if not outcome.passed else compare(mean, X.mean(axis=0))


# --- transform -------------------------------------------------------------------------------


@chapter.check(
    "transform",
    points=2,
    hint="Subtract the given mean and divide by the given std.",
    more="mean, std = stats; return (X - mean) / std",
)
def uses_the_given_statistics(answer, rng):
    """subtracts the given mean and divides by the given std"""
    X, train = _table(rng, rows=6), _table(rng)
    mean, std = train.mean(axis=0), train.std(axis=0)
    wrong = [
        Wrong(
            "refitted",
            (X - X.mean(axis=0)) / X.std(axis=0),
            "You computed the statistics anew from X. Use those in stats: they come from the "
            "training rows, and the model was trained with them.",
        ),
        Wrong(
            "refitted",
            (X - X.mean(axis=0)) / X.std(axis=0, ddof=1),
            "You computed the statistics anew from X. Use those in stats.",
        ),
        Wrong(
            "refitted mean",
            (X - X.mean(axis=0)) / std,
            "You subtract the mean of X. Subtract the mean in stats.",
        ),
        Wrong(
            "variance",
            (X - mean) / std**2,
            "You divided by the square of std. std is the standard deviation already.",
        ),
        Wrong(
            "root",
            (X - mean) / np.sqrt(std),
            "You took the root of std. It is the standard deviation already, not the variance.",
        ),
        Wrong("not centred", X / std, "The mean is not subtracted."),
        Wrong("not scaled", X - mean, "The division by std is missing."),
        Wrong("multiplied", (X - mean) * std, "You multiplied by std. Divide by it."),
        Wrong(
            "backwards",
            X * std + mean,
            "That is the way back, from scaled rows to raw ones.",
        ),
        Wrong("order", (X - std) / mean, "The order in stats is (mean, std)."),
        Wrong(
            "parentheses",
            X - mean / std,
            "The division comes first in your formula. Write (X - mean) / std.",
        ),
    ]
    return compare(answer(X, (mean, std)), (X - mean) / std, wrong)


@chapter.check(
    "transform",
    hint="A single row is scaled like any other: by the statistics it is given.",
    more="No mean and no standard deviation of X may appear in your function.",
)
def scales_a_single_row(answer, rng):
    """scales a single row, which has no statistics of its own"""
    train = _table(rng)
    X, mean, std = _table(rng, rows=1), train.mean(axis=0), train.std(axis=0)
    received = answer(X, (mean, std))
    zeros = np.zeros(X.shape)
    hint = (
        "The row came out as zeros or NaN: it was scaled by its own mean and std. A single row is "
        "its own mean. Use stats."
    )
    if received.shape == X.shape and not np.isfinite(received).all():
        return Outcome(False, brief((X - mean) / std), "NaN", "single row", hint)
    return compare(received, (X - mean) / std, [Wrong("single row", zeros, hint)])


@chapter.check(
    "transform",
    hint="Whole numbers become decimal ones when they are scaled. Make a new array for the result.",
    more="(X - mean) / std makes a new array. X -= mean and X[:] = ... write into the one you got.",
)
def leaves_whole_numbers_alone(answer, rng):
    """scales whole numbers without writing into X"""
    X = rng.integers(-9, 10, size=(5, 3))
    mean, std = rng.normal(size=3), rng.uniform(2, 4, size=3)
    right = (X - mean) / std
    hint = (
        "You write the result into X, which holds whole numbers here: the decimals are cut off or "
        "NumPy refuses. Return a new array; whoever called you still needs X."
    )
    try:
        received = answer(X, (mean, std))
    except AnswerError as error:
        if "cast" not in str(error):
            raise
        return Outcome(False, brief(right), "none", "in place", hint)
    halfway = np.trunc(np.trunc(X - mean) / std)
    return compare(
        received,
        right,
        [Wrong("in place", np.trunc(right), hint), Wrong("in place", halfway, hint)],
    )


# --- condition_number ------------------------------------------------------------------------


@chapter.check(
    "condition_number",
    points=3,
    hint="Divide the largest eigenvalue of X.T @ X / m by the smallest.",
    more="s = np.linalg.eigvalsh(X.T @ X / len(X)); return s[-1] / s[0]",
)
def is_the_ratio_of_the_eigenvalues(answer, rng):
    """is the largest eigenvalue of X'X / m divided by the smallest"""
    X = rng.normal(size=(9, 3)) * [1, 1.7, 2.5] + rng.uniform(0.5, 1.5, size=3)
    m = len(X)

    def ratio(matrix):
        s = np.linalg.eigvalsh(matrix)
        return s[-1] / s[0]

    right = ratio(X.T @ X / m)
    s = np.linalg.eigvalsh(X.T @ X / m)
    ones = np.column_stack([X, np.ones(m)])
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    variances, squares = X.var(axis=0), (X**2).mean(axis=0)
    wrong = [
        Wrong(
            "singular values",
            np.sqrt(right),
            "That is the ratio of the singular values of X. The eigenvalues of X'X are their squares.",
        ),
        Wrong(
            "squared twice",
            right**2,
            "You squared once too often: the eigenvalues of X'X are not squared again.",
        ),
        Wrong("upside down", 1 / right, "You divided the smallest by the largest."),
        Wrong(
            "variances",
            variances.max() / variances.min(),
            "You compared the variances of the columns. They know nothing of correlations and "
            "means; the eigenvalues do.",
        ),
        Wrong(
            "variances",
            squares.max() / squares.min(),
            "You compared the diagonal of X'X. It knows nothing of correlations; the eigenvalues do.",
        ),
        Wrong(
            "centred",
            ratio(np.cov(X.T)),
            "You took the covariance matrix, which subtracts the means. Gradient descent meets "
            "X'X / m, means included.",
        ),
        Wrong(
            "standardized",
            ratio(z.T @ z),
            "You standardized first. The question is how bad X is as it stands.",
        ),
        Wrong(
            "with ones",
            ratio(ones.T @ ones),
            "You added a column of ones. Take X as it is.",
        ),
        Wrong("largest", s[-1], "That is the largest eigenvalue. Divide by the smallest."),
        Wrong("difference", s[-1] - s[0], "You subtracted. Divide."),
        Wrong(
            "rows",
            np.inf,
            "You took X X', a matrix of the rows. With more rows than columns it is singular. Take X'X.",
        ),
    ]
    return compare(answer(X), right, wrong)


@chapter.check(
    "condition_number",
    hint="A common factor multiplies every eigenvalue, so their ratio stays.",
    more="The factor 1 / m does not matter either, as long as you divide two eigenvalues.",
)
def ignores_a_common_factor(answer, rng):
    """stays the same when all inputs are multiplied by 10, and is 1 at best"""
    X = rng.normal(size=(12, 4))
    once, ten = answer(X), answer(10 * X)
    outcome = compare(ten, once)
    if not outcome.passed:
        return outcome
    q = np.linalg.qr(rng.normal(size=(7, 3)))[0]
    return compare(answer(5 * q), 1.0)


@chapter.check(
    "condition_number",
    points=2,
    hint="Dependent columns have an eigenvalue of 0, up to rounding: return np.inf.",
    more="if np.linalg.matrix_rank(X) < X.shape[1]: return np.inf",
)
def is_infinite_for_dependent_columns(answer, rng):
    """is infinity when the columns are linearly dependent, and only then"""
    X = rng.normal(size=(9, 3))
    X = np.column_stack([X, X @ rng.normal(size=3)])
    received = answer(X)
    hint = (
        "Rounding leaves the smallest eigenvalue a little away from 0, on either side, so that the "
        "ratio is huge or negative. Ask for the rank first."
    )
    if np.ndim(received) == 0 and not isinstance(received, (str, tuple, dict)):
        value = float(received)
        if value != np.inf and not abs(value) < 1e6:
            return Outcome(False, "inf", brief(received), "rounding", hint)
    outcome = compare(received, np.inf)
    if not outcome.passed:
        return outcome
    # Independent columns, badly scaled: a bound on the eigenvalue would call them dependent.
    q = np.linalg.qr(rng.normal(size=(9, 2)))[0]
    return compare(
        answer(q * [1e-4, 1e-7]),
        1e6,
        [
            Wrong(
                "bound",
                np.inf,
                "You call a small eigenvalue zero. Small compared to what? Multiplying X by a "
                "factor must not change the answer: use the rank.",
            )
        ],
    )


# --- build_scaled_model ----------------------------------------------------------------------


def _softmax(logits):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def _case(rng):
    """Draw training rows, new rows of another mean, labels and a rate."""
    X = _table(rng, rows=10)
    new = _table(rng, rows=8) * 0.3 + X.mean(axis=0) + X.std(axis=0)
    return X, new, rng.integers(0, 3, size=10), rng.uniform(0.2, 0.4)


def _logits(handle, x):
    (logits,) = outputs(handle.predict(x), (len(x), 3))
    return logits.astype(float)


@chapter.check(
    "build_scaled_model",
    points=3,
    hint="One step changes the logits as in a linear model of the scaled inputs, with plain SGD.",
    more="Scale by X_train.mean(axis=0) and X_train.std(axis=0), then Dense or Linear with a bias; "
    "cross-entropy of logits, SGD(lr).",
)
def learns_from_scaled_inputs(answer, rng):
    """moves the logits of new raw rows as a linear model of the scaled inputs does"""
    X, new, y, lr = _case(rng)
    handle = answer.model(X, 3, lr)
    before, start = _logits(handle, new), _logits(handle, X)
    mean, std = X.mean(axis=0), X.std(axis=0)
    if np.allclose(start.sum(axis=1), 1, atol=1e-4) and (start >= 0).all():
        return Outcome(
            False,
            "logits",
            "rows that sum to 1",
            "softmax",
            "Your model returns probabilities. Return logits: no softmax in the last layer.",
        )
    error = (_softmax(start) - np.eye(3)[y]) / len(X)
    handle.train_step(X, y)
    received = _logits(handle, new)

    def after(centre, scale, rate=lr, bias=1.0):
        z, z_new = (X - centre) / scale, (new - centre) / scale
        return before - rate * (z_new @ z.T + bias) @ error

    # What training would do to the statistics too. With W and b from the logits, which are affine:
    z = (X - mean) / std
    affine = np.linalg.lstsq(np.column_stack([z, np.ones(len(z))]), start, rcond=None)[0]
    W, b = affine[:-1], affine[-1]
    dz = error @ W.T
    moved_mean, moved_std = mean + lr * dz.sum(axis=0) / std, std + lr * (dz * z).sum(axis=0) / std
    moved = (new - moved_mean) / moved_std @ (W - lr * z.T @ error) + b - lr * error.sum(axis=0)
    wrong = [
        Wrong(
            "unscaled",
            after(0, 1),
            "The model learns from raw inputs: the scaler is missing in front of the dense layer.",
        ),
        Wrong(
            "m minus 1",
            after(mean, X.std(axis=0, ddof=1)),
            "torch.std divides by the number of rows minus 1. Pass correction=0.",
        ),
        Wrong(
            "variance",
            after(mean, std**2),
            "You divide by the variance. Divide by its root, the standard deviation.",
        ),
        Wrong(
            "std as variance",
            after(mean, np.sqrt(std)),
            "You divide by the root of the standard deviation: Keras's Normalization(variance=...) "
            "wants the variance and takes the root itself.",
        ),
        Wrong("not centred", after(0, std), "The mean is not subtracted."),
        Wrong("not divided", after(mean, 1), "The division by the standard deviation is missing."),
        Wrong(
            "one for all",
            after(X.mean(), X.std()),
            "You scale by one mean for the whole table. Keras: axis=-1; PyTorch: dim=0.",
        ),
        Wrong(
            "batch-norm epsilon",
            after(mean, np.sqrt(std**2 + 1e-3)),
            "Your layer adds an epsilon to the variance, as batch normalization does. Divide by the "
            "standard deviation itself.",
        ),
        Wrong(
            "trained statistics",
            moved,
            "Training moves your mean and std. They are statistics, not weights: use "
            "register_buffer in place of nn.Parameter, or Normalization in Keras.",
        ),
        Wrong("no bias", after(mean, std, bias=0.0), "The dense layer has no bias."),
        Wrong(
            "untrained",
            before,
            "One training step did not change the logits: does the optimizer hold the model's "
            "parameters, with the learning rate lr?",
        ),
        Wrong("rate", after(mean, std, rate=1e-3), "The learning rate is 0.001: pass lr."),
        Wrong("rate", after(mean, std, rate=1e-2), "The learning rate is 0.01: pass lr."),
    ]
    return compare(received, after(mean, std), wrong)


@chapter.check(
    "build_scaled_model",
    points=2,
    hint="The logits of a row depend on that row alone, in training and in evaluation.",
    more="Compute the statistics once, from X_train, before the model is built.",
)
def scales_every_row_alike(answer, rng):
    """gives a row the same logits alone, in a batch, and in training mode"""
    X, new, _, lr = _case(rng)
    handle = answer.model(X, 3, lr)
    together = _logits(handle, new)
    alone = np.concatenate([handle.predict(new[i : i + 1]) for i in range(len(new))])
    hint = (
        "The logits of a row change with the rows beside it: your layer computes the statistics of "
        "the batch. Fit them once on X_train and reuse them."
    )
    if not np.isfinite(alone).all():
        return Outcome(False, brief(together), "NaN", "own statistics", hint)
    outcome = compare(alone, together)
    if not outcome.passed:
        return Outcome(False, outcome.expected, outcome.received, "own statistics", hint)
    (training,) = outputs(handle.predict(new, training=True), (len(new), 3))
    outcome = compare(training, together)
    if not outcome.passed:
        return Outcome(
            False,
            outcome.expected,
            outcome.received,
            "batch statistics in training",
            "In training mode your layer scales by the batch's own statistics, as batch "
            "normalization does. The scaler does the same in both modes.",
        )
    return outcome


# --- diagnose_scaling ------------------------------------------------------------------------

_HINTS = {
    ("right", "unscaled"): "Z_test is not X_test: the rows were scaled.",
    ("right", "own statistics"): "The moments of Z_test are close to 0 and 1 and not exactly so. "
    "Compute what the test rows' own statistics would give, and compare.",
    ("right", "all rows"): "Test rows shift the joint mean. Compare with both and see which fits.",
    ("right", "per row"): "The rows of Z_test do not have mean 0 and standard deviation 1.",
    ("right", "variance"): "The division is by the standard deviation here. Compare the values.",
    ("unscaled", "right"): "Z_test equals X_test: nothing was scaled.",
    ("own statistics", "right"): "Mean 0 and standard deviation 1 over the test rows are the mark "
    "of their own statistics, not of a working scaler. Training statistics give other numbers.",
    ("own statistics", "all rows"): "The training rows play no part in Z_test.",
    ("all rows", "right"): "Close, but not the training statistics: the test rows took part.",
    ("all rows", "own statistics"): "The training rows took part too.",
    ("per row", "right"): "Every row of Z_test has mean 0 and standard deviation 1 over its own "
    "columns. A scaler works column by column.",
    ("per row", "unscaled"): "Z_test is not X_test. Look at the mean of each row.",
    ("per row", "own statistics"): "Own statistics of the columns would give each column mean 0. "
    "Here each row has it.",
    ("variance", "right"): "The mean is right, the division is not: check the standard deviation.",
    ("variance", "own statistics"): "Compare the values: the mean is that of the training rows.",
}


def _sent(X_train, X_test):
    """Return what each pipeline makes of the test rows."""
    both = np.concatenate([X_train, X_test])
    row_mean, row_std = X_test.mean(axis=1, keepdims=True), X_test.std(axis=1, keepdims=True)
    return {
        "right": (X_test - X_train.mean(axis=0)) / X_train.std(axis=0),
        "unscaled": X_test.copy(),
        "own statistics": (X_test - X_test.mean(axis=0)) / X_test.std(axis=0),
        "all rows": (X_test - both.mean(axis=0)) / both.std(axis=0),
        "per row": (X_test - row_mean) / row_std,
        "variance": (X_test - X_train.mean(axis=0)) / X_train.var(axis=0),
    }


def _diagnosed(answer, rng, names):
    """Ask for several diagnoses in random order; name the first confusion."""
    for name in rng.permutation(names):
        name = str(name)
        spread = rng.uniform(2, 6, size=4)
        X_train = rng.uniform(-9, 9, size=4) + spread * rng.normal(size=(rng.integers(20, 40), 4))
        X_test = X_train.mean(axis=0) + spread * rng.normal(0.5, 1, size=(rng.integers(6, 12), 4))
        noise = 1e-9 * rng.normal(size=X_test.shape)
        received = answer(X_train, X_test, _sent(X_train, X_test)[name] + noise)
        wrong = [
            Wrong(f"{name} taken for {other}", other, hint)
            for (truth, other), hint in _HINTS.items()
            if truth == name
        ]
        outcome = compare(received, name, wrong)
        if not outcome.passed:
            return outcome
    return outcome


@chapter.check(
    "diagnose_scaling",
    points=2,
    hint="Compute what the training statistics would give, and what none at all would give.",
    more='"right": (X_test - X_train.mean(axis=0)) / X_train.std(axis=0); "unscaled": X_test.',
)
def knows_a_working_scaler(answer, rng):
    """tells a working scaler from none"""
    return _diagnosed(answer, rng, ["right", "unscaled"])


@chapter.check(
    "diagnose_scaling",
    points=2,
    hint="Own statistics, joint statistics and training statistics give three different tables.",
    more="Compute each of the three candidates and compare it with Z_test.",
)
def knows_whose_statistics(answer, rng):
    """says whose statistics were used: the test rows' own, or those of all rows"""
    return _diagnosed(answer, rng, ["own statistics", "all rows"])


@chapter.check(
    "diagnose_scaling",
    points=2,
    hint="Look along the rows, and at what the deviations are divided by.",
    more='"per row": mean and std over axis 1. "variance": X_train.var(axis=0) in the denominator.',
)
def knows_a_wrong_formula(answer, rng):
    """finds the wrong axis and the missing root"""
    return _diagnosed(answer, rng, ["per row", "variance"])
