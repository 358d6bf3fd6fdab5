"""Weights cross between the frameworks unchanged, batches are fair, and `agree` can say no."""

import re

import keras
import numpy as np
import pytest
import torch
from torch import nn

from regbook.arrays import to_numpy
from regbook.pairs import (
    AgreementError,
    agree,
    batches,
    copy_weights,
    largest_difference,
    set_weights,
    weights,
)

layers = keras.layers


def dense():
    ours = keras.Sequential([keras.Input((5,)), layers.Dense(4), layers.Dense(3, use_bias=False)])
    return ours, nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3, bias=False))


def conv():
    ours = keras.Sequential([keras.Input((6, 7, 2)), layers.Conv2D(3, (2, 3), activation="relu")])
    return ours, nn.Sequential(nn.Conv2d(2, 3, (2, 3)), nn.ReLU())


def batch_norm():
    ours = keras.Sequential(
        [keras.Input((5,)), layers.Dense(4), layers.BatchNormalization(epsilon=1e-3)]
    )
    return ours, nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4, eps=1e-3))


def image_batch_norm():
    ours = keras.Sequential([keras.Input((6, 7, 2)), layers.BatchNormalization(epsilon=1e-3)])
    return ours, nn.Sequential(nn.BatchNorm2d(2, eps=1e-3))


def layer_norm():
    ours = keras.Sequential([keras.Input((5,)), layers.LayerNormalization(epsilon=1e-3)])
    return ours, nn.Sequential(nn.LayerNorm(5, eps=1e-3))


def nested():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, "tanh"), layers.Dense(4)])
    ours = keras.Sequential([keras.Input((5,)), layers.Dense(4), inner, layers.Dense(3)])
    block = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    return ours, nn.Sequential(nn.Linear(5, 4), block, nn.Linear(4, 3))


