"""Checks of chapter 13, Early stopping and checkpoints."""

from functools import partial

import numpy as np

from regbook.arrays import softmax
from regbook.exercise import Chapter, vary

chapter = Chapter("13_early_stopping")


def _stop(
    losses,
    patience,
    min_delta=0.0,
    *,
    best=np.inf,
    improves=lambda loss, best, min_delta: loss + min_delta < best,
    count=lambda wait, loss, previous: wait + 1,
    reset=True,
    track=False,
    late=0,
):
    """Return (epochs trained, best noted, its epoch) of the rule, or of a variant of it."""
    epoch, kept, wait, previous = 0, 0, 0, np.inf
    for epoch, loss in enumerate(losses, 1):
        if improves(loss, best, min_delta):
            best, kept, wait = loss, epoch, 0 if reset else wait
        else:
            wait = count(wait, loss, previous)
            best = min(best, loss) if track else best
            if wait >= patience + late:
                break
        previous = loss
    return epoch, best, kept


def _stop_from(first):
    """Return the rule whose best value starts at the first loss, as if noted in epoch `first`."""

    def rule(losses, patience, min_delta=0.0):
        epoch, best, kept = _stop(losses, patience, min_delta, best=losses[0])
        return epoch, best, kept or first

    return rule


# What goes wrong with the rule itself, in several exercises.
VARIANTS = {
    "no-reset": partial(_stop, reset=False),
    "rises": partial(_stop, reset=False, count=lambda wait, loss, prev: wait + (loss > prev)),
    "rises-in-a-row": partial(_stop, count=lambda wait, loss, prev: (wait + 1) * (loss > prev)),
    "one-late": partial(_stop, late=1),
    "one-early": partial(_stop, late=-1),
    "equal-improves": partial(_stop, improves=lambda loss, best, delta: loss + delta <= best),
    "tracks-minimum": partial(_stop, track=True),
    "starts-at-one": partial(_stop, best=1.0),
}


# --- early_stopping_epoch --------------------------------------------------------------------


def _epochs(
    losses,
    patience,
    min_delta,
    *,
    rule=_stop,
    gives=lambda epoch, best, kept, losses: (epoch, best),
):
    """Return (epochs trained, best noted) of the rule, or of a variant of it."""
    return gives(*rule(losses, patience, min_delta), losses)


def _best_of_all(losses, patience, min_delta):
    """Look for the best in the epochs after the stop too."""
    return _stop(losses, patience, min_delta)[0], _stop(losses, np.inf, min_delta)[1]


def _reaches(loss, best, min_delta):
    return loss < best and loss + min_delta <= best


def _share(loss, best, min_delta):
    return loss < best * (1 - min_delta)


def _none_at_the_end(epoch, best, kept, losses):
    return (0 if epoch == len(losses) else epoch), best


def _best_at_the_end(epoch, best, kept, losses):
    return (kept if epoch == len(losses) else epoch), best


