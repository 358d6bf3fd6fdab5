"""The checks of chapter 18: batch normalization forward, backward, and its running statistics."""

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import Chapter, compare, judge, outputs, training, vary

chapter = Chapter("18_batch_norm")

EPS = 0.125  # large, so that a misplaced epsilon is far outside the tolerance
TINY = 1e-12


def _inputs(rng, rows=4, units=3):
    """Draw x, gamma and beta whose statistics differ clearly from 0 and 1."""
    x = rng.normal(rng.uniform(1, 3, units), rng.uniform(0.5, 1.5, units), size=(rows, units))
    x += np.linspace(-1, 1, rows)[:, None]  # no column is almost constant
    return x, rng.uniform(1.5, 3, units), rng.uniform(0.5, 2, units)


def _deviation(var, eps):
    return np.sqrt(var + eps)


# --- batchnorm_forward -----------------------------------------------------------------------


def _forward(x, gamma, beta, eps, *, axis=0, correction=0, divisor=_deviation):
    mean = x.mean(axis=axis, keepdims=True)
    count = x.size / mean.size - correction
    var = ((x - mean) ** 2).sum(axis=axis, keepdims=True) / count
    return gamma * (x - mean) / divisor(var, eps) + beta


def _centres_in_place(x, gamma, beta, eps):
    x -= x.mean(axis=0)
    return _forward(x, gamma, beta, eps)


forward = chapter.exercise(
    "batchnorm_forward",
    _forward,
    mistakes={
        "changes its input": _centres_in_place,
        "unbiased": vary(_forward, correction=1),
        "epsilon outside": vary(_forward, divisor=lambda var, eps: np.sqrt(var) + eps),
        "no epsilon": [
            *(vary(_forward, eps=eps) for eps in (0.0, 1e-5, 1e-3)),
            vary(_forward, divisor=lambda var, eps: np.sqrt(np.maximum(var, eps))),
        ],
        "no root": vary(_forward, divisor=lambda var, eps: var + eps),
        "rows": vary(_forward, axis=1),
        "whole batch": vary(_forward, axis=None),
        "no gamma and beta": vary(_forward, gamma=1.0, beta=0.0),
        "swapped": lambda x, gamma, beta, eps: _forward(x, beta, gamma, eps),
        "shift first": lambda x, gamma, beta, eps: _forward(x, gamma, gamma * beta, eps),
        "no mean": lambda x, gamma, beta, eps: gamma * x / _deviation(x.var(axis=0), eps) + beta,
        "equal rows kept": lambda x, *rest: x if (x == x[0]).all() else _forward(x, *rest),
        "size of gamma": vary(_forward, gamma=np.abs),
        "rounded": lambda *given: _forward(*given).round(2),
    },
    hints={
        "changes its input": "Your function writes into x, so whoever called it has lost the batch. Make a new array: x - mean does, x -= mean does not.",
        "unbiased": "You divided by B - 1. The batch is normalized with the biased variance, which divides by B. (torch.var divides by B - 1 unless you pass correction=0.)",
        "epsilon outside": "You added eps to the standard deviation. It belongs to the variance, under the root.",
        "no epsilon": "eps is not added, or not the one that you are given. It is added to the variance, under the root, however large the variance is.",
        "no root": "You divided by the variance. Divide by its square root.",
        "rows": "You took the statistics along each row: that is layer norm. Batch norm takes them down each column, over the rows of the batch.",
        "whole batch": "You took one mean and one variance for all units. Every column has its own.",
        "no gamma and beta": "You returned x_hat: gamma and beta are missing.",
        "swapped": "gamma and beta have changed places: gamma multiplies, beta is added.",
        "shift first": "You added beta before multiplying by gamma: scale first, then shift.",
        "no mean": "The mean is not subtracted from x.",
        "equal rows kept": "You return a batch of equal rows as it is. The definition gives beta, and needs no special case.",
        "size of gamma": "You take gamma without its sign. A negative gamma turns the column around.",
        "rounded": "Your y is rounded. Return it as it is.",
    },
)


