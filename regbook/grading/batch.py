"""A folder of submissions: graded side by side, stored one by one, resumed where it stopped."""

import contextlib
import hashlib
import json
import os
import queue
import secrets
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

import regbook
from regbook.grading import report
from regbook.grading.grade import grade
from regbook.grading.sandbox import LEVELS, Sandbox, SandboxError, level_for, modules_for
from regbook.grading.submission import Unreadable, content, find


class UsageError(ValueError):
    """The command cannot start; the message says what was expected, what came, what to do."""


def checks_version():
    """Return a digest of the code that decides about points."""
    package = Path(regbook.__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*package.glob("*.py"), *package.glob("*/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class Store:
    """The results of a report, one file each, named by what decides about them.

    That is: the submission's bytes, the seed, the level of isolation and the code of the checks.
    So an unchanged submission is found again, and a changed one is not.
    """

    def __init__(self, out, seed, level):
        self.out = out
        self._start = f"{checks_version()} {seed} {level}\n".encode()

    def _path(self, data):
        return self.out / "results" / f"{hashlib.sha256(self._start + data).hexdigest()}.json"

    def load(self, data):
        """Return the stored result of a submission's bytes, or None."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return json.loads(self._path(data).read_text(encoding="utf-8"))
        return None

    def save(self, name, data, result):
        """Store a result and write its feedback page."""
        report.write_whole(self._path(data), json.dumps(result))
        report.write_whole(report.feedback_path(self.out, name), report.feedback(name, result))


def display_name(path, folder):
    """Return the name of a submission: its path below the folder, in printable characters."""
    name = path.relative_to(folder).as_posix().replace("\\", "\\\\")  # no two become the same
    name = name.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def in_shard(name, shard):
    """Tell whether a submission belongs to a shard (k, n): the k-th of n, counted from 1."""
    return shard is None or zlib.crc32(name.encode()) % shard[1] == shard[0] - 1


def _seed(out, seed):
    """Return the seed: the given one, else that of the report to resume, else a new one."""
    path = out / "seed"
    with contextlib.suppress(FileNotFoundError, ValueError):
        seed = int(path.read_text()) if seed is None else seed
    seed = secrets.randbelow(2**31) if seed is None else seed
    report.write_whole(path, f"{seed}\n")
    return seed


def _submissions(folder, out, shard):
    """Return the paths of the submissions of a shard, by name. Raises UsageError for none."""
    if not folder.is_dir():
        kind = (
            "is a file: for one notebook use `regbook check`" if folder.exists() else "is not there"
        )
        raise UsageError(f"SUBMISSIONS must be a folder, but {folder} {kind}.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"The report must be a folder, but {out} is a file.")
    try:
        paths = {display_name(path, folder): path for path in find(folder, leave_out=[out])}
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}.") from error
    if not paths:
        raise UsageError(f"No .ipynb file was found below {folder}.")
    return {name: path for name, path in paths.items() if in_shard(name, shard)}


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


def graded(data, sandbox, seed, stopped=None):
    """Grade the bytes of a submission; return (result, whether it may be stored).

    A sandbox that fails is replaced once. A failure of ours is a status, and not stored.
    stopped: an event; once it is set, failures raise.
    """
    for last in (False, True):
        try:
            return grade(data, sandbox, seed), True
        except Exception as error:
            if stopped is not None and stopped.is_set():
                raise
            if last or not isinstance(error, SandboxError):
                status = f"could not be graded ({type(error).__name__}: {error}): try again"
                return {"status": status}, False


def _one(path, name, store, pool, seed):
    """Grade one submission and store its result."""
    try:
        data = content(path)
    except Unreadable as error:  # it was readable a moment ago
        return {"status": str(error)}
    sandbox = pool.free.get()
    try:
        result, storable = graded(data, sandbox, seed, pool.stopped)
    finally:
        pool.free.put(sandbox)
    if storable:
        store.save(name, data, result)
    return result


def _contents(paths):
    """Yield the bytes of the files that can be read."""
    for path in paths:
        with contextlib.suppress(Unreadable):
            yield content(path)


def _locally(todo, store, seed, level, jobs, hidden):
    """Yield (name, result) as they come."""
    if not todo:
        return
    pool = _Pool(level, min(jobs, len(todo)), hidden, modules_for(_contents(todo.values())))
    threads = ThreadPoolExecutor(len(pool.all))
    try:
        list(threads.map(Sandbox.start, pool.all))  # a fault here is one error, not one per file
        futures = {
            threads.submit(_one, path, name, store, pool, seed): name for name, path in todo.items()
        }
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)  # or one would start a sandbox again
        pool.stop()
        threads.shutdown()


def grade_folder(
    folder, out, *, seed=None, jobs=None, trust=False, shard=None, dask=None, show=True
):
    """Grade every notebook below `folder` into the report `out`; return (results, complete).

    seed: draws the inputs of the checks; default: that of the report, or a new one. jobs: how many
    at a time (default: the number of processors). trust: accept to run without isolation.
    shard: (k, n) takes the k-th of n parts. dask: the address of a cluster that does the work.
    show: a progress bar. complete is False when it was interrupted.
    Raises UsageError and SandboxError before anything is graded.
    """
    folder, out = Path(folder), Path(out)
    paths = _submissions(folder, out, shard)
    level = ("fork" if trust else "bubblewrap") if dask else level_for(trust)
    seed = _seed(out, seed)
    if show:
        print(f"Seed {seed}; {LEVELS[level]}.")
    store = Store(out, seed, level)
    results, todo, complete = {}, {}, True
    for name, path in paths.items():
        try:
            known = store.load(content(path))
        except Unreadable as error:
            known = {"status": str(error)}
        if known is None:
            todo[name] = path
        else:
            results[name] = known
            report.write_whole(report.feedback_path(out, name), report.feedback(name, known))
    if show and len(results):
        print(f"{len(results)} of {len(paths)} need no grading: unchanged, or not readable.")
    if dask:
        from regbook.grading.cluster import grade_on_cluster

        coming = grade_on_cluster(dask, todo, store, seed, trust)
    else:
        hidden = [folder.resolve(), out.resolve()]
        coming = _locally(todo, store, seed, level, jobs or os.cpu_count(), hidden)
    with contextlib.closing(coming):
        try:
            bar = tqdm(coming, total=len(todo), unit="submission", disable=not (show and todo))
            results.update(bar)
        except KeyboardInterrupt:
            complete = False
    for name in sorted(set(paths) - set(results)):  # finished while it was interrupted
        with contextlib.suppress(Unreadable):
            known = store.load(content(paths[name]))
            results |= {name: known} if known else {}
    report.write(out, results, seed=seed, isolation=LEVELS[level])
    return results, complete
