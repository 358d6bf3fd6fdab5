"""One look for every figure, and one colour per method through the whole book."""

import base64
import html
import io
import json
import re
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from regbook.claims import Interval

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
    "elastic net": _ORANGE,
    "early stopping": _SKY,
    # Part I compares ways to measure, and what a measurement is made of.
    "hold-out": _BLACK,
    "k-fold": _BLUE,
    "stratified": _GREEN,
    "repeated": _ORANGE,
    "nested": _RED,
    "leak": _RED,
    "noise": _BLACK,
    "bias": _BLUE,
    "variance": _RED,
    "linear": _ORANGE,
    "network": _BLUE,
    # Part II compares ways to start.
    "raw": _BLACK,
    "standardized": _BLUE,
    "zero": _BLACK,
    "Glorot": _BLUE,
    "He": _RED,
    "LeCun": _GREEN,
    "clipping": _PURPLE,
    "Keras": _RED,
    "PyTorch": _ORANGE,
    "one-sided": _ORANGE,
    "centred": _BLUE,
    "float32": _RED,
    "float64": _BLUE,
    # Part III, continued.
    "alpha dropout": _PURPLE,
    "MC dropout": _SKY,
    "deterministic": _BLACK,
    "constant": _BLACK,
    "step": _BLUE,
    "exponential": _SKY,
    "cosine": _RED,
    "plateau": _GREEN,
    "1cycle": _ORANGE,
    "augmentation": _GREEN,
    "shift": _BLUE,
    "rotation": _ORANGE,
    "flip": _RED,
    "cutout": _PURPLE,
    "mixup": _SKY,
    "label smoothing": _PURPLE,
    "DisturbLabel": _GREEN,
    "DisturbValue": _GREEN,
    "fixed noise": _RED,
    # Part IV: ways to make a network smaller.
    "one scale a layer": _RED,
    "one scale a unit": _BLUE,
    "one threshold": _PURPLE,
    "one threshold a layer": _BLUE,
    "random choice": _BLACK,
    "trained on": _GREEN,
    # Part IV: how a deep network passes on what it gets.
    "plain": _BLACK,
    "residual": _BLUE,
    "pre-activation": _GREEN,
    # Part V: the runs of a case study.
    "overfit": _BLACK,
    "decay and schedule": _BLUE,
    "sum": _RED,
}

# The colour says which method, the line says which part of the data.
LINES = {"train": ":", "dev": "--", "test": "-"}

# Amounts of one thing (rows, epochs, units) from few to many: one hue, darker for more.
AMOUNTS = ("#6BAED6", "#2171B5", "#08306B")

# Bars and areas that stand for a part of the data.
PARTS = {"train": _SKY, "train-dev": _GREEN, "dev": _ORANGE, "test": _RED}

MOVING_BYTES = 400_000


def use_style() -> None:
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


def colour(method: str) -> str:
    """Return the colour of `method`. Raises KeyError, listing the names, for an unknown one."""
    if method not in COLOURS:
        raise KeyError(f"no colour for {method!r}; there are: {', '.join(COLOURS)}")
    return COLOURS[method]


def band(
    ax: "Axes", x: ArrayLike, values: ArrayLike, label: str, method: str | None = None, **line: Any
) -> None:
    """Draw the mean over seeds with its 95 % interval as a band.

    x: shape (points,); values: shape (seeds, points), in the unit of the y axis.
    label: the legend's text; method: whose colour to take (default: the label's), unless
    `color=figures.AMOUNTS[i]` gives one. Pass `linestyle=figures.LINES[part]` to tell train, dev
    and test apart.
    """
    from regbook.claims import mean_interval

    values = np.asarray(values)
    intervals = [mean_interval(column) for column in values.T]
    shade = line.pop("color", None) or colour(method or label)
    ax.plot(x, values.mean(axis=0), color=shade, label=label, **line)
    ax.fill_between(
        x,
        [i.low for i in intervals],
        [i.high for i in intervals],
        color=shade,
        alpha=0.2,
        linewidth=0,
    )


def forest(
    ax: "Axes",
    intervals: "Mapping[str, Interval]",
    unit: str,
    colours: Mapping[str, str] | None = None,
) -> None:
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


