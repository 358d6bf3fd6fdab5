"""Right and wrong answers to the exercises of chapter 03, for `test_answers`."""

import numpy as np

QUESTION, STOP = "question the Bayes error", "stop"
BIAS, VARIANCE = "reduce bias", "reduce variance"


# --- right answers ---------------------------------------------------------------------------


def bayes_loop(p_y_given_x, p_x):
    error = 0.0
    for row, weight in zip(p_y_given_x, p_x, strict=True):
        error += float(weight) * (float(row.sum()) - float(row.max()))
    return error


def bayes_torch(p_y_given_x, p_x):
    import torch

    best = torch.tensor(p_y_given_x).max(dim=1).values
    return 1 - (torch.tensor(p_x) * best).sum()


def bayes_float32(p_y_given_x, p_x):
    joint = np.float32(p_y_given_x) * np.float32(p_x)[:, None]
    return joint.sum() - joint.max(axis=1).sum()


def decomposition_loop(predictions, targets):
    bias2 = variance = 0.0
    for column, target in zip(predictions.T, targets, strict=True):
        mean = sum(column) / len(column)
        bias2 += (mean - target) ** 2 / len(targets)
        variance += sum((value - mean) ** 2 for value in column) / column.size / len(targets)
    return bias2, variance


def decomposition_torch(predictions, targets):
    import torch

    p, t = torch.tensor(predictions), torch.tensor(targets)
    return [(p.mean(dim=0) - t).square().mean(), p.var(dim=0, correction=0).mean()]


def decomposition_keras(predictions, targets):
    import keras

    mean, variance = keras.ops.moments(np.float32(predictions), axes=0)
    return keras.ops.mean(keras.ops.square(mean - np.float32(targets))), keras.ops.mean(variance)


def step_nested(train_err, dev_err, bayes_err):
    bias, variance = train_err - bayes_err, dev_err - train_err
    if bias + variance < 0:
        return QUESTION
    gap, text = max((bias, BIAS), (variance, VARIANCE))
    return text if gap >= 0.02 else STOP


def step_numpy_text(train_err, dev_err, bayes_err):
    gaps = np.array([train_err - bayes_err, dev_err - train_err])
    if gaps.sum() < 0:
        return np.str_(QUESTION)
    return np.array([BIAS, VARIANCE])[gaps.argmax()] if gaps.max() > 0.02 else STOP


def curve_python_random(fit_score, X, y, sizes, seed):
    import random

    order = list(range(len(X)))
    random.Random(seed).shuffle(order)
    scores = np.zeros(len(sizes))
    for i, size in enumerate(sizes):
        scores[i] = fit_score(X[order[:size]], y[order[:size]])
    return scores


def curve_torch(fit_score, X, y, sizes, seed):
    import torch

    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed)).numpy()
    return torch.tensor([float(fit_score(X[order[-n:]], y[order[-n:]])) for n in sizes])


def curve_sort(fit_score, X, y, sizes, seed):
    """Shuffle by sorting random numbers, and train on the sizes in ascending order."""
    order = np.argsort(np.random.RandomState(seed).uniform(size=len(X)))
    X, y = X[order], y[order]
    scores = {size: fit_score(X[:size], y[:size]) for size in sorted(sizes)}
    return np.float32([scores[size] for size in sizes])


def network_numpy(x, y, x_new, weights, lam, lr, steps):
    w1, b1, w2, b2 = (np.array(w, np.float64) for w in weights)
    w1, w2 = w1[0], w2[:, 0]
    for _ in range(steps):
        h = np.tanh(np.outer(x, w1) + b1)
        d = 2 * (h @ w2 + b2[0] - y) / len(x)
        dh = np.outer(d, w2) * (1 - h**2)
        g1, c1, g2, c2 = x @ dh, dh.sum(axis=0), h.T @ d, d.sum()
        w1, b1 = w1 - lr * (g1 + 2 * lam * w1), b1 - lr * c1
        w2, b2 = w2 - lr * (g2 + 2 * lam * w2), b2 - lr * c2
    return np.tanh(np.outer(x_new, w1) + b1) @ w2 + b2[0]


