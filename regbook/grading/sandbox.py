"""The sandbox: bubblewrap around a warm process, and the children that hold the submissions.

Source of the design: the manual of bubblewrap, bwrap(1), and the Linux manual pages
namespaces(7) and capabilities(7).
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import regbook
from regbook.exercise import Stopped
from regbook.grading import wire

ALWAYS = (
    "numpy", "IPython.core.inputtransformer2", "regbook.check", "regbook.data", "regbook.pairs",
    "regbook.model_handle", "regbook.grading.child",
)  # fmt: skip
LIBRARIES = {
    "keras": ("keras",), "tensorflow": ("keras",), "torch": ("torch",), "pandas": ("pandas",),
    "scipy": ("scipy.stats",), "sklearn": ("sklearn.linear_model", "sklearn.datasets"),
    "matplotlib": ("matplotlib.pyplot",),
}  # fmt: skip
EVERYTHING = (*ALWAYS, *dict.fromkeys(m for modules in LIBRARIES.values() for m in modules))
IMPORTED = re.compile(
    rf"(?:import(?:_module|__)?|from)[\s(\\\"']+({'|'.join(LIBRARIES)})\b".encode()
)
SCRATCH = ["/scratch", "/dev/shm"]  # where a submission can write, its home first
SCRATCH_SIZE = 512 << 20
START_SECONDS = 120  # to import both frameworks, on a slow and busy machine
LEVELS = {
    "bubblewrap": "each submission in a fresh process inside bubblewrap",
    "fork": "each submission in a fresh process, NOT isolated from this computer (--trust)",
    "spawn": "each submission in a new process, NOT isolated from this computer (--trust)",
}


class SandboxError(RuntimeError):
    """No sandbox can be had; the message says why and what to do."""


def level_for(trust):
    """Return the best level of isolation on this computer.

    trust: accept a level that does not isolate. Raises SandboxError, with what to do, when only
    such a level can be had and `trust` is false.
    """
    fault = _bubblewrap_fault()
    if not fault:
        return "bubblewrap"
    if not trust:
        raise SandboxError(
            f"{fault}\nWithout it a submission could read, change and delete your files. "
            "If you trust every submission, add --trust."
        )
    return "fork" if sys.platform == "linux" else "spawn"


def _bubblewrap_fault():
    if sys.platform != "linux":
        return (
            "Submissions are isolated by bubblewrap, which exists for Linux only. "
            "Use Linux, WSL 2 or a virtual machine."
        )
    if shutil.which("bwrap") is None:
        return (
            "Submissions are isolated by bubblewrap, and `bwrap` is not installed. Install it with "
            "`sudo apt install bubblewrap` (Debian, Ubuntu) or `sudo dnf install bubblewrap`."
        )
    tried = subprocess.run(
        [*_namespaces(), "--ro-bind", "/", "/", "--proc", "/proc", "true"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if tried.returncode == 0:
        return ""
    return (
        "bubblewrap is installed, but this system does not let it work: it said "
        f"{(tried.stderr.strip() or 'nothing')!r}. It needs version 0.8 or newer, and user "
        "namespaces, which some kernels and containers forbid. Your administrator can allow them: "
        "sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, or "
        "Docker's --security-opt seccomp=unconfined."
    )


def _namespaces():
    """Return the command that starts bubblewrap with everything of its own."""
    command = ["bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts",
               "--unshare-cgroup-try", "--as-pid-1", "--die-with-parent", "--new-session",
               "--cap-drop", "ALL"]  # fmt: skip
    if os.getuid() == 0:  # the server becomes another user itself, and drops these two
        return [*command, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [*command, "--unshare-user", "--disable-userns"]


def _covers(folder, path):
    return Path(folder) == Path(path) or Path(folder) in Path(path).parents


def _bubblewrap(hidden):
    """Return the command prefix of the sandbox: only the system, Python and its packages exist.

    hidden: paths that must not be seen even when they lie inside one of these.
    """
    package = Path(regbook.__file__).parent
    # Not all of sys.path: with `python -m` it starts with the folder where the grader works.
    packages = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    seen = ["/usr", sys.prefix, sys.base_prefix, package, *packages]
    roots = []
    for path in sorted({os.path.realpath(p) for p in map(str, seen) if os.path.isabs(p)}):
        if os.path.exists(path) and not any(_covers(root, path) for root in roots):
            roots.append(path)
    command = _namespaces()
    for name in ("bin", "lib", "lib32", "lib64", "sbin"):
        link = Path("/", name)
        if link.is_symlink():
            command += ["--symlink", os.readlink(link), str(link)]
        elif link.is_dir():
            command += ["--ro-bind", str(link), str(link)]
    if sys.prefix != os.path.realpath(sys.prefix):  # Python finds itself by this path
        roots.append(sys.prefix)
    for root in roots:
        for parent in reversed(Path(root).parents[:-1]):  # bubblewrap would close them to others
            command += ["--perms", "0755", "--dir", str(parent)]
        command += ["--ro-bind", root, root]
    covered = [os.path.realpath(path) for path in (package / "checks", *hidden)]
    covered = [p for p in covered if any(_covers(root, p) for root in roots) and os.path.isdir(p)]
    for path in covered:
        command += ["--tmpfs", path]
    for path in covered:  # one may lie in another
        command += ["--remount-ro", path]
    if os.path.exists("/etc/ld.so.cache"):
        command += ["--ro-bind", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    command += ["--proc", "/proc", "--dev", "/dev"]
    if not any(_covers("/tmp", root) for root in roots):  # else this Python lives there
        command += ["--symlink", SCRATCH[0], "/tmp"]
    for folder in SCRATCH:
        command += ["--perms", "1777", "--size", str(SCRATCH_SIZE), "--tmpfs", folder]
    return [*command, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", SCRATCH[0]]


def _environment(home):
    """Return the environment of the warm process: nothing of the grader's, one thread a pool."""
    pools = ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
    threads = {f"{pool}_THREADS": "1" for pool in pools}
    kept = {k: os.environ[k] for k in ("KERAS_BACKEND", "SYSTEMROOT") if k in os.environ}
    return {
        "PATH": "/usr/bin:/bin", "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1",
        "MPLBACKEND": "Agg", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0",
        "CUDA_VISIBLE_DEVICES": "", **threads, **kept,
    }  # fmt: skip


