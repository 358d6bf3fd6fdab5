"""The checks of chapter 21: paired intervals, Holm's correction, ranks, and fair comparisons."""

import functools
from itertools import product

import numpy as np

from regbook.exercise import AnswerError, Chapter, Failed, judge, plain, training, vary

chapter = Chapter("21_benchmark")

# 97.5 % quantiles of Student's t, by the degrees of freedom: 1, 2, ...
_T = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157,
      2.228139, 2.200985, 2.178813, 2.160369, 2.144787)  # fmt: skip
_T95 = (6.313752, 2.919986, 2.353363, 2.131847, 2.015048, 1.943180, 1.894579, 1.859548, 1.833113,
        1.812461, 1.795885, 1.782288, 1.770933, 1.761310)  # fmt: skip


# --- paired_interval -----------------------------------------------------------------------------


def _paired(
    a,
    b,
    *,
    table=_T,
    ddof=1,
    degrees=1,
    root=True,
    order=1,
    scale=1.0,
    arrange=np.asarray,
    exact=True,
):
    a, b = (arrange(scores) for scores in (a, b))
    kind = np.float64 if exact else np.asarray(a).dtype
    d = order * (np.asarray(a, kind) - np.asarray(b, kind)).astype(np.float64)
    error = d.std(ddof=ddof) / (np.sqrt(len(d)) if root else 1)
    half = scale * table[len(d) - 1 - degrees] * error
    return d.mean(), d.mean() - half, d.mean() + half


def _unpaired(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    half = _T[len(a) - 2] * np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a))
    mean = a.mean() - b.mean()
    return mean, mean - half, mean + half


paired_interval = chapter.exercise(
    "paired_interval",
    _paired,
    mistakes={
        "unpaired": _unpaired,
        "normal": [vary(_paired, table=(z,) * 14) for z in (1.96, 1.959964, 2.0)],
        "population": vary(_paired, ddof=0),
        "spread": vary(_paired, root=False),
        "other order": vary(_paired, order=-1),
        "90 %": vary(_paired, table=_T95),
        "one degree too many": vary(_paired, degrees=0),
        "half width": vary(_paired, scale=0.5),
        "sorted": vary(_paired, arrange=np.sort),
        "wraps": vary(_paired, exact=False),
        "no interval": vary(_paired, scale=0.0),
    },
    hints={
        "unpaired": "Your interval adds the variances of a and of b, as if they came from other splits. Take the difference split by split first: what makes a split easy for one method makes it easy for the other.",
        "normal": "1.96 belongs to the normal distribution. With n differences take the quantile of Student's t with n - 1 degrees of freedom: with three of them your interval covers 81 %.",
        "population": "Your standard deviation divides by n. Divide by n - 1: ddof=1.",
        "spread": "Your interval describes one split. The mean of n differences is less uncertain: divide the standard deviation by the root of n.",
        "other order": "You return b minus a. Take a minus b.",
        "90 %": "Your quantile leaves 5 % on each side. A 95 % interval leaves 2.5 % on each side: the quantile at 0.975.",
        "one degree too many": "You take n degrees of freedom. The mean of the differences is estimated too, so n - 1 are left.",
        "half width": "Your interval is half as wide as it should be: the bounds are the mean minus and plus the quantile times the standard error.",
        "sorted": "You sort the scores before you pair them. The i-th score of a and the i-th of b belong to the same split.",
        "wraps": "For small whole numbers such as uint8 your difference wraps around: 3 - 5 gives 254. Turn both into float64 first.",
        "no interval": "Your bounds are the mean itself.",
    },
)


@paired_interval.check(
    points=2,
    hint="Take the differences d = a - b, their mean, and the mean minus and plus t times the standard error of d.",
    more="The standard error is d.std(ddof=1) / sqrt(n); t is scipy.stats.t.ppf(0.975, n - 1).",
    keeps_input=True,
)
def is_students_interval(ask, rng):
    """returns the mean difference and the bounds of its 95 % interval, for few splits and for more"""
    found = {}
    for n in (3, 6, 12):
        ease = rng.normal(80, 5, n)
        a, b = ease + rng.normal(1, 1, n), ease + rng.normal(0, 1, n)
        found[f"{n} splits"] = ask(a, b)
    return found


@paired_interval.check(
    hint="Scores may come as whole numbers of any kind, or as lists: turn them into float64 before you subtract.",
    more="np.asarray(a, dtype=np.float64) takes lists and arrays of every kind.",
)
def takes_whole_numbers(ask, rng):
    """takes lists, and numbers of right rows as uint8"""
    a = rng.permutation(np.array([40, 57, 61, 70, 52, 66], np.uint8))
    b = a + np.array([-3, 5, 2, -9, 4, -1], np.int8).astype(np.uint8)
    return {"uint8": ask(a, b), "lists": ask([71.5, 70.0, 74.5], [70.0, 71.0, 70.5])}


