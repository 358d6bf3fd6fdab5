"""Checks of chapter 05, initialization."""

import itertools

import numpy as np

from regbook.check import Chapter, Outcome, Wrong, brief, compare

chapter = Chapter("05_initialization")

CUT = 0.87962566103423978  # the standard deviation of a Gaussian that is cut at two of its own


@chapter.check(
    "he_std",
    points=2,
    hint="The variance of He initialization is 2 / fan_in; the standard deviation is its root.",
    more="Write np.sqrt(2 / fan_in).",
)
def is_the_root_of_two_over_fan_in(answer, rng):
    """is the root of 2 / fan_in"""
    fan_in = int(rng.integers(20, 500))
    return compare(
        answer(fan_in),
        np.sqrt(2 / fan_in),
        wrong=[
            Wrong("variance", 2 / fan_in, "That is the variance. Take the root."),
            Wrong(
                "LeCun",
                np.sqrt(1 / fan_in),
                "The factor 2 is missing: ReLU keeps half of the mean square, and He makes up for it. Yours is LeCun.",
            ),
            Wrong(
                "root of two only",
                np.sqrt(2) / fan_in,
                "fan_in belongs under the root as well.",
            ),
            Wrong(
                "limit",
                np.sqrt(6 / fan_in),
                "That is the limit of He uniform. Its standard deviation is the limit divided by the root of 3.",
            ),
            Wrong(
                "upside down",
                np.sqrt(fan_in / 2),
                "Upside down: the more inputs a unit adds up, the smaller each weight must be.",
            ),
            Wrong(
                "multiplied",
                np.sqrt(2 * fan_in),
                "Divide by fan_in: the more inputs a unit adds up, the smaller each weight must be.",
            ),
            Wrong(
                "truncation",
                np.sqrt(2 / fan_in) / CUT,
                "That is the Gaussian before Keras cuts it. The weights themselves have the root of 2 / fan_in.",
            ),
            Wrong(
                "PyTorch default",
                np.sqrt(1 / (3 * fan_in)),
                "That is the default of nn.Linear, which is not He initialization.",
            ),
        ],
    )


@chapter.check(
    "he_std",
    hint="Four times as many inputs: half the standard deviation. Arrays of fans work entry by entry.",
    more="np.sqrt takes arrays; math.sqrt does not.",
)
def halves_for_four_times_the_inputs(answer, rng):
    """works for an array, and halves when fan_in grows fourfold"""
    fans = np.array([2, 8, 32, *(4 ** rng.integers(1, 6, size=2))])
    return compare(answer(fans), np.sqrt(2) * fans**-0.5)


@chapter.check(
    "glorot_limit",
    points=2,
    hint="The variance is 2 / (fan_in + fan_out), and a uniform variable on [-c, c] has c**2 / 3.",
    more="Write np.sqrt(6 / (fan_in + fan_out)).",
)
def is_the_root_of_six_over_both_fans(answer, rng):
    """is the root of 6 / (fan_in + fan_out)"""
    fan_in, fan_out = int(rng.integers(20, 200)), int(rng.integers(250, 500))
    both = fan_in + fan_out
    return compare(
        answer(fan_in, fan_out),
        np.sqrt(6 / both),
        wrong=[
            Wrong(
                "standard deviation",
                np.sqrt(2 / both),
                "That is the standard deviation. The limit of a uniform variable is the root of 3 times as large.",
            ),
            Wrong("squared", 6 / both, "That is the square of the limit. Take the root."),
            Wrong(
                "variance", 2 / both, "That is the variance. The limit is the root of 3 times it."
            ),
            Wrong(
                "fan_in alone",
                np.sqrt(6 / fan_in),
                "That is the limit of He uniform. Glorot takes both fans.",
            ),
            Wrong(
                "LeCun",
                np.sqrt(3 / fan_in),
                "That is the limit of LeCun uniform. Glorot takes both fans.",
            ),
            Wrong(
                "PyTorch default",
                np.sqrt(1 / fan_in),
                "That is the default of nn.Linear: a third of LeCun's variance.",
            ),
            Wrong(
                "mean for sum",
                np.sqrt(12 / both),
                "You divided by the mean of the fans. With the sum, the numerator is 6; with the mean it is 3.",
            ),
            Wrong(
                "root of six only",
                np.sqrt(6) / both,
                "The fans belong under the root as well.",
            ),
            Wrong(
                "product",
                np.sqrt(6 / (fan_in * fan_out)),
                "Add the fans: the rule is a compromise between 1 / fan_in and 1 / fan_out.",
            ),
        ],
    )


