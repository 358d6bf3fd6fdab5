"""The checks of chapter 20: a residual block, sizes and numbers of parameters, and depth."""

import functools
from itertools import combinations, product

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import AnswerError, Chapter, brief, judge, outputs, plain, training, vary

chapter = Chapter("20_residual_networks")

EPS = 0.125  # large, so that a misplaced epsilon is far outside the tolerance


# --- residual_block_forward ------------------------------------------------------------------


def _relu(z):
    return np.maximum(z, 0)


def _same(z):
    return z


def _normalized(z, bn, eps):
    gamma, beta, mean, var = bn
    return gamma * (z - mean) / np.sqrt(var + eps) + beta


def _by_the_batch(z, bn, eps):
    return _normalized(z, (*bn[:2], z.mean(axis=0), z.var(axis=0)), eps)


def _shortcut(x, h, f, projection, eps, norm):
    return x if projection is None else norm(x @ projection[0], projection[1], eps)


def _block(
    x,
    W1,
    bn1,
    W2,
    bn2,
    eps,
    projection=None,
    *,
    norm=_normalized,
    middle=_relu,
    branch=_same,
    shortcut=_shortcut,
    add=np.add,
    last=_relu,
):
    h = middle(norm(x @ W1, bn1, eps))
    f = norm(h @ W2, bn2, eps)
    return last(add(branch(f), shortcut(x, h, f, projection, eps, norm)))


def _pre_activation(x, W1, bn1, W2, bn2, eps, projection=None):
    h = _relu(_normalized(x, bn1, eps)) @ W1
    f = _relu(_normalized(h, bn2, eps)) @ W2
    return f + _shortcut(x, h, f, projection, eps, _normalized)


def _sum_inside(x, W1, bn1, W2, bn2, eps, projection=None):
    h = _relu(_normalized(x @ W1, bn1, eps))
    s = _shortcut(x, h, None, projection, eps, _normalized)
    return _relu(_normalized(h @ W2 + s, bn2, eps))


def _norm_after_the_sum(x, W1, bn1, W2, bn2, eps, projection=None):
    h = _relu(_normalized(x @ W1, bn1, eps))
    f = _normalized(h @ W2, bn2, eps)
    if projection is None:
        return _relu(f + x)
    return _relu(_normalized(f + x @ projection[0], projection[1], eps))


def _in_place(x, *rest):
    x[:] = _block(x.copy(), *rest)
    return x


def _when_projected(shortcut):
    """Return a shortcut that is right without a projection."""

    def chosen(x, h, f, projection, eps, norm):
        return x if projection is None else shortcut(x, h, f, projection, eps, norm)

    return chosen


_WRONG_BLOCKS = {
    "no shortcut": vary(_block, shortcut=lambda x, h, f, *rest: 0 * f),
    "ReLU before the sum": vary(_block, branch=_relu, last=_same),
    "ReLU twice": vary(_block, branch=_relu),
    "no last ReLU": vary(_block, last=_same),
    "no middle ReLU": vary(_block, middle=_same),
    "adds the middle": vary(_block, shortcut=lambda x, h, f, *rest: h),
    "sum inside the norm": _sum_inside,
    "pre-activation": _pre_activation,
    "batch statistics": vary(_block, norm=_by_the_batch),
    "ReLU of the input": vary(_block, shortcut=lambda x, *rest: _shortcut(_relu(x), *rest)),
    "product": vary(_block, add=np.multiply),
    "difference": vary(_block, add=np.subtract),
    "transposed": vary(_block, W1=np.transpose, W2=np.transpose),
    "no epsilon": vary(_block, eps=0.0),
    "epsilon outside": vary(
        _block,
        norm=lambda z, bn, eps: _normalized(z, (*bn[:3], (np.sqrt(bn[3]) + eps) ** 2), 0.0),
    ),
    "no root": vary(
        _block, norm=lambda z, bn, eps: _normalized(z, (*bn[:3], (bn[3] + eps) ** 2), 0)
    ),
}
_WRONG_PROJECTIONS = {
    "projection ignored": vary(_block, projection=None),
    "projection without its norm": vary(
        _block, shortcut=_when_projected(lambda x, h, f, projection, *rest: x @ projection[0])
    ),
    "ReLU on the shortcut": vary(
        _block, shortcut=_when_projected(lambda *given: _relu(_shortcut(*given)))
    ),
    "projects the branch": vary(
        _block,
        shortcut=_when_projected(
            lambda x, h, f, projection, eps, norm: norm(f @ projection[0], projection[1], eps)
        ),
    ),
    "projects the middle": vary(
        _block,
        shortcut=_when_projected(
            lambda x, h, f, projection, eps, norm: norm(h @ projection[0], projection[1], eps)
        ),
    ),
    "both shortcuts": vary(
        _block, shortcut=_when_projected(lambda x, *rest: x + _shortcut(x, *rest))
    ),
    "norm after the sum": _norm_after_the_sum,
}

