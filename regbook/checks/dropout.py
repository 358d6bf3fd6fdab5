"""Checks of chapter 10, dropout: no check depends on one stream of random numbers.

Shares are compared with bounds of six standard errors or more, so a right answer fails less than
once in a million runs, whatever it draws with.
"""

import numpy as np

from regbook.check import Chapter, Outcome, Wrong, brief, compare, fresh_generator, outputs

chapter = Chapter("10_dropout")


# --- dropout_forward -------------------------------------------------------------------------


def _forward(answer, x, rate, rng, *training):
    """Call the answer with a fresh generator; return (out, mask) as floats."""
    out, mask = outputs(answer(x, rate, fresh_generator(rng), *training), x.shape, x.shape)
    return out.astype(float), mask.astype(float)


@chapter.check(
    "dropout_forward",
    points=2,
    hint="About the share `rate` of the mask's entries must be 0, and all others 1.",
    more="mask = rng.random(x.shape) >= rate",
)
def drops_the_share_rate(answer, rng):
    """returns a mask of 0 and 1 with about the share `rate` of zeros"""
    rate = rng.uniform(0.15, 0.3)
    out, mask = _forward(answer, rng.normal(size=(50, 60)), rate, rng)
    zeros, width = (mask == 0).mean(), 6 * np.sqrt(rate * (1 - rate) / mask.size)
    expected = f"zeros: {rate:.3f} within {width:.3f}, else 1"
    received = f"zeros: {zeros:.3f}, largest entry {mask.max():.4g}"
    ones = np.unique(mask[mask != 0])
    if abs(zeros - (1 - rate)) < width and ((out == 0) == (mask == 1)).all():
        return Outcome(
            False,
            expected,
            received,
            "mask upside down",
            "Your mask marks what is dropped. Return the opposite: 1 where an entry is kept.",
        )
    if abs(zeros - (1 - rate)) < width:
        return Outcome(
            False,
            expected,
            received,
            "rate and keep swapped",
            "You keep the share `rate` and drop the rest. `rate` is the chance that an entry is "
            "dropped, as in Keras and PyTorch; 1 - rate is the chance that it is kept.",
        )
    if len(ones) == 1 and abs(ones[0] - 1) > 1e-6:
        return Outcome(
            False,
            expected,
            received,
            "scaled mask",
            "Your mask holds the scale as well. Here it says only who is kept: 0 or 1. Divide "
            "by 1 - rate in `out`.",
        )
    if len(ones) == 1 and abs(zeros - rate) < width:
        return Outcome(True, expected, received)
    return Outcome(False, expected, received)


@chapter.check(
    "dropout_forward",
    points=2,
    hint="In training `out` is x times the mask that you return, divided by 1 - rate.",
    more="out = x * mask / (1 - rate)",
)
def rescales_what_is_kept(answer, rng):
    """multiplies by the mask and divides by the chance to be kept"""
    x, rate = rng.normal(size=(8, 9)), rng.uniform(0.2, 0.4)
    out, mask = _forward(answer, x, rate, rng)
    kept = x * (mask != 0)
    wrong = [
        Wrong(
            "no rescaling",
            kept,
            "You drop but do not rescale, so the mean shrinks by 1 - rate. Inverted dropout "
            "divides what is kept by 1 - rate.",
        ),
        Wrong(
            "multiplied",
            kept * (1 - rate),
            "You multiplied by 1 - rate. That is what the first papers did in evaluation; "
            "inverted dropout divides, in training.",
        ),
        Wrong(
            "divided by the rate",
            kept / rate,
            "You divided by rate. Divide by the chance to be kept, 1 - rate.",
        ),
        Wrong(
            "scaled twice",
            kept / (1 - rate) ** 2,
            "Scale only once: by 1 - rate, and not its square.",
        ),
        Wrong(
            "rescaled, not dropped",
            x / (1 - rate),
            "You rescale everything and drop nothing: multiply by the mask.",
        ),
    ]
    return compare(out, kept / (1 - rate), wrong)


