"""A small change to a solution costs points: the checks have no hole of that size."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLUGS = sorted(path.stem for path in ROOT.glob("solutions/*.ipynb"))
SEEDS = ("0", "1", "2")


@pytest.mark.parametrize("slug", SLUGS)
def test_every_small_change_of_a_solution_is_rejected(slug):
    command = [sys.executable, str(ROOT / "benchmarks" / "mutation.py"), "--chapter", slug]
    run = subprocess.run([*command, *SEEDS], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    changed, rejected = map(int, re.search(r"(\d+) of (\d+) mutants rejected", run.stdout).groups())
    assert changed == rejected >= 50