@paired_interval.check(
    hint="Two splits are enough for an interval, a very wide one. Where all differences are equal it has no width.",
    more="With two differences t has one degree of freedom: 12.7.",
)
def works_at_the_ends(ask, rng):
    """works for two splits, and for equal differences"""
    a = rng.normal(80, 5, 4)
    return {
        "two splits": ask(a[:2], a[:2] + np.array([1.0, 3.0])),
        "equal differences": ask(a, a - 2),
    }


# --- holm ----------------------------------------------------------------------------------------


def _holm(
    p_values,
    *,
    factor=lambda i, m: m - i,
    running=np.maximum.accumulate,
    clip=1.0,
    back=np.argsort,
    order=np.argsort,
):
    p = np.asarray(p_values, np.float64)
    m, places = len(p), order(p)
    steps = running(np.array([factor(i, m) for i in range(m)]) * p[places])
    return np.minimum(steps, clip)[back(places)] if m else p


def _from_the_end(values):
    return np.minimum.accumulate(values[::-1])[::-1]


def _in_place(p_values):
    answer = _holm(p_values)
    p_values.sort()
    return answer


def _booleans(p_values):
    return (_holm(p_values) < 0.05).astype(float)


holm = chapter.exercise(
    "holm",
    _holm,
    mistakes={
        "Bonferroni": vary(_holm, factor=lambda i, m: m),
        "Benjamini-Hochberg": vary(_holm, factor=lambda i, m: m / (i + 1), running=_from_the_end),
        "no running maximum": vary(_holm, running=lambda values: values),
        "Hochberg": vary(_holm, running=_from_the_end),
        "left sorted": vary(_holm, back=lambda places: np.arange(len(places))),
        "sorted twice": vary(_holm, back=lambda places: places),
        "one too few": vary(_holm, factor=lambda i, m: m - i - 1),
        "one too many": vary(_holm, factor=lambda i, m: m - i + 1),
        "largest first": vary(_holm, order=lambda p: np.argsort(-p)),
        "not clipped": vary(_holm, clip=np.inf),
        "booleans": _booleans,
        "Sidak": lambda p_values: 1 - (1 - np.asarray(p_values, np.float64)) ** len(p_values),
        "unchanged": lambda p_values: np.asarray(p_values, np.float64),
        "changes its input": _in_place,
    },
    hints={
        "Bonferroni": "You multiply every p-value by m. Holm multiplies only the smallest by m, the next by m - 1, and so on: as safe, and it finds more.",
        "Benjamini-Hochberg": "You multiply by m over the rank. That limits the share of false findings among all findings; Holm limits the chance of even one.",
        "no running maximum": "An adjusted p-value must not be smaller than that of a smaller p-value: take the running maximum along the sorted ones.",
        "Hochberg": "You take the running minimum from the largest p-value down. That is Hochberg's procedure; Holm takes the running maximum from the smallest up.",
        "left sorted": "Your adjusted p-values are in the order of the sorted ones. Return them in the order in which they were given.",
        "sorted twice": "You sort the adjusted values by the order once more. To put them back, write them to their places: adjusted[order] = values.",
        "one too few": "The smallest of m p-values is multiplied by m, not by m - 1.",
        "one too many": "The largest p-value is multiplied by 1: the factors are m, m - 1, ..., 1.",
        "largest first": "You begin with the largest p-value. The smallest gets the factor m.",
        "not clipped": "No p-value is above 1: clip the adjusted ones.",
        "booleans": "Return the adjusted p-values, not which of them are below 0.05: then every reader can choose a level.",
        "Sidak": "1 - (1 - p) ** m treats all p-values alike, as Bonferroni does. Holm goes step by step.",
        "unchanged": "You return the p-values as they are.",
        "changes its input": "You sort the p-values that you were given, in place, so whoever called you has lost their order. np.sort and np.argsort leave them alone.",
    },
)


def _p_values(rng, m):
    """Draw p-values of which neither order is sorted and no factor is hidden."""
    p = np.geomspace(0.004, 0.4, m) * rng.uniform(0.9, 1.1, m)
    order = rng.permutation(m)
    while (order == np.argsort(order)).all() or (np.diff(order) > 0).all():
        order = rng.permutation(m)
    return p[order]


