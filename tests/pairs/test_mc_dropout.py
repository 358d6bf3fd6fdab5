"""The pairs of the lesson on Monte-Carlo dropout, proved in float64.

The generators of the two libraries cannot be made equal: fixed masks of our own go through both.
"""

import copy

import keras
import numpy as np
import pytest
import torch
from scipy import special
from torch import nn

from regbook import calibration
from regbook.pairs import batches, copy_weights, largest_difference, set_weights

RATE, EPS = 0.25, 2**-10  # numbers that float32 holds exactly, and so does 1 - RATE
EXACT, DIFFERENT = 1e-12, 1e-2
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 6)), RNG.integers(0, 3, size=20)
MASKS = (RNG.random((8, 20, 5)) >= RATE).astype(float)
START = [RNG.normal(size=shape) for shape in [(6, 5), (5,), (5, 3), (3,)]]
NORM = [RNG.uniform(0.5, 2, size=5) for _ in range(4)]

pytestmark = pytest.mark.usefixtures("float64")


class AlwaysDropout(keras.layers.Dropout):
    def call(self, inputs, training=None):
        return super().call(inputs, training=True)


def dropout_on(model):
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    return model


def stacks():
    """Return the probabilities of 8 passes under shared masks: Keras's and PyTorch's."""
    inputs, mask = keras.Input((6,)), keras.Input((5,))
    hidden = keras.layers.Dense(5, activation="relu")(inputs) * mask / (1 - RATE)
    model = keras.Model([inputs, mask], keras.layers.Dense(3, activation="softmax")(hidden))
    set_weights(model, START)
    first, last = nn.Linear(6, 5), nn.Linear(5, 3)
    copy_weights(model, nn.Sequential(first, last))
    x, masks = torch.from_numpy(X), torch.from_numpy(MASKS)
    with torch.no_grad():
        theirs = [torch.softmax(last(torch.relu(first(x)) * m / (1 - RATE)), 1) for m in masks]
    return keras.ops.stack([model([X, mask]) for mask in MASKS]), torch.stack(theirs)


def networks(dropout):
    """Return a Keras and a PyTorch network with batch norm and dropout, of equal weights."""
    layers = [
        keras.layers.Dense(5),
        keras.layers.BatchNormalization(epsilon=EPS),
        keras.layers.ReLU(),
        dropout,
        keras.layers.Dense(3),
    ]
    ours = keras.Sequential([keras.Input((6,)), *layers])
    theirs = nn.Sequential(
        nn.Linear(6, 5), nn.BatchNorm1d(5, eps=EPS), nn.ReLU(), nn.Dropout(RATE), nn.Linear(5, 3)
    )
    set_weights(ours, [*START[:2], *NORM, *START[2:]])
    copy_weights(ours, theirs)
    return ours, theirs


def statistics(ours, theirs):
    norm, other = ours.layers[1], theirs[1]
    return (
        [norm.moving_mean.numpy(), norm.moving_variance.numpy()],
        [other.running_mean.numpy().copy(), other.running_var.numpy().copy()],
    )


def test_average_and_uncertainty_under_shared_masks(solution):
    ours, theirs = stacks()
    assert largest_difference(ours, theirs) < EXACT
    average = keras.ops.mean(ours, axis=0)
    assert largest_difference(average, theirs.mean(dim=0)) < EXACT
    total = -keras.ops.sum(average * keras.ops.log(average), axis=-1)
    within = keras.ops.mean(-keras.ops.sum(ours * keras.ops.log(ours), axis=-1), axis=0)
    other_total = torch.special.entr(theirs.mean(dim=0)).sum(dim=-1)
    other_within = torch.special.entr(theirs).sum(dim=-1).mean(dim=0)
    assert largest_difference(total, other_total) < EXACT
    assert largest_difference(total - within, other_total - other_within) < EXACT
    assert largest_difference(solution("predictive_entropy")(theirs.numpy()), total) < EXACT
    asked = iter(theirs.numpy())
    assert largest_difference(solution("mc_predict")(lambda x: next(asked), X, 8), average) < EXACT


