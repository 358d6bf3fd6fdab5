"""Right and wrong answers to the exercises of chapter 07, for `test_answers`."""

import numpy as np

from regbook.exercise import vary


def penalty_loop(weights, lam):
    total = 0.0
    for w in weights:
        for value in np.asarray(w).ravel():
            total += lam * float(value) ** 2
    return total


def penalty_torch(weights, lam):
    import torch

    return lam * sum(torch.tensor(w, requires_grad=True).square().sum() for w in weights)


def penalty_keras(weights, lam):
    import keras

    return sum(keras.regularizers.l2(lam)(keras.ops.convert_to_tensor(w)) for w in weights)


def penalty_float32(weights, lam):
    flat = np.concatenate([np.float32(w).ravel() for w in weights])
    return np.array([lam * flat @ flat])[0]


def step_loop(w, grad, lr, lam):
    out = np.zeros_like(w)
    for index in np.ndindex(w.shape):
        out[index] = w[index] - lr * (grad[index] + 2 * lam * w[index])
    return out


def step_in_place(w, grad, lr, lam):
    w *= 1 - 2 * lr * lam
    w -= lr * grad
    return w


def step_torch(w, grad, lr, lam):
    import torch

    p = torch.nn.Parameter(torch.tensor(w))
    p.grad = torch.tensor(grad)
    torch.optim.SGD([p], lr=lr, weight_decay=2 * lam).step()
    return p


def adamw_numpy(w, grad, m, v, t, lr, weight_decay, beta1=0.9, beta2=0.999, eps=1e-8):
    m = m + (1 - beta1) * (grad - m)
    v = v + (1 - beta2) * (grad * grad - v)
    rate = lr / (1 - beta1**t)
    return (1 - lr * weight_decay) * w - rate * m / (np.sqrt(v / (1 - beta2**t)) + eps), m, v


def adamw_torch(w, grad, m, v, t, lr, weight_decay, beta1=0.9, beta2=0.999, eps=1e-8):
    import torch

    p = torch.nn.Parameter(torch.tensor(w))
    p.grad = torch.tensor(grad)
    m, v, t = torch.tensor(m), torch.tensor(v), torch.tensor(t - 1.0)
    stepper = torch.optim.AdamW([p], lr, (beta1, beta2), eps, weight_decay)
    stepper.state[p] = {"step": t, "exp_avg": m, "exp_avg_sq": v}
    stepper.step()
    return p, stepper.state[p]["exp_avg"], stepper.state[p]["exp_avg_sq"]


def adamw_in_place(w, grad, m, v, *rest):
    w[:], m[:], v[:] = adamw_numpy(w, grad, m, v, *rest)
    return w, m, v


def converted_in_place(l2):
    l2 *= 2
    return l2


def _torch_model(
    first=2,
    last=2,
    bias=0,
    speed=1,
    relu=True,
    outputs=None,
    hidden_bias=True,
    rate=None,
    **options,
):
    """Make a builder; first, last and bias are weight decays, in units of lam."""

    def build(n_inputs, n_hidden, n_classes, lam, lr):
        import torch
        from torch import nn

        hidden = nn.Linear(n_inputs, n_hidden, bias=hidden_bias)
        output = nn.Linear(n_hidden, outputs or n_classes)
        model = nn.Sequential(hidden, nn.ReLU() if relu else nn.Identity(), output)
        biases = [p for p in model.parameters() if p.ndim == 1]
        parts = ([hidden.weight], first), ([output.weight], last), (biases, bias)
        groups = [{"params": part, "weight_decay": share * lam} for part, share in parts]
        return model, torch.optim.SGD(groups, lr=rate or speed * lr, **options)

    return build


def _keras_model(
    first=("kernel",), last=("kernel",), activation="relu", optimizer="SGD", **options
):
    """Make a builder; first and last say what the penalty of each layer is on."""

    def build(n_inputs, n_hidden, n_classes, lam, lr):
        import keras

        l2 = keras.regularizers.l2(lam)
        first_l2, last_l2 = ({f"{part}_regularizer": l2 for part in on} for on in (first, last))
        hidden = keras.layers.Dense(n_hidden, activation, **first_l2)
        output = keras.layers.Dense(n_classes, **last_l2)
        model = keras.Sequential([keras.Input((n_inputs,)), hidden, output])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(getattr(keras.optimizers, optimizer)(lr, **options), loss)
        return model

    return build


