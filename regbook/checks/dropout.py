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
    training,
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
        "mask from the output": "Your mask is 0 where x itself is 0, as after a ReLU. Such an entry can be kept, too: return the mask that was drawn, not out != 0.",
        "scaled mask": "Your mask holds the scale as well. Here it says only who is kept: 0 or 1. Divide by 1 - rate in `out`.",
        "no rescaling": "You drop but do not rescale, so the mean shrinks by 1 - rate. Inverted dropout divides what is kept by 1 - rate.",
        "multiplied": "You multiplied by 1 - rate. That is what the first papers did in evaluation; inverted dropout divides, in training.",
        "divided by the rate": "You divided by rate. Divide by the chance to be kept, 1 - rate.",
        "divided by the share kept": "You divided by the share of entries that happen to be kept in this call. Divide by the chance to be kept, 1 - rate, which no draw changes.",
        "scaled twice": "Scale only once: by 1 - rate, and not its square.",
        "rescaled, not dropped": "You rescale everything and drop nothing: multiply by the mask.",
        "one mask per batch": "All examples share one mask, so a unit is dropped for the whole batch. Draw one entry per example and unit.",
        "one draw per example": "A whole example is dropped or kept. Draw one entry per example and unit.",
        "fixed mask": "Your mask is the same in every call. A fixed mask is a smaller network, not dropout: draw it anew from `rng`.",
        "fixed count": "You drop the same number of entries every time. Each entry is decided by itself, so the number is binomial.",
        "drawn with replacement": "Fewer entries are dropped than should be: if you draw which ones to drop, the same one can be drawn twice. Let each entry be decided by a draw of its own.",
        "own generator": "Equal generators must give equal masks. You draw from a source other than `rng`.",
        "active in evaluation": "You drop in evaluation too. With training=False the function returns x as it is.",
        "scaled in evaluation": "You scale in evaluation. Inverted dropout has done that in training already.",
        "scaled up in evaluation": "You scale in evaluation. Nothing is dropped there, so nothing needs a scale.",
        "empty mask": "In evaluation everything is kept: the mask is all 1.",
        "coarse rate": "A small rate is not kept: your draw seems to know it in tenths or whole per cents only. Compare a number that is uniform between 0 and 1 with `rate`.",
    },
)


def _forward(ask, x, rate, rng, *training):
    """Ask with a fresh generator; return (out, mask) as floats."""
    out, mask = outputs(ask(x, rate, fresh_generator(rng), *training), x.shape, x.shape)
    return out.astype(float), mask.astype(float)


@forward.check(
    points=2,
    hint="About the share `rate` of the mask's entries must be 0, and all others 1.",
    more="A number that is uniform between 0 and 1 lies below 0.2 with the chance 0.2. rng.random(shape) draws as many as you need; a comparison gives one truth value for each.",
)
def drops_the_share_rate(ask, rng):
    """returns a mask of 0 and 1 with about the share `rate` of zeros"""
    x, rate = rng.normal(size=(50, 60)), rng.uniform(0.15, 0.3)
    x[::2] = 0  # as after a ReLU
    out, mask = _forward(ask, x, rate, rng)

    def near(zeros, rate, size):
        return abs(zeros - rate) < 6 * np.sqrt(rate * (1 - rate) / size)

    zeros, width = (mask == 0).mean(), 6 * np.sqrt(rate * (1 - rate) / mask.size)
    swapped = near(zeros, 1 - rate, mask.size)
    ones = np.unique(mask[mask != 0])
    binary = len(ones) == 1 and abs(ones[0] - 1) <= 1e-6
    if not binary or swapped or not near(zeros, rate, mask.size):
        return judge(
            False,
            f"zeros: {rate:.3f} within {width:.3f}, else 1",
            f"zeros: {zeros:.3f}, largest entry {mask.max():.4g}",
            {
                "mask from the output": near((mask[1::2] == 0).mean(), rate, mask[1::2].size)
                and (mask[::2] == 0).all(),
                "mask upside down": swapped and ((out == 0) == (mask == 1))[1::2].all(),
                "rate and keep swapped": swapped,
                "scaled mask": len(ones) == 1 and not binary,
            },
        )
    # So small a rate, and so many entries, that 0, 0.01 and 0.1 are all too far away.
    small = 0.003
    _, mask = _forward(ask, np.ones((160, 100)), small, rng)
    found = (mask == 0).mean()
    shown = f"zeros: {small} within 0.0026", f"zeros: {found:.4f}"
    coarse = found == 0 or near(found, 0.01, mask.size) or near(found, 0.1, mask.size)
    return judge(near(found, small, mask.size), *shown, {"coarse rate": coarse})


