"""The conversion rules of the lesson on learning-rate schedules, proved in float64.

Keras's schedules compute in the type of their first rate, so the rates here are NumPy's float64
numbers; its other Python floats pass through float32 and are powers of two.
"""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from regbook.pairs import batches, largest_difference, set_weights

PEAK, STEPS, LONGER = np.float64(2**-3), 64, 80
EXACT, DIFFERENT = 1e-12, 1e-3
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 6)), RNG.integers(0, 3, size=40)
START = [RNG.normal(scale=0.5, size=shape) for shape in [(6, 5), (5,), (5, 3), (3,)]]
schedules = keras.optimizers.schedules

pytestmark = pytest.mark.usefixtures("float64")


def rates_keras(schedule, n=LONGER):
    return np.array([float(schedule(np.float64(t))) for t in range(n)])


def rates_torch(make, n=LONGER, lr=PEAK):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=float(lr))
    scheduler, seen = make(optimizer), []
    for _ in range(n):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(seen)


def multiple(function):
    """Make a scheduler of a function that returns the rate as a multiple of the peak."""
    return lambda optimizer: lr_scheduler.LambdaLR(optimizer, function)


def half_wave(t, total=STEPS, floor=0.0):
    return floor + (1 - floor) * (1 + np.cos(np.pi * min(t / total, 1))) / 2


def gap(ours, theirs):
    return float(np.abs(ours - theirs).max())


def test_boundaries_belong_to_the_old_rate(convention):
    ours = rates_keras(schedules.PiecewiseConstantDecay([31.0, 47.0], [PEAK, PEAK / 2, PEAK / 4]))
    right = rates_torch(lambda o: lr_scheduler.MultiStepLR(o, [32, 48], gamma=0.5))
    naive = rates_torch(lambda o: lr_scheduler.MultiStepLR(o, [31, 47], gamma=0.5))
    convention(
        "step at which a rate changes",
        keras="`boundaries` of `PiecewiseConstantDecay`: the last step of the old rate",
        torch="`milestones` of `MultiStepLR`: the first step of the new rate",
        rule="milestone = boundary + 1",
        agreement=gap(ours, right),
        naive=gap(ours, naive),
    )


def test_decay_rate_belongs_to_all_steps_together(convention):
    ours = rates_keras(schedules.ExponentialDecay(PEAK, decay_steps=32, decay_rate=0.25))
    right = rates_torch(lambda o: lr_scheduler.ExponentialLR(o, gamma=0.25 ** (1 / 32)))
    naive = rates_torch(lambda o: lr_scheduler.ExponentialLR(o, gamma=0.25))
    convention(
        "factor of an exponential decay",
        keras="`decay_rate`: what is left after `decay_steps` steps",
        torch="`gamma`: multiplies in every step",
        rule="`gamma = decay_rate ** (1 / decay_steps)`",
        agreement=gap(ours, right),
        naive=gap(ours, naive),
    )
    stairs = schedules.ExponentialDecay(PEAK, decay_steps=32, decay_rate=0.25, staircase=True)
    theirs = rates_torch(lambda o: lr_scheduler.StepLR(o, 32, gamma=0.25))
    assert gap(rates_keras(stairs), theirs) < EXACT
    assert gap(ours, theirs) > DIFFERENT


def test_a_cosine_that_stays_down(convention):
    ours = rates_keras(schedules.CosineDecay(PEAK, decay_steps=STEPS))
    annealing = rates_torch(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=STEPS))
    assert gap(ours[:STEPS], annealing[:STEPS]) < EXACT
    convention(
        "cosine schedule after its end",
        keras="`CosineDecay` stays at its floor",
        torch="`CosineAnnealingLR` rises again after `T_max`",
        rule="`LambdaLR` with `min(step / total, 1)` in the cosine",
        agreement=gap(ours, rates_torch(multiple(half_wave))),
        naive=gap(ours, annealing),
    )


def test_the_floor_of_a_cosine(convention):
    ours = rates_keras(schedules.CosineDecay(PEAK, decay_steps=STEPS, alpha=2**-2), n=STEPS)
    right, naive = (
        rates_torch(lambda o, low=low: lr_scheduler.CosineAnnealingLR(o, STEPS, low), n=STEPS)
        for low in (2**-2 * PEAK, 2**-2)
    )
    convention(
        "floor of a cosine",
        keras="`alpha`: a fraction of the largest rate",
        torch="`eta_min`: a rate",
        rule="`eta_min = alpha * rate`",
        agreement=gap(ours, right),
        naive=gap(ours, naive),
    )