def keras_softmax(n_inputs, n_hidden, n_classes, lam, lr):
    """A right variant: probabilities as outputs and the loss that goes with them."""
    import keras

    l2 = keras.regularizers.l2(lam)
    inputs = keras.Input((n_inputs,))
    hidden = keras.layers.Dense(n_hidden, "relu", kernel_regularizer=l2)(inputs)
    outputs = keras.layers.Dense(n_classes, "softmax", kernel_regularizer=l2)(hidden)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(lr), "sparse_categorical_crossentropy")
    return model


def keras_uncompiled(n_inputs, n_hidden, n_classes, lam, lr):
    import keras

    return keras.Sequential([keras.Input((n_inputs,)), keras.layers.Dense(n_classes)])


def torch_class(n_inputs, n_hidden, n_classes, lam, lr):
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(n_inputs, n_hidden), nn.Linear(n_hidden, n_classes)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))

    model = Net()
    decay = [2 * lam if p.ndim > 1 else 0.0 for p in model.parameters()]
    pairs = zip(model.parameters(), decay, strict=True)
    return model, torch.optim.SGD([{"params": [p], "weight_decay": d} for p, d in pairs], lr=lr)


def choose_by_halving(train, strengths, steps, budget):
    """Try all strengths briefly, the better third longer, and so on."""
    left, number = list(strengths), steps // 4
    while len(left) > 1:
        dev = [train(strength, number)["dev"] for strength in left]
        left = [left[i] for i in np.argsort(dev)[::-1][: max(1, len(left) // 3)]]
        number *= 2
    return left[0]


def choose_and_refine(train, strengths, steps, budget):
    """Try every second strength, and then the neighbours of the best, for equally long."""
    dev, last = {}, len(strengths)
    number = budget // (last // 2 + 3)
    for i in range(0, last, 2):
        dev[i] = train(strengths[i], number)["dev"]
    best = max(dev, key=dev.get)
    for i in {max(best - 1, 0), min(best + 1, last - 1)} - dev.keys():
        dev[i] = train(strengths[i], number)["dev"]
    return np.float32(strengths[max(dev, key=dev.get)])


def choose_of_four(train, strengths, steps, budget):
    """Try 0 and three strengths that are spread over the list, in full."""
    some = [strengths[round(i * (len(strengths) - 1))] for i in (0, 0.38, 0.62, 0.8)]
    return max(some, key=lambda strength: train(strength, steps)["dev"])


def choose_strongest(train, strengths, steps, budget):
    """Give all an equal share, and take the strongest that is as good as the best."""
    dev = np.array([train(s, budget // len(strengths))["dev"] for s in strengths])
    return strengths[np.flatnonzero(dev > dev.max() - 0.01)[-1]]


def choose_upwards(train, strengths, steps, budget):
    """Go up the list until the dev accuracy has clearly passed its highest."""
    dev, number = [], budget // len(strengths)
    for strength in strengths:
        dev.append(train(strength, number)["dev"])
        if dev[-1] < max(dev) - 0.12:
            break
    return strengths[int(np.argmax(dev))]


def choose(
    train, strengths, steps, budget, *,
    score=lambda scores: scores["dev"], number=lambda steps, budget, count: budget // count,
    some=lambda strengths: strengths,
):  # fmt: skip
    """Do it with any part replaced."""
    tried = list(some(strengths))
    each = number(steps, budget, len(tried))
    return max(tried, key=lambda strength: score(train(strength, each)))


def choose_until_refused(train, strengths, steps, budget):
    """Try all strengths in full until `train` refuses."""
    best = 0, 0
    try:
        for strength in strengths:
            best = max(best, (train(strength, steps)["dev"], strength))
    except ValueError:
        pass
    return best[1]


def choose_anyway(pick):
    """Return the answer that tries all strengths and takes one that no score has a part in."""

    def answer(train, strengths, steps, budget):
        choose(train, strengths, steps, budget)
        return pick(strengths)

    return answer


RIGHT = {
    "l2_penalty": [
        penalty_loop,
        penalty_torch,
        penalty_keras,
        penalty_float32,
        lambda weights, lam: sum(lam * np.linalg.norm(w) ** 2 for w in weights),
    ],
    "l2_gradient_step": [
        step_loop,
        step_torch,
        lambda w, grad, lr, lam: step_in_place(w.copy(), grad, lr, lam),
    ],
    "adamw_step": [adamw_numpy, adamw_torch, lambda *given: list(adamw_numpy(*given))],
    "convert_keras_l2_to_torch_weight_decay": [
        lambda l2: l2 + l2,
        lambda l2: np.multiply(2, l2, dtype=np.float32),
        lambda l2: __import__("torch").as_tensor(l2) * 2,
    ],
    "build_regularized_model": [torch_class, _torch_model(), _keras_model(), keras_softmax],
    "choose_penalty": [
        choose_by_halving,
        choose_and_refine,
        choose_of_four,
        choose_strongest,
        choose_upwards,
    ],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "l2_penalty": [
        ("grows_with_the_square", lambda weights, lam: 0.0),
        ("form", lambda weights, lam: [lam * (w**2).sum() for w in weights]),
        ("form", lambda weights, lam: float("nan")),
        ("form", lambda weights, lam: "7"),
        ("error", lambda weights, lam: None),
        ("error", lambda weights: 0.0),
        ("error", lambda weights, lam: 1 / 0),
        ("changes its input", lambda weights, lam: lam * sum(
            np.multiply(w, w, out=w).sum() for w in weights)),
    ],
    "l2_gradient_step": [
        ("shrinks_without_gradient", lambda w, grad, lr, lam: w - lr * (grad + 3 * lam * w)),
        ("form", lambda w, grad, lr, lam: (w - lr * (grad + 2 * lam * w)).ravel()),
        ("changes its input", step_in_place),
    ],
    "adamw_step": [
        ("form", lambda *given: adamw_numpy(*given)[0]),
        ("changes its input", adamw_in_place),
    ],
    "convert_keras_l2_to_torch_weight_decay": [
        ("gives_the_same_step", lambda l2: 0.02),
        ("form", lambda l2: float(2 * np.max(l2))),
        ("changes its input", converted_in_place),
    ],
    "build_regularized_model": [
        ("half-and-biases", _torch_model(1, 1, 1)),
        ("biases", _torch_model(2, 2, 2)),
        ("half", _torch_model(1, 1)),
        ("double", _torch_model(4, 4)),
        ("last-only", _torch_model(0, 2)),
        ("untrained", _torch_model(speed=0)),
        ("no-relu", _torch_model(relu=False)),
        ("architecture", _torch_model(outputs=1)),
        ("architecture", _torch_model(hidden_bias=False)),
        ("no-penalty", _keras_model(first=(), last=())),
        ("biases", _keras_model(("kernel", "bias"), ("kernel", "bias"))),
        ("first-only", _keras_model(last=())),
        ("no-relu", _keras_model(activation=None)),
        ("trains_without_penalty", _keras_model(optimizer="Adam")),
        ("trains_without_penalty", _torch_model(rate=0.5)),
        ("trains_without_penalty", _torch_model(momentum=0.9, nesterov=True)),
        ("momentum", _torch_model(momentum=0.9)),
        ("momentum", _keras_model(momentum=0.9)),
        ("architecture", lambda n_inputs, n_hidden, n_classes, *rest: _torch_model()(
            4, 6, 3, *rest)),
        ("penalises_the_kernels", _keras_model(("activity",), ("activity",))),
        ("error", keras_uncompiled),
        ("error", lambda *sizes: _torch_model()(*sizes)[0]),
    ],
    "choose_penalty": [
        ("no decision", lambda train, strengths, steps, budget: 0.01),
        ("no decision", lambda train, strengths, steps, budget: strengths[0]),
        ("no decision", vary(choose, some=lambda strengths: strengths[4:5])),
        ("over budget", vary(choose, number=lambda steps, budget, count: steps)),
        ("over budget", vary(choose, number=lambda steps, budget, count: budget)),
        ("over budget", choose_until_refused),
        ("chosen on test rows", vary(choose, score=lambda scores: scores["test"])),
        ("chosen on train rows", vary(choose, score=lambda scores: scores["train"])),
        ("lowest for highest", vary(choose, score=lambda scores: -scores["dev"])),
        ("smallest gap", vary(choose, score=lambda scores: scores["dev"] - scores["train"])),
        ("short runs", vary(choose, number=lambda steps, budget, count: 2)),
        ("weak ones only", vary(choose, some=lambda strengths: strengths[:3])),
        ("strong ones only", vary(choose, some=lambda strengths: strengths[4:])),
        ("dev ignored", choose_anyway(lambda strengths: strengths[3])),
        ("chosen on train rows", choose_anyway(lambda strengths: 0.0)),
        ("dev ignored", choose_anyway(lambda strengths: strengths[5])),
        ("smallest gap", choose_anyway(lambda strengths: strengths[-1])),
        ("error", choose_anyway(lambda strengths: 0.0123)),
        ("error", choose_anyway(lambda strengths: None)),
        ("error", choose_anyway(lambda strengths: strengths[:2])),
    ],
}  # fmt: skip
