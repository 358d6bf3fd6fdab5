"""Checks of chapter 22: the choice of a recipe by rules, and by its result."""

import math
from fractions import Fraction
from itertools import pairwise, product

from regbook import challenge
from regbook.exercise import Chapter, Failed, judge, vary

chapter = Chapter("22_recipes")


# --- choose_recipe ---------------------------------------------------------------------------

DEEP = 3  # hidden layers; more are deep


def _default(deep, noisy):
    return {
        "init": "he" if deep else "glorot",
        "activation": "elu" if deep else "relu",
        "norm": "batch" if deep else "none",
        "regularizer": "dropout" if noisy else "none",
        "inference": "as trained",
    }


def _self_normalizing(deep, noisy):
    return {
        "init": "lecun",
        "activation": "selu",
        "norm": "none",
        "regularizer": "alpha dropout",
        "inference": "as trained",
    }


def _suits(deep, noisy, plain, scaled):
    return deep and noisy and plain and scaled


def _sparse(recipe):
    return {**recipe, "regularizer": "l1"}


def _fast(recipe):
    fold = "folded" if recipe["norm"] == "batch" else "as trained"
    return {**recipe, "activation": "relu", "inference": fold}


def _unsure(recipe):
    return {**recipe, "regularizer": "dropout", "inference": "mc dropout"}


def _recipe(
    problem,
    *,
    border=DEEP,
    noise=lambda share: share > 0,
    default=_default,
    other=_self_normalizing,
    suits=_suits,
    every_goal=False,
    sparse=_sparse,
    fast=_fast,
    unsure=_unsure,
):
    deep, noisy, goal = (
        problem["hidden_layers"] > border,
        noise(problem["label_noise"]),
        problem["goal"],
    )
    recipe = default(deep, noisy)
    suited = suits(deep, noisy, problem["plain_stack"], problem["scaled_inputs"])
    if suited and (goal == "accuracy" or every_goal):
        recipe = other(deep, noisy)
    goals = {"sparse": sparse, "latency": fast, "uncertainty": unsure}
    return goals.get(goal, dict)(recipe)


def _with(make, **changes):
    """Return a function that makes a recipe, with some values changed."""
    return lambda *given: {**make(*given), **changes}


_MISTAKES = {
    "border": [vary(_recipe, border=DEEP - 1), vary(_recipe, border=DEEP + 1)],
    "batch norm always": vary(_recipe, default=_with(_default, norm="batch")),
    "batch norm never": vary(_recipe, default=_with(_default, norm="none")),
    "upside down": vary(_recipe, default=lambda deep, noisy: _default(not deep, noisy)),
    "deep start when shallow": vary(_recipe, default=_with(_default, init="he")),
    "shallow start when deep": vary(_recipe, default=_with(_default, init="glorot")),
    "ELU when shallow": vary(_recipe, default=_with(_default, activation="elu")),
    "ReLU when deep": vary(_recipe, default=_with(_default, activation="relu")),
    "dropout always": vary(_recipe, default=lambda deep, noisy: _default(deep, True)),
    "noise ignored": vary(
        _recipe, default=lambda deep, noisy: _default(deep, False), suits=lambda *_: False
    ),
    "noise at 10 %": [
        vary(_recipe, noise=lambda share: share > 0.1),
        vary(_recipe, noise=lambda share: share >= 0.1),
    ],
    "never self-normalizing": vary(_recipe, suits=lambda *_: False),
    "self-normalizing when clean": vary(
        _recipe, suits=lambda deep, noisy, plain, scaled: deep and plain and scaled
    ),
    "self-normalizing when shallow": vary(
        _recipe, suits=lambda deep, noisy, plain, scaled: noisy and plain and scaled
    ),
    "self-normalizing with skips": vary(
        _recipe, suits=lambda deep, noisy, plain, scaled: deep and noisy and scaled
    ),
    "self-normalizing on raw inputs": vary(
        _recipe, suits=lambda deep, noisy, plain, scaled: deep and noisy and plain
    ),
    "SELU from He": vary(_recipe, other=_with(_self_normalizing, init="he")),
    "SELU with batch norm": vary(_recipe, other=_with(_self_normalizing, norm="batch")),
    "SELU with plain dropout": vary(_recipe, other=_with(_self_normalizing, regularizer="dropout")),
    "SELU for every goal": vary(_recipe, every_goal=True),
    "sparse ignored": vary(_recipe, sparse=dict),
    "sparse and dropout": vary(
        _recipe,
        sparse=lambda recipe: recipe if recipe["regularizer"] == "dropout" else _sparse(recipe),
    ),
    "not folded": vary(_recipe, fast=lambda recipe: {**recipe, "activation": "relu"}),
    "nothing to fold": vary(_recipe, fast=_with(_fast, inference="folded")),
    "slow activation": vary(
        _recipe, fast=lambda recipe: {**_fast(recipe), "activation": recipe["activation"]}
    ),
    "dropout off in use": vary(_recipe, unsure=_with(_unsure, inference="as trained")),
    "nothing to draw": vary(_recipe, unsure=lambda recipe: {**recipe, "inference": "mc dropout"}),
}

