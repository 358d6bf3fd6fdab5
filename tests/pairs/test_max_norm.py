"""The conversion rules of the lesson on weight constraints, proved in float64.

Every run starts from equal weights and takes 20 steps on equal batches. Keras casts Python floats
through float32, so the rates and radii here are powers of two. Keras adds its epsilon, 1e-7, to
every norm: a fixture takes it away where the rule itself is under test.
"""

import functools

import keras
import numpy as np
import pytest
import torch
from torch import nn

from regbook.pairs import batches, largest_difference, set_weights, weights

LR, R = 2**-2, 2**-1
EXACT, DIFFERENT = 1e-12, 1e-2
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 6)), RNG.integers(0, 3, size=40)
IMAGES = RNG.normal(size=(40, 5, 5, 2))
START = [RNG.normal(scale=0.5, size=shape) for shape in [(6, 5), (5,), (5, 3), (3,)]]
CONV_START = [RNG.normal(scale=0.5, size=shape) for shape in [(3, 3, 2, 4), (4,), (4, 3), (3,)]]
MaxNorm = keras.constraints.MaxNorm

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture
def no_epsilon():
    """Make Keras's epsilon so small that it is lost in float64."""
    epsilon = keras.config.epsilon()
    keras.config.set_epsilon(1e-60)
    yield
    keras.config.set_epsilon(epsilon)


@torch.no_grad()
def project(w, r, dim):
    norm = torch.linalg.vector_norm(w, dim=dim, keepdim=True)
    w.mul_((r / norm).clamp(max=1))


@torch.no_grad()
def project_like_keras(w, r, dim):
    """Keras's formula, its epsilon included."""
    norm = torch.linalg.vector_norm(w, dim=dim, keepdim=True)
    w.mul_(norm.clamp(0, r) / (keras.config.epsilon() + norm))


def train_keras(model, start, x):
    set_weights(model, start)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(LR, momentum=0.5), loss, run_eagerly=True)
    for rows in batches(len(Y), 10, epochs=5, seed=0):
        model.train_on_batch(x[rows], Y[rows])
    return model


def train_torch(model, start, x, constrain, before=False):
    """Return the model after 20 steps; constrain is called with it after (or before) each."""
    set_weights(model, start)
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=0.5)
    for rows in batches(len(Y), 10, epochs=5, seed=0):
        optimizer.zero_grad()
        logits = model(torch.from_numpy(x[rows]))
        nn.functional.cross_entropy(logits, torch.from_numpy(Y[rows])).backward()
        if before:
            constrain(model)
        optimizer.step()
        if not before:
            constrain(model)
    return model


def dense_keras(kernel=None, bias=None):
    dense = keras.layers.Dense
    layers = [
        dense(5, "tanh", kernel_constraint=kernel, bias_constraint=bias),
        dense(3, kernel_constraint=kernel),
    ]
    return train_keras(keras.Sequential([keras.Input((6,)), *layers]), START, X)


@functools.cache
def bounded():
    """Return the network under max-norm; its weights do not change afterwards."""
    return dense_keras(MaxNorm(R, axis=0))


def dense_torch(constrain, **options):
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    return train_torch(model, START, X, constrain, **options)


def units(dim, rule=project):
    def constrain(model):
        rule(model[0].weight, R, dim)
        rule(model[2].weight, R, dim)

    return constrain


def unit_norms(model):
    return [np.linalg.norm(w, axis=0) for w in weights(model)[::2]]


def test_some_units_lie_on_the_wall_and_some_inside(no_epsilon):
    norms = np.concatenate(unit_norms(bounded()))
    assert max(n.max() for n in unit_norms(dense_keras())) > 2 * R
    assert norms.max() < R + EXACT
    assert 0 < (norms > 0.999 * R).sum() < len(norms)


def test_axis_0_of_a_dense_kernel_is_dim_1(no_epsilon, convention):
    convention(
        "axis of a max-norm constraint on a dense layer",
        keras="`MaxNorm(r, axis=0)`: the inputs come first",
        torch="`dim=1`: the outputs come first",
        rule="sum over the inputs of a unit, wherever they are",
        agreement=largest_difference(bounded(), dense_torch(units(1))),
        naive=largest_difference(bounded(), dense_torch(units(0))),
    )
    assert largest_difference(dense_keras(MaxNorm(R, axis=1)), dense_torch(units(0))) < EXACT


def test_projection_before_the_step_is_another_method(no_epsilon):
    early = dense_torch(units(1), before=True)
    assert largest_difference(bounded(), early) > DIFFERENT
    assert max(n.max() for n in unit_norms(early)) > R + DIFFERENT


def test_epsilon_belongs_to_every_norm():
    ours = dense_keras(MaxNorm(R))
    assert largest_difference(ours, dense_torch(units(1, project_like_keras))) < EXACT
    gap = largest_difference(ours, dense_torch(units(1)))
    assert 1e-8 < gap < 1e-5


def test_renorm_names_the_axis_of_the_units(no_epsilon):
    w = RNG.normal(size=(4, 6))
    ours = MaxNorm(R, axis=1)(w)
    assert largest_difference(ours, torch.renorm(torch.from_numpy(w), 2, 0, R)) < 1e-6
    assert largest_difference(ours, torch.renorm(torch.from_numpy(w), 2, 1, R)) > DIFFERENT


