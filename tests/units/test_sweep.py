"""Training many seeds at once is training each of them, and a reset model is a new one."""

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regbook.pairs import batches
from regbook.sweep import (
    BestEpoch,
    by_seed,
    chosen_on_dev,
    progress,
    reset,
    sweep,
    train_seeds,
)

SEEDS, ROWS, EPOCHS, BATCH = 3, 22, 2, 8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(SEEDS, ROWS, 4)).astype(np.float32)
Y = RNG.integers(0, 3, size=(SEEDS, ROWS))


def network():
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def normed():  # no bias before batch norm: its gradient is rounding noise, which Adam amplifies
    return nn.Sequential(nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.widen, self.inner, self.head = (
            nn.Linear(4, 6),
            nn.Linear(6, 6),
            nn.Linear(6, 3),
        )

    def forward(self, x):
        h = self.widen(x)
        return self.head(h + torch.tanh(self.inner(h)))


def dropping():
    return nn.Sequential(nn.Linear(4, 64), nn.Dropout(0.5), nn.Linear(64, 3))


def loss(model, x, y):
    penalty = sum((p**2).sum() for name, p in model.named_parameters() if name.endswith("weight"))
    return F.cross_entropy(model(x), y) + 0.01 * penalty


def adam(named):
    return torch.optim.Adam([p for _, p in named], lr=0.05)


def decayed(named):
    return torch.optim.AdamW(
        [{"params": [p], "weight_decay": 0.5 * n.endswith("weight")} for n, p in named],
        lr=0.05,
    )


def momentum(named):
    return torch.optim.SGD([p for _, p in named], lr=0.1, momentum=0.9)


def train(build=network, optimizer=adam, **options):
    return train_seeds(
        build,
        loss,
        X,
        Y,
        optimizer=optimizer,
        epochs=EPOCHS,
        batch_size=BATCH,
        **options,
    )


def plain_loop(build, optimizer, seed):
    """Train one seed's model as every PyTorch tutorial does."""
    torch.manual_seed(seed)
    model = build()
    stepper = optimizer(list(model.named_parameters()))
    for rows in batches(ROWS, BATCH, EPOCHS, seed):
        stepper.zero_grad()
        loss(model, torch.from_numpy(X[seed][rows]), torch.from_numpy(Y[seed][rows])).backward()
        stepper.step()
    return model


@pytest.mark.parametrize(
    ("build", "optimizer"),
    [
        (network, adam),
        (network, decayed),
        (network, momentum),
        (normed, adam),
        (Residual, adam),
    ],
)
def test_seeds_trained_together_equal_a_plain_loop_each(build, optimizer):
    runs = train(build, optimizer)
    outputs = runs.predict(X)
    for seed in range(SEEDS):
        model = plain_loop(build, optimizer, seed)
        stacked = {**runs.parameters, **runs.buffers}
        assert stacked.keys() == model.state_dict().keys()
        for name, value in model.state_dict().items():
            torch.testing.assert_close(stacked[name][seed], value, atol=1e-5, rtol=1e-5)
        alone = model.eval()(torch.from_numpy(X[seed])).detach().numpy()
        np.testing.assert_allclose(outputs[seed], alone, atol=1e-5)


def stepper(kind, lr):
    """Return a function that makes an optimizer of this kind and rate."""
    options = {
        "SGD": (torch.optim.SGD, {}),
        "momentum": (torch.optim.SGD, {"momentum": 0.9}),
        "Nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        "Adam": (torch.optim.Adam, {}),
        "AdamW": (torch.optim.AdamW, {"weight_decay": 0.5}),
    }
    cls, given = options[kind]
    return lambda named: cls([p for _, p in named], lr=lr, **given)


def strong(model, x, y, strength):
    return F.cross_entropy(model(x), y) + strength * sum((p**2).sum() for p in model.parameters())


@pytest.mark.parametrize("build", [network, normed])
@pytest.mark.parametrize("kind", ["SGD", "momentum", "Nesterov", "Adam", "AdamW"])
def test_settings_side_by_side_equal_one_run_each(build, kind):
    seeds, rates, strengths = [0, 2, 0, 2, 1], [0.003, 0.1, 0.05, 0.02, 0.1], [0, 0.1, 1, 0, 0.03]
    together = train_seeds(
        build,
        strong,
        X[seeds],
        Y[seeds],
        optimizer=stepper(kind, 1),
        epochs=EPOCHS,
        batch_size=BATCH,
        seeds=seeds,
        rates=rates,
        strengths=strengths,
    )
    for run, seed in enumerate(seeds):
        alone = train_seeds(
            build,
            lambda model, x, y, strength=strengths[run]: strong(model, x, y, strength),
            X[seed][None],
            Y[seed][None],
            optimizer=stepper(kind, rates[run]),
            epochs=EPOCHS,
            batch_size=BATCH,
            seeds=[seed],
        )
        for name, value in {**alone.parameters, **alone.buffers}.items():
            found = {**together.parameters, **together.buffers}[name][run]
            torch.testing.assert_close(found, value[0], atol=1e-5, rtol=1e-4)


def test_rates_follow_a_schedule_of_the_optimizer():
    def halved(lr):
        def make(named):
            optimizer = torch.optim.SGD([p for _, p in named], lr=lr)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 ** (step + 1))
            optimizer.register_step_post_hook(lambda *_: schedule.step())
            return optimizer

        return make

    together = train(network, halved(1), rates=[0.1] * SEEDS).parameters
    alone = train(network, halved(0.1)).parameters
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, atol=1e-6, rtol=1e-5)


