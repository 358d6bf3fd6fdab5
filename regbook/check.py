"""Instant feedback on the exercises of a chapter, as the learner's notebook shows it.

from regbook.check import exercises

check, progress = exercises("07_l2_weight_decay")
"""

from collections.abc import Callable
from dataclasses import replace

from regbook.exercise import Report, load_chapter


class Message:
    """A sentence that Jupyter shows without quotation marks."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


def exercises(slug: str) -> tuple[Callable, Callable]:
    """Open a chapter's exercises; return its two functions `check` and `progress`.

    slug: the chapter's folder name. `check(function)` returns the report on one answer,
    `check(function, hint=2)` adds stronger hints, and `progress()` sums up what was checked.
    """
    chapter = load_chapter(slug)
    latest = {name: exercise.not_attempted() for name, exercise in chapter.exercises.items()}

    def check(function: Callable, hint: int = 1) -> Report | Message:
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

    def progress() -> Message:
        lines = [f"{r.exercise}: {r.status}" for r in latest.values()]
        earned, total = (
            sum(getattr(r, a) for r in latest.values()) for a in ("points", "max_points")
        )
        return Message("\n".join([*lines, f"total: {earned} of {total} points"]))

    return check, progress
