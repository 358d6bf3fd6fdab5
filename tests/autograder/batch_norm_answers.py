"""Right and wrong answers to the exercises of chapter 18, for `test_answers`."""

from itertools import product

import numpy as np

from regbook.exercise import vary


def forward_loops(x, gamma, beta, eps):
    rows, units = x.shape
    y = np.zeros((rows, units))
    for j in range(units):
        mean = sum(x[i, j] for i in range(rows)) / rows
        var = sum((x[i, j] - mean) ** 2 for i in range(rows)) / rows
        for i in range(rows):
            y[i, j] = gamma[j] * (x[i, j] - mean) / (var + eps) ** 0.5 + beta[j]
    return y


def forward_float32(x, gamma, beta, eps):
    x = np.float32(x)
    centred = x - np.mean(x, axis=0)
    return np.float32(gamma) * centred / np.sqrt(np.mean(centred**2, axis=0) + eps) + beta


def forward_torch(x, gamma, beta, eps):
    import torch

    x = torch.tensor(x, requires_grad=True)
    x_hat = (x - x.mean(0)) / torch.sqrt(x.var(0, correction=0) + eps)
    return torch.tensor(gamma) * x_hat + torch.tensor(beta)


def forward_keras(x, gamma, beta, eps):
    import keras

    mean, variance = keras.ops.moments(keras.ops.convert_to_tensor(x), axes=0)
    return keras.ops.batch_normalization(
        x, mean, variance, axis=-1, offset=beta, scale=gamma, epsilon=eps
    )


def forward_torch_layer(x, gamma, beta, eps):
    import torch

    x, gamma, beta = map(torch.tensor, (x, gamma, beta))
    return torch.nn.functional.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)


def forward_unbiased_torch(x, gamma, beta, eps):
    import torch

    x = torch.tensor(x)
    spread = (x.var(0) + eps).sqrt()  # torch.var divides by B - 1
    return torch.tensor(gamma) * (x - x.mean(0)) / spread + torch.tensor(beta)


def forward_cache(x, gamma, beta, eps):
    y = forward_loops(x, gamma, beta, eps)
    return y, (x, gamma)


def backward_staged(dy, x, gamma, eps):
    """Walk back through the graph, one node at a time."""
    rows = len(x)
    centred = x - x.mean(axis=0)
    var = (centred**2).mean(axis=0)
    inverse = 1 / np.sqrt(var + eps)
    dx_hat = dy * gamma
    dinverse = (dx_hat * centred).sum(axis=0)
    dvar = -0.5 * dinverse * inverse**3
    dcentred = dx_hat * inverse + 2 * centred * dvar / rows
    return (
        dcentred - dcentred.sum(axis=0) / rows,
        (dy * centred * inverse).sum(axis=0),
        dy.sum(axis=0),
    )


def backward_loops(dy, x, gamma, eps):
    rows, units = x.shape
    dx, dgamma, dbeta = np.zeros_like(x), np.zeros(units), np.zeros(units)
    for j in range(units):
        s = (x[:, j].var() + eps) ** 0.5
        x_hat = (x[:, j] - x[:, j].mean()) / s
        for i in range(rows):
            dgamma[j] += dy[i, j] * x_hat[i]
            dbeta[j] += dy[i, j]
        for i in range(rows):
            for k in range(rows):
                slope = ((i == k) - 1 / rows - x_hat[i] * x_hat[k] / rows) / s
                dx[k, j] += gamma[j] * dy[i, j] * slope
    return [dx, dgamma, dbeta]


def backward_torch(dy, x, gamma, eps):
    import torch

    x, gamma = (
        torch.tensor(x, requires_grad=True),
        torch.tensor(gamma, requires_grad=True),
    )
    beta = torch.zeros_like(gamma, requires_grad=True)
    y = torch.nn.functional.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)
    y.backward(torch.tensor(dy))
    return x.grad, gamma.grad, beta.grad


def backward_tensorflow(dy, x, gamma, eps):
    import tensorflow as tf

    x, gamma = tf.constant(x), tf.constant(gamma)
    beta = tf.zeros_like(gamma)
    with tf.GradientTape() as tape:
        tape.watch([x, gamma, beta])
        mean, var = tf.nn.moments(x, axes=[0])
        y = gamma * (x - mean) / tf.sqrt(var + eps) + beta
    return tuple(tape.gradient(y, [x, gamma, beta], output_gradients=tf.constant(dy)))


def backward_no_sum(dy, x, gamma, eps):
    dx, _, dbeta = backward_staged(dy, x, gamma, eps)
    return dx, dy * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps), dbeta


def backward_only_dx(dy, x, gamma, eps):
    return backward_staged(dy, x, gamma, eps)[0]


