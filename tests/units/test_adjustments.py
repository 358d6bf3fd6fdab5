"""A teacher's corrections, weights and late days reach every table and page, whatever is merged."""

import csv
import io
import json
import random
from dataclasses import asdict
from fractions import Fraction

import pytest

from regbook.exercise import Outcome, Report, Row
from regbook.grading.adjustments import (
    CORRECTIONS,
    FORMATS,
    LATE,
    WEIGHTS,
    AdjustmentError,
    merged,
    read,
)
from regbook.grading.overview import overview
from regbook.grading.pages import feedback
from regbook.grading.report import ReportError, merge, scores, summary, write
from regbook.grading.results import marked

HEAD = "submission,exercise,points,comment\n"
WEIGHT_HEAD, LATE_HEAD = HEAD.replace("points", "weight"), "submission,days,percent,comment\n"
EXERCISES = ("scale", "shift", "both")
# In any script, with the separators, quotes and formulas of tables.
NAMES = ["a.ipynb", "Ωμέγα/β.ipynb", "علي.ipynb", "王小明.ipynb", "\N{ROCKET}.ipynb", "=b;c.ipynb",
         'd,e "f".ipynb', " =1+1.ipynb", "'=x.ipynb", "＝1.ipynb"]  # fmt: skip


def result(points=2, exercises=("scale", "shift"), chapter="01_scales"):
    row = Row("is_one", "is 1", Outcome(points == 2, "1", "2", "", "Hint."), points, 2, "more")
    reports = [Report(name, [row], 2) for name in exercises]
    marks = {"chapter": chapter, "points": points * len(reports), "max_points": 2 * len(reports),
             "exercises": [asdict(report) for report in reports]}  # fmt: skip
    return {"status": "graded", "chapters": [marks], "problems": {}}


def adjusted(out, results, **files):
    """Return the results as the files beside `out`, texts by name without suffix, adjust them."""
    out.mkdir(exist_ok=True)
    for name, text in files.items():
        (out / f"{name}.csv").write_text(text, encoding="utf-8")
    return merged(results, read(out))


def cells(table):
    return list(csv.DictReader(io.StringIO(table, newline="")))


def totals(results):
    return {
        row["submission"]: (row["points"], row["max_points"]) for row in cells(summary(results))
    }


def test_correction_reaches_every_table_and_the_learner(tmp_path):
    before = {"a.ipynb": result(0), "=b.ipynb": result(2)}
    lines = "a.ipynb,shift,1.5,<b> is fine\n'=b.ipynb,scale,0,\n"
    found, left = adjusted(tmp_path, before, corrections=HEAD + lines)
    assert left == []
    assert totals(found) == {"'=b.ipynb": ("2", "4"), "a.ipynb": ("1.5", "4")}
    corrected = [row for row in cells(scores(found)) if row["status"] == "corrected"]
    assert [(row["exercise"], row["points"]) for row in corrected] == [
        ("scale", "0"),
        ("shift", "1.5"),
    ]
    page = feedback("a.ipynb", found["a.ipynb"])
    assert "1.5 of 2 points, corrected by your teacher: &lt;b&gt; is fine" in page
    assert "1.5 of 4 points</strong> (37.5 %)" in page
    assert before == {"a.ipynb": result(0), "=b.ipynb": result(2)}


@pytest.mark.parametrize(
    ("weight", "comment", "says", "of"),
    [
        ("2", "", "2 of 2 points, full marks, counts twice<", "6"),
        ("0.5", "<b>", "2 of 2 points, full marks, counts half (&lt;b&gt;)<", "3"),
        ("0", "ill", "2 of 2 points, full marks, excused (ill)<", "2"),
        ("3", "", "2 of 2 points, full marks, counts 3 times<", "8"),
        ("1", "back to one", "2 of 2 points, full marks<", "4"),
    ],
)
def test_weight_is_told_and_counts(tmp_path, weight, comment, says, of):
    line = f"a.ipynb,scale,{weight},{comment}\n"
    found, _ = adjusted(tmp_path, {"a.ipynb": result()}, weights=WEIGHT_HEAD + line)
    page = feedback("a.ipynb", found["a.ipynb"])
    assert f"<strong>scale</strong>: {says}" in page
    assert f"<strong>{of} of {of} points</strong> (100.0 %)" in page
    assert page.count("counts") + page.count("excused") == (weight != "1")
    assert totals(found) == {"a.ipynb": (of, of)}


