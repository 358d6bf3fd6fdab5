"""Instant feedback on an exercise: a table of properties, and a hint aimed at the misconception.

A chapter's checks live in `regbook.checks`. Each is a plain function `(answer, rng)` whose
docstring is the property that the reader sees. It calls `answer(...)` like the learner's own
function, gets plain NumPy arrays back, and returns the `Outcome` that `compare` makes:

    chapter = Chapter("07_l2_weight_decay")

    @chapter.check("l2_penalty", points=1, hint="...", more="...")
    def sums_squares(answer, rng):
        \"\"\"is lam times the sum of the squares\"\"\"
        w, lam = rng.normal(size=(3, 2)), rng.uniform(0.1, 1)
        return compare(answer([w], lam), lam * (w**2).sum(),
                       wrong=[Wrong("norm", lam * np.linalg.norm(w), "You took the root ...")])
"""

import copy
import html
import importlib
import inspect
import pkgutil
import traceback
import zlib
from dataclasses import dataclass, replace

import numpy as np

from regbook.arrays import to_numpy

# Wide enough for float32 answers, far below the effect of any misconception.
RTOL, ATOL = 1e-3, 1e-5
NOT_ATTEMPTED = "not attempted"


class AnswerError(Exception):
    """An answer could not be checked; the message is a sentence for the learner."""


class NotAttempted(Exception):
    """The learner's function is still the empty stub."""


class Stopped(Exception):
    """The learner's function was stopped before it answered; the message says why."""


@dataclass(frozen=True)
class Wrong:
    """What a known misconception would have answered, and the hint that addresses it.

    key: a short name of the misconception. value: what it computes, like `expected`.
    """

    key: str
    value: object
    hint: str


@dataclass(frozen=True)
class Outcome:
    """What one check found."""

    passed: bool
    expected: str
    received: str
    misconception: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Row:
    """One line of a report: a check, its outcome, and the points it gave."""

    check: str
    text: str
    outcome: Outcome
    points: float
    max_points: float
    more: str


class Answer:
    """The learner's function as the checks see it: arrays in, plain NumPy arrays out."""

    def __init__(self, function):
        self._function = function

    def __call__(self, *arguments):
        """Call the learner's function on copies of `arguments`; return arrays or a tuple of them.

        Raises NotAttempted for the stub and AnswerError, with a sentence, for everything that
        keeps the answer from being an array: an exception, a wrong number of parameters, None.
        """
        return plain(self._call(arguments))

    def model(self, *arguments):
        """Call the learner's function, which builds a model; return a `ModelHandle` on it."""
        from regbook.model_handle import ModelHandle

        return ModelHandle(self._call(arguments))

    def _call(self, arguments):
        signature = inspect.signature(self._function)
        try:
            signature.bind(*arguments)
        except TypeError as error:
            raise AnswerError(
                f"Your function is called with {len(arguments)} arguments, but takes {signature}: "
                "keep the parameters of the exercise."
            ) from error
        try:
            result = self._function(*copy.deepcopy(arguments))
        except KeyboardInterrupt:
            raise
        except ModuleNotFoundError as error:
            raise AnswerError(
                f"Your function needs {error.name}: install it with `pip install {error.name}`."
            ) from error
        except BaseException as error:  # SystemExit too
            if type(error) is NotImplementedError and not error.args:  # the stub; torch's has args
                raise NotAttempted from error
            own = [*traceback.extract_tb(error.__traceback__)[1:], None]
            where = f" (at `{own[0].line}`)" if own[0] and own[0].line else ""
            raise AnswerError(
                f"Your function raised {type(error).__name__}: {error}{where}"
            ) from error
        if result is None or result is Ellipsis:
            raise AnswerError("Your function returned nothing: is the `return` missing?")
        return result


def plain(result):
    """Turn a returned value into an array, or a tuple or dict of arrays when it holds several.

    A text stays a text.
    """
    if isinstance(result, str):
        return str(result)  # NumPy's own texts too
    if isinstance(result, tuple):
        return tuple(plain(item) for item in result)
    if isinstance(result, dict):
        return {str(key): plain(item) for key, item in result.items()}
    try:
        return to_numpy(result)
    except TypeError as error:
        if isinstance(result, list):  # arrays of different shapes in a list
            return tuple(plain(item) for item in result)
        raise AnswerError(f"Your function's answer cannot be read: {error}.") from error


