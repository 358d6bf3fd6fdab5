"""Checks of chapter 11, alpha dropout and self-normalizing networks."""

from itertools import pairwise

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import Chapter, Failed, brief, compare, judge, outputs, training, vary

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

STEPS_OF_DATA = ("inputs", "kernels", "dropout")
NOTHING, MORE = "nothing", "measure more"


def _interval(values, *, errors=2.0, ddof=1, root=np.sqrt):
    """Return the mean plus and minus two standard errors, as (low, high)."""
    half = errors * values.std(ddof=ddof) / root(len(values))
    return values.mean() - half, values.mean() + half


def _change(before, after, interval):
    return interval(after - before)


def _apart(before, after, interval):
    """Subtract two intervals instead of asking for that of the difference."""
    (low, high), (lower, higher) = interval(before), interval(after)
    return lower - high, higher - low


def _as_if_independent(before, after, interval):
    (low, high), (lower, higher) = interval(before), interval(after)
    mean, half = after.mean() - before.mean(), np.hypot(high - low, higher - lower) / 2
    return mean - half, mean + half


def _from_one(before, after, interval):
    return interval(after - 1)


def _named(low, high, bound):
    """Return whether an interval lies off, within the bounds, or neither."""
    if low > bound or high < -bound:
        return "off"
    return "within" if -bound < low and high < bound else "open"


def _why(
    evaluation, training,
    *, interval=_interval, between=_change, order=STEPS_OF_DATA, bound=0.25, judged=_named,
    columns=list, first="open",
):  # fmt: skip
    """Diagnose from several batches; the options are for the mistakes."""
    layers = range(1, evaluation.shape[1])
    found = {
        "inputs": [interval(evaluation[:, 0] - 1)],
        "kernels": [interval(evaluation[:, layer] - 1) for layer in columns(layers)],
        "dropout": [
            between(evaluation[:, layer], training[:, layer], interval) for layer in columns(layers)
        ],
    }
    said = [(name, judged(*each, bound)) for name in order for each in found[name]]
    if first == "off":  # what is surely off goes first, wherever it is
        said.sort(key=lambda pair: pair[1] != "off")
    name, verdict = next((pair for pair in said if pair[1] != "within"), ("", NOTHING))
    return {"off": name, "open": MORE, NOTHING: NOTHING}[verdict]


def _overlooks(low, high, bound):
    return "off" if _named(low, high, bound) == "off" else "within"


def _alarms(low, high, bound):
    return "within" if _named(low, high, bound) == "within" else "off"


def _from_the_end(evaluation, training):
    turned = [np.column_stack([m[:, :1], m[:, :0:-1]]) for m in (evaluation, training)]
    return _why(*turned)


def _averaged(evaluation, training):
    """Take the mean over all layers."""
    return _why(
        *(np.column_stack([m[:, 0], m[:, 1:].mean(axis=1)]) for m in (evaluation, training))
    )


