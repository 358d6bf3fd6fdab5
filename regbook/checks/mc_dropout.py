"""Checks of chapter 12, Monte-Carlo dropout and uncertainty: none depends on a random stream."""

import numpy as np

from regbook.check import AnswerError, Chapter, Outcome, Wrong, brief, compare, outputs

chapter = Chapter("12_mc_dropout")


def _softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _entropy(p):
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)


# --- mc_predict ------------------------------------------------------------------------------


def _passes(rng, passes, rows=4, classes=3):
    return _softmax(3 * rng.normal(size=(passes, rows, classes)))


def _model(stack):
    """Return a function that gives one pass after the other, and a list of what it was asked."""
    asked = []

    def model_fn(x):
        asked.append(np.array(x, dtype=float))
        return stack[(len(asked) - 1) % len(stack)]

    return model_fn, asked


@chapter.check(
    "mc_predict",
    points=3,
    hint="Call model_fn(x) `passes` times and average the probabilities, entry by entry.",
    more="sum(model_fn(x) for _ in range(passes)) / passes",
)
def averages_the_probabilities(answer, rng):
    """is the average of the probabilities of all passes"""
    stack = _passes(rng, 5)
    model_fn, _ = _model(stack)
    votes = np.eye(3)[stack.argmax(axis=-1)].mean(axis=0)
    wrong = [
        Wrong(
            "averages the logarithms",
            _softmax(np.log(stack).mean(axis=0)),
            "You averaged logarithms (or logits) before the softmax. That is a geometric mean; "
            "average the probabilities.",
        ),
        Wrong(
            "averages the decisions",
            votes,
            "You averaged the decisions of the passes. Average their probabilities: a pass that "
            "is unsure must count as unsure.",
        ),
        Wrong(
            "one pass repeated",
            stack[0],
            "You call model_fn once and use its answer for all passes. Every pass needs a call of "
            "its own, because every call draws other masks.",
        ),
        Wrong("last pass", stack[-1], "You return the last pass. Return the mean of all."),
        Wrong("sum", stack.sum(axis=0), "You added the passes up. Divide by their number."),
        Wrong(
            "median",
            np.median(stack, axis=0),
            "You took the median: its classes no longer sum to 1. Take the mean.",
        ),
        Wrong(
            "one pass short",
            stack[:-1].mean(axis=0),
            "One pass is missing: call model_fn exactly `passes` times.",
        ),
        Wrong(
            "one pass short",
            stack[:-1].sum(axis=0) / len(stack),
            "One pass is missing: call model_fn exactly `passes` times.",
        ),
        Wrong(
            "mean over rows",
            stack.mean(axis=1),
            "You averaged over the rows. Average over the passes.",
        ),
        Wrong(
            "mean over classes",
            stack.mean(axis=2),
            "You averaged over the classes. Average over the passes.",
        ),
    ]
    return compare(answer(model_fn, rng.normal(size=(4, 2)), 5), stack.mean(axis=0), wrong)


@chapter.check(
    "mc_predict",
    hint="model_fn must be called exactly `passes` times, with all of x and unchanged.",
    more="One call per pass: model_fn(x), not model_fn(x[i]).",
)
def calls_once_per_pass(answer, rng):
    """calls model_fn once per pass, each time with x as it is"""
    x, stack = rng.normal(size=(4, 2)), _passes(rng, 7)
    model_fn, asked = _model(stack)
    outputs(answer(model_fn, x, 7), (4, 3))
    expected, received = "7 calls with x", f"{len(asked)} calls"
    if len(asked) == 1:
        return Outcome(
            False,
            expected,
            received,
            "one pass repeated",
            "You call model_fn once. A single pass has nothing to average.",
        )
    same = all(a.shape == x.shape and np.allclose(a, x, atol=1e-5) for a in asked)
    return Outcome(len(asked) == 7 and same, expected, received)


