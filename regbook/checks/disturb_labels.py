"""Checks of chapter 17, DisturbLabel and DisturbValue: none depends on one random stream.

Shares are compared with bounds of six standard errors or more, so a right answer fails less than
once in a million runs, whatever it draws with.
"""

import numpy as np

from regbook.check import Chapter, Outcome, Wrong, compare, fresh_generator, outputs

chapter = Chapter("17_disturb_labels")


def _bound(share, n):
    """Return six standard errors of a share of n draws."""
    return 6 * np.sqrt(share * (1 - share) / n)


# --- disturb_labels --------------------------------------------------------------------------


def _disturbed(answer, y, num_classes, alpha, rng):
    return outputs(answer(y, num_classes, alpha, fresh_generator(rng)), y.shape)[0]


@chapter.check(
    "disturb_labels",
    points=2,
    hint="Replace alpha percent of the labels; a new label can be the true one again.",
    more="replaced = rng.random(y.shape) < alpha / 100",
)
def makes_the_share_wrong(answer, rng):
    """makes about alpha * (K - 1) / K percent of the labels wrong"""
    n, num_classes, alpha = 20_000, int(rng.integers(4, 7)), rng.uniform(25, 35)
    y = rng.integers(num_classes, size=n)
    share = alpha / 100
    wanted = share * (num_classes - 1) / num_classes
    got = (_disturbed(answer, y, num_classes, alpha, rng) != y).mean()
    known = {
        "true class left out": (
            share,
            "Your new label is never the true one. DisturbLabel draws from all classes, so one "
            "replaced label in K stays right.",
        ),
        "percent taken as a fraction": (
            (num_classes - 1) / num_classes,
            "You replace every label: alpha is given in percent, so divide it by 100.",
        ),
        "keep and replace swapped": (
            (1 - share) * (num_classes - 1) / num_classes,
            "You replace the labels that should stay: alpha is the share that is drawn anew.",
        ),
        "percent of a percent": (
            wanted / 100,
            "Almost nothing is replaced: you divide alpha by 100 twice.",
        ),
        "nothing disturbed": (0.0, "Your labels are those you were given."),
    }
    expected = f"wrong: {100 * wanted:.1f} % within {100 * _bound(wanted, n):.1f}"
    received = f"wrong: {100 * got:.1f} %"
    if abs(got - wanted) < _bound(wanted, n):
        return Outcome(True, expected, received)
    for key, (value, hint) in known.items():
        if abs(got - value) <= _bound(value, n):
            return Outcome(False, expected, received, key, hint)
    return Outcome(False, expected, received)


@chapter.check(
    "disturb_labels",
    points=2,
    hint="A replaced label is drawn evenly from all classes.",
    more="anew = rng.integers(num_classes, size=y.shape)",
)
def draws_evenly(answer, rng):
    """draws the new labels evenly from all classes"""
    n, num_classes, share = 20_000, 5, 0.6
    true = int(rng.integers(num_classes))
    seen = _disturbed(answer, np.full(n, true), num_classes, 100 * share, rng)
    shares = np.array([(seen == k).mean() for k in range(num_classes)])
    wanted = np.where(np.arange(num_classes) == true, 1 - share, 0) + share / num_classes
    expected = f"shares of the classes {', '.join(f'{v:.2f}' for v in wanted)}"
    received = ", ".join(f"{v:.2f}" for v in shares)
    others = np.delete(shares, true)
    if (
        np.isin(seen, range(num_classes)).all()
        and (np.abs(shares - wanted) < _bound(wanted, n)).all()
    ):
        return Outcome(True, expected, received)
    if not np.isin(seen, range(num_classes)).all():
        key, hint = (
            "classes outside the range",
            "Some labels are no class: they go from 0 to num_classes - 1.",
        )
    elif (others > 0).sum() == 1:
        key, hint = (
            "one new class",
            "All replaced rows of a class get the same new label. Draw one for each row.",
        )
    elif others.min() == 0 < others.max():
        key, hint = "class never drawn", "Some class is never drawn: use all num_classes classes."
    elif np.abs(others - share / (num_classes - 1)).max() < 0.02:
        key, hint = (
            "true class left out",
            "Your new label is never the true one. Draw from all classes.",
        )
    else:
        return Outcome(False, expected, received)
    return Outcome(False, expected, received, key, hint)


