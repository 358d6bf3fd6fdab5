"""Submissions that end their process, or leave something running in its place."""

from hostile.case import DAEMON, answers, case

GONE = "ended itself|died of signal|stopped answering"

CASES = [
    case("exit", "calls exit() in a cell", "exit()"),
    case("quit", "calls quit() in a cell", "quit()"),
    answers("sys-exit", "calls sys.exit when called", "sys.exit(0)", says="SystemExit"),
    case("os-exit", "ends the process in a cell", "os._exit(0)", says="ended itself"),
    answers("os-exit-when-called", "ends the process when called", "os._exit(0)", says=GONE),
    case("kill", "kills itself", "os.kill(os.getpid(), signal.SIGKILL)", says="SIGKILL"),
    case(
        "real-time-signal",
        "dies of a signal without a name",
        "os.kill(os.getpid(), 40)",
        says="signal 40",
    ),
    answers("segfault", "reads address 0", "ctypes.string_at(0)", says="SIGSEGV"),
    answers("abort", "aborts", "os.abort()", says="SIGABRT"),
    case(
        "kill-the-warm-process",
        "sends every signal to its parent and to process 1",
        """
        for number in range(1, 65):
            for pid in (1, os.getppid()): tried(os.kill, pid, number)
        time.sleep(0.2)
        """,
    ),
    case("kill-all", "kills every process that it can", "os.kill(-1, signal.SIGKILL)"),
    case("kill-group", "kills its group", "os.killpg(0, signal.SIGKILL)", says=GONE),
    case(
        "exec",
        "becomes another program",
        f"os.execv('/usr/bin/sleep', ['sleep', '{DAEMON}'])",
        says="^",
    ),
    case(
        "daemon",
        "leaves a daemon behind",
        f"""
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
                os.execv('/usr/bin/sleep', ['sleep', '{DAEMON}'])
            os._exit(0)
        """,
    ),
    case(
        "other-self",
        "goes on in a daemon after the process has ended",
        """
        if os.fork(): os._exit(0)
        os.setsid()
        while True: pass
        """,
        says=GONE,
    ),
    case(
        "orphan",
        "starts a process that goes on writing to its home",
        """
        if os.fork() == 0:
            if os.fork(): os._exit(0)
            while True: open(f"{time.time()}", "w").close()
        """,
    ),
    case("close-all", "closes every file descriptor", "os.closerange(0, 1000)", says=GONE),
    case("shut-down", "shuts the socket down", "wire().shutdown(socket.SHUT_RDWR)", says=GONE),
    answers("half-shut-down", "stops sending", "wire().shutdown(socket.SHUT_WR)", says=GONE),
    case(
        "thread-exit",
        "ends the process from a thread in the background",
        "threading.Timer(0.1, os._exit, (0,)).start(); time.sleep(9)",
        says=GONE,
    ),
    *(
        answers(f"raise-{name.lower()}", f"raises {name}", f"raise {name}('x')")
        for name in ("KeyboardInterrupt", "SystemExit", "GeneratorExit", "MemoryError")
    ),
    answers(
        "own-exception",
        "raises a BaseException whose text raises another",
        "raise Odd()",
        before="""
        class Odd(BaseException):
            def __str__(self): raise Odd()
            __repr__ = __str__
        """,
    ),
    answers(
        "raising-repr",
        "returns an object whose every method raises SystemExit",
        "return Odd()",
        before="""
        def leave(*a, **k): raise SystemExit(0)
        names = ("__repr__", "__array__", "__len__", "__iter__", "__getattr__", "__float__")
        Odd = type("Odd", (), dict.fromkeys(names, leave))
        """,
    ),
    case(
        "raising-cell",
        "raises an exception that cannot be shown",
        "class Odd(BaseException):\n    def __str__(self): raise SystemExit\nraise Odd",
    ),
    answers(
        "stub-with-a-message",
        "raises NotImplementedError like the stub",
        "raise NotImplementedError",
    ),
    *(
        case(
            f"tree-of-{depth}",
            f"leaves {depth} nested folders with long names",
            f"""
            os.chdir({folder})
            for _ in range({depth}):
                os.mkdir("d" * 100)
                os.chdir("d" * 100)
            """,
        )
        for depth, folder in ((45, "os.environ['HOME']"), (1500, "'/dev/shm'"))
    ),
    case(
        "closed-folders",
        "leaves folders that nobody may enter, with files and pipes in them",
        """
        os.makedirs("a/b/c")
        os.mkfifo("a/b/pipe")
        os.symlink("..", "a/b/c/link")
        open(b"a/b/\\xff\\x1b[2J", "w").close()
        for name in ("a/b/c", "a/b", "a", os.environ["HOME"]): tried(os.chmod, name, 0)
        """,
    ),
    case("many-files", "leaves 20,000 files", "for i in range(20_000): open(f'{i}', 'w').close()"),
    case(
        "name-that-is-no-text",
        "calls its process and its threads by bytes that are not UTF-8",
        """
        def stay():
            libc.prctl(15, b"\\xff) R \\x80", 0, 0, 0)
            time.sleep(0.3)
        libc.prctl(15, b"\\xff\\n\\xfe", 0, 0, 0)
        threading.Thread(target=stay).start()
        if os.fork() == 0: stay(); os._exit(0)
        time.sleep(0.2)
        """,
    ),
]
