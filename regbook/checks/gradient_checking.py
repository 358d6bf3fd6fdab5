"""Checks of chapter 06, gradient checking."""

import itertools

import numpy as np

from regbook.check import AnswerError, Chapter, Outcome, Wrong, compare, outputs

chapter = Chapter("06_gradient_checking")


# --- numeric_gradient ------------------------------------------------------------------------


def _centred(f, theta, eps):
    """Return the right answer."""
    gradient = np.zeros(theta.shape)
    for index in np.ndindex(theta.shape):
        above, below = theta.astype(float), theta.astype(float)
        above[index] += eps
        below[index] -= eps
        gradient[index] = (f(above) - f(below)) / (2 * eps)
    return gradient


def _one_sided(f, theta, eps):
    gradient = np.zeros(theta.shape)
    for index in np.ndindex(theta.shape):
        there = theta.astype(float)
        there[index] += eps
        gradient[index] = (f(there) - f(theta)) / eps
    return gradient


def _not_restored(f, theta, eps, last):
    """Return the answer of a loop that leaves each entry at `last` steps from where it was."""
    moving, gradient = theta.astype(float), np.zeros(theta.shape)
    for index in np.ndindex(theta.shape):
        kept = moving[index]
        moving[index] = kept + eps
        above = f(moving)
        moving[index] = kept - eps
        gradient[index] = (above - f(moving)) / (2 * eps)
        moving[index] = kept + last * eps
    return gradient


def _function(rng, shape):
    """Draw a function that ties all entries together and has a third derivative."""
    a, b = rng.uniform(0.5, 1.5, size=(2, *shape))
    c = rng.uniform(0.5, 1)

    def f(theta):
        theta = np.asarray(theta, dtype=float)
        return float((a * theta**3).sum() + c * (b * theta).sum() ** 2)

    return f


@chapter.check(
    "numeric_gradient",
    points=3,
    hint="For each entry, call f twice: once with eps added to it, once with eps subtracted.",
    more="gradient[index] = (f(above) - f(below)) / (2 * eps), with all other entries as they were.",
)
def divides_by_twice_the_step(answer, rng):
    """is (f(theta + eps) - f(theta - eps)) / (2 eps) for each entry, also for a large step"""
    theta, eps = rng.uniform(1, 2, size=5), rng.uniform(0.3, 0.5)
    f = _function(rng, theta.shape)
    right, forward = _centred(f, theta, eps), _one_sided(f, theta, eps)
    return compare(
        answer(f, theta, eps),
        right,
        wrong=[
            Wrong(
                "one-sided",
                forward,
                "You have the one-sided quotient. Step to both sides: its error is far smaller.",
            ),
            Wrong(
                "one-sided",
                _one_sided(f, theta, -eps),
                "You have the one-sided quotient, to the left. Step to both sides.",
            ),
            Wrong(
                "no two",
                2 * right,
                "The two points lie 2 * eps apart. You divided by eps alone.",
            ),
            Wrong(
                "halved",
                right / 2,
                "Your answer is half of the right one: divide by 2 * eps once.",
            ),
            Wrong(
                "multiplied",
                right * 4 * eps**2,
                "You multiplied by 2 * eps. Write (2 * eps) in parentheses after the division sign.",
            ),
            Wrong(
                "multiplied",
                right * eps**2,
                "You wrote / 2 * eps, which divides by 2 and multiplies by eps: use parentheses.",
            ),
            Wrong("not divided", right * 2 * eps, "You did not divide by the distance, 2 * eps."),
            Wrong("sign", -right, "The sign is wrong: subtract f(below) from f(above)."),
            Wrong(
                "all at once",
                np.full(5, (f(theta + eps) - f(theta - eps)) / (2 * eps)),
                "You moved all entries at once. Move one, and leave the others where they are.",
            ),
            Wrong(
                "not restored",
                _not_restored(f, theta, eps, last=-1),
                "You did not put the entry back before you moved the next one.",
            ),
            Wrong(
                "not restored",
                _not_restored(f, theta, eps, last=1),
                "You did not put the entry back before you moved the next one.",
            ),
            Wrong(
                "own step",
                _centred(f, theta, 1e-5),
                "You used a step of your own. Use eps.",
            ),
        ],
    )


