"""What a teacher gets: two tables, one JSON file, and a feedback page for each submission."""

import contextlib
import csv
import hashlib
import html
import io
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from regbook.exercise import Report

SUMMARY = ("submission", "chapter", "points", "max_points", "percent", "status")
SCORES = ("submission", "chapter", "exercise", "points", "max_points", "status")

STYLE = """\
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1, h2, p, td, li { overflow-wrap: anywhere; }
.regbook-report {
  border: 1px solid #8888; border-radius: .4rem; padding: .2rem 1rem; margin: 1rem 0;
}
table { border-collapse: collapse; width: 100%; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #8884; vertical-align: top; }
tr.pass td:first-child, tr.fail td:first-child { font-weight: bold; white-space: nowrap; }
tr.fail td:first-child { color: light-dark(#a03000, #ffb38a); }
tr.pass td:first-child { color: light-dark(#00507a, #8fd0ff); }
@media (max-width: 40rem) {
  thead { display: none; }
  tr, td { display: block; }
  tr { border-bottom: 1px solid #8888; padding: .4rem 0; }
  td { border: 0; padding: .1rem 0; }
  td:nth-child(3)::before { content: "expected: "; }
  td:nth-child(4)::before { content: "received: "; }
  td:nth-child(5)::before { content: "points: "; }
}"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""


class Marks(TypedDict):
    """What a submission earned in one chapter."""

    chapter: str
    points: float
    max_points: float
    exercises: list[dict[str, Any]]  # reports, see `Report.from_dict`


class Result(TypedDict):
    """What became of one submission, as JSON holds it. Only what could be graded has chapters."""

    status: str  # in words
    chapters: NotRequired[list[Marks]]
    left_out: NotRequired[bool]  # whether nobody expects it to be graded
    problems: NotRequired[dict[str, str]]  # what went wrong, by the number of the code cell


class ReportError(ValueError):
    """A report cannot be read or joined; the message says which and why."""


def write_whole(path: Path, text: str) -> None:
    """Write a file so that at every moment it is there whole, in its old or its new state."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode("utf-8", "backslashreplace")
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def exercise_status(report: Report) -> str:
    """Return the state of one exercise in a few words."""
    passed = sum(row.outcome.passed for row in report.rows)
    if not report.rows:
        return "not attempted"
    if passed == len(report.rows):
        return "full marks"
    return f"{passed} of {len(report.rows)} checks passed"


def _cell(text):
    """Keep a spreadsheet from reading a submission's name as a formula."""
    return f"'{text}" if str(text).startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _table(header, rows):
    text = io.StringIO()
    # The writer quotes only what its own line end holds, so "\r" must be part of that.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([header, *rows])
    return text.getvalue().replace("\r\n", "\n")


def _percent(marks):
    return f"{100 * marks['points'] / marks['max_points']:.1f}" if marks["max_points"] else ""


def summary(results: Mapping[str, Result]) -> str:
    """Return summary.csv: one row per submission and chapter; without points if not graded."""
    rows = []
    for name, result in sorted(results.items()):
        graded = [
            [marks["chapter"], marks["points"], marks["max_points"], _percent(marks)]
            for marks in result.get("chapters", [])
        ]
        rows += [[_cell(name), *values, result["status"]] for values in graded or [[""] * 4]]
    return _table(SUMMARY, rows)


def scores(results: Mapping[str, Result]) -> str:
    """Return scores.csv: one row per submission and exercise."""
    rows = []
    for name, result in sorted(results.items()):
        for marks in result.get("chapters", []):
            for report in map(Report.from_dict, marks["exercises"]):
                points = [report.points, report.max_points, exercise_status(report)]
                rows.append([_cell(name), marks["chapter"], report.exercise, *points])
    return _table(SCORES, rows)


def feedback(name: str, result: Result) -> str:
    """Return the self-contained HTML page for the learner who handed in `name`."""
    status = result["status"]
    chapters = result.get("chapters", [])
    parts = [
        f"<p><strong>{marks['points']} of {marks['max_points']} points</strong> "
        f"({_percent(marks)} %) in chapter {html.escape(marks['chapter'])}.</p>"
        for marks in chapters
    ] or [f"<p>{html.escape(status[:1].upper() + status[1:])}.</p>"]
    if result.get("problems"):
        items = (
            f"<li>Code cell {n}: {html.escape(text)}</li>" for n, text in result["problems"].items()
        )
        parts.append(
            "<h2>Cells that failed</h2>\n<p>The other cells were run all the same, and of these "
            f"the definitions and imports.</p>\n<ul>{''.join(items)}</ul>"
        )
    for marks in chapters:
        of = f" of chapter {html.escape(marks['chapter'])}" if len(chapters) > 1 else ""
        parts.append(f"<h2>Exercises{of}</h2>")
        parts += [Report.from_dict(report)._repr_html_() for report in marks["exercises"]]
    title = html.escape(f"Feedback on {name}")
    return PAGE.format(title=title, style=STYLE, body="\n".join(parts))


def feedback_path(out: Path, name: str) -> Path:
    """Return where the feedback page of a submission lies below a report."""
    parts = name.encode().split(b"/")
    if max(map(len, parts)) > 240:  # no file system takes many more
        start = parts[-1][:50].decode(errors="ignore")
        name = f"{start}-{hashlib.sha256(name.encode()).hexdigest()}"
    return Path(out, "feedback", f"{name}.html")


def write(out: Path, results: Mapping[str, Result], *, seed: int, isolation: str) -> None:
    """Write the tables and report.json of `results`, a dict of results by submission.

    isolation: one of `isolation.LEVELS`, in words. The same results give the same bytes.
    """
    stored = {"seed": seed, "isolation": isolation, "submissions": results}
    write_whole(out / "report.json", json.dumps(stored, indent=1, sort_keys=True) + "\n")
    write_whole(out / "scores.csv", scores(results))
    write_whole(out / "summary.csv", summary(results))


def merge(reports: Iterable[Path], out: Path) -> dict[str, Result]:
    """Join reports, folders that `write` filled, into the report `out`; return the results.

    Raises ReportError when one is no report, when they were graded with different seeds or
    isolation, or when they disagree about a submission.
    """
    results: dict[str, Result] = {}
    settings = set()
    for folder in reports:
        try:
            stored = json.loads(Path(folder, "report.json").read_text(encoding="utf-8"))
            settings.add((stored["seed"], stored["isolation"]))
            submissions = stored["submissions"].items()
        except OSError as error:
            raise ReportError(f"{folder} holds no report.json: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReportError(f"{folder}/report.json is damaged: {error}") from error
        for name, result in submissions:
            if results.setdefault(name, result) != result:
                raise ReportError(f"the reports disagree about {name}: grade it again")
    if len(settings) > 1:
        raise ReportError(f"the reports were made with different settings: {sorted(settings)}")
    for name, result in results.items():
        write_whole(feedback_path(out, name), feedback(name, result))
    ((seed, isolation),) = settings
    write(out, results, seed=seed, isolation=isolation)
    return results