def update_by_steps(running_mean, running_var, batch, momentum, framework):
    mean, var = np.mean(batch, axis=0), np.var(batch, axis=0)
    if framework == "torch":
        var = var * len(batch) / (len(batch) - 1)
        return (
            running_mean + momentum * (mean - running_mean),
            running_var + momentum * (var - running_var),
        )
    return (
        running_mean - (1 - momentum) * (running_mean - mean),
        running_var - (1 - momentum) * (running_var - var),
    )


def update_by_libraries(running_mean, running_var, batch, momentum, framework):
    units = batch.shape[1]
    if framework == "torch":
        import torch

        layer = torch.nn.BatchNorm1d(units, momentum=momentum)
        layer.running_mean.copy_(torch.tensor(running_mean))
        layer.running_var.copy_(torch.tensor(running_var))
        layer(torch.tensor(batch, dtype=torch.float32))
        return layer.running_mean, layer.running_var
    import keras

    layer = keras.layers.BatchNormalization(momentum=momentum)
    layer.build((None, units))
    layer.moving_mean.assign(running_mean)
    layer.moving_variance.assign(running_var)
    layer(np.float32(batch), training=True)
    return layer.moving_mean, layer.moving_variance


def update_float32_list(running_mean, running_var, batch, momentum, framework):
    keep = np.float32({"keras": momentum, "torch": 1 - momentum}[framework])
    ddof = {"keras": 0, "torch": 1}[framework]
    batch = np.float32(batch)
    return [
        keep * running_mean + (1 - keep) * batch.mean(0),
        keep * running_var + (1 - keep) * batch.var(0, ddof=ddof),
    ]


def update_weights_not_one(running_mean, running_var, batch, momentum, framework):
    mean, var = batch.mean(0), batch.var(0, ddof=int(framework == "torch"))
    return running_mean + momentum * mean, running_var + momentum * var


def convert_array(keras_momentum):
    return np.subtract(1.0, keras_momentum)


def convert_torch(keras_momentum):
    import torch

    return 1 - torch.tensor(keras_momentum, dtype=torch.float32)


def convert_rounded(keras_momentum):
    return np.around(1 - np.asarray(keras_momentum), 12)


def convert_one_number(keras_momentum):
    return 1 - float(keras_momentum)


def convert_nothing(keras_momentum):
    1 - keras_momentum