@holm.check(
    points=2,
    hint="Sort; multiply the smallest by m, the next by m - 1, and so on; take the running maximum; put them back.",
    more="order = np.argsort(p) sorts them, np.maximum.accumulate is the running maximum, and adjusted[order] = ... puts them back.",
    keeps_input=True,
)
def adjusts_step_by_step(ask, rng):
    """returns the adjusted p-values in the order given"""
    close = rng.permutation([0.010, 0.011, 0.012, 0.040, 0.041])  # the running maximum decides
    return {"far apart": ask(_p_values(rng, 6)), "close together": ask(close)}


@holm.check(
    hint="Adjusted p-values are at most 1. One p-value alone stays as it is, and of none there are none.",
    more="np.minimum(adjusted, 1) clips; equal p-values get equal adjusted ones by the running maximum.",
)
def works_at_the_ends(ask, rng):  # noqa: F811
    """clips at 1, and takes ties, zeros, one p-value and none"""
    low = rng.uniform(0.001, 0.01)
    return {
        "large ones": ask(rng.permutation([0.6, 0.3, 0.9, low])),
        "ties": ask(np.array([low, 0.5, low, 0.2])),
        "a zero": ask([0.03, 0.0, 0.01]),
        "one": ask([0.03]),
        "none": ask(np.zeros(0)),
    }


# --- rank_methods --------------------------------------------------------------------------------


def _ties_shared(column):
    """Return the ranks of one split: the best has rank 1, equal scores share the mean."""
    above = (column[None, :] > column[:, None]).sum(axis=1)
    return above + ((column[None, :] == column[:, None]).sum(axis=1) + 1) / 2


def _argsort_ranks(column, *, kind=None):
    return np.argsort(np.argsort(-column, kind=kind)) + 1.0


def _nested(dev, test):
    best = dev.argmax(axis=1)
    return np.take_along_axis(test, best[:, None], axis=1)[:, 0]


def _ranked(dev, test, *, choose=_nested, ranks=_ties_shared, axis=0):
    scores = choose(np.asarray(dev, np.float64), np.asarray(test, np.float64))
    each = np.apply_along_axis(ranks, axis, scores)
    return scores.mean(axis=1), each.mean(axis=1)


def _one_for_all(dev, test):
    best = dev.mean(axis=2).argmax(axis=1)
    return test[np.arange(len(test)), best]


def _of_the_mean(dev, test):
    scores = _nested(dev, test).mean(axis=1)
    return scores, _ties_shared(scores)


rank = chapter.exercise(
    "rank_methods",
    _ranked,
    mistakes={
        "chosen on test": vary(_ranked, choose=lambda dev, test: test.max(axis=1)),
        "one setting for all splits": vary(_ranked, choose=_one_for_all),
        "dev reported": vary(_ranked, choose=lambda dev, test: dev.max(axis=1)),
        "average setting": vary(_ranked, choose=lambda dev, test: test.mean(axis=1)),
        "first setting": vary(_ranked, choose=lambda dev, test: test[:, 0]),
        "lowest dev": vary(_ranked, choose=lambda dev, test: _nested(-dev, test)),
        "worst first": vary(_ranked, ranks=lambda column: _ties_shared(-column)),
        "ties broken": [
            vary(_ranked, ranks=_argsort_ranks),
            vary(_ranked, ranks=vary(_argsort_ranks, kind="stable")),
        ],
        "ties take the best": vary(
            _ranked, ranks=lambda column: (column[None] > column[:, None]).sum(axis=1) + 1.0
        ),
        "from zero": vary(_ranked, ranks=lambda column: _ties_shared(column) - 1),
        "rank of the mean": _of_the_mean,
        "ranked over splits": vary(_ranked, axis=1),
    },
    hints={
        "chosen on test": "You choose the configuration by its test score. Choose by dev, split by split, and report the test score of the choice.",
        "one setting for all splits": "You choose one configuration for all splits by its mean. Every split chooses its own, by its own dev rows.",
        "dev reported": "You report the dev score that has chosen, and that is too good. Report the test score of the chosen configuration.",
        "average setting": "You average over configurations. Only the one that dev chooses counts.",
        "first setting": "You take the first configuration. Take the one with the highest dev score, split by split.",
        "lowest dev": "You choose the lowest dev score. Higher is better.",
        "worst first": "Rank 1 is the best method of a split, and higher scores are better.",
        "ties broken": "Methods with equal scores share the mean of their ranks: two at the top have 1.5 each. argsort gives one of them the better rank by its place in the list.",
        "ties take the best": "Methods with equal scores share the mean of their ranks: two at the top have 1.5 each, not 1.",
        "from zero": "Ranks begin at 1.",
        "rank of the mean": "You rank the mean scores. Rank the methods within each split, and average the ranks.",
        "ranked over splits": "You rank the splits of a method. Rank the methods of a split.",
    },
)