residual_block_forward = chapter.exercise(
    "residual_block_forward",
    _block,
    mistakes={"changes its input": _in_place, **_WRONG_BLOCKS, **_WRONG_PROJECTIONS},
    hints={
        "changes its input": "Your function writes into x, so whoever called it has lost it. Make a new array for the result.",
        "no shortcut": "The shortcut is missing: add x, or its projection, to the second normalized product.",
        "ReLU before the sum": "You apply the last ReLU to the branch alone. In this block it comes after the sum.",
        "ReLU twice": "You apply a ReLU to the branch and another one to the sum. Then the branch can only add to x and never take away from it. One ReLU, after the sum.",
        "no last ReLU": "The ReLU after the sum is missing.",
        "no middle ReLU": "The ReLU between the two layers is missing: without it they are one affine map.",
        "adds the middle": "You add the output of the first layer. The shortcut starts at x.",
        "sum inside the norm": "You add the shortcut before the second normalization. It is added after it: what is normalized must not be the sum.",
        "pre-activation": "Your block normalizes and activates before each product: that is the pre-activation block. Here the product comes first.",
        "batch statistics": "You normalize with the mean and the variance of the batch. The block is in evaluation: use those in bn.",
        "ReLU of the input": "You pass x through a ReLU on its way along the shortcut. The shortcut leaves it as it is.",
        "product": "You multiply branch and shortcut. They are added.",
        "difference": "You subtract the shortcut. It is added.",
        "transposed": "You multiply by the transposed matrices. W1 and W2 have the shape (in, out), so x @ W1 is right; PyTorch stores the transpose.",
        "no epsilon": "eps is missing: divide by np.sqrt(var + eps).",
        "epsilon outside": "You add eps to the standard deviation. It belongs under the root, to the variance.",
        "no root": "The root is missing: bn holds the variance, and you divide by its root.",
        "projection ignored": "You add x itself although there is a projection. Add x @ P, normalized by the projection's own bn.",
        "projection without its norm": "The projection has a normalization of its own: the second entry of `projection`.",
        "ReLU on the shortcut": "There is no ReLU on the projected shortcut.",
        "projects the branch": "You project the branch. It is x that is projected.",
        "projects the middle": "You project the output of the first layer. It is x that is projected.",
        "both shortcuts": "You add x and its projection. The projection takes the part of x.",
        "norm after the sum": "You apply the projection's normalization to the sum. It belongs to x @ P alone.",
    },
)


def _numbers_of_a_norm(rng, units):
    """Draw gamma, beta, mean and variance, stacked: shape (4, units)."""
    signs = rng.choice([-1, 1], size=units)
    return np.stack(
        [
            *(rng.uniform(0.7, 1.6, units) * signs, rng.normal(size=units)),
            *(rng.normal(size=units), rng.uniform(0.3, 2, units)),
        ]
    )


def _told_apart(draw, mistakes):
    """Draw until the right answer and every mistake give clearly different outputs."""
    while True:
        case = draw()
        shown = [_block(*case)]
        for mistake in mistakes:
            try:
                shown.append(mistake(*case))
            except ValueError:  # the shapes do not fit: it shows itself
                continue
        pairs = combinations(shown, 2)
        if all(a.shape != b.shape or abs(a - b).max() > 0.03 for a, b in pairs):
            return case


def _case_of_block(rng, rows, inputs, units, projected):
    def draw():
        x = rng.normal(size=(rows, inputs))
        W1, W2 = rng.normal(size=(inputs, units)), rng.normal(size=(units, units))
        bn1, bn2 = _numbers_of_a_norm(rng, units), _numbers_of_a_norm(rng, units)
        case = x, W1 / np.sqrt(inputs), bn1, W2 / np.sqrt(units), bn2, EPS
        if not projected:
            return case
        P = rng.normal(size=(inputs, units)) / np.sqrt(inputs)
        return *case, (P, _numbers_of_a_norm(rng, units))

    known = {**_WRONG_BLOCKS, **(_WRONG_PROJECTIONS if projected else {})}
    return _told_apart(draw, known.values())


@residual_block_forward.check(
    points=3,
    hint="Without a projection the block is relu(bn2(relu(bn1(x W1)) W2) + x).",
    more="Write one function for the normalization, with gamma, beta, mean and var in this order, and use it twice. x is added after the second one, and the last ReLU follows.",
    keeps_input=True,
)
def adds_its_input(ask, rng):
    """adds x to the branch, before the last ReLU"""
    return ask(*_case_of_block(rng, 12, 5, 5, False))


@residual_block_forward.check(
    points=2,
    hint="With projection = (P, bn) the shortcut is x @ P, normalized by that bn, instead of x.",
    more="The projection changes nothing but the shortcut: no ReLU of its own, and the branch is what it was.",
)
def projects_the_shortcut(ask, rng):
    """adds the projection of x, normalized by its own numbers"""
    return ask(*_case_of_block(rng, 12, 5, 5, True))


@residual_block_forward.check(
    hint="The projection gives the shortcut the width of the branch.",
    more="Branch and shortcut both have the shape (B, H); x has the shape (B, D).",
)
def changes_the_width(ask, rng):
    """adds the projection where the block has more units than x"""
    return ask(*_case_of_block(rng, 12, 4, 6, True))


@residual_block_forward.check(
    hint="A row alone must get what it gets in company.",
    more="Evaluation takes mean and var from bn, so no mean over rows is needed.",
)
def takes_a_row_alone(ask, rng):
    """gives a row alone what the formula says"""
    case = _case_of_block(rng, 12, 5, 5, False)
    return ask(case[0][:1], *case[1:])


@residual_block_forward.check(
    hint="With the second gamma and beta at 0 the branch is 0, and the block gives relu(x).",
    more="So start many networks: at first each block passes on what it gets.",
)
def passes_its_input_on(ask, rng):
    """gives relu(x) when the last gamma and beta are 0"""
    x, W1, bn1, W2, bn2, eps = _case_of_block(rng, 12, 5, 5, False)
    bn2[:2] = 0
    return ask(x, W1, bn1, W2, bn2, eps)


