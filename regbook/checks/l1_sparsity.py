"""Checks of chapter 08, L1, elastic net and activity penalties."""

import numpy as np

from regbook.exercise import AnswerError, Chapter, Failed, judge, outputs, plain, vary

chapter = Chapter("08_l1_sparsity")


def _kernels(rng):
    """Return all weights in one array, none near 0, and the kernels, which are parts of it."""
    flat = rng.choice([-1.0, 1.0], size=18) * rng.uniform(0.8, 2.2, size=18)
    return flat, [flat[:12].reshape(3, 4), flat[12:14], flat[14:].reshape(2, 2)]


def _number(rng):
    """Draw a number that two or three digits do not hold."""
    return (rng.integers(100, 300) + 0.45) / 1000


def _rounded(function):
    """Return the mistakes that round what the function returns."""
    return [lambda *given, digits=digits: np.round(function(*given), digits) for digits in (2, 3)]


def _absolute(weights, lam):
    return lam * sum(np.abs(w).sum() for w in weights)


# --- l1_penalty ------------------------------------------------------------------------------

l1_penalty = chapter.exercise(
    "l1_penalty",
    _absolute,
    mistakes={
        "squares": lambda weights, lam: lam * sum((w**2).sum() for w in weights),
        "euclidean": lambda weights, lam: lam * sum(np.linalg.norm(w) for w in weights),
        "operator": lambda weights, lam: lam * sum(np.linalg.norm(w, 1) for w in weights),
        "signed": lambda weights, lam: lam * sum(w.sum() for w in weights),
        "outside": lambda weights, lam: lam * sum(abs(w.sum()) for w in weights),
        "mean": lambda weights, lam: lam * sum(np.abs(w).mean() for w in weights),
        "first-only": lambda weights, lam: lam * np.abs(weights[0]).sum(),
        "last-only": lambda weights, lam: lam * np.abs(weights[-1]).sum(),
        "no-strength": lambda weights, lam: sum(np.abs(w).sum() for w in weights),
        "two-only": lambda weights, lam: _absolute(weights[:2], lam),
        "no-vectors": lambda weights, lam: _absolute([w for w in weights if w.ndim > 1], lam),
        "rounded": _rounded(_absolute),
    },
    hints={
        "squares": "You added squares. That is the L2 penalty (ridge); L1 adds absolute values.",
        "euclidean": "You added Euclidean norms. The L1 norm has no squares and no root.",
        "operator": "np.linalg.norm(W, 1) of a matrix is its largest column sum. The penalty adds all entries.",
        "signed": "Positive and negative weights cancel in your sum: take absolute values first.",
        "outside": "You took the absolute value of the sum. Take it of each entry, then add.",
        "mean": "You averaged over the entries. The penalty is a sum: a larger kernel costs more.",
        "first-only": "Only the first kernel counts in your sum. Go through the whole list.",
        "last-only": "Only the last kernel counts in your sum. Is the total overwritten in the loop?",
        "no-strength": "The strength lam is missing.",
        "two-only": "You add two arrays only. Go through the whole list, however long it is.",
        "no-vectors": "You leave out arrays with one axis. Everything in the list is a kernel, of any shape.",
        "rounded": "You rounded. A penalty may be small as a whole: return all digits.",
    },
)


@l1_penalty.check(
    points=0.5,
    hint="The penalty is lam times the sum of |w| over every entry of every array in the list.",
    more="For [1, -2] and [-5] the absolute values add up to 1 + 2 + 5 = 8. lam comes in once, at the end.",
    keeps_input=True,
)
def sums_the_absolute_values(ask, rng):
    """is lam times the sum of the absolute values of all entries"""
    flat, weights = _kernels(rng)
    for sign, w in zip((1, -1, -1), weights, strict=True):  # so that signs cancel
        w *= sign * np.sign(w.sum())
    return ask(weights, _number(rng) / np.abs(flat).sum())


