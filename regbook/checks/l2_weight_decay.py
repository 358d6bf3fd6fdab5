"""Checks of chapter 07, L2 and weight decay."""

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import Chapter, Failed, brief, compare, judge, outputs, training, vary

chapter = Chapter("07_l2_weight_decay")


# --- l2_penalty ------------------------------------------------------------------------------

l2_penalty = chapter.exercise(
    "l2_penalty",
    lambda weights, lam: lam * sum((w**2).sum() for w in weights),
    mistakes={
        "norm": lambda weights, lam: lam * np.sqrt(sum((w**2).sum() for w in weights)),
        "norms": lambda weights, lam: lam * sum(np.linalg.norm(w) for w in weights),
        "halved": lambda weights, lam: lam / 2 * sum((w**2).sum() for w in weights),
        "absolute": lambda weights, lam: lam * sum(np.abs(w).sum() for w in weights),
        "mean": lambda weights, lam: lam * sum((w**2).mean() for w in weights),
        "first-only": lambda weights, lam: lam * (weights[0] ** 2).sum(),
        "last-only": lambda weights, lam: lam * (weights[-1] ** 2).sum(),
        "no-strength": lambda weights, lam: sum((w**2).sum() for w in weights),
        "square-of-sum": lambda weights, lam: lam * sum(w.sum() ** 2 for w in weights),
        "two-only": lambda weights, lam: lam * sum((w**2).sum() for w in weights[:2]),
        "no-vectors": lambda weights, lam: lam * sum((w**2).sum() for w in weights if w.ndim > 1),
        "rounded": [
            lambda weights, lam, digits=digits: np.round(
                lam * sum((w**2).sum() for w in weights), digits
            )
            for digits in (2, 3)
        ],
    },
    hints={
        "norm": "You took the norm. The L2 penalty uses its square: no root.",
        "norms": "You added the norms of the kernels. Add their squares: no root.",
        "halved": "You have lam / 2. That is PyTorch's weight_decay convention; here the penalty is lam * sum(w**2).",
        "absolute": "You added absolute values. That is the L1 penalty.",
        "mean": "You averaged over the entries. The penalty is a sum: a larger kernel costs more.",
        "first-only": "Only the first kernel counts in your sum. Go through the whole list.",
        "last-only": "Only the last kernel counts in your sum. Is the total overwritten in the loop?",
        "no-strength": "The strength lam is missing.",
        "two-only": "You add two arrays only. Go through the whole list, however long it is.",
        "no-vectors": "You leave out arrays with one axis. Everything in the list is a kernel, of any shape.",
        "rounded": "You rounded. A penalty may be small as a whole: return all digits.",
        "square-of-sum": "You squared the sum. Square each entry first, then add.",
    },
)


@l2_penalty.check(
    points=2,
    hint="The penalty is lam times the sum of w**2 over every entry of every array in the list.",
    more="For [1, 2] and [3] the squares add up to 1 + 4 + 9 = 14. lam comes in once, at the end.",
    keeps_input=True,
)
def sums_the_squares(ask, rng):
    """is lam times the sum of the squares of all entries"""
    flat = rng.choice([-1.0, 1.0], size=18) * rng.uniform(0.8, 2.2, size=18)
    weights = [flat[:12].reshape(3, 4), flat[12:14], flat[14:].reshape(2, 2)]
    penalty = (rng.integers(100, 300) + 0.45) / 1000  # which two or three digits do not hold
    return ask(weights, penalty / (flat @ flat))


@l2_penalty.check(
    hint="Multiplying every weight by c must multiply the penalty by c squared.",
    more="Only squares do that: doubling the weights makes the penalty four times as large.",
)
def grows_with_the_square(ask, rng):
    """grows fourfold when all weights double"""
    w = [rng.normal(size=(5,)), rng.normal(size=(2, 3, 2))]
    single, double = ask(w, 0.3), ask([2 * v for v in w], 0.3)
    outcome = compare(double, 4 * single)
    if outcome.passed and not np.abs(single).max() > 0:
        raise Failed("a penalty above 0", brief(single))
    return outcome


