"""Exercises that train and decide: a small network in NumPy, and a record of what was tried."""

import functools
import hashlib
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from regbook.arrays import softmax
from regbook.exercise.answer import AnswerError, plain
from regbook.exercise.compare import Failed, Outcome, judge

HIDDEN = 32  # units
BATCH = 32  # rows of a step
RATE, MOMENTUM = 0.05, 0.9
DRAWN = 25  # batches that are drawn at once
SHORT = 0.2  # of the steps of the final run: shorter runs say little about it
TOLERANCE = 0.02  # of accuracy: as near to the best as this is as good, as dev rows tell no more

HINTS = {
    "no decision": "You do not compare: call `train` with several settings, and choose one by its "
    "dev accuracy.",
    "over budget": "Your runs take more steps than `budget` in all. Every call of `train` costs "
    "its steps: divide the budget among the runs, or begin with short runs and train only the best "
    "settings longer.",
    "chosen on test rows": "You choose by the accuracy on the test rows. They are there to report "
    "how good the choice is, and cannot once they have taken part in it: choose by dev alone.",
    "chosen on train rows": "You choose by the accuracy on the train rows. It is highest for the "
    "network that fits them most closely, and that is what regularization prevents: choose by dev.",
    "lowest for highest": "You choose the lowest dev accuracy. Choose the highest.",
    "smallest gap": "You choose the smallest gap between train and dev accuracy. A network that "
    "learned nothing has none either: choose the highest dev accuracy.",
    "short runs": "Your runs are so short that the network has hardly begun to learn, and their "
    "scores say little about the final run. Spend more of the budget.",
    "dev ignored": "Your choice does not follow the dev accuracy: another setting that you tried "
    "has a clearly higher one. Choose the setting with the highest.",
}


KEPT = 2000  # trained networks, of some kilobytes each


def _remembering(train):
    """Keep what was trained last: equal seeds ask for the same networks, a whole class long."""
    kept: dict[Hashable, tuple] = {}
    lock = threading.Lock()

    @functools.wraps(train)
    def trained(x, y, steps, rng, **options):
        rows = hashlib.sha256(np.ascontiguousarray(x)).digest() + y.tobytes()
        key = rows, x.shape, steps, repr(rng.bit_generator.state), *sorted(options.items())
        found = kept.get(key)
        if found is None:
            found = train(x, y, steps, rng, **options), rng.bit_generator.state
            with lock:
                kept[key] = found
                if len(kept) > KEPT:
                    del kept[next(iter(kept))]
        rng.bit_generator.state = found[1]
        return [w.copy() for w in found[0]]

    return trained


@_remembering
def train_network(
    x: np.ndarray,
    y: np.ndarray,
    steps: int,
    rng: np.random.Generator,
    *,
    hidden: int = HIDDEN,
    rates: tuple[float, float] = (0.0, 0.0),
    augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
    learning_rate: float = RATE,
    radius: float = np.inf,
    penalty: float = 0.0,
    smoothing: float = 0.0,
    decay: bool = False,
) -> list[np.ndarray]:
    """Train a network with one hidden layer (ReLU) by SGD with momentum; return its four arrays.

    x: rows of any shape; y: their labels, each class at least once. hidden: the number of hidden
    units. rates: of dropout, on the inputs and on the hidden units. augment: changes the rows of
    many batches at once. radius: of the ball to which the weights that enter a unit are put back
    after each step. penalty: the strength of an L2 penalty on the kernels. smoothing: the
    strength of label smoothing. decay: whether the learning rate falls linearly to 0. Equal
    generators give equal starts, batches and random numbers of dropout, whatever the others.
    """
    sizes = x[0].size, hidden, y.max() + 1
    weights = _start(sizes, rng)
    velocity = [np.zeros_like(w) for w in weights]
    targets = (1 - smoothing) * np.eye(sizes[-1])[y] + smoothing / sizes[-1]
    batches = _batches(x, targets, rng, hidden, rates, augment)
    for step, (inputs, targets, factors) in zip(range(steps), batches, strict=False):
        rate = learning_rate * (1 - step / steps) if decay else learning_rate
        gradients = _gradients(weights, inputs, targets, factors)
        for w, v, gradient in zip(weights, velocity, gradients, strict=True):
            kernel = w.ndim == 2
            v *= MOMENTUM
            v -= rate * (gradient + 2 * penalty * kernel * w)
            w += v
            if kernel and radius < np.inf:
                w *= radius / np.linalg.norm(w, axis=0).clip(min=radius)
    return weights


