"""Checks of chapter 09, weight constraints."""

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import Chapter, Failed, brief, judge, outputs, training, vary

chapter = Chapter("09_max_norm")


def _norms(w, axis=0, power=2):
    sums = (np.abs(w) ** power).sum(axis=axis, keepdims=True)
    return sums ** (1 / power) + 1e-99  # no 0 / 0


def _project(W, r, axis=0, *, power=2):
    return W * np.minimum(1, r / _norms(W, axis, power))


def _kernel(rng, norms, inputs=5):
    """Draw a kernel of shape (inputs, units) whose units have these norms."""
    w = rng.normal(size=(inputs, len(norms)))
    return w / _norms(w) * norms


def _mixed(rng, r, inputs=5):
    """Draw a kernel with units inside and outside the ball of radius r."""
    return _kernel(rng, r * np.array([*rng.uniform(2.3, 3, 2), *rng.uniform(0.2, 0.6, 2)]), inputs)


# --- max_norm_projection ---------------------------------------------------------------------


projection = chapter.exercise(
    "max_norm_projection",
    _project,
    mistakes={
        "no-direction": lambda W, r, axis: np.where(_norms(W, axis) > r, r / _norms(W, axis), W),
        "no-direction-at-all": lambda W, r, axis: np.ones_like(W) * r / _norms(W, axis),
        "scales-up": lambda W, r, axis: W * r / _norms(W, axis),
        "inverted": lambda W, r, axis: W * np.maximum(1, r / _norms(W, axis)),
        "other-axis": vary(_project, axis=1),
        "whole-kernel": lambda W, r, axis: W * min(1, r / np.linalg.norm(W)),
        "clipped": lambda W, r, axis: np.clip(W, -r, r),
        "squared": lambda W, r, axis: W * np.minimum(1, r / _norms(W, axis) ** 2),
        "absolute": vary(_project, power=1),
        "mean-square": lambda W, r, axis: (
            W * np.minimum(1, r / np.sqrt((W**2).mean(axis=axis, keepdims=True) + 1e-99))
        ),
        "unit-sphere": lambda W, r, axis: np.where(_norms(W, axis) > r, W / _norms(W, axis), W),
        "unchanged": lambda W, r, axis: W,
        "first-axis": vary(_project, axis=0),
        "last-axis": vary(_project, axis=lambda axis: -1 if isinstance(axis, tuple) else axis),
    },
    hints={
        "no-direction": "You replaced the weights by the number r / norm, so a unit forgets its direction. Multiply: w * r / norm.",
        "no-direction-at-all": "r / norm is the factor, not the result. Multiply the weights by it, and only where the norm is above r.",
        "scales-up": "Units inside the ball grew to norm r. Leave them alone: the factor is min(1, r / norm).",
        "inverted": "Your condition is turned round: short units grow and long ones stay. The factor is min(1, r / norm).",
        "other-axis": "The norm runs over the wrong axis: `axis` names the axes to sum over, not the axis of the units.",
        "whole-kernel": "You took one norm of the whole kernel. Each unit has its own.",
        "clipped": "You clipped single weights. The constraint is on the norm of a unit: all its weights shrink by one factor.",
        "squared": "You compare with the sum of the squares. The norm is its root.",
        "absolute": "You took the 1-norm, the sum of absolute values. Max-norm uses the root of the sum of squares.",
        "mean-square": "You took the root of the mean square. The norm is the root of the sum of squares.",
        "unit-sphere": "Long units end with norm 1 instead of r.",
        "unchanged": "Nothing changed: units outside the ball must be shortened.",
        "first-axis": "You sum over the first axis only. A filter has three axes of inputs: use the argument `axis` as it comes.",
        "last-axis": "You sum over the last axis, which counts the filters. Use the argument `axis`.",
    },
)


@projection.check(
    hint="Multiply each unit by min(1, r / norm), with the norm taken over `axis`.",
    more="A unit of norm 5 and a radius of 2 make the factor 0.4, a unit of norm 0.5 the factor 1. With keepdims=True the norms fit the kernel again; np.minimum or np.maximum saves the condition.",
)
def draws_units_back(ask, rng):
    """shortens units outside the ball to r and leaves units inside alone"""
    r = rng.uniform(0.7, 1.6)
    return ask(_mixed(rng, r), r, 0)


