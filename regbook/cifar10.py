"""Train a residual network on the real CIFAR-10: `python -m regbook.cifar10 --help`.

The images come from the folder that `REGBOOK_DATA` names, or from Keras's download. A `Config`
holds everything that a run is made of; Keras and PyTorch are built from the same one. The command
trains in PyTorch, on a GPU where there is one, says before it starts how long it will take, and
goes on from a checkpoint. `benchmarks/cifar10.py` is the reduced form for a CPU: all runs, several
starts.
"""

import argparse
import copy
import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from regbook.claims import Interval, wilson_interval

if TYPE_CHECKING:
    import keras
    import torch
    from torch import nn

MEAN, DEVIATION = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)  # of the training images' channels
CLASSES = 10


@dataclass(frozen=True)
class Config:
    """All settings of a run. `dataclasses.replace` makes another; a name it lacks raises TypeError.

    images, dev, test: how many to train on, to choose the epoch by, and to report on. side: 32, or
    16 or 8 for images of which 2 x 2 or 4 x 4 pixels are averaged. schedule: "constant" or
    "cosine", which falls to 0. decay: AdamW's. disturb: percent of the labels drawn anew in every
    batch. augment: images moved by up to an eighth of their side and mirrored.
    """

    images: int = 45_000
    dev: int = 5_000
    test: int = 10_000
    side: int = 32
    widths: tuple[int, ...] = (64, 128, 256, 512)
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    epochs: int = 30
    batch_size: int = 128
    rate: float = 0.002
    schedule: str = "constant"
    decay: float = 0.0
    smoothing: float = 0.0
    disturb: float = 0.0
    augment: bool = False
    seed: int = 0

    @property
    def steps(self) -> int:
        """The steps of the whole run."""
        return self.epochs * -(-self.images // self.batch_size)


# What each run changes. Early stopping is none of them: it reads each run at its best dev epoch.
RUNS: dict[str, dict[str, Any]] = {
    "overfit": {},
    "DisturbLabel": {"disturb": 30.0},
    "label smoothing": {"smoothing": 0.2},
    "augmentation": {"augment": True},
    "decay and schedule": {"decay": 0.03, "schedule": "cosine"},
    "sum": {"augment": True, "decay": 0.03, "schedule": "cosine"},
}


def configs(base: Config, runs: Mapping[str, Mapping[str, Any]] = RUNS) -> dict[str, Config]:
    """Return the whole configuration of each run."""
    return {name: dataclasses.replace(base, **changes) for name, changes in runs.items()}


class Rows(NamedTuple):
    """Images and their labels, as PyTorch takes them: (rows, channels, height, width), (rows,)."""

    x: "torch.Tensor"
    y: "torch.Tensor"


def scaled(images: np.ndarray, side: int = 32) -> np.ndarray:
    """Return images, uint8 of shape (rows, 32, 32, 3), scaled: float32, (rows, side, side, 3)."""
    rows, height, _, channels = images.shape
    each = height // side
    blocks = images.reshape(rows, side, each, side, each, channels).mean(axis=(2, 4)) / 255
    return ((blocks - np.array(MEAN)) / np.array(DEVIATION)).astype(np.float32)


def tensors(images: np.ndarray, labels: np.ndarray, device: str, side: int = 32) -> Rows:
    """Return images, uint8 of shape (rows, 32, 32, 3), and labels as PyTorch takes them."""
    import torch

    x = torch.from_numpy(scaled(images, side).transpose(0, 3, 1, 2).copy()).to(device)
    return Rows(x, torch.from_numpy(labels.astype(np.int64)).to(device))


def load(config: Config, device: str) -> tuple[Rows, Rows, Rows]:
    """Return the training, dev and test images of a configuration."""
    from regbook import data

    x, y, *test = data.cifar10(train=config.images + config.dev, test=config.test)
    cut = config.images
    return (
        tensors(x[:cut], y[:cut], device, config.side),
        tensors(x[cut:], y[cut:], device, config.side),
        tensors(test[0], test[1], device, config.side),
    )


def augmented(x: "torch.Tensor") -> "torch.Tensor":
    """Return a batch whose images are each shifted by up to an eighth, half of them mirrored."""
    import torch
    import torch.nn.functional as F

    rows, _, height, width = x.shape
    most = height // 8
    down, right = torch.randint(0, 2 * most + 1, (2, rows, 1), device=x.device)
    y = down + torch.arange(height, device=x.device)
    mirror = torch.rand(rows, 1, device=x.device) < 0.5
    place = torch.arange(width, device=x.device).expand(rows, width)
    z = right + torch.where(mirror, place.flip(1), place)
    padded = F.pad(x, (most, most, most, most)).permute(0, 2, 3, 1)
    which = torch.arange(rows, device=x.device)[:, None, None]
    return padded[which, y[:, :, None], z[:, None, :]].permute(0, 3, 1, 2)


def disturbed(y: "torch.Tensor", percent: float) -> "torch.Tensor":
    """Return labels of which this share is replaced by classes drawn from all of them."""
    import torch

    replaced = torch.rand(y.shape, device=y.device) < percent / 100
    return torch.where(replaced, torch.randint_like(y, CLASSES), y)


def torch_net(
    config: Config, device: str = "cpu"
) -> "tuple[nn.Sequential, torch.optim.Optimizer, Any]":
    """Return the network in PyTorch, its optimizer, and the schedule to step after each step."""
    import torch

    from regbook.resnet import torch_resnet

    torch.manual_seed(config.seed)
    model = torch_resnet(3, config.widths, config.blocks, CLASSES).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.rate, weight_decay=config.decay)
    if config.schedule == "cosine":
        schedule: Any = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    else:
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    return model, optimizer, schedule


