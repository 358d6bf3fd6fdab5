"""Batch norm in Keras, in PyTorch and from scratch is one and the same, up to stated rules."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import nn

from regbook.arrays import to_numpy
from regbook.pairs import batches, copy_weights, largest_difference, weights

TOL = 1e-12
EPS = 2**-10
MOMENTUM = 0.875  # Keras's; PyTorch's is 1 - MOMENTUM

pytestmark = pytest.mark.usefixtures("float64")


def gap(*results):
    """Return the largest difference of any result from the first."""
    return max(largest_difference(results[0], other) for other in results[1:])


def to_torch_variance(keras_variance, momentum, steps, rows):
    """Apply the rule rv_torch = m^T + (rv_keras - m^T) n / (n - 1)."""
    start = momentum**steps
    return start + (to_numpy(keras_variance) - start) * rows / (rows - 1)


def layers(units, gamma=None, beta=None):
    """Return a Keras and a PyTorch layer with equal settings and equal gamma and beta."""
    ours = keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPS)
    ours.build((None, units))
    theirs = nn.BatchNorm1d(units, momentum=1 - MOMENTUM, eps=EPS)
    if gamma is not None:
        ours.gamma.assign(gamma)
        ours.beta.assign(beta)
        theirs.weight.data, theirs.bias.data = torch.tensor(gamma), torch.tensor(beta)
    return ours, theirs


@pytest.fixture
def batch():
    """A batch x of shape (12, 5), gamma, beta, and a gradient dy of the shape of x."""
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, size=(12, 5))
    return x, rng.uniform(0.5, 2, 5), rng.normal(size=5), rng.normal(size=x.shape)


def test_the_fixture_is_in_force():
    assert keras.layers.Dense(1).dtype_policy.variable_dtype == "float64"
    assert nn.Linear(1, 1).weight.dtype == torch.float64


def test_training_output(batch, solution):
    x, gamma, beta, _ = batch
    ours, theirs = layers(5, gamma, beta)
    scratch = solution("batchnorm_forward")(x, gamma, beta, EPS)
    assert gap(scratch, ours(x, training=True), theirs(torch.tensor(x))) < TOL


def test_default_epsilons_differ_where_the_variance_is_small(convention):
    x = 0.05 * np.random.default_rng(1).normal(size=(32, 5))
    ours = keras.layers.BatchNormalization()(x, training=True)
    convention(
        "default `epsilon` of batch normalization",
        keras="1e-3",
        torch="1e-5",
        rule="`nn.BatchNorm1d(..., eps=1e-3)`",
        agreement=gap(ours, nn.BatchNorm1d(5, eps=1e-3)(torch.tensor(x))),
        naive=gap(ours, nn.BatchNorm1d(5)(torch.tensor(x))),
    )


def test_backward(batch, solution):
    x, gamma, beta, dy = batch
    ours, theirs = layers(5, gamma, beta)
    with tf.GradientTape() as tape:
        inputs = tf.Variable(x)
        loss = keras.ops.sum(dy * ours(inputs, training=True))
    in_keras = tape.gradient(loss, [inputs, ours.gamma.value, ours.beta.value])
    inputs = torch.tensor(x, requires_grad=True)
    theirs(inputs).backward(torch.tensor(dy))
    in_torch = [inputs.grad, theirs.weight.grad, theirs.bias.grad]
    scratch = list(solution("batchnorm_backward")(dy, x, gamma, EPS))
    assert gap(scratch, in_keras, in_torch) < TOL


@pytest.mark.parametrize("rows", [2, 4, 12])
def test_running_statistics_and_inference(rows, solution, convention):
    rng = np.random.default_rng(2)
    steps = rng.normal(3, 2, size=(20, rows, 5))
    (ours, theirs), update = layers(5), solution("running_stats_update")
    in_keras = in_torch = (np.zeros(5), np.ones(5))
    for x in steps:
        ours(x, training=True)
        theirs(torch.tensor(x))
        in_keras = update(*in_keras, x, MOMENTUM, "keras")
        in_torch = update(*in_torch, x, 1 - MOMENTUM, "torch")

    assert gap(in_keras[0], ours.moving_mean, theirs.running_mean, in_torch[0]) < TOL
    assert gap(in_keras[1], ours.moving_variance) < TOL
    assert gap(in_torch[1], theirs.running_var) < TOL
    converted = to_torch_variance(ours.moving_variance, MOMENTUM, len(steps), rows)
    if rows == 12:  # one row of the table is enough
        other = nn.BatchNorm1d(5, momentum=MOMENTUM, eps=EPS)
        for x in steps:
            other(torch.tensor(x))
        convention(
            "`momentum` of batch normalization",
            keras="the weight of the old running value",
            torch="the weight of the new batch",
            rule="`momentum_torch = 1 - momentum_keras`",
            agreement=gap(ours.moving_mean, theirs.running_mean),
            naive=gap(ours.moving_mean, other.running_mean),
        )
        convention(
            "running variance",
            keras="averages the biased variances of the batches (divided by n)",
            torch="averages the unbiased ones (divided by n - 1)",
            rule="`v_torch = r + (v_keras - r) * n / (n - 1)`, with `r = momentum_keras**steps`, "
            "what is left of the start at 1",
            agreement=gap(converted, theirs.running_var),
            naive=gap(ours.moving_variance, theirs.running_var),
        )
    assert gap(converted, theirs.running_var) < TOL
    assert gap(ours.moving_variance, theirs.running_var) > 0.05

    theirs.running_var.copy_(torch.tensor(to_numpy(ours.moving_variance)))
    theirs.eval()
    x = rng.normal(size=(7, 5))
    scratch = solution("fix_the_eval_bug")(x, 1, 0, *in_keras, MOMENTUM, EPS, False)
    assert gap(scratch[0], ours(x, training=False), theirs(torch.tensor(x))) < TOL


def test_images_count_their_pixels():
    x = np.random.default_rng(3).normal(3, 2, size=(4, 3, 3, 2))  # rows, height, width, channels
    ours = keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPS)
    theirs = nn.BatchNorm2d(2, momentum=1 - MOMENTUM, eps=EPS)
    in_torch = theirs(torch.tensor(x.transpose(0, 3, 1, 2))).permute(0, 2, 3, 1)
    assert gap(ours(x, training=True), in_torch) < TOL
    converted = to_torch_variance(ours.moving_variance, MOMENTUM, steps=1, rows=4 * 3 * 3)
    assert gap(converted, theirs.running_var) < TOL


def test_twenty_training_steps():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(320, 8)), rng.integers(0, 3, 320)
    keras.utils.set_random_seed(0)
    ours = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(16, use_bias=False),
            keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPS),
            keras.layers.ReLU(),
            keras.layers.Dense(3),
        ]
    )
    theirs = nn.Sequential(
        nn.Linear(8, 16, bias=False),
        nn.BatchNorm1d(16, momentum=1 - MOMENTUM, eps=EPS),
        nn.ReLU(),
        nn.Linear(16, 3),
    )
    copy_weights(ours, theirs)
    start = weights(ours)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours.compile(keras.optimizers.SGD(0.125), loss)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.125)
    for rows in batches(len(x), batch_size=16):
        ours.train_on_batch(x[rows], y[rows])
        optimizer.zero_grad()
        logits = theirs(torch.tensor(x[rows]))
        nn.functional.cross_entropy(logits, torch.tensor(y[rows])).backward()
        optimizer.step()

    in_keras, in_torch = weights(ours), weights(theirs)
    assert min(map(gap, start, in_keras)) > 1e-3  # all of them moved
    in_keras[4] = to_torch_variance(in_keras[4], MOMENTUM, steps=20, rows=16)
    assert gap(in_keras, in_torch) < TOL
    copy_weights(ours, theirs)
    theirs.eval()
    assert gap(ours(x, training=False), theirs(torch.tensor(x))) < TOL


def test_bias_before_it_has_no_gradient(batch):
    x, *_ = batch
    linear = nn.Linear(5, 4)
    (nn.BatchNorm1d(4)(linear(torch.tensor(x))) ** 3).sum().backward()
    assert linear.bias.grad.abs().max() < TOL
    assert linear.weight.grad.abs().max() > 1e-2


def test_layer_and_group_norm(convention):
    x = np.random.default_rng(5).normal(3, 2, size=(6, 8))
    ours = keras.layers.LayerNormalization(epsilon=EPS)(x)
    assert gap(ours, nn.LayerNorm(8, eps=EPS)(torch.tensor(x))) < TOL
    ours = keras.layers.GroupNormalization(groups=4, epsilon=EPS)(x)
    assert gap(ours, nn.GroupNorm(4, 8, eps=EPS)(torch.tensor(x))) < TOL
    x = 0.05 * x
    ours = keras.layers.LayerNormalization()(x)
    convention(
        "default `epsilon` of layer normalization",
        keras="1e-3",
        torch="1e-5",
        rule="`nn.LayerNorm(..., eps=1e-3)`",
        agreement=gap(ours, nn.LayerNorm(8, eps=1e-3)(torch.tensor(x))),
        naive=gap(ours, nn.LayerNorm(8)(torch.tensor(x))),
    )


def test_batch_of_one(batch, solution):
    x, gamma, beta, _ = batch
    ours, theirs = layers(5, gamma, beta)
    scratch = solution("batchnorm_forward")(x[:1], gamma, beta, EPS)
    assert gap(beta[None], ours(x[:1], training=True), scratch) < TOL
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        theirs(torch.tensor(x[:1]))


def test_frozen_layer_infers_in_keras_and_needs_eval_in_torch(batch, convention):
    x, gamma, beta, _ = batch
    ours, theirs = layers(5, gamma, beta)
    ours.trainable = False
    theirs.requires_grad_(False)
    frozen = ours(x, training=True)
    naive = gap(frozen, theirs(torch.tensor(x)))
    ours, theirs = layers(5, gamma, beta)
    theirs.requires_grad_(False).eval()
    convention(
        "frozen batch normalization",
        keras="`layer.trainable = False` uses the running statistics, in training too",
        torch="`requires_grad_(False)` still uses those of the batch",
        rule="`layer.requires_grad_(False).eval()`",
        agreement=gap(frozen, theirs(torch.tensor(x))),
        naive=naive,
    )
