"""The directive `flowchart`: questions that the reader answers by a click, down to a recipe.

    ```{flowchart} FOLDER
    ask: How many hidden layers does the network have?
    answers:
      Up to three:
        say: It needs no normalization.
        show: shallow
      More than three:
        ask: ...
    ```

The body is YAML. Each answer leads to another question (`ask` and `answers`) or to a recipe: `show`
names the files FOLDER/shallow_keras.py and FOLDER/shallow_torch.py, which become a set of tabs;
FOLDER lies beside the page. `say`, on an answer of either kind, is Markdown; so is `ask`.

A question is a `fieldset` of radio buttons, and the stylesheet shows what belongs to the chosen
answer. So the reader can answer with the keyboard, change an answer, and start again, and the page
needs no script. On paper, and in other formats than HTML, everything stands open.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from framework_tabs import LABELS, PairSet, make_tab_set
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Malformed(Exception):
    """The body of the directive is no tree of questions; the message says where."""


class Flowchart(nodes.container):
    """All of the questions; `form` is the id of the form that starts again."""


class Question(nodes.container):
    """A question: its text, then its answers."""


class Ask(nodes.paragraph):
    """The text of a question."""


class Choice(nodes.paragraph):
    """The text of an answer; `form`, `group` and `id_` belong to its radio button."""


class Consequence(nodes.container):
    """What follows from the answer before it."""


class FlowchartDirective(SphinxDirective):
    """Read the tree of questions."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the flowchart, or the error that its body has."""
        self.form = f"flowchart-{self.env.new_serialno('flowchart')}"
        self.questions = 0
        try:
            chart = Flowchart(form=self.form, classes=["flowchart"])
            chart += self.question(self.tree(), "the first question")
        except Malformed as error:
            raise self.error(f"flowchart: {error}") from error
        return [chart]

    def tree(self) -> Any:
        """Return the body as data."""
        try:
            return yaml.safe_load("\n".join(self.content))
        except yaml.YAMLError as error:
            raise Malformed(f"the body is no YAML: {error}") from error

    def question(self, tree: Any, where: str) -> Question:
        """Return a question with its answers, and all that follows from them."""
        answers = tree.get("answers") if isinstance(tree, Mapping) else None
        if not isinstance(answers, Mapping) or len(answers) < 2 or not tree.get("ask"):
            raise Malformed(f"{where} needs `ask`, and two `answers` or more")
        self.questions += 1
        group = f"{self.form}-{self.questions}"
        found = Question(classes=["question"])
        found += Ask("", "", *self.inline(tree["ask"]))
        for number, (text, next_) in enumerate(answers.items()):
            found += Choice(
                "", "", *self.inline(text), form=self.form, group=group, id_=f"{group}-{number}"
            )
            found += self.consequence(next_, f"what follows from {str(text)!r}")
        return found

    def consequence(self, tree: Any, where: str) -> Consequence:
        """Return what an answer leads to: words, then a recipe or the next question."""
        if not isinstance(tree, Mapping) or ("show" in tree) == ("ask" in tree):
            raise Malformed(f"{where} needs either `show` or `ask`")
        if unknown := tree.keys() - {"say", "show", "ask", "answers"}:
            raise Malformed(f"{where} has {', '.join(sorted(unknown))}, which nothing reads")
        found = Consequence(classes=["consequence"])
        if "say" in tree:
            self.state.nested_parse(
                StringList(str(tree["say"]).split("\n"), self.get_source_info()[0]),
                self.content_offset,
                found,
            )
        found += self.recipe(tree["show"]) if "show" in tree else self.question(tree, where)
        return found

    def inline(self, text: Any) -> list[nodes.Node]:
        """Return a line of Markdown as nodes."""
        return self.state.inline_text(str(text), self.lineno)[0]

    def recipe(self, name: str) -> nodes.container:
        """Return the tabs of a recipe."""
        tabs = PairSet()
        for framework in LABELS:
            file = f"{self.arguments[0]}/{name}_{framework}.py"
            relative, path = self.env.relfn2path(file, self.env.docname)
            if not Path(path).is_file():
                raise Malformed(f"there is no file {file}")
            self.env.note_dependency(relative)
            code = Path(path).read_text(encoding="utf-8").rstrip()
            tabs.add(framework, [nodes.literal_block(code, code, language="python")])
        return make_tab_set(tabs)


def visit_flowchart(self: Any, node: Flowchart) -> None:
    """Begin with the form, which holds nothing: a radio button says which form it belongs to."""
    self.body.append(self.starttag(node, "div"))
    self.body.append(f'<form id="{node["form"]}" autocomplete="off"></form>\n')


def depart_flowchart(self: Any, node: Flowchart) -> None:
    """End with the button that starts again."""
    button = f'<button type="reset" form="{node["form"]}">Start again</button>'
    self.body.append(f"<p>{button}</p>\n</div>\n")


def visit_question(self: Any, node: Question) -> None:
    """Begin a group of radio buttons."""
    self.body.append(self.starttag(node, "fieldset"))


def depart_question(self: Any, node: Question) -> None:
    """End it."""
    self.body.append("</fieldset>\n")


def visit_ask(self: Any, node: Ask) -> None:
    """Begin the name of a group."""
    self.body.append(self.starttag(node, "legend", ""))


def depart_ask(self: Any, node: Ask) -> None:
    """End it."""
    self.body.append("</legend>\n")


def visit_choice(self: Any, node: Choice) -> None:
    """Begin an answer: its radio button, and its label."""
    form, group, id_ = (node[key] for key in ("form", "group", "id_"))
    self.body.append(f'<input type="radio" id="{id_}" name="{group}" form="{form}">\n')
    self.body.append(f'<label for="{id_}">')


def depart_choice(self: Any, node: Choice) -> None:
    """End it."""
    self.body.append("</label>\n")


def visit_consequence(self: Any, node: Consequence) -> None:
    """Begin what the stylesheet shows when its answer is chosen."""
    self.body.append(self.starttag(node, "div"))


def depart_consequence(self: Any, node: Consequence) -> None:
    """End it."""
    self.body.append("</div>\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive; formats other than HTML show the nodes as what they derive from."""
    app.add_directive("flowchart", FlowchartDirective)
    app.add_node(Flowchart, html=(visit_flowchart, depart_flowchart))
    app.add_node(Question, html=(visit_question, depart_question))
    app.add_node(Ask, html=(visit_ask, depart_ask))
    app.add_node(Choice, html=(visit_choice, depart_choice))
    app.add_node(Consequence, html=(visit_consequence, depart_consequence))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
