"""What a teacher gets: two tables, one JSON file, and pages to look at."""

import contextlib
import csv
import io
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from regbook.exercise import Report
from regbook.grading import corrections
from regbook.grading.pages import feedback, feedback_path, overview
from regbook.grading.results import Result, exercise_status, marked, percent

SUMMARY = ("submission", "chapter", "points", "max_points", "percent", "status")
SCORES = ("submission", "chapter", "exercise", "points", "max_points", "status")


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


def _table(header, rows):
    text = io.StringIO()
    # The writer quotes only what its own line end holds, so "\r" must be part of that.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([header, *rows])
    return text.getvalue().replace("\r\n", "\n")


def summary(results: Mapping[str, Result]) -> str:
    """Return summary.csv: one row per submission and chapter; without points if not graded."""
    rows = []
    for name, result in sorted(results.items()):
        graded = [
            [marks["chapter"], marks["points"], marks["max_points"], percent(marks)]
            for marks in result.get("chapters", [])
        ]
        rows += [[marked(name), *values, result["status"]] for values in graded or [[""] * 4]]
    return _table(SUMMARY, rows)


def scores(results: Mapping[str, Result]) -> str:
    """Return scores.csv: one row per submission and exercise."""
    rows = []
    for name, result in sorted(results.items()):
        for marks in result.get("chapters", []):
            for report in map(Report.from_dict, marks["exercises"]):
                points = [report.points, report.max_points, exercise_status(report)]
                rows.append([marked(name), marks["chapter"], report.exercise, *points])
    return _table(SCORES, rows)


def write(out: Path, results: Mapping[str, Result], *, seed: int, isolation: str) -> None:
    """Write the tables and report.json of `results`, a dict of results by submission.

    isolation: one of `isolation.LEVELS`, in words. The same results give the same bytes.
    """
    stored = {"seed": seed, "isolation": isolation, "submissions": results}
    write_whole(out / "report.json", json.dumps(stored, indent=1, sort_keys=True) + "\n")
    write_whole(out / "scores.csv", scores(results))
    write_whole(out / "summary.csv", summary(results))
    write_whole(out / "index.html", overview(out, results))


def merge(reports: Iterable[Path], out: Path) -> dict[str, Result]:
    """Join reports, folders that `write` filled, into the report `out`; return the results.

    Raises ReportError when one is no report, when they were graded with different seeds or
    isolation, or when they disagree about a submission. Corrections beside `out` are merged.
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
    results, left = corrections.merged(results, corrections.read(out))
    print(*left, sep="\n", end="\n" * bool(left))
    for name, result in results.items():
        write_whole(feedback_path(out, name), feedback(name, result))
    ((seed, isolation),) = settings
    write(out, results, seed=seed, isolation=isolation)
    return results
