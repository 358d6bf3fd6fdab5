"""Run chapter 23's experiments on all 70,000 images of Fashion-MNIST, or on the digits again.

    python benchmarks/case_fashion.py                     # what the book stores
    python benchmarks/case_fashion.py --arm softmax --arm "+ dropout"
    python benchmarks/case_fashion.py --digits            # the same on the digits of the pages

The images come from `$REGBOOK_DATA/fashion_mnist.npz`, or are downloaded once by Keras. Each arm is
one task: its result is written to the file at once, and a second run goes on where the first one
ended. `regbook.case_fashion` has the networks and the training, which the pages share.

Exit status 2: wrong use, with a sentence that says what to change.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from regbook.case_fashion import (
    DIGITS,
    FASHION,
    PARTS,
    RATE,
    TUNED,
    WALK,
    Fitted,
    Images,
    Plan,
    choose,
    fit,
    images_of,
)
from regbook.data import DataError
from regbook.grading.report import write_whole
from regbook.stored import environment, readable

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "torch")


class WrongUse(Exception):
    """What was asked for cannot be done; the message says what to change."""


def _plain(value: np.ndarray) -> list:
    return value.tolist() if value.dtype.kind in "iu" else np.round(value, 3).tolist()


def described(fitted: Fitted, stopped: bool = False) -> dict[str, Any]:
    """Return what is stored of some runs: scores, errors by class, norms of the first layer."""
    confusion = fitted.confusion(stopped)
    found = {name: _plain(value) for name, value in fitted.scores(stopped).items()}
    found["dev"] = _plain(fitted.dev)
    found["confusion"] = _plain(confusion.sum(axis=0))
    found["recall"] = _plain(100 * np.einsum("rkk->rk", confusion) / confusion.sum(axis=2))
    found["largest norm"] = _plain(fitted.norms().max(axis=1))
    return found


def of_the_walk(name: str, plan: Plan, images: Images) -> dict[str, Any]:
    """Train an arm with the settings of the walk, on every split."""
    arm = (WALK | PARTS)[name]
    return described(fit(arm, plan, images, plan.seeds))


def of_the_search(name: str, plan: Plan, images: Images) -> dict[str, Any]:
    """Choose the setting of an arm on three tuning splits, and train it on every split."""
    setting, trials, edges = choose(name, plan, images)
    fitted = fit(TUNED[name], plan, images, plan.seeds, [setting] * plan.splits)
    last = {f"last {key}": _plain(value) for key, value in fitted.scores().items()}
    return {
        "setting": setting,
        "edges": edges,
        "trials": trials,
        **described(fitted, stopped=True),
        **last,
    }


# Does what the walk finds hang on its learning rate? Each arm of these at two others.
OTHER_RATES = {
    f"{name}, rate {rate:g}": (name, rate)
    for rate in (RATE * 0.3, RATE * 3)
    for name in ("softmax", "64 linear units", "+ dropout", "64 ReLU", "L2", "activity L1")
}


def at_another_rate(name: str, plan: Plan, images: Images) -> dict[str, Any]:
    """Train an arm of the walk at a rate that is not the walk's; return the accuracies."""
    arm, rate = OTHER_RATES[name]
    fitted = fit((WALK | PARTS)[arm], plan, images, plan.seeds, [{"rate": rate}] * plan.splits)
    return {"test": _plain(fitted.scores()["test"])}


TASKS: dict[str, Callable[[str, Plan, Images], dict[str, Any]]] = {
    **dict.fromkeys([*WALK, *PARTS], of_the_walk),
    **dict.fromkeys(TUNED, of_the_search),
    **dict.fromkeys(OTHER_RATES, at_another_rate),
}


def stored(path: Path, plan: Plan) -> dict[str, Any]:
    """Return what the file holds. Raises WrongUse when it is damaged or holds another plan."""
    if not path.exists():
        return {"plan": asdict(plan), "runs": [], "arms": {}}
    try:
        found = json.loads(path.read_text("utf-8"))
        other = found["plan"] != asdict(plan) or not isinstance(found["arms"], dict)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WrongUse(
            f"{path} is not a file of this script ({error}): name another --out."
        ) from None
    if other:
        raise WrongUse(f"{path} holds another plan: name another --out.")
    return found


def run(plan: Plan, out: Path, arms: Sequence[str]) -> dict[str, Any]:
    """Measure the arms that the file does not hold yet, write each at once, return all of it."""
    found = stored(out, plan)
    todo = [arm for arm in arms if arm not in found["arms"]]
    if todo:
        images = images_of(plan)
        if (here_and_now := environment(*PACKAGES)) not in found["runs"]:
            found["runs"].append(here_and_now)
    for arm in tqdm(todo, desc="arms"):
        start = time.process_time()
        result = TASKS[arm](arm, plan, images)
        found["arms"][arm] = {"seconds": round(time.process_time() - start, 1), **result}
        write_whole(out, readable(found) + "\n")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="file to write, or to go on with")
    parser.add_argument("--arm", action="append", help="only this arm; repeatable")
    parser.add_argument("--digits", action="store_true", help="the digits of the pages")
    options = parser.parse_args(arguments)
    plan = DIGITS if options.digits else FASHION
    out = options.out or RESULTS / f"case_{'digits' if options.digits else 'fashion'}.json"
    arms = options.arm or list(TASKS)
    try:
        unknown = [arm for arm in arms if arm not in TASKS]
        if unknown:
            names = ", ".join(TASKS)
            raise WrongUse(f"There is no arm {', '.join(unknown)}. There are: {names}.")
        run(plan, out, arms)
    except (WrongUse, DataError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{out} is complete.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
