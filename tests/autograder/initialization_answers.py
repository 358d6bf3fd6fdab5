"""Right and wrong answers to the exercises of chapter 05, for `test_answers`."""

import itertools
import math

import numpy as np

# --- he_std and glorot_limit -----------------------------------------------------------------


def he_power(fan_in):
    return (np.float32(fan_in) / 2) ** -0.5


def he_loop(fan_in):
    if np.ndim(fan_in) == 0:
        return math.sqrt(2 / fan_in)
    return [math.sqrt(2 / fan) for fan in fan_in]


def he_torch(fan_in):
    import torch

    return torch.sqrt(2 / torch.as_tensor(fan_in))


def glorot_from_variance(fan_in, fan_out):
    variance = 2 / (np.float32(fan_in) + np.float32(fan_out))
    return np.sqrt(3 * variance)


def glorot_mean(fan_in, fan_out):
    return (3 / np.mean([fan_in, fan_out], axis=0)) ** 0.5


def glorot_keras(fan_in, fan_out):
    import keras

    return keras.ops.sqrt(6 / keras.ops.cast(fan_in + fan_out, "float32"))


# --- layer_gains -----------------------------------------------------------------------------


def rms(a):
    return np.sqrt((a**2).mean())


def gains_list(weights, x):
    a = [x]
    for w in weights:
        a.append(np.tanh(a[-1] @ w))
    sizes = [rms(v) for v in a]
    return [after / before for before, after in itertools.pairwise(sizes)]


def gains_norm(weights, x):
    gains = np.zeros(len(weights), np.float32)
    for i, w in enumerate(weights):
        z = np.einsum("ni,ij->nj", x, w)
        after = np.tanh(z)
        gains[i] = np.linalg.norm(after) / np.linalg.norm(x) * np.sqrt(x.size / after.size)
        x = after
    return gains


def gains_torch(weights, x):
    import torch

    a, gains = torch.tensor(x), []
    for w in weights:
        new = torch.tanh(a @ torch.tensor(w))
        gains.append((new.square().mean() / a.square().mean()).sqrt())
        a = new
    return torch.stack(gains)


# --- clip_by_global_norm ---------------------------------------------------------------------


def global_norm(grads):
    return np.sqrt(sum((g**2).sum() for g in grads))


def clip_concatenated(grads, max_norm):
    norm = np.linalg.norm(np.concatenate([g.ravel() for g in grads]))
    if norm <= max_norm:
        return grads
    return tuple(np.float32(g * (max_norm / norm)) for g in grads)


def clip_torch(grads, max_norm):
    import torch

    parameters = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in grads]
    for p, g in zip(parameters, grads, strict=True):
        p.grad = torch.tensor(g)
    torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    return [p.grad for p in parameters]


def clip_tensorflow(grads, max_norm):
    import tensorflow as tf

    clipped, _ = tf.clip_by_global_norm([tf.constant(g) for g in grads], max_norm)
    return [g.numpy() for g in clipped]


def clip_loop(grads, max_norm):
    """Divide by the larger of the norm and max_norm."""
    total = sum(float(v) ** 2 for g in grads for v in g.ravel())
    divisor = max(math.sqrt(total), max_norm)
    return [(g * max_norm / divisor).tolist() for g in grads]


def clip_longest(grads, max_norm):
    """Shorten only the gradient with the largest norm."""
    norm, longest = global_norm(grads), np.argmax([global_norm([g]) for g in grads])
    clipped = [g.copy() for g in grads]
    if norm > max_norm:
        clipped[longest] *= max_norm / norm
    return clipped


def clip_in_place(grads, max_norm):
    factor = min(1, max_norm / (global_norm(grads) or 1))
    for g in grads:
        g *= factor
    return grads


def clip_with_nan(grads, max_norm):
    norm = global_norm(grads)
    return [g * min(1, max_norm / norm) if norm > 0 else g / norm for g in grads]


# --- build_he_network ------------------------------------------------------------------------


def _he(w):
    from torch import nn

    return nn.init.kaiming_normal_(w, nonlinearity="relu")