@l1_penalty.check(
    points=0.25,
    hint="Multiplying every weight by -2 must double the penalty: |w| grows in proportion, and the sign plays no part.",
    more="Squares would give four times as much, and a sum without absolute values would change its sign.",
)
def grows_in_proportion(ask, rng):
    """doubles when all weights are multiplied by -2"""
    weights = [rng.normal(size=5), rng.normal(size=(2, 3, 2))]
    single, double = ask(weights, 0.3), ask([-2 * w for w in weights], 0.3)
    return {"the weights": single, "-2 times the weights": double}


@l1_penalty.check(
    points=0.25,
    hint="With lam = 0 the loss is unpenalised.",
    more="lam multiplies the whole sum.",
)
def is_zero_without_strength(ask, rng):
    """is 0 when lam is 0, and one number"""
    return ask([rng.normal(size=(3, 2))], 0.0)


# --- soft_threshold --------------------------------------------------------------------------

soft_threshold = chapter.exercise(
    "soft_threshold",
    lambda w, t: np.sign(w) * np.maximum(np.abs(w) - t, 0),
    mistakes={
        "hard": lambda w, t: np.where(np.abs(w) > t, w, 0),
        "sign-lost": lambda w, t: np.maximum(np.abs(w) - t, 0),
        "overshoots": lambda w, t: w - t * np.sign(w),
        "subtracts": lambda w, t: w - t,
        "positive-only": lambda w, t: np.maximum(w - t, 0),
        "clips": lambda w, t: np.clip(w, -t, t),
        "reversed": lambda w, t: np.where(np.abs(w) > t, 0, w),
        "grows": lambda w, t: np.where(np.abs(w) > t, w + t * np.sign(w), 0),
        "shrinks": [lambda w, t: w / (1 + t), lambda w, t: (1 - t) * w],
        "rounded": _rounded(lambda w, t: np.sign(w) * np.maximum(np.abs(w) - t, 0)),
    },
    hints={
        "hard": "This is hard thresholding: small weights become 0, large ones keep their size. The large ones must shrink by t as well.",
        "sign-lost": "The sign is lost: negative weights came out positive.",
        "overshoots": "Weights smaller than t jump over zero: that is a subgradient step. They must stop at zero.",
        "subtracts": "You subtract t from every weight. A negative weight must go up, towards zero.",
        "positive-only": "Negative weights are all cut to zero. Those below -t must become w + t.",
        "clips": "You clipped to the range from -t to t. That keeps exactly the part which must be taken away.",
        "reversed": "The condition is turned around: the large weights are zero and the small ones stay.",
        "grows": "The large weights move away from zero. They must move towards it.",
        "shrinks": "You shrink every weight by a factor: that is the step of L2, and it makes no zeros.",
        "rounded": "You rounded. Weights are often small: return all digits.",
    },
)


@soft_threshold.check(
    points=2,
    hint="Subtract t from the absolute value, replace negative results by 0, and give the sign back.",
    more="With t = 0.5: -3 becomes -2.5, 0.2 becomes 0 and 2 becomes 1.5. np.sign gives the signs back.",
    keeps_input=True,
)
def moves_towards_zero(ask, rng):
    """moves every entry towards zero by t and stops at zero"""
    t = rng.uniform(0.4, 0.8)
    # Both signs, both sides of the threshold.
    return ask(t * rng.uniform([-3, -0.9, 0.1, 1.1], [-1.1, -0.1, 0.9, 3], size=(3, 4)), t)


@soft_threshold.check(
    hint="Entries with |w| <= t must be exactly 0, not merely small: 1e-9 takes as much room as 1.",
    more="np.maximum(..., 0) gives an exact 0; an exponential or a division does not.",
)
def makes_exact_zeros(ask, rng):
    """returns exact zeros, at the threshold itself too"""
    w = np.array([0.25, -0.25, 0.0, rng.uniform(-0.2, 0.2), 1.0])
    (received,) = outputs(ask(w, 0.25), (5,))
    count = (received[:4] == 0).sum()
    exact = count == 4 and received[4] != 0
    return judge(exact, "4 exact zeros and no other", f"{count} exact zeros of the 4")


