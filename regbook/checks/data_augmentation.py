"""Checks of chapter 15, data augmentation: no check depends on one stream of random numbers.

Shares are compared with bounds of five standard errors or more, so a right answer hardly ever
fails, whatever it draws with.
"""

import numpy as np

from regbook.check import Chapter, Outcome, Wrong, brief, compare, outputs

chapter = Chapter("15_data_augmentation")


def _generators(rng, count):
    """Return generators that differ: an answer gets a copy of what it is given."""
    return [np.random.default_rng(seed) for seed in rng.integers(2**32, size=count)]


def _flat(result):
    parts = result if isinstance(result, tuple) else (result,)
    return np.concatenate([np.ravel(part) for part in parts])


def _follows(answer, rng, *arguments):
    """Compare answers for equal and for different generators."""
    seeds = rng.integers(2**32, size=12)
    draws = [_flat(answer(*arguments, np.random.default_rng(seed))) for seed in seeds]
    again = [_flat(answer(*arguments, np.random.default_rng(seed))) for seed in seeds[:4]]
    if all(np.array_equal(draws[0], other) for other in draws):
        return Outcome(
            False,
            "different results",
            "the same result every time",
            "always the same",
            "Your result is the same in every call. Augmentation draws anew each time, from `rng`.",
        )
    if not all(map(np.array_equal, draws, again)):
        return Outcome(
            False,
            "the same result for equal generators",
            "different results",
            "own generator",
            "Equal generators must give equal results. You draw from a source other than `rng`.",
        )
    return Outcome(True, "results that follow rng", "results that follow rng")


# --- random_shift ----------------------------------------------------------------------------


def _shifted(image, down, right):
    """Return the image moved by whole pixels, with zeros coming in."""
    out = np.zeros_like(image)
    height, width = image.shape
    ys, xs = np.mgrid[:height, :width]
    inside = (ys - down >= 0) & (ys - down < height) & (xs - right >= 0) & (xs - right < width)
    out[inside] = image[(ys - down)[inside], (xs - right)[inside]]
    return out


def _find_shift(out, image, reach):
    """Return the (down, right) that explains `out`, or None."""
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if np.allclose(out, _shifted(image, down, right), rtol=1e-3, atol=1e-5):
                return down, right
    return None


@chapter.check(
    "random_shift",
    points=2,
    hint="Each result must be the image moved by whole pixels, with zeros where nothing was.",
    more="Pad with np.pad(image, max_pixels), then cut out a window of the size of the image.",
)
def moves_with_zeros_coming_in(answer, rng):
    """moves the image as a whole, and zeros come in"""
    image = rng.uniform(1, 2, size=(5, 6))
    for generator in _generators(rng, 12):
        (out,) = outputs(answer(image, 2, generator), image.shape)
        if _find_shift(out, image, 2):
            continue
        shown = "a shift with zeros", brief(out)
        if any(
            np.allclose(out, np.roll(image, (d, r), (0, 1)), rtol=1e-3)
            for d in range(-2, 3)
            for r in range(-2, 3)
        ):
            return Outcome(
                False,
                *shown,
                "wraps around",
                "What leaves on one side comes in on the other, as np.roll does. Let zeros come in.",
            )
        edge = np.pad(image, 2, mode="edge")
        if any(
            np.allclose(out, edge[d : d + 5, r : r + 6], rtol=1e-3)
            for d in range(5)
            for r in range(5)
        ):
            return Outcome(
                False,
                *shown,
                "repeats the border",
                "The border pixels are repeated where zeros should come in.",
            )
        if _find_shift(out, image, 5):
            return Outcome(
                False,
                *shown,
                "outside the range",
                "Your shift can be larger than max_pixels.",
            )
        if sorted(out.ravel()) == sorted(image.ravel()):
            return Outcome(
                False,
                *shown,
                "shuffled",
                "The pixels are shuffled. All move together, by the same number of rows and columns.",
            )
        return Outcome(False, *shown)
    return Outcome(True, "shifts with zeros", "shifts with zeros")


