"""Checks of chapter 05, initialization."""

import itertools

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import AnswerError, Chapter, Failed, brief, compare, judge, outputs, vary

chapter = Chapter("05_initialization")

CUT = 0.87962566103423978  # the standard deviation of a Gaussian that is cut at two of its own


# --- he_std ----------------------------------------------------------------------------------

he_std = chapter.exercise(
    "he_std",
    lambda fan_in: np.sqrt(2 / fan_in),
    mistakes={
        "variance": lambda fan_in: 2 / fan_in,
        "LeCun": lambda fan_in: np.sqrt(1 / fan_in),
        "root of two only": lambda fan_in: np.sqrt(2) / fan_in,
        "limit": lambda fan_in: np.sqrt(6 / fan_in),
        "upside down": lambda fan_in: np.sqrt(fan_in / 2),
        "multiplied": lambda fan_in: np.sqrt(2 * fan_in),
        "truncation": lambda fan_in: np.sqrt(2 / fan_in) / CUT,
        "PyTorch default": lambda fan_in: np.sqrt(1 / (3 * fan_in)),
    },
    hints={
        "variance": "That is the variance. Take the root.",
        "LeCun": "The factor 2 is missing: ReLU keeps half of the mean square, and He makes up for it. Yours is LeCun.",
        "root of two only": "fan_in belongs under the root as well.",
        "limit": "That is the limit of He uniform. Its standard deviation is the limit divided by the root of 3.",
        "upside down": "Upside down: the more inputs a unit adds up, the smaller each weight must be.",
        "multiplied": "Divide by fan_in: the more inputs a unit adds up, the smaller each weight must be.",
        "truncation": "That is the Gaussian before Keras cuts it. The weights themselves have the root of 2 / fan_in.",
        "PyTorch default": "That is the default of nn.Linear, which is not He initialization.",
    },
)


@he_std.check(
    points=2,
    hint="The variance of He initialization is 2 / fan_in; the standard deviation is its root.",
    more="For fan_in = 50 the variance is 2 / 50 = 0.04, and the answer is its root, 0.2.",
)
def is_the_root_of_two_over_fan_in(ask, rng):
    """is the root of 2 / fan_in"""
    return ask(int(rng.integers(20, 500)))


@he_std.check(
    hint="Four times as many inputs: half the standard deviation. Arrays of fans work entry by entry.",
    more="np.sqrt takes arrays; math.sqrt does not.",
)
def halves_for_four_times_the_inputs(ask, rng):
    """works for an array, and halves when fan_in grows fourfold"""
    return ask(np.array([2, 8, 32, *(4 ** rng.integers(1, 6, size=2))]))


# --- glorot_limit ----------------------------------------------------------------------------

glorot_limit = chapter.exercise(
    "glorot_limit",
    lambda fan_in, fan_out: np.sqrt(6 / (fan_in + fan_out)),
    mistakes={
        "standard deviation": lambda fan_in, fan_out: np.sqrt(2 / (fan_in + fan_out)),
        "squared": lambda fan_in, fan_out: 6 / (fan_in + fan_out),
        "variance": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
        "fan_in alone": lambda fan_in, fan_out: np.sqrt(6 / fan_in),
        "LeCun": lambda fan_in, fan_out: np.sqrt(3 / fan_in),
        "PyTorch default": lambda fan_in, fan_out: np.sqrt(1 / fan_in),
        "mean for sum": lambda fan_in, fan_out: np.sqrt(12 / (fan_in + fan_out)),
        "root of six only": lambda fan_in, fan_out: np.sqrt(6) / (fan_in + fan_out),
        "product": lambda fan_in, fan_out: np.sqrt(6 / (fan_in * fan_out)),
    },
    hints={
        "standard deviation": "That is the standard deviation. The limit of a uniform variable is larger, by the root of 3.",
        "squared": "That is the square of the limit. Take the root.",
        "variance": "That is the variance. The limit is the root of 3 times the variance.",
        "fan_in alone": "That is the limit of He uniform. Glorot takes both fans.",
        "LeCun": "That is the limit of LeCun uniform. Glorot takes both fans.",
        "PyTorch default": "That is the default of nn.Linear: a third of LeCun's variance.",
        "mean for sum": "You divided by the mean of the fans. With the sum, the numerator is 6; with the mean it is 3.",
        "root of six only": "The fans belong under the root as well.",
        "product": "Add the fans: the rule is a compromise between 1 / fan_in and 1 / fan_out.",
    },
)


