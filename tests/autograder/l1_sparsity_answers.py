"""Right and wrong answers to the exercises of chapter 08, for `test_answers`."""

import numpy as np


def penalty_loop(weights, lam):
    total = 0.0
    for w in weights:
        for value in w.ravel():
            total += abs(value)
    return lam * total


def penalty_torch(weights, lam):
    import torch

    return lam * sum(torch.as_tensor(w).abs().sum() for w in weights)


def penalty_keras(weights, lam):
    import keras

    return sum(keras.regularizers.L1(lam)(w.astype("float32")) for w in weights)


def penalty_norm(weights, lam):
    return np.float32(lam * np.linalg.norm(np.concatenate([w.ravel() for w in weights]), 1))


def soft_loop(w, t):
    result = [max(abs(v) - t, 0) * (1 if v > 0 else -1) for v in w.ravel()]
    return np.array(result, np.float32).reshape(w.shape)


def soft_torch(w, t):
    import torch

    return torch.nn.functional.softshrink(torch.tensor(w), t)


def soft_keras(w, t):
    import keras

    return keras.ops.soft_shrink(keras.ops.convert_to_tensor(w, "float32"), t)


def soft_in_place(w, t):
    small = np.abs(w) <= t
    w -= t * np.sign(w)
    w[small] = 0
    return w


def net_numpy(weights, l1, l2):
    value = sum(l1 * np.abs(w).sum() + l2 * (w**2).sum() for w in weights)
    return value, [l1 * np.sign(w) + 2 * l2 * w for w in weights]


def net_backward(weights, l1, l2):
    import torch

    kernels = [torch.nn.Parameter(torch.tensor(w, dtype=torch.float32)) for w in weights]
    penalty = torch.zeros(())
    for w in kernels:
        penalty = penalty + l1 * torch.linalg.vector_norm(w, 1) + l2 * w.square().sum()
    penalty.backward()
    return penalty.item(), [w.grad for w in kernels]


def net_keras(weights, l1, l2):
    import keras
    import tensorflow as tf

    kernels = [tf.Variable(w, dtype=tf.float32) for w in weights]
    with tf.GradientTape() as tape:
        penalty = sum(keras.regularizers.L1L2(l1, l2)(w) for w in kernels)
    return penalty, tape.gradient(penalty, kernels)


def net_in_place(weights, l1, l2):
    value, weights[:] = net_numpy(weights, l1, l2)
    return value, weights


def net_detached(weights, l1, l2):
    """The L1 part is computed with NumPy, outside the graph."""
    import torch

    kernels = [torch.tensor(w, requires_grad=True) for w in weights]
    penalty = l1 * sum(np.abs(w).sum() for w in weights) + l2 * sum((w**2).sum() for w in kernels)
    return penalty, torch.autograd.grad(penalty, kernels)


def sparsity_concatenate(weights, tol):
    return (np.abs(np.concatenate([w.ravel() for w in weights])) <= tol).mean()


def sparsity_loop(weights, tol):
    values = [v for w in weights for v in w.ravel()]
    return np.float32(sum(-tol <= v <= tol for v in values) / len(values))


def sparsity_torch(weights, tol):
    import torch

    flat = torch.cat([torch.tensor(w).flatten() for w in weights])
    return (flat.abs() <= tol).double().mean()


def sparsity_in_place(weights, tol):
    for w in weights:
        w[np.abs(w) <= tol] = 0
    return sum((w == 0).sum() for w in weights) / sum(w.size for w in weights)


def activity_torch(outputs, lam):
    import torch

    return lam * torch.tensor(outputs).abs().sum() / outputs.shape[0]


def activity_keras(outputs, lam):
    import keras

    layer = keras.layers.Activation("linear", activity_regularizer=keras.regularizers.L1(lam))
    layer(keras.ops.convert_to_tensor(outputs, "float32"))
    return layer.losses[0]


# --- choose_columns --------------------------------------------------------------------------


def along(fit, prices, number):
    """Return a list of (price, fit with all columns)."""
    return [(price, fit(np.arange(number), price)) for price in prices]


def allowed(path, most):
    return [(price, found) for price, found in path if 1 <= len(found["kept"]) <= most]


def columns_at_their_price(fit, prices, number, most, budget):
    """The best fit on dev as it is, without a refit."""
    few = allowed(along(fit, prices, number), most)
    price, found = max(few, key=lambda each: each[1]["dev"])
    return found["kept"], price


def columns_refitted(fit, prices, number, most, budget):
    """The best fit on dev, and then no penalty."""
    kept, _ = columns_at_their_price(fit, prices, number, most, budget)
    return [int(column) for column in kept], 0


