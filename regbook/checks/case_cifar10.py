"""Checks of chapter 24, the case study on CIFAR-10. Rates of disturbance are in percent."""

import copy
import operator
from itertools import product

import numpy as np

from regbook.exercise import AnswerError, Chapter, judge, plain, training, vary
from regbook.exercise.compare import alike

chapter = Chapter("24_case_cifar10")


# --- train_best ------------------------------------------------------------------------------


def _train_best(
    train_epoch,
    evaluate,
    state,
    epochs,
    patience,
    *,
    start=np.inf,
    better=operator.lt,
    follows=True,
    reset=True,
    late=0,
    keeps=lambda before, after: after,
    goes_on_from=lambda before, after, kept, first: after,
    measured=lambda before, after: after,
    rises=False,
    gives=lambda kept, last, losses, first: (kept, losses),
):
    """Train with early stopping, or with a variant of it."""
    best, kept, now, previous, waited, losses = start, state, state, np.inf, 0, []
    for _ in range(epochs):
        before, now = now, train_epoch(now)
        losses.append(evaluate(measured(before, now)))
        rising, previous = losses[-1] > previous, losses[-1]
        improves = better(losses[-1], best)
        if improves:
            kept = keeps(before, now)
            best = losses[-1] if follows else best
        if rises:
            waited = (waited + 1) * rising
        else:
            waited = waited * (not (improves and reset)) + (not improves)
        if waited >= patience + late:
            break
        now = goes_on_from(before, now, kept, state)
    return gives(kept, now, losses, state)


def _only_at_a_stop(train_epoch, evaluate, state, epochs, patience):
    """Restore the best state only where patience ran out."""
    trained = []

    def epoch(now):
        trained.append(train_epoch(now))
        return trained[-1]

    kept, losses = _train_best(epoch, evaluate, state, epochs, patience)
    return (kept if len(losses) < epochs else trained[-1]), losses


train_best = chapter.exercise(
    "train_best",
    _train_best,
    mistakes={
        "last state": vary(_train_best, gives=lambda kept, last, losses, first: (last, losses)),
        "best never moves": vary(_train_best, follows=False),
        "starts at 1": vary(_train_best, start=1.0),
        "starts at 0": vary(_train_best, start=0.0),
        "evaluated before the epoch": vary(_train_best, measured=lambda before, after: before),
        "state before the epoch": vary(_train_best, keeps=lambda before, after: before),
        "counts rises": vary(_train_best, rises=True),
        "equal improves": vary(_train_best, better=operator.le),
        "no reset": vary(_train_best, reset=False),
        "one late": vary(_train_best, late=1),
        "one early": vary(_train_best, late=-1),
        "no stop": vary(_train_best, patience=np.inf),
        "always from the start": vary(
            _train_best, goes_on_from=lambda before, after, kept, first: first
        ),
        "goes on from the best": vary(
            _train_best, goes_on_from=lambda before, after, kept, first: kept
        ),
        "highest": vary(_train_best, start=-np.inf, better=operator.gt),
        "losses cut off": vary(
            _train_best,
            gives=lambda kept, last, losses, first: (
                kept,
                losses[: int(np.nanargmin(losses)) + 1],
            ),
        ),
        "only at a stop": _only_at_a_stop,
    },
    hints={
        "last state": "You return the state after the last epoch. Return the one with the lowest dev loss. If you wrote `best = state` and then changed `state` in place, both are the same array.",
        "best never moves": "Your best loss stays where it began, so every epoch counts as an improvement. Note the new best loss when you keep a state.",
        "starts at 1": "Your best loss starts at 1, so no loss above 1 ever improves on it. A cross-entropy can be larger than 1: start at infinity.",
        "starts at 0": "Your best loss starts at 0, and no loss lies below it. Start at infinity.",
        "evaluated before the epoch": "You evaluate the state before the epoch. Train first, then evaluate what came out.",
        "state before the epoch": "The state that you keep is the one before the epoch whose loss was lowest. Keep the one that was evaluated.",
        "counts rises": "You count rises in a row. An epoch whose loss falls but stays above the best is no improvement either.",
        "equal improves": "An equal loss counts as an improvement in your loop. Only a lower one is.",
        "no reset": "Your count is never set back. An improvement sets it to 0.",
        "one late": "You stop one epoch late: stop when `patience` epochs in a row have brought no improvement.",
        "one early": "You stop one epoch early: the best epoch itself is not one without improvement.",
        "no stop": "Your loop never stops early. Stop when `patience` epochs in a row have brought no improvement.",
        "always from the start": "Every epoch begins with the first state. Go on from what the last epoch returned.",
        "goes on from the best": "Your training goes back to the best state after each epoch that brings no improvement. Go on from the newest state; the best one is kept aside.",
        "highest": "You keep the highest loss. Keep the lowest.",
        "losses cut off": "Your list ends with the best epoch. Return the loss of every epoch that was trained.",
        "only at a stop": "You give the best state back only when patience runs out. Give it back in any case.",
    },
)


