"""Checks of chapter 16, label smoothing."""

import numpy as np

from regbook.arrays import log_softmax, softmax
from regbook.calibration import expected_calibration_error
from regbook.exercise import Chapter, vary

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
    return 1 - alpha + alpha / (k - 1), alpha / (k - 1)


# --- smooth_labels ---------------------------------------------------------------------------


def _smooth(y, num_classes, alpha, *, shares=_shares):
    own, other = shares(alpha, num_classes)
    return other + (own - other) * _hot(y, num_classes)


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
    },
)


@smooth_labels.check(
    points=2,
    hint="Mix the one-hot rows with the uniform distribution: (1 - alpha) * one_hot + alpha / num_classes.",
    more="Write (1 - alpha) * np.eye(num_classes)[y] + alpha / num_classes.",
)
def mixes_with_the_uniform(ask, rng):
    """gives the true class 1 - alpha + alpha/K and every other class alpha/K"""
    classes, alpha = int(rng.integers(4, 7)), rng.uniform(0.1, 0.3)
    y = _labels(rng, 9, classes)
    y[1] = classes - 1
    return ask(y, classes, alpha)


@smooth_labels.check(
    hint="The number of columns is num_classes, also when the last classes do not occur in y.",
    more="Use np.eye(num_classes), not np.eye(y.max() + 1).",
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
    },
    hints={
        "other direction": "That is the way back, from the built-in argument to the alpha/(K-1) form. The built-in number must be the larger one.",
        "unchanged": "The two strengths are not equal: a wrong class gets alpha / (K - 1) here and alpha / K there.",
        "share of a class": "That is what each wrong class gets. The built-in strength is K times that.",
        "divided by K": "That is not a strength but a K-th of one.",
        "one class too many": "The factor is K / (K - 1), not (K + 1) / K.",
        "mixed formulas": "You made the sum 1 afterwards. The alpha/(K-1) form already sums to 1: its true class gets 1 - alpha.",
        "times the wrong classes": "That multiplies by the number of wrong classes.",
    },
)


@convert_smoothing.check(
    points=2,
    hint="Compare what a wrong class gets: alpha / (K - 1) in one form, the built-in strength / K in the other.",
    more="Return alpha * num_classes / (num_classes - 1).",
)
def gives_the_same_targets(ask, rng):
    """makes the targets of both forms equal"""
    return ask(rng.uniform(0.1, 0.3), int(rng.integers(4, 8)))


@convert_smoothing.check(
    hint="With two classes the strength doubles, and the rule holds for an array too.",
    more="K / (K - 1) is 2 for two classes; the result is proportional to alpha.",
    keeps_input=True,
)
def doubles_for_two_classes(ask, rng):
    """doubles an array of strengths for two classes, 0 included"""
    return ask(np.array([0.0, 0.25, *rng.uniform(0, 0.5, size=2)]), 2)


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
        "clipped": "You keep probabilities away from 0 before the logarithm, so a sure mistake costs too little. Compute the logarithm of the softmax directly.",
    },
)


@smoothed_cross_entropy.check(
    points=3,
    hint="Smooth the labels, take the log-softmax of the logits, multiply, sum over the classes, mean over the rows.",
    more="-(1 - alpha) * mean of log_p at the true class - alpha * mean of log_p over everything.",
)
def is_the_cross_entropy_of_smoothed_labels(ask, rng):
    """is the mean cross-entropy of the smoothed labels"""
    rows, k, alpha = 7, 5, rng.uniform(0.2, 0.4)
    y, logits = _labels(rng, rows, k), rng.normal(scale=2, size=(rows, k))
    return ask(logits + 2 * _hot(y, k), y, alpha)


@smoothed_cross_entropy.check(
    points=2,
    hint="exp(1000) overflows and log(0) is infinite. Work with the log-softmax, after subtracting the largest logit.",
    more="z = logits - logits.max(axis=1, keepdims=True); log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))",
    keeps_input=True,
)
def is_exact_for_large_logits(ask, rng):
    """is exact when logits are as large as 1000, for a sure mistake too"""
    alpha, high = rng.uniform(0.2, 0.5), rng.uniform(300, 900)
    logits = [[high, 0, 0, 0], [0, high, 0, 100], [-high, -high, 5, -high], [1000, 0, 0, 0]]
    return ask(np.array(logits), np.array([0, 2, 2, 0]), alpha)