def brief(value):
    """Describe a number, a text or an array in one short line, a tuple by its length."""
    if isinstance(value, str):
        return repr(value[:60])
    if isinstance(value, tuple):
        return f"{len(value)} values"
    if isinstance(value, dict):
        items = [f"{key!r}: {brief(item)}" for key, item in list(value.items())[:5]]
        return "; ".join(items)[:500]
    value = np.asarray(value)
    if value.ndim == 0:
        return f"{value.item():.4g}" if value.dtype.kind == "f" else str(value.item())
    numbers = ", ".join(f"{v:.4g}" for v in value.ravel()[:3])
    return f"[{numbers}{', ...' if value.size > 3 else ''}] of shape {value.shape}"


def _matches(received, expected):
    if isinstance(expected, str) or isinstance(received, str):
        return type(received) is type(expected) and received == expected
    if isinstance(expected, dict):
        return (
            isinstance(received, dict)
            and received.keys() == expected.keys()
            and all(_matches(received[key], expected[key]) for key in expected)
        )
    if isinstance(expected, tuple):
        return (
            isinstance(received, tuple)
            and len(received) == len(expected)
            and all(map(_matches, received, expected))
        )
    expected = np.asarray(expected)
    return (
        not isinstance(received, tuple | dict)
        and received.shape == expected.shape
        and np.allclose(received, expected, rtol=RTOL, atol=ATOL)
    )


def _form_fault(received, expected):
    """Say in a sentence how the form of `received` (not its values) is wrong, or return ''."""
    if isinstance(expected, str) or isinstance(received, str):
        kinds = [isinstance(value, str) for value in (expected, received)]
        return "" if all(kinds) else f"Return {'a text' if kinds[0] else 'numbers, not a text'}."
    if isinstance(expected, dict) or isinstance(received, dict):
        names = ", ".join(expected) if isinstance(expected, dict) else ""
        if not names:
            return "Return the values themselves; yours are in a dict."
        if not isinstance(received, dict) or received.keys() != expected.keys():
            return f"Return a dict with the keys {names}."
        faults = ((key, _form_fault(received[key], expected[key])) for key in expected)
        return next((f"{key}: {fault}" for key, fault in faults if fault), "")
    if isinstance(expected, tuple):
        if not isinstance(received, tuple) or len(received) != len(expected):
            got = len(received) if isinstance(received, tuple) else 1
            return (
                f"Return {len(expected)} values in the order of the exercise; yours returns {got}."
            )
        faults = map(_form_fault, received, expected)
        return next((f"Value {i}: {f}" for i, f in enumerate(faults, start=1) if f), "")
    if isinstance(received, tuple):
        return f"Return one value; yours returns {len(received)}."
    expected = np.asarray(expected)
    if received.shape != expected.shape:
        return f"The shape must be {expected.shape}; yours is {received.shape}."
    if not np.isfinite(received).all():
        return "The answer holds NaN or infinity: look for a division by zero or an overflow."
    return ""


def _unstacked(received, expected):
    """Split a stacked array where a tuple is expected: equal shapes in a list are as good."""
    stacked = isinstance(received, np.ndarray) and received.ndim
    if isinstance(expected, tuple) and stacked and len(received) == len(expected):
        return tuple(received)
    return received


def outputs(received, *shapes):
    """Return an answer as a tuple of arrays of these shapes, for a check that computes with it.

    Raises AnswerError, with a sentence, for another number of values, another shape, or NaN.
    """
    expected = tuple(np.zeros(shape) for shape in shapes)
    if len(shapes) == 1:
        received = received if isinstance(received, tuple) else (received,)
    received = _unstacked(received, expected)
    fault = _form_fault(received, expected)
    if fault:
        raise AnswerError(fault)
    return received


def fresh_generator(rng):
    """Return a new generator for one call of an answer, which gets a copy of what it is given."""
    return np.random.default_rng(rng.integers(2**32))


