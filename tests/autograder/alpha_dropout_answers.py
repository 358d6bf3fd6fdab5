"""Right and wrong answers to the exercises of chapter 11, for `test_answers`."""

from itertools import pairwise

import numpy as np

ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805


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


def selu_overflow(x):
    with np.errstate(over="ignore", invalid="ignore"):
        return SCALE * ((x > 0) * x + (x <= 0) * ALPHA * (np.exp(x) - 1))


def selu_in_place(x):
    x[x < 0] = ALPHA * np.expm1(x[x < 0])
    return SCALE * x


def affine_from_moments(rate):
    """Measure mean and variance after the mask and undo them."""
    value = -SCALE * ALPHA
    mean = rate * value
    variance = (1 - rate) * (1 + mean**2) + rate * (value - mean) ** 2
    return 1 / np.sqrt(variance), -mean / np.sqrt(variance)


def affine_torch(rate):
    import torch

    value, rate = torch.tensor(-SCALE * ALPHA), torch.tensor(rate)
    a = torch.rsqrt((1 - rate) * (1 + rate * value**2))
    return a, -a * rate * value


def affine_list(rate):
    a = np.float32(((1 - rate) * (1 + rate * 1.7580993408473766**2)) ** -0.5)
    return [a, a * rate * np.float32(1.7580993)]


def moments_arrays(kernels, x):
    x, found = np.float32(x), []
    for kernel in kernels:
        x = selu_parts(x @ kernel)
        found.append((np.average(x), np.square(x - np.average(x)).mean()))
    return np.transpose(found)


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


def _torch(
    sizes,
    rate,
    *,
    init=None,
    activation="SELU",
    dropout="AlphaDropout",
    biases=0,
    swap=False,
    cut=2,
):
    """Build the network; init: a function of torch.nn.init and of a kernel."""
    import torch
    from torch import nn

    layers = []
    for fan_in, fan_out in pairwise(sizes):
        dense = nn.Linear(fan_in, fan_out)
        (init or _lecun)(nn.init, dense.weight)
        if biases is not None:
            nn.init.constant_(dense.bias, biases)
        pair = [getattr(nn, activation)(), getattr(nn, dropout)(rate)]
        layers += [dense, *(pair[::-1] if swap else pair)]
    model = nn.Sequential(*layers[: len(layers) - cut])
    return model, torch.optim.Adam(model.parameters())


def _lecun(init, kernel):
    init.kaiming_normal_(kernel, nonlinearity="linear")


def _wrong(**options):
    return lambda sizes, rate: _torch(sizes, rate, **options)


def build_dropped_output(sizes, rate):
    from torch import nn

    model, optimizer = _torch(sizes, rate)
    return model.append(nn.AlphaDropout(rate)), optimizer


def build_one_dropped(index):
    """Return an answer with alpha dropout behind one hidden layer only."""

    def build(sizes, rate):
        from torch import nn

        model, optimizer = _torch(sizes, rate)
        places = [i for i, layer in enumerate(model) if isinstance(layer, nn.AlphaDropout)]
        for i in places:
            if i != places[index]:
                model[i] = nn.Identity()
        return model, optimizer

    return build


def build_uniform_output(sizes, rate):
    from torch import nn

    model, optimizer = _torch(sizes, rate)
    nn.init.kaiming_uniform_(model[-1].weight, nonlinearity="linear")
    return model, optimizer


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


def why_steps(x, kernels, evaluation, training):
    def fine(value, target=1.0):
        return target - 0.25 <= value <= target + 0.25

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
        "inputs": x.mean().abs() > 0.25 or (x.var(correction=0) - 1).abs() > 0.25,
        "kernels": any(abs(g - 1) > 0.25 for g in gains),
        "activation": abs(evaluation[-1] - 1) > 0.25,
        "dropout": abs(training[-1] - 1) > 0.25,
        "nothing": True,
    }
    return next(cause for cause, found in tests.items() if found)


RIGHT = {
    "selu": [selu_loop, selu_parts, selu_torch, selu_keras],
    "alpha_dropout_affine": [affine_from_moments, affine_torch, affine_list],
    "moments_by_depth": [moments_arrays, moments_sums, moments_torch],
    "build_self_normalizing_network": [_torch, build_torch_module, build_keras],
    "why_not_self_normalizing": [why_steps, why_torch],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "selu": [("overflow", selu_overflow), ("changes its input", selu_in_place)],
    "build_self_normalizing_network": [
        ("He", _wrong(init=lambda init, k: init.kaiming_normal_(k, nonlinearity="relu"))),
        ("Glorot", _wrong(init=lambda init, k: init.xavier_normal_(k))),
        ("default of PyTorch", _wrong(init=lambda init, k: None)),
        ("gain of selu", _wrong(init=lambda init, k: init.kaiming_normal_(k, nonlinearity="selu"))),
        ("fan_out", _wrong(init=lambda init, k: init.normal_(k, std=len(k) ** -0.5))),
        ("variance", _wrong(init=lambda init, k: init.normal_(k, std=1 / k.shape[1]))),
        ("uniform", _wrong(init=lambda init, k: init.kaiming_uniform_(k, nonlinearity="linear"))),
        ("random biases", _wrong(biases=None)),
        ("ReLU", _wrong(activation="ReLU")),
        ("ELU", _wrong(activation="ELU")),
        ("no activation", _wrong(activation="Identity")),
        ("activation on the output", _wrong(cut=1)),
        ("plain dropout", _wrong(dropout="Dropout")),
        ("rate and keep swapped", lambda sizes, rate: _torch(sizes, 1 - rate)),
        ("no dropout", lambda sizes, rate: _torch(sizes, 0.0)),
        ("dropout before the activation", _wrong(swap=True)),
        ("dropout on the output", build_dropped_output),
        ("not in every layer", build_one_dropped(0)),
        ("not in every layer", build_one_dropped(-1)),
        ("not in every layer", lambda sizes, rate: _torch(sizes, 0.25)),
        ("uniform", build_uniform_output),
        ("architecture", lambda sizes, rate: _torch([sizes[0], sizes[-1]], rate)),
    ],
    "why_not_self_normalizing": [("form", lambda *_: 0)],
}
