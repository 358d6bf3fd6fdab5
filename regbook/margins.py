"""The margins of the book's verdicts: the smallest differences that matter, declared in advance."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Margin:
    """The smallest difference that matters in one metric, and which direction is an improvement.

    value: above 0, in `unit` (a plural: "points"). reason: why a page needs another margin.
    """

    value: float
    unit: str
    better: Literal["higher", "lower"] = "higher"
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit.removesuffix('s') if self.value == 1 else self.unit}"


# Fixed before the experiments run, and never after a look at their results. A page that needs
# another margin adds "metric/slug" here with its reason: "accuracy/15_data_augmentation".
MARGINS = {
    "accuracy": Margin(1, "points"),
    "nll": Margin(0.02, "nats", "lower"),
    "ece": Margin(1, "points", "lower"),
    "coverage": Margin(3, "points"),  # worlds in which an interval holds the truth
    "distance": Margin(0.5, "points", "lower"),  # of an estimated score from the true one
    "progression": Margin(1, "points", "lower"),  # RMSE of the diabetes data, about 54 at best
    "rmse/17_disturb_labels": Margin(
        0.02,
        "SDs",
        "lower",
        "of the target; a network errs by about 0.75 SD here, and 0.02 is 3 % of it",
    ),
    "rejection/12_mc_dropout": Margin(
        0.5, "points", reason="a perfect order of the images could gain about 2 of these points"
    ),
    "auroc/12_mc_dropout": Margin(
        1,
        "points",
        reason="the AUROC in percent: guessing has 50, the scores compared have 60 to 90",
    ),
}


def margin(metric: str) -> Margin:
    """Return the declared margin of a metric. Raises KeyError, listing them, when there is none."""
    if metric not in MARGINS:
        raise KeyError(
            f"no margin is declared for {metric!r}; there are: {', '.join(MARGINS)}. "
            "Declare it in regbook/margins.py before the experiment runs"
        )
    return MARGINS[metric]
