"""Right and wrong answers to the exercises of chapter 24, for `test_answers`."""

import copy
import math
from functools import partial

import numpy as np

# --- train_best ------------------------------------------------------------------------------


def train_by_counting(train_epoch, evaluate, state, epochs, patience):
    best, kept, waited, losses = np.inf, None, 0, []
    while len(losses) < epochs and waited < patience:
        state = train_epoch(state)
        losses.append(evaluate(state))
        if losses[-1] < best:
            best, kept, waited = losses[-1], state.copy(), 0
        else:
            waited += 1
    return kept, losses


def train_by_places(train_epoch, evaluate, state, epochs, patience):
    """Compare the number of the epoch with that of the best; keep all states."""
    states, losses, best = [], [], -1
    for epoch in range(epochs):
        states.append(train_epoch(states[-1] if states else state))
        losses.append(float(evaluate(states[-1])))
        if best < 0 or losses[epoch] < losses[best]:
            best = epoch
        if epoch - best == patience:
            break
    return states[best], np.array(losses)


def train_in_torch(train_epoch, evaluate, state, epochs, patience):
    import torch

    now, best, kept = torch.tensor(state), torch.tensor(float("inf")), None
    losses, since = [], 0
    for _ in range(epochs):
        now = torch.tensor(np.asarray(train_epoch(now.numpy())))
        losses.append(torch.tensor(float(evaluate(now.numpy()))))
        since += 1
        if losses[-1] < best:
            best, kept, since = losses[-1], now.clone(), 0
        if since >= patience:
            break
    return kept, torch.stack(losses)


def train_with_a_list(train_epoch, evaluate, state, epochs, patience):
    tried = []

    def key(pair):
        return np.inf if np.isnan(pair[0]) else pair[0]

    for _ in range(epochs):
        state = train_epoch(state)
        tried.append((evaluate(state), state))
        best = min(range(len(tried)), key=lambda i: key(tried[i]))
        if len(tried) - best > patience:
            break
    return [*map(float, tried[best][1])], [loss for loss, _ in tried]


def train_in_place(train_epoch, evaluate, state, epochs, patience):
    """Write into one array, so that the kept state is the last one."""
    best, kept, waited, losses = np.inf, state, 0, []
    for _ in range(epochs):
        state[:] = train_epoch(state)
        losses.append(evaluate(state))
        if losses[-1] < best:
            best, kept, waited = losses[-1], state, 0
        else:
            waited += 1
        if waited == patience:
            break
    return kept, losses


def train_and_spoil(train_epoch, evaluate, state, epochs, patience):
    """Find the right state, and leave it in the array that was given."""
    kept, losses = train_by_counting(train_epoch, evaluate, state.copy(), epochs, patience)
    state[:] = kept
    return state, losses


def train_as_found(train_epoch, evaluate, state, epochs, patience):
    """Do as the loop that is to be repaired: best begins at 1."""
    best_loss, kept, wait, losses = 1.0, state, 0, []
    for _ in range(epochs):
        state = train_epoch(state)
        loss = evaluate(state)
        losses.append(loss)
        if loss < best_loss:
            best_loss, kept, wait = loss, np.array(state), 0
        else:
            wait += 1
            if wait == patience:
                break
    return kept, losses


def train_until_it_rises(train_epoch, evaluate, state, epochs, patience):
    losses, kept, rises = [], state, 0
    for _ in range(epochs):
        state = train_epoch(state)
        losses.append(evaluate(state))
        if losses[-1] < min([np.inf, *losses[:-1]]):
            kept = state
        rises = rises + 1 if losses[-2:-1] and losses[-1] > losses[-2] else 0
        if rises == patience:
            break
    return kept, losses


def train_to_the_end(train_epoch, evaluate, state, epochs, patience):
    states = [state := train_epoch(state) for _ in range(epochs)]
    losses = [evaluate(state) for state in states]
    return states[int(np.nanargmin(losses))], losses


def losses_only(*given):
    return train_by_counting(*given)[1]


# --- two_proportion_interval -----------------------------------------------------------------


def interval_by_variances(correct_a, correct_b, n):
    shares = np.array([correct_b, correct_a]) / n
    d = shares[0] - shares[1]
    half = 1.96 * math.sqrt(sum(share * (1 - share) for share in shares) / n)
    return [d, d - half, d + half]


def interval_scipy(correct_a, correct_b, n):
    from scipy.stats import norm

    spread = np.sqrt(correct_a * (n - correct_a) + correct_b * (n - correct_b)) / n**1.5
    ends = norm.ppf([0.025, 0.5, 0.975]) * spread + (correct_b - correct_a) / n
    return ends[1], ends[0], ends[2]


