"""Right and wrong answers to the exercises of chapter 14, for `test_answers`."""

import numpy as np


def wave(start, end, share):
    return end + (start - end) * (1 + np.cos(np.pi * share)) / 2


def line(start, end, share):
    return start + (end - start) * share


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


def _cycle(off=1, last=1, rise=wave, fall=wave, end=None):
    """Make a variant of the schedule with one part replaced."""

    def rate(step, total, max_lr, warmup, start_factor, end_factor):
        first, top = max_lr / start_factor, warmup * total - off
        if step <= top:
            return rise(first, max_lr, step / top)
        low = first / end_factor if end is None else end(max_lr, start_factor, end_factor)
        return fall(max_lr, low, (step - top) / (total - last - top))

    return rate


def cycle_fixed(step, total, max_lr, warmup, start_factor, end_factor):
    return _cycle()(step, total, max_lr, 0.3, 25, 1e4)


def cycle_only_falls(step, total, max_lr, warmup, start_factor, end_factor):
    return wave(max_lr, max_lr / start_factor / end_factor, step / (total - 1))


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


def _cosine(
    rise=lambda step, max_lr, warmup, min_lr: max_lr * step / warmup,
    fall=wave,
    share=lambda step, total, warmup: (step - warmup) / (total - warmup),
    end=lambda step, total, max_lr, warmup, min_lr: min_lr,
):
    """Make a variant of the schedule with one part replaced."""

    def rate(step, total, max_lr, warmup, min_lr):
        if rise and step < warmup:
            return rise(step, max_lr, warmup, min_lr)
        if end and step > total:
            return end(step, total, max_lr, warmup, min_lr)
        return fall(max_lr, min_lr, share(step, total, warmup))

    return rate


def cosine_no_warmup(step, total, max_lr, warmup, min_lr):
    return wave(max_lr, min_lr, min(step / total, 1))


def cosine_scaled(step, total, max_lr, warmup, min_lr):
    rise = min(step / warmup, 1) if warmup else 1
    return rise * wave(max_lr, min_lr, min(step / total, 1))


def cosine_restarts(step, total, max_lr, warmup, min_lr):
    return _cosine()(step if step <= total else step % total, total, max_lr, warmup, min_lr)


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


def _plateau(
    late=0,
    extra=0,
    reset=True,
    previous=False,
    improves=lambda loss, best, delta: loss + delta < best,
    track=False,
    same_epoch=False,
    forgets=False,
    use=lambda patience, delta, cooldown, low: (patience, delta, cooldown, low),
    blind=False,
    skip=False,
):
    """Make a variant of the rule with one part replaced."""

    def rule(losses, lr, factor, patience, min_delta, cooldown, min_lr):
        patience, min_delta, cooldown, min_lr = use(patience, min_delta, cooldown, min_lr)
        best, wait, rest, rates, before = np.inf, 0, 0, [], np.inf
        for loss in losses:
            rates.append(lr)
            rest -= 1
            better = improves(loss, before if previous else best, min_delta)
            before = loss
            if better and not (blind and rest > 0):
                best, wait = loss, 0
            elif rest <= 0:
                wait += 1
                if wait >= patience + late:
                    if not (skip and lr * factor < min_lr):
                        lr = max(lr * factor, min_lr)
                    rest, wait = cooldown + extra, 0 if reset else wait
                    best = loss if forgets else best
            if track:
                best = min(best, loss)
            if same_epoch:
                rates[-1] = lr
        return rates

    return rule


def plateau_every_epoch(losses, lr, factor, patience, min_delta, cooldown, min_lr):
    return _plateau(use=lambda p, delta, c, low: (1, delta, c, low))(
        losses, lr, factor, patience, min_delta, cooldown, min_lr
    )


def plateau_constant(losses, lr, factor, patience, min_delta, cooldown, min_lr):
    return np.full(len(losses), lr)


def gradient(kernel, bias, x, y):
    z = x @ kernel + bias
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return x.T @ p / len(x), p.mean(axis=0)


