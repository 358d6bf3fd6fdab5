"""One configuration drives Keras and PyTorch alike; the tabs of the lesson hold the same one."""

import ast
import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from regbook import cifar10
from regbook.notebooks import read
from regbook.pairs import copy_weights, largest_difference, weights

TOL = 1e-7  # Keras keeps the rate and the momenta of Adam in float32
PAGES = Path(__file__).parents[2] / "chapters" / "24_case_cifar10"
SMALL = cifar10.Config(
    images=40, dev=8, test=8, side=8, widths=(4, 6), blocks=(1, 1), epochs=2, batch_size=16
)

pytestmark = pytest.mark.usefixtures("float64", "fresh_blocks")


def rows():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 8, 8, 3)), np.arange(16) % 10
    return x, y, torch.tensor(x.transpose(0, 3, 1, 2)), torch.tensor(y)


def trainable(arrays):
    """Leave out the running statistics: kernel, gamma, beta, mean, variance, ..., kernel, bias."""
    return [a for i, a in enumerate(arrays[:-2]) if i % 5 < 3] + arrays[-2:]


@pytest.mark.parametrize("name", cifar10.RUNS)
def test_one_training_step(name):
    """Without the draws, which no two libraries share: disturbed labels and moved images."""
    config = cifar10.configs(SMALL)[name]
    ours = cifar10.keras_net(config, run_eagerly=True)
    theirs, optimizer, schedule = cifar10.torch_net(config)
    copy_weights(ours, theirs)
    before = trainable(weights(ours))
    x, y, inputs, targets = rows()
    our_loss = ours.train_on_batch(x, keras.ops.one_hot(y, 10))
    loss = F.cross_entropy(theirs(inputs), targets, label_smoothing=config.smoothing)
    loss.backward()
    optimizer.step()
    schedule.step()
    assert float(our_loss) == pytest.approx(loss.item(), abs=1e-6)  # Keras's mean is in float32
    after, reached = trainable(weights(ours)), trainable(weights(theirs))
    assert min(map(largest_difference, before, after)) > 1e-4  # all of them moved
    assert max(map(largest_difference, after, reached)) < TOL


def test_both_have_the_parameters_of_the_configuration():
    full = cifar10.Config()
    theirs, _, _ = cifar10.torch_net(full)
    assert sum(p.numel() for p in theirs.parameters()) == 11_173_962
    assert full.steps == 30 * 352


def test_the_cosine_schedule_in_every_step():
    config = dataclasses.replace(SMALL, schedule="cosine")
    ours = cifar10.keras_net(config).optimizer
    _, optimizer, schedule = cifar10.torch_net(config)
    for step in range(config.steps):
        ours.iterations.assign(step)
        assert float(ours.learning_rate) == pytest.approx(schedule.get_last_lr()[0], rel=1e-6)
        optimizer.step()
        schedule.step()
    assert schedule.get_last_lr()[0] == pytest.approx(0, abs=1e-12)


def test_the_validation_loss_of_a_smoothed_run(convention):
    x, y, inputs, targets = rows()
    model = cifar10.keras_net(dataclasses.replace(SMALL, smoothing=0.2))
    theirs, _, _ = cifar10.torch_net(SMALL)
    kernel = model.layers[-1].kernel
    kernel.assign(16 * kernel)  # surer of its answers, as a trained network is
    copy_weights(model, theirs)
    hot = keras.ops.one_hot(y, 10)
    val_loss = model.evaluate(x, hot, verbose=0)
    plain = float(keras.losses.CategoricalCrossentropy(from_logits=True)(hot, model(x)))
    with torch.no_grad():
        theirs_plain = F.cross_entropy(theirs.eval()(inputs), targets).item()
    convention(
        "`val_loss` with label smoothing",
        keras="the compiled loss smooths the labels of the validation rows, too",
        torch="the loop decides: `cross_entropy` without `label_smoothing` is the plain loss",
        rule="a metric `CategoricalCrossentropy(from_logits=True)` beside the smoothed loss",
        agreement=abs(plain - theirs_plain),
        naive=abs(val_loss - theirs_plain),
    )


@pytest.mark.parametrize("alpha", [0.0, 0.5, 30.0, 100.0])
def test_the_floor_is_the_entropy_that_the_libraries_reach(alpha, solution):
    """The smoothed cross-entropy of the best logits, the logarithms of the chances."""
    floor = float(solution("disturbed_loss_floor")(alpha, 10))
    chances = torch.full((10,), alpha / 1000)
    chances[3] += 1 - alpha / 100
    logits = torch.log(chances.clamp(min=1e-300))[None]
    theirs = F.cross_entropy(logits, torch.tensor([3]), label_smoothing=alpha / 100)
    assert theirs.item() == pytest.approx(floor, abs=1e-6)
    smoothed = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=alpha / 100)
    hot = np.eye(10)[[3]]
    assert float(smoothed(hot, logits.numpy())) == pytest.approx(floor, abs=1e-5)


def configurations(page):
    """Return the dict `config` of each tab of the central pair."""
    found = {}
    for cell in read(page).cells:
        tags = set(cell.metadata.get("tags", []))
        if "central-pair" in tags:
            names = {}
            for node in ast.parse(cell.source).body:
                if isinstance(node, ast.Assign | ast.AugAssign) and "config" in ast.unparse(node):
                    target = node.target if isinstance(node, ast.AugAssign) else node.targets[0]
                    if ast.unparse(target) == "config":
                        names |= ast.literal_eval(node.value)
            found[(tags & {"keras", "torch"}).pop()] = names
    return found


def test_the_tabs_hold_the_configuration_that_the_experiment_calls_the_sum():
    page = PAGES / "lesson.ipynb"
    tabs = configurations(page)
    (cell,) = (c for c in read(page).cells if c.cell_type == "code" and "RUNS = {" in c.source)
    names = {}
    exec(cell.source, names)
    assert tabs["keras"] == tabs["torch"] == dataclasses.asdict(names["RUNS"]["sum"])


@pytest.mark.parametrize("n", [100, 10_000])
def test_the_interval_of_two_proportions(n, solution):
    """Against a bootstrap of both test sets."""
    rng = np.random.default_rng(0)
    a, b = int(0.7557 * n), int(0.7622 * n)
    found = solution("two_proportion_interval")(a, b, n)
    drawn = (rng.binomial(n, b / n, 200_000) - rng.binomial(n, a / n, 200_000)) / n
    assert found[0] == pytest.approx((b - a) / n)
    assert found[1:] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=2 / n)
