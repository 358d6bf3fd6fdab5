"""`--only NAME`: what is named is graded again, and nothing else of the report changes."""

import json

import pytest
from grading_support import PENALTY, STEP, book, hand_in

from regbook import cli
from regbook.grading import batch

pytestmark = pytest.mark.usefixtures("light_grader")

WRONG = PENALTY.replace("lam *", "lam / 2 *")


def graded(folder, out, *options):
    return cli.main(["grade", str(folder), "--out", str(out), *options])


def report(out):
    return json.loads((out / "report.json").read_text())["submissions"]


def spoil(out):
    """Make a report in which no point is right, as a mended check would leave it."""
    path = out / "report.json"
    stored = json.loads(path.read_text())
    for result in stored["submissions"].values():
        for marks in result.get("chapters", []):
            for exercise in marks["exercises"]:
                for row in exercise["rows"]:
                    row["points"] = 0
            marks["points"] = 0
    path.write_text(json.dumps(stored))
    return stored["submissions"]


def earned(result):
    return {
        each["exercise"]: sum(row["points"] for row in each["rows"])
        for marks in result["chapters"]
        for each in marks["exercises"]
    }


@pytest.fixture
def one_run(tmp_path):
    books = {"a": book(PENALTY, STEP), "b": book(PENALTY), "c": book(WRONG, STEP)}
    folder, out = hand_in(tmp_path / "in", **books), tmp_path / "out"
    assert graded(folder, out, "--seed", "5") == 0
    return folder, out, report(out)


def test_a_learner_is_graded_again_and_nobody_else(one_run):
    folder, out, before = one_run
    spoiled = spoil(out)
    assert graded(folder, out, "--only", "a", "--only", "c.ipynb") == 0
    assert report(out) == before | {"b.ipynb": spoiled["b.ipynb"]}


def test_an_exercise_is_graded_again_and_no_other_one(one_run):
    folder, out, before = one_run
    spoil(out)
    (out / "corrections.csv").write_text(
        "submission,exercise,points,comment\nb.ipynb,l2_penalty,1,Seen\n"
    )
    assert graded(folder, out, "--only", "l2_penalty") == 0
    for name, result in report(out).items():
        points = earned(result)
        right = earned(before[name])["l2_penalty"]
        assert points.pop("l2_penalty") == right and not any(points.values())
        (marks,) = result["chapters"]
        assert marks["points"] == (1 if name == "b.ipynb" else right)
        page = (out / f"feedback/{name}.html").read_text()
        assert f"{marks['points']} of {marks['max_points']} points" in page


def test_the_rest_stays_when_it_is_interrupted(one_run, monkeypatch):
    folder, out, _ = one_run
    spoiled = spoil(out)

    def interrupt(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(batch, "_locally", interrupt)
    for path in (out / "results").iterdir():
        path.unlink()
    assert graded(folder, out, "--only", "a") == 1
    assert report(out) == spoiled


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "nobody"], "'nobody' is no submission, learner or exercise"),
        (["--only", "a", "--only", "elastic_net"], "'elastic_net' is no submission"),
        (["--only", "a", "--seed", "6"], "it needs the seed 5"),
    ],
)
def test_what_cannot_be_graded_again_is_said_and_changes_nothing(one_run, capsys, options, said):
    folder, out, before = one_run
    assert graded(folder, out, *options) == 2
    assert said in capsys.readouterr().err
    assert report(out) == before and (out / "seed").read_text() == "5\n"


def test_without_a_report_there_is_nothing_to_grade_again(tmp_path, capsys):
    folder = hand_in(tmp_path / "in", a=book(PENALTY))
    assert graded(folder, tmp_path / "out", "--only", "a") == 2
    assert "holds no report.json" in capsys.readouterr().err
