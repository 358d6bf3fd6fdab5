"""Chapter 23's case study: the walk of the tutorials and the tuned networks, on any of the images.

The pages run it on 28 x 28 digits, `DIGITS`; `benchmarks/case_fashion.py` runs the same functions
on all 70,000 images of Fashion-MNIST, `FASHION`. A network has one hidden layer or none, starts as
Keras starts it (Glorot, biases of 0), and takes steps of Adam on batches of 30.

A setting is a dict with the learning rate, "rate", and at most one strength.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise, product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from regbook.arrays import softmax
from regbook.calibration import expected_calibration_error, negative_log_likelihood
from regbook.claims import Interval, mean_interval
from regbook.data import fashion_mnist, load
from regbook.sweep import BestEpoch, Runs, train_seeds

if TYPE_CHECKING:
    import torch
    from torch import nn

BATCH, RATE = 30, 0.001  # as in the walk: batches of 30, Adam's default rate
L2, ACTIVITY, NORM, DROPOUT = 0.01, 0.01, 2.0, 0.5  # the strengths of the walk
CHUNK = 1000  # rows that are predicted at once
WARM_UP = 0.3  # of the steps of a schedule


@dataclass(frozen=True)
class Plan:
    """Images, the rows of each part, and the time: the same for every network.

    test: rows drawn from the pool, or None where the data set has test images of its own.
    first: the seed of the first split.
    """

    data: str
    train: int
    dev: int
    test: int | None
    epochs: int
    splits: int = 10
    first: int = 0

    @property
    def steps(self) -> int:
        """The steps of a run."""
        return self.epochs * -(-self.train // BATCH)

    @property
    def seeds(self) -> range:
        """The seeds of the splits."""
        return range(self.first, self.first + self.splits)


DIGITS = Plan("mnist_5k", 1000, 1000, 2000, epochs=20)
FASHION = Plan("fashion_mnist", 50_000, 10_000, None, epochs=1)


class Images(NamedTuple):
    """All images of a data set, (n, 784) from 0 to 1, their classes, and which may be drawn."""

    x: np.ndarray
    y: np.ndarray
    pool: int  # the first so many rows; the others are test images


class Rows(NamedTuple):
    """The row numbers of each part, one line for each run."""

    train: np.ndarray
    dev: np.ndarray
    test: np.ndarray


class Arm(NamedTuple):
    """A network and what is done to it; strengths of 0 (or None) switch off.

    width: hidden units, 0 for none. relu: whether they have an activation. schedule: whether the
    rate warms up and falls to 0. tuned: what the strength of a setting replaces: "l2", "activity",
    "dropout" or nothing; for "all" it is a factor of the strengths that the arm has.
    """

    width: int = 64
    relu: bool = True
    l2: float = 0.0
    activity: float = 0.0
    norm: float | None = None
    dropout: float = 0.0
    schedule: bool = False
    tuned: str = ""


CLOTHES = (
    "T-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

# The walk, step by step, as the tutorials print it: without an activation.
WALK = {
    "softmax": Arm(0),
    "64 linear units": Arm(relu=False),
    "+ L2 and activity L1": Arm(relu=False, l2=L2, activity=ACTIVITY),
    "+ max-norm": Arm(relu=False, l2=L2, activity=ACTIVITY, norm=NORM),
    "+ dropout": Arm(relu=False, l2=L2, activity=ACTIVITY, norm=NORM, dropout=DROPOUT),
}
# The same with the activation that the walk forgot, and each ingredient alone.
PARTS = {
    "64 ReLU": Arm(),
    "L2": Arm(l2=L2),
    "activity L1": Arm(activity=ACTIVITY),
    "max-norm": Arm(norm=NORM),
    "dropout": Arm(dropout=DROPOUT),
    "all four": Arm(l2=L2, activity=ACTIVITY, norm=NORM, dropout=DROPOUT),
}
TUNED = {
    "64 ReLU, constant rate": Arm(),
    "64 ReLU, schedule": Arm(schedule=True),
    "128 ReLU, schedule": Arm(128, schedule=True),
    "with L2": Arm(128, schedule=True, tuned="l2"),
    "with activity L1": Arm(128, schedule=True, tuned="activity"),
    "with dropout": Arm(128, schedule=True, tuned="dropout"),
    "64 ReLU, a share of all four": PARTS["all four"]._replace(schedule=True, tuned="all"),
}


def images_of(plan: Plan) -> Images:
    """Return the images of a plan. Raises `regbook.data.DataError` where there are none."""
    if plan.data != "fashion_mnist":
        x, y = load(plan.data)
        return Images(x.reshape(len(x), -1).astype(np.float32), y, len(y))
    x_train, y_train, x_test, y_test = fashion_mnist()
    x = np.concatenate([x_train, x_test]).reshape(-1, 784).astype(np.float32) / 255
    return Images(x, np.concatenate([y_train, y_test]).astype(np.int64), len(y_train))


def rows_of(plan: Plan, images: Images, seeds: Sequence[int]) -> Rows:
    """Return the rows of the splits that the seeds draw."""
    parts = []
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(images.pool)
        cuts = np.cumsum([plan.train, plan.dev, plan.test or 0])
        train, dev, test, _ = np.split(order, cuts)
        parts.append((train, dev, test if plan.test else np.arange(images.pool, len(images.y))))
    return Rows(*map(np.stack, zip(*parts, strict=True)))


def _network(arm: Arm, x: "torch.Tensor") -> "type[nn.Module]":
    """Return the class of an arm's networks, which take numbers of rows of x."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = [x.shape[1], arm.width, 10] if arm.width else [x.shape[1], 10]
            self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
            for layer in self.layers:
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

        def hidden(self, rows):
            h = self.layers[0](x[rows])
            return torch.relu(h) if arm.relu else h

        def output(self, h, rate):
            if self.training:
                h = h * (torch.rand_like(h) >= rate) / (1 - rate)
            return self.layers[-1](h)

        def forward(self, rows):
            if not arm.width:
                return self.layers[0](x[rows])
            return self.output(self.hidden(rows), 0.0)

    return Network


