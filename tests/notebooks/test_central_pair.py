"""The pair in full runs wherever the libraries are: it needs six arrays, and not this project."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from notebook_support import SECOND_EDITION, WITHOUT_REGBOOK, code_cells, tags

from regbook import data

ARRAYS = ("x_train", "y_train", "x_dev", "y_dev", "x_test", "y_test")
RUN = (
    WITHOUT_REGBOOK
    + """
import numpy
source, arrays = sys.argv[1:]
tab = {"__name__": "__main__", **numpy.load(arrays)}
exec(compile(open(source, encoding="utf-8").read(), source, "exec"), tab)
import matplotlib.pyplot as plt
figures = [plt.figure(number) for number in plt.get_fignums()]
assert any(line.get_xdata().size for f in figures for ax in f.axes for line in ax.lines), "no curve"
"""
)


def run(folder, source, arrays):
    """Run a tab in a process of its own; return the finished process."""
    path = folder / "tab.py"
    path.write_text(source, encoding="utf-8")
    settings = {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", RUN, str(path), str(arrays)],
        cwd=folder,
        env=os.environ | settings | {"TF_NUM_INTEROP_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """Return a file with six arrays of the kind that the cell above a pair makes."""
    digits, labels = data.load("mnist_5k")
    split = data.split(digits, labels, train=500, dev=1000, test=2000, seed=0)
    path = tmp_path_factory.mktemp("arrays") / "arrays.npz"
    np.savez(path, **vars(split))
    return path


ABOVE = """
import json, sys
import numpy
for file, page, source in json.load(sys.stdin):
    cells = {"__name__": "__main__"}
    exec(compile(source, page, "exec"), cells)
    numpy.savez(file, **{name: cells[name] for name in sys.argv[1:]})
"""


@pytest.fixture(scope="module")
def made_by(request, tmp_path_factory):
    """Return the file of six arrays that the cells above a pair make, for each page under test.

    One process makes all of them: importing the libraries takes longer than the cells.
    """
    tests = (item for item in request.session.items if item.fspath == request.fspath)
    found = {test.callspec.params.get("path") for test in tests} - {None}
    files = {path: tmp_path_factory.mktemp("page") / "arrays.npz" for path in found}
    programs = []
    for path, file in files.items():
        cells = code_cells(path)
        pair = next(i for i, cell in enumerate(cells) if "central-pair" in tags(cell))
        above = [cell.source for cell in cells[:pair] if not tags(cell) & {"keras", "torch"}]
        programs.append((str(file), str(path), "\n".join(above)))
    subprocess.run(
        [sys.executable, "-c", ABOVE, *ARRAYS],
        input=json.dumps(programs),
        env=os.environ | {"MPLBACKEND": "Agg"},
        text=True,
        check=True,
    )
    return files


@pytest.mark.parametrize("framework", ["keras", "torch"])
@pytest.mark.parametrize("path", SECOND_EDITION, ids=lambda path: path.parent.name)
def test_a_tab_runs_on_its_own(tmp_path, made_by, path, framework):
    (source,) = (c.source for c in code_cells(path) if {"central-pair", framework} <= tags(c))
    done = run(tmp_path, source, made_by[path])
    assert done.returncode == 0, done.stderr[-3000:]
    last = done.stdout.strip().split("\n")[-1]
    assert re.search(r"\d", last), "it prints no result"
    assert "━" not in last, "the last line is a progress bar: give evaluate verbose=0"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import regbook", "regbook is not there"),
        ("from regbook.pairs import agree", "is not there"),
        ("x_train.no", "has no attribute"),
        ("glue", "NameError"),
        ("print(1)", "no curve"),
        ("import matplotlib.pyplot as plt\nplt.plot([], [])", "no curve"),
    ],
)
def test_a_tab_that_needs_more_is_noticed(tmp_path, arrays, source, said):
    done = run(tmp_path, source, arrays)
    assert done.returncode != 0
    assert said in done.stderr
