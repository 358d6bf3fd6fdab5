"""Checks of chapter 14, Learning-rate schedules."""

from itertools import pairwise

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import Chapter, vary

chapter = Chapter("14_learning_rate_schedules")


def _wave(start, end, share):
    return end + (start - end) * (1 + np.cos(np.pi * share)) / 2


def _line(start, end, share):
    return start + (end - start) * share


def _no_half(start, end, share):
    return end + (start - end) * (1 + np.cos(np.pi * share))


def _each(ask, steps, *rest):
    """Ask for the rate of every step; return them in one array."""
    return np.array([np.asarray(ask(int(step), *rest), float).reshape(()) for step in steps])


# --- one_cycle -------------------------------------------------------------------------------


def _one_cycle(
    step, total, max_lr, warmup, start, end, *, rise=_wave, fall=_wave, off=1, last=1, low=None
):
    first, top = max_lr / start, warmup * total - off
    if step <= top:
        return rise(first, max_lr, step / top)
    low = low(max_lr, start, end) if low else first / end
    return fall(max_lr, low, (step - top) / (total - last - top))


def _only_falls(step, total, max_lr, warmup, start, end):
    return _wave(max_lr, max_lr / start / end, step / (total - 1))


def _both(part):
    return {"rise": part, "fall": part}


one_cycle = chapter.exercise(
    "one_cycle",
    _one_cycle,
    mistakes={
        "late-peak": vary(_one_cycle, off=0),
        "short-end": vary(_one_cycle, last=0),
        "steps-from-one": vary(_one_cycle, off=0, last=0),
        "linear-rise": vary(_one_cycle, rise=_line),
        "linear": vary(_one_cycle, **_both(_line)),
        "end-of-max": vary(_one_cycle, low=lambda top, start, end: top / end),
        "back-to-first": vary(_one_cycle, low=lambda top, start, end: top / start),
        "to-zero": vary(_one_cycle, low=lambda top, start, end: 0.0),
        "no-half": vary(_one_cycle, **_both(_no_half)),
        "degrees": vary(_one_cycle, **_both(lambda a, b, share: _wave(a, b, share / 180))),
        "upside-down": vary(_one_cycle, **_both(lambda a, b, share: _wave(b, a, share))),
        "no-warmup": _only_falls,
        "fixed-numbers": vary(_one_cycle, warmup=0.3, start=25.0, end=1e4),
    },
    hints={
        "late-peak": "Your peak comes one step late: steps count from 0, so it lies at warmup * total - 1.",
        "short-end": "Your run does not reach its last rate: the last step is total - 1, not total.",
        "steps-from-one": "Two steps are off by one: steps count from 0, so the peak lies at warmup * total - 1 and the end at total - 1.",
        "linear-rise": "Your rate rises along a straight line. It rises along half a cosine wave.",
        "linear": "Both parts are half waves, not straight lines.",
        "end-of-max": "Your last rate is max_lr / end_factor. It is the first rate divided by end_factor.",
        "back-to-first": "Your rate falls back to the first rate only. It goes on, to the first rate divided by end_factor.",
        "to-zero": "Your rate falls to 0. The last rate is the first one divided by end_factor.",
        "no-half": "The factor 1/2 is missing: 1 + cos goes from 2 to 0.",
        "degrees": "np.cos takes radians: half a wave is pi, not 180 or 1.",
        "upside-down": "Start and end are exchanged: the cosine is 1 at the start of a half wave.",
        "no-warmup": "Your rate only falls. The first part of the run rises.",
        "fixed-numbers": "Your function uses 0.3, 25 and 10,000 whatever its arguments say.",
    },
)


@one_cycle.check(
    points=3,
    hint="Compare the rate at the first step, at the peak and at the last step with the text. The peak may lie between two steps.",
    more="The share of the way is 0 where a part begins and 1 where it ends. Where does the rise end, and how many steps are left from there to the last step? Do not round the peak to a whole step.",
)
def follows_the_cycle(ask, rng):
    """gives the rate of every step of the run"""
    total = int(rng.integers(24, 30))
    max_lr, warmup = rng.uniform(4, 6), (rng.integers(8, 11) + 0.4) / total  # a peak between steps
    return _each(ask, range(total), total, max_lr, warmup, rng.uniform(5, 9), rng.uniform(3, 5))


@one_cycle.check(
    hint="With the usual factors the run starts at max_lr / 25 and ends almost at 0.",
    more="The peak of 100 steps with warmup 0.3 is at step 29, and one_cycle(29, ...) is max_lr.",
)
def meets_the_three_rates(ask, rng):
    """starts at max_lr / 25, peaks at step 29 of 100, and ends near 0, for the usual factors"""
    max_lr = (5 * int(rng.integers(4, 9)) + 0.37) / 1000  # a first rate of many digits
    return _each(ask, (0, 29, 99), 100, max_lr, 0.3, 25.0, 1e4)


