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
        "one draw for the batch": "Either all rows of a mini-batch are replaced or none. Draw one number per row: rng.random(y.shape).",
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
    },
)


def _disturbed(ask, y, num_classes, alpha, rng):
    return outputs(ask(y, num_classes, alpha, fresh_generator(rng)), y.shape)[0]


@disturb_labels.check(
    points=2,
    hint="Replace alpha percent of the labels; a new label can be the true one again.",
    more="replaced = rng.random(y.shape) < alpha / 100",
)
def makes_the_share_wrong(ask, rng):
    """makes about alpha * (K - 1) / K percent of the labels wrong"""
    n, num_classes, alpha = 20_000, int(rng.integers(4, 7)), rng.uniform(25, 35)
    y = rng.integers(num_classes, size=n)
    share, changed = alpha / 100, (num_classes - 1) / num_classes
    wanted = share * changed
    got = (_disturbed(ask, y, num_classes, alpha, rng) != y).mean()
    known = {
        "true class left out": share,
        "percent taken as a fraction": changed,
        "keep and replace swapped": (1 - share) * changed,
        "percent of a percent": wanted / 100,
        "nothing disturbed": 0.0,
    }
    return judge(
        abs(got - wanted) < _bound(wanted, n),
        f"wrong: {100 * wanted:.1f} % within {100 * _bound(wanted, n):.1f}",
        f"wrong: {100 * got:.1f} %",
        {key: abs(got - value) <= _bound(value, n) for key, value in known.items()},
    )


@disturb_labels.check(
    points=2,
    hint="A replaced label is drawn evenly from all classes.",
    more="anew = rng.integers(num_classes, size=y.shape)",
)
def draws_evenly(ask, rng):
    """draws the new labels evenly from all classes"""
    n, num_classes, share = 20_000, 5, 0.6
    true = int(rng.integers(num_classes))
    seen = _disturbed(ask, np.full(n, true), num_classes, 100 * share, rng)
    shares = np.array([(seen == k).mean() for k in range(num_classes)])
    wanted = np.where(np.arange(num_classes) == true, 1 - share, 0) + share / num_classes
    others, outside = np.delete(shares, true), not np.isin(seen, range(num_classes)).all()
    return judge(
        not outside and (np.abs(shares - wanted) < _bound(wanted, n)).all(),
        f"shares of the classes {', '.join(f'{v:.2f}' for v in wanted)}",
        ", ".join(f"{v:.2f}" for v in shares),
        {
            "classes outside the range": outside,
            "one new class": (others > 0).sum() == 1,
            "class never drawn": others.min() == 0 < others.max(),
            "true class left out": np.abs(others - share / (num_classes - 1)).max() < 0.02,
        },
    )


@disturb_labels.check(
    points=2,
    hint="Each row decides for itself whether it is replaced, and by what.",
    more="Draw arrays of y.shape, not single numbers.",
)
def decides_row_by_row(ask, rng):
    """decides for each row by itself, wherever it stands"""
    n, calls, share = 200, 60, 0.5
    y = np.zeros(n, int)
    wrong = np.stack([_disturbed(ask, y, 10, 100 * share, rng) for _ in range(calls)]) > 0
    wanted = share * 0.9
    per_call, per_row = wrong.mean(axis=1), wrong.mean(axis=0)
    spread, binomial = per_call.std(), np.sqrt(wanted * (1 - wanted) / n)
    known = {
        "one draw for the batch": spread > 3 * binomial,
        "fixed rows": np.abs(per_row - wanted).max() > _bound(wanted, calls) + 0.05,
    }
    return judge(
        not any(known.values()) and abs(per_call.mean() - wanted) < _bound(wanted, n * calls),
        f"wrong share per mini-batch {wanted:.2f}, standard deviation {binomial:.3f}, in all rows",
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
    more="rng.random(y.shape) < 0.99",
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
    more="rng.random(...) < 0 is never true.",
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
    },
    hints={
        "true class left out": "You spread alpha over the other K - 1 classes. DisturbLabel draws from all K, so the true class gets alpha / K as well.",
        "sum above 1": "Your lines sum to more than 1: alpha / (K - 1) was added to all K classes.",
        "percent taken as a fraction": "alpha is given in percent: divide it by 100.",
        "diagonal too low": "Your lines sum to less than 1: a replaced label can be the true one again.",
        "no noise": "These are the true labels. Where is the noise?",
        "one line": "You return one line. Return one for each class: an array of shape (K, K).",
        "only the noise": "The labels that stay are missing: add (1 - alpha/100) to the diagonal.",
    },
)


