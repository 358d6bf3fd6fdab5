"""Both ways: right answers earn full marks, stubs nothing, wrong ones the hint that fits them."""

import importlib.util
from pathlib import Path

import pytest

from regbook.exercise import load_chapter, training
from regbook.notebooks import BEGIN, functions, read

ROOT = Path(__file__).parents[2]
SLUGS = sorted(path.stem for path in ROOT.glob("solutions/*.ipynb"))


def bank(slug):
    """Load the answers of a chapter from the file beside this one."""
    path = Path(__file__).with_name(f"{slug.partition('_')[2]}_answers.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wrong(slug):
    """Return the wrong answers by exercise: the mistakes that its checks know, and the bank's."""
    exercises, others = load_chapter(slug).exercises.items(), bank(slug).WRONG
    return {name: [*others.get(name, []), *exercise.mistakes] for name, exercise in exercises}


def cases(kind):
    for slug in SLUGS:
        found = wrong(slug) if kind == "WRONG" else bank(slug).RIGHT
        for exercise, answers in found.items():
            for i, answer in enumerate(answers):
                key = f"-{answer[0]}" if kind == "WRONG" else ""
                yield pytest.param(slug, exercise, answer, id=f"{slug}-{exercise}-{i}{key}")


@pytest.fixture(scope="module")
def seeds(request):
    """The seeds under which every answer is tried: 5, or as many as `--seeds` says."""
    number = request.config.getoption("seeds")
    training.KEPT = 400 * number  # each answer meets the networks of all seeds again
    return range(number)


@pytest.mark.parametrize("slug", SLUGS)
def test_solution_earns_full_marks_and_stub_none(slug, seeds):
    chapter = load_chapter(slug)
    solved = functions(ROOT / "solutions" / f"{slug}.ipynb")
    stubs = functions(ROOT / "chapters" / slug / "exercises.ipynb")
    assert set(chapter.exercises) <= set(solved)
    assert set(chapter.exercises) <= set(stubs)
    for name in chapter.exercises:
        for seed in seeds:
            report = chapter.report(solved[name], seed=seed)
            assert report.points == report.max_points, report
            empty = chapter.report(stubs[name], seed=seed)
            assert empty.points == 0
            assert "not attempted" in repr(empty)


@pytest.mark.parametrize("slug", SLUGS)
def test_every_exercise_has_enough_answers(slug):
    answers, mistaken, names = bank(slug), wrong(slug), set(load_chapter(slug).exercises)
    assert set(answers.RIGHT) == names
    assert set(answers.WRONG) <= names
    for name in names:
        assert len(answers.RIGHT[name]) >= 2
        assert len({key for key, _ in mistaken[name]} - {"form", "error"}) >= 5, name


@pytest.mark.parametrize(("slug", "exercise", "answer"), list(cases("RIGHT")))
def test_other_right_answers_pass(slug, exercise, answer, seeds):
    for seed in seeds:
        report = load_chapter(slug).report(answer, exercise=exercise, seed=seed)
        assert report.points == report.max_points, report


@pytest.mark.parametrize(("slug", "exercise", "answer"), list(cases("WRONG")))
def test_wrong_answers_get_their_name_and_no_other(slug, exercise, answer, seeds):
    key, function = answer
    chapter = load_chapter(slug)
    others = set(chapter.exercises[exercise].hints) - {key}
    for seed in seeds:
        report = chapter.report(function, exercise=exercise, seed=seed)
        assert report.points < report.max_points, f"seed {seed}: {report}"
        found = {row.outcome.mistake for row in report.rows if not row.outcome.passed}
        assert key in found, f"seed {seed}: {report}"
        assert not found & others, f"seed {seed}: {report}"


@pytest.mark.parametrize("slug", SLUGS)
def test_exercises_are_derived_from_the_solution(slug):
    from regbook.notebooks import derive_exercises, to_text

    solution = read(ROOT / "solutions" / f"{slug}.ipynb")
    assert any(BEGIN in cell.source for cell in solution.cells)
    stored = (ROOT / "chapters" / slug / "exercises.ipynb").read_text(encoding="utf-8")
    assert stored == to_text(derive_exercises(solution, slug)), "run `make exercises`"
