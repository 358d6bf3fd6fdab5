"""A residual block, and a whole residual network, are the same in NumPy, Keras and PyTorch."""

import ast
import inspect
import itertools
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regbook import resnet
from regbook.arrays import to_numpy
from regbook.notebooks import read
from regbook.pairs import batches, copy_weights, largest_difference, weights

TOL = 1e-12
EPS = 2**-10
SMALL = {"widths": (4, 6, 8), "blocks": (1, 1, 1), "classes": 3}

pytestmark = pytest.mark.usefixtures("float64", "fresh_blocks")


def gap(*results):
    """Return the largest difference of any result from the first."""
    return max(largest_difference(results[0], other) for other in results[1:])


def norm_numbers(rng, units):
    """Draw gamma, beta, mean and variance: shape (4, units)."""
    return np.stack([*rng.normal(size=(3, units)), rng.uniform(0.5, 2, units)])


def keras_norm(numbers):
    layer = keras.layers.BatchNormalization(epsilon=EPS)
    layer.build((None, numbers.shape[1]))
    layer.set_weights(list(numbers))
    return layer


def torch_norm(numbers):
    layer = nn.BatchNorm1d(numbers.shape[1], eps=EPS).eval()
    gamma, beta, mean, var = torch.tensor(numbers)
    layer.weight.data, layer.bias.data = gamma, beta
    layer.running_mean, layer.running_var = mean, var
    return layer


def test_the_fixture_is_in_force():
    assert keras.layers.Dense(1).dtype_policy.variable_dtype == "float64"
    assert nn.Linear(1, 1).weight.dtype == torch.float64


@pytest.mark.parametrize("projected", [False, True])
def test_a_dense_block_in_evaluation(projected, solution):
    rng = np.random.default_rng(0)
    units = 6 if projected else 5
    x, W1, W2 = (rng.normal(size=s) for s in ((7, 5), (5, units), (units, units)))
    bn1, bn2, bn3 = (norm_numbers(rng, units) for _ in range(3))
    projection = (rng.normal(size=(5, units)), bn3) if projected else None
    scratch = solution("residual_block_forward")(x, W1, bn1, W2, bn2, EPS, projection)

    h = keras.ops.relu(keras_norm(bn1)(x @ W1, training=False))
    shortcut = keras_norm(bn3)(x @ projection[0], training=False) if projected else x
    ours = keras.ops.relu(keras_norm(bn2)(h @ W2, training=False) + shortcut)

    x, W1, W2 = map(torch.tensor, (x, W1, W2))
    shortcut = torch_norm(bn3)(x @ torch.tensor(projection[0])) if projected else x
    theirs = F.relu(torch_norm(bn2)(F.relu(torch_norm(bn1)(x @ W1)) @ W2) + shortcut)
    assert gap(scratch, ours, theirs) < TOL


def small_pair():
    """Return the small residual network in both libraries, with equal weights."""
    keras.utils.set_random_seed(0)
    ours = resnet.keras_resnet((9, 8, 2), **SMALL)  # an odd and an even side
    theirs = resnet.torch_resnet(2, **SMALL)
    copy_weights(ours, theirs)
    return ours, theirs


def images(rows=16, sides=(9, 8), channels=2, classes=3):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(rows, *sides, channels)), rng.integers(0, classes, rows)
    return x, y, torch.tensor(x.transpose(0, 3, 1, 2)), torch.tensor(y)


def test_a_network_in_evaluation_and_in_training():
    ours, theirs = small_pair()
    x, _, inputs, _ = images()
    assert gap(ours(x, training=False), theirs.eval()(inputs)) < TOL
    assert gap(ours(x, training=True), theirs.train()(inputs)) < TOL


def test_five_training_steps():
    ours, theirs = small_pair()
    x, y, inputs, targets = images(rows=80)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours.compile(keras.optimizers.SGD(0.125, momentum=0.875), loss)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.125, momentum=0.875)
    before = weights(ours)
    for rows in batches(80, batch_size=16):
        ours.train_on_batch(x[rows], y[rows])
        optimizer.zero_grad()
        F.cross_entropy(theirs.train()(inputs[rows]), targets[rows]).backward()
        optimizer.step()
    after, reached = trainable(weights(ours)), trainable(weights(theirs))
    assert min(map(gap, trainable(before), after)) > 1e-4  # all of them moved
    assert gap(after, reached) < 1e-9


def trainable(arrays):
    """Leave out the running statistics: kernel, gamma, beta, mean, variance, ..., kernel, bias."""
    return [a for i, a in enumerate(arrays[:-2]) if i % 5 < 3] + arrays[-2:]


def resnet18():
    return resnet.keras_resnet((32, 32, 3), **resnet.RESNET18), resnet.torch_resnet(
        3, **resnet.RESNET18
    )


def test_resnet_18_has_its_number_of_parameters(solution, convention):
    ours, theirs = resnet18()
    trained = sum(v.numpy().size for v in ours.trainable_variables)
    in_torch = sum(p.numel() for p in theirs.parameters())
    counted = solution("count_parameters")((64, 128, 256, 512), (2, 2, 2, 2), 3, 10)
    assert counted == trained == in_torch == 11_173_962
    buffers = sum(b.numel() for b in theirs.buffers() if b.ndim)
    convention(
        "number of parameters",
        keras="`count_params()` counts the running statistics of batch normalization too",
        torch="`parameters()` leaves them out: they are buffers",
        rule="the sum over `model.trainable_variables`",
        agreement=abs(trained - in_torch),
        naive=abs(ours.count_params() - in_torch),
    )
    assert ours.count_params() == in_torch + buffers


