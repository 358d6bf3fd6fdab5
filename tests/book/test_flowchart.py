"""The directive `flowchart`: questions, answers and recipes, on a page of one directive."""

import re

import pytest
from book_support import markdown, tab_sets
from bs4 import BeautifulSoup

TREE = """
ask: How *deep* is it?
answers:
  Shallow:
    say: See [the guide](https://example.org).
    show: plain
  Deep:
    say: Look at the labels first.
    ask: Are the labels right?
    answers:
      "Yes":
        show: plain
      "No":
        say: "Twice: two paragraphs.\\n\\nThe second."
        show: noisy
"""


def page(tree=TREE):
    return {"page": [markdown(f"# Title\n\n```{{flowchart}} recipes\n{tree}\n```\n")]}


@pytest.fixture
def recipes(tmp_path):
    """Write the recipes to which the tree leads, and return their folder."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    for name in ("plain", "noisy"):
        for framework in ("keras", "torch"):
            path = folder / f"{name}_{framework}.py"
            path.write_text(f"import {framework}\n\nkind = '{name}'\n", encoding="utf-8")
    return folder


def test_a_tree_becomes_groups_of_radio_buttons(tiny_book, recipes):
    book = tiny_book(page())
    assert book.warnings == ""
    chart = BeautifulSoup(book.html["page"], "html.parser").select_one("div.flowchart")
    groups = [
        (
            group.find("legend").get_text().strip(),
            [label.get_text(strip=True) for label in group.find_all("label", recursive=False)],
        )
        for group in chart.find_all("fieldset")
    ]
    assert groups == [
        ("How deep is it?", ["Shallow", "Deep"]),
        ("Are the labels right?", ["Yes", "No"]),
    ]
    assert chart.legend.em.get_text() == "deep"


def test_each_button_has_its_label_and_no_answer_is_chosen(tiny_book, recipes):
    chart = BeautifulSoup(tiny_book(page()).html["page"], "html.parser").select_one("div.flowchart")
    buttons = chart.select("fieldset > input")
    assert len({button["id"] for button in buttons}) == len(buttons) == 4
    assert len({button["name"] for button in buttons}) == 2
    for button in buttons:
        assert button["type"] == "radio"
        assert not button.has_attr("checked")
        assert chart.find("label", attrs={"for": button["id"]})
        assert button["form"] == chart.form["id"] == chart.button["form"]


def test_an_answer_leads_to_words_and_to_code_in_tabs(tiny_book, recipes):
    book = tiny_book(page())
    sets = tab_sets(book.doctrees["page"])
    assert [[label for label, _ in tabs] for tabs in sets] == [["Keras", "PyTorch"]] * 3
    assert [dict(tabs)["PyTorch"] for tabs in sets] == [
        [f"import torch\n\nkind = '{name}'"] for name in ("plain", "plain", "noisy")
    ]
    chart = BeautifulSoup(book.html["page"], "html.parser").select_one("div.flowchart")
    assert chart.find("a", href="https://example.org")
    (last,) = (label.find_next_sibling("div") for label in chart.find_all("label", string="No"))
    assert [p.get_text() for p in last.find_all("p")[:2]] == [
        "Twice: two paragraphs.",
        "The second.",
    ]
    assert 'data-sync-group="framework"' in str(last)


def test_there_is_no_script(tiny_book, recipes):
    chart = BeautifulSoup(tiny_book(page()).html["page"], "html.parser").select_one("div.flowchart")
    assert chart.find("script") is None
    assert not [tag for tag in chart.find_all(True) for key in tag.attrs if key.startswith("on")]


def test_two_flowcharts_have_ids_of_their_own(tiny_book, recipes):
    html = tiny_book({"page": [*page()["page"], *page()["page"][:1]]}).html["page"]
    ids = re.findall(r'<input type="radio" id="([^"]+)"', html)
    assert len(set(ids)) == len(ids) == 8


def test_a_changed_recipe_is_read_again(tiny_book, recipes):
    book = tiny_book(page())
    assert "recipes/noisy_keras.py" in {str(path) for path in book.dependencies["page"]}


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ("ask: [", "the body is no YAML"),
        ("", "the first question needs `ask`"),
        ("ask: Only one?\nanswers:\n  'Yes':\n    show: plain", "two `answers` or more"),
        ("answers: {A: {show: plain}, B: {show: plain}}", "the first question needs `ask`"),
        ("ask: Q\nanswers: {A: {show: plain}, B: {say: words}}", "from 'B' needs either `show` or"),
        ("ask: Q\nanswers: {A: {show: plain}, B: plain}", "from 'B' needs either `show` or"),
        ("ask: Q\nanswers: {A: {show: plain}, B: {show: plain, ask: Q}}", "needs either `show` or"),
        ("ask: Q\nanswers: {A: {show: plain}, B: {show: plain, why: x}}", "has why, which nothing"),
        ("ask: Q\nanswers: {A: {show: plain}, B: {show: none}}", "no file recipes/none_keras.py"),
    ],
)
def test_a_malformed_tree_is_an_error(tiny_book, recipes, tree, said):
    book = tiny_book(page(tree))
    assert said in book.warnings
    assert "page.ipynb" in book.warnings
    assert "<fieldset" not in book.html["page"]
