"""The sandbox runs everything that a lesson teaches, and lets a submission see nothing else."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from grading_support import (
    CELL,
    MAX_POINTS,
    PENALTY,
    RIGHT,
    ROOT,
    STEP,
    Light,
    book,
    need_bubblewrap,
    points,
    tell,
)
from hostile import case

import regbook
from regbook.exercise import AnswerError, NotAttempted, Stopped
from regbook.grading import grade as grade_module
from regbook.grading import sandbox as sandbox_module
from regbook.grading.grade import _Remote, _Run, grade, graded
from regbook.grading.isolation import SandboxError, environment, level_for
from regbook.grading.results import repeatable
from regbook.grading.sandbox import EVERYTHING, Sandbox, modules_for
from regbook.grading.submission import Submission


@pytest.fixture(scope="module")
def full():
    """A sandbox with both frameworks."""
    need_bubblewrap()
    with Sandbox("bubblewrap") as sandbox:
        sandbox.start()
        yield sandbox


@pytest.fixture(scope="module")
def light():
    """A sandbox without the frameworks."""
    need_bubblewrap()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGBOOK_TEST_SECRET", "of the grader")
        with Light("bubblewrap", hidden=["/usr/share", "/usr/share/man"]) as sandbox:
            sandbox.start()
            yield sandbox


@contextlib.contextmanager
def opened(sandbox):
    with sandbox.child() as child:
        child.request({"do": "open", "names": [], "files": {}}, 20)
        yield child


def server(sandbox):
    """Return the warm process: the one whose parent is bubblewrap."""
    process = psutil.Process(sandbox._process.pid)
    if sandbox.level == "bubblewrap":
        (process,) = process.children()
    return process


def gone(processes):
    _, alive = psutil.wait_procs(processes, 10)
    return not alive


ANSWERS = """
import keras, torch
import numpy as np

def array(x): return np.asfortranarray(x)[::-1]
def halves(x): return x.astype(np.float16)
def tensor(x): return torch.tensor(x, requires_grad=True) * 2
def bfloat(x): return torch.ones(2, dtype=torch.bfloat16)
def keras_tensor(x): return keras.ops.convert_to_tensor(x) * 2
def variable(x): return keras.Variable(x)
def number(x): return 7
def truth(x): return True
def nan(x): return float("nan")
def listed(x): return [1, 2.5]
def ragged(x): return [x, x[0]]
def several(x): return x, (torch.tensor(1), [2, 3])
def named(x): return {"mean": keras.ops.mean(x), "parts": (x, 1)}
def called(f, rng): return f(torch.ones(2, requires_grad=True), 3) + rng.normal(size=2)
def odd(f): return f({1, 2})
def tells(f):
    try:
        return f(np.ones(2))
    except ValueError as error:
        return str(error).count("the grader's own")
def changes(x):
    x[:] = 0
    return x
