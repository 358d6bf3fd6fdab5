"""Train the six runs of chapter 24's lesson, by the code of the page itself, and store them.

    python benchmarks/case_runs.py          # about a minute

Every cell of the page above its results is run, but for those of Keras and of the proof that both
libraries agree. Then `trained` of the page trains each of its `RUNS`, two of which the page trains
again while it is built.
"""

import os
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from regbook.grading.report import write_whole
from regbook.notebooks import read
from regbook.stored import environment, readable

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "chapters" / "24_case_cifar10" / "lesson.ipynb"
OUT = ROOT / "benchmarks" / "results" / "case_runs.json"


def _of_keras(cell):
    """Tell whether a cell needs Keras: its own tab, or a part of the proof."""
    tags = set(cell.metadata.get("tags", []))
    proof = "regbook.pairs" in cell.source or "agree(" in cell.source
    return "keras" in tags or proof or ("torch" in tags and "central-pair" not in tags)


def defined(page: Path) -> dict[str, Any]:
    """Run the cells of the page down to the one that defines `trained`; return what they define."""
    space: dict[str, Any] = {"__name__": "__main__"}
    for cell in read(page).cells:
        if cell.cell_type == "code" and not _of_keras(cell):
            exec(compile(cell.source, page.name, "exec"), space)
            if "def trained(" in cell.source:
                return space
    raise SystemExit(f"{page} has no cell that defines `trained`")


def main() -> None:
    """Train and store."""
    matplotlib.use("agg")
    os.chdir(PAGE.parent)
    space = defined(PAGE)
    runs = {}
    for name, config in space["RUNS"].items():
        found = space["trained"](config)
        runs[name] = {key: np.round(value, 4).tolist() for key, value in found.items()}
    write_whole(OUT, readable({**environment("numpy", "torch"), "runs": runs}) + "\n")
    print(f"{OUT} is written.")


if __name__ == "__main__":
    main()