def _run(ask, rng, losses, epochs, patience):
    """Let an answer train through a script of dev losses; return what came of it, and the epochs.

    A state is an array that begins with the number of its epoch.
    """
    states = rng.normal(size=(len(losses) + 2, 4)) * 3
    states[:, 0] = np.arange(len(states))
    trained = []

    def number(state):
        return int(np.clip(np.round(np.ravel(plain(state))[0]), 0, len(losses)))

    def train_epoch(state):
        trained.append(number(state) + 1)
        return states[min(trained[-1], len(losses))].copy()

    def evaluate(state):
        return float([0.77, *losses][number(state)])

    found = ask(train_epoch, evaluate, states[0].copy(), epochs, patience)
    if isinstance(found, dict | str) or np.ndim(found[0] if len(found) == 2 else 0) != 1:
        raise AnswerError("Return two values: the state, and the losses of the trained epochs.")
    return found[0], np.asarray(found[1], dtype=np.float64), len(trained)


@train_best.check(
    points=3,
    hint="After each epoch evaluate the new state. Keep it when its loss is below the best so far, and stop after `patience` epochs in a row that bring no new best.",
    more="Write four lines before the loop: the best loss, the best state, the list of losses, the count. Trace them by hand for the losses 3, 2, 2.5, 2.4 and patience 2.",
)
def keeps_the_best_state(ask, rng):
    """returns the state with the lowest dev loss, and stops when patience runs out"""
    # After epoch 7 the loss jumps up once and falls slowly: no rises in a row, and no improvement.
    # Rises in a row come long after the stop.
    falls = [0, 0.13, 0.2, 0.15, 0.16, 0.17, 0.3, 0.1, 0.14, 0.12, 0.16, 0.18, 0.14, 0.35, 0.4]
    falls += [0.3, 0.25, 0.2, 0.15, 0.1, 0.3, 0.5]
    return _run(ask, rng, rng.uniform(2, 3) - np.array(falls), 22, 4)


@train_best.check(
    points=2,
    hint="Only a lower loss is an improvement: an equal one is none, and one that is not a number is none either. Each improvement sets the count back to 0.",
    more="`loss < best` is False for an equal loss and for NaN. Count the epochs for which it is False.",
    keeps_input=True,
)
def waits_anew_after_each_improvement(ask, rng):
    """counts equal losses and NaN as no improvement, and waits anew after each improvement"""
    falls = np.array([0, 1, 0, 0, 2, 2, 1, 3, 3, 3, 2, 4, 3, 3, 2, 5]) / 8
    with_nan = 0.5 + rng.uniform(0.1, 0.2) - np.array([0, 1, np.nan, 0, 2, np.nan, np.nan, 3]) / 8
    return {
        "several improvements": _run(ask, rng, 1.5 - falls, 16, 3),
        "lowest at the start": _run(ask, rng, 1.5 + falls, 16, 2),
        "with NaN": _run(ask, rng, with_nan, 8, 3),
    }


@train_best.check(
    hint="When patience never runs out, all epochs are trained, and the best state still comes back.",
    more="Return the kept state after the loop, whether or not it was left by break.",
)
def gives_it_back_without_a_stop(ask, rng):
    """gives the best state back also when patience never runs out"""
    losses = np.array([0.9, 0.8, 0.6, 0.7, 0.65, 0.75]) + rng.uniform(0, 0.02, size=6)
    return _run(ask, rng, losses, 6, 10)


# --- two_proportion_interval -----------------------------------------------------------------


def _interval(
    correct_a,
    correct_b,
    n,
    *,
    error=lambda a, b, n: np.sqrt((a * (1 - a) + b * (1 - b)) / n),
    difference=lambda a, b: b - a,
    times=1.96,
    gives=lambda d, half: (d, d - half, d + half),
):
    a, b = correct_a / n, correct_b / n
    d = difference(a, b)
    return gives(d, times * error(a, b, n))