def stub(x): raise NotImplementedError
def nothing(x): pass
def text(x): return "text"
def set_of(x): return {1, 2}
def raises(x): raise ValueError("no " * 1000)
def leaves(x): raise SystemExit
def large(x): return np.zeros(1 << 22)
def deep(x): return {"a": {"a": {"a": 1}}}
"""


def test_answers_of_every_kind_come_through(full):
    names = re.findall(r"^def (\w+)", ANSWERS, re.M)
    x = np.arange(6.0).reshape(2, 3)
    with _Run(full, Submission([], [ANSWERS]), names) as run:
        ask = {name: _Remote(run, name, 0) for name in names}
        for name, right in {
            "array": x[::-1], "halves": x.astype(np.float16), "tensor": 2 * x,
            "bfloat": np.ones(2, np.float32), "variable": x,
            "number": np.array(7), "truth": np.array(True), "nan": np.array(np.nan),
            "listed": np.array([1, 2.5]), "changes": 0 * x,
        }.items():  # fmt: skip
            answer = ask[name](x)
            assert type(answer) is np.ndarray and answer.dtype == right.dtype, name
            np.testing.assert_array_equal(answer, right, name)
        np.testing.assert_allclose(ask["keras_tensor"](x), 2 * x)
        assert x[1, 2] == 5  # `changes` had a copy
        first, second = ask["ragged"](x)
        assert (first.shape, second.shape) == ((2, 3), (3,))
        first, (one, pair) = ask["several"](x)
        assert (first.shape, one, pair.tolist()) == ((2, 3), 1, [2, 3])
        named = ask["named"](x)
        assert list(named) == ["mean", "parts"] and named["mean"] == 2.5
        assert ask["deep"](x) == {"a": {"a": {"a": np.array(1)}}}

        seen = []

        def function(values, factor):
            seen.append((values, factor))
            return values * factor

        answer = ask["called"](function, np.random.default_rng(5))
        np.testing.assert_array_equal(answer, 3 + np.random.default_rng(5).normal(size=2))
        ((values, factor),) = seen
        assert values.dtype == np.float32 and factor == 3

        def fails(values):
            raise KeyError("the grader's own")

        assert ask["tells"](fails) == 1
        with pytest.raises(AnswerError, match="expected numbers, got set"):
            ask["odd"](abs)
        assert ask["text"](x) == "text"
        with pytest.raises(NotAttempted):
            ask["stub"](x)
        for name, sentence in {
            "nothing": "returned nothing", "set_of": "expected numbers, got set",
            "raises": "raised ValueError: no no", "leaves": "raised SystemExit",
            "large": "larger than 16 MiB", "number": r"called with 2 arguments, but takes \(x\)",
        }.items():  # fmt: skip
            with pytest.raises(AnswerError, match=sentence) as caught:
                ask[name](*[x] * (1 + (name == "number")))
            assert len(str(caught.value)) <= 500
        assert not run.problems


MODELS = """
import keras, torch

def in_torch(n):
    model = torch.nn.Sequential(torch.nn.Linear(n, 2), torch.nn.Dropout(0.5))
    return model, torch.optim.SGD(model.parameters(), lr=0.5)

def in_keras(n):
    layers = [keras.Input((n,)), keras.layers.Dense(2), keras.layers.Dropout(0.5)]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5), loss)
    return model

def neither(n):
    return torch.nn.Linear(n, 2)
"""


def test_models_come_through_their_handle(full):
    kernel, bias, x = np.ones((3, 2)), np.array([0.5, -0.5]), np.eye(3)
    with _Run(full, Submission([], [MODELS]), ["in_torch", "in_keras", "neither"]) as run:
        for name in ("in_torch", "in_keras"):
            model = _Remote(run, name, 0).model(3)
            model.set_weights([kernel, bias])
            np.testing.assert_allclose(model.weights()[0], kernel)
            np.testing.assert_allclose(model.predict(x), x @ kernel + bias)
            assert (model.predict(np.ones((50, 3)), training=True) == 0).any()
            model.train_step(x, np.array([0, 1, 0]))
            assert not np.allclose(model.weights()[0], kernel)
            with pytest.raises(AnswerError):
                model.predict(np.ones((1, 99)))
        with pytest.raises(AnswerError, match="return the pair"):
            _Remote(run, "neither", 0).model(3)


TRAINING = """
import keras, torch
import numpy as np

class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, i):
        return torch.full((3,), float(i))

