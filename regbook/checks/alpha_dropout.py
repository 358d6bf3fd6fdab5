"""Checks of chapter 11, alpha dropout and self-normalizing networks."""

import itertools

import numpy as np

from regbook.check import Chapter, Outcome, Wrong, brief, compare, outputs

chapter = Chapter("11_alpha_dropout")

ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805
DROPPED = -SCALE * ALPHA


def _selu(z, alpha=ALPHA, scale=SCALE):
    return scale * np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


# --- selu ------------------------------------------------------------------------------------


@chapter.check(
    "selu",
    points=2,
    hint="Above 0 the function is scale * x, below it is scale * alpha * (exp(x) - 1).",
    more="scale is 1.0507 and multiplies both parts; alpha is 1.6733 and multiplies only the lower one.",
)
def follows_both_parts(answer, rng):
    """is scale * x above 0 and scale * alpha * (exp(x) - 1) below"""
    x = np.concatenate([[-0.5, 0.5], rng.uniform(0.2, 3, 4), -rng.uniform(0.2, 3, 4)])
    upper, lower = np.maximum(x, 0), np.expm1(np.minimum(x, 0))
    wrong = [
        Wrong(
            "constants swapped",
            _selu(x, SCALE, ALPHA),
            "You swapped the two constants: scale is 1.0507, alpha is 1.6733.",
        ),
        Wrong(
            "ELU",
            upper + lower,
            "This is ELU with alpha = 1: both constants of SELU are missing.",
        ),
        Wrong(
            "no scale",
            upper + ALPHA * lower,
            "The scale 1.0507 is missing. Without it the variance shrinks from layer to layer.",
        ),
        Wrong(
            "scale above only",
            SCALE * upper + ALPHA * lower,
            "Your scale multiplies the upper part only. It multiplies both.",
        ),
        Wrong(
            "scale below only",
            upper + SCALE * ALPHA * lower,
            "Your scale multiplies the lower part only. It multiplies both: above 0 the slope is 1.0507.",
        ),
        Wrong(
            "no alpha",
            SCALE * (upper + lower),
            "alpha is missing in the lower part. Without it the mean is not kept at 0.",
        ),
        Wrong(
            "alpha inside the exponent",
            SCALE * (upper + np.expm1(ALPHA * np.minimum(x, 0))),
            "alpha multiplies exp(x) - 1, not x.",
        ),
        Wrong(
            "no minus one",
            SCALE * (upper + ALPHA * np.where(x > 0, 0, np.exp(np.minimum(x, 0)))),
            "The lower part is exp(x) - 1. Without the -1 the function jumps at 0.",
        ),
        Wrong(
            "leaky ReLU",
            SCALE * np.where(x > 0, x, ALPHA * x),
            "Your lower part is a straight line. SELU bends and levels off at -scale * alpha.",
        ),
        Wrong("ReLU", SCALE * upper, "Your lower part is 0: this is a scaled ReLU."),
    ]
    return compare(answer(x), _selu(x), wrong)


@chapter.check(
    "selu",
    hint="Far below 0 the function levels off at -scale * alpha = -1.7581, far above it is scale * x.",
    more="exp(1000) is infinite, and 0 times infinity is NaN: choose with np.where, or take exp of "
    "np.minimum(x, 0).",
)
def holds_far_from_zero(answer, rng):
    """levels off at -1.7581 far below 0 and holds for very large x"""
    x = np.array([-2000.0, -50.0, 900.0, 5000.0 * rng.uniform(1, 2)])
    received = answer(x)
    if isinstance(received, np.ndarray) and received.shape == (4,):
        if not np.isfinite(received).all():
            return Outcome(
                False,
                brief(_selu(x)),
                brief(received),
                "overflow",
                "Your answer is NaN or infinite for a large x: exp(x) overflows where it is not "
                "needed. Choose with np.where, or take exp of np.minimum(x, 0).",
            )
        if np.allclose(received[:2], -ALPHA, rtol=1e-4):
            return Outcome(
                False,
                brief(_selu(x)),
                brief(received),
                "levels off at -alpha",
                "Far below 0 your function levels off at -alpha. SELU levels off at -scale * alpha.",
            )
    return compare(received, _selu(x))


@chapter.check(
    "selu",
    hint="The function works entry by entry, on an array of any shape, and is 0 at 0.",
    more="Both parts are 0 at x = 0, so the function has no jump there.",
)
def works_on_any_shape(answer, rng):
    """keeps the shape of x, and 0 stays 0"""
    x = rng.normal(size=(2, 3, 4))
    x[0, 0, 0] = 0
    return compare(answer(x), _selu(x))


