"""A sweep: the same comparison over many seeds, without the cost of training one by one."""

import contextlib
import copy
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import nn


def progress(items: Iterable[Any], text: str) -> Iterable[Any]:
    """Wrap `items` in a progress bar that shows when the loop takes more than two seconds.

    There is none while the book is built (`REGBOOK_BUILD` is set).
    """
    from tqdm.auto import tqdm

    building = "REGBOOK_BUILD" in os.environ
    return tqdm(items, desc=text, delay=2, leave=False, disable=building)


def sweep(
    measure: Callable[..., Mapping[str, ArrayLike]], methods: Mapping[str, Mapping[str, Any]]
) -> "pd.DataFrame":
    """Measure every method on every seed; return a tidy pandas frame.

    measure: called as `measure(**settings)` once per method; returns a dict of metrics, each an
        array of shape (seeds,) whose i-th value belongs to the i-th seed.
    methods: the settings of each method by the method's name.

    The frame has one row per method and seed: the columns method, seed and one per metric.
    `regbook.claims.paired` takes it from there. Raises ValueError when the methods do not
    return the same number of seeds.
    """
    import pandas as pd

    frames = []
    for name, settings in progress(methods.items(), "methods"):
        frame = pd.DataFrame({k: np.asarray(v) for k, v in measure(**settings).items()})
        frames.append(frame.assign(method=name, seed=range(len(frame))))
    if len({len(frame) for frame in frames}) > 1:
        raise ValueError(
            "every method needs the same seeds, got "
            + ", ".join(f"{f.method.iloc[0]}: {len(f)}" for f in frames)
        )
    return pd.concat(frames, ignore_index=True).set_index(["method", "seed"]).reset_index()


def by_seed(frame: "pd.DataFrame", metric: str, methods: Iterable[str]) -> np.ndarray:
    """Return one metric of several methods as an array of shape (seeds, methods).

    frame: what `sweep` returns. `regbook.figures.band` draws the result.
    Raises KeyError for a method or metric that the sweep does not have.
    """
    table = frame.pivot(index="seed", columns="method", values=metric)
    return table[list(methods)].to_numpy()


def chosen_on_dev(
    frame: "pd.DataFrame", methods: Iterable[str], choose: str = "dev", report: str = "test"
) -> np.ndarray:
    """Return `report` of the method with the highest `choose`, seed by seed: shape (seeds,).

    This is how a strength must be chosen: each seed by its own dev rows, and never by the rows
    that the score is reported on. The first of equally good methods wins.
    """
    best = by_seed(frame, choose, methods).argmax(axis=1)
    return by_seed(frame, report, methods)[np.arange(len(best)), best]


