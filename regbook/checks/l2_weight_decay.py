"""Checks of chapter 07, L2 and weight decay."""

import numpy as np

from regbook.check import Chapter, Outcome, Wrong, brief, compare, outputs

chapter = Chapter("07_l2_weight_decay")


@chapter.check(
    "l2_penalty",
    points=2,
    hint="The penalty is lam times the sum of w**2 over every entry of every array in the list.",
    more="Write lam * sum((w**2).sum() for w in weights).",
)
def sums_the_squares(answer, rng):
    """is lam times the sum of the squares of all entries"""
    weights = [rng.normal(size=(3, 4)), rng.normal(size=(4, 2))]
    lam = rng.uniform(0.1, 0.4)
    squares = [(w**2).sum() for w in weights]
    total = sum(squares)
    return compare(
        answer(weights, lam),
        lam * total,
        wrong=[
            Wrong(
                "norm",
                lam * np.sqrt(total),
                "You took the norm. The L2 penalty uses its square: no root.",
            ),
            Wrong(
                "norms",
                lam * np.sqrt(squares).sum(),
                "You added the norms of the kernels. Add their squares: no root.",
            ),
            Wrong(
                "halved",
                lam / 2 * total,
                "You have lam / 2. That is PyTorch's weight_decay convention; here the penalty is lam * sum(w**2).",
            ),
            Wrong(
                "absolute",
                lam * sum(np.abs(w).sum() for w in weights),
                "You added absolute values. That is the L1 penalty.",
            ),
            Wrong(
                "mean",
                lam * sum((w**2).mean() for w in weights),
                "You averaged over the entries. The penalty is a sum: a larger kernel costs more.",
            ),
            Wrong(
                "first-only",
                lam * squares[0],
                "Only the first kernel counts in your sum. Go through the whole list.",
            ),
            Wrong(
                "last-only",
                lam * squares[-1],
                "Only the last kernel counts in your sum. Is the total overwritten in the loop?",
            ),
            Wrong("no-strength", total, "The strength lam is missing."),
            Wrong(
                "square-of-sum",
                lam * sum(w.sum() ** 2 for w in weights),
                "You squared the sum. Square each entry first, then add.",
            ),
        ],
    )


@chapter.check(
    "l2_penalty",
    hint="Multiplying every weight by c must multiply the penalty by c squared.",
    more="Only squares do that: doubling the weights makes the penalty four times as large.",
)
def grows_with_the_square(answer, rng):
    """grows fourfold when all weights double"""
    w = [rng.normal(size=(5,)), rng.normal(size=(2, 3, 2))]
    single, double = answer(w, 0.3), answer([2 * v for v in w], 0.3)
    outcome = compare(double, 4 * single)
    if outcome.passed and not np.abs(single).max() > 0:
        return Outcome(False, "a penalty above 0", brief(single))
    return outcome


@chapter.check(
    "l2_penalty", hint="With lam = 0 the loss is unpenalised.", more="lam multiplies the whole sum."
)
def is_zero_without_strength(answer, rng):
    """is 0 when lam is 0, and one number"""
    return compare(answer([rng.normal(size=(3, 2))], 0.0), 0.0)


@chapter.check(
    "l2_gradient_step",
    points=2,
    hint="The gradient of lam * w**2 is 2 * lam * w; add it to grad and step against the sum.",
    more="Write w - lr * (grad + 2 * lam * w).",
)
def follows_the_penalised_gradient(answer, rng):
    """steps along the gradient of J plus penalty"""
    w, grad = rng.normal(size=(2, 3, 4))
    lr, lam = rng.uniform(0.1, 0.3), rng.uniform(0.4, 0.8)
    return compare(
        answer(w, grad, lr, lam),
        w - lr * (grad + 2 * lam * w),
        wrong=[
            Wrong(
                "factor-two",
                w - lr * (grad + lam * w),
                "The factor 2 is missing: the derivative of w**2 is 2 w. (lam alone is PyTorch's weight_decay.)",
            ),
            Wrong(
                "unscaled-decay",
                w - lr * grad - 2 * lam * w,
                "The penalty's gradient must be multiplied by the learning rate too.",
            ),
            Wrong(
                "grows",
                w - lr * (grad - 2 * lam * w),
                "The penalty has the wrong sign: it makes weights grow. It must pull them towards zero.",
            ),
            Wrong(
                "ascent",
                w + lr * (grad + 2 * lam * w),
                "You step up the gradient. Descent subtracts it.",
            ),
            Wrong(
                "no-penalty",
                w - lr * grad,
                "The penalty is missing: this is plain gradient descent.",
            ),
            Wrong(
                "scalar",
                w - lr * (grad + lam * (w**2).sum()),
                "You added the value of the penalty. Add its gradient, 2 * lam * w, entry by entry.",
            ),
            Wrong(
                "sign-only",
                w - lr * (grad + lam * np.sign(w)),
                "lam * sign(w) is the gradient of the L1 penalty.",
            ),
        ],
    )


