"""The role that shows what a page measured, on that page or on another one."""

import pytest
from book_support import code, markdown
from bs4 import BeautifulSoup
from nbformat.v4 import new_output

from regbook.claims import Interval, claim
from regbook.verdicts import verdict


def measured(question, *interval, n=12):
    """Return a cell that shows a verdict."""
    shown = verdict(question, Interval(*interval, n, "fresh splits"))
    cell = code("verdict(...)", "nbval-check-output", "hide-input")
    data = {"text/plain": repr(shown), "text/html": shown._repr_html_()}
    cell.outputs = [new_output("execute_result", data=data, execution_count=1)]
    return cell


def claimed(capsys, *texts):
    """Return a cell that prints claims."""
    for text, evidence in texts:
        claim(text, evidence)
    cell = code("claim(...)", "nbval-check-output")
    cell.outputs = [new_output("stream", name="stdout", text=capsys.readouterr().out)]
    return cell


def paragraph(book, page):
    return BeautifulSoup(book.html[page], "html.parser").select_one("div.body p, .body p")


@pytest.mark.parametrize(
    ("question", "interval", "shown"),
    [
        ("Dropout", (2, 1, 3), "helps: Dropout: +2.0 points [+1.0, +3.0], 12 fresh splits"),
        ("L2: p < 0.5 & a \"tuned\" net's", (-2, -3, -1),
         "harms: L2: p < 0.5 & a \"tuned\" net's: -2.0 points [-3.0, -1.0], 12 fresh splits"),
        ("尺寸", (0, -0.5, 0.5),
         "no difference larger than 1 point: 尺寸: +0.0 points [-0.5, +0.5], 12 fresh splits"),
        ("wide", (0, -3, 3),
         "cannot tell: wide: +0.0 points [-3.0, +3.0] (about 432 needed), 12 fresh splits"),
    ],
)  # fmt: skip
def test_another_page_shows_the_outcome_the_question_and_the_effect(
    tiny_book, question, interval, shown
):
    """Also of a page that is read later, and among other verdicts."""
    first = [markdown(f"# First\n\n{{verdict}}`/z/last: {question}`")]
    last = [markdown("# Last"), measured("Another", 5, 4, 6), measured(question, *interval)]
    book = tiny_book({"first": first, "z/last": last})
    assert book.warnings == ""
    assert paragraph(book, "first").get_text() == shown
    assert paragraph(book, "first").strong.get_text() in shown


def test_its_own_page_leaves_the_question_out(tiny_book):
    table = "| Question | Verdict |\n|---|---|\n| Dropout | {verdict}`.: Dropout` |"
    book = tiny_book({"lab": [markdown(f"# Lab\n\n{table}"), measured("Dropout", 2, 1, 3)]})
    cells = BeautifulSoup(book.html["lab"], "html.parser").select("td")
    assert [cell.get_text() for cell in cells] == [
        "Dropout",
        "helps: +2.0 points [+1.0, +3.0], 12 fresh splits",
    ]


def test_a_claim_is_shown_as_well(tiny_book, capsys):
    texts = [("exactly 80 are rare", True), ("it gains", Interval(2, 1, 3, 10) > 0)]
    first = [markdown("# First\n\n{verdict}`last: exactly 80 are rare`; {verdict}`last: it gains`")]
    book = tiny_book({"first": first, "last": [markdown("# Last"), claimed(capsys, *texts)]})
    assert book.warnings == ""
    assert paragraph(book, "first").get_text() == (
        "holds: exactly 80 are rare; holds: it gains: 95 % interval above 0, 10 seeds"
    )


@pytest.mark.parametrize(
    "asked",
    ["last: Dropou", "last: dropout", "last: ", "last", "nowhere: Dropout", "", ": Dropout"],
)
def test_a_verdict_that_no_page_shows_warns(tiny_book, asked):
    first = [markdown(f"# First\n\nText {{verdict}}`{asked or ' '}`")]
    book = tiny_book({"first": first, "last": [markdown("# Last"), measured("Dropout", 2, 1, 3)]})
    assert "WARNING: verdict: the page '" in book.warnings


def test_the_number_is_that_of_the_run(tiny_book):
    """What is stored may come from another machine."""
    source = (
        "from regbook.claims import Interval\nfrom regbook.verdicts import verdict\n"
        "verdict('Dropout', Interval(7, 6, 8, 10, 'fresh splits'))"
    )
    last = [markdown("# Last"), measured("Dropout", 2, 1, 3)]
    last[1].source = source
    first = [markdown("# First\n\n{verdict}`last: Dropout`")]
    book = tiny_book({"first": first, "last": last}, nb_execution_mode="force")
    assert paragraph(book, "first").get_text() == (
        "helps: Dropout: +7.0 points [+6.0, +8.0], 10 fresh splits"
    )