@one_cycle.check(
    hint="A peak rate twice as large doubles every rate; warmup says where the peak lies.",
    more="Use the arguments, not 0.3, 25 and 1e4: they are only common values.",
)
def uses_its_arguments(ask, rng):
    """follows warmup and both factors when they are unusual"""
    max_lr, warmup = rng.uniform(2, 3), rng.uniform(0.55, 0.7)
    return _each(ask, range(21), 21, max_lr, warmup, rng.uniform(2, 3), rng.uniform(1.5, 2))


# --- cosine_lr -------------------------------------------------------------------------------


def _cosine(
    step,
    total,
    max_lr,
    warmup,
    min_lr,
    *,
    rise=lambda step, warmup, top, low: top * step / warmup,
    fall=_wave,
    share=lambda step, total, warmup: (step - warmup) / (total - warmup),
    end=lambda top, low: low,
):
    if step < warmup:
        return rise(step, warmup, max_lr, min_lr)
    if end and step > total:
        return end(max_lr, min_lr)
    return fall(max_lr, min_lr, share(step, total, warmup))


def _scaled_wave(step, total, max_lr, warmup, min_lr):
    rise = min(step / warmup, 1) if warmup else 1
    return rise * _wave(max_lr, min_lr, min(step / total, 1))


def _restarts(step, total, max_lr, warmup, min_lr):
    return _cosine(step if step <= total else step % total, total, max_lr, warmup, min_lr)


cosine_lr = chapter.exercise(
    "cosine_lr",
    _cosine,
    mistakes={
        "no-half": vary(_cosine, fall=_no_half),
        "degrees": vary(_cosine, fall=lambda a, b, share: _wave(a, b, share / np.pi * 180)),
        "whole-wave": vary(_cosine, fall=lambda a, b, share: _wave(a, b, 2 * share)),
        "floor-added": vary(_cosine, fall=lambda a, b, share: b + _wave(a, 0, share)),
        "no-floor": [
            vary(_cosine, fall=lambda a, b, share: _wave(a, 0, share)),
            vary(_cosine, end=lambda top, low: 0.0),
        ],
        "clipped-floor": vary(_cosine, fall=lambda a, b, share: max(_wave(a, 0, share), b)),
        "warmup-not-counted": vary(
            _cosine, share=lambda step, total, start: (step - start) / total
        ),
        "warmup-not-subtracted": vary(_cosine, share=lambda step, total, start: step / total),
        "linear": vary(_cosine, fall=_line),
        "short-end": vary(
            _cosine, share=lambda step, total, start: (step - start) / (total - 1 - start)
        ),
        "one-early": vary(_cosine, rise=lambda step, warmup, top, low: top * (step + 1) / warmup),
        "from-floor": vary(
            _cosine, rise=lambda step, warmup, top, low: _line(low, top, step / warmup)
        ),
        "no-warmup": vary(_cosine, warmup=0),
        "cosine-warmup": vary(
            _cosine, rise=lambda step, warmup, top, low: _wave(0, top, step / warmup)
        ),
        "scaled-wave": _scaled_wave,
        "rises-again": vary(_cosine, end=None),
        "restarts": _restarts,
        "back-to-max": vary(_cosine, end=lambda top, low: top),
    },
    hints={
        "no-half": "The factor 1/2 is missing: 1 + cos goes from 2 to 0.",
        "degrees": "np.cos takes radians: half a wave is pi, not 180.",
        "whole-wave": "Your rate goes down and up again: half a wave is pi, not 2 pi.",
        "floor-added": "Your peak is max_lr + min_lr. The wave must span max_lr - min_lr.",
        "no-floor": "Your rate falls to 0. It ends at min_lr, and stays there.",
        "clipped-floor": "You cut the wave off at min_lr. Let it span max_lr to min_lr.",
        "warmup-not-counted": "Your wave takes total steps. It takes total - warmup: total includes the warm-up.",
        "warmup-not-subtracted": "Your wave starts at step 0. It starts at step warmup.",
        "linear": "Your rate falls along a straight line. It falls along half a cosine wave.",
        "short-end": "Your floor comes one step early: it is reached at step total.",
        "one-early": "Your warm-up is one step early: at step 0 the rate is 0.",
        "from-floor": "Your warm-up starts at min_lr. It starts at 0.",
        "no-warmup": "There is no warm-up: your rate falls from step 0.",
        "cosine-warmup": "Your warm-up follows a cosine. It grows linearly.",
        "scaled-wave": "You multiplied the falling wave by the warm-up. The wave begins only where the warm-up ends.",
        "rises-again": "Your rate rises again after the end, because the cosine is periodic. It must stay at min_lr.",
        "restarts": "Your schedule starts anew after the end. It must stay at min_lr.",
        "back-to-max": "After the end your rate is max_lr. It must stay at min_lr.",
    },
)