@soft_threshold.check(
    hint="A threshold of 0 changes nothing, and kernels of any shape come back in their own shape.",
    more="np.sign, np.abs and np.maximum work entry by entry, on arrays of any shape.",
)
def changes_nothing_without_threshold(ask, rng):
    """returns the weights themselves for t = 0, in any shape"""
    w = rng.normal(size=(2, 3, 2))
    w[0, 0] = 0.0, 0.01234
    return ask(w, 0.0)


# --- elastic_net_penalty ---------------------------------------------------------------------


def _net(
    weights,
    l1,
    l2,
    *,
    value=lambda absolute, squares, l1, l2: l1 * absolute + l2 * squares,
    gradient=lambda w, l1, l2: l1 * np.sign(w) + 2 * l2 * w,
    counted=lambda weights: weights,
    total=sum,
):
    values = [value(np.abs(w).sum(), (w**2).sum(), l1, l2) for w in counted(weights)]
    return total(values), tuple(gradient(w, l1, l2) for w in weights)


elastic_net_penalty = chapter.exercise(
    "elastic_net_penalty",
    _net,
    mistakes={
        "swapped": lambda weights, l1, l2: _net(weights, l2, l1),
        "halved": vary(_net, l2=lambda l2: l2 / 2),
        "root": vary(_net, value=lambda a, s, l1, l2: l1 * a + l2 * np.sqrt(s)),
        "mixed": vary(_net, value=lambda a, s, l1, l2: (l1 + l2) * a),
        "only-l1": vary(_net, l2=0.0),
        "only-l2": vary(_net, l1=0.0),
        "first-only": vary(_net, counted=lambda weights: weights[:1]),
        "last-only": vary(_net, counted=lambda weights: weights[-1:]),
        "two-only": vary(_net, counted=lambda weights: weights[:2]),
        "rounded": [
            vary(_net, total=lambda values, digits=digits: np.round(sum(values), digits))
            for digits in (2, 3)
        ],
        "factor-two": vary(_net, gradient=lambda w, l1, l2: l1 * np.sign(w) + l2 * w),
        "unsigned": vary(_net, gradient=lambda w, l1, l2: l1 + 2 * l2 * w),
        "l2-only": vary(_net, gradient=lambda w, l1, l2: 2 * l2 * w),
        "l1-only": vary(_net, gradient=lambda w, l1, l2: l1 * np.sign(w)),
        "fading": vary(_net, gradient=lambda w, l1, l2: l1 * w + 2 * l2 * w),
        "ascent": vary(_net, gradient=lambda w, l1, l2: -l1 * np.sign(w) - 2 * l2 * w),
        "zero": vary(_net, gradient=lambda w, l1, l2: 0 * w),
    },
    hints={
        "swapped": "The strengths are swapped: l1 belongs to the absolute values, l2 to the squares.",
        "halved": "You halved the L2 part, as scikit-learn does. Here it is l2 * sum(w**2).",
        "root": "You took the norm in the L2 part. It uses the square: no root.",
        "mixed": "Both parts take absolute values. The L2 part takes squares.",
        "only-l1": "The L2 part is missing.",
        "only-l2": "The L1 part is missing.",
        "first-only": "Only the first kernel counts. Go through the whole list.",
        "last-only": "Only the last kernel counts. Is the total overwritten in the loop?",
        "two-only": "You add two kernels only. Go through the whole list, however long it is.",
        "rounded": "You rounded. A penalty may be small as a whole: return all digits.",
        "factor-two": "The factor 2 is missing: the derivative of w**2 is 2 w.",
        "unsigned": "The derivative of |w| is the sign of w: -1 for negative weights, and 0 is taken at 0.",
        "l2-only": "The gradient of the L1 part is missing. Is its value computed outside the graph?",
        "l1-only": "The gradient of the L2 part is missing. Is its value computed outside the graph?",
        "fading": "The gradient of your L1 part fades with w. The slope of |w| stays plus or minus 1.",
        "ascent": "This is the negative gradient. Return the gradient itself; the optimizer subtracts it.",
        "zero": "All gradients are zero. Was the penalty computed from the tensors that you differentiate by?",
    },
)


