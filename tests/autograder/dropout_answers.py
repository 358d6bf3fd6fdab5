"""Right and wrong answers to the exercises of chapter 10, for `test_answers`."""

import numpy as np

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


def forward_swapped(x, rate, rng, training=True):
    if not training:
        return x, np.ones(x.shape)
    mask = rng.random(x.shape) < rate
    return x * mask / rate if rate else x, mask


def forward_unscaled(x, rate, rng, training=True):
    mask = rng.random(x.shape) >= rate if training else np.ones(x.shape)
    return x * mask, mask


def forward_multiplied(x, rate, rng, training=True):
    mask = rng.random(x.shape) >= rate if training else np.ones(x.shape)
    return x * mask * (1 - rate if training else 1), mask


def forward_divided_by_rate(x, rate, rng, training=True):
    mask = rng.random(x.shape) >= rate if training else np.ones(x.shape)
    return x * mask / (rate if training and rate else 1), mask


def forward_scaled_mask(x, rate, rng, training=True):
    if not training:
        return x, np.ones(x.shape)
    mask = (rng.random(x.shape) >= rate) / (1 - rate)
    return x * mask, mask


def forward_scaled_twice(x, rate, rng, training=True):
    if not training:
        return x, np.ones(x.shape)
    mask = rng.random(x.shape) >= rate
    return x * mask / (1 - rate) / (1 - rate), mask


def forward_not_dropped(x, rate, rng, training=True):
    if not training:
        return x, np.ones(x.shape)
    return x / (1 - rate), rng.random(x.shape) >= rate


def forward_upside_down(x, rate, rng, training=True):
    dropped = rng.random(x.shape) < rate if training else np.zeros(x.shape, bool)
    return x * ~dropped / (1 - rate if training else 1), dropped


def forward_mask_per_batch(x, rate, rng, training=True):
    if not training:
        return x, np.ones(x.shape)
    mask = np.broadcast_to(rng.random(x.shape[1:]) >= rate, x.shape)
    return x * mask / (1 - rate), mask


def forward_draw_per_example(x, rate, rng, training=True):
    if not training:
        return x, np.ones(x.shape)
    draw = rng.random((len(x),) + (1,) * (x.ndim - 1))
    mask = np.broadcast_to(draw >= rate, x.shape)
    return x * mask / (1 - rate), mask


def forward_fixed_count(x, rate, rng, training=True):
    if not training:
        return x, np.ones(x.shape)
    mask = np.ones(x.size)
    mask[rng.permutation(x.size)[: round(rate * x.size)]] = 0
    mask = mask.reshape(x.shape)
    return x * mask / (1 - rate), mask


def forward_fixed_count_per_row(x, rate, rng, training=True):
    if not training:
        return x, np.ones(x.shape)
    order = rng.random(x.shape).argsort(axis=-1).argsort(axis=-1)
    mask = order >= round(rate * x.shape[-1])
    return x * mask / (1 - rate), mask


def forward_fixed_mask(x, rate, rng, training=True):
    return forward_loop(x, rate, np.random.default_rng(0), training)


def forward_own_generator(x, rate, rng, training=True):
    return forward_loop(x, rate, np.random.default_rng(), training)


def forward_always_on(x, rate, rng, training=True):
    return forward_loop(x, rate, rng)


def forward_scaled_in_evaluation(x, rate, rng, training=True):
    return forward_loop(x, rate, rng) if training else (x * (1 - rate), np.ones(x.shape))


def forward_empty_mask(x, rate, rng, training=True):
    return forward_loop(x, rate, rng) if training else (x, np.zeros(x.shape))


def forward_only_out(x, rate, rng, training=True):
    return forward_loop(x, rate, rng, training)[0]


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


# --- expected_scale --------------------------------------------------------------------------


def scale_power(rate):
    return np.power(1.0 - np.float32(rate), -1)


def scale_ratio(rate):
    return 1 + rate / (1 - rate)


def scale_torch(rate):
    import torch

    return 1 / (1 - torch.as_tensor(rate))


# --- spot_the_mode_bug -----------------------------------------------------------------------


def _torch_loop(
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
    before_measuring="eval",
    after_epoch="",
    reported=False,
    measure_first=False,
    steps=True,
    seed=None,
):
    """Train with the mode switched where the arguments say; return the three losses."""
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
        switch(before_measuring)
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


def loop_torch(*arguments):
    return _torch_loop(*arguments)


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