@chapter.check(
    "l2_gradient_step",
    hint="Where grad is 0 each weight is multiplied by 1 - 2 * lr * lam.",
    more="For w = 1, grad = 0, lr = 0.1, lam = 0.5 the answer is 0.9.",
)
def shrinks_without_gradient(answer, rng):
    """shrinks by the factor 1 - 2 lr lam where the gradient is 0"""
    w = rng.normal(size=6)
    return compare(answer(w, np.zeros(6), 0.1, 0.5), 0.9 * w)


@chapter.check(
    "l2_gradient_step",
    hint="Without a penalty the step is plain gradient descent.",
    more="For lam = 0 return w - lr * grad.",
)
def is_plain_descent_without_strength(answer, rng):
    """is plain gradient descent when lam is 0"""
    w, grad = rng.normal(size=(2, 5))
    return compare(answer(w, grad, 0.2, 0.0), w - 0.2 * grad)


def _adamw(w, g, m, v, t, lr, wd, b1=0.9, b2=0.999, eps=1e-8):
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
    m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
    return w - lr * wd * w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


@chapter.check(
    "adamw_step",
    points=3,
    hint="Compare each of the five formulas of the exercise with your lines, in order.",
    more="The decay is its own term: w - lr * weight_decay * w - lr * m_hat / (sqrt(v_hat) + eps).",
)
def takes_the_step(answer, rng):
    """gives the weights and both moving averages after step 3"""
    w, g, m = rng.normal(size=(3, 2, 3))
    v = rng.uniform(0.5, 2, size=(2, 3))
    t, lr, wd, b1, b2, eps = 3, 0.1, 0.8, 0.8, 0.7, 0.05
    right = _adamw(w, g, m, v, t, lr, wd, b1, b2, eps)
    new_m, new_v = right[1:]
    m_hat, v_hat = new_m / (1 - b1**t), new_v / (1 - b2**t)
    update = lr * m_hat / (np.sqrt(v_hat) + eps)
    decay = lr * wd * w

    def with_weights(value):
        return value, new_m, new_v

    return compare(
        answer(w, g, m, v, t, lr, wd, b1, b2, eps),
        right,
        wrong=[
            Wrong(
                "swapped",
                (right[0], new_v, new_m),
                "You return m and v in the wrong order. Return (w, m, v).",
            ),
            Wrong(
                "corrected",
                (right[0], m_hat, v_hat),
                "You return m_hat and v_hat. The next step needs the averages m and v themselves.",
            ),
            Wrong(
                "coupled",
                _adamw(w, g + wd * w, m, v, t, lr, 0, b1, b2, eps),
                "You added the decay to the gradient. Adam then divides it by sqrt(v_hat): that is Adam with an L2 penalty, not AdamW.",
            ),
            Wrong(
                "no-correction",
                with_weights(w - decay - lr * new_m / (np.sqrt(new_v) + eps)),
                "The bias correction is missing: divide m by 1 - beta1**t and v by 1 - beta2**t.",
            ),
            Wrong(
                "late-step",
                with_weights(
                    w
                    - decay
                    - lr
                    * new_m
                    / (1 - b1 ** (t + 1))
                    / (np.sqrt(new_v / (1 - b2 ** (t + 1))) + eps)
                ),
                "Your bias correction is one step late: t counts from 1 and already names this step.",
            ),
            Wrong(
                "unscaled-decay",
                with_weights(w - wd * w - update),
                "The decay must be multiplied by the learning rate: lr * weight_decay * w.",
            ),
            Wrong(
                "decay-after",
                with_weights((w - update) * (1 - lr * wd)),
                "You decayed the weights after the Adam step. AdamW decays the weights from before it.",
            ),
            Wrong(
                "eps-inside",
                with_weights(w - decay - lr * m_hat / np.sqrt(v_hat + eps)),
                "eps stands under the root. It is added to the root: sqrt(v_hat) + eps.",
            ),
            Wrong(
                "no-decay",
                with_weights(w - update),
                "The weight decay is missing: this is plain Adam.",
            ),
            Wrong(
                "no-root",
                with_weights(w - decay - lr * m_hat / (v_hat + eps)),
                "The root of v_hat is missing in the denominator.",
            ),
            Wrong(
                "doubled-decay",
                with_weights(w - 2 * decay - update),
                "Weight decay has no factor 2: it multiplies the weights itself and is not the gradient of a square.",
            ),
        ],
    )


