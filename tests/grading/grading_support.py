"""Small submissions, a sandbox that starts at once, and the skip where there is no bubblewrap."""

import ast
import json
import re
from pathlib import Path

import pytest
from hostile import case

from regbook.grading.isolation import SandboxError, level_for
from regbook.grading.sandbox import Sandbox

RIGHT, ROOT, SLUG = case.HONEST, case.ROOT, case.SLUG
# The kinds of hostile submissions, a module of `hostile` each.
GROUPS = ("endless", "resources", "leaving", "forging", "stealing", "destroying", "broken_files")


class Light(Sandbox):
    """A sandbox without the frameworks: it starts at once."""

    def __init__(self, level, hidden=(), modules=()):
        super().__init__(level, hidden, modules=())


# The first lines of a program, in another process, that uses `Light` too.
IMPORT_LIGHT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from grading_support import Light
"""


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


def points(result):
    """Return the points of a result in all its chapters."""
    return sum(marks["points"] for marks in result["chapters"])


def reports(result):
    """Return the reports of a result, by exercise."""
    return [report for marks in result["chapters"] for report in marks["exercises"]]


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


CELL = {"do": "cell", "number": 1, "definitions": False}


def tell(child, expression, before="", seconds=20):
    """Return what an expression is worth in a child, after some statements."""
    source = f"{before}\nraise Exception(repr({expression}))"
    error = child.request({**CELL, "source": source}, seconds)["error"]
    match = re.fullmatch(r"Exception: (.*) \(line \d+ of the cell\)", error, re.S)
    assert match, error
    return ast.literal_eval(match[1])
