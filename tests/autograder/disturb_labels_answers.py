"""Right and wrong answers to the exercises of chapter 17, for `test_answers`."""

import numpy as np


def labels_loop(y, num_classes, alpha, rng):
    seen = []
    for label in y:
        seen.append(rng.choice(num_classes) if 100 * rng.random() < alpha else label)
    return np.array(seen, np.int16)


def labels_chances(y, num_classes, alpha, rng):
    """Draw from the expected distribution of each row, without replacing anything."""
    share = alpha / 100
    below = rng.random(len(y))
    chances = (1 - share) * np.eye(num_classes)[y] + share / num_classes
    return (below[:, None] > np.cumsum(chances, axis=1)).sum(axis=1).clip(max=num_classes - 1)


def labels_torch(y, num_classes, alpha, rng):
    import torch

    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    y = torch.tensor(y)
    replaced = torch.rand(y.shape, generator=generator) < alpha / 100
    return torch.where(replaced, torch.randint(num_classes, y.shape, generator=generator), y)


def labels_keras(y, num_classes, alpha, rng):
    import keras

    seed = keras.random.SeedGenerator(int(rng.integers(2**31)))
    replaced = keras.random.uniform(y.shape, seed=seed) < alpha / 100
    anew = keras.random.randint(y.shape, 0, num_classes, seed=seed)
    return keras.ops.where(replaced, anew, y)


def labels_float(y, num_classes, alpha, rng):
    replaced = rng.uniform(0, 100, size=len(y)) <= alpha - 1e-9
    return np.where(replaced, np.floor(num_classes * rng.random(len(y))), y)


def labels_by_number(y, num_classes, alpha, rng, number=round):
    rows = rng.choice(len(y), number(alpha / 100 * len(y)), replace=False)
    seen = y.copy()
    seen[rows] = rng.integers(num_classes, size=len(rows))
    return seen


def labels_all_or_none(y, num_classes, alpha, rng):
    return rng.integers(num_classes, size=y.shape) if 100 * rng.random() < alpha else y


def labels_by_percents(y, num_classes, alpha, rng):
    return np.where(rng.integers(100, size=y.shape) < alpha, evenly(y, num_classes, rng), y)


def labels_in_place(y, num_classes, alpha, rng):
    rows = np.flatnonzero(rng.binomial(1, alpha / 100, size=len(y)))
    y[rows] = rng.integers(0, num_classes, len(rows))
    return y


def labels_indexed(y, num_classes, alpha, rng):
    return labels_in_place(y.copy(), num_classes, alpha, rng)


def evenly(y, num_classes, rng):
    return rng.integers(num_classes, size=y.shape)


def one_draw_per_row(y, rng):
    return rng.random(y.shape)


def labels_with(anew=evenly, share=lambda alpha: alpha / 100, draw=one_draw_per_row):
    def answer(y, num_classes, alpha, rng):
        return np.where(draw(y, rng) < share(alpha), anew(y, num_classes, rng), y)

    return answer


def expectation_by_loop(alpha, num_classes):
    lines = []
    for i in range(num_classes):
        line = [alpha / 100 / num_classes] * num_classes
        line[i] += 1 - alpha / 100
        lines.append(line)
    return lines


def expectation_torch(alpha, num_classes):
    import torch

    even = torch.full((num_classes, num_classes), 1 / num_classes)
    return torch.lerp(torch.eye(num_classes), even, alpha / 100)


def expectation_keras(alpha, num_classes):
    import keras

    share = alpha / 100
    return keras.ops.one_hot(range(num_classes), num_classes) * (1 - share) + share / num_classes


def step_numpy(kernel, bias, x, y, alpha, lr):
    p = np.exp(x @ kernel + bias)
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1 - alpha / 100
    p -= alpha / 100 / len(bias)
    return kernel - lr * x.T @ p / len(y), bias - lr * p.mean(axis=0)