x, y = np.random.normal(size=(64, 3)).astype("float32"), np.arange(64) % 2
model = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
history = model.fit(x, y, epochs=2, verbose=1, validation_split=0.25)
batches = list(torch.utils.data.DataLoader(Rows(), batch_size=16, num_workers=2))
torch.set_num_threads(4)
product = torch.ones(600, 600) @ torch.ones(600, 600)
convolved = torch.nn.functional.conv2d(torch.ones(4, 3, 64, 64), torch.ones(8, 3, 3, 3))
parallel = keras.ops.matmul(keras.ops.ones((600, 600)), keras.ops.ones((600, 600)))
"""


def test_frameworks_train_in_a_child_of_a_process_with_one_thread(full):
    for _ in range(2):
        assert server(full).num_threads() == 1
        with opened(full) as child:
            told = tell(
                child,
                "(len(history.history['val_loss']), len(batches), float(batches[3][15, 0]), "
                "float(product[0, 0]), float(convolved[0, 0, 1, 1]), float(parallel[1, 1]))",
                before=TRAINING, seconds=90,
            )  # fmt: skip
        assert told == (2, 4, 63.0, 600.0, 27.0, 600.0)


VANDAL = """
import builtins, os, signal, subprocess, sys
import numpy as np
for folder in (os.environ["HOME"], "/dev/shm"):
    os.makedirs(folder + "/deep/er", exist_ok=True)
    open(folder + "/deep/trace", "w").write("x")
    os.chmod(folder + "/deep/er", 0)
os.symlink("/usr", os.environ["HOME"] + "/link")
os.environ["TRACE"] = "x"
np.trace_of_mine = builtins.trace_of_mine = 1
np.sum = None
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import os, time; os.setsid(); time.sleep(1000)"])
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            import time
            time.sleep(1000)
        os._exit(0)
"""
TRACES = """
import os, builtins
import numpy as np
left = [n for f in (os.environ["HOME"], "/dev/shm") for n in os.listdir(f)]
"""


def test_nothing_of_one_submission_is_there_for_the_next(full):
    with opened(full) as child:
        assert tell(child, "len(os.listdir())", before=VANDAL) > 0
        processes = server(full).children(recursive=True)
        assert len(processes) >= 4
    assert gone(processes)
    with opened(full) as child:
        seen = "[left, 'TRACE' in os.environ, hasattr(np, 'trace_of_mine'), np.sum is None, "
        seen += "hasattr(builtins, 'trace_of_mine'), sum(n.isdigit() for n in os.listdir('/proc'))]"
        assert tell(child, seen, before=TRACES) == [[], False, False, False, False, 2]


def test_same_submission_draws_the_same_numbers_each_time(full):
    draws = "import random, keras, torch\nimport numpy as np"
    told = []
    for _ in range(2):
        with opened(full) as child:
            told.append(tell(child, "(random.random(), float(np.random.rand()), "
                             "float(torch.rand(1)))", before=draws))  # fmt: skip
    assert told[0] == told[1]


def test_submission_sees_only_its_own_process(light):
    with opened(light) as child:
        look = "import os, re, stat\nstatus = open('/proc/self/status').read()\n"
        look += "def field(n): return re.search(rf'^{n}:\\s*(.*)$', status, re.M)[1].split()\n"
        look += "def kind(fd): return stat.S_IFMT(os.fstat(fd).st_mode)\n"
        descriptors = tell(child, "sorted(map(int, os.listdir('/proc/self/fd')))", before=look)
        assert descriptors[:3] == [0, 1, 2]
        assert len(descriptors) == 5  # the connection, and the one that lists
        kinds = tell(child, f"[kind(fd) for fd in {descriptors[:4]}]")
        assert kinds == [0o020000] * 3 + [0o140000]
        for name in ("CapEff", "CapPrm", "CapAmb"):
            assert int(tell(child, f"field({name!r})")[0], 16) == 0, name
        assert tell(child, "field('NoNewPrivs')") == ["1"]
        assert 0 not in tell(child, "[*map(int, field('Uid')), *map(int, field('Gid'))]")
        assert tell(child, "os.getgroups()") in ([], [65534])
        assert tell(child, "sorted(n for n in os.listdir('/proc') if n.isdigit())[0]") == "1"
        closed = """
def denied(path, read):
    try:
        read(path)
    except OSError as error:
        return True
    return False