def columns_of_the_best_refit(fit, prices, number, most, budget):
    """Each set of columns is judged by its refit."""
    few = allowed(along(fit, prices, number), most)
    refits = [(fit(found["kept"], 0)["dev"], i) for i, (_, found) in enumerate(few)]
    return few[max(refits)[1]][1]["kept"], 0.0


def columns_by_one_error(fit, prices, number, most, budget):
    """The highest price within one standard error (1,000 dev rows) of the best that is allowed."""
    few = allowed(along(fit, prices, number), most)
    best = max(found["dev"] for _, found in few)
    near = [each for each in few if each[1]["dev"] >= best - np.sqrt(best * (1 - best) / 1000)]
    price, found = near[-1]
    return tuple(found["kept"].tolist()), float(price) / 4


def columns_by_size(fit, prices, number, most, budget):
    """Sorted by the size of the weight at the best price, and cut where dev says."""
    _, found = max(along(fit, prices, number), key=lambda each: each[1]["dev"])
    order = np.argsort(-abs(found["weights"]))
    sizes = [size for size in (2, 3, 4, 6, 9, 12) if size <= most]
    cut = max(sizes, key=lambda size: fit(order[:size], 0.0)["dev"])
    return order[:cut].astype(float), 0.0


def columns_backwards(fit, prices, number, most, budget):
    """Leaves out one column after the other, as long as dev does not fall."""
    kept, _ = columns_at_their_price(fit, prices, number, most, budget)
    left, kept = budget - len(prices) - 1, list(kept)
    best = fit(kept, 0.0)["dev"]
    for column in list(kept)[:left]:
        others = [other for other in kept if other != column]
        if others and (now := fit(others, 0.0)["dev"]) >= best:
            best, kept = now, others
    return np.array(kept), np.float32(0)


def columns_by(score):
    """Return the answer that chooses by another score of the allowed fits."""

    def answer(fit, prices, number, most, budget):
        few = allowed(along(fit, prices, number), most)
        price, found = max(few, key=lambda each: score(each[1]))
        return found["kept"], price

    return answer


def columns_one_by_one(fit, prices, number, most, budget):
    """Judges every column by itself."""
    alone = [fit([column], 0.0)["dev"] for column in range(number)]
    return np.argsort(alone)[-most:], 0.0


def columns_until_refused(fit, prices, number, most, budget):
    best = (0, None)
    try:
        for price in np.repeat(prices, 10):
            found = fit(np.arange(number), price)
            if 1 <= len(found["kept"]) <= most:
                best = max(best, (found["dev"], price))
    except ValueError:
        pass
    return fit(np.arange(number), best[1])["kept"], best[1]


def columns_at(place):
    """Return the answer that looks at all prices and takes one that no score has a part in."""

    def answer(fit, prices, number, most, budget):
        price, found = along(fit, prices, number)[place]
        return found["kept"], price

    return answer


def columns_free(fit, prices, number, most, budget):
    """Forgets that only `most` columns may be kept."""
    price, found = max(along(fit, prices, number), key=lambda each: each[1]["dev"])
    return found["kept"], price


def columns_all(fit, prices, number, most, budget):
    """Chooses a good price, and returns all columns."""
    return np.arange(number), columns_at_their_price(fit, prices, number, most, budget)[1]


def columns_of_the_first(fit, prices, number, most, budget):
    """Takes the first columns of the table."""
    return np.arange(most), columns_at_their_price(fit, prices, number, most, budget)[1]


def columns_of_the_highest_price(fit, prices, number, most, budget):
    """Looks at every price, and takes the highest."""
    kept = along(fit, prices, number)[-1][1]["kept"]
    return (kept[:1] if len(kept) else [0]), prices[-1]