# --- output_size -----------------------------------------------------------------------------


def _per_side(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) // stride + 1


def _same_size(size, kernel, stride):
    return -(-size // stride)


def _size(size, kernel, stride, padding, *, number=_per_side, same=_same_size):
    if isinstance(padding, str):
        return same(size, kernel, stride)
    return number(size, kernel, stride, padding)


output_size = chapter.exercise(
    "output_size",
    _size,
    mistakes={
        "no one": vary(_size, number=lambda n, k, s, p: (n + 2 * p - k) // s),
        "padding once": vary(_size, number=lambda n, k, s, p: (n + p - k) // s + 1),
        "rounded up": vary(_size, number=lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1),
        "not whole": vary(_size, number=lambda n, k, s, p: (n + 2 * p - k) / s + 1),
        "one before the division": vary(_size, number=lambda n, k, s, p: (n + 2 * p - k + 1) // s),
        "padding ignored": vary(_size, number=lambda n, k, s, p: (n - k) // s + 1),
        "kernel ignored": [
            vary(_size, number=lambda n, k, s, p: n // s),
            vary(_size, number=lambda n, k, s, p: (n + 2 * p) // s),
            vary(_size, number=lambda n, k, s, p: -(-n // s)),
        ],
        "stride ignored": vary(
            _size, number=lambda n, k, s, p: n + 2 * p - k + 1, same=lambda n, k, s: n
        ),
        "same keeps the size": vary(_size, same=lambda n, k, s: n),
        "same rounds down": vary(_size, same=lambda n, k, s: n // s),
        "same without padding": vary(_size, same=lambda n, k, s: (n - k) // s + 1),
    },
    hints={
        "no one": "One position is missing: the kernel has a first place before it moves at all. Add 1 after the division.",
        "padding once": "The padding stands on both sides: count it twice.",
        "rounded up": "A step that does not fit any more is not taken: round down.",
        "not whole": "The result is a number of positions: divide with //, which rounds down.",
        "one before the division": "You add 1 before you divide by the stride. Divide first, and add 1 then.",
        "padding ignored": "The padding makes the image larger before the kernel moves: add 2 * padding to the size.",
        "kernel ignored": "The size of the kernel is missing: it covers kernel pixels at its first place, and moves on over the rest.",
        "stride ignored": "The kernel moves by stride pixels: divide what is left by the stride.",
        "same keeps the size": '"same" keeps the size only with stride 1. In general it gives size / stride, rounded up.',
        "same rounds down": '"same" gives size / stride, rounded up: odd sizes show it.',
        "same without padding": '"same" pads as much as is needed, so the kernel does not matter: size / stride, rounded up.',
    },
)


@output_size.check(
    points=2,
    hint="How many places does the kernel have? The padded size is size + 2 * padding.",
    more="The first place takes `kernel` pixels. Every `stride` further ones give another place: divide what is left by the stride, round down, add 1.",
)
def counts_the_places(ask, rng):
    """counts the places of the kernel, for a padding given as a number"""
    shown = {}
    cases = (3, 1, 1), (3, 2, 1), (1, 2, 0), (5, 2, 2), (3, 1, 0), (7, 2, 3), (3, 2, 0), (3, 3, 1)
    for kernel, stride, padding in cases:
        size = int(rng.integers(8, 30))
        for n in range(size, size + stride + 1):  # every remainder
            text = f"size {n}, kernel {kernel}, stride {stride}, padding {padding}"
            shown[text] = ask(n, kernel, stride, padding)
    return shown


@output_size.check(
    hint='"same" pads as much as it takes to get size / stride, rounded up.',
    more="-(-a // b) divides and rounds up; math.ceil(a / b) does, too.",
)
def knows_same(ask, rng):
    """gives size / stride, rounded up, where the padding is "same", as Keras calls it"""
    shown = {}
    for kernel, stride in ((3, 1), (3, 2), (5, 2), (1, 2), (7, 3), (2, 2)):
        size = int(rng.integers(8, 30))
        for n in (size, size + 1):
            text = f'size {n}, kernel {kernel}, stride {stride}, "same"'
            shown[text] = ask(n, kernel, stride, "same")
    return shown


@output_size.check(
    hint="Follow an image through a network: each size is the next layer's input.",
    more="Give the number itself, as an int, so that it can be the size of the next call.",
)
def follows_an_image(ask, rng):
    """follows an image of 32 pixels through ResNet-18, and one of 224 into the large networks"""
    sizes = [32]
    for stride in (1, 1, 2, 2, 2):
        sizes.append(int(outputs(ask(sizes[-1], 3, stride, 1), ())[0]))
    first = int(outputs(ask(224, 7, 2, 3), ())[0])
    return np.array([*sizes[1:], first, ask(first, 3, 2, 1)])


# --- count_parameters ------------------------------------------------------------------------


def _count(
    widths,
    blocks,
    in_channels,
    classes,
    *,
    bias=0,
    norm=2,
    projects=lambda stage, block, before, width: block == 0 and stage > 0,
    projection_norm=None,
    head=lambda width, classes: width * classes + classes,
    first=3,
    convolutions=2,
):
    """Count; norm: numbers of a channel of batch norm. bias: of a channel of a convolution."""
    projection_norm = norm if projection_norm is None else projection_norm

    def convolution(size, inputs, outputs, of_norm=norm):
        return size * size * inputs * outputs + (bias + of_norm) * outputs

    total, inputs = convolution(first, in_channels, widths[0]), widths[0]
    for stage, (width, number) in enumerate(zip(widths, blocks, strict=True)):
        for block in range(number):
            total += convolution(3, inputs, width)
            total += (convolutions - 1) * convolution(3, width, width)
            if projects(stage, block, inputs, width):
                total += convolution(1, inputs, width, projection_norm)
            inputs = width
    return int(total + head(inputs, classes))


count_parameters = chapter.exercise(
    "count_parameters",
    _count,
    mistakes={
        "biases of convolutions": vary(_count, bias=1),
        "running statistics": vary(_count, norm=4),
        "no normalization": vary(_count, norm=0),
        "gamma or beta only": vary(_count, norm=1),
        "no projections": vary(_count, projects=lambda *given: False),
        "projection without its norm": vary(_count, projection_norm=0),
        "projection in every block": vary(_count, projects=lambda *given: True),
        "projection in the first stage": vary(
            _count, projects=lambda stage, block, before, width: block == 0
        ),
        "projection by width alone": vary(
            _count, projects=lambda stage, block, before, width: before != width
        ),
        "flattened head": [
            vary(_count, head=lambda width, classes, n=n: n * n * width * classes + classes)
            for n in (2, 4, 7, 8, 32)
        ],
        "no bias of the head": vary(_count, head=lambda width, classes: width * classes),
        "large first kernel": vary(_count, first=7),
        "one convolution a block": vary(_count, convolutions=1),
        "three convolutions a block": vary(_count, convolutions=3),
    },
    hints={
        "biases of convolutions": "You count biases of the convolutions. They have none here: the beta of the batch normalization behind them does their work.",
        "running statistics": "You count the running mean and variance. They are stored, but not trained: a channel has gamma and beta.",
        "no normalization": "Batch normalization has parameters, too: gamma and beta for each channel.",
        "gamma or beta only": "You count one number for each channel of a batch normalization. There are two: gamma and beta.",
        "no projections": "The projections are missing. The first block of each stage but the first halves the image, so its shortcut is a convolution of 1 x 1 with batch normalization.",
        "projection without its norm": "A projection has a batch normalization of its own.",
        "projection in every block": "Only a block whose shape changes needs a projection; in the others the shortcut is the identity, which has no parameters.",
        "projection in the first stage": "The first stage begins with the shape that it is given: its shortcuts are all identities.",
        "projection by width alone": "A block that halves the image needs a projection even if the number of channels stays the same.",
        "flattened head": "The last layer sees one mean for each channel, not every pixel: global average pooling comes before it.",
        "no bias of the head": "The last, dense layer has a bias: one number for each class.",
        "large first kernel": "The first convolution is 3 x 3 here. 7 x 7 is for the large images of ImageNet.",
        "one convolution a block": "A block has two convolutions of 3 x 3.",
        "three convolutions a block": "A block has two convolutions of 3 x 3. Three are those of the bottleneck block.",
    },
)


def _exactly(answer):
    """Return a count as a text: the tolerance of numbers would let a bias pass."""
    return f"{float(outputs(answer, ())[0]):.0f}"


@count_parameters.check(
    points=2,
    hint="First convolution with its normalization, the blocks, the dense layer.",
    more="A convolution of k x k from a to b channels has k * k * a * b weights, its normalization 2 * b. In a single stage all shortcuts are identities.",
    keeps_input=True,
)
def counts_one_stage(ask, rng):
    """counts a network of one stage exactly"""
    (width,), channels, classes = rng.integers(3, 8, 1).tolist(), *rng.integers(1, 7, 2).tolist()
    return {
        f"{number} blocks": _exactly(ask((width,), (number,), channels, classes + 2))
        for number in (1, 3)
    }


@count_parameters.check(
    points=2,
    hint="Where the shape changes, the shortcut is a convolution of 1 x 1 with batch normalization.",
    more="Only the first block of a stage changes the shape, and not in the first stage. A stage halves the image even if its width is the one before.",
)
def counts_projections(ask, rng):
    """counts the projections of several stages exactly"""
    one, two, three = rng.permutation(np.arange(2, 8))[:3].tolist()
    channels, classes = rng.integers(1, 5), rng.integers(3, 6)
    return {
        "three widths": _exactly(ask((one, two, three), (2, 1, 2), int(channels), int(classes))),
        "a width twice": _exactly(ask((one, one, two), (1, 2, 1), int(channels), int(classes))),
    }


@count_parameters.check(
    hint="ResNet-18 for CIFAR-10 has 11,173,962 trainable parameters.",
    more="Its widths are 64, 128, 256 and 512, with two blocks each, three channels of the image and ten classes.",
)
def knows_resnet_18(ask, rng):
    """counts 11,173,962 parameters of ResNet-18"""
    return _exactly(ask((64, 128, 256, 512), (2, 2, 2, 2), 3, 10))


# --- diagnose_depth_by_gradients -------------------------------------------------------------

DIAGNOSES = ("exploding", "cut off", "waiting", "vanishing", "healthy")


def _growth(norms):
    """Return the factor per layer on the way back, by a straight line through the logarithms."""
    return np.exp(-np.polyfit(np.arange(len(norms)), np.log(norms), 1)[0])


def _diagnosed(
    norms,
    factor,
    *,
    growth=_growth,
    finite=lambda norms: np.isfinite(norms).all(),
    cut=lambda norms: norms[0] == 0,
    waiting=lambda norms: (norms == 0).any(),
    order=("exploding", "cut off", "waiting"),
):
    norms = np.asarray(norms, dtype=float)
    first = {
        "exploding": not finite(norms),
        "cut off": cut(norms),
        "waiting": waiting(norms),
    }
    found = next((name for name in order if first[name]), "")
    if found:
        return found
    back = growth(norms)
    return "exploding" if back > factor else "vanishing" if back < 1 / factor else "healthy"


def _renamed(names):
    """Return the diagnosis that gives some findings another name."""

    def diagnosed(norms, factor):
        found = _diagnosed(norms, factor)
        return names.get(found, found)

    return diagnosed


diagnose_depth_by_gradients = chapter.exercise(
    "diagnose_depth_by_gradients",
    _diagnosed,
    mistakes={
        "read forward": vary(_diagnosed, growth=lambda norms: 1 / _growth(norms)),
        "ends only": vary(
            _diagnosed, growth=lambda norms: (norms[0] / norms[-1]) ** (1 / (len(norms) - 1))
        ),
        "whole depth": [
            vary(_diagnosed, growth=lambda norms: norms[0] / norms[-1]),
            vary(_diagnosed, growth=lambda norms: _growth(norms) ** (len(norms) - 1)),
        ],
        "mean of the ratios": vary(
            _diagnosed, growth=lambda norms: (norms[:-1] / norms[1:]).mean()
        ),
        "other logarithm": vary(_diagnosed, growth=lambda norms: _growth(norms) ** np.log10(np.e)),
        "overflow": vary(_diagnosed, finite=lambda norms: True),
        "any zero vanishes": _renamed({"cut off": "vanishing", "waiting": "vanishing"}),
        "any zero is cut off": [
            vary(_diagnosed, cut=lambda norms: (norms == 0).any()),
            vary(_diagnosed, order=("exploding", "waiting", "cut off")),
        ],
        "zeros left out": vary(
            _diagnosed,
            cut=lambda norms: False,
            waiting=lambda norms: False,
            growth=lambda norms: _growth(norms[norms > 0]) if norms.any() else 1.0,
        ),
        "last layer": vary(_diagnosed, cut=lambda norms: norms[-1] == 0),
        "zeros first": vary(_diagnosed, order=("cut off", "waiting", "exploding")),
        "absolute size": vary(_diagnosed, growth=lambda norms: norms[0]),
        "own factor": [vary(_diagnosed, factor=number) for number in (1.1, 1.5, 2, 10)],
        "one side only": [
            _renamed({"vanishing": "healthy"}),
            _renamed({"exploding": "healthy"}),
        ],
    },
    hints={
        "read forward": "You read the norms forward. The gradient travels from the last layer to the first: it explodes if the first layers have the larger norms.",
        "ends only": "You look at the first and the last layer only. The first layer is often another kind of layer: lay the line through all of them.",
        "whole depth": "You compare the change over the whole depth with a factor that is meant per layer. The slope of the line is the change from one layer to the next.",
        "mean of the ratios": "You average ratios of neighbours. Layers of a block alternate, and the mean of a half and a double is more than 1: fit the logarithms.",
        "other logarithm": "You take a logarithm to one base and undo it with another. np.log belongs to np.exp.",
        "overflow": "A norm that is infinite or not a number is an explosion that has already happened: look for it first.",
        "any zero vanishes": "A norm of exactly 0 is no vanishing gradient: it is a branch that starts at zero, or a network that is cut.",
        "any zero is cut off": "A zero somewhere in the middle does not cut the network off, as long as a gradient arrives at the first layer: the shortcuts carry it. Ask about the first layer.",
        "zeros left out": "You leave the layers without a gradient out of the fit. They are a finding of their own.",
        "last layer": "Where does the gradient start, and where does it end? It is cut off if nothing arrives at the first layer.",
        "zeros first": "A number that is not finite decides before every zero.",
        "absolute size": "You judge the size of a norm. What counts is how it changes from layer to layer.",
        "own factor": "You compare with a number of your own. Use factor, and 1 / factor.",
        "one side only": "A gradient can explode and it can vanish: compare with factor and with 1 / factor.",
    },
)


def _one_name(ask):
    """Return an `ask` that says which texts there are: no other hint fits another text."""

    def asked(*arguments):
        name = ask(*arguments)
        if isinstance(name, str) and name not in DIAGNOSES:
            names = ", ".join(map(repr, DIAGNOSES))
            raise AnswerError(f"Return one of {names}, not {brief(name)}.")
        return name

    return asked


LAYERS = 30


def _norms_of(rng, back, size=1.0, jump=1.0, uneven=0.2):
    """Draw norms that grow by `back` per layer on the way back; jump: a factor of the first layer.

    Two neighbours form a block, and the second has the larger norm: uneven, in logarithms.
    """
    norms = size * back ** np.arange(LAYERS - 1.0, -1, -1)
    norms *= np.exp(uneven * np.tile([-1, 1], LAYERS // 2) + rng.uniform(-0.02, 0.02, LAYERS))
    norms[0] *= jump
    return norms


@diagnose_depth_by_gradients.check(
    points=2,
    hint="Fit a straight line to the logarithms of the norms: its slope is the change per layer.",
    more="np.polyfit(np.arange(len(norms)), np.log(norms), 1)[0] is the slope. On its way back the gradient grows by exp(-slope) per layer.",
    keeps_input=True,
)
def sees_an_explosion(ask, rng):
    """calls it exploding when the norms grow by more than factor per layer on the way back"""
    ask, factor = _one_name(ask), rng.uniform(1.18, 1.3)
    back = factor**1.3
    return {
        "it grows": ask(_norms_of(rng, back), factor),
        "it grows, and the first layer is small": ask(_norms_of(rng, back, jump=0.05), factor),
        "it grows, and all norms are small": ask(_norms_of(rng, back, size=1e-9), factor),
        "it grows by much more": ask(_norms_of(rng, factor**3.5), factor),
        "by more than a large factor": ask(_norms_of(rng, 5.0), 3.0),
    }


@diagnose_depth_by_gradients.check(
    points=2,
    hint="It vanishes if the norms fall by more than factor per layer, seen from the last layer.",
    more="Compare the growth per layer with 1 / factor.",
)
def sees_a_vanishing_gradient(ask, rng):
    """calls it vanishing when the norms fall by more than factor per layer on the way back"""
    ask, factor = _one_name(ask), rng.uniform(1.18, 1.3)
    back = factor**-1.3
    return {
        "it falls": ask(_norms_of(rng, back), factor),
        "it falls, and the first layer is large": ask(_norms_of(rng, back, jump=20), factor),
        "it falls, and all norms are large": ask(_norms_of(rng, back, size=1e9), factor),
        "it falls by much more": ask(_norms_of(rng, factor**-3.5), factor),
        "by more than a large factor": ask(_norms_of(rng, 0.2), 3.0),
    }


@diagnose_depth_by_gradients.check(
    points=2,
    hint="A change of less than factor per layer is healthy, however large it is over the whole depth.",
    more="Thirty layers at 1.1 each make a change of 17, and it is still 1.1 per layer.",
)
def leaves_the_healthy_alone(ask, rng):
    """calls it healthy when the change per layer is below the factor"""
    ask, factor = _one_name(ask), rng.uniform(1.18, 1.3)
    back = factor**0.6
    return {
        "it grows a little": ask(_norms_of(rng, back), factor),
        "it falls a little": ask(_norms_of(rng, 1 / back), factor),
        "the first layer is large": ask(_norms_of(rng, 1.0, jump=1e4), factor),
        "the first layer is small": ask(_norms_of(rng, 1.0, jump=1e-4), factor),
        "the layers of a block differ": ask(_norms_of(rng, 1.0, uneven=1.0), factor),
        "less than a large factor": ask(_norms_of(rng, 2.0), 3.0),
    }


@diagnose_depth_by_gradients.check(
    points=2,
    hint="A gradient of exactly 0 at the first layer: nothing arrives. Elsewhere: a branch that waits.",
    more="Ask about norms[0] == 0 before you ask whether any norm is 0.",
)
def knows_a_zero_by_its_place(ask, rng):
    """tells a network that is cut off from branches that wait, by where the zeros are"""
    ask = _one_name(ask)
    waiting, cut = _norms_of(rng, 1.01), _norms_of(rng, 1.01)
    waiting[1:-1] = 0
    cut[: rng.integers(3, LAYERS - 3)] = 0
    some = _norms_of(rng, 2.0)
    some[rng.integers(2, LAYERS - 2)] = 0
    last = _norms_of(rng, 1.01)
    last[-1] = 0
    return {
        "all blocks are 0": ask(waiting, 1.2),
        "one layer is 0": ask(some, 1.2),
        "the first layers are 0": ask(cut, 1.2),
        "the last layer is 0": ask(last, 1.2),
        "all are 0": ask(np.zeros(LAYERS), 1.2),
    }


@diagnose_depth_by_gradients.check(
    hint="Infinity and NaN mean exploding, whatever the other norms are.",
    more="np.isfinite tells it of every number. Ask it first: a comparison with NaN is False.",
)
def sees_overflow(ask, rng):
    """calls it exploding when a norm is infinite or not a number"""
    ask, shown = _one_name(ask), {}
    for bad, zero in product((np.inf, np.nan), (False, True)):
        norms = _norms_of(rng, 0.99)
        norms[rng.integers(3, LAYERS)] = bad
        norms[:2] *= not zero
        shown[f"{bad}{' beside zeros' * zero}"] = ask(norms, 1.2)
    return shown


# --- rescue ----------------------------------------------------------------------------------

SHORTCUTS, NORMS, LASTS = ("none", "identity"), ("none", "batch"), (1.0, 0.0)
RATES = (0.001, 0.003, 0.03)
SETTINGS = list(product(SHORTCUTS, NORMS, LASTS, RATES))
STEPS, RUNS = 50, 8  # of the final run; final runs that the budget pays for
BLOCKS, WIDTH = 19, 16  # with the first layer and the last one, 40 layers

rescue = chapter.exercise(
    "rescue",
    hints={
        **training.HINTS,
        "plain only": 'You try no network with shortcuts. Without them a network of 40 layers hardly learns, whatever the rate: try "shortcut": "identity".',
        "one norm only": "You try one kind of normalization only. Batch normalization needs more than a row a step, and inputs of an odd scale need batch normalization: try both.",
        "one start only": 'You try only one value of "last". Without normalization a sum over many blocks grows out of hand unless each branch starts at zero: try both values.',
    },
)


def _setting(value):
    """Return a setting as `Trials` needs it: a tuple. Raises ValueError, with a sentence."""
    try:
        shortcut, norm = str(value["shortcut"]), str(value["norm"])
        numbers = [float(value["last"]), float(value["rate"])]
        last, rate = (
            min(allowed, key=lambda a, n=number: abs(a - n))
            for allowed, number in zip((LASTS, RATES), numbers, strict=True)
        )
        near = abs(last - numbers[0]) < 1e-6 and abs(rate - numbers[1]) < 1e-3 * rate
    except (KeyError, TypeError, ValueError, IndexError):
        near = False
    if not near or len(value) != 4 or shortcut not in SHORTCUTS or norm not in NORMS:
        raise ValueError(
            f'a setting is a dict: "shortcut" one of {SHORTCUTS}, "norm" one of {NORMS}, '
            f'"last" one of {LASTS}, "rate" one of {RATES}'
        )
    return shortcut, norm, last, rate


def _deep_network(rng, inputs, classes, norm, last):
    """Draw the start: He's weights, and `last` on the last layer of each block."""

    def he(*shape):
        return rng.normal(size=shape) * np.sqrt(2 / shape[-2])

    weights = {"first": he(inputs, WIDTH), "blocks": he(2 * BLOCKS, WIDTH, WIDTH)}
    weights |= {"head": he(WIDTH, classes), "c": np.zeros(classes)}
    weights |= {
        "beta": np.zeros((2 * BLOCKS + 1, WIDTH)),
        "gamma": np.ones((2 * BLOCKS + 1, WIDTH)),
    }
    if norm == "batch":
        weights["gamma"][2::2] = last
    else:
        weights["blocks"][1::2] *= last
    return weights


class _Pass:
    """One pass through the network; it keeps what the way back needs, and the running statistics."""

    def __init__(self, weights, shortcut, norm, running, training):
        self.w, self.running, self.training = weights, running, training
        self.shortcut, self.norm = shortcut == "identity", norm == "batch"
        self.kept = {}

    def _layer(self, i, z):
        """Normalize, if so, and shift; i: the number of the hidden layer."""
        if self.norm:
            mean, var = self.running[:, i]
            if self.training:
                mean = z.mean(axis=0)
                var = ((z - mean) ** 2).mean(axis=0)
                self.running[:, i] += 0.1 * (np.stack([mean, var]) - self.running[:, i])
            s = np.sqrt(var + 1e-3)
            z = (z - mean) / s
            self.kept["norm", i] = z, s
            z = z * self.w["gamma"][i]
        return z + self.w["beta"][i]

    def logits(self, x):
        w = self.w
        h = np.maximum(self._layer(0, x @ w["first"]), 0)
        self.kept["input"] = x, h
        for i in range(1, 2 * BLOCKS, 2):
            u = np.maximum(self._layer(i, h @ w["blocks"][i - 1]), 0)
            f = self._layer(i + 1, u @ w["blocks"][i])
            y = np.maximum(f + h if self.shortcut else f, 0)
            self.kept[i] = h, u, y
            h = y
        return h @ w["head"] + w["c"]

    def gradients(self, x, targets):
        """Return the gradient of the mean cross-entropy, in the form of the weights."""
        w, found = self.w, {name: np.zeros_like(value) for name, value in self.w.items()}
        d = (softmax(self.logits(x)) - targets) / len(x)
        found["head"], found["c"] = self.kept[2 * BLOCKS - 1][2].T @ d, d.sum(axis=0)
        d = d @ w["head"].T
        for i in range(2 * BLOCKS - 1, 0, -2):
            h, u, y = self.kept[i]
            d = d * (y > 0)
            e = self._back(i + 1, d, found)
            found["blocks"][i] = u.T @ e
            e = self._back(i, e @ w["blocks"][i].T * (u > 0), found)
            found["blocks"][i - 1] = h.T @ e
            e = e @ w["blocks"][i - 1].T
            d = e + d if self.shortcut else e
        x, h = self.kept["input"]
        found["first"] = x.T @ self._back(0, d * (h > 0), found)
        return found

    def _back(self, i, d, found):
        found["beta"][i] = shift = d.sum(axis=0)
        if not self.norm:
            return d
        z, s = self.kept["norm", i]
        found["gamma"][i] = scale = (d * z).sum(axis=0)
        return self.w["gamma"][i] / s * (d - shift / len(d) - z * (scale / len(d)))


@functools.lru_cache(100)
def _learned(seed, task):
    """Return where the scores of a drawn task are kept: a class trains the same runs again."""
    return {}


class _Deep:
    """A network with 40 layers and a task for it: inputs of an odd scale, or one row a step."""

    def __init__(self, rng, task):
        centres, self.seed = rng.normal(size=(4, 12)), int(rng.integers(2**32))
        self.learned = _learned(self.seed, task)
        self.batch = 1 if task == "one row a step" else 32

        def rows(number):
            y = rng.permutation(np.arange(number) % 4)
            x = centres[y] + 0.4 * rng.normal(size=(number, 12))
            return (x if self.batch == 1 else 300 + 100 * x), y

        self.rows = {
            n: rows(k) for n, k in (("train", 600), ("dev", 500), ("test", 300), ("hidden", 1500))
        }

    def _start(self, setting, start):
        _, norm, last, _ = setting
        rng = np.random.default_rng([self.seed, start])
        order = rng.integers(len(self.rows["train"][0]), size=(1000, self.batch))
        running = np.zeros((2, 2 * BLOCKS + 1, WIDTH))
        running[1] = 1
        return _deep_network(rng, 12, 4, norm, last), running, order

    def norms(self, setting):
        """Return the norms of the gradients of the 40 layers before the first step."""
        weights, running, order = self._start(setting, 0)
        x, y = (part[order[0]] for part in self.rows["train"])
        with np.errstate(all="ignore"):
            found = _Pass(weights, *setting[:2], running, True).gradients(x, np.eye(4)[y])
            kernels = [found["first"], *found["blocks"], found["head"]]
            return np.array([np.linalg.norm(kernel) for kernel in kernels])

    def scores(self, setting, steps, names=("train", "dev", "test"), start=0):
        """Train from a start; return the accuracy in evaluation on the rows of each name."""
        run = setting, steps, tuple(names), start
        if run not in self.learned:
            self.learned[run] = self._scores(*run)
        return dict(self.learned[run])

    def _scores(self, setting, steps, names, start):
        weights, running, order = self._start(setting, start)
        velocity = {name: np.zeros_like(value) for name, value in weights.items()}
        x, y = self.rows["train"]
        targets = np.eye(4)[y]
        with np.errstate(all="ignore"):  # what diverges shows it in its scores
            for i in range(steps):
                take = order[i % len(order)]
                step = _Pass(weights, *setting[:2], running, True)
                for name, gradient in step.gradients(x[take], targets[take]).items():
                    velocity[name] = training.MOMENTUM * velocity[name] - setting[3] * gradient
                    weights[name] += velocity[name]
            found = {}
            for name in names:
                x, y = self.rows[name]
                logits = _Pass(weights, *setting[:2], running, False).logits(x)
                found[name] = float((logits.argmax(axis=1) == y).mean())
        return found

    def hidden(self, setting):
        return training.on_hidden(self.scores, setting, STEPS)


def _decide(ask, deep, scores, steps):
    """Let an answer decide; return what was tried, and the setting that is chosen."""

    def build(setting, /):
        return deep.norms(_setting(plain(setting)))

    trials = training.Trials(scores, _setting, RUNS * steps)
    # The text gives `build` first, and a record of trials gives `train` first.
    return trials, trials.decide(lambda train, build, budget: ask(build, train, budget), build)


@rescue.check(
    points=3,
    hint="On hidden rows the network that you choose does badly, with one row a step or with inputs of an odd scale. Try settings of every kind, and choose by dev.",
    more="Without shortcuts nothing learns here, so half of the settings can be left out. Give the others an equal share of the budget, or train all of them briefly and the best ones longer. `build` costs nothing, and a gradient that explodes or never arrives is a bad sign.",
)
def does_well_on_hidden_rows(ask, rng):
    """rescues the network, with inputs of an odd scale and with one row a step"""
    shown = []
    for task, good in (
        ("an odd scale", ("identity", "batch", 0.0, 0.03)),
        ("one row a step", ("identity", "none", 0.0, 0.001)),
    ):
        deep = _Deep(rng, task)
        trials, chosen = _decide(ask, deep, deep.scores, STEPS)
        needed, found = deep.hidden(good) - 0.25, deep.hidden(chosen)
        shortcuts, norms, lasts, _ = map(set, zip(*trials.runs, strict=True))
        mistakes = {
            "plain only": shortcuts == {"none"},
            "one norm only": len(norms) == 1,
            "one start only": len(lasts) == 1,
            "short runs": trials.longest < training.SHORT * STEPS,
        }
        shown.append((f"{task}: at least {needed:.3f}", f"{found:.3f} with {chosen}"))
        if found < needed:
            return judge(False, *shown[-1], mistakes)
    return judge(True, *map("; ".join, zip(*shown, strict=True)))


def _made_up_scores(rng):
    """Make up scores of all settings, which `training.disagreeing` draws.

    So it is with shortcuts, and a little lower without: an answer may leave those out.
    """
    half = len(SETTINGS) // 2
    scores = training.disagreeing(half, rng, dev=(0.65, -0.02))
    table = {}
    for number, setting in enumerate(SETTINGS):
        less = 0.05 * (setting[0] == "none")
        table[setting] = {rows: score - less for rows, score in scores[number % half].items()}
    return table


@rescue.check(
    points=3,
    hint="Of the settings that you try, choose the one with the highest dev accuracy.",
    more='`train` returns a dict: keep train(setting, steps)["dev"] of every setting, and return the setting of the largest. Compare runs of equal length.',
)
def chooses_by_the_dev_rows(ask, rng):
    """chooses by dev accuracy, when train, dev and test rows disagree"""
    decisions, deep = [], _Deep(rng, "an odd scale")
    for _ in range(3):
        table = _made_up_scores(rng)
        scores = training.made_up(table, STEPS, rng)
        decisions.append((table, *_decide(ask, deep, scores, STEPS)))
    return training.follows_dev(decisions, STEPS)


@rescue.check(
    hint="The steps of all your calls of `train` together must be at most `budget`.",
    more="budget // (number of settings) steps for each setting are never too many.",
)
def keeps_to_the_budget(ask, rng):
    """compares settings within the budget, for other numbers of steps"""
    deep = _Deep(rng, "one row a step")
    for _ in range(2):
        steps = int(rng.integers(41, 80))
        scores = training.made_up(_made_up_scores(rng), steps, rng)
        trials, _ = _decide(ask, deep, scores, steps)
    return judge(True, f"at most {trials.budget} steps", f"{trials.spent} steps")
