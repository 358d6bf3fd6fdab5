"""The challenge of lesson 22: four problems, a trainer for a dict of settings, and a score.

The trainer needs NumPy alone. It trains several draws of one problem side by side: arrays have the
draws as their first axis.
"""

import difflib
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from regbook.exercise import Answer, AnswerError, NotAttempted
from regbook.progress import Message

if TYPE_CHECKING:
    import pandas as pd

TEST = 2000  # rows without a wrong label
DRAWS = 6  # of each problem, for a score
PRACTICE = 10**9  # the first seed of the draws for practice; those of the checks are smaller
MOMENTUM = 0.9
SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772  # of SELU

# Few rows; few rows with wrong labels; many rows and many clusters; more rows with wrong labels.
PROBLEMS: tuple[dict[str, Any], ...] = tuple(
    dict(zip(("rows", "features", "classes", "clusters", "spread", "label_noise", "budget"),
             values, strict=True))
    for values in (
        (500, 12, 8, 8, 2.5, 0.0, 200_000_000),
        (300, 40, 8, 1, 1.25, 0.4, 200_000_000),
        (2000, 12, 8, 16, 2.5, 0.0, 400_000_000),
        (1000, 24, 8, 3, 1.25, 0.4, 400_000_000),
    )
)  # fmt: skip

# What a recipe leaves out.
DEFAULT: dict[str, Any] = {
    "width": 64,
    "depth": 2,
    "init": "glorot",
    "activation": "relu",
    "norm": "none",
    "optimizer": "adam",
    "rate": 0.001,
    "schedule": "constant",
    "epochs": 20,
    "batch": 32,
    "l2": 0.0,
    "dropout": 0.0,
    "alpha_dropout": 0.0,
    "smoothing": 0.0,
    "scale_inputs": False,
    "early_stopping": False,
}
CHOICES = {
    "init": ("glorot", "he", "lecun"),
    "activation": ("relu", "elu", "selu", "tanh"),
    "norm": ("none", "batch"),
    "optimizer": ("sgd", "momentum", "adam"),
    "schedule": ("constant", "cosine", "one_cycle"),
}
RANGES = {
    "width": (32, 128),
    "depth": (0, 8),
    "epochs": (1, 200),
    "batch": (32, 256),
    "rate": (1e-5, 10),
    "l2": (0, 1),
    "dropout": (0, 0.9),
    "alpha_dropout": (0, 0.9),
    "smoothing": (0, 0.9),
}


# --- settings ----------------------------------------------------------------------------------


class BadSettings(ValueError):
    """Settings that cannot be trained: what was expected and what came, and the kind of fault."""

    def __init__(self, kind: str, expected: str, received: str):
        """kind: "no dict", "unknown setting", "wrong value" or "two dropouts"."""
        super().__init__(f"expected {expected}, received {received}")
        self.kind, self.expected, self.received = kind, expected, received