@chapter.check(
    "random_shift",
    points=2,
    hint="Rows and columns are drawn by themselves, each equally likely from -max_pixels to max_pixels.",
    more="rng.integers(-max_pixels, max_pixels + 1): the upper end of integers is left out.",
)
def draws_all_shifts_alike(answer, rng):
    """draws every shift of each axis, both ends included, equally often"""
    image, count = rng.uniform(1, 2, size=(3, 4)), 240
    known = {
        _shifted(image, d, r).round(3).tobytes(): (d, r) for d in (-1, 0, 1) for r in (-1, 0, 1)
    }
    found = []
    for generator in _generators(rng, count):
        (out,) = outputs(answer(image, 1, generator), image.shape)
        place = known.get((out.astype(float).round(3) + 0.0).tobytes()) or _find_shift(
            out, image, 3
        )
        if place is None:
            return Outcome(False, "shifts by -1, 0 or 1", brief(out))
        found.append(place)
    found = np.array(found)
    expected = "each of -1, 0, 1 in a third of the draws"
    shares = [[(found[:, axis] == v).mean() for v in (-1, 0, 1)] for axis in (0, 1)]
    received = "; ".join(" ".join(f"{v:.2f}" for v in axis) for axis in shares)
    still = [np.ptp(found[:, axis]) == 0 for axis in (0, 1)]
    if np.abs(found).max() > 1:
        key, hint = "outside the range", "Your shift can be larger than max_pixels."
    elif all(still):
        key, hint = "always the same", "The shift never changes. Draw it from `rng` in each call."
    elif any(still):
        key, hint = "one axis only", "Only one axis moves. Draw a shift for rows and for columns."
    elif (found[:, 0] == found[:, 1]).all():
        key = "one draw for both axes"
        hint = "Rows and columns always move by the same amount. Draw two numbers."
    elif min(min(axis) for axis in shares) == 0:
        values = [(found == v).mean() for v in (-1, 0, 1)]
        if values[1] == 0:
            key, hint = "never 0", "A shift of 0 never comes. It belongs to the range."
        else:
            key = "an end left out"
            hint = (
                "One end of the range never comes. The upper end of rng.integers is left out: "
                "write max_pixels + 1."
            )
    else:
        width = 5 * np.sqrt(2 / 9 / (2 * count))
        pooled = [(found == v).mean() for v in (-1, 0, 1)]
        if max(abs(share - 1 / 3) for share in pooled) < width:
            return Outcome(True, expected, received)
        key = "not equally likely"
        hint = "Some shifts come more often than others. Draw whole numbers with rng.integers."
    return Outcome(False, expected, received, key, hint)


@chapter.check(
    "random_shift",
    hint="With max_pixels = 0 the image stays as it is.",
    more="The only shift in the range from -0 to 0 is 0.",
)
def rests_at_zero(answer, rng):
    """changes nothing when max_pixels is 0"""
    image = rng.uniform(1, 2, size=(4, 3))
    return compare(answer(image, 0, _generators(rng, 1)[0]), image)


@chapter.check(
    "random_shift",
    hint="The shift must come from `rng` and from nothing else.",
    more="Use only the methods of `rng`, and create no generator of your own.",
)
def shift_follows_the_generator(answer, rng):
    """draws from rng: another generator, another shift; an equal one, the same"""
    return _follows(answer, rng, rng.uniform(1, 2, size=(5, 5)), 3)


# --- cutout ----------------------------------------------------------------------------------


