"""The checks of chapter 18: batch normalization forward, backward, and its running statistics."""

import numpy as np

from regbook.check import Chapter, Wrong, compare, outputs

chapter = Chapter("18_batch_norm")

EPS = 0.125  # large, so that a misplaced epsilon is far outside the tolerance
TINY = 1e-12


def _inputs(rng, rows=4, units=3):
    """Draw x, gamma and beta whose statistics differ clearly from 0 and 1."""
    x = rng.normal(rng.uniform(1, 3, units), rng.uniform(0.5, 1.5, units), size=(rows, units))
    x += np.linspace(-1, 1, rows)[:, None]  # no column is almost constant
    return x, rng.uniform(1.5, 3, units), rng.uniform(0.5, 2, units)


def _forward(x, gamma, beta, eps, ddof=0):
    return gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0, ddof=ddof) + eps) + beta


# --- batchnorm_forward -----------------------------------------------------------------------


@chapter.check(
    "batchnorm_forward",
    points=2,
    hint="Compare with the definition line by line: mean, variance, x_hat, y.",
    more="y = gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + beta",
)
def normalizes_every_column(answer, rng):
    """normalizes every column, then scales by gamma and shifts by beta"""
    x, gamma, beta = _inputs(rng)
    mean, var = x.mean(axis=0), x.var(axis=0)
    x_hat = (x - mean) / np.sqrt(var + EPS)
    along_rows = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + EPS)
    wrong = [
        Wrong(
            "unbiased",
            _forward(x, gamma, beta, EPS, ddof=1),
            "You divided by B - 1. The batch is normalized with the biased variance, which "
            "divides by B. (torch.var divides by B - 1 unless you pass correction=0.)",
        ),
        Wrong(
            "epsilon outside",
            gamma * (x - mean) / (np.sqrt(var) + EPS) + beta,
            "You added eps to the standard deviation. It belongs to the variance, under the root.",
        ),
        Wrong(
            "no epsilon",
            gamma * (x - mean) / np.sqrt(var) + beta,
            "eps is missing: it is added to the variance, under the root.",
        ),
        Wrong(
            "no root",
            gamma * (x - mean) / (var + EPS) + beta,
            "You divided by the variance. Divide by its square root.",
        ),
        Wrong(
            "rows",
            gamma * along_rows + beta,
            "You took the statistics along each row: that is layer norm. Batch norm takes them "
            "down each column, over the rows of the batch.",
        ),
        Wrong(
            "whole batch",
            gamma * (x - x.mean()) / np.sqrt(x.var() + EPS) + beta,
            "You took one mean and one variance for all units. Every column has its own.",
        ),
        Wrong("no gamma and beta", x_hat, "You returned x_hat: gamma and beta are missing."),
        Wrong(
            "swapped",
            beta * x_hat + gamma,
            "gamma and beta have changed places: gamma multiplies, beta is added.",
        ),
        Wrong(
            "shift first",
            gamma * (x_hat + beta),
            "You added beta before multiplying by gamma: scale first, then shift.",
        ),
    ]
    return compare(answer(x, gamma, beta, EPS), _forward(x, gamma, beta, EPS), wrong)


@chapter.check(
    "batchnorm_forward",
    hint="Something of the size of x is left in y. Is the mean subtracted, and is the root of "
    "the variance, not another measure, what you divide by?",
    more="Look at x_hat for x and for 3 * x + 5 with eps = 0: both must be the same.",
)
def ignores_shift_and_scale(answer, rng):
    """gives the same y for x and for 30 x + 5, when eps is tiny"""
    x, gamma, beta = _inputs(rng)
    (expected,) = outputs(answer(x, gamma, beta, TINY), x.shape)
    return compare(answer(30 * x + 5, gamma, beta, TINY), expected)


@chapter.check(
    "batchnorm_forward",
    hint="The columns of y do not have the mean beta and the standard deviation |gamma|.",
    more="x_hat has mean 0 and variance 1 in every column; y = gamma * x_hat + beta.",
)
def columns_get_beta_and_gamma(answer, rng):
    """gives every column the mean beta and the standard deviation |gamma|, when eps is tiny"""
    x, gamma, beta = _inputs(rng, rows=3)
    gamma = gamma * np.array([1, -1, 1])
    (y,) = outputs(answer(x, gamma, beta, TINY), x.shape)
    return compare((y.mean(axis=0), y.std(axis=0)), (beta, np.abs(gamma)))


