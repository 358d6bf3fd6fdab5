"""Residual networks for images, once in Keras and once in PyTorch, as lesson 20 writes them.

They consist of the basic block of He, Zhang, Ren and Sun (2016): two convolutions of 3 x 3, each
with batch normalization and without a bias, and a shortcut that is added before the last ReLU.
`keras_resnet((32, 32, 3), **RESNET18)` and `torch_resnet(3, **RESNET18)` are the ResNet-18 for
CIFAR-10, with 11,173,962 trainable parameters; its first convolution is 3 x 3, and no max pooling
follows. Equal weights (`regbook.pairs.copy_weights`) give equal outputs in both libraries.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    from torch import nn

RESNET18: dict[str, Any] = {"widths": (64, 128, 256, 512), "blocks": (2, 2, 2, 2), "classes": 10}

AS_TORCH: dict[str, Any] = {"momentum": 0.9, "epsilon": 1e-5}  # PyTorch's defaults


@functools.cache
def keras_block() -> type:
    """Return the class `Block(inputs, channels, stride)`, a layer of Keras."""
    import keras
    from keras import layers

    class Block(layers.Layer):
        """Two convolutions, and a shortcut that is added before the last ReLU."""

        def __init__(self, inputs, channels, stride):
            super().__init__()
            self.pad = layers.ZeroPadding2D(1)
            self.conv1 = layers.Conv2D(channels, 3, strides=stride, use_bias=False)
            self.bn1 = layers.BatchNormalization(**AS_TORCH)
            self.conv2 = layers.Conv2D(channels, 3, use_bias=False)
            self.bn2 = layers.BatchNormalization(**AS_TORCH)
            if stride == 1 and inputs == channels:
                self.shortcut = layers.Identity()
            else:  # the shape changes: a projection
                one = layers.Conv2D(channels, 1, strides=stride, use_bias=False)
                norm = layers.BatchNormalization(**AS_TORCH)
                self.shortcut = keras.Sequential([one, norm])

        def call(self, x):
            h = keras.ops.relu(self.bn1(self.conv1(self.pad(x))))
            h = self.bn2(self.conv2(self.pad(h)))
            return keras.ops.relu(h + self.shortcut(x))

    return Block


def keras_resnet(
    image: tuple[int, int, int], widths: Sequence[int], blocks: Sequence[int], classes: int
) -> "keras.Sequential":
    """Return a residual network in Keras, which gives logits.

    image: height, width and channels. widths: the channels of each stage; every stage but the
    first halves height and width. blocks: the number of blocks of each stage.
    """
    import keras
    from keras import layers

    Block = keras_block()
    stack = [
        keras.Input(image),
        layers.ZeroPadding2D(1),
        layers.Conv2D(widths[0], 3, use_bias=False),
        layers.BatchNormalization(**AS_TORCH),
        layers.ReLU(),
    ]
    inputs = widths[0]
    for stage, (width, number) in enumerate(zip(widths, blocks, strict=True)):
        for block in range(number):
            stride = 2 if stage > 0 and block == 0 else 1
            stack.append(Block(inputs, width, stride))
            inputs = width
    pooling = layers.GlobalAveragePooling2D()  # one mean per channel
    return keras.Sequential([*stack, pooling, layers.Dense(classes)])


@functools.cache
def torch_block() -> type:
    """Return the class `Block(inputs, channels, stride)`, a module of PyTorch."""
    import torch.nn.functional as F
    from torch import nn

    class Block(nn.Module):
        """Two convolutions, and a shortcut that is added before the last ReLU."""

        def __init__(self, inputs, channels, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(channels)
            self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(channels)
            if stride == 1 and inputs == channels:
                self.shortcut = nn.Identity()
            else:  # the shape changes: a projection
                one = nn.Conv2d(inputs, channels, 1, stride, bias=False)
                self.shortcut = nn.Sequential(one, nn.BatchNorm2d(channels))

        def forward(self, x):
            h = F.relu(self.bn1(self.conv1(x)))
            h = self.bn2(self.conv2(h))
            return F.relu(h + self.shortcut(x))

    return Block


def torch_resnet(
    channels: int, widths: Sequence[int], blocks: Sequence[int], classes: int
) -> "nn.Sequential":
    """Return a residual network in PyTorch, which gives logits.

    channels: of the images. widths: the channels of each stage; every stage but the first halves
    height and width. blocks: the number of blocks of each stage.
    """
    from torch import nn

    Block = torch_block()
    stack = [
        nn.Conv2d(channels, widths[0], 3, padding=1, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
    ]
    inputs = widths[0]
    for stage, (width, number) in enumerate(zip(widths, blocks, strict=True)):
        for block in range(number):
            stride = 2 if stage > 0 and block == 0 else 1
            stack.append(Block(inputs, width, stride))
            inputs = width
    pooling = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]  # one mean per channel
    return nn.Sequential(*stack, *pooling, nn.Linear(inputs, classes))
