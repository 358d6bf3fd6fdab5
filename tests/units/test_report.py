"""The tables and pages hold every submission, escaped, whole at every moment, always the same."""

import base64
import csv
import hashlib
import html
import io
import json
import os
import re
import tracemalloc
from dataclasses import asdict
from pathlib import Path

import pytest

from regbook.exercise import Outcome, Report, Row
from regbook.grading import alike
from regbook.grading import report as report_module
from regbook.grading.overview import overview
from regbook.grading.report import (
    ReportError,
    exercise_status,
    feedback,
    feedback_path,
    merge,
    scores,
    summary,
    write,
    write_whole,
)
from regbook.grading.results import Results, repeatable

SCRIPT = "<script>alert('&\"')</script>"


def row(passed=True, received="1", hint=""):
    outcome = Outcome(passed, "1", received, "" if passed else "error", hint)
    return Row("is_one", "is <1>", outcome, 2 if passed else 0, 2, "more")


def graded(*exercises, status="graded", problems=(), chapter="07_l2_weight_decay"):
    reports = [Report(f"exercise{i}", list(rows), 2 * max(1, len(rows)))
               for i, rows in enumerate(exercises)]  # fmt: skip
    marks = {
        "chapter": chapter, "points": sum(r.points for r in reports),
        "max_points": sum(r.max_points for r in reports), "exercises": [asdict(r) for r in reports],
    }  # fmt: skip
    return {"status": status, "chapters": [marks], "problems": dict(problems)}


FULL, HALF, NONE = graded([row()]), graded([row(), row(False)]), graded([], [row(), row()])
BROKEN = {"status": "not a notebook: no valid JSON (x)"}
RESULTS = {"b/x.ipynb": HALF, "a.ipynb": FULL, "c.ipynb": NONE, 'd,e "f".ipynb': BROKEN}


def files(out):
    found = (path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found}


def test_summary_has_one_row_per_submission():
    assert summary(RESULTS).splitlines() == [
        "submission,learner,chapter,points,max_points,percent,status",
        "a.ipynb,a,07_l2_weight_decay,2,2,100.0,graded",
        "b/x.ipynb,x,07_l2_weight_decay,2,4,50.0,graded",
        "c.ipynb,c,07_l2_weight_decay,4,6,66.7,graded",
        '"d,e ""f"".ipynb","d,e ""f""",,,,,not a notebook: no valid JSON (x)',
    ]
    assert summary({}) == "submission,learner,chapter,points,max_points,percent,status\n"


def test_a_whole_class_takes_little_memory(tmp_path):
    """What is held, and what writing adds, is far below the text of the results."""
    long = graded(*([row(hint=f"hint {i} " + 300 * "x") for i in range(4)] for _ in range(6)))
    write(tmp_path, {"a.ipynb": long}, seed=1, isolation="isolated")  # it keeps what it parsed
    tracemalloc.start()
    try:
        results = Results()
        for i in range(200):
            results[f"learner_{i:04}.ipynb"] = json.loads(json.dumps(long))
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        write(tmp_path, results, seed=1, isolation="isolated")
        peak = tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()
    text = 200 * len(json.dumps(long))
    assert held < text / 5
    assert peak < text / 3


@pytest.mark.parametrize("results", [{}, {"d,e": BROKEN}, RESULTS])
def test_report_json_is_written_in_parts_as_in_one(results, tmp_path):
    write(tmp_path, Results(results), seed=3, isolation="isolated")
    whole = {"seed": 3, "isolation": "isolated", "submissions": results}
    expected = json.dumps(whole, indent=1, sort_keys=True) + "\n"
    assert (tmp_path / "report.json").read_text() == expected


def test_results_give_what_they_were_given():
    results = Results(RESULTS, {"a.ipynb": HALF})
    assert results == RESULTS | {"a.ipynb": HALF}
    results["a.ipynb"]["status"] = "changed in a copy"
    del results["b/x.ipynb"]
    assert results["a.ipynb"]["status"] == "graded"
    assert sorted(results) == ["a.ipynb", "c.ipynb", 'd,e "f".ipynb']


def test_scores_have_one_row_per_exercise():
    assert scores(RESULTS).splitlines() == [
        "submission,learner,chapter,exercise,points,max_points,status",
        "a.ipynb,a,07_l2_weight_decay,exercise0,2,2,full marks",
        "b/x.ipynb,x,07_l2_weight_decay,exercise0,2,4,1 of 2 checks passed",
        "c.ipynb,c,07_l2_weight_decay,exercise0,0,2,not attempted",
        "c.ipynb,c,07_l2_weight_decay,exercise1,4,4,full marks",
    ]
    assert exercise_status(Report("x", [row(False)], 2)) == "0 of 1 checks passed"


