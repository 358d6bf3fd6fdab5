"""The pairs of the lesson on bias, variance and Bayes error, proved in float64.

Both frameworks train tanh networks of several widths and on several numbers of rows, from equal
weights and on equal batches: regressions with one hidden layer, and the classifier with two hidden
layers of the lesson. Rates are powers of two, which float32 holds exactly.
"""

import keras
import numpy as np
import pytest
import torch
from torch import nn

from regbook.pairs import batches, largest_difference, set_weights

LR, EXACT, DIFFERENT = 2**-4, 1e-12, 1e-2
RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, size=(160, 1))
Y = np.sin(1.5 * np.pi * X) + RNG.normal(scale=0.3, size=X.shape)
GRID = np.linspace(-1, 1, 41)
TRUTH = np.sin(1.5 * np.pi * GRID)

pytestmark = pytest.mark.usefixtures("float64")


def start(width):
    rng = np.random.default_rng(width)
    shapes = [(1, width), (width,), (width, 1), (1,)]
    return [rng.normal(scale=0.5, size=shape) for shape in shapes]


def in_keras(width, optimizer=None):
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(width, activation="tanh"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer or keras.optimizers.SGD(LR), "mean_squared_error", run_eagerly=True)
    return model


def train_keras(model, weights, steps, x=X, y=Y):
    """Train from `weights` and return the predictions on the grid."""
    model.set_weights(weights)
    for rows in steps:
        model.train_on_batch(x[rows], y[rows])
    return np.asarray(model(GRID[:, None]))[:, 0]


def train_torch(weights, steps, x=X, y=Y, targets=lambda y: y, optimizer=torch.optim.SGD):
    """Train from `weights` and return the predictions on the grid."""
    width = weights[0].shape[1]
    model = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 1))
    set_weights(model, weights)
    stepper = optimizer(model.parameters(), lr=LR)
    for rows in steps:
        stepper.zero_grad()
        out = model(torch.from_numpy(x[rows]))
        ((out - targets(torch.from_numpy(y[rows]))) ** 2).mean().backward()
        stepper.step()
    with torch.no_grad():
        return model(torch.from_numpy(GRID[:, None]))[:, 0].numpy()


@pytest.mark.parametrize("width", [2, 8, 32])
def test_equal_curves_at_every_width(width):
    steps = list(batches(len(X), 20, epochs=2, seed=0))
    ours = train_keras(in_keras(width), start(width), steps)
    assert ours.dtype == np.float64
    assert largest_difference(ours, train_torch(start(width), steps)) < EXACT
    assert largest_difference(ours, train_torch(start(width), [])) > DIFFERENT


def test_one_compiled_model_serves_every_data_size_under_plain_sgd():
    model = in_keras(8)
    for m in (20, 40, 160):
        steps = list(batches(m, 20, epochs=320 // m, seed=0))
        ours = train_keras(model, start(8), steps)
        assert largest_difference(ours, train_torch(start(8), steps)) < EXACT


def test_an_optimizer_with_state_is_not_reset_by_setting_the_weights():
    model = in_keras(8, keras.optimizers.SGD(LR, momentum=0.5))

    def momentum(parameters, lr):
        return torch.optim.SGD(parameters, lr=lr, momentum=0.5)

    steps = list(batches(40, 20, epochs=4, seed=0))
    theirs = train_torch(start(8), steps, optimizer=momentum)
    assert largest_difference(train_keras(model, start(8), steps), theirs) < EXACT
    assert largest_difference(train_keras(model, start(8), steps), theirs) > 1e-4


def test_targets_without_their_second_axis_train_another_network():
    steps = list(batches(len(X), 20, epochs=2, seed=0))
    ours = train_keras(in_keras(8), start(8), steps)
    naive = train_torch(start(8), steps, targets=lambda y: y[:, 0])
    assert largest_difference(ours, naive) > DIFFERENT


def test_the_decomposition_is_the_same_in_both_and_adds_up(solution):
    decompose, model = solution("bias_variance_decomposition"), in_keras(6)
    ours, theirs = [], []
    for i in range(6):
        part = slice(20 * i, 20 * i + 20)
        steps = [np.arange(20)] * 15
        ours.append(train_keras(model, start(6), steps, X[part], Y[part]))
        theirs.append(train_torch(start(6), steps, X[part], Y[part]))
    assert largest_difference(ours, theirs) < EXACT
    parts = decompose(np.array(ours), TRUTH)
    assert largest_difference(list(parts), list(decompose(np.array(theirs), TRUTH))) < EXACT
    assert abs(sum(parts) - ((np.array(ours) - TRUTH) ** 2).mean()) < EXACT


def test_the_exercise_trains_the_network_of_the_pairs(solution):
    train_and_predict = solution("train_and_predict")
    x, y = X[:30, 0], Y[:30, 0]
    out = train_and_predict(x, y, GRID, start(5), 0.0, LR, 10)
    ours = train_keras(in_keras(5), start(5), [np.arange(30)] * 10)
    assert largest_difference(ours, out) < EXACT


# --- the classifier of the lesson ----------------------------------------------------------------

POINTS = RNG.uniform(-1, 1, size=(160, 2))
ABOVE = POINTS[:, 1] > 0.6 * np.sin(1.5 * np.pi * POINTS[:, 0])
CLASSES = (ABOVE ^ (RNG.random(160) < 0.1)).astype(np.int64)


def classifiers(units, rate, momentum=0.0):
    """Return a compiled Keras classifier and its PyTorch twin with its optimizer."""
    hidden = [keras.layers.Dense(units, activation="tanh") for _ in range(2)]
    ours = keras.Sequential([keras.Input((2,)), *hidden, keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(rate, momentum=momentum)
    ours.compile(optimizer, loss, run_eagerly=True)
    sizes = (2, units), (units, units), (units, 2)
    layers = [layer for size in sizes for layer in (nn.Linear(*size), nn.Tanh())]
    theirs = nn.Sequential(*layers[:-1])
    set_weights(theirs, ours.get_weights())
    return ours, theirs, torch.optim.SGD(theirs.parameters(), lr=rate, momentum=momentum)


def take(ours, theirs, optimizer, rows):
    """Let both take one step on these rows."""
    ours.train_on_batch(POINTS[rows], CLASSES[rows])
    optimizer.zero_grad()
    x, y = torch.from_numpy(POINTS[rows]), torch.from_numpy(CLASSES[rows])
    nn.functional.cross_entropy(theirs(x), y).backward()
    optimizer.step()


@pytest.mark.parametrize("units", [1, 16, 64])
def test_the_classifiers_of_two_hidden_layers_take_equal_steps(units):
    ours, theirs, optimizer = classifiers(units, 2**-1)
    before = ours.get_weights()
    for rows in batches(100, 50, epochs=10):
        take(ours, theirs, optimizer, rows)
    assert largest_difference(ours, theirs) < EXACT
    assert largest_difference(before, [np.asarray(w) for w in ours.get_weights()]) > DIFFERENT


@pytest.mark.parametrize("m", [25, 100])
def test_equal_learning_curves_with_momentum(m):
    ours, theirs, optimizer = classifiers(16, 2**-2, momentum=0.5)
    for _ in range(40):
        take(ours, theirs, optimizer, np.arange(m))
    with torch.no_grad():
        found = theirs(torch.from_numpy(POINTS)).numpy()
    assert largest_difference(np.asarray(ours(POINTS)), found) < EXACT