@chapter.check(
    "mc_predict",
    hint="With one pass the average is that pass.",
    more="Divide by `passes`, the argument, and by no fixed number.",
)
def works_for_one_pass(answer, rng):
    """returns the pass itself when there is only one"""
    stack = _passes(rng, 3, rows=1)
    model_fn, _ = _model(stack)
    return compare(answer(model_fn, rng.normal(size=(1, 2)), 1), stack[0])


# --- predictive_entropy ----------------------------------------------------------------------


@chapter.check(
    "predictive_entropy",
    points=3,
    hint="First the mean over the passes (axis 0), then -sum(p log p) over the classes.",
    more="mean = p.mean(axis=0); the entropy is -(mean * np.log(mean)).sum(axis=1)",
)
def is_the_entropy_of_the_mean(answer, rng):
    """is the entropy of the average, in nats, for every row"""
    p = _passes(rng, 6, rows=5, classes=4)
    mean = p.mean(axis=0)
    expected = _entropy(mean)
    wrong = [
        Wrong(
            "mean of the entropies",
            _entropy(p).mean(axis=0),
            "You averaged the entropies of the passes. That is only the part within the passes: "
            "average the probabilities first.",
        ),
        Wrong(
            "mutual information",
            expected - _entropy(p).mean(axis=0),
            "That is the mutual information, one part of the predictive entropy.",
        ),
        Wrong("bits", expected / np.log(2), "That is in bits. Nats need the natural logarithm."),
        Wrong("decimal logarithm", expected / np.log(10), "Take the natural logarithm, np.log."),
        Wrong("no minus", -expected, "The sign: an entropy is never negative."),
        Wrong(
            "mean over classes",
            expected / 4,
            "You averaged over the classes. The entropy is a sum over them.",
        ),
        Wrong(
            "normalized",
            expected / np.log(4),
            "You divided by log K. Here the entropy is in nats, from 0 to log K.",
        ),
        Wrong(
            "first pass",
            _entropy(p[0]),
            "You use only the first pass. Average over all of them first.",
        ),
        Wrong(
            "summed over passes",
            _entropy(p.sum(axis=0)),
            "You added the passes up and did not divide: those are no probabilities.",
        ),
        Wrong("total", expected.sum(), "Return one entropy per row, not their sum."),
        Wrong("total", expected.mean(), "Return one entropy per row, not their mean."),
    ]
    return compare(answer(p), expected, wrong)


@chapter.check(
    "predictive_entropy",
    hint="A probability of 0 adds 0 to the entropy. np.log(0) is minus infinity, and 0 times it NaN.",
    more="Replace the zeros inside the logarithm by 1: np.where(p > 0, p, 1).",
)
def takes_zero_log_zero_as_zero(answer, rng):
    """counts a probability of 0 as nothing"""
    q = rng.uniform(0.2, 0.8)
    one = np.array([[1.0, 0, 0], [q, 1 - q, 0]])
    p = np.stack([one, one, np.array([[1.0, 0, 0], [1 - q, q, 0]])])
    received = answer(p)
    shape = np.shape(received) == (2,)
    if shape and not np.isfinite(received).all():
        return Outcome(
            False,
            brief(_entropy(p.mean(axis=0))),
            brief(received),
            "zero times infinity",
            "A probability of exactly 0 makes NaN: 0 times minus infinity. Take it as 0.",
        )
    return compare(received, _entropy(p.mean(axis=0)))


@chapter.check(
    "predictive_entropy",
    hint="Two sure passes that contradict each other make an unsure average.",
    more="For passes (1, 0) and (0, 1) the mean is (1/2, 1/2) and the entropy log 2.",
)
def sees_a_contradiction(answer, rng):
    """is log K when K sure passes name K different classes"""
    classes = int(rng.integers(3, 7))
    p = np.eye(classes)[:, None, :] * np.ones((1, 2, 1))
    wrong = [
        Wrong(
            "mean of the entropies",
            np.zeros(2),
            "You get 0, because each pass by itself is sure. The average is not: average the "
            "probabilities first.",
        )
    ]
    return compare(answer(p), np.full(2, np.log(classes)), wrong)


