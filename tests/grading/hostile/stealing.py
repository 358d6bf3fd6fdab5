"""Submissions that look for the solutions, the seed, other submissions or the host's secrets.

Each raises what it finds, so that the test can read it, and would earn points with it.
`@NAME@` stands for something on the host that the test has put there.
"""

from hostile.case import ROOT, SLUG, case

# Executes the first solution found in what was read: that would be worth all points.
USE = """
def use(text):
    if "def l2_gradient_step" in text or "def adamw_step" in text:
        try:
            cells = ["".join(c["source"]) for c in json.loads(text)["cells"]]
        except ValueError:
            cells = [text]
        for cell in cells:
            try: exec(cell, globals())
            except Exception: pass
        won("the solutions")
def read(path):
    try:
        with open(path, "rb") as f: return f.read(1 << 22).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
def found(what):
    for secret in ("@SECRET@", "root:x:0", "root:*:", "PRIVATE KEY"):
        if secret in what: won(secret)
    use(what)
"""

PATHS = {
    "solution": [f"{ROOT}/solutions/{SLUG}.ipynb"],
    "answers": [f"{ROOT}/tests/autograder/l2_weight_decay_answers.py"],
    "checks": [f"{ROOT}/regbook/checks/l2_weight_decay.py",
               f"{ROOT}/regbook/checks/__pycache__/l2_weight_decay.cpython-311.pyc"],
    "decoys": ["@DECOY@/solution.ipynb", "@DECOY@/report/results.json", "@DECOY@/other.ipynb"],
    "accounts": ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/hosts", "/etc/hostname"],
    "processes": [f"/proc/{pid}/{name}" for pid in ("1", "self", "thread-self")
                  for name in ("environ", "cmdline", "maps")],
    "kernel": ["/proc/kcore", "/proc/kallsyms", "/dev/mem", "/dev/kmsg", "/proc/keys",
               "/proc/1/mem"],
    "roots": ["/proc/1/root@DECOY@/other.ipynb", "/proc/self/root@DECOY@/other.ipynb",
              "/proc/1/cwd/x", "/proc/1/root/etc/shadow"],
}  # fmt: skip


def steals(name, attack, body, **options):
    return case(name, attack, USE + body, **options)