def step_all_labels(kernel, bias, x, y, alpha, lr):
    """The mean of the losses under every label, by autograd in float32."""
    import torch
    import torch.nn.functional as F

    k = len(bias)
    weights = [torch.tensor(w, dtype=torch.float32, requires_grad=True) for w in (kernel, bias)]
    logits = torch.tensor(x, dtype=torch.float32) @ weights[0] + weights[1]
    loss = (1 - alpha / 100) * F.cross_entropy(logits, torch.tensor(y))
    for label in range(k):
        loss = loss + alpha / 100 / k * F.cross_entropy(logits, torch.full((len(y),), label))
    gradients = torch.autograd.grad(loss, weights)
    return tuple((w - lr * g).detach() for w, g in zip(weights, gradients, strict=True))


def step_keras(kernel, bias, x, y, alpha, lr):
    import keras
    import tensorflow as tf

    weights = kernel, bias = tf.Variable(kernel), tf.Variable(bias)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=alpha / 100)
    with tf.GradientTape() as tape:
        value = loss(tf.one_hot(y, bias.shape[0]), x @ kernel + bias)
    for variable, gradient in zip(weights, tape.gradient(value, weights), strict=True):
        variable.assign_sub(lr * tf.cast(gradient, variable.dtype))
    return weights


def step_drawn(kernel, bias, x, y, alpha, lr):
    drawn = labels_indexed(y, len(bias), alpha, np.random.default_rng())
    return step_numpy(kernel, bias, x, drawn, 0.0, lr)


def step_in_place(kernel, bias, x, y, alpha, lr):
    kernel[:], bias[:] = step_numpy(kernel, bias, x, y, alpha, lr)
    return kernel, bias


def values_loop(y, alpha, scale, rng):
    return [v + scale * rng.standard_normal() if 100 * rng.random() < alpha else v for v in y]


def values_torch(y, alpha, scale, rng):
    import torch

    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    noise = scale * torch.randn(y.shape, generator=generator)
    return torch.tensor(y) + noise * (100 * torch.rand(y.shape, generator=generator) < alpha)


def values_by_number(y, alpha, scale, rng):
    noise = rng.normal(0, scale, size=y.shape)
    return np.where(rng.permutation(len(y)) < alpha / 100 * len(y), y + noise, y)


def values_all_or_none(y, alpha, scale, rng):
    return y + gaussian(y, scale, rng) if 100 * rng.random() < alpha else y


def values_replaced(y, alpha, scale, rng):
    return np.where(100 * rng.random(y.shape) < alpha, gaussian(y, scale, rng), y)


def values_in_place(y, alpha, scale, rng):
    rows = np.flatnonzero(100 * rng.random(len(y)) < alpha)
    y[rows] += rng.normal(0, scale, len(rows)).astype("float32")
    return y


def values_float32(y, alpha, scale, rng):
    return values_in_place(np.float32(y), alpha, scale, rng)


def gaussian(y, scale, rng):
    return rng.normal(scale=scale, size=y.shape)


def values_with(noise=gaussian, draw=one_draw_per_row, share=lambda alpha: alpha / 100):
    def answer(y, alpha, scale, rng):
        return y + np.where(draw(y, rng) < share(alpha), noise(y, scale, rng), 0)

    return answer


def diagnosis_torch(seen, y):
    import torch

    seen, y = torch.tensor(seen), torch.tensor(y)
    if torch.equal(seen, y.expand_as(seen)):
        return "none"
    if torch.equal(seen, seen[:1].expand_as(seen)):
        return "drawn once"
    return "drawn anew" if torch.equal(seen.mode(dim=0).values, y) else "both"


def diagnosis_by_counts(seen, y):
    """Compare, row by row, how often the true class and every other class is seen."""
    clean = moving = mislabelled = 0
    for labels, true in zip(seen.T, y, strict=True):
        counts = {label: (labels == label).sum() for label in set(labels.tolist())}
        clean += counts.get(true, 0) == len(labels)
        moving += len(counts) > 1
        mislabelled += any(n > counts.get(true, 0) for n in counts.values())
    if clean == len(y):
        return "none"
    return "drawn once" if not moving else "both" if mislabelled else "drawn anew"


