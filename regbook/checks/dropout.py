"""Checks of chapter 10, dropout: no check depends on one stream of random numbers.

Shares are compared with bounds of six standard errors or more, so a right answer fails less than
once in a million runs, whatever it draws with.
"""

import numpy as np

from regbook.arrays import log_softmax
from regbook.exercise import (
    Chapter,
    Failed,
    brief,
    compare,
    follows_seed,
    fresh_generator,
    judge,
    outputs,
    vary,
)

chapter = Chapter("10_dropout")


# --- dropout_forward -------------------------------------------------------------------------


def _dropout(x, rate, rng, training=True):
    if not training:
        return x, np.ones(x.shape)
    mask = rng.random(x.shape) >= rate
    return x * mask / (1 - rate), mask


forward = chapter.exercise(
    "dropout_forward",
    _dropout,
    hints={
        "changes its input": "Your function writes into x, so whoever called it has lost those values. Make a new array: x * mask does, x *= mask does not.",
        "mask upside down": "Your mask marks what is dropped. Return the opposite: 1 where an entry is kept.",
        "rate and keep swapped": "You keep the share `rate` and drop the rest. `rate` is the chance that an entry is dropped, as in Keras and PyTorch; 1 - rate is the chance that it is kept.",
        "scaled mask": "Your mask holds the scale as well. Here it says only who is kept: 0 or 1. Divide by 1 - rate in `out`.",
        "no rescaling": "You drop but do not rescale, so the mean shrinks by 1 - rate. Inverted dropout divides what is kept by 1 - rate.",
        "multiplied": "You multiplied by 1 - rate. That is what the first papers did in evaluation; inverted dropout divides, in training.",
        "divided by the rate": "You divided by rate. Divide by the chance to be kept, 1 - rate.",
        "scaled twice": "Scale only once: by 1 - rate, and not its square.",
        "rescaled, not dropped": "You rescale everything and drop nothing: multiply by the mask.",
        "one mask per batch": "All examples share one mask, so a unit is dropped for the whole batch. Draw one entry per example and unit.",
        "one draw per example": "A whole example is dropped or kept. Draw one entry per example and unit.",
        "fixed mask": "Your mask is the same in every call. A fixed mask is a smaller network, not dropout: draw it anew from `rng`.",
        "fixed count": "You drop the same number of entries every time. Each entry is decided by itself, so the number is binomial.",
        "own generator": "Equal generators must give equal masks. You draw from a source other than `rng`.",
        "active in evaluation": "You drop in evaluation too. With training=False the function returns x as it is.",
        "scaled in evaluation": "You scale in evaluation. Inverted dropout has done that in training already.",
        "scaled up in evaluation": "You scale in evaluation. Nothing is dropped there, so nothing needs a scale.",
        "empty mask": "In evaluation everything is kept: the mask is all 1.",
    },
)


def _forward(ask, x, rate, rng, *training):
    """Ask with a fresh generator; return (out, mask) as floats."""
    out, mask = outputs(ask(x, rate, fresh_generator(rng), *training), x.shape, x.shape)
    return out.astype(float), mask.astype(float)


@forward.check(
    points=2,
    hint="About the share `rate` of the mask's entries must be 0, and all others 1.",
    more="mask = rng.random(x.shape) >= rate",
)
def drops_the_share_rate(ask, rng):
    """returns a mask of 0 and 1 with about the share `rate` of zeros"""
    rate = rng.uniform(0.15, 0.3)
    out, mask = _forward(ask, rng.normal(size=(50, 60)), rate, rng)
    zeros, width = (mask == 0).mean(), 6 * np.sqrt(rate * (1 - rate) / mask.size)
    swapped = abs(zeros - (1 - rate)) < width
    ones = np.unique(mask[mask != 0])
    binary = len(ones) == 1 and abs(ones[0] - 1) <= 1e-6
    return judge(
        binary and not swapped and abs(zeros - rate) < width,
        f"zeros: {rate:.3f} within {width:.3f}, else 1",
        f"zeros: {zeros:.3f}, largest entry {mask.max():.4g}",
        {
            "mask upside down": swapped and ((out == 0) == (mask == 1)).all(),
            "rate and keep swapped": swapped,
            "scaled mask": len(ones) == 1 and not binary,
        },
    )


@forward.check(
    points=2,
    hint="In training `out` is x times the mask that you return, divided by 1 - rate.",
    more="out = x * mask / (1 - rate)",
    keeps_input=True,
)
def rescales_what_is_kept(ask, rng):
    """multiplies by the mask and divides by the chance to be kept"""
    x, rate = rng.normal(size=(8, 9)), rng.uniform(0.2, 0.4)
    out, mask = _forward(ask, x, rate, rng)
    kept = x * (mask != 0)
    mistakes = {
        "no rescaling": kept,
        "multiplied": kept * (1 - rate),
        "divided by the rate": kept / rate,
        "scaled twice": kept / (1 - rate) ** 2,
        "rescaled, not dropped": x / (1 - rate),
    }
    return compare(out, kept / (1 - rate), mistakes)


