"""Keep progress bars out of the pages.

A page's kernels inherit the environment of the build, and `regbook.sweep` draws no bar when it
finds this variable. A bar would reach the page as stderr, which fails the build.
"""

from __future__ import annotations

import os

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Set the variable for all kernels that this build starts."""
    os.environ["REGBOOK_PROGRESS"] = "0"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
