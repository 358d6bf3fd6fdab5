"""The submissions of `benchmarks/grading.py`: three questions, answered in many styles.

A submission is made from right answers, plausible mistakes, empty stubs and answers that raise, so
the score that it deserves is known. Nothing here is random: every run grades the same notebooks.
"""

import itertools
import textwrap
from dataclasses import dataclass

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

NAME = "three"  # of the notebook

QUESTIONS = {
    "l2_penalty": (
        "weights, lam",
        "Return lam times the sum of the squares of all entries, in NumPy.",
    ),
    "inverted_dropout": (
        "x, rate",
        "Return x with entries dropped at this rate and the others rescaled, in PyTorch.",
    ),
    "batch_norm": (
        "x, gamma, beta, eps",
        "Return the batch normalized in training mode, scaled and shifted, in Keras ops.",
    ),
}

# The same properties as `grading_checks/three_questions.py`, for the graders that run tests.
TESTS = {
    "l2_penalty": """
import numpy as np

rng = np.random.default_rng()
weights, lam = [rng.normal(size=(3, 4)), rng.normal(size=(4, 2))], rng.uniform(0.1, 0.4)
expected = lam * sum((w**2).sum() for w in weights)
np.testing.assert_allclose(float(l2_penalty(weights, lam)), expected, rtol=1e-3, atol=1e-5)
weights = [rng.normal(size=5), rng.normal(size=(2, 3, 2))]
single, double = (float(l2_penalty([c * w for w in weights], 0.3)) for c in (1, 2))
assert single > 0
np.testing.assert_allclose(double, 4 * single, rtol=1e-3, atol=1e-5)
""",
    "inverted_dropout": """
import numpy as np

rng = np.random.default_rng()
for _ in range(3):
    x, rate = rng.uniform(1, 2, size=(64, 64)), rng.uniform(0.2, 0.35)
    y = np.asarray(inverted_dropout(x, rate))
    assert y.shape == x.shape
    np.testing.assert_allclose(y, x * (y != 0) / (1 - rate), rtol=1e-3, atol=1e-5)
    assert abs((y == 0).mean() - rate) < 0.05
    for axis in (0, 1):
        shares = (y == 0).mean(axis=axis)
        assert (shares > 0).all() and (shares < 1).all()
""",
    "batch_norm": """
import numpy as np

rng = np.random.default_rng()
for _ in range(2):
    x = rng.normal(rng.uniform(-3, 3, 3), rng.uniform(1, 2, 3), size=(5, 3))
    gamma, beta = rng.uniform(0.5, 2, 3), rng.uniform(1, 3, 3)
    expected = gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 0.3) + beta
    y = np.asarray(batch_norm(x, gamma, beta, 0.3))
    assert y.shape == x.shape
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(y.mean(axis=0), beta, rtol=1e-3, atol=1e-5)
""",
}