@forward.check(
    points=2,
    hint="In training `out` is x times the mask that you return, divided by 1 - rate.",
    more="Kept with the chance 0.8, an entry must count 1 / 0.8 times. An array of 0 and 1 works as a factor.",
    keeps_input=True,
)
def rescales_what_is_kept(ask, rng):
    """multiplies by the mask and divides by the chance to be kept"""
    # 1 - rate lies between two shares that can be kept of 72 entries, and of a row of 9.
    x, rate = rng.normal(size=(8, 9)), (rng.integers(15, 27) + 0.5) / 72
    out, mask = _forward(ask, x, rate, rng)
    kept = x * (mask != 0)
    mistakes = {
        "no rescaling": kept,
        "multiplied": kept * (1 - rate),
        "divided by the rate": kept / rate,
        "divided by the share kept": kept / max((mask != 0).mean(), 0.01),
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
        ((60, 50), ("rows", "columns")),
        ((6, 20, 7), ("axis 0", "axis 1", "axis 2")),
    ):
        _, mask = _forward(ask, np.ones(shape), 0.5, rng)
        for axis, name in enumerate(axes):
            if (np.ptp(mask, axis=axis) == 0).all():
                mistake = "one draw per example" if axis else "one mask per batch"
                raise Failed("no repetition", f"the same mask in all {name}", mistake)
        zeros, width = (mask == 0).mean(), 3 / np.sqrt(mask.size)
        if shape == (60, 50) and abs(zeros - 0.5) > width:
            # Half as many draws as entries, with replacement, hit the share 1 - exp(-1/2) of them.
            twice = abs(zeros - (1 - np.exp(-0.5))) < width
            mistake = "drawn with replacement" if twice else ""
            raise Failed(f"zeros: 0.5 within {width:.3f}", f"zeros: {zeros:.3f}", mistake)
    masks = np.array([_forward(ask, np.ones((5, 20)), 0.3, rng)[1] for _ in range(12)])
    if (masks == masks[0]).all():
        raise Failed("another mask in every call", "12 equal masks", "fixed mask")
    counts = masks.sum(axis=2)
    totals = counts.sum(axis=1)
    fixed = np.ptp(counts) == 0 or np.ptp(totals) == 0
    found = f"kept in 3 of 12 calls: {brief(totals[:3])[1:-15]}"
    return judge(not fixed, "another number in every call", found, {"fixed count": True})


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
    more="Two values all the same: x as it came, and a mask that says that everything is kept. No random number is needed.",
)
def is_the_identity_in_evaluation(ask, rng):
    """returns x and a mask of ones when training is False"""
    x, rate = rng.normal(2, 1, size=(8, 9)), rng.uniform(0.3, 0.6)
    x[:, 0] = 0
    out, mask = _forward(ask, x, rate, rng, False)
    if (out[:, 1:] == 0).any():
        raise Failed(brief(x), brief(out), "active in evaluation")
    ones = np.ones(x.shape)
    mistakes = {
        "scaled in evaluation": (x * (1 - rate), ones),
        "scaled up in evaluation": (x / (1 - rate), ones),
        "empty mask": (x, 0 * ones),
        "mask from the output": (x, x != 0),
    }
    return compare((out, mask), (x, ones), mistakes)