def test_the_entropy_of_the_mean_is_not_the_mean_of_the_entropies():
    _, stack = stacks()
    total = torch.special.entr(stack.mean(dim=0)).sum(dim=-1)
    within = torch.special.entr(stack).sum(dim=-1).mean(dim=0)
    assert (total - within).min() > -EXACT
    assert (total - within).max() > DIFFERENT


def test_averaged_logits_are_another_prediction():
    _, stack = stacks()
    geometric = torch.softmax(stack.log().mean(dim=0), dim=-1)
    assert largest_difference(stack.mean(dim=0), geometric) > DIFFERENT


def test_only_dropout_is_on():
    ours, theirs = networks(AlwaysDropout(RATE))
    plain, _ = networks(keras.layers.Dropout(RATE))
    before, other_before = statistics(ours, theirs)
    dropout_on(theirs)
    with torch.no_grad():
        stack = np.stack([ours(X) for _ in range(20)])
        other = torch.stack([theirs(torch.from_numpy(X)) for _ in range(20)])
        deterministic = theirs.eval()(torch.from_numpy(X))
    after, other_after = statistics(ours, theirs)
    assert largest_difference(before, after) == largest_difference(other_before, other_after) == 0
    assert largest_difference(after, other_after) == 0
    assert np.ptp(stack, axis=0).max() > DIFFERENT
    assert np.ptp(other.numpy(), axis=0).max() > DIFFERENT
    assert largest_difference(plain(X), deterministic) < EXACT


def test_the_whole_model_in_training_mode_moves_the_statistics():
    ours, theirs = networks(keras.layers.Dropout(RATE))
    before, other_before = statistics(ours, theirs)
    ours(X, training=True)
    theirs.train()(torch.from_numpy(X))
    after, other_after = statistics(ours, theirs)
    assert largest_difference(before, after) > 1e-3
    assert largest_difference(other_before, other_after) > DIFFERENT


def test_a_call_without_a_word_about_the_mode(convention):
    ours, theirs = networks(keras.layers.Dropout(RATE))
    x = torch.from_numpy(X)
    with torch.no_grad():
        fresh = copy.deepcopy(theirs)(x)  # a copy: this call moves the running statistics
        evaluated = theirs.eval()(x)
    convention(
        "mode of a plain call",
        keras="`model(x)` predicts in inference mode",
        torch="`model(x)` has the mode set last; a new model is in training mode",
        rule="call `model.eval()` before you predict",
        agreement=largest_difference(ours(X), evaluated),
        naive=largest_difference(ours(X), fresh),
    )


def test_how_long_training_mode_lasts(convention):
    ours, theirs = networks(keras.layers.Dropout(RATE))
    for norm in (ours.layers[1], theirs[1]):
        norm.momentum = 1.0 if norm is ours.layers[1] else 0.0  # leave the statistics alone
    x = torch.from_numpy(X)
    ours(X, training=True)
    with torch.no_grad():
        theirs.train()(x)
        later = theirs(x)
        switched = theirs.eval()(x)
    convention(
        "how long training mode lasts",
        keras="`training=True` holds for one call",
        torch="`model.train()` holds until `model.eval()`",
        rule="`model.eval()` after every pass that was meant for training mode",
        agreement=largest_difference(ours(X), switched),
        naive=largest_difference(ours(X), later),
    )


def test_a_dropout_function_does_not_know_the_mode(convention):
    class Forgetful(nn.Module):
        def forward(self, x, *training):
            return nn.functional.dropout(x, RATE, *training)

    forgetful, ones = Forgetful().eval(), torch.ones(20, 6, dtype=torch.float64)
    layer = keras.layers.Dropout(RATE)
    convention(
        "a plain call of dropout",
        keras="`Dropout(rate)(x)` drops nothing",
        torch="`F.dropout(x, rate)` drops, after `model.eval()` too",
        rule="`F.dropout(x, rate, self.training)`",
        agreement=largest_difference(layer(np.ones((20, 6))), forgetful(ones, forgetful.training)),
        naive=largest_difference(layer(np.ones((20, 6))), forgetful(ones)),
    )


