"""Right and wrong answers to the exercises of chapter 13, for `test_answers`."""

import numpy as np


def stop_counter(losses, patience, min_delta):
    best, wait = float("inf"), 0
    for i in range(len(losses)):
        if losses[i] < best - min_delta:
            best, wait = float(losses[i]), 0
        else:
            wait += 1
        if wait == patience:
            return [i + 1, best]
    return [len(losses), best]


def stop_recursive(losses, patience, min_delta):
    """Jump from improvement to improvement."""
    losses = np.float32(losses)
    at = 0
    for _ in range(len(losses)):
        lower = np.flatnonzero(losses[at + 1 :] + np.float32(min_delta) < losses[at])
        if len(lower) == 0 or lower[0] >= patience:
            break
        at += 1 + lower[0]
    return min(at + 1 + patience, len(losses)), losses[at]


def stop_torch(losses, patience, min_delta):
    import torch

    losses = torch.tensor(losses)
    best, best_at = losses[0], 0
    for i, loss in enumerate(losses):
        if loss < best - min_delta:
            best, best_at = loss, i
        elif i - best_at >= patience:
            break
    return torch.tensor(i + 1), best


def stop_keras(losses, patience, min_delta):
    import keras

    class Model:
        stop_training = False

    callback = keras.callbacks.EarlyStopping(patience=patience, min_delta=min_delta)
    callback.set_model(Model())
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": float(loss)})
        if callback.model.stop_training:
            break
    return epoch + 1, callback.best


def _stop(
    start=np.inf,
    improves=lambda loss, best, delta: loss + delta < best,
    count=lambda wait, loss, previous: wait + 1,
    reset=True,
    late=0,
    track=False,
    result=lambda epoch, best, best_epoch, losses: (epoch, best),
):
    """Make a variant of the rule with one part replaced."""

    def rule(losses, patience, min_delta):
        best, best_epoch, wait, previous = start, 1, 0, np.inf
        for epoch, loss in enumerate(losses, 1):
            if improves(loss, best, min_delta):
                best, best_epoch = loss, epoch
                wait = 0 if reset else wait
            else:
                wait = count(wait, loss, previous)
                best = min(best, loss) if track else best
                if wait >= patience + late:
                    break
            previous = loss
        return result(epoch, best, best_epoch, losses)

    return rule


def best_torch(losses, weights, min_delta, start_from_epoch):
    import torch

    best, kept = float("inf"), len(losses) - 1
    for i in range(start_from_epoch, len(losses)):
        if losses[i] < best - min_delta:
            best, kept = losses[i], i
    return kept + 1, torch.tensor(weights)[kept]


def best_float32(losses, weights, min_delta, start_from_epoch):
    seen = [i for i in range(len(losses)) if i >= start_from_epoch]
    kept = seen[0] if seen else len(losses) - 1
    for i in seen:
        kept = i if losses[kept] - losses[i] > min_delta else kept
    return np.float32(kept + 1), np.float32(weights[kept])


def _best(
    start=np.inf,
    first=0,
    improves=lambda loss, best, delta: loss + delta < best,
    track=False,
    nothing=None,
    result=lambda kept, weights: (kept, weights[kept - 1]),
):
    """Make a variant of `best_epoch` with one part replaced."""

    def rule(losses, weights, min_delta, start_from_epoch):
        best, kept = start, nothing or len(losses)
        for epoch, loss in enumerate(losses, 1):
            if epoch > start_from_epoch + first:
                if improves(loss, best, min_delta):
                    best, kept = loss, epoch
                elif track:
                    best = min(best, loss)
        return result(kept, weights)

    return rule


def best_without_start(losses, weights, min_delta, start_from_epoch):
    return best_torch(losses, weights, min_delta, 0)


def best_argmin(losses, weights, min_delta, start_from_epoch):
    if start_from_epoch >= len(losses):
        return len(losses), weights[-1]
    kept = start_from_epoch + int(np.argmin(losses[start_from_epoch:]))
    return kept + 1, weights[kept]


def best_counted_from_start(losses, weights, min_delta, start_from_epoch):
    kept, row = best_torch(losses, weights, min_delta, start_from_epoch)
    return (kept if start_from_epoch >= len(losses) else kept - start_from_epoch), row


