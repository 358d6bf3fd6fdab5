"""Right and wrong answers to the exercises of chapter 12, for `test_answers`."""

import numpy as np

# --- mc_predict ------------------------------------------------------------------------------


def mc_probe(model_fn, x, passes):
    total = np.zeros(np.shape(model_fn(x)))
    for _ in range(passes):
        total += model_fn(x)
    return total / passes


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


def mc_logits(model_fn, x, passes):
    p = np.exp(np.mean([np.log(model_fn(x)) for _ in range(passes)], axis=0))
    return p / p.sum(axis=1, keepdims=True)


def mc_votes(model_fn, x, passes):
    votes = 0
    for _ in range(passes):
        p = model_fn(x)
        votes = votes + np.eye(p.shape[1])[p.argmax(axis=1)]
    return votes / passes


def mc_last(model_fn, x, passes):
    for _ in range(passes):
        p = model_fn(x)
    return p


def mc_axis(axis):
    def answer(model_fn, x, passes):
        return np.mean([model_fn(x) for _ in range(passes)], axis=axis)

    return answer


# --- predictive_entropy ----------------------------------------------------------------------


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


def _entr(p):
    return -(p * np.log(np.where(p > 0, p, 1)))


def entropy_with_nan(p):
    mean = p.mean(axis=0)
    with np.errstate(all="ignore"):
        return -(mean * np.log(mean)).sum(axis=1)


# --- expected_calibration_error --------------------------------------------------------------


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


def _bins(p, y, bins, kind="below"):
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    number = np.ceil(confidence * bins) - 1
    if kind == "above":
        number = np.minimum(np.floor(confidence * bins), bins - 1)
    if kind == "lost":
        number = np.floor(confidence * bins)
    found = [number == b for b in range(bins)]
    share = np.array([inside.mean() for inside in found])
    total = np.array([(right - confidence)[inside].sum() for inside in found])
    count = np.array([inside.sum() for inside in found])
    return share, np.divide(total, count, out=np.zeros(bins), where=count > 0), count > 0


def ece_of(formula, kind="below"):
    def answer(p, y, bins):
        return formula(*_bins(p, y, bins, kind))

    return answer


def ece_nan(p, y, bins):
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    number, error = np.ceil(confidence * bins) - 1, 0.0
    with np.errstate(all="ignore"):
        for b in range(bins):
            inside = number == b
            gap = right[inside].sum() / np.float64(inside.sum())
            gap -= confidence[inside].sum() / np.float64(inside.sum())
            error += inside.mean() * abs(gap)
    return error


def ece_true_class(p, y, bins):
    confidence, right = p[np.arange(len(y)), y], p.argmax(axis=1) == y
    number = np.ceil(confidence * bins)
    return sum(abs((right - confidence)[number == b].sum()) for b in set(number)) / len(y)


def ece_all_classes(p, y, bins):
    confidence, right = p.ravel(), np.eye(p.shape[1])[y].ravel()
    number = np.ceil(confidence * bins)
    return sum(abs((right - confidence)[number == b].sum()) for b in set(number)) / len(right)


def ece_rows(p, y, bins):
    return np.abs((p.argmax(axis=1) == y) - p.max(axis=1)).mean()


# --- enable_dropout_only ---------------------------------------------------------------------


def _torch_network(model, first, second, norm=None, rate=None):
    from torch import nn

    rate = model["rate"] if rate is None else rate
    hidden = model["hidden"]
    return nn.Sequential(
        nn.Linear(model["inputs"], hidden),
        (norm or nn.BatchNorm1d)(hidden, eps=model["eps"]),
        nn.ReLU(),
        first(rate),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        second(rate),
        nn.Linear(hidden, model["classes"]),
    )


def _with_optimizer(network):
    import torch

    return network, torch.optim.SGD(network.parameters(), lr=0.1)


def _always():
    from torch import nn

    class AlwaysDropout(nn.Dropout):
        def forward(self, x):
            return nn.functional.dropout(x, self.p, training=True)

    return AlwaysDropout


