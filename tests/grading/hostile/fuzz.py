"""Hostile submissions without end: names, trees, messages and deaths that a generator draws.

What a submission chooses (names of processes, threads, files, cells and functions; texts of every
kind; the way it dies) must reach no decoder that can raise, and cost no other submission a point.
"""

import random
from collections.abc import Iterator

from hostile.case import Case, answer, case

# Pieces of names and texts that are awkward somewhere: in UTF-8, on a terminal, in HTML, in CSV.
PIECES = [
    b"a", b"d" * 100, b" ", b"\n", b"\r\n", b"\t", b"\\", b"'", b'"', b"`", b"$(id)", b";",
    b"-rf", b"..",
    b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80" * 5, b"\x01", b"\x07", b"\x7f",
    b"\x1b[2J", b"\x1b]0;x\x07", b"%s%n", b"{0}", b"=1+1", b"@x", b"<script>", b"&amp;", b"]]>",
    "\u202eedoc".encode(), "\u2066x".encode(), "\ufeff".encode(), "\u2028".encode(), "é".encode(),
    "e\u0301".encode(), "\U0001f468\u200d\U0001f469".encode(), "\U0010ffff".encode(),
    "漢字".encode(),
    b"NaN", b"1e999", b"null", b"9" * 5000, b")", b") R 1 1", b"RssAnon: x", b"id",
]  # fmt: skip


def _name(rng, limit=255):
    """Return the bytes of a file's or a process's name."""
    pieces = b"".join(rng.choice(PIECES) for _ in range(rng.randint(1, 4)))
    name = pieces.replace(b"/", b"")[:limit]
    return name if name not in (b"", b".", b"..") else b"x"


def _text(rng):
    """Return a text, which may hold surrogates."""
    pieces = b"".join(rng.choice(PIECES) for _ in range(rng.randint(1, 6)))
    return pieces.decode("utf-8", rng.choice(["surrogateescape", "replace", "backslashreplace"]))


# --- what a cell does ----------------------------------------------------------------------------


def _process_name(rng):
    where = rng.choice([
        "it(0)", "threading.Thread(target=it, args=(STAYS,), daemon=True).start()",
        "os.fork() or (it(STAYS), os._exit(0))",
    ])  # fmt: skip
    return f"""
    def it(seconds):
        libc.prctl(15, {_name(rng, 15)!r}, 0, 0, 0)
        time.sleep(seconds)
    {where.replace("STAYS", rng.choice(["0", "0.3", "9"]))}
    time.sleep(0.15)
    """


def _tree(rng):
    folder = rng.choice(["os.environ['HOME']", "'/dev/shm'"])
    return f"""
    os.chdir({folder})
    made = []
    for level in range({rng.choice([1, 3, 45, 300, 1500])}):
        name = {_name(rng)!r}
        if tried(os.mkdir, name) is None and not os.path.isdir(name): break
        if level % 7 == {rng.randint(0, 9)}: tried(os.mkfifo, b"pipe")
        if level % 5 == {rng.randint(0, 9)}: tried(os.symlink, b"..", b"link")
        if level % 3 == {rng.randint(0, 9)}: tried(os.mkdir, b"beside")
        made.append(os.open(".", os.O_RDONLY)) if len(made) < 20 else None
        if tried(os.chdir, name) is None and {rng.random() < 0.5}: open(b"file", "w").close()
    for folder in made: tried(os.fchmod, folder, {rng.choice([0, 0o500, 0o300, 0o777])})
    """


def _files(rng):
    folder = rng.choice(["os.environ['HOME']", "'/dev/shm'"])
    names = [_name(rng) for _ in range(5)]
    return f"""
    for number in range({rng.choice([1, 100, 5000])}):
        for name in {names!r}:
            path = os.path.join(os.fsencode({folder}), name[:240] + b"%d" % number)
            made = tried(open, path, "wb")
            if made: made.close()
    """


