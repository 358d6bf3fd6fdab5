"""The list of chapters, what is derived from it, and the skeleton of a new chapter.

python -m regbook.chapters contents                  # write _toc.yml from chapters/contents.yml
python -m regbook.chapters contents --without solutions   # for a class, into _build/
python -m regbook.chapters begin 19_fast_inference   # make the files of a chapter of that list
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
import yaml

from regbook.notebooks import read, tidy, to_text

CONTENTS = Path("chapters", "contents.yml")
TOC = Path("_toc.yml")
CLASS_TOC = Path("_build", "without-solutions", "_toc.yml")
APPENDIX = ("for_teachers", "same_word", "misconceptions", "notation", "bibliography", "status")
SECTIONS = (
    "Motivation",
    "Definition",
    "In Keras and PyTorch",
    "Experiment",
    "What goes wrong",
    "When not to use it",
    "Summary",
    "Exercises",
    "References",
)
"""The sections of a lesson, in their order."""

BOX = """:::{{admonition}} In this lesson
:class: tip
- **You will be able to** ...
- **You need first** ...
- **Time**: {{sub-ref}}`wordcount-minutes` minutes to read, {{running-time}}`.` to run on two CPU cores.
:::"""  # noqa: E501

CHECKS = '''"""Checks of chapter {number}, {title}."""

from regbook.exercise import Chapter

chapter = Chapter("{slug}")


# --- name_of_the_function ------------------------------------------------------------------------


def _name_of_the_function(x):
    """Return the right answer."""
    return 2 * x


name_of_the_function = chapter.exercise(
    "name_of_the_function",
    _name_of_the_function,
    mistakes={{"a short name": lambda x: x}},
    hints={{"a short name": "What went wrong, and what to do instead."}},
)


@name_of_the_function.check(hint="Shown when no mistake fits.", more="The stronger hint.")
def has_a_property(ask, rng):
    """is what the learner reads in the table"""
    return ask(rng.normal(size=(3, 2)))
'''

ANSWERS = '''"""Right and wrong answers to the exercises of chapter {number} that differ in form.

