"""Right and wrong answers to the exercises of chapter 12, for `test_answers`."""

import numpy as np

from regbook.exercise import vary


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


def change_loop(known, new):
    """Compute the parts object by object, with Student's standard error of the differences."""
    passes, rows = min(len(known), len(new)), known.shape[1]

    def entropy(q):
        return -sum(x * np.log(x) for x in q if x > 0)

    def parts(stack, row):
        within = sum(entropy(stack[i, row]) for i in range(passes)) / passes
        total = entropy([stack[:passes, row, k].mean() for k in range(stack.shape[2])])
        return total - within, within

    change = [np.subtract(parts(new, row), parts(known, row)) for row in range(rows)]
    ends = []
    for d in zip(*change, strict=True):
        mean = sum(d) / rows
        error = (sum((x - mean) ** 2 for x in d) / (rows - 1) / rows) ** 0.5
        ends.append([mean - 2 * error, mean + 2 * error])
    if any(all((p == stack[0]).all() for p in stack) for stack in (known, new)):
        return "dropout is off", *ends
    rose = tuple(bool(low > 0) for low, _ in ends)
    texts = {(True, True): "both", (True, False): "unfamiliar", (False, True): "ambiguous"}
    return texts.get(rose, "cannot tell"), *ends


def change_torch(known, new):
    import torch

    stacks = [torch.as_tensor(p[: min(len(known), len(new))]) for p in (known, new)]
    within = [torch.special.entr(p).sum(dim=-1).mean(dim=0) for p in stacks]
    total = [torch.special.entr(p.mean(dim=0)).sum(dim=-1) for p in stacks]
    intervals = []
    for old, other in ((total[0] - within[0], total[1] - within[1]), within):
        d = other - old
        half = 2 * d.std() / len(d) ** 0.5
        intervals.append(torch.stack([d.mean() - half, d.mean() + half]))
    unfamiliar, ambiguous = (interval[0] > 0 for interval in intervals)
    text = "both" if unfamiliar and ambiguous else "unfamiliar" if unfamiliar else "ambiguous"
    text = text if unfamiliar or ambiguous else "cannot tell"
    off = any(np.ptp(p, axis=0).max() == 0 for p in (known, new))
    return "dropout is off" if off else text, *intervals


def change_divergence(known, new):
    """Mutual information as the mean divergence of the passes from their average."""
    passes = min(len(known), len(new))

    def parts(p):
        p = np.maximum(p[:passes], 1e-30)
        divergence = (p * np.log(p / p.mean(axis=0))).sum(axis=2).mean(axis=0)
        return np.stack([divergence, -(p * np.log(p)).sum(axis=2).mean(axis=0)])

    d = parts(new) - parts(known)
    half = 2 * d.std(axis=1, ddof=1) / d.shape[1] ** 0.5
    between, within = np.stack([d.mean(axis=1) - half, d.mean(axis=1) + half], axis=1)
    if not np.diff(known, axis=0).any() or not np.diff(new, axis=0).any():
        return "dropout is off", between, within
    number = (between.min() > 0) + 2 * (within.min() > 0)
    return ["cannot tell", "unfamiliar", "ambiguous", "both"][number], between, within


def change_offset(known, new):
    """Add a small number in the logarithm; answer with lists."""
    passes = min(len(known), len(new))
    sides = []
    for p in (known[:passes], new[:passes]):
        within = -(p * np.log(p + 1e-12)).sum(axis=2).mean(axis=0)
        mean = p.mean(axis=0)
        sides.append((-(mean * np.log(mean + 1e-12)).sum(axis=1) - within, within))
    differences = [b - a for a, b in zip(*sides, strict=True)]
    ends = [
        [np.mean(d) + sign * 2 * np.sqrt(np.cov(d) / len(d)) for sign in (-1, 1)]
        for d in differences
    ]
    text = {0: "cannot tell", 1: "ambiguous", 10: "unfamiliar", 11: "both"}
    off = (known == known[0]).all() or (new == new[0]).all()
    number = 10 * (ends[0][0] > 0) + (ends[1][0] > 0)
    return ("dropout is off" if off else text[number], *ends)


def change_any_repeat(known, new):
    """Take one pass that equals the one before for a sign that dropout is off."""
    repeated = any((np.diff(p, axis=0) == 0).all(axis=(1, 2)).any() for p in (known, new))
    text, *ends = change_loop(known, new)
    return ("dropout is off" if repeated else text, *ends)


# --- choose_rejection ------------------------------------------------------------------------


