"""Measure every recipe and every change of one ingredient: what chapter 22 reads.

    python benchmarks/recipes.py                    # all worlds, about 55 minutes of one core
    python benchmarks/recipes.py --world digits     # one of them; the others stay as they are

Each recipe is tuned on 12 settings over three splits, at its best epoch on dev. The best three are
trained on fresh splits, and of them the one with the best dev accuracy counts: three splits alone
cannot tell neighbours apart. Where the best setting lies at the end of the grid, the grid is moved
on first, and the recipe is tuned again. `benchmarks/results/recipes.json` holds the accuracy of
every fresh split, so that a page can pair any two recipes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np
import torch

from regbook import data, recipes
from regbook.data import Split
from regbook.grading.report import write_whole

RESULTS = Path(__file__).parent / "results" / "recipes.json"
TUNING, FINALISTS = 3, 3
WORLDS = {
    # data set, rows of train, dev and test, units, epochs, fresh splits, first split
    "digits": {"data": "digits", "rows": (300, 300, 1000), "units": 64, "epochs": 20, "fresh": 20},
    "MNIST": {
        "data": "mnist_5k",
        "rows": (500, 500, 1000),
        "units": 64,
        "epochs": 20,
        "fresh": 10,
        "first": 200,
    },
}
# Ten splits of the digits again, for what the lesson rests on.
WORLDS |= {
    "digits, 128 units": {**WORLDS["digits"], "units": 128, "fresh": 10},
    "digits, 40 epochs": {**WORLDS["digits"], "epochs": 40, "fresh": 10},
}
AGAIN = {
    (8, 0): ("default", "plain", "default, other norm"),
    (8, 0.2): ("default", "default, dropout", "default, PyTorch's start", "self-normalizing"),
    (2, 0): ("default", "plain"),
    (2, 0.2): ("default", "plain", "plain, dropout"),
}
# What the other world repeats: more in the first situation, fewer in the others.
FEWER = (
    "default",
    "default, PyTorch's start",
    "default, other norm",
    "default, ReLU",
    "default, dropout",
    "self-normalizing",
    "plain",
    "plain, dropout",
)
REPEATED = (
    "default",
    "default, Glorot",
    "default, PyTorch's start",
    "default, ReLU",
    "default, other norm",
    "default, Adam",
    "default, constant rate",
    "default, dropout",
    "self-normalizing",
    "self-normalizing, no dropout",
    "self-normalizing, plain dropout",
    "plain",
    "plain, dropout",
)
STAGES = {
    f"{depth} layers, {noise:.0%} noise": (depth, noise) for depth in (8, 2) for noise in (0, 0.2)
}


def wanted(variant: str, world: str, depth: int, noise: float) -> bool:
    """Tell whether a variant is measured in a situation of a world."""
    if "," in world:
        return variant in AGAIN[depth, noise]
    if world != "digits":
        return variant in (REPEATED if depth == 8 and not noise else FEWER)
    return not (noise and variant.startswith("plain, ")) or variant in REPEATED


def splits(world: dict, noise: float) -> Split:
    """Return the fresh splits of a world, then those for tuning, stacked."""
    x, y = data.load(world["data"])
    x = x[:, ::2, ::2].reshape(len(x), -1) if x.ndim == 3 else x
    train, dev, test = world["rows"]
    first, count = world.get("first", 0), world["fresh"] + TUNING
    options = {"train": train, "dev": dev, "test": test, "label_noise": noise}
    return data.stack([data.split(x, y, seed=first + i, **options) for i in range(count)])


def part(whole: Split, rows: slice) -> Split:
    """Return some of the stacked splits."""
    return Split(*(array[rows] for array in vars(whole).values()))


def tune(recipe: recipes.Recipe, whole: Split, fresh: int, options: dict) -> tuple[dict, bool]:
    """Return the dev accuracy of all settings that were tried, and whether the best is an end."""
    tuning, seeds = part(whole, slice(fresh, None)), range(fresh, fresh + TUNING)
    shift = stronger = 0
    tried: dict[tuple, float] = {}
    for _ in range(6):
        settings = recipes.grid(recipe, shift, stronger)
        new = [s for s in settings if tuple(s.values()) not in tried]
        if new:
            _, dev = recipes.train(recipe, new, tuning, seeds=seeds, **options)
            tried |= {tuple(s.values()): m for s, m in zip(new, dev.mean(axis=1), strict=True)}
        scores = [np.nan_to_num(tried[tuple(s.values())], nan=-1) for s in settings]
        best = settings[int(np.argmax(scores))]
        rates = sorted({s["rate"] for s in settings})
        strengths = sorted({s.get("strength", 0) for s in settings})
        # A weaker strength comes near none, which is a recipe of its own.
        step = (best["rate"] == rates[-1]) - (best["rate"] == rates[0])
        more = bool(recipe.extra) and best["strength"] == strengths[-1]
        more = more and not (recipe.extra == "dropout" and strengths[-1] > 0.5)
        if not step and not more:
            break
        shift, stronger = shift + step, stronger + more
    return tried, bool(step or more)


def measure(
    recipe: recipes.Recipe, world: dict, depth: int, noise: float, old: dict | None
) -> dict:
    """Tune a recipe on three splits, and choose among its best settings on the fresh ones.

    The choice is by dev rows, and what is stored are test rows. old: an earlier result without the
    second choice.
    """
    whole, fresh = splits(world, noise), world["fresh"]
    if recipe.scaled:
        whole = recipes.scale(whole)
    options = {"depth": depth, "units": world["units"], "epochs": world["epochs"]}
    if old:
        tried = {tuple(row[:-1]): row[-1] for row in old["tuning"]}
        edge = old["edge"]
    else:
        tried, edge = tune(recipe, whole, fresh, options)
    order = sorted(tried, key=lambda key: -np.nan_to_num(tried[key], nan=-1))[:FINALISTS]
    names = ["rate", "strength"] if recipe.extra else ["rate"]
    finalists = [dict(zip(names, key, strict=True)) for key in order]
    own = part(whole, slice(fresh))
    runs, dev = recipes.train(recipe, finalists, own, **options)
    each = np.tile(np.arange(fresh), len(finalists))
    test = runs.accuracy(own.x_test[each], own.y_test[each]).reshape(dev.shape)
    best = int(np.argmax(dev.mean(axis=1)))
    return {
        "setting": {name: float(f"{value:.4g}") for name, value in finalists[best].items()},
        "edge": edge,
        "tuning": [[*map(float, k), round(float(v), 2)] for k, v in sorted(tried.items())],
        "dev": [round(float(v), 2) for v in dev[best]],
        "test": [round(float(v), 2) for v in test[best]],
        "finalists": [round(float(v), 2) for v in test.mean(axis=1)],
    }


def main() -> None:
    """Measure, and store after every recipe."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--world", choices=WORLDS, help="one world only")
    parser.add_argument("--again", action="store_true", help="also what is stored already")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    except ValueError as error:
        sys.exit(f"{RESULTS} is damaged ({error}): put the stored file back, or delete it.")
    for name in [options.world] if options.world else WORLDS:
        for stage, (depth, noise) in STAGES.items():
            for variant, recipe in recipes.variants(depth).items():
                if not wanted(variant, name, depth, noise):
                    continue
                place = stored.setdefault(name, {}).setdefault(stage, {})
                old = None if options.again else place.get(variant)
                if old and "finalists" in old:
                    continue
                start = time.process_time()
                place[variant] = measure(recipe, WORLDS[name], depth, noise, old)
                stored["date"] = str(date.today())
                write_whole(RESULTS, json.dumps(stored, indent=0) + "\n")
                score = np.mean(place[variant]["test"])
                seconds = time.process_time() - start
                print(f"{name} | {stage} | {variant:32} {score:.2f} {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
