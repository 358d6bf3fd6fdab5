"""The stopping rule and the checkpoints of the lesson on early stopping, proved for the pairs.

The class `EarlyStopping` is taken from the lesson itself. Stopping rules are compared without
training: the only weight of the "model" is the number of the epoch. Losses are multiples of 1/16,
because Keras compares in float32. Training runs are in float64.
"""

import copy
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from torch import nn

from regbook.notebooks import read
from regbook.pairs import batches, largest_difference, set_weights

ROOT = Path(__file__).parents[2]
LR, MOMENTUM = 2**-4, 0.875
EXACT, DIFFERENT = 1e-12, 1e-3
NAN = float("nan")
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 6)), RNG.integers(0, 3, size=40)
X_DEV, Y_DEV = RNG.normal(size=(30, 6)), RNG.integers(0, 3, size=30)
START = [RNG.normal(scale=0.7, size=shape) for shape in [(6, 5), (5,), (5, 3), (3,)]]


def lesson_class():
    """Return the class `EarlyStopping` that the lesson defines."""
    for cell in read(ROOT / "chapters" / "13_early_stopping" / "lesson.ipynb").cells:
        if cell.cell_type == "code" and cell.source.startswith("class EarlyStopping"):
            assert len([line for line in cell.source.splitlines() if line]) <= 25
            space = {"np": np, "copy": copy}
            exec(cell.source, space)
            return space["EarlyStopping"]
    raise LookupError("EarlyStopping")


EarlyStopping = lesson_class()


class EpochNumber:
    """A model whose only weight is the number of the epoch, counted from 1."""

    def __init__(self):
        self.epoch, self.stop_training = 0, False

    def get_weights(self):
        return self.epoch

    def set_weights(self, epoch):
        self.epoch = epoch

    state_dict, load_state_dict = get_weights, set_weights


def stop_keras(losses, restore=True, **options):
    """Return (epochs trained, epoch of the weights)."""
    model = EpochNumber()
    callback = keras.callbacks.EarlyStopping(restore_best_weights=restore, **options)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        model.epoch = trained = epoch + 1
        callback.on_epoch_end(epoch, {"val_loss": loss})
        if model.stop_training:
            break
    callback.on_train_end()
    return trained, model.epoch


def stop_torch(losses, **options):
    model, stopper = EpochNumber(), EarlyStopping(**options)
    for epoch, loss in enumerate(losses):
        model.epoch = trained = epoch + 1
        if stopper.should_stop(epoch, loss, model):
            break
    stopper.restore(model)
    return trained, model.epoch


def random_case(rng):
    losses = rng.integers(0, 17, size=rng.integers(1, 31)) / 16 + rng.choice([0, 2])
    if rng.random() < 0.5:  # a curve that falls first
        losses = np.sort(losses)[::-1] + rng.integers(0, 4, size=len(losses)) / 16
    options = {
        "patience": int(rng.integers(0, 8)),
        "min_delta": rng.integers(0, 4) / 16,
        "start_from_epoch": int(rng.integers(0, 6)),
    }
    if rng.random() < 0.3:
        options["baseline"] = rng.integers(0, 48) / 16
    nan = rng.random(len(losses)) < 0.05
    nan[: options["start_from_epoch"] + 1] = False
    return np.where(nan, NAN, losses).tolist(), options


def test_twins_agree_on_thousands_of_random_runs():
    rng = np.random.default_rng(1)
    to_the_end, differ, naive = 0, 0, 0
    for _ in range(2000):
        losses, options = random_case(rng)
        expected = stop_keras(losses, **options)
        to_the_end += expected[0] == len(losses)
        differ += stop_torch(losses, **options) != expected
        late = options | {"patience": options["patience"] + 1}
        naive += stop_torch(losses, **late) != expected
    assert differ == 0
    assert 200 < to_the_end < 1800
    assert naive > 200  # one epoch late is noticed


