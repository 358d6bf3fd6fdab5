"""Checks of chapter 17, DisturbLabel and DisturbValue: none depends on one random stream.

Shares are compared with bounds of six standard errors or more, so a right answer fails less than
once in a million runs, whatever it draws with. Rates are in percent everywhere.
"""

import functools
import itertools
from typing import ClassVar

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import (
    AnswerError,
    Chapter,
    Failed,
    brief,
    follows_seed,
    fresh_generator,
    judge,
    outputs,
    plain,
    vary,
)

chapter = Chapter("17_disturb_labels")


def _bound(share, n):
    """Return six standard errors of a share of n draws."""
    return 6 * np.sqrt(share * (1 - share) / n)


# --- disturb_labels --------------------------------------------------------------------------


def _disturb_labels(y, num_classes, alpha, rng):
    replaced = rng.random(y.shape) < alpha / 100
    return np.where(replaced, rng.integers(num_classes, size=y.shape), y)


disturb_labels = chapter.exercise(
    "disturb_labels",
    _disturb_labels,
    mistakes={"next class": lambda y, num_classes, alpha, rng: (y + 1) % num_classes},
    hints={
        "next class": "Every label moves to the next class, also those that should stay.",
        "one new class": "All replaced rows of a class get the same new label. Draw one for each row.",
        "one draw for the batch": "Either all rows of a mini-batch are replaced or none. Draw one number per row.",
        "nothing disturbed": "Your labels are those you were given.",
        "percent of a percent": "Almost nothing is replaced: you divide alpha by 100 twice.",
        "percent taken as a fraction": "You replace every label: alpha is given in percent, so divide it by 100.",
        "keep and replace swapped": "You replace the labels that should stay: alpha is the share that is drawn anew.",
        "classes outside the range": "Some labels are no class: they go from 0 to num_classes - 1.",
        "class never drawn": "Some class is never drawn: use all num_classes classes.",
        "true class left out": "Your new label is never the true one. DisturbLabel draws from all classes, so one replaced label in K stays right.",
        "own random numbers": "Two calls with equal generators give different labels: your random numbers do not come from rng, so a run cannot be repeated.",
        "same noise each time": "Every generator gives the same labels: you set a seed inside. The labels are then drawn once and for all, and the network learns them by heart.",
        "fixed rows": "It is always the same rows that are replaced. Every row has the same chance in every mini-batch.",
        "fixed count": "You replace the same number of rows in every mini-batch. Each row is decided by itself, so the number varies around alpha percent.",
        "same new labels": "A row gets the same new label whenever it is replaced. Draw the new labels from rng at each call.",
        "whole percents": "At alpha = 0.3 the share is wrong: your rate comes in whole percents. alpha can be any number from 0 to 100.",
        "classes counted in y": "Your new labels are only classes that occur in the mini-batch. Draw from all num_classes classes.",
    },
)


def _disturbed(ask, y, num_classes, alpha, rng):
    return outputs(ask(y, num_classes, alpha, fresh_generator(rng)), y.shape)[0]


def _one_draw(ask, rng):
    """Tell whether some mini-batches are replaced as a whole, and all others not at all."""
    calls = [_disturbed(ask, np.zeros(20, int), 1000, 50.0, rng) for _ in range(40)]
    return {(labels != 0).mean().round(1) for labels in calls} == {0.0, 1.0}


@disturb_labels.check(
    points=2,
    hint="Replace alpha percent of the labels; a new label can be the true one again.",
    more="rng.random(y.shape) holds one number from 0 to 1 for each row, and 30 % of them are below 0.3. Let np.where choose between the new and the old labels.",
)
def makes_the_share_wrong(ask, rng):
    """makes about alpha * (K - 1) / K percent of the labels wrong"""
    n, num_classes, alpha = 20_000, int(rng.integers(4, 7)), rng.uniform(25, 35)
    y = rng.integers(num_classes, size=n)
    share, changed = alpha / 100, (num_classes - 1) / num_classes
    wanted, low = share * changed, 0.003 * changed
    got = (_disturbed(ask, y, num_classes, alpha, rng) != y).mean()
    if abs(got - wanted) < _bound(wanted, n):
        got = (_disturbed(ask, y, num_classes, 0.3, rng) != y).mean()
        return judge(
            abs(got - low) < _bound(low, n),
            f"wrong at alpha = 0.3: {100 * low:.2f} % within {100 * _bound(low, n):.2f}",
            f"wrong at alpha = 0.3: {100 * got:.2f} %",
            {"whole percents": got in (0, 1) or got > 0.005},
        )
    known = {
        "true class left out": share,
        "percent taken as a fraction": changed,
        "keep and replace swapped": (1 - share) * changed,
        "percent of a percent": wanted / 100,
        "nothing disturbed": 0.0,
    }
    return judge(
        False,
        f"wrong: {100 * wanted:.1f} % within {100 * _bound(wanted, n):.1f}",
        f"wrong: {100 * got:.1f} %",
        {"one draw for the batch": _one_draw(ask, rng)}
        | {key: abs(got - value) <= _bound(value, n) for key, value in known.items()},
    )


@disturb_labels.check(
    points=2,
    hint="A replaced label is drawn evenly from all classes.",
    more="rng.integers(K, size=...) draws from 0 to K - 1, all equally often: with share 0.6 and K = 5, every class gets 0.12 of the rows from it.",
)
def draws_evenly(ask, rng):
    """draws the new labels evenly from all classes"""
    n, num_classes, share = 20_000, 5, 0.6
    true = int(rng.integers(2, num_classes - 1))  # so y.max() + 1 is not the number of classes

    def draw(n):
        return _disturbed(ask, np.full(n, true), num_classes, 100 * share, rng)

    seen = draw(n)
    shares = np.array([(seen == k).mean() for k in range(num_classes)])
    wanted = np.where(np.arange(num_classes) == true, 1 - share, 0) + share / num_classes
    others, outside = np.delete(shares, true), shares.sum() < 1 - 1e-9
    return judge(
        not outside and (np.abs(shares - wanted) < _bound(wanted, n)).all(),
        f"shares of the classes {', '.join(f'{v:.2f}' for v in wanted)}",
        ", ".join(f"{v:.2f}" for v in shares),
        {
            "classes outside the range": outside,
            "classes counted in y": others.max() == 0
            and all((draw(20) == true).all() for _ in range(20)),
            "one new class": (others > 0).sum() <= 1,
            "class never drawn": others.min() == 0 < others.max(),
            "true class left out": np.abs(others - share / (num_classes - 1)).max() < 0.02,
        },
    )


