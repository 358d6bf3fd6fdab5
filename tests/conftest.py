"""How the tests are spread over the two processes of pytest-xdist."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep the tests of a file, the cells of a notebook, and all tests of the book together.

    A notebook's cells share a kernel, and the tests of a file share the cost of an import.
    """
    for item in items:
        folder = item.path.parent
        group = folder if folder.name == "book" else item.path
        item.add_marker(pytest.mark.xdist_group(str(group)))