why = chapter.exercise(
    "why_not_self_normalizing",
    _why,
    mistakes={
        "means only": vary(_why, interval=vary(_interval, errors=0.0)),
        "never open": [
            vary(_why, judged=_overlooks),
            vary(_why, judged=_alarms),
        ],
        "spread of the batches": vary(_why, interval=vary(_interval, root=lambda n: 1)),
        "one standard error": vary(_why, interval=vary(_interval, errors=1.0)),
        "more than two": vary(_why, interval=vary(_interval, errors=3.0)),
        "divided by n": vary(_why, interval=vary(_interval, ddof=0)),
        "root forgotten": vary(_why, interval=vary(_interval, root=lambda n: n)),
        "not paired": [vary(_why, between=_apart), vary(_why, between=_as_if_independent)],
        "training compared with 1": vary(_why, between=_from_one),
        "one side only": [
            vary(_why, judged=lambda low, high, bound: _named(max(low, 0), max(high, 0), bound)),
            vary(_why, judged=lambda low, high, bound: _named(min(low, 0), min(high, 0), bound)),
        ],
        "last layer only": vary(_why, columns=lambda layers: [max(layers)]),
        "first layer only": vary(_why, columns=lambda layers: [min(layers)]),
        "layers averaged": _averaged,
        "no tolerance": vary(_why, bound=1e-9),
        "another bound": [vary(_why, bound=0.2), vary(_why, bound=0.3)],
        "order": [
            vary(_why, order=("kernels", "inputs", "dropout")),
            vary(_why, order=("dropout", "kernels", "inputs")),
            vary(_why, order=("inputs", "dropout", "kernels")),
            _from_the_end,
        ],
        "jumps ahead": vary(_why, first="off"),
        "inputs skipped": vary(_why, order=("kernels", "dropout")),
        "kernels skipped": vary(_why, order=("inputs", "dropout")),
        "dropout skipped": vary(_why, order=("inputs", "kernels")),
    },
    hints={
        "text": "Return one of the five texts of the exercise, letter by letter.",
        "inputs skipped": "Column 0 belongs to the inputs, and you do not judge it. SELU pulls a wrong scale back to 1 within some layers, so nothing behind it may show the fault.",
        "kernels skipped": "You do not judge the activations in evaluation mode. What drifts there has nothing to do with dropout.",
        "dropout skipped": "You do not judge the change from evaluation to training mode. Only dropout acts in one of the two.",
        "one side only": "You look at one side of the bounds only. A mean square that is too small is off, and so is one that is too large.",
        "last layer only": "You judge the last layer only. Judge every layer, in the order of the data.",
        "first layer only": "You judge the first layer only. Judge every layer, in the order of the data.",
        "layers averaged": "You take the mean over the layers. One layer may be too large and another too small: judge each by itself.",
        "order": "You do not walk in the order of the data: first the inputs, then evaluation mode from the first layer to the last, then the change in training mode, again from the first layer to the last.",
        "jumps ahead": "A later number is surely off and you name it, although an earlier one is open. What is open comes first: the earlier fault, if it is one, could be the cause of the later.",
        "training compared with 1": "You compare training mode with 1. What dropout does is the change from evaluation to training mode, of the same batch.",
        "not paired": "You treat the two modes as if they were measured on different batches. Row i of both is the same batch and shares its luck: subtract first, and then take one interval of the differences.",
        "means only": "You judge the means alone. Another set of batches could turn them round: take two standard errors on both sides.",
        "never open": 'You decide although the interval lies partly within the bounds and partly outside. Then the batches do not tell: answer "measure more".',
        "spread of the batches": "You took the standard deviation of the batches. Their mean varies less: divide by the root of their number.",
        "one standard error": "You took one standard error on each side. Take two.",
        "more than two": "Your interval is wider than two standard errors on each side.",
        "divided by n": "Your standard deviation divides by n. With few batches that is too small: divide by n - 1 (ddof=1).",
        "root forgotten": "You divided the standard deviation by n. The standard error divides it by the root of n.",
        "no tolerance": "You call a number off as soon as it is surely not 1. A small deviation does no harm: the bounds are 0.25 away.",
        "another bound": "The bounds lie 0.25 away on both sides.",
    },
)


def _batches(rng, n, inputs=(0.0, 0.02), layers=((0.0, 0.02),), changes=None):
    """Return the mean squares of n batches in both modes, (n, 1 + layers) each.

    inputs, layers, changes: (mean, standard error), which the columns have exactly; of inputs and
    layers the distance from 1 in evaluation mode, of changes from there to training mode.
    """
    changes = changes or [(0.0, 0.01)] * len(layers)

    def column(mean, error):
        drawn = rng.normal(size=n)
        drawn -= drawn.mean()
        return mean + error * np.sqrt(n) * drawn / drawn.std(ddof=1)

    evaluation = 1 + np.column_stack([column(*pair) for pair in (inputs, *layers)])
    change = np.column_stack([np.zeros(n), *(column(*pair) for pair in changes)])
    return evaluation, evaluation + change


