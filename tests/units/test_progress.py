"""What the learner earned survives a restart, adds up to the course, and costs nobody an answer."""

import json
from pathlib import Path

import pytest

from regbook.check import exercises
from regbook.exercise import load_chapters
from regbook.notebooks import functions
from regbook.progress import FOLDER, Table

SLUG = "10_dropout"
COURSE = sum(e.max_points for c in load_chapters().values() for e in c.exercises.values())


def expected_scale(rate):
    return 1 / (1 - rate)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with notebooks, as `make lab` makes it."""
    (tmp_path / FOLDER).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_progress_survives_a_restart_and_sums_up_the_course(work):
    check, progress = exercises(SLUG)
    check(expected_scale)
    assert "expected_scale: 3 of 3 points, full marks\n" in repr(progress())
    check, progress = exercises(SLUG)  # the kernel has started again
    said = repr(progress())
    assert "expected_scale: 3 of 3 points, before this session\n" in said
    assert "dropout_forward: not attempted (0 of" in said
    check, progress = exercises("07_l2_weight_decay")
    said = repr(progress())
    assert "\ntotal: 0 of 27 points\n" in said
    assert f"\n10_dropout: 3 of {sum_of(SLUG)} points\n" in said
    assert said.endswith(f"\ncourse: 3 of {COURSE} points")


def sum_of(slug):
    return sum(e.max_points for e in load_chapters()[slug].exercises.values())


def test_the_latest_answer_counts(work):
    check, _ = exercises(SLUG)
    check(expected_scale)

    def worse(rate):
        return 1 + rate

    worse.__name__ = "expected_scale"
    check(worse)
    assert "total: 0 of" in repr(exercises(SLUG)[1]())


def test_without_the_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check, progress = exercises(SLUG)
    check(expected_scale)
    assert repr(progress()).endswith(f"\ntotal: 3 of {sum_of(SLUG)} points")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "kept", ["", "{", "[]", "3", '{"expected_scale": "x"}', '{"gone": 3}', '{"expected_scale": 99}']
)
def test_damaged_file_counts_as_far_as_it_can(work, kept):
    (work / FOLDER / f"{SLUG}.json").write_text(kept)
    check, progress = exercises(SLUG)
    assert f"total: {3 if '99' in kept else 0} of" in repr(progress())
    check(expected_scale)
    assert json.loads((work / FOLDER / f"{SLUG}.json").read_text())["expected_scale"] == 3


def test_progress_is_a_table_in_jupyter():
    shown = Table([("<b>", "1 of 2 points")])._repr_html_()
    assert shown.count("<td") == 2 and "&lt;b&gt;" in shown


def test_the_whole_course_can_be_earned(work):
    root = Path(__file__).parents[2]
    slug = "07_l2_weight_decay"
    check, progress = exercises(slug)
    for name, function in functions(root / "solutions" / f"{slug}.ipynb").items():
        if name in load_chapters()[slug].exercises:
            check(function)
    assert repr(progress()).endswith(f"course: 27 of {COURSE} points")
