"""Right and wrong answers to the exercises of chapter 14, for `test_answers`."""

import numpy as np


def cycle_torch(step, total, max_lr, warmup, start_factor, end_factor):
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr,
        total_steps=total,
        pct_start=warmup,
        div_factor=start_factor,
        final_div_factor=end_factor,
        cycle_momentum=False,
    )
    for _ in range(step):
        optimizer.step()
        scheduler.step()
    return scheduler.get_last_lr()[0]


def cycle_sine(step, total, max_lr, warmup, start_factor, end_factor):
    first, top = max_lr / start_factor, warmup * total - 1
    if step <= top:
        return first + (max_lr - first) * np.sin(np.pi / 2 * step / top) ** 2
    last = first / end_factor
    return np.float32(
        max_lr - (max_lr - last) * np.sin(np.pi / 2 * (step - top) / (total - 1 - top)) ** 2
    )


def cosine_min(step, total, max_lr, warmup, min_lr):
    if step < warmup:
        return step * max_lr / warmup
    share = min((step - warmup) / (total - warmup), 1.0)
    return np.float32(min_lr + 0.5 * (max_lr - min_lr) * (1 + np.cos(np.pi * share)))


def cosine_keras(step, total, max_lr, warmup, min_lr):
    import keras

    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else max_lr,
        total - warmup,
        alpha=min_lr / max_lr,
        warmup_target=max_lr if warmup else None,
        warmup_steps=warmup,
    )
    return schedule(step)


def cosine_torch(step, total, max_lr, warmup, min_lr):
    import torch

    step = torch.tensor(float(step))
    falling = torch.clamp((step - warmup) / (total - warmup), 0, 1)
    rate = min_lr + (max_lr - min_lr) * torch.cos(torch.pi * falling / 2) ** 2
    return max_lr * step / warmup if step < warmup else rate


def plateau_keras(losses, lr, factor, patience, min_delta, cooldown, min_lr):
    from types import SimpleNamespace

    import keras

    callback = keras.callbacks.ReduceLROnPlateau(
        factor=factor, patience=patience, min_delta=min_delta, cooldown=cooldown, min_lr=min_lr
    )
    optimizer = SimpleNamespace(learning_rate=lr)
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    callback.on_train_begin()
    rates = []
    for epoch, loss in enumerate(losses):
        rates.append(float(optimizer.learning_rate))
        callback.on_epoch_end(epoch, {"val_loss": float(loss)})
    return rates


def plateau_torch(losses, lr, factor, patience, min_delta, cooldown, min_lr):
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        factor=factor,
        patience=patience - 1,
        threshold=min_delta,
        threshold_mode="abs",
        cooldown=max(cooldown - 1, 0),
        min_lr=min_lr,
        eps=0,
    )
    rates = []
    for loss in losses:
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(loss)
    return torch.tensor(rates)


def plateau_positions(losses, lr, factor, patience, min_delta, cooldown, min_lr):
    """Note the epochs at which counting may begin again, in place of a counter."""
    rates, best, wait, awake = np.zeros(len(losses)), float("inf"), 0, 0
    for epoch in range(len(losses)):
        rates[epoch] = lr
        if losses[epoch] < best - min_delta:
            best, wait = losses[epoch], 0
        elif epoch >= awake:
            wait += 1
        if wait == patience:
            lr, wait, awake = max(min_lr, factor * lr), 0, epoch + cooldown
    return np.float32(rates)


def gradient(kernel, bias, x, y):
    z = x @ kernel + bias
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return x.T @ p / len(x), p.mean(axis=0)


def train_numpy(kernel, bias, x, y, order, rates, momentum):
    weights, velocity = [kernel, bias], [0, 0]
    for rows, rate in zip(order, rates, strict=True):
        slopes = gradient(*weights, x[rows], y[rows])
        velocity = [momentum * v + slope for v, slope in zip(velocity, slopes, strict=True)]
        weights = [w - rate * v for w, v in zip(weights, velocity, strict=True)]
    return tuple(weights)


def train_in_place(kernel, bias, x, y, order, rates, momentum):
    velocity = [0, 0]
    for rows, rate in zip(order, rates, strict=True):
        slopes = gradient(kernel, bias, x[rows], y[rows])
        velocity = [momentum * v + slope for v, slope in zip(velocity, slopes, strict=True)]
        kernel -= rate * velocity[0]
        bias -= rate * velocity[1]
    return kernel, bias