@projection.check(
    hint="For a convolution `axis` is the tuple (0, 1, 2): one norm per filter.",
    more="Pass `axis` on to the sum, with keepdims=True so that the factor fits the kernel.",
    keeps_input=True,
)
def handles_a_convolution(ask, rng):
    """uses one norm per filter when axis is (0, 1, 2), and works for a weight of PyTorch"""
    r = rng.uniform(0.7, 1.6)
    # Entries of size 1 make a filter too long, entries of size 0.1 leave it inside.
    filters = rng.normal(size=(3, 2, 4, 5)) * rng.permutation([0.1, 0.1, 1, 1, 2])
    weight = _mixed(rng, r).T  # (out, in)
    return {"a convolution": ask(filters, r, (0, 1, 2)), "a weight of PyTorch": ask(weight, r, 1)}


@projection.check(
    hint="A unit whose weights are all zero has norm 0: avoid 0 / 0.",
    more="r / norm is infinite for such a unit, and 0 times infinity is NaN. A divisor that is never below r cannot be 0.",
)
def keeps_a_zero_unit(ask, rng):
    """keeps a unit of zeros, and a kernel that lies inside the ball"""
    w = _kernel(rng, rng.uniform(0.2, 0.9, size=4))
    w[:, 1] = 0
    return {"all inside": ask(w, 1.0, 0), "one unit outside": ask(w * [1, 1, 15, 1], 1.0, 0)}


# --- train_step_with_max_norm ----------------------------------------------------------------


def _gradients(kernel, bias, x, y):
    """Return the gradients of the mean cross-entropy of a softmax layer."""
    d = (softmax(x @ kernel + bias) - np.eye(len(bias))[y]) / len(x)
    return x.T @ d, d.sum(axis=0)


def _projected(new, old, r):
    return _project(new, r)


def _free(value, *rest):
    return value


def _step(kernel, bias, x, y, lr, r, *, after=_projected, bias_after=_free, bound=_free):
    dk, db = _gradients(kernel, bias, x, y)
    new_kernel, new_bias = kernel - lr * bound(dk, r), bias - lr * db
    return after(new_kernel, kernel, r), bias_after(new_bias, bias, r)


train_step = chapter.exercise(
    "train_step_with_max_norm",
    _step,
    mistakes={
        "no-projection": vary(_step, after=_free),
        "projected-before": [
            lambda kernel, bias, x, y, lr, r: _step(_project(kernel, r), bias, x, y, lr, np.inf),
            vary(_step, after=lambda new, old, r: _project(old, r) + new - old),
        ],
        "no-step": vary(_step, lr=0.0),
        "bias-projected": vary(_step, bias_after=_projected),
        "bias-fixed": vary(_step, bias_after=lambda _, old, r: old),
        "wrong-axis": vary(_step, after=lambda new, _, r: _project(new, r, 1)),
        "scales-up": vary(_step, after=lambda new, _, r: new * r / _norms(new)),
        "whole-kernel": vary(_step, after=lambda new, _, r: new * min(1, r / np.linalg.norm(new))),
        "old-norm": [
            vary(_step, after=lambda new, old, r: new * np.minimum(1, r / _norms(old))),
            vary(_step, after=lambda new, old, r: np.where(_norms(old) > r, _project(new, r), new)),
        ],
        "unit-sphere": vary(_step, after=lambda new, _, r: _project(new, 1)),
        "gradient-clipped": vary(_step, after=_free, bound=_project),
        "summed-loss": lambda kernel, bias, x, y, lr, r: _step(kernel, bias, x, y, len(x) * lr, r),
        "ascent": vary(_step, lr=lambda lr: -lr),
    },
    hints={
        "no-projection": "The kernel was not projected: after the step some columns are longer than r.",
        "projected-before": "You projected before the step. The step then leaves the ball: project after it.",
        "no-step": "You projected, but took no step: is the gradient computed and subtracted?",
        "bias-projected": "The bias is constrained too. Leave it free.",
        "bias-fixed": "The bias did not move. It takes the step as well, without a projection.",
        "wrong-axis": "You bounded the rows. Here a column holds the weights that enter one unit: sum over axis 0.",
        "scales-up": "Units inside the ball grew to norm r: the minimum in min(1, r / norm) is missing.",
        "whole-kernel": "You took one norm of the whole kernel. Each column has its own.",
        "old-norm": "You took the norms from before the step. The step changes them, and pushes other units out: measure after it.",
        "unit-sphere": "Long units end with norm 1 instead of r.",
        "gradient-clipped": "You bounded the gradient. That is gradient clipping; max-norm bounds the weights.",
        "summed-loss": "You took the sum of the losses over the rows. The loss is their mean.",
        "ascent": "You step up the gradient. Descent subtracts it.",
    },
)


