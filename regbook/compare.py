"""A fair comparison: every arm is tuned on a grid of one size and measured on fresh seeds."""

import itertools
import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from regbook.claims import MIN_SEEDS, Interval, paired
from regbook.data import Split
from regbook.sweep import BestEpoch, Runs, sweep, train_seeds

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import nn

POINTS, RATES, STRENGTHS, TUNING_SEEDS = 12, 4, 3, 3

Setting = dict[str, Any]
Measure = Callable[[list[Setting], list[int]], Mapping[str, ArrayLike]]


class EdgeWins(ValueError):
    """The best setting lies on an edge of its grid, so a better one may lie beyond."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `tuned` measured.

    frame: one row per method and fresh seed, as `regbook.sweep.sweep` returns; the settings that
    people use are methods called "dropout, as usual". chosen: the winner of each arm.
    tuning: the mean score of every setting over the tuning seeds. reasons: why a winner may lie
    on an edge, by (arm, parameter, value).
    """

    frame: "pd.DataFrame"
    chosen: dict[str, Setting]
    tuning: "pd.DataFrame"
    reasons: dict[tuple[str, str, Any], str]
    replicates: str

    def versus(self, baseline: str) -> dict[str, Interval]:
        """Return the interval of every other arm minus `baseline`, by the label of its row.

        First the settings that people use, after the last epoch, where they were measured; then
        the tuned arms. `regbook.figures.forest` draws it. An interval speaks of the settings that
        were chosen. Where three tuning seeds cannot tell them apart, one arm may get the better
        one by luck, and up to 10 % of comparisons without an effect "help"; more tuning seeds
        bring that down. Raises KeyError for an unknown baseline.
        """
        pairs = {}
        for metric, usual in (("last", ", as usual"), ("test", "")):
            arms = [arm for arm in self.chosen if (self.frame["method"] == arm + usual).any()]
            for arm in arms:
                if arm != baseline:
                    pairs[arm + usual] = (metric, arm + usual, baseline + usual)
        return {name: paired(self.frame, *pair, self.replicates) for name, pair in pairs.items()}

    def _table(self):
        import pandas as pd

        test = self.frame.groupby("method")["test"].mean()
        rows = []
        for arm, setting in self.chosen.items():
            why = [reason for (name, *_), reason in self.reasons.items() if name == arm]
            rows.append((arm, _words(setting), f"{test[arm]:.4g}", "; ".join(why)))
        table = pd.DataFrame(rows, columns=["arm", "chosen setting", "test", "edge of the grid"])
        return table if self.reasons else table.drop(columns="edge of the grid")

    def __repr__(self) -> str:
        return self._table().to_string(index=False)

    def _repr_html_(self) -> str:
        return self._table().to_html(index=False, border=0)


def tuned(
    measure: Measure | Mapping[str, Measure],
    arms: Mapping[str, Mapping[str, Sequence[Any]]],
    *,
    usual: Mapping[str, Setting] | None = None,
    tuning_seeds: int = 3,
    seeds: int = 10,
    choose: str = "dev",
    better: Literal["higher", "lower"] = "higher",
    edges: Mapping[tuple[str, str, Any], str] | None = None,
    replicates: str = "seeds",
) -> Comparison:
    """Tune every arm with one budget, measure the winners on fresh seeds, return a `Comparison`.

    measure: `measure(settings, seeds)`, a dict of arrays (settings, seeds) with the metrics
        `choose` and "test" (at the epoch that dev rows choose, see `trained`) and
        "last" (after the last epoch) when `usual` is given. It is called with all settings of an
        arm and the tuning seeds, then with the winner and the fresh seeds, 0 to `seeds` - 1. Where
        the arms are trained differently, a dict with the `measure` of each arm.
    arms: grids by arm, such as {"none": {"rate": [...]}, "dropout": {"rate": [...], "strength":
        [...]}}; all of one size, 12 points or more, with 4 rates and 3 values of any other
        parameter at least. The baseline spends its budget on more rates or another parameter.
    usual: the setting of every arm that people use. choose, better: the winner has the best mean
        of this metric over the tuning seeds; the first of equals; never one that is not finite.
    edges: why a winner at the end of a list is accepted, by (arm, parameter, value). The value 0
        needs no reason where it is the lowest. replicates: what a seed changes.

    Raises EdgeWins for another winner at an end, ValueError for an unfair budget or a wrong result.
    """
    grids = {arm: {k: list(v) for k, v in grid.items()} for arm, grid in arms.items()}
    _fair(grids, usual, tuning_seeds, seeds, better, edges or {})
    measures = dict(measure) if isinstance(measure, Mapping) else dict.fromkeys(grids, measure)
    if measures.keys() != grids.keys():
        raise ValueError(f"measure needs the arms {', '.join(grids)}, got {', '.join(measures)}")
    trials, chosen = _choose(measures, grids, range(seeds, seeds + tuning_seeds), choose, better)
    reasons = _accepted(grids, chosen, edges or {})
    found = _fresh(measures, chosen, usual, list(range(seeds)))
    return Comparison(found, chosen, trials, reasons, replicates)