def _cosine_case(rng):
    warmup = int(rng.integers(5, 8))
    return int(rng.integers(26, 32)), rng.uniform(4, 6), warmup, rng.uniform(0.5, 1)


@cosine_lr.check(
    points=2,
    hint="Between warmup and total the rate falls along half a cosine wave from max_lr to min_lr.",
    more="The share of the way is 0 at step warmup and 1 at step total. The cosine of pi times the share goes from 1 to -1: shift and scale it so that it goes from max_lr to min_lr.",
)
def falls_along_half_a_wave(ask, rng):
    """falls along half a cosine wave between warmup and total"""
    total, max_lr, warmup, min_lr = _cosine_case(rng)
    return _each(ask, range(warmup, total + 1), total, max_lr, warmup, min_lr)


@cosine_lr.check(
    points=2,
    hint="At step 0 the rate is 0, at step warmup it is max_lr, between them it grows linearly.",
    more="With warmup = 4 and max_lr = 0.8 the first rates are 0, 0.2, 0.4, 0.6, 0.8.",
)
def warms_up(ask, rng):
    """grows linearly from 0 to max_lr in the first warmup steps"""
    total, max_lr, warmup, min_lr = _cosine_case(rng)
    return _each(ask, range(warmup + 1), total, max_lr, warmup, min_lr)


@cosine_lr.check(
    points=2,
    hint="A cosine is periodic. After step total the rate stays at min_lr.",
    more="The share of the way must not grow beyond 1: np.clip and min bound a number.",
)
def stays_at_the_floor(ask, rng):
    """stays at min_lr after step total"""
    case = _cosine_case(rng)
    return _each(ask, case[0] + np.array([0, 1, 3, 7, 15]), *case)


@cosine_lr.check(
    hint="With warmup = 0 the schedule starts at max_lr; do not divide by warmup then.",
    more="With `if step < warmup`, no step is below 0, so nothing is divided by 0.",
)
def works_without_warmup(ask, rng):
    """starts at max_lr when warmup is 0"""
    return _each(ask, range(13), 12, rng.uniform(1, 2), 0, 0.0)


# --- reduce_on_plateau -----------------------------------------------------------------------


def _plateau(
    losses,
    lr,
    factor,
    patience,
    min_delta,
    cooldown,
    min_lr,
    *,
    improves=lambda loss, best, previous, min_delta: loss + min_delta < best,
    reduced=lambda lr, factor, min_lr: max(lr * factor, min_lr),
    resets=True,
    forgets=False,
    tracks=False,
    blind=False,
    counts=lambda loss, best: True,
):
    """Return the rates of the rule, or of a variant of it."""
    best, wait, rest, rates = losses[0], 0, 0, [lr]
    for previous, loss in pairwise(losses):
        rates.append(lr)
        rest -= 1
        if improves(loss, best, previous, min_delta) and not (blind and rest > 0):
            best, wait = loss, 0
        elif rest <= 0 and counts(loss, best):
            wait += 1
            if wait >= patience:
                lr, rest = reduced(lr, factor, min_lr), cooldown
                wait = 0 if resets else wait
                best = loss if forgets else best
        best = min(best, loss) if tracks else best
    return np.array(rates)


def _skipping(lr, factor, min_lr):
    return lr if lr * factor < min_lr else lr * factor


def _same_epoch(losses, *rest):
    return _plateau(np.append(losses, losses[-1]), *rest)[1:]


def _best_from(start):
    """Return the answer whose best loss is a number before the first epoch."""
    return lambda losses, *rest: _plateau(np.append(start, losses), *rest)[1:]


def _once(losses, lr, factor, *rest):
    return np.where(_plateau(losses, lr, factor, *rest) < lr, lr * factor, lr)


def _counts_in_cooldown(blocked):
    """Return the answer that reduces only after the cooldown, in which it blocks `blocked` epochs."""

    def answer(losses, lr, factor, patience, min_delta, cooldown, min_lr):
        best, wait, rest, rates = losses[0], 0, 0, [lr]
        for loss in losses[1:]:
            rates.append(lr)
            best, wait = (loss, 0) if loss + min_delta < best else (best, wait + 1)
            rest -= 1
            if wait >= patience and rest <= 0:
                lr, wait, rest = max(lr * factor, min_lr), 0, blocked(cooldown)
        return rates

    return answer