@disturb_labels.check(
    points=2,
    hint="Each row decides for itself whether it is replaced, and by what.",
    more="Draw one number for each row, and compare it with the share. Choosing a number of rows beforehand, or taking one number for all, ties the rows together.",
)
def decides_row_by_row(ask, rng):
    """decides for each row by itself, wherever it stands"""
    n, calls, num_classes = 200, 60, 1000  # so a new label is nearly always a wrong one
    y, wanted = rng.permutation(num_classes)[:n], 0.5 * (num_classes - 1) / num_classes
    labels = np.stack([_disturbed(ask, y, num_classes, 50.0, rng) for _ in range(calls)])
    wrong = labels != y
    per_call, per_row = wrong.mean(axis=1), wrong.mean(axis=0)
    spread, binomial = per_call.std(), np.sqrt(wanted * (1 - wanted) / n)
    least = np.where(wrong, labels, num_classes).min(axis=0)
    most = np.where(wrong, labels, -1).max(axis=0)
    known = {
        "one draw for the batch": spread > 3 * binomial,
        "same new labels": (least == most).mean() > 0.5,
        "fixed rows": np.abs(per_row - wanted).max() > _bound(wanted, calls) + 0.05,
        "fixed count": spread < 0.4 * binomial,
    }
    return judge(
        not any(known.values()) and abs(per_call.mean() - wanted) < _bound(wanted, n * calls),
        f"wrong share per mini-batch {wanted:.2f}, standard deviation {binomial:.3f}, in all rows, new labels each time",
        f"{per_call.mean():.2f}, {spread:.3f}, in one row {per_row.min():.2f}, in another {per_row.max():.2f}",
        known,
    )


@disturb_labels.check(
    hint="Take all random numbers from rng.",
    more="Do not make a generator of your own, and do not use np.random's functions.",
)
def uses_the_generator(ask, rng):
    """draws from rng: the same generator gives the same labels, another gives others"""
    y = rng.integers(10, size=500)

    def draw(seed):
        return outputs(ask(y, 10, 50.0, np.random.default_rng(seed)), y.shape)

    return follows_seed(draw, rng, fixed="same noise each time", unseeded="own random numbers")


@disturb_labels.check(
    hint="At 99 percent one label in a hundred stays.",
    more="alpha = 99 replaces each label with the chance 0.99, and not with certainty.",
    keeps_input=True,
)
def keeps_one_in_a_hundred(ask, rng):
    """keeps one label in a hundred at alpha = 99"""
    n, num_classes = 20_000, 1000
    y = rng.integers(num_classes, size=n)
    wanted = 0.01 + 0.99 / num_classes
    got = (_disturbed(ask, y, num_classes, 99.0, rng) == y).mean()
    return judge(
        abs(got - wanted) < _bound(wanted, n),
        f"right: {100 * wanted:.1f} % within {100 * _bound(wanted, n):.1f}",
        f"right: {100 * got:.1f} %",
        {"nothing disturbed": got == 1},
    )


@disturb_labels.check(
    hint="A rate of 0 changes no label.",
    more="rng.random(...) is never below 0, so the comparison needs no special case.",
)
def leaves_labels_at_rate_0(ask, rng):
    """changes nothing at alpha = 0"""
    return ask(rng.integers(6, size=400), 6, 0.0, fresh_generator(rng))


# --- expected_label_distribution ---------------------------------------------------------------


def _lines(alpha, num_classes, *, entries=lambda a, k: (1 - a + a / k, a / k)):
    """Return the lines of all classes, from the entries on and off the diagonal."""
    on, off = entries(alpha / 100, num_classes)
    return off + (on - off) * np.eye(num_classes)


_TRUE_CLASS_LEFT_OUT = vary(_lines, entries=lambda a, k: (1 - a, a / (k - 1)))
_SUM_ABOVE_1 = vary(_lines, entries=lambda a, k: (1 - a + a / (k - 1), a / (k - 1)))

expected_label_distribution = chapter.exercise(
    "expected_label_distribution",
    _lines,
    mistakes={
        "true class left out": _TRUE_CLASS_LEFT_OUT,
        "sum above 1": _SUM_ABOVE_1,
        "percent taken as a fraction": vary(_lines, alpha=lambda alpha: 100 * alpha),
        "diagonal too low": vary(_lines, entries=lambda a, k: (1 - a, a / k)),
        "no noise": vary(_lines, alpha=0.0),
        "one line": lambda alpha, num_classes: _lines(alpha, num_classes)[0],
        "only the noise": vary(_lines, entries=lambda a, k: (a / k, a / k)),
        "rounded": [
            *(vary(_lines, alpha=whole) for whole in (int, round)),
            *(lambda *given, n=n: _lines(*given).round(n) for n in (2, 3)),
        ],
    },
    hints={
        "true class left out": "You spread alpha over the other K - 1 classes. DisturbLabel draws from all K, so the true class gets alpha / K as well.",
        "sum above 1": "Your lines sum to more than 1: alpha / (K - 1) was added to all K classes.",
        "percent taken as a fraction": "alpha is given in percent: divide it by 100.",
        "diagonal too low": "Your lines sum to less than 1: a replaced label can be the true one again.",
        "no noise": "These are the true labels. Where is the noise?",
        "one line": "You return one line. Return one for each class: an array of shape (K, K).",
        "rounded": "Your chances are rounded, or alpha is. Use alpha as it is, and return the chances as they are.",
        "only the noise": "The labels that stay are missing: add (1 - alpha/100) to the diagonal.",
    },
)


@expected_label_distribution.check(
    hint="A label stays with chance 1 - alpha/100, and alpha/100 is spread over all K classes.",
    more="np.eye(K) holds the lines without noise. With alpha = 20 and K = 4 it gets the weight 0.8, and 0.05 is added to every entry. The formula covers 0 % and 100 % too.",
)
def is_the_smoothed_target(ask, rng):
    """holds (1 - a) onehot + a / K in the line of each class, with a = alpha / 100, from 0 to 100 %"""
    k, other = int(rng.integers(3, 8)), (10 * rng.integers(3, 7) + 0.5) / 1000
    # `other` has more than three digits, and alpha is no whole number.
    return {"within": ask(100 * k * other, k), "0 %": ask(0.0, k - 1), "100 %": ask(100.0, k + 2)}


