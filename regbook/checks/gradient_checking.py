"""Checks of chapter 06, gradient checking."""

import itertools

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import AnswerError, Chapter, Failed, judge, outputs, vary

chapter = Chapter("06_gradient_checking")


# --- numeric_gradient ------------------------------------------------------------------------


def _centred(f, theta, step, eps):
    return (f(theta + step) - f(theta - step)) / (2 * eps)


def _numeric(f, theta, eps, *, quotient=_centred, dtype=float):
    gradient = np.zeros(theta.shape)
    for index in np.ndindex(theta.shape):
        step = np.zeros_like(theta, dtype)
        step[index] = eps
        gradient[index] = quotient(f, theta, step, eps)
    return gradient


def _in_place(f, theta, eps, *, last=0, dtype=float):
    """Move the entries of one array, and leave each at `last` steps from where it was."""
    moving, gradient = np.array(theta, dtype), np.zeros(theta.shape)
    for index in np.ndindex(theta.shape):
        kept = moving[index]
        moving[index] = kept + eps
        above = f(moving)
        moving[index] = kept - eps
        gradient[index] = (above - f(moving)) / (2 * eps)
        moving[index] = kept + last * eps
    return gradient


def _times(factor):
    """Return the mistake that is off by factor(eps)."""
    return lambda f, theta, eps: _numeric(f, theta, eps) * factor(eps)


def _one_sided(f, theta, step, eps):
    return (f(theta + step) - f(theta)) / eps


numeric_gradient = chapter.exercise(
    "numeric_gradient",
    _numeric,
    mistakes={
        "one-sided": [
            vary(_numeric, quotient=_one_sided),
            vary(_numeric, eps=lambda eps: -eps, quotient=_one_sided),
        ],
        "no two": _times(lambda eps: 2),
        "halved": _times(lambda eps: 1 / 2),
        "multiplied": [_times(lambda eps: eps**2), _times(lambda eps: 4 * eps**2)],
        "not divided": _times(lambda eps: 2 * eps),
        "sign": _times(lambda eps: -1),
        "all at once": vary(_numeric, quotient=lambda f, t, step, eps: _centred(f, t, eps, eps)),
        "not restored": [vary(_in_place, last=-1), vary(_in_place, last=1)],
        "own step": vary(_numeric, eps=1e-5),
        "zeros": lambda f, theta, eps: np.zeros(theta.shape),
        "absolute": lambda f, theta, eps: np.abs(_numeric(f, theta, eps)),
        "no negatives": lambda f, theta, eps: np.maximum(_numeric(f, theta, eps), 0),
        "rounded": [
            lambda f, theta, eps: np.round(_numeric(f, theta, eps), 2),
            lambda f, theta, eps: np.round(_numeric(f, theta, eps), 3),
        ],
        "float32": vary(_in_place, dtype=np.float32),
        "flat": lambda f, theta, eps: _numeric(f, theta, eps).ravel(),
        "call shape": lambda f, t, eps: _numeric(f, t.ravel(), eps).reshape(t.shape),
        "integer steps": [  # dtype=None keeps theta's own
            vary(_in_place, dtype=None),
            vary(_numeric, dtype=None),
        ],
        "integer gradient": lambda f, theta, eps: _numeric(f, theta, eps).astype(theta.dtype),
    },
    hints={
        "one-sided": "You have the one-sided quotient. Step to both sides: the error is then far smaller.",
        "no two": "The two points lie 2 * eps apart. You divided by eps alone.",
        "halved": "Your answer is half of the right one: divide by 2 * eps once.",
        "multiplied": "You multiplied by eps: / 2 * eps divides by 2 and then multiplies. Write / (2 * eps), with parentheses.",
        "not divided": "You did not divide by the distance, 2 * eps.",
        "sign": "The sign is wrong: subtract f(below) from f(above).",
        "all at once": "You moved all entries at once. Move one, and leave the others where they are.",
        "not restored": "f was called with more than one entry that differs from theta. Put an entry back, in its own place, before you move the next one.",
        "own step": "You used a step of your own. Use eps.",
        "zeros": "Your gradient is zero everywhere: do both calls of f get the same array, or is the quotient not stored?",
        "absolute": "Your gradient is never negative. Leave the difference as it is: no absolute values.",
        "no negatives": "Your gradient is 0 where it should be negative: f may fall when an entry grows.",
        "rounded": "You rounded. A gradient may be small as a whole: return all digits.",
        "float32": "A small step is lost in float32, which holds 7 digits. Work in float64.",
        "flat": "Your gradient is flat. Give it the shape of theta: reshape(theta.shape).",
        "call shape": "f takes an array of the shape of theta: a flat vector is another argument.",
        "integer steps": "theta holds integers, and an array of integers rounds a small step towards zero. Convert to float first.",
        "integer gradient": "Your gradient holds integers: np.zeros_like(theta) takes theta's type. Use np.zeros(theta.shape).",
    },
)


def _function(rng, shape, scale=1.0):
    """Draw a function that ties all entries together and has a third derivative.

    It falls when the first entry grows, for every theta that the checks use.
    """
    a, b = rng.uniform(0.5, 1.5, size=(2, *shape))
    c = rng.uniform(0.5, 1)

    def f(theta):
        theta = np.asarray(theta, dtype=float)
        ties = c * (b * theta).sum() ** 2
        return scale * float((a * theta**3).sum() + ties - 100 * theta.flat[0])

    return f


