"""The submissions of the grading benchmark deserve the scores that the benchmark expects."""

import importlib
import sys
from collections import Counter
from pathlib import Path

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
            assert all(bench._cell(name, source) in handed_in for source in pool[name])


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
            report = chapter.report(function(name, bench._cell(name, source))[1], exercise=name)
            assert key in {row.outcome.mistake for row in report.rows}, report