# --- expected_calibration_error --------------------------------------------------------------


def _parts(p, y, bins, below=True):
    """Return (share, gap) of the bins that hold rows, the gap with its sign."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    number = np.ceil(confidence * bins) if below else np.floor(confidence * bins) + 1
    number = np.clip(number, 1, bins)
    inside = number == np.unique(number)[:, None]
    share = inside.mean(axis=1)
    return share, (inside * (right - confidence)).sum(axis=1) / inside.sum(axis=1)


def _ece(p, y, bins, **options):
    share, gap = _parts(p, y, bins, **options)
    return (share * np.abs(gap)).sum()


def _all_classes(p, y, bins):
    """Bin the probabilities of all classes, not only the largest."""
    flat, hit = p.ravel(), np.eye(p.shape[1])[y].ravel()
    both = np.column_stack([flat, np.full(flat.shape, -1.0)])
    return _ece(both, np.where(hit == 1, 0, 2), bins)


def _true_class(p, y, bins):
    confidence, right = p[np.arange(len(y)), y], p.argmax(axis=1) == y
    number = np.clip(np.ceil(confidence * bins), 1, bins)
    gaps = [(right - confidence)[number == b].sum() for b in np.unique(number)]
    return np.abs(gaps).sum() / len(y)


def _classifier(rng, n=120, classes=4):
    """Draw probabilities, and labels that fit them badly, in both directions."""
    p = _softmax(2.5 * rng.normal(size=(n, classes)))
    right = rng.random(n) < np.where(p.max(axis=1) > 0.7, 0.5, 0.85)
    other = (p.argmax(axis=1) + rng.integers(1, classes, n)) % classes
    return p, np.where(right, p.argmax(axis=1), other)


_FORM = (
    "For every bin: share of the rows, times the absolute difference of accuracy and mean "
    "confidence. Add these up."
)


@chapter.check(
    "expected_calibration_error",
    points=3,
    hint=_FORM,
    more="confidence = p.max(axis=1), bin = np.ceil(confidence * bins); per bin add "
    "inside.mean() * abs(right[inside].mean() - confidence[inside].mean()).",
)
def weighs_the_gaps(answer, rng):
    """is the gap between accuracy and confidence, weighted by the rows of each bin"""
    p, y = _classifier(rng)
    bins = int(rng.integers(8, 13))
    share, gap = _parts(p, y, bins)
    expected = (share * np.abs(gap)).sum()
    right = p.argmax(axis=1) == y
    wrong = [
        Wrong(
            "unweighted",
            np.abs(gap).mean(),
            "You averaged the gaps of the bins. A bin with more rows counts more: weigh by n_j / n.",
        ),
        Wrong(
            "unweighted",
            np.abs(gap).sum() / bins,
            "You gave every bin the same weight. A bin with more rows counts more: n_j / n.",
        ),
        Wrong(
            "maximum",
            np.abs(gap).max(),
            "That is the largest gap, the maximum calibration error. The expected one is the "
            "weighted mean.",
        ),
        Wrong(
            "signed",
            (share * gap).sum(),
            "Your gaps keep their signs, so over- and underconfidence cancel. Take the absolute "
            "value in every bin.",
        ),
        Wrong("signed", -(share * gap).sum(), "Take the absolute value of the gap in every bin."),
        Wrong(
            "signed",
            abs((share * gap).sum()),
            "You take the absolute value at the end, so bins cancel. Take it in every bin.",
        ),
        Wrong(
            "row by row",
            np.abs(right - p.max(axis=1)).mean(),
            "You took the absolute value row by row. A single row is right or wrong; only a bin "
            "has an accuracy.",
        ),
        Wrong(
            "squared",
            (share * gap**2).sum(),
            "You squared the gaps. Take their absolute values.",
        ),
        Wrong("squared", np.sqrt((share * gap**2).sum()), "Take absolute values, not squares."),
        Wrong(
            "all classes",
            _all_classes(p, y, bins),
            "You binned the probabilities of all classes. Only the largest of each row counts.",
        ),
        Wrong(
            "all classes",
            p.shape[1] * _all_classes(p, y, bins),
            "You binned the probabilities of all classes. Only the largest of each row counts.",
        ),
        Wrong(
            "true class",
            _true_class(p, y, bins),
            "You took the probability of the true class as the confidence. It is the probability "
            "of the predicted class, the largest.",
        ),
        Wrong(
            "ten bins",
            _ece(p, y, 10) if bins != 10 else np.nan,
            "Your number of bins is fixed. Use the argument `bins`.",
        ),
        Wrong(
            "percent",
            100 * expected,
            "That is in percent. Return a number between 0 and 1.",
        ),
        Wrong("not divided", len(y) * expected, "Divide by the number of rows."),
    ]
    return compare(answer(p, y, bins), expected, wrong)


@chapter.check(
    "expected_calibration_error",
    hint="A confidence on an edge belongs to the bin below it; 1 belongs to the last bin.",
    more="Number of the bin: np.ceil(confidence * bins), from 1 to bins.",
)
def puts_an_edge_into_the_bin_below(answer, rng):
    """puts a confidence on an edge into the bin below it"""
    # Quarters are exact. Up to 0.75 the confidence is too low, above it too high.
    top = np.array([0.75] * 8 + [0.625] * 8 + [0.875] * 8 + [1.0] * 8)
    right = np.array([1] * 16 + [0, 1] * 4 + [1, 1, 1, 0] * 2)
    order = rng.permutation(32)
    p = np.stack([top, 1 - top], axis=1)[order]
    y = (1 - right)[order]
    wrong = [
        Wrong(
            "edge above",
            _ece(p, y, 4, below=False),
            "You put a confidence on an edge into the bin above it. Here it belongs to the bin "
            "below, so that a confidence of 1 needs no bin of its own.",
        ),
        Wrong(
            "certain rows lost",
            _without_last(p, y),
            "A confidence of exactly 1 falls out of all your bins. It belongs to the last one.",
        ),
    ]
    return compare(answer(p, y, 4), _ece(p, y, 4), wrong)


def _without_last(p, y):
    """The error when a confidence on an edge goes up and 1 is in no bin."""
    keep = p.max(axis=1) < 1
    share, gap = _parts(p[keep], y[keep], 4, below=False)
    return (share * np.abs(gap)).sum() * keep.mean()


@chapter.check(
    "expected_calibration_error",
    hint="A bin without rows adds nothing. A mean over no rows is NaN.",
    more="Loop over the bins that hold rows, or skip a bin where inside.any() is False.",
)
def skips_empty_bins(answer, rng):
    """counts an empty bin as nothing, also when all rows share one bin"""
    low, high = rng.uniform(0.91, 0.94), rng.uniform(0.96, 0.99)
    top = np.array([low] * 5 + [high] * 5)
    p = np.stack([top, 1 - top], axis=1)
    y = np.array([0, 0, 0, 1, 1, 0, 0, 0, 0, 1])
    expected = abs(0.7 - top.mean())
    received = answer(p, y, 10)
    if np.shape(received) == () and not np.isfinite(received):
        return Outcome(
            False,
            brief(expected),
            brief(received),
            "empty bins",
            "An empty bin makes your result NaN: a mean over no rows. Skip it.",
        )
    return compare(received, expected)


@chapter.check(
    "expected_calibration_error",
    hint="With one bin the error is |accuracy - mean confidence|.",
    more="All rows lie in the one bin from 0 to 1.",
)
def is_simple_with_one_bin(answer, rng):
    """is the difference of accuracy and mean confidence with a single bin"""
    p, y = _classifier(rng, n=40)
    right = p.argmax(axis=1) == y
    return compare(answer(p, y, 1), abs(right.mean() - p.max(axis=1).mean()))


# --- enable_dropout_only ---------------------------------------------------------------------

RATE, EPS, HIDDEN = 0.25, 0.0625, 3
MODEL = {"inputs": 5, "hidden": HIDDEN, "classes": 4, "rate": RATE, "eps": EPS}
# All masks of both dropout layers, the first one in the slow axis.
_HALF = np.array(list(np.ndindex((2,) * HIDDEN)), float)
_FIRST, _SECOND = np.repeat(_HALF, len(_HALF), axis=0), np.tile(_HALF, (len(_HALF), 1))


def _network_weights(rng):
    """Draw weights with which every hidden unit is active for every small input."""
    h, k = HIDDEN, MODEL["classes"]
    return [
        rng.normal(scale=0.3, size=(5, h)),
        rng.normal(size=h),
        rng.uniform(0.5, 1.5, size=h),
        rng.uniform(3, 4, size=h),
        rng.normal(size=h),
        rng.uniform(0.5, 2, size=h),
        rng.uniform(0.3, 1, size=(h, h)),
        rng.uniform(0.5, 1, size=h),
        rng.normal(size=(h, k)),
        rng.normal(size=k),
    ]


def _every_output(weights, x, scale=1 / (1 - RATE), batch=False, layers=(True, True)):
    """Return the outputs under every pair of masks, of shape (rows, masks, classes).

    layers: which of the two dropout layers is on.
    """
    w1, b1, gamma, beta, mean, variance, w2, b2, w3, b3 = weights
    z = x @ w1 + b1
    if batch:
        mean, variance = z.mean(axis=0), z.var(axis=0)
    first, second = (
        mask * scale if on else np.ones_like(mask)
        for mask, on in zip((_FIRST, _SECOND), layers, strict=True)
    )
    a = np.maximum(gamma * (z - mean) / np.sqrt(variance + EPS) + beta, 0)
    a = np.maximum((a[:, None] * first) @ w2 + b2, 0) * second
    return a @ w3 + b3


def _fits(out, weights, x, **options):
    """Tell for each row of out whether it is the output under some pair of masks."""
    candidates = _every_output(weights, x, **options)
    return np.abs(candidates - out[:, None]).max(axis=-1).min(axis=1) < 1e-3


_OFF_HINT = (
    "Nothing is dropped when the model predicts. Dropout that was switched on before is off again "
    "after model.eval() (Keras: training=False); the layer itself must ignore the mode."
)
_ONE_HINT = "Only one of the two dropout layers drops. Both must."
_SWAPPED_HINT = "You drop the share 1 - rate. `rate` is the share that is dropped."
_FAULTS = [
    ("dropout is off", {"layers": (False, False)}, _OFF_HINT),
    ("one layer only", {"layers": (True, False)}, _ONE_HINT),
    ("one layer only", {"layers": (False, True)}, _ONE_HINT),
    (
        "batch statistics",
        {"batch": True},
        "Batch normalization uses the statistics of the present batch: it is in training mode. "
        "Only dropout may be.",
    ),
    (
        "no rescaling",
        {"scale": 1.0},
        "The units that are kept are not rescaled. Divide by 1 - rate, as dropout does.",
    ),
    ("rate and keep swapped", {"scale": 1 / RATE}, _SWAPPED_HINT),
]


def _named(out, weights, x, expected, received):
    """Return the outcome of outputs that fit no mask, with the fault they show."""
    for key, options, hint in _FAULTS:
        if _fits(out, weights, x, **options).all():
            return Outcome(False, expected, received, key, hint)
    return Outcome(False, expected, received)


def _built(answer, rng):
    """Build the learner's model; return it with weights, or a fault."""
    model, weights = answer.model(MODEL), _network_weights(rng)
    shapes, expected = [w.shape for w in model.weights()], [w.shape for w in weights]
    if shapes != expected:
        hint = (
            f"The weights must have the shapes {expected}, in this order; yours are {shapes}. "
            "Check the order of the layers, their sizes, their biases and the batch normalization."
        )
        return None, weights, Outcome(False, "10 arrays", f"{len(shapes)} arrays", "form", hint)
    model.set_weights(weights)
    return model, weights, None


