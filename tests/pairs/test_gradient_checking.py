"""The conventions of the lesson on gradient checking, proved in float64.

At a kink each library chooses one of many slopes. Where the choices differ, a rule gives PyTorch
the choice of Keras.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
import torch.nn.functional as F
from torch import nn

from regbook.arrays import to_numpy
from regbook.pairs import copy_weights, largest_difference

EXACT, DIFFERENT = 1e-12, 1e-2
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 6)), RNG.integers(0, 3, size=12)
LAM = 2**-7

pytestmark = pytest.mark.usefixtures("float64")


def slopes_keras(f, *values):
    variables = [tf.Variable(np.array(v, np.float64)) for v in values]
    with tf.GradientTape() as tape:
        out = tf.reduce_sum(f(*variables))
    return [to_numpy(g) for g in tape.gradient(out, variables)]


def slopes_torch(f, *values):
    tensors = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]
    f(*tensors).sum().backward()
    return [to_numpy(t.grad) for t in tensors]


def gaps(in_keras, rule, naive, *values):
    """Return the largest differences from Keras's slopes: under the rule, and without it."""
    ours = slopes_keras(in_keras, *values)
    return {
        "agreement": largest_difference(ours, slopes_torch(rule, *values)),
        "naive": largest_difference(ours, slopes_torch(naive, *values)),
    }


def relative_difference(a, b):
    a, b = (np.concatenate([np.ravel(to_numpy(part)) for part in parts]) for parts in (a, b))
    return np.linalg.norm(a - b) / (np.linalg.norm(a) + np.linalg.norm(b))


def numeric_gradients(f, theta, eps=1e-5):
    theta = [t.copy() for t in theta]
    result = [np.zeros(t.shape) for t in theta]
    for t, gradient in zip(theta, result, strict=True):
        for index in np.ndindex(t.shape):
            kept, values = t[index], []
            for step in (eps, -eps):
                t[index] = kept + step
                values.append(float(f(theta)))
            t[index] = kept
            gradient[index] = (values[0] - values[1]) / (2 * eps)
    return result


def test_a_tie_of_two_arguments(convention):
    convention(
        "`maximum(a, b)` where $a = b$",
        keras="the whole gradient goes to the first argument",
        torch="each argument gets half",
        rule="`torch.where(a >= b, a, b)`",
        **gaps(
            keras.ops.maximum,
            lambda a, b: torch.where(a >= b, a, b),
            torch.maximum,
            [1.0, 2.0, 3.0],
            [1.0, 3.0, 2.0],
        ),
    )


def test_a_tie_along_an_axis(convention):
    convention(
        "`max` along an axis with equal entries",
        keras="the entries share the gradient",
        torch="`torch.max(x, dim)`: one entry gets all of it",
        rule="`torch.amax(x, dim)`",
        **gaps(
            lambda x: keras.ops.max(x, axis=1),
            lambda x: torch.amax(x, dim=1),
            lambda x: torch.max(x, dim=1).values,
            [[1.0, 1.0, 0.0], [2.0, 5.0, 5.0]],
        ),
    )


def test_selu_at_zero(convention):
    scale, alpha = 1.0507009873554805, 1.6732632423543772

    def rule(x):
        return scale * torch.where(x >= 0, x, alpha * torch.expm1(x))

    convention(
        "slope of `selu` at 0",
        keras="that of the right side, 1.05",
        torch="that of the left side, 1.76",
        rule="`scale * torch.where(x >= 0, x, alpha * torch.expm1(x))`",
        **gaps(keras.ops.selu, rule, F.selu, [-1.0, 0.0, 1.0]),
    )


def test_hard_tanh_at_its_corners(convention):
    convention(
        "slope of `hard_tanh` at -1 and 1",
        keras="1, that of the inner side",
        torch="`hardtanh`: 0, that of the outer side",
        rule="`torch.clamp(x, -1, 1)`",
        **gaps(
            keras.ops.hard_tanh,
            lambda x: torch.clamp(x, -1, 1),
            F.hardtanh,
            [-2.0, -1.0, 0.0, 1.0, 2.0],
        ),
    )


