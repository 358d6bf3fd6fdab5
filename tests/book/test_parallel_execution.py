"""The pages are run by a pool of processes before they are read, when what they read changes."""

import os
from pathlib import Path

import pytest
from book_support import NOTEBOOKS, ROOT, code, markdown
from parallel_execution import sources

from regbook.notebooks import read

WHO = "import os; print('run by', os.getppid())"


@pytest.fixture
def runs(tmp_path_factory):
    """Return the file, outside the book, in which the pages note their runs."""
    return tmp_path_factory.mktemp("noted") / "runs"


def note(path, letter):
    """Return a line that notes a run in a file."""
    return f"open({str(path)!r}, 'a').write({letter!r})\n"


def test_pages_are_run_once_and_by_other_processes(tiny_book, runs):
    pages = {f"p{i}": [markdown(f"# Page {i}"), code(note(runs, "x") + WHO)] for i in range(3)}
    book = tiny_book(pages, nb_execution_mode="cache")
    assert book.warnings == ""
    assert runs.read_text() == "xxx"
    assert all("run by" in html for html in book.html.values())
    assert not any(f"run by {os.getpid()}" in html for html in book.html.values())

    tiny_book(pages, nb_execution_mode="cache")
    assert runs.read_text() == "xxx"  # the second book finds all in the cache


def test_a_page_that_fails_is_still_reported(tiny_book):
    pages = {
        "good": [markdown("# Good"), code(WHO)],
        "bad": [markdown("# Bad"), code("1 / 0")],
    }
    book = tiny_book(pages, nb_execution_mode="cache")
    assert "bad.ipynb: WARNING: Executing notebook failed" in book.warnings
    assert "run by" in book.html["good"]


@pytest.fixture
def pages(tmp_path, runs):
    """Return four pages that read different files of a small project, and note their runs."""
    package = tmp_path / "regbook"
    (package / "checks").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "one.py": "def value():\n    from regbook import deep\n    return deep.VALUE\n",
        "deep.py": "VALUE = 'old'\n",
        "checks/__init__.py": "",
        "checks/dropout.py": "HINT = 'old'\n",
    }
    for name, text in files.items():
        (package / name).write_text(text)
    (tmp_path / "table.json").write_text("'old'")

    def page(letter, source):
        return [markdown(f"# Page {letter}"), code(note(runs, letter) + source)]

    return {
        "module": page("m", "from regbook.one import value\nprint(value())"),
        "checks": page(
            "c", "slug = '10_dropout'\nfrom regbook.checks import dropout\nprint(dropout.HINT)"
        ),
        "file": page("f", "print(open('table.json').read())"),
        "alone": page("a", "%pip --version"),
    }


@pytest.mark.parametrize(
    ("changed", "reader"),
    [("regbook/deep.py", "m"), ("regbook/checks/dropout.py", "c"), ("table.json", "f")],
)
def test_a_change_runs_the_pages_that_read_it_and_no_others(
    tiny_book, tmp_path, pages, runs, changed, reader
):
    tiny_book(pages, nb_execution_mode="cache")
    assert sorted(runs.read_text()) == ["a", "c", "f", "m"]
    runs.write_text("")
    path = tmp_path / changed
    path.write_text(path.read_text().replace("old", "new"))
    book = tiny_book(pages, nb_execution_mode="cache")
    assert runs.read_text() == reader
    page = {"m": "module", "c": "checks", "f": "file"}[reader]
    assert "new" in book.html[page]
    runs.write_text("")
    tiny_book(pages, nb_execution_mode="cache")
    assert runs.read_text() == ""


def readers(changed: str) -> list[str]:
    """Return the pages of this book that read a file."""
    paths = {page: ROOT / f"{page}.ipynb" for page in NOTEBOOKS}
    return [
        page
        for page, path in paths.items()
        if ROOT / changed in sources(read(path), path.parent, ROOT)
    ]


def test_the_checks_of_a_chapter_concern_its_exercises_and_its_solution():
    own = ["chapters/10_dropout/exercises", "solutions/10_dropout"]
    assert readers("regbook/checks/dropout.py") == own


def test_what_every_lesson_draws_with_concerns_every_lesson():
    found = readers("regbook/figures.py")
    assert {page for page in NOTEBOOKS if Path(page).name == "lesson"} <= set(found)
    assert "solutions/10_dropout" not in found