CASES = [
    *(
        steals(f"file-{name}", f"reads files: {name}",
               f"for path in {paths!r}: found(read(path))")
        for name, paths in PATHS.items()
    ),
    steals(
        "search", "searches the folders around the course for its solutions",
        f"""
for top in ({str(ROOT)!r}, os.path.dirname("@DECOY@"), "/root", "/home", "/work", "/srv", "/mnt"):
    for folder, inside, files in os.walk(top):
        inside[:] = [n for n in inside if n not in (".venv", "site-packages", "lib")]
        for name in files:
            if name.endswith((".ipynb", ".json", "answers.py")) or "@SECRET@" in name:
                found(read(os.path.join(folder, name)))
""",
    ),
    steals(
        "git", "looks for the history of the course",
        f"if os.path.exists('{ROOT}/.git') or os.path.exists('{ROOT}/solutions'): won('git')",
    ),
    steals(
        "import-checks", "imports the checks",
        """
import importlib, pkgutil
import regbook
for name in ("regbook.checks.l2_weight_decay", "regbook.checks", "checks.l2_weight_decay"):
    try: module = importlib.import_module(name)
    except ImportError: continue
    if hasattr(module, "chapter") or list(pkgutil.iter_modules(getattr(module, "__path__", []))):
        won(name)
""",
    ),
    steals(
        "import-solutions", "imports the answers of the course's tests",
        f"""
sys.path[:0] = ["{ROOT}", "{ROOT}/tests/autograder", "{ROOT}/tests/grading"]
for name in ("l2_weight_decay_answers", "hostile.case", "solutions"):
    try: __import__(name)
    except Exception: continue
    won(name)
""",
    ),
    steals("environment", "reads the environment", "found(repr(dict(os.environ)))"),
    steals(
        "libc-environment", "reads the environment that C started with",
        """
text = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, "environ")
i = 0
while text[i]: found(text[i].decode()); i += 1
""",
    ),
    steals(
        "seed", "reads the seed from the command lines of all processes",
        """
for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
    text = read(path)
    found(text)
    if "pytest" in text or "@SEED@" in text: won(text)
""",
    ),
    steals(
        "own-memory", "searches its own memory, a copy of the warm process's, for the checks",
        """
import gc
for thing in gc.get_objects():
    name = getattr(thing, "__module__", "")
    if isinstance(name, str) and name.startswith("regbook.checks"): won(name)
for name in sys.modules:
    if name.startswith("regbook.checks."): won(name)
""",
    ),
    steals(
        "descriptors", "reads from every open file descriptor, its own and those of process 1",
        """
for pid in ("self", "1"):
    for path in glob.glob(f"/proc/{pid}/fd/*"):
        target = tried(os.readlink, path) or ""
        if target.startswith("/") and target != "/dev/null" and "/proc" not in target:
            won(target)
""",
    ),
    steals(
        "ptrace", "traces process 1 and reads its memory",
        """
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
if libc.ptrace(16, 1, None, None) == 0 or libc.ptrace(0x4206, 1, None, None) == 0: won("ptrace")
here = (ctypes.c_size_t * 2)(id(won), 8)
there = (ctypes.c_size_t * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
if libc.process_vm_readv(1, there, 1, here, 1, 0) > 0: won("process_vm_readv")
if hasattr(os, "pidfd_open"):
    handle = tried(os.pidfd_open, 1)
    if handle is not None and libc.syscall(438, handle, 3, 0) >= 0: won("pidfd_getfd")
""",
    ),
    steals(
        "other-submissions", "looks for what an earlier submission left",
        """
for folder in ("/dev/shm", "/var/tmp", "/run", "/dev/mqueue", os.path.expanduser("~")):
    if os.path.isdir(folder) and os.listdir(folder): won(folder, os.listdir(folder))
""",
    ),
    steals(
        "network", "connects to the servers of this computer",
        """
for family, address in ((socket.AF_INET, ("127.0.0.1", @PORT@)), (socket.AF_INET6, ("::1", @PORT@)),
                        (socket.AF_UNIX, "\\0@SECRET@"), (socket.AF_UNIX, "@DECOY@/socket")):
    try: s = socket.socket(family); s.settimeout(1); s.connect(address)
    except OSError: continue
    s.sendall(b"here"); won(address)
names = [name for _, name in socket.if_nameindex()]
if set(names) - {"lo"}: won(names)
""",
    ),
    steals(
        "keys", "reads the keys of the kernel's key rings, and leaves one for the next",
        """
buffer = ctypes.create_string_buffer(200)
for ring in (-1, -2, -3, -4, -5):
    key = libc.syscall(250, 10, ring, b"user", b"regbook-owned", 0)
    if key > 0: won("a key of an earlier submission")
    if libc.syscall(250, 11, ring, buffer, 200) > 0: won("the keys of", ring)
    libc.syscall(248, b"user", b"regbook-owned", b"left", 4, ring)
""",
    ),
    steals(
        "identity", "is somebody with rights",
        """
status = dict(line.split(":\\t", 1) for line in read("/proc/self/status").splitlines())
for key in ("CapEff", "CapPrm", "CapAmb"):
    if int(status[key], 16): won(key, status[key])
if os.getuid() == 0 or os.geteuid() == 0 or os.getgroups() not in ([], [os.getgid()]): won("root")
if status["NoNewPrivs"].strip() != "1": won("new privileges")
for program in ("su", "sudo", "mount", "passwd", "newgrp"):
    path = shutil.which(program)
    if path and subprocess.run([path, "-c", "id -u"], capture_output=True, timeout=2,
                               stdin=subprocess.DEVNULL).stdout.strip() == b"0": won(program)
""",
    ),
    steals(
        "time-travel", "counts on the warm process to keep what a submission leaves in memory",
        """
import regbook
if hasattr(np, "left_by_another"): won("memory")
np.left_by_another = sys.left_by_another = regbook.left_by_another = "here"
""",
    ),
    steals(
        "time-travel-again", "is the next submission, and looks for it",
        """
import regbook
if any(hasattr(m, "left_by_another") for m in (np, sys, regbook)): won("memory")
""",
    ),
    steals(
        "rights", "gives itself all rights in a user namespace",
        """
if libc.unshare(0x10000000) == 0: won("unshare")
pid = libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)
if pid == 0: os._exit(0)
if pid > 0: won("clone")
""",
    ),
]  # fmt: skip