@chapter.check(
    "numeric_gradient",
    hint="The gradient has the shape of theta, whatever that is.",
    more="Loop over np.ndindex(theta.shape): it gives the index of each entry of any array.",
)
def keeps_the_shape(answer, rng):
    """works for matrices, for arrays with three axes, and for a single number"""
    for shape in ((2, 3), (2, 1, 2), ()):
        theta = rng.uniform(1, 2, size=shape)
        theta = np.asarray(theta)
        f = _function(rng, shape)
        expected = _centred(f, theta, 0.25)
        received = answer(f, theta, 0.25)
        outcome = compare(
            received,
            expected,
            wrong=[
                Wrong(
                    "flat",
                    expected.ravel(),
                    "Your gradient is flat. Give it the shape of theta: reshape(theta.shape).",
                ),
            ],
        )
        if not outcome.passed:
            return outcome
    return outcome


@chapter.check(
    "numeric_gradient",
    hint="An integer array cannot hold a small step: 1 + 0.25 becomes 1 in it.",
    more="Work on theta.astype(float), and let the gradient be an array of floats.",
)
def takes_integers(answer, rng):
    """works for integer parameters"""
    theta = rng.integers(1, 5, size=4)
    f = _function(rng, (4,))
    expected = _centred(f, theta, 0.25)
    return compare(
        answer(f, theta, 0.25),
        expected,
        wrong=[
            Wrong(
                "integer steps",
                np.zeros(4),
                "All zeros: the step was lost, because the array holds integers.",
            ),
            Wrong(
                "integer steps",
                _integer_steps(f, theta, 0.25),
                "theta holds integers, so a step in place is rounded towards zero. Convert to float first.",
            ),
            Wrong(
                "integer steps",
                _integer_steps(f, theta, 0.25, restored=False),
                "theta holds integers, so a step in place is rounded towards zero. Convert to float first.",
            ),
            Wrong(
                "integer gradient",
                expected.astype(int),
                "Your gradient holds integers: np.zeros_like(theta) takes theta's type. Use np.zeros(theta.shape).",
            ),
        ],
    )


def _integer_steps(f, theta, eps, restored=True):
    """Return what steps in place give in an integer array, by assignment (towards zero)."""
    moving, gradient = theta.copy(), np.zeros(theta.shape)
    for index in np.ndindex(theta.shape):
        kept = moving[index]
        moving[index] = int(kept + eps)
        above = f(moving)
        moving[index] = int(kept - eps)
        gradient[index] = (above - f(moving)) / (2 * eps)
        if restored:
            moving[index] = kept
    return gradient


@chapter.check(
    "numeric_gradient",
    hint="f was called with an array that differs from theta in more than one entry, or in shape.",
    more="Make a fresh copy of theta for each call, and change one entry of it.",
)
def moves_one_entry_at_a_time(answer, rng):
    """calls f with theta's shape, one entry moved at a time, and no other left behind"""
    theta = rng.uniform(1, 2, size=(2, 3))
    calls = []
    inner = _function(rng, theta.shape)

    def f(point):
        calls.append(np.array(point, dtype=float))
        return inner(point) if calls[-1].shape == theta.shape else 0.0

    answer(f, theta, 0.25)
    if any(call.shape != theta.shape for call in calls):
        return Outcome(
            False,
            f"calls with shape {theta.shape}",
            "another shape",
            "call shape",
            "f takes an array of the shape of theta: a flat vector is another argument.",
        )
    moved = [np.abs(call - theta) > 1e-6 for call in calls]
    most = max((int(m.sum()) for m in moved), default=0)
    touched = np.any(moved, axis=0).all() if moved else False
    if most > 1:
        return Outcome(
            False,
            "one entry moved",
            f"{most} entries moved",
            "not restored",
            "f was called with more than one entry off theta. Put an entry back before you move the next.",
        )
    return Outcome(bool(touched), "every entry moved once", f"{len(calls)} calls of f")


# --- relative_difference ---------------------------------------------------------------------


def _norm(a):
    return np.sqrt((np.asarray(a, dtype=float) ** 2).sum())


def _relative(a, b):
    total = _norm(a) + _norm(b)
    return _norm(a - b) / total if total else 0.0


