"""Checks of chapter 15, data augmentation: no check depends on one stream of random numbers.

Shares are compared with bounds of five standard errors or more, so a right answer hardly ever
fails, whatever it draws with.
"""

import functools

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from regbook.exercise import (
    Chapter,
    brief,
    follows_seed,
    fresh_generator,
    judge,
    outputs,
    training,
    vary,
)

chapter = Chapter("15_data_augmentation")


def _draws(ask, rng, count, image, number):
    """Return the results for `count` generators, in one array: images as large as `image`."""
    results = (ask(image, number, fresh_generator(rng)) for _ in range(count))
    return np.stack([outputs(result, image.shape)[0] for result in results]).astype(float)


def _follows(ask, rng, image, number):
    """Judge that an image follows the generator. There are some 50 places, so 6 seeds do."""

    def draw(seed):
        return ask(image, number, np.random.default_rng(seed))

    return follows_seed(draw, rng, fixed="always the same", unseeded="own generator", seeds=6)


# --- random_shift ----------------------------------------------------------------------------


def _shift(image, max_pixels, rng):
    top, left = rng.integers(2 * max_pixels + 1, size=2)
    return np.pad(image, max_pixels)[top:, left:][: image.shape[0], : image.shape[1]]


random_shift = chapter.exercise(
    "random_shift",
    _shift,
    hints={
        "wraps around": "What leaves on one side comes in on the other, as np.roll does. Let zeros come in.",
        "repeats the border": "The border pixels are repeated where zeros should come in.",
        "nothing left": "Some results are all zeros. A slice such as image[:-0] is empty, and out[0:] is everything: handle a shift of 0.",
        "shuffled": "The pixels are shuffled. All move together, by the same number of rows and columns.",
        "outside the range": "Your shift can be larger than max_pixels.",
        "always the same": "The shift never changes. Draw it anew from `rng` in each call.",
        "own generator": "Equal generators must give equal results. You draw from a source other than `rng`.",
        "one axis only": "Only one axis moves. Draw a shift for rows and for columns.",
        "one draw for both axes": "Rows and columns always move by the same number of pixels. Draw two numbers.",
        "never 0": "A shift of 0 never comes. It belongs to the range.",
        "one side only": "The image moves to one side only. The range begins at -max_pixels.",
        "an end left out": "One end of the range never comes. rng.integers leaves its upper end out, and int() cuts towards 0.",
        "not equally likely": "Some shifts come more often than others. Draw whole numbers with rng.integers.",
        "not independent": "Some pairs of shifts never come, or come too often. Draw the two shifts independently of each other.",
    },
)


def _find_shifts(outs, image, reach, mode="constant"):
    """Look for the shift, of up to `reach` pixels, that makes each of `outs` of the image.

    mode: what comes in, as np.pad calls it. Returns whether there is one, of shape (outs,), and
    the shifts down and to the right, of shape (outs, 2).
    """
    windows = sliding_window_view(np.pad(image, reach, mode), image.shape)
    fits = np.isclose(outs[:, None, None], windows, rtol=1e-3, atol=1e-5).all(axis=(3, 4))
    flat = fits.reshape(len(outs), -1)
    first = np.unravel_index(flat.argmax(axis=1), windows.shape[:2])
    return flat.any(axis=1), reach - np.stack(first, axis=1)


@random_shift.check(
    points=2,
    hint="Each result must be the image moved by whole pixels, with zeros where nothing was.",
    more="A frame of max_pixels zeros on each side (np.pad) holds every shifted image: the place at which you cut it out is the shift. A shift may be larger than the image.",
    keeps_input=True,
)
def moves_with_zeros_coming_in(ask, rng):
    """moves the image as a whole, and zeros come in"""
    cases = ((5, 6), 2), ((3, 3), 5)
    for shape, reach in cases:  # in the second, most shifts are larger than the image
        image = rng.uniform(1, 2, size=shape)
        outs = _draws(ask, rng, 12, image, reach)
        strange = outs[~_find_shifts(outs, image, reach)[0]]
        if len(strange):
            return judge(
                False, "a shift with zeros", brief(strange[0]), _strange(strange[:1], image, reach)
            )
    return judge(True, "shifts with zeros", "shifts with zeros")


def _strange(out, image, reach):
    """Tell of one result that is no shift which mistakes fit it."""
    return {
        "wraps around": _find_shifts(out, image, reach, "wrap")[0].all(),
        "repeats the border": _find_shifts(out, image, reach, "edge")[0].all(),
        "nothing left": (out == 0).all(),
        "outside the range": _find_shifts(out, image, reach + 3)[0].all(),
        "shuffled": (np.sort(out.ravel()) == np.sort(image.ravel())).all(),
    }


