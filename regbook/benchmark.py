"""Chapter 21's benchmark: one network, one budget of six settings, and every regularizer an arm.

`measure` is the experiment for one arm. Its second half, `final`, is what the pages of the chapter
repeat; the stored table (`benchmarks/regularizers.py`) has the rest. `compare` does the same with
rows of your own.

The network has two hidden layers of 64 units and takes 600 steps of Adam on batches of 50. Of every
arm six settings are trained on every split; the epoch, and then the setting, is the one with the
best accuracy on dev rows, the first of equals. The chosen setting is trained once more from a fresh
start, and that network, at its best dev epoch, is measured on the test rows.
"""

import functools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from regbook.arrays import softmax
from regbook.calibration import expected_calibration_error, negative_log_likelihood
from regbook.data import Split, load, split, stack
from regbook.sweep import BestEpoch, progress, train_seeds

if TYPE_CHECKING:
    import pandas as pd
    import torch

WIDTH = 64  # units of a hidden layer
BATCH, STEPS = 50, 600
LOOKS = 30  # at the dev rows
PASSES = 30  # of Monte-Carlo dropout
FRESH = 1000  # added to the seed of a split, for the start of its final fit


class Arm(NamedTuple):
    """A method with its six settings: every strength with every rate.

    strengths: of what the method does; where a second part stands in its name, that part has the
    strength `fixed`. images: whether it needs them.
    """

    strengths: tuple[float, ...] = (0.0,)
    rates: tuple[float, ...] = (1e-3, 3e-3)
    fixed: float = 0.0
    images: bool = False

    @property
    def settings(self) -> list[tuple[float, float]]:
        """The pairs (rate, strength), the weakest first."""
        return [(rate, strength) for strength in self.strengths for rate in self.rates]


SIX = (3e-4, 6e-4, 1e-3, 2e-3, 3e-3, 6e-3)

# The grids come from a few runs on splits 100 to 107 of the digits, 300 rows, 20 % wrong labels.
ARMS = {
    "none": Arm(rates=SIX),
    "L2": Arm((3e-3, 1e-2, 3e-2)),
    "AdamW": Arm((1.0, 3.0, 5.0)),
    "L1": Arm((1e-3, 4e-3, 1e-2)),
    "elastic net": Arm((1e-3, 3e-3, 6e-3)),  # of both parts
    "activity L1": Arm((3e-3, 1e-2, 3e-2)),
    "max-norm": Arm((0.5, 0.75, 1.1)),
    "dropout": Arm((0.1, 0.3, 0.5)),
    "alpha dropout": Arm((0.1, 0.3, 0.5)),
    "augmentation": Arm((0.25, 0.5, 1.0), images=True),
    "label smoothing": Arm((0.1, 0.2, 0.4)),
    "DisturbLabel": Arm((0.1, 0.2, 0.4)),
    "batch norm": Arm(rates=SIX),
    "schedule": Arm((0.0, 1.0), (6e-4, 2e-3, 6e-3)),  # cosine, 1cycle
    "dropout + L2": Arm((0.1, 0.3, 0.5), fixed=3e-3),
    "dropout + max-norm": Arm((0.1, 0.3, 0.5), fixed=1.0),
    "dropout + augmentation": Arm((0.1, 0.25, 0.5), fixed=0.5, images=True),
}
BASELINE = "none"
MC = "MC dropout"  # the final networks of "dropout", with the mean of their passes


@dataclass(frozen=True)
class Plan:
    """One cell of the benchmark: the data, the rows of each part, the wrong labels, the splits.

    data: a name for `regbook.data.load`, or of a table of your own. The labels of train and dev
    rows are wrong alike with the chance `noise`; those of test rows are right. test: None for all
    rows that are left. first: the seed of the first split. width: units of a hidden layer. pace: a
    factor for the learning rates of every arm, since many inputs ask for lower ones.
    """

    data: str
    train: int
    dev: int
    test: int | None = None
    noise: float = 0.0
    splits: int = 10
    steps: int = STEPS
    first: int = 0
    width: int = WIDTH
    pace: float = 1.0

    def settings(self, arm: str) -> list[tuple[float, float]]:
        """Return the six settings of an arm here, as pairs (rate, strength)."""
        return [(rate * self.pace, strength) for rate, strength in ARMS[arm].settings]

    @property
    def epochs(self) -> int:
        """The epochs that come nearest to the steps."""
        return max(1, round(self.steps / math.ceil(self.train / BATCH)))

    @property
    def seeds(self) -> range:
        """The seeds of the splits."""
        return range(self.first, self.first + self.splits)

    def cut(self, x: ArrayLike, y: ArrayLike) -> Split:
        """Return the splits, stacked. Columns are scaled by the train rows, images as a whole."""
        x = np.asarray(x, np.float32)
        return stack([self._one(x, y, seed) for seed in self.seeds])

    def _one(self, x, y, seed):
        one = split(
            x, y, train=self.train, dev=self.dev, test=self.test, seed=seed,
            label_noise=self.noise, standardize=x.ndim == 2,
        )  # fmt: skip
        if x.ndim == 2:
            return one
        mean, deviation = one.x_train.mean(), one.x_train.std()
        return Split(
            **{k: (v - mean) / deviation if k[0] == "x" else v for k, v in vars(one).items()}
        )


