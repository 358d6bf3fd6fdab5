"""Checks of chapter 23, the case study on Fashion-MNIST."""

from itertools import pairwise, product

import numpy as np

from regbook.arrays import log_softmax, softmax
from regbook.exercise import (
    Chapter,
    Failed,
    brief,
    fresh_generator,
    judge,
    outputs,
    plain,
    training,
    vary,
)
from regbook.exercise.compare import alike

chapter = Chapter("23_case_fashion")


# --- confusion_matrix ----------------------------------------------------------------------------


def _confusion(y_true, y_pred, num_classes):
    """Return the counts by true class (row) and predicted class (column)."""
    found = np.zeros((num_classes, num_classes), dtype=int)
    np.add.at(found, (y_true, y_pred), 1)
    return found


def _repeats_once(y_true, y_pred, num_classes):
    found = np.zeros((num_classes, num_classes), dtype=int)
    found[y_true, y_pred] += 1
    return found


def _of_seen_classes(y_true, y_pred, num_classes):
    seen = np.unique(np.concatenate([y_true, y_pred]))
    return _confusion(np.searchsorted(seen, y_true), np.searchsorted(seen, y_pred), len(seen))


def _per(axis):
    def shares(*given):
        found = _confusion(*given)
        return found / np.maximum(found.sum(axis=axis, keepdims=True), 1)

    return shares


def _up_to_the_largest(y_true, y_pred, num_classes):
    return _confusion(y_true, y_pred, 1 + max(y_true.max(initial=0), y_pred.max(initial=0)))


confusion_matrix = chapter.exercise(
    "confusion_matrix",
    _confusion,
    mistakes={
        "transposed": lambda *given: _confusion(*given).T,
        "repeats count once": _repeats_once,
        "classes counted in the labels": [_of_seen_classes, _up_to_the_largest],
        "shares of all rows": lambda *given: _confusion(*given) / max(len(given[0]), 1),
        "shares of the true class": _per(1),
        "shares of the predicted class": _per(0),
        "errors only": lambda *given: _confusion(*given) * (1 - np.eye(given[2], dtype=int)),
        "right ones only": lambda *given: _confusion(*given) * np.eye(given[2], dtype=int),
        "true labels only": lambda y_true, y_pred, k: _confusion(y_true, y_true, k),
        "from 1": lambda *given: _confusion(*given) + 1,
    },
    hints={
        "transposed": "Rows and columns are swapped: the row is the true class, the column the predicted one.",
        "repeats count once": "You count every pair of classes once, however often it occurs: `m[y_true, y_pred] += 1` adds 1 to each place a single time. Use np.add.at, np.bincount or a loop.",
        "classes counted in the labels": "You take the number of classes from the labels. A class may be absent: use num_classes.",
        "shares of all rows": "You divide by the number of rows. Return the counts.",
        "shares of the true class": "You divide each row by its sum. Return the counts.",
        "shares of the predicted class": "You divide each column by its sum. Return the counts.",
        "errors only": "You leave the diagonal out. It holds the rows that are classified rightly: count them too.",
        "right ones only": "You count the rows that are classified rightly, and no errors.",
        "true labels only": "You compare the true labels with themselves.",
        "from 1": "Your counts begin at 1. Begin with zeros.",
    },
)


def _two_labels(rng, rows, classes):
    """Draw labels and predictions of which every pair of different classes may occur."""
    y_true = rng.integers(classes, size=rows)
    wrong = rng.random(rows) < 0.4
    return y_true, np.where(wrong, (y_true + rng.choice([1, 1, 2], size=rows)) % classes, y_true)


@confusion_matrix.check(
    points=2,
    hint="Entry [i, j] is the number of rows whose true class is i and whose predicted class is j.",
    more="Begin with zeros of shape (num_classes, num_classes), go through the rows, and add 1 at [true class, predicted class].",
    keeps_input=True,
)
def counts_pairs(ask, rng):
    """counts the rows by their true class (row) and their predicted class (column)"""
    classes = int(rng.integers(3, 6))
    return ask(*_two_labels(rng, 40, classes), classes)