def _start(sizes, rng):
    """Return kernels of He's size and biases of 0, in turn."""
    weights = []
    for fan_in, fan_out in pairwise(sizes):
        weights += [rng.normal(size=(fan_in, fan_out)) * np.sqrt(2 / fan_in), np.zeros(fan_out)]
    return weights


def _batches(x, targets, rng, hidden, rates, augment) -> Iterator[tuple]:
    """Yield batches without end: inputs after dropout, targets, factors of the hidden units."""

    def factors(size, rate):
        return (rng.random((DRAWN, BATCH, size)) >= rate) / (1 - rate)

    while True:
        rows = rng.integers(len(x), size=DRAWN * BATCH)
        drawn = x[rows] if augment is None else augment(x[rows], rng)
        inputs = drawn.reshape(DRAWN, BATCH, -1)
        inputs = inputs * factors(inputs.shape[-1], rates[0])
        yield from zip(
            inputs, targets[rows].reshape(DRAWN, BATCH, -1), factors(hidden, rates[1]), strict=True
        )


def _gradients(weights, inputs, targets, factors):
    w1, b1, w2, b2 = weights
    z = inputs @ w1 + b1
    hidden = np.maximum(z, 0) * factors
    d = (softmax(hidden @ w2 + b2) - targets) / len(inputs)
    dz = d @ w2.T * factors * (z > 0)
    return inputs.T @ dz, dz.sum(axis=0), hidden.T @ d, d.sum(axis=0)


def accuracy(
    weights: list[np.ndarray], x: np.ndarray, y: np.ndarray, factors: np.ndarray | float = 1.0
) -> float:
    """Return the share of rows (0 to 1) that the network classifies as `y` says.

    factors: on the outputs of the hidden units, of shape (rows, units).
    """
    w1, b1, w2, b2 = weights
    hidden = np.maximum(x.reshape(len(x), -1) @ w1 + b1, 0) * factors
    return float(((hidden @ w2 + b2).argmax(axis=1) == y).mean())


class Trials:
    """The runs that an answer asks for, counted here, where it cannot reach the count.

    train: the function that the answer gets; it takes a setting and a number of steps. runs: the
    scores of the longest run of each setting; longest: the most steps of a run. over: the steps
    that the answer asked for, once they were more than the budget.
    """

    def __init__(
        self,
        scores: Callable[[Any, int], dict[str, float]],
        read: Callable[[Any], Hashable],
        budget: int,
    ):
        """scores: trains with a setting for some steps, and returns the accuracy (0 to 1) by the
        name of the rows. read: makes a setting of what the answer wrote; raises ValueError, with a
        sentence. budget: steps of all runs."""
        self.scores, self.read, self.budget = scores, read, budget
        self.runs: dict[Hashable, dict[str, float]] = {}
        self.spent = self.longest = self.over = 0
        self._steps: dict[Hashable, int] = {}

        def train(setting, steps, /):  # not a method: an answer gets copies of its arguments
            return self._train(self.read(plain(setting)), _whole(plain(steps)))

        self.train = train

    def _train(self, setting, steps):
        if self.spent + steps > self.budget:
            self.over = self.over or self.spent + steps
            left = self.budget - self.spent
            raise ValueError(f"{steps} steps are more than the {left} that are left of the budget")
        self.spent += steps
        self.longest = max(self.longest, steps)
        found = self.scores(setting, steps)
        if steps >= self._steps.get(setting, 0):
            self.runs[setting], self._steps[setting] = found, steps
        return dict(found)

    def decide(self, ask: Callable, *arguments: Any) -> Any:
        """Ask with `train`, the arguments and the budget; return the setting that is chosen.

        Raises Failed for an answer that asks for more steps than the budget, or that compares
        nothing, and AnswerError for one that is no setting.
        """
        try:
            chosen = ask(self.train, *arguments, self.budget)
        except AnswerError:
            if not self.over:
                raise
        if self.over:
            asked = min(self.over, 10 * self.budget)
            raise Failed(f"at most {self.budget} steps", f"at least {asked}", "over budget")
        if len(self.runs) < 2:
            raise Failed("several settings tried", f"{len(self.runs)} tried", "no decision")
        try:
            return self.read(chosen)
        except ValueError as error:
            raise AnswerError(f"Your function's answer cannot be used: {error}.") from error


