"""Checks of chapter 13, Early stopping and checkpoints."""

import numpy as np

from regbook.check import Chapter, Wrong, compare

chapter = Chapter("13_early_stopping")


def _stop(losses, patience, min_delta=0.0, best=np.inf, late=0, strict=True):
    """Return (epochs trained, best noted, epoch of the best) of the rule, or of a variant."""
    wait, kept = 0, 0
    for epoch, loss in enumerate(losses, 1):
        if loss + min_delta < best or (not strict and loss + min_delta <= best):
            best, kept, wait = loss, epoch, 0
        else:
            wait += 1
            if wait >= patience + late:
                break
    return epoch, best, kept


def _stop_tracking_minimum(losses, patience, min_delta):
    """Note every new minimum as the best, also when it is no improvement by min_delta."""
    best, wait = np.inf, 0
    for epoch, loss in enumerate(losses, 1):
        wait = 0 if loss + min_delta < best else wait + 1
        best = min(best, loss)
        if wait >= patience:
            return epoch, best
    return len(losses), best


def _stop_at_rises(losses, patience, in_a_row, min_delta=0.0):
    """Stop after `patience` rises of the loss, in a row or in all."""
    best, rises = losses[0], 0
    for i in range(1, len(losses)):
        if losses[i] > losses[i - 1]:
            rises += 1
        elif in_a_row:
            rises = 0
        if losses[i] + min_delta < best:
            best = losses[i]
        if rises >= patience:
            return i + 1, best
    return len(losses), best


def _stop_without_reset(losses, patience, min_delta=0.0):
    """Count all epochs without improvement, not those in a row."""
    best, wait = np.inf, 0
    for epoch, loss in enumerate(losses, 1):
        if loss + min_delta < best:
            best = loss
        else:
            wait += 1
            if wait >= patience:
                return epoch, best
    return len(losses), best


def _run(rng, first, last):
    """Draw a falling curve of losses, then a tail that never reaches its minimum again."""
    head = np.sort(rng.uniform(first, first + 1, size=4))[::-1] - 0.1
    return np.concatenate([head, head[-1] + rng.uniform(0.1, 0.3, size=last)])


@chapter.check(
    "early_stopping_epoch",
    points=2,
    hint="Go through the losses, note the best and its epoch, and stop once `patience` epochs have passed since.",
    more="Keep best = infinity; if loss + min_delta < best, note loss and epoch; else stop when epoch - best_epoch >= patience.",
)
def stops_when_patience_is_used_up(answer, rng):
    """stops after `patience` epochs in a row without improvement, counted from 1"""
    # Three epochs of waiting end with an improvement; the creeping tail falls and never improves.
    top = rng.uniform(0.7, 0.9)
    head = top - np.array([0, 0, 0.2, 0.15, 0.22, 0.17, 0.18, 0.12, 0.3])
    losses = np.concatenate([head, np.linspace(top, top - 0.25, 12)])
    epoch, best, _ = _stop(losses, 4)
    return compare(
        answer(losses, 4, 0.0),
        (epoch, best),
        wrong=[
            Wrong(
                "from-zero",
                (epoch - 1, best),
                "Your epochs count from 0. The first epoch has number 1.",
            ),
            Wrong(
                "one-late",
                _stop(losses, 4, late=1)[:2],
                "You stop one epoch late: stop when the number of epochs without improvement reaches patience.",
            ),
            Wrong(
                "one-early",
                _stop(losses, 4, late=-1)[:2],
                "You stop one epoch early: the best epoch itself is not one without improvement.",
            ),
            Wrong(
                "no-reset",
                _stop_without_reset(losses, 4),
                "Your counter is never set back. An improvement sets it to 0: the epochs must be in a row.",
            ),
            Wrong(
                "rises-in-a-row",
                _stop_at_rises(losses, 4, True),
                "You count rises. An epoch whose loss falls but stays above the best is no improvement either.",
            ),
            Wrong(
                "rises",
                _stop_at_rises(losses, 4, False),
                "You count rises. Count epochs that bring no new best, whether the loss rises or falls.",
            ),
            Wrong(
                "best-epoch",
                (9, best),
                "You return the best epoch. Training goes on for `patience` more epochs before it stops.",
            ),
        ],
    )