@glorot_limit.check(
    points=2,
    hint="The variance is 2 / (fan_in + fan_out), and a uniform variable on [-c, c] has c**2 / 3.",
    more="Set c**2 / 3 equal to the variance, and solve for c.",
)
def is_the_root_of_six_over_both_fans(ask, rng):
    """is the root of 6 / (fan_in + fan_out)"""
    return ask(int(rng.integers(100, 200)), int(rng.integers(250, 500)))


@glorot_limit.check(
    hint="The two fans play the same part, so the limit does not change when they are exchanged.",
    more="fan_in + fan_out is the same in both orders, entry by entry.",
)
def treats_both_fans_alike(ask, rng):
    """works for arrays, and gives the same limit when the fans are exchanged"""
    one, other = rng.integers(5, 400, size=(2, 4))
    return {"arrays": ask(one, other), "exchanged": ask(other, one)}


# --- layer_gains -----------------------------------------------------------------------------


def _rms(a):
    return np.sqrt((a**2).mean())


def _gains(
    weights,
    x,
    *,
    act=np.tanh,
    measured=lambda z, a: a,
    measure=_rms,
    ratio=lambda before, after: after / before,
):
    """Return the gain of every layer, of which `measured` says what comes out of it."""
    gains = []
    for w in weights:
        z = x @ w
        a = act(z)
        gains.append(ratio(measure(x), measure(measured(z, a))))
        x = a
    return np.array(gains)


layer_gains = chapter.exercise(
    "layer_gains",
    _gains,
    mistakes={
        "not divided": vary(_gains, ratio=lambda before, after: after),
        "from the input": lambda weights, x: np.cumprod(_gains(weights, x)),
        "upside down": vary(_gains, ratio=lambda before, after: before / after),
        "squared": vary(_gains, ratio=lambda before, after: (after / before) ** 2),
        "standard deviation": vary(_gains, measure=np.std),
        "norms": vary(_gains, measure=np.linalg.norm),
        "absolute values": vary(_gains, measure=lambda a: np.abs(a).mean()),
        "no activation": vary(_gains, act=lambda z: z),
        "ReLU": vary(_gains, act=lambda z: np.maximum(z, 0)),
        "before the activation": vary(_gains, measured=lambda z, a: z),
        "input not replaced": [
            lambda weights, x: np.repeat(_gains(weights[:1], x), len(weights)),
            lambda weights, x: np.concatenate([_gains([w], x) for w in weights]),
        ],
    },
    hints={
        "not divided": "That is the rms after each layer. Divide by the one before.",
        "from the input": "Your gains compare with x in every layer, or are multiplied up, which is the same. The gain of a layer compares with what came into that layer.",
        "upside down": "Upside down: after divided by before.",
        "squared": "That is the ratio of the mean squares. Take the root.",
        "standard deviation": "You took standard deviations. The root mean square does not subtract the mean.",
        "norms": "You divided norms. A norm grows with the number of units; the rms takes the mean.",
        "absolute values": "You averaged absolute values. The root mean square averages squares, then takes the root.",
        "no activation": "The tanh is missing: a layer is the product and the activation.",
        "ReLU": "This network has tanh units, not ReLU.",
        "before the activation": "You measured before the tanh. The output of a layer is what comes after it.",
        "input not replaced": "Every gain of yours starts from x. Feed each layer the output of the one before.",
    },
)


@layer_gains.check(
    points=3,
    hint="For each layer: the rms of what comes out, divided by the rms of what went in.",
    more="What comes out of one layer goes into the next: it is both the input of the next product and what the next rms is divided by.",
)
def divides_after_by_before(ask, rng):
    """is rms(after) / rms(before) for each of three layers of different widths"""
    shapes = itertools.pairwise([5, 9, 4, 7])
    weights = [rng.normal(scale=rng.uniform(0.5, 1.2), size=shape) for shape in shapes]
    return ask(weights, rng.normal(loc=0.7, size=(12, 5)))


