"""The fair comparison of chapter 21 in both libraries, proved in float64."""

import copy

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regbook import benchmark
from regbook.pairs import batches, copy_weights, largest_difference, weights

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(48, 6)), RNG.integers(3, size=48)
X_DEV, Y_DEV = RNG.normal(size=(40, 6)), RNG.integers(3, size=40)

pytestmark = pytest.mark.usefixtures("float64")


def networks():
    """Return a Keras and a PyTorch network with equal weights."""
    keras.utils.set_random_seed(0)
    ours = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(3)]
    )
    theirs = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    copy_weights(ours, theirs)
    return ours, theirs


def torch_epochs(net, epochs):
    """Train by SGD in the order of `batches`; return the dev accuracy and the state by epoch."""
    optimizer, found = torch.optim.SGD(net.parameters(), lr=0.5), []
    for number, rows in enumerate(batches(48, 8, epochs), start=1):
        optimizer.zero_grad()
        F.cross_entropy(net(torch.tensor(X[rows])), torch.tensor(Y[rows])).backward()
        optimizer.step()
        if number % 6 == 0:
            right = net(torch.tensor(X_DEV)).argmax(dim=1) == torch.tensor(Y_DEV)
            found.append((right.double().mean().item(), copy.deepcopy(net.state_dict())))
    return found


def test_the_best_epoch_is_restored_although_training_was_not_stopped(convention):
    ours, theirs = networks()
    epochs = 6
    found = torch_epochs(theirs, epochs)
    last = weights(theirs)
    accuracies = [accuracy for accuracy, _ in found]
    best = int(np.argmax(accuracies))
    assert best < epochs - 1
    theirs.load_state_dict(found[best][1])

    order = np.concatenate(list(batches(48, 8, epochs)))
    keeper = keras.callbacks.EarlyStopping(
        "val_accuracy", mode="max", patience=epochs, restore_best_weights=True
    )
    ours.compile(
        keras.optimizers.SGD(0.5),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        run_eagerly=True,
    )
    rows = iter(np.split(order, epochs * 6))

    def feed():
        for take in rows:
            yield X[take], Y[take]

    history = ours.fit(
        feed(), steps_per_epoch=6, epochs=epochs, validation_data=(X_DEV, Y_DEV),
        callbacks=[keeper], verbose=0,
    )  # fmt: skip
    assert history.history["val_accuracy"] == pytest.approx(accuracies)
    convention(
        "weights after a `fit` that watches the dev accuracy",
        keras="`EarlyStopping(restore_best_weights=True)`: those of the best epoch, the first of "
        "equals, also when training ran to its end",
        torch="those of the last step; there is no such class",
        rule="keep `copy.deepcopy(model.state_dict())` when dev is better than ever, and load it",
        agreement=largest_difference(ours, theirs),
        naive=largest_difference(weights(ours), last),
    )


def steps_of(arm, strength, net, number=3, rate=2**-8):
    """Train with the benchmark's optimizer: one run, stacked; return the weights."""
    named = [
        (name, p.detach()[None].clone().requires_grad_()) for name, p in net.named_parameters()
    ]
    optimizer = benchmark._optimizer(arm, [rate], [strength], number)(named)
    for rows in list(batches(48, 8))[:number]:
        optimizer.zero_grad()
        state = {name: p[0] for name, p in named}
        logits = torch.func.functional_call(net, state, (torch.tensor(X[rows]),))
        F.cross_entropy(logits, torch.tensor(Y[rows])).backward()
        optimizer.step()
    return [p[0].detach() for _, p in named]


def library_steps(optimizer, net, after=lambda step: None, number=3):
    for step, rows in enumerate(list(batches(48, 8))[:number]):
        optimizer.zero_grad()
        F.cross_entropy(net(torch.tensor(X[rows])), torch.tensor(Y[rows])).backward()
        optimizer.step()
        after(step)
    return [p.detach() for p in net.parameters()]


