"""Checks of chapter 11, alpha dropout and self-normalizing networks."""

from itertools import pairwise

import numpy as np

from regbook.exercise import Chapter, Failed, brief, compare, judge, outputs, vary

chapter = Chapter("11_alpha_dropout")

ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805
DROPPED = -SCALE * ALPHA


# --- selu ------------------------------------------------------------------------------------


def _selu(x, *, scale=SCALE, alpha=ALPHA, lower=np.expm1):
    return scale * np.where(x > 0, x, alpha * lower(np.minimum(x, 0)))


selu = chapter.exercise(
    "selu",
    _selu,
    mistakes={
        "constants swapped": vary(_selu, scale=ALPHA, alpha=SCALE),
        "ELU": vary(_selu, scale=1, alpha=1),
        "no scale": vary(_selu, scale=1),
        "scale above only": vary(_selu, alpha=ALPHA / SCALE),
        "scale below only": lambda x: np.where(x > 0, x, _selu(x)),
        "no alpha": vary(_selu, alpha=1),
        "alpha inside the exponent": vary(_selu, alpha=1, lower=lambda x: np.expm1(ALPHA * x)),
        "no minus one": vary(_selu, lower=np.exp),
        "leaky ReLU": vary(_selu, lower=lambda x: x),
        "ReLU": vary(_selu, alpha=0),
        "coarse constants": [
            vary(_selu, scale=1.05),
            vary(_selu, scale=1.05, alpha=1.67),
            vary(_selu, alpha=1.67),
        ],
        "levels off at -alpha": lambda x: np.maximum(_selu(x), -ALPHA),
    },
    hints={
        "constants swapped": "You swapped the two constants: scale is 1.0507, alpha is 1.6733.",
        "ELU": "This is ELU with alpha = 1: both constants of SELU are missing.",
        "no scale": "The scale 1.0507 is missing. Without it the variance shrinks from layer to layer.",
        "scale above only": "Your scale multiplies the upper part only. It multiplies both: far below 0 SELU levels off at -scale * alpha, not at -alpha.",
        "scale below only": "Your scale multiplies the lower part only. It multiplies both: above 0 the slope is 1.0507.",
        "no alpha": "alpha is missing in the lower part. Without it the mean is not kept at 0.",
        "alpha inside the exponent": "alpha multiplies exp(x) - 1, not x.",
        "no minus one": "The lower part is exp(x) - 1. Without the -1 the function jumps at 0.",
        "leaky ReLU": "Your lower part is a straight line. SELU bends and levels off at -scale * alpha.",
        "ReLU": "Your lower part is 0: this is a scaled ReLU.",
        "coarse constants": "Your constants are rounded too much: take scale = 1.0507009873554805 and alpha = 1.6732632423543772.",
        "levels off at -alpha": "Far below 0 your function levels off at -alpha. SELU levels off at -scale * alpha.",
        "overflow": "Your answer is NaN or infinite for a large x: exp(x) overflows where it is not needed. Choose with np.where, or take exp of np.minimum(x, 0).",
    },
)


@selu.check(
    points=2,
    hint="Above 0 the function is scale * x, below it is scale * alpha * (exp(x) - 1).",
    more="scale is 1.0507 and multiplies both parts; alpha is 1.6733 and multiplies only the lower one.",
)
def follows_both_parts(ask, rng):
    """is scale * x above 0 and scale * alpha * (exp(x) - 1) below"""
    x = np.concatenate([[-0.5, 0.5], rng.uniform(0.2, 3, 4), -rng.uniform(0.2, 3, 4)])
    (values,) = outputs(ask(x), x.shape)
    # Without the 1, a scale of 1.05 is one per cent off.
    return {"values": values, "slope above 0, minus 1": values[1:6] / x[1:6] - 1}


@selu.check(
    hint="Far below 0 the function levels off at -scale * alpha = -1.7581, far above it is scale * x.",
    more="exp(1000) is infinite, and 0 times infinity is NaN: choose with np.where, or take exp of np.minimum(x, 0).",
    keeps_input=True,
)
def holds_far_from_zero(ask, rng):
    """levels off at -1.7581 far below 0 and holds for very large x"""
    x = np.array([-2000.0, -50.0, 900.0, 5000.0 * rng.uniform(1, 2)])
    received = ask(x)
    if np.shape(received) == (4,) and not np.isfinite(received).all():
        raise Failed(brief(_selu(x)), brief(received), "overflow")
    return received