def _pair(received, weights):
    """Return the value and the tuple of gradients, however the latter are nested."""
    value, *gradients = received if isinstance(received, tuple) else (received,)
    if len(gradients) == 1 and isinstance(gradients[0], tuple):
        gradients = gradients[0]
    elif len(gradients) == 1 and np.ndim(gradients[0]) == weights[0].ndim + 1:
        gradients = tuple(gradients[0])  # one kernel: a list of one array was stacked
    return value, tuple(gradients)


@elastic_net_penalty.check(
    points=0.5,
    hint="The penalty is l1 * sum of |w| plus l2 * sum of w**2, over every kernel.",
    more="For [2, -1] with l1 = 0.5 and l2 = 0.25 it is 0.5 * 3 + 0.25 * 5 = 2.75.",
)
def adds_both_penalties(ask, rng):
    """returns the sum of both penalties over all kernels"""
    (flat, weights), l1, l2 = _kernels(rng), rng.uniform(0.1, 0.3), rng.uniform(0.4, 0.8)
    scale = _number(rng) / (l1 * np.abs(flat).sum() + l2 * flat @ flat)
    return _pair(ask(weights, scale * l1, scale * l2), weights)[0]


@elastic_net_penalty.check(
    points=0.5,
    hint="The gradient is l1 * sign(w) + 2 * l2 * w, one array per kernel.",
    more="PyTorch: torch.autograd.grad(penalty, tensors). Keras: tape.gradient(penalty, variables).",
    keeps_input=True,
)
def returns_the_gradient(ask, rng):
    """returns the gradient of each kernel"""
    (_, weights), l1, l2 = _kernels(rng), rng.uniform(0.1, 0.3), rng.uniform(0.4, 0.8)
    weights[0][0, 0] = 0.0
    return _pair(ask(weights, l1, l2), weights)[1]


# --- sparsity --------------------------------------------------------------------------------


def _share(weights, tol, *, counts=lambda w, tol: np.abs(w) <= tol):
    return sum(counts(w, tol).sum() for w in weights) / sum(w.size for w in weights)


sparsity = chapter.exercise(
    "sparsity",
    _share,
    mistakes={
        "unrepaired": lambda weights, tol: np.mean([(w < tol).mean() for w in weights]),
        "signed": vary(_share, counts=lambda w, tol: w < tol),
        "mean-of-means": lambda weights, tol: np.mean([(np.abs(w) <= tol).mean() for w in weights]),
        "percent": lambda weights, tol: 100 * _share(weights, tol),
        "count": lambda weights, tol: sum((np.abs(w) <= tol).sum() for w in weights),
        "density": lambda weights, tol: 1 - _share(weights, tol),
        "first-only": lambda weights, tol: _share(weights[:1], tol),
        "last-only": lambda weights, tol: _share(weights[-1:], tol),
        "two-only": lambda weights, tol: _share(weights[:2], tol),
        "rounded": _rounded(_share),
        "strict": vary(_share, counts=lambda w, tol: np.abs(w) < tol),
    },
    hints={
        "unrepaired": "This is still the colleague's report: it counts all negative weights, and gives every layer the same say.",
        "signed": "Every negative weight counts as small. Compare the absolute value.",
        "mean-of-means": "You averaged the layers' shares: a layer of 8 weights then counts as much as one of 48. Divide one count by one total.",
        "percent": "This is a percentage. Return a share from 0 to 1.",
        "count": "This is a number of weights. Divide by the number of all weights.",
        "density": "This is the share of weights that are not small, the density.",
        "first-only": "Only the first array is counted.",
        "last-only": "Only the last array is counted.",
        "two-only": "Only two arrays are counted. Go through the whole list, however long it is.",
        "rounded": "You rounded. Return all digits of the share.",
        "strict": "A weight exactly at the tolerance does not count in your answer, so exact zeros vanish at tol = 0. Compare with <=.",
    },
)


