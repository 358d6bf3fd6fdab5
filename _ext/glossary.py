"""The directive `course-terms`: the glossary, made from `appendix/glossary.yml`.

With the argument `english` it shows every term with its two sentences, its symbol, its names in the
libraries and its chapter. With `korean` it lists the Korean terms in their own order, with links to
the first list, which must stand on the same page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from regbook.chapters import CONTENTS, contents

FILE = "appendix/glossary.yml"


def terms(root: Path) -> list[dict[str, str]]:
    """Return the terms, with the title of the chapter of each."""
    titles = {slug: title for part in contents(root).values() for slug, title in part.items()}
    found = yaml.safe_load((root / FILE).read_text(encoding="utf-8"))
    return [{**term, "title": titles[term["chapter"]]} for term in found]


def anchor(term: dict[str, str]) -> str:
    """Return the id of a term on the page."""
    return nodes.make_id(f"term {term['english']}")


def korean(text: str) -> nodes.inline:
    """Return Korean text, marked as such for fonts and screen readers."""
    return nodes.inline("", text, classes=["language-ko"])


class CourseTerms(Directive):
    """Put the terms where the directive stands."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the list; the page is read again when the file of terms changes."""
        env = self.state.document.settings.env
        root = Path(env.srcdir)
        for name in (FILE, CONTENTS):
            env.note_dependency(str(root / name))
        found = terms(root)
        if self.arguments[0] == "korean":
            rows = sorted(found, key=lambda term: term["korean"])
            return [nodes.bullet_list("", *map(self._linked, rows))]
        return [nodes.definition_list("", *map(self._explained, found))]

    def _linked(self, term: dict[str, str]) -> nodes.Node:
        link = nodes.reference("", term["english"], refid=anchor(term), internal=True)
        line = nodes.paragraph("", "", korean(term["korean"]), nodes.Text(": "), link)
        return nodes.list_item("", line)

    def _explained(self, term: dict[str, str]) -> nodes.Node:
        name = nodes.term("", "", nodes.strong("", term["english"]), ids=[anchor(term)])
        name += [nodes.Text(" · "), korean(term["korean"])]
        shown = nodes.definition("", self._parsed(term["means"]))
        shown += nodes.paragraph("", "", korean(term["뜻"]))
        places = [f"[{term['title']}](../chapters/{term['chapter']}/lesson.ipynb)"]
        if "symbol" in term:
            places.insert(0, term["symbol"])
        places += [f"`{term[library]}`" for library in ("keras", "torch") if library in term]
        shown += self._parsed(" · ".join(places))
        return nodes.definition_list_item("", name, shown)

    def _parsed(self, text: str) -> nodes.Node:
        box: Any = nodes.Element()
        self.state.nested_parse(StringList([text], source=FILE), self.content_offset, box)
        return box.children[0]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive with Sphinx."""
    app.add_directive("course-terms", CourseTerms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
