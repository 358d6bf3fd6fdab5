"""Right and wrong answers to the exercises of chapter 19 that differ in form.

A wrong answer is a pair: the name of its mistake, and the function. Those that the checks know as
mistakes are tested too, and need no entry here.
"""

from itertools import product

import numpy as np

# --- fold_batchnorm_dense, fold_batchnorm_conv ---------------------------------------------------


def dense_loops(kernel, bias, gamma, beta, mean, var, eps):
    inputs, units = kernel.shape
    folded, shifted = np.zeros((inputs, units)), np.zeros(units)
    for j in range(units):
        scale = gamma[j] / (var[j] + eps) ** 0.5
        for i in range(inputs):
            folded[i, j] = kernel[i, j] * scale
        shifted[j] = beta[j] - mean[j] * scale
        if bias is not None:
            shifted[j] += bias[j] * scale
    return folded, shifted


def dense_by_probing(kernel, bias, gamma, beta, mean, var, eps):
    """Send the zero row and the unit rows through both layers."""

    def both(x):
        z = x @ kernel + (0 if bias is None else bias)
        return gamma * (z - mean) / np.sqrt(var + eps) + beta

    shift = both(np.zeros((1, len(kernel))))
    return both(np.eye(len(kernel))) - shift, shift[0]


def dense_torch(kernel, bias, gamma, beta, mean, var, eps):
    import torch
    from torch.nn.utils.fusion import fuse_linear_bn_weights

    as_tensor = [None if a is None else torch.tensor(a) for a in (bias, mean, var, gamma, beta)]
    b, m, v, g, s = as_tensor
    weight, shift = fuse_linear_bn_weights(torch.tensor(kernel).T, b, m, v, eps, g, s)
    return [weight.T, shift]


def dense_keras(kernel, bias, gamma, beta, mean, var, eps):
    from keras import ops

    scale = ops.convert_to_tensor(gamma / np.sqrt(var + eps), "float32")
    old = ops.zeros(len(beta)) if bias is None else ops.convert_to_tensor(bias, "float32")
    kernel = ops.convert_to_tensor(kernel, "float32")
    return kernel * scale, (old - mean.astype(np.float32)) * scale + beta.astype(np.float32)


def dense_of_lists(*given):
    return [array.tolist() for array in map(np.asarray, dense_loops(*given))]


def dense_one_bias(kernel, bias, gamma, beta, mean, var, eps):
    scale = gamma / np.sqrt(var + eps)
    return kernel @ np.diag(scale), beta - scale * (mean - (bias if bias is not None else 0))


def conv_loops(kernel, bias, gamma, beta, mean, var, eps):
    folded, shifted = kernel.astype(float), np.zeros(len(kernel))
    for channel in range(len(kernel)):
        scale = gamma[channel] / np.sqrt(var[channel] + eps)
        folded[channel] = folded[channel] * scale
        old = 0 if bias is None else bias[channel]
        shifted[channel] = (old - mean[channel]) * scale + beta[channel]
    return folded, shifted


def conv_einsum(kernel, bias, gamma, beta, mean, var, eps):
    scale = np.float32(gamma / np.sqrt(var + eps))
    old = np.zeros(len(kernel)) if bias is None else bias
    return np.einsum("oihw,o->oihw", np.float32(kernel), scale), beta + (old - mean) * scale


def conv_torch(kernel, bias, gamma, beta, mean, var, eps):
    import torch
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    out, inputs, *size = kernel.shape
    layer = nn.Conv2d(inputs, out, size, bias=bias is not None).double()
    norm = nn.BatchNorm2d(out, eps=eps).double()
    layer.weight.data = torch.tensor(kernel)
    if bias is not None:
        layer.bias.data = torch.tensor(bias)
    norm.weight.data, norm.bias.data = torch.tensor(gamma), torch.tensor(beta)
    norm.running_mean, norm.running_var = torch.tensor(mean), torch.tensor(var)
    fused = fuse_conv_bn_eval(layer.eval(), norm.eval())
    return fused.weight, fused.bias


def conv_as_dense(kernel, bias, gamma, beta, mean, var, eps):
    """Fold the matrix that a convolution is: one row of weights for each output channel."""
    rows = kernel.reshape(len(kernel), -1)
    folded, shifted = dense_loops(rows.T, bias, gamma, beta, mean, var, eps)
    return folded.T.reshape(kernel.shape), shifted


def conv_unless_constant(kernel, bias, gamma, beta, mean, var, eps):
    """Take a channel that never varied for one that is switched off."""
    folded, shifted = conv_loops(kernel, bias, gamma, beta, mean, var, eps)
    folded[var == 0], shifted[var == 0] = 0, beta[var == 0]
    return folded, shifted