def _train(
    inside=False,
    used=lambda rates: rates,
    momentum_of=lambda momentum: momentum,
    forgets=False,
    scale=lambda batch: 1,
    damped=False,
    nesterov=False,
    whole=False,
):
    """Make a NumPy version, or a variant with one part replaced."""

    def train(kernel, bias, x, y, order, rates, momentum):
        momentum = momentum_of(momentum)
        weights, velocity, old = [kernel, bias], [0, 0], rates[0]
        for rows, rate in zip(order, used(rates), strict=True):
            rows = np.arange(len(x)) if whole else rows
            if forgets and rate != old:
                velocity = [0, 0]
            old = rate
            slopes = gradient(*weights, x[rows], y[rows])
            for i, g in enumerate(slopes):
                g = g * scale(len(rows)) * (1 - momentum if damped else 1)
                velocity[i] = momentum * velocity[i] + (rate * g if inside else g)
                move = momentum * velocity[i] + g if nesterov else velocity[i]
                weights[i] = weights[i] - (move if inside else rate * move)
        return tuple(weights)

    return train


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


def diagnose_torch(train_loss, rates, reference):
    import torch

    loss, rates = torch.tensor(train_loss), torch.tensor(rates)
    rises = (loss.diff() > 0).double().mean() >= 1 / 3
    if not loss.isfinite().all() or (loss[-1] > 1.1 * reference and rises):
        return np.str_("too large")
    if loss[-1] <= 1.1 * reference:
        return "fine"
    return ("too small", "decayed too early")[int(rates[-1] <= rates.max() / 10)]


def _diagnose(
    finite=lambda loss: np.isfinite(loss).all(),
    fine=lambda loss, reference: loss[-1] <= 1.1 * reference,
    jumps=lambda loss: (np.diff(loss) > 0).mean() >= 1 / 3,
    early=lambda rates: rates[-1] <= rates.max() / 10,
    fine_first=True,
):
    """Make a variant of the diagnosis with one rule replaced."""

    def diagnose(train_loss, rates, reference):
        if not finite(train_loss):
            return "too large"
        good, jumping = fine(train_loss, reference), jumps(train_loss)
        if jumping and not (good and fine_first):
            return "too large"
        if good:
            return "fine"
        return "decayed too early" if early(rates) else "too small"

    return diagnose


def diagnose_decay_first(train_loss, rates, reference):
    if rates[-1] <= rates.max() / 10:
        return "decayed too early"
    return _diagnose()(train_loss, rates, reference)


RIGHT = {
    "one_cycle": [cycle_torch, cycle_sine],
    "cosine_lr": [cosine_min, cosine_keras, cosine_torch],
    "reduce_on_plateau": [plateau_keras, plateau_torch, plateau_positions],
    "train_with_schedule": [_train(), train_keras, train_scheduler],
    "diagnose_rate": [diagnose_loop, diagnose_torch],
}