choose_recipe = chapter.exercise(
    "choose_recipe",
    _recipe,
    mistakes=_MISTAKES,
    hints={
        "border": "Your border between a shallow and a deep network is off by one: three hidden layers are still shallow, four are deep.",
        "batch norm always": 'You normalize every network. With three hidden layers or fewer batch norm gains nothing here: norm is "none".',
        "batch norm never": 'Your default recipe never normalizes. With more than three hidden layers it needs batch norm: norm is "batch".',
        "upside down": "You give the shallow networks the recipe of the deep ones, and the other way round.",
        "deep start when shallow": 'Your shallow network begins with He\'s start. Its recipe is the plain one: init is "glorot".',
        "shallow start when deep": 'Your deep network begins with Glorot\'s start. With ELU and more than three layers init is "he".',
        "ELU when shallow": 'Your shallow network has ELU. Its recipe is the plain one: activation is "relu".',
        "ReLU when deep": 'Your deep network has ReLU for every goal. Its activation is "elu"; "relu" is for the goal "latency".',
        "dropout always": 'You use dropout on clean labels, too. There it gains nothing or harms: regularizer is "none" when label_noise is 0.',
        "noise ignored": "Your recipe does not change when labels are wrong. Then the default recipe gets dropout.",
        "noise at 10 %": "A few wrong labels count as well: any label_noise above 0 asks for a regularizer.",
        "never self-normalizing": 'You never choose the self-normalizing recipe. It is the one for a deep, plain stack with scaled inputs, wrong labels and the goal "accuracy".',
        "self-normalizing when clean": "You choose the self-normalizing recipe on clean labels. There batch norm did better: it takes wrong labels for alpha dropout to be worth it.",
        "self-normalizing when shallow": "You choose the self-normalizing recipe for a shallow network. There nothing has to be kept in balance: take the default.",
        "self-normalizing with skips": "You choose the self-normalizing recipe although the network is no plain stack. Skips and other layers break the balance that SELU needs: take the default.",
        "self-normalizing on raw inputs": "You choose the self-normalizing recipe although the inputs are not scaled. SELU keeps mean 0 and variance 1, and does not make them: take the default.",
        "SELU from He": "SELU needs LeCun's start: with He's the variance doubles from layer to layer.",
        "SELU with batch norm": 'You put batch norm into the self-normalizing recipe. SELU normalizes by itself: norm is "none".',
        "SELU with plain dropout": "Plain dropout shifts mean and variance and undoes what SELU keeps. The self-normalizing recipe takes alpha dropout.",
        "SELU for every goal": "You build on the self-normalizing recipe for other goals than accuracy. Those begin with the default recipe.",
        "sparse ignored": 'The goal "sparse" changes nothing in your recipe: its regularizer is "l1".',
        "sparse and dropout": 'With wrong labels your sparse recipe has dropout, which makes no weight 0. Its regularizer is "l1" with any labels.',
        "not folded": 'Batch norm still costs time in use. For the goal "latency" it is folded into the layer before it: inference is "folded".',
        "nothing to fold": 'You fold a batch norm that is not there: in a shallow network inference stays "as trained".',
        "slow activation": 'For the goal "latency" the activation is "relu", the cheapest one.',
        "dropout off in use": 'For the goal "uncertainty" dropout stays on in use, and the spread of several passes says how sure the network is: inference is "mc dropout".',
        "nothing to draw": 'MC dropout needs dropout in the network: with the goal "uncertainty" the regularizer is "dropout", with clean labels too.',
    },
)