# --- alpha_dropout_affine --------------------------------------------------------------------


def _affine(rate):
    a = ((1 - rate) * (1 + rate * DROPPED**2)) ** -0.5
    return a, -a * rate * DROPPED


@chapter.check(
    "alpha_dropout_affine",
    points=2,
    hint="After the mask the mean is rate * dropped and the variance is (1 - rate) * (1 + rate * "
    "dropped**2), with dropped = -1.7581. Choose a and b that bring them back to 0 and 1.",
    more="a = ((1 - rate) * (1 + rate * dropped**2)) ** -0.5 and b = -a * rate * dropped.",
)
def gives_both_constants(answer, rng):
    """returns a and b of the formula"""
    rate = rng.uniform(0.1, 0.4)
    keep = 1 - rate
    a, b = _affine(rate)
    variance = keep * (1 + rate * DROPPED**2)
    plain = (keep * (1 + rate * ALPHA**2)) ** -0.5
    wrong = [
        Wrong("swapped results", (b, a), "Return the factor a first, then the shift b."),
        Wrong(
            "rate and keep swapped",
            _affine(keep),
            "You took rate for the chance to be kept. It is the chance to be dropped.",
        ),
        Wrong(
            "plain dropout",
            (1 / keep, 0.0),
            "1 / (1 - rate) is the scale of plain dropout. It keeps the mean and not the variance.",
        ),
        Wrong(
            "sign of b",
            (a, -b),
            "b has the wrong sign. Dropped entries are negative, so the mask lowers the mean and b raises it.",
        ),
        Wrong(
            "alpha without scale",
            (plain, plain * rate * ALPHA),
            "You set dropped entries to -alpha. SELU levels off at -scale * alpha = -1.7581.",
        ),
        Wrong(
            "no root",
            (1 / variance, -rate * DROPPED / variance),
            "You divide by the variance. Divide by its root, the standard deviation.",
        ),
        Wrong(
            "standard deviation",
            (variance**0.5, -(variance**0.5) * rate * DROPPED),
            "a is the standard deviation after the mask. Divide by it: a is its inverse.",
        ),
        Wrong(
            "b without a",
            (a, -rate * DROPPED),
            "b must cancel a times the mean, because the factor a acts before b is added.",
        ),
        Wrong(
            "no shift",
            (a, 0.0),
            "b is missing. The dropped entries are not 0, so the mask moves the mean.",
        ),
        Wrong(
            "dropped to zero",
            (keep**-0.5, 0.0),
            "These constants fit entries that are dropped to 0. Alpha dropout drops them to -1.7581.",
        ),
    ]
    return compare(answer(rate), (a, b), wrong)


@chapter.check(
    "alpha_dropout_affine",
    points=2,
    hint="Take inputs of mean 0 and variance 1, set the share rate of them to -1.7581, and apply "
    "a * x + b: the result must have mean 0 and variance 1 again.",
    more="The variance of the masked input is (1 - rate) + rate * (1 - rate) * dropped**2.",
)
def brings_back_mean_and_variance(answer, rng):
    """brings mean 0 and variance 1 back, for every rate"""
    x = rng.normal(size=2000)
    x = (x - x.mean()) / x.std()
    found = []
    for rate in (0.05, 0.5, 0.9, rng.uniform(0.1, 0.4)):
        a, b = outputs(answer(rate), (), ())
        # Exact: a share `rate` of the weight lies on the dropped value.
        values = np.concatenate([a * x + b, [a * DROPPED + b]])
        share = np.concatenate([np.full(2000, (1 - rate) / 2000), [rate]])
        mean = (share * values).sum()
        found += [mean, (share * (values - mean) ** 2).sum()]
    return compare(np.array(found), np.array([0.0, 1.0] * 4))


@chapter.check(
    "alpha_dropout_affine",
    hint="At rate 0 nothing is dropped, so nothing needs a correction.",
    more="At rate 0 the formulas give a = 1 and b = 0.",
)
def changes_nothing_at_rate_zero(answer, rng):
    """is a = 1 and b = 0 at rate 0"""
    return compare(answer(0.0), (1.0, 0.0))


# --- moments_by_depth ------------------------------------------------------------------------


def _moments(kernels, x, activation=_selu, mean=np.mean, variance=np.var):
    means, variances = [], []
    for kernel in kernels:
        x = activation(x @ kernel)
        means.append(mean(x))
        variances.append(variance(x))
    return np.array(means), np.array(variances)


