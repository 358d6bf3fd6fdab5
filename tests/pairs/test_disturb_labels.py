"""The identities and conversion rules of the lesson on DisturbLabel, proved in float64."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
import torch.nn.functional as F
from torch import nn

from regbook.pairs import batches, largest_difference, set_weights

EXACT, DIFFERENT = 1e-12, 1e-2
ALPHA, K = 0.25, 4
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 6)), RNG.integers(0, K, size=40)
START = [RNG.normal(scale=0.5, size=shape) for shape in [(6, 5), (5,), (5, K), (K,)]]

pytestmark = pytest.mark.usefixtures("float64")


def networks():
    ours = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(K)]
    )
    theirs = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, K))
    set_weights(ours, START)
    set_weights(theirs, START)
    return ours, theirs


def test_the_expected_target_is_the_smoothed_one(solution):
    """Average over every label that can be drawn, with its chance: no draw, no error."""
    expected = solution("expected_label_distribution")(100 * ALPHA, K)
    drawn = np.eye(K)
    by_definition = np.stack(
        [(1 - ALPHA) * drawn[i] + ALPHA * drawn.mean(axis=0) for i in range(K)]
    )
    smoothed = keras.losses.CategoricalCrossentropy(label_smoothing=ALPHA, from_logits=True)
    logits = RNG.normal(size=(K, K))
    built_in = smoothed(np.eye(K), logits).numpy()
    by_hand = -(expected * F.log_softmax(torch.tensor(logits), 1).numpy()).sum(axis=1).mean()
    assert np.allclose(expected, by_definition, rtol=0, atol=EXACT)
    assert abs(built_in - by_hand) < EXACT


def test_expected_gradients_are_those_of_label_smoothing():
    """The mean over all K^n equally exact draws of a mini-batch, not only row by row."""
    rows = slice(0, 3)
    ours, theirs = networks()
    chance = (1 - ALPHA) * np.eye(K)[Y[rows]] + ALPHA / K
    gradients = [np.zeros(p.shape) for p in theirs.parameters()]
    for labels in itertools.product(range(K), repeat=3):
        weight = np.prod(chance[np.arange(3), labels])
        loss = F.cross_entropy(theirs(torch.tensor(X[rows])), torch.tensor(labels))
        for total, g in zip(gradients, torch.autograd.grad(loss, theirs.parameters()), strict=True):
            total += weight * g.numpy()
    smoothed = keras.losses.CategoricalCrossentropy(label_smoothing=ALPHA, from_logits=True)
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape(persistent=True) as tape:
        logits = ours(X[rows])
        losses = [smoothed(np.eye(K)[Y[rows]], logits), hard(Y[rows], logits)]
    in_keras = [
        [g.numpy() for g in tape.gradient(loss, ours.trainable_variables)] for loss in losses
    ]
    expected = [g.T for g in gradients]
    assert largest_difference(in_keras[0], expected) < EXACT
    assert largest_difference(in_keras[1], expected) > DIFFERENT  # it is not the undisturbed one


def train(model, labels_by_epoch, smoothing=0.0):
    """Return the model after SGD on labels of its own for each epoch."""
    if isinstance(model, keras.Model):
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
        model.compile(keras.optimizers.SGD(0.25), loss, run_eagerly=True)
    else:
        optimizer = torch.optim.SGD(model.parameters(), 0.25)
    orders = batches(len(Y), 10, epochs=len(labels_by_epoch), seed=0)
    for labels in labels_by_epoch:
        for rows in itertools.islice(orders, 4):
            if isinstance(model, keras.Model):
                model.train_on_batch(X[rows], np.eye(K)[labels[rows]])
                continue
            optimizer.zero_grad()
            y = torch.tensor(labels[rows])
            F.cross_entropy(model(torch.tensor(X[rows])), y, label_smoothing=smoothing).backward()
            optimizer.step()
    return model


def test_twenty_steps_on_equal_draws(solution):
    rng = np.random.default_rng(1)
    drawn = [solution("disturb_labels")(Y, K, 60, rng) for _ in range(5)]
    once = [drawn[0]] * 5
    ours, theirs = networks()
    assert largest_difference(train(ours, drawn), train(theirs, drawn)) < EXACT
    assert largest_difference(ours, train(networks()[1], once)) > DIFFERENT


def test_a_draw_is_not_its_expectation(solution):
    """Equal expectations, other weights: the two methods differ after twenty steps."""
    rng = np.random.default_rng(1)
    drawn = [solution("disturb_labels")(Y, K, 60, rng) for _ in range(5)]
    ours, theirs = networks()
    train(ours, [Y] * 5, smoothing=0.5)
    assert largest_difference(ours, train(theirs, [Y] * 5, smoothing=0.5)) < EXACT
    assert largest_difference(ours, train(networks()[1], drawn)) > DIFFERENT


def test_the_exercise_takes_the_expected_step(solution):
    kernel, bias = RNG.normal(size=(6, K)), RNG.normal(size=K)
    stepped = solution("expected_step")(kernel, bias, X, Y, 100 * ALPHA, 0.5)
    layer = keras.Sequential([keras.Input((6,)), keras.layers.Dense(K)])
    set_weights(layer, [kernel, bias])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=ALPHA)
    layer.compile(keras.optimizers.SGD(0.5), loss, run_eagerly=True)
    layer.train_on_batch(X, np.eye(K)[Y])
    theirs = [w.detach().numpy() for w in stepped]
    assert largest_difference([w.numpy() for w in layer.weights], theirs) < EXACT


def test_noise_on_targets_adds_a_constant_to_the_loss():
    """Two opposite draws of the noise: the mean loss gains sigma^2, the mean gradient nothing."""
    model = nn.Linear(6, 1)
    target, noise = torch.tensor(RNG.normal(size=(40, 1))), torch.tensor(RNG.normal(size=(40, 1)))
    losses = [F.mse_loss(model(torch.tensor(X)), target + sign * noise) for sign in (1, -1)]
    clean = F.mse_loss(model(torch.tensor(X)), target)
    mean = sum(losses) / 2
    gain = (mean - clean - (noise**2).mean()).item()
    gradients = [
        [g.numpy() for g in torch.autograd.grad(loss, model.parameters(), retain_graph=True)]
        for loss in (mean, clean, losses[0])
    ]
    assert abs(gain) < EXACT
    assert largest_difference(gradients[0], gradients[1]) < EXACT
    assert largest_difference(gradients[2], gradients[1]) > DIFFERENT


def test_twenty_steps_on_equal_noise_of_targets(solution):
    """DisturbValue in both libraries, from equal draws: a network of one output, squared error."""
    rng, targets = np.random.default_rng(2), RNG.normal(size=40)
    drawn = [solution("disturb_values")(targets, 50, 0.5, rng) for _ in range(5)]
    ours = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(1)]
    )
    networks = [nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)) for _ in range(2)]
    start = [*START[:2], START[2][:, :1], START[3][:1]]
    for model in (ours, *networks):
        set_weights(model, start)
    ours.compile(keras.optimizers.SGD(0.125), "mse", run_eagerly=True)
    optimizers = [torch.optim.SGD(model.parameters(), 0.125) for model in networks]
    orders = batches(40, 10, epochs=5, seed=0)
    for noisy in drawn:
        for rows in itertools.islice(orders, 4):
            ours.train_on_batch(X[rows], noisy[rows, None])
            for model, optimizer, y in zip(networks, optimizers, (noisy, targets), strict=True):
                optimizer.zero_grad()
                F.mse_loss(model(torch.tensor(X[rows]))[:, 0], torch.tensor(y[rows])).backward()
                optimizer.step()
    assert largest_difference(ours, networks[0]) < EXACT
    assert largest_difference(ours, networks[1]) > DIFFERENT  # the undisturbed one


def test_a_map_and_a_collate_function_disturb_the_same_rows():
    """Where each library draws, fed from one table of draws: equal mini-batches in two epochs."""
    table = RNG.integers(0, K, size=(2, 40))
    epoch = tf.Variable(0, dtype=tf.int64)
    rows = tf.data.Dataset.from_tensor_slices((X, np.arange(40)))
    mapped = rows.batch(10).map(lambda x, i: (x, tf.gather(tf.gather(table, epoch), i)))

    def collate(items):
        x, i = torch.utils.data.default_collate(items)
        return x, torch.tensor(table[int(epoch.numpy())])[i]

    dataset = torch.utils.data.TensorDataset(torch.tensor(X), torch.arange(40))
    loader = torch.utils.data.DataLoader(dataset, 10, collate_fn=collate)
    for number in range(2):
        epoch.assign(number)
        for (x, y), (x_torch, y_torch) in zip(mapped, loader, strict=True):
            assert largest_difference([x.numpy(), y.numpy()], [x_torch, y_torch]) == 0