"""
        paths = ["mem", "environ", "maps", "fd", "cwd", "root", "auxv"]
        told = tell(
            child,
            f"[denied('/proc/1/' + p, os.listdir if p == 'fd' else os.readlink if p in "
            f"('cwd', 'root') else lambda q: open(q, 'rb').read(64)) for p in {paths}]",
            before=closed,
        )
        assert dict(zip(paths, told, strict=True)) == dict.fromkeys(paths, True)
        told = set(tell(child, "sorted(os.environ)"))
        assert told <= {*environment(""), "PWD", "LC_CTYPE", "OLDPWD"}
        assert tell(child, "os.getcwd() == os.environ['HOME'] and os.listdir('.') == []")


def test_submission_sees_only_the_system_and_its_packages(light):
    package = Path(regbook.__file__).parent
    secrets = [
        ROOT / "solutions", ROOT / "tests", ROOT / "chapters", ROOT / ".git", ROOT / "benchmarks",
        "/etc/passwd", "/etc/shadow", "/etc/hostname", "/root/.ssh", "/home", "/var", "/run",
        "/sys/class", "/proc/kcore/x", Path.home() / ".bashrc", __file__, "/mnt", "/srv",
    ]  # fmt: skip
    with opened(light) as child:
        look = "import os\nfrom pathlib import Path\n"
        told = tell(child, f"[p for p in {list(map(str, secrets))} if os.path.exists(p)]", look)
        assert told == []
        assert tell(child, f"os.listdir({str(package / 'checks')!r})") == []
        assert tell(child, "os.listdir('/usr/share')") == ["man"]  # the hidden folder
        assert "check.py" in tell(child, f"os.listdir({str(package)!r})")
        assert tell(child, "[os.listdir(f) for f in ('.', '/dev/shm')]") == [[], []]
        write = """
def writable(path):
    try:
        with open(path + "/trace", "w") as file:
            file.write("x")
    except OSError:
        return False
    os.unlink(path + "/trace")
    return True
"""
        kept = ["/", "/usr", "/usr/bin", "/dev", "/proc", "/proc/sys/kernel", "/etc", sys.prefix,
                str(package), str(package / "checks"), "/usr/share", "/usr/share/man",
                str(Path(np.__file__).parent)]  # fmt: skip
        assert tell(child, f"[p for p in {kept} if writable(p)]", before=write) == []
        assert tell(child, "[writable(p) for p in ('/dev/shm', '.')]") == [True] * 2


def test_submission_has_no_network(light):
    with socket.create_server(("127.0.0.1", 0)) as listener, opened(light) as child:
        before = f"""
import socket
def connects(family, address):
    try:
        with socket.socket(family) as s:
            s.settimeout(3)
            s.connect(address)
    except OSError as error:
        return False
    return True
