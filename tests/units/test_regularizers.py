"""Chapter 21's benchmark and its script: fair, repeatable, resumable, and clear about wrong use."""

import itertools
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_iris
from test_benchmarks import ROOT, tool

from regbook import benchmark
from regbook.benchmark import ARMS, CELLS, PRIMARY, Plan, compare, measure
from regbook.claims import Interval, adjusted, paired

IRIS = load_iris()
SMALL = Plan("iris", train=50, dev=40, noise=0.1, splits=3, steps=12)
STORED = ROOT / "benchmarks" / "results" / "regularizers.json"


@pytest.fixture(scope="module")
def script():
    return tool("regularizers")


@pytest.fixture
def table(tmp_path):
    """A table that the book does not use, with its classes as texts."""
    path = tmp_path / "flowers.csv"
    names = np.array(IRIS.target_names)[IRIS.target]
    lines = [",".join([*map(str, row), name]) for row, name in zip(IRIS.data, names, strict=True)]
    path.write_text("a,b,c,d,species\n" + "\n".join(lines))
    return path


def asked(table, *more):
    sizes = ("--train", "50", "--dev", "40", "--splits", "2", "--steps", "6")
    out = ("--out", str(table.with_suffix(".json")))
    return ["--csv", str(table), "--target", "species", *sizes, *out, *more]


def test_every_arm_has_six_settings():
    assert {len(arm.settings) for arm in ARMS.values()} == {6}
    assert all(len(set(arm.settings)) == 6 for arm in ARMS.values())


def test_equal_calls_give_equal_numbers_and_a_choice_can_be_repeated():
    found = measure("dropout", IRIS.data, IRIS.target, SMALL)
    assert measure("dropout", IRIS.data, IRIS.target, SMALL) | {"seconds": 0} == found | {
        "seconds": 0
    }
    again = benchmark.final("dropout", SMALL.cut(IRIS.data, IRIS.target), SMALL, found["choice"])
    assert again["right"].tolist() == found["right"]
    assert again["mc right"].tolist() == found["mc right"]
    dev = np.array(found["search"]["dev"])
    assert found["choice"] == dev.argmax(axis=0).tolist()


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_trains(arm):
    x, y = benchmark.rows_of("digits")
    plan = Plan("digits", train=100, dev=50, test=50, splits=2, steps=10)
    found = measure(arm, x, y, plan)
    assert np.shape(found["search"]["right"]) == (6, 2)
    assert all(0 <= right <= 50 for right in found["right"])
    assert np.isfinite(found["nll"]).all()


def test_compare_returns_what_paired_takes():
    frame = compare(IRIS.data, IRIS.target_names[IRIS.target], SMALL, ["none", "dropout"])
    assert set(frame["method"]) == {"none", "dropout", benchmark.MC}
    assert paired(frame, "test", "dropout", "none", "splits").n == 3


@pytest.mark.parametrize(
    ("x", "y", "plan", "arms", "said"),
    [
        (IRIS.data[:, 0], IRIS.target, SMALL, None, "of shape"),
        (IRIS.data, IRIS.target[:9], SMALL, None, "one class for each row"),
        (IRIS.data * np.nan, IRIS.target, SMALL, None, "missing values"),
        (IRIS.data, np.arange(150), SMALL, None, "150 different values in 150 rows"),
        (
            IRIS.data,
            IRIS.target,
            replace(SMALL, train=120),
            None,
            "150 rows are fewer than the 161",
        ),
        (
            IRIS.data,
            IRIS.target,
            SMALL,
            ["augmentation"],
            "no arm augmentation here; there are: none",
        ),
        (IRIS.data, IRIS.target, SMALL, ["drop-out"], "no arm drop-out"),
    ],
)
def test_rows_that_do_not_fit_are_told(x, y, plan, arms, said):
    with pytest.raises(ValueError, match=said):
        compare(x, y, plan, arms)


def test_adjusted_p_values_follow_holm():
    """The oracle is the closed test: the largest Bonferroni p-value of all sets with it."""
    means = (1.2, 0.1, 1.1, 3.0)
    p = [2 * stats.t.sf(mean * stats.t.ppf(0.975, 9), 9) for mean in means]
    sets = [s for n in range(1, 5) for s in itertools.combinations(range(4), n)]
    expected = [
        max(min(1, len(s) * min(p[j] for j in s)) for s in sets if i in s) for i in range(4)
    ]
    found = adjusted(Interval(mean, mean - 1, mean + 1, 10) for mean in means)
    assert found == pytest.approx(expected, rel=1e-9)
    assert len(adjusted([])) == 0


