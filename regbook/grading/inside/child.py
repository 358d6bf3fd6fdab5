"""The process that holds a submission: it runs cells and calls functions, as it is asked."""

import linecache
import random
import socket
import sys
import traceback
import types

import numpy as np
from IPython.core.inputtransformer2 import TransformerManager

import regbook.check
from regbook.exercise import Answer, AnswerError, NotAttempted, plain
from regbook.grading import wire

TEXT_LIMIT = 500  # characters of an error message
BODY_MAGICS = {"time", "timeit", "capture", "prun"}  # they run code; all others are ignored


def _sentence(error):
    return f"{type(error).__name__}: {error}"[:TEXT_LIMIT]


class _Shell:
    """What `get_ipython()` returns here: magics and shell lines do nothing."""

    def __init__(self, run):
        self._run = run

    def run_line_magic(self, name, line, *_, **__):
        if name == "time":
            self._run(line)

    def run_cell_magic(self, name, line, body):
        if name in BODY_MAGICS:
            self._run(body)

    def getoutput(self, *_, **__):
        return []

    def __getattr__(self, name):
        return lambda *_, **__: None


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
        shell = _Shell(self._execute)
        self.space.update(get_ipython=lambda: shell, display=lambda *_, **__: None)
        self.versions = {name: [] for name in names}
        self.models = []
        self.current = "a cell"

    def _execute(self, source):
        python = TransformerManager().transform_cell(source)
        linecache.cache[self.current] = (len(python), None, python.splitlines(True), self.current)
        exec(compile(python, self.current, "exec"), self.space)

    def cell(self, number: int, source: str) -> str | None:
        """Run one cell; return None or what went wrong, in a sentence."""
        self.current = f"cell {number}"
        try:
            self._execute(source)
        except BaseException as error:
            lines = [f.lineno for f in traceback.extract_tb(error.__traceback__)
                     if f.filename == self.current]  # fmt: skip
            return _sentence(error) + (f" (line {lines[-1]} of the cell)" if lines else "")
        finally:
            for name, versions in self.versions.items():
                value = self.space.get(name)
                if callable(value) and not any(value is version for version in versions):
                    versions.append(value)
        return None

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
                reply: wire.Reply = {}
            case "cell":
                reply = {"error": namespace.cell(request["number"], request["source"])}
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
