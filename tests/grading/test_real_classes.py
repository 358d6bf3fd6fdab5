"""What learners of real classes hand in: what runs in Jupyter counts, and the rest is named."""

import json
import re

import pytest
from grading_support import CONVERT, PENALTY, Light, hand_in, need_bubblewrap, points, reports

from regbook.grading import grade as grading
from regbook.grading.grade import Delayed, grade, graded
from regbook.grading.intake import alone, sources
from regbook.grading.sandbox import Sandbox


def notebook(*sources, **metadata):
    cells = [{"cell_type": "code", "source": source} for source in sources]
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4}).encode()


USES_HELPER = "def l2_penalty(weights, lam):\n    return lam * sum(square_sum(w) for w in weights)"
NUMPY = "import numpy as np"
# Each answers both exercises rightly. What is said, if a cell fails, matches.
BOTH = {
    "future": [
        "from __future__ import annotations\nimport numpy as np",
        "def l2_penalty(weights: Later, lam):\n    return lam * sum((w**2).sum() for w in weights)",
    ],
    "await": [NUMPY, f"import asyncio\n{PENALTY}\nawait asyncio.sleep(0)"],
    "writefile": [
        NUMPY,
        "%%writefile helpers.py\ndef square_sum(w):\n    return (w**2).sum()",
        f"from helpers import square_sum\n{USES_HELPER}",
    ],
    "get_ipython": [
        NUMPY,
        "from IPython import get_ipython\nget_ipython().run_line_magic('matplotlib', 'inline')",
        f"%load_ext autoreload\n%autoreload 2\n!ls\n%pip install x\n{PENALTY}",
    ],
    "outputs": [
        NUMPY,
        "np.sum",
        f"total = _\nassert Out[2] is total and 'np.sum' in In[2]\n{PENALTY}",
    ],
    "magics": [f"%%time\n{NUMPY}", f"%%capture said\n{PENALTY}\nprint(1)", "assert said.stdout"],
    "colab": (
        ["from google.colab import drive\ndrive.mount('/content')\nimport numpy as np", PENALTY],
        "No module named 'google",
    ),
    "plots": (["import missing_plots as mp\nimport numpy as np", PENALTY], "missing_plots"),
    "define-then-train": (
        [NUMPY, f"{PENALTY}\nimport time\nfor epoch in range(150): time.sleep(0.1)"],
        "did not finish within 1 s",
    ),
    "train-then-define": (
        [NUMPY, f"epoch = 0\nwhile True: epoch += 1\n{PENALTY}"],
        "did not finish within 1 s",
    ),
    "deaf": (  # it cannot be interrupted, so its process ends
        [NUMPY, f"{PENALTY}\nwhile True:\n    try:\n        while True: pass\n    except: pass"],
        "did not finish within 1 s",
    ),
    "fails-later": ([NUMPY, f"{PENALTY}\n1 / 0"], r"division by zero \(line \d+ of the cell\)"),
}


@pytest.fixture(scope="module")
def light():
    need_bubblewrap()
    with Light("bubblewrap") as sandbox:
        yield sandbox


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(grading, "CELL_SECONDS", 1)
    monkeypatch.setattr(grading, "CALL_SECONDS", 1)


@pytest.mark.parametrize("name", BOTH)
def test_what_runs_in_jupyter_counts(light, short, name):
    sources, says = BOTH[name] if isinstance(BOTH[name], tuple) else (BOTH[name], None)
    result = grade(notebook(*sources, CONVERT), light, 3)
    assert points(result) == 5, result
    if says is None:
        assert result["problems"] == {}
    else:
        (problem,) = result["problems"].values()
        assert re.search(says, problem)


ON_PYTORCH = """
import keras, torch

def l2_penalty(weights, lam):
    return lam * sum(keras.ops.sum(keras.ops.square(w)).detach() for w in weights)

def build_regularized_model(n_inputs, n_hidden, n_classes, lam, lr):
    assert issubclass(keras.Model, torch.nn.Module)
    l2 = keras.regularizers.l2(lam)
    hidden = keras.layers.Dense(n_hidden, "relu", kernel_regularizer=l2)
    output = keras.layers.Dense(n_classes, kernel_regularizer=l2)
    model = keras.Sequential([keras.Input((n_inputs,)), hidden, output])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(lr), loss)
    return model
"""
CHOICE = 'import os\nos.environ["KERAS_BACKEND"] = "torch"'