reduce_on_plateau = chapter.exercise(
    "reduce_on_plateau",
    _plateau,
    mistakes={
        "one-late": vary(_plateau, patience=lambda patience: patience + 1),
        "one-early": vary(_plateau, patience=lambda patience: patience - 1),
        "no-reset": vary(_plateau, resets=False),
        "previous-loss": [
            vary(_plateau, improves=lambda loss, best, previous, delta: loss + delta < previous),
            vary(_plateau, improves=lambda loss, best, previous, delta: loss <= previous),
        ],
        "same-epoch": _same_epoch,
        "starts-too-low": [_best_from(1.0), _best_from(1000.0)],
        "starts-at-first": lambda losses, *rest: _best_from(losses[0])(losses, *rest),
        "share": vary(
            _plateau, improves=lambda loss, best, previous, delta: loss < best * (1 - delta)
        ),
        "only-above": vary(_plateau, counts=lambda loss, best: loss > best),
        "once": _once,
        "counts-in-cooldown": [
            _counts_in_cooldown(lambda cooldown: cooldown),
            _counts_in_cooldown(lambda cooldown: cooldown + 1),
        ],
        "forgets-best": vary(_plateau, forgets=True),
        "every-epoch": vary(_plateau, patience=1),
        "constant": vary(_plateau, factor=1.0, min_lr=0.0),
        "no-min-delta": vary(_plateau, min_delta=0.0),
        "delta-sign": vary(_plateau, min_delta=lambda delta: -delta),
        "tracks-minimum": vary(_plateau, tracks=True),
        "equal-improves": vary(
            _plateau, improves=lambda loss, best, previous, delta: loss + delta <= best
        ),
        "no-cooldown": vary(_plateau, cooldown=0),
        "cooldown-long": vary(_plateau, cooldown=lambda cooldown: cooldown + 1),
        "cooldown-short": vary(_plateau, cooldown=lambda cooldown: cooldown - 1),
        "blind-cooldown": vary(_plateau, blind=True),
        "no-min-lr": vary(_plateau, min_lr=0.0),
        "skips-last": vary(_plateau, reduced=_skipping),
    },
    hints={
        "one-late": "You reduce one epoch late: reduce when the count reaches patience. (PyTorch's patience is one smaller.)",
        "one-early": "You reduce one epoch early: the best epoch itself is not one without improvement.",
        "no-reset": "After the first reduction you reduce in every epoch. A reduction sets the count back to 0.",
        "previous-loss": "You compare with the loss of the epoch before. Compare with the best loss so far: a loss that falls and stays above it is no improvement.",
        "same-epoch": "Your rate changes in the epoch whose loss it depends on. That loss is known after the epoch, so the next one is the first to use it.",
        "starts-too-low": "Your best loss starts at a number, so no loss above it improves on it. Start at infinity, or at the first loss.",
        "starts-at-first": "You count the first epoch as one without improvement. It is always an improvement.",
        "share": "You take min_delta for a share of the best loss. It is a difference, in nats.",
        "only-above": "You count only losses above the best. An equal loss, or a fall by less than min_delta, is no improvement either.",
        "once": "You reduce the first rate only. Every reduction multiplies the rate of the epoch by factor.",
        "counts-in-cooldown": "The count goes on during your cooldown. It rests until epoch t + cooldown, and that is the first to be counted.",
        "forgets-best": "You start a new best after a reduction. The best loss stays.",
        "every-epoch": "You reduce in every epoch without improvement. Wait for `patience` of them.",
        "constant": "Your rate never changes.",
        "no-min-delta": "min_delta has no effect in your rule.",
        "delta-sign": "min_delta has the wrong sign: it must make an improvement harder.",
        "tracks-minimum": "You note every new minimum as the best. A fall of less than min_delta is not noted, so that slow falls can add up.",
        "equal-improves": "A fall by exactly min_delta, or an equal loss, is no improvement: use <, not <=.",
        "no-cooldown": "cooldown has no effect in your rule.",
        "cooldown-long": "Your cooldown is one epoch too long: epoch t + cooldown is counted again. (PyTorch's cooldown is one longer.)",
        "cooldown-short": "Your cooldown is one epoch too short.",
        "blind-cooldown": "You ignore improvements during the cooldown. They are noted; only the count rests.",
        "no-min-lr": "min_lr has no effect in your rule.",
        "skips-last": "You skip a reduction that would cross min_lr. The rate goes down to min_lr itself.",
    },
)


@reduce_on_plateau.check(
    points=3,
    hint="Note the best loss, count epochs in a row without improvement, and reduce when the count reaches patience.",
    more="With patience 2, losses 0.9, 0.5, 0.6, 0.7, 0.8, 0.9 reduce the rate after epochs 4 and 6. The best loss may be large: it starts at infinity or at the first loss.",
)
def reduces_when_patience_is_used_up(ask, rng):
    """reduces after `patience` epochs in a row without improvement, and then counts anew"""
    top = rng.uniform(1.5, 2)
    # Waits of 1 and 2; then losses that fall and stay above the best; then rises in a row.
    falls = [0, 0.5, 0.3, 0.6, 0.4, 0.45, 0.8, 0.5, 0.55, 0.6, 0.65, 0.7, 0.6, 0.5, 0.4, 0.3, 0.7]
    losses = 1e6 * (top - np.array(falls))
    return ask(losses, rng.uniform(2, 3), rng.uniform(0.4, 0.6), 3, 0.0, 0, 0.0)