early_stopping_epoch = chapter.exercise(
    "early_stopping_epoch",
    _epochs,
    mistakes={key: vary(_epochs, rule=rule) for key, rule in VARIANTS.items()}
    | {
        "starts-at-first": vary(_epochs, rule=_stop_from(0)),
        "border": vary(_epochs, rule=partial(_stop, improves=_reaches)),
        "share": vary(_epochs, rule=partial(_stop, improves=_share)),
        "from-zero": vary(_epochs, gives=lambda epoch, best, kept, losses: (epoch - 1, best)),
        "best-epoch": vary(_epochs, gives=lambda epoch, best, kept, losses: (kept, best)),
        "minimum": [
            vary(_epochs, gives=lambda e, best, kept, losses: (e, losses[:e].min())),
            vary(_epochs, gives=lambda e, best, kept, losses: (e, losses.min())),
        ],
        "looks-ahead": _best_of_all,
        "swapped": vary(_epochs, gives=lambda e, best, kept, losses: (best, e)),
        "no-min-delta": vary(_epochs, min_delta=0.0),
        "delta-sign": vary(_epochs, min_delta=lambda min_delta: -min_delta),
        "never": vary(_epochs, gives=_none_at_the_end),
        "best-at-the-end": vary(_epochs, gives=_best_at_the_end),
    },
    hints={
        "from-zero": "Your epochs count from 0. The first epoch has number 1.",
        "best-epoch": "You return the best epoch. Training goes on for `patience` more epochs before it stops.",
        "one-late": "You stop one epoch late: stop when the number of epochs without improvement reaches patience.",
        "one-early": "You stop one epoch early: the best epoch itself is not one without improvement.",
        "no-reset": "Your counter is never set back. An improvement sets it to 0: the epochs must be in a row.",
        "rises-in-a-row": "You count rises. An epoch whose loss falls but stays above the best is no improvement either.",
        "rises": "You count rises. Count epochs that bring no new best, whether the loss rises or falls.",
        "equal-improves": "An equal loss is not counted as an epoch without improvement in your rule. It is one: only a lower loss is an improvement.",
        "border": "A fall by exactly min_delta is an improvement in your rule. It must be a fall by more.",
        "share": "You take min_delta for a share of the best loss. It is a difference, in nats.",
        "no-min-delta": "min_delta has no effect in your rule.",
        "delta-sign": "min_delta has the wrong sign: it must make an improvement harder.",
        "tracks-minimum": "You update the best at every new minimum. A fall of less than min_delta is not noted, so that slow falls can add up.",
        "minimum": "You return the lowest loss. The best that the rule has noted is the loss at the last improvement.",
        "looks-ahead": "Your best is the loss of an epoch after the stop. Training has ended by then: the rule never sees it.",
        "swapped": "Return the epoch first, then the best loss.",
        "starts-at-one": "Your best value starts at 1, so no loss above 1 ever improves on it. Start at infinity.",
        "starts-at-first": "Your best value starts at the first loss. Then the first epoch is none of improvement and is waited for. Start at infinity.",
        "never": "You return 0 when patience never runs out. All epochs were trained: return the last.",
        "best-at-the-end": "You return the best epoch when patience never runs out. All epochs were trained: return the last.",
    },
)


def _run(rng, first, last):
    """Draw a falling curve of losses, then a tail that never reaches its minimum again."""
    head = np.sort(rng.uniform(first, first + 1, size=4))[::-1] - 0.1
    return np.concatenate([head, head[-1] + rng.uniform(0.1, 0.3, size=last)])


@early_stopping_epoch.check(
    points=2,
    hint="Go through the losses, note the best and its epoch, and stop once `patience` epochs have passed since.",
    more="Best in epoch 5 and patience 3: epochs 6, 7 and 8 are waited for, and 8 is the last. Compare the number of the epoch with that of the best one.",
)
def stops_when_patience_is_used_up(ask, rng):
    """stops after `patience` epochs in a row without improvement, counted from 1"""
    # Three epochs of waiting end with an improvement; the creeping tail falls and never improves.
    top = rng.uniform(0.7, 0.9)
    head = top - np.array([0, 0, 0.2, 0.15, 0.22, 0.17, 0.18, 0.12, 0.3])
    rising = rng.uniform(0.003, 0.004) + np.array([0, 3, 1, 4, 2, 5, 6]) / 10_000
    return {
        "patience 4": ask(np.concatenate([head, np.linspace(top, top - 0.25, 12)]), 4, 0.0),
        "patience 1": ask(head[1:] / 100, 1, 0.0),  # the lowest loss comes after the stop
        "lowest at the start": ask(rising, 3, 0.0),
    }


@early_stopping_epoch.check(
    hint="An equal loss is no improvement, and counts as an epoch without one.",
    more="For losses 0.5, 0.5, 0.5 and patience 2 training stops after epoch 3.",
)
def counts_equal_losses(ask, rng):
    """counts an equal loss as an epoch without improvement"""
    flat = rng.integers(4, 8) / 8
    return ask(np.array([flat + 0.25, *[flat] * 8]), 3, 0.0)