def _layer(rng, norms):
    kernel, bias = _kernel(rng, norms, inputs=4), rng.normal(size=len(norms))
    return kernel, bias, 4 * rng.normal(size=(6, 4)), rng.integers(0, len(norms), size=6)


@train_step.check(
    points=3,
    hint="First the step on kernel and bias, then the projection of the kernel's columns.",
    more="The gradient in the logits is (softmax - one-hot labels) / rows; x.T @ carries it to the kernel, a sum over the rows to the bias. Project as in the exercise above, with axis 0.",
)
def steps_then_projects(ask, rng):
    """takes the step, then draws the units of the kernel back"""
    # The radius is not 1: an answer may have forgotten it.
    r, lr = 1 + rng.choice([-1, 1]) * rng.uniform(0.05, 0.1), rng.uniform(0.6, 1.0)
    ready = False
    # One unit must stay inside, another be pushed out and the longest stay outside; a row and a
    # gradient must be long, too.
    while not ready:
        kernel, bias, x, y = _layer(rng, r * np.array([0.1, 0.1, 0.9, 0.9, 3]))
        bias *= 3 * r / np.linalg.norm(bias)
        gradient = _gradients(kernel, bias, x, y)[0]
        units, rows = _norms(kernel - lr * gradient), _norms(kernel - lr * gradient, 1)
        largest = units[0, :4].max(), units[0, 4], rows.max(), _norms(gradient).max()
        ready = min(largest) > 1.1 * r and units.min() < 0.9 * r
    return outputs(ask(kernel, bias, x, y, lr, r), kernel.shape, bias.shape)


@train_step.check(
    points=2,
    hint="Inside the ball the step must be plain gradient descent.",
    more="With a large r the projection changes nothing, so the step alone is tested here: gradient of the mean loss, times lr, subtracted. The number of classes is the number of columns: not every class occurs in y.",
    keeps_input=True,
)
def is_plain_descent_inside(ask, rng):
    """is plain gradient descent while no unit reaches the wall"""
    kernel, bias, x, y = _layer(rng, rng.uniform(0.5, 1.5, size=3))
    y = np.append(y[1:] % 2, 1)  # the last class does not occur
    return outputs(ask(kernel, bias, x, y, rng.uniform(0.1, 0.3), 50.0), (4, 3), (3,))


# --- find_active_units -----------------------------------------------------------------------


def _active(kernel, r, tol):
    return np.linalg.norm(kernel, axis=0) >= (1 - tol) * r