@numeric_gradient.check(
    points=3,
    hint="For each entry, call f twice: once with eps added to it, once with eps subtracted.",
    more="One entry, f = t**3, t = 2 and eps = 1: f is 27 above and 1 below, and 26 / 2 = 13.",
)
def divides_by_twice_the_step(ask, rng):
    """is (f(theta + eps) - f(theta - eps)) / (2 eps) for each entry, also for a large step"""
    theta = rng.permutation([-1, -1, 1, 1, 1]) * rng.uniform(1, 2, size=5)
    return ask(_function(rng, (5,), scale=0.003), theta, rng.uniform(0.3, 0.5))


@numeric_gradient.check(
    hint="The gradient has the shape of theta, whatever that is.",
    more="Loop over np.ndindex(theta.shape): it gives the index of each entry of any array.",
)
def keeps_the_shape(ask, rng):
    """works for matrices, for arrays with three axes, and for a single number"""
    shapes = {"a matrix": (2, 3), "three axes": (2, 1, 2), "a single number": ()}
    return {
        case: ask(_function(rng, shape), np.asarray(rng.uniform(1, 2, size=shape)), 0.25)
        for case, shape in shapes.items()
    }


@numeric_gradient.check(
    hint="An integer array cannot hold a small step: 1 + 1e-6 becomes 1 in it.",
    more="Work on theta.astype(float), and let the gradient be an array of floats.",
)
def takes_integers(ask, rng):
    """works for integer parameters, and for a small step"""
    return ask(_function(rng, (4,)), rng.permutation([-2, 0, 1, 4]), 1e-6)


@numeric_gradient.check(
    hint="f was called with an array that differs from theta in more than one entry, or in shape.",
    more="Make a fresh copy of theta for each call, and change one entry of it.",
)
def moves_one_entry_at_a_time(ask, rng):
    """calls f with theta's shape, one entry moved at a time, and no other left behind"""
    theta = rng.uniform(1, 2, size=(2, 3))
    calls = []
    inner = _function(rng, theta.shape)

    def f(point):
        calls.append(np.array(point, dtype=float))
        return inner(point) if calls[-1].shape == theta.shape else 0.0

    ask(f, theta, 0.25)
    if any(call.shape != theta.shape for call in calls):
        return judge(
            False, f"calls with shape {theta.shape}", "another shape", {"call shape": True}
        )
    moved = np.reshape([np.abs(call - theta) > 1e-6 for call in calls], (-1, theta.size))
    counts = moved.sum(axis=1)
    most = int(counts.max(initial=0))
    return judge(
        most == 1 and moved.any(axis=0).all(),
        "every entry moved, one in each call",
        f"{len(calls)} calls of f, at most {most} entries moved in one",
        {"all at once": set(counts) in ({theta.size}, {0, theta.size}), "not restored": most > 1},
    )


# --- relative_difference ---------------------------------------------------------------------

_norm = np.linalg.norm


def _quotient(a, b):
    return _norm(a - b) / (_norm(a) + _norm(b))


def _relative(a, b, *, quotient=_quotient, zero=0.0):
    return quotient(a, b) if np.any(a) or np.any(b) else zero


def _by(quotient):
    return vary(_relative, quotient=quotient)


def _each(a, b):
    return np.abs(a - b) / (np.abs(a) + np.abs(b))


def _padded(padding):
    return lambda a, b: _norm(a - b) / (_norm(a) + _norm(b) + padding)


relative_difference = chapter.exercise(
    "relative_difference",
    _relative,
    mistakes={
        "absolute": lambda a, b: _norm(a - b),
        "one norm": [
            lambda a, b: _norm(a - b) / (_norm(a) or 1.0),
            lambda a, b: _norm(a - b) / (_norm(b) or 1.0),
        ],
        "larger norm": _by(lambda a, b: _norm(a - b) / max(_norm(a), _norm(b))),
        "norm of the sum": _by(lambda a, b: _norm(a - b) / (_norm(a + b) or 1.0)),
        "difference of norms": _by(lambda a, b: abs(_norm(a) - _norm(b)) / (_norm(a) + _norm(b))),
        "squared": _by(lambda a, b: _norm(a - b) ** 2 / (_norm(a) ** 2 + _norm(b) ** 2)),
        "largest entry": [
            _by(lambda a, b: abs(a - b).max() / (abs(a).max() + abs(b).max())),
            _by(lambda a, b: _each(a, b).max()),
        ],
        "mean of entries": _by(lambda a, b: _each(a, b).mean()),
        "absolute sums": _by(lambda a, b: abs(a - b).sum() / (abs(a).sum() + abs(b).sum())),
        "spectral norm": _by(lambda a, b: _norm(a - b, 2) / (_norm(a, 2) + _norm(b, 2))),
        "doubled": lambda a, b: 2 * _relative(a, b),
        "halved": lambda a, b: _relative(a, b) / 2,
        "zero by zero": _quotient,
        "one zero is enough": lambda a, b: _relative(a, b) if np.any(a) and np.any(b) else 0.0,
        "one at zero": vary(_relative, zero=1.0),
        "padded": [
            *map(_padded, (1e-16, 1e-15, 1e-12, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-3)),
            lambda a, b: _relative(a, b) if _norm(a) + _norm(b) > 1e-7 else 0.0,
        ],
        "rounded": [
            lambda a, b, digits=digits: np.round(_relative(a, b), digits) for digits in (2, 3, 4)
        ],
    },
    hints={
        "absolute": "You did not divide by the norms.",
        "one norm": "You divided by the norm of one of the two alone. Add the norm of the other.",
        "larger norm": "You divided by the larger norm. Divide by the sum of the two.",
        "norm of the sum": "You divided by the norm of a + b. Take the two norms first, then add them.",
        "difference of norms": "You subtracted the norms. Two gradients of equal length can point in different directions: take the norm of a - b.",
        "squared": "You have squared norms: take the roots.",
        "largest entry": "You took the largest entry. The norm is the root of the sum of all squares.",
        "mean of entries": "You averaged over entries: one that is almost zero then counts as much as a large one.",
        "absolute sums": "You added absolute values. The norm is the root of the sum of the squares.",
        "spectral norm": "For a matrix, norm(a, 2) is the largest singular value. Leave the 2 out, or flatten first.",
        "doubled": "Your answer is twice the right one; the largest possible value is 1.",
        "halved": "Your answer is half of the right one.",
        "zero by zero": "0 / 0 is not a number. If both norms are 0, return 0.",
        "one zero is enough": "You return 0 when one of the two is zero. That hides a backward pass that returns zeros.",
        "one at zero": "Two zero gradients agree completely: return 0.",
        "padded": "You add a small number to the denominator, or take tiny gradients for zero: both hide a bug in them. Only a total of exactly 0 needs care.",
        "rounded": "You rounded. Differences of 1e-7 and of 1e-3 mean different things here: return all digits.",
    },
)