@l2_penalty.check(
    hint="With lam = 0 the loss is unpenalised.", more="lam multiplies the whole sum."
)
def is_zero_without_strength(ask, rng):
    """is 0 when lam is 0, and one number"""
    return ask([rng.normal(size=(3, 2))], 0.0)


# --- l2_gradient_step ------------------------------------------------------------------------

l2_gradient_step = chapter.exercise(
    "l2_gradient_step",
    lambda w, grad, lr, lam: w - lr * (grad + 2 * lam * w),
    mistakes={
        "factor-two": lambda w, grad, lr, lam: w - lr * (grad + lam * w),
        "unscaled-decay": lambda w, grad, lr, lam: w - lr * grad - 2 * lam * w,
        "grows": lambda w, grad, lr, lam: w - lr * (grad - 2 * lam * w),
        "ascent": lambda w, grad, lr, lam: w + lr * (grad + 2 * lam * w),
        "no-penalty": lambda w, grad, lr, lam: w - lr * grad,
        "decay-after": lambda w, grad, lr, lam: (w - lr * grad) * (1 - 2 * lr * lam),
        "scalar": lambda w, grad, lr, lam: w - lr * (grad + lam * (w**2).sum()),
        "sign-only": lambda w, grad, lr, lam: w - lr * (grad + lam * np.sign(w)),
    },
    hints={
        "factor-two": "The factor 2 is missing: the derivative of w**2 is 2 w. (lam alone is PyTorch's weight_decay.)",
        "unscaled-decay": "The penalty's gradient must be multiplied by the learning rate too.",
        "grows": "The penalty has the wrong sign: it makes weights grow. It must pull them towards zero.",
        "ascent": "You step up the gradient. Descent subtracts it.",
        "no-penalty": "The penalty is missing: this is plain gradient descent.",
        "decay-after": "You shrink the weights after the step. The penalty's gradient belongs to the weights before it.",
        "scalar": "You added the value of the penalty. Add its gradient, 2 * lam * w, entry by entry.",
        "sign-only": "lam * sign(w) is the gradient of the L1 penalty.",
    },
)


@l2_gradient_step.check(
    points=2,
    hint="The gradient of lam * w**2 is 2 * lam * w; add it to grad and step against the sum.",
    more="For w = 1, grad = 0.2, lr = 0.1 and lam = 0.5 the penalised gradient is 0.2 + 1, and the answer 1 - 0.1 * 1.2 = 0.88.",
    keeps_input=True,
)
def follows_the_penalised_gradient(ask, rng):
    """steps along the gradient of J plus penalty"""
    w, grad = rng.normal(size=(2, 3, 4))
    return ask(w, grad, rng.uniform(0.1, 0.3), rng.uniform(0.4, 0.8))


@l2_gradient_step.check(
    hint="Where grad is 0 each weight is multiplied by 1 - 2 * lr * lam.",
    more="For w = 1, grad = 0, lr = 0.1, lam = 0.5 the answer is 0.9.",
)
def shrinks_without_gradient(ask, rng):
    """shrinks by the factor 1 - 2 lr lam where the gradient is 0"""
    return ask(rng.normal(size=6), np.zeros(6), 0.1, 0.5)


@l2_gradient_step.check(
    hint="Without a penalty the step is plain gradient descent.",
    more="For w = 1, grad = 0.5, lr = 0.2 and lam = 0 the answer is 0.9.",
)
def is_plain_descent_without_strength(ask, rng):
    """is plain gradient descent when lam is 0"""
    w, grad = rng.normal(size=(2, 5))
    return ask(w, grad, 0.2, 0.0)


# --- adamw_step ------------------------------------------------------------------------------


def _root(v_hat, eps):
    return np.sqrt(v_hat) + eps


def _adamw(
    w, grad, m, v, t, lr, weight_decay, beta1=0.9, beta2=0.999, eps=1e-8, *, below=_root, hats=False
):
    m, v = beta1 * m + (1 - beta1) * grad, beta2 * v + (1 - beta2) * grad**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    w = w - lr * weight_decay * w - lr * m_hat / below(v_hat, eps)
    return (w, m_hat, v_hat) if hats else (w, m, v)