find_active = chapter.exercise(
    "find_active_units",
    _active,
    mistakes={
        "no-tolerance": [
            lambda kernel, r, tol: np.linalg.norm(kernel, axis=0) > r,
            lambda kernel, r, tol: np.isclose(np.linalg.norm(kernel, axis=0), r),
        ],
        "fixed-tolerance": [
            vary(_active, tol=0.001),
            vary(_active, tol=0.01),
        ],
        "border-excluded": lambda kernel, r, tol: np.linalg.norm(kernel, axis=0) > (1 - tol) * r,
        "inverted": lambda kernel, r, tol: ~_active(kernel, r, tol),
        "absolute-tolerance": lambda kernel, r, tol: np.linalg.norm(kernel, axis=0) >= r - tol,
        "squared": lambda kernel, r, tol: (kernel**2).sum(axis=0) >= (1 - tol) * r,
        "absolute": lambda kernel, r, tol: np.abs(kernel).sum(axis=0) >= (1 - tol) * r,
        "rows": lambda kernel, r, tol: _active(kernel.T, r, tol),
        "longest-unit": lambda kernel, r, tol: _active(kernel, _norms(kernel).max(), tol),
        "entries": lambda kernel, r, tol: (np.abs(kernel) >= (1 - tol) * r).any(axis=0),
        "indices": lambda kernel, r, tol: np.flatnonzero(_active(kernel, r, tol)),
        "count": lambda kernel, r, tol: _active(kernel, r, tol).sum(),
    },
    hints={
        "no-tolerance": "You compare with r itself. No norm is above it, and a unit on the wall may have ended slightly below it: allow for the tolerance.",
        "fixed-tolerance": "Your tolerance is a fixed number. Use the argument `tol`.",
        "border-excluded": "A unit whose norm is exactly (1 - tol) * r is active too: at least means >=, and the border is (1 - tol) * r, not r / (1 + tol).",
        "inverted": "You marked the units inside the ball. The active ones lie on the wall.",
        "absolute-tolerance": "You subtracted tol itself. The tolerance is relative: (1 - tol) * r.",
        "squared": "You compare the sum of squares with r. Take the root first.",
        "absolute": "You added absolute values. The norm is the root of the sum of squares.",
        "rows": "You took the norms of the rows. A unit is a column: sum over axis 0.",
        "longest-unit": "You compare with the longest unit. The wall is at r, and it may be that no unit reaches it.",
        "entries": "You compare single weights with r. The constraint is on the norm of the column.",
        "indices": "Return one truth value per unit, not the numbers of the active ones.",
        "count": "Return one truth value per unit, not their number.",
        "numbers": "Return truth values, not 0 and 1: as an index into the columns, 0 and 1 would pick the first two units.",
    },
)


@find_active.check(
    hint="A unit is active when the norm of its column is at least (1 - tol) * r.",
    more="For r = 2 and tol = 0.01 the border is 1.98, and a norm of 1.98 counts. np.linalg.norm takes an axis; a comparison of arrays is an array of truth values.",
    keeps_input=True,
)
def counts_units_on_the_wall(ask, rng):
    """finds the units on the wall, those slightly below r included"""
    # Eighths and powers of two, so that the border is exact whatever way it is computed.
    r, tol = rng.integers(17, 25) / 8, rng.integers(6, 9) / 128
    border = (1 - tol) * r
    # How far from the wall the active ones are: fixed tolerances of 0.001 and 0.01, an absolute
    # one, and half of the right one find more and more of them, but none finds all.
    gaps = np.array(
        [1e-7, 5e-4, (0.01 + tol / r) / 2, tol * (1 / r + 0.5) / 2, tol * (1 + 1 / r) / 2]
    )
    norms = r * np.array([0, 0, 0.3, 1 - tol - 1e-5, *(1 - gaps), 0, 0])
    kernel = _kernel(rng, norms, inputs=4)
    kernel[1, -2:] = 0.999 * r, border  # one weight alone reaches the wall
    # Of norms 0.52 and 0.7 times r: the sums of absolute values are twice that, and of the sums
    # of squares only the second is above r.
    kernel[:, 0], kernel[:, 1] = 0.26 * r, 0.35 * r
    return ask(kernel[:, rng.permutation(11)], r, tol)


@find_active.check(
    hint="If all units lie well inside the ball the constraint does nothing: all False.",
    more="The comparison of the norms with the border is the answer: one truth value per column, all True or all False here.",
)
def sees_an_idle_constraint(ask, rng):
    """finds no active unit when all lie inside, and every unit when all lie on the wall"""
    r = rng.integers(9, 13) / 4
    inside = _kernel(rng, r * rng.permutation([0.1, 0.3, 0.5, 0.72, 0.8]), inputs=8)
    wall = _kernel(rng, np.full(5, r) * (1 - 1e-6), inputs=8)
    none, each = ask(inside, r, 1e-3), ask(wall, r, 1e-3)
    right = np.array_equal(none, np.zeros(5)) and np.array_equal(each, np.ones(5))
    if right and np.asarray(each).dtype != bool:
        raise Failed("True or False", brief(each), "numbers")
    return {"all inside": none, "all on the wall": each}


# --- repair_the_constraint -------------------------------------------------------------------