# The body of the function, or the whole cell when it needs more than that.
RIGHT = {
    "l2_penalty": [
        "return lam * sum((w**2).sum() for w in weights)",
        "total = 0.0\nfor w in weights:\n    for entry in np.ravel(w):\n"
        "        total += entry * entry\nreturn lam * total",
        "return np.float32(lam) * sum(np.square(w.astype(np.float32)).sum() for w in weights)",
        "return lam * sum(np.vdot(w, w) for w in weights)",
        "def squares(array):\n    return np.power(array, 2).sum()\n\n\n"
        "def l2_penalty(weights, lam):\n    return lam * sum(map(squares, weights))",
        "return lam * np.linalg.norm(np.concatenate([w.ravel() for w in weights])) ** 2",
        "return lam * sum(torch.as_tensor(w).pow(2).sum() for w in weights)",
        "return lam * sum(ops.sum(ops.square(ops.convert_to_tensor(w))) for w in weights)",
        "l2_penalty = lambda weights, lam: lam * sum(np.einsum('i,i', v, v) for v in map(np.ravel, "
        "weights))",
    ],
    "inverted_dropout": [
        "x = torch.as_tensor(x)\nmask = torch.rand(x.shape) >= rate\nreturn x * mask / (1 - rate)",
        "x = torch.as_tensor(x, dtype=torch.float32)\n"
        "mask = torch.bernoulli(torch.full_like(x, 1 - rate))\nreturn x * mask / (1 - rate)",
        "return F.dropout(torch.as_tensor(x), p=rate, training=True)",
        "layer = torch.nn.Dropout(rate)\nlayer.train()\nreturn layer(torch.as_tensor(x))",
        "def draw_mask(shape, keep):\n    return (torch.rand(shape) < keep).double()\n\n\n"
        "def inverted_dropout(x, rate):\n    keep = 1 - rate\n"
        "    return torch.from_numpy(x) * draw_mask(x.shape, keep) / keep",
        "torch.manual_seed(7)\nx = torch.tensor(x)\n"
        "return torch.where(torch.rand_like(x) < rate, torch.zeros_like(x), x / (1 - rate))",
        "rows = []\nfor row in torch.as_tensor(x):\n"
        "    rows.append(row * (torch.rand(len(row)) >= rate))\n"
        "return torch.stack(rows) / (1 - rate)",
        "mask = np.random.default_rng().random(x.shape) >= rate\nreturn x * mask / (1 - rate)",
    ],
    "batch_norm": [
        "x = ops.convert_to_tensor(x)\nmean, variance = ops.moments(x, axes=0)\n"
        "return gamma * (x - mean) / ops.sqrt(variance + eps) + beta",
        "x = ops.convert_to_tensor(x, dtype='float32')\nmean = ops.mean(x, axis=0)\n"
        "variance = ops.mean(ops.square(x - mean), axis=0)\n"
        "x_hat = (x - mean) / ops.sqrt(variance + eps)\n"
        "return ops.cast(gamma, 'float32') * x_hat + ops.cast(beta, 'float32')",
        "x_hat = ops.subtract(x, ops.mean(x, axis=0)) / ops.sqrt(ops.var(x, axis=0) + eps)\n"
        "return ops.add(ops.multiply(gamma, x_hat), beta)",
        "x, gamma, beta = map(ops.convert_to_tensor, (x, gamma, beta))\n"
        "mean, variance = ops.moments(x, axes=0)\n"
        "return ops.batch_normalization(\n"
        "    x, mean, variance, axis=-1, offset=beta, scale=gamma, epsilon=eps\n)",
        "def standardize(x, eps):\n    mean = ops.mean(x, axis=0, keepdims=True)\n"
        "    return (x - mean) * ops.rsqrt(ops.var(x, axis=0, keepdims=True) + eps)\n\n\n"
        "def batch_norm(x, gamma, beta, eps):\n"
        "    return standardize(ops.convert_to_tensor(x), eps) * gamma + beta",
        "layer = keras.layers.BatchNormalization(epsilon=eps)\nlayer.build(x.shape)\n"
        "layer.gamma.assign(gamma)\nlayer.beta.assign(beta)\nreturn layer(x, training=True)",
        "columns = []\nfor j in range(x.shape[1]):\n    column = x[:, j]\n"
        "    centred = column - column.mean()\n"
        "    columns.append(gamma[j] * centred / np.sqrt((centred**2).mean() + eps) + beta[j])\n"
        "return np.stack(columns, axis=1)",
        "x, gamma, beta = (torch.as_tensor(a) for a in (x, gamma, beta))\n"
        "return F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)",
    ],
}