WRONG = {
    "one_cycle": [
        ("late-peak", _cycle(off=0)),
        ("short-end", _cycle(last=0)),
        ("steps-from-one", _cycle(off=0, last=0)),
        ("linear-rise", _cycle(rise=line)),
        ("linear", _cycle(rise=line, fall=line)),
        ("end-of-max", _cycle(end=lambda top, a, b: top / b)),
        ("back-to-first", _cycle(end=lambda top, a, b: top / a)),
        ("to-zero", _cycle(end=lambda top, a, b: 0)),
        ("no-half", _cycle(rise=lambda a, b, s: b + 2 * (wave(a, b, s) - b),
                           fall=lambda a, b, s: b + 2 * (wave(a, b, s) - b))),
        ("degrees", _cycle(rise=lambda a, b, s: wave(a, b, s / 180),
                           fall=lambda a, b, s: wave(a, b, s / 180))),
        ("upside-down", _cycle(rise=lambda a, b, s: wave(b, a, s),
                               fall=lambda a, b, s: wave(b, a, s))),
        ("no-warmup", cycle_only_falls),
        ("fixed-numbers", cycle_fixed),
    ],
    "cosine_lr": [
        ("no-half", _cosine(fall=lambda a, b, s: b + 2 * (wave(a, b, s) - b))),
        ("degrees", _cosine(fall=lambda a, b, s: b + (a - b) * (1 + np.cos(180 * s)) / 2)),
        ("whole-wave", _cosine(fall=lambda a, b, s: wave(a, b, 2 * s))),
        ("floor-added", _cosine(fall=lambda a, b, s: b + wave(a, 0, s))),
        ("no-floor", _cosine(fall=lambda a, b, s: wave(a, 0, s))),
        ("no-floor", _cosine(end=lambda *_: 0.0)),
        ("clipped-floor", _cosine(fall=lambda a, b, s: max(wave(a, 0, s), b))),
        ("warmup-not-counted", _cosine(share=lambda step, total, warmup: (step - warmup) / total)),
        ("warmup-not-subtracted", _cosine(share=lambda step, total, warmup: step / total)),
        ("linear", _cosine(fall=line)),
        ("short-end", _cosine(
            share=lambda step, total, start: (step - start) / (total - start - 1))),
        ("one-early", _cosine(rise=lambda step, top, warmup, low: top * (step + 1) / warmup)),
        ("from-floor", _cosine(rise=lambda step, top, warmup, low: line(low, top, step / warmup))),
        ("no-warmup", cosine_no_warmup),
        ("cosine-warmup", _cosine(rise=lambda step, top, warmup, low: wave(0, top, step / warmup))),
        ("scaled-wave", cosine_scaled),
        ("rises-again", _cosine(end=None)),
        ("restarts", cosine_restarts),
        ("back-to-max", _cosine(end=lambda step, total, top, warmup, low: top)),
    ],
    "reduce_on_plateau": [
        ("one-late", _plateau(late=1)),
        ("one-early", _plateau(late=-1)),
        ("no-reset", _plateau(reset=False)),
        ("previous-loss", _plateau(previous=True)),
        ("same-epoch", _plateau(same_epoch=True)),
        ("forgets-best", _plateau(forgets=True)),
        ("every-epoch", plateau_every_epoch),
        ("constant", plateau_constant),
        ("previous-loss", _plateau(previous=True, improves=lambda loss, before, _: loss <= before)),
        ("no-min-delta", _plateau(use=lambda p, delta, c, low: (p, 0, c, low))),
        ("delta-sign", _plateau(use=lambda p, delta, c, low: (p, -delta, c, low))),
        ("tracks-minimum", _plateau(track=True)),
        ("equal-improves", _plateau(improves=lambda loss, best, delta: loss + delta <= best)),
        ("no-cooldown", _plateau(use=lambda p, delta, c, low: (p, delta, 0, low))),
        ("cooldown-long", _plateau(extra=1)),
        ("cooldown-short", _plateau(extra=-1)),
        ("blind-cooldown", _plateau(blind=True)),
        ("no-min-lr", _plateau(use=lambda p, delta, c, low: (p, delta, c, 0))),
        ("skips-last", _plateau(skip=True)),
    ],
    "train_with_schedule": [
        ("keras-velocity", _train(inside=True)),
        ("keras-velocity", train_naive_keras),
        ("one-early", _train(used=lambda rates: np.append(rates[1:], rates[-1]))),
        ("one-late", _train(used=lambda rates: np.append(rates[0], rates[:-1]))),
        ("constant", _train(used=lambda rates: np.full(len(rates), rates[0]))),
        ("no-momentum", _train(momentum_of=lambda momentum: 0)),
        ("forgets-velocity", _train(forgets=True)),
        ("damped", _train(damped=True)),
        ("nesterov", _train(nesterov=True)),
        ("summed-loss", _train(scale=lambda batch: batch)),
        ("ascent", _train(scale=lambda batch: -1)),
        ("untrained", _train(scale=lambda batch: 0)),
        ("whole-set", _train(whole=True)),
    ],
    "diagnose_rate": [
        ("nan-unseen", _diagnose(finite=lambda loss: True)),
        ("nan-at-the-end-only", _diagnose(finite=lambda loss: np.isfinite(loss[-1]))),
        ("last-rise", _diagnose(jumps=lambda loss: loss[-1] > loss[-2])),
        ("decay-is-early", diagnose_decay_first),
        ("jumps-first", _diagnose(fine_first=False)),
        ("no-margin", _diagnose(fine=lambda loss, reference: loss[-1] <= reference)),
        ("absolute", _diagnose(fine=lambda loss, reference: loss[-1] <= 0.1)),
        ("first-rate", _diagnose(early=lambda rates: rates[-1] <= rates[0] / 10)),
        ("any-rise", _diagnose(jumps=lambda loss: bool((np.diff(loss) > 0).any()))),
        ("smallest-rate", _diagnose(early=lambda rates: rates.min() <= rates.max() / 10)),
        ("any-change", _diagnose(early=lambda rates: bool((np.diff(rates) < 0).any()))),
        ("always-small", _diagnose(early=lambda rates: False)),
    ],
}  # fmt: skip
