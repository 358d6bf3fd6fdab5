"""One submission, graded: its cells run in the sandbox, the checks ask it from here."""

import contextlib
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np

from regbook.exercise import Answer, AnswerError, NotAttempted, Stopped, load_chapters, plain
from regbook.grading import wire
from regbook.grading.alike import fingerprints
from regbook.grading.isolation import SandboxError
from regbook.grading.results import Marks, Result
from regbook.grading.sandbox import OverLimit, Sandbox
from regbook.grading.submission import Unreadable, parse

# Of computing, and of sleeping: what a busy machine adds does not count.
OPEN_SECONDS = 60
CELL_SECONDS = 10
CALL_SECONDS = 5
SUBMISSION_SECONDS = 300
VERSIONS = 20  # of one function that are looked at
TEXT_LIMIT = 500  # characters of a message from the child
T = TypeVar("T")


class _Run:
    """A submission in its child, and in a fresh one whenever that stopped.

    problems: what went wrong, by the number of the code cell. Of a cell that stopped its child the
    next one runs the definitions alone, and a further one nothing. delayed: whether the clock
    stopped it although it is not alone, so that all of it has to be repeated. spent: the seconds
    of computing so far, without those of the child that is there.
    """

    def __init__(self, sandbox, submission, names, *, alone=True):
        self.sandbox, self.submission, self.names = sandbox, submission, names
        self.alone = alone
        self.problems, self.stopping = {}, Counter()
        self.delayed = False
        self.spent = 0.0
        self._opened, self._child = contextlib.ExitStack(), None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._close()

    def _close(self):
        if self._child:
            self.spent += self._child.spent
        self._child = None
        self._opened.close()

    def ask(self, message: wire.Request, seconds: float) -> wire.Reply:
        """Return the reply of the child, which has run all cells. Raises Stopped."""
        while self._child is None:
            self._open()
        try:
            return self._request(message, seconds)
        except Stopped:
            self._close()
            raise

    def _request(self, message, seconds, **options):
        try:
            return self._child.request(message, min(seconds, self._left()), **options)
        except OverLimit as error:
            self.delayed = error.slept and not self.alone
            raise

    def _left(self):
        left = SUBMISSION_SECONDS - self.spent - (self._child.spent if self._child else 0)
        if left <= 0 or self.delayed:
            raise Stopped(f"the whole notebook took more than {SUBMISSION_SECONDS} s")
        return left

    def _open(self):
        """Start a child and run the cells; without a child afterwards, one of them stopped it."""
        self._left()
        self._child = self._opened.enter_context(self.sandbox.child())
        number = 0
        try:
            files = {n: np.frombuffer(d, np.uint8) for n, d in self.submission.files.items()}
            self._request({"do": "open", "names": self.names, "files": files}, OPEN_SECONDS)
            for number, source in enumerate(self.submission.cells, start=1):
                self._cell(number, source)
        except Stopped as error:
            self._close()
            self._left()
            if number == 0:
                raise SandboxError(f"a fresh process did not answer: {error}") from error
            self.stopping[number] += 1
            self.problems[number] = str(error)

    def _cell(self, number, source):
        """Run a cell, or what is to be run of it. Raises Stopped when the child has to go."""
        if self.stopping[number] > 1:
            return
        request = {"do": "cell", "number": number, "source": source,
                   "definitions": self.stopping[number] == 1}  # fmt: skip
        try:
            error = self._request(request, CELL_SECONDS, interrupt=True).get("error")
        except OverLimit as limit:
            if not limit.alive:
                raise
            error = limit
        if error:
            self.problems[number] = _text(error) + self._newer(error)

    def _newer(self, error):
        """Return what to add to an error of syntax that a newer Python would not raise."""
        written = tuple(map(int, re.findall(r"\d+", self.submission.python)[:2]))
        if not str(error).startswith("SyntaxError") or written <= sys.version_info[:2]:
            return ""
        theirs, ours = (".".join(map(str, version)) for version in (written, sys.version_info[:2]))
        return f" (it was written with Python {theirs}, and the grader runs Python {ours})"


class _Remote(Answer):
    """The learner's function as the checks see it, called in the child."""

    def __init__(self, run, name, version):
        self._run, self._name, self._version = run, name, version
        self.watched, self.changed = True, set()

    def _replied(self, message: wire.Request) -> wire.Reply:
        """Return the reply, which has a value. Raises NotAttempted and AnswerError."""
        reply = self._run.ask(message, CALL_SECONDS)
        if reply.get("stub") is True:
            raise NotAttempted
        if "value" not in reply:
            raise AnswerError(_text(reply.get("error")))
        return reply

    def _ask(self, message: wire.Request) -> Any:
        return self._replied(message)["value"]

    def __call__(self, *arguments):
        return plain(self._called(arguments, model=False))

    def model(self, *arguments):
        return _RemoteModel(self._ask, self._called(arguments, model=True))

    def _called(self, arguments, model: bool) -> Any:
        request: wire.Request = {"do": "call", "name": self._name, "version": self._version,
                                 "arguments": list(arguments), "model": model}  # fmt: skip
        reply = self._replied(request)
        changed = reply.get("changed")
        if isinstance(changed, list):
            here = range(len(arguments))
            self.changed |= {item for item in changed if type(item) is int and item in here}
        return reply["value"]