def test_warm_up(convention):
    ours = rates_keras(
        schedules.CosineDecay(
            np.float64(0), decay_steps=48, warmup_target=float(PEAK), warmup_steps=16
        )
    )
    right = rates_torch(multiple(lambda t: t / 16 if t < 16 else half_wave(t - 16, 48)))

    def chain(o):
        warm, fall = lr_scheduler.LinearLR(o, total_iters=16), multiple(lambda t: half_wave(t, 48))
        return lr_scheduler.SequentialLR(o, [warm, fall(o)], [16])

    convention(
        "linear warm-up",
        keras="`warmup_steps` of `CosineDecay`: from `initial_learning_rate`, usually 0; "
        "`decay_steps` begins after it",
        torch="`LinearLR`: from a third of the rate, unless `start_factor` says otherwise",
        rule="`LambdaLR` with `step / warmup_steps` before the cosine",
        agreement=gap(ours, right),
        naive=gap(ours, rates_torch(chain)),
    )


def test_polynomial_and_inverse_time(convention):
    power = {"decay_steps": STEPS, "power": 2.0}
    ours = rates_keras(schedules.PolynomialDecay(PEAK, end_learning_rate=2**-6, **power))
    scale = 1 - 2**-6 / PEAK
    shifted = multiple(lambda t: 1 - scale + scale * (1 - min(t / STEPS, 1)) ** 2)
    theirs = rates_torch(lambda o: lr_scheduler.PolynomialLR(o, STEPS, power=2.0))
    convention(
        "end of a polynomial decay",
        keras="`end_learning_rate` of `PolynomialDecay`, 0.0001 by default",
        torch="`PolynomialLR` always ends at 0",
        rule="`end_learning_rate=0`, or `LambdaLR` with the shifted polynomial",
        agreement=max(
            gap(ours, rates_torch(shifted)),
            gap(
                rates_keras(schedules.PolynomialDecay(PEAK, end_learning_rate=0.0, **power)), theirs
            ),
        ),
        naive=gap(ours, theirs),
    )
    inverse = rates_keras(schedules.InverseTimeDecay(PEAK, decay_steps=16, decay_rate=0.5))
    assert gap(inverse, rates_torch(multiple(lambda t: 1 / (1 + 0.5 * t / 16)))) < EXACT


def test_warm_restarts(convention):
    steps = [t for t in range(LONGER) if t not in (16, 48)]  # at a restart rounding decides
    ours = rates_keras(schedules.CosineDecayRestarts(PEAK, first_decay_steps=16))
    right, naive = (
        rates_torch(
            lambda o, grow=grow: lr_scheduler.CosineAnnealingWarmRestarts(o, 16, T_mult=grow)
        )
        for grow in (2, 1)
    )
    convention(
        "length of the cycles of a cosine with restarts",
        keras="`t_mul` of `CosineDecayRestarts`, 2 by default",
        torch="`T_mult` of `CosineAnnealingWarmRestarts`, 1 by default",
        rule="`T_mult = t_mul`, said explicitly",
        agreement=gap(ours[steps], right[steps]),
        naive=gap(ours[steps], naive[steps]),
    )


class OneCycle(schedules.LearningRateSchedule):
    """The class of the lesson, in the type of the step."""

    def __init__(self, max_lr, total_steps):
        self.max_lr, self.total_steps = max_lr, total_steps

    def __call__(self, step):
        step = keras.ops.cast(step, keras.config.floatx())
        first, top = self.max_lr / 25, 0.3 * self.total_steps - 1

        def anneal(start, end, share):
            return end + (start - end) / 2 * (1 + keras.ops.cos(np.pi * share))

        return keras.ops.where(
            step <= top,
            anneal(first, self.max_lr, step / top),
            anneal(self.max_lr, first / 1e4, (step - top) / (self.total_steps - 1 - top)),
        )


def one_cycle_run(**options):
    """Train 20 steps with momentum 0.5 at the start; return the model."""
    model = network_torch()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.5)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=21, **options)
    return train_torch(model, optimizer, scheduler)