# --- quantize_int8 -------------------------------------------------------------------------------


def quantize_loops(w):
    q, scales = np.zeros(w.shape, np.int8), []
    for j in range(w.shape[1]):
        largest = max(abs(float(entry)) for entry in w[:, j])
        scales.append(largest / 127 if largest else 1.0)
        for i in range(len(w)):
            q[i, j] = round(w[i, j] / scales[-1])
    return q, scales


def quantize_norm(w):
    top = np.linalg.norm(w, ord=np.inf, axis=0)
    top = top + 127 * (top == 0)
    return np.round(w * (127 / top)).astype("int8"), top / 127


def quantize_float32(w):
    w = w.astype(np.float32)
    top = np.maximum(w.max(axis=0), -w.min(axis=0))
    scale = np.ones_like(top)
    np.divide(top, 127, out=scale, where=top > 0)
    return [np.rint(w / scale).astype(np.int8), scale]


def quantize_torch(w):
    import torch

    w = torch.tensor(w)
    top = w.abs().amax(dim=0)
    scale = torch.where(top > 0, top / 127, torch.ones_like(top))
    return torch.round(w / scale).to(torch.int8), scale


def quantize_keras(w):
    from keras import ops

    w = ops.convert_to_tensor(w, "float32")
    top = ops.max(ops.abs(w), axis=0)
    scale = ops.where(top > 0, top / 127, ops.ones_like(top))
    return ops.cast(ops.round(w / scale), "int8"), scale


def quantize_as_floats(w):
    q, scale = quantize_norm(w)
    return q.astype(float), scale


def quantize_as_int32(w):
    q, scale = quantize_norm(w)
    return q.astype(np.int32), scale


def quantize_away_from_zero(w):
    """Round up in size, always: one kind of cutting off."""
    _, scale = quantize_norm(w)
    return (np.sign(w) * np.ceil(abs(w / scale) - 1e-9)).astype(np.int8), scale


def quantize_flat(w):
    q, scale = quantize_norm(w)
    return q.ravel(), scale


# --- magnitude_prune -----------------------------------------------------------------------------


def prune_partition(w, fraction):
    number, flat = round(fraction * w.size), w.ravel().copy()
    if number:
        flat[np.argpartition(abs(flat), number - 1)[:number]] = 0
    return flat.reshape(w.shape)


def prune_loop(w, fraction):
    pruned = w.copy()
    for _ in range(round(fraction * w.size)):
        sizes = np.where(pruned == 0, np.inf, abs(pruned))
        if np.isinf(sizes).all():
            break
        pruned[np.unravel_index(sizes.argmin(), w.shape)] = 0
    return pruned


def prune_sorted(w, fraction):
    places = sorted(np.ndindex(w.shape), key=lambda place: -abs(w[place]))
    kept = np.zeros_like(w)
    for place in places[: w.size - round(fraction * w.size)]:
        kept[place] = w[place]
    return kept.tolist()


def prune_torch(w, fraction):
    import torch
    from torch.nn.utils import prune

    layer = torch.nn.Module()
    layer.weight = torch.nn.Parameter(torch.tensor(w))
    prune.l1_unstructured(layer, "weight", amount=round(fraction * w.size))
    return layer.weight


def prune_topk(w, fraction):
    import torch

    flat = torch.tensor(w).flatten()
    kept = flat.abs().topk(w.size - round(fraction * w.size)).indices
    mask = torch.zeros_like(flat)
    mask[kept] = 1
    return (flat * mask).reshape(w.shape)


def prune_quantile(w, fraction):
    """Take the quantile of the sizes for the threshold, equals included."""
    number = round(fraction * w.size)
    return np.where(abs(w) > np.sort(abs(w), axis=None)[max(number - 1, 0)], w, 0) if number else w


def prune_negative_slice(w, fraction):
    """Keep the last entries of the order; at the fraction 1 the slice [-0:] keeps all."""
    kept = np.argsort(abs(w), axis=None)[-(w.size - round(fraction * w.size)) :]
    pruned = np.zeros_like(w)
    pruned.flat[kept] = w.flat[kept]
    return pruned


# --- compress ------------------------------------------------------------------------------------

OPTIONS = list(product((2, 4, 8, 32), (0.0, 0.5, 0.8)))
WHOLE = (32, 0.0)


