"""Paired intervals, and claims: sentences that stop the build when the evidence is against them."""

import os
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
        return self.holds


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95 % confidence interval, in the unit of the measurements.

    Compare it with a number to get `Evidence` for a `claim`: `interval > 0` holds when the whole
    interval lies above 0.
    """

    mean: float
    low: float
    high: float
    seeds: int

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


def mean_interval(values: ArrayLike) -> Interval:
    """Return the mean of one measurement per seed with its 95 % interval (Student's t).

    values: shape (seeds,). Raises ValueError with fewer than two seeds or a value that is
    not finite.
    """
    from scipy import stats

    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(
            "an interval needs one finite number per seed and two seeds or more, "
            f"got shape {values.shape}"
        )
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    mean = values.mean()
    return Interval(float(mean), float(mean - half), float(mean + half), len(values))


def paired(frame: "pd.DataFrame", metric: str, method: str, baseline: str) -> Interval:
    """Return the 95 % interval of the difference `method` minus `baseline`, seed by seed.

    frame: what `regbook.sweep.sweep` returns. Pairing removes the part of the spread that both
    methods share because they saw the same split.
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
    return mean_interval((by_seed[method] - by_seed[baseline]).to_numpy())


def claim(text: str, evidence: Evidence | bool | np.bool_) -> None:
    """Print `text` as a claim that holds, or raise ClaimFailed with what was measured.

    evidence: `Evidence` from an interval over at least 10 seeds (any statement about an
    average), or True/False (a statement without chance in it). The printed line is the same on
    every machine. Raises TypeError for a bare number, which would always count as true.
    """
    if isinstance(evidence, Evidence):
        interval = evidence.interval
        if interval.seeds < MIN_SEEDS:
            raise ValueError(
                f"a claim about an average needs {MIN_SEEDS} seeds, "
                f"this one has {interval.seeds}: {text}"
            )
        if not evidence.holds:
            raise ClaimFailed(
                f"{text}: expected the 95 % interval {evidence.condition}, "
                f"measured {interval} over {interval.seeds} seeds"
            )
        print(f"Claim holds: {text} (95 % interval {evidence.condition}, {interval.seeds} seeds)")
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
