"""The recipes that a flowchart shows: each runs where this project cannot be imported."""

import ast
import os
import re
import subprocess
import sys

import pytest
import yaml
from notebook_support import LESSONS, WITHOUT_REGBOOK, boxes, name, prose

CHARTS = [
    (path, box)
    for path in LESSONS
    if "{flowchart}" in prose(path)
    for box in boxes(prose(path))
    if box.name == "flowchart"
]
RUN = (
    WITHOUT_REGBOOK
    + """
import numpy as np
from sklearn.datasets import load_digits

pixels, labels = load_digits(return_X_y=True)
x = (pixels.reshape(-1, 8, 8) / 16).astype("float32")
order = np.random.default_rng(0).permutation(len(x))
train, dev, test = order[:900], order[900:1200], order[1200:]
for path in sys.argv[1:]:
    recipe = {"__name__": "recipe"}
    exec(compile(open(path, encoding="utf-8").read(), path, "exec"), recipe)
    if "torch" in recipe:
        recipe["torch"].manual_seed(0)
    else:
        recipe["keras"].utils.set_random_seed(0)

    def outputs(model, x):
        if "torch" in recipe:
            with recipe["torch"].no_grad():
                return model(recipe["torch"].as_tensor(x)).numpy()
        return np.asarray(model(x, training=False))

    model = recipe["fit"](x[train], labels[train], x[dev], labels[dev])
    logits = outputs(model, x[test])
    accuracy = (logits.argmax(axis=1) == labels[test]).mean()
    assert accuracy > 0.85, f"{path}: accuracy {accuracy:.3f}"
    if "fold" in recipe:
        folded = recipe["fold"](model)
        assert len(folded.layers if hasattr(folded, "layers") else folded) < len(
            model.layers if hasattr(model, "layers") else model
        )
        np.testing.assert_allclose(outputs(folded, x[test]), logits, rtol=1e-3, atol=1e-3)
    if "predict" in recipe:
        mean, spread = (np.asarray(part) for part in recipe["predict"](model, x[test]))
        assert mean.shape == spread.shape == logits.shape
        np.testing.assert_allclose(mean.sum(axis=1), 1, atol=1e-4)
        assert (spread.max(axis=1) > 0).all()
        assert (mean.argmax(axis=1) == labels[test]).mean() > 0.85
    if "sparse" in path:
        kernels = [np.asarray(w) for w in (
            [p.detach() for p in model.parameters()] if "torch" in recipe else model.get_weights()
        ) if w.ndim == 2]
        zeros = sum((w == 0).sum() for w in kernels) / sum(w.size for w in kernels)
        assert zeros > 0.2, f"{path}: {zeros:.0%} of the weights are 0"
    print(path, accuracy)
"""
)


def shown(tree):
    """Return the names of the recipes to which a tree of questions leads."""
    if "show" in tree:
        return [tree["show"]]
    return [name for answer in tree["answers"].values() for name in shown(answer)]


charts = pytest.mark.parametrize(("path", "chart"), CHARTS, ids=[name(path) for path, _ in CHARTS])


@charts
def test_every_recipe_is_shown_and_every_file_is_a_recipe(path, chart):
    names = shown(yaml.safe_load(chart.body))
    files = {file.stem for file in (path.parent / chart.title).glob("*.py")}
    assert files == {f"{name}_{framework}" for name in names for framework in ("keras", "torch")}


@charts
@pytest.mark.parametrize("framework", ["keras", "torch"])
def test_a_recipe_runs_without_this_project(path, chart, framework):
    files = sorted((path.parent / chart.title).glob(f"*_{framework}.py"))
    assert len(files) >= 5
    settings = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, files)],
        env=os.environ | settings | {"TF_NUM_INTEROP_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    assert len(re.findall(r"\.py 0\.\d+", done.stdout)) == len(files)


@charts
def test_a_recipe_imports_its_framework_alone(path, chart):
    for file in (path.parent / chart.title).glob("*.py"):
        framework = file.stem.rpartition("_")[2]
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found = {
            module.partition(".")[0]
            for node in ast.walk(tree)
            for module in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        # Keras's guides shuffle with `tf.data`.
        assert {framework} <= found - sys.stdlib_module_names <= {framework, "tensorflow"}, file
        assert max(map(len, file.read_text(encoding="utf-8").split("\n"))) <= 100