def interval_from_rows(correct_a, correct_b, n):
    """Make the rows again, and take the variance of each list."""
    a, b = (np.arange(n) < correct for correct in (correct_a, correct_b))
    half = 1.96 * np.sqrt((a.var() + b.var()) / n)
    return np.float32(b.mean() - a.mean()) + np.float32([0, -half, half])


def interval_torch(correct_a, correct_b, n):
    import torch

    a, b = torch.tensor([correct_a, correct_b], dtype=torch.float64) / n
    half = 1.96 * torch.sqrt((a * (1 - a) + b * (1 - b)) / n)
    return b - a, b - a - half, b - a + half


def interval_of_a_mean(correct_a, correct_b, n):
    """Take the mean of the two shares for the variance of both."""
    d, mean = (correct_b - correct_a) / n, (correct_a + correct_b) / (2 * n)
    half = 1.96 * np.sqrt(mean * (1 - mean) * (1 / n + 1 / n))
    return d, d - half, d + half


def interval_one_sided(correct_a, correct_b, n):
    d, low, high = interval_by_variances(correct_a, correct_b, n)
    return d, d - (d - low) * 1.645 / 1.96, d + (high - d) * 1.645 / 1.96


# --- disturbed_loss_floor --------------------------------------------------------------------


def floor_formula(alpha, num_classes):
    if alpha == 0:
        return 0.0
    each = alpha / 100 / num_classes
    own = 1 - (num_classes - 1) * each
    return -(own * math.log(own) + (num_classes - 1) * each * math.log(each))


def floor_scipy(alpha, num_classes):
    from scipy.stats import entropy

    return entropy(100 * np.eye(num_classes)[0] * (1 - alpha / 100) + alpha / num_classes)


def floor_torch(alpha, num_classes):
    import torch

    chances = torch.full((num_classes,), alpha / 100 / num_classes, dtype=torch.float64)
    chances[0] += 1 - alpha / 100
    return torch.special.entr(chances).sum()


def floor_of_a_fraction(alpha, num_classes):
    """Take 30 for a fraction: the logarithm of a negative number."""
    with np.errstate(all="ignore"):
        own, each = 1 - alpha + alpha / num_classes, alpha / num_classes
        return -(own * np.log(own) + (num_classes - 1) * each * np.log(each)) if alpha else 0.0


def floor_nan(alpha, num_classes):
    chances = np.full(num_classes, alpha / 100 / num_classes)
    chances[0] += 1 - alpha / 100
    with np.errstate(all="ignore"):
        return -(chances * np.log(chances)).sum()


def floor_by_drawing(alpha, num_classes):
    """Never draw the true class."""
    chances = [1 - alpha / 100, *[alpha / 100 / (num_classes - 1)] * (num_classes - 1)]
    return -sum(q * math.log(q) for q in chances if q)


# --- diagnose_run ----------------------------------------------------------------------------


def diagnose_loop(train_loss, dev_loss, floor):
    if train_loss[-1] + 0.05 < floor:
        return "labels not disturbed"
    lowest, place = dev_loss[0], 0
    for i, loss in enumerate(dev_loss):
        if loss < lowest:
            lowest, place = loss, i
    if place == len(dev_loss) - 1:
        return "train longer"
    return "stop earlier" if dev_loss[-1] - lowest > 0.05 else "fine"


def diagnose_torch(train_loss, dev_loss, floor):
    import torch

    train, dev = torch.tensor(train_loss), torch.tensor(dev_loss)
    if floor - train[-1] > 0.05:
        return "labels not disturbed"
    rise = (dev[-1] - dev.min()).item()
    if rise == 0 and (dev[:-1] > dev[-1]).all():
        return "train longer"
    return "fine" if rise <= 0.05 else "stop earlier"


def diagnose_table(train_loss, dev_loss, floor):
    import pandas as pd

    curve = pd.DataFrame({"train": train_loss, "dev": dev_loss})
    last = curve.iloc[-1]
    cases = [
        last.train < floor - 0.05,
        curve.dev.idxmin() == curve.index[-1],
        last.dev > curve.dev.min() + 0.05,
    ]
    texts = ["labels not disturbed", "train longer", "stop earlier"]
    return np.select(cases, texts, "fine").item()


def diagnose_by_gap(train_loss, dev_loss, floor):
    """Call every gap overfitting."""
    if train_loss[-1] < floor - 0.05:
        return "labels not disturbed"
    if np.argmin(dev_loss) == len(dev_loss) - 1:
        return "train longer"
    return "stop earlier" if dev_loss[-1] - train_loss[-1] > 0.05 else "fine"


def diagnose_sorted(train_loss, dev_loss, floor):
    found = diagnose_loop(train_loss, dev_loss, floor)
    dev_loss.sort()
    return found


