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


def test_twenty_steps_of_a_convolutional_network():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(80, 9, 9, 2)), rng.integers(0, 3, 80)  # rows, height, width, channels
    keras.utils.set_random_seed(0)
    ours = keras.Sequential(
        [
            keras.Input((9, 9, 2)),
            keras.layers.Conv2D(4, 3, strides=2, use_bias=False),
            keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPS),
            keras.layers.ReLU(),
            keras.layers.Permute((3, 1, 2)),  # flatten channels first, as PyTorch does
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    theirs = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, bias=False),
        nn.BatchNorm2d(4, momentum=1 - MOMENTUM, eps=EPS),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 4 * 4, 3),
    )
    copy_weights(ours, theirs)
    images = torch.tensor(x.transpose(0, 3, 1, 2))
    steps = list(batches(len(x), batch_size=8, epochs=2))
    train_both(ours, theirs, steps, (x, y), (images, torch.tensor(y)))
    in_keras = weights(ours)
    in_keras[4] = to_torch_variance(in_keras[4], MOMENTUM, steps=20, rows=8 * 4 * 4)
    assert gap(in_keras, weights(theirs)) < TOL
    copy_weights(ours, theirs)
    assert gap(ours(x, training=False), theirs.eval()(images)) < TOL


def train_both(ours, theirs, steps, keras_data, torch_data, accumulate=None, divisor=1):
    """Train both by SGD on equal batches; `accumulate` of them are one step."""
    (x, y), (inputs, targets) = keras_data, torch_data
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours.compile(keras.optimizers.SGD(0.125, gradient_accumulation_steps=accumulate), loss)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.125)
    for number, rows in enumerate(steps, start=1):
        ours.train_on_batch(x[rows], y[rows])
        (nn.functional.cross_entropy(theirs(inputs[rows]), targets[rows]) / divisor).backward()
        if number % (accumulate or 1) == 0:
            optimizer.step()
            optimizer.zero_grad()


def small_pair():
    """Return a dense layer with batch norm in both libraries, with equal weights."""
    keras.utils.set_random_seed(0)
    norm = keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPS)
    dense = keras.layers.Dense(4, use_bias=False)
    ours = keras.Sequential([keras.Input((5,)), dense, norm, keras.layers.Dense(3)])
    theirs = nn.Sequential(
        nn.Linear(5, 4, bias=False),
        nn.BatchNorm1d(4, momentum=1 - MOMENTUM, eps=EPS),
        nn.Linear(4, 3),
    )
    copy_weights(ours, theirs)
    return ours, theirs


def test_keras_averages_accumulated_gradients(convention):
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(64, 5)), rng.integers(0, 3, 64)
    data = (x, y), (torch.tensor(x), torch.tensor(y))
    found = {}
    for divisor in (4, 1):
        ours, theirs = small_pair()
        train_both(ours, theirs, list(batches(64, 8)), *data, accumulate=4, divisor=divisor)
        in_keras = weights(ours)
        in_keras[4] = to_torch_variance(in_keras[4], MOMENTUM, steps=8, rows=8)
        found[divisor] = gap(in_keras, weights(theirs))
    convention(
        "gradient accumulation",
        keras="`gradient_accumulation_steps=k` averages the gradients of k batches",
        torch="`backward()` k times before `step()` adds them",
        rule="`(loss / k).backward()`; batch normalization sees single batches in both",
        agreement=found[4],
        naive=found[1],
    )
    ours, theirs = small_pair()
    train_both(ours, theirs, [np.arange(64)], *data)
    assert gap(in_keras[0], weights(theirs)[0]) > 1e-3  # batch norm saw 8 rows, not 64


def test_sequences_have_other_axes(convention):
    rng = np.random.default_rng(8)
    x, kernel = rng.normal(2, 3, size=(6, 3, 3)), rng.normal(size=(3, 3, 3))  # both ways run
    ours = keras.Sequential(
        [
            keras.Input((3, 3)),
            keras.layers.Conv1D(3, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPS),
        ]
    )
    ours.layers[0].set_weights([kernel])
    norm = nn.BatchNorm1d(3, momentum=1 - MOMENTUM, eps=EPS)

    def in_torch(inputs, filters):
        inputs, filters = torch.tensor(inputs), torch.tensor(filters)
        return norm(nn.functional.conv1d(inputs, filters, padding="same")).detach().numpy()

    expected = ours(x, training=True)
    converted = in_torch(x.transpose(0, 2, 1), kernel.transpose(2, 1, 0)).transpose(0, 2, 1)
    convention(
        "axes of sequences and one-dimensional filters",
        keras="sequences (rows, time, channels), filters (time, in, out); batch normalization: "
        "the last axis",
        torch="sequences (rows, channels, time), filters (out, in, time); `BatchNorm1d`: the "
        "second axis",
        rule="`x.transpose(0, 2, 1)` and `kernel.transpose(2, 1, 0)`",
        agreement=gap(expected, converted),
        naive=gap(expected, in_torch(x, kernel)),
    )


def test_rms_norm(convention):
    x = np.random.default_rng(9).normal(3, 2, size=(6, 8))
    ours = keras.layers.RMSNormalization(epsilon=EPS)(x)
    assert gap(ours, nn.RMSNorm(8, eps=EPS)(torch.tensor(x))) < TOL
    scratch = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + EPS)
    assert gap(scratch, ours) < TOL
    x = 0.001 * x
    ours = keras.layers.RMSNormalization()(x)
    convention(
        "default `epsilon` of RMS normalization",
        keras="1e-6",
        torch="the machine epsilon of the inputs' format (1.2e-7 in float32)",
        rule="`nn.RMSNorm(..., eps=1e-6)`",
        agreement=gap(ours, nn.RMSNorm(8, eps=1e-6)(torch.tensor(x))),
        naive=gap(ours, nn.RMSNorm(8)(torch.tensor(x))),
    )


def test_statistics_estimated_again_are_those_of_all_rows():
    """With equal batches the plain average is exact for the mean, and for the variance within."""
    x = np.random.default_rng(10).normal(3, 2, size=(40, 5))
    layer = nn.BatchNorm1d(5, momentum=None)  # None: all batches count alike
    layer.reset_running_stats()
    for rows in np.split(x, 4):
        layer(torch.tensor(rows))
    within = np.mean([rows.var(axis=0, ddof=1) for rows in np.split(x, 4)], axis=0)
    assert gap(x.mean(axis=0), layer.running_mean) < TOL
    assert gap(within, layer.running_var) < TOL
