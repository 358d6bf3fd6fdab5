"""One submission, graded: its cells run in the sandbox, the checks ask it from here."""

import contextlib
import re
import threading
import time
from dataclasses import asdict
from typing import Any

from regbook.exercise import Answer, AnswerError, NotAttempted, Stopped, load_chapters, plain
from regbook.grading import wire
from regbook.grading.isolation import SandboxError
from regbook.grading.report import Result
from regbook.grading.sandbox import Sandbox
from regbook.grading.submission import Unreadable, parse

CELL_SECONDS = 10
CALL_SECONDS = 5
SUBMISSION_SECONDS = 300
VERSIONS = 20  # of one function that are looked at
TEXT_LIMIT = 500  # characters of a message from the child


class _Run:
    """A submission in its child, and in a fresh one whenever that stopped.

    problems: what went wrong, by the number of the code cell. A cell that stopped its child is
    left out of the next one.
    """

    def __init__(self, sandbox, cells, names):
        self.sandbox, self.cells, self.names = sandbox, cells, names
        self.problems, self.stopping = {}, set()
        self.deadline = time.monotonic() + SUBMISSION_SECONDS
        self._opened, self._child = contextlib.ExitStack(), None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._close()

    def _close(self):
        self._child = None
        self._opened.close()

    def ask(self, message: wire.Request, seconds: float) -> wire.Reply:
        """Return the reply of the child, which has run all cells. Raises Stopped."""
        while self._child is None:
            self._open()
        try:
            return self._child.request(message, min(seconds, self._left()))
        except Stopped:
            self._close()
            raise

    def _left(self):
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Stopped(f"the whole notebook took more than {SUBMISSION_SECONDS} s")
        return left

    def _open(self):
        """Start a child and run the cells; without a child afterwards, one of them stopped it."""
        self._left()
        self._child = self._opened.enter_context(self.sandbox.child())
        number = 0
        try:
            self._child.request({"do": "open", "names": self.names}, CELL_SECONDS)
            for number, source in enumerate(self.cells, start=1):
                if number in self.stopping:
                    continue
                request = {"do": "cell", "number": number, "source": source}
                error = self._child.request(request, min(CELL_SECONDS, self._left())).get("error")
                if error:
                    self.problems[number] = _text(error)
        except Stopped as error:
            self._close()
            self._left()
            if number == 0:
                raise SandboxError(f"a fresh process did not answer: {error}") from error
            self.stopping.add(number)
            self.problems[number] = str(error)


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


def graded(
    data: bytes, sandbox: Sandbox, seed: int, stopped: threading.Event | None = None
) -> tuple[Result, bool]:
    """Grade the bytes of a submission; return the result and whether it may be stored.

    A sandbox that fails is replaced once. A failure of ours is a status, and not stored.
    stopped: once it is set, failures raise.
    """
    tries = 0
    while True:
        tries += 1
        try:
            return grade(data, sandbox, seed), True
        except Exception as error:
            if stopped is not None and stopped.is_set():
                raise
            if tries == 2 or not isinstance(error, SandboxError):
                status = f"could not be graded ({type(error).__name__}: {error}): try again"
                return {"status": status}, False


def grade(content: bytes, sandbox: Sandbox, seed: int) -> Result:
    """Grade the bytes of one notebook.

    sandbox: may be unstarted. seed: draws the inputs of the checks.
    Raises SandboxError when the sandbox fails.
    """
    chapters = load_chapters()
    try:
        submission = parse(content, chapters)
    except Unreadable as error:
        return {"status": _text(error)}
    chapter = chapters[submission.chapter]
    with _Run(sandbox, submission.cells, list(chapter.exercises)) as run:
        reports = [_report(run, chapter, name, seed) for name in chapter.exercises]
        problems = {str(n): run.problems[n] for n in sorted(run.problems)}
    number = len(problems)
    return {
        "status": "graded" + (f"; {number} code cell{'s'[: number > 1]} failed" if number else ""),
        "chapter": chapter.slug,
        "points": sum(report.points for report in reports),
        "max_points": sum(report.max_points for report in reports),
        "problems": problems,
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
