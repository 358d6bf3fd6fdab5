"""A folder of submissions: graded side by side, stored one by one, resumed where it stopped.

A file is read when it is looked up, and again when it is graded: none stays in memory.
"""

import contextlib
import os
import queue
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from regbook.grading import corrections, report
from regbook.grading.grade import Delayed, graded
from regbook.grading.intake import LeftOut, handed_in
from regbook.grading.isolation import LEVELS, level_for
from regbook.grading.results import Result
from regbook.grading.sandbox import EVERYTHING, Sandbox, modules_for
from regbook.grading.store import Store
from regbook.grading.submission import Unreadable


class _Pool:
    """Warm processes, each used by one thread at a time, and the order to stop."""

    def __init__(self, level, jobs, hidden, modules):
        self.all = [Sandbox(level, hidden, modules) for _ in range(jobs)]
        self.free = queue.SimpleQueue()
        for sandbox in self.all:
            self.free.put(sandbox)
        self.stopped = threading.Event()

    def stop(self):
        self.stopped.set()
        for sandbox in self.all:
            sandbox.stop()


def _one(name, source, store, pool, alone=False):
    """Grade one submission and store its result. Raises Delayed: see `graded`."""
    sandbox = pool.free.get()
    try:
        data = source.read()
        result, storable = graded(data, sandbox, store.seed, pool.stopped, alone=alone)
    except Unreadable as error:  # since it was looked up
        return {"status": str(error)}
    finally:
        pool.free.put(sandbox)
    if storable:
        store.save(name, data, result)
    return result


def _locally(todo, store, jobs, hidden, modules):
    """Yield (name, result) as they come; those that the clock stopped again at the end, alone."""
    if not todo:
        return
    pool = _Pool(store.level, min(jobs, len(todo)), hidden, modules)
    threads = ThreadPoolExecutor(len(pool.all))
    try:
        list(threads.map(Sandbox.start, pool.all))  # a fault here is one error, not one per file
        futures = {
            threads.submit(_one, name, source, store, pool): name for name, source in todo.items()
        }
        delayed = []
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except Delayed:
                delayed.append(futures[future])
        for name in delayed:
            yield name, _one(name, todo[name], store, pool, alone=True)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)  # or one would start a sandbox again
        pool.stop()
        threads.shutdown()


def _resumed(sources, store):
    """Look up each submission.

    Return the results that need no grading, the others' sources, and the modules that these import.
    """
    results, todo, modules = {}, {}, set()
    for name, source in sources.items():
        try:
            data = source.read()
            known = store.load(data)
        except Unreadable as error:
            known = {"status": str(error)}
            if isinstance(error, LeftOut):
                known["left_out"] = True
        if known is None:
            todo[name] = source
            modules.update(modules_for([data]))
        else:
            results[name] = known
            store.tell(name, known)
    return results, todo, [module for module in EVERYTHING if module in modules]


def _collected(coming, todo, store, show):
    """Return the results as they come, and whether they came to the end."""
    results = {}
    with contextlib.closing(coming):
        try:
            bar = tqdm(coming, total=len(todo), unit="submission", disable=not (show and todo))
            results.update(bar)
            return results, True
        except KeyboardInterrupt:
            pass
    for name in todo.keys() - results.keys():  # finished while it was interrupted
        with contextlib.suppress(Unreadable):
            known = store.load(todo[name].read())
            results |= {name: known} if known else {}
    return results, False


def grade_folder(
    folder: str | Path, out: str | Path, *, seed: int | None = None, jobs: int | None = None,
    trust: bool = False, shard: tuple[int, int] | None = None, dask: str | None = None,
    show: bool = True,
) -> tuple[dict[str, Result], bool]:  # fmt: skip
    """Grade every notebook below `folder` into the report `out`; return (results, complete).

    seed: draws the inputs of the checks; default: that of the report, or a new one. jobs: how many
    at a time (default: the number of processors). trust: accept to run without isolation.
    shard: (k, n) takes the k-th of n parts. dask: the address of a cluster that does the work.
    show: a progress bar. complete is False when it was interrupted.
    Raises UsageError and SandboxError before anything is graded.
    """
    folder, out = Path(folder), Path(out)
    sources = handed_in(folder, out, shard)
    level = ("fork" if trust else "bubblewrap") if dask else level_for(trust)
    store = Store(out, seed, level)
    if show:
        print(f"Seed {store.seed}; {LEVELS[level]}.")
    corrected = corrections.read(out)
    results, todo, modules = _resumed(sources, store)
    if show and results:
        print(f"{len(results)} of {len(sources)} need no grading: unchanged, or not readable.")
    if dask:
        from regbook.grading.cluster import grade_on_cluster

        coming = grade_on_cluster(dask, todo, store, trust)
    else:
        hidden = [folder.resolve(), out.resolve()]
        coming = _locally(todo, store, jobs or os.cpu_count(), hidden, modules)
    more, complete = _collected(coming, todo, store, show)
    results, left = corrections.merged(results | more, corrected)
    for sentence in left:
        print(sentence)
    for name in {name for name, _ in corrected} & results.keys():
        store.tell(name, results[name])
    report.write(out, results, seed=store.seed, isolation=LEVELS[level])
    return results, complete
