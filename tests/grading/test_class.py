"""A whole class at once, twenty hostile submissions among it; and every chapter."""

import csv
import importlib
import resource
from pathlib import Path

import pytest
from grading_support import GROUPS, STUB, need_bubblewrap
from hostile import case as support

from regbook import cli
from regbook.exercise import load_chapter

ROOT = Path(__file__).parents[2]
SIZE, HOSTILE = 200, 20


def hostile():
    """Return cases of every group in turn, without those that need the host of their own test."""
    groups = [importlib.import_module(f"hostile.{group}").CASES for group in GROUPS]
    chosen = []
    for i in range(max(map(len, groups))):
        chosen += [cases[i] for cases in groups if i < len(cases) and b"@" not in cases[i].content]
    return chosen[:HOSTILE]


def honest(number):
    """Return a submission that solves some exercises, and the points it deserves."""
    names = list(support.HONEST)
    solved = [name for i, name in enumerate(names) if number >> i & 1]
    cells = [support.HONEST[n] if n in solved else STUB.format(n) for n in names]
    return support.notebook(support.SETUP, f"# {number}", *cells), support.full(*solved)


def processor_seconds():
    """Return the processor time of this process and of those that it has started and ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(times.ru_utime + times.ru_stime for times in used)


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory):
    """Return a folder of submissions, the hostile ones spread evenly, and what each deserves."""
    folder, deserved, attacks = tmp_path_factory.mktemp("class"), {}, iter(hostile())
    for number in range(SIZE):
        if number % (SIZE // HOSTILE) == 3:
            attack = next(attacks)
            data, points = attack.content, attack.deserved
        else:
            data, points = honest(number)
        (folder / f"{number:03}.ipynb").write_bytes(data)
        deserved[f"{number:03}.ipynb"] = "" if points is None else str(points)
    return folder, deserved


def test_a_class_is_graded_twice_alike(handed_in, tmp_path):
    need_bubblewrap()
    folder, deserved = handed_in
    tables = []
    for run in ("first", "second"):
        start = processor_seconds()
        status = cli.main(["grade", str(folder), "--out", str(tmp_path / run), "--seed", "11"])
        seconds = processor_seconds() - start
        print(f"{run} run: {seconds:.0f} s")
        assert seconds <= 0.5 * SIZE
        assert status == int("" in deserved.values())
        with (tmp_path / run / "summary.csv").open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        assert {row["submission"]: row["points"] for row in rows} == deserved
        names = ("summary.csv", "scores.csv", "report.json")
        tables.append([(tmp_path / run / name).read_bytes() for name in names])
    assert tables[0] == tables[1]


def test_every_chapter_is_graded_as_its_notebooks_deserve(tmp_path):
    """Texts, callbacks and generators too: what a chapter's checks need crosses the sandbox."""
    need_bubblewrap()
    folder, deserved = tmp_path / "in", {}
    for kind, pattern in {
        "solved": "solutions/*.ipynb",
        "empty": "chapters/*/exercises.ipynb",
    }.items():
        for path in ROOT.glob(pattern):
            slug = path.stem if kind == "solved" else path.parent.name
            most = sum(each.max_points for each in load_chapter(slug).exercises.values())
            submission = folder / kind / f"{slug}.ipynb"
            submission.parent.mkdir(parents=True, exist_ok=True)
            submission.write_bytes(path.read_bytes())
            deserved[f"{kind}/{slug}.ipynb"] = str(most if kind == "solved" else 0)
    assert cli.main(["grade", str(folder), "--out", str(tmp_path / "out"), "--seed", "3"]) == 0
    with (tmp_path / "out" / "summary.csv").open(newline="", encoding="utf-8-sig") as file:
        assert {row["submission"]: row["points"] for row in csv.DictReader(file)} == deserved