def only_filter(model):
    """A filter over the modules that holds, because it is part of train()."""
    from torch import nn

    class OnlyDropout(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = _torch_network(model, nn.Dropout, nn.Dropout)

        def train(self, mode=True):
            super().train(False)
            for module in self.modules():
                if isinstance(module, nn.Dropout):
                    module.training = True
            return self

        def forward(self, x):
            return self.net(x)

    return _with_optimizer(OnlyDropout())


def only_by_hand(model):
    """Masks by hand, without a dropout layer."""
    import torch
    from torch import nn

    class Mask(nn.Module):
        def __init__(self, rate):
            super().__init__()
            self.rate = rate

        def forward(self, x):
            return x * (torch.rand_like(x) >= self.rate) / (1 - self.rate)

    return _with_optimizer(_torch_network(model, Mask, Mask))


def _keras_network(model, first, second, norm_training=None):
    import keras

    class Norm(keras.layers.BatchNormalization):
        def call(self, inputs, training=None):
            chosen = training if norm_training is None else norm_training
            return super().call(inputs, training=chosen)

    x = inputs = keras.Input((model["inputs"],))
    x = keras.layers.Dense(model["hidden"])(x)
    x = keras.layers.ReLU()(Norm(epsilon=model["eps"])(x))
    x = keras.layers.Dense(model["hidden"], activation="relu")(first(x))
    network = keras.Model(inputs, keras.layers.Dense(model["classes"])(second(x)))
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return network


def _keras_always(rate):
    import keras

    class AlwaysDropout(keras.layers.Dropout):
        def call(self, inputs, training=None):
            return super().call(inputs, training=True)

    return AlwaysDropout(rate)


def only_keras(model):
    return _keras_network(model, *(_keras_always(model["rate"]) for _ in range(2)))


def only_nothing(model):
    from torch import nn

    return _with_optimizer(_torch_network(model, nn.Dropout, nn.Dropout))


def only_until_eval(model):
    """The usual filter, which the next model.eval() undoes."""
    from torch import nn

    network = _torch_network(model, nn.Dropout, nn.Dropout).eval()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    return _with_optimizer(network)


def only_at_building(model):
    import keras

    def dropout(x):
        return keras.layers.Dropout(model["rate"])(x, training=True)

    return _keras_network(model, dropout, dropout)


def only_first(model):
    from torch import nn

    return _with_optimizer(_torch_network(model, _always(), nn.Dropout))


def only_everything(model):
    """The whole model in training mode, whatever it is told."""
    from torch import nn

    class Everything(nn.Sequential):
        def train(self, mode=True):
            return super().train(True)

    return _with_optimizer(Everything(*_torch_network(model, nn.Dropout, nn.Dropout)))


def only_everything_keras(model):
    dropout = (_keras_always(model["rate"]) for _ in range(2))
    return _keras_network(model, *dropout, norm_training=True)


def only_batch_statistics(model):
    """Batch statistics that leave the running ones alone."""
    from torch import nn

    class BatchNorm1d(nn.BatchNorm1d):
        def forward(self, x):
            z = (x - x.mean(dim=0)) / (x.var(dim=0, correction=0) + self.eps).sqrt()
            return z * self.weight + self.bias

    return _with_optimizer(_torch_network(model, _always(), _always(), BatchNorm1d))


def only_swapped(model):
    rate = 1 - model["rate"]
    return _with_optimizer(_torch_network(model, _always(), _always(), rate=rate))


def only_unscaled(model):
    import torch
    from torch import nn

    class Mask(nn.Dropout):
        def forward(self, x):
            return x * (torch.rand_like(x) >= self.p)

    return _with_optimizer(_torch_network(model, Mask, Mask))


def only_fixed(model):
    import torch
    from torch import nn

    class Fixed(nn.Dropout):
        def forward(self, x):
            generator = torch.Generator().manual_seed(0)
            return x * (torch.rand(x.shape, generator=generator) >= self.p) / (1 - self.p)

    return _with_optimizer(_torch_network(model, Fixed, Fixed))


def only_mask_per_batch(model):
    import torch
    from torch import nn

    class Batch(nn.Dropout):
        def forward(self, x):
            return x * (torch.rand(x.shape[1:]) >= self.p) / (1 - self.p)

    return _with_optimizer(_torch_network(model, Batch, Batch))


def only_moving(model):
    """Running statistics are used, and updated all the same."""
    import torch
    from torch import nn

    class BatchNorm1d(nn.BatchNorm1d):
        def forward(self, x):
            out = super().forward(x)
            with torch.no_grad():
                self.running_mean += 0.1 * (x.mean(dim=0) - self.running_mean)
            return out

    return _with_optimizer(_torch_network(model, _always(), _always(), BatchNorm1d))


# --- diagnose_uncertainty --------------------------------------------------------------------


def diagnose(p, limit, *, entropy=None, total=None, low=None, off=None, share=None, order=0):
    """The solution, with one part replaced."""

    def usual(q):
        return _entr(q).sum(axis=-1)

    entropy = entropy or usual
    all_equal = bool((p == p[:1]).all()) if off is None else off(p)
    value = entropy(p.mean(axis=0)) if total is None else total(p)
    between = value - entropy(p).mean()
    compared = between if low == "information" else value
    wide = between > value / 2 if share is None else share(between, value, limit)
    if order == 0 and all_equal:
        return "dropout is off"
    if compared <= limit:
        return "sure"
    if order == 1 and all_equal:
        return "dropout is off"
    return "unfamiliar" if wide else "ambiguous"


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


def _diagnose(**parts):
    def answer(p, limit):
        return diagnose(p, limit, **parts)

    return answer


def _with_nan(q):
    with np.errstate(all="ignore"):
        return -(q * np.log(q)).sum(axis=-1)


def diagnose_upside_down(p, limit):
    found = diagnose(p, -1)
    high = _entr(p.mean(axis=0)).sum() >= limit
    return "sure" if high and found != "dropout is off" else found


def diagnose_swapped(p, limit):
    found = diagnose(p, limit)
    return {"unfamiliar": "ambiguous", "ambiguous": "unfamiliar"}.get(found, found)


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
    "enable_dropout_only": [only_filter, only_by_hand, only_keras],
    "diagnose_uncertainty": [diagnose_loop, diagnose_torch, _diagnose()],
}