def diagnosis_counter(seen, y):
    from collections import Counter

    counts = [Counter(labels) for labels in seen.T.tolist()]
    if all(set(count) == {true} for count, true in zip(counts, y, strict=True)):
        return "none"
    if all(len(count) == 1 for count in counts):
        return "drawn once"
    modes = [count.most_common(1)[0][0] for count in counts]
    return "drawn anew" if modes == y.tolist() else "both"


def at_best_epoch(found, rows="test"):
    return [test[dev.argmax()] for dev, test in zip(found["dev"], found[rows], strict=True)]


def by_t(differences, margin):
    """Judge by Student's interval."""
    from scipy import stats

    low, high = stats.t.interval(
        0.95, len(differences) - 1, np.mean(differences), stats.sem(differences)
    )
    if low > 0:
        return "helps"
    if high < 0:
        return "harms"
    return "no difference" if max(-low, high) < margin else "cannot tell"


def verdicts_by(choose, judge=by_t, score=at_best_epoch):
    """Return the answer that lets `choose` find a pair of each method."""

    def answer(train, settings, tuning, fresh, margin, budget):
        scores = {}
        for method, pairs in settings.items():
            pair = choose(lambda *p, m=method: train(m, *p), pairs, tuning)
            scores[method] = np.array(score(train(method, pair, fresh)))
        none = scores.pop("none")
        return {method: judge(values - none, margin) for method, values in scores.items()}

    return answer


def highest(train, pairs, splits):
    return max(pairs, key=lambda pair: train(pair, splits)["dev"].max(axis=1).mean())


def highest_split_by_split(train, pairs, splits):
    """Ask for each split by itself, and average the scores at the best epochs."""
    means = [np.mean([train(p, [s])["dev"].max() for s in splits]) for p in pairs]
    return list(pairs[int(np.argmax(means))])


