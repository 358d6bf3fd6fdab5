"""The command that trains a residual network on real images."""

import copy
import dataclasses
import functools
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest

from regbook import cifar10, data
from regbook.claims import Interval

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("REGBOOK_DATA") or ROOT.parent / "shared" / "data")
SMALL = ["--dev", "32", "--width", "4", "--batch-size", "16", "--device", "cpu"]
TINY = cifar10.Config(
    images=64, dev=32, test=64, side=16, widths=(4, 8), blocks=(1, 1), epochs=3, batch_size=16
)

real = pytest.mark.skipif(
    not (FOLDER / "cifar10_jpeg.npz").is_file(), reason="no cifar10_jpeg.npz in $REGBOOK_DATA"
)


@real
def test_64_real_images_are_trained_on_and_scored(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("REGBOOK_DATA", str(FOLDER))
    options = ["--images", "64", "--test-images", "64", "--epochs", "2", *SMALL]
    options += ["--checkpoint", str(tmp_path / "run.pt")]
    found = cifar10.main(options)
    assert isinstance(found, Interval)
    assert (found.n, found.replicates) == (64, "images")
    shown = capsys.readouterr()
    assert "64 images, 2 epochs, on cpu" in shown.out
    assert "minutes" in shown.out
    assert "last epoch: test accuracy" in shown.out
    assert "best on dev: test accuracy" in shown.out
    assert "8/8" in shown.err  # the progress bar: two epochs of four steps
    assert cifar10.main(options) == found
    assert "goes on after epoch 2" in capsys.readouterr().out


@real
def test_the_first_images_are_those_of_the_whole_set(monkeypatch):
    monkeypatch.setenv("REGBOOK_DATA", str(FOLDER))
    x_train, y_train, x_test, y_test = data.cifar10(train=5, test=3)
    assert (len(x_train), len(y_train), len(x_test), len(y_test)) == (5, 5, 3, 3)
    more = data.cifar10(train=7, test=1)
    np.testing.assert_array_equal(more[0][:5], x_train)
    assert len(more[2]) == 1


def drawn(rows=64):
    """Draw images whose brightness tells the class."""
    rng = np.random.default_rng(0)
    y = np.arange(rows) % 2
    x = rng.integers(0, 60, size=(rows, 32, 32, 3)) + 150 * y[:, None, None, None]
    return x.astype(np.uint8), y.astype(np.uint8)


def rows(number=64, side=16):
    return cifar10.tensors(*drawn(number), "cpu", side)


def equal(one, other):
    return all((one[name] == other[name]).all() for name in one)


def test_it_learns_what_can_be_learned():
    config = dataclasses.replace(TINY, epochs=8, rate=0.01)
    run = cifar10.Run(config).fit(rows(), rows(32))
    assert {name: len(values) for name, values in run.losses.items()} == {
        "train": 8,
        "dev": 8,
        "dev accuracy": 8,
    }
    assert run.losses["train"][-1] < run.losses["train"][0] / 2
    loss, right = run.restore().scores(rows(32))
    assert loss == pytest.approx(min(run.losses["dev"]))
    assert cifar10.accuracy(right).mean > 90


@pytest.mark.parametrize("name", cifar10.RUNS)
def test_every_run_trains(name):
    config = cifar10.configs(dataclasses.replace(TINY, epochs=1))[name]
    run = cifar10.Run(config).fit(rows(), rows(32))
    assert np.isfinite(run.losses["train"]).all()


def test_compiled_and_in_bfloat16_a_run_is_nearly_the_same(monkeypatch):
    """By the compiler's front end alone: the code that it would generate takes minutes."""
    import torch

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    fast, slow = (cifar10.Run(TINY, fast=fast).fit(rows(), rows(32)) for fast in (True, False))
    assert fast.losses["train"] == pytest.approx(slow.losses["train"], abs=0.02)
    assert fast.losses["train"] != slow.losses["train"]


def test_a_configuration_changes_what_its_run_names_and_nothing_else():
    found = cifar10.configs(TINY)
    assert found["overfit"] == TINY
    for name, changes in cifar10.RUNS.items():
        assert dataclasses.asdict(found[name]) == dataclasses.asdict(TINY) | changes
    with pytest.raises(TypeError, match="smothing"):
        cifar10.configs(TINY, {"wrong": {"smothing": 0.1}})


def test_a_run_goes_on_from_its_checkpoint_as_if_nothing_had_happened(tmp_path):
    path = tmp_path / "run.pt"
    config = cifar10.configs(TINY)["sum"]
    whole = cifar10.Run(config).fit(rows(), rows(32))
    first = cifar10.Run(config)
    first.save = lambda path, save=first.save: (save(path), stop(first))
    with pytest.raises(KeyboardInterrupt):
        first.fit(rows(), rows(32), path)
    second = cifar10.Run(config).resume(path)
    assert len(second.losses["dev"]) == 1
    second.fit(rows(), rows(32), path)
    assert second.losses == whole.losses
    assert equal(second.model.state_dict(), whole.model.state_dict())
    assert equal(second.best, whole.best)
    with pytest.raises(ValueError, match="another configuration"):
        cifar10.Run(dataclasses.replace(config, seed=1)).resume(path)


def stop(run):
    """Interrupt a run after its first epoch."""
    if len(run.losses["dev"]) == 1:
        raise KeyboardInterrupt


def test_the_estimate_of_the_time_changes_nothing():
    import torch

    run = cifar10.Run(cifar10.configs(TINY)["augmentation"])
    before, chance = copy.deepcopy(run.model.state_dict()), torch.get_rng_state()
    seconds = run.seconds_left(rows(), rows(32))
    assert 0 < seconds < 600
    assert equal(run.model.state_dict(), before)
    assert torch.equal(torch.get_rng_state(), chance)
    run.fit(rows(), rows(32))
    assert run.seconds_left(rows(), rows(32)) == 0


def test_disturbed_labels():
    import torch

    torch.manual_seed(0)
    y = torch.arange(100_000) % 10
    share = (cifar10.disturbed(y, 30.0) != y).float().mean()
    assert share == pytest.approx(0.27, abs=0.01)  # one in ten is drawn right again
    assert torch.equal(cifar10.disturbed(y, 0.0), y)


def test_images_are_averaged_to_a_smaller_side():
    images = np.zeros((1, 32, 32, 3), np.uint8)
    images[0, 0, 0] = 255
    small = cifar10.scaled(images, 16)
    assert small.shape == (1, 16, 16, 3)
    corner = small[0, 0, 0] * cifar10.DEVIATION + cifar10.MEAN
    np.testing.assert_allclose(corner, 0.25, atol=1e-6)


def test_an_augmented_image_is_shifted_and_perhaps_mirrored():
    import torch

    torch.manual_seed(0)
    x = torch.arange(1.0, 1 + 3 * 8 * 8).reshape(1, 3, 8, 8).expand(200, 3, 8, 8)
    seen = cifar10.augmented(x)
    assert seen.shape == x.shape
    padded = torch.nn.functional.pad(x[0], (1, 1, 1, 1))
    windows = [padded[:, i : i + 8, j : j + 8] for i in range(3) for j in range(3)]
    known = torch.stack([w for window in windows for w in (window, window.flip(2))])
    same = (seen[:, None] == known[None]).all(dim=(2, 3, 4))
    assert same.any(dim=1).all()
    assert same.any(dim=0).all()  # all of the 18 that there are


def test_images_are_scaled_by_channel_and_channels_come_second():
    images = np.broadcast_to(np.round(255 * np.array(cifar10.MEAN)), (2, 32, 32, 3))
    x, y = cifar10.tensors(images.astype(np.uint8), np.array([3, 9], np.uint8), "cpu")
    assert x.shape == (2, 3, 32, 32)
    assert x.abs().max() < 0.02
    assert y.tolist() == [3, 9]


def script():
    """Load the script that measures the reduced form."""
    path = ROOT / "benchmarks" / "cifar10.py"
    spec = importlib.util.spec_from_file_location("reduced_cifar10", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reduced_form_stores_every_run_and_goes_on(tmp_path, monkeypatch):
    module, out = script(), tmp_path / "found.json"
    parts = rows(), rows(32), rows()
    monkeypatch.setattr(module, "load", lambda config, device: parts)
    few = ["--images", "64", "--test-images", "64", "--epochs", "1", "--out", str(out)]
    first = module.main(["--starts", "1", *few])
    assert list(first["runs"]) == list(cifar10.RUNS)
    assert {"date", "processor", "threads", "versions", "base", "runs"} == set(first)
    (run,) = first["runs"]["overfit"]
    assert len(run["dev"]) == run["epoch"] == 1
    assert run["last"] == run["restored"]
    second = module.main(["--starts", "2", *few])
    assert second["runs"]["sum"][0] == first["runs"]["sum"][0]
    assert [run["seed"] for run in second["runs"]["sum"]] == [0, 1]
    assert json.loads(out.read_text()) == second
    with pytest.raises(SystemExit, match="other settings"):
        module.main(["--starts", "1", *few, "--epochs", "2"])


def test_the_stored_runs_of_the_lesson_are_complete():
    found = json.loads((ROOT / "benchmarks" / "results" / "case_runs.json").read_text("utf-8"))
    assert list(found["runs"]) == list(cifar10.RUNS)
    for run in found["runs"].values():
        assert len(run["last"]) == len(run["stopped"]) == 10
        assert np.shape(run["train"]) == np.shape(run["dev"]) == (14, 10)
        assert np.min(run["train"]) > 0.5 * run["floor"]
