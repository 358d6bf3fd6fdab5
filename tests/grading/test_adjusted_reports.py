"""A teacher's files and what is gone from the folder, in runs of the grader itself."""

import csv

import pytest
from grading_support import PENALTY, book, hand_in, tables

from regbook import cli
from regbook.grading import batch

pytestmark = pytest.mark.usefixtures("light_grader")

FILES = {
    "corrections.csv": "submission;exercise;points;comment\na.ipynb;l2_gradient_step;1,5;Seen.\n",
    "weights.csv": "\ufeffsubmission,exercise,weight,comment\n,l2_penalty,2,\nb.ipynb,,0,ill\n",
    "late.csv": "submission,days,percent,comment\na.ipynb,2,10,\ngone.ipynb,1,10,\n",
}


def graded(folder, out, *options):
    return cli.main(["grade", str(folder), "--out", str(out), "--seed", "5", *options])


def points(out):
    with (out / "summary.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        return {row["submission"]: (row["points"], row["max_points"]) for row in rows}


def pages(out):
    return {path.name.removesuffix(".ipynb.html") for path in (out / "feedback").rglob("*.html")}


def test_files_of_a_teacher_count_in_every_run_and_are_never_written(tmp_path, capsys):
    folder, out = hand_in(tmp_path / "in", **dict.fromkeys("abc", book(PENALTY))), tmp_path / "out"
    assert graded(folder, out) == 0
    without = tables(out)
    for name, text in FILES.items():
        (out / name).write_text(text, encoding="utf-8")
    for _ in range(2):
        assert graded(folder, out) == 0
        said = capsys.readouterr().out
        assert said.count("late.csv, line 3: there is no graded submission 'gone.ipynb'.") == 1
        most = int(points(out)["c.ipynb"][1])
        assert points(out) == {
            "a.ipynb": ("7.6", str(most)), "b.ipynb": ("0", "0"), "c.ipynb": ("8", str(most))
        }  # fmt: skip
        page = (out / "feedback/a.ipynb.html").read_text()
        assert "2 days late: 20 % less than the 9.5 points that you earned." in page
        assert "1.5 of 4 points, corrected by your teacher: Seen." in page
        assert "4 of 4 points, full marks, counts twice<" in page
        assert "excused (ill)" in (out / "feedback/b.ipynb.html").read_text()
        assert {name: (out / name).read_text(encoding="utf-8") for name in FILES} == FILES
    with_files = tables(out)
    assert cli.main(["merge", str(out), "--out", str(tmp_path / "joined")]) == 0
    assert tables(tmp_path / "joined") == with_files
    for name in FILES:
        (out / name).unlink()
    assert graded(folder, out) == 0
    assert tables(out) == without
    assert "late" not in (out / "feedback/a.ipynb.html").read_text()


@pytest.mark.parametrize("name", FILES)
def test_damaged_file_stops_the_command_before_it_grades(tmp_path, capsys, name):
    folder, out = hand_in(tmp_path / "in", a=book(PENALTY)), tmp_path / "out"
    out.mkdir()
    (out / name).write_text(FILES[name] + "a.ipynb,x,x,x\n", encoding="utf-8")
    assert graded(folder, out) == 2
    assert f"{out / name}, line " in capsys.readouterr().err
    assert not (out / "report.json").exists()


def test_feedback_goes_with_its_submission(tmp_path, monkeypatch, capsys):
    folder, out = hand_in(tmp_path / "in", **dict.fromkeys("abcd", book(PENALTY))), tmp_path / "out"
    assert graded(folder, out) == 0
    (folder / "a.ipynb").unlink()
    hand_in(folder, b=book(PENALTY, "changed = 1"), c=b"")

    def interrupted(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(batch, "_locally", interrupted)
    assert graded(folder, out) == 1
    assert pages(out) == {"b", "c", "d"}
    assert "Removed feedback pages of submissions that are gone: 1." in capsys.readouterr().out
    for part in ("1/3", "2/3", "3/3"):  # into one folder: the parts of the others are not gone
        graded(folder, out, "--shard", part)
        assert pages(out) == {"b", "c", "d"}
