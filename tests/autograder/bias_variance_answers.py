"""Right and wrong answers to the exercises of chapter 03, for `test_answers`."""

import numpy as np

from regbook.exercise import vary

QUESTION, STOP, REPEAT = "question the Bayes error", "stop", "repeat more"
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


def step_nested(train_errs, dev_errs, bayes_err, *, tolerance=0.02, errors=2):
    """Ask by the ratio of a mean to its standard error; no spread counts as any ratio."""

    def above(values, bound):
        """Return 1, -1 or 0: surely above the bound, surely below, or neither."""
        away = sum(values) / len(values) - bound
        square = sum((value - bound - away) ** 2 for value in values) / (len(values) - 1)
        return 0 if abs(away) <= errors * (square / len(values)) ** 0.5 else 1 if away > 0 else -1

    bias = [t - bayes_err for t in train_errs]
    variance = [d - t for t, d in zip(train_errs, dev_errs, strict=True)]
    if above(list(dev_errs), bayes_err) < 0:
        return QUESTION
    if above(bias, tolerance) < 0 and above(variance, tolerance) < 0:
        return STOP
    larger = above([b - v for b, v in zip(bias, variance, strict=True)], 0)
    return {1: BIAS, -1: VARIANCE, 0: REPEAT}[larger]


def step_statistics(train_errs, dev_errs, bayes_err):
    import statistics

    def bounds(values):
        values = [float(value) for value in values]
        half = 2 * statistics.stdev(values) / len(values) ** 0.5
        return statistics.fmean(values) - half, statistics.fmean(values) + half

    gaps = train_errs - bayes_err, dev_errs - train_errs
    if bounds(dev_errs)[1] < bayes_err:
        return np.str_(QUESTION)
    if max(bounds(gap)[1] for gap in gaps) < 0.02:
        return STOP
    low, high = bounds(2 * train_errs - dev_errs - bayes_err)
    return BIAS if low > 0 else VARIANCE if high < 0 else REPEAT


def step_torch(train_errs, dev_errs, bayes_err):
    import torch

    train, dev = torch.tensor(train_errs), torch.tensor(dev_errs)
    values = torch.stack(
        [dev - bayes_err, train - bayes_err, dev - train, 2 * train - bayes_err - dev]
    )
    half = 2 * values.std(dim=1) / values.shape[1] ** 0.5
    low, high = values.mean(dim=1) - half, values.mean(dim=1) + half
    if high[0] < 0:
        return QUESTION
    if (high[1:3] < 0.02).all():
        return STOP
    return BIAS if low[3] > 0 else VARIANCE if high[3] < 0 else REPEAT


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


def _torch_network(*, decay=2.0, column=True, loss="square", zero=True, share=False):
    """Make a PyTorch variant with one part replaced; as it stands, it is right."""

    def solve(x, y, x_new, weights, lam, lr, steps):
        import torch

        x, y, x_new = (torch.tensor(values)[:, None] for values in (x, y, x_new))
        leaf = torch.from_numpy if share else torch.tensor  # from_numpy shares the memory
        w1, b1, w2, b2 = (leaf(w).requires_grad_() for w in weights)

        def network(inputs):
            return torch.tanh(inputs @ w1 + b1) @ w2 + b2

        groups = [{"params": [w1, w2], "weight_decay": decay * lam}, {"params": [b1, b2]}]
        optimizer = torch.optim.SGD(groups, lr=lr)
        for _ in range(steps):
            if zero:
                optimizer.zero_grad()
            errors = network(x) - (y if column else y[:, 0])
            getattr(errors, loss)().mean().backward()
            optimizer.step()
        return network(x_new)[:, 0]

    return solve


# --- spend_budget ----------------------------------------------------------------------------


def paid(rows, units, compute):
    return [(m, n) for m in rows for n in units if m * n <= compute]