@expected_label_distribution.check(
    points=2,
    hint="A label stays with chance 1 - alpha/100, and alpha/100 is spread over all K classes.",
    more="(1 - a) * np.eye(K) + a / K with a = alpha / 100",
)
def is_the_smoothed_target(ask, rng):
    """holds (1 - a) onehot + a / K in the line of each class, with a = alpha / 100"""
    return ask(100 * rng.uniform(0.1, 0.4), int(rng.integers(3, 8)))


@expected_label_distribution.check(
    hint="At 100 % every label is drawn evenly; at 0 % none is.",
    more="The lines are 1 / K at alpha = 100, and the identity at alpha = 0.",
)
def has_the_right_ends(ask, rng):
    """is the identity at 0 % and even at 100 %"""
    k = int(rng.integers(2, 9))
    return {"0 %": ask(0.0, k), "100 %": ask(100.0, k)}


# --- expected_step -------------------------------------------------------------------------------


def _step(kernel, bias, x, y, alpha, lr, *, lines=_lines):
    error = (softmax(x @ kernel + bias) - lines(alpha, len(bias))[y]) / len(x)
    return kernel - lr * x.T @ error, bias - lr * error.sum(axis=0)


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
    },
)


def _problem(rng):
    n, d, k = 7, 4, int(rng.integers(3, 6))
    kernel, bias = rng.normal(size=(d, k)), rng.normal(size=k)
    return kernel, bias, rng.normal(size=(n, d)), rng.integers(k, size=n)


@expected_step.check(
    points=3,
    hint="The expected loss is the cross-entropy with the targets (1 - a) onehot + a / K.",
    more="Use label_smoothing=alpha / 100 and one step of plain SGD.",
)
def steps_on_the_expected_loss(ask, rng):
    """takes the step of label smoothing at the rate alpha / 100"""
    return ask(*_problem(rng), 100 * rng.uniform(0.2, 0.5), rng.uniform(0.5, 1))


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
    return ask(kernel, bias, x[:1], y[:1], 100 * rng.uniform(0.2, 0.5), 1.0)


# --- disturb_values ------------------------------------------------------------------------------


def _disturb_values(y, fraction, scale, rng):
    return rng.normal(y, scale * (rng.random(y.shape) < fraction))


disturb_values = chapter.exercise(
    "disturb_values",
    _disturb_values,
    hints={
        "fraction swapped": "You disturb the rows that should keep their target, and keep the others.",
        "every row": "You disturb every row. Only a share `fraction` of them gets noise.",
        "nothing disturbed": "Your targets are those you were given.",
        "own random numbers": "Two calls with equal generators give different targets: your random numbers do not come from rng, so a run cannot be repeated.",
        "same noise each time": "Every generator gives the same targets: you set a seed inside. Noise that never changes is learned by heart.",
        "one draw for the batch": "All rows get the same noise. Draw one number per row: size=y.shape.",
        "only upwards": "Your noise is never negative. It needs the mean 0.",
        "scale squared": "Your standard deviation is scale**2: `scale` is the standard deviation already.",
        "scale as variance": "Your standard deviation is the root of scale: `scale` is not the variance.",
        "multiplied": "Your noise grows with the target. Add it; do not multiply the target by it.",
        "not Gaussian": "Your noise has no tails: it is even, not Gaussian. Use rng.normal.",
        "fixed rows": "It is always the same rows that are disturbed. Draw them anew at each call.",
    },
)


def _noise(ask, y, fraction, scale, rng):
    return outputs(ask(y, fraction, scale, fresh_generator(rng)), y.shape)[0] - y


@disturb_values.check(
    points=2,
    hint="Each row is disturbed with the chance `fraction`; all others keep their target.",
    more="disturbed = rng.random(y.shape) < fraction",
    keeps_input=True,
)
def disturbs_the_fraction(ask, rng):
    """disturbs about the share `fraction` of the rows and leaves the others as they are"""
    n, fraction = 10_000, rng.uniform(0.15, 0.35)
    noise = _noise(ask, rng.normal(size=n), fraction, 1.0, rng)
    got = (np.abs(noise) > 1e-6).mean()  # a float32 answer rounds
    known = {"every row": 1.0, "fraction swapped": 1 - fraction, "nothing disturbed": 0.0}
    return judge(
        abs(got - fraction) < _bound(fraction, n),
        f"disturbed: {fraction:.3f} within {_bound(fraction, n):.3f}",
        f"disturbed: {got:.3f}",
        {key: abs(got - value) <= _bound(value, n) + 1e-3 for key, value in known.items()},
    )


