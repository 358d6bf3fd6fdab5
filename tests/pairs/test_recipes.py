"""The recipes of chapter 22 are the same network in both libraries, in float64."""

import runpy
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from torch import nn

from regbook.arrays import to_numpy
from regbook.notebooks import read
from regbook.pairs import batches, copy_weights, largest_difference

CHAPTER = Path(__file__).parents[2] / "chapters" / "22_recipes"
RNG = np.random.default_rng(0)
LR, MOMENTUM = 2**-6, 0.875

pytestmark = pytest.mark.usefixtures("float64")


def parts(name, framework):
    """Return what a recipe defines."""
    return runpy.run_path(str(CHAPTER / "recipes" / f"{name}_{framework}.py"))


def networks(name, depth=4, units=6, classes=3, **ours):
    """Return the stack of a recipe with an output layer in both libraries, with equal weights."""
    hidden = parts(name, "keras")["hidden"]
    stack = [layer for _ in range(depth) for layer in hidden(units, **ours)]
    keras_net = keras.Sequential([keras.Input((5,)), *stack, keras.layers.Dense(classes)])
    sizes = [5] + [units] * (depth - 1)
    stack = [layer for size in sizes for layer in parts(name, "torch")["hidden"](size, units)]
    torch_net = nn.Sequential(*stack, nn.Linear(units, classes)).double()
    copy_weights(keras_net, torch_net)
    return keras_net, torch_net


def rows(n=40):
    return RNG.normal(size=(n, 5)), RNG.integers(0, 3, size=n)


@pytest.mark.parametrize("name", ["deep", "fast", "shallow"])
def test_twenty_steps_of_a_recipe(name):
    x, y = rows()
    keras_net, torch_net = networks(name)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    keras_net.compile(keras.optimizers.SGD(LR, momentum=MOMENTUM), loss, run_eagerly=True)
    optimizer = torch.optim.SGD(torch_net.train().parameters(), lr=LR, momentum=MOMENTUM)
    for take in list(batches(40, 10, epochs=5))[:20]:
        keras_net.train_on_batch(x[take], y[take])
        optimizer.zero_grad()
        outputs = torch_net(torch.from_numpy(x[take]))
        nn.functional.cross_entropy(outputs, torch.from_numpy(y[take])).backward()
        optimizer.step()
    ours = keras_net(x, training=True)
    assert largest_difference(ours, torch_net(torch.from_numpy(x)).detach()) < 1e-9


@pytest.mark.parametrize("name", ["self_normalizing", "deep_noisy", "shallow_noisy", "uncertain"])
def test_recipes_with_dropout_agree_while_it_rests(name):
    x, _ = rows()
    keras_net, torch_net = networks(name)
    outputs = torch_net.eval()(torch.from_numpy(x)).detach()
    assert largest_difference(keras_net(x, training=False), outputs) < 1e-12


def test_the_schedule_is_that_of_torch():
    ours = parts("deep", "keras")["OneCycle"](0.5, 60)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.5, total_steps=60, cycle_momentum=False
    )
    for step in range(59):
        theirs = optimizer.param_groups[0]["lr"]
        assert float(to_numpy(ours(step))) == pytest.approx(theirs, abs=1e-6)
        optimizer.step()
        schedule.step()


def test_folding_keeps_the_function():
    x, _ = rows()
    keras_net, torch_net = networks("fast")
    for layer in torch_net:
        if isinstance(layer, nn.BatchNorm1d):
            layer.running_mean = torch.from_numpy(RNG.normal(size=6))
            layer.running_var = torch.from_numpy(RNG.uniform(0.5, 2, size=6))
    copy_weights(torch_net, keras_net)
    ours, theirs = (parts("fast", f)["fold"] for f in ("keras", "torch"))
    before = torch_net.eval()(torch.from_numpy(x)).detach()
    assert largest_difference(ours(keras_net)(x), before) < 1e-10
    assert largest_difference(before, theirs(torch_net)(torch.from_numpy(x)).detach()) < 1e-10


def shrunk(constraint, rate, steps):
    """Return a kernel after steps of plain gradient descent in Keras, with a constraint."""
    optimizer = keras.optimizers.SGD(rate)
    w = keras.Variable(np.linspace(-1, 1, 20))
    w.constraint = constraint(optimizer)
    for gradient in steps:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [w])
    return w


def test_the_threshold_takes_the_rate_of_its_step(convention):
    steps = np.random.default_rng(1).normal(scale=0.3, size=(12, 20))
    found = parts("sparse", "keras")
    rate = found["OneCycle"](0.5, 13)
    optimizer = keras.optimizers.SGD(rate)
    ours = keras.Variable(np.linspace(-1, 1, 20))
    ours.constraint = found["Shrink"](0.5, optimizer)
    for gradient in steps:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [ours])

    def in_torch(late):
        w = torch.linspace(-1, 1, 20).requires_grad_()
        optimizer = torch.optim.SGD([w], lr=0.5)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 0.5, total_steps=13, cycle_momentum=False
        )
        for gradient in steps:
            w.grad = torch.from_numpy(gradient)
            optimizer.step()
            if late:
                schedule.step()
            with torch.no_grad():
                w.copy_(nn.functional.softshrink(w, 0.5 * optimizer.param_groups[0]["lr"]))
            if not late:
                schedule.step()
        return w.detach()

    convention(
        "threshold of a proximal step under a schedule",
        keras="a constraint with `optimizer.learning_rate`: the rate of this step",
        torch='`param_groups[0]["lr"]`: that of this step only before `schedule.step()`',
        rule="in PyTorch, shrink between `optimizer.step()` and `schedule.step()`",
        agreement=largest_difference(ours, in_torch(late=False)),
        naive=largest_difference(ours, in_torch(late=True)),
    )
    assert (to_numpy(ours) == 0).any()


def lines(text):
    return [line.strip() for line in text.split("\n") if line.strip()]


@pytest.mark.parametrize("framework", ["keras", "torch"])
def test_the_lesson_shows_the_recipe_of_the_flowchart(framework):
    """One source: the central pair holds every line of the file, in its order."""
    (cell,) = (
        cell.source
        for cell in read(CHAPTER / "lesson.ipynb").cells
        if {"central-pair", framework} <= set(cell.metadata.get("tags", []))
    )
    shown = iter(lines(cell))
    recipe = (CHAPTER / "recipes" / f"deep_{framework}.py").read_text(encoding="utf-8")
    assert [line for line in lines(recipe) if line not in shown] == []