@selu.check(
    hint="The function works entry by entry, on an array of any shape, and is 0 at 0.",
    more="Both parts are 0 at x = 0, so the function has no jump there.",
)
def works_on_any_shape(ask, rng):
    """keeps the shape of x, and 0 stays 0"""
    x = rng.normal(size=(2, 3, 4))
    x[0, 0, 0] = 0
    return ask(x)


# --- alpha_dropout_affine --------------------------------------------------------------------


def _affine(rate, *, dropped=DROPPED, power=-0.5):
    a = ((1 - rate) * (1 + rate * dropped**2)) ** power
    return a, -a * rate * dropped


affine = chapter.exercise(
    "alpha_dropout_affine",
    _affine,
    mistakes={
        "swapped results": lambda rate: _affine(rate)[::-1],
        "rate and keep swapped": vary(_affine, rate=lambda rate: 1 - rate),
        "plain dropout": lambda rate: (1 / (1 - rate), 0.0),
        "sign of b": lambda rate: (_affine(rate)[0], -_affine(rate)[1]),
        "alpha without scale": vary(_affine, dropped=-ALPHA),
        "no root": vary(_affine, power=-1),
        "standard deviation": vary(_affine, power=0.5),
        "b without a": lambda rate: (_affine(rate)[0], -rate * DROPPED),
        "no shift": lambda rate: (_affine(rate)[0], 0.0),
        "dropped to zero": vary(_affine, dropped=0.0),
    },
    hints={
        "swapped results": "Return the factor a first, then the shift b.",
        "rate and keep swapped": "You took rate for the chance to be kept. It is the chance to be dropped.",
        "plain dropout": "1 / (1 - rate) is the scale of plain dropout. It keeps the mean and not the variance.",
        "sign of b": "b has the wrong sign. Dropped entries are negative, so the mask lowers the mean and b raises it.",
        "alpha without scale": "You set dropped entries to -alpha. SELU levels off at -scale * alpha = -1.7581.",
        "no root": "You divide by the variance. Divide by its root, the standard deviation.",
        "standard deviation": "a is the standard deviation after the mask. Divide by it: a is its inverse.",
        "b without a": "b must cancel a times the mean, because the factor a acts before b is added.",
        "no shift": "b is missing. The dropped entries are not 0, so the mask moves the mean.",
        "dropped to zero": "These constants fit entries that are dropped to 0. Alpha dropout drops them to -1.7581.",
    },
)


@affine.check(
    points=2,
    hint="After the mask the mean is rate * dropped and the variance is (1 - rate) * (1 + rate * dropped**2), with dropped = -1.7581. Choose a and b that bring them back to 0 and 1.",
    more="a divides by a standard deviation, the root of the variance. The mean after the mask, times a, plus b must be 0.",
)
def gives_both_constants(ask, rng):
    """returns a and b of the formula"""
    return ask(rng.uniform(0.1, 0.4))


@affine.check(
    points=2,
    hint="Take inputs of mean 0 and variance 1, set the share rate of them to -1.7581, and apply a * x + b: the result must have mean 0 and variance 1 again.",
    more="The variance of the masked input is (1 - rate) + rate * (1 - rate) * dropped**2.",
)
def brings_back_mean_and_variance(ask, rng):
    """brings mean 0 and variance 1 back, for every rate"""
    found = {}
    for rate in (0.05, 0.5, 0.9, rng.uniform(0.1, 0.4)):
        a, b = outputs(ask(rate), (), ())
        # Of kept entries with mean 0 and variance 1, and of the dropped ones, by their shares.
        mean = (1 - rate) * b + rate * (a * DROPPED + b)
        variance = (1 - rate) * (a**2 + (b - mean) ** 2) + rate * (a * DROPPED + b - mean) ** 2
        found[f"mean and variance at rate {rate:.3f}"] = np.array([mean, variance])
    return found


@affine.check(
    hint="At rate 0 nothing is dropped, so nothing needs a correction.",
    more="At rate 0 the formulas give a = 1 and b = 0.",
)
def changes_nothing_at_rate_zero(ask, rng):
    """is a = 1 and b = 0 at rate 0"""
    return ask(0.0)


# --- moments_by_depth ------------------------------------------------------------------------


