"""Every hostile submission earns the points of its honest parts, and nothing of it stays."""

import importlib
import json
import os
import re
import secrets
import socket
import threading
from pathlib import Path

import pytest
from grading_support import GROUPS, need_bubblewrap, points, reports
from hostile import case as support
from hostile import hard_coding
from hostile.broken_files import NORMAL

from regbook.grading import grade as grading
from regbook.grading.grade import grade
from regbook.grading.intake import content
from regbook.grading.sandbox import Sandbox
from regbook.grading.submission import SIZE_LIMIT, Unreadable

SEED = 20_261_121
TEXT_LIMIT = 2000  # characters of the longest text in a result
# What the next submission sees: is anything of the last one still there?
PROBE = """
import ctypes, glob, os
libc = ctypes.CDLL(None)
for folder in (os.environ["HOME"], "/dev/shm"):
    assert os.listdir(folder) == [], (folder, os.listdir(folder))
assert len(glob.glob("/proc/[0-9]*")) == 2, glob.glob("/proc/[0-9]*")
for kind in ("shm", "msg", "sem"):
    if os.path.exists(f"/proc/sysvipc/{kind}"):
        assert len(open(f"/proc/sysvipc/{kind}").readlines()) == 1, kind
assert libc.syscall(250, 10, -4, b"user", b"regbook-owned", 0) <= 0, "a key"
"""
HONEST = support.notebook(support.SETUP, support.HONEST[support.FIRST], PROBE)


def _cases():
    for group in GROUPS:
        cases = importlib.import_module(f"hostile.{group}").CASES
        yield from ((f"{group}-{each.name}", each) for each in cases)
    yield from ((f"hard_coding-{each.name}", each) for each in hard_coding.cases(SEED))


CASES = dict(_cases())


class _Listener:
    """Servers of this computer that no submission should reach."""

    def __init__(self, folder, secret):
        self.visitors = []
        self._sockets = [socket.create_server(("127.0.0.1", 0))]
        for name in (f"\0{secret}", f"{folder}/socket"):
            self._sockets.append(socket.socket(socket.AF_UNIX))
            self._sockets[-1].bind(name)
            self._sockets[-1].listen()
        self.port = self._sockets[0].getsockname()[1]
        for each in self._sockets:
            threading.Thread(target=self._listen, args=(each,), daemon=True).start()

    def _listen(self, server):
        while True:
            try:
                self.visitors.append(server.accept()[1])
            except OSError:
                return

    def close(self):
        for each in self._sockets:
            each.close()


class _Host:
    """What is on this computer outside the sandbox: a folder with a secret, servers, the course."""

    def __init__(self, folder):
        self.secret = f"secret{secrets.token_hex(8)}"
        self.folder = folder
        (folder / "report").mkdir()
        for name in ("other.ipynb", "report/results.json", "solution.ipynb"):
            stolen = support.notebook(f"# {self.secret}", *support.HONEST.values())
            (folder / name).write_bytes(stolen)
        os.environ["REGBOOK_SECRET"] = self.secret
        self.listener = _Listener(folder, self.secret)
        self.before = self._state()

    def filled(self, data):
        """Return the bytes of a submission in which the names of things here stand."""
        names = {"SECRET": self.secret, "DECOY": self.folder, "PORT": self.listener.port,
                 "SEED": SEED}  # fmt: skip
        for name, value in names.items():
            data = data.replace(f"@{name}@".encode(), str(value).encode())
        return data

    def _state(self):
        decoys = {
            path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
            for path in sorted(self.folder.rglob("*"))
        }
        places = ["/", "/tmp", "/dev", "/dev/shm", "/root", "/etc", "/usr", "/var/tmp", "/home"]
        places += [support.ROOT, support.ROOT / "regbook", support.ROOT / "solutions"]
        places += [support.ROOT / "regbook" / "checks", Path(grading.__file__).parent]
        return decoys, [p for p in places for p in Path(p).glob(f"*{support.OWNED}*")]

    def check(self):
        assert self._state() == self.before
        assert self.listener.visitors == []