@forward.check(
    hint="At rate 0 every entry is kept.",
    more="rng.random() is below 1 and can be 0, so compare with >= rate.",
)
def keeps_everything_at_rate_zero(ask, rng):
    """changes nothing at rate 0"""
    x = rng.normal(size=(6, 7))
    x[:, 0] = 0
    mistakes = {"mask from the output": (x, x != 0)}
    return compare(_forward(ask, x, 0.0, rng), (x, np.ones(x.shape)), mistakes)


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
        "divided by the share kept": lambda dy, mask, rate: dy * mask / mask.mean(),
        "scaled twice": lambda dy, mask, rate: dy * mask / (1 - rate) ** 2,
    },
    hints={
        "no rescaling": "The scale is missing. The forward pass divided by 1 - rate, so the gradient does too.",
        "no mask": "You pass the gradient on as it is. What was dropped had no influence on the loss, so its gradient is 0: multiply by the mask.",
        "scale without mask": "The mask is missing: what was dropped gets no gradient.",
        "multiplied": "You multiplied by 1 - rate. The derivative of mask / (1 - rate) * x is that same factor, not its inverse.",
        "divided by the rate": "You divided by rate. Divide by the chance to be kept, 1 - rate.",
        "upside down": "You let the gradient through where the unit was dropped. 1 in the mask means kept.",
        "divided by the share kept": "You divided by the share that this mask keeps. The forward pass divided by the chance to be kept, 1 - rate.",
        "scaled twice": "Scale only once.",
    },
)


@backward.check(
    points=2,
    hint="out = x * mask / (1 - rate) is linear in x: the gradient meets the same factor.",
    more="An entry that was kept had the derivative 1 / (1 - rate), one that was dropped the derivative 0. Multiply dy by the derivative.",
    keeps_input=True,
)
def meets_the_same_factor(ask, rng):
    """sends the gradient through the same mask and the same scale"""
    # 1 - rate lies between two shares that can be kept of 30 entries.
    dy, rate = rng.normal(size=(5, 6)), (rng.integers(6, 12) + 0.5) / 30
    mask = rng.permutation([0.0] * 11 + [1.0] * 19).reshape(5, 6)
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
    more="Solve the equation for the scale. At rate 0.2 an entry is kept with the chance 0.8, and 0.8 times 1.25 is 1.",
)
def makes_up_for_what_is_dropped(ask, rng):
    """is the factor that keeps the expectation"""
    scale = rng.integers(290, 340) / 100 + 0.0045  # two digits would not be enough
    return ask(1 - 1 / scale)


@scale.check(
    hint="(1 - rate) * scale must be 1 for every rate, 0 included.",
    more="At rate 0 nothing is dropped and the scale is 1; at 0.5 it is 2; at 0.75 it is 4.",
)
def keeps_the_mean(ask, rng):
    """keeps the mean for an array of rates, 0 included"""
    rates = np.array([0.0, 0.5, 0.75, 0.96875, *rng.uniform(size=2)])
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


def _losses_by_mask(weights, x, y, masks):
    """Return the mean cross-entropy under each of the masks, of shape (masks, rows, hidden)."""
    w1, b1, w2, b2 = weights
    log_p = log_softmax((np.maximum(x @ w1 + b1, 0) * masks) @ w2 + b2)
    return -log_p[:, np.arange(len(y)), y].mean(axis=1)


