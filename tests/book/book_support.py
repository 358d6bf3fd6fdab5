"""Helpers of the book's tests: its pages, its build, and tiny books for the extensions."""

from __future__ import annotations

import functools
import io
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nbformat
import yaml
from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"


def toc_pages() -> list[str]:
    """Return the docname of every page that `_toc.yml` lists."""

    def files(entry: object) -> Iterator[str]:
        if isinstance(entry, dict):
            yield from (entry[key] for key in ("root", "file") if key in entry)
            entry = list(entry.values())
        if isinstance(entry, list):
            for item in entry:
                yield from files(item)

    return list(files(yaml.safe_load((ROOT / "_toc.yml").read_text())))


PAGES = toc_pages()
NOTEBOOKS = [page for page in PAGES if page.startswith(("chapters/", "solutions/"))]
LESSONS = [page for page in PAGES if page.endswith("/lesson")]
LABORATORIES = [page for page in PAGES if page.endswith("/laboratory")]
SOLUTIONS = [page for page in PAGES if page.startswith("solutions/")]


def make_book(*settings: str) -> subprocess.CompletedProcess[str]:
    """Run `make book` as a reader would: without the settings of a `make` that runs pytest."""
    inherited = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "GNUMAKEFLAGS"}
    environment = {key: value for key, value in os.environ.items() if key not in inherited}
    return subprocess.run(
        ["make", "book", *settings],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def soup(html: Path, page: str) -> BeautifulSoup:
    """Return the parsed `page` of the book in folder `html`; the tests that read it share it."""
    path = html / f"{page}.html"
    return parsed(path, path.stat().st_mtime_ns)


@functools.cache
def parsed(path: Path, modified: int) -> BeautifulSoup:
    """Return the page in a file that was `modified` at a time, in nanoseconds."""
    return BeautifulSoup(path.read_text(), "html.parser")


def markdown(source: str) -> nbformat.NotebookNode:
    """Return a Markdown cell."""
    return nbformat.v4.new_markdown_cell(source)


def code(source: str, *tags: str) -> nbformat.NotebookNode:
    """Return a code cell with `tags`."""
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})


class TinyBook:
    """A Sphinx project made of notebooks, read and written with the book's extensions."""

    def __init__(self, folder: Path, pages: dict[str, list], **config: object) -> None:
        """Build `pages` (docname to cells) in `folder`; `config` overrides Sphinx settings."""
        for docname, cells in pages.items():
            notebook = nbformat.v4.new_notebook(cells=cells)
            notebook.metadata["kernelspec"] = {
                "name": "python3",
                "display_name": "Python 3",
            }
            notebook.metadata["orphan"] = True  # a tiny book has no table of contents
            notebook.metadata["language_info"] = {"name": "python"}
            path = folder / f"{docname}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, path)
        log = io.StringIO()
        settings = {
            "extensions": [
                "myst_nb",
                "sphinx_exercise",
                "flowchart",
                "framework_tabs",
                "page_times",
                "parallel_execution",
                "verdict_role",
            ],
            "root_doc": next(iter(pages)),
            "exclude_patterns": [".jupyter_cache", "jupyter_execute", "out", "doctrees"],
            "nb_execution_mode": "off",
            "myst_enable_extensions": ["colon_fence"],
        }
        with patch_docutils(), docutils_namespace():
            app = Sphinx(
                srcdir=folder,
                confdir=None,
                outdir=folder / "out",
                doctreedir=folder / "doctrees",
                buildername="html",
                confoverrides=settings | config,
                status=None,
                warning=log,
            )
            app.build()
            self.doctrees = {docname: app.env.get_doctree(docname) for docname in pages}
            self.dependencies = {docname: app.env.dependencies[docname] for docname in pages}
        self.warnings = re.sub(r"\x1b\[[0-9;]*m", "", log.getvalue())
        self.html = {name: (folder / "out" / f"{name}.html").read_text() for name in pages}


def tab_sets(tree: nodes.document) -> list[list[tuple[str, list[str]]]]:
    """Return each tab set of `tree` as (label, texts of its pieces) per tab.

    A cell is represented by its source, prose by its text.
    """
    found = []
    for tab_set in tree.findall(lambda node: component(node) == "tab-set"):
        tabs = []
        for label, content in (item.children for item in tab_set.children):
            pieces = [piece.astext() for piece in content.children if piece.astext()]
            tabs.append((label.astext(), pieces))
        found.append(tabs)
    return found


def component(node: nodes.Node) -> str | None:
    """Return the name of the sphinx-design component that `node` is, or None."""
    return node.get("design_component") if isinstance(node, nodes.Element) else None