@random_shift.check(
    points=2,
    hint="Rows and columns are drawn by themselves, each equally likely from -max_pixels to max_pixels.",
    more="For max_pixels = 1 there are nine pairs of shifts, each in a ninth of the draws. Look up which ends rng.integers includes.",
)
def draws_all_shifts_alike(ask, rng):
    """draws every shift of each axis, both ends included, equally often"""
    image, count = rng.uniform(1, 2, size=(3, 4)), 240
    outs = _draws(ask, rng, count, image, 1)
    known, found = _find_shifts(outs, image, 2)
    if not known.all():
        strange = outs[~known]
        wrong = {"nothing left": (strange[0] == 0).all()}
        return judge(False, "shifts by -1, 0 or 1", brief(strange[0]), wrong)
    shares = np.stack([(found == v).mean(axis=0) for v in (-1, 0, 1)], axis=1)  # (axis, shift)
    pairs = np.bincount(found @ (3, 1) + 4, minlength=9) / count
    pooled, still = shares.mean(axis=0), np.ptp(found, axis=0) == 0
    unequal = np.abs(pooled - 1 / 3).max() >= 5 * np.sqrt(2 / 9 / (2 * count))
    dependent = np.abs(pairs - 1 / 9).max() >= 5 * np.sqrt(8 / 81 / count)
    wrong = {
        "outside the range": np.abs(found).max() > 1,
        "always the same": still.all(),
        "one axis only": still.any(),
        "never 0": pooled[1] == 0,
        "one draw for both axes": np.ptp(np.abs(found), axis=1).max() == 0,
        "one side only": shares.min() == 0 and _one_sided(ask, rng),
        "an end left out": shares.min() == 0,
        "not independent": pairs.min() == 0 or (dependent and not unequal),
        "not equally likely": unequal,
    }
    return judge(
        not any(wrong.values()),
        "each of -1, 0, 1 in a third of the draws, and each pair of them in a ninth",
        "; ".join(" ".join(f"{share:.2f}" for share in axis) for axis in shares),
        wrong,
    )


def _one_sided(ask, rng):
    """Tell whether an axis moves to one side only also when max_pixels is 3."""
    image = rng.uniform(1, 2, size=(5, 5))
    found = _find_shifts(_draws(ask, rng, 30, image, 3), image, 3)[1]
    return ((found >= 0).all(axis=0) | (found <= 0).all(axis=0)).any()


@random_shift.check(
    hint="With max_pixels = 0 the image stays as it is.",
    more="The only shift in the range from -0 to 0 is 0.",
)
def rests_at_zero(ask, rng):
    """changes nothing when max_pixels is 0"""
    return ask(rng.uniform(1, 2, size=(4, 3)), 0, fresh_generator(rng))


@random_shift.check(
    hint="The shift must come from `rng` and from nothing else.",
    more="Use only the methods of `rng`, and create no generator of your own.",
)
def shift_follows_the_generator(ask, rng):
    """draws from rng: another generator, another shift; an equal one, the same"""
    return _follows(ask, rng, rng.uniform(1, 2, size=(5, 5)), 3)


# --- cutout ----------------------------------------------------------------------------------


def _cutout(image, size, rng):
    top, left = (rng.integers(side - size + 1) for side in image.shape)
    out = image.copy()
    out[top : top + size, left : left + size] = 0
    return out


cutout = chapter.exercise(
    "cutout",
    _cutout,
    hints={
        "nothing cut": "No pixel has changed. Do you return the copy?",
        "other filling": "The square is filled with something other than 0.",
        "inside out": "You kept the square and cut the rest: swap them.",
        "single pixels": "The zeros do not form one square. Cutout removes a region: draw a corner, not every pixel by itself.",
        "whole rows": "You cut whole rows or columns, not a square.",
        "half width": "Your square is about twice as wide. `size` is its full side, not half of it.",
        "one too wide": "Your square is one pixel too wide: a slice from top to top + size has size rows.",
        "too small": "Your square is too small: it has size rows and size columns, for an odd and for an even size.",
        "clipped": "The square is cut off at the border. Draw its corner so that it fits inside.",
        "always the same": "The square is always in the same place. Draw it anew from `rng` in each call.",
        "own generator": "Equal generators must give equal results. You draw from a source other than `rng`.",
        "one draw for both axes": "Row and column of the corner are always equal. Draw two numbers.",
        "places left out": "Some places never come. The corner runs from 0 to height - size, the end included: rng.integers(height - size + 1).",
        "not equally likely": "Some places come more often than others.",
    },
)


def _box(marked):
    """Return (height, width) of the smallest box around the marked pixels."""
    ys, xs = np.nonzero(marked)
    return (np.ptp(ys) + 1, np.ptp(xs) + 1) if len(ys) else (0, 0)


@cutout.check(
    points=2,
    hint="Exactly size x size neighbouring pixels are 0, all others are unchanged.",
    more="With a corner (top, left), the square takes the rows from top to top + size - 1 and as many columns. Change a copy. A centre instead of a corner needs care when size is even.",
)
def cuts_one_square(ask, rng):
    """sets one square of size x size pixels to 0 and nothing else"""
    image = rng.uniform(1, 2, size=(8, 9))
    for size, count in ((3, 25), (4, 4)):
        outs = _draws(ask, rng, count, image, size)
        cuts = ~np.isclose(outs, image, rtol=1e-3)
        # The largest first: a square that is too wide may also be clipped in another draw.
        order = np.argsort(-cuts.sum(axis=(1, 2)), kind="stable")
        largest = max(_box(cuts[order[0]]))
        for i in order:
            found = _square_fault(image, outs[i], cuts[i], size, largest)
            if found:
                return found
    return judge(True, "squares of size x size zeros", "squares of zeros")