def _grid(rng, methods, settings, splits):
    """Draw dev and test scores; the latter are rounded, so that methods tie."""
    dev = rng.normal(80, 3, size=(methods, settings, splits))
    test = np.round(rng.normal(80, 2, size=dev.shape))
    tied = rng.permutation(methods)[:2]
    test[tied, :, 0] = 84 + np.round(rng.normal(size=settings))  # in the first split
    best = dev[tied, :, 0].argmax(axis=1)
    test[tied, best, 0] = 85
    return dev, test


@rank.check(
    points=2,
    hint="On every split take the configuration with the highest dev score of each method, and average its test scores over the splits.",
    more="dev.argmax(axis=1) has one configuration for each method and split; np.take_along_axis picks its test score.",
    keeps_input=True,
)
def averages_the_chosen_scores(ask, rng):
    """returns the mean test score of every method, chosen on dev split by split"""
    scores, _ = ask(*_grid(rng, 4, 5, 6))
    return scores


@rank.check(
    points=2,
    hint="Rank the chosen test scores within each split: 1 is the best, ties share the mean rank. Then average over splits.",
    more="scipy.stats.rankdata(-scores, axis=0) ranks the columns of an array (methods, splits), ties included.",
)
def averages_the_ranks(ask, rng):
    """returns the mean rank of every method within the splits"""
    _, ranks = ask(*_grid(rng, 5, 4, 7))
    return ranks


@rank.check(
    hint="Other numbers of methods, configurations and splits work too, a single one included.",
    more="The three axes are methods, configurations, splits.",
)
def takes_any_shape(ask, rng):
    """works for one configuration, and for one split"""
    return {
        "one configuration": ask(*_grid(rng, 3, 1, 4)),
        "one split": ask(*_grid(rng, 6, 3, 1)),
    }


# --- diagnose_benchmark --------------------------------------------------------------------------

_FLAWS = ("unequal budget", "chosen on test", "too few splits", "not corrected", "sound")


def _budget(report):
    return len({len(scores) for scores in report["dev"]}) > 1


def _stated(report):
    """Return pairs: what the report states of a method, and what dev chooses."""
    parts = zip(report["dev"], report["test"], report["reported"], strict=True)
    for dev, test, reported in parts:
        yield reported, np.take_along_axis(test, dev.argmax(axis=0)[None], axis=0)[0], dev, test


def _on_test(report):
    return any(not np.allclose(reported, honest) for reported, honest, *_ in _stated(report))


def _few(report, least=10):
    return np.shape(report["reported"])[1] < least


def _uncorrected(report, adjust=_holm):
    claimed = np.asarray(report["claimed"], bool)
    return bool((claimed & (adjust(report["p_values"]) >= 0.05)).any())


def _diagnose(
    report,
    *,
    budget=_budget,
    on_test=_on_test,
    few=_few,
    uncorrected=_uncorrected,
    order=(0, 1, 2, 3),
):
    tests = (budget, on_test, few, uncorrected)
    return next((_FLAWS[i] for i in order if tests[i](report)), "sound")


def _never(report):
    return False


