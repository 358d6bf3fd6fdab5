"""Checks of chapter 09, weight constraints."""

import numpy as np

from regbook.check import Chapter, Outcome, Wrong, brief, compare, outputs

chapter = Chapter("09_max_norm")


def _norms(w, axis=0):
    return np.sqrt((w**2).sum(axis=axis, keepdims=True))


def _project(w, r, axis=0):
    return w * np.minimum(1, r / _norms(w, axis))


def _kernel(rng, norms, inputs=5):
    """Draw a kernel of shape (inputs, units) whose units have these norms."""
    w = rng.normal(size=(inputs, len(norms)))
    return w / _norms(w) * norms


def _mixed(rng, r, inputs=5):
    """Draw a kernel with units inside and outside the ball of radius r."""
    return _kernel(rng, r * np.array([*rng.uniform(1.5, 3, 2), *rng.uniform(0.2, 0.6, 2)]), inputs)


def _apart(values):
    """Tell whether every pair of these arrays differs clearly, so that no two faults look alike."""
    return all(np.abs(a - b).max() > 0.02 for i, a in enumerate(values) for b in values[:i])


# --- max_norm_projection ---------------------------------------------------------------------


@chapter.check(
    "max_norm_projection",
    points=2,
    hint="Multiply each unit by min(1, r / norm), with the norm taken over `axis`.",
    more="norm = np.sqrt((W**2).sum(axis=axis, keepdims=True)); the factor is "
    "r / np.maximum(norm, r).",
)
def draws_units_back(answer, rng):
    """shortens units outside the ball to r and leaves units inside alone"""
    r = rng.uniform(0.7, 1.6)
    w = _mixed(rng, r)
    norm = _norms(w)
    return compare(
        answer(w, r, 0),
        _project(w, r),
        wrong=[
            Wrong(
                "no-direction",
                np.where(norm > r, r / norm, w),
                "You replaced the weights by the number r / norm, so a unit forgets its direction. "
                "Multiply: w * r / norm.",
            ),
            Wrong(
                "no-direction-at-all",
                np.broadcast_to(r / norm, w.shape),
                "r / norm is the factor, not the result. Multiply the weights by it, and only "
                "where the norm is above r.",
            ),
            Wrong(
                "scales-up",
                w * r / norm,
                "Units inside the ball grew to norm r. Leave them alone: the factor is "
                "min(1, r / norm).",
            ),
            Wrong(
                "inverted",
                w * np.maximum(1, r / norm),
                "Your condition is turned round: short units grow and long ones stay. The factor "
                "is min(1, r / norm).",
            ),
            Wrong(
                "other-axis",
                _project(w, r, 1),
                "The norm runs over the wrong axis: `axis` names the axes to sum over, not the "
                "axis of the units.",
            ),
            Wrong(
                "whole-kernel",
                w * min(1, r / np.linalg.norm(w)),
                "You took one norm of the whole kernel. Each unit has its own.",
            ),
            Wrong(
                "clipped",
                np.clip(w, -r, r),
                "You clipped single weights. The constraint is on the norm of a unit: all its "
                "weights shrink by one factor.",
            ),
            Wrong(
                "squared",
                w * np.minimum(1, r / norm**2),
                "You compare with the sum of the squares. The norm is its root.",
            ),
            Wrong(
                "absolute",
                w * np.minimum(1, r / np.abs(w).sum(axis=0)),
                "You took the 1-norm, the sum of absolute values. Max-norm uses the root of the "
                "sum of squares.",
            ),
            Wrong(
                "unit-sphere",
                np.where(norm > r, w / norm, w),
                "Long units end with norm 1 instead of r.",
            ),
            Wrong("unchanged", w, "Nothing changed: units outside the ball must be shortened."),
        ],
    )


@chapter.check(
    "max_norm_projection",
    points=2,
    hint="For a convolution `axis` is the tuple (0, 1, 2): one norm per filter.",
    more="Pass `axis` on to the sum, with keepdims=True so that the factor fits the kernel.",
)
def handles_a_convolution(answer, rng):
    """uses one norm per filter when axis is (0, 1, 2), and works for a weight of PyTorch"""
    r = rng.uniform(0.7, 1.6)
    filters = rng.normal(size=(3, 2, 4, 5)) * rng.choice([0.1, 1.0], size=5)
    filters[..., 0] *= 10 / np.linalg.norm(filters[..., 0])
    outcome = compare(
        answer(filters, r, (0, 1, 2)),
        _project(filters, r, (0, 1, 2)),
        wrong=[
            Wrong(
                "first-axis",
                _project(filters, r, 0),
                "You sum over the first axis only. A filter has three axes of inputs: use the "
                "argument `axis` as it comes.",
            ),
            Wrong(
                "last-axis",
                _project(filters, r, -1),
                "You sum over the last axis, which counts the filters. Use the argument `axis`.",
            ),
        ],
    )
    if not outcome.passed:
        return outcome
    weight = _mixed(rng, r).T  # (out, in)
    return compare(answer(weight, r, 1), _project(weight, r, 1))


