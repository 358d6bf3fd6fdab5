"""Checks of chapter 14, Learning-rate schedules."""

import itertools

import numpy as np

from regbook.check import Chapter, Outcome, Wrong, compare

chapter = Chapter("14_learning_rate_schedules")


def _wave(start, end, share):
    return end + (start - end) * (1 + np.cos(np.pi * share)) / 2


def _one_cycle(
    step,
    total,
    max_lr,
    warmup,
    start_factor,
    end_factor,
    *,
    rise=_wave,
    fall=_wave,
    off=1,
    last=1,
    end=None,
):
    first, top = max_lr / start_factor, warmup * total - off
    if step <= top:
        return rise(first, max_lr, step / top)
    end = first / end_factor if end is None else end
    return fall(max_lr, end, (step - top) / (total - last - top))


def _linear(start, end, share):
    return start + (end - start) * share


def _each(answer, steps, *rest):
    """Call the answer for every step; return its rates in one array."""
    return np.array([np.asarray(answer(int(step), *rest), float).reshape(()) for step in steps])


def _cycle_case(rng):
    """Draw (total, max_lr, warmup, start_factor, end_factor); the peak lies between two steps."""
    total = int(rng.integers(24, 30))
    return (
        total,
        rng.uniform(4, 6),
        (rng.integers(8, 11) + 0.4) / total,
        rng.uniform(5, 9),
        rng.uniform(3, 5),
    )


@chapter.check(
    "one_cycle",
    points=3,
    hint="Compare the rate at the first step, at the peak and at the last step with the text.",
    more="first = max_lr / start_factor, top = warmup * total - 1; up to top the share is step / top, after it (step - top) / (total - 1 - top).",
)
def follows_the_cycle(answer, rng):
    """gives the rate of every step of the run"""
    case = _cycle_case(rng)
    total, max_lr, _, start, end = case
    steps = range(total)
    received = _each(answer, steps, *case)
    half = lambda a, b, share: b + (a - b) * (1 + np.cos(np.pi * share))  # noqa: E731
    degrees = lambda a, b, share: _wave(a, b, share / 180)  # noqa: E731

    def variant(**options):
        return np.array([_one_cycle(step, *case, **options) for step in steps])

    return compare(
        received,
        variant(),
        wrong=[
            Wrong(
                "late-peak",
                variant(off=0),
                "Your peak comes one step late: steps count from 0, so it lies at warmup * total - 1.",
            ),
            Wrong(
                "short-end",
                variant(last=0),
                "Your run does not reach its last rate: the last step is total - 1, not total.",
            ),
            Wrong(
                "steps-from-one",
                variant(off=0, last=0),
                "Two steps are off by one: steps count from 0, so the peak lies at warmup * total - 1 and the end at total - 1.",
            ),
            Wrong(
                "linear-rise",
                variant(rise=_linear),
                "Your rate rises along a straight line. It rises along half a cosine wave.",
            ),
            Wrong(
                "linear",
                variant(rise=_linear, fall=_linear),
                "Both parts are half waves, not straight lines.",
            ),
            Wrong(
                "end-of-max",
                variant(end=max_lr / end),
                "Your last rate is max_lr / end_factor. It is the first rate divided by end_factor.",
            ),
            Wrong(
                "back-to-first",
                variant(end=max_lr / start),
                "Your rate falls back to the first rate only. It goes on, to the first rate divided by end_factor.",
            ),
            Wrong(
                "to-zero",
                variant(end=0.0),
                "Your rate falls to 0. The last rate is the first one divided by end_factor.",
            ),
            Wrong(
                "no-half",
                variant(rise=half, fall=half),
                "The factor 1/2 is missing: 1 + cos goes from 2 to 0.",
            ),
            Wrong(
                "degrees",
                variant(rise=degrees, fall=degrees),
                "np.cos takes radians: half a wave is pi, not 180 or 1.",
            ),
            Wrong(
                "upside-down",
                variant(rise=lambda a, b, s: _wave(b, a, s), fall=lambda a, b, s: _wave(b, a, s)),
                "Start and end are exchanged: the cosine is 1 at the start of a half wave.",
            ),
            Wrong(
                "no-warmup",
                np.array(
                    [_wave(max_lr, max_lr / start / end, step / (total - 1)) for step in steps]
                ),
                "Your rate only falls. The first part of the run rises.",
            ),
        ],
    )