@chapter.check(
    "relative_difference",
    points=2,
    hint="One norm above the line, the sum of two norms below it.",
    more="np.linalg.norm(a - b) / (np.linalg.norm(a) + np.linalg.norm(b))",
)
def divides_the_norms(answer, rng):
    """is the norm of a - b divided by the sum of the norms of a and b"""
    a = rng.normal(size=(3, 4))
    b = 2 * a + rng.normal(size=(3, 4))
    gap, na, nb = _norm(a - b), _norm(a), _norm(b)
    each = np.abs(a - b) / (np.abs(a) + np.abs(b))

    def both(value):
        return value, value

    return compare(
        (answer(a, b), answer(b, a)),
        both(gap / (na + nb)),
        wrong=[
            Wrong("absolute", both(gap), "You did not divide by the norms."),
            Wrong(
                "one norm",
                (gap / na, gap / nb),
                "You divided by the norm of a alone. Add the norm of b.",
            ),
            Wrong(
                "one norm",
                (gap / nb, gap / na),
                "You divided by the norm of b alone. Add the norm of a.",
            ),
            Wrong(
                "larger norm",
                both(gap / max(na, nb)),
                "You divided by the larger norm. Divide by the sum of the two.",
            ),
            Wrong(
                "norm of the sum",
                both(gap / _norm(a + b)),
                "You divided by the norm of a + b. Take the two norms first, then add them.",
            ),
            Wrong(
                "difference of norms",
                both(abs(na - nb) / (na + nb)),
                "You subtracted the norms. Two gradients of equal length can point in different directions: take the norm of a - b.",
            ),
            Wrong(
                "squared",
                both(gap**2 / (na**2 + nb**2)),
                "You have squared norms: take the roots.",
            ),
            Wrong(
                "largest entry",
                both(np.abs(a - b).max() / (np.abs(a).max() + np.abs(b).max())),
                "You took the largest entries. The norm is the root of the sum of all squares.",
            ),
            Wrong(
                "largest entry",
                both(each.max()),
                "You compared entry by entry and took the largest. Take norms over all entries.",
            ),
            Wrong(
                "mean of entries",
                both(each.mean()),
                "You averaged over entries: one that is almost zero then counts as much as a large one.",
            ),
            Wrong(
                "absolute sums",
                both(np.abs(a - b).sum() / (np.abs(a).sum() + np.abs(b).sum())),
                "You added absolute values. The norm is the root of the sum of the squares.",
            ),
            Wrong(
                "spectral norm",
                both(np.linalg.norm(a - b, 2) / (np.linalg.norm(a, 2) + np.linalg.norm(b, 2))),
                "For a matrix, norm(a, 2) is the largest singular value. Leave the 2 out, or flatten first.",
            ),
            Wrong("doubled", both(2 * gap / (na + nb)), "Your answer is twice the right one."),
            Wrong("halved", both(gap / (na + nb) / 2), "Your answer is half of the right one."),
        ],
    )


@chapter.check(
    "relative_difference",
    hint="Two gradients that are both exactly zero agree: the answer is 0.",
    more="If the sum of the norms is 0, return 0.0 before you divide.",
)
def is_zero_for_two_zeros(answer, rng):
    """is 0 when both are zero"""
    zero = np.zeros(rng.integers(2, 5))
    received = answer(zero, zero)
    if np.size(received) == 1 and np.isnan(received).all():
        return Outcome(
            False,
            "0",
            "NaN",
            "zero by zero",
            "0 / 0 is not a number. If both norms are 0, return 0.",
        )
    return compare(
        received,
        0.0,
        wrong=[Wrong("one at zero", 1.0, "Two zero gradients agree completely: return 0.")],
    )


@chapter.check(
    "relative_difference",
    hint="When only one of the two is zero, they differ as much as they can: the answer is 1.",
    more="The special case is: both norms are 0. One zero norm needs no special treatment.",
)
def is_one_for_a_zero_and_something(answer, rng):
    """is 1 when only one of them is zero, and when one is minus the other"""
    a = rng.normal(size=4)
    zero = np.zeros(4)
    for first, second in ((a, zero), (zero, a), (a, -a)):
        received = answer(first, second)
        outcome = compare(
            received,
            1.0,
            wrong=[
                Wrong(
                    "one zero is enough",
                    0.0,
                    "You return 0 when one of the two is zero. That hides a backward pass that returns zeros.",
                ),
                Wrong("doubled", 2.0, "The largest possible value is 1."),
            ],
        )
        if not outcome.passed:
            return outcome
    return outcome