def compare(received, expected, wrong=()):
    """Compare an answer with what is expected; return an Outcome.

    received: from `answer(...)`. expected: a number, a text, an array, or a tuple of them.
    wrong: `Wrong`s; the first whose value the answer equals names the misconception.
    Values may differ by 1e-3 of their size plus 1e-5, so float32 answers pass.
    """
    received = _unstacked(received, expected)
    expected_text, received_text = brief(expected), brief(received)
    if _matches(received, expected):
        return Outcome(True, expected_text, received_text)
    if isinstance(received, tuple) and expected_text == received_text:
        i = list(map(_matches, received, expected)).index(False)  # the first that differs
        expected_text = f"value {i + 1}: {brief(expected[i])}"
        received_text = f"value {i + 1}: {brief(received[i])}"
    for w in wrong:
        if _matches(received, w.value) and not _matches(plain(w.value), expected):
            return Outcome(False, expected_text, received_text, w.key, w.hint)
    fault = _form_fault(received, expected)
    return Outcome(False, expected_text, received_text, "form" if fault else "", fault)


class Chapter:
    """The exercises of one chapter: the names of the graded functions and the checks of each."""

    def __init__(self, slug):
        self.slug = slug
        self.checks = {}

    def check(self, exercise, *, points=1, hint="", more=""):
        """Register a check of `exercise`, the name of the function that the learner writes.

        points: what it is worth. hint: shown when it fails and no known misconception matches.
        more: the stronger hint that `check(function, hint=2)` adds.
        """

        def register(function):
            if not (function.__doc__ and hint and more):
                raise ValueError(f"{function.__name__}: a check needs a docstring, hint and more")
            self.checks.setdefault(exercise, []).append((function, points, hint, more))
            return function

        return register

    def report(self, function, *, exercise=None, seed=0):
        """Run every check of an exercise on the learner's function; return a Report.

        function: the function itself, or an `Answer` that calls it elsewhere. exercise: its name
        (default: the function's). seed: draws the inputs; another seed draws others. Nothing that
        the function does raises here, an interrupt included.
        """
        name = exercise or function.__name__
        answer = function if isinstance(function, Answer) else Answer(function)
        rows, stopped = [], ""
        for check, points, hint, more in self.checks[name]:
            rng = np.random.default_rng([seed, zlib.crc32(check.__name__.encode())])
            if stopped:
                outcome = Outcome(False, "", "not run", hint=stopped)
            else:
                try:
                    outcome = check(answer, rng)
                    outcome = replace(outcome, passed=bool(outcome.passed))  # NumPy's own too
                except NotAttempted:
                    return self.not_attempted(name)
                except AnswerError as error:
                    outcome = Outcome(False, "an answer", "none", "error", str(error))
                except (KeyboardInterrupt, Stopped) as error:
                    stopped = "You stopped it before it finished: does a loop never end?"
                    if isinstance(error, Stopped):
                        stopped = f"Your function was stopped: {error}"
                    outcome = Outcome(False, "an answer", "none", "endless", stopped)
                except (Exception, SystemExit) as error:  # raised by what it returned
                    sentence = f"What your function returned raised {type(error).__name__}: {error}"
                    outcome = Outcome(False, "an answer", "none", "error", sentence)
            if not outcome.passed and not outcome.hint:
                key = outcome.misconception or check.__name__
                outcome = replace(outcome, misconception=key, hint=hint)
            rows.append(
                Row(
                    check.__name__,
                    inspect.getdoc(check),
                    outcome,
                    points if outcome.passed else 0,
                    points,
                    more,
                )
            )
        return replace(self.not_attempted(name), rows=rows)

    def not_attempted(self, exercise):
        """Return the report on an exercise without an answer."""
        return Report(exercise, [], sum(points for _, points, _, _ in self.checks[exercise]))