class Child:
    """One submission's process, from the grader's side."""

    def __init__(self, connection, reason):
        self._connection = connection
        self._reason = reason  # asks why the process ended

    def request(self, message, seconds):
        """Send a request; return the reply, a dict. Raises Stopped when none comes in time.

        Functions in `message` stay here: the submission calls them through the connection.
        """
        functions, number = [], secrets.randbits(50)  # no reply can be sent before its question
        deadline = time.monotonic() + seconds
        try:
            wire.send(self._connection, {**message, "id": number}, deadline, functions)
            while True:
                reply = wire.receive(self._connection, deadline)
                if not isinstance(reply, dict):
                    raise wire.WireError("not a reply")
                if "callback" not in reply:
                    answered = reply.get("id")
                    if type(answered) is not int or answered != number:
                        raise wire.WireError("an answer to another question")
                    return reply
                wire.send(self._connection, _called_back(functions, reply), deadline)
        except TimeoutError:
            raise Stopped(
                f"it did not finish within {seconds:g} s: does a loop never end?"
            ) from None
        except OSError:
            raise Stopped(self._reason()) from None
        except wire.WireError as error:
            raise Stopped(f"what it sent back was {error}") from None


def _called_back(functions, request):
    try:
        return {"value": functions[request["callback"]](*request["arguments"])}
    except Exception as error:  # the submission passed something that does not fit
        return {"error": f"{type(error).__name__}: {error}"}


def modules_for(contents):
    """Return the modules that a warm process should hold for these submissions, given as bytes.

    A library that none of them imports costs no start-up time. One that is overlooked here is
    imported by the submission itself, which is slower.
    """
    wanted = {name.decode() for content in contents for name in IMPORTED.findall(content)}
    return [*ALWAYS, *dict.fromkeys(m for name in sorted(wanted) for m in LIBRARIES[name])]