@chapter.check(
    "dropout_forward",
    points=2,
    hint="Every entry of x needs a draw of its own: the mask must not repeat along any axis.",
    more="rng.random(x.shape) draws one number per entry, for any number of axes.",
)
def draws_every_entry_by_itself(answer, rng):
    """draws every entry of the mask by itself"""
    for shape, axes in (
        ((30, 25), ["rows", "columns"]),
        ((6, 20, 7), ["axis 0", "axis 1", "axis 2"]),
    ):
        _, mask = _forward(answer, np.ones(shape), 0.5, rng)
        for axis, name in enumerate(axes):
            if (np.ptp(mask, axis=axis) == 0).all():
                hint = (
                    "All examples share one mask, so a unit is dropped for the whole batch. Draw "
                    "one entry per example and unit."
                    if axis == 0
                    else "A whole example is dropped or kept. Draw one entry per example and unit."
                )
                key = "one mask per batch" if axis == 0 else "one draw per example"
                return Outcome(False, "no repetition", f"the same mask in all {name}", key, hint)
    counts = np.array(
        [_forward(answer, np.ones((5, 20)), 0.3, rng)[1].sum(axis=1) for _ in range(12)]
    )
    expected, received = "binomial counts", f"kept per row: {brief(counts[0])}"
    if np.ptp(counts) == 0 or np.ptp(counts.sum(axis=1)) == 0:
        return Outcome(
            False,
            expected,
            received,
            "fixed count",
            "You drop the same number of entries every time. Each entry is decided by itself, so "
            "the number is binomial.",
        )
    return Outcome(True, expected, received)


@chapter.check(
    "dropout_forward",
    hint="The mask must come from `rng`: another generator, another mask; the same one in the "
    "same state, the same mask.",
    more="Use only the methods of `rng`, such as rng.random, and create no generator of your own.",
)
def follows_the_generator(answer, rng):
    """draws from rng: another generator gives another mask, an equal one the same"""
    x, seed = np.ones((12, 20)), rng.integers(2**32)
    draws = [answer(x, 0.5, np.random.default_rng(seed + i)) for i in (0, 0, 1, 2)]
    first, again, *others = (outputs(d, x.shape, x.shape)[1].astype(float) for d in draws)
    if all((first == other).all() for other in others):
        return Outcome(
            False,
            "different masks",
            "the same mask every time",
            "fixed mask",
            "Your mask is the same in every call. A fixed mask is a smaller network, not dropout: "
            "draw it anew from `rng`.",
        )
    if (first != again).any():
        return Outcome(
            False,
            "the same mask for equal generators",
            "different masks",
            "own generator",
            "Equal generators must give equal masks. You draw from a source other than `rng`.",
        )
    return Outcome(True, "masks that follow rng", "masks that follow rng")


@chapter.check(
    "dropout_forward",
    points=2,
    hint="With training=False nothing is dropped and nothing is scaled.",
    more="if not training: return x, np.ones(x.shape)",
)
def is_the_identity_in_evaluation(answer, rng):
    """returns x and a mask of ones when training is False"""
    x, rate = rng.normal(2, 1, size=(8, 9)), rng.uniform(0.3, 0.6)
    out, mask = _forward(answer, x, rate, rng, False)
    if (out == 0).any():
        return Outcome(
            False,
            brief(x),
            brief(out),
            "active in evaluation",
            "You drop in evaluation too. With training=False the function returns x as it is.",
        )
    ones = np.ones(x.shape)
    wrong = [
        Wrong(
            "scaled in evaluation",
            (x * (1 - rate), ones),
            "You scale in evaluation. Inverted dropout has done that in training already.",
        ),
        Wrong(
            "scaled in evaluation",
            (x / (1 - rate), ones),
            "You scale in evaluation. Nothing is dropped there, so nothing needs a scale.",
        ),
        Wrong("empty mask", (x, 0 * ones), "In evaluation everything is kept: the mask is all 1."),
    ]
    return compare((out, mask), (x, ones), wrong)


@chapter.check(
    "dropout_forward",
    hint="At rate 0 every entry is kept.",
    more="rng.random() is below 1 and can be 0, so compare with >= rate.",
)
def keeps_everything_at_rate_zero(answer, rng):
    """changes nothing at rate 0"""
    x = rng.normal(size=(6, 7))
    return compare(_forward(answer, x, 0.0, rng), (x, np.ones(x.shape)))


