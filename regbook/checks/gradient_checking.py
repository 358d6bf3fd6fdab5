"""Checks of chapter 06, gradient checking."""

import functools
import itertools
from types import SimpleNamespace

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import AnswerError, Chapter, Failed, brief, judge, outputs, vary

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

NAMES = ("w1", "b1", "w2", "b2")
# Each bug is the wrong value of one line, made from the parts that a backward pass holds.
BUGS = {
    "dz2": [lambda v: v.d * v.m, lambda v: v.d / v.m, lambda v: -v.d],
    "dw2": [
        lambda v: v.data2,
        lambda v: v.data2 + v.lam * v.w2,
        lambda v: v.data2 - 2 * v.lam * v.w2,
        lambda v: -v.data2 + 2 * v.lam * v.w2,
    ],
    "db2": [
        lambda v: v.dz2.mean(axis=0),
        lambda v: v.dz2.sum(axis=0) + 2 * v.lam * v.b2,
        lambda v: 0 * v.b2,
        lambda v: -v.dz2.sum(axis=0),
    ],
    "dz1": [
        lambda v: v.back,
        lambda v: v.back * v.a * (1 - v.a),
        lambda v: -v.back * (1 - v.a**2),
    ],
    "dw1": [
        lambda v: v.data1,
        lambda v: v.data1 + v.lam * v.w1,
        lambda v: v.data1 - 2 * v.lam * v.w1,
        lambda v: -v.data1 + 2 * v.lam * v.w1,
    ],
    "db1": [
        lambda v: v.dz1.mean(axis=0),
        lambda v: v.dz1.sum(axis=0) + 2 * v.lam * v.b1,
        lambda v: 0 * v.b1,
        lambda v: -v.dz1.sum(axis=0),
    ],
}


def _small_bug(v):
    return 1.001 * v.back * (1 - v.a**2)


def _backward(theta, x, y, lam, line="", bug=None):
    """Return the gradients, with the value of one line replaced."""
    v = SimpleNamespace(**{name: np.asarray(theta[name]) for name in NAMES}, lam=lam, m=len(y))

    def value(name, right):
        return bug(v) if name == line else right

    v.a = np.tanh(x @ v.w1 + v.b1)
    v.d = (softmax(v.a @ v.w2 + v.b2) - np.eye(2)[y]) / v.m
    v.dz2 = value("dz2", v.d)
    v.data2 = v.a.T @ v.dz2
    dw2 = value("dw2", v.data2 + 2 * v.lam * v.w2)
    db2 = value("db2", v.dz2.sum(axis=0))
    v.back = v.dz2 @ v.w2.T
    v.dz1 = value("dz1", v.back * (1 - v.a**2))
    v.data1 = x.T @ v.dz1
    dw1 = value("dw1", v.data1 + 2 * v.lam * v.w1)
    db1 = value("db1", v.dz1.sum(axis=0))
    return {"w1": dw1, "b1": db1, "w2": dw2, "b2": db2}


def _loss(theta, x, y, lam):
    logits = np.tanh(x @ theta["w1"] + theta["b1"]) @ theta["w2"] + theta["b2"]
    entropy = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]
    return float(entropy.mean() + lam * ((theta["w1"] ** 2).sum() + (theta["w2"] ** 2).sum()))


def _line(wrong, two="dz1", four="dz2", other="none"):
    """Name the line that makes these gradients wrong."""
    return {1: "d" + "".join(wrong), 2: two, 4: four}.get(len(wrong), other)


class _Case:
    """A network with its data, and a backward pass for it with one wrong line."""

    def __init__(self, network, line, bug):
        self.network, self.line, self.bug = network, line, bug
        self.right, self.wrong = _backward(*network), _backward(*network, line, bug)
        self.differences = {n: _quotient(self.wrong[n], self.right[n]) for n in NAMES}

    def accused(self, threshold):
        """Return the names of the gradients that differ by more than the threshold."""
        return [name for name in NAMES if self.differences[name] > threshold]

    def asked(self, ask):
        """Return the answer's line and its gradients."""
        theta, *data = self.network

        def loss(theta):
            return _loss(theta, *data)

        def backward(theta):
            return _backward(theta, *data, self.line, self.bug)

        loss.case = self  # where the right answer and the mistakes look up what is wrong
        received = ask(loss, backward, theta)
        if not isinstance(received, tuple) or [*map(type, received)] != [str, dict]:
            raise AnswerError(
                "Return two values: the name of the line, a text, and the dict of gradients."
            )
        if received[0] not in BUGS and received[0].lower() in BUGS:
            raise AnswerError(f"Return the name in small letters: {received[0].lower()!r}.")
        return received


@functools.lru_cache(maxsize=8)  # the answer, the right one and every mistake meet equal cases
def _cases(seed, small=False):
    """Draw a network and one bug for each line, or the small one, all with clear effects."""
    rng = np.random.default_rng(seed)
    bugs, least = [("dz1", _small_bug)], 1e-4
    if not small:
        drawn = {line: of_line[rng.integers(len(of_line))] for line, of_line in BUGS.items()}
        turned = ("db1", "db2")[rng.integers(2)]
        drawn[turned] = BUGS[turned][-1]  # with turned signs its norm is right
        bugs, least = list(drawn.items()), 3e-2
    while True:
        theta = {
            "w1": rng.normal(size=(3, 2)),
            "b1": rng.choice([-1, 1], size=2) * rng.uniform(0.3, 0.8, size=2),
            "w2": rng.normal(size=(2, 2)),
            "b2": rng.choice([-1, 1], size=2) * rng.uniform(0.3, 0.8, size=2),
        }
        x, y = rng.normal(size=(6, 3)), rng.permutation(np.arange(6) % 2)
        network = theta, x, y, float(rng.uniform(0.05, 0.1))
        cases = [_Case(network, *bugs[i]) for i in rng.permutation(len(bugs))]
        if all(_line(case.accused(least)) == case.line for case in cases):
            return cases


