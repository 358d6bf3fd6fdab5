"""The sandbox: a warm process, and the children of it that hold the submissions."""

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from regbook.exercise import Stopped
from regbook.grading import wire
from regbook.grading.isolation import SCRATCH, SandboxError, bubblewrap, environment

# What notebooks take from here beside `regbook.check`. What a child itself needs is not named
# here: the server imports it.
ALWAYS = ("regbook.data", "regbook.pairs")
LIBRARIES = {
    "keras": ("keras",), "tensorflow": ("keras",), "pandas": ("pandas",),
    # The second is what the first optimizer imports: 820 modules.
    "torch": ("torch", "torch._dynamo"),
    "scipy": ("scipy.stats",), "sklearn": ("sklearn.linear_model", "sklearn.datasets"),
    "matplotlib": ("matplotlib.pyplot",),
}  # fmt: skip
EVERYTHING = (*ALWAYS, *dict.fromkeys(m for modules in LIBRARIES.values() for m in modules))
IMPORTED = re.compile(
    rf"(?:import(?:_module|__)?|from)[\s(\\\"']+({'|'.join(LIBRARIES)})\b".encode()
)
# These end a hang only, so a busy machine must not reach them.
START_SECONDS = 600  # to import both frameworks
END_SECONDS = 120  # to end a child and everything that it started
CLEAN_SECONDS = 300  # to delete what it wrote
GRACE_SECONDS = 1  # to answer an interrupt
STOP_SECONDS = 10  # to end the warm process, when the grader has hung up
MESSAGE_LIMIT = 1 << 16  # bytes of what the warm process says


class OverLimit(Stopped):
    """A submission passed a limit of time.

    slept: whether it waited for something, or seemed to, and did not compute. alive: whether it
    was interrupted and can be asked again; else its process must be ended.
    """

    def __init__(self, seconds: float, slept: bool) -> None:
        super().__init__(f"it did not finish within {seconds:g} s: does a loop never end?")
        self.slept, self.alive = slept, False


class Connection:
    """The grader's connection to a child, the process of one submission."""

    def __init__(
        self,
        ours: socket.socket,
        why: Callable[[], str],
        times: Callable[[], tuple[float, float]] | None = None,
        interrupt: Callable[[], None] | None = None,
    ) -> None:
        """ours: the grader's end. why: says why the process ended, when it has. times: returns how
        many seconds it has computed and has waited for a processor; without it the clock counts.
        interrupt: interrupts what it does."""
        self._socket, self._why, self._times, self._interrupt = ours, why, times, interrupt
        self.spent = 0.0  # seconds of all requests, without what a busy machine added to them
        self._seen = (0.0, 0.0)

    def request(
        self, message: wire.Request, seconds: float, *, interrupt: bool = False
    ) -> wire.Reply:
        """Send a request; return the reply, a dict. Raises Stopped: see OverLimit.

        seconds: the limit, of computing and of sleeping; what a busy machine adds does not count.
        interrupt: whether what passes it is interrupted first.
        Functions in `message` stay here: the submission calls them through the connection.
        """
        functions: list[Callable] = []
        number = secrets.randbits(50)  # no reply can be sent before its question
        late = None
        while True:
            deadline = wire.Deadline(GRACE_SECONDS if late else seconds, self._times, self._seen)
            try:
                if not late:
                    wire.send(self._socket, {**message, "id": number}, deadline, functions)
                reply = self._reply(number, functions, deadline)
                break
            except wire.OutOfTime as error:
                first, late = not late, late or OverLimit(seconds, error.slept)
                if not (first and interrupt and self._interrupt):
                    raise late from None
                self._interrupt()
            except OSError:
                raise Stopped(self._why()) from None
            except wire.WireError as error:
                raise Stopped(f"what it sent back was {error}") from None
            finally:
                self.spent += deadline.spent()
                self._seen = deadline.seen
        if late:
            late.alive = True
            raise late
        return reply

    def _reply(self, number, functions, deadline):
        """Return the reply to a question, after the calls of functions that stayed here."""
        while True:
            reply: wire.Reply = wire.receive(self._socket, deadline)
            if not isinstance(reply, dict):
                raise wire.WireError("not a reply")
            if "callback" not in reply:
                answered = reply.get("id")
                if type(answered) is not int or answered != number:
                    raise wire.WireError("an answer to another question")
                return reply
            began, computed = time.monotonic(), time.thread_time()
            answer = _called_back(functions, reply)
            # What it computes here counts, or it could go on for ever; that it waited does not.
            waited = time.monotonic() - began - (time.thread_time() - computed)
            deadline.leave_out(max(0.0, waited))
            wire.send(self._socket, answer, deadline)


def _called_back(functions, request):
    try:
        return {"value": functions[request["callback"]](*request["arguments"])}
    except Exception as error:  # the submission passed something that does not fit
        return {"error": f"{type(error).__name__}: {error}"}


def modules_for(contents: Iterable[bytes]) -> list[str]:
    """Return the modules that a warm process should hold for these submissions, given as bytes.

    A library that none of them imports costs no start-up time. One that is overlooked here is
    imported by the submission itself, which is slower.
    """
    wanted = {name.decode() for content in contents for name in IMPORTED.findall(content)}
    return [*ALWAYS, *dict.fromkeys(m for name in sorted(wanted) for m in LIBRARIES[name])]