def read_settings(answer: Any) -> dict[str, Any]:
    """Return an answer as all keys of `DEFAULT`, with Python's own values. Raises BadSettings."""
    if not isinstance(answer, Mapping):
        raise BadSettings("no dict", "a dict of settings", f"a {type(answer).__name__}")
    found = dict(DEFAULT)
    for key, value in answer.items():
        if key not in DEFAULT:
            near = difflib.get_close_matches(key[:40], DEFAULT, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise BadSettings("unknown setting", f"{', '.join(DEFAULT)}", f"{key[:40]!r}{hint}")
        found[key] = _value(key, value)
    if found["dropout"] and found["alpha_dropout"]:
        both = " and ".join(f"{key} {found[key]:g}" for key in ("dropout", "alpha_dropout"))
        raise BadSettings("two dropouts", "dropout or alpha_dropout above 0, not both", both)
    return found


def _value(key, value):
    """Return the value of a setting. Raises BadSettings."""
    value = value.item() if isinstance(value, np.ndarray | np.generic) and not value.ndim else value
    known = DEFAULT[key]
    if isinstance(known, str):
        expected = f"{key}: {' or '.join(map(repr, CHOICES[key]))}"
        fits = isinstance(value, str) and value in CHOICES[key]
    elif isinstance(known, bool):
        expected, fits = f"{key}: True or False", value is True or value is False
    else:
        low, high = RANGES[key]
        whole = isinstance(known, int)
        expected = f"{key}: a {'whole ' * whole}number from {low:g} to {high:g}"
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = number and low <= value <= high and (not whole or value == int(value))
        value = int(value) if fits and whole else value
    if not fits:
        raise BadSettings("wrong value", expected, f"{key}: {repr(value)[:40]}")
    return value


def reference(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a score is held against: the default on scaled inputs, for all of the budget."""
    settings = {**DEFAULT, "scale_inputs": True, "epochs": 1}
    return {**settings, "epochs": min(200, problem["budget"] // cost(settings, problem))}


# --- problems ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Draws:
    """Draws of a problem: rows by their name, and what the best classifier could reach.

    train, dev, test: pairs (x, y) of shapes (draws, rows, features) and (draws, rows). bayes: the
    accuracy (0 to 1) of the Bayes classifier on the test rows of each draw.
    """

    train: tuple[np.ndarray, np.ndarray]
    dev: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    bayes: np.ndarray


def draw(problem: Mapping[str, Any], rngs: Sequence[np.random.Generator]) -> Draws:
    """Draw a problem, once for each generator."""
    parts = zip(*(_draw(problem, rng) for rng in rngs), strict=True)
    x, y, dev, y_dev, test, y_test, bayes = map(np.stack, parts)
    return Draws((x, y), (dev, y_dev), (test, y_test), bayes)


def _draw(problem, rng):
    """Return x and y of the train, dev and test rows in turn, and the Bayes accuracy.

    A class is a mixture of round clusters in half of the directions; the others hold noise alone.
    """
    features, classes, clusters = (problem[key] for key in ("features", "classes", "clusters"))
    telling = features // 2
    centres = problem["spread"] * rng.normal(size=(classes, clusters, telling))
    turn = np.linalg.qr(rng.normal(size=(features, features)))[0]
    scale, shift = np.exp(rng.normal(size=features)), rng.normal(size=features)

    def rows(number, noise):
        y = rng.integers(classes, size=number)
        z = rng.normal(size=(number, features))
        z[:, :telling] += centres[y, rng.integers(clusters, size=number)]
        wrong = rng.random(number) < noise
        given = np.where(wrong, (y + rng.integers(1, classes, size=number)) % classes, y)
        return ((z @ turn + shift) * scale).astype(np.float32), given, z[:, :telling]

    noise = problem["label_noise"]
    train, dev, test = (
        rows(problem["rows"], noise),
        rows(problem["rows"] // 2, noise),
        rows(TEST, 0),
    )
    flat = centres.reshape(-1, telling)
    exponents = test[2] @ flat.T - (flat**2).sum(axis=1) / 2
    densities = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    best = densities.reshape(TEST, classes, clusters).sum(axis=2).argmax(axis=1)
    return *train[:2], *dev[:2], *test[:2], (best == test[1]).mean()


def cost(settings: Mapping[str, Any], problem: Mapping[str, Any]) -> int:
    """Return the multiply-adds of a run: each weight costs three for each row, in each epoch.

    settings: what they leave out is as in `DEFAULT`.
    """
    settings = {**DEFAULT, **settings}
    products = sum(a * b for a, b in pairwise(_sizes(settings, problem)))
    return 3 * products * problem["rows"] * settings["epochs"]


def _sizes(settings, problem):
    hidden = [settings["width"]] * settings["depth"]
    return [problem["features"], *hidden, problem["classes"]]


# --- the network -------------------------------------------------------------------------------


class _Numbers:
    """Arrays by their name, all in one of shape (draws, numbers)."""

    def __init__(self, shapes, draws):
        sizes = [math.prod(shape) for shape in shapes.values()]
        ends = np.cumsum(sizes)
        self.flat = np.zeros((draws, ends[-1]), np.float32)
        self.at = {
            name: self.flat[:, end - size : end].reshape(draws, *shape)
            for (name, shape), size, end in zip(shapes.items(), sizes, ends, strict=True)
        }


class _Network:
    """Dense layers, one network for each draw.

    weights, gradients: `_Numbers` by the names ("W", i), ("b", i) and, with batch norm,
    ("gamma", i). moving: the statistics of batch norm, by ("mean", i) and ("variance", i).
    """

    def __init__(self, settings, sizes, rngs):
        self.settings, self.hidden = settings, len(sizes) - 2
        self.normalized = settings["norm"] == "batch"
        shapes, moving = {}, {}
        for i, (a, b) in enumerate(pairwise(sizes)):
            shapes["W", i], shapes["b", i] = (a, b), (1, b)
            if i < self.hidden and self.normalized:
                shapes["gamma", i] = moving["mean", i] = moving["variance", i] = (1, b)
        self.weights, self.gradients = (_Numbers(shapes, len(rngs)) for _ in range(2))
        self.moving = _Numbers(moving or {"none": (1,)}, len(rngs))
        for (kind, i), part in self.weights.at.items():
            if kind == "W":
                a, b = shapes[kind, i]
                fan = {"glorot": (a + b) / 2, "he": a / 2, "lecun": a}[settings["init"]]
                part[:] = np.stack([rng.normal(size=(a, b)) for rng in rngs]) / np.sqrt(fan)
            elif kind == "gamma":
                part[:] = 1
        for (kind, _), part in self.moving.at.items() if moving else ():
            part[:] = kind == "variance"

    def logits(self, h, drops=None):
        """Return the logits. drops: in training, what dropout does in each hidden layer."""
        w = self.weights.at
        self.kept = []
        for i in range(self.hidden):
            z, norm = h @ w["W", i], None
            if self.normalized:
                norm = self._norm(i, z, drops is not None)
                z = norm[0] * w["gamma", i]
            z += w["b", i]
            y = _activation(self.settings["activation"], z)
            factors, added = drops[i] if drops else (None, None)
            self.kept.append((h, norm, z, y, factors))
            h = y if factors is None else y * factors
            h = h if added is None else h + added
        self.kept.append(h)
        return h @ w["W", self.hidden] + w["b", self.hidden]

    def _norm(self, i, z, training):
        """Return z, normalized, and the factor that did it."""
        mean, variance = (self.moving.at[name, i] for name in ("mean", "variance"))
        if training:
            found = z.mean(axis=1, keepdims=True)
            z = z - found
            spread = np.einsum("dij,dij->dj", z, z)[:, None] / z.shape[1]
            mean += (1 - MOMENTUM) * (found - mean)
            variance += (1 - MOMENTUM) * (spread - variance)
        else:
            z, spread = z - mean, variance
        factor = 1 / np.sqrt(spread + 1e-3)
        return z * factor, factor

    def back(self, d):
        """Compute the gradients. d: the gradient with respect to the logits."""
        w, g = self.weights.at, self.gradients.at
        g["W", self.hidden][:] = self.kept[-1].transpose(0, 2, 1) @ d
        g["b", self.hidden][:] = d.sum(axis=1, keepdims=True)
        for i in reversed(range(self.hidden)):
            h, norm, z, y, factors = self.kept[i]
            d = d @ w["W", i + 1].transpose(0, 2, 1)
            d *= _slope(self.settings["activation"], z, y)
            if factors is not None:
                d *= factors
            g["b", i][:] = shift = d.sum(axis=1, keepdims=True)
            if norm:
                n, factor = norm
                g["gamma", i][:] = scale = np.einsum("dij,dij->dj", d, n)[:, None]
                rows = d.shape[1]
                d = (d - shift / rows - n * (scale / rows)) * (w["gamma", i] * factor)
            g["W", i][:] = h.transpose(0, 2, 1) @ d


def _activation(kind, z):
    if kind == "relu":
        return np.maximum(z, 0)
    if kind == "tanh":
        return np.tanh(z)
    below = np.expm1(np.minimum(z, 0))
    if kind == "elu":
        return below + np.maximum(z, 0)
    return np.float32(SCALE * ALPHA) * below + np.float32(SCALE) * np.maximum(z, 0)


def _slope(kind, z, y):
    if kind == "relu":
        return z > 0
    if kind == "tanh":
        return 1 - y * y
    if kind == "elu":
        return 1 + np.minimum(y, 0)
    return np.where(z > 0, np.float32(SCALE), np.minimum(y, 0) + np.float32(SCALE * ALPHA))


# --- training ----------------------------------------------------------------------------------


def train(
    settings: Mapping[str, Any],
    problem: Mapping[str, Any],
    draws: Draws,
    rngs: Sequence[np.random.Generator],
) -> np.ndarray:
    """Train with settings on each draw; return the test accuracies (0 to 1), NaN where it diverges.

    settings: all keys of `DEFAULT`. rngs: one generator a draw.
    """
    with np.errstate(all="ignore"):
        return _Run(settings, problem, draws, rngs).accuracies()


class _Run:
    """A training run, all draws side by side."""

    def __init__(self, settings, problem, draws, rngs):
        self.settings, self.draws = settings, draws
        self.x, self.dev, self.test = (part[0] for part in (draws.train, draws.dev, draws.test))
        if settings["scale_inputs"]:
            mean, sd = (f(self.x, axis=1, keepdims=True) for f in (np.mean, np.std))
            self.x, self.dev, self.test = ((x - mean) / sd for x in (self.x, self.dev, self.test))
        classes, smoothing = problem["classes"], settings["smoothing"]
        labels = np.eye(classes, dtype=np.float32)[draws.train[1]]
        self.targets = labels * np.float32(1 - smoothing) + np.float32(smoothing / classes)
        self.network = _Network(settings, _sizes(settings, problem), rngs)
        # Drawing for all draws at once is much faster.
        self.rng = np.random.Generator(np.random.SFC64([rng.integers(2**32) for rng in rngs]))
        weights = self.network.weights
        self.first, self.second = np.zeros((2, *weights.flat.shape), np.float32)
        self.decayed = [key for key in weights.at if key[0] == "W"]
        self.best = np.full(len(rngs), -1.0)
        self.stored = [weights.flat.copy(), self.network.moving.flat.copy()]

    def accuracies(self):
        number = self.x.shape[1]
        batch = min(self.settings["batch"], number)
        each = number // batch
        total, done = each * self.settings["epochs"], 0
        for _ in range(self.settings["epochs"]):
            order = self.rng.permuted(np.tile(np.arange(number), (len(self.x), 1)), axis=1)
            rows = np.arange(len(self.x))[:, None], order
            x, targets = self.x[rows], self.targets[rows]
            for start in range(0, each * batch, batch):
                take = np.s_[:, start : start + batch]
                self._step(x[take], targets[take], _rate(self.settings, done / total), done + 1)
                done += 1
            if self.settings["early_stopping"]:
                self._store()
        if self.settings["early_stopping"]:
            self.network.weights.flat[:], self.network.moving.flat[:] = self.stored
        logits = self.network.logits(self.test)
        right = (logits.argmax(axis=2) == self.draws.test[1]).mean(axis=1)
        return np.where(np.isfinite(logits).all(axis=(1, 2)), right, np.nan)

    def _step(self, x, targets, rate, count):
        settings, network = self.settings, self.network
        d = network.logits(x, self._drops(x.shape[:2]))
        d -= d.max(axis=2, keepdims=True)
        np.exp(d, out=d)
        d /= d.sum(axis=2, keepdims=True)
        network.back((d - targets) / x.shape[1])
        weights, gradient = network.weights.flat, network.gradients.flat
        for key in self.decayed if settings["l2"] else ():
            network.gradients.at[key] += np.float32(2 * settings["l2"]) * network.weights.at[key]
        if settings["optimizer"] == "sgd":
            weights -= rate * gradient
        elif settings["optimizer"] == "momentum":
            self.first *= MOMENTUM
            self.first -= rate * gradient
            weights += self.first
        else:
            self.first += (1 - MOMENTUM) * (gradient - self.first)
            self.second += 0.001 * (gradient * gradient - self.second)
            rate *= math.sqrt(1 - 0.999**count) / (1 - MOMENTUM**count)
            weights -= rate * self.first / (np.sqrt(self.second) + 1e-7)

    def _drops(self, shape):
        """Draw what dropout does to each hidden layer: factors, and what is added."""
        rate, alpha = self.settings["dropout"], self.settings["alpha_dropout"]
        keep = np.float32(1 - (rate or alpha))
        low = -SCALE * ALPHA  # alpha dropout sends a unit here, and then restores mean and variance
        a = np.float32((keep * (1 + (1 - keep) * low**2)) ** -0.5)
        found = []
        for _ in range(self.network.hidden):
            if not rate and not alpha:
                found.append((None, None))
                continue
            kept = self.rng.random((*shape, self.settings["width"]), dtype=np.float32) < keep
            if rate:
                found.append((kept / keep, None))
            else:
                shift = np.float32(-a * low * (1 - keep))
                found.append((kept * a, ~kept * np.float32(a * low) + shift))
        return found

    def _store(self):
        """Keep the weights of the draws whose dev accuracy is higher than ever."""
        found = (self.network.logits(self.dev).argmax(axis=2) == self.draws.dev[1]).mean(axis=1)
        better = found > self.best
        self.best[better] = found[better]
        now = self.network.weights.flat, self.network.moving.flat
        for stored, numbers in zip(self.stored, now, strict=True):
            stored[better] = numbers[better]


def _rate(settings, share):
    """Return the learning rate after a share (0 to 1) of the steps."""
    peak, rising = settings["rate"], 0.3
    if settings["schedule"] == "constant":
        return peak
    if settings["schedule"] == "one_cycle":
        if share < rising:
            return peak * (1 + 24 * share / rising) / 25
        share = (share - rising) / (1 - rising)
    return peak * (1 + math.cos(math.pi * share)) / 2


# --- scores ------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=2 * len(PROBLEMS))
def _drawn(number, seed, draws):
    rngs = [np.random.default_rng([seed, number, i]) for i in range(draws)]
    return draw(PROBLEMS[number], rngs)


@functools.lru_cache(maxsize=64 * len(PROBLEMS))  # the seeds of a class, or of the tests
def _reference(number, seed, draws):
    """Return the accuracies of the reference on draws of a problem."""
    return _trained(reference(PROBLEMS[number]), number, _drawn(number, seed, draws), seed)


def _trained(settings, number, found, seed):
    rngs = [np.random.default_rng([seed, number, i, 1]) for i in range(len(found.bayes))]
    return train(settings, PROBLEMS[number], found, rngs)


@dataclass(frozen=True)
class Scores:
    """Accuracies (0 to 1) of shape (problems, draws). bayes: of the best possible classifier."""

    accuracy: np.ndarray
    reference: np.ndarray
    bayes: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """The lead over the reference, by problem and draw, in per cent of the best possible."""
        return 100 * (np.nan_to_num(self.accuracy) - self.reference) / self.bayes

    @property
    def astray(self) -> bool:
        """Whether the runs of a problem ended with no numbers, or no better than by guessing."""
        chance = np.array([1 / problem["classes"] for problem in PROBLEMS])
        return bool((np.nan_to_num(self.accuracy).mean(axis=1) < 1.4 * chance).any())


def scores(recipes: Sequence[Mapping[str, Any]], seed: int, draws: int = DRAWS) -> Scores:
    """Train one recipe for each of `PROBLEMS`, all keys given, on draws that the seed decides."""
    return _scores(tuple(tuple(recipe.items()) for recipe in recipes), seed, draws)


@functools.lru_cache(maxsize=4)
def _scores(recipes, seed, draws):
    found = []
    for number, recipe in enumerate(recipes):
        drawn = _drawn(number, seed, draws)
        trained = _trained(dict(recipe), number, drawn, seed)
        found.append((trained, _reference(number, seed, draws), drawn.bayes))
    return Scores(*map(np.stack, zip(*found, strict=True)))


def practise(my_recipe: Callable, seed: int = 0) -> "pd.DataFrame | Message":
    """Train a recipe on draws of the four problems that the checks do not use; return a table."""
    import pandas as pd

    answer, recipes, costs = Answer(my_recipe), [], []
    try:
        for problem in PROBLEMS:
            recipes.append(read_settings(answer(dict(problem))))
            costs.append(cost(recipes[-1], problem) / problem["budget"])
    except NotAttempted:
        return Message("Write my_recipe first, and run its cell.")
    except (AnswerError, BadSettings) as error:
        return Message(f"Problem {len(recipes) + 1}: {error}")
    if max(costs) > 1:
        return Message(f"Over the budget: {', '.join(f'{share:.0%}' for share in costs)}")
    found = scores(recipes, PRACTICE + seed, 4)
    table = pd.DataFrame(
        {
            "budget used": [f"{share:.0%}" for share in costs],
            "accuracy": found.accuracy.mean(axis=1),
            "reference": found.reference.mean(axis=1),
            "best possible": found.bayes.mean(axis=1),
            "lead in points": found.points.mean(axis=1),
        },
        index=[
            f"{p['rows']} rows, {p['clusters']} clusters, {p['label_noise']:.0%} wrong labels"
            for p in PROBLEMS
        ],
    )
    table.loc["mean"] = ["", *table.iloc[:, 1:].mean()]
    return table.round(3).round({"lead in points": 1})