@chapter.check(
    "cutout",
    points=2,
    hint="Exactly size x size neighbouring pixels are 0, all others are unchanged.",
    more="out[top : top + size, left : left + size] = 0 on a copy of the image.",
)
def cuts_one_square(answer, rng):
    """sets one square of size x size pixels to 0 and nothing else"""
    image, size = rng.uniform(1, 2, size=(8, 9)), 3
    outs = [outputs(answer(image, size, g), image.shape)[0] for g in _generators(rng, 25)]
    changes = [(~np.isclose(out, image, rtol=1e-3), out) for out in outs]
    # The largest first: a square that is too wide may also be clipped in another draw.
    for changed, out in sorted(changes, key=lambda pair: -pair[0].sum()):
        shown = f"a square of {size} x {size} zeros", f"{changed.sum()} changed pixels"
        ys, xs = np.nonzero(changed)
        if not len(ys):
            return Outcome(
                False, *shown, "nothing cut", "No pixel has changed. Do you return the copy?"
            )
        box = np.ptp(ys) + 1, np.ptp(xs) + 1
        full = box[0] * box[1] == changed.sum()
        if np.abs(out[changed]).max() > 1e-6:
            if (out[~changed] != 0).all() and np.ptp(out[changed]) < 1e-6:
                return Outcome(
                    False,
                    *shown,
                    "other filling",
                    "The square is filled with something other than 0.",
                )
            return Outcome(False, *shown)
        if full and box == (size, size):
            continue
        if changed.sum() == changed.size - size**2:
            return Outcome(
                False, *shown, "inside out", "You kept the square and cut the rest: swap them."
            )
        if not full:
            return Outcome(
                False,
                *shown,
                "single pixels",
                "The zeros do not form one square. Cutout removes a region: draw a corner, not "
                "every pixel by itself.",
            )
        if max(box) > 2 * size - 1:
            if set(box) & {8, 9}:
                return Outcome(
                    False, *shown, "whole rows", "You cut whole rows or columns, not a square."
                )
            return Outcome(
                False,
                *shown,
                "half width",
                "Your square is about twice as wide. `size` is its full side, not half of it.",
            )
        if box == (size + 1, size + 1):
            return Outcome(
                False,
                *shown,
                "one too wide",
                "Your square is one pixel too wide: a slice from top to top + size has size rows.",
            )
        return Outcome(
            False,
            *shown,
            "clipped",
            "The square is cut off at the border. Draw its corner so that it fits inside.",
        )
    return Outcome(True, f"squares of {size} x {size} zeros", "squares of zeros")


@chapter.check(
    "cutout",
    points=2,
    hint="Every place at which the square fits must be equally likely, for rows and for columns.",
    more="top = rng.integers(height - size + 1), and left from the width in the same way.",
)
def visits_every_place(answer, rng):
    """puts the square in all places, equally often"""
    image, size, count = rng.uniform(1, 2, size=(5, 4)), 3, 160
    corners = []
    for generator in _generators(rng, count):
        (out,) = outputs(answer(image, size, generator), image.shape)
        ys, xs = np.nonzero(out == 0)
        if len(ys) != 9 or np.ptp(ys) != 2 or np.ptp(xs) != 2:
            return Outcome(False, "squares of 3 x 3 zeros", brief(out))
        corners.append((ys.min(), xs.min()))
    corners = np.array(corners)
    places = [((corners == (t, left)).all(axis=1)).mean() for t in range(3) for left in range(2)]
    expected = "six places, a sixth of the draws each"
    received = " ".join(f"{p:.2f}" for p in places)
    width = 5 * np.sqrt(5 / 36 / count)
    if max(places) == 1:
        key, hint = "one fixed place", "The square is always in the same place. Draw it anew."
    elif (corners[:, 0] == corners[:, 1]).all():
        key = "one draw for both axes"
        hint = "Row and column of the corner are always equal. Draw two numbers."
    elif min(places) == 0:
        key = "places left out"
        hint = (
            "Some places never come. The corner runs from 0 to height - size, the end included: "
            "rng.integers(height - size + 1)."
        )
    elif max(abs(p - 1 / 6) for p in places) > width:
        key, hint = "not equally likely", "Some places come more often than others."
    else:
        return Outcome(True, expected, received)
    return Outcome(False, expected, received, key, hint)