def network_keras(x, y, x_new, weights, lam, lr, steps):
    import keras

    l2 = keras.regularizers.l2(lam)
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(weights[0].shape[1], "tanh", kernel_regularizer=l2),
            keras.layers.Dense(1, kernel_regularizer=l2),
        ]
    )
    model.set_weights(weights)
    model.compile(keras.optimizers.SGD(lr), "mse", run_eagerly=True)
    for _ in range(steps):
        model.train_on_batch(x[:, None], y[:, None])
    return model(x_new[:, None])[:, 0]


def _torch_network(
    *,
    loss=None,
    penalty=2.0,
    biases=0.0,
    zero=True,
    tanh=True,
    out_tanh=False,
    column=False,
    steps_off=0,
    predict_train=False,
    step=True,
    targets=lambda y: y[:, None],
):
    """Make a PyTorch variant with one part replaced; as it stands, it is right."""

    def solve(x, y, x_new, weights, lam, lr, steps):
        import torch
        from torch import nn

        torch_x, torch_new = (torch.tensor(v, dtype=torch.float32)[:, None] for v in (x, x_new))
        torch_y = targets(torch.tensor(y, dtype=torch.float32))
        hidden = nn.Linear(1, weights[0].shape[1])
        layers = [hidden, *([nn.Tanh()] if tanh else []), nn.Linear(weights[0].shape[1], 1)]
        model = nn.Sequential(*layers, *([nn.Tanh()] if out_tanh else []))
        with torch.no_grad():
            for p, w in zip(model.parameters(), weights, strict=True):
                p.copy_(torch.tensor(w.T))
        kernels, others = [hidden.weight, layers[-1].weight], [hidden.bias, layers[-1].bias]
        optimizer = torch.optim.SGD(
            [
                {"params": kernels, "weight_decay": penalty * lam},
                {"params": others, "weight_decay": biases * lam},
            ],
            lr=lr,
        )
        for _ in range(max(0, steps + (steps_off if steps else 0))):
            if zero:
                optimizer.zero_grad()
            squares = (model(torch_x) - torch_y) ** 2
            (loss or torch.mean)(squares).backward()
            if step:
                optimizer.step()
        out = model(torch_x if predict_train else torch_new)
        return out if column else out[:, 0]

    return solve


def network_accumulates(x, y, x_new, weights, lam, lr, steps):
    import torch

    x, y, x_new = (torch.tensor(v, dtype=torch.float32)[:, None] for v in (x, y, x_new))
    weights = [torch.tensor(w, dtype=torch.float32, requires_grad=True) for w in weights]
    w1, b1, w2, b2 = weights

    def network(inputs):
        return torch.tanh(inputs @ w1 + b1) @ w2 + b2

    for _ in range(steps):
        loss = ((network(x) - y) ** 2).mean() + lam * ((w1**2).sum() + (w2**2).sum())
        loss.backward()
        with torch.no_grad():
            for w in weights:
                w -= lr * w.grad
    return network(x_new)[:, 0]


# --- wrong answers ---------------------------------------------------------------------------


def _step(bias=lambda t, d, b: t - b, variance=lambda t, d, b: d - t, tol=0.02, question=True):
    def next_step(train_err, dev_err, bayes_err):
        gaps = bias(train_err, dev_err, bayes_err), variance(train_err, dev_err, bayes_err)
        if question and dev_err < bayes_err:
            return QUESTION
        if max(gaps) < tol:
            return STOP
        return BIAS if gaps[0] > gaps[1] else VARIANCE

    return next_step


def step_bias_first(train_err, dev_err, bayes_err):
    if dev_err < bayes_err:
        return QUESTION
    if train_err - bayes_err >= 0.02:
        return BIAS
    return VARIANCE if dev_err - train_err >= 0.02 else STOP


def step_variance_first(train_err, dev_err, bayes_err):
    if dev_err < bayes_err:
        return QUESTION
    if dev_err - train_err >= 0.02:
        return VARIANCE
    return BIAS if train_err - bayes_err >= 0.02 else STOP


def step_smaller(train_err, dev_err, bayes_err):
    text = step_nested(train_err, dev_err, bayes_err)
    if text in (BIAS, VARIANCE):
        return VARIANCE if train_err - bayes_err > dev_err - train_err else BIAS
    return text


