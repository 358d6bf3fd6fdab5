"""The exercises of a chapter: right answers, the mistakes of learners, their hints, the checks."""

import copy
import functools
import importlib
import inspect
import pkgutil
import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from regbook.exercise.answer import Answer, AnswerError, NotAttempted, Stopped, plain
from regbook.exercise.compare import Failed, Outcome, alike, compare
from regbook.exercise.report import Report, Row, rounded


@dataclass(frozen=True)
class Check:
    """One graded property of an answer.

    probe: a function (ask, rng) whose docstring is the property that the learner reads. It asks,
    and returns what it saw: a value, a tuple, or a dict of values by the case in words; or the
    Outcome that `judge` makes. points: what it is worth. hint: shown when it fails and no mistake
    explains that. more: what `check(function, hint=2)` adds. keeps_input: whether it also fails an
    answer that changes an argument in place.
    """

    probe: Callable
    points: float
    hint: str
    more: str
    keeps_input: bool = False

    @property
    def name(self) -> str:
        """The name of the probe."""
        return self.probe.__name__

    @property
    def text(self) -> str:
        """The property in words."""
        return self.probe.__doc__ or ""

    def generator(self, seed: int) -> np.random.Generator:
        """Return what draws the inputs: the same for equal seeds, another in every check."""
        return np.random.default_rng([seed, zlib.crc32(self.name.encode())])

    def ask(self, answer: Callable, rng: np.random.Generator) -> Any:
        """Return what the probe sees of an answer."""
        try:
            saw = self.probe(answer, rng)
        except Failed as failed:
            return failed.outcome
        return replace(saw, passed=bool(saw.passed)) if isinstance(saw, Outcome) else plain(saw)


class Exercise:
    """One graded function: the right answer, the mistakes that learners make, and the checks.

    reference: the right answer, or None where no check compares with it. mistakes: pairs (name,
    function of the same parameters). hints: what to tell the learner who makes a mistake, by its
    name.
    """

    def __init__(
        self,
        name: str,
        reference: Callable | None,
        mistakes: Mapping[str, Callable | list[Callable]],
        hints: Mapping[str, str],
    ):
        if mistakes.keys() - hints.keys():
            raise ValueError(f"{name}: no hint for {mistakes.keys() - hints.keys()}")
        self.name, self.reference, self.hints = name, reference, hints
        self.checks: list[Check] = []
        self.mistakes = [
            (key, function)
            for key, functions in mistakes.items()
            for function in (functions if isinstance(functions, list) else [functions])
        ]

    @property
    def max_points(self) -> float:
        """Points of a right answer."""
        return rounded(sum(check.points for check in self.checks))

    def check(
        self, *, points: float = 1, hint: str, more: str, keeps_input: bool = False
    ) -> Callable[[Callable], Callable]:
        """Register a probe as a check: see `Check`."""

        def register(probe):
            if not (probe.__doc__ and hint and more):
                raise ValueError(f"{probe.__name__}: a check needs a docstring, hint and more")
            if keeps_input and self.reference is None:
                raise ValueError(f"{probe.__name__}: without a reference no parameter has a name")
            self.checks.append(Check(probe, points, hint, more, keeps_input))
            return probe

        return register

    def not_attempted(self) -> Report:
        """Return the report on an exercise without an answer."""
        return Report(self.name, [], self.max_points)

    def report(self, answer: Answer, seed: int = 0) -> Report:
        """Run every check on an `Answer`; return a Report. Nothing that the answer does raises."""
        seen: list[Any] = []
        outcomes: list[Outcome] = []
        changes: list[set[int]] = []
        for number, check in enumerate(self.checks):
            answer.watched, answer.changed = check.keeps_input, set()
            try:
                saw = _look(check, answer, check.generator(seed), outcomes)
            except NotAttempted:
                return self.not_attempted()
            seen.append(saw)
            outcomes.append(
                saw if isinstance(saw, Outcome) else compare(saw, _expected(self, number, seed))
            )
            changes.append(answer.changed)
        if not all(outcome.passed for outcome in outcomes):
            outcomes = self._diagnosed(seen, outcomes, seed)
        found = []
        for check, outcome, changed in zip(self.checks, outcomes, changes, strict=True):
            if outcome.passed and changed:
                outcome = self._changed(min(changed))
            gained = check.points if outcome.passed else 0
            found.append(Row(check.name, check.text, outcome, gained, check.points, check.more))
        return replace(self.not_attempted(), rows=found)

    def _changed(self, position):
        name = list(inspect.signature(self.reference).parameters)[position]
        mistake = "changes its input"
        return Outcome(
            False, f"{name} as it was", f"{name} has changed", mistake,
            self.hints.get(mistake) or
            f"The values are right, but your function changes {name} in place, so whoever called "
            f"it has lost what {name} was. Work on a copy: `{name}.copy()` copies an array, "
            f"`copy.deepcopy({name})` a list of arrays.",
        )  # fmt: skip

    def _diagnosed(self, seen, outcomes, seed):
        """Name, in each failed check that it explains, the mistake that explains most checks.

        A mistake explains a check when it shows there what the answer shows, or when the check
        itself named it. One mistake is named for the whole answer; what it does not explain keeps
        the sentence of its fault, or gets the hint of the check.
        """
        explains = {key: set() for key in self.hints}  # of each mistake, the best of its functions
        for number, (key, _) in enumerate(self.mistakes):
            explained = {i for i, saw in enumerate(seen) if self._alike(saw, number, i, seed)}
            explains[key] = max(explains[key], explained, key=len)
        for i, outcome in enumerate(outcomes):
            if outcome.mistake in explains:
                explains[outcome.mistake] = explains[outcome.mistake] | {i}
        failed = {i for i, outcome in enumerate(outcomes) if not outcome.passed}
        able = [key for key, rows in explains.items() if rows & failed]
        best = max(able, key=lambda key: len(explains[key]), default=None)
        named = explains[best] & failed if best is not None else set()
        return [
            outcome if outcome.passed
            else replace(outcome, mistake=best, hint=self.hints[best]) if i in named
            else outcome if outcome.hint
            else replace(outcome, mistake=check.name, hint=check.hint)
            for i, (outcome, check) in enumerate(zip(outcomes, self.checks, strict=True))
        ]  # fmt: skip

    def _alike(self, saw, number, i, seed):
        """Tell whether a mistake, given by its number, shows in check i what the answer showed."""
        judged = isinstance(saw, Outcome)
        if judged and not saw.passed:  # such a failure is named by the check itself
            return False
        try:
            shown = _shown(self, number, i, seed)
        except Exception:  # a mistake that shows only for other inputs
            return False
        if judged or isinstance(shown, Outcome):
            return judged and isinstance(shown, Outcome) and shown.passed
        return alike(saw, shown)


