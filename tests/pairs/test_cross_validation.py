"""The pairs of the lesson on cross-validation, proved in float64.

Both cells of a pair run the same folds, from equal weights and with equal batches. Keras casts
Python floats through float32, so all rates are sums of few powers of two.
"""

import keras
import numpy as np
import pytest
import torch
from torch import nn

from regbook.pairs import batches, largest_difference, set_weights

LR, MOMENTUM = 2**-4, 0.5
EXACT, DIFFERENT = 1e-12, 1e-3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(26, 4)) * [1, 5, 0.2, 3] + [0, 2, 1, -4]
Y = X @ RNG.normal(size=4) + RNG.normal(size=26)
LABELS = (np.median(Y) < Y).astype(np.int64)
FOLDS = np.array_split(RNG.permutation(26), 3)
EVERYONE = np.arange(26)
SHAPES = (4, 5), (5,), (5, 1), (1,)
STARTS = [[RNG.normal(scale=0.5, size=shape) for shape in SHAPES] for _ in FOLDS]

pytestmark = pytest.mark.usefixtures("float64")


def scaled(train):
    """Return the inputs scaled by the training rows, and the target's center and unit."""
    inputs = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
    return inputs, Y[train].mean(), Y[train].std()


def keras_network(outputs=1, momentum=0.0, loss="mse"):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(5, activation="tanh"),
            keras.layers.Dense(outputs),
        ]
    )
    model.compile(keras.optimizers.SGD(LR, momentum=momentum), loss, run_eagerly=True)
    return model


def torch_network(outputs=1, momentum=0.0):
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, outputs))
    return model, torch.optim.SGD(model.parameters(), LR, momentum=momentum)


def keras_folds(momentum=0.0, one_model=False, reset=True):
    """Return out-of-sample predictions. one_model: compiled once, reset: new weights per turn."""
    predictions = np.empty(26)
    model = keras_network(momentum=momentum)
    for j, test in enumerate(FOLDS):
        train = np.setdiff1d(EVERYONE, test)
        inputs, center, unit = scaled(train)
        if not one_model:
            model = keras_network(momentum=momentum)
        if reset or j == 0:
            set_weights(model, STARTS[j])
        for rows in batches(len(train), 6, epochs=3, seed=j):
            rows = train[rows]
            model.train_on_batch(inputs[rows], (Y[rows] - center) / unit)
        predictions[test] = center + unit * model(inputs[test]).numpy()[:, 0]
    return predictions


def torch_folds(momentum=0.0, one_model=False, reset=True, ddof=0):
    predictions = np.empty(26)
    model, optimizer = torch_network(momentum=momentum)
    for j, test in enumerate(FOLDS):
        train = np.setdiff1d(EVERYONE, test)
        mean, sd = X[train].mean(axis=0), X[train].std(axis=0, ddof=ddof)
        inputs = torch.from_numpy((X - mean) / sd)
        center, unit = Y[train].mean(), Y[train].std(ddof=ddof)
        if not one_model:
            model, optimizer = torch_network(momentum=momentum)
        if reset or j == 0:
            set_weights(model, STARTS[j])
        for rows in batches(len(train), 6, epochs=3, seed=j):
            rows = train[rows]
            optimizer.zero_grad()
            targets = torch.from_numpy((Y[rows] - center) / unit)
            nn.functional.mse_loss(model(inputs[rows])[:, 0], targets).backward()
            optimizer.step()
        predictions[test] = center + unit * model(inputs[test]).detach().numpy()[:, 0]
    return predictions


def test_fresh_models_give_the_same_out_of_sample_predictions():
    assert largest_difference(keras_folds(MOMENTUM), torch_folds(MOMENTUM)) < EXACT


def test_new_weights_are_a_fresh_start_under_plain_sgd():
    assert largest_difference(keras_folds(one_model=True), torch_folds()) < EXACT


def test_new_weights_are_no_fresh_start_under_momentum():
    ours, theirs = keras_folds(MOMENTUM, one_model=True), torch_folds(MOMENTUM, one_model=True)
    assert largest_difference(ours, theirs) < EXACT
    assert largest_difference(ours, torch_folds(MOMENTUM)) > DIFFERENT


def test_a_model_that_keeps_training_is_the_same_bug_in_both():
    ours = keras_folds(MOMENTUM, one_model=True, reset=False)
    theirs = torch_folds(MOMENTUM, one_model=True, reset=False)
    assert largest_difference(ours, theirs) < EXACT
    assert largest_difference(ours, torch_folds(MOMENTUM)) > DIFFERENT
    first = FOLDS[0]
    assert largest_difference(ours[first], torch_folds(MOMENTUM)[first]) < EXACT


def test_the_scaler_of_torch_divides_by_one_less():
    assert largest_difference(keras_folds(), torch_folds(ddof=1)) > DIFFERENT
    assert np.isclose(torch.from_numpy(X).std(dim=0).numpy(), X.std(axis=0, ddof=1)).all()


