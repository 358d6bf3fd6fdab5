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


def diagnose_scipy(spread, gradient, factor):
    """Ask SciPy for the interval of the mean logarithm."""
    from scipy import stats

    if not (np.isfinite(spread).all() and np.isfinite(gradient).all()):
        return "exploding"
    bounds = []
    for change in (spread[:, -1] / spread[:, 0], gradient[:, 0] / gradient[:, -1]):
        logs = np.log10(change)
        bounds.append(stats.t.interval(0.95, len(logs) - 1, loc=logs.mean(), scale=stats.sem(logs)))
    limit = np.log10(factor)
    if any(low > limit for low, _ in bounds):
        return "exploding"
    if any(high < -limit for _, high in bounds):
        return "vanishing"
    if all(-limit < low and high < limit for low, high in bounds):
        return "healthy"
    return "cannot tell"


def diagnose_tests(spread, gradient, factor):
    """Ask four one-sided t tests, with 2.5 % on each side."""
    from scipy import stats

    both = np.concatenate([spread, gradient])
    if np.isnan(both).any() or np.isinf(both).any():
        return "exploding"
    limit, grows, falls, below, above = math.log(factor), [], [], [], []
    for change in (
        np.log(spread[:, -1]) - np.log(spread[:, 0]),
        np.log(gradient[:, 0]) - np.log(gradient[:, -1]),
    ):

        def sure(value, side, change=change):
            return stats.ttest_1samp(change, value, alternative=side).pvalue < 0.025

        grows.append(sure(limit, "greater"))
        falls.append(sure(-limit, "less"))
        below.append(sure(limit, "less"))
        above.append(sure(-limit, "greater"))
    if any(grows):
        return "exploding"
    if any(falls):
        return "vanishing"
    return "healthy" if all(below + above) else "cannot tell"


def diagnose_loop(
    spread, gradient, factor, *, t=None, change=None, order=("up", "down"), exploding=2
):
    """Do it with plain numbers; the options make other answers of it."""
    from scipy import stats

    rows = [list(map(float, row)) for row in (*spread, *gradient)]
    if any(not math.isfinite(value) for row in rows for value in row):
        return "exploding"
    n, found = len(spread), []
    for ends in (
        [(row[0], row[-1]) for row in rows[:n]],
        [(row[-1], row[0]) for row in rows[n:]],
    ):
        logs = [(change or (lambda a, b: math.log(b / a)))(a, b) for a, b in ends]
        mean = sum(logs) / n
        variance = sum((value - mean) ** 2 for value in logs) / (n - 1)
        half = (t or stats.t.ppf(0.975, n - 1)) * math.sqrt(variance / n)
        found.append((mean - half, mean + half))
    limit = math.log(factor)
    tests = {
        "up": any(low > limit for low, _ in found[:exploding]),
        "down": any(h < -limit for _, h in found),
    }
    for name in order:
        if tests[name]:
            return {"up": "exploding", "down": "vanishing"}[name]
    inside = all(low > -limit and high < limit for low, high in found)
    return "healthy" if inside else "cannot tell"


def diagnose_torch(spread, gradient, factor):
    import torch
    from scipy import stats

    a, g = torch.tensor(np.array(spread)), torch.tensor(np.array(gradient))
    if not bool(torch.isfinite(a).all() & torch.isfinite(g).all()):
        return "exploding"
    logs = torch.stack([(a[:, -1] / a[:, 0]).log(), (g[:, 0] / g[:, -1]).log()])
    n = logs.shape[1]
    half = stats.t.ppf(0.975, n - 1) * logs.std(dim=1) / n**0.5
    low, high, limit = logs.mean(dim=1) - half, logs.mean(dim=1) + half, math.log(factor)
    if bool((low > limit).any()):
        return "exploding"
    if bool((high < -limit).any()):
        return "vanishing"
    return "healthy" if bool(((low > -limit) & (high < limit)).all()) else "cannot tell"


# --- start_thirty_layers ---------------------------------------------------------------------


def start_measured(activation, widths, x):
    """Keep the sums of every layer at variance 1, by the mean square behind a standard normal."""
    z = np.random.default_rng(0).normal(size=50_000)
    m = np.mean(activation(z) ** 2)
    return [np.sqrt(1 / widths[0])] + [np.sqrt(1 / (m * fan_in)) for fan_in in widths[1:-1]]


def start_layer_by_layer(activation, widths, x):
    """Draw a layer, look at its sums, scale it so that they have the standard deviation 1."""
    rng, scales, a = np.random.default_rng(1), [], x
    for fan_in, fan_out in itertools.pairwise(widths):
        kernel = rng.normal(size=(fan_in, fan_out))
        scales.append(1 / (a @ kernel).std())
        a = activation(a @ kernel * scales[-1])
    return np.float32(scales)