@chapter.check(
    "adamw_step",
    hint="With no gradient and empty averages only the decay acts: w * (1 - lr * weight_decay).",
    more="The decay does not pass through m and v, so it stays the same for every weight.",
)
def decays_all_weights_alike(answer, rng):
    """only shrinks the weights, all by one factor, while every gradient is 0"""
    w = rng.normal(size=5)
    zero = np.zeros(5)
    return compare(answer(w, zero, zero, zero, 1, 0.1, 0.5), (0.95 * w, zero, zero))


@chapter.check(
    "adamw_step",
    points=2,
    hint="Feed the m and v of one step to the next. Do you return them in the order (w, m, v)?",
    more="Return w, m, v: the uncorrected averages, not m_hat and v_hat.",
)
def follows_several_steps(answer, rng):
    """follows four steps when its m and v are fed back"""
    ours = theirs = (rng.normal(size=4), np.zeros(4), np.zeros(4))
    for t in range(1, 5):
        g = rng.normal(size=4)
        ours = _adamw(ours[0], g, *ours[1:], t, 0.05, 0.3)
        theirs = outputs(answer(theirs[0], g, *theirs[1:], t, 0.05, 0.3), (4,), (4,), (4,))
    return compare(theirs, ours)


@chapter.check(
    "convert_keras_l2_to_torch_weight_decay",
    points=2,
    hint="Compare the shrink factors of one step: 1 - 2*lr*l2 in Keras, 1 - lr*weight_decay in PyTorch.",
    more="The two factors are equal when weight_decay = 2 * l2.",
)
def gives_the_same_step(answer, rng):
    """makes one step of both libraries equal"""
    l2, w, lr = rng.uniform(0.2, 0.4), rng.normal(size=5), 0.1
    weight_decay = answer(l2)
    wrong = [
        Wrong(
            "same",
            l2,
            "The libraries do not mean the same: Keras penalises l2 * w**2, PyTorch weight_decay / 2 * w**2.",
        ),
        Wrong("halved", l2 / 2, "You went the wrong way: PyTorch's number must be the larger one."),
        Wrong("squared", l2**2, "The square acts on the weights, not on the strength."),
        Wrong(
            "rooted", np.sqrt(l2), "No root is involved: both penalties use squares of the weights."
        ),
        Wrong(
            "quadrupled", 4 * l2, "One factor of 2 is enough: it comes from the derivative of w**2."
        ),
        Wrong(
            "negative",
            -2 * l2,
            "Both libraries subtract the penalty's gradient; the sign stays positive.",
        ),
    ]
    outcome = compare(weight_decay, 2 * l2, wrong)
    if outcome.passed:
        return compare(w - lr * weight_decay * w, w - lr * 2 * l2 * w)
    return outcome


@chapter.check(
    "convert_keras_l2_to_torch_weight_decay",
    hint="The rule is proportional: it holds for every strength, 0 included.",
    more="Return 2 * l2, computed from the argument.",
)
def is_proportional(answer, rng):
    """works for an array of strengths, 0 included"""
    l2 = np.array([0.0, 1e-2, 0.5, *rng.uniform(size=2)])
    return compare(answer(l2), 2 * l2)


