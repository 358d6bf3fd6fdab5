"""The conversion rules of the lesson on L2 and weight decay, proved in float64.

Every run starts from equal weights and takes 20 steps on equal batches. Keras casts Python floats
through float32, so all numbers here are sums of few powers of two, which float32 holds exactly.
"""

import keras
import numpy as np
import pytest
import torch
from torch import nn

from regbook.pairs import batches, largest_difference, set_weights

LR, LAM, DECAY, MOMENTUM, EPS = 2**-4, 2**-5, 2**-2, 0.5, 2**-60
BETAS = 1 - 2**-3, 1 - 2**-6
ADAM_KERAS = {"beta_1": BETAS[0], "beta_2": BETAS[1], "epsilon": EPS}
ADAM_TORCH = {"betas": BETAS, "eps": EPS}
EXACT, DIFFERENT = 1e-12, 1e-2
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 6)), RNG.integers(0, 3, size=40)
START = [RNG.normal(scale=0.7, size=shape) for shape in [(6, 5), (5,), (5, 3), (3,)]]
IMAGES = np.random.default_rng(3).normal(size=(40, 9, 9))
CLASSES = np.arange(40) % 4

pytestmark = pytest.mark.usefixtures("float64")


def steps():
    return batches(len(X), 10, epochs=5, seed=0)


def train_keras(optimizer, lam=0.0, bias_lam=0.0, biases_decay=True):
    """Return the Keras model after 20 steps."""

    def dense(units, activation=None):
        l2 = keras.regularizers.l2
        return keras.layers.Dense(
            units, activation, kernel_regularizer=l2(lam), bias_regularizer=l2(bias_lam)
        )

    model = keras.Sequential([keras.Input((6,)), dense(5, "tanh"), dense(3)])
    set_weights(model, START)
    if not biases_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, run_eagerly=True)
    for rows in steps():
        model.train_on_batch(X[rows], Y[rows])
    return model


def kernels(model):
    return [p for name, p in model.named_parameters() if name.endswith("weight")]


def groups(model, weight_decay):
    """Return two parameter groups: decayed kernels, and biases left alone."""
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    return [
        {"params": kernels(model), "weight_decay": weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]


def nothing(model):
    return 0.0


def train_torch(optimizer, penalty=nothing, before_step=nothing):
    """Return the PyTorch model after 20 steps; optimizer is called with the model."""
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    set_weights(model, START)
    stepper = optimizer(model)
    for rows in steps():
        stepper.zero_grad()
        logits = model(torch.from_numpy(X[rows]))
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(Y[rows]))
        (loss + penalty(model)).backward()
        before_step(model)
        stepper.step()
    return model


def l2(model):
    return LAM * sum((w**2).sum() for w in kernels(model))


@torch.no_grad()
def decay_all(model):
    for p in model.parameters():
        p.mul_(1 - LR * DECAY)


def torch_sgd(weight_decay=0.0, momentum=0.0):
    return lambda m: torch.optim.SGD(
        m.parameters(), LR, weight_decay=weight_decay, momentum=momentum
    )


def torch_adam(kind, weight_decay):
    return lambda m: kind(m.parameters(), LR, weight_decay=weight_decay, **ADAM_TORCH)


def test_training_moves_the_weights_in_float64():
    for model in (train_keras(keras.optimizers.SGD(LR)), train_torch(torch_sgd())):
        assert largest_difference(model, START) > 0.1
    assert {w.dtype for w in train_keras(keras.optimizers.SGD(LR)).get_weights()} == {
        np.dtype("float64")
    }


def test_l2_is_a_penalty_by_hand():
    ours = train_keras(keras.optimizers.SGD(LR), lam=LAM)
    assert largest_difference(ours, train_torch(torch_sgd(), l2)) < EXACT


def test_l2_is_twice_the_weight_decay_of_plain_sgd_on_kernels(convention):
    ours = train_keras(keras.optimizers.SGD(LR), lam=LAM)
    twice = train_torch(lambda m: torch.optim.SGD(groups(m, 2 * LAM), LR))
    equal = train_torch(lambda m: torch.optim.SGD(groups(m, LAM), LR))
    convention(
        "strength of an L2 penalty",
        keras="`l2(s)` adds `s * sum(w**2)` to the loss",
        torch="`SGD(weight_decay=s)` adds `s * w` to the gradient: half as much",
        rule="without momentum, `weight_decay = 2 * s` on the kernels",
        agreement=largest_difference(ours, twice),
        naive=largest_difference(ours, equal),
    )


def test_decay_of_plain_sgd_is_the_same_in_both():
    ours = train_keras(keras.optimizers.SGD(LR, weight_decay=DECAY))
    assert largest_difference(ours, train_torch(torch_sgd(DECAY))) < EXACT


def test_decay_under_momentum_is_decoupled_in_keras_and_coupled_in_torch(convention):
    sgd = keras.optimizers.SGD(LR, momentum=MOMENTUM, weight_decay=DECAY)
    ours = train_keras(sgd)
    decoupled = train_torch(torch_sgd(momentum=MOMENTUM), before_step=decay_all)
    coupled = train_torch(torch_sgd(DECAY, MOMENTUM))
    convention(
        "`SGD(momentum=..., weight_decay=...)`",
        keras="shrinks the weights beside the step (decoupled)",
        torch="adds to the gradient, and so to the momentum (coupled)",
        rule="in PyTorch leave `weight_decay` out and multiply the weights by `1 - lr * wd` before "
        "each step",
        agreement=largest_difference(ours, decoupled),
        naive=largest_difference(ours, coupled),
    )


def test_coupled_decay_under_momentum_is_l2_on_kernels_and_biases():
    sgd = keras.optimizers.SGD(LR, momentum=MOMENTUM)
    ours = train_keras(sgd, lam=DECAY / 2, bias_lam=DECAY / 2)
    assert largest_difference(ours, train_torch(torch_sgd(DECAY, MOMENTUM))) < EXACT


