"""Checks of chapter 09, weight constraints."""

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import Chapter, Failed, brief, outputs, vary

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
    return _kernel(rng, r * np.array([*rng.uniform(1.5, 3, 2), *rng.uniform(0.2, 0.6, 2)]), inputs)


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
        "unit-sphere": "Long units end with norm 1 instead of r.",
        "unchanged": "Nothing changed: units outside the ball must be shortened.",
        "first-axis": "You sum over the first axis only. A filter has three axes of inputs: use the argument `axis` as it comes.",
        "last-axis": "You sum over the last axis, which counts the filters. Use the argument `axis`.",
    },
)


@projection.check(
    points=2,
    hint="Multiply each unit by min(1, r / norm), with the norm taken over `axis`.",
    more="norm = np.sqrt((W**2).sum(axis=axis, keepdims=True)); the factor is r / np.maximum(norm, r).",
)
def draws_units_back(ask, rng):
    """shortens units outside the ball to r and leaves units inside alone"""
    r = rng.uniform(0.7, 1.6)
    return ask(_mixed(rng, r), r, 0)


@projection.check(
    points=2,
    hint="For a convolution `axis` is the tuple (0, 1, 2): one norm per filter.",
    more="Pass `axis` on to the sum, with keepdims=True so that the factor fits the kernel.",
    keeps_input=True,
)
def handles_a_convolution(ask, rng):
    """uses one norm per filter when axis is (0, 1, 2), and works for a weight of PyTorch"""
    r = rng.uniform(0.7, 1.6)
    filters = rng.normal(size=(3, 2, 4, 5)) * rng.choice([0.1, 1.0], size=5)
    filters[..., 0] *= 10 / np.linalg.norm(filters[..., 0])
    weight = _mixed(rng, r).T  # (out, in)
    return {"a convolution": ask(filters, r, (0, 1, 2)), "a weight of PyTorch": ask(weight, r, 1)}


@projection.check(
    hint="A unit whose weights are all zero has norm 0: avoid 0 / 0.",
    more="Divide by np.maximum(norm, r), which is never 0.",
)
def keeps_a_zero_unit(ask, rng):
    """keeps a unit of zeros, and a kernel that lies inside the ball"""
    w = _kernel(rng, rng.uniform(0.2, 0.9, size=4))
    w[:, 1] = 0
    return ask(w, 1.0, 0)


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
    more="kernel -= lr * gradient; then kernel *= min(1, r / norm), the norm over axis 0. Take the mean cross-entropy over the rows.",
)
def steps_then_projects(ask, rng):
    """takes the step, then draws the units of the kernel back"""
    r, lr = rng.uniform(0.9, 1.1), rng.uniform(0.6, 1.0)
    ready = False
    # One unit must stay inside and another be pushed out; a row and a gradient must be long, too.
    while not ready:
        kernel, bias, x, y = _layer(rng, r * np.array([0.1, 0.1, 0.9, 0.9, 2]))
        bias *= 3 * r / np.linalg.norm(bias)
        gradient = _gradients(kernel, bias, x, y)[0]
        units, rows = _norms(kernel - lr * gradient), _norms(kernel - lr * gradient, 1)
        long = min(units[0, :4].max(), rows.max(), _norms(gradient).max()) > 1.1 * r
        ready = long and units.min() < 0.9 * r
    return outputs(ask(kernel, bias, x, y, lr, r), kernel.shape, bias.shape)


@train_step.check(
    points=2,
    hint="Inside the ball the step must be plain gradient descent.",
    more="With a large r return kernel - lr * gradient and bias - lr * gradient, unchanged.",
    keeps_input=True,
)
def is_plain_descent_inside(ask, rng):
    """is plain gradient descent while no unit reaches the wall"""
    case = _layer(rng, rng.uniform(0.5, 1.5, size=3))
    return outputs(ask(*case, rng.uniform(0.1, 0.3), 50.0), (4, 3), (3,))


# --- find_active_units -----------------------------------------------------------------------


def _active(kernel, r, tol):
    return np.linalg.norm(kernel, axis=0) >= (1 - tol) * r


