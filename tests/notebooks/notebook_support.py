"""What the tests of the notebooks share: their paths, their cells, and the parts of their prose."""

import re
from pathlib import Path
from typing import NamedTuple

from regbook.chapters import FIRST_EDITION
from regbook.notebooks import read

ROOT = Path(__file__).parents[2]
FOLDERS = ("chapters/*", "solutions", "appendix")
NOTEBOOKS = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.ipynb"))
LESSONS = sorted(ROOT.glob("chapters/*/lesson.ipynb"))
LABORATORIES = sorted(ROOT.glob("chapters/*/laboratory.ipynb"))
SECOND_EDITION = [path for path in LESSONS if path.parent.name not in FIRST_EDITION]

# Begins a program that runs as if this project was not installed.
WITHOUT_REGBOOK = """
import sys

class NoRegbook:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "regbook":
            raise ModuleNotFoundError(f"{name} is not there")

sys.meta_path.insert(0, NoRegbook)
"""

DIRECTIVE = re.compile(
    r"^(?P<fence>:{3,}|`{3,})\{(?P<name>[\w-]+)\} *(?P<title>.*)\n"
    r"(?P<body>(?:.*\n)*?)(?P=fence) *$",
    re.MULTILINE,
)


class Box(NamedTuple):
    """A directive of a page's prose, and the text that stands before it."""

    name: str
    title: str
    body: str
    before: str

    @property
    def folded(self):
        return self.name == "dropdown" or bool(re.match(r":class:.*\bdropdown\b", self.body))


def name(path):
    return str(path.relative_to(ROOT))


def tags(cell):
    return set(cell.metadata.get("tags", []))


def has(call, cell):
    """Whether a line of the cell starts with a call of this function."""
    return re.search(rf"^\s*{call}\(", cell.source, re.MULTILINE) is not None


def calls(function, cell):
    """Whether the cell calls this function anywhere."""
    return re.search(rf"(?<!def )\b{function}\(", cell.source) is not None


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def prose(path):
    return "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def title(path):
    """Return the one title of a page."""
    (found,) = re.findall(r"^# (.+)$", prose(path), re.MULTILINE)
    return found


def section(path, heading):
    """Return the prose below a heading of the second level, up to the next one."""
    text = f"{prose(path)}\n## "
    start = text.index(f"\n## {heading}\n")
    return text[start + 1 : text.index("\n## ", start + 1)]


def boxes(text):
    """Return the directives of a text in their order, those inside others included."""
    found, end = [], 0
    for match in DIRECTIVE.finditer(text):
        before = text[end : match.start()]
        found.append(Box(match["name"], match["title"], match["body"], before))
        found += boxes(match["body"])
        end = match.end()
    return found


def anchor(heading):
    """Return the anchor that MyST gives a heading: its words in lower case, joined by hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def sections(path):
    """Return the code cells below each heading of a page, its subsections included, by anchor."""
    found, open_ = {}, []
    for cell in read(path).cells:
        if cell.cell_type == "code":
            for _, heading in open_:
                found[heading].append(cell)
            continue
        for marks, heading in re.findall(r"^(##+) (.+)$", cell.source, re.MULTILINE):
            open_ = [(level, held) for level, held in open_ if level < len(marks)]
            open_.append((len(marks), anchor(heading)))
            found.setdefault(open_[-1][1], [])
    return found
