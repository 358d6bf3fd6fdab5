"""Right and wrong answers to the exercises of chapter 07, for `test_answers`."""

import numpy as np


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
    stepper = torch.optim.AdamW(
        [p], lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay
    )
    stepper.state[p] = {
        "step": torch.tensor(float(t - 1)),
        "exp_avg": torch.tensor(m),
        "exp_avg_sq": torch.tensor(v),
    }
    stepper.step()
    return p, stepper.state[p]["exp_avg"], stepper.state[p]["exp_avg_sq"]


def adamw_list(*arguments, **options):
    return list(adamw_numpy(*arguments, **options))


def _adamw(
    decay=lambda w, lr, wd: lr * wd * w,
    update=None,
    gradient=lambda g, w, wd: g,
    result=lambda w, m, v: (w, m, v),
):
    """Make a variant of AdamW with one part replaced."""

    def step(w, grad, m, v, t, lr, weight_decay, beta1=0.9, beta2=0.999, eps=1e-8):
        grad = gradient(grad, w, weight_decay)
        m = beta1 * m + (1 - beta1) * grad
        v = beta2 * v + (1 - beta2) * grad**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        change = update or (lambda m, v, m_hat, v_hat, eps: m_hat / (np.sqrt(v_hat) + eps))
        moved = w - decay(w, lr, weight_decay) - lr * change(m, v, m_hat, v_hat, eps)
        return result(moved, m, v)

    return step


def adamw_decay_after(w, grad, m, v, t, lr, weight_decay, *rest):
    w, m, v = adamw_numpy(w, grad, m, v, t, lr, 0.0, *rest)
    return w * (1 - lr * weight_decay), m, v