def _relu_step(weights, x, y, lr, lam_kernels, lam_biases=(0, 0), activation=True):
    """Return the weights of a two-layer classifier after one SGD step, from the formulas."""
    w1, b1, w2, b2 = weights
    z = x @ w1 + b1
    h = np.maximum(z, 0) if activation else z
    logits = h @ w2 + b2
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    d = (p - np.eye(w2.shape[1])[y]) / len(x)
    dz = (d @ w2.T) * (z > 0 if activation else 1)
    grads = [x.T @ dz, dz.sum(axis=0), h.T @ d, d.sum(axis=0)]
    lams = [lam_kernels[0], lam_biases[0], lam_kernels[1], lam_biases[1]]
    return tuple(w - lr * (g + 2 * lam * w) for w, g, lam in zip(weights, grads, lams, strict=True))


def _stepped(answer, rng, lam, lr):
    """Build the learner's model, set random weights, take one step; return all that is needed."""
    handle = answer.model(4, 6, 3, lam, lr)
    shapes = [(4, 6), (6,), (6, 3), (3,)]
    built = [w.shape for w in handle.weights()]
    if built != shapes:
        return None, Outcome(
            False,
            str(shapes),
            str(built),
            "architecture",
            "The kernels and biases do not have the expected shapes (input, "
            "output): use two dense layers, each with a bias.",
        )
    weights = [rng.normal(size=shape) for shape in shapes]
    x, y = rng.normal(size=(8, 4)), rng.integers(0, 3, size=8)
    handle.set_weights(weights)
    handle.train_step(x, y)
    return (weights, x, y, tuple(handle.weights())), None


@chapter.check(
    "build_regularized_model",
    points=2,
    hint="With lam = 0 one step must be plain SGD on the mean cross-entropy of the logits.",
    more="Check the ReLU, the missing activation of the output, from_logits=True, and plain SGD(lr).",
)
def trains_without_penalty(answer, rng):
    """takes a plain SGD step when lam is 0"""
    made, fault = _stepped(answer, rng, 0.0, 0.5)
    if fault:
        return fault
    weights, x, y, received = made
    none = (0, 0)
    return compare(
        received,
        _relu_step(weights, x, y, 0.5, none),
        wrong=[
            Wrong(
                "no-relu",
                _relu_step(weights, x, y, 0.5, none, activation=False),
                "The hidden layer has no ReLU: two layers without an activation are one linear map.",
            ),
            Wrong(
                "untrained",
                tuple(weights),
                "One training step did not change the weights: does the optimizer hold the model's parameters, with the learning rate lr?",
            ),
        ],
    )


@chapter.check(
    "build_regularized_model",
    points=3,
    hint="After one step each kernel must have moved by an extra -lr * 2 * lam * w, each bias not.",
    more="Keras: kernel_regularizer=keras.regularizers.l2(lam) on both layers. PyTorch: a parameter "
    "group of both kernels with weight_decay=2*lam, and one of the biases with 0.",
)
def penalises_the_kernels(answer, rng):
    """shrinks both kernels, and no bias, by the penalty's gradient"""
    lam, lr = rng.uniform(0.1, 0.3), 0.5
    made, fault = _stepped(answer, rng, lam, lr)
    if fault:
        return fault
    weights, x, y, received = made

    def step(kernels, biases=(0, 0)):
        return _relu_step(weights, x, y, lr, kernels, biases)

    return compare(
        received,
        step((lam, lam)),
        wrong=[
            Wrong(
                "biases",
                step((lam, lam), (lam, lam)),
                "The biases are penalised too. Leave them out: PyTorch needs two parameter groups, Keras no bias_regularizer.",
            ),
            Wrong(
                "half-and-biases",
                step((lam / 2, lam / 2), (lam / 2, lam / 2)),
                "Two things: PyTorch's weight_decay=lam is only half of the penalty lam * sum(w**2), and it decays the biases as well.",
            ),
            Wrong(
                "half",
                step((lam / 2, lam / 2)),
                "The kernels shrink half as much as they should: PyTorch's weight_decay is 2 * lam.",
            ),
            Wrong("first-only", step((lam, 0)), "Only the first kernel is penalised."),
            Wrong("last-only", step((0, lam)), "Only the last kernel is penalised."),
            Wrong("no-penalty", step((0, 0)), "The penalty is missing: lam has no effect."),
            Wrong(
                "double",
                step((2 * lam, 2 * lam)),
                "The kernels shrink twice as much as they should: l2(lam) already has the factor 2 in its gradient.",
            ),
        ],
    )