def train_keras(kernel, bias, x, y, order, rates, momentum):
    import keras
    import tensorflow as tf

    kernel, bias = (keras.Variable(np.float32(value)) for value in (kernel, bias))
    optimizer = keras.optimizers.SGD(float(rates[0]), momentum=momentum)
    optimizer.build([kernel, bias])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for t, rows in enumerate(order):
        if t:
            for velocity in optimizer.momentums:
                velocity.assign(velocity * (rates[t] / rates[t - 1]))
        optimizer.learning_rate = float(rates[t])
        with tf.GradientTape() as tape:
            value = loss(y[rows], keras.ops.cast(x[rows], "float32") @ kernel + bias)
        optimizer.apply(tape.gradient(value, [kernel.value, bias.value]), [kernel, bias])
    return kernel, bias


def train_scheduler(kernel, bias, x, y, order, rates, momentum):
    """Use a scheduler, and float32."""
    import torch

    model = torch.nn.Linear(*kernel.shape)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(kernel.T))
        model.bias.copy_(torch.tensor(bias))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=momentum)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: rates[min(t, len(rates) - 1)]
    )
    for rows in order:
        optimizer.zero_grad()
        logits = model(torch.tensor(x[rows], dtype=torch.float32))
        torch.nn.functional.cross_entropy(logits, torch.tensor(y[rows])).backward()
        optimizer.step()
        scheduler.step()
    return model.weight.T, model.bias


def train_naive_keras(kernel, bias, x, y, order, rates, momentum):
    import keras

    model = keras.Sequential([keras.Input((len(kernel),)), keras.layers.Dense(len(bias))])
    model.set_weights([kernel, bias])
    optimizer = keras.optimizers.SGD(float(rates[0]), momentum=momentum)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, run_eagerly=True)
    for rows, rate in zip(order, rates, strict=True):
        optimizer.learning_rate = float(rate)
        model.train_on_batch(x[rows], y[rows])
    return tuple(model.get_weights())


def diagnose_loop(train_loss, rates, reference):
    rises = 0
    for i in range(1, len(train_loss)):
        if train_loss[i] > train_loss[i - 1]:
            rises += 1
    if any(not abs(loss) < float("inf") for loss in train_loss):
        return "too large"
    if train_loss[-1] / reference <= 1.1:
        return "fine"
    if 3 * rises >= len(train_loss) - 1:
        return "too large"
    return "decayed too early" if 10 * rates[-1] <= max(rates) else "too small"


def diagnose_in_hundredths(train_loss, rates, reference):
    """Compare in whole per cents."""
    if not np.isfinite(train_loss).all():
        return "too large"
    if round(100 * train_loss[-1] / reference) <= 110:
        return "fine"
    if round(100 * np.mean(np.diff(train_loss) > 0)) >= 33:
        return "too large"
    return "decayed too early" if rates[-1] <= rates.max() / 10 else "too small"


def diagnose_torch(train_loss, rates, reference):
    import torch

    loss, rates = torch.tensor(train_loss), torch.tensor(rates)
    rises = (loss.diff() > 0).double().mean() >= 1 / 3
    if not loss.isfinite().all() or (loss[-1] > 1.1 * reference and rises):
        return np.str_("too large")
    if loss[-1] <= 1.1 * reference:
        return "fine"
    return ("too small", "decayed too early")[int(rates[-1] <= rates.max() / 10)]


RIGHT = {
    "one_cycle": [cycle_torch, cycle_sine],
    "cosine_lr": [cosine_min, cosine_keras, cosine_torch],
    "reduce_on_plateau": [plateau_keras, plateau_torch, plateau_positions],
    "train_with_schedule": [train_numpy, train_keras, train_scheduler],
    "diagnose_rate": [diagnose_loop, diagnose_torch],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "reduce_on_plateau": [("form", lambda losses, lr, *rest: lr)],
    "diagnose_rate": [("coarse-third", diagnose_in_hundredths)],
    "train_with_schedule": [
        ("keras-velocity", train_naive_keras),
        ("changes its input", train_in_place),
    ],
}