@dataclass(frozen=True)
class _Trained:
    """A `measure` for `tuned` that trains all settings and seeds side by side: see `trained`."""

    build: "Callable[[], nn.Module]"
    loss: "Callable[..., torch.Tensor]"
    splits: Split
    also: Callable[[Runs, Split], Mapping[str, ArrayLike]] | None
    options: dict[str, Any]

    def __call__(self, settings, seeds):
        each = np.tile(seeds, len(settings))
        own = Split(*(getattr(self.splits, field.name)[each] for field in fields(Split)))
        strengths = [next((v for k, v in s.items() if k != "rate"), 0) for s in settings]
        best = BestEpoch(own.x_dev, own.y_dev)
        runs = train_seeds(
            self.build, self.loss, own.x_train, own.y_train, after_epoch=best, seeds=each,
            rates=np.repeat([s["rate"] for s in settings], len(seeds)),
            strengths=np.repeat(strengths, len(seeds)), **self.options,
        )  # fmt: skip
        found = {
            "dev": best.dev,
            "test": best.runs.accuracy(own.x_test, own.y_test),
            "last": runs.accuracy(own.x_test, own.y_test),
            **(self.also(best.runs, own) if self.also else {}),
        }
        shape = len(settings), len(seeds)
        return {name: np.reshape(np.asarray(value), shape) for name, value in found.items()}


def _adam(named):
    import torch

    return torch.optim.Adam([parameter for _, parameter in named], lr=1)


def trained(
    build: "Callable[[], nn.Module]",
    loss: "Callable[..., torch.Tensor]",
    splits: Split,
    *,
    epochs: int,
    batch_size: int = 50,
    optimizer: "Callable[[list], torch.optim.Optimizer]" = _adam,
    also: Callable[[Runs, Split], Mapping[str, ArrayLike]] | None = None,
) -> Measure:
    """Return a `measure` for `tuned` that trains all settings and seeds side by side.

    build, loss, epochs, batch_size: as in `regbook.sweep.train_seeds`; loss is called as
        `loss(model, x, y, strength)`. splits: stacked, see `regbook.data.split_seeds`.
    optimizer: with the learning rate 1, which the "rate" of a setting scales. The other parameter
        of a setting, of any name, is the strength; 0 without one.
    also: `also(runs, splits)`, further metrics of the runs at their best epoch.

    It measures accuracy in percent: "dev" and "test" at the epoch that is best on dev, "last" on
    test rows after the last epoch.
    """
    options = {"epochs": epochs, "batch_size": batch_size, "optimizer": optimizer}
    return _Trained(build, loss, splits, also, options)