def _stat(pid):
    """Return (parent, command) of a process, or None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        return int(text.rpartition(")")[2].split()[1]), Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None


def _processes():
    found = {int(p.name): _stat(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()}
    return {pid: stat for pid, stat in found.items() if stat}


def _below(processes, root):
    found = {root} if root in processes else set()
    while True:
        more = {pid for pid, (parent, _) in processes.items() if parent in found} - found
        if not more:
            return found
        found |= more


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    host = _Host(tmp_path_factory.mktemp("host"))
    yield host
    del os.environ["REGBOOK_SECRET"]
    host.listener.close()


@pytest.fixture(scope="module")
def sandbox(host):
    need_bubblewrap()
    with Sandbox("bubblewrap") as sandbox:
        sandbox.start()
        yield sandbox


def _texts(value):
    """Return every text in a result."""
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _is_clean(sandbox, started):
    """Assert that the warm process is alone, and that a sandbox it replaced is gone."""
    processes = _processes()
    marked = [p for p, (_, command) in processes.items() if support.DAEMON.encode() in command]
    assert marked == []
    current = sandbox._process.pid
    assert len(_below(processes, current)) == 2, processes  # bubblewrap and the warm process
    assert current == started or not _below(processes, started)


@pytest.mark.parametrize("name", CASES)
def test_hostile_submission(name, sandbox, host, monkeypatch):
    case = CASES[name]
    monkeypatch.setattr(grading, "CELL_SECONDS", case.seconds)
    monkeypatch.setattr(grading, "CALL_SECONDS", 1)
    sandbox.start()
    started = sandbox._process.pid
    result = grade(host.filled(case.content), sandbox, SEED)
    if case.deserved is None:
        assert set(result) == {"status"}
        assert re.search(case.says, result["status"]), result
    else:
        assert result["status"].startswith("graded"), result
        hints = [row["outcome"]["hint"] for e in reports(result) for row in e["rows"]]
        said = "\n".join([*result["problems"].values(), *hints])
        assert points(result) == case.deserved, (points(result), said[:2000])
        assert re.search(case.says, said), said[:2000]
    texts = _texts(result)
    assert not any(word in text for word in ("ATTACK", host.secret) for text in texts), texts
    assert max(map(len, texts)) <= TEXT_LIMIT
    assert not any(re.search("[\ud800\x1b]| at 0x[0-9a-f]", text) for text in texts), texts
    json.dumps(result, allow_nan=False)

    after = grade(HONEST, sandbox, SEED)
    assert after["problems"] == {}
    assert points(after) == support.full(support.FIRST)
    _is_clean(sandbox, started)
    host.check()


def test_the_recorded_tables_are_right_for_the_seed_they_come_from(sandbox):
    for case in hard_coding.cases(hard_coding.VISIBLE):
        if case.name.startswith("exact"):
            result = grade(case.content, sandbox, hard_coding.VISIBLE)
            solved = [e for e in reports(result) if e["rows"]]
            assert points(result) == sum(e["max_points"] for e in solved) == case.deserved


def test_hard_coding_never_earns_full_marks():
    for name, case in CASES.items():
        if name.startswith("hard_coding"):
            slug = "18_batch_norm" if name.endswith("18") else support.SLUG
            names = hard_coding.NAMES if slug == support.SLUG else hard_coding.OTHERS
            assert case.deserved < support.full(*names, slug=slug) / 2, name


def _folder(path):
    path.mkdir()


def _link(path):
    path.symlink_to(path.parent / "target.ipynb")
    (path.parent / "target.ipynb").write_bytes(NORMAL)


def _sparse(path):
    path.touch()
    os.truncate(path, 200 << 20)


def _closed(path):
    if support.is_root():
        pytest.skip("root may read every file")
    path.write_bytes(NORMAL)
    path.chmod(0)


PATHS = {
    "folder": (_folder, "a folder"),
    "link": (_link, "a link"),
    "broken-link": (lambda path: path.symlink_to("nowhere"), "a link"),
    "link-to-a-secret": (lambda path: path.symlink_to("/etc/passwd"), "a link"),
    "pipe": (os.mkfifo, "not a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "a link"),
    "large": (_sparse, f"too large: 200 MiB, at most {SIZE_LIMIT >> 20} MiB"),
    "missing": (lambda path: None, "not a regular file"),
    "unreadable": (_closed, "cannot be read"),
}


@pytest.mark.parametrize("name", PATHS)
def test_what_is_no_file_says_so(name, tmp_path):
    make, says = PATHS[name]
    make(tmp_path / "x.ipynb")
    with pytest.raises(Unreadable, match=says):
        content(tmp_path / "x.ipynb")