@chapter.check(
    "cutout",
    hint="A square as large as the picture has one place, and leaves nothing.",
    more="For height = size the corner is rng.integers(1), which is 0.",
)
def can_cut_everything(answer, rng):
    """cuts everything when the square is as large as the picture"""
    image = rng.uniform(1, 2, size=(3, 3))
    return compare(answer(image, 3, _generators(rng, 1)[0]), np.zeros((3, 3)))


@chapter.check(
    "cutout",
    hint="The place must come from `rng` and from nothing else.",
    more="Use only the methods of `rng`, and create no generator of your own.",
)
def cutout_follows_the_generator(answer, rng):
    """draws from rng: another generator, another place; an equal one, the same"""
    return _follows(answer, rng, rng.uniform(1, 2, size=(9, 9)), 2)


# --- mixup -----------------------------------------------------------------------------------

ROWS = 7


def _mix(answer, x, alpha, generator):
    """Call the answer with a class per row, so that the targets show weight and partner."""
    shapes = x.shape, (ROWS, ROWS)
    received = answer(x, np.eye(ROWS), alpha, generator)
    return tuple(a.astype(float) for a in outputs(received, *shapes))


def _read(y_mix):
    """Return (weights, partner) that the targets of one class per row show; NaN: no partner."""
    own = np.diag(y_mix).copy()
    others = y_mix - np.diag(own)
    partner = np.where(others.max(axis=1) > 1e-6, others.argmax(axis=1), np.arange(ROWS))
    own[partner == np.arange(ROWS)] = np.nan
    return own, partner


@chapter.check(
    "mixup",
    points=2,
    hint="Each target is weight times its own plus 1 - weight times its partner's, one weight for all.",
    more="y_mix = weight * y + (1 - weight) * y[partner], with partner = rng.permutation(len(x)).",
)
def blends_the_targets(answer, rng):
    """blends the targets with one weight, along a permutation"""
    x = rng.normal(size=(ROWS, 5))
    targets = [_mix(answer, x, 2.0, generator)[1] for generator in _generators(rng, 8)]
    for y_mix in targets:
        weights, partner = _read(y_mix)
        shown = "targets of weight and 1 - weight", brief(y_mix)
        if all(np.allclose(other, np.eye(ROWS), atol=1e-5) for other in targets):
            return Outcome(
                False,
                *shown,
                "labels not mixed",
                "Your targets are the old ones. Blend them with the same weight and partner as x.",
            )
        if all(np.isin(other, (0, 1)).all() for other in targets):
            return Outcome(
                False,
                *shown,
                "hard labels",
                "Your targets are still one-hot. Mixup blends them too: they become soft.",
            )
        if not np.allclose(y_mix.sum(axis=1), 1, atol=1e-4):
            return Outcome(
                False,
                *shown,
                "weights do not add up",
                "The two weights must add up to 1, so that every target does.",
            )
        if len(set(partner)) < ROWS:
            return Outcome(
                False,
                *shown,
                "no permutation",
                "Some rows are partners twice, others never. Draw one permutation of the rows.",
            )
        own = weights[np.isfinite(weights)]
        if len(own) and np.ptp(own) > 1e-4:
            return Outcome(
                False,
                *shown,
                "a weight per row",
                "Your rows have different weights. Draw a single weight per call here.",
            )
        soft = np.eye(ROWS)[partner]
        if len(own) and not np.allclose(
            y_mix, own[0] * np.eye(ROWS) + (1 - own[0]) * soft, atol=1e-4
        ):
            return Outcome(False, *shown)
    return Outcome(True, "blended targets", "blended targets")