WRONG = {
    "l2_penalty": [
        "return lam * np.sqrt(sum((w**2).sum() for w in weights))",
        "return lam / 2 * sum((w**2).sum() for w in weights)",
        "return lam * sum(np.abs(w).sum() for w in weights)",
        "return lam * sum((w**2).mean() for w in weights)",
        "for w in weights:\n    return lam * (w**2).sum()",
    ],
    "inverted_dropout": [
        "x = torch.as_tensor(x)\nreturn x * (torch.rand(x.shape) >= rate)",
        "x = torch.as_tensor(x)\nmask = torch.rand(x.shape[1]) >= rate  # for the whole batch\n"
        "return x * mask / (1 - rate)",
        "x = torch.as_tensor(x)\nmask = torch.rand(x.shape) < rate\nreturn x * mask / rate",
        "return F.dropout(torch.as_tensor(x), p=rate, training=False)",
        "x = torch.as_tensor(x)\nreturn x * (torch.rand(x.shape) >= rate) * (1 - rate)",
    ],
    "batch_norm": [
        "mean = ops.mean(x, axis=0)\n"
        "variance = ops.sum(ops.square(x - mean), axis=0) / (x.shape[0] - 1)\n"
        "return gamma * (x - mean) / ops.sqrt(variance + eps) + beta",
        "mean, variance = ops.moments(ops.convert_to_tensor(x), axes=0)\n"
        "return gamma * (x - mean) / (ops.sqrt(variance) + eps) + beta",
        "x = ops.convert_to_tensor(x)\n"
        "return gamma * (x - ops.mean(x, axis=0)) / (ops.var(x, axis=0) + eps) + beta",
        "x = ops.convert_to_tensor(x)\nmean = ops.mean(x, axis=1, keepdims=True)\n"
        "variance = ops.var(x, axis=1, keepdims=True)\n"
        "return gamma * (x - mean) / ops.sqrt(variance + eps) + beta",
        "x_hat = (x - ops.mean(x, axis=0)) / ops.sqrt(ops.var(x, axis=0) + eps)\n"
        "return gamma * x_hat",
    ],
}

STUB = {name: ["# YOUR CODE HERE\nraise NotImplementedError"] for name in QUESTIONS}
RAISES = {
    "l2_penalty": ["return lam * sum(w.square().sum() for w in weights)"],
    "inverted_dropout": ["return torch.nn.Dropot(rate)(torch.as_tensor(x))"],
    "batch_norm": [
        "mean = ops.mean(x, axis=0)\nreturn gamma * (x - mean) / sqrt(var + eps) + beta"
    ],
}
ANSWERS = {"r": RIGHT, "w": WRONG, "s": STUB, "e": RAISES}

# One letter for each question. The next 16 submissions turn the letters round.
PATTERN = [
    "rrr", "rwr", "rrr", "wrr", "rrr", "rrw", "rrr", "wwr",
    "rrs", "rrr", "www", "rrr", "err", "rrr", "rww", "rss",
]  # fmt: skip
SCRATCH = [
    "print(l2_penalty([np.ones((2, 2)), np.zeros(3)], 0.1))",
    "print(inverted_dropout(np.ones((2, 4)), 0.5))",
    "plot_penalties(history)  # to do: where did this function go?",
]


@dataclass(frozen=True)
class MadeSubmission:
    """answers: the source of each cell, by the name of its function. deserved: how many are right.

    notes: Markdown cells, and scratch: code cells, that the learner added below the answers.
    above: lines at the top of the first code cell. before: code cells in front of the answers.
    arrived: the share of the file that was handed in. ending: of the file's name.
    """

    student: str
    answers: dict
    right: frozenset
    notes: tuple = ()
    scratch: tuple = ()
    above: str = ""
    before: tuple = ()
    arrived: float = 1
    ending: str = ".ipynb"

    @property
    def deserved(self):
        """The number of right answers."""
        return len(self.right)


def as_cell(name, source):
    """Return the source of an answer's cell: the function around a body, or the cell as it is."""
    parameters, doc = QUESTIONS[name]
    if f"def {name}(" in source or f"{name} =" in source:
        return source
    return f'def {name}({parameters}):\n    """{doc}"""\n{textwrap.indent(source, "    ")}'


