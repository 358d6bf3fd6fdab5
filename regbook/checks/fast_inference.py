"""The checks of chapter 19: folding, rounding, pruning, and a choice of all of them per layer."""

from functools import partial
from itertools import product

import numpy as np

from regbook.exercise import AnswerError, Chapter, Failed, judge, outputs, plain, vary

chapter = Chapter("19_fast_inference")

EPS = 0.125  # large, so that a misplaced epsilon is far outside the tolerance


def _statistics(rng, units):
    """Draw gamma (with both signs), beta, mean and var of so many units, all far from 0 and 1."""
    signs = rng.permutation(np.where(np.arange(units) % 3 == 0, -1.0, 1.0))
    gamma, beta = signs * rng.uniform(1.5, 3, units), rng.uniform(0.5, 2, units)
    mean = rng.choice([-1.0, 1.0], units) * rng.uniform(1, 3, units)
    return gamma, beta, mean, rng.uniform(0.3, 2, units)


def _deviation(var, eps):
    return np.sqrt(var + eps)


# --- fold_batchnorm_dense ------------------------------------------------------------------------


def _shift(b, s, mean, beta):
    return (b - mean) * s + beta


def _dense(
    kernel, bias, gamma, beta, mean, var, eps, *,
    divisor=_deviation, shape=(1, -1), shift=_shift,
):  # fmt: skip
    """Fold; shape: how the scale is laid over the kernel; shift: the new bias."""
    scale = gamma / divisor(var, eps)
    old = np.zeros(len(beta)) if bias is None else bias
    return kernel * scale.reshape(shape), shift(old, scale, mean, beta)


def _kernel_in_place(kernel, bias, gamma, beta, mean, var, eps):
    folded, shifted = _dense(kernel, bias, gamma, beta, mean, var, eps)
    kernel *= gamma / _deviation(var, eps)
    return folded, shifted


def _none_stays_none(fold):
    """Return the fold that gives a layer without a bias one of zeros."""

    def folded(*given):
        kernel, bias = fold(*given)
        return kernel, (np.zeros_like(bias) if given[1] is None else bias)

    return folded


_SHIFTS = {
    "bias not scaled": lambda b, s, mean, beta: b - mean * s + beta,
    "bias dropped": lambda b, s, mean, beta: beta - mean * s,
    "mean not scaled": lambda b, s, mean, beta: b * s - mean + beta,
    "mean added": lambda b, s, mean, beta: (b + mean) * s + beta,
    "mean forgotten": lambda b, s, mean, beta: b * s + beta,
    "beta forgotten": lambda b, s, mean, beta: (b - mean) * s,
    "beta scaled": lambda b, s, mean, beta: (b - mean + beta) * s,
    "old bias kept": lambda b, s, mean, beta: b,
}


def _mistakes_of(fold, in_place):
    """Return the mistakes that both kinds of layers share, by name."""
    return {
        "changes its input": in_place,
        "no epsilon": [
            *(vary(fold, eps=eps) for eps in (0.0, 1e-5, 1e-3)),
            vary(fold, divisor=lambda var, eps: np.sqrt(np.maximum(var, eps))),
        ],
        "epsilon outside": vary(fold, divisor=lambda var, eps: np.sqrt(var) + eps),
        "no root": vary(fold, divisor=lambda var, eps: var + eps),
        **{name: vary(fold, shift=shift) for name, shift in _SHIFTS.items()},
        "no gamma": vary(fold, gamma=np.ones_like),
        "size of gamma": vary(fold, gamma=np.abs),
        "gamma and beta swapped": lambda k, b, gamma, beta, *rest: fold(k, b, beta, gamma, *rest),
        "kernel not scaled": lambda kernel, *rest: (kernel, fold(kernel, *rest)[1]),
        "no bias, no shift": _none_stays_none(fold),
    }


_HINTS = {
    "changes its input": "Your function writes into what it was given, so whoever called it has lost the layer. Make new arrays: kernel * scale does, kernel *= scale does not.",
    "no epsilon": "eps is not added, or not the one that you are given. It is added to the variance, under the root. Keras and PyTorch have different defaults, so a folded layer needs the eps of its own batch norm.",
    "epsilon outside": "You added eps to the standard deviation. It belongs to the variance, under the root.",
    "no root": "You divided by the variance. Divide by the root of var + eps.",
    "bias not scaled": "The old bias has to be scaled too: batch norm stands behind the whole layer, bias included.",
    "bias dropped": "The old bias is gone. It reaches batch norm like everything else: (bias - mean) * scale + beta.",
    "mean not scaled": "The mean is subtracted before the scaling, so it is scaled too.",
    "mean added": "The running mean is subtracted, not added.",
    "mean forgotten": "The running mean is missing in the new bias.",
    "beta forgotten": "beta is missing in the new bias.",
    "beta scaled": "beta is added after the scaling, so it is not scaled.",
    "old bias kept": "Your bias is the old one. Batch norm changes it: it subtracts the mean, scales and adds beta.",
    "no gamma": "gamma is missing in the scale.",
    "size of gamma": "You take gamma without its sign. A negative gamma turns the unit around.",
    "gamma and beta swapped": "gamma and beta have changed places: gamma multiplies, beta is added.",
    "kernel not scaled": "The kernel is the old one. Each unit's weights are multiplied by its scale.",
}

