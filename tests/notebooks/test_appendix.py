"""The appendix: a misconception links to the section that refutes it by measurement.

And every work of the bibliography can be looked up.
"""

import json
import re
from collections import Counter

import pytest
from notebook_support import LESSONS, ROOT, anchor, calls, sections
from pybtex.database import parse_file

from regbook.chapters import FIRST_EDITION

# In rows of the second edition the effect is shown by the role `verdict`, from the page's outputs.
ROW = re.compile(
    r"^\| (?P<said>.+?) \| (?P<holds>.+?) \| "
    r"(?:\{verdict\}`/(?P<page>\S+): (?P<question>.+?)` \| )?"
    r"\[(?P<heading>.+?)\]\(\.\./(?P<link>chapters/.+?\.ipynb)#(?P<target>.+?)\) \|$",
    re.MULTILINE,
)
PAGE = (ROOT / "appendix" / "misconceptions.md").read_text(encoding="utf-8")
ROWS = [match.groupdict() for match in ROW.finditer(PAGE)]


def slug(row):
    return row["link"].split("/")[1]


SECOND = [row for row in ROWS if slug(row) not in FIRST_EDITION]


def beginning(row):
    return row["said"][:50]


@pytest.mark.parametrize("row", ROWS, ids=beginning)
def test_a_misconception_links_to_a_measurement(row):
    assert row["target"] == anchor(row["heading"].replace("`", ""))
    cells = sections(ROOT / row["link"])[row["target"]]
    assert any(calls("(?:claim|agree|verdict)", cell) for cell in cells), "nothing is measured"
    assert row["said"].endswith((".", "?"))
    assert row["holds"].endswith(".")
    numbers = re.search(r"\d+\.\d|\d %", row["holds"])
    assert not numbers, "a number is computed on the lesson's page"


@pytest.mark.parametrize("row", SECOND, ids=beginning)
def test_a_row_of_the_second_edition_shows_what_its_section_found(row):
    assert row["page"], "the third column is {verdict}`/page: question`"
    assert f"{row['page']}.ipynb" == row["link"]
    outputs = [o for c in sections(ROOT / row["link"])[row["target"]] for o in c.get("outputs", [])]
    texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs]
    stated = (f"{row['question']}: ", f"Claim holds: {row['question']}")
    lines = [line for text in texts for line in text.split("\n")]
    assert any(line.startswith(stated) for line in lines), "its section shows no such verdict"


def test_every_chapter_refutes_something():
    assert {slug(row) for row in ROWS} == {path.parent.name for path in LESSONS}


def test_every_row_of_the_page_is_read():
    assert len(re.findall(r"^\| (?!What is said|-)", PAGE, re.MULTILINE)) == len(ROWS)


def test_every_convention_was_noted_by_a_test_that_is_there():
    stored = json.loads((ROOT / "appendix" / "conventions.json").read_text(encoding="utf-8"))
    sources = [path.read_text(encoding="utf-8") for path in ROOT.glob("tests/pairs/test_*.py")]
    for row in stored:
        name = row["test"].partition("[")[0]
        assert any(f"def {name}(" in source for source in sources), "run `make conventions`"


WORKS = parse_file(ROOT / "references.bib").entries
# What has a DOI or is a preprint is not given by an address.
IDENTIFIERS = {
    "doi": r"10\.\d{4,9}/\S+",
    "eprint": r"\d{4}\.\d{4,5}",
    "url": r"https://(?!(dx\.)?doi\.org|arxiv\.org)[\w-]+(\.[\w-]+)+(/\S*)?",
}


def identifiers(work):
    return {field: work.fields[field] for field in IDENTIFIERS if field in work.fields}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_a_work_can_be_looked_up(work):
    found = identifiers(work)
    assert found, "give its `doi`, its number at arXiv as `eprint`, or a lasting `url`"
    for field, value in found.items():
        assert re.fullmatch(IDENTIFIERS[field], value), f"{field} = {value}"
    archive = work.fields.get("archiveprefix")
    assert archive == ("arXiv" if "eprint" in found else None), "archiveprefix = {arXiv}"


def test_no_work_is_listed_twice():
    titles = [re.sub(r"[{}]", "", work.fields["title"]) for work in WORKS.values()]
    known = [value for work in WORKS.values() for value in identifiers(work).values()]
    for names in (titles, known):
        counts = Counter(name.casefold() for name in names)
        assert not [name for name, times in counts.items() if times > 1]
