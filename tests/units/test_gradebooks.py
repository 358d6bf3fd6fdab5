"""The files of Moodle and Canvas are filled with the points, and nothing else changes in them."""

import csv
import io
import zipfile

import pytest

from regbook import cli
from regbook.grading import batch
from regbook.grading.gradebooks import read
from regbook.grading.intake import UsageError
from regbook.grading.pages import feedback, feedback_path
from regbook.grading.report import write, write_whole

DROPOUT = "10_dropout"
MOODLE = "{}_{}_assignsubmission_file_/{}.ipynb".format
WORKSHEET = [
    ["Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade",
     "Grade can be changed", "Last modified (submission)", "Last modified (grade)",
     "Feedback comments"],
    ["Participant 101", 'Ada "A", Byron', "a@x", "Submitted for grading - ", "", "10.00", "Yes",
     "Monday, 4 May 2026, 1:00 PM", "-", "two\nlines;\r\nof\ttext"],
    ["Participant 102", "漢字 é", "b@x", "No submission", "3.00", "10.00", "Yes", "-", "-", ""],
    ["Participant 103", "=1+1", "", "Submitted for grading - ", "9", "20.00", "Yes", "-", "-", ""],
]  # fmt: skip
GRADEBOOK = [
    ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Notes", "Dropout (1234)",
     "Quiz (5)", "Current Score"],
    ["", "", "", "", "", "", "Manual Posting", "", ""],
    ["    Points Possible", "", "", "", "", "", "20.00", "5", "(read only)"],
    ["Lee, Ann", "12345", "s1", "lee", "A, B", "x", "", "1", "80"],
    ["Bó", "7", "", "bo", "A", "", "3", "", "1"],
    ["Student, Test", "9", "", "t", "A", "", "", "", ""],
]  # fmt: skip


def marks(points, most=22, chapter=DROPOUT):
    return {"chapter": chapter, "points": points, "max_points": most, "exercises": []}


def graded(*each):
    return {"status": "graded", "chapters": list(each)}


BROKEN = {"status": "an empty file"}
EARLIER = {"status": "an earlier attempt: x counts", "left_out": True}


