"""Right and wrong answers to the exercises of chapter 12, for `test_answers`."""

import numpy as np


def mc_accumulate(model_fn, x, passes):
    mean = 0.0
    for i in range(1, passes + 1):
        mean = mean + (model_fn(x) - mean) / i
    return np.float32(mean)


def mc_stack(model_fn, x, passes):
    return np.stack([model_fn(x) for _ in range(passes)]).mean(axis=0)


def mc_torch(model_fn, x, passes):
    import torch

    return torch.stack([torch.as_tensor(model_fn(x)) for _ in range(passes)]).mean(dim=0)


def mc_keras(model_fn, x, passes):
    import keras

    return keras.ops.mean(keras.ops.stack([model_fn(x) for _ in range(passes)]), axis=0)


def mc_probe(model_fn, x, passes):
    total = np.zeros(np.shape(model_fn(x)))
    for _ in range(passes):
        total += model_fn(x)
    return total / passes


def entropy_loop(p):
    out = []
    for row in range(p.shape[1]):
        total = 0.0
        for k in range(p.shape[2]):
            q = p[:, row, k].mean()
            if q > 0:
                total -= q * np.log(q)
        out.append(total)
    return out


def entropy_where(p):
    mean = np.float32(p).mean(axis=0)
    return -(mean * np.log(np.where(mean > 0, mean, 1))).sum(axis=1)


def entropy_power(p):
    mean = p.mean(axis=0)
    return -np.log(mean**mean).sum(axis=-1)


def entropy_torch(p):
    import torch

    return torch.special.entr(torch.as_tensor(p).mean(dim=0)).sum(dim=-1)


def entropy_keras(p):
    import keras

    mean = keras.ops.mean(keras.ops.convert_to_tensor(p, "float32"), axis=0)
    return -keras.ops.sum(mean * keras.ops.log(keras.ops.maximum(mean, 1e-30)), axis=1)


def entropy_in_place(p):
    p[p == 0] = 1e-30
    mean = p.mean(axis=0)
    return -(mean * np.log(mean)).sum(axis=1)


def ece_loop(p, y, bins):
    rows = [[] for _ in range(bins)]
    for row, label in zip(p, y, strict=True):
        for b in range(bins):
            if b / bins < row.max() <= (b + 1) / bins:
                rows[b].append((row.max(), float(row.argmax() == label)))
    error = 0.0
    for members in rows:
        if members:
            confidence, accuracy = np.mean(members, axis=0)
            error += len(members) / len(y) * abs(accuracy - confidence)
    return error


def ece_digitize(p, y, bins):
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    number = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    gaps = np.bincount(number, weights=right - confidence, minlength=bins)
    return np.float32(np.abs(gaps).sum() / len(y))


def ece_torch(p, y, bins):
    import torch

    confidence, predicted = torch.as_tensor(p).max(dim=1)
    gap = (predicted == torch.as_tensor(y)).double() - confidence
    number = torch.ceil(confidence * bins).long() - 1
    return torch.zeros(bins, dtype=gap.dtype).index_add(0, number, gap).abs().sum() / len(y)


def ece_nan(p, y, bins):
    inside = np.ceil(p.max(axis=1) * bins) == np.arange(1, bins + 1)[:, None]
    gap = inside @ ((p.argmax(axis=1) == y) - p.max(axis=1))
    with np.errstate(invalid="ignore"):
        return (inside.mean(axis=1) * np.abs(gap / inside.sum(axis=1))).sum()


def _torch(model, dropout=None, second=None, *, norm=None, container=None, switch=None):
    """Build the network of plain layers, or of others; `switch` sets the modes of its modules."""
    import torch
    from torch import nn

    hidden = model["hidden"]
    dropout = dropout or nn.Dropout
    network = (container or nn.Sequential)(
        nn.Linear(model["inputs"], hidden),
        (norm or nn.BatchNorm1d)(hidden, eps=model["eps"]),
        nn.ReLU(),
        dropout(model["rate"]),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        (second or dropout)(model["rate"]),
        nn.Linear(hidden, model["classes"]),
    )
    if switch:
        switch(network)
    return network, torch.optim.SGD(network.parameters(), lr=0.1)


