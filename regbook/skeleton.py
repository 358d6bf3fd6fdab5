"""The texts of a new chapter: pages that run, with a small example in every place."""

from typing import NamedTuple

import nbformat

from regbook.notebooks import CHECKED, tidy, to_text

FOLDED = "hide-input"


class Cell(NamedTuple):
    """A code cell: its source, its tags, and what describes and names the figure that it draws."""

    source: str
    tags: tuple[str, ...] = ()
    alt: str = ""
    figure: str = ""
    caption: str = ""


BOX = """:::{admonition} In this lesson
:class: tip
- **You will be able to** ...
- **You need first** ...
- **Time**: {sub-ref}`wordcount-minutes` minutes to read, {running-time}`.` to run on two CPU cores.
:::"""

DATA = """from regbook import data

digits, labels = data.load("mnist_5k")
s = data.split(digits, labels, train=500, dev=1000, test=2000, seed=0)
x_train, y_train, x_dev, y_dev = s.x_train, s.y_train, s.x_dev, s.y_dev
x_test, y_test = s.x_test, s.y_test"""

IN_KERAS = """import keras
import matplotlib.pyplot as plt
import tensorflow as tf

keras.utils.set_random_seed(0)
keras_net = keras.Sequential(
    [
        keras.Input((28, 28)),
        keras.layers.Flatten(),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(10),
    ]
)
keras_net.compile(
    optimizer=keras.optimizers.Adam(0.003),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
rows = tf.data.Dataset.from_tensor_slices((x_train, y_train))
history = keras_net.fit(
    rows.shuffle(500, seed=0).batch(50),
    validation_data=(x_dev, y_dev),
    epochs=10,
    verbose=0,
).history
loss, accuracy = keras_net.evaluate(x_test, y_test, verbose=0)
print(f"test accuracy: {100 * accuracy:.1f} %")

fig, ax = plt.subplots(figsize=(5, 2.5))
ax.plot(range(1, 11), history["loss"], label="train")
ax.plot(range(1, 11), history["val_loss"], label="dev")
ax.set(xlabel="epoch (number)", ylabel="cross-entropy (nats)")
ax.legend();"""

IN_TORCH = """import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
torch_net = nn.Sequential(
    nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10)
)
optimizer = torch.optim.Adam(torch_net.parameters(), lr=0.003)
cross_entropy = nn.CrossEntropyLoss()
train, dev, test = (
    TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    for x, y in ((x_train, y_train), (x_dev, y_dev), (x_test, y_test))
)


def evaluate(rows):
    torch_net.eval()
    x, y = rows.tensors
    with torch.no_grad():
        logits = torch_net(x)
    accuracy = (logits.argmax(dim=1) == y).float().mean()
    return cross_entropy(logits, y).item(), accuracy.item()


history = {"loss": [], "val_loss": []}
for _ in range(10):
    torch_net.train()
    losses = []
    for x, y in DataLoader(train, batch_size=50, shuffle=True):
        loss = cross_entropy(torch_net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    history["loss"].append(sum(losses) / len(losses))
    history["val_loss"].append(evaluate(dev)[0])
print(f"test accuracy: {100 * evaluate(test)[1]:.1f} %")

fig, ax = plt.subplots(figsize=(5, 2.5))
ax.plot(range(1, 11), history["loss"], label="train")
ax.plot(range(1, 11), history["val_loss"], label="dev")
ax.set(xlabel="epoch (number)", ylabel="cross-entropy (nats)")
ax.legend();"""

PROOF = """from itertools import islice

from regbook.pairs import agree, batches, copy_weights

keras_twin = keras.models.clone_model(keras_net)  # with new weights
keras_twin.compile(
    keras.optimizers.SGD(0.1),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
)
copy_weights(keras_twin, torch_net)
optimizer = torch.optim.SGD(torch_net.parameters(), lr=0.1)
torch_net.train()
for batch in islice(batches(500, 50, epochs=2), 20):
    keras_twin.train_on_batch(x_train[batch], y_train[batch])
    x, y = torch.from_numpy(x_train[batch]), torch.from_numpy(y_train[batch])
    optimizer.zero_grad()
    cross_entropy(torch_net(x), y).backward()
    optimizer.step()
agree(keras=keras_twin, torch=torch_net, tol=1e-5, what="weights after 20 steps")"""

EXPERIMENT = """from regbook import figures
from regbook.claims import paired
from regbook.sweep import sweep, train_seeds
from regbook.verdicts import verdict

splits = data.split_seeds(digits, labels, seeds=10, train=500, dev=1000, test=2000)


def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


def measure(epochs):
    runs = train_seeds(
        build,
        lambda net, x, y: cross_entropy(net(x), y),
        splits.x_train,
        splits.y_train,
        optimizer=lambda named: torch.optim.Adam([p for _, p in named], lr=0.003),
        epochs=epochs,
        batch_size=50,
    )
    return {"test": runs.accuracy(splits.x_test, splits.y_test)}


results = sweep(measure, {"one epoch": {"epochs": 1}, "ten epochs": {"epochs": 10}})
effect = paired(results, "test", "ten epochs", "one epoch", "fresh splits")

fig, ax = plt.subplots(figsize=(6, 1.6))
figures.forest(ax, {"ten epochs": effect}, "points of test accuracy")"""

