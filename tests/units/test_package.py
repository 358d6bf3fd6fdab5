"""Importing regbook is fast, loads no framework, and goes in no circle."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import regbook

TIME = "from time import process_time as t; s = t(); import regbook; print(t() - s)"
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


def imported(module, path, modules):
    """Yield which of `modules` a module imports, anywhere in its code.

    Whoever imports a part of a package imports the package too, but for its own parts.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            chain = [".".join(parts[:i]) for i in range(len(parts), 0, -1)]
            chain = [part for part in chain if part in modules]  # the rest is defined in one
            yield from chain[:1]
            yield from (part for part in chain[1:] if not f"{module}.".startswith(f"{part}."))


def imports(package):
    """Return what each module of a package imports from it: sets of names, by name."""
    modules = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: {*imported(name, path, modules)} for name, path in modules.items()}


def test_imports_go_in_no_circle():
    found = imports(Path(regbook.__file__).parent)
    assert "regbook.grading.cluster" in found["regbook.grading.batch"]  # inside a function
    assert "regbook.exercise" in found["regbook.grading.inside.child"]
    graphlib.TopologicalSorter(found).prepare()


def test_circle_through_a_package_and_a_function_is_found(tmp_path):
    (tmp_path / "book/inner").mkdir(parents=True)
    for name, text in {
        "__init__": "",
        "outer": "from book.inner import name",
        "inner/__init__": "from book.inner.deep import name",
        "inner/deep": "import book.inner.other",
        "inner/other": "name = 1\ndef late():\n    from book import outer",
    }.items():
        (tmp_path / "book" / f"{name}.py").write_text(text)
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(imports(tmp_path / "book")).prepare()
    (tmp_path / "book/inner/other.py").write_text("name = 1")
    graphlib.TopologicalSorter(imports(tmp_path / "book")).prepare()


CHECKS = sorted(Path(regbook.__path__[0], "checks").glob("*.py"))


@pytest.mark.parametrize("path", CHECKS, ids=lambda path: path.stem)
def test_checks_need_numpy_and_regbook_alone(path):
    """So that they run in a browser, and a check in a notebook imports no framework."""
    used = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            used |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            used.add(node.module.partition(".")[0])
    assert used - sys.stdlib_module_names <= {"numpy", "regbook"}


def public_functions(path):
    """Yield (name, node) of every function and method that others may call."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            inner = [n for n in node.body if isinstance(n, ast.FunctionDef)]
            yield from ((f"{node.name}.{n.name}", n) for n in inner if n.name[0] != "_")
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node


def source_files():
    return [
        path for path in Path(regbook.__path__[0]).rglob("*.py") if path.parent.name != "checks"
    ]


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.stem)
def test_public_functions_say_their_types(path):
    untyped = []
    for name, node in public_functions(path):
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        given += [a for a in (node.args.vararg, node.args.kwarg) if a]
        bare = [a.arg for a in given if a.annotation is None and a.arg not in ("self", "cls")]
        if bare or node.returns is None:
            untyped.append(f"{name}: {', '.join(bare) or 'what it returns'}")
    assert untyped == []


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.stem)
def test_no_function_is_longer_than_forty_lines(path):
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    functions = [n for n in nodes if isinstance(n, ast.FunctionDef)]
    assert [f.name for f in functions if f.end_lineno - f.lineno + 1 > 40] == []