PRIMARY = "digits 300 20"
CELLS = {
    PRIMARY: Plan("digits", 300, dev=300, noise=0.2, splits=20),
    "digits 300 0": Plan("digits", 300, dev=300),
    "digits 300 40": Plan("digits", 300, dev=300, noise=0.4),
    "digits 100 0": Plan("digits", 100, dev=100),
    "digits 100 20": Plan("digits", 100, dev=100, noise=0.2),
    "digits 100 40": Plan("digits", 100, dev=100, noise=0.4),
    "digits 1000 0": Plan("digits", 1000, dev=300),
    "digits 1000 20": Plan("digits", 1000, dev=300, noise=0.2),
    "digits 1000 40": Plan("digits", 1000, dev=300, noise=0.4),
    "digits 100 20 slow": Plan("digits", 100, dev=100, noise=0.2, pace=0.3),
    "digits 100 40 slow": Plan("digits", 100, dev=100, noise=0.4, pace=0.3),
    "digits 300 20 wide": Plan("digits", 300, dev=300, noise=0.2, width=256, pace=0.3),
    "digits 300 20 wide slow": Plan("digits", 300, dev=300, noise=0.2, width=256, pace=0.1),
    "breast_cancer 150 20": Plan("breast_cancer", 150, dev=150, noise=0.2, pace=0.3),
    "mnist_5k 300 20": Plan("mnist_5k", 300, dev=300, test=1000, noise=0.2, pace=0.3),
}
"""The cells that are stored. Declared before anything ran: the primary comparisons are those of
every arm with the baseline, in accuracy, in the cell `PRIMARY`. All others are exploratory."""

_FIRST = ("none", "dropout + augmentation")
_TOP = (*_FIRST, "dropout + max-norm", "augmentation", "AdamW", "L2")
SOME = {
    "digits 100 20 slow": _FIRST,
    "digits 100 40 slow": _FIRST,
    "digits 300 20 wide": _TOP,
    "digits 300 20 wide slow": ("none",),
    "mnist_5k 300 20": _TOP,
}
"""The arms of the cells that are not measured in full: those at the top of the primary cell."""


def rows_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of a bundled data set, images as images."""
    x, y = load(name)
    return (x.reshape(-1, 8, 8) if name == "digits" else x), y


@functools.cache
def network() -> type:
    """Return the class `Network(inputs, classes, selu, norm, width)` of PyTorch."""
    import torch
    from torch import nn

    class Network(nn.Module):
        """Two hidden layers and an output; `rate` is that of dropout behind each hidden layer."""

        def __init__(self, inputs, classes, selu=False, norm=False, width=WIDTH):
            super().__init__()
            sizes, self.selu = [inputs, width, width, classes], selu
            self.layers = nn.ModuleList(map(nn.Linear, sizes[:-1], sizes[1:]))
            self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(2 * norm))
            for layer in self.layers:
                gain = 1 if selu or layer is self.layers[-1] else math.sqrt(2)
                nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.in_features))
                nn.init.zeros_(layer.bias)

        def forward(self, x, rate=None, shown=None):
            h = x.flatten(1)
            *hidden, output = self.layers
            for i, layer in enumerate(hidden):
                h = self.norms[i](layer(h)) if self.norms else layer(h)
                h = torch.selu(h) if self.selu else torch.relu(h)
                if shown is not None:
                    shown.append(h)
                if rate is not None:
                    h = _alpha_dropped(h, rate) if self.selu else _dropped(h, rate)
            return output(h)

    return Network


def _dropped(h, rate):
    import torch

    return h * (torch.rand_like(h) >= rate) / (1 - rate)


def _alpha_dropped(h, rate):
    """Return alpha dropout: what is dropped gets SELU's lowest value; mean and variance stay."""
    import torch

    low = -1.7580993408473766
    kept = torch.rand_like(h) >= rate
    scale = ((1 - rate) * (1 + rate * low**2)).rsqrt()
    return scale * (torch.where(kept, h, low) - rate * low)