@confusion_matrix.check(
    hint="The matrix has num_classes rows and columns, whatever classes occur.",
    more="A class that occurs nowhere has a row and a column of zeros. Without any rows all entries are 0.",
)
def has_a_place_for_absent_classes(ask, rng):
    """has a row and a column for classes that occur nowhere, and zeros without any rows"""
    y_true, y_pred = _two_labels(rng, 30, 3)
    none = np.zeros(0, dtype=int)
    return {"absent classes": ask(1 + 2 * y_true, 1 + 2 * y_pred, 7), "no rows": ask(none, none, 3)}


# --- most_confused -------------------------------------------------------------------------------


def _of_true_class(matrix):
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)


def _of_predicted_class(matrix):
    return matrix / np.maximum(matrix.sum(axis=0, keepdims=True), 1)


def _of_errors(matrix):
    return _of_true_class(matrix * (1 - np.eye(len(matrix), dtype=int)))


def _unsafe(matrix):
    with np.errstate(all="ignore"):
        return matrix / matrix.sum(axis=1, keepdims=True)


def _both_ways(matrix):
    shares = np.triu(_of_true_class(matrix) + _of_true_class(matrix).T)
    return shares


def _ranked(matrix, top, *, value=_of_true_class, diagonal=-1.0, sign=-1, swap=False):
    """Return the pairs of classes with the highest values."""
    values = value(np.asarray(matrix)).astype(float)
    if diagonal is not None:
        np.fill_diagonal(values, diagonal)
    order = np.argsort(sign * values, axis=None, kind="stable")
    if value is _unsafe:  # NaN comes last in ascending order, and first once that is reversed
        order = np.argsort(values, axis=None, kind="stable")[::-1]
    pairs = np.stack(np.unravel_index(order[:top], values.shape), axis=1)
    return pairs[:, ::-1] if swap else pairs


most_confused = chapter.exercise(
    "most_confused",
    _ranked,
    mistakes={
        "counts": vary(_ranked, value=lambda m: m),
        "share of the predicted class": vary(_ranked, value=_of_predicted_class),
        "share of the class's errors": vary(_ranked, value=_of_errors),
        "both directions together": vary(_ranked, value=_both_ways),
        "diagonal": vary(_ranked, diagonal=None),
        "predicted class first": vary(_ranked, swap=True),
        "least confused": vary(_ranked, diagonal=2.0, sign=1),
        "reversed": lambda *given: _ranked(*given)[::-1],
        "one pair for each class": lambda matrix, top: _ranked(
            np.where(_of_true_class(matrix) >= _off(matrix).max(axis=1, keepdims=True), matrix, 0),
            top,
        ),
        "division by zero": vary(_ranked, value=_unsafe),
        "one pair too few": lambda matrix, top: _ranked(matrix, top - 1),
        "all pairs": lambda matrix, top: _ranked(matrix, len(matrix) * (len(matrix) - 1)),
    },
    hints={
        "counts": "You compare counts. A large class has more of everything: divide each row by the number of rows of its true class first.",
        "share of the predicted class": "You divide by the column sums, which asks how often a prediction is wrong. Divide by the row sums: how often is this true class mistaken for that one?",
        "share of the class's errors": "You leave the diagonal out of the sum. Divide by all rows of the true class, the right ones included.",
        "both directions together": "You add the two directions of a pair. A shirt that is called a coat and a coat that is called a shirt are different errors.",
        "diagonal": "Your list includes the diagonal: those rows are classified rightly.",
        "predicted class first": "Each pair is (true class, predicted class), in this order.",
        "least confused": "You list the pairs that are confused least. Begin with the largest share.",
        "reversed": "You have the right pairs from the smallest share to the largest. Begin with the largest.",
        "one pair for each class": "You keep one confusion of each class. Rank all pairs together: a class can have several.",
        "division by zero": "A class without rows makes you divide by zero, and NaN comes out first. Its shares are 0.",
        "one pair too few": "You return one pair too few.",
        "all pairs": "You return all pairs. Return the first `top`.",
    },
)


def _off(matrix):
    """Return the shares of the true class, without the diagonal."""
    return _of_true_class(matrix) * (1 - np.eye(len(matrix)))


def _confused(rng, classes, top, empty=False):
    """Draw a matrix whose first pairs are clear, and other ones by every mistake."""
    while True:
        sizes = rng.permutation(np.geomspace(40, 900, classes)).astype(int)
        shares = rng.dirichlet(np.full(classes, 0.4), size=classes)
        shares = 0.55 * np.eye(classes) + 0.45 * shares
        matrix = np.stack([rng.multinomial(n, p) for n, p in zip(sizes, shares, strict=True)])
        if empty:
            matrix[rng.integers(classes)] = 0
        first = np.sort(_off(matrix), axis=None)[::-1][: top + 1]
        right = _ranked(matrix, top)
        shown = [f(matrix, top) for name, f in most_confused.mistakes if name != "division by zero"]
        if np.diff(first).max() < -0.005 and not any(alike(right, other) for other in shown):
            return matrix