@early_stopping_epoch.check(
    points=2,
    hint="An improvement is more than min_delta below the best noted; only an improvement is noted, and every other epoch is waited for.",
    more="With min_delta = 0.1, the losses 0.90, 0.84, 0.78 have one improvement after the first: 0.78, which is compared with 0.90.",
)
def needs_more_than_min_delta(ask, rng):
    """asks for a fall by more than min_delta below the best loss noted"""
    # Falls of 0.04: three add up to more than min_delta. The last loss before the tail is a rise,
    # and the tail falls.
    losses = rng.uniform(1.7, 2.5) - 0.04 * np.arange(12) - np.array([0.0] * 11 + [-0.07])
    tail = losses[-1] + np.linspace(0.3, 0.2, 6)
    quarters = rng.integers(3, 7) - np.array([0, 0.25, 0.75, 1, 0.75])  # exact in float32 too
    return {
        "falls of 0.04": ask(np.concatenate([losses, tail]), 4, 0.1),
        "falls of min_delta": ask(quarters, 2, 0.25),
    }


@early_stopping_epoch.check(
    hint="Start the best at infinity, so that the first epoch is always an improvement.",
    more="NumPy has np.inf, Python float('inf'). Any other start fails when all losses are larger.",
)
def starts_at_infinity(ask, rng):
    """works when every loss is far above 1"""
    return ask(1e6 * _run(rng, 1, 8), 3, 0.0)


@early_stopping_epoch.check(
    hint="When patience never runs out, all epochs are trained: return their number.",
    more="A loop that is never left by break ends with the last epoch: its number is len(losses).",
)
def reaches_the_end(ask, rng):
    """trains all epochs when patience never runs out, a single one included"""
    losses = _run(rng, 0.5, 2)
    return {"6 epochs": ask(losses, 3, 0.0), "a single epoch": ask(losses[:1], 1, 0.0)}


# --- best_epoch ------------------------------------------------------------------------------


def _as_it_is(epoch, weights, start):
    return epoch, weights[epoch - 1]


def _counted_from_start(epoch, weights, start):
    return (epoch - start if epoch > start else epoch), weights[epoch - 1]


def _best(losses, weights, min_delta, start_from_epoch, *, rule=_stop, unseen=len, gives=_as_it_is):
    """Return (epoch, its weights) that the rule restores, or a variant of it."""
    *_, kept = rule(losses[start_from_epoch:], np.inf, min_delta)
    epoch = start_from_epoch + kept if kept else unseen(losses)
    return gives(epoch, weights, start_from_epoch)


def _best_from(first):
    """Return the answer whose best value starts at a loss not looked at, in epoch `first` or -1."""

    def answer(losses, weights, min_delta, start):
        best, epoch = losses[0], first % (len(losses) + 1)
        for e in range(start, len(losses)):
            if losses[e] + min_delta < best:
                best, epoch = losses[e], e + 1
        return epoch, weights[epoch - 1]

    return answer


def _within_min_delta(losses, weights, min_delta, start):
    seen = losses[start:] if start < len(losses) else losses[-1:]
    epoch = len(losses) - len(seen) + 1 + np.argmax(seen <= seen.min() + min_delta)
    return epoch, weights[epoch - 1]


