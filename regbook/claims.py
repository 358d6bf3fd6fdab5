"""Intervals, and claims: sentences that stop the build when the evidence is against them."""

import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import pandas as pd

MIN_SEEDS = 10


@dataclass(frozen=True)
class Evidence:
    """Whether a statement about an interval holds, and the interval it rests on."""

    holds: bool
    condition: str
    interval: "Interval"

    def __bool__(self) -> bool:
        return bool(self.holds)  # the bounds may be NumPy's


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval, in the unit of the measurements.

    n: the number of replicates; replicates: what one of them is, such as "fresh splits". "seeds"
    are those of `train_seeds`, which change everything that chance decides.
    Compare it with a number to get `Evidence` for a `claim`: `interval > 0` holds when the whole
    interval lies above 0.
    """

    mean: float
    low: float
    high: float
    n: int
    replicates: str = "seeds"

    def __gt__(self, bound: float) -> Evidence:
        return Evidence(self.low > bound, f"above {bound:g}", self)

    def __lt__(self, bound: float) -> Evidence:
        return Evidence(self.high < bound, f"below {bound:g}", self)

    def within(self, low: float, high: float) -> Evidence:
        """Evidence that the whole interval lies between two bounds: no effect that matters."""
        return Evidence(low < self.low and self.high < high, f"within {low:g} and {high:g}", self)

    def __str__(self) -> str:
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


class ClaimFailed(AssertionError):
    """The evidence of a claim is against it."""


def mean_interval(values: ArrayLike, replicates: str = "seeds") -> Interval:
    """Return the mean of one measurement per replicate with its 95 % interval (Student's t).

    Due for means over independent replicates without heavy tails.
    values: shape (replicates,). Raises ValueError with fewer than two replicates or a value that
    is not finite, as the other intervals do.
    """
    from scipy import stats

    values = _finite(values)
    return _student(values, stats.sem(values), replicates)


def corrected_interval(
    differences: ArrayLike, train: int, test: int, replicates: str = "splits"
) -> Interval:
    """Return the mean with the corrected resampled t interval of Nadeau and Bengio (2003).

    Due for the folds or the repeated splits of one table, whose training sets overlap.
    differences: shape (replicates,), one per split; train, test: the rows of one split.
    """
    values = _finite(differences)
    error = values.std(ddof=1) * np.sqrt(1 / len(values) + test / train)
    return _student(values, error, replicates)


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[..., np.floating] = np.mean,
    replicates: str = "rows",
    resamples: int = 2000,
) -> Interval:
    """Return a statistic of the values with its bootstrap interval (BCa; Efron, 1987).

    Due for out-of-sample scores, whose replicate is the row, from about 30 of them: of ten values
    it covers the mean in 90 % of worlds, not in 95 %. It draws the same resamples every time.
    values: shape (replicates,). statistic: `statistic(values, axis=-1)` or of one sample alone.
    """
    from scipy import stats

    values = _finite(values)
    with warnings.catch_warnings():  # where the statistic is the same in every resample
        warnings.simplefilter("ignore")
        drawn = stats.bootstrap(
            (values,), statistic, n_resamples=resamples, rng=np.random.default_rng(0)
        )
    bounds = np.array(drawn.confidence_interval)
    if not np.isfinite(bounds).all():  # BCa needs a spread; the plain percentiles do not
        bounds = np.percentile(drawn.bootstrap_distribution, [2.5, 97.5])
    low, high = map(float, bounds)
    return Interval(float(statistic(values)), low, high, len(values), replicates)


def median_interval(values: ArrayLike, replicates: str = "seeds") -> Interval:
    """Return the median with its interval between two order statistics.

    Due for heavy tails: it covers the median in 95 % of worlds or more, whatever the distribution
    (Conover, *Practical Nonparametric Statistics*). Raises ValueError below six values.
    """
    from scipy import stats

    values = _finite(values)
    low, high = map(float, stats.quantile_test(values, q=0, p=0.5).confidence_interval(0.95))
    if not np.isfinite([low, high]).all():
        raise ValueError(f"an interval of a median needs six values, got {len(values)}")
    return Interval(float(np.median(values)), low, high, len(values), replicates)


def wilson_interval(successes: int, n: int, replicates: str = "rows") -> Interval:
    """Return a proportion in percent with its score interval (Wilson, 1927).

    Due for an accuracy or error rate over independent rows, above all near 0 and 100 %.
    Raises ValueError unless 0 <= successes <= n and n > 0, both whole numbers.
    """
    from scipy import stats

    whole = float(successes).is_integer() and float(n).is_integer()
    if not whole or not 0 <= successes <= n or n < 1:
        raise ValueError(f"expected 0 to n successes of n > 0 trials, got {successes} of {n}")
    bounds = stats.binomtest(int(successes), int(n)).proportion_ci(method="wilson")
    low, high = (float(100 * bound) for bound in bounds)
    return Interval(float(100 * successes / n), low, high, int(n), replicates)


def _finite(values):
    """Return the values as a float64 array, or raise ValueError when they have no interval."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(
            "an interval needs one finite number per replicate and two replicates or more, "
            f"got shape {values.shape}"
        )
    return values