@forward.check(
    points=2,
    hint="Compare with the definition line by line: mean, variance, x_hat, y.",
    more="x.mean(axis=0) and x.var(axis=0) hold one number for each column. For a column [1, 3] with eps = 0, x_hat is [-1, 1]; gamma and beta come after that.",
    keeps_input=True,
)
def normalizes_every_column(ask, rng):
    """normalizes every column, then scales by gamma and shifts by beta"""
    x, gamma, beta = _inputs(rng)
    return ask(x, gamma * [1, -1, 1], beta, EPS)


@forward.check(
    hint="Something of the size of x is left in y. Is the mean subtracted, and is the root of the variance, not another measure, what you divide by?",
    more="Look at x_hat for x and for 3 * x + 5 with eps = 0: both must be the same.",
)
def ignores_shift_and_scale(ask, rng):
    """gives the same y for x and for 30 x + 5, when eps is tiny"""
    x, gamma, beta = _inputs(rng)
    (expected,) = outputs(ask(x, gamma, beta, TINY), x.shape)
    return compare(ask(30 * x + 5, gamma, beta, TINY), expected)


@forward.check(
    hint="The columns of y do not have the mean beta and the standard deviation |gamma|.",
    more="x_hat has mean 0 and variance 1 in every column. Multiplying a column by gamma and adding beta changes both, in this order.",
)
def columns_get_beta_and_gamma(ask, rng):
    """gives every column the mean beta and the standard deviation |gamma|, when eps is tiny"""
    x, gamma, beta = _inputs(rng, rows=3)
    (y,) = outputs(ask(x, gamma * np.array([1, -1, 1]), beta, TINY), x.shape)
    return y.mean(axis=0), y.std(axis=0)


@forward.check(
    hint="A row that fills the whole batch is its own mean, so x_hat is 0, whatever the row holds.",
    more="The variance is 0 in such a batch, but sqrt(0 + eps) is not. No special case is needed.",
)
def one_row_gives_beta(ask, rng):
    """returns beta for a batch that holds the same row twice"""
    x, gamma, beta = _inputs(rng, rows=1)
    return ask(np.tile(x, (2, 1)), gamma, beta, EPS)  # PyTorch refuses a single row in training


# --- batchnorm_backward ----------------------------------------------------------------------


def _backward(
    dy,
    x,
    gamma,
    eps,
    *,
    average=np.mean,
    total=np.sum,
    mean_path=True,
    variance_path=True,
    divided=True,
    correction=0,
):
    """Return the gradients: dx from the three ways in which x reaches y."""
    s = np.sqrt(x.var(axis=0, ddof=correction) + eps)
    x_hat = (x - x.mean(axis=0)) / s
    dx = dy - mean_path * average(dy, axis=0)
    dx = dx - variance_path * x_hat * average(dy * x_hat, axis=0)
    return gamma * dx / (s if divided else 1), total(dy * x_hat, axis=0), total(dy, axis=0)


def _x_for_x_hat(dy, x, gamma, eps):
    dx, _, dbeta = _backward(dy, x, gamma, eps)
    return dx, (dy * x).sum(axis=0), dbeta


def _gamma_in_dgamma(dy, x, gamma, eps):
    dx, dgamma, dbeta = _backward(dy, x, gamma, eps)
    return dx, gamma * dgamma, dbeta


def _exchanged(dy, x, gamma, eps):
    dx, dgamma, dbeta = _backward(dy, x, gamma, eps)
    return dx, dbeta, dgamma


def _writes_into_dy(dy, x, gamma, eps):
    dx, dgamma, dbeta = _backward(dy, x, gamma, eps)
    dy[:] = dx
    return dy, dgamma, dbeta


