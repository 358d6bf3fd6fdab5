"""The conversion rules of the lesson on scaling the inputs, proved in float64."""

import keras
import numpy as np
import pytest
import torch
from torch import nn

from regbook.pairs import batches, copy_weights, largest_difference

EXACT, DIFFERENT = 1e-12, 1e-3
RNG = np.random.default_rng(0)
SPREAD = np.array([0.004, 0.5, 3.0, 20.0])
X = 2 * SPREAD + SPREAD * RNG.normal(size=(40, 4))
NEW = 2 * SPREAD + SPREAD * RNG.normal(size=(12, 4))
Y = RNG.integers(0, 3, size=40)

pytestmark = pytest.mark.usefixtures("float64")


def adapted(x=X, **options):
    layer = keras.layers.Normalization(**options)
    layer.adapt(x)
    return layer


class Scaler(nn.Module):
    """The module of the lesson: statistics in buffers."""

    def __init__(self, columns):
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("std", torch.ones(columns))

    def fit(self, x):
        self.mean.copy_(x.mean(dim=0))
        std = x.std(dim=0, correction=0)
        self.std.copy_(torch.where(x.amax(dim=0) > x.amin(dim=0), std, 1))
        return self

    def forward(self, x):
        return (x - self.mean) / self.std


def test_adapt_is_a_module_with_biased_statistics(convention):
    mean, x = torch.from_numpy(X).mean(dim=0), torch.from_numpy(X)
    ours, new = adapted()(NEW), torch.from_numpy(NEW)
    agreement = largest_difference(ours, Scaler(4).fit(x)(new))
    assert agreement < EXACT
    convention(
        "standard deviation of a column",
        keras="`Normalization.adapt`: divides by $m$",
        torch="`torch.std`: divides by $m - 1$",
        rule="`torch.std(correction=0)`",
        agreement=agreement,
        naive=largest_difference(ours, (new - mean) / x.std(dim=0)),
    )


def test_given_statistics_are_a_variance(convention):
    mean, std = X.mean(axis=0), X.std(axis=0)
    theirs = (torch.from_numpy(NEW) - torch.from_numpy(mean)) / torch.from_numpy(std)

    def given(spread):
        return keras.layers.Normalization(mean=mean, variance=spread)(NEW)

    convention(
        "spread handed to a scaler",
        keras="`Normalization(variance=...)`: the variance",
        torch="`(x - mean) / std`: the standard deviation",
        rule="variance = std²",
        agreement=largest_difference(given(std**2), theirs),
        naive=largest_difference(given(std), theirs),
    )


def test_epsilon_is_a_floor_in_keras_and_a_summand_in_batch_norm(convention):
    ours = adapted()(NEW)
    x, new = torch.from_numpy(X), torch.from_numpy(NEW)

    def batch_norm(**options):
        layer = nn.BatchNorm1d(4, affine=False, **options).eval()
        layer.running_mean.copy_(x.mean(dim=0))
        layer.running_var.copy_(x.var(dim=0, correction=0))
        return layer(new)

    convention(
        "epsilon of a scaler",
        keras="`Normalization`: $\\max(\\sqrt{\\text{variance}}, 10^{-7})$",
        torch="`BatchNorm1d` as a scaler: $\\sqrt{\\text{variance} + 10^{-5}}$",
        rule="`eps=0`",
        agreement=largest_difference(ours, batch_norm(eps=0)),
        naive=largest_difference(ours, batch_norm()),
    )


def test_axis_names_what_is_kept(convention):
    images = RNG.normal(size=(5, 4, 4, 4)) * SPREAD + SPREAD
    x = torch.from_numpy(images)

    def scaled(dim):
        mean, std = x.mean(dim=dim, keepdim=True), x.std(dim=dim, keepdim=True, correction=0)
        return (x - mean) / std

    ours = adapted(images, axis=-1)(images)
    convention(
        "axis of the statistics",
        keras="`Normalization(axis=-1)`: the axis that is kept",
        torch="`mean(dim=-1)`: the axis that is summed away",
        rule="`dim` = all axes but `axis`",
        agreement=largest_difference(ours, scaled((0, 1, 2))),
        naive=largest_difference(ours, scaled(-1)),
    )