def _swapped(*arguments):
    w, m, v = _adamw(*arguments)
    return w, v, m


def _coupled(w, grad, m, v, t, lr, weight_decay, *rest):
    return _adamw(w, grad + weight_decay * w, m, v, t, lr, 0.0, *rest)


def _unscaled(w, grad, m, v, t, lr, weight_decay, *rest):
    return _adamw(w, grad, m, v, t, lr, weight_decay / lr, *rest)


def _decay_after(w, grad, m, v, t, lr, weight_decay, *rest):
    w, m, v = _adamw(w, grad, m, v, t, lr, 0.0, *rest)
    return w * (1 - lr * weight_decay), m, v


adamw_step = chapter.exercise(
    "adamw_step",
    _adamw,
    mistakes={
        "swapped": _swapped,
        "corrected": vary(_adamw, hats=True),
        "coupled": _coupled,
        "no-correction": vary(_adamw, t=np.inf),  # beta**inf is 0
        "late-step": vary(_adamw, t=lambda t: t + 1),
        "unscaled-decay": _unscaled,
        "decay-after": _decay_after,
        "eps-inside": vary(_adamw, below=lambda v_hat, eps: np.sqrt(v_hat + eps)),
        "no-decay": vary(_adamw, weight_decay=0.0),
        "no-root": vary(_adamw, below=lambda v_hat, eps: v_hat + eps),
        "doubled-decay": vary(_adamw, weight_decay=lambda weight_decay: 2 * weight_decay),
    },
    hints={
        "swapped": "You return m and v in the wrong order. Return (w, m, v).",
        "corrected": "You return m_hat and v_hat. The next step needs the averages m and v themselves.",
        "coupled": "You added the decay to the gradient. Adam then divides it by sqrt(v_hat): that is Adam with an L2 penalty, not AdamW.",
        "no-correction": "The bias correction is missing: divide m by 1 - beta1**t and v by 1 - beta2**t.",
        "late-step": "Your bias correction is one step late: t counts from 1 and already names this step.",
        "unscaled-decay": "The decay must be multiplied by the learning rate: lr * weight_decay * w.",
        "decay-after": "You decayed the weights after the Adam step. AdamW decays the weights from before it.",
        "eps-inside": "eps stands under the root. It is added to the root: sqrt(v_hat) + eps.",
        "no-decay": "The weight decay is missing: this is plain Adam.",
        "no-root": "The root of v_hat is missing in the denominator.",
        "doubled-decay": "Weight decay has no factor 2: it multiplies the weights itself and is not the gradient of a square.",
    },
)


@adamw_step.check(
    points=3,
    hint="Compare each of the five formulas of the exercise with your lines, in order.",
    more="In the example of the exercise m is 0.05, v 0.00025, m_hat 0.5, v_hat 0.25 and w 1.8: print yours.",
)
def takes_the_step(ask, rng):
    """gives the weights and both moving averages after step 3"""
    w, grad, m = rng.normal(size=(3, 2, 3))
    v = rng.uniform(0.5, 2, size=(2, 3))
    return ask(w, grad, m, v, 3, 0.1, 0.8, 0.8, 0.7, 0.05)


@adamw_step.check(
    hint="With no gradient and empty averages only the decay acts: w * (1 - lr * weight_decay).",
    more="The decay does not pass through m and v, so it stays the same for every weight.",
)
def decays_all_weights_alike(ask, rng):
    """only shrinks the weights, all by one factor, while every gradient is 0"""
    zero = np.zeros(5)
    return ask(rng.normal(size=5), zero, zero, zero, 1, 0.1, 0.5)


@adamw_step.check(
    points=2,
    hint="Feed the m and v of one step to the next. Do you return them in the order (w, m, v)?",
    more="Return w, m, v: the uncorrected averages, not m_hat and v_hat.",
    keeps_input=True,
)
def follows_several_steps(ask, rng):
    """follows four steps when its m and v are fed back"""
    w, m, v = rng.normal(size=4), np.zeros(4), np.zeros(4)
    for t in range(1, 5):
        w, m, v = outputs(ask(w, rng.normal(size=4), m, v, t, 0.05, 0.3), (4,), (4,), (4,))
    return w, m, v