dense = chapter.exercise(
    "fold_batchnorm_dense",
    _dense,
    mistakes={
        **_mistakes_of(_dense, _kernel_in_place),
        "input axis": vary(_dense, shape=(-1, 1)),
    },
    hints={
        **_HINTS,
        "input axis": "You scaled the rows of the kernel, which belong to the inputs. Batch norm scales the outputs: one factor for each column of a kernel (in, out).",
        "no bias, no shift": "Where the layer has no bias, the folded one still needs one: take 0 for the old bias.",
    },
)


@dense.check(
    points=2,
    hint="Write batch norm in inference as scale * z + shift, put z = x @ kernel + bias into it, and collect what multiplies x.",
    more="scale = gamma / sqrt(var + eps). The new kernel is the old one with each column multiplied by its scale; the new bias is (bias - mean) * scale + beta.",
    keeps_input=True,
)
def dense_layer_equals_the_two(ask, rng):
    """returns the kernel and the bias of one layer that does the work of two"""
    kernel, bias = rng.normal(size=(4, 4)), rng.normal(size=4)
    return ask(kernel, bias, *_statistics(rng, 4), EPS)


@dense.check(
    hint="Without a bias the old one is 0, and the new one is not: batch norm shifts.",
    more="`bias` is None when the layer has none. Put zeros of the length of beta in its place, and go on as before.",
)
def dense_layer_without_a_bias(ask, rng):
    """gives a layer without a bias the bias that it needs, for wide and for narrow layers"""
    shapes = {"3 inputs, 5 units": (3, 5), "6 inputs, 2 units": (6, 2), "one unit": (3, 1)}
    return {
        name: ask(rng.normal(size=shape), None, *_statistics(rng, shape[1]), EPS)
        for name, shape in shapes.items()
    }


@dense.check(
    hint="A running variance of 0 is no special case, because eps stands beside it.",
    more="With var = 0 the scale is gamma / sqrt(eps).",
)
def dense_unit_that_never_varied(ask, rng):
    """treats a unit whose running variance is 0 like any other, with a small eps too"""
    gamma, beta, mean, var = _statistics(rng, 3)
    kernel, bias = rng.normal(size=(3, 3)), rng.normal(size=3)
    return ask(kernel, bias, gamma, beta, mean, var * [1, 0, 1], 2.0**-8)


# --- fold_batchnorm_conv -------------------------------------------------------------------------


_conv = partial(_dense, shape=(-1, 1, 1, 1))


def _conv_in_place(kernel, bias, gamma, beta, mean, var, eps):
    folded, shifted = _conv(kernel, bias, gamma, beta, mean, var, eps)
    kernel[:] = folded
    return kernel, shifted


def _mean_scale(kernel, bias, gamma, beta, mean, var, eps):
    scale = (gamma / _deviation(var, eps)).mean()
    return kernel * scale, _conv(kernel, bias, gamma, beta, mean, var, eps)[1]


conv = chapter.exercise(
    "fold_batchnorm_conv",
    _conv,
    mistakes={
        **_mistakes_of(_conv, _conv_in_place),
        "last axis": vary(_conv, shape=(1, 1, 1, -1)),
        "input axis": vary(_conv, shape=(1, -1, 1, 1)),
        "height axis": vary(_conv, shape=(1, 1, -1, 1)),
        "one scale for all": _mean_scale,
        "pixels counted": vary(_conv, shift=lambda b, s, mean, beta: (9 * b - mean) * s + beta),
        "norm before the layer": lambda kernel, bias, gamma, beta, mean, var, eps: (
            kernel * (gamma / _deviation(var, eps))[:, None, None, None],
            (0 if bias is None else bias)
            + (kernel.sum(axis=(2, 3)) @ (beta - mean * gamma / _deviation(var, eps))),
        ),
    },
    hints={
        **_HINTS,
        "last axis": "`kernel * scale` lays the factors along the last axis, which is the width here. The output channels are the first axis: reshape the scale to (out, 1, 1, 1).",
        "input axis": "You scaled the second axis, the input channels. Batch norm scales the output channels, the first axis of this layout.",
        "height axis": "You scaled the height axis. The output channels are the first axis of this layout.",
        "one scale for all": "Every output channel has its own scale.",
        "pixels counted": "The bias is added once to every output pixel, however large the kernel is.",
        "norm before the layer": "You folded as if batch norm stood before the convolution. It stands behind it.",
        "no bias, no shift": "Where the layer has no bias, the folded one still needs one: take 0 for the old bias.",
    },
)