class KerasBlock(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.norm = layers.Dense(4), layers.BatchNormalization(epsilon=1e-3)
        self.second = layers.Dense(3)

    def call(self, x, training=False):
        return self.second(keras.ops.relu(self.norm(self.first(x), training=training)))


class TorchBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(5, 4), nn.BatchNorm1d(4, eps=1e-3)
        self.second = nn.Linear(4, 3)

    def forward(self, x):
        return self.second(torch.relu(self.norm(self.first(x))))


def subclassed():
    ours = KerasBlock()
    ours(np.zeros((1, 5)))
    return ours, TorchBlock()


def subclassed_layer():
    class Scaled(layers.Dense):
        pass

    ours = keras.Sequential([keras.Input((5,)), Scaled(4)])
    return ours, nn.Sequential(nn.Linear(5, 4))


PAIRS = [
    dense, conv, batch_norm, image_batch_norm, layer_norm, nested, subclassed, subclassed_layer
]  # fmt: skip


def randomise(model):
    """Give every weight, moving statistics included, a random positive value."""
    rng = np.random.default_rng(0)
    set_weights(model, [rng.uniform(0.2, 1, size=w.shape) for w in weights(model)])


def outputs(ours, theirs):
    """Return both models' outputs in evaluation mode for the same rows, in Keras's layout."""
    image = any(isinstance(m, (nn.Conv2d, nn.BatchNorm2d)) for m in theirs.modules())
    shape = (3, 6, 7, 2) if image else (3, 5)
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    theirs.eval()
    y = theirs(torch.from_numpy(x.transpose(0, 3, 1, 2) if image else x)).detach().numpy()
    return np.asarray(ours(x, training=False)), y.transpose(0, 2, 3, 1) if image else y


@pytest.mark.parametrize("direction", ["to torch", "to Keras"])
@pytest.mark.parametrize("pair", PAIRS)
def test_copied_weights_give_equal_outputs(pair, direction):
    ours, theirs = pair()
    source, target = (ours, theirs) if direction == "to torch" else (theirs, ours)
    randomise(source)
    copy_weights(source, target)
    for a, b in zip(weights(source), weights(target), strict=True):
        np.testing.assert_array_equal(a, b)
    a, b = outputs(ours, theirs)
    np.testing.assert_allclose(a, b, atol=1e-5)
    assert np.abs(a).max() > 0.1


@pytest.mark.parametrize("pair", PAIRS)
def test_weights_have_one_order_and_layout_and_hold_everything(pair):
    ours, theirs = pair()
    assert [w.shape for w in weights(ours)] == [w.shape for w in weights(theirs)]
    count = sum(p.numel() for p in theirs.state_dict().values() if p.ndim)
    assert sum(w.size for w in weights(theirs)) == ours.count_params() == count


def test_kernels_have_the_layout_of_keras():
    assert [w.shape for w in weights(dense()[1])] == [(5, 4), (4,), (4, 3)]
    assert [w.shape for w in weights(conv()[1])] == [(2, 3, 2, 3), (3,)]


def test_weights_are_copies():
    for model in dense():
        taken = weights(model)
        taken[0][:] = 7
        assert not (weights(model)[0] == 7).any()


def test_set_weights_keeps_the_parameters_that_an_optimizer_holds():
    model = dense()[1]
    held = list(model.parameters())
    randomise(model)
    assert all(a is b for a, b in zip(held, model.parameters(), strict=True))
    assert all(p.requires_grad for p in held)
    assert held[0].min() >= 0.2


@pytest.mark.parametrize(
    ("theirs", "sentence"),
    [
        (
            [nn.Linear(5, 4), nn.BatchNorm1d(3)],
            r"Dense\) does not match 1 \(BatchNorm1d\)",
        ),
        (
            [nn.Linear(5, 6), nn.Linear(6, 3, bias=False)],
            r"0 \(Linear\) holds .*\(6, 5\), got",
        ),
        ([nn.Linear(5, 4)], "3 arrays for a model with 2 weights"),
        ([nn.Linear(5, 4), nn.Linear(4, 3)], "3 arrays for a model with 4 weights"),
    ],
)
def test_mismatched_models_are_told_where(theirs, sentence):
    with pytest.raises(ValueError, match=sentence):
        copy_weights(dense()[0], nn.Sequential(*theirs))


def test_unbuilt_model_is_not_copied():
    with pytest.raises(ValueError, match="are all layers there, built"):
        copy_weights(keras.Sequential([layers.Dense(4)]), nn.Linear(5, 4))


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(3))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (nn.Sequential(nn.Linear(3, 3), nn.PReLU()), r"torch layer 1 \(PReLU\)"),
        (nn.Sequential(nn.Linear(3, 3), Scale()), r"torch layer 1 \(Scale\)"),
        (nn.Sequential(nn.LSTM(3, 2)), r"torch layer 0 \(LSTM\)"),
        (nn.BatchNorm3d(3, affine=False), r"torch layer  \(BatchNorm3d\)"),
        (
            keras.Sequential([keras.Input((4, 3)), layers.LSTM(2)]),
            "Keras weight .*recurrent_kernel",
        ),
        ("a string", "expected a Keras or a PyTorch model, got str"),
    ],
)
def test_no_weight_is_left_out_in_silence(model, name):
    with pytest.raises(TypeError, match=name):
        weights(model)


@pytest.mark.parametrize(("n", "size", "sizes"), [(10, 5, [5, 5]), (10, 4, [4, 4, 2]), (3, 8, [3])])
def test_batches_cover_every_row_once_an_epoch(n, size, sizes):
    drawn = list(batches(n, size, epochs=3, seed=1))
    assert [len(rows) for rows in drawn] == 3 * sizes
    for epoch in np.split(np.concatenate(drawn), 3):
        assert sorted(epoch) == list(range(n))


def test_batches_are_shuffled_anew_in_every_epoch():
    epochs = [tuple(rows) for rows in batches(50, 50, epochs=5, seed=0)]
    assert len({*epochs, tuple(range(50))}) == 6


