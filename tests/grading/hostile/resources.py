"""Submissions that take more memory, processes, files or text than there is."""

from hostile.case import DAEMON, answers, case

MEMORY = "MemoryError|GiB of memory|SIGKILL|cannot allocate|Unable to allocate"
LARGE = "larger than 16 MiB"

CASES = [
    case("bytes", "fills the memory with a bytearray", "x = bytearray(64 << 30)", says=MEMORY),
    case(
        "list",
        "fills the memory little by little",
        "x = []\nwhile True: x.append(b'x' * (64 << 20))",
        says=MEMORY,
        seconds=30,
    ),
    answers("numpy", "asks NumPy for a terabyte", "return np.ones(1 << 37)", says=MEMORY),
    case(
        "shared-memory",
        "fills /dev/shm",
        """
        for i in range(64):
            with open(f"/dev/shm/{i}", "wb") as f: f.write(bytes(32 << 20))
        """,
        says="No space left",
    ),
    case(
        "maps",
        "fills anonymous maps in several processes",
        """
        import mmap
        for _ in range(16):
            if os.fork() == 0:
                m = mmap.mmap(-1, 500 << 20)
                for i in range(0, len(m), 4096): m[i] = 1
                time.sleep(1e6)
        time.sleep(1e6)
        """,
        says="GiB of memory",
        seconds=30,
    ),
    case(
        "programs",
        "starts programs that each take a part of the memory",
        """
        eat = "import time; b = b'x' * (400 << 20); time.sleep(1e6)"
        for _ in range(24): subprocess.Popen([sys.executable, "-S", "-c", eat])
        time.sleep(1e6)
        """,
        says="GiB of memory",
        seconds=30,
    ),
    case(
        "written-over",
        "writes over memory that its processes share with the warm process",
        """
        x = bytearray(b"x" * (100 << 20))
        for _ in range(40):
            if os.fork() == 0:
                for i in range(0, len(x), 4096): x[i] = 1
                time.sleep(1e6)
        time.sleep(1e6)
        """,
        says="GiB of memory",
        seconds=30,
    ),
    case(
        "nameless-files",
        "hides memory in files without a name",
        """
        for _ in range(200):
            handle = os.memfd_create("x")
            os.write(handle, bytes(32 << 20))
        won()
        """,
    ),
    case(
        "own-file-system",
        "mounts a memory file system of its own",
        """
        if libc.unshare(0x10020000) == 0 and libc.mount(b"x", b"/tmp", b"tmpfs", 0, None) == 0:
            won()
        """,
    ),
    case(
        "temporary-files",
        "fills its home",
        """
        for i in range(64):
            with open(f"file{i}", "wb") as f: f.write(bytes(32 << 20))
        """,
        says="No space left",
    ),
    case(
        "huge-file",
        "writes one huge file",
        "with open('x', 'wb') as f:\n    while True: f.write(bytes(8 << 20))",
        says="File too large",
    ),
    case(
        "sparse-file",
        "makes a file of a terabyte without content",
        "os.truncate(os.open('x', os.O_CREAT | os.O_RDWR), 1 << 40)",
        says="File too large",
    ),
    case(
        "many-files",
        "makes many empty files",
        "for i in range(100_000): os.close(os.open(f'file{i}', os.O_CREAT))",
    ),
    case("fork-bomb", "forks for ever", "while True: os.fork()", says="processes|GiB of memory"),
    case(
        "shell-bomb",
        "starts a fork bomb in the shell",
        "subprocess.Popen(['sh', '-c', 'f() { f | f & }; f'])\ntime.sleep(1e6)",
        says="processes",
    ),
    case(
        "processes",
        "starts more processes than it may",
        f"for _ in range(200): subprocess.Popen(['sleep', '{DAEMON}'])\ntime.sleep(1e6)",
        says="processes",
    ),
    case(
        "many-threads",
        "starts more threads than a computer can hold",
        """
        threading.stack_size(32 << 10)
        for _ in range(5000):
            threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
        won()
        """,
        says="thread",
    ),
    case(
        "open-files",
        "opens more files than it may",
        "x = [open('/dev/null') for _ in range(5000)]",
        says="Too many open files",
    ),
    answers("giant-array", "returns 100 MiB", "return np.zeros(100 << 20, 'uint8')", says=LARGE),
    answers(
        "many-numbers",
        "returns the largest array that may be sent",
        "return np.zeros((16 << 20) - 64, 'uint8')",
    ),
    case(
        "many-values",
        "returns the largest array where three values are expected",
        "def adamw_step(*a): return np.zeros((16 << 20) - 64, 'uint8')",
    ),
    answers("giant-string", "returns 20 million characters", "return 'x' * 20_000_000"),
    answers("giant-integer", "returns an integer of 100001 digits", "return 10**100_000"),
    answers("giant-list", "returns a list of a million numbers", "return [0.5] * 1_000_000"),
    answers(
        "deep-list",
        "returns a list of 100000 levels",
        "x = []\nfor _ in range(100_000): x = [x]\nreturn x",
    ),
    answers("cycle", "returns a list that contains itself", "x = []\nx.append(x)\nreturn x"),
    answers("cyclic-dict", "returns a dict that contains itself", "x = {}\nx['x'] = x\nreturn x"),
    answers(
        "ragged-list",
        "returns a nested list that fits no array",
        "x = [[1.0] * 50_000, [1.0]]\nfor _ in range(15): x = [x, 1.0]\nreturn x",
    ),
    answers(
        "long-key",
        "returns a dict with a key of 100000 strange characters",
        r"return {'\ud800\x1b\0' * 30_000: 1.0}",
    ),
    answers(
        "long-message",
        "raises a message of 20 million characters",
        "raise ValueError('x' * 20_000_000)",
        says="^",
    ),
    case(
        "long-cell-message",
        "raises a message of 20 million characters in a cell",
        "raise ValueError('\\ud800\\x1b' * 10_000_000)",
    ),
    answers("nan", "returns NaN", "return w * np.nan", says="NaN"),
    answers("infinity", "returns infinity", "return w + np.inf", says="NaN or infinity"),
    answers("overflow", "returns the largest numbers", "return w * 0 + np.finfo(float).max"),
    answers("objects", "returns an array of objects", "return np.array([object()] * 4)"),
    answers("structured", "returns a structured array", "return np.zeros(3, 'f8,i4')"),
    case(
        "system-v-memory",
        "leaves System V shared memory behind",
        """
        handle = libc.shmget(0x4711, 8 << 20, 0o1666)
        if handle >= 0: libc.memset(libc.shmat(handle, None, 0) or None, 1, 0)
        """,
    ),
    case(
        "system-v-queue",
        "leaves a System V message queue and semaphores behind",
        "libc.msgget(0x4711, 0o1666); libc.semget(0x4711, 1, 0o1666)",
    ),
    case(
        "posix-queue",
        "leaves a POSIX message queue behind",
        "if libc.mq_open(b'/left', 0o102, 0o666, None) >= 0: won()",
    ),
    case(
        "deep-folders",
        "leaves 3000 folders inside each other",
        "for _ in range(3000):\n    os.mkdir('d'); os.chdir('d')",
    ),
    case(
        "closed-folders",
        "leaves folders that nobody may open",
        """
        for parent in (".", "/dev/shm"):
            os.makedirs(f"{parent}/a/b/c"); open(f"{parent}/a/b/c/x", "w").close()
            os.symlink("/", f"{parent}/a/root"); os.symlink("/usr", f"{parent}/usr")
            os.mkfifo(f"{parent}/pipe")
            for folder in ("a/b/c", "a/b", "a"): os.chmod(f"{parent}/{folder}", 0)
        """,
    ),
    case(
        "strange-names",
        "leaves files whose names are no text",
        "for n in (b'\\xff', b'\\n', b'-rf', b'a' * 255): open(b'./' + n, 'wb').close()",
    ),
    case(
        "hidden-bound",
        "changes its own limits",
        """
        import resource
        for name in ("AS", "NPROC", "FSIZE", "NOFILE", "CPU"):
            number = getattr(resource, f"RLIMIT_{name}")
            hard = resource.getrlimit(number)[1]
            if hard != -1 and tried(resource.setrlimit, number, (hard, -1)) is not None: won(name)
            tried(resource.setrlimit, number, (-1, -1))
            if hard != -1 and resource.getrlimit(number)[1] == -1: won(name)
        """,
    ),
]
