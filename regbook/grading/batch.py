"""A folder of submissions: graded side by side, stored one by one, resumed where it stopped.

A file is read when it is looked up, and again when it is graded: none stays in memory.
"""

import contextlib
import os
import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from regbook.grading import adjustments, report
from regbook.grading.again import named
from regbook.grading.grade import Delayed, graded
from regbook.grading.intake import LeftOut, handed_in, part
from regbook.grading.isolation import LEVELS, level_for
from regbook.grading.results import Result, Results
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
            name = futures.pop(future)  # or its result would stay in memory
            try:
                yield name, future.result()
            except Delayed:
                delayed.append(name)
        for name in delayed:
            yield name, _one(name, todo[name], store, pool, alone=True)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)  # or one would start a sandbox again
        pool.stop()
        threads.shutdown()


def _resumed(sources, store, again=None):
    """Look up each submission; those that are to be graded `again` are not known.

    Return the results that need no grading, the others' sources, and the modules that these import.
    """
    results, todo, modules = Results(again.kept if again else {}), {}, set()
    for name in again.names if again else sources:
        source = sources[name]
        try:
            data = source.read()
            known = None if again else store.load(data)
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
    results = Results()
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
            results.update({name: known} if known else {})
    return results, False


def _written(results, more, adjusted, store, present, again):
    """Write the report on all results, as a teacher's files adjust them; return these.

    more: those of this run. present: all submissions; the feedback of others is removed.
    """
    if again:
        more.update((name, again.joined(name, more[name])) for name in list(more))
    results.update(more)
    found, left = adjustments.merged(results, adjusted)
    for sentence in left:
        print(sentence)
    if again or found is not results:  # else a teacher's files change none
        for name, result in found.items():
            if again or result != results[name]:
                store.tell(name, result)
    report.write(store.out, found, seed=store.seed, isolation=LEVELS[store.level])
    report.remove_stale(store.out, present)
    return found


def grade_folder(
    folder: str | Path, out: str | Path, *, seed: int | None = None, jobs: int | None = None,
    trust: bool = False, shard: tuple[int, int] | None = None, dask: str | None = None,
    only: Sequence[str] = (), show: bool = True,
) -> tuple[Mapping[str, Result], bool]:  # fmt: skip
    """Grade every notebook below `folder` into the report `out`; return (results, complete).

    seed: draws the inputs of the checks; default: that of the report, or a new one. jobs: how many
    at a time (default: the number of processors). trust: accept to run without isolation.
    shard: (k, n) takes the k-th of n parts. dask: the address of a cluster that does the work.
    only: names of submissions, learners or exercises of the report; these are graded again, and the
    rest stays as it is. show: a progress bar. complete is False when it was interrupted.
    Raises UsageError, SandboxError and AdjustmentError before anything is graded.
    """
    folder, out = Path(folder), Path(out)
    present = handed_in(folder, out)
    sources = part(present, shard)
    level = ("fork" if trust else "bubblewrap") if dask else level_for(trust)
    again = named(only, sources, out, seed, LEVELS[level]) if only else None
    store = Store(out, seed, level)
    if show:
        print(f"Seed {store.seed}; {LEVELS[level]}.")
    adjusted = adjustments.read(out)
    results, todo, modules = _resumed(sources, store, again)
    if show and results:
        print(f"{len(results)} of {len(sources)} need no grading: unchanged, or not readable.")
    if dask:
        from regbook.grading.cluster import grade_on_cluster

        coming = grade_on_cluster(dask, todo, store, trust)
    else:
        hidden = [folder.resolve(), out.resolve()]
        coming = _locally(todo, store, jobs or os.cpu_count(), hidden, modules)
    more, complete = _collected(coming, todo, store, show)
    return _written(results, more, adjusted, store, present, again), complete
