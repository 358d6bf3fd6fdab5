"""Right and wrong answers to the exercises of chapter 11, for `test_answers`."""

from itertools import pairwise

import numpy as np

ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805

# --- selu ------------------------------------------------------------------------------------


def selu_loop(x):
    out = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        value = float(x[index])
        out[index] = SCALE * (value if value > 0 else ALPHA * (np.exp(value) - 1))
    return out


def selu_parts(x):
    x = np.float32(x)
    return SCALE * (np.maximum(x, 0) + ALPHA * (np.exp(np.minimum(x, 0)) - 1))


def selu_torch(x):
    import torch

    return torch.selu(torch.tensor(x))


def selu_keras(x):
    import keras

    return keras.activations.selu(x.astype("float32"))


def selu_swapped(x):
    return ALPHA * np.where(x > 0, x, SCALE * np.expm1(np.minimum(x, 0)))


def selu_elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def selu_no_scale(x):
    return np.where(x > 0, x, ALPHA * np.expm1(np.minimum(x, 0)))


def selu_scale_above(x):
    return np.where(x > 0, SCALE * x, ALPHA * np.expm1(np.minimum(x, 0)))


def selu_scale_below(x):
    return np.where(x > 0, x, SCALE * ALPHA * np.expm1(np.minimum(x, 0)))


def selu_no_alpha(x):
    return SCALE * np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def selu_alpha_inside(x):
    return SCALE * np.where(x > 0, x, np.expm1(ALPHA * np.minimum(x, 0)))


def selu_no_minus_one(x):
    return SCALE * np.where(x > 0, x, ALPHA * np.exp(np.minimum(x, 0)))


def selu_leaky(x):
    return SCALE * np.where(x > 0, x, ALPHA * x)


def selu_relu(x):
    return SCALE * np.maximum(x, 0)


def selu_overflow(x):
    with np.errstate(over="ignore", invalid="ignore"):
        return SCALE * ((x > 0) * x + (x <= 0) * ALPHA * (np.exp(x) - 1))


# --- alpha_dropout_affine --------------------------------------------------------------------


def affine_from_moments(rate):
    """Measure mean and variance after the mask and undo them."""
    value = -SCALE * ALPHA
    mean = rate * value
    variance = (1 - rate) * (1 + mean**2) + rate * (value - mean) ** 2
    variance -= (1 - rate) * mean**2 - (1 - rate) * mean**2
    return 1 / np.sqrt(variance), -mean / np.sqrt(variance)


def affine_torch(rate):
    import torch

    value, rate = torch.tensor(-SCALE * ALPHA), torch.tensor(rate)
    a = torch.rsqrt((1 - rate) * (1 + rate * value**2))
    return a, -a * rate * value


def affine_list(rate):
    a = np.float32(((1 - rate) * (1 + rate * 1.7580993408473766**2)) ** -0.5)
    return [a, a * rate * np.float32(1.7580993)]


def _affine(rate, value=-SCALE * ALPHA):
    a = ((1 - rate) * (1 + rate * value**2)) ** -0.5
    return a, -a * rate * value


def affine_no_root(rate):
    a = 1 / ((1 - rate) * (1 + rate * (SCALE * ALPHA) ** 2))
    return a, a * rate * SCALE * ALPHA


def affine_deviation(rate):
    a = ((1 - rate) * (1 + rate * (SCALE * ALPHA) ** 2)) ** 0.5
    return a, a * rate * SCALE * ALPHA


# --- moments_by_depth ------------------------------------------------------------------------


def _selu(z):
    return SCALE * np.where(z > 0, z, ALPHA * np.expm1(np.minimum(z, 0)))


def _moments(
    kernels,
    x,
    *,
    act=_selu,
    mean=np.mean,
    var=np.var,
    before=False,
    restart=False,
    with_input=False,
):
    means, variances = ([mean(x)], [var(x)]) if with_input else ([], [])
    start = x
    for kernel in kernels:
        z = (start if restart else x) @ kernel
        x = act(z)
        means.append(mean(z if before else x))
        variances.append(var(z if before else x))
    return means, variances


def moments_arrays(kernels, x):
    means, variances = _moments(kernels, np.float32(x))
    return np.array(means), np.array(variances)