def _torch_network(
    init=_he,
    last=_he,
    zero_biases=True,
    act="ReLU",
    end=(),
    rate=1.0,
    held=slice(None),
    seed=None,
    **options,
):
    def build(sizes, lr):
        import torch
        from torch import nn

        if seed is not None:
            torch.manual_seed(seed)
        layers = []
        for number in range(1, len(sizes)):
            linear = nn.Linear(sizes[number - 1], sizes[number])
            with torch.no_grad():
                (last if number == len(sizes) - 1 else init)(linear.weight)
            if zero_biases:
                nn.init.zeros_(linear.bias)
            layers += [linear, getattr(nn, act)()]
        model = nn.Sequential(*layers[:-1], *(getattr(nn, name)() for name in end))
        return model, torch.optim.SGD(list(model.parameters())[held], rate * lr, **options)

    return build


def torch_class(sizes, lr):
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            pairs = itertools.pairwise(sizes)
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
            with torch.no_grad():
                for layer in self.layers:
                    layer.weight.copy_(
                        torch.randn(layer.weight.shape) * math.sqrt(2 / layer.in_features)
                    )
                    layer.bias.fill_(0)

        def forward(self, x):
            for layer in self.layers[:-1]:
                x = torch.relu(layer(x))
            return self.layers[-1](x)

    model = Net()
    return model, torch.optim.SGD(model.parameters(), lr=lr)


def _keras_network(
    init="he_normal",
    last="he_normal",
    shared=False,
    bias="zeros",
    activation="relu",
    cut=None,
    **options,
):
    def build(sizes, lr):
        import keras

        initializer = keras.initializers.get(init) if shared else init
        start = {"kernel_initializer": initializer, "bias_initializer": bias}
        layers = [keras.layers.Dense(n, activation, **start) for n in sizes[1:-1]]
        output = keras.layers.Dense(sizes[-1], cut, kernel_initializer=last, bias_initializer=bias)
        model = keras.Sequential([keras.Input((sizes[0],)), *layers, output])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=cut is None)
        model.compile(keras.optimizers.SGD(lr, **options), loss)
        return model

    return build


def torch_three_layers(sizes, lr):
    """Write the three layers down, however many there are."""
    import torch
    from torch import nn

    inputs, one, two, classes = sizes
    layers = nn.Linear(inputs, one), nn.Linear(one, two), nn.Linear(two, classes)
    for layer in layers:
        _he(layer.weight)
        nn.init.zeros_(layer.bias)
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    return model, torch.optim.SGD(model.parameters(), lr)


def _cut(w):
    std = math.sqrt(2 / w.shape[1])
    return _nn_init("trunc_normal_", std=std, a=-2 * std, b=2 * std)(w)


def _nn_init(name, **options):
    def init(w):
        from torch import nn

        return getattr(nn.init, name)(w, **options)

    return init


def _both(init):
    return _torch_network(init=init, last=init)


# --- diagnose_depth --------------------------------------------------------------------------


def diagnose_plain(spread, gradient, distinct, factor):
    spread, gradient = list(spread), list(gradient)
    if min(distinct) <= 1:
        return "symmetric"
    if not all(math.isfinite(v) for v in spread + gradient):
        return "exploding"
    if spread[-1] > factor * spread[0] or gradient[0] > factor * gradient[-1]:
        return "exploding"
    if spread[0] > factor * spread[-1] or gradient[-1] > factor * gradient[0]:
        return "vanishing"
    return "healthy"


def diagnose_logs(spread, gradient, distinct, factor):
    if 1 in distinct:
        return "symmetric"
    if not np.isfinite([spread, gradient]).all():
        return "exploding"
    with np.errstate(divide="ignore"):
        change = np.log([spread[-1] / spread[0], np.divide(gradient[0], gradient[-1])])
    limit = math.log(factor) * (1 + 1e-9)
    if (change > limit).any():
        return "exploding"
    return "vanishing" if (change < -limit).any() else "healthy"


def diagnose_with(symmetric=lambda distinct: distinct.min() == 1, grows=None):
    """Make an answer of two conditions; grows: when the spread or the gradient explodes."""
    grows = grows or (lambda s, g, factor: s[-1] > factor * s[0] or g[0] > factor * g[-1])

    def diagnose(spread, gradient, distinct, factor):
        if symmetric(distinct):
            return "symmetric"
        if not np.isfinite([spread, gradient]).all() or grows(spread, gradient, factor):
            return "exploding"
        falls = spread[0] > factor * spread[-1] or gradient[-1] > factor * gradient[0]
        return "vanishing" if falls else "healthy"

    return diagnose