@reduce_on_plateau.check(
    points=2,
    hint="An improvement is more than min_delta below the best one noted; an equal loss is none.",
    more="With min_delta = 0.1, the losses 0.90, 0.84, 0.78 have one improvement after the first: 0.78, which is compared with 0.90.",
)
def needs_more_than_min_delta(ask, rng):
    """asks for a fall by more than min_delta below the best loss noted"""
    # Five falls of 1/32 exceed 1/8, and six exceed an eighth of the start. Then a fall by exactly
    # 1/8, and two levels.
    start = rng.integers(80, 84) / 64
    losses = start - np.array([*np.arange(12), 14, 14, *[32] * 6]) / 32
    return ask(losses, 1.0, 0.5, 3, 1 / 8, 0, 0.0)


@reduce_on_plateau.check(
    points=2,
    hint="After a reduction in epoch t, epochs before t + cooldown are not counted.",
    more="After a reduction in epoch 5 with cooldown 3, epochs 6 and 7 are not counted, and epoch 8 may be. A second counter, of the epochs since the reduction, tells which.",
)
def cools_down(ask, rng):
    """does not count before the cooldown is over, and notes improvements all the same"""
    low = rng.uniform(0.1, 0.2)
    # The best loss of all comes within the cooldown; then slow falls that never reach it.
    losses = np.array([1, 0.9, 1, 1, 1, 1, low, *np.linspace(0.8, 0.4, 12)])
    cases = ((int(rng.integers(6, 8)), losses), (1, np.full(10, low)))
    return {f"cooldown {n}": ask(some, 1.0, 0.5, 4, 0.0, n, 0.0) for n, some in cases}


@reduce_on_plateau.check(
    hint="The rate never falls below min_lr, and a reduction that would cross it stops there.",
    more="With lr = 0.1, factor 0.5 and min_lr = 0.04 the rates are 0.1, 0.05 and then 0.04, not 0.025 and not 0.05 for ever.",
)
def stops_at_the_smallest_rate(ask, rng):
    """stops at min_lr"""
    losses, lr = np.full(9, rng.uniform(1, 2)), rng.uniform(0.8, 1.2)
    rest = lr, 0.5, 2, 0.0, 0, 0.3 * lr
    return {"9 equal losses": ask(losses, *rest), "a single epoch": ask(losses[:1], *rest)}


# --- train_with_schedule ---------------------------------------------------------------------


def _train(
    kernel,
    bias,
    x,
    y,
    order,
    rates,
    momentum,
    *,
    inside=False,
    forgets=False,
    scale=lambda rows: 1,
    nesterov=False,
):
    """Train by the formulas; `inside` is Keras's velocity, which holds the rate."""
    weights, velocity, before = [kernel, bias], [0, 0], rates[0]
    for rows, rate in zip(order, rates, strict=True):
        if forgets and rate != before:
            velocity = [0, 0]
        before = rate
        p = softmax(x[rows] @ weights[0] + weights[1])
        d = scale(rows) * (p - np.eye(len(bias))[y[rows]]) / len(rows)
        grow, step = (rate, 1) if inside else (1, rate)
        for i, gradient in enumerate((x[rows].T @ d, d.sum(axis=0))):
            velocity[i] = momentum * velocity[i] + grow * gradient
            move = momentum * velocity[i] + grow * gradient if nesterov else velocity[i]
            weights[i] = weights[i] - step * move
    return tuple(weights)


def _whole_set(kernel, bias, x, y, order, rates, momentum):
    return _train(kernel, bias, x, y, [np.arange(len(x))] * len(rates), rates, momentum)


def _damped(kernel, bias, x, y, order, rates, momentum):
    return _train(kernel, bias, x, y, order, rates * (1 - momentum), momentum)


train_with_schedule = chapter.exercise(
    "train_with_schedule",
    _train,
    mistakes={
        "keras-velocity": vary(_train, inside=True),
        "one-early": vary(_train, rates=lambda rates: np.append(rates[1:], rates[-1])),
        "one-late": vary(_train, rates=lambda rates: np.append(rates[0], rates[:-1])),
        "constant": vary(_train, rates=lambda rates: np.full_like(rates, rates[0])),
        "no-momentum": vary(_train, momentum=0.0),
        "forgets-velocity": vary(_train, forgets=True),
        "damped": _damped,
        "nesterov": vary(_train, nesterov=True),
        "summed-loss": vary(_train, scale=len),
        "ascent": vary(_train, scale=lambda rows: -1),
        "untrained": vary(_train, scale=lambda rows: 0),
        "whole-set": _whole_set,
    },
    hints={
        "keras-velocity": "Your velocity holds the rate, as Keras's does. When the rate changes, multiply it by the new rate over the old one.",
        "one-early": "Your rates come one step early: is the scheduler called before the optimizer's step?",
        "one-late": "Your rates come one step late: step t uses rates[t].",
        "constant": "You use the first rate in every step.",
        "no-momentum": "The momentum has no effect in your run.",
        "forgets-velocity": "Your velocity starts at 0 whenever the rate changes. Keep the optimizer and change only its rate.",
        "damped": "You weight the gradient by 1 - momentum. The velocity is momentum * velocity + gradient.",
        "nesterov": "You use Nesterov's momentum. The step follows the velocity itself.",
        "summed-loss": "Your loss is a sum over the mini-batch. Take the mean.",
        "ascent": "You step up the gradient. Descent subtracts it.",
        "untrained": "The weights have not changed.",
        "whole-set": "You train on all rows in every step. Step t takes the rows order[t].",
    },
)