@sparsity.check(
    points=2,
    hint="Count the entries with |w| <= tol in all arrays, and divide by the number of all entries.",
    more="For arrays of 3 and of 1 entries, 2 and 1 of them small, it is 3 / 4: neither 1 nor the mean of 2/3 and 1.",
)
def counts_small_weights(ask, rng):
    """is the share of all weights within tol of zero"""
    tol = rng.uniform(0.4, 0.6)
    # Layers of different size and sparsity, with more negative than positive weights.
    weights = [rng.uniform(0.7, 1.5, size=(6, 8)), rng.uniform(0.7, 1.5, size=(4, 2))]
    for w, small, negative in zip(weights, (5, 5), (31, 5), strict=True):
        flat = w.reshape(-1)
        flat[:small] *= 0.5 * tol
        flat[:negative] *= -1
        rng.shuffle(flat)
    return ask(weights, tol)


@sparsity.check(
    hint="A weight with |w| equal to tol counts: compare with <=. With tol = 0 the exact zeros count.",
    more="`abs(w) < 0` is never true, so a proximal step would seem to make no zeros.",
    keeps_input=True,
)
def counts_exact_zeros(ask, rng):
    """counts the exact zeros when tol is 0, and weights at the tolerance"""
    weights = [rng.permutation([0.0, 0.0, 0.0, 0.5, -0.5, 0.505, -3.0, 1e-9])]
    weights += [np.zeros((2, 1)), np.array([-0.5, 4.0])]
    return {"tol = 0": ask(weights, 0.0), "tol = 0.5": ask(weights, 0.5)}


# --- activity_penalty ------------------------------------------------------------------------


def _activity(outputs, lam):
    return lam * np.abs(outputs).sum() / len(outputs)


activity_penalty = chapter.exercise(
    "activity_penalty",
    _activity,
    mistakes={
        "summed": lambda outputs, lam: lam * np.abs(outputs).sum(),
        "mean": lambda outputs, lam: lam * np.abs(outputs).mean(),
        "per-unit": lambda outputs, lam: lam * np.abs(outputs).sum() / outputs.shape[1],
        "squares": lambda outputs, lam: lam * (outputs**2).sum() / len(outputs),
        "signed": lambda outputs, lam: lam * outputs.sum() / len(outputs),
        "no-strength": lambda outputs, lam: np.abs(outputs).sum() / len(outputs),
        "per-row": lambda outputs, lam: lam * np.abs(outputs).sum(axis=1),
        "positions": lambda outputs, lam: lam * np.abs(outputs).sum(axis=-1).mean(),
        "rounded": _rounded(_activity),
        "last-axis": lambda outputs, lam: lam * np.abs(outputs).sum() / outputs.shape[-1],
    },
    hints={
        "summed": "The division by the number of rows is missing: your penalty grows with the batch size.",
        "mean": "You averaged over the units as well. Keras sums over the units: a wider layer costs more.",
        "per-unit": "You divided by the number of units. Divide by the number of rows, the first axis.",
        "squares": "You added squares. That is an L2 activity penalty.",
        "signed": "Positive and negative outputs cancel in your sum: take absolute values first.",
        "no-strength": "The strength lam is missing.",
        "per-row": "You return one value per row. Average them: the loss is one number.",
        "positions": "You averaged over the positions of the image as well. Divide by the number of images only.",
        "rounded": "You rounded. A penalty may be small as a whole: return all digits.",
        "last-axis": "You divided by the last axis. The rows come first.",
    },
)


@activity_penalty.check(
    points=0.5,
    hint="Sum |a| over everything, multiply by lam, and divide by the number of rows.",
    more="The rows [1, -2, 0] and [0, 0, 5] with lam = 0.5 give 0.5 * (3 + 5) / 2 = 2.",
)
def sums_units_and_averages_rows(ask, rng):
    """is summed over the units and averaged over the rows"""
    a = rng.normal(size=(6, 4))
    return ask(a, _number(rng) / _activity(a, 1.0))


@activity_penalty.check(
    points=0.25,
    hint="Images have rows first, then height, width and channels. Divide by the number of rows only.",
    more="len(outputs) is the size of the first axis, whatever the others are.",
    keeps_input=True,
)
def reads_images(ask, rng):
    """divides by the number of rows for images too"""
    return ask(rng.normal(size=(3, 2, 4, 5)), 0.25)