def _six(ask, rng, part):
    """Ask about one bug in each line, in any order; return one part of the answers."""
    cases = _cases(int(rng.integers(2**32)))
    return {f"{case.line} is wrong": case.asked(ask)[part] for case in cases}


def _find(
    loss,
    backward,
    theta,
    *,
    threshold=1e-6,
    name=_line,
    accused=lambda wrong: wrong,
    repaired=lambda wrong: wrong,
    repair=lambda right, wrong: right,
):
    """Look the differences up, which an answer has to measure; name the line, and repair."""
    case = loss.case
    wrong = accused(case.accused(threshold))
    found = dict(case.wrong)
    for key in repaired(wrong):
        found[key] = repair(case.right[key], case.wrong[key])
    return name(wrong), found


def _spared(wrong):
    return [name for name in NAMES if name not in wrong]


find_the_bug = chapter.exercise(
    "find_the_bug",
    _find,
    mistakes={
        "first wrong gradient": vary(_find, name=lambda wrong: f"d{wrong[0]}"),
        "last wrong gradient": vary(_find, name=lambda wrong: f"d{wrong[-1]}"),
        "kernel accused": vary(_find, name=vary(_line, two="dw1", four="dw2")),
        "dz swapped": vary(_find, name=vary(_line, two="dz2", four="dz1")),
        "never upstream of both": vary(_find, name=vary(_line, four="dz1")),
        "always the output": vary(_find, name=vary(_line, two="dz2")),
        "too strict": vary(_find, threshold=-1.0),
        "threshold upside down": [
            vary(_find, accused=_spared, name=vary(_line, other=other))
            for other in ("none", "", "dz2")
        ],
        "name of the gradient": vary(_find, name=lambda wrong: _line(wrong)[1:]),
        "too lax": [
            vary(_find, threshold=1e-3, name=vary(_line, other=other))
            for other in ("none", "db1", "dw1", "db2", "dw2")
        ],
        "not repaired": vary(_find, repaired=lambda wrong: []),
        "repaired in part": vary(_find, repaired=lambda wrong: wrong[:1]),
        "corrected twice": vary(_find, repair=lambda right, wrong: 2 * right - wrong),
    },
    hints={
        "first wrong gradient": "You name the first gradient that is wrong. If several are, the bug lies upstream of all of them.",
        "last wrong gradient": "You name the last gradient that is wrong. If several are, the bug lies upstream of all of them.",
        "kernel accused": "When a kernel's and its bias's gradient are both wrong, the line from which both are made is the wrong one.",
        "dz swapped": "You have dz1 and dz2 the wrong way round. dz2 comes first in the backward pass: everything depends on it.",
        "never upstream of both": "All four gradients wrong means dz2: the second layer's gradients do not depend on dz1.",
        "always the output": "When only the first layer's gradients are wrong, dz2 is right: the second layer is made from it too.",
        "too strict": "You name dz2 every time, as if all four gradients were wrong. Look at them one by one, with a step near 1e-5 (a tiny one drowns in rounding errors, a large one is inexact) and a threshold near 1e-6.",
        "threshold upside down": "You accuse the gradients whose difference is small. Small is good.",
        "name of the gradient": "Return the name of the line, with its d: 'dw1', not 'w1'.",
        "too lax": "Your threshold lets a difference of 5e-4 pass. That of a right gradient is far smaller, about 1e-9 here: 1e-3 is a bug, not a limit.",
        "not repaired": "You return the gradients as backward made them, the wrong ones included.",
        "repaired in part": "You repair one gradient only. A wrong dz1 or dz2 spoils several.",
        "corrected twice": "You add the difference twice.",
    },
)


@find_the_bug.check(
    points=4,
    hint="Check the four gradients one by one. Which of them are wrong tells which line is.",
    more="Which gradients are made from dz1, and which from dz2? If just these are wrong, that line is. If only one is wrong, its own line is.",
)
def names_the_wrong_line(ask, rng):
    """names the wrong line, for one bug in each of the six lines"""
    return _six(ask, rng, 0)


@find_the_bug.check(
    points=3,
    hint="The second value must hold all four gradients, with the broken ones put right.",
    more="A numeric gradient is a right one: put it in place of each gradient that fails the check.",
)
def repairs_the_gradients(ask, rng):
    """returns the right gradients, for one bug in each of the six lines"""
    return _six(ask, rng, 1)


@find_the_bug.check(
    points=2,
    hint="In this one the line is off by a factor of 1.001. Is your threshold small enough?",
    more="A right gradient has a relative difference of about 1e-9 here, this bug 5e-4. Put the threshold between, near 1e-6.",
)
def finds_a_small_error(ask, rng):
    """finds a factor of 1.001 in line dz1"""
    (case,) = _cases(int(rng.integers(2**32)), small=True)
    line = case.asked(ask)[0]
    if not any(name[1:] in line.lower() for name in BUGS):  # "none", say
        raise Failed("'dz1'", brief(line), "too lax")
    return line
