"""The challenge of lesson 22: its trainer beside PyTorch, its problems, its settings."""

import numpy as np
import pytest
import torch
from torch import nn

from regbook import challenge
from regbook.challenge import DEFAULT, PROBLEMS, BadSettings, cost, read_settings

PROBLEM = {**PROBLEMS[0], "rows": 64, "features": 5, "classes": 3, "clusters": 2}


def generators(number=2, seed=0):
    return [np.random.default_rng([seed, i]) for i in range(number)]


def run(problem=PROBLEM, draws=2, **settings):
    """Return an unstarted run of settings, and its draws."""
    drawn = challenge.draw(problem, generators(draws))
    settings = read_settings({"scale_inputs": True, **settings})
    return challenge._Run(settings, problem, drawn, generators(draws, 1)), drawn


class Twin(nn.Module):
    """The network of one draw, in PyTorch."""

    def __init__(self, run, draw):
        super().__init__()
        network, parts = run.network, []
        kind = {"relu": nn.ReLU, "elu": nn.ELU, "selu": nn.SELU, "tanh": nn.Tanh}
        for i in range(network.hidden + 1):
            w, b = (network.weights.at[name, i][draw] for name in ("W", "b"))
            dense, hidden = nn.Linear(*w.shape), i < network.hidden
            with torch.no_grad():
                dense.weight.copy_(torch.tensor(w.T.copy()))
                dense.bias.copy_(torch.tensor(b[0].copy()))
            parts.append(dense)
            if hidden and network.normalized:
                dense.bias.requires_grad_(False)  # the shift of batch norm takes its place
                parts.append(nn.BatchNorm1d(w.shape[1], eps=1e-3))
            if hidden:
                parts.append(kind[network.settings["activation"]]())
        self.layers = nn.Sequential(*parts)

    def forward(self, x):
        return self.layers(x)

    def numbers(self):
        """Return weights and shifts as the trainer keeps them."""
        found = {}
        dense = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        norms = [layer for layer in self.layers if isinstance(layer, nn.BatchNorm1d)]
        for i, layer in enumerate(dense):
            found["W", i] = layer.weight.detach().numpy().T
            found["b", i] = layer.bias.detach().numpy()[None]
        for i, norm in enumerate(norms):
            found["gamma", i] = norm.weight.detach().numpy()[None]
            found["b", i] = norm.bias.detach().numpy()[None]
        return found


@pytest.mark.parametrize("activation", challenge.CHOICES["activation"])
@pytest.mark.parametrize("norm", challenge.CHOICES["norm"])
@pytest.mark.parametrize("optimizer", challenge.CHOICES["optimizer"])
def test_steps_are_those_of_pytorch(activation, norm, optimizer):
    """Twenty steps with L2 and smoothed labels; float32 on both sides."""
    settings = {"activation": activation, "norm": norm, "optimizer": optimizer, "init": "he"}
    rate = {"sgd": 0.05, "momentum": 0.02, "adam": 0.003}[optimizer]
    ours, drawn = run(**settings, width=32, l2=0.01, smoothing=0.2)
    twin = Twin(ours, 1)
    l2 = [layer.weight for layer in twin.layers if isinstance(layer, nn.Linear)]
    make = {
        "sgd": lambda p: torch.optim.SGD(p, lr=rate),
        "momentum": lambda p: torch.optim.SGD(p, lr=rate, momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, lr=rate, eps=1e-7),
    }[optimizer]
    steps = make([p for p in twin.parameters() if p.requires_grad])
    for step in range(20):
        take = np.arange(16) + step % 4 * 16
        ours._step(ours.x[:, take], ours.targets[:, take], rate, step + 1)
        x = torch.tensor(ours.x[1, take])
        y = torch.tensor(drawn.train[1][1, take])
        loss = nn.functional.cross_entropy(twin(x), y, label_smoothing=0.2)
        loss = loss + 0.01 * sum((w**2).sum() for w in l2)
        steps.zero_grad()
        loss.backward()
        steps.step()
    # Adam turns a gradient that is 0 but for rounding into a whole step.
    atol = 4e-3 if optimizer == "adam" else 2e-4
    for name, expected in twin.numbers().items():
        found = ours.network.weights.at[name][1]
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=atol, err_msg=str(name))
    for layer in twin.layers:
        if isinstance(layer, nn.BatchNorm1d):  # ours, like Keras, averages the biased variance
            assert (layer.running_var > 0).all()
            layer.running_var -= 0.9**20
            layer.running_var *= 15 / 16
            layer.running_var += 0.9**20
    twin.eval()
    logits = twin(torch.tensor(ours.test[1])).detach().numpy()
    np.testing.assert_allclose(ours.network.logits(ours.test)[1], logits, rtol=5e-3, atol=10 * atol)


