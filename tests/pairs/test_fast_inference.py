"""Folding, rounding and pruning are one and the same in both libraries, up to stated rules."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import fusion

from regbook.pairs import batches, copy_weights, largest_difference, weights

TOL = 1e-12
EPS = 2**-10

pytestmark = pytest.mark.usefixtures("float64")


def statistics(rng, units):
    """Draw gamma, beta, mean and variance; some gammas are negative."""
    return [
        rng.choice([-1, 1], units) * rng.uniform(0.5, 2, units),
        rng.normal(size=units),
        rng.normal(size=units),
        rng.uniform(0.3, 2, units),
    ]


def keras_norm(held, axes=4):
    norm = keras.layers.BatchNormalization(epsilon=EPS)
    norm.build((*[None] * (axes - 1), len(held[0])))
    norm.set_weights(held)
    return norm


def torch_norm(held, kind=nn.BatchNorm2d):
    norm = kind(len(held[0]), eps=EPS).eval()
    norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var = map(
        torch.from_numpy, held
    )
    return norm


def scale_and_shift(held):
    gamma, beta, mean, var = held
    scale = gamma / np.sqrt(var + EPS)
    return scale, beta - mean * scale


def channels_first(images):
    return torch.from_numpy(images.transpose(0, 3, 1, 2))


def channels_last(tensor):
    return tensor.detach().permute(0, 2, 3, 1)


@pytest.mark.parametrize("has_bias", [True, False])
def test_dense_and_linear(solution, has_bias):
    rng = np.random.default_rng(0)
    x, kernel, held = rng.normal(size=(7, 4)), rng.normal(size=(4, 4)), statistics(rng, 4)
    bias = rng.normal(size=4) if has_bias else None
    dense = keras.layers.Dense(4, use_bias=has_bias)
    dense.build((None, 4))
    dense.set_weights([kernel, bias] if has_bias else [kernel])
    linear = nn.Linear(4, 4, bias=has_bias)
    linear.weight.data = torch.from_numpy(kernel.T.copy())
    if has_bias:
        linear.bias.data = torch.from_numpy(bias)
    in_keras = keras_norm(held, axes=2)(dense(x), training=False)
    in_torch = torch_norm(held, nn.BatchNorm1d)(linear(torch.from_numpy(x))).detach()
    folded, shift = solution("fold_batchnorm_dense")(kernel, bias, *held, EPS)
    assert largest_difference(in_keras, x @ folded + shift) < TOL
    assert largest_difference(in_torch, x @ folded + shift) < TOL
    fused = fusion.fuse_linear_bn_eval(linear.eval(), torch_norm(held, nn.BatchNorm1d))
    both = [fused.weight.detach().T, fused.bias.detach()]
    assert largest_difference([folded, shift], both) < TOL


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("has_bias", [True, False])
def test_convolutions(solution, convention, padding, has_bias):
    rng = np.random.default_rng(1)
    x, kernel = rng.normal(size=(2, 6, 6, 3)), rng.normal(size=(3, 3, 3, 3))  # h, w, in, out
    held, bias = statistics(rng, 3), rng.normal(size=3) if has_bias else None
    ours = keras.layers.Conv2D(3, 3, padding=padding, use_bias=has_bias)
    ours.build((None, 6, 6, 3))
    ours.set_weights([kernel, bias] if has_bias else [kernel])
    theirs = nn.Conv2d(3, 3, 3, padding=padding, bias=has_bias)
    copied = keras.Sequential([keras.Input((6, 6, 3)), ours])
    copy_weights(copied, nn.Sequential(theirs))
    in_keras = keras_norm(held)(ours(x), training=False)
    in_torch = channels_last(torch_norm(held)(theirs(channels_first(x))))
    assert largest_difference(in_keras, in_torch) < TOL

    weight = kernel.transpose(3, 2, 0, 1)
    folded, shift = solution("fold_batchnorm_conv")(weight, bias, *held, EPS)

    def in_one(weight):
        given = torch.from_numpy(weight), torch.from_numpy(shift)
        return channels_last(F.conv2d(channels_first(x), *given, padding=padding))

    gap = largest_difference(in_keras, in_one(folded))
    fused = fusion.fuse_conv_bn_eval(theirs.eval(), torch_norm(held))
    assert largest_difference([folded, shift], [fused.weight.detach(), fused.bias.detach()]) < TOL
    scale, _ = scale_and_shift(held)
    if padding == "valid" and has_bias:  # one row of the table is enough
        convention(
            "folding batch normalization into a convolution",
            keras="the output channels are the last axis of the kernel: `kernel * scale`",
            torch="they are the first axis of the weight",
            rule="`weight * scale.reshape(-1, 1, 1, 1)`; `weight * scale` scales the width and "
            "raises no error where it is as large as the number of channels",
            agreement=gap,
            naive=largest_difference(in_keras, in_one(weight * scale)),
        )
    assert gap < TOL


def test_transposed_convolutions(convention):
    rng = np.random.default_rng(2)
    x, kernel, held = rng.normal(size=(2, 5, 5, 3)), rng.normal(size=(2, 2, 3, 3)), None
    held = statistics(rng, 3)
    scale, shift = scale_and_shift(held)
    ours = keras.layers.Conv2DTranspose(3, 2, strides=2, use_bias=False)
    ours.build((None, 5, 5, 3))
    ours.set_weights([kernel])  # h, w, out, in
    in_keras = keras_norm(held)(ours(x), training=False)
    theirs = nn.ConvTranspose2d(3, 3, 2, stride=2, bias=False)
    theirs.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())  # in, out, h, w
    in_torch = channels_last(torch_norm(held)(theirs(channels_first(x))))
    assert largest_difference(in_keras, in_torch) < TOL
    right = fusion.fuse_conv_bn_eval(theirs.eval(), torch_norm(held), transpose=True)
    wrong = fusion.fuse_conv_bn_eval(theirs.eval(), torch_norm(held))
    ours.set_weights([kernel * scale[:, None]])
    convention(
        "folding batch normalization into a transposed convolution",
        keras="kernel (height, width, out, in): the third axis is scaled",
        torch="weight (in, out, height, width): the second axis is scaled",
        rule="`fuse_conv_bn_eval(conv, bn, transpose=True)`; without it nothing is raised where "
        "in = out",
        agreement=largest_difference(ours(x) + shift, channels_last(right(channels_first(x)))),
        naive=largest_difference(ours(x) + shift, channels_last(wrong(channels_first(x)))),
    )


def test_depthwise_convolutions():
    rng = np.random.default_rng(3)
    x, kernel, held = rng.normal(size=(2, 6, 6, 3)), rng.normal(size=(3, 3, 3, 2)), None
    held = statistics(rng, 6)
    scale, shift = scale_and_shift(held)
    ours = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)
    ours.build((None, 6, 6, 3))
    ours.set_weights([kernel])
    in_keras = keras_norm(held)(ours(x), training=False)
    ours.set_weights([kernel * scale.reshape(3, 2)])
    assert largest_difference(in_keras, ours(x) + shift) < TOL
    theirs = nn.Conv2d(3, 6, 3, groups=3, bias=False)
    theirs.weight.data = torch.from_numpy(kernel.transpose(2, 3, 0, 1).reshape(6, 1, 3, 3).copy())
    fused = fusion.fuse_conv_bn_eval(theirs.eval(), torch_norm(held))
    assert largest_difference(in_keras, channels_last(fused(channels_first(x)))) < TOL


def test_a_norm_behind_the_activation_goes_into_the_next_layer():
    rng = np.random.default_rng(4)
    z, kernel, held = rng.normal(size=(7, 4)), rng.normal(size=(4, 3)), statistics(rng, 4)
    scale, shift = scale_and_shift(held)
    hidden = np.maximum(z, 0)
    behind = (scale * hidden + shift) @ kernel
    assert largest_difference(behind, hidden @ (scale[:, None] * kernel) + shift @ kernel) < TOL
    backwards = np.maximum(scale * z + shift, 0) @ kernel
    assert largest_difference(behind, backwards) > 0.5


def test_a_norm_before_a_padded_convolution():
    """Zeros that were padded behind the norm are not what it makes of zeros before it."""
    rng = np.random.default_rng(5)
    x, weight = rng.normal(size=(2, 3, 6, 6)), rng.normal(size=(4, 3, 3, 3))
    held = statistics(rng, 3)
    scale, shift = (torch.from_numpy(a) for a in scale_and_shift(held))
    x, weight = torch.from_numpy(x), torch.from_numpy(weight)
    exact = F.conv2d(torch_norm(held)(x), weight, padding=1).detach()
    folded, bias = weight * scale[:, None, None], torch.einsum("oihw,i->o", weight, shift)
    gap = (F.conv2d(x, folded, bias, padding=1) - exact).abs()
    assert gap[:, :, 1:-1, 1:-1].max() < TOL
    assert gap.max() > 0.1
    border = torch.ones(2, 1, 8, 8)
    border[:, :, 1:-1, 1:-1] = 0
    padded = F.pad(x, (1, 1, 1, 1)) - border * (shift / scale)[:, None, None]
    assert largest_difference(exact, F.conv2d(padded, folded, bias)) < TOL


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_the_scale_of_int8(convention, solution):
    rng = np.random.default_rng(6)
    w = rng.normal(size=(6, 4))
    q, scale = solution("quantize_int8")(w)
    in_keras, inverse = keras.quantizers.abs_max_quantize(w, axis=0)
    inverse = np.array(inverse).ravel()

    def in_torch(scales):
        return torch.quantize_per_channel(
            torch.from_numpy(w).float(), scales, torch.zeros(4), axis=1, dtype=torch.qint8
        ).int_repr()

    assert largest_difference(in_keras, q) == 0
    convention(
        "scale of int8 weights",
        keras="whole number divided by weight: `kernel_scale`, by which one divides",
        torch="weight divided by whole number: `scale`, by which one multiplies",
        rule="`scale = 1 / kernel_scale`",
        agreement=largest_difference(in_keras, in_torch(torch.from_numpy(1 / inverse))),
        naive=largest_difference(in_keras, in_torch(torch.from_numpy(inverse))),
    )
    assert largest_difference(1 / inverse, scale) < 1e-7  # Keras adds 1e-7 to the largest size


def test_the_slope_of_leaky_relu(convention):
    x = np.linspace(-2, 2, 9)
    ours = keras.layers.LeakyReLU()(x)
    convention(
        "default slope of `LeakyReLU`",
        keras="0.3 (0.2 in `keras.activations.leaky_relu`)",
        torch="0.01",
        rule="`nn.LeakyReLU(0.3)`",
        agreement=largest_difference(ours, nn.LeakyReLU(float(np.float32(0.3)))(torch.tensor(x))),
        naive=largest_difference(ours, nn.LeakyReLU()(torch.tensor(x))),
    )


def test_training_with_pruned_weights(solution):
    """A constraint in Keras and a mask after the step keep the zeros and give equal weights."""
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(200, 6)), rng.integers(0, 3, 200)
    keras.utils.set_random_seed(0)

    class Mask(keras.constraints.Constraint):
        def __init__(self, mask):
            self.mask = mask

        def __call__(self, w):
            return w * self.mask

    ours = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3)]
    )
    theirs = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    kernels = [layer.kernel for layer in ours.layers]
    masks = []
    for layer in ours.layers:
        pruned = solution("magnitude_prune")(np.asarray(layer.kernel), 0.5)
        layer.kernel.assign(pruned)
        masks.append((pruned != 0) * 1.0)
        layer.kernel_constraint = Mask(masks[-1])
        layer.kernel.constraint = layer.kernel_constraint
    copy_weights(ours, theirs)
    ours.compile(
        keras.optimizers.SGD(0.125),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.125)
    for rows in batches(200, 20, epochs=2):
        ours.train_on_batch(x[rows], y[rows])
        optimizer.zero_grad()
        F.cross_entropy(theirs(torch.tensor(x[rows])), torch.tensor(y[rows])).backward()
        optimizer.step()
        with torch.no_grad():
            for linear, mask in zip(theirs[::2], masks, strict=True):
                linear.weight.mul_(torch.from_numpy(mask.T))
    assert largest_difference(weights(ours), weights(theirs)) < TOL
    for kernel, mask in zip(kernels, masks, strict=True):
        assert np.array_equal(np.asarray(kernel) != 0, mask != 0)
        assert isinstance(kernel.value, tf.Variable)
