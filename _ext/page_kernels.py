"""Tell the kernels that run the pages that they do.

A kernel inherits the environment of the build. Where `REGBOOK_BUILD` is set, `regbook` draws no
progress bar, which would reach the page as stderr and fail the build, and prints no number that
the prose shows.
"""

from __future__ import annotations

import os

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Set the variable for all kernels that this build starts."""
    os.environ["REGBOOK_BUILD"] = "1"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
