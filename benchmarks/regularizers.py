"""Measure chapter 21's benchmark: every regularizer, tuned with one budget, in every cell.

    python benchmarks/regularizers.py                       # what the book stores, half an hour
    python benchmarks/regularizers.py --cell "digits 300 20" --arm none --arm dropout
    python benchmarks/regularizers.py --csv mine.csv --target species --out mine.json
    python benchmarks/regularizers.py --dask tcp://10.0.0.5:8786

Each arm of each cell is one task. What is done is written to the file at once, and a second run
goes on where the first one ended. `regbook.benchmark` says what a task does, `compare` there does
it for arrays. `--csv` takes a table with a header line: `--target` names the column with the
classes, `--train`, `--dev`, `--noise`, `--splits` and `--steps` say how to cut and train; a column
that holds texts becomes one column for each of them. `--dask` gives the tasks to a cluster whose
workers have this package.

Declared before the first run: the primary comparisons are those of every arm with "none", tuned and
stopped, in accuracy, in the cell `regbook.benchmark.PRIMARY`. All else is exploratory.
Exit status 2: wrong use, with a sentence that says what to change.
"""

import argparse
import functools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from regbook.benchmark import (
    BASELINE,
    CELLS,
    PRIMARY,
    SOME,
    Plan,
    arms_checked,
    arms_for,
    measure,
    rows_checked,
    rows_of,
)
from regbook.grading.report import write_whole
from regbook.stored import environment, readable

OUT = Path(__file__).parent / "results" / "regularizers.json"
PACKAGES = ("numpy", "scikit-learn", "torch")
CONNECT_SECONDS = 20


class WrongUse(Exception):
    """What was asked for cannot be done; the message says what to change."""


class Cell(NamedTuple):
    """A plan with its rows and the arms to measure."""

    plan: Plan
    x: np.ndarray
    y: np.ndarray
    arms: list[str]


