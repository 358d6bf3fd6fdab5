"""Checks of chapter 16, label smoothing."""

import numpy as np

from regbook.check import Chapter, Outcome, Wrong, brief, compare

chapter = Chapter("16_label_smoothing")


def _labels(rng, rows, classes):
    """Draw labels of which the largest class does not occur, and the smallest does."""
    y = rng.integers(0, classes - 1, size=rows)
    y[0] = 0
    return y


def _log_softmax(z):
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


# --- smooth_labels ---------------------------------------------------------------------------


@chapter.check(
    "smooth_labels",
    points=2,
    hint="Mix the one-hot rows with the uniform distribution: (1 - alpha) * one_hot + alpha / num_classes.",
    more="Write (1 - alpha) * np.eye(num_classes)[y] + alpha / num_classes.",
)
def mixes_with_the_uniform(answer, rng):
    """gives the true class 1 - alpha + alpha/K and every other class alpha/K"""
    classes, alpha = int(rng.integers(4, 7)), rng.uniform(0.1, 0.3)
    y = _labels(rng, 9, classes)
    y[1] = classes - 1
    hot = np.eye(classes)[y]
    return compare(
        answer(y, classes, alpha),
        (1 - alpha) * hot + alpha / classes,
        wrong=[
            Wrong(
                "wrong classes only",
                np.where(hot == 1, 1 - alpha, alpha / (classes - 1)),
                "You spread alpha over the wrong classes only. Here every class gets alpha / K, the true one too.",
            ),
            Wrong(
                "mixed formulas",
                (1 - alpha) * hot + alpha / (classes - 1),
                "Your rows sum to more than 1: alpha is spread over all K classes, so divide by K.",
            ),
            Wrong(
                "share missing at the true class",
                np.where(hot == 1, 1 - alpha, alpha / classes),
                "Your rows sum to less than 1: the true class gets its alpha / K as well.",
            ),
            Wrong(
                "nothing taken away",
                hot + alpha / classes,
                "You add the uniform part and take nothing away from the one-hot part: multiply it by 1 - alpha.",
            ),
            Wrong(
                "undivided",
                (1 - alpha) * hot + alpha,
                "Each class gets the whole alpha. Divide it by the number of classes.",
            ),
            Wrong(
                "alpha swapped",
                alpha * hot + (1 - alpha) / classes,
                "alpha is the share of the uniform part; the one-hot part keeps 1 - alpha.",
            ),
            Wrong("one-hot", hot, "These are one-hot rows: alpha has no effect."),
            Wrong(
                "transposed",
                ((1 - alpha) * hot + alpha / classes).T,
                "Rows and classes are swapped: the shape must be (rows, num_classes).",
            ),
        ],
    )


@chapter.check(
    "smooth_labels",
    hint="The number of columns is num_classes, also when the last classes do not occur in y.",
    more="Use np.eye(num_classes), not np.eye(y.max() + 1).",
)
def counts_absent_classes(answer, rng):
    """has a column for a class that does not occur, and rows that sum to 1"""
    y, alpha = _labels(rng, 6, 8) // 2, rng.uniform(0.3, 0.6)
    received = answer(y, 8, alpha)
    present = y.max() + 1
    wrong = [
        Wrong(
            "classes counted in y",
            (1 - alpha) * np.eye(present)[y] + alpha / present,
            "You take the number of classes from y. A class may be absent: use num_classes.",
        )
    ]
    expected = (1 - alpha) * np.eye(8)[y] + alpha / 8
    return compare(received, expected, wrong)


@chapter.check(
    "smooth_labels",
    hint="alpha = 0 gives the one-hot rows, alpha = 1 the uniform distribution.",
    more="Both follow from the formula; no special case is needed.",
)
def has_the_right_ends(answer, rng):
    """is one-hot at alpha 0 and uniform at alpha 1"""
    y = _labels(rng, 5, 4)
    return compare((answer(y, 4, 0.0), answer(y, 4, 1.0)), (np.eye(4)[y], np.full((5, 4), 0.25)))


# --- convert_smoothing -----------------------------------------------------------------------


