"""The list of chapters: what is derived from it, and the skeleton of a new chapter."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml

from regbook import chapters
from regbook.notebooks import derive_exercises, function_sources, read

ROOT = Path(__file__).parents[2]
SLUG, TOPIC, TITLE = "25_pruning", "pruning", "Pruning"  # no chapter of the book


def listed(root):
    """Put the chapter at the end of a copy's list; return the copy."""
    with (root / chapters.CONTENTS).open("a", encoding="utf-8") as file:
        file.write(f"  {SLUG}: {TITLE}\n")
    return root


@pytest.fixture
def book(tmp_path):
    """Return a copy of what the skeleton is made from: the list, one lesson and its solution.

    Its list has one chapter more than the book.
    """
    for name in ("contents.yml", "10_dropout/lesson.ipynb", "10_dropout/exercises.ipynb"):
        (tmp_path / "chapters" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "chapters" / name, tmp_path / "chapters" / name)
    (tmp_path / "solutions").mkdir()
    shutil.copy(ROOT / "solutions" / "10_dropout.ipynb", tmp_path / "solutions")
    return listed(tmp_path)


def test_a_new_chapter_has_all_its_files(book):
    made = {str(path.relative_to(book)) for path in chapters.begin(book, SLUG)}
    assert made == {
        f"chapters/{SLUG}/lesson.ipynb",
        f"chapters/{SLUG}/laboratory.ipynb",
        f"solutions/{SLUG}.ipynb",
        f"regbook/checks/{TOPIC}.py",
        f"tests/autograder/{TOPIC}_answers.py",
        f"tests/pairs/test_{TOPIC}.py",
    }
    for path in book.rglob("*.py"):
        ast.parse(path.read_text())
    cells = read(book / "chapters" / SLUG / "lesson.ipynb").cells
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    headings = re.findall(r"^##? (.+)$", text, re.MULTILINE)
    assert headings == [TITLE, *chapters.SECTIONS]


LEFT_OUT = (".*", "_build", "work", "text", "*.egg-info", "__pycache__", "submissions", "reports")


def test_a_new_chapter_passes_what_its_tests_ask(tmp_path):
    """In a copy of the book: made, run once to store the outputs, and tested as a chapter is."""
    book = tmp_path / "book"
    listed(shutil.copytree(ROOT, book, ignore=shutil.ignore_patterns(*LEFT_OUT)))
    pages = [f"chapters/{SLUG}/{page}.ipynb" for page in ("lesson", "laboratory")]
    written = [*pages, f"solutions/{SLUG}.ipynb", f"chapters/{SLUG}/exercises.ipynb"]
    written += [f"regbook/checks/{TOPIC}.py", f"tests/autograder/{TOPIC}_answers.py"]
    written += [f"tests/pairs/test_{TOPIC}.py"]
    execute = ("jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace")
    for command in (
        ("regbook.chapters", "begin", SLUG),
        ("regbook.notebooks", "exercises"),
        ("regbook.chapters", "contents"),
        (*execute, *pages),
        ("regbook.notebooks", "tidy"),
        ("ruff", "check", *written),
        ("ruff", "format", "--check", "--line-length=88", *written[:4]),
        ("ruff", "format", "--check", *written[4:]),
        # One example is too short to be changed in fifty places.
        ("pytest", f"--chapter={SLUG[:2]}", "--numprocesses=0", "-k", "not every_small_change"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=book,
            env=os.environ | {"PYTHONPATH": str(book), "REGBOOK_BUILD": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-6000:]}"


def test_its_exercise_can_be_derived_checked_and_solved(book):
    chapters.begin(book, SLUG)
    solution = book / "solutions" / f"{SLUG}.ipynb"
    exercises = derive_exercises(read(solution), SLUG)
    assert any("raise NotImplementedError" in cell.source for cell in exercises.cells)
    space = {}
    exec((book / "regbook" / "checks" / f"{TOPIC}.py").read_text(), space)
    (name,) = space["chapter"].exercises
    answer = {"np": np}
    exec(function_sources(solution)[name], answer)
    full = space["chapter"].report(answer[name])
    assert full.points == full.max_points == 1
    bank = {}
    exec((book / "tests" / "autograder" / f"{TOPIC}_answers.py").read_text(), bank)
    for right in bank["RIGHT"][name]:
        assert space["chapter"].report(right, exercise=name).points == 1
    wrong = space["chapter"].report(lambda x: x, exercise=name)
    assert wrong.rows[0].outcome.mistake == "a-short-name"


def test_nothing_that_is_there_is_overwritten(book, capsys):
    lesson = book / "chapters" / SLUG / "lesson.ipynb"
    lesson.parent.mkdir()
    lesson.write_text("mine")
    assert lesson not in chapters.begin(book, SLUG)
    assert lesson.read_text() == "mine"
    assert f"kept chapters/{SLUG}/lesson.ipynb" in capsys.readouterr().out
    assert chapters.begin(book, SLUG) == []


def test_an_unknown_chapter_is_named(book, monkeypatch):
    monkeypatch.chdir(book)
    with pytest.raises(SystemExit, match=r"26_more is not in .*contents\.yml\. It has: 01_data"):
        chapters.main(["begin", "26_more"])
    assert not (book / "solutions" / "26_more.ipynb").exists()


def test_the_contents_hold_the_chapters_that_are_there(book, monkeypatch, capsys):
    monkeypatch.chdir(book)
    chapters.main(["contents"])
    assert capsys.readouterr().out == "wrote _toc.yml\n"
    chapters.main(["contents"])
    assert capsys.readouterr().out == ""
    toc = yaml.safe_load((book / "_toc.yml").read_text())
    (part, appendix) = toc["parts"]
    assert (part["caption"], appendix["caption"]) == ("Part III - Regularize", "Appendix")
    (chapter,) = part["chapters"]
    assert chapter["file"] == "chapters/10_dropout/lesson"
    assert [page["title"] for page in chapter["sections"]] == ["Exercises", "Solutions"]
    nbformat.write(nbformat.v4.new_notebook(), book / "chapters/10_dropout/laboratory.ipynb")
    chapter = yaml.safe_load(chapters.toc(book))["parts"][0]["chapters"][0]
    titles = [page["title"] for page in chapter["sections"]]
    assert titles == ["Laboratory", "Exercises", "Solutions"]


def test_the_contents_of_a_class_leave_out_the_solutions_and_nothing_else(book, monkeypatch):
    monkeypatch.chdir(book)
    chapters.main(["contents"])
    before = (book / "_toc.yml").read_text()
    chapters.main(["contents", "--without", "solutions"])
    assert (book / "_toc.yml").read_text() == before
    toc = yaml.safe_load(before)
    sections = toc["parts"][0]["chapters"][0]["sections"]
    assert sections.pop() == {"file": "solutions/10_dropout", "title": "Solutions"}
    assert yaml.safe_load((book / chapters.CLASS_TOC).read_text()) == toc
