"""Number figures within their chapter: the third figure of chapter 10 is "Fig. 10.3".

Sphinx numbers figures by the numbers of the sections that hold them. No section of the book shows
a number, and none may, so the chapter's number is put in its place while Sphinx counts. The pages
of a chapter count on: the first figure of a laboratory follows the last of its lesson.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.environment.collectors.toctree import TocTreeCollector

CHAPTER = re.compile(r"(?:chapters|solutions)/(\d+)_")

number_by_section = TocTreeCollector.assign_figure_numbers


def chapter(docname: str) -> int | None:
    """Return the number of the chapter that a page belongs to, or None."""
    found = CHAPTER.match(docname)
    return int(found[1]) if found else None


def number_by_chapter(collector: TocTreeCollector, env: BuildEnvironment) -> list[str]:
    """Number the figures of all pages; return the pages whose numbers have changed."""
    sections = env.toc_secnumbers
    numbers = {docname: chapter(docname) for docname in env.found_docs}
    env.toc_secnumbers = {name: {"": (n,)} for name, n in numbers.items() if n is not None}
    try:
        return number_by_section(collector, env)
    finally:
        env.toc_secnumbers = sections


def setup(app: Sphinx) -> dict[str, bool]:
    """Put the count in the place of Sphinx's own, which has no setting or event for it."""
    TocTreeCollector.assign_figure_numbers = number_by_chapter
    return {"parallel_read_safe": True, "parallel_write_safe": True}