def test_weight_is_told_with_a_correction_and_without_an_attempt():
    row = Row("is_one", "is 1", Outcome(True, "1", "1", "", ""), 2, 2, "more")
    corrected = Report("scale", [row], 2, corrected=1, comment="Half.", weight=2)
    assert corrected.status == "1 of 2 points, counts twice, corrected by your teacher: Half."
    assert corrected.counted == (2, 4)
    assert Report("scale", [], 2, weight=0).status == "not attempted (0 of 2 points), excused"


def test_excused_exercise_is_no_part_of_the_class(tmp_path):
    class_ = {"a.ipynb": result(2), "b.ipynb": result(0)}
    found, _ = adjusted(tmp_path, class_, weights=WEIGHT_HEAD + "b.ipynb,,0,ill\n")
    assert {row["status"] for row in cells(scores(found))} == {"full marks", "excused"}
    assert totals(found) == {"a.ipynb": ("4", "4"), "b.ipynb": ("0", "0")}
    assert cells(summary(found))[1]["percent"] == ""
    assert "<strong>0 of 0 points</strong> in chapter" in feedback("b.ipynb", found["b.ipynb"])
    numbers = [f'<td class="number">{n}</td>' for n in ("2", "1", "2.0", "2")]
    assert f"<td>scale</td>{''.join(numbers)}" in overview(tmp_path, found)


@pytest.mark.parametrize(
    ("line", "points", "says"),
    [
        ("a.ipynb,2,10,", "3.2", "2 days late: 20 % less than the 4 points that you earned.</p>"),
        ("a.ipynb,1,12.5,<b>", "3.5", "1 day late: 12.5 % less than the 4 points that you earned. "
         "&lt;b&gt;</p>"),
        ("a.ipynb,20,10,", "0", "20 days late: 100 % less than the 4 points that you earned.</p>"),
        ("a.ipynb,1.5,0,Ill.", "4", "1.5 days late: no points were taken off. Ill.</p>"),
        ("a.ipynb,0,10,On time.", "4", "in chapter 01_scales. On time.</p>"),
        ("a.ipynb,0,10,", "4", "in chapter 01_scales.</p>"),
    ],
)  # fmt: skip
def test_late_days_are_told_and_cost_points(tmp_path, line, points, says):
    found, _ = adjusted(tmp_path, {"a.ipynb": result(), "b": result()}, late=LATE_HEAD + line)
    page = feedback("a.ipynb", found["a.ipynb"])
    assert says in page
    assert f"<strong>{points} of 4 points</strong>" in page
    assert totals(found) == {"a.ipynb": (points, "4"), "b": ("4", "4")}
    assert f'<td class="number">{points}</td><td class="number">4</td>' in overview(tmp_path, found)
    assert {row["points"] for row in cells(scores(found))} == {"2"}
    assert "late" not in feedback("b", found["b"])


def test_every_line_that_fits_nothing_is_told(tmp_path):
    results = {"a.ipynb": result(), "broken.ipynb": {"status": "an empty file"}}
    found, left = adjusted(
        tmp_path, results,
        corrections=HEAD + "a.ipynb,scale,1,\na.ipynb,gone,1,\nz.ipynb,scale,1,x\n",
        weights=WEIGHT_HEAD + ",,1,\n,scale,2,\na.ipynb,,3,\n,gone,1,\nz.ipynb,,2,\n",
        late=LATE_HEAD + "a.ipynb,1,1,\nbroken.ipynb,1,1,\n",
    )  # fmt: skip
    assert left == [
        "corrections.csv, line 3: there is no exercise 'gone' of 'a.ipynb'.",
        "corrections.csv, line 4: there is no exercise 'scale' of 'z.ipynb'.",
        "weights.csv, line 5: there is no exercise 'gone'.",
        "weights.csv, line 6: there is no graded submission 'z.ipynb'.",
        "late.csv, line 3: there is no graded submission 'broken.ipynb'.",
    ]
    assert found["broken.ipynb"] == results["broken.ipynb"]
    assert merged({}, read(tmp_path))[0] == {}
    assert len(merged({}, read(tmp_path))[1]) == 10


def heads():
    """Yield the name and the head of each file, and a line that it takes but for its name."""
    for file, form in FORMATS.items():
        columns = [*form.names, *form.numbers, "comment"]
        yield file, ",".join(columns) + "\n", ["scale"] * (len(form.names) - 1), form.numbers


