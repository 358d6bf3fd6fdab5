"""Submissions that never end, or try not to be ended."""

from hostile.case import answer, answers, case

TIME = "did not finish within|took more than"

CASES = [
    case("loop-in-a-cell", "loops for ever in a cell", "while True: pass", says=TIME),
    answers("loop-in-a-function", "loops for ever when called", "while True: pass", says=TIME),
    answers(
        "loop-that-swallows-interrupts",
        "catches every exception, KeyboardInterrupt and SystemExit included",
        """
        while True:
            try:
                while True: pass
            except BaseException: pass
        """,
        says=TIME,
    ),
    answers("recursion", "calls itself for ever", f"return {'l2_gradient_step'}(w, grad, lr, lam)"),
    answers(
        "recursion-without-limit",
        "calls itself until the C stack overflows",
        "sys.setrecursionlimit(10**9)\nreturn eval('[' * 90) if lr < 0 else dig()",
        before="""
        class Deep:
            def __getattr__(self, name): return getattr(self, name + "x")
            def __repr__(self): return repr(self)
        def dig():
            return repr(Deep())
        """,
    ),
    answers("sleep", "sleeps for ever", "time.sleep(1e6)", says=TIME),
    answers("input", "waits for an answer at the keyboard", "return input('w? ')", says="EOFError"),
    answers(
        "array-protocol",
        "returns an object whose __array__ never ends",
        "return Slow()",
        before="""
        class Slow:
            def __array__(self, *a, **k):
                while True: pass
        """,
        says=TIME,
    ),
    answers(
        "length",
        "returns a list whose length and items never end",
        "return Slow([1, 2])",
        before="""
        class Slow(list):
            def __len__(self):
                while True: pass
            def __iter__(self):
                while True: yield 1
        """,
    ),
    answers(
        "generator",
        "returns a generator that never ends",
        "return endless()",
        before="""
        def endless():
            while True: yield 1.0
        """,
    ),
    answers(
        "repr",
        "raises an exception whose text never ends",
        "raise Slow()",
        before="""
        class Slow(Exception):
            def __str__(self):
                while True: pass
        """,
        says=TIME,
    ),
    case(
        "threads",
        "leaves threads spinning in the background",
        "for _ in range(3): threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()",
        last=(),  # they take the time of what comes after them
    ),
    answers(
        "deadlock",
        "waits for a lock that it holds itself",
        "lock = threading.Lock(); lock.acquire(); lock.acquire()",
        says=TIME,
    ),
    answers(
        "drip",
        "writes one byte of an answer to the socket, now and then",
        """
        connection = wire()
        for byte in frame({"dict": {"value": 0.0}}) * 1000:
            connection.send(bytes([byte])); time.sleep(0.25)
        """,
        says=TIME,
    ),
    case(
        "signals",
        "ignores every signal, then loops",
        """
        for number in range(1, 65):
            tried(signal.signal, number, signal.SIG_IGN)
        libc.prctl(1, 0)
        while True: pass
        """,
        says=TIME,
    ),
    case(
        "several-cells",
        "has several cells that hang, each in its own way",
        "while True: pass",
        "time.sleep(1e6)",
        "threading.Event().wait()",
        says=TIME,
    ),
    answers(
        "regular-expression",
        "matches a catastrophic regular expression",
        "import re\nreturn re.match('(a+)+$', 'a' * 60 + 'b')",
        says=TIME,
    ),
    case(
        "at-exit",
        "hangs when objects are deleted and when Python ends",
        """
        import atexit
        class Slow:
            def __del__(self):
                while True: pass
        keep = Slow()
        def hang(*a):
            while True: pass
        atexit.register(hang)
        sys.excepthook = threading.excepthook = sys.unraisablehook = hang
        """,
    ),
    case("print-flood", "prints for ever", "while True: print('x' * 100_000)", says=TIME),
    case("stopped", "stops itself with SIGSTOP", "os.kill(os.getpid(), signal.SIGSTOP)", says=TIME),
    case(
        "callable",
        "defines an answer that hangs when it is looked at",
        """
        class Meta(type):
            def __getattribute__(self, name):
                while True: pass
        class l2_gradient_step(metaclass=Meta): pass
        """,
    ),
    case(
        "signature",
        "defines an answer whose signature never ends",
        answer("return w")
        + """
class Slow:
    @property
    def __signature__(self):
        while True: pass
    def __call__(self, *a): return 0
l2_gradient_step = Slow()
""",
        says=TIME,
    ),
    case("huge-power", "computes an integer that never ends, in C", "10**10**10", says=TIME),
]