@chapter.check(
    "glorot_limit",
    hint="The two fans play the same part, so the limit does not change when they are exchanged.",
    more="fan_in + fan_out is the same in both orders, entry by entry.",
)
def treats_both_fans_alike(answer, rng):
    """works for arrays, and gives the same limit when the fans are exchanged"""
    fan_in, fan_out = rng.integers(5, 400, size=(2, 4))
    limit = np.sqrt(6 / (fan_in + fan_out))
    first = compare(answer(fan_in, fan_out), limit)
    return compare(answer(fan_out, fan_in), limit) if first.passed else first


def _activations(weights, x, act=np.tanh):
    values = [x]
    for w in weights:
        values.append(act(values[-1] @ w))
    return values


def _rms(values):
    return np.array([np.sqrt((a**2).mean()) for a in values])


@chapter.check(
    "layer_gains",
    points=3,
    hint="For each layer: the rms of what comes out, divided by the rms of what went in.",
    more="Keep a, start with a = x; in the loop new = np.tanh(a @ w), note the ratio, then a = new.",
)
def divides_after_by_before(answer, rng):
    """is rms(after) / rms(before) for each of three layers of different widths"""
    sizes = [5, 9, 4, 7]
    weights = [
        rng.normal(scale=rng.uniform(0.5, 1.2), size=(sizes[i], sizes[i + 1])) for i in range(3)
    ]
    x = rng.normal(loc=0.7, size=(12, 5))
    a = _activations(weights, x)
    rms = _rms(a)
    right = rms[1:] / rms[:-1]
    linear = _rms(_activations(weights, x, act=lambda z: z))
    relu = _rms(_activations(weights, x, act=lambda z: np.maximum(z, 0)))
    std = np.array([v.std() for v in a])
    norms = np.array([np.linalg.norm(v) for v in a])
    before_tanh = _rms([v @ w for v, w in zip(a, weights, strict=False)])
    mean_size = np.array([np.abs(v).mean() for v in a])
    return compare(
        answer(weights, x),
        right,
        wrong=[
            Wrong(
                "not divided",
                rms[1:],
                "That is the rms after each layer. Divide by the one before.",
            ),
            Wrong(
                "from the input",
                rms[1:] / rms[0],
                "You divide by the rms of x in every layer. The gain of a layer compares with what came into that layer.",
            ),
            Wrong(
                "cumulative",
                np.cumprod(right),
                "You multiplied the gains up. Return the gain of each layer by itself.",
            ),
            Wrong("upside down", rms[:-1] / rms[1:], "Upside down: after divided by before."),
            Wrong("squared", right**2, "That is the ratio of the mean squares. Take the root."),
            Wrong(
                "standard deviation",
                std[1:] / std[:-1],
                "You took standard deviations. The root mean square does not subtract the mean.",
            ),
            Wrong(
                "norms",
                norms[1:] / norms[:-1],
                "You divided norms. A norm grows with the number of units; the rms takes the mean.",
            ),
            Wrong(
                "absolute values",
                mean_size[1:] / mean_size[:-1],
                "You averaged absolute values. The root mean square averages squares, then takes the root.",
            ),
            Wrong(
                "no activation",
                linear[1:] / linear[:-1],
                "The tanh is missing: a layer is the product and the activation.",
            ),
            Wrong("ReLU", relu[1:] / relu[:-1], "This network has tanh units, not ReLU."),
            Wrong(
                "before the activation",
                before_tanh / rms[:-1],
                "You measured before the tanh. The output of a layer is what comes after it.",
            ),
            Wrong(
                "input not replaced",
                _rms([np.tanh(x @ weights[0])] * 3) / rms[0],
                "Every gain is that of the first layer. Feed each layer the output of the one before.",
            ),
        ],
    )


