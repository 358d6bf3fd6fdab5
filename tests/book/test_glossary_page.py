"""The page of the glossary: every term can be reached from its Korean name."""

import yaml
from book_support import ROOT, soup

TERMS = yaml.safe_load((ROOT / "appendix" / "glossary.yml").read_text(encoding="utf-8"))


def plain(tag):
    """Return a tag's text, with the apostrophes of a typewriter."""
    return tag.get_text().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def test_every_term_is_shown_and_found_in_both_orders(built_book):
    page = soup(built_book, "appendix/glossary")
    shown = {term["id"]: term for term in page.select("dl > dt")}
    assert len(shown) == len(TERMS)
    links = page.select("ul.simple a[href^='#term-']")
    assert [plain(link) for link in links] == [
        term["english"] for term in sorted(TERMS, key=lambda term: term["korean"])
    ]
    assert {link["href"][1:] for link in links} == set(shown)
    for term, row in zip(TERMS, page.select("dl > dt"), strict=True):
        assert plain(row.strong) == term["english"]
        assert plain(row.find(lang="ko")) == term["korean"]
