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
    passed = sum(row.outcome.passed for row in report.rows)
    if not report.rows:
        return "not attempted"
    if passed == len(report.rows):
        return "full marks"
    return f"{passed} of {len(report.rows)} checks passed"


def percent(marks: Marks) -> str:
    """Return the share of the points in per cent; "" where there are none to earn."""
    return f"{100 * marks['points'] / marks['max_points']:.1f}" if marks["max_points"] else ""