best_epoch = chapter.exercise(
    "best_epoch",
    _best,
    mistakes={
        "from-zero": vary(_best, gives=lambda epoch, w, start: (epoch - 1, w[epoch - 1])),
        "row-late": vary(_best, gives=lambda epoch, w, start: (epoch, w[epoch % len(w)])),
        "last-weights": vary(_best, gives=lambda epoch, w, start: (epoch, w[-1])),
        "last": vary(_best, rule=VARIANTS["starts-at-one"]),
        "highest": vary(_best, losses=lambda losses: -losses),
        "last-of-equals": vary(_best, rule=VARIANTS["equal-improves"]),
        "minimum": vary(_best, min_delta=0.0),
        "border": vary(_best, rule=partial(_stop, improves=_reaches)),
        "share": vary(_best, rule=partial(_stop, improves=_share)),
        "within-min-delta": _within_min_delta,
        "tracks-minimum": vary(_best, rule=VARIANTS["tracks-minimum"]),
        "not-infinite": [_best_from(1), _best_from(-1)],
        "no-start": vary(_best, start_from_epoch=0),
        "start-early": vary(_best, start_from_epoch=lambda start: max(start - 1, 0)),
        "start-late": vary(_best, start_from_epoch=lambda start: start + 1),
        "counts-from-start": vary(_best, gives=_counted_from_start),
        "never-looked": vary(_best, unseen=lambda losses: 1),
    },
    hints={
        "from-zero": "Your epoch counts from 0. The first epoch has number 1.",
        "row-late": "The weights are those of the next epoch: epoch e is row e - 1.",
        "last-weights": "You return the last weights. The weights of the best epoch come back.",
        "last": "You keep the last epoch. Is your best value below all losses from the start? It must start at infinity.",
        "highest": "You chose the highest loss. A loss is best when it is lowest.",
        "last-of-equals": "You keep the last of equal losses. An equal loss is no improvement.",
        "minimum": "You return the epoch of the lowest loss. With min_delta, a small further fall is no improvement and is not kept.",
        "border": "A fall by exactly min_delta is an improvement in your rule. It must be a fall by more.",
        "share": "You take min_delta for a share of the best loss. It is a difference, in nats.",
        "within-min-delta": "You look for a loss within min_delta of the lowest. Go through the epochs in order instead: each is compared with the best noted until then.",
        "tracks-minimum": "You update the best value at every new minimum. Then slow falls can never add up to an improvement.",
        "not-infinite": "Your best value is not infinite when the rule looks at its first epoch, number start_from_epoch + 1: a loss that does not count stands in it.",
        "no-start": "start_from_epoch has no effect in your rule.",
        "start-early": "You look at one epoch too many: with start_from_epoch = 3, epoch 4 is the first.",
        "start-late": "You skip one epoch too many: with start_from_epoch = 3, epoch 4 is the first.",
        "counts-from-start": "Your epoch counts from the first one looked at. Count from the first one trained.",
        "never-looked": "You return the first epoch. The rule has looked at none, so the last weights stay.",
    },
)


@best_epoch.check(
    points=2,
    hint="Without min_delta and with every epoch looked at, it is the epoch of the lowest loss.",
    more="np.argmin counts from 0, as rows do; epochs count from 1. The best value starts at infinity, since a loss may be large.",
)
def is_the_lowest_loss(ask, rng):
    """gives the epoch of the lowest loss, counted from 1, and its weights"""
    losses, weights = 1e6 + rng.uniform(4e5, 6e5, size=9), rng.normal(size=(9, 3))
    losses[rng.integers(3, 6)], losses[6] = 1e6, 1.7e6
    return ask(losses, weights, 0.0, 0)


@best_epoch.check(
    hint="Of several equally low losses the first is kept: an equal loss is no improvement.",
    more="Compare with <, so that a later equal loss does not replace the first.",
)
def keeps_the_first_of_equals(ask, rng):
    """keeps the first of equally low losses"""
    losses = np.array([1.0, 0.75, 0.5, 0.75, 0.5, 0.5, 0.625])
    return ask(losses, rng.normal(size=(7, 2)), 0.0, 0)


@best_epoch.check(
    points=2,
    hint="Only a loss more than min_delta below the best one noted is kept, even if a lower one exists.",
    more="With min_delta = 0.1, the losses 0.90, 0.84, 0.78, 0.74 give epoch 3: it lies 0.12 below the first, and 0.74 only 0.04 below it.",
)
def respects_min_delta(ask, rng):
    """keeps the last improvement by more than min_delta, not the minimum"""
    # The rule keeps epoch 6, the minimum is epoch 10, and epoch 4 is the first within 0.1 of it. A
    # share of a tenth of the best leads to epoch 7.
    falls = np.array([0, 0.3, 0.34, 0.38, 0.2, 0.43, 0.45, 0.1, 0.44, 0.46])
    quarters = rng.integers(3, 7) - np.array([0, 1, 1.25, 0.5])  # exact in float32 too
    return {
        "small falls": ask(rng.uniform(1, 1.04) - falls, rng.normal(size=(10, 2)), 0.1, 0),
        "falls of min_delta": ask(quarters, rng.normal(size=(4, 2)), 0.25, 0),
    }