@layer_gains.check(
    hint="The gains must multiply to the rms of the last output divided by the rms of x.",
    more="Everything in between cancels, for any number of layers.",
)
def multiplies_to_the_whole(ask, rng):
    """multiplies to the gain of the whole network"""
    depth = int(rng.integers(4, 7))
    weights = [rng.normal(scale=0.6, size=(6, 6)) for _ in range(depth)]
    (gains,) = outputs(ask(weights, rng.normal(size=(8, 6)) + 1), (depth,))
    return np.prod(gains)


@layer_gains.check(
    hint="A tiny weight passes almost unchanged through tanh, so its gain is the weight itself.",
    more="One layer, one unit, w = 0.001: the gain is 0.001. A negative weight has a positive gain.",
)
def is_the_weight_where_tanh_is_linear(ask, rng):
    """is the size of the weight for one unit in the linear range of tanh"""
    one, other = rng.uniform(0.02, 0.03, size=2)
    return ask([np.array([[one]]), np.array([[-other]])], rng.choice([-0.1, 0.1], size=(6, 1)))


# --- clip_by_global_norm ---------------------------------------------------------------------


def _global_norm(grads):
    return np.sqrt(sum((g**2).sum() for g in grads))


def _clip(grads, max_norm, *, norm=_global_norm, exceeds=lambda norm, most: norm > most):
    size = norm(grads)
    factor = max_norm / (size or 1.0) if exceeds(size, max_norm) else 1.0  # zeros stay zeros
    return tuple(g * factor for g in grads)


def _always(norm, most):
    return True


def _one_after_the_other(grads, max_norm):
    for i in range(len(grads)):
        grads[i] = _clip(grads, max_norm)[i]
    return tuple(grads)


def _unit_norm(grads, max_norm):
    return _clip(grads, 1.0) if _global_norm(grads) > max_norm else tuple(grads)


clip_by_global_norm = chapter.exercise(
    "clip_by_global_norm",
    _clip,
    mistakes={
        "per variable": lambda grads, max_norm: tuple(_clip([g], max_norm)[0] for g in grads),
        "largest norm": vary(_clip, norm=lambda grads: max(_global_norm([g]) for g in grads)),
        "sum of norms": vary(_clip, norm=lambda grads: sum(_global_norm([g]) for g in grads)),
        "squared norm": vary(_clip, norm=lambda grads: _global_norm(grads) ** 2),
        "by value": lambda grads, max_norm: tuple(g.clip(-max_norm, max_norm) for g in grads),
        "unit norm": [_unit_norm, vary(_clip, max_norm=1.0, exceeds=_always)],
        "not clipped": lambda grads, max_norm: tuple(grads),
        "one after the other": _one_after_the_other,
        "always rescaled": vary(_clip, exceeds=_always),
        "late": vary(_clip, exceeds=lambda norm, most: norm > 1.5 * most),
        "other comparison": vary(_clip, exceeds=lambda norm, most: norm**2 > most),
        "padded norm": [
            vary(_clip, norm=lambda grads, pad=pad: _global_norm(grads) + pad)
            for pad in (1e-3, 1e-2)
        ],
    },
    hints={
        "per variable": "You clipped every array by its own norm: that is Keras's clipnorm. Take one norm over all of them.",
        "largest norm": "You took the largest of the norms. Add the squares of all arrays before the root.",
        "sum of norms": "You added the norms. Add the squares, and take one root at the end.",
        "squared norm": "The root is missing: you divided by the square of the norm.",
        "by value": "You cut single entries: that is clipping by value, and it turns the direction.",
        "unit norm": "Your gradients have the norm 1. Multiply by max_norm.",
        "not clipped": "The gradients come back as they were, although their global norm is too large.",
        "one after the other": "The norm is computed again after some of the arrays have been scaled. Compute it once, before you change anything.",
        "always rescaled": "You made a short gradient longer. Clipping only shortens.",
        "late": "You leave gradients alone whose norm is only a little above max_norm, or small for another reason. Compare the norm with max_norm and with nothing else.",
        "other comparison": "You do not compare the norm itself with max_norm: is the root missing in the condition, or does a 1 stand there for max_norm?",
        "padded norm": "You add a constant to the norm, which is too much where max_norm is small. Only a norm of exactly 0 needs care.",
    },
)