def _before(kernels, x):
    means, variances = [], []
    for kernel in kernels:
        z = x @ kernel
        means.append(z.mean())
        variances.append(z.var())
        x = _selu(z)
    return np.array(means), np.array(variances)


@chapter.check(
    "moments_by_depth",
    points=3,
    hint="Per kernel: multiply, apply SELU, note mean and variance over all entries, and hand the "
    "result on to the next kernel.",
    more="for kernel in kernels: x = selu(x @ kernel), then x.mean() and x.var().",
)
def follows_the_activations(answer, rng):
    """gives mean and variance of the activations after every SELU layer"""
    x = rng.normal(1, 1, size=(5, 4))
    kernels = [rng.normal(size=(4, 4)), rng.normal(size=(4, 4)), rng.normal(size=(4, 4))]
    means, variances = right = _moments(kernels, x)
    wrong = [
        Wrong("swapped results", (variances, means), "Return the means first, then the variances."),
        Wrong(
            "standard deviation",
            (means, np.sqrt(variances)),
            "You return standard deviations. The exercise asks for variances: no root.",
        ),
        Wrong(
            "sample variance",
            (means, _moments(kernels, x, variance=lambda a: a.var(ddof=1))[1]),
            "You divide by the number of entries minus 1. The population variance divides by their number.",
        ),
        Wrong(
            "second moment",
            (means, variances + means**2),
            "You return the mean of the squares. Subtract the mean before you square.",
        ),
        Wrong(
            "before the activation",
            _before(kernels, x),
            "These are the moments before SELU. Take them of the activations, after it.",
        ),
        Wrong(
            "no activation",
            _moments(kernels, x, activation=lambda z: z),
            "No SELU is applied between the kernels.",
        ),
        Wrong(
            "ReLU",
            _moments(kernels, x, activation=lambda z: np.maximum(z, 0)),
            "You applied ReLU. This network has SELU.",
        ),
        Wrong(
            "every layer from the input",
            tuple(np.array([f(_selu(x @ k)) for k in kernels]) for f in (np.mean, np.var)),
            "Every kernel of yours sees the input x. It must see the activations of the layer before.",
        ),
        Wrong(
            "transposed kernels",
            _moments([k.T for k in kernels], x),
            "Your kernels are transposed: their shape is (fan_in, fan_out), so multiply x @ kernel.",
        ),
        Wrong(
            "variance per unit",
            (means, _moments(kernels, x, variance=lambda a: a.var(axis=0).mean())[1]),
            "You averaged the variances of the units. That leaves out how the units' means differ: "
            "take one variance over all entries.",
        ),
        Wrong(
            "variance per row",
            (means, _moments(kernels, x, variance=lambda a: a.var(axis=1).mean())[1]),
            "You averaged the variances of the rows. Take one variance over all entries.",
        ),
    ]
    return compare(answer(kernels, x), right, wrong)


@chapter.check(
    "moments_by_depth",
    hint="There is one mean and one variance per kernel; layers may differ in width.",
    more="Return two lists or arrays whose length is len(kernels); the input itself is not in them.",
)
def allows_other_widths(answer, rng):
    """works for layers of different widths, one value per kernel"""
    widths = (3, 7, 2, 5, 6)
    kernels = [rng.normal(size=(i, o)) for i, o in itertools.pairwise(widths)]
    x = rng.normal(size=(6, 3))
    received, right = answer(kernels, x), _moments(kernels, x)
    outer = [(f(x), *values) for f, values in zip((np.mean, np.var), right, strict=True)]
    wrong = [
        Wrong(
            "input included",
            tuple(map(np.array, outer)),
            "Your first value belongs to the input. Start with the first SELU layer.",
        ),
        Wrong(
            "last layer only",
            tuple(values[-1] for values in right),
            "You return the last layer only. Return one value per layer.",
        ),
    ]
    return compare(received, right, wrong)


@chapter.check(
    "moments_by_depth",
    hint="With standardized inputs and LeCun normal kernels the network is self-normalizing.",
    more="In 12 layers of 100 units the mean stays near 0 and the variance near 1.",
)
def stays_normal(answer, rng):
    """stays near mean 0 and variance 1 for LeCun normal kernels"""
    kernels = [rng.normal(scale=0.1, size=(100, 100)) for _ in range(12)]
    means, variances = outputs(answer(kernels, rng.normal(size=(40, 100))), (12,), (12,))
    normal = np.abs(means).max() < 0.3 and 0.5 < variances.min() <= variances.max() < 1.7
    return Outcome(bool(normal), "means near 0, variances near 1", brief(variances))


