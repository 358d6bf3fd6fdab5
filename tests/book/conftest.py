"""Fixtures of the book's tests: the built book, and tiny books for the extensions."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from book_support import HTML, ROOT, TinyBook, make_book

sys.path.insert(0, str(ROOT / "_ext"))


@contextmanager
def only_one_at_a_time(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file `path`, against parallel test processes."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all processes of one test run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def built_book(shared_folder: Path) -> Path:
    """Run `make book` once per test run, require success, and return the folder of pages."""
    result = shared_folder / "make-book.json"
    with only_one_at_a_time(shared_folder / "make-book.lock"):
        if not result.exists():
            build = make_book()
            result.write_text(json.dumps([build.returncode, build.stdout[-4000:]]))
    status, output = json.loads(result.read_text())
    if status:
        pytest.fail(f"make book: exit status {status}\n{output}", pytrace=False)
    return HTML


@pytest.fixture
def tiny_book(tmp_path: Path) -> Callable[..., TinyBook]:
    """Return a function that builds a `TinyBook` in a temporary folder."""
    return lambda pages, **config: TinyBook(tmp_path, pages, **config)