def _square_fault(image, out, cut, size, largest):
    """Return the Outcome of a result that is no square of zeros, else None.

    largest: the longest side of any square that was cut.
    """
    values, number, (height, width) = out[cut], cut.sum(), _box(cut)
    zero, full = (np.abs(values) <= 1e-6).all(), number == height * width
    if zero and full and height == width == size:
        return None
    wrong = {
        "nothing cut": number == 0,
        "other filling": not zero and np.ptp(values) < 1e-6,
        "inside out": zero and number == image.size - size**2,
        "single pixels": zero and not full,
        "whole rows": zero and (height == len(image) or width == len(image[0])),
        "half width": zero and max(height, width) > 2 * size - 1,
        "one too wide": zero and height == width == size + 1,
        "too small": zero and largest < size,
        "clipped": zero and max(height, width) <= size,
    }
    return judge(False, f"a square of {size} x {size} zeros", f"{number} changed pixels", wrong)


@cutout.check(
    points=2,
    hint="Every place at which the square fits must be equally likely, for rows and for columns.",
    more="A square of 3 has three places in 5 rows: its corner is in row 0, 1 or 2. Count them for any height and size, and do the same for the columns.",
)
def visits_every_place(ask, rng):
    """puts the square in all places, equally often"""
    image, size, count = rng.uniform(1, 2, size=(5, 4)), 3, 160
    places, outs = list(np.ndindex(3, 2)), _draws(ask, rng, count, image, size)
    kept = np.ones((len(places), *image.shape))
    for mask, (top, left) in zip(kept, places, strict=True):
        mask[top : top + size, left : left + size] = 0
    fits = ((outs != 0) == kept[:, None]).all(axis=(2, 3))  # (place, draw)
    strange = outs[~fits.any(axis=0)]
    if len(strange):
        return judge(False, "squares of 3 x 3 zeros", brief(strange[0]))
    tops = _draws(ask, rng, 24, image[:3, :2], 2)[:, 0, 0] == 0  # an even size has two places
    shares, diagonal = fits.mean(axis=1), [top == left for top, left in places]
    wrong = {
        "always the same": shares.max() == 1,
        "one draw for both axes": fits[diagonal].any(axis=0).all(),
        "places left out": shares.min() == 0 or tops.all() or not tops.any(),
        "not equally likely": np.abs(shares - 1 / 6).max() > 5 * np.sqrt(5 / 36 / count),
    }
    received = " ".join(f"{share:.2f}" for share in shares)
    expected = "six places, a sixth of the draws each"
    return judge(not any(wrong.values()), expected, received, wrong)


@cutout.check(
    hint="A square as large as the picture has one place, and leaves nothing.",
    more="For height = size there is one place: the corner is in row 0. Does your draw allow for a range of one number?",
    keeps_input=True,
)
def can_cut_everything(ask, rng):
    """cuts everything when the square is as large as the picture"""
    return ask(rng.uniform(1, 2, size=(3, 3)), 3, fresh_generator(rng))


@cutout.check(
    hint="The place must come from `rng` and from nothing else.",
    more="Use only the methods of `rng`, and create no generator of your own.",
)
def cutout_follows_the_generator(ask, rng):
    """draws from rng: another generator, another place; an equal one, the same"""
    return _follows(ask, rng, rng.uniform(1, 2, size=(9, 9)), 2)


# --- mixup -----------------------------------------------------------------------------------

ROWS = 7


def _mixup(x, y, alpha, rng):
    weight, partner = rng.beta(alpha, alpha), rng.permutation(len(x))
    return tuple(weight * part + (1 - weight) * part[partner] for part in (x, y))


mixup = chapter.exercise(
    "mixup",
    _mixup,
    hints={
        "rows shuffled": "Your rows are in another order. Row i is row i blended with its partner.",
        "already blended": "Some rows are blended with rows that are already blended. Blend all of them from the old ones.",
        "weight rounded": "Your weight is rounded. Use it as it is drawn.",
        "rows turned": "Every row has its partner at the same distance. Draw a permutation of the rows, not only where it starts.",
        "labels not mixed": "Your targets are the old ones. Blend them with the same weight and partner as x.",
        "hard labels": "Your targets are still one-hot. Mixup blends them too: they become soft.",
        "weights do not add up": "The two weights must add up to 1, so that every target does.",
        "no permutation": "Some rows are partners twice, others never. Draw one permutation of the rows.",
        "a weight per row": "Your rows have different weights. Draw a single weight per call here.",
        "images not mixed": "The rows of x are the old ones, only the targets are blended. Blend both.",
        "weights swapped": "Rows and targets are blended with opposite weights: own row weight, partner 1 - weight, in both.",
        "another partner": "Rows and targets have different partners. Draw the permutation once, for both.",
        "another weight": "Rows and targets have different weights. Draw the weight once, for both.",
        "a weight per pixel": "Every pixel has a weight of its own. One weight blends the whole row.",
        "own generator": "Equal generators must give equal results. You draw from a source other than `rng`.",
        "fixed partners": "Each row meets the same partner in every call. Draw a permutation from `rng`.",
        "always the same weight": "Your weight never changes. Draw it in each call.",
        "alpha ignored": "Your weight does not depend on alpha. Draw it with rng.beta(alpha, alpha).",
        "one parameter only": "Your weight is not symmetric around 1/2. Both parameters of the Beta are alpha.",
        "one side only": "Your weight always lies on one side of 1/2. Use it as it is drawn.",
        "alpha inverted": "A large alpha must give weights near 1/2. You use 1 / alpha.",
    },
)