@relative_difference.check(
    points=2,
    hint="One norm above the line, the sum of two norms below it.",
    more="[3, 4] and [6, 8] have the norms 5 and 10, their difference has 5, and 5 / 15 = 1/3. np.linalg.norm takes any array.",
)
def divides_the_norms(ask, rng):
    """is the norm of a - b divided by the sum of the norms of a and b"""
    a = rng.normal(size=(3, 4)) * [[0.1], [1.0], [3.0]]  # rows that agree less, and better
    b = 2 * a + rng.normal(size=(3, 4)) * [[1.0], [1.0], [2.0]]
    a[0, 0] = 0.0
    close = rng.normal(size=(3, 4))
    close = b + 0.00247 * _norm(b) / _norm(close) * close  # the answer is about 0.001235
    return {"two matrices": ask(a, b), "two that almost agree": ask(b, close)}


@relative_difference.check(
    hint="Two gradients that are both exactly zero agree: the answer is 0.",
    more="If the sum of the norms is 0, return 0.0 before you divide.",
)
def is_zero_for_two_zeros(ask, rng):
    """is 0 when both are zero"""
    zero = np.zeros(rng.integers(2, 5))
    received = ask(zero, zero)
    if isinstance(received, np.ndarray) and received.size == 1 and np.isnan(received).all():
        raise Failed("0", "NaN", "zero by zero")
    return received


@relative_difference.check(
    hint="When only one of the two is zero, they differ as much as they can: the answer is 1.",
    more="The special case is: both norms are 0. One zero norm needs no special treatment.",
)
def is_one_for_a_zero_and_something(ask, rng):
    """is 1 when only one of them is zero, and when one is minus the other"""
    a, zero = rng.normal(size=4), np.zeros(4)
    return {"b is zero": ask(a, zero), "a is zero": ask(zero, a), "b is -a": ask(a, -a)}


@relative_difference.check(
    hint="Gradients can be tiny. Multiplying both by a constant must not change the answer.",
    more="Add nothing to the denominator, and compare the total with 0, not with a small number.",
)
def ignores_the_scale(ask, rng):
    """does not change when both gradients are multiplied by 1e-15"""
    a, b = rng.normal(size=(2, 2, 3, 1))
    return ask(1e-15 * a, 1e-15 * b)


# --- autograd_gradients ----------------------------------------------------------------------


def _gradients(
    theta,
    x,
    y,
    lam,
    *,
    error=lambda p, t: (p - t) / len(t),
    of_kernel=lambda w, lam: 2 * lam * w,
    of_bias=lambda b, lam: 0.0,
    linear=False,
    last_tanh=False,
):
    """Return the gradients; `error` is that of the loss at the logits, the others are penalties."""
    theta = [np.asarray(t, dtype=float) for t in theta]
    inputs = [np.asarray(x, dtype=float)]
    for w, b in zip(theta[::2], theta[1::2], strict=True):
        z = inputs[-1] @ w + b
        inputs.append(z if linear else np.tanh(z))
    p = softmax(inputs[-1] if last_tanh else z)
    d = error(p, np.eye(p.shape[1])[y])
    if last_tanh:
        d = d * (1 - inputs[-1] ** 2)
    found = []
    for a, w, b in zip(inputs[-2::-1], theta[-2::-2], theta[::-2], strict=True):
        found = [a.T @ d + of_kernel(w, lam), d.sum(axis=0) + of_bias(b, lam), *found]
        d = d @ w.T * (1 if linear else 1 - a**2)
    return tuple(found)


def _through_softmax(d, p):
    return p * (d - (d * p).sum(axis=1, keepdims=True))


def _double_softmax(p, t):
    return _through_softmax((softmax(p) - t) / len(t), p)


def _squared_error(p, t):
    return _through_softmax(2 * (p - t) / t.size, p)