port = {listener.getsockname()[1]}
"""
        told = tell(child, "[connects(socket.AF_INET, (h, port)) for h in ('127.0.0.1', "
                    "'192.0.2.1', '0.0.0.0')] + [connects(socket.AF_INET6, ('::1', port))]",
                    before=before)  # fmt: skip
        assert told == [False] * 4
        assert tell(child, "[name for _, name in socket.if_nameindex() if name != 'lo']") == []
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_stopped_child_says_why_and_the_next_one_works(light):
    for source, seconds, reason in [
        ("while True: pass", 1, "it did not finish within 1 s: does a loop never end?"),
        ("import os; os._exit(3)", 20, "the process ended itself"),
        ("import os; os.kill(os.getpid(), 9)", 20, "the process died of signal SIGKILL"),
        ("import os\nfor fd in range(3, 99):\n    try: os.close(fd)\n    except OSError: pass",
         20, None),
    ]:  # fmt: skip
        with opened(light) as child:
            with pytest.raises(Stopped) as caught:
                child.request({**CELL, "source": source}, seconds)
            assert reason is None or str(caught.value) == reason
    with opened(light) as child:
        assert tell(child, "1 + 1") == 2


def test_killed_sandbox_is_replaced(light):
    light.start()
    processes = [server(light), psutil.Process(light._process.pid)]
    with opened(light) as child:
        processes += server(light).children(recursive=True)
        server(light).kill()
        with pytest.raises(SandboxError, match="The process that holds the submissions failed"):
            child.request({**CELL, "source": "while True: pass"}, 20)
    assert gone(processes)
    with opened(light) as child:
        assert tell(child, "1 + 1") == 2
    for number in (0, 1):  # between two submissions, bubblewrap too
        processes = [server(light), psutil.Process(light._process.pid)]
        processes[number].kill()
        time.sleep(0.2)
        result, storable = graded(book(PENALTY), light, 0, alone=True)
        assert (points(result), storable) == (4, True)
        light.stop()
        assert gone(processes)
        light.start()


@pytest.mark.parametrize("error", [KeyError("ready"), UnicodeDecodeError("utf-8", b"x", 0, 1, "?")])
def test_whatever_goes_wrong_with_a_sandbox_costs_the_present_submission_at_most(
    light, monkeypatch, error
):
    def fails(*_):
        raise error

    light.start()
    broken = psutil.Process(light._process.pid)
    with monkeypatch.context() as patch, opened(light):
        patch.setattr(light, "_expect", fails)
    assert gone([broken])
    assert points(grade(book(PENALTY), light, 0)) == 4


def test_the_warm_process_may_say_anything(light):
    for said in (
        b"x" * 5000,
        b"\xff",
        b"[]",
        b"[" * 5000,
        json.dumps({"failed": "é" * 9000}).encode(),
    ):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sandbox = Light("bubblewrap")
        sandbox._control = ours
        with theirs:
            theirs.send(said)
            with pytest.raises(SandboxError, match="The process that holds the submissions failed"):
                sandbox._expect("ready", 5)


def test_stop_leaves_no_process_and_may_be_repeated():
    need_bubblewrap()
    sandbox = Light("bubblewrap")
    sandbox.stop()
    with sandbox:
        with opened(sandbox) as child:
            tell(child, "1", before="import os\nfor _ in range(5):\n    if not os.fork():\n"
                 "        import time\n        time.sleep(1000)")  # fmt: skip
            root = psutil.Process(sandbox._process.pid)
            processes = [root, *root.children(recursive=True)]
            assert len(processes) >= 7
            sandbox.stop()  # in the middle of a submission
        assert gone(processes)
        sandbox.stop()
        with opened(sandbox) as child:
            assert tell(child, "2") == 2


def test_process_with_threads_refuses_to_fork(tmp_path, monkeypatch):
    text = (
        "import threading, time\nthreading.Thread(target=time.sleep, args=[99], daemon=1).start()"
    )
    (tmp_path / "starts_a_thread.py").write_text(text)
    monkeypatch.setattr(sandbox_module, "environment",
                        lambda home: environment(home) | {"PYTHONPATH": str(tmp_path)})  # fmt: skip
    with Sandbox("fork", modules=["starts_a_thread"]) as sandbox:
        sandbox.start()
        process, folder = psutil.Process(sandbox._process.pid), sandbox._folder
        with (
            pytest.raises(SandboxError, match="has 2 threads, so it must not fork"),
            opened(sandbox),
        ):
            pass
        assert gone([process]) and not os.path.exists(folder)


def test_sandbox_that_cannot_start_says_what_python_said(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox_module, "environment",
                        lambda home: environment(home) | {"PYTHONPATH": str(tmp_path)})  # fmt: skip
    (tmp_path / "broken_on_import.py").write_text("raise ImportError('no such library')")
    with Sandbox("fork", modules=["broken_on_import"]) as sandbox:
        with pytest.raises(SandboxError, match="no such library"):
            sandbox.start()
        assert sandbox._process is None
    monkeypatch.setattr(sandbox_module, "START_SECONDS", 0.01)
    slow = pytest.raises(SandboxError, match=r"no answer within 0\.01 s")
    with Light("fork") as sandbox, slow:
        sandbox.start()


def fake_bwrap(folder, text):
    path = folder / "bwrap"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_level_is_the_best_there_is_or_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="sudo apt install bubblewrap") as caught:
        level_for(False)
    assert "`bwrap` is not installed" in str(caught.value)
    assert str(caught.value).endswith("If you trust every submission, add --trust.")
    assert level_for(True) == "fork"
    fake_bwrap(tmp_path, "echo 'bwrap: No permissions to create new namespace' >&2; exit 1")
    with pytest.raises(SandboxError, match="'bwrap: No permissions to create new namespace'"):
        level_for(False)
    assert level_for(True) == "fork"
    fake_bwrap(tmp_path, "exit 1")
    with pytest.raises(SandboxError, match="it said 'nothing'"):
        level_for(False)
    fake_bwrap(tmp_path, "exit 0")
    assert level_for(False) == level_for(True) == "bubblewrap"
    (tmp_path / "bwrap").chmod(0o644)
    with pytest.raises(SandboxError, match="not installed"):
        level_for(False)
    for platform in ("darwin", "win32"):
        monkeypatch.setattr(sandbox_module.sys, "platform", platform)
        with pytest.raises(SandboxError, match=r"for Linux only\. Use Linux, WSL 2 or a virtual"):
            level_for(False)
        assert level_for(True) == "spawn"


def test_all_levels_give_the_same_result_and_leave_nothing(light, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    wrong = STEP.replace("2 * lam", "lam")
    writes = "open('trace', 'w').write('x')\nimport os\nassert os.listdir('.') == ['trace']"
    data = book(PENALTY, wrong, writes, "1 / 0", "import subprocess\n"
                "p = subprocess.Popen(['sleep', '100'])")  # fmt: skip
    results = [grade(data, light, 3)]
    assert points(results[0]) == 4 + 1
    sentence = "ZeroDivisionError: division by zero (line 1 of the cell)"
    assert results[0]["problems"] == {"5": sentence}
    assert not os.path.exists("trace")
    me = psutil.Process()
    children = set(me.children(recursive=True))
    for level in ("fork", "spawn"):
        with Light(level) as sandbox:
            results.append(grade(data, sandbox, 3))
    first, *others = [json.dumps(repeatable(result)) for result in results]
    assert others == [first, first]
    assert os.listdir(tmp_path) == []
    assert set(me.children(recursive=True)) == children


SCRIPT = """
import os, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from regbook.grading.grade import grade
from regbook.grading.isolation import level_for
from regbook.grading.sandbox import Sandbox
assert os.getuid() == 65534
with Sandbox(level_for(False), modules=()) as sandbox:
    result = grade(Path({path!r}).read_bytes(), sandbox, 0)