def test_one_cycle(convention, solution):
    ours = rates_keras(OneCycle(PEAK, STEPS), n=STEPS - 1)
    theirs = rates_torch(
        lambda o: lr_scheduler.OneCycleLR(o, PEAK, total_steps=STEPS, cycle_momentum=False),
        n=STEPS - 1,
    )
    exercise = [solution("one_cycle")(t, STEPS, PEAK, 0.3, 25, 1e4) for t in range(STEPS - 1)]
    assert gap(np.array(exercise), theirs) < EXACT
    fixed = one_cycle_run(cycle_momentum=True, base_momentum=0.5, max_momentum=0.5)
    convention(
        "1cycle",
        keras="no class; a `LearningRateSchedule` of ten lines changes the rate alone",
        torch="`OneCycleLR` also moves the momentum between 0.85 and 0.95",
        rule="`cycle_momentum=False`",
        agreement=max(
            gap(ours, theirs), largest_difference(fixed, one_cycle_run(cycle_momentum=False))
        ),
        naive=largest_difference(fixed, one_cycle_run()),
    )


def test_cosine_of_the_exercise_is_that_of_keras(solution):
    schedule = schedules.CosineDecay(
        np.float64(0), decay_steps=48, alpha=2**-2, warmup_target=float(PEAK), warmup_steps=16
    )
    rates = [solution("cosine_lr")(t, STEPS, PEAK, 16, 2**-2 * PEAK) for t in range(LONGER)]
    assert gap(rates_keras(schedule), np.array(rates)) < EXACT


def plateau_keras(losses, **options):
    callback = keras.callbacks.ReduceLROnPlateau(**options)
    optimizer = SimpleNamespace(learning_rate=0.5)
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    callback.on_train_begin()
    rates = []
    for epoch, loss in enumerate(losses):
        rates.append(optimizer.learning_rate)
        callback.on_epoch_end(epoch, {"val_loss": loss})
    return rates


def plateau_torch(losses, **options):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, eps=0, **options)
    rates = []
    for loss in losses:
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(loss)
    return rates


def plateau_case(rng):
    losses = rng.integers(0, 33, size=rng.integers(5, 40)) / 16
    options = {
        "factor": 2.0 ** -rng.integers(1, 4),
        "patience": int(rng.integers(1, 6)),
        "min_delta": rng.integers(0, 4) / 16,
        "cooldown": int(rng.integers(0, 4)),
        "min_lr": 2.0 ** -rng.integers(4, 10),
    }
    return losses.tolist(), options


def translated(options, **other):
    """Return Keras's options in PyTorch's terms."""
    options = dict(options)
    delta = options.pop("min_delta")
    options["patience"] -= 1
    options["cooldown"] = max(options["cooldown"] - 1, 0)
    return options | {"threshold": delta, "threshold_mode": "abs"} | other


def test_reduce_on_plateau(convention, solution):
    rng = np.random.default_rng(1)
    cases = [plateau_case(rng) for _ in range(300)]
    ours = np.concatenate([plateau_keras(losses, **options) for losses, options in cases])

    def theirs(change):
        return np.concatenate(
            [plateau_torch(losses, **translated(o, **change(o))) for losses, o in cases]
        )

    exercise = [
        solution("reduce_on_plateau")(losses, lr=0.5, **options) for losses, options in cases
    ]
    assert gap(ours, np.concatenate(exercise)) == 0
    right = gap(ours, theirs(lambda o: {}))
    convention(
        "patience of reduce-on-plateau",
        keras="reduces when `patience` epochs have passed without improvement",
        torch="reduces when more than `patience` have",
        rule="subtract 1 for PyTorch",
        agreement=right,
        naive=gap(ours, theirs(lambda o: {"patience": o["patience"]})),
    )
    convention(
        "cooldown of reduce-on-plateau",
        keras="the last epoch of the cooldown is counted again",
        torch="all epochs of the cooldown go uncounted",
        rule="subtract 1 for PyTorch, but stay at 0",
        agreement=right,
        naive=gap(ours, theirs(lambda o: {"cooldown": o["cooldown"]})),
    )
    convention(
        "smallest improvement in reduce-on-plateau",
        keras="`min_delta`: absolute",
        torch="`threshold`: relative to the best value, by default",
        rule='`threshold=min_delta, threshold_mode="abs"`',
        agreement=right,
        naive=gap(ours, theirs(lambda o: {"threshold_mode": "rel"})),
    )