class Sandbox:
    """A warm process from which submissions are forked, one at a time. Use it with `with`.

    level: a key of LEVELS. hidden: folders that no submission may see. modules: imported once
    (default: both frameworks and what notebooks use); see `modules_for`.
    """

    def __init__(
        self, level: str, hidden: Iterable[str | Path] = (), modules: Iterable[str] = EVERYTHING
    ) -> None:
        self.level = level
        self._hidden, self._modules = hidden, modules
        self._process: Any = None  # these three are None while it does not run
        self._control: Any = None
        self._folder: str | None = None
        self._ended: str | None = None  # why the last child ended, once the server has said it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the warm process unless it runs. Raises SandboxError when it cannot start."""
        if self._process is not None or self.level == "spawn":
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if self.level == "bubblewrap":
            prefix, scratch = bubblewrap(self._hidden), SCRATCH
        else:
            self._folder = tempfile.mkdtemp(prefix="regbook-")
            prefix, scratch = [], [self._folder]
        command = [*prefix, sys.executable, "-P", "-m", "regbook.grading.inside.server",
                   str(theirs.fileno()), os.pathsep.join(scratch), *self._modules]  # fmt: skip
        with theirs:
            self._process = subprocess.Popen(
                command, env=environment(scratch[0]), pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                start_new_session=True,
            )  # fmt: skip
        self._control = ours
        self._expect("ready", START_SECONDS)

    def stop(self) -> None:
        """End the warm process and everything in its sandbox."""
        control, process, folder = self._control, self._process, self._folder
        self._process = self._control = self._folder = None  # another thread may stop it too
        if control:
            with contextlib.suppress(OSError):
                control.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for it
            control.close()
        if process:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stderr.close()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)

    def _expect(self, key, seconds):
        """Return what the server says under `key`. Raises SandboxError when it says otherwise."""
        return self._answer((key,), seconds)[key]

    def _answer(self, keys, seconds):
        """Return the server's answer, which has one of the keys, or raise SandboxError."""
        try:
            self._control.settimeout(seconds)
            message = self._control.recv(MESSAGE_LIMIT)
            reply = json.loads(message) if message else {}
            if not isinstance(reply, dict):
                raise ValueError("it said no more than a value")
        except TimeoutError:
            reply = {"failed": f"no answer within {seconds} s"}
        except (OSError, AttributeError, ValueError, RecursionError) as error:
            # It was stopped meanwhile, or is confused.
            reply = {"failed": str(error)}
        if any(key in reply for key in keys):
            return reply
        said = reply.get("failed")
        if said is None and self._process:
            self._process.kill()
            said = self._process.stderr.read().decode(errors="replace").strip()[-2000:]
        self.stop()
        raise SandboxError(f"The process that holds the submissions failed: {said or 'it ended'}")

    @contextlib.contextmanager
    def child(self) -> Iterator[Connection]:
        """Give the connection to a fresh child; after the block, nothing of it is left running."""
        if self.level == "spawn":
            with _spawned() as connection:
                yield connection
            return
        self.start()
        self._ended = None
        ours, theirs = socket.socketpair()
        with ours:
            with theirs, contextlib.suppress(OSError):  # it died meanwhile: `_end` finds that out
                socket.send_fds(self._control, [b"start"], [theirs.fileno()])
            try:
                yield Connection(ours, self._end, self._times, self._interrupt)
            finally:
                try:
                    self._end(b"end")
                    self._expect("ready", CLEAN_SECONDS)
                except Exception:  # whatever it is: the next child starts a new sandbox
                    self.stop()

    def _end(self, order=b"why"):
        """Have the child ended, unless it was; return why it did, in words."""
        if self._ended is None:
            with contextlib.suppress(OSError, AttributeError):  # `_expect` says it
                self._control.send(order)
            self._ended = self._expect("ended", END_SECONDS)
        return self._ended or "its process stopped answering"

    def _interrupt(self):
        """Interrupt what the child does."""
        with contextlib.suppress(OSError, AttributeError):  # the next message says it
            self._control.send(b"interrupt")

    def _times(self):
        """Return how many seconds the child has computed, and waited for a processor."""
        if self._ended is None:
            with contextlib.suppress(OSError, AttributeError):  # `_answer` says it
                self._control.send(b"times")
            reply = self._answer(("times", "ended"), END_SECONDS)
            if "times" in reply:
                return reply["times"]
            self._ended = reply["ended"]
        return 0.0, 0.0


@contextlib.contextmanager
def _spawned():
    """Give the connection to a child in a new process, which imports the frameworks itself."""
    token = secrets.token_hex()
    with (
        tempfile.TemporaryDirectory(prefix="regbook-", ignore_cleanup_errors=True) as folder,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        port = server.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "regbook.grading.inside.spawned", str(port), token],
            env=environment(folder), cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            server.settimeout(START_SECONDS)
            connection, _ = server.accept()
            with connection:
                connection.settimeout(START_SECONDS)
                if connection.recv(len(token), socket.MSG_WAITALL) != token.encode():
                    raise SandboxError("a stranger connected instead of the submission's process")
                yield Connection(connection, lambda: "its process ended")
        finally:
            process.kill()
            process.wait()