def _asked(ask, rng, goals, layers=(3, 4), noise=(0, 1), plain=(0, 1), scaled=(0, 1)):
    """Ask about every combination, in an order that is drawn; return the answers by the case."""
    shown = {}
    cases = list(product(goals, layers, noise, plain, scaled))
    for i in rng.permutation(len(cases)):
        goal, hidden, noisy, is_plain, is_scaled = cases[i]
        share = float(rng.uniform(0.01, 0.4)) if noisy else 0.0
        if noisy and rng.random() < 0.5:
            share = float(rng.uniform(0.01, 0.09))
        problem = {
            "hidden_layers": hidden,
            "plain_stack": bool(is_plain),
            "scaled_inputs": bool(is_scaled),
            "label_noise": round(share, 3),
            "goal": goal,
        }
        stack, inputs = "plain" if is_plain else "skips", "scaled" if is_scaled else "raw"
        text = f"{hidden} layers, {stack}, {inputs}, noise {share:.3g}"
        shown[text] = ask(problem)
    return shown


@choose_recipe.check(
    points=2,
    hint="With clean labels and the goal \"accuracy\" there is no regularizer. A deep network gets He's start, ELU and batch norm, any other one Glorot's start, ReLU and no norm.",
    more='Begin with deep = problem["hidden_layers"] > 3, and let init, activation and norm depend on it.',
)
def gives_the_default(ask, rng):
    """gives the default recipe for clean labels, with batch norm when the network is deep"""
    return _asked(ask, rng, ["accuracy"], (1, 3, 4, 9), noise=(0,))


@choose_recipe.check(
    points=2,
    hint="With wrong labels the default recipe gets dropout.",
    more="Only a deep, plain stack with scaled inputs leaves the default; ask about the three with `and`.",
)
def regularizes_against_wrong_labels(ask, rng):
    """adds dropout to the default recipe when labels are wrong"""
    cases = [(0, 0), (0, 1), (1, 0)]
    shown = _asked(ask, rng, ["accuracy"], layers=(2, 3), noise=(1,))
    for plain, scaled in cases:
        shown |= _asked(ask, rng, ["accuracy"], (4,), (1,), (plain,), (scaled,))
    return shown


@choose_recipe.check(
    points=2,
    hint="A deep and plain stack with scaled inputs and wrong labels gets LeCun's start, SELU, no norm and alpha dropout.",
    more='All four conditions must hold, and the goal must be "accuracy".',
)
def knows_the_self_normalizing_one(ask, rng):
    """gives the self-normalizing recipe where all of its conditions hold"""
    return _asked(ask, rng, ["accuracy"], (4, 8), (1,), (1,), (1,))


@choose_recipe.check(
    hint='The goal "sparse" takes the default recipe with the regularizer "l1".',
    more="Whatever the labels are: L1 takes the place of dropout.",
)
def makes_it_sparse(ask, rng):
    """takes L1 in the default recipe when the goal is a sparse network"""
    return _asked(ask, rng, ["sparse"])


@choose_recipe.check(
    hint='The goal "latency" takes the default recipe with ReLU, and folds the batch norm where there is one.',
    more='inference is "folded" if norm is "batch", else "as trained".',
)
def makes_it_fast(ask, rng):
    """takes ReLU, and folds the batch norm, when the goal is a short time"""
    return _asked(ask, rng, ["latency"])


@choose_recipe.check(
    hint='The goal "uncertainty" takes the default recipe with dropout that stays on in use.',
    more='regularizer is "dropout" and inference "mc dropout", with any labels.',
)
def says_how_sure_it_is(ask, rng):
    """takes dropout, and keeps it on in use, when the goal is to say how sure the network is"""
    return _asked(ask, rng, ["uncertainty"])


# --- affordable_epochs -----------------------------------------------------------------------


def _products(sizes):
    return sum(int(a) * int(b) for a, b in pairwise(sizes))


