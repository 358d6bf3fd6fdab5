"""Checks of chapter 08, L1, elastic net and activity penalties."""

import numpy as np

from regbook.check import Chapter, Outcome, Wrong, compare, outputs

chapter = Chapter("08_l1_sparsity")


def _kernels(rng):
    return [rng.normal(size=(3, 4)), rng.normal(size=(4, 2))]


@chapter.check(
    "l1_penalty",
    points=2,
    hint="The penalty is lam times the sum of |w| over every entry of every array in the list.",
    more="Write lam * sum(np.abs(w).sum() for w in weights).",
)
def sums_the_absolute_values(answer, rng):
    """is lam times the sum of the absolute values of all entries"""
    lam = rng.uniform(0.1, 0.4)
    # One sum above 0 and one below, so that signs cancel.
    weights = [s * np.sign(w.sum()) * w for s, w in zip((1, -1), _kernels(rng), strict=True)]
    sizes = [np.abs(w).sum() for w in weights]
    return compare(
        answer(weights, lam),
        lam * sum(sizes),
        wrong=[
            Wrong(
                "squares",
                lam * sum((w**2).sum() for w in weights),
                "You added squares. That is the L2 penalty (ridge); L1 adds absolute values.",
            ),
            Wrong(
                "euclidean",
                lam * sum(np.linalg.norm(w) for w in weights),
                "You added Euclidean norms. The L1 norm has no squares and no root.",
            ),
            Wrong(
                "operator",
                lam * sum(np.linalg.norm(w, 1) for w in weights),
                "np.linalg.norm(W, 1) of a matrix is its largest column sum. The penalty adds all entries.",
            ),
            Wrong(
                "signed",
                lam * sum(w.sum() for w in weights),
                "Positive and negative weights cancel in your sum: take absolute values first.",
            ),
            Wrong(
                "outside",
                lam * sum(abs(w.sum()) for w in weights),
                "You took the absolute value of the sum. Take it of each entry, then add.",
            ),
            Wrong(
                "mean",
                lam * sum(np.abs(w).mean() for w in weights),
                "You averaged over the entries. The penalty is a sum: a larger kernel costs more.",
            ),
            Wrong(
                "first-only",
                lam * sizes[0],
                "Only the first kernel counts in your sum. Go through the whole list.",
            ),
            Wrong(
                "last-only",
                lam * sizes[-1],
                "Only the last kernel counts in your sum. Is the total overwritten in the loop?",
            ),
            Wrong("no-strength", sum(sizes), "The strength lam is missing."),
        ],
    )


@chapter.check(
    "l1_penalty",
    hint="Multiplying every weight by -2 must double the penalty: |w| grows in proportion, and the sign plays no part.",
    more="Squares would give four times as much, and a sum without absolute values would change its sign.",
)
def grows_in_proportion(answer, rng):
    """doubles when all weights are multiplied by -2"""
    weights = [rng.normal(size=5), rng.normal(size=(2, 3, 2))]
    value = 0.3 * sum(np.abs(w).sum() for w in weights)
    double = answer([-2 * w for w in weights], 0.3)
    outcome = compare(double, 2 * answer(weights, 0.3))
    return outcome if not outcome.passed else compare(double, 2 * value)


@chapter.check(
    "l1_penalty", hint="With lam = 0 the loss is unpenalised.", more="lam multiplies the whole sum."
)
def is_zero_without_strength(answer, rng):
    """is 0 when lam is 0, and one number"""
    return compare(answer([rng.normal(size=(3, 2))], 0.0), 0.0)


def _soft(w, t):
    return np.sign(w) * np.maximum(np.abs(w) - t, 0)


