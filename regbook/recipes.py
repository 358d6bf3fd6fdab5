"""The recipes of chapter 22 as settings: one network that is trained as its recipe says.

The stored table `benchmarks/results/recipes.json` and the pages share this module, so that a page
can repeat a part of the table.
"""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from regbook.data import Split

if TYPE_CHECKING:
    import torch
    from torch import nn

    from regbook.sweep import Runs

ALPHA = -1.7580993408473766  # what SELU gives far to the left: alpha dropout's value of a lost unit


@dataclass(frozen=True)
class Recipe:
    """How a dense network is built and trained.

    init: "He", "LeCun", "Glorot" or "PyTorch" (the default of `nn.Linear`). activation: "relu",
    "elu" or "selu". norm: batch norm before the activation. optimizer: "momentum", "sgd", "adam"
    or "nadam". schedule: "1cycle" or "constant". extra: "", "l2", "dropout" or "alpha dropout",
    whose strength is tuned. scaled: whether the inputs are scaled. stop: whether the best epoch on
    dev counts, or the last one.
    """

    init: str = "Glorot"
    activation: str = "relu"
    norm: bool = False
    optimizer: str = "adam"
    schedule: str = "constant"
    extra: str = ""
    scaled: bool = True
    stop: bool = True


PLAIN = Recipe()
SELF_NORMALIZING = Recipe("LeCun", "selu", False, "momentum", "1cycle", "alpha dropout")


def default(depth: int) -> Recipe:
    """Return the default recipe for a number of hidden layers: batch norm where it is deep."""
    return Recipe("He", "elu", depth > 3, "momentum", "1cycle")


def variants(depth: int) -> dict[str, Recipe]:
    """Return every recipe of the stored table by name; ReLU is given plain dropout, not alpha's."""
    base = default(depth)
    dropped = replace(base, extra="dropout")
    return {
        "default": base,
        "default, Glorot": replace(base, init="Glorot"),
        "default, PyTorch's start": replace(base, init="PyTorch"),
        "default, ReLU": replace(base, activation="relu"),
        "default, other norm": replace(base, norm=not base.norm),
        "default, Adam": replace(base, optimizer="adam"),
        "default, Nadam": replace(base, optimizer="nadam"),
        "default, no momentum": replace(base, optimizer="sgd"),
        "default, constant rate": replace(base, schedule="constant"),
        "default, last epoch": replace(base, stop=False),
        "default, L2": replace(base, extra="l2"),
        "default, dropout": dropped,
        "default, dropout, PyTorch's start": replace(dropped, init="PyTorch"),
        "default, dropout, ReLU": replace(dropped, activation="relu"),
        "default, dropout, other norm": replace(dropped, norm=not base.norm),
        **_others(SELF_NORMALIZING, PLAIN),
    }


def _others(own, plain):
    """Return the variants that are the same at every depth."""
    return {
        "self-normalizing": own,
        "self-normalizing, no dropout": replace(own, extra=""),
        "self-normalizing, plain dropout": replace(own, extra="dropout"),
        "self-normalizing, He": replace(own, init="He"),
        "self-normalizing, ReLU": replace(own, activation="relu", extra="dropout"),
        "self-normalizing, batch norm": replace(own, norm=True),
        "self-normalizing, raw inputs": replace(own, scaled=False),
        "self-normalizing, constant rate": replace(own, schedule="constant"),
        "self-normalizing, last epoch": replace(own, stop=False),
        "plain": plain,
        "plain, He": replace(plain, init="He"),
        "plain, ELU": replace(plain, activation="elu"),
        "plain, batch norm": replace(plain, norm=True),
        "plain, momentum": replace(plain, optimizer="momentum"),
        "plain, 1cycle": replace(plain, schedule="1cycle"),
        "plain, last epoch": replace(plain, stop=False),
        "plain, L2": replace(plain, extra="l2"),
        "plain, dropout": replace(plain, extra="dropout"),
        "plain, LeCun": replace(plain, init="LeCun"),
        "plain, SELU": replace(plain, activation="selu"),
        "plain, raw inputs": replace(plain, scaled=False),
    }