RIGHT = {
    "l1_penalty": [penalty_loop, penalty_torch, penalty_keras, penalty_norm],
    "soft_threshold": [
        lambda w, t: np.where(w > t, w - t, np.where(w < -t, w + t, 0.0)),
        soft_loop,
        lambda w, t: w - np.clip(w, -t, t),
        lambda w, t: np.maximum(w - t, 0) - np.maximum(-w - t, 0),
        soft_torch,
        soft_keras,
        lambda w, t: soft_in_place(w.copy(), t),
    ],
    "elastic_net_penalty": [
        net_numpy,
        lambda *given: (net_numpy(*given)[0], *net_numpy(*given)[1]),  # gradients not in a list
        net_backward,
        net_keras,
    ],
    "sparsity": [
        sparsity_concatenate,
        sparsity_loop,
        sparsity_torch,
        lambda weights, tol: np.average(
            [(np.abs(w) <= tol).mean() for w in weights], weights=[w.size for w in weights]
        ),
    ],
    "activity_penalty": [
        lambda a, lam: lam * np.abs(a).reshape(len(a), -1).sum(axis=1).mean(),
        lambda a, lam: np.float32(lam * sum(np.abs(row).sum() for row in a) / a.shape[0]),
        activity_torch,
        activity_keras,
    ],
    "choose_columns": [
        columns_at_their_price,
        columns_refitted,
        columns_of_the_best_refit,
        columns_by_one_error,
        columns_by_size,
        columns_backwards,
    ],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "l1_penalty": [
        ("grows_in_proportion", lambda weights, lam: 0.0),
        ("form", lambda weights, lam: [lam * np.abs(w).sum() for w in weights]),
        ("error", lambda weights, lam: lam * np.abs(weights).sum()),
        ("changes its input", lambda weights, lam: lam * sum(
            np.abs(w, out=w).sum() for w in weights)),
    ],
    "soft_threshold": [
        ("makes_exact_zeros", lambda w, t: w * np.maximum(1 - t / (np.abs(w) + 1e-8), 0)),
        ("makes_exact_zeros", lambda w, t: np.sign(w) * np.maximum(np.abs(w) - t, 1e-7)),
        ("form", lambda w, t: w * np.maximum(1 - t / np.abs(w), 0)),  # 0 / 0 for t = 0
        ("form", lambda w, t: (np.sign(w) * np.maximum(np.abs(w) - t, 0)).ravel()),
        ("error", lambda w, t: w - t if w > t else w + t if w < -t else 0),
        ("changes its input", soft_in_place),
    ],
    "elastic_net_penalty": [
        ("l2-only", net_detached),
        ("form", lambda *given: net_numpy(*given)[0]),
        ("form", lambda *given: (net_numpy(*given)[0], [w.sum() for w in net_numpy(*given)[1]])),
        ("changes its input", net_in_place),
    ],
    "sparsity": [
        ("counts_small_weights", lambda weights, tol: sparsity_concatenate(weights, 0)),
        ("counts_exact_zeros", lambda weights, tol: sparsity_concatenate(weights, tol or 1e-6)),
        ("counts_exact_zeros", lambda weights, tol: sparsity_concatenate(weights, tol + 0.01)),
        ("form", lambda weights, tol: [(np.abs(w) <= tol).mean() for w in weights]),
        ("changes its input", sparsity_in_place),
    ],
    "activity_penalty": [
        ("does_not_depend_on_the_batch_size", lambda outputs, lam: lam * np.abs(outputs).sum() / 6),
        ("error", lambda outputs: 0.0),
        ("changes its input", lambda outputs, lam: (
            lam * np.abs(outputs, out=outputs).sum() / len(outputs))),
    ],
    "choose_columns": [
        ("no decision", lambda fit, prices, number, most, budget: (np.arange(most), 0.0)),
        ("no decision", lambda fit, prices, number, most, budget: (
            fit(np.arange(number), prices[5])["kept"], prices[5])),
        ("keeps everything", lambda fit, prices, number, most, budget: (np.arange(number), 0.0)),
        ("keeps everything", columns_all),
        ("keeps nothing", lambda fit, prices, number, most, budget: ([], prices[-1])),
        ("keeps nothing", lambda fit, prices, number, most, budget: (
            fit(np.arange(number), 10.0)["kept"], 10.0)),
        ("too many columns", columns_at(0)),
        ("too many columns", columns_at(3)),
        ("too many columns", columns_free),
        ("too many columns", lambda fit, prices, number, *_: (
            fit(np.arange(number), 0.0)["kept"][:-1], 0.0)),
        ("columns missing", columns_of_the_first),
        ("fewest columns", columns_of_the_highest_price),
        ("over budget", columns_one_by_one),
        ("over budget", columns_until_refused),
        ("chosen on test rows", columns_by(lambda found: found["test"])),
        ("chosen on train rows", columns_by(lambda found: found["train"])),
        ("fewest columns", columns_by(lambda found: -len(found["kept"]))),
        ("lowest for highest", columns_by(lambda found: -found["dev"])),
        ("dev ignored", columns_at(5)),
        ("error", lambda *task: columns_refitted(*task)[0]),
        ("error", lambda fit, prices, number, most, budget: (np.arange(most) + number, 0.0)),
        ("error", lambda fit, prices, number, most, budget: (np.arange(number) < most, 0.0)),
        ("error", lambda fit, prices, number, most, budget: (np.arange(most), -1.0)),
        ("error", lambda fit, prices, number, most, budget: fit(most, 0.0)),
    ],
}  # fmt: skip