@chapter.check(
    "disturb_labels",
    points=2,
    hint="Each row decides for itself whether it is replaced, and by what.",
    more="Draw arrays of y.shape, not single numbers.",
)
def decides_row_by_row(answer, rng):
    """decides for each row by itself, wherever it stands"""
    n, calls, share = 200, 60, 0.5
    y = np.zeros(n, int)
    wrong = np.stack([_disturbed(answer, y, 10, 100 * share, rng) for _ in range(calls)]) > 0
    wanted = share * 0.9
    per_call, per_row = wrong.mean(axis=1), wrong.mean(axis=0)
    spread, binomial = per_call.std(), np.sqrt(wanted * (1 - wanted) / n)
    expected = f"wrong share per mini-batch {wanted:.2f}, standard deviation {binomial:.3f}"
    received = f"{per_call.mean():.2f}, {spread:.3f}"
    if spread > 3 * binomial:
        return Outcome(
            False,
            expected,
            received,
            "one draw for the batch",
            "Either all rows of a mini-batch are replaced or none. Draw one number per row: "
            "rng.random(y.shape).",
        )
    if np.abs(per_row - wanted).max() > _bound(wanted, calls) + 0.05:
        return Outcome(
            False,
            expected,
            f"one row is wrong in {100 * per_row.max():.0f} % of the calls, "
            f"another in {100 * per_row.min():.0f} %",
            "fixed rows",
            "It is always the same rows that are replaced. Every row has the same chance in "
            "every mini-batch.",
        )
    ok = abs(per_call.mean() - wanted) < _bound(wanted, n * calls)
    return Outcome(bool(ok), expected, received)


@chapter.check(
    "disturb_labels",
    hint="Take all random numbers from rng.",
    more="Do not make a generator of your own, and do not use np.random's functions.",
)
def uses_the_generator(answer, rng):
    """draws from rng: the same generator gives the same labels, another gives others"""
    y = rng.integers(10, size=500)
    seeds = rng.integers(2**32, size=2)
    first, again = (answer(y, 10, 50.0, np.random.default_rng(seeds[0])) for _ in range(2))
    other = answer(y, 10, 50.0, np.random.default_rng(seeds[1]))
    first, again, other = (outputs(labels, y.shape)[0] for labels in (first, again, other))
    expected = "same seed: same labels; other seed: other labels"
    if not np.array_equal(first, again):
        return Outcome(
            False,
            expected,
            "same seed: other labels",
            "own random numbers",
            "Two calls with equal generators give different labels: your random numbers do not "
            "come from rng, so a run cannot be repeated.",
        )
    if np.array_equal(first, other):
        return Outcome(
            False,
            expected,
            "other seed: same labels",
            "same noise each time",
            "Every generator gives the same labels: you set a seed inside. The labels are then "
            "drawn once and for all, and the network learns them by heart.",
        )
    return Outcome(True, expected, expected)


@chapter.check(
    "disturb_labels",
    hint="At 99 percent one label in a hundred stays.",
    more="rng.random(y.shape) < 0.99",
)
def keeps_one_in_a_hundred(answer, rng):
    """keeps one label in a hundred at alpha = 99"""
    n, num_classes = 20_000, 1000
    y = rng.integers(num_classes, size=n)
    wanted = 0.01 + 0.99 / num_classes
    got = (_disturbed(answer, y, num_classes, 99.0, rng) == y).mean()
    return Outcome(
        bool(abs(got - wanted) < _bound(wanted, n)),
        f"right: {100 * wanted:.1f} % within {100 * _bound(wanted, n):.1f}",
        f"right: {100 * got:.1f} %",
    )