def _descend(
    weights, x_train, y_train, x_dev, y_dev, rate, lr, epochs, *, first=False, momentum=0.0
):
    """Return the losses of plain gradient descent: of the step, and both measured after it."""
    losses, slopes = [], [0, 0, 0, 0]
    for _ in range(epochs):
        loss, gradients = _loss(weights, x_train, y_train)
        slopes = [momentum * s + g for s, g in zip(slopes, gradients, strict=True)]
        moved = [w - lr * s for w, s in zip(weights, slopes, strict=True)]
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
        "gradients pile up": vary(_descend, momentum=1.0),
        "momentum": vary(_descend, momentum=0.9),
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
        "one mask per batch": "All rows share one mask in a step. Draw one entry per row and unit.",
        "no rescaling": "Your step drops units but does not rescale those that are kept: divide them by 1 - rate.",
        "one draw per row": "All units of a row are dropped or kept together. Draw one entry per row and unit.",
        "fixed count": "You drop the same number of units in every row. Each entry is decided by itself, so the number is binomial.",
        "gradient of another mask": "The gradient of your step does not belong to its loss. The units that the forward pass dropped must get no gradient in the same step, and those kept the factor 1 / (1 - rate).",
        "gradients pile up": "Every step adds the gradients of all steps before: in PyTorch, call optimizer.zero_grad() in each.",
        "momentum": "Your optimizer has a momentum of 0.9. Plain gradient descent has none.",
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
    more="PyTorch: call model.train() at the start of every epoch, because model.eval() at its end stays in force. By hand: one draw per row and unit, and the same mask in the forward and in the backward pass of a step.",
)
def drops_in_every_step(ask, rng):
    """takes every step with dropout on, with a new mask and the right rate"""
    case, epochs, rate = _case(rng), 40, 0.125
    weights, x, y, _, _ = case
    step, *_ = _losses(ask, case, rate, 0.0, epochs)

    off = np.isclose(step, _loss(weights, x, y)[0], rtol=1e-5, atol=1e-6)
    modes = {
        "dropout never on": off.all(),
        "never back to training": off[1:].all(),
        "fixed mask": np.ptp(step) < 1e-7,
    }
    if any(modes.values()):
        return judge(False, "another loss for another mask", f"losses {brief(step)}", modes)
    _follow_the_masks(ask, rng)

    def typical(rate):
        """Return the mean loss under 200 masks, and whether the answer's is near it.

        The mean of 40 losses varies by spread / sqrt(40), the reference of 200 by less than half.
        """
        masks = rng.random((200, len(x), 8)) >= rate
        losses = _losses_by_mask(weights, x, y, masks / (1 - rate))
        near = abs(step.mean() - losses.mean()) < 8 * losses.std() / np.sqrt(epochs)
        return losses.mean(), near

    mean, near = typical(rate)
    shown = f"losses around {mean:.3f}", f"losses {brief(step)}"
    passed = near and off.mean() < 0.5
    swapped = not passed and typical(1 - rate)[1]
    return judge(passed, *shown, {"rate and keep swapped": swapped})


# Every mask of two rows and four hidden units.
_MASKS = np.array(list(np.ndindex((2,) * 8))).reshape(256, 2, 4)


def _traced(found, weights, x, y, dev, y_dev, lr):
    """Return the mask of a step at rate 0.5, and the weights after it.

    found: the losses of the step, and of both data sets after it. The first tells which mask was
    drawn, and that one tells where the weights must be. Raises Failed when they are not there.
    """
    near = abs(_losses_by_mask(weights, x, y, _MASKS / 0.5) - found[0])
    for mask in _MASKS[near.argsort()[:3]]:  # two masks can have the same loss
        loss, gradients = _loss(weights, x, y, mask / 0.5)
        moved = [w - lr * g for w, g in zip(weights, gradients, strict=True)]
        right = loss, _loss(moved, x, y)[0], _loss(moved, dev, y_dev)[0]
        if np.allclose(found, right, rtol=1e-3, atol=1e-5):
            return mask, moved
    unscaled = abs(_losses_by_mask(weights, x, y, _MASKS) - found[0]).min() < 1e-5
    mistake = "no rescaling" if unscaled and near.min() > 1e-5 else "gradient of another mask"
    raise Failed(f"step, train, dev: {brief(right)}", brief(found), mistake)


