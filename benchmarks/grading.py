"""How fast, how large and how right is grading? This grader, nbgrader and otter-grader compared.

    python benchmarks/grading.py [--submissions 64] [--tools regbook,nbgrader,otter] [--out FILE]
    python benchmarks/grading.py --trouble   # only how right: the times that are stored stay

All three grade the same submissions of `grading_submissions.py` in the same run: three questions,
in NumPy, PyTorch and Keras. Each tool does what its manual says, at its best on two cores, after it
has graded two of them without the clock, so that no tool pays for reading its files from the disk:

- regbook: `regbook grade` with two warm processes. It runs first and again last; the slower run
  counts.
- nbgrader (https://nbgrader.readthedocs.io): two courses with a gradebook each, half of the
  submissions in each, and `nbgrader autograde` on both at once. `nbgrader generate_assignment`,
  once per course, and `nbgrader export` are not timed.
- otter-grader (https://otter-grader.readthedocs.io): two processes that call
  `otter.api.grade_submission`, which is `otter run` without starting Python anew for each
  submission (`otter grade` needs Docker). `otter generate` is not timed.

Each tool gets submissions in its own form: cells with `check(...)`, locked tests, `grader.check`.
A question is worth one point, all or nothing. The submissions of `grading_trouble.py` are graded in
a run of their own, without a look at the clock: how many points does each tool give beyond those
deserved, how many does it withhold, and of how many submissions does it say nothing? nbgrader and
otter are installed, once, into `_build/benchmark/`; NumPy and the frameworks come from the
environment that runs this.
Exit status 1: a limit in `LIMITS` does not hold.
"""

import argparse
import ast
import csv
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from grading_submissions import NAME, QUESTIONS, handed_in, otter_test, submissions, template
from grading_trouble import TROUBLE
from mutation import graded_functions

from regbook.grading.isolation import LEVELS, level_for
from regbook.stored import processor

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ROOT / "_build" / "benchmark"
TOOLS = ("regbook", "nbgrader", "otter")
PINNED = {"nbgrader": "nbgrader==0.9.6", "otter": "otter-grader==7.0.0"}
PROCESSES = 2
SEED = 0  # of this grader's checks
CELL_SECONDS = 180  # nbgrader then goes on with the next cell; a loop of two minutes ends by itself
NOTEBOOK_SECONDS = 300  # after which otter, which has no limit outside Docker, is interrupted
SAMPLE_SECONDS = 0.2
LIMITS = {
    "seconds per submission once warm": "at most 0.5",
    "times the throughput of the faster other tool": "at least 25",
    "milliseconds of the median exercise on a NumPy answer": "at most 5",
    "seconds of the slowest exercise, which trains": "at most 3",
}

# The checks of the questions belong to no chapter of the book, so they are added here.
REGBOOK = """
import sys
import regbook.checks
regbook.checks.__path__.append(sys.argv.pop(1))
from regbook.cli import main
sys.exit(main(sys.argv[1:]))
"""
OTTER = """
import json, signal, sys
from pathlib import Path
from otter.api import grade_submission
def stop(*_):
    raise TimeoutError("the submission takes too long")
signal.signal(signal.SIGALRM, stop)
seconds, out, *paths = sys.argv[1:]
for path in map(Path, paths):
    signal.alarm(int(seconds))
    try:
        total = grade_submission(str(path), "autograder.zip", quiet=True).total
    except Exception as error:
        total = repr(error)
    signal.alarm(0)
    Path(out, f"{path.name}.json").write_text(json.dumps(total))
"""


@dataclass
class Run:
    """One timed run of a tool: the times of its results, its memory (bytes), its scores.

    scores: the points of each student. finished: seconds from the start, one for each result.
    told: the students without points of whom the tool says why.
    """

    seconds: float
    pss: int
    rss: int
    readable: bool
    finished: list
    scores: dict = field(default_factory=dict)
    told: set = field(default_factory=set)


