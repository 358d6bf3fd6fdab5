"""Checks of the three questions that every grader of `benchmarks/grading.py` is asked."""

import numpy as np

from regbook.check import Chapter, Outcome, Wrong, compare, outputs

chapter = Chapter("00_three_questions")
EPS = 0.3


@chapter.check(
    "l2_penalty",
    hint="The penalty is lam times the sum of w**2 over every entry of every array in the list.",
    more="Write lam * sum((w**2).sum() for w in weights).",
)
def sums_the_squares(answer, rng):
    """is lam times the sum of the squares of all entries"""
    weights, lam = [rng.normal(size=(3, 4)), rng.normal(size=(4, 2))], rng.uniform(0.1, 0.4)
    squares = [(w**2).sum() for w in weights]
    total = sum(squares)
    wrong = [
        Wrong("norm", lam * np.sqrt(total), "You took the norm. The penalty has no root."),
        Wrong("halved", lam / 2 * total, "You have lam / 2; here it is lam times the sum."),
        Wrong("absolute", lam * sum(np.abs(w).sum() for w in weights), "That is L1, not L2."),
        Wrong("mean", lam * sum((w**2).mean() for w in weights), "The penalty is a sum."),
        Wrong("first-only", lam * squares[0], "Go through the whole list."),
    ]
    return compare(answer(weights, lam), lam * total, wrong)


@chapter.check(
    "l2_penalty",
    hint="Multiplying every weight by c must multiply the penalty by c squared.",
    more="Only squares do that: doubling the weights makes the penalty four times as large.",
)
def grows_with_the_square(answer, rng):
    """grows fourfold when all weights double"""
    weights = [rng.normal(size=5), rng.normal(size=(2, 3, 2))]
    (single,) = outputs(answer(weights, 0.3), ())
    outcome = compare(answer([2 * w for w in weights], 0.3), 4 * single)
    return outcome if single > 0 else Outcome(False, "a number above 0", f"{single:.4g}")


def _dropped(answer, rng):
    """Return inputs without a zero, a rate and the answer to them, for 4096 entries."""
    x, rate = rng.uniform(1, 2, size=(64, 64)), rng.uniform(0.2, 0.35)
    return x, rate, *outputs(answer(x, rate), x.shape)


@chapter.check(
    "inverted_dropout",
    hint="What is kept is divided by 1 - rate, so that the mean stays the same.",
    more="Write x * mask / (1 - rate).",
)
def rescales_what_it_keeps(answer, rng):
    """turns each entry into 0 or x / (1 - rate)"""
    x, rate, y = _dropped(answer, rng)
    kept = y != 0
    wrong = [
        Wrong("not rescaled", x * kept, "The kept entries are x itself: divide by 1 - rate."),
        Wrong("by rate", x * kept / rate, "You divided by the rate that drops."),
        Wrong("multiplied", x * kept * (1 - rate), "You multiplied by 1 - rate: divide."),
    ]
    return compare(y, x * kept / (1 - rate), wrong)


@chapter.check(
    "inverted_dropout",
    hint="The rate is the probability that an entry is dropped.",
    more="Keep an entry where a uniform number is at least the rate.",
)
def drops_at_the_rate(answer, rng):
    """drops entries with probability rate"""
    _, rate, y = _dropped(answer, rng)
    share = (y == 0).mean()  # its standard deviation is below 0.008
    return Outcome(bool(abs(share - rate) < 0.05), f"about {rate:.2f}", f"{share:.2f}")


@chapter.check(
    "inverted_dropout",
    hint="One mask serves several rows or columns: draw for every entry on its own.",
    more="The mask has the shape of x.",
)
def draws_for_every_entry(answer, rng):
    """draws anew for every row and every column"""
    _, _, y = _dropped(answer, rng)
    shares = np.concatenate([(y == 0).mean(axis=axis) for axis in (0, 1)])
    mixed = bool((shares > 0).all() and (shares < 1).all())
    return Outcome(mixed, "zeros and others in each", "the same" if not mixed else "both")


def _batch(rng):
    x = rng.normal(rng.uniform(-3, 3, 3), rng.uniform(1, 2, 3), size=(5, 3))
    return x, rng.uniform(0.5, 2, 3), rng.uniform(1, 3, 3)


@chapter.check(
    "batch_norm",
    hint="Subtract the mean of each column, divide by sqrt(var + eps), scale and shift.",
    more="gamma * (x - mean) / sqrt(var + eps) + beta, with the mean of (x - mean)**2 as var.",
)
def normalizes_each_column(answer, rng):
    """normalizes each column with its mean and biased variance, then scales and shifts"""
    x, gamma, beta = _batch(rng)
    mean, var = x.mean(axis=0), x.var(axis=0)
    unbiased, rows = x.var(axis=0, ddof=1), x.T - x.T.mean(axis=0)
    wrong = [
        Wrong(
            "unbiased",
            gamma * (x - mean) / np.sqrt(unbiased + EPS) + beta,
            "You divided by B - 1. The batch is normalized with the biased variance.",
        ),
        Wrong(
            "epsilon outside",
            gamma * (x - mean) / (np.sqrt(var) + EPS) + beta,
            "eps belongs inside the root.",
        ),
        Wrong(
            "no root",
            gamma * (x - mean) / (var + EPS) + beta,
            "Divide by the root of the variance.",
        ),
        Wrong(
            "rows",
            gamma * (rows / np.sqrt(x.T.var(axis=0) + EPS)).T + beta,
            "You normalized each row: the batch is axis 0.",
        ),
    ]
    expected = gamma * (x - mean) / np.sqrt(var + EPS) + beta
    return compare(answer(x, gamma, beta, EPS), expected, wrong)


@chapter.check(
    "batch_norm",
    hint="After normalizing, the mean of each column is beta.",
    more="The normalized columns have mean 0; beta is added last.",
)
def has_mean_beta(answer, rng):
    """gives each column the mean beta"""
    x, gamma, beta = _batch(rng)
    (y,) = outputs(answer(x, gamma, beta, EPS), x.shape)
    return compare(y.mean(axis=0), beta)