@chapter.check(
    "one_cycle",
    hint="With the usual factors the run starts at max_lr / 25 and ends almost at 0.",
    more="The peak of 100 steps with warmup 0.3 is at step 29, and one_cycle(29, ...) is max_lr.",
)
def meets_the_three_rates(answer, rng):
    """starts at max_lr / 25, peaks at step 29 of 100, and ends near 0, for the usual factors"""
    max_lr = rng.uniform(0.5, 2)
    steps = (0, 29, 99)
    expected = np.array([max_lr / 25, max_lr, max_lr / 25e4])
    return compare(
        _each(answer, steps, 100, max_lr, 0.3, 25.0, 1e4),
        expected,
        wrong=[
            Wrong(
                "late-peak",
                np.array([_one_cycle(s, 100, max_lr, 0.3, 25, 1e4, off=0) for s in steps]),
                "Your peak comes one step late: it lies at warmup * total - 1.",
            )
        ],
    )


@chapter.check(
    "one_cycle",
    hint="A peak rate twice as large doubles every rate; warmup says where the peak lies.",
    more="Use the arguments, not 0.3, 25 and 1e4: they are only common values.",
)
def uses_its_arguments(answer, rng):
    """follows warmup and both factors when they are unusual"""
    total, max_lr = 21, rng.uniform(2, 3)
    case = (total, max_lr, rng.uniform(0.55, 0.7), rng.uniform(2, 3), rng.uniform(1.5, 2))
    fixed = (total, max_lr, 0.3, 25.0, 1e4)
    return compare(
        _each(answer, range(total), *case),
        np.array([_one_cycle(step, *case) for step in range(total)]),
        wrong=[
            Wrong(
                "fixed-numbers",
                np.array([_one_cycle(step, *fixed) for step in range(total)]),
                "Your function uses 0.3, 25 and 10,000 whatever its arguments say.",
            )
        ],
    )


def _cosine(step, total, max_lr, warmup, min_lr, *, early=0, counted=True, wave=_wave, stays=True):
    if step < warmup:
        return max_lr * (step + early) / warmup
    if stays and step > total:
        return min_lr
    length = total - warmup if counted else total
    return wave(max_lr, min_lr, (step - warmup) / length)


def _cosine_case(rng):
    warmup = int(rng.integers(5, 8))
    return int(rng.integers(26, 32)), rng.uniform(4, 6), warmup, rng.uniform(0.5, 1)


