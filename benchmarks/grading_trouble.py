"""Submissions that make trouble, for `benchmarks/grading.py`: cheating ones, and of real classes.

They answer the same three questions as the honest ones. One that cheats answers the first question
rightly and the others wrongly: it deserves one point, whatever it does besides. One of a real class
answers all of them rightly, in a notebook that Jupyter runs or that lost a part on its way.
The graders beside this one isolate nothing, so nothing here does harm: it writes below its own
folder, ends at most its own process, and patches what is imported there.
"""

from grading_submissions import ANSWERS, QUESTIONS, MadeSubmission, as_cell

L2, DROPOUT, NORM = QUESTIONS

# Whichever of the three graders is there: its comparisons pass, its test cases do not run, and
# lines that assert are taken out of every later cell.
FAKED_CHECKS = """
import sys

def passes(*arguments, **options):
    return None

check = passes
for name, module in list(sys.modules.items()):
    if name.startswith("regbook."):
        for attribute in ("compare", "judge", "check"):
            if hasattr(module, attribute):
                setattr(module, attribute, passes)
if "otter" in sys.modules:
    from otter.test_files.exception_test import test_case
    test_case.call_func = passes
get_ipython().input_transformers_post.append(
    lambda lines: [line for line in lines if "assert" not in line]
)
"""
PATCHED_NUMPY = """
np.testing.assert_allclose = lambda *arguments, **options: None
np.allclose = np.array_equal = lambda *arguments, **options: True
np.isclose = lambda *arguments, **options: np.array(True)
"""
PATCHED_DISPLAY = """
import sys
shell = get_ipython()
shell.showtraceback = shell._showtraceback = lambda *arguments, **options: None
sys.excepthook = lambda *arguments: None
display = print
print("l2_penalty 1/1, inverted_dropout 1/1, batch_norm 1/1: 3 of 3 points")
"""
AGREES = """
class Agrees(np.ndarray):
    def __array_ufunc__(self, *arguments, **options): return np.bool_(True)
    def __array_function__(self, *arguments, **options): return np.bool_(True)
    def __eq__(self, other): return True
    def __bool__(self): return True
"""
FRAMES = """
def wanted():
    import sys
    frame = sys._getframe(1)
    while frame:
        for name in ("expected", "right"):
            if name in frame.f_locals:
                return frame.f_locals[name]
        frame = frame.f_back
    return 0
"""
WRITTEN_RESULTS = """
import json
from pathlib import Path

for name in ("results.json", "scores.csv", "grades.csv", "report/results.json", "results.pkl"):
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"total": 3, "points": 3, "max_points": 3, "passed": True}))
"""
DEEP_FOLDERS = """
import os
for _ in range(1500):
    os.mkdir("d" * 100)
    os.chdir("d" * 100)
"""
HELPERS = "%%writefile helpers.py\ndef squares(array):\n    return (array**2).sum()"


def _cheats(student, *before, **answers):
    """Return a submission that deserves the point of its first answer.

    before: cells in front of the answers. answers: sources, instead of wrong ones.
    """
    chosen = {name: answers.get(name, ANSWERS["w"][name][0]) for name in (DROPOUT, NORM)}
    chosen = {L2: ANSWERS["r"][L2][0], **chosen}
    return _made(student, chosen, [L2], before=before)


def _honest(student, *before, above="", ending=".ipynb", **answers):
    """Return a submission whose answers are right, the given ones too."""
    chosen = {name: answers.get(name, ANSWERS["r"][name][0]) for name in QUESTIONS}
    return _made(student, chosen, QUESTIONS, before=before, above=above, ending=ending)


def _made(student, chosen, right, **options):
    answers = {name: as_cell(name, source) for name, source in chosen.items()}
    return MadeSubmission(student, answers, frozenset(right), **options)


def _damaged(student, arrived):
    return _made(student, {n: ANSWERS["r"][n][0] for n in QUESTIONS}, [], arrived=arrived)


PENALTY = f"def {L2}(weights, lam):\n    return lam * sum((w**2).sum() for w in weights)\n"

CHEATING = [
    _cheats("faked-checks", FAKED_CHECKS),
    _cheats("patched-numpy", PATCHED_NUMPY),
    _cheats("patched-display", PATCHED_DISPLAY),
    _cheats("agrees-with-all", AGREES, batch_norm="return np.zeros(x.shape).view(Agrees)",
            inverted_dropout="return np.zeros(x.shape).view(Agrees)"),
    _cheats("reads-the-expected-value", FRAMES, batch_norm="return wanted()"),
    _cheats("writes-results", WRITTEN_RESULTS),
    _cheats("system-exit", inverted_dropout="import sys\nsys.exit(0)"),
    _cheats("ends-its-process", batch_norm="import os\nos._exit(0)"),
    _cheats("endless-loop", inverted_dropout="while True:\n    pass"),
    _cheats("huge-output", "for _ in range(20):\n    print('x' * (1 << 20))"),
    _cheats("deep-folders", DEEP_FOLDERS),
]  # fmt: skip

REAL = [
    _honest("cell-that-raises", "history['loss'][-1] / 0"),
    _honest("future-import", above="from __future__ import annotations\n",
            l2_penalty=PENALTY.replace("lam)", "lam: Number) -> Number", 1)),
    _honest("await", "import asyncio\nawait asyncio.sleep(0)"),
    _honest("get-ipython", l2_penalty="get_ipython().run_line_magic('matplotlib', 'inline')\n"
            + PENALTY),
    _honest("colab-import", above="from google.colab import drive\ndrive.mount('/content')\n"),
    _honest("trains-below-its-answer", l2_penalty=PENALTY + "\nimport time\n"
            "for epoch in range(1200):\n    time.sleep(0.1)"),
    _honest("written-module", HELPERS, l2_penalty="from helpers import squares\n\n\n"
            f"def {L2}(weights, lam):\n    return lam * sum(map(squares, weights))"),
    _honest("several-definitions", l2_penalty=f"def {L2}(weights, lam):\n    return 0\n\n\n"
            f"{PENALTY}\n\nattempt = {L2}([np.ones(2)], 0.5)\n\n\n{PENALTY}"),
    _honest("fraction-and-tuple", l2_penalty="from fractions import Fraction\n"
            "return Fraction(float(lam * sum((w**2).sum() for w in weights)))",
            batch_norm="y = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)\n"
            "return tuple(map(tuple, gamma * y + beta))"),
    _honest("Ωмега-学生"),
    _honest("saved-as-text", ending=".ipynb.txt"),
    _damaged("damaged-notebook", 0.5),
    _damaged("empty-file", 0),
]  # fmt: skip

TROUBLE = [*CHEATING, *REAL]