backward = chapter.exercise(
    "batchnorm_backward",
    _backward,
    mistakes={
        "changes its input": _writes_into_dy,
        "constant statistics": vary(_backward, mean_path=False, variance_path=False),
        "no variance path": vary(_backward, variance_path=False),
        "no mean path": vary(_backward, mean_path=False),
        "sums for means": vary(_backward, average=np.sum),
        "no gamma": vary(_backward, gamma=1.0),
        "size of gamma": vary(_backward, gamma=np.abs),
        "not divided by s": vary(_backward, divided=False),
        "unbiased": vary(_backward, correction=1),
        "means": vary(_backward, total=np.mean),
        "x for x_hat": _x_for_x_hat,
        "gamma in dgamma": _gamma_in_dgamma,
        "order": _exchanged,
    },
    hints={
        "changes its input": "Your function writes into what it was given, so whoever called it has lost those values. Make a new array: gamma * dy does, dy *= gamma does not.",
        "constant statistics": "You treated mean and variance as constants. They depend on x too: two terms are missing, one for each.",
        "no variance path": "The way through the mean is there, the way through the variance is missing: the term with x_hat * dgamma.",
        "no mean path": "The way through the variance is there, the way through the mean is missing: the term with dbeta.",
        "sums for means": "The two sums must be divided by B: mean and variance each contain a factor 1/B.",
        "no gamma": "gamma is missing in dx: the gradient passes through y = gamma * x_hat + beta first.",
        "size of gamma": "You take gamma without its sign in dx. A negative gamma turns the gradient around.",
        "not divided by s": "The division by s = sqrt(var + eps) is missing in dx.",
        "unbiased": "Your variance divides by B - 1. The forward pass divides by B.",
        "means": "You took means over the batch. gamma and beta act on every row, so their gradients are sums; a mean in the loss is already part of dy.",
        "x for x_hat": "dgamma uses x_hat, the normalized x, not x itself.",
        "gamma in dgamma": "gamma does not belong in dgamma: the derivative of gamma * x_hat by gamma is x_hat.",
        "order": "Return dx, dgamma, dbeta in this order.",
    },
)


def _gradients(ask, rng, rows=4, eps=EPS):
    """Ask for the gradients of a batch; return them and its x_hat."""
    x, gamma, _ = _inputs(rng, rows)
    gamma = gamma * [1, -1, 1]
    dy = rng.normal(1, 1, size=x.shape)
    shapes = x.shape, gamma.shape, gamma.shape
    return *outputs(ask(dy, x, gamma, eps), *shapes), _forward(x, 1, 0, eps)


@backward.check(
    points=2,
    hint="x_j reaches every y_i of its column in three ways: directly, through the mean, and through the variance. Your dx does not equal the sum of the three.",
    more="Write s = sqrt(var + eps). The direct way gives gamma * dy / s; from dy subtract there its mean over the column, and x_hat times the mean of dy * x_hat.",
)
def equals_the_numeric_gradient(ask, rng):
    """returns the dx that centred differences give"""
    return _gradients(ask, rng)[0]


@backward.check(
    hint="y = gamma * x_hat + beta, and each of gamma and beta acts on all rows of its column.",
    more="The derivative of y by beta is 1, and by gamma it is x_hat. Multiply by dy, and add up over the rows.",
    keeps_input=True,
)
def sums_dgamma_and_dbeta(ask, rng):
    """returns dgamma and dbeta as sums over the batch"""
    _, dgamma, dbeta, _ = _gradients(ask, rng)
    return dgamma, dbeta


@backward.check(
    hint="Adding a constant to a column of x changes no y, so the column of dx must sum to 0. Look at the way through the mean.",
    more="Subtract the mean of dy from dy: what is left sums to zero, and x_hat does so anyway.",
)
def sums_to_zero(ask, rng):
    """returns a dx whose columns sum to zero"""
    return _gradients(ask, rng, rows=6)[0].sum(axis=0)


@backward.check(
    hint="Scaling a column of x changes no y when eps is tiny, so dx must have no part along x_hat. Look at the way through the variance.",
    more="Subtract x_hat times the mean of dy * x_hat, as one takes away the part of a vector along another.",
)
def has_no_part_along_x_hat(ask, rng):
    """returns a dx at right angles to x_hat, when eps is tiny"""
    dx, _, _, x_hat = _gradients(ask, rng, rows=6, eps=TINY)
    return (dx * x_hat).sum(axis=0)


# --- running_stats_update --------------------------------------------------------------------


def _kept(momentum, framework):
    """Return the part of the old value that stays."""
    return momentum if framework == "keras" else 1 - momentum


