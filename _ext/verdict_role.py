"""The role `verdict`: what a page measured, shown on this page or on another one.

`` {verdict}`/chapters/10_dropout/laboratory: Dropout against none` `` shows the verdict on the
question "Dropout against none" as that page displays it: outcome, question, effect with interval,
number of replicates. `` {verdict}`.: Dropout against none` `` shows one of the current page and
leaves the question out. A claim is named by its text.

The page is named as in the roles of `page_times`. The role leaves a placeholder that is filled when
the page is written, from the outputs of the page that it names; that page may be read later.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from page_times import SHOWS_RUNS, named
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

LOGGER = logging.getLogger(__name__)

# As regbook.verdicts and regbook.claims write them.
VERDICT = re.compile(
    r'<p class="verdict [\w-]+"><strong>(?P<label>.+?)</strong> (?P<question>.+?): '
    r'<span class="estimate">(?P<estimate>.+?)</span>, (?P<count>.+?)</p>'
)
CLAIM = re.compile(
    r"^Claim holds: (?P<text>.+?)(?: \(95 % interval (?P<evidence>.+)\))?$", re.MULTILINE
)


@dataclass(frozen=True)
class Shown:
    """What a page shows about a question: the outcome in words, and the effect, if there is one."""

    outcome: str
    effect: str


def verdicts(page: nodes.document) -> dict[str, Shown]:
    """Return what the outputs of a page say, by the question or the text of the claim."""
    found = {}
    for node in page.findall(lambda node: isinstance(node, (nodes.raw, nodes.literal_block))):
        for match in VERDICT.finditer(node.astext()):
            label, question, estimate, count = map(html.unescape, match.groups())
            found[question] = Shown(label, f"{estimate}, {count}")
        for match in CLAIM.finditer(node.astext()):
            evidence = match["evidence"]
            found[match["text"]] = Shown("holds", f"95 % interval {evidence}" if evidence else "")
    return found


class ShownVerdict(nodes.Inline, nodes.Element):
    """Placeholder for what the page `page` shows about the question `question`."""


class VerdictRole(SphinxRole):
    """Put a placeholder for the verdict that the role's text names."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the placeholder."""
        name, _, question = self.text.partition(": ")
        docname = self.env.docname
        NbMetadataCollector.set_doc_data(self.env, docname, SHOWS_RUNS, True)
        node = ShownVerdict(page=named(name, docname), question=" ".join(question.split()))
        self.set_source_info(node)
        return [node], []


class FillVerdicts(SphinxPostTransform):
    """Replace the placeholders by text; warn where a page shows nothing on a question."""

    default_priority = 8

    def run(self, **kwargs: object) -> None:
        """Fill the document in place."""
        known: dict[str, dict[str, Shown]] = {}
        for node in list(self.document.findall(ShownVerdict)):
            page, question = node["page"], node["question"]
            if page not in known:
                here = page in self.env.found_docs
                known[page] = verdicts(self.env.get_doctree(page)) if here else {}
            shown = known[page].get(question)
            if shown is None:
                LOGGER.warning(
                    f"verdict: the page '{page}' shows no verdict on '{question}'",
                    location=node,
                    type="regbook",
                    subtype="verdict",
                )
                node.replace_self(nodes.Text(question))
                continue
            words = [] if page == self.env.docname else [question]
            words += [shown.effect] if shown.effect else []
            rest = "".join(f": {text}" for text in words)
            node.replace_self([nodes.strong("", shown.outcome), nodes.Text(rest)])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the role with Sphinx; `page_times` writes the pages again that use it."""
    app.setup_extension("page_times")
    app.add_node(ShownVerdict)
    app.add_role("verdict", VerdictRole())
    app.add_post_transform(FillVerdicts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
