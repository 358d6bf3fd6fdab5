"""The conversion rules of the lesson on L1 and sparsity, proved in float64.

Every run starts from equal weights and takes 20 steps on equal batches. Keras casts Python floats
through float32, so all numbers here are powers of two, which float32 holds exactly.
"""

import keras
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from regbook.pairs import batches, largest_difference, set_weights, weights

LR, LAM, B = 2**-4, 2**-5, 10
EXACT, DIFFERENT = 1e-12, 1e-3
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 6)), RNG.integers(0, 3, size=40)
START = [RNG.normal(scale=0.7, size=shape) for shape in [(6, 5), (5,), (5, 3), (3,)]]

pytestmark = pytest.mark.usefixtures("float64")


class SoftThreshold(keras.constraints.Constraint):
    """The proximal step of the L1 penalty, in the place where Keras applies constraints."""

    def __init__(self, t):
        self.t = t

    def __call__(self, w):
        return keras.ops.soft_shrink(w, self.t)


def train_keras(hidden=None, output=None, batch_size=B):
    """Return the Keras model after 5 epochs; hidden, output: options of the two layers."""
    layers = [
        keras.layers.Dense(5, "relu", **(hidden or {})),
        keras.layers.Dense(3, **(output or {})),
    ]
    model = keras.Sequential([keras.Input((6,)), *layers])
    set_weights(model, START)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(LR), loss, run_eagerly=True)
    for rows in batches(len(X), batch_size, epochs=5, seed=0):
        model.train_on_batch(X[rows], Y[rows])
    return model


def train_torch(penalty=lambda model, x: 0.0, threshold=0.0, batch_size=B):
    """Return the PyTorch model after 5 epochs of SGD, soft-thresholded after each step."""
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    set_weights(model, START)
    optimizer = torch.optim.SGD(model.parameters(), LR)
    for rows in batches(len(X), batch_size, epochs=5, seed=0):
        x = torch.from_numpy(X[rows])
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), torch.from_numpy(Y[rows]))
        (loss + penalty(model, x)).backward()
        optimizer.step()
        with torch.no_grad():
            for w in kernels(model):
                w.copy_(functional.softshrink(w, threshold))
    return model


def kernels(model):
    return [model[0].weight, model[2].weight]


def both(regularizer):
    option = {"kernel_regularizer": regularizer}
    return {"hidden": option, "output": option}


def l1(model, x):
    return LAM * sum(w.abs().sum() for w in kernels(model))


def l2(model, x):
    return LAM * sum((w**2).sum() for w in kernels(model))


def activity(model, x):
    return LAM * model[1](model[0](x)).abs().sum()


def test_l1_is_a_penalty_by_hand():
    ours = train_keras(**both(keras.regularizers.L1(LAM)))
    assert largest_difference(ours, train_torch(l1)) < EXACT
    assert largest_difference(ours, train_torch()) > DIFFERENT


def test_elastic_net_is_both_penalties_by_hand():
    ours = train_keras(**both(keras.regularizers.L1L2(l1=LAM, l2=2 * LAM)))
    theirs = train_torch(lambda model, x: l1(model, x) + 2 * l2(model, x))
    halved = train_torch(lambda model, x: l1(model, x) + l2(model, x))
    assert largest_difference(ours, theirs) < EXACT
    assert largest_difference(ours, halved) > DIFFERENT


@pytest.mark.parametrize("batch_size", [4, 10])
def test_activity_penalty_is_divided_by_the_batch_size(batch_size, convention):
    hidden = {"activity_regularizer": keras.regularizers.L1(LAM)}
    ours = train_keras(hidden, batch_size=batch_size)
    divided = train_torch(lambda m, x: activity(m, x) / len(x), batch_size=batch_size)
    summed = train_torch(activity, batch_size=batch_size)
    if batch_size == 10:
        convention(
            "activity penalty",
            keras="`activity_regularizer` divides the sum by the number of rows",
            torch="by hand: nothing divides it",
            rule="divide the penalty by `len(x)`",
            agreement=largest_difference(ours, divided),
            naive=largest_difference(ours, summed),
        )
    assert largest_difference(ours, divided) < EXACT
    assert largest_difference(ours, summed) > DIFFERENT


def test_activity_penalty_is_not_a_penalty_on_the_kernel():
    ours = train_keras({"activity_regularizer": keras.regularizers.L1(LAM)})
    theirs = train_torch(lambda model, x: LAM * model[0].weight.abs().sum())
    assert largest_difference(ours, theirs) > DIFFERENT