def warped(x: "torch.Tensor", strength: "float | torch.Tensor") -> "torch.Tensor":
    """Return images, shape (rows, height, width), each turned and moved at random.

    At strength 1 by up to 15 degrees and an eighth of the side. The darkest value comes in.
    """
    import torch
    import torch.nn.functional as F

    angle, right, down = strength * (2 * torch.rand(3, len(x), 1, 1) - 1)
    angle, low = math.radians(15) * angle, x.amin()
    row, column = ((torch.arange(n) + 0.5) * 2 / n - 1 for n in x.shape[1:])
    row, column = row[:, None], column[None, :]
    place = [
        angle.cos() * column - angle.sin() * row + right / 4,
        angle.sin() * column + angle.cos() * row + down / 4,
    ]
    source = torch.stack(torch.broadcast_tensors(*place), dim=-1)
    return F.grid_sample((x - low)[:, None], source, align_corners=False)[:, 0] + low


def _error(net, x, y, rate=None):
    import torch.nn.functional as F

    return F.cross_entropy(net(x, rate), y)


def _size(net, power):
    return sum((layer.weight.abs() ** power).sum() for layer in net.layers)


def _activity(net, x, y, strength):
    import torch.nn.functional as F

    shown = []
    error = F.cross_entropy(net(x, shown=shown), y)
    return error + strength * sum(h.abs().sum(1).mean() for h in shown)


def _smoothed(net, x, y, strength):
    import torch.nn.functional as F

    logits = net(x)
    spread = -F.log_softmax(logits, dim=1).mean()
    return (1 - strength) * F.cross_entropy(logits, y) + strength * spread


def _disturbed(net, x, y, strength):
    import torch
    import torch.nn.functional as F

    logits = net(x)
    other = torch.randint_like(y, logits.shape[1])
    return F.cross_entropy(logits, torch.where(torch.rand(len(y)) < strength, other, y))


def loss_of(arm: str) -> "Callable[..., torch.Tensor]":
    """Return `loss(net, x, y, strength)` of an arm."""
    fixed = ARMS[arm].fixed
    losses = {
        "L2": lambda net, x, y, s: _error(net, x, y) + s * _size(net, 2),
        "L1": lambda net, x, y, s: _error(net, x, y) + s * _size(net, 1),
        "elastic net": lambda net, x, y, s: _error(net, x, y) + s * (_size(net, 1) + _size(net, 2)),
        "activity L1": _activity,
        "augmentation": lambda net, x, y, s: _error(net, warped(x, s), y),
        "label smoothing": _smoothed,
        "DisturbLabel": _disturbed,
        "dropout + L2": lambda net, x, y, s: _error(net, x, y, s) + fixed * _size(net, 2),
        "dropout + augmentation": lambda net, x, y, s: _error(net, warped(x, fixed), y, s),
    }
    plain = _error if "dropout" in arm else lambda net, x, y, _: _error(net, x, y)
    return losses.get(arm, plain)


def _share(step, steps, one_cycle):
    """Return the share of its rate that a run takes in a step: of 1cycle or of a cosine."""
    done = step / steps
    if not one_cycle:
        return (1 + math.cos(math.pi * done)) / 2
    return (
        0.04 + 0.96 * done / 0.3 if done < 0.3 else (1 + math.cos(math.pi * (done - 0.3) / 0.7)) / 2
    )


def _optimizer(arm, rates, strengths, steps):
    """Return what makes Adam with a rate, a decay, a limit and a schedule for each run."""
    import torch

    kind = torch.get_default_dtype()
    rates, strengths = (torch.as_tensor(v, dtype=kind) for v in (rates, strengths))
    limits = {"max-norm": strengths, "dropout + max-norm": torch.full_like(rates, ARMS[arm].fixed)}
    limit = limits.get(arm)

    def rates_at(step):
        if arm != "schedule":
            return rates
        return rates * torch.where(
            strengths == 1, _share(step, steps, True), _share(step, steps, False)
        )

    def make(named):
        parameters = [p for _, p in named]
        adam, before, step = torch.optim.Adam(parameters, lr=1), [], iter(range(steps))

        def remember(*_):
            before[:] = [p.detach().clone() for p in parameters]

        @torch.no_grad()
        def finish(*_):  # as far as the run's rate goes; then decay and limit, of kernels
            now = rates_at(next(step))
            for p, old in zip(parameters, before, strict=True):
                each = now.view(-1, *[1] * (p.ndim - 1))
                p.copy_(torch.lerp(old, p, each))
                if arm == "AdamW" and p.ndim == 3:
                    p.sub_(each * strengths.view(-1, 1, 1) * old)
                if limit is not None and p.ndim == 3:
                    norm = torch.linalg.vector_norm(p, dim=-1, keepdim=True)
                    p.mul_((limit.view(-1, 1, 1) / norm).clamp(max=1))

        adam.register_step_pre_hook(remember)
        adam.register_step_post_hook(finish)
        return adam

    return make