@chapter.check(
    "relative_difference",
    hint="Gradients can be tiny. Multiplying both by a constant must not change the answer.",
    more="Add nothing to the denominator, and compare the total with 0, not with a small number.",
)
def ignores_the_scale(answer, rng):
    """does not change when both gradients are multiplied by 1e-9"""
    a, b = rng.normal(size=(2, 5))
    small, tiny = answer(1e-9 * a, 1e-9 * b), _relative(a, b)
    total = _norm(1e-9 * a) + _norm(1e-9 * b)
    paddings = [1e-12, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-3]
    return compare(
        small,
        tiny,
        wrong=[
            Wrong(
                "padded",
                1e-9 * _norm(a - b) / (total + padding),
                "You add a small number to the denominator. For tiny gradients it is not small, and hides the bug.",
            )
            for padding in paddings
        ]
        + [
            Wrong(
                "padded",
                0.0,
                "You take tiny gradients for zero. Only a total of exactly 0 needs care.",
            )
        ],
    )


# --- the network of the last two exercises ---------------------------------------------------


def _softmax(z):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def _backpropagate(theta, x, y, lam, *, penalties=None, error=None, linear=False, last_tanh=False):
    """Return the gradients of a deep tanh network, with the variants that the checks name."""
    theta = [np.asarray(t, dtype=float) for t in theta]
    kernels, biases = theta[::2], theta[1::2]
    inputs, outs = [np.asarray(x, dtype=float)], []
    for w, b in zip(kernels, biases, strict=True):
        z = inputs[-1] @ w + b
        outs.append(z if linear else np.tanh(z))
        inputs.append(outs[-1])
    logits = outs[-1] if last_tanh else z
    p = _softmax(logits)
    t = np.eye(p.shape[1])[y]
    d = error(p, t) if error else (p - t) / len(y)
    if last_tanh:
        d = d * (1 - outs[-1] ** 2)
    of_kernel, of_bias = penalties or (2 * lam, 0.0)
    found = []
    for i in reversed(range(len(kernels))):
        w, b = kernels[i], biases[i]
        found = [inputs[i].T @ d + of_kernel * w, d.sum(axis=0) + of_bias * b, *found]
        d = d @ w.T * (1 if linear or not i else 1 - inputs[i] ** 2)
    return tuple(found)


def _deep(rng, sizes):
    theta = []
    for n_in, n_out in itertools.pairwise(sizes):
        theta += [rng.normal(scale=n_in**-0.5, size=(n_in, n_out)), rng.normal(size=n_out)]
    theta = [np.float32(t) for t in theta]
    x = np.float32(rng.normal(size=(7, sizes[0])))
    y = rng.permutation(np.arange(7) % sizes[-1])
    return theta, x, y, float(rng.uniform(0.1, 0.3))


def _double_softmax(p, t):
    """Return the error at the logits when the probabilities pass through a second softmax."""
    d = (_softmax(p) - t) / len(t)
    return p * (d - (d * p).sum(axis=1, keepdims=True))


@chapter.check(
    "autograd_gradients",
    points=3,
    hint="Build the loss of the exercise term by term, and let the framework differentiate it.",
    more="Mean cross-entropy of the logits plus lam * (w**2).sum() for each kernel; tanh on hidden layers only.",
)
def differentiates_the_loss(answer, rng):
    """gives the gradients of the mean cross-entropy plus the penalty, for three layers"""
    theta, x, y, lam = _deep(rng, (4, 3, 5, 3))
    arguments = (theta, x, y, lam)

    def variant(**changes):
        return _backpropagate(*arguments, **changes)

    return compare(
        answer(*arguments),
        variant(),
        wrong=[
            Wrong("no penalty", variant(penalties=(0.0, 0.0)), "The penalty is missing."),
            Wrong(
                "half penalty",
                variant(penalties=(lam, 0.0)),
                "Your penalty is lam / 2 times the squares, PyTorch's weight_decay convention. Here it is lam * (w**2).sum().",
            ),
            Wrong(
                "bias penalised",
                variant(penalties=(2 * lam, 2 * lam)),
                "You penalise the biases too. Only kernels carry the penalty.",
            ),
            Wrong(
                "mean penalty",
                tuple(
                    g + (2 * lam / t.size - 2 * lam) * t * (t.ndim == 2)
                    for g, t in zip(variant(), theta, strict=True)
                ),
                "You took the mean of the squares. The penalty is their sum.",
            ),
            Wrong(
                "summed",
                variant(error=lambda p, t: p - t),
                "Your cross-entropy is a sum over the rows. Take the mean.",
            ),
            Wrong(
                "double softmax",
                variant(error=_double_softmax),
                "You pass probabilities to a loss that applies softmax itself. Pass the logits.",
            ),
            Wrong(
                "squared error",
                variant(
                    error=lambda p, t: (
                        2 * p * ((p - t) - ((p - t) * p).sum(1, keepdims=True)) / t.size
                    )
                ),
                "That is the squared error of the probabilities. The loss is the cross-entropy.",
            ),
            Wrong(
                "tanh on the logits",
                variant(last_tanh=True),
                "You apply tanh to the last layer too. It has no activation.",
            ),
            Wrong("no activation", variant(linear=True), "The hidden layers need tanh."),
            Wrong(
                "sign",
                tuple(-g for g in variant()),
                "The sign is turned: return the gradient, not the descent direction.",
            ),
        ],
    )