@chapter.check(
    "batchnorm_forward",
    hint="One row is its own mean, so x_hat is 0, whatever the row holds.",
    more="With B = 1 the variance is 0; sqrt(0 + eps) is not 0. No special case is needed.",
)
def one_row_gives_beta(answer, rng):
    """returns beta for a batch of one row"""
    x, gamma, beta = _inputs(rng, rows=1)
    wrong = [
        Wrong(
            "unbiased",
            np.full_like(x, np.nan),
            "One row divided by B - 1 = 0. The biased variance divides by B.",
        ),
        Wrong(
            "row kept",
            x,
            "You return the row itself. The definition gives beta, and needs no special case.",
        ),
    ]
    return compare(answer(x, gamma, beta, EPS), beta[None], wrong)


# --- batchnorm_backward ----------------------------------------------------------------------


def _numeric_dx(dy, x, gamma, eps, step=1e-5):
    """Return the gradient of sum(dy * y) with respect to x by centred differences."""
    dx = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        there, back = x.copy(), x.copy()
        there[index] += step
        back[index] -= step
        change = _forward(there, gamma, 0, eps) - _forward(back, gamma, 0, eps)
        dx[index] = (dy * change).sum() / (2 * step)
    return dx


def _backward_inputs(rng, rows=4, units=3):
    x, gamma, _ = _inputs(rng, rows, units)
    return rng.normal(1, 1, size=x.shape), x, gamma


def _gradients(answer, dy, x, gamma, eps):
    units = gamma.shape
    return outputs(answer(dy, x, gamma, eps), x.shape, units, units)


@chapter.check(
    "batchnorm_backward",
    points=2,
    hint="x_j reaches every y_i of its column in three ways: directly, through the mean, and "
    "through the variance. Your dx does not equal the sum of the three.",
    more="dx = gamma / (B * s) * (B * dy - dbeta - x_hat * dgamma), with s = sqrt(var + eps).",
)
def equals_the_numeric_gradient(answer, rng):
    """returns the dx that centred differences give"""
    dy, x, gamma = _backward_inputs(rng)
    rows, s = len(x), np.sqrt(x.var(axis=0) + EPS)
    x_hat = (x - x.mean(axis=0)) / s
    dbeta, dgamma = dy.sum(axis=0), (dy * x_hat).sum(axis=0)
    wrong = [
        Wrong(
            "constant statistics",
            gamma * dy / s,
            "You treated mean and variance as constants. They depend on x too: two terms are "
            "missing, one for each.",
        ),
        Wrong(
            "no variance path",
            gamma / s * (dy - dbeta / rows),
            "The way through the mean is there, the way through the variance is missing: the term "
            "with x_hat * dgamma.",
        ),
        Wrong(
            "no mean path",
            gamma / s * (dy - x_hat * dgamma / rows),
            "The way through the variance is there, the way through the mean is missing: the term "
            "with dbeta.",
        ),
        Wrong(
            "sums for means",
            gamma / s * (dy - dbeta - x_hat * dgamma),
            "The two sums must be divided by B: mean and variance each contain a factor 1/B.",
        ),
        Wrong(
            "no gamma",
            (dy - dbeta / rows - x_hat * dgamma / rows) / s,
            "gamma is missing in dx: the gradient passes through y = gamma * x_hat + beta first.",
        ),
        Wrong(
            "not divided by s",
            gamma * (dy - dbeta / rows - x_hat * dgamma / rows),
            "The division by s = sqrt(var + eps) is missing in dx.",
        ),
    ]
    dx, _, _ = _gradients(answer, dy, x, gamma, EPS)
    return compare(dx, _numeric_dx(dy, x, gamma, EPS), wrong)


@chapter.check(
    "batchnorm_backward",
    hint="y = gamma * x_hat + beta, and each of gamma and beta acts on all rows of its column.",
    more="dgamma = (dy * x_hat).sum(axis=0); dbeta = dy.sum(axis=0)",
)
def sums_dgamma_and_dbeta(answer, rng):
    """returns dgamma and dbeta as sums over the batch"""
    dy, x, gamma = _backward_inputs(rng)
    x_hat = _forward(x, 1, 0, EPS)
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    rows = len(x)
    wrong = [
        Wrong(
            "means",
            (dgamma / rows, dbeta / rows),
            "You took means over the batch. gamma and beta act on every row, so their gradients "
            "are sums; a mean in the loss is already part of dy.",
        ),
        Wrong(
            "x for x_hat",
            ((dy * x).sum(axis=0), dbeta),
            "dgamma uses x_hat, the normalized x, not x itself.",
        ),
        Wrong(
            "gamma in dgamma",
            (gamma * dgamma, dbeta),
            "gamma does not belong in dgamma: the derivative of gamma * x_hat by gamma is x_hat.",
        ),
        Wrong("order", (dbeta, dgamma), "Return dx, dgamma, dbeta in this order."),
    ]
    return compare(_gradients(answer, dy, x, gamma, EPS)[1:], (dgamma, dbeta), wrong)


