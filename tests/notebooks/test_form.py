"""The form that every notebook of the book shares. nbval runs their cells."""

import re

import numpy as np
import pytest
from notebook_support import (
    LABORATORIES,
    LESSONS,
    NOTEBOOKS,
    ROOT,
    SECOND_EDITION,
    calls,
    has,
    name,
    prose,
    tags,
    title,
)

from regbook.chapters import SECTIONS, contents, toc
from regbook.exercise import Answer, load_chapter
from regbook.notebooks import CHECKED, read, tidy, to_text

PAGES = sorted(LESSONS + LABORATORIES)
FIRST_EDITION = [path for path in LESSONS if path not in SECOND_EDITION]
NOTATION = ROOT / "appendix" / "notation.md"
GREEK = re.compile(
    r"\\(?:var)?(?:alpha|beta|gamma|delta|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|pi|rho|sigma"
    r"|tau|phi|chi|psi|omega)",
    re.IGNORECASE,
)
LINK = re.compile(r"\]\(\.\./(\w+)/(?:lesson|laboratory)\.ipynb(?:#[\w-]+)?\)")


def symbols(text):
    """Return the letters of all formulas: Latin, Greek, and blackboard or script ones."""
    maths = " ".join(a or b for a, b in re.findall(r"\$\$(.+?)\$\$|\$(.+?)\$", text, re.DOTALL))
    words = r"\\(text|operatorname|mathrm|mathtt|texttt|begin|end)\*?\s*\{[^}]*\}"
    maths = re.sub(words, " ", maths)
    styled = r"\\math(?:bb|cal|bf)\s*\{?([A-Za-z])\}?"
    special = {match.group().replace("{", " ").strip("}") for match in re.finditer(styled, maths)}
    special = {" ".join(symbol.split()) for symbol in special}
    commands = re.findall(r"\\[A-Za-z]+|[A-Za-z]", re.sub(styled, " ", maths))
    return special | {c for c in commands if len(c) == 1 or GREEK.fullmatch(c)}


def test_every_chapter_has_its_three_notebooks():
    slugs = {path.parent.name for path in LESSONS}
    assert slugs
    assert slugs == {path.stem for path in ROOT.glob("solutions/*.ipynb")}
    assert slugs == {path.parent.name for path in ROOT.glob("chapters/*/exercises.ipynb")}


@pytest.mark.parametrize("path", LESSONS, ids=name)
def test_exercises_and_solutions_carry_the_title_of_the_lesson(path):
    solution = ROOT / "solutions" / f"{path.parent.name}.ipynb"
    assert title(solution) == f"Solutions: {title(path)}"
    assert title(path.with_name("exercises.ipynb")) == f"Exercises: {title(path)}"


def test_the_list_of_chapters_names_each_lesson_by_its_title():
    titles = {slug: text for part in contents(ROOT).values() for slug, text in part.items()}
    for path in LESSONS:
        assert titles[path.parent.name] == title(path)


def test_the_table_of_contents_is_derived_from_it():
    assert (ROOT / "_toc.yml").read_text(encoding="utf-8") == toc(ROOT), "run `make exercises`"


def tasks(path):
    """Return, by function, the text above each stub of a learner's notebook."""
    found, above = {}, []
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            above.append(cell.source)
            continue
        defined = re.match(r"def (\w+)\(", cell.source)
        if defined:
            found[defined[1]] = "\n".join(above)
        above = []
    return found


@pytest.mark.parametrize("path", LESSONS, ids=name)
def test_a_learner_reads_what_each_function_is_to_return(path):
    texts = tasks(path.with_name("exercises.ipynb"))
    for task in load_chapter(path.parent.name).exercises:
        assert task in texts, f"no cell begins with `def {task}(`"
        text = texts[task]
        assert re.search(rf"^##+ .*\b{task}\b", text, re.MULTILINE), f"no heading names {task}"
        assert re.search(r"\b[Rr]eturn\b", text), f"{task}: what is to be returned?"
        assert re.search(r"^Example", text, re.MULTILINE), f"{task} has no example"


@pytest.mark.parametrize("path", LESSONS, ids=name)
def test_a_text_says_whether_the_function_may_change_its_arguments(path):
    """A promise is kept: a check fails an answer that changes them."""
    texts = tasks(path.with_name("exercises.ipynb"))
    for task, exercise in load_chapter(path.parent.name).exercises.items():
        leaves = "Leave the arguments as they are." in texts[task]
        may = "Your function may change its arguments." in texts[task]
        assert leaves == any(check.keeps_input for check in exercise.checks), task
        assert leaves + may == takes_arrays(exercise), task


def takes_arrays(exercise):
    """Tell whether the checks of an exercise hand arrays, lists or dicts to the answer."""
    kinds = set()

    class Recorder(Answer):
        def _call(self, arguments):
            kinds.update(type(argument) for argument in arguments)
            return super()._call(arguments)

    exercise.report(Recorder(exercise.reference or (lambda *_: 0)))
    return bool(kinds & {np.ndarray, list, tuple, dict})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_notebook_is_tidy(path):
    assert path.read_text(encoding="utf-8") == to_text(tidy(read(path))), "run `make tidy`"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_first_code_cell_says_how_to_install(path):
    first = next(cell for cell in read(path).cells if cell.cell_type == "code")
    install, call, packages = first.source.partition("regbook.require(")
    assert "import regbook" in install
    assert "%pip install" in install
    assert call
    assert path not in LESSONS or packages == '"keras", "tensorflow", "torch")'