def _said(ask, cases):
    """Return the diagnosis of each case (evaluation, training), by the case in words."""
    found = {}
    for number, modes in enumerate(cases, 1):
        means = " and ".join(brief(m.mean(axis=0)) for m in modes)
        shown = f"case {number}, means {means} ({len(modes[0])} batches)"
        text = found[shown] = ask(*modes)
        if isinstance(text, str) and text not in (*STEPS_OF_DATA, NOTHING, MORE):
            raise Failed("one of the five texts", brief(text), "text")
    return found


@why.check(
    points=2,
    hint="Subtract 1 from the mean squares in evaluation mode. An interval that lies wholly beyond 0.25 or -0.25 is off.",
    more="Column 0 holds the inputs, the others the layers. For dropout subtract the two arrays, batch by batch, and judge the differences by the same bounds.",
)
def finds_each_cause(ask, rng):
    """names what is surely off, too large as well as too small, in whatever layer"""
    far, fine = rng.uniform(0.35, 0.45), (rng.uniform(-0.05, 0.05), 0.02)
    cases = [_batches(rng, 6, layers=[fine] * 3)]
    for sign in (1, -1):
        off = (sign * far, 0.03)
        cases += [
            _batches(rng, 5, inputs=off, layers=[fine] * 3),
            _batches(rng, 7, layers=[fine, off, fine]),
            _batches(rng, 4, layers=[off, fine, fine]),
            _batches(rng, 6, layers=[fine, fine, off]),
            _batches(rng, 8, layers=[fine] * 4, changes=[fine, fine, off, fine]),
            _batches(rng, 5, layers=[fine] * 2, changes=[off, fine]),
            _batches(rng, 5, layers=[fine] * 2, changes=[fine, off]),
            # Small, but surely not 0: no fault. Surely beyond 0.3, or not beyond 0.2.
            _batches(rng, 9, layers=[(sign * 0.12, 0.01)] * 2, changes=[(sign * 0.17, 0.01)] * 2),
            _batches(rng, 6, inputs=(sign * 0.275, 0.005), layers=[fine]),
            _batches(rng, 6, inputs=(sign * 0.225, 0.005), layers=[fine]),
        ]
    return _said(ask, cases)


@why.check(
    points=2,
    hint="The mean of the batches, plus and minus two standard errors, is the interval. It decides only where all of it lies within the bounds, or all of it beyond one of them.",
    more="The standard error is the standard deviation of the batches (with n - 1), divided by the root of their number. Neither within nor beyond: measure more. An end on a bound is neither.",
    keeps_input=True,
)
def asks_for_more_where_chance_could_decide(ask, rng):
    """asks for more batches where an interval crosses a bound, and only there"""
    cases = []
    for sign in (1, -1):
        for place in ("inputs", "layers", "changes"):
            # Means, and standard errors just below and above what four batches can decide.
            for pair in (
                (0.1, 0.07),
                (0.1, 0.08),
                (0.5, 0.12),
                (0.5, 0.13),
                (0.2, 0.06),
                (0.1, 0.13),
            ):
                off = sign * pair[0], pair[1]
                cases.append(_batches(rng, 4, **{place: off if place == "inputs" else [off]}))
    cases += [_batches(rng, 25, inputs=(mean, 0.06)) for mean in (0.1, 0.2, -0.2)]
    ones = np.ones((4, 3))
    cases += [(ones * value, ones * value) for value in (1.25, 0.75)]  # on the bound
    return _said(ask, cases)