@chapter.check(
    "mixup",
    points=2,
    hint="The rows of x must be blended with the weight and the partners of the targets.",
    more="Draw weight and partner once, then use both for x and for y.",
)
def blends_rows_like_targets(answer, rng):
    """blends the rows with the weight and the partners of their targets"""
    x = rng.normal(size=(ROWS, 5))
    for generator in _generators(rng, 8):
        x_mix, y_mix = _mix(answer, x, 2.0, generator)
        weights, partner = _read(y_mix)
        own = weights[np.isfinite(weights)]
        if not len(own):
            continue
        weight = own[:1]
        right = weight * x + (1 - weight) * x[partner]
        wrong = [
            Wrong(
                "images not mixed",
                x,
                "The rows of x are the old ones, only the targets are blended. Blend both.",
            ),
            Wrong(
                "weights swapped",
                (1 - weight) * x + weight * x[partner],
                "Rows and targets are blended with opposite weights: own row weight, partner "
                "1 - weight, in both.",
            ),
        ]
        outcome = compare(x_mix, right, wrong)
        if outcome.passed:
            continue
        if outcome.misconception:
            return outcome
        shown = outcome.expected, outcome.received
        distances = np.abs((x_mix - weight * x)[:, None] - (1 - weight) * x).max(axis=2)
        if distances.min(axis=1).max() < 1e-4:
            return Outcome(
                False,
                *shown,
                "another partner",
                "Rows and targets have different partners. Draw the permutation once, for both.",
            )
        moved = partner != np.arange(ROWS)
        shares = (x_mix - x[partner])[moved] / (x - x[partner])[moved]
        if np.ptp(shares, axis=1).max() < 1e-2:
            return Outcome(
                False,
                *shown,
                "another weight",
                "Rows and targets have different weights. Draw the weight once, for both.",
            )
        if shares.min() > -1e-6 and shares.max() < 1 + 1e-6:
            return Outcome(
                False,
                *shown,
                "a weight per pixel",
                "Every pixel has a weight of its own. One weight blends the whole row.",
            )
        return outcome
    return Outcome(True, "rows blended like targets", "rows blended like targets")


@chapter.check(
    "mixup",
    points=2,
    hint="The weight follows Beta(alpha, alpha): near 1/2 for a large alpha, near 0 or 1 for a small one.",
    more="weight = rng.beta(alpha, alpha)",
)
def draws_from_the_beta_distribution(answer, rng):
    """draws the weight from Beta(alpha, alpha)"""
    x, count = rng.normal(size=(ROWS, 2)), 60
    seen = {}
    for alpha in (8.0, 0.1):
        weights = [_read(_mix(answer, x, alpha, g)[1])[0] for g in _generators(rng, count)]
        firsts = [w[np.isfinite(w)][:1] for w in weights]
        seen[alpha] = np.concatenate([f for f in firsts if len(f)] or [np.array([np.nan])])
    wide, narrow = (np.abs(seen[a] - 0.5).mean() for a in (0.1, 8.0))
    mean = seen[8.0].mean()
    expected = "distance from 1/2: about 0.10 at alpha 8, about 0.44 at alpha 0.1"
    received = f"{narrow:.2f} and {wide:.2f}, mean {mean:.2f}"
    if np.isnan(narrow + wide):
        return Outcome(False, expected, "no blended targets")
    if np.ptp(seen[8.0]) < 1e-6:
        key, hint = "always the same weight", "Your weight never changes. Draw it in each call."
    elif 0.15 < narrow < 0.35 and 0.15 < wide < 0.35:
        key = "alpha ignored"
        hint = "Your weight does not depend on alpha. Draw it with rng.beta(alpha, alpha)."
    elif abs(mean - 0.5) > 0.2:
        key = "one parameter only"
        hint = "Your weight is not symmetric around 1/2. Both parameters of the Beta are alpha."
    elif abs(mean - 0.5) > 0.068 and (seen[8.0] >= 0.5).mean() in (0, 1):
        key = "one side only"
        hint = "Your weight always lies on one side of 1/2. Use it as it is drawn."
    elif narrow > wide:
        key = "alpha inverted"
        hint = "A large alpha must give weights near 1/2. You use 1 / alpha."
    elif narrow < 0.16 and wide > 0.35 and abs(mean - 0.5) < 0.09:
        return Outcome(True, expected, received)
    else:
        return Outcome(False, expected, received)
    return Outcome(False, expected, received, key, hint)


