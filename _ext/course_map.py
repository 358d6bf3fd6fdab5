"""The directive `course-map`: the chapters part by part, with links to those that are there.

It is made from `chapters/contents.yml`. A chapter without a folder is shown as "to come".
"""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from regbook.chapters import CONTENTS, contents


def course_map(root: Path) -> str:
    """Return the map in Markdown: a heading for each part, a numbered line for each chapter."""
    lines: list[str] = []
    for part, chapters in contents(root).items():
        lines += ["", f"### {part.replace(' - ', ': ')}", ""]
        for slug, title in chapters.items():
            number, folder = int(slug[:2]), f"chapters/{slug}"
            entry = f"[{title}]({folder}/lesson.ipynb) ([exercises]({folder}/exercises.ipynb))"
            here = (root / folder).is_dir()
            lines.append(f"{number}. {entry if here else f'{title} -- *to come*'}")
    return "\n".join(lines)


class CourseMap(Directive):
    """Put the map where the directive stands."""

    def run(self) -> list[nodes.Node]:
        """Return the parsed map; the page is read again when the list of chapters changes."""
        env = self.state.document.settings.env
        env.note_dependency(str(Path(env.srcdir) / CONTENTS))
        node = nodes.section()
        node.document = self.state.document
        text = StringList(course_map(Path(env.srcdir)).splitlines(), source=str(CONTENTS))
        self.state.nested_parse(text, self.content_offset, node, match_titles=True)
        return node.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive with Sphinx."""
    app.add_directive("course-map", CourseMap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