@best_epoch.check(
    points=2,
    hint="The first start_from_epoch epochs do not count, however low their loss is.",
    more="With start_from_epoch = 3, epochs 1, 2 and 3 are not looked at: they may neither be kept nor enter the best value.",
    keeps_input=True,
)
def skips_the_first_epochs(ask, rng):
    """does not look at the first start_from_epoch epochs"""
    losses = np.array([0.2, 0.1, 0.3, 0.5, 0.7, 0.9, 0.6, 0.8]) + rng.uniform(0, 0.05, size=8)
    return ask(losses, rng.normal(size=(8, 2)), 0.0, 3)


@best_epoch.check(
    hint="When start_from_epoch is not smaller than the number of epochs, nothing is restored.",
    more="Your loop then finds no epoch: what should the epoch and the weights be before it starts? start_from_epoch may also exceed the number of epochs.",
)
def keeps_the_last_when_it_never_looked(ask, rng):
    """keeps the last epoch when it has looked at none"""
    losses = rng.uniform(0.3, 0.9, size=6)
    losses[2], losses[5] = 0.2, 1
    weights = rng.normal(size=(6, 2))
    return {f"start_from_epoch = {n}": ask(losses, weights, 0.0, n) for n in (6, 8)}


# --- resume_training -------------------------------------------------------------------------

NAMES, VELOCITIES = ("kernel", "bias"), ("kernel_velocity", "bias_velocity")


def _train(
    checkpoint, x, y, order, lr, momentum, *, steps=range, summed=False, velocity=lambda v, lr: v
):
    """Train a softmax classifier by the formulas from the checkpoint's step on."""
    w = {name: checkpoint[name] for name in NAMES}
    v = {name: checkpoint[f"{name}_velocity"] for name in NAMES}
    for t in steps(int(checkpoint["step"]), len(order)):
        rows = order[t]
        p = softmax(x[rows] @ w["kernel"] + w["bias"])
        d = (p - np.eye(p.shape[1])[y[rows]]) / (1 if summed else len(rows))
        gradients = {"kernel": x[rows].T @ d, "bias": d.sum(axis=0)}
        for name in NAMES:
            v[name] = momentum * v[name] + gradients[name]
            w[name] = w[name] - lr * v[name]
    returned = {f"{name}_velocity": velocity(v[name], lr) for name in NAMES}
    return w | returned | {"step": len(order)}


def _in_keras(velocity):
    """Return the answer that puts the velocities into Keras as they are."""

    def answer(checkpoint, x, y, order, lr, momentum):
        scaled = {name: checkpoint[name] / -lr for name in VELOCITIES}
        return _train(checkpoint | scaled, x, y, order, lr, momentum, velocity=velocity)

    return answer


def _steps_of_this_run(checkpoint, x, y, order, lr, momentum):
    end = _train(checkpoint, x, y, order, lr, momentum)
    return end | {"step": len(order) - checkpoint["step"]}


def _zeroed(*names):
    """Return a change that sets these parts of a checkpoint to zero."""
    return lambda checkpoint: checkpoint | {name: 0 * checkpoint[name] for name in names}


