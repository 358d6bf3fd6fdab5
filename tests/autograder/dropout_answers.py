"""Right and wrong answers to the exercises of chapter 10, for `test_answers`."""

import numpy as np

from regbook.exercise import vary

# --- dropout_forward -------------------------------------------------------------------------


def forward_loop(x, rate, rng, training=True):
    out, mask = np.array(x), np.ones(x.shape)
    if training:
        for index in np.ndindex(x.shape):
            mask[index] = rng.uniform() > rate if rate else 1
            out[index] = x[index] / (1 - rate) if mask[index] else 0
    return out, mask


def forward_binomial(x, rate, rng, training=True):
    mask = rng.binomial(1, 1 - rate if training else 1, size=x.shape)
    return x * mask / ((1 - rate) if training else 1), mask


def forward_choice(x, rate, rng, training=True):
    if not training:
        rate = 0.0
    mask = rng.choice([0.0, 1.0], size=x.shape, p=[rate, 1 - rate])
    return np.float32(x * mask / (1 - rate)), mask


def forward_permuted_stream(x, rate, rng, training=True):
    """Draw in another order and with another comparison."""
    if not training:
        return x.copy(), np.ones_like(x)
    mask = (rng.random(x.shape[::-1]) < 1 - rate).T
    return np.where(mask, x / (1 - rate), 0), mask


def forward_torch(x, rate, rng, training=True):
    import torch

    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    x = torch.tensor(x, requires_grad=True)
    keep = torch.full(x.shape, 1 - rate if training else 1.0)
    mask = torch.bernoulli(keep, generator=generator)
    return x * mask / keep, mask


def forward_keras(x, rate, rng, training=True):
    import keras

    x = keras.ops.convert_to_tensor(x, "float32")
    if not training:
        return x, keras.ops.ones_like(x)
    draw = keras.random.uniform(x.shape, seed=int(rng.integers(2**31)))
    mask = keras.ops.cast(draw >= rate, "float32")
    return x * mask / (1 - rate), mask


def forward(
    x, rate, rng, training=True, *, draw=lambda rng, shape: rng.random(shape),
    drop=lambda x, mask: x * mask, scale=lambda rate: 1 / (1 - rate),
    shown=lambda mask, rate: mask, evaluate=lambda x, rate: x, kept=np.ones,
):  # fmt: skip
    """Do it with any part replaced."""
    if not training:
        return evaluate(x, rate), kept(x.shape)
    mask = draw(rng, x.shape) >= rate
    return drop(x, mask) * scale(rate), shown(mask, rate)


def per_batch(rng, shape):
    return np.broadcast_to(rng.random(shape[1:]), shape)


def per_example(rng, shape):
    return np.broadcast_to(rng.random(shape[:1] + (1,) * (len(shape) - 1)), shape)


def ranks(rng, shape):
    return rng.permutation(np.prod(shape)).reshape(shape) / np.prod(shape)


def ranks_by_row(rng, shape):
    return rng.random(shape).argsort(axis=-1).argsort(axis=-1) / shape[-1]