def keras_net(config: Config, **options: Any) -> "keras.Sequential":
    """Return the network in Keras, compiled, for labels as one-hot rows.

    options: of `compile`. Disturbed and augmented batches are made by the data, as in PyTorch.
    """
    import keras

    from regbook.resnet import keras_resnet

    keras.utils.set_random_seed(config.seed)
    image = config.side, config.side, 3
    model = keras_resnet(image, config.widths, config.blocks, CLASSES)
    rate: Any = config.rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(config.rate, config.steps)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=config.smoothing)
    epsilon = 1e-8 * 0.001**0.5  # Keras adds it before the bias correction, PyTorch behind it
    optimizer = keras.optimizers.AdamW(rate, weight_decay=config.decay, epsilon=epsilon)
    model.compile(optimizer=optimizer, loss=loss, **options)
    return model


class Run:
    """A run in PyTorch: everything that a checkpoint keeps.

    losses: by the names "train", which is the reported one, "dev" and "dev accuracy" (percent), one
    number an epoch. best: the weights of the epoch with the lowest dev loss.
    """

    def __init__(self, config: Config, device: str = "cpu", fast: bool = False):
        """fast: `torch.compile` and bfloat16, both of which are worth it on a GPU."""
        import torch

        self.config, self.device, self.fast = config, device, fast
        self.model, self.optimizer, self.schedule = torch_net(config, device)
        self.losses: dict[str, list[float]] = {"train": [], "dev": [], "dev accuracy": []}
        self.best = copy.deepcopy(self.model.state_dict())
        self._forward: Callable = self.model
        if fast:
            self.model.to(memory_format=torch.channels_last)
            self._forward = torch.compile(self.model)

    def logits(self, x: "torch.Tensor") -> "torch.Tensor":
        """Return the logits of a batch, in float32."""
        import torch

        with torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.fast):
            return self._forward(x).float()

    def step(self, x: "torch.Tensor", y: "torch.Tensor", optimizer: Any) -> "torch.Tensor":
        """Take a step; return the loss that it reports."""
        import torch.nn.functional as F

        x = augmented(x) if self.config.augment else x
        y = disturbed(y, self.config.disturb) if self.config.disturb else y
        loss = F.cross_entropy(self.logits(x), y, label_smoothing=self.config.smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    def scores(self, rows: Rows) -> tuple[float, np.ndarray]:
        """Return the mean cross-entropy, and whether each image was classified right."""
        import torch
        import torch.nn.functional as F

        self.model.eval()
        with torch.no_grad():
            logits = torch.cat([self.logits(x) for x in rows.x.split(500)])
        right = (logits.argmax(dim=1) == rows.y).cpu().numpy()
        return F.cross_entropy(logits, rows.y).item(), right

    def seconds_left(self, train: Rows, dev: Rows) -> float:
        """Return about how long the epochs that are left take. Its few steps change nothing."""
        import torch

        kept = copy.deepcopy(self.model.state_dict())
        devices = [self.device] if self.device.startswith("cuda") else []
        taken = []
        with torch.random.fork_rng(devices):
            nothing = torch.optim.SGD(self.model.parameters(), lr=0.0)
            size, few = self.config.batch_size, Rows(dev.x[:500], dev.y[:500])
            for _ in range(4):  # the first one also compiles
                self.model.train()
                start = time.perf_counter()
                self.step(train.x[:size], train.y[:size], nothing).item()
                middle = time.perf_counter()
                self.scores(few)
                taken.append((middle - start, (time.perf_counter() - middle) / len(few.y)))
        self.model.load_state_dict(kept)
        step, row = np.median(taken[1:], axis=0)
        left = 1 - len(self.losses["dev"]) / self.config.epochs
        return float(left * (self.config.steps * step + self.config.epochs * len(dev.y) * row))

    def fit(self, train: Rows, dev: Rows, checkpoint: Path | None = None) -> "Run":
        """Train the epochs that are left; return the run. A checkpoint is written after each."""
        import torch
        from tqdm.auto import tqdm

        done = len(self.losses["dev"])
        bar = tqdm(total=self.config.steps, initial=done * self.config.steps // self.config.epochs,
                   unit="step")  # fmt: skip
        with bar:
            for epoch in range(done, self.config.epochs):
                self.model.train()
                total = torch.zeros((), device=self.device)
                order = torch.randperm(len(train.y), device=self.device)
                for take in order.split(self.config.batch_size):
                    total += len(take) * self.step(train.x[take], train.y[take], self.optimizer)
                    self.schedule.step()
                    bar.update()
                loss, right = self.scores(dev)
                if loss < min([np.inf, *self.losses["dev"]]):
                    self.best = copy.deepcopy(self.model.state_dict())
                found = total.item() / len(train.y), loss, 100 * float(right.mean())
                for name, value in zip(self.losses, found, strict=True):
                    self.losses[name].append(value)
                bar.set_postfix(epoch=epoch + 1, dev=f"{loss:.3f}")
                if checkpoint:
                    self.save(checkpoint)
        return self

    def restore(self) -> "Run":
        """Put the weights of the best dev epoch back; return the run."""
        self.model.load_state_dict(self.best)
        return self

    def save(self, path: Path) -> None:
        """Write all of the run to a file, which is whole at every moment."""
        import torch

        state = {
            "config": dataclasses.asdict(self.config),
            "model": self.model.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "losses": self.losses,
            "chance": self._chance(),
        }
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)

    def _chance(self):
        """Return the states of the generators."""
        import torch

        states = [torch.get_rng_state()]
        return states + ([torch.cuda.get_rng_state()] if self.device.startswith("cuda") else [])

    def resume(self, path: Path) -> "Run":
        """Go on from a checkpoint; return the run. Raises ValueError for that of another run."""
        import torch

        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["config"] != dataclasses.asdict(self.config):
            raise ValueError(
                f"{path} is the checkpoint of another configuration: choose a new file"
            )
        self.model.load_state_dict(state["model"])
        self.best, self.losses = state["best"], state["losses"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["chance"][0].cpu())
        if self.device.startswith("cuda") and len(state["chance"]) > 1:
            torch.cuda.set_rng_state(state["chance"][1].cpu())
        return self