def step_train_beats(train_err, dev_err, bayes_err):
    return QUESTION if train_err < bayes_err else step_nested(train_err, dev_err, bayes_err)


def _curve(order=None, take=lambda order, size: order[:size], result=lambda s, sizes: s):
    """Make a variant of the learning curve with one part replaced."""

    def learning_curve(fit_score, X, y, sizes, seed):
        rows = order(len(X), seed) if order else np.random.default_rng(seed).permutation(len(X))
        scores = [fit_score(X[take(rows, n)], y[take(rows, n)]) for n in sizes]
        return result(np.array(scores), sizes)

    return learning_curve


def curve_torn(fit_score, X, y, sizes, seed):
    rng = np.random.default_rng(seed)
    X, y = rng.permutation(X), rng.permutation(y)
    return [fit_score(X[:size], y[:size]) for size in sizes]


def curve_replacement(fit_score, X, y, sizes, seed):
    rows = np.random.default_rng(seed).integers(0, len(X), size=len(X))
    return [fit_score(X[rows[:size]], y[rows[:size]]) for size in sizes]


def curve_fresh(fit_score, X, y, sizes, seed):
    rng = np.random.default_rng(seed)
    scores = []
    for size in sizes:
        rows = rng.choice(len(X), size=size, replace=False)
        scores.append(fit_score(X[rows], y[rows]))
    return scores