@activity_penalty.check(
    points=0.25,
    hint="The penalty is an average over rows: the same rows twice must give the same penalty.",
    more="Divide by len(outputs), not by a fixed number.",
)
def does_not_depend_on_the_batch_size(ask, rng):
    """stays the same when every row appears twice"""
    a = rng.normal(size=(5, 3))
    return {"the rows": ask(a, 0.5), "every row twice": ask(np.vstack([a, a]), 0.5)}


# --- choose_columns --------------------------------------------------------------------------

PRICES = np.geomspace(0.003, 0.2, 8).round(4)
NUMBER, MOST, FITS = 60, 12, 24  # columns of the table, columns that may be kept, fits


class _Fits:
    """The fits that an answer asks for, counted here, where it cannot reach the count.

    fit: the function that the answer gets. runs: the columns that each fit kept, and its scores.
    """

    def __init__(self, fitted, budget=FITS):
        """fitted: returns the weights of some columns at a price, and the scores by the name of
        the rows."""
        self.fitted, self.budget, self.asked = fitted, budget, 0
        self.runs = []

        def fit(columns, price, /):  # not a method: an answer gets copies of its arguments
            return self._fit(*_read(plain(columns), plain(price)))

        self.fit = fit

    def _fit(self, columns, price):
        self.asked += 1
        if self.asked > self.budget:
            raise ValueError(f"the budget of {self.budget} fits is spent")
        weights, scores = self.fitted(columns, price)
        kept = columns[weights != 0]
        self.runs.append((kept, scores))
        return {"kept": kept, "weights": weights, **scores}

    def decide(self, ask):
        """Ask with `fit` and the budget; return the columns and the price of the final fit.

        Raises Failed for an answer that is over the budget, compares nothing, or keeps no column
        or more than it may, and AnswerError for one that cannot be read.
        """
        try:
            chosen = ask(self.fit, PRICES, NUMBER, MOST, self.budget)
        except AnswerError:
            if self.asked <= self.budget:
                raise
        if self.asked > self.budget:
            raise Failed(f"at most {self.budget} fits", f"{self.budget + 1} or more", "over budget")
        if not isinstance(chosen, tuple) or len(chosen) != 2:
            raise AnswerError("Return two things: the columns, and the price of the final fit.")
        try:
            columns, price = _read(*chosen)
        except ValueError as error:
            raise AnswerError(f"Your function's answer cannot be used: {error}.") from error
        size = f"{len(columns)} columns"
        for mistake, fits in {
            "keeps nothing": len(columns) == 0,
            "keeps everything": len(columns) == NUMBER,
            "too many columns": len(columns) > MOST,
        }.items():
            if fits:
                raise Failed(f"1 to {MOST} columns", size, mistake)
        if len(self.runs) < 2:
            raise Failed("several fits compared", f"{len(self.runs)} made", "no decision")
        return columns, price


def _read(columns, price):
    """Return the columns as whole numbers in order, each once, and the price."""
    columns = np.asarray(columns)
    if columns.size == 0:
        columns = columns.astype(int)
    wrong = columns.ndim != 1 or columns.dtype.kind not in "iuf"
    if wrong or not np.isin(columns, np.arange(NUMBER)).all():
        raise ValueError(f"the columns are a list of whole numbers from 0 to {NUMBER - 1}")
    price = np.asarray(price)
    if price.ndim or price.dtype.kind not in "iuf" or not 0 <= price < np.inf:
        raise ValueError("the price is one number of 0 or more")
    return np.unique(columns).astype(int), float(price)


def _logistic(x, y, price, steps=200):
    """Return the weights and the bias of logistic regression with an L1 penalty, by proximal steps."""
    w, b = np.zeros(x.shape[1]), 0.0
    for _ in range(steps):
        error = 1 / (1 + np.exp(-np.clip(x @ w + b, -30, 30))) - y
        w, b = w - x.T @ error / len(y), b - error.mean()
        w = np.sign(w) * np.maximum(np.abs(w) - price, 0)
    return w, b


