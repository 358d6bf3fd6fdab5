"""What an answer tries is trained as PyTorch trains it, counted, and cannot be talked out of it."""

import copy

import numpy as np
import pytest

from regbook.exercise import AnswerError, Failed, training
from regbook.exercise.training import Trials

TABLE = {"a": 0.5, "b": 0.7}


def trials(budget=100):
    """Return trials with two settings, whose scores are those of TABLE."""

    def read(value):
        if value not in TABLE:
            raise ValueError("take a or b")
        return value

    return Trials(lambda setting, steps: {"dev": TABLE[setting]}, read, budget)


def test_gradients_are_those_of_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, targets = rng.normal(size=(6, 3)), np.eye(4)[rng.integers(4, size=6)]
    factors = (rng.random((6, training.HIDDEN)) >= 0.4) / 0.6
    weights = [rng.normal(size=s) for s in [(3, training.HIDDEN), training.HIDDEN,
                                            (training.HIDDEN, 4), 4]]  # fmt: skip
    w1, b1, w2, b2 = tensors = [torch.tensor(w, requires_grad=True) for w in weights]
    hidden = torch.relu(torch.tensor(x) @ w1 + b1) * torch.tensor(factors)
    torch.nn.functional.cross_entropy(hidden @ w2 + b2, torch.tensor(targets)).backward()
    found = training._gradients(weights, x, targets, factors)
    for gradient, tensor in zip(found, tensors, strict=True):
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), atol=1e-12)


def test_network_learns_follows_its_generator_and_leaves_the_rows_alone():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 2)), np.arange(60) % 3
    x += 3 * np.eye(3)[y][:, :2]
    before = x.copy()

    def weights(seed, **options):
        return training.train_network(x, y, 100, np.random.default_rng(seed), **options)

    assert training.accuracy(weights(0), x, y) > 0.9
    assert all(map(np.array_equal, weights(0), weights(0)))
    others = weights(1), weights(0, rates=(0.5, 0)), weights(0, rates=(0, 0.5))
    others += (weights(0, augment=lambda rows, rng: -rows),)
    others += weights(0, learning_rate=0.1), weights(0, radius=0.5), weights(0, penalty=0.1)
    assert not any(np.array_equal(weights(0)[0], other[0]) for other in others)
    assert np.array_equal(x, before)


def test_what_was_trained_is_kept_and_is_as_if_trained_again(monkeypatch):
    x, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    calls = []

    def train(seed=1, x=x, steps=9, **options):
        rng = np.random.default_rng(seed)
        weights = training.train_network(x, y, steps, rng, **options)
        return [*weights, rng.random(3)]  # what is drawn afterwards is the same, too

    gradients = training._gradients
    monkeypatch.setattr(training, "_gradients", lambda *a: calls.append(a) or gradients(*a))
    rates = {"rates": (0.1, 0.2)}
    first = train(**rates)
    kept = copy.deepcopy(first)
    first[0] += 1  # of its own copy
    assert len(calls) == 9
    again = train(**rates)
    assert len(calls) == 9
    assert all(map(np.array_equal, again, kept))
    for other in ({"seed": 2}, {"x": x + 1}, {"steps": 10}, {"decay": True}):
        assert not np.array_equal(train(**rates | other)[0], kept[0])


def test_a_radius_bounds_every_unit_and_a_wide_one_changes_nothing():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(60, 5)), np.arange(60) % 3

    def weights(radius):
        return training.train_network(x, y, 50, np.random.default_rng(0), radius=radius)

    for kernel in weights(0.5)[::2]:
        assert np.linalg.norm(kernel, axis=0).max() == pytest.approx(0.5)
    assert all(map(np.array_equal, weights(100), weights(np.inf)))


def test_a_penalty_shrinks_kernels_and_no_bias():
    """Rows without a signal: the inputs are 0, so that the first layer has no gradient."""
    x, y = np.zeros((60, 5)), np.arange(60) % 3

    def weights(penalty):
        rng = np.random.default_rng(0)
        return training.train_network(x, y, 1, rng, penalty=penalty)

    for free, shrunk, factor in zip(weights(0), weights(0.5), (0.95, 1, None, 1), strict=True):
        if factor:
            np.testing.assert_allclose(shrunk, factor * free, atol=1e-12)


