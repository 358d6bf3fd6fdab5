"""The conversion rules of the lesson on label smoothing, proved in float64.

Keras casts Python floats through float32, so the strengths here are powers of two.
"""

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regbook.pairs import batches, largest_difference, set_weights

EXACT, DIFFERENT = 1e-12, 1e-3
ALPHA, K, ROWS = 2**-3, 5, 40
RNG = np.random.default_rng(0)
Y = RNG.integers(0, K, size=ROWS)
ONE_HOT = np.eye(K)[Y]
LOGITS = RNG.normal(size=(ROWS, K)) + 2 * ONE_HOT
X = RNG.normal(size=(ROWS, 6))
START = [RNG.normal(scale=0.5, size=shape) for shape in [(6, 7), (7,), (7, K), (K,)]]

pytestmark = pytest.mark.usefixtures("float64")


def in_keras(target, alpha=0.0, logits=LOGITS, **options):
    options = {"from_logits": True, "label_smoothing": alpha} | options
    return float(keras.losses.CategoricalCrossentropy(**options)(target, logits))


def in_torch(target, alpha=0.0, logits=LOGITS, **options):
    logits, target = torch.from_numpy(logits), torch.from_numpy(target)
    return F.cross_entropy(logits, target, label_smoothing=alpha, **options).item()


def test_built_in_smoothing_is_the_soft_target_in_both():
    soft = (1 - ALPHA) * ONE_HOT + ALPHA / K
    ours = in_keras(ONE_HOT, ALPHA)
    for same in (in_torch(Y, ALPHA), in_keras(soft), in_torch(soft), in_torch(ONE_HOT, ALPHA)):
        assert abs(ours - same) < EXACT
    assert abs(ours - in_torch(Y)) > DIFFERENT


def test_soft_targets_are_smoothed_too():
    soft = RNG.dirichlet(np.ones(K), size=ROWS)
    by_hand = in_torch((1 - ALPHA) * soft + ALPHA / K)
    assert abs(in_keras(soft, ALPHA) - by_hand) < EXACT
    assert abs(in_torch(soft, ALPHA) - by_hand) < EXACT


def test_the_other_formula_has_another_strength():
    rate = 0.25
    other = np.where(ONE_HOT == 1, 1 - rate, rate / (K - 1))
    converted = rate * K / (K - 1)  # 0.3125, which float32 holds exactly
    assert abs(in_keras(ONE_HOT, converted) - in_torch(other)) < EXACT
    assert abs(in_torch(Y, converted) - in_keras(other)) < EXACT
    assert abs(in_keras(ONE_HOT, rate) - in_torch(other)) > DIFFERENT


def test_the_mixed_up_formula_is_a_scaled_loss_of_another_strength():
    mixed = (1 - ALPHA) * ONE_HOT + ALPHA / (K - 1)
    total = 1 + ALPHA / (K - 1)
    strength = K * ALPHA / (K - 1) / total
    assert abs(in_torch(mixed) - total * in_torch(Y, strength)) < EXACT
    assert abs(in_keras(mixed) - in_torch(mixed)) < EXACT
    assert abs(in_torch(mixed) - in_torch(Y, ALPHA)) > DIFFERENT


def test_integer_labels(convention):
    with pytest.raises(TypeError, match="label_smoothing"):
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, label_smoothing=ALPHA)
    theirs = in_torch(Y, ALPHA)
    sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    convention(
        "label smoothing of integer labels",
        keras="only `CategoricalCrossentropy(label_smoothing=a)`, with one-hot rows",
        torch="`CrossEntropyLoss(label_smoothing=a)`, with integers",
        rule="turn the labels into one-hot rows for Keras",
        agreement=abs(in_keras(ONE_HOT, ALPHA) - theirs),
        naive=abs(float(sparse(Y, LOGITS)) - theirs),
    )


def test_logits_or_probabilities(convention):
    theirs = in_torch(Y)
    convention(
        "input of the cross-entropy loss",
        keras="probabilities, unless `from_logits=True`",
        torch="always logits",
        rule="`from_logits=True`",
        agreement=abs(in_keras(ONE_HOT) - theirs),
        naive=abs(in_keras(ONE_HOT, from_logits=False) - theirs),
    )