# --- expected_step -------------------------------------------------------------------------------


def _step(kernel, bias, x, y, alpha, lr, *, lines=_lines):
    error = (softmax(x @ kernel + bias) - lines(alpha, len(bias))[y]) / len(x)
    return kernel - lr * x.T @ error, bias - lr * error.sum(axis=0)


def _with_classes_of_y(kernel, bias, x, y, alpha, lr):
    k, share = len(bias), alpha / 100

    def lines(alpha, num_classes):
        return (1 - share) * np.eye(k) + share / (y.max() + 1)

    return _step(kernel, bias, x, y, alpha, lr, lines=lines)


expected_step = chapter.exercise(
    "expected_step",
    _step,
    mistakes={
        "true labels": vary(_step, alpha=0.0),
        "percent taken as a fraction": vary(_step, alpha=lambda alpha: 100 * alpha),
        "true class left out": vary(_step, lines=_TRUE_CLASS_LEFT_OUT),
        "sum above 1": vary(_step, lines=_SUM_ABOVE_1),
        "summed loss": lambda w, b, x, y, alpha, lr: _step(w, b, x, y, alpha, lr * len(x)),
        "uphill": vary(_step, lr=lambda lr: -lr),
        "no step": vary(_step, lr=0.0),
        "whole percents": [vary(_step, alpha=int), vary(_step, alpha=round)],
        "classes counted in y": _with_classes_of_y,
        "no bias": lambda w, b, *rest: (_step(w, b, *rest)[0], b),
    },
    hints={
        "changes its input": "Your step writes into the weights that it was given, so whoever called it has lost them. Make new arrays: kernel - lr * gradient.",
        "labels are drawn": "Two calls give different weights: you draw labels. The expected step needs no draw.",
        "true labels": "Your step uses the true labels: the noise has no effect on it.",
        "percent taken as a fraction": "alpha is given in percent: divide it by 100.",
        "true class left out": "You spread alpha over the other K - 1 classes. DisturbLabel draws from all K.",
        "sum above 1": "Your targets sum to more than 1: alpha / (K - 1) was added to all K classes.",
        "summed loss": "Your loss is a sum over the mini-batch. Take the mean.",
        "uphill": "Your step goes uphill: subtract lr times the gradient.",
        "no step": "The weights are those you were given: no step was taken.",
        "whole percents": "You round the rate to whole percents. alpha can be any number from 0 to 100.",
        "classes counted in y": "You take the number of classes from y. A class may be absent from a mini-batch: K is the length of bias.",
        "no bias": "The bias did not move. Step both arrays.",
    },
)


def _problem(rng):
    """Draw weights, small beside a step, and a mini-batch without the last two classes."""
    n, d, k = 7, 4, int(rng.integers(4, 7))
    kernel, bias = rng.normal(scale=0.3, size=(d, k)), rng.normal(scale=0.3, size=k)
    return kernel, bias, rng.normal(scale=2, size=(n, d)), rng.integers(k - 2, size=n)


@expected_step.check(
    hint="The expected loss is the cross-entropy with the targets (1 - a) onehot + a / K, and nothing is drawn.",
    more="The cross-entropy of PyTorch, and CategoricalCrossentropy of Keras, take label_smoothing: a fraction, and not percents. Then take one step of plain SGD.",
    keeps_input=True,
)
def steps_on_the_expected_loss(ask, rng):
    """takes the step of label smoothing at the rate alpha / 100, without a draw"""
    kernel, bias, x, y = _problem(rng)
    calls = [ask(kernel, bias, x, y, 90.0, 1.0) for _ in range(2)]
    first, second = (outputs(step, kernel.shape, bias.shape) for step in calls)
    if not all(np.allclose(p, q, atol=1e-6) for p, q in zip(first, second, strict=True)):
        raise Failed("the same weights in two calls", "different weights", "labels are drawn")
    (one, alone), alpha = (x[:1], y[:1]), rng.integers(20, 50) + 0.5
    return {
        "a mini-batch": ask(kernel, bias, x, y, alpha, rng.uniform(2, 3)),
        "one row": ask(kernel, bias, one, alone, alpha, 1.0),
    }


# --- disturb_values ------------------------------------------------------------------------------


def _disturb_values(y, alpha, scale, rng):
    return rng.normal(y, scale * (rng.random(y.shape) < alpha / 100))


disturb_values = chapter.exercise(
    "disturb_values",
    _disturb_values,
    hints={
        "keep and disturb swapped": "You disturb the rows that should keep their target, and keep the others.",
        "every row": "You disturb every row. Only alpha percent of them get noise.",
        "one coin for the batch": "Either all targets of a mini-batch are disturbed or none. Decide for each row by itself.",
        "percent taken as a fraction": "You disturb every row: alpha is given in percent, so divide it by 100.",
        "percent of a percent": "Almost nothing is disturbed: you divide alpha by 100 twice.",
        "whole percents": "Your rate comes in whole percents. alpha can be any number from 0 to 100.",
        "nothing disturbed": "Your targets are those you were given.",
        "own random numbers": "Two calls with equal generators give different targets: your random numbers do not come from rng, so a run cannot be repeated.",
        "same noise each time": "Every generator gives the same targets: you set a seed inside. Noise that never changes is learned by heart.",
        "one draw for the batch": "All rows get the same noise. Draw one number per row.",
        "only upwards": "Your noise is never negative. It needs the mean 0.",
        "scale squared": "Your standard deviation is scale**2: `scale` is the standard deviation already.",
        "scale as variance": "Your standard deviation is the root of scale: `scale` is not the variance.",
        "multiplied": "Your noise grows with the target. Add it; do not multiply the target by it.",
        "replaced": "The noise takes the place of the targets. Add it to them.",
        "scale as mean": "Your noise has the mean `scale` and the standard deviation 1: the first number that rng.normal takes is the mean.",
        "not Gaussian": "Large changes are too rare or too frequent: your noise is not Gaussian. Look at rng.normal.",
        "fixed rows": "It is always the same rows that are disturbed. Draw them anew at each call.",
        "fixed count": "You disturb the same number of rows in every mini-batch. Each row is decided by itself, so the number varies around alpha percent.",
        "fixed noise": "A row gets the same change whenever it is disturbed. Draw the noise from rng at each call.",
    },
)


def _noise(ask, y, alpha, scale, rng):
    return outputs(ask(y, alpha, scale, fresh_generator(rng)), y.shape)[0] - y


