"""Files that are no notebooks, or unusual ones."""

import json

from hostile.case import FIRST, HONEST, LAST, SETUP, Case, code, full, notebook

STUB = "def l2_penalty(weights, lam):\n    raise NotImplementedError\n"
HONEST_CELLS = (SETUP, HONEST[FIRST], HONEST[LAST])
NORMAL = notebook(*HONEST_CELLS)
DESERVED = full(FIRST, LAST)
TEXT = NORMAL.decode()


def with_cells(*cells, **changed):
    """Return the bytes of an honest notebook with more cells after the honest ones."""
    return notebook(*HONEST_CELLS, *cells, **changed)


def changed(**parts):
    """Return the bytes of the honest notebook with other top-level parts."""
    return json.dumps({**json.loads(TEXT), **parts}).encode()


def version_3():
    cells = [{"cell_type": "code", "input": c, "outputs": [], "language": "python"}
             for c in HONEST_CELLS]  # fmt: skip
    return json.dumps({"nbformat": 3, "metadata": {}, "worksheets": [{"cells": cells}]}).encode()


def huge_outputs():
    cell = {**code("1"), "outputs": [{"output_type": "stream", "text": "x" * (8 << 20)}]}
    return with_cells(cell)


R = {"kernelspec": {"language": "R", "name": "ir"}, "language_info": {"name": "R"}}
UNREADABLE = {
    "empty": (b"", "an empty file"),
    "whitespace": (b" \n\t\r\n ", "an empty file"),
    "text": (b"Dear teacher, my dog ate it.", "no valid JSON"),
    "python-file": (SETUP.encode(), "no valid JSON"),
    "html": (b"<!DOCTYPE html><p>Sign in</p>", "no valid JSON"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not UTF-8"),
    "zip": (b"PK\x03\x04\x14\x00\xff", "a zip archive"),
    "latin-1": ('{"cells": ["é"]}'.encode("latin-1"), "not UTF-8"),
    "utf-16": (TEXT.encode("utf-16"), "not UTF-8"),
    "zeros": (bytes(10_000), "no valid JSON"),
    "list": (b"[1, 2]", "not a notebook: the file holds a list"),
    "number": (b"7", "not a notebook"),
    "string": (b'"x"', "not a notebook"),
    "null": (b"null", "not a notebook"),
    "nan": (b"NaN", "not a notebook"),
    "truncated": (NORMAL[: len(NORMAL) // 2], "no valid JSON"),
    "two-notebooks": (NORMAL + NORMAL, "no valid JSON"),
    "deep": (b"[" * 200_000 + b"]" * 200_000, "no valid JSON"),
    "deep-objects": (b'{"cells":' * 50_000 + b"1" + b"}" * 50_000, "no valid JSON"),
    "long-number": (b'{"cells": ' + b"9" * 100_000 + b"}", "no valid JSON"),
    "merge-conflict": (b"<<<<<<< HEAD\n" + NORMAL + b"\n=======\n", "no valid JSON"),
    "object": (b"{}", "without code cells"),
    "r": (notebook("x <- 1", metadata=R), "a notebook in R, not in Python"),
    "strange-language": (
        notebook("x", metadata={"kernelspec": {"language": "\ud800\x1b[31m" * 50}}),
        "not in Python",
    ),
    "no-code": (notebook({"cell_type": "markdown", "source": "x"}), "without code cells"),
    "no-cells": (notebook(), "without code cells"),
    "cells-number": (changed(cells=7), "without code cells"),
    "cells-object": (changed(cells={"a": 1}), "without code cells"),
    "cells-strings": (changed(cells=["a", None, 1]), "without code cells"),
    "other-functions": (notebook("def f(x):\n    return x"), "defines no function"),
    "only-comments": (notebook("# def l2_penalty(): pass"), "defines no function"),
}

NORMAL_ONES = {
    "plain": NORMAL,
    "byte-order-mark": b"\xef\xbb\xbf" + NORMAL,
    "huge-outputs": huge_outputs(),
    "version-3": version_3(),
    "no-metadata": json.dumps({"cells": json.loads(TEXT)["cells"]}).encode(),
    "metadata-list": changed(metadata=[1]),
    "metadata-deep": changed(metadata={"kernelspec": [1], "regbook": 7, "language_info": None}),
    "kernel-name": changed(metadata={"kernelspec": {"name": "my-env", "display_name": "x"}}),
    "version-text": changed(nbformat="four", nbformat_minor=None),
    "cell-no-dict": changed(cells=[7, None, "x", [], *json.loads(TEXT)["cells"]]),
    "duplicate-keys": b'{"cells": 7, ' + NORMAL.lstrip(b"{"),
    "source-number": with_cells(code(7)),
    "source-mixed": with_cells(code([1, None, "x = 1\n", {}])),
    "source-missing": with_cells({"cell_type": "code"}),
    "source-lines": notebook(*(code(c.splitlines(True)) for c in HONEST_CELLS)),
    "other-chapter": with_cells(metadata={"regbook": {"chapter": "18_batch_norm"}}),
    "unknown-chapter": with_cells(metadata={"regbook": {"chapter": "../../etc/passwd"}}),
    "carriage-returns": notebook(*(c.replace("\n", "\r\n") for c in HONEST_CELLS)),
    "old-mac-lines": notebook(*HONEST_CELLS, "x = 1\ry = 2\r"),
    "twice": notebook(*HONEST_CELLS, *HONEST_CELLS),
    "reversed": notebook(SETUP, HONEST[LAST], HONEST[FIRST]),
    "with-checks": with_cells(f"check({FIRST})", "progress()"),
    "stub-afterwards": with_cells(STUB),
    "stub-before": notebook(SETUP, STUB, STUB, HONEST[FIRST], HONEST[LAST]),
    "broken-copy-before": notebook(
        SETUP, "def l2_penalty(weights, lam):\n    return 1 / 0", HONEST[FIRST], HONEST[LAST]
    ),
    "helpers": notebook(
        SETUP,
        "def squares(w):\n    return (w**2).sum()\nSCALE = 2",
        "def l2_penalty(weights, lam):\n    return lam * sum(map(squares, weights))",
        f"{LAST} = lambda l2: SCALE * l2",
    ),
    "magics": with_cells(
        "%matplotlib inline\n%load_ext autoreload\n%autoreload 2",
        "!rm -rf / --no-preserve-root\nfiles = !ls /\n!!ls\n%cd /tmp\n%env X=1",
        "%%bash\nrm -rf /tmp/*",
        "%%writefile regbook-owned\nx",
        "?x\nx??\nlen?",
        "%pip install numpy\n%timeit 1 + 1\n%time x = 1",
        "get_ipython().system('rm -rf /')\nget_ipython().run_line_magic('who', '')",
    ),
    "timed": notebook(SETUP, "%%time\n" + HONEST[FIRST], "%%capture out\n" + HONEST[LAST]),
    "magic-in-a-magic": with_cells("%%capture\n%pip install numpy\n!ls\nmade = 1", "made + 1"),
    "help": with_cells("help(len)"),
    "warnings": with_cells(
        "import sys, warnings\nwarnings.warn('x')\nprint('x' * 1000, file=sys.stderr)\n"
        "np.float64(1) / 0\nimport logging\nlogging.error('x')"
    ),
    "plots": with_cells(
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.savefig('x.png')\nplt.show()"
    ),
    "annotations": notebook(
        "from __future__ import annotations\n" + SETUP, *(HONEST[n] for n in (FIRST, LAST))
    ),
    "many-cells": with_cells(*["x = 1"] * 500),
    "unicode": with_cells("ñ = 'äöü 😀 \u202e'\nprint(ñ)"),
    "form-feed": with_cells("x = 1\n\x0c\ny = 2"),
}

# One cell fails; the rest counts.
FAILING = {
    "syntax-error": ("def f(:\n  pass", "SyntaxError"),
    "tabs": ("if True:\n\tx = 1\n        y = 2", "TabError|IndentationError"),
    "null-character": ("x = '\0'", "null bytes|ValueError|SyntaxError"),
    "lone-surrogate": ("x = '\ud800'", "UnicodeEncodeError"),
    "huge-source": ("x = '" + "x" * (2 << 20) + "'", "^"),
    "deep-source": ("x = " + "(" * 5000 + ")" * 5000, "SyntaxError|MemoryError|Recursion|SIGSEGV"),
    "other-encoding": ("# -*- coding: utf-7 -*-\nx = 1 +", "SyntaxError"),
    "missing-module": ("import no_such_module", "ModuleNotFoundError"),
    "await": ("await something()", "NameError"),
    "other-language": ("SELECT * FROM students;", "SyntaxError"),
}

CASES = [
    *(Case(name, f"is no notebook: {name}", content, None, says)
      for name, (content, says) in UNREADABLE.items()),
    *(Case(name, f"is an unusual notebook: {name}", content, DESERVED)
      for name, content in NORMAL_ONES.items()),
    *(Case(name, f"has a cell that cannot run: {name}", with_cells(cell), DESERVED, says)
      for name, (cell, says) in FAILING.items()),
]  # fmt: skip