@chapter.check(
    "autograd_gradients",
    hint="The network may have any number of layers, one included.",
    more="Loop over the pairs (w, b); tanh comes between two layers only.",
)
def works_for_any_depth(answer, rng):
    """works for one layer and for two"""
    for sizes in ((3, 4), (2, 3, 2)):
        arguments = _deep(rng, sizes)
        outcome = compare(
            answer(*arguments),
            _backpropagate(*arguments),
            wrong=[
                Wrong(
                    "tanh on the logits",
                    _backpropagate(*arguments, last_tanh=True),
                    "You apply tanh to the last layer too. It has no activation.",
                ),
            ],
        )
        if not outcome.passed:
            return outcome
    return outcome


@chapter.check(
    "autograd_gradients",
    points=2,
    hint="Some step still computes in float32: nine digits need float64 from the start.",
    more="PyTorch: torch.tensor(t).double(). Keras: tf.Variable(np.float64(t)), and a loss function, or a loss object with dtype='float64'.",
)
def computes_in_float64(answer, rng):
    """is accurate to nine digits, as a reference for gradient checking must be"""
    arguments = _deep(rng, (4, 5, 3))
    expected = _backpropagate(*arguments)
    received = outputs(answer(*arguments), *[e.shape for e in expected])
    worst = max(_relative(r, e) for r, e in zip(received, expected, strict=True))
    if 1e-9 < worst < 1e-4:
        return Outcome(
            False,
            "a relative difference below 1e-9",
            f"{worst:.0e}",
            "float32",
            "The values are right to the precision of float32 only. Convert parameters and inputs to float64 before you compute.",
        )
    return Outcome(bool(worst <= 1e-9), "a relative difference below 1e-9", f"{worst:.0e}")


# --- find_the_bug ----------------------------------------------------------------------------

LINES = ("dz2", "dw2", "db2", "dz1", "dw1", "db1")
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
        lambda v: 1.001 * v.back * (1 - v.a**2),
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
SMALL = 3  # the place of the bug of dz1 that a lax threshold misses


class _Parts:
    """Holds the intermediate values of one backward pass."""


