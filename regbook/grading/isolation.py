"""How well a submission is isolated: the best level on this computer, and what that level needs.

Source of the design: the manual of bubblewrap, bwrap(1), and the Linux manual pages
namespaces(7) and capabilities(7).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import regbook

LEVELS = {
    "bubblewrap": "each submission in a fresh process inside bubblewrap",
    "fork": "each submission in a fresh process, NOT isolated from this computer (--trust)",
    "spawn": "each submission in a new process, NOT isolated from this computer (--trust)",
}
SCRATCH = ["/scratch", "/dev/shm"]  # where a submission can write, its home first
SCRATCH_SIZE = 512 << 20


class SandboxError(RuntimeError):
    """No sandbox can be had; the message says why and what to do."""


def level_for(trust: bool) -> str:
    """Return the best level of isolation on this computer, a key of LEVELS.

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


def _roots(package):
    """Return the folders that are seen in the sandbox: of the system, Python and its packages."""
    # Not all of sys.path: with `python -m` it starts with the folder where the grader works.
    packages = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    seen = ["/usr", sys.prefix, sys.base_prefix, package, *packages]
    roots = []
    for path in sorted({os.path.realpath(p) for p in map(str, seen) if os.path.isabs(p)}):
        if os.path.exists(path) and not any(_covers(root, path) for root in roots):
            roots.append(path)
    if sys.prefix != os.path.realpath(sys.prefix):  # Python finds itself by this path
        roots.append(sys.prefix)
    return roots


def bubblewrap(hidden: Iterable[str | Path]) -> list[str]:
    """Return the command prefix of the sandbox: only the system, Python and its packages exist.

    hidden: paths that must not be seen even when they lie inside one of these.
    """
    package = Path(regbook.__file__).parent
    roots = _roots(package)
    command = _namespaces()
    for name in ("bin", "lib", "lib32", "lib64", "sbin"):
        link = Path("/", name)
        if link.is_symlink():
            command += ["--symlink", os.readlink(link), str(link)]
        elif link.is_dir():
            command += ["--ro-bind", str(link), str(link)]
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


def environment(home: str) -> dict[str, str]:
    """Return the variables of a submission's process: nothing of the grader's, one thread a pool.

    home: the folder where it works.
    """
    pools = ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
    threads = {f"{pool}_THREADS": "1" for pool in pools}
    kept = {k: os.environ[k] for k in ("KERAS_BACKEND", "SYSTEMROOT") if k in os.environ}
    return {
        "PATH": "/usr/bin:/bin", "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1",
        "MPLBACKEND": "Agg", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0",
        "CUDA_VISIBLE_DEVICES": "", **threads, **kept,
    }  # fmt: skip
