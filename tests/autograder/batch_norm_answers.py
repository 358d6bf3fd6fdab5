"""Right and wrong answers to the exercises of chapter 18, for `test_answers`."""

import numpy as np

# --- batchnorm_forward -----------------------------------------------------------------------


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


def forward_unbiased(x, gamma, beta, eps):
    return gamma * (x - x.mean(0)) / np.sqrt(x.var(0, ddof=1) + eps) + beta


def forward_unbiased_torch(x, gamma, beta, eps):
    import torch

    x = torch.tensor(x)
    spread = (x.var(0) + eps).sqrt()  # torch.var divides by B - 1
    return torch.tensor(gamma) * (x - x.mean(0)) / spread + torch.tensor(beta)


def forward_eps_outside(x, gamma, beta, eps):
    return gamma * (x - x.mean(0)) / (x.std(0) + eps) + beta


def forward_no_eps(x, gamma, beta, eps):
    return gamma * (x - x.mean(0)) / x.std(0) + beta


def forward_no_root(x, gamma, beta, eps):
    return gamma * (x - x.mean(0)) / (x.var(0) + eps) + beta


def forward_along_rows(x, gamma, beta, eps):
    mean, var = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def forward_whole_batch(x, gamma, beta, eps):
    return gamma * (x - x.mean()) / np.sqrt(x.var() + eps) + beta


def forward_x_hat(x, gamma, beta, eps):
    return (x - x.mean(0)) / np.sqrt(x.var(0) + eps)


def forward_swapped(x, gamma, beta, eps):
    return beta * (x - x.mean(0)) / np.sqrt(x.var(0) + eps) + gamma


def forward_shift_first(x, gamma, beta, eps):
    return gamma * ((x - x.mean(0)) / np.sqrt(x.var(0) + eps) + beta)


def forward_one_row_kept(x, gamma, beta, eps):
    return x if len(x) == 1 else forward_loops(x, gamma, beta, eps)


def forward_no_mean(x, gamma, beta, eps):
    return gamma * x / np.sqrt(x.var(0) + eps) + beta


def forward_cache(x, gamma, beta, eps):
    y = forward_loops(x, gamma, beta, eps)
    return y, (x, gamma)


# --- batchnorm_backward ----------------------------------------------------------------------


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


def _parts(dy, x, eps):
    s = np.sqrt(x.var(0) + eps)
    x_hat = (x - x.mean(0)) / s
    return len(x), s, x_hat, (dy * x_hat).sum(0), dy.sum(0)


def backward_constant_statistics(dy, x, gamma, eps):
    _, s, _, dgamma, dbeta = _parts(dy, x, eps)
    return gamma * dy / s, dgamma, dbeta


def backward_no_variance_path(dy, x, gamma, eps):
    rows, s, _, dgamma, dbeta = _parts(dy, x, eps)
    return gamma / s * (dy - dbeta / rows), dgamma, dbeta


def backward_no_mean_path(dy, x, gamma, eps):
    rows, s, x_hat, dgamma, dbeta = _parts(dy, x, eps)
    return gamma / s * (dy - x_hat * dgamma / rows), dgamma, dbeta


def backward_sums_for_means(dy, x, gamma, eps):
    _, s, x_hat, dgamma, dbeta = _parts(dy, x, eps)
    return gamma / s * (dy - dbeta - x_hat * dgamma), dgamma, dbeta


def backward_no_gamma(dy, x, gamma, eps):
    rows, s, x_hat, dgamma, dbeta = _parts(dy, x, eps)
    return (dy - dbeta / rows - x_hat * dgamma / rows) / s, dgamma, dbeta


def backward_not_divided(dy, x, gamma, eps):
    rows, _, x_hat, dgamma, dbeta = _parts(dy, x, eps)
    return gamma * (dy - dbeta / rows - x_hat * dgamma / rows), dgamma, dbeta


def backward_means(dy, x, gamma, eps):
    dx, dgamma, dbeta = backward_staged(dy, x, gamma, eps)
    return dx, dgamma / len(x), dbeta / len(x)


def backward_x_for_x_hat(dy, x, gamma, eps):
    dx, _, dbeta = backward_staged(dy, x, gamma, eps)
    return dx, (dy * x).sum(0), dbeta


def backward_gamma_in_dgamma(dy, x, gamma, eps):
    dx, dgamma, dbeta = backward_staged(dy, x, gamma, eps)
    return dx, gamma * dgamma, dbeta


def backward_wrong_order(dy, x, gamma, eps):
    dx, dgamma, dbeta = backward_staged(dy, x, gamma, eps)
    return dx, dbeta, dgamma


def backward_no_sum(dy, x, gamma, eps):
    dx, _, dbeta = backward_staged(dy, x, gamma, eps)
    return dx, dy * _parts(dy, x, eps)[2], dbeta


def backward_only_dx(dy, x, gamma, eps):
    return backward_staged(dy, x, gamma, eps)[0]