class _RemoteModel:
    """A `regbook.exercise.ModelHandle` in the child."""

    def __init__(self, ask, number):
        self._ask, self._number = ask, number

    def _call(self, name: str, *arguments) -> Any:
        return self._ask({"do": "method", "model": self._number, "name": name,
                          "arguments": list(arguments)})  # fmt: skip

    def weights(self):
        return [plain(array) for array in _sequence(self._call("weights"))]

    def set_weights(self, arrays):
        self._call("set_weights", arrays)

    def predict(self, x, training=False):
        return plain(self._call("predict", x, training))

    def train_step(self, x, y):
        self._call("train_step", x, y)


def _text(message):
    """Return a message as text that can be printed, and that is the same in every run."""
    text = re.sub(" at 0x[0-9a-f]+", "", str(message))[:TEXT_LIMIT]
    return "".join(c if c.isprintable() else " " for c in text)


def _sequence(value):
    if not isinstance(value, list):
        raise AnswerError("the model's answer is not a list")
    return value


def _count(value):
    return min(value, VERSIONS) if type(value) is int else 0


class Delayed(Exception):
    """The clock stopped a submission while something ran beside it: grade it again, alone."""


def graded_in_time(grading: Callable[..., T], *arguments: Any) -> T:
    """Call `grade` or `graded`; once more, as if alone, when the clock stopped the submission."""
    try:
        return grading(*arguments, alone=False)
    except Delayed:
        return grading(*arguments, alone=True)


def graded(
    data: bytes, sandbox: Sandbox, seed: int, stopped: threading.Event | None = None, *, alone: bool
) -> tuple[Result, bool]:
    """Grade the bytes of a submission; return the result and whether it may be stored.

    A sandbox in which anything fails is replaced, once. A failure of ours is a status, and not
    stored. stopped: once it is set, failures raise. Raises Delayed unless `alone`: see `grade`.
    """
    for _ in range(2):
        try:
            return grade(data, sandbox, seed, alone=alone), True
        except Delayed:
            raise
        except Exception as error:
            if stopped is not None and stopped.is_set():
                raise
            sandbox.stop()  # whatever it is must not meet the next submission
            status = _text(f"could not be graded ({type(error).__name__}: {error}): try again")
            if not isinstance(error, SandboxError):
                break
    return {"status": status}, False


def grade(content: bytes, sandbox: Sandbox, seed: int, *, alone: bool = True) -> Result:
    """Grade the bytes of one notebook.

    sandbox: may be unstarted. seed: draws the inputs of the checks. alone: whether nothing of the
    grader's runs beside it; if not, a stop by the clock costs no points but raises Delayed.
    Raises SandboxError when the sandbox fails.
    """
    chapters = load_chapters()
    try:
        submission = parse(content, chapters)
    except Unreadable as error:
        return {"status": _text(error)}
    asked = [chapters[slug] for slug in submission.chapters]
    names = [name for chapter in asked for name in chapter.exercises]
    with _Run(sandbox, submission, names, alone=alone) as run:
        marks = [_marks(run, chapter, seed) for chapter in asked]
        if run.delayed:
            raise Delayed
        problems = {str(n): run.problems[n] for n in sorted(run.problems)}
    tried = {report["exercise"] for each in marks for report in each["exercises"] if report["rows"]}
    number = len(problems)
    return {
        "status": "graded" + (f"; {number} code cell{'s'[: number > 1]} failed" if number else ""),
        "chapters": marks,
        "problems": problems,
        "fingerprints": {
            name: digest
            for name, digest in fingerprints(submission.cells, names).items()
            if name in tried
        },
        "seconds": run.spent,
    }


def _marks(run, chapter, seed) -> Marks:
    reports = [_report(run, chapter, name, seed) for name in chapter.exercises]
    return {
        "chapter": chapter.slug,
        "points": sum(report.points for report in reports),
        "max_points": sum(report.max_points for report in reports),
        "exercises": [asdict(report) for report in reports],
    }


def _report(run, chapter, name, seed):
    """Return the report on the last definition of a function that is more than the stub."""
    report = chapter.exercises[name].not_attempted()
    try:
        versions = run.ask({"do": "versions"}, CALL_SECONDS).get("versions")
    except Stopped:  # out of time, as the report on a call will say
        versions = {name: 1}
    count = _count(versions.get(name)) if isinstance(versions, dict) else 0
    for version in reversed(range(count)):
        report = chapter.report(_Remote(run, name, version), exercise=name, seed=seed)
        if report.rows:
            break
    return report