# --- convert_keras_l2_to_torch_weight_decay --------------------------------------------------

convert = chapter.exercise(
    "convert_keras_l2_to_torch_weight_decay",
    lambda l2: 2 * l2,
    mistakes={
        "same": lambda l2: l2,
        "halved": lambda l2: l2 / 2,
        "squared": lambda l2: l2**2,
        "rooted": lambda l2: np.sqrt(l2),
        "quadrupled": lambda l2: 4 * l2,
        "negative": lambda l2: -2 * l2,
        "rounded": [lambda l2, digits=digits: np.round(2 * l2, digits) for digits in (2, 3)],
    },
    hints={
        "same": "The libraries do not mean the same: Keras penalises l2 * w**2, PyTorch weight_decay / 2 * w**2.",
        "halved": "You went the wrong way: PyTorch's number must be the larger one.",
        "squared": "The square acts on the weights, not on the strength.",
        "rooted": "No root is involved: both penalties use squares of the weights.",
        "quadrupled": "One factor of 2 is enough: it comes from the derivative of w**2.",
        "negative": "Both libraries subtract the penalty's gradient; the sign stays positive.",
        "rounded": "You rounded. Strengths are often small: return all digits.",
    },
)


@convert.check(
    points=0.5,
    hint="Compare the shrink factors of one step: 1 - 2*lr*l2 in Keras, 1 - lr*weight_decay in PyTorch.",
    more="With lr = 0.1 and l2 = 0.05 Keras multiplies a weight by 0.99. Which weight_decay makes 1 - 0.1 * weight_decay the same?",
)
def gives_the_same_step(ask, rng):
    """makes one step of both libraries equal"""
    return ask(rng.uniform(0.2, 0.4))


@convert.check(
    points=0.5,
    hint="The rule is proportional: it holds for every strength, 0 included.",
    more="Compute the answer from the argument: one factor for every strength, without a special case for 0.",
    keeps_input=True,
)
def is_proportional(ask, rng):
    """works for an array of strengths, 0 included"""
    return ask(np.array([0.0, 1.234e-3, 3.0, *rng.uniform(size=2)]))


# --- build_regularized_model -----------------------------------------------------------------

build_regularized_model = chapter.exercise(
    "build_regularized_model",
    hints={
        "architecture": "The kernels and biases do not have the expected shapes (input, output): use two dense layers, each with a bias.",
        "no-relu": "The hidden layer has no ReLU: two layers without an activation are one linear map.",
        "momentum": "The first step is right, but a second one from the same weights is another: the optimizer remembers the first. Use SGD without momentum.",
        "untrained": "One training step did not change the weights: does the optimizer hold the model's parameters, with the learning rate lr?",
        "biases": "The biases are penalised too. Leave them out: PyTorch needs two parameter groups, Keras no bias_regularizer.",
        "half-and-biases": "Two things: PyTorch's weight_decay=lam is only half of the penalty lam * sum(w**2), and it decays the biases as well.",
        "half": "The kernels shrink half as much as they should: PyTorch's weight_decay is 2 * lam.",
        "first-only": "Only the first kernel is penalised.",
        "last-only": "Only the last kernel is penalised.",
        "no-penalty": "The penalty is missing: lam has no effect.",
        "double": "The kernels shrink twice as much as they should: l2(lam) already has the factor 2 in its gradient.",
    },
)


def _sgd_step(weights, x, y, lr, lam, *, shares=(1, 0, 1, 0), relu=True):
    """Return the weights of a two-layer classifier after one SGD step, from the formulas.

    shares: of the penalty lam, for the kernel and bias of each layer.
    """
    w1, b1, w2, b2 = weights
    z = x @ w1 + b1
    h = np.maximum(z, 0) if relu else z
    d = (softmax(h @ w2 + b2) - np.eye(len(b2))[y]) / len(x)
    dz = (d @ w2.T) * (z > 0 if relu else 1)
    grads = [x.T @ dz, dz.sum(axis=0), h.T @ d, d.sum(axis=0)]
    terms = zip(weights, grads, shares, strict=True)
    return tuple(w - lr * (g + 2 * share * lam * w) for w, g, share in terms)