def written(path, rows, *, delimiter=",", mark="", end="\n"):
    """Write a CSV file; return its path."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows(rows)
    path.write_bytes((mark + text.getvalue()).encode())
    return path


def cells(path, delimiter=","):
    text = path.read_bytes().decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def filled(path, platform, out, results, column=None):
    """Fill a gradebook from a report of `results`; return what is said."""
    write(out, results, seed=1, isolation="x")
    for name, result in results.items():
        write_whole(feedback_path(out, name), feedback(name, result))
    return read(path, platform, out, column).fill(out, results)


def pages(path):
    """Return the pages in an archive, by their names there."""
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info).decode() for info in archive.infolist()}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_worksheet_is_filled_and_otherwise_as_it_was(tmp_path, delimiter, mark, end):
    path = written(tmp_path / "w.csv", WORKSHEET, delimiter=delimiter, mark=mark, end=end)
    before = path.read_bytes()
    said = filled(
        path, "moodle", tmp_path / "out",
        {MOODLE("Ada Byron", 101, DROPOUT): graded(marks(11)),
         MOODLE("x", 103, DROPOUT): graded(marks(22)),
         MOODLE("x", 103, "alpha"): graded(marks(0, 11), marks(22, 22))},
    )  # fmt: skip
    assert path.read_bytes() == before
    expected = [list(row) for row in WORKSHEET]
    expected[1][4], expected[3][4] = "5.00", "16.00"  # 44 of 55, times 20
    made = tmp_path / "out/moodle_worksheet.csv"
    assert cells(made, delimiter) == expected
    assert made.read_bytes().startswith(b"\xef\xbb\xbf") == bool(mark)
    (advice,) = said
    assert f"Upload {made} in Moodle" in advice


def test_blind_worksheet_needs_no_names(tmp_path):
    rows = [["Identifier", "Status", "Grade", "Maximum grade"], ["Participant 7", "", "-", "100"],
            [], ["Participant 8"]]  # fmt: skip
    path = written(tmp_path / "w.csv", [*rows[:3]])
    filled(path, "moodle", tmp_path / "out", {MOODLE("Participant", 7, "x"): graded(marks(1, 3))})
    assert cells(tmp_path / "out/moodle_worksheet.csv")[1] == ["Participant 7", "", "33.33", "100"]


def test_rows_without_points_keep_their_grade(tmp_path):
    path = written(tmp_path / "w.csv", WORKSHEET)
    results = {
        MOODLE("a", 101, "x"): BROKEN, MOODLE("b", 102, "x"): EARLIER,
        MOODLE("c", 103, "x"): graded(marks(0, 0)),
    }  # fmt: skip
    filled(path, "moodle", tmp_path / "out", results)
    assert cells(tmp_path / "out/moodle_worksheet.csv") == WORKSHEET
    filled(path, "moodle", tmp_path / "out", {})
    assert cells(tmp_path / "out/moodle_worksheet.csv") == WORKSHEET
    assert pages(tmp_path / "out/moodle_feedback.zip") == {}


def test_no_points_at_all_are_a_grade(tmp_path):
    path = written(tmp_path / "w.csv", WORKSHEET)
    filled(path, "moodle", tmp_path / "out", {MOODLE("a", 101, "x"): graded(marks(0))})
    assert cells(tmp_path / "out/moodle_worksheet.csv")[1][4] == "0.00"


def test_feedback_is_packed_as_moodle_matches_it(tmp_path):
    results = {
        MOODLE("Ada", 101, "a"): graded(marks(1)), MOODLE("Ada", 101, "b"): graded(marks(2)),
        MOODLE("Ada", 101, "c"): BROKEN, "one.zip/" + MOODLE("漢字", 102, "x"): BROKEN,
        "Eve_103_assignsubmission_file_x.ipynb": graded(marks(3)),
        MOODLE("Eve", 103, "y"): EARLIER, "mail.ipynb": graded(marks(4)),
        MOODLE("Not there", 999, "x"): graded(marks(5)),
    }  # fmt: skip
    path = written(tmp_path / "w.csv", WORKSHEET)
    said = filled(path, "moodle", tmp_path / "out", results)
    found = pages(tmp_path / "out/moodle_feedback.zip")
    start = "_assignsubmission_file_/feedback"
    assert found.keys() == {
        f"Ada_101{start}.html", f"Ada_101{start}-2.html", f"漢字_102{start}.html",
        f"Eve_103{start}.html", f"Not there_999{start}.html",
    }  # fmt: skip
    assert "1 of 22 points" in found[f"Ada_101{start}.html"]
    assert "2 of 22 points" in found[f"Ada_101{start}-2.html"]
    assert "An empty file." in found[f"漢字_102{start}.html"]
    assert said[:-1] == [
        f"Not there_999_assignsubmission_file_/x.ipynb: {path} has no row for number 999.",
        f"mail.ipynb: its name is not as Moodle writes it, so it fits no row of {path}; its "
        "points are in summary.csv.",
    ]


def test_archive_of_feedback_is_the_same_each_time(tmp_path):
    path = written(tmp_path / "w.csv", WORKSHEET)
    results = {MOODLE("a", number, "x"): graded(marks(1)) for number in (101, 102, 103)}
    for order, out in ((list(results), "one"), (list(reversed(results)), "two")):
        filled(path, "moodle", tmp_path / out, {name: results[name] for name in order})
    for name in ("moodle_feedback.zip", "moodle_worksheet.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_many_without_a_row_are_counted(tmp_path):
    path = written(tmp_path / "w.csv", WORKSHEET)
    results = {f"{i:03}.ipynb": graded(marks(1)) for i in range(300)}
    *said, more, _ = filled(path, "moodle", tmp_path / "out", results)
    assert len(said) == 10 and more == "And 290 more without a row."


@pytest.mark.parametrize("column", [None, "Dropout (1234)"])
def test_canvas_gets_its_own_columns_and_the_points(tmp_path, column):
    rows = [row if column else [*row[:7], "", row[8]] for row in GRADEBOOK]
    path = written(tmp_path / "c.csv", rows, mark="\ufeff")
    results = {
        "leeann_LATE_12345_678911_10_dropout-1.ipynb": graded(marks(11)),
        "leeann_12345_678910_10_dropout.ipynb": EARLIER,
        "leeann_12345_678912_all.zip/a.ipynb": graded(marks(33, 33)),
        "leeann_12345_678912_all.zip/b.ipynb": graded(marks(0, 0)),
        "anon_aB3d5_678913_x.ipynb": graded(marks(1)),
    }
    said = filled(path, "canvas", tmp_path / "out", results, column)
    assert cells(tmp_path / "out/canvas.csv") == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Dropout (1234)"],
        ["", "", "", "", "", "Manual Posting"],
        ["    Points Possible", "", "", "", "", "20.00"],
        ["Lee, Ann", "12345", "s1", "lee", "A, B", "16.00"],  # 44 of 55, times 20
        ["Bó", "7", "", "bo", "A", "3"],
        ["Student, Test", "9", "", "t", "A", ""],
    ]
    assert pages(tmp_path / "out/canvas_feedback.zip").keys() == {
        "anon_aB3d5_678913_feedback.html", "leeann_12345_678911_feedback.html",
        "leeann_12345_678912_feedback.html", "leeann_12345_678912_feedback-2.html",
    }  # fmt: skip
    assert said[0].endswith("has no row for number aB3d5.")
    assert len(said) == 2 and "canvas.csv in the Canvas gradebook" in said[1]


def test_canvas_names_are_those_that_it_matches(tmp_path):
    """It takes the first two parts that are numbers, of learner and attachment."""
    path = written(tmp_path / "c.csv", GRADEBOOK)
    results = {"leé_ann_12345_678910_link_99.ipynb": graded(marks(1))}
    filled(path, "canvas", tmp_path / "out", results, "Quiz (5)")
    (name,) = pages(tmp_path / "out/canvas_feedback.zip")
    parts = name.split("_")
    assert [part for part in parts if part.isdecimal()] == ["12345", "678910"]
    assert not parts[-1].startswith("link")


def test_first_and_last_names_of_canvas_are_kept(tmp_path):
    rows = [["LastName", "FirstName", *row[1:]] if i == 0 else [row[0], "", *row[1:]]
            for i, row in enumerate(GRADEBOOK)]  # fmt: skip
    path = written(tmp_path / "c.csv", rows, delimiter=";")
    filled(path, "canvas", tmp_path / "out", {"bo_7_67891_x.ipynb": graded(marks(22))}, "Quiz (5)")
    found = cells(tmp_path / "out/canvas.csv", ";")
    assert found[0][:3] == ["LastName", "FirstName", "ID"]
    assert found[4] == ["Bó", "", "7", "", "bo", "A", "5.00"]


def changed(rows, row, column, cell):
    copy = [list(cells) for cells in rows]
    copy[row][column] = cell
    return copy


@pytest.mark.parametrize(
    ("platform", "rows", "column", "sentence"),
    [
        ("moodle", [["ID", "Vollständiger Name", "Bewertung"]], None,
         "Identifier, Grade, Maximum grade is missing among 'ID', 'Vollständiger Name', "
         "'Bewertung'. Set your language in Moodle to English"),
        ("moodle", [["Identifier", "Grade", "Scale"]], None, "Maximum grade is missing"),
        ("moodle", [], None, "is missing among none"),
        ("moodle", GRADEBOOK, None, "expected Moodle's grading worksheet"),
        ("moodle", changed(WORKSHEET, 2, 5, "-"), None,
         "row of Participant 102: expected a maximum grade above 0; got '-'"),
        ("moodle", changed(WORKSHEET, 2, 5, "inf"), None, "got 'inf'"),
        ("moodle", changed(WORKSHEET, 2, 5, "0"), None, "got '0'"),
        ("moodle", changed(WORKSHEET, 2, 0, "Participant 0101"), None, "two rows for number 101"),
        ("canvas", WORKSHEET, None, "ID, Section is missing among 'Identifier'"),
        ("canvas", [], None, "is missing among none"),
        ("canvas", GRADEBOOK, None,
         "expected the column of the assignment; there are 'Dropout (1234)', 'Quiz (5)'. Name one "
         "with --column"),
        ("canvas", GRADEBOOK, "Dropout",
         "expected a column 'Dropout'; there are 'Dropout (1234)', 'Quiz (5)'"),
        ("canvas", GRADEBOOK, "", "expected a column ''"),
        ("canvas", GRADEBOOK, "Current Score", "expected a column 'Current Score'"),
        ("canvas", [row[:6] for row in GRADEBOOK], None, "there are none"),
        ("canvas", changed(GRADEBOOK, 2, 6, ""), "Dropout (1234)",
         "expected the points possible of 'Dropout (1234)', above 0; got ''"),
        ("canvas", GRADEBOOK[:2], "Quiz (5)", "the points possible of 'Quiz (5)'"),
        ("canvas", changed(GRADEBOOK, 4, 1, "12345"), "Quiz (5)", "two rows for number 12345"),
    ],
)  # fmt: skip
def test_file_of_another_kind_is_a_sentence(tmp_path, platform, rows, column, sentence):
    path = written(tmp_path / "x.csv", rows)
    with pytest.raises(UsageError) as error:
        read(path, platform, tmp_path / "out", column)
    assert sentence in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize("platform", ["moodle", "canvas"])
@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "cannot be read: No such file"),
        (b"PK\x03\x04\xff\xfe", "is no text in UTF-8"),
        ("Identifier".encode("utf-16"), "is no text in UTF-8"),
        (b'Identifier,"Grade\n', "is a damaged CSV file: unexpected end of data"),
        (b'"a"b,c\n', "is a damaged CSV file"),
        (b"a," * 9 + b"x" * 200_000, "is a damaged CSV file: field larger"),
        (b"\x00" * 99, "is missing among|is a damaged CSV file"),
        (b"", "is missing among none"),
        (b"\xef\xbb\xbf\n\n", "is missing among none"),
    ],
)
def test_damaged_file_is_a_sentence(tmp_path, platform, data, sentence):
    path = tmp_path / "x.csv"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UsageError, match=sentence):
        read(path, platform, tmp_path / "out")


def test_short_rows_are_filled_up(tmp_path):
    rows = [["Maximum grade", "Identifier", "Status", "Grade"], ["10", "Participant 1"], ["10"], []]
    path = written(tmp_path / "w.csv", rows)
    filled(path, "moodle", tmp_path / "out", {MOODLE("a", 1, "x"): graded(marks(22))})
    assert cells(tmp_path / "out/moodle_worksheet.csv")[1] == ["10", "Participant 1", "", "10.00"]


def test_file_that_the_report_writes_is_not_taken(tmp_path):
    (tmp_path / "out").mkdir()
    path = written(tmp_path / "out/moodle_worksheet.csv", WORKSHEET)
    (tmp_path / "link.csv").symlink_to(path)
    for given in (path, tmp_path / "link.csv"):
        with pytest.raises(UsageError, match="is what the report writes"):
            read(given, "moodle", tmp_path / "out")


@pytest.mark.parametrize("command", ["grade", "merge"])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--moodle", "gone.csv"], "gone.csv cannot be read: No such file"),
        (["--canvas", "c.csv"], "Name one with --column"),
        (["--column", "x"], "--column names a column of the file that --canvas gives."),
        (["--moodle", "w.csv", "--column", "x"], "--column names a column"),
        (["--moodle", "w.csv", "--canvas", "c.csv"], "not allowed with argument"),
    ],
)
def test_wrong_use_is_told_before_anything_is_graded(
    tmp_path, monkeypatch, capsys, command, options, sentence
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.ipynb").write_text("x")
    written(tmp_path / "c.csv", GRADEBOOK)
    written(tmp_path / "w.csv", WORKSHEET)
    try:
        status = cli.main([command, "in", "--out", "out", *options])
    except SystemExit as end:  # argparse
        status = end.code
    output = capsys.readouterr()
    assert status == 2 and sentence in output.err and not output.out
    assert not (tmp_path / "out").exists()


def test_shard_fills_no_gradebook(tmp_path, capsys):
    path = written(tmp_path / "w.csv", WORKSHEET)
    command = ["grade", str(tmp_path), "--out", str(tmp_path / "out"), "--moodle", str(path)]
    assert cli.main([*command, "--shard", "1/2"]) == 2
    assert "give --moodle to `regbook merge`" in capsys.readouterr().err


def test_merge_fills_it_from_all_parts(tmp_path, capsys):
    parts = {MOODLE("a", 101, "x"): graded(marks(11)), MOODLE("a", 101, "y"): graded(marks(22))}
    for name, result in parts.items():
        write(tmp_path / name[-7], {name: result}, seed=1, isolation="x")
    path, out = written(tmp_path / "w.csv", WORKSHEET), tmp_path / "out"
    command = ["merge", str(tmp_path / "x"), str(tmp_path / "y"), "--out", str(out)]
    assert cli.main([*command, "--moodle", str(path)]) == 0
    assert "Upload grading worksheet" in capsys.readouterr().out
    assert cells(out / "moodle_worksheet.csv")[1][4] == "7.50"
    assert len(pages(out / "moodle_feedback.zip")) == 2


@pytest.mark.parametrize("complete", [True, False])
def test_grade_fills_it_when_all_is_graded(tmp_path, monkeypatch, capsys, complete):
    results = {MOODLE("a", 101, "x"): graded(marks(11))}
    monkeypatch.setattr(batch, "grade_folder", lambda *_, **__: (results, complete))
    path, out = written(tmp_path / "w.csv", WORKSHEET), tmp_path / "out"
    command = ["grade", str(tmp_path), "--out", str(out), "--moodle", str(path)]
    assert cli.main(command) == int(not complete)
    assert ("Upload" in capsys.readouterr().out) == complete
    assert (out / "moodle_worksheet.csv").exists() == complete