def fit(
    arm: str,
    own: Split,
    settings: ArrayLike,
    seeds: Sequence[int],
    plan: Plan,
    passes: int = 1,
) -> dict[str, np.ndarray]:
    """Train one run for each split of `own`, side by side; return what was measured of each.

    own: stacked, of shape (runs, rows, ...). settings, seeds: one of each run. plan: its epochs and
    its width count. Of the epoch with
    the best accuracy on dev rows, the first of equals, the dict has the arrays "epoch", "dev" and
    "right" (rows that are classified rightly, of dev and of test), "nll" (nats) and "ece" (points)
    on test rows, and "last": the right test rows after the last epoch. With passes above 1,
    "mc right", "mc nll" and "mc ece" are those of the mean of so many passes with dropout.
    """
    inputs = math.prod(own.x_train.shape[2:])
    classes = int(max(y.max() for y in (own.y_train, own.y_dev, own.y_test))) + 1
    rates, strengths = np.transpose(settings)
    epochs = plan.epochs
    steps = epochs * math.ceil(own.y_train.shape[1] / BATCH)
    best, chosen = BestEpoch(own.x_dev, own.y_dev), np.zeros(len(seeds), int)
    look = _looking(best, chosen, max(1, epochs // LOOKS))
    last = train_seeds(
        lambda: network()(
            inputs, classes, arm == "alpha dropout", arm == "batch norm", plan.width
        ),
        loss_of(arm), own.x_train, own.y_train, epochs=epochs, batch_size=BATCH, after_epoch=look,
        optimizer=_optimizer(arm, rates, strengths, steps), seeds=seeds, strengths=strengths,
    )  # fmt: skip
    found = _scores(softmax(best.runs.predict(own.x_test).astype(np.float64)), own)
    found["dev"] = np.rint(best.dev / 100 * own.y_dev.shape[1]).astype(int)
    found["last"] = (last.predict(own.x_test).argmax(-1) == own.y_test).sum(1)
    found["epoch"] = chosen
    if passes > 1:
        several = _scores(_averaged(best.runs, own.x_test, strengths, passes), own)
        found |= {f"mc {name}": value for name, value in several.items()}
    return found


def _looking(best, chosen, every):
    """Return an `after_epoch` that looks at the dev rows now and then, and notes the best epoch."""

    def look(epoch, runs):
        if (epoch + 1) % every == 0:
            before = -np.inf if epoch < every else best.dev
            best(epoch // every, runs)
            chosen[best.dev > before] = epoch + 1

    return look


def _scores(p, own):
    return {
        "right": (p.argmax(-1) == own.y_test).sum(1),
        "nll": negative_log_likelihood(p, own.y_test),
        "ece": 100 * expected_calibration_error(p, own.y_test),
    }


def _averaged(runs, x, rates, passes):
    """Return the mean of the probabilities over some passes with dropout."""
    import torch

    def forward(parameters, rows, rate):
        return torch.func.functional_call(runs.template, parameters, (rows, rate)).softmax(1)

    given = runs.parameters, torch.as_tensor(x), torch.as_tensor(rates, dtype=torch.float32)
    with torch.no_grad():
        each = (torch.vmap(forward, randomness="different")(*given) for _ in range(passes))
        return (sum(each) / passes).numpy().astype(np.float64)


def _tiled(splits, times):
    return Split(**{name: np.concatenate([rows] * times) for name, rows in vars(splits).items()})


def search(arm: str, splits: Split, plan: Plan) -> dict[str, np.ndarray]:
    """Return what `fit` measures of all six settings: arrays of shape (settings, splits)."""
    settings, seeds = plan.settings(arm), plan.seeds
    own, each = _tiled(splits, len(settings)), np.tile(seeds, len(settings))
    found = fit(arm, own, np.repeat(settings, len(seeds), axis=0), each.tolist(), plan)
    return {name: values.reshape(len(settings), -1) for name, values in found.items()}


def final(arm: str, splits: Split, plan: Plan, choice: Sequence[int]) -> dict[str, np.ndarray]:
    """Train the chosen setting of every split from a fresh start: arrays of shape (splits,).

    choice: a place in `plan.settings(arm)` for each split. Equal choices give equal numbers.
    """
    settings = [plan.settings(arm)[place] for place in choice]
    seeds = [FRESH + seed for seed in plan.seeds]
    return fit(arm, splits, settings, seeds, plan, PASSES if arm == "dropout" else 1)


def measure(arm: str, x: ArrayLike, y: ArrayLike, plan: Plan) -> dict[str, Any]:
    """Search and fit one arm; return lists of numbers that JSON can hold, and the seconds of a run.

    The keys are "choice", the keys of `final`, "search", which has three of those of `search`, and
    "seconds": of processor time for one run of the search, one thread.
    """
    splits, start = plan.cut(x, y), time.process_time()
    tried = search(arm, splits, plan)
    seconds = (time.process_time() - start) / tried["dev"].size
    choice = tried["dev"].argmax(axis=0)
    found = {"choice": choice, **final(arm, splits, plan, choice)}
    found["search"] = {name: tried[name] for name in ("dev", "right", "last")}
    return {"seconds": round(seconds, 4), **_plain(found)}


def _plain(value):
    """Return arrays, also those in a dict, as lists of numbers with three decimals at most."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    whole = value.dtype.kind in "iu"
    return value.tolist() if whole else np.round(value, 3).tolist()


def frame(arms: Mapping[str, Mapping[str, Any]], test_rows: int, first: int = 0) -> "pd.DataFrame":
    """Return the results of one cell as `regbook.claims.paired` takes them.

    arms: what `measure` returned, by arm. test_rows: their number in one split. The frame has the
    columns method, seed, test (accuracy in percent), nll, ece and epoch; "MC dropout" is a method.
    """
    import pandas as pd

    parts = []
    for arm, found in arms.items():
        for method, mark in {arm: "", **({MC: "mc "} if "mc right" in found else {})}.items():
            part = {name: found[mark + name] for name in ("right", "nll", "ece")}
            part |= {"method": method, "epoch": found["epoch"]}
            parts.append(pd.DataFrame(part).rename_axis("seed").reset_index())
    table = pd.concat(parts, ignore_index=True)
    table["seed"] += first
    table["test"] = 100 * table["right"] / test_rows
    return table[["method", "seed", "test", "nll", "ece", "epoch"]]


def rows_checked(x: ArrayLike, y: ArrayLike, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Return x as float32 and y as class numbers. Raises ValueError, with a sentence."""
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim not in (2, 3) or len(x) != len(y) or x.dtype.kind not in "fiub":
        raise ValueError(
            "x must hold numbers, of shape (rows, columns) or (rows, height, width), and y one "
            f"class for each row; got shapes {x.shape} and {y.shape}"
        )
    if not np.isfinite(x).all():
        raise ValueError("x has missing values or infinite ones: fill or drop them first")
    names, labels = np.unique(y, return_inverse=True)
    if not 2 <= len(names) <= len(y) // 5:
        raise ValueError(
            f"y has {len(names)} different values in {len(y)} rows: expected a few classes"
        )
    needed = plan.train + plan.dev + (plan.test or 1)
    if needed > len(x):
        raise ValueError(f"{len(x)} rows are fewer than the {needed} that the plan asks for")
    return x.astype(np.float32), labels


def arms_for(x: np.ndarray) -> list[str]:
    """Return the arms that these rows allow: augmentation needs images."""
    return [name for name, arm in ARMS.items() if x.ndim == 3 or not arm.images]


def compare(
    x: ArrayLike, y: ArrayLike, plan: Plan, arms: Iterable[str] | None = None
) -> "pd.DataFrame":
    """Measure arms on rows of your own; return the frame that `regbook.claims.paired` takes.

    x: numbers of shape (rows, columns), or images of shape (rows, height, width). y: the classes,
    numbers or texts. arms: names of `ARMS`; all that x allows unless given. For example
    `paired(compare(x, y, Plan("mine", train=300, dev=300)), "test", "dropout", "none", "splits")`.
    Raises ValueError, with a sentence, for rows or names that do not fit.
    """
    x, y = rows_checked(x, y, plan)
    chosen = arms_checked(arms, x)
    found = {arm: measure(arm, x, y, plan) for arm in progress(chosen, "arms")}
    return frame(found, plan.test or len(x) - plan.train - plan.dev, plan.first)


def arms_checked(arms: Iterable[str] | None, x: np.ndarray) -> list[str]:
    """Return the names of the arms to measure. Raises ValueError for one that is not possible."""
    possible = arms_for(x)
    chosen = possible if arms is None else list(arms)
    wrong = [name for name in chosen if name not in possible]
    if wrong:
        raise ValueError(f"no arm {', '.join(wrong)} here; there are: {', '.join(possible)}")
    return chosen