def _run(rng, steps=9, batch=6, classes=3):
    x, y = rng.normal(size=(20, 4)), rng.integers(0, classes, size=20)
    order = np.stack([rng.permutation(20)[:batch] for _ in range(steps)])
    low, high, end = rng.uniform(0.2, 0.3), rng.uniform(0.6, 0.8), rng.uniform(0.05, 0.1)
    rates = np.array([low, low, high, high, high, *[end] * (steps - 5)])
    weights = rng.normal(size=(4, classes)), rng.normal(size=classes)
    return (*weights, x, y, order, rates, rng.uniform(0.75, 0.9))


@train_with_schedule.check(
    points=3,
    hint="Set the rate before each step, and keep a velocity that does not hold the rate.",
    more="PyTorch keeps the rate in optimizer.param_groups, Keras in optimizer.learning_rate and, with it, in optimizer.momentums: convert those whenever the rate changes.",
)
def follows_the_rates(ask, rng):
    """ends with the weights of SGD with momentum under these rates"""
    return ask(*_run(rng))


@train_with_schedule.check(
    hint="With one rate in every step it is plain SGD with momentum.",
    more="Check the mean cross-entropy, the mini-batches order[t], and both updates.",
    keeps_input=True,
)
def is_sgd_at_a_constant_rate(ask, rng):
    """is plain SGD with momentum when all rates are equal"""
    *case, _, momentum = _run(rng, steps=6, batch=5, classes=4)
    return ask(*case, np.full(6, 0.25), momentum)


@train_with_schedule.check(
    hint="One rate means one step: order and rates have the same length.",
    more="The first step has no velocity yet: it is rates[0] times the gradient.",
)
def takes_a_single_step(ask, rng):
    """takes one plain gradient step when there is one rate"""
    *case, order, rates, momentum = _run(rng, steps=6)
    return ask(*case, order[:1], rates[-1:], momentum)


# --- diagnose_rate ---------------------------------------------------------------------------


def _diagnose(
    train_loss,
    rates,
    reference,
    *,
    finite=lambda loss: np.isfinite(loss).all(),
    fine=lambda loss, reference: loss[-1] <= 1.1 * reference,
    jumps=lambda loss: (np.diff(loss) > 0).mean() >= 1 / 3,
    early=lambda rates: rates[-1] <= rates.max() / 10,
    fine_first=True,
):
    if not finite(train_loss):
        return "too large"
    good, jumping = fine(train_loss, reference), jumps(train_loss)
    if jumping and not (good and fine_first):
        return "too large"
    if good:
        return "fine"
    return "decayed too early" if early(rates) else "too small"


def _decay_first(train_loss, rates, reference):
    early = rates[-1] <= rates.max() / 10
    return "decayed too early" if early else _diagnose(train_loss, rates, reference)


def _decay_before_rises(train_loss, rates, reference):
    found = _diagnose(train_loss, rates, reference)
    early = np.isfinite(train_loss).all() and rates[-1] <= rates.max() / 10
    return "decayed too early" if early and found == "too large" else found


def _above_the_lowest(loss):
    return (loss[1:] > np.minimum.accumulate(loss)[:-1]).mean() >= 1 / 3


