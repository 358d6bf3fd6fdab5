"""The walk over Fashion-MNIST in Keras and PyTorch: one loss, one constraint, one restart."""

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regbook import case_fashion
from regbook.pairs import batches, copy_weights, largest_difference

TOL = 1e-12
STRENGTH = 2**-7  # about the 0.01 of the walk, and exact in float32, which Keras keeps it in
RNG = np.random.default_rng(0)
FEATURES, ROWS = 12, 30

pytestmark = pytest.mark.usefixtures("float64")


def rows():
    return RNG.uniform(size=(ROWS, FEATURES)), RNG.integers(10, size=ROWS)


def keras_walk(activation=None, optimizer=None, norm=2.0):
    """Return the walk's last network without dropout, as the tutorials write it."""
    hidden = keras.layers.Dense(
        8,
        activation=activation,
        kernel_regularizer=keras.regularizers.L2(STRENGTH),
        activity_regularizer=keras.regularizers.L1(STRENGTH),
        kernel_constraint=keras.constraints.MaxNorm(norm),
    )
    model = keras.Sequential([keras.Input((FEATURES,)), hidden, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or keras.optimizers.SGD(0.1), loss)
    return model


def module_walk(x, relu, **changes):
    """Return a network of regbook.case_fashion on the rows of x, its arm and its loss."""
    given = {"l2": STRENGTH, "activity": STRENGTH, "norm": 2.0} | changes
    arm = case_fashion.Arm(8, relu, **given)
    net = case_fashion._network(arm, torch.from_numpy(x))().double()
    return net, arm, case_fashion._loss(arm)


@pytest.mark.parametrize("relu", [False, True])
def test_the_loss_of_the_walk_is_that_of_keras(relu):
    x, y = rows()
    ours = keras_walk("relu" if relu else None)
    theirs, _, loss = module_walk(x, relu)
    copy_weights(ours, theirs)
    expected = ours.evaluate(x, y, batch_size=ROWS, verbose=0)
    found = loss(theirs, torch.arange(ROWS), torch.from_numpy(y)).item()
    assert abs(found - expected) < 1e-9


def test_the_steps_of_the_walk_are_those_of_keras_with_an_active_constraint():
    x, y = rows()
    limit, rate, epsilon = 0.5, 2**-7, 1e-30  # shorter than the start; equal wherever it stands
    ours = keras_walk(optimizer=keras.optimizers.Adam(rate, epsilon=epsilon), norm=limit)
    theirs, arm, loss = module_walk(x, False, norm=limit)
    copy_weights(ours, theirs)
    optimizer = case_fashion._optimizer(arm, 18, rate)(list(theirs.named_parameters()))
    optimizer.param_groups[0]["eps"] = epsilon
    for chosen in batches(ROWS, 10, epochs=6):
        ours.train_on_batch(x[chosen], y[chosen])
        optimizer.zero_grad()
        loss(theirs, torch.from_numpy(chosen), torch.from_numpy(y[chosen])).backward()
        optimizer.step()
    assert largest_difference(ours, theirs) < 1e-5  # MaxNorm of Keras divides by norm + 1e-7
    norms = theirs.layers[0].weight.norm(dim=1)
    assert norms.max().item() == pytest.approx(limit)


def test_the_constraint_is_never_active_beside_the_penalty():
    x, y = rows()
    with_limit, without = keras_walk(), keras_walk(norm=1e9)
    without.set_weights(with_limit.get_weights())
    for _ in range(20):
        with_limit.train_on_batch(x, y)
        without.train_on_batch(x, y)
    assert np.linalg.norm(with_limit.layers[0].get_weights()[0], axis=0).max() < 2
    for a, b in zip(with_limit.get_weights(), without.get_weights(), strict=True):
        assert (a == b).all()


def test_evaluate_reports_the_penalties(convention):
    x, y = rows()
    ours = keras_walk()
    theirs = nn.Sequential(nn.Linear(FEATURES, 8), nn.Linear(8, 10)).double()
    copy_weights(ours, theirs)
    reported = ours.evaluate(x, y, batch_size=ROWS, verbose=0)
    ours(x)  # the penalties of this batch
    penalties = float(sum(ours.losses))
    entropy = F.cross_entropy(theirs(torch.from_numpy(x)), torch.from_numpy(y)).item()
    convention(
        "the loss that an evaluation reports",
        keras="`evaluate` and `val_loss`: cross-entropy and all penalties",
        torch="`cross_entropy`: without penalties",
        rule="subtract `sum(model.losses)` of the same batch",
        agreement=abs(reported - penalties - entropy),
        naive=abs(reported - entropy),
    )


def test_two_layers_without_an_activation_are_one(solution):
    x, _ = rows()
    layers = [keras.layers.Dense(8), keras.layers.Dense(8), keras.layers.Dense(10)]
    ours = keras.Sequential([keras.Input((FEATURES,)), *layers])
    theirs = nn.Sequential(nn.Linear(FEATURES, 8), nn.Linear(8, 8), nn.Linear(8, 10)).double()
    copy_weights(ours, theirs)
    kernel, bias = np.eye(FEATURES), np.zeros(FEATURES)
    for layer in layers:
        W, b = layer.get_weights()
        kernel, bias = kernel @ W, bias @ W + b
    assert largest_difference(ours(x), x @ kernel + bias) < TOL
    assert largest_difference(theirs(torch.from_numpy(x)), x @ kernel + bias) < TOL
    is_affine = solution("is_affine")
    with torch.no_grad():
        assert is_affine(lambda x: theirs(torch.from_numpy(x)).numpy(), FEATURES, RNG)
        bent = nn.Sequential(theirs[0], nn.ReLU(), theirs[1])
        assert not is_affine(lambda x: bent(torch.from_numpy(x)).numpy(), FEATURES, RNG)


def test_the_schedule_warms_up_and_ends_at_zero():
    x, _ = rows()
    theirs, _, _ = module_walk(x, True)
    arm = case_fashion.Arm(8, schedule=True)
    optimizer = case_fashion._optimizer(arm, 100, 1.0)(list(theirs.named_parameters()))
    factors = []
    for _ in range(100):
        factors.append(optimizer.param_groups[0]["lr"])
        for p in theirs.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
    assert np.argmax(factors) in (29, 30, 31)
    assert max(factors) == pytest.approx(1, abs=0.05)
    assert factors[0] < 0.05
    assert factors[-1] < 0.01
