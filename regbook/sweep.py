"""A sweep: the same comparison over many seeds, without the cost of training one by one."""

import os
from dataclasses import dataclass

import numpy as np


def progress(items, text):
    """Wrap `items` in a progress bar that shows when the loop takes more than two seconds.

    There is none while the book is built (`REGBOOK_BUILD` is set).
    """
    from tqdm.auto import tqdm

    building = "REGBOOK_BUILD" in os.environ
    return tqdm(items, desc=text, delay=2, leave=False, disable=building)


def sweep(measure, methods):
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


def by_seed(frame, metric, methods):
    """Return one metric of several methods as an array of shape (seeds, methods).

    frame: what `sweep` returns. `regbook.figures.band` draws the result.
    Raises KeyError for a method or metric that the sweep does not have.
    """
    table = frame.pivot(index="seed", columns="method", values=metric)
    return table[list(methods)].to_numpy()


def chosen_on_dev(frame, methods, choose="dev", report="test"):
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

    template: object
    parameters: dict
    buffers: dict

    def predict(self, x, training=False):
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

    def accuracy(self, x, y, training=False):
        """Return the accuracy on each seed's rows, in percent: shape (seeds,)."""
        return 100 * (self.predict(x, training).argmax(axis=-1) == np.asarray(y)).mean(axis=1)


def train_seeds(build, loss, x, y, *, optimizer, epochs, batch_size=32, after_epoch=None):
    """Train one PyTorch model per seed, all at once with `torch.func.vmap`; return `Runs`.

    build: called without arguments, returns a fresh `torch.nn.Module`. Seed i starts from what
        `torch.manual_seed(i)` gives, so that two methods start from the same weights.
    loss: `loss(model, x, y)`, plain PyTorch for one model and one mini-batch; a penalty on
        `model.named_parameters()` may be part of it.
    x, y: training rows of shape (seeds, rows, ...) and their targets.
    optimizer: called with the list of (name, parameter) pairs, returns a `torch.optim` optimizer
        that works elementwise (SGD, Adam, AdamW, RMSprop: yes; clipping by norm: no).
    after_epoch: optional `after_epoch(epoch, runs)`, for learning curves.

    Source of the method: the PyTorch tutorial "Model ensembling".
    """
    import torch

    from regbook.pairs import batches

    class Loss(torch.nn.Module):
        """Lets `functional_call` swap one seed's tensors into the model while `loss` runs."""

        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x, y):
            return loss(self.model, x, y)

    threads = torch.get_num_threads()
    x, y = torch.as_tensor(x), torch.as_tensor(y)
    seeds, rows = y.shape[:2]
    models = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        models.append(build())
    parameters, buffers = torch.func.stack_module_state(models)
    runs = Runs(models[0], parameters, buffers)
    one = Loss(runs.template)

    def seed_loss(parameters, buffers, x, y):
        state = [{f"model.{k}": v for k, v in part.items()} for part in (parameters, buffers)]
        return torch.func.functional_call(one, tuple(state), (x, y))

    losses = torch.vmap(seed_loss, randomness="different")
    stepper = optimizer(list(parameters.items()))
    each = torch.arange(seeds)[:, None]
    orders = [batches(rows, batch_size, epochs, seed) for seed in range(seeds)]
    torch.manual_seed(seeds)
    torch.set_num_threads(1)  # the matrices are small: a second thread costs more than it gives
    try:
        for epoch in progress(range(epochs), "epochs"):
            runs.template.train()
            for _ in range(0, rows, batch_size):
                take = torch.as_tensor(np.stack([next(order) for order in orders]))
                stepper.zero_grad()
                losses(parameters, buffers, x[each, take], y[each, take]).sum().backward()
                stepper.step()
            if after_epoch:
                after_epoch(epoch, runs)
    finally:
        torch.set_num_threads(threads)
    return runs


def reset(model, seed):
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