def _mix(ask, x, alpha, rng):
    """Ask with a class per row, so that the targets show weight and partner."""
    received = ask(x, np.eye(ROWS), alpha, fresh_generator(rng))
    return tuple(part.astype(float) for part in outputs(received, x.shape, (ROWS, ROWS)))


def _read(y_mix):
    """Return the weights that the targets of one class per row show, and each row's partner.

    A row that is its own partner shows no weight.
    """
    own, rows = np.diag(y_mix), np.arange(ROWS)
    others = y_mix - np.diag(own)
    partner = np.where(others.max(axis=1) > 1e-6, others.argmax(axis=1), rows)
    return own[partner != rows], partner


def _rounded(targets):
    """Tell whether the weights of all calls are whole per cents, and not always the same."""
    own = np.unique(targets.diagonal(axis1=1, axis2=2).round(4))
    return np.allclose(own * 100, np.rint(own * 100), atol=1e-3) and len(own[own < 1]) > 1


@mixup.check(
    points=2,
    hint="Each target is weight times its own plus 1 - weight times its partner's, one weight for all.",
    more="With a weight of 0.75, row 0 and partner 3, the target of row 0 is 0.75 at its own class and 0.25 at that of row 3. Every row is the partner of exactly one.",
)
def blends_the_targets(ask, rng):
    """blends the targets with one weight, along a permutation"""
    x, eye = rng.normal(size=(ROWS, 5)), np.eye(ROWS)
    targets = np.stack([_mix(ask, x, 2.0, rng)[1] for _ in range(8)])
    for y_mix in targets:
        weights, partner = _read(y_mix)
        blended = (np.abs(y_mix) > 1e-6).sum(axis=1)
        wrong = {
            "weights do not add up": not np.allclose(y_mix.sum(axis=1), 1, atol=1e-4),
            "rows shuffled": np.any((np.diag(y_mix) < 1e-6) & (blended > 1)),
            "already blended": blended.max() > 2,
            "labels not mixed": np.allclose(targets, eye, atol=1e-5),
            "hard labels": np.isin(targets, (0, 1)).all(),
            "weight rounded": _rounded(targets),
            "no permutation": len(set(partner)) < ROWS,
            "a weight per row": len(weights) and np.ptp(weights) > 1e-4,
        }
        weight = weights[0] if len(weights) else 1.0
        right = weight * eye + (1 - weight) * eye[partner]
        if any(wrong.values()) or not np.allclose(y_mix, right, atol=1e-4):
            return judge(False, "targets of weight and 1 - weight", brief(y_mix), wrong)
    return judge(True, "blended targets", "blended targets")


@mixup.check(
    points=2,
    hint="The rows of x must be blended with the weight and the partners of the targets.",
    more="Draw weight and partner once, then use both for x and for y.",
    keeps_input=True,
)
def blends_rows_like_targets(ask, rng):
    """blends the rows with the weight and the partners of their targets"""
    x = rng.normal(size=(ROWS, 5))
    for _ in range(8):
        x_mix, y_mix = _mix(ask, x, 2.0, rng)
        weights, partner = _read(y_mix)
        if not len(weights):
            continue
        weight, moved = weights[0], partner != np.arange(ROWS)
        right = weight * x + (1 - weight) * x[partner]
        if np.allclose(x_mix, right, rtol=1e-3, atol=1e-5):
            continue
        # How far each blended row is from weight * row + (1 - weight) * any other row.
        distances = np.abs((x_mix - weight * x)[:, None] - (1 - weight) * x).max(axis=2)
        shares = (x_mix - x[partner])[moved] / (x - x[partner])[moved]
        wrong = {
            "images not mixed": np.allclose(x_mix, x, rtol=1e-3),
            "weights swapped": np.allclose(x_mix, x + x[partner] - right, rtol=1e-3, atol=1e-5),
            "another partner": distances.min(axis=1).max() < 1e-4,
            "another weight": np.ptp(shares, axis=1).max() < 1e-2,
            "a weight per pixel": shares.min() > -1e-6 and shares.max() < 1 + 1e-6,
        }
        row = np.abs(x_mix - right).sum(axis=1).argmax()
        shown = (f"row {row}: {brief(part[row])}" for part in (right, x_mix))
        return judge(False, *shown, wrong)
    return judge(True, "rows blended like targets", "rows blended like targets")


@mixup.check(
    points=2,
    hint="The weight follows Beta(alpha, alpha): near 1/2 for a large alpha, near 0 or 1 for a small one.",
    more="NumPy's generators have a method for the Beta distribution. Which two parameters does it take, and what are they here?",
)
def draws_from_the_beta_distribution(ask, rng):
    """draws the weight from Beta(alpha, alpha)"""
    x = rng.normal(size=(ROWS, 2))
    large, small = (
        np.concatenate([_read(_mix(ask, x, alpha, rng)[1])[0][:1] for _ in range(60)])
        for alpha in (8.0, 0.1)
    )
    expected = "distance from 1/2: about 0.10 at alpha 8, about 0.44 at alpha 0.1"
    if not len(large) or not len(small):
        return judge(False, expected, "no blended targets")
    narrow, wide, mean = np.abs(large - 0.5).mean(), np.abs(small - 0.5).mean(), large.mean()
    wrong = {
        "always the same weight": np.ptp(large) < 1e-6,
        "alpha ignored": 0.15 < narrow < 0.35 and 0.15 < wide < 0.35,
        "one parameter only": abs(mean - 0.5) > 0.2,
        "one side only": abs(mean - 0.5) > 0.068 and (large >= 0.5).mean() in (0, 1),
        "alpha inverted": narrow > wide,
    }
    near = 0.05 < narrow < 0.16 and wide > 0.35 and abs(mean - 0.5) < 0.09
    received = f"{narrow:.2f} and {wide:.2f}, mean {mean:.2f}"
    return judge(near and not any(wrong.values()), expected, received, wrong)