def test_a_rate_of_zero_changes_no_weight_and_one_takes_the_full_step():
    runs = train(network, stepper("SGD", 1), rates=[0, 1, 0]).parameters
    start = train_seeds(network, loss, X, Y, optimizer=adam, epochs=0).parameters
    full = train(network, stepper("SGD", 1)).parameters
    for name, value in runs.items():
        torch.testing.assert_close(value[[0, 2]], start[name][[0, 2]], atol=0, rtol=0)
        torch.testing.assert_close(value[1], full[name][1], atol=0, rtol=0)


def test_runs_of_one_seed_start_alike_and_see_equal_batches():
    seeds = [1, 1, 0]
    runs = train_seeds(
        network, loss, X[seeds], Y[seeds], optimizer=adam, epochs=2, batch_size=8, seeds=seeds
    ).parameters
    for value in runs.values():
        torch.testing.assert_close(value[0], value[1], atol=0, rtol=0)
        assert (value[0] != value[2]).any()


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * (SEEDS + 1), 1.0, np.ones((SEEDS, 1))])
@pytest.mark.parametrize("name", ["seeds", "rates", "strengths"])
def test_what_is_given_per_run_has_one_value_for_each(name, values):
    with pytest.raises(ValueError, match=f"{name}: expected one for each of {SEEDS} runs"):
        train(network, stepper("SGD", 1), **{name: values})


def test_rates_are_not_multiplied_with_another_one():
    with pytest.raises(ValueError, match=r"give the optimizer the learning rate 1, not \[0.05\]"):
        train(network, adam, rates=[0.1] * SEEDS)