def _moments(kernels, x, *, activation=_selu, variance=np.var, before=False):
    means, variances = [], []
    for kernel in kernels:
        z = x @ kernel
        x = activation(z)
        means.append(np.mean(z if before else x))
        variances.append(variance(z if before else x))
    return np.array(means), np.array(variances)


def _all_from_input(kernels, x):
    layers = [_selu(x @ kernel) for kernel in kernels]
    return np.array([a.mean() for a in layers]), np.array([a.var() for a in layers])


def _with_input(kernels, x):
    means, variances = _moments(kernels, x)
    return np.array([x.mean(), *means]), np.array([x.var(), *variances])


moments = chapter.exercise(
    "moments_by_depth",
    _moments,
    mistakes={
        "swapped results": lambda kernels, x: _moments(kernels, x)[::-1],
        "standard deviation": vary(_moments, variance=np.std),
        "sample variance": vary(_moments, variance=lambda a: a.var(ddof=1)),
        "second moment": vary(_moments, variance=lambda a: (a**2).mean()),
        "before the activation": vary(_moments, before=True),
        "no activation": vary(_moments, activation=lambda z: z),
        "ReLU": vary(_moments, activation=lambda z: np.maximum(z, 0)),
        "every layer from the input": _all_from_input,
        "transposed kernels": vary(_moments, kernels=lambda kernels: [k.T for k in kernels]),
        "variance per unit": vary(_moments, variance=lambda a: a.var(axis=0).mean()),
        "variance per row": vary(_moments, variance=lambda a: a.var(axis=1).mean()),
        "input included": _with_input,
        "last layer only": lambda kernels, x: tuple(m[-1] for m in _moments(kernels, x)),
    },
    hints={
        "swapped results": "Return the means first, then the variances.",
        "standard deviation": "You return standard deviations. The exercise asks for variances: no root.",
        "sample variance": "You divide by the number of entries minus 1. The population variance divides by their number.",
        "second moment": "You return the mean of the squares. Subtract the mean before you square.",
        "before the activation": "These are the moments before SELU. Take them of the activations, after it.",
        "no activation": "No SELU is applied between the kernels.",
        "ReLU": "You applied ReLU. This network has SELU.",
        "every layer from the input": "Every kernel of yours sees the input x. It must see the activations of the layer before.",
        "transposed kernels": "Your kernels are transposed: their shape is (fan_in, fan_out), so multiply x @ kernel.",
        "variance per unit": "You averaged the variances of the units. That leaves out how the units' means differ: take one variance over all entries.",
        "variance per row": "You averaged the variances of the rows. Take one variance over all entries.",
        "input included": "Your first value belongs to the input. Start with the first SELU layer.",
        "last layer only": "You return the last layer only. Return one value per layer.",
    },
)


@moments.check(
    points=3,
    hint="Per kernel: multiply, apply SELU, note mean and variance over all entries, and hand the result on to the next kernel.",
    more="Two empty lists, a loop over the kernels, and one array that each turn replaces by its activations; mean and var without an axis take all entries.",
)
def follows_the_activations(ask, rng):
    """gives mean and variance of the activations after every SELU layer"""
    x = rng.normal(1, 1, size=(5, 4))
    return ask([rng.normal(size=(4, 4)) for _ in range(3)], x)


@moments.check(
    hint="There is one mean and one variance per kernel; layers may differ in width.",
    more="Return two lists or arrays whose length is len(kernels); the input itself is not in them.",
)
def allows_other_widths(ask, rng):
    """works for layers of different widths, one value per kernel"""
    kernels = [rng.normal(size=shape) for shape in pairwise((3, 7, 2, 5, 6))]
    return ask(kernels, rng.normal(size=(6, 3)))


@moments.check(
    hint="With standardized inputs and LeCun normal kernels the network is self-normalizing.",
    more="In 12 layers of 100 units the mean stays near 0 and the variance near 1.",
)
def stays_normal(ask, rng):
    """stays near mean 0 and variance 1 for LeCun normal kernels"""
    kernels = [rng.normal(scale=0.1, size=(100, 100)) for _ in range(12)]
    means, variances = outputs(ask(kernels, rng.normal(size=(40, 100))), (12,), (12,))
    normal = np.abs(means).max() < 0.3 and 0.5 < variances.min() <= variances.max() < 1.7
    return judge(normal, "means near 0, variances near 1", brief(variances))


# --- build_self_normalizing_network ----------------------------------------------------------