@why.check(
    hint="Row i of both arrays is the same batch. Subtract the rows, then take the interval of the differences.",
    more="The mean squares of a batch vary together in both modes, so their difference varies less than either. A layer that stands at 1.2 in evaluation mode and at 1.3 in training mode has changed by 0.1.",
)
def judges_dropout_batch_by_batch(ask, rng):
    """judges what dropout changes by the differences of the same batches"""
    wide = (0.0, 0.11)  # a layer that varies much, and is within the bounds all the same
    return _said(
        ask,
        [
            _batches(rng, 6, layers=[wide], changes=[(0.3, 0.02)]),
            _batches(rng, 7, layers=[wide], changes=[(-0.3, 0.02)]),
            _batches(rng, 6, layers=[wide, wide], changes=[(0.05, 0.02), (0.2, 0.02)]),
            _batches(rng, 5, layers=[(0.2, 0.01)], changes=[(0.12, 0.01)]),
            _batches(rng, 5, layers=[(-0.2, 0.01)], changes=[(-0.12, 0.01)]),
            _batches(rng, 8, layers=[(-0.2, 0.01)], changes=[(0.35, 0.01)]),
        ],
    )


@why.check(
    points=2,
    hint="Walk with the data: the inputs, evaluation mode layer by layer, then the changes in training mode layer by layer. The first number that is not within the bounds decides.",
    more='If that number is off, its step is the answer; if it is open, "measure more" is, whatever comes later.',
)
def takes_the_first_that_is_not_within(ask, rng):
    """lets the first number decide that is not surely within the bounds"""
    fine, off, open_ = (0.02, 0.02), (rng.uniform(0.5, 0.8), 0.02), (0.25, 0.05)
    low = (-off[0], 0.02)
    return _said(
        ask,
        [
            _batches(rng, 5, inputs=off, layers=[off, low], changes=[off, off]),
            _batches(rng, 6, layers=[low, off], changes=[off, off]),
            _batches(rng, 5, inputs=open_, layers=[off, off], changes=[off, off]),
            _batches(rng, 7, inputs=off, layers=[open_, open_]),
            _batches(rng, 5, layers=[open_, off], changes=[fine, off]),
            _batches(rng, 6, layers=[off, open_], changes=[open_, fine]),
            _batches(rng, 5, layers=[fine, fine], changes=[open_, off]),
            _batches(rng, 8, layers=[fine, fine], changes=[off, open_]),
            _batches(rng, 6, layers=[fine, open_], changes=[off, fine]),
        ],
    )


# --- choose_deep_stack -----------------------------------------------------------------------

choose = chapter.exercise(
    "choose_deep_stack",
    hints={
        **training.HINTS,
        "one recipe only": "You try one recipe only. Which one is better depends on the data: try both.",
        "one rate for both": "You try a recipe with one rate only. A rate that suits one recipe says nothing about the other, because alpha dropout makes more noise at the same rate: try several with each.",
    },
)

STEPS = 150  # of the final run
DEPTH, WIDTH = 6, 24
_CHOICES = {"recipe": ["self-normalizing", "layer norm"], "rate": [0.0, 0.05, 0.1, 0.3]}


def _one_of(choices):
    """Return what reads a pair (recipe, rate) of these choices, as `Trials` needs it."""
    recipes, rates = choices["recipe"], np.array(choices["rate"])

    def read(value):
        pair = value.tolist() if isinstance(value, np.ndarray) else value
        try:
            recipe, rate = pair
            near = int(abs(rates - float(rate)).argmin())
        except (TypeError, ValueError):
            recipe = ""
        if str(recipe) not in recipes or abs(rates[near] - float(rate)) > 1e-6:
            raise ValueError(f"take a pair of a recipe, {recipes}, and a rate, {rates.tolist()}")
        return str(recipe), float(rates[near])

    return read


def _selu_layer(z, rate, rng):
    """Return SELU with alpha dropout, and its slope."""
    below = ALPHA * np.exp(np.minimum(z, 0))
    out, slope = SCALE * np.where(z > 0, z, below - ALPHA), SCALE * np.where(z > 0, 1, below)
    if rng is None:
        return out, slope
    kept, (a, b) = rng.random(z.shape) >= rate, _affine(rate)
    return a * np.where(kept, out, DROPPED) + b, a * slope * kept