@chapter.check(
    "soft_threshold",
    points=2,
    hint="Subtract t from the absolute value, replace negative results by 0, and give the sign back.",
    more="Write np.sign(w) * np.maximum(np.abs(w) - t, 0).",
)
def moves_towards_zero(answer, rng):
    """moves every entry towards zero by t and stops at zero"""
    t = rng.uniform(0.4, 0.8)
    # Both signs, both sides of the threshold.
    w = t * rng.uniform([-3, -0.9, 0.1, 1.1], [-1.1, -0.1, 0.9, 3], size=(3, 4))
    far = np.abs(w) > t
    return compare(
        answer(w, t),
        _soft(w, t),
        wrong=[
            Wrong(
                "hard",
                np.where(far, w, 0.0),
                "This is hard thresholding: small weights become 0, large ones keep their size. The large ones must shrink by t as well.",
            ),
            Wrong(
                "sign-lost",
                np.maximum(np.abs(w) - t, 0),
                "The sign is lost: negative weights came out positive.",
            ),
            Wrong(
                "overshoots",
                w - t * np.sign(w),
                "Weights smaller than t jump over zero: that is a subgradient step. They must stop at zero.",
            ),
            Wrong(
                "subtracts",
                w - t,
                "You subtract t from every weight. A negative weight must go up, towards zero.",
            ),
            Wrong(
                "positive-only",
                np.maximum(w - t, 0),
                "Negative weights are all cut to zero. Those below -t must become w + t.",
            ),
            Wrong(
                "clips",
                np.clip(w, -t, t),
                "You clipped to the range from -t to t. That keeps exactly the part which must be taken away.",
            ),
            Wrong(
                "reversed",
                np.where(far, 0.0, w),
                "The condition is turned around: the large weights are zero and the small ones stay.",
            ),
            Wrong(
                "grows",
                np.where(far, w + t * np.sign(w), 0.0),
                "The large weights move away from zero. They must move towards it.",
            ),
            Wrong(
                "shrinks",
                w / (1 + t),
                "You shrink every weight by a factor: that is the step of L2, and it makes no zeros.",
            ),
            Wrong(
                "shrinks",
                (1 - t) * w,
                "You shrink every weight by a factor: that is the step of L2, and it makes no zeros.",
            ),
        ],
    )


@chapter.check(
    "soft_threshold",
    hint="Entries with |w| <= t must be exactly 0, not merely small: 1e-9 takes as much room as 1.",
    more="np.maximum(..., 0) gives an exact 0; an exponential or a division does not.",
)
def makes_exact_zeros(answer, rng):
    """returns exact zeros, at the threshold itself too"""
    w = np.array([0.25, -0.25, 0.0, rng.uniform(-0.2, 0.2), 1.0])
    (received,) = outputs(answer(w, 0.25), (5,))
    exact = bool((received[:4] == 0).all() and received[4] != 0)
    count = int((received[:4] == 0).sum())
    return Outcome(exact, "4 exact zeros and no other", f"{count} exact zeros of the 4")


@chapter.check(
    "soft_threshold",
    hint="A threshold of 0 changes nothing, and kernels of any shape come back in their own shape.",
    more="np.sign, np.abs and np.maximum work entry by entry, on arrays of any shape.",
)
def changes_nothing_without_threshold(answer, rng):
    """returns the weights themselves for t = 0, in any shape"""
    w = rng.normal(size=(2, 3, 2))
    return compare(answer(w, 0.0), w)


def _net(weights, l1, l2):
    value = sum(l1 * np.abs(w).sum() + l2 * (w**2).sum() for w in weights)
    return value, tuple(l1 * np.sign(w) + 2 * l2 * w for w in weights)


@chapter.check(
    "elastic_net_penalty",
    points=2,
    hint="The penalty is l1 * sum of |w| plus l2 * sum of w**2, over every kernel.",
    more="Write sum(l1 * w.abs().sum() + l2 * (w**2).sum() for w in tensors).",
)
def adds_both_penalties(answer, rng):
    """returns the sum of both penalties over all kernels"""
    weights = _kernels(rng)
    l1, l2 = rng.uniform(0.1, 0.3), rng.uniform(0.4, 0.8)
    value = _pair(answer(weights, l1, l2), weights)[0]
    absolute = [np.abs(w).sum() for w in weights]
    squares = [(w**2).sum() for w in weights]
    return compare(
        value,
        _net(weights, l1, l2)[0],
        wrong=[
            Wrong(
                "swapped",
                l2 * sum(absolute) + l1 * sum(squares),
                "The strengths are swapped: l1 belongs to the absolute values, l2 to the squares.",
            ),
            Wrong(
                "halved",
                l1 * sum(absolute) + l2 / 2 * sum(squares),
                "You halved the L2 part, as scikit-learn does. Here it is l2 * sum(w**2).",
            ),
            Wrong(
                "root",
                l1 * sum(absolute) + l2 * sum(np.sqrt(squares)),
                "You took the norm in the L2 part. It uses the square: no root.",
            ),
            Wrong(
                "mixed",
                (l1 + l2) * sum(absolute),
                "Both parts take absolute values. The L2 part takes squares.",
            ),
            Wrong("only-l1", l1 * sum(absolute), "The L2 part is missing."),
            Wrong("only-l2", l2 * sum(squares), "The L1 part is missing."),
            Wrong(
                "first-only",
                l1 * absolute[0] + l2 * squares[0],
                "Only the first kernel counts. Go through the whole list.",
            ),
            Wrong(
                "last-only",
                l1 * absolute[-1] + l2 * squares[-1],
                "Only the last kernel counts. Is the total overwritten in the loop?",
            ),
        ],
    )


