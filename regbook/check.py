"""Instant feedback on the exercises of a chapter, as the learner's notebook shows it.

from regbook.check import exercises

check, progress = exercises("07_l2_weight_decay")
"""

import _thread
import ast
import difflib
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Self

from regbook.exercise import Answer, Report, Stopped, load_chapter, load_chapters
from regbook.progress import Message, Progress

CALL_SECONDS = 30  # of one call; the first may import a framework
LOOK_SECONDS = 0.5  # between two looks at the clock
FRAMEWORKS = {"torch": "PyTorch", "tensorflow": "TensorFlow", "keras": "Keras"}


class UnknownChapter(KeyError):
    """No chapter has this name. Jupyter shows the sentence, without a traceback."""

    def __str__(self) -> str:
        return str(self.args[0])

    def _render_traceback_(self):
        return [str(self)]


def exercises(slug: str) -> tuple[Callable, Callable]:
    """Open a chapter's exercises; return its two functions `check` and `progress`.

    slug: the chapter's folder name. `check(function)` returns the report on one answer,
    `check(function, hint=2)` adds stronger hints, and `progress()` sums up what was checked.
    Raises UnknownChapter.
    """
    try:
        chapter = load_chapter(str(slug))
    except KeyError as error:
        raise UnknownChapter(_unknown(slug)) from error
    progress = Progress(chapter)
    names = list(chapter.exercises)

    def check(function: Callable | None = None, hint: int = 1) -> Report | Message:
        name = getattr(function, "__name__", None)
        if not callable(function) or name is None:
            return Message(
                f"check takes your function itself, without calling it: check({names[0]})."
            )
        if name not in names:
            return Message(
                f"No exercise is called {name!r} here. Define it with `def` under the "
                f"name of the exercise: {', '.join(names)}."
            )
        if _broken_cell(name):
            return Message(
                f"The last cell that defines {name} has a syntax error, so {name} is still what an "
                "earlier cell made it. Mend that cell, run it, and check again."
            )
        with _Watch() as watch:
            report = chapter.report(_InTime(function, watch), exercise=name)
        progress.note(report)
        return replace(report, hint=hint)

    return check, progress.shown


def _unknown(slug):
    slugs = list(load_chapters())
    near = [known for known in slugs if str(slug) and known.startswith(str(slug))]
    near = near or difflib.get_close_matches(str(slug), slugs, n=1, cutoff=0.4)
    mean = f"Did you mean {near[0]!r}?" if near else f"The chapters are {', '.join(slugs)}."
    return f"No chapter {slug!r} has exercises. {mean}"


def _broken_cell(name):
    """Tell whether the last cell of the notebook that defines a function is not Python."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    cells = shell.user_ns.get("In", []) if shell else []
    defines = re.compile(rf"^[ \t]*(async +)?def +{name}\b", re.M)
    last = next((cell for cell in reversed(cells) if defines.search(cell)), "")
    try:
        ast.parse(last)
    except SyntaxError:
        return not re.search(r"^\s*%%", last)  # a magic may hold what it likes
    return False


class _InTime(Answer):
    """A learner's function in the learner's own notebook: a call that does not end is stopped."""

    def __init__(self, function: Callable, watch: "_Watch") -> None:
        super().__init__(function)
        self._watch = watch

    def _call(self, arguments):
        self._watch.begin = time.monotonic()
        try:
            return super()._call(arguments)
        except KeyboardInterrupt:
            if not self._watch.fired:
                raise  # the learner pressed the stop button
            sentence = f"it did not finish within {CALL_SECONDS:g} s: does a loop never end?"
            raise Stopped(sentence) from None
        finally:
            self._watch.begin = None


class _Watch:
    """A thread that interrupts a call after CALL_SECONDS, and says when a framework is imported.

    begin: when the present call began, or None between two. fired: whether it was interrupted.
    Without an interrupt key, as in a thread, nothing is watched.
    """

    def __init__(self) -> None:
        self.begin: float | None = None
        self.fired = False
        self._done = threading.Event()
        self._known = FRAMEWORKS.keys() & sys.modules.keys()

    def __enter__(self) -> Self:
        handler = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        if main and handler is signal.default_int_handler:
            threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def _run(self):
        while not self._done.wait(LOOK_SECONDS):
            new = FRAMEWORKS.keys() & sys.modules.keys() - self._known
            self._known = self._known | new
            if new:
                print(f"Importing {FRAMEWORKS[min(new)]} takes some seconds, the first time.")
            begin = self.begin
            if begin is not None and time.monotonic() - begin > CALL_SECONDS:
                self.fired = True
                _interrupt()


def _interrupt():
    """Do what the stop button does."""
    if hasattr(signal, "pthread_kill"):  # wakes a sleeper too
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    else:
        _thread.interrupt_main()
