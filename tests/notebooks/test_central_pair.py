"""The pair in full runs wherever the libraries are: it needs six arrays, and not this project."""

import json
import os
import re
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from notebook_support import SECOND_EDITION, WITHOUT_REGBOOK, code_cells, tags

from regbook import data

ARRAYS = ("x_train", "y_train", "x_dev", "y_dev", "x_test", "y_test")
SETTINGS = {"MPLBACKEND": "Agg"} | dict.fromkeys(
    ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"
)
# Each tab runs in a fork of a process that has imported its library, which takes longer than most
# tabs, and has called nothing in it yet: TensorFlow starts its threads with the first operation.
RUN = (
    WITHOUT_REGBOOK
    + """
import importlib, json, os, pathlib, traceback
import matplotlib.pyplot as plt
import numpy
importlib.import_module(sys.argv[1])

def run(source, arrays):
    tab = {"__name__": "__main__", **numpy.load(arrays)}
    exec(compile(open(source, encoding="utf-8").read(), source, "exec"), tab)
    axes = [ax for number in plt.get_fignums() for ax in plt.figure(number).axes]
    assert any(line.get_xdata().size for ax in axes for line in ax.lines), "no curve"

for source, arrays in json.load(sys.stdin):
    folder = pathlib.Path(source).parent
    if os.fork():
        (folder / "status").write_text(str(os.wait()[1]))
        continue
    os.chdir(folder)
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), stream)
    status = 0
    try:
        run(source, arrays)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
"""
)


class Finished(NamedTuple):
    """What a tab left behind."""

    status: int
    stdout: str
    stderr: str


def run(framework, tabs, folder):
    """Run tabs of one library, each in a process and a folder of its own.

    `tabs` maps a name to (source, file of arrays). Returns what each left behind, by the name.
    """
    sources = {tab: folder / framework / str(i) / "tab.py" for i, tab in enumerate(tabs)}
    for tab, path in sources.items():
        path.parent.mkdir(parents=True)
        path.write_text(tabs[tab][0], encoding="utf-8")
    programs = [(str(path), str(tabs[tab][1])) for tab, path in sources.items()]
    subprocess.run(
        [sys.executable, "-c", RUN, framework],
        input=json.dumps(programs),
        env=os.environ | SETTINGS,
        text=True,
        check=True,
    )
    return {
        tab: Finished(*(
            read((path.parent / name).read_text(encoding="utf-8"))
            for name, read in (("status", int), ("stdout", str), ("stderr", str))
        ))
        for tab, path in sources.items()
    }  # fmt: skip


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """Return a file with six arrays of the kind that the cell above a pair makes."""
    digits, labels = data.load("mnist_5k")
    split = data.split(digits, labels, train=500, dev=1000, test=2000, seed=0)
    path = tmp_path_factory.mktemp("arrays") / "arrays.npz"
    np.savez(path, **vars(split))
    return path


def under_test(request):
    """Return (library, page) of each tab that this session of pytest tests."""
    tests = (item for item in request.session.items if item.fspath == request.fspath)
    parameters = [test.callspec.params for test in tests if hasattr(test, "callspec")]
    return {(given["framework"], given["path"]) for given in parameters}


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
    files = {path: tmp_path_factory.mktemp("page") / "arrays.npz"
             for path in {path for _, path in under_test(request)}}  # fmt: skip
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


@pytest.fixture(scope="module")
def finished(request, made_by, tmp_path_factory):
    """Return what each tab under test left behind, by its library and its page."""
    wanted = under_test(request)
    return {
        framework: run(
            framework,
            {
                path: (central(path, framework), made_by[path])
                for library, path in wanted
                if library == framework
            },
            tmp_path_factory.mktemp("tabs"),
        )
        for framework in {library for library, _ in wanted}
    }


def central(path, framework):
    """Return the source of a page's central tab of one library."""
    (source,) = (c.source for c in code_cells(path) if {"central-pair", framework} <= tags(c))
    return source


@pytest.mark.parametrize("framework", ["keras", "torch"])
@pytest.mark.parametrize("path", SECOND_EDITION, ids=lambda path: path.parent.name)
def test_a_tab_runs_on_its_own(finished, path, framework):
    done = finished[framework][path]
    assert done.status == 0, done.stderr[-3000:]
    last = done.stdout.strip().split("\n")[-1]
    assert re.search(r"\d", last), "it prints no result"
    assert "━" not in last, "the last line is a progress bar: give evaluate verbose=0"


LACKING = {
    "import regbook": "regbook is not there",
    "from regbook.pairs import agree": "is not there",
    "x_train.no": "has no attribute",
    "glue": "NameError",
    "print(1)": "no curve",
    "import matplotlib.pyplot as plt\nplt.plot([], [])": "no curve",
}


def test_a_tab_that_needs_more_is_noticed(tmp_path, arrays):
    for framework in ("keras", "torch"):
        tabs = {source: (source, arrays) for source in LACKING}
        for source, done in run(framework, tabs, tmp_path).items():
            assert done.status != 0, source
            assert LACKING[source] in done.stderr


def test_tabs_do_not_see_each_other(tmp_path, arrays):
    """Neither names nor settings nor figures of one reach the next, and no tab ends the others."""
    first = "import keras, os, matplotlib.pyplot as plt\n"
    first += "keras.config.set_floatx('float64')\nname = 1\nplt.plot([1, 2])\nos._exit(3)"
    second = "import keras, matplotlib.pyplot as plt\n"
    second += "print(keras.config.floatx(), 'name' in globals(), plt.get_fignums())\n"
    second += "plt.plot([1, 2])"
    done = run("keras", {"first": (first, arrays), "second": (second, arrays)}, tmp_path)
    assert done["first"].status != 0
    assert done["second"] == (0, "float32 False []\n", done["second"].stderr)