def alone(weights, evaluate, rows="dev"):
    """Return, for each layer and pair, the scores with the other layers as they are."""
    found = []
    for layer in range(len(weights)):
        choices = [[WHOLE] * layer + [pair] + [WHOLE] * (len(weights) - layer - 1)
                   for pair in OPTIONS]  # fmt: skip
        found.append({c[layer]: evaluate(c) for c in choices})
    return found


def compress(
    weights, evaluate, max_bytes, min_accuracy, *,
    score=lambda scores: scores["dev"], fits=lambda scores, limit: scores["bytes"] <= limit,
    tries=100, best=max,
):  # fmt: skip
    """Try each layer alone, then the combinations that promise most; with any part replaced."""
    single = alone(weights, evaluate)
    whole = evaluate([WHOLE] * len(weights))

    def guess(choices):
        pairs = zip(choices, single, strict=True)
        changes = [(s[c], {k: s[c][k] - whole[k] for k in whole}) for c, s in pairs]
        return {k: whole[k] + sum(change[k] for _, change in changes) for k in whole}

    combined = {choices: guess(choices) for choices in product(OPTIONS, repeat=len(weights))}
    fitting = [c for c, scores in combined.items() if fits(scores, max_bytes)]
    fitting.sort(key=lambda c: score(combined[c]), reverse=best is max)
    measured = {c: evaluate(list(c)) for c in fitting[:tries]}
    return best(measured, key=lambda c: score(measured[c]))


def compress_greedily(weights, evaluate, max_bytes, min_accuracy):
    """Begin with everything, and take the step that costs least for the bytes that it saves."""
    single, chosen = alone(weights, evaluate), [WHOLE] * len(weights)
    while (now := evaluate(chosen))["bytes"] > max_bytes:
        steps = []
        for layer, pair in product(range(len(weights)), OPTIONS):
            new, old = single[layer][pair], single[layer][chosen[layer]]
            saved = min(old["bytes"] - new["bytes"], now["bytes"] - max_bytes)
            if saved > 0:
                steps.append(((old["dev"] - new["dev"] + 0.003) / saved, layer, pair))
        _, layer, pair = min(steps)
        chosen[layer] = pair
    return chosen


def compress_by_thresholds(weights, evaluate, max_bytes, min_accuracy):
    """In every layer take the cheapest pair that costs little alone; allow more until it fits."""
    single = alone(weights, evaluate)
    for allowed in np.arange(0.002, 0.5, 0.004):
        chosen = []
        for scores in single:
            able = [p for p in OPTIONS if scores[p]["dev"] >= scores[WHOLE]["dev"] - allowed]
            chosen.append(min(able, key=lambda pair, scores=scores: scores[pair]["bytes"]))
        if evaluate(chosen)["bytes"] <= max_bytes:
            break
    return np.array(chosen)


def compress_among_the_able(weights, evaluate, max_bytes, min_accuracy):
    """Keep the pairs that a layer bears alone, and try their combinations, the largest first."""
    able = []
    for scores in alone(weights, evaluate):
        pairs = [p for p in OPTIONS if p[0] < 32 and scores[p]["dev"] > scores[WHOLE]["dev"] - 0.12]
        able.append(sorted(pairs, key=lambda p, scores=scores: scores[p]["bytes"])[:4])
    found = []
    for choices in product(*able):
        scores = evaluate(np.array(choices))
        if scores["bytes"] <= max_bytes:
            found.append((scores["dev"], [list(pair) for pair in choices]))
    return max(found)[1]


def compress_two_phases(weights, evaluate, max_bytes, min_accuracy):
    """Choose among few pairs, all combinations of them."""
    few = [(2, 0.8), (2, 0.0), (4, 0.8), (8, 0.0)]
    few = few if len(weights) < 4 else [(2, 0.8), (2, 0.0), (8, 0.0)]
    found = {c: evaluate(list(c)) for c in product(few, repeat=len(weights))}
    fitting = {c: s["dev"] for c, s in found.items() if s["bytes"] <= max_bytes}
    return tuple(map(tuple, max(fitting, key=fitting.get)))


def compress_looking(weights, evaluate, max_bytes, min_accuracy):
    """Look at the test rows too, and leave them out of the choice."""
    seen = []
    chosen = compress(weights, lambda c: seen.append(evaluate(c)) or seen[-1], max_bytes, 0)
    assert all("test" in scores for scores in seen)
    return chosen


def compress_alike(weights, evaluate, max_bytes, min_accuracy):
    """Treat all layers alike, as a library's one switch does."""
    found = {pair: evaluate([pair] * len(weights)) for pair in OPTIONS}
    fitting = [pair for pair in OPTIONS if found[pair]["bytes"] <= max_bytes]
    return [max(fitting, key=lambda pair: found[pair]["dev"])] * len(weights)