find_active = chapter.exercise(
    "find_active_units",
    _active,
    mistakes={
        "strictly-above": lambda kernel, r, tol: np.linalg.norm(kernel, axis=0) > r,
        "inverted": lambda kernel, r, tol: ~_active(kernel, r, tol),
        "absolute-tolerance": lambda kernel, r, tol: np.linalg.norm(kernel, axis=0) >= r - tol,
        "squared": lambda kernel, r, tol: (kernel**2).sum(axis=0) >= (1 - tol) * r,
        "rows": lambda kernel, r, tol: _active(kernel.T, r, tol),
        "entries": lambda kernel, r, tol: (np.abs(kernel) >= (1 - tol) * r).any(axis=0),
        "indices": lambda kernel, r, tol: np.flatnonzero(_active(kernel, r, tol)),
        "count": lambda kernel, r, tol: _active(kernel, r, tol).sum(),
    },
    hints={
        "strictly-above": "No norm is above r after a projection, so you find none. Allow for the tolerance: at least (1 - tol) * r.",
        "inverted": "You marked the units inside the ball. The active ones lie on the wall.",
        "absolute-tolerance": "You subtracted tol itself. The tolerance is relative: (1 - tol) * r.",
        "squared": "You compare the sum of squares with r. Take the root first.",
        "rows": "You took the norms of the rows. A unit is a column: sum over axis 0.",
        "entries": "You compare single weights with r. The constraint is on the norm of the column.",
        "indices": "Return one truth value per unit, not the numbers of the active ones.",
        "count": "Return one truth value per unit, not their number.",
        "numbers": "Return truth values, not 0 and 1: as an index into the columns, 0 and 1 would pick the first two units.",
    },
)


@find_active.check(
    points=2,
    hint="A unit is active when the norm of its column is at least (1 - tol) * r.",
    more="np.linalg.norm(kernel, axis=0) >= (1 - tol) * r",
    keeps_input=True,
)
def counts_units_on_the_wall(ask, rng):
    """finds the units on the wall, those slightly below r included"""
    r, tol = rng.uniform(1.6, 3), rng.uniform(0.03, 0.06)
    near = 1 - tol * rng.uniform(0.2, 0.8)
    # For r above 1, tol alone is a narrower band than tol * r: the unit at `between` tells.
    between = 1 - tol * (1 + 1 / r) / 2
    beyond = 1 - tol * rng.uniform(1.3, 1.6)
    kernel = _kernel(rng, r * np.array([0.3, 1 - 1e-7, near, beyond, between, 0.7, 0.5]), inputs=4)
    kernel[:, -1] = (0, near * r, 0, 0)  # one weight alone reaches the wall
    return ask(kernel[:, rng.permutation(7)], r, tol)


@find_active.check(
    hint="If all units lie well inside the ball the constraint does nothing: all False.",
    more="Compare every column with (1 - tol) * r; return the comparison.",
)
def sees_an_idle_constraint(ask, rng):
    """finds no active unit when all lie inside, and every unit when all lie on the wall"""
    r = rng.uniform(1.2, 3)
    inside = _kernel(rng, r * rng.uniform(0.1, 0.8, size=5), inputs=8)
    wall = _kernel(rng, np.full(5, r) * (1 - 1e-6), inputs=8)
    none, each = ask(inside, r, 1e-3), ask(wall, r, 1e-3)
    right = np.array_equal(none, np.zeros(5)) and np.array_equal(each, np.ones(5))
    if right and each.dtype != bool:
        raise Failed("True or False", brief(each), "numbers")
    return {"all inside": none, "all on the wall": each}


# --- repair_the_constraint -------------------------------------------------------------------


def _loop(kernel, gradient, steps, lr, r, *, axis=0, up=False, early=False, each=True):
    """Run the loop with any of its faults left in."""

    def constrain(w):
        factor = r / _norms(w, axis)
        return w * (factor if up else np.minimum(1, factor))

    for _ in range(steps):
        if early:
            kernel = constrain(kernel)
        kernel = kernel - lr * gradient(kernel)
        if each and not early:
            kernel = constrain(kernel)
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
        "one-step-short": vary(_loop, steps=lambda steps: steps - 1),
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
        "one-step-short": "Your loop takes one step too few.",
    },
)


@repair.check(
    points=3,
    hint="Three faults: which axis is summed, what happens to units inside the ball, and the order of step and projection.",
    more="In each turn: kernel = kernel - lr * gradient(kernel); then multiply each column by min(1, r / norm), the norm over axis 0.",
)
def follows_the_repaired_loop(ask, rng):
    """gives the kernel of a loop that steps, then projects the columns"""
    r, lr = rng.uniform(0.9, 1.2), rng.uniform(0.2, 0.3)
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
    more="Then min(1, r / norm) is all that acts: no unit may grow.",
    keeps_input=True,
)
def leaves_units_inside_alone(ask, rng):
    """moves no unit inside the ball when the gradient is 0, and ends inside the ball"""
    r = rng.uniform(0.8, 1.5)
    kernel, push = _mixed(rng, r), 3 * rng.normal(size=(5, 4))
    still = ask(kernel, np.zeros_like, 3, 0.5, r)
    (pushed,) = outputs(ask(kernel, lambda w: push, 2, 1.0, r), kernel.shape)
    longest = _norms(pushed).max()
    return {"without gradient": still, "longest unit beyond r": max(longest - r * (1 + 1e-3), 0)}
