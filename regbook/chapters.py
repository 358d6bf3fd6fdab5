"""The list of chapters, what is derived from it, and the beginning of a new chapter.

python -m regbook.chapters contents                  # write _toc.yml from chapters/contents.yml
python -m regbook.chapters contents --without solutions   # for a class, into _build/
python -m regbook.chapters begin 25_pruning        # make the files of a chapter of that list
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from regbook import skeleton
from regbook.notebooks import read

CONTENTS = Path("chapters", "contents.yml")
TOC = Path("_toc.yml")
CLASS_TOC = Path("_build", "without-solutions", "_toc.yml")
APPENDIX = (
    "for_teachers", "same_word", "misconceptions", "notation", "glossary", "bibliography", "status",
)  # fmt: skip
SECTIONS = (
    "Motivation",
    "Definition",
    "In Keras and PyTorch",
    "Experiment",
    "What goes wrong",
    "When not to use it",
    "Summary",
    "Check yourself",
    "Exercises",
    "References",
)
"""The sections of a lesson, in their order. A first edition has no "Check yourself"."""

# The chapters that still have their lesson and no laboratory. The list only shrinks.
FIRST_EDITION = (
    "01_data_splits",
    "04_input_normalization",
    "13_early_stopping",
    "14_learning_rate_schedules",
)


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


def files(root: Path, slug: str) -> dict[Path, str]:
    """Return the texts of a new chapter's files by their paths; exercises.ipynb is derived.

    Raises ContentsError, with a sentence, for a slug that chapters/contents.yml does not list.
    """
    titles = {name: title for part in contents(root).values() for name, title in part.items()}
    if slug not in titles:
        raise ContentsError(f"{slug} is not in {CONTENTS}. It has: {', '.join(titles)}.")
    title, topic = titles[slug], slug.partition("_")[2]
    neighbour = next(iter(sorted(root.glob("chapters/*/lesson.ipynb"))))
    install = next(cell for cell in read(neighbour).cells if cell.cell_type == "code")
    pages, modules = skeleton.pages(install, slug, title), skeleton.modules(slug, title)
    return {
        root / "chapters" / slug / "lesson.ipynb": pages["lesson"],
        root / "chapters" / slug / "laboratory.ipynb": pages["laboratory"],
        root / "solutions" / f"{slug}.ipynb": pages["solution"],
        root / "regbook" / "checks" / f"{topic}.py": modules["checks"],
        root / "tests" / "autograder" / f"{topic}_answers.py": modules["answers"],
        root / "tests" / "pairs" / f"test_{topic}.py": modules["pairs"],
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