def _one_coin(ask, rng):
    """Tell whether some mini-batches are disturbed as a whole, and all others not at all."""
    calls = [_noise(ask, np.zeros(20), 50.0, 1.0, rng) for _ in range(40)]
    return {(noise != 0).mean() for noise in calls} == {0.0, 1.0}


@disturb_values.check(
    points=2,
    hint="Each row is disturbed with the chance alpha / 100; all others keep their target.",
    more="rng.random(y.shape) holds one number from 0 to 1 for each row, and a quarter of them are below 25 / 100.",
    keeps_input=True,
)
def disturbs_the_share(ask, rng):
    """disturbs about alpha percent of the rows and leaves the others as they are"""
    n, share = 10_000, rng.integers(1, 4) / 10 + rng.uniform(0.045, 0.055)  # far from tenths

    def disturbed(n, alpha):
        noise = _noise(ask, rng.normal(size=n), alpha, 1.0, rng)
        return (np.abs(noise) > 1e-6).mean()  # a float32 answer rounds

    got, few, most = disturbed(n, 100 * share), disturbed(4 * n, 0.6), disturbed(4 * n, 99.0)
    good = abs(got - share) < _bound(share, n)
    return judge(
        good and max(abs(few - 0.006), abs(0.99 - most)) < _bound(0.01, 4 * n),
        f"disturbed: {100 * share:.1f} % within {100 * _bound(share, n):.1f}, at alpha = 0.6 about 0.6 %, at 99 about 99 %",
        f"disturbed: {100 * got:.1f} %, at alpha = 0.6 {100 * few:.1f} %, at 99 {100 * most:.1f} %",
        {
            "whole percents": good,
            "one coin for the batch": got in (0, 1) and _one_coin(ask, rng),
            "percent taken as a fraction": got > 0.999 and few < 0.999,
            "every row": got > 0.999,
            "keep and disturb swapped": abs(got - (1 - share)) < _bound(share, n),
            "nothing disturbed": got == 0,
            "percent of a percent": got < 0.03 * share,
        },
    )


@disturb_values.check(
    points=2,
    hint="The noise is Gaussian with mean 0 and the standard deviation `scale`.",
    more="rng.normal takes the mean, the standard deviation and the shape, each by its name or in this order. Of Gaussian noise, 1.2 % lies beyond 2.5 standard deviations.",
)
def adds_gaussian_noise(ask, rng):
    """adds Gaussian noise of mean 0 and standard deviation `scale` to those rows"""
    n, scale = 20_000, rng.uniform(2.5, 4)
    noise = _noise(ask, rng.normal(30, 3, size=n), 100.0, scale, rng) / scale
    mean, spread = noise.mean(), noise.std()
    beyond = (np.abs(noise - mean) > 2.5 * spread).mean()  # 1.24 % of a Gaussian
    gaussian = 0.0077 < beyond < 0.0171
    return judge(
        abs(mean) < 0.05 and abs(spread - 1) < 0.05 and gaussian,
        "mean 0, standard deviation scale, 1.2 % beyond 2.5 times that",
        f"{mean:.2f} scale, {spread:.2f} scale, {100 * beyond:.1f} %",
        {
            "nothing disturbed": (noise == 0).all(),
            "one draw for the batch": spread < 0.02,
            "replaced": abs(mean * scale + 30) < 1,
            "scale as mean": abs(mean - 1) < 0.05 and abs(spread - 1 / scale) < 0.03,
            "only upwards": np.quantile(noise, 0.02) > -0.05,
            "multiplied": spread > 5,
            "not Gaussian": not gaussian,
            "scale squared": abs(spread - scale) < 0.1,
            "scale as variance": abs(spread - scale**-0.5) < 0.03,
        },
    )


@disturb_values.check(
    points=2,
    hint="Which rows are disturbed, and how, is drawn anew from rng at each call.",
    more="Two arrays of the shape of y are drawn from rng at each call: one decides which rows, the other by how much.",
)
def draws_anew_from_the_generator(ask, rng):
    """draws rows and noise anew at each call, from rng"""
    y = rng.normal(size=300)

    def draw(seed):
        return outputs(ask(y, 50.0, 1.0, np.random.default_rng(seed)), y.shape)[0]

    follows = follows_seed(draw, rng, fixed="same noise each time", unseeded="own random numbers")
    if not follows.passed:
        return follows
    seeds = rng.integers(2**32, size=36)
    noise = np.stack([draw(seed) - y for seed in seeds])
    hits = np.abs(noise) > 1e-6
    per_row, per_call = hits.mean(axis=0), hits.sum(axis=1)
    most = np.where(hits, noise, -np.inf).max(axis=0)
    least = np.where(hits, noise, np.inf).min(axis=0)
    known = {
        "one coin for the batch": set(per_call.tolist()) == {0, len(y)},
        "fixed rows": per_row.max() > 0.97 or per_row.min() < 0.03,
        "fixed count": np.ptp(per_call) == 0,
        "fixed noise": (most - least < 1e-5).mean() > 0.5,
    }
    found = next((name for name, fits in known.items() if fits), "other rows and noise")
    return judge(not any(known.values()), "other rows and noise in every call", found, known)


# --- diagnose_noise ------------------------------------------------------------------------------


def _diagnose(seen, y):
    if (seen == y).all():
        return "none"
    if (seen == seen[0]).all():
        return "drawn once"
    counts = (seen[..., None] == np.arange(seen.max() + 1)).sum(axis=0)
    return "drawn anew" if (counts.argmax(axis=1) == y).all() else "both"


def _says(word, *truths):
    """Return answers that say `word` in the place of the first truth, the first two, and so on."""

    def answer(replaced):
        return lambda seen, y: word if (right := _diagnose(seen, y)) in replaced else right

    return [answer(truths[:count]) for count in range(1, len(truths) + 1)]


def _with(*, none=None, once=None, anew=None):
    """Return the right answer with another condition for "none", "drawn once" or "drawn anew"."""

    def answer(seen, y):
        if none(seen, y) if none else (seen == y).all():
            return "none"
        if once(seen, y) if once else (seen == seen[0]).all():
            return "drawn once"
        if anew is None:
            return _diagnose(seen, y)
        return "drawn anew" if anew(seen, y) else "both"

    return answer


def _by_share(least, rows=None):
    """Return the answer that wants the true class in this share of the epochs of each row."""
    return _with(anew=lambda seen, y: ((seen == y).mean(axis=rows) > least).all())