autograd_gradients = chapter.exercise(
    "autograd_gradients",
    _gradients,
    mistakes={
        "no penalty": vary(_gradients, lam=0.0),
        "half penalty": vary(_gradients, lam=lambda lam: lam / 2),
        "bias penalised": vary(_gradients, of_bias=lambda b, lam: 2 * lam * b),
        "mean penalty": vary(_gradients, of_kernel=lambda w, lam: 2 * lam * w / w.size),
        "summed": vary(_gradients, error=lambda p, t: p - t),
        "double softmax": vary(_gradients, error=_double_softmax),
        "squared error": vary(_gradients, error=_squared_error),
        "tanh on the logits": vary(_gradients, last_tanh=True),
        "no activation": vary(_gradients, linear=True),
        "sign": lambda theta, x, y, lam: tuple(-g for g in _gradients(theta, x, y, lam)),
    },
    hints={
        "no penalty": "The penalty is missing.",
        "half penalty": "Your penalty is lam / 2 times the squares, PyTorch's weight_decay convention. Here it is lam * (w**2).sum().",
        "bias penalised": "You penalise the biases too. Only kernels carry the penalty.",
        "mean penalty": "You took the mean of the squares. The penalty is their sum.",
        "summed": "Your cross-entropy is a sum over the rows. Take the mean.",
        "double softmax": "You pass probabilities to a loss that applies softmax itself. Pass the logits.",
        "squared error": "That is the squared error of the probabilities. The loss is the cross-entropy.",
        "tanh on the logits": "You apply tanh to the last layer too. It has no activation.",
        "no activation": "The hidden layers need tanh.",
        "sign": "The sign is turned: return the gradient, not the descent direction.",
        "float32": "The values are right to the precision of float32 only. Convert parameters and inputs to float64 before you compute, and add no small number inside a logarithm.",
    },
)


def _deep(rng, sizes):
    """Draw the arguments for a network of these sizes."""
    theta = []
    for n_in, n_out in itertools.pairwise(sizes):
        theta += [rng.normal(scale=n_in**-0.5, size=(n_in, n_out)), rng.normal(size=n_out)]
    x, y = rng.normal(size=(7, sizes[0])), rng.permutation(np.arange(7) % sizes[-1])
    lam = float(np.float32(rng.uniform(0.1, 0.3))) * (1 + 3e-8)  # not a number of float32
    return [np.float32(t) for t in theta], np.float32(x), y, lam


@autograd_gradients.check(
    points=3,
    hint="Build the loss of the exercise term by term, and let the framework differentiate it.",
    more="Mean cross-entropy of the logits plus lam * (w**2).sum() for each kernel; tanh on hidden layers only.",
)
def differentiates_the_loss(ask, rng):
    """gives the gradients of the mean cross-entropy plus the penalty, for three layers"""
    return ask(*_deep(rng, (4, 3, 5, 3)))


@autograd_gradients.check(
    hint="The network may have any number of layers, one included.",
    more="Loop over the pairs (w, b); tanh comes between two layers only.",
)
def works_for_any_depth(ask, rng):
    """works for one layer and for two"""
    return {"one layer": ask(*_deep(rng, (3, 4))), "two layers": ask(*_deep(rng, (2, 3, 2)))}


@autograd_gradients.check(
    points=2,
    hint="Some step still computes in float32: nine digits need float64 from the start.",
    more="Every tensor must be of float64, lam included. PyTorch: .double(). Keras: np.float64 before tf.Variable, and a loss function, or a loss object with dtype='float64'.",
)
def computes_in_float64(ask, rng):
    """is accurate to nine digits, as a reference for gradient checking must be"""
    arguments = _deep(rng, (4, 5, 3))
    right = _gradients(*arguments)
    received = outputs(ask(*arguments), *[g.shape for g in right])
    worst = max(map(_relative, received, right))
    if 1e-9 < worst < 1e-2:
        expected = "a relative difference below 1e-9"
        raise Failed(expected, f"{worst:.0e}", "float32" if worst < 1e-4 else "")
    return received  # right to nine digits, or wrong in a way that a mistake may explain


# --- find_the_bug ----------------------------------------------------------------------------


def _backward(
    theta,
    x,
    y,
    lam,
    *,
    rows=True,
    two=2.0,
    over_rows=np.sum,
    slope=lambda a: 1 - a**2,
    step=lambda a: a > 0,
    penalty=1.0,
    of_bias=lambda b, lam: 0.0,
):
    """Return the gradients of two hidden layers, tanh and ReLU, under a cross-entropy and L2.

    rows, two, over_rows, slope: the four wrong lines of the exercise, mended. The others are right
    there, and a learner may spoil them.
    """
    w1, b1, w2, b2, w3, b3 = (np.asarray(t, dtype=float) for t in theta)
    a1 = np.tanh(x @ w1 + b1)
    a2 = np.maximum(a1 @ w2 + b2, 0)
    dz3 = softmax(a2 @ w3 + b3) - np.eye(len(b3))[y]
    dz3 = dz3 / len(y) if rows else dz3
    dz2 = (dz3 @ w3.T) * step(a2)
    dz1 = (dz2 @ w2.T) * slope(a1)
    lam = penalty * lam
    return [
        x.T @ dz1 + 2 * lam * w1,
        dz1.sum(axis=0) + of_bias(b1, lam),
        a1.T @ dz2 + 2 * lam * w2,
        over_rows(dz2, axis=0) + of_bias(b2, lam),
        a2.T @ dz3 + two * lam * w3,
        dz3.sum(axis=0) + of_bias(b3, lam),
    ]


def _rows_at_the_end(theta, x, y, lam):
    """Divide the gradients, their penalty included, by the number of rows."""
    return [g / len(y) for g in _backward(theta, x, y, lam, rows=False)]


