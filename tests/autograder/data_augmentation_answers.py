"""Right and wrong answers to the exercises of chapter 15, for `test_answers`."""

from itertools import combinations

import numpy as np

from regbook.exercise import vary


def shift_loop(image, max_pixels, rng):
    down = rng.integers(-max_pixels, max_pixels + 1)
    right = rng.integers(-max_pixels, max_pixels + 1)
    out = np.zeros(image.shape)
    height, width = image.shape
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                out[y, x] = image[y - down, x - right]
    return out


def shift_choice(image, max_pixels, rng):
    values = np.arange(-max_pixels, max_pixels + 1)
    down, right = rng.choice(values), rng.choice(values)
    out = np.roll(image, (down, right), axis=(0, 1))
    if down:
        out[slice(0, down) if down > 0 else slice(down, None)] = 0
    if right:
        out[:, slice(0, right) if right > 0 else slice(right, None)] = 0
    return np.float32(out)


def shift_torch(image, max_pixels, rng):
    import torch
    import torch.nn.functional as F

    height, width = image.shape
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    top, left = torch.randint(0, 2 * max_pixels + 1, (2,), generator=generator)
    padded = F.pad(torch.tensor(image), [max_pixels] * 4)
    return padded[top : top + height, left : left + width]


def shift_in_place(image, max_pixels, rng):
    image[:] = shift_loop(image, max_pixels, rng)
    return image


def shift_slices_from_zero(image, max_pixels, rng):
    """Clear what comes in with slices, which for a shift of 0 hold the whole image."""
    down, right = rng.integers(-max_pixels, max_pixels + 1, size=2)
    out = np.roll(image, (down, right), axis=(0, 1))
    out[slice(0, down) if down > 0 else slice(down, None)] = 0
    out[:, slice(0, right) if right > 0 else slice(right, None)] = 0
    return out


def shift_within_the_image(image, max_pixels, rng):
    """Copy a part to its place, by slices that hold for shifts smaller than the image."""
    (height, width), out = image.shape, np.zeros(image.shape)
    y, x = rng.integers(-max_pixels, max_pixels + 1, size=2)
    part = image[max(-y, 0) : height - max(y, 0), max(-x, 0) : width - max(x, 0)]
    out[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)] = part
    return out


def draw_but_00(rng, reach):
    """Draw again when nothing would move."""
    drawn = rng.integers(-reach, reach + 1, size=2)
    while reach and not drawn.any():
        drawn = rng.integers(-reach, reach + 1, size=2)
    return drawn


def shift(image, max_pixels, rng, draw=None, mode="constant"):
    """Move the image by what is drawn; mode: what comes in, as np.pad calls it."""
    draw = draw or (lambda rng, reach: rng.integers(-reach, reach + 1, size=2))
    padded = np.pad(image, max_pixels, mode)
    top, left = max_pixels - np.array(draw(rng, max_pixels))
    return padded[top : top + image.shape[0], left : left + image.shape[1]]


def cutout_mask(image, size, rng):
    height, width = image.shape
    first = rng.integers(0, [height - size + 1, width - size + 1])
    ys, xs = np.indices(image.shape)
    inside = (ys >= first[0]) & (ys < first[0] + size) & (xs >= first[1]) & (xs < first[1] + size)
    return np.where(inside, 0, np.float32(image))


def cutout_choice(image, size, rng):
    height, width = image.shape
    places = [(y, x) for y in range(height - size + 1) for x in range(width - size + 1)]
    y, x = places[rng.choice(len(places))]
    out = np.array(image)
    for i in range(size):
        for j in range(size):
            out[y + i, x + j] = 0
    return out


def cutout_torch(image, size, rng):
    import torch

    out = torch.tensor(image)
    top = int(rng.random() * (image.shape[0] - size + 1))
    left = int(rng.random() * (image.shape[1] - size + 1))
    out[top : top + size, left : left + size] = 0
    return out


def cutout_in_place(image, size, rng):
    top, left = (rng.integers(side - size + 1) for side in image.shape)
    image[top : top + size, left : left + size] = 0
    return image


def cutout_pixels(image, size, rng):
    out = image.ravel().copy()
    out[rng.permutation(out.size)[: size**2]] = 0
    return out.reshape(image.shape)