def test_chapter_without_points_has_no_percent():
    empty = graded([row()])
    empty["chapters"][0] |= {"points": 0, "max_points": 0}
    assert summary({"a": empty}).endswith(",0,0,,graded\n")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_name_is_a_formula_for_a_spreadsheet(start):
    name = f"{start}cmd|' C calc'!A0.ipynb"
    for table in (summary, scores):
        (_, *rows) = csv.reader(io.StringIO(table({name: FULL}), newline=""))
        learner = name.removesuffix(".ipynb")
        assert [cells[:2] for cells in rows] == [[f"'{name}", f"'{learner}"]]


def test_no_status_is_read_as_another_row():
    forged = {"status": "a notebook in x\ry.ipynb,07,99,99,100.0,graded\n=1+1, not in Python"}
    (_, cells) = csv.reader(io.StringIO(summary({"a.ipynb": forged}), newline=""))
    assert cells == ["a.ipynb", "a", "", "", "", "", forged["status"]]


@pytest.mark.parametrize(
    "result",
    [
        graded([row(False, received=SCRIPT, hint=SCRIPT)], problems={"1": SCRIPT}),
        graded([row()], chapter=SCRIPT),
        {"status": f"could not be graded ({SCRIPT})"},
    ],
)
def test_page_shows_the_learners_text_as_text(result):
    page = feedback(f"{SCRIPT}.ipynb", result)
    assert "<script" not in page.lower()
    assert page.count("&lt;script&gt;alert(&#x27;&amp;&quot;&#x27;)") >= 3


