"""A teacher's corrections reach the tables, the overview and the learner, and stay as they are."""

from dataclasses import asdict

import pytest

from regbook.exercise import Outcome, Report, Row
from regbook.grading import corrections
from regbook.grading.corrections import FILE, CorrectionError, merged, read
from regbook.grading.pages import feedback
from regbook.grading.report import scores, summary

HEAD = "submission,exercise,points,comment\n"


def result(points=2):
    row = Row("is_one", "is 1", Outcome(points == 2, "1", "2", "", "Hint."), points, 2, "more")
    reports = [Report(name, [row], 2) for name in ("scale", "shift")]
    marks = {"chapter": "01_scales", "points": 2 * points, "max_points": 4,
             "exercises": [asdict(report) for report in reports]}  # fmt: skip
    return {"status": "graded", "chapters": [marks], "problems": {}}


def test_correction_reaches_every_table_and_the_learner(tmp_path):
    (tmp_path / FILE).write_text(HEAD + "a.ipynb,shift,1.5,<b> is fine\n'=b.ipynb,scale,0,\n")
    before = {"a.ipynb": result(0), "=b.ipynb": result(2)}
    found, left = merged(before, read(tmp_path))
    assert left == []
    assert summary(found).splitlines()[1:] == [
        "'=b.ipynb,01_scales,2,4,50.0,graded", "a.ipynb,01_scales,1.5,4,37.5,graded",
    ]  # fmt: skip
    assert "a.ipynb,01_scales,shift,1.5,2,corrected" in scores(found)
    page = feedback("a.ipynb", found["a.ipynb"])
    assert "1.5 of 2 points, corrected by your teacher: &lt;b&gt; is fine" in page
    assert "1.5 of 4 points</strong> (37.5 %)" in page
    assert before == {"a.ipynb": result(0), "=b.ipynb": result(2)}


def test_correction_of_what_is_not_there_is_told(tmp_path):
    (tmp_path / FILE).write_text(HEAD + "a.ipynb,scale,1,\na.ipynb,gone,1,\nz.ipynb,scale,1,x\n")
    found, left = merged({"a.ipynb": result()}, read(tmp_path))
    assert found["a.ipynb"]["chapters"][0]["points"] == 3
    assert left == [
        f"{FILE}, line 3: there is no exercise 'gone' of 'a.ipynb'.",
        f"{FILE}, line 4: there is no exercise 'scale' of 'z.ipynb'.",
    ]
    broken = {"a.ipynb": {"status": "an empty file"}}
    assert len(merged(broken, read(tmp_path))[1]) == 3


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "a.ipynb,scale,1,\na.ipynb,scale,1.5,last\n",
        "\ufeff" + HEAD.replace(",", ";") + "a.ipynb;scale;1,5;last\n",
        HEAD.replace("\n", "\r\n") + 'a.ipynb,scale,1.5,"last"\r\n',
    ],
)
def test_what_spreadsheets_write_is_read_and_the_last_line_counts(tmp_path, text):
    (tmp_path / FILE).write_bytes(text.encode())
    (correction,) = read(tmp_path).values()
    assert correction[:2] == (1.5, "last")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected the columns submission, exercise, points, comment; got ''"),
        ("name,points\na,1\n", "got 'name,points'"),
        (HEAD + "a,scale,x,\n", "line 2: expected points, a number of 0 or more; got 'x'"),
        (HEAD + "a,scale,-1,\n", "got '-1'"),
        (HEAD + "a,scale,nan,\n", "got 'nan'"),
        (HEAD + "a,scale\n", "line 2: expected points"),
        (b"\xff\xfe", "cannot be read as text in UTF-8"),
    ],
)
def test_damaged_file_gets_a_sentence(tmp_path, text, says):
    (tmp_path / FILE).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CorrectionError) as caught:
        read(tmp_path)
    assert says in str(caught.value)


def test_without_the_file_nothing_is_corrected(tmp_path):
    assert corrections.read(tmp_path) == {}
    assert merged({"a": result()}, {}) == ({"a": result()}, [])