@chapter.check(
    "layer_gains",
    hint="The gains must multiply to the rms of the last output divided by the rms of x.",
    more="Everything in between cancels, for any number of layers.",
)
def multiplies_to_the_whole(answer, rng):
    """multiplies to the gain of the whole network"""
    depth = int(rng.integers(4, 7))
    weights = [rng.normal(scale=0.6, size=(6, 6)) for _ in range(depth)]
    x = rng.normal(size=(8, 6)) + 0.3
    gains = answer(weights, x)
    if np.shape(gains) != (depth,):
        return compare(gains, np.zeros(depth))
    rms = _rms(_activations(weights, x))
    return compare(np.prod(gains), rms[-1] / rms[0])


@chapter.check(
    "layer_gains",
    hint="A tiny weight passes almost unchanged through tanh, so its gain is the weight itself.",
    more="One layer, one unit, w = 0.001: the gain is 0.001. A negative weight has a positive gain.",
)
def is_the_weight_where_tanh_is_linear(answer, rng):
    """is the size of the weight for one unit in the linear range of tanh"""
    w = rng.uniform(0.02, 0.03, size=2) * [1, -1]
    x = rng.choice([-0.1, 0.1], size=(6, 1))
    return compare(answer([w[:1, None], w[1:, None]], x), np.abs(w))


def _global(grads):
    return np.sqrt(sum((g**2).sum() for g in grads))


def _clipped(grads, max_norm):
    norm = _global(grads)
    return tuple(g * min(1, max_norm / norm) if norm else g for g in grads)


def _gradients(rng, norm):
    grads = [rng.normal(size=(3, 4)), rng.normal(size=4), 0.05 * rng.normal(size=(2, 2))]
    return [g * norm / _global(grads) for g in grads]


def _one_after_the_other(grads, max_norm):
    grads = list(grads)
    for i in range(len(grads)):
        grads[i] = _clipped(grads, max_norm)[i]
    return tuple(grads)


@chapter.check(
    "clip_by_global_norm",
    points=3,
    hint="Compute one norm over all arrays, then multiply every array by max_norm / norm.",
    more="norm = np.sqrt(sum((g**2).sum() for g in grads)); if norm > max_norm, scale all by max_norm / norm.",
)
def shortens_all_by_one_factor(answer, rng):
    """scales all gradients by one factor when the global norm is too large"""
    max_norm = rng.uniform(1.5, 2.5)
    grads = _gradients(rng, rng.uniform(3, 5) * max_norm)
    norm = _global(grads)
    received = answer(grads, max_norm)
    if isinstance(received, np.ndarray) and received.ndim:
        received = tuple(received)
    own = [np.linalg.norm(g) for g in grads]
    return compare(
        received,
        _clipped(grads, max_norm),
        wrong=[
            Wrong(
                "per variable",
                tuple(g * min(1, max_norm / n) for g, n in zip(grads, own, strict=True)),
                "You clipped every array by its own norm: that is Keras's clipnorm. Take one norm over all of them.",
            ),
            Wrong(
                "largest norm",
                tuple(g * min(1, max_norm / max(own)) for g in grads),
                "You took the largest of the norms. Add the squares of all arrays before the root.",
            ),
            Wrong(
                "sum of norms",
                tuple(g * min(1, max_norm / sum(own)) for g in grads),
                "You added the norms. Add the squares, and take one root at the end.",
            ),
            Wrong(
                "by value",
                tuple(g.clip(-max_norm, max_norm) for g in grads),
                "You cut single entries: that is clipping by value, and it turns the direction.",
            ),
            Wrong(
                "squared norm",
                tuple(g * min(1, max_norm / norm**2) for g in grads),
                "The root is missing: you divided by the square of the norm.",
            ),
            Wrong(
                "unit norm",
                tuple(g / norm for g in grads),
                "Your gradients have the norm 1. Multiply by max_norm.",
            ),
            Wrong(
                "not clipped",
                tuple(grads),
                "The gradients come back as they were, although their global norm is too large.",
            ),
            Wrong(
                "one after the other",
                _one_after_the_other(grads, max_norm),
                "The norm is computed again after some of the arrays have been scaled. Compute it once, before you change anything.",
            ),
        ],
    )