def _gradients(rng, norm):
    """Draw three gradients, one of them far smaller, of this global norm."""
    grads = [rng.normal(size=(3, 4)), rng.normal(size=4), 0.05 * rng.normal(size=(2, 2))]
    size = _global_norm(grads)
    return [g * norm / size for g in grads]


@clip_by_global_norm.check(
    points=3,
    hint="Compute one norm over all arrays, then multiply every array by max_norm / norm.",
    more="The norm of [3, 0] and [4] is the root of 9 + 0 + 16, which is 5. With max_norm = 1 every entry is multiplied by 1 / 5.",
    keeps_input=True,
)
def shortens_all_by_one_factor(ask, rng):
    """scales all gradients by one factor when the global norm is too large"""
    max_norm, small = rng.uniform(1.5, 2.5), rng.uniform(0.05, 0.1)
    flat = rng.uniform(0.5, 1, size=11)
    flat *= 1.05 * small / np.linalg.norm(flat)
    four = [flat[:2], flat[2:5].reshape(3, 1), flat[5:9].reshape(1, 2, 2), flat[9:]]
    return {
        "far above": ask(_gradients(rng, rng.uniform(3, 5) * max_norm), max_norm),
        "four arrays, just above a small max_norm": ask(four, small),
    }


@clip_by_global_norm.check(
    points=2,
    hint="A gradient that is short enough is left alone.",
    more="The factor is min(1, max_norm / norm): never above 1.",
)
def leaves_short_gradients_alone(ask, rng):
    """changes nothing when the global norm is below max_norm"""
    max_norm = rng.uniform(3, 5)
    return ask(_gradients(rng, 0.97 * max_norm), max_norm)


@clip_by_global_norm.check(
    hint="The norm of zero gradients is 0, and 0 / 0 is not a number.",
    more="Divide by max(norm, max_norm), which is never 0, or scale only if norm > max_norm.",
)
def keeps_zeros(ask, rng):
    """returns zeros for gradients that are all zero"""
    return ask([np.zeros((2, 3)), np.zeros(3)], rng.uniform(0.5, 2))


# --- build_he_network ------------------------------------------------------------------------

build_he_network = chapter.exercise(
    "build_he_network",
    hints={
        "architecture": "The kernels and biases do not have the expected shapes: one dense layer with a bias for each step from a size to the next.",
        "zero": "All weights are zero: no unit of a layer will ever differ from another.",
        "Glorot": "Your kernels have Glorot's standard deviation (the default of Keras). Name the initializer.",
        "PyTorch default": "Your kernels have the default of nn.Linear, which has 'kaiming' in its name and a sixth of He's variance.",
        "LeCun": "Your kernels have the variance 1 / fan_in: that is LeCun. ReLU needs 2 / fan_in.",
        "truncation": "Your kernels are about 12 % too small: a Gaussian was cut at two standard deviations, and nothing makes up for it.",
        "fan out": "You divided by fan_out. Is the kernel transposed, or the mode fan_out?",
        "variance for sd": "You passed the variance 2 / fan_in as the standard deviation. Take the root.",
        "last layer": "The last kernel has the standard deviation of a default: Glorot's in Keras, that of nn.Linear in PyTorch. The exercise asks for He in all of them.",
        "uniform": "The scale is right, but the distribution is not normal. He uniform ends at 1.73 standard deviations.",
        "biases": "Some biases are not zero. PyTorch draws them at random unless you set them.",
        "repeated draw": "Two layers have the same kernel. One initializer object (or one seed) was used for both.",
        "fixed seed": "Two calls give the same network. Do not fix a seed inside the function.",
        "no ReLU": "There is no ReLU: all layers together are one linear map.",
        "ReLU on the output": "The last layer has a ReLU too. Logits may be negative.",
        "softmax": "You return probabilities. The exercise asks for logits, without an activation.",
        "untrained": "The step did not move all kernels and biases: does the optimizer hold the parameters of every layer and, in Keras, does the loss know that it gets logits?",
        "momentum": "The first step is right, but a second one from the same weights is another: the optimizer remembers the first. Use SGD without momentum.",
    },
)
SIZES = (120, 200, 80, 60)