@conv.check(
    points=2,
    hint="The rule is that of a dense layer, channel by channel. Which axis of (out, in, height, width) belongs to the channels that batch norm sees?",
    more="scale.reshape(-1, 1, 1, 1) lays one factor over each kernel of an output channel. The bias has the same formula as in a dense layer.",
    keeps_input=True,
)
def convolution_equals_the_two(ask, rng):
    """returns the kernel and the bias of one convolution that does the work of two layers"""
    kernel, bias = rng.normal(size=(3, 3, 3, 3)), rng.normal(size=3)
    return ask(kernel, bias, *_statistics(rng, 3), EPS)


@conv.check(
    hint="Other sizes show another answer: the number of channels, and of pixels in the kernel, must not matter.",
    more="Take the number of output channels from gamma or from kernel.shape[0]. `bias` is None when the layer has none.",
)
def convolutions_of_other_sizes(ask, rng):
    """folds 1 x 1 kernels, more outputs than inputs, and layers without a bias"""
    found = {}
    for name, shape in {"1 x 1 kernels": (4, 2, 1, 1), "5 outputs": (5, 2, 3, 2)}.items():
        for bias in (rng.normal(size=shape[0]), None):
            given = rng.normal(size=shape), bias, *_statistics(rng, shape[0]), EPS
            found[f"{name}, {'no' if bias is None else 'a'} bias"] = ask(*given)
    return found


@conv.check(
    hint="A running variance of 0 is no special case, because eps stands beside it.",
    more="With var = 0 the scale is gamma / sqrt(eps).",
)
def channel_that_never_varied(ask, rng):
    """treats a channel whose running variance is 0 like any other"""
    gamma, beta, mean, var = _statistics(rng, 3)
    kernel, bias = rng.normal(size=(3, 2, 3, 3)), rng.normal(size=3)
    return ask(kernel, bias, gamma, beta, mean, var * [0, 1, 1], 2.0**-8)


# --- quantize_int8 -------------------------------------------------------------------------------


def _largest(w):
    return abs(w).max(axis=0)


def _int8(w, *, largest=_largest, levels=127, rounding=np.rint, stored=lambda q: q.clip(-127, 127)):
    """Quantize; largest: what is mapped to `levels`; stored: what the rounded numbers become."""
    top = np.broadcast_to(largest(w), w.shape[1:])
    scale = np.where(top > 0, top / levels, 1.0)
    return stored(rounding(w / scale)).astype(np.int8), scale


def _wraps(q):
    """Store as int8 whatever comes, as a cast of integers does."""
    return q.astype(np.int64).astype(np.int8)


def _nan_for_zeros(w):
    with np.errstate(all="ignore"):
        q, scale = _int8(w)
        return q, np.where(_largest(w) > 0, scale, np.nan)


def _by_range(w):
    """Use a zero point, as for numbers that are not centred: minimum and maximum."""
    low, high = w.min(axis=0), w.max(axis=0)
    scale = np.where(high > low, (high - low) / 255, 1.0)
    return _wraps(np.rint((w - low) / scale) - 128), scale


def _away_from_zero(q):
    return np.sign(q) * np.ceil(abs(q) - 1e-9)


def _by_row(w):
    q, scale = _int8(w.T)
    return q.T, scale


