"""The helper module of "Regularization, Side by Side".

It holds the plumbing of the lessons and never the idea that a lesson teaches:

- `regbook.data`: bundled data sets, splits and generators with a known Bayes error
- `regbook.pairs`: the same weights and batches for a Keras model and its PyTorch twin
- `regbook.sweep`: one comparison repeated over seeds
- `regbook.calibration`: how well predicted probabilities fit the outcomes
- `regbook.compare`: a fair comparison, in which every method is tuned with one budget
- `regbook.claims`: paired intervals, and statements that fail the build when they are false
- `regbook.verdicts`, `regbook.margins`: what an interval says about a question, and from which size
  on a difference matters
- `regbook.figures`: one look, one colour per method
- `regbook.resnet`: the residual networks of chapter 20, in both libraries
- `regbook.cifar10`: a command that trains one of them on real images
- `regbook.check`: instant feedback on an exercise
- `regbook.notebooks`: the learner's notebooks, derived from the solutions
- `regbook.grading`: the same checks for a class, on submissions that are not trusted

Importing it, or any of its modules, imports neither PyTorch nor TensorFlow. It asks TensorFlow
to print errors of its C++ library only when they are fatal: on a machine without a GPU the first
operation otherwise reports that it found none.
"""

import importlib.util
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def require(*packages: str) -> None:
    """Check that the packages of a page are installed, without importing them.

    Raises ModuleNotFoundError with the command that installs those that are missing.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"This page needs {' and '.join(missing)}: run `%pip install {' '.join(missing)}`, "
            "then restart the kernel."
        )