@chapter.check(
    "mixup",
    hint="Weight and partners must come from `rng`, and the partners must change from call to call.",
    more="partner = rng.permutation(len(x)): neither reversed rows nor a fixed order.",
)
def mixup_follows_the_generator(answer, rng):
    """draws from rng, partners included"""
    x, y = rng.normal(size=(ROWS, 5)), np.eye(ROWS)
    partners = [_read(_mix(answer, x, 2.0, g)[1])[1] for g in _generators(rng, 12)]
    if all((p == partners[0]).all() for p in partners):
        return Outcome(
            False,
            "partners that change",
            "the same partners every time",
            "fixed partners",
            "Each row meets the same partner in every call. Draw a permutation from `rng`.",
        )
    return _follows(answer, rng, x, y, 2.0)


# --- is_label_preserving ---------------------------------------------------------------------
# An image holds its class in one corner, and what the transform makes of it in another.


def _verdict(preserving, worst):
    return {"preserving": preserving, "worst": worst}


def _oracle(images):
    return np.rint(np.asarray(images)[:, 0, 0]).astype(int)


def _transform(images):
    out = np.array(images, dtype=float)
    out[:, 0, 0] = out[:, 1, 1]
    return out


def _task(rng, counts, becomes):
    """Draw images: counts[c] of class c, of which becomes[c] = {new class: how many} change."""
    labels = np.concatenate([np.full(n, c) for c, n in counts.items()])
    after = labels.copy()
    for c, changes in becomes.items():
        rows = list(np.flatnonzero(labels == c))
        for new, number in changes.items():
            for _ in range(number):
                after[rows.pop()] = new
    images = rng.uniform(size=(len(labels), 2, 2))
    images[:, 0, 0], images[:, 1, 1] = labels, after
    order = rng.permutation(len(labels))
    return images[order], labels[order]


@chapter.check(
    "is_label_preserving",
    points=2,
    hint="Compute the share of changed labels class by class, and compare the largest with tolerance.",
    more="shares = [lost[labels == c].mean() for c in np.unique(labels)], lost = oracle(...) != labels",
)
def sees_the_ruined_class(answer, rng):
    """rejects a transform that ruins one class of many, and names it"""
    low = int(rng.integers(5, 9))
    ruined, large = low + 3, low + 1
    counts = {low: 12, large: 40, low + 2: 12, ruined: 8, low + 5: 12}
    becomes = {low: {low + 2: 1}, ruined: {low: 6}, large: {low: 8}}
    images, labels = _task(rng, counts, becomes)
    index = sorted(counts).index(ruined)
    return compare(
        answer(_transform, images, labels, _oracle, 0.25),
        _verdict(False, ruined),
        wrong=[
            Wrong(
                "mean over all",
                _verdict(True, ruined),
                "You accept it because few of all labels change. In one class most do: compare the "
                "largest share of a class with the tolerance.",
            ),
            Wrong(
                "index for class",
                _verdict(False, index),
                "You return the position among the classes. Return the class itself.",
            ),
            Wrong(
                "counts",
                _verdict(False, large),
                "You compare numbers of images. A large class has more of them: compare shares.",
            ),
            Wrong(
                "counts",
                _verdict(True, large),
                "You look at the class with most changed images. Compare shares, not numbers.",
            ),
            Wrong(
                "not transformed",
                _verdict(True, low),
                "You asked the oracle about the original images, or found no change. Ask it about "
                "transform(images).",
            ),
            Wrong(
                "best for worst",
                _verdict(True, low + 2),
                "You name a class that keeps all of its labels.",
            ),
            Wrong(
                "target class",
                _verdict(False, low),
                "You grouped by the class after the transform. Group by `labels`.",
            ),
            Wrong(
                "upside down",
                _verdict(True, ruined),
                "Your verdict is turned around.",
            ),
        ],
    )


