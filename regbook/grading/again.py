"""Grading again only what is named: submissions, learners, or exercises. The rest stays."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from regbook.exercise import load_chapters
from regbook.grading import adjustments, report
from regbook.grading.intake import Source, UsageError
from regbook.grading.learners import learner
from regbook.grading.results import Result


@dataclass(frozen=True)
class Again:
    """What is to be graded again. exercises: of the submissions that are not named themselves.

    kept: the results of the report without a teacher's adjustments, which each run merges anew.
    whole: names of submissions. parts: the other ones that have some of the exercises.
    """

    kept: dict[str, Result]
    exercises: set[str]
    whole: set[str]
    parts: set[str]

    @property
    def names(self) -> list[str]:
        """All submissions to grade, sorted."""
        return sorted(self.whole | self.parts)

    def joined(self, name: str, new: Result) -> Result:
        """Return the result to keep of a submission: the new one, or the old with new parts."""
        old = self.kept.get(name)
        if name in self.whole or old is None or "chapters" not in new:
            return new
        found = {
            report["exercise"]: report for marks in new["chapters"] for report in marks["exercises"]
        }
        chapters = []
        for marks in old["chapters"]:
            reports = [
                found.get(known["exercise"], known)
                if known["exercise"] in self.exercises else known
                for known in marks["exercises"]
            ]  # fmt: skip
            chapters.append(adjustments.totalled({**marks, "exercises": reports}))
        return {**old, "chapters": chapters}


def named(
    only: Collection[str], sources: Mapping[str, Source], out: Path, seed: int | None, level: str
) -> Again:
    """Return what `only` names among the submissions, and what the report `out` says of the rest.

    only: names of submissions, of learners as the tables show them, or of exercises. seed, level:
    those of this run, in the words of the report; a seed of None is that of the report. Raises
    UsageError when there is no report, when it was made with others, or when something in `only`
    names nothing in it.
    """
    try:
        (old_seed, old_level), submissions = report.stored(out)
    except report.ReportError as error:
        raise UsageError(f"--only grades a part of a report again, but {error}") from error
    if (seed, level) not in ((None, old_level), (old_seed, old_level)):
        raise UsageError(
            f"--only keeps the rest of a report, so it needs the seed {old_seed} and the isolation "
            f"of that report ({old_level})."
        )
    kept = {
        name: adjustments.untouched(result)
        for name, result in submissions.items()
        if name in sources
    }
    known = {name for chapter in load_chapters().values() for name in chapter.exercises}
    exercises = set(only) & known
    whole = {name for name in sources if name in only or learner(name).name in only}
    parts = {name for name, result in kept.items() if _exercises(result) & exercises} - whole
    met = {*whole, *(learner(name).name for name in whole)}
    met |= {name for part in parts for name in _exercises(kept[part])} & exercises
    if missing := sorted(set(only) - met):
        raise UsageError(
            f"--only: {', '.join(map(repr, missing))} is no submission, learner or exercise of "
            f"{out}; summary.csv and scores.csv have their names."
        )
    return Again(kept, exercises, whole, parts)


def _exercises(result):
    return {each["exercise"] for marks in result.get("chapters", []) for each in marks["exercises"]}