def _cross_entropy(theta, x, y, lam):
    w1, b1, w2, b2, w3, b3 = theta
    logits = np.maximum(np.tanh(x @ w1 + b1) @ w2 + b2, 0) @ w3 + b3
    entropy = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]
    return entropy.mean() + lam * sum((w**2).sum() for w in (w1, w2, w3))


def _by_quotients(theta, x, y, lam, eps=1e-5):
    """Measure the gradients: what a backward pass is there to save."""
    found = [np.zeros(t.shape) for t in theta]
    for i, gradient in enumerate(found):
        moved = [np.array(t, dtype=float) for t in theta]
        for index in np.ndindex(gradient.shape):
            kept = moved[i][index]
            moved[i][index] = kept + eps
            above = _cross_entropy(moved, x, y, lam)
            moved[i][index] = kept - eps
            gradient[index] = (above - _cross_entropy(moved, x, y, lam)) / (2 * eps)
            moved[i][index] = kept
    return found


find_the_bug = chapter.exercise(
    "find_the_bug",
    _backward,
    mistakes={
        "as it was": vary(
            _backward, rows=False, two=1.0, over_rows=np.mean, slope=lambda a: a * (1 - a)
        ),
        "not divided": vary(_backward, rows=False),
        "no two": vary(_backward, two=1.0),
        "mean": vary(_backward, over_rows=np.mean),
        "sigmoid's slope": vary(_backward, slope=lambda a: a * (1 - a)),
        "hidden by another": vary(_backward, rows=False, over_rows=np.mean),
        "no slope": vary(_backward, slope=lambda a: 1.0),
        "tanh of tanh": vary(_backward, slope=lambda a: 1 - np.tanh(a) ** 2),
        "penalty divided": [
            _rows_at_the_end,
            lambda theta, x, y, lam: _backward(theta, x, y, lam / len(y)),
        ],
        "no penalty": vary(_backward, penalty=0.0),
        "halved penalty": vary(_backward, penalty=0.5),
        "biases penalised": vary(_backward, of_bias=lambda b, lam: 2 * lam * b),
        "relu": vary(_backward, step=lambda a: a),
        "order": lambda *arguments: [
            g for i in (4, 2, 0) for g in _backward(*arguments)[i : i + 2]
        ],
        "sign": lambda *arguments: [-g for g in _backward(*arguments)],
        "quotients": _by_quotients,
        "float32": lambda *arguments: [np.float32(g) for g in _backward(*arguments)],
    },
    hints={
        "as it was": "These are the gradients of the code above, with all four wrong lines. Measure each array by difference quotients, and begin with those of the last layer, on which all others depend.",
        "not divided": "The loss is a mean over the rows, so its slope at the logits carries 1 / len(y).",
        "no two": "The derivative of lam * w**2 is 2 * lam * w. Compare the three lines that hold the penalty.",
        "mean": "A bias enters every row, so its gradient is the sum of dz over the rows. Dividing by the number of rows happens once, at the logits.",
        "sigmoid's slope": "a * (1 - a) is the slope of the logistic function. The first layer has tanh.",
        "hidden by another": "Two bugs hide each other here: a sum that is not divided by the rows, and a mean instead of a sum. Mend the earlier line first, and then check every array again, also those that had passed.",
        "no slope": "The slope of the first layer is gone: dz1 needs the derivative of tanh.",
        "tanh of tanh": "a1 is the tanh already, so its slope is 1 - a1**2, without another tanh.",
        "penalty divided": "You divided the penalty by the number of rows as well. Only the cross-entropy is a mean: divide dz3.",
        "no penalty": "The penalty is missing.",
        "halved penalty": "You made the three penalties agree, on the wrong side: the derivative of lam * w**2 is 2 * lam * w.",
        "biases penalised": "You penalise the biases too. The loss penalises only the kernels.",
        "relu": "The second layer has ReLU. Its slope is 1 where the output is above 0, and 0 elsewhere: a2 > 0 was right.",
        "order": "Return the gradients in the order of theta: the first layer first.",
        "sign": "The sign is turned: return the gradient, not the direction of descent.",
        "quotients": "These look like difference quotients. They tell you which line is wrong; mend the line, and return what the backward pass computes, which has all its digits.",
        "float32": "The values have seven digits only. Leave everything in float64.",
    },
)


def _drawn(rng, sizes, rows):
    """Draw the arguments for a network of these sizes, away from the kinks of ReLU."""
    while True:
        theta = []
        for n_in, n_out in itertools.pairwise(sizes):
            theta.append(rng.normal(scale=n_in**-0.5, size=(n_in, n_out)))
            theta.append(rng.choice([-1, 1], size=n_out) * rng.uniform(0.2, 0.6, size=n_out))
        x, y = rng.normal(size=(rows, sizes[0])), rng.permutation(np.arange(rows) % sizes[-1])
        z2 = np.tanh(x @ theta[0] + theta[1]) @ theta[2] + theta[3]
        if (np.abs(z2) > 1e-3).all() and (z2 > 0).any(axis=0).all():
            return theta, x, y, float(rng.uniform(0.05, 0.1))


def _part(ask, rng, layer, scale=1):
    """Ask for all gradients; return those of one layer. scale: of the last kernel."""
    arguments = _drawn(rng, (4, 3, 4, 3), rows=5)
    arguments[0][4] *= scale
    return tuple(outputs(ask(*arguments), *[t.shape for t in arguments[0]])[2 * layer :][:2])