def test_the_decay_of_the_benchmark_is_that_of_both_libraries():
    ours, theirs = networks()
    found = steps_of("AdamW", 3.0, theirs)
    kernels = [p for p in theirs.parameters() if p.ndim == 2]
    biases = [p for p in theirs.parameters() if p.ndim == 1]
    groups = [{"params": kernels, "weight_decay": 3.0}, {"params": biases, "weight_decay": 0.0}]
    in_torch = library_steps(torch.optim.AdamW(groups, lr=2**-8), theirs)
    assert largest_difference(found, in_torch) < 1e-9
    decay = keras.optimizers.AdamW(2**-8, weight_decay=3.0, epsilon=2**-26)
    decay.exclude_from_weight_decay(var_names=["bias"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours.compile(decay, loss, run_eagerly=True)
    for rows in list(batches(48, 8))[:3]:
        ours.train_on_batch(X[rows], Y[rows])
    assert largest_difference(ours, theirs) < 1e-5  # epsilon is added before Adam's correction


def test_a_schedule_and_a_limit_are_those_of_pytorch():
    _, net = networks()
    found = steps_of("schedule", 0.0, net)
    other = copy.deepcopy(net)
    optimizer = torch.optim.Adam(other.parameters(), lr=2**-8)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=3)
    assert (
        largest_difference(found, library_steps(optimizer, other, lambda _: cosine.step())) < 1e-9
    )

    found = steps_of("max-norm", 0.5, net)
    other = copy.deepcopy(net)

    @torch.no_grad()
    def renorm(_):
        for p in other.parameters():
            if p.ndim == 2:
                p.copy_(torch.renorm(p, 2, 0, 0.5))

    optimizer = torch.optim.Adam(other.parameters(), lr=2**-8)
    # renorm divides by the norm plus 1e-7
    assert largest_difference(found, library_steps(optimizer, other, renorm)) < 1e-6


def test_the_losses_are_those_of_both_libraries():
    ours, theirs = networks()
    x, y = torch.tensor(X), torch.tensor(Y)

    class Net(nn.Module):
        """The network as the benchmark calls it."""

        def __init__(self):
            super().__init__()
            self.inner, self.layers = theirs, [theirs[0], theirs[2]]

        def forward(self, x, rate=None):
            return self.inner(x)

    smoothed = benchmark.loss_of("label smoothing")(Net(), x, y, 0.25)
    assert smoothed.item() == pytest.approx(
        F.cross_entropy(theirs(x), y, label_smoothing=0.25).item(), rel=1e-12
    )
    one_hot = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.25)
    assert smoothed.item() == pytest.approx(float(one_hot(np.eye(3)[Y], ours(X))), rel=1e-9)
    l2 = benchmark.loss_of("L2")(Net(), x, y, 0.25) - F.cross_entropy(theirs(x), y)
    kernels = [layer.kernel for layer in ours.layers]
    expected = sum(float(keras.regularizers.L2(0.25)(kernel)) for kernel in kernels)
    assert l2.item() == pytest.approx(expected, rel=1e-9)
    l1 = benchmark.loss_of("L1")(Net(), x, y, 0.25) - F.cross_entropy(theirs(x), y)
    expected = sum(float(keras.regularizers.L1(0.25)(kernel)) for kernel in kernels)
    assert l1.item() == pytest.approx(expected, rel=1e-9)


def test_a_warp_is_an_affine_grid():
    x = torch.tensor(RNG.random(size=(4, 8, 8)))
    torch.manual_seed(3)
    found = benchmark.warped(x, 1.0)
    torch.manual_seed(3)
    angle, right, down = (2 * torch.rand(3, 4, 1, 1) - 1)[..., 0, 0]
    angle = angle * np.pi / 12
    rows = [
        torch.stack([angle.cos(), -angle.sin(), right / 4], dim=1),
        torch.stack([angle.sin(), angle.cos(), down / 4], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), (4, 1, 8, 8), align_corners=False)
    low = x.amin()
    expected = F.grid_sample((x - low)[:, None], grid, align_corners=False)[:, 0] + low
    assert largest_difference(found, expected) < 1e-12