build = chapter.exercise(
    "build_self_normalizing_network",
    hints={
        "architecture": "The kernels and biases do not have the expected shapes: one dense layer with a bias for each pair of neighbouring sizes, the last one included.",
        "He": "These are He's kernels: their variance is twice as large, which fits ReLU.",
        "Glorot": "These are Glorot's kernels, the default of Keras. LeCun looks at fan_in alone.",
        "default of PyTorch": "This is the default of PyTorch's Linear: its variance is a third of LeCun's.",
        "gain of selu": 'nonlinearity="selu" has the gain 3/4 in PyTorch. LeCun is nonlinearity="linear".',
        "fan_out": "You took fan_out. LeCun divides by fan_in.",
        "variance": "1 / fan_in is the variance. The standard deviation is its root.",
        "uniform": "The spread is right, but the distribution is uniform. LeCun normal is asked for.",
        "random biases": "The biases do not start at 0. PyTorch draws them at random unless told otherwise.",
        "ReLU": "The hidden layers have ReLU. Use SELU.",
        "ELU": "The hidden layers have ELU. SELU has two constants more.",
        "no activation": "The hidden layers have no activation.",
        "activation on the output": "The output layer has an activation. Its outputs are logits.",
        "no dropout": "Training and evaluation mode give the same outputs: there is no dropout.",
        "rate and keep swapped": "You drop the share 1 - rate. Both libraries take the chance to be dropped.",
        "plain dropout": "This is plain dropout: entries go to 0. Self-normalizing networks need AlphaDropout.",
        "dropout before the activation": "Your alpha dropout stands before SELU. Put it behind: it drops to SELU's lowest value.",
        "dropout on the output": "More is dropped than the hidden layer alone explains: is there dropout behind the output too, or before the first layer?",
        "not in every layer": "Not every hidden layer drops at the given rate. Each needs its own alpha dropout.",
    },
)


def _built(ask, sizes, rate):
    """Build the learner's model; return its handle."""
    model = ask.model(list(sizes), rate)
    shapes = [shape for i, o in pairwise(sizes) for shape in ((i, o), (o,))]
    built = [w.shape for w in model.weights()]
    if built != shapes:
        raise Failed(str(shapes), str(built), "architecture")
    return model


def _outputs(ask, rng, rate):
    """Return the input of the hidden layer, and what the output layer passes on in both modes."""
    model = _built(ask, (6, 10, 10), rate)
    w, c = rng.normal(size=(6, 10)), rng.normal(size=10)
    model.set_weights([w, c, np.eye(10), np.zeros(10)])
    x = rng.normal(size=(400, 6))
    return x @ w + c, model.predict(x), model.predict(x, training=True)


@build.check(
    points=2,
    hint="LeCun normal has the standard deviation fan_in ** -0.5.",
    more='Keras knows the initializer "lecun_normal". PyTorch has nn.init.normal_ with a std, and nn.init.zeros_ for the biases; a weight has the shape (fan_out, fan_in).',
)
def starts_from_lecun_normal(ask, rng):
    """starts from LeCun normal kernels and zero biases"""
    fan_in, fan_out = np.array([100, 60]), np.array([60, 90])
    weights = _built(ask, (100, 60, 90), 0.1).weights()
    kernels, biases = weights[::2], np.concatenate(weights[1::2])
    spreads = np.array([kernel.std() for kernel in kernels])
    known = {
        "He": (2 / fan_in) ** 0.5,
        "Glorot": (2 / (fan_in + fan_out)) ** 0.5,
        "default of PyTorch": (3 * fan_in) ** -0.5,
        "gain of selu": 0.75 * fan_in**-0.5,
        "fan_out": fan_out**-0.5,
        "variance": 1 / fan_in,
    }
    if not np.allclose(spreads, fan_in**-0.5, rtol=0.06):
        wrong = {name: np.allclose(spreads, value, rtol=0.06) for name, value in known.items()}
        return judge(False, brief(fan_in**-0.5), brief(spreads), wrong)
    farthest = min(np.abs(kernel).max() * len(kernel) ** 0.5 for kernel in kernels)
    if farthest < 1.8:
        return judge(False, "a normal distribution", "a uniform one", {"uniform": True})
    if biases.any():
        return judge(False, "biases of 0", brief(biases), {"random biases": True})
    return judge(True, brief(fan_in**-0.5), brief(spreads))