@mixup.check(
    hint="Weight and partners must come from `rng`, and the partners must change from call to call.",
    more="Neither reversed rows, nor rows moved on by one, nor a fixed order: NumPy's generators can draw an order of the rows.",
)
def mixup_follows_the_generator(ask, rng):
    """draws from rng, partners included"""
    x, y = rng.normal(size=(ROWS, 5)), np.eye(ROWS)
    partners = np.stack([_read(_mix(ask, x, 2.0, rng)[1])[1] for _ in range(6)])
    if (partners == partners[0]).all():
        shown = "partners that change", "the same partners every time"
        return judge(False, *shown, {"fixed partners": True})
    distances = (partners - np.arange(ROWS)) % ROWS
    if (distances == distances[:, :1]).all():
        shown = "partners at several distances", "all at one distance"
        return judge(False, *shown, {"rows turned": True})

    def draw(seed):
        return ask(x, y, 2.0, np.random.default_rng(seed))

    return follows_seed(draw, rng, fixed="fixed partners", unseeded="own generator")


# --- is_label_preserving ---------------------------------------------------------------------


def _verdict(
    transform,
    images,
    labels,
    oracle,
    tolerance,
    *,
    lost=np.not_equal,
    groups=lambda after, labels: labels,
    pick=lambda shares, sizes: shares.argmax(),
    accepts=np.less_equal,
    mean=False,
    index=False,
):
    """Return the verdict on a transform, or that of a variant of the rule."""
    after = oracle(transform(images))
    changed, groups = lost(after, labels), groups(after, labels)
    classes, sizes = np.unique(labels, return_counts=True)
    shares = np.array([changed[groups == c].mean() if c in groups else 0 for c in classes])
    worst = pick(shares, sizes)
    return {
        "preserving": accepts(changed.mean() if mean else shares[worst], tolerance),
        "worst": worst if index else classes[worst],
    }


def _classes_after(transform, images, labels, oracle, tolerance):
    after = oracle(transform(images))
    classes = np.unique(after[after >= 0])
    classes = classes[np.isin(classes, labels)]
    shares = np.array([(after != labels)[labels == c].mean() for c in classes])
    return {"preserving": shares.max() <= tolerance, "worst": classes[shares.argmax()]}


def _by_appearance(step):
    """Return the answer that takes the classes as they come in `labels`, or in them from behind."""

    def answer(transform, images, labels, oracle, tolerance):
        lost, labels = (oracle(transform(images)) != labels)[::step], labels[::step]
        shares = {c: lost[labels == c].mean() for c in labels.tolist()}
        worst = max(shares, key=shares.get)
        return {"preserving": shares[worst] <= tolerance, "worst": worst}

    return answer


def _images_compared(transform, images, labels, oracle, tolerance):
    changed = (transform(images) != images).any(axis=(1, 2))
    return _verdict(transform, images, labels, lambda _: np.where(changed, -1, labels), tolerance)


is_label_preserving = chapter.exercise(
    "is_label_preserving",
    _verdict,
    mistakes={
        "not transformed": vary(_verdict, transform=lambda transform: np.copy),
        "target class": vary(_verdict, groups=lambda after, labels: after),
        "images compared": _images_compared,
        "classes after": _classes_after,
        "first to appear": [_by_appearance(1), _by_appearance(-1)],
        "share rounded": [
            vary(_verdict, accepts=lambda share, tolerance: np.round(share, 2) <= tolerance),
            vary(_verdict, accepts=lambda share, tolerance: np.round(share, 1) <= tolerance),
        ],
        "mean over all": vary(_verdict, mean=True),
        "counts": vary(_verdict, pick=lambda shares, sizes: (shares * sizes).argmax()),
        "index for class": vary(_verdict, index=True),
        "best for worst": vary(_verdict, pick=lambda shares, sizes: shares.argmin()),
        "upside down": vary(_verdict, accepts=np.greater),
        "no class ignored": vary(_verdict, lost=lambda after, y: (after != y) & (after >= 0)),
        "tolerance ignored": [vary(_verdict, tolerance=0.0), vary(_verdict, tolerance=0.5)],
        "strict": vary(_verdict, accepts=np.less),
        "last of equals": vary(_verdict, pick=lambda s, sizes: np.flatnonzero(s == s.max())[-1]),
    },
    hints={
        "not transformed": "You asked the oracle about the original images, or found no change. Ask it about transform(images).",
        "target class": "You grouped by the class after the transform. Group by `labels`.",
        "images compared": "You compare the images. A transform may change every pixel and keep the label: ask the oracle.",
        "classes after": "You go through the classes that are left after the transform. One that is lost as a whole is not among them: go through those of `labels`.",
        "first to appear": "Of equal shares, the order of `labels` decides in your function. Name the smallest class.",
        "share rounded": "You accept a share that lies a little above `tolerance`. Compare it as it is, without rounding.",
        "mean over all": "You average over all classes. A transform that ruins one class of many changes few labels: compare the largest share of a class with the tolerance.",
        "counts": "You look at the class with most changed images. A large class has more of them: compare shares, not numbers.",
        "index for class": "You return the position among the classes. Return the class itself.",
        "best for worst": "You name the class that loses fewest of its labels. Name the one that loses most.",
        "upside down": "Your verdict is turned around.",
        "no class ignored": "You leave out the images that the oracle calls -1. Their label is lost too.",
        "tolerance ignored": "Your verdict does not depend on `tolerance`. Accept exactly when no class loses more than that share.",
        "strict": "You reject a share of exactly `tolerance`. It is still accepted: compare with <=.",
        "last of equals": "Of equal shares, name the smallest class.",
    },
)