@chapter.check(
    "batchnorm_backward",
    hint="Adding a constant to a column of x changes no y, so the column of dx must sum to 0. "
    "Look at the way through the mean.",
    more="The term -dbeta / B inside the bracket makes the sum zero.",
)
def sums_to_zero(answer, rng):
    """returns a dx whose columns sum to zero"""
    dy, x, gamma = _backward_inputs(rng, rows=6)
    dx, _, _ = _gradients(answer, dy, x, gamma, EPS)
    return compare(dx.sum(axis=0), np.zeros_like(gamma))


@chapter.check(
    "batchnorm_backward",
    hint="Scaling a column of x changes no y when eps is tiny, so dx must have no part along "
    "x_hat. Look at the way through the variance.",
    more="The term -x_hat * dgamma / B inside the bracket makes the product zero.",
)
def has_no_part_along_x_hat(answer, rng):
    """returns a dx at right angles to x_hat, when eps is tiny"""
    dy, x, gamma = _backward_inputs(rng, rows=6)
    dx, _, _ = _gradients(answer, dy, x, gamma, TINY)
    return compare((dx * _forward(x, 1, 0, TINY)).sum(axis=0), np.zeros_like(gamma))


# --- running_stats_update --------------------------------------------------------------------


def _statistics(rng, rows=3, units=3):
    x, _, _ = _inputs(rng, rows, units)
    return rng.uniform(4, 6, units), rng.uniform(4, 6, units), x, rng.uniform(0.6, 0.9)


def _mix(old, new, keep):
    return keep * old + (1 - keep) * new


def _update(mean, var, x, keep, ddof):
    return _mix(mean, x.mean(axis=0), keep), _mix(var, x.var(axis=0, ddof=ddof), keep)


_STD = "You averaged the standard deviation. The running statistic is the variance."
_OTHER_MOMENTUM = (
    "The momentum has the meaning of the other framework. In Keras it is the part of the old "
    "value that stays, in PyTorch the part of the new value that comes in."
)


@chapter.check(
    "running_stats_update",
    hint="Keras: momentum is the weight of the old value; the variance is the biased one.",
    more="new = momentum * old + (1 - momentum) * batch.var(axis=0), the mean alike.",
)
def follows_keras(answer, rng):
    """updates like Keras when the framework is "keras\""""
    mean, var, x, momentum = _statistics(rng)
    std = _mix(var, x.std(axis=0), momentum)
    expected = _update(mean, var, x, momentum, ddof=0)
    wrong = [
        Wrong("momentum of PyTorch", _update(mean, var, x, 1 - momentum, 0), _OTHER_MOMENTUM),
        Wrong("all of PyTorch", _update(mean, var, x, 1 - momentum, 1), _OTHER_MOMENTUM),
        Wrong(
            "unbiased in Keras",
            _update(mean, var, x, momentum, 1),
            "You divided by B - 1. Keras feeds the biased variance, divided by B, into the "
            "running variance.",
        ),
        Wrong("standard deviation", (expected[0], std), _STD),
        Wrong(
            "no memory",
            (x.mean(axis=0), x.var(axis=0)),
            "You returned the statistics of the batch: the old values have to stay in part.",
        ),
        Wrong("order", expected[::-1], "Return the running mean first, then the variance."),
    ]
    return compare(answer(mean, var, x, momentum, "keras"), expected, wrong)


@chapter.check(
    "running_stats_update",
    hint="PyTorch: momentum is the weight of the new value; the variance is the unbiased one.",
    more="new = (1 - momentum) * old + momentum * batch.var(axis=0, ddof=1), the mean alike.",
)
def follows_torch(answer, rng):
    """updates like PyTorch when the framework is "torch\""""
    mean, var, x, momentum = _statistics(rng)
    expected = _update(mean, var, x, 1 - momentum, ddof=1)
    std = _mix(var, x.std(axis=0, ddof=1), 1 - momentum)
    wrong = [
        Wrong("momentum of Keras", _update(mean, var, x, momentum, 1), _OTHER_MOMENTUM),
        Wrong(
            "all of Keras",
            _update(mean, var, x, momentum, 0),
            "You update like Keras. PyTorch differs twice: momentum is the part of the new value, "
            "and the variance divides by B - 1.",
        ),
        Wrong(
            "biased in PyTorch",
            _update(mean, var, x, 1 - momentum, 0),
            "You used the biased variance. PyTorch normalizes the batch with it, but feeds the "
            "unbiased one, divided by B - 1, into the running variance.",
        ),
        Wrong("standard deviation", (expected[0], std), _STD),
    ]
    return compare(answer(mean, var, x, momentum, "torch"), expected, wrong)