@build.check(
    points=2,
    hint="In evaluation mode a hidden layer is SELU of its input, and the output has no activation.",
    more="Alpha dropout does nothing in evaluation mode.",
)
def is_selu_in_evaluation(ask, rng):
    """computes SELU layers and logits in evaluation mode"""
    z, evaluation, _ = _outputs(ask, rng, 0.25)
    wrong = {
        "ReLU": np.maximum(z, 0),
        "ELU": _selu(z, scale=1, alpha=1),
        "no activation": z,
        "activation on the output": _selu(_selu(z)),
    }
    return compare(evaluation, _selu(z), wrong)


@build.check(
    points=2,
    hint="In training mode each hidden activation is either dropped to -1.7581 or kept, and then a * x + b acts on all of them.",
    more="Put keras.layers.AlphaDropout(rate) or nn.AlphaDropout(rate) behind every SELU, and none behind the output.",
)
def drops_to_the_saturation_value(ask, rng):
    """applies alpha dropout behind SELU in training mode, at the given rate"""
    rate = (rng.integers(27, 33) + 0.5) / 100  # none that an answer could have fixed
    z, evaluation, training = _outputs(ask, rng, rate)
    hidden = _selu(z)

    def shares(rate, kept, after=lambda x: x):
        """Return the shares of entries that look kept, and dropped, at this rate."""
        a, b = _affine(rate)
        values = after(a * kept + b), after(a * DROPPED + b)
        return [np.isclose(training, value, atol=1e-4).mean() for value in values]

    kept, dropped = shares(rate, hidden)
    # 4000 entries: the share has the standard deviation 0.007. Some kept ones saturate too.
    near = abs(dropped - rate) < 0.06
    passed = near and kept + dropped > 0.999
    plain = np.isclose(training, hidden / (1 - rate), atol=1e-4) | np.isclose(training, 0)
    wrong = {
        "no dropout": np.allclose(training, evaluation, atol=1e-5),
        "rate and keep swapped": sum(shares(1 - rate, hidden)) > 0.999,
        "plain dropout": plain.mean() > 0.999,
        "dropout before the activation": sum(shares(rate, z, _selu)) > 0.999,
        "dropout on the output": kept < 0.1 and near,
    }
    expected = f"{100 * rate:.1f} % dropped to the saturation value"
    return judge(passed, expected, f"{100 * dropped:.0f} %", wrong)


@build.check(
    points=2,
    hint="Every hidden layer needs the same four: LeCun normal, zero bias, SELU, alpha dropout.",
    more="Print the variance after each layer in training mode, as in the exercise above.",
)
def stays_normal_in_both_modes(ask, rng):
    """keeps mean near 0 and variance near 1 through eight layers in both modes"""
    model = _built(ask, [80] * 10, 0.2)
    model.set_weights([*model.weights()[:-2], np.eye(80), np.zeros(80)])
    x = rng.normal(size=(200, 80))
    found = [model.predict(x, training) for training in (False, True)]
    found = np.array([value for out in found for value in (out.mean(), out.var())])
    good = np.abs(found - [0, 1, 0, 1]).max() < 0.5
    if not good:
        return judge(False, "mean and variance near 0, 1, 0, 1", brief(found))
    # With kernels of ones on the diagonal each entry goes its own way, and all eight layers must
    # spare it: 0.8 ** 8 of them, within six standard errors. Seven layers would spare 0.21.
    (a, b), kept = _affine(0.2), x
    for _ in range(8):
        kept = a * _selu(kept) + b
    model.set_weights([np.eye(80), np.zeros(80)] * 9)
    spared = np.isclose(model.predict(x, training=True), kept, rtol=1e-3, atol=1e-4).mean()
    near = abs(spared - 0.8**8) < 0.018
    return judge(
        near,
        f"{0.8**8:.3f} of the entries spared in all layers",
        f"{spared:.3f}",
        {"not in every layer": True},
    )


# --- why_not_self_normalizing ----------------------------------------------------------------

CAUSES = ("inputs", "kernels", "activation", "dropout")


def _gains(kernels):
    return [len(kernel) * (kernel**2).mean() for kernel in kernels]


def _why(
    x,
    kernels,
    evaluation,
    training,
    *,
    order=CAUSES,
    inputs=lambda x: [x.mean(), x.var() - 1],
    gains=_gains,
    layer=-1,
    size=abs,
    bound=0.25,
    least=-np.inf,
    strictly=True,
):
    off = {
        "inputs": lambda: inputs(x),
        "kernels": lambda: [gain - 1 for gain in gains(kernels)],
        "activation": lambda: [evaluation[layer] - 1],
        "dropout": lambda: [training[layer] - 1],
    }

    def is_off(value):
        value = size(value) if value > least else np.inf
        return value > bound if strictly else value >= bound

    return next((cause for cause in order if any(map(is_off, off[cause]()))), "nothing")


