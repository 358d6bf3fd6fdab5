"""Colours tell methods apart, and the two kinds of figure draw what they are given."""

import base64
import io
import itertools
import json
import re

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
from matplotlib import colors, pyplot
from PIL import Image

from regbook import figures
from regbook.claims import mean_interval

# Methods of one family are compared in one figure; "none" and "dropout" are drawn beside both.
FAMILIES = [
    ("none", "L2", "AdamW", "L1", "max-norm", "dropout", "batch norm"),
    ("none", "L2", "dropout", "batch norm", "layer norm", "group norm"),
    ("none", "L2", "L1", "elastic net"),
    ("none", "L2", "dropout", "max-norm", "early stopping"),
    ("hold-out", "k-fold", "stratified", "repeated", "nested"),
    ("none", "leak"),
    ("bias", "variance", "noise"),
    ("linear", "network"),
    ("raw", "standardized"),
    ("zero", "Glorot", "He", "LeCun", "PyTorch", "clipping"),
    ("Keras", "PyTorch"),
    ("one-sided", "centred"),
    ("float32", "float64"),
    ("none", "dropout", "alpha dropout", "batch norm"),
    ("deterministic", "dropout", "MC dropout"),
    ("constant", "step", "exponential", "cosine", "plateau", "1cycle"),
    ("none", "augmentation", "shift", "rotation", "flip", "cutout", "mixup"),
    ("none", "label smoothing", "DisturbLabel", "fixed noise"),
    ("none", "DisturbValue"),
    ("plain", "residual", "pre-activation"),
    ("one scale a layer", "one scale a unit"),
    ("overfit", "label smoothing", "augmentation", "decay and schedule", "sum"),
    ("one threshold", "one threshold a layer", "random choice", "trained on"),
]


@pytest.fixture
def ax():
    figure, axes = pyplot.subplots()
    yield axes
    pyplot.close(figure)


def test_every_method_has_a_colour_and_a_family():
    assert set(figures.COLOURS) == set().union(*FAMILIES)
    assert all(colors.is_color_like(figures.colour(method)) for method in figures.COLOURS)


@pytest.mark.parametrize("family", FAMILIES)
def test_methods_of_one_figure_differ_in_colour(family):
    for one, other in itertools.combinations(family, 2):
        gap = np.subtract(*(colors.to_rgb(figures.colour(m)) for m in (one, other)))
        assert np.abs(gap).max() > 0.2, (one, other)


def test_unknown_method_is_told_the_names():
    with pytest.raises(KeyError, match="no colour for 'l2'; there are: none, L2, AdamW"):
        figures.colour("l2")


def test_band_draws_the_mean_and_its_interval(ax):
    values = np.random.default_rng(0).normal(size=(10, 3))
    figures.band(ax, [1, 2, 3], values, "dev", "L2", linestyle=figures.LINES["dev"])
    (line,), (shade,) = ax.lines, ax.collections
    np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0))
    assert (line.get_label(), line.get_linestyle()) == ("dev", "--")
    assert colors.to_hex(line.get_color()).upper() == figures.colour("L2")
    drawn = shade.get_paths()[0].vertices[:, 1]
    intervals = [mean_interval(column) for column in values.T]
    assert drawn.min() == pytest.approx(min(i.low for i in intervals))
    assert drawn.max() == pytest.approx(max(i.high for i in intervals))


def test_band_takes_the_colour_of_its_label(ax):
    figures.band(ax, [0, 1], np.eye(2), "dropout")
    assert ax.lines[0].get_color() == figures.colour("dropout")


def test_band_takes_an_amounts_colour(ax):
    figures.band(ax, [0, 1], np.eye(2), "50 rows", color=figures.AMOUNTS[0])
    drawn = [ax.lines[0].get_color(), ax.collections[0].get_facecolor()[0, :3]]
    assert [colors.to_hex(shade).upper() for shade in drawn] == [figures.AMOUNTS[0]] * 2


def test_forest_draws_one_interval_per_row_and_the_zero_line(ax):
    rng = np.random.default_rng(1)
    intervals = {name: mean_interval(rng.normal(i, 1, 10)) for i, name in enumerate(["a", "b"])}
    figures.forest(ax, intervals, "points", colours={"b": "AdamW"})
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row is at the top
    assert ax.get_xlabel() == "paired difference with 95 % interval (points)"
    bars, points = ax.lines[0:4:2], ax.lines[1:4:2]
    for bar, point, interval, method in zip(
        bars, points, intervals.values(), ("none", "AdamW"), strict=True
    ):
        assert list(bar.get_xdata()) == [interval.low, interval.high]
        assert point.get_xdata()[0] == interval.mean
        assert bar.get_color() == figures.colour(method)
    assert set(ax.lines[4].get_xdata()) == {0}


def test_style_keeps_figures_on_white():
    with matplotlib.rc_context():
        figures.use_style()
        assert matplotlib.rcParams["savefig.facecolor"] == "white"
        assert matplotlib.rcParams["figure.constrained_layout.use"]


def growing_line(frames=4, **options):
    figure, axes = pyplot.subplots(figsize=(3, 2))
    (line,) = axes.plot([0, 1], [0, 1], color=figures.colour("L2"))
    options = {"alt": "A line that grows", "caption": "See <it> grow.", **options}
    result = figures.moving(figure, lambda i: line.set_ydata([0, i]), frames, **options)
    assert not pyplot.fignum_exists(figure.number)
    return result.data


def frames_of(page):
    (frames,) = re.findall(r"const frames = (\[.*\]);", page)
    return json.loads(frames)


def test_a_moving_figure_holds_its_frames_and_needs_nothing_from_outside():
    page = growing_line()
    frames = frames_of(page)
    assert len(set(frames)) == 4
    pictures = [
        Image.open(io.BytesIO(base64.b64decode(frame.partition("base64,")[2]))) for frame in frames
    ]
    assert {picture.size for picture in pictures} == {(300, 200)}
    assert not re.search(r"https?:|//\w", re.sub('data:[^"]*', "", page))


@pytest.mark.parametrize(("still", "shown"), [(-1, 3), (1, 1)])
def test_a_moving_figure_shows_its_still_without_a_script(still, shown):
    page = growing_line(still=still)
    assert f'<img src="{frames_of(page)[shown]}" alt="A line that grows">' in page
    assert f'max="3" value="{shown}"' in page
    assert "<figcaption>See &lt;it&gt; grow.</figcaption>" in page


def test_a_small_mark_keeps_its_colour():
    figure, axes = pyplot.subplots(figsize=(5, 3))
    rng = np.random.default_rng(0)
    axes.plot(*rng.normal(size=(2, 300)), ".", color=figures.colour("L2"), markersize=3)
    axes.plot(0, 0, "o", color=figures.colour("dropout"), markersize=3)
    data = frames_of(figures.moving(figure, lambda i: None, 1, alt="", caption="").data)[0]
    picture = Image.open(io.BytesIO(base64.b64decode(data.partition("base64,")[2])))
    pixels = np.asarray(picture.convert("RGB")) / 255
    for method in ("L2", "dropout"):
        gap = np.abs(pixels - colors.to_rgb(figures.colour(method))).max(axis=-1)
        assert gap.min() < 0.05, method


def test_a_moving_figure_that_is_too_heavy_is_refused(monkeypatch):
    monkeypatch.setattr(figures, "MOVING_BYTES", 1000)
    with pytest.raises(ValueError, match="allowed are 1,000: draw fewer frames"):
        growing_line()