def test_probabilities_are_clipped(convention):
    logits, target = np.array([[60.0, 0.0]]), np.array([[0.0, 1.0]])
    p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    theirs = F.nll_loss(torch.log(torch.from_numpy(p)), torch.tensor([1])).item()
    assert abs(theirs - 60) < 1e-9
    convention(
        "cross-entropy of a probability near 0",
        keras="of the probability clipped at $10^{-7}$, so at most 16.1 nats",
        torch="of the probability itself (`log`, then `NLLLoss`)",
        rule="give both the logits",
        agreement=abs(in_keras(target, logits=logits) - theirs),
        naive=abs(in_keras(target, logits=p, from_logits=False) - theirs),
    )


def test_the_logits_behind_a_softmax_layer_are_found():
    logits, target = np.array([[60.0, 0.0]]), np.array([[0.0, 1.0]])
    layer = keras.layers.Dense(2, "softmax", kernel_initializer="identity")
    model = keras.Sequential([keras.Input((2,)), layer])
    loss = keras.losses.CategoricalCrossentropy()
    theirs = F.cross_entropy(torch.from_numpy(logits), torch.tensor([1])).item()
    assert abs(float(loss(target, model(logits))) - theirs) < EXACT
    model.compile(keras.optimizers.SGD(), loss)
    assert abs(model.evaluate(logits, target, verbose=0) - theirs) < EXACT
    assert float(loss(target, keras.ops.convert_to_numpy(model(logits)))) < 17


def test_raw_logits_are_no_probabilities():
    logits, target = np.array([[2.0, -1.0]]), np.array([[0.0, 1.0]])
    right = in_torch(np.array([1]), logits=logits)
    assert abs(in_keras(target, logits=logits) - right) < EXACT
    assert abs(in_keras(target, logits=logits, from_logits=False) + np.log(1e-7)) < DIFFERENT
    twice = torch.softmax(torch.from_numpy(logits), dim=1).numpy()
    assert in_torch(np.array([1]), logits=twice) < right / 2


def test_a_temperature_keeps_the_order_of_the_classes():
    p = torch.softmax(torch.from_numpy(LOGITS) / 0.125, dim=1)
    assert (p.argmax(dim=1).numpy() == LOGITS.argmax(axis=1)).all()


def test_class_weights(convention):
    weights = np.array([0.5, 1.0, 2.0, 4.0, 0.25])
    ours = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=ALPHA)
    ours = float(ours(ONE_HOT, LOGITS, sample_weight=weights[Y]))
    logits, y, w = (torch.from_numpy(a) for a in (LOGITS, Y, weights))
    by_row = F.cross_entropy(logits, y, label_smoothing=ALPHA, reduction="none")
    convention(
        "class weights with label smoothing",
        keras="multiply the loss of a row; the sum is divided by the rows",
        torch="`weight` multiplies each class's part of the target; the sum is divided by the "
        "weights of the rows",
        rule='`reduction="none"`, times `weights[y]`, then the mean',
        agreement=abs(ours - (by_row * w[y]).mean().item()),
        naive=abs(ours - in_torch(Y, ALPHA, weight=w)),
    )
    # What PyTorch computes instead, written out.
    log_p = torch.log_softmax(logits, dim=1)
    soft = (1 - ALPHA) * torch.from_numpy(ONE_HOT) + ALPHA / K
    written = -(w * soft * log_p).sum() / w[y].sum()
    assert abs(written.item() - in_torch(Y, ALPHA, weight=w)) < EXACT


def test_class_weights_without_smoothing(convention):
    weights = np.array([0.5, 1.0, 2.0, 4.0, 0.25])
    ours = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours = float(ours(Y, LOGITS, sample_weight=weights[Y]))
    theirs = in_torch(Y, weight=torch.from_numpy(weights))
    convention(
        "mean of a loss with class weights",
        keras="sum divided by the number of rows",
        torch="sum divided by the sum of the rows' weights",
        rule="multiply PyTorch's mean by the mean weight of the rows",
        agreement=abs(ours - theirs * weights[Y].mean()),
        naive=abs(ours - theirs),
    )


