"""One handle for a model that the learner built in Keras or in PyTorch."""

import numpy as np

from regbook.arrays import to_numpy
from regbook.check import AnswerError
from regbook.pairs import set_weights, weights


class ModelHandle:
    """What the checks may do with a model: read and set its weights, predict, take one step.

    Weights are lists of NumPy arrays in the layout and order of `regbook.pairs.weights`.
    """

    def __init__(self, built):
        """Take a compiled Keras model, or a pair (PyTorch model, optimizer)."""
        self._optimizer = None
        if isinstance(built, (tuple, list)) and len(built) == 2:
            built, self._optimizer = built
        self._model = built
        self._torch = hasattr(built, "named_modules")
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

    def weights(self):
        """Return the weights as a list of arrays."""
        if not self._torch and not self._model.built:
            raise AnswerError("the Keras model has no weights yet: give it a keras.Input")
        return weights(self._model)

    def set_weights(self, arrays):
        """Replace all weights by `arrays`, in the order and layout of `weights`."""
        set_weights(self._model, arrays)

    def predict(self, x, training=False):
        """Return the outputs for x of shape (rows, inputs), in training or evaluation mode."""
        if not self._torch:
            return to_numpy(self._model(np.asarray(x, np.float32), training=training))
        self._model.train(training)
        return to_numpy(self._model(self._tensor(x)))

    def configuration(self):
        """Return a dict per layer, in order: its class name under "type", and its settings.

        Settings are the layer's own numbers, truths and texts: those of `get_config` in Keras,
        the public attributes in PyTorch.
        """
        if self._torch:
            layers = [m for m in self._model.modules() if not list(m.children())]
            settings = [vars(layer) for layer in layers]
        else:
            layers = self._model.layers
            settings = [layer.get_config() for layer in layers]
        return [
            {"type": type(layer).__name__}
            | {
                key: value
                for key, value in setting.items()
                if isinstance(value, bool | int | float | str) and not key.startswith("_")
            }
            for layer, setting in zip(layers, settings, strict=True)
        ]

    def train_step(self, x, y):
        """Take one optimizer step on the mean cross-entropy of x (rows, inputs), labels y."""
        if not self._torch:
            self._model.train_on_batch(np.asarray(x, np.float32), np.asarray(y))
            return
        import torch

        self._model.train()
        self._optimizer.zero_grad()
        torch.nn.functional.cross_entropy(self._model(self._tensor(x)), self._tensor(y)).backward()
        self._optimizer.step()