def test_the_exercise_is_the_helper_and_drops_only(solution):
    p = special.softmax(2 * RNG.normal(size=(200, 4)), axis=1)
    y = RNG.integers(0, 4, size=200)
    by_hand = solution("expected_calibration_error")(p, y, 10)
    assert abs(by_hand - calibration.expected_calibration_error(p, y, 10)) < EXACT
    model = {"inputs": 6, "hidden": 5, "classes": 3, "rate": RATE, "eps": EPS}
    network, _ = solution("enable_dropout_only")(model)  # in the mode in which it is to be used
    x = torch.from_numpy(X)
    before = [b.clone() for b in network.buffers()]
    with torch.no_grad():
        assert largest_difference(network(x), network(x)) > 1e-4
    assert all(torch.equal(a, b) for a, b in zip(before, network.buffers(), strict=True))


def test_a_regression_splits_its_variance_alike_and_adds_up():
    """The mean of the variances and the variance of the means make the variance of a mixture."""
    ours, theirs = stacks()
    means, variances = ours[..., 0], keras.ops.exp(ours[..., 1])
    within, between = keras.ops.mean(variances, axis=0), keras.ops.var(means, axis=0)
    their_means, their_variances = theirs[..., 0], theirs[..., 1].exp()
    assert largest_difference(within, their_variances.mean(dim=0)) < EXACT
    assert largest_difference(between, their_means.var(dim=0, correction=0)) < EXACT
    second_moment = (their_variances + their_means**2).mean(dim=0)
    mixture = second_moment - their_means.mean(dim=0) ** 2
    assert largest_difference(within + between, mixture) < EXACT
    # PyTorch's own default divides by one pass less than there are.
    assert largest_difference(between, their_means.var(dim=0)) > 1e-6


def test_training_and_passes_agree_under_shared_masks(solution):
    """20 steps with shared batches and masks, then the entropies of passes with shared masks."""
    inputs, mask = keras.Input((6,)), keras.Input((5,))
    hidden = keras.layers.Dense(5, activation="relu")(inputs) * mask / (1 - RATE)
    model = keras.Model([inputs, mask], keras.layers.Dense(3)(hidden))
    set_weights(model, START)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(0.125), loss=loss)
    first, last = nn.Linear(6, 5), nn.Linear(5, 3)
    copy_weights(model, nn.Sequential(first, last))
    optimizer = torch.optim.SGD([*first.parameters(), *last.parameters()], lr=0.125)

    def forward(rows, m):
        hidden = torch.relu(first(torch.from_numpy(X[rows]))) * torch.from_numpy(m[rows])
        return last(hidden / (1 - RATE))

    for step, rows in enumerate(batches(20, 5, epochs=5)):
        m = MASKS[step % 8]
        model.train_on_batch([X[rows], m[rows]], Y[rows])
        optimizer.zero_grad()
        nn.functional.cross_entropy(forward(rows, m), torch.from_numpy(Y[rows])).backward()
        optimizer.step()
    assert largest_difference(model, nn.Sequential(first, last)) < EXACT
    with torch.no_grad():
        stack = torch.stack([torch.softmax(forward(np.arange(20), m), 1) for m in MASKS])
    passes = keras.ops.stack([keras.ops.softmax(model([X, m])) for m in MASKS])
    assert largest_difference(passes, stack) < EXACT
    text, *intervals = solution("diagnose_uncertainty")(stack.numpy(), np.asarray(passes))
    assert text == "cannot tell"  # the two libraries say the same
    assert np.abs(intervals).max() < EXACT