@chapter.check(
    "max_norm_projection",
    hint="A unit whose weights are all zero has norm 0: avoid 0 / 0.",
    more="Divide by np.maximum(norm, r), which is never 0.",
)
def keeps_a_zero_unit(answer, rng):
    """keeps a unit of zeros, and a kernel that lies inside the ball"""
    w = _kernel(rng, rng.uniform(0.2, 0.9, size=4))
    w[:, 1] = 0
    return compare(answer(w, 1.0, 0), w)


# --- train_step_with_max_norm ----------------------------------------------------------------


def _gradients(kernel, bias, x, y):
    """Return the gradients of the mean cross-entropy of a softmax layer."""
    logits = x @ kernel + bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    d = (p - np.eye(len(bias))[y]) / len(x)
    return x.T @ d, d.sum(axis=0)


def _softmax_layer(rng, norms):
    kernel, bias = _kernel(rng, norms, inputs=4), rng.normal(size=len(norms))
    x, y = 4 * rng.normal(size=(6, 4)), rng.integers(0, len(norms), size=6)
    return kernel, bias, x, y


@chapter.check(
    "train_step_with_max_norm",
    points=3,
    hint="First the step on kernel and bias, then the projection of the kernel's columns.",
    more="kernel -= lr * gradient; then kernel *= min(1, r / norm), the norm over axis 0. Take the "
    "mean cross-entropy over the rows.",
)
def steps_then_projects(answer, rng):
    """takes the step, then draws the units of the kernel back"""
    r, lr = rng.uniform(0.9, 1.1), rng.uniform(0.5, 1.0)
    kernels = []
    while not kernels or not _apart(kernels):
        kernel, bias, x, y = _softmax_layer(rng, r * np.array([0.3, 0.8, 1.6]))
        bias *= 3 * r / np.linalg.norm(bias)
        dk, db = _gradients(kernel, bias, x, y)
        stepped, new_bias = kernel - lr * dk, bias - lr * db
        kernels = [_project(stepped, r), _project(stepped, r, 1), stepped, kernel]
        kernels += [stepped * r / _norms(stepped), kernel - lr * _project(dk, r)]
    early = _project(kernel, r)
    early_dk, early_db = _gradients(early, bias, x, y)
    rows = len(x)
    return compare(
        outputs(answer(kernel, bias, x, y, lr, r), kernel.shape, bias.shape),
        (_project(stepped, r), new_bias),
        wrong=[
            Wrong(
                "no-projection",
                (stepped, new_bias),
                "The kernel was not projected: after the step some columns are longer than r.",
            ),
            Wrong(
                "projected-before",
                (early - lr * early_dk, bias - lr * early_db),
                "You projected before the step. The step then leaves the ball: project after it.",
            ),
            Wrong(
                "projected-before",
                (early - lr * dk, new_bias),
                "You projected the old kernel and then subtracted the step. Project after it.",
            ),
            Wrong(
                "no-step",
                (early, bias),
                "You projected, but took no step: is the gradient computed and subtracted?",
            ),
            Wrong(
                "bias-projected",
                (_project(stepped, r), _project(new_bias, r)),
                "The bias is constrained too. Leave it free.",
            ),
            Wrong(
                "bias-fixed",
                (_project(stepped, r), bias),
                "The bias did not move. It takes the step as well, without a projection.",
            ),
            Wrong(
                "wrong-axis",
                (_project(stepped, r, 1), new_bias),
                "You bounded the rows. Here a column holds the weights that enter one unit: sum "
                "over axis 0.",
            ),
            Wrong(
                "scales-up",
                (stepped * r / _norms(stepped), new_bias),
                "Units inside the ball grew to norm r: the minimum in min(1, r / norm) is missing.",
            ),
            Wrong(
                "whole-kernel",
                (stepped * min(1, r / np.linalg.norm(stepped)), new_bias),
                "You took one norm of the whole kernel. Each column has its own.",
            ),
            Wrong(
                "gradient-clipped",
                (kernel - lr * _project(dk, r), new_bias),
                "You bounded the gradient. That is gradient clipping; max-norm bounds the weights.",
            ),
            Wrong(
                "summed-loss",
                (_project(kernel - lr * rows * dk, r), bias - lr * rows * db),
                "You took the sum of the losses over the rows. The loss is their mean.",
            ),
            Wrong(
                "ascent",
                (_project(kernel + lr * dk, r), bias + lr * db),
                "You step up the gradient. Descent subtracts it.",
            ),
        ],
    )