def moments_sums(kernels, x):
    """Sum up by hand, with the variance as a difference of mean squares."""
    means, variances = [], []
    for kernel in kernels:
        x = np.stack([selu_parts(row @ kernel) for row in x])
        values = np.float64(x).ravel()
        mean = sum(values) / len(values)
        means.append(mean)
        variances.append(sum(values**2) / len(values) - mean**2)
    return means, variances


def moments_torch(kernels, x):
    import torch

    x, found = torch.tensor(x), []
    for kernel in kernels:
        x = torch.selu(x @ torch.tensor(kernel))
        found.append(torch.stack([x.mean(), x.var(correction=0)]))
    return torch.stack(found, dim=1)


def moments_swapped(kernels, x):
    return _moments(kernels, x)[::-1]


def moments_deviation(kernels, x):
    return _moments(kernels, x, var=np.std)


def moments_sample(kernels, x):
    return _moments(kernels, x, var=lambda a: a.var(ddof=1))


def moments_second(kernels, x):
    return _moments(kernels, x, var=lambda a: (a**2).mean())


def moments_before(kernels, x):
    return _moments(kernels, x, before=True)


def moments_linear(kernels, x):
    return _moments(kernels, x, act=lambda z: z)


def moments_relu(kernels, x):
    return _moments(kernels, x, act=lambda z: np.maximum(z, 0))


def moments_restart(kernels, x):
    if len({k.shape for k in kernels}) == 1:
        return _moments(kernels, x, restart=True)
    return _moments(kernels[:1], x, restart=True)


def moments_transposed(kernels, x):
    return _moments([k.T for k in kernels], x)


def moments_per_unit(kernels, x):
    return _moments(kernels, x, var=lambda a: a.var(axis=0).mean())


def moments_per_row(kernels, x):
    return _moments(kernels, x, var=lambda a: a.var(axis=1).mean())


def moments_with_input(kernels, x):
    return _moments(kernels, x, with_input=True)


def moments_last(kernels, x):
    means, variances = _moments(kernels, x)
    return means[-1], variances[-1]


# --- build_self_normalizing_network ----------------------------------------------------------


