"""The form of a lesson of the second edition: it teaches one thing, by one pair in full.

A first edition is named in `regbook.chapters.FIRST_EDITION`.
"""

import ast
import re

import pytest
from notebook_support import (
    LABORATORIES,
    LESSONS,
    SECOND_EDITION,
    boxes,
    calls,
    code_cells,
    name,
    prose,
    section,
    tags,
)

from regbook.chapters import FIRST_EDITION
from regbook.notebooks import CHECKED, read

CELLS, LINES, WORDS = 40, 250, 3000
HIDDEN = {"remove-input", "remove-cell"}
FRAMEWORKS = ("keras", "torch")
ARRAYS = {"x_train", "y_train", "x_dev", "y_dev", "x_test", "y_test"}
PARTS = {
    "keras": ("compile(", "fit(", "validation_data=", "evaluate(", ".plot("),
    "torch": ("DataLoader(", ".backward()", ".step()", ".eval()", "no_grad()", ".plot("),
}

NUMBER = re.compile(r"^\*\*(\d)\.\*\*", re.MULTILINE)
OPTION = re.compile(r"^\s*(?:[-*] )?[(*]*([a-dA-D])[).:*]+\s", re.MULTILINE)

lessons = pytest.mark.parametrize("path", SECOND_EDITION, ids=name)


def lines(cells):
    """Count lines of code: those that are not blank, comments included."""
    return sum(bool(line.strip()) for cell in cells for line in cell.source.split("\n"))


def own_code(path):
    """Return the code cells of a page without the first, which says how to install."""
    return code_cells(path)[1:]


def names(cell):
    """Return the names that a cell gives values to."""
    nodes = ast.walk(ast.parse(cell.source))
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def only_glues(cell):
    return all(
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).split(".")[-1] == "glue"
        for node in ast.parse(cell.source).body
    )


def questions(path):
    """Return the parts of "Check yourself": its text above each folded answer, and the answers."""
    text = section(path, "Check yourself")
    answers = [box.body for box in boxes(text) if box.folded and box.body.strip()]
    return re.split("|".join(map(re.escape, answers)) or r"\Z", text), answers


def test_the_first_edition_only_shrinks():
    """A chapter leaves it with its laboratory, and a new chapter never was in it."""
    assert list(FIRST_EDITION) == sorted(set(FIRST_EDITION))
    assert set(FIRST_EDITION) <= {path.parent.name for path in LESSONS}
    assert max(FIRST_EDITION, default="") < "19"
    assert {path.parent.name for path in LABORATORIES} & set(FIRST_EDITION) == set()


@lessons
def test_a_lesson_is_short(path):
    pairs = [cell for cell in own_code(path) if tags(cell) & set(FRAMEWORKS)]
    code = lines(own_code(path))
    assert len(read(path).cells) <= CELLS
    assert code <= LINES
    assert 2 * lines(pairs) >= code, "half of the lines belong to Keras and PyTorch"
    assert len(prose(path).split()) <= WORDS


@lessons
def test_motivation_needs_no_code(path):
    cells = read(path).cells
    motivation = next(i for i, cell in enumerate(cells) if "## Motivation" in cell.source)
    assert sum(cell.cell_type == "code" for cell in cells[:motivation]) == 1  # how to install


@lessons
def test_the_central_pair_is_a_whole_run_in_each_library(path):
    cells = read(path).cells
    places = [i for i, cell in enumerate(cells) if "central-pair" in tags(cell)]
    assert len(places) == 2
    assert places[1] == places[0] + 1
    pair = {(tags(cells[i]) & set(FRAMEWORKS)).pop(): cells[i].source for i in places}
    assert set(pair) == set(FRAMEWORKS)
    for framework, source in pair.items():
        assert "regbook" not in source
        assert [part for part in PARTS[framework] if part not in source] == []
    above = [cell for cell in cells[: places[0]] if cell.cell_type == "code"]
    assert names(above[-1]) >= ARRAYS, "the cell above it makes the six arrays"
    assert not tags(above[-1]) & {"hide-input", *HIDDEN}


@lessons
def test_the_proof_of_a_pair_is_folded(path):
    for cell in own_code(path):
        if calls("agree", cell):
            assert tags(cell) & {"hide-input", *HIDDEN}, cell.source


@lessons
def test_a_lesson_asks_one_question(path):
    asked = [cell for cell in own_code(path) if calls("verdict", cell)]
    assert len(asked) == 1
    assert asked[0].source.count("verdict(") == 1
    assert {CHECKED, "hide-input"} <= tags(asked[0])
    assert re.search(r'expect="', asked[0].source)


@lessons
def test_cells_that_hand_numbers_to_the_prose_are_not_shown(path):
    for cell in own_code(path):
        if only_glues(cell):
            assert tags(cell) & HIDDEN, cell.source
        elif calls("glue", cell):
            assert tags(cell) & {"hide-input", *HIDDEN}, cell.source


@lessons
def test_a_reader_checks_what_is_understood(path):
    asked, answers = questions(path)
    assert len(answers) in (3, 4)
    numbers = [NUMBER.findall(text) for text in asked]
    assert numbers == [[str(i + 1)] for i in range(len(answers))] + [[]], "**1.**, with one answer"
    assert re.search(r"\{numref\}|\bfigure\b", " ".join(asked)), "none asks to read a figure"
    assert re.search(r"\b([Cc]hoose|[Ww]hich)\b", " ".join(asked)), "none asks to choose"
    for question, answer in zip(asked, answers, strict=False):
        missing = [o for o in OPTION.findall(question) if not re.search(rf"\b{o}\b", answer)]
        assert not missing, f"the answer says nothing about option {', '.join(missing)}"


@lessons
def test_a_prediction_is_asked_openly_and_answered_below_a_fold(path):
    found = boxes(section(path, "Experiment"))
    (place,) = (i for i, box in enumerate(found) if box.title == "Predict before you run")
    question = found[place]
    assert not question.folded
    assert "?" in question.body
    assert any(box.folded for box in found[place + 1 :])


@pytest.mark.parametrize("path", SECOND_EDITION + LABORATORIES, ids=name)
def test_plain_words(path):
    assert "in place of" not in " ".join(prose(path).lower().split())


def test_boxes_are_found_within_boxes():
    text = (
        "::::{admonition} Outer\n:class: tip\nA\n\n:::{dropdown} Inner\nB\n:::\n::::\n\nC\n"
        "```{admonition} Last\n:class: tip dropdown\nD\n```\n:::{note}\nnot dropdown\n:::\n"
    )
    assert [(box.title, box.folded) for box in boxes(text)] == [
        ("Outer", False),
        ("Inner", True),
        ("Last", True),
        ("", False),
    ]