@chapter.check(
    "disturb_labels",
    hint="A rate of 0 changes no label.",
    more="rng.random(...) < 0 is never true.",
)
def leaves_labels_at_rate_0(answer, rng):
    """changes nothing at alpha = 0"""
    y = rng.integers(6, size=400)
    return compare(
        _disturbed(answer, y, 6, 0.0, rng),
        y,
        wrong=[
            Wrong(
                "next class",
                (y + 1) % 6,
                "Every label moves to the next class, also those that should stay.",
            )
        ],
    )


# --- expected_label_distribution ---------------------------------------------------------------


@chapter.check(
    "expected_label_distribution",
    points=2,
    hint="A label stays with chance 1 - alpha/100, and alpha/100 is spread over all K classes.",
    more="(1 - a) * np.eye(K) + a / K with a = alpha / 100",
)
def is_the_smoothed_target(answer, rng):
    """holds (1 - a) onehot + a / K in the line of each class, with a = alpha / 100"""
    a, k = rng.uniform(0.1, 0.4), int(rng.integers(3, 8))
    eye = np.eye(k)
    expected = (1 - a) * eye + a / k
    return compare(
        answer(100 * a, k),
        expected,
        wrong=[
            Wrong(
                "true class left out",
                (1 - a) * eye + a / (k - 1) * (1 - eye),
                "You spread alpha over the other K - 1 classes. DisturbLabel draws from all K, "
                "so the true class gets alpha / K as well.",
            ),
            Wrong(
                "sum above 1",
                (1 - a) * eye + a / (k - 1),
                "Your lines sum to more than 1: alpha / (K - 1) was added to all K classes.",
            ),
            Wrong(
                "percent taken as a fraction",
                (1 - 100 * a) * eye + 100 * a / k,
                "alpha is given in percent: divide it by 100.",
            ),
            Wrong(
                "diagonal too low",
                (1 - a) * eye + a / k * (1 - eye),
                "Your lines sum to less than 1: a replaced label can be the true one again.",
            ),
            Wrong("no noise", eye, "These are the true labels. Where is the noise?"),
            Wrong(
                "one line",
                expected[0],
                "You return one line. Return one for each class: an array of shape (K, K).",
            ),
            Wrong(
                "only the noise",
                np.full((k, k), a / k),
                "The labels that stay are missing: add (1 - alpha/100) to the diagonal.",
            ),
        ],
    )


@chapter.check(
    "expected_label_distribution",
    hint="At 100 % every label is drawn evenly; at 0 % none is.",
    more="The lines are 1 / K at alpha = 100, and the identity at alpha = 0.",
)
def has_the_right_ends(answer, rng):
    """is the identity at 0 % and even at 100 %"""
    k = int(rng.integers(2, 9))
    clean = compare(answer(0.0, k), np.eye(k))
    return compare(answer(100.0, k), np.full((k, k), 1 / k)) if clean.passed else clean


# --- expected_step -------------------------------------------------------------------------------


def _softmax(z):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def _step(kernel, bias, x, y, lr, target, mean=True, sign=-1):
    error = (_softmax(x @ kernel + bias) - target) / (len(y) if mean else 1)
    return kernel + sign * lr * x.T @ error, bias + sign * lr * error.sum(axis=0)


def _problem(rng):
    n, d, k = 7, 4, int(rng.integers(3, 6))
    kernel, bias = rng.normal(size=(d, k)), rng.normal(size=k)
    return (kernel, bias, rng.normal(size=(n, d)), rng.integers(k, size=n)), k