def _fair(grids, usual, tuning_seeds, seeds, better, edges):
    """Raise ValueError, saying what to change, unless every arm gets the same good chance."""
    if len(grids) < 2 or tuning_seeds < TUNING_SEEDS or seeds < MIN_SEEDS:
        raise ValueError(
            f"a comparison needs 2 arms, {TUNING_SEEDS} tuning seeds and {MIN_SEEDS} fresh ones, "
            f"got {len(grids)}, {tuning_seeds} and {seeds}"
        )
    if better not in ("higher", "lower"):
        raise ValueError(f'better is "higher" or "lower", not {better!r}')
    for arm, grid in grids.items():
        for name, values in {"rate": [], **grid}.items():
            least = RATES if name == "rate" else STRENGTHS
            if len(set(values)) < max(least, len(values)):
                raise ValueError(f"{arm}: {name} needs {least} or more values, each once: {values}")
    sizes = {arm: math.prod(map(len, grid.values())) for arm, grid in grids.items()}
    if len(set(sizes.values())) > 1 or min(sizes.values()) < POINTS:
        raise ValueError(
            f"every arm needs a grid of the same size, {POINTS} points or more: add values to the "
            f"smaller ones, the baseline's too; the sizes are {_words(sizes)}"
        )
    parameters = {arm: set(grid) for arm, grid in grids.items()}
    if usual is not None and {arm: set(setting) for arm, setting in usual.items()} != parameters:
        raise ValueError("usual needs one setting of every arm, with the parameters of its grid")
    for (arm, name, value), reason in edges.items():
        if value not in grids.get(arm, {}).get(name, []) or not reason:
            raise ValueError(f"edges: {arm}, {name}={value} is not in the grid or has no reason")


def _choose(measures, grids, seeds, choose, better):
    """Return the table of all trials and the best setting of every arm."""
    import pandas as pd

    trials, chosen = [], {}
    for arm, grid in grids.items():
        values = itertools.product(*grid.values())
        settings = [dict(zip(grid, value, strict=True)) for value in values]
        means = _measured(measures[arm], settings, list(seeds), [choose])[choose].mean(axis=1)
        usable = np.isfinite(means)
        if not usable.any():
            raise ValueError(f"{arm}: {choose} is finite for no setting: does every rate diverge?")
        signed = means if better == "higher" else -means
        chosen[arm] = settings[np.where(usable, signed, -np.inf).argmax()]
        trials += [
            {"method": arm, **s, choose: mean} for s, mean in zip(settings, means, strict=True)
        ]
    return pd.DataFrame(trials), chosen


def _ends(grid: Mapping[str, list], setting: Setting) -> Iterator[tuple[str, Any]]:
    """Yield each (parameter, value) of a setting that lies at an end of the list it comes from."""
    for name, value in setting.items():
        if all(isinstance(v, numbers.Real) for v in grid[name]):  # other values have no order
            low, high = min(grid[name]), max(grid[name])
            if value == high or (value == low and value != 0):
                yield name, value


def _accepted(grids, chosen, edges):
    """Return the reasons for the winners at an end; raise EdgeWins for those without one."""
    found = [(arm, *end) for arm, s in chosen.items() for end in _ends(grids[arm], s)]
    bare = [edge for edge in found if edge not in edges]
    if bare:
        raise EdgeWins(
            "the best value lies at the end of its list: "
            + "; ".join(f"{arm}, {name} {value:g}" for arm, name, value in bare)
            + ". Go on beyond it, in grids of one size, or say in `edges` why that cannot be better"
        )
    return {edge: edges[edge] for edge in found}


def _fresh(measures, chosen, usual, seeds):
    """Return the frame of the winners, and of the usual settings, on fresh seeds."""
    needed = ["test"] if usual is None else ["test", "last"]
    rows = {}
    for arm, setting in chosen.items():
        settings = {arm: setting, **({} if usual is None else {f"{arm}, as usual": usual[arm]})}
        found = _measured(measures[arm], list(settings.values()), seeds, needed)
        for i, name in enumerate(settings):
            rows[name] = {metric: values[i] for metric, values in found.items()}
    return sweep(dict, rows)


def _measured(measure, settings, seeds, needed):
    """Return what was measured as arrays, once the metrics and the shapes are those expected."""
    found = measure([dict(setting) for setting in settings], list(seeds))
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    expected = (len(settings), len(seeds))
    if not {*needed} <= shapes.keys() or any(shape != expected for shape in shapes.values()):
        raise ValueError(
            f"measure must return {' and '.join(needed)}, each of shape (settings, seeds) = "
            f"{expected}; it returned {shapes}"
        )
    return arrays


def _words(numbers_by_name):
    """Return {"rate": 0.123456} as "rate: 0.1235"."""
    return ", ".join(
        f"{name}: {value:.4g}" if isinstance(value, numbers.Real) else f"{name}: {value}"
        for name, value in numbers_by_name.items()
    )
