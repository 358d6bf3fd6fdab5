"""Run the notebooks that changed on all processors, before Sphinx reads the pages one by one.

The runs are those of jupyter-cache's own parallel executor. They fill the cache that MyST-NB looks
into when it reads a page, so every page finds its outputs there. A notebook that fails is left out
of the cache: MyST-NB then runs it again and reports the error in its usual way.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

# The executor deals out runs of neighbours: what takes longest goes first, or one processor
# would still have a row of lessons to run when the others are done.
LONGEST_FIRST = ("lesson", "solutions/", "")

# One page has one processor: with more threads than that, they wait for each other.
ONE_THREAD = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def _rank(docname: str) -> int:
    return next(i for i, part in enumerate(LONGEST_FIRST) if part in docname)


def fill_cache(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Run the notebooks among the pages that are about to be read, unless they are cached."""
    if env.mystnb_config.execution_mode != "cache":
        return
    pages = sorted(docnames, key=lambda name: (_rank(name), name))
    paths = [path for path in map(env.doc2path, pages) if Path(path).suffix == ".ipynb"]
    cache = get_cache(env.mystnb_config.execution_cache_path)
    records = [cache.add_nb_to_project(path) for path in paths]
    logger = logging.getLogger(__name__)
    logger.setLevel(logging.WARNING)
    load_executor("local-parallel", cache, logger).run_and_cache(
        filter_pks=[record.pk for record in records], timeout=env.mystnb_config.execution_timeout
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Run the notebooks just before the pages are read."""
    for variable in ONE_THREAD:
        os.environ.setdefault(variable, "1")
    app.connect("env-before-read-docs", fill_cache)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