resume_training = chapter.exercise(
    "resume_training",
    _train,
    mistakes={
        "no-velocity": vary(_train, checkpoint=_zeroed(*VELOCITIES)),
        "kernel-velocity-only": vary(_train, checkpoint=_zeroed("bias_velocity")),
        "repeats-data": vary(_train, steps=lambda step, total: range(total - step)),
        "whole-order": vary(_train, steps=lambda step, total: range(total)),
        "skips-one": vary(_train, steps=lambda step, total: range(step + 1, total)),
        "repeats-one": vary(_train, steps=lambda step, total: range(step - 1, total)),
        "fresh-weights": vary(_train, checkpoint=_zeroed(*NAMES, *VELOCITIES)),
        "no-momentum": vary(_train, momentum=0.0),
        "keras-velocity": vary(_train, velocity=lambda v, lr: -lr * v),
        "raw-velocity": [_in_keras(lambda v, lr: v), _in_keras(lambda v, lr: -lr * v)],
        "empty-velocity": vary(_train, velocity=lambda v, lr: 0 * v),
        "summed-loss": vary(_train, summed=True),
        "unchanged-step": lambda saved, *rest: _train(saved, *rest) | {"step": saved["step"]},
        "steps-of-this-run": _steps_of_this_run,
    },
    hints={
        "fresh-weights": "Your run starts from new weights. Put back those of the checkpoint.",
        "no-velocity": "The velocities start at zero in your run. The checkpoint holds them: put them back.",
        "kernel-velocity-only": "The bias's velocity starts at zero in your run.",
        "whole-order": "You take all the steps of order again. Only those from the checkpoint's step on are missing.",
        "repeats-data": "Your run starts again with the first mini-batches. Go on with that of the checkpoint's step.",
        "skips-one": "You leave out one mini-batch: with step = 5, rows 0 to 4 of order are done and row 5 is next.",
        "repeats-one": "You take one step twice: with step = 5, row 4 of order is already done.",
        "no-momentum": "The momentum has no effect in your run: v must be momentum * v + g.",
        "keras-velocity": "You return Keras's velocity, which is -lr * v. Divide it by -lr.",
        "raw-velocity": "Keras keeps -lr * v. Put the velocities of the checkpoint in as that, and divide by -lr on the way out.",
        "changes its input": "The values are right, but your function changes an argument in place. `copy.deepcopy(checkpoint)` copies the arrays too, which `checkpoint.copy()` does not; `torch.tensor` copies an array, which `torch.from_numpy` does not.",
        "empty-velocity": "The velocities that you return are zero. Return those after the last step.",
        "summed-loss": "Your loss is a sum over the mini-batch. Take the mean.",
        "unchanged-step": "The step in your result is that of the old checkpoint. It must count the new steps too.",
        "steps-of-this-run": "The step in your result counts only the steps since the crash. Count all of them.",
    },
)


def _crashed(rng, before, after, *, batch=8, classes=3):
    """Draw a run with `before` steps done and `after` to come; return (checkpoint, arguments)."""
    x, y = rng.normal(size=(24, 4)), rng.integers(0, classes, size=24)
    order = np.stack([rng.permutation(24)[:batch] for _ in range(before + after)])
    start = {
        "kernel": rng.normal(size=(4, classes)),
        "bias": rng.normal(size=classes),
        "kernel_velocity": np.zeros((4, classes)),
        "bias_velocity": np.zeros(classes),
        "step": 0,
    }
    lr, momentum = rng.uniform(0.3, 0.5), rng.uniform(0.7, 0.9)
    return _train(start, x, y, order[:before], lr, momentum), (x, y, order, lr, momentum)


@resume_training.check(
    points=3,
    hint="Put weights and velocities back, and go on with the mini-batch of the checkpoint's step.",
    more="With step = 5, rows 0 to 4 of order are done. The velocities of the checkpoint must stand in the optimizer before its first step.",
)
def equals_a_run_without_a_crash(ask, rng):
    """ends with the weights and velocities of a run that never crashed"""
    saved, rest = _crashed(rng, before=4, after=6)
    return ask(saved, *rest)


def _form(checkpoint):
    """Return the shape of each part of a checkpoint."""
    parts = checkpoint.items() if isinstance(checkpoint, dict) else ()
    return {name: np.shape(value) for name, value in parts}


@resume_training.check(
    points=2,
    hint="A checkpoint that your function returns must be good enough to resume from again.",
    more="Return the velocities and the step after the last step, not those of the old checkpoint.",
    keeps_input=True,
)
def can_resume_twice(ask, rng):
    """gives the same end when the run crashes a second time"""
    saved, (x, y, order, lr, momentum) = _crashed(rng, before=3, after=6, batch=5, classes=4)
    second = ask(saved, x, y, order[:6], lr, momentum)
    usable = _form(second) == _form(saved)  # else the answer would fail on its own result
    end = ask(second, x, y, order, lr, momentum) if usable else second
    return {"at the second crash": second, "at the end": end}


