"""Checks of chapter 12, Monte-Carlo dropout and uncertainty: none depends on a random stream."""

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import AnswerError, Chapter, Failed, brief, judge, outputs, vary

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
    points=3,
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
    points=3,
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

OFF, SURE, NEW, MIXED = "dropout is off", "sure", "unfamiliar", "ambiguous"


def _diagnose(
    p,
    limit,
    *,
    off=lambda p: (p == p[0]).all(),
    entropy=_entropy,
    sure=lambda total, information, limit: total <= limit,
    wide=lambda total, information, limit: information > total / 2,
):
    total = entropy(p.mean(axis=0))
    information = total - entropy(p).mean()
    if off(p):
        return OFF
    if sure(total, information, limit):
        return SURE
    return NEW if wide(total, information, limit) else MIXED


def _sure_passes(total, information, limit):
    return total - information <= limit


def _sure_first(p, limit):
    return SURE if _of_mean(p) <= limit else _diagnose(p, limit)


diagnose_uncertainty = chapter.exercise(
    "diagnose_uncertainty",
    _diagnose,
    mistakes={
        "the two swapped": vary(
            _diagnose, wide=lambda total, information, limit: information <= total / 2
        ),
        "mean of the entropies": [
            vary(_diagnose, sure=_sure_passes),
            vary(_diagnose, sure=_sure_passes, wide=lambda *_: False),
        ],
        "information against the limit": vary(
            _diagnose, sure=lambda total, information, limit: information <= limit
        ),
        "share of the information": [
            vary(_diagnose, wide=lambda total, information, limit: information > total / 4),
            vary(_diagnose, wide=lambda total, information, limit: information > limit),
            vary(_diagnose, wide=lambda total, information, limit: information > 0.45 * total),
            vary(_diagnose, wide=lambda total, information, limit: information > 0.55 * total),
            vary(_diagnose, wide=lambda total, information, limit: information > 0.5),
            vary(_diagnose, wide=lambda total, information, limit: information >= total / 2),
        ],
        "border of sure": [
            vary(_diagnose, sure=lambda total, information, limit: total < limit),
            vary(_diagnose, sure=lambda total, information, limit: total.round(2) <= limit),
        ],
        "equal passes not noticed": [vary(_diagnose, off=lambda p: False), _sure_first],
        "small differences lost": [
            vary(_diagnose, off=lambda p: np.allclose(p, p[0], atol=0.01)),
            vary(_diagnose, off=lambda p: (p.round(2) == p[0].round(2)).all()),
        ],
        "false alarm": [
            vary(_diagnose, off=lambda p: True),
            vary(_diagnose, off=lambda p: (p[0] == p[1]).all()),
            vary(_diagnose, off=lambda p: (p[0] == p[-1]).all()),
            vary(_diagnose, off=lambda p: np.ptp(_entropy(p)) < 1e-9),
            vary(_diagnose, off=lambda p: np.ptp(p.argmax(axis=1)) == 0),
        ],
        "limit upside down": vary(_diagnose, sure=lambda total, information, limit: total >= limit),
        "zero times infinity": vary(_diagnose, entropy=_entropy_with_nan),
        "unit of the entropy": [
            vary(_diagnose, entropy=lambda p: _entropy(p) / np.log(2)),
            vary(_diagnose, entropy=lambda p: _entropy(p) / p.shape[-1]),
        ],
    },
    hints={
        "the two swapped": "You have the two the wrong way round. Contradicting passes (high mutual information) mean unfamiliar; passes that agree that classes overlap mean ambiguous.",
        "mean of the entropies": "You compare the mean of the entropies with the limit. Passes that are sure one by one can contradict each other: compare the entropy of the average.",
        "information against the limit": "You compare the mutual information with the limit. It is small where the passes agree that several classes are possible: the limit belongs to the entropy.",
        "share of the information": "The border is wrong: unfamiliar means that mutual information is more than half of the predictive entropy, and exactly half is not more than half.",
        "border of sure": "A predictive entropy of exactly `limit` is low, and one a little above it is not: compare with <=, and round nothing.",
        "small differences lost": "You call passes equal that differ by less than one per cent. A low rate does that: only passes that are exactly equal say that dropout is off.",
        "equal passes not noticed": "You do not notice equal passes: dropout is off, or one pass was repeated. Their disagreement was never measured: test this first.",
        "false alarm": "You call passes equal that are not: it is not enough that all name the same class, or that some entries agree. Dropout is off only if every probability of every pass is the same.",
        "limit upside down": "You are sure above the limit and unsure below it. A low entropy means sure.",
        "zero times infinity": "A probability of 0 makes NaN in your entropy, and no comparison with NaN is true. Take 0 log 0 as 0.",
        "unit of the entropy": "Your entropy is not in nats. Take the natural logarithm and the sum over the classes.",
    },
)