def test_batches_depend_on_the_seed_alone():
    one, same, other = (np.concatenate([*batches(50, 8, 2, seed)]) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.parametrize("gap", [0, 3e-7, 9e-7])
def test_agree_prints_one_line_that_hides_the_measured_gap(gap, capsys):
    agree(keras=np.zeros(3), torch=torch.full((3,), gap), tol=1e-6, what="losses")
    assert capsys.readouterr().out == "Keras and PyTorch agree within 1e-06: losses\n"


ONE = np.ones((2, 3))


@pytest.mark.filterwarnings("ignore:invalid value")  # infinity minus infinity
@pytest.mark.parametrize(
    ("ours", "theirs", "sentence"),
    [
        (
            ONE,
            ONE + 2e-6,
            "disagree on outputs: the largest difference is 2e-06, allowed is 1e-06",
        ),
        ([ONE, 5.0], [ONE, 4.0], "the largest difference is 1, "),
        (ONE, ONE[0], "shapes differ: Keras [(2, 3)], PyTorch [(3,)]"),
        (ONE, ONE.T, "shapes differ"),
        ([ONE], [ONE, ONE], "shapes differ"),
        (ONE, ONE * np.nan, "not finite: array 0 of shape (2, 3)"),
        (
            [ONE, ONE * np.inf],
            [ONE, ONE * np.inf],
            "not finite: array 1 of shape (2, 3)",
        ),
        (ONE * np.nan, ONE * np.nan, "not finite"),
        ([], [], "nothing to compare"),
        (ONE[:0], ONE[:0], "nothing to compare"),
        ([ONE, ONE[:0]], [ONE, ONE[:0]], "nothing to compare"),
    ],
)
def test_agree_refuses(ours, theirs, sentence, capsys):
    with pytest.raises(AgreementError, match=re.escape(sentence)):
        agree(keras=ours, torch=theirs, tol=1e-6)
    assert capsys.readouterr().out == ""


def test_models_agree_by_their_weights(capsys):
    ours, theirs = batch_norm()
    copy_weights(ours, theirs)
    agree(keras=ours, torch=theirs, tol=1e-9, what="weights")
    with torch.no_grad():
        theirs[1].running_var[2] += 0.5  # a buffer counts too
    assert largest_difference(ours, theirs) == pytest.approx(0.5)
    with pytest.raises(AgreementError, match=r"disagree on weights: .* 0\.5"):
        agree(keras=ours, torch=theirs, tol=1e-3, what="weights")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.arange(3), np.arange(3)),
        (2.5, np.array(2.5)),
        (True, np.array(True)),
        (torch.ones(2, requires_grad=True), np.ones(2, np.float32)),
        (torch.ones(2, requires_grad=True) * 2, np.full(2, 2, np.float32)),
        (nn.Parameter(torch.ones(2, dtype=torch.float64)), np.ones(2)),
        (torch.tensor([1, 2]), np.array([1, 2])),
        (torch.tensor([1.5], dtype=torch.bfloat16), np.array([1.5], np.float32)),
        (keras.ops.ones(2), np.ones(2, np.float32)),
        (keras.Variable([1.0, 2.0]), np.array([1, 2], np.float32)),
        ([[1, 2], (3, 4)], np.array([[1, 2], [3, 4]])),
        ([torch.tensor(1.0, requires_grad=True), 2.0], np.array([1.0, 2.0])),
        ([], np.zeros(0)),
    ],
)
def test_to_numpy_takes_every_kind_of_array(value, expected):
    array = to_numpy(value)
    assert type(array) is np.ndarray
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("make", [np.zeros, torch.zeros])
def test_to_numpy_copies(make):
    value = make(3)
    to_numpy(value)[:] = 1
    assert not value.any()


@pytest.mark.parametrize(
    "value",
    [
        "text",
        ["a", "b"],
        None,
        {"a": 1},
        object(),
        [[1, 2], [3]],
        [np.ones(2), np.ones(3)],
        1j,
        {1},
    ],
)
def test_to_numpy_refuses_what_is_not_numeric(value):
    with pytest.raises(TypeError, match=r"^expected numbers"):
        to_numpy(value)