@chapter.check(
    "clip_by_global_norm",
    points=2,
    hint="A gradient that is short enough is left alone.",
    more="The factor is min(1, max_norm / norm): never above 1.",
)
def leaves_short_gradients_alone(answer, rng):
    """changes nothing when the global norm is below max_norm"""
    max_norm = rng.uniform(3, 5)
    grads = _gradients(rng, max_norm * rng.uniform(0.3, 0.7))
    return compare(
        answer(grads, max_norm),
        tuple(grads),
        wrong=[
            Wrong(
                "always rescaled",
                tuple(g * max_norm / _global(grads) for g in grads),
                "You made a short gradient longer. Clipping only shortens.",
            )
        ],
    )


@chapter.check(
    "clip_by_global_norm",
    hint="The norm of zero gradients is 0, and 0 / 0 is not a number.",
    more="Divide by max(norm, max_norm), which is never 0, or scale only if norm > max_norm.",
)
def keeps_zeros(answer, rng):
    """returns zeros for gradients that are all zero"""
    zeros = [np.zeros((2, 3)), np.zeros(3)]
    return compare(answer(zeros, rng.uniform(0.5, 2)), tuple(zeros))


SIZES = (120, 200, 80, 60)


def _built(answer, sizes, lr=0.5):
    """Build the learner's network; return its handle, or the outcome of a wrong architecture."""
    handle = answer.model(list(sizes), lr)
    shapes = [s for a, b in itertools.pairwise(sizes) for s in ((a, b), (b,))]
    built = [w.shape for w in handle.weights()]
    if built != shapes:
        return handle, Outcome(
            False,
            f"{len(shapes)} arrays of shapes {shapes[:3]}, ..."[:120],
            f"{len(built)} arrays of shapes {built[:3]}, ..."[:120],
            "architecture",
            "The kernels and biases do not have the expected shapes: one dense layer with a bias for each step from a size to the next.",
        )
    return handle, None


@chapter.check(
    "build_he_network",
    points=3,
    hint="Every kernel must have a standard deviation of about the root of 2 / fan_in.",
    more='Keras: kernel_initializer="he_normal" on every layer. PyTorch: kaiming_normal_(layer.weight, nonlinearity="relu").',
)
def draws_he_normal_kernels(answer, rng):
    """draws every kernel with He's standard deviation, and from a normal distribution"""
    handle, fault = _built(answer, SIZES)
    if fault:
        return fault
    kernels = handle.weights()[::2]
    stds = np.array([np.sqrt((w**2).mean()) for w in kernels])
    fan_in, fan_out = np.array(SIZES[:-1]), np.array(SIZES[1:])
    he = np.sqrt(2 / fan_in)

    def close(other):
        return np.allclose(stds, other, rtol=0.12, atol=1e-6)

    expected, received = f"stds near {brief(he)}", f"stds {brief(stds)}"
    known = [
        (
            "Glorot",
            np.sqrt(2 / (fan_in + fan_out)),
            "Your kernels have Glorot's standard deviation (the default of Keras). Name the initializer.",
        ),
        (
            "PyTorch default",
            np.sqrt(1 / (3 * fan_in)),
            "Your kernels have the default of nn.Linear, which has 'kaiming' in its name and a sixth of He's variance.",
        ),
        (
            "LeCun",
            np.sqrt(1 / fan_in),
            "Your kernels have the variance 1 / fan_in: that is LeCun. ReLU needs 2 / fan_in.",
        ),
        (
            "fan out",
            np.sqrt(2 / fan_out),
            "You divided by fan_out. Is the kernel transposed, or the mode fan_out?",
        ),
        (
            "variance for sd",
            2 / fan_in,
            "You passed the variance 2 / fan_in as the standard deviation. Take the root.",
        ),
        ("zero", 0 * he, "All weights are zero: no unit of a layer will ever differ from another."),
        (
            "last layer",
            np.array([*he[:-1], np.sqrt(2 / (fan_in[-1] + fan_out[-1]))]),
            "The last kernel has Glorot's standard deviation. The exercise asks for He in all of them.",
        ),
        (
            "last layer",
            np.array([*he[:-1], np.sqrt(1 / (3 * fan_in[-1]))]),
            "The last kernel has the default of nn.Linear. The exercise asks for He in all of them.",
        ),
    ]
    if not close(he):
        for key, other, hint in known:
            if close(other):
                return Outcome(False, expected, received, key, hint)
        return Outcome(False, expected, received)
    spread = np.array([w.std() for w in kernels])
    largest = max(np.abs(w).max() / s for w, s in zip(kernels, stds, strict=True))
    if not np.allclose(spread, stds, rtol=0.1) or largest < 1.9:
        return Outcome(
            False,
            "entries beyond 1.9 sd, around 0",
            f"the largest is {largest:.2f} sd",
            "uniform",
            "The scale is right, but the distribution is not normal. He uniform ends at 1.73 standard deviations.",
        )
    return Outcome(True, expected, received)