def _relu_layer(z, rate, rng):
    """Return ReLU with plain dropout, and its slope."""
    slope = (z > 0) * 1.0
    if rng is not None:
        slope = slope * (rng.random(z.shape) >= rate) / (1 - rate)
    return z * slope, slope


def _deep(weights, x, setting, rng=None):
    """Return the logits, and of every hidden layer what its gradient needs; rng: when training."""
    recipe, rate = setting
    *hidden, last, bias = weights
    passed = []
    for kernel, shift in zip(hidden[::2], hidden[1::2], strict=True):
        z, spread = x @ kernel, None
        if recipe == "layer norm":
            z = z - z.mean(axis=1, keepdims=True)
            spread = np.sqrt((z**2).mean(axis=1, keepdims=True) + 1e-5)
            z = z / spread
        layer = _relu_layer if recipe == "layer norm" else _selu_layer
        out, slope = layer(z + shift, rate, rng)
        passed.append((x, z, spread, slope))
        x = out
    return x @ last + bias, (x, passed)


def _slopes(weights, x, targets, setting, rng):
    """Return the gradients of all arrays."""
    logits, (x, passed) = _deep(weights, x, setting, rng)
    d = (softmax(logits) - targets) / len(targets)
    found, d = [d.sum(axis=0), x.T @ d], d @ weights[-2].T
    for (x, z, spread, slope), kernel in zip(passed[::-1], weights[-4::-2], strict=True):
        d = d * slope
        found.append(d.sum(axis=0))
        if spread is not None:
            along = z * (d * z).mean(axis=1, keepdims=True)
            d = (d - d.mean(axis=1, keepdims=True) - along) / spread
        found.append(x.T @ d)
        d = d @ kernel.T
    return found[::-1]


class _Table:
    """Rows of 10 columns and 3 classes, with wrong labels in train and dev, and two deep stacks."""

    def __init__(self, rng, told_by):
        centres = rng.normal(size=(3, 10))
        self.seed, self.rows = int(rng.integers(2**32)), {}
        for name, number in {"train": 200, "dev": 1000, "test": 300, "hidden": 3000}.items():
            y = rng.permutation(np.arange(number) % 3)
            x = rng.normal(size=(number, 10))
            if told_by == "direction":  # each row as large as chance will have it
                x = (centres[y] + 0.8 * x) * np.exp(1.5 * rng.normal(size=(number, 1)))
            else:
                size = np.array([0.5, 1.0, 1.6])[y] * np.exp(0.1 * rng.normal(size=number))
                x *= (size / np.linalg.norm(x, axis=1))[:, None]
            if name in ("train", "dev"):
                wrong = rng.random(number) < 0.3
                y = np.where(wrong, (y + rng.integers(1, 3, size=number)) % 3, y)
            self.rows[name] = x, y
        x = self.rows["train"][0]
        mean, spread = x.mean(axis=0), x.std(axis=0)
        self.rows = {name: ((x - mean) / spread, y) for name, (x, y) in self.rows.items()}

    def scores(self, setting, steps, names=("train", "dev", "test"), start=0):
        """Train from a start; return the accuracy in evaluation on the rows of each name."""
        x, y = self.rows["train"]
        rng = np.random.default_rng([self.seed, start])
        weights, gain = [], 2 if setting[0] == "layer norm" else 1
        for fan_in, fan_out in pairwise([10, *[WIDTH] * DEPTH, 3]):
            weights += [rng.normal(size=(fan_in, fan_out)) * np.sqrt(gain / fan_in)]
            weights += [np.zeros(fan_out)]
        velocity, targets = [np.zeros_like(w) for w in weights], np.eye(3)
        for take in rng.integers(len(x), size=(steps, training.BATCH)):
            gradients = _slopes(weights, x[take], targets[y[take]], setting, rng)
            for w, v, gradient in zip(weights, velocity, gradients, strict=True):
                v *= training.MOMENTUM
                v -= 0.02 * gradient
                w += v
        found = {}
        for name in names:
            x, y = self.rows[name]
            found[name] = float((_deep(weights, x, setting)[0].argmax(axis=1) == y).mean())
        return found

    def hidden(self, setting):
        return training.on_hidden(self.scores, setting, STEPS)