@find_the_bug.check(
    points=3,
    hint="The gradients of the last layer are not those of the loss.",
    more="Look at dz3, from which everything is made, and at the penalty of w3.",
)
def mends_the_last_layer(ask, rng):
    """returns the right gradients of w3 and b3, also for logits in the thousands"""
    return {"ordinary logits": _part(ask, rng, 2), "large ones": _part(ask, rng, 2, scale=1e4)}


@find_the_bug.check(
    points=2,
    hint="The gradients of the second layer are not those of the loss.",
    more="A gradient that passed while another line was wrong may fail when that line is mended: check all arrays again after every change.",
)
def mends_the_second_layer(ask, rng):
    """returns the right gradients of w2 and b2"""
    return _part(ask, rng, 1)


@find_the_bug.check(
    points=2,
    hint="The gradients of the first layer are not those of the loss.",
    more="Is the slope in the line of dz1 that of the activation which the forward pass uses?",
)
def mends_the_first_layer(ask, rng):
    """returns the right gradients of w1 and b1"""
    return _part(ask, rng, 0)


@find_the_bug.check(
    points=2,
    hint="The gradients are nearly right. A backward pass gives them to twelve digits.",
    more="Do not return difference quotients, and keep everything in float64.",
)
def has_all_digits(ask, rng):
    """is right to twelve digits, as a backward pass is and a difference quotient is not"""
    arguments = _drawn(rng, (6, 5, 5, 3), rows=8)
    right = _backward(*arguments)
    received = outputs(ask(*arguments), *[g.shape for g in right])
    worst = max(map(_relative, received, right))
    if 1e-12 < worst < 1e-5:
        name = "float32" if worst > 1e-8 else "quotients"
        raise Failed("a relative difference below 1e-12", f"{worst:.0e}", name)
    return received


# --- audit_gradients -------------------------------------------------------------------------

BUDGET = 40
ROWS = 30
NAMES = ("w1", "b1", "w2", "b2", "w3", "b3")
GROSS = ("factor", "sign", "penalty", "zero")


class _Audit:
    """A network with a loss that counts its calls, and a backward pass that may be wrong.

    kind: "smooth" (tanh twice), "kinked" (ReLU in the second layer, with inputs close to 0) or
    "centred" (the first layer subtracts the mean of the batch, so that b1 has the gradient 0).
    faults: (array, kind of the fault) pairs. scale: of the loss.
    """

    def __init__(self, rng, kind="smooth", scale=1.0, faults=()):
        self.kind, self.scale, self.faults, self.calls = kind, scale, dict(faults), 0
        sizes = itertools.pairwise((8, 12, 10, 4))
        self.theta = {}
        for i, (n_in, n_out) in enumerate(sizes, start=1):
            self.theta[f"w{i}"] = rng.normal(scale=1.5 * n_in**-0.5, size=(n_in, n_out))
            self.theta[f"b{i}"] = rng.choice([-1, 1], n_out) * rng.uniform(0.2, 0.6, n_out)
        self.x = rng.normal(size=(ROWS, 8))
        self.targets = np.eye(4)[rng.permutation(np.arange(ROWS) % 4)]
        self.unit = {name: rng.integers(t.shape[-1]) for name, t in self.theta.items()}
        if kind == "kinked":  # each unit has rows just below and just above its kink
            z2 = self._forward(self.theta)[1] @ self.theta["w2"]
            near = z2[rng.integers(ROWS, size=10), np.arange(10)]
            self.theta["b2"] = -near + rng.choice([-1, 1], 10) * rng.uniform(2e-4, 4e-4, 10)

    def _forward(self, theta):
        z1 = self.x @ theta["w1"] + theta["b1"]
        if self.kind == "centred":
            z1 = z1 - z1.mean(axis=0)
        a1 = np.tanh(z1)
        z2 = a1 @ theta["w2"] + theta["b2"]
        a2 = np.maximum(z2, 0) if self.kind == "kinked" else np.tanh(z2)
        return z1, a1, z2, a2, a2 @ theta["w3"] + theta["b3"]

    def loss(self, theta):
        self.calls += 1
        theta = {name: np.asarray(theta[name], dtype=float) for name in NAMES}
        if any(theta[name].shape != self.theta[name].shape for name in NAMES):
            raise ValueError("loss needs a dict of arrays, each with the shape it has in theta")
        logits = self._forward(theta)[-1]
        entropy = np.logaddexp.reduce(logits, axis=1) - (logits * self.targets).sum(axis=1)
        penalty = 0.02 * sum((theta[name] ** 2).sum() for name in ("w1", "w2", "w3"))
        return float(self.scale * (entropy.mean() + penalty))

    def right(self, theta):
        """Return the right gradients."""
        _, a1, z2, a2, logits = self._forward(theta)
        dz3 = (softmax(logits) - self.targets) / ROWS
        dz2 = (dz3 @ theta["w3"].T) * (z2 > 0 if self.kind == "kinked" else 1 - a2**2)
        dz1 = (dz2 @ theta["w2"].T) * (1 - a1**2)
        if self.kind == "centred":
            dz1 = dz1 - dz1.mean(axis=0)
        layers = zip((self.x, a1, a2), (dz1, dz2, dz3), strict=True)
        found = {}
        for i, (a, dz) in enumerate(layers, start=1):
            found[f"w{i}"] = a.T @ dz + 0.04 * theta[f"w{i}"]
            found[f"b{i}"] = dz.sum(axis=0)
        return {name: self.scale * g for name, g in found.items()}

    def backward(self, theta):
        theta = {name: np.asarray(theta[name], dtype=float) for name in NAMES}
        found = self.right(theta)
        for name, fault in self.faults.items():
            g, unit = found[name], self.unit[name]
            if fault == "one unit":
                g[..., unit] = 0
            elif fault == "penalty":  # its two is missing, or a bias has one
                sign = 0.02 if name[0] == "b" else -0.02
                found[name] = g + sign * self.scale * theta[name]
            else:
                found[name] = g * {"factor": 1.1, "sign": -1, "zero": 0, "small": 1.002}[fault]
        return found


