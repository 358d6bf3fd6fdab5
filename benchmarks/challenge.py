"""How far do recipes get in the challenge of lesson 22?

    python benchmarks/challenge.py [--seeds N]

Every answer to `my_recipe` in `tests/autograder/recipes_answers.py` is graded under N seeds. Each
seed draws the four problems six times anew. A right answer that misses a
point under some seed, or a wrong one that gets another name than its own, ends with exit status 1.
`benchmarks/results/challenge.json` holds the lead of each recipe that was trained under each seed,
in points, and the share of seeds in which it reached each of the three grades.
"""

import argparse
import importlib.util
import json
import sys
import time
from pathlib import Path

import numpy as np

from regbook import challenge
from regbook.checks.recipes import BARS
from regbook.exercise import Answer, AnswerError, load_chapter
from regbook.grading.report import write_whole

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "challenge.json"


def answers():
    """Return (name, mistake, function) of every answer; a right one has no mistake."""
    path = ROOT / "tests" / "autograder" / "recipes_answers.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    bank = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bank)
    right = [(function.__name__, "", function) for function in bank.RIGHT["my_recipe"]]
    wrong = [(function.__name__, name, function) for name, function in bank.WRONG["my_recipe"]]
    return [*right, *wrong, ("one_for_all", None, bank.one_for_all)]


def lead(function, seed):
    """Return the leads of an answer on the four problems, or None where it is not trained."""
    try:
        recipes = [challenge.read_settings(Answer(function)(dict(p))) for p in challenge.PROBLEMS]
    except (AnswerError, challenge.BadSettings):
        return None
    pairs = zip(recipes, challenge.PROBLEMS, strict=True)
    if any(challenge.cost(recipe, problem) > problem["budget"] for recipe, problem in pairs):
        return None
    return challenge.scores(recipes, seed).points.mean(axis=1)


def fault(report, mistake, hints):
    """Say what is wrong with a report on an answer with this mistake, or return ''."""
    found = {row.outcome.mistake for row in report.rows if not row.outcome.passed}
    if mistake is None:
        return ""
    if not mistake:
        return f"right, and {report.points} points" if report.points < report.max_points else ""
    others = found & (set(hints) - {mistake})
    return "" if mistake in found and not others else f"{mistake}, and found as {found}"


def table(points, parts):
    """Return what is stored, the best recipe first."""
    order = sorted(points, key=lambda name: -sum(points[name]))
    return {
        "draws": challenge.DRAWS,
        "grades": list(BARS.values()),
        "scores": {name: points[name] for name in order},
        "by problem": {
            name: [round(float(np.mean(part)), 1) for part in zip(*parts[name], strict=True)]
            for name in order
        },
        "reached": {
            name: [float(np.mean(np.array(points[name]) >= bar)) for bar in BARS.values()]
            for name in order
        },
    }


def main(seeds):
    """Grade all answers; print and store what they reach; return the exit status."""
    exercise = load_chapter("22_recipes").exercises["my_recipe"]
    points, parts, faults, start = {}, {}, [], time.process_time()
    for seed in range(seeds):
        for name, mistake, function in answers():
            found = lead(function, seed)
            report = exercise.report(Answer(function), seed)
            said = fault(report, mistake, exercise.hints)
            faults += [f"seed {seed}, {name}: {said}"] if said else []
            if found is not None:
                points.setdefault(name, []).append(round(float(found.mean()), 2))
                parts.setdefault(name, []).append(found)
        stored = table(points, parts)
        write_whole(RESULTS, json.dumps(stored, indent=1) + "\n")
        print(f"seed {seed}: {time.process_time() - start:.0f} s", *faults, flush=True)
    for name, found in stored["scores"].items():
        reached = " ".join(f"{share:5.0%}" for share in stored["reached"][name])
        spread = f"{np.mean(found):+6.1f} sd {np.std(found, ddof=1):.2f}"
        print(f"{name:34} {spread} {reached}  {stored['by problem'][name]}")
    print(*faults, sep="\n")
    return int(bool(faults))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    sys.exit(main(parser.parse_args().seeds))
