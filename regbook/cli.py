"""The commands of the grader: `regbook check`, `regbook grade`, `regbook merge`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

EPILOG = "Exit status: 0 everything was graded, 1 something could not be, 2 wrong use."


def _shard(text):
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second)):
        raise argparse.ArgumentTypeError(f"expected K/N with 1 <= K <= N, such as 3/8; got {text}")
    return int(first), int(second)


def _positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more; got {text}")
    return int(text)


def _natural(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number of 0 or more; got {text}")
    return int(text)


def _take_gradebook(command):
    """Add the options about a platform's gradebook."""
    book = command.add_mutually_exclusive_group()
    book.add_argument("--moodle", type=Path, metavar="CSV", help="grading worksheet to fill")
    book.add_argument("--canvas", type=Path, metavar="CSV", help="export of a gradebook to fill")
    command.add_argument("--column", metavar="TITLE", help="of that export: the assignment's")


def _parser():
    parser = argparse.ArgumentParser(prog="regbook", description=__doc__, epilog=EPILOG)
    commands = parser.add_subparsers(dest="command", required=True)

    check = commands.add_parser("check", help="run the checks on one notebook", epilog=EPILOG)
    check.add_argument("notebook", type=Path, metavar="NOTEBOOK")

    grade = commands.add_parser(
        "grade", help="grade every notebook below a folder", epilog=EPILOG,
        description="Run it again to resume: unchanged submissions are not graded twice.",
    )  # fmt: skip
    grade.add_argument("submissions", type=Path, metavar="SUBMISSIONS")
    grade.add_argument("--out", type=Path, required=True, metavar="REPORT", help="folder to fill")
    grade.add_argument("--jobs", type=_positive, help="how many at a time (default: processors)")
    grade.add_argument("--shard", type=_shard, metavar="K/N", help="only the K-th of N parts")
    grade.add_argument(
        "--only", action="append", default=[], metavar="NAME",
        help="grade again this submission, learner or exercise, and keep the rest of the report",
    )  # fmt: skip
    grade.add_argument("--dask", metavar="ADDRESS", help="scheduler of a dask cluster to use")
    _take_gradebook(grade)

    for command, default in (
        (check, "that of the notebook"),
        (grade, "the report's, or a new one"),
    ):
        command.add_argument(
            "--seed", type=_natural, help=f"draws the inputs of the checks (default: {default})"
        )
        command.add_argument(
            "--trust", action="store_true",
            help="without bubblewrap: run the notebooks all the same, NOT isolated",
        )  # fmt: skip

    merge = commands.add_parser("merge", help="join the reports of shards", epilog=EPILOG)
    merge.add_argument("reports", type=Path, nargs="+", metavar="REPORT")
    merge.add_argument("--out", type=Path, required=True, metavar="REPORT", help="folder to fill")
    _take_gradebook(merge)
    return parser


def _check(arguments):
    from regbook.exercise import Report
    from regbook.grading.grade import grade, graded_in_time
    from regbook.grading.intake import alone
    from regbook.grading.isolation import level_for
    from regbook.grading.sandbox import Sandbox, modules_for
    from regbook.grading.submission import Unreadable

    try:
        data = alone(arguments.notebook).read()
    except Unreadable as error:
        print(f"{arguments.notebook}: {error}")
        return 1
    level, folder = level_for(arguments.trust), arguments.notebook.resolve().parent
    with Sandbox(level, [folder], modules_for([data])) as sandbox:
        result = graded_in_time(grade, data, sandbox, arguments.seed or 0)
    for number, problem in result.get("problems", {}).items():
        print(f"Code cell {number} failed: {problem}")
    for marks in result.get("chapters", []):
        for report in marks["exercises"]:
            print(Report.from_dict(report))
        print(f"{marks['chapter']}: {marks['points']} of {marks['max_points']} points")
    if "chapters" not in result:
        print(f"{arguments.notebook}: {result['status']}")
        return 1
    return 0


def _conclude(results, out):
    graded = {name for name, result in results.items() if "chapters" in result}
    left_out = {name for name, result in results.items() if result.get("left_out")}
    failed = sorted(results.keys() - graded - left_out)
    print(f"{len(graded)} graded, {len(failed)} could not be graded.")
    for name in failed[:10]:
        print(f"  {name}: {results[name]['status']}")
    if len(failed) > 10:
        print(f"  and {len(failed) - 10} more")
    print(
        f"Open {out / 'index.html'} in a browser. The tables are in {out}, a feedback page for "
        f"each submission in {out / 'feedback'}."
    )
    return 1 if failed else 0


def _gradebook(arguments):
    """Return the gradebook to fill, or None. Raises UsageError before anything is graded."""
    from regbook.grading import gradebooks
    from regbook.grading.intake import UsageError

    path = arguments.moodle or arguments.canvas
    if arguments.column is not None and not arguments.canvas:
        raise UsageError("--column names a column of the file that --canvas gives.")
    if path and arguments.command == "grade" and arguments.shard:
        option = "--moodle" if arguments.moodle else "--canvas"
        raise UsageError(f"A shard has not all points: give {option} to `regbook merge`.")
    platform = "moodle" if arguments.moodle else "canvas"
    return gradebooks.read(path, platform, arguments.out, arguments.column) if path else None


def _fill(book, results, out):
    if book:
        print(*book.fill(out, results), sep="\n")


def _grade(arguments):
    from regbook.grading.batch import grade_folder

    book = _gradebook(arguments)
    results, complete = grade_folder(
        arguments.submissions, arguments.out, seed=arguments.seed, jobs=arguments.jobs,
        trust=arguments.trust, shard=arguments.shard, dask=arguments.dask,
        only=arguments.only,
    )  # fmt: skip
    status = _conclude(results, arguments.out)
    if not complete:
        print("Interrupted. Run the same command again to grade the rest.")
        return 1
    _fill(book, results, arguments.out)
    return status


def _merge(arguments):
    from regbook.grading.report import merge

    book = _gradebook(arguments)
    results = merge(arguments.reports, arguments.out)
    status = _conclude(results, arguments.out)
    _fill(book, results, arguments.out)
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    from regbook.grading.adjustments import AdjustmentError
    from regbook.grading.intake import UsageError
    from regbook.grading.isolation import SandboxError
    from regbook.grading.report import ReportError

    options = _parser().parse_args(arguments)
    try:
        return {"check": _check, "grade": _grade, "merge": _merge}[options.command](options)
    except (UsageError, ReportError, SandboxError, AdjustmentError) as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename or 'A file'}: {error.strerror}. Nothing that was stored is lost.")
        return 1


if __name__ == "__main__":
    sys.exit(main())