def test_constraint_is_a_proximal_step_after_each_step():
    option = {"kernel_constraint": SoftThreshold(LR * LAM)}
    ours, theirs = train_keras(option, option), train_torch(threshold=LR * LAM)
    assert largest_difference(ours, theirs) < EXACT
    zeros = [[w == 0 for w in weights(model)] for model in (ours, theirs)]
    assert sum(z.sum() for z in zeros[0]) > 0
    for mine, other in zip(*zeros, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_threshold_must_be_multiplied_with_the_learning_rate():
    option = {"kernel_constraint": SoftThreshold(LR * LAM)}
    naive = train_torch(threshold=LAM)
    assert largest_difference(train_keras(option, option), naive) > DIFFERENT


def test_a_penalty_in_the_loss_makes_no_exact_zero():
    models = train_torch(l1), train_keras(**both(keras.regularizers.L1(LAM)))
    assert not any((w == 0).any() for model in models for w in weights(model))


def test_both_frameworks_soften_alike():
    w = RNG.normal(size=(50, 4))
    by_hand = np.sign(w) * np.maximum(np.abs(w) - 0.5, 0)
    ours = keras.ops.soft_shrink(w, 0.5)
    assert largest_difference(ours, by_hand) < EXACT
    assert largest_difference(functional.softshrink(torch.from_numpy(w), 0.5), by_hand) < EXACT
    hard = functional.hardshrink(torch.from_numpy(w), 0.5)
    assert largest_difference(ours, hard) > DIFFERENT


def test_proximal_step_minimises_what_the_lesson_says():
    u, v = RNG.normal(size=20), np.linspace(-4, 4, 80001)[:, None]
    objective = (v - u) ** 2 / (2 * LR) + 8 * np.abs(v)
    best = v[objective.argmin(axis=0), 0]
    step = functional.softshrink(torch.from_numpy(u), 8 * LR)
    assert largest_difference(step, best) < 1e-4


def test_scikit_learn_strengths():
    """Mean square + lam |w|_1 is Lasso(lam / 2); mean square + lam |w|^2 is Ridge(m lam)."""
    from sklearn.linear_model import Lasso, Ridge

    target = X @ np.arange(6.0) + RNG.normal(size=40)
    options = {"fit_intercept": False, "tol": 1e-12}
    lasso = Lasso(alpha=LAM / 2, max_iter=10**5, **options).fit(X, target).coef_
    pull = 2 * X.T @ (X @ lasso - target) / 40  # zero must be in pull + lam * subgradient
    held = np.where(lasso == 0, np.clip(-pull / LAM, -1, 1), np.sign(lasso))
    assert np.abs(pull + LAM * held).max() < 1e-6
    ridge = Ridge(alpha=40 * LAM, **options).fit(X, target).coef_
    assert np.abs(2 * X.T @ (X @ ridge - target) / 40 + 2 * LAM * ridge).max() < 1e-10


def test_both_take_the_slope_zero_at_the_kink():
    """Elsewhere the slope is the strength, however small the weight."""
    import tensorflow as tf

    point = np.array([1.0, 2.0**-40, 0.0, -(2.0**-40)])
    variable = tf.Variable(point)
    with tf.GradientTape() as tape:
        penalty = keras.regularizers.L1(LAM)(variable)
    tensor = torch.tensor(point, requires_grad=True)
    (theirs,) = torch.autograd.grad(LAM * tensor.abs().sum(), tensor)
    assert largest_difference(tape.gradient(penalty, variable), theirs) < EXACT
    assert theirs.tolist() == [LAM, LAM, 0, -LAM]


def test_a_group_goes_as_one():
    """Shortening the vector by eta * lam minimises half the squared distance plus its norm."""
    vectors, t = RNG.normal(size=(200, 2)), 0.8
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    best = vectors * np.maximum(1 - t / length, 0)
    line = np.linspace(-3, 3, 241)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 1, 2)
    worth = ((grid - vectors) ** 2).sum(axis=-1) / 2 + t * np.linalg.norm(grid, axis=-1)
    reached = ((best - vectors) ** 2).sum(axis=-1) / 2 + t * np.linalg.norm(best, axis=-1)
    assert (reached <= worth.min(axis=0) + EXACT).all()
    together = (best == 0).all(axis=1) == (best == 0).any(axis=1)
    assert together.all()
    assert 0 < (best == 0).all(axis=1).mean() < 1


def test_conventions_of_scikit_learn_for_the_classifier():
    """Mean cross-entropy + lam |w|_1 is LogisticRegression(C=1 / (rows * lam)), up to its bias."""
    from sklearn.linear_model import LogisticRegression

    labels = (X @ np.arange(6.0) + RNG.normal(size=40) > 0).astype(int)
    model = LogisticRegression(
        l1_ratio=1, solver="saga", C=1 / (40 * LAM), tol=1e-10, max_iter=10**5
    ).fit(X, labels)
    w = model.coef_[0]
    chances = 1 / (1 + np.exp(-X @ w - model.intercept_))
    pull = X.T @ (chances - labels) / 40  # zero must be in pull + lam * subgradient
    held = np.where(w == 0, np.clip(-pull / LAM, -1, 1), np.sign(w))
    assert np.abs(pull + LAM * held).max() < 1e-5