# --- dropout_backward ------------------------------------------------------------------------


@chapter.check(
    "dropout_backward",
    points=2,
    hint="out = x * mask / (1 - rate) is linear in x: the gradient meets the same factor.",
    more="dx = dy * mask / (1 - rate)",
)
def meets_the_same_factor(answer, rng):
    """sends the gradient through the same mask and the same scale"""
    dy, rate = rng.normal(size=(5, 6)), rng.uniform(0.2, 0.4)
    mask = (rng.random((5, 6)) >= 0.4).astype(float)
    mask[0, :2] = 0, 1  # at least one of each
    passed = dy * mask
    wrong = [
        Wrong(
            "no rescaling",
            passed,
            "The scale is missing. The forward pass divided by 1 - rate, so the gradient does too.",
        ),
        Wrong(
            "no mask",
            dy,
            "You pass the gradient on as it is. What was dropped had no influence on the loss, so "
            "its gradient is 0: multiply by the mask.",
        ),
        Wrong(
            "scale without mask",
            dy / (1 - rate),
            "The mask is missing: what was dropped gets no gradient.",
        ),
        Wrong(
            "multiplied",
            passed * (1 - rate),
            "You multiplied by 1 - rate. The derivative of mask / (1 - rate) * x is that same "
            "factor, not its inverse.",
        ),
        Wrong(
            "divided by the rate",
            passed / rate,
            "You divided by rate. Divide by the chance to be kept, 1 - rate.",
        ),
        Wrong(
            "upside down",
            dy * (1 - mask) / (1 - rate),
            "You let the gradient through where the unit was dropped. 1 in the mask means kept.",
        ),
        Wrong("scaled twice", passed / (1 - rate) ** 2, "Scale only once."),
    ]
    return compare(answer(dy, mask, rate), passed / (1 - rate), wrong)


@chapter.check(
    "dropout_backward",
    hint="The backward pass draws nothing: it uses the mask that the forward pass drew.",
    more="The shapes of dy and mask are equal, whatever their number of axes.",
)
def is_the_derivative(answer, rng):
    """equals the numeric derivative of the forward pass, for any shape and a mask of True and False"""
    shape, rate, step = (3, 2, 4), rng.uniform(0.5, 0.8), 1e-3
    x, dy, mask = rng.normal(size=shape), rng.normal(size=shape), rng.random(shape) >= 0.3

    def loss(x):
        return (dy * x * mask / (1 - rate)).sum()

    numeric = np.zeros(shape)
    for index in np.ndindex(shape):
        there, back = x.copy(), x.copy()
        there[index] += step
        back[index] -= step
        numeric[index] = (loss(there) - loss(back)) / (2 * step)
    return compare(answer(dy, mask, rate), numeric)


# --- expected_scale --------------------------------------------------------------------------


@chapter.check(
    "expected_scale",
    points=2,
    hint="What is kept must make up for what is dropped: chance to be kept times scale is 1.",
    more="Return 1 / (1 - rate).",
)
def makes_up_for_what_is_dropped(answer, rng):
    """is the factor that keeps the expectation"""
    rate = rng.uniform(0.65, 0.75)
    wrong = [
        Wrong(
            "factor of evaluation",
            1 - rate,
            "1 - rate is the chance to be kept: the first papers multiplied by it in evaluation. "
            "Inverted dropout divides by it in training.",
        ),
        Wrong(
            "rate and keep swapped",
            1 / rate,
            "You divided by rate, the chance to be dropped. Divide by the chance to be kept.",
        ),
        Wrong("the rate itself", rate, "That is the chance to be dropped, not a scale."),
        Wrong(
            "keeps the variance",
            1 / np.sqrt(1 - rate),
            "The root keeps the mean of the squares. Dropout keeps the mean.",
        ),
        Wrong(
            "first order",
            1 + rate,
            "1 + rate is near the scale only for a small rate.",
        ),
        Wrong("squared", 1 / (1 - rate) ** 2, "Divide by the chance to be kept once, not twice."),
        Wrong(
            "added noise",
            rate / (1 - rate),
            "rate / (1 - rate) is the variance that dropout adds, relative to the square.",
        ),
    ]
    return compare(answer(rate), 1 / (1 - rate), wrong)