def test_best_epoch_keeps_each_run_as_it_was_when_dev_was_highest():
    """Against copies of every epoch; the first of equal ones, weights and statistics alike."""
    dev_x, dev_y = X[:, :10], Y[:, :10]
    best, epochs = BestEpoch(dev_x, dev_y), []

    def record(epoch, runs):
        best(epoch, runs)
        state = {**runs.parameters, **runs.buffers}
        copies = {name: value.detach().clone() for name, value in state.items()}
        epochs.append((runs.accuracy(dev_x, dev_y), copies))
        np.testing.assert_array_equal(best.outputs, runs.predict(dev_x))

    train_seeds(normed, loss, X, Y, optimizer=adam, epochs=12, batch_size=BATCH, after_epoch=record)
    scores = np.array([accuracy for accuracy, _ in epochs])
    first = scores.argmax(axis=0)
    assert len(set(first)) > 1 and first.min() < 11  # or this test would show little
    np.testing.assert_array_equal(best.dev, scores.max(axis=0))
    for name, kept in {**best.runs.parameters, **best.runs.buffers}.items():
        for run, epoch in enumerate(first):
            torch.testing.assert_close(kept[run], epochs[epoch][1][name][run], atol=0, rtol=0)
    np.testing.assert_array_equal(best.runs.accuracy(dev_x, dev_y), best.dev)


def test_seeds_start_from_different_weights():
    kernels = train_seeds(network, loss, X, Y, optimizer=adam, epochs=0).parameters["0.weight"]
    assert (kernels[0] != kernels[1]).any()


@pytest.mark.parametrize("training", [False, True])
def test_predict_changes_no_statistic_and_no_weight(training):
    runs = train(normed)
    before = {k: v.detach().clone() for k, v in {**runs.parameters, **runs.buffers}.items()}
    runs.predict(X, training=training)
    for name, value in {**runs.parameters, **runs.buffers}.items():
        torch.testing.assert_close(value, before[name], atol=0, rtol=0)


def test_predict_drops_units_only_in_training_mode():
    runs = train(dropping)
    np.testing.assert_array_equal(runs.predict(X), runs.predict(X))
    same_rows = np.repeat(X[:1, :1], SEEDS, axis=0)
    noisy = runs.predict(np.repeat(same_rows, 50, axis=1), training=True)
    assert (noisy.std(axis=1) > 0).all()


def test_training_mode_uses_the_statistics_of_the_batch():
    runs = train(normed)
    x = torch.from_numpy(X[1])
    model = plain_loop(normed, adam, 1)
    expected = model.train()(x).detach().numpy()
    np.testing.assert_allclose(runs.predict(X, training=True)[1], expected, atol=1e-5)


def test_accuracy_is_in_percent_per_seed():
    runs = train()
    right = runs.predict(X).argmax(axis=-1)
    half = right.copy()
    half[0, : ROWS // 2] += 1
    np.testing.assert_allclose(runs.accuracy(X, right), 100)
    np.testing.assert_allclose(runs.accuracy(X, half), [50, 100, 100])


def test_after_epoch_sees_every_epoch_and_does_not_disturb_training():
    seen = []

    def watch(epoch, runs):
        seen.append((epoch, runs.accuracy(X, Y).shape))

    watched, unwatched = train(normed, after_epoch=watch), train(normed)
    assert seen == [(0, (SEEDS,)), (1, (SEEDS,))]
    for name, value in unwatched.parameters.items():
        torch.testing.assert_close(watched.parameters[name], value, atol=0, rtol=0)


@pytest.mark.parametrize("fails", [False, True])
def test_thread_count_is_restored(fails):
    threads, during = torch.get_num_threads(), []

    def watch(epoch, runs):
        during.append(torch.get_num_threads())
        if fails:
            raise RuntimeError("stop")

    torch.set_num_threads(2)
    try:
        if fails:
            with pytest.raises(RuntimeError, match="stop"):
                train(after_epoch=watch)
        else:
            train(after_epoch=watch)
        assert set(during) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def measure(shift, seeds=3):
    return {"train": np.arange(seeds) + shift, "test": np.arange(seeds) - shift}


def test_frame_has_a_row_per_method_and_seed():
    frame = sweep(measure, {"none": {"shift": 0}, "L2": {"shift": 10}})
    assert list(frame.columns) == ["method", "seed", "train", "test"]
    assert list(frame.method) == ["none"] * 3 + ["L2"] * 3
    assert list(frame.seed) == [0, 1, 2] * 2
    assert list(frame.train) == [0, 1, 2, 10, 11, 12]
    assert list(frame.test) == [0, 1, 2, -10, -9, -8]
    assert list(frame.index) == list(range(6))


def test_methods_with_unequal_seeds_are_named():
    with pytest.raises(ValueError, match="same seeds, got none: 3, L2: 2"):
        sweep(measure, {"none": {"shift": 0}, "L2": {"shift": 1, "seeds": 2}})


def test_progress_bar_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("REGBOOK_BUILD", "1")
    assert progress(range(3), "epochs").disable
    monkeypatch.delenv("REGBOOK_BUILD")
    assert not progress(range(3), "epochs").disable


def keras_model(optimizer, rate=0.0):
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(6, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(rate),
        keras.layers.Dense(3),
    ]
    model = keras.Sequential(layers)
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(), crossentropy, run_eagerly=True)
    return model


