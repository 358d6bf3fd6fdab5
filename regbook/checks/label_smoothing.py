"""Checks of chapter 16, label smoothing."""

import numpy as np

from regbook.arrays import log_softmax, softmax
from regbook.exercise import (
    AnswerError,
    Chapter,
    Failed,
    brief,
    judge,
    outputs,
    plain,
    training,
    vary,
)

chapter = Chapter("16_label_smoothing")


def _labels(rng, rows, classes):
    """Draw labels of which the largest class does not occur, and the smallest does."""
    y = rng.integers(0, classes - 1, size=rows)
    y[0] = 0
    return y


def _hot(y, num_classes):
    return np.eye(num_classes)[y]


def _shares(alpha, k):
    """Return what the target gives to the true class, and to each other class."""
    return 1 - alpha + alpha / k, alpha / k


def _wrong_classes_only(alpha, k):
    return 1 - alpha, alpha / (k - 1)


def _mixed_formulas(alpha, k):
    """Return shares of which each row holds more than 1."""
    return 1 - alpha + alpha / (k - 1), alpha / (k - 1)


# --- smooth_labels ---------------------------------------------------------------------------


def _smooth(y, num_classes, alpha, *, shares=_shares):
    own, other = shares(alpha, num_classes)
    return other + (own - other) * _hot(y, num_classes)


def _columns_for_entries(y, num_classes, alpha):
    own, other = _shares(alpha, num_classes)
    targets = np.full((len(y), num_classes), other)
    targets[:, y] = own
    return targets


smooth_labels = chapter.exercise(
    "smooth_labels",
    _smooth,
    mistakes={
        "wrong classes only": vary(_smooth, shares=_wrong_classes_only),
        "mixed formulas": vary(_smooth, shares=_mixed_formulas),
        "share missing at the true class": vary(_smooth, shares=lambda a, k: (1 - a, a / k)),
        "nothing taken away": vary(_smooth, shares=lambda a, k: (1 + a / k, a / k)),
        "undivided": vary(_smooth, shares=lambda a, k: (1, a)),
        "alpha swapped": vary(_smooth, alpha=lambda a: 1 - a),
        "one-hot": vary(_smooth, alpha=0.0),
        "transposed": lambda y, num_classes, alpha: _smooth(y, num_classes, alpha).T,
        "classes counted in y": lambda y, num_classes, alpha: _smooth(y, y.max() + 1, alpha),
        "columns for entries": _columns_for_entries,
        "rounded": lambda *given: _smooth(*given).round(2),
    },
    hints={
        "wrong classes only": "You spread alpha over the wrong classes only. Here every class gets alpha / K, the true one too.",
        "mixed formulas": "Your rows sum to more than 1: alpha is spread over all K classes, so divide by K.",
        "share missing at the true class": "Your rows sum to less than 1: the true class gets its alpha / K as well.",
        "nothing taken away": "You add the uniform part and take nothing away from the one-hot part: multiply it by 1 - alpha.",
        "undivided": "Each class gets the whole alpha. Divide it by the number of classes.",
        "alpha swapped": "alpha is the share of the uniform part; the one-hot part keeps 1 - alpha.",
        "one-hot": "These are one-hot rows: alpha has no effect.",
        "transposed": "Rows and classes are swapped: the shape must be (rows, num_classes).",
        "classes counted in y": "You take the number of classes from y. A class may be absent: use num_classes.",
        "columns for entries": "You set whole columns: targets[:, y] means these columns of every row. Pair the number of each row with its label.",
        "rounded": "Your entries are rounded. Return them as they are.",
    },
)


@smooth_labels.check(
    points=2,
    hint="Mix the one-hot rows with the uniform distribution: the one-hot rows keep the share 1 - alpha, and alpha is spread evenly over all K classes.",
    more="np.eye(num_classes) holds the one-hot row of every class; index it with y. With K = 4 and alpha = 0.2 every class gets 0.05, and the true one 0.8 more.",
)
def mixes_with_the_uniform(ask, rng):
    """gives the true class 1 - alpha + alpha/K and every other class alpha/K"""
    classes = int(rng.integers(4, 7))
    share = (rng.integers(25, 50) + 0.5) / 1000  # of each class: three digits do not hold it
    y = _labels(rng, 9, classes)
    y[1] = classes - 1
    return ask(y, classes, classes * share)


