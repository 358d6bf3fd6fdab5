"""The networks behind chapter 22, and the stored table that its pages read."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from regbook import data, recipes

ROOT = Path(__file__).parents[2]
STORED = json.loads((ROOT / "benchmarks/results/recipes.json").read_text(encoding="utf-8"))


def script():
    """Return benchmarks/recipes.py as a module."""
    spec = importlib.util.spec_from_file_location("bench", ROOT / "benchmarks" / "recipes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("steps", [10, 120, 333])
def test_the_schedule_is_that_of_torch(steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1, total_steps=steps, cycle_momentum=False
    )
    for step in range(steps):
        assert recipes.one_cycle(step, steps) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < steps - 1:
            schedule.step()


def test_alpha_dropout_keeps_mean_and_variance():
    torch.manual_seed(0)
    h = torch.selu(torch.randn(200_000))
    dropped = recipes._dropped(h, 0.2, recipes.ALPHA)
    assert dropped.mean().item() == pytest.approx(0, abs=0.01)
    assert dropped.std().item() == pytest.approx(1, abs=0.01)
    plain = recipes._dropped(torch.ones(200_000), 0.2, 0.0)
    assert plain.mean().item() == pytest.approx(1, abs=0.01)
    assert set(plain.unique().tolist()) == {0.0, 1.25}


@pytest.mark.parametrize("depth", [2, 8])
def test_a_variant_changes_one_thing(depth):
    found = recipes.variants(depth)
    for name, recipe in found.items():
        base, _, change = name.rpartition(", ")
        if not change or name == "self-normalizing, ReLU":
            continue
        if base in found:
            changed = [f for f in vars(recipe) if getattr(recipe, f) != getattr(found[base], f)]
            assert len(changed) == 1, name


def test_every_recipe_is_tuned_on_twelve_settings():
    for recipe in recipes.variants(8).values():
        settings = recipes.grid(recipe)
        assert len({tuple(s.values()) for s in settings}) == 12
        assert len(settings) == 12
        assert all(("strength" in s) == bool(recipe.extra) for s in settings)


def test_a_network_starts_as_its_recipe_says():
    torch.manual_seed(0)
    for init, variance in (("He", 2 / 64), ("LeCun", 1 / 64), ("Glorot", 2 / 128)):
        net = recipes.network(recipes.Recipe(init=init), 64, 6, 64)
        hidden = torch.cat([layer.weight.flatten() for layer in list(net.layers)[:-1]])
        assert hidden.var().item() == pytest.approx(variance, rel=0.05)
    assert recipes.network(recipes.default(8), 64, 8, 64).layers[0].bias is None
    assert recipes.network(recipes.default(2), 64, 2, 64).layers[0].bias is not None


@pytest.mark.parametrize(
    "variant", ["default", "self-normalizing", "plain, L2", "plain, last epoch"]
)
def test_training_learns(variant):
    x, y = data.load("digits")
    splits = recipes.scale(data.split_seeds(x, y, seeds=2, train=200, dev=100, test=200))
    assert splits.x_train.mean() == pytest.approx(0, abs=1e-5)
    recipe = recipes.variants(2)[variant]
    setting = {"rate": 0.03 if recipe.optimizer == "momentum" else 0.01}
    settings = [setting | ({"strength": 0.001} if recipe.extra else {})] * 2
    runs, dev = recipes.train(recipe, settings, splits, depth=2, units=32, epochs=8)
    assert dev.shape == (2, 2)
    if not recipe.extra.endswith("dropout"):  # equal settings start alike
        assert np.allclose(dev[0], dev[1], atol=2)
    assert dev.min() > 50
    assert (
        len(runs.accuracy(np.tile(splits.x_test, (2, 1, 1)), np.tile(splits.y_test, (2, 1)))) == 4
    )


def test_the_stored_table_is_complete():
    bench = script()
    for name, world in bench.WORLDS.items():
        for situation, (depth, noise) in bench.STAGES.items():
            wanted = {v for v in recipes.variants(depth) if bench.wanted(v, name, depth, noise)}
            assert STORED[name][situation].keys() == wanted
            for variant, found in STORED[name][situation].items():
                assert len(found["test"]) == world["fresh"]
                assert not found["edge"], f"{name}, {situation}, {variant}: the grid ends too early"
