"""Checks of the three questions that every grader of `benchmarks/grading.py` is asked."""

import numpy as np

from regbook.exercise import Chapter, Failed, brief, compare, judge, outputs

chapter = Chapter("00_three_questions")
EPS = 0.3

l2_penalty = chapter.exercise(
    "l2_penalty",
    lambda weights, lam: lam * sum((w**2).sum() for w in weights),
    mistakes={
        "norm": lambda weights, lam: lam * np.sqrt(sum((w**2).sum() for w in weights)),
        "halved": lambda weights, lam: lam / 2 * sum((w**2).sum() for w in weights),
        "absolute": lambda weights, lam: lam * sum(np.abs(w).sum() for w in weights),
        "mean": lambda weights, lam: lam * sum((w**2).mean() for w in weights),
        "first-only": lambda weights, lam: lam * (weights[0] ** 2).sum(),
    },
    hints={
        "norm": "You took the norm. The penalty has no root.",
        "halved": "You have lam / 2; here it is lam times the sum.",
        "absolute": "That is L1, not L2.",
        "mean": "The penalty is a sum.",
        "first-only": "Go through the whole list.",
    },
)


@l2_penalty.check(
    hint="The penalty is lam times the sum of w**2 over every entry of every array in the list.",
    more="Write lam * sum((w**2).sum() for w in weights).",
)
def sums_the_squares(ask, rng):
    """is lam times the sum of the squares of all entries"""
    return ask([rng.normal(size=(3, 4)), rng.normal(size=(4, 2))], rng.uniform(0.1, 0.4))


@l2_penalty.check(
    hint="Multiplying every weight by c must multiply the penalty by c squared.",
    more="Only squares do that: doubling the weights makes the penalty four times as large.",
)
def grows_with_the_square(ask, rng):
    """grows fourfold when all weights double"""
    weights = [rng.normal(size=5), rng.normal(size=(2, 3, 2))]
    (single,) = outputs(ask(weights, 0.3), ())
    outcome = compare(ask([2 * w for w in weights], 0.3), 4 * single)
    if not single > 0:
        raise Failed("a number above 0", brief(single))
    return outcome


inverted_dropout = chapter.exercise(
    "inverted_dropout",
    hints={
        "not rescaled": "The kept entries are x itself: divide by 1 - rate.",
        "by rate": "You divided by the rate that drops.",
        "multiplied": "You multiplied by 1 - rate: divide.",
    },
)


def _dropped(ask, rng):
    """Return inputs without a zero, a rate and the answer to them, for 4096 entries."""
    x, rate = rng.uniform(1, 2, size=(64, 64)), rng.uniform(0.2, 0.35)
    return x, rate, *outputs(ask(x, rate), x.shape)


@inverted_dropout.check(
    hint="What is kept is divided by 1 - rate, so that the mean stays the same.",
    more="Write x * mask / (1 - rate).",
)
def rescales_what_it_keeps(ask, rng):
    """turns each entry into 0 or x / (1 - rate)"""
    x, rate, y = _dropped(ask, rng)
    kept = x * (y != 0)
    wrong = {"not rescaled": kept, "by rate": kept / rate, "multiplied": kept * (1 - rate)}
    return compare(y, kept / (1 - rate), wrong)


@inverted_dropout.check(
    hint="The rate is the probability that an entry is dropped.",
    more="Keep an entry where a uniform number is at least the rate.",
)
def drops_at_the_rate(ask, rng):
    """drops entries with probability rate"""
    _, rate, y = _dropped(ask, rng)
    share = (y == 0).mean()  # its standard deviation is below 0.008
    return judge(abs(share - rate) < 0.05, f"about {rate:.2f}", f"{share:.2f}")


@inverted_dropout.check(
    hint="One mask serves several rows or columns: draw for every entry on its own.",
    more="The mask has the shape of x.",
)
def draws_for_every_entry(ask, rng):
    """draws anew for every row and every column"""
    _, _, y = _dropped(ask, rng)
    shares = np.concatenate([(y == 0).mean(axis=axis) for axis in (0, 1)])
    mixed = (shares > 0).all() and (shares < 1).all()
    return judge(mixed, "zeros and others in each", "both" if mixed else "the same")


def _normalized(x, gamma, beta, eps):
    return gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + beta


def _unbiased(x, gamma, beta, eps):
    return gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0, ddof=1) + eps) + beta


def _epsilon_outside(x, gamma, beta, eps):
    return gamma * (x - x.mean(axis=0)) / (x.std(axis=0) + eps) + beta


def _no_root(x, gamma, beta, eps):
    return gamma * (x - x.mean(axis=0)) / (x.var(axis=0) + eps) + beta


batch_norm = chapter.exercise(
    "batch_norm",
    _normalized,
    mistakes={
        "unbiased": _unbiased,
        "epsilon outside": _epsilon_outside,
        "no root": _no_root,
        "rows": lambda x, gamma, beta, eps: gamma * _normalized(x.T, 1, 0, eps).T + beta,
    },
    hints={
        "unbiased": "You divided by B - 1. The batch is normalized with the biased variance.",
        "epsilon outside": "eps belongs inside the root.",
        "no root": "Divide by the root of the variance.",
        "rows": "You normalized each row: the batch is axis 0.",
    },
)


def _batch(rng):
    x = rng.normal(rng.uniform(-3, 3, 3), rng.uniform(1, 2, 3), size=(5, 3))
    return x, rng.uniform(0.5, 2, 3), rng.uniform(1, 3, 3)


@batch_norm.check(
    hint="Subtract the mean of each column, divide by sqrt(var + eps), scale and shift.",
    more="gamma * (x - mean) / sqrt(var + eps) + beta, with the mean of (x - mean)**2 as var.",
)
def normalizes_each_column(ask, rng):
    """normalizes each column with its mean and biased variance, then scales and shifts"""
    return ask(*_batch(rng), EPS)


@batch_norm.check(
    hint="After normalizing, the mean of each column is beta.",
    more="The normalized columns have mean 0; beta is added last.",
)
def has_mean_beta(ask, rng):
    """gives each column the mean beta"""
    x, gamma, beta = _batch(rng)
    (y,) = outputs(ask(x, gamma, beta, EPS), x.shape)
    return compare(y.mean(axis=0), beta)
