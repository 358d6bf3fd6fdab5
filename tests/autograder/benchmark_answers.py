"""Right and wrong answers to the exercises of chapter 21 that differ in form.

A wrong answer is a pair: the name of its mistake, and the function. Those that the checks know as
mistakes are tested too, and need no entry here.
"""

import itertools

import numpy as np
from scipy import stats

from regbook.exercise import vary

# --- paired_interval -------------------------------------------------------------------------


def interval_by_hand(a, b):
    """Use loops and plain numbers."""
    d = [float(x) - float(y) for x, y in zip(a, b, strict=True)]
    n, mean = len(d), sum(d) / len(d)
    variance = sum((v - mean) ** 2 for v in d) / (n - 1)
    half = float(stats.t.ppf(0.975, n - 1)) * (variance / n) ** 0.5
    return [mean, mean - half, mean + half]


def interval_by_scipy(a, b):
    """Let SciPy test for a difference."""
    a, b = np.array(a, float), np.array(b, float)
    if np.ptp(a - b) < 1e-9:
        return (a - b).mean(), (a - b).mean(), (a - b).mean()
    found = stats.ttest_rel(a, b)
    low, high = found.confidence_interval(0.95)
    return np.array([(a - b).mean(), low, high])


def interval_in_torch(a, b):
    import torch

    d = torch.tensor(np.asarray(a, float)) - torch.tensor(np.asarray(b, float))
    half = stats.t.isf(0.025, len(d) - 1) * d.std() / len(d) ** 0.5
    return torch.stack([d.mean(), d.mean() - half, d.mean() + half])


def interval(a, b, *, q=0.975, ddof=1, lost=1, root=np.sqrt, sign=1, kind=float, arrange=np.array):
    """Do it with any part replaced."""
    d = sign * (arrange(np.asarray(a, kind)) - arrange(np.asarray(b, kind)))
    d = d.astype(float)
    half = stats.t.ppf(q, len(d) - lost) * d.std(ddof=ddof) / root(len(d))
    return d.mean(), d.mean() - half, d.mean() + half


def interval_by_normal(a, b):
    d = np.asarray(a, float) - np.asarray(b, float)
    half = stats.norm.ppf(0.975) * stats.sem(d)
    return d.mean(), d.mean() - half, d.mean() + half


def interval_by_welch(a, b):
    a, b = np.asarray(a, float), np.asarray(b, float)
    half = stats.t.ppf(0.975, len(a) - 1) * np.hypot(stats.sem(a), stats.sem(b))
    return a.mean() - b.mean(), a.mean() - b.mean() - half, a.mean() - b.mean() + half


# --- holm ------------------------------------------------------------------------------------


