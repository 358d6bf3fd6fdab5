"""The same grading on an existing dask cluster: a chunk of submissions is one task.

Files travel as bytes and results as JSON, in dask's own format for bytes: nothing of a submission
is ever pickled. The workers need this package, both frameworks and bubblewrap. Each keeps one warm
process per thread. A chunk whose worker dies is sent again.

Source: https://distributed.dask.org, "Client" and "Serialization".
"""

import json
import threading
import time

from regbook.grading.batch import UsageError, graded
from regbook.grading.sandbox import Sandbox, SandboxError, level_for
from regbook.grading.submission import Unreadable, content

CHUNK = 100  # submissions at most
CHUNK_BYTES = 32 << 20  # after which a chunk takes no further submission
TRIES = 4  # of a chunk whose workers die
SERIALIZERS = ["dask", "msgpack"]  # without pickle
_thread = threading.local()


def _pack(contents):
    return json.dumps([len(data) for data in contents]).encode() + b"\n" + b"".join(contents)


def _unpack(chunk):
    lengths, _, data = chunk.partition(b"\n")
    start = 0
    for length in json.loads(lengths):
        yield data[start : start + length]
        start += length


def grade_chunk(chunk, seed, trust):
    """Grade a chunk on a worker; return JSON: pairs (result, whether it may be stored)."""
    try:
        if getattr(_thread, "sandbox", None) is None:
            _thread.sandbox = Sandbox(level_for(trust))
        return json.dumps([graded(data, _thread.sandbox, seed) for data in _unpack(chunk)]).encode()
    except SandboxError as error:
        return json.dumps({"error": str(error)}).encode()


def _chunks(todo, size, unreadable):
    """Yield (names, contents), reading the files only when their turn comes.

    unreadable: gets the results of files that were readable a moment ago.
    """
    names, contents = [], []
    for name, path in todo.items():
        try:
            contents.append(content(path))
            names.append(name)
        except Unreadable as error:
            unreadable[name] = {"status": str(error)}
        if len(names) == size or sum(map(len, contents)) > CHUNK_BYTES:
            yield names, contents
            names, contents = [], []
    if names:
        yield names, contents


def grade_on_cluster(address, todo, store, seed, trust):
    """Yield (name, result) of the submissions `todo`, a dict of paths by name, as they come.

    address: of the scheduler, such as "tcp://10.0.0.5:8786". store: keeps each result.
    Raises UsageError when the cluster cannot be reached, SandboxError when a worker has no sandbox.
    """
    if not todo:
        return
    try:
        from distributed import Client, as_completed
    except ModuleNotFoundError as error:
        raise UsageError('--dask needs dask: run `pip install "regbook[dask]"`.') from error
    try:
        client = Client(address, timeout=20, serializers=SERIALIZERS, deserializers=SERIALIZERS)
    except (OSError, ValueError) as error:
        raise UsageError(f"No dask scheduler answers at {address}: {error}") from error
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise UsageError(f"The dask cluster at {address} has no workers.")
        unreadable = {}
        chunks = _chunks(todo, max(1, min(CHUNK, len(todo) // (4 * threads))), unreadable)
        running, coming = {}, as_completed()

        def scatter(data):
            for last in (*[False] * (TRIES - 1), True):
                try:
                    return client.scatter(data, hash=False)
                except OSError as error:  # the worker that was to keep it is dying
                    if last:
                        raise SandboxError(f"The cluster takes no work: {error}") from error
                    time.sleep(1)

        def send(names, contents, tries):
            data = scatter(_pack(contents))
            future = client.submit(grade_chunk, data, seed, trust, pure=False)
            running[future] = names, contents, tries
            coming.add(future)

        def send_next():
            for names, contents in chunks:
                send(names, contents, 1)
                break

        for _ in range(2 * threads):
            send_next()
        for future in coming:
            names, contents, tries = running.pop(future)
            try:
                results = json.loads(future.result())
            except Exception as error:  # its worker failed, and the chunk or its result with it
                if tries == TRIES:
                    sentence = f"{TRIES} workers of the cluster failed in turn: {error}"
                    raise SandboxError(sentence) from error
                send(names, contents, tries + 1)
                continue
            if isinstance(results, dict):
                raise SandboxError(results["error"])
            for name, data, (result, storable) in zip(names, contents, results, strict=True):
                if storable:
                    store.save(name, data, result)
                yield name, result
            send_next()
        yield from unreadable.items()
