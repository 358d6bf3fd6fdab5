"""Notebooks: the learner's copy derived from a solution, and the one normal form for git.

python -m regbook.notebooks exercises   # solutions/*.ipynb -> chapters/*/exercises.ipynb
python -m regbook.notebooks tidy        # normalise every notebook of the book
python -m regbook.notebooks work        # copy the exercises to work/, never overwriting
"""

import argparse
import ast
import copy
import hashlib
import importlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nbformat

from regbook.progress import FOLDER

CHECKED = "nbval-check-output"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = "# YOUR CODE HERE\nraise NotImplementedError"


class NotebookError(ValueError):
    """A notebook cannot be derived or normalised; the message names it and says why."""


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook. Raises NotebookError, naming the file, when it is not one."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises many types for the same fact
        raise NotebookError(f"{path} is not a readable notebook: {error}") from error


def function_sources(path: Path) -> dict[str, str]:
    """Return the source of the cell that defines each function of a notebook, by its name.

    Only cells that begin with a definition count, and of several for one name the first.
    """
    found: dict[str, str] = {}
    for cell in read(path).cells:
        if cell.cell_type == "code" and cell.source.startswith("def "):
            for node in ast.parse(cell.source).body:
                if isinstance(node, ast.FunctionDef):
                    found.setdefault(node.name, cell.source)
    return found


def functions(path: Path) -> dict[str, Callable]:
    """Return the functions that a notebook defines, by name, ready to call with NumPy at hand."""
    found = {}
    for name, source in function_sources(path).items():
        space: dict[str, Any] = {"np": importlib.import_module("numpy")}
        exec(source, space)
        found[name] = space[name]
    return found


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the normal form of a notebook, in which equal content gives equal bytes.

    Cell ids are derived from the content; execution counts and machine metadata go; outputs
    stay only on cells tagged `nbval-check-output`, where a test compares them.
    """
    notebook = copy.deepcopy(notebook)
    ours = {key: notebook.metadata[key] for key in ("regbook",) if key in notebook.metadata}
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            **ours,
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        digest = hashlib.sha1(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        for key in ("execution", "collapsed", "scrolled"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            if CHECKED not in cell.metadata.get("tags", []):
                cell.outputs = []
            # nbval takes a cell with outputs and without a count for one that was never run.
            cell.execution_count = 1 if cell.outputs else None
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = 1
    return notebook


def derive_exercises(solution: nbformat.NotebookNode, slug: str) -> nbformat.NotebookNode:
    """Return the learner's notebook of a solution: marked lines become a stub, outputs go.

    A block between `### BEGIN SOLUTION` and `### END SOLUTION` (nbgrader's markers) becomes
    "not implemented" at the same indentation. Cells tagged `solution-only` are left out, and
    links into the chapter's folder, `slug`, are made relative to it. A title "Solutions: ..."
    becomes "Exercises: ...". The grader reads the chapter from the metadata.
    Raises NotebookError for markers without a partner, and when there is none at all.
    """
    notebook = copy.deepcopy(solution)
    notebook.cells = [
        c for c in notebook.cells if "solution-only" not in c.metadata.get("tags", [])
    ]
    block = re.compile(rf"^([ \t]*){BEGIN}\n.*?^[ \t]*{END}$", re.MULTILINE | re.DOTALL)
    found = 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            cell.source = cell.source.replace(f"](../chapters/{slug}/", "](")
            cell.source = cell.source.replace("# Solutions: ", "# Exercises: ")
            continue
        markers = re.findall(f"{BEGIN}|{END}", cell.source)
        paired = markers == [BEGIN, END] * (len(markers) // 2)
        cell.source, count = block.subn(
            lambda m: "\n".join(m[1] + line for line in STUB.split("\n")), cell.source
        )
        found += count
        tags = [t for t in cell.metadata.get("tags", []) if t != CHECKED]
        if tags:
            cell.metadata["tags"] = tags
        else:
            cell.metadata.pop("tags", None)
        if not paired or BEGIN in cell.source or END in cell.source:
            raise NotebookError(
                f"a solution marker has no partner in the cell {cell.source[:60]!r}"
            )
    if not found:
        raise NotebookError(f"no cell has the markers {BEGIN} and {END}")
    notebook.metadata["regbook"] = {"chapter": slug}
    return tidy(notebook)


def to_text(notebook: nbformat.NotebookNode) -> str:
    """Return the bytes that git sees: sorted keys, one trailing newline."""
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n"


def write(path: Path, notebook: nbformat.NotebookNode) -> bool:
    """Write `notebook` to `path` unless it is there already; return whether it was written."""
    text = to_text(notebook)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True


def _exercises(root):
    derived = {}
    for solution in sorted(root.glob("solutions/*.ipynb")):
        path = root / "chapters" / solution.stem / "exercises.ipynb"
        try:
            derived[path] = derive_exercises(read(solution), solution.stem)
        except NotebookError as error:
            raise NotebookError(f"{solution}: {error}") from error
    return [path for path, notebook in derived.items() if write(path, notebook)]


def _tidy(root):
    folders = ("solutions", "chapters/*", "appendix")
    paths = sorted(path for folder in folders for path in root.glob(f"{folder}/*.ipynb"))
    tidied = {path: tidy(read(path)) for path in paths}  # a damaged one stops it before any write
    return [path for path, notebook in tidied.items() if write(path, notebook)]


def _work(root):
    """Copy each chapter's exercises into work/. A file that is there, in any state, is kept.

    A copy remembers what it was made from, so that a newer version can be announced.
    """
    made = []
    (root / "work" / FOLDER).mkdir(parents=True, exist_ok=True)
    for source in sorted(root.glob("chapters/*/exercises.ipynb")):
        target = root / "work" / f"{source.parent.name}.ipynb"
        text = source.read_text(encoding="utf-8")
        version = hashlib.sha256(text.encode()).hexdigest()[:16]
        if target.exists():
            newer = _copied_version(target) not in (version, None)
            said = f"; a newer version is in {source.relative_to(root)}" if newer else ""
            print(f"kept {target.relative_to(root)}: it is yours{said}")
            continue
        link = f"](../chapters/{source.parent.name}/lesson.ipynb"
        notebook = nbformat.reads(text.replace("](lesson.ipynb", link), as_version=4)
        notebook.metadata.setdefault("regbook", {})["version"] = version
        target.write_text(to_text(notebook), encoding="utf-8")
        made.append(target)
    return made


def _copied_version(path):
    """Return what a learner's copy remembers, or None where it remembers nothing."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["metadata"]["regbook"]["version"]
    except (OSError, ValueError, KeyError, TypeError):  # in whatever state it is: it is theirs
        return None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command on the notebooks below the current folder; print the files it changed."""
    commands = {"exercises": _exercises, "tidy": _tidy, "work": _work}
    parser = argparse.ArgumentParser(
        prog="python -m regbook.notebooks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=commands)
    root = Path.cwd()
    try:
        changed = commands[parser.parse_args(arguments).command](root)
    except NotebookError as error:
        sys.exit(f"{error}")
    for path in changed:
        print(f"wrote {path.relative_to(root)}")


if __name__ == "__main__":
    main()