diagnose_noise = chapter.exercise(
    "diagnose_noise",
    _diagnose,
    mistakes={
        "none for drawn once": _says("none", "drawn once"),
        "none for drawn anew": _says("none", "drawn anew"),
        "none for both": _says("none", "both", "drawn anew", "drawn once"),
        "drawn once for drawn anew": [
            *_says("drawn once", "drawn anew", "both"),
            *(_with(once=lambda seen, y, i=i: (seen[0] == seen[i]).all()) for i in (1, -1)),
            _with(once=lambda seen, y: (seen == seen[0]).mean() > 0.99),
        ],
        "drawn once for both": [
            *_says("drawn once", "both"),
            _with(once=lambda seen, y: ((seen == y) == (seen[0] == y)).all()),
        ],
        "drawn anew for drawn once": _says("drawn anew", "drawn once", "both"),
        "drawn anew for both": [*_says("drawn anew", "both"), _by_share(0.55)],
        "both for drawn anew": _says("both", "drawn anew"),
        "both for drawn once": _says("both", "drawn once", "drawn anew"),
        "drawn once for none": _says("drawn once", "none", "drawn anew", "both"),
        "drawn anew for none": _says("drawn anew", "none", "both", "drawn once"),
        "both for none": _says("both", "none", "drawn anew", "drawn once"),
        "one wrong label missed": [
            *(_with(none=lambda seen, y, i=i: (seen[i] == y).all()) for i in (0, -1)),
            *(_with(none=lambda seen, y, t=t: (seen == y).mean() > t) for t in (0.9, 0.95, 0.99)),
            lambda seen, y: "none" if (seen[0] == y).all() else "drawn once",
        ],
        "not counted": [
            *(_by_share(t, rows=0) for t in (0.2, 0.25, 0.3, 1 / 3, 0.4, 0.5, 0.6)),
            _with(anew=lambda seen, y: (np.median(seen, axis=0) == y).all()),
            _with(anew=lambda seen, y: (seen.mean(axis=0).round() == y).all()),
        ],
    },
    hints={
        "drawn once for none": 'You say "drawn once" where every label is right in every epoch.',
        "drawn anew for none": 'You say "drawn anew" where every label is right in every epoch.',
        "both for none": 'You say "both" where every label is right in every epoch.',
        "none for both": "Some labels are wrong in most epochs. Compare all of seen with y.",
        "none for drawn once": "Row for row the labels are equal in every epoch, but not to y.",
        "none for drawn anew": "Some labels are wrong in some epochs. Compare all of seen with y.",
        "drawn once for drawn anew": 'You say "drawn once" of labels that change from epoch to epoch: compare every epoch with the first, not only one.',
        "drawn once for both": "Some rows are wrong nearly always, but the labels also change from epoch to epoch.",
        "drawn anew for drawn once": 'You say "drawn anew" of wrong labels that never change: every epoch shows the same ones. That noise is memorized.',
        "drawn anew for both": "Look at each row by itself: the label that it shows most often is not always the true one.",
        "both for drawn once": 'You say "both" of labels that never change, so nothing is drawn anew in an epoch.',
        "one wrong label missed": 'You say "none" where one label is wrong in one epoch. Compare every epoch with y, and let no single label pass.',
        "not counted": "At a high rate the true class can be the most frequent one with a third of the epochs only, and at a low rate another class can be it with less than half. Neither a fixed share nor the median or the mean of the class numbers tells: count how often a row shows each class.",
        "both for drawn anew": "Every row shows its true class most often. The data set is clean; only DisturbLabel acts.",
    },
)


def _seen(rng, wrong, alpha, shift=None):
    """Return the labels of 60 epochs and the true ones: `wrong` rows mislabelled for good.

    shift: how far their class is from the true one (default: any other class).
    """
    y, rows = rng.integers(5, size=20), rng.permutation(20)[:wrong]
    kept = y.copy()
    if shift:
        y[rows], kept[rows] = 2, 2 + shift
    else:
        kept[rows] = (y[rows] + rng.integers(1, 5, size=wrong)) % 5
    replaced = rng.random((60, 20)) < alpha
    return np.where(replaced, rng.integers(5, size=(60, 20)), kept), y


def _one_change(rng, wrong, epoch):
    """Return the same without DisturbLabel, but one row has another wrong label in one epoch."""
    seen, y = _seen(rng, wrong, alpha=0.0)
    row = np.flatnonzero(seen[0] != y)[-1] if wrong else rng.integers(1, 20)
    seen[epoch, row] = np.delete(np.arange(5), [y[row], seen[0, row]])[0]
    return seen, y


def _seldom_right(rng, *others):
    """Return five rows, each with 20 epochs of its true class and 10 of every other class.

    others: for the first row, how many epochs it shows each class, the true one first.
    """
    counts = [others or [20, 10, 10, 10, 10], *[[20, 10, 10, 10, 10]] * 4]
    steps = np.stack([np.repeat(np.arange(5), count) for count in counts], axis=1)
    y = rng.permutation(5)
    return (y + rng.permuted(steps, axis=0)) % 5, y


def _narrow_lead(rng):
    """Return two rows in which class 3 leads class 1 by the first, or the last, of its 20 epochs.

    In the half of the epochs that holds this one, class 1 leads.
    """
    near = rng.permutation([3] * 7 + [1] * 13 + [0, 2, 4] * 3)
    far = rng.permutation([3] * 12 + [1] * 6 + [0, 2, 4] * 4)
    labels = np.array([3, *near, *far])
    return np.stack([labels, labels[::-1]], axis=1)


@diagnose_noise.check(
    hint='The text must be "none" when every label is right.',
    more="Compare all of seen with y at once: y is compared with every epoch. The method .all() tells whether all agree.",
)
def finds_no_noise(ask, rng):
    """says "none" when all labels are right"""
    return ask(*_seen(rng, wrong=0, alpha=0.0))


@diagnose_noise.check(
    points=2,
    hint="Compare each epoch with the first one.",
    more="seen[0] holds the labels of the first epoch. Nothing changes if all others are equal to it.",
)
def finds_fixed_labels(ask, rng):
    """says "drawn once" when the same labels are wrong in every epoch, be it one"""
    return {
        "one label a class too high": ask(*_seen(rng, 1, 0.0, shift=1)),
        "many labels a class too low": ask(*_seen(rng, int(rng.integers(2, 10)), 0.0, shift=-1)),
    }