def _raises(rng):
    name = _text(rng).replace("\0", "") or "E"
    base = rng.choice(["Exception", "BaseException", "SyntaxError"])
    return f"""
    raise type({name!r}, ({base},), {{}})({_text(rng)!r} * {rng.choice([1, 1, 1000])})
    """


def _no_python(rng):
    return _text(rng)


def _speaks(rng):
    return f"""
    import warnings
    warnings.warn({_text(rng)!r})
    for stream in (sys.stdout, sys.stderr):
        try: print({_text(rng)!r} * {rng.choice([1, 100_000])}, file=stream)
        except UnicodeError: pass
    os.write({rng.choice([1, 2])}, {_name(rng)!r})
    """


def _odd_function(rng):
    return f"""
    def named(*a): return {_text(rng)!r}
    named.__name__ = named.__qualname__ = {_text(rng)!r}
    named.__doc__ = {_text(rng)!r}
    globals()[{_text(rng)!r}] = named
    sys.argv = [{_text(rng)!r}]
    """


def _frames(rng):
    value = rng.choice([
        '{"id": 1, "error": ' + repr(_text(rng)) + "}", repr(_name(rng)), '"x"', "[]", "{}",
        '{"callback": 0, "arguments": []}', 'b"[" * 9999', 'b"9" * 9999', 'b"\\xff"',
    ])  # fmt: skip
    return f"""
    tried(lambda: wire().send(frame({value}, {_name(rng)!r})))
    """


def _dies(rng):
    number = rng.randint(1, 64)
    limit = rng.choice(["NOFILE", "FSIZE", "AS", "CPU"])
    return rng.choice([
        f"os._exit({rng.randint(0, 255)})",
        f"os.kill(os.getpid(), {number})",
        f"os.killpg(0, {number})",
        "os.abort()",
        "ctypes.string_at(0)",
        "os.closerange(0, 200)",
        f"sys.exit({_text(rng)!r})",
        f"os.execv('/bin/sleep', ['sleep', {_name(rng)!r}])",
        f"os.execv('/bin/sh', [{_name(rng)!r}, '-c', 'exit 3'])",
        "sys.setrecursionlimit(10**9)\ndef f(): return f()\nf()",
        f"import resource\nresource.setrlimit(resource.RLIMIT_{limit}, (3, 3))",
        "[threading.Thread(target=time.sleep, args=(9,)).start() for _ in range(50)]",
        "os.fork() or os._exit(time.sleep(9) or 3)",
        "me = os.getpid()\nfor _ in range(6): os.fork()\n"
        "if os.getpid() != me: os._exit(time.sleep(9) or 0)",
    ])  # fmt: skip


# --- what the function does ----------------------------------------------------------------------


def _returned(rng):
    text = repr(_text(rng))
    name = text.replace("\\x00", "")
    return "return " + rng.choice([
        text, f"{{{text}: 1.0}}", f"[{text}] * 9", f"({text}, {{{text}: {text}}})",
        f"np.array([{text}])", f"{{{text}: np.zeros(3)}}", "float('nan')", "10**5000",
        "np.zeros((0, 3))", "zip([1], [2])", "np.array([1j])", "np.array(['2020'], 'M8[Y]')",
        f"type({name} or 'T', (), {{'__repr__': lambda self: {text}}})()",
        "iter(int, 1)", "(w for _ in w)",
    ])  # fmt: skip


KINDS = [_process_name, _tree, _files, _raises, _no_python, _speaks, _odd_function, _frames, _dies]


def cases(seed: int, number: int) -> Iterator[Case]:
    """Yield cases: up to three cells that misbehave, and an answer that does, or raises."""
    for i in range(number):
        rng = random.Random(f"{seed} {i}")
        kinds = rng.choices(KINDS, k=rng.randint(1, 3))
        cells = [kind(rng) for kind in kinds]
        body = rng.choice([_returned, _raises, _dies])(rng)
        name = "-".join([f"{i:04}", *(kind.__name__.strip("_") for kind in kinds)])
        yield case(name, "drawn", *cells, answer(body))