def test_hinge_at_the_margin(convention):
    def in_keras(x):
        return keras.losses.hinge(tf.ones_like(x), x)

    convention(
        "hinge loss at the margin",
        keras="`hinge`: slope as inside the margin",
        torch="`relu(1 - x)`: slope 0",
        rule="`torch.clamp(1 - x, min=0)`",
        **gaps(
            in_keras,
            lambda x: torch.clamp(1 - x, min=0).mean(),
            lambda x: F.relu(1 - x).mean(),
            [0.5, 1.0, 2.0],
        ),
    )


@pytest.mark.parametrize(
    ("in_keras", "in_torch", "at"),
    [
        (keras.ops.relu, F.relu, 0.0),
        (keras.ops.abs, torch.abs, 0.0),
        (keras.ops.relu6, F.relu6, 6.0),
        (lambda x: keras.ops.leaky_relu(x, 0.25), lambda x: F.leaky_relu(x, 0.25), 0.0),
        (keras.ops.hard_sigmoid, F.hardsigmoid, 3.0),
        (lambda x: keras.ops.clip(x, -1.0, 1.0), lambda x: torch.clamp(x, -1, 1), 1.0),
    ],
)
def test_kinks_at_which_the_libraries_agree(in_keras, in_torch, at):
    assert largest_difference(slopes_keras(in_keras, [at]), slopes_torch(in_torch, [at])) == 0


def test_the_norm_at_zero_has_no_slope_in_keras():
    assert np.isnan(slopes_keras(keras.ops.norm, [0.0, 0.0])).all()
    assert not np.any(slopes_torch(torch.linalg.norm, [0.0, 0.0]))


@tf.custom_gradient
def swish_keras(z, beta):
    s = tf.sigmoid(beta * z)

    def backward(dy):
        slope = s * (1 - s)
        return dy * (s + beta * z * slope), tf.reduce_sum(dy * z**2 * slope)

    return z * s, backward


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, beta):
        ctx.save_for_backward(z, beta)
        return z * torch.sigmoid(beta * z)

    @staticmethod
    def backward(ctx, dy):
        z, beta = ctx.saved_tensors
        s = torch.sigmoid(beta * z)
        slope = s * (1 - s)
        return dy * (s + beta * z * slope), (dy * z**2 * slope).sum()


def test_a_custom_layer():
    z, beta = X[:4], 1.5
    ours = slopes_keras(swish_keras, z, beta)
    assert largest_difference(ours, slopes_torch(Swish.apply, z, beta)) < EXACT
    automatic = slopes_torch(lambda z, beta: z * torch.sigmoid(beta * z), z, beta)
    assert largest_difference(ours, automatic) < EXACT


def test_the_default_step_of_tensorflows_checker_is_large():
    """Its default step leaves a truncation error that 1e-5 does not."""
    theirs, coarse = tf.test.compute_gradient(swish_keras, [X[:4], np.array(1.5)])
    _, fine = tf.test.compute_gradient(swish_keras, [X[:4], np.array(1.5)], delta=1e-5)
    assert relative_difference(theirs, coarse) > 1e-8
    assert relative_difference(theirs, fine) < 1e-9


def network(dtype="float64"):
    def dense(units, activation=None):
        penalty = keras.regularizers.l2(LAM)
        return keras.layers.Dense(units, activation, dtype=dtype, kernel_regularizer=penalty)

    return keras.Sequential([keras.Input((6,), dtype="float64"), dense(5, "tanh"), dense(3)])


def keras_gradients(model, cross_entropy):
    """Return the gradients of the penalised loss, and centred differences of the same loss."""

    def loss():
        return tf.cast(cross_entropy(Y, model(X)), tf.float64) + sum(model.losses)

    def at(theta):
        for variable, value in zip(model.trainable_variables, theta, strict=True):
            variable.assign(value)
        return loss()

    theta = [to_numpy(v) for v in model.trainable_variables]
    with tf.GradientTape() as tape:
        value = loss()
    analytic = tape.gradient(value, model.trainable_variables)
    numeric = numeric_gradients(at, theta)
    at(theta)
    return analytic, numeric