def test_resnet_18_gives_equal_outputs():
    ours, theirs = resnet18()
    copy_weights(ours, theirs)
    x = np.random.default_rng(2).normal(size=(2, 32, 32, 3))
    inputs = torch.tensor(x.transpose(0, 3, 1, 2))
    assert gap(ours(x, training=False), theirs.eval()(inputs)) < 1e-10
    assert gap(ours(x, training=True), theirs.train()(inputs)) < 1e-9


@pytest.mark.parametrize(("blocks", "channels"), [((1, 2), 1), ((3, 1), 3)])
def test_parameters_are_counted_as_the_libraries_do(solution, blocks, channels):
    widths = (4, 6)
    ours = resnet.keras_resnet((8, 8, channels), widths, blocks, 5)
    theirs = resnet.torch_resnet(channels, widths, blocks, 5)
    counts = [sum(v.numpy().size for v in ours.trainable_variables)]
    counts.append(sum(p.numel() for p in theirs.parameters()))
    assert counts == [solution("count_parameters")(widths, blocks, channels, 5)] * 2


SIZES = list(itertools.product((8, 9), (1, 3, 5), (1, 2, 3)))


@pytest.mark.parametrize(("size", "kernel", "stride"), SIZES)
def test_output_sizes(size, kernel, stride, solution):
    x = torch.zeros(1, 1, size, size)
    for padding in (0, kernel // 2):
        found = F.conv2d(x, torch.zeros(1, 1, kernel, kernel), stride=stride, padding=padding)
        assert found.shape[-1] == solution("output_size")(size, kernel, stride, padding)
    layer = keras.layers.Conv2D(1, kernel, strides=stride, padding="same")
    shape = layer.compute_output_shape((1, size, size, 1))
    assert shape[1] == solution("output_size")(size, kernel, stride, "same")


def test_average_pooling_of_a_padded_image(convention):
    x = np.random.default_rng(3).normal(2, 1, size=(4, 7, 7, 2))
    ours = keras.layers.AveragePooling2D(3, 2, padding="same")(x)

    def in_torch(**options):
        pooling = nn.AvgPool2d(3, 2, padding=1, **options)
        return pooling(torch.tensor(x.transpose(0, 3, 1, 2))).permute(0, 2, 3, 1)

    convention(
        "average pooling at the border",
        keras='`padding="same"` leaves the padding out of the mean',
        torch="`padding=1` counts its zeros",
        rule="`nn.AvgPool2d(..., padding=1, count_include_pad=False)`",
        agreement=gap(ours, in_torch(count_include_pad=False)),
        naive=gap(ours, in_torch()),
    )


def test_global_average_pooling():
    x = np.random.default_rng(4).normal(size=(4, 5, 3, 2))
    theirs = nn.AdaptiveAvgPool2d(1)(torch.tensor(x.transpose(0, 3, 1, 2)))
    assert gap(keras.layers.GlobalAveragePooling2D()(x), theirs.flatten(1)) < TOL


def test_a_shortcut_without_parameters():
    """Every second pixel, and channels of zeros for those that are new: option A of the paper."""
    x = np.random.default_rng(5).normal(size=(2, 9, 8, 3))
    ours = keras.ops.pad(x[:, ::2, ::2], [(0, 0), (0, 0), (0, 0), (1, 2)])
    inputs = torch.tensor(x.transpose(0, 3, 1, 2))
    theirs = F.pad(inputs[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2))
    assert gap(ours, theirs.permute(0, 2, 3, 1)) == 0


def body(source):
    """Return what a function does, as a text without docstring, imports and `Block = ...`."""
    (function,) = ast.parse(textwrap.dedent(source)).body
    kept = [
        node
        for node in function.body
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.Return | ast.ClassDef)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not ast.unparse(node).startswith("Block = ")
    ]
    return "\n".join(map(ast.unparse, [*kept, *classes(function), *returns(function)]))


def classes(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def returns(function):
    return [node for node in function.body if isinstance(node, ast.Return)]


def cell_of(page, framework, name):
    """Return the syntax tree of the one cell of a framework that defines `name`."""
    folder = Path(__file__).parents[2] / "chapters" / "20_residual_networks"
    sources = [
        cell.source
        for cell in read(folder / f"{page}.ipynb").cells
        if framework in cell.metadata.get("tags", [])
    ]
    trees = map(ast.parse, sources)
    (found,) = (n for tree in trees for n in tree.body if getattr(n, "name", "") == name)
    return found


@pytest.mark.parametrize("framework", ["keras", "torch"])
def test_the_pages_show_what_the_module_holds(framework):
    """A reader copies it from the pages; the module has it for other pages."""
    source = textwrap.dedent(inspect.getsource(getattr(resnet, f"{framework}_block")))
    (block,) = classes(ast.parse(source))
    assert ast.unparse(cell_of("lesson", framework, "Block")) == ast.unparse(block)
    function = ast.unparse(cell_of("laboratory", framework, "resnet"))
    assert body(function) == body(inspect.getsource(getattr(resnet, f"{framework}_resnet")))


def test_a_network_that_is_moved_predicts_the_same_after_training():
    ours, theirs = small_pair()
    x, y, inputs, _ = images(rows=64)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours.compile(keras.optimizers.SGD(0.125), loss)
    for rows in batches(64, batch_size=16):
        ours.train_on_batch(x[rows], y[rows])
    copy_weights(ours, theirs)
    assert gap(to_numpy(ours(x, training=False)), theirs.eval()(inputs)) < TOL
