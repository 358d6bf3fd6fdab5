"""Checks of chapter 17, DisturbLabel and DisturbValue: none depends on one random stream.

Shares are compared with bounds of six standard errors or more, so a right answer fails less than
once in a million runs, whatever it draws with.
"""

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import Chapter, Failed, follows_seed, fresh_generator, judge, outputs, vary

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
    points=2,
    hint="A label stays with chance 1 - alpha/100, and alpha/100 is spread over all K classes.",
    more="np.eye(K) holds the lines without noise. With alpha = 20 and K = 4 it gets the weight 0.8, and 0.05 is added to every entry.",
)
def is_the_smoothed_target(ask, rng):
    """holds (1 - a) onehot + a / K in the line of each class, with a = alpha / 100"""
    k, other = int(rng.integers(3, 8)), (10 * rng.integers(3, 7) + 0.5) / 1000
    return ask(100 * k * other, k)  # `other` has more than three digits, alpha is no whole number


@expected_label_distribution.check(
    hint="At 100 % every label is drawn evenly; at 0 % none is.",
    more="The formula covers both ends: at 100 % nothing of the identity is left, at 0 % nothing is added to it.",
)
def has_the_right_ends(ask, rng):
    """is the identity at 0 % and even at 100 %"""
    k = int(rng.integers(2, 9))
    return {"0 %": ask(0.0, k), "100 %": ask(100.0, k)}


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
    points=3,
    hint="The expected loss is the cross-entropy with the targets (1 - a) onehot + a / K.",
    more="The cross-entropy of PyTorch, and CategoricalCrossentropy of Keras, take label_smoothing: a fraction, and not percents. Then take one step of plain SGD.",
)
def steps_on_the_expected_loss(ask, rng):
    """takes the step of label smoothing at the rate alpha / 100"""
    return ask(*_problem(rng), rng.integers(20, 50) + 0.5, rng.uniform(2, 3))


@expected_step.check(
    points=2,
    hint="The step is an average over all draws, so nothing may be drawn.",
    more="Two calls with the same arguments must give the same weights.",
    keeps_input=True,
)
def draws_nothing(ask, rng):
    """is the mean of the steps over all labels that could be drawn"""
    kernel, bias, x, y = _problem(rng)
    calls = [ask(kernel, bias, x, y, 90.0, 1.0) for _ in range(2)]
    first, second = (outputs(step, kernel.shape, bias.shape) for step in calls)
    if not all(np.allclose(p, q, atol=1e-6) for p, q in zip(first, second, strict=True)):
        raise Failed("the same weights in two calls", "different weights", "labels are drawn")
    return ask(kernel, bias, x[:1], y[:1], rng.integers(20, 50) + 0.5, 1.0)


# --- disturb_values ------------------------------------------------------------------------------


def _disturb_values(y, fraction, scale, rng):
    return rng.normal(y, scale * (rng.random(y.shape) < fraction))


disturb_values = chapter.exercise(
    "disturb_values",
    _disturb_values,
    hints={
        "fraction swapped": "You disturb the rows that should keep their target, and keep the others.",
        "every row": "You disturb every row. Only a share `fraction` of them gets noise.",
        "one coin for the batch": "Either all targets of a mini-batch are disturbed or none. Decide for each row by itself.",
        "percent": "Almost nothing is disturbed: `fraction` is a share from 0 to 1, not a number of percents.",
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
        "fixed count": "You disturb the same number of rows in every mini-batch. Each row is decided by itself, so the number varies around the share `fraction`.",
        "fixed noise": "A row gets the same change whenever it is disturbed. Draw the noise from rng at each call.",
    },
)


def _noise(ask, y, fraction, scale, rng):
    return outputs(ask(y, fraction, scale, fresh_generator(rng)), y.shape)[0] - y


def _one_coin(ask, rng):
    """Tell whether some mini-batches are disturbed as a whole, and all others not at all."""
    calls = [_noise(ask, np.zeros(20), 0.5, 1.0, rng) for _ in range(40)]
    return {(noise != 0).mean() for noise in calls} == {0.0, 1.0}


@disturb_values.check(
    points=2,
    hint="Each row is disturbed with the chance `fraction`; all others keep their target.",
    more="rng.random(y.shape) holds one number from 0 to 1 for each row, and a quarter of them are below 0.25.",
    keeps_input=True,
)
def disturbs_the_fraction(ask, rng):
    """disturbs about the share `fraction` of the rows and leaves the others as they are"""
    n, fraction = 10_000, rng.integers(1, 4) / 10 + rng.uniform(0.045, 0.055)  # far from tenths
    noise = _noise(ask, rng.normal(size=n), fraction, 1.0, rng)
    got = (np.abs(noise) > 1e-6).mean()  # a float32 answer rounds
    return judge(
        abs(got - fraction) < _bound(fraction, n),
        f"disturbed: {fraction:.3f} within {_bound(fraction, n):.3f}",
        f"disturbed: {got:.3f}",
        {
            "one coin for the batch": got in (0, 1) and _one_coin(ask, rng),
            "every row": got > 0.999,
            "fraction swapped": abs(got - (1 - fraction)) < _bound(fraction, n),
            "nothing disturbed": got == 0,
            "percent": got < 0.03 * fraction,
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
    noise = _noise(ask, rng.normal(30, 3, size=n), 1.0, scale, rng) / scale
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
        return outputs(ask(y, 0.5, 1.0, np.random.default_rng(seed)), y.shape)[0]

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
    }