@disturb_values.check(
    points=2,
    hint="The noise is Gaussian with mean 0 and the standard deviation `scale`.",
    more="rng.normal(scale=scale, size=y.shape)",
)
def adds_gaussian_noise(ask, rng):
    """adds Gaussian noise of mean 0 and standard deviation `scale` to those rows"""
    n, scale = 20_000, rng.uniform(2.5, 4)
    noise = _noise(ask, rng.normal(30, 3, size=n), 1.0, scale, rng) / scale
    mean, spread = noise.mean(), noise.std()
    tails = np.abs(noise)[np.abs(noise) > 2].size / n  # 4.6 % of a Gaussian
    return judge(
        abs(mean) < 0.05 and abs(spread - 1) < 0.05 and 0.035 < tails < 0.057,
        "mean 0, standard deviation scale, 4.6 % beyond twice that",
        f"{mean:.2f} scale, {spread:.2f} scale, {100 * tails:.1f} %",
        {
            "nothing disturbed": (noise == 0).all(),
            "one draw for the batch": spread < 0.02,
            "only upwards": np.quantile(noise, 0.02) > -0.05,
            "scale squared": abs(spread - scale) < 0.1,
            "scale as variance": abs(spread - scale**-0.5) < 0.03,
            "multiplied": spread > 5,
            "not Gaussian": tails < 0.01,
        },
    )


@disturb_values.check(
    points=2,
    hint="Which rows are disturbed, and how, is drawn anew from rng at each call.",
    more="Draw both arrays, of shape y.shape, from rng.",
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
    hits = np.mean([np.abs(draw(seed) - y) > 1e-6 for seed in seeds], axis=0)
    fixed = hits.max() > 0.97 or hits.min() < 0.03
    shown = "other rows in every call", "the same rows in every call" if fixed else "other rows"
    return judge(not fixed, *shown, {"fixed rows": fixed})


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


def _all_rows_together(seen, y):
    found = _diagnose(seen, y)
    return "drawn anew" if found == "both" and (seen == y).mean() > 0.55 else found


diagnose_noise = chapter.exercise(
    "diagnose_noise",
    _diagnose,
    mistakes={
        "none for drawn once": _says("none", "drawn once"),
        "none for drawn anew": _says("none", "drawn anew"),
        "none for both": _says("none", "both", "drawn anew", "drawn once"),
        "drawn once for drawn anew": _says("drawn once", "drawn anew", "both"),
        "drawn once for both": _says("drawn once", "both"),
        "drawn anew for drawn once": _says("drawn anew", "drawn once", "both"),
        "drawn anew for both": [*_says("drawn anew", "both"), _all_rows_together],
        "both for drawn anew": _says("both", "drawn anew"),
        "both for drawn once": _says("both", "drawn once", "drawn anew"),
        "drawn once for none": _says("drawn once", "none", "drawn anew", "both"),
        "drawn anew for none": _says("drawn anew", "none", "both", "drawn once"),
        "both for none": _says("both", "none", "drawn anew", "drawn once"),
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
        "both for drawn anew": "Every row shows its true class most often. The data set is clean; only DisturbLabel acts.",
    },
)


def _seen(rng, wrong, alpha):
    """Return the labels of 60 epochs and the true ones: `wrong` rows mislabelled for good."""
    y = rng.integers(5, size=60)
    kept, rows = y.copy(), rng.choice(60, size=wrong, replace=False)
    kept[rows] = (y[rows] + rng.integers(1, 5, size=wrong)) % 5
    replaced = rng.random((60, 60)) < alpha
    return np.where(replaced, rng.integers(5, size=(60, 60)), kept), y


@diagnose_noise.check(
    hint='The text must be "none" when every label is right.',
    more="(seen == y).all()",
)
def finds_no_noise(ask, rng):
    """says "none" when all labels are right"""
    return ask(*_seen(rng, wrong=0, alpha=0.0))


@diagnose_noise.check(
    points=2,
    hint="Compare each epoch with the first one.",
    more="(seen == seen[0]).all()",
)
def finds_fixed_labels(ask, rng):
    """says "drawn once" when the same labels are wrong in every epoch"""
    return ask(*_seen(rng, wrong=int(rng.integers(2, 30)), alpha=0.0))


@diagnose_noise.check(
    points=2,
    hint="Find the most frequent label of each row (a column of seen) and compare it with y.",
    more="np.bincount(labels).argmax() for the labels of one row",
)
def finds_disturbed_labels(ask, rng):
    """says "drawn anew" for DisturbLabel on right labels"""
    return ask(*_seen(rng, wrong=0, alpha=rng.uniform(0.2, 0.4)))


@diagnose_noise.check(
    points=2,
    hint="Find the most frequent label of each row (a column of seen) and compare it with y.",
    more='"both": the labels change, and some row shows another class than y most often.',
)
def finds_both(ask, rng):
    """says "both" for DisturbLabel on a data set with wrong labels, be they few"""
    return {
        f"{wrong} of 60 labels wrong": ask(*_seen(rng, wrong, alpha=rng.uniform(0.2, 0.4)))
        for wrong in (2, 25)
    }