def adamw_late(w, grad, m, v, t, lr, weight_decay, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    m_hat, v_hat = m / (1 - beta1 ** (t + 1)), v / (1 - beta2 ** (t + 1))
    return w - lr * weight_decay * w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


def adamw_returns_corrected(w, grad, m, v, t, lr, wd, beta1=0.9, beta2=0.999, eps=1e-8):
    w, m, v = adamw_numpy(w, grad, m, v, t, lr, wd, beta1, beta2, eps)
    return w, m / (1 - beta1**t), v / (1 - beta2**t)


def _torch_model(decay, relu=True, outputs=None, hidden_bias=True):
    """Make a builder; decay(lam, kernels, biases) gives the parameter groups."""

    def build(n_inputs, n_hidden, n_classes, lam, lr):
        import torch
        from torch import nn

        layers = [nn.Linear(n_inputs, n_hidden, bias=hidden_bias)]
        layers += [nn.ReLU()] if relu else []
        layers += [nn.Linear(n_hidden, outputs or n_classes)]
        model = nn.Sequential(*layers)
        kernels = [p for n, p in model.named_parameters() if n.endswith("weight")]
        biases = [p for n, p in model.named_parameters() if n.endswith("bias")]
        return model, torch.optim.SGD(decay(lam, kernels, biases), lr=lr)

    return build


def groups(lam, kernels, biases):
    return [{"params": kernels, "weight_decay": 2 * lam}, {"params": biases}]


def _keras_model(kernel=True, bias=False, last=True, activation="relu", optimizer="SGD"):
    def build(n_inputs, n_hidden, n_classes, lam, lr):
        import keras

        l2 = keras.regularizers.l2
        model = keras.Sequential(
            [
                keras.Input((n_inputs,)),
                keras.layers.Dense(
                    n_hidden,
                    activation=activation,
                    kernel_regularizer=l2(lam) if kernel else None,
                    bias_regularizer=l2(lam) if bias else None,
                ),
                keras.layers.Dense(
                    n_classes,
                    kernel_regularizer=l2(lam) if kernel and last else None,
                    bias_regularizer=l2(lam) if bias else None,
                ),
            ]
        )
        model.compile(
            getattr(keras.optimizers, optimizer)(lr),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        return model

    return build


def keras_activity(n_inputs, n_hidden, n_classes, lam, lr):
    import keras

    model = keras.Sequential(
        [
            keras.Input((n_inputs,)),
            keras.layers.Dense(
                n_hidden, activation="relu", activity_regularizer=keras.regularizers.l2(lam)
            ),
            keras.layers.Dense(n_classes, activity_regularizer=keras.regularizers.l2(lam)),
        ]
    )
    model.compile(
        keras.optimizers.SGD(lr), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


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
    return model, torch.optim.SGD(
        [
            {"params": [p], "weight_decay": 2 * lam if p.ndim > 1 else 0.0}
            for p in model.parameters()
        ],
        lr=lr,
    )


RIGHT = {
    "l2_penalty": [penalty_loop, penalty_torch, penalty_keras, penalty_float32],
    "l2_gradient_step": [step_loop, step_in_place, step_torch],
    "adamw_step": [adamw_numpy, adamw_torch, adamw_list],
    "convert_keras_l2_to_torch_weight_decay": [
        lambda l2: l2 + l2,
        lambda l2: np.multiply(2, l2, dtype=np.float32),
        lambda l2: __import__("torch").as_tensor(l2) * 2,
    ],
    "build_regularized_model": [torch_class, _torch_model(groups), _keras_model(), keras_softmax],
}

WRONG = {
    "l2_penalty": [
        ("norm", lambda weights, lam: lam * np.sqrt(sum((w**2).sum() for w in weights))),
        ("norms", lambda weights, lam: lam * sum(np.linalg.norm(w) for w in weights)),
        ("halved", lambda weights, lam: lam / 2 * sum((w**2).sum() for w in weights)),
        ("absolute", lambda weights, lam: lam * sum(np.abs(w).sum() for w in weights)),
        ("mean", lambda weights, lam: lam * sum((w**2).mean() for w in weights)),
        ("first-only", lambda weights, lam: lam * (weights[0] ** 2).sum()),
        ("last-only", lambda weights, lam: [lam * (w**2).sum() for w in weights][-1]),
        ("no-strength", lambda weights, lam: sum((w**2).sum() for w in weights)),
        ("square-of-sum", lambda weights, lam: lam * sum(w.sum() ** 2 for w in weights)),
        ("grows_with_the_square", lambda weights, lam: 0.0),
        ("form", lambda weights, lam: [lam * (w**2).sum() for w in weights]),
        ("form", lambda weights, lam: float("nan")),
        ("form", lambda weights, lam: "7"),
        ("error", lambda weights, lam: None),
        ("error", lambda weights: 0.0),
        ("error", lambda weights, lam: 1 / 0),
    ],
    "l2_gradient_step": [
        ("factor-two", lambda w, grad, lr, lam: w - lr * (grad + lam * w)),
        ("unscaled-decay", lambda w, grad, lr, lam: w - lr * grad - 2 * lam * w),
        ("grows", lambda w, grad, lr, lam: w - lr * (grad - 2 * lam * w)),
        ("ascent", lambda w, grad, lr, lam: w + lr * (grad + 2 * lam * w)),
        ("no-penalty", lambda w, grad, lr, lam: w - lr * grad),
        ("scalar", lambda w, grad, lr, lam: w - lr * (grad + lam * (w**2).sum())),
        ("sign-only", lambda w, grad, lr, lam: w - lr * (grad + lam * np.sign(w))),
        ("shrinks_without_gradient", lambda w, grad, lr, lam: w - lr * (grad + 3 * lam * w)),
        ("form", lambda w, grad, lr, lam: (w - lr * (grad + 2 * lam * w)).ravel()),
    ],
    "adamw_step": [
        ("coupled", _adamw(decay=lambda w, lr, wd: 0, gradient=lambda g, w, wd: g + wd * w)),
        ("no-correction", _adamw(update=lambda m, v, mh, vh, eps: m / (np.sqrt(v) + eps))),
        ("late-step", adamw_late),
        ("unscaled-decay", _adamw(decay=lambda w, lr, wd: wd * w)),
        ("doubled-decay", _adamw(decay=lambda w, lr, wd: 2 * lr * wd * w)),
        ("decay-after", adamw_decay_after),
        ("eps-inside", _adamw(update=lambda m, v, mh, vh, eps: mh / np.sqrt(vh + eps))),
        ("no-decay", _adamw(decay=lambda w, lr, wd: 0)),
        ("no-root", _adamw(update=lambda m, v, mh, vh, eps: mh / (vh + eps))),
        ("swapped", _adamw(result=lambda w, m, v: (w, v, m))),
        ("corrected", adamw_returns_corrected),
        ("form", _adamw(result=lambda w, m, v: w)),
    ],
    "convert_keras_l2_to_torch_weight_decay": [
        ("same", lambda l2: l2),
        ("halved", lambda l2: l2 / 2),
        ("squared", lambda l2: l2**2),
        ("rooted", lambda l2: l2**0.5),
        ("quadrupled", lambda l2: 4 * l2),
        ("negative", lambda l2: -2 * l2),
        ("gives_the_same_step", lambda l2: 0.02),
        ("form", lambda l2: float(2 * np.max(l2))),
    ],
    "build_regularized_model": [
        ("half-and-biases", _torch_model(
            lambda lam, k, b: [{"params": k + b, "weight_decay": lam}])),
        ("biases", _torch_model(lambda lam, k, b: [{"params": k + b, "weight_decay": 2 * lam}])),
        ("half", _torch_model(
            lambda lam, k, b: [{"params": k, "weight_decay": lam}, {"params": b}])),
        ("double", _torch_model(
            lambda lam, k, b: [{"params": k, "weight_decay": 4 * lam}, {"params": b}])),
        ("last-only", _torch_model(
            lambda lam, k, b: [{"params": k[1:], "weight_decay": 2 * lam},
                               {"params": [*b, k[0]]}])),
        ("untrained", _torch_model(
            lambda lam, k, b: [{"params": k + b, "weight_decay": 2 * lam, "lr": 0.0}])),
        ("no-relu", _torch_model(groups, relu=False)),
        ("architecture", _torch_model(groups, outputs=1)),
        ("architecture", _torch_model(groups, hidden_bias=False)),
        ("no-penalty", _keras_model(kernel=False)),
        ("biases", _keras_model(bias=True)),
        ("first-only", _keras_model(last=False)),
        ("no-relu", _keras_model(activation=None)),
        ("trains_without_penalty", _keras_model(optimizer="Adam")),
        ("penalises_the_kernels", keras_activity),
        ("error", keras_uncompiled),
        ("error", lambda *sizes: _torch_model(groups)(*sizes)[0]),
    ],
}  # fmt: skip