def _follow_the_masks(ask, rng):
    """Raise Failed unless each step draws every entry, and takes the gradient of its mask."""
    w1, b1 = rng.normal(scale=0.3, size=(3, 4)), rng.uniform(3, 4, size=4)  # all units are active
    w2, b2 = rng.normal(size=(4, 3)), rng.normal(size=3)
    x, dev = rng.uniform(-1, 1, size=(2, 3)), rng.normal(size=(5, 3))
    y = (np.maximum(x @ w1 + b1, 0) @ w2 + b2).argmin(axis=1)  # wrong, so that there is a slope
    weights, data = [w1, b1, w2, b2], (x, y, dev, rng.integers(0, 3, size=5))
    lr, drawn = 0.05, []
    for found in zip(*_losses(ask, (weights, *data), 0.5, lr, 8), strict=True):
        mask, weights = _traced(found, weights, *data, lr)
        drawn.append(mask)
    kept = np.sum(drawn, axis=2)
    wrong = {
        "one draw per row": np.isin(kept, (0, 4)).all(),
        "one mask per batch": all((mask[0] == mask[1]).all() for mask in drawn),
        "fixed count": np.ptp(kept) == 0,
    }
    for mistake, fits in wrong.items():
        if fits:
            raise Failed("a draw for every row and unit", f"kept: {brief(kept)}", mistake)


@loop.check(
    points=2,
    hint="At rate 0 the loop is plain gradient descent: one step on all training rows per epoch, then both losses of the weights after the step.",
    more="The loss of the step belongs to the weights before it, the two measured ones to those after it. Plain SGD with learning rate lr on all four arrays.",
    keeps_input=True,
)
def trains(ask, rng):
    """trains: at rate 0 it is plain gradient descent, measured after each step"""
    return _losses(ask, _case(rng), 0.0, 0.25, 4)


# --- choose_dropout --------------------------------------------------------------------------

choose = chapter.exercise(
    "choose_dropout",
    hints={
        **training.HINTS,
        "rates swapped": "You return the two rates in the wrong order: the rate of the inputs comes first, then that of the hidden units.",
        "one place only": "You try dropout in one place only. Where it helps depends on what fails: try rates above 0 on the inputs, and rates above 0 on the hidden units.",
    },
)

STEPS = 300  # of the final run
_RATES = np.array([0, 0.2, 0.4, 0.6, 0.8])
# What fails, its share, and two pairs of rates that are good against it.
_NOISE = {
    "inputs": (0.5, [(0.2, 0.0), (0.4, 0.0)]),
    "hidden units": (0.6, [(0.0, 0.4), (0.0, 0.6)]),
}


def _two_of(rates):
    """Return what reads a pair of these rates, as `Trials` needs it."""

    def read(value):
        (pair,) = outputs(value, 2)
        away = abs(rates - pair[:, None])
        if not (away.min(axis=1) < 1e-6).all():
            raise ValueError(f"take two of the rates {rates.tolist()}, not {pair.tolist()}")
        return tuple(rates[away.argmin(axis=1)].tolist())

    return read


def _draws_inputs(rng):
    """Return what draws rows of 3 classes: 3 of 40 inputs tell much about them, the others a little."""
    centres = rng.normal(size=(3, 40))
    centres -= centres.mean(axis=0)
    centres *= np.repeat([5.0, 0.5], [3, 37]) / centres.std(axis=0).clip(0.3)

    def rows(number):
        y = rng.permutation(np.arange(number) % 3)
        return centres[y] + rng.normal(size=(number, 40)), y

    return rows


def _draws_signs(rng):
    """Return what draws rows of 4 classes and 4 inputs, all needed: are the signs of two pairs equal?"""
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]

    def rows(number):
        signs = rng.choice([-1.0, 1.0], size=(number, 4))
        y = (signs[:, 0] == signs[:, 1]) + 2 * (signs[:, 2] == signs[:, 3])
        return (signs + 0.35 * rng.normal(size=(number, 4))) @ turn, y

    return rows


class _Device:
    """A network for a device on which a share of the inputs, or of the hidden units, fails."""

    def __init__(self, rng, failing, share):
        on_inputs = failing == "inputs"
        draw = (_draws_inputs if on_inputs else _draws_signs)(rng)
        self.seed, self.rows = int(rng.integers(2**32)), {}
        for name, number in {"train": 250, "dev": 1000, "test": 300, "hidden": 3000}.items():
            (x, y), working = draw(number), 1.0
            if name != "train" and on_inputs:
                x *= rng.random(x.shape) >= share
            elif name != "train":
                working = rng.random((number, training.HIDDEN)) >= share
            self.rows[name] = x, y, working

    def scores(self, rates, steps, names=("train", "dev", "test"), start=0):
        """Train from a start; return the accuracy on the rows of each name."""
        rng = np.random.default_rng([self.seed, start])
        weights = training.train_network(*self.rows["train"][:2], steps, rng, rates=rates)
        return {name: training.accuracy(weights, *self.rows[name]) for name in names}

    def hidden(self, rates):
        return training.on_hidden(self.scores, rates, STEPS)