def test_a_table_of_ones_own_is_measured_and_resumed(script, table, monkeypatch, capsys):
    """Stopped in the middle, the same command goes on, and gives what one run gives."""
    done = []

    def stops(arm, *rest):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(arm)
        return measure(arm, *rest)

    arms = ["--arm", "none", "--arm", "L2", "--arm", "dropout"]
    monkeypatch.setattr(script, "measure", stops)
    with pytest.raises(KeyboardInterrupt):
        script.main(asked(table, *arms))
    half = json.loads(table.with_suffix(".json").read_text())
    assert list(half["cells"]["flowers"]["arms"]) == ["none", "L2"]
    monkeypatch.setattr(
        script, "measure", lambda arm, *rest: done.append(arm) or measure(arm, *rest)
    )
    assert script.main(asked(table, *arms)) == 0
    assert done == ["none", "L2", "dropout"]
    whole = json.loads(table.with_suffix(".json").read_text())
    kept = whole["cells"]["flowers"]["arms"]
    assert kept["L2"] == half["cells"]["flowers"]["arms"]["L2"]
    assert whole["cells"]["flowers"]["test rows"] == 60
    assert not list(table.parent.glob("*.json.*"))
    assert "is complete" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["--target", "kind"], "has no column 'kind'. It has: a, b, c, d, species."),
        (["--cell", PRIMARY], "either --cell, of the book, or --csv"),
        (["--noise", "1.5"], "--noise is from 0 to below 1"),
        (["--train", "0"], "1 or more"),
        (["--train", "140"], "150 rows are fewer than the 181"),
        (["--arm", "augmentation"], "no arm augmentation here"),
        (["--csv", "nowhere.csv"], "nowhere.csv cannot be read as a table"),
        (["--dask", "tcp://127.0.0.1:9"], "No dask scheduler answers"),
    ],
)
def test_wrong_use_is_told(script, table, capsys, monkeypatch, changed, said):
    monkeypatch.setattr(script, "CONNECT_SECONDS", 1)
    if "--dask" in changed:
        pytest.importorskip("distributed", reason='dask is not installed: "regbook[dask]"')
    assert script.main(asked(table, *changed)) == 2
    assert said in capsys.readouterr().err


def test_other_wrong_use_is_told(script, table, capsys):
    assert script.main(["--cell", "digits 5 5"]) == 2
    assert (
        "There is no cell digits 5 5. There are: digits 300 20, digits 300 0"
        in capsys.readouterr().err
    )
    assert script.main(["--csv", str(table)]) == 2
    assert "--csv and --target belong together" in capsys.readouterr().err
    out = table.with_suffix(".json")
    out.write_text("{")
    assert script.main(asked(table, "--arm", "none")) == 2
    assert "is not a file of this script" in capsys.readouterr().err
    plan = asdict(replace(SMALL, data="flowers"))
    out.write_text(json.dumps({"runs": [], "cells": {"flowers": {"plan": plan, "arms": {}}}}))
    assert script.main(asked(table, "--arm", "none")) == 2
    assert 'holds "flowers" with another plan' in capsys.readouterr().err


def test_a_cluster_gives_the_same(script, table):
    distributed = pytest.importorskip(
        "distributed", reason='dask is not installed: "regbook[dask]"'
    )
    arms = ["--arm", "none", "--arm", "dropout"]
    assert script.main(asked(table, *arms)) == 0
    here = json.loads(table.with_suffix(".json").read_text())
    table.with_suffix(".json").unlink()
    options = {"processes": True, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster:
        assert script.main(asked(table, *arms, "--dask", cluster.scheduler_address)) == 0
    there = json.loads(table.with_suffix(".json").read_text())
    for arm in ("none", "dropout"):
        one, other = (f["cells"]["flowers"]["arms"][arm] | {"seconds": 0} for f in (here, there))
        assert one == other


def test_the_stored_file_is_complete_readable_and_names_no_host(script):
    text = STORED.read_text(encoding="utf-8")
    assert len(text) < 500_000
    assert max(map(len, text.splitlines())) < 400
    found = json.loads(text)
    assert found["primary"] == {"cell": PRIMARY, "baseline": "none", "metric": "accuracy"}
    assert set(found["cells"]) == set(CELLS)
    for name, cell in found["cells"].items():
        assert cell["plan"] == asdict(CELLS[name])
        assert set(cell["arms"]) == set(script.arms_of(name))
    for run in found["runs"]:
        assert set(run) == {"date", "processor", "threads", "versions"}
        assert "/" not in json.dumps(run)