def _loop(
    kernel,
    gradient,
    steps,
    lr,
    r,
    *,
    axis=0,
    up=False,
    early=False,
    each=True,
    when=None,
    norms=None,
):
    """Run the loop with any of its faults left in.

    when: a function of the step and the steps, whether to project. norms: a function of the kernel
    before the step and after it, the norms to take.
    """

    def constrain(w, before=None):
        factor = r / (norms(before, w) if norms else _norms(w, axis))
        return w * (factor if up else np.minimum(1, factor))

    for step in range(steps):
        if early:
            kernel = constrain(kernel)
        before, kernel = kernel, kernel - lr * gradient(kernel)
        if each and not early and (not when or when(step, steps)):
            kernel = constrain(kernel, before)
    return kernel if each else constrain(kernel)


repair = chapter.exercise(
    "repair_the_constraint",
    _loop,
    mistakes={
        "as-given": vary(_loop, axis=1, up=True, early=True),
        "too-early": vary(_loop, early=True),
        "wrong-axis": vary(_loop, axis=1),
        "scales-up": vary(_loop, up=True),
        "order-only": vary(_loop, axis=1, up=True),
        "axis-only": vary(_loop, up=True, early=True),
        "minimum-only": vary(_loop, axis=1, early=True),
        "only-at-the-end": vary(_loop, each=False),
        "unconstrained": vary(_loop, r=np.inf),
        "not-every-step": [
            vary(_loop, when=lambda step, steps: step == 0),
            vary(_loop, when=lambda step, steps: step < steps - 1),
        ],
        "old-norm": vary(_loop, norms=lambda before, after: _norms(before)),
        "whole-kernel": vary(_loop, norms=lambda before, after: np.linalg.norm(after)),
        "unit-sphere": vary(_loop, r=1),
        "one-step-short": vary(_loop, steps=lambda steps: steps - 1),
        "one-step-more": vary(_loop, steps=lambda steps: steps + 1),
        "first-turn-only": vary(_loop, steps=1),
        "old-gradient": lambda kernel, gradient, steps, lr, r: _loop(
            kernel, lambda _: gradient(kernel), steps, lr, r
        ),
    },
    hints={
        "as-given": "This is still the loop as it was given, with all three faults.",
        "too-early": "You still project before the step, so the last step leaves the ball. Step first.",
        "wrong-axis": "The rows are bounded, not the units. A unit is a column: sum over axis 0.",
        "scales-up": "Units inside the ball are still scaled up to r. The factor is min(1, r / norm).",
        "order-only": "The order is right now. Two faults are left: look at the axis, and at units inside the ball.",
        "axis-only": "The axis is right now. Two faults are left: the order, and units inside the ball.",
        "minimum-only": "Units inside are left alone now. Two faults are left: the order and the axis.",
        "only-at-the-end": "You project once, after the last step. The constraint must hold after every step.",
        "unconstrained": "There is no projection left: units end outside the ball.",
        "not-every-step": "Some steps end without a projection. The constraint must hold after every step, the last one included.",
        "old-norm": "You took the norms from before the step. The step changes them: measure after it.",
        "whole-kernel": "You took one norm of the whole kernel. Each column has its own.",
        "unit-sphere": "Long units end with norm 1 instead of r.",
        "one-step-short": "Your loop takes one step too few.",
        "one-step-more": "Your loop takes one step too many.",
        "first-turn-only": "Your loop ends after its first turn: does `return` stand inside it?",
        "old-gradient": "You take the gradient of the first kernel in every step. It changes with the kernel: ask for it anew.",
    },
)


@repair.check(
    points=3,
    hint="Three faults: which axis is summed, what happens to units inside the ball, and the order of step and projection.",
    more="Each row of the table of norms belongs to one fault: which norms are exactly r, when are they, and did short ones grow? In max_norm_projection you wrote the right projection.",
)
def follows_the_repaired_loop(ask, rng):
    """gives the kernel of a loop that steps, then projects the columns"""
    r, lr = rng.uniform(1.1, 1.4), rng.uniform(0.2, 0.3)
    # Two units start outside the ball and two are pushed out, and the first row stays short.
    start, target = np.array([[[0.5, 2, 0.5, 2]], [[5, 3, 0.4, 0.4]]]) * r
    signs = rng.choice([-1, 1], size=(2, 3, 4))
    kernel, goal = signs * rng.uniform(0.7, 1.3, size=(2, 3, 4)) * [[0.1], [0.7], [1]]
    kernel, goal = kernel / _norms(kernel) * start, goal / _norms(goal) * target
    curvature = rng.uniform(0.5, 1.5, size=kernel.shape)
    return ask(kernel, lambda w: curvature * (np.asarray(w) - goal), 4, lr, r)