two_proportion_interval = chapter.exercise(
    "two_proportion_interval",
    _interval,
    mistakes={
        "variance of one model": [
            vary(_interval, error=lambda a, b, n: np.sqrt(a * (1 - a) / n)),
            vary(_interval, error=lambda a, b, n: np.sqrt(b * (1 - b) / n)),
        ],
        "errors added": vary(
            _interval, error=lambda a, b, n: np.sqrt(a * (1 - a) / n) + np.sqrt(b * (1 - b) / n)
        ),
        "variances subtracted": vary(
            _interval, error=lambda a, b, n: np.sqrt(abs(a * (1 - a) - b * (1 - b)) / n)
        ),
        "difference as a share": vary(
            _interval, error=lambda a, b, n: np.sqrt(abs(b - a) * (1 - abs(b - a)) / n)
        ),
        "pooled": vary(
            _interval,
            error=lambda a, b, n: np.sqrt(2 * ((a + b) / 2) * (1 - (a + b) / 2) / n),
        ),
        "twice as many images": vary(
            _interval, error=lambda a, b, n: np.sqrt((a * (1 - a) + b * (1 - b)) / (2 * n))
        ),
        "no root": vary(_interval, error=lambda a, b, n: (a * (1 - a) + b * (1 - b)) / n),
        "not divided by n": vary(
            _interval, error=lambda a, b, n: np.sqrt(a * (1 - a) + b * (1 - b))
        ),
        "a minus b": vary(_interval, difference=lambda a, b: a - b),
        "without the sign": vary(_interval, difference=lambda a, b: abs(b - a)),
        "percent": lambda *given: tuple(100 * value for value in _interval(*given)),
        "half width": vary(_interval, gives=lambda d, half: (d, half, half)),
        "one standard error": vary(_interval, times=1.0),
        "90 %": vary(_interval, times=1.645),
        "rounded": vary(
            _interval, gives=lambda d, half: tuple(np.round([d, d - half, d + half], 2))
        ),
        "high first": vary(_interval, gives=lambda d, half: (d, d + half, d - half)),
    },
    hints={
        "variance of one model": "You take the variance of one model only. Both accuracies are uncertain: add their variances.",
        "errors added": "You add the standard errors. Add the variances, and take the root of the sum.",
        "variances subtracted": "You subtract the variances. The difference of two uncertain numbers is more uncertain than either: add them.",
        "difference as a share": "You treat the difference as if it were a share of right answers. Each accuracy has its own variance, p (1 - p) / n.",
        "pooled": "You use one accuracy for both models, as a test of equality does. An interval takes the two as they are.",
        "twice as many images": "You divide by 2 n. Each accuracy rests on n images.",
        "no root": "That is the variance. The standard error is its root.",
        "not divided by n": "The number of images is missing: a variance is p (1 - p) / n.",
        "a minus b": "You subtract B from A. Return B minus A.",
        "without the sign": "Your difference has lost its sign. It is negative when B is worse.",
        "percent": "Your numbers are in percent. Return shares, from -1 to 1.",
        "half width": "Return the two ends of the interval, and not the half of its width.",
        "one standard error": "Your interval is one standard error to each side, and covers about 68 %. Take 1.96 of them.",
        "90 %": "1.645 standard errors to each side make an interval of 90 %. Take 1.96.",
        "rounded": "Your numbers are rounded. Return them as they are.",
        "high first": "The ends are swapped: return the difference, then the lower end, then the upper one.",
    },
)


@two_proportion_interval.check(
    hint="The two shares are correct / n. Each has the variance p (1 - p) / n; the variances add up; the root of the sum is the standard error; the interval is the difference minus and plus 1.96 of them.",
    more="For 50 and 80 of 100 the variances are 0.0025 and 0.0016, and the standard error is 0.064.",
)
def adds_the_variances(ask, rng):
    """gives B minus A with 1.96 standard errors to each side, whichever model is better"""
    n = int(rng.integers(150, 400))
    low, high = int(rng.integers(20, 30)) * n // 100, int(rng.integers(76, 90)) * n // 100
    return {"B is better": ask(low, high, n), "A is better": ask(high, low, n)}