# An image holds its class in one corner, and what the transform makes of it in another.
def _oracle(images):
    return np.rint(np.asarray(images)[:, 0, 0]).astype(int)


def _transform(images):
    out = np.array(images, dtype=float)
    out[:, 0, 0] = out[:, 1, 1]
    out[:, 0, 1] += 1  # in every image, and without a meaning
    return out


def _task(rng, counts, becomes):
    """Draw images: counts[c] of class c, of which becomes[c] = {new class: how many} change."""
    labels = np.repeat(list(counts), list(counts.values()))
    after = labels.copy()
    for c, changes in becomes.items():
        new = np.repeat(list(changes), list(changes.values()))
        after[np.flatnonzero(labels == c)[: len(new)]] = new
    images = rng.uniform(size=(len(labels), 2, 2))
    images[:, 0, 0], images[:, 1, 1] = labels, after
    order = rng.permutation(len(labels))
    return images[order], labels[order]


def _sorted(images, labels):
    order = np.argsort(labels)
    return images[order], labels[order]


@is_label_preserving.check(
    points=2,
    hint="Compute the share of changed labels class by class, and compare the largest with tolerance.",
    more="np.unique gives the classes. Of each, take the images with this label and the share of them to which the oracle gives another class after the transform. That may be all of them.",
)
def sees_the_ruined_class(ask, rng):
    """rejects a transform that ruins one class of many, and names it"""
    low = int(rng.integers(5, 9))
    ruined, large = low + 3, low + 1
    counts = {low: 12, large: 40, low + 2: 12, ruined: 8, low + 5: 12}
    becomes = {low: {low + 2: 1}, ruined: {low: 8}, large: {low: 10}}
    return ask(_transform, *_task(rng, counts, becomes), _oracle, 0.25)


@is_label_preserving.check(
    points=2,
    hint="A share of exactly `tolerance` is still accepted; a share above it is not.",
    more="With tolerance 0.2, 2 of 10 lost labels are accepted, and 14 of 69 are not: that is 0.203.",
)
def accepts_up_to_the_tolerance(ask, rng):
    """accepts a share of exactly the tolerance, and no more"""
    images, labels = _task(rng, {3: 8, 6: 8, 9: 16}, {6: {3: 2}, 9: {3: 2}})
    more = _task(rng, {3: 8, 6: 69}, {6: {3: 14}})
    answers = {
        f"a quarter lost, tolerance {tolerance}": ask(
            _transform, images, labels, _oracle, tolerance
        )
        for tolerance in (0.25, 0.125)
    }
    return answers | {"14 of 69 lost, tolerance 0.2": ask(_transform, *more, _oracle, 0.2)}


@is_label_preserving.check(
    hint="An image that the oracle calls -1 belongs to no class: its label is lost as well.",
    more="-1 differs from every label. Leave no image out.",
)
def counts_what_is_no_class(ask, rng):
    """counts an image that belongs to no class any more as changed"""
    images, labels = _task(rng, {1: 8, 4: 8, 7: 8}, {4: {-1: 6}, 7: {1: 2}})
    return ask(_transform, images, labels, _oracle, 0.5)


@is_label_preserving.check(
    hint="If several classes have the same share, name the smallest one.",
    more="np.argmax returns the first of equal values, and np.unique sorts the classes.",
)
def names_the_smallest_of_equals(ask, rng):
    """names the smallest of equally bad classes, also when nothing changes"""
    counts = {2: 4, 5: 4, 8: 8}
    # The smallest of the equal classes comes last in `labels`, and in the second case first.
    images, labels = _sorted(*_task(rng, counts, {5: {2: 2}, 8: {2: 4}}))
    return {
        "two classes tie": ask(_transform, images[::-1], labels[::-1], _oracle, 0.5),
        "nothing changes": ask(_transform, *_sorted(*_task(rng, counts, {})), _oracle, 0.0),
    }


# --- augmented_logits ------------------------------------------------------------------------


def _turned(images, angles):
    """Rotate counter-clockwise about the centre, bilinear, zeros outside. Angles in radians."""
    grid = np.arange(images.shape[1]) - (images.shape[1] - 1) / 2  # pixels from the centre
    cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    y, x = sin * grid + cos * grid[:, None], cos * grid - sin * grid[:, None]
    # A pixel gives to a place less than one pixel away from it, along rows and along columns.
    rows, columns = (np.maximum(1 - np.abs(at[..., None] - grid), 0) for at in (y, x))
    return np.einsum("kijr,kijc,krc->kij", rows, columns, images)


