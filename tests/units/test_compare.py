"""Every arm gets the same chance, winners at an end stop, and no gain appears where none is."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regbook.claims import mean_interval
from regbook.compare import EdgeWins, trained, tuned
from regbook.data import split_seeds
from regbook.sweep import train_seeds
from regbook.verdicts import verdict

GRIDS = {
    "none": {"rate": np.logspace(-3, 0, 12)},
    "dropout": {"rate": [0.01, 0.03, 0.1, 0.3], "strength": [0, 0.4, 0.8]},
}
USUAL = {"none": {"rate": 0.1}, "dropout": {"rate": 0.1, "strength": 0.5}}
PEAK = {"rate": 0.05, "strength": 0.4}


class Measured:
    """A measurement with a known best setting, which keeps its calls."""

    def __init__(self, peak=PEAK, shift=0.0):
        self.peak, self.shift, self.calls = peak, shift, []

    def __call__(self, settings, seeds):
        self.calls.append(([dict(s) for s in settings], list(seeds)))
        score = [self.score(setting) for setting in settings]
        table = np.array(score)[:, None] + 0.01 * np.array(seeds)
        return {"dev": table, "test": table + 100, "last": table + 90 + self.shift}

    def score(self, setting):
        away = abs(np.log10(setting["rate"] / self.peak["rate"]))
        gain = 0 if "strength" not in setting else 1
        return gain - away - abs(setting.get("strength", 0.4) - self.peak["strength"])


def test_each_arm_is_tuned_once_and_its_winner_measured_on_fresh_seeds():
    measure = Measured()
    found = tuned(measure, GRIDS, usual=USUAL)
    sizes = [(len(settings), len(seeds)) for settings, seeds in measure.calls]
    assert sizes == [(12, 3), (12, 3), (2, 10), (2, 10)]
    tuning = {seed for _, seeds in measure.calls[:2] for seed in seeds}
    fresh = {seed for _, seeds in measure.calls[2:] for seed in seeds}
    assert fresh == set(range(10))
    assert not tuning & fresh
    everything = [dict(zip(GRIDS["dropout"], v, strict=True)) for v in itertools.product(
        *GRIDS["dropout"].values()
    )]  # fmt: skip
    assert measure.calls[1][0] == everything
    assert found.chosen["dropout"] == {"rate": 0.03, "strength": 0.4}
    assert found.chosen["none"] == {"rate": pytest.approx(0.0433, rel=1e-3)}
    assert measure.calls[3][0] == [found.chosen["dropout"], USUAL["dropout"]]
    assert len(found.tuning) == 24
    best = found.tuning.groupby("method")["dev"].max()
    assert best["dropout"] == pytest.approx(measure.score(found.chosen["dropout"]) + 0.11)


def test_rows_compare_the_usual_settings_at_the_last_epoch_and_the_tuned_ones():
    measure = Measured(shift=7.0)
    found = tuned(measure, GRIDS, usual=USUAL, replicates="fresh splits")
    rows = found.versus("none")
    assert list(rows) == ["dropout, as usual", "dropout"]
    for name, settings in (("dropout, as usual", USUAL), ("dropout", found.chosen)):
        gain = measure.score(settings["dropout"]) - measure.score(settings["none"])
        assert rows[name].mean == pytest.approx(gain)
        assert (rows[name].n, rows[name].replicates) == (10, "fresh splits")
    last = found.frame.set_index("method")["last"]["none, as usual"]
    assert last.mean() == pytest.approx(measure.score(USUAL["none"]) + 97.045)
    assert list(tuned(measure, GRIDS).versus("dropout")) == ["none"]
    with pytest.raises(KeyError, match="no method 'nothing, as usual'"):
        found.versus("nothing")


def test_frame_is_tidy_and_shown_as_one_small_table():
    found = tuned(Measured(), {"<b>": GRIDS["none"], "dropout": GRIDS["dropout"]})
    assert list(found.frame.columns) == ["method", "seed", "dev", "test", "last"]
    assert len(found.frame) == 20
    for text in (repr(found), found._repr_html_()):
        assert "rate: 0.03, strength: 0.4" in text
        assert "edge" not in text
    assert "&lt;b&gt;" in found._repr_html_()


@pytest.mark.parametrize(
    ("peak", "ends"),
    [
        ({"rate": 1e-3, "strength": 0.4}, ["none, rate 0.001", "dropout, rate 0.01"]),
        ({"rate": 1.0, "strength": 0.4}, ["none, rate 1", "dropout, rate 0.3"]),
        ({"rate": 0.05, "strength": 0.8}, ["dropout, strength 0.8"]),
        ({"rate": 0.05, "strength": 0.0}, []),  # no dropout at all: a natural end
        (PEAK, []),
    ],
)
def test_a_winner_at_an_end_stops_unless_the_call_says_why(peak, ends):
    if not ends:
        assert tuned(Measured(peak), GRIDS).reasons == {}
        return
    with pytest.raises(EdgeWins) as caught:
        tuned(Measured(peak), GRIDS)
    assert all(end in str(caught.value) for end in ends)
    reasons = {}
    for end in ends:
        arm, _, parameter = end.partition(", ")
        name, value = parameter.split()
        with pytest.raises(EdgeWins):
            tuned(Measured(peak), GRIDS, edges=reasons)
        reasons[arm, name, float(value)] = "the loss explodes beyond"
    found = tuned(Measured(peak), GRIDS, edges=reasons)
    assert found.reasons == reasons
    assert "the loss explodes beyond" in repr(found)
    assert "the loss explodes beyond" in found._repr_html_()


def test_zero_is_a_natural_end_only_where_it_is_the_lowest():
    """As an exponent it is not."""
    grids = {arm: {"rate": [0.01, 0.05, 0.1, 0.3], "power": [-2, -1, 0]} for arm in "ab"}

    def measure(settings, seeds):
        score = [s["power"] - abs(s["rate"] - 0.05) for s in settings]
        return {name: np.outer(score, np.ones(len(seeds))) for name in ("dev", "test")}

    with pytest.raises(EdgeWins, match="a, power 0; b, power 0"):
        tuned(measure, grids)


def test_words_have_no_ends():
    grids = {arm: {"rate": [0.01, 0.05, 0.1, 0.3], "shape": ["a", "b", None]} for arm in "ab"}

    def measure(settings, seeds):
        score = [(s["shape"] == "a") - abs(s["rate"] - 0.05) for s in settings]
        return {name: np.outer(score, np.ones(len(seeds))) for name in ("dev", "test")}

    assert tuned(measure, grids).chosen["a"] == {"rate": 0.05, "shape": "a"}


RATES = [0.01, 0.03, 0.1, 0.3]


def test_arms_that_are_trained_differently_have_their_own_measurements():
    measures = {arm: Measured(shift=shift) for arm, shift in (("dropout", 5), ("none", 0))}
    found = tuned(measures, GRIDS, usual=USUAL)
    assert [len(measures[arm].calls) for arm in GRIDS] == [2, 2]
    assert found.chosen == tuned(Measured(), GRIDS, usual=USUAL).chosen
    last = found.versus("none")["dropout, as usual"]
    assert last.mean == pytest.approx(5 + Measured().score(USUAL["dropout"])
                                      - Measured().score(USUAL["none"]))  # fmt: skip


@pytest.mark.parametrize("arms", [["none"], ["none", "dropout", "third"]])
def test_a_measurement_without_its_arm_is_refused(arms):
    with pytest.raises(ValueError, match=r"needs the arms none, dropout, got none"):
        tuned({arm: Measured() for arm in arms}, GRIDS)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"arms": {}}, "needs 2 arms"),
        ({"arms": {"none": GRIDS["none"]}}, "needs 2 arms"),
        ({"tuning_seeds": 2}, "3 tuning seeds"),
        ({"seeds": 9}, "10 fresh ones"),
        ({"better": "more"}, 'better is "higher" or "lower"'),
        ({"arms": GRIDS | {"none": {"rate": RATES}}}, "none: 4, dropout: 12"),
        ({"arms": GRIDS | {"none": {"rate": RATES * 3}}}, "none: rate needs 4 or more values"),
        ({"arms": GRIDS | {"none": {"rate": RATES[:3], "b": [1, 2, 3, 4]}}}, "none: rate needs 4"),
        ({"arms": GRIDS | {"none": {"b": range(12)}}}, "none: rate needs 4"),
        ({"arms": GRIDS | {"none": {"rate": []}}}, "none: rate needs 4"),
        ({"arms": GRIDS | {"none": {"rate": [*RATES, 1, 2], "b": [1, 2]}}}, "none: b needs 3"),
        ({"arms": GRIDS | {"none": {"rate": range(1, 13), "b": [1]}}}, "none: b needs 3"),
        ({"arms": {arm: {"rate": RATES} for arm in "ab"}}, "12 points or more"),
        ({"usual": {"none": USUAL["none"]}}, "usual needs one setting of every arm"),
        ({"usual": USUAL | {"none": {"lr": 0.1}}}, "usual needs one setting of every arm"),
        ({"edges": {("dropout", "strength", 0.9): "why"}}, "dropout, strength=0.9 is not in"),
        ({"edges": {("drop", "strength", 0.8): "why"}}, "drop, strength=0.8 is not in"),
        ({"edges": {("dropout", "strength", 0.8): ""}}, "has no reason"),
    ],
)
def test_an_unfair_comparison_is_refused_before_anything_is_measured(change, sentence):
    measure = Measured()
    with pytest.raises(ValueError, match=sentence):
        tuned(measure, **({"arms": GRIDS} | change))
    assert measure.calls == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: {},
        lambda found: {"dev": found["dev"]},
        lambda found: found | {"test": found["test"].T},
        lambda found: found | {"test": found["test"].mean(axis=1)},
        lambda found: found | {"dev": 1.0},
        lambda found: {"dev": found["dev"], "test": found["test"]},
    ],
)
def test_a_measurement_of_another_form_is_refused(damage):
    def measure(*given, whole=Measured()):  # noqa: B008
        return damage(whole(*given))

    with pytest.raises(ValueError, match=r"measure must return .* of shape"):
        tuned(measure, GRIDS, usual=USUAL)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_setting_that_diverges_on_one_tuning_seed_is_not_chosen(bad, better):
    sign = 1 if better == "higher" else -1

    def measure(settings, seeds, all_bad=False):
        found = Measured()(settings, seeds)
        dev = sign * found["dev"]
        if len(settings) == 12:
            dev[slice(None) if all_bad else sign * found["dev"].mean(axis=1).argmax(), 0] = bad
            if not all_bad:
                dev[found["dev"].mean(axis=1).argmax(), 0] = bad
        return found | {"dev": dev}

    found = tuned(measure, GRIDS, better=better)
    assert found.chosen["dropout"] == {"rate": 0.1, "strength": 0.4}
    with pytest.raises(ValueError, match="none: dev is finite for no setting"):
        tuned(lambda *given: measure(*given, all_bad=True), GRIDS, better=better)


def test_the_lowest_loss_wins_when_lower_is_better():
    def measure(settings, seeds):
        found = Measured()(settings, seeds)
        return found | {"loss": -found["dev"]}

    lower = tuned(measure, GRIDS, choose="loss", better="lower")
    assert lower.chosen == tuned(measure, GRIDS).chosen


def test_a_measurement_may_change_what_it_is_given():
    def measure(settings, seeds):
        found = Measured()(settings, seeds)
        for setting in settings:
            setting.clear()
        seeds.clear()
        return found

    assert tuned(measure, GRIDS).chosen["dropout"] == {"rate": 0.03, "strength": 0.4}


FLAT = {arm: {"rate": [1, 2, 3, 4], "strength": [1, 2, 3]} for arm in ("none", "method")}
ANY_END = {
    (arm, name, value): "all settings are alike in these worlds"
    for arm, grid in FLAT.items()
    for name, values in grid.items()
    for value in values
}


def helps(worlds, *, peek=False, slope=0.0, tuning_seeds=3):
    """Return in what share of the worlds a method without effect "helps".

    peek: the method, and not the baseline, is chosen by the rows and seeds that report it.
    slope: how much worse a setting is for each step from the middle of its list.
    """
    rng = np.random.default_rng(5)
    outcomes = []
    for _ in range(worlds):
        shared = rng.normal(
            0, 2, 10 + tuning_seeds
        )  # every arm and setting of one seed sees the same split
        noise = {arm: shared + rng.normal(size=(2, 4, 3, len(shared))) for arm in FLAT}
        turn = iter(["none", "method"] * 2)

        def measure(settings, seeds, noise=noise, turn=turn):
            arm = next(turn)
            at = [(s["rate"] - 1, s["strength"] - 1) for s in settings]
            away = [slope * (abs(r - 1.5) + abs(s - 1)) for r, s in at]
            dev, test = ([part[r, s, seeds] for r, s in at] for part in noise[arm])
            if peek and arm == "method":
                dev = [np.repeat(noise[arm][1, r, s, :10].mean(), len(seeds)) for r, s in at]
            away = np.array(away)[:, None]
            return {"dev": dev - away, "test": test - away}

        found = tuned(measure, FLAT, edges=ANY_END, tuning_seeds=tuning_seeds)
        gain = found.versus("none")["method"]
        outcomes.append(verdict("q", gain).outcome)
    return outcomes.count("helps") / worlds


def test_a_method_without_effect_seldom_helps():
    """The nominal rate is 2.5 %: dev rows and tuning seeds say nothing about fresh ones."""
    assert 0.01 < helps(2000) < 0.05


def test_choosing_on_the_reported_rows_invents_gains():
    assert helps(400, peek=True) > 0.1


def test_an_interval_does_not_hold_the_luck_of_the_choice():
    """A known limit: where the settings differ, noisy tuning may give one arm the better one."""
    three, ten = (helps(400, slope=1, tuning_seeds=seeds) for seeds in (3, 10))
    assert three > 0.05 > ten


def test_the_shared_split_of_a_seed_drops_out():
    """So the interval is that of the differences, and narrower than that of one arm."""
    found = tuned(Measured(), GRIDS)
    gain = found.versus("none")["dropout"]
    alone = mean_interval(found.frame.loc[found.frame.method == "dropout", "test"])
    assert gain.high - gain.low < 1e-9 < alone.high - alone.low


def linear():
    return nn.Linear(4, 3)


def penalised(model, x, y, strength):
    return F.cross_entropy(model(x), y) + strength * model.weight.square().sum()


def trained_alone(rows, seed, rate, strength):
    """Return the dev and test accuracy after each epoch of one run."""
    scores = []

    def record(_, runs):
        parts = ((rows["x_dev"], rows["y_dev"]), (rows["x_test"], rows["y_test"]))
        scores.append([runs.accuracy(*part)[0] for part in parts])

    train_seeds(
        linear, lambda model, x, y: penalised(model, x, y, strength),
        rows["x_train"], rows["y_train"], epochs=6, batch_size=20, seeds=[seed],
        optimizer=lambda named: torch.optim.Adam([p for _, p in named], lr=rate),
        after_epoch=record,
    )  # fmt: skip
    return np.array(scores).T


def test_trained_scores_each_setting_and_seed_as_a_run_of_its_own():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    y = (x @ rng.normal(size=(4, 3)) + rng.normal(size=(300, 3))).argmax(axis=1)
    splits = split_seeds(x, y, seeds=5, train=40, dev=40)
    settings = [{"rate": 0.01, "L2": 0.1}, {"rate": 0.3}, {"rate": 0.3, "L2": 0.5}]
    seeds = [4, 1]

    def weights(runs, own):
        assert own.y_test.shape == (6, 220)
        return {"weights": runs.parameters["weight"].abs().sum(dim=(1, 2))}

    found = trained(linear, penalised, splits, epochs=6, batch_size=20, also=weights)(
        settings, seeds
    )
    assert set(found) == {"dev", "test", "last", "weights"}
    for (i, setting), (j, seed) in itertools.product(enumerate(settings), enumerate(seeds)):
        rows = {name: getattr(splits, name)[[seed]] for name in vars(splits)}
        dev, test = trained_alone(rows, seed, setting["rate"], setting.get("L2", 0))
        expected = dev.max(), test[dev.argmax()], test[-1]
        assert [found[name][i, j] for name in ("dev", "test", "last")] == pytest.approx(expected)
    assert found["weights"].shape == (3, 2)