def network(recipe: Recipe, inputs: int, depth: int, units: int, classes: int = 10) -> "nn.Module":
    """Return a fresh dense network in PyTorch; its `forward(x, strength=0)` takes a strength."""
    return _network_class()(recipe, inputs, depth, units, classes)


@functools.cache
def _network_class():
    """Return the class of the networks, one for all: copies of a network must be of one class."""
    import torch
    from torch import nn

    class Network(nn.Module):
        """Hidden layers of one size and a linear output, started as the recipe says."""

        def __init__(self, recipe, inputs, depth, units, classes):
            super().__init__()
            self.recipe, self.act = recipe, getattr(torch.nn.functional, recipe.activation)
            sizes, ends = [inputs] + [units] * depth, [units] * depth + [classes]
            bias = [not recipe.norm] * depth + [True]
            self.layers = nn.ModuleList(map(nn.Linear, sizes, ends, bias))
            norms = (nn.BatchNorm1d(units) if recipe.norm else nn.Identity() for _ in range(depth))
            self.norms = nn.ModuleList(norms)
            for place, layer in enumerate(self.layers):
                _start(layer, recipe.init if place < depth else _output(recipe.init))

        def forward(self, x, strength=0.0):
            h, extra = x.flatten(1), self.recipe.extra
            for layer, norm in zip(self.layers, self.norms, strict=False):
                h = self.act(norm(layer(h)))
                if self.training and extra.endswith("dropout"):
                    h = _dropped(h, strength, ALPHA if "alpha" in extra else 0.0)
            return self.layers[-1](h)

    return Network


def _output(init):
    """Return how the output layer starts: no ReLU follows it, so He's factor 2 is not due."""
    return "Glorot" if init == "He" else init


def _start(layer, init):
    """Draw the weights of a layer; biases start at zero, but for PyTorch's own start."""
    from torch import nn

    if init == "PyTorch":
        return
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if init == "Glorot":
        nn.init.xavier_uniform_(layer.weight)
    else:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu" if init == "He" else "linear")


def _dropped(h, rate, value):
    """Set units to `value` at random, then restore mean and variance for inputs with 0 and 1."""
    import torch

    kept = (torch.rand_like(h) >= rate).to(h.dtype)
    if value == 0:
        return h * kept / (1 - rate)
    scale = ((1 - rate) * (1 + rate * value**2)) ** -0.5
    return scale * (h * kept + value * (1 - kept)) - scale * value * rate


def loss(
    recipe: Recipe, net: "nn.Module", x: "torch.Tensor", y: "torch.Tensor", strength: float
) -> "torch.Tensor":
    """Return the loss of one batch, as `regbook.sweep.train_seeds` calls it."""
    from torch.nn import functional

    if recipe.extra != "l2":
        return functional.cross_entropy(net(x, strength), y)
    squares = sum((layer.weight**2).sum() for layer in net.layers)
    return functional.cross_entropy(net(x), y) + strength * squares


def optimizer(recipe: Recipe, named: list, steps: int) -> "torch.optim.Optimizer":
    """Return the optimizer with the rate 1 at the peak of its schedule over `steps` steps."""
    import torch

    parameters = [parameter for _, parameter in named]
    kinds = {
        "momentum": lambda p: torch.optim.SGD(p, lr=1, momentum=0.9, fused=True),
        "sgd": lambda p: torch.optim.SGD(p, lr=1, fused=True),
        "adam": lambda p: torch.optim.Adam(p, lr=1, fused=True),
        "nadam": lambda p: torch.optim.NAdam(p, lr=1),
    }
    found = kinds[recipe.optimizer](parameters)
    if recipe.schedule == "1cycle":
        schedule = torch.optim.lr_scheduler.LambdaLR(found, lambda step: one_cycle(step, steps))
        found.register_step_post_hook(lambda *_: schedule.step())
    return found