@choose.check(
    points=3,
    hint="Where the inputs fail, and where the hidden units do, the rates that you choose do little better on hidden rows than no dropout. Try more pairs, in both places, and choose by dev.",
    more="The budget is too small to train every pair for the whole number of steps. Give all pairs an equal share, or train all of them briefly and the best ones longer. A rate may help in one place only if it is 0 in the other.",
)
def does_well_on_hidden_rows(ask, rng):
    """chooses rates, tried in both places, that do well on hidden rows, whether inputs fail or hidden units"""
    shown = []
    for failing, (share, good) in _NOISE.items():
        device = _Device(rng, failing, share)
        trials = training.Trials(device.scores, _two_of(_RATES), 15 * STEPS)
        chosen = trials.decide(ask, _RATES, STEPS)
        none, found = device.hidden((0, 0)), device.hidden(chosen)
        needed = none + 0.6 * (np.mean([device.hidden(rates) for rates in good]) - none)
        used = np.array(list(trials.runs)).any(axis=0)
        mistakes = {
            "one place only": not used.all(),
            "short runs": trials.longest < training.SHORT * STEPS,
        }
        shown.append((f"{failing} fail: at least {needed:.3f}", f"{found:.3f} at {chosen}"))
        if found < needed or not used.all():
            return judge(False, *shown[-1], mistakes)
    return judge(True, *map("; ".join, zip(*shown, strict=True)))


def _landscape(rng, rates, place):
    """Make up scores of all pairs of rates: dev is best in one place, test in the other.

    place: of the two rates, the one that dev rows ask for. Train is best without dropout, and the
    gap smallest with most of it in that place.
    """
    best, other = rng.permutation([1, 2])
    table = {}
    for at in np.ndindex(len(rates), len(rates)):
        here, there = at[place], at[1 - place]
        table[tuple(rates[list(at)].tolist())] = {
            "train": 0.99 - 0.12 * here - 0.01 * there,
            "dev": 0.85 - 0.05 * (abs(here - best) + there),
            "test": 0.85 - 0.08 * (here + abs(there - other)),
        }
    return table


@choose.check(
    points=3,
    hint="Of the pairs that you try, choose the one with the highest dev accuracy.",
    more='`train` returns a dict: keep train(pair, steps)["dev"] of every pair, and return the pair of the largest. Compare runs of equal length.',
)
def chooses_by_the_dev_rows(ask, rng):
    """chooses by dev accuracy, when train, dev and test rows disagree"""
    decisions = []
    for place in rng.permutation(2):
        table, read = _landscape(rng, _RATES, place), _two_of(_RATES)
        decision = training.decide_made_up(ask, _RATES, table, read, STEPS, 40 * STEPS, rng)
        decisions.append(decision)
    swapped = all(
        chosen[::-1] == max(trials.runs, key=lambda pair, table=table: table[pair]["dev"])
        for table, trials, chosen in decisions
    )
    return training.follows_dev(decisions, STEPS, {"rates swapped": swapped})


@choose.check(
    hint="The steps of all your calls of `train` together must be at most `budget`.",
    more="budget // len(pairs) steps for each pair are never too many.",
)
def keeps_to_the_budget(ask, rng):
    """compares pairs within the budget, with other rates and other numbers of steps"""
    for rates in (_RATES, np.array([0, 0.25, 0.5, 0.75])):
        steps = int(rng.integers(41, 80))
        table, read = _landscape(rng, rates, 0), _two_of(rates)
        _, trials, _ = training.decide_made_up(ask, rates, table, read, steps, 12 * steps, rng)
    return judge(True, f"at most {trials.budget} steps", f"{trials.spent} steps")