@forward.check(
    points=2,
    hint="Every entry of x needs a draw of its own: the mask must not repeat along any axis.",
    more="rng.random(x.shape) draws one number per entry, for any number of axes.",
)
def draws_every_entry_by_itself(ask, rng):
    """draws every entry of the mask by itself"""
    for shape, axes in (
        ((30, 25), ("rows", "columns")),
        ((6, 20, 7), ("axis 0", "axis 1", "axis 2")),
    ):
        _, mask = _forward(ask, np.ones(shape), 0.5, rng)
        for axis, name in enumerate(axes):
            if (np.ptp(mask, axis=axis) == 0).all():
                mistake = "one draw per example" if axis else "one mask per batch"
                raise Failed("no repetition", f"the same mask in all {name}", mistake)
    masks = np.array([_forward(ask, np.ones((5, 20)), 0.3, rng)[1] for _ in range(12)])
    counts = masks.sum(axis=2)
    fixed = np.ptp(counts) == 0 or np.ptp(counts.sum(axis=1)) == 0
    mistakes = {"fixed mask": (masks == masks[0]).all(), "fixed count": True}
    return judge(not fixed, "binomial counts", f"kept per row: {brief(counts[0])}", mistakes)


@forward.check(
    hint="The mask must come from `rng`: another generator, another mask; the same one in the same state, the same mask.",
    more="Use only the methods of `rng`, such as rng.random, and create no generator of your own.",
)
def follows_the_generator(ask, rng):
    """draws from rng: another generator gives another mask, an equal one the same"""
    x = np.ones((12, 20))

    def draw(seed):
        return outputs(ask(x, 0.5, np.random.default_rng(seed)), x.shape, x.shape)[1]

    return follows_seed(draw, rng, fixed="fixed mask", unseeded="own generator", seeds=2)


@forward.check(
    points=2,
    hint="With training=False nothing is dropped and nothing is scaled.",
    more="if not training: return x, np.ones(x.shape)",
)
def is_the_identity_in_evaluation(ask, rng):
    """returns x and a mask of ones when training is False"""
    x, rate = rng.normal(2, 1, size=(8, 9)), rng.uniform(0.3, 0.6)
    out, mask = _forward(ask, x, rate, rng, False)
    if (out == 0).any():
        raise Failed(brief(x), brief(out), "active in evaluation")
    ones = np.ones(x.shape)
    mistakes = {
        "scaled in evaluation": (x * (1 - rate), ones),
        "scaled up in evaluation": (x / (1 - rate), ones),
        "empty mask": (x, 0 * ones),
    }
    return compare((out, mask), (x, ones), mistakes)


@forward.check(
    hint="At rate 0 every entry is kept.",
    more="rng.random() is below 1 and can be 0, so compare with >= rate.",
)
def keeps_everything_at_rate_zero(ask, rng):
    """changes nothing at rate 0"""
    x = rng.normal(size=(6, 7))
    return compare(_forward(ask, x, 0.0, rng), (x, np.ones(x.shape)))


# --- dropout_backward ------------------------------------------------------------------------

backward = chapter.exercise(
    "dropout_backward",
    lambda dy, mask, rate: dy * mask / (1 - rate),
    mistakes={
        "no rescaling": lambda dy, mask, rate: dy * mask,
        "no mask": lambda dy, mask, rate: dy,
        "scale without mask": lambda dy, mask, rate: dy / (1 - rate),
        "multiplied": lambda dy, mask, rate: dy * mask * (1 - rate),
        "divided by the rate": lambda dy, mask, rate: dy * mask / rate,
        "upside down": lambda dy, mask, rate: dy * (1 - mask) / (1 - rate),
        "scaled twice": lambda dy, mask, rate: dy * mask / (1 - rate) ** 2,
    },
    hints={
        "no rescaling": "The scale is missing. The forward pass divided by 1 - rate, so the gradient does too.",
        "no mask": "You pass the gradient on as it is. What was dropped had no influence on the loss, so its gradient is 0: multiply by the mask.",
        "scale without mask": "The mask is missing: what was dropped gets no gradient.",
        "multiplied": "You multiplied by 1 - rate. The derivative of mask / (1 - rate) * x is that same factor, not its inverse.",
        "divided by the rate": "You divided by rate. Divide by the chance to be kept, 1 - rate.",
        "upside down": "You let the gradient through where the unit was dropped. 1 in the mask means kept.",
        "scaled twice": "Scale only once.",
    },
)