@most_confused.check(
    points=2,
    hint="Divide each row by its sum, set the diagonal aside, and sort what is left from the largest share down.",
    more="np.argsort(-shares, axis=None) sorts the entries of the whole matrix, and np.unravel_index turns their places into rows and columns.",
    keeps_input=True,
)
def ranks_by_the_share_of_the_true_class(ask, rng):
    """ranks the pairs (true class, predicted class) by the share of the true class"""
    top = int(rng.integers(3, 6))
    return ask(_confused(rng, int(rng.integers(5, 8)), top), top)


@most_confused.check(
    hint="A class without rows has a row of zeros. Its shares are 0, so it comes last.",
    more="np.maximum(sums, 1) makes the division safe: 0 divided by 1 is 0.",
)
def passes_over_classes_without_rows(ask, rng):
    """passes over a class without rows"""
    return ask(_confused(rng, 6, 4, empty=True), 4)


# --- is_affine -----------------------------------------------------------------------------------


def _additive(f, a, b):
    """Return f(a) + f(b) - f(0) - f(a + b), which is 0 for an affine f, and the outputs."""
    values = f(a), f(b), f(0 * a), f(a + b)
    return values[0] + values[1] - values[2] - values[3], values


def _without_bias(f, a, b):
    values = f(a), f(b), f(a + b)
    return values[0] + values[1] - values[2], values


def _homogeneous(f, a, b):
    values = f(a), f(2 * a)
    return 2 * values[0] - values[1], values


def _one_ray(f, a, b):
    values = f(0 * a), f(a), f(2 * a)
    return values[2] - 2 * values[1] + values[0], values


def _is_affine(
    model, num_features, rng, *,
    scales=(1, 1000), gap=_additive, points=lambda x: x, columns=slice(None), absolute=None,
    relative=1e-3, says=lambda affine: affine,
):  # fmt: skip
    """Tell whether a model is affine, or a variant of that."""
    for scale in scales:
        a, b = points(scale * rng.normal(size=(2, 16, num_features)))
        difference, values = gap(lambda x: model(x)[:, columns], a, b)
        size = max(np.abs(value).max() for value in values)
        if np.abs(difference).max() > (relative * size if absolute is None else absolute):
            return says(False)
    return says(True)


is_affine = chapter.exercise(
    "is_affine",
    _is_affine,
    mistakes={
        "bias forgotten": vary(_is_affine, gap=_without_bias),
        "homogeneous": vary(_is_affine, gap=_homogeneous),
        "one ray": vary(_is_affine, gap=_one_ray),
        "near 0 only": [vary(_is_affine, scales=(scale,)) for scale in (0.001, 1)],
        "far from 0 only": vary(_is_affine, scales=(1000,)),
        "positive inputs only": vary(_is_affine, points=np.abs),
        "exact equality": vary(_is_affine, relative=0.0),
        "absolute tolerance": [vary(_is_affine, absolute=tol) for tol in (1e-8, 1e-5, 1e-3, 0.1)],
        "first output only": vary(_is_affine, columns=slice(1)),
        "inverted": vary(_is_affine, says=lambda affine: not affine),
        "always the same": [lambda *given: True, lambda *given: False],
    },
    hints={
        "bias forgotten": "An affine function may have a bias, so f(a) + f(b) and f(a + b) differ by f(0). Subtract it.",
        "homogeneous": "f(2x) = 2 f(x) holds for a ReLU network without biases, which is not affine, and fails for a layer with a bias, which is.",
        "one ray": "You look along one line through 0. There a ReLU network without biases is straight too: compare f(a) + f(b) with f(a + b) + f(0) for two directions.",
        "near 0 only": "You look near 0 only. A ReLU with a large bias has its kink far away: try inputs of the size 1,000 too.",
        "far from 0 only": "You look far from 0 only. A saturating branch beside a shortcut is small there: try inputs of the size 1 too.",
        "positive inputs only": "Your inputs are positive. With positive weights a ReLU never switches off there: draw inputs of both signs.",
        "exact equality": "You ask for exact equality. Rounding makes every sum of floating-point numbers a little wrong: allow a small share of the outputs.",
        "absolute tolerance": "Your tolerance is a fixed number. Outputs can be tiny or huge: take a share of the largest output.",
        "first output only": "You look at the first output only. Another one may be the one that bends.",
        "inverted": "Your answer is the wrong way round: return True for an affine model.",
        "always the same": "You give the same answer for every model.",
    },
)