def test_adamw_without_decay_on_biases_is_two_parameter_groups(convention):
    adamw = keras.optimizers.AdamW(LR, weight_decay=DECAY, **ADAM_KERAS)
    ours = train_keras(adamw, biases_decay=False)
    theirs = train_torch(lambda m: torch.optim.AdamW(groups(m, DECAY), LR, **ADAM_TORCH))
    everywhere = train_torch(torch_adam(torch.optim.AdamW, DECAY))
    convention(
        "AdamW without decay on the biases",
        keras="`optimizer.exclude_from_weight_decay(var_names=...)`",
        torch="two parameter groups, one with `weight_decay=0`",
        rule="name the same parameters",
        agreement=largest_difference(ours, theirs),
        naive=largest_difference(ours, everywhere),
    )


def test_adam_with_decay_is_adamw_in_keras_and_l2_in_torch(convention):
    ours = train_keras(keras.optimizers.Adam(LR, weight_decay=DECAY, **ADAM_KERAS))
    convention(
        "`Adam(weight_decay=...)`",
        keras="decoupled: the same as AdamW",
        torch="coupled: an L2 penalty inside the adaptive step",
        rule="`torch.optim.AdamW` with the same arguments",
        agreement=largest_difference(ours, train_torch(torch_adam(torch.optim.AdamW, DECAY))),
        naive=largest_difference(ours, train_torch(torch_adam(torch.optim.Adam, DECAY))),
    )


def test_the_default_decay_of_adamw_differs(convention):
    ours = train_keras(keras.optimizers.AdamW(LR, **ADAM_KERAS))
    same = keras.optimizers.AdamW().weight_decay
    defaults = train_torch(lambda m: torch.optim.AdamW(m.parameters(), LR, **ADAM_TORCH))
    theirs = train_torch(torch_adam(torch.optim.AdamW, float(np.float32(same))))
    convention(
        "default decay of AdamW",
        keras="`AdamW()` decays by 0.004",
        torch="`AdamW()` decays by 0.01",
        rule="say `weight_decay` in both",
        agreement=largest_difference(ours, theirs),
        naive=largest_difference(ours, defaults),
    )


def conv_keras(weights, optimizer):
    """Return the convolutional Keras model of the lesson's form after 20 steps of AdamW."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((9, 9)),
            layers.Reshape((9, 9, 1)),
            layers.Conv2D(3, 3, strides=2, activation="relu"),
            layers.Permute((3, 1, 2)),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )
    set_weights(model, weights)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, run_eagerly=True)
    for rows in steps():
        model.train_on_batch(IMAGES[rows], CLASSES[rows])
    return model


def conv_torch(weights, optimizer):
    """Return its PyTorch twin; optimizer is called with the kernels and the biases."""
    model = nn.Sequential(
        nn.Unflatten(1, (1, 9)), nn.Conv2d(1, 3, 3, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(48, 4),
    )  # fmt: skip
    set_weights(model, weights)
    stepper = optimizer(*([p for p in model.parameters() if (p.ndim > 1) == k] for k in (1, 0)))
    for rows in steps():
        stepper.zero_grad()
        logits = model(torch.from_numpy(IMAGES[rows]))
        nn.functional.cross_entropy(logits, torch.from_numpy(CLASSES[rows])).backward()
        stepper.step()
    return model


def test_adamw_of_the_lesson_decays_the_kernels_of_a_convolution_and_no_bias():
    rng = np.random.default_rng(3)
    weights = [rng.normal(scale=0.3, size=s) for s in [(3, 3, 1, 3), (3,), (48, 4), (4,)]]
    ours = conv_keras(weights, keras.optimizers.AdamW(LR, weight_decay=DECAY, **ADAM_KERAS))

    def groups_of_the_lesson(kernels, biases):
        parts = [{"params": kernels}, {"params": biases, "weight_decay": 0.0}]
        return torch.optim.AdamW(parts, LR, weight_decay=DECAY, **ADAM_TORCH)

    def everywhere(kernels, biases):
        return torch.optim.AdamW([*kernels, *biases], LR, weight_decay=DECAY, **ADAM_TORCH)

    assert largest_difference(ours, conv_torch(weights, groups_of_the_lesson)) < EXACT
    assert largest_difference(ours, conv_torch(weights, everywhere)) > 1e-4


def test_decay_of_torch_adam_is_l2_on_kernels_and_biases():
    ours = train_keras(keras.optimizers.Adam(LR, **ADAM_KERAS), DECAY / 2, DECAY / 2)
    assert largest_difference(ours, train_torch(torch_adam(torch.optim.Adam, DECAY))) < EXACT


def test_formula_of_the_exercise_is_torch_adamw(solution):
    adamw_step = solution("adamw_step")
    rng = np.random.default_rng(1)
    w, m, v = rng.normal(size=(4, 3)), np.zeros((4, 3)), np.zeros((4, 3))
    p = nn.Parameter(torch.from_numpy(w.copy()))
    settings = {"lr": 0.05, "weight_decay": 0.3, "betas": (0.8, 0.95), "eps": 1e-3}
    optimizer = torch.optim.AdamW([p], **settings)
    for t in range(1, 21):
        grad = rng.normal(size=(4, 3))
        p.grad = torch.from_numpy(grad)
        optimizer.step()
        w, m, v = adamw_step(w, grad, m, v, t, 0.05, 0.3, 0.8, 0.95, 1e-3)
    assert largest_difference(w, p) < EXACT
    state = optimizer.state[p]
    assert largest_difference([m, v], [state["exp_avg"], state["exp_avg_sq"]]) < EXACT