@repair.check(
    points=2,
    hint="With no gradient the units outside end on the ball and the others stay where they are.",
    more="Then the projection is all that acts: a unit of norm 0.3 keeps it, a unit of norm 3 ends with r, and no unit grows.",
    keeps_input=True,
)
def leaves_units_inside_alone(ask, rng):
    """moves no unit inside the ball when the gradient is 0, and ends inside the ball"""
    r = rng.uniform(0.8, 1.5)
    kernel, push = _mixed(rng, r), 3 * rng.normal(size=(5, 4))
    still = ask(kernel, np.zeros_like, 3, 0.5, r)
    (pushed,) = outputs(ask(kernel, lambda w: push, 3, 1.0, r), kernel.shape)
    longest = _norms(pushed).max()
    return {"without gradient": still, "longest unit beyond r": max(longest - r * (1 + 1e-3), 0)}


# --- choose_radius ---------------------------------------------------------------------------

choose = chapter.exercise(
    "choose_radius",
    hints={
        **training.HINTS,
        "one radius only": "You try one radius only. What is right for one task is wrong for the other: try small ones and the one that does nothing.",
        "one rate only": "You try one learning rate only. The best rate depends on the radius: try several of both.",
    },
)

STEPS = 300  # of the final run
_RADII = np.array([0.5, 1, 2, 4, 100])
_RATES = np.array([0.003, 0.01, 0.05, 0.2])
# The share of wrong labels, a pair that is poor, and two that are good.
_TASKS = {
    "wrong labels": (0.4, (100, 0.05), [(0.5, 0.003), (0.5, 0.01)]),
    "right labels": (0.0, (0.5, 0.05), [(4, 0.05), (100, 0.05)]),
}


def _pair_of(radii, rates):
    """Return what reads a radius and a rate of these, as `Trials` needs it."""

    def read(value):
        (pair,) = outputs(value, 2)
        away = [abs(one - other) for one, other in zip((radii, rates), pair, strict=True)]
        if not all(gaps.min() < 1e-6 for gaps in away):
            raise ValueError(
                f"take a radius of {radii.tolist()} first, then a rate of {rates.tolist()}, "
                f"not {pair.tolist()}"
            )
        return float(radii[away[0].argmin()]), float(rates[away[1].argmin()])

    return read


def _draws_clouds(rng):
    """Return what draws rows of 4 classes of 20 inputs: clouds that overlap a little."""
    centres = rng.normal(size=(4, 20))
    centres -= centres.mean(axis=0)
    centres *= 0.6 * np.sqrt(20) / np.linalg.norm(centres, axis=1, keepdims=True)

    def rows(number):
        y = rng.permutation(np.arange(number) % 4)
        return centres[y] + rng.normal(size=(number, 20)), y

    return rows


def _draws_signs(rng):
    """Return what draws rows of 4 classes and 4 small inputs: are the signs of two pairs equal?"""
    turn = 0.3 * np.linalg.qr(rng.normal(size=(4, 4)))[0]

    def rows(number):
        signs = rng.choice([-1.0, 1.0], size=(number, 4))
        y = (signs[:, 0] == signs[:, 1]) + 2 * (signs[:, 2] == signs[:, 3])
        return (signs + 0.3 * rng.normal(size=(number, 4))) @ turn, y

    return rows


class _Task:
    """A network on rows of which a share has a wrong label; the labels of hidden rows are right."""

    def __init__(self, rng, share):
        draw = (_draws_clouds if share else _draws_signs)(rng)
        self.seed, self.rows = int(rng.integers(2**32)), {}
        for name, number in {"train": 250, "dev": 1000, "test": 300, "hidden": 3000}.items():
            x, y = draw(number)
            wrong = (rng.random(number) < share) & (name != "hidden")
            self.rows[name] = x, np.where(wrong, (y + rng.integers(1, 4, size=number)) % 4, y)

    def scores(self, pair, steps, names=("train", "dev", "test"), start=0):
        """Train from a start; return the accuracy on the rows of each name."""
        rng, (radius, rate) = np.random.default_rng([self.seed, start]), pair
        weights = training.train_network(
            *self.rows["train"], steps, rng, radius=radius, learning_rate=rate
        )
        return {name: training.accuracy(weights, *self.rows[name]) for name in names}

    def hidden(self, pair):
        return training.on_hidden(self.scores, pair, STEPS)