quantize = chapter.exercise(
    "quantize_int8",
    _int8,
    mistakes={
        "changes its input": lambda w: (_int8(w), w.__imul__(0))[0],
        "one scale": vary(_int8, largest=lambda w: abs(w).max()),
        "by row": _by_row,
        "cut off": [
            vary(_int8, rounding=np.trunc),
            vary(_int8, rounding=np.floor),
            vary(_int8, rounding=np.ceil),
            vary(_int8, rounding=_away_from_zero),
        ],
        "no size": vary(_int8, largest=lambda w: w.max(axis=0), stored=_wraps),
        "divided by 128": [
            vary(_int8, levels=128, stored=_wraps),
            vary(_int8, levels=128),
        ],
        "divided by 255": vary(_int8, levels=255),
        "scale inverted": lambda w: (_int8(w)[0], 1 / _int8(w)[1]),
        "zero point": _by_range,
        "rounded values": lambda w: ((q := _int8(w))[0] * q[1], q[1]),
        "three deviations": vary(_int8, largest=lambda w: 3 * w.std(axis=0)),
        "nan for zeros": _nan_for_zeros,
        "order": lambda w: _int8(w)[::-1],
    },
    hints={
        "changes its input": "Your function writes into w, so whoever called it has lost the weights. Make a new array.",
        "one scale": "You took one scale for the whole matrix. Each column has its own: its largest entry may be far from that of another column.",
        "by row": "You took one scale for each row. A column of w holds the weights of one unit, and each column has its own scale.",
        "cut off": "You cut the digits off, or round all numbers in one direction. Round to the nearest whole number (np.round).",
        "no size": "You took the largest entry with its sign. In a column whose largest size is negative the rounded numbers leave the range of int8, and wrap around. Take the largest of abs(w).",
        "divided by 128": "You divided by 128. int8 ends at +127, so the largest positive weight becomes 128, which wraps around to -128 or is clipped. Divide by 127.",
        "divided by 255": "You divided by 255. The sizes run from 0 to 127 here, the sign is stored apart.",
        "scale inverted": "Your scale is the inverse (Keras stores that one). Here q * scale has to give w back.",
        "zero point": "You use a zero point, which maps the smallest entry to -128. The symmetric rule maps 0 to 0, and needs a scale only.",
        "rounded values": "You returned q * scale, the rounded weights. Return the whole numbers q.",
        "three deviations": "You took three standard deviations for the end of the range. Take the largest size: what lies beyond the end would be cut off.",
        "nan for zeros": "A column of zeros has no largest size: its scale is 1 and its q is 0, without NaN.",
        "order": "Return q first, then the scale.",
    },
)


def _weights(rng, rows=7, columns=5):
    """Draw a kernel: columns of very different sizes, the largest size with either sign."""
    w = rng.uniform(-0.9, 0.9, size=(rows, columns))
    w[rng.integers(rows, size=columns), np.arange(columns)] = np.where(
        rng.permutation(columns) % 2 == 0, -1.0, 1.0
    )
    w *= 10.0 ** rng.permutation(np.linspace(-2, 1, columns))
    q = w / (abs(w).max(axis=0) / 127)
    tie = abs(abs(q - np.trunc(q)) - 0.5) < 0.02  # no entry near a tie, where float32 decides
    return np.where(tie, w * 0.93, w)


@quantize.check(
    points=2,
    hint="For each column: the largest size is 127 times the scale, and q is w / scale, rounded.",
    more="scale = abs(w).max(axis=0) / 127, and q = np.round(w / scale).",
    keeps_input=True,
)
def rounds_each_column_to_its_scale(ask, rng):
    """returns the whole numbers and one scale a column"""
    w = _weights(rng)
    return outputs(ask(w), w.shape, w.shape[1:])


@quantize.check(
    hint="The whole numbers are to be stored in one byte each.",
    more="q.astype(np.int8) stores them so, once they are rounded and lie between -127 and 127.",
)
def stores_one_byte_each(ask, rng):
    """returns q as int8, one byte a number"""
    q = ask(_weights(rng))
    q = q[0] if isinstance(q, tuple) else q
    kind = str(getattr(q, "dtype", type(q).__name__))
    return judge(kind == "int8", "int8", kind)


@quantize.check(
    hint="q * scale must give every weight back to within half a scale.",
    more="Rounding to the nearest whole number errs by at most 1/2, so q * scale errs by at most scale / 2.",
)
def gives_the_weights_back(ask, rng):
    """gives every weight back as q * scale, up to half a scale"""
    w = _weights(rng, rows=9, columns=4)
    q, scale = outputs(ask(w), w.shape, w.shape[1:])
    errors = abs(q * scale - w) / (abs(w).max(axis=0) / 127)
    return {"errors above half a scale": (errors > 0.501).sum()}


@quantize.check(
    hint="A column of zeros divides by zero unless it is treated apart.",
    more="np.where(top > 0, top / 127, 1.0) gives the scale 1 where the largest size is 0. Then w / scale is 0.",
)
def survives_a_column_of_zeros(ask, rng):
    """gives a column of zeros the scale 1 and zeros, and treats one entry like many"""
    w = _weights(rng)
    w[:, rng.integers(1, 4)] = 0
    return {"a column of zeros": ask(w), "one row": ask(w[:1] + 0.1), "all zeros": ask(0 * w)}


# --- magnitude_prune -----------------------------------------------------------------------------


def _prune(w, fraction, *, score=np.abs, count=lambda fraction, size: round(fraction * size)):
    """Prune; score: the entries with the smallest go; count: how many."""
    pruned = np.array(w, dtype=float)
    smallest = np.argsort(score(w), axis=None, kind="stable")[: count(fraction, w.size)]
    pruned.flat[smallest] = 0
    return pruned


def _in_place(w, fraction):
    w[...] = _prune(w, fraction)
    return w


def _below(threshold):
    """Return the pruning that takes all entries whose size is below a threshold."""
    return lambda w, fraction: np.where(abs(w) < threshold(w, fraction), 0, w)