@chapter.check(
    "convert_smoothing",
    points=2,
    hint="Compare what a wrong class gets: alpha / (K - 1) in one form, the built-in strength / K in the other.",
    more="Return alpha * num_classes / (num_classes - 1).",
)
def gives_the_same_targets(answer, rng):
    """makes the targets of both forms equal"""
    alpha, k = rng.uniform(0.1, 0.3), int(rng.integers(4, 8))
    return compare(
        answer(alpha, k),
        alpha * k / (k - 1),
        wrong=[
            Wrong(
                "other direction",
                alpha * (k - 1) / k,
                "That is the way back, from the built-in argument to the alpha/(K-1) form. The built-in number must be the larger one.",
            ),
            Wrong(
                "unchanged",
                alpha,
                "The two strengths are not equal: a wrong class gets alpha / (K - 1) here and alpha / K there.",
            ),
            Wrong(
                "share of a class",
                alpha / (k - 1),
                "That is what each wrong class gets. The built-in strength is K times that.",
            ),
            Wrong("divided by K", alpha / k, "That is not a strength but a K-th of one."),
            Wrong(
                "one class too many",
                alpha * (k + 1) / k,
                "The factor is K / (K - 1), not (K + 1) / K.",
            ),
            Wrong(
                "mixed formulas",
                alpha * k / (k - 1 + alpha),
                "You made the sum 1 afterwards. The alpha/(K-1) form already sums to 1: its true class gets 1 - alpha.",
            ),
            Wrong(
                "times the wrong classes",
                alpha * (k - 1),
                "That multiplies by the number of wrong classes.",
            ),
        ],
    )


@chapter.check(
    "convert_smoothing",
    hint="With two classes the strength doubles, and the rule holds for an array too.",
    more="K / (K - 1) is 2 for two classes; the result is proportional to alpha.",
)
def doubles_for_two_classes(answer, rng):
    """doubles an array of strengths for two classes, 0 included"""
    alpha = np.array([0.0, 0.25, *rng.uniform(0, 0.5, size=2)])
    return compare(answer(alpha, 2), 2 * alpha)


# --- smoothed_cross_entropy ------------------------------------------------------------------


def _loss(logits, target):
    return -(target * _log_softmax(logits)).sum(axis=1)


@chapter.check(
    "smoothed_cross_entropy",
    points=3,
    hint="Smooth the labels, take the log-softmax of the logits, multiply, sum over the classes, mean over the rows.",
    more="-(1 - alpha) * mean of log_p at the true class - alpha * mean of log_p over everything.",
)
def is_the_cross_entropy_of_smoothed_labels(answer, rng):
    """is the mean cross-entropy of the smoothed labels"""
    rows, k, alpha = 7, 5, rng.uniform(0.2, 0.4)
    y, logits = _labels(rng, rows, k), rng.normal(scale=2, size=(rows, k))
    logits += 2 * np.eye(k)[y]
    hot = np.eye(k)[y]
    soft = (1 - alpha) * hot + alpha / k
    losses = _loss(logits, soft)
    p = np.exp(_log_softmax(logits))
    true = p[np.arange(rows), y]
    return compare(
        answer(logits, y, alpha),
        losses.mean(),
        wrong=[
            Wrong("sum", losses.sum(), "You summed over the rows. Take the mean."),
            Wrong(
                "mean over everything",
                losses.mean() / k,
                "You averaged over the classes too. Sum over the classes, then average over the rows.",
            ),
            Wrong("per row", losses, "You return one loss per row. Return their mean."),
            Wrong(
                "smoothed predictions",
                -np.log((1 - alpha) * true + alpha / k).mean(),
                "You smoothed the predictions. Smooth the labels: the predictions stay as they are.",
            ),
            Wrong(
                "no smoothing",
                _loss(logits, hot).mean(),
                "alpha has no effect: this is the ordinary cross-entropy.",
            ),
            Wrong(
                "wrong classes only",
                _loss(logits, np.where(hot == 1, 1 - alpha, alpha / (k - 1))).mean(),
                "You spread alpha over the wrong classes only. Here every class gets alpha / K, the true one too.",
            ),
            Wrong(
                "mixed formulas",
                _loss(logits, (1 - alpha) * hot + alpha / (k - 1)).mean(),
                "Your targets sum to more than 1: divide alpha by K, not by K - 1.",
            ),
            Wrong(
                "softmax twice",
                _loss(p, soft).mean(),
                "You took the softmax twice: a loss that expects logits was given probabilities.",
            ),
            Wrong(
                "logits as probabilities",
                -(soft * np.log(np.clip(logits, 1e-7, None))).sum(axis=1).mean(),
                "You took the logarithm of the logits. They are not probabilities: the softmax is missing.",
            ),
            Wrong("sign", -losses.mean(), "The sign is wrong: a cross-entropy is positive."),
            Wrong(
                "wrong axis",
                -(soft * _log_softmax(logits.T).T).sum(axis=1).mean(),
                "Your softmax runs over the rows of the batch. It must run over the classes.",
            ),
            Wrong("bits", losses.mean() / np.log(2), "You used the logarithm to base 2. Use log."),
            Wrong(
                "alpha swapped",
                _loss(logits, alpha * hot + (1 - alpha) / k).mean(),
                "alpha is the share of the uniform part; the one-hot part keeps 1 - alpha.",
            ),
        ],
    )


