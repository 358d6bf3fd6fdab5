"""The form of a laboratory: it proves, and says first what it found."""

import re

import pytest
from notebook_support import (
    LABORATORIES,
    SECOND_EDITION,
    calls,
    code_cells,
    name,
    sections,
    tags,
    title,
)

from regbook.notebooks import CHECKED, read

laboratories = pytest.mark.parametrize("path", LABORATORIES, ids=name)


def test_every_chapter_of_the_second_edition_has_a_laboratory():
    assert [path.parent for path in LABORATORIES] == [path.parent for path in SECOND_EDITION]


@laboratories
def test_it_carries_the_title_of_the_lesson(path):
    assert title(path) == f"{title(path.with_name('lesson.ipynb'))}: laboratory"


@laboratories
def test_a_table_at_the_top_links_to_every_section_with_a_verdict(path):
    top = ""
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            top += "\n" + cell.source.partition("\n## ")[0]
            if re.search(r"^## ", cell.source, re.MULTILINE):
                break
    rows = re.findall(r"^\|.+\|$", top, re.MULTILINE)
    linked = {target for row in rows for target in re.findall(r"\]\(#([\w-]+)\)", row)}
    held = sections(path)
    assert linked <= set(held), "a link leads to no section"
    for cell in code_cells(path):
        if calls("verdict", cell):
            around = {section for section, cells in held.items() if cell in cells}
            assert linked & around, f"the table does not lead to: {cell.source}"


@laboratories
def test_verdicts_are_stored_and_their_code_is_folded(path):
    asked = [cell for cell in code_cells(path) if calls("verdict", cell)]
    assert asked
    for cell in asked:
        assert {CHECKED, "hide-input"} <= tags(cell), cell.source
        assert re.search(r'expect="', cell.source), cell.source
        assert cell.outputs, f"run the page and store the output of: {cell.source}"