def _earlier(evaluation, training):
    """Return what an answer says that looks at the variances after all layers."""
    for cause, variances in (("activation", evaluation), ("dropout", training)):
        if max(abs(np.array(variances) - 1)) > 0.25:
            return cause
    return "nothing"


def _order(*causes):
    return vary(_why, order=causes)


why = chapter.exercise(
    "why_not_self_normalizing",
    _why,
    mistakes={
        "inputs missed": [
            vary(_why, inputs=lambda x: [x.mean()]),
            vary(_why, inputs=lambda x: [x.var() - 1]),
            vary(_why, inputs=lambda x: [x.mean(), x.std() - 1]),
            _order("kernels", "inputs", "activation", "dropout"),
            _order("dropout", "activation", "kernels", "inputs"),
        ],
        "one side only": vary(_why, size=float),
        "fan_out": vary(_why, gains=lambda kernels: _gains([kernel.T for kernel in kernels])),
        "kernels missed": [
            vary(_why, kernels=lambda kernels: kernels[:1]),
            vary(_why, kernels=lambda kernels: kernels[-1:]),
            vary(_why, gains=lambda kernels: [np.mean(_gains(kernels))]),
            _order("inputs", "activation", "kernels", "dropout"),
        ],
        "activation missed": [
            vary(_why, layer=0),
            _order("inputs", "kernels", "dropout", "activation"),
            _order("inputs", "kernels", "dropout"),
        ],
        "dropout missed": _order("inputs", "kernels", "activation"),
        "false alarm": vary(_why, bound=0.1),
        "another bound": [
            vary(_why, bound=0.2),
            vary(_why, bound=0.3),
            vary(_why, least=1 / 1.25 - 1),
        ],
        "border included": vary(_why, strictly=False),
        "earlier layers": lambda x, kernels, evaluation, training: (
            _why(x, kernels, evaluation, training)
            if _why(x, kernels, [1], [1]) != "nothing"
            else _earlier(evaluation, training)
        ),
        "second moment": vary(_why, inputs=lambda x: [x.mean(), (x**2).mean() - 1]),
        "column by column": [
            vary(_why, inputs=lambda x: [*x.mean(axis=0), *(x.var(axis=0) - 1)]),
            vary(_why, inputs=lambda x: [x.mean(), x.var(axis=0).mean() - 1]),
        ],
        "variance of the kernel": vary(
            _why, gains=lambda kernels: [len(kernel) * kernel.var() for kernel in kernels]
        ),
    },
    hints={
        "inputs missed": "The inputs are off: look at the mean and at the variance of x, both ways, before anything else.",
        "one side only": "You look at values that are too large. A value that is too small is off as well: compare the absolute difference with 0.25.",
        "fan_out": "You multiply by fan_out. fan_in is the first axis of a kernel.",
        "kernels missed": "A kernel is off: fan_in times the mean of its squares is not near 1. fan_in is the first axis; look at every kernel, and at both sides of 1, before you look at the variances.",
        "activation missed": "Inputs and kernels are right, and the variance drifts in evaluation mode already: only the activation is left. Look at the last layer, and at both sides of 1.",
        "dropout missed": "Everything is right in evaluation mode; the drift exists in training mode only. What acts in training mode only?",
        "false alarm": "Nothing is off by more than 0.25 here. A small deviation is no fault.",
        "another bound": "The bound is 0.25 on both sides: off from 1 is below 0.75 or above 1.25.",
        "border included": "A number that is off by exactly 0.25 is not off yet: by *more* than 0.25.",
        "earlier layers": "You look at the variances of earlier layers, too. Only the one after the last layer counts.",
        "second moment": "You took the mean of the squares of x. The variance is taken about the mean.",
        "column by column": "You measured x column by column. Take one mean and one variance over all of its entries.",
        "variance of the kernel": "You took the variance of a kernel. The test is about the mean of its squared entries: about 0, and not about their mean.",
    },
)