@chapter.check(
    "build_he_network",
    hint="Every bias must start at exactly 0.",
    more="Keras does so by default. In PyTorch: nn.init.zeros_(layer.bias) for every layer.",
)
def starts_from_zero_biases(answer, rng):
    """starts every bias at zero"""
    handle, fault = _built(answer, SIZES)
    if fault:
        return fault
    largest = max(np.abs(b).max() for b in handle.weights()[1::2])
    if largest > 0:
        return Outcome(
            False,
            "largest bias 0",
            f"{largest:.3g}",
            "biases",
            "Some biases are not zero. PyTorch draws them at random unless you set them.",
        )
    return Outcome(True, "largest bias 0", "0")


@chapter.check(
    "build_he_network",
    hint="Two layers of equal shape, and two networks, must start from different kernels.",
    more="In Keras one initializer object repeats its draw: give the name, or a new object per layer.",
)
def draws_every_kernel_anew(answer, rng):
    """draws another kernel for every layer and for every network"""
    sizes = (6, 6, 6, 6)
    handle, fault = _built(answer, sizes)
    if fault:
        return fault
    kernels = handle.weights()[::2]
    if np.allclose(kernels[0], kernels[1]):
        return Outcome(
            False,
            "different kernels",
            "layers 1 and 2 are equal",
            "repeated draw",
            "Two layers have the same kernel. One initializer object (or one seed) was used for both.",
        )
    again = _built(answer, sizes)[0].weights()[0]
    if np.allclose(kernels[0], again):
        return Outcome(
            False,
            "another start",
            "the same start twice",
            "fixed seed",
            "Two calls give the same network. Do not fix a seed inside the function.",
        )
    return Outcome(True, "different kernels", "different kernels")


def _logits(weights, x, relu=(True, True, False)):
    for w, b, bent in zip(weights[::2], weights[1::2], relu, strict=True):
        x = x @ w + b
        x = np.maximum(x, 0) if bent else x
    return x


@chapter.check(
    "build_he_network",
    points=2,
    hint="Hidden layers have ReLU, the last layer has no activation.",
    more="Compare your model's output with relu(relu(x @ w1 + b1) @ w2 + b2) @ w3 + b3.",
)
def computes_logits_with_relu(answer, rng):
    """computes logits through hidden layers with ReLU"""
    sizes = (4, 6, 5, 3)
    handle, fault = _built(answer, sizes)
    if fault:
        return fault
    weights = [rng.normal(size=w.shape) for w in handle.weights()]
    handle.set_weights(weights)
    x = rng.normal(size=(7, 4))
    logits = _logits(weights, x)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return compare(
        handle.predict(x),
        logits,
        wrong=[
            Wrong(
                "no ReLU",
                _logits(weights, x, relu=(False, False, False)),
                "There is no ReLU: the three layers are one linear map.",
            ),
            Wrong(
                "ReLU on the output",
                _logits(weights, x, relu=(True, True, True)),
                "The last layer has a ReLU too. Logits may be negative.",
            ),
            Wrong(
                "softmax",
                p / p.sum(axis=1, keepdims=True),
                "You return probabilities. The exercise asks for logits, without an activation.",
            ),
        ],
    )