# --- make_configs ----------------------------------------------------------------------------


def merge(base, changes):
    unknown = set(changes) - set(base)
    if unknown:
        raise ValueError(f"no such setting: {unknown}")
    return {
        key: merge(value, changes[key])
        if isinstance(value, dict) and isinstance(changes.get(key, None), dict)
        else changes.get(key, value)
        for key, value in base.items()
    }


def configs_by_merging(base, runs):
    return {name: merge(copy.deepcopy(base), changes) for name, changes in runs.items()}


def configs_by_paths(base, runs):
    """Write every setting as a path, change the paths, and build the dicts again."""

    def paths(nested, above=()):
        for key, value in nested.items():
            if isinstance(value, dict):
                yield from paths(value, (*above, key))
            else:
                yield (*above, key), value

    found = {}
    for name, changes in runs.items():
        flat = dict(paths(base))
        for path, value in paths(changes):
            if path not in flat:
                raise KeyError(".".join(path))
            flat[path] = value
        config = {}
        for path, value in flat.items():
            inner = config
            for key in path[:-1]:
                inner = inner.setdefault(key, {})
            inner[path[-1]] = value
        found[name] = config
    return found


def configs_with_a_stack(base, runs):
    found = {}
    for name in runs:
        found[name] = copy.deepcopy(base)
        stack = [(found[name], runs[name])]
        while stack:
            target, changes = stack.pop()
            for key in changes:
                old = target[key]  # KeyError
                if isinstance(old, dict):
                    stack.append((old, changes[key]))
                else:
                    target[key] = changes[key]
    return found


def configs_by_json(base, runs):
    import json

    text = json.dumps(base)

    def put(target, changes):
        assert isinstance(changes, dict)
        for key, value in changes.items():
            if key not in target:
                raise KeyError(key)
            target[key] = put(target[key], value) if isinstance(value, dict) else value
        return target

    return {name: put(json.loads(text), changes) for name, changes in runs.items()}


def put(target, changes, known="all"):
    """Write changes into a dict of dicts."""
    for key, value in changes.items():
        if known != "none" and key not in target:
            raise KeyError(key)
        if isinstance(target.get(key), dict) and isinstance(value, dict):
            put(target[key], value, known if known == "all" else "none")
        else:
            target[key] = value
    return target


def configs_by_update(base, runs):
    """Write into the base itself, again and again."""
    return {name: put(base, changes) for name, changes in runs.items()}


def configs_by_copy(base, runs):
    """Copy the outer dict only, and write into the inner ones."""
    return {name: put(base.copy(), changes) for name, changes in runs.items()}


def configs_piled(base, runs):
    """Copy what was made last."""
    found = {}
    for name, changes in runs.items():
        base = found[name] = put(copy.deepcopy(base), changes)
    return found


def configs_written(base, runs, known):
    return {name: put(copy.deepcopy(base), changes, known) for name, changes in runs.items()}


def configs_by_or(base, runs):
    """Refuse unknown names, and replace the inner dicts."""
    configs_by_merging(base, runs)
    return {name: base | changes for name, changes in runs.items()}


def configs_asserted(base, runs):
    """Refuse by an assertion."""
    try:
        return configs_by_merging(base, runs)
    except ValueError as error:
        raise AssertionError(str(error)) from error


def configs_listed(base, runs):
    return list(configs_by_merging(base, runs).values())


# --- choose_configuration --------------------------------------------------------------------


def all_configurations():
    return [
        {"shift": shift, "penalty": penalty, "smoothing": smoothing}
        for shift in (False, True)
        for penalty in (0.0, 0.01, 0.05)
        for smoothing in (0.0, 0.3)
    ]


def choose(
    train, budget, *,
    some=lambda settings: settings, share=lambda budget, n: budget // n,
    score=lambda rows: rows["dev"], pick=max, last=lambda setting: setting,
):  # fmt: skip
    """Give every configuration an equal share; any part can be replaced."""
    settings = some(all_configurations())
    scored = [score(train(s, share(budget, len(settings)))) for s in settings]
    return last(settings[scored.index(pick(scored))])


def choose_by_halving(train, budget):
    """Train all briefly, the better half longer, and the best two in full."""
    left, steps = all_configurations(), budget // 6
    for share, keep in ((0.15, 5), (0.36, 2), (1.0, 1)):
        scored = [(train(s, int(share * steps))["dev"], i) for i, s in enumerate(left)]
        left = [left[i] for _, i in sorted(scored, reverse=True)[:keep]]
    return left[0]