diagnose_rate = chapter.exercise(
    "diagnose_rate",
    _diagnose,
    mistakes={
        "nan-unseen": vary(_diagnose, finite=lambda loss: True),
        "nan-at-the-end-only": vary(_diagnose, finite=lambda loss: np.isfinite(loss[-1])),
        "infinity-unseen": vary(_diagnose, finite=lambda loss: not np.isnan(loss).any()),
        "last-rise": vary(_diagnose, jumps=lambda loss: loss[-1] > loss[-2]),
        "decay-is-early": _decay_first,
        "decay-before-rises": _decay_before_rises,
        "jumps-first": vary(_diagnose, fine_first=False),
        "no-margin": vary(_diagnose, fine=lambda loss, reference: loss[-1] <= reference),
        "wide-margin": [
            vary(_diagnose, fine=lambda loss, reference: loss[-1] <= 1.2 * reference),
            vary(_diagnose, fine=lambda loss, reference: loss[-1] <= reference + 0.1),
            vary(_diagnose, fine=lambda loss, reference: round(loss[-1] / reference, 1) <= 1.1),
        ],
        "below-the-bound": vary(_diagnose, fine=lambda loss, reference: loss[-1] < 1.1 * reference),
        "lowest-loss": vary(_diagnose, fine=lambda loss, reference: loss.min() <= 1.1 * reference),
        "absolute": vary(_diagnose, fine=lambda loss, reference: loss[-1] <= 0.1),
        "first-rate": vary(_diagnose, early=lambda rates: rates[-1] <= rates[0] / 10),
        "any-rise": vary(_diagnose, jumps=lambda loss: (np.diff(loss) > 0).any()),
        "more-than-a-third": [
            vary(_diagnose, jumps=lambda loss: (np.diff(loss) > 0).mean() > 1 / 3),
            vary(_diagnose, jumps=lambda loss: (np.diff(loss) > 0).sum() >= len(loss) / 3),
        ],
        "coarse-third": [
            vary(_diagnose, jumps=lambda loss: (np.diff(loss) > 0).mean() >= 0.33),
            vary(_diagnose, jumps=lambda loss: (np.diff(loss) > 0).sum() >= len(loss) // 3),
        ],
        "above-the-lowest": vary(_diagnose, jumps=_above_the_lowest),
        "equal-rises": vary(_diagnose, jumps=lambda loss: (np.diff(loss) >= 0).mean() >= 1 / 3),
        "less-than-a-tenth": vary(_diagnose, early=lambda rates: rates[-1] < rates.max() / 10),
        "smallest-rate": vary(_diagnose, early=lambda rates: rates.min() <= rates.max() / 10),
        "any-change": vary(_diagnose, early=lambda rates: (np.diff(rates) < 0).any()),
        "always-small": vary(_diagnose, early=lambda rates: False),
    },
    hints={
        "nan-unseen": "You overlook losses that are not finite: every comparison with NaN is False. Ask np.isfinite first.",
        "nan-at-the-end-only": "You overlook losses that were not finite for a while. Look at all of them, before any other rule.",
        "infinity-unseen": "You overlook infinity: np.isnan is False for it. np.isfinite is False for both.",
        "last-rise": "You overlook a jumping loss. Count the rises over the whole run, not only at its end.",
        "decay-is-early": "You call every decay too early. A decay that ends at the reference was right.",
        "decay-before-rises": "You ask for the decay before the rises. The first rule that holds decides: a jumping run was too large, with or without a decay.",
        "jumps-first": "You count the rises before you look at the end. A jumping run that reaches the reference is fine.",
        "no-margin": "Your bound is the reference itself. Up to 1.1 times the reference is fine.",
        "wide-margin": "Your bound for a fine run is too wide: it is 1.1 times the reference, not rounded.",
        "below-the-bound": "Your run must end below 1.1 times the reference. Exactly 1.1 times is fine too.",
        "lowest-loss": "You look at the lowest loss of the run. The last one decides.",
        "absolute": "You do not call a run fine that reaches the reference. Does your bound depend on it, and is it asked first?",
        "first-rate": "You compare with the first rate. After a warm-up that is not the largest one.",
        "any-rise": "You call a few rises too large. They must make up a third of the epochs.",
        "more-than-a-third": "You overlook rises in exactly a third of the epochs after the first, such as 4 rises in 13 epochs. They are enough.",
        "coarse-third": "Too few rises are enough in your rule: 33 in the 100 epochs after the first are less than a third. Compare with 1 / 3 itself, not with a rounded number.",
        "above-the-lowest": "You compare with the lowest loss so far. A rise is counted from one epoch to the next.",
        "equal-rises": "You count an equal loss as a rise.",
        "less-than-a-tenth": "You ask for a last rate below a tenth of the largest. Exactly a tenth is early too.",
        "smallest-rate": "You look at the smallest rate of the run. Look at the last one: a warm-up starts low too.",
        "any-change": "You call every fall of the rate an early decay. The last rate must be at most a tenth of the largest.",
        "always-small": "You do not look at the rates: some of these runs were decayed.",
    },
)


def _smooth(rng, first, last, epochs=13):
    """Draw a curve that falls in every epoch, quickly at first."""
    steps = np.sort(rng.uniform(0.1, 1, size=epochs - 1))[::-1]
    return first - (first - last) * np.concatenate([[0], steps.cumsum() / steps.sum()])


def _rising(loss, *epochs):
    """Return the curve with the loss of these epochs (from 0) a little above the one before."""
    loss = loss.copy()
    for epoch in epochs:
        loss[epoch] = loss[epoch - 1] + 0.01
    return loss


def _in_halves(rng):
    """Draw a number that stays exact when it is multiplied by 1.1 or divided by 10."""
    return 0.15625 * 2.0 ** rng.integers(3)


@diagnose_rate.check(
    points=2,
    hint="A loss that is not finite means too large, before any other rule; so do rises in a third of the epochs after the first or in more, if the end is not fine.",
    more="np.isfinite tells NaN and infinity from numbers, np.diff gives the changes from one epoch to the next. Four rises in 13 epochs are exactly a third, since the first epoch cannot rise.",
)
def knows_a_rate_that_is_too_large(ask, rng):
    """calls a run that blew up, or that keeps jumping, too large"""
    reference = rng.uniform(0.2, 0.3)
    nan, overflow, gap, jumping, small = (_smooth(rng, 2.3, 1.2) for _ in range(5))
    nan[5:], gap[3:6], overflow[1:3] = np.nan, np.nan, np.inf
    gap[-1] = overflow[-1] = reference
    jumping[[1, 2, 3, 4, 6, 8, 10]] += np.array([1, 1.5, 2, 2.5, 3, 3, 3])
    constant, decay = np.full(13, 0.5), 0.5 * 0.7 ** np.arange(13)
    return {
        "NaN from the middle on": ask(nan, constant, reference),
        "NaN for three epochs, then down to the reference": ask(gap, constant, reference),
        "infinite for two epochs, then down to the reference": ask(overflow, constant, reference),
        "a loss that rises in 7 of 12 epochs, with a decay": ask(jumping, decay, reference),
        "a loss that rises a little in 4 of 12 epochs": ask(
            _rising(small, 2, 5, 8, 11), constant, reference
        ),
    }


@diagnose_rate.check(
    points=2,
    hint="Fine is decided by the last loss against the reference, whatever the rate did and however the loss jumped.",
    more="With the reference 0.5, a run that ends at 0.55 is fine and one that ends at 0.56 is not. Ask this before the rises and before the rate.",
)
def knows_a_fine_run(ask, rng):
    """calls a run that reaches the reference fine, also with a decay or with jumps"""
    reference = _in_halves(rng)
    decay = 0.5 * 0.7 ** np.arange(13)
    ends = 0.7, 1.05, 1.1, 1.12, 2.5
    better, close, border, above, far = (_smooth(rng, 2.3, k * reference) for k in ends)
    border[-1], far[8] = reference * 11 / 10, 0.9 * reference
    jumping = better.copy()
    jumping[[2, 4, 6, 8, 10]] += 1.0
    return {
        "0.7 times the reference, with a decay": ask(better, decay, reference),
        "1.05 times the reference, with a decay": ask(close, decay, reference),
        "1.1 times the reference, with a decay": ask(border, decay, reference),
        "0.7 times the reference, with jumps": ask(jumping, np.full(13, 0.5), reference),
        "1.12 times the reference, with a decay": ask(above, decay, reference),
        "2.5 times the reference, after lower losses, with a decay": ask(far, decay, reference),
    }


@diagnose_rate.check(
    points=2,
    hint="Compare the last rate with a tenth of the largest rate of the run, and count the rises: a few of them, or equal losses, say nothing.",
    more="A warm-up starts low: neither the first rate nor the smallest one decides. 33 rises in the 100 epochs after the first are less than a third.",
)
def tells_early_decay_from_small(ask, rng):
    """tells a decay that came too early from a rate that was always too small"""
    reference = rng.uniform(0.2, 0.3)
    loss, flat = _smooth(rng, 2.3, 1.5), _smooth(rng, 2.3, 1.5)
    flat[[2, 3, 4, 6, 8]] = flat[[1, 1, 1, 5, 7]]
    peak = 2 * _in_halves(rng)
    constant = np.full(13, peak / 20)
    long = _rising(np.linspace(2.3, 1.6, 101), *range(1, 100, 3))
    schedules = {
        "a constant rate": constant,
        "a last rate of 1/10 of the peak": np.array([peak] * 12 + [peak / 10]),
        "a last rate of 1/15 of the peak, after lower ones": np.array(
            [peak] * 4 + [peak / 20] * 8 + [peak / 15]
        ),
        "a last rate of 1/9.5 of the peak, after lower ones": np.array(
            [peak] * 4 + [peak / 20] * 8 + [peak / 9.5]
        ),
        "a last rate of 1/2 of the peak": np.array([peak] * 12 + [peak / 2]),
        "a warm-up, then the peak, then 1/200 of it": np.array(
            [peak / 50, peak / 20] + [peak] * 10 + [peak / 200]
        ),
        "a warm-up, then the peak": np.array([peak / 50, peak / 20] + [peak] * 11),
    }
    answers = {case: ask(loss, rates, reference) for case, rates in schedules.items()}
    return answers | {
        "a loss that rises in 33 of 100 epochs": ask(long, np.full(101, peak), reference),
        "a loss that stays equal in 5 of 12 epochs": ask(flat, constant, reference),
    }