@chapter.check(
    "cosine_lr",
    points=2,
    hint="Between warmup and total the rate falls along half a cosine wave from max_lr to min_lr.",
    more="share = (step - warmup) / (total - warmup); min_lr + (max_lr - min_lr) * (1 + cos(pi * share)) / 2.",
)
def falls_along_half_a_wave(answer, rng):
    """falls along half a cosine wave between warmup and total"""
    case = _cosine_case(rng)
    total, max_lr, warmup, min_lr = case
    steps = range(warmup, total + 1)

    def variant(**options):
        return np.array([_cosine(step, *case, **options) for step in steps])

    return compare(
        _each(answer, steps, *case),
        variant(),
        wrong=[
            Wrong(
                "no-half",
                variant(wave=lambda a, b, s: b + (a - b) * (1 + np.cos(np.pi * s))),
                "The factor 1/2 is missing: 1 + cos goes from 2 to 0.",
            ),
            Wrong(
                "degrees",
                variant(wave=lambda a, b, s: _wave(a, b, s / np.pi * 180)),
                "np.cos takes radians: half a wave is pi, not 180.",
            ),
            Wrong(
                "whole-wave",
                variant(wave=lambda a, b, s: _wave(a, b, 2 * s)),
                "Your rate goes down and up again: half a wave is pi, not 2 pi.",
            ),
            Wrong(
                "floor-added",
                variant(wave=lambda a, b, s: b + a * (1 + np.cos(np.pi * s)) / 2),
                "Your peak is max_lr + min_lr. The wave must span max_lr - min_lr.",
            ),
            Wrong(
                "no-floor",
                variant(wave=lambda a, b, s: _wave(a, 0, s)),
                "Your rate falls to 0. It ends at min_lr.",
            ),
            Wrong(
                "clipped-floor",
                variant(wave=lambda a, b, s: max(_wave(a, 0, s), b)),
                "You cut the wave off at min_lr. Let it span max_lr to min_lr.",
            ),
            Wrong(
                "warmup-not-counted",
                variant(counted=False),
                "Your wave takes total steps. It takes total - warmup: total includes the warm-up.",
            ),
            Wrong(
                "warmup-not-subtracted",
                np.array([_wave(max_lr, min_lr, step / total) for step in steps]),
                "Your wave starts at step 0. It starts at step warmup.",
            ),
            Wrong(
                "linear",
                variant(wave=_linear),
                "Your rate falls along a straight line. It falls along half a cosine wave.",
            ),
            Wrong(
                "short-end",
                np.array(
                    [_wave(max_lr, min_lr, (s - warmup) / (total - 1 - warmup)) for s in steps]
                ),
                "Your floor comes one step early: it is reached at step total.",
            ),
        ],
    )


@chapter.check(
    "cosine_lr",
    points=2,
    hint="At step 0 the rate is 0, at step warmup it is max_lr, between them it grows linearly.",
    more="Return max_lr * step / warmup while step < warmup.",
)
def warms_up(answer, rng):
    """grows linearly from 0 to max_lr in the first warmup steps"""
    case = _cosine_case(rng)
    total, max_lr, warmup, min_lr = case
    steps = range(warmup + 1)
    expected = max_lr * np.arange(warmup + 1) / warmup

    def with_last(values):
        return np.append(values, max_lr)

    before = np.arange(warmup)
    return compare(
        _each(answer, steps, *case),
        expected,
        wrong=[
            Wrong(
                "one-early",
                with_last(max_lr * (before + 1) / warmup),
                "Your warm-up is one step early: at step 0 the rate is 0.",
            ),
            Wrong(
                "from-floor",
                with_last(min_lr + (max_lr - min_lr) * before / warmup),
                "Your warm-up starts at min_lr. It starts at 0.",
            ),
            Wrong(
                "no-warmup",
                np.array([_cosine(s, total, max_lr, 0, min_lr) for s in steps]),
                "There is no warm-up: your rate falls from step 0.",
            ),
            Wrong(
                "cosine-warmup",
                with_last(_wave(0, max_lr, before / warmup)),
                "Your warm-up follows a cosine. It grows linearly.",
            ),
            Wrong(
                "scaled-wave",
                np.array([_wave(max_lr, min_lr, s / total) * min(s / warmup, 1) for s in steps]),
                "You multiplied the falling wave by the warm-up. The wave begins only where the warm-up ends.",
            ),
        ],
    )


@chapter.check(
    "cosine_lr",
    points=2,
    hint="A cosine is periodic. After step total the rate stays at min_lr.",
    more="Return min_lr when step > total, or bound the share by 1.",
)
def stays_at_the_floor(answer, rng):
    """stays at min_lr after step total"""
    case = _cosine_case(rng)
    total, max_lr, _, min_lr = case
    steps = total + np.array([0, 1, 3, 7, 15])
    return compare(
        _each(answer, steps, *case),
        np.full(5, min_lr),
        wrong=[
            Wrong(
                "rises-again",
                np.array([_cosine(s, *case, stays=False) for s in steps]),
                "Your rate rises again after the end, because the cosine is periodic. It must stay at min_lr.",
            ),
            Wrong(
                "restarts",
                np.array([min_lr] + [_cosine(s % total, *case) for s in steps[1:]]),
                "Your schedule starts anew after the end. It must stay at min_lr.",
            ),
            Wrong(
                "no-floor",
                np.array([min_lr, 0, 0, 0, 0]),
                "After the end your rate is 0. It must stay at min_lr.",
            ),
            Wrong(
                "back-to-max",
                np.array([min_lr, *[max_lr] * 4]),
                "After the end your rate is max_lr. It must stay at min_lr.",
            ),
        ],
    )