@pytest.mark.parametrize(("file", "head", "rest", "numbers"), [*heads()], ids=FORMATS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", NAMES)
def test_what_spreadsheets_write_is_read_and_the_last_line_counts(
    tmp_path, file, head, rest, numbers, end, name
):
    """Commas or semicolons, marks, empty lines; names as they are and as the tables hold them."""
    (row,) = cells(summary({name: result()}))
    for delimiter, decimal in (",.", ";,", ";."):
        for start in ("", "\ufeff"):
            text = io.StringIO(newline="")
            writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
            writer.writerow(head.strip().split(","))
            writer.writerow([row["submission"], *rest, *["7"] * len(numbers), "first"])
            writer.writerow([""] * (len(rest) + len(numbers) + 2))
            values = [f"1{decimal}5"] * len(numbers)
            writer.writerow([row["submission"], *rest, *values, "in\ntwo, or; one"])
            (tmp_path / file).write_bytes((start + text.getvalue()).encode())
            ((names, line),) = read(tmp_path)[file].items()
            assert names == (name, *rest)
            assert line[:2] == (dict.fromkeys(numbers, 1.5), "in\ntwo, or; one")


def broken():
    for file, head, rest, numbers in heads():
        line = ["a", *rest, *["1"] * len(numbers), ""]
        short = head.rpartition(",")[0]
        wrong = [("", "got ''"), (f"{short}\na\n", f"got '{short}'"), (b"\xff\xfe", "UTF-8"),
                 (head + '"' + "x" * 140_000, "no CSV (field larger"),
                 (head + ",".join([*line[:-1], "one", "two"]), "put double quotes around"),
                 (head + ",".join([*line, "", ""]), None)]  # fmt: skip
        for value in ("x", "-1", "nan", "inf", "1e9", "10%", ""):
            for i, number in enumerate(numbers, start=1 + len(rest)):
                cells_ = [*line[:i], value, *line[i + 1 :]]
                said = f"line 2: expected {number}, a number of 0 or more, below a million; got "
                wrong.append((head + ",".join(cells_), said + repr(value)))
        for i, column in enumerate(FORMATS[file].names):
            said = None if file == WEIGHTS else f"line 2: expected the name of the {column}"
            wrong.append((head + ",".join([*line[:i], "", *line[i + 1 :]]), said))
        yield from ((file, text, said) for text, said in wrong)


@pytest.mark.parametrize(("file", "text", "says"), [*broken()])
def test_damaged_file_gets_a_sentence(tmp_path, file, text, says):
    (tmp_path / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    if says is None:
        assert len(read(tmp_path)[file]) == 1
        return
    with pytest.raises(AdjustmentError) as caught:
        read(tmp_path)
    assert says in str(caught.value)
    assert str(tmp_path / file) in str(caught.value)


def test_folder_in_place_of_a_file_gets_a_sentence(tmp_path):
    (tmp_path / LATE).mkdir()
    with pytest.raises(AdjustmentError, match=r"late\.csv cannot be read"):
        read(tmp_path)


def test_without_the_files_nothing_is_adjusted(tmp_path):
    before = {"a": result()}
    assert read(tmp_path) == {CORRECTIONS: {}, WEIGHTS: {}, LATE: {}}
    assert merged(before, read(tmp_path)) == (before, [])
    head = {"corrections": HEAD, "weights": WEIGHT_HEAD, "late": LATE_HEAD}
    assert adjusted(tmp_path, before, **head) == (before, [])


def test_report_that_was_stored_without_a_weight_is_read():
    stored = asdict(Report("scale", [], 2))
    del stored["weight"], stored["weight_comment"]
    assert Report.from_dict(stored) == Report("scale", [], 2)


# --- any files over any class ---------------------------------------------------------------------


def drawn(rng):
    """Return a class, and three files as lists of lines."""
    results = {}
    for name in rng.sample(NAMES, rng.randint(1, 5)):
        kinds = rng.sample(EXERCISES, rng.randint(1, 3))
        results[name] = result(rng.choice([0, 1, 2]), kinds, "01_scales")
        if rng.random() < 0.3:
            results[name]["chapters"] += result(1, ["other"], "02_others")["chapters"]
        if rng.random() < 0.2:
            results[name] = {"status": "an empty file"}

    def number(*choices):
        return rng.choice([*choices, round(rng.uniform(0, 4), rng.randint(0, 3))])

    names, exercises = [*NAMES, "gone"], [*EXERCISES, "other", "gone"]
    corrections = [[rng.choice(names), rng.choice(exercises), number(0, 5), "c"]
                   for _ in range(rng.choice([0, 3, 30]))]  # fmt: skip
    weights = [[rng.choice([*names, "", ""]), rng.choice([*exercises, ""]), number(0, 1, 2), "w"]
               for _ in range(rng.choice([0, 3, 30]))]  # fmt: skip
    late = [[rng.choice(names), number(0, 1, 7), number(0, 10, 50, 100), "l"]
            for _ in range(rng.choice([0, 3, 10]))]  # fmt: skip
    return results, {"corrections": corrections, "weights": weights, "late": late}


def text(head, lines):
    table = io.StringIO(newline="")
    named = [[marked(name), *rest] for name, *rest in lines]  # as the tables name them
    csv.writer(table).writerows([head.strip().split(","), *named])
    return table.getvalue()


def texts(lines):
    heads = {"corrections": HEAD, "weights": WEIGHT_HEAD, "late": LATE_HEAD}
    return {name: text(heads[name], lines[name]) for name in heads}


def by_hand(results, lines):
    """Return points and most points by (submission, chapter), in exact numbers."""

    def last(file, default, *names):
        found = [line[len(names) :] for line in lines[file] if tuple(line[: len(names)]) == names]
        return found[-1] if found else default

    def exact(number):
        return Fraction(str(number))

    found = {}
    for name, one in results.items():
        for marks in one.get("chapters", []):
            points = most = Fraction(0)
            for report in marks["exercises"]:
                exercise = report["exercise"]
                earned = sum(row["points"] for row in report["rows"])
                earned, _ = last("corrections", (earned, ""), name, exercise)
                weight = (
                    last("weights", None, name, exercise)
                    or last("weights", None, name, "")
                    or last("weights", None, "", exercise)
                    or last("weights", (1, ""), "", "")
                )
                points += exact(earned) * exact(weight[0])
                most += exact(report["max_points"]) * exact(weight[0])
            days, percent, _ = last("late", (0, 0, ""), name)
            points *= max(Fraction(0), 1 - exact(days) * exact(percent) / 100)
            found[name, marks["chapter"]] = points, most
    return found


def all_points(results):
    return {
        (name, marks["chapter"]): (marks["points"], marks["max_points"])
        for name, one in results.items() for marks in one.get("chapters", [])
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_totals_are_those_computed_by_hand(tmp_path, seed):
    results, lines = drawn(random.Random(seed))
    before = json.dumps(results)
    found, _ = adjusted(tmp_path, results, **texts(lines))
    assert json.dumps(results) == before
    deserved, got = by_hand(results, lines), all_points(found)
    assert got.keys() == deserved.keys()
    for key, values in got.items():
        for value, exact in zip(values, deserved[key], strict=True):
            assert abs(value - exact) <= Fraction("0.021")  # each of three exercises is rounded
            assert len(str(value).partition(".")[2]) <= 2
    for name, one in found.items():
        for marks in one.get("chapters", []):
            rows = [row for row in cells(scores({name: one})) if row["chapter"] == marks["chapter"]]
            assert round(sum(float(row["max_points"]) for row in rows), 2) == marks["max_points"]
            assert "late" in marks or (
                round(sum(float(row["points"]) for row in rows), 2) == marks["points"]
            )
        assert "nan" not in feedback(name, one)
    assert overview(tmp_path, found)


@pytest.mark.parametrize("seed", range(30))
def test_merge_of_a_merge_changes_nothing(tmp_path, seed):
    """In parts, in place, again, and of a report that holds the adjustments already."""
    rng = random.Random(seed)
    results, lines = drawn(rng)
    parts = [tmp_path / "0", tmp_path / "1"]
    names = sorted(results)
    for part, of in zip(parts, (names[::2], names[1::2]), strict=True):
        write(part, {name: results[name] for name in of}, seed=1, isolation="x")
    joined = tmp_path / "joined"
    expected, _ = adjusted(joined, results, **texts(lines))
    assert merge(parts, joined) == expected
    once = {path.name: path.read_bytes() for path in joined.iterdir() if path.is_file()}
    for reports in (parts, [joined], [joined, *parts], [*parts, joined]):
        assert merge(reports, joined) == expected
        assert {path.name: path.read_bytes() for path in joined.iterdir() if path.is_file()} == once
    for reports in ([joined], [joined, *parts], [*parts, joined]):
        assert merge(reports, tmp_path / "without files") == expected


def test_reports_that_were_adjusted_differently_are_not_joined(tmp_path):
    for name, weight in (("two", 2), ("three", 3)):
        adjusted_, _ = adjusted(
            tmp_path / name, {"a": result()}, weights=WEIGHT_HEAD + f",,{weight},\n"
        )
        write(tmp_path / name, adjusted_, seed=1, isolation="x")
    with pytest.raises(ReportError, match="the reports disagree about a"):
        merge([tmp_path / "two", tmp_path / "three"], tmp_path / "joined")
