"""The same grading on a dask cluster: the same bytes, whatever dies, and nothing is pickled."""

import os
import pickle
import sys
import threading
import time

import psutil
import pytest
from grading_support import (
    IMPORT_LIGHT,
    PENALTY,
    STEP,
    STUB,
    Light,
    book,
    hand_in,
    need_bubblewrap,
    tables,
)

from regbook import cli
from regbook.grading import batch, cluster
from regbook.grading.batch import grade_folder
from regbook.grading.cluster import _chunks, _pack, _unpack, grade_chunk, grade_on_cluster
from regbook.grading.intake import UsageError
from regbook.grading.isolation import SandboxError

distributed = pytest.importorskip("distributed", reason='dask is not installed: "regbook[dask]"')
SLOW = "import time\ntime.sleep(0.4)"


PRELOAD = f"""{IMPORT_LIGHT}
from regbook.grading import cluster
cluster.Sandbox = Light
"""


@pytest.fixture(scope="module")
def address():
    """The address of a cluster of two worker processes with light sandboxes."""
    need_bubblewrap()
    options = {"processes": True, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, preload=[PRELOAD], **options
    ) as local:
        yield local.scheduler_address


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    books = {f"s{i}": book(f"# {i}", SLOW, PENALTY) for i in range(8)}
    hand_in(folder, broken=b"hello", stub=book(STUB.format("l2_penalty")), **books)
    return hand_in(folder, dies=book(STEP, "import os; os._exit(0)"), copy=books["s1"])


@pytest.fixture(scope="module")
def local(handed_in, tmp_path_factory):
    """The report on the same submissions, made without a cluster."""
    out = tmp_path_factory.mktemp("local")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "Sandbox", Light)
        grade_folder(handed_in, out, seed=5, show=False)
    return tables(out)


def workers(address):
    """Return the processes of the workers."""
    with distributed.Client(address) as client:
        return [psutil.Process(pid) for pid in client.run(os.getpid).values()]


def test_cluster_gives_the_same_bytes(address, handed_in, local, tmp_path, capsys, monkeypatch):
    made, pickled, dumps = [], [], distributed.protocol.pickle.dumps

    def recorded(*arguments, **options):
        pickled.append(dumps(*arguments, **options))
        return pickled[-1]

    class Client(distributed.Client):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(options)

    monkeypatch.setattr(distributed, "Client", Client)
    monkeypatch.setattr(distributed.protocol.pickle, "dumps", recorded)
    command = ["grade", str(handed_in), "--out", str(tmp_path), "--seed", "5", "--dask", address]
    assert cli.main(command) == 1
    assert "11 graded, 1 could not be graded." in capsys.readouterr().out
    assert tables(tmp_path) == local
    assert cli.main(command) == 1
    assert "12 of 12 need no grading" in capsys.readouterr().out
    assert tables(tmp_path) == local
    (options,) = made  # the second time there was nothing to do
    for key in ("serializers", "deserializers"):
        assert options[key] == ["dask", "msgpack"]
    assert any(b"grade_chunk" in data for data in pickled)  # the task itself
    assert not any(b"cell_type" in data or b"hello" in data for data in pickled)


def test_nothing_of_a_submission_is_pickled():
    contents = [b"", pickle.dumps(test_nothing_of_a_submission_is_pickled), b"\n[1]\n", book()]
    chunk = _pack(contents)
    assert list(_unpack(chunk)) == contents
    assert list(_unpack(_pack([]))) == []
    for data in (chunk, b"[]"):
        header, frames = distributed.protocol.serialize(data, serializers=cluster.SERIALIZERS)
        assert header["serializer"] == "dask"
        assert b"".join(map(bytes, frames)) == data


class Held:
    """A source whose bytes are there."""

    def __init__(self, data):
        self.read = lambda: data


def test_chunks_are_limited_in_number_and_bytes(monkeypatch):
    monkeypatch.setattr(cluster, "CHUNK_BYTES", 100)
    todo = {f"s{i}": Held(bytes(60 if i < 4 else 1)) for i in range(9)}
    chunks = list(_chunks(todo, 3))
    assert [len(names) for names in chunks] == [2, 2, 3, 2]
    assert [name for names in chunks for name in names] == list(todo)