def _whole(steps):
    """Return a number of steps. Raises ValueError, with a sentence, for anything else."""
    if isinstance(steps, np.ndarray) and steps.ndim == 0 and 1 <= steps == np.floor(steps):
        return int(steps) if np.isfinite(steps) else _whole(None)
    raise ValueError("the steps of a run are a whole number of 1 or more")


def disagreeing(
    number: int,
    rng: np.random.Generator,
    dev: tuple[float, float] = (0.65, -0.03),
    test: tuple[float, float] = (0.4, -0.01),
) -> list[dict[str, float]]:
    """Make up scores of settings: one is best on dev, one on test, one on train, one has no gap.

    dev, test: what the others score, along a random order: the first one, and the step to the next.
    """
    best_dev, best_test, best_train, no_gap, *_ = order = rng.permutation(number)
    found = []
    for i in range(number):
        rank = int(np.flatnonzero(order == i)[0])
        on_dev = 0.85 if i == best_dev else dev[0] + dev[1] * rank
        on_test = 0.95 if i == best_test else test[0] + test[1] * rank
        on_train = {best_dev: 0.95, best_train: 0.99, no_gap: on_dev}.get(i, on_dev + 0.2)
        found.append({"train": on_train, "dev": on_dev, "test": on_test})
    return found


def made_up(
    table: Mapping[Hashable, Mapping[str, float]], steps: int, rng: np.random.Generator
) -> Callable[[Any, int], dict[str, float]]:
    """Return `scores` for `Trials` that trains nothing: they come from a table.

    table: the scores by setting, of runs without an end. steps: those of the final run. The shorter
    a run, the lower its scores, the smaller their differences, and the more chance decides.
    """
    luck = {key: dict(zip(rows, rng.normal(size=len(rows)), strict=True))
            for key, rows in table.items()}  # fmt: skip

    def scores(setting, number):
        left = float(np.exp(-4 * number / steps))  # the share that is still to be learned
        return {
            rows: (1 - left) * score + left * (0.3 + 0.04 * luck[setting][rows])
            for rows, score in table[setting].items()
        }

    return scores


def decide_made_up(
    ask: Callable,
    choices: Any,
    table: Mapping[Hashable, Mapping[str, float]],
    read: Callable[[Any], Hashable],
    steps: int,
    budget: int,
    rng: np.random.Generator,
) -> tuple[Mapping[Hashable, Mapping[str, float]], Trials, Any]:
    """Let an answer decide among `choices` by the scores of a table: (table, trials, chosen)."""
    trials = Trials(made_up(table, steps, rng), read, budget)
    return table, trials, trials.decide(ask, choices, steps)


def on_hidden(scores: Callable[..., Mapping[str, float]], setting: Any, steps: int) -> float:
    """Return the mean accuracy on the hidden rows from three starts that no answer has seen."""
    starts = (scores(setting, steps, ["hidden"], start)["hidden"] for start in (1, 2, 3))
    return float(np.mean(list(starts)))


def follows_dev(
    decisions: Sequence[tuple[Mapping[Hashable, Mapping[str, float]], Trials, Any]],
    steps: int,
    mistakes: Mapping[str, bool] | None = None,
) -> Outcome:
    """Judge that settings were chosen by the dev scores of tables, among those that were tried.

    decisions: for each task its table, what was tried, and the setting that was chosen; one that
    was not tried may be chosen too, as some methods put together what they found. steps: those of
    the final run. mistakes: of the exercise. A mistake is named when it fits every decision.
    """

    def best(value):
        """Tell whether each choice has as high a value as any setting that was tried there."""
        return all(
            value(table[chosen]) >= max(value(table[setting]) for setting in trials.runs)
            for table, trials, chosen in decisions
        )

    dev = [
        (max(table[setting]["dev"] for setting in trials.runs), table[chosen]["dev"])
        for table, trials, chosen in decisions
    ]
    expected, received = (
        " and ".join(f"{score:.3f}" for score in each) for each in zip(*dev, strict=True)
    )
    return judge(
        all(found >= highest - TOLERANCE for highest, found in dev),
        f"dev accuracies {expected}, the highest of those tried",
        received,
        {
            "short runs": all(trials.longest < SHORT * steps for _, trials, _ in decisions),
            **(mistakes or {}),
            "chosen on test rows": best(lambda scores: scores["test"]),
            "chosen on train rows": best(lambda scores: scores["train"]),
            "smallest gap": best(lambda scores: scores["dev"] - scores["train"]),
            "lowest for highest": best(lambda scores: -scores["dev"]),
            "dev ignored": True,
        },
    )