@choose.check(
    points=3,
    hint="With wrong labels, or with right ones, the radius and the rate that you choose do little better on hidden rows than a poor pair. Try more radii and more rates, and choose by dev.",
    more="The budget is too small to train every pair for the whole number of steps. Give all pairs an equal share, or train all of them briefly and the best ones longer.",
)
def does_well_on_hidden_rows(ask, rng):
    """chooses a radius and a rate, of several tried, that do well on hidden rows, whether labels are wrong or right"""
    shown = []
    for labels, (share, poor, good) in _TASKS.items():
        task = _Task(rng, share)
        trials = training.Trials(task.scores, _pair_of(_RADII, _RATES), 15 * STEPS)
        chosen = trials.decide(ask, _RADII, _RATES, STEPS)
        least, found = task.hidden(poor), task.hidden(chosen)
        needed = least + 0.6 * (np.mean([task.hidden(pair) for pair in good]) - least)
        radii, rates = (len(set(values)) for values in zip(*trials.runs, strict=True))
        mistakes = {
            "one radius only": radii < 2,
            "one rate only": rates < 2,
            "short runs": trials.longest < training.SHORT * STEPS,
        }
        shown.append((f"{labels}: at least {needed:.3f}", f"{found:.3f} at {chosen}"))
        if found < needed or min(radii, rates) < 2:
            return judge(False, *shown[-1], mistakes)
    return judge(True, *map("; ".join, zip(*shown, strict=True)))


def _landscape(radii, rates, best, other):
    """Make up scores of all pairs: dev is best at one of each, test at the other.

    best, other: places in the lists, of the radius and of the rate. Train is best with the largest
    radius and rate, and the gap smallest with the smallest ones.
    """
    table = {}
    for at in np.ndindex(len(radii), len(rates)):
        away, from_other = (sum(abs(np.subtract(at, place))) for place in (best, other))
        table[float(radii[at[0]]), float(rates[at[1]])] = {
            "train": 0.42 + 0.08 * sum(at),
            "dev": 0.75 - 0.06 * away,
            "test": 0.75 - 0.1 * from_other,
        }
    return table


def _made_up(ask, rng, radii, rates, places, steps, budget):
    """Let an answer decide by made-up scores: (table, trials, chosen), as `follows_dev` takes it."""
    table = _landscape(radii, rates, *places)
    scores = training.made_up(table, steps, rng)
    trials = training.Trials(scores, _pair_of(radii, rates), budget)
    return table, trials, trials.decide(ask, radii, rates, steps)


@choose.check(
    points=3,
    hint="Of the pairs that you try, choose the one with the highest dev accuracy.",
    more='`train` returns a dict: keep train(pair, steps)["dev"] of every pair, and return the pair of the largest. Compare runs of equal length.',
)
def chooses_by_the_dev_rows(ask, rng):
    """chooses by dev accuracy, when train, dev and test rows disagree"""
    places = (1, rng.integers(1, 3)), (3, rng.integers(1, 3))
    decisions = [
        _made_up(ask, rng, _RADII, _RATES, each, STEPS, 40 * STEPS)
        for each in (places, places[::-1])
    ]
    return training.follows_dev(decisions, STEPS)


@choose.check(
    hint="The steps of all your calls of `train` together must be at most `budget`.",
    more="budget // len(pairs) steps for each pair are never too many.",
)
def keeps_to_the_budget(ask, rng):
    """compares pairs within the budget, with other radii, rates and numbers of steps"""
    for radii, rates in ((_RADII, _RATES), (np.array([0.7, 1.4, 50]), np.array([0.02, 0.1]))):
        steps = int(rng.integers(41, 80))
        places = (1, 1), (2, 0)
        *_, trials, _ = _made_up(ask, rng, radii, rates, places, steps, 12 * steps)
    return judge(True, f"at most {trials.budget} steps", f"{trials.spent} steps")
