"""The command that trains a residual network on real images."""

import os
from pathlib import Path

import numpy as np
import pytest

from regbook import cifar10, data
from regbook.claims import Interval

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("REGBOOK_DATA") or ROOT.parent / "shared" / "data")
SMALL = ["--width", "4", "--batch-size", "16", "--device", "cpu"]

real = pytest.mark.skipif(
    not (FOLDER / "cifar10_jpeg.npz").is_file(), reason="no cifar10_jpeg.npz in $REGBOOK_DATA"
)


@real
def test_64_real_images_are_trained_on_and_scored(monkeypatch, capsys):
    monkeypatch.setenv("REGBOOK_DATA", str(FOLDER))
    found = cifar10.main(["--images", "64", "--test-images", "64", "--epochs", "2", *SMALL])
    assert isinstance(found, Interval)
    assert (found.n, found.replicates) == (64, "images")
    shown = capsys.readouterr()
    assert "64 images, 2 epochs, on cpu" in shown.out
    assert "test accuracy" in shown.out
    assert "8/8" in shown.err  # the progress bar: two epochs of four steps


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


def test_it_learns_what_can_be_learned():
    import torch

    from regbook.resnet import torch_resnet

    torch.manual_seed(0)
    x, y = cifar10.tensors(*drawn(), "cpu")
    model = torch_resnet(3, (4, 8), (1, 1), 2)
    losses = cifar10.train(model, x, y, epochs=8, batch_size=16)
    assert len(losses) == 8
    assert losses[-1] < losses[0] / 2
    assert cifar10.accuracy(model, x, y).mean > 90


def test_an_augmented_image_is_shifted_and_perhaps_mirrored():
    import torch

    torch.manual_seed(0)
    x = torch.arange(1.0, 1 + 3 * 8 * 8).reshape(1, 3, 8, 8).expand(200, 3, 8, 8)
    seen = cifar10.augmented(x)
    assert seen.shape == x.shape
    padded = torch.nn.functional.pad(x[0], (4, 4, 4, 4))
    windows = [padded[:, i : i + 8, j : j + 8] for i in range(9) for j in range(9)]
    known = torch.stack([w for window in windows for w in (window, window.flip(2))])
    same = (seen[:, None] == known[None]).all(dim=(2, 3, 4))
    assert same.any(dim=1).all()
    assert same.any(dim=0).sum() > 60  # of 162 that there are


def test_images_are_scaled_by_channel_and_channels_come_second():
    images = np.broadcast_to(np.round(255 * np.array(cifar10.MEAN)), (2, 32, 32, 3))
    x, y = cifar10.tensors(images.astype(np.uint8), np.array([3, 9], np.uint8), "cpu")
    assert x.shape == (2, 3, 32, 32)
    assert x.abs().max() < 0.02
    assert y.tolist() == [3, 9]