def test_worker_that_dies_loses_nothing(address, handed_in, local, tmp_path):
    victim, _ = workers(address)
    finished = threading.Event()

    def kill():
        while not list(tmp_path.glob("results/*.json")) and not finished.wait(0.02):
            pass
        killed.append(not finished.is_set())
        victim.kill()

    killed = []
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        results, complete = grade_folder(handed_in, tmp_path, seed=5, dask=address, show=False)
    finally:
        finished.set()
        thread.join()
    assert complete and killed == [True]
    assert len(results) == 12
    assert tables(tmp_path) == local


def test_result_that_dies_with_its_worker_is_made_again(handed_in, local, tmp_path, monkeypatch):
    """The worker ends after it has answered and before the answer is fetched."""
    result, killed = distributed.Future.result, []

    def late(future, *arguments, **options):
        if not killed:
            ((keeper,),) = future.client.who_has([future]).values()
            killed.append(keeper)
            psutil.Process(future.client.run(os.getpid)[keeper]).kill()
            time.sleep(0.2)
        return result(future, *arguments, **options)

    monkeypatch.setattr(distributed.Future, "result", late)
    options = {"processes": True, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, preload=[PRELOAD], **options
    ) as own:
        grade_folder(handed_in, tmp_path, seed=5, dask=own.scheduler_address, show=False)
    assert killed
    assert tables(tmp_path) == local


def test_fault_of_the_workers_is_told(address, handed_in, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_pack", lambda contents: b"no lengths")
    with pytest.raises(SandboxError, match="4 workers of the cluster failed in turn: Expecting"):
        grade_folder(handed_in, tmp_path, seed=5, dask=address, show=False)
    assert not list(tmp_path.glob("results/*"))


def test_address_without_a_scheduler_is_wrong_use(tmp_path, capsys, monkeypatch):
    folder = hand_in(tmp_path / "in", a=book(PENALTY))
    client = distributed.Client
    monkeypatch.setattr(distributed, "Client", lambda *a, **o: client(*a, **{**o, "timeout": 1}))
    for address in ("tcp://127.0.0.1:9", "nonsense://x", "127.0.0.1:9"):
        command = ["grade", str(folder), "--out", str(tmp_path / "out"), "--dask", address]
        assert cli.main(command) == 2
        assert f"No dask scheduler answers at {address}" in capsys.readouterr().err


def test_cluster_without_workers_is_wrong_use(tmp_path):
    folder = hand_in(tmp_path / "in", a=book(PENALTY))
    with (
        distributed.LocalCluster(
            n_workers=0, processes=False, dashboard_address=":0", silence_logs=50
        ) as empty,
        pytest.raises(UsageError, match="has no workers"),
    ):
        grade_folder(folder, tmp_path / "out", seed=5, dask=empty.scheduler_address, show=False)


def test_missing_dask_says_how_to_get_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    folder = hand_in(tmp_path / "in", a=book(PENALTY))
    command = ["grade", str(folder), "--out", str(tmp_path / "out"), "--dask", "tcp://x:1"]
    assert cli.main(command) == 2
    assert 'run `pip install "regbook[dask]"`' in capsys.readouterr().err


def test_worker_without_a_sandbox_stops_the_run(monkeypatch):
    def no_level(trust):
        raise SandboxError("`bwrap` is not installed")

    monkeypatch.setattr(cluster, "level_for", no_level)
    assert grade_chunk(_pack([b"x"]), 0, False) == b'{"error": "`bwrap` is not installed"}'


def test_nothing_to_do_needs_no_cluster():
    assert list(grade_on_cluster("tcp://127.0.0.1:9", {}, None, False)) == []


def test_processes_end_with_the_cluster(address):
    """Each worker keeps one sandbox, and no more."""
    time.sleep(0.5)
    for process in workers(address):
        assert [child.name() for child in process.children()].count("bwrap") <= 1