def curve_of_percent(fit_score, X, y, sizes, seed):
    order = np.random.default_rng(seed).permutation(len(X))
    counts = [max(1, len(X) * size // 100) for size in sizes]
    return [fit_score(X[order[:n]], y[order[:n]]) for n in counts]


def curve_repeats(fit_score, X, y, sizes, seed):
    order = np.random.default_rng(seed).permutation(len(X))
    return [np.mean([fit_score(X[order[:n]], y[order[:n]]) for _ in range(3)]) for n in sizes]


def curve_half(fit_score, X, y, sizes, seed):
    """Shuffle only the first 25 rows to the front: the rest are hardly ever drawn."""
    order = np.random.default_rng(seed).permutation(25)
    order = np.concatenate([order, np.arange(25, len(X))])
    return [fit_score(X[order[:n]], y[order[:n]]) for n in sizes]


def _entropy(p, p_x):
    return -(p_x * (p * np.log(np.maximum(p, 1e-300))).sum(axis=1)).sum()


def _bias2(p, t):
    return ((p.mean(axis=0) - t) ** 2).mean()


RIGHT = {
    "bayes_error": [bayes_loop, bayes_torch, bayes_float32],
    "bias_variance_decomposition": [decomposition_loop, decomposition_torch, decomposition_keras],
    "next_step": [step_nested, step_numpy_text],
    "learning_curve": [curve_python_random, curve_torch, curve_sort],
    "train_and_predict": [network_numpy, network_keras, _torch_network()],
}

WRONG = {
    "bayes_error": [
        ("accuracy", lambda p, p_x: p_x @ p.max(axis=1)),
        ("unweighted", lambda p, p_x: 1 - p.max(axis=1).mean()),
        ("majority", lambda p, p_x: 1 - (p_x @ p).max()),
        ("least probable", lambda p, p_x: p_x @ p.min(axis=1)),
        ("guessing", lambda p, p_x: 1 - p_x @ (p**2).sum(axis=1)),
        ("entropy", _entropy),
        ("worst input", lambda p, p_x: 1 - p.max(axis=1).min()),
        ("across inputs", lambda p, p_x: 1 - p.max(axis=0).mean()),
        ("is_chance_when_x_says_nothing", lambda p, p_x: 0.0),
        ("form", lambda p, p_x: 1 - p_x * p.max(axis=1)),
        ("error", lambda p: 1 - p.max(axis=1).mean()),
    ],
    "bias_variance_decomposition": [
        ("swapped", lambda p, t: decomposition_loop(p, t)[::-1]),
        ("unbiased variance", lambda p, t: (_bias2(p, t), p.var(axis=0, ddof=1).mean())),
        ("bias not squared", lambda p, t: ((p.mean(axis=0) - t).mean(), p.var(axis=0).mean())),
        ("averaged too early", lambda p, t: ((p - t).mean() ** 2, p.var(axis=0).mean())),
        ("absolute bias", lambda p, t: (abs(p.mean(axis=0) - t).mean(), p.var(axis=0).mean())),
        ("error as bias", lambda p, t: (((p - t) ** 2).mean(), p.var(axis=0).mean())),
        ("whole variance", lambda p, t: (_bias2(p, t), p.var())),
        ("across points", lambda p, t: (_bias2(p, t), p.var(axis=1).mean())),
        ("standard deviation", lambda p, t: (_bias2(p, t), p.std(axis=0).mean())),
        ("sums", lambda p, t: (_bias2(p, t) * t.size, p.var(axis=0).sum())),
        ("adds_up_to_the_error", lambda p, t: (((p - t) ** 2).mean(), 0.0)),
        ("form", lambda p, t: ((p.mean(axis=0) - t) ** 2, p.var(axis=0))),
        ("error", lambda p, t: None),
    ],
    "next_step": [
        ("floor of zero", _step(bias=lambda t, d, b: t)),
        ("variance from Bayes", _step(variance=lambda t, d, b: d - b)),
        ("no tolerance", _step(tol=-1)),
        ("floor believed", _step(question=False)),
        ("bias first", step_bias_first),
        ("variance first", step_variance_first),
        ("swapped", step_smaller),
        ("swapped", lambda t, d, b: {BIAS: VARIANCE, VARIANCE: BIAS}.get(
            step_nested(t, d, b), step_nested(t, d, b))),
        ("train beats Bayes", step_train_beats),
        ("text", lambda t, d, b: step_nested(t, d, b).replace("reduce", "lower")),
        ("stops_when_both_gaps_are_small", _step(tol=0.01)),
        ("stops_when_both_gaps_are_small", _step(tol=0.04)),
        ("error", lambda t, d, b: 1),
    ],
    "learning_curve": [
        ("first rows", _curve(order=lambda m, seed: np.arange(m))),
        ("last rows", _curve(order=lambda m, seed: np.arange(m)[::-1])),
        ("seed ignored", _curve(order=lambda m, seed: np.random.default_rng(0).permutation(m))),
        ("not reproducible", _curve(order=lambda m, seed: np.random.default_rng().permutation(m))),
        ("torn apart", curve_torn),
        ("with replacement", curve_replacement),
        ("not nested", curve_fresh),
        ("sizes", _curve(take=lambda order, size: order[: size - 1])),
        ("sizes", curve_of_percent),
        ("calls", curve_repeats),
        ("calls", lambda fit_score, X, y, sizes, seed: np.zeros(len(sizes))),
        ("some rows only", curve_half),
        ("sorted", _curve(result=lambda s, sizes: np.sort(s))),
        ("with sizes", _curve(result=lambda s, sizes: np.column_stack([sizes, s]))),
        ("mean", _curve(result=lambda s, sizes: s.mean())),
        ("error", lambda fit_score, X, y, sizes, seed: [fit_score(y[:n], X[:n]) for n in sizes]),
    ],
    "train_and_predict": [
        ("broadcast", _torch_network(targets=lambda y: y)),
        ("sum", _torch_network(loss=lambda squares: squares.sum())),
        ("half", _torch_network(loss=lambda squares: squares.mean() / 2)),
        ("biases", _torch_network(biases=2.0)),
        ("no penalty", _torch_network(penalty=0.0)),
        ("half penalty", _torch_network(penalty=1.0)),
        ("accumulated", network_accumulates),
        ("training rows", _torch_network(predict_train=True)),
        ("untrained", _torch_network(step=False)),
        ("one step less", _torch_network(steps_off=-1)),
        ("one step more", _torch_network(steps_off=1)),
        ("no tanh", _torch_network(tanh=False)),
        ("tanh at the output", _torch_network(out_tanh=True)),
        ("column", _torch_network(column=True)),
        ("fits_the_data_without_penalty", _torch_network(loss=lambda s: s.sqrt().mean())),
    ],
}  # fmt: skip
