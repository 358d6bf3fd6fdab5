"""The conversion rules of the lesson on data augmentation.

The random layers run at fixed parameters: a range whose ends are equal. Keras computes the places
between pixels in float32 even when its floats are float64, and `RandomRotation` does not run in
float64 at all (a fault of Keras 3.15). So the rules are proved with whole pixels and quarter turns
under nearest-pixel interpolation, where the agreement is exact, and in between within rounding.
"""

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regbook.pairs import batches, largest_difference, set_weights

EXACT, ROUNDING, DIFFERENT = 1e-12, 5e-6, 1e-2
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(6, 8, 8, 1))
Y = RNG.integers(0, 3, size=40)
START = [RNG.normal(scale=0.5, size=shape) for shape in [(64, 3), (3,)]]


def channels_first(images):
    return torch.from_numpy(np.moveaxis(images, -1, 1).copy())


def warp(images, matrix, padding="zeros", align_corners=False, mode="bilinear"):
    """Return the images, channels last, warped by one 2 x 3 matrix."""
    x = channels_first(images)
    matrices = torch.tensor(matrix, dtype=x.dtype).repeat(len(x), 1, 1)
    grid = F.affine_grid(matrices, x.shape, align_corners=align_corners)
    x = F.grid_sample(x, grid, mode, padding, align_corners)
    return x.permute(0, 2, 3, 1)


def moved(down, right, mode="nearest", **options):
    return warp(IMAGES, [[1, 0, right], [0, 1, down]], mode=mode, **options)


def translated(down, right, **options):
    options = {"fill_mode": "constant", "interpolation": "nearest"} | options
    layer = keras.layers.RandomTranslation((down, down), (right, right), **options)
    return layer(IMAGES, training=True)


def rotated(factor, images, **options):
    layer = keras.layers.RandomRotation((factor, factor), **{"fill_mode": "constant"} | options)
    return layer(images, training=True)


def turned(angle, images, **options):
    cos, sin = np.cos(angle), np.sin(angle)
    return warp(images, [[cos, -sin, 0], [sin, cos, 0]], **options)


def test_a_shift_is_a_fraction_and_the_grid_looks_up_the_source(float64, convention):
    ours = translated(1 / 8, -1 / 4)
    agreement = largest_difference(ours, moved(-2 / 8, 2 / 4))
    assert agreement < EXACT
    convention(
        "shift of an image",
        keras="`RandomTranslation`: fraction of the height or width, positive is down and right",
        torch="`F.affine_grid`: half images, and where to look: positive moves up and left",
        rule="entry of the matrix = $-2$ times the fraction",
        agreement=agreement,
        naive=largest_difference(ours, moved(1 / 8, -1 / 4)),
    )


def test_the_edges_and_not_the_centres_of_the_corner_pixels_lie_at_one(float64, convention):
    ours = translated(1 / 8, 0.0)
    agreement = largest_difference(ours, moved(-2 / 8, 0))
    assert largest_difference(ours, moved(-2 / 7, 0, align_corners=True)) < EXACT
    convention(
        "corner of an image",
        keras="counts whole pixels from edge to edge",
        torch="`align_corners=True`: $-1$ and 1 are the centres of the corner pixels",
        rule="`align_corners=False` in both functions",
        agreement=agreement,
        naive=largest_difference(ours, moved(-2 / 8, 0, mode="bilinear", align_corners=True)),
    )


@pytest.mark.parametrize(
    ("fill", "padding"),
    [("constant", "zeros"), ("reflect", "reflection"), ("nearest", "border")],
)
def test_names_of_the_border(float64, fill, padding):
    ours, theirs = translated(1 / 4, 1 / 8, fill_mode=fill), moved(-1 / 2, -1 / 4, padding=padding)
    assert largest_difference(ours, theirs) < EXACT


def test_part_of_a_pixel_is_blended_alike(float64):
    ours = translated(0.07, 0.1, interpolation="bilinear")
    assert largest_difference(ours, moved(-0.14, -0.2, mode="bilinear")) < ROUNDING
    assert largest_difference(ours, moved(0.14, 0.2, mode="bilinear")) > DIFFERENT


def test_what_comes_in_at_the_border_by_default(float64, convention):
    layer = keras.layers.RandomTranslation((1 / 4, 1 / 4), (0.0, 0.0), interpolation="nearest")
    ours = layer(IMAGES, training=True)
    convention(
        "default at the border",
        keras="random image layers: `reflect`",
        torch="`F.grid_sample`: `zeros`",
        rule='`fill_mode="constant"`, or `padding_mode="reflection"`',
        agreement=largest_difference(ours, moved(-1 / 2, 0, padding="reflection")),
        naive=largest_difference(ours, moved(-1 / 2, 0)),
    )


def test_an_angle_is_a_fraction_of_a_turn(convention):
    images = IMAGES.astype(np.float32)
    ours = rotated(0.25, images, interpolation="nearest")
    theirs = turned(np.pi / 2, images, mode="nearest")
    assert largest_difference(ours, np.rot90(images, axes=(1, 2))) == 0
    convention(
        "angle of a rotation",
        keras="`RandomRotation`: fraction of a full turn, positive is counter-clockwise",
        torch="the matrix of `F.affine_grid`: radians inside cosine and sine",
        rule="angle = $2 \\pi$ times the factor, in `[[cos, -sin, 0], [sin, cos, 0]]`",
        agreement=largest_difference(ours, theirs),
        naive=largest_difference(ours, turned(0.25, images, mode="nearest")),
    )