def one_cycle(step: int, steps: int) -> float:
    """Return the rate of a step as a share of the peak, as PyTorch's `OneCycleLR` sets it."""
    top = 0.3 * steps - 1
    share = step / top if step < top else (step - top) / (steps - 1 - top)
    low = 1 / 25 if step < top else 1 / 250_000
    wave = (1 + math.cos(math.pi * (1 - share if step < top else min(share, 1)))) / 2
    return low + (1 - low) * wave


def train(
    recipe: Recipe,
    settings: Sequence[Mapping[str, float]],
    splits: Split,
    *,
    depth: int,
    units: int,
    epochs: int,
    batch_size: int = 50,
    seeds: Sequence[int] | None = None,
) -> tuple["Runs", np.ndarray]:
    """Train every setting on every split, side by side; return the runs and their dev accuracy.

    settings: a "rate" each, and a "strength" where the recipe has an extra. splits: stacked and
    scaled. seeds: of each split's start and batches. The runs are of the best epoch on dev, or of
    the last one where the recipe says so: all splits of the first setting, then of the next.
    """
    from regbook.sweep import BestEpoch, train_seeds

    count, many = len(splits.y_train), len(settings)
    each = np.tile(np.arange(count), many)
    x, y = splits.x_train[each], splits.y_train[each]
    best = BestEpoch(splits.x_dev[each], splits.y_dev[each])
    steps = epochs * math.ceil(x.shape[1] / batch_size)
    runs = train_seeds(
        lambda: network(recipe, math.prod(x.shape[2:]), depth, units),
        lambda *given: loss(recipe, *given),
        x,
        y,
        optimizer=lambda named: optimizer(recipe, named, steps),
        epochs=epochs,
        batch_size=batch_size,
        after_epoch=best if recipe.stop else None,
        seeds=[*(range(count) if seeds is None else seeds)] * many,
        rates=np.repeat([setting["rate"] for setting in settings], count),
        strengths=np.repeat([setting.get("strength", 0) for setting in settings], count),
    )
    if recipe.stop:
        return best.runs, best.dev.reshape(many, count)
    return runs, runs.accuracy(splits.x_dev[each], splits.y_dev[each]).reshape(many, count)


def scale(splits: Split) -> Split:
    """Scale all inputs of each split by the mean and the deviation of its training inputs."""
    axes = tuple(range(1, splits.x_train.ndim))
    mean = splits.x_train.mean(axis=axes, keepdims=True)
    sd = splits.x_train.std(axis=axes, keepdims=True)
    x_train, x_dev, x_test = (
        ((x - mean) / sd).astype(np.float32) for x in (splits.x_train, splits.x_dev, splits.x_test)
    )
    return replace(splits, x_train=x_train, x_dev=x_dev, x_test=x_test)


def grid(recipe: Recipe, shift: int = 0, stronger: int = 0) -> list[dict[str, Any]]:
    """Return the 12 settings that a recipe is tuned on: 12 rates, or 4 rates and 3 strengths.

    shift, stronger: moves the rates, or the strengths, by so many places.
    """
    middle = {"momentum": 0.06, "sgd": 0.4, "adam": 0.003, "nadam": 0.003}[recipe.optimizer]
    if not recipe.extra:
        return [{"rate": middle * 1.7 ** (place + shift)} for place in range(-6, 6)]
    first = {"l2": 0.0001, "dropout": 0.05, "alpha dropout": 0.025}[recipe.extra]
    factor = 10 if recipe.extra == "l2" else 2
    rates = [middle * 3.0 ** (place + shift) for place in range(-2, 2)]
    strengths = [first * factor ** (place + stronger) for place in range(3)]
    return [
        {"rate": rate, "strength": strength}
        for rate, strength in itertools.product(rates, strengths)
    ]