@chapter.check(
    "early_stopping_epoch",
    hint="An equal loss is no improvement: compare with <, not <=.",
    more="For losses 0.5, 0.5, 0.5 and patience 2 training stops after epoch 3.",
)
def counts_equal_losses(answer, rng):
    """counts an equal loss as an epoch without improvement"""
    flat = rng.integers(4, 8) / 8
    losses = np.array([flat + 0.25, *[flat] * 8])
    return compare(
        answer(losses, 3, 0.0),
        _stop(losses, 3)[:2],
        wrong=[
            Wrong(
                "equal-improves",
                _stop(losses, 3, strict=False)[:2],
                "You take an equal loss for an improvement. Only a lower one is.",
            ),
        ],
    )


@chapter.check(
    "early_stopping_epoch",
    points=2,
    hint="An improvement is more than min_delta below the best noted; only an improvement is noted.",
    more="Write: if loss + min_delta < best. Do not update best in any other case.",
)
def needs_more_than_min_delta(answer, rng):
    """asks for a fall by more than min_delta below the best loss noted"""
    # Falls of 0.04: three add up to more than min_delta. The last loss before the tail is a rise.
    start, delta = rng.uniform(1, 2), 0.1
    losses = start - 0.04 * np.arange(12) - np.array([0.0] * 11 + [-0.07])
    losses = np.concatenate([losses, losses[-1] + rng.uniform(0.2, 0.3, size=6)])
    epoch, best, _ = _stop(losses, 4, delta)
    return compare(
        answer(losses, 4, delta),
        (epoch, best),
        wrong=[
            Wrong(
                "tracks-minimum",
                _stop_tracking_minimum(losses, 4, delta),
                "You update the best at every new minimum. A fall of less than min_delta is not noted, so that slow falls can add up.",
            ),
            Wrong(
                "no-min-delta",
                _stop(losses, 4)[:2],
                "min_delta has no effect in your rule.",
            ),
            Wrong(
                "delta-sign",
                _stop(losses, 4, -delta)[:2],
                "min_delta has the wrong sign: it must make an improvement harder.",
            ),
            Wrong(
                "minimum",
                (epoch, losses[:epoch].min()),
                "You return the lowest loss. The best that the rule has noted is the loss at the last improvement.",
            ),
        ],
    )


@chapter.check(
    "early_stopping_epoch",
    hint="Start the best at infinity, so that the first epoch is always an improvement.",
    more="best = np.inf before the loop. A start at 1 fails when all losses are larger.",
)
def starts_at_infinity(answer, rng):
    """works when every loss is far above 1"""
    losses = 20 + _run(rng, 1, 8)
    return compare(
        answer(losses, 3, 0.0),
        _stop(losses, 3)[:2],
        wrong=[
            Wrong(
                "starts-at-one",
                _stop(losses, 3, best=1.0)[:2],
                "Your best value starts at 1, so no loss above 1 ever improves on it. Start at infinity.",
            ),
        ],
    )


@chapter.check(
    "early_stopping_epoch",
    hint="When patience never runs out, all epochs are trained: return their number.",
    more="After the loop without a break, epoch is len(losses).",
)
def reaches_the_end(answer, rng):
    """trains all epochs when patience never runs out, a single one included"""
    losses = _run(rng, 0.5, 2)
    received = [answer(losses, 3, 0.0), answer(losses[:1], 1, 0.0)]
    expected = [(len(losses), losses[3]), (1, losses[0])]
    wrong = [
        Wrong(
            "never",
            (0, losses[3]),
            "You return 0 when patience never runs out. All epochs were trained: return the last.",
        ),
        Wrong(
            "never",
            (4, losses[3]),
            "You return the best epoch. When patience never runs out, all epochs are trained.",
        ),
        Wrong("from-zero", (len(losses) - 1, losses[3]), "Your epochs count from 0."),
    ]
    outcome = compare(received[0], expected[0], wrong)
    return outcome if not outcome.passed else compare(received[1], expected[1])


def _restored(losses, min_delta, start, best=np.inf):
    kept = len(losses)
    for epoch, loss in enumerate(losses, 1):
        if epoch > start and loss + min_delta < best:
            best, kept = loss, epoch
    return kept