@smoothed_cross_entropy.check(
    hint="A constant added to all logits of a row changes no probability, and with alpha = 0 the loss is the ordinary one.",
    more="Both follow from the log-softmax. For equal logits the loss is log K.",
)
def is_log_k_for_equal_logits(ask, rng):
    """is log K for equal logits, and the ordinary cross-entropy at alpha 0"""
    k = int(rng.integers(3, 9))
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
    },
)


@loss_floor.check(
    points=2,
    hint="One class has the probability 1 - alpha + alpha / K, and K - 1 classes have alpha / K. Add up -q * log(q).",
    more="Build the target as an array of K numbers, and sum -target * np.log(target) over those above 0.",
)
def is_the_entropy_of_the_target(ask, rng):
    """is the entropy of the smoothed target, in nats"""
    return ask(rng.uniform(0.2, 0.4), int(rng.integers(5, 9)))


@loss_floor.check(
    hint="At alpha = 0 the other classes have probability 0, and 0 * log(0) counts as 0.",
    more="Leave out the zeros before the logarithm, or return 0.0 for alpha = 0.",
)
def has_the_right_ends_too(ask, rng):
    """is 0 at alpha 0 and log K at alpha 1"""
    k = int(rng.integers(3, 12))
    return {"alpha 0": ask(0.0, k), "alpha 1": ask(1.0, k)}


# --- train_step_with_soft_targets ------------------------------------------------------------


def _step(weights, x, targets, lr, *, tanh=True, twice=False, moves=(0, 1, 2, 3)):
    """Return the four weights after one step, from the formulas."""
    w1, b1, w2, b2 = weights
    a = np.tanh(x @ w1 + b1) if tanh else x @ w1 + b1
    p = softmax(a @ w2 + b2)
    d = p - targets
    if twice:
        d = softmax(p) - targets
        d = p * (d - (p * d).sum(axis=1, keepdims=True))
    d = d / len(x)
    dz = d @ w2.T * (1 - a**2 if tanh else 1)
    gradients = [x.T @ dz, dz.sum(axis=0), a.T @ d, d.sum(axis=0)]
    return tuple(w - lr * gradients[i] if i in moves else w for i, w in enumerate(weights))


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
    more="PyTorch: F.cross_entropy(logits, targets). Keras: CategoricalCrossentropy(from_logits=True)(targets, logits).",
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


def _confidence(p, y):
    return p.max(axis=1).mean()


def _accuracy(p, y):
    return (p.argmax(axis=1) == y).mean()


def _of_true_class(p, y):
    return p[np.arange(len(y)), y].mean()


def _diagnose(p, y, *, confidence=_confidence, accuracy=_accuracy, tolerance=0.05):
    excess = confidence(p, y) - accuracy(p, y)
    if abs(excess) <= tolerance:
        return "calibrated"
    return "over-confident" if excess > 0 else "under-confident"


def _signed_error(p, y):
    return np.copysign(expected_calibration_error(p, y), _confidence(p, y) - _accuracy(p, y))


