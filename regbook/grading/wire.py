"""Values between the grader and a submission: JSON plus raw array bytes, checked before use.

One frame is two lengths (8 bytes each, big-endian), a JSON text and the bytes of all arrays.
Nothing is ever pickled, so decoding runs no code, whoever wrote the bytes.
"""

import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Literal, TypedDict

import numpy as np

LENGTHS = struct.Struct(">QQ")
JSON_LIMIT = 1 << 20  # bytes
ARRAY_LIMIT = 16 << 20  # bytes
DEPTH_LIMIT = 20
AXES_LIMIT = 32
FIRST_LOOK = 0.25  # seconds: most answers come before, so that nobody has to look
DTYPES = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64",
}  # fmt: skip


class Request(TypedDict, total=False):
    """What the grader asks of a child; `do` says which of the other keys there are."""

    do: Literal["open", "cell", "versions", "call", "method"]
    id: int  # the reply names it
    names: list[str]  # open: of the functions that the exercises ask for
    files: dict[str, np.ndarray]  # open: the bytes of what lies beside the notebook, by name
    number: int  # cell: the first is 1
    source: str  # cell
    definitions: bool  # cell: run these and its imports alone
    name: str  # call: of the function; method: of the method
    version: int  # call: which definition of the function; the first is 0
    model: int  # call: whether the function builds a model; method: the number of that model
    arguments: list  # call and method


class Reply(TypedDict, total=False):
    """What a child says. A submission may have written it: each key is checked before use."""

    id: int  # of the request
    error: str | None  # cell, call and method: what went wrong, in a sentence
    versions: dict[str, int]  # versions: how many definitions of each function
    value: Any  # call and method: the answer; of a function that builds a model, its number
    stub: bool  # call: the function is the empty stub
    changed: list[int]  # call: the positions of the arguments that it has changed in place
    callback: int  # no answer yet: the child calls this one of the functions that it was sent
    arguments: list  # of the callback


class WireError(ValueError):
    """A frame or a value that this format does not hold; the message says which."""