@chapter.check(
    "best_epoch",
    points=2,
    hint="Without min_delta and with every epoch looked at, it is the epoch of the lowest loss.",
    more="epoch = argmin of the losses, plus 1; the weights are those in row epoch - 1.",
)
def is_the_lowest_loss(answer, rng):
    """gives the epoch of the lowest loss, counted from 1, and its weights"""
    losses, weights = rng.uniform(30, 31, size=9), rng.normal(size=(9, 3))
    losses[rng.integers(3, 6)] = 29
    best = int(losses.argmin())
    return compare(
        answer(losses, weights, 0.0, 0),
        (best + 1, weights[best]),
        wrong=[
            Wrong(
                "from-zero",
                (best, weights[best]),
                "Your epoch counts from 0. The first epoch has number 1.",
            ),
            Wrong(
                "row-late",
                (best + 1, weights[best + 1]),
                "The weights are those of the next epoch: epoch e is row e - 1.",
            ),
            Wrong(
                "last-weights",
                (best + 1, weights[-1]),
                "You return the last weights. The weights of the best epoch come back.",
            ),
            Wrong(
                "last",
                (9, weights[-1]),
                "You keep the last epoch. Is your best value below all losses from the start? It must start at infinity.",
            ),
            Wrong(
                "highest",
                (int(losses.argmax()) + 1, weights[losses.argmax()]),
                "You chose the highest loss. A loss is best when it is lowest.",
            ),
        ],
    )


@chapter.check(
    "best_epoch",
    hint="Of several equally low losses the first is kept: an equal loss is no improvement.",
    more="Compare with <, so that a later equal loss does not replace the first.",
)
def keeps_the_first_of_equals(answer, rng):
    """keeps the first of equally low losses"""
    losses = np.array([1.0, 0.75, 0.5, 0.75, 0.5, 0.5, 0.625])
    weights = rng.normal(size=(7, 2))
    return compare(
        answer(losses, weights, 0.0, 0),
        (3, weights[2]),
        wrong=[
            Wrong(
                "last-of-equals",
                (6, weights[5]),
                "You keep the last of equal losses. An equal loss is no improvement.",
            )
        ],
    )


@chapter.check(
    "best_epoch",
    points=2,
    hint="Only a loss more than min_delta below the best one noted is kept, even if a lower one exists.",
    more="Loop: if loss + min_delta < best, note loss and epoch. The result need not be the minimum.",
)
def respects_min_delta(answer, rng):
    """keeps the last improvement by more than min_delta, not the minimum"""
    start = rng.uniform(2, 3)
    losses = start - np.array([0, 0.3, 0.34, 0.38, 0.2, 0.43, 0.47, 0.1, 0.46, 0.5])
    weights, delta = rng.normal(size=(10, 2)), 0.1
    kept = _restored(losses, delta, 0)

    def of(epoch):
        return epoch, weights[epoch - 1]

    return compare(
        answer(losses, weights, delta, 0),
        of(kept),
        wrong=[
            Wrong(
                "minimum",
                of(10),
                "You return the epoch of the lowest loss. With min_delta, a small further fall is no improvement and is not kept.",
            ),
            Wrong(
                "tracks-minimum",
                of(2),
                "You update the best value at every new minimum. Then slow falls can never add up to an improvement.",
            ),
        ],
    )


@chapter.check(
    "best_epoch",
    points=2,
    hint="The first start_from_epoch epochs do not count, however low their loss is.",
    more="Look at epoch only if epoch > start_from_epoch (epochs counted from 1).",
)
def skips_the_first_epochs(answer, rng):
    """does not look at the first start_from_epoch epochs"""
    losses = np.concatenate([[0.1, 0.2, 0.3], rng.uniform(0.6, 0.9, size=5)])
    losses[3] = 0.5
    weights = rng.normal(size=(8, 2))
    return compare(
        answer(losses, weights, 0.0, 3),
        (4, weights[3]),
        wrong=[
            Wrong("no-start", (1, weights[0]), "start_from_epoch has no effect in your rule."),
            Wrong(
                "start-early",
                (3, weights[2]),
                "You look at one epoch too many: with start_from_epoch = 3, epoch 4 is the first.",
            ),
            Wrong(
                "start-late",
                (_restored(losses, 0, 4), weights[_restored(losses, 0, 4) - 1]),
                "You skip one epoch too many: with start_from_epoch = 3, epoch 4 is the first.",
            ),
            Wrong(
                "counts-from-start",
                (1, weights[3]),
                "Your epoch counts from the first one looked at. Count from the first one trained.",
            ),
        ],
    )