@chapter.check(
    "expected_step",
    points=3,
    hint="The expected loss is the cross-entropy with the targets (1 - a) onehot + a / K.",
    more="Use label_smoothing=alpha / 100 and one step of plain SGD.",
)
def steps_on_the_expected_loss(answer, rng):
    """takes the step of label smoothing at the rate alpha / 100"""
    problem, k = _problem(rng)
    a, lr = rng.uniform(0.2, 0.5), rng.uniform(0.5, 1)
    onehot = np.eye(k)[problem[3]]

    def variant(target, **options):
        return _step(*problem, lr, target, **options)

    smoothed = (1 - a) * onehot + a / k
    return compare(
        answer(*problem, 100 * a, lr),
        variant(smoothed),
        wrong=[
            Wrong(
                "true labels",
                variant(onehot),
                "Your step uses the true labels: the noise has no effect on it.",
            ),
            Wrong(
                "percent taken as a fraction",
                variant((1 - 100 * a) * onehot + 100 * a / k),
                "alpha is given in percent: divide it by 100.",
            ),
            Wrong(
                "true class left out",
                variant((1 - a) * onehot + a / (k - 1) * (1 - onehot)),
                "You spread alpha over the other K - 1 classes. DisturbLabel draws from all K.",
            ),
            Wrong(
                "sum above 1",
                variant((1 - a) * onehot + a / (k - 1)),
                "Your targets sum to more than 1: alpha / (K - 1) was added to all K classes.",
            ),
            Wrong(
                "summed loss",
                variant(smoothed, mean=False),
                "Your loss is a sum over the mini-batch. Take the mean.",
            ),
            Wrong(
                "uphill",
                variant(smoothed, sign=1),
                "Your step goes uphill: subtract lr times the gradient.",
            ),
            Wrong(
                "no step", problem[:2], "The weights are those you were given: no step was taken."
            ),
        ],
    )


@chapter.check(
    "expected_step",
    points=2,
    hint="The step is an average over all draws, so nothing may be drawn.",
    more="Two calls with the same arguments must give the same weights.",
)
def draws_nothing(answer, rng):
    """is the mean of the steps over all labels that could be drawn"""
    problem, k = _problem(rng)
    first, second = (answer(*problem, 90.0, 1.0) for _ in range(2))
    kernel, bias, x, y = problem
    first, second = (outputs(step, kernel.shape, bias.shape) for step in (first, second))
    if not all(np.allclose(p, q, atol=1e-6) for p, q in zip(first, second, strict=True)):
        return Outcome(
            False,
            "the same weights in two calls",
            "different weights",
            "labels are drawn",
            "Two calls give different weights: you draw labels. The expected step needs no draw.",
        )
    x, y, a = x[:1], y[:1], rng.uniform(0.2, 0.5)
    chances = (1 - a) * np.eye(k)[y[0]] + a / k
    steps = [_step(kernel, bias, x, y, 1.0, np.eye(k)[[label]]) for label in range(k)]
    mean = tuple(sum(c * s[part] for c, s in zip(chances, steps, strict=True)) for part in (0, 1))
    return compare(answer(kernel, bias, x, y, 100 * a, 1.0), mean)


# --- disturb_values ------------------------------------------------------------------------------


def _noise(answer, y, fraction, scale, rng):
    return outputs(answer(y, fraction, scale, fresh_generator(rng)), y.shape)[0] - y


@chapter.check(
    "disturb_values",
    points=2,
    hint="Each row is disturbed with the chance `fraction`; all others keep their target.",
    more="disturbed = rng.random(y.shape) < fraction",
)
def disturbs_the_fraction(answer, rng):
    """disturbs about the share `fraction` of the rows and leaves the others as they are"""
    n, fraction = 10_000, rng.uniform(0.15, 0.35)
    noise = _noise(answer, rng.normal(size=n), fraction, 1.0, rng)
    got = (np.abs(noise) > 1e-6).mean()  # a float32 answer rounds
    expected = f"disturbed: {fraction:.3f} within {_bound(fraction, n):.3f}"
    received = f"disturbed: {got:.3f}"
    known = {
        "every row": (1.0, "You disturb every row. Only a share `fraction` of them gets noise."),
        "fraction swapped": (
            1 - fraction,
            "You disturb the rows that should keep their target, and keep the others.",
        ),
        "nothing disturbed": (0.0, "Your targets are those you were given."),
    }
    if abs(got - fraction) < _bound(fraction, n):
        return Outcome(True, expected, received)
    for key, (value, hint) in known.items():
        if abs(got - value) <= _bound(value, n) + 1e-3:
            return Outcome(False, expected, received, key, hint)
    return Outcome(False, expected, received)