_STEPS = {
    "no-relu": vary(_sgd_step, relu=False),
    "untrained": vary(_sgd_step, lr=0.0),
    "biases": vary(_sgd_step, shares=(1, 1, 1, 1)),
    "half-and-biases": vary(_sgd_step, shares=(0.5, 0.5, 0.5, 0.5)),
    "half": vary(_sgd_step, shares=(0.5, 0, 0.5, 0)),
    "first-only": vary(_sgd_step, shares=(1, 0, 0, 0)),
    "last-only": vary(_sgd_step, shares=(0, 0, 1, 0)),
    "no-penalty": vary(_sgd_step, lam=0.0),
    "double": vary(_sgd_step, lam=lambda lam: 2 * lam),
}


def _judge_steps(ask, rng, sizes, lam, steps=1):
    """Build the model and compare training steps, each from the same weights, with the formulas."""
    lr, (n_inputs, n_hidden, n_classes) = rng.uniform(0.2, 0.8), sizes
    model = ask.model(*sizes, lam, lr)
    shapes = [(n_inputs, n_hidden), (n_hidden,), (n_hidden, n_classes), (n_classes,)]
    built = [w.shape for w in model.weights()]
    if built != shapes:
        raise Failed(str(shapes), str(built), "architecture")
    weights = [rng.normal(size=shape) for shape in shapes]
    x, y = rng.normal(size=(8, n_inputs)), rng.integers(0, n_classes, size=8)
    case = weights, x, y, lr, lam
    right = _sgd_step(*case)
    for number in range(steps):
        model.set_weights(weights)
        model.train_step(x, y)
        received = tuple(model.weights())
        outcome = compare(received, right)
        if not outcome.passed and number:  # the step depends on the one before it
            return judge(False, outcome.expected, outcome.received, {"momentum": True})
        if not outcome.passed:
            known = {name: step(*case) for name, step in _STEPS.items()}
            return compare(received, right, known)
    return outcome


@build_regularized_model.check(
    points=2,
    hint="With lam = 0 one step must be plain SGD on the mean cross-entropy of the logits.",
    more="Check the ReLU, the missing activation of the output, from_logits=True, and plain SGD(lr).",
)
def trains_without_penalty(ask, rng):
    """takes a plain SGD step when lam is 0"""
    return _judge_steps(ask, rng, (4, 6, 3), 0.0, steps=2)


@build_regularized_model.check(
    points=3,
    hint="After one step each kernel must have moved by an extra -lr * 2 * lam * w, each bias not.",
    more="Keras: give both layers a kernel_regularizer; the factor 2 comes with its gradient. PyTorch: the optimizer takes a list of groups, dicts of params and weight_decay; there the factor 2 is yours.",
)
def penalises_the_kernels(ask, rng):
    """shrinks both kernels, and no bias, by the penalty's gradient"""
    return _judge_steps(ask, rng, (3, 5, 4), rng.uniform(0.1, 0.3))


# --- choose_penalty --------------------------------------------------------------------------

choose = chapter.exercise(
    "choose_penalty",
    hints={
        **training.HINTS,
        "weak ones only": "You try weak penalties only. With wrong labels in the training rows a stronger one pays: try strengths from the whole list.",
        "strong ones only": "You try strong penalties only. They can keep a network from learning at all: try weak ones too, and 0.",
    },
)

STEPS = 300  # of the final run
_STRENGTHS = np.array([0, 0.001, 0.003, 0.01, 0.02, 0.04, 0.08, 0.16, 0.3])
# The share of wrong labels, a strength that is poor, and two that are good.
_TASKS = {"wrong labels": (0.4, 0.0, [0.02, 0.04]), "right labels": (0.0, 0.04, [0.0, 0.01])}


