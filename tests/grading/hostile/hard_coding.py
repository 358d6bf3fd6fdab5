"""Submissions that know the answers to one seed's questions by heart.

The tables are recorded from the solutions with seed 0, which every reader can see.
"""

import functools
import json
import textwrap

import numpy as np
from hostile.case import HONEST, SETUP, Case, notebook, solutions

from regbook.exercise import Answer, load_chapter

VISIBLE = 0
OTHER = "18_batch_norm"
NAMES = ("l2_penalty", "l2_gradient_step", "adamw_step", "convert_keras_l2_to_torch_weight_decay")

OTHERS = ("batchnorm_backward", "running_stats_update")

# How a table answers. `table` holds pairs (the question's numbers, the answer's arrays).
LOOKUPS = {
    "exact": ("looks the question up", "near = min(gaps) < 1e-9"),
    "nearest": ("answers the question that is most like the one asked", "near = True"),
}
SOURCE = """
import json
import numpy as np
def numbers(x):
    if isinstance(x, (list, tuple)):
        return [n for item in x for n in numbers(item)]
    x = list(x.encode()) if isinstance(x, str) else x
    return np.ravel(x).astype(float).tolist()
def lookup(table, question):
    asked, gaps = numbers(question), []
    for known, _ in table:
        same = len(known) == len(asked)
        gaps.append(np.abs(np.subtract(known, asked)).max() if same else 1e9)
    {rule}
    if not near:
        return 0.0
    values = [np.array(v) for v in table[int(np.argmin(gaps))][1]]
    return tuple(values) if len(values) > 1 else values[0]
"""
COUNTING = """
import json
import numpy as np
calls = dict()
def lookup(table, question):
    n = calls[id(table)] = calls.get(id(table), -1) + 1
    values = [np.array(v) for v in table[n % len(table)][1]]
    return tuple(values) if len(values) > 1 else values[0]
"""


class _Recorder(Answer):
    """The solution, which writes down what it is asked and what it answers."""

    def __init__(self, function):
        super().__init__(function)
        self.table = []

    def __call__(self, *arguments):
        value = super().__call__(*arguments)
        space = {}
        exec(SOURCE.format(rule="near = True"), space)
        parts = value if isinstance(value, tuple) else (value,)
        self.table.append((space["numbers"](arguments), [part.tolist() for part in parts]))
        return value


@functools.cache
def _table(slug, name):
    """Return the questions about an exercise with the visible seed, and the answers."""
    space = {"np": np}
    exec((HONEST if name in HONEST else solutions(slug))[name], space)
    recorder = _Recorder(space[name])
    report = load_chapter(slug).report(recorder, exercise=name, seed=VISIBLE)
    assert report.points == report.max_points, report
    return recorder.table


def _cells(slug, names, source):
    """Return the cells that answer these exercises from tables."""
    cells = [source]
    for name in names:
        cells.append(
            f"TABLE_{name} = json.loads({json.dumps(_table(slug, name))!r})\n"
            f"def {name}(*question): return lookup(TABLE_{name}, question)\n"
        )
    return cells


def _deserved(slug, names, source, seed):
    """Return what the same tables earn where they are run without a grader."""
    chapter, points = load_chapter(slug), 0
    for name in names:
        space = {}
        for cell in _cells(slug, [name], source):
            exec(textwrap.dedent(cell), space)
        points += chapter.report(space[name], exercise=name, seed=seed).points
    return points


def cases(seed):
    """Return the cases, for a grader that draws its questions with `seed`."""
    found = []
    sources = {key: (text, SOURCE.format(rule=rule)) for key, (text, rule) in LOOKUPS.items()}
    sources["counting"] = ("answers in the order of the questions", COUNTING)
    for key, (text, source) in sources.items():
        for slug in ("07_l2_weight_decay", OTHER):
            names = NAMES if slug != OTHER else OTHERS
            setup = SETUP.replace("07_l2_weight_decay", slug)
            found.append(
                Case(
                    f"{key}-{slug[:2]}",
                    text,
                    notebook(setup, *_cells(slug, names, source)),
                    _deserved(slug, names, source, seed),
                )
            )
    constants = [f"def {name}(*a): return {_table('07_l2_weight_decay', name)[0][1][0]!r}"
                 for name in NAMES]  # fmt: skip
    found.append(
        Case("constants", "returns the first answers whatever is asked",
             notebook(SETUP, *constants), 0)
    )  # fmt: skip
    return found