print(result["status"], result["chapters"][0]["points"], result["problems"])
"""


def test_ordinary_user_grades_too(tmp_path):
    if os.getuid() != 0:
        pytest.skip("only root can become another user; the other tests ran as an ordinary one")
    need_bubblewrap()
    shared = Path(tempfile.mkdtemp(prefix="grading-test-"))
    try:
        shared.chmod(0o755)
        (shared / "a.ipynb").write_bytes(book(PENALTY, "import os\nassert os.getuid() == 65534"))
        script = SCRIPT.format(root=str(ROOT), path=str(shared / "a.ipynb"))
        options = {"user": 65534, "group": 65534, "extra_groups": []}
        environment = {"PATH": os.environ["PATH"], "HOME": str(shared), "LANG": "C.UTF-8"}
        try:
            subprocess.run([sys.executable, "-c", "import regbook.check"], cwd="/", check=True,
                           env=environment, capture_output=True, **options)  # fmt: skip
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("other users cannot read this Python or this checkout")
        done = subprocess.run([sys.executable, "-c", script], cwd="/", env=environment,
                              capture_output=True, text=True, timeout=120, **options)  # fmt: skip
        if "bubblewrap is installed, but this system does not let it work" in done.stderr:
            pytest.skip(done.stderr.strip().splitlines()[-1])
        assert done.stdout == "graded 4 {}\n", done.stderr
    finally:
        shutil.rmtree(shared)


def test_solution_earns_full_marks_within_the_limits(full):
    data = (ROOT / "solutions/07_l2_weight_decay.ipynb").read_bytes()
    result = grade(data, full, 11)
    assert (result["status"], points(result)) == ("graded", MAX_POINTS)
    assert points(grade(book(*RIGHT.values()), full, 11)) == MAX_POINTS


@pytest.mark.parametrize(
    ("code", "module"),
    [
        ("import torch", "torch"),
        ("    from tensorflow import keras", "keras"),
        ("import keras as k", "keras"),
        ("from sklearn.svm import SVC", "sklearn.datasets"),
        ("t = __import__('torch')", "torch"),
        ('importlib.import_module("torch.nn")', "torch"),
        ("import matplotlib.pyplot as plt", "matplotlib.pyplot"),
        ("# NumPy, Keras or torch", None),
        ("import torchlike", None),
        ("keras = 1", None),
    ],
)
def test_only_what_submissions_import_is_preloaded(code, module):
    extra = set(modules_for([book(code), b"\xff"])) - set(modules_for([]))
    assert (module in extra) if module else not extra
    assert set(modules_for([book(code)])) <= set(EVERYTHING)


@pytest.fixture
def busy():
    """Keep every processor busy, ten times over.

    Each program has a session of its own, because Linux shares processors among sessions.
    """
    burn = [sys.executable, "-c", "while True: pass"]
    number = 10 * len(os.sched_getaffinity(0))
    burning = [subprocess.Popen(burn, start_new_session=True) for _ in range(number)]
    while any(psutil.Process(process.pid).cpu_times().user < 0.1 for process in burning):
        time.sleep(0.05)
    yield
    for process in burning:
        process.kill()
        process.wait()


WORK = """
import time
start = time.process_time()
while time.process_time() - start < 0.9:
    pass
