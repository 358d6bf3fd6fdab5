"""Measure chapter 24's runs on real CIFAR-10 images, in a reduced form that a CPU can do.

    REGBOOK_DATA=FOLDER python benchmarks/cifar10.py                 # what the book stores
    REGBOOK_DATA=FOLDER python benchmarks/cifar10.py --starts 2 --images 500 --out mine.json

Every run of `regbook.cifar10.RUNS` is trained from several starts: 5,000 images of 16 x 16 pixels,
a residual network with three blocks, 12 epochs, one thread. The images are the same in all of them;
a start changes the first weights and the order of the batches. It is scored on the 10,000 test
images after the last epoch and at the epoch with the lowest dev loss. What is done is written to
the file at once, and a second call goes on where the first one ended.

Declared before the first run: the comparisons are those of every run with "overfit", after the last
epoch and restored; and of "overfit" restored with its own last epoch. All else is exploratory.
"""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from regbook.cifar10 import RUNS, Config, Run, configs, load
from regbook.grading.report import write_whole
from regbook.stored import environment, readable

OUT = Path(__file__).parent / "results" / "cifar10.json"
REDUCED = Config(
    images=5_000,
    dev=1_000,
    side=16,
    widths=(16, 32, 64),
    blocks=(1, 1, 1),
    epochs=12,
    batch_size=50,
)


def measured(config: Config, rows: tuple) -> dict[str, Any]:
    """Train a configuration; return its curves and what it got right."""
    train, dev, test = rows
    run = Run(config).fit(train, dev)
    dev_loss = run.losses["dev"]
    nll_last, last = run.scores(test)
    nll_restored, restored = run.restore().scores(test)
    return {
        "seed": config.seed,
        **{name: [round(value, 4) for value in values] for name, values in run.losses.items()},
        "epoch": dev_loss.index(min(dev_loss)) + 1,
        "last": int(last.sum()),
        "restored": int(restored.sum()),
        "decided differently": int((last != restored).sum()),
        "nll": [round(nll_last, 4), round(nll_restored, 4)],
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure what is missing in the file; return all that it holds."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--starts", type=int, default=10, help="of each run (default 10)")
    parser.add_argument("--images", type=int, default=REDUCED.images, help="training images")
    parser.add_argument("--test-images", type=int, default=REDUCED.test, help="test images")
    parser.add_argument("--epochs", type=int, default=REDUCED.epochs)
    parser.add_argument("--out", type=Path, default=OUT, help=f"default {OUT.name}, beside this")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    base = dataclasses.replace(
        REDUCED, images=given.images, test=given.test_images, epochs=given.epochs
    )
    shown = json.loads(json.dumps(dataclasses.asdict(base)))
    found = {**environment("numpy", "torch"), "base": shown, "runs": {name: [] for name in RUNS}}
    if given.out.exists():
        try:
            stored = json.loads(given.out.read_text(encoding="utf-8"))
            same = stored["base"] == shown
        except (ValueError, KeyError, TypeError) as error:
            raise SystemExit(f"{given.out} is damaged ({error}): give another --out") from None
        if not same:
            raise SystemExit(f"{given.out.name} holds runs of other settings: give another --out")
        found["runs"] |= stored["runs"]
    rows = load(base, "cpu")
    todo = [
        (name, seed)
        for seed in range(given.starts)
        for name in RUNS
        if seed not in [run["seed"] for run in found["runs"][name]]
    ]
    for name, seed in tqdm(todo, unit="run"):
        config = configs(dataclasses.replace(base, seed=seed))[name]
        found["runs"][name].append(measured(config, rows))
        write_whole(given.out, readable(found) + "\n")
    return found


if __name__ == "__main__":
    main()
