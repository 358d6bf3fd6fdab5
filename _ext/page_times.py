"""Two roles for the time that a page takes: to run, and to read.

`` {running-time}`.` `` renders the measured execution time of the current page, and
`` {running-time}`/chapters/07_l2_weight_decay/lesson` `` that of another one: its name without
the ending, relative to the current page unless it starts with a slash. Several names, and
patterns such as `/chapters/*/lesson`, are added up. `` {reading-time}`...` `` does the same for the
minutes that the words of the prose take, as MyST counts them (200 words a minute).

The times are known only after all pages are read, so a role leaves a placeholder that is filled
when the page is written. A page that shows times is written again whenever a page was executed.
"""

from __future__ import annotations

import fnmatch
import posixpath

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

LOGGER = logging.getLogger(__name__)

SHOWS_RUNS = "shows_what_was_executed"
"""Key under which a page that shows something of a run is noted in the environment."""


def in_words(seconds: float | None) -> str:
    """Return a duration as readers want it: `about 35 s`, `about 3 min`, `about 2.5 h`.

    None stands for a page that was not executed.
    """
    if seconds is None:
        return "not measured yet"
    if seconds < 1:
        return "under a second"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def named(name: str, docname: str) -> str:
    """Return the docname that `name` stands for on the page `docname`."""
    if name == ".":
        return docname
    if name.startswith("/"):
        return name[1:]
    return posixpath.normpath(posixpath.join(docname, "..", name))


class PageTime(nodes.Inline, nodes.Element):
    """Placeholder for a time of the pages in `pages`; `kind` is the name of the role."""


def running_seconds(env: BuildEnvironment, page: str) -> float | None:
    """Return how long the cells of a page ran, or None for a page that was not executed."""
    return (NbMetadataCollector.get_exec_data(env, page) or {}).get("runtime")


def reading_seconds(env: BuildEnvironment, page: str) -> float | None:
    """Return how long its words take to read, or None for a page without a count."""
    minutes = env.metadata[page].get("wordcount", {}).get("minutes")
    return None if minutes is None else 60 * minutes


SECONDS = {"running-time": running_seconds, "reading-time": reading_seconds}
"""What each role adds up."""


class PageTimeRole(SphinxRole):
    """Put a placeholder for a time of the pages that the role's text names."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the placeholder; an empty text or `.` stands for the current page."""
        docname = self.env.docname
        pages = [named(name, docname) for name in self.text.split() or ["."]]
        NbMetadataCollector.set_doc_data(self.env, docname, SHOWS_RUNS, True)
        node = PageTime(kind=self.name, pages=pages)
        self.set_source_info(node)
        return [node], []


class FillPageTimes(SphinxPostTransform):
    """Replace the placeholders by text; warn where a page does not exist."""

    default_priority = 8

    def run(self, **kwargs: object) -> None:
        """Fill the document in place."""
        for node in list(self.document.findall(PageTime)):
            times = []
            for pattern in node["pages"]:
                pages = fnmatch.filter(self.env.found_docs, pattern)
                if not pages:
                    LOGGER.warning(
                        f"{node['kind']}: there is no page '{pattern}'",
                        location=node,
                        type="regbook",
                        subtype="page_times",
                    )
                times += [SECONDS[node["kind"]](self.env, page) for page in pages]
            total = sum(times) if times and None not in times else None
            node.replace_self(nodes.Text(in_words(total)))


def pages_to_write_again(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Return the pages that show times, when a page was executed in this build."""
    if not NbMetadataCollector.new_exec_data(env):
        return []
    data = NbMetadataCollector.get_doc_data(env)
    return [docname for docname, entry in data.items() if entry.get(SHOWS_RUNS)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the roles with Sphinx."""
    app.add_node(PageTime)
    for name in SECONDS:
        app.add_role(name, PageTimeRole())
    app.add_post_transform(FillPageTimes)
    app.connect("env-updated", pages_to_write_again)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