LESSON_VERDICT = 'verdict("Ten epochs against one", effect, expect="helps")'

PREDICTION = """:::{admonition} Predict before you run
What does the question ask?
:::

:::{dropdown} Answer
What the experiment shows, and why.
:::"""

QUESTIONS = """## Check yourself

**1.** What does {numref}`fig-FIGURE` show?

:::{dropdown} Answer
What is to be seen.
:::

**2.** Which of the two would you choose?

- (a) The first.
- (b) The second.

:::{dropdown} Answer
(b), because ... (a) would ...
:::

**3.** What goes wrong when ...?

:::{dropdown} Answer
Why, and what to do instead.
:::"""

LAB_QUESTION = "A penalty on the squared weights against the plain network, both tuned"

LAB_MEASURE = """import torch
import torch.nn.functional as F
from torch import nn

from regbook import data, figures
from regbook.compare import trained, tuned
from regbook.verdicts import verdict

torch.set_num_threads(1)
figures.use_style()
digits, labels = data.load("mnist_5k")
small = digits[:, ::2, ::2]
splits = data.split_seeds(
    small, labels, seeds=13, train=300, dev=500, test=1000
)  # 10 fresh ones, and 3 to tune on


def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(196, 32), nn.ReLU(), nn.Linear(32, 10))


def penalised(net, x, y, strength):
    squares = sum((p**2).sum() for p in net.parameters())
    return F.cross_entropy(net(x), y) + strength * squares


rates = [0.001, 0.002, 0.004, 0.008, 0.012, 0.016, 0.024, 0.032, 0.048, 0.064]
comparison = tuned(
    trained(build, penalised, splits, epochs=20, batch_size=50),
    {
        "none": {"rate": [*rates, 0.096, 0.128]},
        "L2": {"rate": [0.002, 0.008, 0.032, 0.128], "strength": [0, 0.0003, 0.003]},
    },
    replicates="fresh splits",
)
comparison"""

LAB_VERDICT = f"""verdict(
    "{LAB_QUESTION}",
    comparison.versus("none")["L2"],
    expect="no difference",
)"""

CHECKS = '''"""Checks of chapter {number}, {lower}."""

import numpy as np

from regbook.exercise import Chapter

chapter = Chapter("{slug}")


# --- name_of_the_function ------------------------------------------------------------------------


def _name_of_the_function(x):
    """Return the right answer."""
    return np.maximum(x, 0)


name_of_the_function = chapter.exercise(
    "name_of_the_function",
    _name_of_the_function,
    mistakes={{
        "a-short-name": lambda x: x,
        "other-sign": lambda x: np.minimum(x, 0),
        "size": np.abs,
        "one-for-positive": lambda x: np.where(x > 0, 1.0, 0.0),
        "half": lambda x: np.maximum(x, 0) / 2,
    }},
    hints={{
        "a-short-name": "What went wrong, and what to do instead.",
        "other-sign": "You keep the negative entries: keep the positive ones.",
        "size": "You turn negative entries around: put 0 in their place.",
        "one-for-positive": "You say which entries are positive: return the entries.",
        "half": "You halve the positive entries: leave them as they are.",
    }},
)


@name_of_the_function.check(hint="Shown when no mistake fits.", more="The stronger hint.")
def has_a_property(ask, rng):
    """is what the learner reads in the table"""
    return ask(rng.normal(size=(3, 2)))
'''

ANSWERS = '''"""Right and wrong answers to the exercises of chapter {number} that differ in form.

A wrong answer is a pair: the name of its mistake, and the function. Those that the checks know as
mistakes are tested too, and need no entry here.
"""

import numpy as np

RIGHT = {{
    "name_of_the_function": [
        lambda x: np.maximum(x, 0).astype(np.float32),
        lambda x: [[max(entry, 0) for entry in row] for row in x],
    ],
}}

WRONG = {{}}
'''

PAIRS = '''"""The conversion rules of the lesson on {lower}, proved in float64."""

import keras
import numpy as np
import pytest
import torch
from torch import nn

from regbook.pairs import copy_weights, largest_difference

RNG = np.random.default_rng(0)

pytestmark = pytest.mark.usefixtures("float64")


def test_a_dense_layer_is_a_linear_one():
    x = RNG.normal(size=(5, 4))
    keras_net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    torch_net = nn.Sequential(nn.Linear(4, 3)).double()
    copy_weights(keras_net, torch_net)
    outputs = torch_net(torch.from_numpy(x)).detach()
    assert largest_difference(keras_net(x), outputs) < 1e-12
'''