def diagnose_torch(spread, gradient, distinct, factor):
    import torch

    a, g = torch.tensor(np.array(spread)), torch.tensor(np.array(gradient))
    grows = (a[-1] > factor * a[0]) | (g[0] > factor * g[-1])
    shrinks = (a[0] > factor * a[-1]) | (g[-1] > factor * g[0])
    lost = not bool(torch.isfinite(torch.cat([a, g])).all())
    names = ["symmetric", "exploding", "vanishing", "healthy"]
    truths = [bool((torch.tensor(distinct) == 1).any()), lost or bool(grows), bool(shrinks), True]
    return names[truths.index(True)]


RIGHT = {
    "he_std": [he_power, he_loop, he_torch],
    "glorot_limit": [glorot_from_variance, glorot_mean, glorot_keras],
    "layer_gains": [gains_list, gains_norm, gains_torch],
    "clip_by_global_norm": [clip_concatenated, clip_loop, clip_torch, clip_tensorflow],
    "build_he_network": [torch_class, _torch_network(), _keras_network()],
    "diagnose_depth": [diagnose_plain, diagnose_with(), diagnose_logs, diagnose_torch],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "he_std": [("error", lambda fan_in: math.sqrt(2 / fan_in))],
    "layer_gains": [("form", lambda weights, x: np.prod(gains_list(weights, x)))],
    "clip_by_global_norm": [
        ("changes its input", clip_in_place),
        ("shortens_all_by_one_factor", clip_longest),
        ("form", lambda grads, max_norm: np.concatenate([g.ravel() for g in grads])),
        ("form", clip_with_nan),
    ],
    "build_he_network": [
        ("Glorot", _keras_network(init="glorot_uniform", last="glorot_uniform")),
        ("PyTorch default", _both(lambda w: w)),
        ("LeCun", _keras_network(init="lecun_normal", last="lecun_normal")),
        ("fan out", _both(_nn_init("kaiming_normal_", mode="fan_out", nonlinearity="relu"))),
        ("variance for sd", _both(lambda w: w.normal_(0, 2 / w.shape[1]))),
        ("zero", _both(_nn_init("zeros_"))),
        ("uniform", _keras_network(init="he_uniform", last="he_uniform")),
        ("last layer", _keras_network(last="glorot_uniform")),
        ("last layer", _torch_network(last=lambda w: w)),
        ("biases", _torch_network(zero_biases=False)),
        ("biases", _keras_network(bias="ones")),
        ("repeated draw", _keras_network(shared=True)),
        ("fixed seed", _torch_network(seed=0)),
        ("no ReLU", _torch_network(act="Identity")),
        ("ReLU on the output", _torch_network(end=["ReLU"])),
        ("softmax", _keras_network(cut="softmax")),
        ("computes_logits_with_relu", _keras_network(activation="tanh")),
        ("computes_logits_with_relu", _torch_network(act="ReLU6")),
        ("truncation", _both(_cut)),
        ("untrained", _torch_network(held=slice(2))),
        ("untrained", _torch_network(held=slice(-2, None))),
        ("momentum", _torch_network(momentum=0.9)),
        ("momentum", _keras_network(momentum=0.9)),
        ("takes_a_step_of_sgd", _torch_network(weight_decay=0.01)),
        ("error", torch_three_layers),
        ("takes_a_step_of_sgd", _torch_network(rate=2.0)),
        ("architecture", lambda sizes, lr: _torch_network()([sizes[0], *sizes[2:]], lr)),
        ("error", lambda sizes, lr: _torch_network()(sizes, lr)[0]),
    ],
    "diagnose_depth": [
        ("sees_symmetry_first", diagnose_with(lambda distinct: (distinct[1:-1] == 1).any())),
        ("sees_symmetry_first", diagnose_with(lambda distinct: (distinct[:-1] == 1).any())),
        ("sees_symmetry_first", diagnose_with(lambda distinct: (distinct[1:] == 1).any())),
        (
            "leaves_the_healthy_alone",
            diagnose_with(
                grows=lambda s, g, factor: s[-1] > factor * s[1] or g[0] > factor * g[-2]
            ),
        ),
        (
            "leaves_the_healthy_alone",
            diagnose_with(
                grows=lambda s, g, factor: s[-1] >= factor * s[0] or g[0] > factor * g[-1]
            ),
        ),
        ("error", lambda *given: diagnose_plain(*given).capitalize()),
    ],
}
