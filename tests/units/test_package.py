"""Importing regbook is fast and loads no framework."""

import subprocess
import sys

TIME = "from time import perf_counter as t; s = t(); import regbook; print(t() - s)"
EVERYTHING = """
import importlib, pkgutil, sys
import regbook
names = [m.name for m in pkgutil.walk_packages(regbook.__path__, "regbook.")]
for name in names:
    importlib.import_module(name)
print(*names)
print(*sorted({"torch", "tensorflow", "keras", "jax"} & set(sys.modules)))
"""


def python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_import_takes_less_than_a_tenth_of_a_second():
    assert min(float(python(TIME)) for _ in range(5)) < 0.1


def test_no_module_imports_a_framework():
    modules, frameworks = python(EVERYTHING).splitlines()
    assert {"regbook.sweep", "regbook.check", "regbook.checks.l2_weight_decay"} <= set(
        modules.split()
    )
    assert frameworks == ""