def _built(ask, sizes, lr=0.5):
    """Build the learner's network; fail the check if its weights have other shapes."""
    network = ask.model(list(sizes), lr)
    shapes = [shape for a, b in itertools.pairwise(sizes) for shape in ((a, b), (b,))]
    built = [w.shape for w in network.weights()]
    if built != shapes:
        shown = (f"{len(s)} arrays of shapes {s[:3]}, ..."[:120] for s in (shapes, built))
        raise Failed(*shown, "architecture")
    return network


@build_he_network.check(
    points=3,
    hint="The entries of every kernel must have a mean near 0 and a standard deviation of about the root of 2 / fan_in.",
    more="Keras: look up which names `kernel_initializer` takes. PyTorch: look up `kaiming_normal_` in torch.nn.init, which fills a tensor that you give it.",
)
def draws_he_normal_kernels(ask, rng):
    """draws every kernel with He's standard deviation, and from a normal distribution"""
    kernels = _built(ask, SIZES).weights()[::2]
    stds = np.array([_rms(w) for w in kernels])
    fan_in, fan_out = np.array(SIZES[:-1]), np.array(SIZES[1:])
    he, glorot = np.sqrt(2 / fan_in), np.sqrt(2 / (fan_in + fan_out))
    default = np.sqrt(1 / (3 * fan_in))  # of nn.Linear

    def close(other):
        # The smallest kernel has 4800 entries: its standard deviation is right to about 1 %.
        return np.allclose(stds, other, rtol=0.06, atol=1e-6)

    known = {
        "zero": close(0),
        "Glorot": close(glorot),
        "PyTorch default": close(default),
        "LeCun": close(np.sqrt(1 / fan_in)),
        "truncation": close(CUT * he),
        "fan out": close(np.sqrt(2 / fan_out)),
        "variance for sd": close(2 / fan_in),
        "last layer": any(close([*he[:-1], other[-1]]) for other in (glorot, default)),
    }
    shown = f"stds near {brief(he)}", f"stds {brief(stds)}"
    if not close(he):
        return judge(False, *shown, known)
    centred = np.allclose([w.std() for w in kernels], stds, rtol=0.1)
    largest = max(np.abs(w).max() / s for w, s in zip(kernels, stds, strict=True))
    if not centred or largest < 1.9:
        received = f"the largest is {largest:.2f} sd" if centred else "a mean far from 0"
        return judge(False, "entries around 0, some beyond 1.9 sd", received, {"uniform": centred})
    return judge(True, *shown)


@build_he_network.check(
    hint="Every bias must start at exactly 0.",
    more="Keras does so by default. nn.Linear of PyTorch draws its biases: look in torch.nn.init for what fills a tensor with zeros.",
)
def starts_from_zero_biases(ask, rng):
    """starts every bias at zero"""
    largest = max(np.abs(b).max() for b in _built(ask, SIZES).weights()[1::2])
    return judge(largest == 0, "largest bias 0", f"{largest:.3g}", {"biases": True})


@build_he_network.check(
    hint="Two layers of equal shape, and two networks, must start from different kernels.",
    more="In Keras one initializer object repeats its draw: give the name, or a new object per layer.",
)
def draws_every_kernel_anew(ask, rng):
    """draws another kernel for every layer and for every network"""
    first, second, _ = _built(ask, (6, 6, 6, 6)).weights()[::2]
    again = _built(ask, (6, 6, 6, 6)).weights()[0]
    repeated, fixed = np.allclose(first, second), np.allclose(first, again)
    received = (
        "layers 1 and 2 are equal" if repeated
        else "the same start twice" if fixed
        else "different kernels"
    )  # fmt: skip
    wrong = {"zero": not first.any(), "repeated draw": repeated, "fixed seed": fixed}
    return judge(not (repeated or fixed), "different kernels", received, wrong)