@smooth_labels.check(
    hint="The number of columns is num_classes, also when the last classes do not occur in y.",
    more="y.max() + 1 is too small when the last classes are absent, and so is the number of different labels.",
)
def counts_absent_classes(ask, rng):
    """has a column for a class that does not occur, and rows that sum to 1"""
    return ask(_labels(rng, 6, 8) // 2, 8, rng.uniform(0.3, 0.6))


@smooth_labels.check(
    hint="alpha = 0 gives the one-hot rows, alpha = 1 the uniform distribution.",
    more="Both follow from the formula; no special case is needed.",
)
def has_the_right_ends(ask, rng):
    """is one-hot at alpha 0 and uniform at alpha 1"""
    y = _labels(rng, 5, 4)
    return {"alpha 0": ask(y, 4, 0.0), "alpha 1": ask(y, 4, 1.0)}


# --- convert_smoothing -----------------------------------------------------------------------

convert_smoothing = chapter.exercise(
    "convert_smoothing",
    lambda alpha, num_classes: alpha * num_classes / (num_classes - 1),
    mistakes={
        "other direction": lambda alpha, k: alpha * (k - 1) / k,
        "unchanged": lambda alpha, k: alpha,
        "share of a class": lambda alpha, k: alpha / (k - 1),
        "divided by K": lambda alpha, k: alpha / k,
        "one class too many": lambda alpha, k: alpha * (k + 1) / k,
        "mixed formulas": lambda alpha, k: alpha * k / (k - 1 + alpha),
        "times the wrong classes": lambda alpha, k: alpha * (k - 1),
        "rounded": lambda alpha, k: np.round(alpha * k / (k - 1), 2),
        "cut off": lambda alpha, k: np.minimum(alpha * k / (k - 1), 0.5),
    },
    hints={
        "other direction": "That is the way back, from the built-in argument to the alpha/(K-1) form. The built-in number must be the larger one.",
        "unchanged": "The two strengths are not equal: a wrong class gets alpha / (K - 1) here and alpha / K there.",
        "share of a class": "That is what each wrong class gets. The built-in strength is K times that.",
        "divided by K": "That is not a strength but a K-th of one.",
        "one class too many": "Your factor, (K + 1) / K, is too small: for two classes it is 1.5, and the strength must double.",
        "mixed formulas": "You made the sum 1 afterwards. The alpha/(K-1) form already sums to 1: its true class gets 1 - alpha.",
        "times the wrong classes": "That multiplies by the number of wrong classes.",
        "rounded": "Your result is rounded. Return it as it is.",
        "cut off": "Your result never exceeds 0.5. A strength can be as large as 1.",
    },
)


@convert_smoothing.check(
    points=0.5,
    hint="Compare what a wrong class gets: alpha / (K - 1) in one form, the built-in strength / K in the other.",
    more="Call the built-in strength s, and solve s / K = alpha / (K - 1) for s.",
)
def gives_the_same_targets(ask, rng):
    """makes the targets of both forms equal"""
    return ask(rng.uniform(0.1, 0.3), int(rng.integers(4, 8)))


@convert_smoothing.check(
    points=0.5,
    hint="With two classes the strength doubles, and the rule holds for an array too.",
    more="0.25 becomes 0.5, and 0 stays 0. Calculate with the array as a whole, and return all of it.",
    keeps_input=True,
)
def doubles_for_two_classes(ask, rng):
    """doubles an array of strengths for two classes, 0 included"""
    drawn = (rng.integers(50, 450) + 0.25) / 1000  # three digits do not hold its double
    return ask(np.array([0.0, 0.5, drawn]), 2)


# --- smoothed_cross_entropy ------------------------------------------------------------------


def _entropy(logits, y, alpha, *, smooth=_smooth, log_p=log_softmax, reduce=np.mean):
    targets = smooth(y, logits.shape[1], alpha)
    return reduce(-(targets * log_p(logits)).sum(axis=1))


def _smoothed_predictions(logits, y, alpha):
    p = (1 - alpha) * softmax(logits) + alpha / logits.shape[1]
    return -np.log(p[np.arange(len(y)), y]).mean()


def _away_from_zero(eps):
    return [
        vary(_entropy, log_p=lambda z: np.log(np.clip(softmax(z), eps, 1))),
        vary(_entropy, log_p=lambda z: np.log(softmax(z) + eps)),
    ]


def _entropy_of_counted_classes(logits, y, alpha):
    log_p = log_softmax(logits)
    uniform = log_p.sum(axis=1) / (y.max() + 1)
    return -((1 - alpha) * log_p[np.arange(len(y)), y] + alpha * uniform).mean()


def _after_the_largest_absolute_value(logits):
    with np.errstate(divide="ignore"):
        z = logits - np.abs(logits).max(axis=1, keepdims=True)
        return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def _true_class_only(logits, y, alpha):
    own, _ = _shares(alpha, logits.shape[1])
    return -own * log_softmax(logits)[np.arange(len(y)), y].mean()


smoothed_cross_entropy = chapter.exercise(
    "smoothed_cross_entropy",
    _entropy,
    mistakes={
        "sum": vary(_entropy, reduce=np.sum),
        "mean over everything": lambda logits, *rest: _entropy(logits, *rest) / logits.shape[1],
        "per row": vary(_entropy, reduce=lambda losses: losses),
        "smoothed predictions": _smoothed_predictions,
        "no smoothing": vary(_entropy, alpha=0.0),
        "wrong classes only": vary(_entropy, smooth=vary(_smooth, shares=_wrong_classes_only)),
        "mixed formulas": vary(_entropy, smooth=vary(_smooth, shares=_mixed_formulas)),
        "softmax twice": vary(_entropy, log_p=lambda z: log_softmax(softmax(z))),
        "logits as probabilities": vary(_entropy, log_p=lambda z: np.log(np.clip(z, 1e-7, None))),
        "sign": vary(_entropy, reduce=lambda losses: -losses.mean()),
        "wrong axis": vary(_entropy, log_p=lambda z: log_softmax(z.T).T),
        "bits": vary(_entropy, reduce=lambda losses: losses.mean() / np.log(2)),
        "alpha swapped": vary(_entropy, alpha=lambda a: 1 - a),
        "classes counted in y": _entropy_of_counted_classes,
        "largest absolute value": vary(_entropy, log_p=_after_the_largest_absolute_value),
        "clipped logits": vary(_entropy, logits=lambda z: np.clip(z, -500, 500)),
        "true class only": _true_class_only,
        "rounded": vary(_entropy, reduce=lambda losses: losses.mean().round(2)),
        "clipped": [f for eps in (1e-7, 1e-8, 1e-12, 1e-15) for f in _away_from_zero(eps)],
    },
    hints={
        "sum": "You summed over the rows. Take the mean.",
        "mean over everything": "You averaged over the classes too. Sum over the classes, then average over the rows.",
        "per row": "You return one loss per row. Return their mean.",
        "smoothed predictions": "You smoothed the predictions. Smooth the labels: the predictions stay as they are.",
        "no smoothing": "alpha has no effect: this is the ordinary cross-entropy.",
        "wrong classes only": "You spread alpha over the wrong classes only. Here every class gets alpha / K, the true one too.",
        "mixed formulas": "Your targets sum to more than 1: divide alpha by K, not by K - 1.",
        "softmax twice": "You took the softmax twice: a loss that expects logits was given probabilities.",
        "logits as probabilities": "You took the logarithm of the logits. They are not probabilities: the softmax is missing.",
        "sign": "The sign is wrong: a cross-entropy is positive.",
        "wrong axis": "Your softmax runs over the rows of the batch. It must run over the classes.",
        "bits": "You used the logarithm to base 2. Use log.",
        "alpha swapped": "alpha is the share of the uniform part; the one-hot part keeps 1 - alpha.",
        "classes counted in y": "You divide alpha by the number of classes that occur in y. K is the number of columns of logits.",
        "largest absolute value": "You subtract the largest absolute value. When all logits of a row are far below 0, every exponential becomes 0 that way: subtract the largest logit itself.",
        "clipped logits": "You cut the logits off. They may be as large as 1000: subtract the largest one of each row instead.",
        "true class only": "You take the loss of the true class alone. The other classes have a share of the target too.",
        "rounded": "Your loss is rounded. Return it as it is.",
        "clipped": "You keep probabilities away from 0 before the logarithm, so a sure mistake costs too little. Compute the logarithm of the softmax directly.",
    },
)


@smoothed_cross_entropy.check(
    points=3,
    hint="Smooth the labels, take the log-softmax of the logits, multiply, sum over the classes, mean over the rows.",
    more="Two means are enough: the mean of log_p at the true classes, with the weight 1 - alpha, and the mean of log_p over all entries, with the weight alpha. The sign comes last.",
)
def is_the_cross_entropy_of_smoothed_labels(ask, rng):
    """is the mean cross-entropy of the smoothed labels"""
    rows, k, alpha = 7, 5, rng.uniform(0.2, 0.4)
    y, logits = _labels(rng, rows, k), rng.normal(scale=2, size=(rows, k))
    return ask(logits + 2 * _hot(y, k), y, alpha)


@smoothed_cross_entropy.check(
    points=2,
    hint="exp(1000) overflows and log(0) is infinite. Work with the log-softmax, after subtracting the largest logit.",
    more="For a row [1000, 0] the shifted logits are [0, -1000], log(exp(0) + exp(-1000)) is 0, and so log_p is [0, -1000]. The option keepdims=True keeps the largest logits a column.",
    keeps_input=True,
)
def is_exact_for_large_logits(ask, rng):
    """is exact when logits are as large as 1000, for a sure mistake too"""
    alpha, high = rng.uniform(0.2, 0.5), rng.uniform(300, 900)
    logits = [[high, 0, 0, 0], [0, 0, high, 100], [-1000, 5 - high, -1000, -900], [1000, 0, 0, 0]]
    logits.append([-1000, -995, -1000, -1000])  # far below 0, all of them
    return ask(np.array(logits), np.array([0, 1, 1, 0, 1]), alpha)


@smoothed_cross_entropy.check(
    hint="A constant added to all logits of a row changes no probability, and with alpha = 0 the loss is the ordinary one.",
    more="Both follow from the log-softmax. For equal logits the loss is log K.",
)
def is_log_k_for_equal_logits(ask, rng):
    """is log K for equal logits, and the ordinary cross-entropy at alpha 0"""
    k = (3, 4, 7)[rng.integers(3)]  # log K is not a number of two digits
    y, logits = rng.integers(0, k, size=6), rng.normal(size=(6, k))
    equal, alpha = np.tile(rng.normal(size=(6, 1)), (1, k)), rng.uniform(0.1, 0.9)
    return {"equal logits": ask(equal, y, alpha), "alpha 0": ask(logits, y, 0.0)}


# --- loss_floor ------------------------------------------------------------------------------


def _term(q):
    return -q * np.log(q) if q > 0 else 0.0


def _floor(alpha, num_classes, *, shares=_shares, others=lambda k: k - 1):
    own, other = shares(alpha, num_classes)
    return _term(own) + others(num_classes) * _term(other)


loss_floor = chapter.exercise(
    "loss_floor",
    _floor,
    mistakes={
        "zero": lambda alpha, k: 0.0,
        "true class only": lambda alpha, k: -np.log(1 - alpha + alpha / k),
        "true term only": vary(_floor, others=lambda k: 0),
        "one other class": vary(_floor, others=lambda k: 1),
        "k others": vary(_floor, others=lambda k: k),
        "wrong classes only": vary(_floor, shares=_wrong_classes_only),
        "bits": lambda alpha, k: _floor(alpha, k) / np.log(2),
        "uniform": lambda alpha, k: np.log(k),
        "mixture": lambda alpha, k: alpha * np.log(k),
        "sign": lambda alpha, k: -_floor(alpha, k),
        "two classes": lambda alpha, k: _term(1 - alpha) + _term(alpha),
        "others as one class": lambda alpha, k: _floor(alpha * 2 * (k - 1) / k, 2),
        "share missing at the true class": vary(_floor, shares=lambda a, k: (1 - a, a / k)),
        "alpha swapped": vary(_floor, alpha=lambda a: 1 - a),
        "rounded": lambda alpha, k: round(_floor(alpha, k), 2),
    },
    hints={
        "zero": "Only the ordinary cross-entropy can reach 0. A soft target has an entropy.",
        "true class only": "That is the loss of the true class alone. The other classes have a share of the target too.",
        "true term only": "The terms of the K - 1 other classes are missing.",
        "one other class": "You count one other class. There are K - 1.",
        "k others": "You count K other classes. There are K - 1.",
        "wrong classes only": "That is the floor of the alpha/(K-1) form. Here the true class keeps 1 - alpha + alpha / K.",
        "bits": "Your result is in bits. Use the natural logarithm.",
        "uniform": "That is the entropy of the uniform distribution, the floor at alpha = 1 only.",
        "mixture": "The entropy of a mixture is not the mixture of the entropies.",
        "sign": "The sign is wrong: an entropy is not negative.",
        "two classes": "You take the entropy of the two numbers 1 - alpha and alpha. The target has K entries.",
        "others as one class": "You put the K - 1 other classes together as one. Each of them has a term of its own.",
        "share missing at the true class": "Your target sums to less than 1: the true class gets its alpha / K as well.",
        "alpha swapped": "alpha is the share of the uniform part; the one-hot part keeps 1 - alpha.",
        "rounded": "Your floor is rounded. Return it as it is.",
    },
)


@loss_floor.check(
    points=0.5,
    hint="One class has the probability 1 - alpha + alpha / K, and K - 1 classes have alpha / K. Add up -q * log(q).",
    more="Build the target as an array of K numbers. With K = 4 and alpha = 0.2 it is [0.85, 0.05, 0.05, 0.05], and the entropy is 0.5875.",
)
def is_the_entropy_of_the_target(ask, rng):
    """is the entropy of the smoothed target, in nats"""
    return ask(rng.uniform(0.2, 0.4), int(rng.integers(5, 9)))


@loss_floor.check(
    points=0.5,
    hint="At alpha = 0 the other classes have probability 0, and 0 * log(0) counts as 0. At alpha = 1 all classes are equal.",
    more="np.log(0) is -inf, and 0 * -inf is NaN: leave out the zeros before the logarithm.",
)
def has_the_right_ends_too(ask, rng):
    """is 0 at alpha 0 and log K at alpha 1"""
    k = (3, 4, 7)[rng.integers(3)]  # log K is not a number of two digits
    return {"alpha 0": ask(0.0, k), "alpha 1": ask(1.0, k)}


# --- train_step_with_soft_targets ------------------------------------------------------------


def _step(
    weights,
    x,
    targets,
    lr,
    *,
    tanh=True,
    slope=lambda a: 1 - a**2,
    twice=False,
    w2_first=False,
    moves=(0, 1, 2, 3),
):
    """Return the four weights after one step, from the formulas."""
    w1, b1, w2, b2 = weights
    a = np.tanh(x @ w1 + b1) if tanh else x @ w1 + b1
    p = softmax(a @ w2 + b2)
    d = p - targets
    if twice:
        d = softmax(p) - targets
        d = p * (d - (p * d).sum(axis=1, keepdims=True))
    d = d / len(x)
    back = w2 - lr * a.T @ d if w2_first else w2
    dz = d @ back.T * (slope(a) if tanh else 1)
    gradients = [x.T @ dz, dz.sum(axis=0), a.T @ d, d.sum(axis=0)]
    return tuple(w - lr * gradients[i] if i in moves else w for i, w in enumerate(weights))


def _row_by_row(weights, x, targets, lr):
    for i in range(len(x)):
        weights = _step(weights, x[i : i + 1], targets[i : i + 1], lr)
    return weights


def _adam(weights, x, targets, lr):
    after = _step(weights, x, targets, 1.0)
    return tuple(w + lr * np.sign(v - w) for w, v in zip(weights, after, strict=True))


train_step = chapter.exercise(
    "train_step_with_soft_targets",
    _step,
    mistakes={
        "hard targets": vary(_step, targets=lambda t: _hot(t.argmax(axis=1), t.shape[1])),
        "softmax of the targets": vary(_step, targets=softmax),
        "softmax twice": vary(_step, twice=True),
        "sum": lambda w, x, targets, lr: _step(w, x, targets, lr * len(x)),
        "mean over everything": lambda w, x, t, lr: _step(w, x, t, lr / t.shape[1]),
        "ascent": vary(_step, lr=lambda lr: -lr),
        "no tanh": vary(_step, tanh=False),
        "output layer only": vary(_step, moves=(2, 3)),
        "no biases": vary(_step, moves=(0, 2)),
        "no step": vary(_step, lr=0.0),
        "no learning rate": vary(_step, lr=1.0),
        "smoothed again": vary(_step, targets=lambda t: 0.9 * t + 0.1 / t.shape[1]),
        "W2 first": vary(_step, w2_first=True),
        "no slope": vary(_step, slope=lambda a: 1),
        "first layer only": vary(_step, moves=(0, 1)),
        "row by row": _row_by_row,
        "Adam": _adam,
    },
    hints={
        "changes its input": "Your step writes into the weights that it was given, so whoever called it has lost them. Make new arrays: w - lr * g.",
        "hard targets": "You turned the targets into one class per row. Use the soft targets as they are.",
        "softmax of the targets": "You took a softmax of the targets. They are probabilities already.",
        "softmax twice": "The softmax is taken twice: give the loss the logits (from_logits=True in Keras).",
        "sum": "Your loss is a sum over the rows. Take the mean.",
        "mean over everything": "You averaged over the classes too. Sum over the classes, then average over the rows.",
        "ascent": "You step up the gradient. Descent subtracts it.",
        "no tanh": "The tanh of the hidden layer is missing.",
        "output layer only": "Only the output layer moved. Step all four arrays.",
        "no biases": "The biases did not move.",
        "no step": "The weights did not change.",
        "no learning rate": "The learning rate lr has no effect: multiply by it.",
        "smoothed again": "You smoothed the targets. They are to be used as they are.",
        "W2 first": "You move W2 before the gradient of the hidden layer goes through it. Compute all four gradients from the old weights, then step.",
        "no slope": "The gradient must pass through the tanh on its way back: the factor 1 - tanh**2 is missing.",
        "first layer only": "Only the first layer moved. Step all four arrays.",
        "row by row": "You take one step for each row. Take a single one, on the mean over the rows.",
        "Adam": "Every entry moves by lr, whatever its gradient: that is the first step of Adam. Use plain gradient descent.",
    },
)


def _network(rng, rows=6):
    shapes = [(3, 5), (5,), (5, 4), (4,)]
    weights = [rng.normal(size=shape) for shape in shapes]
    targets = rng.dirichlet(np.ones(4), size=rows)
    return weights, rng.normal(size=(rows, 3)), targets, rng.uniform(0.3, 0.6)


@train_step.check(
    points=4,
    hint="The loss is the mean over the rows of -sum(targets * log_softmax(logits)). Step against its gradient.",
    more="The loss of PyTorch for labels, F.cross_entropy, takes distributions too, and CategoricalCrossentropy of Keras does with from_logits=True. By hand, start from the gradient at the logits: softmax minus targets, divided by the number of rows.",
)
def steps_on_the_soft_targets(ask, rng):
    """steps all four weights down the gradient of the mean cross-entropy"""
    return ask(*_network(rng))


@train_step.check(
    points=2,
    hint="One-hot targets are soft targets too, and the number of rows does not matter.",
    more="The mean over the rows makes a repeated batch give the same step.",
    keeps_input=True,
)
def repeats_do_not_matter(ask, rng):
    """takes the same step on one-hot targets given twice"""
    weights, x, targets, lr = _network(rng, rows=4)
    hot = _hot(targets.argmax(axis=1), 4)
    return ask(weights, np.tile(x, (2, 1)), np.tile(hot, (2, 1)), lr)


# --- diagnose_calibration --------------------------------------------------------------------

OVER, UNDER, FINE, OPEN = "over-confident", "under-confident", "calibrated", "cannot tell"
TEXTS = (OVER, UNDER, FINE, OPEN)
MARGIN = 0.02


def _confidence(p, y):
    return p.max(axis=-1)


def _right(p, y):
    return p.argmax(axis=-1) == y


def _of_true_class(p, y):
    return np.take_along_axis(p, y[..., None], axis=-1)[..., 0]


def _excess(p, y, *, confidence=_confidence, right=_right):
    """Return by how much the mean confidence exceeds the accuracy, network by network."""
    return (confidence(p, y) - right(p, y)).mean(axis=1)


def _around(values, *, errors=2, ddof=1):
    half = errors * values.std(ddof=ddof) / np.sqrt(len(values))
    return np.array([values.mean() - half, values.mean() + half])


def _inside(low, high):
    return low > -MARGIN and high < MARGIN


def _word(low, high, *, inside=_inside):
    if low > 0 or high < 0:
        return OVER if low > 0 else UNDER
    return FINE if inside(low, high) else OPEN


def _within_first(low, high):
    return FINE if _inside(low, high) else _word(low, high)


def _by_the_mean(low, high):
    mean = (low + high) / 2
    return _word(mean, mean) if abs(mean) > MARGIN else FINE


def _by_the_sign(low, high):
    return OVER if low + high > 0 else UNDER


def _diagnose(p, y, *, excess=_excess, around=_around, word=_word):
    interval = around(excess(p, y))
    return word(*interval), interval


diagnose_calibration = chapter.exercise(
    "diagnose_calibration",
    _diagnose,
    mistakes={
        "swapped": [
            vary(_diagnose, excess=lambda p, y: -_excess(p, y)),
            vary(_diagnose, word=lambda low, high: _word(-high, -low)),
        ],
        "true class": [
            vary(_diagnose, excess=vary(_excess, confidence=_of_true_class)),
            vary(_diagnose, excess=vary(_excess, right=_of_true_class)),
        ],
        "rows as replicates": vary(
            _diagnose, excess=lambda p, y: (_confidence(p, y) - _right(p, y)).ravel()
        ),
        "first network": vary(
            _diagnose, excess=lambda p, y: _confidence(p, y)[0] - _right(p, y)[0]
        ),
        "no interval": [vary(_diagnose, word=_by_the_mean), vary(_diagnose, word=_by_the_sign)],
        "calibrated for want of evidence": vary(
            _diagnose, word=vary(_word, inside=lambda low, high: True)
        ),
        "never calibrated": vary(_diagnose, word=vary(_word, inside=lambda low, high: False)),
        "margin first": vary(_diagnose, word=_within_first),
        "one end of the margin": [
            vary(_diagnose, word=vary(_word, inside=inside))
            for inside in (
                lambda low, high: high < MARGIN,
                lambda low, high: low > -MARGIN,
                lambda low, high: abs(low + high) < 2 * MARGIN,
            )
        ],
        "spread of the networks": vary(
            _diagnose, around=lambda values: _around(values, errors=2 * np.sqrt(len(values)))
        ),
        "another width": [
            vary(_diagnose, around=vary(_around, errors=errors)) for errors in (1, 1.96, 3)
        ],
        "biased spread": vary(_diagnose, around=vary(_around, ddof=0)),
        "percent": lambda p, y: (_word(*_diagnose(p, y)[1]), 100 * _diagnose(p, y)[1]),
        "median": vary(
            _diagnose, excess=lambda p, y: np.median(_confidence(p, y), 1) - _right(p, y).mean(1)
        ),
        "error rate": vary(_diagnose, excess=vary(_excess, right=lambda p, y: ~_right(p, y))),
        "mean of all": vary(_diagnose, excess=vary(_excess, confidence=lambda p, y: p.mean(-1))),
        "accuracy above one half": vary(
            _diagnose, excess=vary(_excess, right=lambda p, y: _of_true_class(p, y) > 0.5)
        ),
        "absolute differences": [
            vary(_diagnose, excess=lambda p, y: abs(_confidence(p, y) - _right(p, y)).mean(1)),
            vary(_diagnose, excess=lambda p, y: abs(_excess(p, y))),
        ],
    },
    hints={
        "swapped": "Over and under are swapped: over-confident means that the confidence exceeds the accuracy.",
        "true class": "You used the mean probability of the true class. Confidence is the largest probability of a row, whichever class it belongs to; accuracy is the share of rows whose largest probability is at the true class.",
        "rows as replicates": "You took every row as a replicate. The rows of one network share its luck: take one excess for each network, and the spread of these.",
        "first network": "You looked at the first network alone. The interval comes from the excesses of all.",
        "no interval": "You go by the mean alone. A text that names a direction, or calls the networks calibrated, needs the whole interval.",
        "calibrated for want of evidence": "You call networks calibrated whose interval includes 0 but reaches beyond 0.02. A wide interval is no evidence of calibration.",
        "never calibrated": "You never say calibrated. An interval that includes 0 and lies within 0.02 on both sides says so.",
        "margin first": "You ask for the margin before you ask whether the interval includes 0. A small excess that is sure is an excess.",
        "one end of the margin": "The whole interval must lie within the margin of 0.02: look at both of its ends.",
        "spread of the networks": "Your interval is that of a single network. The standard error of a mean is the standard deviation divided by the root of the number of networks.",
        "another width": "Your interval reaches another number of standard errors to each side. Take two.",
        "biased spread": "Divide by the number of networks minus 1 in the standard deviation (ddof=1): the mean comes from the same networks.",
        "percent": "Your interval is in percentage points. Confidence and accuracy are fractions here.",
        "median": "You took the median of the largest probabilities. Take the mean.",
        "error rate": "You compare the confidence with the share of the wrong rows. Compare it with the share of the right ones.",
        "mean of all": "You averaged all probabilities of a row, which always gives 1/K. Take the largest.",
        "accuracy above one half": "You count a row as right if its true class has more than 0.5. It is right if that class has the largest probability.",
        "absolute differences": "You took absolute differences, as the calibration error does. Here, keep the sign: it tells over from under.",
    },
)


def _said(ask, p, y):
    """Return the answer as (text, interval), or end the check."""
    received = ask(p, y)
    if not isinstance(received, tuple) or len(received) != 2:
        raise Failed("2 values", brief(received), "form", hint="Return two values: the text, and a pair of numbers.")  # fmt: skip
    if not isinstance(received[0], str) or received[0] not in TEXTS:
        hint = "The first value is one of the four texts, letter by letter."
        raise Failed(repr(_diagnose(p, y)[0]), brief(received[0]), "form", hint=hint)
    return received


def _predictions(rng, confidence, accuracy, rows, classes):
    """Return (p, y) with this mean confidence, and exactly this accuracy."""
    noise = rng.uniform(0.01, 0.016, size=rows // 4)
    largest = confidence + np.concatenate([3 * noise, *[-noise] * 3])  # mean exact, median not
    p = ((1 - largest) / (classes - 1)).repeat(classes).reshape(rows, classes)
    best = np.sort(rng.integers(0, classes, size=rows))  # some classes are more often right
    p[np.arange(rows), best] = largest
    y, right = best.copy(), round(accuracy * rows)
    y[right:] = (best[right:] + rng.integers(1, classes, size=rows - right)) % classes
    return p, y


def _networks(rng, mean, error, *, accuracy=0.68, networks=8, rows=100, classes=4):
    """Return (p, y) of some networks whose excesses have this mean and this standard error."""
    away = rng.normal(size=networks)
    away = (away - away.mean()) / away.std(ddof=1)
    right = accuracy + rng.integers(-3, 4, size=networks) / 100
    excess = mean + error * np.sqrt(networks) * away
    parts = [
        _predictions(rng, *pair, rows, classes) for pair in zip(right + excess, right, strict=True)
    ]
    return tuple(map(np.stack, zip(*parts, strict=True)))


@diagnose_calibration.check(
    points=2,
    hint="Take one excess for each network, mean confidence minus accuracy. The interval is the mean of these, minus and plus two standard errors.",
    more="p.max(axis=2) and p.argmax(axis=2) have one entry for each network and row; their means over the rows leave one number for each network. The standard error is the standard deviation of these (ddof=1), divided by the root of their number.",
)
def gives_the_interval_over_the_networks(ask, rng):
    """gives the interval of the excess over the networks, also where no class has a majority"""
    drawn = _networks(rng, rng.uniform(0.02, 0.1), 0.03)
    small = {"accuracy": 0.22, "classes": 10, "networks": int(rng.integers(5, 8))}
    unsure = _networks(rng, rng.uniform(0.03, 0.08), 0.01, **small)
    return {"four classes": _said(ask, *drawn)[1], "ten classes": _said(ask, *unsure)[1]}


@diagnose_calibration.check(
    points=2,
    hint="First ask whether the whole interval lies above or below 0. Only when it includes 0, ask whether it lies within 0.02 on both sides.",
    more="There are four cases: above 0, below 0, around 0 and within the margin, around 0 and wider. The last is what too few networks lead to.",
)
def names_what_the_interval_shows(ask, rng):
    """names what the interval shows, and says when it shows nothing"""
    cases = {
        "far above": (0.1, 0.02),
        "a little above, but surely": (0.0085, 0.004),
        "not surely above": (0.0075, 0.004),
        "far below": (-0.1, 0.02),
        "a little below, but surely": (-0.0085, 0.004),
        "not surely below": (-0.0075, 0.004),
        "the upper end beyond the margin": (0.005, 0.008),
        "the lower end beyond the margin": (-0.005, 0.008),
        "much spread": (0.05, 0.035),
    }
    return {name: _said(ask, *_networks(rng, *case))[0] for name, case in cases.items()}


@diagnose_calibration.check(
    hint="The excess is a mean over all rows of a network: too much on one half can make up for too little on the other.",
    more="First take the two means, then subtract. Do not take absolute values row by row.",
)
def looks_at_the_means(ask, rng):
    """calls calibrated what is too sure on one half of the rows and too unsure on the other"""

    def halves(accuracy):
        parts = (
            _networks(rng, mean, 0.004, accuracy=right, rows=60)
            for mean, right in ((0.2, 0.65), (-0.2, 0.75))
        )
        return _said(ask, *(np.concatenate(part, axis=1) for part in zip(*parts, strict=True)))

    return dict(zip(("text", "interval"), halves(0.7), strict=True))


# --- choose_smoothing ------------------------------------------------------------------------

choose = chapter.exercise(
    "choose_smoothing",
    hints={
        "no decision": "You do not compare: call `train` with several strengths, and choose one by the NLL on dev rows.",
        "over budget": training.HINTS["over budget"],
        "one strength only": "You try no smoothing only, or smoothing only. Which is better differs from task to task: try 0 and strengths above 0.",
        "no temperature": "You leave the temperature at 1. Whatever the strength, divide the dev logits by several temperatures, and take the one with the lowest NLL.",
        "temperature inverted": "Your temperature is upside down: the logits are divided by it, and not multiplied.",
        "short runs": training.HINTS["short runs"],
        "temperature of a short run": "Your temperature belongs to a shorter run. A longer run makes the network surer: fit the temperature to the logits of a run of `steps` steps.",
        "chosen on test rows": "You choose by the test rows. They are there to report how good the choice is, and cannot once they have taken part in it: choose by dev alone.",
        "chosen on train rows": "You choose by the train rows. A network fits them more closely than any others, so they ask for far too much confidence: choose by dev.",
        "highest for lowest": "You choose the highest NLL. Choose the lowest.",
        "chosen by accuracy": "You choose the strength with the highest accuracy on dev. The aim is a low NLL, which counts how sure the network is where it errs.",
        "strength without its temperature": "You compare the strengths at temperature 1, and fit the temperature afterwards. A strength is as good as its NLL at its own best temperature.",
        "dev ignored": "Your choice does not follow the dev rows: another pair that you could have chosen has a clearly lower NLL there.",
    },
)

STEPS, BUDGET = 500, 5  # of the final run, and how many of them all runs may take
CLEAR = 0.1  # nats by which the best pair of a task must be ahead
NEAR = 0.04  # nats: as near to the best as this is as good, as dev rows tell no more
_STRENGTHS = np.array([0, 0.1, 0.2, 0.4, 0.6, 0.8])
_TEMPERATURES = np.geomspace(0.04, 25, 50)


def _nll(logits, y, temperature=1.0):
    return -log_softmax(logits / temperature)[np.arange(len(y)), y].mean()


def _fitted(logits, y, aim=min):
    """Return the best temperature of some logits, and the NLL there."""
    nll, temperature = aim((_nll(logits, y, t), t) for t in _TEMPERATURES)
    return temperature, nll


def _strength(value):
    """Return one of the strengths. Raises ValueError, with a sentence, for anything else."""
    value = plain(value)
    number = isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf"
    near = abs(_STRENGTHS - value) < 1e-6 if number else np.array([False])
    if not near.any():
        raise ValueError(f"take one of the strengths {_STRENGTHS.tolist()}")
    return float(_STRENGTHS[near.argmax()])


def _decided(ask, logits, labels):
    """Let an answer decide; return its runs, the strength and the temperature."""
    trials, temperatures = training.Trials(logits, _strength, BUDGET * STEPS), []

    def strength(*given):
        alpha, temperature = outputs(ask(*given), (), ())
        if not 0 < temperature < np.inf:
            raise AnswerError("The temperature that you return is not a number above 0.")
        temperatures.append(float(temperature))
        return alpha

    alpha = trials.decide(strength, _STRENGTHS, labels, STEPS)
    return trials, alpha, temperatures[0]


class _Task:
    """A network with few right labels, or with many labels of which a half is drawn by chance."""

    def __init__(self, rng, wrong):
        rows, share, size, inputs = (300, 0.5, 4.0, 20) if wrong else (100, 0.0, 2.5, 20)
        centres = np.linalg.qr(rng.normal(size=(inputs, inputs)))[0][:4] * size

        def draw(number):
            y = rng.permutation(np.arange(number) % 4)
            return centres[y] + rng.normal(size=(number, inputs)), y

        x, y = draw(rows)
        self.rows = {"train": (x, np.where(rng.random(rows) < share, rng.permutation(y), y))}
        self.rows |= {"dev": draw(800), "test": draw(200), "hidden": draw(2000)}
        self.seed = int(rng.integers(2**32))

    def logits(self, alpha, steps, names=("train", "dev", "test")):
        rng = np.random.default_rng(self.seed)
        options = {"smoothing": alpha, "decay": True}
        w1, b1, w2, b2 = training.train_network(*self.rows["train"], steps, rng, **options)
        return {name: np.maximum(self.rows[name][0] @ w1 + b1, 0) @ w2 + b2 for name in names}

    def labels(self):
        return {name: self.rows[name][1] for name in ("train", "dev", "test")}


def _clear_task(rng, wrong):
    """Draw tasks until one has a clearly best pair.

    Returns the task, its final runs by strength, the lowest NLL on hidden rows, and the lowest of
    those who leave out the temperature, or smoothing, or no smoothing.
    """
    while True:
        task = _Task(rng, wrong)
        y, y_dev = task.rows["hidden"][1], task.rows["dev"][1]
        final = {a: task.logits(a, STEPS, ("dev", "hidden")) for a in _STRENGTHS.tolist()}
        best = {
            a: _nll(run["hidden"], y, _fitted(run["dev"], y_dev)[0]) for a, run in final.items()
        }
        straw = min(_nll(run["hidden"], y) for run in final.values())
        straw = min(straw, max(best[0], min(best[a] for a in best if a)))
        if straw > min(best.values()) + CLEAR:
            return task, final, min(best.values()), straw


@choose.check(
    points=4,
    hint="On hidden rows your pair has a higher NLL than it must. Try 0 and several strengths above it, and fit a temperature to the dev logits of each.",
    more="A run costs steps and a temperature costs none. Give every strength an equal share of the budget, or try some in full. For each, divide the dev logits by temperatures between 0.05 and 20, and keep the pair with the lowest NLL.",
)
def does_well_on_hidden_rows(ask, rng):
    """has a low NLL on hidden rows, when labels are wrong and when right labels are few"""
    shown = []
    for wrong in (True, False):
        task, final, lowest, straw = _clear_task(rng, wrong)
        trials, alpha, temperature = _decided(ask, task.logits, task.labels())
        y, needed = task.rows["hidden"][1], lowest + 0.8 * (straw - lowest)
        found = _nll(final[alpha]["hidden"], y, temperature)
        kind = "wrong labels" if wrong else "few labels"
        pair = f"({alpha:g}, {temperature:.3g})"
        shown.append((f"{kind}: at most {needed:.3f}", f"{found:.3f} at {pair}"))
        if found > needed:
            mistakes = {
                "no temperature": temperature == 1,
                "one strength only": len({a > 0 for a in trials.runs}) < 2,
                "temperature inverted": _nll(final[alpha]["hidden"], y, 1 / temperature) <= needed,
                "short runs": trials.longest < training.SHORT * STEPS,
            }
            return judge(False, *shown[-1], mistakes)
    return judge(True, *map("; ".join, zip(*shown, strict=True)))


def _made_up(rng, order):
    """Return `logits` for `Trials` that trains nothing, and labels: each kind of rows asks for another pair.

    order: the places of the strengths above 0. Of them, one has the lowest NLL on dev rows, one on
    test rows, and one the highest accuracy on dev rows, but its errors are so sure that no
    temperature repairs it.
    """
    on_dev, on_test, accurate, worst = order[:4]
    number, classes = 500, 4
    labels = {name: rng.integers(classes, size=number) for name in ("train", "dev", "test")}
    luck = {name: rng.permutation(number) / number for name in labels}
    shift = {name: rng.integers(1, classes, size=number) for name in labels}
    noise = {name: rng.normal(size=(number, classes)) for name in labels}
    scale = rng.uniform(0.25, 0.35, size=len(_STRENGTHS))
    scale[on_dev] = 3.0  # at temperature 1 it is far too sure
    shares = np.full(len(_STRENGTHS), 0.78)
    shares[[on_dev, accurate, worst]] = 0.88, 0.92, 0.5

    def logits(alpha, steps):
        i, learned = int(np.argmin(abs(_STRENGTHS - alpha))), 1 - np.exp(-3 * steps / STEPS)
        found = {}
        for name, y in labels.items():
            share = {
                "train": 0.99 - 0.01 * i,
                "dev": shares[i],
                "test": 0.94 if i == on_test else 0.78,
            }[name]
            right = luck[name] < 0.25 + (share - 0.25) * learned
            sure = np.where(right | (i != accurate) | (name != "dev"), 1.0, 3.0)
            named = np.eye(classes)[np.where(right, y, (y + shift[name]) % classes)]
            size = {"train": 3.0, "dev": 0.5, "test": 1.25}[name] * learned * scale[i]
            found[name] = size * (sure[:, None] * 8 * named + noise[name])
        return found

    return logits, labels


@choose.check(
    points=3,
    hint="Of the strengths that you try, choose the one whose NLL on dev rows is lowest at its own best temperature, and return that temperature with it.",
    more='`train` returns logits: keep train(alpha, steps)["dev"] of every strength, and compare -log_softmax(logits / t) at labels["dev"] for many t. If the runs were shorter than `steps`, run the winner once more in full and fit its temperature again.',
)
def chooses_by_the_dev_rows(ask, rng):
    """chooses strength and temperature by the NLL on dev rows, when train, dev and test rows disagree"""
    passed, shown, fitting = True, [], []
    order = rng.permutation(np.arange(1, len(_STRENGTHS)))
    for turn in (0, 1):  # no strength has the same part twice
        logits, labels = _made_up(rng, np.roll(order, turn))
        trials, alpha, temperature = _decided(ask, logits, labels)
        final = {a: logits(a, STEPS) for a in trials.runs}
        final.setdefault(alpha, logits(alpha, STEPS))

        def nll(rows, t=None, a=alpha, final=final, labels=labels):
            y = labels[rows]
            return _fitted(final[a][rows], y)[1] if t is None else _nll(final[a][rows], y, t)

        def lowest(rows, final=final, nll=nll):
            return min(nll(rows, a=a) for a in final)

        found, needed = nll("dev", temperature), lowest("dev") + NEAR
        right = {a: _right(final[a]["dev"], labels["dev"]).mean() for a in final}
        plain_nll = {a: nll("dev", 1.0, a) for a in final}
        short = {trial: run["dev"] for trial, run in trials.runs.items()}
        passed &= found <= needed
        shown.append((f"{needed:.3f}", f"{found:.3f}"))
        fitting.append(
            {
                "no temperature": temperature == 1,
                "temperature inverted": nll("dev", 1 / temperature) <= needed,
                "short runs": trials.longest < training.SHORT * STEPS,
                "temperature of a short run": trials.longest < STEPS
                and nll("dev") <= needed
                and _nll(short.get(alpha, final[alpha]["dev"]), labels["dev"], temperature)
                <= _fitted(short.get(alpha, final[alpha]["dev"]), labels["dev"])[1] + NEAR,
                "chosen on test rows": nll("test", temperature) <= lowest("test") + NEAR,
                "chosen on train rows": nll("train", temperature) <= nll("train") + 0.01,
                "highest for lowest": nll("dev") >= max(nll("dev", a=a) for a in final),
                "chosen by accuracy": alpha == max(final, key=right.get),
                "strength without its temperature": found <= nll("dev") + NEAR
                and plain_nll[alpha] <= min(plain_nll.values()) + NEAR,
                "dev ignored": True,
            }
        )
    expected, received = (" and ".join(values) for values in zip(*shown, strict=True))
    mistakes = {name: all(fits[name] for fits in fitting) for name in fitting[0]}
    return judge(passed, f"NLL on dev rows of at most {expected}", received, mistakes)