def _ddof(framework):
    return 0 if framework == "keras" else 1


def _update(
    running_mean, running_var, batch, momentum, framework, *, kept=_kept, ddof=_ddof, spread=np.var
):
    keep = kept(momentum, framework)
    var = spread(batch, axis=0, ddof=ddof(framework))
    mean = keep * running_mean + (1 - keep) * batch.mean(axis=0)
    return mean, keep * running_var + (1 - keep) * var


def _updates_in_place(running_mean, running_var, *rest):
    running_mean[:], running_var[:] = _update(running_mean, running_var, *rest)
    return running_mean, running_var


_OTHER_MOMENTUM = "The momentum has the meaning of the other framework. In Keras it is the part of the old value that stays, in PyTorch the part of the new value that comes in."

running_stats_update = chapter.exercise(
    "running_stats_update",
    _update,
    mistakes={
        "changes its input": _updates_in_place,
        "all of PyTorch": vary(_update, framework="torch"),
        "all of Keras": vary(_update, framework="keras"),
        "momentum of PyTorch": vary(_update, kept=lambda momentum, framework: 1 - momentum),
        "momentum of Keras": vary(_update, kept=lambda momentum, framework: momentum),
        "unbiased in Keras": vary(_update, ddof=lambda framework: 1),
        "biased in PyTorch": vary(_update, ddof=lambda framework: 0),
        "standard deviation": vary(_update, spread=np.std),
        "no memory": vary(_update, kept=lambda momentum, framework: 0),
        "order": lambda *given: _update(*given)[::-1],
    },
    hints={
        "changes its input": "Your function writes into the statistics that it was given, so whoever called it has lost the old ones. Make new arrays: momentum * running_mean does, running_mean *= momentum does not.",
        "all of PyTorch": _OTHER_MOMENTUM,
        "all of Keras": "You update like Keras. PyTorch differs twice: momentum is the part of the new value, and the variance divides by B - 1.",
        "momentum of PyTorch": _OTHER_MOMENTUM,
        "momentum of Keras": _OTHER_MOMENTUM,
        "unbiased in Keras": "You divided by B - 1. Keras feeds the biased variance, divided by B, into the running variance.",
        "biased in PyTorch": "You used the biased variance. PyTorch normalizes the batch with it, but feeds the unbiased one, divided by B - 1, into the running variance.",
        "standard deviation": "You averaged the standard deviation. The running statistic is the variance.",
        "no memory": "You returned the statistics of the batch: the old values have to stay in part.",
        "order": "Return the running mean first, then the variance.",
    },
)


def _statistics(rng):
    """Draw running statistics, a batch and a momentum."""
    x, _, _ = _inputs(rng, rows=3)
    return rng.uniform(4, 6, 3), rng.uniform(4, 6, 3), x, rng.uniform(0.6, 0.9)


@running_stats_update.check(
    hint="Keras: momentum is the weight of the old value; the variance is the biased one.",
    more="With momentum 0.75, an old mean of 0 and a batch mean of 2 give 0.5: a quarter of the new value comes in. The variance moves in the same way.",
    keeps_input=True,
)
def follows_keras(ask, rng):
    """updates like Keras when the framework is "keras\""""
    return ask(*_statistics(rng), "keras")


@running_stats_update.check(
    hint="PyTorch: momentum is the weight of the new value; the variance is the unbiased one.",
    more="With momentum 0.25, an old mean of 0 and a batch mean of 2 give 0.5. The option ddof=1 of np.var divides by B - 1.",
)
def follows_torch(ask, rng):
    """updates like PyTorch when the framework is "torch\""""
    return ask(*_statistics(rng), "torch")


@running_stats_update.check(
    hint="The two weights of old and new do not sum to 1, or a variance is not the right one.",
    more="momentum and 1 - momentum: one goes to the old value, the other to the new one.",
)
def rests_where_old_equals_new(ask, rng):
    """changes nothing when the running statistics equal those of the batch"""
    _, _, x, momentum = _statistics(rng)
    return {
        framework: ask(x.mean(axis=0), x.var(axis=0, ddof=ddof), x, momentum, framework)
        for framework, ddof in (("keras", 0), ("torch", 1))
    }