class _Layers:
    """Layers with an activation between them, as a function of rows that rounds to float32."""

    def __init__(self, *layers, bend=None, factor=1.0, shortcut=None):
        self.layers, self.bend, self.factor, self.shortcut = layers, bend, factor, shortcut

    def __call__(self, x):
        x = h = np.asarray(plain(x), dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.layers[0][0]):
            raise ValueError(f"the model takes rows of {len(self.layers[0][0])} features")
        for place, (kernel, bias) in enumerate(self.layers):
            h = h @ kernel + bias
            if self.bend and place < len(self.layers) - 1:
                h = self.bend(h)
        h = h if self.shortcut is None else h + x @ self.shortcut
        return (self.factor * h).astype(np.float32).astype(np.float64)


def _relu(z):
    return np.maximum(z, 0)


def _layers(rng, sizes, bias=1.0):
    """Draw kernels and biases; bias: their size."""
    return [
        (rng.normal(size=pair) / np.sqrt(pair[0]), bias * rng.choice([-1, 1], size=pair[1])
         * rng.uniform(0.7, 1.3, size=pair[1]))
        for pair in pairwise(sizes)
    ]  # fmt: skip


def _says(ask, rng, models, features):
    """Return what an answer says of each model, as numbers 0 and 1; or end the check."""
    said = {}
    for name, model in models.items():
        (found,) = outputs(ask(model, features, fresh_generator(rng)), ())
        if found not in (0, 1):
            raise Failed("True or False", brief(found), "form", "Return True or False.")
        said[name] = bool(found)
    return said


@is_affine.check(
    points=2,
    hint="For an affine function f(a) + f(b) - f(0) equals f(a + b), up to rounding.",
    more="Rounding is at most 1e-5 of the largest output here. Compare the largest gap with 0.001 of the largest output, and use <=, because both can be 0.",
)
def recognizes_what_is_affine(ask, rng):
    """says True of layers without an activation, whatever their biases and the size of their outputs"""
    n = int(rng.integers(3, 7))
    flat = _layers(rng, (n, 8, 3))
    constant = [(np.zeros((n, 3)), rng.normal(size=3))]
    models = {
        "two layers": _Layers(*_layers(rng, (n, 8, 3))),
        "three layers without biases": _Layers(*_layers(rng, (n, 8, 8, 2), bias=0)),
        "large biases": _Layers(*_layers(rng, (n, 8, 3), bias=50)),
        "tiny outputs": _Layers(*flat, factor=1e-9),
        "huge outputs": _Layers(*flat, factor=1e9),
        "a constant": _Layers(*constant),
        "zero": _Layers(*constant, factor=0.0),
    }
    return _says(ask, rng, models, n)


@is_affine.check(
    points=2,
    hint="One pair of inputs whose gap is larger than rounding is enough to say False. Look at all outputs.",
    more="Draw many rows a and b with rng, of both signs, and take the largest gap over all rows and outputs.",
)
def finds_an_activation(ask, rng):
    """says False when there is an activation, with biases or without, in one output of several"""
    n = int(rng.integers(3, 7))
    bent, flat = _layers(rng, (n, 8, 1), bias=0), _layers(rng, (n, 2))[0]
    last = _Layers(*bent, bend=_relu)
    straight = _Layers(flat)
    plain_relu = _layers(rng, (n, 8, 3), bias=0)
    models = {
        "ReLU without biases": _Layers(*plain_relu, bend=_relu),
        "ReLU with biases": _Layers(*_layers(rng, (n, 8, 3)), bend=_relu),
        "tanh": _Layers(*_layers(rng, (n, 8, 3)), bend=np.tanh),
        "ReLU, tiny outputs": _Layers(*plain_relu, bend=_relu, factor=1e-9),
        "the last of three outputs": lambda x: np.concatenate([straight(x), last(x)], axis=1),
    }
    return _says(ask, rng, models, n)