@chapter.check(
    "cosine_lr",
    hint="With warmup = 0 the schedule starts at max_lr; do not divide by warmup then.",
    more="With `if step < warmup`, no step is below 0, so nothing is divided by 0.",
)
def works_without_warmup(answer, rng):
    """starts at max_lr when warmup is 0"""
    total, max_lr = 12, rng.uniform(1, 2)
    return compare(
        _each(answer, range(total + 1), total, max_lr, 0, 0.0),
        _wave(max_lr, 0, np.arange(total + 1) / total),
    )


def _plateau(
    losses,
    lr,
    factor,
    patience,
    min_delta=0.0,
    cooldown=0,
    min_lr=0.0,
    *,
    late=0,
    extra=0,
    reset=True,
    to_best=True,
    strict=True,
    track=False,
    after=False,
    forgets=False,
    blind=False,
    shared=False,
):
    """Return the rates of the rule, or of a variant of it."""
    best, wait, rest, rates, previous = losses[0], 0, 0, [lr], losses[0]
    for loss in losses[1:]:
        rates.append(lr)
        rest -= 1
        target = best if to_best else previous
        better = loss + min_delta < target or (not strict and loss + min_delta <= target)
        previous = loss
        if better and not (blind and rest > 0):
            best, wait = loss, 0
        elif rest <= 0:
            wait += 1
            if wait >= patience + late:
                lr, rest = max(lr * factor, min_lr), cooldown + extra
                wait = 0 if reset else wait
                best = loss if forgets else best
        if track:
            best = min(best, loss)
        if after:
            rates[-1] = lr
    return np.array(rates)


@chapter.check(
    "reduce_on_plateau",
    points=3,
    hint="Note the best loss, count epochs in a row without improvement, and reduce when the count reaches patience.",
    more="The rate is appended before the epoch's loss is looked at; after a reduction the count is 0.",
)
def reduces_when_patience_is_used_up(answer, rng):
    """reduces after `patience` epochs in a row without improvement, and then counts anew"""
    top = rng.uniform(1.5, 2)
    # Waits of 1 and 2; then losses that fall and stay above the best; then rises in a row.
    falls = [0, 0.5, 0.3, 0.6, 0.4, 0.45, 0.8, 0.5, 0.55, 0.6, 0.65, 0.7, 0.6, 0.5, 0.4, 0.3, 0.7]
    losses, lr, factor = top - np.array(falls), rng.uniform(2, 3), rng.uniform(0.4, 0.6)

    def variant(**options):
        return _plateau(losses, lr, factor, 3, **options)

    return compare(
        answer(losses, lr, factor, 3, 0.0, 0, 0.0),
        variant(),
        wrong=[
            Wrong(
                "one-late",
                variant(late=1),
                "You reduce one epoch late: reduce when the count reaches patience. (PyTorch's patience is one smaller.)",
            ),
            Wrong(
                "one-early",
                variant(late=-1),
                "You reduce one epoch early: the best epoch itself is not one without improvement.",
            ),
            Wrong(
                "no-reset",
                variant(reset=False),
                "After the first reduction you reduce in every epoch. A reduction sets the count back to 0.",
            ),
            Wrong(
                "previous-loss",
                variant(to_best=False),
                "You compare with the loss of the epoch before. Compare with the best loss so far: a loss that falls and stays above it is no improvement.",
            ),
            Wrong(
                "same-epoch",
                variant(after=True),
                "Your rate changes in the epoch whose loss it depends on. That loss is known after the epoch, so the next one is the first to use it.",
            ),
            Wrong(
                "forgets-best",
                variant(forgets=True),
                "You start a new best after a reduction. The best loss stays.",
            ),
            Wrong(
                "every-epoch",
                lr * factor ** np.cumsum([0, *(losses[:-1] > np.minimum.accumulate(losses)[:-1])]),
                "You reduce in every epoch without improvement. Wait for `patience` of them.",
            ),
            Wrong("constant", np.full(len(losses), lr), "Your rate never changes."),
        ],
    )