@chapter.check(
    "expected_scale",
    hint="(1 - rate) * scale must be 1 for every rate, 0 included.",
    more="At rate 0 nothing is dropped and the scale is 1; at 0.5 it is 2; at 0.75 it is 4.",
)
def keeps_the_mean(answer, rng):
    """keeps the mean for an array of rates, 0 included"""
    rates = np.array([0.0, 0.5, 0.75, *rng.uniform(size=3)])
    (scale,) = outputs(answer(rates), rates.shape)
    return compare((1 - rates) * scale, np.ones(rates.shape))


# --- spot_the_mode_bug -----------------------------------------------------------------------


def _case(rng, rows=60):
    """Draw weights and data: labels that the full network knows, so that dropping costs."""
    w1, b1 = rng.normal(size=(4, 8)), rng.uniform(0.5, 1.5, size=8)
    w2, b2 = 2 * rng.normal(size=(8, 3)), 0.3 * rng.normal(size=3)
    x = rng.normal(size=(rows + 20, 4))
    y = (np.maximum(x @ w1 + b1, 0) @ w2 + b2).argmax(axis=1)
    y[: len(y) // 10] = rng.integers(0, 3, size=len(y) // 10)
    return [w1, b1, w2, b2], x[:rows], y[:rows], x[rows:], y[rows:]


def _loss(weights, x, y, mask=1.0):
    """Return the mean cross-entropy and its gradients, from the formulas."""
    w1, b1, w2, b2 = weights
    z = x @ w1 + b1
    a = np.maximum(z, 0) * mask
    logits = a @ w2 + b2
    log_p = logits - logits.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    d = (np.exp(log_p) - np.eye(len(b2))[y]) / len(x)
    dz = d @ w2.T * mask * (z > 0)
    gradients = [x.T @ dz, dz.sum(axis=0), a.T @ d, d.sum(axis=0)]
    return -log_p[np.arange(len(y)), y].mean(), gradients


def _losses(answer, case, rate, lr, epochs):
    return outputs(answer(*case, rate, lr, epochs), *[(epochs,)] * 3)


@chapter.check(
    "spot_the_mode_bug",
    points=2,
    hint="At learning rate 0 the weights rest, so both measured losses must be the same in every "
    "epoch: those of the full network.",
    more="PyTorch: model.eval() before measuring, model.train() before the step. Keras: "
    "training=False in the calls that measure, training=True in the step.",
)
def measures_in_evaluation_mode(answer, rng):
    """measures train and dev loss with dropout off, in every epoch"""
    case, epochs = _case(rng), 4
    weights, x_train, y_train, x_dev, y_dev = case
    step, train, dev = _losses(answer, case, 0.5, 0.0, epochs)
    expected = tuple(
        np.full(epochs, _loss(weights, x, y)[0]) for x, y in ((x_train, y_train), (x_dev, y_dev))
    )

    def right(received):
        return np.isclose(received, expected, rtol=1e-3, atol=1e-5)

    good = right((train, dev))
    shown = f"train {brief(expected[0])}", f"train {brief(train)}"
    if good.all():
        return Outcome(True, *shown)
    if not good[:, 0].any() and good[:, 1:].all():
        return Outcome(
            False,
            *shown,
            "first epoch with dropout",
            "The first epoch is still measured with dropout on: the switch to evaluation comes "
            "after the measurement. It belongs before it.",
        )
    if good[1].all() and np.allclose(train, step, rtol=1e-3):
        return Outcome(
            False,
            *shown,
            "reported loss as train loss",
            "Your train loss is the loss of the step, with dropout on. Measure the training rows "
            "again, with dropout off.",
        )
    if np.allclose((dev, train), expected, rtol=1e-3):
        return Outcome(False, *shown, "order", "Return the losses in the order step, train, dev.")
    if np.allclose((train, dev), _scaled(case, 0.5), rtol=1e-3):
        return Outcome(
            False,
            *shown,
            "scaled in evaluation",
            "You scale the hidden units in evaluation. Inverted dropout does nothing there.",
        )
    if np.ptp(train) > 1e-4 and np.ptp(dev) > 1e-4:
        return Outcome(
            False,
            *shown,
            "active in evaluation",
            "At learning rate 0 your measured losses still change from epoch to epoch: dropout "
            "is on while you measure. torch.no_grad() does not switch it off; model.eval() does "
            "(Keras: training=False).",
        )
    return Outcome(False, *shown)


def _scaled(case, rate):
    weights, x_train, y_train, x_dev, y_dev = case
    pairs = (x_train, y_train), (x_dev, y_dev)
    return [[_loss(weights, x, y, 1 - rate)[0]] * 4 for x, y in pairs]


@chapter.check(
    "spot_the_mode_bug",
    points=2,
    hint="Every step must drop units, with a new mask each time.",
    more="PyTorch: call model.train() at the start of every epoch, because model.eval() at its end "
    "stays in force.",
)
def drops_in_every_step(answer, rng):
    """takes every step with dropout on, with a new mask and the right rate"""
    case, epochs, rate = _case(rng), 40, 0.125
    weights, x, y, _, _ = case
    step, _, _ = _losses(answer, case, rate, 0.0, epochs)
    full, _ = _loss(weights, x, y)

    def typical(rate, count=200):
        masks = rng.random((count, len(x), 8)) >= rate
        losses = [_loss(weights, x, y, mask / (1 - rate))[0] for mask in masks]
        return np.mean(losses), np.std(losses)

    mean, spread = typical(rate)
    shown = f"losses around {mean:.3f}", f"losses {brief(step)}"
    off = np.isclose(step, full, rtol=1e-5, atol=1e-6)
    if off.all():
        return Outcome(
            False,
            *shown,
            "dropout never on",
            "Your steps are taken without dropout: it must be on in training.",
        )
    if off[1:].all():
        return Outcome(
            False,
            *shown,
            "never back to training",
            "Only the first step has dropout. The first measurement switched to evaluation mode "
            "and nothing switched back.",
        )
    if np.ptp(step) < 1e-7:
        return Outcome(
            False,
            *shown,
            "fixed mask",
            "Every step has the same mask. Draw a new one in every step.",
        )
    # The mean of 40 losses varies by spread / sqrt(40), the reference of 200 by less than half.
    if abs(step.mean() - mean) < 8 * spread / np.sqrt(epochs) and off.mean() < 0.5:
        return Outcome(True, *shown)
    swapped, swapped_spread = typical(1 - rate)
    if abs(step.mean() - swapped) < 8 * swapped_spread / np.sqrt(epochs):
        return Outcome(
            False,
            *shown,
            "rate and keep swapped",
            "Your steps drop the share 1 - rate. Keras and PyTorch both take the drop rate.",
        )
    return Outcome(False, *shown)


@chapter.check(
    "spot_the_mode_bug",
    points=2,
    hint="At rate 0 the loop is plain gradient descent: one step on all training rows per epoch, "
    "then both losses of the weights after the step.",
    more="The loss of the step belongs to the weights before it, the two measured ones to those "
    "after it. Plain SGD with learning rate lr on all four arrays.",
)
def trains(answer, rng):
    """trains: at rate 0 it is plain gradient descent, measured after each step"""
    case, lr, epochs = _case(rng), 0.25, 4
    weights, x_train, y_train, x_dev, y_dev = case
    step, train, dev = [], [], []
    for _ in range(epochs):
        loss, gradients = _loss(weights, x_train, y_train)
        step.append(loss)
        weights = [w - lr * g for w, g in zip(weights, gradients, strict=True)]
        train.append(_loss(weights, x_train, y_train)[0])
        dev.append(_loss(weights, x_dev, y_dev)[0])
    start = _loss(case[0], x_dev, y_dev)[0]
    rest = [_loss(case[0], x_train, y_train)[0]] * epochs
    wrong = [
        Wrong(
            "measured before the step",
            (step, step, [start, *dev[:-1]]),
            "You measure before the step. Measure the weights after it.",
        ),
        Wrong(
            "no step",
            (rest, rest, [start] * epochs),
            "The weights do not move: is a step taken in every epoch?",
        ),
    ]
    received = _losses(answer, case, 0.0, lr, epochs)
    return compare(received, tuple(map(np.array, (step, train, dev))), wrong)