def _pair(received, weights):
    """Return the value and the tuple of gradients, however the latter are nested."""
    value, *gradients = received if isinstance(received, tuple) else (received,)
    if len(gradients) == 1 and isinstance(gradients[0], tuple):
        gradients = gradients[0]
    elif len(gradients) == 1 and np.ndim(gradients[0]) == weights[0].ndim + 1:
        gradients = tuple(gradients[0])  # one kernel: a list of one array was stacked
    return value, tuple(gradients)


@chapter.check(
    "elastic_net_penalty",
    points=2,
    hint="The gradient is l1 * sign(w) + 2 * l2 * w, one array per kernel.",
    more="PyTorch: torch.autograd.grad(penalty, tensors). Keras: tape.gradient(penalty, variables).",
)
def returns_the_gradient(answer, rng):
    """returns the gradient of each kernel"""
    weights = _kernels(rng)
    weights[0][0, 0] = 0.0
    l1, l2 = rng.uniform(0.1, 0.3), rng.uniform(0.4, 0.8)
    gradients = _pair(answer(weights, l1, l2), weights)[1]

    def each(function):
        return tuple(function(w) for w in weights)

    return compare(
        gradients,
        _net(weights, l1, l2)[1],
        wrong=[
            Wrong(
                "factor-two",
                each(lambda w: l1 * np.sign(w) + l2 * w),
                "The factor 2 is missing: the derivative of w**2 is 2 w.",
            ),
            Wrong(
                "unsigned",
                each(lambda w: l1 + 2 * l2 * w),
                "The derivative of |w| is the sign of w: -1 for negative weights, and 0 is taken at 0.",
            ),
            Wrong(
                "l2-only",
                each(lambda w: 2 * l2 * w),
                "The gradient of the L1 part is missing. Is its value computed outside the graph?",
            ),
            Wrong(
                "l1-only",
                each(lambda w: l1 * np.sign(w)),
                "The gradient of the L2 part is missing. Is its value computed outside the graph?",
            ),
            Wrong(
                "fading",
                each(lambda w: l1 * w + 2 * l2 * w),
                "The gradient of your L1 part fades with w. The slope of |w| stays plus or minus 1.",
            ),
            Wrong(
                "ascent",
                each(lambda w: -l1 * np.sign(w) - 2 * l2 * w),
                "This is the negative gradient. Return the gradient itself; the optimizer subtracts it.",
            ),
            Wrong(
                "zero",
                each(np.zeros_like),
                "All gradients are zero. Was the penalty computed from the tensors that you differentiate by?",
            ),
        ],
    )


@chapter.check(
    "sparsity",
    points=2,
    hint="Count the entries with |w| <= tol in all arrays, and divide by the number of all entries.",
    more="Write sum((np.abs(w) <= tol).sum() for w in weights) / sum(w.size for w in weights).",
)
def counts_small_weights(answer, rng):
    """is the share of all weights within tol of zero"""
    tol = rng.uniform(0.4, 0.6)
    # Layers of different size and sparsity, with more negative than positive weights.
    weights = [rng.uniform(0.7, 1.5, size=(6, 8)), rng.uniform(0.7, 1.5, size=(4, 2))]
    for w, small, negative in zip(weights, (29, 2), (31, 5), strict=True):
        flat = w.reshape(-1)
        flat[:small] *= 0.5 * tol
        flat[:negative] *= -1
        rng.shuffle(flat)
    total = sum(w.size for w in weights)

    def share(counts):
        return sum(counts(w).sum() for w in weights) / total

    def average(counts):
        return np.mean([counts(w).mean() for w in weights])

    def near(w):
        return np.abs(w) <= tol

    def below(w):
        return w < tol

    return compare(
        answer(weights, tol),
        share(near),
        wrong=[
            Wrong(
                "unrepaired",
                average(below),
                "This is still the colleague's report: it counts all negative weights, and gives every layer the same say.",
            ),
            Wrong(
                "signed",
                share(below),
                "Every negative weight counts as small. Compare the absolute value.",
            ),
            Wrong(
                "mean-of-means",
                average(near),
                "You averaged the layers' shares: a layer of 8 weights then counts as much as one of 48. Divide one count by one total.",
            ),
            Wrong(
                "percent",
                100 * share(near),
                "This is a percentage. Return a share from 0 to 1.",
            ),
            Wrong(
                "count",
                share(near) * total,
                "This is a number of weights. Divide by the number of all weights.",
            ),
            Wrong(
                "density",
                1 - share(near),
                "This is the share of weights that are not small, the density.",
            ),
            Wrong("first-only", near(weights[0]).mean(), "Only the first array is counted."),
            Wrong("last-only", near(weights[-1]).mean(), "Only the last array is counted."),
        ],
    )