def _predict(model, x):
    try:
        (out,) = outputs(model.predict(x), (len(x), MODEL["classes"]))
    except AnswerError as error:
        if "per channel" not in str(error):
            raise
        hint = (
            "Batch normalization is in training mode and refuses a single row. Only dropout may "
            "be in training mode."
        )
        return Outcome(False, "a prediction for one row", "an error", "batch statistics", hint)
    return out.astype(float)


@chapter.check(
    "enable_dropout_only",
    points=3,
    hint="With its masks taken into account, every output must come from the running statistics, "
    "and a kept unit must be divided by 1 - rate.",
    more="Everything but dropout stays in inference mode. In Keras subclass Dropout and call "
    "super().call(inputs, training=True); in PyTorch subclass nn.Dropout.",
)
def uses_the_running_statistics(answer, rng):
    """normalizes with the running statistics, and masks and rescales behind both ReLUs"""
    model, weights, fault = _built(answer, rng)
    if fault:
        return fault
    x = rng.normal(scale=0.5, size=(40, 5))
    out = _predict(model, x)
    if isinstance(out, Outcome):
        return out
    fits = _fits(out, weights, x)
    expected, received = "40 rows that fit a mask", f"{fits.sum()} rows that fit"
    if fits.all():
        return Outcome(True, expected, received)
    return _named(out, weights, x, expected, received)