# --- build_self_normalizing_network ----------------------------------------------------------


def _built(answer, sizes, rate):
    """Build the learner's model; return its handle, or the outcome that says what is wrong."""
    handle = answer.model(list(sizes), rate)
    shapes = [s for i, o in itertools.pairwise(sizes) for s in ((i, o), (o,))]
    built = [w.shape for w in handle.weights()]
    if built != shapes:
        return None, Outcome(
            False,
            str(shapes),
            str(built),
            "architecture",
            "The kernels and biases do not have the expected shapes: one dense layer with a bias "
            "for each pair of neighbouring sizes, the last one included.",
        )
    return handle, None


def _probe(answer, rng, rate):
    """Return the model's outputs in both modes where the output layer passes everything on."""
    handle, fault = _built(answer, (6, 10, 10), rate)
    if fault:
        return None, fault
    w, c = rng.normal(size=(6, 10)), rng.normal(size=10)
    handle.set_weights([w, c, np.eye(10), np.zeros(10)])
    x = rng.normal(size=(400, 6))
    return (x @ w + c, handle.predict(x), handle.predict(x, training=True)), None


@chapter.check(
    "build_self_normalizing_network",
    points=2,
    hint="LeCun normal has the standard deviation fan_in ** -0.5.",
    more='Keras: kernel_initializer="lecun_normal". PyTorch: '
    "nn.init.normal_(layer.weight, std=fan_in**-0.5) and nn.init.zeros_(layer.bias).",
)
def starts_from_lecun_normal(answer, rng):
    """starts from LeCun normal kernels and zero biases"""
    sizes = (100, 60, 90)
    handle, fault = _built(answer, sizes, 0.1)
    if fault:
        return fault
    kernels, biases = handle.weights()[::2], handle.weights()[1::2]
    spreads = np.array([k.std() for k in kernels])
    fan_in, fan_out = np.array(sizes[:-1]), np.array(sizes[1:])
    expected, shown = fan_in**-0.5, (brief(fan_in**-0.5), brief(spreads))
    known = {
        "He": (
            (2 / fan_in) ** 0.5,
            "These are He's kernels: their variance is twice as large, which fits ReLU.",
        ),
        "Glorot": (
            (2 / (fan_in + fan_out)) ** 0.5,
            "These are Glorot's kernels, the default of Keras. LeCun looks at fan_in alone.",
        ),
        "default of PyTorch": (
            (3 * fan_in) ** -0.5,
            "This is the default of PyTorch's Linear: its variance is a third of LeCun's.",
        ),
        "gain of selu": (
            0.75 * fan_in**-0.5,
            'nonlinearity="selu" has the gain 3/4 in PyTorch. LeCun is nonlinearity="linear".',
        ),
        "fan_out": (fan_out**-0.5, "You took fan_out. LeCun divides by fan_in."),
        "variance": (
            1 / fan_in,
            "1 / fan_in is the variance. The standard deviation is its root.",
        ),
    }
    if not np.allclose(spreads, expected, rtol=0.06):
        for key, (value, hint) in known.items():
            if np.allclose(spreads, value, rtol=0.06):
                return Outcome(False, *shown, key, hint)
        return Outcome(False, *shown)
    farthest = max(np.abs(k).max() * f**0.5 for k, f in zip(kernels, fan_in, strict=True))
    if farthest < 1.8:
        return Outcome(
            False,
            "a normal distribution",
            "a uniform one",
            "uniform",
            "The spread is right, but the distribution is uniform. LeCun normal is asked for.",
        )
    if any(b.any() for b in biases):
        return Outcome(
            False,
            "biases of 0",
            brief(np.concatenate(biases)),
            "random biases",
            "The biases do not start at 0. PyTorch draws them at random unless told otherwise.",
        )
    return Outcome(True, *shown)


@chapter.check(
    "build_self_normalizing_network",
    points=2,
    hint="In evaluation mode a hidden layer is SELU of its input, and the output has no activation.",
    more="Alpha dropout does nothing in evaluation mode.",
)
def is_selu_in_evaluation(answer, rng):
    """computes SELU layers and logits in evaluation mode"""
    made, fault = _probe(answer, rng, 0.25)
    if fault:
        return fault
    z, evaluation, _ = made
    hidden = _selu(z)
    wrong = [
        Wrong("ReLU", np.maximum(z, 0), "The hidden layers have ReLU. Use SELU."),
        Wrong("ELU", _selu(z, 1, 1), "The hidden layers have ELU. SELU has two constants more."),
        Wrong("no activation", z, "The hidden layers have no activation."),
        Wrong(
            "activation on the output",
            _selu(hidden),
            "The output layer has an activation. Its outputs are logits.",
        ),
    ]
    return compare(evaluation, hidden, wrong)