def test_runs_are_counted_and_the_longest_of_a_setting_is_kept():
    tried = trials()
    assert tried.train("a", 30) == {"dev": 0.5}
    tried.train("b", np.float32(20))
    assert (tried.spent, tried.longest, set(tried.runs)) == (50, 30, {"a", "b"})
    tried.train("a", 50)
    assert tried.spent == 100
    assert tried.over == 0
    with pytest.raises(ValueError, match="1 steps are more than the 0 that are left"):
        tried.train("a", 1)
    assert (tried.spent, tried.over) == (100, 101)


@pytest.mark.parametrize(
    "steps", [0, -5, 2.5, np.nan, np.inf, 10**400, "10", None, [10], {"n": 1}, 1j, True - 1]
)
def test_strange_steps_are_refused_and_cost_nothing(steps):
    tried = trials()
    with pytest.raises((ValueError, OverflowError, AnswerError)):
        tried.train("a", steps)
    assert (tried.spent, tried.runs) == (0, {})


def test_a_copy_of_train_counts_in_the_same_place():
    tried = trials()
    copy.deepcopy(tried.train)("a", 10)
    assert tried.spent == 10


def test_scores_that_are_changed_by_the_answer_stay_as_they_were():
    tried = trials()
    tried.train("a", 10)["dev"] = 1.0
    assert tried.runs["a"] == {"dev": 0.5}


@pytest.mark.parametrize(
    ("asks", "mistake"),
    [([], "no decision"), ([("a", 9)], "no decision"), ([("a", 9), ("a", 9)], "no decision"),
     ([("a", 60), ("b", 60)], "over budget"), ([("a", 101)], "over budget")],
)  # fmt: skip
@pytest.mark.parametrize("caught", [True, False])
def test_an_answer_that_compares_nothing_or_too_much_fails(asks, mistake, caught):
    def ask(train, budget):
        assert budget == 100
        for setting, steps in asks:
            try:
                train(setting, steps)
            except ValueError as error:
                if not caught:
                    raise AnswerError(str(error)) from error
        return "a"

    with pytest.raises(Failed) as failed:
        trials().decide(ask)
    assert failed.value.outcome.mistake == mistake


def test_a_choice_that_is_no_setting_is_an_error_of_the_answer():
    def ask(train, budget):
        return [train(setting, 5) for setting in "ab"] and "c"

    with pytest.raises(AnswerError, match="cannot be used: take a or b"):
        trials().decide(ask)


def test_short_runs_of_a_table_are_lower_and_the_same_each_time():
    table = {key: {"dev": score, "test": 1 - score} for key, score in TABLE.items()}
    scores = training.made_up(table, 100, np.random.default_rng(0))
    assert scores("a", 10) == scores("a", 10)
    assert scores("b", 10)["dev"] < scores("b", 100)["dev"] < TABLE["b"]
    assert scores("a", 10_000) == pytest.approx(table["a"])


def decision(chosen, tried=("low", "high", "most")):
    table = {
        "low": {"train": 0.9, "dev": 0.5, "test": 0.6},
        "high": {"train": 0.8, "dev": 0.7, "test": 0.5},
        "most": {"train": 0.6, "dev": 0.55, "test": 0.7},
        "near": {"train": 0.7, "dev": 0.69, "test": 0.6},
    }
    made = Trials(lambda setting, steps: table[setting], lambda value: value, 1000)
    for setting in tried:
        made.train(setting, 100)
    return table, made, chosen


@pytest.mark.parametrize(
    ("choices", "mistake"),
    [(["high", "high"], ""), (["near", "high"], ""), (["most", "most"], "chosen on test rows"),
     (["low", "low"], "chosen on train rows"), (["low", "most"], "dev ignored"),
     (["high", "most"], "dev ignored")],
)  # fmt: skip
def test_a_mistake_is_named_when_it_fits_every_decision(choices, mistake):
    found = training.follows_dev([decision(chosen) for chosen in choices], 100)
    assert (found.passed, found.mistake) == (not mistake, mistake)


def test_only_what_was_tried_is_compared():
    assert training.follows_dev([decision("most", tried=("low", "most"))], 100).passed
    found = training.follows_dev([decision("low")], 1000)
    assert found.mistake == "short runs"