def test_first_code_cell_is_the_same_everywhere():
    cells = [next(c for c in read(path).cells if c.cell_type == "code") for path in NOTEBOOKS]
    assert len({cell.source.partition("regbook.require(")[0] for cell in cells}) == 1


@pytest.mark.parametrize("path", LESSONS, ids=name)
def test_lesson_has_its_sections_in_order(path):
    text = "\n".join(c.source for c in read(path).cells if c.cell_type == "markdown")
    first = path in FIRST_EDITION
    expected = [section for section in SECTIONS if not first or section != "Check yourself"]
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == expected
    assert len(re.findall(r"^# .+$", text, re.MULTILINE)) == 1


@pytest.mark.parametrize("path", LESSONS, ids=name)
def test_a_cell_checks_each_pair(path):
    """After the twins of a pair, the next code cell calls `agree`, and its output is checked."""
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    pairs = 0
    for i, cell in enumerate(cells):
        if not tags(cell) & {"keras", "torch"}:
            continue
        after = [c for c in cells[i:] if not tags(c) & {"keras", "torch"}]
        if "central-pair" in tags(cell):  # its proof is a run of its own, made in cells between
            after = [c for c in after if has("agree", c)]
        following = after[0]
        assert has("agree", following), cell.source
        assert CHECKED in tags(following)
        pairs += "keras" in tags(cell)
    assert pairs >= (3 if path in FIRST_EDITION else 1)


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_claims_verdicts_and_agreements_are_stored_and_checked(path):
    checked = [c for c in read(path).cells if c.cell_type == "code" and CHECKED in tags(c)]
    evidence = "claim" if path in FIRST_EDITION else "verdict"
    assert any(calls(evidence, cell) for cell in checked)
    for cell in read(path).cells:
        stated = has("claim", cell) or has("agree", cell) or calls("verdict", cell)
        if cell.cell_type == "code" and stated:
            assert CHECKED in tags(cell), cell.source
    # Outside a build, `glue` prints its numbers, which another processor may round otherwise.
    assert not any(has("glue", cell) for cell in checked)


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.name != "exercises.ipynb"], ids=name)
def test_what_is_to_be_checked_is_stored(path):
    """nbval accepts any output where none is stored."""
    for cell in read(path).cells:
        if cell.cell_type == "code" and CHECKED in tags(cell):
            assert cell.outputs, f"run the page and store the output of: {cell.source}"


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_figures_say_what_they_show(path):
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    moving = [cell for cell in cells if has(r"(?:figures\.)?moving", cell)]
    for cell in moving:
        assert all(f"{text}=" in cell.source for text in ("alt", "caption"))
    drawn = re.compile(r"plt\.(subplots|figure|plot)\(")
    figures = [cell for cell in cells if drawn.search(cell.source) and cell not in moving]
    if path in FIRST_EDITION:
        assert len(moving) == 1
        assert len(figures) >= 2
    elif path in LESSONS:
        assert len(moving) <= 1
    for cell in figures:
        look = cell.metadata.mystnb
        assert len(look["image"]["alt"]) > 40
        # The curve of a run stands in a tab; the other figures have numbers and captions.
        assert "central-pair" in tags(cell) or len(look["figure"]["caption"]) > 40
        labelled = "xlabel" in cell.source and "ylabel" in cell.source
        assert labelled or "forest(" in cell.source, "label both axes, with units"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_every_symbol_is_on_the_notation_page(path):
    assert symbols(prose(path)) - symbols(NOTATION.read_text(encoding="utf-8")) == set()


def test_the_notation_page_names_a_place_for_every_symbol():
    rows = re.findall(
        r"^\| (\$.+?) \| .+\((\.\./chapters/.+?\.ipynb)\) \|$", NOTATION.read_text(), re.M
    )
    assert len(rows) > 30
    for symbol, link in rows:
        used = symbols(prose((NOTATION.parent / link).resolve()))
        assert symbols(symbol) <= used, f"{symbol} is not in {link}"


def test_symbols_are_found_in_formulas_only():
    text = (
        r"A rate $\eta_t$ of $\mathcal N(0, \tau^2)$, $$\hat y = \text{for } \mathbb{E}[x],$$ not b"
    )
    assert symbols(text) == {r"\eta", "t", r"\mathcal N", r"\tau", "y", r"\mathbb E", "x"}


def test_related_chapters_link_to_each_other():
    """From the lesson or from the laboratory."""
    links = {(path.parent.name, target) for path in PAGES for target in LINK.findall(prose(path))}
    assert links
    assert {(one, other) for one, other in links if (other, one) not in links} == set()


@pytest.mark.parametrize("path", FIRST_EDITION, ids=name)
def test_a_prediction_precedes_the_experiment(path):
    text = prose(path)
    section = text[text.index("## Experiment") : text.index("## What goes wrong")]
    assert section.count("Predict before you run") == 1
    question = section[section.index("Predict before you run") :]
    assert ":class: dropdown" in question