class _Clinic:
    """A table of two classes in which few columns tell anything."""

    def __init__(self, rng, real, size, train):
        """real: the number of columns that tell something; size: of their true weights."""
        self.real = rng.choice(NUMBER, real, replace=False)
        true = np.zeros(NUMBER)
        true[self.real] = size * rng.choice([-1, 1], size=real)
        self.rows = {}
        for name, rows in {"train": train, "dev": 1000, "test": 100, "hidden": 4000}.items():
            x = rng.normal(size=(rows, NUMBER))
            self.rows[name] = x, rng.random(rows) < 1 / (1 + np.exp(-x @ true))

    def fitted(self, columns, price, names=("train", "dev", "test")):
        x, y = self.rows["train"]
        w, b = _logistic(x[:, columns], y, price)
        return w, {name: self._accuracy(name, columns, w, b) for name in names}

    def hidden(self, columns, price):
        return self.fitted(columns, price, ["hidden"])[1]["hidden"]

    def _accuracy(self, name, columns, w, b):
        x, y = self.rows[name]
        return float(((x[:, columns] @ w + b > 0) == y).mean())


choose_columns = chapter.exercise(
    "choose_columns",
    None,
    mistakes={},
    hints={
        "over budget": "You call `fit` more often than `budget` allows. Fitting every column by itself, or every subset, takes too many fits: walk along the prices, and refit only what is left.",
        "no decision": "You do not compare: call `fit` at several prices, and choose by what dev says.",
        "keeps everything": "You return all columns. Only those that carry a weight are worth measuring: `fit(...)['kept']` names them.",
        "keeps nothing": "You return no column. At the highest prices every weight is zero: take a lower price.",
        "too many columns": "You return more than `most` columns. Compare only fits that keep at most `most` of them.",
        "chosen on test rows": "You choose by the accuracy on the test rows. They are there to report how good the choice is: choose by dev alone.",
        "chosen on train rows": "You choose by the accuracy on the train rows. It is highest for the most columns: choose by dev.",
        "lowest for highest": "You choose the lowest dev accuracy. Choose the highest.",
        "fewest columns": "You take the fewest columns whatever they cost. Fewer are better only where dev accuracy does not suffer.",
        "columns missing": "Among the columns that you keep, too many of those that matter are missing. The price was too high, or the columns were chosen without a fit.",
        "dev ignored": "Your choice does not follow the dev accuracy: another fit that you made, with at most `most` columns, has a clearly higher one.",
    },
)  # fmt: skip

# The number of columns that matter, the size of their weights, and the train rows.
_TABLES = {"few strong columns": (3, 2.5, 120), "more weak columns": (6, 1.2, 300)}


@choose_columns.check(
    points=3,
    hint="The classifier that you hand in does hardly better on hidden rows than one that uses all columns without a penalty. Choose by dev among the fits that keep at most `most` columns, and try them again at a lower price.",
    more="First find the columns: fit(np.arange(number), price) for every price. Then compare, by dev, what the kept columns give with the price 0 or a low one: a high price makes the weights that stay too small.",
)
def does_well_on_hidden_rows(ask, rng):
    """keeps few columns, most of those that matter, and does well on hidden rows, in two tables"""
    shown = []
    for name, table in _TABLES.items():
        clinic = _Clinic(rng, *table)
        columns, price = _Fits(clinic.fitted).decide(ask)
        found = np.isin(clinic.real, columns).sum()
        least = int(np.ceil(2 / 3 * len(clinic.real)))
        free, best = clinic.hidden(np.arange(NUMBER), 0), clinic.hidden(clinic.real, 0)
        needed, reached = free + 0.2 * (best - free), clinic.hidden(columns, price)
        shown.append((
            f"{name}: {least} of {len(clinic.real)} found, accuracy at least {needed:.3f}",
            f"{found} found, {reached:.3f}",
        ))  # fmt: skip
        if found < least or reached < needed:
            return judge(False, *shown[-1], {"columns missing": found < least})
    return judge(True, *map("; ".join, zip(*shown, strict=True)))