@diagnose_noise.check(
    points=2,
    hint="Find the most frequent label of each row (a column of seen) and compare it with y.",
    more="np.bincount counts how often each class occurs in the labels of one row, and argmax finds the class with the largest count.",
)
def finds_disturbed_labels(ask, rng):
    """says "drawn anew" for DisturbLabel on right labels, whatever its rate"""
    return {
        "a middle rate": ask(*_seen(rng, wrong=0, alpha=rng.uniform(0.2, 0.4))),
        "a high rate": ask(*_seldom_right(rng)),
        "one wrong label in one epoch": ask(*_one_change(rng, 0, epoch=45)),
        "a lead of one epoch": ask(_narrow_lead(rng), np.array([3, 3])),
    }


@diagnose_noise.check(
    points=2,
    hint="Find the most frequent label of each row (a column of seen) and compare it with y.",
    more='The answer is "both" if the labels change and the most frequent label of at least one row is not its true class.',
)
def finds_both(ask, rng):
    """says "both" for DisturbLabel on a data set with wrong labels, be they few"""
    return {
        "one label a class too high": ask(*_seen(rng, 1, rng.uniform(0.2, 0.4), shift=1)),
        "many labels a class too low": ask(*_seen(rng, 8, rng.uniform(0.2, 0.4), shift=-1)),
        "a high rate": ask(*_seldom_right(rng, 22, 24, 5, 5, 4)),
        "another wrong label in one epoch": ask(*_one_change(rng, 3, epoch=15)),
        "a lead of one epoch": ask(_narrow_lead(rng), np.array([1, 1])),
    }


# --- fair_verdict --------------------------------------------------------------------------------

_OUTCOMES = ("helps", "harms", "no difference", "cannot tell")
_T = {8: 2.365, 10: 2.262, 12: 2.201}  # of Student's t, by the number of differences
_MARGIN = 1.0  # points


def _four_ways(low, high, margin):
    if low > 0 or high < 0:
        return "helps" if low > 0 else "harms"
    return "no difference" if -margin < low and high < margin else "cannot tell"


def _interval(scores, baseline, *, paired=True, error=lambda sd, n: sd / np.sqrt(n)):
    """Return the ends of the interval of the mean gain over the baseline."""
    n, each = len(scores), [scores - baseline] if paired else [scores, baseline]
    half = _T.get(n, 3.0) * error(np.sqrt(sum(v.var(ddof=1) for v in each)), n)
    mean = (scores - baseline).mean()
    return mean - half, mean + half


def _fair(
    train, settings, tuning, fresh, margin, budget, *,
    tunes=lambda method: True, choose="dev", best=max, epoch="dev", report="test", rows=slice(None),
    interval=_interval, outcome=_four_ways, order=1,
):  # fmt: skip
    """Compare every method with "none" as fairly as the other arguments allow."""
    scores = {}
    for method, pairs in settings.items():
        seen = {p: train(method, p, tuning)[choose].max(axis=1).mean() for p in pairs}
        found = train(method, best(seen, key=seen.get) if tunes(method) else pairs[0], fresh[rows])
        at = found[epoch].argmax(axis=1) if epoch else -1
        scores[method] = found[report][np.arange(len(found[report])), at]
    return {
        method: outcome(*interval(*(scores[method], scores["none"])[::order]), margin)
        for method in list(settings)[1:]
    }


_NOTHING = {"tunes": lambda method: False, "epoch": None}


def _no_interval(scores, baseline):
    return (scores - baseline).mean() * np.ones(2)


fair = chapter.exercise(
    "fair_verdict",
    _fair,
    mistakes={
        "nothing mended": [
            vary(_fair, **_NOTHING),
            vary(_fair, **_NOTHING, interval=_no_interval),
            vary(_fair, tunes=lambda method: False),
        ],
        "last epoch": vary(_fair, epoch=None),
        "baseline not tuned": vary(_fair, tunes=lambda method: method != "none"),
        "only the baseline tuned": vary(_fair, tunes=lambda method: method == "none"),
        "chosen on test rows": [
            vary(_fair, choose="test", epoch="test"),
            vary(_fair, choose="test"),
            vary(_fair, epoch="test"),
        ],
        "reported on dev rows": vary(_fair, report="dev"),
        "lowest for highest": vary(_fair, best=min),
        "not paired": vary(_fair, interval=vary(_interval, paired=False)),
        "spread for standard error": vary(_fair, interval=vary(_interval, error=lambda sd, n: sd)),
        "too few splits": vary(_fair, rows=slice(3)),
        "no interval": vary(_fair, interval=_no_interval),
        "harm denied": vary(_fair, outcome=lambda low, *_: "helps" if low > 0 else "no difference"),
        "nothing for cannot tell": vary(
            _fair, outcome=lambda low, high, margin: _four_ways(low, high, np.inf)
        ),
        "cannot tell for nothing": vary(
            _fair, outcome=lambda low, high, margin: _four_ways(low, high, 0.0)
        ),
        "margin for zero": vary(
            _fair,
            outcome=lambda low, high, margin: (
                "helps"
                if low > margin
                else "harms"
                if high < -margin
                else _four_ways(min(low, 0), max(high, 0), margin)
            ),
        ),
        "baseline minus method": vary(_fair, order=-1),
    },
    hints={
        "over budget": "Your calls of `train` ask for more runs than `budget`: every split of every call is one run. Tune on the tuning splits only, and run only the winners on the fresh ones.",
        "no decision": "You do not compare: call `train`, and let the scores decide.",
        "nothing mended": "You take the first setting of every method, as the unfair comparison does. Choose the best of each on the tuning splits, and stop each run at its best dev epoch.",
        "last epoch": "You compare after the last epoch, where the network without a method has learned the wrong labels. Stop every method at the epoch that is best on the dev rows of its split.",
        "baseline not tuned": 'You tune the methods and not "none". It deserves the same care: it has as many settings.',
        "only the baseline tuned": 'You tune "none" and take the first setting of the methods. Tune all alike.',
        "chosen on test rows": "Test rows take part in a choice of yours. Choose settings and epochs by dev rows alone, and report on test rows.",
        "reported on dev rows": "You report the scores on dev rows, which have chosen the setting and the epoch already. Report on test rows.",
        "lowest for highest": "You choose the setting with the lowest dev accuracy. Choose the highest.",
        "not paired": "Your interval treats the scores of two methods as if they came from other splits. Take the difference split by split: what makes a split easy for one makes it easy for both.",
        "spread for standard error": "Your interval describes one split. Divide the standard deviation of the differences by the root of their number.",
        "too few splits": "You measure on few of the fresh splits, or on none. Use all of them: the tuning splits have chosen already, and a few say little.",
        "no interval": "You go by the sign of the mean difference. Ask what the interval says.",
        "harm denied": "An interval wholly below 0 says that the method harms, and that is a result too.",
        "nothing for cannot tell": 'An interval that includes 0 is "no difference" only if it lies within the margin on both sides. Otherwise the data cannot tell.',
        "cannot tell for nothing": 'An interval around 0 within the margin is a result: "no difference".',
        "margin for zero": "An interval on one side of 0 helps or harms, however small the effect: the margin is for intervals that include 0.",
        "baseline minus method": 'Your difference has the wrong sign: take the method minus "none".',
    },
)


