"""What an answer shows beside what is expected, and the sentence for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from regbook.exercise.answer import AnswerError, plain

# Wide enough for float32 answers, far below the effect of any mistake.
RTOL, ATOL = 1e-3, 1e-5
SHOWN = 3  # entries or values in a cell of the table
TEXT_LIMIT = 500  # characters of it
NOT_FINITE = "The answer holds NaN or infinity: look for a division by zero or an overflow."


@dataclass(frozen=True)
class Outcome:
    """What one check found. mistake: its name, "form" or "error", or "" if none is known."""

    passed: bool
    expected: str
    received: str
    mistake: str = ""
    hint: str = ""


class Failed(Exception):
    """Ends a check, from anywhere in it, with an outcome that did not pass."""

    def __init__(self, expected: str, received: str, mistake: str = "", hint: str = ""):
        """Take what was expected and received, in words, and a mistake or a hint of its own."""
        super().__init__(expected, received)
        self.outcome = Outcome(False, expected, received, mistake, hint)


def judge(
    passed: bool | np.bool_,
    expected: str,
    received: str,
    mistakes: Mapping[str, Any] | None = None,
) -> Outcome:
    """Return the Outcome of a property that no single right value decides.

    passed: whether it holds. expected, received: in words. mistakes: whether each known mistake
    fits what was seen, by its name; the first that does names a failure.
    """
    fitting = (name for name, fits in (mistakes or {}).items() if fits)
    return Outcome(bool(passed), expected, received, "" if passed else next(fitting, ""))


def compare(received: Any, expected: Any, mistakes: Mapping[str, Any] | None = None) -> Outcome:
    """Compare an answer with what is expected; return an Outcome.

    received: from `ask(...)`. expected: a number, a text, an array, or a tuple or dict of them.
    mistakes: what each known mistake would have answered, by its name.
    Values may differ by 1e-3 of their size plus 1e-5, so float32 answers pass.
    """
    received = _arranged(received, expected)
    if matches(received, expected):
        return Outcome(True, brief(expected), brief(received))
    texts = _difference(received, expected)
    for name, value in (mistakes or {}).items():
        value = plain(value)
        if alike(received, value) and not alike(value, expected):
            return Outcome(False, *texts, name)
    fault = _form_fault(received, expected)
    return Outcome(False, *texts, "form" if fault else "", fault)


def alike(received: Any, expected: Any) -> bool:
    """Tell whether two plain values are equal, a tuple and an array of equal entries included."""
    return matches(_arranged(received, expected), expected)


def matches(received: Any, expected: Any) -> bool:
    """Tell whether two plain values are equal within the tolerance, in form and in numbers."""
    if isinstance(expected, str) or isinstance(received, str):
        return type(received) is type(expected) and received == expected
    if isinstance(expected, dict):
        return (
            isinstance(received, dict)
            and received.keys() == expected.keys()
            and all(matches(received[key], expected[key]) for key in expected)
        )
    if isinstance(expected, tuple):
        return (
            isinstance(received, tuple)
            and len(received) == len(expected)
            and all(map(matches, received, expected))
        )
    expected = np.asarray(expected)
    return (
        not isinstance(received, tuple | dict)
        and np.shape(received) == expected.shape
        and (
            np.array_equal(received, expected)  # five times as fast, and mostly enough
            or np.allclose(received, expected, rtol=RTOL, atol=ATOL, equal_nan=True)
        )
    )


def _arranged(received, expected):
    """Take a tuple for an array and an array for a tuple: each is as good as the other."""
    if isinstance(expected, dict) and isinstance(received, dict):
        return {
            key: _arranged(value, expected[key]) if key in expected else value
            for key, value in received.items()
        }
    if isinstance(expected, tuple):
        if isinstance(received, np.ndarray) and received.ndim and len(received) == len(expected):
            received = tuple(received)
        if isinstance(received, tuple) and len(received) == len(expected):
            return tuple(map(_arranged, received, expected))
    elif isinstance(received, tuple) and not isinstance(expected, str | dict):
        shapes = {getattr(item, "shape", None) for item in received}
        rows = all(shape is not None and len(shape) < np.ndim(expected) for shape in shapes)
        if rows and np.ndim(expected) and len(shapes) < 2:
            return np.array(received)
    return received


def _form_fault(received, expected):
    """Say in a sentence how the form of `received` (not its values) is wrong, or return ''."""
    if isinstance(expected, str) or isinstance(received, str):
        kinds = [isinstance(value, str) for value in (expected, received)]
        return "" if all(kinds) else f"Return {'a text' if kinds[0] else 'numbers, not a text'}."
    if isinstance(expected, dict) or isinstance(received, dict):
        return _dict_fault(received, expected)
    if isinstance(expected, tuple):
        if not isinstance(received, tuple) or len(received) != len(expected):
            got = f"{len(received)}" if isinstance(received, tuple) else "one"
            return (
                f"Return {len(expected)} values in the order of the exercise; yours returns {got}."
            )
        faults = map(_form_fault, received, expected)
        return next((f"Value {i}: {f}" for i, f in enumerate(faults, start=1) if f), "")
    if isinstance(received, tuple):
        return _tuple_fault(received, expected)
    if np.shape(received) != np.shape(expected):
        if np.ndim(expected) == 0:
            return f"Return one number; yours is an array of shape {np.shape(received)}."
        return f"The shape must be {np.shape(expected)}; yours is {np.shape(received)}."
    return NOT_FINITE if (~np.isfinite(received) & np.isfinite(expected)).any() else ""


def _tuple_fault(received, expected):
    """Say what is wrong with a tuple that is not the one array or number that is expected."""
    if np.ndim(expected):
        number = len(received)
        return f"Return one array of shape {np.shape(expected)}; yours returns {number} values."
    if len(received) == 1:
        return "Return the number itself; a comma after it makes a tuple of it."
    return f"Return one number; yours returns {len(received)} values."


def _dict_fault(received, expected):
    if not isinstance(expected, dict):
        return "Return the values themselves; yours are in a dict."
    if not isinstance(received, dict) or received.keys() != expected.keys():
        return f"Return a dict with the keys {', '.join(expected)}."
    faults = ((key, _form_fault(received[key], expected[key])) for key in expected)
    return next((f"{key}: {fault}" for key, fault in faults if fault), "")


def outputs(received: Any, *shapes: int | tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Return an answer as a tuple of arrays of these shapes, for a check that computes with it.

    Raises AnswerError, with a sentence, for another number of values, another shape, or NaN.
    """
    expected = tuple(np.zeros(shape) for shape in shapes)
    if len(shapes) == 1:
        received = _arranged(received, expected[0])
        received = received if isinstance(received, tuple) and len(received) == 1 else (received,)
    received = _arranged(received, expected)
    fault = _form_fault(received, expected)
    if fault:
        raise AnswerError(fault)
    return received