@is_affine.check(
    hint="Kinks can lie far from 0, or on one side of it, or show near 0 only. Try inputs of the sizes 1 and 1,000, of both signs.",
    more="Repeat the comparison with scale * rng.normal(size=(rows, num_features)) for the scales 1 and 1000, each with its own largest output.",
)
def looks_near_and_far(ask, rng):
    """says False also when the kinks lie far from 0, or on one side, or show near 0 only"""
    n = int(rng.integers(3, 7))
    far = [(abs(kernel), abs(bias)) for kernel, bias in _layers(rng, (n, 8, 3), bias=60)]
    side = [(abs(kernel), abs(bias)) for kernel, bias in _layers(rng, (n, 8, 3))]
    branch, shortcut = _layers(rng, (n, 8, 3), bias=0.1), 3 * _layers(rng, (n, 3))[0][0]
    models = {
        "kinks far away": _Layers(*far, bend=_relu),
        "kinks on one side": _Layers(*side, bend=_relu),
        "a saturating branch beside a shortcut": _Layers(*branch, bend=np.tanh, shortcut=shortcut),
    }
    return _says(ask, rng, models, n)


# --- repair_the_pipeline -------------------------------------------------------------------------

EPOCHS, CLASSES, FEATURES = 12, 3, 20


def _mended(
    parts, start, train_epoch, evaluate, epochs, *,
    scale_by=("train",), choose="dev", best=np.argmin, report="test", fit=("train",), own=False,
    given=lambda weights, losses: weights, reports=lambda losses, i: losses[i],
):  # fmt: skip
    """Do what the mended pipeline does, with any part replaced."""
    scaled = {}
    for name, (x, y) in parts.items():
        by = [name] if own else scale_by
        pixels = np.concatenate([parts[other][0] for other in by]) if by else np.array([-1.0, 1.0])
        scaled[name] = (x - pixels.mean()) / pixels.std(), y
    x, y = (np.concatenate([scaled[name][i] for name in fit]) for i in (0, 1))
    states = [start]
    for _ in range(epochs):
        states.append(train_epoch(states[-1], x, y))
    losses = [evaluate(state, *scaled[choose]) for state in states[1:]]
    i = int(best(losses))
    weights = given(states, i)
    if report == choose:
        return weights, reports(losses, i)
    return weights, evaluate(weights, *scaled[report])


def _restored(states, i):
    return states[i + 1]


_mended_right = vary(_mended, given=_restored)


def _pipeline(parts, start, train_epoch, evaluate, epochs):
    return _mended_right(parts, start, train_epoch, evaluate, epochs)


def _other(**changes):
    """Return a variant of the mended pipeline as a function of the learner's parameters."""
    return vary(_mended, **({"given": _restored} | changes))


repair_the_pipeline = chapter.exercise(
    "repair_the_pipeline",
    _pipeline,
    mistakes={
        "as it was": _other(
            scale_by=("train", "dev", "test"),
            choose="test",
            given=lambda states, i: states[-1],
        ),
        "test rows as validation data": _other(choose="test"),
        "scaled by all rows": _other(scale_by=("train", "dev", "test")),
        "scaled by test rows too": [
            _other(scale_by=("train", "test")),
            _other(scale_by=("test",)),
        ],
        "scaled by dev rows too": _other(scale_by=("train", "dev")),
        "each part by its own": _other(own=True),
        "not scaled": _other(scale_by=()),
        "last epoch": _other(given=lambda states, i: states[-1]),  # as the train rows choose, too
        "epoch before": _other(given=lambda states, i: states[i]),
        "highest loss": _other(best=np.argmax),
        "dev loss reported": _other(report="dev"),
        "trained on dev rows too": _other(fit=("train", "dev")),
    },
    hints={
        "as it was": "These are the results of the pipeline as it was handed over. Look for its three faults: what scales, what chooses, what is returned.",
        "test rows as validation data": "The test rows choose the epoch. They are there to say how good the choice is, and cannot once they have made it: choose by the dev rows.",
        "scaled by all rows": "Mean and deviation come from all rows. Take them from the train rows alone.",
        "scaled by test rows too": "Mean and deviation come from the test rows, or from some of them. Take them from the train rows alone.",
        "scaled by dev rows too": "Mean and deviation come from train and dev rows. Take them from the train rows alone.",
        "each part by its own": "You scale each part by its own mean and deviation. A model that is used meets rows one by one: scale all parts by the numbers of the train rows.",
        "not scaled": "You do not scale at all. Scale all parts by the mean and the deviation of the train pixels.",
        "last epoch": "You return the weights after the last epoch. A checkpoint keeps those of the epoch with the lowest dev loss.",
        "epoch before": "Your weights are one epoch too early: the loss of an epoch belongs to the weights that `train_epoch` returned in it.",
        "highest loss": "You keep the epoch with the highest loss. Keep the lowest.",
        "dev loss reported": "The second value is a loss on dev rows. Those rows have chosen the epoch, so it is too good: evaluate the weights that you return on the test rows.",
        "trained on dev rows too": "You train on the dev rows too, so they cannot choose any more.",
        "test rows seen more than once": "You evaluate test rows more than once. Once is enough, with the weights that you return.",
    },
)