diagnose_calibration = chapter.exercise(
    "diagnose_calibration",
    _diagnose,
    mistakes={
        "swapped": vary(_diagnose, confidence=_accuracy, accuracy=_confidence),
        "true class": [
            vary(_diagnose, confidence=_of_true_class),
            vary(_diagnose, accuracy=_of_true_class),
        ],
        "no tolerance": vary(_diagnose, tolerance=0),
        "percent": vary(_diagnose, tolerance=5),
        "tight tolerance": vary(_diagnose, tolerance=0.01),
        "wide tolerance": vary(_diagnose, tolerance=0.1),
        "unsigned": lambda p, y: _diagnose(p, y).replace("under", "over"),
        "mean of all": vary(_diagnose, confidence=lambda p, y: p.mean()),
        "accuracy above one half": vary(
            _diagnose, accuracy=lambda p, y: (p[np.arange(len(y)), y] > 0.5).mean()
        ),
        "confidence alone": vary(_diagnose, accuracy=lambda p, y: 0.8),
        "absolute differences": vary(_diagnose, confidence=_signed_error, accuracy=lambda p, y: 0),
        "one word": [lambda p, y: "over-confident", lambda p, y: "under-confident"],
    },
    hints={
        "swapped": "Over and under are swapped: over-confident means that the confidence exceeds the accuracy.",
        "true class": "You used the mean probability of the true class. Confidence is the largest probability of a row, whichever class it belongs to; accuracy is the share of rows whose largest probability is at the true class.",
        "no tolerance": "A difference of up to 0.05 counts as calibrated: the tolerance is missing.",
        "percent": "Your tolerance is 5, but confidence and accuracy are fractions: five percentage points are 0.05.",
        "tight tolerance": "Your tolerance is too small: it is 0.05.",
        "wide tolerance": "Your tolerance is 0.1; it is 0.05.",
        "unsigned": "You use the size of the difference. Its sign tells over from under.",
        "mean of all": "You averaged all probabilities of a row, which always gives 1/K. Take the largest.",
        "accuracy above one half": "You count a row as right if its true class has more than 0.5. It is right if that class has the largest probability.",
        "confidence alone": "You looked at the confidence alone. It must be compared with the accuracy.",
        "absolute differences": "You averaged absolute differences, as the calibration error does. Here, subtract the means.",
        "one word": "Your function gives one answer to every network. Compare the confidence of each with its accuracy.",
    },
)


def _predictions(rng, confidence, accuracy, rows=200, classes=4):
    """Return (p, y) with this mean confidence, and exactly this accuracy."""
    noise = rng.uniform(0.01, 0.03, size=rows // 2)
    largest = confidence + np.concatenate([noise, -noise])  # the mean is exact
    p = ((1 - largest) / (classes - 1)).repeat(classes).reshape(rows, classes)
    best = rng.integers(0, classes, size=rows)
    p[np.arange(rows), best] = largest
    y, right = best.copy(), round(accuracy * rows)
    y[right:] = (best[right:] + rng.integers(1, classes, size=rows - right)) % classes
    return p, y


def _words(ask, rng, pairs, **options):
    """Ask about a network for each pair (confidence, accuracy)."""
    return {
        f"confidence {pair[0]}, accuracy {pair[1]}": ask(*_predictions(rng, *pair, **options))
        for pair in pairs
    }


@diagnose_calibration.check(
    points=3,
    hint="Subtract the accuracy from the mean of the largest probability of each row, and compare with 0.05.",
    more="excess = p.max(axis=1).mean() - (p.argmax(axis=1) == y).mean()",
)
def compares_confidence_with_accuracy(ask, rng):
    """names eight networks rightly, from far over to far under"""
    pairs = [(0.9, 0.35), (0.9, 0.7), (0.83, 0.76), (0.8, 0.77), (0.8, 0.795), (0.75, 0.78)]
    return _words(ask, rng, [*pairs, (0.7, 0.77), (0.5, 1.0)])


@diagnose_calibration.check(
    hint="The verdict is about the mean over all rows: an excess on one half can make up for a lack on the other.",
    more="First take the two means, then subtract. Do not take absolute values row by row.",
)
def looks_at_the_means(ask, rng):
    """calls calibrated what is too sure on one half of the rows and too unsure on the other"""

    def halves(*pairs):
        parts = zip(*(_predictions(rng, *pair, rows=100) for pair in pairs), strict=True)
        return ask(*(np.concatenate(part) for part in parts))

    return {
        "0.2 above on one half, 0.2 below on the other": halves((0.95, 0.75), (0.5, 0.7)),
        "right on both halves": halves((0.95, 0.95), (0.5, 0.5)),
    }


@diagnose_calibration.check(
    hint="With ten classes and little confidence, a largest probability of 0.3 can still be right.",
    more="Use p.argmax(axis=1) == y for the accuracy.",
)
def works_without_a_majority(ask, rng):
    """is right about a network whose largest probabilities stay below one half"""
    return _words(ask, rng, [(0.3, 0.6), (0.3, 0.3), (0.3, 0.1)], classes=10)
