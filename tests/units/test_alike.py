"""Equal functions are found under other names and in another order, and nothing else is."""

import ast
import importlib
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from regbook.exercise import load_chapters
from regbook.grading.alike import LEAST, fingerprints, groups, measured, published
from regbook.grading.submission import parse

ROOT = Path(__file__).parents[2]
NUMPY = "import numpy as np"
HELPER = "def halved(w, share=0.5):\n    return share * w"
ANSWER = '''
def answer(weights, lam, *, rate=0.5):
    """Return two numbers."""
    total = 0.0
    largest = np.max([np.abs(w).max() for w in weights])
    for index, w in enumerate(weights):
        total += lam * np.sum(w**2) + index * halved(w, share=rate).mean()
    return total, np.clip(largest, a_min=0, a_max=1)
'''
RENAMED = """
def answer(ws: list, penalty: float, *, p: float = 0.5) -> tuple:
    # quite another comment
    top: float = numpy.max([numpy.abs(each).max() for each in ws])
    result = 0.0
    pass
    for i, each in enumerate(ws):
        result += smaller(each, factor=p).mean() * i + numpy.sum(each**2) * penalty
    return result, numpy.clip(top, a_max=1, a_min=0)
"""
SMALLER = "import numpy\n\ndef smaller(array, factor=0.5):\n    return array * factor"


def digest(*cells, name="answer"):
    return measured(cells, [name]).get(name, (None, 0))[0]


def test_names_comments_and_order_do_not_matter():
    assert fingerprints([NUMPY, HELPER, ANSWER], ["answer"])
    assert digest(NUMPY, HELPER, ANSWER) == digest(RENAMED, SMALLER)
    assert digest(NUMPY, ANSWER, HELPER) == digest("from numpy import *", SMALLER, RENAMED)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a = x + 1\n    b = x * 2\n    return a - b",
         "u = 2 * x\n    v = 1 + x\n    return v - u"),
        ("return sum(w for w in x)", "return sum(value for value in x)"),
        ("return (lambda w: w + x)(3)", "return (lambda v: x + v)(3)"),
        ("a = x\n    a = f(a)\n    return a", "a = x\n    b = f(a)\n    return b"),
        ("def g(y):\n        return y - 1\n    return g(x)",
         "def h(z):\n        return z - 1\n    return h(x)"),
        ("import numpy as np\n    return np.linalg.norm(x)",
         "from numpy import linalg as la\n    return la.norm(x)"),
        ("with open(x) as f:\n        return f", "with open(x) as file:\n        return file"),
        ("try:\n        return 1 / x\n    except E as e:\n        return str(e)",
         "try:\n        return 1 / x\n    except E as error:\n        return str(error)"),
        ("if (n := len(x)) > 2:\n        return n",
         "if (size := len(x)) > 2:\n        return size"),
        ("for i in x:\n        last = i\n    return last",
         "for k in x:\n        y = k\n    return y"),
    ],
)  # fmt: skip
def test_forms_of_equal_functions_are_equal(one, other):
    first, second = digest(f"def answer(x):\n    {one}"), digest(f"def answer(x):\n    {other}")
    assert first == second is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("return x - y", "return y - x"),
        ("return x / y", "return y / x"),
        ("return x + y", "return x * y"),
        ("return f(x, y)", "return f(y, x)"),
        ("return x * 2", "return x * 2.0"),
        ("return x.max", "return x.min"),
        ("return f(x, a=y)", "return f(x, b=y)"),
        ("x = y\n    y = x\n    return x, y", "y = x\n    x = y\n    return x, y"),
        ("f(x)\n    g(y)", "g(y)\n    f(x)"),
        ("a = x\n    x[0] = 1\n    return a", "x[0] = 1\n    a = x\n    return a"),
        ("for i in x:\n        y += i\n    return y",
         "for i in x:\n        y += i\n        return y"),
        ("return [i for i in x if i]", "return [i for i in x]"),
        ("return lambda: x", "return lambda: y"),
    ],
)  # fmt: skip
def test_forms_of_other_functions_differ(one, other):
    forms = [digest(f"def answer(x, y):\n    {body}") for body in (one, other)]
    assert None not in forms and len(set(forms)) == 2


