"""Right and wrong answers to the exercises of chapter 13, for `test_answers`."""

import copy

import numpy as np


def keras_stops(losses, weights, **options):
    """Feed the losses to Keras's callback; return (epochs trained, callback, last weights)."""
    import keras

    class Model:
        stop_training = False

        def get_weights(self):
            return self.weights

        def set_weights(self, weights):
            self.weights = weights

    model, callback = Model(), keras.callbacks.EarlyStopping(restore_best_weights=True, **options)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        model.set_weights(weights[epoch])
        callback.on_epoch_end(epoch, {"val_loss": float(loss)})
        if model.stop_training:
            break
    callback.on_train_end()
    return epoch + 1, callback, model.get_weights()


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
    epoch, callback, _ = keras_stops(losses, losses, patience=patience, min_delta=min_delta)
    return epoch, callback.best


def stop_below_1000(losses, patience, min_delta):
    """Start the best value at a number that is large, but not infinite."""
    best, best_at = 1000.0, 0
    for epoch, loss in enumerate(losses, 1):
        if loss + min_delta < best:
            best, best_at = loss, epoch
        elif epoch - best_at >= patience:
            break
    return epoch, best


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


def best_keras(losses, weights, min_delta, start_from_epoch):
    options = {"min_delta": min_delta, "start_from_epoch": start_from_epoch}
    epochs, callback, kept = keras_stops(losses, weights, patience=len(losses), **options)
    return (epochs if start_from_epoch >= epochs else callback.best_epoch + 1), kept


def best_in_place(losses, weights, min_delta, start_from_epoch):
    losses[:start_from_epoch] = np.inf
    return best_torch(losses, weights, min_delta, 0)


def best_below_1000(losses, weights, min_delta, start_from_epoch):
    best, kept = 1000.0, len(losses)
    for epoch, loss in enumerate(losses, 1):
        if epoch > start_from_epoch and loss + min_delta < best:
            best, kept = loss, epoch
    return kept, weights[kept - 1]


def best_after_the_start(losses, weights, min_delta, start_from_epoch):
    """Foresee a start at the last epoch, but not after it."""
    if start_from_epoch == len(losses):
        return len(losses), weights[-1]
    best, kept = losses[start_from_epoch], start_from_epoch
    for epoch in range(start_from_epoch, len(losses)):
        if losses[epoch] + min_delta < best:
            best, kept = losses[epoch], epoch
    return kept + 1, weights[kept]


def best_argmin(losses, weights, min_delta, start_from_epoch):
    if start_from_epoch >= len(losses):
        return len(losses), weights[-1]
    kept = start_from_epoch + int(np.argmin(losses[start_from_epoch:]))
    return kept + 1, weights[kept]


def resume_in_place(checkpoint, x, y, order, lr, momentum):
    for rows in order[int(checkpoint["step"]) :]:
        z = x[rows] @ checkpoint["kernel"] + checkpoint["bias"]
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(rows)), y[rows]] -= 1
        p /= len(rows)
        for name, gradient in zip(("kernel", "bias"), (x[rows].T @ p, p.sum(axis=0)), strict=True):
            velocity = checkpoint[f"{name}_velocity"]
            velocity *= momentum
            velocity += gradient
            checkpoint[name] -= lr * velocity
    return checkpoint | {"step": len(order)}


def resume_numpy(checkpoint, *rest):
    return resume_in_place(copy.deepcopy(checkpoint), *rest)


def resume_shallow(checkpoint, *rest):
    """Copy the dict and not its arrays."""
    return resume_in_place(checkpoint.copy(), *rest)


def resume_batches_of_8(checkpoint, x, y, order, lr, momentum):
    """Divide by the batch size that one of the checks has."""
    kernel, bias = checkpoint["kernel"], checkpoint["bias"]
    kernel_velocity, bias_velocity = checkpoint["kernel_velocity"], checkpoint["bias_velocity"]
    for rows in order[int(checkpoint["step"]) :]:
        p = np.exp(x[rows] @ kernel + bias)
        d = (p / p.sum(axis=1, keepdims=True) - np.eye(len(bias))[y[rows]]) / 8
        kernel_velocity = momentum * kernel_velocity + x[rows].T @ d
        bias_velocity = momentum * bias_velocity + d.sum(axis=0)
        kernel, bias = kernel - lr * kernel_velocity, bias - lr * bias_velocity
    return {
        "kernel": kernel,
        "bias": bias,
        "kernel_velocity": kernel_velocity,
        "bias_velocity": bias_velocity,
        "step": len(order),
    }


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


def repair_keras(val_loss, penalty, weights, patience):
    epoch, _, kept = keras_stops(val_loss - penalty, weights, patience=patience)
    return epoch, kept


def repair_in_place(val_loss, penalty, weights, patience):
    val_loss -= penalty
    return repair_counter(val_loss, 0 * penalty, weights, patience)


def repair_below_100(val_loss, penalty, weights, patience):
    best, best_epoch = 100.0, 1
    for epoch, loss in enumerate(val_loss - penalty, 1):
        if loss < best:
            best, best_epoch = loss, epoch
        elif epoch - best_epoch >= patience:
            break
    return epoch, weights[best_epoch - 1]


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


RIGHT = {
    "early_stopping_epoch": [stop_counter, stop_recursive, stop_torch, stop_keras],
    "best_epoch": [best_torch, best_float32, best_keras],
    "resume_training": [resume_numpy, resume_keras, resume_autograd],
    "repair_early_stopping": [repair_counter, repair_torch, repair_keras],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "early_stopping_epoch": [
        ("form", lambda losses, patience, min_delta: stop_counter(losses, patience, min_delta)[0]),
        ("error", lambda losses, patience, min_delta: None),
        ("starts_at_infinity", stop_below_1000),
    ],
    "best_epoch": [
        ("minimum", best_argmin),
        ("last", best_below_1000),
        ("error", best_after_the_start),
        ("changes its input", best_in_place),
        ("form", lambda losses, weights, *rest: best_torch(losses, weights, *rest)[0]),
    ],
    "resume_training": [
        ("changes its input", resume_in_place),
        ("changes its input", resume_shallow),
        ("can_resume_twice", resume_batches_of_8),
        ("form", lambda checkpoint, *rest: checkpoint["kernel"]),
    ],
    "repair_early_stopping": [
        ("stops_and_restores", broken_early_stopping),
        ("stops_and_restores", repair_below_100),
        ("changes its input", repair_in_place),
        ("form", lambda *arguments: repair_counter(*arguments)[0]),
    ],
}