@chapter.check(
    "best_epoch",
    hint="When start_from_epoch is not smaller than the number of epochs, nothing is restored.",
    more="Begin with the last epoch as the one kept; the loop replaces it if it looks at any.",
)
def keeps_the_last_when_it_never_looked(answer, rng):
    """keeps the last epoch when it has looked at none"""
    losses, weights = rng.uniform(0.3, 0.9, size=6), rng.normal(size=(6, 2))
    losses[2] = 0.2
    return compare(
        answer(losses, weights, 0.0, 6),
        (6, weights[5]),
        wrong=[
            Wrong(
                "never-looked",
                (1, weights[0]),
                "You return the first epoch. The rule has looked at none, so the last weights stay.",
            ),
            Wrong("no-start", (3, weights[2]), "start_from_epoch has no effect in your rule."),
        ],
    )


def _train(checkpoint, x, y, order, lr, momentum, stop=None, rate_inside=False, summed=False):
    """Train a softmax classifier by the formulas from the checkpoint's step to `stop`."""
    w, b = checkpoint["kernel"].copy(), checkpoint["bias"].copy()
    vw, vb = checkpoint["kernel_velocity"].copy(), checkpoint["bias_velocity"].copy()
    stop = len(order) if stop is None else stop
    for rows in order[checkpoint["step"] : stop]:
        z = x[rows] @ w + b
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        d = (p - np.eye(len(b))[y[rows]]) / (1 if summed else len(rows))
        vw, vb = momentum * vw + x[rows].T @ d, momentum * vb + d.sum(axis=0)
        w, b = w - lr * vw, b - lr * vb
    scale = lr if rate_inside else 1
    return {
        "kernel": w,
        "bias": b,
        "kernel_velocity": -scale * vw if rate_inside else vw,
        "bias_velocity": -scale * vb if rate_inside else vb,
        "step": stop,
    }


def _crashed(rng, before=5, after=6):
    """Draw a run with `before` steps done and `after` to come; return (checkpoint, arguments)."""
    x, y = rng.normal(size=(24, 4)), rng.integers(0, 3, size=24)
    order = np.stack([rng.permutation(24)[:8] for _ in range(before + after)])
    start = {
        "kernel": rng.normal(size=(4, 3)),
        "bias": rng.normal(size=3),
        "kernel_velocity": np.zeros((4, 3)),
        "bias_velocity": np.zeros(3),
        "step": 0,
    }
    rest = (x, y, order, rng.uniform(0.3, 0.5), rng.uniform(0.7, 0.9))
    return start, _train(start, *rest, stop=before), rest