def _decided(ask, scores, settings, tuning, fresh):
    """Let an answer decide; return its verdicts by method.

    scores: a function of a method, a pair and a split that returns the accuracy after every epoch,
    by the name of the rows. The runs are counted here, where no answer reaches the count.
    """
    budget, spent = (len(fresh) + 2) * sum(map(len, settings.values())), 0
    measurable = {*tuning.tolist(), *fresh.tolist()}
    measured = {method: set() for method in settings}

    def train(method, pair, splits, /):
        nonlocal spent
        method, numbers, (wanted,) = plain(method), plain(splits), outputs(plain(pair), 2)
        if not isinstance(method, str) or method not in settings:
            raise ValueError(f"take one of the methods {', '.join(settings)}")
        known = np.array(settings[method])
        found = (abs(known - wanted) <= 1e-6 * known).all(axis=1)
        if not found.any():
            raise ValueError(f"{wanted.tolist()} is not among the settings of {method}")
        if not isinstance(numbers, np.ndarray) or numbers.ndim > 1:
            raise ValueError("take a list of splits")
        numbers = np.atleast_1d(numbers)
        if not {*numbers.tolist()} <= measurable:
            raise ValueError(f"take splits of `tuning` and `fresh`, not {brief(numbers)}")
        spent += len(numbers)
        if spent > budget:
            raise ValueError(f"these are {spent} runs, and the budget is {budget}")
        measured[method] |= {*numbers.tolist()}
        pair = settings[method][found.argmax()]
        curves = [scores(method, pair, int(number)) for number in numbers]
        return {rows: np.array([c[rows] for c in curves]) for rows in ("dev", "test")}

    try:
        verdicts = ask(train, settings, tuning, fresh, _MARGIN, budget)
    except AnswerError:
        if spent <= budget:
            raise
    if spent > budget:
        raise Failed(f"at most {budget} runs", f"at least {min(spent, 99 * budget)}", "over budget")
    methods = list(settings)[1:]
    if not isinstance(verdicts, dict) or {*verdicts} != {*methods}:
        raise AnswerError(f"Return a dict with the keys {' and '.join(methods)}.")
    if not all(isinstance(v, str) and v in _OUTCOMES for v in verdicts.values()):
        raise AnswerError(f"Each verdict is one of the texts {', '.join(_OUTCOMES)}.")
    if not spent:
        raise Failed("methods compared by `train`", "no call of it", "no decision")
    least = min(len(splits & {*fresh.tolist()}) for splits in measured.values())
    if 2 * least <= len(fresh):
        raise Failed(f"{len(fresh)} fresh splits", f"{least} of them", "too few splits")
    return verdicts


def _splits(rng, fresh=10):
    """Return the numbers of 3 tuning splits and of some fresh ones."""
    numbers = rng.permutation(900)[: 3 + fresh]
    return np.sort(numbers[:3]), np.sort(numbers[3:])


class _MadeUp:
    """Accuracies of methods whose gain over "none" is known, split by split.

    effects: of each method, the mean gain and its standard deviation over the fresh splits. number:
    of the settings of a method. With the first setting of each, every method is far ahead after the
    last epoch. crossed: that is turned round, and test rows ask for another setting and another
    epoch than dev rows; the best setting has a narrow peak, and another is lucky on one of the
    tuning splits.
    """

    def __init__(self, rng, effects, number, tuning, fresh, crossed):
        self.crossed, self.gain, self.settings, self.peak = crossed, {}, {}, {}
        self.level = dict(zip([*tuning, *fresh], rng.normal(60, 5, size=99), strict=False))
        for method, (mean, spread) in {"none": (0.0, 0.0), **effects}.items():
            luck = rng.normal(size=len(fresh))
            luck = (luck - luck.mean()) / luck.std(ddof=1)
            self.gain[method] = mean, spread, dict(zip(fresh, luck, strict=True))
            alphas = np.zeros(number) if method == "none" else 10.0 * rng.integers(1, 9, number)
            rates = rng.permutation(np.geomspace(1e-4, 1e-1, number))
            self.settings[method] = list(zip(alphas.tolist(), rates.tolist(), strict=True))
            below = rng.uniform(3, 12, size=number)  # the best setting
            first = (3, 13) if crossed else (9, 3.5)
            below[[0, 1, rng.integers(2, number)]] = first[method != "none"], 7, 0
            for place, pair in enumerate(self.settings[method]):
                lift = crossed * (place == 1) * (13 if mean < 0 else 11)
                slope, best = (3, 5) if crossed and not below[place] else (0, rng.integers(4, 8))
                self.peak[method, pair] = below[place], lift, slope, best
        self.lucky = max(tuning, key=self.level.get)

    def __call__(self, method, pair, split):
        (below, lift, slope, best), epochs = self.peak[method, pair], np.arange(12)
        mean, spread, lucks = self.gain[method]
        fall = 1.5 if method == "none" else 0.3  # an epoch, behind the best one
        if self.crossed:
            fall = 0.9 + 0.6 * np.sign(mean)
        before, behind = (best - epochs).clip(0), (epochs - best).clip(0)
        curve = self.level[split] - below - (slope + 3) * before - (slope + fall) * behind
        luck, early = lucks.get(split, 0), 40 if method == "none" else 50
        test = curve + mean + spread * luck + lift + early * self.crossed * (epochs == 0)
        if not self.crossed:
            return {"dev": test, "test": test}
        lucky = 11 if lift and split == self.lucky else 0
        return {"dev": curve + 0.3 * luck - 2 * mean + lucky, "test": test}


