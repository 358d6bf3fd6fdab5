"""Train the ResNet-18 of lesson 20 on the real CIFAR-10: `python -m regbook.cifar10 --help`.

The images come from the folder that `REGBOOK_DATA` names, or from Keras's download. PyTorch trains
on a GPU where there is one. The recipe is the usual one: images that are shifted by up to four
pixels and mirrored at random, SGD with momentum 0.9 and a decay of 5e-4, and a rate that rises for
a quarter of the steps and falls to zero.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from regbook.claims import Interval, wilson_interval

if TYPE_CHECKING:
    import torch

MEAN, DEVIATION = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)  # of the training images' channels


def tensors(
    images: np.ndarray, labels: np.ndarray, device: str
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return images, uint8 of shape (rows, 32, 32, 3), and labels as PyTorch takes them."""
    import torch

    scaled = (images / 255 - np.array(MEAN)) / np.array(DEVIATION)
    x = torch.from_numpy(scaled.transpose(0, 3, 1, 2).astype(np.float32, order="C")).to(device)
    return x, torch.from_numpy(labels.astype(np.int64)).to(device)


def augmented(x: "torch.Tensor") -> "torch.Tensor":
    """Return a batch whose images are each shifted by up to four pixels, half of them mirrored."""
    import torch
    import torch.nn.functional as F

    rows, _, height, width = x.shape
    down, right = torch.randint(0, 9, (2, rows, 1), device=x.device)
    y = down + torch.arange(height, device=x.device)
    mirror = torch.rand(rows, 1, device=x.device) < 0.5
    place = torch.arange(width, device=x.device).expand(rows, width)
    z = right + torch.where(mirror, place.flip(1), place)
    padded = F.pad(x, (4, 4, 4, 4)).permute(0, 2, 3, 1)
    which = torch.arange(rows, device=x.device)[:, None, None]
    return padded[which, y[:, :, None], z[:, None, :]].permute(0, 3, 1, 2)


def train(
    model: "torch.nn.Module",
    x: "torch.Tensor",
    y: "torch.Tensor",
    *,
    epochs: int,
    batch_size: int = 128,
    rate: float = 0.1,
) -> list[float]:
    """Train a model on images and labels that lie on its device; return the loss of each epoch."""
    import torch
    import torch.nn.functional as F
    from tqdm.auto import tqdm

    steps = epochs * -(-len(y) // batch_size)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.25, cycle_momentum=False
    )
    losses = []
    with tqdm(total=steps, unit="step") as bar:
        for epoch in range(epochs):
            model.train()
            total = torch.zeros((), device=x.device)
            for take in torch.randperm(len(y), device=y.device).split(batch_size):
                loss = F.cross_entropy(model(augmented(x[take])), y[take])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.detach() * len(take)
                bar.update()
            losses.append(total.item() / len(y))
            bar.set_postfix(epoch=epoch + 1, loss=f"{losses[-1]:.3f}")
    return losses


def accuracy(model: "torch.nn.Module", x: "torch.Tensor", y: "torch.Tensor") -> Interval:
    """Return the accuracy in percent, with Wilson's interval over the images."""
    import torch

    model.eval()
    with torch.no_grad():
        rows = zip(x.split(500), y.split(500), strict=True)
        right = sum((model(a).argmax(dim=1) == b).sum().item() for a, b in rows)
    return wilson_interval(int(right), len(y), "images")


def main(arguments: Sequence[str] | None = None) -> Interval:
    """Train with the options of the command line; print and return the accuracy on test images."""
    import torch

    from regbook import data
    from regbook.resnet import RESNET18, torch_resnet

    given = _options().parse_args(arguments)
    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(given.seed)
    x_train, y_train, x_test, y_test = data.cifar10(train=given.images, test=given.test_images)
    x, y = tensors(x_train, y_train, device)
    widths = tuple(given.width * 2**stage for stage in range(4))
    model = torch_resnet(3, **RESNET18 | {"widths": widths}).to(device)
    count = sum(p.numel() for p in model.parameters())
    print(f"{count:,} parameters, {len(y):,} images, {given.epochs} epochs, on {device}")
    train(model, x, y, epochs=given.epochs, batch_size=given.batch_size, rate=given.rate)
    found = accuracy(model, *tensors(x_test, y_test, device))
    print(
        f"test accuracy {found.mean:.2f} % [{found.low:.2f}, {found.high:.2f}], {found.n:,} images"
    )
    return found


def _options() -> argparse.ArgumentParser:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser("python -m regbook.cifar10", description=__doc__)
    whole: dict[str, Any] = {
        "images": (50_000, "training images"),
        "test-images": (10_000, "test images"),
        "epochs": (30, "passes over the training images"),
        "batch-size": (128, "images of a step"),
        "width": (64, "channels of the first stage; 64 is ResNet-18"),
        "seed": (0, "of the start and the order"),
    }
    for name, (default, text) in whole.items():
        help_ = f"{text} (default {default:,})"
        parser.add_argument(f"--{name}", type=int, default=default, help=help_)
    parser.add_argument("--rate", type=float, default=0.1, help="the highest rate (default 0.1)")
    parser.add_argument("--device", help="such as cpu or cuda (default: a GPU where there is one)")
    return parser


if __name__ == "__main__":
    main()
