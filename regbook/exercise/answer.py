"""The learner's function as the checks see it: arrays in, plain NumPy arrays or a model out."""

import ast
import copy
import inspect
import textwrap
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from regbook.arrays import to_numpy
from regbook.pairs import is_torch, set_weights, weights

DEPTH = 32  # levels of lists, tuples and dicts in an answer


class AnswerError(Exception):
    """An answer could not be checked; the message is a sentence for the learner."""


class NotAttempted(Exception):
    """The learner's function is still the empty stub."""


class Stopped(Exception):
    """The learner's function was stopped before it answered; the message says why."""


class Answer:
    """The learner's function as the checks see it: arrays in, plain NumPy arrays out.

    watched: whether to look for arguments that a call has changed in place; changed: the positions
    of those that were found.
    """

    _signature: inspect.Signature | None = None

    def __init__(self, function: Callable):
        self._function = function
        self.watched, self.changed = True, set[int]()

    def __call__(self, *arguments: Any) -> Any:
        """Call the learner's function on copies of `arguments`; return arrays or a tuple of them.

        Raises NotAttempted for the stub and AnswerError, with a sentence, for everything that
        keeps the answer from being an array: an exception, a wrong number of parameters, None.
        """
        return plain(self._call(arguments))

    def model(self, *arguments: Any) -> "ModelHandle":
        """Call the learner's function, which builds a model; return a `ModelHandle` on it."""
        return ModelHandle(self._call(arguments))

    def _call(self, arguments):
        if self._signature is None:
            self._signature = inspect.signature(self._function)
        try:
            self._signature.bind(*arguments)
        except TypeError as error:
            raise AnswerError(
                f"Your function is called with {len(arguments)} arguments, but takes "
                f"{self._signature}: keep the parameters of the exercise."
            ) from error
        given = copy.deepcopy(arguments)
        try:
            result = self._function(*given)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too
            raise self._fault(error) from error
        if result is None or result is Ellipsis:
            raise AnswerError("Your function returned nothing: is the `return` missing?")
        if self.watched:
            pairs = enumerate(zip(arguments, given, strict=True))
            self.changed |= {i for i, (before, after) in pairs if not _unchanged(before, after)}
        return result

    def _fault(self, error):
        """Return what to raise instead of an error of the learner's function."""
        if type(error) is NotImplementedError and not error.args:  # torch's has arguments
            if _is_stub(self._function):
                return NotAttempted()
            return AnswerError(
                "The line `raise NotImplementedError` still stands in your function: delete it."
            )
        if isinstance(error, ModuleNotFoundError):
            if _last_module(error.__traceback__).startswith("keras."):
                return AnswerError(
                    f"Keras is set to the backend {error.name}, which is not installed: restart "
                    "the kernel, and run `%env KERAS_BACKEND=tensorflow` before Keras is imported."
                )
            return AnswerError(
                f"Your function needs {error.name}: install it with `pip install {error.name}`."
            )
        if isinstance(error, RecursionError):
            return AnswerError(
                "Your function raised RecursionError: it calls itself, directly or through another "
                "function, and nothing ends that."
            )
        own = [*traceback.extract_tb(error.__traceback__)[1:], None]
        where = f" (at `{own[0].line}`)" if own[0] and own[0].line else ""
        return AnswerError(f"Your function raised {type(error).__name__}: {error}{where}")


def _last_module(trace):
    """Return the name of the module in which an exception was raised."""
    *_, (frame, _) = traceback.walk_tb(trace)
    return frame.f_globals.get("__name__", "")


def _is_stub(function):
    """Tell whether a function holds nothing but a docstring and the line that raises."""
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, TypeError, ValueError, SyntaxError):  # no source, or part of an expression
        return True
    body = getattr(definition, "body", [])
    return len(body[ast.get_docstring(definition) is not None :]) == 1 if body else True


def _unchanged(before, after):
    """Tell whether the numbers in an argument are what they were."""
    if isinstance(before, np.ndarray):
        numbers = before.dtype.kind in "fc"
        return np.array_equal(before, after, equal_nan=numbers)
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(_unchanged, before, after))
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(
            _unchanged(before[k], after[k]) for k in before
        )
    return True  # a number or a text cannot change, and a generator may