def _logits(weights, x, relu=(True, True, False)):
    for w, b, bent in zip(weights[::2], weights[1::2], relu, strict=True):
        x = x @ w + b
        x = np.maximum(x, 0) if bent else x
    return x


@build_he_network.check(
    points=2,
    hint="Hidden layers have ReLU, the last layer has no activation.",
    more="Compare your model's output with relu(relu(x @ w1 + b1) @ w2 + b2) @ w3 + b3.",
)
def computes_logits_with_relu(ask, rng):
    """computes logits through hidden layers with ReLU"""
    network = _built(ask, (4, 6, 5, 3))
    weights = [rng.normal(size=w.shape) for w in network.weights()]
    network.set_weights(weights)
    x = 4 * rng.normal(size=(7, 4))  # large enough to show a ReLU that is cut
    logits = _logits(weights, x)
    wrong = {
        "no ReLU": _logits(weights, x, relu=(False, False, False)),
        "ReLU on the output": _logits(weights, x, relu=(True, True, True)),
        "softmax": softmax(logits),
    }
    return compare(network.predict(x), logits, wrong)


def _sgd_step(weights, x, y, lr):
    """Return the weights of a ReLU classifier after one step of SGD, from the formulas."""
    inputs = [x]
    for w, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        inputs.append(np.maximum(inputs[-1] @ w + b, 0))
    d = softmax(inputs[-1] @ weights[-2] + weights[-1])
    d = (d - np.eye(d.shape[1])[y]) / len(x)
    moved = ()
    for a, w, b in zip(inputs[::-1], weights[-2::-2], weights[::-2], strict=True):
        moved = (w - lr * a.T @ d, b - lr * d.sum(axis=0), *moved)
        d = (d @ w.T) * (a > 0)
    return moved


@build_he_network.check(
    hint="One step of SGD moves the last bias by -lr times the mean of (probability - label).",
    more="Use plain SGD with learning rate lr on all parameters, and the cross-entropy of logits.",
)
def takes_a_step_of_sgd(ask, rng):
    """takes a step of plain SGD with the rate lr"""
    lr = rng.uniform(0.2, 0.8)
    network = _built(ask, (4, 6, 3), lr)  # two layers, where the other checks have three
    weights = [rng.normal(size=w.shape) for w in network.weights()]
    x, y = rng.normal(size=(8, 4)), rng.integers(0, 3, size=8)
    right = _sgd_step(weights, x, y, lr)
    for mistake in "", "momentum":  # an optimizer that remembers shows it in the second step
        network.set_weights(weights)
        network.train_step(x, y)
        received = tuple(network.weights())
        outcome = compare(received, right)
        if not outcome.passed:
            still = any(np.allclose(w, before) for w, before in zip(received, weights, strict=True))
            known = {"untrained": still, mistake: bool(mistake)}
            return judge(False, outcome.expected, outcome.received, known)
    return outcome


# --- diagnose_depth --------------------------------------------------------------------------


def _diagnose(
    spread,
    gradient,
    distinct,
    factor,
    *,
    symmetric=lambda distinct: (distinct == 1).any(),
    finite=lambda values: np.isfinite(values).all(),
    exploding=lambda spread, back: (spread, back),
    vanishing=lambda spread, back: (spread, back),
    start=lambda profile: profile[0],
    order=("symmetric", "exploding", "vanishing"),
):
    """Apply the rules; `exploding` and `vanishing` say which profiles may do so."""
    profiles = spread, gradient[::-1]  # each in the order in which it travels
    holds = {
        "symmetric": symmetric(distinct),
        "exploding": not finite(profiles)
        or any(p[-1] > factor * p[0] for p in exploding(*profiles)),
        "vanishing": any(start(p) > factor * p[-1] for p in vanishing(*profiles)),
    }
    return next((name for name in order if holds[name]), "healthy")