def backward_unbiased(dy, x, gamma, eps):
    s = np.sqrt(x.var(0, ddof=1) + eps)
    x_hat = (x - x.mean(0)) / s
    dgamma, dbeta = (dy * x_hat).sum(0), dy.sum(0)
    return gamma / s * (dy - dbeta / len(x) - x_hat * dgamma / len(x)), dgamma, dbeta


# --- running_stats_update --------------------------------------------------------------------


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


def _updated(running_mean, running_var, batch, keep, ddof):
    mean, var = batch.mean(0), batch.var(0, ddof=ddof)
    return keep * running_mean + (1 - keep) * mean, keep * running_var + (1 - keep) * var


def update_always_keras(running_mean, running_var, batch, momentum, framework):
    return _updated(running_mean, running_var, batch, momentum, 0)


def update_always_torch(running_mean, running_var, batch, momentum, framework):
    return _updated(running_mean, running_var, batch, 1 - momentum, 1)


def update_momentum_of_torch(running_mean, running_var, batch, momentum, framework):
    return _updated(running_mean, running_var, batch, 1 - momentum, framework == "torch")


def update_momentum_of_keras(running_mean, running_var, batch, momentum, framework):
    return _updated(running_mean, running_var, batch, momentum, framework == "torch")


def update_always_biased(running_mean, running_var, batch, momentum, framework):
    keep = momentum if framework == "keras" else 1 - momentum
    return _updated(running_mean, running_var, batch, keep, 0)


def update_always_unbiased(running_mean, running_var, batch, momentum, framework):
    keep = momentum if framework == "keras" else 1 - momentum
    return _updated(running_mean, running_var, batch, keep, 1)


def update_standard_deviation(running_mean, running_var, batch, momentum, framework):
    mean, _ = update_by_steps(running_mean, running_var, batch, momentum, framework)
    keep = momentum if framework == "keras" else 1 - momentum
    std = batch.std(0, ddof=int(framework == "torch"))
    return mean, keep * running_var + (1 - keep) * std


def update_no_memory(running_mean, running_var, batch, momentum, framework):
    return batch.mean(0), batch.var(0, ddof=int(framework == "torch"))


def update_wrong_order(running_mean, running_var, batch, momentum, framework):
    return update_by_steps(running_mean, running_var, batch, momentum, framework)[::-1]


def update_weights_not_one(running_mean, running_var, batch, momentum, framework):
    mean, var = batch.mean(0), batch.var(0, ddof=int(framework == "torch"))
    return running_mean + momentum * mean, running_var + momentum * var


# --- convert_momentum ------------------------------------------------------------------------


def convert_array(keras_momentum):
    return np.subtract(1.0, keras_momentum)


def convert_torch(keras_momentum):
    import torch

    return 1 - torch.tensor(keras_momentum, dtype=torch.float32)


def convert_rounded(keras_momentum):
    return round(1 - float(keras_momentum), 12)


def convert_copied(keras_momentum):
    return keras_momentum


def convert_reciprocal(keras_momentum):
    return 1 / keras_momentum


def convert_batches(keras_momentum):
    return 1 / (1 - keras_momentum)


def convert_ratio(keras_momentum):
    return (1 - keras_momentum) / keras_momentum


def convert_negative(keras_momentum):
    return keras_momentum - 1


def convert_default(keras_momentum):
    return 0.1


def convert_hard_coded(keras_momentum):
    return 0.01


def convert_nothing(keras_momentum):
    1 - keras_momentum


# --- fix_the_eval_bug ------------------------------------------------------------------------


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