def _loss(arm: Arm) -> Callable:
    """Return the loss of a batch with the penalties of an arm, as Keras counts them."""
    import torch.nn.functional as F

    def loss(net, rows, y, strength=0.0):
        given = {name: getattr(arm, name) for name in ("l2", "activity", "dropout")}
        if arm.tuned == "all":
            given = {name: strength * value for name, value in given.items()}
        elif arm.tuned:
            given[arm.tuned] = strength
        if not arm.width:
            return F.cross_entropy(net(rows), y)
        h = net.hidden(rows)
        penalty = given["l2"] * (net.layers[0].weight ** 2).sum()
        penalty = penalty + given["activity"] * h.abs().sum(dim=1).mean()
        return F.cross_entropy(net.output(h, given["dropout"]), y) + penalty

    return loss


def _optimizer(arm: Arm, steps: int, rate: float) -> Callable:
    """Return what makes an Adam with Keras's epsilon, a schedule and a constraint."""
    import torch

    def factor(step):
        warm = WARM_UP * steps
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.5 * (1 + np.cos(np.pi * min(1, (step - warm) / (steps - warm))))

    def make(named):
        adam = torch.optim.Adam([p for _, p in named], lr=rate, eps=1e-7)
        if arm.schedule:
            schedule = torch.optim.lr_scheduler.LambdaLR(adam, factor)
            adam.register_step_post_hook(lambda *_: schedule.step())
        if arm.norm is not None:
            kernel = dict(named)["layers.0.weight"]

            def project(*_):
                with torch.no_grad():  # the weights that enter a unit, as Keras's axis=0
                    norms = kernel.norm(dim=-1, keepdim=True)
                    kernel.mul_(arm.norm / norms.clamp(min=arm.norm))

            adam.register_step_post_hook(project)
        return adam

    return make