@pytest.mark.parametrize("factor", [1 / 24, -1 / 12, 0.1])
def test_any_angle_agrees_in_float32(factor):
    images = IMAGES.astype(np.float32)
    ours = rotated(factor, images)
    assert largest_difference(ours, turned(2 * np.pi * factor, images)) < ROUNDING
    assert largest_difference(ours, turned(-2 * np.pi * factor, images)) > DIFFERENT


def test_random_layers_augment_unless_told_not_to(float64, convention):
    layer = keras.layers.RandomTranslation((1 / 8, 1 / 8), (0.0, 0.0))
    model = keras.Sequential([keras.Input((8, 8, 1)), layer])
    assert largest_difference(model.predict(IMAGES, verbose=0), IMAGES) == 0
    dropout = keras.layers.Dropout(0.5)
    assert largest_difference(dropout(IMAGES), IMAGES) == 0
    convention(
        "calling a random image layer",
        keras="`layer(x)` and `model(x)` augment: `training=True` is the default",
        torch="a module rests after `.eval()`; a function acts when you call it",
        rule="`layer(x, training=False)`",
        agreement=largest_difference(model(IMAGES, training=False), IMAGES),
        naive=largest_difference(model(IMAGES), IMAGES),
    )


def test_the_width_is_another_axis(float64, convention):
    ours = keras.ops.flip(IMAGES, axis=2)
    x = channels_first(IMAGES)
    convention(
        "axis of the width",
        keras="channels last: axis 2",
        torch="channels second: axis 3",
        rule="`x.permute(0, 3, 1, 2)`, then the mirror is `flip(3)`",
        agreement=largest_difference(ours, x.flip(3).permute(0, 2, 3, 1)),
        naive=largest_difference(ours, x.flip(2).permute(0, 2, 3, 1)),
    )


def test_soft_targets_of_mixup_give_the_same_loss(float64):
    logits, weight = RNG.normal(size=(40, 3)), RNG.beta(0.5, 0.5, size=(40, 1))
    one_hot, partner = np.eye(3)[Y], RNG.permutation(40)
    soft = weight * one_hot + (1 - weight) * one_hot[partner]
    ours = keras.losses.CategoricalCrossentropy(from_logits=True)(soft, logits)
    logits, soft = torch.from_numpy(logits), torch.from_numpy(soft)
    assert largest_difference(ours, F.cross_entropy(logits, soft)) < EXACT
    first, second = (
        F.cross_entropy(logits, torch.from_numpy(y), reduction="none") for y in (Y, Y[partner])
    )
    weight = torch.from_numpy(weight[:, 0])
    blend = (weight * first + (1 - weight) * second).mean()
    assert largest_difference(ours, blend) < EXACT
    hard = F.cross_entropy(logits, torch.from_numpy(Y))
    assert largest_difference(ours, hard) > DIFFERENT


def test_twenty_steps_on_the_same_augmented_batches(float64):
    x = RNG.uniform(size=(40, 8, 8, 1))
    copies = [
        warp(x[rows], [[1, 0, right], [0, 1, down]]).numpy()
        for rows, (down, right) in zip(
            batches(40, 10, epochs=5), RNG.integers(-1, 2, size=(20, 2)) / 4, strict=True
        )
    ]

    ours = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    set_weights(ours, START)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours.compile(keras.optimizers.SGD(2**-3), loss)
    for rows, batch in zip(batches(40, 10, epochs=5), copies, strict=True):
        ours.train_on_batch(batch, Y[rows])

    def theirs(images):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        set_weights(model, START)
        optimizer = torch.optim.SGD(model.parameters(), 2**-3)
        for rows, batch in zip(batches(40, 10, epochs=5), images, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(model(channels_first(batch)), torch.from_numpy(Y[rows])).backward()
            optimizer.step()
        return model

    assert largest_difference(ours, theirs(copies)) < EXACT
    untouched = [x[rows] for rows in batches(40, 10, epochs=5)]
    assert largest_difference(ours, theirs(untouched)) > DIFFERENT


def test_the_solution_of_the_exercise_turns_like_keras(solution):
    images, kernel = IMAGES[..., 0], np.eye(64)
    degrees = np.array([90.0, 180, -90, 0, 270, 90])
    ours = np.concatenate(
        [
            rotated(turn, image[None].astype(np.float32))
            for image, turn in zip(IMAGES, degrees / 360, strict=True)
        ]
    )
    theirs = solution("augmented_logits")(images, degrees, kernel, np.zeros(64), True)
    assert largest_difference(ours.reshape(6, 64), theirs) < ROUNDING
    at_rest = solution("augmented_logits")(images, degrees, kernel, np.zeros(64), False)
    assert largest_difference(images.reshape(6, 64), at_rest) < EXACT
