"""Right and wrong answers to the exercises of chapter 15, for `test_answers`."""

import numpy as np

# --- random_shift ----------------------------------------------------------------------------


def _moved(image, down, right):
    out = np.zeros(image.shape)
    height, width = image.shape
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                out[y, x] = image[y - down, x - right]
    return out


def shift_loop(image, max_pixels, rng):
    down = rng.integers(-max_pixels, max_pixels + 1)
    right = rng.integers(-max_pixels, max_pixels + 1)
    return _moved(image, down, right)


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


def shift_roll(image, max_pixels, rng):
    return np.roll(image, rng.integers(-max_pixels, max_pixels + 1, size=2), axis=(0, 1))


def shift_edge(image, max_pixels, rng):
    padded = np.pad(image, max_pixels, mode="edge")
    top, left = rng.integers(2 * max_pixels + 1, size=2)
    return padded[top : top + image.shape[0], left : left + image.shape[1]]


def shift_always_maximum(image, max_pixels, rng):
    return _moved(image, max_pixels, max_pixels)


def shift_fixed_seed(image, max_pixels, rng):
    return shift_loop(image, max_pixels, np.random.default_rng(0))


def shift_own_generator(image, max_pixels, rng):
    return shift_loop(image, max_pixels, np.random.default_rng())


def shift_outside(image, max_pixels, rng):
    return shift_loop(image, max_pixels + 1, rng)


def shift_one_axis(image, max_pixels, rng):
    return _moved(image, 0, rng.integers(-max_pixels, max_pixels + 1))


def shift_diagonal(image, max_pixels, rng):
    step = rng.integers(-max_pixels, max_pixels + 1)
    return _moved(image, step, step)


def shift_without_end(image, max_pixels, rng):
    low, high = -max_pixels, max(max_pixels, 1 - max_pixels)
    return _moved(image, rng.integers(low, high), rng.integers(low, high))


def shift_never_zero(image, max_pixels, rng):
    values = [v for v in range(-max_pixels, max_pixels + 1) if v or not max_pixels]
    return _moved(image, rng.choice(values), rng.choice(values))


def shift_rounded(image, max_pixels, rng):
    down, right = np.rint(rng.uniform(-max_pixels, max_pixels, size=2)).astype(int)
    return _moved(image, down, right)


def shift_shuffled(image, max_pixels, rng):
    return rng.permuted(image.ravel()).reshape(image.shape)


# --- cutout ----------------------------------------------------------------------------------


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


