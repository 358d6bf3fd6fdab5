"""Right and wrong answers to the exercises of chapter 11, for `test_answers`."""

from itertools import pairwise

import numpy as np

from regbook.exercise import vary

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


def why_loop(evaluation, training):
    """Walk through the numbers one at a time."""
    batches, columns = evaluation.shape

    def place(values):
        mean = sum(values) / batches
        error = np.sqrt(sum((v - mean) ** 2 for v in values) / (batches - 1) / batches)
        low, high = mean - 2 * error, mean + 2 * error
        if low > 0.25 or high < -0.25:
            return "off"
        return "open" if low <= -0.25 or high >= 0.25 else "within"

    walk = [("inputs", evaluation[:, 0] - 1)]
    walk += [("kernels", evaluation[:, i] - 1) for i in range(1, columns)]
    walk += [("dropout", training[:, i] - evaluation[:, i]) for i in range(1, columns)]
    for name, values in walk:
        if place(values) != "within":
            return name if place(values) == "off" else "measure more"
    return "nothing"


def why_arrays(evaluation, training):
    """Judge all numbers at once."""
    numbers = np.hstack([evaluation - 1, (training - evaluation)[:, 1:]])
    layers = evaluation.shape[1] - 1
    names = ["inputs"] + ["kernels"] * layers + ["dropout"] * layers
    mean, half = numbers.mean(axis=0), 2 * numbers.std(axis=0, ddof=1) / len(numbers) ** 0.5
    low, high = mean - half, mean + half
    beyond = np.flatnonzero((low <= -0.25) | (high >= 0.25))
    if not len(beyond):
        return np.str_("nothing")
    first = beyond[0]
    off = low[first] > 0.25 or high[first] < -0.25
    return names[first] if off else "measure more"


def why_torch(evaluation, training):
    import torch

    evaluation, training = torch.tensor(evaluation), torch.tensor(training)
    steps = {
        "inputs": evaluation[:, :1] - 1,
        "kernels": evaluation[:, 1:] - 1,
        "dropout": (training - evaluation)[:, 1:],
    }
    for name, numbers in steps.items():
        half = 2 * numbers.std(dim=0) / len(numbers) ** 0.5
        for low, high in zip(numbers.mean(dim=0) - half, numbers.mean(dim=0) + half, strict=True):
            if low > 0.25 or high < -0.25:
                return name
            if not (low > -0.25 and high < 0.25):
                return "measure more"
    return "nothing"


def pairs_of(choices):
    return [(recipe, rate) for recipe in choices["recipe"] for rate in choices["rate"]]


def choose(
    train, choices, steps, budget, *,
    score=lambda scores: scores["dev"], number=lambda steps, budget, pairs: budget // pairs,
    recipes=lambda recipes: recipes, rates=lambda rates: rates,
):  # fmt: skip
    """Give all pairs an equal share and take the best on dev, with any part replaced."""
    pairs = pairs_of({"recipe": recipes(choices["recipe"]), "rate": rates(choices["rate"])})
    each = number(steps, budget, len(pairs))
    return max(pairs, key=lambda pair: score(train(pair, each)))