def _logits(images, degrees, kernel, bias, training, *, radians=np.deg2rad, axes=(0, 1, 2)):
    turned = _turned(images, radians(degrees)) if training else images
    return turned.transpose(axes).reshape(len(images), -1) @ kernel + bias


def _first(degrees):
    return np.full_like(degrees, degrees[0])


def _last(degrees):
    return np.full_like(degrees, degrees[-1])


augmented_logits = chapter.exercise(
    "augmented_logits",
    _logits,
    mistakes={
        "degrees as radians": [
            vary(_logits, radians=lambda degrees: degrees),
            vary(_logits, radians=lambda degrees: -degrees),
            vary(_logits, radians=lambda degrees: -_first(degrees), training=True),
        ],
        "one angle for all": [
            vary(_logits, degrees=_first),
            vary(_logits, degrees=lambda degrees: -_first(degrees)),
            vary(_logits, degrees=_last),
        ],
        "sign ignored": vary(_logits, degrees=np.abs),
        "clockwise": vary(_logits, degrees=lambda degrees: -degrees),
        "not turned": [
            vary(_logits, training=lambda training: not training),
            vary(_logits, training=False),
        ],
        "active in evaluation": vary(_logits, training=True),
        "columns first": vary(_logits, axes=(0, 2, 1)),
        "bias missing": vary(_logits, bias=0.0),
    },
    hints={
        "degrees as radians": "You take degrees for radians. Convert them: np.deg2rad or torch.deg2rad.",
        "one angle for all": "All images turn by one angle. Every image has its own.",
        "sign ignored": "You turn by negative angles as if they were positive.",
        "clockwise": "You turn clockwise. The matrix maps output to input, so the signs of the two sines are reversed.",
        "not turned": "Nothing is turned in training. Is the mode the wrong way round?",
        "active in evaluation": "You turn in evaluation too. Augmentation belongs to training alone.",
        "columns first": "You flatten column by column. Flatten row by row.",
        "bias missing": "The bias is missing.",
    },
)


def _classifier(rng, rows=5, size=4, classes=3):
    images = rng.normal(size=(rows, size, size))
    degrees = 90.0 * np.array([1, 0, *rng.permutation([3, -2, -1])])[:rows]
    return images, degrees, rng.normal(size=(size**2, classes)), rng.normal(size=classes)


@augmented_logits.check(
    points=3,
    hint="In training, image i is turned counter-clockwise by degrees[i], then flattened row by row.",
    more="Three things to check one by one, with one image: radians, one matrix (or one call) per image, and the sign. 90 degrees turn [[1, 2], [3, 4]] into [[2, 4], [1, 3]].",
)
def turns_every_image(ask, rng):
    """turns every image by its own angle, counter-clockwise, in training"""
    return ask(*_classifier(rng), True)


@augmented_logits.check(
    points=2,
    hint="With training=False the images go to the classifier as they are.",
    more="Rotate only inside `if training:`.",
    keeps_input=True,
)
def rests_in_evaluation(ask, rng):
    """turns nothing in evaluation"""
    case = _classifier(rng)
    ask(*case, True)  # a step of training, which must leave the images alone
    return ask(*case, False)


@augmented_logits.check(
    hint="Angles of 0 change nothing, and the number of rows, pixels and classes is free.",
    more="Take all sizes from the shapes of the arguments.",
)
def fits_any_size(ask, rng):
    """leaves images at 0 degrees alone, for any number of rows, pixels and classes"""
    images, _, kernel, bias = _classifier(rng, rows=2, size=3, classes=4)
    return ask(images, np.zeros(2), kernel, bias, True)


# --- choose_transforms -----------------------------------------------------------------------

choose = chapter.exercise(
    "choose_transforms",
    hints={
        **training.HINTS,
        "one transform only": "You try one transform at a time. What several do together is another matter: try that as well.",
    },
)

STEPS = 200  # of the final run
# What each transform does to a random half of the images; a shift moves all of them.
_HALVES = {
    "mirror": lambda images: images[:, :, ::-1],
    "flip": lambda images: images[:, ::-1],
    "turn": lambda images: np.rot90(images, axes=(1, 2)),
}
_NAMES = ("mirror", "flip", "shift", "turn")


def _augmented(images, names, rng):
    """Return images, of shape (rows, size, size), after the transforms of these names."""
    for name, transform in _HALVES.items():
        if name in names:
            chosen = rng.random(len(images)) < 0.5
            images = np.where(chosen[:, None, None], transform(images), images)
    return _moved(images, rng) if "shift" in names else images


@functools.cache
def _augmenting(names):
    """Return the same function for the same names, by which `train_network` knows it again."""
    return lambda images, rng: _augmented(images, names, rng)


def _moved(images, rng):
    """Move each image by -1, 0 or 1 pixels along both axes; zeros come in."""
    padded, size = np.pad(images, ((0, 0), (1, 1), (1, 1))), np.arange(images.shape[1])
    top, left = rng.integers(3, size=(2, len(images), 1))
    rows, columns = (top + size)[:, :, None], (left + size)[:, None]
    return padded[np.arange(len(images))[:, None, None], rows, columns]


