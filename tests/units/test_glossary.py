"""The terms of the glossary: complete, in order, and with names that the libraries have."""

import pkgutil
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from regbook.chapters import contents

ROOT = Path(__file__).parents[2]
TERMS = yaml.safe_load((ROOT / "appendix" / "glossary.yml").read_text(encoding="utf-8"))
SLUGS = [slug for part in contents(ROOT).values() for slug in part]
HANGUL = re.compile("[가-힣]")

terms = pytest.mark.parametrize("term", TERMS, ids=lambda term: term["english"])


@terms
def test_a_term_is_told_in_both_languages(term):
    needed = {"english", "korean", "means", "뜻", "chapter"}
    assert needed <= set(term) <= needed | {"symbol", "keras", "torch"}
    assert term["chapter"] in SLUGS
    for sentence in (term["means"], term["뜻"]):
        assert sentence.endswith(".")
        assert ". " not in sentence, "one sentence"
    assert HANGUL.search(term["뜻"])
    assert not HANGUL.search(term["means"])
    assert HANGUL.search(term["korean"]) or term["korean"] == term["english"]


@terms
def test_its_names_are_there(term):
    for library in ("keras", "torch"):
        if library in term:
            assert term[library].startswith(f"{library}.")
            assert pkgutil.resolve_name(term[library])


def test_terms_are_in_order_and_each_is_there_once():
    names = [term["english"] for term in TERMS]
    assert names == sorted(names, key=str.casefold)
    for language in ("english", "korean"):
        count = Counter(term[language] for term in TERMS)
        assert [name for name, number in count.items() if number > 1] == []


def test_every_chapter_has_a_term():
    # The second case study puts together what the other chapters explain.
    assert set(SLUGS) - {term["chapter"] for term in TERMS} <= {"22_recipes", "24_case_cifar10"}