@chapter.check(
    "resume_training",
    points=3,
    hint="Put weights and velocities back, and go on with the mini-batch of the checkpoint's step.",
    more="Loop over order[step:]. In PyTorch fill optimizer.state[p]['momentum_buffer'] before the first step.",
)
def equals_a_run_without_a_crash(answer, rng):
    """ends with the weights and velocities of a run that never crashed"""
    start, saved, rest = _crashed(rng)
    x, y, order, lr, momentum = rest
    step = saved["step"]
    zero = {name: np.zeros_like(saved[name]) for name in ("kernel_velocity", "bias_velocity")}

    def ends(checkpoint, order=order, momentum=momentum, **variant):
        return _train(checkpoint, x, y, order, lr, momentum, **variant) | {"step": len(rest[2])}

    return compare(
        answer(saved, *rest),
        _train(start, *rest),
        wrong=[
            Wrong(
                "no-velocity",
                ends(saved | zero),
                "The velocities start at zero in your run. The checkpoint holds them: put them back.",
            ),
            Wrong(
                "kernel-velocity-only",
                ends(saved | {"bias_velocity": zero["bias_velocity"]}),
                "The bias's velocity starts at zero in your run.",
            ),
            Wrong(
                "repeats-data",
                ends(saved | {"step": 0}, order[: len(order) - step]),
                "Your run starts again with the first mini-batches. Go on with that of the checkpoint's step.",
            ),
            Wrong(
                "whole-order",
                ends(saved | {"step": 0}),
                "You take all the steps of order again. Only those from the checkpoint's step on are missing.",
            ),
            Wrong(
                "skips-one",
                ends(saved | {"step": step + 1}),
                "You leave out one mini-batch: with step = 5, rows 0 to 4 of order are done and row 5 is next.",
            ),
            Wrong(
                "repeats-one",
                ends(saved | {"step": step - 1}),
                "You take one step twice: with step = 5, row 4 of order is already done.",
            ),
            Wrong(
                "fresh-weights",
                ends(
                    {name: np.zeros_like(value) for name, value in saved.items()} | {"step": step}
                ),
                "Your run starts from new weights. Put back those of the checkpoint.",
            ),
            Wrong(
                "no-momentum",
                ends(saved, momentum=0.0),
                "The momentum has no effect in your run: v must be momentum * v + g.",
            ),
            Wrong(
                "keras-velocity",
                ends(saved, rate_inside=True),
                "You return Keras's velocity, which is -lr * v. Divide it by -lr.",
            ),
            Wrong(
                "summed-loss",
                ends(saved, summed=True),
                "Your loss is a sum over the mini-batch. Take the mean.",
            ),
            Wrong(
                "unchanged-step",
                _train(start, *rest) | {"step": saved["step"]},
                "The step in your result is that of the old checkpoint. It must count the new steps too.",
            ),
            Wrong(
                "steps-of-this-run",
                _train(start, *rest) | {"step": len(order) - step},
                "The step in your result counts only the steps since the crash. Count all of them.",
            ),
        ],
    )


@chapter.check(
    "resume_training",
    points=2,
    hint="A checkpoint that your function returns must be good enough to resume from again.",
    more="Return the velocities and the step after the last step, not those of the old checkpoint.",
)
def can_resume_twice(answer, rng):
    """gives the same end when the run crashes a second time"""
    start, saved, rest = _crashed(rng, before=3, after=6)
    x, y, order, lr, momentum = rest
    second = answer(saved, x, y, order[:6], lr, momentum)
    expected = _train(start, x, y, order[:6], lr, momentum)
    outcome = compare(second, expected)
    if not outcome.passed:
        return outcome
    return compare(answer(second, *rest), _train(start, *rest))


@chapter.check(
    "resume_training",
    hint="When the checkpoint is already at the end, there is nothing to do.",
    more="order[step:] is then empty: return the checkpoint's values unchanged.",
)
def takes_no_step_at_the_end(answer, rng):
    """changes nothing when all steps are done"""
    start, _, rest = _crashed(rng, before=4, after=0)
    done = _train(start, *rest)
    return compare(
        answer(done, *rest),
        done,
        wrong=[
            Wrong(
                "whole-order",
                _train(done | {"step": 0}, *rest),
                "You take all the steps of order again. The checkpoint's step says that they are done.",
            )
        ],
    )


def _repaired(val_loss, penalty, weights, patience):
    epoch, _, kept = _stop(val_loss - penalty, patience)
    return epoch, weights[kept - 1]