def _numbers(*given):
    """Return what an answer hands to a callback as arrays."""
    return [np.asarray(plain(value)) for value in given]


def _train_epoch(weights, x, y):
    """Take some steps of gradient descent on the cross-entropy of a linear classifier."""
    weights, x, y = _numbers(weights, x, y)
    targets = np.eye(CLASSES)[y]
    for _ in range(2):
        weights = weights - 0.15 * x.T @ (softmax(x @ weights) - targets) / len(x)
    return weights


def _loss(weights, x, y):
    weights, x, y = _numbers(weights, x, y)
    return float(-log_softmax(x @ weights)[np.arange(len(y)), y].mean())


def _parts(rng):
    """Draw train, dev and test rows; each part has another mean, another spread and other numbers."""
    centres = 0.35 * rng.normal(size=(CLASSES, FEATURES))
    parts = {}
    for name, rows, mean, spread in (
        ("train", 45, 0.4, 0.25),
        ("dev", 60, 0.45, 0.3),
        ("test", 70, 0.55, 0.4),
    ):
        y = rng.permutation(np.arange(rows) % CLASSES)
        x = centres[y] + rng.normal(size=(rows, FEATURES))
        parts[name] = mean + spread * x, y
    return parts, np.zeros((FEATURES, CLASSES))


def _pipeline_task(rng):
    """Draw rows on which the dev rows choose an epoch in the middle, and the test rows another."""
    while True:
        parts, start = _parts(rng)
        task = parts, start, _train_epoch, _loss, EPOCHS
        states = []

        def keep(weights, x, y, states=states):
            states.append(_train_epoch(weights, x, y))
            return states[-1]

        x = parts["train"][0]
        _pipeline(parts, start, keep, _loss, EPOCHS)
        dev, test = (
            [_loss(state, (parts[n][0] - x.mean()) / x.std(), parts[n][1]) for state in states]
            for n in ("dev", "test")
        )
        best, apart = np.argmin(dev), np.argmin(test) != np.argmin(dev)
        apart &= np.argmax(dev) < EPOCHS - 1  # the worst epoch is not the last one
        if 0 < best < EPOCHS - 2 and apart and abs(dev[best] - test[best]) > 0.02:
            return task


def _pipeline_said(ask, *task):
    weights, loss = outputs(ask(*task), (FEATURES, CLASSES), ())
    return {"weights": weights, "test loss": loss}


@repair_the_pipeline.check(
    points=3,
    hint="Scale by the train rows, choose the epoch by the dev rows, return the weights of that epoch and their loss on the test rows.",
    more="In the loop keep a pair: the lowest dev loss so far, and the weights that had it. After the loop evaluate those weights on the test rows.",
    keeps_input=True,
)
def returns_the_best_epoch_and_its_test_loss(ask, rng):
    """returns the weights of the epoch with the lowest dev loss, and their loss on test rows"""
    return _pipeline_said(ask, *_pipeline_task(rng))


@repair_the_pipeline.check(
    hint="Other test rows must not change the weights. They may neither scale nor choose.",
    more='`parts["test"]` is needed for one thing: the loss that you report.',
)
def keeps_its_weights_when_test_rows_change(ask, rng):
    """returns the same weights for other test rows"""
    (parts, *rest) = _pipeline_task(rng)
    x, y = parts["test"]
    others = {**parts, "test": (3 * x[::-1] + 1, (y + 1) % CLASSES)}
    return {name: _pipeline_said(ask, given, *rest)["weights"]
            for name, given in (("these rows", parts), ("others", others))}  # fmt: skip