@chapter.check(
    "reduce_on_plateau",
    points=2,
    hint="An improvement is more than min_delta below the best one noted; an equal loss is none.",
    more="if loss + min_delta < best: note the loss. Do not update best in any other case.",
)
def needs_more_than_min_delta(answer, rng):
    """asks for a fall by more than min_delta below the best loss noted"""
    # Five falls of 1/32 exceed 1/8. Then a fall by exactly 1/8, and two levels.
    start = rng.integers(20, 30) / 8
    losses = start - np.array([*np.arange(12), 14, 14, *[32] * 6]) / 32
    lr, delta = 1.0, 1 / 8

    def variant(delta=delta, **options):
        return _plateau(losses, lr, 0.5, 3, delta, **options)

    return compare(
        answer(losses, lr, 0.5, 3, delta, 0, 0.0),
        variant(),
        wrong=[
            Wrong("no-min-delta", variant(0.0), "min_delta has no effect in your rule."),
            Wrong(
                "delta-sign",
                variant(-delta),
                "min_delta has the wrong sign: it must make an improvement harder.",
            ),
            Wrong(
                "tracks-minimum",
                variant(track=True),
                "You note every new minimum as the best. A fall of less than min_delta is not noted, so that slow falls can add up.",
            ),
            Wrong(
                "equal-improves",
                variant(strict=False),
                "A fall by exactly min_delta, or an equal loss, is no improvement: use <, not <=.",
            ),
            Wrong(
                "previous-loss",
                variant(to_best=False),
                "You compare with the loss of the epoch before. Compare with the best loss so far: a loss that falls and stays above it is no improvement.",
            ),
        ],
    )


@chapter.check(
    "reduce_on_plateau",
    points=2,
    hint="After a reduction in epoch t, epochs before t + cooldown are not counted.",
    more="Set rest = cooldown at a reduction, subtract 1 in every epoch, and count only when rest <= 0.",
)
def cools_down(answer, rng):
    """does not count before the cooldown is over, and notes improvements all the same"""
    low = rng.uniform(0.1, 0.2)
    # The best loss of all comes within the cooldown; then slow falls that never reach it.
    losses = np.array([1, 0.9, 1, 1, 1, low, *np.linspace(0.8, 0.4, 12)])
    cooldown = int(rng.integers(3, 5))

    def variant(cooldown=cooldown, **options):
        return _plateau(losses, 1.0, 0.5, 2, 0.0, cooldown, **options)

    return compare(
        answer(losses, 1.0, 0.5, 2, 0.0, cooldown, 0.0),
        variant(),
        wrong=[
            Wrong("no-cooldown", variant(0), "cooldown has no effect in your rule."),
            Wrong(
                "cooldown-long",
                variant(extra=1),
                "Your cooldown is one epoch too long: epoch t + cooldown is counted again. (PyTorch's cooldown is one longer.)",
            ),
            Wrong("cooldown-short", variant(extra=-1), "Your cooldown is one epoch too short."),
            Wrong(
                "blind-cooldown",
                variant(blind=True),
                "You ignore improvements during the cooldown. They are noted; only the count rests.",
            ),
        ],
    )


