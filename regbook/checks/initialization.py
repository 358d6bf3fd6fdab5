"""Checks of chapter 05, initialization."""

import itertools

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import Chapter, Failed, brief, compare, judge, outputs, vary

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
    points=0.5,
    hint="The variance of He initialization is 2 / fan_in; the standard deviation is its root.",
    more="For fan_in = 50 the variance is 2 / 50 = 0.04, and the answer is its root, 0.2.",
)
def is_the_root_of_two_over_fan_in(ask, rng):
    """is the root of 2 / fan_in"""
    return ask(int(rng.integers(20, 500)))


@he_std.check(
    points=0.5,
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
    points=0.5,
    hint="The variance is 2 / (fan_in + fan_out), and a uniform variable on [-c, c] has c**2 / 3.",
    more="Set c**2 / 3 equal to the variance, and solve for c.",
)
def is_the_root_of_six_over_both_fans(ask, rng):
    """is the root of 6 / (fan_in + fan_out)"""
    return ask(int(rng.integers(100, 200)), int(rng.integers(250, 500)))


@glorot_limit.check(
    points=0.5,
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

NAMES = EXPLODING, VANISHING, HEALTHY, CANNOT_TELL = (
    "exploding", "vanishing", "healthy", "cannot tell",
)  # fmt: skip
# The quantile at 0.975 of Student's t with n - 1 degrees of freedom, by the number n of starts.
STUDENT = {5: 2.7764, 6: 2.5706, 7: 2.4469, 8: 2.3646, 9: 2.3060}
AT_99 = {5: 4.6041, 6: 4.0321, 7: 3.7074, 8: 3.4995, 9: 3.3554}  # the quantile at 0.995


def _mean_interval(changes, *, quantile=STUDENT.get, ddof=1, root=np.sqrt):
    """Return the bounds of the mean over the starts, in units of the changes."""
    half = quantile(len(changes)) * changes.std(ddof=ddof) / root(len(changes))
    return changes.mean() - half, changes.mean() + half


def _changes(profile, *, on_the_way=lambda first, last: (first, last)):
    """Return the log of the change of each start, over a profile in the order in which it travels."""
    first, last = on_the_way(profile[:, 0], profile[:, -1])
    return np.log(last / first)


def _diagnose(
    spread, gradient, factor,
    *, interval=_mean_interval, changes=_changes, finite=lambda values: np.isfinite(values).all(),
    exploding=(0, 1), vanishing=(0, 1), both=all, first=EXPLODING, tie=CANNOT_TELL,
    backwards=lambda gradient: gradient[:, ::-1], limit=np.log,
):  # fmt: skip
    """Diagnose from the intervals; the options are for the mistakes.

    exploding, vanishing: which of the two measures may say so. tie: said where nothing is sure.
    """
    profiles = spread, backwards(gradient)
    if not finite(np.stack(profiles)):
        return EXPLODING
    limit = limit(factor)
    with np.errstate(all="ignore"):
        bounds = [interval(changes(profile)) for profile in profiles]
    holds = {
        EXPLODING: any(bounds[i][0] > limit for i in exploding),
        VANISHING: any(bounds[i][1] < -limit for i in vanishing),
    }
    order = (EXPLODING, VANISHING) if first == EXPLODING else (VANISHING, EXPLODING)
    for name in order:
        if holds[name]:
            return name
    return HEALTHY if both(-limit < low and high < limit for low, high in bounds) else tie


def _raw(spread, gradient, factor):
    """Take the interval of the ratios themselves, not of their logarithms."""
    profiles = spread, gradient[:, ::-1]
    if not np.isfinite(np.stack(profiles)).all():
        return EXPLODING
    bounds = [_mean_interval(profile[:, -1] / profile[:, 0]) for profile in profiles]
    if any(low > factor for low, _ in bounds):
        return EXPLODING
    if any(high < 1 / factor for _, high in bounds):
        return VANISHING
    inside = all(1 / factor < low and high < factor for low, high in bounds)
    return HEALTHY if inside else CANNOT_TELL


def _every_start(changes):
    return changes.min(), changes.max()


MEANS = vary(_mean_interval, quantile=lambda n: 0.0)

diagnose_depth = chapter.exercise(
    "diagnose_depth",
    _diagnose,
    mistakes={
        "gradient read forward": vary(_diagnose, backwards=lambda gradient: gradient),
        "one measure only": [
            vary(_diagnose, gradient=np.ones_like),
            vary(_diagnose, spread=np.ones_like),
        ],
        "saturated": vary(_diagnose, exploding=(0,)),
        "overflow": vary(_diagnose, finite=lambda values: True),
        "vanishing first": vary(_diagnose, first=VANISHING),
        "means only": vary(_diagnose, interval=MEANS),
        "always decided": [
            vary(_diagnose, tie=HEALTHY),
            vary(_diagnose, tie=VANISHING),
            vary(_diagnose, tie=EXPLODING),
        ],
        "spread of the starts": vary(_diagnose, interval=vary(_mean_interval, root=lambda n: 1)),
        "every start": vary(_diagnose, interval=_every_start),
        "normal": vary(_diagnose, interval=vary(_mean_interval, quantile=lambda n: 1.96)),
        "99 %": vary(_diagnose, interval=vary(_mean_interval, quantile=lambda n: AT_99[n])),
        "divided by n": vary(_diagnose, interval=vary(_mean_interval, ddof=0)),
        "ratios": _raw,
        "healthy by one": vary(_diagnose, both=any),
        "own factor": [vary(_diagnose, factor=number) for number in (10, 50, 100)],
        "absolute size": vary(
            _diagnose, changes=vary(_changes, on_the_way=lambda first, last: (1.0, last))
        ),
        "log forgotten": vary(_diagnose, limit=lambda factor: factor),
    },
    hints={
        "text": "Return one of the four texts of the exercise, letter by letter.",
        "gradient read forward": "You read the gradient forward. It travels from the last layer to the first: one that is small at the first layer and large at the last has vanished.",
        "one measure only": "The spread and the gradient each count on their own: one that vanishes or explodes is enough.",
        "saturated": "A gradient can explode while the signal looks tame: each counts on its own.",
        "overflow": "Infinity or NaN in a layer is an explosion that has already happened.",
        "vanishing first": "Exploding comes before vanishing in the list.",
        "means only": "You compare means alone. Other starts could turn them round: take the 95 % interval of the mean.",
        "always decided": "You give a diagnosis although the interval holds the tolerated change. Then the starts do not tell: say so.",
        "spread of the starts": "You took the standard deviation of the starts. Their mean varies less: divide by the root of their number.",
        "every start": "You ask it of every start. One start in ten may fall on the other side by chance; the interval of the mean decides.",
        "normal": "1.96 belongs to the normal distribution. With n starts take the quantile of Student's t with n - 1 degrees of freedom.",
        "99 %": "Your interval is wider than one of 95 %. With n starts take the quantile of Student's t at 0.975, with n - 1 degrees of freedom.",
        "divided by n": "Your standard deviation divides by n. With few starts that is too small: divide by n - 1 (ddof=1).",
        "ratios": "You averaged the ratios. Products of gains spread over powers of ten, and one large ratio decides their mean: average the logarithms.",
        "healthy by one": "You call it healthy although only one of the two intervals lies within the tolerated change. Both must.",
        "own factor": "You do not compare with factor itself. Use it as it is, without a number of your own.",
        "absolute size": "You compare the last layer with a fixed number. What counts is the change from the first layer to the last.",
        "log forgotten": "You compare logarithms with the factor itself. Take its logarithm too.",
    },
)


def _profiles(rng, changes):
    """Draw a profile for each start, in the order in which it travels, whose log changes are given.

    The layers in the middle are higher or lower than both ends: only the ends count.
    """
    layers = int(rng.integers(6, 9))
    profile = np.exp(rng.uniform(-6, 6, size=(len(changes), layers)))
    profile[:, 0] = np.exp(rng.uniform(-1, 1) + rng.normal(size=len(changes)))
    profile[:, -1] = profile[:, 0] * np.exp(changes)
    return profile


def _starts(rng, n, mean, error):
    """Return n log changes of this mean and this standard error exactly, and no two alike."""
    drawn = np.linalg.qr(np.column_stack([np.ones(n), rng.normal(size=n)]))[0][:, 1]
    return mean + error * drawn * np.sqrt(n * (n - 1))


def _measured(ask, rng, factor, spread, gradient, n=None):
    """Ask about starts whose changes have (mean, standard error), in units of log(factor)."""
    n = n or int(rng.integers(5, 10))
    profiles = [
        _profiles(rng, np.log(factor) * _starts(rng, n, *each)) for each in (spread, gradient)
    ]
    layers = min(profile.shape[1] for profile in profiles)
    on_the_way = [np.column_stack([p[:, : layers - 1], p[:, -1]]) for p in profiles]
    return _named(ask, on_the_way[0], on_the_way[1][:, ::-1], factor)


def _named(ask, *arguments):
    found = ask(*arguments)
    if isinstance(found, str) and found not in NAMES:
        raise Failed("one of the four texts", brief(found), "text")
    return found


LEVEL, SURE = (0.0, 0.05), 0.1  # a mean and its standard error; a small standard error


@diagnose_depth.check(
    points=2,
    hint="Either the signal or the gradient is enough; the gradient vanishes from the last layer to the first.",
    more="Per start, take the log of the end over the beginning: spread[:, -1] / spread[:, 0], and gradient[:, 0] / gradient[:, -1].",
)
def sees_a_vanishing_signal_or_gradient(ask, rng):
    """calls it vanishing when the spread surely falls, or the gradient on its way back"""
    factor, fall = rng.uniform(3, 6), (-rng.uniform(1.5, 2), SURE)
    return {
        "the gradient falls": _measured(ask, rng, factor, LEVEL, fall),
        "the spread falls": _measured(ask, rng, factor, fall, LEVEL),
        "both fall": _measured(ask, rng, factor, fall, fall),
        "a large factor": _measured(ask, rng, 300.0, LEVEL, fall),
    }


@diagnose_depth.check(
    points=2,
    hint="Either the signal or the gradient is enough, and it comes before vanishing.",
    more="The gradient explodes when it is larger at the first layer than at the last: gradient[:, 0] / gradient[:, -1].",
)
def sees_an_exploding_signal_or_gradient(ask, rng):
    """calls it exploding when the spread surely grows, or the gradient on its way back"""
    factor, growth = rng.uniform(3, 6), (rng.uniform(1.5, 2), SURE)
    return {
        "the gradient grows": _measured(ask, rng, factor, LEVEL, growth),
        "the spread grows": _measured(ask, rng, factor, growth, LEVEL),
        "the gradient grows, the spread falls": _measured(
            ask, rng, factor, (-growth[0], SURE), growth
        ),
        # Some starts lie far above the others: the mean of the ratios is uncertain, that of the
        # logarithms is not.
        "starts far apart": _measured(ask, rng, 4.0, (2.4, 0.42), LEVEL, n=9),
    }


@diagnose_depth.check(
    hint="Infinity and NaN count as exploding, in any layer of any start, whatever the other numbers say.",
    more="np.isfinite tells it of every number of an array. Ask it before you compare: a comparison with NaN is False.",
)
def sees_overflow(ask, rng):
    """calls it exploding when a number is infinite or not a number"""
    seen = {}
    for bad, part in itertools.product((np.inf, np.nan), (0, 1)):
        profiles = [_profiles(rng, _starts(rng, 6, 0.0, 0.05))[:, :5] for _ in range(2)]
        for profile in profiles:
            profile[:, -1] = profile[:, 0]
        profiles[part][rng.integers(6), rng.integers(1, 4)] = bad
        seen[f"{bad} in {('spread', 'gradient')[part]}"] = _named(ask, *profiles, 10.0)
    return seen


@diagnose_depth.check(
    points=2,
    hint="Several starts differ. Ask the 95 % interval of their mean change, by Student's t, and not the mean itself.",
    more="d.mean() plus and minus scipy.stats.t.ppf(0.975, n - 1) * d.std(ddof=1) / sqrt(n), with d the logarithms of the changes.",
)
def asks_the_interval_of_the_mean(ask, rng):
    """says "cannot tell" when the interval holds the tolerated change, and decides when it does not"""
    factor, seen = rng.uniform(3, 6), {}
    cases = {  # the mean change, its standard error, the number of starts
        "the mean beyond, the interval not": (1.3, 0.3, 8),
        "the mean within, the interval not": (0.8, 0.2, 8),
        # 1.96 standard errors, or those of a deviation divided by n, would not reach the limit.
        "five starts, not sure": (1 + 2.2 * 0.2, 0.2, 5),
        "five starts, just not sure": (1 + 0.98 * STUDENT[5] * 0.2, 0.2, 5),
        "five starts, just sure": (1 + 1.02 * STUDENT[5] * 0.2, 0.2, 5),
        "nine starts, just sure": (1 + 1.02 * STUDENT[9] * 0.3, 0.3, 9),
        "nine starts, sure": (1 + 2 * STUDENT[9] * 0.3, 0.3, 9),
    }
    for (case, (mean, error, n)), sign in itertools.product(cases.items(), (1, -1)):
        pair = [(sign * mean, error), LEVEL]
        if rng.random() < 0.5:
            pair.reverse()
        seen[f"{case}, {'up' if sign > 0 else 'down'}"] = _measured(ask, rng, factor, *pair, n=n)
    unsure = (0.9, 0.1), (-0.9, 0.1)
    return seen | {"both not sure": _measured(ask, rng, factor, *unsure, n=6)}


@diagnose_depth.check(
    hint="A change of at most `factor` over the whole depth is tolerated, up or down, when both intervals lie within it.",
    more="Both intervals of the logarithm must lie between -log(factor) and log(factor).",
)
def leaves_the_healthy_alone(ask, rng):
    """calls it healthy when both intervals lie within the factor, and only then"""
    factor = 2.0 ** rng.integers(6, 9)
    near = 1 - 1.1 * 0.05 * STUDENT[5]
    return {
        "level": _measured(ask, rng, factor, LEVEL, LEVEL),
        "almost the factor up": _measured(ask, rng, factor, (near, 0.05), (near, 0.05), n=5),
        "almost the factor down": _measured(ask, rng, factor, (-near, 0.05), (-near, 0.05), n=5),
        "well within": _measured(ask, rng, factor, (1 - 1.9 * 0.05 * STUDENT[5], 0.05), LEVEL, n=5),
        "a small factor": _measured(ask, rng, 1.5, (0.3, 0.1), (-0.3, 0.1)),
        "one within, the other unsure": _measured(ask, rng, factor, LEVEL, (0.9, 0.1), n=6),
        "one unsure, the other within": _measured(ask, rng, factor, (-0.9, 0.1), LEVEL, n=6),
    }


# --- start_thirty_layers ---------------------------------------------------------------------

LAYERS, STEPS, BATCH, RATE = 30, 80, 64, 0.003  # of the network, and of its training by Adam
NEEDED = 0.75  # of accuracy on hidden rows


def _kinked(p, q):
    """Return an activation of two slopes, and its derivative."""
    return lambda z: np.where(z > 0, p * z, q * z), lambda z: np.where(z > 0, p, q)


# Functions that bend, with the slope 1 at 0, and their derivatives.
_BENT = {
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "arctan": (np.arctan, lambda z: 1 / (1 + z**2)),
    "softsign": (lambda z: z / (1 + abs(z)), lambda z: (1 + abs(z)) ** -2),
    "sine": (np.sin, np.cos),
}


def _flat(rng):
    """Draw an activation of two small slopes, neither of them 0."""
    p = rng.uniform(0.06, 0.1)
    return _kinked(*rng.permutation([p, p * rng.uniform(0.3, 0.5)]))


def _weak(rng):
    """Draw an activation that bends, of a small slope at 0."""
    f, slope = _BENT[str(rng.choice(list(_BENT)))]
    p = rng.uniform(0.06, 0.1)
    return lambda z: p * f(z / 2) * 2, lambda z: p * slope(z / 2)


def _train(activation, slope, widths, scales, x, y, rng):
    """Train a network from these scales by Adam; return what computes its logits."""
    shapes = list(itertools.pairwise(widths))
    kernels = [
        (scale * rng.normal(size=shape)).astype(np.float32)
        for shape, scale in zip(shapes, scales, strict=True)
    ]
    parameters = [*kernels, *(np.zeros(size, np.float32) for size in widths[1:])]
    means, squares = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    targets = np.eye(widths[-1], dtype=np.float32)[y]

    def forward(rows):
        inputs, sums = [rows], []
        for number in range(LAYERS):
            sums.append(inputs[-1] @ parameters[number] + parameters[LAYERS + number])
            if number < LAYERS - 1:
                inputs.append(activation(sums[-1]))
        return inputs, sums

    with np.errstate(all="ignore"):  # an exploding network may overflow
        for step in range(1, STEPS + 1):
            take = rng.integers(len(x), size=BATCH)
            inputs, sums = forward(x[take])
            d = (softmax(sums[-1]) - targets[take]) / BATCH
            gradients = [np.zeros(0)] * len(parameters)
            for number in reversed(range(LAYERS)):
                gradients[number], gradients[LAYERS + number] = inputs[number].T @ d, d.sum(axis=0)
                if number:
                    d = d @ parameters[number].T * slope(sums[number - 1])
            for p, g, m, v in zip(parameters, gradients, means, squares, strict=True):
                m += 0.1 * (g - m)
                v += 0.01 * (g**2 - v)
                size = np.sqrt(v / (1 - 0.99**step)) + 1e-8
                p -= RATE * m / (1 - 0.9**step) / size
    return lambda rows: forward(rows)[1][-1]


def _rows(rng, centres):
    def rows(number):
        y = rng.permutation(np.arange(number) % len(centres))
        x = centres[y] + rng.normal(size=(number, centres.shape[1]))
        return x.astype(np.float32), y

    return rows


def _widths(rng, inputs, classes, least=20, most=36):
    hidden = rng.integers(least, most + 1, size=LAYERS - 1)
    return [inputs, *(int(width) for width in hidden), classes]


def _known_rules(scales, widths):
    """Return which rule of the books a list of scales follows, whatever the activation."""
    fan_in, fan_out = (np.array(part, float) for part in (widths[:-1], widths[1:]))
    rules = {
        "zero": 0 * fan_in,
        "He": np.sqrt(2 / fan_in),
        "Glorot": np.sqrt(2 / (fan_in + fan_out)),
        "LeCun": np.sqrt(1 / fan_in),
        "PyTorch default": np.sqrt(1 / (3 * fan_in)),
        "gain of tanh": 5 / 3 * np.sqrt(2 / (fan_in + fan_out)),
        "AlexNet": np.full_like(fan_in, 0.01),
        "variance for sd": 2 / fan_in,
        "too large": np.ones_like(fan_in),
    }
    inner = slice(1, -1)  # the ends may be treated otherwise
    return {
        name: np.allclose(scales[inner], rule[inner], rtol=0.03, atol=1e-6)
        for name, rule in rules.items()
    } | {"one for all": np.ptp(scales[inner]) < 1e-6}


start = chapter.exercise(
    "start_thirty_layers",
    hints={
        "zero": "With weights of zero no gradient reaches the hidden layers.",
        "He": "Your scales are He's, root of 2 / fan_in. They make up for the half that ReLU sets to zero, and this activation is no ReLU: measure what it does to a standard normal number.",
        "Glorot": "Your scales are Glorot's. They suit an activation that is about the identity: measure what this one does to a standard normal number.",
        "LeCun": "Your scales are LeCun's, root of 1 / fan_in. They suit an activation that keeps the mean square: measure what this one makes of it.",
        "PyTorch default": "Your scales are those of PyTorch's default, whatever the activation: measure what this one does to a standard normal number.",
        "gain of tanh": "Your scales carry the gain 5/3 of tanh. This activation has another gain: measure it.",
        "AlexNet": "A standard deviation of 0.01 knows neither the fans nor the activation.",
        "variance for sd": "You return the variance 2 / fan_in. Return standard deviations, and for this activation.",
        "too large": "A standard deviation of 1 knows neither the fans nor the activation.",
        "one for all": "All your scales are equal, but the layers have different numbers of inputs.",
        "vanishes": "The signal vanishes on its way through your network. The gain of a layer should be 1.",
        "explodes": "The signal explodes on its way through your network. The gain of a layer should be 1.",
        "scales": "Return 30 finite numbers that are not negative: one standard deviation for each kernel.",
    },
)


def _scales(ask, activation, widths, x):
    """Return the scales that an answer gives; fail the check unless they can be used."""
    (scales,) = outputs(ask(activation, list(widths), x), (LAYERS,))
    if not (np.isfinite(scales).all() and (scales >= 0).all()):
        raise Failed("30 standard deviations", brief(scales), "scales")
    return scales


def _signal(activation, widths, scales, x, rng):
    """Return the gain of the spread over the rows, through all hidden layers of a drawn network."""
    a = x
    with np.errstate(all="ignore"):
        for shape, scale in zip(itertools.pairwise(widths[:-1]), scales[:-1], strict=True):
            a = activation(a @ (scale * rng.normal(size=shape)))
        return float(np.sqrt(a.var(axis=0).mean() / x.var(axis=0).mean()))


def _trains(ask, rng, draw, **sizes):
    """Let an answer start a network with an activation that `draw` makes, train it, and judge."""
    activation, slope = draw(rng)
    centres = rng.normal(size=(3, 12))
    centres *= 4.5 / min(np.linalg.norm(a - b) for a, b in itertools.combinations(centres, 2))
    rows, widths = _rows(rng, centres), _widths(rng, 12, 3, **sizes)
    (x, y), (hidden, labels) = rows(400), rows(1000)
    x, hidden = ((part - x.mean(axis=0)) / x.std() for part in (x, hidden))
    scales = _scales(ask, lambda z: activation(np.asarray(z, float)), widths, x)
    seed = int(rng.integers(2**32))
    logits = _train(activation, slope, widths, scales, x, y, np.random.default_rng(seed))(hidden)
    found = float((logits.argmax(axis=1) == labels).mean())
    change = _signal(activation, widths, scales, x, np.random.default_rng(seed))
    mistakes = _known_rules(scales, widths) | {
        "explodes": not change < 30,
        "vanishes": change < 1 / 30,
    }
    shown = f"accuracy of at least {NEEDED} on hidden rows", f"{found:.2f}"
    return judge(found >= NEEDED, *shown, mistakes)


@start.check(
    points=2,
    hint="This activation makes its inputs smaller, so that the rules of the books let the signal vanish. What must the weights of a layer make up for?",
    more="With z standard normal, let m be the mean of activation(z)**2. A layer with fan_in inputs keeps its sums at variance 1 when its weights have the variance 1 / (fan_in * m).",
)
def trains_behind_two_slopes(ask, rng):
    """starts 30 layers of an activation of two slopes, so that 80 steps train them"""
    return _trains(ask, rng, _flat)


@start.check(
    points=2,
    hint="This activation bends, so its gain depends on the size of its inputs. Choose a size, and measure the gain there.",
    more="Standard normal inputs serve well: the mean of activation(z)**2 over many drawn z says what a layer has to make up for.",
)
def trains_behind_a_bend(ask, rng):
    """starts 30 layers of an activation that bends, so that 80 steps train them"""
    return _trains(ask, rng, _weak)


@start.check(
    points=2,
    hint="The numbers of units change much from layer to layer: each kernel needs a scale of its own, from its number of inputs.",
    more="The l-th kernel has widths[l] inputs and widths[l + 1] outputs, counted from 0. What a unit adds up are its inputs.",
)
def trains_through_uneven_widths(ask, rng):
    """starts 30 layers whose numbers of units differ by a factor of up to six"""
    return _trains(ask, rng, _flat if rng.random() < 0.5 else _weak, least=10, most=60)
