"""A teacher's corrections: `corrections.csv` beside the report, which is read and never written.

Its columns are submission, exercise, points and comment; the first two as scores.csv names them.
Each run merges them into the tables, the overview and the feedback.
"""

import copy
import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from regbook.grading.results import Result, unmarked

FILE = "corrections.csv"
COLUMNS = ["submission", "exercise", "points", "comment"]


class CorrectionError(ValueError):
    """corrections.csv cannot be read; the message names the line and says what was expected."""


class Correction(NamedTuple):
    """The points of one exercise of one submission, and what the learner is told. line: its own."""

    points: float
    comment: str
    line: int


def read(out: Path) -> dict[tuple[str, str], Correction]:
    """Return the corrections beside a report, by submission and exercise; the last line counts.

    Spreadsheets write commas or semicolons, and may put a mark before the first byte. Raises
    CorrectionError.
    """
    path = out / FILE
    if not path.exists():
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CorrectionError(f"{path} cannot be read as text in UTF-8: {error}") from error
    first = text.partition("\n")[0]
    table = csv.DictReader(text.splitlines(), delimiter=";" if ";" in first else ",")
    if [name.strip() for name in table.fieldnames or []] != COLUMNS:
        raise CorrectionError(f"{path}: expected the columns {', '.join(COLUMNS)}; got {first!r}")
    table.fieldnames = COLUMNS
    found = {}
    for row in table:
        try:
            points = float((row["points"] or "").replace(",", "."))
        except ValueError:
            points = math.nan
        if not (math.isfinite(points) and points >= 0):
            said = f"expected points, a number of 0 or more; got {row['points']!r}"
            raise CorrectionError(f"{path}, line {table.line_num}: {said}")
        points = int(points) if points.is_integer() else points
        key = unmarked(row["submission"]), row["exercise"] or ""
        found[key] = Correction(points, row["comment"] or "", table.line_num)
    return found


def merged(
    results: Mapping[str, Result], corrections: Mapping[tuple[str, str], Correction]
) -> tuple[dict[str, Result], list[str]]:
    """Return the corrected results, and a sentence about each correction that fits none of them."""
    found, left = dict(results), []
    for (name, exercise), correction in corrections.items():
        corrected = _corrected(found[name], exercise, correction) if name in found else None
        if corrected:
            found[name] = corrected
        else:
            what = f"{exercise!r} of {name!r}"
            left.append(f"{FILE}, line {correction.line}: there is no exercise {what}.")
    return found, left


def _corrected(result, exercise, correction):
    """Return a result with other points for an exercise, or None when it has no such exercise."""
    result = copy.deepcopy(result)
    for marks in result.get("chapters", []):
        for report in marks["exercises"]:
            if report["exercise"] == exercise:
                report |= {"corrected": correction.points, "comment": correction.comment}
                marks["points"] = sum(map(_points, marks["exercises"]))
                return result
    return None


def _points(report):
    corrected = report.get("corrected")
    return sum(row["points"] for row in report["rows"]) if corrected is None else corrected
