"""What became of a submission, as JSON holds it."""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, NotRequired, TypedDict

from regbook.exercise import Report
from regbook.exercise.report import rounded

# What a formula begins with, for some spreadsheets also in the wide forms of East Asian keyboards.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class Late(TypedDict):
    """How many days after the deadline a submission came, and what each of them costs."""

    days: float
    percent: float  # of the points earned
    comment: str


class Marks(TypedDict):
    """What a submission earned in one chapter, after the weights and the late days."""

    chapter: str
    points: float
    max_points: float
    exercises: list[dict[str, Any]]  # reports, see `Report.from_dict`
    late: NotRequired[Late]


class Result(TypedDict):
    """What became of one submission, as JSON holds it. Only what could be graded has chapters."""

    status: str  # in words
    chapters: NotRequired[list[Marks]]
    left_out: NotRequired[bool]  # whether nobody expects it to be graded
    problems: NotRequired[dict[str, str]]  # what went wrong, by the number of the code cell
    fingerprints: NotRequired[dict[str, str]]  # of its long functions, by exercise: see `alike`
    seconds: NotRequired[float]  # of computing: differs from run to run, and is in no table


class Results(MutableMapping[str, Result]):
    """Results by the name of a submission, packed, so that thousands take a few megabytes.

    What is looked up is a copy: to change a result, store it again.
    """

    def __init__(self, *others: Mapping[str, Result]) -> None:
        """others: whose results to hold; of equal names, the last counts."""
        self._packed: dict[str, bytes] = {}
        for other in others:
            self.update(other)

    def __getitem__(self, name: str) -> Result:
        return json.loads(zlib.decompress(self._packed[name]))

    def __setitem__(self, name: str, result: Result) -> None:
        self._packed[name] = zlib.compress(json.dumps(result).encode())

    def __delitem__(self, name: str) -> None:
        del self._packed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


def in_order(results: Mapping[str, Result]) -> Iterator[tuple[str, Result]]:
    """Yield (name, result) sorted by name, one at a time: `sorted` would hold all of them."""
    return ((name, results[name]) for name in sorted(results))


def repeatable(result: Result) -> dict[str, Any]:
    """Return a result without what differs from run to run."""
    return {key: value for key, value in result.items() if key != "seconds"}


def totals(reports: Iterable[Report]) -> tuple[float, float]:
    """Return the sum of the points, before late days, and of the most points that there are."""
    counted = [report.counted for report in reports]
    return rounded(sum(points for points, _ in counted)), rounded(sum(most for _, most in counted))


def lost(late: Late) -> float:
    """Return how many per cent of the points the late days cost, 100 at most."""
    return rounded(min(late["days"] * late["percent"], 100))


def exercise_status(report: Report) -> str:
    """Return the state of one exercise in a few words."""
    if report.weight == 0:
        return "excused"
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
    return f"'{name}" if name.lstrip(" '").startswith(FORMULA) else name


def unmarked(name: str) -> str:
    """Return the name of a submission from a cell that `marked` wrote."""
    return name[1:] if name.startswith("'") and marked(name[1:]) == name else name