def _train_only(network, *kinds):
    """The filter of the lesson, without its eval(); kinds: beside dropout."""
    from torch import nn

    for module in network.modules():
        if isinstance(module, (nn.Dropout, *kinds)):
            module.train()
    return network


def only_filter(model):
    return _torch(model, switch=lambda network: _train_only(network.eval()))


def only_filter_inside(model):
    """The filter on a network inside of a module that stays in training mode."""
    from torch import nn

    def container(*layers):
        return nn.Sequential(nn.Sequential(*layers))

    return _torch(model, container=container, switch=lambda outer: _train_only(outer[0].eval()))


def only_own_train(model):
    """A filter that is part of train(), so that it holds after eval() too."""
    from torch import nn

    class OnlyDropout(nn.Sequential):
        def train(self, mode=True):
            return _train_only(super().train(False))

    return _torch(model, container=OnlyDropout)


def _always():
    from torch import nn

    class AlwaysDropout(nn.Dropout):
        def forward(self, x):
            return nn.functional.dropout(x, self.p, training=True)

    return AlwaysDropout


def only_subclass(model):
    return _torch(model, _always())


def only_first(model):
    from torch import nn

    return _torch(model, _always(), nn.Dropout)


def _by_hand(mask):
    """Return an answer whose own layer multiplies by mask(x, rate)."""

    def answer(model):
        from torch import nn

        class Mask(nn.Identity):
            def forward(self, x):
                return x * mask(x, model["rate"])

        return _torch(model, Mask)

    return answer


def _kept(x, rate, seed=None):
    import torch

    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return torch.rand(x.shape, generator=generator) >= rate


def only_everything(model):
    """The whole model in training mode, whatever it is told."""
    from torch import nn

    class Everything(nn.Sequential):
        def train(self, mode=True):
            return super().train(True)

    return _torch(model, container=Everything)


def only_too_wide(model):
    """A filter that takes batch normalization along."""
    from torch import nn

    return _torch(model, switch=lambda network: _train_only(network.eval(), nn.BatchNorm1d))


def only_batch_statistics(model):
    """Batch statistics that leave the running ones alone."""
    from torch import nn

    class BatchNorm1d(nn.BatchNorm1d):
        def forward(self, x):
            z = (x - x.mean(dim=0)) / (x.var(dim=0, correction=0) + self.eps).sqrt()
            return z * self.weight + self.bias

    return _torch(model, _always(), norm=BatchNorm1d)


def only_moving(model):
    """Running statistics are used, and updated all the same."""
    from torch import nn

    class BatchNorm1d(nn.BatchNorm1d):
        def forward(self, x):
            out = super().forward(x)
            self.running_mean += 0.1 * (x.detach().mean(dim=0) - self.running_mean)
            return out

    return _torch(model, _always(), norm=BatchNorm1d)


def _keras(model, dropout, norm=None):
    """Build the network; dropout: a function of a tensor. norm: the class of the normalization."""
    import keras

    inputs = keras.Input((model["inputs"],))
    x = keras.layers.Dense(model["hidden"])(inputs)
    x = (norm or keras.layers.BatchNormalization)(epsilon=model["eps"])(x)
    x = keras.layers.Dense(model["hidden"], activation="relu")(dropout(keras.layers.ReLU()(x)))
    network = keras.Model(inputs, keras.layers.Dense(model["classes"])(dropout(x)))
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return network


def only_keras(model, norm=None):
    """The subclass of the lesson."""
    import keras

    class AlwaysDropout(keras.layers.Dropout):
        def call(self, inputs, training=None):
            return super().call(inputs, training=True)

    return _keras(model, lambda x: AlwaysDropout(model["rate"])(x), norm)


def only_everything_keras(model):
    import keras

    class Norm(keras.layers.BatchNormalization):
        def call(self, inputs, training=None):
            return super().call(inputs, training=True)

    return only_keras(model, Norm)


def only_at_building(model):
    import keras

    return _keras(model, lambda x: keras.layers.Dropout(model["rate"])(x, training=True))


def diagnose_loop(p, limit):
    passes, classes = p.shape
    if all((p[i] == p[i - 1]).all() for i in range(1, passes)):
        return "dropout is off"

    def entropy(q):
        return -sum(q[k] * np.log(q[k]) for k in range(classes) if q[k] > 0)

    total = entropy([p[:, k].mean() for k in range(classes)])
    within = sum(entropy(p[i]) for i in range(passes)) / passes
    if not total > limit:
        return "sure"
    return np.str_("ambiguous") if within >= total - within else "unfamiliar"