@resume_training.check(
    hint="When the checkpoint is already at the end, there is nothing to do.",
    more="No row of order is then left: the weights, the velocities and the step stay as they are.",
)
def takes_no_step_at_the_end(ask, rng):
    """changes nothing when all steps are done"""
    done, rest = _crashed(rng, before=4, after=0)
    return ask(done, *rest)


# --- repair_early_stopping -------------------------------------------------------------------


def _repair(
    val_loss,
    penalty,
    weights,
    patience,
    *,
    rule=_stop,
    gives=lambda epoch, kept, w: (epoch, w[kept - 1]),
):
    """Return (epochs trained, weights restored) of the repaired loop, or of a variant of it."""
    epoch, _, kept = rule(val_loss - penalty, patience)
    return gives(epoch, kept, weights)


def _only_at_a_stop(epoch, kept, weights):
    return epoch, weights[-1 if epoch == len(weights) else kept - 1]


def _restored_by(choose):
    """Return the answer that stops by the rule and restores the epoch that `choose` gives."""

    def answer(val_loss, penalty, weights, patience):
        epoch, _ = _repair(val_loss, penalty, weights, patience)
        return epoch, weights[choose(val_loss, penalty, epoch)]

    return answer


def _best_then_patience(val_loss, penalty, weights, patience):
    best = np.argmin(val_loss - penalty)
    return min(best + 1 + patience, len(val_loss)), weights[best]


def _last_of_equals(val_loss, penalty, epoch):
    return epoch - 1 - np.argmin((val_loss - penalty)[:epoch][::-1])


repair_early_stopping = chapter.exercise(
    "repair_early_stopping",
    _repair,
    mistakes={
        "last-weights": vary(_repair, gives=lambda epoch, kept, w: (epoch, w[epoch - 1])),
        "only-at-a-stop": vary(_repair, gives=_only_at_a_stop),
        "penalised": vary(_repair, penalty=0.0),
        "from-zero": vary(_repair, gives=lambda epoch, kept, w: (epoch - 1, w[kept - 1])),
        "one-late": vary(_repair, rule=VARIANTS["one-late"]),
        "one-early": vary(_repair, rule=VARIANTS["one-early"]),
        "counts-rises": [
            vary(_repair, rule=VARIANTS["rises"]),
            vary(_repair, rule=VARIANTS["rises-in-a-row"]),
            vary(
                _repair,
                rule=partial(_stop, count=lambda wait, loss, prev: (wait + 1) * (loss >= prev)),
            ),
        ],
        "starts-at-one": vary(_repair, rule=VARIANTS["starts-at-one"]),
        "starts-at-first": [vary(_repair, rule=_stop_from(first)) for first in (0, 1)],
        "looks-ahead": [
            _restored_by(lambda val_loss, penalty, epoch: np.argmin(val_loss - penalty)),
            _best_then_patience,
        ],
        "restores-penalised": [
            _restored_by(lambda val_loss, penalty, epoch: np.argmin(val_loss[:epoch])),
            _restored_by(lambda val_loss, penalty, epoch: np.argmin(val_loss)),
        ],
        "last-of-equals": _restored_by(_last_of_equals),
        "adds-penalty": vary(_repair, penalty=lambda penalty: -penalty),
        "row-late": vary(_repair, gives=lambda epoch, kept, w: (epoch, w[kept % len(w)])),
        "no-reset": vary(_repair, rule=VARIANTS["no-reset"]),
        "equal-improves": vary(_repair, rule=VARIANTS["equal-improves"]),
        "no-stop": vary(_repair, patience=np.inf),
    },
    hints={
        "last-weights": "You return the weights of the last epoch. Return those of the best one.",
        "only-at-a-stop": "You restore only when the rule has stopped. The best weights come back at the end in any case.",
        "penalised": "You monitor the penalised loss. Subtract the penalty first.",
        "from-zero": "The number of epochs is one too small: epochs count from 1.",
        "looks-ahead": "You take the lowest cross-entropy of all epochs. Those after the stop are never trained.",
        "restores-penalised": "It stops right, but you restore the epoch of the lowest penalised loss. Take that of the lowest cross-entropy.",
        "last-of-equals": "Of equally low epochs you restore the last. The first of them is the best.",
        "adds-penalty": "You add the penalty, which val_loss already holds. Subtract it.",
        "no-stop": "Your loop never stops. Stop when `patience` epochs in a row have brought no improvement.",
        "one-late": "You stop one epoch late: stop when the count reaches the patience.",
        "one-early": "You stop one epoch early: the best epoch itself is not one without improvement.",
        "no-reset": "Your count is never set back. An improvement sets it to 0.",
        "counts-rises": "You count rises. Count epochs that bring no new best: a loss that falls slowly and stays above the best is neither a rise nor an improvement.",
        "starts-at-one": "Your best value starts at 1, so no loss above 1 ever improves on it. Start at infinity.",
        "starts-at-first": "Your best value starts at the first loss. Then the first epoch is none of improvement and is waited for. Start at infinity.",
        "row-late": "The weights are those of the epoch after the best: epoch e is row e - 1.",
        "equal-improves": "An equal loss is not counted as an epoch without improvement in your loop. It is one: only a lower loss is an improvement.",
    },
)