def _by_slice(axis):
    def prune(w, fraction):
        if w.ndim < 2:
            return _prune(w, fraction)
        pruned = np.moveaxis(np.array(w, dtype=float), axis, 0)
        for part in pruned:
            part[...] = _prune(part, fraction)
        return np.moveaxis(pruned, 0, axis)

    return prune


def _soft(w, fraction):
    pruned = _prune(w, fraction)
    gone = abs(w[pruned == 0]).max(initial=0)
    return np.sign(pruned) * (abs(pruned) - gone).clip(0)


def _threshold_with_ties(w, fraction):
    """Take all entries up to the size of the last one that goes, its equals included."""
    number = round(fraction * w.size)
    if not number:
        return w
    return np.where(abs(w) <= np.sort(abs(w), axis=None)[number - 1], 0, w)


def _kept_from_the_end(w, fraction):
    """Keep the last entries of the order: a slice [-0:] holds all."""
    kept = np.argsort(abs(w), axis=None, kind="stable")[-(w.size - round(fraction * w.size)) :]
    pruned = np.zeros(w.shape)
    pruned.flat[kept] = w.flat[kept]
    return pruned


prune = chapter.exercise(
    "magnitude_prune",
    _prune,
    mistakes={
        "changes its input": _in_place,
        "largest pruned": vary(_prune, score=lambda w: -abs(w)),
        "sign counts": vary(_prune, score=lambda w: w),
        "share kept": vary(_prune, count=lambda fraction, size: size - round(fraction * size)),
        "share of the maximum": _below(lambda w, fraction: fraction * abs(w).max()),
        "threshold for share": _below(lambda w, fraction: fraction),
        "by row": _by_slice(0),
        "by column": _by_slice(1),
        "ties": _threshold_with_ties,
        "mask": lambda w, fraction: (_prune(w, fraction) != 0).astype(float),
        "sizes": lambda w, fraction: abs(_prune(w, fraction)),
        "one too many": vary(_prune, count=lambda fraction, size: round(fraction * size) + 1),
        "cut off": vary(_prune, count=lambda fraction, size: int(fraction * size)),
        "shrunk": _soft,
        "all kept at 1": _kept_from_the_end,
        "shape lost": lambda w, fraction: _prune(w, fraction).ravel(),
    },
    hints={
        "changes its input": "Your function writes into w, so whoever called it has lost the weights. Begin with w.copy().",
        "largest pruned": "You set the largest weights to 0. The smallest go.",
        "sign counts": "You compare the weights with their signs, so the most negative ones go. Compare their sizes.",
        "share kept": "You keep the fraction. It is the share of the entries that go.",
        "share of the maximum": "Your threshold is a share of the largest size. Count instead: the given fraction of the entries goes, whatever their sizes.",
        "all kept at 1": "With the fraction 1 you keep everything. A slice of the last n entries, [-n:], holds all entries where n is 0.",
        "threshold for share": "You take the fraction for a threshold on the sizes. It is a share of the entries.",
        "by row": "You prune each row by itself. Compare all entries of the array.",
        "by column": "You prune each column by itself. Compare all entries of the array.",
        "ties": "You compare with a threshold, so entries of equal size go or stay together, and the number is not kept. Take the entries one by one, in the order of their sizes.",
        "mask": "You returned the mask. Return the weights.",
        "sizes": "Your weights have lost their signs.",
        "one too many": "One entry too many is 0.",
        "cut off": "You cut the digits off fraction * size. Round it to the nearest whole number.",
        "shrunk": "You subtract the threshold from what stays, as the proximal step of an L1 penalty does. What stays is left as it is.",
        "shape lost": "Return the weights in the shape of w.",
    },
)


def _distinct(rng, shape, scale=10):
    """Draw weights of distinct sizes and both signs; equal steps, so that no draw is a hard one."""
    size = int(np.prod(shape))
    sizes = scale * (rng.permutation(size) + rng.uniform(1.2, 1.8)) / size
    return (sizes * rng.permutation(np.where(np.arange(size) % 2, -1.0, 1.0))).reshape(shape)


@prune.check(
    points=2,
    hint="Sort the sizes, and set the first round(fraction * w.size) entries of that order to 0.",
    more="np.argsort(abs(w), axis=None) gives the places of the entries in the order of their sizes, counted through the whole array; w.copy().flat[places] = 0 sets them.",
    keeps_input=True,
)
def zeroes_the_smallest(ask, rng):
    """sets the given share of a matrix to 0, the smallest sizes, and leaves the rest"""
    w = _distinct(rng, (4, 6))
    return {f"fraction {share}": ask(w, share) for share in (0.25, 0.625, 0.75)}