class _Chunked(Runs):
    """Runs that predict some rows at a time, because each run looks up images of its own."""

    def predict(self, x, training=False):
        parts = np.array_split(np.asarray(x), -(-np.shape(x)[1] // CHUNK), axis=1)
        return np.concatenate([super(_Chunked, self).predict(p, training) for p in parts], axis=1)


@dataclass(frozen=True)
class Fitted:
    """Runs of one arm, with their rows: after the last epoch, and at their best dev epoch."""

    last: Runs
    best: Runs
    dev: np.ndarray
    rows: Rows
    images: Images

    def probabilities(self, stopped: bool = False) -> np.ndarray:
        """Return those of the test rows, shape (runs, rows, 10)."""
        runs = self.best if stopped else self.last
        return softmax(runs.predict(self.rows.test).astype(np.float64))

    @property
    def y_test(self) -> np.ndarray:
        """The classes of the test rows, shape (runs, rows)."""
        return self.images.y[self.rows.test]

    def scores(self, stopped: bool = False) -> dict[str, np.ndarray]:
        """Return accuracy and ECE (points) and NLL (nats) on test rows, each of shape (runs,)."""
        p, y = self.probabilities(stopped), self.y_test
        return {
            "test": 100 * (p.argmax(-1) == y).mean(1),
            "nll": negative_log_likelihood(p, y),
            "ece": 100 * expected_calibration_error(p, y),
        }

    def confusion(self, stopped: bool = False) -> np.ndarray:
        """Return the counts by true and predicted class of each run: shape (runs, 10, 10)."""
        y, guess = self.y_test, self.probabilities(stopped).argmax(-1)
        found = np.zeros((len(y), 10, 10), dtype=int)
        np.add.at(found, (np.arange(len(y))[:, None], y, guess), 1)
        return found

    def norms(self) -> np.ndarray:
        """Return the norm of the weights that enter each unit of the first layer: (runs, units)."""
        return self.last.parameters["layers.0.weight"].norm(dim=-1).numpy(force=True)


def _by_setting(arm, settings):
    """Return the optimizer's rate, and what `train_seeds` needs for settings of each run."""
    if settings is None:
        return RATE, {}
    rates = [setting["rate"] for setting in settings]
    strengths = [next((v for k, v in s.items() if k != "rate"), 0.0) for s in settings]
    if arm.norm is None:
        return 1.0, {"rates": rates, "strengths": strengths}
    if len(set(rates)) > 1:
        raise ValueError("under a constraint, train the runs of each rate by themselves")
    return rates[0], {"strengths": strengths}


def fit(
    arm: Arm,
    plan: Plan,
    images: Images,
    seeds: Sequence[int],
    settings: Sequence[Mapping[str, float]] | None = None,
    after_epoch: Callable[[int, Runs], object] | None = None,
    split: int | None = None,
) -> Fitted:
    """Train an arm on the splits of the seeds, side by side.

    settings: one for each seed, and the best epoch is chosen on dev rows; without them the rate is
    that of the walk, and `best` is `last`. after_epoch: as in `train_seeds`. split: the seed of one
    split for all runs, which then differ in their starts and batches alone.

    Raises ValueError for different rates under a constraint, which acts on whole steps.
    """
    import torch

    x = torch.from_numpy(images.x)
    rows = rows_of(plan, images, seeds if split is None else [split] * len(seeds))
    best = BestEpoch(rows.dev, images.y[rows.dev])

    def look(epoch, runs):
        if settings is not None:
            best(epoch, _Chunked(runs.template, runs.parameters, runs.buffers))
        if after_epoch:
            after_epoch(epoch, runs)

    rate, options = _by_setting(arm, settings)
    runs = train_seeds(
        _network(arm, x), _loss(arm), rows.train, images.y[rows.train],
        optimizer=_optimizer(arm, plan.steps, rate),
        epochs=plan.epochs, batch_size=BATCH, after_epoch=look, seeds=seeds, **options,
    )  # fmt: skip
    last = _Chunked(runs.template, runs.parameters, runs.buffers)
    if settings is None:
        best(0, last)
    return Fitted(last, best.runs, best.dev, rows, images)


TUNING_SEEDS = 3
Grid = dict[str, list[float]]


def _grids(low: float, rates: list[float], **strengths: list[float]) -> dict[str, Grid]:
    """Return twelve settings for every tuned arm: twelve rates, or four rates and three strengths.

    low: the lowest of the twelve rates; the highest is a hundred times as large.
    """
    plain = {"rate": list(np.geomspace(low, 100 * low, 12).round(6))}
    both = {name: {"rate": rates, "strength": values} for name, values in strengths.items()}
    return {
        "64 ReLU, constant rate": plain,
        "64 ReLU, schedule": plain,
        "128 ReLU, schedule": plain,
        "with L2": both["l2"],
        "with activity L1": both["activity"],
        "with dropout": both["dropout"],
        "64 ReLU, a share of all four": both["share"] | {"rate": [2 * rate for rate in rates]},
    }


# By data set. No value at an end of its list won, unless it is a strength of 0.
GRIDS = {
    "fashion_mnist": _grids(
        3e-4,
        [1e-3, 2e-3, 4e-3, 8e-3],
        l2=[1e-5, 1e-4, 1e-3],
        activity=[1e-4, 1e-3, 1e-2],
        dropout=[0.0, 0.1, 0.3],
        share=[0.0, 0.01, 0.1],
    ),
    "mnist_5k": _grids(
        1e-3,
        [3e-3, 8e-3, 2e-2, 5e-2],
        l2=[1e-4, 1e-3, 1e-2],
        activity=[1e-3, 1e-2, 1e-1],
        dropout=[0.1, 0.3, 0.5],
        share=[0.01, 0.1, 1.0],
    ),
}


def choose(
    name: str, plan: Plan, images: Images
) -> tuple[dict[str, float], list[float], list[str]]:
    """Return the setting with the best mean dev accuracy, the means of all settings, and its edges.

    An edge is the name of a value at an end of its list, where a better one may lie beyond: beyond
    a strength of 0 there is none. The three tuning splits are not among those that the plan
    measures.
    """
    arm, grid = TUNED[name], GRIDS[plan.data][name]
    settings = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    seeds = [plan.first + plan.splits + i for i in range(TUNING_SEEDS)]
    # Side by side, unless a constraint wants the runs of each rate by themselves.
    groups = [settings]
    if arm.norm is not None:
        groups = [list(group) for _, group in groupby(settings, key=lambda s: s["rate"])]
    parts = []
    for group in groups:
        each = [setting for setting in group for _ in seeds]
        parts.append(fit(arm, plan, images, seeds * len(group), each).dev)
    found = np.concatenate(parts).reshape(len(settings), -1).mean(axis=1)
    best = settings[int(found.argmax())]
    ends = {key: {min(values), max(values)} - {0} for key, values in grid.items()}
    edges = [key for key, value in best.items() if value in ends[key]]
    return best, np.round(found, 3).tolist(), edges


def minus(scores: Mapping[str, np.ndarray], method: str, baseline: str) -> Interval:
    """Return the interval of a difference of scores, split by split."""
    return mean_interval(np.subtract(scores[method], scores[baseline]), "splits")
