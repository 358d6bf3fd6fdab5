"""Checks of chapter 12, Monte-Carlo dropout and uncertainty: none depends on a random stream."""

import numpy as np

from regbook.arrays import softmax
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

chapter = Chapter("12_mc_dropout")


def _entropy(p):
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)


def _entropy_with_nan(p):
    return -(p * np.log(p)).sum(axis=-1)


# --- mc_predict ------------------------------------------------------------------------------


def _average(model_fn, x, passes, *, join=lambda p: p.mean(axis=0)):
    return join(np.stack([model_fn(x) for _ in range(passes)]))


def _votes(p):
    return np.eye(p.shape[2])[p.argmax(axis=2)].mean(axis=0)


mc_predict = chapter.exercise(
    "mc_predict",
    _average,
    mistakes={
        "averages the logarithms": vary(_average, join=lambda p: softmax(np.log(p).mean(axis=0))),
        "averages the decisions": vary(_average, join=_votes),
        "one pass repeated": lambda model_fn, x, passes: model_fn(x),
        "last pass": vary(_average, join=lambda p: p[-1]),
        "sum": vary(_average, join=lambda p: p.sum(axis=0)),
        "median": vary(_average, join=lambda p: np.median(p, axis=0)),
        "one pass short": [
            lambda model_fn, x, passes: sum(model_fn(x) for _ in range(passes - 1)) / passes,
            vary(_average, passes=lambda passes: passes - 1),
        ],
        "mean over rows": vary(_average, join=lambda p: p.mean(axis=1)),
        "mean over classes": vary(_average, join=lambda p: p.mean(axis=2)),
    },
    hints={
        "averages the logarithms": "You averaged logarithms (or logits) before the softmax. That is a geometric mean; average the probabilities.",
        "averages the decisions": "You averaged the decisions of the passes. Average their probabilities: a pass that is unsure must count as unsure.",
        "one pass repeated": "You call model_fn once and use its answer for all passes. Every pass needs a call of its own, because every call draws other masks.",
        "last pass": "You return the last pass. Return the mean of all.",
        "sum": "You added the passes up. Divide by their number.",
        "median": "You took the median: its classes no longer sum to 1. Take the mean.",
        "one pass short": "One pass is missing: call model_fn exactly `passes` times.",
        "mean over rows": "You averaged over the rows. Average over the passes.",
        "mean over classes": "You averaged over the classes. Average over the passes.",
    },
)


def _passes(rng, passes, rows=4, classes=3):
    return softmax(3 * rng.normal(size=(passes, rows, classes)))


def _model(stack):
    """Return a function that gives one pass after the other, and a list of what it was asked."""
    asked = []

    def model_fn(x):
        asked.append(np.array(x, dtype=float))
        return stack[(len(asked) - 1) % len(stack)].copy()

    return model_fn, asked


@mc_predict.check(
    hint="Call model_fn(x) `passes` times and average the probabilities, entry by entry.",
    more="One call, one array of shape (n, K). Add up the arrays of all calls, or stack them, and take the mean over the calls only: the shape stays (n, K).",
)
def averages_the_probabilities(ask, rng):
    """is the average of the probabilities of all passes"""
    model_fn, _ = _model(_passes(rng, 5))
    return ask(model_fn, rng.normal(size=(4, 2)), 5)


@mc_predict.check(
    hint="model_fn must be called exactly `passes` times, with all of x and unchanged.",
    more="One call per pass: model_fn(x), not model_fn(x[i]).",
)
def calls_once_per_pass(ask, rng):
    """calls model_fn once per pass, each time with x as it is"""
    x = rng.normal(size=(4, 2))
    model_fn, asked = _model(_passes(rng, 7))
    outputs(ask(model_fn, x, 7), (4, 3))
    same = [a.shape == x.shape and np.allclose(a, x, atol=1e-5) for a in asked]
    return {"calls": len(asked), "calls with x as it is": sum(same)}


@mc_predict.check(
    hint="With one pass the average is that pass.",
    more="Divide by `passes`, the argument, and by no fixed number.",
)
def works_for_one_pass(ask, rng):
    """returns the pass itself when there is only one"""
    model_fn, _ = _model(_passes(rng, 3, rows=1))
    return ask(model_fn, rng.normal(size=(1, 2)), 1)


# --- predictive_entropy ----------------------------------------------------------------------


def _of_mean(p, *, entropy=_entropy):
    return entropy(p.mean(axis=0))


predictive_entropy = chapter.exercise(
    "predictive_entropy",
    _of_mean,
    mistakes={
        "mean of the entropies": lambda p: _entropy(p).mean(axis=0),
        "mutual information": lambda p: _of_mean(p) - _entropy(p).mean(axis=0),
        "bits": lambda p: _of_mean(p) / np.log(2),
        "decimal logarithm": lambda p: _of_mean(p) / np.log(10),
        "no minus": lambda p: -_of_mean(p),
        "mean over classes": lambda p: _of_mean(p) / p.shape[2],
        "normalized": lambda p: _of_mean(p) / np.log(p.shape[2]),
        "first pass": lambda p: _entropy(p[0]),
        "median": lambda p: _entropy(np.median(p, axis=0)),
        "summed over passes": lambda p: _entropy(p.sum(axis=0)),
        "total": [lambda p: _of_mean(p).sum(), lambda p: _of_mean(p).mean()],
        "zero times infinity": vary(_of_mean, entropy=_entropy_with_nan),
    },
    hints={
        "mean of the entropies": "You averaged the entropies of the passes. That is only the part within the passes: average the probabilities first.",
        "mutual information": "That is the mutual information, one part of the predictive entropy.",
        "bits": "That is in bits. Nats need the natural logarithm.",
        "decimal logarithm": "Take the natural logarithm, np.log.",
        "no minus": "The sign: an entropy is never negative.",
        "mean over classes": "You averaged over the classes. The entropy is a sum over them.",
        "normalized": "You divided by log K. Here the entropy is in nats, from 0 to log K.",
        "first pass": "You use only the first pass. Average over all of them first.",
        "median": "You took the median over the passes. Take their mean.",
        "summed over passes": "You added the passes up and did not divide: those are no probabilities.",
        "total": "Return one entropy per row, not their sum or their mean.",
        "zero times infinity": "A probability of exactly 0 makes NaN: 0 times minus infinity. Take it as 0.",
    },
)