def choose_by_halving(train, choices, steps, budget):
    """Train all pairs briefly, and the better half again for longer, until one is left."""
    pairs, rounds = pairs_of(choices), 3
    for i in range(rounds):
        each = min(steps, budget // rounds // len(pairs))
        pairs.sort(key=lambda pair: train(pair, each)["dev"], reverse=True)
        pairs = pairs[: max(1, len(pairs) // (2 if i < rounds - 1 else len(pairs)))]
    return pairs[0]


def choose_recipe_then_rate(train, choices, steps, budget):
    """Try two rates with every recipe, and all rates with the better recipe."""
    rates = list(choices["rate"])
    begin = pairs_of(choices | {"rate": rates[:2]})
    each = budget // (len(begin) + len(rates))
    dev = {pair: train(pair, each)["dev"] for pair in begin}
    recipe = max(dev, key=dev.get)[0]
    dev |= {(recipe, rate): train((recipe, rate), each)["dev"] for rate in rates[2:]}
    return max(dev, key=dev.get)


def choose_finalists(train, choices, steps, budget):
    """Train all pairs for half of the budget, and the best two for the rest."""
    pairs = pairs_of(choices)
    dev = {pair: train(pair, budget // 2 // len(pairs))["dev"] for pair in pairs}
    best = sorted(pairs, key=dev.get)[-2:]
    return list(max(best, key=lambda pair: train(pair, budget // 4)["dev"]))


def choose_least_dropout(train, choices, steps, budget):
    """Give all pairs an equal share; of those as good as the best take the least dropout."""
    pairs = pairs_of(choices)
    dev = {pair: train(pair, budget // len(pairs))["dev"] for pair in pairs}
    good = [pair for pair in pairs if dev[pair] > max(dev.values()) - 0.005]
    return min(good, key=lambda pair: pair[1])


def choose_until_refused(train, choices, steps, budget):
    """Try all pairs in full until `train` refuses."""
    best = 0, None
    try:
        for pair in pairs_of(choices):
            best = max(best, (train(pair, steps)["dev"], pair))
    except ValueError:
        pass
    return best[1]


def choose_one_after_the_other(train, choices, steps, budget):
    """Tune the rate of the first recipe, and give it to the others."""
    first, *others = choices["recipe"]
    each = budget // (len(choices["rate"]) + len(others))
    dev = {(first, rate): train((first, rate), each)["dev"] for rate in choices["rate"]}
    rate = max(dev, key=dev.get)[1]
    dev |= {(recipe, rate): train((recipe, rate), each)["dev"] for recipe in others}
    return max(dev, key=dev.get)


def choose_anyway(pick):
    """Return the answer that tries all pairs and takes one that no score has a part in."""

    def answer(train, choices, steps, budget):
        choose(train, choices, steps, budget)
        return pick(choices)

    return answer


RIGHT = {
    "selu": [selu_loop, selu_parts, selu_torch, selu_keras],
    "alpha_dropout_affine": [affine_from_moments, affine_torch, affine_list],
    "moments_by_depth": [moments_arrays, moments_sums, moments_torch],
    "build_self_normalizing_network": [_torch, build_torch_module, build_keras],
    "why_not_self_normalizing": [why_loop, why_arrays, why_torch],
    "choose_deep_stack": [
        choose,
        choose_by_halving,
        choose_recipe_then_rate,
        choose_finalists,
        choose_least_dropout,
    ],
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
    "why_not_self_normalizing": [
        ("form", lambda *_: 0),
        ("text", lambda *_: "Dropout"),
    ],
    "choose_deep_stack": [
        ("no decision", lambda train, choices, steps, budget: ("layer norm", 0.1)),
        ("no decision", lambda train, choices, steps, budget: ("self-normalizing", 0.05)),
        (
            "no decision",
            vary(
                choose,
                recipes=lambda recipes: recipes[:1],
                rates=lambda rates: rates[:1],
                number=lambda steps, budget, pairs: steps,
            ),
        ),
        ("over budget", vary(choose, number=lambda steps, budget, pairs: steps)),
        ("over budget", vary(choose, number=lambda steps, budget, pairs: budget // pairs + 1)),
        ("over budget", choose_until_refused),
        ("chosen on test rows", vary(choose, score=lambda scores: scores["test"])),
        ("chosen on test rows", vary(choose, score=lambda scores: scores["test"] + scores["dev"])),
        ("chosen on train rows", vary(choose, score=lambda scores: scores["train"])),
        ("smallest gap", vary(choose, score=lambda scores: scores["dev"] - scores["train"])),
        ("lowest for highest", vary(choose, score=lambda scores: -scores["dev"])),
        ("dev ignored", choose_anyway(lambda choices: ("self-normalizing", choices["rate"][1]))),
        ("dev ignored", choose_anyway(lambda choices: ("layer norm", choices["rate"][1]))),
        ("short runs", vary(choose, number=lambda steps, budget, pairs: 3)),
        ("one recipe only", vary(choose, recipes=lambda recipes: recipes[:1])),
        ("one recipe only", vary(choose, recipes=lambda recipes: recipes[1:2])),
        ("one rate for both", vary(choose, rates=lambda rates: rates[:1])),
        ("one rate for both", choose_one_after_the_other),
        ("error", lambda *task: choose(*task)[0]),
        ("error", lambda *task: choose(*task)[::-1]),
        ("error", lambda train, choices, steps, budget: train("layer norm", steps)),
        ("error", lambda train, choices, steps, budget: train(("layer norm", 0.07), steps)),
    ],
}