@pytest.mark.parametrize("init", challenge.CHOICES["init"])
def test_kernels_start_at_their_size(init):
    ours, _ = run(init=init, width=128, depth=2, draws=4)
    fan = {"glorot": 128, "he": 64, "lecun": 128}[init]
    assert ours.network.weights.at["W", 1].std() == pytest.approx(fan**-0.5, rel=0.02)


def test_the_cycle_is_that_of_pytorch():
    total = 50
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.1, total_steps=total + 1, anneal_strategy="cos", final_div_factor=1e9
    )
    settings = {"rate": 0.1, "schedule": "one_cycle"}
    falling = []
    for step in range(total):
        ours = challenge._rate(settings, step / total)
        if step > 0.35 * total:
            falling.append((ours, cycle.get_last_lr()[0]))
        optimizer.step()
        cycle.step()
    assert challenge._rate(settings, 0) == pytest.approx(0.1 / 25)
    assert challenge._rate(settings, 0.3) == pytest.approx(0.1)
    np.testing.assert_allclose(*zip(*falling, strict=True), atol=0.003)
    assert challenge._rate({**settings, "schedule": "cosine"}, 0.5) == pytest.approx(0.05)
    assert challenge._rate({**settings, "schedule": "constant"}, 0.9) == 0.1


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_dropout_keeps_the_mean_and_alpha_dropout_the_variance_too(rate):
    for name in ("dropout", "alpha_dropout"):
        ours, _ = run(width=128, depth=1, **{name: rate})
        factors, added = ours._drops((2, 4000))[0]
        z = np.random.default_rng(0).normal(size=(2, 4000, 128)).astype(np.float32)
        y = challenge._activation("selu", z) if added is not None else z
        out = y * factors + (0 if added is None else added)
        zeros = np.isclose(factors, 0).mean()
        assert zeros == pytest.approx(rate, abs=0.01)
        assert out.mean() == pytest.approx(0, abs=0.01)
        assert out.var() == pytest.approx(1 / (1 - rate) if added is None else 1, abs=0.03)
    lost = factors == 0
    assert np.ptp(out[lost]) < 1e-5  # every lost unit has the same value


def test_early_stopping_keeps_the_best_epoch_of_each_draw():
    ours, drawn = run(draws=3, epochs=8, rate=0.02, early_stopping=True)
    seen = []
    store = ours._store

    def stored():
        logits = ours.network.logits(ours.dev)
        seen.append((logits.argmax(axis=2) == drawn.dev[1]).mean(axis=1))
        store()

    ours._store = stored
    ours.accuracies()
    assert len(seen) == 8
    found = (ours.network.logits(ours.dev).argmax(axis=2) == drawn.dev[1]).mean(axis=1)
    np.testing.assert_allclose(found, np.max(seen, axis=0))


def test_draws_do_not_touch_each_other():
    """A draw gives the same weights and rows in other company."""
    one, two = (challenge.draw(PROBLEM, generators(n)) for n in (1, 3))
    np.testing.assert_array_equal(one.train[0][0], two.train[0][0])
    assert not np.allclose(two.train[0][0], two.train[0][1])
    runs = [challenge._Run(read_settings({}), PROBLEM, d, generators(len(d.bayes), 1))
            for d in (one, two)]  # fmt: skip
    np.testing.assert_array_equal(*(r.network.weights.at["W", 0][0] for r in runs))


def test_rows_are_as_the_problem_says():
    problem = {**PROBLEM, "rows": 4000, "label_noise": 0.4}
    (rng,) = generators(1)
    drawn = challenge.draw(problem, [rng])
    assert drawn.train[0].shape == (1, 4000, 5)
    assert drawn.dev[0].shape == (1, 2000, 5)
    assert drawn.test[0].shape == (1, challenge.TEST, 5)
    assert set(np.unique(drawn.train[1])) == {0, 1, 2}
    nothing_wrong = challenge.draw({**problem, "label_noise": 0.0}, generators(1))
    wrong = (drawn.train[1] != nothing_wrong.train[1]).mean()
    assert wrong == pytest.approx(0.4, abs=0.03)


def test_the_best_possible_is_beyond_a_trained_network_and_below_one():
    for problem in PROBLEMS:
        drawn = challenge.draw(problem, generators(3))
        assert (drawn.bayes > 0.7).all()
        assert (drawn.bayes <= 1).all()
    easy = challenge.draw({**PROBLEM, "spread": 50.0}, generators(2))
    assert (easy.bayes == 1).all()


def test_a_run_is_the_same_again():
    recipes = [read_settings({"epochs": 2, "dropout": 0.3})] * 4
    challenge._scores.cache_clear()
    first = challenge.scores(recipes, 5, 2)
    challenge._scores.cache_clear()
    challenge._drawn.cache_clear()
    np.testing.assert_array_equal(first.accuracy, challenge.scores(recipes, 5, 2).accuracy)
    assert not np.array_equal(first.accuracy, challenge.scores(recipes, 6, 2).accuracy)


