"""The submissions of the grading benchmark deserve the scores that the benchmark expects."""

import importlib
import json
import sys
import types
from collections import Counter
from pathlib import Path
from unittest.mock import MagicMock

import nbformat
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def module(name, folder):
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


bench = module("grading_submissions", BENCHMARKS)
chapter = module("three_questions", BENCHMARKS / "grading_checks").chapter
submissions = bench.submissions()
trouble = module("grading_trouble", BENCHMARKS)
grading = module("grading", BENCHMARKS)
stored = json.loads((BENCHMARKS / "results" / "grading.json").read_text("utf-8"))


def function(name, source):
    import keras
    import torch

    space = {"np": np, "torch": torch, "keras": keras, "ops": keras.ops}
    space["F"] = torch.nn.functional
    exec(source, space)
    return space, space[name]


def test_they_are_the_same_every_time_and_no_two_files_are_equal():
    for grader in ("regbook", "nbgrader", "otter"):
        texts, again = (
            [bench.handed_in(bench.template(grader), s) for s in bench.submissions()]
            for _ in range(2)
        )
        assert texts == again
        assert len(set(texts)) == 64
    assert [s.student for s in bench.submissions(4)] == [s.student for s in submissions[:4]]


def test_they_are_mixed():
    assert Counter(s.deserved for s in submissions) == {3: 28, 2: 20, 1: 11, 0: 5}
    handed_in = {source for s in submissions for source in s.answers.values()}
    for name in bench.QUESTIONS:
        for pool in bench.ANSWERS.values():
            assert all(bench.as_cell(name, source) in handed_in for source in pool[name])


@pytest.mark.parametrize("grader", ["regbook", "nbgrader", "otter"])
def test_they_are_valid_notebooks_that_hold_their_answers(grader):
    for submission in submissions:
        notebook = nbformat.reads(bench.handed_in(bench.template(grader), submission), 4)
        nbformat.validate(notebook)
        sources = [cell.source for cell in notebook.cells]
        assert set(submission.answers.values()) <= set(sources)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", bench.QUESTIONS)
def test_the_checks_and_the_tests_agree_with_what_is_deserved(name, seed):
    for source, right in {(s.answers[name], name in s.right) for s in submissions}:
        space, answer = function(name, source)
        report = chapter.report(answer, exercise=name, seed=seed)
        assert (report.points == report.max_points) == right, report
        passed = True
        try:
            exec(bench.TESTS[name], space)
        except (AssertionError, AttributeError, NameError, NotImplementedError):
            passed = False
        assert passed == right, source


def test_mistakes_are_named():
    keys = {
        "l2_penalty": ["norm", "halved", "absolute", "mean", "first-only"],
        "inverted_dropout": ["not rescaled", "draws_for_every_entry", "drops_at_the_rate"],
        "batch_norm": ["unbiased", "epsilon outside", "no root", "rows", "normalizes_each_column"],
    }
    for name, expected in keys.items():
        for source, key in zip(bench.WRONG[name], expected, strict=False):
            report = chapter.report(function(name, bench.as_cell(name, source))[1], exercise=name)
            assert key in {row.outcome.mistake for row in report.rows}, report


def opened(submission, grader):
    """Return the notebook that a submission is, or None for a file that is none."""
    released = json.loads(nbformat.writes(bench.template(grader)))  # as nbgrader's is read
    try:
        return nbformat.reads(bench.handed_in(released, submission), 4)
    except nbformat.reader.NotJSONError:
        return None


@pytest.mark.parametrize("grader", ["regbook", "nbgrader", "otter"])
@pytest.mark.parametrize("submission", trouble.TROUBLE, ids=lambda made: made.student)
def test_what_makes_trouble_is_a_notebook_unless_a_part_is_missing(submission, grader):
    notebook = opened(submission, grader)
    assert (notebook is None) == (submission.arrived < 1)
    if notebook:
        nbformat.validate(notebook)
        sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        assert sources[0].startswith(submission.above)
        assert tuple(sources[1 : len(submission.before) + 1]) == submission.before
        assert set(submission.answers.values()) <= set(sources)
    else:
        assert submission.deserved == 0


def test_trouble_is_of_two_kinds():
    assert {s.deserved for s in trouble.CHEATING} == {1}
    assert {s.deserved for s in trouble.REAL if s.arrived == 1} == {3}
    assert len({s.student for s in trouble.TROUBLE}) == len(trouble.TROUBLE)


@pytest.mark.parametrize("name", bench.QUESTIONS)
@pytest.mark.parametrize("submission", trouble.REAL, ids=lambda made: made.student)
def test_the_answers_of_a_real_class_are_right(submission, name, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("builtins.get_ipython", MagicMock(), raising=False)
    helpers = types.ModuleType("helpers")
    exec("\n".join(s.partition("\n")[2] for s in submission.before if "%%" in s), vars(helpers))
    monkeypatch.setitem(sys.modules, "helpers", helpers)
    future = submission.above * submission.above.startswith("from __future__")
    space, answer = function(name, future + submission.answers[name])
    report = chapter.report(answer, exercise=name)
    assert report.points == report.max_points, report
    exec(bench.TESTS[name], space)


def test_points_too_many_and_too_few_do_not_cancel_out():
    made = trouble.CHEATING[:2] + trouble.REAL[:2]
    names = [s.student for s in made]
    run = grading.Run(1, 1, 1, True, [], scores={names[0]: 3, names[2]: 1}, told={names[3]})
    scores = dict(zip(names, [3, None, 1, None], strict=True))
    assert grading.differences(run, made) == {
        "undeserved": 2, "lost": 1 + 2 + 3, "silent": 1, "scores": scores,
    }  # fmt: skip
    run = grading.Run(1, 1, 1, True, [], scores={s.student: s.deserved for s in made})
    found = grading.differences(run, made)
    assert (found["undeserved"], found["lost"], found["silent"]) == (0, 0, 0)


@pytest.mark.parametrize("ending", [".ipynb", ".ipynb.txt"])
def test_a_learner_is_known_by_the_name_of_the_file(ending):
    assert all(grading.learner(s.student + ending) == s.student for s in trouble.TROUBLE)


def test_the_stored_run_is_of_these_submissions():
    found = stored["trouble"]
    assert found["deserved"] == {s.student: s.deserved for s in trouble.TROUBLE}
    assert list(found["tools"]) == list(stored["tools"]) == list(grading.TOOLS)
    for figures in found["tools"].values():
        assert set(figures["scores"]) == set(found["deserved"])


def test_the_times_that_are_stored_stay_when_trouble_alone_is_graded(tmp_path, monkeypatch):
    path = tmp_path / "grading.json"
    path.write_text(json.dumps({"tools": {"otter": {"seconds": 7}}, "limits": {}}))
    monkeypatch.setattr(grading, "run_otter", lambda made, folder: grading.Run(1, 1, 1, True, []))
    assert grading.main(["--trouble", "--tools", "otter", "--out", str(path)]) == 0
    found = json.loads(path.read_text("utf-8"))
    assert found["tools"] == {"otter": {"seconds": 7}}
    assert found["trouble"]["tools"]["otter"]["silent"] == len(trouble.TROUBLE)