@predictive_entropy.check(
    hint="First the mean over the passes (axis 0), then -sum(p log p) over the classes.",
    more="The mean over the passes has the shape (n, K), its entropies the shape (n,). scipy.special.entr computes -p log p entry by entry.",
)
def is_the_entropy_of_the_mean(ask, rng):
    """is the entropy of the average, in nats, for every row"""
    return ask(_passes(rng, 6, rows=5, classes=4))


@predictive_entropy.check(
    hint="A probability of 0 adds 0 to the entropy. np.log(0) is minus infinity, and 0 times it NaN.",
    more="Replace the zeros inside the logarithm by 1: np.where(p > 0, p, 1).",
    keeps_input=True,
)
def takes_zero_log_zero_as_zero(ask, rng):
    """counts a probability of 0 as nothing"""
    q = rng.uniform(0.6, 0.8)
    one = np.array([[1.0, 0, 0], [q, 1 - q, 0]])
    p = np.stack([one, one, np.array([[1.0, 0, 0], [1 - q, q, 0]])])
    received = ask(p)
    if np.shape(received) == (2,) and not np.isfinite(received).all():
        raise Failed(brief(_of_mean(p)), brief(received), "zero times infinity")
    return received


@predictive_entropy.check(
    hint="Two sure passes that contradict each other make an unsure average.",
    more="For passes (1, 0) and (0, 1) the mean is (1/2, 1/2) and the entropy log 2.",
)
def sees_a_contradiction(ask, rng):
    """is log K when K sure passes name K different classes"""
    classes = int(rng.integers(3, 7))
    return ask(np.eye(classes)[:, None, :] * np.ones((1, 2, 1)))


# --- expected_calibration_error --------------------------------------------------------------


def _below(confidence, bins):
    """Return the number of each confidence's bin, from 1; an edge belongs to the bin below it."""
    return np.clip(np.ceil(confidence * bins), 1, bins)


def _above(confidence, bins):
    return np.minimum(np.floor(confidence * bins) + 1, bins)


def _weighted(share, gap, bins):
    return (share * np.abs(gap)).sum()


def _binned(confidence, right, bins, total=_weighted, number=_below):
    """Return the error: `total` of the shares and the signed gaps of the bins that hold rows."""
    number = number(confidence, bins)
    inside = number == np.unique(number)[:, None]
    gap = (inside * (right - confidence)).sum(axis=1) / inside.sum(axis=1)
    return total(inside.mean(axis=1), gap, bins)


def _ece(p, y, bins, *, total=_weighted, number=_below):
    return _binned(p.max(axis=1), p.argmax(axis=1) == y, bins, total, number)


def _all_classes(p, y, bins):
    return _binned(p.ravel(), np.eye(p.shape[1])[y].ravel(), bins)


def _true_class(p, y, bins):
    return _binned(p[np.arange(len(y)), y], p.argmax(axis=1) == y, bins)


def _certain_lost(p, y, bins):
    """Put an edge into the bin above it, and a confidence of 1 into no bin."""
    keep = p.max(axis=1) < 1
    return _ece(p[keep], y[keep], bins, number=_above) * keep.mean()


calibration_error = chapter.exercise(
    "expected_calibration_error",
    _ece,
    mistakes={
        "unweighted": [
            vary(_ece, total=lambda share, gap, bins: np.abs(gap).mean()),
            vary(_ece, total=lambda share, gap, bins: np.abs(gap).sum() / bins),
        ],
        "maximum": vary(_ece, total=lambda share, gap, bins: np.abs(gap).max()),
        "signed": [
            vary(_ece, total=lambda share, gap, bins: (share * gap).sum()),
            vary(_ece, total=lambda share, gap, bins: -(share * gap).sum()),
            vary(_ece, total=lambda share, gap, bins: abs((share * gap).sum())),
        ],
        "row by row": lambda p, y, bins: np.abs((p.argmax(axis=1) == y) - p.max(axis=1)).mean(),
        "squared": [
            vary(_ece, total=lambda share, gap, bins: (share * gap**2).sum()),
            vary(_ece, total=lambda share, gap, bins: np.sqrt((share * gap**2).sum())),
        ],
        "all classes": [_all_classes, lambda p, y, bins: p.shape[1] * _all_classes(p, y, bins)],
        "true class": _true_class,
        "ten bins": vary(_ece, bins=10),
        "percent": lambda p, y, bins: 100 * _ece(p, y, bins),
        "not divided": lambda p, y, bins: len(y) * _ece(p, y, bins),
        "edge above": vary(_ece, number=_above),
        "bins from 1 / K": lambda p, y, bins: _ece(
            p, y, bins, number=lambda c, n: _below((c - 1 / p.shape[1]) / (1 - 1 / p.shape[1]), n)
        ),
        "certain rows lost": _certain_lost,
    },
    hints={
        "unweighted": "You gave every bin the same weight. A bin with more rows counts more: weigh by n_j / n.",
        "maximum": "That is the largest gap, the maximum calibration error. The expected one is the weighted mean.",
        "signed": "You add gaps that keep their signs, so over- and underconfidence cancel. Take the absolute value in every bin.",
        "row by row": "You took the absolute value row by row. A single row is right or wrong; only a bin has an accuracy.",
        "squared": "You squared the gaps. Take their absolute values.",
        "all classes": "You binned the probabilities of all classes. Only the largest of each row counts.",
        "true class": "You took the probability of the true class as the confidence. It is the probability of the predicted class, the largest.",
        "ten bins": "Your number of bins is fixed. Use the argument `bins`.",
        "percent": "That is in percent. Return a number between 0 and 1.",
        "not divided": "Divide by the number of rows.",
        "edge above": "You put a confidence on an edge into the bin above it. Here it belongs to the bin below, so that a confidence of 1 needs no bin of its own.",
        "bins from 1 / K": "Your bins divide the range from 1 / K to 1. They divide the range from 0 to 1, though no confidence is below 1 / K.",
        "certain rows lost": "A confidence of exactly 1 falls out of all your bins. It belongs to the last one.",
        "empty bins": "An empty bin makes your result NaN: a mean over no rows. Skip it.",
    },
)