def accuracy(right: np.ndarray) -> Interval:
    """Return the accuracy in percent, with Wilson's interval over the images."""
    return wilson_interval(int(right.sum()), len(right), "images")


def main(arguments: Sequence[str] | None = None) -> Interval:
    """Train with the options of the command line; print and return the accuracy on test images."""
    import torch

    given = _options().parse_args(arguments)
    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    fast = device.startswith("cuda") if given.fast is None else given.fast
    named = {field.name: getattr(given, field.name, None) for field in dataclasses.fields(Config)}
    base = Config(**{name: value for name, value in named.items() if value is not None})
    if given.width:
        base = dataclasses.replace(base, widths=tuple(given.width * 2**s for s in range(4)))
    config = configs(base)[given.run]
    train, dev, test = load(config, device)
    run = Run(config, device, fast)
    count = sum(p.numel() for p in run.model.parameters())
    print(f"{count:,} parameters, {config.images:,} images, {config.epochs} epochs, on {device}")
    checkpoint = Path(given.checkpoint) if given.checkpoint else None
    if checkpoint and checkpoint.exists():
        run.resume(checkpoint)
        print(f"goes on after epoch {len(run.losses['dev'])}")
    print(f"about {run.seconds_left(train, dev) / 60:.1f} minutes")
    run.fit(train, dev, checkpoint)
    last = accuracy(run.scores(test)[1])
    restored = accuracy(run.restore().scores(test)[1])
    epoch = int(np.argmin(run.losses["dev"])) + 1
    for name, found in (("last epoch", last), (f"epoch {epoch}, best on dev", restored)):
        print(f"{name}: test accuracy {found.mean:.2f} % [{found.low:.2f}, {found.high:.2f}], "
              f"{found.n:,} images")  # fmt: skip
    return restored


def _options() -> argparse.ArgumentParser:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser("python -m regbook.cifar10", description=__doc__)
    parser.add_argument("--run", choices=RUNS, default="sum", help="what to train (default sum)")
    texts = {
        "images": "training images",
        "dev": "dev images, which come behind them",
        "test": "test images",
        "side": "pixels of a side: 32, 16 or 8",
        "epochs": "passes over the training images",
        "batch_size": "images of a step",
        "seed": "of the start and the order",
        "rate": "the learning rate, where the schedule begins",
    }
    for name, text in texts.items():
        default = getattr(Config, name)
        option = "--test-images" if name == "test" else f"--{name.replace('_', '-')}"
        help_ = f"{text} (default {default:,})"
        parser.add_argument(option, dest=name, type=type(default), help=help_)
    parser.add_argument("--width", type=int, help="channels of the first stage (default 64)")
    parser.add_argument("--device", help="such as cpu or cuda (default: a GPU where there is one)")
    parser.add_argument(
        "--fast",
        action=argparse.BooleanOptionalAction,
        help="torch.compile and bfloat16 (default: on a GPU)",
    )
    parser.add_argument("--checkpoint", help="a file: written after each epoch, gone on from")
    return parser


if __name__ == "__main__":
    main()