def _some_of(names):
    """Return what reads a choice among these names, as `Trials` needs it."""

    def read(value):
        chosen = (value,) if isinstance(value, str) else value
        empty = isinstance(chosen, np.ndarray) and chosen.shape == (0,)  # an empty list
        if not empty and not (isinstance(chosen, tuple) and {*map(str, chosen)} <= {*names}):
            raise ValueError(f"take a list of some of the names {', '.join(names)}")
        return frozenset(map(str, chosen))

    return read


class _Task:
    """Images of four patterns, of which two are the `breaks` of the other two."""

    def __init__(self, rng, keeps, breaks):
        patterns = np.pad(1.0 * (rng.random((2, 6, 6)) < 0.5), ((0, 0), (1, 1), (1, 1)))
        self._patterns = np.concatenate([patterns, _HALVES[breaks](patterns)])
        self._keeps, self.seed = keeps, int(rng.integers(2**32))
        numbers = {"train": 24, "dev": 800, "test": 300, "hidden": 3000}
        self.rows = {name: self._drawn(number, rng) for name, number in numbers.items()}

    def _drawn(self, number, rng):
        """Draw images as the world shows them: moved, and in half of them turned by `keeps`."""
        y = rng.permutation(np.arange(number) % 4)
        images = _augmented(self._patterns[y], (self._keeps, "shift"), rng)
        return images + 0.3 * rng.normal(size=images.shape), y

    def scores(self, names, steps, rows=("train", "dev", "test"), start=0):
        """Train from a start; return the accuracy on the rows of each name."""
        rng = np.random.default_rng([self.seed, start])
        augment = _augmenting(frozenset(names))
        weights = training.train_network(*self.rows["train"], steps, rng, augment=augment)
        return {name: training.accuracy(weights, *self.rows[name]) for name in rows}

    def hidden(self, names):
        return training.on_hidden(self.scores, names, STEPS)


def _in_words(names):
    return " and ".join(sorted(names)) or "none"


@choose.check(
    points=3,
    hint="With the transforms that you choose the network does little better on hidden images than without any, or worse. Try each transform in both tasks, also together with others, and choose by dev.",
    more="Of four transforms there are 16 choices, none and all of them included. Give all an equal share of the budget, or begin with none and add the one that helps most, as long as one does.",
)
def does_well_on_hidden_images(ask, rng):
    """chooses transforms, tried together too, that do well on hidden images, whether a mirror keeps labels or breaks them"""
    shown = []
    for keeps, breaks in (("flip", "mirror"), ("mirror", "flip")):
        task = _Task(rng, keeps, breaks)
        trials = training.Trials(task.scores, _some_of(_NAMES), 15 * STEPS)
        chosen = trials.decide(ask, list(_NAMES), STEPS)
        none, found = task.hidden(()), task.hidden(chosen)
        needed = none + 0.65 * (task.hidden({keeps, "shift"}) - none)
        together = max(map(len, trials.runs)) > 1
        mistakes = {
            "short runs": trials.longest < training.SHORT * STEPS,
            "one transform only": not together,
        }
        needs = f"{breaks} breaks labels: at least {needed:.3f}"
        shown.append((needs, f"{found:.3f} with {_in_words(chosen)}"))
        if found < needed or not together:
            return judge(False, *shown[-1], mistakes)
    return judge(True, *map("; ".join, zip(*shown, strict=True)))


def _effects(rng, names):
    """Make up scores of all choices among up to four names, in which every transform has its effect.

    Two help on dev rows, and another two on test rows; one is in both. Train is best without any,
    and the gap smallest with all.
    """
    on_dev, on_test = (0.06, 0.07, -0.06, -0.05), (0.05, -0.09, 0.09, -0.06)
    places, table = rng.permutation(4), {}
    for keep in np.ndindex((2,) * len(names)):
        dev, test = (
            sum(effects[place] for place, kept in zip(places, keep, strict=False) if kept)
            for effects in (on_dev, on_test)
        )
        chosen = frozenset(name for name, kept in zip(names, keep, strict=True) if kept)
        table[chosen] = {"train": 0.98 - 0.1 * sum(keep), "dev": 0.62 + dev, "test": 0.6 + test}
    return table


@choose.check(
    points=3,
    hint="Of the choices that you try, return the one with the highest dev accuracy.",
    more='`train` returns a dict: keep train(choice, steps)["dev"] of every choice, and return the one of the largest. Compare runs of equal length.',
)
def chooses_by_the_dev_images(ask, rng):
    """chooses by dev accuracy, when train, dev and test images disagree"""
    decisions = []
    for _ in range(3):
        table, read = _effects(rng, _NAMES), _some_of(_NAMES)
        decision = training.decide_made_up(ask, list(_NAMES), table, read, STEPS, 40 * STEPS, rng)
        decisions.append(decision)
    return training.follows_dev(decisions, STEPS)


@choose.check(
    hint="The steps of all your calls of `train` together must be at most `budget`.",
    more="budget // len(choices) steps for each choice are never too many.",
)
def keeps_within_the_budget(ask, rng):
    """compares choices within the budget, with other transforms and other numbers of steps"""
    for names in (("crop", "erase", "noise", "shift"), ("mirror", "noise", "turn")):
        steps = int(rng.integers(41, 80))
        table, read = _effects(rng, names), _some_of(names)
        decided = training.decide_made_up(ask, list(names), table, read, steps, 12 * steps, rng)
        trials = decided[1]
    return judge(True, f"at most {trials.budget} steps", f"{trials.spent} steps")
