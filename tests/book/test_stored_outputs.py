"""The outputs stored in git are those of the run that built the book.

nbval compares them. It runs the exercises and the appendix itself; lessons, laboratories and
solutions take longer and were run for the book just before, so here nbval's comparison reads the
outputs of that run.
"""

import copy
from pathlib import Path

import nbformat
import pytest
from book_support import LABORATORIES, LESSONS, ROOT, SOLUTIONS, code
from jupyter_cache import get_cache
from nbformat.v4 import new_notebook, new_output
from nbval.plugin import IPyNbFile, coalesce_streams

from regbook.claims import Interval
from regbook.verdicts import verdict

CACHE = ROOT / "_build" / ".jupyter_cache"


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def compared(session, path, executed):
    """Compare a notebook's checked outputs with those of a run; return what differs, by cell."""
    notebook = IPyNbFile.from_parent(session, path=path)
    notebook.setup_sanitize_files()  # nbval does so when it starts a kernel
    stored = list(notebook.collect())
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


@pytest.mark.parametrize("page", [*LESSONS, *LABORATORIES, *SOLUTIONS])
def test_a_page_stores_what_its_run_shows(built_book, request, page):
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


def page(*bounds, n=10):
    """Return a notebook that shows a verdict on an interval, as text and as HTML."""
    shown = verdict("Dropout", Interval(*bounds, n, "fresh splits"))
    data = {"text/plain": repr(shown), "text/html": shown._repr_html_()}
    cell = code("verdict(...)", "nbval-check-output")
    cell.outputs = [new_output("execute_result", data=data, execution_count=1)]
    return new_notebook(cells=[cell])


CANNOT_TELL = (0.31, -1.52, 2.14)


@pytest.mark.parametrize(
    ("run", "noticed"),
    [
        (page(0.4, -15.9, 16.7), False),  # another estimate, and more replicates needed
        (page(0.2, -0.3, 0.7), True),  # no difference
        (page(1.2, 0.1, 2.3), True),  # helps
        (page(*CANNOT_TELL, n=11), True),
    ],
)
def test_another_outcome_is_noticed_and_another_estimate_is_not(tmp_path, request, run, noticed):
    path = tmp_path / "page.ipynb"
    nbformat.write(page(*CANNOT_TELL), path)
    assert bool(compared(request.session, path, run)) is noticed