def test_binary_targets_move_towards_one_half(convention):
    y, logits = RNG.integers(0, 2, size=(ROWS, 1)).astype(float), RNG.normal(size=(ROWS, 1))
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=ALPHA)
    ours = float(loss(y, logits + 2 * y))
    tensor = torch.from_numpy(logits + 2 * y)

    def bce(target):
        return nn.BCEWithLogitsLoss()(tensor, torch.from_numpy(target)).item()

    convention(
        "label smoothing of a binary loss",
        keras="`BinaryCrossentropy(label_smoothing=a)`: towards 1/2",
        torch="`BCEWithLogitsLoss` has no such argument",
        rule="targets `y * (1 - a) + a / 2`",
        agreement=abs(ours - bce(y * (1 - ALPHA) + ALPHA / 2)),
        naive=abs(ours - bce(y)),
    )


def test_the_smoothed_binary_loss_is_the_one_with_two_classes():
    y, z = RNG.integers(0, 2, size=ROWS), RNG.normal(size=ROWS)
    two = np.stack([np.zeros(ROWS), z], axis=1)
    targets = torch.from_numpy(y * (1 - ALPHA) + ALPHA / 2)
    one_output = F.binary_cross_entropy_with_logits(torch.from_numpy(z), targets).item()
    assert abs(one_output - in_torch(y, ALPHA, two)) < EXACT


def test_one_output_per_class_is_smoothed_towards_one_half():
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=ALPHA)
    ours, logits = float(loss(ONE_HOT, LOGITS)), torch.from_numpy(LOGITS)

    def bce(share):
        target = torch.from_numpy(ONE_HOT * (1 - ALPHA) + ALPHA * share)
        return F.binary_cross_entropy_with_logits(logits, target).item()

    assert abs(ours - bce(1 / 2)) < EXACT
    assert abs(ours - bce(1 / K)) > DIFFERENT


def test_twenty_steps():
    def train_torch(alpha):
        model = nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, K))
        set_weights(model, START)
        optimizer = torch.optim.SGD(model.parameters(), 0.25)
        for rows in batches(ROWS, 10, epochs=5):
            optimizer.zero_grad()
            logits = model(torch.from_numpy(X[rows]))
            F.cross_entropy(logits, torch.from_numpy(Y[rows]), label_smoothing=alpha).backward()
            optimizer.step()
        return model

    layers = [keras.layers.Dense(7, "tanh"), keras.layers.Dense(K)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    set_weights(model, START)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=ALPHA)
    model.compile(keras.optimizers.SGD(0.25), loss, run_eagerly=True)
    for rows in batches(ROWS, 10, epochs=5):
        model.train_on_batch(X[rows], ONE_HOT[rows])
    assert largest_difference(model, train_torch(ALPHA)) < EXACT
    assert largest_difference(model, train_torch(ALPHA * K / (K - 1))) > DIFFERENT


def test_floor_and_gap():
    """At the best gap the loss is the entropy of the target, and the gradient is zero."""
    gap = np.log(1 + K * (1 - ALPHA) / ALPHA)
    logits = torch.tensor(gap * np.eye(K), requires_grad=True)
    loss = F.cross_entropy(logits, torch.arange(K), label_smoothing=ALPHA)
    loss.backward()
    target = np.array([1 - ALPHA + ALPHA / K] + [ALPHA / K] * (K - 1))
    assert abs(loss.item() + (target * np.log(target)).sum()) < EXACT
    assert logits.grad.abs().max() < EXACT


def test_the_diagnosis_of_the_exercises(solution):
    p = np.array([[[0.9, 0.1], [0.8, 0.2]], [[0.7, 0.3], [0.6, 0.4]]])
    text, interval = solution("diagnose_calibration")(p, np.array([[0, 1], [0, 0]]))
    assert text == "cannot tell"
    assert np.allclose(interval, (-0.7, 0.7))


def test_functions_of_the_exercises(solution):
    assert abs(solution("smoothed_cross_entropy")(LOGITS, Y, ALPHA) - in_torch(Y, ALPHA)) < EXACT
    assert abs(in_keras(solution("smooth_labels")(Y, K, ALPHA)) - in_torch(Y, ALPHA)) < EXACT
    assert solution("convert_smoothing")(0.25, K) == 0.3125