def trained(model):
    """Return the weights after a few steps."""
    for rows in batches(ROWS, BATCH, epochs=2, seed=0):
        model.train_on_batch(X[0][rows], Y[0][rows])
    return model.get_weights()


@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [
        (lambda: keras.optimizers.SGD(0.125, momentum=0.5), 0.0),
        (lambda: keras.optimizers.AdamW(0.01), 0.5),
        (lambda: keras.optimizers.Nadam(0.01), 0.0),
        (lambda: keras.optimizers.Adagrad(0.1), 0.0),
    ],
    ids=["SGD", "AdamW and dropout", "Nadam", "Adagrad"],
)
def test_reset_model_trains_like_a_fresh_one(optimizer, rate):
    keras.utils.set_random_seed(7)
    fresh = trained(keras_model(optimizer, rate))
    keras.utils.set_random_seed(1)
    used = keras_model(optimizer, rate)
    before_any_training = trained(reset(used, 7))
    after_training = trained(reset(used, 7))
    for weights in (before_any_training, after_training):
        for a, b in zip(fresh, weights, strict=True):
            np.testing.assert_array_equal(a, b)
    other = trained(reset(used, 8))
    assert (other[0] != fresh[0]).any()


def test_reset_keeps_the_learning_rate():
    model = keras_model(lambda: keras.optimizers.Adam(0.01))
    trained(model)
    model.optimizer.learning_rate = 0.25
    reset(model, 0)
    assert float(model.optimizer.learning_rate) == 0.25
    assert int(model.optimizer.iterations) == 0


FRAME = sweep(
    lambda dev, test: {"dev": np.array(dev), "test": np.array(test)},
    {
        "weak": {"dev": [0.9, 0.2, 0.5], "test": [1, 2, 3]},
        "strong": {"dev": [0.1, 0.8, 0.5], "test": [4, 5, 6]},
    },
)


def test_by_seed_has_a_row_per_seed_and_a_column_per_method():
    shuffled = FRAME.sample(frac=1, random_state=0)
    for frame in (FRAME, shuffled):
        np.testing.assert_array_equal(
            by_seed(frame, "test", ["strong", "weak"]), [[4, 1], [5, 2], [6, 3]]
        )


def test_by_seed_names_what_is_missing():
    with pytest.raises(KeyError, match="middle"):
        by_seed(FRAME, "test", ["weak", "middle"])
    with pytest.raises(KeyError, match="loss"):
        by_seed(FRAME, "loss", ["weak"])


def test_each_seed_chooses_by_its_own_dev_rows_and_the_first_of_equals():
    np.testing.assert_array_equal(chosen_on_dev(FRAME, ["weak", "strong"]), [1, 5, 3])
    np.testing.assert_array_equal(chosen_on_dev(FRAME, ["strong", "weak"]), [1, 5, 6])
    np.testing.assert_array_equal(
        chosen_on_dev(FRAME, ["weak", "strong"], choose="test", report="dev"), [0.1, 0.8, 0.5]
    )