@running_stats_update.check(
    hint="The running mean is the same in both frameworks once the momentum is converted.",
    more='The mean for ("torch", momentum) is the mean for ("keras", 1 - momentum).',
)
def agrees_after_conversion(ask, rng):
    """gives both frameworks the same mean when the momenta sum to 1"""
    mean, var, x, momentum = _statistics(rng)
    shapes = [mean.shape] * 2
    keras, _ = outputs(ask(mean, var, x, momentum, "keras"), *shapes)
    torch, _ = outputs(ask(mean, var, x, 1 - momentum, "torch"), *shapes)
    return compare(torch, keras)


# --- convert_momentum ------------------------------------------------------------------------

convert_momentum = chapter.exercise(
    "convert_momentum",
    lambda keras_momentum: 1 - keras_momentum,
    mistakes={
        "copied": lambda m: m,
        "reciprocal": lambda m: 1 / m,
        "number of batches": lambda m: 1 / (1 - m),
        "ratio": lambda m: (1 - m) / m,
        "negative": lambda m: m - 1,
        "default": lambda m: 0.1,
        "rounded": [lambda m: np.round(1 - m, 2), lambda m: np.round(1 - m, 3)],
    },
    hints={
        "copied": "The number cannot be copied: in Keras it is the part of the old value that stays, in PyTorch the part of the new value that comes in.",
        "reciprocal": "The reciprocal is larger than 1. The two weights of an average sum to 1.",
        "number of batches": "1 / (1 - m) is the number of batches that the average spans, not the weight of one.",
        "ratio": "That is the ratio of the two weights. One of them is asked.",
        "negative": "The sign: the weight of the new value is positive.",
        "rounded": "Your result is rounded. Return it as it is.",
        "default": "That is PyTorch's default, whatever Keras used: it spans 10 batches, Keras's 0.99 spans 100. Convert the number that you get.",
    },
)


@convert_momentum.check(
    hint="Write both update rules down, with m for Keras and p for PyTorch, and compare what multiplies the new value.",
    more="In Keras the old value has the weight m, in PyTorch the new value has the weight p, and in both the two weights sum to 1. So converting twice leads back, for a whole array too.",
)
def gives_the_same_weights(ask, rng):
    """gives old and new value the same weights as in Keras"""
    momenta = rng.uniform(0.55, 0.95, size=3)
    return {
        "a number": ask((rng.integers(750, 950) + 0.5) / 1000),  # more than three digits
        "Keras's default 0.99": ask(0.99),
        "an array": ask(momenta),
        "converted twice": ask(np.asarray(ask(momenta))),
    }


# --- fix_the_eval_bug ------------------------------------------------------------------------


def _normalize(x, gamma, beta, mean, var, eps):
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def _layer(
    x,
    gamma,
    beta,
    running_mean,
    running_var,
    momentum,
    eps,
    training,
    *,
    infer=_normalize,
    trains_on_batch=True,
    updates=lambda training: training,
    ddof=0,
):
    """Return what the layer does; `infer` makes y from the running statistics."""
    running = running_mean, running_var
    if training and trains_on_batch:
        y = _forward(x, gamma, beta, eps)
    else:
        y = infer(x, gamma, beta, *running, eps)
    if updates(training):
        running = _update(*running, x, momentum, "keras", ddof=lambda framework: ddof)
    return y, *running


def _of_the_batch(x, gamma, beta, mean, var, eps):
    return _forward(x, gamma, beta, eps)


def _updated_first(x, gamma, beta, mean, var, momentum, eps, training):
    mean, var = _update(mean, var, x, momentum, "keras")
    infer = _of_the_batch if training else _normalize
    return infer(x, gamma, beta, mean, var, eps), mean, var


def _layer_in_place(x, gamma, beta, mean, var, *rest):
    y, mean[:], var[:] = _layer(x, gamma, beta, mean, var, *rest)
    return y, mean, var