def _audited(ask, case, budget=BUDGET):
    """Return the names that an answer calls wrong, as a set."""

    def loss(theta):
        return case.loss(theta)

    def backward(theta):
        return case.backward(theta)

    loss.case = case  # where the right answer and some mistakes look up what is wrong
    received = ask(loss, backward, case.theta, budget)
    if not isinstance(received, dict) or set(received) != set(NAMES):
        raise AnswerError(
            f"Return a dict with the names of theta, {', '.join(NAMES)}: for each, whether its "
            "gradient is wrong."
        )
    if any(np.size(value) != 1 for value in received.values()):
        raise AnswerError("Return one True or False for each name.")
    return {name for name, value in received.items() if np.asarray(value).item()}


def _named(found):
    """Return names in the order of the network, for a sentence."""
    return ", ".join(name for name in NAMES if name in found) or "none"


def _audit_known(loss, backward, theta, budget):
    """The right answer: it looks up what a learner has to measure."""
    return {name: name in loss.case.faults for name in NAMES}


def _measured(
    loss, backward, theta, budget, *,
    eps=1e-5, directions=3, threshold=1e-4, noise=1e-9, absolute=None, one_sided=False,
    entries=False, together=False, first=False, only="wb", dtype=float,
):  # fmt: skip
    """Audit along random directions within each array; the options are what goes wrong in it."""
    rng = np.random.default_rng(len(theta))
    claimed, here = backward(theta), loss(theta)
    wrong = dict.fromkeys(NAMES, False)
    groups = [NAMES] if together else [[name] for name in NAMES if name[0] in only]
    for group in groups:
        for _ in range(directions):
            along = {name: rng.normal(size=theta[name].shape) for name in group}
            if entries:  # single entries: the first of each row
                along = {name: np.zeros_like(step) for name, step in along.items()}
                for step in along.values():
                    step.flat[rng.integers(step.size)] = 1
            length = np.sqrt(sum((step**2).sum() for step in along.values()))
            plus, minus = (
                {n: np.asarray(t + s * eps / length * along.get(n, 0), dtype)
                 for n, t in theta.items()}
                for s in (1, -1)
            )  # fmt: skip
            above, below = loss(plus), here if one_sided else loss(minus)
            slope = (dtype(above) - dtype(below)) / (eps if one_sided else 2 * eps)
            told = sum((claimed[n] * along[n]).sum() for n in group) / length
            limit = threshold * (abs(slope) + abs(told)) + noise * abs(here)
            if abs(slope - told) > (limit if absolute is None else absolute):
                wrong |= dict.fromkeys(group, True)
        if first and any(wrong.values()):
            break
    return wrong


audit_gradients = chapter.exercise(
    "audit_gradients",
    _audit_known,
    mistakes={
        "none": lambda loss, backward, theta, budget: dict.fromkeys(NAMES, False),
        "all": lambda loss, backward, theta, budget: dict.fromkeys(NAMES, True),
        "upside down": lambda *arguments: {
            name: not wrong for name, wrong in _audit_known(*arguments).items()
        },
        "not told apart": vary(_measured, together=True),
        "few entries": vary(_measured, entries=True),
        "over budget": vary(_measured, directions=40),
        "first only": vary(_measured, first=True),
        "kernels only": vary(_measured, only="w"),
        "absolute": [vary(_measured, absolute=1e-6), vary(_measured, absolute=1e-4)],
        "zero gradient": vary(_measured, noise=0.0),
        "kink": vary(_measured, eps=1e-3),
        "right ones accused": [
            vary(_measured, one_sided=True, eps=1e-4),
            vary(_measured, eps=1e-13),
            vary(_measured, eps=0.3),
            vary(_measured, threshold=1e-11, noise=1e-13),
            vary(_measured, dtype=np.float32),
        ],
        "too lax": [vary(_measured, threshold=1e-2), vary(_measured, threshold=5e-3, noise=1e-7)],
    },
    hints={
        "none": "You call no gradient wrong, whatever it is. Compare backward with slopes that you measure by loss.",
        "all": "You call every gradient wrong, whatever it is. A right one agrees with the measured slopes in many digits.",
        "upside down": "You call the right ones wrong, and the wrong ones right. A small difference is good.",
        "not told apart": "One direction through all arrays says that something is wrong, and not where. Move one array at a time.",
        "few entries": "Single entries miss a fault that sits in one unit. A random direction moves all entries of an array at once, for the same two calls.",
        "over budget": "You call loss more often than the budget allows. A direction takes two calls, whatever the size of the array; one quotient for each entry takes hundreds.",
        "first only": "You stop at the first wrong array. There may be another.",
        "kernels only": "You look at the kernels alone. The gradient of a bias can be wrong as well.",
        "absolute": "Your verdict depends on the scale of the loss. Divide the difference by the size of the slopes.",
        "zero gradient": "One gradient is truly zero here, and what you measured is rounding noise, about 1e-16 * abs(loss) / eps. Relative to zero any noise is large: allow for it.",
        "kink": "In one network many inputs of ReLU lie close to its kink, and your step carries some across. Take a smaller step, near 1e-5.",
        "right ones accused": "You call right gradients wrong. A threshold must lie above the error of the quotient: take the centred one in float64, with a step near 1e-5 (a tiny one drowns in rounding, a large one is inexact), and a threshold near 1e-4.",
        "too lax": "A gradient that is off by a factor of 1.002 passes. A right one differs by far less, about 1e-8 here, so the threshold may lie much lower.",
    },
)