def _said(ask, p, limit):
    """Ask for the diagnosis; anything but one of the four texts ends the check."""
    received = ask(p, limit)
    if not isinstance(received, str) or received not in (OFF, SURE, NEW, MIXED):
        hint = "Return one of the four texts, letter by letter."
        raise Failed(repr(_diagnose(p, limit)), brief(received), "form", hint=hint)
    return received


def _contradicting(rng, passes=9, classes=3, sharpness=0.9):
    """Every pass is fairly sure, and they name different classes."""
    named = np.arange(passes) % classes
    p = np.full((passes, classes), (1 - sharpness) / (classes - 1))
    p[np.arange(passes), named] = sharpness
    return softmax(np.log(p) + 0.05 * rng.normal(size=p.shape))


def _agreeing(rng, passes=9, classes=3):
    """All passes give about the same share to every class."""
    return softmax(0.3 * rng.normal(size=(1, classes)) + 0.05 * rng.normal(size=(passes, classes)))


@diagnose_uncertainty.check(
    points=2,
    hint="Mutual information is the predictive entropy minus the mean entropy of the passes.",
    more="Two entropies: that of the mean of the passes, and the mean of those of the passes. Their difference is what the passes contradict each other.",
)
def tells_contradiction_from_agreement(ask, rng):
    """tells passes that contradict each other from passes that agree to be unsure"""
    return {
        "sure passes that contradict each other": _said(ask, _contradicting(rng), 0.6),
        "unsure passes that agree": _said(ask, _agreeing(rng), 0.6),
    }


@diagnose_uncertainty.check(
    hint="More than *half of the entropy* must be mutual information: it is a share, not an amount.",
    more="Compare information with total / 2, and with no fixed number.",
)
def compares_with_half_of_the_entropy(ask, rng):
    """compares the mutual information with half of the entropy, for many mixtures"""
    classes = int(rng.integers(3, 6))
    said = {}
    for sharpness in np.linspace(0.5, 0.95, 10):
        p = _contradicting(rng, 3 * classes, classes, sharpness)
        total = _of_mean(p)
        share = 1 - _entropy(p).mean() / total
        if abs(share - 0.5) >= 0.02:
            said[f"information {share:.3f} of the entropy"] = _said(ask, p, 0.2)
    # Sure passes add only to the information and unsure ones nothing, so these shares are exact.
    for sure in (98, 102):
        p = np.full((200, 2), 0.5)
        p[:sure] = np.tile(np.eye(2), (sure // 2, 1))
        said[f"information {sure / 200} of the entropy"] = _said(ask, p, 0.2)
    # Every pass is torn between four of sixteen classes: log 4 of log 16. A small number that is
    # added in the logarithm against log 0 takes more from the entropy than from the passes.
    said["information 0.5 of the entropy"] = _said(ask, np.repeat(np.eye(4), 4, axis=1) / 4, 0.2)
    return said


@diagnose_uncertainty.check(
    points=2,
    hint="Equal passes come first: they have no mutual information, whatever the input is.",
    more="Compare every pass with the first one, entry by entry, before you compute any entropy.",
)
def notices_that_dropout_is_off(ask, rng):
    """notices equal passes before anything else, be they sure or not"""
    unsure, sure = (np.tile(q, (5, 1)) for q in ([0.5, 0.25, 0.25], [1.0, 0.0, 0.0]))
    differing = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.5, 0.3125, 0.1875]])
    little = np.tile([0.5, 0.25, 0.25], (5, 1))
    little[2] += [0, 2**-9, -(2**-9)]
    turned = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]])
    return {
        "equal passes, unsure": _said(ask, unsure, 0.3),
        "equal passes, sure": _said(ask, sure, 0.3),
        "passes that differ a little": _said(ask, differing, 0.3),
        "one pass that differs by 0.002": _said(ask, little, 0.3),
        "equal numbers for other classes": _said(ask, turned, 0.3),
    }


@diagnose_uncertainty.check(
    hint="The entropy of the average, in nats, is compared with `limit`.",
    more="For passes (1, 0) and (0, 1) the entropy of the average is log 2 = 0.693: sure for a limit of 0.7, and not for a limit of 0.69.",
)
def knows_when_to_be_sure(ask, rng):
    """is sure below the limit and not above it, in nats, zeros included"""
    p = _agreeing(rng)
    zeros = np.array([[1.0, 0, 0], [0.96875, 0.03125, 0], [1.0, 0, 0]])
    half = np.array([[0.75, 0.25], [0.25, 0.75]])  # of entropy log 2, without any rounding
    return {
        "entropy just below the limit": _said(ask, p, _of_mean(p) + 0.01),
        "entropy just above the limit": _said(ask, p, _of_mean(p) - 0.01),
        "entropy equal to the limit": _said(ask, half, float(np.log(2))),
        "entropy 0.001 above the limit": _said(ask, half, float(np.log(2)) - 0.001),
        "probabilities of 0": _said(ask, zeros, 0.2),
    }
