"""Right and wrong answers to the exercises of chapter 22 that differ in form.

A wrong answer is a pair: the name of its mistake, and the function. Those that the checks know as
mistakes are tested too, and need no entry here. `benchmarks/challenge.py` measures the answers to
`my_recipe` by the names of their functions.
"""

from itertools import pairwise

import numpy as np

# --- choose_recipe ---------------------------------------------------------------------------


def by_a_table(problem):
    deep, noisy = problem["hidden_layers"] >= 4, problem["label_noise"] != 0
    balanced = deep and noisy and problem["plain_stack"] and problem["scaled_inputs"]
    norm = "batch" if deep else "none"
    base = ["he", "elu", norm] if deep else ["glorot", "relu", norm]
    usual = [*base, "dropout" if noisy else "none", "as trained"]
    rows = {
        "accuracy": ["lecun", "selu", "none", "alpha dropout", "as trained"] if balanced else usual,
        "sparse": [*base, "l1", "as trained"],
        "latency": [base[0], "relu", *usual[2:4], "folded" if deep else "as trained"],
        "uncertainty": [*base, "dropout", "mc dropout"],
    }
    names = ["init", "activation", "norm", "regularizer", "inference"]
    return dict(zip(names, rows[problem["goal"]], strict=True))


def by_updates(problem):
    recipe = dict(
        inference="as trained", regularizer="none", norm="none", activation="relu", init="glorot"
    )
    if problem["hidden_layers"] > 3:
        recipe |= {"norm": "batch", "activation": "elu", "init": "he"}
    if problem["label_noise"] > 0:
        recipe |= {"regularizer": "dropout"}
    if problem["goal"] == "sparse":
        recipe["regularizer"] = "l1"
    elif problem["goal"] == "latency":
        recipe["activation"] = "relu"
        if recipe["norm"] == "batch":
            recipe["inference"] = "folded"
    elif problem["goal"] == "uncertainty":
        recipe |= {"regularizer": "dropout", "inference": "mc dropout"}
    elif list(recipe.values())[1:3] == ["dropout", "batch"] and (
        problem["plain_stack"] and problem["scaled_inputs"]
    ):
        recipe |= {"init": "lecun", "activation": "selu", "norm": "none"}
        recipe["regularizer"] = "alpha dropout"
    return recipe


def by_match(problem):
    match problem:
        case {"goal": "accuracy", "plain_stack": True, "scaled_inputs": True}:
            alpha = problem["hidden_layers"] > 3 and problem["label_noise"] > 0
        case _:
            alpha = False
    goal = np.str_(problem["goal"])
    deep = np.array(problem["hidden_layers"]) > 3
    return {
        "init": np.where(alpha, "lecun", np.where(deep, "he", "glorot")).item(),
        "activation": "selu" if alpha else "elu" if deep and goal != "latency" else "relu",
        "norm": np.str_("batch" if deep and not alpha else "none"),
        "regularizer": (
            "alpha dropout"
            if alpha
            else {"sparse": "l1", "uncertainty": "dropout"}.get(
                goal, "dropout" if problem["label_noise"] > 0 else "none"
            )
        ),
        "inference": (
            "mc dropout"
            if goal == "uncertainty"
            else "folded"
            if goal == "latency" and deep
            else "as trained"
        ),
    }


def changed(**values):
    """Return a wrong answer: the right one with some values changed."""
    return lambda problem: {**by_updates(problem), **values}


# --- affordable_epochs -----------------------------------------------------------------------


def by_a_loop(sizes, rows, budget, limit):
    epochs, spent = 0, 0
    each = rows * 3 * sum(int(a) * int(b) for a, b in pairwise(sizes))
    while epochs < limit and spent + each <= budget and epochs < 2000:
        epochs, spent = epochs + 1, spent + each
    return epochs


def by_a_matrix_product(sizes, rows, budget, limit):
    weights = np.float64(sizes[:-1]) @ sizes[1:]
    return np.minimum(limit, np.floor_divide(budget, 3 * weights * rows))


def by_divmod(sizes, rows, budget, limit):
    weights = 0
    for i in range(len(sizes) - 1):
        weights += sizes[i] * sizes[i + 1]
    whole, _ = divmod(budget, int(weights) * rows * 3)
    return [limit, whole][whole < limit]