def _cut(image, top, left, height, width, value=0.0):
    out = np.array(image)
    out[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = value
    return out


def cutout_half_width(image, size, rng):
    y, x = rng.integers(image.shape[0]), rng.integers(image.shape[1])
    return _cut(image, y - size, x - size, 2 * size, 2 * size)


def cutout_clipped(image, size, rng):
    y, x = rng.integers(image.shape[0]), rng.integers(image.shape[1])
    return _cut(image, y - size // 2, x - size // 2, size, size)


def cutout_fixed(image, size, rng):
    return _cut(image, 0, 0, size, size)


def cutout_fixed_seed(image, size, rng):
    return cutout_choice(image, size, np.random.default_rng(1))


def cutout_own_generator(image, size, rng):
    return cutout_choice(image, size, np.random.default_rng())


def cutout_pixels(image, size, rng):
    out = np.array(image).ravel()
    out[rng.permutation(out.size)[: size**2]] = 0
    return out.reshape(image.shape)


def cutout_dropout(image, size, rng):
    return image * (rng.random(image.shape) >= size**2 / image.size)


def cutout_rows(image, size, rng):
    top = rng.integers(image.shape[0] - size + 1)
    return _cut(image, top, 0, size, image.shape[1])


def cutout_inside_out(image, size, rng):
    return image - cutout_choice(image, size, rng)


def cutout_mean(image, size, rng):
    top, left = (rng.integers(n - size + 1) for n in image.shape)
    return _cut(image, top, left, size, size, image.mean())


def cutout_wide(image, size, rng):
    top, left = (rng.integers(max(n - size, 1)) for n in image.shape)
    return _cut(image, top, left, size + 1, size + 1)


def cutout_without_end(image, size, rng):
    top, left = (rng.integers(max(n - size, 1)) for n in image.shape)
    return _cut(image, top, left, size, size)


def cutout_diagonal(image, size, rng):
    corner = rng.integers(min(image.shape) - size + 1)
    return _cut(image, corner, corner, size, size)


def cutout_nothing(image, size, rng):
    cutout_choice(image, size, rng)
    return image


def cutout_pushed_inside(image, size, rng):
    top, left = (min(rng.integers(n), n - size) for n in image.shape)
    return _cut(image, top, left, size, size)


# --- mixup -----------------------------------------------------------------------------------


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


def _mixup(x, y, weight, partner, weight_y=None, partner_y=None):
    weight_y = weight if weight_y is None else weight_y
    partner_y = partner if partner_y is None else partner_y
    x_mix = weight * x + (1 - weight) * x[partner]
    return x_mix, weight_y * y + (1 - weight_y) * y[partner_y]


def mixup_labels_kept(x, y, alpha, rng):
    return _mixup(x, y, rng.beta(alpha, alpha), rng.permutation(len(x)))[0], y


def mixup_images_kept(x, y, alpha, rng):
    return x, _mixup(x, y, rng.beta(alpha, alpha), rng.permutation(len(x)))[1]


def mixup_hard(x, y, alpha, rng):
    x_mix, y_mix = _mixup(x, y, rng.beta(alpha, alpha), rng.permutation(len(x)))
    return x_mix, np.eye(y.shape[1])[y_mix.argmax(axis=1)]


def mixup_two_partners(x, y, alpha, rng):
    weight = rng.beta(alpha, alpha)
    return _mixup(x, y, weight, rng.permutation(len(x)), partner_y=rng.permutation(len(x)))


def mixup_two_weights(x, y, alpha, rng):
    first, second = rng.beta(alpha, alpha, size=2)
    return _mixup(x, y, first, rng.permutation(len(x)), weight_y=second)


def mixup_swapped(x, y, alpha, rng):
    weight = rng.beta(alpha, alpha)
    return _mixup(x, y, weight, rng.permutation(len(x)), weight_y=1 - weight)


def mixup_per_pixel(x, y, alpha, rng):
    weight = rng.beta(alpha, alpha, size=x.shape)
    return _mixup(x, y, weight, rng.permutation(len(x)), weight_y=weight.mean())


def mixup_per_row(x, y, alpha, rng):
    weight = rng.beta(alpha, alpha, size=(len(x), 1))
    return _mixup(x, y, weight, rng.permutation(len(x)))


def mixup_uniform(x, y, alpha, rng):
    return _mixup(x, y, rng.random(), rng.permutation(len(x)))


def mixup_half(x, y, alpha, rng):
    return _mixup(x, y, 0.5, rng.permutation(len(x)))


def mixup_one_parameter(x, y, alpha, rng):
    return _mixup(x, y, rng.beta(alpha, 1), rng.permutation(len(x)))


def mixup_larger(x, y, alpha, rng):
    weight = rng.beta(alpha, alpha)
    return _mixup(x, y, max(weight, 1 - weight), rng.permutation(len(x)))


def mixup_inverted(x, y, alpha, rng):
    return _mixup(x, y, rng.beta(1 / alpha, 1 / alpha), rng.permutation(len(x)))


def mixup_replacement(x, y, alpha, rng):
    return _mixup(x, y, rng.beta(alpha, alpha), rng.integers(len(x), size=len(x)))


def mixup_reversed(x, y, alpha, rng):
    return _mixup(x, y, rng.beta(alpha, alpha), np.arange(len(x))[::-1])


def mixup_added(x, y, alpha, rng):
    weight, partner = rng.beta(alpha, alpha), rng.permutation(len(x))
    return x + weight * x[partner], y + weight * y[partner]


def mixup_own_generator(x, y, alpha, rng):
    return mixup_loop(x, y, alpha, np.random.default_rng())


# --- is_label_preserving ---------------------------------------------------------------------


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


def _verdict(
    transform,
    images,
    labels,
    oracle,
    tolerance,
    *,
    mean=False,
    index=False,
    counts=False,
    original=False,
    skip=False,
    limit=None,
    strict=False,
    last=False,
    by_new=False,
    best=False,
):
    after = oracle(images if original else transform(images))
    lost = after != labels
    if skip:
        lost = lost & (after >= 0)
    groups = after if by_new else labels
    classes = np.unique(labels)
    shares = np.array([lost[groups == c].mean() if (groups == c).any() else 0 for c in classes])
    sizes = np.array([(labels == c).sum() for c in classes])
    ranking = shares * sizes if counts else shares
    worst = ranking.argmin() if best else ranking.argmax()
    if last:
        worst = len(ranking) - 1 - ranking[::-1].argmax()
    score = lost.mean() if mean else shares[worst]
    limit = tolerance if limit is None else limit
    return {
        "preserving": score < limit if strict else score <= limit,
        "worst": worst if index else classes[worst],
    }


def _variant(**options):
    def verdict(transform, images, labels, oracle, tolerance):
        return _verdict(transform, images, labels, oracle, tolerance, **options)

    return verdict


# --- augmented_logits ------------------------------------------------------------------------


def logits_rot90(images, degrees, kernel, bias, training):
    rows = []
    for image, angle in zip(images, degrees, strict=True):
        turned = np.rot90(image, int(angle // 90)) if training else image
        rows.append(turned.ravel() @ kernel + bias)
    return np.array(rows)


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


def _torch_logits(
    images,
    degrees,
    kernel,
    bias,
    training,
    *,
    sign=1,
    first=False,
    radians=False,
    always=False,
    swapped=False,
    transposed=False,
    with_bias=True,
):
    import torch
    import torch.nn.functional as F

    x = torch.tensor(images)[:, None]
    if training != swapped or always:
        angle = torch.tensor(degrees) if radians else torch.deg2rad(torch.tensor(degrees))
        angle = angle[:1].repeat(len(x)) if first else angle
        cos, sin = angle.cos(), sign * angle.sin()
        zero = torch.zeros_like(cos)
        matrices = torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(-1, 2, 3)
        grid = F.affine_grid(matrices, x.shape, align_corners=False)
        x = F.grid_sample(x, grid, align_corners=False)
    x = x.transpose(2, 3) if transposed else x
    return x.flatten(1) @ torch.tensor(kernel) + (torch.tensor(bias) if with_bias else 0)


def _logits(**options):
    def logits(*arguments):
        return _torch_logits(*arguments, **options)

    return logits


RIGHT = {
    "random_shift": [shift_loop, shift_choice, shift_torch],
    "cutout": [cutout_mask, cutout_choice, cutout_torch],
    "mixup": [mixup_loop, mixup_gamma, mixup_torch],
    "is_label_preserving": [verdict_loop, verdict_counts, verdict_torch],
    "augmented_logits": [logits_rot90, logits_keras, logits_module],
}

WRONG = {
    "random_shift": [
        ("wraps around", shift_roll),
        ("repeats the border", shift_edge),
        ("always the same", shift_always_maximum),
        ("always the same", shift_fixed_seed),
        ("own generator", shift_own_generator),
        ("outside the range", shift_outside),
        ("one axis only", shift_one_axis),
        ("one draw for both axes", shift_diagonal),
        ("an end left out", shift_without_end),
        ("never 0", shift_never_zero),
        ("not equally likely", shift_rounded),
        ("shuffled", shift_shuffled),
    ],
    "cutout": [
        ("half width", cutout_half_width),
        ("clipped", cutout_clipped),
        ("one fixed place", cutout_fixed),
        ("always the same", cutout_fixed_seed),
        ("own generator", cutout_own_generator),
        ("single pixels", cutout_pixels),
        ("single pixels", cutout_dropout),
        ("whole rows", cutout_rows),
        ("inside out", cutout_inside_out),
        ("other filling", cutout_mean),
        ("one too wide", cutout_wide),
        ("places left out", cutout_without_end),
        ("one draw for both axes", cutout_diagonal),
        ("nothing cut", cutout_nothing),
        ("not equally likely", cutout_pushed_inside),
    ],
    "mixup": [
        ("labels not mixed", mixup_labels_kept),
        ("images not mixed", mixup_images_kept),
        ("hard labels", mixup_hard),
        ("another partner", mixup_two_partners),
        ("another weight", mixup_two_weights),
        ("weights swapped", mixup_swapped),
        ("a weight per pixel", mixup_per_pixel),
        ("a weight per row", mixup_per_row),
        ("alpha ignored", mixup_uniform),
        ("always the same weight", mixup_half),
        ("one parameter only", mixup_one_parameter),
        ("one side only", mixup_larger),
        ("alpha inverted", mixup_inverted),
        ("no permutation", mixup_replacement),
        ("fixed partners", mixup_reversed),
        ("weights do not add up", mixup_added),
        ("own generator", mixup_own_generator),
    ],
    "is_label_preserving": [
        ("mean over all", _variant(mean=True)),
        ("index for class", _variant(index=True)),
        ("counts", _variant(counts=True)),
        ("not transformed", _variant(original=True)),
        ("no class ignored", _variant(skip=True)),
        ("tolerance ignored", _variant(limit=0)),
        ("tolerance ignored", _variant(limit=0.5)),
        ("tolerance ignored", _variant(strict=True)),
        ("last of equals", _variant(last=True)),
        ("target class", _variant(by_new=True)),
        ("best for worst", _variant(best=True)),
    ],
    "augmented_logits": [
        ("clockwise", _logits(sign=-1)),
        ("one angle for all", _logits(first=True)),
        ("degrees as radians", _logits(radians=True)),
        ("degrees as radians", _logits(sign=-1, first=True, radians=True, always=True)),
        ("active in evaluation", _logits(always=True)),
        ("not turned", _logits(swapped=True)),
        ("columns first", _logits(transposed=True)),
        ("bias missing", _logits(with_bias=False)),
    ],
}