@chapter.check(
    "enable_dropout_only",
    points=3,
    hint="Both dropout layers must drop the share `rate`, in inference mode too.",
    more="A module that was switched to train() is switched off again by model.eval(). Let the "
    "layer itself drop always.",
)
def drops_in_both_layers(answer, rng):
    """drops the share `rate` of the units, in both dropout layers, although it predicts"""
    model, weights, fault = _built(answer, rng)
    if fault:
        return fault
    x = np.tile(rng.normal(scale=0.5, size=(1, 5)), (600, 1))
    out = _predict(model, x)
    if isinstance(out, Outcome):
        return out
    candidates = _every_output(weights, x[:1])[0]
    gap = np.abs(candidates - out[:, None]).max(axis=-1)
    best = gap.argmin(axis=1)
    shares = 1 - _FIRST[best].mean(), 1 - _SECOND[best].mean()
    width = 6 * np.sqrt(RATE * (1 - RATE) / (600 * HIDDEN))
    expected = f"dropped: {RATE:.2f} and {RATE:.2f}, within {width:.2f}"
    received = f"dropped: {shares[0]:.2f} and {shares[1]:.2f}"
    if gap.min(axis=1).max() > 1e-3:
        return _named(out, weights, x, expected, "rows that fit no mask")
    if (np.ptp(out, axis=0) < 1e-6).all():
        hint = "All rows of a batch share one mask. Draw one entry per row and unit."
        return Outcome(False, expected, received, "one mask per batch", hint)
    if all(abs(share - 1 + RATE) < width for share in shares):
        return Outcome(False, expected, received, "rate and keep swapped", _SWAPPED_HINT)
    return Outcome(all(abs(share - RATE) < width for share in shares), expected, received)