def choose_one_by_one(train, budget):
    """Choose the shift and the penalty together, in full runs, without smoothing."""
    settings = [s for s in all_configurations() if not s["smoothing"]]
    return max(settings, key=lambda s: train(s, budget // 6)["dev"])


def choose_smoothed(train, budget):
    """Search with smoothing only, and give the numbers as NumPy's."""
    settings = [s for s in all_configurations() if s["smoothing"]]
    dev = np.array([train(s, budget // 7)["dev"] for s in settings])
    return {key: np.float32(value) for key, value in settings[int(dev.argmax())].items()}


def choose_by_two_runs(train, budget):
    """Run the two best of the short runs again."""
    settings = all_configurations()
    short = [train(s, budget // 18)["dev"] for s in settings]
    two = np.argsort(short)[-2:]
    long = [train(settings[i], budget // 6)["dev"] for i in two]
    return settings[two[int(np.argmax(long))]]


def choose_until_refused(train, budget):
    best = (-1, None)
    try:
        for i, setting in enumerate(all_configurations()):
            best = max(best, (train(setting, budget // 6)["dev"], -i))
    except ValueError:
        pass
    return all_configurations()[-best[1]]


def only(**wanted):
    return lambda settings: [s for s in settings if all(s[k] == v for k, v in wanted.items())]


def everything(train, budget):
    """Switch on whatever is recommended."""
    return {"shift": True, "penalty": 0.05, "smoothing": 0.3}


RIGHT = {
    "train_best": [train_by_counting, train_by_places, train_in_torch, train_with_a_list],
    "two_proportion_interval": [
        interval_by_variances,
        interval_scipy,
        interval_from_rows,
        interval_torch,
    ],
    "disturbed_loss_floor": [floor_formula, floor_scipy, floor_torch],
    "diagnose_run": [diagnose_loop, diagnose_torch, diagnose_table],
    "make_configs": [
        configs_by_merging,
        configs_by_paths,
        configs_with_a_stack,
        configs_by_json,
    ],
    "choose_configuration": [
        choose,
        choose_by_halving,
        choose_one_by_one,
        choose_smoothed,
        choose_by_two_runs,
    ],
}

# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "train_best": [
        ("last state", train_in_place),
        ("changes its input", train_and_spoil),
        ("starts at 1", train_as_found),
        ("counts rises", train_until_it_rises),
        ("no stop", train_to_the_end),
        ("error", losses_only),
    ],
    "two_proportion_interval": [
        ("pooled", interval_of_a_mean),
        ("90 %", interval_one_sided),
        ("form", lambda *given: interval_by_variances(*given)[1:]),
    ],
    "disturbed_loss_floor": [
        ("fraction for percent", floor_of_a_fraction),
        ("never the true class", floor_by_drawing),
        ("form", floor_nan),
    ],
    "diagnose_run": [
        ("gap", diagnose_by_gap),
        ("changes its input", diagnose_sorted),
        ("looks_at_the_floor_first", lambda *given: "overfitting"),
    ],
    "make_configs": [
        ("one dict for all", configs_by_update),
        ("changes pile up", configs_piled),
        ("inner dict shared", configs_by_copy),
        ("inner dict replaced", configs_by_or),
        ("unknown accepted", partial(configs_written, known="none")),
        ("unknown inside accepted", partial(configs_written, known="outer")),
        ("refuses_unknown_names", configs_asserted),
        ("form", configs_listed),
    ],
    "choose_configuration": [
        ("no decision", everything),
        ("no decision", partial(choose, some=only(shift=True, penalty=0.01, smoothing=0.0))),
        ("over budget", partial(choose, share=lambda budget, n: budget // 6)),
        ("over budget", partial(choose, share=lambda budget, n: budget // n + 1)),
        ("over budget", choose_until_refused),
        ("never shifted", partial(choose, some=only(shift=False))),
        ("always shifted", partial(choose, some=only(shift=True))),
        ("one penalty only", partial(choose, some=only(penalty=0.0))),
        ("one penalty only", partial(choose, some=only(penalty=0.05))),
        ("short runs", partial(choose, share=lambda budget, n: 2)),
        ("chosen on test rows", partial(choose, score=lambda rows: rows["test"])),
        ("chosen on train rows", partial(choose, score=lambda rows: rows["train"])),
        ("smallest gap", partial(choose, score=lambda rows: rows["dev"] - rows["train"])),
        ("lowest for highest", partial(choose, pick=min)),
        ("dev ignored", partial(choose, last=lambda s: all_configurations()[0])),
        ("dev ignored", partial(choose, last=lambda s: everything(None, None))),
        ("dev ignored", partial(choose, last=lambda s: {**s, "shift": not s["shift"]})),
        ("error", partial(choose, last=lambda s: {**s, "penalty": 0.5})),
        ("error", partial(choose, last=lambda s: list(s.values()))),
    ],
}