def _error(ask, p, y, bins):
    """Ask for the error; a NaN ends the check, because only an empty bin makes one here."""
    error = ask(p, y, bins)
    if np.shape(error) == () and np.isnan(error):
        raise Failed(brief(_ece(p, y, bins)), brief(error), "empty bins")
    return error


def _classifier(rng, n=120, classes=4):
    """Draw probabilities, and labels that fit them badly, in both directions."""
    p = softmax(2.5 * rng.normal(size=(n, classes)))
    right = rng.random(n) < np.where(p.max(axis=1) > 0.7, 0.5, 0.85)
    other = (p.argmax(axis=1) + rng.integers(1, classes, n)) % classes
    return p, np.where(right, p.argmax(axis=1), other)


@calibration_error.check(
    points=3,
    hint="For every bin: share of the rows, times the absolute difference of accuracy and mean confidence. Add these up.",
    more="Per row you need three things: the confidence, whether the prediction is right, and the number of the bin (np.ceil helps). Then, per bin, a mask of its rows gives all three numbers of the formula.",
)
def weighs_the_gaps(ask, rng):
    """is the gap between accuracy and confidence, weighted by the rows of each bin"""
    return _error(ask, *_classifier(rng), int(rng.choice([8, 9, 11, 12])))


@calibration_error.check(
    hint="A confidence on an edge belongs to the bin below it; 1 belongs to the last bin.",
    more="Number of the bin: np.ceil(confidence * bins), from 1 to bins.",
)
def puts_an_edge_into_the_bin_below(ask, rng):
    """puts a confidence on an edge into the bin below it"""
    # Quarters are exact. In each bin of two confidences one is too low and the other too high, so
    # that a row in another bin changes the sum.
    top = np.array([0.75] * 8 + [0.625] * 8 + [0.875] * 8 + [1.0] * 8)
    right = np.array([0, 1] * 4 + [1] * 16 + [1, 1, 1, 0] * 2)
    order = rng.permutation(32)
    return _error(ask, np.stack([top, 1 - top], axis=1)[order], (1 - right)[order], 4)


@calibration_error.check(
    hint="A bin without rows adds nothing. A mean over no rows is NaN.",
    more="Loop over the bins that hold rows, or skip a bin where inside.any() is False.",
)
def skips_empty_bins(ask, rng):
    """counts an empty bin as nothing, also when all rows share one bin"""
    low, high = rng.uniform(0.91, 0.94), rng.uniform(0.96, 0.99)
    top = np.array([low] * 5 + [high] * 5)
    y = np.array([0, 0, 0, 1, 1, 0, 0, 0, 0, 1])
    return _error(ask, np.stack([top, 1 - top], axis=1), y, 10)


@calibration_error.check(
    hint="With one bin the error is |accuracy - mean confidence|.",
    more="All rows lie in the one bin from 0 to 1.",
)
def is_simple_with_one_bin(ask, rng):
    """is the difference of accuracy and mean confidence with a single bin"""
    return ask(*_classifier(rng, n=40), 1)


# --- enable_dropout_only ---------------------------------------------------------------------

dropout_only = chapter.exercise(
    "enable_dropout_only",
    hints={
        "dropout is off": "Nothing is dropped when the model predicts. In PyTorch model.eval() switches dropout off: call it first, then switch the dropout modules back on with their train(), and return the model like that. In Keras training=False switches it off: only a subclass of Dropout that ignores it drops.",
        "one layer only": "Only one of the two dropout layers drops. Both must.",
        "batch statistics": "Batch normalization uses the statistics of the present batch: it is in training mode. Only dropout may be.",
        "no rescaling": "The units that are kept are not rescaled. Divide by 1 - rate, as dropout does.",
        "rate and keep swapped": "You drop the share 1 - rate. `rate` is the share that is dropped.",
        "one mask per batch": "All rows of a batch share one mask. Draw one entry per row and unit.",
        "fixed mask": "Your masks are the same in every call. A fixed mask gives one network only.",
        "statistics moved": "The running statistics move while the model predicts, so predicting changes later predictions. Batch normalization must never be in training mode here.",
    },
)