def in_small_integers(sizes, rows, budget, limit):
    return min(limit, budget // (3 * int(np.sum(sizes[:-1] * sizes[1:])) * rows)) + 0.5


# --- my_recipe -------------------------------------------------------------------------------


def afford(problem, recipe, share=1.0):
    """Return a recipe with scaled inputs, and with as many epochs as a share of the budget pays."""
    recipe = {"scale_inputs": True, **recipe}
    sizes = [problem["features"], *[recipe.get("width", 64)] * recipe.get("depth", 2)]
    sizes.append(problem["classes"])
    weights = sum(np.multiply(sizes[:-1], sizes[1:]))
    epochs = int(share * problem["budget"] // (3 * weights * problem["rows"]))
    return {"epochs": min(200, max(1, epochs)), **recipe}


CYCLE = {"schedule": "one_cycle"}
NARROW = {"width": 32, "init": "he", "norm": "batch", "optimizer": "momentum", "rate": 0.1, **CYCLE}
L2 = {"depth": 1, "rate": 0.004}


def weight_decay_against_noise(problem):
    if problem["label_noise"]:
        strength = 0.05 if problem["rows"] < 600 else 0.01
        return afford(problem, {**L2, **CYCLE, "l2": strength})
    strength = 0.001 if problem["rows"] < 1000 else 0
    return afford(
        problem, {**NARROW, "batch": 64 if problem["rows"] > 1000 else 32, "l2": strength}
    )


def stopped_early_without_batch_norm(problem):
    if problem["label_noise"]:
        strength = 0.05 if problem["rows"] < 600 else 0.01
        return afford(problem, {**L2, "l2": strength, "early_stopping": True})
    recipe = {"init": "he", "optimizer": "momentum", "rate": 0.1, "l2": 0.0}
    recipe["l2"] = 0.001 if problem["rows"] < 1000 else 0.0
    return afford(problem, {**recipe, **CYCLE})


def self_normalizing_against_noise(problem):
    if problem["label_noise"]:
        if problem["rows"] > 600:
            return afford(problem, {**L2, **CYCLE, "l2": 0.01})
        recipe = {"depth": 1, "init": "lecun", "activation": "selu", "alpha_dropout": 0.3}
        recipe |= {"optimizer": "momentum", "rate": 0.03, "early_stopping": True}
        return afford(problem, {**recipe, **CYCLE})
    return afford(problem, {**NARROW, "batch": 64, "depth": 3 if problem["rows"] > 1000 else 2})


def strength_by_a_formula(problem):
    noise, rows = problem["label_noise"], np.float64(problem["rows"])
    if noise == 0:
        return afford(problem, {**NARROW, "rate": np.float32(0.1)})
    recipe = {
        "depth": 1,
        "init": "he",
        "optimizer": "momentum",
        "rate": 0.05,
        "l2": 30 * noise / rows,
    }
    return afford(problem, {**recipe, **CYCLE})


def adam_everywhere(problem):
    if problem["label_noise"]:
        strength = np.array(0.04) if problem["rows"] < 600 else np.array(0.01)
        return afford(problem, {**L2, "l2": strength, "schedule": "cosine"}, share=0.8)
    recipe = {"width": 32, "init": "he", "norm": "batch", "rate": 0.01, "l2": 0.0005}
    return afford(problem, {**recipe, **CYCLE})


def one_for_all(problem):
    """The best single recipe that was found; it leads clearly, but not by far."""
    return afford(problem, {"depth": 2, "rate": 0.004, "l2": 0.0015, "early_stopping": True})


def empty(problem):
    return {}


def the_default(problem):
    return {**afford(problem, {}), "scale_inputs": False}


def raw_inputs(problem):
    return {**weight_decay_against_noise(problem), "scale_inputs": False}


def the_reference(problem):
    return afford(problem, {})


def dropout_for_all(problem):
    recipe = {"width": 128, "depth": 1, "init": "he", "rate": 0.006, "dropout": 0.5}
    return afford(problem, {**recipe, **CYCLE, "early_stopping": True})


def strong_decay_for_all(problem):
    return afford(problem, {**L2, "l2": 0.01, "early_stopping": True})


def stopped_reference(problem):
    return afford(problem, {"early_stopping": True})


def clean_recipes_everywhere(problem):
    return afford(problem, {**NARROW, "batch": 64 if problem["rows"] > 1000 else 32})


def smothered(problem):
    few = problem["rows"] < 600
    return afford(problem, {**L2, **CYCLE, "l2": 0.05 if few else 0.01})


def dropout_on_clean_rows(problem):
    recipe = weight_decay_against_noise(problem)
    return recipe if problem["label_noise"] else {**recipe, "dropout": 0.5}


def upside_down(problem):
    return weight_decay_against_noise({**problem, "label_noise": 0.4 - problem["label_noise"]})


def too_short(problem):
    return {**weight_decay_against_noise(problem), "epochs": 3}


def too_fast(problem):
    recipe = weight_decay_against_noise(problem)
    return recipe if problem["label_noise"] else {**recipe, "norm": "none", "rate": 10.0}


def twice_the_budget(problem):
    recipe = weight_decay_against_noise(problem)
    return {**recipe, "epochs": 2 * recipe["epochs"]}


def fixed_epochs(problem):
    return {**weight_decay_against_noise(problem), "epochs": 150}


def forward_only(problem):
    return weight_decay_against_noise({**problem, "budget": 3 * problem["budget"]})


def with_(**values):
    """Return a wrong answer: a right one with some settings changed."""
    return lambda problem: {**weight_decay_against_noise(problem), **values}


RIGHT = {
    "choose_recipe": [by_a_table, by_updates, by_match],
    "affordable_epochs": [by_a_loop, by_a_matrix_product, by_divmod],
    "my_recipe": [
        weight_decay_against_noise,
        stopped_early_without_batch_norm,
        self_normalizing_against_noise,
        strength_by_a_formula,
        adam_everywhere,
    ],
}

WRONG = {
    "choose_recipe": [
        ("error", lambda problem: None),
        ("form", lambda problem: list(by_updates(problem).values())),
        ("form", lambda problem: {**by_updates(problem), "dropout": 0.5}),
        (
            "self-normalizing when clean",
            lambda problem: (
                by_updates({**problem, "label_noise": 0.0})
                if problem["label_noise"] == 0
                and not (
                    problem["goal"] == "accuracy"
                    and problem["hidden_layers"] > 3
                    and problem["plain_stack"]
                    and problem["scaled_inputs"]
                )
                else by_updates({**problem, "label_noise": problem["label_noise"] or 0.1})
            ),
        ),
    ],
    "affordable_epochs": [
        ("counts_the_epochs", in_small_integers),
        ("error", lambda sizes, rows, budget: 3),
        (
            "rounded",
            lambda sizes, rows, budget, limit: np.clip(
                np.rint(budget / (3.0 * (sizes[:-1] @ sizes[1:]) * rows)), 0, limit
            ),
        ),
        (
            "one at least",
            lambda sizes, rows, budget, limit: by_divmod(sizes, rows, budget, limit) or 1,
        ),
    ],
    "my_recipe": [
        ("error", lambda problem: None),
        ("no dict", lambda problem: list(weight_decay_against_noise(problem).items())),
        ("no dict", lambda problem: "relu"),
        ("unknown setting", with_(learning_rate=0.01)),
        ("unknown setting", with_(Rate=0.01)),
        ("unknown setting", with_(weights=0)),
        ("wrong value", with_(activation="gelu")),
        ("wrong value", with_(dropout=1.0)),
        ("wrong value", with_(rate=float("nan"))),
        ("wrong value", with_(rate="0.01")),
        ("wrong value", with_(width=8)),
        ("wrong value", with_(epochs=2.5)),
        ("wrong value", with_(early_stopping=1)),
        ("wrong value", with_(optimizer=["adam"])),
        ("two dropouts", with_(dropout=0.2, alpha_dropout=0.1)),
        ("over budget", twice_the_budget),
        ("over budget", fixed_epochs),
        ("over budget", forward_only),
        ("gone astray", too_fast),
        ("over budget", empty),
        ("raw inputs", the_default),
        ("raw inputs", raw_inputs),
        ("noise ignored", the_reference),
        ("noise ignored", clean_recipes_everywhere),
        ("one recipe for all", dropout_for_all),
        ("one recipe for all", strong_decay_for_all),
        ("one recipe for all", stopped_reference),
        ("clean smothered", smothered),
        ("clean smothered", dropout_on_clean_rows),
        ("clean smothered", upside_down),
        ("short runs", too_short),
    ],
}