diagnose_depth = chapter.exercise(
    "diagnose_depth",
    _diagnose,
    mistakes={
        "gradient read forward": [
            vary(_diagnose, gradient=np.flip),
            vary(_diagnose, exploding=lambda spread, back: (spread, back[::-1])),
            vary(_diagnose, vanishing=lambda spread, back: (spread, back[::-1])),
        ],
        "one measure only": [
            vary(_diagnose, gradient=np.ones_like),
            vary(_diagnose, spread=np.ones_like),
        ],
        "saturated": vary(_diagnose, exploding=lambda spread, back: (spread,)),
        "overflow": vary(_diagnose, finite=lambda values: True),
        "explosion second": vary(_diagnose, order=("symmetric", "vanishing", "exploding")),
        "all layers": vary(_diagnose, symmetric=lambda distinct: (distinct == 1).all()),
        "order": vary(_diagnose, order=("exploding", "vanishing", "symmetric")),
        "too strict": [
            vary(_diagnose, factor=lambda factor: factor * (1 - 1e-9)),  # as >= for >
            vary(_diagnose, factor=lambda factor: factor * 0.9),
            vary(_diagnose, start=np.max),
        ],
        "own factor": [vary(_diagnose, factor=number) for number in (10, 50, 100)],
        "absolute size": vary(
            _diagnose, spread=lambda s: [1.0, *s[1:]], gradient=lambda g: [*g[:-1], 1.0]
        ),
        "few units": vary(_diagnose, symmetric=lambda distinct: (distinct <= 2).any()),
    },
    hints={
        "gradient read forward": "You read the gradient forward. It travels from the last layer to the first: one that is small at the first layer and large at the last has vanished.",
        "one measure only": "The spread and the gradient each count on their own: one that vanishes or explodes is enough.",
        "saturated": "A gradient can explode while the signal looks tame: each counts on its own.",
        "overflow": "Infinity or NaN in a layer is an explosion that has already happened.",
        "explosion second": "Exploding comes before vanishing in the list: a number that is not finite decides.",
        "all layers": "One layer with a single distinct unit is enough; you wait for all of them, or look at the wrong ones.",
        "order": "Symmetry is the first line of the list: look for it first.",
        "too strict": "A change of at most factor, first to last layer, is tolerated.",
        "own factor": "You do not compare with factor itself. Use it as it is, without a number of your own.",
        "absolute size": "You compare a layer with a fixed number. What counts is the change from the first layer to the last.",
        "few units": "Two distinct units are no symmetry: only one is.",
    },
)


NAMES = ("symmetric", "exploding", "vanishing", "healthy")


def _named(ask):
    """Return an `ask` that says which texts there are: no other hint fits another text."""

    def asked(*arguments):
        name = ask(*arguments)
        if isinstance(name, str) and name not in NAMES:
            raise AnswerError(f"Return one of {', '.join(map(repr, NAMES))}, not {brief(name)}.")
        return name

    return asked


def _profile(rng, change):
    """Draw a profile over 6 layers whose last two entries are `change` times its first two."""
    profile = rng.uniform(0.5, 2, size=6)
    profile[:2] = rng.uniform(0.1, 1)
    profile[-2:] = change * profile[0]
    return profile


def _full(rng):
    return rng.integers(2, 65, size=6)


def _ask(ask, rng, factor, *changes):
    """Ask about a spread and a gradient that change so much from the first layer to the last."""
    return ask(*(_profile(rng, change) for change in changes), _full(rng), factor)


@diagnose_depth.check(
    points=2,
    hint="Either the signal or the gradient is enough; the gradient vanishes from the last layer to the first.",
    more="spread = [1, 0.1] falls by a factor of 10. So does gradient = [0.1, 1], on its way from the last layer back to the first.",
)
def sees_a_vanishing_signal_or_gradient(ask, rng):
    """calls it vanishing when the spread falls, or when the gradient falls on its way back"""
    ask = _named(ask)
    factor = rng.uniform(2, 5)
    fall, level = 1 / (1.01 * factor), rng.uniform(0.8, 1.25)
    zero = np.array([1.0, 0.1, 0.0])
    return {
        # A gradient that falls on its way back grows with the number of the layer.
        "the gradient falls": _ask(ask, rng, factor, level, 1 / fall),
        "the spread falls": _ask(ask, rng, factor, fall, level),
        "both fall": _ask(ask, rng, factor, fall, 1 / fall),
        "both fall to 0": ask(zero, zero[::-1], np.full(3, 9), factor),
    }