@pytest.mark.parametrize("stop", [stop_keras, stop_torch])
def test_corner_cases(stop):
    assert stop([0.9, 0.5, 0.6, 0.7], patience=3) == (4, 2)  # never runs out, restores all the same
    assert stop([0.9, 0.5, 0.6, 0.4], patience=0) == stop([0.9, 0.5, 0.6, 0.4], patience=1)
    assert stop([0.5] * 9, patience=3) == (4, 1)  # equal losses are no improvement
    assert stop([0.5], patience=0) == (1, 1)
    assert stop([9.0, 7.0, 8.0, 8.0, 8.0], patience=2) == (4, 2)  # all above 1
    assert stop([1.0, 0.875, 0.75, 0.625], patience=3, min_delta=0.25) == (4, 4)
    assert stop([1.0, 0.875, 0.75, 0.625], patience=2, min_delta=0.25) == (3, 1)
    assert stop([0.1, 0.2, 0.9, 0.8, 0.9], patience=1, start_from_epoch=2) == (5, 4)
    assert stop([0.9, 0.8, 0.7], patience=1, start_from_epoch=9) == (3, 3)  # nothing restored
    assert stop([0.9, 0.8, 0.7, 0.6], patience=1, baseline=0.5) == (4, 4)  # falls: goes on
    assert stop([0.9, 0.8, 0.85, 0.7], patience=1, baseline=0.5) == (3, 2)
    assert stop([0.9, NAN, NAN, 0.5], patience=2) == (3, 1)


def test_a_nan_at_the_start_is_kept_by_keras_alone():
    losses = [NAN, 0.9, 0.8, 0.7, 0.6]
    assert stop_keras(losses, patience=3) == (4, 1)
    assert stop_torch(losses, patience=3) == (5, 5)


def test_without_restoring_the_last_weights_stay():
    assert stop_keras([0.9, 0.5, 0.6, 0.7], restore=False, patience=2) == (4, 4)
    assert stop_keras([0.9, 0.5, 0.6, 0.7], restore=True, patience=2) == (4, 2)


def new_keras():
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(3)]
    )
    set_weights(model, START)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(LR, momentum=MOMENTUM), loss)
    return model


def new_torch():
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    set_weights(model, START)
    return model, torch.optim.SGD(model.parameters(), LR, momentum=MOMENTUM)


def epoch_torch(model, optimizer, order):
    for rows in order:
        optimizer.zero_grad()
        logits = model(torch.from_numpy(X[rows]))
        nn.functional.cross_entropy(logits, torch.from_numpy(Y[rows])).backward()
        optimizer.step()


@pytest.mark.usefixtures("float64")
def test_a_real_run_stops_and_restores_alike(tmp_path):
    def feed():
        for rows in batches(40, 10, epochs=60, seed=0):
            yield X[rows], Y[rows]

    ours = new_keras()
    stopping = keras.callbacks.EarlyStopping(patience=4, restore_best_weights=True)
    file = tmp_path / "best.weights.h5"
    saving = keras.callbacks.ModelCheckpoint(file, save_best_only=True, save_weights_only=True)
    history = ours.fit(
        feed(),
        steps_per_epoch=4,
        epochs=60,
        shuffle=False,
        verbose=0,
        validation_data=(X_DEV, Y_DEV),
        callbacks=[stopping, saving],
    )

    theirs, optimizer = new_torch()
    stopper, order = EarlyStopping(patience=4), batches(40, 10, epochs=60, seed=0)
    for epoch in range(60):
        epoch_torch(theirs, optimizer, [next(order) for _ in range(4)])
        with torch.no_grad():
            logits = theirs(torch.from_numpy(X_DEV))
            loss = nn.functional.cross_entropy(logits, torch.from_numpy(Y_DEV)).item()
        if stopper.should_stop(epoch, loss, theirs):
            break
    last = copy.deepcopy(theirs)
    stopper.restore(theirs)

    assert len(history.history["loss"]) == epoch + 1 < 60
    assert largest_difference(ours, theirs) < EXACT
    assert largest_difference(ours, last) > DIFFERENT
    fresh = keras.models.clone_model(ours)
    fresh.load_weights(file)
    assert largest_difference(fresh, theirs) < EXACT