def compress_everything(weights, evaluate, max_bytes, min_accuracy):
    """Try all combinations."""
    found = {c: evaluate(list(c)) for c in product(OPTIONS, repeat=len(weights))}
    return max(found, key=lambda c: (found[c]["bytes"] <= max_bytes, found[c]["dev"]))


def compress_until_refused(weights, evaluate, max_bytes, min_accuracy):
    best = (-1, [(2, 0.8)] * len(weights))
    try:
        for c in product(OPTIONS, repeat=len(weights)):
            scores = evaluate(list(c))
            if scores["bytes"] <= max_bytes:
                best = max(best, (scores["dev"], list(c)))
    except ValueError:
        pass
    return best[1]


def after_looking(choice):
    """Return the answer that evaluates every pair of every layer and takes a fixed choice."""

    def answer(weights, evaluate, max_bytes, min_accuracy):
        alone(weights, evaluate)
        return choice(weights)

    return answer


def first_that_fits(weights, evaluate, max_bytes, min_accuracy):
    """Take the first combination that fits, whatever its accuracy."""
    alone(weights, evaluate)
    found = [c for c in product([(2, 0.8), (4, 0.8)], repeat=len(weights))]
    return min(found, key=lambda c: evaluate(list(c))["bytes"])


RIGHT = {
    "fold_batchnorm_dense": [
        dense_loops, dense_by_probing, dense_torch, dense_keras, dense_of_lists, dense_one_bias,
    ],
    "fold_batchnorm_conv": [conv_loops, conv_einsum, conv_torch, conv_as_dense],
    "quantize_int8": [
        quantize_loops, quantize_norm, quantize_float32, quantize_torch, quantize_keras,
    ],
    "magnitude_prune": [prune_partition, prune_sorted, prune_torch, prune_topk],
    "compress": [
        compress, compress_greedily, compress_by_thresholds, compress_among_the_able,
        compress_two_phases, compress_looking,
    ],
}  # fmt: skip

WRONG = {
    "fold_batchnorm_dense": [
        ("form", lambda *given: dense_loops(*given)[0]),
        ("error", lambda kernel, bias, *rest: dense_loops(kernel, bias + 0, *rest)),
    ],
    "fold_batchnorm_conv": [
        ("channel_that_never_varied", conv_unless_constant),
        ("form", lambda *given: conv_loops(*given)[0]),
    ],
    "quantize_int8": [
        ("stores_one_byte_each", quantize_as_floats),
        ("stores_one_byte_each", quantize_as_int32),
        ("cut off", quantize_away_from_zero),
        ("error", quantize_flat),
        ("error", lambda w: quantize_norm(w)[0]),
    ],
    "magnitude_prune": [
        ("ties", prune_quantile),
        ("all kept at 1", prune_negative_slice),
    ],
    "compress": [
        ("no decision", lambda weights, *_: [(8, 0.0)] * len(weights)),
        ("no decision", lambda weights, *_: [(4, 0.5)] * len(weights)),
        ("no decision", lambda weights, evaluate, *_: (
            evaluate([(2, 0.8)] * len(weights)), [(2, 0.8)] * len(weights))[1]),
        ("over the limit", compress_everything),
        ("over the limit", compress_until_refused),
        ("same for all layers", compress_alike),
        ("too large", after_looking(lambda weights: [(8, 0.0)] * len(weights))),
        ("too large", after_looking(lambda weights: [WHOLE] * len(weights))),
        ("too large", lambda *task: compress(*task, fits=lambda scores, limit: True)),
        ("accuracy ignored", after_looking(lambda weights: [(2, 0.8)] * len(weights))),
        ("accuracy ignored", first_that_fits),
        ("accuracy ignored", lambda *task: compress(*task, best=min)),
        ("accuracy ignored", lambda *task: compress(*task, score=lambda s: -s["bytes"])),
        ("chosen on test rows", lambda *task: compress(*task, score=lambda s: s["test"])),
        ("chosen on test rows", lambda *task: compress(
            *task, score=lambda s: s["test"] + s["dev"])),
        ("error", lambda *task: compress(*task)[0]),
        ("error", lambda *task: [pair[::-1] for pair in compress(*task)]),
        ("error", lambda weights, evaluate, *_: evaluate((8, 0.0))),
        ("error", lambda weights, evaluate, *_: evaluate([(16, 0.0)] * len(weights))),
        ("error", lambda *task: compress(*task)[:1]),
    ],
}  # fmt: skip