def _epochs(
    sizes,
    rows,
    budget,
    limit,
    *,
    weights=_products,
    passes=3,
    whole=lambda share: share // 1,
    most=min,
):
    share = Fraction(int(budget), passes * weights(sizes) * (rows or 1))
    return int(most(limit, whole(share)))


affordable_epochs = chapter.exercise(
    "affordable_epochs",
    _epochs,
    mistakes={
        "forward only": vary(_epochs, passes=1),
        "one pass back": vary(_epochs, passes=2),
        "biases counted": vary(
            _epochs, weights=lambda sizes: _products(sizes) + int(sum(sizes[1:]))
        ),
        "sizes added": vary(_epochs, weights=lambda sizes: int(sum(sizes))),
        "first layer only": vary(_epochs, weights=lambda sizes: _products(sizes[:2])),
        "output layer forgotten": vary(_epochs, weights=lambda sizes: _products(sizes[:-1]) or 1),
        "first layer forgotten": vary(_epochs, weights=lambda sizes: _products(sizes[1:]) or 1),
        "rows forgotten": vary(_epochs, rows=1),
        "rounded up": vary(_epochs, whole=math.ceil),
        "rounded": vary(_epochs, whole=round),
        "one at least": vary(_epochs, whole=lambda share: max(1, share // 1)),
        "no limit": vary(_epochs, most=lambda limit, share: share),
        "limit always": vary(_epochs, most=lambda limit, share: limit),
        "more of the two": vary(_epochs, most=max),
        "one less": vary(_epochs, whole=lambda share: math.ceil(share) - 1),
    },
    hints={
        "forward only": "You count the products of the forward pass alone. The backward pass takes two more for each weight: 3 in all.",
        "one pass back": "You count one product per weight in the backward pass. There are two: one for the gradient of the weights, one for that of the layer's inputs.",
        "biases counted": "You count the biases. They are added, and take no product.",
        "sizes added": "You add the sizes. A layer has inputs * outputs weights: multiply neighbours, then add.",
        "first layer only": "You count the first layer alone. Every pair of neighbouring sizes is a layer.",
        "output layer forgotten": "The last layer is missing: it leads from the last hidden layer to the classes.",
        "first layer forgotten": "The first layer is missing: it leads from the inputs to the first hidden layer.",
        "rows forgotten": "You count the products of one row. An epoch takes all rows.",
        "rounded up": "You round up, and the last epoch is no longer within the budget: round down.",
        "rounded": "You round to the nearest whole number, which is above the budget half of the time: round down.",
        "one at least": "Where the budget does not even pay for one epoch the answer is 0.",
        "no limit": "A large budget gives more epochs than `limit`: return the smaller of the two.",
        "limit always": "You return `limit` whatever the budget is.",
        "more of the two": "You return the larger one of the limit and what the budget pays for. Both are upper bounds: return the smaller one.",
        "one less": "Where the budget pays for a whole number of epochs exactly, you return one less. That number is within the budget.",
    },
)


def _layers(rng, hidden):
    return rng.integers(5, 40, size=hidden + 2)


@affordable_epochs.check(
    points=2,
    hint="An epoch costs 3 * weights * rows multiply-adds. How many epochs fit into the budget, rounded down?",
    more="The weights are the sum of sizes[i] * sizes[i + 1] over all layers. budget // (3 * weights * rows) rounds down.",
    keeps_input=True,
)
def counts_the_epochs(ask, rng):
    """gives the epochs that the budget pays for, with none to three hidden layers"""
    shown = {}
    for hidden in (0, 1, 2, 3):
        sizes, rows = _layers(rng, hidden), int(rng.integers(50, 200))
        # Between two whole numbers: nearer to the upper one.
        budget = int(3 * _products(sizes) * rows * (rng.integers(90, 120) + rng.uniform(0.6, 0.9)))
        shown[f"{hidden} hidden layers"] = ask(sizes, rows, budget, 10**6)
    return shown


@affordable_epochs.check(
    hint="The result is never more than `limit`, and it is 0 where the budget is below the cost of one epoch.",
    more="min(limit, ...) of the two. // gives 0 by itself.",
)
def knows_its_bounds(ask, rng):
    """gives at most the limit, and 0 where not one epoch is paid for"""
    sizes, rows = _layers(rng, 1), int(rng.integers(50, 200))
    each, limit = 3 * _products(sizes) * rows, int(rng.integers(20, 200))
    return {
        "a large budget": ask(sizes, rows, each * (limit + 7) + 5, limit),
        "a small budget": ask(sizes, rows, each - 1, limit),
        "just below the limit": ask(sizes, rows, each * (limit - 1) + 5, limit),
    }


@affordable_epochs.check(
    hint="A budget that pays for a number of epochs exactly pays for all of them.",
    more="Divide whole numbers with //: a division of floats may fall a hair below the whole number.",
)
def takes_the_last_one(ask, rng):
    """counts an epoch that uses the budget up"""
    sizes, rows, number = _layers(rng, 2), int(rng.integers(50, 200)), int(rng.integers(20, 90))
    each = 3 * _products(sizes) * rows
    return ask(sizes, rows, each * number, 200), ask(sizes, rows, each * number - 1, 200)


# --- my_recipe -------------------------------------------------------------------------------

BARS = {"first": 1.5, "second": 6.0, "third": 10.5}  # points of lead over the reference

my_recipe = chapter.exercise(
    "my_recipe",
    hints={
        "no dict": 'Return a dict of settings, such as {"rate": 0.01, "epochs": 50}.',
        "unknown setting": "Your dict has a key that is no setting. The trainer does not guess: a misspelt key would leave the setting at its default without a word.",
        "wrong value": "A setting has a value that the trainer does not take: the table of settings in the exercise says which ones it does.",
        "two dropouts": "You switch on dropout and alpha dropout together. Choose one: alpha dropout for SELU, dropout for every other activation.",
        "over budget": "Your run would cost more multiply-adds than the budget, and is not trained. Compute the epochs from the budget: budget // (3 * weights * rows) of them are never too many, where `weights` is the sum of inputs * outputs over the layers.",
        "gone astray": "Your training went astray: the weights ended as something that is no number, or the network does no better than guessing. Take a smaller rate.",
        "raw inputs": "You train on raw inputs, whose columns have very different scales: the large ones decide. Set scale_inputs to True.",
        "short runs": "You leave most of the budget unused, without early stopping or a schedule that would make more epochs safe. Take as many epochs as the budget allows, and say how the run ends.",
        "noise ignored": 'Where 40 % of the labels are wrong, your network learns them by heart: nothing in the recipe prevents it. Look at problem["label_noise"], and use L2, dropout or early stopping there.',
        "clean smothered": 'Where all labels are right and each class has many clusters, your regularizer keeps the network from fitting them. Look at problem["label_noise"]: without wrong labels, take little of it or none.',
        "one recipe for all": 'You give one recipe to all four problems. What wrong labels need, the clean problems pay for: look at problem["label_noise"], ["rows"] and ["clusters"].',
    },
)


def _asked_for(ask, problem):
    """Return the settings for a problem. Raises Failed for those that cannot be trained."""
    try:
        return challenge.read_settings(ask(dict(problem)))
    except challenge.BadSettings as bad:
        raise Failed(bad.expected, bad.received, bad.kind) from bad


def _affordable(ask, problem):
    """Return the settings for a problem. Raises Failed for those above the budget, too."""
    settings, budget = _asked_for(ask, problem), problem["budget"]
    spent = challenge.cost(settings, problem)
    if spent > budget:
        received = f"{spent:.3g}, {spent / budget:.3g} times as many"
        raise Failed(f"at most {budget:.3g} multiply-adds", received, "over budget")
    return settings


def _others(rng):
    """Draw problems that are none of the four."""
    for _ in range(6):
        rows, features = int(rng.integers(100, 3000)), int(rng.integers(4, 60))
        classes, clusters = int(rng.integers(2, 12)), int(rng.integers(1, 20))
        yield {
            "rows": rows,
            "features": features,
            "classes": classes,
            "clusters": clusters,
            "spread": float(rng.choice([1.25, 2.5])),
            "label_noise": float(rng.choice([0.0, 0.1, 0.2, 0.4])),
            # Enough for 10 to 40 epochs of the widest network with two hidden layers.
            "budget": int(rng.integers(10, 40)) * 3 * 128 * (features + 128 + classes) * rows,
        }


@my_recipe.check(
    hint="Every problem, the four and others, must get a dict of settings that exist.",
    more="Leave out what shall stay at its default, and spell the rest as in the table.",
)
def gives_settings(ask, rng):
    """gives settings that can be trained, for the four problems and for others"""
    problems = [*challenge.PROBLEMS, *_others(rng)]
    for problem in problems:
        _asked_for(ask, problem)
    return judge(True, "settings", f"settings for {len(problems)} problems")


@my_recipe.check(
    hint='The multiply-adds of the run, 3 * weights * rows * epochs, must be at most problem["budget"].',
    more="Compute the epochs last: budget // (3 * weights * rows), at least 1 and at most 200.",
)
def keeps_to_the_budget(ask, rng):
    """keeps to the budget, for the four problems and for others"""
    problems = [*challenge.PROBLEMS, *_others(rng)]
    shares = [
        challenge.cost(_affordable(ask, problem), problem) / problem["budget"]
        for problem in problems
    ]
    return judge(True, "at most 100 % of the budget", f"at most {max(shares):.0%}")


def _seed(rng):
    """Return the seed of the report: the three grades look at the same draws."""
    return int(rng.bit_generator.seed_seq.entropy[0])


def _lead(ask, rng, bar):
    """Judge the mean lead over the reference, in points."""
    recipes = [_affordable(ask, problem) for problem in challenge.PROBLEMS]
    found = challenge.scores(recipes, _seed(rng))
    lead = found.points.mean()
    parts = ", ".join(f"{points:+.1f}" for points in found.points.mean(axis=1))
    return judge(
        lead >= bar,
        f"{bar:+.1f} points or more",
        f"{lead:+.1f} ({parts} on the four problems)",
        {"gone astray": found.astray, **_faults(recipes)},
    )


def _faults(recipes):
    """Tell which mistakes the recipes for the four problems have."""
    noisy = [bool(problem["label_noise"]) for problem in challenge.PROBLEMS]
    pairs = list(zip(recipes, noisy, challenge.PROBLEMS, strict=True))
    keys = ("l2", "dropout", "alpha_dropout")
    strong = {"l2": 0.004, "dropout": 0.25, "alpha_dropout": 0.08}
    return {
        "raw inputs": not all(recipe["scale_inputs"] for recipe in recipes),
        "noise ignored": not any(
            recipe["early_stopping"] or any(recipe[key] for key in keys)
            for recipe, wrong, _ in pairs
            if wrong
        ),
        "one recipe for all": len({str({**recipe, "epochs": 0}) for recipe in recipes}) == 1,
        "clean smothered": any(
            any(recipe[key] >= strong[key] for key in keys)
            for recipe, wrong, _ in pairs
            if not wrong
        ),
        "short runs": all(
            challenge.cost(recipe, problem) < 0.3 * problem["budget"] and recipe["epochs"] < 100
            for recipe, _, problem in pairs
        ),
    }


@my_recipe.check(
    points=2,
    hint="On the draws of this check your recipes lead by less than 1.5 points. `practise(my_recipe)` shows where they lose.",
    more="Scaled inputs are the first step. Then look at the problems with wrong labels, where most is to be gained: early stopping, L2 or dropout.",
)
def leads_by_a_little(ask, rng):
    """leads the reference by 1.5 points or more"""
    return _lead(ask, rng, BARS["first"])


@my_recipe.check(
    points=2,
    hint="On the draws of this check your recipes lead by less than 6 points. `practise(my_recipe)` shows where they lose.",
    more="Treat the clean problems and those with wrong labels apart: a rate that falls to 0 for the clean ones, and strong regularization for the others.",
)
def leads_clearly(ask, rng):
    """leads the reference by 6 points or more"""
    return _lead(ask, rng, BARS["second"])


@my_recipe.check(
    points=3,
    hint="On the draws of this check your recipes lead by less than 10.5 points. `practise(my_recipe)` shows where they lose.",
    more="With 300 rows and 40 % wrong labels one hidden layer with a large L2 (0.03 to 0.05) does best; with 1,000 rows a smaller one. The clean problems like two narrow layers, because a narrow network gets more epochs out of the budget, with 1cycle.",
)
def leads_by_far(ask, rng):
    """leads the reference by 10.5 points or more"""
    return _lead(ask, rng, BARS["third"])