def _student(values, error, replicates):
    """Return the t interval of a mean with this standard error."""
    from scipy import stats

    half = stats.t.ppf(0.975, len(values) - 1) * error
    mean = values.mean()
    return Interval(float(mean), float(mean - half), float(mean + half), len(values), replicates)


def paired(
    frame: "pd.DataFrame", metric: str, method: str, baseline: str, replicates: str = "seeds"
) -> Interval:
    """Return the 95 % interval of the difference `method` minus `baseline`, seed by seed.

    frame: what `regbook.sweep.sweep` returns. replicates: what a seed changes. Pairing removes the
    part of the spread that both methods share because they saw the same split.
    Raises KeyError for an unknown method, ValueError when the two ran on different seeds or one
    of them twice on the same seed.
    """
    by_seed = {}
    for name in (method, baseline):
        rows = frame[frame["method"] == name]
        if rows.empty:
            raise KeyError(f"no method {name!r} in this sweep; it has {sorted(set(frame.method))}")
        if rows["seed"].duplicated().any():
            raise ValueError(f"{name!r} has a seed twice: its interval would be too narrow")
        by_seed[name] = rows.set_index("seed")[metric].sort_index()
    if not by_seed[method].index.equals(by_seed[baseline].index):
        raise ValueError(f"{method!r} and {baseline!r} ran on different seeds: nothing to pair")
    return mean_interval((by_seed[method] - by_seed[baseline]).to_numpy(), replicates)


def adjusted(intervals: Iterable[Interval]) -> np.ndarray:
    """Return the p-value of each difference from 0, adjusted for their number (Holm, 1979).

    intervals: of Student's t at 95 %, all that were asked for. Those whose adjusted p-value is
    below 0.05 stand: the chance of even one false difference among them is at most 5 %.
    """
    from scipy import stats

    p_values = []
    for interval in intervals:
        error = (interval.high - interval.low) / 2 / stats.t.ppf(0.975, interval.n - 1)
        p_values.append(2 * stats.t.sf(abs(interval.mean) / error, interval.n - 1))
    order, found = np.argsort(p_values), np.empty(len(p_values))
    factors = np.arange(len(p_values), 0, -1)
    steps = np.maximum.accumulate(factors * np.sort(p_values))
    found[order] = np.minimum(steps, 1)
    return found


def holm(intervals: Iterable[Interval]) -> int:
    """Return how many differences from 0 stand when all questions of a page count: see `adjusted`.

    intervals: those that include 0 and those without a verdict too.
    """
    return int((adjusted(intervals) < 0.05).sum())


def enough(text: str, interval: Interval) -> None:
    """Raise ValueError unless an interval can carry a statement: 10 replicates, finite bounds."""
    if interval.n < MIN_SEEDS:
        raise ValueError(
            f"a claim about an average needs {MIN_SEEDS} {interval.replicates}, "
            f"this one has {interval.n}: {text}"
        )
    if not np.isfinite([interval.low, interval.high]).all():
        raise ValueError(f"a claim needs an interval with finite bounds, got {interval}: {text}")


def claim(text: str, evidence: Evidence | bool | np.bool_) -> None:
    """Print `text` as a claim that holds, or raise ClaimFailed with what was measured.

    evidence: `Evidence` from an interval over at least 10 seeds (any statement about an
    average), or True/False (a statement without chance in it). The printed line is the same on
    every machine. Raises TypeError for a bare number, which would always count as true.
    """
    if isinstance(evidence, Evidence):
        interval = evidence.interval
        enough(text, interval)
        count = f"{interval.n} {interval.replicates}"
        if not evidence.holds:
            raise ClaimFailed(
                f"{text}: expected the 95 % interval {evidence.condition}, "
                f"measured {interval} over {count}"
            )
        print(f"Claim holds: {text} (95 % interval {evidence.condition}, {count})")
    elif isinstance(evidence, (bool, np.bool_)):
        if not evidence:
            raise ClaimFailed(f"{text}: the evidence says no")
        print(f"Claim holds: {text}")
    else:
        raise TypeError(
            "the evidence of a claim is an interval compared with a bound, "
            f"or True/False, not {type(evidence).__name__}"
        )


def glue(**numbers: float | Interval) -> None:
    """Hand numbers of this page to its prose, where {glue:text}`name:.1f` shows them.

    An `Interval` called `gain` gives three: gain, gain_low and gain_high. JupyterLab shows the
    names in the prose and not the numbers, so there the numbers are printed below the cell.
    """
    from myst_nb import glue as glue_one

    for name, value in numbers.items():
        if isinstance(value, Interval):
            low, high = {f"{name}_low": value.low}, {f"{name}_high": value.high}
            glue(**{name: value.mean}, **low, **high)
        else:  # a float, because the repr of a NumPy number could not be formatted
            glue_one(name, float(value), display=False)
            if "REGBOOK_BUILD" not in os.environ:
                print(f"{name} = {float(value):.4g}")