class Sandbox:
    """A warm process from which submissions are forked, one at a time. Use it with `with`.

    level: a key of LEVELS. hidden: folders that no submission may see. modules: imported once
    (default: both frameworks and what notebooks use); see `modules_for`.
    """

    def __init__(self, level, hidden=(), modules=EVERYTHING):
        self.level = level
        self._hidden, self._modules = hidden, modules
        self._process = self._control = self._folder = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Start the warm process unless it runs. Raises SandboxError when it cannot start."""
        if self._process is not None or self.level == "spawn":
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if self.level == "bubblewrap":
            prefix, scratch = _bubblewrap(self._hidden), SCRATCH
        else:
            self._folder = tempfile.mkdtemp(prefix="regbook-")
            prefix, scratch = [], [self._folder]
        command = [*prefix, sys.executable, "-P", "-m", "regbook.grading.server",
                   str(theirs.fileno()), os.pathsep.join(scratch), *self._modules]  # fmt: skip
        with theirs:
            self._process = subprocess.Popen(
                command, env=_environment(scratch[0]), pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                start_new_session=True,
            )  # fmt: skip
        self._control = ours
        self._expect("ready", START_SECONDS)

    def stop(self):
        """End the warm process and everything in its sandbox."""
        control, process, folder = self._control, self._process, self._folder
        self._process = self._control = self._folder = None  # another thread may stop it too
        if control:
            with contextlib.suppress(OSError):
                control.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for it
            control.close()
        if process:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stderr.close()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)

    def _expect(self, key, seconds):
        """Return what the server says under `key`. Raises SandboxError when it says otherwise."""
        try:
            self._control.settimeout(seconds)
            message = self._control.recv(4096)
            reply = json.loads(message) if message else {}
        except TimeoutError:
            reply = {"failed": f"no answer within {seconds} s"}
        except (OSError, AttributeError) as error:  # stopped meanwhile
            reply = {"failed": str(error)}
        if key in reply:
            return reply[key]
        said = reply.get("failed")
        if said is None and self._process:
            self._process.kill()
            said = self._process.stderr.read().decode(errors="replace").strip()[-2000:]
        self.stop()
        raise SandboxError(f"The process that holds the submissions failed: {said or 'it ended'}")

    @contextlib.contextmanager
    def child(self):
        """Give a fresh `Child`; when the block ends, nothing of it is left running."""
        if self.level == "spawn":
            with _spawned() as child:
                yield child
            return
        self.start()
        ours, theirs = socket.socketpair()
        with ours:
            with theirs, contextlib.suppress(OSError):  # it died meanwhile: `reason` finds that out
                socket.send_fds(self._control, [b"start"], [theirs.fileno()])
            ended = []

            def reason(order=b"why"):
                if not ended:
                    with contextlib.suppress(OSError, AttributeError):  # `_expect` says it
                        self._control.send(order)
                    ended.append(self._expect("ended", 30))
                return ended[0] or "its process stopped answering"

            try:
                yield Child(ours, reason)
            finally:
                with contextlib.suppress(SandboxError):  # the next child starts a new sandbox
                    reason(b"end")
                    self._expect("ready", 30)


@contextlib.contextmanager
def _spawned():
    """Give a `Child` in a new process that imports the frameworks itself."""
    token = secrets.token_hex()
    with (
        tempfile.TemporaryDirectory(prefix="regbook-", ignore_cleanup_errors=True) as folder,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        port = server.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "regbook.grading.spawned", str(port), token],
            env=_environment(folder), cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            server.settimeout(START_SECONDS)
            connection, _ = server.accept()
            with connection:
                connection.settimeout(START_SECONDS)
                if connection.recv(len(token), socket.MSG_WAITALL).decode() != token:
                    raise SandboxError("a stranger connected instead of the submission's process")
                yield Child(connection, lambda: "its process ended")
        finally:
            process.kill()
            process.wait()