@two_proportion_interval.check(
    hint="Equal counts have the difference 0 and still an interval. A model without a mistake, or without a right answer, has the variance 0.",
    more="Nothing is special about these cases: the formula covers them.",
)
def holds_at_the_ends(ask, rng):
    """gives an interval around 0 for equal counts, and one of no width where nothing varies"""
    n = int(rng.integers(60, 200))
    equal = int(rng.integers(n // 4, n // 2))
    return {
        "equal counts": ask(equal, equal, n),
        "all right": ask(n, n, n),
        "none against some": ask(0, equal, n),
    }


# --- disturbed_loss_floor --------------------------------------------------------------------


def _shares(alpha, k):
    """Return the chance of the true class, and of each other one."""
    return 1 - alpha / 100 + alpha / 100 / k, alpha / 100 / k


def _term(q):
    return 0.0 if q <= 0 else -q * np.log(q)


def _floor(alpha, num_classes, *, shares=_shares, others=lambda k: k - 1):
    own, other = shares(alpha, num_classes)
    return _term(own) + others(num_classes) * _term(other)


disturbed_loss_floor = chapter.exercise(
    "disturbed_loss_floor",
    _floor,
    mistakes={
        "fraction for percent": [
            vary(_floor, alpha=lambda alpha: 100 * alpha),
            vary(_floor, alpha=lambda alpha: 100 * alpha if alpha < 1 else np.nan),
        ],
        "never the true class": vary(_floor, shares=lambda a, k: (1 - a / 100, a / 100 / (k - 1))),
        "true class only": lambda alpha, k: -np.log(_shares(alpha, k)[0]),
        "true term only": vary(_floor, others=lambda k: 0),
        "one other class": vary(_floor, others=lambda k: 1),
        "k others": vary(_floor, others=lambda k: k),
        "others as one class": lambda alpha, k: (
            _term(_shares(alpha, k)[0]) + _term(1 - _shares(alpha, k)[0])
        ),
        "kept or replaced": lambda alpha, k: _term(alpha / 100) + _term(1 - alpha / 100),
        "mixture": lambda alpha, k: alpha / 100 * np.log(k),
        "uniform": lambda alpha, k: np.log(k),
        "zero": lambda alpha, k: 0.0,
        "bits": lambda alpha, k: _floor(alpha, k) / np.log(2),
        "sign": lambda alpha, k: -_floor(alpha, k),
        "rounded": lambda alpha, k: round(_floor(alpha, k), 2),
    },
    hints={
        "fraction for percent": "alpha is in percent: 30 means that 30 % of the labels are drawn anew. Divide it by 100.",
        "never the true class": "A label that is drawn anew can be the true one again: each class has alpha / 100 / K.",
        "true class only": "That is the loss of the true class. Now and then another label is drawn, and then that one's loss counts.",
        "true term only": "The terms of the K - 1 other classes are missing.",
        "one other class": "You count one other class. There are K - 1.",
        "k others": "You count K other classes. There are K - 1.",
        "others as one class": "You put the other classes together as one. Each of the K - 1 has a term of its own.",
        "kept or replaced": "That is the entropy of whether a label is replaced. What is needed is the entropy of the label that comes out.",
        "mixture": "The entropy of a mixture is not the mixture of the entropies.",
        "uniform": "That is the floor at 100 %, where every label is drawn anew.",
        "zero": "Only undisturbed labels can be fitted without a loss. Nobody can predict what is drawn.",
        "bits": "Your result is in bits. Use the natural logarithm.",
        "sign": "The sign is wrong: an entropy is not negative.",
        "rounded": "Your floor is rounded. Return it as it is.",
    },
)


@disturbed_loss_floor.check(
    points=0.5,
    hint="The disturbed label is the true class with the chance 1 - a + a / K, where a = alpha / 100, and each of the K - 1 other classes with a / K. The floor is the entropy of that.",
    more="With alpha = 20 and K = 4 the chances are 0.85, 0.05, 0.05, 0.05, and the floor is 0.5875.",
)
def is_the_entropy_of_the_disturbed_label(ask, rng):
    """is the entropy of the disturbed label, in nats, for a rate in percent"""
    k = int(rng.integers(5, 9))
    return {
        "20 to 40 %": ask(rng.uniform(20, 40), k),
        "less than 1 %": ask(rng.uniform(0.4, 0.9), k),
    }


@disturbed_loss_floor.check(
    points=0.5,
    hint="Without disturbance the floor is 0: a term 0 * log(0) counts as 0. At 100 % all classes are equally likely.",
    more="Leave out the chances of 0 before you take the logarithm.",
)
def has_its_ends(ask, rng):
    """is 0 at 0 % and log K at 100 %"""
    k = (3, 4, 7)[rng.integers(3)]  # log K is not a number of two digits
    return {"0 %": ask(0.0, k), "100 %": ask(100.0, k)}


# --- diagnose_run ----------------------------------------------------------------------------

UNDISTURBED, LONGER, EARLIER, FINE = "labels not disturbed", "train longer", "stop earlier", "fine"
TEXTS = (UNDISTURBED, LONGER, EARLIER, FINE)
TOLERANCE = 0.05  # nats: smaller differences are left to chance


def _diagnose(
    train_loss,
    dev_loss,
    floor,
    *,
    below=lambda train, dev, floor: train[-1] < floor - TOLERANCE,
    falling=lambda train, dev: np.argmin(dev) == len(dev) - 1,
    risen=lambda train, dev: dev[-1] > min(dev) + TOLERANCE,
    dev_first=False,
):
    undisturbed = below(train_loss, dev_loss, floor)
    if undisturbed and not dev_first:
        return UNDISTURBED
    if falling(train_loss, dev_loss):
        return LONGER
    if risen(train_loss, dev_loss):
        return EARLIER
    return UNDISTURBED if undisturbed else FINE


diagnose_run = chapter.exercise(
    "diagnose_run",
    _diagnose,
    mistakes={
        "floor ignored": vary(_diagnose, below=lambda train, dev, floor: False),
        "floor against dev": vary(
            _diagnose, below=lambda train, dev, floor: dev[-1] < floor - TOLERANCE
        ),
        "floor without tolerance": vary(
            _diagnose, below=lambda train, dev, floor: train[-1] < floor
        ),
        "above the floor": vary(
            _diagnose, below=lambda train, dev, floor: train[-1] > floor + TOLERANCE
        ),
        "lowest of all epochs": vary(
            _diagnose, below=lambda train, dev, floor: min(train) < floor - TOLERANCE
        ),
        "dev curve first": vary(_diagnose, dev_first=True),
        "falling training loss": vary(
            _diagnose, falling=lambda train, dev: np.argmin(train) == len(train) - 1
        ),
        "fell in the last step": vary(_diagnose, falling=lambda train, dev: dev[-1] < dev[-2]),
        "gap": vary(_diagnose, risen=lambda train, dev: dev[-1] > train[-1] + TOLERANCE),
        "rise without tolerance": vary(_diagnose, risen=lambda train, dev: dev[-1] > min(dev)),
        "epoch by the training loss": vary(
            _diagnose, risen=lambda train, dev: dev[-1] > dev[np.argmin(train)] + TOLERANCE
        ),
        "rise of the training loss": vary(
            _diagnose, risen=lambda train, dev: train[-1] > min(train) + TOLERANCE
        ),
        "rise in the last step": vary(
            _diagnose, risen=lambda train, dev: dev[-1] > dev[-2] + TOLERANCE
        ),
        "above the first epoch": vary(
            _diagnose, risen=lambda train, dev: dev[-1] > dev[0] + TOLERANCE
        ),
        "tolerance as a share": vary(
            _diagnose,
            below=lambda train, dev, floor: train[-1] < floor * (1 - TOLERANCE),
            risen=lambda train, dev: dev[-1] > min(dev) * (1 + TOLERANCE),
        ),
    },
    hints={
        "floor ignored": "You ignore the floor. A reported training loss clearly below it shows that the labels were not disturbed.",
        "floor against dev": "You hold the floor against the dev loss. Dev labels are not disturbed, so it can be lower: compare the training loss.",
        "floor without tolerance": "You allow the training loss no chance. Just below the floor it may lie by luck: it must be more than 0.05 nats below.",
        "above the floor": "Above the floor all is well. Below it the labels cannot have been disturbed.",
        "lowest of all epochs": "You hold the lowest training loss against the floor. One epoch may lie below it by chance: compare the last.",
        "dev curve first": "You look at the dev curve first. A run whose labels were not disturbed is not the run that was meant: say that before anything else.",
        "falling training loss": "You say so because the training loss still falls. It nearly always does: look at the dev loss.",
        "fell in the last step": "You look at the last step only. One step may fall by chance while the lowest dev loss lies far back.",
        "gap": "You take the gap between train and dev loss for a reason to stop. A gap is no harm as long as the dev loss does not rise.",
        "rise without tolerance": "You stop earlier for any rise. One of 0.05 nats or less is left to chance.",
        "epoch by the training loss": "You compare with the epoch of the lowest training loss. Compare with the lowest dev loss.",
        "rise of the training loss": "You look for a rise of the training loss. The dev loss decides when to stop.",
        "rise in the last step": "You compare the last dev loss with the one before it. Compare it with the lowest of all.",
        "above the first epoch": "You compare the last dev loss with the first. Compare it with the lowest of all.",
        "tolerance as a share": "Your tolerance is 5 % of the loss. It is 0.05 nats, whatever the loss is.",
    },
)


@diagnose_run.check(
    points=2,
    hint="First compare the last training loss with the floor, and nothing else. If it is more than 0.05 nats below, the labels were not disturbed, whatever the dev curve does.",
    more="Draw the curve of the training loss and a horizontal line at the floor. Which of the cases ends below the line? The dev loss has nothing to do with it.",
)
def looks_at_the_floor_first(ask, rng):
    """sees by the floor that labels were not disturbed, before it looks at the dev curve"""
    floor = rng.uniform(1.1, 1.4)
    falls, rises = np.array([1.9, 1.6, 1.4, 1.3, 1.2]), np.array([1.9, 1.3, 1.2, 1.4, 1.5])
    flat = np.array([1.9, 1.4, 1.2, 1.23, 1.22])
    below, under, near, above = (
        np.array([2.2, 1.8, 1.6, 1.5, floor + d]) for d in (-0.3, -0.07, -0.03, 0.2)
    )
    return {
        "below the floor, dev rises": ask(below, rises, floor),
        "below the floor, dev falls": ask(below, falls, floor),
        "below the floor, dev is level": ask(below, flat, floor),
        "0.07 below the floor, dev rises": ask(under, rises, floor),
        "0.03 below the floor, dev rises": ask(near, rises, floor),
        "above the floor, dev falls below it": ask(above, falls - 0.5, floor),
        "above the floor, dev rises": ask(above, rises, floor),
        "below the floor once, dev rises": ask(
            np.array([2.2, 1.8, floor - 0.2, *above[3:]]), rises, floor
        ),
        "no disturbance, train near 0": ask(below - floor + 0.31, flat, 0.0),
    }


@diagnose_run.check(
    points=2,
    hint='If the lowest dev loss is that of the last epoch, "train longer". Otherwise, if the last dev loss is more than 0.05 nats above the lowest, "stop earlier"; else "fine".',
    more="np.argmin(dev_loss) is the place of the lowest dev loss, and len(dev_loss) - 1 that of the last epoch. The training loss decides nothing here.",
    keeps_input=True,
)
def reads_the_dev_curve(ask, rng):
    """reads from the dev curve whether to train longer, to stop earlier or neither"""
    shift, train = rng.uniform(0, 0.02), np.array([1.8, 1.2, 0.8, 0.5, 0.3, 0.1])
    uneven = np.array([1.8, 0.4, 0.7, 0.6, 0.5, 0.6])
    curves = {
        "falls to the end": [2.0, 1.7, 1.5, 1.4, 1.3, 1.2],
        "falls to the end, not steadily": [2.0, 1.5, 1.6, 1.4, 1.45, 1.2],
        "rises clearly": [2.0, 1.4, 1.2, 1.3, 1.5, 1.8],
        "rises clearly, and falls in the last step": [2.0, 1.4, 1.1, 1.3, 1.6, 1.5],
        "rises clearly, but stays below the first": [2.0, 1.4, 1.0, 1.1, 1.1, 1.12],
        "rises a little": [2.0, 1.4, 1.2, 1.22, 1.21, 1.23],
        "the lowest comes twice": [2.0, 1.4, 1.2, 1.3, 1.25, 1.2],
        "large losses, a clear rise": [9.0, 7.0, 6.0, 6.05, 6.02, 6.08],
        "small losses, a small rise": [0.9, 0.5, 0.3, 0.31, 0.32, 0.33],
        "level, far above the training loss": [2.2, 2.1, 2.0, 2.01, 2.0, 2.02],
    }
    found = {name: ask(train, np.array(dev) + shift, 0.0) for name, dev in curves.items()}
    dev = np.array([1.5, 1.3, 1.1, 1.0, 1.02, 1.01]) + shift
    found["uneven training loss, level dev loss"] = ask(uneven, dev, 0.0)
    found["uneven training loss, falling dev loss"] = ask(uneven, np.sort(dev)[::-1], 0.0)
    return found


# --- make_configs ----------------------------------------------------------------------------


def _merged(base, changes, *, nested=True, known="all"):
    """Return a new dict: the base with the changes. Raises KeyError for a name it does not have."""
    found = copy.deepcopy(base)
    for name, value in changes.items():
        if name not in base and known != "none":
            raise KeyError(name)
        if nested and isinstance(value, dict) and isinstance(base.get(name), dict):
            inner = known if known == "all" else "none"
            found[name] = _merged(base[name], value, nested=nested != "once", known=inner)
        else:
            found[name] = copy.deepcopy(value)
    return found


def _make_configs(base, runs, *, nested=True, known="all"):
    options = {"nested": nested, "known": known}
    return {name: _merged(base, changes, **options) for name, changes in runs.items()}


def _one_for_all(base, runs):
    """Hand the same dict to every run."""
    config = copy.deepcopy(base)
    for changes in runs.values():
        config = _merged(config, changes)
    return dict.fromkeys(runs, config)


def _piled_up(base, runs):
    """Start every run from the one before it."""
    found, config = {}, base
    for name, changes in runs.items():
        config = found[name] = _merged(config, changes)
    return found


def _shared_inside(base, runs, *, deep=True):
    """Copy the outer dict only, so that changes of an inner one reach the other runs."""

    def write(target, changes, deep):
        for key, value in changes.items():
            if deep and isinstance(value, dict):
                write(target[key], value, deep is True)
            else:
                target[key] = value

    inner = copy.deepcopy(base)
    found = {name: dict(inner) for name in runs}
    for name, changes in runs.items():
        _merged(base, changes)  # refuses unknown names
        write(found[name], changes, True if deep else "once")
    return found


def _base_wins(base, runs):
    _make_configs(base, runs)
    return {name: {**changes, **base} for name, changes in runs.items()}


def _with_base(base, runs):
    return {"base": copy.deepcopy(base), **_make_configs(base, runs)}


def _only_changes(base, runs):
    _make_configs(base, runs)
    return copy.deepcopy(runs)


def _unknown_left_out(base, runs):
    def known(base, changes):
        return {
            key: known(base[key], value) if isinstance(value, dict) else value
            for key, value in changes.items()
            if key in base
        }

    return _make_configs(base, {name: known(base, changes) for name, changes in runs.items()})


make_configs = chapter.exercise(
    "make_configs",
    _make_configs,
    mistakes={
        "one dict for all": _one_for_all,
        "changes pile up": _piled_up,
        "inner dict shared": [_shared_inside, vary(_shared_inside, deep=False)],
        "inner dict replaced": vary(_make_configs, nested=False),
        "second level replaced": vary(_make_configs, nested="once"),
        "only the changes": _only_changes,
        "base wins": _base_wins,
        "base added": _with_base,
        "unknown accepted": vary(_make_configs, known="none"),
        "unknown inside accepted": vary(_make_configs, known="outer"),
        "unknown left out": _unknown_left_out,
    },
    hints={
        "one dict for all": "All runs have the same configuration, that of the last one: they share one dict. Make a copy of the base for each run.",
        "changes pile up": "Your runs pile up: each one keeps the changes of those before it. Start every run from the base.",
        "inner dict shared": "The changes of an inner dict reach the later runs. `dict(base)` and `base.copy()` copy the outer dict only: use copy.deepcopy.",
        "inner dict replaced": "You replace an inner dict, so the settings that the run did not change are lost. Change only what it names.",
        "second level replaced": "Dicts may be nested more than once, and yours replaces the second level. Let the function call itself.",
        "only the changes": "You return only what a run changes. Every configuration is complete: all the settings of the base, with the changes.",
        "base wins": "The settings of the base overwrite the changes. The changes must win.",
        "base added": "You add a run that nobody asked for. Return one configuration for each name in `runs`.",
        "unknown accepted": "You accept a name that the base does not have. A misspelt setting would change nothing and nobody would notice: raise an error.",
        "unknown inside accepted": "You check the names of the outer dict only. A misspelt name may stand in an inner dict, too.",
        "unknown left out": "You leave out what the base does not know, without a word. The run would then not be the one that was asked for: raise an error.",
        "changes its input": "The configurations are right, but your function changes what it was given. copy.deepcopy copies the inner dicts, too.",
    },
)


def _base(rng):
    """Draw a base configuration, nested twice."""
    return {
        "epochs": int(rng.integers(20, 40)),
        "rate": float(rng.integers(1, 9)) / 1000,
        "network": {"widths": [8, 16, 32], "blocks": int(rng.integers(1, 4))},
        "augment": {
            "mirror": False,
            "shift": {"pixels": int(rng.integers(1, 4)), "share": 0.5},
        },
        "smoothing": 0.0,
    }


@make_configs.check(
    points=2,
    hint="For each run make a deep copy of the base and put the run's changes into it. The result has one complete configuration for each name.",
    more="Two runs must not share anything, and no run may see the changes of another. Is every run started from the base itself?",
    keeps_input=True,
)
def gives_each_run_a_full_configuration(ask, rng):
    """gives every run all settings of the base, with its own changes and no other's"""
    runs = {
        "overfit": {},
        "label smoothing": {"smoothing": float(rng.integers(1, 5)) / 10},
        "long": {"epochs": 99, "rate": 0.25},
        "early stopping": {},
    }
    return ask(_base(rng), runs)


@make_configs.check(
    points=2,
    hint="A change of an inner dict changes what it names and leaves the rest of that dict as it was, at any depth. The next run starts from the base again.",
    more="When both values are dicts, merge them by the same rule: a function that calls itself does that in a few lines.",
    keeps_input=True,
)
def merges_inner_settings(ask, rng):
    """changes single settings of inner dicts, at any depth"""
    runs = {
        "mirrored": {"augment": {"mirror": True}},
        "small": {"network": {"blocks": 7}, "smoothing": 0.3},
        "shifted": {"augment": {"shift": {"pixels": 9}}},
        "plain": {},
    }
    return ask(_base(rng), runs)


def _answer_to(ask, base, changes):
    """Return what an answer does with a run that changes this."""
    try:
        found = ask(base, {"plain": {}, "changed": changes})
    except AnswerError as error:
        named = any(f"raised {kind}" in str(error) for kind in ("KeyError", "ValueError"))
        return "a KeyError or ValueError" if named else "another error"
    except (KeyError, ValueError):  # of the right answer, which is called directly
        return "a KeyError or ValueError"
    given = isinstance(found, dict) and {"plain", "changed"} <= found.keys()
    same = given and alike(found["changed"], found["plain"])
    return "no error, and the name left out" if same else "no error"


@make_configs.check(
    points=1,
    hint="Raise KeyError or ValueError when a run changes a setting that the base does not have, in an inner dict too.",
    more="Compare every name in the changes with the names of the base at that level, before you write anything.",
)
def refuses_unknown_names(ask, rng):
    """raises an error for a name that the base does not have"""
    base = _base(rng)
    return {
        "a known name": _answer_to(ask, base, {"rate": 0.5}),
        "a misspelt name": _answer_to(ask, base, {"rates": 0.5}),
        "a misspelt name inside": _answer_to(ask, base, {"network": {"block": 3}}),
        "an inner name outside": _answer_to(ask, base, {"pixels": 3}),
    }


# --- choose_configuration --------------------------------------------------------------------

PENALTIES, SMOOTHINGS = (0.0, 0.01, 0.05), (0.0, 0.3)
SETTINGS = list(product((False, True), PENALTIES, SMOOTHINGS))
STEPS, RUNS = 400, 6  # of the final run; final runs that the budget pays for
PIXELS, CLASSES, PATCH = 24, 4, 6
CLEAR = 0.1  # of accuracy, by which the best configuration of a task must be ahead

choose = chapter.exercise(
    "choose_configuration",
    hints={
        **training.HINTS,
        "never shifted": 'You try no run with "shift": True. When a class is a pattern that may stand anywhere, shifted copies are what the network lacks: try both.',
        "always shifted": 'You shift in every run. When a class is told by the place of its pattern, a shift makes another class of it: try "shift": False too.',
        "one penalty only": "You try one strength of the penalty only. Without a penalty the network memorizes wrong labels, and a strong one keeps it from learning what is hard: try several.",
    },
)


def _setting(value):
    """Return a configuration as `Trials` needs it, a tuple; raise ValueError, in a sentence."""
    try:
        shift = float(value["shift"])
        near = shift in (0, 1) and len(value) == 3
        rest = []
        for name, allowed in (("penalty", PENALTIES), ("smoothing", SMOOTHINGS)):
            number = float(value[name])
            rest.append(min(allowed, key=lambda a, n=number: abs(a - n)))
            near &= abs(rest[-1] - number) < 1e-4
    except (KeyError, TypeError, ValueError, IndexError):
        near = False
    if not near:
        raise ValueError(
            f'a configuration is a dict: "shift" True or False, "penalty" one of {PENALTIES}, '
            f'"smoothing" one of {SMOOTHINGS}'
        )
    return shift == 1, *rest


def _rolled(rows, shift):
    """Return rows whose pixels are each moved along by a number of places."""
    return np.take_along_axis(rows, (np.arange(PIXELS) + shift[:, None]) % PIXELS, axis=1)


def _shifted(rows, rng):
    return _rolled(rows, rng.integers(PIXELS, size=len(rows)))


class _Task:
    """Images of one line of pixels: few of them and patterns at any place, or many wrong labels."""

    def __init__(self, rng, anywhere):
        patterns, self.seed = np.zeros((CLASSES, PIXELS)), int(rng.integers(2**32))
        if anywhere:
            patterns[:, :PATCH] = 1.5 * _signs(rng)
            rows, noise, wrong = 60, 0.4, 0.0
        else:  # the classes are told by the place
            patterns[np.arange(PIXELS) // PATCH, np.arange(PIXELS)] = 1.2
            rows, noise, wrong = 200, 1.0, 0.4

        def draw(number):
            y = rng.permutation(np.arange(number) % CLASSES)
            x = patterns[y]
            x = _shifted(x, rng) if anywhere else x
            return x + noise * rng.normal(size=x.shape), y

        x, y = draw(rows)
        other = (y + rng.integers(1, CLASSES, size=rows)) % CLASSES
        self.rows = {"train": (x, np.where(rng.random(rows) < wrong, other, y))}
        self.rows |= {"dev": draw(600), "test": draw(200), "hidden": draw(2000)}

    def scores(self, setting, steps, names=("train", "dev", "test")):
        shift, penalty, smoothing = setting
        options = {"penalty": penalty, "smoothing": smoothing, "decay": True}
        if shift:
            options["augment"] = _shifted
        rng = np.random.default_rng(self.seed)
        weights = training.train_network(*self.rows["train"], steps, rng, **options)
        return {name: training.accuracy(weights, *self.rows[name]) for name in names}


def _signs(rng):
    """Draw one pattern of signs a class, of which no two are alike."""
    while True:
        signs = rng.choice([-1.0, 1.0], size=(CLASSES, PATCH))
        if abs(signs @ signs.T - PATCH * np.eye(CLASSES)).max() <= 2:
            return signs


def _clear_task(rng, anywhere):
    """Draw tasks until one is clear.

    Returns the task, the accuracy on hidden rows of each final run, and what a good choice needs:
    more than the best of those who never shift, always shift, or try one penalty.
    """
    while True:
        task = _Task(rng, anywhere)
        final = {s: task.scores(s, STEPS, ["hidden"])["hidden"] for s in SETTINGS}
        best = max(final, key=final.get)
        straw = max(value for s, value in final.items() if s[0] != best[0] or not _near(s, best))
        if (best[0], best[1] == PENALTIES[-1]) == (anywhere, not anywhere) and (
            final[best] > straw + CLEAR
        ):
            return task, final, straw + 0.3 * (final[best] - straw)


def _near(setting, best):
    """Tell whether both penalties are the strong one, or both are not."""
    return (setting[1] == PENALTIES[-1]) == (best[1] == PENALTIES[-1])


@choose.check(
    points=4,
    hint="On hidden rows your configuration does clearly worse than it must. Try configurations with and without shifts, and all three penalties, and choose by dev.",
    more="There are twelve configurations, and the budget pays for six full runs: give each an equal share, or train all of them briefly and the best ones longer. What wins in one task loses in the other, so do not return what is usually recommended.",
)
def does_well_on_unseen_rows(ask, rng):
    """does well on hidden rows, when images are few and when labels are wrong"""
    shown = []
    for anywhere in (True, False):
        task, final, needed = _clear_task(rng, anywhere)
        trials = training.Trials(task.scores, _setting, RUNS * STEPS)
        chosen = trials.decide(ask)
        shifts, penalties, _ = map(set, zip(*trials.runs, strict=True))
        kind = "few images" if anywhere else "wrong labels"
        shown.append((f"{kind}: at least {needed:.3f}", f"{final[chosen]:.3f} with {chosen}"))
        if final[chosen] < needed:
            mistakes = {
                "short runs": trials.longest < training.SHORT * STEPS,
                "never shifted": shifts == {False},
                "always shifted": shifts == {True},
                "one penalty only": len(penalties) == 1,
            }
            return judge(False, *shown[-1], mistakes)
    return judge(True, *map("; ".join, zip(*shown, strict=True)))


def _made_up_scores(rng):
    """Make up scores of all settings, which `training.disagreeing` draws.

    So it is for each combination of shift and penalty, and smoothing changes nothing: an answer may
    leave out one of its values.
    """
    scores = training.disagreeing(len(SETTINGS) // len(SMOOTHINGS), rng)
    return {s: scores[number // len(SMOOTHINGS)] for number, s in enumerate(SETTINGS)}


@choose.check(
    points=3,
    hint="Of the configurations that you try, choose the one with the highest dev accuracy.",
    more='`train` returns a dict: keep train(configuration, steps)["dev"] of every run, and return the configuration of the largest. Compare runs of equal length.',
)
def follows_the_dev_rows(ask, rng):
    """chooses by dev accuracy, when train, dev and test rows disagree"""
    decisions = []
    for _ in range(4):
        table = _made_up_scores(rng)
        trials = training.Trials(training.made_up(table, STEPS, rng), _setting, RUNS * STEPS)
        decisions.append((table, trials, trials.decide(ask)))
    return training.follows_dev(decisions, STEPS)


@choose.check(
    hint="The steps of all your calls of `train` together must be at most `budget`.",
    more="budget // 12 steps for each of the twelve configurations are never too many.",
)
def stays_within_the_budget(ask, rng):
    """compares configurations within the budget, for other numbers of steps"""
    for _ in range(2):
        steps = int(rng.integers(41, 80))
        scores = training.made_up(_made_up_scores(rng), steps, rng)
        trials = training.Trials(scores, _setting, RUNS * steps)
        trials.decide(ask)
    return judge(True, f"at most {trials.budget} steps", f"{trials.spent} steps")