@chapter.check(
    "smoothed_cross_entropy",
    points=2,
    hint="exp(1000) overflows and log(0) is infinite. Work with the log-softmax, after subtracting the largest logit.",
    more="z = logits - logits.max(axis=1, keepdims=True); log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))",
)
def is_exact_for_large_logits(answer, rng):
    """is exact when logits are as large as 1000, for a sure mistake too"""
    k, alpha = 4, rng.uniform(0.2, 0.5)
    high = rng.uniform(300, 900)
    logits = np.array(
        [[high, 0, 0, 0], [0, high, 0, 100], [-high, -high, 5, -high], [1000, 0, 0, 0]]
    )
    y = np.array([0, 2, 2, 0])
    soft = (1 - alpha) * np.eye(k)[y] + alpha / k
    p = np.exp(_log_softmax(logits))

    def clipped(eps):
        return -(soft * np.log(np.clip(p, eps, 1))).sum(axis=1).mean()

    return compare(
        answer(logits, y, alpha),
        _loss(logits, soft).mean(),
        wrong=[
            Wrong(
                key,
                value,
                "You clip probabilities before the logarithm, so a sure mistake costs too little. Compute the logarithm of the softmax directly.",
            )
            for key, value in [("clipped", clipped(eps)) for eps in (1e-7, 1e-8, 1e-12, 1e-15)]
            + [
                ("clipped", -(soft * np.log(p + eps)).sum(axis=1).mean())
                for eps in (1e-7, 1e-8, 1e-12)
            ]
        ],
    )


@chapter.check(
    "smoothed_cross_entropy",
    hint="A constant added to all logits of a row changes no probability, and with alpha = 0 the loss is the ordinary one.",
    more="Both follow from the log-softmax. For equal logits the loss is log K.",
)
def is_log_k_for_equal_logits(answer, rng):
    """is log K for equal logits, and the ordinary cross-entropy at alpha 0"""
    k = int(rng.integers(3, 9))
    y, logits = rng.integers(0, k, size=6), rng.normal(size=(6, k))
    equal = np.tile(rng.normal(size=(6, 1)), (1, k))
    received = (answer(equal, y, rng.uniform(0.1, 0.9)), answer(logits, y, 0.0))
    return compare(received, (np.log(k), _loss(logits, np.eye(k)[y]).mean()))


# --- loss_floor ------------------------------------------------------------------------------