@chapter.check(
    "enable_dropout_only",
    hint="Two predictions for the same rows must differ: every call draws new masks.",
    more="Keep no mask and set no seed inside the layer.",
)
def draws_new_masks(answer, rng):
    """draws new masks in every call"""
    model, _, fault = _built(answer, rng)
    if fault:
        return fault
    x = rng.normal(scale=0.5, size=(30, 5))
    first, second = (_predict(model, x) for _ in range(2))
    if isinstance(first, Outcome):
        return first
    if np.abs(first - second).max() < 1e-6:
        key, hint = "dropout is off", "Both predictions are equal: dropout is off."
        if np.ptp(_predict(model, np.tile(x[:1], (30, 1))), axis=0).max() > 1e-6:
            key = "fixed mask"
            hint = "Your masks are the same in every call. A fixed mask gives one network only."
        return Outcome(False, "two different predictions", "equal ones", key, hint)
    return Outcome(True, "two different predictions", "two different ones")


@chapter.check(
    "enable_dropout_only",
    points=2,
    hint="Predicting must change nothing in the model: the running statistics stay.",
    more="Batch normalization in training mode, or a pass in training mode before the prediction, "
    "moves them.",
)
def leaves_the_statistics_alone(answer, rng):
    """leaves all weights and running statistics as they are"""
    model, weights, fault = _built(answer, rng)
    if fault:
        return fault
    for rows in (30, 1):
        out = _predict(model, rng.normal(1, 0.5, size=(rows, 5)))
        if isinstance(out, Outcome):
            return out
    after = model.weights()
    moved = max(np.abs(a - b).max() for a, b in zip(after, weights, strict=True))
    expected, received = "no change", f"largest change {moved:.2g}"
    if moved > 1e-5:
        hint = (
            "The running statistics move while the model predicts, so predicting changes later "
            "predictions. Batch normalization must never be in training mode here."
        )
        return Outcome(False, expected, received, "statistics moved", hint)
    return Outcome(True, expected, received)