def test_page_is_complete_and_needs_nothing_else():
    page = feedback("a.ipynb", HALF | {"problems": {"3": "ValueError: no (line 2 of the cell)"}})
    assert page.startswith("<!DOCTYPE html>\n<html lang=")
    assert '<meta charset="utf-8">' in page
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|src=|href=|@import|url\(|<script|<iframe", page)
    assert "<h1>Feedback on a.ipynb</h1>" in page
    assert "2 of 4 points</strong> (50.0 %)" in page
    assert "<li>Code cell 3: ValueError: no (line 2 of the cell)</li>" in page
    assert page.count("<tr") == 3
    for tag in ("div", "table", "p", "ul", "li", "h1", "h2", "main", "body", "html"):
        assert len(re.findall(f"<{tag}[ >]", page)) == page.count(f"</{tag}>"), tag


def test_page_of_what_could_not_be_graded_says_why():
    page = feedback("d.ipynb", BROKEN)
    assert "<p>Not a notebook: no valid JSON (x).</p>" in page
    assert "points" not in page.partition("</style>")[2]


def test_page_is_written_below_the_report_whatever_the_name(tmp_path):
    names = ["a.ipynb", "b/c/d.ipynb", "x" * 255, "\N{ROCKET}" * 63, "é" * 250 + "/a.ipynb",
             "\\ud800 \\x1b.ipynb", "a b'\".ipynb"]  # fmt: skip
    paths = [feedback_path(tmp_path, name) for name in names]
    assert len(set(paths)) == len(names)
    for path in paths:
        assert path.is_relative_to(tmp_path / "feedback")
        write_whole(path, "page")
    assert paths[1] == tmp_path / "feedback/b/c/d.ipynb.html"
    assert len(list(tmp_path.rglob("*.html"))) == len(names)


def test_text_that_is_not_unicode_is_written_all_the_same(tmp_path):
    write_whole(tmp_path / "new/x", "a\ud800b\N{CHECK MARK}")
    assert (tmp_path / "new/x").read_text() == "a\\ud800b\N{CHECK MARK}"
    assert (tmp_path / "new/x").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("step", ["fdopen", "fsync", "chmod", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failing_write_leaves_the_old_file(tmp_path, monkeypatch, step, error):
    path = tmp_path / "x.json"
    write_whole(path, "old")

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(report_module.os, step, fails)
    with pytest.raises(type(error)):
        write_whole(path, "new")
    monkeypatch.undo()
    assert files(tmp_path) == {"x.json": b"old"}
    write_whole(path, "new")
    assert files(tmp_path) == {"x.json": b"new"}


def test_file_is_whole_while_it_is_replaced(tmp_path, monkeypatch):
    """At the moment before the exchange the old one is there, complete, and the new one too."""
    path, seen = tmp_path / "x", []
    write_whole(path, "old")
    replace = os.replace

    def look(source, target):
        seen.append((path.read_text(), Path(source).read_text(), os.path.dirname(source)))
        replace(source, target)

    monkeypatch.setattr(report_module.os, "replace", look)
    write_whole(path, "new")
    assert seen == [("old", "new", str(tmp_path))]
    assert path.read_text() == "new"


def store(out, results, seed=3, isolation="bubblewrap"):
    write(out, results, seed=seed, isolation=isolation)
    for name, result in results.items():
        write_whole(feedback_path(out, name), feedback(name, result))
    return out


def test_same_results_in_any_order_give_the_same_bytes(tmp_path):
    store(tmp_path / "a", RESULTS)
    store(tmp_path / "b", dict(reversed(RESULTS.items())))
    assert files(tmp_path / "a") == files(tmp_path / "b")
    stored = json.loads((tmp_path / "a/report.json").read_text())
    assert stored == {"seed": 3, "isolation": "bubblewrap", "submissions": RESULTS}


def test_shards_join_to_the_bytes_of_the_whole(tmp_path):
    whole = store(tmp_path / "whole", RESULTS)
    shards = [store(tmp_path / f"{i}", {name: RESULTS[name] for name in names})
              for i, names in enumerate([["c.ipynb", "a.ipynb"], [], ["b/x.ipynb"],
                                         ['d,e "f".ipynb', "a.ipynb"]])]  # fmt: skip
    assert merge(shards, tmp_path / "joined") == RESULTS
    assert files(tmp_path / "joined") == files(whole)
    assert merge([*shards, whole], shards[0]) == RESULTS  # into one of them
    assert files(shards[0]) == files(whole)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "holds no report.json: No such file or directory"),
        ("", "report.json is damaged"),
        ('{"seed": 3, "isolation": "bubblewrap", "submis', "report.json is damaged"),
        ("[]", "report.json is damaged"),
        ("{}", "report.json is damaged: 'seed'"),
        ('{"seed": 3, "isolation": "bubblewrap", "submissions": []}', "report.json is damaged"),
        ('{"seed": 3, "isolation": [], "submissions": {}}', "report.json is damaged"),
        ('{"seed": 4, "isolation": "bubblewrap", "submissions": {}}', "different settings"),
        ('{"seed": 3, "isolation": "fork", "submissions": {}}', "different settings"),
        (
            '{"seed": 3, "isolation": "bubblewrap", "submissions": {"a.ipynb": {"status": "x"}}}',
            "the reports disagree about a.ipynb: grade it again",
        ),
    ],
)
def test_reports_that_do_not_fit_are_not_joined(tmp_path, text, sentence):
    whole, other = store(tmp_path / "whole", RESULTS), tmp_path / "other"
    if text is not None:
        write_whole(other / "report.json", text)
    with pytest.raises(ReportError, match=sentence):
        merge([whole, other], tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def named(mistake="swapped", hint="You swapped <them>.", points=0):
    return Row("is_one", "is <1>", Outcome(False, "1", "2", mistake, hint), points, 2, "more")


def test_class_at_a_glance_counts_points_exercises_and_mistakes():
    results = {
        "a.ipynb": FULL, "b.ipynb": graded([row()], [row()]), "c.ipynb": graded([named()], []),
        "d e<.ipynb": graded([named()], [row(), named("other", "Another.")]),
        "e.ipynb": BROKEN, "f.py": {"status": "beside", "left_out": True},
        "g.ipynb": graded([row()], chapter="10_dropout"),
    }  # fmt: skip
    page = overview(Path("out"), results)
    assert "<p>5 submissions were graded, 1 could not be graded.</p>" in page
    text = re.sub(r"<[^>]+>", "|", page)
    assert "not a notebook: no valid JSON (x)" in text
    assert "Chapter 07_l2_weight_decay" in text and "Chapter 10_dropout" in text
    assert 'aria-label="Submissions by points: 0–9 %: 1, 30–39 %: 1, 100 %: 2"' in page
    assert re.search(r"\|exercise0\|+4\|+2\|+1\.0\|+2\|", text)
    assert re.search(r"\|exercise1\|+2\|+1\|+1\.3\|+2\.67\|", text)
    told = re.search(r"\|2\|+exercise0\|+You swapped &lt;them&gt;\.\|+c\.ipynb\|+, ", text)
    assert told
    assert '<a href="feedback/d%20e%3C.ipynb.html">d e&lt;.ipynb</a>' in page
    assert "f.py" not in page


def test_class_at_a_glance_needs_nothing_else_and_runs_its_own_script_only():
    page = overview(Path("out"), {f"{SCRIPT}.ipynb": graded([named(hint=SCRIPT)])})
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in page
    assert not re.search(r"https?://|src=|@import|url\(|onclick", page)
    for tag in ("div", "table", "tr", "td", "th", "p", "a", "svg", "figure", "main", "html"):
        assert len(re.findall(f"<{tag}[ >]", page)) == page.count(f"</{tag}>"), tag


def shown(page, section):
    """Return the rows of each table in a section of the overview, as texts; None without it."""
    found = re.search(f'<section id="{section}">.*?</section>', page, re.S)
    tables = re.findall(r"<tbody>\n(.*?)\n</tbody>", found[0], re.S) if found else []
    return found and [
        [[html.unescape(re.sub("<.*?>", "", cell)) for cell in re.findall(r"<td.*?</td>", row)]
         for row in table.split("\n")] for table in tables
    ]  # fmt: skip


def test_class_at_a_glance_shows_what_is_alike(monkeypatch):
    monkeypatch.setattr(alike, "published", lambda slug: {"exercise0": "p"} if "07" in slug else {})
    prints = {
        "<a>": {"exercise0": "p", "exercise1": "q"}, "b": {"exercise1": "q", "exercise2": "r"},
        "c": {"exercise1": "q", "exercise2": "r"}, "d": {"exercise0": "p"}, "e": {"exercise1": "p"},
    }  # fmt: skip
    results = {name: FULL | {"fingerprints": found} for name, found in prints.items()}
    page = overview(Path("out"), results | {"f": BROKEN, "g": FULL})
    assert shown(page, "alike") == [
        [["2", "exercise1, exercise2", "b, c"], ["1", "exercise1", "<a>, b, c"]],
        [["1", "exercise0", "<a>"], ["1", "exercise0", "d"]],
    ]
    assert not any(word in page.lower() for word in ("plagiar", "cheat", "copied", "suspect"))
    assert shown(overview(Path("out"), {"a": FULL}), "alike") == []
    for name, result in results.items():
        assert feedback(name, result) == feedback(name, FULL)


def test_class_at_a_glance_shows_the_first_groups_only():
    results = {f"{i:03}": FULL | {"fingerprints": {"exercise0": f"{i // 2}"}} for i in range(120)}
    page = overview(Path("out"), results)
    (table,) = shown(page, "alike")
    assert len(table) == 50 and table[0] == ["1", "exercise0", "000, 001"]
    assert "<p>10 more groups share as many exercises as the last one, or fewer.</p>" in page


def test_seconds_are_shown_in_the_overview_and_nowhere_else(tmp_path):
    quick = {f"{i:02}.ipynb": FULL | {"seconds": i / 100} for i in range(12)}
    timed = {"s<.ipynb": FULL | {"seconds": 12.34}, "b.ipynb": BROKEN, "n.ipynb": FULL, **quick}
    store(tmp_path / "timed", timed)
    store(tmp_path / "plain", {name: repeatable(result) for name, result in timed.items()})
    found, expected = files(tmp_path / "timed"), files(tmp_path / "plain")
    page = found.pop("index.html").decode()
    (table,) = shown(page, "slowest")
    assert table[:2] == [["s<.ipynb", "12.3"], ["11.ipynb", "0.1"]] and len(table) == 10
    rest = re.sub('<section id="slowest">.*?</section>', "", page, flags=re.S)
    assert rest == expected.pop("index.html").decode()
    assert found == expected
    assert b"seconds" not in found["report.json"]
    assert shown(rest, "slowest") is None


@pytest.mark.parametrize("number", [0, 1, 30, 3000])
def test_class_at_a_glance_of_any_size(number, tmp_path):
    results = {f"{i:04}.ipynb": graded([row(), named()], [row()]) for i in range(number)}
    page = overview(tmp_path, results)
    assert f"<p>{number} submissions were graded, 0 could not be graded.</p>" in page
    assert page.count('href="feedback/') == 2 * number
    assert ("<details>" in page) == (number > 20)
    assert len(page) < 5000 + 1000 * number + 4000
    write(tmp_path, results, seed=1, isolation="x")
    assert (tmp_path / "index.html").read_text() == page
