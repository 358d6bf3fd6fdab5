"""Graded exercises: the right answer, the mistakes that learners make, and the checks.

    chapter = Chapter("08_l1_sparsity")

    l1_penalty = chapter.exercise(
        "l1_penalty",
        lambda w, lam: lam * np.abs(w).sum(),
        mistakes={"squares": lambda w, lam: lam * (w**2).sum()},
        hints={"squares": "You summed squares: that is the L2 penalty. Sum absolute values."},
    )

    @l1_penalty.check(points=2, hint="Sum the absolute values.", more="lam * np.abs(w).sum()")
    def sums_absolute_values(ask, rng):
        \"\"\"is lam times the sum of the absolute values\"\"\"
        return ask(rng.normal(size=(3, 2)), rng.uniform(0.1, 1))

A check is a probe: it asks, and returns what it saw. It is run on the learner's answer and on the
right one with equal random numbers. Where no single value is right it returns what `judge` makes.
"""

from regbook.exercise.answer import Answer, AnswerError, ModelHandle, NotAttempted, Stopped, plain
from regbook.exercise.chapter import Chapter, Check, Exercise, load_chapter, load_chapters, vary
from regbook.exercise.compare import (
    Failed,
    Outcome,
    brief,
    compare,
    follows_seed,
    fresh_generator,
    judge,
    outputs,
)
from regbook.exercise.report import Report, Row

__all__ = [
    "Answer",
    "AnswerError",
    "Chapter",
    "Check",
    "Exercise",
    "Failed",
    "ModelHandle",
    "NotAttempted",
    "Outcome",
    "Report",
    "Row",
    "Stopped",
    "brief",
    "compare",
    "follows_seed",
    "fresh_generator",
    "judge",
    "load_chapter",
    "load_chapters",
    "outputs",
    "plain",
    "vary",
]