diagnose = chapter.exercise(
    "diagnose_benchmark",
    _diagnose,
    mistakes={
        "budget not checked": vary(_diagnose, budget=_never),
        "only the baseline's budget": vary(
            _diagnose, budget=lambda report: len(report["dev"][0]) < max(map(len, report["dev"]))
        ),
        "choice not checked": vary(_diagnose, on_test=_never),
        "only the baseline's choice": vary(
            _diagnose, on_test=lambda report: not np.allclose(*next(_stated(report))[:2])
        ),
        "best on test by chance": vary(
            _diagnose,
            on_test=lambda report: any(
                np.allclose(reported, test.max(axis=0)) for reported, _, _, test in _stated(report)
            ),
        ),
        "dev and test disagree": vary(
            _diagnose,
            on_test=lambda report: any(
                (dev.argmax(axis=0) != test.argmax(axis=0)).any()
                for *_, dev, test in _stated(report)
            ),
        ),
        "splits not checked": vary(_diagnose, few=_never),
        "ten are too few": vary(_diagnose, few=lambda report: _few(report, 11)),
        "correction not checked": [
            vary(_diagnose, uncorrected=_never),
            vary(_diagnose, uncorrected=lambda report: _uncorrected(report, np.asarray)),
        ],
        "Bonferroni": vary(
            _diagnose,
            uncorrected=lambda report: _uncorrected(report, vary(_holm, factor=lambda i, m: m)),
        ),
        "no running maximum": vary(
            _diagnose,
            uncorrected=lambda report: _uncorrected(report, vary(_holm, running=lambda p: p)),
        ),
        "left sorted": vary(
            _diagnose,
            uncorrected=lambda report: _uncorrected(
                report, vary(_holm, back=lambda places: places)
            ),
        ),
        "not claimed": vary(
            _diagnose,
            uncorrected=lambda report: bool(
                (
                    (np.asarray(report["p_values"]) < 0.05) & (_holm(report["p_values"]) >= 0.05)
                ).any()
            ),
        ),
        "other order": [
            vary(_diagnose, order=order)
            for order in (
                (1, 0, 2, 3),
                (0, 2, 1, 3),
                (0, 1, 3, 2),
                (3, 2, 1, 0),
                (2, 0, 1, 3),
                (3, 0, 1, 2),
            )
        ],
        "all sound": vary(_diagnose, budget=_never, on_test=_never, few=_never, uncorrected=_never),
    },
    hints={
        "all sound": "You find every report sound.",
        "budget not checked": "Count the settings of every method: the one that tried more had the better chance of a lucky one.",
        "only the baseline's budget": "You notice when the baseline tried fewer settings than another method. Any two methods may differ, and the baseline may have more.",
        "choice not checked": "Take the setting that dev chooses on each split, and compare its test score with the one reported.",
        "only the baseline's choice": "You look at the choice of the baseline only. A method's may be the one that is wrong.",
        "best on test by chance": "The setting that dev chooses may be the best on test as well. That is no flaw: compare what is reported with what dev chooses.",
        "dev and test disagree": "Dev and test rows often prefer different settings. The flaw is to report the test score of another setting than dev's.",
        "splits not checked": "Count the splits.",
        "ten are too few": "Ten splits are enough here: fewer are too few.",
        "correction not checked": "Adjust the p-values with Holm's method, and look whether every claimed difference is still below 0.05.",
        "Bonferroni": "You adjust by Bonferroni, and find fault with a claim that Holm's correction supports.",
        "no running maximum": "An adjusted p-value must not be smaller than that of a smaller p-value: a claim behind one that does not stand does not stand either.",
        "left sorted": "Your adjusted p-values are not in the order of the methods, so you look at the wrong claims.",
        "not claimed": "A difference that is not claimed needs no support. Look at the claimed ones.",
        "other order": "A report may have several flaws. Return the first one in the order of the list.",
    },
)


def _report(
    rng, *, sizes=(4, 4, 4), splits=10, peeks=(), p_values=(0.001, 0.3), claimed=(1, 0), agree=False
):
    """Draw a report; `peeks` are the methods whose setting was chosen on test."""
    dev, test, reported = [], [], []
    for method, size in enumerate(sizes):
        scores = rng.normal(80, 2, size=(size, splits))
        own = scores.copy() if agree else rng.normal(80, 2, size=(size, splits))
        if not agree:  # somewhere they disagree
            own[scores[:, 0].argmax(), 0] = own[:, 0].min() - 1
        chosen = np.take_along_axis(own, scores.argmax(axis=0)[None], axis=0)[0]
        dev.append(scores)
        test.append(own)
        reported.append(own.max(axis=0) if method in peeks else chosen)
    return {
        "dev": dev, "test": test, "reported": np.array(reported),
        "p_values": np.array(p_values), "claimed": np.array(claimed, bool),
    }  # fmt: skip


_LUCKY = {"p_values": (0.03, 0.04), "claimed": (1, 0)}  # Holm: 0.06, 0.06
# Holm: 0.057, 0.005, 0.057, 0.044, 0.057; the first would stand without the running maximum.
_BEHIND = {"sizes": (2,) * 6, "p_values": (0.03, 0.001, 0.019, 0.011, 0.02)}


@diagnose.check(
    points=2,
    hint="Compare the numbers of settings, what is reported with what dev chooses, the number of splits, and the adjusted p-values of what is claimed.",
    more="For a method, dev.argmax(axis=0) is the setting of each split; the report is honest when it has the test scores of those.",
    keeps_input=True,
)
def finds_one_flaw(ask, rng):
    """names the one flaw of a report"""
    return {
        "a method tried more settings": ask(_report(rng, sizes=(3, 3, 6))),
        "the baseline tried more settings": ask(_report(rng, sizes=(5, 3, 5))),
        "a method chosen on test": ask(_report(rng, peeks=(2,))),
        "all chosen on test": ask(_report(rng, peeks=(0, 1, 2))),
        "nine splits": ask(_report(rng, splits=9)),
        "a lucky claim": ask(_report(rng, **_LUCKY)),
        "a claim behind a worse one": ask(_report(rng, **_BEHIND, claimed=(1, 1, 0, 1, 0))),
    }