def test_size_does_not_depend_on_how_a_module_is_imported():
    short = "from numpy.linalg import norm\n\ndef answer(x):\n    return norm(x)"
    long = "import numpy\n\ndef answer(x):\n    return numpy.linalg.norm(x)"
    assert measured([short], ["answer"]) == measured([long], ["answer"])


def test_helpers_count_and_other_exercises_are_only_named():
    use = "def answer(x):\n    return other(x)"
    plus, minus = "def other(x):\n    return x + 1", "def other(x):\n    return x - 1"
    assert digest(use, plus) != digest(use, minus)
    forms = [measured([use, other], ["answer", "other"])["answer"] for other in (plus, minus)]
    assert forms[0] == forms[1]


def test_last_definition_counts_unless_it_is_the_stub():
    old, new = "def answer(x):\n    return x - 1", "def answer(x):\n    return x - 2"
    stub = 'def answer(x):\n    """Return ..."""\n    raise NotImplementedError'
    assert digest(old, new) == digest(new) != digest(old)
    assert digest(new, stub) == digest(new)
    assert digest(f"{new}\n\nif True:\n    {old.replace(chr(10), chr(10) + '    ')}") == digest(old)
    assert measured([stub, "def", ""], ["answer"]) == {}
    assert digest("answer = lambda y: y - 2") == digest(new)


