"""Run the notebooks that changed on all processors, before Sphinx reads the pages one by one.

The runs fill the cache that MyST-NB looks into when it reads a page, so every page finds its
outputs there. A notebook that fails is left out of the cache: MyST-NB then runs it again and
reports the error in its usual way.

The cache knows a page by its cells. What the cells read besides is known here, by a digest a page:
the modules of this project that they import, directly or through one another, the checks of the
chapter that they name, and the files that they name. A page whose digest has changed is read and
run again; all others keep their outputs. The digest covers the installed versions too.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import multiprocessing
import os
import resource
from collections.abc import Iterable
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager
from jupyter_cache import get_cache
from jupyter_cache.base import JupyterCacheAbstract, ProjectNb
from jupyter_cache.executors.basic import ExecutionWorkerLocalMProc, ProcessData
from jupyter_cache.executors.utils import ExecutionResult, single_nb_execution
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from regbook.notebooks import read

VERSIONS = "constraints.txt"
DIGESTS = "page_digests.json"
KERNEL_START = 600  # seconds; a busy machine may need them

# What takes longest goes first, or one processor would still have lessons to run when the others
# are done.
LONGEST_FIRST = ("lesson", "laboratory", "solutions/", "")

# One page has one processor: with more threads than that, they wait for each other.
ONE_THREAD = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


# --- what a page depends on ----------------------------------------------------------------------


@functools.cache
def named(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the modules that Python code imports, anywhere in it, and the texts that it holds."""
    modules, texts = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
    return frozenset(modules), frozenset(texts)


def module_files(name: str, root: Path) -> list[Path]:
    """Return the files below root that importing a module reads: its own and its packages'."""
    parts = name.split(".")
    packages = [root.joinpath(*parts[:i], "__init__.py") for i in range(1, len(parts) + 1)]
    own = root.joinpath(*parts).with_suffix(".py")
    return [path for path in (*packages, own) if path.is_file()]


def text_files(text: str, folder: Path, root: Path) -> list[Path]:
    """Return the files that a text of a cell names: a path, or a chapter whose checks it asks."""
    if not text or len(text) > 200 or "\n" in text:
        return []
    checks = root / "regbook" / "checks" / f"{text.partition('_')[2]}.py"
    found = [checks] if text[:2].isdigit() and checks.is_file() else []
    path = (folder / text).resolve()
    return found + ([path] if path.is_file() and path.is_relative_to(root) else [])


def sources(notebook: NotebookNode, folder: Path, root: Path) -> set[Path]:
    """Return the files below root that the cells of a page in a folder read."""
    python = TransformerManager().transform_cell
    cells = [python(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    modules, texts = named("\n".join(cells))
    found = {path for text in texts for path in text_files(text, folder, root)}
    waiting = {path for name in modules for path in module_files(name, root)}
    waiting |= {path for path in found if path.suffix == ".py"}
    while waiting:
        path = waiting.pop()
        found.add(path)
        imported, _ = named(path.read_text(encoding="utf-8"))
        waiting |= {p for name in imported for p in module_files(name, root)} - found
    return found


def digest(page: Path, root: Path) -> str:
    """Return a digest of all that the outputs of a page depend on, its cells left out."""
    files = sorted(sources(read(page), page.parent, root) | {root / VERSIONS})
    found = hashlib.sha256()
    for path in filter(Path.is_file, files):
        found.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return found.hexdigest()


# --- running -------------------------------------------------------------------------------------


class Worker(ExecutionWorkerLocalMProc):
    """Runs a page in its folder; its time is processor time, which other programs cannot stretch.

    The kernel is a child of the worker, so the processor time of the worker's children grows by
    the kernel's own.
    """

    @staticmethod
    def execute(project_nb: ProjectNb, data: ProcessData) -> ExecutionResult:
        """Run one notebook."""
        before = _child_seconds()
        result = single_nb_execution(
            project_nb.nb,
            cwd=str(Path(project_nb.uri).parent),
            timeout=data.timeout,
            allow_errors=data.allow_errors,
            startup_timeout=KERNEL_START,
        )
        result.time = _child_seconds() - before
        return result


def _child_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(cache: JupyterCacheAbstract, paths: list[str], timeout: int) -> None:
    """Run those notebooks that the cache does not hold, one processor each, in this order."""
    records = [cache.add_nb_to_project(path) for path in paths]
    missing = cache.list_unexecuted(filter_pks=[record.pk for record in records])
    pks = {record.pk for record in missing}
    jobs = [
        ProcessData(record.pk, record.uri, cache, timeout, False)
        for record in records
        if record.pk in pks
    ]
    with multiprocessing.Pool(len(os.sched_getaffinity(0))) as pool:
        pool.map(Worker(), jobs, chunksize=1)


# --- Sphinx --------------------------------------------------------------------------------------


def _digests(env: BuildEnvironment) -> Path:
    return Path(env.mystnb_config.execution_cache_path) / DIGESTS


def _stored(env: BuildEnvironment) -> dict[str, str]:
    path = _digests(env)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _present(env: BuildEnvironment, docnames: Iterable[str]) -> dict[str, str]:
    """Return the digest of each notebook among the pages."""
    pages = {name: Path(env.doc2path(name)) for name in docnames}
    root = Path(env.srcdir).resolve()
    return {name: digest(path, root) for name, path in pages.items() if path.suffix == ".ipynb"}


def _caches(env: BuildEnvironment) -> bool:
    return env.mystnb_config.execution_mode == "cache"


def outdated(
    app: Sphinx, env: BuildEnvironment, added: set, changed: set, removed: set
) -> list[str]:
    """Return the pages that read something that has changed since they were run."""
    if not _caches(env):
        return []
    stored = _stored(env)
    present = _present(env, env.found_docs)
    return [name for name, found in present.items() if stored.get(name) != found]


def forget(cache: JupyterCacheAbstract, paths: Iterable[str]) -> None:
    """Drop the outputs of these notebooks from the cache."""
    for path in paths:
        try:
            record = cache.match_cache_file(path)
        except KeyError:
            continue
        cache.remove_cache(record.pk)


def _rank(docname: str) -> int:
    return next(i for i, part in enumerate(LONGEST_FIRST) if part in docname)


def fill_cache(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Run the notebooks among the pages that are about to be read, unless they are cached."""
    if not _caches(env) or not docnames:
        return
    stored, present = _stored(env), _present(env, docnames)
    cache = get_cache(env.mystnb_config.execution_cache_path)
    forget(cache, (env.doc2path(name) for name in present if stored.get(name) != present[name]))
    pages = sorted(present, key=lambda name: (_rank(name), name))
    run(cache, [str(env.doc2path(name)) for name in pages], env.mystnb_config.execution_timeout)
    text = json.dumps(stored | present, indent=1, sort_keys=True)
    _digests(env).write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Run the notebooks just before the pages are read."""
    for variable in ONE_THREAD:
        os.environ.setdefault(variable, "1")
    app.connect("env-get-outdated", outdated)
    app.connect("env-before-read-docs", fill_cache)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