@chapter.check(
    "sparsity",
    hint="A weight with |w| equal to tol counts: compare with <=. With tol = 0 the exact zeros count.",
    more="`abs(w) < 0` is never true, so a proximal step would seem to make no zeros.",
)
def counts_exact_zeros(answer, rng):
    """counts the exact zeros when tol is 0, and weights at the tolerance"""
    w = rng.permutation([0.0, 0.0, 0.0, 0.5, -0.5, 2.0, -3.0, 1.0])
    weights = [w, np.zeros((2, 1))]
    return compare(
        (answer(weights, 0.0), answer(weights, 0.5)),
        (0.5, 0.7),
        wrong=[
            Wrong(
                "strict",
                (0.0, 0.5),
                "A weight exactly at the tolerance does not count in your answer, so exact zeros vanish at tol = 0. Compare with <=.",
            ),
        ],
    )


@chapter.check(
    "activity_penalty",
    points=2,
    hint="Sum |a| over everything, multiply by lam, and divide by the number of rows.",
    more="Write lam * np.abs(outputs).sum() / len(outputs).",
)
def sums_units_and_averages_rows(answer, rng):
    """is summed over the units and averaged over the rows"""
    a, lam = rng.normal(size=(6, 4)), rng.uniform(0.1, 0.4)
    total = np.abs(a).sum()
    return compare(
        answer(a, lam),
        lam * total / 6,
        wrong=[
            Wrong(
                "summed",
                lam * total,
                "The division by the number of rows is missing: your penalty grows with the batch size.",
            ),
            Wrong(
                "mean",
                lam * total / 24,
                "You averaged over the units as well. Keras sums over the units: a wider layer costs more.",
            ),
            Wrong(
                "per-unit",
                lam * total / 4,
                "You divided by the number of units. Divide by the number of rows, the first axis.",
            ),
            Wrong(
                "squares",
                lam * (a**2).sum() / 6,
                "You added squares. That is an L2 activity penalty.",
            ),
            Wrong(
                "signed",
                lam * a.sum() / 6,
                "Positive and negative outputs cancel in your sum: take absolute values first.",
            ),
            Wrong("no-strength", total / 6, "The strength lam is missing."),
            Wrong(
                "per-row",
                lam * np.abs(a).sum(axis=1),
                "You return one value per row. Average them: the loss is one number.",
            ),
        ],
    )


@chapter.check(
    "activity_penalty",
    hint="Images have rows first, then height, width and channels. Divide by the number of rows only.",
    more="len(outputs) is the size of the first axis, whatever the others are.",
)
def reads_images(answer, rng):
    """divides by the number of rows for images too"""
    a = rng.normal(size=(3, 2, 4, 5))
    total = np.abs(a).sum()
    return compare(
        answer(a, 0.25),
        0.25 * total / 3,
        wrong=[
            Wrong(
                "positions",
                0.25 * total / 24,
                "You averaged over the positions of the image as well. Divide by the number of images only.",
            ),
            Wrong(
                "last-axis",
                0.25 * total / 5,
                "You divided by the last axis. The rows come first.",
            ),
        ],
    )


@chapter.check(
    "activity_penalty",
    hint="The penalty is an average over rows: the same rows twice must give the same penalty.",
    more="Divide by len(outputs), not by a fixed number.",
)
def does_not_depend_on_the_batch_size(answer, rng):
    """stays the same when every row appears twice"""
    a = rng.normal(size=(5, 3))
    value = 0.5 * np.abs(a).sum() / 5
    single, double = answer(a, 0.5), answer(np.vstack([a, a]), 0.5)
    return compare(
        (single, double),
        (value, value),
        wrong=[
            Wrong(
                "summed",
                (5 * value, 10 * value),
                "Twice the rows give twice the penalty: divide by the number of rows.",
            ),
        ],
    )
