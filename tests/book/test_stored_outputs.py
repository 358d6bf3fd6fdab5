"""The outputs stored in git are those of the run that built the book.

nbval compares them. It runs the exercises, the solutions and the appendix itself; a lesson takes
most of a minute and was run for the book just before, so here nbval's comparison reads the outputs
of that run.
"""

import copy
from pathlib import Path

import pytest
from book_support import LESSONS, ROOT
from jupyter_cache import get_cache
from nbformat.v4 import new_output
from nbval.plugin import IPyNbFile, coalesce_streams

CACHE = ROOT / "_build" / ".jupyter_cache"


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def compared(session, path, executed):
    """Compare a notebook's checked outputs with those of a run; return what differs, by cell."""
    stored = list(IPyNbFile.from_parent(session, path=path).collect())
    different = {}
    for item, cell in zip(stored, code_cells(executed), strict=True):
        assert item.cell.source == cell.source
        # Where a stream is broken into pieces depends on how busy the machine is.
        shown, kept = coalesce_streams(cell.outputs), coalesce_streams(item.cell.outputs)
        if item.options["check"] and not item.compare_outputs(shown, kept):
            different[item.cell_num] = "\n".join(item.comparison_traceback)
    return different


def executed(path):
    """Return a notebook as the book's build ran it."""
    cache = get_cache(CACHE)
    return cache.get_cache_bundle(cache.match_cache_file(str(path)).pk).nb


@pytest.mark.parametrize("page", LESSONS)
def test_a_lesson_stores_what_its_run_shows(built_book, request, page):
    path = ROOT / f"{page}.ipynb"
    assert compared(request.session, path, executed(path)) == {}


@pytest.mark.parametrize(
    "change", ["another text", "another number", "one output less", "one output more"]
)
def test_a_changed_output_is_noticed(built_book, request, change):
    path = Path(ROOT / f"{LESSONS[0]}.ipynb")
    run = copy.deepcopy(executed(path))
    number, cell = next(
        (i, cell)
        for i, cell in enumerate(code_cells(run))
        if "nbval-check-output" in cell.metadata.get("tags", [])
    )
    assert cell.outputs
    if change == "another text":
        cell.outputs[0].text += "and more\n"
    elif change == "another number":
        text = cell.outputs[0].text
        digit = next(c for c in text if c.isdigit())
        cell.outputs[0].text = text.replace(digit, str((int(digit) + 1) % 10), 1)
    elif change == "one output less":
        cell.outputs = []
    else:
        cell.outputs.append(new_output("display_data", data={"text/html": "<b>1</b>"}))
    assert set(compared(request.session, path, run)) == {number}