class Memory(threading.Thread):
    """Watches the memory of all processes below this one, by PSS and by RSS.

    PSS divides each page by the number of processes that share it, so a forked process is not
    counted twice; not every system lets it be read.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.pss = self.rss = 0
        self.readable = True
        self._end = threading.Event()

    def run(self):
        while not self._end.wait(SAMPLE_SECONDS):
            pss = rss = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    rss += process.memory_info().rss
                    pss += process.memory_full_info().pss
                except psutil.AccessDenied:
                    self.readable = False
                except (psutil.NoSuchProcess, ProcessLookupError):
                    continue
            self.pss, self.rss = max(self.pss, pss), max(self.rss, rss)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self.join()


def environment(home, prefix=Path(sys.prefix)):
    """Return the variables of a tool's processes: its own kernel, nothing of this user's Jupyter.

    One thread a pool, as in this grader's sandbox: with two processes on two cores otter takes a
    tenth less time than with the defaults, and nbgrader no more.
    """
    pools = ("OMP", "OPENBLAS", "MKL", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
    dropped = ("PYTHON", "JUPYTER", "IPYTHON", "VIRTUAL_ENV")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    return kept | {
        "PATH": f"{prefix / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home), "TMPDIR": str(home), "JUPYTER_PATH": str(prefix / "share" / "jupyter"),
        "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": "",
        **{name + ("_THREADS" if "TF" in name else "_NUM_THREADS"): "1" for name in pools},
    }  # fmt: skip


def call(command, **options):
    """Run a command that must succeed; return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        command = " ".join(map(str, command))
        sys.exit(f"{command} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def prepare(tool):
    """Install a tool into an environment of its own, unless it is there; return its folder."""
    prefix = ENVIRONMENTS / tool
    python, (package, version) = prefix / "bin" / "python", PINNED[tool].split("==")
    marker = prefix / "installed"
    wanted = f"{package}=={version} {sys.version}"
    if marker.exists() and marker.read_text() == wanted:
        return prefix
    say(f"installing {package} {version}")
    call([sys.executable, "-m", "venv", "--clear", prefix])
    (packages,) = prefix.glob("lib/python*/site-packages")
    # Behind its own packages, those of this environment: the frameworks are installed once.
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    call([*pip, f"{package}=={version}", "ipykernel", "pandas"])
    call([python, "-m", "ipykernel", "install", "--sys-prefix"])
    marker.write_text(wanted)
    return prefix


def rows(path):
    """Return the rows of a CSV file, as dicts."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def timed(commands, folder, results, variables):
    """Run commands at once; return a Run without scores. Their output goes to files in `folder`.

    results: the glob pattern, below `folder`, of the files that hold one result each.
    """
    with Memory() as memory:
        start = time.time()
        logs = [open(folder / f"log-{i}.txt", "w") for i in range(len(commands))]  # noqa: SIM115
        running = [
            subprocess.Popen(c, cwd=cwd, env=variables, stdin=subprocess.DEVNULL,
                             stdout=log, stderr=subprocess.STDOUT)
            for (c, cwd), log in zip(commands, logs, strict=True)
        ]  # fmt: skip
        for process in running:
            process.wait()
        seconds = time.time() - start
    for log in logs:
        log.close()
    finished = sorted(path.stat().st_mtime - start for path in folder.glob(results))
    if not finished:
        sys.exit("no result:\n" + "\n".join(Path(log.name).read_text()[-4000:] for log in logs))
    return Run(seconds, memory.pss, memory.rss, memory.readable, finished)


def learner(name):
    """Return who handed in a file of this name."""
    return name.partition(".ipynb")[0]


def run_regbook(made, folder):
    """Grade with this grader."""
    (folder / "submissions").mkdir()
    for submission in made:
        path = folder / "submissions" / f"{submission.student}{submission.ending}"
        path.write_text(handed_in(template("regbook"), submission), encoding="utf-8")
    command = [
        sys.executable, "-c", REGBOOK, ROOT / "benchmarks" / "grading_checks",
        "grade", folder / "submissions", "--out", folder / "report",
        "--seed", str(SEED), "--jobs", str(PROCESSES), "--trust",
    ]  # fmt: skip
    run = timed([(command, ROOT)], folder, "report/results/*.json", environment(folder))
    for row in rows(folder / "report" / "scores.csv"):  # one for each question
        full = float(row["points"]) == float(row["max_points"])
        name = learner(row["submission"])
        run.scores[name] = run.scores.get(name, 0) + full
    statuses = {learner(r["submission"]): r["status"] for r in rows(folder / "report/summary.csv")}
    run.told = {name for name, status in statuses.items() if status} - set(run.scores)
    return run


def run_nbgrader(made, folder):
    """Grade with nbgrader: two courses side by side."""
    prefix = prepare("nbgrader")
    variables = environment(folder, prefix)
    nbgrader = prefix / "bin" / "nbgrader"
    courses = []
    for part in range(PROCESSES):
        course = folder / f"course-{part}"
        source = course / "source" / "week" / f"{NAME}.ipynb"
        source.parent.mkdir(parents=True)
        source.write_text(json.dumps(template("nbgrader")), encoding="utf-8")
        (course / "nbgrader_config.py").write_text(
            "c = get_config()\nc.CourseDirectory.course_id = 'course'\n"
            f"c.Execute.timeout = {CELL_SECONDS}\n"
        )
        call([nbgrader, "generate_assignment", "week"], cwd=course, env=variables)
        released = json.loads((course / "release" / "week" / f"{NAME}.ipynb").read_text("utf-8"))
        for submission in made[part::PROCESSES]:
            path = course / "submitted" / submission.student / "week" / (NAME + submission.ending)
            path.parent.mkdir(parents=True)
            path.write_text(handed_in(released, submission), encoding="utf-8")
        courses.append(course)
    commands = [([nbgrader, "autograde", "week"], course) for course in courses]
    run = timed(commands, folder, f"course-*/autograded/*/week/{NAME}.ipynb", variables)
    for course in courses:
        call([nbgrader, "export", "--to", "grades.csv"], cwd=course, env=variables)
        # The table has a zero for those, too, that could not be graded.
        graded = {path.parts[-3] for path in course.glob(f"autograded/*/week/{NAME}.ipynb")}
        points = {r["student_id"]: float(r["score"]) for r in rows(course / "grades.csv")}
        run.scores |= {name: score for name, score in points.items() if name in graded}
    lines = "".join(log.read_text() for log in folder.glob("log-*.txt")).splitlines()
    faults = " ".join(line for line in lines if "| ERROR]" in line or "| WARNING]" in line)
    run.told = {s.student for s in made if s.student in faults} - set(run.scores)
    return run


def run_otter(made, folder):
    """Grade with otter-grader: two processes side by side."""
    prefix = prepare("otter")
    variables = environment(folder, prefix)
    for name in ("tests", "submissions", "results"):
        (folder / name).mkdir()
    for name in QUESTIONS:
        (folder / "tests" / f"{name}.py").write_text(otter_test(name), encoding="utf-8")
    call([prefix / "bin" / "otter", "generate", "-t", "tests"], cwd=folder, env=variables)
    paths = []
    for submission in made:
        paths.append(folder / "submissions" / f"{submission.student}{submission.ending}")
        paths[-1].write_text(handed_in(template("otter"), submission), encoding="utf-8")
    python = [prefix / "bin" / "python", "-c", OTTER, str(NOTEBOOK_SECONDS), "results"]
    commands = [([*python, *paths[part::PROCESSES]], folder) for part in range(PROCESSES)]
    run = timed(commands, folder, "results/*.json", variables)
    results = (folder / "results").glob("*.json")
    totals = {learner(path.name): json.loads(path.read_text()) for path in results}
    run.scores = {name: total for name, total in totals.items() if not isinstance(total, str)}
    run.told = set(totals) - set(run.scores)
    return run


def numpy_solutions():
    """Yield (chapter, name, function) of the book's reference solutions in NumPy alone."""
    for chapter, name, source in graded_functions("*"):
        names = {
            part for node in ast.walk(ast.parse(source))
            for part in (getattr(node, "id", ""), getattr(node, "module", ""),
                         *(alias.name for alias in getattr(node, "names", [])
                           if isinstance(alias, ast.alias)))
        }  # fmt: skip
        if names & {"torch", "keras", "tensorflow", "ops", "nn"}:
            continue
        space = {"np": np}
        exec(source, space)
        yield chapter, name, space[name]


def check_times(repeats=31):
    """Return the median milliseconds of `check` on each NumPy solution, slowest first."""
    times = {}
    for chapter, name, function in numpy_solutions():
        taken = []
        for _ in range(repeats):
            start = time.perf_counter()
            report = chapter.report(function, exercise=name)
            taken.append(1000 * (time.perf_counter() - start))
            if report.points != report.max_points:
                sys.exit(f"{name}: the solution does not earn full marks")
        times[f"{chapter.slug}: {name}"] = round(statistics.median(taken), 3)
    return dict(sorted(times.items(), key=lambda item: -item[1]))


def machine():
    """Describe this computer and the versions of what ran."""
    return {
        "cpu": processor(),
        "cores": len(psutil.Process().cpu_affinity()),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
    }


def versions(tools):
    """Return the versions of Python, the frameworks and the tools that ran."""
    packages = ("regbook", "numpy", "torch", "keras", "tensorflow")
    found = {"python": platform.python_version()}
    found |= {name: importlib.metadata.version(name) for name in packages}
    return found | dict(PINNED[tool].split("==") for tool in tools if tool in PINNED)


def summary(run, made, readable):
    """Return the figures of a run."""
    right = {s.student: s.deserved for s in made}
    return {
        "graded": len(run.scores),
        "seconds": round(run.seconds, 2),
        "first_result_seconds": round(run.finished[0], 2),
        "per_minute": round(60 * len(run.scores) / run.seconds, 2),
        "peak_memory_mb": round((run.pss if readable else run.rss) / 1e6),
        "deserved": sum(run.scores.get(student) == score for student, score in right.items()),
    }


def warm(run):
    """Return the seconds that a warm process takes for one submission, while all are at work."""
    rest = len(run.finished) - PROCESSES
    return PROCESSES * (run.finished[-1] - run.finished[PROCESSES - 1]) / rest if rest > 0 else None


def say(text):
    """Print progress at once."""
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", flush=True)


def today():
    """Return the date."""
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"


def table(lines):
    """Return lines of cells as an aligned text table."""
    widths = [max(len(str(line[i])) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(str(cell).rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def grade(tool, made):
    """Let a tool grade submissions in a folder that is deleted afterwards; return the Run."""
    say(f"{tool}: grading {len(made)} submissions")
    folder = Path(tempfile.mkdtemp(prefix="regbook-benchmark-"))
    try:
        return globals()[f"run_{tool}"](made, folder)
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)  # deeper than Python's own goes


def measure(tools, made):
    """Run the tools; return their runs in order, as (tool, Run)."""
    order = [*tools, "regbook"] if "regbook" in tools and len(tools) > 1 else tools
    for tool in set(order) & set(PINNED):
        prepare(tool)
    for tool in tools:
        grade(tool, made[:2])  # reads what it needs into the memory of the system
    runs = []
    for tool in order:
        run = grade(tool, made)
        say(f"{tool}: {run.seconds:.1f} s, the first result after {run.finished[0]:.1f} s")
        for submission in made:
            score = run.scores.get(submission.student)
            if score != submission.deserved:
                say(f"  {submission.student}: {score} instead of {submission.deserved}")
        runs.append((tool, run))
    return runs


def differences(run, made):
    """Return what a tool makes of submissions: points that differ from those deserved, silence.

    scores: of each submission; None where there is none.
    """
    beyond = [run.scores.get(s.student, 0) - s.deserved for s in made]
    return {
        "undeserved": sum(max(difference, 0) for difference in beyond),
        "lost": sum(max(-difference, 0) for difference in beyond),
        "silent": sum(s.student not in {*run.scores, *run.told} for s in made),
        "scores": {s.student: run.scores.get(s.student) for s in made},
    }


def trouble(tools):
    """Let the tools grade the submissions that make trouble; return the figures of each."""
    return {
        "date": today(),
        "deserved": {s.student: s.deserved for s in TROUBLE},
        "tools": {tool: differences(grade(tool, TROUBLE), TROUBLE) for tool in tools},
    }


def judge(figures, times):
    """Return the measured value of each limit and whether it holds.

    times: milliseconds of the exercises.
    """
    seconds, ratio, median, slowest = LIMITS
    middle, longest = statistics.median(times), round(max(times) / 1000, 2)
    found = {
        median: {"value": middle, "holds": middle <= 5},
        slowest: {"value": longest, "holds": longest <= 3},
    }
    own = figures.get("regbook")
    if own and own["seconds_per_submission_warm"] is not None:
        value = own["seconds_per_submission_warm"]
        found[seconds] = {"value": value, "holds": value <= 0.5}
    others = [f["per_minute"] for tool, f in figures.items() if tool != "regbook"]
    if own and others:
        value = round(own["per_minute"] / max(others), 1)
        found[ratio] = {"value": value, "holds": value >= 25}
    return {name: {**found[name], "limit": LIMITS[name]} for name in LIMITS if name in found}


def comparison(tools, made):
    """Measure the times of the tools and of the checks; return all that is stored of them."""
    times = check_times()
    runs = measure(tools, made)
    readable = all(run.readable for _, run in runs)
    figures = {}
    for tool in tools:
        slower = max((run for name, run in runs if name == tool), key=lambda run: run.seconds)
        figures[tool] = summary(slower, made, readable)
        if tool == "regbook":
            value = warm(slower)
            figures[tool]["seconds_per_submission_warm"] = value and round(value, 3)
    limits = judge(figures, times.values())
    return {
        "date": today(),
        "machine": machine(),
        "versions": versions(tools),
        "submissions": len(made),
        "processes": PROCESSES,
        "isolation": LEVELS[level_for(trust=True)],
        "memory_measure": "PSS" if readable else "RSS",
        "tools": figures,
        "regbook_run_seconds": [round(run.seconds, 2) for tool, run in runs if tool == "regbook"],
        "check_milliseconds": times,
        "limits": limits,
    }


def show(result):
    """Print the stored figures as tables."""
    for figures in (result["tools"], result["trouble"]["tools"]):
        head = [key for key in next(iter(figures.values())) if key != "scores"]
        lines = [[tool, *(figure.get(key, "") for key in head)] for tool, figure in figures.items()]
        print(table([["tool", *(key.replace("_", " ") for key in head)], *lines]))
    for name, limit in result["limits"].items():
        fault = "" if limit["holds"] else "  DOES NOT HOLD"
        print(f"{name}: {limit['value']} ({limit['limit']}){fault}")


def main(arguments=None):
    """Measure, print a table, write the results; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=64, help="how many, at most 64")
    parser.add_argument("--tools", default=",".join(TOOLS), help="which, separated by commas")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/grading.json")
    parser.add_argument("--trouble", action="store_true", help="grade those that make trouble only")
    options = parser.parse_args(arguments)
    tools = options.tools.split(",")
    if not set(tools) <= set(TOOLS):
        parser.error(f"--tools takes {', '.join(TOOLS)}")
    result = json.loads(options.out.read_text("utf-8")) if options.trouble else {}
    if not options.trouble:
        result = comparison(tools, submissions(options.submissions))
    result["trouble"] = trouble(tools)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")
    show(result)
    return int(not all(limit["holds"] for limit in result["limits"].values()))


if __name__ == "__main__":
    sys.exit(main())