def plain(result: Any, depth: int = DEPTH) -> Any:
    """Turn a returned value into an array, or a tuple or dict of arrays when it holds several.

    A text stays a text. A tuple inside a tuple or a list is as good as a list there. depth: how
    many levels it may have. Raises AnswerError, with a sentence, for more, and for other values.
    """
    if not depth:
        raise AnswerError(f"Your function's answer is nested more than {DEPTH} levels deep.")
    if isinstance(result, str):
        return str(result)  # NumPy's own texts too
    if isinstance(result, zip | map):
        result = tuple(result)
    if isinstance(result, tuple):
        return tuple(_part(item, depth - 1) for item in result)
    if isinstance(result, dict):
        return {str(key): plain(item, depth - 1) for key, item in result.items()}
    try:
        return to_numpy(result)
    except TypeError as error:
        if isinstance(result, list):  # arrays of different shapes in a list
            return tuple(_part(item, depth - 1) for item in result)
        raise AnswerError(f"Your function's answer cannot be read: {error}.") from error


def _part(item, depth):
    return plain(list(item) if isinstance(item, tuple | zip | map) else item, depth)


class ModelHandle:
    """What the checks may do with a model: read and set its weights, predict, take one step.

    Weights are lists of NumPy arrays in the layout and order of `regbook.pairs.weights`.
    """

    def __init__(self, built: Any):
        """Take a compiled Keras model, or a pair (PyTorch model, optimizer)."""
        self._optimizer: Any = None
        if isinstance(built, (tuple, list)) and len(built) == 2:
            built, self._optimizer = built
        self._model = built
        self._torch = is_torch(built)
        if self._torch and not hasattr(self._optimizer, "step"):
            raise AnswerError("in PyTorch, return the pair (model, optimizer)")
        if not self._torch:
            if not hasattr(built, "train_on_batch"):
                raise AnswerError(
                    "return a compiled Keras model or the pair (model, optimizer) "
                    f"of PyTorch; yours is a {type(built).__name__}"
                )
            if not built.compiled:
                raise AnswerError("the Keras model is not compiled: call model.compile(...)")
            built.run_eagerly = True  # one step does not repay the tracing of a graph

    def _tensor(self, array):
        import torch

        array = np.asarray(array)
        return torch.as_tensor(array, dtype=torch.float32 if array.dtype.kind == "f" else None)

    def weights(self) -> list[np.ndarray]:
        """Return the weights as a list of arrays."""
        if not self._torch and not self._model.built:
            raise AnswerError("the Keras model has no weights yet: give it a keras.Input")
        return weights(self._model)

    def set_weights(self, arrays: Sequence[np.ndarray]) -> None:
        """Replace all weights by `arrays`, in the order and layout of `weights`."""
        set_weights(self._model, arrays)

    def predict(self, x: np.ndarray, training: bool | None = False) -> np.ndarray:
        """Return the outputs for x of shape (rows, inputs), in training or evaluation mode.

        training: None uses a PyTorch model as it was returned, with each module in its own mode;
        only one that is wholly in training mode, as a new one is, is put into evaluation mode
        first. A Keras model has no mode of its own: None is False.
        """
        if not self._torch:
            return to_numpy(self._model(np.asarray(x, np.float32), training=bool(training)))
        if training is not None:
            self._model.train(training)
        elif all(module.training for module in self._model.modules()):
            self._model.eval()
        return to_numpy(self._model(self._tensor(x)))

    def train_step(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take one optimizer step on the mean cross-entropy of x (rows, inputs), labels y."""
        if not self._torch:
            self._model.train_on_batch(np.asarray(x, np.float32), np.asarray(y))
            return
        import torch

        self._model.train()
        self._optimizer.zero_grad()
        torch.nn.functional.cross_entropy(self._model(self._tensor(x)), self._tensor(y)).backward()
        self._optimizer.step()