def loop_numpy(weights, x_train, y_train, x_dev, y_dev, rate, lr, epochs, *, scale=1.0, seed=None):
    """Do it by hand; `scale` multiplies the hidden units in evaluation."""
    w1, b1, w2, b2 = (np.array(w, dtype=float) for w in weights)
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
        if seed is not None:
            rng = np.random.default_rng(seed)
        factor = (rng.random((len(x_train), len(b1))) >= rate) / (1 - rate)
        z, a, p = probabilities(x_train, factor)
        losses[0, epoch] = loss(p, y_train)
        d = (p - np.eye(len(b2))[y_train]) / len(p)
        dz = d @ w2.T * factor * (z > 0)
        w2, b2 = w2 - lr * a.T @ d, b2 - lr * d.sum(axis=0)
        w1, b1 = w1 - lr * x_train.T @ dz, b1 - lr * dz.sum(axis=0)
        losses[1, epoch] = loss(probabilities(x_train, scale)[2], y_train)
        losses[2, epoch] = loss(probabilities(x_dev, scale)[2], y_dev)
    return losses


def loop_as_broken(*arguments):
    return _torch_loop(*arguments, before_step="", before_measuring="", after_epoch="eval")


def loop_never_eval(*arguments):
    return _torch_loop(*arguments, before_measuring="")


def loop_never_back(*arguments):
    return _torch_loop(*arguments, before_step="")


def loop_always_eval(*arguments):
    return _torch_loop(*arguments, before_step="eval")


def loop_reported(*arguments):
    return _torch_loop(*arguments, reported=True)


def loop_measured_first(*arguments):
    return _torch_loop(*arguments, measure_first=True)


def loop_without_steps(*arguments):
    return _torch_loop(*arguments, steps=False)


def loop_fixed_mask(*arguments):
    return _torch_loop(*arguments, seed=0)


def loop_swapped_rate(*arguments):
    *others, rate, lr, epochs = arguments
    return _torch_loop(*others, 1 - rate if rate else 0.0, lr, epochs)


def loop_order(*arguments):
    step, train, dev = _torch_loop(*arguments)
    return step, dev, train


def loop_scaled(*arguments):
    return loop_numpy(*arguments, scale=1 - arguments[5])


RIGHT = {
    "dropout_forward": [
        forward_loop,
        forward_binomial,
        forward_choice,
        forward_permuted_stream,
        forward_torch,
        forward_keras,
    ],
    "dropout_backward": [backward_loop, backward_where, backward_torch, backward_tensorflow],
    "expected_scale": [scale_power, scale_ratio, scale_torch],
    "spot_the_mode_bug": [loop_torch, loop_keras, loop_numpy],
}

WRONG = {
    "dropout_forward": [
        ("rate and keep swapped", forward_swapped),
        ("no rescaling", forward_unscaled),
        ("multiplied", forward_multiplied),
        ("divided by the rate", forward_divided_by_rate),
        ("scaled mask", forward_scaled_mask),
        ("scaled twice", forward_scaled_twice),
        ("rescaled, not dropped", forward_not_dropped),
        ("mask upside down", forward_upside_down),
        ("one mask per batch", forward_mask_per_batch),
        ("one draw per example", forward_draw_per_example),
        ("fixed count", forward_fixed_count),
        ("fixed count", forward_fixed_count_per_row),
        ("fixed mask", forward_fixed_mask),
        ("own generator", forward_own_generator),
        ("active in evaluation", forward_always_on),
        ("scaled in evaluation", forward_scaled_in_evaluation),
        ("empty mask", forward_empty_mask),
        ("error", forward_only_out),
    ],
    "dropout_backward": [
        ("no rescaling", lambda dy, mask, rate: dy * mask),
        ("no mask", lambda dy, mask, rate: dy),
        ("scale without mask", lambda dy, mask, rate: dy / (1 - rate)),
        ("multiplied", lambda dy, mask, rate: dy * mask * (1 - rate)),
        ("divided by the rate", lambda dy, mask, rate: dy * mask / rate),
        ("upside down", lambda dy, mask, rate: dy * (1 - mask) / (1 - rate)),
        ("scaled twice", lambda dy, mask, rate: dy * mask / (1 - rate) ** 2),
    ],
    "expected_scale": [
        ("factor of evaluation", lambda rate: 1 - rate),
        ("rate and keep swapped", lambda rate: 1 / rate),
        ("the rate itself", lambda rate: rate),
        ("keeps the variance", lambda rate: 1 / np.sqrt(1 - rate)),
        ("first order", lambda rate: 1 + rate),
        ("squared", lambda rate: (1 - rate) ** -2.0),
        ("added noise", lambda rate: rate / (1 - rate)),
    ],
    "spot_the_mode_bug": [
        ("first epoch with dropout", loop_as_broken),
        ("never back to training", loop_as_broken),
        ("active in evaluation", loop_never_eval),
        ("never back to training", loop_never_back),
        ("dropout never on", loop_always_eval),
        ("reported loss as train loss", loop_reported),
        ("measured before the step", loop_measured_first),
        ("no step", loop_without_steps),
        ("fixed mask", loop_fixed_mask),
        ("rate and keep swapped", loop_swapped_rate),
        ("order", loop_order),
        ("scaled in evaluation", loop_scaled),
    ],
}