@repair_early_stopping.check(
    points=3,
    hint="Check the parts in turn: the start of best, what is monitored, what is counted, when it stops, and both values that are returned.",
    more="Trace it by hand with a loss that rises once and then falls slowly, and patience 2. What should `rises` count, and which epoch's number and weights come back?",
)
def stops_and_restores(ask, rng):
    """stops by the cross-entropy, and returns the weights of its best epoch"""
    # The cross-entropy (far above 1) is lowest in epoch 7, the penalised loss in epoch 3. After
    # epoch 7 it jumps up once and then falls slowly: no rise, and no improvement either. After the
    # stop come rises in a row.
    falls = [0, 0.13, 0.2, 0.15, 0.16, 0.17, 0.3, 0.1, 0.14, 0.12, 0.16, 0.18, 0.14, 0.2]
    entropy = rng.uniform(2, 3) - np.array([*falls, 0.18, 0.17, 0.15, 0.12, 0.21])
    penalty = 0.2 + 0.05 * np.arange(19) + rng.uniform(0, 0.005, size=19)
    return ask(1e4 * (entropy + penalty), 1e4 * penalty, rng.normal(size=(19, 3)), 4)


@repair_early_stopping.check(
    points=2,
    hint="Count the epochs in a row that bring no new best, equal losses included. An improvement sets the count back to 0.",
    more="Compare the number of the epoch with that of the best epoch; then there is no counter to set back.",
    keeps_input=True,
)
def waits_anew_after_an_improvement(ask, rng):
    """starts to wait anew after each improvement, and counts equal losses"""
    falls = np.array([0, 1, 0, 0, 2, 2, 1, 3, 3, 3, 2, 4, 3, 3, 2, 5])
    penalty = rng.integers(1, 8) / 64 + np.arange(16) * 3 / 32  # exact sums, so that ties are ties
    weights = rng.normal(size=(16, 2))
    return {
        "several improvements": ask(1.5 - falls / 8 + penalty, penalty, weights, 3),
        "lowest at the start": ask(0.5 + falls / 8 + penalty, penalty, weights, 2),
    }


@repair_early_stopping.check(
    hint="When patience never runs out, all epochs are trained, and the best weights still come back.",
    more="Restore after the loop, whether or not it was left by break.",
)
def restores_without_a_stop(ask, rng):
    """restores the best weights also when patience never runs out"""
    entropy = np.array([0.9, 0.8, 0.6, 0.7, 0.65, 0.75]) + rng.uniform(0, 0.02, size=6)
    penalty = rng.uniform(0.1, 0.2) + np.array([0, 0, 3, 3, 3, 3]) / 1000
    return ask(entropy / 100 + penalty, penalty, rng.normal(size=(6, 2)), 10)