def test_short_functions_are_left_out_and_parameters_do_not_count():
    body = "x" + " - x" * (LEAST // 2)
    for parameters in ("x", "x, a=None, b: int = 3, *rest, **options"):
        size = measured([f"def answer({parameters}):\n    return {body}"], ["answer"])["answer"][1]
        assert LEAST <= size <= LEAST * 2
    short = "def answer(x):\n    return x - 1"
    assert measured([short], ["answer"]) and not fingerprints([short], ["answer"])


@pytest.mark.parametrize(
    "line", ["%matplotlib inline", "!pip install x", "%%time", "?np", "np.sum?", "%%"]
)
def test_magics_hide_no_function(line):
    assert digest(f"{line}\ndef answer(x):\n    return x") == digest("def answer(x):\n    return x")


HOSTILE = {
    "parentheses": "return " + "(" * 5000 + "x" + ")" * 5000,
    "minus": "return " + "-" * 30000 + "x",
    "chain": "return " + " - ".join(["x"] * 8000),
    "sum": "return " + " + ".join(["x"] * 8000),
    "attributes": "return x" + ".a" * 10000,
    "lambdas": "return " + "lambda: " * 3000 + "x",
    "lists": "return " + "[" * 150 + "]" * 150,
    "assignments": "\n    ".join(f"a{i} = x" for i in range(2000)),
    "classes": "\n".join("    " + "  " * i + "class A:" for i in range(40)) + " x = 1",
    "number": "return 0x" + "f" * 30000,
    "nul": "return '\0'",
    "surrogate": "return '\ud800'",
    "magics": "\n".join(["%a"] * 5000) + "\n    return (x",
    "itself": "return answer(answer)",
    "indents": "\n".join("    " + " " * i + "if x:" for i in range(98)) + " return",
    "unfinished": "return (",
}  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_source_raises_nothing_and_hides_nothing_else(body):
    other = "def other(x):\n    return x - 1"
    found = measured([f"def answer(x):\n    {body}", other], ["answer", "other"])
    assert found["other"] == measured([other], ["other"])["other"]


@pytest.mark.parametrize(
    "cells",
    [
        ["answer = answer"],
        ["answer = other", "other = answer"],
        ["import answer"],
        ["from . import answer"],
        ["answer: int"],
        ["answer = 3"],
        ["class answer:\n    def __call__(self, x):\n        return x"],
        [f"def g{i}(x):\n    return g{i - 1}(x) + g{i - 1}(x)" for i in range(1, 400)]
        + ["def answer(x):\n    return g399(x)"],
        ["def answer(x):\n    return " + "x" * 40000],
        ["x = 1"] * 100000,
    ],
)  # fmt: skip
def test_odd_definitions_raise_nothing(cells):
    assert not fingerprints(cells, ["answer"])


def test_every_kind_of_syntax_has_a_form():
    """Every function of some large modules of the standard library, each as an answer."""
    for name in ("ast", "subprocess", "asyncio.base_events", "dataclasses", "typing"):
        module = importlib.import_module(name)
        tree = ast.parse(Path(module.__file__).read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                source = ast.unparse(node)
                known = len(source) > 5000 or node.name in measured([source], [node.name])
                assert known or "raise NotImplementedError" in source, node.name


@pytest.mark.filterwarnings("ignore:invalid escape")
def test_digest_is_the_same_in_every_process_and_no_warning_is_shown():
    cells = ["'\\d'", NUMPY, HELPER, ANSWER]
    program = (
        "import sys; from regbook.grading.alike import fingerprints; "
        f"print(fingerprints({cells!r}, ['answer'])['answer'])"
    )
    for seed in "12":
        command = [sys.executable, "-W", "always", "-c", program]
        environment = {"PYTHONHASHSEED": seed}
        said = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
        assert said.stdout.strip() == digest(*cells)
        assert "escape" not in said.stderr


def right_answers(slug):
    """Yield (exercise, what it is, cells) of the right answers in the tests of a chapter."""
    bank = (ROOT / "tests/autograder" / f"{slug.partition('_')[2]}_answers.py").read_text("utf-8")
    tree = ast.parse(bank)
    defined = {node.name: ast.unparse(node) for node in tree.body if hasattr(node, "name")}
    others = "\n".join(
        ast.unparse(node) for node in tree.body if not hasattr(node, "name")
        and "RIGHT" not in ast.unparse(node) and "WRONG" not in ast.unparse(node)
    )  # fmt: skip
    (right,) = [
        node.value for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RIGHT"
    ]  # fmt: skip
    for key, answers in zip(right.keys, right.values, strict=True):
        for answer in answers.elts:
            source = f"{key.value} = {ast.unparse(answer)}"
            yield key.value, source, [others, *defined.values(), source]


def test_independent_right_answers_are_not_equal():
    """Neither to each other nor to the solution: the bound on the size keeps chance out."""
    compared = 0
    for slug in load_chapters():
        holders = defaultdict(list)
        for exercise, found in published(slug).items():
            holders[exercise, found].append("the solution")
        for exercise, source, cells in right_answers(slug):
            for found in fingerprints(cells, [exercise]).values():
                holders[exercise, found].append(source)
        compared += len(holders)
        assert all(len(names) == 1 for names in holders.values()), holders
    assert compared > 200


def test_solution_equals_itself_and_the_learners_notebook_has_no_fingerprint():
    for slug, chapter in load_chapters().items():
        known = published(slug)
        for folder, expected in ((f"solutions/{slug}.ipynb", known),
                                 (f"chapters/{slug}/exercises.ipynb", {})):  # fmt: skip
            cells = parse((ROOT / folder).read_bytes(), {slug: chapter}).cells
            assert fingerprints(cells, chapter.exercises) == expected
    assert published("99_none") == {}


def test_groups_share_most_first_and_name_all_that_they_share():
    prints = {
        "a": {"one": "1", "two": "2", "three": "3"}, "b": {"one": "1", "two": "2", "three": "4"},
        "c": {"one": "1"}, "d": {"three": "3", "two": "1"}, "e": {},
    }  # fmt: skip
    expected = [(["one", "two"], ["a", "b"]), (["three"], ["a", "d"]), (["one"], ["a", "b", "c"])]
    assert groups(prints) == groups(dict(reversed(prints.items()))) == expected
    assert groups({}) == groups({"a": {"one": "1"}}) == []


def test_one_learner_is_not_alike():
    same = {"one": "1"}
    moodle = "Ben Bo_12_assignsubmission_file_/{}.ipynb"
    assert groups({moodle.format("a"): same, moodle.format("b"): same}) == []
    assert groups({"anna/answer.ipynb": same, "ben/answer.ipynb": same})