def _torch(
    sizes,
    rate,
    *,
    init=None,
    activation="SELU",
    dropout="AlphaDropout",
    zero=True,
    dropout_first=False,
    cut=2,
):
    import torch
    from torch import nn

    layers = []
    for fan_in, fan_out in pairwise(sizes):
        dense = nn.Linear(fan_in, fan_out)
        if init != "default":
            (init or (lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear")))(dense.weight)
        if zero:
            nn.init.zeros_(dense.bias)
        pair = [getattr(nn, activation)(), getattr(nn, dropout)(rate)]
        layers += [dense, *(pair[::-1] if dropout_first else pair)]
    if cut == "activation":
        layers = [*layers[:-2], getattr(nn, activation)()]
    elif cut == "dropout":
        layers = [*layers[:-2], nn.AlphaDropout(rate)]
    else:
        layers = layers[:-2]
    model = nn.Sequential(*layers)
    return model, torch.optim.Adam(model.parameters())


def build_torch(sizes, rate):
    return _torch(sizes, rate)


def build_torch_module(sizes, rate):
    """Write a module with functional calls."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(sizes))
            for layer in self.layers:
                nn.init.trunc_normal_(layer.weight, std=layer.in_features**-0.5, a=-3, b=3)
                nn.init.constant_(layer.bias, 0)

        def forward(self, x):
            for layer in self.layers[:-1]:
                x = F.alpha_dropout(F.selu(layer(x)), rate, self.training)
            return self.layers[-1](x)

    model = Network()
    return model, torch.optim.SGD(model.parameters(), 0.1)


def build_keras(sizes, rate):
    import keras

    inputs = x = keras.Input((sizes[0],))
    for width in sizes[1:-1]:
        x = keras.layers.Dense(width, kernel_initializer=keras.initializers.LecunNormal())(x)
        x = keras.layers.AlphaDropout(rate)(keras.layers.Activation("selu")(x))
    model = keras.Model(inputs, keras.layers.Dense(sizes[-1], kernel_initializer="lecun_normal")(x))
    model.compile("adam", "mse")
    return model


def _init(name, **options):
    def init(weight):
        from torch import nn

        getattr(nn.init, name)(weight, **options)

    return init


def build_he(sizes, rate):
    return _torch(sizes, rate, init=_init("kaiming_normal_", nonlinearity="relu"))


def build_glorot(sizes, rate):
    return _torch(sizes, rate, init=_init("xavier_normal_"))


def build_default(sizes, rate):
    return _torch(sizes, rate, init="default")


def build_gain(sizes, rate):
    return _torch(sizes, rate, init=_init("kaiming_normal_", nonlinearity="selu"))


def build_fan_out(sizes, rate):
    init = _init("kaiming_normal_", mode="fan_out", nonlinearity="linear")
    return _torch(sizes, rate, init=init)


def build_variance(sizes, rate):
    def init(weight):
        weight.data.normal_(std=1 / weight.shape[1])

    return _torch(sizes, rate, init=init)


def build_uniform(sizes, rate):
    return _torch(sizes, rate, init=_init("kaiming_uniform_", nonlinearity="linear"))


def build_random_biases(sizes, rate):
    return _torch(sizes, rate, zero=False)


def build_relu(sizes, rate):
    return _torch(sizes, rate, activation="ReLU")


def build_elu(sizes, rate):
    return _torch(sizes, rate, activation="ELU")


def build_linear(sizes, rate):
    return _torch(sizes, rate, activation="Identity")


def build_plain_dropout(sizes, rate):
    return _torch(sizes, rate, dropout="Dropout")


def build_swapped(sizes, rate):
    return _torch(sizes, 1 - rate)


def build_no_dropout(sizes, rate):
    return _torch(sizes, 0.0)


def build_dropout_first(sizes, rate):
    return _torch(sizes, rate, dropout_first=True)


def build_active_output(sizes, rate):
    return _torch(sizes, rate, cut="activation")


def build_dropped_output(sizes, rate):
    return _torch(sizes, rate, cut="dropout")


def build_one_layer(sizes, rate):
    return _torch([sizes[0], sizes[-1]], rate)


# --- why_not_self_normalizing ----------------------------------------------------------------


def _why(
    x,
    kernels,
    evaluation,
    training,
    *,
    order=("inputs", "kernels", "activation", "dropout"),
    axis=0,
    which=slice(None),
    last=-1,
    bound=0.2,
    one_sided=False,
    mean_only=False,
    spread=np.var,
    average=False,
):
    gains = np.array([k.shape[axis] * (k**2).mean() for k in kernels[which]])
    off = {
        "inputs": [x.mean()] if mean_only else [x.mean(), spread(x) - 1],
        "kernels": [gains.mean() - 1] if average else gains - 1,
        "activation": [evaluation[last] - 1],
        "dropout": [training[last] - 1],
    }
    for cause in order:
        values = np.array(off[cause]) if one_sided else np.abs(off[cause])
        if values.max() > bound:
            return cause
    return "nothing"


def why_steps(x, kernels, evaluation, training):
    def fine(value, target=1.0):
        return target - 0.2 <= value <= target + 0.2

    if not fine(x.mean(), 0) or not fine(x.std() ** 2):
        return "inputs"
    for kernel in kernels:
        if not fine(np.square(kernel).sum() / kernel.shape[1]):
            return "kernels"
    if not fine(evaluation[-1]):
        return "activation"
    return np.str_("nothing" if fine(training[-1]) else "dropout")


def why_torch(x, kernels, evaluation, training):
    import torch

    x, gains = torch.tensor(x), [len(k) * torch.tensor(k).square().mean() for k in kernels]
    tests = {
        "inputs": x.mean().abs() > 0.2 or (x.var(correction=0) - 1).abs() > 0.2,
        "kernels": any(abs(g - 1) > 0.2 for g in gains),
        "activation": abs(evaluation[-1] - 1) > 0.2,
        "dropout": abs(training[-1] - 1) > 0.2,
        "nothing": True,
    }
    return next(cause for cause, found in tests.items() if found)


def _variant(**options):
    def why(x, kernels, evaluation, training):
        return _why(x, kernels, evaluation, training, **options)

    return why


RIGHT = {
    "selu": [selu_loop, selu_parts, selu_torch, selu_keras],
    "alpha_dropout_affine": [affine_from_moments, affine_torch, affine_list],
    "moments_by_depth": [moments_arrays, moments_sums, moments_torch],
    "build_self_normalizing_network": [build_torch, build_torch_module, build_keras],
    "why_not_self_normalizing": [why_steps, why_torch],
}

WRONG = {
    "selu": [
        ("constants swapped", selu_swapped),
        ("ELU", selu_elu),
        ("no scale", selu_no_scale),
        ("scale above only", selu_scale_above),
        ("levels off at -alpha", selu_scale_above),
        ("scale below only", selu_scale_below),
        ("no alpha", selu_no_alpha),
        ("alpha inside the exponent", selu_alpha_inside),
        ("no minus one", selu_no_minus_one),
        ("leaky ReLU", selu_leaky),
        ("ReLU", selu_relu),
        ("overflow", selu_overflow),
    ],
    "alpha_dropout_affine": [
        ("swapped results", lambda rate: _affine(rate)[::-1]),
        ("rate and keep swapped", lambda rate: _affine(1 - rate)),
        ("plain dropout", lambda rate: (1 / (1 - rate), 0.0)),
        ("sign of b", lambda rate: (_affine(rate)[0], -_affine(rate)[1])),
        ("alpha without scale", lambda rate: _affine(rate, -ALPHA)),
        ("no root", affine_no_root),
        ("standard deviation", affine_deviation),
        ("b without a", lambda rate: (_affine(rate)[0], rate * SCALE * ALPHA)),
        ("no shift", lambda rate: (_affine(rate)[0], 0.0)),
        ("dropped to zero", lambda rate: ((1 - rate) ** -0.5, 0.0)),
    ],
    "moments_by_depth": [
        ("swapped results", moments_swapped),
        ("standard deviation", moments_deviation),
        ("sample variance", moments_sample),
        ("second moment", moments_second),
        ("before the activation", moments_before),
        ("no activation", moments_linear),
        ("ReLU", moments_relu),
        ("every layer from the input", moments_restart),
        ("transposed kernels", moments_transposed),
        ("variance per unit", moments_per_unit),
        ("variance per row", moments_per_row),
        ("input included", moments_with_input),
        ("last layer only", moments_last),
    ],
    "build_self_normalizing_network": [
        ("He", build_he),
        ("Glorot", build_glorot),
        ("default of PyTorch", build_default),
        ("gain of selu", build_gain),
        ("fan_out", build_fan_out),
        ("variance", build_variance),
        ("uniform", build_uniform),
        ("random biases", build_random_biases),
        ("ReLU", build_relu),
        ("ELU", build_elu),
        ("no activation", build_linear),
        ("activation on the output", build_active_output),
        ("plain dropout", build_plain_dropout),
        ("rate and keep swapped", build_swapped),
        ("no dropout", build_no_dropout),
        ("dropout before the activation", build_dropout_first),
        ("dropout on the output", build_dropped_output),
        ("architecture", build_one_layer),
    ],
    "why_not_self_normalizing": [
        ("false alarm", _variant(bound=0.1)),
        ("inputs missed", _variant(mean_only=True)),
        ("inputs missed", _variant(one_sided=True)),
        ("inputs missed", _variant(order=("kernels", "inputs", "activation", "dropout"))),
        ("inputs missed", _variant(order=("dropout", "activation", "kernels", "inputs"))),
        ("kernels missed", _variant(which=slice(1))),
        ("kernels missed", _variant(which=slice(-1, None))),
        ("kernels missed", _variant(average=True)),
        ("false alarm", _variant(axis=1)),
        ("kernels missed", _variant(order=("inputs", "activation", "kernels", "dropout"))),
        ("activation missed", _variant(last=0)),
        ("activation missed", _variant(order=("inputs", "kernels", "dropout", "activation"))),
        ("activation missed", _variant(order=("inputs", "kernels", "dropout"))),
        ("dropout missed", _variant(order=("inputs", "kernels", "activation"))),
        ("form", lambda *_: 0),
    ],
}
