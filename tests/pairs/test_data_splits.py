"""The rules of the lesson on train, dev and test sets, proved in float64."""

import keras
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset, TensorDataset, random_split

from regbook.pairs import largest_difference, set_weights

LR, EXACT, DIFFERENT = 2**-3, 1e-12, 1e-2
RNG = np.random.default_rng(0)
X = RNG.normal(size=(43, 4))
Y = np.sort(RNG.integers(0, 3, size=43))  # sorted by class
START = [RNG.normal(scale=0.7, size=shape) for shape in [(4, 3), (3,)]]

pytestmark = pytest.mark.usefixtures("float64")


def train_keras(x, y, **settings):
    """Return the Keras model and its history after three epochs."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    set_weights(model, START)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(LR), loss, metrics=["accuracy"], run_eagerly=True)
    return model, model.fit(x, y, epochs=3, verbose=0, **settings).history


def train_torch(train, batch_size, dev):
    """Return the PyTorch model and its dev losses after three epochs; train, dev: row numbers."""
    model = nn.Sequential(nn.Linear(4, 3))
    set_weights(model, START)
    optimizer = torch.optim.SGD(model.parameters(), LR)
    rows = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    losses = []
    for _ in range(3):
        for x, y in DataLoader(Subset(rows, train), batch_size=batch_size):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        with torch.no_grad():
            losses.append(F.cross_entropy(model(rows[dev][0]), rows[dev][1]).item())
    return model, losses


@pytest.mark.parametrize("share", [0.25, 0.5, 0.375])
def test_validation_split_takes_the_last_rows(share):
    ours, history = train_keras(X, Y, batch_size=50, validation_split=share)
    cut = int(len(X) * (1 - share))
    rows = np.arange(len(X))
    theirs, losses = train_torch(rows[:cut], 50, rows[cut:])
    assert largest_difference(ours, theirs) < EXACT
    # The history holds Python floats of a float32 metric.
    assert np.abs(np.array(history["val_loss"]) - losses).max() < 1e-6


def test_validation_split_is_no_random_split():
    ours, _ = train_keras(X, Y, batch_size=50, validation_split=0.25)
    rows = np.random.default_rng(0).permutation(len(X))
    theirs, _ = train_torch(rows[:32], 50, rows[32:])
    assert largest_difference(ours, theirs) > DIFFERENT


def test_shuffle_does_not_reach_the_validation_rows():
    """`shuffle=True` mixes the training rows only: full batches make it invisible."""
    shuffled, _ = train_keras(X, Y, batch_size=50, validation_split=0.25, shuffle=True)
    in_order, _ = train_keras(X, Y, batch_size=50, validation_split=0.25, shuffle=False)
    assert largest_difference(shuffled, in_order) < EXACT


def split():
    generator = torch.Generator().manual_seed(0)
    train, dev = random_split(range(len(X)), [0.75, 0.25], generator=generator)
    return np.array(train.indices), np.array(dev.indices)


def test_validation_data_is_a_subset_with_the_same_indices():
    train, dev = split()
    ours, history = train_keras(
        X[train], Y[train], batch_size=8, shuffle=False, validation_data=(X[dev], Y[dev])
    )
    theirs, losses = train_torch(train, 8, dev)
    assert largest_difference(ours, theirs) < EXACT
    assert np.abs(np.array(history["val_loss"]) - losses).max() < 1e-6


def test_another_order_of_batches_gives_other_weights():
    train, dev = split()
    ours, _ = train_keras(X[train], Y[train], batch_size=8, shuffle=False)
    theirs, _ = train_torch(train[::-1].copy(), 8, dev)
    assert largest_difference(ours, theirs) > 1e-4


def test_random_split_repeats_only_with_a_generator():
    assert np.array_equal(split()[1], split()[1])
    first, again = (set(random_split(range(200), [0.5, 0.5])[1].indices) for _ in range(2))
    assert first != again


def test_evaluate_weighs_batches_by_their_rows(convention):
    """43 rows in batches of 8 leave a last batch of 3: the mean of batch means differs."""
    model, _ = train_keras(X, Y, batch_size=50)
    twin = nn.Sequential(nn.Linear(4, 3))
    set_weights(twin, [w.numpy() for w in model.weights])
    with torch.no_grad():
        logits, targets = twin(torch.from_numpy(X)), torch.from_numpy(Y)
        whole = F.cross_entropy(logits, targets).item()
        batches = [
            F.cross_entropy(a, b).item()
            for a, b in zip(logits.split(8), targets.split(8), strict=True)
        ]
    loss, accuracy = model.evaluate(X, Y, batch_size=8, verbose=0)
    assert abs(loss - whole) < 1e-6
    assert abs(accuracy - (logits.argmax(dim=1) == targets).double().mean().item()) < 1e-6
    assert abs(np.mean(batches) - whole) > 1e-3
    rows = [len(part) for part in targets.split(8)]
    weighted = np.average(batches, weights=rows)
    convention(
        "loss of an epoch",
        keras="`evaluate` and `fit` weigh the batches by their rows",
        torch="the usual loop averages the losses of the batches, the short last one too",
        rule="weigh each batch by its rows",
        agreement=abs(loss - weighted),
        naive=abs(loss - np.mean(batches)),
    )


def test_losses_agree_in_float64():
    model, _ = train_keras(X, Y, batch_size=50)
    logits = model(X)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(Y, logits)
    twin = F.cross_entropy(torch.from_numpy(np.array(logits)), torch.from_numpy(Y))
    assert abs(float(loss) - twin.item()) < EXACT


def test_a_seed_repeats_the_shuffle_in_every_epoch():
    orders = []

    def remember(y_true, y_pred):
        orders.append(np.array(y_true).tobytes())
        return 0.0

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[remember], run_eagerly=True)
    rows = np.arange(20.0)[:, None]
    keras.utils.set_random_seed(0)
    model.fit(rows, rows, batch_size=20, epochs=4, verbose=0)
    assert len(orders) == 4
    assert len(set(orders)) == 1