@chapter.check(
    "reduce_on_plateau",
    hint="The rate never falls below min_lr, and a reduction that would cross it stops there.",
    more="After lr * factor: if lr < min_lr, set lr = min_lr.",
)
def stops_at_the_smallest_rate(answer, rng):
    """stops at min_lr"""
    losses, lr = np.full(9, rng.uniform(1, 2)), rng.uniform(0.8, 1.2)
    min_lr = 0.3 * lr
    free = _plateau(losses, lr, 0.5, 2)
    return compare(
        answer(losses, lr, 0.5, 2, 0.0, 0, min_lr),
        _plateau(losses, lr, 0.5, 2, min_lr=min_lr),
        wrong=[
            Wrong("no-min-lr", free, "min_lr has no effect in your rule."),
            Wrong(
                "skips-last",
                np.where(free < min_lr, 0.5 * lr, free),
                "You skip a reduction that would cross min_lr. The rate goes down to min_lr itself.",
            ),
        ],
    )


def _gradient(kernel, bias, x, y):
    z = x @ kernel + bias
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    d = (p - np.eye(len(bias))[y]) / len(x)
    return x.T @ d, d.sum(axis=0)


def _train(kernel, bias, x, y, order, rates, momentum, *, inside=False, scale=1, nesterov=False):
    """Train by the formulas; `inside` is Keras's velocity, which holds the rate."""
    vk, vb = np.zeros_like(kernel), np.zeros_like(bias)
    for rows, rate in zip(order, rates, strict=True):
        gk, gb = (scale * g for g in _gradient(kernel, bias, x[rows], y[rows]))
        grow, step = (rate, 1) if inside else (1, rate)
        vk, vb = momentum * vk + grow * gk, momentum * vb + grow * gb
        uk, ub = (momentum * vk + grow * gk, momentum * vb + grow * gb) if nesterov else (vk, vb)
        kernel, bias = kernel - step * uk, bias - step * ub
    return kernel, bias


def _run(rng, steps=9):
    x, y = rng.normal(size=(20, 4)), rng.integers(0, 3, size=20)
    order = np.stack([rng.permutation(20)[:6] for _ in range(steps)])
    low, high, end = rng.uniform(0.2, 0.3), rng.uniform(0.6, 0.8), rng.uniform(0.05, 0.1)
    rates = np.array([low, low, high, high, high, *[end] * (steps - 5)])
    weights = rng.normal(size=(4, 3)), rng.normal(size=3)
    return (*weights, x, y, order, rates, rng.uniform(0.7, 0.9))


@chapter.check(
    "train_with_schedule",
    points=3,
    hint="Set the rate before each step, and keep a velocity that does not hold the rate.",
    more="PyTorch: set group['lr'] = rates[t] before optimizer.step(). Keras: multiply the momentums by the new rate over the old one whenever the rate changes.",
)
def follows_the_rates(answer, rng):
    """ends with the weights of SGD with momentum under these rates"""
    case = _run(rng)
    kernel, bias, x, y, order, rates, momentum = case
    rest = (order, rates, momentum)

    def ends(order=order, rates=rates, momentum=momentum, **variant):
        return _train(kernel, bias, x, y, order, rates, momentum, **variant)

    def forgetting():
        state = kernel, bias
        starts = [0, *(np.flatnonzero(np.diff(rates)) + 1), len(rates)]
        for a, b in itertools.pairwise(starts):
            state = _train(*state, x, y, order[a:b], rates[a:b], momentum)
        return state

    return compare(
        answer(kernel, bias, x, y, *rest),
        ends(),
        wrong=[
            Wrong(
                "keras-velocity",
                ends(inside=True),
                "Your velocity holds the rate, as Keras's does. When the rate changes, multiply it by the new rate over the old one.",
            ),
            Wrong(
                "one-early",
                ends(rates=np.append(rates[1:], rates[-1])),
                "Your rates come one step early: is the scheduler called before the optimizer's step?",
            ),
            Wrong(
                "one-late",
                ends(rates=np.append(rates[0], rates[:-1])),
                "Your rates come one step late: step t uses rates[t].",
            ),
            Wrong(
                "constant",
                ends(rates=np.full_like(rates, rates[0])),
                "You use the first rate in every step.",
            ),
            Wrong("no-momentum", ends(momentum=0.0), "The momentum has no effect in your run."),
            Wrong(
                "forgets-velocity",
                forgetting(),
                "Your velocity starts at 0 whenever the rate changes. Keep the optimizer and change only its rate.",
            ),
            Wrong(
                "damped",
                ends(rates=rates * (1 - momentum)),
                "You weight the gradient by 1 - momentum. The velocity is momentum * velocity + gradient.",
            ),
            Wrong(
                "nesterov",
                ends(nesterov=True),
                "You use Nesterov's momentum. The step follows the velocity itself.",
            ),
            Wrong(
                "summed-loss",
                ends(scale=order.shape[1]),
                "Your loss is a sum over the mini-batch. Take the mean.",
            ),
            Wrong("ascent", ends(scale=-1), "You step up the gradient. Descent subtracts it."),
            Wrong("untrained", (kernel, bias), "The weights have not changed."),
        ],
    )