def _tell(received, cases):
    """Return the first disagreement in words, or what holds."""
    for case, found in zip(cases, received, strict=True):
        if found != set(case.faults):
            return _named(case.faults), f"{_named(found)} (of the network with {case.kind} layers)"
    return "the wrong ones, and no others", "the wrong ones, and no others"


def _faults_seen(cases, found):
    """Return the conditions that name what went wrong over several networks."""
    pairs = list(zip(cases, found, strict=True))
    missed = {(c.scale, n, k) for c, f in pairs for n, k in c.faults.items() if n not in f}
    accused = {(c.kind, c.scale, n) for c, f in pairs for n in f if n not in c.faults}
    return {
        "over budget": max(c.calls for c in cases) > BUDGET,
        "too lax": not accused and missed and all(k in ("small", "factor") for *_, k in missed),
        "none": not any(found),
        "all": all(f == set(NAMES) for f in found) and not any(c.calls for c in cases),
        "upside down": missed and all(f == set(NAMES) - set(c.faults) for c, f in pairs),
        "not told apart": accused and not all(f for _, f in pairs)
        and all(f == set(NAMES) and c.faults for c, f in pairs if f),
        "few entries": not accused and missed and all(k == "one unit" for *_, k in missed),
        "absolute": all(s < 1 for s, *_ in missed) and all(s > 1 for _, s, _ in accused),
        "kernels only": not accused and missed and all(n[0] == "b" for _, n, _ in missed),
        "first only": not accused and missed and all(
            any(n in f for n in c.faults) for c, f in pairs if c.faults),
        "zero gradient": accused and all((k, n) == ("centred", "b1") for k, _, n in accused),
        "kink": accused and all(k == "kinked" for k, *_ in accused),
        "right ones accused": bool(accused),
    }  # fmt: skip


def _judged(ask, cases):
    """Audit each network; pass when exactly the wrong arrays are named."""
    found = [_audited(ask, case) for case in cases]
    passed = all(f == set(case.faults) for case, f in zip(cases, found, strict=True))
    return judge(passed, *_tell(found, cases), _faults_seen(cases, found))


def _faulty(rng, scale, *names):
    """Draw a smooth network of which some arrays, else one, have wrong gradients."""
    names = names or [str(rng.choice(NAMES))]
    return _Audit(rng, scale=scale, faults=[(n, str(rng.choice(GROSS))) for n in names])


@audit_gradients.check(
    points=3,
    hint="A network has wrong gradients that you do not name, or right ones that you do.",
    more="For each array: draw a random direction of length 1, measure the slope of the loss along it by a centred quotient, and compare it with the inner product of the direction and the gradient.",
)
def names_the_wrong_arrays(ask, rng):
    """names exactly the arrays whose gradients are wrong, at every scale of the loss"""
    scales = 1e-6, 1.0, 1e6
    two = [("w1", "w3"), ("b1", "b2"), ("b1", "w2")]
    cases = [_Audit(rng, scale=scale) for scale in scales]
    cases += [_faulty(rng, scale) for scale in scales]
    cases += [_faulty(rng, s, *two[i]) for s, i in zip(scales, rng.permutation(3), strict=True)]
    cases += [_Audit(rng, scale=s, faults=[(n, "one unit")]) for s in scales for n in ("w1", "w2")]
    return _judged(ask, cases)


@audit_gradients.check(
    points=3,
    hint="You call a right gradient wrong.",
    more="Two networks are hard: in one some inputs of ReLU lie near the kink, in the other a true gradient is zero.",
)
def accuses_no_right_gradient(ask, rng):
    """accuses no right gradient near a kink, nor one that is truly zero"""
    return _judged(ask, [_Audit(rng, kind) for kind in ("smooth", "kinked", "centred") * 2])


@audit_gradients.check(
    points=2,
    hint="A small fault passes.",
    more="It is a factor of 1.002. The relative difference of a right gradient is about 1e-8 here.",
)
def sees_a_small_fault(ask, rng):
    """sees a factor of 1.002"""
    faults = [[(name, "small")] for name in rng.permutation(NAMES)[:4]]
    return _judged(ask, [_Audit(rng, faults=fault) for fault in faults])


@audit_gradients.check(
    points=2,
    hint="You call loss too often.",
    more="Six arrays and 40 calls: three directions for each array take 36.",
)
def keeps_the_budget(ask, rng):
    """calls the loss at most 40 times for a network with 282 parameters"""
    case = _faulty(rng, 1.0)
    _audited(ask, case)
    received = f"{case.calls} calls"
    if not case.calls:
        raise Failed("calls of loss", "none, so nothing was measured")
    return judge(case.calls <= BUDGET, f"at most {BUDGET} calls", received,
                 {"over budget": True})  # fmt: skip