@prune.check(
    hint="The array may have any shape: a kernel of a convolution, a vector, one entry.",
    more="w.size counts all entries, and `flat` reaches them whatever the shape is. Let the result have the shape of w.",
)
def takes_any_shape(ask, rng):
    """prunes kernels of convolutions and vectors, and rounds the number of entries"""
    return {
        "a kernel (2, 3, 2, 2)": ask(_distinct(rng, (2, 3, 2, 2)), 0.5),
        "a vector of 11": ask(_distinct(rng, (11,)), 0.8),  # 8.8 entries
        "small weights": ask(_distinct(rng, (3, 5), scale=0.01), 0.4),
    }


@prune.check(
    hint="With the fraction 0 all weights stay, with 1 all go.",
    more="round(0 * size) entries are none, and round(1 * size) are all. A slice [:0] is empty, but [-0:] is not.",
)
def takes_none_and_all(ask, rng):
    """keeps everything at the fraction 0 and nothing at 1, zeros included"""
    w = _distinct(rng, (3, 4))
    w[0, 0] = -0.0
    return {"fraction 0": ask(w, 0.0), "fraction 1": ask(w, 1.0), "zeros": ask(0 * w, 0.5)}


@prune.check(
    hint="Some entries have equal sizes. The number that goes is still round(fraction * w.size).",
    more="A comparison with a threshold treats equal sizes alike. An order (argsort) does not.",
)
def keeps_the_number_at_ties(ask, rng):
    """sets the right number to 0 where sizes are equal, and no larger one than it keeps"""
    signs = rng.permutation(np.where(np.arange(12) % 2, -1.0, 1.0))
    w = (signs * rng.permutation([1.0] * 2 + [2.0] * 6 + [3.0] * 4)).reshape(3, 4)
    (pruned,) = outputs(ask(w, 5 / 12), w.shape)
    gone = pruned == 0
    return {
        "zeros": gone.sum(),
        "sum of the sizes that went": abs(w[gone]).sum(),
        "what stays": (pruned == w)[~gone].all() * 1.0,
    }


# --- compress ------------------------------------------------------------------------------------

BITS, SPARSITIES = (2, 4, 8, 32), (0.0, 0.5, 0.8)
CALLS = 200  # of `evaluate`
OPTIONS = list(product(BITS, SPARSITIES))

compress = chapter.exercise(
    "compress",
    hints={
        "over the limit": f"You call `evaluate` more than {CALLS} times. Not every combination can be tried: find out what each layer bears, with the others as they are, and then combine.",
        "no decision": "You do not compare: call `evaluate` with several choices.",
        "same for all layers": "You try choices only that treat all layers alike. The layers differ: one bears few bits, another many zeros, and a third neither.",
        "too large": "Your choice takes more than `max_bytes`. Compare `evaluate(choices)[\"bytes\"]` with it.",
        "chosen on test rows": "You choose by the accuracy on the test rows. They are there to report how good the choice is, and cannot once they have taken part in it: choose by dev alone.",
        "accuracy ignored": "Your choice fits into `max_bytes`, but its dev accuracy is below `min_accuracy`, and smaller is not asked for. Take one that reaches it.",
        "too inaccurate": "Your choice fits into `max_bytes`, but on hidden rows it is less accurate than `min_accuracy`. Of the choices that fit, take the one with the highest dev accuracy.",
    },
)  # fmt: skip


def _compressed(w, bits, sparsity):
    """Return a kernel after both steps: pruned, then rounded to a scale a column."""
    pruned = _prune(w, sparsity)
    if bits == 32:
        return pruned
    top = abs(pruned).max(axis=0)
    scale = np.where(top > 0, top / (2 ** (bits - 1) - 1), 1.0)
    return np.rint(pruned / scale) * scale


def _bytes(w, bits, sparsity):
    """Return what a kernel takes: its numbers, one bit an entry for the zeros, and the scales."""
    kept = w.size - round(sparsity * w.size)
    zeros = np.ceil(w.size / 8) if sparsity else 0
    return int(np.ceil(kept * bits / 8) + zeros + (4 * w.shape[1] if bits < 32 else 0))