def best_threshold(p, y, target, lowered=0.0):
    """Return (share, threshold): accept most rows, of which the target share is right."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    best = 0.0, 1.0
    for threshold in np.sort(confidence):
        accepted = confidence >= threshold
        n = accepted.sum()
        error = (target * (1 - target) / n) ** 0.5
        if right[accepted].mean() >= target + lowered * error:
            best = max(best, (accepted.mean(), threshold))
    return best


def reject(
    predict, labels, target, budget, *,
    ways=lambda budget: (0, budget - 1), rows="dev", find=best_threshold, last=lambda n, t: (n, t),
):  # fmt: skip
    """Do it with any part replaced."""
    found = []
    for passes in ways(budget):
        share, threshold = find(predict(passes)[rows], labels[rows], target)
        found.append((share, passes, threshold))
    return last(*max(found)[1:])


def reject_on_a_grid(predict, labels, target, budget):
    """Try dropout off and a dozen passes at most, and whole per cents as thresholds."""
    best = 0, 0, 1.0
    for passes in (0, min(12, budget - 1)):
        p = predict(passes)["dev"]
        for threshold in np.arange(30, 100) / 100:
            accepted = p.max(axis=1) >= threshold
            right = (p.argmax(axis=1) == labels["dev"])[accepted]
            if len(right) and right.mean() >= target and accepted.mean() > best[0]:
                best = accepted.mean(), passes, threshold
    return best[1:]


def reject_with_care(predict, labels, target, budget):
    """Ask for a little more than the target on dev, because the threshold is chosen there."""
    return reject(
        predict, labels, target, budget,
        find=lambda *case: best_threshold(*case, lowered=0.5),
    )  # fmt: skip


def reject_step_by_step(predict, labels, target, budget):
    """Begin with few passes, and stop when more of them accept no more."""
    found, passes = [], 0
    while sum(max(n, 1) for _, n, _ in found) + max(passes, 1) <= budget:
        share, threshold = best_threshold(predict(passes)["dev"], labels["dev"], target)
        found.append((share, passes, threshold))
        passes = 5 if passes == 0 else 2 * passes
    return np.float32(max(found)[1:])


def reject_sorted(predict, labels, target, budget):
    """Go down the sorted rows once, in PyTorch."""
    import torch

    best = (0, 0, 1.0)
    for passes in (budget - 1, 0):
        p, y = torch.as_tensor(predict(passes)["dev"]), torch.as_tensor(labels["dev"])
        confidence, order = p.max(dim=1).values.sort(descending=True)
        right = (p.argmax(dim=1) == y)[order].double().cumsum(0)
        reached = torch.nonzero(right / torch.arange(1, len(y) + 1) >= target)
        if len(reached):
            number = int(reached[-1])
            best = max(best, (number, passes, float(confidence[number])))
    return best[1], best[2]


def trusting(predict, target):
    """Predict, and take the target for the threshold."""
    predict(0)
    return target


def until_refused(predict, labels, target, budget):
    """Average ten passes at a time until `predict` refuses."""
    total, calls = 0, 0
    try:
        while True:
            total, calls = total + predict(10)["dev"], calls + 1
    except ValueError:
        pass
    return 10 * calls, best_threshold(total / calls, labels["dev"], target)[1]


def pooled(predict, labels, target, budget):
    """Choose by the dev and the test rows together."""
    y = np.concatenate([labels["dev"], labels["test"]])
    return reject(
        lambda n: {"dev": np.concatenate(list(predict(n).values()))}, {"dev": y}, target, budget
    )


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
    "diagnose_uncertainty": [change_loop, change_torch, change_divergence, change_offset],
    "choose_rejection": [
        reject,
        reject_on_a_grid,
        reject_with_care,
        reject_step_by_step,
        reject_sorted,
    ],
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
        ("form", lambda known, new: "noisy"),
        ("form", lambda known, new: ("noisy", *change_loop(known, new)[1:])),
        ("false alarm", change_any_repeat),
    ],
    "choose_rejection": [
        ("no decision", lambda predict, labels, target, budget: (20, 0.7)),
        ("no decision", lambda predict, labels, target, budget: (0, target)),
        ("over budget", vary(reject, ways=lambda budget: (0, budget))),
        ("over budget", vary(reject, ways=lambda budget: (0, 1, budget - 1))),
        ("over budget", vary(reject, ways=lambda budget: range(budget))),
        ("over budget", until_refused),
        (
            "trusts the confidence",
            lambda predict, labels, target, budget: (0, trusting(predict, target)),
        ),
        ("chosen on test rows", vary(reject, rows="test")),
        ("one stochastic pass", vary(reject, ways=lambda budget: [1])),
        ("one way only", vary(reject, ways=lambda budget: [0])),
        ("one way only", vary(reject, ways=lambda budget: [budget])),
        ("accepts everything", vary(reject, last=lambda n, t: (n, 0.0))),
        ("accepts everything", vary(reject, last=lambda n, t: (n, t - 0.1))),
        ("accepts too little", vary(reject, last=lambda n, t: (n, 1.0))),
        ("accepts too little", vary(reject, last=lambda n, t: (n, t + 0.15))),
        ("error", lambda *task: reject(*task)[::-1]),
        ("error", lambda *task: reject(*task)[1]),
        ("error", lambda predict, labels, target, budget: predict(0.5)),
    ],
}