@chapter.check(
    "train_step_with_max_norm",
    points=2,
    hint="Inside the ball the step must be plain gradient descent.",
    more="With a large r return kernel - lr * gradient and bias - lr * gradient, unchanged.",
)
def is_plain_descent_inside(answer, rng):
    """is plain gradient descent while no unit reaches the wall"""
    kernel, bias, x, y = _softmax_layer(rng, rng.uniform(0.5, 1.5, size=3))
    lr = rng.uniform(0.1, 0.3)
    dk, db = _gradients(kernel, bias, x, y)
    return compare(
        outputs(answer(kernel, bias, x, y, lr, 50.0), kernel.shape, bias.shape),
        (kernel - lr * dk, bias - lr * db),
        wrong=[
            Wrong(
                "pushed-to-the-wall",
                ((kernel - lr * dk) * 50 / _norms(kernel - lr * dk), bias - lr * db),
                "Every unit was scaled up to r. A constraint does nothing inside the ball.",
            )
        ],
    )


# --- find_active_units -----------------------------------------------------------------------


@chapter.check(
    "find_active_units",
    points=2,
    hint="A unit is active when the norm of its column is at least (1 - tol) * r.",
    more="np.linalg.norm(kernel, axis=0) >= (1 - tol) * r",
)
def counts_units_on_the_wall(answer, rng):
    """finds the units on the wall, those slightly below r included"""
    r, tol = rng.uniform(1.6, 3), rng.uniform(0.03, 0.06)
    near = 1 - tol * rng.uniform(0.2, 0.8)
    # For r above 1, tol alone is a narrower band than tol * r: the unit at `between` tells.
    between = 1 - tol * (1 + 1 / r) / 2
    beyond = 1 - tol * rng.uniform(1.3, 1.6)
    kernel = _kernel(rng, r * np.array([0.3, 1 - 1e-7, near, beyond, between, 0.7, 0.5]), inputs=4)
    kernel[:, -1] = (0, near * r, 0, 0)  # one weight alone reaches the wall
    order = rng.permutation(7)
    kernel = kernel[:, order]
    norm = _norms(kernel)[0]
    active = norm >= (1 - tol) * r
    rows = np.linalg.norm(kernel, axis=1)
    return compare(
        answer(kernel, r, tol),
        active,
        wrong=[
            Wrong(
                "strictly-above",
                norm > r,
                "No norm is above r after a projection, so you find none. Allow for the "
                "tolerance: at least (1 - tol) * r.",
            ),
            Wrong(
                "inverted",
                ~active,
                "You marked the units inside the ball. The active ones lie on the wall.",
            ),
            Wrong(
                "absolute-tolerance",
                norm >= r - tol,
                "You subtracted tol itself. The tolerance is relative: (1 - tol) * r.",
            ),
            Wrong(
                "squared",
                (kernel**2).sum(axis=0) >= (1 - tol) * r,
                "You compare the sum of squares with r. Take the root first.",
            ),
            Wrong(
                "rows",
                rows >= (1 - tol) * r,
                "You took the norms of the rows. A unit is a column: sum over axis 0.",
            ),
            Wrong(
                "entries",
                (np.abs(kernel) >= (1 - tol) * r).any(axis=0),
                "You compare single weights with r. The constraint is on the norm of the column.",
            ),
            Wrong(
                "indices",
                np.flatnonzero(active),
                "Return one truth value per unit, not the numbers of the active ones.",
            ),
            Wrong(
                "count",
                active.sum(),
                "Return one truth value per unit, not their number.",
            ),
        ],
    )


@chapter.check(
    "find_active_units",
    hint="If all units lie well inside the ball the constraint does nothing: all False.",
    more="Compare every column with (1 - tol) * r; return the comparison.",
)
def sees_an_idle_constraint(answer, rng):
    """finds no active unit when all lie inside, and every unit when all lie on the wall"""
    r = rng.uniform(1.2, 3)
    inside = _kernel(rng, r * rng.uniform(0.1, 0.8, size=5), inputs=8)
    outcome = compare(answer(inside, r, 1e-3), np.zeros(5, bool))
    if not outcome.passed:
        return outcome
    wall = _kernel(rng, np.full(5, r) * (1 - 1e-6), inputs=8)
    received = answer(wall, r, 1e-3)
    outcome = compare(received, np.ones(5, bool))
    if outcome.passed and received.dtype != bool:
        return Outcome(
            False,
            "True or False",
            brief(received),
            "numbers",
            "Return truth values, not 0 and 1: as an index into the columns, 0 and 1 would pick "
            "the first two units.",
        )
    return outcome