class _Trials:
    """The choices that an answer evaluates, counted here, where it cannot reach the count."""

    def __init__(self, kernels, score):
        """score: makes the accuracies, by the name of the rows, of a choice (a tuple of pairs)."""
        self.kernels, self.scores = kernels, score
        self.seen, self.calls = {}, 0

        def evaluate(choices, /):  # not a method: an answer gets copies of its arguments
            self.calls += 1
            if self.calls > CALLS:
                raise ValueError(f"evaluate may be called {CALLS} times")
            chosen = self.read(plain(choices))
            if chosen not in self.seen:
                self.seen[chosen] = {"bytes": self.bytes(chosen), **self.scores(chosen)}
            return dict(self.seen[chosen])

        self.evaluate = evaluate

    def read(self, value):
        """Return a tuple of one pair (bits, sparsity) a layer; raise ValueError, in a sentence."""
        try:
            pairs = np.array([np.asarray(pair, dtype=float) for pair in value])
        except (TypeError, ValueError):
            pairs = np.zeros(0)
        if pairs.shape != (len(self.kernels), 2):
            raise ValueError("take one pair (bits, sparsity) for each layer, in a list")
        found = []
        for bits, sparsity in pairs:
            near = min(OPTIONS, key=lambda o: (abs(o[0] - bits), abs(o[1] - sparsity)))
            if abs(near[0] - bits) + abs(near[1] - sparsity) > 1e-6:
                raise ValueError(f"bits are one of {BITS}, the sparsity one of {SPARSITIES}")
            found.append(near)
        return tuple(found)

    def bytes(self, chosen):
        return sum(_bytes(w, *pair) for w, pair in zip(self.kernels, chosen, strict=True))

    def decide(self, ask, max_bytes, min_accuracy):
        """Ask; return the choice. Raises Failed beyond the limit or without a comparison."""
        try:
            answer = ask(self.kernels, self.evaluate, max_bytes, min_accuracy)
        except AnswerError:
            if self.calls <= CALLS:
                raise
        if self.calls > CALLS:
            raise Failed(f"at most {CALLS} calls of evaluate", f"{self.calls}", "over the limit")
        if len(self.seen) < 2:
            raise Failed("several choices tried", f"{len(self.seen)} tried", "no decision")
        try:
            return self.read(answer)
        except ValueError as error:
            raise AnswerError(f"Your function's answer cannot be used: {error}.") from error


KINDS = {"rough": (2, 0.0), "sparse": (4, 0.8), "fine": (8, 0.0)}  # what each kind bears