@backward.check(
    points=2,
    hint="out = x * mask / (1 - rate) is linear in x: the gradient meets the same factor.",
    more="dx = dy * mask / (1 - rate)",
    keeps_input=True,
)
def meets_the_same_factor(ask, rng):
    """sends the gradient through the same mask and the same scale"""
    dy, rate = rng.normal(size=(5, 6)), rng.uniform(0.2, 0.4)
    mask = (rng.random((5, 6)) >= 0.4).astype(float)
    mask[0, :2] = 0, 1  # at least one of each
    return ask(dy, mask, rate)


@backward.check(
    hint="The backward pass draws nothing: it uses the mask that the forward pass drew.",
    more="The shapes of dy and mask are equal, whatever their number of axes.",
)
def is_the_derivative(ask, rng):
    """equals the numeric derivative of the forward pass, for any shape and a mask of True and False"""
    rate = rng.uniform(0.5, 0.8)
    _, dy, mask = rng.normal(size=(3, 2, 4)), rng.normal(size=(3, 2, 4)), rng.random((3, 2, 4))
    return ask(dy, mask >= 0.3, rate)


# --- expected_scale --------------------------------------------------------------------------

scale = chapter.exercise(
    "expected_scale",
    lambda rate: 1 / (1 - rate),
    mistakes={
        "factor of evaluation": lambda rate: 1 - rate,
        "rate and keep swapped": lambda rate: 1 / rate,
        "the rate itself": lambda rate: rate,
        "keeps the variance": lambda rate: 1 / np.sqrt(1 - rate),
        "first order": lambda rate: 1 + rate,
        "squared": lambda rate: 1 / (1 - rate) ** 2,
        "added noise": lambda rate: rate / (1 - rate),
    },
    hints={
        "factor of evaluation": "1 - rate is the chance to be kept: the first papers multiplied by it in evaluation. Inverted dropout divides by it in training.",
        "rate and keep swapped": "You divided by rate, the chance to be dropped. Divide by the chance to be kept.",
        "the rate itself": "That is the chance to be dropped, not a scale.",
        "keeps the variance": "The root keeps the mean of the squares. Dropout keeps the mean.",
        "first order": "1 + rate is near the scale only for a small rate.",
        "squared": "Divide by the chance to be kept once, not twice.",
        "added noise": "rate / (1 - rate) is the variance that dropout adds, relative to the square.",
    },
)


@scale.check(
    points=2,
    hint="What is kept must make up for what is dropped: chance to be kept times scale is 1.",
    more="Return 1 / (1 - rate).",
)
def makes_up_for_what_is_dropped(ask, rng):
    """is the factor that keeps the expectation"""
    return ask(rng.uniform(0.65, 0.75))


@scale.check(
    hint="(1 - rate) * scale must be 1 for every rate, 0 included.",
    more="At rate 0 nothing is dropped and the scale is 1; at 0.5 it is 2; at 0.75 it is 4.",
)
def keeps_the_mean(ask, rng):
    """keeps the mean for an array of rates, 0 included"""
    rates = np.array([0.0, 0.5, 0.75, *rng.uniform(size=3)])
    (found,) = outputs(ask(rates), rates.shape)
    return (1 - rates) * found


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
    log_p = log_softmax(a @ w2 + b2)
    d = (np.exp(log_p) - np.eye(len(b2))[y]) / len(x)
    dz = d @ w2.T * mask * (z > 0)
    gradients = [x.T @ dz, dz.sum(axis=0), a.T @ d, d.sum(axis=0)]
    return -log_p[np.arange(len(y)), y].mean(), gradients


def _descend(weights, x_train, y_train, x_dev, y_dev, rate, lr, epochs, *, first=False):
    """Return the losses of plain gradient descent: of the step, and both measured after it."""
    losses = []
    for _ in range(epochs):
        loss, gradients = _loss(weights, x_train, y_train)
        moved = [w - lr * g for w, g in zip(weights, gradients, strict=True)]
        measured = weights if first else moved
        dev = _loss(measured, x_dev, y_dev)[0]
        losses.append((loss, _loss(measured, x_train, y_train)[0], dev))
        weights = moved
    return tuple(np.array(losses).T)