@diagnose.check(
    points=2,
    hint="Some reports are sound: dev and test may agree or disagree, ten splits are enough, and what is not claimed needs no support.",
    more='Return "sound" when none of the four tests finds anything.',
)
def finds_none(ask, rng):
    """finds a sound report sound"""
    five = {"sizes": (2,) * 6, "p_values": (0.02, 0.009, 0.001, 0.04, 0.012), "claimed": (1,) * 5}
    return {
        "dev and test agree": ask(_report(rng, agree=True)),
        "dev and test disagree": ask(_report(rng, splits=12)),
        "Holm supports it": ask(_report(rng, **five)),
        "some of many claimed": ask(_report(rng, **_BEHIND, claimed=(0, 1, 0, 1, 0))),
        "nothing claimed": ask(_report(rng, p_values=(0.03, 0.04), claimed=(0, 0))),
    }


@diagnose.check(
    hint="With several flaws the first one of the list counts.",
    more='The order: "unequal budget", "chosen on test", "too few splits", "not corrected".',
)
def names_the_first(ask, rng):
    """names the first of several flaws"""
    return {
        "budget and choice": ask(_report(rng, sizes=(4, 3, 4), peeks=(1,))),
        "choice and splits": ask(_report(rng, splits=5, peeks=(1,))),
        "splits and claims": ask(_report(rng, splits=8, **_LUCKY)),
        "all of them": ask(_report(rng, sizes=(4, 2, 4), splits=6, peeks=(0,), **_LUCKY)),
    }


# --- fair_comparison -----------------------------------------------------------------------------

SPLITS = 10
_WORDS = ("better", "worse", "cannot tell")


def _tail(t, degrees):
    """Return the two-sided p-value of Student's t: x = sqrt(degrees) tan(angle) has a short integral."""

    def mass(start):
        angle = np.linspace(start, np.pi / 2, 4001)
        return np.trapezoid(np.cos(angle) ** (degrees - 1), angle)

    return float(2 * mass(np.arctan(abs(t) / np.sqrt(degrees))) / mass(-np.pi / 2))


def _of_differences(a, b):
    d = a - b
    return d.mean(), _tail(d.mean() / (d.std(ddof=1) / np.sqrt(len(d))), len(d) - 1)


def _of_two_samples(a, b):
    error = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a))
    return (a - b).mean(), _tail((a - b).mean() / error, 2 * len(a) - 2)


def _of_the_mean_alone(a, b):
    return (a - b).mean(), 0.0