@repair_the_pipeline.check(
    hint="Evaluate the test rows once, after the loop.",
    more="Inside the loop evaluate the dev rows only.",
)
def evaluates_the_test_rows_once(ask, rng):
    """evaluates the test rows once, and trains in every epoch once"""
    parts, start, train_epoch, loss, epochs = _pipeline_task(rng)
    seen = {"epochs": 0, "test": 0}

    def counting_train(weights, x, y, /):
        seen["epochs"] += 1
        return train_epoch(weights, x, y)

    def counting_loss(weights, x, y, /):
        seen["test"] += np.size(plain(y)) == len(parts["test"][1])
        return loss(weights, x, y)

    outputs(ask(parts, start, counting_train, counting_loss, epochs), (FEATURES, CLASSES), ())
    received = f"{seen['test']} and {seen['epochs']} epochs"
    expected = f"1 evaluation of test rows and {epochs} epochs"
    often = {"test rows seen more than once": seen["test"] > 1}
    return judge(seen == {"epochs": epochs, "test": 1}, expected, received, often)


# --- tune ----------------------------------------------------------------------------------------

RATES, PENALTIES, DROPOUTS = (0.003, 0.03, 0.2), (0.0, 0.003, 0.03), (0.0, 0.5)
SETTINGS = list(product(RATES, PENALTIES, DROPOUTS))
STEPS, RUNS = 300, 9  # of the final run; final runs that the budget pays for
CLEAR = 0.03  # of accuracy by which the best kind of setting must be ahead

tune = chapter.exercise(
    "tune",
    hints={
        **training.HINTS,
        "no regularization tried": "You try no setting with a strong penalty or with dropout. Where labels are wrong, a network without them learns them by heart: try both kinds.",
        "regularization only": "You try settings with a penalty or with dropout only. Where rows are many and labels right, they do harm: try 0 for both as well.",
        "low rate only": "You try the lowest rate only. It is too slow for this many steps: try the others.",
    },
)


def _setting(value):
    """Return a setting as `Trials` needs it: a tuple. Raises ValueError, with a sentence."""
    try:
        numbers = [float(value[key]) for key in ("rate", "l2", "dropout")]
        lists = RATES, PENALTIES, DROPOUTS
        found = tuple(
            min(allowed, key=lambda a, n=number: abs(a - n))
            for allowed, number in zip(lists, numbers, strict=True)
        )
        near = np.allclose(found, numbers, rtol=1e-3, atol=1e-6) and len(value) == 3
    except (KeyError, TypeError, ValueError, IndexError):
        near = False
    if not near:
        raise ValueError(
            f'a setting is a dict: "rate" one of {RATES}, "l2" one of {PENALTIES}, '
            f'"dropout" one of {DROPOUTS}'
        )
    return found


class _Rows:
    """A task: many rows with right labels and several groups a class, or few with wrong labels."""

    def __init__(self, rng, wrong):
        self.wrong, self.seed = wrong, int(rng.integers(2**32))
        rows, share, groups, inputs = (200, 0.4, 1, 20) if wrong else (1500, 0.0, 4, 8)
        size, spread = (0.6, 1.0) if wrong else (1.28, 0.6)
        centres = size * rng.normal(size=(4, groups, inputs))

        def draw(number, share):
            y = rng.permutation(np.arange(number) % 4)
            x = centres[y, rng.integers(groups, size=number)]
            x = x + spread * rng.normal(size=x.shape)
            return x, np.where(rng.random(number) < share, rng.integers(4, size=number), y)

        self.rows = {"train": draw(rows, share), "dev": draw(1000, share)}
        self.rows |= {"test": draw(200, share), "hidden": draw(2000, 0.0)}

    def scores(self, setting, steps, names=("train", "dev", "test"), start=0):
        """Train from a start; return the accuracy on the rows of each name."""
        rate, penalty, dropout = setting
        options = {"learning_rate": rate, "penalty": penalty, "rates": (0.0, dropout)}
        rng = np.random.default_rng([self.seed, start])
        weights = training.train_network(*self.rows["train"], steps, rng, decay=True, **options)
        return {name: training.accuracy(weights, *self.rows[name]) for name in names}

    def bounds(self):
        """Return the accuracy on hidden rows of the best setting, and of the best misguided one."""

        def best(settings):
            return max(self.scores(s, STEPS, ["hidden"])["hidden"] for s in settings)

        fast = RATES[1:]
        if self.wrong:  # without a strong penalty the labels are learned by heart
            good = product(fast, PENALTIES[2:], DROPOUTS)
            return best(good), best(product(fast, PENALTIES[:2], DROPOUTS))
        misguided = [(RATES[0], 0.0, 0.0), *product(fast, PENALTIES[2:], DROPOUTS[:1])]
        misguided += product(fast, PENALTIES[:2], DROPOUTS[1:])
        return best(product(fast, PENALTIES[:2], DROPOUTS[:1])), best(misguided)