@chapter.check(
    "disturb_values",
    points=2,
    hint="The noise is Gaussian with mean 0 and the standard deviation `scale`.",
    more="rng.normal(scale=scale, size=y.shape)",
)
def adds_gaussian_noise(answer, rng):
    """adds Gaussian noise of mean 0 and standard deviation `scale` to those rows"""
    n, scale = 20_000, rng.uniform(2.5, 4)
    noise = _noise(answer, rng.normal(30, 3, size=n), 1.0, scale, rng) / scale
    mean, spread = noise.mean(), noise.std()
    tails = np.abs(noise)[np.abs(noise) > 2].size / n  # 4.6 % of a Gaussian
    expected = "mean 0, standard deviation scale, 4.6 % beyond twice that"
    received = f"{mean:.2f} scale, {spread:.2f} scale, {100 * tails:.1f} %"
    hint = ""
    if spread < 0.02:
        key, hint = (
            "one draw for the batch",
            "All rows get the same noise. Draw one number per row: size=y.shape.",
        )
    elif np.quantile(noise, 0.02) > -0.05:
        key, hint = "only upwards", "Your noise is never negative. It needs the mean 0."
    elif abs(spread - scale) < 0.1:
        key, hint = (
            "scale squared",
            "Your standard deviation is scale**2: `scale` is the standard deviation already.",
        )
    elif abs(spread - scale**-0.5) < 0.03:
        key, hint = (
            "scale as variance",
            "Your standard deviation is the root of scale: `scale` is not the variance.",
        )
    elif spread > 5:
        key, hint = (
            "multiplied",
            "Your noise grows with the target. Add it; do not multiply the target by it.",
        )
    elif tails < 0.01:
        key, hint = (
            "not Gaussian",
            "Your noise has no tails: it is even, not Gaussian. Use rng.normal.",
        )
    elif abs(mean) < 0.05 and abs(spread - 1) < 0.05 and 0.035 < tails < 0.057:
        return Outcome(True, expected, received)
    else:
        key = ""
    return Outcome(False, expected, received, key, hint)


@chapter.check(
    "disturb_values",
    points=2,
    hint="Which rows are disturbed, and how, is drawn anew from rng at each call.",
    more="Draw both arrays, of shape y.shape, from rng.",
)
def draws_anew_from_the_generator(answer, rng):
    """draws rows and noise anew at each call, from rng"""
    y, seeds = rng.normal(size=300), rng.integers(2**32, size=40)
    noise = np.stack(
        [
            outputs(answer(y, 0.5, 1.0, np.random.default_rng(seed)), y.shape)[0] - y
            for seed in [seeds[0], *seeds]
        ]
    )
    hits = (np.abs(noise[1:]) > 1e-6).mean(axis=0)
    expected = "same seed: same targets; other seeds: other rows and other noise"
    if not np.allclose(noise[0], noise[1], atol=1e-6):
        return Outcome(
            False,
            expected,
            "same seed: other targets",
            "own random numbers",
            "Two calls with equal generators give different targets: your random numbers do not "
            "come from rng, so a run cannot be repeated.",
        )
    if np.allclose(noise[1], noise[2], atol=1e-6):
        return Outcome(
            False,
            expected,
            "other seed: same targets",
            "same noise each time",
            "Every generator gives the same targets: you set a seed inside. Noise that never "
            "changes is learned by heart.",
        )
    if hits.max() > 0.97 or hits.min() < 0.03:
        return Outcome(
            False,
            expected,
            "the same rows in every call",
            "fixed rows",
            "It is always the same rows that are disturbed. Draw them anew at each call.",
        )
    return Outcome(True, expected, expected)