@chapter.check(
    "train_with_schedule",
    hint="With one rate in every step it is plain SGD with momentum.",
    more="Check the mean cross-entropy, the mini-batches order[t], and both updates.",
)
def is_sgd_at_a_constant_rate(answer, rng):
    """is plain SGD with momentum when all rates are equal"""
    kernel, bias, x, y, order, _, momentum = _run(rng, steps=6)
    case = (kernel, bias, x, y, order, np.full(6, 0.25), momentum)
    kernel_only = _train(*case)
    return compare(
        answer(*case),
        kernel_only,
        wrong=[
            Wrong(
                "whole-set",
                _train(kernel, bias, x, y, [np.arange(20)] * 6, case[5], momentum),
                "You train on all rows in every step. Step t takes the rows order[t].",
            )
        ],
    )


@chapter.check(
    "train_with_schedule",
    hint="One rate means one step: order and rates have the same length.",
    more="The first step has no velocity yet: it is rates[0] times the gradient.",
)
def takes_a_single_step(answer, rng):
    """takes one plain gradient step when there is one rate"""
    kernel, bias, x, y, order, rates, momentum = _run(rng, steps=6)
    case = (kernel, bias, x, y, order[:1], rates[-1:], momentum)
    return compare(answer(*case), _train(*case))


def _smooth(rng, first, last, epochs=13):
    """Draw a curve that falls in every epoch, quickly at first."""
    steps = np.sort(rng.uniform(0.1, 1, size=epochs - 1))[::-1]
    return first - (first - last) * np.concatenate([[0], steps.cumsum() / steps.sum()])


def _named(received, expected, wrong=()):
    """Compare several texts; `wrong` holds (key, texts, hint)."""
    received = tuple(str(text) for text in received)
    if received == expected:
        return Outcome(True, ", ".join(expected), ", ".join(received))
    for key, texts, hint in wrong:
        if received == texts:
            return Outcome(False, ", ".join(expected), ", ".join(received), key, hint)
    return Outcome(False, ", ".join(expected), ", ".join(received))


@chapter.check(
    "diagnose_rate",
    points=2,
    hint="A loss that is not finite means too large, before any other rule; so do many rises, if the end is not fine.",
    more="Use np.isfinite first: every comparison with NaN is False.",
)
def knows_a_rate_that_is_too_large(answer, rng):
    """calls a run that blew up, or that keeps jumping, too large"""
    reference = rng.uniform(0.2, 0.3)
    nan, overflow, bouncing = (_smooth(rng, 2.3, 1.2) for _ in range(3))
    nan[5:], overflow[1:3] = np.nan, np.inf
    overflow[-1] = reference
    bouncing[[2, 4, 7, 9, 11]] += 1.0  # 5 rises in 12
    constant = np.full(13, 0.5)
    received = [answer(loss, constant, reference) for loss in (nan, overflow, bouncing)]
    large = "too large"
    return _named(
        received,
        (large, large, large),
        wrong=[
            (
                "nan-unseen",
                ("too small", "fine", large),
                "You overlook losses that are not finite: every comparison with NaN is False. Ask np.isfinite first.",
            ),
            (
                "nan-at-the-end-only",
                (large, "fine", large),
                "You look for losses that are not finite at the end only. Look at all of them.",
            ),
            (
                "last-rise",
                (large, large, "too small"),
                "You overlook a jumping loss. Count the rises over the whole run, not only at its end.",
            ),
        ],
    )


