"""Values cross the wire exactly or not at all, and no bytes of a submission do more than fail."""

import json
import pickle
import random
import socket
import threading
import time
import tracemalloc

import numpy as np
import pytest

from regbook.grading import wire
from regbook.grading.wire import (
    LENGTHS,
    Deadline,
    OutOfTime,
    WireError,
    decode,
    encode,
    receive,
    send,
)


def parts(frame):
    """Split a frame into its text and its array bytes."""
    text, body = LENGTHS.unpack(frame[: LENGTHS.size])
    assert len(frame) == LENGTHS.size + text + body
    return frame[LENGTHS.size : LENGTHS.size + text], frame[LENGTHS.size + text :]


def through(value, **options):
    return decode(*parts(encode(value)), **options)


def described(name, shape, size):
    return json.dumps({"array": [name, shape, size]}).encode()


def nested(depth, value=1):
    for _ in range(depth):
        value = [value]
    return value


def same(a, b):
    """Compare two values with their types, NaN equal to NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray | np.generic):
        kinds = a.dtype.newbyteorder("=") == b.dtype.newbyteorder("=")
        return kinds and np.shape(a) == np.shape(b) and np.array_equal(a, b, equal_nan=True)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return a == b or (a != a and b != b)


@pytest.fixture
def pair():
    a, b = socket.socketpair()
    with a, b:
        yield a, b


@pytest.mark.parametrize("name", sorted(wire.DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3), (4, 0, 2), (1,) * 32])
def test_arrays_of_every_type_and_shape_arrive(name, shape):
    rng = np.random.default_rng(0)
    dtype = np.dtype(name)
    raw = rng.integers(0, 2, shape, dtype=np.uint8)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        array = np.where(raw, limits.min, limits.max).astype(dtype)
    else:
        array = np.asarray(raw * (1 if dtype.kind == "b" else np.pi)).astype(dtype)
    arrived = through(array)
    assert same(arrived, array)
    assert arrived.flags.writeable and arrived.flags.c_contiguous
    if shape == ():
        assert same(through(array[()]), array[()])  # a scalar stays one


BASE = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(BASE),
        BASE.T,
        BASE[::-1, :, ::2],
        BASE.astype(">f8"),
        BASE.astype(">i4")[..., 1],
        np.broadcast_to(np.float32(3), (2, 5)),
        np.array([np.nan, np.inf, -np.inf, -0.0]),
        BASE[:, :0],
    ],
    ids=["fortran", "transposed", "strided", "big", "big part", "broadcast", "odd", "empty"],
)
def test_memory_order_does_not_matter(array):
    arrived = through(array)
    assert same(arrived, array)
    assert arrived.dtype.isnative


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -(2**70), 1.5, -0.0, float("nan"), float("inf"), "", "ä\x00\ud800",
        [], (), {}, [[]], ((),), {"": {}}, [1, (2.0, [None]), {"a": (True, "b")}],
        {"array": ["float64", [], 8], "tuple": [], "function": 0, "rng": {}},
        (BASE, [BASE[0], {"scale": np.float32(2), "flag": np.bool_(True)}], np.int8(-3)),
        nested(wire.DEPTH_LIMIT),
    ],
)  # fmt: skip
def test_values_arrive_with_their_types(value):
    assert same(through(value), value)


def test_longdouble_arrives_as_a_double():
    assert same(through(np.array([1.5], np.longdouble)), np.array([1.5]))


def test_generator_arrives_in_its_state_at_the_submission_only():
    generator = np.random.default_rng(3)
    generator.normal(size=5)
    arrived = through({"rng": generator}, function=lambda index: None)["rng"]
    assert same(arrived.normal(size=4), generator.normal(size=4))
    with pytest.raises(WireError, match="unknown kind 'rng'"):
        through(generator)


def test_functions_travel_as_their_index_to_the_submission_only():
    collected = []
    frame = encode([abs, {"f": max}, abs], collected)
    assert collected == [abs, max, abs]
    made = decode(*parts(frame), function=lambda index: ("stand-in", index))
    assert made == [("stand-in", 0), {"f": ("stand-in", 1)}, ("stand-in", 2)]
    with pytest.raises(WireError, match="unknown kind 'function'"):
        decode(*parts(frame))
    with pytest.raises(WireError, match="type builtin_function_or_method cannot be sent"):
        encode(abs)


class Text(str):
    pass


CIRCLE = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (np.array([None]), "arrays of object are not numbers"),
        (np.array(["a"]), "arrays of <U1 are not numbers"),
        (np.array([b"a"]), r"arrays of \|S1 are not numbers"),
        (np.str_("a"), "are not numbers"),
        (np.array([1j]), "arrays of complex128 are not numbers"),
        (np.complex64(1), "arrays of complex64 are not numbers"),
        (np.array(["2020-01-01"], "M8[D]"), "are not numbers"),
        (np.zeros(2, [("a", "f4")]), "are not numbers"),
        (np.zeros((1,) * 33), "dimensions"),
        ({1: 2}, "type dict cannot be sent"),
        ({Text("a"): 2}, "type dict cannot be sent"),
        (Text("a"), "type Text cannot be sent"),
        (1j, "type complex cannot be sent"),
        (b"bytes", "type bytes cannot be sent"),
        ({1}, "type set cannot be sent"),
        (object(), "type object cannot be sent"),
        (np.random.Generator(np.random.MT19937()), "type Generator cannot be sent"),
        (nested(wire.DEPTH_LIMIT + 1), "deeper than 20 levels"),
        (CIRCLE, "deeper than 20 levels"),
        (np.zeros(wire.ARRAY_LIMIT + 1, bool), "larger than 16 MiB"),
        ([np.zeros(wire.ARRAY_LIMIT // 2 + 1, np.uint8)] * 2, "larger than 16 MiB"),
        ("x" * wire.JSON_LIMIT, "larger than 16 MiB"),
        (10**5000, "an integer of more than"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_everything_else_is_refused_before_it_is_sent(value, sentence):
    with pytest.raises(WireError, match=sentence):
        encode(value)


class Executed:
    """Unpickling this would raise KeyError."""

    def __reduce__(self):
        return dict.__getitem__, ({}, "executed")


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (b"", b""),
        (b"nothing", b""),
        (b"1 2", b""),
        (b"\xff\xfe\x00", b""),
        (pickle.dumps(Executed()), b""),
        (pickle.dumps(Executed(), 0), b""),
        (b"[" * 100_000, b""),
        (b"9" * 5000, b""),
        (json.dumps(nested(wire.DEPTH_LIMIT + 1)).encode(), b""),
        (b"{}", b""),
        (b'{"tuple": [], "dict": {}}', b""),
        (b'{"tuple": 3}', b""),
        (b'{"dict": []}', b""),
        (b'{"__reduce__": []}', b""),
        (b'{"array": []}', b""),
        (b'{"array": null}', b""),
        (described("object", [1], 8), bytes(8)),
        (described("O", [1], 8), bytes(8)),
        (described("float64,float64", [1], 16), bytes(16)),
        (described("complex128", [1], 16), bytes(16)),
        (described(["float64"], [1], 8), bytes(8)),
        (described("float64", [1], 8), bytes(7)),
        (described("float64", [1], 7), bytes(7)),
        (described("float64", [1], 16), bytes(16)),
        (described("float64", [2], 8), bytes(8)),
        (described("float64", [-1], 8), bytes(8)),
        (described("float64", [-1, -1], 8), bytes(8)),
        (described("float64", [True], 8), bytes(8)),
        (described("bool", [1], True), bytes(1)),
        (described("float64", [1.0], 8), bytes(8)),
        (described("float64", [[1]], 8), bytes(8)),
        (described("float64", "1", 8), bytes(8)),
        (described("float64", None, 8), bytes(8)),
        (described("float64", [1] * 33, 8), bytes(8)),
        (described("uint8", [2**62, 4], 2**64), b""),
        (described("uint8", [2**32, 2**32], 0), b""),
        (described("uint8", [0, 1 << 24, 1 << 24, 1 << 24], 0), b""),
        (described("float64", [1], -8), bytes(8)),
        (described("float64", [1], 8), bytes(9)),
        (b"1", b"x"),
        (b"[" + described("uint8", [2], 2) + b"," + described("uint8", [2], 2) + b"]", bytes(3)),
    ],
    ids=lambda value: f"{value[:40]!r}",
)
@pytest.mark.parametrize("function", [None, lambda index: abs], ids=["grader", "child"])
def test_malformed_frame_is_an_error_of_the_wire(text, body, function):
    with pytest.raises(WireError):
        decode(text, body, function)


VALID = [
    {"value": (BASE.astype(np.float32), [1, 2.5, None], {"a": "b", "c": np.int8(1)})},
    {"callback": 0, "arguments": [np.arange(6).reshape(2, 3), True, ()]},
    {"error": "What your function returned raised ValueError: no"},
]
HOSTILE = [b"[", b"]", b"{", b"}", b":", b",", b"-1", b"1e999", b"NaN", b"\xff",
           b'"array"', b'"tuple"', b'"function"', b'"rng"', b'"float64"', b"99999999"]  # fmt: skip


def test_mutated_frames_give_an_error_or_a_value_in_little_memory_and_time():
    dice = random.Random(0)
    texts = [parts(encode(value)) for value in VALID]
    refused = 0
    tracemalloc.start()
    start = time.process_time()
    for _ in range(6000):
        text, body = map(bytearray, dice.choice(texts))
        for _ in range(dice.randint(1, 4)):
            i, j = sorted(dice.choices(range(len(text) + 1), k=2))
            j = min(j, i + 6)
            match dice.randint(0, 3):
                case 0:
                    text[i:j] = dice.choice(HOSTILE)
                case 1:
                    text[i:i] = text[i:j] * dice.randint(1, 50)
                case 2:
                    del text[i:j]
                case 3:
                    del body[dice.randint(0, len(body)) :]
        try:
            encode(decode(bytes(text), bytes(body)), [])  # a value that is no value fails here
        except WireError:
            refused += 1
    assert time.process_time() - start < 30
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()
    assert 3000 < refused < 6000


def test_frames_pass_a_socket_one_after_another(pair):
    a, b = pair
    values = [None, {"x": BASE}, "end"]
    big = np.zeros(wire.ARRAY_LIMIT, np.uint8)
    thread = threading.Thread(target=lambda: [send(a, value) for value in [*values, big]])
    thread.start()
    assert all(same(receive(b, Deadline(20)), value) for value in values)
    assert same(receive(b, Deadline(20)), big)
    thread.join()


def test_frame_that_drips_meets_the_deadline(pair):
    a, b = pair
    frame, stop = encode("x" * 1000), threading.Event()

    def drip():
        for i in range(len(frame)):
            if stop.wait(0.02):
                return
            a.send(frame[i : i + 1])

    thread = threading.Thread(target=drip)
    thread.start()
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        receive(b, Deadline(0.3))
    assert 0.25 < time.monotonic() - start < 2
    stop.set()
    thread.join()


def test_deadline_holds_for_sending_too(pair):
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        send(pair[0], np.zeros(wire.ARRAY_LIMIT, np.uint8), Deadline(0.2))  # nobody reads
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("cut", [0, 3, LENGTHS.size, LENGTHS.size + 5, -1])
def test_end_within_a_frame_is_a_lost_connection(pair, cut):
    a, b = pair
    a.sendall(encode({"x": BASE})[:cut])
    a.close()
    with pytest.raises(ConnectionError, match="the other side is gone"):
        receive(b, Deadline(5))


@pytest.mark.parametrize(
    "lengths", [(wire.JSON_LIMIT + 1, 0), (2, wire.ARRAY_LIMIT + 1), (2**64 - 1, 2**64 - 1)]
)
def test_announced_size_is_refused_before_anything_is_read(pair, lengths):
    a, b = pair
    a.sendall(LENGTHS.pack(*lengths))
    tracemalloc.start()
    with pytest.raises(WireError, match="a frame larger than 16 MiB"):
        receive(b, Deadline(5))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("held", ["0", "[[]]", '"os.system"'])
def test_submission_cannot_send_a_function(pair, held):
    a, b = pair
    text = f'{{"function": {held}}}'.encode()
    a.sendall(LENGTHS.pack(len(text), 0) + text)
    with pytest.raises(WireError, match="unknown kind 'function'"):
        receive(b, Deadline(5))


class Clock:
    """A clock, and what the other side did, which a test moves on."""

    def __init__(self, monkeypatch):
        self.now = self.computed = self.waited = 0.0
        monkeypatch.setattr(wire.time, "monotonic", lambda: self.now)

    def times(self):
        return self.computed, self.waited

    def pass_until_out_of_time(self, deadline, computed, waited):
        """Let time pass of which it computes and waits these shares; return whether it slept."""
        begin = self.now
        for _ in range(10_000):
            self.now += 0.125
            self.computed += 0.125 * computed
            self.waited += 0.125 * waited
            try:
                assert deadline.left() > 0
            except OutOfTime as error:
                return self.now - begin, error.slept
        return None


@pytest.mark.parametrize(
    ("computed", "waited", "seconds", "slept"),
    [
        (1, 0, 2, False),
        (0, 0, 2, True),
        (0.5, 0.5, 4, False),
        (0.125, 0.8125, 16, False),
        (0.0625, 0.875, 32, False),
        (0, 0.5, 4, True),
        (0.625, 0, 3.25, False),
        (4, 0, 2, False),  # on several processors at once
        (0, 1, None, None),
    ],
)
def test_computing_and_sleeping_count_and_waiting_does_not(
    monkeypatch, computed, waited, seconds, slept
):
    clock = Clock(monkeypatch)
    found = clock.pass_until_out_of_time(Deadline(2, clock.times), computed, waited)
    if seconds is None:
        assert found is None
    else:
        assert abs(found[0] - seconds) <= 0.25
        assert found[1] == slept


def test_what_was_computed_before_the_last_look_does_not_count(monkeypatch):
    clock = Clock(monkeypatch)
    first = Deadline(2, clock.times)
    clock.computed = 50.0  # in requests that were answered before anyone looked
    assert 1.75 <= clock.pass_until_out_of_time(first, 1, 0)[0] <= 2.25
    second = Deadline(2, clock.times, first.seen)
    assert clock.pass_until_out_of_time(second, 0.1, 0.9)[0] >= 19
    assert second.spent() <= 2.25