fix_the_eval_bug = chapter.exercise(
    "fix_the_eval_bug",
    _layer,
    mistakes={
        "changes its input": _layer_in_place,
        "batch statistics": [
            vary(_layer, infer=_of_the_batch),
            vary(_layer, infer=_of_the_batch, updates=lambda training: True),
        ],
        "switched off": vary(_layer, infer=lambda x, *rest: x),
        "only gamma and beta": vary(_layer, infer=lambda x, gamma, beta, *rest: gamma * x + beta),
        "updated first": _updated_first,
        "no root in inference": vary(
            _layer,
            infer=lambda x, gamma, beta, mean, var, eps: gamma * (x - mean) / (var + eps) + beta,
        ),
        "still updating": vary(_layer, updates=lambda training: True),
        "inference in training": [
            vary(_layer, training=False),
            vary(_layer, training=lambda training: not training),
        ],
        "never updated": vary(_layer, updates=lambda training: False),
        "running statistics in training": vary(_layer, trains_on_batch=False),
        "momentum of PyTorch": vary(_layer, momentum=lambda momentum: 1 - momentum),
        "unbiased in Keras": vary(_layer, ddof=1),
    },
    hints={
        "changes its input": "Your layer writes into the statistics that it was given, so whoever called it has lost the old ones. Make new arrays: momentum * running_mean does, running_mean *= momentum does not.",
        "inference in training": "With training=True your layer does what it should do in inference. Training uses the batch and updates the running statistics.",
        "batch statistics": "In inference you still normalize with the statistics of the batch: that is the bug.",
        "switched off": "You return x as it is. Batch norm is not switched off in inference: it normalizes with the running statistics.",
        "only gamma and beta": "You only scale and shift. Inference normalizes too, with the running statistics.",
        "updated first": "You update the running statistics before you use them. Inference updates nothing.",
        "no root in inference": "The running variance is a variance: divide by its square root.",
        "still updating": "The running statistics move while the layer predicts: a part of the bug is left.",
        "never updated": "The update is gone in training too: without it inference has nothing to use.",
        "running statistics in training": "In training y comes from the statistics of the batch, not from the running ones.",
        "momentum of PyTorch": _OTHER_MOMENTUM + " Here it is Keras's.",
        "unbiased in Keras": "The running variance of Keras takes the biased variance, divided by B.",
    },
)


def _case(rng):
    """Draw the arguments before `eps`."""
    return *_inputs(rng), *(_statistics(rng)[i] for i in (0, 1, 3))


def _results(ask, x, *rest):
    return outputs(ask(x, *rest), x.shape, x.shape[1:], x.shape[1:])


@fix_the_eval_bug.check(
    points=2,
    hint="With training=False the layer normalizes with the running statistics.",
    more="The formula is that of training; only the mean and the variance in it are the running ones.",
)
def infers_with_running_statistics(ask, rng):
    """normalizes with the running statistics in inference"""
    return _results(ask, *_case(rng), EPS, False)[0]


@fix_the_eval_bug.check(
    hint="Predicting must not change the model: return both statistics as they came.",
    more="Update running_mean and running_var only under `if training:`.",
)
def inference_changes_nothing(ask, rng):
    """returns the running statistics unchanged in inference"""
    return _results(ask, *_case(rng), EPS, False)[1:]


@fix_the_eval_bug.check(
    hint="A row's output depends on the other rows, although training is False.",
    more="With training=False no x.mean(axis=0) and no x.var(axis=0) may reach y.",
)
def rows_are_independent(ask, rng):
    """predicts the same for a row alone and in company"""
    x, gamma, beta, *rest = _case(rng)
    y, alone = (_results(ask, rows, gamma, beta, *rest, EPS, False)[0] for rows in (x, x[:1]))
    return compare(alone, y[:1], {"batch statistics": beta[None]})


@fix_the_eval_bug.check(
    points=2,
    hint="Training mode was right before the repair: batch statistics for y, and an update in the manner of Keras.",
    more="Compare with the broken layer, line by line: each of its lines is right in training.",
    keeps_input=True,
)
def still_trains(ask, rng):
    """normalizes with the batch in training, and updates like Keras"""
    return _results(ask, *_case(rng), EPS, True)


# --- choose_normalization --------------------------------------------------------------------