# The answers of a class meet the same inputs.
@functools.lru_cache(1000)
def _expected(exercise, number, seed):
    """Return what a check, given by its number, sees of the right answer."""
    check = exercise.checks[number]
    return check.ask(_Known(exercise.reference, copies=False), check.generator(seed))


@functools.lru_cache(1000)
def _shown(exercise, number, i, seed):
    """Return what a mistake, given by its number, shows in check i."""
    check, (_, mistake) = exercise.checks[i], exercise.mistakes[number]
    with warnings.catch_warnings(action="ignore"):
        return check.ask(_Known(mistake), check.generator(seed))


def _look(check, answer, rng, before):
    """Return what a check sees of the learner's answer, or the Outcome of what went wrong.

    before: the outcomes of earlier checks; after one that was stopped, no other is run.
    """
    stopped = next((outcome.hint for outcome in before if outcome.mistake == "endless"), "")
    if stopped:
        return Outcome(False, "an answer", "not run", hint=stopped)
    try:
        return check.ask(answer, rng)
    except NotAttempted:
        raise
    except AnswerError as error:
        return Outcome(False, "an answer", "none", "error", str(error))
    except Stopped as error:
        return Outcome(False, "an answer", "none", "endless", f"Your function was stopped: {error}")
    except KeyboardInterrupt:
        sentence = "You stopped it before it finished: does a loop never end?"
        return Outcome(False, "an answer", "none", "endless", sentence)
    except (Exception, SystemExit) as error:  # raised by what it returned
        sentence = f"What your function returned raised {type(error).__name__}: {error}"
        return Outcome(False, "an answer", "none", "error", sentence)


class _Known:
    """The right answer or a mistake, as the checks see it: called like an `Answer`.

    copies: whether it gets copies of its arguments, which a mistake may change.
    """

    def __init__(self, function, *, copies=True):
        self._function, self._copies = function, copies

    def __call__(self, *arguments):
        return plain(self.model(*arguments))

    def model(self, *arguments):
        """Return what the function returns: a stand-in with the methods of a `ModelHandle`."""
        return self._function(*(copy.deepcopy(arguments) if self._copies else arguments))


class Chapter:
    """The exercises of one chapter, by the names of the functions that the learner writes."""

    def __init__(self, slug: str):
        self.slug = slug
        self.exercises: dict[str, Exercise] = {}

    def exercise(
        self,
        name: str,
        reference: Callable | None = None,
        *,
        mistakes: Mapping[str, Callable | list[Callable]] | None = None,
        hints: Mapping[str, str],
    ) -> Exercise:
        """Declare an exercise: see `Exercise`. A mistake is a function, or a list of them."""
        self.exercises[name] = Exercise(name, reference, mistakes or {}, hints)
        return self.exercises[name]

    def report(self, function: Callable, *, exercise: str | None = None, seed: int = 0) -> Report:
        """Run every check of an exercise on the learner's function; return a Report.

        function: the function itself, or an `Answer` that calls it elsewhere. exercise: its name
        (default: the function's). seed: draws the inputs; another seed draws others. Nothing that
        the function does raises here, an interrupt included.
        """
        answer = function if isinstance(function, Answer) else Answer(function)
        return self.exercises[exercise or function.__name__].report(answer, seed)


def vary(function: Callable, **changes: Any) -> Callable:
    """Return `function` with some arguments changed: to a value, or by a function of the value.

    An option that the caller does not give, such as a keyword-only one, takes what stands here.
    """
    signature = inspect.signature(function)

    def varied(*arguments):
        bound = signature.bind(*arguments)
        given = bound.arguments
        for name, change in changes.items():
            given[name] = change(given[name]) if name in given and callable(change) else change
        return function(*bound.args, **bound.kwargs)

    return varied


def load_chapters() -> dict[str, Chapter]:
    """Return the `Chapter` of every module of `regbook.checks`, by slug."""
    modules = pkgutil.iter_modules(importlib.import_module("regbook.checks").__path__)
    found = (importlib.import_module(f"regbook.checks.{m.name}").chapter for m in modules)
    return {chapter.slug: chapter for chapter in sorted(found, key=lambda chapter: chapter.slug)}


def load_chapter(slug: str) -> Chapter:
    """Return the `Chapter` of a slug such as "07_l2_weight_decay". Raises KeyError if unknown."""
    try:
        chapter = importlib.import_module("regbook.checks." + slug.partition("_")[2]).chapter
    except ModuleNotFoundError as error:
        raise KeyError(f"no chapter {slug!r} has exercises") from error
    if chapter.slug != slug:
        raise KeyError(f"no chapter {slug!r} has exercises; did you mean {chapter.slug!r}?")
    return chapter
