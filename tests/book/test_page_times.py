"""The roles that show how long pages take to run and to read."""

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
        (5000, "about 83 min"),
        (9000, "about 2.5 h"),
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


def test_times_of_several_pages_are_added(tiny_book):
    words = " word" * 590
    first = [markdown("# First\n\nRead {reading-time}`/z/*`, run {running-time}`z/one /z/two`.")]
    slow = code("import time; time.sleep(0.6)")
    pages = {f"z/{name}": [markdown(f"# Page {name}\n\n{words}"), slow] for name in ("one", "two")}
    book = tiny_book({"first": first, **pages}, nb_execution_mode="force")
    assert book.warnings == ""
    assert "Read about 6 min, run about " in book.html["first"]
    assert "run under" not in book.html["first"]


def test_a_pattern_without_pages_warns(tiny_book):
    book = tiny_book({"first": [markdown("# First\n\n{reading-time}`/no*/lesson`")]})
    assert "WARNING: reading-time: there is no page 'no*/lesson'" in book.warnings
    assert "not measured yet" in book.html["first"]
