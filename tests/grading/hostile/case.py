"""What one hostile submission is, and the honest answers around the attack."""

import json
import os
import textwrap
from dataclasses import dataclass
from pathlib import Path

from regbook.exercise import load_chapter
from regbook.notebooks import function_sources

ROOT = Path(__file__).parents[3]
SLUG = "07_l2_weight_decay"
SETUP = (
    "import numpy as np\n"
    "from regbook.check import exercises\n"
    f"check, progress = exercises({SLUG!r})\n"
)
FIRST, LAST = "l2_penalty", "convert_keras_l2_to_torch_weight_decay"
TARGET = "l2_gradient_step"  # what the attack answers, unless it says otherwise
DAEMON = "76543.21"  # the seconds that left-over processes sleep: how the test recognises them
OWNED = "regbook-owned"  # how every file is called that an attack leaves where it must not

# What attacks use. WON never stands in a line that raises, which an error message may quote.
TOOLS = """
import ctypes, glob, json, os, shutil, signal, socket, stat, struct, subprocess, sys, threading
import time
import numpy as np
WON = "ATTACK " + "SUCCEEDED"
libc = ctypes.CDLL(None, use_errno=True)
def won(*what):
    raise RuntimeError(WON, *what)
def tried(action, *arguments):
    try:
        return action(*arguments)
    except (OSError, ValueError, TypeError):
        return None
def wire():
    found = [n for n in map(int, os.listdir("/proc/self/fd")) if n > 2 and tried(os.fstat, n)]
    found = [n for n in found if stat.S_ISSOCK(os.fstat(n).st_mode)]
    return socket.socket(fileno=os.dup(found[0]))
def frame(value, body=b""):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack(">QQ", len(text), len(body)) + text + body
"""


def solutions(slug):
    """Return the source of every graded function in a chapter's solution."""
    found = function_sources(ROOT / "solutions" / f"{slug}.ipynb")
    return {name: found[name] for name in load_chapter(slug).exercises}


HONEST = solutions(SLUG)


def full(*names, slug=SLUG):
    """Return the points of exercises that are solved."""
    return sum(load_chapter(slug).exercises[name].max_points for name in names)


@dataclass(frozen=True)
class Case:
    """content: the bytes. deserved: the points of its honest parts; None when it is unreadable.

    says: a regular expression that the status, the problems or the hints must match.
    seconds: how long a cell may take, where the attack needs time to reach another limit.
    """

    name: str
    attack: str
    content: bytes
    deserved: float | None
    says: str = ""
    seconds: float = 2


def code(source):
    return {"cell_type": "code", "metadata": {}, "outputs": [], "source": source}


def notebook(*cells, **changed):
    """Return the bytes of a notebook with these code cells."""
    whole = {"cells": [code(c) if isinstance(c, str) else c for c in cells], "metadata": {},
             "nbformat": 4, "nbformat_minor": 5}  # fmt: skip
    return json.dumps({**whole, **changed}).encode()


def case(name, attack, *cells, first=(FIRST,), last=(LAST,), **options):
    """Return a Case: honest answers, the cells of the attack, honest answers."""
    cells = [TOOLS + textwrap.dedent(cell) for cell in cells]
    source = [SETUP, *(HONEST[n] for n in first), *cells, *(HONEST[n] for n in last)]
    return Case(name, attack, notebook(*source), full(*first, *last), **options)


def answer(body, name=TARGET):
    """Return the source of an exercise's function with this body."""
    head = next(line for line in HONEST[name].splitlines() if line.startswith("def "))
    return f"{head}\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"


def answers(name, attack, body, before="", after="", **options):
    """Return a Case whose attack sits in the function TARGET. before, after: code around it."""
    source = f"{textwrap.dedent(before)}\n{answer(body)}\n{after}"
    return case(name, attack, source, **options)


def is_root():
    return os.getuid() == 0