@chapter.check(
    "build_he_network",
    hint="One step of SGD moves the last bias by -lr times the mean of (probability - label).",
    more="Use plain SGD with learning rate lr on all parameters, and the cross-entropy of logits.",
)
def takes_a_step_of_sgd(answer, rng):
    """takes a step of plain SGD with the rate lr"""
    lr = rng.uniform(0.2, 0.8)
    handle, fault = _built(answer, (4, 6, 5, 3), lr)
    if fault:
        return fault
    weights = [0.5 * rng.normal(size=w.shape) for w in handle.weights()]
    handle.set_weights(weights)
    x, y = rng.normal(size=(8, 4)), rng.integers(0, 3, size=8)
    p = np.exp(_logits(weights, x))
    p /= p.sum(axis=1, keepdims=True)
    step = (p - np.eye(3)[y]).mean(axis=0)
    handle.train_step(x, y)
    return compare(
        handle.weights()[-1],
        weights[-1] - lr * step,
        wrong=[
            Wrong(
                "untrained",
                weights[-1],
                "The step did not move the last bias: does the optimizer hold all parameters?",
            ),
        ],
    )


def _stds(rng, factor):
    """Draw a profile over 6 layers whose last entry is `factor` times its first."""
    middle = rng.uniform(0.5, 2, size=6)
    middle[0] = rng.uniform(0.1, 1)
    middle[-1] = factor * middle[0]
    return middle


def _diagnose(answer, rng, expected, cases, wrong=()):
    """Compare every case's text with `expected`; wrong: (key, the text that gives it away, hint)."""
    for forward, backward, distinct, factor in cases:
        outcome = compare(
            answer(forward, backward, distinct, factor),
            expected,
            wrong=[Wrong(key, text, hint) for key, text, hint in wrong],
        )
        if not outcome.passed:
            return outcome
    return outcome


def _full(rng):
    return rng.integers(2, 65, size=6)


@chapter.check(
    "diagnose_depth",
    points=2,
    hint="Either the signal or the gradient is enough; the gradient vanishes from the last layer to the first.",
    more="Compare spread[0] with factor * spread[-1], and gradient[-1] with factor * gradient[0].",
)
def sees_a_vanishing_signal_or_gradient(answer, rng):
    """calls it vanishing when the spread falls, or when the gradient falls on its way back"""
    factor = rng.uniform(5, 50)
    fall, level = 1 / (1.05 * factor), rng.uniform(0.8, 1.25)
    return _diagnose(
        answer,
        rng,
        "vanishing",
        [
            # The gradient falls on its way back, so it grows with the number of the layer.
            (_stds(rng, level), _stds(rng, 1 / fall), _full(rng), factor),
            (_stds(rng, fall), _stds(rng, level), _full(rng), factor),
            (_stds(rng, fall), _stds(rng, 1 / fall), _full(rng), factor),
            (np.array([1.0, 0.1, 0.0]), np.array([0.0, 0.1, 1.0]), np.full(3, 9), factor),
        ],
        wrong=[
            (
                "gradient read forward",
                "exploding",
                "A gradient that is small at the first layer and large at the last has vanished: it travels from the last to the first.",
            ),
            (
                "one measure only",
                "healthy",
                "The spread and the gradient each count on their own: one that vanishes is enough.",
            ),
        ],
    )


@chapter.check(
    "diagnose_depth",
    points=2,
    hint="Either the signal or the gradient is enough, and so is a number that is not finite.",
    more="Compare spread[-1] with factor * spread[0], and gradient[0] with factor * gradient[-1].",
)
def sees_an_exploding_signal_or_gradient(answer, rng):
    """calls it exploding when the spread grows, or when the gradient grows on its way back"""
    factor = rng.uniform(5, 50)
    growth, level = 1.05 * factor, rng.uniform(0.8, 1.25)
    return _diagnose(
        answer,
        rng,
        "exploding",
        [
            (_stds(rng, level), _stds(rng, 1 / growth), _full(rng), factor),
            (_stds(rng, growth), _stds(rng, level), _full(rng), factor),
            (_stds(rng, growth), _stds(rng, 1 / growth), _full(rng), factor),
        ],
        wrong=[
            (
                "gradient read forward",
                "vanishing",
                "A gradient that is large at the first layer and small at the last has exploded: it travels from the last to the first.",
            ),
            (
                "saturated",
                "healthy",
                "A gradient can explode while the signal looks tame, and the other way round: each counts on its own.",
            ),
        ],
    )