def test_a_convolution_has_one_norm_per_filter(no_epsilon, convention):
    def in_keras(axis):
        conv = keras.layers.Conv2D(4, 3, kernel_constraint=MaxNorm(R, axis=axis))
        pool, head = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)
        model = keras.Sequential([keras.Input((5, 5, 2)), conv, pool, head])
        return train_keras(model, CONV_START, IMAGES)

    def constrain(model):
        project(model[0].weight, R, (1, 2, 3))

    layers = [nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]
    images = IMAGES.transpose(0, 3, 1, 2)
    theirs = train_torch(nn.Sequential(*layers), CONV_START, images, constrain)
    naive = in_keras(0)
    convention(
        "axis of a max-norm constraint on a convolution",
        keras="`MaxNorm(r, axis=[0, 1, 2])`; the default 0 bounds each column of each filter",
        torch="`dim=(1, 2, 3)`: the filters come first",
        rule="one norm per filter",
        agreement=largest_difference(in_keras([0, 1, 2]), theirs),
        naive=largest_difference(naive, theirs),
    )
    assert np.linalg.norm(weights(naive)[0].reshape(-1, 4), axis=0).max() > 2 * R


def test_a_bias_constraint_bounds_all_biases_together(no_epsilon):
    ours = dense_keras(bias=MaxNorm(R / 4))

    def together(model):
        project(model[0].bias, R / 4, 0)

    @torch.no_grad()
    def each(model):
        model[0].bias.clamp_(-R / 4, R / 4)

    assert largest_difference(ours, dense_torch(together)) < EXACT
    assert largest_difference(ours, dense_torch(each)) > DIFFERENT


def test_the_relatives(no_epsilon):
    w = RNG.normal(scale=0.5, size=(6, 8))
    norm = np.linalg.norm(w, axis=0)
    assert largest_difference(keras.constraints.UnitNorm()(w), w / norm) < EXACT
    between = keras.constraints.MinMaxNorm(1, 1.25)(w)
    assert largest_difference(between, w * norm.clip(1, 1.25) / norm) < EXACT
    assert largest_difference(keras.constraints.NonNeg()(w), np.maximum(w, 0)) == 0


def test_weight_normalization_with_lengths_of_1_is_unit_norm(no_epsilon):
    learned = nn.utils.parametrizations.weight_norm(nn.Linear(6, 5))
    learned.parametrizations.weight.original1.data.copy_(torch.from_numpy(START[0].T))
    learned.parametrizations.weight.original0.data.fill_(1)
    assert largest_difference(keras.constraints.UnitNorm()(START[0]), learned.weight.T) < EXACT


def spectral_keras(kernel, **options):
    """Return a Keras layer under spectral normalization; many iterations make it exact."""
    layer = keras.layers.SpectralNormalization(keras.layers.Dense(5), **options)
    layer.build((None, 6))
    layer.layer.set_weights([kernel, np.zeros(5)])
    return layer


def spectral_torch(kernel):
    layer = nn.Linear(6, 5)
    layer.weight.data.copy_(torch.from_numpy(kernel.T))
    layer.bias.data.zero_()
    return nn.utils.parametrizations.spectral_norm(layer, n_power_iterations=200)


@pytest.mark.parametrize("factor", [4, 2**-7])
def test_spectral_normalization_makes_the_largest_singular_value_1(factor):
    """From above and from below; Keras changes a kernel in a pass of training, and in no other."""
    kernel = factor * START[0]
    layer = spectral_keras(kernel, power_iterations=200)
    layer(X, training=False)
    assert largest_difference(layer.kernel, kernel) == 0
    layer(X, training=True)
    exact = kernel / np.linalg.norm(kernel, ord=2)
    assert largest_difference(layer.kernel, exact) < EXACT
    assert largest_difference(exact, spectral_torch(kernel).weight.T) < EXACT


def test_spectral_normalization_trains_differently(convention):
    kernel = START[0] + 1  # of one large singular value, which few iterations find
    layer = spectral_keras(kernel, power_iterations=25)
    model = keras.Sequential([keras.Input((6,)), layer])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(LR), loss, run_eagerly=True)
    through, plain = spectral_torch(kernel), nn.Linear(6, 5)
    plain.weight.data.copy_(torch.from_numpy(kernel.T))
    plain.bias.data.zero_()

    @torch.no_grad()
    def divide():
        plain.weight.div_(torch.linalg.matrix_norm(plain.weight, ord=2))

    for rows in batches(len(Y), 10, epochs=5, seed=0):
        model.train_on_batch(X[rows], Y[rows])
        divide()
        for theirs in (through, plain):
            theirs.zero_grad()
            logits = theirs(torch.from_numpy(X[rows]))
            nn.functional.cross_entropy(logits, torch.from_numpy(Y[rows])).backward()
            with torch.no_grad():
                for p in theirs.parameters():
                    p -= LR * p.grad
    layer(X, training=True)
    divide()
    convention(
        "spectral normalization of a layer",
        keras="`SpectralNormalization(layer)` overwrites the kernel before each pass of training",
        torch="`parametrizations.spectral_norm(layer)` divides a raw kernel in each pass, and the "
        "gradient goes through the division",
        rule="divide the weight in place before each pass, under `no_grad()`",
        agreement=largest_difference(layer.kernel, plain.weight.T),
        naive=largest_difference(layer.kernel, through.weight.T),
    )


def test_nothing_is_enforced_before_the_first_step(no_epsilon):
    layer = keras.layers.Dense(5, kernel_constraint=MaxNorm(R))
    model = keras.Sequential([keras.Input((6,)), layer])
    model.set_weights([10 * START[0], START[1]])
    assert np.linalg.norm(model.get_weights()[0], axis=0).max() > 2 * R


def test_formula_of_the_exercise_is_the_constraint_of_keras(no_epsilon, solution):
    projection = solution("max_norm_projection")
    assert largest_difference(MaxNorm(R)(START[0]), projection(START[0], R, 0)) < EXACT
    filters = CONV_START[0]
    ours = MaxNorm(R, axis=[0, 1, 2])(filters)
    assert largest_difference(ours, projection(filters, R, (0, 1, 2))) < EXACT