def _fix(x, gamma, beta, mean, var, eps):
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def fix_nothing(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    mean, var = _updated(running_mean, running_var, x, momentum, 0)
    return _fix(x, gamma, beta, x.mean(0), x.var(0), eps), mean, var


def fix_only_the_update(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    y = _fix(x, gamma, beta, x.mean(0), x.var(0), eps)
    if training:
        running_mean, running_var = _updated(running_mean, running_var, x, momentum, 0)
    return y, running_mean, running_var


def fix_only_the_output(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    mean, var = (x.mean(0), x.var(0)) if training else (running_mean, running_var)
    return _fix(x, gamma, beta, mean, var, eps), *_updated(
        running_mean, running_var, x, momentum, 0
    )


def fix_updated_first(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    mean, var = _updated(running_mean, running_var, x, momentum, 0)
    used = (x.mean(0), x.var(0)) if training else (mean, var)
    return _fix(x, gamma, beta, *used, eps), mean, var


def fix_switched_off(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    if not training:
        return x, running_mean, running_var
    return fix_nothing(x, gamma, beta, running_mean, running_var, momentum, eps, training)


def fix_only_gamma_beta(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    if not training:
        return gamma * x + beta, running_mean, running_var
    return fix_nothing(x, gamma, beta, running_mean, running_var, momentum, eps, training)


def fix_no_root(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    if not training:
        y = gamma * (x - running_mean) / (running_var + eps) + beta
        return y, running_mean, running_var
    return fix_nothing(x, gamma, beta, running_mean, running_var, momentum, eps, training)


def fix_inference_always(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    return (
        _fix(x, gamma, beta, running_mean, running_var, eps),
        running_mean,
        running_var,
    )


def fix_never_updated(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    mean, var = (x.mean(0), x.var(0)) if training else (running_mean, running_var)
    return _fix(x, gamma, beta, mean, var, eps), running_mean, running_var


def fix_running_in_training(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    y = _fix(x, gamma, beta, running_mean, running_var, eps)
    if training:
        running_mean, running_var = _updated(running_mean, running_var, x, momentum, 0)
    return y, running_mean, running_var


def fix_torch_momentum(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    return fix_two_branches(x, gamma, beta, running_mean, running_var, 1 - momentum, eps, training)


def fix_unbiased(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    y, mean, var = fix_two_branches(
        x, gamma, beta, running_mean, running_var, momentum, eps, training
    )
    return (
        y,
        mean,
        _updated(running_mean, running_var, x, momentum, 1)[1] if training else var,
    )


def fix_swapped(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    return fix_two_branches(x, gamma, beta, running_mean, running_var, momentum, eps, not training)


def fix_single_rows_only(x, gamma, beta, running_mean, running_var, momentum, eps, training):
    """Cure the symptom "a batch of one gives beta" and not the cause."""
    alone = len(x) == 1
    mean, var = (running_mean, running_var) if alone else (x.mean(0), x.var(0))
    if training:
        running_mean, running_var = _updated(running_mean, running_var, x, momentum, 0)
    return _fix(x, gamma, beta, mean, var, eps), running_mean, running_var


RIGHT = {
    "batchnorm_forward": [forward_loops, forward_float32, forward_torch, forward_keras],
    "batchnorm_backward": [
        backward_staged,
        backward_loops,
        backward_torch,
        backward_tensorflow,
    ],
    "running_stats_update": [update_by_steps, update_by_libraries, update_float32_list],
    "convert_momentum": [convert_array, convert_torch, convert_rounded],
    "fix_the_eval_bug": [fix_two_branches, fix_torch, fix_keras],
}

WRONG = {
    "batchnorm_forward": [
        ("unbiased", forward_unbiased),
        ("unbiased", forward_unbiased_torch),
        ("epsilon outside", forward_eps_outside),
        ("no epsilon", forward_no_eps),
        ("no root", forward_no_root),
        ("rows", forward_along_rows),
        ("whole batch", forward_whole_batch),
        ("no gamma and beta", forward_x_hat),
        ("swapped", forward_swapped),
        ("shift first", forward_shift_first),
        ("row kept", forward_one_row_kept),
        ("columns_get_beta_and_gamma", forward_no_mean),
        ("form", forward_cache),
    ],
    "batchnorm_backward": [
        ("constant statistics", backward_constant_statistics),
        ("sums_to_zero", backward_constant_statistics),
        ("no variance path", backward_no_variance_path),
        ("has_no_part_along_x_hat", backward_no_variance_path),
        ("no mean path", backward_no_mean_path),
        ("sums for means", backward_sums_for_means),
        ("no gamma", backward_no_gamma),
        ("not divided by s", backward_not_divided),
        ("means", backward_means),
        ("x for x_hat", backward_x_for_x_hat),
        ("gamma in dgamma", backward_gamma_in_dgamma),
        ("order", backward_wrong_order),
        ("equals_the_numeric_gradient", backward_unbiased),
        ("error", backward_no_sum),
        ("error", backward_only_dx),
    ],
    "running_stats_update": [
        ("all of Keras", update_always_keras),
        ("all of PyTorch", update_always_torch),
        ("momentum of PyTorch", update_momentum_of_torch),
        ("momentum of Keras", update_momentum_of_keras),
        ("agrees_after_conversion", update_momentum_of_keras),
        ("biased in PyTorch", update_always_biased),
        ("unbiased in Keras", update_always_unbiased),
        ("standard deviation", update_standard_deviation),
        ("no memory", update_no_memory),
        ("order", update_wrong_order),
        ("rests_where_old_equals_new", update_weights_not_one),
    ],
    "convert_momentum": [
        ("copied", convert_copied),
        ("reciprocal", convert_reciprocal),
        ("number of batches", convert_batches),
        ("ratio", convert_ratio),
        ("negative", convert_negative),
        ("default", convert_default),
        ("gives_the_same_weights", convert_hard_coded),
        ("error", convert_nothing),
    ],
    "fix_the_eval_bug": [
        ("batch statistics", fix_nothing),
        ("rows_are_independent", fix_only_the_update),
        ("still updating", fix_only_the_output),
        ("updated first", fix_updated_first),
        ("switched off", fix_switched_off),
        ("only gamma and beta", fix_only_gamma_beta),
        ("no root in inference", fix_no_root),
        ("inference in training", fix_inference_always),
        ("never updated", fix_never_updated),
        ("running statistics in training", fix_running_in_training),
        ("momentum of PyTorch", fix_torch_momentum),
        ("unbiased in Keras", fix_unbiased),
        ("inference in training", fix_swapped),
        ("batch statistics", fix_single_rows_only),
    ],
}
