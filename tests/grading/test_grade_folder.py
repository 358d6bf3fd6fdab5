"""The commands on a folder: right tables, resumed after anything, the same bytes each time."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from grading_support import (
    CONVERT,
    IMPORT_LIGHT,
    MAX_POINTS,
    PENALTY,
    ROOT,
    SLUG,
    STEP,
    STUB,
    Light,
    book,
    hand_in,
    need_bubblewrap,
    points,
    reports,
    tables,
)

import regbook.grading.sandbox as sandbox_module
from regbook import cli
from regbook.grading import batch
from regbook.grading import grade as grade_module
from regbook.grading.grade import grade
from regbook.grading.intake import Source
from regbook.grading.isolation import LEVELS, SandboxError

HALVED = PENALTY.replace("lam *", "lam / 2 *")
SLOW = "import time\ntime.sleep(0.5)"
HANG, CRASH = "while True:\n    pass", "import os\nos._exit(0)"


LAUNCH = f"""{IMPORT_LIGHT}
from regbook import cli
from regbook.grading import batch
batch.Sandbox = Light
sys.exit(cli.main(sys.argv[1:]))
"""


def launch(*arguments):
    """Start a command in a process of its own, which hears an interrupt.

    What a shell starts in the background would ignore it.
    """
    hears = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = [sys.executable, "-c", hears + LAUNCH, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments):
    """Run a command in this process; return its exit status."""
    try:
        return cli.main([*map(str, arguments)])
    except SystemExit as end:  # argparse
        return end.code


def graded(folder, out, *options):
    return run("grade", folder, "--out", out, "--seed", 5, *options)


def rows(out, name="summary.csv"):
    with (out / name).open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def column(out, key, name="summary.csv"):
    return {row["submission"]: row[key] for row in rows(out, name)}


def stored(out):
    return {path.name: path.stat().st_mtime_ns for path in (out / "results").glob("*.json")}


def many(folder, count=8):
    """Hand in submissions that take their time and deserve full marks for one function."""
    books = {f"s{i}": book(f"# {i}", SLOW, PENALTY) for i in range(count)}
    return hand_in(folder, **books)


def when_first_is_stored(out, process):
    deadline = time.monotonic() + 600
    while not stored(out):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("grade gone --out out", "SUBMISSIONS must be a folder, but gone is not there."),
        ("grade a.ipynb --out out", "but a.ipynb is a file: for one notebook use `regbook check`"),
        ("grade empty --out out", "No .ipynb file was found below empty."),
        ("grade in --out a.ipynb", "The report must be a folder, but a.ipynb is a file."),
        ("grade in", "--out"),
        ("grade in --out out --shard 0/3", "expected K/N with 1 <= K <= N"),
        ("grade in --out out --shard 4/3", "such as 3/8; got 4/3"),
        ("grade in --out out --shard 3", "expected K/N"),
        ("grade in --out out --shard a/b", "expected K/N"),
        ("grade in --out out --shard 1/2/3", "expected K/N"),
        ("grade in --out out --seed -1", "--seed"),
        ("grade in --out out --seed x", "expected a number of 0 or more; got x"),
        ("grade in --out out --jobs 0", "expected a number of 1 or more; got 0"),
        ("grade in --out out --jobs 1.5", "expected a number of 1 or more; got 1.5"),
        ("merge in --out out", "in holds no report.json: No such file or directory"),
        ("merge --out out", "REPORT"),
        ("check", "NOTEBOOK"),
        ("mark a.ipynb", "invalid choice"),
        ("", "required"),
    ],
)
def test_wrong_use_is_explained(tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    hand_in(tmp_path, a=book(PENALTY))
    hand_in(tmp_path / "in", a=book(PENALTY))
    (tmp_path / "empty").mkdir()
    assert run(*arguments.split()) == 2
    output = capsys.readouterr()
    assert sentence in output.err and not output.out
    assert not (tmp_path / "out").exists()


def test_report_that_cannot_be_written_is_a_sentence(tmp_path, capsys, light_grader):
    hand_in(tmp_path, a=book(PENALTY))
    assert graded(tmp_path, tmp_path / "a.ipynb/out") == 1
    output = capsys.readouterr()
    assert "Not a directory. Nothing that was stored is lost." in output.out + output.err


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(grade_module, "CELL_SECONDS", 1)
    monkeypatch.setattr(grade_module, "CALL_SECONDS", 2)


def test_folder_becomes_tables_and_pages(tmp_path, capsys, light_grader, short):
    odd = tmp_path / "in" / os.fsdecode(b"=\xff\x1b.ipynb")
    folder = hand_in(
        tmp_path / "in", all=book(PENALTY, STEP, CONVERT), hang=book(PENALTY, HANG, STEP),
        crash=book(PENALTY, CRASH, STEP, "1 / 0"), copy=book(PENALTY, STEP, CONVERT),
        broken=b"hello",
    )  # fmt: skip
    hand_in(folder / "group 1" / "eve", **{"hand in": book(HALVED)})
    odd.write_bytes(book(PENALTY))
    (folder / "link.ipynb").symlink_to("all.ipynb")
    (folder / "long.ipynb").write_bytes(book(PENALTY))
    (folder / "long.ipynb").rename(folder / f"{'l' * 249}.ipynb")
    out = folder / "report"  # may lie among the submissions
    assert graded(folder, out, "--jobs", 2) == 1
    said = capsys.readouterr().out
    assert "7 graded, 2 could not be graded.\n  broken.ipynb: not a notebook: no valid JSON" in said
    assert "  link.ipynb: a link: hand in" in said
    points = {
        "'=\\udcff\\x1b.ipynb": "4", "all.ipynb": "9", "broken.ipynb": "", "copy.ipynb": "9",
        "crash.ipynb": "8", "group 1/eve/hand in.ipynb": "2", "hang.ipynb": "8", "link.ipynb": "",
        f"{'l' * 249}.ipynb": "4",
    }  # fmt: skip
    assert column(out, "points") == points
    assert list(column(out, "points")) == sorted(points, key=lambda name: name.lstrip("'"))
    status = column(out, "status")
    assert status["all.ipynb"] == "graded" and column(out, "percent")["all.ipynb"] == "33.3"
    assert status["hang.ipynb"] == "graded; 1 code cell failed"
    assert status["crash.ipynb"] == "graded; 2 code cells failed"
    scores = rows(out, "scores.csv")
    assert len(scores) == 7 * 6
    eve = [r["status"] for r in scores if r["submission"].startswith("group")]
    assert eve == ["2 of 3 checks passed"] + ["not attempted"] * 5
    report = json.loads((out / "report.json").read_text())
    assert (report["seed"], report["isolation"]) == (5, LEVELS["bubblewrap"])
    problems = {name: result.get("problems") for name, result in report["submissions"].items()}
    assert problems["all.ipynb"] == {}
    assert problems["hang.ipynb"] == {"3": "it did not finish within 1 s: does a loop never end?"}
    assert problems["crash.ipynb"] == {"3": "the process ended itself",
                                       "5": "ZeroDivisionError: division by zero (line 1 of the "
                                            "cell)"}  # fmt: skip
    pages = list((out / "feedback").rglob("*.html"))
    assert len(pages) == 9
    assert (
        "Code cell 3: the process ended itself" in (out / "feedback/crash.ipynb.html").read_text()
    )
    assert len(stored(out)) == 6  # of eight files; two pairs are alike
    assert not list(out.rglob(".part-*"))

    assert graded(folder, tmp_path / "again", "--jobs", 1) == 1
    assert graded(folder, tmp_path / "third", "--jobs", 1) == 1
    for name in ("again", "third"):
        # The first report lies in the folder, and is not handed in.
        again = {n: p for n, p in column(tmp_path / name, "points").items() if "report/" not in n}
        assert again == points
        found = json.loads((tmp_path / name / "report.json").read_text())["submissions"]
        assert found == report["submissions"]  # shows where they differ
        assert tables(tmp_path / name) == tables(out)
    assert run("grade", folder, "--out", tmp_path / "other", "--seed", 6) == 1
    assert column(tmp_path / "other", "points") == points
    other = json.loads((tmp_path / "other/report.json").read_text())["submissions"]["all.ipynb"]
    expected = [[row["outcome"]["expected"] for row in r["rows"]]
                for each in (other, report["submissions"]["all.ipynb"])
                for r in reports(each)]  # fmt: skip
    assert expected[:5] != expected[5:]


def test_resuming_grades_only_what_changed(tmp_path, light_grader, monkeypatch, capsys):
    calls = []

    def counted(data, *rest, **options):
        calls.append(data)
        return grade(data, *rest, **options)

    monkeypatch.setattr(grade_module, "grade", counted)
    folder = hand_in(tmp_path / "in", a=book(PENALTY), b=book(STEP), c=b"hello")
    out = tmp_path / "out"
    assert run("grade", folder, "--out", out) == 1  # draws a seed
    seed, first, kept = (out / "seed").read_text(), tables(out), stored(out)
    overview = (out / "index.html").read_bytes()
    assert b'<section id="slowest">' in overview and b"seconds" not in b"".join(first)
    assert len(calls) == 3
    capsys.readouterr()
    assert run("grade", folder, "--out", out) == 1
    assert "3 of 3 need no grading: unchanged, or not readable." in capsys.readouterr().out
    assert (len(calls), (out / "seed").read_text()) == (3, seed)
    assert (tables(out), stored(out)) == (first, kept)
    assert (out / "index.html").read_bytes() == overview  # the seconds are those of the grading

    hand_in(folder, b=book(STEP, "# better"), d=book(PENALTY))  # d is a copy of a
    os.utime(folder / "a.ipynb", (1, 1))  # its date does not matter
    (folder / "c.ipynb").unlink()
    (out / "feedback/a.ipynb.html").unlink()
    assert run("grade", folder, "--out", out) == 0
    assert calls[3:] == [(folder / "b.ipynb").read_bytes()]
    assert column(out, "points") == {"a.ipynb": "4", "b.ipynb": "4", "d.ipynb": "4"}
    assert {name for name in stored(out) if name in kept} == set(kept)
    assert (out / "feedback/a.ipynb.html").exists() and (out / "feedback/d.ipynb.html").exists()

    assert run("grade", folder, "--out", out, "--seed", int(seed) + 1) == 0
    assert len(calls) == 4 + 3  # another seed: all of them
    damaged = next((out / "results").glob("*.json"))
    damaged.write_text(damaged.read_text()[:-9])
    for _ in range(2):
        assert run("grade", folder, "--out", out) == 0
    assert len(calls) in (7, 8, 9)
    (out / "seed").write_text("nonsense")
    assert run("grade", folder, "--out", out) == 0


def test_interrupt_keeps_what_is_done(tmp_path, light_grader):
    folder, out = many(tmp_path / "in"), tmp_path / "out"
    whole = tmp_path / "whole"
    assert graded(folder, whole, "--jobs", 2) == 0
    options = ("grade", folder, "--out", out, "--seed", 5, "--jobs", 1)
    process = launch(*options)
    when_first_is_stored(out, process)
    tree = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Interrupted. Run the same command again to grade the rest." in said
    assert "Traceback" not in errors
    assert tree and not psutil.wait_procs(tree, 10)[1]
    done = column(out, "points")
    assert 1 <= len(done) < 8 and set(done.values()) == {"4"}
    assert len(stored(out)) == len(done)
    before = stored(out)
    process = launch(*options)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"{len(done)} of 8 need no grading" in said
    assert tables(out) == tables(whole)
    assert before.items() <= stored(out).items()


def test_kill_loses_at_most_what_was_not_stored(tmp_path, light_grader):
    folder, out = many(tmp_path / "in"), tmp_path / "out"
    process = launch("grade", folder, "--out", out, "--seed", 5, "--jobs", 2)
    when_first_is_stored(out, process)
    tree = psutil.Process(process.pid).children(recursive=True)
    assert len(tree) >= 4  # two sandboxes, each with a submission
    process.kill()
    process.communicate()
    assert not psutil.wait_procs(tree, 15)[1]
    before = stored(out)
    for name in before:
        assert json.loads((out / "results" / name).read_text())["chapters"][0]["points"] == 4
    assert len(before) < 8
    assert graded(folder, out) == 0
    assert before.items() <= stored(out).items()
    assert graded(folder, tmp_path / "whole") == 0
    assert tables(out) == tables(tmp_path / "whole")


def test_shards_merge_to_the_whole(tmp_path, light_grader, capsys):
    folder = hand_in(
        tmp_path / "in",
        broken=b"hello",
        **{f"s{i}": book(f"# {i}", (PENALTY, HALVED)[i % 2]) for i in range(8)},
    )
    parts = [tmp_path / f"{k}" for k in (1, 2, 3)]
    status = [graded(folder, part, "--shard", f"{k}/3") for k, part in enumerate(parts, start=1)]
    assert sorted(status) == [0, 0, 1]  # one has the broken one
    assert graded(folder, tmp_path / "whole") == 1
    assert sum(len(rows(part)) for part in parts) == 9
    capsys.readouterr()
    assert run("merge", *parts, "--out", tmp_path / "joined") == 1
    assert "8 graded, 1 could not be graded." in capsys.readouterr().out
    assert tables(tmp_path / "joined") == tables(tmp_path / "whole")
    # Which were the slowest is known where they were graded, and differs from run to run.
    slowest = re.compile(rb'<section id="slowest">.*?</section>', re.S)
    pages = [{p.relative_to(out).as_posix(): slowest.sub(b"", p.read_bytes())
              for p in out.rglob("*.html")}
             for out in (tmp_path / "joined", tmp_path / "whole")]  # fmt: skip
    assert slowest.search((tmp_path / "whole/index.html").read_bytes())
    assert not slowest.search((tmp_path / "joined/index.html").read_bytes())
    assert pages[0] == pages[1] and len(pages[0]) == 10
    assert run("grade", folder, "--out", parts[0], "--shard", "1/3", "--seed", 9) in (0, 1)
    assert run("merge", *parts, "--out", tmp_path / "no") == 2
    assert "different settings" in capsys.readouterr().err


def test_empty_shard_is_a_report_too(tmp_path, light_grader):
    folder = hand_in(tmp_path / "in", a=book(PENALTY))
    status = [graded(folder, tmp_path / f"{k}", "--shard", f"{k}/4") for k in (1, 2, 3, 4)]
    assert status == [0] * 4
    assert sorted(len(rows(tmp_path / f"{k}")) for k in (1, 2, 3, 4)) == [0, 0, 0, 1]
    assert run("merge", *(tmp_path / f"{k}" for k in (1, 2, 3, 4)), "--out", tmp_path / "all") == 0


def test_failure_of_the_grader_is_told_and_not_stored(tmp_path, light_grader, monkeypatch, capsys):
    folder, out = hand_in(tmp_path / "in", a=book(PENALTY), b=book(STEP)), tmp_path / "out"
    tried = []

    def fails(data, *rest, **options):
        tried.append(data)
        if b"l2_penalty" in data:
            raise (SandboxError if len(tried) < 9 else ZeroDivisionError)("of ours")
        return grade(data, *rest, **options)

    monkeypatch.setattr(grade_module, "grade", fails)
    assert graded(folder, out, "--jobs", 1) == 1
    sentence = "could not be graded (SandboxError: of ours): try again"
    assert column(out, "status") == {"a.ipynb": sentence, "b.ipynb": "graded"}
    assert f"1 graded, 1 could not be graded.\n  a.ipynb: {sentence}" in capsys.readouterr().out
    assert len(tried) == 3  # a failed sandbox is replaced once
    assert len(stored(out)) == 1
    tried += [None] * 9
    assert graded(folder, out) == 1
    assert "ZeroDivisionError: of ours" in column(out, "status")["a.ipynb"]
    monkeypatch.setattr(grade_module, "grade", grade)
    assert graded(folder, out) == 0
    assert column(out, "points") == {"a.ipynb": "4", "b.ipynb": "4"}


def test_sandbox_that_cannot_start_is_one_error(tmp_path, light_grader, monkeypatch, capsys):
    folder = hand_in(tmp_path / "in", a=book(PENALTY), b=book(STEP))
    monkeypatch.setattr(sandbox_module, "START_SECONDS", 0.001)
    assert graded(folder, tmp_path / "out") == 2
    assert "no answer within 0.001 s" in capsys.readouterr().err


def test_file_that_vanishes_after_it_was_looked_up_is_told(tmp_path, light_grader, monkeypatch):
    folder, out = hand_in(tmp_path / "in", a=book(PENALTY), b=book(STEP)), tmp_path / "out"
    read = Source.read

    def once(source):
        data = read(source)
        source.path.unlink()
        return data

    monkeypatch.setattr(Source, "read", once)
    assert graded(folder, out) == 1
    assert set(column(out, "status").values()) == {"not a regular file"}
    assert stored(out) == {}


def test_names_that_look_alike_stay_apart(tmp_path, light_grader):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in (b"\xff.ipynb", rb"\udcff.ipynb", b"a\n.ipynb", rb"a\n.ipynb"):
        (folder / os.fsdecode(name)).write_bytes(book(PENALTY))
    assert graded(folder, out) == 0
    assert len(rows(out)) == 4
    assert len(list((out / "feedback").iterdir())) == 4


def test_check_prints_the_report_on_one_notebook(tmp_path, light_grader, short, capsys):
    hand_in(tmp_path, a=book(HALVED, HANG, STEP), broken=b"hello")
    (tmp_path / "secret").write_text("of the teacher")
    assert run("check", tmp_path / "a.ipynb") == 0
    said = capsys.readouterr().out
    assert said.startswith("Code cell 3 failed: it did not finish within 1 s: does a loop never")
    assert "l2_penalty: 2 of 4 points\n" in said and "l2_gradient_step: 4 of 4 points" in said
    assert "You have lam / 2. That is PyTorch's weight_decay convention" in said
    assert said.endswith(f"07_l2_weight_decay: 6 of {MAX_POINTS} points\n")
    for seed in ("3", "3", "4"):
        assert run("check", tmp_path / "a.ipynb", "--seed", seed) == 0
    shown = capsys.readouterr().out.split("Code cell 3 failed")[1:]
    assert shown[0] == shown[1] != shown[2]
    for name, reason in [
        ("broken.ipynb", "not a notebook: no valid JSON"),
        ("gone.ipynb", "not a regular file"),
        ("", "a folder, not a file"),
    ]:
        assert run("check", tmp_path / name) == 1
        assert reason in capsys.readouterr().out


def test_without_bubblewrap_only_trust_helps(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(batch, "Sandbox", Light)
    monkeypatch.setenv("PATH", str(tmp_path))
    folder, out = hand_in(tmp_path / "in", a=book(PENALTY)), tmp_path / "out"
    assert graded(folder, out) == 2
    assert "add --trust" in capsys.readouterr().err
    assert run("check", folder / "a.ipynb") == 2
    assert not out.exists()
    assert graded(folder, out, "--trust") == 0
    assert json.loads((out / "report.json").read_text())["isolation"] == LEVELS["fork"]


DEFINITIONS = {
    # the last one that is more than the stub counts
    "two cells": ([PENALTY, STEP], [4, 4]),
    "improved": ([HALVED, PENALTY], [4, 0]),
    "worsened": ([PENALTY, HALVED], [2, 0]),
    "stub after": ([PENALTY, STUB.format("l2_penalty")], [4, 0]),
    "stubs after": ([HALVED, *[STUB.format("l2_penalty") + f"  # {i}" for i in range(5)]], [2, 0]),
    "cell run twice": ([PENALTY, PENALTY, STUB.format("l2_penalty")], [4, 0]),
    "replaced by a number": ([PENALTY, "l2_penalty = 3"], [4, 0]),
    "deleted": ([PENALTY, "del l2_penalty"], [4, 0]),
    "uses another cell": (["def square(w):\n    return (w**2).sum()",
                           "def l2_penalty(ws, lam):\n    return lam * sum(map(square, ws))"],
                          [4, 0]),
    "lambda": (["l2_penalty = lambda ws, lam: lam * sum((w**2).sum() for w in ws)"], [4, 0]),
    "magics": ["%matplotlib inline\n!pip list\n%time x = 1\n?print\n" + PENALTY, "%%time\n" + STEP],
    "syntax error": ([PENALTY, "def l2_gradient_step(w:"], [4, 0]),
    "error in the middle": ([PENALTY, "raise SystemExit", STEP], [4, 4]),
    "only stubs": ([STUB.format("l2_penalty"), STUB.format("l2_gradient_step")], [0, 0]),
    "hangs when called": (["def l2_penalty(*_):\n    while True:\n        pass", STEP], [0, 4]),
    "dies when called": (["import os\ndef l2_penalty(*_):\n    os._exit(1)", STEP], [0, 4]),
    "hangs in the stub": ([PENALTY, HANG, CRASH, STEP], [4, 4]),
    "calls the check": (["from regbook.check import exercises\n"
                         f"check, progress = exercises({SLUG!r})", PENALTY,
                         "print(check(l2_penalty))\nprogress()"], [4, 0]),
    "asks": (["name = input('name? ')", PENALTY], [4, 0]),
}  # fmt: skip


def test_every_way_to_define_a_function_counts(short):
    need_bubblewrap()
    with Light("bubblewrap") as sandbox:
        for name, case in DEFINITIONS.items():
            cells, deserved = case if isinstance(case, tuple) else (case, [4, 4])
            result = grade(book(*cells), sandbox, 2)
            earned = [sum(row["points"] for row in r["rows"]) for r in reports(result)[:2]]
            assert earned == deserved, (name, result["problems"])
            assert points(result) == sum(deserved), name
        result = grade(book(PENALTY, HANG, CRASH, STEP), sandbox, 2)
        assert list(result["problems"]) == ["3", "4"]


def test_command_of_a_shell_grades_the_solution(tmp_path):
    """As a teacher runs it, with both frameworks, from a folder with secrets."""
    need_bubblewrap()
    data = (ROOT / "solutions" / f"{SLUG}.ipynb").read_bytes()
    spy = f"import os\nassert not os.path.exists({str(tmp_path)!r})"
    folder = hand_in(tmp_path / "in", a=data, b=book(PENALTY, spy))
    command = [sys.executable, "-m", "regbook", "grade", "in", "--out", "out", "--jobs", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (
        "2 graded, 0 could not be graded.\nOpen out/index.html in a browser. The tables are in out"
        in done.stdout
    )
    assert column(tmp_path / "out", "points") == {"a.ipynb": str(MAX_POINTS), "b.ipynb": "4"}
    assert column(tmp_path / "out", "status") == {"a.ipynb": "graded", "b.ipynb": "graded"}
    help_text = subprocess.run([Path(sys.executable).with_name("regbook"), "grade", "--help"],
                               capture_output=True, text=True, check=True).stdout  # fmt: skip
    assert "Exit status: 0 everything was graded" in help_text
    assert sorted(p.name for p in folder.iterdir()) == ["a.ipynb", "b.ipynb"]


def test_corrections_survive_every_run(tmp_path, light_grader, capsys):
    folder, out = hand_in(tmp_path / "in", a=book(PENALTY), b=book(PENALTY)), tmp_path / "out"
    assert graded(folder, out) == 0
    corrected = "submission,exercise,points,comment\na.ipynb,l2_gradient_step,2,Seen on paper.\n"
    (out / "corrections.csv").write_text(corrected)
    for _ in range(2):
        assert graded(folder, out) == 0
        assert column(out, "points") == {"a.ipynb": "6", "b.ipynb": "4"}
        assert "2 of 4 points, corrected by your teacher: Seen on paper." in page(out, "a")
        assert "corrected" not in page(out, "b")
        assert (out / "corrections.csv").read_text() == corrected
    (out / "corrections.csv").write_text(corrected.replace("2,Seen", "two,Seen"))
    assert graded(folder, out) == 2
    assert "line 2: expected points, a number of 0 or more" in capsys.readouterr().err
    assert column(out, "points") == {"a.ipynb": "6", "b.ipynb": "4"}
    (tmp_path / "joined").mkdir()
    (tmp_path / "joined/corrections.csv").write_text(corrected.replace("a.ipynb", "b.ipynb"))
    assert run("merge", out, "--out", tmp_path / "joined") == 0
    assert column(tmp_path / "joined", "points") == {"a.ipynb": "6", "b.ipynb": "6"}
    (out / "corrections.csv").unlink()
    assert graded(folder, out) == 0
    assert column(out, "points") == {"a.ipynb": "4", "b.ipynb": "4"}
    assert "corrected" not in page(out, "a")


def page(out, name):
    return (out / "feedback" / f"{name}.ipynb.html").read_text()