@chapter.check(
    "is_label_preserving",
    points=2,
    hint="A share of exactly `tolerance` is still accepted; a share above it is not.",
    more="Compare with <=, on the largest share of a class.",
)
def accepts_up_to_the_tolerance(answer, rng):
    """accepts a share of exactly the tolerance, and no more"""
    images, labels = _task(rng, {3: 8, 6: 8, 9: 16}, {6: {3: 2}, 9: {3: 2}})
    wrong = [
        Wrong(
            "tolerance ignored",
            _verdict(False, 6),
            "You reject it although no class loses more than the tolerance.",
        )
    ]
    outcome = compare(answer(_transform, images, labels, _oracle, 0.25), _verdict(True, 6), wrong)
    if not outcome.passed:
        return outcome
    wrong = [
        Wrong(
            "tolerance ignored",
            _verdict(True, 6),
            "You accept it although a class loses more than the tolerance.",
        ),
    ]
    return compare(answer(_transform, images, labels, _oracle, 0.125), _verdict(False, 6), wrong)


@chapter.check(
    "is_label_preserving",
    hint="An image that the oracle calls -1 belongs to no class: its label is lost as well.",
    more="lost = oracle(transform(images)) != labels counts the -1 too.",
)
def counts_what_is_no_class(answer, rng):
    """counts an image that belongs to no class any more as changed"""
    images, labels = _task(rng, {1: 8, 4: 8, 7: 8}, {4: {-1: 6}, 7: {1: 2}})
    return compare(
        answer(_transform, images, labels, _oracle, 0.5),
        _verdict(False, 4),
        wrong=[
            Wrong(
                "no class ignored",
                _verdict(True, 7),
                "You leave out the images that the oracle calls -1. Their label is lost too.",
            ),
            Wrong(
                "mean over all",
                _verdict(True, 4),
                "You average over all classes. Compare the largest share with the tolerance.",
            ),
        ],
    )


@chapter.check(
    "is_label_preserving",
    hint="If several classes have the same share, name the smallest one.",
    more="np.argmax returns the first of equal values, and np.unique sorts the classes.",
)
def names_the_smallest_of_equals(answer, rng):
    """names the smallest of equally bad classes, also when nothing changes"""
    images, labels = _task(rng, {2: 4, 5: 4, 8: 8}, {5: {2: 2}, 8: {2: 4}})
    last = Wrong("last of equals", _verdict(True, 8), "Of equal shares, name the smallest class.")
    outcome = compare(answer(_transform, images, labels, _oracle, 0.5), _verdict(True, 5), [last])
    if not outcome.passed:
        return outcome
    images, labels = _task(rng, {2: 4, 5: 4, 8: 8}, {})
    return compare(answer(_transform, images, labels, _oracle, 0.0), _verdict(True, 2), [last])


# --- augmented_logits ------------------------------------------------------------------------


def _turned(images, angles):
    """Rotate counter-clockwise about the centre, bilinear, zeros outside. Angles in radians."""
    size = images.shape[1]
    ys, xs = np.mgrid[:size, :size] - (size - 1) / 2
    out = np.zeros(images.shape)
    for k, angle in enumerate(angles):
        cos, sin = np.cos(angle), np.sin(angle)
        y, x = sin * xs + cos * ys + (size - 1) / 2, cos * xs - sin * ys + (size - 1) / 2
        padded = np.pad(images[k], size)
        top, left = np.floor(y).astype(int), np.floor(x).astype(int)
        for i in (0, 1):
            for j in (0, 1):
                share = np.abs(1 - i - (y - top)) * np.abs(1 - j - (x - left))
                out[k] += share * padded[top + i + size, left + j + size]
    return out


