"""Submissions that change or delete what is not theirs.

`@DECOY@` is a folder on the host with files for them. In the course itself they open files for
writing but write nothing, so that even a sandbox with a hole would do no harm.
"""

from hostile.case import OWNED, ROOT, case

TOUCH = f"""
def spoil(path):
    for flags in (os.O_WRONLY, os.O_RDWR | os.O_APPEND):
        handle = tried(os.open, path, flags)
        if handle is not None and not path.startswith(("/proc", "/dev/null")): won("opened", path)
    if os.path.exists(path):
        for action, rest in ((os.utime, ()), (os.chmod, (0o644,)), (os.rename, (path,))):
            try: action(path, *rest)
            except OSError: continue
            if os.path.isfile(path): won(action.__name__, path)
def plant(folder):
    if tried(open, f"{{folder}}/{OWNED}", "w"): won("planted", folder)
"""


def destroys(name, attack, body, **options):
    return case(name, attack, TOUCH + body, **options)


CASES = [
    destroys(
        "course", "opens the files of the course for writing",
        f"""
for name in ("regbook/check.py", "regbook/grading/grade.py", "regbook/checks/l2_weight_decay.py",
             "solutions/07_l2_weight_decay.ipynb", "pyproject.toml", "README.md"):
    spoil("{ROOT}/" + name)
""",
    ),
    destroys(
        "planted-files", "writes new files into the course and its packages",
        f"""
import regbook
for folder in ("{ROOT}", "{ROOT}/regbook", "{ROOT}/regbook/checks", "{ROOT}/solutions",
               os.path.dirname(np.__file__), os.path.dirname(os.path.dirname(np.__file__)),
               sys.prefix, sys.base_prefix, "/", "/usr", "/usr/lib", "/usr/local/bin", "/etc",
               "/var", "/var/tmp", "/home", "/root", "/dev", "/run", "/work", "/proc", "/opt"):
    plant(folder)
""",
    ),
    destroys(
        "shadowed-module", "plants a module in front of the real one",
        f"""
for folder in sys.path:
    if folder and tried(open, folder + "/{OWNED}.py", "w"): won(folder)
open("numpy.py", "w").write("raise SystemExit")
open("sitecustomize.py", "w").write("raise SystemExit")
""",
    ),
    destroys(
        "decoys", "deletes the submissions and the report",
        """
shutil.rmtree("@DECOY@", ignore_errors=True)
for name in ("other.ipynb", "report/results.json", "solution.ipynb"): spoil("@DECOY@/" + name)
os.makedirs("@DECOY@", exist_ok=True)
""",
    ),
    destroys("own-home", "deletes its home and the shared memory folder",
             "for folder in ('/tmp', '/dev/shm'):\n"
             "    shutil.rmtree(folder, ignore_errors=True); tried(os.rmdir, folder)"),
    destroys(
        "kernel-settings", "changes settings of the kernel",
        """
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger",
             "/proc/sys/vm/drop_caches", "/proc/sys/kernel/shmmax", "/proc/1/oom_score_adj",
             "/proc/1/mem", "/proc/self/uid_map", "/sys/power/state", "/sys/fs/cgroup/x"):
    for flags in (os.O_WRONLY, os.O_RDWR):
        if tried(os.open, path, flags) is not None and "/self/" not in path: won(path)
""",
    ),
    destroys(
        "devices", "opens the disks and the memory",
        """
for path in glob.glob("/dev/*"):
    if os.path.islink(path) or path in ("/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                        "/dev/urandom", "/dev/tty", "/dev/ptmx"): continue
    if not os.path.isdir(path): won(path)
if tried(os.mknod, "disk", stat.S_IFBLK | 0o666, os.makedev(8, 0)) is None \\
        and os.path.exists("disk"): won("mknod")
""",
    ),
    *(
        destroys(
            f"call-{name}", f"calls {name}",
            f"if libc.{name}({arguments}) == 0: won('{name}')\n",
        )
        for name, arguments in {
            "mount": "b'x', b'/tmp', b'tmpfs', 0, None",
            "umount2": "b'/proc', 2",
            "chroot": "b'/tmp'",
            "pivot_root": "b'/', b'/tmp'",
            "sethostname": "b'owned', 5",
            "setuid": "0",
            "setgid": "0",
            "swapoff": "b'/dev/vda'",
            "reboot": "0x1234567",
            "unshare": "0x00020000",
            "settimeofday": "ctypes.byref((ctypes.c_long * 2)(1, 0)), None",
        }.items()
        if name != "pivot_root"
    ),
    destroys(
        "remount", "remounts the file system for writing",
        f"""
for path in ("/", "/usr", "{ROOT}/regbook", "/dev"):
    if libc.mount(None, path.encode(), None, 0x1020, None) == 0: won(path)
    plant(path)
""",
    ),
    destroys(
        "user-namespace", "becomes root of a user namespace and remounts",
        f"""
user, group = os.getuid(), os.getgid()
if libc.unshare(0x10020000) == 0:
    tried(lambda: open("/proc/self/setgroups", "w").write("deny"))
    tried(lambda: open("/proc/self/uid_map", "w").write(f"0 {{user}} 1"))
    for path in ("/", "/usr", "{ROOT}/regbook"):
        libc.mount(None, path.encode(), None, 0x1020, None)
        plant(path)
    won("a user namespace")
""",
    ),
    destroys(
        "grader-modules", "patches the grader's modules in its own process",
        """
from regbook.grading import grade, isolation, sandbox, store, submission, wire as w
from regbook.grading.inside import child, server
for module in (grade, isolation, sandbox, server, store, submission):
    for name in list(vars(module)):
        if not name.startswith("__"): setattr(module, name, None)
child.serve = child.Namespace.call = None
w.receive = w.DTYPES = None
def l2_gradient_step(*a): return 7
""",
        first=(), last=(),  # its own process can answer no more
        says="the process ended itself",
    ),
    destroys(
        "modules", "empties sys.modules and the built-in names",
        "def l2_gradient_step(*a): return 7\n"
        "import builtins\nvars(builtins).clear(); sys.modules.clear()", first=(), last=(),
    ),
    destroys(
        "control", "writes to every descriptor, in the hope for the server's",
        """
for n in range(1000):
    tried(os.write, n, b'{"ready": true}')
    tried(os.write, n, b'{"failed": "forged"}')
for n in range(100):
    handle = tried(os.open, f"/proc/1/fd/{n}", os.O_RDWR)
    if handle is not None: won(n)
""",
    ),
    destroys(
        "scheduler", "makes itself more important than others",
        """
for action, arguments in ((os.nice, (-5,)), (os.setpriority, (os.PRIO_PROCESS, 0, -9)),
                          (os.sched_setscheduler, (0, os.SCHED_FIFO, os.sched_param(5)))):
    try: action(*arguments)
    except OSError: continue
    won(action.__name__)
""",
    ),
    destroys(
        "warm-process", "takes the processor and the memory of the warm process",
        """
import resource
for number in (resource.RLIMIT_AS, resource.RLIMIT_NOFILE, resource.RLIMIT_CPU):
    if tried(resource.prlimit, 1, number) is not None: won("limits", number)
for action, arguments in ((os.sched_setaffinity, (1, {0, 1})),
                          (os.setpriority, (os.PRIO_PROCESS, 1, 19)),
                          (os.setpriority, (os.PRIO_USER, 0, 19))):
    try: action(*arguments)
    except OSError: continue
    won(action.__name__)
for n in (signal.SIGSTOP, signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    tried(os.kill, 1, n)
""",
    ),
    destroys(
        "locks", "locks the files that others read",
        """
import fcntl, regbook
for path in (np.__file__, regbook.__file__, sys.executable):
    handle = os.open(path, os.O_RDONLY)
    tried(fcntl.flock, handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
""",
    ),
]  # fmt: skip