choose = chapter.exercise(
    "choose_normalization",
    hints={
        **training.HINTS,
        "one kind only": "You try one kind of normalization only. Which one helps depends on the batches and on the data: try them all.",
        "one momentum only": "You try batch norm with one momentum only. In a short run a slow average of the statistics has not arrived where the network is: try the others.",
    },
)

STEPS = 200  # of the final run
_CHOICES = {"kind": ["none", "batch", "layer"], "momentum": [0.8, 0.9, 0.99]}


def _one_of(choices):
    """Return what reads a pair (kind, momentum) of these choices, as `Trials` needs it."""
    kinds, momenta = choices["kind"], np.array(choices["momentum"])

    def read(value):
        pair = value.tolist() if isinstance(value, np.ndarray) else value
        try:
            kind, momentum = pair
            near = int(abs(momenta - float(momentum)).argmin())
        except (TypeError, ValueError):
            kind = ""
        if str(kind) not in kinds or abs(momenta[near] - float(momentum)) > 1e-6:
            raise ValueError(f"take a pair of a kind, {kinds}, and a momentum, {momenta.tolist()}")
        return str(kind), float(momenta[near])

    return read


def _standardized(z, axis):
    s = np.sqrt(z.var(axis=axis, keepdims=True) + 1e-3)
    return (z - z.mean(axis=axis, keepdims=True)) / s, s


class _Device:
    """A network that is trained on a few rows a step: inputs, normalized hidden units, ReLU, classes."""

    def __init__(self, rng, rows):
        draw, self.batch = (self._dim, 2) if rows == "2 rows" else (self._bright, 16)
        self._directions = rng.normal(size=(4, 20))
        self.seed = int(rng.integers(2**32))
        numbers = {"train": 600, "dev": 800, "test": 300, "hidden": 3000}
        self.rows = {name: draw(number, rng) for name, number in numbers.items()}

    def _dim(self, number, rng):
        """Draw rows whose direction tells the class, each as bright as chance will have it."""
        y = rng.permutation(np.arange(number) % 4)
        x = self._directions[y] + 0.6 * rng.normal(size=(number, 20))
        return x * np.exp(2 * rng.normal(size=(number, 1))), y

    def _bright(self, number, rng):
        """Draw rows of one direction, far from zero, whose brightness tells the class."""
        y = rng.permutation(np.arange(number) % 4)
        x = (1 + 0.1 * y[:, None]) * (10 + self._directions[0])
        return x + 0.3 * rng.normal(size=x.shape), y

    def scores(self, setting, steps, names=("train", "dev", "test"), start=0):
        """Train from a start; return the accuracy in evaluation on the rows of each name."""
        kind, momentum = setting
        x, y = self.rows["train"]
        rng = np.random.default_rng([self.seed, start])
        w1, w2 = (rng.normal(size=size) * np.sqrt(2 / size[0]) for size in ((20, 32), (32, 4)))
        weights = [w1, np.zeros(32), w2, np.zeros(4)]
        velocity, running = [np.zeros_like(w) for w in weights], [np.zeros(32), np.ones(32)]
        order, targets = rng.integers(len(x), size=(steps, self.batch)), np.eye(4)
        for take in order:
            z = x[take] @ weights[0]
            if kind == "batch":
                new = z.mean(axis=0), z.var(axis=0)
                running = [
                    momentum * r + (1 - momentum) * n for r, n in zip(running, new, strict=True)
                ]
            gradients = _slopes(weights, x[take], z, targets[y[take]], kind)
            for w, v, gradient in zip(weights, velocity, gradients, strict=True):
                v *= training.MOMENTUM
                v -= training.RATE * gradient
                w += v
        return {name: self._accuracy(weights, running, kind, *self.rows[name]) for name in names}

    @staticmethod
    def _accuracy(weights, running, kind, x, y):
        w1, b1, w2, b2 = weights
        z = x @ w1
        if kind == "batch":
            z = (z - running[0]) / np.sqrt(running[1] + 1e-3)
        elif kind == "layer":
            z, _ = _standardized(z, 1)
        return float(((np.maximum(z + b1, 0) @ w2 + b2).argmax(axis=1) == y).mean())

    def hidden(self, setting):
        return training.on_hidden(self.scores, setting, STEPS)