RATE, EPS, HIDDEN, CLASSES = 0.25, 0.0625, 3, 4
MODEL = {"inputs": 5, "hidden": HIDDEN, "classes": CLASSES, "rate": RATE, "eps": EPS}
# All masks of both dropout layers, the first one in the slow axis.
_HALF = np.array(list(np.ndindex((2,) * HIDDEN)), float)
_FIRST, _SECOND = np.repeat(_HALF, len(_HALF), axis=0), np.tile(_HALF, (len(_HALF), 1))


def _network_weights(rng):
    """Draw weights with which every hidden unit is active for every small input."""
    return [
        rng.normal(scale=0.3, size=(5, HIDDEN)),
        rng.normal(size=HIDDEN),
        rng.uniform(0.5, 1.5, size=HIDDEN),
        rng.uniform(3, 4, size=HIDDEN),
        rng.normal(size=HIDDEN),
        rng.uniform(0.5, 2, size=HIDDEN),
        rng.uniform(0.3, 1, size=(HIDDEN, HIDDEN)),
        rng.uniform(0.5, 1, size=HIDDEN),
        rng.normal(size=(HIDDEN, CLASSES)),
        rng.normal(size=CLASSES),
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


def _mistakes(out, weights, x):
    """Tell for each mistake whether it explains all of the outputs."""

    def fits(**options):
        return _fits(out, weights, x, **options).all()

    return {
        "dropout is off": fits(layers=(False, False)),
        "one layer only": fits(layers=(True, False)) or fits(layers=(False, True)),
        "batch statistics": fits(batch=True),
        "no rescaling": fits(scale=1.0),
        "rate and keep swapped": fits(scale=1 / RATE),
    }


def _built(ask, rng):
    """Return the learner's model with weights that are drawn here, and the weights."""
    model, weights = ask.model(MODEL), _network_weights(rng)
    shapes, expected = [w.shape for w in model.weights()], [w.shape for w in weights]
    if shapes != expected:
        hint = f"The weights must have the shapes {expected}, in this order; yours are {shapes}. Check the order of the layers, their sizes, their biases and the batch normalization."
        raise Failed("10 arrays", f"{len(shapes)} arrays", "form", hint=hint)
    model.set_weights(weights)
    return model, weights


def _predict(model, x):
    """Return what the model predicts as it was returned: `None` sets no mode."""
    try:
        (out,) = outputs(model.predict(x, None), (len(x), CLASSES))
    except (AnswerError, ValueError) as error:  # in a process of its own, and in this one
        if "per channel" not in str(error):
            raise
        raise Failed("a prediction for one row", "an error", "batch statistics") from error
    return out.astype(float)


@dropout_only.check(
    points=3,
    hint="With its masks taken into account, every output must come from the running statistics, and a kept unit must be divided by 1 - rate.",
    more="Everything but dropout stays in inference mode. In PyTorch call model.eval(), then train() of every nn.Dropout among its modules. In Keras subclass Dropout and call super().call(inputs, training=True).",
)
def uses_the_running_statistics(ask, rng):
    """normalizes with the running statistics, and masks and rescales behind both ReLUs"""
    model, weights = _built(ask, rng)
    x = rng.normal(scale=0.5, size=(40, 5))
    out = _predict(model, x)
    fits = _fits(out, weights, x)
    shown = "40 rows that fit a mask", f"{fits.sum()} rows that fit"
    return judge(fits.all(), *shown, None if fits.all() else _mistakes(out, weights, x))


@dropout_only.check(
    points=3,
    hint="Both dropout layers must drop the share `rate`, in inference mode too.",
    more="A PyTorch module that was switched to train() is switched off again by model.eval(): the filter comes last. Or let the layer itself drop always.",
)
def drops_in_both_layers(ask, rng):
    """drops the share `rate` of the units, in both dropout layers, although it predicts"""
    model, weights = _built(ask, rng)
    x = np.tile(rng.normal(scale=0.5, size=(1, 5)), (600, 1))
    out = _predict(model, x)
    gap = np.abs(_every_output(weights, x[:1])[0] - out[:, None]).max(axis=-1)
    best = gap.argmin(axis=1)
    shares = np.array([1 - _FIRST[best].mean(), 1 - _SECOND[best].mean()])
    width = 6 * np.sqrt(RATE * (1 - RATE) / (600 * HIDDEN))
    expected = f"dropped: {RATE:.2f} and {RATE:.2f}, within {width:.2f}"
    if gap.min(axis=1).max() > 1e-3:
        return judge(False, expected, "rows that fit no mask", _mistakes(out, weights, x))
    wrong = {
        "one mask per batch": (np.ptp(out, axis=0) < 1e-6).all(),
        "rate and keep swapped": (np.abs(shares - (1 - RATE)) < width).all(),
    }
    passed = (np.abs(shares - RATE) < width).all() and not wrong["one mask per batch"]
    return judge(passed, expected, f"dropped: {shares[0]:.2f} and {shares[1]:.2f}", wrong)


@dropout_only.check(
    hint="Predictions for the same rows must differ: every call draws new masks.",
    more="Keep no mask and set no seed inside the layer.",
)
def draws_new_masks(ask, rng):
    """draws new masks in every call"""
    model, weights = _built(ask, rng)
    x = rng.normal(scale=0.5, size=(30, 5))
    # Four, because two masks for a whole batch can well be equal.
    differ = np.ptp([_predict(model, x) for _ in range(4)], axis=0).max() >= 1e-6
    off = not differ and _fits(_predict(model, x), weights, x, layers=(False, False)).all()
    wrong = {"dropout is off": off, "fixed mask": True}
    received = "different ones" if differ else "equal ones"
    return judge(differ, "different predictions", received, wrong)


@dropout_only.check(
    points=2,
    hint="Predicting must change nothing in the model: the running statistics stay.",
    more="Batch normalization in training mode, or a pass in training mode before the prediction, moves them.",
)
def leaves_the_statistics_alone(ask, rng):
    """leaves all weights and running statistics as they are"""
    model, weights = _built(ask, rng)
    for rows in (30, 1):
        _predict(model, rng.normal(1, 0.5, size=(rows, 5)))
    pairs = zip(model.weights(), weights, strict=True)
    moved = max(np.abs(after - before).max() for after, before in pairs)
    wrong = {"statistics moved": moved > 1e-5}
    return judge(moved <= 1e-5, "no change", f"largest change {moved:.2g}", wrong)


# --- diagnose_uncertainty --------------------------------------------------------------------

OFF, NEW, MIXED, BOTH, OPEN = "dropout is off", "unfamiliar", "ambiguous", "both", "cannot tell"
TEXTS = (OFF, NEW, MIXED, BOTH, OPEN)


def _parts(p, entropy=_entropy):
    """Return the uncertainty of every row between the passes and within them."""
    within = entropy(p).mean(axis=0)
    return entropy(p.mean(axis=0)) - within, within


def _interval(old, new, *, errors=2, ddof=1):
    change = new - old
    half = errors * change.std(ddof=ddof) / np.sqrt(len(change))
    return np.array([change.mean() - half, change.mean() + half])


def _unpaired(old, new):
    half = 2 * np.sqrt((old.var(ddof=1) + new.var(ddof=1)) / len(old))
    return new.mean() - old.mean() + np.array([-half, half])


def _raised(between, within):
    return between[0] > 0, within[0] > 0


def _equally_many(known, new):
    passes = min(len(known), len(new))
    return known[:passes], new[:passes]


def _diagnose(
    known, new, *, passes=_equally_many, parts=_parts, interval=_interval, raised=_raised,
    off=lambda known, new: any((p == p[0]).all() for p in (known, new)),
    texts=(OPEN, MIXED, NEW, BOTH),
):  # fmt: skip
    pairs = zip(*map(parts, passes(known, new)), strict=True)
    between, within = (interval(*pair) for pair in pairs)
    new_kind, mixed = raised(between, within)
    return OFF if off(known, new) else texts[2 * new_kind + mixed], between, within


diagnose_uncertainty = chapter.exercise(
    "diagnose_uncertainty",
    _diagnose,
    mistakes={
        "the two swapped": [
            vary(_diagnose, texts=(OPEN, NEW, MIXED, BOTH)),
            vary(_diagnose, parts=lambda p: _parts(p)[::-1]),
        ],
        "old minus new": vary(_diagnose, interval=lambda old, new: _interval(new, old)),
        "not paired": vary(_diagnose, interval=_unpaired),
        "unequal passes": [
            vary(_diagnose, passes=lambda known, new: (known, new)),
            vary(_diagnose, passes=lambda known, new: (known[: len(new)], new)),
            vary(_diagnose, passes=lambda known, new: (known, new[: len(known)])),
        ],
        "no interval": vary(
            _diagnose, raised=lambda between, within: (between.mean() > 0, within.mean() > 0)
        ),
        "falls count": [
            vary(_diagnose, raised=lambda *parts: [low * high > 0 for low, high in parts]),
            vary(_diagnose, raised=lambda *parts: [high > 0 for _, high in parts]),
        ],
        "spread of the rows": vary(
            _diagnose,
            interval=lambda old, new: _interval(old, new, errors=2 * np.sqrt(len(old))),
        ),
        "half the width": vary(_diagnose, interval=lambda *rows: _interval(*rows, errors=1)),
        "biased spread": vary(_diagnose, interval=lambda *rows: _interval(*rows, ddof=0)),
        "total for a part": vary(_diagnose, parts=lambda p: (_parts(p)[0], sum(_parts(p)))),
        "zero times infinity": vary(_diagnose, parts=lambda p: _parts(p, _entropy_with_nan)),
        "bits": vary(_diagnose, parts=lambda p: np.divide(_parts(p), np.log(2))),
        "equal passes not noticed": [
            vary(_diagnose, off=lambda known, new: False),
            vary(_diagnose, off=lambda known, new: (new == new[0]).all()),
            vary(_diagnose, off=lambda known, new: (known == known[0]).all()),
        ],
        "false alarm": [
            vary(_diagnose, off=lambda *stacks: any((p[1] == p[0]).all() for p in stacks)),
            vary(
                _diagnose, off=lambda *stacks: any(np.ptp(p, axis=0).max() < 0.02 for p in stacks)
            ),
            vary(_diagnose, off=lambda *stacks: any((p[0] == p[-1]).all() for p in stacks)),
        ],
    },
    hints={
        "the two swapped": "You have the two parts the wrong way round. More disagreement between the passes (mutual information) means unfamiliar; more entropy within them means ambiguous.",
        "old minus new": "You subtract the wrong way: a rise is new minus known.",
        "not paired": "You compare two separate groups. Row i is the same object in both: take the difference row by row first, and the spread of the differences.",
        "unequal passes": "Your two stacks hold different numbers of passes. With fewer passes the part between them comes out smaller, so take equally many, the first ones, of both.",
        "no interval": "You go by the mean alone, or by one end of a wide interval. A rise counts only if the whole interval lies above 0.",
        "falls count": "You let an interval count that does not lie above 0. Only its lower end decides, and a part that fell is no reason for more uncertainty.",
        "spread of the rows": "Your interval is that of a single row. The standard error of a mean is the standard deviation divided by the root of the number of rows.",
        "half the width": "Your interval reaches one standard error to each side. Take two.",
        "biased spread": "Divide by n - 1 in the standard deviation (ddof=1): the mean comes from the same rows.",
        "total for a part": "You took the entropy of the average as a part. It is the sum of both: within the passes means the mean of their entropies.",
        "zero times infinity": "A probability of 0 makes NaN in your entropy. Take 0 log 0 as 0.",
        "bits": "Take nats: the natural logarithm.",
        "equal passes not noticed": "You do not notice a stack whose passes are all equal, be it the known or the new one. Dropout was off there, so its disagreement was never measured.",
        "false alarm": "You call passes equal that are not. Dropout is off only if every pass of a stack equals its first one in every entry.",
    },
)


def _said(ask, known, new):
    """Return the answer as (text, between, within), or end the check."""
    received = ask(known, new)
    if not isinstance(received, tuple) or len(received) != 3:
        raise Failed("3 values", brief(received), "form", hint="Return three values: the text, and two pairs of numbers.")  # fmt: skip
    if not isinstance(received[0], str) or received[0] not in TEXTS:
        hint = "The first value is one of the five texts, letter by letter."
        raise Failed(repr(_diagnose(known, new)[0]), brief(received[0]), "form", hint=hint)
    return received


def _stacks(rng, *, shares=0.0, levels=0.0, noise=0, passes=(20, 20)):
    """Return passes over 40 objects before and after a change; what did not change is shared.

    Each object has its share of the passes that name another class, and a level at which every
    pass spreads over the other classes. shares, levels: how much both rise. noise: by how many
    passes, and hundredths, they rise in one object of two equal ones, and fall in the other.
    """
    base = np.repeat(rng.uniform([[0.15], [0.15]], [[0.35], [0.5]], size=(2, 20)), 2, axis=1)
    up = noise * np.tile([1, -1], 20)
    most = max(passes)
    ranks = rng.permuted(np.tile(np.arange(most), (40, 1)), axis=1).T
    jitter = rng.uniform(0.9, 1.1, size=(most, 40))

    def stack(share, level, number):
        p = np.repeat((level * jitter / 3)[..., None], 4, axis=-1)
        named = (ranks + 0.5 < most * share)[..., None].astype(int)
        np.put_along_axis(p, named, 1 - (level * jitter)[..., None], axis=-1)
        return p[:number]

    return (
        stack(*base, passes[0]),
        stack(base[0] + shares + up / most, base[1] + levels + up / 100, passes[1]),
    )


@diagnose_uncertainty.check(
    points=2,
    hint="Take the difference of every row, new minus known, and then the mean plus and minus two standard errors.",
    more="Both parts are arrays of one number per row: the mean entropy of the passes, and the entropy of their mean minus that. The standard error is the standard deviation (ddof=1) of the differences, divided by the root of their number.",
)
def gives_the_intervals_of_both_parts(ask, rng):
    """gives the interval of each part, row by row and in nats, zeros included"""
    _, *both = _said(ask, *_stacks(rng, shares=0.15, levels=0.05, noise=1))
    known, new = _stacks(rng, shares=0.1, noise=1)
    known[:, :8] = np.eye(4)[0]
    return {"both parts": tuple(both), "sure rows": _said(ask, known, new)[1:]}


@diagnose_uncertainty.check(
    points=2,
    hint="A part has risen if the whole interval of its change lies above 0: look at the lower end of each.",
    more="Two questions with yes or no make four cases. A part that fell has not risen.",
)
def tells_what_has_risen(ask, rng):
    """tells what has risen, from intervals, and says when that cannot be told"""
    changes = {
        "more disagreement": {"shares": 0.1, "noise": 1},
        "more entropy in each pass": {"levels": 0.05, "noise": 1},
        "more of both": {"shares": 0.2, "levels": 0.015},
        "noise": {"shares": 0.01, "levels": 0.002, "noise": 1},
        "less of both": {"shares": -0.1, "levels": -0.03, "noise": 1},
        "less disagreement, more entropy": {"shares": -0.06, "levels": 0.06},
    }
    return {name: _said(ask, *_stacks(rng, **change))[0] for name, change in changes.items()}


@diagnose_uncertainty.check(
    hint="Compare equally many passes: the first ones of the larger stack, as many as the smaller one has.",
    more="min(len(known), len(new)) passes of both. Either stack can be the larger one.",
)
def compares_equally_many_passes(ask, rng):
    """compares equally many passes, the first ones, whichever stack has more of them"""
    return {
        "fewer new passes": _said(ask, *_stacks(rng, shares=0.1, passes=(40, 5))),
        "fewer known passes": _said(ask, *_stacks(rng, passes=(5, 40))),
    }


@diagnose_uncertainty.check(
    hint="If all passes of one stack are equal, dropout was off there, and nothing can be said.",
    more="Compare every pass with the first one, entry by entry, in the known stack and in the new one.",
)
def notices_that_dropout_is_off(ask, rng):
    """notices a stack without any difference between its passes, and no other"""
    known, new = _stacks(rng, shares=0.1)
    little = np.repeat(new[:1], len(new), axis=0)
    little[3, 0] += [0, 2**-9, -(2**-9), 0]
    some = new.copy()
    some[[1, -1]] = some[0]
    cases = {
        "off for the new objects": (known, np.repeat(new[:1], len(new), axis=0)),
        "off for the known objects": (np.repeat(known[:1], len(known), axis=0), new),
        "one pass that differs by 0.002": (known, little),
        "a few equal passes": (known, some),
        "a few equal known passes": (some, known),
    }
    return {name: _said(ask, *stacks)[0] for name, stacks in cases.items()}


# --- choose_rejection ------------------------------------------------------------------------

choose = chapter.exercise(
    "choose_rejection",
    hints={
        "no decision": "You predict nothing: call `predict` and choose the threshold by what happens on the dev rows.",
        "over budget": "Your calls of `predict` take more passes than `budget` in all. A call with dropout off counts as one pass.",
        "trusts the confidence": "Your threshold is the target itself. That would do if a confidence of 0.9 were right in 90 % of the cases. Measure how often the accepted dev rows are right.",
        "chosen on test rows": "You choose by the test rows. They are there to report how good the choice is: choose by dev alone.",
        "one stochastic pass": "You decide by a single pass with dropout on. It is one draw of many: average more passes, or switch dropout off.",
        "one way only": "You try dropout off only, or on only. Which of the two accepts more rows at the target differs from network to network: try both on dev.",
        "accepts everything": "You accept rows for which the network is too often wrong: the accepted dev rows miss the target.",
        "accepts too little": "You reject many rows that could be accepted: a lower threshold, or more passes, keeps the target on dev as well.",
        "rows of one confidence": "You ask how often rows *near* the threshold are right. All rows above it are accepted, so their accuracy is what counts.",
        "wrong way round": "You accept the rows with the lowest confidence. Accept those whose confidence is at least the threshold.",
    },
)

UNITS, RIGHT_BY, ENOUGH = 0.5, 0.04, 0.75  # dropout rate; tolerance of accuracy, share of the best


class _Service:
    """Predictions that cost passes, counted here, where an answer cannot reach the count."""

    def __init__(self, rows, budget):
        """rows: takes a number of passes, returns the probabilities of dev and of test rows."""
        self.budget, self.spent, self.over, self.tried = budget, 0, 0, set()

        def predict(passes, /):  # not a method: an answer gets copies of its arguments
            passes = _number(passes)
            if self.spent + max(passes, 1) > budget:
                self.over = self.over or self.spent + max(passes, 1)
                raise ValueError(f"{passes} passes are more than are left of the budget")
            self.spent += max(passes, 1)
            self.tried.add(passes)
            return rows(passes)

        self.predict = predict

    def decide(self, ask, labels, target):
        """Return the number of passes and the threshold that an answer chooses."""
        try:
            received = ask(self.predict, labels, target, self.budget)
        except AnswerError:
            if not self.over:
                raise
        if self.over:
            asked = min(self.over, 10 * self.budget)
            raise Failed(f"at most {self.budget} passes", f"at least {asked}", "over budget")
        if not self.tried:
            raise Failed("a choice by the dev rows", "nothing predicted", "no decision")
        passes, threshold = outputs(received, (), ())
        return _number(passes), float(threshold)


def _number(passes):
    """Return a number of passes; raise ValueError, with a sentence, for anything else."""
    value = plain(passes)
    if isinstance(value, np.ndarray) and value.ndim == 0 and 0 <= value == np.floor(value) < 1e9:
        return int(value)
    raise ValueError("the passes are a whole number: 0 for dropout off, or how many to average")


def _accepted(p, y, threshold):
    """Return the share of the rows that are accepted, and how often these are right."""
    sure = p.max(axis=1) >= threshold - 1e-9
    return sure.mean(), (p.argmax(axis=1) == y)[sure].mean() if sure.any() else 1.0


def _best_share(p, y, target):
    """Return the largest share that a threshold can accept at the target."""
    order = np.argsort(-p.max(axis=1))
    right = np.cumsum((p.argmax(axis=1) == y)[order]) / np.arange(1, len(y) + 1)
    reached = np.flatnonzero(right >= target)
    return (reached[-1] + 1) / len(y) if len(reached) else 0.0


class _Network:
    """A network that was trained with dropout, on wrong labels: too sure of itself, or too modest."""

    def __init__(self, rng, too_sure):
        rows, steps, wrong = (160, 1200, 0.2) if too_sure else (500, 300, 0.4)
        centres = np.linalg.qr(rng.normal(size=(8, 8)))[0][:4] * 2.3

        def draw(number):
            y = rng.permutation(np.arange(number) % 4)
            return centres[y] + rng.normal(size=(number, 8)), y

        x, y = draw(rows)
        y = np.where(rng.random(rows) < wrong, rng.permutation(y), y)
        rates = 0.0, (0.3 if too_sure else UNITS)
        self.weights = training.train_network(x, y, steps, rng, rates=rates)
        self.rows = {"dev": draw(2000), "test": draw(500), "hidden": draw(4000)}
        self.rng = rng

    def average(self, name, passes):
        """Return the average probabilities of some passes, or of the one with dropout off."""
        w1, b1, w2, b2 = self.weights
        a, p = np.maximum(self.rows[name][0] @ w1 + b1, 0), 0.0
        for _ in range(max(passes, 1)):
            kept = (self.rng.random(a.shape) >= UNITS) / (1 - UNITS) if passes else 1.0
            p = p + softmax((a * kept) @ w2 + b2)
        return p / max(passes, 1)

    def labels(self):
        return {name: self.rows[name][1] for name in ("dev", "test")}


@choose.check(
    points=3,
    hint="On hidden rows your choice misses the target, or rejects far more rows than it must. Sort the dev rows by confidence, and take the lowest threshold above which enough of them are right.",
    more="For every threshold that a dev row offers: how many rows are accepted, and how often are these right? Of the thresholds that reach the target keep the one that accepts most. Do this with dropout off and with an average of many passes.",
)
def does_well_on_hidden_rows(ask, rng):
    """reaches the target on hidden rows and accepts nearly as many as can be, for a network that is too sure and for one that is too modest"""
    shown = []
    for too_sure in (True, False):
        network = _Network(rng, too_sure)
        y, options = network.rows["hidden"][1], [network.average("hidden", n) for n in (0, 20)]
        sure = np.sort(options[1].max(axis=1))[int(0.4 * len(y))]
        target = round(_accepted(options[1], y, sure)[1], 2)
        service = _Service(
            lambda n, network=network: {name: network.average(name, n) for name in ("dev", "test")},
            60,
        )
        passes, threshold = service.decide(ask, network.labels(), target)
        share, right = _accepted(network.average("hidden", min(passes, 60)), y, threshold)
        needed = ENOUGH * max(_best_share(p, y, target) for p in options)
        kind = "too sure" if too_sure else "too modest"
        shown.append(
            (
                f"{kind}: {needed:.2f} accepted, {target - RIGHT_BY:.2f} right",
                f"{share:.2f} and {right:.2f}, at ({passes}, {threshold:.3f})",
            )
        )
        if share < needed or right < target - RIGHT_BY:
            mistakes = {
                "trusts the confidence": abs(threshold - target) < 1e-3,
                "one stochastic pass": passes == 1,
                "accepts too little": share < needed,
                "accepts everything": True,
            }
            return judge(False, *shown[-1], mistakes)
    return judge(True, *map("; ".join, zip(*shown, strict=True)))


def _made_up(rng, share, top):
    """Return probabilities and labels: the surest `share` of the rows are nearly always right.

    top: the confidence of the surest row; those of the others go down evenly to 0.4.
    """
    rows = 1000
    confidence = np.linspace(top, 0.4, rows)
    right = rng.random(rows) < np.where(np.arange(rows) < share * rows, 0.97, 0.45)
    order, y = rng.permutation(rows), rng.integers(0, 3, rows)
    confidence, right = confidence[order], right[order]
    p = np.repeat((1 - confidence)[:, None] / 2, 3, axis=1)
    p[np.arange(rows), np.where(right, y, (y + 1) % 3)] = confidence
    return p, y


@choose.check(
    points=3,
    hint="On the dev rows your choice misses the target, or another one accepts far more of them.",
    more='predict returns a dict: use its entry "dev" and labels["dev"] alone. Compare dropout off with dropout on, at the best threshold of each.',
)
def chooses_by_the_dev_rows(ask, rng):
    """chooses passes and threshold by the dev rows, when the test rows say otherwise"""
    followed, tried, shown, few = {"dev": [], "test": []}, set(), ("", ""), False
    for dropout in rng.permutation(2):  # whether dev asks for dropout on
        target = round(rng.uniform(0.88, 0.92), 3)
        # For each set of rows, the probabilities with dropout off, on, and on for few passes.
        tables, labels = {}, {}
        for name, good in (("dev", dropout), ("test", 1 - dropout)):
            shares = [0.6 if on == good else 0.25 for on in (0, 1)]
            made = [_made_up(rng, n, 0.99 if name == "dev" else 0.8) for n in (*shares, 0.2)]
            labels[name] = made[0][1]
            tables[name] = [_with_labels(p, y, labels[name]) for p, y in made]

        def rows(passes, tables=tables):
            return {name: ways[_way(passes)].copy() for name, ways in tables.items()}

        service = _Service(rows, 50)
        passes, threshold = service.decide(ask, labels, target)
        tried |= {min(n, 1) for n in service.tried}
        for name, y in labels.items():
            share, right = _accepted(tables[name][_way(passes)], y, threshold)
            needed = 0.7 * max(_best_share(p, y, target) for p in tables[name])
            followed[name].append(share >= needed and right >= target - 0.01)
            if name == "dev" and all(followed["dev"][:-1]):
                wanted = f"{needed:.2f} accepted, {target - 0.01:.2f} right"
                shown, few = (wanted, f"{share:.2f} and {right:.2f}"), share < needed
    mistakes = {
        "chosen on test rows": all(followed["test"]),
        "one way only": len(tried) == 1,
        "accepts too little": few,
        "accepts everything": True,
    }
    return judge(all(followed["dev"]), *shown, mistakes)


def _way(passes):
    """Return which of three tables a number of passes reads: off, on, or on for few passes."""
    return 2 if 0 < passes < 5 else min(passes, 1)


def _with_labels(p, y, wanted):
    """Turn the classes of each row so that its label is the wanted one."""
    shift = (np.arange(3) - (wanted - y)[:, None]) % 3
    return np.take_along_axis(p, shift, axis=1)


@choose.check(
    hint="The passes of all your calls of `predict` together must be at most `budget`; dropout off counts as one.",
    more="One call with dropout off, and one with budget - 1 passes, take the whole budget. Fewer will do.",
)
def keeps_to_the_budget(ask, rng):
    """keeps to the budget of passes, with other budgets, targets and numbers of rows"""
    for budget in (int(rng.integers(11, 20)), int(rng.integers(21, 90))):
        p, y = _made_up(rng, 0.5, 0.95)
        rows = int(rng.integers(600, 900))
        service = _Service(lambda n, p=p[:rows]: {"dev": p.copy(), "test": p.copy()}, budget)
        service.decide(ask, {"dev": y[:rows], "test": y[:rows]}, 0.9)
    return judge(True, f"at most {service.budget} passes", f"{service.spent} passes")