@chapter.check(
    "repair_early_stopping",
    points=3,
    hint="Check the parts in turn: the start of best, what is monitored, what is counted, when it stops, and both values that are returned.",
    more="Monitor val_loss - penalty; best = infinity; stop when epoch - best_epoch >= patience; return weights[best_epoch - 1].",
)
def stops_and_restores(answer, rng):
    """stops by the cross-entropy, and returns the weights of its best epoch"""
    # The cross-entropy (all above 1) is lowest in epoch 7, the penalised loss in epoch 3.
    falls = [0, 0.1, 0.2, 0.15, 0.16, 0.17, 0.3, 0.1, 0.14, 0.12, 0.16, 0.18, 0.14, 0.2]
    entropy = rng.uniform(2, 3) - np.array(falls)
    penalty = 0.2 + 0.08 * np.arange(14) + rng.uniform(0, 0.01, size=14)
    weights, patience = rng.normal(size=(14, 3)), 4
    val_loss = entropy + penalty
    epoch, restored = _repaired(val_loss, penalty, weights, patience)
    penalised, _, penalised_kept = _stop(val_loss, patience)
    early, _, early_kept = _stop(entropy, patience, late=-1)
    rises = int(np.cumsum(np.diff(entropy) > 0).searchsorted(patience)) + 2
    return compare(
        answer(val_loss, penalty, weights, patience),
        (epoch, restored),
        wrong=[
            Wrong(
                "last-weights",
                (epoch, weights[epoch - 1]),
                "You return the weights of the last epoch. Return those of the best one.",
            ),
            Wrong(
                "penalised",
                (penalised, weights[penalised_kept - 1]),
                "You monitor the penalised loss. Subtract the penalty first.",
            ),
            Wrong(
                "from-zero",
                (epoch - 1, restored),
                "The number of epochs is one too small: epochs count from 1.",
            ),
            Wrong(
                "one-late",
                (epoch + 1, restored),
                "You stop one epoch late: stop when the count reaches the patience.",
            ),
            Wrong(
                "one-early",
                (early, weights[early_kept - 1]),
                "You stop one epoch early: the best epoch itself is not one without improvement.",
            ),
            Wrong(
                "counts-rises",
                (rises, weights[entropy[:rises].argmin()]),
                "You count rises. After the best epoch the loss jumps up once and then falls slowly: no rise, and no improvement either.",
            ),
            Wrong(
                "starts-at-one",
                (patience, weights[-1]),
                "Your best value starts at 1, and all losses here are larger. Start at infinity.",
            ),
            Wrong(
                "row-late",
                (epoch, weights[7]),
                "The weights are those of the epoch after the best: epoch e is row e - 1.",
            ),
            Wrong(
                "no-stop",
                (14, restored),
                "Your loop never stops. Four epochs without improvement have passed long before the end.",
            ),
        ],
    )


@chapter.check(
    "repair_early_stopping",
    points=2,
    hint="An improvement sets the count back to 0: the epochs without improvement must be in a row.",
    more="Compare the epoch with the best epoch; then there is no counter to set back.",
)
def waits_anew_after_an_improvement(answer, rng):
    """starts to wait anew after each improvement, and counts equal losses"""
    steps = np.array([0, 1, 0, 0, 2, 2, 1, 3, 3, 3, 3, 4])
    entropy = 1.5 - steps / 8
    penalty, weights = rng.integers(1, 8, size=12) / 64, rng.normal(size=(12, 2))
    val_loss = entropy + penalty
    expected = _repaired(val_loss, penalty, weights, 3)
    total, _ = _stop_without_reset(entropy, 3)
    equal, _, equal_kept = _stop(entropy, 3, strict=False)
    return compare(
        answer(val_loss, penalty, weights, 3),
        expected,
        wrong=[
            Wrong(
                "no-reset",
                (total, weights[entropy[:total].argmin()]),
                "Your count is never set back. An improvement sets it to 0.",
            ),
            Wrong(
                "equal-improves",
                (equal, weights[equal_kept - 1]),
                "You take an equal loss for an improvement. Only a lower one is.",
            ),
        ],
    )


@chapter.check(
    "repair_early_stopping",
    hint="When patience never runs out, all epochs are trained, and the best weights still come back.",
    more="Restore after the loop, whether or not it was left by break.",
)
def restores_without_a_stop(answer, rng):
    """restores the best weights also when patience never runs out"""
    entropy = np.array([0.9, 0.7, 0.5, 0.6, 0.55]) + rng.uniform(0, 0.02, size=5)
    penalty, weights = rng.uniform(0.1, 0.2, size=5), rng.normal(size=(5, 2))
    return compare(
        answer(entropy + penalty, penalty, weights, 10),
        (5, weights[2]),
        wrong=[
            Wrong(
                "last-weights",
                (5, weights[-1]),
                "You restore only when the rule has stopped. The best weights come back at the end in any case.",
            )
        ],
    )