class _Case:
    """One network, its loss, and a backward pass with one wrong line, or none."""

    def __init__(self, rng, line="", bug=None):
        self.line, self.bug = line, bug
        self.x, self.y = rng.normal(size=(6, 3)), rng.permutation(np.arange(6) % 2)
        self.lam = float(rng.uniform(0.1, 0.3))
        self.theta = {
            "w1": rng.normal(size=(3, 2)),
            "b1": rng.choice([-1, 1], size=2) * rng.uniform(0.3, 0.8, size=2),
            "w2": rng.normal(size=(2, 2)),
            "b2": rng.choice([-1, 1], size=2) * rng.uniform(0.3, 0.8, size=2),
        }

    def loss(self, theta):
        """Return the right loss."""
        a = np.tanh(self.x @ theta["w1"] + theta["b1"])
        z = a @ theta["w2"] + theta["b2"]
        z = z - z.max(axis=1, keepdims=True)
        entropy = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(self.y)), self.y]
        penalty = self.lam * ((theta["w1"] ** 2).sum() + (theta["w2"] ** 2).sum())
        return float(entropy.mean() + penalty)

    def gradients(self, theta, line="", bug=None):
        """Return the gradients, with the value of one line replaced."""
        v = _Parts()
        v.w1, v.b1, v.w2, v.b2 = (np.asarray(theta[name]) for name in ("w1", "b1", "w2", "b2"))
        v.lam, v.m = self.lam, len(self.y)

        def value(name, right):
            return bug(v) if name == line else right

        v.a = np.tanh(self.x @ v.w1 + v.b1)
        p = _softmax(v.a @ v.w2 + v.b2)
        v.d = (p - np.eye(2)[self.y]) / v.m
        v.dz2 = value("dz2", v.d)
        v.data2 = v.a.T @ v.dz2
        dw2 = value("dw2", v.data2 + 2 * v.lam * v.w2)
        db2 = value("db2", v.dz2.sum(axis=0))
        v.back = v.dz2 @ v.w2.T
        v.dz1 = value("dz1", v.back * (1 - v.a**2))
        v.data1 = self.x.T @ v.dz1
        dw1 = value("dw1", v.data1 + 2 * v.lam * v.w1)
        db1 = value("db1", v.dz1.sum(axis=0))
        return {"w1": dw1, "b1": db1, "w2": dw2, "b2": db2}

    def backward(self, theta):
        """Return the gradients with the wrong line."""
        return self.gradients(theta, self.line, self.bug)

    def ask(self, answer):
        """Return the answer's line and its gradients, in the order of theta."""

        def loss(theta):
            return self.loss(theta)

        def backward(theta):
            return self.backward(theta)

        received = answer(loss, backward, self.theta)
        if (
            not isinstance(received, tuple)
            or len(received) != 2
            or not isinstance(received[0], str)
            or not isinstance(received[1], dict)
        ):
            raise AnswerError(
                "Return two values: the name of the line, a text, and the dict of gradients."
            )
        return received


def _cases(rng):
    """Draw one bug for each line, with the clear gradients that a fair question needs."""
    cases = []
    for line in LINES:
        bugs = BUGS[line][:SMALL] if line == "dz1" else BUGS[line]
        bug = bugs[rng.integers(len(bugs))]
        cases.append(_clear(rng, line, bug))
    return cases


def _clear(rng, line, bug, least=3e-2):
    """Draw a network on which the bug changes each gradient below its line by a clear amount."""
    affected = {"dz2": ("w1", "b1", "w2", "b2"), "dz1": ("w1", "b1")}.get(line, (line[1:],))
    while True:
        case = _Case(rng, line, bug)
        wrong, right = case.backward(case.theta), case.gradients(case.theta)
        if min(_relative(wrong[name], right[name]) for name in affected) > least:
            return case


def _called(answer, rng):
    cases = _cases(rng)
    order = rng.permutation(len(cases))
    cases = [cases[i] for i in order]
    return cases, [case.ask(answer) for case in cases]


def _accused(case, threshold=1e-6, gradients=None):
    """Return the names of the gradients that differ from the right ones."""
    wrong = gradients or case.backward(case.theta)
    right = case.gradients(case.theta)
    return [
        name for name in ("w1", "b1", "w2", "b2") if _relative(wrong[name], right[name]) > threshold
    ]


def _spared(accused):
    """Return the other names."""
    return [name for name in ("w1", "b1", "w2", "b2") if name not in accused]


def _by_pattern(accused, two="dz1", four="dz2", other=""):
    """Name the line whose failure makes these gradients wrong."""
    lines = {1: "d" + "".join(accused), 2: two, 4: four}
    return lines.get(len(accused), other)


