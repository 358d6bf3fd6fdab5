"""The two tools for those who change checks: mutants of a solution, and two dumps of reports."""

import copy
import importlib.util
import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tool(name):
    """Load a script of benchmarks/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_graded_function_without_solution_is_not_overlooked(tmp_path, monkeypatch):
    mutation = tool("mutation")
    (tmp_path / "solutions").mkdir()
    path = tmp_path / "solutions" / "08_l1_sparsity.ipynb"
    shutil.copy(ROOT / "solutions" / path.name, path)
    monkeypatch.setattr(mutation, "ROOT", tmp_path)
    names = [name for _, name, _ in mutation.graded_functions("08_*")]
    assert "soft_threshold" in names
    path.write_text(path.read_text().replace("def soft_threshold(", "def another("))
    with pytest.raises(SystemExit, match=r"no cell that begins with `def soft_threshold\("):
        list(mutation.graded_functions("08_*"))


ROW = {
    "check": "is_right", "points": 0, "max_points": 2,
    "outcome": {"passed": False, "mistake": "no root", "hint": "Take the root."},
}  # fmt: skip
DUMP = {"norm | wrong 0 no root | seed 0": {"rows": [ROW]}, "norm | stub | seed 0": {"rows": []}}


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({}, 0, "0 rows with other points"),
        ({"points": 2}, 1, "1 rows with other points"),
        ({"outcome": {**ROW["outcome"], "passed": True}}, 1, "1 rows with other points"),
        ({"outcome": {**ROW["outcome"], "mistake": "squared"}}, 0,
         "norm | wrong 0 no root | is_right: 'no root' -> 'squared'"),
        ({"outcome": {**ROW["outcome"], "hint": "?"}}, 0, "1 rows reworded"),
        ({"check": "is_left"}, 1, "other checks"),
    ],
)  # fmt: skip
def test_two_dumps_of_reports_are_compared(tmp_path, capsys, change, status, said):
    after = copy.deepcopy(DUMP)
    after["norm | wrong 0 no root | seed 0"]["rows"][0].update(change)
    paths = [tmp_path / "before.json", tmp_path / "after.json"]
    for path, dump in zip(paths, (DUMP, after), strict=True):
        path.write_text(json.dumps(dump))
    assert tool("reports").diff(*paths) == status
    assert said in capsys.readouterr().out
