"""What lies in the folder of a report: tables for a spreadsheet, feedback on what is handed in."""

import csv
import io

import pandas as pd
import pytest
from test_adjustments import NAMES, result

from regbook.grading.adjustments import read
from regbook.grading.pages import feedback, feedback_path, told
from regbook.grading.report import merge, remove_stale, scores, summary, write, write_whole
from regbook.grading.results import FORMULA, marked, unmarked

TABLES = ("summary.csv", "scores.csv")


def stored(out, names):
    """Write a report on submissions with these names, and their feedback."""
    results = {name: result() for name in names}
    write(out, results, seed=1, isolation="x")
    for name in names:
        write_whole(feedback_path(out, name), feedback(name, results[name]))
    return out


def pages(out):
    return {path for path in (out / "feedback").rglob("*") if not path.is_dir()}


# --- tables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_table_is_utf_8_with_its_mark(tmp_path, table):
    stored(tmp_path, NAMES)
    data = (tmp_path / table).read_bytes()
    assert data.startswith(b"\xef\xbb\xbfsubmission,")
    assert data.count("\ufeff".encode()) == 1
    with (tmp_path / table).open(newline="", encoding="utf-8-sig") as file:
        assert {unmarked(row["submission"]) for row in csv.DictReader(file)} == set(NAMES)
    frame = pd.read_csv(tmp_path / table)
    assert {unmarked(name) for name in frame["submission"]} == set(NAMES)


STARTS = ["", " ", "'", "''", "' '", "  '"]


@pytest.mark.parametrize("start", [*FORMULA, "a", "Ω", "ع"])
@pytest.mark.parametrize("before", STARTS)
def test_no_cell_is_a_formula_and_every_name_is_found_again(start, before):
    name = f"{before}{start}1+1.ipynb"
    cell = marked(name)
    assert unmarked(cell) == name
    assert not cell.lstrip(" ").startswith(FORMULA)


@pytest.mark.parametrize("start", FORMULA)
@pytest.mark.parametrize("before", ["a;", ";", 'a;"', '";', "x, y; ", "Ω;'", 'a;" "', '"a";""'])
def test_spreadsheet_that_splits_at_semicolons_finds_no_formula(before, start):
    name = f"{before}{start}1+1.ipynb"
    results = {name: result(), f"{name} (2)": {"status": f"an earlier attempt: {name} counts"}}
    for table in (summary(results), scores(results)):
        for row in csv.reader(io.StringIO(table, newline=""), delimiter=";"):
            assert not any(cell.lstrip(" ").startswith(FORMULA) for cell in row)
        names = [cells[0] for cells in csv.reader(io.StringIO(table, newline=""))]
        assert {unmarked(cell) for cell in names[1:]} <= results.keys()


@pytest.mark.parametrize("table", TABLES)
def test_table_saved_as_corrections_by_a_spreadsheet_names_the_same(tmp_path, table):
    stored(tmp_path, NAMES)
    with (tmp_path / table).open(newline="", encoding="utf-8-sig") as file:
        cells = [row["submission"] for row in csv.DictReader(file)]
    for delimiter in ",;":
        with (tmp_path / "late.csv").open("w", newline="", encoding="utf-8-sig") as file:
            head = ["submission", "days", "percent", "comment"]
            lines = [[cell, 1, 1, ""] for cell in cells]
            csv.writer(file, delimiter=delimiter).writerows([head, *lines])
        assert {name for (name,) in read(tmp_path)["late.csv"]} == set(NAMES)


# --- feedback on what is gone ---------------------------------------------------------------------

LONG = ["x" * 255, "é" * 250 + "/a.ipynb", "deep/" * 40 + "a.ipynb", "<&\">'.ipynb", "a&lt;.ipynb"]


@pytest.mark.parametrize("name", [*NAMES, *LONG])
def test_page_says_whose_it_is(tmp_path, name):
    stored(tmp_path, [name])
    (path,) = pages(tmp_path)
    assert told(path) == name


@pytest.mark.parametrize("gone", range(0, len(NAMES) + len(LONG), 3))
def test_feedback_of_what_is_gone_is_removed(tmp_path, gone, capsys):
    names = NAMES + LONG
    stored(tmp_path, names)
    left, removed = names[gone:], names[:gone]
    remove_stale(tmp_path, left)
    assert pages(tmp_path) == {feedback_path(tmp_path, name) for name in left}
    folders = {path for path in (tmp_path / "feedback").rglob("*") if path.is_dir()}
    assert all(any(folder in page.parents for page in pages(tmp_path)) for folder in folders)
    assert (tmp_path / "feedback").is_dir()
    said = f"Removed feedback pages of submissions that are gone: {len(removed)}.\n"
    assert capsys.readouterr().out == said * bool(removed)


def test_what_a_teacher_put_there_stays(tmp_path):
    stored(tmp_path, ["gone/a.ipynb", "here.ipynb"])
    ours = feedback_path(tmp_path, "gone/a.ipynb")
    folder = tmp_path / "feedback"
    mine = {
        "gone/notes.txt": b"x", "rubric.html": b"<title>Rubric</title>", "empty.html": b"",
        "damaged.html": b"\xff\xfe<title>", "gone/a.ipynb.html.bak": ours.read_bytes(),
        "copy of here.html": feedback_path(tmp_path, "here.ipynb").read_bytes(),
    }  # fmt: skip
    for name, data in mine.items():
        (folder / name).write_bytes(data)
    remove_stale(tmp_path, {"here.ipynb"})
    assert {path.name for path in pages(tmp_path)} == {
        "here.ipynb.html", *(name.rpartition("/")[2] for name in mine)
    }  # fmt: skip
    assert not ours.exists()


def test_no_link_is_followed(tmp_path):
    elsewhere, out = stored(tmp_path / "elsewhere", ["gone.ipynb"]), tmp_path / "out"
    page = feedback_path(elsewhere, "gone.ipynb")
    (out / "feedback/inner").mkdir(parents=True)
    (out / "feedback/folder").symlink_to(page.parent)
    (out / "feedback/inner/page.html").symlink_to(page)
    (out / "feedback/broken.html").symlink_to(tmp_path / "nothing")
    remove_stale(out, ())
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/feedback").symlink_to(page.parent)
    remove_stale(tmp_path / "linked", ())
    assert page.exists()
    assert len(list((out / "feedback").rglob("*"))) == 4


def test_without_feedback_nothing_is_removed(tmp_path, capsys):
    remove_stale(tmp_path, ())
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_merge_leaves_the_feedback_of_its_submissions(tmp_path):
    parts = [stored(tmp_path / str(i), names) for i, names in enumerate((["a"], ["b", "c/d"]))]
    out = stored(tmp_path / "out", ["old/x", "a"])
    merge(parts, out)
    assert pages(out) == {feedback_path(out, name) for name in ("a", "b", "c/d")}
    assert not (out / "feedback/old").exists()
    merge(parts[:1], out)
    assert pages(out) == {feedback_path(out, "a")}