@choose.check(
    points=3,
    hint="On one of two tables the stack that you choose does badly on hidden rows. Try both recipes, each with several rates, and choose by dev.",
    more="Eight pairs and a budget of five full runs: give all pairs an equal share, or train all of them briefly and the best ones longer. The best rate of one recipe is not that of the other.",
)
def does_well_on_hidden_rows(ask, rng):
    """chooses a recipe and a rate, each tried, that do well on hidden rows of two tables"""
    shown = []
    for told_by, good in (
        ("size", [("self-normalizing", 0.0), ("self-normalizing", 0.05)]),
        ("direction", [("layer norm", 0.05), ("layer norm", 0.1)]),
    ):
        table = _Table(rng, told_by)
        trials = training.Trials(table.scores, _one_of(_CHOICES), 5 * STEPS)
        chosen = trials.decide(ask, _CHOICES, STEPS)
        needed = max(table.hidden(setting) for setting in good) - 0.12
        found = table.hidden(chosen)
        tried = [sum(recipe == name for name, _ in trials.runs) for recipe in _CHOICES["recipe"]]
        mistakes = {
            "one recipe only": min(tried) == 0,
            "one rate for both": min(tried) < 2,
            "short runs": trials.longest < training.SHORT * STEPS,
        }
        shown.append(
            (f"classes told by {told_by}: at least {needed:.3f}", f"{found:.3f} with {chosen}")
        )
        if found < needed or min(tried) < 2:
            return judge(False, *shown[-1], mistakes)
    return judge(True, *map("; ".join, zip(*shown, strict=True)))


def _scores_of(rng, choices):
    """Make up scores of all pairs, which `training.disagreeing` draws."""
    pairs = [(recipe, rate) for recipe in choices["recipe"] for rate in choices["rate"]]
    return dict(zip(pairs, training.disagreeing(len(pairs), rng), strict=True))


@choose.check(
    points=3,
    hint="Of the pairs that you try, choose the one with the highest dev accuracy.",
    more='`train` returns a dict: keep train((recipe, rate), steps)["dev"] of every pair, and return the pair of the largest. Compare runs of equal length.',
)
def chooses_by_the_dev_rows(ask, rng):
    """chooses by dev accuracy, when train, dev and test rows disagree"""
    decisions = []
    for _ in range(3):
        table, read = _scores_of(rng, _CHOICES), _one_of(_CHOICES)
        decision = training.decide_made_up(ask, _CHOICES, table, read, STEPS, 40 * STEPS, rng)
        decisions.append(decision)
    return training.follows_dev(decisions, STEPS)


@choose.check(
    hint="The steps of all your calls of `train` together must be at most `budget`.",
    more="budget // (number of pairs) steps for each pair are never too many.",
)
def keeps_to_the_budget(ask, rng):
    """compares pairs within the budget, with other choices and other numbers of steps"""
    other = {"recipe": ["self-normalizing", "layer norm", "batch norm"], "rate": [0.0, 0.02, 0.2]}
    for choices in (_CHOICES, other):
        steps = int(rng.integers(41, 80))
        table, read = _scores_of(rng, choices), _one_of(choices)
        _, trials, _ = training.decide_made_up(ask, choices, table, read, steps, 8 * steps, rng)
    return judge(True, f"at most {trials.budget} steps", f"{trials.spent} steps")