def _one_of(strengths):
    """Return what reads one of these strengths, as `Trials` needs it."""

    def read(value):
        (strength,) = outputs(value, ())
        away = abs(strengths - strength)
        if not away.min() < 1e-6:
            raise ValueError(f"take one of the strengths {strengths.tolist()}, not {strength:g}")
        return float(strengths[away.argmin()])

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

    def scores(self, strength, steps, names=("train", "dev", "test"), start=0):
        """Train from a start; return the accuracy on the rows of each name."""
        rng = np.random.default_rng([self.seed, start])
        weights = training.train_network(*self.rows["train"], steps, rng, penalty=strength)
        return {name: training.accuracy(weights, *self.rows[name]) for name in names}

    def hidden(self, strength):
        return training.on_hidden(self.scores, strength, STEPS)


@choose.check(
    points=3,
    hint="With wrong labels, or with right ones, the strength that you choose does little better on hidden rows than a poor one. Try strengths from the whole list, and choose by dev.",
    more="The budget is too small to train with every strength for the whole number of steps. Give all of them an equal share, or try every second one and then the neighbours of the best.",
)
def does_well_on_hidden_rows(ask, rng):
    """chooses a strength that does well on hidden rows, whether labels are wrong or right"""
    shown = []
    for labels, (share, poor, good) in _TASKS.items():
        task = _Task(rng, share)
        trials = training.Trials(task.scores, _one_of(_STRENGTHS), 6 * STEPS)
        chosen = trials.decide(ask, _STRENGTHS, STEPS)
        least, found = task.hidden(poor), task.hidden(chosen)
        needed = least + 0.7 * (np.mean([task.hidden(strength) for strength in good]) - least)
        mistakes = {
            "weak ones only": max(trials.runs) < 0.02,
            "strong ones only": min(trials.runs) > 0.01,
            "short runs": trials.longest < training.SHORT * STEPS,
        }
        shown.append((f"{labels}: at least {needed:.3f}", f"{found:.3f} at {chosen:g}"))
        if found < needed:
            return judge(False, *shown[-1], mistakes)
    return judge(True, *map("; ".join, zip(*shown, strict=True)))


def _landscape(strengths, best, other):
    """Make up scores of all strengths: dev is best at one place of the list, test at the other.

    Train is best without a penalty, and the gap smallest with the strongest.
    """
    return {
        float(strength): {
            "train": 0.95 - 0.08 * at,
            "dev": 0.8 - 0.05 * abs(at - best),
            "test": 0.8 - 0.07 * abs(at - other),
        }
        for at, strength in enumerate(strengths)
    }


@choose.check(
    points=3,
    hint="Of the strengths that you try, choose the one with the highest dev accuracy.",
    more='`train` returns a dict: keep train(strength, steps)["dev"] of every strength, and return the strength of the largest. Compare runs of equal length.',
)
def chooses_by_the_dev_rows(ask, rng):
    """chooses by dev accuracy, when train, dev and test rows disagree"""
    places = rng.integers(1, 3), rng.integers(5, 8)
    decisions = []
    for best, other in (places, places[::-1]):
        table, read = _landscape(_STRENGTHS, best, other), _one_of(_STRENGTHS)
        decision = training.decide_made_up(ask, _STRENGTHS, table, read, STEPS, 15 * STEPS, rng)
        decisions.append(decision)
    return training.follows_dev(decisions, STEPS)


@choose.check(
    hint="The steps of all your calls of `train` together must be at most `budget`.",
    more="budget // len(strengths) steps for each strength are never too many.",
)
def keeps_to_the_budget(ask, rng):
    """compares strengths within the budget, with other strengths and numbers of steps"""
    for strengths in (_STRENGTHS, np.array([0, 0.002, 0.006, 0.02, 0.06, 0.2])):
        steps = int(rng.integers(41, 80))
        table, read = _landscape(strengths, 2, 4), _one_of(strengths)
        _, trials, _ = training.decide_made_up(ask, strengths, table, read, steps, 5 * steps, rng)
    return judge(True, f"at most {trials.budget} steps", f"{trials.spent} steps")