# --- diagnose_uncertainty --------------------------------------------------------------------

OFF, SURE, NEW, MIXED = "dropout is off", "sure", "unfamiliar", "ambiguous"


def _contradicting(rng, passes=9, classes=3, sharpness=0.9):
    """Every pass is fairly sure, and they name different classes."""
    named = np.arange(passes) % classes
    p = np.full((passes, classes), (1 - sharpness) / (classes - 1))
    p[np.arange(passes), named] = sharpness
    return _softmax(np.log(p) + 0.05 * rng.normal(size=p.shape))


def _agreeing(rng, passes=9, classes=3):
    """All passes give about the same share to every class."""
    return _softmax(0.3 * rng.normal(size=(1, classes)) + 0.05 * rng.normal(size=(passes, classes)))


def _text(received, expected, wrong):
    """Compare a text; wrong maps what a misconception would have said to its key and hint."""
    shown = repr(expected), brief(received)
    if isinstance(received, str) and received == expected:
        return Outcome(True, *shown)
    if not isinstance(received, str) or received not in (OFF, SURE, NEW, MIXED):
        hint = "Return one of the four texts, letter by letter."
        return Outcome(False, *shown, "form", hint)
    return Outcome(False, *shown, *wrong.get(received, ()))


@chapter.check(
    "diagnose_uncertainty",
    points=2,
    hint="Mutual information is the predictive entropy minus the mean entropy of the passes.",
    more="information = total - entropy(p).mean(); more than total / 2 of it is unfamiliar.",
)
def tells_contradiction_from_agreement(answer, rng):
    """tells passes that contradict each other from passes that agree to be unsure"""
    swapped = (
        "the two swapped",
        "You have the two the wrong way round. Contradicting passes (high mutual information) mean "
        "unfamiliar; passes that agree that classes overlap mean ambiguous.",
    )
    within = (
        "mean of the entropies",
        "Each pass by itself is sure here, but their average is not. Compare the entropy of the "
        "average with the limit, not the mean of the entropies.",
    )
    against_limit = (
        "information against the limit",
        "The mutual information is small here, but the entropy is high: the passes agree that "
        "several classes are possible. The limit belongs to the entropy.",
    )
    upside = (
        "limit upside down",
        "You are sure above the limit and unsure below it. A low entropy means sure.",
    )
    said = answer(_contradicting(rng), 0.6)
    if isinstance(said, str) and said == SURE:
        clear = _softmax(np.array([6.0, 0, 0]) + 0.05 * rng.normal(size=(9, 3)))
        probe = answer(clear, 0.6)
        within = within if isinstance(probe, str) and probe == SURE else upside
    first = _text(said, NEW, {MIXED: swapped, SURE: within})
    if not first.passed:
        return first
    return _text(answer(_agreeing(rng), 0.6), MIXED, {NEW: swapped, SURE: against_limit})