def _slopes(weights, x, z, targets, kind):
    """Return the gradients of the four arrays; z = x @ w1."""
    _, b1, w2, b2 = weights
    axis, s = {"none": None, "batch": 0, "layer": 1}[kind], 1
    if axis is not None:
        z, s = _standardized(z, axis)
    hidden = np.maximum(z + b1, 0)
    d = (softmax(hidden @ w2 + b2) - targets) / len(x)
    dz = d @ w2.T * (hidden > 0)
    db1 = dz.sum(axis=0)
    if axis is not None:
        along = z * (dz * z).mean(axis=axis, keepdims=True)
        dz = (dz - dz.mean(axis=axis, keepdims=True) - along) / s
    return x.T @ dz, db1, hidden.T @ d, d.sum(axis=0)


@choose.check(
    points=3,
    hint="With two rows a step, and with 16, the normalization that you choose does badly on hidden rows, where the network predicts in evaluation mode. Try every kind, batch norm with every momentum, and choose by dev.",
    more="Nine pairs and a budget of five full runs: give all pairs an equal share, or train all of them briefly and the best ones longer. For the kinds none and layer the momentum means nothing.",
)
def does_well_on_hidden_rows(ask, rng):
    """chooses what does well on hidden rows, whether a step sees two rows or 16"""
    shown = []
    for rows, good in (("2 rows", ("layer", 0.9)), ("16 rows", ("batch", 0.9))):
        device = _Device(rng, rows)
        trials = training.Trials(device.scores, _one_of(_CHOICES), 5 * STEPS)
        chosen = trials.decide(ask, _CHOICES, STEPS)
        needed, found = device.hidden(good) - 0.12, device.hidden(chosen)
        kinds = {kind for kind, _ in trials.runs}
        mistakes = {
            "one kind only": len(kinds) == 1,
            "one momentum only": len({m for kind, m in trials.runs if kind == "batch"}) < 2,
            "short runs": trials.longest < training.SHORT * STEPS,
        }
        shown.append((f"{rows}: at least {needed:.3f}", f"{found:.3f} with {chosen}"))
        if found < needed:
            return judge(False, *shown[-1], mistakes)
    return judge(True, *map("; ".join, zip(*shown, strict=True)))


def _scores_of(rng, choices):
    """Make up scores of all pairs, which `training.disagreeing` draws."""
    pairs = [(kind, momentum) for kind in choices["kind"] for momentum in choices["momentum"]]
    return dict(zip(pairs, training.disagreeing(len(pairs), rng), strict=True))


@choose.check(
    points=3,
    hint="Of the pairs that you try, choose the one with the highest dev accuracy.",
    more='`train` returns a dict: keep train((kind, momentum), steps)["dev"] of every pair, and return the pair of the largest. Compare runs of equal length.',
)
def chooses_by_the_dev_rows(ask, rng):
    """chooses by dev accuracy, when train, dev and test rows disagree"""
    decisions = []
    for _ in range(3):
        table, read = _scores_of(rng, _CHOICES), _one_of(_CHOICES)
        decision = training.decide_made_up(ask, _CHOICES, table, read, STEPS, 40 * STEPS, rng)
        decisions.append(decision)
    return training.follows_dev(decisions, STEPS)


@choose.check(
    hint="The steps of all your calls of `train` together must be at most `budget`.",
    more="budget // (number of pairs) steps for each pair are never too many.",
)
def keeps_to_the_budget(ask, rng):
    """compares pairs within the budget, with other choices and other numbers of steps"""
    for choices in (_CHOICES, {"kind": ["none", "group", "batch", "rms"], "momentum": [0.75, 0.9]}):
        steps = int(rng.integers(41, 80))
        table, read = _scores_of(rng, choices), _one_of(choices)
        _, trials, _ = training.decide_made_up(ask, choices, table, read, steps, 8 * steps, rng)
    return judge(True, f"at most {trials.budget} steps", f"{trials.spent} steps")