@diagnose_depth.check(
    points=2,
    hint="Either the signal or the gradient is enough, and so is a number that is not finite.",
    more="spread = [0.1, 1] grows by a factor of 10. So does gradient = [1, 0.1], on its way from the last layer back to the first.",
)
def sees_an_exploding_signal_or_gradient(ask, rng):
    """calls it exploding when the spread grows, or when the gradient grows on its way back"""
    ask = _named(ask)
    factor = rng.uniform(2, 5)
    growth, level = 1.01 * factor, rng.uniform(0.8, 1.25)
    return {
        "the gradient grows": _ask(ask, rng, factor, level, 1 / growth),
        "the spread grows": _ask(ask, rng, factor, growth, level),
        "both grow": _ask(ask, rng, factor, growth, 1 / growth),
    }


@diagnose_depth.check(
    hint="Infinity and NaN count as exploding, in any layer, whatever the other numbers say.",
    more="np.isfinite tells it of every number of an array. Ask it before you compare: a comparison with NaN is False.",
)
def sees_overflow(ask, rng):
    """calls it exploding when a number is infinite or not a number"""
    ask = _named(ask)
    seen = {}
    for bad, part in itertools.product((np.inf, np.nan), (0, 1)):
        profiles = [_profile(rng, 1.0), _profile(rng, 1.0)]
        profiles[part][rng.integers(1, 5)] = bad
        seen[f"{bad} in {('spread', 'gradient')[part]}"] = ask(*profiles, _full(rng), 10.0)
    profiles = _profile(rng, 0.01), np.full(6, np.nan)
    return seen | {"nan while the spread falls": ask(*profiles, _full(rng), 10.0)}


@diagnose_depth.check(
    points=2,
    hint="One layer with one distinct unit is enough, whichever it is, and this line comes first.",
    more="A condition on an array is an array of truths; .any() tells whether one of them is true. Ask this before everything else.",
)
def sees_symmetry_first(ask, rng):
    """calls it symmetric when one layer has a single distinct unit, whatever else is wrong"""
    ask = _named(ask)
    fall, level = 1e-3, 1.0
    one, first, last = _full(rng), _full(rng), _full(rng)
    one[rng.integers(1, 5)] = first[0] = last[-1] = 1
    return {
        "the first layer": ask(_profile(rng, level), _profile(rng, level), first, 10.0),
        "another layer, and both fall": ask(
            _profile(rng, fall), _profile(rng, 1 / fall), one, 10.0
        ),
        "the last layer, and both explode": ask(
            _profile(rng, 1 / fall), np.full(6, np.nan), last, 10.0
        ),
        "all zero": ask(np.zeros(6), np.zeros(6), np.ones(6, int), 10.0),
    }


@diagnose_depth.check(
    hint="A change of at most `factor` over the whole depth is tolerated, and so are two distinct units.",
    more="Compare the first with the last layer only, with > and not with >=.",
)
def leaves_the_healthy_alone(ask, rng):
    """calls it healthy when the change over the depth is at most the factor"""
    ask = _named(ask)
    factor = 2.0 ** rng.integers(6, 9)
    up, down = 0.95 * factor, 1 / (0.95 * factor)
    peak, valley = _profile(rng, 1.0), _profile(rng, 1.0)
    peak[1:-1], valley[1:-1] = 100 * factor, 1 / (100 * factor)
    small, large = peak / (100 * factor), valley * (100 * factor)
    exact, two = np.array([1.0, 2.0, factor]), np.full(6, 2)
    return {
        "almost the factor up": _ask(ask, rng, factor, up, up),
        "almost the factor down": ask(_profile(rng, down), _profile(rng, down), two, factor),
        "the factor up": ask(exact, exact, two[:3], factor),
        "the factor down": ask(exact[::-1], exact[::-1], two[:3], factor),
        "a peak in the middle": ask(small, small, _full(rng), factor),
        "a valley in the middle": ask(large, large, _full(rng), factor),
    }
