"""The pages are run by a pool of processes before they are read."""

import os

from book_support import code, markdown

WHO = "import os; print('run by', os.getppid())"


def test_pages_are_run_once_and_by_other_processes(tiny_book, tmp_path):
    count = f"open({str(tmp_path / 'runs')!r}, 'a').write('x'); "
    pages = {f"p{i}": [markdown(f"# Page {i}"), code(count + WHO)] for i in range(3)}
    book = tiny_book(pages, nb_execution_mode="cache")
    assert book.warnings == ""
    assert (tmp_path / "runs").read_text() == "xxx"
    assert all("run by" in html for html in book.html.values())
    assert not any(f"run by {os.getpid()}" in html for html in book.html.values())

    tiny_book(pages, nb_execution_mode="cache")
    assert (tmp_path / "runs").read_text() == "xxx"  # the second book finds all in the cache


def test_a_page_that_fails_is_still_reported(tiny_book, tmp_path):
    pages = {
        "good": [markdown("# Good"), code(WHO)],
        "bad": [markdown("# Bad"), code("1 / 0")],
    }
    book = tiny_book(pages, nb_execution_mode="cache")
    assert "bad.ipynb: WARNING: Executing notebook failed" in book.warnings
    assert "run by" in book.html["good"]