@chapter.check(
    "find_the_bug",
    points=4,
    hint="Check the four gradients one by one. Which of them are wrong tells which line is.",
    more="One wrong: its own line. w1 and b1 wrong: dz1. All four wrong: dz2.",
)
def names_the_wrong_line(answer, rng):
    """names the wrong line, for one bug in each of the six lines"""
    cases, received = _called(answer, rng)
    named = tuple(line for line, _ in received)
    accused = [_accused(case) for case in cases]

    def wrong_by(rule):
        return tuple(rule(names) for names in accused)

    return compare(
        named,
        tuple(case.line for case in cases),
        wrong=[
            Wrong(
                "first wrong gradient",
                wrong_by(lambda names: f"d{names[0]}"),
                "You name the first gradient that is wrong. If several are, the bug lies upstream of all of them.",
            ),
            Wrong(
                "last wrong gradient",
                wrong_by(lambda names: f"d{names[-1]}"),
                "You name the last gradient that is wrong. If several are, the bug lies upstream of all of them.",
            ),
            Wrong(
                "kernel accused",
                wrong_by(lambda names: {2: "dw1", 4: "dw2"}.get(len(names), f"d{names[0]}")),
                "When a kernel's and its bias's gradient are both wrong, the line from which both are made is the wrong one.",
            ),
            Wrong(
                "dz swapped",
                wrong_by(lambda names: _by_pattern(names, "dz2", "dz1")),
                "You have dz1 and dz2 the wrong way round. dz2 comes first in the backward pass: everything depends on it.",
            ),
            Wrong(
                "never upstream of both",
                wrong_by(lambda names: _by_pattern(names, "dz1", "dz1")),
                "All four gradients wrong means dz2: the second layer's gradients do not depend on dz1.",
            ),
            Wrong(
                "always the output",
                wrong_by(lambda names: _by_pattern(names, "dz2", "dz2")),
                "When only the first layer's gradients are wrong, dz2 is right: the second layer is made from it too.",
            ),
            Wrong(
                "too strict",
                ("dz2",) * len(cases),
                "You accuse every gradient, right ones too: your threshold is below the rounding error of the check, or the step is.",
            ),
            *(
                Wrong(
                    "threshold upside down",
                    wrong_by(lambda names, other=other: _by_pattern(_spared(names), other=other)),
                    "You accuse the gradients whose difference is small. Small is good.",
                )
                for other in ("", "none", "dz1", "dz2")
            ),
            Wrong(
                "name of the gradient",
                wrong_by(lambda names: _by_pattern(names)[1:]),
                "Return the name of the line, with its d: 'dw1', not 'w1'.",
            ),
        ],
    )


@chapter.check(
    "find_the_bug",
    points=3,
    hint="The second value must hold all four gradients, with the broken ones put right.",
    more="A numeric gradient is a right one: put it in place of each gradient that fails the check.",
)
def repairs_the_gradients(answer, rng):
    """returns the right gradients, for one bug in each of the six lines"""
    cases, received = _called(answer, rng)
    right = [case.gradients(case.theta) for case in cases]
    broken = [case.backward(case.theta) for case in cases]

    def only_first():
        """Return the answer that repairs one gradient of those that are wrong."""
        mixed = []
        for case, good, bad in zip(cases, right, broken, strict=True):
            names = _accused(case)
            mixed.append({**bad, names[0]: good[names[0]]})
        return tuple(mixed)

    return compare(
        tuple(gradients for _, gradients in received),
        tuple(right),
        wrong=[
            Wrong(
                "not repaired",
                tuple(broken),
                "You return the gradients as backward made them, the wrong ones included.",
            ),
            Wrong(
                "repaired in part",
                only_first(),
                "You repair one gradient only. A wrong dz1 or dz2 spoils several.",
            ),
            Wrong(
                "corrected twice",
                tuple(
                    {name: 2 * g[name] - b[name] for name in g}
                    for g, b in zip(right, broken, strict=True)
                ),
                "You add the difference twice.",
            ),
        ],
    )


@chapter.check(
    "find_the_bug",
    points=2,
    hint="In this one the line is off by a factor of 1.001. Is your threshold small enough?",
    more="A right gradient has a relative difference of about 1e-9 here, this bug 5e-4. Put the threshold between, near 1e-6.",
)
def finds_a_small_error(answer, rng):
    """finds a factor of 1.001 in line dz1"""
    case = _clear(rng, "dz1", BUGS["dz1"][SMALL], least=1e-4)
    line, _ = case.ask(answer)
    return compare(
        line,
        "dz1",
        wrong=[
            Wrong(
                "too strict",
                "dz2",
                "You accuse all four gradients, right ones too: the threshold is below the rounding error of the check.",
            ),
        ]
        + [
            Wrong(
                "too lax",
                name,
                "Your threshold lets a difference of 5e-4 pass. About 1e-7 is right; 1e-3 is a bug, not a limit.",
            )
            for name in ("", "none", "no bug", "right", "db1", "dw1", "db2", "dw2")
        ],
    )