def with_replacement(rng, shape):
    """Draw half as many entries as there are, and some twice; only a rate of 0.5 is asked so."""
    drawn = np.ones(np.prod(shape))
    drawn[rng.choice(drawn.size, drawn.size // 2)] = 0
    return drawn.reshape(shape)


def forward_from_output(x, rate, rng, training=True):
    """Take what is not 0 for what is kept."""
    out = x * (rng.random(x.shape) >= rate) / (1 - rate) if training else x
    return out, out != 0


def forward_share_kept(x, rate, rng, training=True):
    mask = rng.random(x.shape) >= rate if training else np.ones(x.shape)
    return x * mask / mask.mean(), mask


def forward_in_place(x, rate, rng, training=True):
    mask = rng.random(x.shape) >= (rate if training else 0)
    x[~mask] = 0
    x[mask] /= 1 - rate if training else 1
    return x, mask


# --- dropout_backward ------------------------------------------------------------------------


def backward_loop(dy, mask, rate):
    dx = np.zeros_like(dy)
    for index in np.ndindex(dy.shape):
        if mask[index]:
            dx[index] = dy[index] / (1 - rate)
    return dx


def backward_where(dy, mask, rate):
    return np.where(mask, np.float32(dy) / np.float32(1 - rate), 0)


def backward_torch(dy, mask, rate):
    import torch

    x = torch.zeros(dy.shape, dtype=torch.float64, requires_grad=True)
    out = x * torch.tensor(mask) / (1 - rate)
    out.backward(torch.tensor(dy))
    return x.grad


def backward_tensorflow(dy, mask, rate):
    import tensorflow as tf

    x = tf.Variable(np.zeros(dy.shape))
    with tf.GradientTape() as tape:
        out = x * tf.constant(np.float64(mask)) / (1 - rate)
    return tape.gradient(out, x, output_gradients=tf.constant(dy))


def backward_in_place(dy, mask, rate):
    dy *= mask
    dy /= 1 - rate
    return dy


# --- expected_scale --------------------------------------------------------------------------


def scale_power(rate):
    return np.power(1.0 - np.float32(rate), -1)


def scale_ratio(rate):
    return 1 + rate / (1 - rate)


def scale_torch(rate):
    import torch

    return 1 / (1 - torch.as_tensor(rate))


# --- spot_the_mode_bug -----------------------------------------------------------------------


def loop_torch(
    weights,
    x_train,
    y_train,
    x_dev,
    y_dev,
    rate,
    lr,
    epochs,
    *,
    before_step="train",
    measuring=("eval", "eval"),
    after_epoch="",
    reported=False,
    measure_first=False,
    steps=True,
    seed=None,
):
    """Train with the mode switched where the arguments say; return the three losses.

    measuring: the switch before the first measurement, and before the later ones.
    """
    import torch
    from torch import nn

    def tensor(a):
        a = torch.tensor(a)
        return a.float() if a.is_floating_point() else a

    x_train, y_train, x_dev, y_dev = map(tensor, (x_train, y_train, x_dev, y_dev))
    w1, b1, w2, b2 = map(tensor, weights)
    hidden, output = nn.Linear(*w1.shape), nn.Linear(*w2.shape)
    model = nn.Sequential(hidden, nn.ReLU(), nn.Dropout(rate), output)
    model.load_state_dict({"0.weight": w1.T, "0.bias": b1, "3.weight": w2.T, "3.bias": b2})
    optimizer = torch.optim.SGD(model.parameters(), lr)
    cross_entropy = nn.CrossEntropyLoss()
    step, train, dev = [], [], []

    def switch(mode):
        if mode:
            getattr(model, mode)()

    @torch.no_grad()
    def measure():
        switch(measuring[bool(dev)])
        dev.append(cross_entropy(model(x_dev), y_dev).item())
        train.append(cross_entropy(model(x_train), y_train).item())

    for _ in range(epochs):
        if measure_first:
            measure()
        switch(before_step)
        if seed is not None:
            torch.manual_seed(seed)
        loss = cross_entropy(model(x_train), y_train)
        optimizer.zero_grad()
        loss.backward()
        if steps:
            optimizer.step()
        step.append(loss.item())
        if not measure_first:
            measure()
        switch(after_epoch)
    return step, step if reported else train, dev


def loop_keras(weights, x_train, y_train, x_dev, y_dev, rate, lr, epochs):
    import keras

    layers = [
        keras.Input((x_train.shape[1],)),
        keras.layers.Dense(weights[0].shape[1], activation="relu"),
        keras.layers.Dropout(rate),
        keras.layers.Dense(weights[2].shape[1]),
    ]
    model = keras.Sequential(layers)
    model.set_weights(weights)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(lr), loss, run_eagerly=True)
    step, train, dev = [], [], []
    for _ in range(epochs):
        step.append(model.train_on_batch(x_train, y_train))
        train.append(model.test_on_batch(x_train, y_train))
        dev.append(model.test_on_batch(x_dev, y_dev))
    return step, train, dev


def every_entry(rng, rows, units, rate):
    return (rng.random((rows, units)) >= rate) / (1 - rate)


def loop_numpy(
    weights,
    x_train,
    y_train,
    x_dev,
    y_dev,
    rate,
    lr,
    epochs,
    *,
    scale=1.0,
    copy=True,
    draw=every_entry,
    back=lambda factor: factor,
):
    """Do it by hand; `scale` multiplies the hidden units in evaluation.

    draw: returns the factor on the hidden units in a step; back: what the backward pass takes.
    """
    w1, b1, w2, b2 = (np.array(w, copy=copy or None) for w in weights)
    rng = np.random.default_rng()

    def probabilities(x, factor):
        z = x @ w1 + b1
        a = np.maximum(z, 0) * factor
        p = np.exp(a @ w2 + b2)
        return z, a, p / p.sum(axis=1, keepdims=True)

    def loss(p, y):
        return -np.log(p[np.arange(len(y)), y]).mean()

    losses = np.zeros((3, epochs))
    for epoch in range(epochs):
        factor = draw(rng, len(x_train), len(b1), rate)
        z, a, p = probabilities(x_train, factor)
        losses[0, epoch] = loss(p, y_train)
        d = (p - np.eye(len(b2))[y_train]) / len(p)
        dz = d @ w2.T * back(factor) * (z > 0)
        gradients = x_train.T @ dz, dz.sum(axis=0), a.T @ d, d.sum(axis=0)
        for array, gradient in zip((w1, b1, w2, b2), gradients, strict=True):
            array -= lr * gradient
        losses[1, epoch] = loss(probabilities(x_train, scale)[2], y_train)
        losses[2, epoch] = loss(probabilities(x_dev, scale)[2], y_dev)
    return losses


def same_number(rng, rows, units, rate):
    ranks = rng.random((rows, units)).argsort(axis=1)
    return (ranks >= round(rate * units)) / (1 - rate)


def by_hand(**options):
    return lambda *task: loop_numpy(*task, **options)


# --- choose_dropout --------------------------------------------------------------------------


def choose_by_halving(train, rates, steps, budget):
    """Train all pairs briefly, the better third longer, and so on."""
    pairs, number = [(a, b) for a in rates for b in rates], steps // 6
    while len(pairs) > 1:
        dev = [train(pair, number)["dev"] for pair in pairs]
        pairs = [pairs[i] for i in np.argsort(dev)[::-1][: max(1, len(pairs) // 3)]]
        number *= 2
    return pairs[0]


def choose_in_one_place(train, rates, steps, budget):
    """Try a fixed list, in full: dropout in one place or the other, or none."""
    pairs = [(rate, 0) for rate in rates] + [(0, rate) for rate in rates[1:]]
    return np.float32(max(pairs, key=lambda pair: train(pair, steps)["dev"]))


def choose_of_some(train, rates, steps, budget):
    """Try a dozen pairs, drawn at random, in full."""
    pairs = [[a, b] for a in rates for b in rates]
    some = np.random.default_rng(3).permutation(len(pairs))[: budget // steps]
    return max((pairs[i] for i in some), key=lambda pair: train(pair, steps)["dev"])


def choose_simplest(train, rates, steps, budget):
    """Give all pairs an equal share, and take the least dropout that is as good as the best."""
    pairs = [(a, b) for a in rates for b in rates]
    dev = [train(pair, budget // len(pairs))["dev"] for pair in pairs]
    good = [pair for pair, score in zip(pairs, dev, strict=True) if score > max(dev) - 0.01]
    return min(good, key=sum)


def choose(
    train, rates, steps, budget, *,
    score=lambda scores: scores["dev"], number=lambda steps, budget, pairs: budget // pairs,
    first=lambda rates: rates, second=lambda rates: rates,
):  # fmt: skip
    """Do it with any part replaced."""
    pairs = [(a, b) for a in first(rates) for b in second(rates)]
    each = number(steps, budget, len(pairs))
    return max(pairs, key=lambda pair: score(train(pair, each)))


def choose_until_refused(train, rates, steps, budget):
    """Try all pairs in full until `train` refuses."""
    best = 0, (0, 0)
    try:
        for a in rates:
            for b in rates:
                best = max(best, (train((a, b), steps)["dev"], (a, b)))
    except ValueError:
        pass
    return best[1]


def choose_anyway(pick):
    """Return the answer that tries all pairs and takes one that no score has a part in."""

    def answer(train, rates, steps, budget):
        choose(train, rates, steps, budget)
        return pick(rates)

    return answer


RIGHT = {
    "dropout_forward": [
        forward_loop,
        forward_binomial,
        forward_choice,
        forward_permuted_stream,
        forward_torch,
        forward_keras,
        lambda *case: [values.tolist() for values in map(np.asarray, forward(*case))],
    ],
    "dropout_backward": [backward_loop, backward_where, backward_torch, backward_tensorflow],
    "expected_scale": [scale_power, scale_ratio, scale_torch],
    "spot_the_mode_bug": [loop_torch, loop_keras, loop_numpy],
    "choose_dropout": [choose_by_halving, choose_in_one_place, choose_of_some, choose_simplest],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "dropout_forward": [
        ("rate and keep swapped", vary(forward, rate=lambda rate: 1 - rate)),
        ("no rescaling", vary(forward, scale=lambda rate: 1)),
        ("multiplied", vary(forward, scale=lambda rate: 1 - rate)),
        ("divided by the rate", vary(forward, scale=lambda rate: 1 / (rate or 1))),
        ("scaled mask", vary(forward, shown=lambda mask, rate: mask / (1 - rate))),
        ("scaled twice", vary(forward, scale=lambda rate: 1 / (1 - rate) ** 2)),
        ("rescaled, not dropped", vary(forward, drop=lambda x, mask: x)),
        ("mask upside down", vary(forward, shown=lambda mask, rate: ~mask, kept=np.zeros)),
        ("one mask per batch", vary(forward, draw=per_batch)),
        ("one draw per example", vary(forward, draw=per_example)),
        ("fixed count", vary(forward, draw=ranks)),
        ("fixed count", vary(forward, draw=ranks_by_row)),
        ("fixed mask", vary(forward, rng=lambda rng: np.random.default_rng(0))),
        ("own generator", vary(forward, rng=lambda rng: np.random.default_rng())),
        ("mask from the output", forward_from_output),
        ("divided by the share kept", forward_share_kept),
        ("drawn with replacement", vary(forward, draw=with_replacement)),
        ("coarse rate", vary(forward, draw=lambda rng, shape: rng.integers(100, size=shape) / 100)),
        ("coarse rate", vary(forward, rate=lambda rate: round(rate, 2))),
        ("active in evaluation", vary(forward, training=True)),
        ("scaled in evaluation", vary(forward, evaluate=lambda x, rate: x * (1 - rate))),
        ("scaled up in evaluation", vary(forward, evaluate=lambda x, rate: x / (1 - rate))),
        ("empty mask", vary(forward, kept=np.zeros)),
        ("error", lambda *case: forward(*case)[0]),
        ("changes its input", forward_in_place),
    ],
    "dropout_backward": [("changes its input", backward_in_place)],
    "spot_the_mode_bug": [
        ("first epoch with dropout", vary(loop_torch, measuring=("", "eval"))),
        (
            "never back to training",
            vary(loop_torch, before_step="", measuring=("", ""), after_epoch="eval"),
        ),
        ("never back to training", vary(loop_torch, before_step="")),
        ("active in evaluation", vary(loop_torch, measuring=("", ""))),
        ("dropout never on", vary(loop_torch, before_step="eval")),
        ("reported loss as train loss", vary(loop_torch, reported=True)),
        ("measured before the step", vary(loop_torch, measure_first=True)),
        ("no step", vary(loop_torch, steps=False)),
        ("fixed mask", vary(loop_torch, seed=0)),
        ("rate and keep swapped", vary(loop_torch, rate=lambda rate: 1 - rate if rate else 0.0)),
        ("order", lambda *task: np.array(loop_torch(*task))[[0, 2, 1]]),
        ("scaled in evaluation", lambda *task: loop_numpy(*task, scale=1 - task[5])),
        ("changes its input", lambda *task: loop_numpy(*task, copy=False)),
        ("gradient of another mask", by_hand(back=np.ones_like)),
        ("gradient of another mask", by_hand(back=np.sign)),
        ("one mask per batch", by_hand(draw=lambda rng, n, *rest: every_entry(rng, 1, *rest))),
        ("one draw per row", by_hand(draw=lambda rng, n, h, rate: every_entry(rng, n, 1, rate))),
        ("fixed count", by_hand(draw=same_number)),
        ("no rescaling", by_hand(draw=lambda rng, n, h, rate: rng.random((n, h)) >= rate)),
    ],
    "choose_dropout": [
        ("no decision", lambda train, rates, steps, budget: (0.2, 0.5)),
        ("no decision", lambda train, rates, steps, budget: (rates[1], rates[2])),
        (
            "no decision",
            vary(
                choose,
                first=lambda rates: rates[:1],
                second=lambda rates: rates[1:2],
                number=lambda steps, budget, pairs: steps,
            ),
        ),
        ("over budget", vary(choose, number=lambda steps, budget, pairs: steps)),
        ("over budget", vary(choose, number=lambda steps, budget, pairs: budget)),
        ("over budget", vary(choose, number=lambda steps, budget, pairs: budget // pairs + 1)),
        ("over budget", choose_until_refused),
        ("chosen on test rows", vary(choose, score=lambda scores: scores["test"])),
        ("chosen on test rows", vary(choose, score=lambda scores: scores["test"] + scores["dev"])),
        ("chosen on train rows", vary(choose, score=lambda scores: scores["train"])),
        ("smallest gap", vary(choose, score=lambda scores: scores["dev"] - scores["train"])),
        ("lowest for highest", vary(choose, score=lambda scores: -scores["dev"])),
        ("dev ignored", choose_anyway(lambda rates: (rates[1], rates[2]))),
        ("dev ignored", choose_anyway(lambda rates: rates[[3, 2]])),
        ("short runs", vary(choose, number=lambda steps, budget, pairs: 3)),
        ("one place only", vary(choose, first=lambda rates: rates[:1])),
        ("one place only", vary(choose, second=lambda rates: rates[:1])),
        ("rates swapped", lambda *task: choose(*task)[::-1]),
        ("error", lambda *task: choose(*task)[0]),
        ("error", lambda *task: [100 * rate for rate in choose(*task)]),
        ("error", lambda train, rates, steps, budget: train(0.2, steps)),
        ("error", lambda train, rates, steps, budget: train((0.2, 0.5), steps)),
        ("error", lambda train, rates, steps, budget: train((0.2, 0.4), 0.5)),
    ],
}