# --- in words ----------------------------------------------------------------------------------


def brief(value: Any, digits: int = 4) -> str:
    """Describe a number, a text, an array, or a tuple or dict of them in one short line."""
    if isinstance(value, str):
        return repr(value[:60])
    if isinstance(value, dict):
        return _listed((f"{_name(k)}: {brief(item, digits)}" for k, item in value.items()), value)
    if isinstance(value, tuple):
        return _listed((brief(item, digits) for item in value), value) or "no values"
    value = np.asarray(value)
    if value.ndim == 0:
        return _number(value, digits)
    numbers = ", ".join(_number(v, digits) for v in value.ravel()[:SHOWN])
    return f"[{numbers}{', ...' if value.size > SHOWN else ''}] of shape {value.shape}"


def _name(key):
    """Return the key of a dict, which a submission may have chosen, as text that can be printed."""
    return key if key.isprintable() else repr(key)


def _listed(texts, values):
    shown = [text for text, _ in zip(texts, range(SHOWN), strict=False)]
    text = "; ".join([*shown, "..."] if len(values) > SHOWN else shown)
    return text if len(text) <= TEXT_LIMIT else f"{text[: TEXT_LIMIT - 3]}..."


def _number(value, digits):
    return f"{value.item():.{digits}g}" if value.dtype.kind == "f" else str(value.item())


def _difference(received: Any, expected: Any) -> tuple[str, str]:
    """Describe both, at the first place where they differ, so that the texts differ too."""
    for digits in (4, 6, 9, 17):
        texts = _first_difference(received, expected, digits)
        if texts[0] != texts[1]:
            break
    return texts[0][:TEXT_LIMIT], texts[1][:TEXT_LIMIT]


def _first_difference(received, expected, digits):
    """Return (expected, received) in words: the first value, and the first entries, that differ."""
    ours, theirs = _by_name(expected), _by_name(received)
    if ours and ours.keys() == theirs.keys():
        name = next(name for name in ours if not matches(theirs[name], ours[name]))
        texts = _first_difference(theirs[name], ours[name], digits)
        return tuple(f"{_name(name)}: {text}" for text in texts)
    pair = expected, received
    numbers = not any(isinstance(value, str | tuple | dict) for value in pair)
    if not numbers or np.ndim(expected) == 0 or np.shape(expected) != np.shape(received):
        return brief(expected, digits), brief(received, digits)
    close = np.isclose(received, expected, rtol=RTOL, atol=ATOL, equal_nan=True)
    differ = np.argwhere(~close)[:SHOWN]
    return tuple(
        ", ".join(f"{index.tolist()}: {_number(array[tuple(index)], digits)}" for index in differ)
        for array in map(np.asarray, pair)
    )


def _by_name(value):
    """Return the values of a dict or a tuple by their names, and of anything else none."""
    if isinstance(value, tuple):
        return {f"value {i}": item for i, item in enumerate(value, start=1)}
    return value if isinstance(value, dict) else {}


# --- random numbers ----------------------------------------------------------------------------


def fresh_generator(rng: np.random.Generator) -> np.random.Generator:
    """Return a new generator for one call of an answer, which gets a copy of what it is given."""
    return np.random.default_rng(rng.integers(2**32))


def follows_seed(
    draw: Callable[[int], Any],
    rng: np.random.Generator,
    *,
    fixed: str,
    unseeded: str,
    seeds: int = 3,
) -> Outcome:
    """Judge that equal seeds give equal results, and that some seed gives another result.

    draw: a function of an integer seed that asks the answer and returns arrays. fixed: the name of
    the mistake whose result never changes; unseeded: of the one whose equal seeds differ.
    seeds: how many to draw; more where two seeds may well give the same result.
    """
    numbers = [int(number) for number in rng.integers(2**31, size=seeds)]
    first, again = ([plain(draw(number)) for number in numbers] for _ in range(2))
    unfit = next((saw for saw in (*first, *again) if not _finite(saw)), None)
    if unfit is not None:
        return Outcome(False, "numbers", brief(unfit), "form", NOT_FINITE)
    if not all(map(_identical, first, again)):
        return judge(False, "the same for equal seeds", "different", {unseeded: True})
    if all(_identical(first[0], other) for other in first[1:]):
        return judge(False, "another for another seed", "always the same", {fixed: True})
    return judge(True, "results that follow the seed", "results that follow the seed")


def _finite(value):
    if isinstance(value, tuple | dict):
        return all(map(_finite, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) or np.isfinite(value).all()


def _identical(one, other):
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_identical, one, other))
    return np.array_equal(one, other)
