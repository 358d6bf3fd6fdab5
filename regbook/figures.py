"""One look for every figure, and one colour per method through the whole book."""

import numpy as np

# Okabe and Ito (2008): colours that readers with any colour vision can tell apart.
_ORANGE, _SKY, _GREEN = "#E69F00", "#56B4E9", "#009E73"
_BLUE, _RED, _PURPLE, _BLACK = "#0072B2", "#D55E00", "#CC79A7", "#000000"

COLOURS = {
    "none": _BLACK,
    "L2": _BLUE,
    "AdamW": _SKY,
    "L1": _PURPLE,
    "max-norm": _GREEN,
    "dropout": _RED,
    "batch norm": _ORANGE,
    "layer norm": _GREEN,
    "group norm": _PURPLE,
}

# The colour says which method, the line says which part of the data.
LINES = {"train": ":", "dev": "--", "test": "-"}


def use_style():
    """Set matplotlib's defaults for the book: sizes, grid, and a white ground in both themes."""
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "figure.figsize": (7, 3.6),
            "figure.dpi": 96,
            "figure.constrained_layout.use": True,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "font.size": 10,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
        }
    )


def colour(method):
    """Return the colour of `method`. Raises KeyError, listing the names, for an unknown one."""
    if method not in COLOURS:
        raise KeyError(f"no colour for {method!r}; there are: {', '.join(COLOURS)}")
    return COLOURS[method]


def band(ax, x, values, label, method=None, **line):
    """Draw the mean over seeds with its 95 % interval as a band.

    x: shape (points,); values: shape (seeds, points), in the unit of the y axis.
    label: the legend's text; method: whose colour to take (default: the label's).
    Pass `linestyle=figures.LINES[part]` to tell train, dev and test apart.
    """
    from regbook.claims import mean_interval

    values = np.asarray(values)
    intervals = [mean_interval(column) for column in values.T]
    shade = colour(method or label)
    ax.plot(x, values.mean(axis=0), color=shade, label=label, **line)
    ax.fill_between(
        x,
        [i.low for i in intervals],
        [i.high for i in intervals],
        color=shade,
        alpha=0.2,
        linewidth=0,
    )


def forest(ax, intervals, unit, colours=None):
    """Draw paired differences as points with their 95 % intervals, one row each, and a zero line.

    intervals: `regbook.claims.Interval` by the row's label, first at the top. unit: of the
    x axis. colours: optional, the method whose colour a row takes, by label.
    """
    for row, (label, interval) in enumerate(intervals.items()):
        shade = colour((colours or {}).get(label, "none"))
        ax.plot([interval.low, interval.high], [row, row], color=shade)
        ax.plot(interval.mean, row, "o", color=shade)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(range(len(intervals)), labels=list(intervals))
    ax.set_ylim(len(intervals) - 0.5, -0.5)
    ax.set_xlabel(f"paired difference with 95 % interval ({unit})")