def _fair(
    train, methods, budget, rng, *,
    tries=None, choose="dev", best=np.argmax, report="test", compare=_of_differences,
    adjust=_holm, order=1, splits=SPLITS, words=_WORDS,
):  # fmt: skip
    """Try equally many settings of every method on every split; compare what dev chooses."""
    number = min(budget // (len(methods) * splits), *map(len, methods.values()))
    tries = tries or (lambda method, settings: settings[:number])
    scores = {}
    for method, settings in methods.items():
        runs = [
            [train(method, s, split) for s in tries(method, settings)] for split in range(splits)
        ]
        chosen = [row[best([run[choose] for run in row])] for row in runs]
        scores[method] = np.array([run[report] for run in chosen])
    names = list(methods)[1:]
    pairs = [compare(*(scores[name], scores["none"])[::order]) for name in names]
    adjusted = adjust(np.array([p for _, p in pairs]))
    return {
        name: words[2] if p >= 0.05 else words[0] if mean > 0 else words[1]
        for name, (mean, _), p in zip(names, pairs, adjusted, strict=True)
    }


def _all_settings(method, settings):
    return settings


fair = chapter.exercise(
    "fair_comparison",
    _fair,
    mistakes={
        "not corrected": [vary(_fair, adjust=np.asarray), vary(_fair, adjust=lambda p: p / 2)],
        "Benjamini-Hochberg": vary(
            _fair, adjust=vary(_holm, factor=lambda i, m: m / (i + 1), running=_from_the_end)
        ),
        "not paired": vary(_fair, compare=_of_two_samples),
        "chosen on test": vary(_fair, choose="test"),
        "reported on dev": vary(_fair, report="dev"),
        "lowest for highest": vary(_fair, best=np.argmin),
        "baseline minus method": vary(_fair, order=-1),
        "no test": vary(_fair, compare=_of_the_mean_alone),
    },
    hints={
        "over budget": "Your runs are more than `budget`. Every call of `train` is one run: try as many settings of each method as the budget allows on all ten splits, equally many of each.",
        "no decision": "You do not compare: call `train`, and let the scores decide.",
        "unequal budget": "Your methods do not try equally many settings. Who tries more has the better chance of a lucky one, and that holds for the baseline as well.",
        "not tuned": "You try one setting of each method. Try several, and let the dev score choose: the first of a list is nobody's best.",
        "other splits": "Your methods are not trained on the same splits, or on few of them. A difference is taken split by split, so every method needs the same ones: at least seven of the ten.",
        "not corrected": "You judge every comparison at the 5 % level by itself. With eight of them chance alone makes a difference now and then: adjust the p-values with Holm's method.",
        "Benjamini-Hochberg": "Your correction limits the share of false findings. Here no method may be called better or worse by chance: take Holm's.",
        "not paired": "You compare two samples as if they came from other splits. Take the difference split by split.",
        "chosen on test": "The test score chooses your setting, and then it is reported: too good, and not for all methods alike. Choose by dev.",
        "reported on dev": "You compare dev scores, which have chosen the settings. Compare the test scores of the chosen settings.",
        "lowest for highest": "You choose the setting with the lowest dev score. Higher is better.",
        "baseline minus method": 'Your difference has the wrong sign: a method is "better" when it is above "none".',
        "no test": "You go by the sign of the mean difference. Ask whether ten splits can tell it from 0.",
    },
)


class _Runs:
    """What an answer trains, counted here, where it cannot reach the count."""

    def __init__(self, scores, methods, budget):
        self.tried = {method: set() for method in methods}
        self.seen = {method: set() for method in methods}
        self.spent = 0

        def train(method, setting, split, /):
            method, value, number = plain(method), plain(setting), plain(split)
            if not isinstance(method, str) or method not in methods:
                raise ValueError(f"take one of the methods {', '.join(methods)}")
            near = [
                s for s in methods[method] if np.ndim(value) == 0 and abs(s - value) <= 1e-6 * s
            ]
            if not near:
                raise ValueError(f"take one of the settings of {method}: {methods[method]}")
            if np.ndim(number) or number not in range(SPLITS):
                raise ValueError("the splits are 0 to 9")
            self.spent += 1
            if self.spent > budget:
                raise ValueError(f"the budget is {budget} runs")
            self.tried[method].add(near[0])
            self.seen[method].add(int(number))
            return dict(scores(method, near[0], int(number)))

        self.train, self.methods, self.budget = train, methods, budget

    def decide(self, ask, rng):
        """Return the words of an answer. Raises Failed for a comparison that is not fair."""
        try:
            words = ask(self.train, self.methods, self.budget, rng)
        except AnswerError:
            if self.spent <= self.budget:
                raise
        if self.spent > self.budget:
            raise Failed(f"at most {self.budget} runs", f"{self.spent} or more", "over budget")
        names = list(self.methods)[1:]
        if not isinstance(words, dict) or {*words} != {*names}:
            raise AnswerError('Return a dict with every method but "none" as a key.')
        if not all(isinstance(word, str) and word in _WORDS for word in words.values()):
            raise AnswerError(f"Each value is one of the texts {', '.join(_WORDS)}.")
        if not self.spent:
            raise Failed("methods compared by `train`", "no call of it", "no decision")
        numbers = {len(tried) for tried in self.tried.values()}
        if len(numbers) > 1:
            raise Failed(
                "equally many settings of each",
                f"{min(numbers)} to {max(numbers)}",
                "unequal budget",
            )
        if numbers == {1}:
            raise Failed("several settings of each", "one", "not tuned")
        if (
            len({frozenset(seen) for seen in self.seen.values()}) > 1
            or min(map(len, self.seen.values())) < 7
        ):
            raise Failed(
                "the same splits for each, seven or more", "others, or fewer", "other splits"
            )
        return words


_SIGNS = np.array(list(product([1, -1], repeat=SPLITS)))


def _by_signs(z):
    """Return the two-sided p-values of the sign-flip test and of Wilcoxon's signed-rank test."""
    ranks = np.sign(z) * (1 + abs(z).argsort().argsort())
    return [float((abs(_SIGNS @ v) >= abs(v.sum()) - 1e-9).mean()) for v in (z, ranks)]


def _luck(rng, mean, spread):
    """Draw ten differences with this mean and standard deviation, no part of them far from that.

    Unless the mean is large, tests without Student's t do not find it after a correction either.
    """
    while True:
        z = rng.normal(size=SPLITS)
        z = mean + spread * (z - z.mean()) / z.std(ddof=1)
        parts = [z[part] for part in (slice(7), slice(3, None), slice(2, None), slice(8))]
        t = [part.mean() / (part.std(ddof=1) / np.sqrt(len(part))) for part in parts]
        if abs(mean) > 2 * spread or (
            max(map(abs, t)) < (3.2 if mean else 1.5) and min(_by_signs(z)) > 0.012
        ):
            return z


def _world(rng):
    """Return made-up scores of eight methods, their settings, and the words that they deserve.

    One is better, one is worse. Four have luck that Holm's correction sees through, three of which
    Benjamini and Hochberg's does not. One is better only where the test score chooses, one on dev.
    """
    names = rng.permutation(
        ["dropout", "L2", "L1", "max-norm", "mixup", "cutout", "batch norm", "smoothing"]
    )
    better, worse, *lucky, peeked, on_dev, same = names.tolist()
    gain = {better: _luck(rng, 0.03, 0.006), worse: _luck(rng, -0.03, 0.006)}
    signs = rng.permutation([1, 1, -1])
    gain |= {name: _luck(rng, 0.0087 * sign, 0.01) for name, sign in zip(lucky, signs, strict=True)}
    gain |= {name: _luck(rng, 0.0, 0.01) for name in (peeked, on_dev)}
    gain |= {same: _luck(rng, 0.0074, 0.01), "none": np.zeros(SPLITS)}  # p = 0.044
    ease = {rows: rng.normal(0.75, 0.05, SPLITS) for rows in ("dev", "test")}
    methods, below = {}, {}
    for name in ["none", *rng.permutation(names).tolist()]:
        settings = (
            np.sort(rng.uniform(1, 9, 6 if name in (lucky[0], same) else 3)).round(3).tolist()
        )
        methods[name] = settings
        first = 0.06 if name == better else 0.03 if name == "none" else 0.0
        places = [first, 0.0, 0.02] if len(settings) == 3 else [0.0] * 6
        below |= {(name, s): place for s, place in zip(settings, places, strict=True)}

    def scores(name, setting, split):
        jitter = np.random.default_rng([split, int(1000 * setting)]).normal(0, 5e-4)
        level = gain[name][split] - below[name, setting]
        dev, test = ease["dev"][split] + level + jitter, ease["test"][split] + level
        if name == peeked and setting == methods[name][2]:
            dev, test = dev - 0.05, test + 0.05
        return {"dev": float(dev + 0.03 * (name == on_dev)), "test": float(test)}

    words = {name: "cannot tell" for name in list(methods)[1:]} | {better: "better", worse: "worse"}
    return scores, methods, words


@fair.check(
    points=4,
    hint="Equally many settings of every method, the same splits, the setting chosen by dev and reported on test, differences split by split, and Holm's correction over all comparisons.",
    more="budget // (10 * len(methods)) settings of each method fit. scipy.stats.ttest_rel(a, b).pvalue compares two methods; then the p-values of all of them are adjusted together.",
)
def is_fair(ask, rng):
    """says which methods are better or worse, where luck, test rows and unequal budgets mislead"""
    words = []
    for _ in range(2):
        scores, methods, _ = _world(rng)
        words.append(_Runs(scores, methods, 3 * SPLITS * len(methods)).decide(ask, rng))
    return tuple(words)


_TRAINED = {
    "none": [0.02, 0.05, 0.1],  # learning rates
    "few of the rows": [0.02, 0.05, 0.1],
    "L2": [0.01, 0.03, 0.1],
}


@functools.lru_cache(maxsize=1024)  # the same runs serve an answer and the mistakes
def _network(seed, method, setting, split):
    """Train a network on rows with many inputs and some wrong labels; return its accuracies."""
    centres = 0.5 * np.random.default_rng(seed).normal(size=(4, 40))
    rng = np.random.default_rng([seed, split])
    y = rng.permutation(np.arange(600) % 4)
    x = centres[y] + rng.normal(size=(600, 40))
    rows = 20 if method == "few of the rows" else 120
    noisy = np.where(rng.random(600) < 0.35, rng.integers(4, size=600), y)
    noisy[:4] = range(4)  # each class at least once
    option = {"penalty" if method == "L2" else "learning_rate": setting}
    weights = training.train_network(x[:rows], noisy[:rows], 40, rng, hidden=8, **option)
    parts = {"dev": (x[120:300], noisy[120:300]), "test": (x[300:], y[300:])}
    return {name: training.accuracy(weights, *part) for name, part in parts.items()}


@fair.check(
    points=2,
    hint="Of trained networks, those that see few of the rows are worse than all others, and a penalty is not worse than none.",
    more="Choose the setting of each split by its dev accuracy, and compare the test accuracies of the choices.",
)
def is_right_about_networks(ask, rng):
    """is right about real networks: few rows are worse, and a penalty is not"""
    scores = functools.partial(_network, int(rng.integers(2**32)))
    runs = _Runs(scores, _TRAINED, 3 * SPLITS * len(_TRAINED))
    words = runs.decide(ask, rng)
    few, penalty = words["few of the rows"], words["L2"]
    return judge(
        few == "worse" and penalty != "worse",
        "few of the rows: worse; L2: not worse",
        f"few of the rows: {few}; L2: {penalty}",
        {"baseline minus method": few == "better"},
    )