def pages(install: nbformat.NotebookNode, slug: str, title: str) -> dict[str, str]:
    """Return the texts of a chapter's lesson, laboratory and solution by their names.

    install: the first code cell of every notebook. slug, title: of the chapter.
    """
    number, _, topic = slug.partition("_")
    return {
        "lesson": _lesson(install, number, title, "fig-" + topic.replace("_", "-")),
        "laboratory": _laboratory(install, title),
        "solution": _solution(install, slug, title),
    }


def modules(slug: str, title: str) -> dict[str, str]:
    """Return the texts of a chapter's checks, its bank of answers and its tests of the pairs."""
    names = {"number": slug[:2], "slug": slug, "lower": title.lower()}
    texts = {"checks": CHECKS, "answers": ANSWERS, "pairs": PAIRS}
    return {name: text.format(**names) for name, text in texts.items()}


def _lesson(install, number, title, figure):
    curve = "Cross-entropy against epoch: the train and the dev loss both fall."
    rows = "Test accuracy: one row, ten epochs minus one, with its interval right of zero."
    caption = f"Ten epochs of chapter {number} against one: the interval lies right of zero."
    return _notebook(
        install,
        f"# {title}\n\n{BOX}",
        "## Motivation\n\n...",
        "## Definition\n\n...",
        "## In Keras and PyTorch\n\nThe data as plain arrays:",
        Cell(DATA),
        "The whole run, as each library's own guide writes it:",
        Cell(IN_KERAS, ("keras", "central-pair", "remove-stderr"), curve),
        Cell(IN_TORCH, ("torch", "central-pair"), curve),
        "The same network, from copied weights and on shared batches, gives the same numbers:",
        Cell(PROOF, (CHECKED, FOLDED)),
        f"## Experiment\n\n{PREDICTION}",
        Cell(EXPERIMENT, (FOLDED,), rows, figure, caption),
        Cell(LESSON_VERDICT, (CHECKED, FOLDED)),
        "The rest of what was measured is in the [laboratory](laboratory.ipynb).",
        *(f"## {section}\n\n..." for section in ("What goes wrong", "When not to use it")),
        "## Summary\n\n- ...",
        QUESTIONS.replace("fig-FIGURE", figure),
        "## Exercises\n\n[The exercises](exercises.ipynb) ask you to ...",
        "## References\n\n...",
    )


def _laboratory(install, title):
    anchor = "is-it-worth-it"
    table = (
        "| Question | Verdict | Section |\n|---|---|---|\n"
        f"| {LAB_QUESTION} | {{verdict}}`.: {LAB_QUESTION}` | [Is it worth it?](#{anchor}) |"
    )
    lab = nbformat.from_dict({**install, "source": install.source.partition("regbook.require")[0]})
    lab.source += 'regbook.require("torch")'
    return _notebook(
        lab,
        f"# {title}: laboratory\n\nThe evidence behind [the lesson](lesson.ipynb).\n\n{table}",
        "## Is it worth it?\n\nWhat is compared, and how.",
        Cell(LAB_MEASURE, (FOLDED,)),
        Cell(LAB_VERDICT, (CHECKED, FOLDED)),
        "What the verdict means.",
    )


def _solution(install, slug, title):
    function = (
        "def name_of_the_function(x):\n"
        '    """Return ..."""\n'
        "    ### BEGIN SOLUTION\n"
        "    return np.where(x > 0, x, 0)\n"
        "    ### END SOLUTION"
    )
    task = (
        "## name_of_the_function\n\nWhat to compute.\n\n- `x`: an array of any shape.\n"
        "- Return an array in the shape of `x`. Your function may change its arguments.\n\n"
        "Example: `x = np.array([1.0, -2.0])` gives `[1, 0]`."
    )
    start = (
        "import numpy as np\n\nfrom regbook.check import exercises\n\n"
        f'check, progress = exercises("{slug}")'
    )
    return _notebook(
        install,
        f"# Solutions: {title}\n\nWrite each function, then run the cell with `check(...)` below "
        f"it. [The lesson](../chapters/{slug}/lesson.ipynb) has everything you need.",
        Cell(start),
        task,
        Cell(function),
        Cell("check(name_of_the_function)"),
        Cell("progress()"),
    )


def _notebook(install, *cells):
    """Return a notebook: the first cell, how to install, and the others; a text is Markdown."""
    first, *rest = cells
    made = [_cell(cell) for cell in rest]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell(first), install, *made]
    )
    return to_text(tidy(notebook))


def _cell(cell):
    if isinstance(cell, str):
        return nbformat.v4.new_markdown_cell(cell)
    metadata = {"tags": list(cell.tags)} if cell.tags else {}
    if cell.alt:
        metadata["mystnb"] = {"image": {"alt": cell.alt}}
    if cell.figure:
        metadata["mystnb"]["figure"] = {"name": cell.figure, "caption": cell.caption}
    return nbformat.v4.new_code_cell(cell.source, metadata=metadata)