A wrong answer is a pair: the name of its mistake, and the function. Those that the checks know as
mistakes are tested too, and need no entry here.
"""

RIGHT = {{
    "name_of_the_function": [lambda x: x + x, lambda x: (2 * x).tolist()],
}}

WRONG = {{}}
'''

PAIRS = '''"""The conversion rules of the lesson on {title}, proved in float64."""

import pytest

pytestmark = pytest.mark.usefixtures("float64")
'''


class ContentsError(ValueError):
    """The list of chapters and a request do not fit; the message says how."""


def contents(root: Path) -> dict[str, dict[str, str]]:
    """Return the titles of the chapters by their slugs, by the titles of the parts."""
    return yaml.safe_load((root / CONTENTS).read_text(encoding="utf-8"))


def toc(root: Path, solutions: bool = True) -> str:
    """Return the text of `_toc.yml`: the pages of all chapters that are there, part by part.

    solutions: whether the solutions are among the pages.
    """
    parts = []
    for caption, chapters in contents(root).items():
        here = [slug for slug in chapters if (root / "chapters" / slug).is_dir()]
        entries = [_entry(root, slug, solutions) for slug in here]
        parts += [{"caption": caption, "chapters": entries}] if entries else []
    appendix = [{"file": f"appendix/{name}"} for name in APPENDIX]
    parts.append({"caption": "Appendix", "chapters": appendix})
    book = {"format": "jb-book", "root": "index", "parts": parts}
    return "# Written by `make exercises` from chapters/contents.yml.\n" + yaml.safe_dump(
        book, sort_keys=False, allow_unicode=True
    )


def _entry(root, slug, solutions):
    """Return the entry of one chapter: its lesson, with the other pages below it."""
    pages = {
        f"chapters/{slug}/laboratory": "Laboratory",
        f"chapters/{slug}/exercises": "Exercises",
    }
    if solutions:
        pages[f"solutions/{slug}"] = "Solutions"
    below = [
        {"file": page, "title": title}
        for page, title in pages.items()
        if (root / f"{page}.ipynb").exists()
    ]
    return {"file": f"chapters/{slug}/lesson", "sections": below}


def _notebook(install, *sources):
    """Return a notebook: the first cell, how to install, and the others, each of a kind by name."""
    first, *rest = sources
    make = {"md": nbformat.v4.new_markdown_cell, "py": nbformat.v4.new_code_cell}
    cells = [make["md"](first), install, *(make[kind](source) for kind, source in rest)]
    return nbformat.v4.new_notebook(cells=cells)


def _solution(install, slug, title):
    function = (
        "def name_of_the_function(x):\n"
        '    """Return ..."""\n'
        "    ### BEGIN SOLUTION\n"
        "    return 2 * x\n"
        "    ### END SOLUTION"
    )
    task = (
        "## name_of_the_function\n\nWhat to compute.\n\n- `x`: an array of any shape.\n"
        "- Return an array in the shape of `x`. Your function may change its arguments.\n\n"
        "Example: `x = np.array([1.0, 2.0])` gives `[2, 4]`."
    )
    return _notebook(
        install,
        f"# Solutions: {title}\n\nWrite each function, then run the cell with `check(...)` below "
        f"it. [The lesson](../chapters/{slug}/lesson.ipynb) has everything you need.",
        ("py", "import numpy as np\n\nfrom regbook.check import exercises\n\n"
               f'check, progress = exercises("{slug}")'),
        ("md", task),
        ("py", function),
        ("py", "check(name_of_the_function)"),
        ("py", "progress()"),
    )  # fmt: skip


def files(root: Path, slug: str) -> dict[Path, str]:
    """Return the texts of a new chapter's files by their paths; exercises.ipynb is derived.

    Raises ContentsError, with a sentence, for a slug that chapters/contents.yml does not list.
    """
    titles = {name: title for part in contents(root).values() for name, title in part.items()}
    if slug not in titles:
        raise ContentsError(f"{slug} is not in {CONTENTS}. It has: {', '.join(titles)}.")
    title, (number, _, topic) = titles[slug], slug.partition("_")
    neighbour = next(iter(sorted(root.glob("chapters/*/lesson.ipynb"))))
    install = next(cell for cell in read(neighbour).cells if cell.cell_type == "code")
    sections = [("md", f"## {section}\n\n...") for section in SECTIONS]
    lesson = _notebook(install, f"# {title}\n\n{BOX.format()}", *sections)
    names = {"number": number, "slug": slug, "title": title.lower()}
    return {
        root / "chapters" / slug / "lesson.ipynb": to_text(tidy(lesson)),
        root / "solutions" / f"{slug}.ipynb": to_text(tidy(_solution(install, slug, title))),
        root / "regbook" / "checks" / f"{topic}.py": CHECKS.format(**names),
        root / "tests" / "autograder" / f"{topic}_answers.py": ANSWERS.format(**names),
        root / "tests" / "pairs" / f"test_{topic}.py": PAIRS.format(**names),
    }


def begin(root: Path, slug: str) -> list[Path]:
    """Make the files of a chapter; one that is there, in any state, is kept. Return the new ones.

    Raises ContentsError, with a sentence, for a slug that chapters/contents.yml does not list.
    """
    made = []
    for path, text in files(root, slug).items():
        if path.exists():
            print(f"kept {path.relative_to(root)}: it is there already")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        made.append(path)
    return made


def write_toc(root: Path, solutions: bool = True) -> list[Path]:
    """Write `_toc.yml`, or that of a class without the solutions, unless it is up to date.

    Return the files that changed.
    """
    path, text = root / (TOC if solutions else CLASS_TOC), toc(root, solutions)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return [path]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command in the current folder; print the files that it wrote."""
    parser = argparse.ArgumentParser(
        prog="python -m regbook.chapters",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("contents").add_argument("--without", choices=["solutions"])
    commands.add_parser("begin").add_argument("slug")
    options, root = parser.parse_args(arguments), Path.cwd()
    try:
        if options.command == "begin":
            done = begin(root, options.slug)
        else:
            done = write_toc(root, solutions=options.without is None)
    except ContentsError as error:
        sys.exit(f"{error}")
    for path in done:
        print(f"wrote {path.relative_to(root)}")


if __name__ == "__main__":
    main()