_SIZES = np.array([40, 30, 22, 15, MOST, 6, 3, 1])  # columns kept at each price


def _made_up(rng, best, other):
    """Return a made-up `fitted`. best, other: MOST and 6, in either order.

    Dev asks for more columns than may be kept, and of the numbers that may, for `best`; test asks
    for `other`, and train for as many as possible.
    """
    order = rng.permutation(NUMBER)
    dev = {40: 0.8, 30: 0.85, 22: 0.9, 15: 0.8, best: 0.83, other: 0.74, 3: 0.6, 1: 0.66}
    test = {40: 0.7, 30: 0.71, 22: 0.72, 15: 0.73, best: 0.75, other: 0.9, 3: 0.72, 1: 0.7}

    def of(scores, size):
        return float(np.interp(size, sorted(scores), [scores[s] for s in sorted(scores)]))

    def fitted(columns, price):
        reached = np.count_nonzero(price >= 0.999 * PRICES)  # a price may come back as float32
        depth = 0 if price > 1.5 * PRICES[-1] else [NUMBER, *_SIZES][reached]
        ranks = np.argsort(order)[columns]
        weights = np.where(ranks < depth, 1 - ranks / NUMBER, 0)
        size = np.count_nonzero(weights)
        scores = {"train": 0.7 + 0.004 * size, "dev": of(dev, size), "test": of(test, size)}
        return weights, {name: scores[name] if size else 0.5 for name in scores}

    return fitted


@choose_columns.check(
    points=3,
    hint="Of the fits that keep at most `most` columns, choose the one with the highest dev accuracy.",
    more='`fit` returns a dict: compare fit(columns, price)["dev"] of the fits whose len(...["kept"]) is from 1 to `most`.',
)
def chooses_by_the_dev_rows(ask, rng):
    """chooses by dev accuracy among the fits that keep few columns, when train, dev and test disagree"""
    seen, without = [], []
    for best in rng.permutation([MOST, 6]):
        fitted = _made_up(rng, best, MOST + 6 - best)
        fits = _Fits(fitted)
        columns, price = fits.decide(ask)
        weights, scores = fitted(columns, price)
        allowed = [(kept, found) for kept, found in fits.runs if 1 <= len(kept) <= MOST]
        seen.append((np.count_nonzero(weights), scores, allowed))
        without.append(2 * np.count_nonzero(weights) < len(columns))

    def all_of(value):
        """Tell whether each choice has as high a value as any allowed fit that was made."""
        return all(
            allowed and value(size, scores) >= max(value(len(k), s) for k, s in allowed) - 1e-9
            for size, scores, allowed in seen
        )

    highest = [max((found["dev"] for _, found in allowed), default=0.83) for *_, allowed in seen]
    good = [s["dev"] >= h - 0.02 for (_, s, _), h in zip(seen, highest, strict=True)]
    return judge(
        all(good),
        "dev accuracies " + " and ".join(f"{h:.3f}" for h in highest),
        " and ".join(f"{scores['dev']:.3f}" for _, scores, _ in seen),
        {
            "columns missing": all(without),
            "chosen on test rows": all_of(lambda size, scores: scores["test"]),
            "chosen on train rows": all_of(lambda size, scores: scores["train"]),
            "fewest columns": all_of(lambda size, scores: -size),
            "lowest for highest": all_of(lambda size, scores: -scores["dev"]),
            "dev ignored": True,
        },
    )


@choose_columns.check(
    hint="All your calls of `fit` together must be at most `budget`.",
    more="One fit for each price, and two for each of those that keep few enough columns, are never too many.",
)
def keeps_to_the_budget(ask, rng):
    """keeps to the budget of fits and of columns, with a smaller budget too"""
    for budget in (FITS, 2 * len(PRICES)):
        fits = _Fits(_made_up(rng, MOST, 6), budget)
        columns, _ = fits.decide(ask)
    return judge(True, f"at most {budget} fits, {MOST} columns", f"{fits.asked}, {len(columns)}")