def start_small_output(activation, widths, x):
    """As `start_measured`, by an integral, and with a last layer of half the size."""
    z = np.linspace(-8, 8, 4001)
    density = np.exp(-(z**2) / 2)
    m = (density * activation(z) ** 2).sum() / density.sum()
    scales = 1 / np.sqrt(m * np.array(widths[:-1]))
    scales[0] *= np.sqrt(m)
    scales[-1] /= 2
    return scales


def start_by_search(activation, widths, x):
    """Search, by halving, for the one gain with which a drawn network keeps its spread."""
    fans = np.array(widths[:-1])

    def grows(gain):
        rng, a = np.random.default_rng(0), x
        for number, shape in enumerate(itertools.pairwise(widths[:-1])):
            factor = gain if number else 1.0
            a = activation(a @ rng.normal(size=shape) * factor / np.sqrt(shape[0]))
        return a.std() > activation(x).std()

    low, high = 0.1, 100.0
    for _ in range(20):
        middle = np.sqrt(low * high)
        low, high = (low, middle) if grows(middle) else (middle, high)
    return np.concatenate([[1.0], np.full(len(fans) - 1, high)]) / np.sqrt(fans)


def start_by_rule(variance):
    """Make an answer of a rule that knows the fans alone."""

    def start(activation, widths, x):
        fan_in, fan_out = (np.array(part, float) for part in (widths[:-1], widths[1:]))
        return np.sqrt(variance(fan_in, fan_out))

    return start


def start_without_root(activation, widths, x):
    """Divide by the mean square of the activation, not by its root."""
    z = np.random.default_rng(0).normal(size=50_000)
    m = np.mean(activation(z) ** 2)
    return 1 / (m * np.sqrt(widths[:-1]))


RIGHT = {
    "he_std": [he_power, he_loop, he_torch],
    "glorot_limit": [glorot_from_variance, glorot_mean, glorot_keras],
    "layer_gains": [gains_list, gains_norm, gains_torch],
    "clip_by_global_norm": [clip_concatenated, clip_loop, clip_torch, clip_tensorflow],
    "build_he_network": [torch_class, _torch_network(), _keras_network()],
    "diagnose_depth": [diagnose_scipy, diagnose_tests, diagnose_loop, diagnose_torch],
    "start_thirty_layers": [
        start_measured,
        start_layer_by_layer,
        start_small_output,
        start_by_search,
    ],
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
        ("normal", lambda *given: diagnose_loop(*given, t=1.96)),
        ("99 %", lambda *given: diagnose_loop(*given, t=4.0)),
        ("vanishing first", lambda *given: diagnose_loop(*given, order=("down", "up"))),
        ("saturated", lambda *given: diagnose_loop(*given, exploding=1)),
        ("text", lambda *given: diagnose_scipy(*given).replace("cannot tell", "unknown")),
        ("text", lambda *given: diagnose_scipy(*given).capitalize()),
        ("error", lambda s, g, factor: diagnose_scipy(s[0], g[0], factor)),
        ("form", lambda *given: 1.0),
    ],
    "start_thirty_layers": [
        ("He", start_by_rule(lambda fan_in, fan_out: 2 / fan_in)),
        ("Glorot", start_by_rule(lambda fan_in, fan_out: 2 / (fan_in + fan_out))),
        ("LeCun", start_by_rule(lambda fan_in, fan_out: 1 / fan_in)),
        ("PyTorch default", start_by_rule(lambda fan_in, fan_out: 1 / (3 * fan_in))),
        ("gain of tanh", start_by_rule(lambda fan_in, fan_out: 50 / 9 / (fan_in + fan_out))),
        ("AlexNet", lambda activation, widths, x: [0.01] * 30),
        ("zero", lambda activation, widths, x: np.zeros(30)),
        ("too large", lambda activation, widths, x: np.ones(30)),
        ("one for all", lambda activation, widths, x: np.full(30, 0.1)),
        ("one for all", lambda activation, widths, x: np.full(30, 30.0)),
        ("variance for sd", lambda activation, widths, x: 2 / np.array(widths[:-1])),
        ("vanishes", lambda *task: np.array(start_measured(*task)) / 3),
        ("explodes", lambda *task: np.array(start_measured(*task)) * 5),
        ("explodes", start_without_root),
        ("scales", lambda *task: -np.array(start_measured(*task))),
        ("error", lambda *task: np.full(30, np.nan)),
        ("error", lambda activation, widths, x: activation("z")),
        ("error", lambda *task: start_measured(*task)[:-1]),
        ("error", lambda activation, widths, x: 1.0),
    ],
}