@chapter.check(
    "build_self_normalizing_network",
    points=2,
    hint="In training mode each hidden activation is either dropped to -1.7581 or kept, and then "
    "a * x + b acts on all of them.",
    more="Put keras.layers.AlphaDropout(rate) or nn.AlphaDropout(rate) behind every SELU, and none "
    "behind the output.",
)
def drops_to_the_saturation_value(answer, rng):
    """applies alpha dropout behind SELU in training mode, at the given rate"""
    rate = 0.25
    made, fault = _probe(answer, rng, rate)
    if fault:
        return fault
    z, evaluation, training = made
    hidden = _selu(z)

    def shares(rate):
        """Return the shares of entries that look kept, and dropped, at this rate."""
        a, b = _affine(rate)
        kept = np.isclose(training, a * hidden + b, atol=1e-4)
        return kept.mean(), np.isclose(training, a * DROPPED + b, atol=1e-4).mean()

    kept, dropped = shares(rate)
    shown = f"{100 * rate:.0f} % dropped to the saturation value", f"{100 * dropped:.0f} %"
    # 4000 entries: the share has the standard deviation 0.007. Some kept ones saturate too.
    if kept + dropped > 0.999 and abs(dropped - rate) < 0.06:
        return Outcome(True, *shown)
    if np.allclose(training, evaluation, atol=1e-5):
        return Outcome(
            False,
            *shown,
            "no dropout",
            "Training and evaluation mode give the same outputs: there is no dropout.",
        )
    if sum(shares(1 - rate)) > 0.999:
        return Outcome(
            False,
            *shown,
            "rate and keep swapped",
            "You drop the share 1 - rate. Both libraries take the chance to be dropped.",
        )
    plain = np.isclose(training, hidden / (1 - rate), atol=1e-4) | np.isclose(training, 0)
    if plain.mean() > 0.999:
        return Outcome(
            False,
            *shown,
            "plain dropout",
            "This is plain dropout: entries go to 0. Self-normalizing networks need AlphaDropout.",
        )
    a, b = _affine(rate)
    before = np.isclose(training, _selu(a * z + b), atol=1e-4)
    if (before | np.isclose(training, _selu(a * DROPPED + b), atol=1e-4)).mean() > 0.999:
        return Outcome(
            False,
            *shown,
            "dropout before the activation",
            "Your alpha dropout stands before SELU. Put it behind: it drops to SELU's lowest value.",
        )
    if kept < 0.1 and abs(dropped - rate) < 0.06:
        return Outcome(
            False,
            *shown,
            "dropout on the output",
            "More is dropped than the hidden layer alone explains: is there dropout behind the output too?",
        )
    return Outcome(False, *shown)


@chapter.check(
    "build_self_normalizing_network",
    points=2,
    hint="Every hidden layer needs the same four: LeCun normal, zero bias, SELU, alpha dropout.",
    more="Print the variance after each layer in training mode, as in the exercise above.",
)
def stays_normal_in_both_modes(answer, rng):
    """keeps mean near 0 and variance near 1 through eight layers in both modes"""
    handle, fault = _built(answer, [80] * 10, 0.2)
    if fault:
        return fault
    handle.set_weights([*handle.weights()[:-2], np.eye(80), np.zeros(80)])
    x = rng.normal(size=(300, 80))
    found = []
    for training in (False, True):
        out = handle.predict(x, training=training)
        found += [out.mean(), out.var()]
    good = np.abs(np.array(found) - [0, 1, 0, 1]).max() < 0.5
    return Outcome(bool(good), "mean and variance near 0, 1, 0, 1", brief(np.array(found[1::2])))


# --- why_not_self_normalizing ----------------------------------------------------------------