def _clear_rows(rng, wrong):
    """Draw tasks until the right kind of setting is clearly ahead: (task, accuracy to reach)."""
    while True:
        task = _Rows(rng, wrong)
        best, misguided = task.bounds()
        if best > misguided + CLEAR:
            return task, misguided + 0.2 * (best - misguided)


def _decide(ask, scores, steps):
    """Let an answer decide; return what was tried, and the setting that is chosen."""
    trials = training.Trials(scores, _setting, RUNS * steps)
    return trials, trials.decide(ask)


@tune.check(
    points=4,
    hint="On hidden rows the setting that you choose does badly, with many right labels or with few wrong ones. Try settings of every kind, and choose by dev.",
    more="There are 18 settings and steps for 9 full runs. Leave some out, or train all of them for a third of the budget and the best three longer. A penalty of 0.03 and a penalty of 0 should both be among them, and a rate above 0.003.",
)
def does_well_on_hidden_rows(ask, rng):
    """does well on hidden rows, when right labels are many and when labels are few and wrong"""
    shown = []
    for wrong in (False, True):
        task, needed = _clear_rows(rng, wrong)
        trials, chosen = _decide(ask, task.scores, STEPS)
        found = training.on_hidden(task.scores, chosen, STEPS)
        rates, penalties, dropouts = map(set, zip(*trials.runs, strict=True))
        mistakes = {
            "low rate only": rates == {RATES[0]},
            "no regularization tried": max(penalties) < PENALTIES[2] and dropouts == {0.0},
            "regularization only": not any(
                penalty < PENALTIES[2] and not dropout for _, penalty, dropout in trials.runs
            ),
            "short runs": trials.longest < training.SHORT * STEPS,
        }
        kind = "wrong labels" if wrong else "right labels"
        shown.append((f"{kind}: at least {needed:.3f}", f"{found:.3f} with {chosen}"))
        if found < needed:
            return judge(False, *shown[-1], mistakes)
    return judge(True, *map("; ".join, zip(*shown, strict=True)))


def _made_up_scores(rng):
    """Make up scores of all settings, which `training.disagreeing` draws.

    So it is above the lowest rate, and a little lower at it: an answer may leave that one out.
    """
    fast = len(SETTINGS) - len(SETTINGS) // len(RATES)
    scores = training.disagreeing(fast, rng, dev=(0.7, -0.02), test=(0.4, 0.01))
    table = {}
    for number, setting in enumerate(SETTINGS):
        less = 0.05 * (setting[0] == RATES[0])
        table[setting] = {rows: score - less for rows, score in scores[number % fast].items()}
    return table


@tune.check(
    points=3,
    hint="Of the settings that you try, choose the one with the highest dev accuracy.",
    more='`train` returns a dict: keep train(setting, steps)["dev"] of every setting, and return the setting of the largest. Compare runs of equal length.',
)
def chooses_by_the_dev_rows(ask, rng):
    """chooses by dev accuracy, when train, dev and test rows disagree"""
    decisions = []
    for _ in range(3):
        table = _made_up_scores(rng)
        scores = training.made_up(table, STEPS, rng)
        decisions.append((table, *_decide(ask, scores, STEPS)))
    return training.follows_dev(decisions, STEPS)


@tune.check(
    hint="The steps of all your calls of `train` together must be at most `budget`.",
    more="budget // (number of settings) steps for each setting are never too many.",
)
def keeps_to_the_budget(ask, rng):
    """compares settings within the budget, for other numbers of steps"""
    for _ in range(2):
        steps = int(rng.integers(101, 200))
        trials, _ = _decide(ask, training.made_up(_made_up_scores(rng), steps, rng), steps)
    return judge(True, f"at most {trials.budget} steps", f"{trials.spent} steps")