# The frames come from matplotlib's `to_jshtml` and are part of the page: it needs no kernel and no
# network. The player is our own, because matplotlib's fetches an icon font from another host and
# describes neither its picture nor its slider.
_PLAYER = """
<figure class="moving" id="{name}">
<style>
.moving {{ margin: 1rem 0; }}
.moving img {{ max-width: 100%; }}
.moving div {{ display: flex; gap: 1rem; max-width: {width}px; margin: 0.5rem 0; }}
.moving input {{ flex: 1; min-width: 0; }}
@media print {{ .moving div {{ display: none; }} }}
@media (prefers-reduced-motion: reduce) {{ .moving button {{ display: none; }} }}
</style>
<img src="{still}" alt="{alt}">
<div><button type="button">Play</button>
<input type="range" min="0" max="{last}" value="{shown}" aria-label="Frame of the moving figure">
</div>
<figcaption>{caption}</figcaption>
<script>
(() => {{
  const figure = document.getElementById("{name}");
  const [image, button, slider] = ["img", "button", "input"].map((t) => figure.querySelector(t));
  const frames = {frames};
  let timer = null;
  const show = (frame) => {{ image.src = frames[frame]; slider.value = frame; }};
  const pause = () => {{ clearInterval(timer); timer = null; button.textContent = "Play"; }};
  const step = () => Number(slider.value) < {last} ? show(Number(slider.value) + 1) : pause();
  slider.addEventListener("input", () => {{ pause(); show(Number(slider.value)); }});
  button.addEventListener("click", () => {{
    if (timer) return pause();
    if (Number(slider.value) === {last}) show(0);
    timer = setInterval(step, {interval});
    button.textContent = "Pause";
  }});
  addEventListener("beforeprint", () => {{ pause(); image.src = frames[{shown}]; }});
  addEventListener("afterprint", () => show(Number(slider.value)));
  show(0);
}})();
</script>
</figure>
"""


def moving(
    fig: "Figure",
    draw: Callable[[int], object],
    frames: int,
    *,
    alt: str,
    caption: str,
    still: int = -1,
    fps: int = 6,
) -> "HTML":
    """Turn a figure into a moving one with a play button and a slider; return it for display.

    fig: a matplotlib figure; it is closed. draw: `draw(i)` changes it into frame i.
    frames: their number. alt: describes the figure to those who cannot see it. caption: says
    what to see. still: the frame on paper; on a screen the first one waits for the reader to
    press play, because a later one would give the answer away. fps: frames per second. Readers
    who ask for reduced motion get no button. Raises ValueError above 400 kB of frames.
    """
    from IPython.display import HTML

    sources = _frames(fig, draw, frames)
    text = json.dumps(sources)
    if len(text) > MOVING_BYTES:
        raise ValueError(
            f"the moving figure takes {len(text):,} bytes, allowed are {MOVING_BYTES:,}: "
            "draw fewer frames or a smaller figure"
        )
    return HTML(
        _PLAYER.format(
            name=f"moving-{zlib.crc32(text.encode()):08x}",
            width=round(fig.get_figwidth() * fig.dpi),
            still=sources[still],
            shown=range(len(sources))[still],
            last=len(sources) - 1,
            frames=text,
            interval=round(1000 / fps),
            alt=html.escape(alt),
            caption=html.escape(caption),
        )
    )


def _frames(fig, draw, frames):
    """Draw the frames; return each as a source for an image of a page, and close the figure."""
    import matplotlib.pyplot as plt
    from matplotlib.animation import FuncAnimation

    animation = FuncAnimation(fig, draw, frames=frames, init_func=lambda: None)
    found = re.findall(r'"data:image/png;base64,([^"]*)"', animation.to_jshtml(embed_frames=True))
    plt.close(fig)
    return [f"data:image/png;base64,{_fewer_colours(frame)}" for frame in found]


def _fewer_colours(png):
    """Return a base64 PNG with 32 colours, which takes about a third of the bytes."""
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(re.sub(r"[\\\s]", "", png))))
    # Maximum coverage keeps the colour of a small mark, which a median cut turns grey.
    few = image.convert("RGB").quantize(32, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    file = io.BytesIO()
    few.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