# --- repair_the_constraint -------------------------------------------------------------------


def _loop(kernel, gradient, steps, lr, r, axis=0, up=False, early=False, each=True):
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


_FAULTS = {
    "as-given": (
        {"axis": 1, "up": True, "early": True},
        "This is still the loop as it was given, with all three faults.",
    ),
    "too-early": (
        {"early": True},
        "You still project before the step, so the last step leaves the ball. Step first.",
    ),
    "wrong-axis": (
        {"axis": 1},
        "The rows are bounded, not the units. A unit is a column: sum over axis 0.",
    ),
    "scales-up": (
        {"up": True},
        "Units inside the ball are still scaled up to r. The factor is min(1, r / norm).",
    ),
    "order-only": (
        {"axis": 1, "up": True},
        "The order is right now. Two faults are left: look at the axis, and at units inside the "
        "ball.",
    ),
    "axis-only": (
        {"up": True, "early": True},
        "The axis is right now. Two faults are left: the order, and units inside the ball.",
    ),
    "minimum-only": (
        {"axis": 1, "early": True},
        "Units inside are left alone now. Two faults are left: the order and the axis.",
    ),
    "only-at-the-end": (
        {"each": False},
        "You project once, after the last step. The constraint must hold after every step.",
    ),
}


@chapter.check(
    "repair_the_constraint",
    points=3,
    hint="Three faults: which axis is summed, what happens to units inside the ball, and the order "
    "of step and projection.",
    more="In each turn: kernel = kernel - lr * gradient(kernel); then multiply each column by "
    "min(1, r / norm), the norm over axis 0.",
)
def follows_the_repaired_loop(answer, rng):
    """gives the kernel of a loop that steps, then projects the columns"""
    r, lr, steps = rng.uniform(0.9, 1.2), rng.uniform(0.4, 0.6), 4
    scale = np.array([[0.2], [0.7], [1.5]])  # rows of different lengths tell the axes apart
    settings = [{}, *(fault for fault, _ in _FAULTS.values())]
    loops = []
    while not loops or not _apart(loops):
        kernel, target = scale * rng.normal(size=(2, 3, 4))
        curvature = rng.uniform(0.5, 1.5, size=kernel.shape)

        def gradient(w, curvature=curvature, target=target):
            return curvature * (np.asarray(w) - 2 * target)

        loops = [_loop(kernel, gradient, steps, lr, r, **fault) for fault in settings]
        loops += [_loop(kernel, gradient, steps, lr, 1e9)]
        loops += [_loop(kernel, gradient, steps - 1, lr, r)]

    expected, *faulty, unconstrained, short = loops
    wrong = [
        Wrong(key, value, hint)
        for (key, (_, hint)), value in zip(_FAULTS.items(), faulty, strict=True)
    ]
    wrong += [
        Wrong(
            "unconstrained",
            unconstrained,
            "There is no projection left: units end outside the ball.",
        ),
        Wrong("one-step-short", short, "Your loop takes one step too few."),
    ]
    return compare(answer(kernel, gradient, steps, lr, r), expected, wrong)


@chapter.check(
    "repair_the_constraint",
    points=2,
    hint="With no gradient the units outside end on the ball and the others stay where they are.",
    more="Then min(1, r / norm) is all that acts: no unit may grow.",
)
def leaves_units_inside_alone(answer, rng):
    """moves no unit inside the ball when the gradient is 0, and ends inside the ball"""
    r = rng.uniform(0.8, 1.5)
    kernel = _mixed(rng, r)
    outcome = compare(
        answer(kernel, np.zeros_like, 3, 0.5, r),
        _project(kernel, r),
        wrong=[
            Wrong(
                "scales-up",
                kernel * r / _norms(kernel),
                "Units inside the ball grew although nothing pushed them: the minimum is missing.",
            )
        ],
    )
    if not outcome.passed:
        return outcome
    push = rng.normal(size=kernel.shape) * 3
    (received,) = outputs(answer(kernel, lambda w: push, 2, 1.0, r), kernel.shape)
    longest = np.linalg.norm(received, axis=0).max()
    return Outcome(bool(longest <= r * (1 + 1e-3)), f"no norm above {r:.4g}", brief(longest))
