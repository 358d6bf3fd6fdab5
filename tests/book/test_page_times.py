"""The role that shows a page's measured execution time."""

import pytest
from book_support import code, markdown
from page_times import in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "not measured yet"),
        (0.4, "under a second"),
        (34.6, "about 35 s"),
        (89.4, "about 89 s"),
        (150.1, "about 3 min"),
    ],
)
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words


def test_the_first_build_shows_the_time_of_a_page_read_later(tiny_book):
    first = [markdown("# First\n\nIt takes {running-time}`/z/last`; here {running-time}`.`.")]
    last = [
        markdown("# Last\n\nHere {running-time}`.`."),
        code("import time; time.sleep(1)"),
    ]
    book = tiny_book({"first": first, "z/last": last}, nb_execution_mode="force")
    assert book.warnings == ""
    assert "It takes about " in book.html["first"]
    assert "Here about " in book.html["z/last"]


def test_a_page_that_was_not_executed(tiny_book):
    first = [markdown("# First\n\nIt takes {running-time}`z/last`.")]
    last = [markdown("# Last\n\nAs in {running-time}`../first`.")]
    book = tiny_book({"first": first, "z/last": last})
    assert "It takes not measured yet." in book.html["first"]
    assert book.warnings == ""


def test_an_unknown_page_warns(tiny_book):
    book = tiny_book({"first": [markdown("# First\n\n{running-time}`/nowhere`")]})
    assert "WARNING: running-time: there is no page 'nowhere'" in book.warnings
