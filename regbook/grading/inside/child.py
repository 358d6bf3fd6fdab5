"""The process that holds a submission: it runs cells and calls functions, as it is asked."""

import ast
import contextlib
import random
import re
import signal
import socket
import sys
import traceback
import types
from pathlib import Path

import numpy as np
from IPython.core.compilerop import CachingCompiler
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import regbook.check
from regbook.exercise import Answer, AnswerError, NotAttempted, plain
from regbook.grading import wire

TEXT_LIMIT = 500  # characters of an error message
# Magics that do here what they do in Jupyter, and those whose code is run once. Others, which
# install packages, set up plots or measure, do nothing; nor do commands of the system.
MAGICS, ONCE = {"capture", "env", "run", "writefile"}, {"prun", "time", "timeit"}
# A cell that sets Keras to PyTorch, which only counts before the import of Keras.
TORCH_BACKEND = re.compile(r"KERAS_BACKEND\W+torch\b")
IMPORTS_KERAS = re.compile(r"^\s*(?:import|from)\b.*\bkeras\b", re.M)
# What still counts of a cell that failed or was stopped.
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def _sentence(error):
    return f"{type(error).__name__}: {error}"[:TEXT_LIMIT]


class _Compiler(CachingCompiler):
    """Compile cells under the name that the grader gives them."""

    cell = "a cell"

    def get_code_name(self, *_):
        return self.cell


class _Shell(InteractiveShell):
    """Run cells as Jupyter does, but show nothing and ask nothing of the system."""

    compiler_class = _Compiler

    def run_line_magic(self, name, line, _stack_depth=1):
        if name in MAGICS:
            return super().run_line_magic(name, line, _stack_depth + 1)
        return self._once(line) if name in ONCE else None

    def run_cell_magic(self, name, line, cell):
        if name in MAGICS:
            return super().run_cell_magic(name, line, cell)
        return self._once(cell) if name in ONCE else None

    def _once(self, source):
        self.run_cell(source).raise_error()

    def init_ipython_dir(self, ipython_dir):
        """Keep no folder of settings."""

    def init_profile_dir(self, profile_dir):
        """Keep no folder of settings."""

    def system(self, cmd):
        """Do nothing."""

    system_piped = system_raw = system

    def getoutput(self, cmd, split=True, depth=0):
        return []

    def enable_gui(self, gui=None):
        """Do nothing."""

    def ask_exit(self):
        """Do nothing."""

    def showtraceback(self, *_, **__):
        """Show nothing: the grader gets the error itself."""

    showsyntaxerror = showindentationerror = showtraceback

    def _tee(self, channel):
        return contextlib.nullcontext()  # else all that is printed stays in memory

    def _format_exception_for_storage(self, *_, **__):
        return {}  # it would take longer than most cells


def _shell():
    """Return the shell of this process, which is made once, before any submission is here."""
    if not _Shell.initialized():
        settings = Config()
        settings.HistoryManager.enabled = False  # neither a file nor a thread
        settings.HistoryManager.hist_file = ":memory:"
        _Shell.instance(config=settings)
    return _Shell.instance()


_shell()


def _exercises(slug):
    """Stand in for `regbook.check.exercises`: the grader asks the checks, not the submission."""
    message = regbook.check.Message("Checked by the grader.")
    return (lambda *_, **__: message), (lambda: message)