@dataclass(frozen=True)
class Report:
    """The checks of one exercise; Jupyter shows it as a table. No rows: not attempted."""

    exercise: str
    rows: list
    max_points: float
    hint: int = 1

    @classmethod
    def from_dict(cls, stored):
        """Return the report that `dataclasses.asdict` turned into `stored`."""
        rows = [Row(**{**row, "outcome": Outcome(**row["outcome"])}) for row in stored["rows"]]
        return cls(**{**stored, "rows": rows})

    @property
    def points(self):
        """Points earned."""
        return sum(row.points for row in self.rows)

    @property
    def status(self):
        """The result in one line."""
        if not self.rows:
            return f"{NOT_ATTEMPTED} (0 of {self.max_points} points)"
        full = ", full marks" if self.points == self.max_points else ""
        return f"{self.points} of {self.max_points} points{full}"

    @property
    def hints(self):
        """The hints to show, each once: of named misconceptions if there are any, else of all."""
        failed = [row for row in self.rows if not row.outcome.passed]
        named = [row for row in failed if row.outcome.misconception != row.check]
        found = []
        for row in named or failed:
            found += [row.outcome.hint, row.more] if self.hint > 1 else [row.outcome.hint]
        return list(dict.fromkeys(found))

    def __repr__(self):
        lines = [f"{self.exercise}: {self.status}"]
        for row in self.rows:
            o = row.outcome
            lines.append(
                f"  {'pass' if o.passed else 'FAIL'}  {row.text}: "
                f"expected {o.expected}, received {o.received}"
            )
        lines += [f"  Hint: {h}" for h in self.hints]
        if self.hints and self.hint < 2:
            lines.append(f"  For a stronger hint: check({self.exercise}, hint=2)")
        return "\n".join(lines)

    def _repr_html_(self):
        def escape(*cells, tag="td"):
            start = f'<{tag} style="text-align: left">'  # JupyterLab would align to the right
            return "".join(f"{start}{html.escape(str(c))}</{tag}>" for c in cells)

        parts = [
            '<div class="regbook-report">',
            f"<p><strong>{html.escape(self.exercise)}</strong>: {self.status}</p>",
        ]
        if self.rows:
            head = escape("", "property", "expected", "received", "points", tag="th")
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>")
            for row in self.rows:
                o = row.outcome
                mark = "pass" if o.passed else "fail"
                cells = escape(
                    "\N{CHECK MARK} pass" if o.passed else "\N{BALLOT X} fail",
                    row.text,
                    o.expected,
                    o.received,
                    f"{row.points} of {row.max_points}",
                )
                parts.append(f'<tr class="{mark}">{cells}</tr>')
            parts.append("</tbody></table>")
        parts += [f"<p><strong>Hint.</strong> {html.escape(h)}</p>" for h in self.hints]
        if self.hints and self.hint < 2:
            parts.append(
                f"<p>For a stronger hint: <code>check({html.escape(self.exercise)}, "
                "hint=2)</code></p>"
            )
        parts.append("</div>")
        return "\n".join(parts)


class Message:
    """A sentence that Jupyter shows without quotation marks."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


def load_chapters():
    """Return the `Chapter` of every module of `regbook.checks`, by slug."""
    modules = pkgutil.iter_modules(importlib.import_module("regbook.checks").__path__)
    found = (importlib.import_module(f"regbook.checks.{m.name}").chapter for m in modules)
    return {chapter.slug: chapter for chapter in sorted(found, key=lambda chapter: chapter.slug)}


def load_chapter(slug):
    """Return the `Chapter` of a slug such as "07_l2_weight_decay". Raises KeyError if unknown."""
    try:
        chapter = importlib.import_module("regbook.checks." + slug.partition("_")[2]).chapter
    except ModuleNotFoundError as error:
        raise KeyError(f"no chapter {slug!r} has exercises") from error
    if chapter.slug != slug:
        raise KeyError(f"no chapter {slug!r} has exercises; did you mean {chapter.slug!r}?")
    return chapter


def exercises(slug):
    """Open a chapter's exercises; return its two functions `check` and `progress`.

    slug: the chapter's folder name. `check(function)` returns the report on one answer,
    `check(function, hint=2)` adds stronger hints, and `progress()` sums up what was checked.
    """
    chapter = load_chapter(slug)
    latest = {name: chapter.not_attempted(name) for name in chapter.checks}

    def check(function, hint=1):
        name = getattr(function, "__name__", None)
        if not callable(function) or name is None:
            return Message(
                "check takes your function itself, without calling it: "
                f"check({next(iter(latest))})."
            )
        if name not in latest:
            return Message(
                f"No exercise is called {name!r} here. Define it with `def` under the "
                f"name of the exercise: {', '.join(latest)}."
            )
        report = chapter.report(function)
        latest[name] = report
        return replace(report, hint=hint)

    def progress():
        lines = [f"{r.exercise}: {r.status}" for r in latest.values()]
        earned, total = (
            sum(getattr(r, a) for r in latest.values()) for a in ("points", "max_points")
        )
        return Message("\n".join([*lines, f"total: {earned} of {total} points"]))

    return check, progress
