"""What the layers of every lesson rely on: orders of axes, and padding, in float64."""

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regbook.pairs import largest_difference

RNG = np.random.default_rng(0)

pytestmark = pytest.mark.usefixtures("float64")


def test_kernel_of_a_dense_layer_is_transposed(convention):
    x, kernel = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 3))  # square: both ways run
    ours = keras.layers.Dense(3, use_bias=False)
    ours.build((None, 3))
    ours.set_weights([kernel])
    inputs = torch.from_numpy(x)
    convention(
        "kernel of a dense layer",
        keras="shape (inputs, outputs)",
        torch="shape (outputs, inputs)",
        rule="`linear.weight = kernel.T`",
        agreement=largest_difference(ours(x), F.linear(inputs, torch.from_numpy(kernel.T))),
        naive=largest_difference(ours(x), F.linear(inputs, torch.from_numpy(kernel))),
    )


def test_images_and_filters_have_other_orders_of_axes(convention):
    images, kernel = RNG.normal(size=(2, 3, 3, 3)), RNG.normal(size=(3, 3, 3, 3))
    ours = keras.layers.Conv2D(3, 3, use_bias=False)
    ours.build((None, 3, 3, 3))
    ours.set_weights([kernel])
    converted = F.conv2d(
        torch.from_numpy(images.transpose(0, 3, 1, 2)),
        torch.from_numpy(kernel.transpose(3, 2, 0, 1)),
    )
    naive = F.conv2d(torch.from_numpy(images), torch.from_numpy(kernel))
    convention(
        "axes of images and filters",
        keras="images (rows, height, width, channels), filters (height, width, in, out)",
        torch="images (rows, channels, height, width), filters (out, in, height, width)",
        rule="`images.transpose(0, 3, 1, 2)` and `kernel.transpose(3, 2, 0, 1)`",
        agreement=largest_difference(ours(images), converted.permute(0, 2, 3, 1)),
        naive=largest_difference(ours(images), naive.permute(0, 2, 3, 1)),
    )


def test_flattened_images_have_another_order(convention):
    images = RNG.normal(size=(2, 4, 4, 3))
    channels_first = torch.from_numpy(images.transpose(0, 3, 1, 2))
    flat = keras.layers.Flatten()(images)
    convention(
        "`Flatten` behind a convolution",
        keras="goes through the channels of a pixel first",
        torch="goes through the pixels of a channel first",
        rule="`x.permute(0, 2, 3, 1).flatten(1)`, or reorder the next kernel",
        agreement=largest_difference(flat, channels_first.permute(0, 2, 3, 1).flatten(1)),
        naive=largest_difference(flat, nn.Flatten()(channels_first)),
    )


def test_same_padding_at_stride_2_pads_the_far_side(convention):
    images, kernel = RNG.normal(size=(2, 8, 8, 3)), RNG.normal(size=(3, 3, 3, 5))
    ours = keras.layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False)
    ours.build((None, 8, 8, 3))
    ours.set_weights([kernel])
    x = torch.from_numpy(images.transpose(0, 3, 1, 2))
    filters = torch.from_numpy(kernel.transpose(3, 2, 0, 1))
    far_side = F.conv2d(F.pad(x, (0, 1, 0, 1)), filters, stride=2)
    both_sides = F.conv2d(x, filters, stride=2, padding=1)
    convention(
        '`padding="same"` at stride 2, even sizes, 3x3 filters',
        keras="one column on the right and one row below",
        torch='`padding="same"` needs stride 1; `padding=1` pads all four sides',
        rule="`F.pad(x, (0, 1, 0, 1))`, then no padding",
        agreement=largest_difference(ours(images), far_side.permute(0, 2, 3, 1)),
        naive=largest_difference(ours(images), both_sides.permute(0, 2, 3, 1)),
    )
