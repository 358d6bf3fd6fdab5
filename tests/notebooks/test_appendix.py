"""The appendix: a misconception links to the section that refutes it by measurement."""

import json
import re
from pathlib import Path

import pytest

from regbook.notebooks import read

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (.+?) \| (.+?) \| \[(.+?)\]\(\.\./(chapters/.+?\.ipynb)#(.+?)\) \|$", re.M)
ROWS = ROW.findall((ROOT / "appendix" / "misconceptions.md").read_text(encoding="utf-8"))
LESSONS = sorted(ROOT.glob("chapters/*/lesson.ipynb"))


def anchor(heading):
    """Return the anchor that MyST gives a heading: its words in lower case, joined by hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def sections(path):
    """Return the code below each heading of a lesson, its subsections included, by anchor."""
    found, open_ = {}, []
    for cell in read(path).cells:
        if cell.cell_type == "code":
            for _, name in open_:
                found[name] += cell.source
            continue
        for marks, heading in re.findall(r"^(##+) (.+)$", cell.source, re.M):
            open_ = [(level, name) for level, name in open_ if level < len(marks)]
            open_.append((len(marks), anchor(heading)))
            found.setdefault(open_[-1][1], "")
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:50])
def test_a_misconception_links_to_a_measurement(row):
    said, holds, heading, lesson, target = row
    assert target == anchor(heading.replace("`", ""))
    assert re.search(r"\b(claim|agree)\(", sections(ROOT / lesson)[target]), "nothing is measured"
    assert said.endswith((".", "?"))
    assert holds.endswith(".")
    assert not re.search(r"\d+\.\d|\d %", holds), "a number is computed on the lesson's page"


def test_every_lesson_refutes_something():
    assert {lesson for *_, lesson, _ in ROWS} == {str(p.relative_to(ROOT)) for p in LESSONS}


def test_every_row_of_the_page_is_read():
    page = (ROOT / "appendix" / "misconceptions.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\| (?!What is said|-)", page, re.M)) == len(ROWS)


def test_every_convention_was_noted_by_a_test_that_is_there():
    stored = json.loads((ROOT / "appendix" / "conventions.json").read_text(encoding="utf-8"))
    sources = [path.read_text(encoding="utf-8") for path in ROOT.glob("tests/pairs/test_*.py")]
    for row in stored:
        name = row["test"].partition("[")[0]
        assert any(f"def {name}(" in source for source in sources), "run `make conventions`"
