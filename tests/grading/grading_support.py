"""Small submissions, and one place that says when a test needs bubblewrap and has none."""

import ast
import json
import re

import pytest
from hostile import case

from regbook.grading.sandbox import SandboxError, level_for

RIGHT, ROOT, SLUG = case.HONEST, case.ROOT, case.SLUG
# What a child needs: starts at once, unlike both frameworks.
LIGHT = ("numpy", "IPython.core.inputtransformer2", "regbook.check", "regbook.grading.child")


def need_bubblewrap():
    """Skip the test, with the reason, where submissions cannot be isolated."""
    try:
        level_for(False)
    except SandboxError as error:
        pytest.skip(str(error))


PENALTY, STEP, CONVERT = (
    RIGHT[name]
    for name in ("l2_penalty", "l2_gradient_step", "convert_keras_l2_to_torch_weight_decay")
)
STUB = "def {}(*_):\n    raise NotImplementedError"
MAX_POINTS = case.full(*RIGHT)


def book(*sources, **metadata):
    """Return the bytes of a notebook of these code cells, after the import of NumPy."""
    cells = [{"cell_type": "code", "source": s} for s in ("import numpy as np", *sources)]
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4}).encode()


def hand_in(folder, **books):
    """Write submissions, the bytes of `book` by name without suffix; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in books.items():
        (folder / f"{name}.ipynb").write_bytes(data)
    return folder


def tables(out):
    """Return the bytes of the three files that a report consists of."""
    return [(out / name).read_bytes() for name in ("summary.csv", "scores.csv", "report.json")]


def tell(child, expression, before="", seconds=20):
    """Return what an expression is worth in a child, after some statements."""
    source = f"{before}\nraise Exception(repr({expression}))"
    error = child.request({"do": "cell", "number": 1, "source": source}, seconds)["error"]
    match = re.fullmatch(r"Exception: (.*) \(line \d+ of the cell\)", error, re.S)
    assert match, error
    return ast.literal_eval(match[1])