@pytest.fixture(scope="module")
def warm():
    need_bubblewrap()
    with Sandbox("bubblewrap", modules=("keras", "torch")) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("cells", "chosen"),
    [
        ([CHOICE, ON_PYTORCH], True),
        ([f"{CHOICE}\n{ON_PYTORCH}"], True),
        (["%env KERAS_BACKEND=torch", ON_PYTORCH], True),
        ([CONVERT, CHOICE, ON_PYTORCH], True),  # its name holds "keras"
        (["import keras", CHOICE, ON_PYTORCH], False),  # as in Jupyter, this comes too late
        (['import os\nos.environ["KERAS_BACKEND"] = "tensorflow"', ON_PYTORCH], False),
    ],
)
def test_a_notebook_may_choose_pytorch_for_keras(warm, cells, chosen):
    result = grade(notebook(NUMPY, *cells), warm, 3)
    assert result["problems"] == {}
    found = {report["exercise"]: report for report in reports(result)}
    for name in ("l2_penalty", "build_regularized_model"):
        passed = [row["outcome"]["passed"] for row in found[name]["rows"]]
        assert all(passed) is chosen, found[name]


def test_a_file_handed_in_beside_the_notebook_is_there(light, tmp_path):
    book = notebook(NUMPY, f"from my_answers import square_sum\n{USES_HELPER}", CONVERT)
    folder = hand_in(tmp_path / "class/anna", x=book)
    (folder / "my_answers.py").write_text("def square_sum(w): return (w**2).sum()\n")
    (notebook_of_anna,) = (s for s in sources(tmp_path / "class") if s.is_notebook)
    assert points(grade(notebook_of_anna.read(), light, 3)) == 5
    assert points(grade(alone(folder / "x.ipynb").read(), light, 3)) == 5
    assert points(grade(notebook_of_anna.content(), light, 3)) == 1


def test_a_notebook_of_a_newer_python_is_told_so(light):
    book = notebook(
        "def l2_penalty(:", CONVERT, language_info={"name": "python", "version": "3.99.1"}
    )
    result = grade(book, light, 3)
    assert points(result) == 1
    assert "written with Python 3.99, and the grader runs Python 3." in result["problems"]["1"]
    older = notebook("def l2_penalty(:", CONVERT, language_info={"version": "3.1.0"})
    assert "written with" not in grade(older, light, 3)["problems"]["1"]


@pytest.mark.parametrize("form", ["{stub}\n    {line}", "    {line}\n    {stub}"])
def test_a_forgotten_line_of_the_stub_is_named(light, form):
    head = PENALTY.strip().splitlines()[0]
    line = "return lam * sum((w**2).sum() for w in weights)"
    body = form.format(stub="raise NotImplementedError", line=line).strip()
    source = f"{head}\n    {body}"
    if form.startswith("    "):  # below: what comes before does not return
        source = source.replace("return lam", "total = lam")
    result = grade(notebook(NUMPY, source, CONVERT), light, 3)
    assert points(result) == 1
    hints = {row["outcome"]["hint"] for row in reports(result)[0]["rows"]}
    assert hints == {
        "The line `raise NotImplementedError` still stands in your function: delete it."
    }


def test_every_chapter_of_a_notebook_is_graded(light):
    scale = "def expected_scale(rate):\n    return 1 / (1 - np.asarray(rate))"
    result = grade(notebook(NUMPY, PENALTY, CONVERT, scale), light, 3)
    earned = {marks["chapter"]: marks["points"] for marks in result["chapters"]}
    assert earned == {"07_l2_weight_decay": 5, "10_dropout": 3}


def test_what_the_clock_stopped_is_repeated_alone(light, short):
    sleeps = notebook(NUMPY, PENALTY, "import time\ntime.sleep(99)")
    loops = notebook(NUMPY, PENALTY, "while True: pass")
    with pytest.raises(Delayed):
        graded(sleeps, light, 3, alone=False)
    assert points(graded(sleeps, light, 3, alone=True)[0]) == 4
    assert points(graded(loops, light, 3, alone=False)[0]) == 4  # it computed: nobody's fault