@dataclass
class Runs:
    """Copies of one PyTorch model, trained side by side: one per seed.

    `parameters` and `buffers` hold every tensor of the model by name, stacked along a new
    first axis: a weight of shape (out, in) has shape (seeds, out, in) here.
    """

    template: "nn.Module"
    parameters: dict[str, "torch.Tensor"]
    buffers: dict[str, "torch.Tensor"]

    def predict(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """Return the outputs for `x` as an array of shape (seeds, rows, outputs).

        x: shape (seeds, rows, ...). training: False switches dropout off and lets batch norm
        use its running statistics; True does the opposite and still changes no statistic.
        """
        import torch

        self.template.train(training)
        buffers = {name: buffer.clone() for name, buffer in self.buffers.items()}

        def forward(parameters, buffers, rows):
            return torch.func.functional_call(self.template, (parameters, buffers), (rows,))

        with torch.no_grad():
            outputs = torch.vmap(forward, randomness="different")(
                self.parameters, buffers, torch.as_tensor(x)
            )
        return outputs.numpy()

    def accuracy(self, x: ArrayLike, y: ArrayLike, training: bool = False) -> np.ndarray:
        """Return the accuracy on each seed's rows, in percent: shape (seeds,)."""
        return _accuracy(self.predict(x, training), y)


def _accuracy(outputs, y):
    """Return how often the largest output is the label's, in percent: shape (seeds,)."""
    return 100 * (outputs.argmax(axis=-1) == np.asarray(y)).mean(axis=1)


class BestEpoch:
    """An `after_epoch` of `train_seeds` that keeps each run as it was at its best dev accuracy.

    runs: the kept `Runs`. dev: their accuracy in percent, shape (runs,). The first of equally good
    epochs is kept. outputs: what the newest epoch's runs predict for the dev rows.
    """

    runs: Runs
    dev: np.ndarray
    outputs: np.ndarray

    def __init__(self, x: ArrayLike, y: ArrayLike) -> None:
        """x, y: the dev rows of every run, of shape (runs, rows, ...)."""
        self.x, self.y = x, y

    def __call__(self, epoch: int, runs: Runs) -> None:
        """Score the runs, and keep those that are better than before."""
        import torch

        self.outputs = runs.predict(self.x)
        now = _accuracy(self.outputs, self.y)
        if epoch == 0:
            self.dev = np.full(len(now), -np.inf)
            self.runs = copy.copy(runs)
        better = torch.as_tensor(now > self.dev)
        self.dev = np.maximum(now, self.dev)
        with torch.no_grad():
            for kind in ("parameters", "buffers"):
                kept, new = getattr(self.runs, kind), getattr(runs, kind)
                chosen = {
                    name: torch.where(better.view(-1, *[1] * (new[name].ndim - 1)), new[name], old)
                    for name, old in kept.items()
                }
                setattr(self.runs, kind, chosen)


def train_seeds(
    build: Callable[[], "nn.Module"],
    loss: Callable[..., "torch.Tensor"],
    x: ArrayLike,
    y: ArrayLike,
    *,
    optimizer: Callable[[list], "torch.optim.Optimizer"],
    epochs: int,
    batch_size: int = 32,
    after_epoch: Callable[[int, Runs], object] | None = None,
    seeds: Sequence[int] | None = None,
    rates: ArrayLike | None = None,
    strengths: ArrayLike | None = None,
) -> Runs:
    """Train one PyTorch model per seed, all at once with `torch.func.vmap`; return `Runs`.

    build: called without arguments, returns a fresh `torch.nn.Module`. Seed i starts from what
        `torch.manual_seed(i)` gives, so that two methods start from the same weights.
    loss: `loss(model, x, y)`, plain PyTorch for one model and one mini-batch; a penalty on
        `model.named_parameters()` may be part of it.
    x, y: training rows of shape (seeds, rows, ...) and their targets.
    optimizer: called with the list of (name, parameter) pairs, returns a `torch.optim` optimizer
        that works elementwise (SGD, Adam, AdamW, RMSprop: yes; clipping by norm: no).
    after_epoch: optional `after_epoch(epoch, runs)`, for learning curves.
    seeds: optional, the seed of each run's start and batches: [0, 1, 0, 1] trains two settings.
    rates: optional, the learning rate of each run. The optimizer's own must be 1, and its step
        linear in it: SGD, momentum, Adam and AdamW are, what projects the weights is not.
    strengths: optional, shape (runs,): the fourth argument of each run's `loss`.

    Source of the method: the PyTorch tutorial "Model ensembling". Raises ValueError when the
    optional arguments do not hold one value per run, or the optimizer's rate is not 1.
    """
    given = {"seeds": seeds, "rates": rates, "strengths": strengths}
    x, y, given = _per_run(x, y, {k: v for k, v in given.items() if v is not None})
    seeds = given.pop("seeds", range(len(y)))
    runs = _started(build, seeds)
    step = _stepper(runs, loss, optimizer(list(runs.parameters.items())), **given)
    _train(runs, lambda take: step(x, y, take), seeds, y.shape[1], epochs, batch_size, after_epoch)
    return runs


def _per_run(x, y, given):
    """Return x and y as tensors, and what is given per run once there is one value for each."""
    import torch

    x, y = torch.as_tensor(x), torch.as_tensor(y)
    given = {name: np.asarray(values) for name, values in given.items()}
    for name, values in given.items():
        if values.shape != (len(y),):
            raise ValueError(f"{name}: expected one for each of {len(y)} runs, got {values.shape}")
    return x, y, given


def _train(runs, step, seeds, rows, epochs, batch_size, after_epoch):
    """Let `step` take the batches of all epochs."""
    import torch

    order = _batches_by_seed(rows, batch_size, epochs, seeds)
    torch.manual_seed(len(seeds))
    with _one_thread():
        for epoch in progress(range(epochs), "epochs"):
            runs.template.train()
            for take in itertools.islice(order, math.ceil(rows / batch_size)):
                step(take)
            if after_epoch:
                after_epoch(epoch, runs)


@contextlib.contextmanager
def _one_thread():
    """Give PyTorch one thread: the matrices are small, and a second costs more than it gives."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _stepper(runs, loss, optimizer, rates=None, strengths=None):
    """Return `step(x, y, take)`, one step of every run; take: rows of shape (runs, batch_size)."""
    import torch

    losses, parameters = _losses(runs, loss), list(runs.parameters.values())
    kind = parameters[0].dtype
    extra = [] if strengths is None else [torch.as_tensor(strengths, dtype=kind)]
    if rates is not None:
        own = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
        if own != [1] * len(own):
            raise ValueError(f"with rates, give the optimizer the learning rate 1, not {own}")
        rates = torch.as_tensor(rates, dtype=kind)

    def step(x, y, take):
        each, take = torch.arange(len(take))[:, None], torch.as_tensor(take)
        optimizer.zero_grad()
        losses(runs.parameters, runs.buffers, x[each, take], y[each, take], *extra).sum().backward()
        before = [] if rates is None else [p.detach().clone() for p in parameters]
        optimizer.step()
        with torch.no_grad():  # the way of a full step, as far as the run's rate goes
            for p, old in zip(parameters, before, strict=False):
                p.copy_(torch.lerp(old, p, rates.view(-1, *[1] * (p.ndim - 1))))

    return step


def _started(build, seeds):
    """Return the `Runs` of fresh models, one per seed."""
    import torch

    models = []
    for seed in seeds:
        torch.manual_seed(int(seed))
        models.append(build())
    return Runs(models[0], *torch.func.stack_module_state(models))


def _losses(runs, loss):
    """Return a function of stacked parameters, buffers, x, y (and strengths): every run's loss."""
    import torch

    class Loss(torch.nn.Module):
        """Lets `functional_call` swap one seed's tensors into the model while `loss` runs."""

        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, *given):
            return loss(self.model, *given)

    one = Loss(runs.template)

    def seed_loss(parameters, buffers, *given):
        state = [{f"model.{k}": v for k, v in part.items()} for part in (parameters, buffers)]
        return torch.func.functional_call(one, tuple(state), given)

    return torch.vmap(seed_loss, randomness="different")


def _batches_by_seed(
    rows: int, batch_size: int, epochs: int, seeds: Iterable[int]
) -> Iterator[np.ndarray]:
    """Yield the row indices of each mini-batch of every seed: shape (seeds, batch_size)."""
    from regbook.pairs import batches

    orders = [batches(rows, batch_size, epochs, seed) for seed in seeds]
    return map(np.stack, zip(*orders, strict=True))


def reset(model: Any, seed: int) -> Any:
    """Give a compiled Keras model fresh initial weights and a fresh optimizer; return it.

    Much faster than a new model, because the compiled training step is kept. The result depends
    on `seed` alone. The learning rate stays as it is.
    """
    import keras

    keras.utils.set_random_seed(seed)
    fresh = keras.models.clone_model(model)
    for variable, value in zip(model.variables, fresh.variables, strict=True):
        variable.assign(value)  # the states of dropout's generators included
    optimizer = model.optimizer
    if optimizer is not None and optimizer.built:
        fresh = type(optimizer).from_config(optimizer.get_config())
        fresh.build(model.trainable_variables)
        for variable, value in zip(optimizer.variables, fresh.variables, strict=True):
            variable.assign(value)  # the learning rate is part of the settings: it stays
    return model