def _classifier(rng, rows=5, size=4, classes=3):
    images = rng.normal(size=(rows, size, size))
    degrees = 90.0 * rng.permutation([0, 1, 3, -2, -1])[:rows]
    degrees[0] = 90.0
    return images, degrees, rng.normal(size=(size**2, classes)), rng.normal(size=classes)


def _logits(images, kernel, bias):
    return images.reshape(len(images), -1) @ kernel + bias


@chapter.check(
    "augmented_logits",
    points=3,
    hint="In training, image i is turned counter-clockwise by degrees[i], then flattened row by row.",
    more="Convert degrees to radians, make one matrix per image, [[cos, -sin, 0], [sin, cos, 0]].",
)
def turns_every_image(answer, rng):
    """turns every image by its own angle, counter-clockwise, in training"""
    images, degrees, kernel, bias = _classifier(rng)
    angles = np.deg2rad(degrees)

    def after(angles):
        return _logits(_turned(images, angles), kernel, bias)

    one = np.full(len(angles), 1.0)
    return compare(
        answer(images, degrees, kernel, bias, True),
        after(angles),
        wrong=[
            Wrong(
                "clockwise",
                after(-angles),
                "You turn clockwise. The matrix maps output to input, so the signs of the two sines "
                "are reversed.",
            ),
            Wrong(
                "one angle for all",
                after(angles[0] * one),
                "All images turn by the first angle. Every image has its own.",
            ),
            Wrong(
                "one angle for all",
                after(-angles[0] * one),
                "All images turn by the first angle. Every image has its own.",
            ),
            Wrong(
                "degrees as radians",
                after(degrees),
                "You take degrees for radians. Convert them: np.deg2rad or torch.deg2rad.",
            ),
            Wrong(
                "degrees as radians",
                after(-degrees),
                "You take degrees for radians. Convert them: np.deg2rad or torch.deg2rad.",
            ),
            Wrong(
                "degrees as radians",
                after(-degrees[0] * one),
                "You take degrees for radians, as the broken code does. Convert them first.",
            ),
            Wrong(
                "not turned",
                _logits(images, kernel, bias),
                "Nothing is turned in training. Is the mode the wrong way round?",
            ),
            Wrong(
                "columns first",
                _logits(_turned(images, angles).transpose(0, 2, 1), kernel, bias),
                "You flatten column by column. Flatten row by row.",
            ),
            Wrong(
                "bias missing",
                after(angles) - bias,
                "The bias is missing.",
            ),
        ],
    )


@chapter.check(
    "augmented_logits",
    points=2,
    hint="With training=False the images go to the classifier as they are.",
    more="Rotate only inside `if training:`.",
)
def rests_in_evaluation(answer, rng):
    """turns nothing in evaluation"""
    images, degrees, kernel, bias = _classifier(rng)
    active = "You turn in evaluation too. Augmentation belongs to training alone."
    angles = np.deg2rad(degrees)
    cases = [angles, -angles, np.full(5, angles[0]), np.full(5, -degrees[0]), degrees, -degrees]
    wrong = [
        Wrong("active in evaluation", _logits(_turned(images, a), kernel, bias), active)
        for a in cases
    ]
    received = answer(images, degrees, kernel, bias, False)
    return compare(received, _logits(images, kernel, bias), wrong)


@chapter.check(
    "augmented_logits",
    hint="Angles of 0 change nothing, and the number of rows, pixels and classes is free.",
    more="Take all sizes from the shapes of the arguments.",
)
def fits_any_size(answer, rng):
    """leaves images at 0 degrees alone, for any number of rows, pixels and classes"""
    images, _, kernel, bias = _classifier(rng, rows=2, size=3, classes=4)
    received = answer(images, np.zeros(2), kernel, bias, True)
    return compare(received, _logits(images, kernel, bias))