def network_torch():
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    set_weights(model, START)
    return model


def train_keras(optimizer, before_step=lambda optimizer, step: None):
    dense = keras.layers.Dense
    model = keras.Sequential([keras.Input((6,)), dense(5, "tanh"), dense(3)])
    set_weights(model, START)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, run_eagerly=True)
    optimizer.build(model.trainable_variables)
    for step, rows in enumerate(batches(len(Y), 10, epochs=5, seed=0)):
        before_step(optimizer, step)
        model.train_on_batch(X[rows], Y[rows])
    return model


def train_torch(model, optimizer, scheduler, convert=False):
    for rows in batches(len(Y), 10, epochs=5, seed=0):
        optimizer.zero_grad()
        logits = model(torch.from_numpy(X[rows]))
        nn.functional.cross_entropy(logits, torch.from_numpy(Y[rows])).backward()
        optimizer.step()
        old = optimizer.param_groups[0]["lr"]
        scheduler.step()
        for state in optimizer.state.values() if convert else ():
            state["momentum_buffer"] *= old / optimizer.param_groups[0]["lr"]
    return model


FALLING = [2.0 ** -(1 + t // 5) for t in range(21)]  # 20 steps: 1/2, 1/4, 1/8, 1/16


def scheduled_keras(**options):
    values = [np.float64(2.0**-k) for k in (1, 2, 3, 4)]
    rate = schedules.PiecewiseConstantDecay([4.0, 9.0, 14.0], values)
    return keras.optimizers.SGD(rate, **options)


def scheduled_torch(convert=False, **options):
    model = network_torch()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, **options)
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda t: FALLING[t])
    return train_torch(model, optimizer, scheduler, convert)


def test_equal_rates_give_equal_weights_without_momentum():
    assert largest_difference(train_keras(scheduled_keras()), scheduled_torch()) < EXACT


def test_momentum_under_a_changing_rate(convention):
    ours = train_keras(scheduled_keras(momentum=0.5))
    convention(
        "velocity while the rate changes",
        keras="holds the rate: `v = momentum * v - lr * g`",
        torch="does not: `v = momentum * v + g`",
        rule="after a change multiply PyTorch's buffer by the old rate over the new one",
        agreement=largest_difference(ours, scheduled_torch(momentum=0.5, convert=True)),
        naive=largest_difference(ours, scheduled_torch(momentum=0.5)),
    )


def test_the_other_way_round():
    """Keras takes PyTorch's steps when its velocity is multiplied by the new rate over the old."""
    optimizer = keras.optimizers.SGD(FALLING[0], momentum=0.5)

    def change(optimizer, step):
        if step:
            for velocity in optimizer.momentums:
                velocity.assign(velocity * FALLING[step] / FALLING[step - 1])
        optimizer.learning_rate = FALLING[step]

    ours = train_keras(optimizer, change)
    assert largest_difference(ours, scheduled_torch(momentum=0.5)) < EXACT


def test_at_a_constant_rate_the_two_velocities_are_one_method():
    ours = train_keras(keras.optimizers.SGD(0.25, momentum=0.5))
    model = network_torch()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25, momentum=0.5)
    constant = lr_scheduler.LambdaLR(optimizer, lambda t: 1.0)
    assert largest_difference(ours, train_torch(model, optimizer, constant)) < EXACT


def test_the_decay_of_adamw_follows_the_schedule_in_both():
    rate = schedules.PiecewiseConstantDecay([4.0], [np.float64(0.5), np.float64(0.25)])
    ours, adamw = (
        keras.Variable([1.0], dtype="float64"),
        keras.optimizers.AdamW(rate, weight_decay=0.125),
    )
    theirs = torch.ones(1, requires_grad=True)
    theirs.grad = torch.zeros(1)
    optimizer = torch.optim.AdamW([theirs], lr=0.5, weight_decay=0.125)
    scheduler = lr_scheduler.MultiStepLR(optimizer, [5], gamma=0.5)
    for _ in range(10):
        adamw.apply([keras.ops.zeros((1,))], [ours])
        optimizer.step()
        scheduler.step()
    assert largest_difference(ours, theirs) < EXACT
    assert abs(theirs.item() - (1 - 2**-4) ** 5 * (1 - 2**-5) ** 5) < EXACT