def test_a_model_with_its_penalty():
    model = network()
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64")
    ours, numeric = keras_gradients(model, cross_entropy)
    assert relative_difference(ours, numeric) < 1e-8
    twin = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    copy_weights(model, twin)
    entropy = F.cross_entropy(twin(torch.from_numpy(X)), torch.from_numpy(Y))
    penalty = LAM * sum((layer.weight**2).sum() for layer in (twin[0], twin[2]))

    def theirs():
        return [p.grad.T if p.ndim == 2 else p.grad for p in twin.parameters()]

    entropy.backward(retain_graph=True)
    assert largest_difference(ours, theirs()) > DIFFERENT / 10  # the penalty is missing
    penalty.backward()
    assert largest_difference(ours, theirs()) < EXACT


def test_a_loss_object_in_float32_fails_the_check():
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float32")
    assert relative_difference(*keras_gradients(network(), cross_entropy)) > 1e-3


def test_float64_inputs_of_a_float32_layer():
    """Keras converts them without a word; PyTorch refuses."""
    assert keras.layers.Dense(3, dtype="float32")(X).dtype == "float32"
    with pytest.raises(RuntimeError):
        nn.Linear(6, 3, dtype=torch.float32)(torch.from_numpy(X))


def test_the_gradients_of_the_exercise_are_those_of_keras(solution):
    model = network()
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64")
    ours, numeric = keras_gradients(model, cross_entropy)
    theta = [to_numpy(v) for v in model.trainable_variables]
    assert largest_difference(ours, solution("autograd_gradients")(theta, X, Y, LAM)) < EXACT
    relative = solution("relative_difference")
    assert max(relative(to_numpy(a), b) for a, b in zip(ours, numeric, strict=True)) < 1e-7


def test_the_numeric_gradient_of_the_exercise_is_that_of_the_checker(solution):
    def f(theta):
        return float((np.tanh(X @ theta) ** 2).sum())

    def in_tensorflow(theta):
        return tf.reduce_sum(tf.tanh(tf.constant(X) @ theta) ** 2)

    theta = RNG.normal(size=(6, 2))
    _, (theirs,) = tf.test.compute_gradient(in_tensorflow, [theta], delta=2**-10)
    ours = solution("numeric_gradient")(f, theta, 2**-10)
    assert largest_difference(ours.ravel(), theirs.ravel()) < 1e-9


def test_float64_after_a_layer_was_built_needs_the_policy_too():
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float64")
    assert keras.layers.Dense(2).dtype == "float32"
    assert keras.losses.MeanSquaredError().dtype == "float64"
    keras.config.set_dtype_policy("float64")
    assert keras.layers.Dense(2).dtype == "float64"


def test_gradcheck_is_mild_unless_it_is_told():
    """A slope that is off by 0.01 % passes with the default tolerances, in both modes."""

    class Off(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return torch.tanh(z)

        @staticmethod
        def backward(ctx, dy):
            (z,) = ctx.saved_tensors
            return 1.0001 * dy * (1 - torch.tanh(z) ** 2)

    z = torch.tensor(X[:4], requires_grad=True)
    for fast in (False, True):
        assert torch.autograd.gradcheck(Off.apply, z, fast_mode=fast)
        tight = {"rtol": 1e-7, "atol": 1e-7, "raise_exception": False, "fast_mode": fast}
        assert not torch.autograd.gradcheck(Off.apply, z, **tight)
        assert torch.autograd.gradcheck(torch.tanh, z, **tight)


def test_the_mended_backward_pass_is_that_of_pytorch(solution):
    sizes = (6, 5), (5,), (5, 4), (4,), (4, 3), (3,)
    theta = [RNG.normal(size=size) for size in sizes]
    tensors = [torch.tensor(t, requires_grad=True) for t in theta]
    w1, b1, w2, b2, w3, b3 = tensors
    hidden = torch.relu(torch.tanh(torch.from_numpy(X) @ w1 + b1) @ w2 + b2)
    loss = F.cross_entropy(hidden @ w3 + b3, torch.from_numpy(Y))
    (loss + LAM * sum((w**2).sum() for w in (w1, w2, w3))).backward()
    ours = solution("find_the_bug")(theta, X, Y, LAM)
    assert largest_difference(ours, [t.grad for t in tensors]) < EXACT