class Namespace:
    """The namespace of a notebook: its cells run in it, its functions are called from it."""

    def __init__(self, names):
        """names: the functions that the exercises ask for."""
        self.module = types.ModuleType("__main__")
        self.space = self.module.__dict__
        self.shell = shell = _shell()
        shell.user_module, shell.user_ns, shell.execution_count = self.module, self.space, 1
        shell.compile.reset_compiler_flags()
        shell.init_user_ns()
        self.space["display"] = lambda *_, **__: None  # also while a function is called
        self.versions = {name: [] for name in names}
        self.models = []
        self.used_keras = False

    def cell(self, number: int, source: str, definitions: bool) -> str | None:
        """Run one cell; return None or what went wrong, in a sentence.

        definitions: run these and its imports alone. Those below a statement that fails are run,
        too: a plotting package that is missing here must not cost the import that follows it.
        """
        self.shell.compile.cell = f"cell {number}"
        self._forget_keras(source)
        error = None
        if not definitions:
            result = self._interruptible(lambda: self.shell.run_cell(source, store_history=True))
            error = result.error_before_exec or result.error_in_exec
        lines = [
            frame.lineno
            for frame in (traceback.extract_tb(error.__traceback__) if error else ())
            if frame.filename == self.shell.compile.cell
        ]
        if error or definitions:
            self._interruptible(lambda: self._define(source, lines[0] if lines else 0))
        for name, versions in self.versions.items():
            value = self.space.get(name)
            if callable(value) and not any(value is version for version in versions):
                versions.append(value)
        where = f" (line {lines[-1]} of the cell)" if lines else ""
        return _sentence(error) + where if error else None

    def _forget_keras(self, source):
        """Let a cell choose the backend of Keras, which the warm process has imported."""
        if not self.used_keras and TORCH_BACKEND.search(source):
            for name in [name for name in sys.modules if name.partition(".")[0] == "keras"]:
                del sys.modules[name]
        self.used_keras = self.used_keras or bool(IMPORTS_KERAS.search(source))

    def _interruptible(self, action):
        """Run an action that the grader can interrupt, as Jupyter's stop button does."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return action()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _define(self, source, line):
        """Run the definitions and imports of a cell below a line."""
        compiler = self.shell.compile
        try:
            nodes = compiler.ast_parse(self.shell.transform_cell(source), compiler.cell).body
        except Exception:  # no Python: the cell has told that
            return
        for node in nodes:
            if isinstance(node, DEFINITIONS) and node.lineno > line:
                code = compiler(ast.Module([node], []), compiler.cell, "exec")
                with contextlib.suppress(BaseException):  # one of them may need what failed above
                    exec(code, self.space)

    def call(self, name: str, version: int, arguments: list, model: bool) -> wire.Reply:
        """Call a version of a function; return the reply: its value, its error, or `stub`."""
        answer = Answer(self.versions[name][version])
        reply = self._reply(lambda: self._model(answer, arguments) if model else answer(*arguments))
        return {**reply, "changed": sorted(answer.changed)}

    def _model(self, answer, arguments):
        self.models.append(answer.model(*arguments))
        return len(self.models) - 1

    def method(self, model: int, name: str, arguments: list) -> wire.Reply:
        """Call a method of a model that `call` built; return the reply."""
        if name.startswith("_"):
            raise ValueError(name)
        return self._reply(lambda: getattr(self.models[model], name)(*arguments))

    def _reply(self, action) -> wire.Reply:
        try:
            reply: wire.Reply = {"value": action()}
            wire.encode(reply)
            return reply
        except NotAttempted:
            return {"stub": True}
        except (AnswerError, wire.WireError) as error:
            return {"error": str(error)[:TEXT_LIMIT]}
        except BaseException as error:  # raised by what it returned, or by the model
            return {"error": f"What your function returned raised {_sentence(error)}"}


def _callback(connection):
    """Return what makes the stand-in of a function that the grader holds."""

    def stand_in(index):
        def function(*arguments):
            arrays = [plain(argument) for argument in arguments]
            wire.send(connection, {"callback": index, "arguments": arrays})
            reply = wire.receive(connection)
            if "error" in reply:
                raise ValueError(reply["error"])
            return reply["value"]

        return function

    return stand_in


def serve(connection: socket.socket) -> None:
    """Answer the grader's requests until it hangs up."""
    # What a notebook gets that imports `exercises`: it does so after this line, and the real one
    # would look for the checks, which the sandbox hides.
    regbook.check.exercises = _exercises
    sys.path.insert(0, "")  # as in Jupyter: what is written or handed in beside the notebook
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(0)
    namespace = Namespace([])
    while True:
        try:
            request = wire.receive(connection, function=_callback(connection))
        except ConnectionError:
            break
        match request.get("do"):
            case "open":
                namespace = Namespace(request["names"])
                sys.modules["__main__"] = namespace.module
                for name, data in request["files"].items():
                    Path(name).write_bytes(data.tobytes())
                reply: wire.Reply = {}
            case "cell":
                parts = (request[key] for key in ("number", "source", "definitions"))
                reply = {"error": namespace.cell(*parts)}
            case "versions":
                reply = {"versions": {n: len(v) for n, v in namespace.versions.items()}}
            case "call":
                parts = (request[key] for key in ("name", "version", "arguments", "model"))
                reply = namespace.call(*parts)
            case "method":
                reply = namespace.method(request["model"], request["name"], request["arguments"])
            case _:  # the answer to a callback that nobody waits for
                continue
        wire.send(connection, {**reply, "id": request["id"]})