def _resume(
    velocity=("kernel", "bias"),
    steps=lambda step, total: range(step, total),
    fresh=False,
    use_momentum=True,
    mean=True,
    counted=lambda step, total: total,
    returned=lambda v, lr: v,
):
    """Make a NumPy version of `resume_training`, or a variant with one part replaced."""

    def resume(checkpoint, x, y, order, lr, momentum):
        names = ("kernel", "bias")
        state = {name: np.zeros_like(checkpoint[name]) for name in names}
        if not fresh:
            state = {name: np.array(checkpoint[name]) for name in names}
        v = {
            name: np.array(checkpoint[f"{name}_velocity"])
            if name in velocity
            else np.zeros_like(state[name])
            for name in names
        }
        step, total = int(checkpoint["step"]), len(order)
        for t in steps(step, total):
            rows = order[t]
            z = x[rows] @ state["kernel"] + state["bias"]
            p = np.exp(z - z.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            p[np.arange(len(rows)), y[rows]] -= 1
            p /= len(rows) if mean else 1
            for name, gradient in (("kernel", x[rows].T @ p), ("bias", p.sum(axis=0))):
                v[name] = (momentum if use_momentum else 0) * v[name] + gradient
                state[name] = state[name] - lr * v[name]
        return {
            **state,
            **{f"{name}_velocity": returned(v[name], lr) for name in names},
            "step": counted(step, total),
        }

    return resume


def resume_keras(checkpoint, x, y, order, lr, momentum):
    import keras

    d, classes = checkpoint["kernel"].shape
    model = keras.Sequential([keras.Input((d,)), keras.layers.Dense(classes)])
    model.set_weights([checkpoint["kernel"], checkpoint["bias"]])
    optimizer = keras.optimizers.SGD(lr, momentum=momentum)
    optimizer.build(model.trainable_variables)
    optimizer.momentums[0].assign(-lr * checkpoint["kernel_velocity"])
    optimizer.momentums[1].assign(-lr * checkpoint["bias_velocity"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, run_eagerly=True)
    for rows in order[int(checkpoint["step"]) :]:
        model.train_on_batch(x[rows], y[rows])
    velocities = [v.numpy() / -lr for v in optimizer.momentums]
    return {
        "step": len(order),
        "kernel": model.layers[0].kernel,
        "bias": model.layers[0].bias,
        "kernel_velocity": velocities[0],
        "bias_velocity": velocities[1],
    }


def resume_autograd(checkpoint, x, y, order, lr, momentum):
    """A right answer in PyTorch without an optimizer, in float32."""
    import torch

    names = ("kernel", "bias")
    w = [torch.tensor(checkpoint[n], dtype=torch.float32, requires_grad=True) for n in names]
    v = [torch.tensor(checkpoint[f"{n}_velocity"], dtype=torch.float32) for n in names]
    for t in range(checkpoint["step"], len(order)):
        logits = torch.tensor(x[order[t]], dtype=torch.float32) @ w[0] + w[1]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(y[order[t]]))
        gradients = torch.autograd.grad(loss, w)
        with torch.no_grad():
            for weight, velocity, gradient in zip(w, v, gradients, strict=True):
                velocity.mul_(momentum).add_(gradient)
                weight -= lr * velocity
    return {
        "kernel": w[0],
        "bias": w[1],
        "kernel_velocity": v[0],
        "bias_velocity": v[1],
        "step": torch.tensor(len(order)),
    }


def repair_counter(val_loss, penalty, weights, patience):
    best, wait, restored = np.inf, 0, None
    trained = len(val_loss)
    for i in range(len(val_loss)):
        wait += 1
        if val_loss[i] - penalty[i] < best:
            best, wait, restored = val_loss[i] - penalty[i], 0, np.float32(weights[i])
        if wait == patience:
            trained = i + 1
            break
    return trained, restored


def repair_torch(val_loss, penalty, weights, patience):
    import torch

    losses = torch.tensor(val_loss) - torch.tensor(penalty)
    for trained in range(1, len(losses) + 1):
        best = int(np.argmin(losses[:trained].numpy()))
        if trained - 1 - best >= patience:
            break
    return trained, torch.tensor(weights)[best]


def broken_early_stopping(val_loss, penalty, weights, patience):
    """The loop of the exercise, as it stands there."""
    best, previous, rises = 1.0, np.inf, 0
    for epoch in range(len(val_loss)):
        if val_loss[epoch] < best:
            best = val_loss[epoch]
        if val_loss[epoch] > previous:
            rises += 1
        if rises > patience:
            break
        previous = val_loss[epoch]
    return epoch, weights[epoch]


def _repair(
    result=lambda epoch, best_epoch, weights: (epoch, weights[best_epoch - 1]),
    losses=lambda val_loss, penalty: val_loss - penalty,
    at_the_end=None,
    **variant,
):
    """Make a variant of the repaired loop with one part replaced."""

    def rule(val_loss, penalty, weights, patience):
        found = _stop(result=lambda *all_of_it: all_of_it, **variant)
        epoch, _, best_epoch, _ = found(losses(val_loss, penalty), patience, 0.0)
        if epoch == len(val_loss) and at_the_end:
            return at_the_end(epoch, best_epoch, weights)
        return result(epoch, best_epoch, weights)

    return rule


def only_rises(wait, loss, previous):
    return wait + (loss > previous)


def rises_in_a_row(wait, loss, previous):
    return wait + 1 if loss > previous else 0


def not_higher(loss, best, delta):
    return loss + delta <= best


RIGHT = {
    "early_stopping_epoch": [stop_counter, stop_recursive, stop_torch, stop_keras],
    "best_epoch": [best_torch, best_float32, _best()],
    "resume_training": [_resume(), resume_keras, resume_autograd],
    "repair_early_stopping": [repair_counter, repair_torch, _repair()],
}

WRONG = {
    "early_stopping_epoch": [
        ("from-zero", _stop(result=lambda e, best, at, losses: (e - 1, best))),
        ("one-late", _stop(late=1)),
        ("one-early", _stop(late=-1)),
        ("no-reset", _stop(reset=False)),
        ("rises", _stop(reset=False, count=only_rises)),
        ("rises-in-a-row", _stop(count=rises_in_a_row)),
        ("best-epoch", _stop(result=lambda e, best, at, losses: (at, best))),
        ("equal-improves", _stop(improves=not_higher)),
        ("tracks-minimum", _stop(track=True)),
        ("no-min-delta", _stop(improves=lambda loss, best, delta: loss < best)),
        ("delta-sign", _stop(improves=lambda loss, best, delta: loss - delta < best)),
        ("minimum", _stop(result=lambda e, best, at, losses: (e, losses[:e].min()))),
        ("starts-at-one", _stop(start=1.0)),
        ("never", _stop(
            result=lambda e, best, at, losses: (0 if e == len(losses) and e < 7 else e, best))),
        ("form", _stop(result=lambda e, best, at, losses: e)),
        ("error", lambda losses, patience, min_delta: None),
    ],
    "best_epoch": [
        ("from-zero", _best(result=lambda kept, weights: (kept - 1, weights[kept - 1]))),
        ("row-late", _best(result=lambda kept, weights: (kept, weights[kept % len(weights)]))),
        ("last-weights", _best(result=lambda kept, weights: (kept, weights[-1]))),
        ("last", _best(start=1.0)),
        ("highest", _best(start=-np.inf, improves=lambda loss, best, delta: loss > best + delta)),
        ("last-of-equals", _best(improves=not_higher)),
        ("minimum", best_argmin),
        ("tracks-minimum", _best(track=True)),
        ("no-start", best_without_start),
        ("start-early", _best(first=-1)),
        ("start-late", _best(first=1)),
        ("counts-from-start", best_counted_from_start),
        ("never-looked", _best(nothing=1)),
        ("form", _best(result=lambda kept, weights: kept)),
    ],
    "resume_training": [
        ("no-velocity", _resume(velocity=())),
        ("kernel-velocity-only", _resume(velocity=("kernel",))),
        ("repeats-data", _resume(steps=lambda step, total: range(total - step))),
        ("whole-order", _resume(steps=lambda step, total: range(total))),
        ("skips-one", _resume(steps=lambda step, total: range(step + 1, total))),
        ("repeats-one", _resume(steps=lambda step, total: range(max(step - 1, 0), total))),
        ("fresh-weights", _resume(fresh=True, velocity=())),
        ("no-momentum", _resume(use_momentum=False)),
        ("keras-velocity", _resume(returned=lambda v, lr: -lr * v)),
        ("summed-loss", _resume(mean=False)),
        ("unchanged-step", _resume(counted=lambda step, total: step)),
        ("steps-of-this-run", _resume(counted=lambda step, total: total - step)),
        ("equals_a_run_without_a_crash", _resume(returned=lambda v, lr: 0 * v)),
        ("form", lambda checkpoint, *rest: checkpoint["kernel"]),
    ],
    "repair_early_stopping": [
        ("stops_and_restores", broken_early_stopping),
        ("last-weights", _repair(result=lambda epoch, best, weights: (epoch, weights[epoch - 1]))),
        ("penalised", _repair(losses=lambda val_loss, penalty: val_loss)),
        ("from-zero", _repair(result=lambda epoch, best, weights: (epoch - 1, weights[best - 1]))),
        ("one-late", _repair(late=1)),
        ("one-early", _repair(late=-1)),
        ("counts-rises", _repair(reset=False, count=only_rises)),
        ("starts-at-one", _repair(
            start=1.0, result=lambda epoch, best, weights: (epoch, weights[best - 2]))),
        ("row-late", _repair(
            result=lambda epoch, best, weights: (epoch, weights[best % len(weights)]))),
        ("no-reset", _repair(reset=False)),
        ("equal-improves", _repair(improves=not_higher)),
        ("no-stop", _repair(late=100)),
        ("last-weights", _repair(at_the_end=lambda epoch, best, weights: (epoch, weights[-1]))),
        ("form", _repair(result=lambda epoch, best, weights: epoch)),
    ],
}  # fmt: skip