@chapter.check(
    "loss_floor",
    points=2,
    hint="One class has the probability 1 - alpha + alpha / K, and K - 1 classes have alpha / K. Add up -q * log(q).",
    more="Build the target as an array of K numbers, and sum -target * np.log(target) over those above 0.",
)
def is_the_entropy_of_the_target(answer, rng):
    """is the entropy of the smoothed target, in nats"""
    alpha, k = rng.uniform(0.2, 0.4), int(rng.integers(5, 9))
    own, each = 1 - alpha + alpha / k, alpha / k
    floor = -own * np.log(own) - (k - 1) * each * np.log(each)
    form = alpha / (k - 1)
    return compare(
        answer(alpha, k),
        floor,
        wrong=[
            Wrong(
                "zero",
                0.0,
                "Only the ordinary cross-entropy can reach 0. A soft target has an entropy.",
            ),
            Wrong(
                "true class only",
                -np.log(own),
                "That is the loss of the true class alone. The other classes have a share of the target too.",
            ),
            Wrong(
                "true term only",
                -own * np.log(own),
                "The terms of the K - 1 other classes are missing.",
            ),
            Wrong(
                "one other class",
                -own * np.log(own) - each * np.log(each),
                "You count one other class. There are K - 1.",
            ),
            Wrong(
                "k others",
                -own * np.log(own) - k * each * np.log(each),
                "You count K other classes. There are K - 1.",
            ),
            Wrong(
                "wrong classes only",
                -(1 - alpha) * np.log(1 - alpha) - alpha * np.log(form),
                "That is the floor of the alpha/(K-1) form. Here the true class keeps 1 - alpha + alpha / K.",
            ),
            Wrong("bits", floor / np.log(2), "Your result is in bits. Use the natural logarithm."),
            Wrong(
                "uniform",
                np.log(k),
                "That is the entropy of the uniform distribution, the floor at alpha = 1 only.",
            ),
            Wrong(
                "mixture",
                alpha * np.log(k),
                "The entropy of a mixture is not the mixture of the entropies.",
            ),
            Wrong("sign", -floor, "The sign is wrong: an entropy is not negative."),
        ],
    )


@chapter.check(
    "loss_floor",
    hint="At alpha = 0 the other classes have probability 0, and 0 * log(0) counts as 0.",
    more="Leave out the zeros before the logarithm, or return 0.0 for alpha = 0.",
)
def has_the_right_ends_too(answer, rng):
    """is 0 at alpha 0 and log K at alpha 1"""
    k = int(rng.integers(3, 12))
    return compare((answer(0.0, k), answer(1.0, k)), (0.0, np.log(k)))


# --- train_step_with_soft_targets ------------------------------------------------------------


def _network_step(weights, x, targets, lr, *, mean=True, linear=False, twice=False, only=None):
    """Return the four weights after one step, from the formulas."""
    w1, b1, w2, b2 = weights
    a = x @ w1 + b1 if linear else np.tanh(x @ w1 + b1)
    p = np.exp(_log_softmax(a @ w2 + b2))
    total = targets.sum(axis=1, keepdims=True)
    if twice:
        q = np.exp(_log_softmax(p))
        d = q * total - targets
        d = p * (d - (p * d).sum(axis=1, keepdims=True))
    else:
        d = p * total - targets
    d = d / (len(x) if mean else 1)
    dz = d @ w2.T * (1 if linear else 1 - a**2)
    grads = [x.T @ dz, dz.sum(axis=0), a.T @ d, d.sum(axis=0)]
    return tuple(
        w - lr * g if only is None or i in only else w
        for i, (w, g) in enumerate(zip(weights, grads, strict=True))
    )


def _network(rng, rows=6):
    shapes = [(3, 5), (5,), (5, 4), (4,)]
    weights = [rng.normal(size=shape) for shape in shapes]
    targets = rng.dirichlet(np.ones(4), size=rows)
    return weights, rng.normal(size=(rows, 3)), targets, rng.uniform(0.3, 0.6)