def test_classifiers_give_the_same_out_of_sample_probabilities():
    ours, theirs = np.empty((26, 2)), np.empty((26, 2))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for j, test in enumerate(FOLDS):
        train = np.setdiff1d(EVERYONE, test)
        inputs, _, _ = scaled(train)
        first = keras_network(2, loss=loss)
        second, optimizer = torch_network(2)
        start = [*STARTS[j][:2], np.repeat(STARTS[j][2], 2, axis=1) * [1, -1], np.zeros(2)]
        set_weights(first, start)
        set_weights(second, start)
        for rows in batches(len(train), 6, epochs=3, seed=j):
            rows = train[rows]
            first.train_on_batch(inputs[rows], LABELS[rows])
            optimizer.zero_grad()
            logits = second(torch.from_numpy(inputs[rows]))
            nn.functional.cross_entropy(logits, torch.from_numpy(LABELS[rows])).backward()
            optimizer.step()
        ours[test] = keras.ops.softmax(first(inputs[test]))
        theirs[test] = second(torch.from_numpy(inputs[test])).softmax(dim=1).detach()
    assert largest_difference(ours, theirs) < EXACT
    assert np.ptp(ours) > 0.1


def scores(predictions):
    """Return the RMSE over all rows, with the bootstrap's interval whose unit is the row."""
    squares = (predictions - Y) ** 2
    draws = np.random.default_rng(0).choice(squares, size=(500, len(squares)))
    return np.sqrt([squares.mean(), *np.percentile(draws.mean(axis=1), [2.5, 97.5])])


def test_a_procedure_as_one_function_gives_the_same_score_and_interval():
    """The central pair of the lesson: ReLU units, and nothing that survives from turn to turn."""

    def keras_procedure(inputs, targets, held_out, start, steps):
        layers = [keras.layers.Dense(5, activation="relu"), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((4,)), *layers])
        model.compile(keras.optimizers.SGD(LR), loss="mse", run_eagerly=True)
        set_weights(model, start)
        for rows in steps:
            model.train_on_batch(inputs[rows], targets[rows])
        return model(held_out).numpy()[:, 0]

    def torch_procedure(inputs, targets, held_out, start, steps):
        model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1))
        optimizer = torch.optim.SGD(model.parameters(), LR)
        set_weights(model, start)
        for rows in map(torch.from_numpy, steps):
            optimizer.zero_grad()
            x, y = torch.from_numpy(inputs)[rows], torch.from_numpy(targets)[rows]
            nn.functional.mse_loss(model(x)[:, 0], y).backward()
            optimizer.step()
        return model(torch.from_numpy(held_out)).detach().numpy()[:, 0]

    gathered = np.empty((2, 26))
    for j, fold in enumerate(FOLDS):
        rest = np.setdiff1d(EVERYONE, fold)
        inputs, center, unit = scaled(rest)
        targets, steps = (Y[rest] - center) / unit, list(batches(len(rest), 6, epochs=4, seed=j))
        for found, procedure in zip(gathered, (keras_procedure, torch_procedure), strict=True):
            outputs = procedure(inputs[rest], targets, inputs[fold], STARTS[j], steps)
            found[fold] = center + unit * outputs
    ours, theirs = gathered
    assert largest_difference(ours, theirs) < EXACT * np.abs(Y).max()
    assert largest_difference(scores(ours), scores(theirs)) < EXACT * np.abs(Y).max()
    assert scores(ours)[1] < scores(ours)[0] < scores(ours)[2]


LAMS = [0.0, 0.25, 1.0]


def nested(fit_predict, folds=FOLDS):
    """Return nested out-of-sample predictions and the penalty of each outer fold."""
    predictions, chosen = np.empty(26), []
    for outer, test in enumerate(folds):
        inner = [fold for j, fold in enumerate(folds) if j != outer]
        train = np.concatenate(inner)
        scores = []
        for lam in LAMS:
            guesses = [fit_predict(np.setdiff1d(train, dev), dev, lam) for dev in inner]
            scores.append(((np.concatenate(guesses) - Y[train]) ** 2).mean())
        chosen.append(LAMS[np.argmin(scores)])
        predictions[test] = fit_predict(train, test, chosen[-1])
    return predictions, chosen


def test_nested_choices_and_predictions_are_the_same():
    def keras_fit_predict(train, test, lam):
        inputs, center, unit = scaled(train)
        dense = keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(lam))
        model = keras.Sequential([keras.Input((4,)), dense])
        model.set_weights([np.zeros((4, 1)), np.zeros(1)])
        model.compile(keras.optimizers.SGD(LR), loss="mse", run_eagerly=True)
        for _ in range(8):
            model.train_on_batch(inputs[train], (Y[train] - center) / unit)
        return center + unit * model(inputs[test]).numpy()[:, 0]

    def torch_fit_predict(train, test, lam, factor=1):
        inputs, center, unit = scaled(train)
        inputs, targets = torch.from_numpy(inputs), torch.from_numpy((Y[train] - center) / unit)
        linear = nn.Linear(4, 1)
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
        weight_decay = [{"params": linear.weight, "weight_decay": factor * 2 * lam},
                        {"params": linear.bias}]  # fmt: skip
        optimizer = torch.optim.SGD(weight_decay, LR)
        for _ in range(8):
            optimizer.zero_grad()
            nn.functional.mse_loss(linear(inputs[train])[:, 0], targets).backward()
            optimizer.step()
        return center + unit * linear(inputs[test]).detach().numpy()[:, 0]

    ours, our_choice = nested(keras_fit_predict)
    theirs, their_choice = nested(torch_fit_predict)
    assert our_choice == their_choice
    assert largest_difference(ours, theirs) < EXACT
    test, train = FOLDS[0], np.concatenate(FOLDS[1:])
    strong = keras_fit_predict(train, test, 1.0)
    assert largest_difference(strong, torch_fit_predict(train, test, 1.0)) < EXACT
    assert largest_difference(strong, torch_fit_predict(train, test, 1.0, 0.5)) > DIFFERENT
