"""A role for the time that a page took to run.

`` {running-time}`.` `` renders the measured execution time of the current page, and
`` {running-time}`/chapters/07_l2_weight_decay/lesson` `` that of another one: its name without
the ending, relative to the current page unless it starts with a slash.

The time is known only after all pages are read, so the role leaves a placeholder that is filled
when the page is written. A page that shows times is written again whenever a page was executed.
"""

from __future__ import annotations

import posixpath

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

LOGGER = logging.getLogger(__name__)

SHOWS_TIMES = "shows_running_times"
"""Key under which a page that uses the role is noted in the environment."""


class RunningTime(nodes.Inline, nodes.Element):
    """Placeholder for the execution time of the page whose docname is in `page`."""


def in_words(seconds: float | None) -> str:
    """Return a duration as readers want it: `about 35 s`, `about 3 min`.

    None stands for a page that was not executed.
    """
    if seconds is None:
        return "not measured yet"
    if seconds < 1:
        return "under a second"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min"


class RunningTimeRole(SphinxRole):
    """Put a placeholder for the execution time of the page that the role's text names."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the placeholder; an empty text or `.` stands for the current page."""
        page = self.text.strip()
        if page in ("", "."):
            page = self.env.docname
        elif page.startswith("/"):
            page = page[1:]
        else:
            page = posixpath.normpath(posixpath.join(self.env.docname, "..", page))
        NbMetadataCollector.set_doc_data(self.env, self.env.docname, SHOWS_TIMES, True)
        node = RunningTime(page=page)
        self.set_source_info(node)
        return [node], []


class FillRunningTimes(SphinxPostTransform):
    """Replace the placeholders by text; warn where a page does not exist."""

    default_priority = 8

    def run(self, **kwargs: object) -> None:
        """Fill the document in place."""
        for node in list(self.document.findall(RunningTime)):
            page = node["page"]
            if page not in self.env.found_docs:
                LOGGER.warning(
                    f"running-time: there is no page '{page}'",
                    location=node,
                    type="regbook",
                    subtype="running_time",
                )
            execution = NbMetadataCollector.get_exec_data(self.env, page) or {}
            node.replace_self(nodes.Text(in_words(execution.get("runtime"))))


def pages_to_write_again(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Return the pages that show times, when a page was executed in this build."""
    if not NbMetadataCollector.new_exec_data(env):
        return []
    data = NbMetadataCollector.get_doc_data(env)
    return [docname for docname, entry in data.items() if entry.get(SHOWS_TIMES)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the role with Sphinx."""
    app.add_node(RunningTime)
    app.add_role("running-time", RunningTimeRole())
    app.add_post_transform(FillRunningTimes)
    app.connect("env-updated", pages_to_write_again)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