@chapter.check(
    "train_step_with_soft_targets",
    points=4,
    hint="The loss is the mean over the rows of -sum(targets * log_softmax(logits)). Step against its gradient.",
    more="PyTorch: F.cross_entropy(logits, targets). Keras: CategoricalCrossentropy(from_logits=True)(targets, logits).",
)
def steps_on_the_soft_targets(answer, rng):
    """steps all four weights down the gradient of the mean cross-entropy"""
    weights, x, targets, lr = _network(rng)
    hard = np.eye(4)[targets.argmax(axis=1)]

    def step(targets=targets, lr=lr, **variant):
        return _network_step(weights, x, targets, lr, **variant)

    soft_again = np.exp(_log_softmax(targets))
    return compare(
        answer(weights, x, targets, lr),
        step(),
        wrong=[
            Wrong(
                "hard targets",
                step(hard),
                "You turned the targets into one class per row. Use the soft targets as they are.",
            ),
            Wrong(
                "softmax of the targets",
                step(soft_again),
                "You took a softmax of the targets. They are probabilities already.",
            ),
            Wrong(
                "softmax twice",
                step(twice=True),
                "The softmax is taken twice: give the loss the logits (from_logits=True in Keras).",
            ),
            Wrong("sum", step(mean=False), "Your loss is a sum over the rows. Take the mean."),
            Wrong(
                "mean over everything",
                step(lr=lr / 4),
                "You averaged over the classes too. Sum over the classes, then average over the rows.",
            ),
            Wrong("ascent", step(lr=-lr), "You step up the gradient. Descent subtracts it."),
            Wrong("no tanh", step(linear=True), "The tanh of the hidden layer is missing."),
            Wrong(
                "output layer only",
                step(only=(2, 3)),
                "Only the output layer moved. Step all four arrays.",
            ),
            Wrong("no biases", step(only=(0, 2)), "The biases did not move."),
            Wrong("no step", tuple(weights), "The weights did not change."),
            Wrong(
                "no learning rate",
                step(lr=1.0),
                "The learning rate lr has no effect: multiply by it.",
            ),
            Wrong(
                "smoothed again",
                step(0.9 * targets + 0.1 / 4),
                "You smoothed the targets. They are to be used as they are.",
            ),
        ],
    )


@chapter.check(
    "train_step_with_soft_targets",
    points=2,
    hint="One-hot targets are soft targets too, and the number of rows does not matter.",
    more="The mean over the rows makes a repeated batch give the same step.",
)
def repeats_do_not_matter(answer, rng):
    """takes the same step on one-hot targets given twice"""
    weights, x, targets, lr = _network(rng, rows=4)
    hot = np.eye(4)[targets.argmax(axis=1)]
    expected = _network_step(weights, x, hot, lr)
    return compare(answer(weights, np.tile(x, (2, 1)), np.tile(hot, (2, 1)), lr), expected)


# --- diagnose_calibration --------------------------------------------------------------------