def diagnose_torch(p, limit):
    import torch

    p = torch.as_tensor(p)
    if torch.equal(p, p[:1].expand_as(p)):
        return "dropout is off"
    total = torch.special.entr(p.mean(dim=0)).sum()
    within = torch.special.entr(p).sum(dim=1).mean()
    if total <= limit:
        return "sure"
    return "unfamiliar" if total - within > total / 2 else "ambiguous"


def diagnose_divergence(p, limit):
    """Mutual information as the mean divergence of the passes from their average."""
    mean = np.maximum(np.mean(p, axis=0, dtype=np.float32), 1e-30)
    entropy = -(mean * np.log(mean)).sum()
    information = (p * np.log(np.maximum(p, 1e-30) / mean)).sum() / len(p)
    if not np.diff(p, axis=0).any():
        return "dropout is off"
    unsure = "unfamiliar" if information / entropy > 0.5 else "ambiguous"
    return unsure if entropy > limit else "sure"


def diagnose_offset(p, limit):
    """Add a small number in the logarithm, and add up in loops."""
    if not (p != p[0]).any():
        return "dropout is off"
    entropies = [-sum(q * np.log(q + 1e-8)) for q in (p.mean(axis=0), *p)]
    total, within = entropies[0], np.mean(entropies[1:])
    if total <= limit:
        return "sure"
    return "unfamiliar" if total - within > 0.5 * total else "ambiguous"


def diagnose_any_repeat(p, limit):
    """Take one pass that equals the one before for a sign that dropout is off."""
    repeated = (np.diff(p, axis=0) == 0).all(axis=1).any()
    return "dropout is off" if repeated else diagnose_loop(p, limit)


RIGHT = {
    "mc_predict": [mc_accumulate, mc_stack, mc_torch, mc_keras],
    "predictive_entropy": [
        entropy_loop,
        entropy_where,
        entropy_power,
        entropy_torch,
        entropy_keras,
    ],
    "expected_calibration_error": [ece_loop, ece_digitize, ece_torch],
    "enable_dropout_only": [
        only_filter,
        only_filter_inside,
        lambda model: _torch(model, switch=lambda network: network[1].eval()),
        only_own_train,
        only_subclass,
        _by_hand(lambda x, rate: _kept(x, rate) / (1 - rate)),
        only_keras,
    ],
    "diagnose_uncertainty": [diagnose_loop, diagnose_torch, diagnose_divergence, diagnose_offset],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "mc_predict": [
        ("one pass repeated", lambda model_fn, x, passes: np.mean([model_fn(x)] * passes, axis=0)),
        ("calls_once_per_pass", mc_probe),
    ],
    "predictive_entropy": [("changes its input", entropy_in_place)],
    "expected_calibration_error": [("empty bins", ece_nan)],
    "enable_dropout_only": [
        ("dropout is off", _torch),
        ("dropout is off", lambda model: _torch(model, switch=lambda net: net.eval())),
        ("dropout is off", lambda model: _torch(model, switch=_train_only)),
        ("dropout is off", lambda model: _torch(model, switch=lambda net: _train_only(net).eval())),
        ("dropout is off", only_at_building),
        ("one layer only", only_first),
        ("batch statistics", only_everything),
        ("batch statistics", only_everything_keras),
        ("batch statistics", only_too_wide),
        ("batch statistics", only_batch_statistics),
        ("statistics moved", only_moving),
        ("rate and keep swapped", _by_hand(lambda x, rate: _kept(x, 1 - rate) / rate)),
        ("no rescaling", _by_hand(_kept)),
        ("fixed mask", _by_hand(lambda x, rate: _kept(x, rate, seed=0) / (1 - rate))),
        ("one mask per batch", _by_hand(lambda x, rate: _kept(x[0], rate) / (1 - rate))),
        ("error", lambda model: _torch(model)[0]),
    ],
    "diagnose_uncertainty": [
        ("form", lambda p, limit: "noisy"),
        ("false alarm", diagnose_any_repeat),
    ],
}
