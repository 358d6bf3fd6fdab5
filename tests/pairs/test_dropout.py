"""The pairs of the lesson on dropout: exact under a shared mask in float64, moments for the layers.

The generators of the two libraries cannot be made equal. So a mask of our own goes through both,
and the random layers are compared by the values they give and by five standard errors of moments.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import nn

from regbook.pairs import copy_weights, largest_difference, set_weights

RATE, LR = 0.25, 2**-3  # numbers that float32 holds exactly, and so does 1 - RATE
EXACT, DIFFERENT = 1e-12, 1e-2
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 6)), RNG.integers(0, 3, size=40)
MASKS = (RNG.random((20, 40, 5)) >= RATE).astype(float)
START = [RNG.normal(scale=0.7, size=shape) for shape in [(6, 5), (5,), (5, 3), (3,)]]

pytestmark = pytest.mark.usefixtures("float64")


class MaskedNet(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.hidden, self.output, self.scale = nn.Linear(6, 5), nn.Linear(5, 3), scale

    def forward(self, x, mask):
        return self.output(torch.relu(self.hidden(x)) * mask * self.scale)


def keras_net():
    inputs, mask = keras.Input((6,)), keras.Input((5,))
    hidden = keras.layers.Dense(5, activation="relu")(inputs)
    model = keras.Model([inputs, mask], keras.layers.Dense(3)(hidden * mask / (1 - RATE)))
    set_weights(model, START)
    return model


def torch_net(scale=1 / (1 - RATE)):
    model = MaskedNet(scale)
    set_weights(model, START)
    return model


def train_keras():
    model = keras_net()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(LR), loss, run_eagerly=True)
    for mask in MASKS:
        model.train_on_batch([X, mask], Y)
    return model


def train_torch(masks, scale=1 / (1 - RATE)):
    model = torch_net(scale)
    optimizer = torch.optim.SGD(model.parameters(), LR)
    for mask in masks:
        optimizer.zero_grad()
        logits = model(torch.from_numpy(X), torch.from_numpy(mask))
        nn.functional.cross_entropy(logits, torch.from_numpy(Y)).backward()
        optimizer.step()
    return model


def test_outputs_and_gradients_under_a_shared_mask():
    ours, theirs, mask = keras_net(), torch_net(), MASKS[0]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        logits = ours([X, mask])
        value = loss(Y, logits)
    gradients = tape.gradient(value, ours.trainable_variables)
    other_logits = theirs(torch.from_numpy(X), torch.from_numpy(mask))
    nn.functional.cross_entropy(other_logits, torch.from_numpy(Y)).backward()
    other = [p.grad.T if p.ndim == 2 else p.grad for p in theirs.parameters()]
    assert largest_difference(logits, other_logits) < EXACT
    assert largest_difference(gradients, other) < EXACT


def test_twenty_steps_under_shared_masks():
    assert largest_difference(train_keras(), train_torch(MASKS)) < EXACT


def test_another_mask_or_no_scale_trains_another_model():
    ours = train_keras()
    assert largest_difference(ours, train_torch(MASKS[::-1])) > DIFFERENT
    assert largest_difference(ours, train_torch(MASKS, scale=1.0)) > DIFFERENT


def layers(rate, size=1000):
    """Return what both random layers make of an array of ones."""
    keras.utils.set_random_seed(0)
    ones = np.ones((size, size))
    ours = np.asarray(keras.layers.Dropout(rate)(ones, training=True))
    return ours, nn.Dropout(rate)(torch.from_numpy(ones)).numpy()


@pytest.mark.parametrize("rate", [0.125, 0.5, 0.75])
def test_layers_give_the_same_two_values_and_the_same_moments(rate):
    ours, theirs = layers(rate)
    assert np.array_equal(np.unique(ours), np.unique(theirs))
    assert np.array_equal(np.unique(ours), [0, 1 / (1 - rate)])
    error = np.sqrt(2 * rate * (1 - rate) / ours.size)  # of the difference of two shares
    assert abs((ours == 0).mean() - (theirs == 0).mean()) < 5 * error
    assert abs(ours.mean() - theirs.mean()) < 5 * error / (1 - rate)
    assert abs((ours**2).mean() - (theirs**2).mean()) < 5 * error / (1 - rate) ** 2
    for out in (ours, theirs):  # against the theory, in the rate that both call the drop rate
        assert abs((out == 0).mean() - rate) < 5 * error


def test_the_keep_probability_is_another_layer():
    ours, _ = layers(0.125)
    _, theirs = layers(1 - 0.125)
    assert abs((ours == 0).mean() - (theirs == 0).mean()) > 0.5


def test_mask_is_drawn_per_example():
    for out in layers(0.5, size=50):
        assert (np.ptp(out, axis=0) > 0).all()
        assert (np.ptp(out, axis=1) > 0).all()


def test_evaluation_is_the_identity(convention):
    ours = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, activation="relu"),
            keras.layers.Dropout(RATE),
            keras.layers.Dense(3),
        ]
    )
    theirs = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Dropout(RATE), nn.Linear(5, 3))
    set_weights(ours, START)
    copy_weights(ours, theirs)
    x = torch.from_numpy(X)
    plain = theirs[3](theirs[1](theirs[0](x)))
    assert largest_difference(ours(X), plain) < EXACT
    assert largest_difference(ours(X, training=True), plain) > DIFFERENT
    convention(
        "training or evaluation mode",
        keras="an argument of the call; a plain call evaluates",
        torch="a state of the module; a new module trains",
        rule="`model.eval()` before every prediction",
        agreement=largest_difference(ours(X), theirs.eval()(x)),
        naive=largest_difference(ours(X), theirs.train()(x)),
    )


def test_channels_are_dropped_whole():
    keras.utils.set_random_seed(0)
    ours = np.asarray(keras.layers.SpatialDropout2D(0.25)(np.ones((200, 3, 3, 50)), training=True))
    theirs = nn.Dropout2d(0.25)(torch.ones(200, 50, 3, 3)).numpy()
    ours = np.moveaxis(ours, -1, 1).reshape(10_000, 9)
    theirs = theirs.reshape(10_000, 9)
    assert np.ptp(ours, axis=1).max() == np.ptp(theirs, axis=1).max() == 0
    assert np.array_equal(np.unique(ours), np.unique(theirs))
    error = np.sqrt(2 * 0.25 * 0.75 / 10_000)
    assert abs((ours == 0).mean() - (theirs == 0).mean()) < 5 * error
    single = nn.Dropout(0.25)(torch.ones(10_000, 9)).numpy()
    assert np.ptp(single, axis=1).max() > 0


def test_formulas_of_the_exercises_are_torch_dropout(solution):
    x = torch.tensor(RNG.normal(size=(30, 20)), requires_grad=True)
    out = nn.functional.dropout(x, RATE)
    mask = (out != 0).detach().numpy()
    dy = RNG.normal(size=(30, 20))
    out.backward(torch.from_numpy(dy))
    dx = solution("dropout_backward")(dy, mask, RATE)
    assert largest_difference(dx, x.grad) < EXACT
    ours, own = solution("dropout_forward")(x.detach().numpy(), RATE, np.random.default_rng(0))
    assert largest_difference(ours, x.detach().numpy() * own / (1 - RATE)) < EXACT