def _predictions(rng, confidence, accuracy, rows=200, classes=4):
    """Return (p, y) with this mean confidence, and exactly this accuracy."""
    noise = rng.uniform(0.01, 0.03, size=rows // 2)
    largest = confidence + np.concatenate([noise, -noise])  # the mean is exact
    p = np.empty((rows, classes))
    p[:] = ((1 - largest) / (classes - 1))[:, None]
    best = rng.integers(0, classes, size=rows)
    p[np.arange(rows), best] = largest
    wrong = np.arange(rows) >= round(accuracy * rows)
    return p, np.where(wrong, (best + rng.integers(1, classes, size=rows)) % classes, best)


def _word(excess, tolerance=0.05):
    if abs(excess) <= tolerance:
        return "calibrated"
    return "over-confident" if excess > 0 else "under-confident"


def _facts(p, y):
    true = p[np.arange(len(y)), y]
    return p.max(axis=1).mean(), (p.argmax(axis=1) == y).mean(), true.mean(), (true > 0.5).mean()


@chapter.check(
    "diagnose_calibration",
    points=3,
    hint="Subtract the accuracy from the mean of the largest probability of each row, and compare with 0.05.",
    more="excess = p.max(axis=1).mean() - (p.argmax(axis=1) == y).mean()",
)
def compares_confidence_with_accuracy(answer, rng):
    """names eight networks rightly, from far over to far under"""
    pairs = [(0.9, 0.35), (0.9, 0.7), (0.83, 0.76), (0.8, 0.77), (0.8, 0.795), (0.75, 0.78)]
    pairs += [(0.7, 0.77), (0.5, 0.8)]
    cases = [_predictions(rng, *pair) for pair in pairs]
    facts = [_facts(*case) for case in cases]

    def words(excess, tolerance=0.05):
        return tuple(_word(excess(*fact), tolerance) for fact in facts)

    def right(confidence, accuracy, *_):
        return confidence - accuracy

    expected = words(right)
    swap = {"over-confident": "under-confident", "under-confident": "over-confident"}
    received = tuple(answer(*case) for case in cases)
    outcome = compare(
        received,
        expected,
        wrong=[
            Wrong(
                "swapped",
                tuple(swap.get(word, word) for word in expected),
                "Over and under are swapped: over-confident means that the confidence exceeds the accuracy.",
            ),
            Wrong(
                "true class",
                words(lambda confidence, accuracy, true, _: true - accuracy),
                "You averaged the probability of the true class. The confidence is the largest probability, whichever class it belongs to.",
            ),
            Wrong(
                "true class",
                words(lambda confidence, accuracy, true, _: confidence - true),
                "You compared with the mean probability of the true class. Compare with the accuracy: the share of rows whose largest probability is at the true class.",
            ),
            Wrong(
                "no tolerance",
                words(right, 0),
                "A difference of up to 0.05 counts as calibrated: the tolerance is missing.",
            ),
            Wrong(
                "percent",
                words(right, 5),
                "Your tolerance is 5, but confidence and accuracy are fractions: five percentage points are 0.05.",
            ),
            Wrong(
                "tight tolerance",
                words(right, 0.01),
                "Your tolerance is too small: it is 0.05.",
            ),
            Wrong("wide tolerance", words(right, 0.1), "Your tolerance is 0.1; it is 0.05."),
            Wrong(
                "unsigned",
                words(lambda *fact: abs(right(*fact))),
                "You use the size of the difference. Its sign tells over from under.",
            ),
            Wrong(
                "mean of all",
                words(lambda confidence, accuracy, *_: 1 / 4 - accuracy),
                "You averaged all probabilities of a row, which always gives 1/K. Take the largest.",
            ),
            Wrong(
                "accuracy above one half",
                words(lambda confidence, accuracy, true, half: confidence - half),
                "You count a row as right if its true class has more than 0.5. It is right if that class has the largest probability.",
            ),
            Wrong(
                "confidence alone",
                words(lambda confidence, *_: confidence - 0.8, 0.05),
                "You looked at the confidence alone. It must be compared with the accuracy.",
            ),
        ],
    )
    if not all(isinstance(word, str) for word in received):
        return Outcome(False, expected[0], brief(received[0]), "form", "Return a text.")
    return outcome


@chapter.check(
    "diagnose_calibration",
    hint="The verdict is about the mean over all rows: an excess on one half can make up for a lack on the other.",
    more="First take the two means, then subtract. Do not take absolute values row by row.",
)
def looks_at_the_means(answer, rng):
    """calls calibrated what is too sure on one half of the rows and too unsure on the other"""
    halves = _predictions(rng, 0.95, 0.75, rows=100), _predictions(rng, 0.5, 0.7, rows=100)
    p, y = (np.concatenate(parts) for parts in zip(*halves, strict=True))
    hint = "You averaged absolute differences, as the calibration error does. Here, subtract the means."
    wrong = [
        Wrong("absolute differences", word, hint) for word in ("over-confident", "under-confident")
    ]
    return compare(answer(p, y), "calibrated", wrong)


@chapter.check(
    "diagnose_calibration",
    hint="With ten classes and little confidence, a largest probability of 0.3 can still be right.",
    more="Use p.argmax(axis=1) == y for the accuracy.",
)
def works_without_a_majority(answer, rng):
    """is right about a network whose largest probabilities stay below one half"""
    cases = [_predictions(rng, 0.3, share, classes=10) for share in (0.6, 0.3, 0.1)]
    words = ("under-confident", "calibrated", "over-confident")
    return compare(tuple(answer(*case) for case in cases), words)