@chapter.check(
    "diagnose_depth",
    hint="Infinity and NaN count as exploding, in any layer, whatever the other numbers say.",
    more="Ask not np.isfinite(...).all() before you compare: a comparison with NaN is False.",
)
def sees_overflow(answer, rng):
    """calls it exploding when a number is infinite or not a number"""
    cases = []
    for bad in (np.inf, np.nan):
        for part in (0, 1):
            profiles = [_stds(rng, 1.0), _stds(rng, 1.0)]
            profiles[part][rng.integers(1, 5)] = bad
            cases.append((*profiles, _full(rng), 10.0))
    cases.append((_stds(rng, 0.01), np.array([np.nan] * 6), _full(rng), 10.0))
    return _diagnose(
        answer,
        rng,
        "exploding",
        cases,
        wrong=[
            (
                "overflow",
                "healthy",
                "Infinity or NaN in a layer is an explosion that has already happened.",
            ),
            (
                "explosion second",
                "vanishing",
                "Exploding comes before vanishing in the list: a number that is not finite decides.",
            ),
        ],
    )


@chapter.check(
    "diagnose_depth",
    points=2,
    hint="One layer with one distinct unit is enough, and this line comes first.",
    more='Write: if (distinct == 1).any(): return "symmetric".',
)
def sees_symmetry_first(answer, rng):
    """calls it symmetric when one layer has a single distinct unit, whatever else is wrong"""
    one = _full(rng)
    one[rng.integers(1, 5)] = 1
    fall = 1e-3
    return _diagnose(
        answer,
        rng,
        "symmetric",
        [
            (_stds(rng, 1.0), _stds(rng, 1.0), one, 10.0),
            (_stds(rng, fall), _stds(rng, 1 / fall), one, 10.0),
            (_stds(rng, 1 / fall), np.full(6, np.nan), one, 10.0),
            (np.zeros(6), np.zeros(6), np.ones(6, int), 10.0),
        ],
        wrong=[
            (
                "all layers",
                "healthy",
                "One layer with a single distinct unit is enough; you wait for all of them, or look at the wrong ones.",
            ),
            ("order", "vanishing", "Symmetry is the first line of the list: look for it first."),
            ("order", "exploding", "Symmetry is the first line of the list: look for it first."),
        ],
    )


@chapter.check(
    "diagnose_depth",
    hint="A change of at most `factor` over the whole depth is tolerated, and so are two distinct units.",
    more="Compare the first with the last layer only, with > and not with >=.",
)
def leaves_the_healthy_alone(answer, rng):
    """calls it healthy when the change over the depth is at most the factor"""
    factor = 2.0 ** rng.integers(3, 6)
    almost = 0.95 * factor
    middle = _stds(rng, 1.0)
    middle[2:4] = [100 * factor, 1 / (100 * factor)]
    exact = np.array([1.0, 2.0, factor])
    return _diagnose(
        answer,
        rng,
        "healthy",
        [
            (_stds(rng, almost), _stds(rng, almost), _full(rng), factor),
            (_stds(rng, 1 / almost), _stds(rng, 1 / almost), np.full(6, 2), factor),
            (exact, exact, np.full(3, 2), factor),
            (exact[::-1], exact[::-1], np.full(3, 2), factor),
            (middle, middle, _full(rng), factor),
        ],
        wrong=[
            (
                "too strict",
                "vanishing",
                "A change of at most factor, first to last layer, is tolerated.",
            ),
            (
                "too strict",
                "exploding",
                "A change of at most factor, first to last layer, is tolerated.",
            ),
            ("few units", "symmetric", "Two distinct units are no symmetry: only one is."),
        ],
    )
