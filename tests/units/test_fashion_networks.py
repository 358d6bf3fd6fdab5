"""Chapter 23: its networks and the script behind its numbers are fair, repeatable, resumable."""

import json
from dataclasses import replace

import numpy as np
import pytest
from test_benchmarks import tool

from regbook import case_fashion
from regbook.case_fashion import DIGITS, FASHION, GRIDS, PARTS, TUNED, WALK, Arm, fit, rows_of

SMALL = replace(DIGITS, train=60, dev=50, test=70, epochs=2, splits=2)


@pytest.fixture(scope="module")
def script():
    return tool("case_fashion")


@pytest.fixture(scope="module")
def images():
    return case_fashion.images_of(DIGITS)


def test_the_parts_of_a_split_share_no_row(images):
    for parts in zip(*rows_of(SMALL, images, [0, 1]), strict=True):
        together = np.concatenate(parts)
        assert len(together) == len(set(together)) == 60 + 50 + 70


def test_own_test_images_are_never_drawn():
    pool = case_fashion.Images(np.zeros((90, 4), np.float32), np.arange(90) % 10, 80)
    plan = replace(SMALL, train=50, dev=30, test=None)
    rows = rows_of(plan, pool, [0, 1, 2])
    assert max(rows.train.max(), rows.dev.max()) < 80
    assert (rows.test == np.arange(80, 90)).all()


def test_the_walk_adds_one_thing_at_a_time():
    fields = [
        {name for name in Arm._fields if getattr(a, name) != getattr(b, name)}
        for a, b in zip(list(WALK.values())[1:], list(WALK.values())[2:], strict=False)
    ]
    assert fields == [{"l2", "activity"}, {"norm"}, {"dropout"}]
    assert not any(arm.relu for arm in list(WALK.values())[1:])


def test_every_tuned_arm_has_twelve_settings():
    for grids in GRIDS.values():
        assert grids.keys() == TUNED.keys()
        assert {int(np.prod([len(v) for v in grid.values()])) for grid in grids.values()} == {12}


def test_equal_calls_give_equal_runs(images):
    first, second = (fit(WALK["+ dropout"], SMALL, images, [0, 1]).scores() for _ in range(2))
    assert {name: value.tolist() for name, value in first.items()} == {
        name: value.tolist() for name, value in second.items()
    }


def test_a_constraint_binds_and_a_strength_acts(images):
    tight = fit(Arm(8, norm=0.1), SMALL, images, [0])
    assert tight.norms().max() == pytest.approx(0.1, abs=1e-4)
    settings = [{"rate": 0.003, "strength": s} for s in (0.0, 10.0)]
    both = fit(Arm(8, tuned="l2"), SMALL, images, [0, 0], settings)
    free, held = both.norms().max(axis=1)
    assert held < 0.9 * free


def test_under_a_constraint_runs_have_one_rate(images):
    settings = [{"rate": rate, "strength": 0.0} for rate in (0.001, 0.01)]
    with pytest.raises(ValueError, match="each rate by themselves"):
        fit(Arm(8, norm=1.0, tuned="all"), SMALL, images, [0, 1], settings)


def test_runs_on_one_split_differ_in_the_start_alone(images):
    runs = fit(PARTS["64 ReLU"], SMALL, images, [0, 1], split=5)
    assert (runs.rows.train[0] == runs.rows.train[1]).all()
    assert (runs.rows.test[0] == runs.rows.test[1]).all()
    assert not np.array_equal(*runs.norms())


def test_confusion_counts_every_test_row(images):
    runs = fit(PARTS["64 ReLU"], SMALL, images, [0, 1])
    counts = runs.confusion()
    assert counts.sum(axis=(1, 2)).tolist() == [70, 70]
    right = np.einsum("rkk->r", counts) / 70 * 100
    assert right == pytest.approx(runs.scores()["test"])


def test_a_second_run_goes_on_where_the_first_one_ended(script, tmp_path):
    out = tmp_path / "found.json"
    script.run(SMALL, out, ["softmax"])
    first = out.read_text()
    found = script.run(SMALL, out, ["softmax", "64 ReLU", "with dropout"])
    assert found["arms"]["softmax"] == json.loads(first)["arms"]["softmax"]
    assert list(found["arms"]) == ["softmax", "64 ReLU", "with dropout"]
    assert json.loads(out.read_text()) == found
    tuned = found["arms"]["with dropout"]
    assert len(tuned["trials"]) == 12
    assert len(tuned["last test"]) == len(tuned["test"]) == SMALL.splits
    assert np.sum(tuned["confusion"]) == 70 * SMALL.splits


@pytest.mark.parametrize(
    ("content", "plan", "said"),
    [("nothing", SMALL, "not a file of this script"), (None, FASHION, "another plan")],
)
def test_it_does_not_go_on_in_a_file_of_another_kind(script, tmp_path, content, plan, said):
    out = tmp_path / "found.json"
    out.write_text(content or json.dumps(script.stored(tmp_path / "new", SMALL)))
    with pytest.raises(script.WrongUse, match=said):
        script.stored(out, plan)


def test_wrong_use_is_told_in_a_sentence(script, capsys, tmp_path, monkeypatch):
    assert script.main(["--arm", "drop out"]) == 2
    assert "There is no arm drop out" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["case_fashion", "case_digits"])
def test_the_stored_results_are_of_the_plan_and_complete(script, name):
    found = json.loads((script.RESULTS / f"{name}.json").read_text("utf-8"))
    assert script.stored(script.RESULTS / f"{name}.json", DIGITS if "digits" in name else FASHION)
    assert list(found["arms"]) == list(script.TASKS)
    assert [arm for arm, result in found["arms"].items() if result.get("edges")] == []