def train_keras(model, rng, epochs):
    for _ in range(epochs):
        for rows in rng.permutation(40).reshape(4, 10):
            model.train_on_batch(X[rows], Y[rows])


def train_torch(model, optimizer, rng, epochs):
    for _ in range(epochs):
        epoch_torch(model, optimizer, rng.permutation(40).reshape(4, 10))


@pytest.mark.usefixtures("float64")
def test_a_resumed_run_is_a_run_without_a_crash(tmp_path):
    whole_keras, (whole_torch, stepper) = new_keras(), new_torch()
    train_keras(whole_keras, np.random.default_rng(1), 6)
    train_torch(whole_torch, stepper, np.random.default_rng(1), 6)
    assert largest_difference(whole_keras, whole_torch) < EXACT

    model, rng = new_keras(), np.random.default_rng(1)
    train_keras(model, rng, 3)
    model.save(tmp_path / "run.keras")
    model.save_weights(tmp_path / "run.weights.h5")
    state = json.dumps(rng.bit_generator.state)

    def resume(model, with_generator=True):
        rng = np.random.default_rng(1)
        if with_generator:
            rng.bit_generator.state = json.loads(state)
        train_keras(model, rng, 3)
        return largest_difference(model, whole_torch)

    assert resume(keras.models.load_model(tmp_path / "run.keras")) < EXACT
    assert resume(keras.models.load_model(tmp_path / "run.keras"), False) > DIFFERENT
    built = new_keras()
    built.optimizer.build(built.trainable_variables)
    built.load_weights(tmp_path / "run.weights.h5")
    assert resume(built) < EXACT
    unbuilt = new_keras()
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer"):
        unbuilt.load_weights(tmp_path / "run.weights.h5")
    assert resume(unbuilt) > DIFFERENT


CRASHING = """
import os, sys
import numpy as np, torch
from torch import nn

crash_after, folder = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
rng, first = np.random.default_rng(1), 0
data = np.random.default_rng(0)
x, y = torch.tensor(data.normal(size=(40, 6))).float(), torch.tensor(data.integers(0, 3, 40))
path = f"{folder}/run.pt"
if os.path.exists(path):
    saved = torch.load(path)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    rng.bit_generator.state, first = saved["generator"], saved["epoch"]
for epoch in range(first, 6):
    for step, rows in enumerate(rng.permutation(40).reshape(4, 10)):
        if (epoch, step) == (crash_after, 2):
            os._exit(9)  # in the middle of an epoch, without any farewell
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                "generator": rng.bit_generator.state, "epoch": epoch + 1}, path + ".new")
    os.replace(path + ".new", path)
torch.save(model.state_dict(), f"{folder}/end.pt")
"""


def test_a_process_that_dies_in_mid_epoch_resumes_exactly(tmp_path, monkeypatch):
    whole, crashed = tmp_path / "whole", tmp_path / "crashed"
    whole.mkdir()
    crashed.mkdir()
    command = [sys.executable, "-c", CRASHING, "3", str(crashed)]
    assert subprocess.run(command, check=False).returncode == 9
    assert not (crashed / "end.pt").exists()
    threads = torch.get_num_threads()
    for folder in (crashed, whole):
        monkeypatch.setattr(sys, "argv", ["", "99", str(folder)])
        exec(CRASHING, {})
    torch.set_num_threads(threads)
    ends = [list(torch.load(folder / "end.pt").values()) for folder in (whole, crashed)]
    assert largest_difference(*ends) < 1e-6


def test_gradient_descent_shrinks_as_the_formula_says():
    x, y = X - X.mean(axis=0), RNG.normal(size=40)
    eigenvalues, directions = np.linalg.eigh(x.T @ x / 40)
    least_squares = directions.T @ np.linalg.lstsq(x, y)[0]
    w, eta = np.zeros(6), 0.05
    for _ in range(25):
        w = w - eta * 2 * x.T @ (x @ w - y) / 40
    reached = directions.T @ w / least_squares
    np.testing.assert_allclose(reached, 1 - (1 - 2 * eta * eigenvalues) ** 25, atol=EXACT)