loop = chapter.exercise(
    "spot_the_mode_bug",
    _descend,
    mistakes={
        "measured before the step": vary(_descend, first=True),
        "no step": vary(_descend, lr=0.0),
    },
    hints={
        "changes its input": "Your function writes into the arrays of weights, so whoever called it has lost them. Make new ones: w = w - lr * slope does, w -= lr * slope does not.",
        "never back to training": "Only the first step has dropout: evaluation mode stays in force, because nothing switches back to training mode.",
        "first epoch with dropout": "The first epoch is still measured with dropout on: the switch to evaluation comes after the measurement. It belongs before it.",
        "reported loss as train loss": "Your train loss is the loss of the step, with dropout on. Measure the training rows again, with dropout off.",
        "order": "Return the losses in the order step, train, dev.",
        "scaled in evaluation": "You scale the hidden units in evaluation. Inverted dropout does nothing there.",
        "active in evaluation": "At learning rate 0 your measured losses still change from epoch to epoch: dropout is on while you measure. torch.no_grad() does not switch it off; model.eval() does (Keras: training=False).",
        "dropout never on": "Your steps are taken without dropout: it must be on in training.",
        "fixed mask": "Every step has the same mask. Draw a new one in every step.",
        "rate and keep swapped": "Your steps drop the share 1 - rate. Keras and PyTorch both take the drop rate.",
        "measured before the step": "You measure before the step. Measure the weights after it.",
        "no step": "The weights do not move: is a step taken in every epoch?",
    },
)


def _losses(ask, case, rate, lr, epochs):
    return outputs(ask(*case, rate, lr, epochs), *[(epochs,)] * 3)


@loop.check(
    points=2,
    hint="At learning rate 0 the weights rest, so both measured losses must be the same in every epoch: those of the full network.",
    more="PyTorch: model.eval() before measuring, model.train() before the step. Keras: training=False in the calls that measure, training=True in the step.",
)
def measures_in_evaluation_mode(ask, rng):
    """measures train and dev loss with dropout off, in every epoch"""
    case, epochs = _case(rng), 4
    weights, *parts = case
    step, train, dev = _losses(ask, case, 0.5, 0.0, epochs)

    def measured(mask=1.0):
        losses = [_loss(weights, x, y, mask)[0] for x, y in (parts[:2], parts[2:])]
        return np.repeat(losses, epochs).reshape(2, epochs)

    right = measured()
    good = np.isclose((train, dev), right, rtol=1e-3, atol=1e-5)
    return judge(
        good.all(),
        f"train {brief(right[0])}",
        f"train {brief(train)}",
        {
            "first epoch with dropout": not good[:, 0].any() and good[:, 1:].all(),
            "reported loss as train loss": good[1].all() and np.allclose(train, step, rtol=1e-3),
            "order": np.allclose((dev, train), right, rtol=1e-3),
            "scaled in evaluation": np.allclose((train, dev), measured(0.5), rtol=1e-3),
            "active in evaluation": np.ptp(train) > 1e-4 and np.ptp(dev) > 1e-4,
        },
    )


@loop.check(
    points=2,
    hint="Every step must drop units, with a new mask each time.",
    more="PyTorch: call model.train() at the start of every epoch, because model.eval() at its end stays in force.",
)
def drops_in_every_step(ask, rng):
    """takes every step with dropout on, with a new mask and the right rate"""
    case, epochs, rate = _case(rng), 40, 0.125
    weights, x, y, _, _ = case
    step, _, _ = _losses(ask, case, rate, 0.0, epochs)

    off = np.isclose(step, _loss(weights, x, y)[0], rtol=1e-5, atol=1e-6)
    modes = {
        "dropout never on": off.all(),
        "never back to training": off[1:].all(),
        "fixed mask": np.ptp(step) < 1e-7,
    }
    if any(modes.values()):
        return judge(False, "another loss for another mask", f"losses {brief(step)}", modes)

    def typical(rate, count=200):
        """Return the mean loss, and whether the answer's is near it.

        The mean of 40 losses varies by spread / sqrt(40), the reference of 200 by less than half.
        """
        masks = rng.random((count, len(x), 8)) >= rate
        losses = [_loss(weights, x, y, mask / (1 - rate))[0] for mask in masks]
        near = abs(step.mean() - np.mean(losses)) < 8 * np.std(losses) / np.sqrt(epochs)
        return np.mean(losses), near

    mean, near = typical(rate)
    passed = near and off.mean() < 0.5
    swapped = not passed and typical(1 - rate)[1]
    shown = f"losses around {mean:.3f}", f"losses {brief(step)}"
    return judge(passed, *shown, {"rate and keep swapped": swapped})


@loop.check(
    points=2,
    hint="At rate 0 the loop is plain gradient descent: one step on all training rows per epoch, then both losses of the weights after the step.",
    more="The loss of the step belongs to the weights before it, the two measured ones to those after it. Plain SGD with learning rate lr on all four arrays.",
    keeps_input=True,
)
def trains(ask, rng):
    """trains: at rate 0 it is plain gradient descent, measured after each step"""
    return _losses(ask, _case(rng), 0.0, 0.25, 4)
