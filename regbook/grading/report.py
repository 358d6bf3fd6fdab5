"""What a teacher gets: two tables, one JSON file, and pages to look at."""

import contextlib
import csv
import io
import json
import os
import re
import tempfile
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from regbook.exercise import Report
from regbook.grading import adjustments
from regbook.grading.learners import learner
from regbook.grading.overview import overview
from regbook.grading.pages import feedback, feedback_path, told
from regbook.grading.results import (
    FORMULA,
    Result,
    Results,
    exercise_status,
    in_order,
    marked,
    percent,
    repeatable,
)

SUMMARY = ("submission", "learner", "chapter", "points", "max_points", "percent", "status")
SCORES = ("submission", "learner", "chapter", "exercise", "points", "max_points", "status")

BYTE_ORDER_MARK = "\ufeff"  # without it Excel does not take a table for UTF-8
INNER = re.compile(f""";(?=[ '"]*[{re.escape("".join(FORMULA))}])""")  # before a formula


class ReportError(ValueError):
    """A report cannot be read or joined; the message says which and why."""


def write_whole(path: Path, text: str | Iterable[str]) -> None:
    """Write a file so that at every moment it is there whole, in its old or its new state.

    text: in one piece, or piece by piece.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pieces = [text] if isinstance(text, str) else text
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(piece.encode("utf-8", "backslashreplace") for piece in pieces)
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
    # The writer quotes only what its own line end holds, so "\r" must be part of that; and ";", at
    # which some spreadsheets split. These heed the quotes of a first cell, but of no other one.
    writer = csv.writer(text, lineterminator=";\r\n")
    writer.writerow(header)
    for first, *rest in rows:
        writer.writerow([first, *(INNER.sub(";'", str(cell)) for cell in rest)])
    return text.getvalue().replace(";\r\n", "\n")


def _who(name):
    return marked(name), marked(learner(name).name)


def summary(results: Mapping[str, Result]) -> str:
    """Return summary.csv: one row per submission and chapter; without points if not graded."""
    return _table(SUMMARY, _summed(results))


def _summed(results):
    for name, result in in_order(results):
        graded = [
            [marks["chapter"], marks["points"], marks["max_points"], percent(marks)]
            for marks in result.get("chapters", [])
        ]
        yield from ([*_who(name), *values, result["status"]] for values in graded or [[""] * 4])


def scores(results: Mapping[str, Result]) -> str:
    """Return scores.csv: one row per submission and exercise."""
    return _table(SCORES, _scored(results))


def _scored(results):
    for name, result in in_order(results):
        for marks in result.get("chapters", []):
            for report in map(Report.from_dict, marks["exercises"]):
                values = [report.exercise, *report.counted, exercise_status(report)]
                yield [*_who(name), marks["chapter"], *values]


def write(out: Path, results: Mapping[str, Result], *, seed: int, isolation: str) -> None:
    """Write the tables, report.json and index.html of `results`, by submission.

    isolation: one of `isolation.LEVELS`, in words. The same results give the same bytes; only
    index.html tells the seconds that they took.
    """
    write_whole(out / "report.json", _as_json(seed, isolation, results))
    write_whole(out / "scores.csv", BYTE_ORDER_MARK + scores(results))
    write_whole(out / "summary.csv", BYTE_ORDER_MARK + summary(results))
    write_whole(out / "index.html", overview(out, results))


def _as_json(seed, isolation, results):
    """Yield report.json as `json.dumps` would write it, a submission at a time."""
    settings = {"seed": seed, "isolation": isolation, "submissions": {}}
    head, _, foot = json.dumps(settings, indent=1, sort_keys=True).rpartition("{}")
    yield head + "{"
    for number, (name, result) in enumerate(in_order(results)):
        lines = json.dumps({name: repeatable(result)}, indent=1, sort_keys=True)[1:-2]
        yield "," * (number > 0) + lines.replace("\n", "\n ")
    yield "\n " * (len(results) > 0) + "}" + foot + "\n"


def remove_stale(out: Path, present: Container[str]) -> None:
    """Remove the feedback pages of submissions that are not `present`, and folders left empty.

    What is no page of ours stays, and no link is followed. Prints how many were removed.
    """
    top, removed = out / "feedback", 0
    if top.is_symlink():
        return
    for folder, folders, files in os.walk(top, topdown=False):
        for path in (Path(folder, file) for file in files if file.endswith(".html")):
            name = None if path.is_symlink() else told(path)
            if name is not None and name not in present:
                path.unlink()
                removed += 1
        for inner in folders:
            with contextlib.suppress(OSError):  # a link, or not empty
                Path(folder, inner).rmdir()
    if removed:
        print(f"Removed feedback pages of submissions that are gone: {removed}.")


def stored(folder: Path) -> tuple[tuple[int, str], dict[str, Result]]:
    """Return (seed, isolation) and the results of a report that `write` wrote.

    Raises ReportError when it is none.
    """
    try:
        whole = json.loads(Path(folder, "report.json").read_text(encoding="utf-8"))
        seed, isolation = int(whole["seed"]), whole["isolation"]
        if not isinstance(isolation, str):
            raise TypeError("the isolation is no text")
        return (seed, isolation), {**whole["submissions"]}
    except OSError as error:
        raise ReportError(f"{folder} holds no report.json: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReportError(f"{folder}/report.json is damaged: {error}") from error


def merge(reports: Iterable[Path], out: Path) -> Mapping[str, Result]:
    """Join reports, folders that `write` filled, into the report `out`; return the results.

    Raises ReportError when one is no report, when they were graded with different seeds or
    isolation, or when they disagree about a submission. What a teacher's files beside `out` say
    is merged; what those beside the reports said stays. Raises AdjustmentError.
    """
    results = Results()
    settings = set()
    for folder in reports:
        setting, submissions = stored(folder)
        settings.add(setting)
        for name, result in submissions.items():
            known = adjustments.reconciled(results.get(name, result), result)
            if known is None:
                raise ReportError(f"the reports disagree about {name}: grade it again")
            results[name] = known
    if len(settings) > 1:
        raise ReportError(f"the reports were made with different settings: {sorted(settings)}")
    found, left = adjustments.merged(results, adjustments.read(out))
    print(*left, sep="\n", end="\n" * bool(left))
    for name, result in found.items():
        write_whole(feedback_path(out, name), feedback(name, result))
    ((seed, isolation),) = settings
    write(out, found, seed=seed, isolation=isolation)
    remove_stale(out, found)
    return found