# --- diagnose_noise ------------------------------------------------------------------------------


def _seen(rng, y, wrong, alpha):
    """Return the labels of 60 epochs: `wrong` rows mislabelled for good, then DisturbLabel."""
    kept = y.copy()
    rows = rng.choice(len(y), size=wrong, replace=False)
    kept[rows] = (y[rows] + rng.integers(1, 5, size=wrong)) % 5
    shape = (60, len(y))
    return np.where(rng.random(shape) < alpha, rng.integers(5, size=shape), kept)


_HINTS = {
    ("none", "drawn once"): "Row for row the labels are equal in every epoch, but not to y.",
    ("none", "drawn anew"): "Some labels are wrong in some epochs. Compare all of seen with y.",
    ("none", "both"): "Some labels are wrong in most epochs. Compare all of seen with y.",
    ("drawn once", "drawn anew"): (
        "The labels change from epoch to epoch: compare every epoch with the first, not only one."
    ),
    ("drawn once", "both"): (
        "Some rows are wrong nearly always, but the labels also change from epoch to epoch."
    ),
    ("drawn anew", "drawn once"): (
        "The wrong labels never change: every epoch shows the same ones. That noise is memorized."
    ),
    ("drawn anew", "both"): (
        "Look at each row by itself: the label that it shows most often is not always the true one."
    ),
    ("both", "drawn anew"): (
        "Every row shows its true class most often. The data set is clean; only DisturbLabel acts."
    ),
    ("both", "drawn once"): "The labels never change, so nothing is drawn anew in an epoch.",
    ("drawn anew", "none"): "Every label is right in every epoch.",
    ("drawn once", "none"): "Every label is right in every epoch.",
    ("both", "none"): "Every label is right in every epoch.",
}


def _diagnosis(answer, rng, truth, wrong, alpha):
    y = rng.integers(5, size=60)
    return compare(
        answer(_seen(rng, y, wrong, alpha), y),
        truth,
        wrong=[
            Wrong(f"{said} for {really}", said, hint)
            for (said, really), hint in _HINTS.items()
            if really == truth
        ],
    )


@chapter.check(
    "diagnose_noise",
    hint='The text must be "none" when every label is right.',
    more="(seen == y).all()",
)
def finds_no_noise(answer, rng):
    """says "none" when all labels are right"""
    return _diagnosis(answer, rng, "none", wrong=0, alpha=0.0)


@chapter.check(
    "diagnose_noise",
    points=2,
    hint="Compare each epoch with the first one.",
    more="(seen == seen[0]).all()",
)
def finds_fixed_labels(answer, rng):
    """says "drawn once" when the same labels are wrong in every epoch"""
    return _diagnosis(answer, rng, "drawn once", wrong=int(rng.integers(2, 30)), alpha=0.0)


@chapter.check(
    "diagnose_noise",
    points=2,
    hint="Find the most frequent label of each row (a column of seen) and compare it with y.",
    more="np.bincount(labels).argmax() for the labels of one row",
)
def finds_disturbed_labels(answer, rng):
    """says "drawn anew" for DisturbLabel on right labels"""
    return _diagnosis(answer, rng, "drawn anew", wrong=0, alpha=rng.uniform(0.2, 0.4))


@chapter.check(
    "diagnose_noise",
    points=2,
    hint="Find the most frequent label of each row (a column of seen) and compare it with y.",
    more='"both": the labels change, and some row shows another class than y most often.',
)
def finds_both(answer, rng):
    """says "both" for DisturbLabel on a data set with wrong labels, be they few"""
    few = _diagnosis(answer, rng, "both", wrong=2, alpha=rng.uniform(0.2, 0.4))
    if not few.passed:
        return few
    return _diagnosis(answer, rng, "both", wrong=25, alpha=rng.uniform(0.2, 0.4))