def _by_made_up(ask, rng, effects, number, fresh=10, crossed=False):
    splits = _splits(rng, fresh)
    world = _MadeUp(rng, effects, number, *splits, crossed)
    return _decided(ask, world, world.settings, *splits)


@fair.check(
    points=3,
    hint="Tune every method on the tuning splits by dev, stop each run at its best dev epoch, and take the differences on the test rows of the fresh splits.",
    more="The interval of ten differences is their mean plus and minus 2.26 times their standard deviation (ddof=1) over the root of ten. Both ends decide the verdict.",
)
def is_fair(ask, rng):
    """gives the verdicts of a fair comparison, where the unfair one finds that everything helps"""
    verdicts = []
    for effects in ([(3.0, 2.0), (-3.0, 2.0)], [(0.0, 0.4), (0.3, 6.0)]):
        first, second = rng.permutation(2)
        named = {"DisturbLabel": effects[first], "label smoothing": effects[second]}
        verdicts.append(_by_made_up(ask, rng, named, number=12))
    return tuple(verdicts)


@fair.check(
    points=2,
    hint="Where dev and test rows disagree, only dev rows may choose, and only test rows report. An effect may be small, and an interval may lie unevenly around 0.",
    more="The setting: the best mean over the tuning splits of the best dev accuracy of a run. The epoch: argmax of the dev accuracies of each fresh run. The score: the test accuracy at that epoch.",
)
def uses_rows_and_margin_rightly(ask, rng):
    """lets dev rows choose and test rows report, and judges small effects by the whole interval"""
    effects, verdicts = [(0.5, 0.4), (-0.5, 0.4), (0.6, 1.7), (-0.6, 1.7)], []
    for fresh in (8, 12):
        names = rng.permutation(["drawn anew", "smoothed", "drawn once", "mixed"]).tolist()
        named = dict(zip(names, effects, strict=True))
        verdicts.append(_by_made_up(ask, rng, named, number=8, fresh=fresh, crossed=True))
    return tuple(verdicts)


class _Trained:
    """Softmax regressions on rows of which 40 % have a wrong label, trained by SGD.

    All settings of a split are trained side by side, from equal batches, when the first is asked
    for.
    """

    rows, inputs, classes, epochs, batch = 60, 80, 4, 16, 20
    settings: ClassVar = {
        "none": [(0.0, rate) for rate in np.geomspace(0.3, 0.001, 12).tolist()],
        "DisturbLabel": list(itertools.product((60.0, 70.0, 80.0), (0.003, 0.01, 0.03, 0.1))),
        "label smoothing": list(itertools.product((10.0, 30.0, 50.0), (0.003, 0.01, 0.03, 0.1))),
    }

    def __init__(self, seed):
        self.seed, self.known = seed, {}
        self.centres = np.random.default_rng(seed).normal(
            scale=0.6, size=(self.classes, self.inputs)
        )
        self.all = [(method, pair) for method, pairs in self.settings.items() for pair in pairs]

    def drawn(self, number, wrong, rng):
        y = rng.integers(self.classes, size=number)
        x = self.centres[y] + rng.normal(scale=2, size=(number, self.inputs))
        return x, (y + (rng.random(number) < wrong) * rng.integers(1, 4, size=number)) % 4

    def __call__(self, method, pair, split):
        if split not in self.known:
            curves = self.trained(np.random.default_rng([self.seed, split]))
            self.known[split] = {
                key: {"dev": dev, "test": test}
                for key, dev, test in zip(self.all, *curves, strict=True)
            }
        return self.known[split][method, pair]

    def trained(self, rng):
        """Return the accuracy on dev and on test rows in percent: shape (settings, epochs)."""
        x, y = self.drawn(self.rows, 0.4, rng)
        sets, found = [self.drawn(300, 0.4, rng), self.drawn(800, 0.0, rng)], ([], [])
        alpha, rate = np.array([pair for _, pair in self.all]).T
        anew = np.array([method == "DisturbLabel" for method, _ in self.all])
        w, smooth = np.zeros((len(self.all), self.inputs, 4)), ~anew * alpha / 100
        for _ in range(self.epochs):
            for take in rng.permutation(self.rows).reshape(-1, self.batch):
                replaced = rng.random(self.batch) < (anew * alpha / 100)[:, None]
                labels = np.where(replaced, rng.integers(4, size=self.batch), y[take])
                target = np.eye(4)[labels] * (1 - smooth)[:, None, None]
                error = softmax(x[take] @ w) - target - smooth[:, None, None] / 4
                w -= rate[:, None, None] * (x[take].T @ error) / self.batch
            for (rows, classes), scores in zip(sets, found, strict=True):
                scores.append(100 * ((rows @ w).argmax(axis=-1) == classes).mean(axis=-1))
        return [np.array(scores).T for scores in found]


def _allowed(gain):
    """Return the verdicts that a gain found on many hidden splits does not contradict."""
    wrong = {"harms" if gain > 1 else "helps" if gain < -1 else ""}
    wrong |= {"no difference"} if abs(gain) > 2 else set()
    return [outcome for outcome in _OUTCOMES if outcome not in wrong]


@functools.lru_cache(maxsize=8)
def _hidden(seed):
    """Return a trained world, and the gain of each method on 20 splits that no answer sees."""
    world = _Trained(seed)

    def train(method, pair, splits):
        curves = [world(method, pair, split) for split in splits]
        return {rows: np.array([c[rows] for c in curves]) for rows in ("dev", "test")}

    splits = np.arange(1000, 1020)
    gains = _fair(
        train, world.settings, splits[:8], splits[8:], _MARGIN, 0,
        interval=_no_interval, outcome=lambda mean, *_: mean,
    )  # fmt: skip
    return world, gains


@fair.check(
    points=2,
    hint="Another 20 splits contradict a verdict of yours. Is every method tuned, stopped on dev, and compared on the fresh splits?",
    more='Networks are trained here. The first setting of "none" has a rate that is a hundred times too high: give "none" the same search as the others.',
)
def holds_on_hidden_splits(ask, rng):
    """gives verdicts on trained models that 20 hidden splits do not contradict"""
    world, gains = _hidden(int(rng.integers(2**32)))
    splits = _splits(rng)
    verdicts = _decided(ask, world, world.settings, *splits)
    return judge(
        all(verdicts[method] in _allowed(gain) for method, gain in gains.items()),
        "; ".join(
            f"{method}: {' or '.join(_allowed(gain))} ({gain:+.1f} points on hidden splits)"
            for method, gain in gains.items()
        ),
        brief(verdicts),
    )