def _case(rng, *, mean=0.0, variance=1.0, gains=(1.0, 1.0, 1.0), evaluation=1.0, training=1.0):
    """Make inputs, kernels and variances with exactly these properties."""
    x = rng.normal(size=(50, 6))
    x = (x - x.mean()) / x.std() * variance**0.5 + mean
    widths = (6, 24, 12, 40)
    kernels = []
    for i, o, gain in zip(widths, widths[1:], gains, strict=False):
        kernel = rng.normal(size=(i, o))
        kernels.append(kernel * (gain / i / (kernel**2).mean()) ** 0.5)
    steps = np.array([0.1, 0.5, 1.0])  # how much of the drift has arrived after each layer
    return x, kernels, evaluation**steps, training**steps


_HINTS = {
    "inputs": (
        "inputs missed",
        "The inputs are off: look at the mean and at the variance of x, both ways, before anything else.",
    ),
    "kernels": (
        "kernels missed",
        "A kernel is off: fan_in times the mean of its squares is not near 1. fan_in is the first "
        "axis; look at every kernel, and at both sides of 1.",
    ),
    "activation": (
        "activation missed",
        "Inputs and kernels are right, and the variance drifts in evaluation mode already: only the "
        "activation is left. Look at the last layer, and at both sides of 1.",
    ),
    "dropout": (
        "dropout missed",
        "Everything is right in evaluation mode; the drift exists in training mode only. What acts "
        "in training mode only?",
    ),
    "nothing": (
        "false alarm",
        "Nothing is off by more than 0.2 here. A small deviation is no fault.",
    ),
}


def _diagnosed(answer, rng, cases):
    """Compare the learner's text with the right one for every case; stop at the first miss."""
    for expected, settings in cases:
        received = answer(*_case(rng, **settings))
        if not isinstance(received, str) or received not in _HINTS:
            return Outcome(
                False,
                repr(expected),
                brief(received),
                "form",
                f"Return one of the texts {', '.join(map(repr, _HINTS))}.",
            )
        if received != expected:
            key, hint = _HINTS[expected]
            return Outcome(False, f"{expected!r} for {settings}", repr(received), key, hint)
    return Outcome(True, "the right text every time", "the right text every time")


@chapter.check(
    "why_not_self_normalizing",
    hint="Compare each of the numbers with its bound, 0.2.",
    more='If no test fires, return "nothing".',
)
def raises_no_false_alarm(answer, rng):
    """answers "nothing" for small deviations"""
    return _diagnosed(
        answer,
        rng,
        [
            ("nothing", {}),
            ("nothing", {"mean": 0.15, "variance": 0.85}),
            ("nothing", {"mean": -0.15, "variance": 1.15}),
            ("nothing", {"gains": (1.15, 0.85, 1.15)}),
            ("nothing", {"evaluation": 0.85, "training": 1.15}),
            ("nothing", {"evaluation": 1.15, "training": 0.85}),
        ],
    )


@chapter.check(
    "why_not_self_normalizing",
    points=2,
    hint="One cause per case: which of the four numbers is off?",
    more="x.mean(), x.var(), len(kernel) * (kernel**2).mean(), evaluation[-1], training[-1].",
)
def finds_each_cause(answer, rng):
    """finds each cause, too large as well as too small"""
    far = [
        ("inputs", {"mean": 0.3}),
        ("inputs", {"mean": -0.3}),
        ("inputs", {"variance": 0.7}),
        ("inputs", {"variance": 1.3}),
        ("kernels", {"gains": (1.3, 1.0, 1.0)}),
        ("kernels", {"gains": (1.0, 1.0, 0.7)}),
        ("kernels", {"gains": (1.0, 1.3, 1.0)}),
        ("kernels", {"gains": (1.3, 0.7, 1.0)}),
        ("activation", {"evaluation": 0.7, "training": 0.7}),
        ("activation", {"evaluation": 1.3, "training": 1.3}),
        ("dropout", {"training": 1.3}),
        ("dropout", {"training": 0.7}),
    ]
    return _diagnosed(answer, rng, [far[i] for i in rng.permutation(len(far))])


@chapter.check(
    "why_not_self_normalizing",
    points=2,
    hint="A fault upstream makes everything downstream drift. Test in the order in which the data flow.",
    more="First the inputs, then the kernels, then the activation, then dropout.",
)
def names_the_first_cause(answer, rng):
    """names the cause that comes first where several numbers are off"""
    drift = {"evaluation": 3.0, "training": 5.0}
    return _diagnosed(
        answer,
        rng,
        [
            ("inputs", {"mean": 3.0, "gains": (2.0, 2.0, 2.0), **drift}),
            ("kernels", {"gains": (2.0, 2.0, 2.0), **drift}),
            ("activation", drift),
            ("dropout", {"evaluation": 1.1, "training": 5.0}),
        ],
    )
