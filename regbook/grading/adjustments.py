"""A teacher's files beside the report: corrections, weights, late days. Read and never written.

Each run merges them into the tables, the overview and the feedback. A result keeps what they say
next to what the checks found, so that it can be merged again, and its totals are computed anew.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from regbook.exercise import Report
from regbook.exercise.report import rounded
from regbook.grading.results import Marks, Result, Results, lost, totals, unmarked

LARGEST = 1_000_000  # what a number must stay below, so that no sum of them overflows


class AdjustmentError(ValueError):
    """A file cannot be read; the message names file and line and says what was expected."""


class Format(NamedTuple):
    """The columns of a file, before that of the comment. empty: whether an empty name means all."""

    names: tuple[str, ...]
    numbers: tuple[str, ...]
    empty: bool = False


class Adjustment(NamedTuple):
    """One line of a file: its numbers by column, what the learner is told, and its own number."""

    numbers: dict[str, float]
    comment: str
    line: int


# By file, by the names in a line.
Adjustments = dict[str, dict[tuple[str, ...], Adjustment]]

CORRECTIONS, WEIGHTS, LATE = "corrections.csv", "weights.csv", "late.csv"
FORMATS = {
    CORRECTIONS: Format(("submission", "exercise"), ("points",)),
    WEIGHTS: Format(("submission", "exercise"), ("weight",), empty=True),
    LATE: Format(("submission",), ("days", "percent")),
}
WITHOUT = {"corrected": None, "comment": "", "weight": 1, "weight_comment": ""}


def read(out: Path) -> Adjustments:
    """Return what the files beside a report say; of two lines with equal names the last counts.

    Spreadsheets write commas or semicolons, and may put a mark before the first byte. Raises
    AdjustmentError.
    """
    found: Adjustments = {}
    for file, form in FORMATS.items():
        found[file] = {}
        for line, cells in _cells(out / file, [*form.names, *form.numbers, "comment"]):
            where = f"{out / file}, line {line}"
            numbers = {name: _number(cells[name], name, where) for name in form.numbers}
            names = (unmarked(cells["submission"]), *(cells[name] for name in form.names[1:]))
            for name, value in zip(form.names, names, strict=True):
                if not (value or form.empty):
                    raise AdjustmentError(f"{where}: expected the name of the {name}; got none")
            found[file][names] = Adjustment(numbers, cells["comment"], line)
    return found


def _cells(path, columns) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the cells of each line of a file; without the file nothing."""
    if not path.exists():
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AdjustmentError(f"{path} cannot be read as text in UTF-8: {error}") from error
    first = text.partition("\n")[0].rstrip("\r")
    table = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first else ",")
    try:
        if [name.strip() for name in next(table, [])] != columns:
            said = f"expected the columns {', '.join(columns)}; got {first!r}"
            raise AdjustmentError(f"{path}: {said}")
        for cells in table:
            if any(cells[len(columns) :]):
                said = "put double quotes around a comment that holds a comma or a semicolon"
                said = f"expected {len(columns)} cells, got {len(cells)}; {said}"
                raise AdjustmentError(f"{path}, line {table.line_num}: {said}")
            if any(cells):  # a spreadsheet writes empty lines too
                cells += [""] * (len(columns) - len(cells))
                yield table.line_num, dict(zip(columns, cells, strict=False))
    except csv.Error as error:
        raise AdjustmentError(f"{path}, line {table.line_num}: no CSV ({error})") from error


def _number(cell, column, where):
    try:
        number = float(cell.replace(",", "."))
    except ValueError:
        number = -1
    if not 0 <= number < LARGEST:  # nor not a number
        said = f"expected {column}, a number of 0 or more, below a million; got {cell!r}"
        raise AdjustmentError(f"{where}: {said}")
    return int(number) if number.is_integer() else number


def merged(
    results: Mapping[str, Result], adjustments: Adjustments
) -> tuple[Mapping[str, Result], list[str]]:
    """Return the adjusted results, and a sentence about each line that fits none of them."""
    if not any(adjustments.values()):
        return results, []
    pairs = {
        (name, report["exercise"])
        for name, result in results.items()
        for marks in result.get("chapters", [])
        for report in marks["exercises"]
    }
    fitting = {
        CORRECTIONS: pairs,
        WEIGHTS: {names for pair in pairs for names in _special_first(*pair)},
        LATE: {(name,) for name, _ in pairs},
    }
    left = [
        f"{file}, line {lines[names].line}: there is no {_what(*names)}."
        for file, lines in adjustments.items()
        for names in lines
        if names not in fitting[file]
    ]
    found = Results()
    found.update((name, _adjusted(name, result, adjustments)) for name, result in results.items())
    return found, left


def _what(name, exercise=""):
    if exercise:
        return f"exercise {exercise!r}" + (f" of {name!r}" if name else "")
    return "graded submission" + (f" {name!r}" if name else "")


def _special_first(name, exercise):
    """Return the names of the lines about an exercise of a submission; the first of them wins."""
    return (name, exercise), (name, ""), ("", exercise), ("", "")


def _adjusted(name, result, adjustments):
    if "chapters" not in result:
        return result
    late = adjustments[LATE].get((name,))
    chapters = []
    for marks in result["chapters"]:
        reports = [report | _changes(name, report, adjustments) for report in marks["exercises"]]
        marks = {**marks, "exercises": reports}
        if late:
            marks["late"] = {**late.numbers, "comment": late.comment}
        chapters.append(totalled(marks))
    return {**result, "chapters": chapters}


def _changes(name, report, adjustments) -> dict[str, Any]:
    """Return the fields of a report that the files set."""
    changes: dict[str, Any] = {}
    names = name, report["exercise"]
    if correction := adjustments[CORRECTIONS].get(names):
        changes |= {"corrected": correction.numbers["points"], "comment": correction.comment}
    weights = adjustments[WEIGHTS]
    if found := [weights[names] for names in _special_first(*names) if names in weights]:
        changes |= {"weight": found[0].numbers["weight"], "weight_comment": found[0].comment}
    return changes


def totalled(marks: Marks) -> Marks:
    """Return marks with totals that follow from the reports and the late days."""
    points, most = totals(map(Report.from_dict, marks["exercises"]))
    if "late" in marks:
        points = rounded(points * (100 - lost(marks["late"])) / 100)
    return {**marks, "points": points, "max_points": most}


def reconciled(one: Result, other: Result) -> Result | None:
    """Return the one of two equal results that a teacher adjusted; None if they disagree."""
    if other in (one, untouched(one)):
        return one
    return other if one == untouched(other) else None


def untouched(result: Result) -> Result:
    """Return a result without what a teacher's files said."""
    if "chapters" not in result:
        return result
    chapters = []
    for marks in result["chapters"]:
        reports = [report | WITHOUT for report in marks["exercises"]]
        plain: Marks = {**marks, "exercises": reports}
        plain.pop("late", None)
        chapters.append(totalled(plain))
    return {**result, "chapters": chapters}