@chapter.check(
    "running_stats_update",
    hint="The two weights of old and new do not sum to 1, or a variance is not the right one.",
    more="momentum and 1 - momentum: one goes to the old value, the other to the new one.",
)
def rests_where_old_equals_new(answer, rng):
    """changes nothing when the running statistics equal those of the batch"""
    _, _, x, momentum = _statistics(rng)
    keras, torch = ((x.mean(axis=0), x.var(axis=0, ddof=ddof)) for ddof in (0, 1))
    shapes = [keras[0].shape] * 2
    received = (
        *outputs(answer(*keras, x, momentum, "keras"), *shapes),
        *outputs(answer(*torch, x, momentum, "torch"), *shapes),
    )
    return compare(received, (*keras, *torch))


@chapter.check(
    "running_stats_update",
    hint="The running mean is the same in both frameworks once the momentum is converted.",
    more='The mean for ("torch", momentum) is the mean for ("keras", 1 - momentum).',
)
def agrees_after_conversion(answer, rng):
    """gives both frameworks the same mean when the momenta sum to 1"""
    mean, var, x, momentum = _statistics(rng)
    shapes = [mean.shape] * 2
    keras, _ = outputs(answer(mean, var, x, momentum, "keras"), *shapes)
    torch, _ = outputs(answer(mean, var, x, 1 - momentum, "torch"), *shapes)
    return compare(torch, keras)


# --- convert_momentum ------------------------------------------------------------------------


@chapter.check(
    "convert_momentum",
    hint="Write both update rules down, with m for Keras and p for PyTorch, and compare what "
    "multiplies the new value.",
    more="The new value has the weight 1 - m in Keras and p in PyTorch.",
)
def gives_the_same_weights(answer, rng):
    """gives old and new value the same weights as in Keras"""
    m = rng.uniform(0.75, 0.95)
    wrong = [
        Wrong(
            "copied",
            m,
            "The number cannot be copied: in Keras it is the part of the old value that stays, in "
            "PyTorch the part of the new value that comes in.",
        ),
        Wrong(
            "reciprocal",
            1 / m,
            "The reciprocal is larger than 1. The two weights of an average sum to 1.",
        ),
        Wrong(
            "number of batches",
            1 / (1 - m),
            "1 / (1 - m) is the number of batches that the average spans, not the weight of one.",
        ),
        Wrong("ratio", (1 - m) / m, "That is the ratio of the two weights. One of them is asked."),
        Wrong("negative", m - 1, "The sign: the weight of the new value is positive."),
        Wrong(
            "default",
            0.1,
            "That is PyTorch's default, whatever Keras used. Convert the number that you get.",
        ),
    ]
    return compare(answer(m), 1 - m, wrong)


@chapter.check(
    "convert_momentum",
    hint="Keras's default 0.99 averages over about 100 batches. PyTorch's default, 0.1, does not.",
    more="1 - 0.99",
)
def converts_the_default(answer, rng):
    """converts Keras's default 0.99"""
    wrong = [
        Wrong(
            "default",
            0.1,
            "0.1 is PyTorch's own default, but it is not the same average: it spans 10 batches, "
            "Keras's 0.99 spans 100.",
        ),
        Wrong("copied", 0.99, "0.99 in PyTorch would forget 99 % of the past in every step."),
    ]
    return compare(answer(0.99), 0.01, wrong)


@chapter.check(
    "convert_momentum",
    hint="The two numbers are the two weights of one average, so the rule is its own inverse.",
    more="Converting twice must lead back: 1 - (1 - m) = m.",
)
def is_its_own_inverse(answer, rng):
    """leads back to the start when it is applied twice"""
    m = rng.uniform(0.55, 0.95)
    (once,) = outputs(answer(m), ())
    return compare(answer(once), m)


# --- fix_the_eval_bug ------------------------------------------------------------------------