@chapter.check(
    "diagnose_rate",
    points=2,
    hint="Fine is decided by the last loss against the reference, whatever the rate did and however the loss jumped.",
    more="train_loss[-1] <= 1.1 * reference, asked before the rises and before the rate.",
)
def knows_a_fine_run(answer, rng):
    """calls a run that reaches the reference fine, also with a decay or with jumps"""
    reference = rng.uniform(0.3, 0.4)
    decay = 0.5 * 0.7 ** np.arange(13)
    better, close, above = (_smooth(rng, 2.3, k * reference) for k in (0.7, 1.07, 1.3))
    jumping = better.copy()
    jumping[[2, 4, 6, 8, 10]] += 1.0
    cases = [(better, decay), (close, decay), (jumping, np.full(13, 0.5)), (above, decay)]
    early, fine = "decayed too early", "fine"
    return _named(
        [answer(loss, rates, reference) for loss, rates in cases],
        (fine, fine, fine, early),
        wrong=[
            (
                "decay-is-early",
                (early, early, fine, early),
                "You call every decay too early. A decay that ends at the reference was right.",
            ),
            (
                "jumps-first",
                (fine, fine, "too large", early),
                "You count the rises before you look at the end. A jumping run that reaches the reference is fine.",
            ),
            (
                "no-margin",
                (fine, early, fine, early),
                "Your bound is the reference itself. Up to 1.1 times the reference is fine.",
            ),
            (
                "absolute",
                (early, early, "too large", early),
                "You do not call a run fine that reaches the reference. Does your bound depend on it, and is it asked first?",
            ),
        ],
    )


@chapter.check(
    "diagnose_rate",
    points=2,
    hint="Compare the last rate with the largest rate of the run: a warm-up starts low.",
    more="rates[-1] <= rates.max() / 10 says that the rate has come down.",
)
def tells_early_decay_from_small(answer, rng):
    """tells a decay that came too early from a rate that was always too small"""
    reference = rng.uniform(0.2, 0.3)
    loss = _smooth(rng, 2.3, 1.5)
    few = _smooth(rng, 2.3, 1.5)
    few[[3, 6, 9]] = few[[2, 5, 8]] + 0.01  # 3 rises in 12
    peak = rng.uniform(0.4, 0.6)
    dropped = np.array([peak] * 12 + [peak / 10.5])
    almost = np.array([peak] * 4 + [peak / 20] * 8 + [peak / 9.5])
    warm_decay = np.concatenate([[peak / 50, peak / 20, peak], np.full(10, peak / 30)])
    warm_constant = np.concatenate([[peak / 50, peak / 20], np.full(11, peak)])
    constant = np.full(13, peak / 20)
    schedules = (constant, dropped, almost, warm_decay, warm_constant)
    small, early = "too small", "decayed too early"
    received = [answer(loss, rates, reference) for rates in schedules]
    received.append(answer(few, constant, reference))
    return _named(
        received,
        (small, early, small, early, small, small),
        wrong=[
            (
                "first-rate",
                (small, early, small, small, small, small),
                "You compare with the first rate. After a warm-up that is not the largest one.",
            ),
            (
                "any-rise",
                (small, early, small, early, small, "too large"),
                "You call a few rises too large. They must make up a third of the epochs.",
            ),
            (
                "smallest-rate",
                (small, early, early, early, early, small),
                "You look at the smallest rate of the run. Look at the last one: a warm-up starts low too.",
            ),
            (
                "any-change",
                (small, early, early, early, small, small),
                "You call every fall of the rate an early decay. The last rate must be at most a tenth of the largest.",
            ),
            (
                "always-small",
                (small,) * 6,
                "You do not look at the rates: some of these runs were decayed.",
            ),
        ],
    )