class _Network:
    """A network whose hidden layers bear different steps: units, ReLU, a fixed scaling, classes."""

    UNITS, CLASSES = 40, 5

    def __init__(self, rng, kinds):
        self.kernels, self._factors = zip(*(self._layer(rng, kind) for kind in kinds), strict=True)
        self._out = rng.normal(size=(self.UNITS, self.CLASSES))
        self._inputs = {
            name: rng.normal(size=(number, self.UNITS)).astype(np.float32)
            for name, number in {"dev": 1200, "test": 400, "hidden": 3000}.items()
        }
        means = self._hidden(self.kernels, self._inputs["hidden"]) @ self._out
        self._shift = means.mean(axis=0)  # so that every class is met
        self._labels = {name: self._answer(self.kernels, name) for name in self._inputs}

    def _layer(self, rng, kind):
        """Return a kernel and the factors of its inputs."""
        n = self.UNITS
        w, factors = rng.normal(size=(n, n)), np.ones(n)
        if kind == "rough":  # two values
            w = rng.choice([-1.0, 1.0], (n, n)) * rng.uniform(0.85, 1, (n, n))
        elif kind == "sparse":  # an eighth of the weights does the work
            large = rng.permuted(np.tile(np.arange(n) < n // 8, (n, 1)).T, axis=0)
            w = np.where(large, np.sign(w) * rng.uniform(0.5, 1, (n, n)), 0.01 * w)
        else:  # four inputs are small, and their weights large
            small = rng.permutation(n) < 4
            factors = np.where(small, 1 / 12, 1.0)
            w = w / factors[:, None]
        gain = np.sqrt(2 / ((w * factors[:, None]) ** 2).sum(axis=0).mean())
        return gain * w, factors

    def _hidden(self, kernels, x):
        h = x
        for w, factors in zip(kernels, self._factors, strict=True):
            h = np.maximum((h * factors.astype(np.float32)) @ w.astype(np.float32), 0)
        return h

    def _answer(self, kernels, name):
        return (self._hidden(kernels, self._inputs[name]) @ self._out - self._shift).argmax(axis=1)

    def scores(self, chosen, names=("dev", "test")):
        """Return the accuracy after a choice, by the name of the rows."""
        kernels = [_compressed(w, *pair) for w, pair in zip(self.kernels, chosen, strict=True)]
        right = {name: self._answer(kernels, name) == self._labels[name] for name in names}
        return {name: float(hit.mean()) for name, hit in right.items()}


def _fits(trials, chosen, max_bytes):
    return trials.bytes(chosen) <= max_bytes


@compress.check(
    points=3,
    hint="Your choice misses one of the bounds on hidden rows. Find out what each layer bears, combine, and check the combination by its dev accuracy.",
    more="Evaluate every pair (bits, sparsity) of one layer while the others stay at (32, 0.0): 12 calls a layer. Then combine the cheapest pairs that cost little, and go back in the layer that costs most until the dev accuracy suffices.",
)
def does_well_on_hidden_rows(ask, rng):
    """meets both bounds on hidden rows, whichever layer bears which step"""
    orders = [list(KINDS), list(KINDS)[::-1]] if rng.random() < 0.5 else [
        ["sparse", "fine", "rough"], ["fine", "rough", "sparse"],
    ]  # fmt: skip
    shown = []
    for kinds in orders:
        network = _Network(rng, kinds)
        trials = _Trials(network.kernels, network.scores)
        good = tuple(KINDS[kind] for kind in kinds)
        max_bytes = int(1.25 * trials.bytes(good))
        reached = network.scores(good, ["hidden"])["hidden"]
        least = round(reached - 0.05, 3)
        chosen = trials.decide(ask, max_bytes, least)
        found = network.scores(chosen, ["hidden"])["hidden"]
        size = trials.bytes(chosen)
        mistakes = {
            "same for all layers": all(len(set(c)) == 1 for c in trials.seen),
            "too large": size > max_bytes,
            "accuracy ignored": network.scores(chosen)["dev"] < least - 0.02,
            "too inaccurate": True,
        }
        shown.append(
            (
                f"at most {max_bytes} bytes and at least {least - 0.03:.3f}",
                f"{size} bytes and {found:.3f}",
            )
        )
        if size > max_bytes or found < least - 0.03 or mistakes["same for all layers"]:
            return judge(False, *shown[-1], mistakes)
    return judge(True, *map("; ".join, zip(*shown, strict=True)))


def _made_up(rng, layers):
    """Return kernels, and accuracies that come from a table: dev rows need one layer, test another.

    The layer that they need bears 8 bits and no zeros; the others bear anything.
    """
    kernels = tuple(rng.normal(size=(24, 24)) for _ in range(layers))
    needed = dict(zip(("dev", "test"), rng.permutation(layers)[:2].tolist(), strict=True))

    def score(chosen):
        found = {}
        for name, layer in needed.items():
            loss = [(8 / bits > 1) * 0.1 * (8 / bits) + 0.2 * zeros for bits, zeros in chosen]
            rest = sum(loss) - loss[layer]
            weight = 1.5 if name == "test" else 1  # so that the sum of both follows the test rows
            found[name] = 0.95 - weight * loss[layer] - 0.004 * rest
        return found

    cheap, kept = (_bytes(kernels[0], *pair) for pair in ((2, 0.8), (8, 0.0)))
    return kernels, score, kept + (layers - 1) * cheap + 40


def _judged(trials, chosen, max_bytes, least):
    """Judge a choice by both bounds; least: on the dev rows."""
    scores = trials.scores(chosen)
    size = trials.bytes(chosen)
    passed = size <= max_bytes and scores["dev"] >= least
    fitting = [seen for seen in trials.seen.values() if seen["bytes"] <= max_bytes]
    best_test = max((seen["test"] for seen in fitting), default=2)
    best_sum = max((seen["test"] + seen["dev"] for seen in fitting), default=2)
    return judge(
        passed,
        f"at most {max_bytes} bytes and a dev accuracy of {least:.3f} or more",
        f"{size} bytes and {scores['dev']:.3f}",
        {
            "same for all layers": all(len(set(c)) == 1 for c in trials.seen),
            "too large": size > max_bytes,
            "chosen on test rows": scores["test"] >= min(least, best_test)
            or scores["test"] + scores["dev"] >= best_sum,
            "accuracy ignored": True,
        },
    )


@compress.check(
    points=3,
    hint="Of the choices that fit, the one that you return must reach `min_accuracy` on the dev rows.",
    more='`evaluate` returns a dict: compare its "bytes" with `max_bytes` and its "dev" with `min_accuracy`. "test" has no part in the choice.',
)
def chooses_by_the_dev_rows(ask, rng):
    """meets both bounds on the dev rows, when dev and test rows need different layers"""
    for _ in range(3):
        kernels, score, max_bytes = _made_up(rng, 3)
        trials = _Trials(kernels, score)
        outcome = _judged(trials, trials.decide(ask, max_bytes, 0.9), max_bytes, 0.9)
        if not outcome.passed:
            return outcome
    return outcome


@compress.check(
    hint="The number of layers is len(weights), and not always 3.",
    more="Two layers have 24 pairs to try one at a time, four have 48. Both are far below the limit.",
)
def takes_any_number_of_layers(ask, rng):
    """decides within the limit of calls for two layers, and for four"""
    for layers in (2, 4):
        kernels, score, max_bytes = _made_up(rng, layers)
        trials = _Trials(kernels, score)
        outcome = _judged(trials, trials.decide(ask, max_bytes, 0.88), max_bytes, 0.88)
        if not outcome.passed:
            return outcome
    return judge(True, f"at most {CALLS} calls", f"{trials.calls}")
