"""One submission, graded: its cells run in the sandbox, the checks ask it from here."""

import re
import time
from dataclasses import asdict

from regbook.exercise import Answer, AnswerError, NotAttempted, Stopped, load_chapters, plain
from regbook.grading.sandbox import SandboxError
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
        self._context = self._child = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._close()

    def _close(self):
        context, self._context, self._child = self._context, None, None
        if context:
            context.__exit__(None, None, None)

    def ask(self, message, seconds):
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
        self._context = self.sandbox.child()
        self._child = self._context.__enter__()
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
        self._run = run
        self._request = {"do": "call", "name": name, "version": version}

    def _ask(self, **message):
        reply = self._run.ask(message, CALL_SECONDS)
        if reply.get("stub") is True:
            raise NotAttempted
        if "value" not in reply:
            raise AnswerError(_text(reply.get("error")))
        return reply["value"]

    def __call__(self, *arguments):
        value = self._ask(**self._request, arguments=list(arguments), model=False)
        return plain(value)

    def model(self, *arguments):
        number = self._ask(**self._request, arguments=list(arguments), model=True)
        return _RemoteModel(self, number)


class _RemoteModel:
    """A `regbook.model_handle.ModelHandle` in the child."""

    def __init__(self, answer, number):
        self._answer, self._number = answer, number

    def _ask(self, name, *arguments):
        message = {"do": "method", "model": self._number, "name": name}
        return self._answer._ask(**message, arguments=list(arguments))

    def weights(self):
        return [plain(array) for array in _sequence(self._ask("weights"))]

    def set_weights(self, arrays):
        self._ask("set_weights", arrays)

    def predict(self, x, training=False):
        return plain(self._ask("predict", x, training))

    def train_step(self, x, y):
        self._ask("train_step", x, y)

    def configuration(self):
        return [part for part in _sequence(self._ask("configuration")) if isinstance(part, dict)]


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


def grade(content, sandbox, seed):
    """Grade the bytes of one notebook; return the result, a dict that JSON can hold.

    sandbox: a started or unstarted `Sandbox`. seed: draws the inputs of the checks. The result
    has `status`, and for a readable notebook `chapter`, `points`, `max_points`, `problems` (what
    went wrong, by code cell) and `exercises` (reports, see `Report.from_dict`).
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