@chapter.check(
    "diagnose_uncertainty",
    hint="More than *half of the entropy* must be mutual information: it is a share, not an amount.",
    more="Compare information with total / 2, and with no fixed number.",
)
def compares_with_half_of_the_entropy(answer, rng):
    """compares the mutual information with half of the entropy, for many mixtures"""
    share_hint = (
        "share of the information",
        "The border is wrong: unfamiliar means that mutual information is more than half of the "
        "predictive entropy.",
    )
    classes = int(rng.integers(3, 6))
    for sharpness in rng.permutation(np.linspace(0.5, 0.95, 10)):
        p = _contradicting(rng, 3 * classes, classes, sharpness)
        total = _entropy(p.mean(axis=0))
        information = total - _entropy(p).mean()
        if abs(information / total - 0.5) < 0.02:
            continue
        expected = NEW if information > total / 2 else MIXED
        outcome = _text(answer(p, 0.2), expected, dict.fromkeys((NEW, MIXED), share_hint))
        if not outcome.passed:
            return outcome
    return outcome


@chapter.check(
    "diagnose_uncertainty",
    points=2,
    hint="Equal passes come first: they have no mutual information, whatever the input is.",
    more='if (p == p[0]).all(): return "dropout is off"',
)
def notices_that_dropout_is_off(answer, rng):
    """notices equal passes before anything else, be they sure or not"""
    missed = (
        "equal passes not noticed",
        "All passes are equal, so dropout is off (or one pass was repeated). Their disagreement "
        "was never measured: test this first.",
    )
    unsure, sure = (np.tile(q, (5, 1)) for q in ([0.5, 0.25, 0.25], [1.0, 0.0, 0.0]))
    for p in (unsure, sure):
        outcome = _text(answer(p, 0.3), OFF, dict.fromkeys((SURE, NEW, MIXED), missed))
        if not outcome.passed:
            return outcome
    alarm = (
        "false alarm",
        "These passes are not equal, although all name the same class, or some entries agree. "
        "Dropout is off only if every probability of every pass is the same.",
    )
    p = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.5, 0.3125, 0.1875]])
    return _text(answer(p, 0.3), MIXED, {OFF: alarm})


@chapter.check(
    "diagnose_uncertainty",
    hint="The entropy of the average, in nats, is compared with `limit`.",
    more='total = entropy(p.mean(axis=0)); if total <= limit: return "sure"',
)
def knows_when_to_be_sure(answer, rng):
    """is sure below the limit and not above it, in nats, zeros included"""
    p = _agreeing(rng)
    total = _entropy(p.mean(axis=0))
    unit = (
        "unit of the entropy",
        "The entropy lies just below the limit in nats. Take the natural logarithm and the sum "
        "over the classes.",
    )
    upside = (
        "limit upside down",
        "The entropy lies just above the limit, so the input is not one to be sure about.",
    )
    outcome = _text(answer(p, total + 0.01), SURE, {MIXED: unit, NEW: unit, OFF: unit})
    if not outcome.passed:
        return outcome
    outcome = _text(answer(p, total - 0.01), MIXED, {SURE: upside})
    if not outcome.passed:
        return outcome
    zeros = (
        "zero times infinity",
        "A probability of 0 makes NaN in your entropy, and no comparison with NaN is true. Take "
        "0 log 0 as 0.",
    )
    p = np.array([[1.0, 0, 0], [0.96875, 0.03125, 0], [1.0, 0, 0]])
    return _text(answer(p, 0.2), SURE, {MIXED: zeros, NEW: zeros})