def _case(
    x, kernels, *, mean=0.0, variance=1.0, gains=(1, 1, 1), evaluation=1.0, training=1.0, early=None
):
    """Give standard inputs and kernels exactly these properties; add the variances.

    early: the variance after the layers before the last; None lets it grow from layer to layer.
    """
    kernels = [kernel * gain**0.5 for kernel, gain in zip(kernels, gains, strict=True)]
    steps = np.array([0.1, 0.5, 1.0])  # how much of the drift has arrived after each layer
    variances = [evaluation**steps, training**steps]
    if early is not None:
        for values in variances:
            values[:-1] = early
    return x * variance**0.5 + mean, kernels, *variances


def _is_a_cause(received):
    if not isinstance(received, str) or received not in (*CAUSES, "nothing"):
        hint = f"Return one of the texts {', '.join(map(repr, (*CAUSES, 'nothing')))}."
        raise Failed("one of the five texts", brief(received), "form", hint=hint)


def _said(ask, rng, *cases):
    """Return what is said in each case, by its settings."""
    # Columns with means of their own, and a kernel whose mean is not 0: only the whole counts.
    x = rng.normal(size=(50, 6)) + [0.8, -0.8] * 3
    x = (x - x.mean()) / x.std()
    kernels = [rng.normal(size=shape) for shape in pairwise((6, 24, 12, 40))]
    kernels[1] += 0.8
    kernels = [kernel / _gains([kernel])[0] ** 0.5 for kernel in kernels]
    said = {}
    for settings in cases:
        received = ask(*_case(x, kernels, **settings))
        _is_a_cause(received)
        case = ", ".join(f"{name} {value}" for name, value in settings.items())
        said[case or "nothing off"] = received
    return said


@why.check(
    hint="Compare each of the numbers with its bound, 0.25.",
    more='If no test fires, return "nothing". A number that is off by exactly 0.25 is not off yet.',
)
def raises_no_false_alarm(ask, rng):
    """answers "nothing" for deviations of at most 0.25"""
    said = _said(
        ask,
        rng,
        {},
        {"mean": 0.249, "variance": 0.751},
        {"mean": -0.249, "variance": 1.249},
        {"gains": (1.249, 0.751, 1.249)},
        {"evaluation": 0.751, "training": 1.249},
        {"evaluation": 1.25, "training": 0.75},
        {"early": 1.5},
    )
    # The border itself, in numbers that every computer holds exactly: a mean of 0.25, and a gain
    # of 4 * (16 * 0.25 + 4 * 0.5625) / 20 = 1.25.
    x = rng.permutation([-0.75, 1.25] * 16).reshape(8, 4)
    kernel = rng.permutation([0.5] * 8 + [-0.5] * 8 + [0.75, -0.75] * 2).reshape(4, 5)
    said["everything off by exactly 0.25"] = ask(x, [kernel], np.array([1.25]), np.array([1.25]))
    _is_a_cause(said["everything off by exactly 0.25"])
    return said


@why.check(
    points=2,
    hint="One cause per case: which of the four numbers is off?",
    more="The mean and the variance of all of x; of every kernel the number of its rows times the mean of its squares; the last entries of the two lists of variances.",
)
def finds_each_cause(ask, rng):
    """finds each cause, too large as well as too small"""
    return _said(
        ask,
        rng,
        {"mean": 0.251},
        {"mean": -0.251},
        {"variance": 0.749},
        {"variance": 1.251},
        {"gains": (1.251, 1.0, 1.0)},
        {"gains": (1.0, 1.0, 0.749)},
        {"gains": (1.0, 1.251, 1.0)},
        {"gains": (1.4, 0.7, 1.0)},
        {"evaluation": 0.749, "training": 0.749},
        {"evaluation": 1.251, "training": 1.251},
        {"evaluation": 1.4, "training": 1.4, "early": 1.4},
        {"training": 1.251},
        {"training": 0.749},
    )


@why.check(
    points=2,
    hint="A fault upstream makes everything downstream drift. Test in the order in which the data flow.",
    more="First the inputs, then the kernels, then the activation, then dropout.",
)
def names_the_first_cause(ask, rng):
    """names the cause that comes first where several numbers are off"""
    drift = {"evaluation": 3.0, "training": 5.0}
    return _said(
        ask,
        rng,
        {"mean": 3.0, "gains": (2.0, 2.0, 2.0), **drift},
        {"gains": (2.0, 2.0, 2.0), **drift},
        drift,
        {"evaluation": 1.1, "training": 5.0},
    )
