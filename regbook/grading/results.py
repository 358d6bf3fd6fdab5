"""What became of a submission, as JSON holds it."""

from typing import Any, NotRequired, TypedDict

from regbook.exercise import Report


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


def exercise_status(report: Report) -> str:
    """Return the state of one exercise in a few words."""
    if report.corrected is not None:
        return "corrected"
    passed = sum(row.outcome.passed for row in report.rows)
    if not report.rows:
        return "not attempted"
    if passed == len(report.rows):
        return "full marks"
    return f"{passed} of {len(report.rows)} checks passed"


def percent(marks: Marks) -> str:
    """Return the share of the points in per cent; "" where there are none to earn."""
    return f"{100 * marks['points'] / marks['max_points']:.1f}" if marks["max_points"] else ""


def marked(name: str) -> str:
    """Return a submission's name for a table, so that no spreadsheet takes it for a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name


def unmarked(name: str) -> str:
    """Return the name of a submission from a cell that `marked` wrote."""
    return name[1:] if name.startswith("'") and marked(name[1:]) == name else name