def cut(image, size, rng, corner=None, side=lambda size: size, value=0.0):
    """Fill a square; room: how far its corner may move, for rows and columns."""
    room = np.array(image.shape) - size
    top, left = corner(rng, room, size) if corner else rng.integers(room + 1)
    out, side = np.array(image), side(size)
    out[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = value
    return out


def cutout_around_a_centre(image, size, rng):
    """Cut as many pixels on both sides of a centre, which no even size allows."""
    half, out = size // 2, image.copy()
    y, x = (rng.integers(half, max(side - half, half + 1)) for side in image.shape)
    out[y - half : y + half + 1, x - half : x + half + 1] = 0
    return out


def cutout_from_a_centre(image, size, rng):
    """Choose the centre as if size were odd."""
    half, out = size // 2, image.copy()
    y, x = (rng.integers(half, max(side - half, half + 1)) for side in image.shape)
    out[y - half : y - half + size, x - half : x - half + size] = 0
    return out


def mixup_loop(x, y, alpha, rng):
    partner, weight = rng.permutation(len(x)), rng.beta(alpha, alpha)
    x_mix = [weight * x[i] + (1 - weight) * x[j] for i, j in enumerate(partner)]
    y_mix = [weight * y[i] + (1 - weight) * y[j] for i, j in enumerate(partner)]
    return np.float32(x_mix), np.float32(y_mix)


def mixup_gamma(x, y, alpha, rng):
    """Draw the Beta as a ratio of two Gammas, and blend from the partner's side."""
    a, b = rng.gamma(alpha, size=2) + 1e-300
    order = np.argsort(rng.random(len(x)))
    blend = np.hstack([x, y])
    blend = blend[order] + a / (a + b) * (blend - blend[order])
    return blend[:, : x.shape[1]], blend[:, x.shape[1] :]


def mixup_torch(x, y, alpha, rng):
    import torch

    weight = float(rng.beta(alpha, alpha))
    partner = torch.tensor(rng.permutation(len(x)))
    x, y = torch.tensor(x), torch.tensor(y)
    return torch.lerp(x[partner], x, weight), torch.lerp(y[partner], y, weight)


def mixup_in_place(x, y, alpha, rng):
    partner, weight = rng.permutation(len(x)), rng.beta(alpha, alpha)
    for part in (x, y):
        other = (1 - weight) * part[partner]
        part *= weight
        part += other
    return x, y


def mix(x, y, alpha, rng, weight=None, partner=None, weight_y=None, partner_y=None):
    """Blend x and y; what is given replaces a draw, for both or for the targets alone."""
    share = weight(rng, alpha, x) if weight else rng.beta(alpha, alpha)
    other = partner(rng, len(x)) if partner else rng.permutation(len(x))
    x_mix = share * x + (1 - share) * x[other]
    share = weight_y(rng, alpha, share) if weight_y else share
    other = partner_y(rng, other) if partner_y else other
    return x_mix, share * y + (1 - share) * y[other]


def mixup_hard(x, y, alpha, rng):
    x_mix, y_mix = mix(x, y, alpha, rng)
    return x_mix, np.eye(y.shape[1])[y_mix.argmax(axis=1)]


def mixup_one_after_another(x, y, alpha, rng):
    """Write each blended row to where a later row may read it."""
    x, y, weight = x.copy(), y.copy(), rng.beta(alpha, alpha)
    for i, j in enumerate(rng.permutation(len(x))):
        x[i] = weight * x[i] + (1 - weight) * x[j]
        y[i] = weight * y[i] + (1 - weight) * y[j]
    return x, y


def mixup_in_another_order(x, y, alpha, rng):
    order = rng.permutation(len(x))
    return mix(x[order], y[order], alpha, rng)


def mixup_added(x, y, alpha, rng):
    weight, partner = rng.beta(alpha, alpha), rng.permutation(len(x))
    return x + weight * x[partner], y + weight * y[partner]


def verdict_loop(transform, images, labels, oracle, tolerance):
    after = np.asarray(oracle(transform(images)))
    worst, largest = None, -1.0
    for c in sorted(set(labels.tolist())):
        rows = [i for i in range(len(labels)) if labels[i] == c]
        share = sum(after[i] != c for i in rows) / len(rows)
        if share > largest:
            worst, largest = c, share
    return {"preserving": bool(largest <= tolerance), "worst": worst}


def verdict_counts(transform, images, labels, oracle, tolerance):
    kept = oracle(transform(images)) == labels
    classes, inverse, number = np.unique(labels, return_inverse=True, return_counts=True)
    shares = np.bincount(inverse, weights=kept) / number
    return {"preserving": np.all(shares >= 1 - tolerance), "worst": int(classes[shares.argmin()])}


def verdict_torch(transform, images, labels, oracle, tolerance):
    import torch

    lost = torch.tensor(oracle(transform(images)) != labels).double()
    labels = torch.tensor(labels)
    classes = labels.unique()
    shares = torch.stack([lost[labels == c].mean() for c in classes])
    worst = int((shares == shares.max()).nonzero()[0])
    return {"preserving": shares.max() <= tolerance, "worst": classes[worst]}


def logits_rot90(images, degrees, kernel, bias, training):
    rows = []
    for image, angle in zip(images, degrees, strict=True):
        turned = np.rot90(image, int(angle // 90)) if training else image
        rows.append(turned.ravel() @ kernel + bias)
    return np.array(rows)


def logits_in_place(images, degrees, kernel, bias, training):
    for i in range(len(images) if training else 0):
        images[i] = np.rot90(images[i], int(degrees[i] // 90)).copy()
    return images.reshape(len(images), -1) @ kernel + bias


def logits_keras(images, degrees, kernel, bias, training):
    import keras

    x = images[..., None].astype("float32")
    parts = []
    for image, turn in zip(x, degrees / 360, strict=True):
        layer = keras.layers.RandomRotation((turn, turn), fill_mode="constant")
        parts.append(layer(image[None], training=training))
    flat = keras.ops.reshape(keras.ops.concatenate(parts), (len(x), -1))
    return keras.ops.matmul(flat, kernel.astype("float32")) + bias.astype("float32")


def logits_module(images, degrees, kernel, bias, training):
    """A module that asks `self.training`, in float32."""
    import torch
    from torch import nn

    class Rotate(nn.Module):
        def forward(self, x):
            if not self.training:
                return x
            turns = (torch.tensor(degrees) / 90).round().int().tolist()
            return torch.stack([i.rot90(k, (0, 1)) for i, k in zip(x, turns, strict=True)])

    linear = nn.Linear(*kernel.shape)
    linear.load_state_dict({"weight": torch.tensor(kernel.T), "bias": torch.tensor(bias)})
    model = nn.Sequential(Rotate(), nn.Flatten(), linear).train(training)
    return model(torch.tensor(images).float())


def broken_augmented_logits(images, degrees, kernel, bias, training):
    """The code of the exercise, as it stands there."""
    import torch
    import torch.nn.functional as F

    cos, sin = torch.cos(torch.tensor(degrees[0])), torch.sin(torch.tensor(degrees[0]))
    matrix = torch.tensor([[cos, sin, 0], [-sin, cos, 0]]).double()
    x = torch.tensor(images)[:, None]
    grid = F.affine_grid(matrix.repeat(len(x), 1, 1), x.shape, align_corners=False)
    x = F.grid_sample(x, grid, align_corners=False)
    return x.flatten(1) @ torch.tensor(kernel) + torch.tensor(bias)


# --- choose_transforms -----------------------------------------------------------------------


def subsets(names):
    return [chosen for size in range(len(names) + 1) for chosen in combinations(names, size)]


def choose_by_halving(train, names, steps, budget):
    """Train with all choices briefly, with the better half longer, and so on."""
    choices, number = subsets(names), steps // 4
    while len(choices) > 1:
        dev = [train(choice, number)["dev"] for choice in choices]
        choices = [choices[i] for i in np.argsort(dev)[::-1][: len(choices) // 2]]
        number += number // 2
    return list(choices[0])


def choose_greedily(train, names, steps, budget):
    """Add the transform that helps most, as long as one does."""
    chosen, best = [], train([], steps)["dev"]
    while len(chosen) < len(names):
        dev = {name: train([*chosen, name], steps)["dev"] for name in names if name not in chosen}
        name = max(dev, key=dev.get)
        if dev[name] <= best:
            break
        chosen, best = [*chosen, name], dev[name]
    return chosen


def choose_of_small(train, names, steps, budget):
    """Try a fixed list, in full: none, each alone, and each pair."""
    choices = [choice for choice in subsets(names) if len(choice) < 3]
    return max(choices, key=lambda choice: train(choice, steps)["dev"])


def choose(
    train, names, steps, budget, *,
    score=lambda scores: scores["dev"], number=lambda steps, budget, choices: budget // choices,
    tried=subsets,
):  # fmt: skip
    """Do it with any part replaced."""
    choices = tried(names)
    each = number(steps, budget, len(choices))
    return max(choices, key=lambda choice: score(train(choice, each)))


def choose_anyway(pick):
    """Return the answer that tries all choices and takes one that no score has a part in."""

    def answer(train, names, steps, budget):
        choose(train, names, steps, budget)
        return pick(names)

    return answer


RIGHT = {
    "random_shift": [shift_loop, shift_choice, shift_torch],
    "cutout": [cutout_mask, cutout_choice, cutout_torch],
    "mixup": [mixup_loop, mixup_gamma, mixup_torch],
    "is_label_preserving": [verdict_loop, verdict_counts, verdict_torch],
    "augmented_logits": [logits_rot90, logits_keras, logits_module],
    "choose_transforms": [choose_by_halving, choose_greedily, choose_of_small, choose],
}


def seeded(*seed):
    """Return a change that puts another generator in the place of `rng`."""
    return lambda rng: np.random.default_rng(*seed)


# Mistakes that the checks do not hold as functions; each exercise's own are added to them.
WRONG = {
    "random_shift": [
        ("wraps around", vary(shift, mode="wrap")),
        ("repeats the border", vary(shift, mode="edge")),
        ("always the same", vary(shift, draw=lambda rng, reach: (reach, reach))),
        ("always the same", vary(shift, rng=seeded(0))),
        ("own generator", vary(shift, rng=seeded())),
        ("outside the range", vary(shift, max_pixels=lambda reach: reach + 1)),
        ("one axis only", vary(shift, draw=lambda rng, r: (0, rng.integers(-r, r + 1)))),
        ("one draw for both axes", vary(shift, draw=lambda rng, r: [rng.integers(-r, r + 1)] * 2)),
        ("one side only", vary(shift, draw=lambda rng, r: rng.integers(0, r + 1, 2))),
        ("one side only", vary(shift, draw=lambda rng, r: (
            rng.integers(-r, r + 1), -rng.integers(0, r + 1)))),
        ("one draw for both axes", vary(
            shift, draw=lambda rng, r: np.array([1, -1]) * rng.integers(-r, r + 1))),
        ("not independent", vary(shift, draw=lambda rng, r: rng.permutation(
            [0, rng.integers(-r, r + 1)]))),
        ("not independent", vary(shift, draw=draw_but_00)),
        ("nothing left", shift_slices_from_zero),
        ("error", shift_within_the_image),
        ("an end left out", vary(shift, draw=lambda rng, r: (
            rng.uniform(-r, r + 1, size=2).astype(int)))),
        ("an end left out", vary(shift, draw=lambda rng, r: rng.integers(-r, max(r, 1), 2))),
        ("never 0", vary(shift, draw=lambda rng, r: rng.choice([-1, 1], 2) * rng.integers(
            min(r, 1), r + 1, 2))),
        ("not equally likely", vary(
            shift, draw=lambda rng, r: np.rint(rng.uniform(-r, r, 2)).astype(int))),
        ("shuffled", lambda image, reach, rng: rng.permuted(image.ravel()).reshape(image.shape)),
        ("changes its input", shift_in_place),
    ],
    "cutout": [
        ("half width", vary(
            cut, corner=lambda rng, room, n: rng.integers(room + n) - n, side=lambda n: 2 * n)),
        ("one too wide", cutout_around_a_centre),
        ("places left out", cutout_from_a_centre),
        ("too small", vary(cut, side=lambda n: n - 1)),
        ("clipped", vary(cut, corner=lambda rng, room, n: rng.integers(room + n) - n // 2)),
        ("always the same", vary(cut, corner=lambda rng, room, n: (0, 0))),
        ("always the same", vary(cut, rng=seeded(1))),
        ("own generator", vary(cut, rng=seeded())),
        ("single pixels", cutout_pixels),
        ("single pixels", lambda image, size, rng: image * (
            rng.random(image.shape) >= size**2 / image.size)),
        ("whole rows", lambda image, size, rng: image * (
            np.arange(len(image)) // size != rng.integers(len(image) // size))[:, None]),
        ("inside out", lambda image, size, rng: image - cut(image, size, rng)),
        ("other filling", vary(cut, value=0.5)),
        ("one too wide", vary(
            cut, corner=lambda rng, room, n: rng.integers(room.clip(1)), side=lambda n: n + 1)),
        ("places left out", vary(cut, corner=lambda rng, room, n: rng.integers(room.clip(1)))),
        ("one draw for both axes", vary(
            cut, corner=lambda rng, room, n: [rng.integers(min(room) + 1)] * 2)),
        ("nothing cut", lambda image, size, rng: image),
        ("not equally likely", vary(
            cut, corner=lambda rng, room, n: np.minimum(rng.integers(room + n), room))),
        ("changes its input", cutout_in_place),
    ],
    "mixup": [
        ("labels not mixed", lambda x, y, alpha, rng: (mix(x, y, alpha, rng)[0], y)),
        ("images not mixed", lambda x, y, alpha, rng: (x, mix(x, y, alpha, rng)[1])),
        ("hard labels", mixup_hard),
        ("already blended", mixup_one_after_another),
        ("rows shuffled", mixup_in_another_order),
        ("weight rounded", vary(mix, weight=lambda rng, a, x: round(rng.beta(a, a), 2))),
        ("rows turned", vary(
            mix, partner=lambda rng, rows: np.roll(np.arange(rows), rng.integers(1, rows)))),
        ("another partner", vary(mix, partner_y=lambda rng, partner: rng.permutation(partner))),
        ("another weight", vary(mix, weight_y=lambda rng, a, weight: rng.beta(a, a))),
        ("weights swapped", vary(mix, weight_y=lambda rng, a, weight: 1 - weight)),
        ("a weight per pixel", vary(
            mix, weight=lambda rng, a, x: rng.beta(a, a, size=x.shape),
            weight_y=lambda rng, a, weight: weight.mean())),
        ("a weight per row", vary(mix, weight=lambda rng, a, x: rng.beta(a, a, size=(len(x), 1)))),
        ("alpha ignored", vary(mix, weight=lambda rng, a, x: rng.random())),
        ("always the same weight", vary(mix, weight=lambda rng, a, x: 0.5)),
        ("one parameter only", vary(mix, weight=lambda rng, a, x: rng.beta(a, 1))),
        ("one side only", vary(mix, weight=lambda rng, a, x: 0.5 + abs(rng.beta(a, a) - 0.5))),
        ("alpha inverted", vary(mix, alpha=lambda alpha: 1 / alpha)),
        ("no permutation", vary(mix, partner=lambda rng, rows: rng.integers(rows, size=rows))),
        ("fixed partners", vary(mix, partner=lambda rng, rows: np.arange(rows)[::-1])),
        ("weights do not add up", mixup_added),
        ("own generator", vary(mix, rng=seeded())),
        ("changes its input", mixup_in_place),
    ],
    "augmented_logits": [
        ("degrees as radians", broken_augmented_logits),
        ("changes its input", logits_in_place),
    ],
    "choose_transforms": [
        ("no decision", lambda train, names, steps, budget: ["shift", "flip"]),
        ("no decision", lambda train, names, steps, budget: names),
        ("no decision", vary(choose, tried=lambda names: [names])),
        ("over budget", vary(choose, number=lambda steps, budget, choices: 2 * steps)),
        ("over budget", vary(choose, number=lambda steps, budget, choices: budget)),
        ("over budget", vary(choose, number=lambda steps, budget, choices: 1 + budget // choices)),
        ("chosen on test rows", vary(choose, score=lambda scores: scores["test"])),
        ("chosen on test rows", vary(choose, score=lambda scores: scores["test"] + scores["dev"])),
        ("chosen on train rows", vary(choose, score=lambda scores: scores["train"])),
        ("smallest gap", vary(choose, score=lambda scores: scores["dev"] - scores["train"])),
        ("lowest for highest", vary(choose, score=lambda scores: -scores["dev"])),
        ("dev ignored", choose_anyway(lambda names: names[:2])),
        ("dev ignored", choose_anyway(lambda names: names[:1])),
        ("short runs", vary(choose, number=lambda steps, budget, choices: 3)),
        ("one transform only", vary(
            choose, tried=lambda names: [(), *((name,) for name in names)],
            number=lambda steps, budget, choices: steps)),
        ("error", choose_anyway(lambda names: [names[:1]])),
        ("error", choose_anyway(lambda names: 3)),
        ("error", choose_anyway(lambda names: ["shifts"])),
        ("error", choose_anyway(lambda names: {name: True for name in names})),
        ("error", lambda train, names, steps, budget: train("blur", steps)),
        ("error", lambda train, names, steps, budget: train(names, -1)),
    ],
}  # fmt: skip