WRONG = {
    "mc_predict": [
        ("averages the logarithms", mc_logits),
        ("averages the decisions", mc_votes),
        ("one pass repeated", lambda model_fn, x, passes: model_fn(x)),
        ("one pass repeated", lambda model_fn, x, passes: np.mean([model_fn(x)] * passes, axis=0)),
        ("last pass", mc_last),
        ("sum", lambda model_fn, x, passes: sum(model_fn(x) for _ in range(passes))),
        ("one pass short", lambda model_fn, x, n: sum(model_fn(x) for _ in range(1, n)) / n),
        (
            "median",
            lambda model_fn, x, passes: np.median([model_fn(x) for _ in range(passes)], axis=0),
        ),
        ("mean over rows", mc_axis(1)),
        ("mean over classes", mc_axis(2)),
        ("calls_once_per_pass", mc_probe),
    ],
    "predictive_entropy": [
        ("mean of the entropies", lambda p: _entr(p).sum(axis=2).mean(axis=0)),
        (
            "mutual information",
            lambda p: _entr(p.mean(axis=0)).sum(axis=1) - _entr(p).sum(axis=2).mean(axis=0),
        ),
        ("bits", lambda p: _entr(p.mean(axis=0)).sum(axis=1) / np.log(2)),
        ("decimal logarithm", lambda p: _entr(p.mean(axis=0)).sum(axis=1) / np.log(10)),
        ("no minus", lambda p: -_entr(p.mean(axis=0)).sum(axis=1)),
        ("mean over classes", lambda p: _entr(p.mean(axis=0)).mean(axis=1)),
        ("normalized", lambda p: _entr(p.mean(axis=0)).sum(axis=1) / np.log(p.shape[2])),
        ("first pass", lambda p: _entr(p[0]).sum(axis=1)),
        ("summed over passes", lambda p: _entr(p.sum(axis=0)).sum(axis=1)),
        ("total", lambda p: _entr(p.mean(axis=0)).sum()),
        ("zero times infinity", entropy_with_nan),
    ],
    "expected_calibration_error": [
        ("unweighted", ece_of(lambda share, gap, full: np.abs(gap[full]).mean())),
        ("unweighted", ece_of(lambda share, gap, full: np.abs(gap).mean())),
        ("maximum", ece_of(lambda share, gap, full: np.abs(gap).max())),
        ("signed", ece_of(lambda share, gap, full: (share * gap).sum())),
        ("signed", ece_of(lambda share, gap, full: abs((share * gap).sum()))),
        ("squared", ece_of(lambda share, gap, full: (share * gap**2).sum())),
        ("squared", ece_of(lambda share, gap, full: np.sqrt((share * gap**2).sum()))),
        ("percent", ece_of(lambda share, gap, full: 100 * (share * np.abs(gap)).sum())),
        ("edge above", ece_of(lambda share, gap, full: (share * np.abs(gap)).sum(), "above")),
        ("certain rows lost", ece_of(lambda share, gap, full: (share * np.abs(gap)).sum(), "lost")),
        ("all classes", ece_all_classes),
        ("true class", ece_true_class),
        ("row by row", ece_rows),
        ("empty bins", ece_nan),
    ],
    "enable_dropout_only": [
        ("dropout is off", only_nothing),
        ("dropout is off", only_until_eval),
        ("dropout is off", only_at_building),
        ("one layer only", only_first),
        ("batch statistics", only_everything),
        ("batch statistics", only_batch_statistics),
        ("statistics moved", only_everything_keras),
        ("statistics moved", only_moving),
        ("rate and keep swapped", only_swapped),
        ("no rescaling", only_unscaled),
        ("fixed mask", only_fixed),
        ("one mask per batch", only_mask_per_batch),
        ("error", lambda model: only_nothing(model)[0]),
    ],
    "diagnose_uncertainty": [
        ("the two swapped", diagnose_swapped),
        ("mean of the entropies", _diagnose(total=lambda p: _entr(p).sum(axis=1).mean())),
        ("information against the limit", _diagnose(low="information")),
        ("share of the information", _diagnose(share=lambda i, total, limit: i > total / 4)),
        ("share of the information", _diagnose(share=lambda i, total, limit: i > limit)),
        ("equal passes not noticed", _diagnose(off=lambda p: False)),
        ("equal passes not noticed", _diagnose(order=1)),
        ("false alarm", _diagnose(off=lambda p: bool((p == p[:1]).any()))),
        (
            "unit of the entropy",
            _diagnose(entropy=lambda q: _entr(q).sum(axis=-1) / np.log(2)),
        ),
        ("limit upside down", diagnose_upside_down),
        ("zero times infinity", _diagnose(entropy=_with_nan)),
        ("form", lambda p, limit: "noisy"),
    ],
}