def spend_by_halving(train, rows, units, compute, steps, budget):
    """Train all plans briefly, the better half longer, and so on."""
    plans = paid(rows, units, compute)
    number = budget // (3 * len(plans))
    while len(plans) > 1:
        dev = [train(plan, number)["dev"] for plan in plans]
        plans = [plans[i] for i in np.argsort(dev)[::-1][: max(1, len(plans) // 2)]]
        number *= 2
    return plans[0]


def spend_all_compute(train, rows, units, compute, steps, budget):
    """Try only plans that leave no compute unspent, in full."""
    plans = [
        (m, max(n for n in units if m * n <= compute)) for m in rows if m * min(units) <= compute
    ]
    return np.float32(max(plans, key=lambda plan: train(plan, steps)["dev"]))


def spend_both_ends(train, rows, units, compute, steps, budget):
    """Compare many rows with many units, and then neighbours of the better end."""
    plans = [(m, n) for m, n in paid(rows, units, compute) if 2 * m * n > compute]
    ends = [plans[-1], plans[0], plans[len(plans) // 2], plans[1], plans[-2]]
    scores = {plan: train(plan, steps)["dev"] for plan in ends}
    for plan in plans:
        if plan not in scores and len(scores) < budget // steps:
            scores[plan] = train(plan, steps)["dev"]
    return [int(number) for number in max(scores, key=scores.get)]


def spend_of_some(train, rows, units, compute, steps, budget):
    """Try the dearest plans, as many as the budget pays in full."""
    plans = sorted(paid(rows, units, compute), key=lambda plan: -plan[0] * plan[1])
    return max(plans[: budget // steps], key=lambda plan: train(plan, steps)["dev"])


def spend(
    train, rows, units, compute, steps, budget, *,
    score=lambda scores: scores["dev"], number=lambda steps, budget, plans: budget // plans,
    plans=paid,
):  # fmt: skip
    """Do it with any part replaced."""
    plans = plans(rows, units, compute)
    each = number(steps, budget, len(plans))
    return max(plans, key=lambda plan: score(train(plan, each)))


def spend_until_refused(train, rows, units, compute, steps, budget):
    """Try all plans in full until `train` refuses."""
    best = 0, (rows[0], units[0])
    try:
        for _ in range(3):
            for plan in paid(rows, units, compute):
                best = max(best, (train(plan, steps)["dev"], plan))
    except ValueError:
        pass
    return best[1]


def spend_anyway(pick):
    """Return the answer that tries all plans and takes one that no score has a part in."""

    def answer(train, rows, units, compute, steps, budget):
        spend(train, rows, units, compute, steps, budget)
        return pick(paid(rows, units, compute))

    return answer


# --- wrong answers ---------------------------------------------------------------------------


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


def curve_blocks(fit_score, X, y, sizes, seed):
    """Shuffle blocks of five rows, not rows."""
    blocks = np.random.default_rng(seed).permutation(len(X) // 5)
    order = (5 * blocks[:, None] + np.arange(5)).ravel()
    return [fit_score(X[order[:n]], y[order[:n]]) for n in sizes]


def curve_of_two(fit_score, X, y, sizes, seed):
    """Take two rows at least."""
    order = np.random.default_rng(seed).permutation(len(X))
    return [fit_score(X[order[: max(n, 2)]], y[order[: max(n, 2)]]) for n in sizes]


def curve_half(fit_score, X, y, sizes, seed):
    """Shuffle only the first 25 rows to the front: the rest are hardly ever drawn."""
    order = np.random.default_rng(seed).permutation(25)
    order = np.concatenate([order, np.arange(25, len(X))])
    return [fit_score(X[order[:n]], y[order[:n]]) for n in sizes]


def step_means(train_err, dev_err, bayes_err):
    """Diagnose from three numbers, as if chance had no part in them."""
    bias, variance = train_err - bayes_err, dev_err - train_err
    if dev_err < bayes_err:
        return QUESTION
    if bias < 0.02 and variance < 0.02:
        return STOP
    return BIAS if bias > variance else VARIANCE if bias < variance else REPEAT


RIGHT = {
    "bayes_error": [bayes_loop, bayes_torch, bayes_float32],
    "bias_variance_decomposition": [decomposition_loop, decomposition_torch, decomposition_keras],
    "next_step": [step_nested, step_statistics, step_torch],
    "learning_curve": [curve_python_random, curve_torch, curve_sort],
    "train_and_predict": [network_numpy, network_keras, _torch_network()],
    "spend_budget": [spend_by_halving, spend_all_compute, spend_both_ends, spend_of_some],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "bayes_error": [
        ("is_chance_when_x_says_nothing", lambda p, p_x: 0.0),
        ("form", lambda p, p_x: 1 - p_x * p.max(axis=1)),
        ("error", lambda p: 1 - p.max(axis=1).mean()),
    ],
    "bias_variance_decomposition": [
        ("adds_up_to_the_error", lambda p, t: (((p - t) ** 2).mean(), 0.0)),
        ("form", lambda p, t: ((p.mean(axis=0) - t) ** 2, p.var(axis=0))),
        ("error", lambda p, t: None),
    ],
    "next_step": [
        ("text", lambda t, d, b: step_nested(t, d, b).replace("reduce", "lower")),
        ("text", lambda t, d, b: step_nested(t, d, b).capitalize()),
        ("stops_when_both_gaps_are_surely_small", vary(step_nested, tolerance=0.018)),
        ("stops_when_both_gaps_are_surely_small", vary(step_nested, tolerance=0.04)),
        ("stops_when_both_gaps_are_surely_small", vary(step_nested, tolerance=0.0199)),
        ("one standard error", vary(step_nested, errors=1.2)),
        ("more than two", vary(step_nested, errors=2.8)),
        ("means only", lambda t, d, b: step_means(t.mean(), d.mean(), b)),
        ("error", lambda t, d, b: step_means(t, d, b)),
        ("form", lambda t, d, b: 1),
    ],
    "learning_curve": [
        ("torn apart", curve_torn),
        ("with replacement", curve_replacement),
        ("not nested", curve_fresh),
        ("sizes", curve_of_percent),
        ("calls", curve_repeats),
        ("calls", lambda fit_score, X, y, sizes, seed: np.zeros(len(sizes))),
        ("some rows only", curve_half),
        ("one block", curve_blocks),
        ("sizes", curve_of_two),
        ("error", lambda fit_score, X, y, sizes, seed: [fit_score(y[:n], X[:n]) for n in sizes]),
    ],
    "train_and_predict": [
        ("broadcast", _torch_network(column=False)),
        ("half penalty", _torch_network(decay=1.0)),
        ("accumulated", _torch_network(zero=False)),
        ("form", lambda *case: np.squeeze(network_numpy(*case))),
        ("fits_the_data_without_penalty", _torch_network(loss="abs")),
        ("changes its input", _torch_network(share=True)),
    ],
    "spend_budget": [
        ("no decision", lambda train, rows, units, compute, steps, budget: (128, 12)),
        ("no decision", lambda train, rows, units, compute, steps, budget: (rows[-1], units[0])),
        ("no decision", vary(spend, plans=lambda rows, units, compute: [(rows[2], units[2])])),
        ("over budget", vary(spend, number=lambda steps, budget, plans: budget)),
        ("over budget", vary(spend, number=lambda steps, budget, plans: budget // plans + steps)),
        ("over budget", vary(spend, number=lambda steps, budget, plans: budget // plans + 1)),
        ("over budget", spend_until_refused),
        ("chosen on test rows", vary(spend, score=lambda scores: scores["test"])),
        ("chosen on test rows", vary(spend, score=lambda s: 2 * s["test"] + s["dev"])),
        ("chosen on train rows", vary(spend, score=lambda scores: scores["train"])),
        ("smallest gap", vary(spend, score=lambda scores: scores["dev"] - scores["train"])),
        ("lowest for highest", vary(spend, score=lambda scores: -scores["dev"])),
        ("dev ignored", spend_anyway(lambda plans: plans[len(plans) // 2])),
        ("dev ignored", spend_anyway(lambda plans: plans[1])),
        ("short runs", vary(spend, number=lambda steps, budget, plans: 3)),
        (
            "rows alone",
            vary(spend, plans=lambda rows, units, compute: [(m, units[0]) for m in rows]),
        ),
        (
            "units alone",
            vary(spend, plans=lambda rows, units, compute: [(rows[0], n) for n in units]),
        ),
        ("error", lambda *task: spend(*task)[0]),
        ("error", lambda *task: spend(*task)[::-1]),
        ("error", lambda *task: [2 * number for number in spend(*task)]),
        (
            "error",
            lambda train, rows, units, compute, steps, budget: train((rows[-1], units[-1]), 1),
        ),
        ("error", lambda train, rows, units, compute, steps, budget: train((128, 12), 0.5)),
    ],
}