def stored(path: Path, cells: dict[str, Cell]) -> dict[str, Any]:
    """Return what the file holds. Raises WrongUse when it is damaged or holds other plans."""
    if not path.exists():
        primary = {"cell": PRIMARY, "baseline": BASELINE, "metric": "accuracy"}
        return {"primary": primary, "runs": [], "cells": {}}
    try:
        found = json.loads(path.read_text("utf-8"))
        plans = {name: cell["plan"] for name, cell in found["cells"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WrongUse(
            f"{path} is not a file of this script ({error}): name another --out."
        ) from None
    for name, cell in cells.items():
        if plans.get(name, asdict(cell.plan)) != asdict(cell.plan):
            raise WrongUse(f'{path} holds "{name}" with another plan: name another --out.')
    return found


Task = tuple[str, str]  # the cell and the arm


def here(cells: dict[str, Cell], tasks: list[Task]) -> Iterator[tuple[Task, dict]]:
    """Yield the results one after the other, measured in this process."""
    for name, arm in tasks:
        cell = cells[name]
        yield (name, arm), measure(arm, cell.x, cell.y, cell.plan)


def on_cluster(
    address: str, cells: dict[str, Cell], tasks: list[Task]
) -> Iterator[tuple[Task, dict]]:
    """Yield the results as they come from the workers of a dask cluster."""
    try:
        from distributed import Client, as_completed
    except ModuleNotFoundError as error:
        raise WrongUse('--dask needs dask: run `pip install "regbook[dask]"`.') from error
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise WrongUse(f"No dask scheduler answers at {address}: {error}") from error
    with client:
        if not client.nthreads():
            raise WrongUse(f"The dask cluster at {address} has no workers.")
        rows = {name: client.scatter([cell.x, cell.y]) for name, cell in cells.items()}
        asked = {
            client.submit(measure, arm, *rows[name], cells[name].plan, pure=False): (name, arm)
            for name, arm in tasks
        }
        for future in as_completed(asked):
            yield asked[future], future.result()


def run(
    cells: dict[str, Cell],
    out: Path,
    results: Callable[[dict[str, Cell], list[Task]], Iterable[tuple[Task, dict]]] = here,
) -> dict[str, Any]:
    """Measure what the file does not hold yet, write each result at once, return all of it.

    cells: by name. results: `here`, or `on_cluster` with its address.
    """
    found = stored(out, cells)
    for name, cell in cells.items():
        rows = cell.plan.test or len(cell.x) - cell.plan.train - cell.plan.dev
        fresh = {"plan": asdict(cell.plan), "test rows": rows, "arms": {}}
        found["cells"].setdefault(name, fresh)
    todo = [
        (name, arm)
        for name, cell in cells.items()
        for arm in cell.arms
        if arm not in found["cells"][name]["arms"]
    ]
    if todo and (here_and_now := environment(*PACKAGES)) not in found["runs"]:
        found["runs"].append(here_and_now)
    for (name, arm), result in tqdm(results(cells, todo), total=len(todo), desc="arms"):
        found["cells"][name]["arms"][arm] = result
        write_whole(out, readable(found) + "\n")
    return found


def table(path: Path, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of a table with a header line."""
    import pandas as pd

    try:
        rows = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise WrongUse(f"{path} cannot be read as a table: {error}") from None
    if target not in rows:
        columns = ", ".join(map(str, rows.columns))
        raise WrongUse(f"{path} has no column {target!r}. It has: {columns}.")
    y = rows.pop(target).to_numpy()
    return pd.get_dummies(rows, dtype=float).to_numpy(), y


def own(options: argparse.Namespace) -> dict[str, Cell]:
    """Return the cell of a table of the user's own."""
    x, y = table(options.csv, options.target)
    plan = Plan(
        options.csv.stem, options.train or len(x) // 3, options.dev or len(x) // 3,
        noise=options.noise, splits=options.splits, steps=options.steps,
    )  # fmt: skip
    x, y = rows_checked(x, y, plan)
    return {options.csv.stem: Cell(plan, x, y, arms_checked(options.arm, x))}


def arms_of(name: str) -> list[str]:
    """Return the arms that the book stores of a cell."""
    x, _ = rows_of(CELLS[name].data)
    return list(SOME.get(name, arms_for(x)))


def of_the_book(options: argparse.Namespace) -> dict[str, Cell]:
    """Return the cells that the book stores, or those that are named."""
    names = options.cell or list(CELLS)
    unknown = [name for name in names if name not in CELLS]
    if unknown:
        raise WrongUse(f"There is no cell {', '.join(unknown)}. There are: {', '.join(CELLS)}.")
    cells = {}
    for name in names:
        x, y = rows_of(CELLS[name].data)
        cells[name] = Cell(CELLS[name], x, y, arms_checked(options.arm or arms_of(name), x))
    return cells


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    found = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--out", type=Path, help="file to write, or to go on with")
    found.add_argument("--cell", action="append", help="only this cell of the book; repeatable")
    found.add_argument("--arm", action="append", help="only this arm; repeatable")
    found.add_argument("--dask", metavar="ADDRESS", help="scheduler of a dask cluster to use")
    mine = found.add_argument_group("a table of your own")
    mine.add_argument("--csv", type=Path, metavar="FILE")
    mine.add_argument("--target", metavar="COLUMN", help="the column with the classes")
    mine.add_argument("--train", type=int, help="rows (a third of them unless given)")
    mine.add_argument("--dev", type=int, help="rows (a third of them unless given)")
    mine.add_argument("--noise", type=float, default=0.0, help="share of wrong labels, added")
    mine.add_argument("--splits", type=int, default=10)
    mine.add_argument("--steps", type=int, default=Plan.steps)
    return found


def checked(options: argparse.Namespace) -> dict[str, Cell]:
    """Return the cells that the arguments ask for. Raises WrongUse for those that do not fit."""
    if options.csv and options.cell:
        raise WrongUse("Give either --cell, of the book, or --csv, of your own.")
    if bool(options.csv) != bool(options.target):
        raise WrongUse("--csv and --target belong together: the table, and its column of classes.")
    if not 0 <= options.noise < 1 or options.splits < 1 or options.steps < 1:
        raise WrongUse("--noise is from 0 to below 1, --splits and --steps are 1 or more.")
    if any(number is not None and number < 1 for number in (options.train, options.dev)):
        raise WrongUse("--train and --dev are numbers of rows: 1 or more.")
    try:
        return own(options) if options.csv else of_the_book(options)
    except ValueError as error:
        raise WrongUse(f"{error}.") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    options = parser().parse_args(arguments)
    out = options.out or (Path(f"{options.csv.stem}.json") if options.csv else OUT)
    how = functools.partial(on_cluster, options.dask) if options.dask else here
    try:
        run(checked(options), out, how)
    except WrongUse as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{out} is complete.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