def _layer(rng, rows=4):
    x, gamma, beta = _inputs(rng, rows)
    mean, var, _, momentum = _statistics(rng)
    return x, gamma, beta, mean, var, momentum


def _three(result, x):
    return outputs(result, x.shape, x.shape[1:], x.shape[1:])


@chapter.check(
    "fix_the_eval_bug",
    points=2,
    hint="With training=False the layer normalizes with the running statistics.",
    more="y = gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta",
)
def infers_with_running_statistics(answer, rng):
    """normalizes with the running statistics in inference"""
    x, gamma, beta, mean, var, momentum = _layer(rng)
    new_mean, new_var = _update(mean, var, x, momentum, 0)
    wrong = [
        Wrong(
            "batch statistics",
            _forward(x, gamma, beta, EPS),
            "In inference you still normalize with the statistics of the batch: that is the bug.",
        ),
        Wrong(
            "switched off",
            x,
            "You return x as it is. Batch norm is not switched off in inference: it normalizes "
            "with the running statistics.",
        ),
        Wrong(
            "only gamma and beta",
            gamma * x + beta,
            "You only scale and shift. Inference normalizes too, with the running statistics.",
        ),
        Wrong(
            "updated first",
            gamma * (x - new_mean) / np.sqrt(new_var + EPS) + beta,
            "You update the running statistics before you use them. Inference updates nothing.",
        ),
        Wrong(
            "no root in inference",
            gamma * (x - mean) / (var + EPS) + beta,
            "The running variance is a variance: divide by its square root.",
        ),
    ]
    y, _, _ = _three(answer(x, gamma, beta, mean, var, momentum, EPS, False), x)
    return compare(y, gamma * (x - mean) / np.sqrt(var + EPS) + beta, wrong)


@chapter.check(
    "fix_the_eval_bug",
    hint="Predicting must not change the model: return both statistics as they came.",
    more="Update running_mean and running_var only under `if training:`.",
)
def inference_changes_nothing(answer, rng):
    """returns the running statistics unchanged in inference"""
    x, gamma, beta, mean, var, momentum = _layer(rng)
    wrong = [
        Wrong(
            "still updating",
            _update(mean, var, x, momentum, 0),
            "The running statistics move while the layer predicts: a part of the bug is left.",
        )
    ]
    _, *after = _three(answer(x, gamma, beta, mean, var, momentum, EPS, False), x)
    return compare(tuple(after), (mean, var), wrong)


@chapter.check(
    "fix_the_eval_bug",
    hint="A row's output depends on the other rows, although training is False.",
    more="With training=False no x.mean(axis=0) and no x.var(axis=0) may reach y.",
)
def rows_are_independent(answer, rng):
    """predicts the same for a row alone and in company"""
    x, *layer = _layer(rng)
    y, _, _ = _three(answer(x, *layer, EPS, False), x)
    alone, _, _ = _three(answer(x[:1], *layer, EPS, False), x[:1])
    return compare(alone, y[:1])


@chapter.check(
    "fix_the_eval_bug",
    points=2,
    hint="Training mode was right before the repair: batch statistics for y, and an update in "
    "the manner of Keras.",
    more="running = momentum * running + (1 - momentum) * (mean or biased variance of the batch)",
)
def still_trains(answer, rng):
    """normalizes with the batch in training, and updates like Keras"""
    x, gamma, beta, mean, var, momentum = _layer(rng)
    y, updated = _forward(x, gamma, beta, EPS), _update(mean, var, x, momentum, 0)
    inference = gamma * (x - mean) / np.sqrt(var + EPS) + beta
    wrong = [
        Wrong(
            "inference in training",
            (inference, mean, var),
            "With training=True your layer does what it should do in inference. Training uses the "
            "batch and updates the running statistics.",
        ),
        Wrong(
            "never updated",
            (y, mean, var),
            "The update is gone in training too: without it inference has nothing to use.",
        ),
        Wrong(
            "running statistics in training",
            (inference, *updated),
            "In training y comes from the statistics of the batch, not from the running ones.",
        ),
        Wrong(
            "momentum of PyTorch",
            (y, *_update(mean, var, x, 1 - momentum, 0)),
            _OTHER_MOMENTUM + " Here it is Keras's.",
        ),
        Wrong(
            "unbiased in Keras",
            (y, *_update(mean, var, x, momentum, 1)),
            "The running variance of Keras takes the biased variance, divided by B.",
        ),
    ]
    return compare(
        _three(answer(x, gamma, beta, mean, var, momentum, EPS, True), x), (y, *updated), wrong
    )
