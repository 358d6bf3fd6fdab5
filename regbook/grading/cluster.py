"""The same grading on an existing dask cluster: a chunk of submissions is one task.

Files travel as bytes and results as JSON, in dask's own format for bytes: nothing of a submission
is ever pickled. The workers need this package, both frameworks and bubblewrap. Each keeps one warm
process per thread. A chunk whose worker dies is sent again.

Source: https://distributed.dask.org, "Client" and "Serialization".
"""

import itertools
import json
import threading
import time
from collections.abc import Iterator, Mapping

from regbook.grading.grade import graded, graded_in_time
from regbook.grading.intake import Source, UsageError
from regbook.grading.isolation import SandboxError, level_for
from regbook.grading.results import Result
from regbook.grading.sandbox import Sandbox
from regbook.grading.store import Store
from regbook.grading.submission import Unreadable

CHUNK = 100  # submissions at most
CHUNK_BYTES = 32 << 20  # after which a chunk takes no further submission
TRIES = 4  # of a chunk whose workers die
CONNECT_SECONDS = 20
RETRY_SECONDS = 1  # until a dying worker is known to be gone
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


def grade_chunk(chunk: bytes, seed: int, trust: bool) -> bytes:
    """Grade a chunk on a worker; return JSON: pairs (result, whether it may be stored)."""
    try:
        if getattr(_thread, "sandbox", None) is None:
            _thread.sandbox = Sandbox(level_for(trust))
        given = ((data, _thread.sandbox, seed) for data in _unpack(chunk))
        return json.dumps([graded_in_time(graded, *each) for each in given]).encode()
    except SandboxError as error:
        return json.dumps({"error": str(error)}).encode()


def _read(source):
    try:
        return source.read()
    except Unreadable:  # since it was looked up: as good as empty
        return b""


def _chunks(todo, size):
    """Yield lists of names: `size` of them at most, and few enough for CHUNK_BYTES."""
    names, length = [], 0
    for name, source in todo.items():
        names.append(name)
        length += len(_read(source))
        if len(names) == size or length > CHUNK_BYTES:
            yield names
            names, length = [], 0
    if names:
        yield names


class _Work:
    """The chunks that a cluster is grading. One whose worker dies is sent again."""

    def __init__(self, client, todo, seed, trust):
        from distributed import as_completed

        self._client, self._todo, self._options = client, todo, (seed, trust)
        self._running, self._coming = {}, as_completed()

    def send(self, names, tries=1):
        """Give a chunk to the cluster. Raises SandboxError when it takes none."""
        data = self._scatter(_pack([_read(self._todo[name]) for name in names]))
        future = self._client.submit(grade_chunk, data, *self._options, pure=False)
        self._running[future] = names, tries
        self._coming.add(future)

    def _scatter(self, data):
        for last in (*[False] * (TRIES - 1), True):
            try:
                return self._client.scatter(data, hash=False)
            except OSError as error:  # the worker that was to keep it is dying
                if last:
                    raise SandboxError(f"The cluster takes no work: {error}") from error
                time.sleep(RETRY_SECONDS)

    def finished(self):
        """Yield (names, pairs of `grade_chunk`) of each chunk, until none is left."""
        for future in self._coming:
            names, tries = self._running.pop(future)
            try:
                results = json.loads(future.result())
            except Exception as error:  # its worker failed, and the chunk or its result with it
                if tries == TRIES:
                    sentence = f"{TRIES} workers of the cluster failed in turn: {error}"
                    raise SandboxError(sentence) from error
                self.send(names, tries + 1)
                continue
            if isinstance(results, dict):
                raise SandboxError(results["error"])
            yield names, results


def _connected(address):
    """Return a client of the scheduler at this address. Raises UsageError when none answers."""
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise UsageError('--dask needs dask: run `pip install "regbook[dask]"`.') from error
    try:
        return Client(
            address, timeout=CONNECT_SECONDS, serializers=SERIALIZERS, deserializers=SERIALIZERS
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"No dask scheduler answers at {address}: {error}") from error


def grade_on_cluster(
    address: str, todo: Mapping[str, Source], store: Store, trust: bool
) -> Iterator[tuple[str, Result]]:
    """Yield (name, result) of the submissions `todo`, by name, as they come.

    address: of the scheduler, such as "tcp://10.0.0.5:8786". store: keeps each result.
    Raises UsageError when the cluster cannot be reached, SandboxError when a worker has no sandbox.
    """
    if not todo:
        return
    with _connected(address) as client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise UsageError(f"The dask cluster at {address} has no workers.")
        chunks = _chunks(todo, max(1, min(CHUNK, len(todo) // (4 * threads))))
        work = _Work(client, todo, store.seed, trust)
        for names in itertools.islice(chunks, 2 * threads):
            work.send(names)
        for names, results in work.finished():
            for name, (result, storable) in zip(names, results, strict=True):
                if storable:
                    store.save(name, _read(todo[name]), result)
                yield name, result
            for names in itertools.islice(chunks, 1):
                work.send(names)
