"""Show a pair (a Keras cell and its PyTorch twin) as one set of synchronised tabs.

A notebook is a flat list of cells, so its author only tags the cells of a pair `keras` and
`torch`. This extension turns such neighbours into a sphinx-design tab set, at read time.
All sets of the book share one sync group: one click switches every pair, and the browser
remembers the choice.

The rule
--------
- A *piece* is a code cell tagged `keras` or `torch`, or prose for one framework, written
  as `:::{div} tag-keras` (or `tag-torch`) and closed with `:::`.
- Neighbouring pieces form a *run*. Anything that a reader sees between two pieces ends the
  run; labels and comments do not, they stay with the piece that follows.
- Pieces of the same framework that follow each other share one tab. A new set starts when a
  framework recurs, so keras, torch, keras, torch makes two sets.
- A set is complete when it has both frameworks, with as many cells in one as in the other.
  An incomplete set is left as it stands and logs a warning, which `-W` makes an error.
- The Keras tab comes first, whatever the order of the cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx_design.shared import create_component

LOGGER = logging.getLogger(__name__)

LABELS = {"keras": "Keras", "torch": "PyTorch"}
"""The tab label of each framework, in the order of the tabs."""

SYNC_GROUP = "framework"

INVISIBLE = (nodes.target, nodes.comment, nodes.system_message, nodes.substitution_definition)


def framework_of(node: nodes.Node) -> str | None:
    """Return the framework that `node` is tagged with, or None.

    myst-nb gives a tagged cell the class `tag_keras`; authors write `tag-keras` on prose.
    Both spellings count on both.
    """
    if isinstance(node, nodes.container):
        for framework in LABELS:
            if {f"tag_{framework}", f"tag-{framework}"} & set(node["classes"]):
                return framework
    return None


def is_cell(node: nodes.Node) -> bool:
    """Tell a notebook's code cell from prose."""
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"


class PairSet:
    """The pieces of one future tab set.

    `tabs` maps each framework met to its nodes, invisible ones included; `current` is the
    framework of the last piece.
    """

    def __init__(self) -> None:
        self.tabs: dict[str, list[nodes.Node]] = {}
        self.current: str | None = None

    def accepts(self, framework: str) -> bool:
        """Return whether a piece of `framework` may follow: not if the framework recurs."""
        return framework == self.current or framework not in self.tabs

    def add(self, framework: str, pieces: Iterable[nodes.Node]) -> None:
        """Append `pieces` to the tab of `framework`."""
        self.tabs.setdefault(framework, []).extend(pieces)
        self.current = framework

    def nodes(self) -> list[nodes.Node]:
        """Return every node of the set, in document order."""
        return [node for pieces in self.tabs.values() for node in pieces]

    def problem(self) -> str | None:
        """Say what the set lacks, or return None when it is complete."""
        counts = {name: sum(map(is_cell, self.tabs.get(name, []))) for name in LABELS}
        for name, label in LABELS.items():
            if name not in self.tabs:
                return f"the pair has no {label} twin: tag the neighbouring cell '{name}'"
        if len(set(counts.values())) > 1:
            found = " and ".join(f"{counts[name]} {label}" for name, label in LABELS.items())
            return f"a pair needs as many cells in each framework, found {found}"
        return None


def find_sets(children: Iterable[nodes.Node]) -> Iterator[PairSet]:
    """Group the framework pieces among `children` by the rule in the module's docstring."""
    pair_set, invisible = PairSet(), []
    for child in children:
        framework = framework_of(child)
        if framework is None and isinstance(child, INVISIBLE):
            invisible.append(child)
            continue
        if pair_set.tabs and (framework is None or not pair_set.accepts(framework)):
            yield pair_set
            pair_set = PairSet()
        if framework is not None:
            # What stands before a set stays outside: a label there names the whole set.
            pair_set.add(framework, [*invisible, child] if pair_set.tabs else [child])
        invisible = []
    if pair_set.tabs:
        yield pair_set


def make_tab_set(pair_set: PairSet) -> nodes.container:
    """Move the pieces of `pair_set` into a new sphinx-design tab set and return it."""
    tab_set = create_component("tab-set", classes=["sd-tab-set"])
    for framework, label in LABELS.items():
        rubric = nodes.rubric(
            label, label, classes=["sd-tab-label"], sync_id=framework, sync_group=SYNC_GROUP
        )
        content = create_component(
            "tab-content", classes=["sd-tab-content"], children=pair_set.tabs[framework]
        )
        tab_set += create_component(
            "tab-item", classes=["sd-tab-item"], children=[rubric, content], selected=False
        )
    return tab_set


class FrameworkTabs(SphinxTransform):
    """Replace each complete set of pieces in the document by a tab set."""

    # After sphinx-exercise (10) has gathered the body of its exercises, so that pairs inside
    # them are found; before docutils resolves labels (260), so that labels move along.
    default_priority = 20

    def apply(self) -> None:
        """Transform the document in place; warn about each incomplete set."""
        for parent in list(self.document.findall(nodes.Element)):
            for pair_set in list(find_sets(parent.children)):
                first = pair_set.nodes()[0]
                problem = pair_set.problem()
                if problem:
                    LOGGER.warning(problem, location=first, type="regbook", subtype="pair")
                    continue
                position = parent.index(first)
                for node in pair_set.nodes():
                    parent.remove(node)
                parent.insert(position, make_tab_set(pair_set))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform with Sphinx."""
    app.setup_extension("sphinx_design")
    app.add_transform(FrameworkTabs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