def _encode(value, blobs, functions, depth=0):
    if depth > DEPTH_LIMIT:
        raise WireError(f"the answer is nested deeper than {DEPTH_LIMIT} levels")

    def inner(item):
        return _encode(item, blobs, functions, depth + 1)

    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype == np.longdouble and array.dtype.name not in DTYPES:
            array = array.astype(np.float64)
        if array.dtype.name not in DTYPES:
            raise WireError(f"arrays of {array.dtype} are not numbers")
        if array.ndim > AXES_LIMIT:
            raise WireError(f"an array has more than {AXES_LIMIT} dimensions")
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        blobs.append(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return {kind: [array.dtype.name, list(array.shape), len(blobs[-1])]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is list:
        return [inner(item) for item in value]
    if type(value) is tuple:
        return {"tuple": [inner(item) for item in value]}
    if type(value) is dict and all(type(key) is str for key in value):
        return {"dict": {key: inner(item) for key, item in value.items()}}
    if isinstance(value, np.random.Generator):
        state = value.bit_generator.state
        if state["bit_generator"] == "PCG64":
            return {"rng": state}
    if callable(value) and functions is not None:
        functions.append(value)
        return {"function": len(functions) - 1}
    raise WireError(f"a value of type {type(value).__name__} cannot be sent")


def encode(value: Any, functions: list[Callable] | None = None) -> bytes:
    """Return the bytes of one frame that holds `value`.

    value: None, a Python or NumPy number, a string, an array of numbers, `numpy.random.Generator`
    (of `default_rng`), or lists, tuples and dicts (with string keys) of these. functions: a list
    that collects the functions in `value`, which are sent as their index; None refuses them.
    Raises WireError for anything else.
    """
    blobs: list[bytes] = []
    described = _encode(value, blobs, functions)
    try:
        text = json.dumps(described).encode()
    except ValueError as error:  # Python refuses to write it
        raise WireError("an integer of more than 4300 digits cannot be sent") from error
    body = b"".join(blobs)
    if len(text) > JSON_LIMIT or len(body) > ARRAY_LIMIT:
        raise WireError("the answer is larger than 16 MiB")
    return LENGTHS.pack(len(text), len(body)) + text + body


class _Decoder:
    def __init__(self, body, function):
        self.body, self.position, self.function = body, 0, function

    def array(self, described):
        name, shape, size = described
        if name not in DTYPES:
            raise WireError("an array of an unknown type")
        dtype = np.dtype(name).newbyteorder("<")
        sizes = [size, *shape]
        if len(shape) > AXES_LIMIT or not all(
            type(n) is int and 0 <= n <= ARRAY_LIMIT for n in sizes
        ):
            raise WireError("an array of an impossible shape")
        part = self.body[self.position : self.position + size]
        self.position += size
        if len(part) != size or np.prod([dtype.itemsize, *shape], dtype=object) != size:
            raise WireError("an array whose bytes do not fit its shape")
        return np.frombuffer(part, dtype).reshape(shape).astype(np.dtype(name))

    def value(self, item, depth=0):
        if depth > DEPTH_LIMIT:
            raise WireError("a value that is nested too deeply")
        if isinstance(item, list):
            return [self.value(each, depth + 1) for each in item]
        if not isinstance(item, dict):
            return item
        ((kind, held),) = item.items()
        if kind == "array":
            return self.array(held)
        if kind == "scalar":
            return self.array(held)[()]
        if kind == "tuple":
            return tuple(self.value(each, depth + 1) for each in held)
        if kind == "dict":
            return {key: self.value(each, depth + 1) for key, each in held.items()}
        if kind == "rng" and self.function:  # only towards the submission
            generator = np.random.Generator(np.random.PCG64())
            generator.bit_generator.state = held
            return generator
        if kind == "function" and self.function:
            return self.function(held)
        raise WireError(f"a value of the unknown kind {kind!r}")


def decode(text: bytes, body: bytes, function: Callable[[int], Any] | None = None) -> Any:
    """Return the value of a frame's two parts.

    function: makes the stand-in of a sent function from its index; None refuses functions.
    Raises WireError for anything that `encode` does not write.
    """
    try:
        decoder = _Decoder(body, function)
        value = decoder.value(json.loads(text))
    except WireError:
        raise
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WireError(f"not a frame of this format: {type(error).__name__}") from error
    if decoder.position != len(body):
        raise WireError("bytes that belong to no array")
    return value


class OutOfTime(TimeoutError):
    """A limit has passed. slept: whether in sleep, or waiting for something, and not computing."""

    def __init__(self, slept: bool) -> None:
        super().__init__()
        self.slept = slept


class Deadline:
    """A limit for the seconds that the other side computes, and for those that it sleeps.

    The time in which it waits for a processor, on a busy machine, does not count.
    """

    def __init__(
        self,
        seconds: float,
        times: Callable[[], tuple[float, float]] | None = None,
        seen: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """times: returns how many seconds the other side has computed, and has waited for a
        processor, since it began; without it the seconds are those of the clock. It is asked first
        after FIRST_LOOK seconds. seen: what it returned last, for another deadline."""
        self.seen = seen
        self._seconds, self._times = seconds, times
        self._begin = self._last = time.monotonic()
        self._look = self._begin + (min(seconds, FIRST_LOOK) if times else seconds)
        self._computed = self._slept = self._waited = 0.0

    def left(self) -> float:
        """Return the seconds until the next look. Raises OutOfTime when none are left."""
        now = time.monotonic()
        if now >= self._look:
            self._count(now)
            left = self._seconds - max(self._computed, self._slept)
            if left <= 0:
                raise OutOfTime(self._slept > self._computed)
            self._look = now + left
        return self._look - now

    def _count(self, now):
        """Tell apart what the other side did since the last look."""
        passed, self._last = now - self._last, now
        if self._times is None:
            self._slept += passed
            return
        before, self.seen = self.seen, self._times()
        computed, waited = (max(0.0, b - a) for a, b in zip(before, self.seen, strict=True))
        first = self._computed == self._slept == self._waited == 0
        if first:  # what was seen last is older than this deadline
            computed = min(computed, passed)
        waited = min(waited, max(0.0, passed - computed))
        self._computed += computed
        self._waited += waited
        self._slept += max(0.0, passed - computed - waited)

    def leave_out(self, seconds: float) -> None:
        """Do not count seconds that have just passed, in which the other side waited for us."""
        self._begin += seconds
        self._last += seconds
        self._look += seconds

    def spent(self) -> float:
        """Return the seconds since the beginning, without those of waiting that were seen."""
        return time.monotonic() - self._begin - self._waited


def _read(connection, size, deadline):
    parts = bytearray()
    while len(parts) < size:
        connection.settimeout(deadline.left() if deadline else None)
        try:
            part = connection.recv(min(size - len(parts), 1 << 20))
        except TimeoutError:
            continue  # `left` knows whether the time is over
        if not part:
            raise ConnectionError("the other side is gone")
        parts += part
    return bytes(parts)


def receive(
    connection: socket.socket,
    deadline: Deadline | None = None,
    function: Callable[[int], Any] | None = None,
) -> Any:
    """Read one frame from a socket and return its value.

    deadline: for the whole frame, however slowly it drips.
    Raises TimeoutError, ConnectionError when the other side is gone, WireError for a bad frame.
    """
    text, body = LENGTHS.unpack(_read(connection, LENGTHS.size, deadline))
    if text > JSON_LIMIT or body > ARRAY_LIMIT:
        raise WireError("a frame larger than 16 MiB")
    return decode(_read(connection, text, deadline), _read(connection, body, deadline), function)


def send(
    connection: socket.socket,
    value: Any,
    deadline: Deadline | None = None,
    functions: list[Callable] | None = None,
) -> None:
    """Write one frame to a socket. Raises like `encode` and `receive`."""
    frame = memoryview(encode(value, functions))
    while frame:
        connection.settimeout(deadline.left() if deadline else None)
        try:
            frame = frame[connection.send(frame) :]
        except TimeoutError:
            continue  # `left` knows whether the time is over