def test_the_reference_scores_zero_and_spends_the_budget():
    recipes = [challenge.reference(problem) for problem in PROBLEMS]
    assert (challenge.scores(recipes, 0, 2).points == 0).all()
    for recipe, problem in zip(recipes, PROBLEMS, strict=True):
        assert 0.9 < cost(recipe, problem) / problem["budget"] <= 1


def test_cost_counts_each_weight_three_times():
    settings = {"width": 32, "depth": 2, "epochs": 7}
    assert cost(settings, PROBLEM) == 3 * (5 * 32 + 32 * 32 + 32 * 3) * 64 * 7
    assert cost({"depth": 0, "epochs": 1}, PROBLEM) == 3 * 5 * 3 * 64


def test_a_run_that_ends_with_no_numbers_is_nan():
    settings = read_settings({"optimizer": "momentum", "rate": 10.0, "depth": 8, "epochs": 30,
                              "activation": "elu", "init": "he"})  # fmt: skip
    drawn = challenge.draw(PROBLEM, generators())
    found = challenge.train(settings, PROBLEM, drawn, generators())
    assert np.isnan(found).all()
    scores = challenge.Scores(np.full((4, 2), np.nan), np.full((4, 2), 0.5), np.ones((4, 2)))
    assert scores.astray
    assert (scores.points == -50).all()


def test_settings_take_the_forms_of_numpy():
    found = read_settings(
        {
            "rate": np.float32(0.5),
            "epochs": np.array(7),
            "early_stopping": np.array(True),
            "width": 64.0,
            "norm": "batch",
        }
    )
    assert found == {
        **DEFAULT, "rate": 0.5, "epochs": 7, "early_stopping": True, "norm": "batch"
    }  # fmt: skip
    assert type(found["epochs"]) is type(found["width"]) is int


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (("relu",), "no dict", "received a tuple"),
        ({"learning_rate": 1}, "unknown setting", "'learning_rate'"),
        ({"epoch": 1}, "unknown setting", "did you mean 'epochs'?"),
        ({"norm": "layer"}, "wrong value", "norm: 'none' or 'batch', received norm: 'layer'"),
        ({"norm": 3}, "wrong value", "norm: 'none' or 'batch'"),
        ({"epochs": 201}, "wrong value", "epochs: a whole number from 1 to 200"),
        ({"epochs": 1.5}, "wrong value", "a whole number"),
        ({"epochs": True}, "wrong value", "a whole number"),
        ({"rate": float("nan")}, "wrong value", "rate: a number from 1e-05 to 10"),
        ({"rate": "1"}, "wrong value", "received rate: '1'"),
        ({"rate": np.ones(2)}, "wrong value", "rate: a number"),
        ({"rate": 0}, "wrong value", "rate: a number"),
        ({"dropout": 1.0}, "wrong value", "dropout: a number from 0 to 0.9"),
        ({"scale_inputs": 1}, "wrong value", "scale_inputs: True or False"),
        ({"dropout": 0.1, "alpha_dropout": 0.1}, "two dropouts", "not both"),
    ],
)
def test_bad_settings_get_their_sentence(answer, kind, said):
    with pytest.raises(BadSettings, match="expected") as found:
        read_settings(answer)
    assert found.value.kind == kind
    assert said in str(found.value)


def test_practice_shows_the_four_problems():
    table = challenge.practise(lambda problem: {"epochs": 1, "scale_inputs": True}, seed=3)
    assert len(table) == 5
    assert table.index[-1] == "mean"
    assert table["lead in points"].iloc[:4].mean() == pytest.approx(
        table.loc["mean", "lead in points"], abs=0.2
    )


def stub(problem):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (stub, "Write my_recipe first"),
        (lambda problem: None, "Problem 1: Your function returned nothing"),
        (lambda problem: {"rat": 1}, "did you mean 'rate'?"),
        (lambda problem: {"epochs": 200, "width": 128}, "Over the budget"),
        (lambda problem: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_practice_says_what_is_missing(answer, said):
    assert said in repr(challenge.practise(answer))


@pytest.mark.parametrize(
    "settings",
    [
        {"width": 32, "depth": 1, "epochs": 200},
        {"width": 32, "depth": 8, "activation": "selu", "dropout": 0.1},
        {"width": 128, "depth": 1, "activation": "elu", "dropout": 0.5, "early_stopping": True},
        {"depth": 0, "epochs": 200, "early_stopping": True},
    ],
)
def test_no_affordable_recipe_takes_many_steps(settings):
    """The budget counts products. What else a step costs is bounded by the steps and layers."""
    for problem in PROBLEMS:
        recipe = read_settings(settings)
        affordable = problem["budget"] // cost({**recipe, "epochs": 1}, problem)
        epochs = min(200, affordable)
        steps = problem["rows"] // recipe["batch"] * epochs
        assert steps * (recipe["depth"] + 1) <= 26_000