def halving(train, pairs, splits):
    """Drop the worse half after each split."""
    total = dict.fromkeys(map(tuple, pairs), 0.0)
    for split in splits:
        for pair in total:
            total[pair] += train(pair, int(split))["dev"].max()
        best = sorted(total, key=total.get, reverse=True)
        total = {pair: total[pair] for pair in best[: max(1, len(best) // 2)]}
    return best[0]


def highest_of_common_epoch(train, pairs, splits):
    """Choose by the best epoch of the mean curve."""
    curves = [train(pair, splits)["dev"].mean(axis=0).max() for pair in pairs]
    return pairs[np.argsort(curves)[-1]]


def by_bootstrap(differences, margin):
    rng = np.random.default_rng(0)
    means = rng.choice(differences, (2000, len(differences))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    outcomes = {
        "helps": low > 0,
        "harms": high < 0,
        "no difference": -margin < low <= high < margin,
    }
    return next((name for name, holds in outcomes.items() if holds), "cannot tell")


def split_by_split(train, settings, tuning, fresh, margin, budget):
    """Let every fresh split choose its own setting and epoch by its dev rows."""
    scores = {}
    for method, pairs in settings.items():
        found = [train(method, pair, fresh) for pair in pairs]
        dev, test = (np.stack([f[rows] for f in found]) for rows in ("dev", "test"))
        best = dev.max(axis=2).argmax(axis=0)  # setting by split
        at = [(i, s, dev[i, s].argmax()) for s, i in enumerate(best)]
        scores[method] = np.array([test[place] for place in at])
    return {m: by_t(values - scores["none"], margin) for m, values in scores.items() if m != "none"}


def first(train, pairs, splits):
    return pairs[0]


def last_epoch(found):
    return found["test"][:, -1]


def by_sign(differences, margin):
    return "helps" if differences.mean() > 0 else "harms"


def with_all_splits(train, pairs, splits):
    return highest(train, pairs, [*splits, *range(3)])


def everywhere(train, settings, tuning, fresh, margin, budget):
    """Tune on all splits, the fresh ones included."""
    return verdicts_by(highest)(train, settings, [*tuning, *fresh], fresh, margin, budget)


def until_refused(train, settings, tuning, fresh, margin, budget):
    """Tune on all splits, until `train` refuses."""
    try:
        return everywhere(train, settings, tuning, fresh, margin, budget)
    except ValueError:
        return dict.fromkeys(list(settings)[1:], "cannot tell")


def on_tuning_splits(train, settings, tuning, fresh, margin, budget):
    return verdicts_by(highest)(train, settings, tuning, tuning, margin, budget)


def always(text):
    def answer(train, settings, *rest):
        return {method: text for method in settings if method != "none"}

    return answer


RIGHT = {
    "disturb_labels": [
        *(labels_loop, labels_chances, labels_torch, labels_keras, labels_float, labels_indexed),
    ],
    "expected_label_distribution": [expectation_by_loop, expectation_torch, expectation_keras],
    "expected_step": [step_numpy, step_all_labels, step_keras],
    "disturb_values": [values_loop, values_torch, values_float32, values_with()],
    "diagnose_noise": [diagnosis_torch, diagnosis_by_counts, diagnosis_counter],
    "fair_verdict": [
        verdicts_by(highest),
        verdicts_by(highest_split_by_split, by_bootstrap),
        verdicts_by(halving),
        verdicts_by(highest_of_common_epoch),
        split_by_split,
    ],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "disturb_labels": [
        ("true class left out", labels_with(lambda y, k, rng: (y + 1 + evenly(y, k - 1, rng)) % k)),
        ("percent taken as a fraction", labels_with(share=lambda alpha: alpha)),
        ("keep and replace swapped", labels_with(share=lambda alpha: 1 - alpha / 100)),
        ("percent of a percent", labels_with(share=lambda alpha: alpha / 100 / 100)),
        ("nothing disturbed", lambda y, k, alpha, rng: y),
        ("one draw for the batch", labels_with(draw=lambda y, rng: rng.random())),
        ("one draw for the batch", labels_all_or_none),
        ("fixed rows", labels_with(draw=lambda y, rng: np.linspace(0, 1, len(y)))),
        ("fixed count", labels_by_number),
        ("fixed count", lambda *given: labels_by_number(*given, number=int)),
        ("same new labels", labels_with(lambda y, k, rng: evenly(y, k, np.random.default_rng(3)))),
        ("whole percents", labels_with(share=lambda alpha: int(alpha) / 100)),
        ("whole percents", labels_with(share=lambda alpha: round(alpha) / 100)),
        ("whole percents", labels_by_percents),
        ("classes counted in y", labels_with(lambda y, k, rng: rng.permutation(y))),
        ("classes counted in y", labels_with(lambda y, k, rng: rng.choice(np.unique(y), len(y)))),
        ("class never drawn", labels_with(lambda y, k, rng: evenly(y, y.max() + 1, rng))),
        ("one new class", labels_with(lambda y, k, rng: rng.integers(k))),
        ("one new class", labels_with(lambda y, k, rng: (y + 1) % k)),
        ("class never drawn", labels_with(lambda y, k, rng: evenly(y, k - 1, rng))),
        ("classes outside the range", labels_with(lambda y, k, rng: 1 + evenly(y, k, rng))),
        ("own random numbers", lambda *given: labels_float(*given[:3], np.random.default_rng())),
        ("same noise each time", lambda *given: labels_float(*given[:3], np.random.default_rng(1))),
        ("changes its input", labels_in_place),
    ],
    "expected_step": [("labels are drawn", step_drawn), ("changes its input", step_in_place)],
    "disturb_values": [
        ("every row", values_with(draw=lambda y, rng: np.full(y.shape, -1))),
        ("keep and disturb swapped", lambda y, alpha, *rest: values_loop(y, 100 - alpha, *rest)),
        ("nothing disturbed", lambda y, alpha, scale, rng: y),
        ("one draw for the batch", values_with(lambda y, scale, rng: rng.normal(scale=scale))),
        ("one coin for the batch", values_all_or_none),
        ("one coin for the batch", values_with(draw=lambda y, rng: rng.random())),
        ("fixed count", values_by_number),
        ("fixed noise", values_with(lambda y, s, rng: gaussian(y, s, np.random.default_rng(3)))),
        ("percent of a percent", lambda y, alpha, *rest: values_loop(y, alpha / 100, *rest)),
        ("percent taken as a fraction", values_with(share=lambda alpha: alpha)),
        ("whole percents", values_with(share=lambda alpha: int(alpha) / 100)),
        ("whole percents", values_with(share=lambda alpha: round(alpha) / 100)),
        ("replaced", values_replaced),
        ("scale as mean", values_with(lambda y, scale, rng: rng.normal(scale, size=y.shape))),
        ("not Gaussian", values_with(lambda y, s, rng: rng.laplace(0, s / 2**0.5, y.shape))),
        ("not Gaussian", values_with(lambda y, s, rng: rng.uniform(-s, s, y.shape))),
        ("only upwards", values_with(lambda *given: abs(gaussian(*given)))),
        ("scale squared", values_with(lambda y, scale, rng: gaussian(y, scale**2, rng))),
        ("scale as variance", values_with(lambda y, scale, rng: gaussian(y, scale**0.5, rng))),
        ("multiplied", values_with(lambda y, scale, rng: y * gaussian(y, scale, rng))),
        ("not Gaussian", values_with(lambda y, s, rng: s * rng.uniform(-3, 3, y.shape) / 3**0.5)),
        ("own random numbers", lambda *given: values_loop(*given[:3], np.random.default_rng())),
        ("same noise each time", lambda *given: values_loop(*given[:3], np.random.default_rng(1))),
        ("fixed rows", values_with(draw=lambda y, rng: np.linspace(0, 1, len(y)))),
        ("changes its input", values_in_place),
    ],
    "fair_verdict": [
        ("nothing mended", verdicts_by(first, by_sign, last_epoch)),
        ("nothing mended", verdicts_by(first, by_t, last_epoch)),
        ("nothing mended", verdicts_by(first)),
        ("last epoch", verdicts_by(highest, score=last_epoch)),
        ("no interval", verdicts_by(highest, by_sign)),
        ("reported on dev rows", verdicts_by(highest, score=lambda f: f["dev"].max(axis=1))),
        ("chosen on test rows", verdicts_by(highest, score=lambda f: f["test"].max(axis=1))),
        (
            "chosen on test rows",
            verdicts_by(
                lambda train, pairs, splits: max(
                    pairs, key=lambda pair: train(pair, splits)["test"].max(axis=1).mean()
                )
            ),
        ),
        ("cannot tell for nothing", verdicts_by(highest, lambda d, margin: by_t(d, 0))),
        ("nothing for cannot tell", verdicts_by(highest, lambda d, margin: by_t(d, np.inf))),
        ("baseline minus method", verdicts_by(highest, lambda d, margin: by_t(-d, margin))),
        ("over budget", everywhere),
        ("over budget", until_refused),
        ("too few splits", on_tuning_splits),
        (
            "too few splits",
            lambda *given: verdicts_by(highest)(*given[:3], given[3][:4], *given[4:]),
        ),
        ("no decision", always("cannot tell")),
        ("no decision", always("helps")),
        ("error", always("gains")),
        ("error", lambda *given: list(verdicts_by(highest)(*given).values())),
        ("error", verdicts_by(with_all_splits)),
        ("error", verdicts_by(lambda train, pairs, splits: (30.0, 0.5))),
        ("error", lambda train, settings, *rest: train("dropout", settings["none"][0], [1])),
    ],
}
