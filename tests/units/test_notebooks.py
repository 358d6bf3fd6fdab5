"""Notebooks derive, normalise and copy without a surprise, and never over a learner's work."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from regbook.notebooks import (
    BEGIN,
    CHECKED,
    END,
    NotebookError,
    derive_exercises,
    main,
    read,
    tidy,
    to_text,
)

SLUG = "00_scales"
SOLVED = f"def scale(x, c):\n    {BEGIN}\n    return c * x\n    {END}"
STUBBED = "def scale(x, c):\n    # YOUR CODE HERE\n    raise NotImplementedError"


def printed(text="7\n"):
    return new_output("stream", name="stdout", text=text)


def code(source, *tags, outputs=()):
    return new_code_cell(source, metadata={"tags": list(tags)} if tags else {}, outputs=[*outputs])


def notebook(*cells):
    return new_notebook(cells=[code(c) if isinstance(c, str) else c for c in cells])


def derive(*cells):
    return derive_exercises(notebook(*cells), SLUG)


def sources(derived):
    return [cell.source for cell in derived.cells]


@pytest.mark.parametrize(
    ("source", "stub"),
    [
        (SOLVED, STUBBED),
        (f"{BEGIN}\nx = 1\ny = 2\n{END}", "# YOUR CODE HERE\nraise NotImplementedError"),
        (f"a\n\t{BEGIN}\n\tb\n\t{END}\nc", "a\n\t# YOUR CODE HERE\n\traise NotImplementedError\nc"),
        (f"{SOLVED}\n\n\n{SOLVED}", f"{STUBBED}\n\n\n{STUBBED}"),
        (f"{BEGIN}\n{END}", "# YOUR CODE HERE\nraise NotImplementedError"),
    ],
    ids=["function", "top level", "tabs", "two blocks", "empty"],
)
def test_marked_lines_become_a_stub_at_their_indentation(source, stub):
    assert sources(derive(source)) == [stub]


def test_unmarked_cells_stay():
    assert sources(derive("import regbook", SOLVED, "check(scale)")) == [
        "import regbook", STUBBED, "check(scale)"
    ]  # fmt: skip


def test_cells_for_the_solution_only_are_left_out():
    secret = new_markdown_cell("because 2 * 3 = 6", metadata={"tags": ["solution-only"]})
    derived = derive(secret, SOLVED, code("proof()", "solution-only"))
    assert sources(derived) == [STUBBED]


def test_links_are_made_relative_to_the_chapter():
    derived = derive(
        new_markdown_cell(
            f"[a](../chapters/{SLUG}/lesson.ipynb) [b](../chapters/01_other/lesson.ipynb)"
        ),
        SOLVED,
    )
    assert sources(derived)[0] == "[a](lesson.ipynb) [b](../chapters/01_other/lesson.ipynb)"


def test_outputs_and_their_tag_are_removed_and_other_tags_stay():
    derived = derive(
        code(SOLVED, CHECKED, outputs=[printed()]), code("1", CHECKED, "hide-input"), code("2")
    )
    assert [cell.outputs for cell in derived.cells] == [[], [], []]
    assert [cell.metadata.get("tags") for cell in derived.cells] == [None, ["hide-input"], None]


@pytest.mark.parametrize(
    "source",
    [
        f"{BEGIN}\nx = 1",
        f"x = 1\n{END}",
        f"{END}\nx = 1\n{BEGIN}",
        f"{SOLVED}\n{BEGIN}",
        f"{BEGIN}\nsecret\ngiven\n{BEGIN}\nsecret\n{END}",
        f"{BEGIN}\nsecret\n{END}\n{END}",
        f"x = 1  {BEGIN}\nsecret\n{END}",
        f"{BEGIN} please\nsecret\n{END}",
    ],
)
def test_marker_without_a_partner_is_refused(source):
    with pytest.raises(NotebookError, match="a solution marker has no partner in the cell"):
        derive(SOLVED, source)


def test_solution_without_markers_is_refused():
    with pytest.raises(NotebookError, match="no cell has the markers"):
        derive("x = 1")


def test_deriving_leaves_the_solution_alone():
    solution = notebook(code(SOLVED, CHECKED, outputs=[printed()]))
    before = to_text(solution)
    derive_exercises(solution, SLUG)
    assert to_text(solution) == before


def noisy():
    """Return a notebook with everything that running it leaves behind."""
    result = new_output("execute_result", {"text/plain": "7"}, execution_count=4)
    cells = [
        code("x", CHECKED, outputs=[printed(), result]),
        code("y", outputs=[printed("noise")]),
        code("y"),
        new_markdown_cell("y"),
    ]
    cells[0].execution_count = 4
    cells[1].metadata |= {"execution": {"iopub.status.busy": "now"}, "collapsed": True}
    made = new_notebook(cells=cells)
    made.metadata = nbformat.from_dict({"kernelspec": {"name": "mine"}, "widgets": {}})
    return made


def test_tidy_is_idempotent_and_depends_on_the_content_alone():
    once = tidy(noisy())
    assert to_text(tidy(once)) == to_text(once)
    assert to_text(tidy(noisy())) == to_text(once)  # the ids of a new notebook are random
    nbformat.validate(once)


def test_tidy_keeps_outputs_only_where_a_test_compares_them():
    first, *others = tidy(noisy()).cells[:3]
    assert first.outputs[0].text == "7\n"
    assert first.outputs[1].data == {"text/plain": "7"}
    assert all(cell.outputs == [] for cell in others)


def test_tidy_removes_what_running_leaves_behind():
    text = to_text(tidy(noisy()))
    for noise in ("iopub", "collapsed", "widgets", "mine", '"execution_count": 4'):
        assert noise in to_text(noisy())
        assert noise not in text


def test_equal_cells_get_different_ids_and_a_change_elsewhere_keeps_them():
    ids = [cell.id for cell in tidy(noisy()).cells]
    assert len(set(ids)) == 4
    longer = noisy()
    longer.cells.insert(0, new_markdown_cell("new"))
    assert [cell.id for cell in tidy(longer).cells][1:] == ids


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A folder with one solution, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    save(
        tmp_path / "solutions" / f"{SLUG}.ipynb",
        notebook(new_markdown_cell(f"[lesson](../chapters/{SLUG}/lesson.ipynb)"), code(SOLVED)),
    )
    return tmp_path


def save(path, made):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_text(made), encoding="utf-8")


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_commands_say_what_they_wrote_and_write_it_once(book, capsys):
    main(["exercises"])
    path = f"chapters/{SLUG}/exercises.ipynb"
    assert capsys.readouterr().out == f"wrote {path}\n"
    assert sources(read(book / path)) == ["[lesson](lesson.ipynb)", STUBBED]
    main(["tidy"])
    assert capsys.readouterr().out == f"wrote solutions/{SLUG}.ipynb\n"
    before = files(book)
    main(["exercises"])
    main(["tidy"])
    assert capsys.readouterr().out == ""
    assert files(book) == before


def test_work_never_overwrites(book, capsys):
    main(["exercises"])
    main(["work"])
    copy = book / "work" / f"{SLUG}.ipynb"
    assert sources(read(copy))[0] == f"[lesson](../chapters/{SLUG}/lesson.ipynb)"
    assert f"wrote work/{SLUG}.ipynb" in capsys.readouterr().out
    for edited in ("my answers", ""):  # an emptied file is the learner's too
        copy.write_text(edited, encoding="utf-8")
        main(["work"])
        assert copy.read_text(encoding="utf-8") == edited
        assert capsys.readouterr().out == f"kept work/{SLUG}.ipynb: it is yours\n"


def test_newer_exercises_are_announced_and_never_copied_over(book, capsys):
    main(["exercises"])
    main(["work"])
    mine = book / "work" / f"{SLUG}.ipynb"
    before = mine.read_bytes()
    assert (book / "work" / "progress").is_dir()
    exercise = book / "chapters" / SLUG / "exercises.ipynb"
    exercise.write_text(exercise.read_text().replace("YOUR CODE", "YOUR OWN CODE"))
    capsys.readouterr()
    main(["work"])
    newer = f"chapters/{SLUG}/exercises.ipynb"
    said = f"kept work/{SLUG}.ipynb: it is yours; a newer version is in {newer}\n"
    assert capsys.readouterr().out == said
    assert mine.read_bytes() == before


def test_work_adds_only_what_is_new(book, capsys):
    main(["exercises"])
    main(["work"])
    save(book / "chapters" / "01_new" / "exercises.ipynb", notebook("x"))
    capsys.readouterr()
    main(["work"])
    out = capsys.readouterr().out
    assert out == f"kept work/{SLUG}.ipynb: it is yours\nwrote work/01_new.ipynb\n"


@pytest.mark.parametrize("command", ["tidy", "exercises"])
@pytest.mark.parametrize(
    "damage", [b"", b"not json", b"[]", b"{}", b'{"cells": 3, "nbformat": 4}', b"\xff\xfe\x00"]
)
def test_damaged_notebook_stops_a_command_before_it_writes(book, command, damage):
    save(book / "chapters" / "00_first" / "lesson.ipynb", noisy())
    damaged = book / "solutions" / "99_damaged.ipynb"
    damaged.write_bytes(damage)
    before = files(book)
    with pytest.raises(SystemExit) as stopped:
        main([command])
    assert "99_damaged.ipynb is not a readable notebook" in stopped.value.code  # exit status 1
    assert files(book) == before


def test_solution_that_cannot_be_derived_is_named(book):
    save(book / "solutions" / "01_open.ipynb", notebook(BEGIN))
    with pytest.raises(SystemExit) as stopped:
        main(["exercises"])
    assert "01_open.ipynb: a solution marker has no partner" in stopped.value.code
    assert not (book / "chapters").exists()


def test_unknown_command_is_told_the_commands(book, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["grade"])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert all(name in error for name in ("exercises", "tidy", "work"))