def fix_two_branches(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    if not training:
        scale = gamma / np.sqrt(running_var + eps)
        return x * scale + (beta - running_mean * scale), running_mean, running_var
    mean = x.mean(0)
    centred = x - mean
    var = (centred * centred).mean(0)
    return (
        gamma * centred / np.sqrt(var + eps) + beta,
        running_mean - (running_mean - mean) * (1 - momentum),
        running_var - (running_var - var) * (1 - momentum),
    )


def fix_torch(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    import torch

    x, gamma, beta, mean, var = map(torch.tensor, (x, gamma, beta, running_mean, running_var))
    y = torch.nn.functional.batch_norm(x, mean, var, gamma, beta, training, 0.0, eps)
    if training:
        mean = momentum * mean + (1 - momentum) * x.mean(0)
        var = momentum * var + (1 - momentum) * x.var(0, correction=0)
    return y, mean, var


def fix_keras(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    import keras

    layer = keras.layers.BatchNormalization(momentum=momentum, epsilon=eps)
    layer.build((None, x.shape[1]))
    layer.set_weights([gamma, beta, running_mean, running_var])
    y = layer(np.float32(x), training=training)
    return y, layer.moving_mean, layer.moving_variance


def fix_single_rows_only(*given):
    """Cure the symptom "a batch of one gives beta" and not the cause."""
    x, *rest, training = given
    y = fix_two_branches(x, *rest, training or len(x) > 1)[0]
    return y, *fix_two_branches(*given)[1:]


# --- choose_normalization --------------------------------------------------------------------


def choose(
    train, choices, steps, budget, *,
    score=lambda scores: scores["dev"], number=lambda steps, budget, pairs: budget // pairs,
    kinds=lambda kinds: kinds, momenta=lambda momenta: momenta,
):  # fmt: skip
    """Do it with any part replaced."""
    pairs = list(product(kinds(choices["kind"]), momenta(choices["momentum"])))
    each = number(steps, budget, len(pairs))
    return max(pairs, key=lambda pair: score(train(pair, each)))


def choose_kind_first(train, choices, steps, budget):
    """Try each kind with the first momentum, then the best kind with the others."""
    kinds, momenta = choices["kind"], choices["momentum"]
    each = budget // (len(kinds) + len(momenta))
    dev = {(kind, momenta[0]): train((kind, momenta[0]), each)["dev"] for kind in kinds}
    best, _ = max(dev, key=dev.get)
    dev |= {(best, m): train((best, m), each)["dev"] for m in momenta[1:]}
    return max(dev, key=dev.get)


def choose_by_halving(train, choices, steps, budget):
    """Train all pairs for two thirds of the budget, and the best two for the rest."""
    pairs = [[kind, m] for kind in choices["kind"] for m in choices["momentum"]]
    first = 2 * budget // 3 // len(pairs)
    dev = [train(pair, first)["dev"] for pair in pairs]
    best = [pairs[i] for i in np.argsort(dev)[-2:]]
    return max(best, key=lambda pair: train(pair, budget // 6)["dev"])


def choose_without_waste(train, choices, steps, budget):
    """Give the kinds without a momentum one run only."""
    first, *momenta = choices["momentum"]
    pairs = [(kind, first) for kind in choices["kind"]] + [("batch", m) for m in momenta]
    dev = [train(pair, budget // len(pairs))["dev"] for pair in pairs]
    kind, momentum = pairs[int(np.argmax(dev))]
    return np.str_(kind), np.float32(momentum)


def choose_dev_then_test(train, choices, steps, budget):
    """Look at the test rows, and leave them out of the choice."""
    found = {}
    for pair in product(choices["kind"], choices["momentum"]):
        scores = train(pair, budget // 12)
        found[pair] = scores["dev"], scores["test"]
    return max(found, key=lambda pair: found[pair][0])


def choose_until_refused(train, choices, steps, budget):
    """Try all pairs in full until `train` refuses."""
    best = 0, ("none", 0.9)
    try:
        for pair in product(choices["kind"], choices["momentum"]):
            best = max(best, (train(pair, steps)["dev"], pair))
    except ValueError:
        pass
    return best[1]


def choose_anyway(kind, place):
    """Return the answer that tries all pairs and takes one that no score has a part in."""

    def answer(train, choices, steps, budget):
        choose(train, choices, steps, budget)
        return kind, choices["momentum"][place]

    return answer


RIGHT = {
    "batchnorm_forward": [
        *(forward_loops, forward_float32, forward_torch, forward_torch_layer, forward_keras),
    ],
    "batchnorm_backward": [backward_staged, backward_loops, backward_torch, backward_tensorflow],
    "running_stats_update": [update_by_steps, update_by_libraries, update_float32_list],
    "convert_momentum": [convert_array, convert_torch, convert_rounded],
    "fix_the_eval_bug": [fix_two_branches, fix_torch, fix_keras],
    "choose_normalization": [
        choose,
        choose_kind_first,
        choose_by_halving,
        choose_without_waste,
        choose_dev_then_test,
    ],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "batchnorm_forward": [("unbiased", forward_unbiased_torch), ("form", forward_cache)],
    "batchnorm_backward": [("error", backward_no_sum), ("error", backward_only_dx)],
    "running_stats_update": [("rests_where_old_equals_new", update_weights_not_one)],
    "convert_momentum": [
        ("form", lambda m: 0.01),
        ("error", convert_nothing),
        ("error", convert_one_number),
    ],
    "fix_the_eval_bug": [("batch statistics", fix_single_rows_only)],
    "choose_normalization": [
        ("no decision", lambda train, choices, steps, budget: ("batch", 0.99)),
        ("no decision", lambda train, choices, steps, budget: ("layer", 0.9)),
        (
            "no decision",
            vary(choose, kinds=lambda kinds: kinds[-1:], momenta=lambda momenta: momenta[:1]),
        ),
        ("over budget", vary(choose, number=lambda steps, budget, pairs: steps)),
        ("over budget", vary(choose, number=lambda steps, budget, pairs: budget // pairs + 1)),
        ("over budget", choose_until_refused),
        ("chosen on test rows", vary(choose, score=lambda scores: scores["test"])),
        ("chosen on test rows", vary(choose, score=lambda scores: scores["test"] + scores["dev"])),
        ("chosen on train rows", vary(choose, score=lambda scores: scores["train"])),
        ("smallest gap", vary(choose, score=lambda scores: scores["dev"] - scores["train"])),
        ("lowest for highest", vary(choose, score=lambda scores: -scores["dev"])),
        ("dev ignored", choose_anyway("batch", -1)),
        ("dev ignored", choose_anyway("none", 0)),
        ("short runs", vary(choose, number=lambda steps, budget, pairs: 3)),
        ("one kind only", vary(choose, kinds=lambda kinds: ["batch"])),
        ("one momentum only", vary(choose, momenta=lambda momenta: momenta[-1:])),
        ("error", lambda *task: choose(*task)[0]),
        ("error", lambda *task: choose(*task)[::-1]),
        ("error", lambda train, choices, steps, budget: train("batch", steps)),
        ("error", lambda train, choices, steps, budget: train(("batch", 0.123), steps)),
        ("error", lambda train, choices, steps, budget: train(("layer", 0.9), 0.5)),
    ],
}
