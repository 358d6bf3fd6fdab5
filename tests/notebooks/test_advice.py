"""The words in the recipes' table of advice are those that the stored measurements ask for."""

import ast
import json
import re

import numpy as np
from notebook_support import ROOT, prose

from regbook.claims import adjusted, mean_interval
from regbook.notebooks import read

PAGE = ROOT / "chapters" / "22_recipes"
STORED = json.loads((ROOT / "benchmarks/results/recipes.json").read_text("utf-8"))["digits"]
CELL = re.compile(r"\{glue:text\}`([a-z]+)_([a-z]+):\+\.1f` \[[^]]*\] ([^|]+?) \|")


def defined(page, *names):
    """Return what the cells of a page assign to these names, or define under them."""
    source = "\n".join(cell.source for cell in read(page).cells if cell.cell_type == "code")
    found = {"stored": {"digits": STORED}}
    for node in ast.parse(source).body:
        name = getattr(node, "name", None) or ast.unparse(getattr(node, "targets", [node])[0])
        if name in names:
            exec(ast.unparse(node), found)
    return [found[name] for name in names]


def gain(first, second, stage):
    both = (STORED[stage][name]["test"] for name in (first, second))
    return mean_interval(np.subtract(*both), "fresh splits")


def word(interval, stands):
    if stands:
        return "**holds**" if interval.mean > 0 else "**harms**"
    if interval.low > 0 or interval.high < 0:
        return "consistent" if interval.low > 0 else "contrary, not proved"
    return "no difference" if interval.low > -1 and interval.high < 1 else "open"


def test_each_word_follows_from_its_interval():
    table, places = defined(PAGE / "lesson.ipynb", "TABLE", "PLACES")
    (pairs,) = defined(PAGE / "laboratory.ipynb", "pairs")
    asked = {
        (stage, frozenset(pair)): gain(*pair, stage) for stage in STORED for pair in pairs(stage)
    }
    p_values = dict(zip(asked, adjusted(asked.values()), strict=True))
    said = CELL.findall(prose(PAGE / "lesson.ipynb"))
    assert len(said) == len(table) * len(places)
    for name, place, text in said:
        turned = name == "norm" and place == "two"  # two layers: the recipe has none
        found = gain(*(table[name][::-1] if turned else table[name]), places[place])
        p_value = p_values[places[place], frozenset(table[name])]
        assert text == word(found, p_value < 0.05), (name, place, found)