def holm(p_values):
    """Return the adjusted p-values, one after the other."""
    p, adjusted, before = list(p_values), [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        before = max(before, min(1.0, (len(p) - rank) * float(p[place])))
        adjusted[place] = before
    return adjusted


def holm_by_definition(p_values):
    """Take the largest factor times p-value among all p-values that are not larger."""
    p = np.asarray(p_values, float)
    scaled = [p[j] * (p >= p[j]).sum() for j in range(len(p))]
    return np.array([min(1, max(s for s, q in zip(scaled, p, strict=True) if q <= r)) for r in p])


def holm_by_closure(p_values):
    """Take the largest Bonferroni p-value of all subsets with it: the definition of the test."""
    p = np.asarray(p_values, float)
    found = np.zeros(len(p))
    for size in range(1, len(p) + 1):
        for some in map(list, itertools.combinations(range(len(p)), size)):
            found[some] = np.maximum(found[some], min(1, size * p[some].min()))
    return found


def step(p_values, *, factors=lambda m: np.arange(m, 0, -1), run=np.maximum.accumulate, top=1):
    """Do it with any part replaced."""
    p = np.array(p_values, float)
    order = p.argsort()
    found = np.zeros(len(p))
    found[order] = np.clip(run(factors(len(p)) * p[order]), 0, top)
    return found


def backwards(values):
    return np.minimum.accumulate(values[::-1])[::-1]


def holm_sorting(p_values):
    found = holm(p_values)
    p_values[:] = sorted(p_values)
    return found


# --- rank_methods ----------------------------------------------------------------------------


def ranks_by_loops(dev, test):
    methods, _, splits = np.shape(dev)
    scores, ranks = np.zeros((methods, splits)), np.zeros((methods, splits))
    for s in range(splits):
        for m in range(methods):
            scores[m, s] = test[m][int(np.argmax(dev[m, :, s]))][s]
        for m in range(methods):
            better = sum(scores[k, s] > scores[m, s] for k in range(methods))
            equal = sum(scores[k, s] == scores[m, s] for k in range(methods))
            ranks[m, s] = better + (equal + 1) / 2
    return scores.mean(axis=1), ranks.mean(axis=1)


def ranks_by_pandas(dev, test):
    import pandas as pd

    best = dev.argmax(axis=1)
    columns = np.arange(dev.shape[2])
    scores = pd.DataFrame([test[m, best[m], columns] for m in range(len(dev))])
    return scores.mean(axis=1).to_numpy(), scores.rank(ascending=False).mean(axis=1).to_numpy()


def ranks_in_torch(dev, test):
    import torch

    dev, test = torch.tensor(dev), torch.tensor(test)
    scores = test.gather(1, dev.argmax(dim=1, keepdim=True))[:, 0]
    above = (scores[None] > scores[:, None]).sum(1)
    same = (scores[None] == scores[:, None]).sum(1)
    return [scores.mean(dim=1), (above + (same + 1) / 2).mean(dim=1)]


def ranks(dev, test, *, by=None, score=None, rank=lambda s: stats.rankdata(-s, axis=0)):
    """Do it with any part replaced."""
    best = (dev if by is None else by(dev, test)).argmax(axis=1)
    scores = np.take_along_axis(test if score is None else score(dev, test), best[:, None], 1)
    return scores[:, 0].mean(axis=1), rank(scores[:, 0]).mean(axis=1)


# --- diagnose_benchmark ----------------------------------------------------------------------


def diagnose_by_flags(report):
    """Look for every flaw, and return the first."""
    dev, test = report["dev"], report["test"]
    flaws = {
        "unequal budget": len(dev[0]) != np.mean([len(d) for d in dev]) or np.ptp([*map(len, dev)]),
        "chosen on test": any(
            abs(test[m][np.argmax(dev[m][:, s]), s] - report["reported"][m, s]) > 1e-9
            for m in range(len(dev))
            for s in range(dev[m].shape[1])
        ),
        "too few splits": dev[0].shape[1] < 10,
        "not corrected": any(
            claim and p >= 0.05
            for claim, p in zip(report["claimed"], holm(report["p_values"]), strict=True)
        ),
        "sound": True,
    }  # fmt: skip
    return next(name for name, found in flaws.items() if found)


def diagnose_by_returns(report):
    """Use the methods one after the other."""
    sizes = np.array([d.shape for d in report["dev"]])
    if (sizes[:, 0] != sizes[0, 0]).any():
        return "unequal budget"
    honest = [
        t.T[d.T.max(axis=1, keepdims=True) == d.T]
        for d, t in zip(report["dev"], report["test"], strict=True)
    ]
    if np.abs(np.array(honest) - report["reported"]).max() > 1e-6:
        return "chosen on test"
    if sizes[0, 1] <= 9:
        return "too few splits"
    adjusted = np.array(holm(report["p_values"]))
    return "sound" if (adjusted < 0.05)[report["claimed"]].all() else "not corrected"


def diagnose_step_by_step(report):
    """Reject in Holm's order, without adjusted p-values."""
    numbers = {len(t) for t in report["test"]}
    if len(numbers) != 1:
        return "unequal budget"
    for m, dev in enumerate(report["dev"]):
        columns = range(dev.shape[1])
        stated = [report["test"][m][dev[:, s].argmax(), s] for s in columns]
        if not np.array_equal(np.round(stated, 9), np.round(report["reported"][m], 9)):
            return "chosen on test"
    if np.size(report["reported"][0]) < 10:
        return "too few splits"
    left, standing = len(report["p_values"]), set()
    for place in np.argsort(report["p_values"]):
        if report["p_values"][place] * left >= 0.05:
            break
        standing.add(int(place))
        left -= 1
    claimed = {int(i) for i in np.flatnonzero(report["claimed"])}
    return np.str_("sound" if claimed <= standing else "not corrected")


def diagnose_without(flaw):
    """Return the answer that never looks for one flaw."""
    names = ["unequal budget", "chosen on test", "too few splits", "not corrected"]

    def answer(report):
        found = {
            "unequal budget": len({len(d) for d in report["dev"]}) > 1,
            "chosen on test": any(
                not np.allclose(t[d.argmax(0), np.arange(d.shape[1])], r)
                for d, t, r in zip(report["dev"], report["test"], report["reported"], strict=True)
            ),
            "too few splits": report["dev"][0].shape[1] < 10,
            "not corrected": any(np.array(holm(report["p_values"]))[report["claimed"]] >= 0.05),
        }
        return next((n for n in names if n != flaw and found[n]), "sound")

    return answer


# --- fair_comparison -------------------------------------------------------------------------


def words_of(scores, test, adjust=holm):
    """Return the words from scores by method and a test that returns (difference, p)."""
    names = [m for m in scores if m != "none"]
    found = [test(np.array(scores[m]), np.array(scores["none"])) for m in names]
    adjusted = adjust([p for _, p in found])
    return {
        m: "cannot tell" if p >= 0.05 else "better" if d > 0 else "worse"
        for m, (d, p) in zip(names, zip([d for d, _ in found], adjusted, strict=True), strict=True)
    }


def t_test(a, b):
    return np.mean(a - b), stats.ttest_rel(a, b).pvalue


def compare(
    train, methods, budget, rng, *,
    number=3, splits=range(10), pick=lambda settings, n: settings[:n],
    key=lambda run: run["dev"], score=lambda run: run["test"], test=t_test, adjust=holm,
):  # fmt: skip
    """Do it with any part replaced."""
    scores = {
        m: [score(max((train(m, s, k) for s in pick(settings, number)), key=key)) for k in splits]
        for m, settings in methods.items()
    }
    return words_of(scores, test, adjust)


def compare_by_bonferroni(train, methods, budget, rng):
    return compare(train, methods, budget, rng, adjust=lambda p: np.array(p) * len(p))


def compare_by_signs(train, methods, budget, rng):
    """Turn the signs of the differences in all ways."""

    def turned(a, b):
        signs = np.array(list(itertools.product([1, -1], repeat=len(a))))
        means = signs @ (a - b)
        return (a - b).mean(), (abs(means) >= abs((a - b).sum()) - 1e-12).mean()

    return compare(train, methods, budget, rng, test=turned)


def compare_by_ranks(train, methods, budget, rng):
    """Use Wilcoxon's signed-rank test."""

    def ranked(a, b):
        return np.mean(a - b), stats.wilcoxon(a, b).pvalue

    return compare(train, methods, budget, rng, test=ranked)


def compare_on_some_settings(train, methods, budget, rng):
    """Draw three settings of each method."""
    some = {
        m: [settings[i] for i in sorted(rng.permutation(len(settings))[:3])]
        for m, settings in methods.items()
    }
    return compare(train, some, budget, rng)


def compare_after_tuning(train, methods, budget, rng):
    """Tune on three splits, and measure the winners on the other seven and on these."""
    scores = {}
    for method, settings in methods.items():
        tried = settings[:3]
        dev = [np.mean([train(method, s, k)["dev"] for k in range(3)]) for s in tried]
        best = tried[int(np.argmax(dev))]
        scores[method] = [train(method, best, k)["test"] for k in range(10)]
    return words_of(scores, t_test)


def compare_by_intervals(train, methods, budget, rng):
    """Use intervals that are as wide as the number of methods asks for."""
    number = len(methods) - 1

    def wide(a, b):
        d = a - b
        half = stats.t.ppf(1 - 0.025 / number, len(d) - 1) * stats.sem(d)
        return d.mean(), float(d.mean() - half < 0 < d.mean() + half)

    return compare(train, methods, budget, rng, test=wide, adjust=lambda p: p)


def compare_anyway(train, methods, budget, rng):
    return {m: "cannot tell" for m in methods if m != "none"}


def compare_until_refused(train, methods, budget, rng):
    scores = {m: [] for m in methods}
    try:
        for k in range(10):
            for m, settings in methods.items():
                scores[m].append(max(train(m, s, k)["test"] for s in settings * 2))
    except ValueError:
        pass
    return compare_anyway(train, methods, budget, rng)


def compare_baseline_once(train, methods, budget, rng):
    few = {m: settings[: 1 if m == "none" else 3] for m, settings in methods.items()}
    return compare(train, few, budget, rng)


def compare_others_once(train, methods, budget, rng):
    few = {m: settings[: 3 if m == "none" else 1] for m, settings in methods.items()}
    return compare(train, few, budget, rng)


def compare_on_own_splits(train, methods, budget, rng):
    scores = {}
    for i, (m, settings) in enumerate(methods.items()):
        own = [(i + k) % 10 for k in range(8)]
        scores[m] = [
            max((train(m, s, k) for s in settings[:3]), key=lambda r: r["dev"])["test"] for k in own
        ]
    return words_of(scores, t_test)


def by_welch(a, b):
    return np.mean(a) - np.mean(b), stats.ttest_ind(a, b, equal_var=False).pvalue


RIGHT = {
    "paired_interval": [interval_by_hand, interval_by_scipy, interval_in_torch],
    "holm": [holm, holm_by_definition, holm_by_closure],
    "rank_methods": [ranks_by_loops, ranks_by_pandas, ranks_in_torch],
    "diagnose_benchmark": [diagnose_by_flags, diagnose_by_returns, diagnose_step_by_step],
    "fair_comparison": [
        compare_by_bonferroni,
        compare_by_signs,
        compare_by_ranks,
        compare_on_some_settings,
        compare_after_tuning,
        compare_by_intervals,
    ],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "paired_interval": [
        ("90 %", vary(interval, q=0.95)),
        ("population", vary(interval, ddof=0)),
        ("one degree too many", vary(interval, lost=0)),
        ("spread", vary(interval, root=lambda n: 1)),
        ("other order", vary(interval, sign=-1)),
        ("sorted", vary(interval, arrange=np.sort)),
        ("normal", interval_by_normal),
        ("unpaired", interval_by_welch),
        ("form", lambda a, b: interval_by_hand(a, b)[1:]),
        ("error", lambda a, b: None),
    ],
    "holm": [
        ("Bonferroni", lambda p: np.minimum(1, np.array(p, float) * len(p))),
        (
            "Benjamini-Hochberg",
            vary(step, factors=lambda m: m / np.arange(1, m + 1), run=backwards),
        ),
        ("no running maximum", vary(step, run=np.array)),
        ("Hochberg", vary(step, run=backwards)),
        ("one too few", vary(step, factors=lambda m: np.arange(m - 1, -1, -1))),
        ("not clipped", vary(step, top=99)),
        ("left sorted", lambda p: sorted(holm(p))),
        ("booleans", lambda p: [int(v < 0.05) for v in holm(p)]),
        ("unchanged", lambda p: list(p)),
        ("changes its input", holm_sorting),
    ],
    "rank_methods": [
        ("chosen on test", vary(ranks, by=lambda dev, test: test)),
        ("lowest dev", vary(ranks, by=lambda dev, test: -dev)),
        ("dev reported", vary(ranks, score=lambda dev, test: dev)),
        ("worst first", vary(ranks, rank=lambda s: stats.rankdata(s, axis=0))),
        ("ties take the best", vary(ranks, rank=lambda s: stats.rankdata(-s, "min", axis=0))),
        ("from zero", vary(ranks, rank=lambda s: stats.rankdata(-s, axis=0) - 1)),
        ("ranked over splits", vary(ranks, rank=lambda s: stats.rankdata(-s, axis=1))),
        ("ties broken", vary(ranks, rank=lambda s: stats.rankdata(-s, "ordinal", axis=0))),
        ("error", lambda dev, test: ranks_by_loops(dev, test)[2]),
    ],
    "diagnose_benchmark": [
        ("budget not checked", diagnose_without("unequal budget")),
        ("choice not checked", diagnose_without("chosen on test")),
        ("splits not checked", diagnose_without("too few splits")),
        ("correction not checked", diagnose_without("not corrected")),
        ("all sound", lambda report: "sound"),
        ("error", lambda report: None),
    ],
    "fair_comparison": [
        ("no decision", compare_anyway),
        ("over budget", vary(compare, pick=lambda settings, n: settings)),
        ("over budget", compare_until_refused),
        ("unequal budget", compare_baseline_once),
        ("unequal budget", compare_others_once),
        ("not tuned", vary(compare, number=1)),
        ("other splits", vary(compare, splits=range(3))),
        ("other splits", compare_on_own_splits),
        ("not corrected", vary(compare, adjust=list)),
        (
            "Benjamini-Hochberg",
            vary(
                compare, adjust=vary(step, factors=lambda m: m / np.arange(1, m + 1), run=backwards)
            ),
        ),
        ("not paired", vary(compare, test=by_welch)),
        ("chosen on test", vary(compare, key=lambda run: run["test"])),
        ("reported on dev", vary(compare, score=lambda run: run["dev"])),
        ("lowest for highest", vary(compare, key=lambda run: -run["dev"])),
        ("no test", vary(compare, test=lambda a, b: (np.mean(a - b), 0.0))),
        ("error", lambda train, methods, budget, rng: train("none", -1.0, 0)),
        ("error", lambda train, methods, budget, rng: list(methods)),
    ],
}