"""


def test_waiting_for_a_processor_does_not_count(light, busy):
    with opened(light) as child:
        start = time.monotonic()
        reply = child.request({**CELL, "source": WORK}, 1)
        assert reply.get("error") is None
        assert time.monotonic() - start > 1.2  # by the clock it took longer than the limit


@pytest.mark.parametrize("source", ["while True: pass", "import time\ntime.sleep(1000)"])
def test_work_and_sleep_count_on_a_busy_machine_too(light, busy, source):
    with opened(light) as child, pytest.raises(Stopped, match="did not finish within 1 s"):
        child.request({**CELL, "source": source}, 1)


KERAS = """
import keras
def build_regularized_model(n_inputs, n_hidden, n_classes, lam, lr):
    l2 = keras.regularizers.l2(lam)
    hidden = keras.layers.Dense(n_hidden, "relu", kernel_regularizer=l2)
    output = keras.layers.Dense(n_classes, "softmax", kernel_regularizer=l2)
    model = keras.Sequential([keras.Input((n_inputs,)), hidden, output])
    model.compile(keras.optimizers.SGD(lr), "sparse_categorical_crossentropy")
    return model
"""


def test_deserved_points_do_not_depend_on_the_load(full, busy, monkeypatch):
    """A right answer in Keras computes for half a second, which takes several by the clock."""
    monkeypatch.setattr(grade_module, "CALL_SECONDS", 1.5)
    start = time.monotonic()
    result = grade(book(KERAS), full, 3)
    assert time.monotonic() - start > 1.5
    assert result["problems"] == {}
    assert points(result) == case.full("build_regularized_model")