def test_channels_last_and_channels_first_share_their_statistics():
    images = RNG.normal(size=(6, 5, 3, 4)) * SPREAD + SPREAD
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    std = x.std(dim=(0, 2, 3), keepdim=True, correction=0)
    theirs = ((x - mean) / std).permute(0, 2, 3, 1)
    assert largest_difference(adapted(images)(images), theirs) < EXACT
    one = adapted(images, axis=None)(images)
    assert largest_difference(one, (images - images.mean()) / images.std()) < EXACT
    assert largest_difference(one, theirs) > DIFFERENT


def test_invert_is_the_way_back():
    z = adapted()(NEW)
    assert largest_difference(adapted(invert=True)(z), NEW) < EXACT
    scaler = Scaler(4).fit(torch.from_numpy(X))
    assert (
        largest_difference(
            adapted(invert=True)(z), scaler(torch.from_numpy(NEW)) * scaler.std + scaler.mean
        )
        < EXACT
    )


def test_a_constant_column_is_divided_by_the_floor_in_keras():
    x, new = X.copy(), NEW.copy()
    x[:, 0], new[:, 0] = 0.5, 0.75
    ours = np.asarray(adapted(x)(new))
    assert np.allclose(ours[:, 0], 0.25 / 1e-7)
    theirs = Scaler(4).fit(torch.from_numpy(x))(torch.from_numpy(new))
    assert np.allclose(theirs[:, 0], 0.25)
    assert largest_difference(ours[:, 1:], theirs[:, 1:]) < EXACT


def test_adapt_on_batches_is_adapt_on_the_whole():
    parts = [X[:7], X[7:30], X[30:]]
    gap = largest_difference(adapted(parts)(NEW), adapted()(NEW))
    assert gap < 1e-6  # the weights of the batches are Python floats, which pass float32


def models():
    head = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    ours = keras.Sequential([keras.Input((4,)), adapted(), head])
    theirs = nn.Sequential(Scaler(4).fit(torch.from_numpy(X)), nn.Linear(4, 3))
    copy_weights(head, theirs[1])
    return ours, head, theirs


def train(ours, theirs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours.compile(keras.optimizers.SGD(0.125), loss, run_eagerly=True)
    optimizer = torch.optim.SGD(theirs.parameters(), 0.125)
    for rows in batches(40, 10, epochs=5, seed=0):
        ours.train_on_batch(X[rows], Y[rows])
        optimizer.zero_grad()
        logits = theirs(torch.from_numpy(X[rows]))
        nn.functional.cross_entropy(logits, torch.from_numpy(Y[rows])).backward()
        optimizer.step()


def test_twenty_steps_behind_the_scaler():
    ours, head, theirs = models()
    train(ours, theirs)
    assert largest_difference(head, theirs[1]) < EXACT
    assert largest_difference(theirs[0].mean, X.mean(axis=0)) < EXACT


def test_twenty_steps_with_the_unbiased_deviation_differ():
    ours, head, theirs = models()
    theirs[0].std.copy_(torch.from_numpy(X.std(axis=0, ddof=1)))
    train(ours, theirs)
    assert largest_difference(head, theirs[1]) > 1e-4


def test_both_survive_a_file(tmp_path):
    ours, _, theirs = models()
    ours.save(tmp_path / "model.keras")
    ours.save_weights(tmp_path / "model.weights.h5")
    torch.save(theirs.state_dict(), tmp_path / "model.pt")
    head = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    fresh = keras.Sequential([keras.Input((4,)), keras.layers.Normalization(), head])
    before = np.asarray(fresh(NEW))
    fresh.load_weights(tmp_path / "model.weights.h5")
    fresh_torch = nn.Sequential(Scaler(4), nn.Linear(4, 3))
    fresh_torch.load_state_dict(torch.load(tmp_path / "model.pt"))
    logits = theirs(torch.from_numpy(NEW))
    assert largest_difference(before, logits) > DIFFERENT
    assert largest_difference(fresh(NEW), logits) < EXACT
    assert (
        largest_difference(keras.models.load_model(tmp_path / "model.keras")(NEW), logits) < EXACT
    )
    assert largest_difference(fresh(NEW), fresh_torch(torch.from_numpy(NEW))) < EXACT


def test_a_plain_attribute_stays_behind():
    class Forgetful(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean = torch.ones(4)

    assert not Forgetful().state_dict()
    given = keras.layers.Normalization(mean=np.ones(4), variance=np.ones(4))
    given.build((None, 4))
    assert not given.weights


def test_formulas_of_the_exercises_are_the_layer_of_keras(solution):
    stats = solution("fit_scaler")(X)
    assert largest_difference(adapted()(NEW), solution("transform")(NEW, stats)) < EXACT
