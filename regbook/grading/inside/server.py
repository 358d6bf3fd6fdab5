"""The warm process: it imports the frameworks once and forks a child for each submission.

It runs inside the sandbox and holds no secret: the grader passes it the end of a socket for each
submission, and only the child reads from that. One child at a time; when it ends, every process
in the sandbox is killed and everything that was written there is deleted. If that fails, the
server says so and the grader throws the whole sandbox away.

Forking is safe only while the process has one thread and TensorFlow has run no operation (its
thread pools would be missing in the child, which then hangs). So the server runs none, the grader
limits every thread pool to one before the imports, and the server refuses to fork otherwise.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import re
import resource
import secrets
import select
import signal
import socket
import sys
import time
from pathlib import Path

from regbook.grading.inside import syscalls

GIB = 1 << 30
MEMORY = 2 * GIB  # beyond the warm process, for all processes of a submission and its files
SHARING = 8  # processes that are taken to share the memory of the warm process
PROCESSES = 64
TASKS = 256  # processes and threads
CPU_SECONDS = 300
FILE_SIZE = 64 << 20
OPEN_FILES = 256
MANY = 32  # tasks, from which on all but the first get the lowest priority
LOWEST = 19
LOOK_SECONDS = 0.05  # between two looks at memory and processes
GRACE_SECONDS = 5  # until a process whose connection ended has ended too
KILL_SECONDS = 60  # until every process has died of SIGKILL
TEXT_LIMIT = 1000  # characters of what goes wrong here
REAP_SECONDS = 0.001  # between two tries
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
NOBODY = 65534
USERS = range(1 << 30, 1 << 31)  # numbers of users that exist nowhere


def preload(modules: list[str]) -> None:
    """Import what a child needs, and those of `modules` that are installed."""
    gc.disable()  # imports leave next to no garbage; looking for it takes a quarter of their time
    importlib.import_module("regbook.grading.inside.child")
    for name in modules:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    gc.freeze()  # so that a child's collections do not copy the memory that it shares
    gc.enable()


def threads() -> int:
    """Return the number of threads of this process."""
    return len(os.listdir("/proc/self/task"))


def _prctl(option, value):
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl failed")


def _set_limits(alone):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    space = pages * resource.getpagesize() + MEMORY
    limits = {
        resource.RLIMIT_AS: space,
        resource.RLIMIT_CPU: CPU_SECONDS,
        resource.RLIMIT_FSIZE: FILE_SIZE,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if alone:  # a fork bomb is faster than `_supervise`
        limits[resource.RLIMIT_NPROC] = 2 * TASKS
    for name, value in limits.items():
        hard = resource.getrlimit(name)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (value, value))


def _child(connection, home, alone):
    """Become the process of one submission; never return."""
    try:
        keep = connection.fileno()
        os.closerange(3, keep)
        os.closerange(keep + 1, 65536)
        os.setsid()
        _set_limits(alone)
        os.chdir(home)
        from regbook.grading.inside.child import serve

        serve(connection)
    finally:
        os._exit(0)


# A submission chooses the names of its processes, in any bytes: what /proc says is never decoded.


def _memory(name):
    """Return how many bytes of memory a process uses, without those that are copies of files."""
    status = Path(f"/proc/{name}/status").read_bytes()
    return sum(map(int, re.findall(rb"^Rss(?:Anon|Shmem):\s*(\d+)", status, re.M))) << 10


def _others():
    """Return the numbers of the processes beside this one, as texts."""
    return [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def _times(names):
    """Return the seconds that processes have computed, and those they waited for a processor.

    What children of theirs have computed that are gone counts too. A kernel that does not keep the
    second number gives 0.
    """
    ticks = waited = 0
    for name in names:
        with contextlib.suppress(OSError, IndexError, ValueError):  # it may just have ended
            stat = Path(f"/proc/{name}/stat").read_bytes()
            ticks += sum(map(int, stat.rpartition(b")")[2].split()[11:15]))
            for task in os.listdir(f"/proc/{name}/task"):
                waited += int(Path(f"/proc/{name}/task/{task}/schedstat").read_bytes().split()[1])
    return ticks / os.sysconf("SC_CLK_TCK"), waited / 1e9


def _usage(main, own, folders):
    """Return the numbers of processes and of tasks beside this one, and the memory they use.

    The files in `folders` count as memory. Where there are many tasks, all but the first of the
    process `main` get the lowest priority, so that they do not make this process late.
    """
    used, tasks = [], []
    for name in _others():
        with contextlib.suppress(OSError):  # it may just have ended
            used.append(_memory(name))
            tasks += map(int, os.listdir(f"/proc/{name}/task"))
    for task in tasks if len(tasks) > MANY else ():
        if task != main:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, task, LOWEST)
    memory = sum(used) - sum(min(size, own) for size in sorted(used)[-SHARING:])
    for folder in folders:
        disk = os.statvfs(folder)
        memory += (disk.f_blocks - disk.f_bfree) * disk.f_frsize
    return len(used), len(tasks), memory


def _obeyed(control, pid, alone):
    """Do what the grader wants while a child runs; return whether it wants the child to go on."""
    message = control.recv(64, socket.MSG_PEEK)
    if message == b"times":
        times = _times(_others() if alone else [str(pid)])
        control.send(json.dumps({"times": times}).encode())
    elif message == b"interrupt":
        os.kill(pid, signal.SIGINT)
    else:
        return False
    control.recv(64)
    return True


def _supervise(pid, control, alone, folders):
    """Wait until the child ends, the grader says so, or a limit is passed; return the reason."""
    own = _memory("self")
    ended = os.pidfd_open(pid)
    try:
        while True:
            ready, _, _ = select.select([control, ended], [], [], LOOK_SECONDS)
            if control in ready and (ended in ready or not _obeyed(control, pid, alone)):
                if control.recv(64, socket.MSG_PEEK) == b"why":
                    ready = select.select([ended], [], [], GRACE_SECONDS)[0]
                if ended not in ready:
                    return ""
            if ended in ready:
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                if status >= 0:
                    return "the process ended itself"
                if -status == signal.SIGXCPU:
                    return f"it used more than {CPU_SECONDS} s of computing time"
                names = {number.value: number.name for number in signal.Signals}  # not all have one
                return f"the process died of signal {names.get(-status, -status)}"
            if alone:
                processes, tasks, memory = _usage(pid, own, folders)
                if processes > PROCESSES:
                    return f"it started more than {PROCESSES} processes"
                if tasks > TASKS:
                    return f"it started more than {TASKS} threads"
                if memory > MEMORY:
                    return f"it used more than {MEMORY // GIB} GiB of memory"
    finally:
        os.close(ended)


def _kill_all(alone):
    """Kill and reap every process that the submission left behind."""
    deadline = time.monotonic() + KILL_SECONDS
    while time.monotonic() < deadline:
        if alone:  # process 1 of its own process space
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        else:
            task = Path(f"/proc/self/task/{os.getpid()}/children")
            for pid in task.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(REAP_SECONDS)
    raise RuntimeError("a process could not be killed")


def _empty(folder):
    """Delete what is in a folder, however deep it lies, whatever its names and permissions.

    Each folder below is moved up and emptied there, so that no path grows and nothing recurses.
    """
    top = os.fsencode(folder)
    with contextlib.suppress(PermissionError):  # where it belongs to root, no submission can
        os.chmod(top, 0o1777)
    gone = os.path.join(top, secrets.token_hex(8).encode())  # a name that nothing there has
    found = [top]
    moved = 0
    for parent in found:
        with os.scandir(parent) as entries:
            for entry in list(entries):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    continue
                os.chmod(entry.path, 0o700)
                if not moved:
                    os.mkdir(gone)
                found.append(os.path.join(gone, b"%d" % moved))
                os.rename(entry.path, found[-1])
                moved += 1
        if parent != top:
            os.rmdir(parent)
    if moved:
        os.rmdir(gone)


def _clean(alone, folders):
    _kill_all(alone)
    for folder in folders:
        _empty(folder)
    for kind in ("shm", "msg", "sem"):
        table = Path("/proc/sysvipc", kind)
        if alone and table.exists() and len(table.read_text().splitlines()) > 1:
            raise RuntimeError("System V objects were left behind")


def main(descriptor: int, scratch: list[str], modules: list[str]) -> None:
    """Serve until the grader hangs up.

    descriptor: of a Unix socket. scratch: folders to empty after each submission, its home first.
    modules: to import.
    """
    control = socket.socket(fileno=descriptor)
    with contextlib.suppress(OSError):  # if memory runs out, the kernel ends a submission first
        Path("/proc/self/oom_score_adj").write_text("1000")
    if os.getuid() == 0 and os.getpid() == 1:  # root outside: keep nothing of it
        os.setgroups([])
        os.setgid(NOBODY)
        with contextlib.suppress(OSError):  # its processes must not count as another sandbox's
            os.setuid(secrets.choice(USERS))
        if os.getuid() == 0:  # a container that knows fewer users
            os.setuid(NOBODY)
    alone = os.getpid() == 1
    if alone:  # the kernel keeps every signal without a handler from process 1; Python has this one
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    preload(modules)
    if alone:
        syscalls.refuse()
    _prctl(PR_SET_DUMPABLE, 0)  # no submission can read or trace this process, or a sibling
    _clean(alone, scratch)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
    try:
        _serve(control, alone, scratch)
    except (ConnectionError, RuntimeError):
        _kill_all(alone)  # the grader is gone


def _serve(control, alone, scratch):
    reply = {"ready": True}
    while True:
        control.send(json.dumps(reply).encode())
        descriptors = []
        while not descriptors:  # what was meant for a child that has ended meanwhile has none
            message, descriptors, _, _ = socket.recv_fds(control, 64, 1)
            if not message:
                return
        with socket.socket(fileno=descriptors[0]) as connection:
            if threads() != 1:
                reply = {"failed": f"the warm process has {threads()} threads, so it must not fork"}
                continue
            pid = os.fork()
            if pid == 0:
                control.close()
                _child(connection, scratch[0], alone)
        reason = _supervise(pid, control, alone, scratch)
        _kill_all(alone)
        control.send(json.dumps({"ended": reason}).encode())
        if not control.recv(64):  # the grader has seen that it ended
            return
        try:
            _clean(alone, scratch)
            reply = {"ready": True}
        except Exception as error:  # whatever it is, the grader throws this sandbox away
            reply = {"failed": f"{type(error).__name__}: {error}"[:TEXT_LIMIT]}


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2].split(os.pathsep), sys.argv[3:])
