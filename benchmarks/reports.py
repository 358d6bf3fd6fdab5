"""What do the checks say, and what did they say before? Dump every report; compare two dumps.

    python benchmarks/reports.py dump OUT.json [--answers CHECKOUT] [--chapter SLUG] [seed ...]
    python benchmarks/reports.py diff BEFORE.json AFTER.json

`dump` reports on the solution, the stub, every answer of the banks and every mistake of the checks,
under the seeds 0 to 4. The answers come from this checkout, or from another one: then the present
checks judge the answers of another version. `diff` fails when points or the outcome of a row
differ, and lists every mistake and every hint that has changed.
"""

import argparse
import importlib.util
import json
import os
import sys
import warnings
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from regbook.exercise import load_chapter
from regbook.notebooks import functions

ROOT = Path(__file__).parents[1]


def load(path):
    """Load a module from its file, beside the one of the same name that is installed."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answers(checkout, chapter):
    """Yield (exercise, label, function) of every answer to a chapter."""
    topic = chapter.slug.partition("_")[2]
    bank = load(checkout / "tests" / "autograder" / f"{topic}_answers.py")
    declared = load(checkout / "regbook" / "checks" / f"{topic}.py").chapter.exercises
    solved = functions(checkout / "solutions" / f"{chapter.slug}.ipynb")
    stubs = functions(checkout / "chapters" / chapter.slug / "exercises.ipynb")
    for name in chapter.exercises:
        yield name, "solution", solved[name]
        yield name, "stub", stubs[name]
        for i, function in enumerate(bank.RIGHT[name]):
            yield name, f"right {i}", function
        wrong = [*declared[name].mistakes, *bank.WRONG.get(name, [])]
        for i, (key, function) in enumerate(wrong):
            yield name, f"wrong {i} {key}", function


def dump(out, checkout, pattern, seeds):
    """Write every report, by exercise, answer and seed, to a JSON file."""
    warnings.simplefilter("ignore")
    found = {}
    for path in sorted(checkout.glob(f"solutions/{pattern}.ipynb")):
        chapter = load_chapter(path.stem)
        for name, label, function in answers(checkout, chapter):
            for seed in seeds:
                report = asdict(chapter.report(function, exercise=name, seed=seed))
                found[f"{name} | {label} | seed {seed}"] = report
    out.write_text(json.dumps(found, indent=1, default=str), encoding="utf-8")
    print(f"{len(found)} reports, {sum(len(r['rows']) for r in found.values())} rows")


def named(label, row):
    """Tell whose name a failed row carries: the answer's own, another mistake's, or none."""
    mistake = row["outcome"]["mistake"]
    if mistake in (row["check"], "form", "error", "endless"):
        return "no mistake's name"
    return "the right name" if mistake == label.split(" ", 2)[2] else "another name"


def diff(before, after):
    """Print what differs between two dumps; return the exit status."""
    before, after = (json.loads(path.read_text(encoding="utf-8")) for path in (before, after))
    wrong, counts, renamed, hints = [], Counter(), Counter(), Counter()
    exercises = {key.split(" | ")[0] for key in after}
    before = {key: report for key, report in before.items() if key.split(" | ")[0] in exercises}
    if before.keys() != after.keys():
        print("other reports:", *sorted(before.keys() ^ after.keys()), sep="\n  ")
    for key in sorted(before.keys() & after.keys()):
        label = key.split(" | ")[1]
        old, new = before[key]["rows"], after[key]["rows"]
        if [row["check"] for row in old] != [row["check"] for row in new]:
            wrong.append(f"{key}: other checks")
            continue
        for a, b in zip(old, new, strict=True):
            where = f"{key} | {a['check']}"
            if (a["points"], a["outcome"]["passed"]) != (b["points"], b["outcome"]["passed"]):
                wrong.append(f"{where}: {a['outcome']} -> {b['outcome']}")
            if label.startswith("wrong") and not a["outcome"]["passed"]:
                counts[named(label, a), named(label, b)] += 1
            names = a["outcome"]["mistake"], b["outcome"]["mistake"]
            place = f"{key.rsplit(' | ', 1)[0]} | {a['check']}"
            if names[0] != names[1]:
                renamed[f"{place}: {names[0]!r} -> {names[1]!r}"] += 1
            elif a["outcome"]["hint"] != b["outcome"]["hint"]:
                hints[f"{place}: {a['outcome']['hint']!r} -> {b['outcome']['hint']!r}"] += 1
    for title, lines in (("renamed", renamed), ("reworded", hints)):
        print(f"{sum(lines.values())} rows {title}")
        print(*(f"  {count} x {line}" for line, count in sorted(lines.items())), sep="\n")
    print("failed rows of wrong answers, before -> after")
    print(*(f"  {n} x {a} -> {b}" for (a, b), n in sorted(counts.items())), sep="\n")
    print(f"{len(wrong)} rows with other points or another outcome, of {len(before)} reports")
    print(*wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True, dest="command")
    command = commands.add_parser("dump")
    command.add_argument("out", type=Path)
    command.add_argument("--answers", type=Path, default=ROOT)
    command.add_argument("--chapter", default="*")
    command.add_argument("seeds", type=int, nargs="*")
    command = commands.add_parser("diff")
    command.add_argument("before", type=Path)
    command.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.command == "diff":
        sys.exit(diff(options.before, options.after))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    dump(options.out, options.answers, options.chapter, options.seeds or range(5))