def submissions(count=64):
    """Return the first submissions, 64 at most."""
    stock = {
        (letter, name): itertools.cycle(sources)
        for letter, pool in ANSWERS.items()
        for name, sources in pool.items()
    }
    made = []
    for i in range(min(count, 64)):
        turn, letters = i // len(PATTERN), PATTERN[i % len(PATTERN)]
        letters = letters[turn % 3 :] + letters[: turn % 3]
        if turn == 3 and "ss" in letters:
            letters = "sss"
        chosen = dict(zip(QUESTIONS, letters, strict=True))
        answers = {n: as_cell(n, next(stock[letter, n])) for n, letter in chosen.items()}
        made.append(
            MadeSubmission(
                f"student-{i + 1:02}",
                answers,
                frozenset(name for name, letter in chosen.items() if letter == "r"),
                ("A note to myself: check the shapes.",) * (i % 5 // 2),  # none, one or twice
                tuple(SCRATCH[i // 4 % 3 :][:1]) if i % 4 == 3 else (),
            )
        )
    return made


def template(grader):
    """Return the notebook with the solutions, in the form that a grader asks its teachers for.

    grader: "regbook", "nbgrader" or "otter". nbgrader's markers stand around each solution.
    """
    start = "import keras\nimport numpy as np\nimport torch\nimport torch.nn.functional as F\n"
    start += "from keras import ops\n"
    after = {name: f"check({name})" for name in QUESTIONS}
    if grader == "regbook":
        start += "\nfrom regbook.check import exercises\n\n"
        start += 'check, progress = exercises("00_three_questions")\n'
    elif grader == "otter":
        start += "\nimport otter\n\ngrader = otter.Notebook()\n"
        after = {name: f'grader.check("{name}")' for name in QUESTIONS}
    cells = [new_markdown_cell("# Three questions"), new_code_cell(start)]
    for name, (_, doc) in QUESTIONS.items():
        solution = f"### BEGIN SOLUTION\n{RIGHT[name][0]}\n### END SOLUTION"
        cell = new_code_cell(as_cell(name, solution))
        cell.metadata["nbgrader"] = _metadata(name, solution=True)
        test = new_code_cell(after[name])
        if grader == "nbgrader":
            test = new_code_cell(TESTS[name].strip())
            test.metadata["nbgrader"] = _metadata(f"test_{name}", solution=False)
        cells += [new_markdown_cell(f"## {name}\n\n{doc}"), cell, test]
    notebook = new_notebook(cells=cells)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3", "language": "python", "name": "python3",
    }  # fmt: skip
    return notebook


def _metadata(grade_id, solution):
    points = {} if solution else {"points": 1}
    return {
        "grade": not solution, "grade_id": grade_id, "locked": not solution,
        "schema_version": 3, "solution": solution, "task": False, **points,
    }  # fmt: skip


def handed_in(released, submission):
    """Return a submission as the text of a notebook, or the part of it that arrived.

    released: the learner's notebook of a grader; its answers are replaced, cells are added.
    """
    notebook = nbformat.from_dict(released)
    cells = []
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source = submission.above + "".join(first.source)  # a list of lines, where read raw
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        if grade_id in submission.answers:
            cell.source = submission.answers[grade_id]
        cells.append(cell)
    extra = [new_markdown_cell(f"Handed in by {submission.student}.")]
    extra += [new_markdown_cell(note) for note in submission.notes]
    extra += [new_code_cell(source) for source in submission.scratch]
    before = [new_code_cell(source) for source in submission.before]
    for number, cell in enumerate([*extra, *before]):
        cell.id = f"extra-{number}"
    start = cells.index(first) + 1
    notebook.cells = cells[:start] + before + cells[start:] + extra
    text = nbformat.writes(notebook)
    return text[: int(submission.arrived * len(text))]


def otter_test(name):
    """Return otter's test file of a question: one test case, one point."""
    body = textwrap.indent(TESTS[name].strip(), "    ")
    return (
        "from otter.test_files import test_case\n\nOK_FORMAT = False\n"
        f'name = "{name}"\npoints = 1\n\n\n'
        f"@test_case(points=1)\ndef test({name}):\n{body}\n"
    )
