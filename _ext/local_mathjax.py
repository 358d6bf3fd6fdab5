"""Serve MathJax from the book itself, so that formulas show without a network.

The package `django-static-mathjax` brings the files that MathJax's authors build, and nothing of
Django is needed. This extension copies what a page can ask for, 3 MB of 35.
"""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.fileutil import copy_asset

DISTRIBUTION = "django-static-mathjax"
FILES = (
    "tex-chtml.js",  # the core, TeX input, HTML output, the menu
    "input/tex/extensions",  # loaded when a formula uses \cancel, \bbox and the like
    "output/chtml/fonts",
    "a11y",  # the menu's accessibility tools, and what they read aloud
    "sre/mathmaps/base.json",
    "sre/mathmaps/en.json",
)


def point_to_copy(app: Sphinx, config: Config) -> None:
    """Make the pages load MathJax from the copy."""
    config.mathjax_path = "mathjax/tex-chtml.js"


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Copy the chosen files below `_static/mathjax` of a finished HTML build."""
    if error or app.builder.format != "html":
        return
    source = Path(str(distribution(DISTRIBUTION).locate_file("mathjax/static/mathjax/es5")))
    for name in FILES:
        target = Path(app.outdir) / "_static/mathjax" / name
        is_folder = (source / name).is_dir()
        copy_asset(str(source / name), str(target if is_folder else target.parent))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register both steps with Sphinx."""
    app.connect("config-inited", point_to_copy)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
